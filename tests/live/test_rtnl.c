// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_rtnl.c - netns.c, rtnl.c and rtnl_monitor.c on the running kernel: root only, prints TAP.
 *
 * All happens in a fresh network and mount namespace, which is the monitor's
 * own; further namespaces are held by fds of this program. Waits are for a
 * condition, with a deadline.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../user/netns.h"
#include "../../user/rtnl.h"
#include "../../user/rtnl_monitor.h"

#define DEADLINE_NS 5000000000u

static int tests, failed;
static struct rtnl_monitor *mon;
static uint32_t own_inode;

static void __attribute__((format(printf, 2, 3))) ok(bool good, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	puts("");
	failed += !good;
}

static void __attribute__((format(printf, 1, 2), noreturn)) bail(const char *fmt, ...)
{
	va_list ap;

	printf("Bail out! ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(": %s\n", strerror(errno));
	exit(1);
}

/* Runs a command in a shell; must succeed. */
static void __attribute__((format(printf, 1, 2))) sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd))
		bail("%s", cmd);
}

/* A namespace called /run/netns/NAME. */
static uint32_t named(const char *name)
{
	uint32_t inode;

	sh("ip netns add %s", name);
	if (netns_resolve(name, &inode))
		bail("resolve %s", name);
	return inode;
}

/* ---- facts as they come ---- */

static struct tw_event facts[4096];
static size_t nfacts;

static int keep(void *ctx, const struct tw_event *fact)
{
	(void)ctx;
	if (nfacts < sizeof(facts) / sizeof(facts[0]))
		facts[nfacts++] = *fact;
	return 0;
}

static const struct tw_event *find(uint32_t type, int op, uint32_t netns, const char *ifname)
{
	size_t i;

	for (i = 0; i < nfacts; i++)
		if (facts[i].type == type && (op < 0 || facts[i].dev.op == op) &&
		    facts[i].dev.netns == netns && (!ifname || !strcmp(facts[i].dev.ifname, ifname)))
			return &facts[i];
	return NULL;
}

/* Reads until such a fact is there; NULL after the deadline. */
static const struct tw_event *await(uint32_t type, int op, uint32_t netns, const char *ifname)
{
	uint64_t until = rtnl_boottime() + DEADLINE_NS;
	const struct tw_event *fact;

	for (;;) {
		struct pollfd p = { .fd = rtnl_monitor_fd(mon), .events = POLLIN };
		int err = rtnl_monitor_read(mon, keep, NULL);

		if (err)
			printf("# read: %s\n", strerror(-err));
		fact = find(type, op, netns, ifname);
		if (fact || rtnl_boottime() > until)
			return fact;
		poll(&p, 1, 100);
	}
}

static void settle(void)
{
	struct pollfd p = { .fd = rtnl_monitor_fd(mon), .events = POLLIN };

	while (poll(&p, 1, 200) > 0)
		rtnl_monitor_read(mon, keep, NULL);
	nfacts = 0;
}

/* ---- a process in a namespace of its own, without a name ---- */

struct child {
	pid_t pid;
	int in;
};

static struct child child_in_new_ns(void)
{
	struct child c;
	int in[2], out[2];
	char byte;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		bail("pipe");
	c.pid = fork();
	if (!c.pid) {
		close(in[1]);
		if (unshare(CLONE_NEWNET) || write(out[1], "x", 1) != 1)
			_exit(1);
		_exit(read(in[0], &byte, 1) < 0);
	}
	close(in[0]);
	close(out[1]);
	if (read(out[0], &byte, 1) != 1)
		bail("child");
	close(out[0]);
	c.in = in[1];
	return c;
}

static void child_end(struct child *c)
{
	close(c->in);
	waitpid(c->pid, NULL, 0);
}

/* ---- the tests ---- */

static int keep_refs(void *ctx, const struct netns_ref *ref)
{
	char (*seen)[64] = ctx;
	size_t i;

	for (i = 0; seen[i][0]; i++)
		;
	snprintf(seen[i], sizeof(seen[i]), "%u %u %s", ref->inode, ref->source, ref->name ? ref->name : "-");
	return 0;
}

static bool listed(char (*seen)[64], uint32_t inode, unsigned source, const char *name)
{
	char want[64];
	size_t i;

	snprintf(want, sizeof(want), "%u %u %s", inode, source, name);
	for (i = 0; seen[i][0]; i++)
		if (!strcmp(seen[i], want))
			return true;
	return false;
}

