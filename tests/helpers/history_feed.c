// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_feed - made-up virtual machines come and go, and what happens is
 * recorded, without a kernel that traces: for tests and benchmarks of the
 * history. Facts go through the state machine, as those of the kernel do.
 *
 *	history_feed --db FILE --events N [--alive N] [--names N] [--step NS] [--begin NS] [--first N]
 *		     [--cmdline BYTES] [--keep NS] [--max-size BYTES] [--report] [--paced N] [--kinds]
 *
 * --alive machines exist at a time (100); their interfaces have one of --names
 * names (50000); an event comes each --step ns of made-up time (1000000), which
 * begins at --begin (CLOCK_REALTIME; so that it ends now) with machine number
 * --first. --paced N: as many events a real second. --report: "durable SEQ"
 * on a line whenever that grows, and what fails.
 *
 * At the end a JSON object: events, seconds, events a second, bytes, peak
 * memory, and how long the longest call took.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../user/history.h"
#include "../unit/facts.h"

#define SECOND 1000000000ULL
#define BOOT "00000000-1111-2222-3333-444444444444"
#define MANAGER 900	/* pid of the one who makes the devices */

struct feed {
	struct history_options options;
	struct history *h;
	struct bindings *b;
	uint64_t events, alive, names, step, begin, first, cmdline_len, paced;
	bool report;
	uint64_t told, time_ns, durable, lost, longest_ns;
	uint64_t began;
	struct machine {
		uint32_t pid;
		struct vm vm;
		struct process_info info;
		char exe[64], cgroup[96], name[32], uuid[40], cmdline[4096];
	} machine[256], *at, manager;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

/* --- what /proc would tell --- */

static void describe_machine(const struct feed *feed, struct machine *f, uint32_t pid)
{
	size_t len = (size_t)snprintf(f->cmdline, sizeof(f->cmdline), "/usr/bin/qemu-system-x86_64%c-name%cguest=vm%u,"
				      "debug-threads=on%c-uuid%c00000000-0000-4000-8000-%012u%c", 0, 0, pid, 0, 0, pid, 0);

	/* the rest of such a line repeats itself, but for paths and addresses */
	f->pid = pid;
	while (len + 64 < feed->cmdline_len)
		len += (size_t)snprintf(f->cmdline + len, sizeof(f->cmdline) - len,
					"-device%cvirtio-blk-pci,bus=pci.%zu,drive=vm%u-disk%zu%c", 0, len / 64, pid, len / 64, 0);
	snprintf(f->exe, sizeof(f->exe), "/usr/bin/qemu-system-x86_64");
	snprintf(f->cgroup, sizeof(f->cgroup), "/machine.slice/machine-qemu\\x2d%u\\x2dvm%u.scope/libvirt/emulator", pid, pid);
	snprintf(f->name, sizeof(f->name), "vm%u", pid);
	snprintf(f->uuid, sizeof(f->uuid), "00000000-0000-4000-8000-%012u", pid);
	f->vm = (struct vm){ .role = ROLE_VM, .type = "qemu", .manager = "libvirt", .name = f->name, .uuid = f->uuid };
	f->info = (struct process_info){
		.exe = f->exe, .cgroup = f->cgroup, .user = "libvirt-qemu", .cmdline = f->cmdline, .cmdline_len = len,
		.vm = &f->vm, .vm_pid = pid,
	};
}

static void describe_manager(struct machine *f)
{
	f->vm = (struct vm){ .role = ROLE_VM_MANAGER, .type = "libvirtd" };
	f->info = (struct process_info){
		.exe = "/usr/sbin/libvirtd", .cgroup = "/system.slice/libvirtd.service", .user = "root",
		.cmdline = "/usr/sbin/libvirtd\0--timeout\000120", .cmdline_len = 33, .vm = &f->vm,
	};
}

static const struct process_info *describe(void *ctx, const struct tw_task *task)
{
	struct feed *f = ctx;

	f->at = task->pid == MANAGER ? &f->manager : &f->machine[task->pid % 256];
	if (task->pid == MANAGER)
		describe_manager(f->at);
	else if (f->at->pid != task->pid)
		describe_machine(f, f->at, task->pid);
	return &f->at->info;
}

static void on_change(void *ctx, const struct change *c)
{
	struct feed *f = ctx;
	struct event event = {
		.change = c, .boot_id = BOOT, .source = "fentry", .realtime_ns = f->begin + c->time_ns,
	};

	if (c->task) {
		event.process = describe(f, c->task);
		if (process_machine(event.process)) {
			event.vm_type = f->at->vm.type;
			event.vm_name = f->at->vm.name;
			event.vm_uuid = f->at->vm.uuid;
			event.vm_manager = f->at->vm.manager;
		}
	}
	history_put(f->h, &event);
	f->told++;
	f->time_ns += f->step;
}

/* --- machines --- */

static struct tw_event by_manager(struct tw_event e)
{
	e = by(MANAGER, e);
	e.task.uid = 0;
	fact_name(e.task.comm, "libvirtd");
	return e;
}

static struct tw_event by_machine(uint32_t pid, struct tw_event e)
{
	e = by(pid, e);
	e.task.uid = 64055;
	e.task.ppid = 1;
	fact_name(e.task.comm, "qemu-system-x86");
	return e;
}

static void apply(struct feed *f, struct tw_event e)
{
	uint64_t begin = now_ns(CLOCK_MONOTONIC), took;

	e.time_ns = f->time_ns;
	if (bindings_apply(f->b, &e) == -ENOMEM)
		exit(1);
	took = now_ns(CLOCK_MONOTONIC) - begin;
	if (took > f->longest_ns)
		f->longest_ns = took;
}

static struct tw_dev device_of(struct feed *f, uint64_t n)
{
	char ifname[TW_NAME_LEN];
	struct tw_dev d;

