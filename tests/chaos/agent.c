/* SPDX-License-Identifier: GPL-2.0-only */
/* agent.c - the life of an agent, and what all of chaos stands on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "chaos.h"

struct shared *sh;
__thread struct agent *me;
__thread uint64_t *stream;
__thread int home;
_Atomic int live_threads;
bool may_make_threads = true;

/* ---- random numbers (splitmix64) --------------------------------------- */

uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

uint32_t rnd(uint32_t below)
{
	*stream += 0x9e3779b97f4a7c15ULL;
	return (mix(*stream) >> 32) * below >> 32;
}

int rnd_between(int from, int to)
{
	return from + (int)rnd(to - from + 1);
}

bool chance(unsigned int percent)
{
	return rnd(100) < percent;
}

/* ---- log, clock, futexes ----------------------------------------------- */

uint64_t boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* Logs what was done, after it was done. `result`: as of a system call's wrapper, errno read from errno. */
void note(const char *what, long result, int a, int b, int c, const char *text)
{
	int err = errno;
	struct record *r = &sh->log[atomic_fetch_add(&sh->n_records, 1) % LOG_SIZE];

	*r = (struct record){
		.time_ns = boottime_ns(), .pid = getpid(), .tid = syscall(SYS_gettid), .what = what,
		.args = { a, b, c }, .result = result < 0 ? -err : result,
	};
	if (text)
		memcpy(r->text, text, strnlen(text, IFNAMSIZ - 1));
}

long futex_wait(_Atomic uint32_t *word, uint32_t value, unsigned int ms)
{
	struct timespec limit = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	return syscall(SYS_futex, word, FUTEX_WAIT, value, ms ? &limit : NULL, NULL, 0);
}

void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1000, NULL, NULL, 0);
}

void tell_coordinator(void)
{
	atomic_fetch_add(&sh->news, 1);
	futex_wake(&sh->news);
}

/* Maps the shared memory of a coordinator by its fd number, which leaves no fd behind. */
int open_shared(pid_t coordinator, int fd)
{
	char path[64];
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", coordinator, fd);
	mem = open(path, O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return -errno;
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	close(mem);
	return sh == MAP_FAILED ? -errno : 0;
}

/* ---- namespaces --------------------------------------------------------- */

int space_open(int k)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", sh->coordinator, FD_RESERVED + 1 + k);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int space_enter(int k)
{
	int fd = space_open(k), err;

	if (fd < 0)
		return fd;
	err = setns(fd, CLONE_NEWNET) ? -errno : 0;
	close(fd);
	return err;
}

/* ---- slots --------------------------------------------------------------- */

uint64_t agent_word(const struct agent *a)
{
	return atomic_load(&a->word);
}

static bool agent_change(struct agent *a, uint64_t word, enum agent_state state)
{
	uint64_t next = state == AGENT_FREE ? ((word >> 8) + 1) << 8 : (word & ~0xffULL) | state;

	return atomic_compare_exchange_strong(&a->word, &word, next);
}

struct agent *agent_reserve(void)
{
	for (int i = 0; i < MAX_AGENTS; i++) {
		struct agent *a = &sh->agents[i];
		uint64_t word = agent_word(a);

		if ((word & 0xff) != AGENT_FREE || !agent_change(a, word, AGENT_STARTING))
			continue;
		atomic_store(&a->pid, getpid());
		atomic_store(&a->tid, 0);
		atomic_store(&a->bell, BELL_NONE);
		atomic_store(&a->kill, 0);
		atomic_store(&a->listener, 0);
		rnd(2);
		a->random = mix(*stream);
		return a;
	}
	return NULL;
}

/* By the new agent itself. `word`: as it was when the slot was reserved for it. */
bool agent_claim(struct agent *a, uint64_t word)
{
	if (agent_word(a) != word)
		return false;
	atomic_store(&a->pid, getpid());
	atomic_store(&a->tid, syscall(SYS_gettid));
	if (!agent_change(a, word, AGENT_RUNNING))
		return false;
	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* the coordinator's, whose child it is */
	me = a;
	stream = &a->random;
	return true;
}

void agent_free(struct agent *a)
{
	uint64_t word = agent_word(a);

	if ((word & 0xff) != AGENT_FREE)
		agent_change(a, word, AGENT_FREE);
	tell_coordinator();
}

/* The process `pid` is gone, or all of its threads but one. */
void agents_forget(pid_t pid, const struct agent *but)
{
	for (int i = 0; i < MAX_AGENTS; i++) {
		struct agent *a = &sh->agents[i];
		uint64_t word = agent_word(a);

		if (a != but && (word & 0xff) != AGENT_FREE && atomic_load(&a->pid) == pid)
			agent_change(a, word, AGENT_FREE);
	}
}

/* ---- life ----------------------------------------------------------------- */

static void park(struct agent *a)
{
	uint64_t word = agent_word(a);
	uint32_t bell;

	agent_change(a, word, AGENT_PARKED);
	tell_coordinator();
	while ((bell = atomic_load(&a->bell)) != BELL_RUN) {
		if (bell == BELL_TELL) {
			truth_tell();
			atomic_store(&a->bell, BELL_NONE);
			tell_coordinator();
		} else {
			futex_wait(&a->bell, BELL_NONE, 0);
		}
	}
	atomic_store(&a->bell, BELL_NONE);
	agent_change(a, agent_word(a), AGENT_RUNNING);
}

void limit_fds(unsigned int fds)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = fds;
	setrlimit(RLIMIT_NOFILE, &limit);
}

void agent_run(struct agent *a)
{
	limit_fds(FD_MAX);	/* its maker may just have been short of them */
	for (;;) {
		if (atomic_fetch_sub(&sh->ops_left, 1) > 0) {
			op_random();
			atomic_fetch_add(&sh->ops_done, 1);
		} else {
			park(a);
		}
	}
}
