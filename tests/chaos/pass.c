/* SPDX-License-Identifier: GPL-2.0-only */
/* pass.c - operations that take fds from one table to another. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "chaos.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static int any_socket(void)
{
	return rnd_between(FD_SOCKET, FD_VHOST - 1);
}

/* ---- SCM_RIGHTS -------------------------------------------------------------- */

static void op_socketpair(void)
{
	int pair[2], moved[2];

	if (socketpair(AF_UNIX, chance(50) ? SOCK_DGRAM : SOCK_SEQPACKET, 0, pair))
		return;
	for (int i = 0; i < 2; i++) {
		moved[i] = fcntl(pair[i], F_DUPFD, any_socket());
		close(pair[i]);
	}
	note("socketpair", 0, moved[0], moved[1], 0, NULL);
}

static bool is_socket(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

/* No sockets are sent: what circles in sockets nobody holds any more is freed some time, or never. */
static void op_send(void)
{
	int sock = any_socket(), n = rnd_between(1, 4), fds[4];
	char byte = 'x', control[CMSG_SPACE(sizeof(fds))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control, .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (!is_socket(sock))
		return;
	for (int i = 0; i < n; ) {	/* some that are there, lest it fail for one of four */
		int fd = rnd_between(FD_TUN, FD_SOCKET - 1);

		for (int tries = 8; tries && (fcntl(fd, F_GETFD) < 0 || is_socket(fd)); tries--)
			fd = rnd_between(FD_TUN, FD_SOCKET - 1);
		if (is_socket(fd))
			return;
		fds[i++] = fd;
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	note("send", sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL), sock, n, fds[0], NULL);
}

/* Sometimes without room in the table, or in the message, for all that comes. */
static void op_receive(void)
{
	int sock = any_socket(), first = -1, room = rnd_between(1, 5);
	bool squeeze = chance(15);
	char byte, control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control, .msg_controllen = CMSG_SPACE(room * sizeof(int)) };
	struct cmsghdr *c;
	ssize_t ret;

	if (!is_socket(sock))
		return;
	if (squeeze)
		limit_fds(rnd_between(FD_TUN, FD_SOCKET));
	ret = recvmsg(sock, &msg, MSG_DONTWAIT | (chance(30) ? MSG_CMSG_CLOEXEC : 0) | (chance(8) ? MSG_PEEK : 0));
	if (ret > 0 && (c = CMSG_FIRSTHDR(&msg)) && c->cmsg_type == SCM_RIGHTS)
		memcpy(&first, CMSG_DATA(c), sizeof(first));
	note(squeeze ? "receive, little room" : "receive", ret, sock, room, first, NULL);
	if (squeeze)
		limit_fds(FD_MAX);
}

static void op_close_socket(void)
{
	int fd = any_socket();

	note("close", close(fd), fd, 0, 0, NULL);
}

/* ---- pidfd_getfd ----------------------------------------------------------------- */

static void op_getfd(void)
{
	struct agent *a = &sh->agents[rnd(MAX_AGENTS)];
	int pid = atomic_load(&a->pid), fd = rnd_between(FD_TUN, FD_SOCKET - 1), pidfd;

	if ((agent_word(a) & 0xff) == AGENT_FREE || pid <= 0)
		return;
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return;
	note("pidfd_getfd", syscall(SYS_pidfd_getfd, pidfd, fd, 0), pid, fd, 0, NULL);
	close(pidfd);
}

/* ---- seccomp's ADDFD ---------------------------------------------------------------- */

#define ASK_NR SYS_getpgid	/* nothing here uses it but to be interrupted */

static int seccomp_listener(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ASK_NR, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void add_fds(int listener, uint64_t id)
{
	for (int n = rnd_between(1, 3); n; n--) {
		struct seccomp_notif_addfd add = {
			.id = id, .srcfd = rnd_between(FD_TUN, FD_SOCKET - 1),
			.newfd_flags = chance(30) ? O_CLOEXEC : 0,
		};

		if (chance(50)) {
			add.flags = SECCOMP_ADDFD_FLAG_SETFD;
			add.newfd = rnd_between(FD_TUN, FD_SOCKET - 1);
		}
		note("seccomp ADDFD", ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), add.srcfd,
		     add.flags ? (int)add.newfd : -1, 0, NULL);
	}
}

/* Serves one call of the child's, unless that ends before. */
static void serve_child(int listener)
{
	struct pollfd ready = { .fd = listener, .events = POLLIN };
	struct seccomp_notif ask = { 0 };
	struct seccomp_notif_resp answer = { 0 };

	if (poll(&ready, 1, 5000) <= 0 || !(ready.revents & POLLIN) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask))
		return;
	add_fds(listener, ask.id);
	answer.id = ask.id;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

static void nothing(int signal)
{
	(void)signal;
}

/* Bounded: a copy of the listener may have come to someone who never answers. */
static void ask(void)
{
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = nothing }, NULL);
	alarm(5);
	syscall(ASK_NR, 0);
	alarm(0);
}

