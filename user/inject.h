/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inject.h - system calls made by a thread of another process, on our behalf
 * and without its noticing (ptrace).
 *
 * What must never happen is that the thread runs on with registers, memory or
 * a signal mask of ours. The kernel lets go of a tracee when its tracer dies,
 * in whatever state it is then. So all this is to be called by a process of
 * its own in which every signal is blocked (see seed_ptrace.c): whoever kills
 * tapwatch does not kill it, and it ends within inject_limit_ns. What remains
 * is a SIGKILL to that very process (by hand, by the OOM killer, by a
 * cgroup's kill) while a call is under way.
 */
#ifndef TW_INJECT_H
#define TW_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/*
 * From the request to stop until the thread runs on: no call is begun later
 * than that. 50 ms; only tests on slow machines change it.
 */
extern uint64_t inject_limit_ns;

#define INJECT_SCRATCH 64		/* bytes of its stack that calls may use */

#if defined(__x86_64__)
#define INJECT_SUPPORTED 1
typedef struct user_regs_struct inject_regs;
#elif defined(__aarch64__)
#define INJECT_SUPPORTED 1
typedef struct user_regs_struct inject_regs;	/* user_pt_regs of the kernel */
#else
#define INJECT_SUPPORTED 0
typedef struct { long none; } inject_regs;
#endif

/* A thread that is ours. */
struct inject {
	uint64_t took_ns;		/* after inject_end(): how long it was stopped */
	/* private */
	pid_t pid, tid;
	bool seized, stopped, masked;
	bool at_call;			/* stopped at the entry or exit of a system call */
	inject_regs saved;
	bool known;			/* `saved` is valid */
	uint64_t mask;			/* of blocked signals */
	uint64_t insn;			/* address of a system call instruction */
	uint64_t scratch;		/* address */
	unsigned char memory[INJECT_SCRATCH]; /* what stood there */
	bool scratched;
	uint64_t deadline_ns, stopped_ns; /* CLOCK_MONOTONIC */
	long blocked_in;		/* system call it slept in before we came, or -1 */
	uint64_t blocked_args[6], blocked_pc, blocked_sp;
};

/* The thread of a process that is harmed least by a stop; 0: there is none. */
pid_t inject_choose(pid_t pid);

/*
 * Stops thread `tid` of `pid` and readies it for calls. 0, or a negative errno
 * with a reason; it then runs on as if nothing had been. inject_end() is to be
 * called in either case.
 */
int inject_begin(struct inject *in, pid_t pid, pid_t tid, char *reason, size_t size);

/*
 * A system call with three arguments. 0 and its result (negative errno), or a
 * negative errno: -ESRCH (the thread died), -ETIME (no more time: only
 * inject_end() makes sense).
 */
int inject_call(struct inject *in, long *result, long nr, uint64_t a, uint64_t b, uint64_t c);
/* The same, late or not: for what must be undone. */
int inject_call_anyway(struct inject *in, long *result, long nr, uint64_t a, uint64_t b, uint64_t c);

/* The scratch memory, INJECT_SCRATCH bytes at this address of the thread's. */
uint64_t inject_scratch(const struct inject *in);
int inject_write(struct inject *in, const void *data, size_t size);
int inject_read(const struct inject *in, void *data, size_t size);

/* Puts everything back and lets the thread go. */
void inject_end(struct inject *in);

/*
 * Why a process must not be touched; false with a reason. Looks at /proc
 * only. `can_suspend`: PTRACE_O_SUSPEND_SECCOMP is granted.
 */
bool inject_allowed(pid_t pid, pid_t tid, bool can_suspend, char *reason, size_t size);

/* Is PTRACE_O_SUSPEND_SECCOMP granted to us? Tried on a child. */
bool inject_can_suspend(void);

/* /proc/PID/task/TID/syscall: the system call it sleeps in, or -1; *sp and *pc with it. For the tests. */
long inject_parse_syscall(const char *text, uint64_t args[6], uint64_t *sp, uint64_t *pc);

#endif /* TW_INJECT_H */