	snprintf(ifname, sizeof(ifname), "vnet%u", (unsigned)(n % f->names));
	/* never two of a name: the alive ones have different numbers */
	d = cookie(1, tap(n, 4026531840u, (uint32_t)(n % 1000000000), ifname));
	d.tun_flags |= IFF_VNET_HDR;
	return d;
}

static uint32_t pid_of(uint64_t n)
{
	return (uint32_t)(1000 + n % 4000000);
}

static struct tw_event state(struct tw_dev d)
{
	return with(TW_F_RTNL, dev(0, TW_DEV_STATE, d));
}

static void start_machine(struct feed *f, uint64_t n)
{
	struct tw_dev d = device_of(f, n);
	int fd = (int)(20 + n % 50);
	uint32_t pid = pid_of(n);

	apply(f, by_manager(addr(0xffff888000000000 + n * 256, socket_in(d.netns, file_open(0, MANAGER, n)))));
	apply(f, by_manager(fd_install(0, MANAGER, fd, n)));
	apply(f, by_manager(dev_new_by(0, MANAGER, n, d)));
	memcpy(d.mac, "\xfe\x54\0\0\0", 5);
	d.mac[5] = (uint8_t)n;
	apply(f, by_manager(state(d)));
	d.master_ifindex = 3;
	fact_name(d.master, "virbr0");
	apply(f, by_manager(state(d)));
	d.if_flags = 1;
	apply(f, by_manager(state(d)));
	apply(f, by_machine(pid, fd_install(0, pid, 30, n)));
	apply(f, by_manager(fd_close(0, MANAGER, fd, n)));
	apply(f, by_machine(pid, vhost(0, pid, n, 0, n)));
}

static void end_machine(struct feed *f, uint64_t n)
{
	struct tw_dev d = device_of(f, n);
	uint32_t pid = pid_of(n);

	d.master_ifindex = 3;
	fact_name(d.master, "virbr0");
	memcpy(d.mac, "\xfe\x54\0\0\0", 5);
	d.mac[5] = (uint8_t)n;
	apply(f, by_machine(pid, vhost(0, pid, n, 0, 0)));
	apply(f, by_manager(state(d)));
	apply(f, by_machine(pid, fd_close(0, pid, 30, n)));
	apply(f, by_machine(pid, in_close(n, dev(0, TW_DEV_GONE, d))));
	apply(f, by_machine(pid, file_release(0, pid, n)));
}

/* --- pace and failures, as cmd_record.c has them --- */

static void resume(struct feed *f)
{
	struct change change = { .event = EV_GAP, .fd = -1, .time_ns = f->time_ns };
	struct event event = { .change = &change, .boot_id = BOOT, .realtime_ns = f->begin + f->time_ns };
	struct gap_info gap;
	uint64_t lost;

	if (!f->lost)
		printf("stuck %s\n", strerrorname_np(-history_stuck(f->h, NULL)));
	fflush(stdout);
	history_stuck(f->h, &f->lost);
	if (history_resume(f->h, &gap, &lost))
		return;
	event.gap = &gap;
	change.has = CH_COUNT;
	change.count = lost;
	history_put(f->h, &event);
	history_write_snapshot(f->h, f->b);
	if (history_commit(f->h))
		return;
	printf("resumed %" PRIu64 "\n", lost);
	fflush(stdout);
	f->lost = 0;
}

static void work(struct feed *f)
{
	uint64_t begin = now_ns(CLOCK_MONOTONIC), took;

	history_work(f->h, f->b);
	if (history_stuck(f->h, NULL))
		resume(f);
	took = now_ns(CLOCK_MONOTONIC) - begin;
	if (took > f->longest_ns)
		f->longest_ns = took;
	if (f->report && history_durable(f->h) != f->durable) {
		f->durable = history_durable(f->h);
		printf("durable %" PRIu64 "\n", f->durable);
		fflush(stdout);
	}
}

/* Until the pace allows more; meanwhile the history gets its time. */
static void keep_pace(struct feed *f)
{
	uint64_t due = f->began + f->told * SECOND / (f->paced ? f->paced : 1), now;
	struct pollfd poll_fd = { .fd = history_fd(f->h), .events = POLLIN };

	while (f->paced && (now = now_ns(CLOCK_MONOTONIC)) < due) {
		poll(&poll_fd, 1, (int)((due - now) / 1000000) + 1);
		work(f);
	}
}

static void run(struct feed *f)
{
	uint64_t n = f->first;

	f->began = now_ns(CLOCK_MONOTONIC);
	while (f->told < f->events) {
		start_machine(f, n);
		if (n - f->first >= f->alive)
			end_machine(f, n - f->alive);
		/* as often as a ring buffer would be read in a storm */
		if (!(n++ % 16))
			work(f);
		keep_pace(f);
	}
	history_commit(f->h);
	work(f);
}

/* --- start and end --- */

static uint64_t size_of(const char *path, const char *suffix)
{
	char whole[4200];
	struct stat st;

	snprintf(whole, sizeof(whole), "%s%s", path, suffix);
	return stat(whole, &st) ? 0 : (uint64_t)st.st_size;
}

static void print_result(const struct feed *f, uint64_t took)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("{\"events\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.0f,\"bytes\":%" PRIu64 ",\"peak_kib\":%ld,"
	       "\"longest_ms\":%.1f,\"cpu_s\":%.2f}\n",
	       f->told, (double)took / 1e9, (double)f->told * 1e9 / (double)took, size_of(f->options.path, ""),
	       usage.ru_maxrss, (double)f->longest_ns / 1e6,
	       (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
	       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6);
}

static void parse(struct feed *f, int argc, char **argv)
{
	struct { const char *name; uint64_t *to; } numbers[] = {
		{ "events", &f->events }, { "alive", &f->alive }, { "names", &f->names }, { "step", &f->step },
		{ "begin", &f->begin }, { "first", &f->first }, { "cmdline", &f->cmdline_len }, { "paced", &f->paced },
		{ "keep", &f->options.keep_ns }, { "max-size", &f->options.max_bytes },
	};
	struct option longs[13] = { { "db", required_argument, NULL, 'd' }, { "report", no_argument, NULL, 'r' } };
	int code;

	for (int i = 0; i < 10; i++)
		longs[2 + i] = (struct option){ numbers[i].name, required_argument, NULL, 256 + i };
	while ((code = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (code == 'd')
			f->options.path = optarg;
		else if (code == 'r')
			f->report = true;
		else if (code >= 256)
			*numbers[code - 256].to = strtoull(optarg, NULL, 10);
		else
			exit(2);
	}
	if (!f->options.path || !f->events)
		exit(2);
}

int main(int argc, char **argv)
{
	static struct feed f = { .alive = 100, .names = 50000, .step = 1000000, .first = 1, .cmdline_len = 1500 };
	uint64_t begin;
	char err[512];

	parse(&f, argc, argv);
	if (!f.begin)
		f.begin = now_ns(CLOCK_REALTIME) - f.events * f.step;
	f.time_ns = f.step;
	f.options.ctx = &f;
	f.options.describe = describe;
	f.b = bindings_new(on_change, &f);
	if (!f.b || history_open(&f.h, &f.options, err, sizeof(err))) {
		fprintf(stderr, "history_feed: %s\n", err);
		return 1;
	}
	begin = now_ns(CLOCK_MONOTONIC);
	run(&f);
	history_close(f.h);
	print_result(&f, now_ns(CLOCK_MONOTONIC) - begin);
	bindings_free(f.b);
	return 0;
}