static void test_netns(void)
{
	static char seen[4096][64];
	struct netns_names *names = netns_names_new();
	uint32_t a = named("twr-a"), inode = 0, anon, fd_inode, odd;
	struct child c = child_in_new_ns(), d = child_in_new_ns();
	const char *label;
	char word[64];
	int fd;

	snprintf(word, sizeof(word), "pid:%d", c.pid);
	ok(!netns_resolve(word, &anon) && anon != a && anon != own_inode, "pid:PID");
	snprintf(word, sizeof(word), "/proc/%d/ns/net", c.pid);
	ok(!netns_resolve(word, &inode) && inode == anon, "PATH");
	snprintf(word, sizeof(word), "%u", anon);
	ok(!netns_resolve(word, &inode) && inode == anon, "INODE");
	ok(netns_resolve("1", &inode) == -ENOENT, "INODE of none");
	ok(netns_resolve("twr-none", &inode) == -ENOENT, "NAME of none");
	ok(netns_resolve("/twr/none", &inode) == -ENOENT, "PATH of none");
	ok(netns_resolve("pid:2147483647", &inode) == -ENOENT, "pid of none");
	ok(netns_resolve("/proc/self/ns/mnt", &inode) == -EINVAL, "a mount namespace is none");
	ok(netns_resolve("/dev/null", &inode) == -EINVAL, "a device is none");

	/* One that only an fd leads to. */
	snprintf(word, sizeof(word), "/proc/%d/ns/net", d.pid);
	fd = open(word, O_RDONLY | O_CLOEXEC);
	netns_inode(fd, &fd_inode);
	child_end(&d);
	sh("touch /run/netns/twr-stale");
	sh("ip netns add 'twr-\xff\n odd'");
	netns_resolve("twr-\xff\n odd", &odd);
	ok(!netns_each(NETNS_ALL, keep_refs, seen), "enumeration");
	ok(listed(seen, own_inode, NETNS_SELF, "-"), "own namespace");
	ok(listed(seen, a, NETNS_NAMED, "twr-a"), "named namespace");
	ok(listed(seen, odd, NETNS_NAMED, "twr-\xff\n odd"), "name of any bytes");
	ok(listed(seen, anon, NETNS_PROCS, "-"), "namespace of a process");
	ok(listed(seen, fd_inode, NETNS_FDS, "-"), "namespace of an fd");
	ok(netns_cookie(fd) || errno == ENOPROTOOPT, "cookie");
	sh("touch /run/twr-mount; mount --bind /proc/%d/fd/%d /run/twr-mount", getpid(), fd);
	memset(seen, 0, sizeof(seen));
	netns_each(NETNS_MOUNTS, keep_refs, seen);
	ok(listed(seen, fd_inode, NETNS_MOUNTS, "-"), "namespace of a bind mount");
	sh("umount /run/twr-mount");
	close(fd);

	label = netns_label(names, a);
	ok(label && !strcmp(label, "twr-a"), "label");
	ok(!netns_label(names, anon), "no label");
	sh("ip netns attach twr-late %d", c.pid);
	label = netns_label(names, anon);
	ok(label && !strcmp(label, "twr-late"), "label of a name given at once before");
	sh("ip netns del twr-late");
	ok(!netns_label(names, anon), "no label of a name taken away");
	sh("ip netns del twr-a; ip netns del 'twr-\xff\n odd'; rm /run/netns/twr-stale");
	ok(!netns_label(names, a), "no label of a dead namespace");
	child_end(&c);
	netns_names_free(names);
}

