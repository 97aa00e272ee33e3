// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core_btf.h"
#include "loader.h"
#include "../bpf/tapwatch.h"
#include "tapwatch.skel.h"

static bool verbose_log;

__attribute__((format(printf, 2, 0)))
static int log_print(enum libbpf_print_level level, const char *format, va_list args)
{
	if (!verbose_log || level == LIBBPF_DEBUG)
		return 0;
	return vfprintf(stderr, format, args);
}

void loader_log_setup(bool verbose)
{
	verbose_log = verbose;
	libbpf_set_print(log_print);
}

/* Kept between questions: parsing vmlinux BTF takes some ms. */
static struct btf *kernel_btf;
static struct tapwatch_bpf *names;	/* never loaded: only to look up sections and types */
static int core_btf = -1;		/* a file: what of the kernel's BTF relocations need */
static int slot_type = -1;		/* what bpf/fd.bpf.c wants to know by that name */

static int make_core_btf(void)
{
	/* whose private types compat.bpf.h asks for */
	static const char *const modules[] = { "tun", "tap", "vhost_net", NULL };
	struct btf *kernel = kernel_btf ? kernel_btf : btf__load_vmlinux_btf();

	if (!names)
		names = tapwatch_bpf__open();
	if (names && kernel)
		core_btf = core_btf_make(bpf_object__btf(names->obj), kernel, modules);
	slot_type = kernel ? btf__find_by_name_kind(kernel, "poll_table_entry", BTF_KIND_STRUCT) : -1;
	/* large: nobody but who asks for names needs it again */
	if (!kernel_btf)
		btf__free(kernel);
	return core_btf;
}

struct tapwatch_bpf *loader_open(void)
{
	DECLARE_LIBBPF_OPTS(bpf_object_open_opts, opts);
	struct tapwatch_bpf *skel;
	char path[64];

	/* without it libbpf searches the whole kernel's for each type */
	if (core_btf >= 0 || make_core_btf() >= 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", core_btf);
		opts.btf_custom_path = path;
	}
	skel = tapwatch_bpf__open_opts(&opts);
	/* not by a relocation: that would be of the BTF at the path */
	if (skel && slot_type > 0)
		skel->rodata->slot_type = (__u32)slot_type;
	return skel;
}

int loader_enable(struct tapwatch_bpf *skel, const char *program)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(skel->obj, program);

	return prog ? bpf_program__set_autoload(prog, true) : -ENOENT;
}

/* A trial must be cheap: no room is needed for anything. */
static void shrink_maps(struct tapwatch_bpf *skel)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, skel->obj) {
		switch (bpf_map__type(map)) {
		case BPF_MAP_TYPE_HASH:
			bpf_map__set_max_entries(map, 1);
			break;
		case BPF_MAP_TYPE_RINGBUF:
			bpf_map__set_max_entries(map, (__u32)sysconf(_SC_PAGESIZE));
			break;
		default:
			break;
		}
	}
}

/* "fentry/fd_install" of "?fentry/fd_install" */
static const char *section(const struct bpf_program *prog)
{
	const char *name = bpf_program__section_name(prog);

	return *name == '?' ? name + 1 : name;
}

static bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static bool have_kprobes(void)
{
	return !access("/sys/bus/event_source/devices/kprobe/type", F_OK) ||
	       !access("/sys/kernel/tracing/kprobe_events", F_OK) ||
	       !access("/sys/kernel/debug/tracing/kprobe_events", F_OK);
}

/* Modules whose functions are hooked: by the prefix of the function's name. */
static const char *module_of(const char *function)
{
	static const struct { const char *prefix, *module; } modules[] = {
		{ "tun_", "tun" }, { "__tun_", "tun" }, { "vhost_net_", "vhost_net" },
		{ "tap_", "tap" },
	};

	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
		if (starts_with(function, modules[i].prefix))
			return modules[i].module;
	return NULL;
}

/* Loaded, or built in: a driver without parameters is not in /sys/module when built in. */
static bool module_present(const char *module)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	if (!access(path, F_OK))
		return true;
	return !strcmp(module, "tun") && !access("/sys/class/misc/tun", F_OK) && access("/proc/modules", F_OK);
}

/* Why a program could not be had, in the words of somebody who must do something about it. */
static void explain(const struct bpf_program *prog, int err, const char *step, char *reason, size_t size)
{
	const char *sec = section(prog), *function = strchr(sec, '/');
	const char *module;

	function = function ? function + 1 : sec;
	module = module_of(function);
	if (err == -ENOENT || err == -ESRCH || err == -EINVAL) {
		if (module && !module_present(module)) {
			snprintf(reason, size, "module %s is not loaded", module);
			return;
		}
		if (starts_with(sec, "kprobe") || starts_with(sec, "kretprobe")) {
			if (have_kprobes())
				snprintf(reason, size, "this kernel has no function %s to probe", function);
			else
				snprintf(reason, size, "this kernel has no kprobes");
			return;
		}
		if (module && err != -EINVAL) {
			snprintf(reason, size, "module %s has no BTF for %s", module, function);
			return;
		}
		if (err != -EINVAL) {
			snprintf(reason, size, "this kernel has no %s", sec);
			return;
		}
	}
	if ((err == -EPERM || err == -EACCES) && !strcmp(step, "load")) {
		snprintf(reason, size, "this kernel refuses to load %.*s programs: %s",
			 (int)strcspn(sec, "/"), sec, strerror(-err));
		return;
	}
	snprintf(reason, size, "cannot %s %s: %s", step, sec, strerror(-err));
}

