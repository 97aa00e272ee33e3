// SPDX-License-Identifier: GPL-2.0-only
/*
 * seed_ptrace.c - the existing state by ioctls that the holder itself makes,
 * injected into one of its threads (inject.c). For kernels that have neither
 * pidfd_getfd() nor fdinfo's `iff:`; only when named.
 *
 * Who asks: a helper process, one per inspected process, in which all signals
 * are blocked, and which does not die with tapwatch. It has nothing to lose
 * but the socket on which it answers. See inject.h why.
 *
 * The ioctls have the holder's privileges. TUNGETDEVNETNS wants CAP_NET_ADMIN
 * in the device's namespace; where the holder lacks it, the namespace is
 * looked for by name, kind and hardware address. It gives an fd in the
 * holder, which is closed by an injected close(); a child that another thread
 * forks between the two would inherit it, until it execs (O_CLOEXEC).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inject.h"
#include "rtnl.h"
#include "seed_private.h"

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)	/* 4.19 */
#endif

#if INJECT_SUPPORTED

#define STOPS 5			/* at a process whose thread is in the wrong place */
#define RTNL_QUICK_NS 10000000u	/* a call under rtnl that takes longer is no good sign */
#define HELPER_LIMIT_MS 5000	/* it needs 50 ms at most, on a machine that is not overloaded */

/* What the helper answers: one message per fd, with an fd of the device's namespace when that is new. */
struct answer {
	uint32_t index;		/* of the queue; UINT32_MAX: `reason` is for all that are missing */
	int32_t error;		/* of TUNGETIFF; negative errno */
	uint32_t netns;
	uint16_t flags;
	uint8_t has_mac;
	uint8_t mac[6];
	char ifname[TW_NAME_LEN];
	char reason[160];
};

/* ---- the helper: asks ---- */

