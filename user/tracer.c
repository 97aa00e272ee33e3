// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "known_files.h"
#include "loader.h"
#include "tap_majors.h"
#include "scan_light.h"
#include "bindings.h"
#include "tracer.h"
#include "../bpf/tapwatch.h"
#include "tapwatch.skel.h"

#define MAX_LINKS 64
/* In a storm the ring never gets empty, and what else is to be done would wait for ever. */
#define READ_AT_ONCE 8192

struct tracer {
	struct tapwatch_bpf *skel;
	enum backend backend;
	struct hook_result *hooks;	/* hooks_len */
	struct bpf_link *links[MAX_LINKS];
	size_t n_links;
	struct bpf_link *scan_fds;	/* NULL: not to be had */
	bool no_filter;			/* the kernel's iterator takes no process, or skips threads of it */
	struct known_files files;
	struct scan_light *light;	/* bpf/scan.bpf.c, in place of all the above; NULL: not so */
	struct ring_buffer *ring;
	fact_fn fn;			/* during tracer_read() */
	void *ctx;
	size_t left;			/* how many more facts it takes */
};

/* Of the initial pid namespace, whose numbers the programs see. Elsewhere ours cannot be told: 0. */
static __u32 self_tgid(void)
{
	struct stat st;

	/* include/linux/proc_ns.h: PROC_PID_INIT_INO */
	if (stat("/proc/self/ns/pid", &st) || st.st_ino != 0xEFFFFFFCU)
		return 0;
	return (__u32)getpid();
}

static int on_ring(void *ctx, void *data, size_t size)
{
	struct tracer *t = ctx;

	if (size >= sizeof(struct tw_event))
		t->fn(t->ctx, data);
	return --t->left ? 0 : -EAGAIN;
}

/* Which alternative of each hook this kernel seems to have, by name only. */
static void hooks_guess(enum backend backend, struct hook_result results[])
{
	for (size_t i = 0; i < hooks_len; i++) {
		results[i].alternative = -1;
		results[i].reason[0] = '\0';
		if (!hook_of(i, backend))
			continue;
		for (int alt = HOOK_ALTERNATIVES - 1; alt >= 0; alt--) {
			char reason[HOOK_REASON_LEN];

			if (!hooks[i].programs[alt][0])
				continue;
			if (!loader_has_targets(hooks[i].programs[alt], reason, sizeof(reason)))
				results[i].alternative = alt;
			else if (!alt && results[i].alternative < 0)
				snprintf(results[i].reason, sizeof(results[i].reason), "%s", reason);
		}
	}
}

static int enable_programs(struct tracer *t)
{
	for (size_t i = 0; i < hooks_len; i++) {
		int alt = t->hooks[i].alternative, err;

		for (int p = 0; alt >= 0 && hooks[i].programs[alt][p]; p++) {
			err = loader_enable(t->skel, hooks[i].programs[alt][p]);
			if (err)
				return err;
		}
	}
	return 0;
}

static bool hook_is_on(const struct tracer *t, const char *name, int alternative)
{
	for (size_t i = 0; i < hooks_len; i++)
		if (hook_of(i, t->backend) && !strcmp(hooks[i].name, name))
			return t->hooks[i].alternative == alternative;
	return false;
}

/* What only live hooks write into takes no room. */
static int shrink_maps(struct tapwatch_bpf *skel)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, skel->obj) {
		if (map == skel->maps.files) /* an iterator may allocate */
			err = bpf_map__set_map_flags(map, BPF_F_NO_PREALLOC);
		else if (bpf_map__type(map) == BPF_MAP_TYPE_HASH)
			err = bpf_map__set_max_entries(map, 1);
		else if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF)
			err = bpf_map__set_max_entries(map, (__u32)sysconf(_SC_PAGESIZE));
		if (err)
			return err;
	}
	return 0;
}

static int set_constants(struct tracer *t, const struct tracer_options *options)
{
	t->skel->rodata->self_tgid = self_tgid();
	t->skel->rodata->has_close_hook = hook_is_on(t, "tun-close", 0);
	/* without hooks a device is known by its place, as with the tracepoint backend */
	t->skel->rodata->dev_gens = !options->scan_only && t->backend != BACKEND_TRACEPOINT;
	if (options->scan_only)
		return shrink_maps(t->skel);
	if (options->ring_bytes)
		return bpf_map__set_max_entries(t->skel->maps.ring, (__u32)options->ring_bytes);
	return 0;
}

/* Generations must outlive a change of programs: the new ones go on with the old ones' maps. */
static int take_over(struct tapwatch_bpf *skel, const struct tapwatch_bpf *old)
{
	struct { struct bpf_map *to, *from; } maps[] = {
		{ skel->maps.files, old->maps.files }, { skel->maps.devs, old->maps.devs },
		{ skel->maps.slots, old->maps.slots }, { skel->maps.procs, old->maps.procs },
	};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		int err = bpf_map__reuse_fd(maps[i].to, bpf_map__fd(maps[i].from));

		if (err)
			return err;
	}
	return 0;
}