static void test_dump(void)
{
	uint32_t a = named("twr-a"), inode;
	struct netns_ref ref = { .inode = a, .path = "/run/netns/twr-a" };
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_VNET_HDR };
	const struct tw_event *f;
	uint64_t before;
	int i, q[3];

	sh("ip -n twr-a link add twbr0 type bridge; ip -n twr-a link set twbr0 up");
	sh("ip -n twr-a tuntap add twt0 mode tap user 1000 group 100 vnet_hdr");
	sh("ip -n twr-a link set twt0 address 02:00:00:00:00:77 master twbr0 up");
	sh("ip -n twr-a tuntap add twu0 mode tun pi");
	nfacts = 0;
	before = rtnl_boottime();
	ok(!rtnl_dump_links(&ref, keep, NULL) && nfacts == 2, "dump of two devices");
	ok(!netns_self(&inode) && inode == own_inode, "back home after the dump");
	f = find(TW_SCAN_DEV, -1, a, "twt0");
	ok(f && f->flags == TW_F_RTNL && f->time_ns >= before && f->time_ns <= rtnl_boottime() &&
	   f->has == (TW_HAS_DEV | TW_HAS_MAC | TW_HAS_UP | TW_HAS_MASTER | TW_HAS_TUN), "tap: what is told");
	ok(f && f->dev.kind == TW_KIND_TAP && f->dev.owner == 1000 && f->dev.group == 100 &&
	   f->dev.tun_flags == (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_PERSIST),
	   "tap: flags %x, owner, group", f ? f->dev.tun_flags : 0);
	ok(f && !strcmp(f->dev.master, "twbr0") && f->dev.master_ifindex, "tap: master");
	ok(f && !memcmp(f->dev.mac, "\x02\0\0\0\0\x77", 6) && f->dev.if_flags & IFF_UP, "tap: mac, up");
	f = find(TW_SCAN_DEV, -1, a, "twu0");
	ok(f && f->has == (TW_HAS_DEV | TW_HAS_UP | TW_HAS_MASTER | TW_HAS_TUN) &&
	   f->dev.kind == TW_KIND_TUN && f->dev.tun_flags == (IFF_TUN | IFF_PERSIST) &&
	   f->dev.owner == -1 && f->dev.group == -1 && !f->dev.master_ifindex, "tun");

	/* Queues: three attached here, one of them disabled. */
	for (i = 0; i < 3; i++) {
		q[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
		strcpy(ifr.ifr_name, "twq0");
		if (ioctl(q[i], TUNSETIFF, &ifr))
			bail("TUNSETIFF");
	}
	ifr.ifr_flags = IFF_DETACH_QUEUE;
	if (ioctl(q[2], TUNSETQUEUE, &ifr))
		bail("TUNSETQUEUE");
	ref.inode = own_inode;
	ref.path = "/proc/self/ns/net";
	nfacts = 0;
	ok(!rtnl_dump_links(&ref, keep, NULL), "dump of our own namespace");
	f = find(TW_SCAN_DEV, -1, own_inode, "twq0");
	ok(f && f->has & TW_HAS_QUEUES && f->dev.queues == 2, "enabled queues");
	for (i = 0; i < 3; i++)
		close(q[i]);

	ref.inode = a;
	ref.path = "/proc/self/ns/net";
	ok(rtnl_dump_links(&ref, keep, NULL) == -ENOENT, "a path that came to mean another namespace");
	sh("ip netns del twr-a");
}

/* The last thing in a namespace is a tap nobody holds: does it die with the name? */
static void test_exit(void)
{
	uint32_t a = named("twr-a");
	struct netns_ref ref = { .inode = a, .path = "/run/netns/twr-a" };
	const struct tw_event *f;
	uint64_t cookie;
	int fd;

	fd = netns_open(&ref);
	cookie = netns_cookie(fd);
	close(fd);
	ok(!rtnl_monitor_add(mon, &ref) && !rtnl_monitor_add(mon, &ref), "added, twice");
	sh("ip -n twr-a tuntap add twt0 mode tap");
	f = await(TW_DEV, TW_DEV_STATE, a, "twt0");
	ok(f && f->flags == TW_F_RTNL && f->dev.kind == TW_KIND_TAP && f->dev.netns_cookie == cookie &&
	   (f->has & (TW_HAS_MAC | TW_HAS_TUN | TW_HAS_UP | TW_HAS_MASTER | TW_HAS_QUEUES)) ==
	   (TW_HAS_MAC | TW_HAS_TUN | TW_HAS_UP | TW_HAS_MASTER), "device of another namespace");
	sh("ip netns del twr-a");
	f = await(TW_NETNS_EXIT, -1, a, NULL);
	ok(f && f->dev.netns_cookie == cookie, "the namespace dies with its name, heard");
	ok(!find(TW_DEV, TW_DEV_GONE, a, "twt0"), "its devices' ends are not told one by one");
	settle();

	/* The numbers are reused at once. */
	a = named("twr-a");
	ok(!rtnl_monitor_add_pid(mon, getpid()), "our own added: nothing to do");
	ok(!rtnl_monitor_add(mon, &(struct netns_ref){ .inode = a, .path = "/run/netns/twr-a" }), "successor");
	sh("ip netns del twr-a");
	f = await(TW_NETNS_EXIT, -1, a, NULL);
	ok(f && (!cookie || f->dev.netns_cookie != cookie), "successor's end");
	settle();
}

