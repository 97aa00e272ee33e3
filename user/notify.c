// SPDX-License-Identifier: GPL-2.0-only
/* notify.c - see notify.h. By hand: a datagram is less than a library that some systems lack. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len)
		return -ENOENT;
	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(addr.sun_path))
		return -EINVAL;
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';	/* abstract: the name is all that is given, no NUL */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/')))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

void notify_send(int fd, const char *text)
{
	/* a manager that does not listen is none of our business */
	if (fd >= 0 && send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		errno = 0;
}

uint64_t notify_watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t n;

	if (!usec || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	n = strtoull(usec, NULL, 10);
	return n > UINT64_MAX / 1000 ? 0 : n * 1000 / 2;
}
