/* SPDX-License-Identifier: GPL-2.0-only */
/* children.c - other processes: copies of this one, what they are told, and the fds that they are sent. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tapfix.h"

/* Linux 5.9 */
#ifndef SECCOMP_IOCTL_NOTIF_ADDFD
struct seccomp_notif_addfd {
	__u64 id;
	__u32 flags, srcfd, newfd, newfd_flags;
};
#define SECCOMP_IOCTL_NOTIF_ADDFD SECCOMP_IOW(3, struct seccomp_notif_addfd)
#define SECCOMP_ADDFD_FLAG_SETFD 1
#endif

extern char **environ;

static struct child *child_find(const char *name)
{
	for (size_t i = 0; i < MAX_CHILDREN; i++)
		if (children[i].name[0] && !strcmp(children[i].name, name))
			return &children[i];
	return NULL;
}

static struct child *child_new(const char *name)
{
	if (strlen(name) >= sizeof(children[0].name))
		return NULL;
	for (size_t i = 0; i < MAX_CHILDREN; i++)
		if (!children[i].name[0])
			return &children[i];
	return NULL;
}

static void close_one(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void child_close(struct child *c)
{
	close_one(c->in);
	close_one(c->out);
	close_one(c->sock);
	for (int i = 0; i < 3; i++)
		close_one(c->ends[i]);
	c->name[0] = '\0';
}

/* ---- to make them ------------------------------------------------------- */

/* Its input, its output and the way for fds: at [0] of each what it reads, at [1] what is written. */
struct wires {
	int in[2], out[2], sock[2];	/* sock[0] is ours */
};

static int wires_make(struct wires *w)
{
	if (pipe2(w->in, O_CLOEXEC) || pipe2(w->out, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, w->sock))
		return -errno;
	return 0;
}

static void child_begin(struct child *c, const char *name, pid_t pid, const struct wires *w, bool shared)
{
	*c = (struct child){ .pid = pid, .in = w->in[1], .out = w->out[0], .sock = w->sock[0],
			     .ends = { -1, -1, -1 } };
	strcpy(c->name, name);
	if (shared) {
		c->ends[0] = w->in[0];
		c->ends[1] = w->out[1];
		c->ends[2] = w->sock[1];
	} else {
		close(w->in[0]);
		close(w->out[1]);
		close(w->sock[1]);
	}
}

/* We are the child. What its table has that is not its own is closed, but not in a table that is ours, too. */
static void be_child(const struct wires *w, bool shared)
{
	for (size_t i = 0; i < MAX_CHILDREN; i++) {
		if (children[i].name[0] && !shared)
			child_close(&children[i]);
		children[i].name[0] = '\0';
	}
	if (!shared) {
		close(w->in[1]);
		close(w->out[0]);
		close(w->sock[0]);
	}
	threads_forget();
	in_fd = w->in[0];
	out_fd = w->out[1];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	children[0] = (struct child){ .name = "parent", .in = -1, .out = -1, .sock = w->sock[1],
				      .ends = { -1, -1, -1 } };
}

static int cmd_fork(char **w, int n)
{
	struct child *c = child_new(w[1]);
	bool shared = word_in(w, n, "share");
	struct wires wires;
	pid_t pid;
	int err = c ? wires_make(&wires) : -ENFILE;

	if (err)
		return err;
	pid = shared ? (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL) : fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		be_child(&wires, shared);
		return 1;	/* no answer: the parent gives it */
	}
	child_begin(c, w[1], pid, &wires, shared);
	say(",\"pid\":%d", pid);
	return 0;
}

static int cmd_spawn(char **w, int n)
{
	struct child *c = child_new(w[1]);
	posix_spawn_file_actions_t actions;
	struct wires wires;
	char path[4096];
	pid_t pid;
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int err = c ? wires_make(&wires) : -ENFILE;

	(void)n;
	if (!err)
		err = len < 0 ? -errno : program_environment(0, 1, wires.sock[1]);
	if (err)
		return err;
	path[len] = '\0';
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, wires.in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, wires.out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, wires.sock[1], wires.sock[1]);	/* not close-on-exec */
	err = posix_spawn(&pid, path, &actions, NULL, saved_argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	unsetenv(ENV_SLOTS);
	unsetenv(ENV_FDS);
	if (err)
		return -err;
	child_begin(c, w[1], pid, &wires, false);
	return answer_from(c->out) ? 0 : -ECHILD;
}

/* ---- to tell and to end them -------------------------------------------- */

static int child_end(struct child *c)
{
	pid_t pid = c->pid;
	int status;

	/* in a table that it shares, the end of its input is this */
	close_one(c->in);
	c->in = -1;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	child_close(c);
	if (WIFSIGNALED(status))
		say(",\"signal\":%d", WTERMSIG(status));
	else
		say(",\"status\":%d", WEXITSTATUS(status));
	return 0;
}

