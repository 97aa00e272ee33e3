// SPDX-License-Identifier: GPL-2.0-only
/*
 * report_feed - a made-up history with something of everything, without a
 * kernel that traces: for tests of pictures and of the report.
 *
 *	report_feed --db FILE [--machines N] [--hostile] [--chatter N]
 *
 * A helper makes persistent taps, machines (50) on bridges of some namespaces
 * take them, one is refused, one is moved and renamed, one waits for long; a
 * VPN, a device that nobody holds, a loss and a gap; some machines end again, then
 * the host is restarted and three of them come back.
 * --hostile: names that want to be markup. --chatter: so many events more of
 * a device that comes and goes.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../user/history.h"
#include "../../user/netns.h"
#include "../../user/vm_track.h"
#include "../unit/facts.h"

#define SECOND 1000000000ULL
#define MS 1000000ULL
#define BOOT "00000000-1111-2222-3333-444444444444"
#define NEXT_BOOT "55555555-1111-2222-3333-444444444444"
#define TENANT 4026532500u

static const char evil_vm[] = "</script><script>alert(1)</script>\xe2\x80\xa8\"'&<!--";
static const char evil_netns[] = "a\"b<c>&amp;\xff\n\xe2\x80\xae";
static const char evil_ifname[] = "<b>\"&'\xff\xef\xbf\xbf";

struct machine {
	uint32_t pid, netns;
	uint64_t file, gen, start_ns;
	char name[96], uuid[64], cgroup[96];
	const char *comm;
	struct vm vm;
	struct process_info info;
};

static uint32_t init_netns;	/* the real one, so that it is told as "init" */

static struct feed {
	struct history_options options;
	struct history *h;
	struct bindings *b;
	struct vm_track *track;
	uint64_t time_ns, begin;
	unsigned long machines, chatter;
	bool hostile;
	const char *boot_id;
	struct machine *machine;
	struct { struct vm vm; struct process_info info; } helper;
} f = { .machines = 50, .boot_id = BOOT };

static void *need(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "report_feed: out of memory\n");
	exit(1);
}

/* ---- what /proc would tell ---- */

static struct machine *machine_of(uint32_t pid)
{
	return pid >= 10000 && pid < 10000 + f.machines ? &f.machine[pid - 10000] : NULL;
}

static const struct process_info *describe(void *ctx, const struct tw_task *task)
{
	static const struct { const char *comm; enum role role; const char *exe; } helpers[] = {
		{ "ip", ROLE_NETWORK_MANAGER, "/usr/bin/ip" }, { "libvirtd", ROLE_VM_MANAGER, "/usr/sbin/libvirtd" },
		{ "openvpn", ROLE_VPN, "/usr/sbin/openvpn" },
	};
	struct machine *m = machine_of(task->pid);

	(void)ctx;
	if (m)
		return &m->info;
	f.helper.info = (struct process_info){ .user = "root", .cgroup = "/system.slice" };
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
		if (strcmp(task->comm, helpers[i].comm))
			continue;
		f.helper.vm = (struct vm){ .role = helpers[i].role, .type = helpers[i].comm };
		f.helper.info.vm = &f.helper.vm;
		f.helper.info.exe = helpers[i].exe;
	}
	return &f.helper.info;
}

static const char *label(void *ctx, uint32_t netns)
{
	static char text[32];

	(void)ctx;
	if (netns == init_netns || !netns)
		return NULL;
	if (f.hostile && netns == TENANT)
		return evil_netns;
	snprintf(text, sizeof(text), "tenant-%u", netns - TENANT);
	return text;
}

/* ---- events ---- */

static void put_event(struct event *event, const struct change *c)
{
	char names[4][64];

	event->change = c;
	event->boot_id = f.boot_id;
	event->source = c->event == EV_EXIST || (c->has & CH_SEED) ? "seed" : "fentry";
	event->realtime_ns = f.begin + c->time_ns;
	if (c->task)
		event->process = describe(NULL, c->task);
	if (c->dev && label(NULL, c->dev->d.netns))
		event->netns_name = strcpy(names[0], label(NULL, c->dev->d.netns));
	if ((c->has & CH_OLD_NETNS) && label(NULL, c->old.netns))
		event->old_netns_name = strcpy(names[1], label(NULL, c->old.netns));
	if (c->task && label(NULL, c->task->netns))
		event->process_netns_name = strcpy(names[2], label(NULL, c->task->netns));
	history_put(f.h, event);
}

