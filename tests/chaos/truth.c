/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * truth.c - what the kernel says about the fds of the calling thread's table.
 *
 * Which fds are one open file description, in whichever process and over all
 * quiet points, is told by a tag that is kept in the description itself, in
 * members that mean nothing for a tun file: the signal of F_SETSIG and three
 * status flags. No fd of anybody else needs to be copied, so the look changes
 * nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "chaos.h"

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

static const int tag_flags[] = { O_APPEND, O_NONBLOCK, O_NOATIME };

static int tag_read(int fd)
{
	int signal = fcntl(fd, F_GETSIG), flags = fcntl(fd, F_GETFL), tag = signal & 63;

	for (int i = 0; i < 3; i++)
		if (flags & tag_flags[i])
			tag |= 64 << i;
	return tag;
}

static void tag_write(int fd, int tag)
{
	int flags = fcntl(fd, F_GETFL);

	for (int i = 0; i < 3; i++)
		flags = tag & 64 << i ? flags | tag_flags[i] : flags & ~tag_flags[i];
	fcntl(fd, F_SETFL, flags);
	fcntl(fd, F_SETSIG, tag & 63);
}

/* The serial number of this fd's open file description. A free tag is one that no file had at the last look. */
static uint32_t file_of(int fd)
{
	int tag = tag_read(fd);

	for (int tries = 0; !tag && tries < MAX_TAGS; tries++) {
		sh->next_tag = sh->next_tag % (MAX_TAGS - 1) + 1;
		if (sh->tag_file[sh->next_tag] && !sh->tag_free[sh->next_tag])
			continue;
		tag = sh->next_tag;
		sh->tag_file[tag] = ++sh->next_file;
		tag_write(fd, tag);
	}
	sh->tag_seen[tag] = true;
	sh->tag_free[tag] = false;
	return sh->tag_file[tag];
}

static uint64_t inode_and_close(int nsfd, int32_t *err)
{
	struct stat st = { 0 };

	*err = nsfd < 0 ? errno : 0;
	if (nsfd < 0)
		return 0;
	fstat(nsfd, &st);
	close(nsfd);
	return st.st_ino;
}

static void tell_file(int fd, int shown, bool path)
{
	struct row *row = &sh->rows[sh->n_rows];
	struct ifreq ifr = { 0 };
	int32_t ignored;

	if (sh->n_rows == MAX_ROWS)
		return;
	sh->n_rows++;
	*row = (struct row){ .pid = getpid(), .tid = syscall(SYS_gettid), .fd = shown };
	if (path)
		return;
	row->file = file_of(fd);
	row->socket_netns = inode_and_close(ioctl(fd, SIOCGSKNS), &ignored);
	if (ioctl(fd, TUNGETIFF, &ifr)) {
		row->err = errno;
		return;
	}
	memcpy(row->ifname, ifr.ifr_name, IFNAMSIZ);
	row->flags = (unsigned short)ifr.ifr_flags;
	row->netns = inode_and_close(ioctl(fd, TUNGETDEVNETNS), &row->ns_err);
}

/* Sockets are shared by many: each is looked into once. */
static bool socket_is_new(uint64_t inode)
{
	for (uint32_t i = 0; i < sh->n_sockets; i++)
		if (sh->sockets[i] == inode)
			return false;
	if (sh->n_sockets < MAX_SOCKETS)
		sh->sockets[sh->n_sockets++] = inode;
	return true;
}

static void tell_flight(int sock, int depth);

static void tell_any(int fd, int shown, int depth)
{
	struct stat st;

	if (fstat(fd, &st))
		return;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 200))
		tell_file(fd, shown, fcntl(fd, F_GETFL) & O_PATH);
	else if (S_ISSOCK(st.st_mode) && depth < 3 && socket_is_new(st.st_ino))
		tell_flight(fd, depth);
}

/* As recvmsg(). That the peer closed while it had unread messages of ours is told once, before what it sent us. */
static ssize_t peek(int sock, struct msghdr *msg)
{
	ssize_t n;

	do
		n = recvmsg(sock, msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == ECONNRESET);
	return n;
}

/* Files in messages that wait in a socket: a look at them copies them, but takes nothing. */
static void tell_flight(int sock, int depth)
{
	int offset = 0, fds[64];

	if (setsockopt(sock, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)))
		return;
	for (;;) {
		char byte, control[CMSG_SPACE(sizeof(fds))];
		struct iovec iov = { &byte, 1 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
				      .msg_control = control, .msg_controllen = sizeof(control) };
		struct cmsghdr *c;
		size_t n;

		if (peek(sock, &msg) <= 0)
			break;
		c = CMSG_FIRSTHDR(&msg);
		n = c && c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
		memcpy(fds, n ? CMSG_DATA(c) : (void *)fds, n * sizeof(int));
		for (size_t i = 0; i < n; i++) {
			tell_any(fds[i], -1, depth + 1);
			close(fds[i]);
		}
	}
	offset = -1;
	setsockopt(sock, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
}

void truth_tell(void)
{
	limit_fds(FD_RESERVED);		/* the copies need room */
	for (int fd = 0; fd < FD_MAX; fd++)
		tell_any(fd, fd, 0);
	limit_fds(FD_MAX);
}
