/* SPDX-License-Identifier: GPL-2.0-only */
/* ops.c - operations on fds, and the choice of one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "chaos.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_RANGE_UNSHARE_	2
#define CLOSE_RANGE_CLOEXEC_	4

/* Mostly one that is there. */
static int any_tun_fd(void)
{
	int fd = -1;

	for (int tries = 4; tries; tries--) {
		fd = rnd_between(FD_TUN, chance(90) ? FD_SOCKET - 1 : FD_MAX - 1);
		if (fcntl(fd, F_GETFD) >= 0)
			break;
	}
	return fd;
}

static int any_fd(void)
{
	return rnd_between(FD_TUN, FD_MAX - 1);
}

/* ---- fds ------------------------------------------------------------------ */

static void op_open(void)
{
	static const int modes[] = { O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY };
	int fd = open(TUN_PATH, modes[rnd(5)] | (chance(30) ? O_CLOEXEC : 0));

	note("open", fd, 0, 0, 0, NULL);
}

static void op_open_path(void)
{
	note("open O_PATH", open(TUN_PATH, O_PATH), 0, 0, 0, NULL);
}

static void op_open_null(void)
{
	note("open null", open("/dev/null", O_RDWR), 0, 0, 0, NULL);
}

static void op_dup(void)
{
	int fd = any_tun_fd();

	note("dup", dup(fd), fd, 0, 0, NULL);
}

static void op_dup2(void)
{
	int fd = any_tun_fd(), to = any_fd();

	note("dup2", dup2(fd, to), fd, to, 0, NULL);
}

static void op_dup3(void)
{
	int fd = any_tun_fd(), to = any_fd(), flags = chance(50) ? O_CLOEXEC : 0;

	note("dup3", dup3(fd, to, flags), fd, to, !!flags, NULL);
}

static void op_dupfd(void)
{
	int fd = any_tun_fd(), from = any_fd();

	note("F_DUPFD", fcntl(fd, F_DUPFD, from), fd, from, 0, NULL);
}

static void op_dupfd_cloexec(void)
{
	int fd = any_tun_fd(), from = rnd_between(FD_TUN, FD_SOCKET - 1);

	note("F_DUPFD_CLOEXEC", fcntl(fd, F_DUPFD_CLOEXEC, from), fd, from, 0, NULL);
}

static void op_cloexec(void)
{
	int fd = any_fd(), set = chance(50);

	note("F_SETFD", fcntl(fd, F_SETFD, set ? FD_CLOEXEC : 0), fd, set, 0, NULL);
}

static void op_close(void)
{
	int fd = any_tun_fd();

	note("close", close(fd), fd, 0, 0, NULL);
}

static void op_close_any(void)
{
	int fd = any_fd();

	note("close", close(fd), fd, 0, 0, NULL);
}

static void op_close_range(void)
{
	static const unsigned int flags[] = { 0, 0, CLOSE_RANGE_UNSHARE_, CLOSE_RANGE_CLOEXEC_,
					      CLOSE_RANGE_UNSHARE_ | CLOSE_RANGE_CLOEXEC_ };
	unsigned int first = any_fd(), last = chance(15) ? ~0U : first + rnd(12), how = flags[rnd(5)];

	note("close_range", syscall(SYS_close_range, first, last, how), first, last, how, NULL);
}

static void op_unshare(void)
{
	note("unshare CLONE_FILES", unshare(CLONE_FILES), 0, 0, 0, NULL);
}

/* ---- tun ioctls ------------------------------------------------------------ */

/* The name tells what the device is to be, so that many fit; some do not, as in life. */
static void op_bind(void)
{
	struct ifreq ifr = { 0 };
	int fd = any_tun_fd(), number = random_name(ifr.ifr_name);

	ifr.ifr_flags = (number >= 6 ? IFF_TUN : IFF_TAP) | (number < 4 ? IFF_MULTI_QUEUE : 0);
	if (chance(5))
		ifr.ifr_flags ^= IFF_MULTI_QUEUE;
	if (chance(5))
		ifr.ifr_flags ^= IFF_TUN | IFF_TAP;
	if (chance(30))
		ifr.ifr_flags |= IFF_NO_PI;
	if (chance(20))
		ifr.ifr_flags |= IFF_VNET_HDR;
	if (chance(3))
		ifr.ifr_flags |= IFF_TUN_EXCL;
	if (chance(8))
		strcpy(ifr.ifr_name, chance(50) ? "tap%d" : "");
	note("TUNSETIFF", ioctl(fd, TUNSETIFF, &ifr), fd, (unsigned short)ifr.ifr_flags, 0, ifr.ifr_name);
}

static void op_queue(void)
{
	struct ifreq ifr = { .ifr_flags = chance(50) ? IFF_DETACH_QUEUE : IFF_ATTACH_QUEUE };
	int fd = any_tun_fd();

	note(ifr.ifr_flags == IFF_ATTACH_QUEUE ? "queue attach" : "queue detach",
	     ioctl(fd, TUNSETQUEUE, &ifr), fd, 0, 0, NULL);
}

static void op_persist(void)
{
	int fd = any_tun_fd(), on = chance(35);

	note("TUNSETPERSIST", ioctl(fd, TUNSETPERSIST, (unsigned long)on), fd, on, 0, NULL);
}

static void op_owner(void)
{
	int fd = any_tun_fd(), id = rnd(4) * 1000, group = chance(50);

	note(group ? "TUNSETGROUP" : "TUNSETOWNER", ioctl(fd, group ? TUNSETGROUP : TUNSETOWNER, (unsigned long)id),
	     fd, id, 0, NULL);
}

static void op_other_ioctl(void)
{
	struct ifreq ifr;
	int fd = any_tun_fd();

	note("TUNGETIFF", ioctl(fd, TUNGETIFF, &ifr), fd, 0, 0, NULL);
}

const struct op fd_ops[] = {
	{ "open", 90, op_open }, { "open-path", 4, op_open_path }, { "open-null", 12, op_open_null },
	{ "dup", 60, op_dup }, { "dup2", 80, op_dup2 }, { "dup3", 40, op_dup3 },
	{ "dupfd", 40, op_dupfd }, { "dupfd-cloexec", 30, op_dupfd_cloexec }, { "cloexec", 12, op_cloexec },
	{ "close", 150, op_close }, { "close-any", 20, op_close_any }, { "close-range", 14, op_close_range },
	{ "unshare", 8, op_unshare },
	{ "bind", 60, op_bind }, { "queue", 40, op_queue }, { "persist", 14, op_persist }, { "owner", 8, op_owner },
	{ "getiff", 6, op_other_ioctl },
	{ NULL, 0, NULL }
};

/* ---- the choice ------------------------------------------------------------- */

static const struct op *all[128];
static unsigned int n_all, all_weight, fd_weight;

void ops_init(void)
{
	const struct op *const tables[] = { fd_ops, birth_ops, pass_ops, link_ops };

	for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
		for (const struct op *op = tables[t]; op->name; op++) {
			all[n_all++] = op;
			all_weight += op->weight;
			if (tables[t] == fd_ops)
				fd_weight += op->weight;
		}
}

static void op_run(unsigned int at)
{
	unsigned int i = 0;

	for (; i + 1 < n_all && at >= all[i]->weight; i++)
		at -= all[i]->weight;
	if (me)
		atomic_store(&me->op, i + 1);
	all[i]->run();
}

void op_random(void)
{
	op_run(rnd(all_weight));
}

void op_random_simple(void)
{
	op_run(rnd(fd_weight));
}
