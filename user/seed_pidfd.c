// SPDX-License-Identifier: GPL-2.0-only
/*
 * seed_pidfd.c - the existing state by copies of the fds: pidfd_getfd(2) and
 * the driver's own ioctls on the copy. The process does not notice, and the
 * ioctls are done with our privileges, not with its.
 *
 * A copy keeps the device and the namespaces alive, and a device that is
 * deleted meanwhile waits for it. So it is closed before anything else is
 * done that could take time.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rtnl.h"
#include "seed_private.h"

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)	/* 4.19 */
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C		/* of tun files: 4.10 */
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL		/* 6.9 */
#endif

static int pidfd_open(pid_t pid, unsigned int flags)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, flags);

	return fd < 0 ? -errno : fd;
}

static int pidfd_getfd(int pidfd, int fd)
{
	int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return copy < 0 ? -errno : copy;
}

/* The copy, or a negative errno. -ESTALE: that fd is another file by now. */
static int get_copy(int pidfd, int fd)
{
	int copy = pidfd_getfd(pidfd, fd);
	struct stat st;

	if (copy < 0)
		return copy;
	if (!fstat(copy, &st) && proc_file_kind(st.st_mode, st.st_rdev) == PROC_TUN)
		return copy;
	close(copy);
	return -ESTALE;
}

/* Inode of the namespace that an ioctl gives an fd of; keeps that fd if asked. 0: the kernel does not tell. */
static uint32_t netns_by(int copy, unsigned long request, int *keep)
{
	int ns = ioctl(copy, request);
	uint32_t inode;

	if (ns < 0)
		return 0;
	if (netns_inode(ns, &inode))
		inode = 0;
	if (keep)
		*keep = ns;
	else
		close(ns);
	return inode;
}

/* Name and flags; 0, or -EBADFD for a file that is bound to nothing. */
static int get_iff(int copy, struct ifreq *ifr)
{
	memset(ifr, 0, sizeof(*ifr));
	if (ioctl(copy, TUNGETIFF, ifr))
		return -errno;
	ifr->ifr_name[IFNAMSIZ - 1] = '\0';
	return 0;
}

static void take_iff(struct seed_queue *q, const struct ifreq *ifr)
{
	memset(q->ifname, 0, sizeof(q->ifname));
	memcpy(q->ifname, ifr->ifr_name, strlen(ifr->ifr_name));
	q->tun_flags = (uint16_t)ifr->ifr_flags;
	q->has_flags = true;
}

/*
 * Name, namespace, address: three questions, between which the device can be
 * renamed and moved. The name at the end must be that of the beginning. Sets
 * *ns to an fd of the device's namespace, or -1.
 */
static int ask(int copy, struct seed_queue *q, int *ns)
{
	struct ifreq before, after, mac;
	int err = get_iff(copy, &before);

	*ns = -1;
	q->state = QUEUE_UNBOUND;
	for (int tries = 0; !err && tries < 3; tries++) {
		if (*ns >= 0)
			close(*ns);
		*ns = -1;
		q->netns = netns_by(copy, TUNGETDEVNETNS, ns);
		memset(&mac, 0, sizeof(mac));
		q->has_mac = (before.ifr_flags & IFF_TAP) && !ioctl(copy, SIOCGIFHWADDR, &mac);
		memcpy(q->mac, mac.ifr_hwaddr.sa_data, sizeof(q->mac));
		err = get_iff(copy, &after);
		if (!err && !strncmp(before.ifr_name, after.ifr_name, IFNAMSIZ))
			break;
		before = after;
	}
	if (err == -EBADFD)
		return 0;
	if (err)
		return err;
	take_iff(q, &after);
	q->state = QUEUE_BOUND;
	return 0;
}

/* The thread or, before 6.9, only the leader, which has the same table nearly always. */
static int open_table(const struct proc_table *table)
{
	if (table->task.tid == table->task.pid)
		return pidfd_open((pid_t)table->task.pid, 0);
	return pidfd_open((pid_t)table->task.tid, PIDFD_THREAD);
}

static int look_at(struct seed *s, int pidfd, struct seed_queue *q)
{
	int copy, ns = -1, err;

	q->time_ns = rtnl_boottime();
	copy = get_copy(pidfd, q->fd);
	if (copy < 0)
		return copy;
	q->socket_netns = netns_by(copy, SIOCGSKNS, NULL);
	err = ask(copy, q, &ns);
	close(copy);
	if (!err && q->netns)
		err = seed_meet_netns(s, ns, q->netns, q->ifname);
	if (ns >= 0)
		close(ns);
	return err;
}

static bool gone(int err)
{
	return err == -ESRCH || err == -EBADF || err == -ESTALE || err == -ENOENT;
}

/* Not to be copied: what fdinfo says is better than nothing. */
static void fall_back(struct seed *s, struct seed_queue *q, int err, bool told)
{
	seed_look_fdinfo(q);
	if (!told && q->state != QUEUE_GONE)
		seed_note(s, "pid %u: cannot copy its fds: %s%s; known by what fdinfo tells", q->table->task.pid,
			  strerror(-err), q->table->task.tid != q->table->task.pid && err == -EINVAL ?
			  " (a thread's own fd table: Linux 6.9)" : "");
}

static int pidfd_look(struct seed *s, struct seed_queue *queues, size_t n)
{
	int pidfd = open_table(queues[0].table);
	bool told = false;
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		err = pidfd < 0 ? pidfd : look_at(s, pidfd, &queues[i]);
		if (err == -ENOMEM)
			break;
		if (gone(err)) {
			queues[i].state = QUEUE_GONE;
		} else if (err) {
			fall_back(s, &queues[i], err, told);
			told = true;
		}
		err = 0;
	}
	if (pidfd >= 0)
		close(pidfd);
	return err;
}

static int pidfd_scan(struct seed *s)
{
	return seed_scan_queues(s, pidfd_look);
}

static bool pidfd_available(const struct tracer *t, char *reason, size_t size)
{
	int pidfd = pidfd_open(getpid(), 0), copy, err;

	(void)t;
	copy = pidfd < 0 ? pidfd : pidfd_getfd(pidfd, pidfd);
	err = copy < 0 ? copy : 0;
	if (copy >= 0)
		close(copy);
	if (pidfd >= 0)
		close(pidfd);
	if (err == -ENOSYS)
		snprintf(reason, size, "this kernel has no pidfd_getfd (Linux 5.6)");
	else if (err)
		snprintf(reason, size, "pidfd_getfd is forbidden here: %s", strerror(-err));
	else if (seed_yama_scope() >= 3)	/* yama_ptrace_access_check(): not even with CAP_SYS_PTRACE */
		snprintf(reason, size, "Yama forbids to attach to any process (kernel.yama.ptrace_scope = 3)");
	else
		return true;
	return false;
}

static void pidfd_blind_here(char *text, size_t size)
{
	seed_proc_blind_here(text, size);
	if (seed_yama_scope() == 2)
		seed_append(text, size, "%swithout CAP_SYS_PTRACE no process can be copied from (Yama)", *text ? "; " : "");
}

const struct seed_ops seed_pidfd_ops = {
	.name = "pidfd",
	.scan = pidfd_scan,
	.available = pidfd_available,
	.blind = "who holds a macvtap or ipvtap (/dev/tapN); orphaned files look unbound; files that only io_uring, vhost-net or a message in flight holds; where a "
		 "copy is refused, and before Linux 6.9 in fd tables of single threads, no more than fdinfo tells",
	.blind_here = pidfd_blind_here,
};