static void on_change(void *ctx, const struct change *c)
{
	const struct vm *vm = c->task ? process_machine(describe(NULL, c->task)) : NULL;
	struct event event = { .seq = 0 };
	struct vm_notice notice;

	(void)ctx;
	if (vm) {
		event.vm_type = vm->type;
		event.vm_name = vm->name;
		event.vm_uuid = vm->uuid;
		event.vm_manager = vm->manager;
	}
	event.change = c;
	if (c->task)
		event.process = describe(NULL, c->task);
	event.seq = history_last(f.h) + 1;
	bool due = vm_track_event(f.track, &event, &notice);
	put_event(&event, c);
	if (due) {
		struct change start = *c;
		struct event told = {
			.vm_type = notice.type, .vm_name = notice.name, .vm_uuid = notice.uuid, .vm_manager = notice.manager,
			.earlier = notice.earlier, .n_earlier = notice.n_earlier,
		};

		start.event = notice.event;
		start.task = &notice.task;
		start.has &= CH_TASK | CH_FD;
		put_event(&told, &start);
	}
}

/* `after` ns later than the one before */
static void apply(uint64_t after, struct tw_event e)
{
	f.time_ns += after;
	e.time_ns = f.time_ns;
	if (bindings_apply(f.b, &e)) {
		fprintf(stderr, "report_feed: the state machine refused a fact of type %d\n", e.type);
		exit(1);
	}
	history_work(f.h, f.b);
}

static struct tw_event named(const char *comm, uint32_t uid, struct tw_event e)
{
	fact_name(e.task.comm, comm);
	e.task.uid = uid;
	e.task.netns = init_netns;
	e.task.start_ns = machine_of(e.task.pid) ? machine_of(e.task.pid)->start_ns : e.task.pid * MS;
	return e;
}

#define HELPER(pid, name, e) named(name, 0, by(pid, e))

static struct tw_event own(const struct machine *m, struct tw_event e)
{
	return named(m->comm, 64055, by(m->pid, e));
}

static struct tw_event state(struct tw_dev d)
{
	return with(TW_F_RTNL, dev(0, TW_DEV_STATE, d));
}

static struct tw_dev device_of(const struct machine *m, unsigned long n)
{
	char ifname[64];
	struct tw_dev d;

	snprintf(ifname, sizeof(ifname), "vnet%lu", n);
	if (f.hostile && n == 1)
		strcpy(ifname, evil_ifname);
	d = cookie(1, tap(m->gen, init_netns, 10 + (uint32_t)n, ifname));
	d.tun_flags |= IFF_VNET_HDR | IFF_NO_PI;
	memcpy(d.mac, "\xfe\x54\0\0\0", 5);
	d.mac[5] = (uint8_t)n;
	return d;
}

/* `ip tuntap add`: there already when the machine comes */
static void prepare(const struct machine *m, struct tw_dev *d, uint32_t pid)
{
	uint64_t file = m->file + 100000;

	apply(20 * MS, HELPER(pid, "ip", socket_in(init_netns, file_open(0, pid, file))));
	apply(0, HELPER(pid, "ip", fd_install(0, pid, 4, file)));
	apply(MS / 5, HELPER(pid, "ip", dev_new_by(0, pid, file, *d)));
	d->tun_flags |= IFF_PERSIST;
	apply(MS / 5, HELPER(pid, "ip", in_ioctl(TUNSETPERSIST, file, queues(state(*d), file))));
	d->owner = 64055;
	apply(MS / 5, HELPER(pid, "ip", in_ioctl(TUNSETOWNER, file, queues(state(*d), file))));
	apply(MS / 5, HELPER(pid, "ip", fd_close(0, pid, 4, file)));
	apply(0, HELPER(pid, "ip", file_release(0, pid, file)));
}