static int first_exit(void *ctx, const struct tw_event *fact)
{
	(void)ctx;
	return fact->type == TW_NETNS_EXIT;
}

/* Waits for a death by a monitor of its own, so that `mon` stays unread. */
static void await_exit_unread(const struct netns_ref *ref, const char *kill)
{
	uint64_t until = rtnl_boottime() + DEADLINE_NS;
	struct rtnl_monitor *other;

	if (rtnl_monitor_new(&other) || rtnl_monitor_add(other, ref))
		bail("second monitor");
	sh("%s", kill);
	while (rtnl_monitor_read(other, first_exit, NULL) <= 0 && rtnl_boottime() < until) {
		struct pollfd p = { .fd = rtnl_monitor_fd(other), .events = POLLIN };

		poll(&p, 1, 100);
	}
	rtnl_monitor_free(other);
}

/* Death and reuse of the number while nobody reads. */
static void test_reuse(void)
{
	uint32_t a = named("twr-a"), b;
	struct netns_ref ref = { .inode = a, .path = "/run/netns/twr-a" };
	const struct tw_event *f, *older, *newer;
	int tries;

	rtnl_monitor_add(mon, &ref);
	sh("ip -n twr-a tuntap add tw-old mode tap");
	await_exit_unread(&ref, "ip netns del twr-a");
	/* The inode number is freed a little after the nsid: try to get it again. */
	for (tries = 0, b = named("twr-b"); b != a && tries < 50; tries++) {
		sh("ip netns del twr-b");
		usleep(20000);
		b = named("twr-b");
	}
	printf("# inodes %u, %u\n", a, b);
	ref.inode = b;
	ref.path = "/run/netns/twr-b";
	rtnl_monitor_add(mon, &ref);
	sh("ip -n twr-b tuntap add tw-new mode tap");
	newer = await(TW_DEV, TW_DEV_STATE, b, "tw-new");
	older = find(TW_DEV, TW_DEV_STATE, a, "tw-old");
	f = find(TW_NETNS_EXIT, -1, a, NULL);
	ok(older && f && newer && older < f && f < newer, "the former's device, its end, the successor's device");
	ok(older && f && newer && older->dev.netns_cookie == f->dev.netns_cookie &&
	   (!f->dev.netns_cookie || f->dev.netns_cookie != newer->dev.netns_cookie), "each with its own cookie");
	nfacts = 0;
	sh("ip netns del twr-b");
	ok(await(TW_NETNS_EXIT, -1, b, NULL), "end of the successor");
	settle();
}

/* A state of the device with a master. */
static const struct tw_event *await_master(uint32_t netns, const char *ifname)
{
	uint64_t until = rtnl_boottime() + DEADLINE_NS;
	size_t i;

	while (rtnl_boottime() < until) {
		struct pollfd p = { .fd = rtnl_monitor_fd(mon), .events = POLLIN };

		rtnl_monitor_read(mon, keep, NULL);
		for (i = 0; i < nfacts; i++)
			if (facts[i].dev.netns == netns && facts[i].dev.master_ifindex &&
			    !strcmp(facts[i].dev.ifname, ifname))
				return &facts[i];
		poll(&p, 1, 100);
	}
	return NULL;
}

