// SPDX-License-Identifier: GPL-2.0-only
/*
 * busy_target IFNAME - holds a tap, and has one thread in the middle of each
 * kind of wait, and others that compute. Each checks everything it does, and
 * counts what is not as it should be:
 *
 *	rounds		how often it went through
 *	eintr		calls that ended with EINTR, which no signal of its own explains
 *	early		waits that ended before their time, or without their reason
 *	wrong		results, values or registers that are not what they must be
 *	late_ms		the longest a limited wait took above its time
 *
 * Prints one line of JSON with the thread ids, then answers every line on
 * stdin by one with the counters. Ends with stdin.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WAIT_NS 20000000

struct worker {
	const char *name;
	void (*work)(struct worker *w);
	volatile pid_t tid;
	volatile unsigned long rounds, eintr, early, wrong, late_ms;
	pthread_t thread;
};

static int bytes[2], event, limited, endless, woken_word, idle_word;
static pthread_t signalled;
static volatile int signalled_ready;

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* A wait that began at `from` and must take WAIT_NS is over. */
static void check_time(struct worker *w, int64_t from)
{
	int64_t took = now() - from;

	/* epoll and poll count in milliseconds, clocks differ in their last digit */
	if (took < WAIT_NS - 1000000)
		w->early++;
	else if ((unsigned long)((took - WAIT_NS) / 1000000) > w->late_ms && took > WAIT_NS)
		w->late_ms = (unsigned long)((took - WAIT_NS) / 1000000);
}

static long wait_word(int *word, int value, const struct timespec *limit)
{
	return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, limit, NULL, 0);
}

/* Numbered bytes of the feeder, none missing and none twice. */
static void work_read(struct worker *w)
{
	static unsigned char next;
	unsigned char byte;
	ssize_t n = read(bytes[0], &byte, 1);

	if (n < 0)
		w->eintr += errno == EINTR;
	else if (n != 1 || byte != next++)
		w->wrong++;
}

static void work_nanosleep(struct worker *w)
{
	struct timespec ts = { .tv_nsec = WAIT_NS };
	int64_t from = now();

	if (syscall(SYS_nanosleep, &ts, NULL))
		w->eintr++;
	check_time(w, from);
}

static void work_futex_limit(struct worker *w)
{
	struct timespec ts = { .tv_nsec = WAIT_NS };
	int64_t from = now();

	if (!wait_word(&idle_word, 0, &ts))
		w->early++;
	else if (errno == EINTR)
		w->eintr++;
	else if (errno != ETIMEDOUT)
		w->wrong++;
	check_time(w, from);
}

static void work_futex(struct worker *w)
{
	int value = __atomic_load_n(&woken_word, __ATOMIC_ACQUIRE);
	static int last;

	w->wrong += value < last;
	last = value;
	/* a wake that is late for the last value may come at this one: no error of anybody's */
	if (!wait_word(&woken_word, value, NULL) || errno == EAGAIN)
		return;
	if (errno == EINTR)
		w->eintr++;
	else
		w->wrong++;
}

static void work_epoll(struct worker *w)
{
	struct epoll_event ev;
	uint64_t count;
	int n = epoll_wait(endless, &ev, 1, -1);

	if (n < 0)
		w->eintr += errno == EINTR;
	else if (n != 1 || read(event, &count, sizeof(count)) != sizeof(count) || !count)
		w->wrong++;
}

static void work_epoll_limit(struct worker *w)
{
	struct epoll_event ev;
	int64_t from = now();
	int n = epoll_wait(limited, &ev, 1, WAIT_NS / 1000000);

	if (n < 0) {
		w->eintr += errno == EINTR;
		return;
	}
	w->wrong += n > 0;
	check_time(w, from);
}

static void work_poll(struct worker *w)
{
	int64_t from = now();
	int n = poll(NULL, 0, WAIT_NS / 1000000);

	if (n < 0)
		w->eintr += errno == EINTR;
	w->wrong += n > 0;
	check_time(w, from);
}

/* Long arithmetic in registers, integer and floating; the same every time. */
static uint64_t arithmetic(void)
{
	uint64_t a = 88172645463325252u, b = 1, c = 3;
	double x = 0.5;

	for (int i = 0; i < 200000; i++) {
		a ^= a << 13;
		a ^= a >> 7;
		a ^= a << 17;
		b = b * 6364136223846793005u + a;
		c += b ^ (a >> 3);
		x = x * 3.7 * (1 - x);
	}
	memcpy(&b, &x, sizeof(b));
	return a ^ b ^ c;
}