/* A child with a filter asks us by a system call, and is given fds while it waits in it. It stays as an agent. */
static void op_addfd(void)
{
	struct agent *a = agent_reserve();
	uint64_t word;
	uint32_t number;
	int pidfd, listener = -1;
	pid_t pid;

	if (!a)
		return;
	word = agent_word(a);
	pid = copy_process(CLONE_PARENT);
	if (!pid) {
		listener = seccomp_listener();
		atomic_store(&a->listener, listener < 0 ? ~0U : listener + 1U);
		futex_wake(&a->listener);
		if (listener >= 0)		/* until it has its copy */
			futex_wait(&a->listener, listener + 1, 5000);
		close(listener);		/* ours; else nobody would end our waiting if it died */
		if (!agent_claim(a, word))
			_exit(0);
		if (listener >= 0)
			ask();
		agent_run(a);
	}
	if (pid < 0) {
		agent_free(a);
		return;
	}
	futex_wait(&a->listener, 0, 5000);
	number = atomic_load(&a->listener);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0 && number && number != ~0U)
		listener = syscall(SYS_pidfd_getfd, pidfd, number - 1, 0);
	close(pidfd);
	atomic_store(&a->listener, ~0U);
	futex_wake(&a->listener);
	note("seccomp child", listener, pid, 0, 0, NULL);
	if (listener >= 0)
		serve_child(listener);
	close(listener);
}

/* ---- vhost-net -------------------------------------------------------------------------- */

static bool vhost_ring(int fd, unsigned int index, char *memory)
{
	struct vhost_vring_state num = { .index = index, .num = 16 };
	struct vhost_vring_state start = { .index = index, .num = 0 };
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = (uintptr_t)memory,
		.avail_user_addr = (uintptr_t)memory + 4096,
		.used_user_addr = (uintptr_t)memory + 8192,
	};

	return !ioctl(fd, VHOST_SET_VRING_NUM, &num) && !ioctl(fd, VHOST_SET_VRING_BASE, &start) &&
	       !ioctl(fd, VHOST_SET_VRING_ADDR, &addr);
}

static void op_vhost_new(void)
{
	static char memory[2 * 16384] __attribute__((aligned(4096)));	/* a guest's; it stays empty */
	struct { struct vhost_memory head; struct vhost_memory_region region; } table = {
		.head.nregions = 1,
		.region = { .memory_size = sizeof(memory), .userspace_addr = (uintptr_t)memory },
	};
	uint64_t features = 0;
	int fd = open("/dev/vhost-net", O_RDWR), moved = -1;

	if (fd < 0)
		return;
	if (!ioctl(fd, VHOST_SET_OWNER, NULL) && !ioctl(fd, VHOST_SET_FEATURES, &features) &&
	    !ioctl(fd, VHOST_SET_MEM_TABLE, &table) && vhost_ring(fd, 0, memory) &&
	    vhost_ring(fd, 1, memory + sizeof(memory) / 2))
		moved = fcntl(fd, F_DUPFD, rnd_between(FD_VHOST, FD_MAX - 1));
	note("vhost", moved, 0, 0, 0, NULL);
	close(fd);
}

/* Gives a queue to vhost-net or takes it back; without its fds it lives on there. */
static void op_vhost_set(void)
{
	struct vhost_vring_file backend = {
		.index = rnd(2),
		.fd = chance(30) ? -1 : rnd_between(FD_TUN, FD_SOCKET - 1),
	};
	int fd = rnd_between(FD_VHOST, FD_MAX - 1);

	note("vhost backend", ioctl(fd, VHOST_NET_SET_BACKEND, &backend), fd, backend.index, backend.fd, NULL);
}

const struct op pass_ops[] = {
	{ "socketpair", 10, op_socketpair }, { "send", 70, op_send }, { "receive", 90, op_receive },
	{ "close-socket", 14, op_close_socket },
	{ "vhost", 4, op_vhost_new }, { "vhost-set", 24, op_vhost_set },
	{ "getfd", 24, op_getfd }, { "addfd", 4, op_addfd },
	{ NULL, 0, NULL }
};