static void test_changes(void)
{
	uint32_t a = named("twr-a");
	const struct tw_event *f;

	ok(!rtnl_monitor_scan(mon, NETNS_CHEAP), "scan");
	sh("ip -n twr-a link add twbr0 type bridge; ip -n twr-a tuntap add twt0 mode tap");
	sh("ip -n twr-a link set twt0 master twbr0");
	f = await_master(a, "twt0");
	ok(f && !strcmp(f->dev.master, "twbr0"), "name of the master in another namespace");
	nfacts = 0;
	sh("ip -n twr-a link set twbr0 name twbr1; ip -n twr-a link set twt0 up");
	f = await(TW_DEV, TW_DEV_STATE, a, "twt0");
	ok(f && f->dev.if_flags & IFF_UP && !strcmp(f->dev.master, "twbr1"), "up; renamed master");
	settle();
	sh("ip -n twr-a link set twt0 nomaster; ip -n twr-a link set twt0 down; ip -n twr-a link set twt0 name twt1");
	f = await(TW_DEV, TW_DEV_STATE, a, "twt1");
	ok(f && !f->dev.master_ifindex && !f->dev.master[0] && f->has & TW_HAS_MASTER, "left the master; renamed");
	ok(!find(TW_DEV, TW_DEV_GONE, a, "twt0"), "leaving a bridge is not an end");
	sh("ip -n twr-a tuntap del twt1 mode tap");
	ok(await(TW_DEV, TW_DEV_GONE, a, "twt1"), "end");
	sh("ip netns del twr-a");
	settle();

	sh("ip tuntap add twt0 mode tap; ip tuntap del twt0 mode tap");
	ok(await(TW_DEV, TW_DEV_GONE, own_inode, "twt0"), "our own namespace");
	ok(find(TW_DEV, TW_DEV_STATE, own_inode, "twt0"), "our own namespace, before");
	settle();
	/* A number within ourselves: own messages then come with one. */
	sh("ip netns attach twr-self %d", getpid());
	sh("ip netns set twr-self 55; ip tuntap add twt1 mode tap");
	ok(await(TW_DEV, TW_DEV_STATE, own_inode, "twt1"), "our own namespace, numbered");
	sh("ip tuntap del twt1 mode tap; ip netns del twr-self");
	ok(await(TW_DEV, TW_DEV_GONE, own_inode, "twt1"), "our own namespace, numbered: end");
	settle();
}

static void test_moves(void)
{
	uint32_t a = named("twr-a"), b = named("twr-b"), anon;
	const struct tw_event *f, *g;
	struct child c;
	char word[64];

	rtnl_monitor_scan(mon, NETNS_CHEAP);
	/* Numbers within the namespaces unlike ours: */
	sh("ip -n twr-a netns set twr-b 77; ip -n twr-b netns set twr-a 78");
	sh("ip tuntap add twt0 mode tap; ip link set twt0 netns twr-a");
	f = await(TW_DEV_MOVE, -1, own_inode, "twt0");
	ok(f && f->move.netns == a, "from our own to another");
	g = await(TW_DEV, TW_DEV_STATE, a, "twt0");
	ok(f && g && f->move.netns_cookie == g->dev.netns_cookie, "the same cookie");
	ok(g && g > f && f->move.ifindex == g->dev.ifindex, "its state there, after the move");
	sh("ip -n twr-b link add twx0 index %u type bridge", g ? g->dev.ifindex : 9);
	settle();
	sh("ip -n twr-a link set twt0 netns twr-b");
	f = await(TW_DEV_MOVE, -1, a, "twt0");
	g = await(TW_DEV, TW_DEV_STATE, b, "twt0");
	ok(f && g && f < g && f->move.netns == b, "between two others");
	ok(f && g && f->move.ifindex == g->dev.ifindex, "ifindex there (%u -> %u)", f ? f->dev.ifindex : 0,
	   g ? g->dev.ifindex : 0);
	settle();
	sh("ip -n twr-b link set twt0 netns %d name twt9", getpid());
	f = await(TW_DEV_MOVE, -1, b, NULL);
	g = await(TW_DEV, TW_DEV_STATE, own_inode, "twt9");
	ok(f && g && f < g && f->move.netns == own_inode, "back to our own, with a new name (old name told: %s)",
	   f ? f->dev.ifname : "");
	settle();

	/* To a namespace that was never added, without a name. */
	c = child_in_new_ns();
	snprintf(word, sizeof(word), "pid:%d", c.pid);
	netns_resolve(word, &anon);
	sh("ip link set twt9 netns twr-a; ip -n twr-a link set twt9 netns %d", c.pid);
	f = await(TW_DEV_MOVE, -1, a, "twt9");
	ok(f && f->move.netns == anon, "to one we had not met");
	g = await(TW_DEV, TW_DEV_STATE, anon, "twt9");
	ok(g && g > f, "its state there is told, though its message was not heard");
	settle();
	child_end(&c);
	ok(await(TW_NETNS_EXIT, -1, anon, NULL), "it dies with its only process");
	settle();

	/* The same from our own: the kernel numbers the namespace itself, just before it tells of the move. */
	c = child_in_new_ns();
	snprintf(word, sizeof(word), "pid:%d", c.pid);
	netns_resolve(word, &anon);
	sh("ip tuntap add twt8 mode tap; nsenter -n -t %d ip tuntap add twt7 mode tap", c.pid);
	settle();
	sh("ip link set twt8 netns %d", c.pid);
	f = await(TW_DEV_MOVE, -1, own_inode, "twt8");
	g = await(TW_DEV, TW_DEV_STATE, anon, "twt8");
	ok(f && g && f < g && f->move.netns == anon, "from our own to one we had not met: the move is told first");
	ok(await(TW_DEV, TW_DEV_STATE, anon, "twt7"), "what else is there is told");
	settle();
	child_end(&c);
	ok(await(TW_NETNS_EXIT, -1, anon, NULL), "and its end");
	settle();
	sh("ip netns del twr-a; ip netns del twr-b");
	ok(await(TW_NETNS_EXIT, -1, a, NULL) && await(TW_NETNS_EXIT, -1, b, NULL), "and the others with their names");
	settle();
}