static void join(struct tw_dev *d, unsigned long n, const char *comm, uint32_t pid, uint64_t file)
{
	char bridge[16];

	snprintf(bridge, sizeof(bridge), "br%lu", n % 3);
	d->master_ifindex = 3 + (uint32_t)(n % 3);
	memset(d->master, 0, sizeof(d->master));
	fact_name(d->master, bridge);
	apply(3 * MS, HELPER(pid, comm, queues(state(*d), file)));
	d->if_flags = 1;
	apply(2 * MS, HELPER(pid, comm, queues(state(*d), file)));
}

static void begin_process(struct machine *m, uint64_t after)
{
	m->start_ns = m->info.vm_start_ns = f.time_ns + after;
}

static void start_by_helper(struct machine *m, unsigned long n)
{
	struct tw_dev d = device_of(m, n);
	uint32_t ip = 2000 + (uint32_t)n;

	prepare(m, &d, ip);
	if (n % 5 == 0 && n) {
		d.netns = m->netns;
		d.netns_cookie = m->netns;
		apply(9 * MS, HELPER(ip + 400, "ip", dev(0, TW_DEV_STATE, d)));
	}
	if (n == 5) {
		memset(d.ifname, 0, sizeof(d.ifname));
		fact_name(d.ifname, "uplink0");
		apply(4 * MS, HELPER(ip + 500, "ip", dev(0, TW_DEV_STATE, d)));
	}
	/* the hypervisor takes its time */
	begin_process(m, 30 * MS);
	apply(n == 2 ? 8400 * MS : 150 * MS, own(m, socket_in(init_netns, file_open(0, m->pid, m->file))));
	apply(0, own(m, fd_install(0, m->pid, 12, m->file)));
	apply(MS, own(m, in_ioctl(TUNSETIFF, m->file, queues(dev(0, TW_DEV_STATE, d), m->file))));
	join(&d, n, "ip", ip + 600, m->file);
	apply(30 * MS, own(m, vhost(0, m->pid, m->file, 0, m->file)));
}

/* libvirt makes the device and hands its fd over */
static void start_by_manager(struct machine *m, unsigned long n)
{
	struct tw_dev d = device_of(m, n);
	uint64_t file = m->file;
	int fd = 20 + (int)(n % 9);

	apply(50 * MS, HELPER(900, "libvirtd", socket_in(init_netns, file_open(0, 900, file))));
	apply(0, HELPER(900, "libvirtd", fd_install(0, 900, fd, file)));
	apply(MS, HELPER(900, "libvirtd", dev_new_by(0, 900, file, d)));
	join(&d, n, "libvirtd", 900, file);
	begin_process(m, 12 * MS);
	apply(310 * MS, own(m, by_how(TW_HOW_SCM_RIGHTS, fd_install(0, m->pid, 30, file))));
	apply(MS, HELPER(900, "libvirtd", fd_close(0, 900, fd, file)));
	apply(25 * MS, own(m, vhost(0, m->pid, file, 0, file)));
}

static void refuse(const struct machine *holder)
{
	struct tw_dev d = device_of(holder, (unsigned long)(holder - f.machine));
	uint32_t pid = 7777;

	apply(SECOND, HELPER(pid, "qemu-system-x86", socket_in(init_netns, file_open(0, pid, 777777))));
	apply(0, HELPER(pid, "qemu-system-x86", fd_install(0, pid, 3, 777777)));
	apply(MS, HELPER(pid, "qemu-system-x86", on_dev(d, asking(d.ifname, with(TW_F_UNBOUND,
	      ioctl_end(0, pid, 777777, TUNSETIFF, -EBUSY))))));
	apply(MS, HELPER(pid, "qemu-system-x86", fd_close(0, pid, 3, 777777)));
	apply(0, HELPER(pid, "qemu-system-x86", file_release(0, pid, 777777)));
}

