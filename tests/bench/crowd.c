/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * crowd - many processes with many fds each, for benchmarks.
 *
 *	crowd [-n PROCESSES] [-f FDS] [-t TAPS]		1000, 100 and 100 by default
 *
 * Makes a network namespace of its own, and in it the processes. Each has
 * exactly FDS open files: /dev/null, sockets, pipes and eventfds; TAPS of them,
 * evenly spread, have one tap device (crowd0...) among these. When all is
 * there one line of JSON is written to stdout. Everything is gone again when
 * stdin ends, and when the program ends in any way.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a process of the crowd tells when it is complete. Smaller than PIPE_BUF: written at once. */
struct report {
	pid_t pid;
	int tap;	/* number of its device, or -1 */
	int fd;		/* of the device */
};

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

/* They are delivered once all processes are made: then all are known that must be ended. */
static void catch_signals(sigset_t *before)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t block;

	sigemptyset(&block);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaddset(&block, signals[i]);
		sigaction(signals[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, before);
}

/* ---- a process of the crowd ---- */

static int open_null(int fd[2])
{
	fd[0] = open("/dev/null", O_RDWR);
	return fd[0] < 0 ? -1 : 1;
}

static int open_udp(int fd[2])
{
	fd[0] = socket(AF_INET, SOCK_DGRAM, 0);
	return fd[0] < 0 ? -1 : 1;
}

static int open_unix(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, fd) ? -1 : 2;
}

static int open_pipe(int fd[2])
{
	return pipe(fd) ? -1 : 2;
}

static int open_eventfd(int fd[2])
{
	fd[0] = eventfd(0, 0);
	return fd[0] < 0 ? -1 : 1;
}

/* In turn. Each tells how many fds it opened. */
static int (*const openers[])(int fd[2]) = { open_null, open_unix, open_eventfd, open_pipe, open_udp };
#define OPENERS (sizeof(openers) / sizeof(openers[0]))

static void fill_up(int have, int wanted)
{
	for (size_t i = 0; have < wanted; i++) {
		int fd[2], n = openers[i % OPENERS](fd);

		if (n < 0)
			err(1, "cannot open another file");
		have += n;
		if (have > wanted) {
			close(fd[1]);
			have--;
		}
	}
}

static int open_tap(int number)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "crowd%d", number);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
		err(1, "cannot make the device %s", ifr.ifr_name);
	return fd;
}

/* Ends with its parent, however that ends. `ready` is where to report. */
static void live(int ready, pid_t parent, int tap, int fds)
{
	struct report report = { .pid = getpid(), .tap = tap, .fd = -1 };
	int null = open("/dev/null", O_RDWR);

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	/* no file of whoever started us; 2 and 3 are needed until all is there */
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(ready, 3) < 0 || close_range(4, ~0U, 0))
		err(1, "cannot tidy up");
	if (tap >= 0)
		report.fd = open_tap(tap);
	fill_up(4 + (tap >= 0), fds);
	dup2(0, 2);
	if (write(3, &report, sizeof(report)) != sizeof(report) || dup2(0, 3) < 0)
		_exit(1);
	for (;;)
		pause();
}

/* ---- the parent ---- */

static void end_all(const pid_t pids[], int n)
{
	for (int i = 0; i < n; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

/* One report of each. 0, or -1 when one has failed (and said why) or a signal came. */
static int wait_all(int ready, int n, struct report *holder)
{
	struct report report;
	int have = 0;
	ssize_t len;

	while (!ended && (len = read(ready, &report, sizeof(report)))) {
		if (len < 0 && errno == EINTR)
			continue;
		if (len != sizeof(report))
			return -1;
		have++;
		if (report.tap == 0)
			*holder = report;
	}
	return have == n ? 0 : -1;
}

static int parse(const char *word, const char *what)
{
	char *end;
	long n = strtol(word, &end, 10);

	if (*end || n < 0 || n > 100000)
		errx(2, "invalid number of %s: %s", what, word);
	return (int)n;
}

/* Number of the device of process i, or -1. Those who have one are as far from each other as can be. */
static int tap_of(int i, int processes, int taps)
{
	int tap = (int)((long)i * taps / processes);

	return taps && (!i || tap != (int)((long)(i - 1) * taps / processes)) ? tap : -1;
}

/* Until stdin ends or a signal comes. */
static void wait_for_end(void)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };
	char buf[64];

	while (!ended && (poll(&input, 1, 1000) <= 0 || read(0, buf, sizeof(buf)) > 0))
		;
}

int main(int argc, char **argv)
{
	int processes = 1000, fds = 100, taps = 100, option, ready[2];
	struct report holder = { .fd = -1 };
	pid_t *pids, self = getpid();
	bool failed = false;
	sigset_t before;

	while ((option = getopt(argc, argv, "n:f:t:")) >= 0) {
		switch (option) {
		case 'n':
			processes = parse(optarg, "processes");
			break;
		case 'f':
			fds = parse(optarg, "fds");
			break;
		case 't':
			taps = parse(optarg, "taps");
			break;
		default:
			errx(2, "usage: crowd [-n PROCESSES] [-f FDS] [-t TAPS]");
		}
	}
	if (optind < argc || processes < 1 || fds < 8 || taps > processes)
		errx(2, "usage: crowd [-n PROCESSES] [-f FDS, at least 8] [-t TAPS, at most PROCESSES]");
	pids = calloc((size_t)processes, sizeof(*pids));
	if (!pids || pipe(ready))
		err(1, "cannot start");
	if (unshare(CLONE_NEWNET))
		err(1, "cannot make a network namespace");
	catch_signals(&before);
	for (int i = 0; i < processes && !failed; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			sigprocmask(SIG_SETMASK, &before, NULL);
			live(ready[1], self, tap_of(i, processes, taps), fds);
		}
		if (pids[i] < 0) {
			warn("cannot make process %d", i);
			failed = true;
		}
	}
	close(ready[1]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	failed = failed || wait_all(ready[0], processes, &holder);
	if (!failed && !ended) {
		printf("{\"ready\":true,\"pid\":%d,\"processes\":%d,\"fds\":%d,\"taps\":%d,"
		       "\"holder\":%d,\"fd\":%d}\n", self, processes, fds, taps, holder.pid, holder.fd);
		fflush(stdout);
		wait_for_end();
	}
	end_all(pids, processes);
	free(pids);
	return failed && !ended;
}