static int attach_hook(struct tracer *t, size_t i)
{
	const char *const *programs = hooks[i].programs[t->hooks[i].alternative];

	for (int p = 0; programs[p]; p++) {
		struct bpf_program *prog = bpf_object__find_program_by_name(t->skel->obj, programs[p]);
		struct bpf_link *link;

		if (loader_is_called(prog))
			continue;
		link = bpf_program__attach(prog);
		if (!link)
			return -errno;
		if (!strcmp(programs[p], "iter_task_file"))
			t->scan_fds = link;
		else
			t->links[t->n_links++] = link;
	}
	return 0;
}

static int attach_all(struct tracer *t)
{
	for (size_t i = 0; i < hooks_len; i++) {
		int err;

		if (t->hooks[i].alternative < 0)
			continue;
		err = attach_hook(t, i);
		if (err)
			return err;
	}
	return 0;
}

/* Without it (before 5.10), others of our kind look like anybody. */
static void learn_self(struct tracer *t)
{
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts);

	bpf_prog_test_run_opts(bpf_program__fd(t->skel->progs.learn_self), &opts);
}

static void unload(struct tracer *t)
{
	ring_buffer__free(t->ring);
	for (size_t i = 0; i < t->n_links; i++)
		bpf_link__destroy(t->links[i]);
	bpf_link__destroy(t->scan_fds);
	tapwatch_bpf__destroy(t->skel);
	t->ring = NULL;
	t->n_links = 0;
	t->scan_fds = NULL;
	t->files.program = -1;
	t->skel = NULL;
}

/* Loads and attaches what t->hooks says. On failure nothing is left. */
static int load(struct tracer *t, const struct tracer_options *options)
{
	int err;

	t->skel = loader_open();
	if (!t->skel)
		return -errno;
	err = enable_programs(t);
	if (!err)
		err = set_constants(t, options);
	if (!err && options->after)
		err = take_over(t->skel, options->after->skel);
	if (!err) {
		tap_majors(t->skel->bss->tap_majors);
		/* until a scan has found who holds what, everybody may */
		t->skel->bss->procs_unknown = !options->after && !options->scan_only;
		bpf_program__set_autoload(t->skel->progs.learn_self, true);
		err = tapwatch_bpf__load(t->skel);
	}
	if (!err) {
		learn_self(t);
		/* -1 where it was not loaded */
		t->files.program = bpf_program__fd(t->skel->progs.look_at_file);
		t->files.map = bpf_map__fd(t->skel->maps.files);
		t->files.fact = &t->skel->bss->file_fact;
		t->ring = ring_buffer__new(bpf_map__fd(t->skel->maps.ring), on_ring, t, NULL);
		err = t->ring ? attach_all(t) : -errno;
	}
	if (err)
		unload(t);
	return err;
}

static void only_scans(struct hook_result results[])
{
	for (size_t i = 0; i < hooks_len; i++)
		results[i] = (struct hook_result){ .alternative = strncmp(hooks[i].name, "seed-", 5) ? -1 : 0 };
}

/*
 * One backend: as its names suggest first; where the kernel thinks otherwise,
 * program by program. `insist` takes it also when expected hooks are off.
 */
static int try_backend(struct tracer *t, enum backend backend, bool insist, const struct tracer_options *options)
{
	t->backend = backend;
	hooks_guess(backend, t->hooks);
	if (!hooks_usable(backend, t->hooks) || (!insist && !hooks_complete(backend, t->hooks)))
		return -ENOTSUP;
	if (!load(t, options))
		return 0;
	hooks_probe(backend, t->hooks, true);
	if (!hooks_usable(backend, t->hooks) || (!insist && !hooks_complete(backend, t->hooks)))
		return -ENOTSUP;
	return load(t, options);
}

static void explain_refusal(const struct tracer *t, const struct tracer_options *options, int cause,
			    char *err, size_t errsize)
{
	int blocker = hooks_blocker(t->backend, t->hooks);
	const char *reason = blocker < 0 ? strerror(-cause) : t->hooks[blocker].reason;

	if (options->scan_only)
		snprintf(err, errsize, "cannot load the task_file iterator: %s", strerror(-cause));
	else if (options->backend == BACKEND_AUTO)
		snprintf(err, errsize, "cannot trace: this kernel allows none of the backends fentry, kprobe and "
			 "tracepoint (the last: %s); 'tapwatch check' tells what each needs", reason);
	else
		snprintf(err, errsize, "cannot use backend %s: %s; try --backend auto",
			 backend_name(options->backend), reason);
}

