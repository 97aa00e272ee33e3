/* SPDX-License-Identifier: GPL-2.0-only */
/* tables.c - fds and file tables: copies, closes, fds of others. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tapfix.h"

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

static int cmd_close(char **w, int n)
{
	struct slot *s = slot_find(w[1]);

	(void)n;
	if (!s)
		return -EBADF;
	s->name[0] = '\0';
	return close(s->fd) ? -errno : 0;
}

static int cmd_closefd(char **w, int n)
{
	(void)n;
	return close(atoi(w[1])) ? -errno : 0;
}

static int cmd_closerange(char **w, int n)
{
	unsigned int first = strtoul(w[1], NULL, 0), last = strtoul(w[2], NULL, 0), flags = 0;

	if (word_in(w, n, "unshare"))
		flags |= CLOSE_RANGE_UNSHARE;
	if (word_in(w, n, "cloexec"))
		flags |= CLOSE_RANGE_CLOEXEC;
	if (syscall(SYS_close_range, first, last, flags))
		return -errno;
	if (!(flags & CLOSE_RANGE_CLOEXEC))
		slots_forget((int)first, (int)last);
	return 0;
}

/* A new number for a slot; negative: errno tells why not. */
static int put_copy(const char *name, int fd)
{
	if (fd < 0)
		return -errno;
	say(",\"fd\":%d", fd);
	return slot_put(name, fd);
}

static int cmd_dup(char **w, int n)
{
	int fd = slot_fd(w[1]);

	if (fd < 0)
		return fd;
	if (word_in(w, n, "plain"))
		return put_copy(w[2], dup(fd));
	return put_copy(w[2], fcntl(fd, word_in(w, n, "cloexec") ? F_DUPFD_CLOEXEC : F_DUPFD, 0));
}

static int cmd_cloexec(char **w, int n)
{
	int fd = slot_fd(w[1]);

	(void)n;
	if (fd < 0)
		return fd;
	return fcntl(fd, F_SETFD, FD_CLOEXEC) ? -errno : 0;
}

static int cmd_dup2(char **w, int n)
{
	int fd = slot_fd(w[1]), target = atoi(w[3]);
	bool three = !strcmp(w[0], "dup3");

	if (fd < 0)
		return fd;
	target = three ? dup3(fd, target, word_in(w, n, "cloexec") ? O_CLOEXEC : 0) : dup2(fd, target);
	if (target >= 0)
		slots_forget(target, target);	/* whatever had that number is gone */
	return put_copy(w[2], target);
}

static int cmd_getfd(char **w, int n)
{
	int pidfd = (int)syscall(SYS_pidfd_open, atoi(w[2]), 0), err;

	(void)n;
	if (pidfd < 0)
		return -errno;
	err = put_copy(w[1], (int)syscall(SYS_pidfd_getfd, pidfd, atoi(w[3]), 0));
	close(pidfd);
	return err;
}

static int cmd_slot(char **w, int n)
{
	(void)n;
	return fcntl(atoi(w[2]), F_GETFD) < 0 ? -errno : slot_put(w[1], atoi(w[2]));
}

static int cmd_nsfd(char **w, int n)
{
	int fd = open(n > 2 ? w[2] : "/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	say(",\"fd\":%d,\"netns\":%llu", fd, (unsigned long long)inode_of(fd));
	return slot_put(w[1], fd);
}

/* Fds get the lowest free number, and none at the limit or above. */
static int cmd_room(char **w, int n)
{
	struct rlimit limit;
	int room = atoi(w[1]), fd = 0;

	(void)n;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	if (strcmp(w[1], "off")) {
		for (; room >= 0 && fd < 4096; fd++)
			room -= fcntl(fd, F_GETFD) < 0;
		limit.rlim_cur = fd - 1;
	}
	return setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;
}

const struct command tables_commands[] = {
	{ "close", 2, cmd_close }, { "closefd", 2, cmd_closefd }, { "closerange", 3, cmd_closerange },
	{ "cloexec", 2, cmd_cloexec }, { "dup", 3, cmd_dup }, { "dup2", 4, cmd_dup2 }, { "dup3", 4, cmd_dup2 }, { "getfd", 4, cmd_getfd },
	{ "slot", 3, cmd_slot }, { "nsfd", 2, cmd_nsfd }, { "room", 2, cmd_room }, { 0 },
};
