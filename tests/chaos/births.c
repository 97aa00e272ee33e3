/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * births.c - operations by which processes, threads and programs come and go.
 *
 * A process that is to be an agent is made a child of the coordinator
 * (CLONE_PARENT), which learns of its end so. Others are short-lived and
 * waited for by their maker; when that is killed meanwhile, the coordinator
 * inherits and reaps them.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos.h"

/* Like fork(), with flags, and without libc's part in it: nobody here holds libc's locks. */
pid_t copy_process(unsigned long flags)
{
	pid_t pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (!pid) {
		if (atomic_load(&live_threads) > 1)
			may_make_threads = false;	/* what libc knows of them is of no use now */
		atomic_store(&live_threads, 1);
	}
	return pid;
}

void wait_for(pid_t pid)
{
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
}

/* ---- programs ---------------------------------------------------------------- */

struct program {
	char path[96], shared_pid[16], shared_fd[16], seed[24], slot[32];
	char *argv[8];
};

static void program_prepare(struct program *p, const char *what, const char *slot)
{
	snprintf(p->path, sizeof(p->path), "%s/chaos-%c", sh->programs, 'a' + (int)rnd(PROGRAMS));
	snprintf(p->shared_pid, sizeof(p->shared_pid), "%d", sh->coordinator);
	snprintf(p->shared_fd, sizeof(p->shared_fd), "%d", FD_RESERVED);
	snprintf(p->seed, sizeof(p->seed), "%u", rnd(~0U));
	snprintf(p->slot, sizeof(p->slot), "%s", slot);
	p->argv[0] = p->path;
	p->argv[1] = (char *)what;
	p->argv[2] = p->shared_pid;
	p->argv[3] = p->shared_fd;
	p->argv[4] = p->seed;
	p->argv[5] = p->slot;
	p->argv[6] = NULL;
}

static char *const no_environment[] = { NULL };

/* The agent goes on as another program. Its process has no other threads then. */
static void op_exec(void)
{
	struct program p;
	char slot[32];

	snprintf(slot, sizeof(slot), "%d:%llu:%d", (int)(me - sh->agents), (unsigned long long)agent_word(me), home);
	program_prepare(&p, "--agent", slot);
	note("exec", 0, 0, 0, 0, p.path + strlen(sh->programs) + 1);
	if (chance(10))
		p.path[strlen(p.path) - 1] = 'X';	/* there is no such program */
	execve(p.path, p.argv, no_environment);
	note("exec", -1, 0, 0, 0, NULL);
}

int agent_main(char **argv)
{
	unsigned long long word;
	struct agent *a;
	int slot, space;

	if (sscanf(argv[4], "%d:%llu:%d", &slot, &word, &space) != 3)
		return 2;
	a = &sh->agents[slot];
	agents_forget(getpid(), a);
	/* A claim from the state RUNNING to RUNNING: false if the slot was taken away meanwhile. */
	if (!agent_claim(a, word))
		return 0;
	home = space;
	atomic_store(&live_threads, 1);
	note("exec'ed", 0, 0, 0, 0, NULL);
	agent_run(a);
}

/* A few operations on what was inherited, and an end of one or the other kind. */
static void short_life(uint64_t seed)
{
	me = NULL;
	stream = &seed;
	for (int n = rnd(4); n; n--)
		op_random_simple();
	if (chance(15))
		kill(getpid(), SIGKILL);
	_exit(0);
}

int helper_main(char **argv)
{
	uint64_t seed = strtoull(argv[3], NULL, 10);

	if (seed & 1)
		_exit(0);
	short_life(seed);
	return 0;
}

/* ---- short-lived children ------------------------------------------------------ */

static void op_fork(void)
{
	uint64_t seed = (rnd(2), mix(*stream));
	struct program p;
	bool exec = chance(30);
	pid_t pid;

	program_prepare(&p, "--helper", "");
	pid = copy_process(0);
	if (!pid) {
		if (exec)
			execve(p.path, p.argv, no_environment);
		short_life(seed);
	}
	note(exec ? "fork, exec" : "fork", pid, 0, 0, 0, NULL);
	if (pid > 0)
		wait_for(pid);
}