static int answer_send(int sock, const struct answer *answer, int ns)
{
	struct iovec iov = { (void *)answer, sizeof(*answer) };
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (ns >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &ns, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int ifreq_call(struct inject *in, int fd, unsigned long request, struct ifreq *ifr)
{
	long result = 0;
	int err;

	_Static_assert(sizeof(*ifr) <= INJECT_SCRATCH, "the request fits");
	memset(ifr, 0, sizeof(*ifr));
	err = inject_write(in, ifr, sizeof(*ifr));
	if (!err)
		err = inject_call(in, &result, SYS_ioctl, (uint64_t)fd, request, inject_scratch(in));
	if (!err && result < 0)
		err = (int)result;
	if (!err)
		err = inject_read(in, ifr, sizeof(*ifr));
	ifr->ifr_name[IFNAMSIZ - 1] = '\0';
	return err;
}

/* The device's namespace: 0 when the holder may not know. *ns is an fd of it in the helper, or -1. */
static uint32_t netns_call(struct inject *in, int fd, int *ns)
{
	uint32_t inode = 0;
	int err = -ETIME;
	long result = 0, closed;
	char path[96];

	*ns = -1;
	if (inject_call(in, &result, SYS_ioctl, (uint64_t)fd, TUNGETDEVNETNS, 0) || result < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/fd/%ld", in->pid, in->tid, result);
	*ns = open(path, O_RDONLY | O_CLOEXEC);
	if (*ns >= 0 && netns_inode(*ns, &inode))
		inode = 0;
	for (int tries = 0; err == -ETIME && tries < 3; tries++)
		err = inject_call_anyway(in, &closed, SYS_close, (uint64_t)result, 0, 0);
	return inode;
}

/* As ask() of seed_pidfd.c. 0: *a is filled in, with the error of TUNGETIFF if there was one. */
static int ask(struct inject *in, int fd, struct answer *a, int *ns)
{
	struct ifreq before, after, mac;
	int err;

	*ns = -1;
	a->error = err = ifreq_call(in, fd, TUNGETIFF, &before);
	for (int tries = 0; !err && tries < 3; tries++) {
		if (*ns >= 0)
			close(*ns);
		a->has_mac = (before.ifr_flags & IFF_TAP) && !ifreq_call(in, fd, SIOCGIFHWADDR, &mac);
		if (a->has_mac)
			memcpy(a->mac, mac.ifr_hwaddr.sa_data, sizeof(a->mac));
		a->netns = netns_call(in, fd, ns);
		a->error = err = ifreq_call(in, fd, TUNGETIFF, &after);
		if (err || !strncmp(before.ifr_name, after.ifr_name, IFNAMSIZ))
			break;
		before = after;
	}
	if (!err) {
		memcpy(a->ifname, after.ifr_name, strlen(after.ifr_name));
		a->flags = (uint16_t)after.ifr_flags;
	}
	return err == -EBADFD ? 0 : err;
}

/* The slot may have got another file since the walk, of which the same number may mean anything. */
static bool still_tun(const struct seed_queue *q)
{
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/task/%u/fd/%d", q->table->task.pid, q->table->task.tid, q->fd);
	return !stat(path, &st) && proc_file_kind(st.st_mode, st.st_rdev) == PROC_TUN;
}

/*
 * Once a call waits for rtnl it cannot be broken off. Is it free now? Any
 * ethtool request takes it (net/ethtool/ioctl.c, dev_ethtool()).
 */
static bool rtnl_is_free(void)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value = { .cmd = ETHTOOL_GLINK };
	struct ifreq ifr = { .ifr_name = "lo", .ifr_data = (void *)&value };
	bool is_free = false;

	for (int tries = 0; sock >= 0 && !is_free && tries < 10; tries++) {
		uint64_t before = rtnl_boottime();

		if (ioctl(sock, SIOCETHTOOL, &ifr) < 0 && errno != ENODEV && errno != EOPNOTSUPP)
			break;
		is_free = rtnl_boottime() - before < RTNL_QUICK_NS;
	}
	if (sock < 0)
		return true;
	close(sock);
	return is_free;
}

static bool can_suspend;	/* PTRACE_O_SUSPEND_SECCOMP, as last tried */

struct helper {
	const struct seed *s;
	const struct seed_queue *queues;
	size_t n, done;
	int sock;
	char reason[160];
};

/* One stop; as many fds as the time allows. 0, or a negative errno and reason. */
static int ask_all(struct helper *h, struct inject *in)
{
	int err = 0;

	while (!err && h->done < h->n) {
		struct answer a = { .index = (uint32_t)h->done };
		int ns = -1;

		/* what is no tun file any more stays unanswered */
		if (still_tun(&h->queues[h->done])) {
			err = ask(in, h->queues[h->done].fd, &a, &ns);
			if (!err && ns >= 0 && seed_netns_dumped(h->s, a.netns)) {
				close(ns);
				ns = -1;
			}
			if (!err)
				err = answer_send(h->sock, &a, ns);
			if (ns >= 0)
				close(ns);
		}
		h->done++;
	}
	if (err)
		snprintf(h->reason, sizeof(h->reason), "%s", err == -ETIME ? "it took too long" : strerror(-err));
	return err;
}

static int inspect(struct helper *h)
{
	pid_t pid = (pid_t)h->queues[0].table->task.pid, tid = (pid_t)h->queues[0].table->task.tid;
	struct inject in;
	int err;

	/* a thread with a table of its own can only be asked itself */
	if (tid == pid) {
		tid = inject_choose(pid);
		if (!tid) {
			snprintf(h->reason, sizeof(h->reason), "none of its threads can be stopped");
			return -EBUSY;
		}
	}
	if (!inject_allowed(pid, tid, can_suspend, h->reason, sizeof(h->reason)))
		return -EPERM;
	if (!rtnl_is_free()) {
		snprintf(h->reason, sizeof(h->reason), "the kernel's device lock is busy");
		return -EBUSY;
	}
	err = inject_begin(&in, pid, tid, h->reason, sizeof(h->reason));
	if (!err)
		err = ask_all(h, &in);
	inject_end(&in);
	return err;
}

static void __attribute__((noreturn)) helper_main(struct helper *h)
{
	struct answer last = { .index = UINT32_MAX };
	sigset_t all;
	int err = -EAGAIN;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);	/* ignored, it would not be sent */
	prctl(PR_SET_PDEATHSIG, 0);
	prctl(PR_SET_NAME, "tapwatch-ptrace");
	for (int i = 0; i < STOPS && err == -EAGAIN; i++)
		err = inspect(h);
	if (err && err != -ESRCH) {
		last.error = err;
		memcpy(last.reason, h->reason, sizeof(last.reason));
		answer_send(h->sock, &last, -1);
	}
	_exit(0);
}

/* ---- tapwatch: listens ---- */

/* One message and the fd in it, or -1. Its size; 0: the end; or a negative errno. */
static ssize_t answer_receive(int sock, struct answer *answer, int *ns)
{
	struct iovec iov = { answer, sizeof(*answer) };
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	ssize_t n;

	*ns = -1;
	do {
		n = poll(&pfd, 1, HELPER_LIMIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : -ETIME;
	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	if (CMSG_FIRSTHDR(&msg) && CMSG_FIRSTHDR(&msg)->cmsg_type == SCM_RIGHTS)
		memcpy(ns, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return n;
}

static void take(struct seed_queue *q, const struct answer *a)
{
	if (a->error) {		/* EBADFD */
		q->state = QUEUE_UNBOUND;
		return;
	}
	q->state = QUEUE_BOUND;
	memcpy(q->ifname, a->ifname, TW_NAME_LEN);
	q->netns = a->netns;
	q->has_flags = true;
	q->tun_flags = a->flags;
	q->has_mac = a->has_mac;
	memcpy(q->mac, a->mac, sizeof(q->mac));
}

/* Until the helper is through. 0 or -ENOMEM; what it could not do: *error and reason. */
static int listen_to(struct seed *s, int sock, struct seed_queue *queues, size_t n, int *error, char reason[160])
{
	struct answer a;
	ssize_t len;
	int ns, err = 0;

	while (!err) {
		len = answer_receive(sock, &a, &ns);
		if (len != (ssize_t)sizeof(a)) {
			if (len < 0) {
				*error = (int)len;
				snprintf(reason, 160, "no answer: %s", strerror(-*error));
			}
			break;
		}
		if (a.index == UINT32_MAX) {
			*error = a.error;
			memcpy(reason, a.reason, 160);
		} else if (a.index < n) {
			take(&queues[a.index], &a);
		}
		if (ns >= 0 && a.netns && a.index < n)
			err = seed_meet_netns(s, ns, a.netns, a.ifname);
		if (ns >= 0)
			close(ns);
	}
	return err;
}

/* The helper, or a negative errno. */
static pid_t start_helper(const struct seed *s, const struct seed_queue *queues, size_t n, int *sock)
{
	struct helper h = { .s = s, .queues = queues, .n = n };
	sigset_t all, old;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	/* no moment in which it could be ended by a signal */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (!pid) {
		close(pair[0]);
		h.sock = pair[1];
		helper_main(&h);
	}
	if (pid < 0)
		pid = -errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(pair[1]);
	if (pid < 0)
		close(pair[0]);
	else
		*sock = pair[0];
	return pid;
}

static int ptrace_look(struct seed *s, struct seed_queue *queues, size_t n)
{
	const struct tw_task *task = &queues[0].table->task;
	char reason[160] = "";
	int sock = -1, error = 0, err;
	pid_t helper;

	for (size_t i = 0; i < n; i++) {
		queues[i].state = QUEUE_GONE;
		queues[i].time_ns = rtnl_boottime();
	}
	helper = start_helper(s, queues, n, &sock);
	if (helper < 0)
		return helper;
	err = listen_to(s, sock, queues, n, &error, reason);
	close(sock);
	/* one that is stuck is not killed, whatever it costs: it holds a process by its registers */
	if (error != -ETIME || err)
		while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
			;
	if (!error)
		return err;
	seed_note(s, "pid %u: not inspected: %s; known by what fdinfo tells", task->pid, reason);
	for (size_t i = 0; !err && i < n; i++)
		if (queues[i].state == QUEUE_GONE)
			seed_look_fdinfo(&queues[i]);
	return err;
}

static bool ptrace_available(const struct tracer *t, char *reason, size_t size)
{
	(void)t;
	if (seed_yama_scope() < 3)
		return true;
	snprintf(reason, size, "Yama forbids to trace any process (kernel.yama.ptrace_scope = 3)");
	return false;
}

static void ptrace_blind_here(char *text, size_t size)
{
	seed_proc_blind_here(text, size);
	if (seed_yama_scope() == 2)
		seed_append(text, size, "%swithout CAP_SYS_PTRACE no process can be traced (Yama)", *text ? "; " : "");
	if (!inject_can_suspend())
		seed_append(text, size, "%sprocesses with a seccomp filter are left alone (PTRACE_O_SUSPEND_SECCOMP is not "
			    "granted)", *text ? "; " : "");
}

#else /* !INJECT_SUPPORTED */

static int ptrace_look(struct seed *s, struct seed_queue *queues, size_t n)
{
	(void)s, (void)queues, (void)n;
	return -ENOTSUP;
}

static bool ptrace_available(const struct tracer *t, char *reason, size_t size)
{
	(void)t;
	snprintf(reason, size, "it is written for x86-64 and aarch64 only");
	return false;
}

#define ptrace_blind_here NULL

#endif

static int ptrace_scan(struct seed *s)
{
#if INJECT_SUPPORTED
	can_suspend = inject_can_suspend();
#endif
	return seed_scan_queues(s, ptrace_look);
}

const struct seed_ops seed_ptrace_ops = {
	.name = "ptrace",
	.scan = ptrace_scan,
	.available = ptrace_available,
	.blind = "who holds a macvtap or ipvtap (/dev/tapN); orphaned files look unbound; in which namespace the file was opened; the namespace of the device where the "
		 "holder lacks CAP_NET_ADMIN, unless name and address lead to one; files that only io_uring, vhost-net or a "
		 "message in flight holds; of 32-bit programs and of processes that are traced already, no more than "
		 "fdinfo tells",
	.blind_here = ptrace_blind_here,
};