static int choose_backend(struct tracer *t, const struct tracer_options *options)
{
	int err = -ENOTSUP;

	if (options->scan_only) {
		t->backend = BACKEND_TRACEPOINT;
		only_scans(t->hooks);
		t->light = scan_light_open(self_tgid());
		return t->light ? 0 : load(t, options);
	}
	if (options->backend != BACKEND_AUTO)
		return try_backend(t, options->backend, true, options);
	/* a complete one first; then one that at least works */
	for (int insist = 0; insist <= 1; insist++)
		for (int backend = 0; backend < BACKEND_MAX; backend++) {
			err = try_backend(t, backend, insist, options);
			if (!err)
				return 0;
		}
	return err;
}

/* The tun driver's functions can be hooked only when it is there. Opening its device loads the module. */
static void load_tun_module(void)
{
	int fd;

	/* there already: no need to be seen opening it by another tracer */
	if (!access("/sys/class/misc/tun", F_OK))
		return;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
}

/*
 * Before 6.1 the iterator takes no process. And before 6.7 it leaves out each
 * thread that follows one with the leader's table, though it has one of its own
 * (task_group_seq_get_next(); mended by c12e785e8648).
 */
static bool filter_is_sound(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname kernel;

	return !uname(&kernel) && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 7));
}

int tracer_open(struct tracer **out, const struct tracer_options *options, char *err, size_t errsize)
{
	struct tracer *t = calloc(1, sizeof(*t));
	int ret = -ENOMEM;

	*out = NULL;
	if (t) {
		t->files.program = -1;
		t->no_filter = !filter_is_sound();
		t->hooks = calloc(hooks_len, sizeof(*t->hooks));
	}
	if (!t || !t->hooks) {
		snprintf(err, errsize, "cannot start the tracer: out of memory");
		goto fail;
	}
	load_tun_module();
	ret = choose_backend(t, options);
	if (ret) {
		explain_refusal(t, options, ret, err, errsize);
		goto fail;
	}
	loader_release_btf();
	*out = t;
	return 0;
fail:
	tracer_close(t);
	return ret;
}

void tracer_close(struct tracer *t)
{
	if (!t)
		return;
	if (t->skel)
		unload(t);
	scan_light_close(t->light);
	free(t->hooks);
	free(t);
}

enum backend tracer_backend(const struct tracer *t)
{
	return t->backend;
}

const struct hook_result *tracer_hooks(const struct tracer *t)
{
	return t->hooks;
}

bool tracer_can_scan(const struct tracer *t)
{
	return t->scan_fds || t->light;
}

int tracer_ring_fd(const struct tracer *t)
{
	return ring_buffer__epoll_fd(t->ring);
}

int tracer_read(struct tracer *t, fact_fn fn, void *ctx)
{
	int err;

	t->fn = fn;
	t->ctx = ctx;
	t->left = READ_AT_ONCE;
	err = ring_buffer__consume(t->ring);
	return err == -EAGAIN ? READ_AT_ONCE : err;
}

bool tracer_has_more(const struct tracer *t)
{
	return !t->left;
}

uint64_t tracer_lost(const struct tracer *t)
{
	return *(volatile __u64 *)&t->skel->bss->counters.lost;
}

/*
 * A program that was preempted keeps others on its CPU from running it, and
 * the kernel skips the call (since 5.12, which also counts it; seen where
 * kernels preempt themselves: PREEMPT, PREEMPT_LAZY).
 */
/*
 * How often a kprobe's handler, or for want of room a kretprobe's, did not run
 * (trace_kprobe_missed(), kernel 6.7 and later; else 0). The struct is the head
 * of bpf_link_info as it is for such a link: libbpf's may be older than that.
 */
static uint64_t missed_by_kprobe(int link_fd)
{
	struct {
		__u32 type, id, prog_id, pad;
		__u32 event_type, pad2;
		__u64 func_name;
		__u32 name_len, offset;
		__u64 addr, missed, cookie;
	} info = { 0 };
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(link_fd, (void *)&info, &len) || info.type != 7 /* BPF_LINK_TYPE_PERF_EVENT */ ||
	    info.event_type < 3 /* BPF_PERF_EVENT_KPROBE */ || info.event_type > 4 /* BPF_PERF_EVENT_KRETPROBE */)
		return 0;
	return info.missed;
}

uint64_t tracer_skipped(const struct tracer *t)
{
	struct bpf_program *prog;
	uint64_t skipped = 0;

	if (!t->skel)
		return 0;
	bpf_object__for_each_program(prog, t->skel->obj) {
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);
		int fd = bpf_program__fd(prog);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len))
			skipped += info.recursion_misses;
	}
	for (size_t i = 0; i < t->n_links; i++)
		skipped += missed_by_kprobe(bpf_link__fd(t->links[i]));
	return skipped;
}