static void test_many(void)
{
	const int n = 150;
	const struct tw_event *f;
	struct netns_ref ref = { .path = "/run/netns/twr-a" };
	int i, up = 0;

	ref.inode = named("twr-a");
	sh("for i in $(seq %d); do echo tuntap add twm$i mode tap; done | ip -n twr-a -batch -", n);
	nfacts = 0;
	ok(!rtnl_dump_links(&ref, keep, NULL) && nfacts == (size_t)n, "dump of %d devices in several parts", n);
	rtnl_monitor_add(mon, &ref);
	settle();
	sh("for i in $(seq %d); do echo link set twm$i up; done | ip -n twr-a -batch -", n);
	for (i = 1; i <= n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "twm%d", i);
		f = await(TW_DEV, TW_DEV_STATE, ref.inode, name);
		up += f && f->dev.if_flags & IFF_UP;
	}
	ok(up == n, "burst of %d changes heard while not reading (%d)", n, up);
	sh("ip netns del twr-a");
	settle();
}

/* Overflow: lost messages are told, and listening goes on. */
static void test_overflow(void)
{
	uint32_t a = named("twr-a");
	int i, err = 0, small = 4096;

	rtnl_monitor_scan(mon, NETNS_CHEAP);
	setsockopt(rtnl_monitor_fd(mon), SOL_SOCKET, SO_RCVBUFFORCE, &small, sizeof(small));
	sh("ip -n twr-a tuntap add twt0 mode tap");
	for (i = 0; i < 8; i++)
		sh("ip -n twr-a link set twt0 up; ip -n twr-a link set twt0 down");
	for (i = 0; i < 1000 && !err; i++)
		err = rtnl_monitor_read(mon, keep, NULL);
	ok(err == -ENOBUFS, "loss is told");
	small = 4 << 20;
	setsockopt(rtnl_monitor_fd(mon), SOL_SOCKET, SO_RCVBUFFORCE, &small, sizeof(small));
	settle();
	sh("ip -n twr-a link set twt0 up");
	ok(await(TW_DEV, TW_DEV_STATE, a, "twt0"), "heard again afterwards");
	sh("ip netns del twr-a");
	ok(await(TW_NETNS_EXIT, -1, a, NULL), "its end too");
	settle();
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (geteuid()) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	if (access("/dev/net/tun", R_OK | W_OK)) {
		puts("1..0 # SKIP no /dev/net/tun");
		return 0;
	}
	/* Names of ours must neither be seen by nor left to anyone. */
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("twr", "/run", "tmpfs", 0, "mode=755") || mkdir("/run/netns", 0755))
		bail("private namespaces");
	if (netns_self(&own_inode))
		bail("netns_self");
	test_netns();
	test_dump();
	if (rtnl_monitor_new(&mon))
		bail("rtnl_monitor_new");
	ok(!rtnl_monitor_scan(mon, NETNS_ALL), "first scan");
	settle();
	test_exit();
	test_reuse();
	test_changes();
	test_moves();
	test_many();
	test_overflow();
	rtnl_monitor_free(mon);
	printf("1..%d\n", tests);
	return failed != 0;
}