static int cmd_reap(char **w, int n)
{
	struct child *c = child_find(w[1]);

	(void)n;
	return c && c->in >= 0 ? child_end(c) : -ECHILD;
}

static int cmd_kill(char **w, int n)
{
	struct child *c = child_find(w[1]);

	(void)n;
	if (!c || c->in < 0)
		return -ECHILD;
	return kill(c->pid, SIGKILL) ? -errno : child_end(c);
}

static int cmd_ask(char **w, int n)
{
	struct child *c = child_find(w[1]);

	(void)n;
	if (!c || c->in < 0)
		return -ECHILD;
	write_all(c->in, w[2], strlen(w[2]));
	write_all(c->in, "\n", 1);
	return answer_from(c->out) ? 0 : child_end(c);
}

/* ---- fds for them --------------------------------------------------------- */

#define MAX_PASSED 60

static int cmd_sendfd(char **w, int n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_PASSED * sizeof(int))] = { 0 };
	int count = n - 2, fds[MAX_PASSED];
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	struct child *c = child_find(w[n - 1]);

	if (!c)
		return -ECHILD;
	for (int i = 0; i < count && i < MAX_PASSED; i++) {
		fds[i] = slot_fd(w[1 + i]);
		if (fds[i] < 0)
			return fds[i];
	}
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
	return sendmsg(c->sock, &msg, 0) < 0 ? -errno : 0;
}

static int cmd_recvfd(char **w, int n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_PASSED * sizeof(int))];
	int room = n - 2, got = 0, fds[MAX_PASSED], err = 0;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = CMSG_LEN(room * sizeof(int)) };
	struct child *c = child_find(w[n - 1]);
	struct cmsghdr *cmsg;
	ssize_t len;

	if (!c)
		return -ECHILD;
	len = recvmsg(c->sock, &msg, 0);
	if (len <= 0)
		return len ? -errno : -ENOTCONN;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		got = (int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	if (got)
		memcpy(fds, CMSG_DATA(cmsg), got * sizeof(int));
	say(",\"truncated\":%s,\"fds\":[", msg.msg_flags & MSG_CTRUNC ? "true" : "false");
	for (int i = 0; i < got && !err; i++) {
		say("%s%d", i ? "," : "", fds[i]);
		err = slot_put(w[1 + i], fds[i]);
	}
	say("]");
	return err;
}

static int cmd_hangup(char **w, int n)
{
	struct child *c = child_find(w[1]);

	(void)n;
	if (!c)
		return -ECHILD;
	close_one(c->sock);
	c->sock = -1;
	return 0;
}

/* ---- seccomp -------------------------------------------------------------- */

#define TRAPPED SYS_getsid	/* nobody else here calls it */

static int cmd_notify(char **w, int n)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TRAPPED, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(rules) / sizeof(*rules), .filter = rules };
	int fd;

	(void)n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (fd < 0)
		return -errno;
	say(",\"fd\":%d", fd);
	return slot_put(w[1], fd);
}

static int cmd_trapped(char **w, int n)
{
	long fd = syscall(TRAPPED, 0);

	(void)w, (void)n;
	if (fd < 0)
		return -errno;
	say(",\"fd\":%ld", fd);
	return 0;
}

static int answer_trap(int listener, int fd, int number)
{
	struct seccomp_notif request = { 0 };
	struct seccomp_notif_resp response = { 0 };
	struct seccomp_notif_addfd add = { .srcfd = fd };

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request))
		return -errno;
	add.id = response.id = request.id;
	if (number >= 0) {
		add.newfd = number;
		add.flags = SECCOMP_ADDFD_FLAG_SETFD;
	}
	response.val = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
	if (response.val < 0) {
		response.error = -errno;
		response.val = 0;
	}
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) ? -errno : 0;
}

static int cmd_supervise(char **w, int n)
{
	int listener = slot_fd(w[2]), fd = slot_fd(w[3]), err;
	struct child *c = child_find(w[1]);

	if (!c || c->in < 0 || listener < 0 || fd < 0)
		return -EINVAL;
	write_all(c->in, "trapped\n", 8);
	err = answer_trap(listener, fd, n > 4 ? atoi(w[4]) : -1);
	if (err)
		return err;
	return answer_from(c->out) ? 0 : child_end(c);
}

const struct command children_commands[] = {
	{ "fork", 2, cmd_fork }, { "spawn", 2, cmd_spawn }, { "ask", 3, cmd_ask }, { "reap", 2, cmd_reap },
	{ "kill", 2, cmd_kill },
	{ "sendfd", 3, cmd_sendfd }, { "recvfd", 3, cmd_recvfd }, { "hangup", 2, cmd_hangup },
	{ "notify", 2, cmd_notify }, { "trapped", 1, cmd_trapped }, { "supervise", 4, cmd_supervise }, { 0 },
};