uint64_t tracer_guards(const struct tracer *t)
{
	return *(volatile __u64 *)&t->skel->bss->counters.guards;
}

/* Reads records from an iterator's fd until its end. */
static int read_facts(int fd, fact_fn fn, void *ctx)
{
	struct tw_event facts[64];
	size_t have = 0;
	ssize_t n;
	int err;

	for (;;) {
		n = read(fd, (char *)facts + have, sizeof(facts) - have);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		have += (size_t)n;
		for (size_t i = 0; i < have / sizeof(facts[0]); i++) {
			err = fn(ctx, &facts[i]);
			if (err)
				return err;
		}
		/* reads end anywhere: keep the beginning of a record */
		memmove(facts, (char *)facts + have / sizeof(facts[0]) * sizeof(facts[0]), have % sizeof(facts[0]));
		have %= sizeof(facts[0]);
	}
}

static int scan(int link, fact_fn fn, void *ctx)
{
	int fd = bpf_iter_create(link), err;

	if (fd < 0)
		return -errno;
	err = read_facts(fd, fn, ctx);
	close(fd);
	return err;
}

int tracer_scan_fds(struct tracer *t, fact_fn fn, void *ctx)
{
	if (!tracer_can_scan(t))
		return -ENOTSUP;
	return scan(t->scan_fds ? bpf_link__fd(t->scan_fds) : scan_light_fds(t->light), fn, ctx);
}

struct of_process {
	uint32_t pid;
	fact_fn fn;
	void *ctx;
};

static int on_fact_of_process(void *ctx, const struct tw_event *fact)
{
	struct of_process *of = ctx;

	return fact->task.pid == of->pid ? of->fn(of->ctx, fact) : 0;
}

static int scan_filtered(struct tracer *t, uint32_t pid, fact_fn fn, void *ctx)
{
	DECLARE_LIBBPF_OPTS(bpf_iter_attach_opts, opts);
	union bpf_iter_link_info info = { .task.pid = pid };
	struct bpf_link *link;
	int err;

	opts.link_info = &info;
	opts.link_info_len = sizeof(info);
	link = bpf_program__attach_iter(t->skel->progs.iter_task_file, &opts);
	if (!link)
		return -errno;
	err = scan(bpf_link__fd(link), fn, ctx);
	bpf_link__destroy(link);
	return err;
}

int tracer_scan_process(struct tracer *t, uint32_t pid, fact_fn fn, void *ctx)
{
	struct of_process of = { pid, fn, ctx };
	int err;

	if (!t->scan_fds)
		return -ENOTSUP;
	if (!t->no_filter) {
		err = scan_filtered(t, pid, fn, ctx);
		/* gone: nothing to find */
		if (err == -ESRCH)
			return 0;
		if (err != -E2BIG && err != -EINVAL)
			return err;
		t->no_filter = true;
	}
	return tracer_scan_fds(t, on_fact_of_process, &of);
}

void tracer_seeded(struct tracer *t)
{
	t->skel->bss->procs_unknown = 0;
}

static const struct known_files *known_files(const struct tracer *t)
{
	return t->light ? scan_light_files(t->light) : &t->files;
}

bool tracer_can_scan_files(const struct tracer *t)
{
	return known_files(t)->program >= 0;
}

int tracer_scan_files(struct tracer *t, fact_fn fn, void *ctx)
{
	return known_files_scan(known_files(t), false, fn, ctx);
}

int tracer_scan_dead_files(struct tracer *t, fact_fn fn, void *ctx)
{
	return known_files_scan(known_files(t), true, fn, ctx);
}

void tracer_forget_file(struct tracer *t, uint64_t addr, uint64_t gen)
{
	struct tw_file_entry entry;

	/* the map of a single scan is gone with it */
	if (!t->skel)
		return;
	if (bpf_map__lookup_elem(t->skel->maps.files, &addr, sizeof(addr), &entry, sizeof(entry), 0) ||
	    entry.gen != gen)
		return;
	bpf_map__delete_elem(t->skel->maps.files, &addr, sizeof(addr), 0);
}

void tracer_forget_slot(struct tracer *t, const struct slot *of, uint32_t pid)
{
	struct { uint64_t table; uint32_t fd, pad; } slot = { .table = of->table, .fd = (uint32_t)of->fd };
	struct { uint64_t file, gen; uint32_t tgid, pad; } there;

	if (!bpf_map__lookup_elem(t->skel->maps.slots, &slot, sizeof(slot), &there, sizeof(there), 0) &&
	    there.gen == of->file->gen && there.tgid == pid)
		bpf_map__delete_elem(t->skel->maps.slots, &slot, sizeof(slot), 0);
}