static void stop(const struct machine *m, unsigned long n)
{
	struct tw_dev d = device_of(m, n);
	struct vm_notice notice;
	struct change change = { .event = EV_VM_STOP, .has = CH_TASK, .fd = -1 };
	struct event event = { .seq = 0 };

	apply(40 * SECOND, own(m, vhost(0, m->pid, m->file, 0, 0)));
	apply(10 * MS, own(m, fd_close(0, m->pid, n % 2 ? 30 : 12, m->file)));
	if (n % 2)
		apply(0, own(m, in_close(m->file, dev(0, TW_DEV_GONE, d))));
	apply(0, own(m, file_release(0, m->pid, m->file)));
	if (!vm_track_ended(f.track, m->pid, m->start_ns, &notice))
		return;
	f.time_ns += 80 * MS;
	change.time_ns = f.time_ns;
	change.task = &notice.task;
	event.vm_type = notice.type;
	event.vm_name = notice.name;
	event.vm_uuid = notice.uuid;
	event.vm_manager = notice.manager;
	put_event(&event, &change);
}

/* ---- the story ---- */

static void tell(enum event_kind kind, uint64_t count)
{
	struct change change = { .event = kind, .has = count ? CH_COUNT : 0, .count = count, .fd = -1, .time_ns = f.time_ns };
	struct event event = { .seq = 0 };
	struct gap_info gap = { .reason = "killed", .from_realtime_ns = f.begin + f.time_ns - 5 * SECOND, .from_boot_id = BOOT };
	struct ready_info ready = { .backend = "fentry", .seed = "iter" };

	event.gap = kind == EV_GAP ? &gap : NULL;
	event.ready = kind == EV_READY ? &ready : NULL;
	put_event(&event, &change);
}

static int keep_watching(void *ctx, uint32_t pid, uint64_t start_ns)
{
	(void)ctx;
	(void)pid;
	(void)start_ns;
	return 0;
}

static void make_machines(void)
{
	f.machine = need(calloc(f.machines, sizeof(*f.machine)));
	for (unsigned long n = 0; n < f.machines; n++) {
		struct machine *m = &f.machine[n];

		m->pid = 10000 + (uint32_t)n;
		m->netns = n % 5 == 0 && n ? TENANT + (uint32_t)(n / 5 % 3) : init_netns;
		m->file = 1000 + n;
		m->gen = 5000 + n;
		m->comm = n % 7 == 3 ? "firecracker" : "qemu-system-x86";
		snprintf(m->name, sizeof(m->name), "%s-%02lu", n % 3 ? "web" : "database", n);
		if (f.hostile && n == 0)
			strcpy(m->name, evil_vm);
		snprintf(m->uuid, sizeof(m->uuid), "00000000-0000-4000-8000-%012lu", n);
		snprintf(m->cgroup, sizeof(m->cgroup), "/machine.slice/machine-%lu.scope", n);
		m->vm = (struct vm){
			.role = ROLE_VM, .type = n % 7 == 3 ? "firecracker" : "qemu", .manager = n % 2 ? "libvirt" : NULL,
			.name = m->name, .uuid = m->uuid,
		};
		m->info = (struct process_info){
			.exe = "/usr/bin/vmm", .cgroup = m->cgroup, .user = "libvirt-qemu", .vm = &m->vm, .vm_pid = m->pid,
		};
	}
}

static void others(void)
{
	struct tw_dev vpn = cookie(1, tap(4000, init_netns, 8, "tun0")), left = cookie(1, tap(4001, init_netns, 9, "tap-left-over"));

	vpn.kind = TW_KIND_TUN;
	vpn.tun_flags = IFF_TUN;
	vpn.if_flags = 1;
	apply(MS, HELPER(640, "openvpn", socket_in(init_netns, file_open(0, 640, 600))));
	apply(0, HELPER(640, "openvpn", fd_install(0, 640, 5, 600)));
	apply(MS, HELPER(640, "openvpn", dev_new_by(0, 640, 600, vpn)));
	apply(MS, HELPER(641, "ip", socket_in(init_netns, file_open(0, 641, 601))));
	apply(0, HELPER(641, "ip", fd_install(0, 641, 5, 601)));
	apply(MS, HELPER(641, "ip", dev_new_by(0, 641, 601, left)));
	left.tun_flags |= IFF_PERSIST;
	apply(MS, HELPER(641, "ip", in_ioctl(TUNSETPERSIST, 601, queues(state(left), 601))));
	apply(MS, HELPER(641, "ip", fd_close(0, 641, 5, 601)));
	apply(0, HELPER(641, "ip", file_release(0, 641, 601)));
}