/* Functions that kprobe programs name, and whether the kernel has them: one pass over /proc/kallsyms. */
#define MAX_KPROBES 64
static struct { const char *function; bool found; } kprobes[MAX_KPROBES];
static size_t n_kprobes;

void loader_release_btf(void)
{
	btf__free(kernel_btf);
	tapwatch_bpf__destroy(names);
	if (core_btf >= 0)
		close(core_btf);
	kernel_btf = NULL;
	names = NULL;
	core_btf = -1;
	n_kprobes = 0;
	memset(kprobes, 0, sizeof(kprobes));
}

static bool btf_has_function(const char *function)
{
	const char *module = module_of(function);
	struct btf *btf;
	bool found;

	if (!kernel_btf)
		kernel_btf = btf__load_vmlinux_btf();
	if (!kernel_btf)
		return false;
	if (btf__find_by_name_kind(kernel_btf, function, BTF_KIND_FUNC) > 0)
		return true;
	if (!module)
		return false;
	btf = btf__load_module_btf(module, kernel_btf);
	found = btf && btf__find_by_name_kind(btf, function, BTF_KIND_FUNC) > 0;
	btf__free(btf);
	return found;
}

static bool btf_has_tracepoint(const char *name)
{
	char type[128];

	if (!kernel_btf)
		kernel_btf = btf__load_vmlinux_btf();
	snprintf(type, sizeof(type), "btf_trace_%s", name);
	return kernel_btf && btf__find_by_name_kind(kernel_btf, type, BTF_KIND_TYPEDEF) > 0;
}

static void collect_kprobes(void)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, names->obj) {
		const char *sec = section(prog);

		if ((starts_with(sec, "kprobe/") || starts_with(sec, "kretprobe/")) && n_kprobes < MAX_KPROBES)
			kprobes[n_kprobes++].function = strchr(sec, '/') + 1;
	}
}

static void look_up_kprobes(void)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	char line[512], type, name[256];

	while (f && fgets(line, sizeof(line), f)) {
		/* most lines are decided by their type or their first letter */
		if (sscanf(line, "%*x %c %255s", &type, name) != 2 || (type != 't' && type != 'T'))
			continue;
		for (size_t i = 0; i < n_kprobes; i++)
			if (!strcmp(kprobes[i].function, name))
				kprobes[i].found = true;
	}
	if (f)
		fclose(f);
}

/* Kprobes need no BTF, only a text symbol. */
static bool kallsyms_has(const char *function)
{
	if (!n_kprobes) {
		collect_kprobes();
		look_up_kprobes();
	}
	for (size_t i = 0; i < n_kprobes; i++)
		if (!strcmp(kprobes[i].function, function))
			return kprobes[i].found;
	return false;
}

static bool has_target(const struct bpf_program *prog)
{
	const char *sec = section(prog), *target = strchr(sec, '/') + 1;

	if (starts_with(sec, "iter/") || loader_is_called(prog))
		return true;
	if (starts_with(sec, "tp_btf/"))
		return btf_has_tracepoint(target);
	if (starts_with(sec, "kprobe/") || starts_with(sec, "kretprobe/"))
		return have_kprobes() && kallsyms_has(target);
	return btf_has_function(target);
}

int loader_has_targets(const char *const programs[], char *reason, size_t size)
{
	struct bpf_program *prog;

	if (!names)
		names = tapwatch_bpf__open();
	for (size_t i = 0; names && programs[i]; i++) {
		prog = bpf_object__find_program_by_name(names->obj, programs[i]);
		if (prog && has_target(prog))
			continue;
		if (prog)
			explain(prog, -ENOENT, "attach", reason, size);
		return -ENOENT;
	}
	return names ? 0 : -ENOENT;
}

bool loader_is_called(const struct bpf_program *prog)
{
	return !strcmp(section(prog), "raw_tp/called");
}

static int try_attach(struct bpf_program *prog)
{
	struct bpf_link *link;

	if (loader_is_called(prog))
		return 0;
	link = bpf_program__attach(prog);
	return link ? bpf_link__destroy(link) : -errno;
}

int loader_try(const char *const programs[], char *reason, size_t size)
{
	struct tapwatch_bpf *skel = loader_open();
	struct bpf_program *prog;
	int err;

	if (!skel) {
		err = -errno;
		snprintf(reason, size, "cannot open the BPF object: %s", strerror(-err));
		return err;
	}
	shrink_maps(skel);
	for (size_t i = 0; programs[i]; i++)
		loader_enable(skel, programs[i]);
	err = tapwatch_bpf__load(skel);
	if (err) {
		prog = bpf_object__find_program_by_name(skel->obj, programs[0]);
		explain(prog, err, "load", reason, size);
		goto out;
	}
	for (size_t i = 0; programs[i]; i++) {
		prog = bpf_object__find_program_by_name(skel->obj, programs[i]);
		err = try_attach(prog);
		if (err) {
			explain(prog, err, "attach", reason, size);
			goto out;
		}
	}
out:
	tapwatch_bpf__destroy(skel);
	return err;
}