static void op_vfork(void)
{
	struct program p;
	bool exec = chance(60);
	pid_t pid;

	program_prepare(&p, "--helper", "");
	pid = vfork();
	if (!pid) {
		if (exec)
			execve(p.path, p.argv, no_environment);
		_exit(0);
	}
	note(exec ? "vfork, exec" : "vfork", pid, 0, 0, 0, NULL);
	if (pid > 0)
		wait_for(pid);
}

static void op_spawn(void)
{
	struct program p;
	pid_t pid = -1;
	int err;

	if (!may_make_threads)	/* it allocates memory */
		return;
	program_prepare(&p, "--helper", "");
	err = posix_spawn(&pid, p.path, NULL, NULL, p.argv, no_environment);
	errno = err;
	note("posix_spawn", err ? -1 : pid, 0, 0, 0, NULL);
	if (!err)
		wait_for(pid);
}

/* ---- agents ---------------------------------------------------------------------- */

static void make_agent(const char *what, unsigned long flags)
{
	struct agent *a = agent_reserve();
	uint64_t word;
	pid_t pid;

	if (!a)
		return;
	word = agent_word(a);
	pid = copy_process(flags | CLONE_PARENT);
	if (!pid) {
		if (!agent_claim(a, word))
			_exit(0);
		agent_run(a);
	}
	note(what, pid, 0, 0, 0, NULL);
	if (pid < 0)
		agent_free(a);
}

static void op_agent(void)
{
	make_agent("fork agent", 0);
}

/* Another process with the same table. */
static void op_share(void)
{
	make_agent("clone CLONE_FILES", CLONE_FILES);
}

struct thread_start {
	struct agent *agent;
	uint64_t word;
	int home;
};

static void *thread_main(void *arg)
{
	struct thread_start start = *(struct thread_start *)arg;

	free(arg);
	home = start.home;
	if (agent_claim(start.agent, start.word))
		agent_run(start.agent);
	return NULL;
}

static void op_thread(void)
{
	struct agent *a;
	struct thread_start *start;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (!may_make_threads || atomic_load(&live_threads) >= 5)
		return;
	a = agent_reserve();
	if (!a)
		return;
	start = malloc(sizeof(*start));
	*start = (struct thread_start){ .agent = a, .word = agent_word(a), .home = home };
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 << 10);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&live_threads, 1);
	err = pthread_create(&thread, &attr, thread_main, start);
	errno = err;
	note("thread", err ? -1 : 0, 0, 0, 0, NULL);
	if (err) {
		atomic_fetch_sub(&live_threads, 1);
		free(start);
		agent_free(a);
	}
}

/* Also the first thread of a process may end before the others: a zombie leader. */
static void op_thread_exit(void)
{
	if (atomic_fetch_sub(&live_threads, 1) <= 1) {
		atomic_fetch_add(&live_threads, 1);
		return;
	}
	if (getpid() == syscall(SYS_gettid) && !chance(20)) {
		atomic_fetch_add(&live_threads, 1);
		return;
	}
	note("thread exit", 0, 0, 0, 0, NULL);
	agent_free(me);
	syscall(SYS_exit, 0);
}

static void op_exit(void)
{
	note("exit", 0, 0, 0, 0, NULL);
	_exit(0);
}

static void op_kill_self(void)
{
	note("kill self", 0, 0, 0, 0, NULL);
	kill(getpid(), SIGKILL);
}

/* The coordinator does it, because only that knows that the pid still is the same process. */
static void op_kill(void)
{
	struct agent *a = &sh->agents[rnd(MAX_AGENTS)];

	if ((agent_word(a) & 0xff) == AGENT_FREE || a == me)
		return;
	note("kill", 0, atomic_load(&a->pid), 0, 0, NULL);
	atomic_store(&a->kill, 1);
	tell_coordinator();
}

const struct op birth_ops[] = {
	{ "fork", 10, op_fork }, { "vfork", 4, op_vfork }, { "spawn", 3, op_spawn },
	{ "agent", 14, op_agent }, { "share", 4, op_share }, { "thread", 16, op_thread }, { "exec", 6, op_exec },
	{ "thread-exit", 12, op_thread_exit }, { "exit", 7, op_exit },
	{ "kill-self", 3, op_kill_self }, { "kill", 3, op_kill },
	{ NULL, 0, NULL }
};
