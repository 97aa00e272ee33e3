// SPDX-License-Identifier: GPL-2.0-only
/*
 * seed_fdinfo.c - the existing state by /proc/PID/fdinfo's `iff:` alone (since
 * 3.14, drivers/net/tun.c, tun_chr_show_fdinfo()): the name of the device and
 * nothing else. Only reads; as sure as the name is unique.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rtnl.h"
#include "seed_private.h"

void seed_look_fdinfo(struct seed_queue *q)
{
	char path[96], text[1024];
	ssize_t len;

	q->time_ns = rtnl_boottime();
	q->netns = q->socket_netns = 0;
	q->has_flags = q->has_mac = false;
	q->tun_flags = 0;
	memset(q->ifname, 0, sizeof(q->ifname));
	snprintf(path, sizeof(path), "/proc/%u/task/%u/fdinfo/%d", q->table->task.pid, q->table->task.tid, q->fd);
	len = proc_read(AT_FDCWD, path, text, sizeof(text));
	if (len == -ENOENT || len == -ESRCH)
		q->state = QUEUE_GONE;
	else if (len < 0)
		q->state = QUEUE_UNKNOWN;
	else if (proc_parse_iff(text, q->ifname))
		q->state = QUEUE_GONE;	/* another file by now: that of the driver has an `iff:` */
	else
		q->state = q->ifname[0] ? QUEUE_BOUND : QUEUE_UNBOUND;
}

static int fdinfo_look(struct seed *s, struct seed_queue *queues, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		seed_look_fdinfo(&queues[i]);
		if (queues[i].state == QUEUE_UNKNOWN)
			seed_note(s, "fd %d of pid %u: cannot read its fdinfo", queues[i].fd, queues[i].table->task.pid);
	}
	return 0;
}

static int fdinfo_scan(struct seed *s)
{
	return seed_scan_queues(s, fdinfo_look);
}

static bool fdinfo_available(const struct tracer *t, char *reason, size_t size)
{
	char path[64], text[1024], name[TW_NAME_LEN];
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	ssize_t len;

	(void)t;
	if (access("/proc/self/fdinfo", R_OK)) {
		snprintf(reason, size, "/proc is not there");
		if (fd >= 0)
			close(fd);
		return false;
	}
	/* not ours to open, or no driver: then whoever holds one must tell */
	if (fd < 0)
		return true;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	len = proc_read(AT_FDCWD, path, text, sizeof(text));
	close(fd);
	if (len < 0 || proc_parse_iff(text, name)) {
		snprintf(reason, size, "this kernel's fdinfo does not name the device (Linux 3.14)");
		return false;
	}
	return true;
}

const struct seed_ops seed_fdinfo_ops = {
	.name = "fdinfo",
	.scan = fdinfo_scan,
	.available = fdinfo_available,
	.blind = "who holds a macvtap or ipvtap (/dev/tapN); which of several devices of one name in different namespaces it is; a device in a namespace that no "
		 "process, mount or nsfs fd leads to, for which one of the same name elsewhere is then taken; whether "
		 "a queue is disabled; in which namespace the file was opened; orphaned files look unbound; files that "
		 "only io_uring, vhost-net or a message in flight holds",
	.blind_here = seed_proc_blind_here,
};