static void chatter(void)
{
	for (uint64_t n = 0; history_last(f.h) < f.chatter; n++) {
		struct tw_dev d = cookie(1, tap(1000000 + n, init_netns, 1000000 + (uint32_t)n, "tun-busy"));
		uint64_t file = 2000000 + n;

		apply(5 * MS, HELPER(642, "busy", socket_in(init_netns, file_open(0, 642, file))));
		apply(0, HELPER(642, "busy", fd_install(0, 642, 7, file)));
		apply(MS, HELPER(642, "busy", dev_new_by(0, 642, file, d)));
		apply(MS, HELPER(642, "busy", fd_close(0, 642, 7, file)));
		apply(0, HELPER(642, "busy", in_close(file, dev(0, TW_DEV_GONE, d))));
		apply(0, HELPER(642, "busy", file_release(0, 642, file)));
	}
}

/* Ids go on, nothing else does. */
static void reboot(void)
{
	bindings_free(f.b);
	vm_track_free(f.track);
	f.b = need(bindings_new(on_change, NULL));
	f.track = need(vm_track_new());
	vm_track_on_new(f.track, keep_watching, NULL);
	bindings_ids_from(f.b, 1000000, 1000000);
	f.begin += f.time_ns + 60 * SECOND;
	f.time_ns = 20 * SECOND;
	f.boot_id = NEXT_BOOT;
	tell(EV_GAP, 0);
	tell(EV_READY, 0);
	history_write_snapshot(f.h, f.b);
	for (unsigned long n = 0; n < 8 && n < f.machines; n++) {
		if (n && n < 6)
			continue;
		f.time_ns += SECOND;
		if (n % 2)
			start_by_manager(&f.machine[n], n);
		else
			start_by_helper(&f.machine[n], n);
	}
}

static void run(void)
{
	tell(EV_READY, 0);
	others();
	for (unsigned long n = 0; n < f.machines; n++) {
		f.time_ns += SECOND;
		if (n % 2)
			start_by_manager(&f.machine[n], n);
		else
			start_by_helper(&f.machine[n], n);
		if (n == 2)
			refuse(&f.machine[2]);
	}
	f.time_ns += 60 * SECOND;
	tell(EV_LOST, 7);
	f.time_ns += MS;
	tell(EV_RESYNC, 0);
	history_write_snapshot(f.h, f.b);
	for (unsigned long n = 1; n < 5 && n < f.machines; n++)
		stop(&f.machine[n], n);
	f.time_ns += 20 * SECOND;
	tell(EV_GAP, 0);
	history_write_snapshot(f.h, f.b);
	reboot();
	chatter();
	history_commit(f.h);
	history_work(f.h, f.b);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "db", required_argument, NULL, 'd' }, { "machines", required_argument, NULL, 'm' },
		{ "hostile", no_argument, NULL, 'h' }, { "chatter", required_argument, NULL, 'c' }, { 0 },
	};
	struct timespec now;
	char err[512];
	int code;

	while ((code = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (code) {
		case 'd': f.options.path = optarg; break;
		case 'm': f.machines = strtoul(optarg, NULL, 10); break;
		case 'h': f.hostile = true; break;
		case 'c': f.chatter = strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (!f.options.path || !f.machines || f.machines > 4096)
		return 2;
	clock_gettime(CLOCK_REALTIME, &now);
	f.begin = (uint64_t)(now.tv_sec - 3600) * SECOND;
	f.time_ns = 100 * SECOND;
	f.options.describe = describe;
	f.options.label = label;
	init_netns = netns_initial() ? netns_initial() : 4026531840u;
	make_machines();
	f.b = need(bindings_new(on_change, NULL));
	f.track = need(vm_track_new());
	vm_track_on_new(f.track, keep_watching, NULL);
	if (history_open(&f.h, &f.options, err, sizeof(err))) {
		fprintf(stderr, "report_feed: %s\n", err);
		return 1;
	}
	run();
	printf("%" PRIu64 "\n", history_last(f.h));
	history_close(f.h);
	bindings_free(f.b);
	vm_track_free(f.track);
	free(f.machine);
	return 0;
}