static void work_compute(struct worker *w)
{
	static uint64_t expected;
	uint64_t got = arithmetic();

	if (!expected)
		expected = got;
	w->wrong += got != expected;
}

/* Queued signals with numbers, none missing and none out of order, none with a wrong mask. */
static struct worker *signal_worker;
static volatile int next_number;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sig != SIGRTMIN || info->si_code != SI_QUEUE || info->si_value.sival_int != next_number)
		signal_worker->wrong++;
	next_number = info->si_value.sival_int + 1;
}

static void work_signal(struct worker *w)
{
	sigset_t set;
	int before = next_number;

	if (!signalled_ready) {
		signal_worker = w;
		signalled = pthread_self();
		__atomic_store_n(&signalled_ready, 1, __ATOMIC_RELEASE);
	}
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	if (sigismember(&set, SIGRTMIN) || !sigismember(&set, SIGUSR2))
		w->wrong++;
	/* pause() ends with a handler only */
	pause();
	if (next_number == before)
		w->early++;
}

static void work_feed(struct worker *w)
{
	static unsigned char number;
	static int signal_number;
	union sigval value = { .sival_int = signal_number };
	struct timespec ts = { .tv_nsec = 2000000 };
	uint64_t one = 1;

	if (syscall(SYS_nanosleep, &ts, NULL))
		w->eintr++;
	if (write(bytes[1], &number, 1) == 1)
		number++;
	else
		w->wrong++;
	if (write(event, &one, sizeof(one)) != sizeof(one))
		w->wrong++;
	__atomic_add_fetch(&woken_word, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &woken_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	if (__atomic_load_n(&signalled_ready, __ATOMIC_ACQUIRE) && !pthread_sigqueue(signalled, SIGRTMIN, value))
		signal_number++;
}

static struct worker workers[] = {
	{ .name = "read", .work = work_read },
	{ .name = "nanosleep", .work = work_nanosleep },
	{ .name = "futex_limit", .work = work_futex_limit },
	{ .name = "futex", .work = work_futex },
	{ .name = "epoll", .work = work_epoll },
	{ .name = "epoll_limit", .work = work_epoll_limit },
	{ .name = "poll", .work = work_poll },
	{ .name = "compute", .work = work_compute },
	{ .name = "signal", .work = work_signal },
	{ .name = "feed", .work = work_feed },
};
#define N_WORKERS (sizeof(workers) / sizeof(workers[0]))

static void *run(void *arg)
{
	struct worker *w = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	w->tid = (pid_t)syscall(SYS_gettid);
	for (;;) {
		w->work(w);
		w->rounds++;
	}
	return NULL;
}

static void tell(void)
{
	for (size_t i = 0; i < N_WORKERS; i++) {
		struct worker *w = &workers[i];

		printf("%s\"%s\":{\"tid\":%d,\"rounds\":%lu,\"eintr\":%lu,\"early\":%lu,\"wrong\":%lu,\"late_ms\":%lu}",
		       i ? "," : "{", w->name, w->tid, w->rounds, w->eintr, w->early, w->wrong, w->late_ms);
	}
	puts("}");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	struct epoll_event ev = { .events = EPOLLIN };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	char line[64];
	int fd, quiet;

	if (argc != 2)
		return 2;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", argv[1]);
	fd = open("/dev/net/tun", O_RDWR);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) || pipe(bytes)) {
		perror("busy_target");
		return 1;
	}
	event = eventfd(0, 0);
	quiet = eventfd(0, 0);
	endless = epoll_create1(0);
	limited = epoll_create1(0);
	if (epoll_ctl(endless, EPOLL_CTL_ADD, event, &ev) || epoll_ctl(limited, EPOLL_CTL_ADD, quiet, &ev))
		return 1;
	sigaction(SIGRTMIN, &action, NULL);
	for (size_t i = 0; i < N_WORKERS; i++)
		if (pthread_create(&workers[i].thread, NULL, run, &workers[i]))
			return 1;
	for (size_t i = 0; i < N_WORKERS; i++)
		while (!workers[i].tid || !workers[i].rounds)
			sched_yield();
	printf("{\"pid\":%d,\"fd\":%d,\"ifname\":\"%s\"}\n", getpid(), fd, ifr.ifr_name);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		tell();
	return 0;
}
