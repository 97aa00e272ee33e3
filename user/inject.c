// SPDX-License-Identifier: GPL-2.0-only
/*
 * inject.c - see inject.h.
 *
 * The course of things, and why:
 *
 * PTRACE_SEIZE and PTRACE_INTERRUPT stop one thread without any signal. It
 * stops in get_signal() (kernel/signal.c), on its way back to user space. If
 * it slept in a system call, that has been left with an -ERESTART code, which
 * the kernel deals with after get_signal(), out of the registers. So the last
 * stop, at which the saved registers are put back, must be of this kind too:
 * after a syscall-exit-stop the code would come to be seen by the program.
 *
 * All signals are blocked by PTRACE_SETSIGMASK and so stay pending, with all
 * they carry, until the old mask is put back. What cannot be blocked: SIGKILL
 * (the thread is gone), and SIGSTOP, which is passed on: the group stops, our
 * thread goes on, and stops when it is let go (__ptrace_unlink()).
 *
 * Seccomp is suspended only while the thread is stopped or in a call of ours:
 * never for a system call of its own.
 *
 * The instruction that makes the call is one that is there: that of the call
 * which the thread was in, or one of the vdso. Nothing is written but
 * INJECT_SCRATCH bytes below the stack pointer and the red zone, and these are
 * put back. (Go programs enter system calls with at least 800 bytes of stack
 * left: runtime/stack.go, stackNosplit.)
 *
 * Restartable sequences (rseq): the kernel aborts a critical section when the
 * thread is preempted in it, by its instruction pointer on the way back to
 * user space; with ours there it would see none and forget the section
 * (rseq_ip_fixup()). So a thread in a section is let go and not touched.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inject.h"
#include "proc_scan.h"

/* sys/ptrace.h and linux/ptrace.h do not go together */
extern long ptrace(int request, ...);

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f		/* 5.13 */
struct ptrace_rseq_configuration { uint64_t rseq_abi_pointer; uint32_t rseq_abi_size, signature, flags, pad; };
#endif
#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211	/* 6.4 */
#endif

/* The C library takes all arguments as pointers, whatever they are. */
static long trace(int request, pid_t tid, uintptr_t address, uintptr_t data)
{
	return ptrace(request, tid, (void *)address, (void *)data);
}

#define PTR(p) ((uintptr_t)(p))

#define RED_ZONE 128	/* x86-64 ABI 3.2.2; aarch64 has none */
#define FOREVER UINT64_MAX
#define SIGTRAP_SYSCALL (SIGTRAP | 0x80)	/* PTRACE_O_TRACESYSGOOD */

/* include/linux/errno.h: not for user space, yet seen by tracers */
#define ERESTARTNOHAND 514

uint64_t inject_limit_ns = 50000000;
#define GRACE_NS (inject_limit_ns / 5)	/* of it, for the last call to be begun and for the way back */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- what differs between architectures ---- */

#if defined(__x86_64__)

static const unsigned char call_insn[] = { 0x0f, 0x05 };	/* syscall */
#define INSN_STEP 1

static uint64_t regs_pc(const inject_regs *r) { return r->rip; }
static uint64_t regs_sp(const inject_regs *r) { return r->rsp; }
static long regs_result(const inject_regs *r) { return (long)r->rax; }

static void regs_set_call(inject_regs *r, uint64_t insn, long nr, uint64_t a, uint64_t b, uint64_t c)
{
	r->rip = insn;
	r->rax = (unsigned long long)nr;
	r->orig_rax = ~0ULL;	/* in no system call: nothing to restart */
	r->rdi = a;
	r->rsi = b;
	r->rdx = c;
}

/* Code segment 0x33 is 64 bit code (__USER_CS, asm/segment.h). */
static bool regs_native(const inject_regs *r, size_t size)
{
	return size == sizeof(*r) && r->cs == 0x33;
}

static bool in_call(const struct inject *in)
{
	return (long)in->saved.orig_rax >= 0;
}

/* A call that would return EINTR, but is restarted by us. */
static bool endless(long nr, const uint64_t args[6])
{
	return (nr == SYS_epoll_wait || nr == SYS_epoll_pwait) && (int)args[3] == -1;
}

/*
 * epoll_wait() is not restarted after a stop, it returns EINTR. Where it
 * waits without limit, it can be restarted with no difference to the program:
 * the code for "restart unless there is a handler to run" makes it so.
 */
static void spare_interruption(struct inject *in)
{
	const uint64_t args[6] = { [3] = in->saved.r10 };

	if (endless((long)in->saved.orig_rax, args) && in->saved.rax == (unsigned long long)-EINTR)
		in->saved.rax = (unsigned long long)-ERESTARTNOHAND;
}

#elif defined(__aarch64__)

static const unsigned char call_insn[] = { 0x01, 0x00, 0x00, 0xd4 };	/* svc #0 */
#define INSN_STEP 4
#define PSTATE_BTYPE (3ULL << 10)

static uint64_t regs_pc(const inject_regs *r) { return r->pc; }
static uint64_t regs_sp(const inject_regs *r) { return r->sp; }
static long regs_result(const inject_regs *r) { return (long)r->regs[0]; }

static void regs_set_call(inject_regs *r, uint64_t insn, long nr, uint64_t a, uint64_t b, uint64_t c)
{
	r->pc = insn;
	r->pstate &= ~PSTATE_BTYPE;	/* after an indirect branch only a landing pad could follow */
	r->regs[8] = (unsigned long long)nr;
	r->regs[0] = a;
	r->regs[1] = b;
	r->regs[2] = c;
}

static bool regs_native(const inject_regs *r, size_t size)
{
	return size == sizeof(*r);
}

/*
 * do_signal() (arch/arm64/kernel/signal.c) has already turned the registers
 * back to the instruction when it stops, or left a result there. Outside of a
 * system call the upper part of the SVE registers would be lost by one
 * (Documentation/arch/arm64/sve.rst): such a thread is not touched.
 */
static bool in_call(const struct inject *in)
{
	return in->blocked_in >= 0 && in->blocked_sp == in->saved.sp &&
	       (in->saved.pc == in->blocked_pc || in->saved.pc == in->blocked_pc - sizeof(call_insn));
}

static bool endless(long nr, const uint64_t args[6])
{
	(void)nr, (void)args;
	return false;
}

/*
 * For calls that go on with the time that is left, do_signal() would have
 * changed the number to that of restart_syscall(), but only after the stop
 * that we have left: without it they would begin anew.
 */
static void spare_interruption(struct inject *in)
{
	static const struct { long nr; int arg; uint64_t unless; } restarted[] = {
		{ SYS_nanosleep, 0, 0 },
		{ SYS_clock_nanosleep, 1, TIMER_ABSTIME },
		{ SYS_futex, 3, 0 },	/* without limit it just begins anew */
	};

	if (in->saved.pc != in->blocked_pc - sizeof(call_insn))
		return;
	for (size_t i = 0; i < sizeof(restarted) / sizeof(restarted[0]); i++)
		if (in->blocked_in == restarted[i].nr && in->blocked_args[restarted[i].arg] != restarted[i].unless)
			in->saved.regs[8] = SYS_restart_syscall;
}

#endif

#if INJECT_SUPPORTED

/* ---- what /proc tells ---- */

static ssize_t read_proc(pid_t pid, pid_t tid, const char *what, char *text, size_t size)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, what);
	return proc_read(AT_FDCWD, path, text, size);
}

long inject_parse_syscall(const char *text, uint64_t args[6], uint64_t *sp, uint64_t *pc)
{
	uint64_t v[8];
	long nr;
	char *end;

	/* "running", or "NR ARG*6 SP PC", or "-1 SP PC" when it sleeps elsewhere */
	nr = strtol(text, &end, 10);
	if (end == text || nr < 0)
		return -1;
	for (int i = 0; i < 8; i++) {
		char *from = end;

		v[i] = strtoull(from, &end, 16);
		if (end == from)
			return -1;
	}
	memcpy(args, v, 6 * sizeof(*args));
	*sp = v[6];
	*pc = v[7];
	return nr;
}

/*
 * Calls that a stop ends with EINTR: signal(7), "Interruption of system calls
 * and library functions by stop signals"; ioctl for KVM_RUN. Those on sockets
 * only where a time limit was set by setsockopt(2).
 */
static const struct { long nr; int cost; } touchy[] = {
#ifdef SYS_epoll_wait
	{ SYS_epoll_wait, 3 },
#endif
#ifdef SYS_epoll_pwait2
	{ SYS_epoll_pwait2, 3 },
#endif
#ifdef SYS_io_uring_enter
	{ SYS_io_uring_enter, 3 },
#endif
	{ SYS_epoll_pwait, 3 }, { SYS_semop, 3 }, { SYS_semtimedop, 3 }, { SYS_rt_sigtimedwait, 3 },
	{ SYS_io_getevents, 3 }, { SYS_msgrcv, 3 }, { SYS_msgsnd, 3 }, { SYS_ioctl, 3 },
	{ SYS_accept, 2 }, { SYS_accept4, 2 }, { SYS_connect, 2 }, { SYS_recvfrom, 2 }, { SYS_recvmsg, 2 },
	{ SYS_sendto, 2 }, { SYS_sendmsg, 2 },
};

/* The less, the better; -1: hands off. */
static int cost(pid_t pid, pid_t tid)
{
	char text[512], state = 'Z';
	uint64_t args[6], sp, pc;
	struct tw_task task;
	long nr;

	if (read_proc(pid, tid, "stat", text, sizeof(text)) <= 0 || proc_parse_stat(text, 100, &task, &state))
		return -1;
	/* dead; or in a sleep that no stop ends, so that it would not come in time */
	if (strchr("ZXxD", state))
		return -1;
	if (read_proc(pid, tid, "syscall", text, sizeof(text)) <= 0)
		return 2;
	nr = inject_parse_syscall(text, args, &sp, &pc);
	if (nr < 0)
		return 1;
	for (size_t i = 0; i < sizeof(touchy) / sizeof(touchy[0]); i++)
		if (nr == touchy[i].nr)
			return endless(nr, args) ? 1 : touchy[i].cost;
	return 0;
}

pid_t inject_choose(pid_t pid)
{
	int best_cost = 1000, c, looks = 64;
	struct dirent *de;
	pid_t best = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (best_cost && looks-- && (de = readdir(dir))) {
		pid_t tid = atoi(de->d_name);

		c = tid > 0 ? cost(pid, tid) : -1;
		if (c >= 0 && c < best_cost) {
			best_cost = c;
			best = tid;
		}
	}
	closedir(dir);
	return best;
}

static bool is_elf32(pid_t pid)
{
	unsigned char head[EI_NIDENT] = { 0 };
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = proc_read(AT_FDCWD, path, (char *)head, sizeof(head));
	return n > EI_CLASS && !memcmp(head, ELFMAG, SELFMAG) && head[EI_CLASS] == ELFCLASS32;
}

bool inject_allowed(pid_t pid, pid_t tid, bool can_suspend, char *reason, size_t size)
{
	char text[4096], leader[4096];
	uint64_t tracer = 0, seccomp = 0;

	if (read_proc(pid, tid, "status", text, sizeof(text)) <= 0 ||
	    read_proc(pid, pid, "status", leader, sizeof(leader)) <= 0) {
		snprintf(reason, size, "it is gone");
		return false;
	}
	if (!proc_parse_status(text, "TracerPid", 10, &tracer) && !tracer)
		proc_parse_status(leader, "TracerPid", 10, &tracer);
	if (tracer) {
		snprintf(reason, size, "it is being traced already, by pid %u", (unsigned int)tracer);
		return false;
	}
	/* mode 1 (strict) or 2 (filter): a call that it does not know may kill the process */
	if (!proc_parse_status(text, "Seccomp", 10, &seccomp) && seccomp && !can_suspend) {
		snprintf(reason, size, "it has a seccomp filter, and PTRACE_O_SUSPEND_SECCOMP is not granted to us");
		return false;
	}
	if (is_elf32(pid)) {
		snprintf(reason, size, "it is a 32-bit program");
		return false;
	}
	return true;
}

/* ---- stops ---- */

/*
 * The next stop of the thread. 0 and *status, or -ESRCH: it died, or -ETIME.
 * SIGCHLD is blocked, and so waits for sigtimedwait().
 */
static int next_stop(struct inject *in, uint64_t until_ns, int *status)
{
	struct timespec left;
	uint64_t now;
	sigset_t set;
	pid_t got;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		got = waitpid(in->tid, status, __WALL | WNOHANG);
		if (got == in->tid) {
			in->stopped = WIFSTOPPED(*status);
			in->at_call = in->stopped && *status >> 8 == SIGTRAP_SYSCALL;
			if (!in->stopped_ns)
				in->stopped_ns = now_ns();
			in->seized = in->stopped;
			return in->stopped ? 0 : -ESRCH;
		}
		if (got < 0 && errno != EINTR) {
			in->seized = in->stopped = in->at_call = false;
			return -ESRCH;
		}
		now = now_ns();
		if (now >= until_ns)
			return -ETIME;
		left.tv_sec = (time_t)((until_ns - now) / 1000000000u);
		left.tv_nsec = (long)((until_ns - now) % 1000000000u);
		sigtimedwait(&set, NULL, &left);
	}
}

static int resume(struct inject *in, int request, int sig)
{
	if (trace(request, in->tid, 0, (uintptr_t)sig))
		return -errno;
	in->stopped = in->at_call = false;
	return 0;
}

static bool is_event_stop(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP;
}

/* A signal is on its way to the thread, as opposed to the stop of its group, or a system call. */
static int signal_of(int status)
{
	return status >> 16 || WSTOPSIG(status) == SIGTRAP_SYSCALL ? 0 : WSTOPSIG(status);
}

/*
 * To a stop in get_signal(), where registers may be put back. Signals that
 * come meanwhile are delivered. Any stop uses the request up (ptrace_stop()
 * clears JOBCTL_TRAP_STOP), so it is made anew before each resumption: without
 * it the thread would run on, with whatever registers it has.
 */
static int interrupt(struct inject *in, uint64_t until_ns)
{
	int status = 0, sig = 0, err;

	for (;;) {
		if (trace(PTRACE_INTERRUPT, in->tid, 0, 0))
			return -errno;
		err = in->stopped ? resume(in, PTRACE_CONT, sig) : 0;
		if (!err)
			err = next_stop(in, until_ns, &status);
		if (err || is_event_stop(status))
			return err;
		sig = signal_of(status);
	}
}

static int get_regs(const struct inject *in, inject_regs *regs, size_t *size)
{
	struct iovec iov = { regs, sizeof(*regs) };

	if (trace(PTRACE_GETREGSET, in->tid, NT_PRSTATUS, PTR(&iov)))
		return -errno;
	*size = iov.iov_len;
	return 0;
}

static int set_regs(const struct inject *in, const inject_regs *regs)
{
	struct iovec iov = { (void *)regs, sizeof(*regs) };

	return trace(PTRACE_SETREGSET, in->tid, NT_PRSTATUS, PTR(&iov)) ? -errno : 0;
}

/* ---- memory of the thread ---- */

/* Unlike PTRACE_POKEDATA, these heed the protection of the pages. */
static int read_memory(const struct inject *in, uint64_t address, void *data, size_t size)
{
	struct iovec local = { data, size }, remote = { (void *)(uintptr_t)address, size };
	ssize_t n = process_vm_readv(in->tid, &local, 1, &remote, 1, 0);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EFAULT;
}

static int write_memory(const struct inject *in, uint64_t address, const void *data, size_t size)
{
	struct iovec local = { (void *)data, size }, remote = { (void *)(uintptr_t)address, size };
	ssize_t n = process_vm_writev(in->tid, &local, 1, &remote, 1, 0);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EFAULT;
}

uint64_t inject_scratch(const struct inject *in)
{
	return in->scratch;
}

int inject_write(struct inject *in, const void *data, size_t size)
{
	return write_memory(in, in->scratch, data, size);
}

int inject_read(const struct inject *in, void *data, size_t size)
{
	return read_memory(in, in->scratch, data, size);
}

/* The vdso of the process; false: it has none. */
static bool find_vdso(pid_t pid, uint64_t *from, uint64_t *to)
{
	char path[64], *line = NULL;
	size_t size = 0;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0)
		found = strstr(line, " [vdso]") && sscanf(line, "%lx-%lx", from, to) == 2;
	free(line);
	fclose(f);
	return found;
}

static int find_insn(struct inject *in)
{
	unsigned char code[32768];
	uint64_t from, to, at = regs_pc(&in->saved) - sizeof(call_insn);

	if (in_call(in) && !read_memory(in, at, code, sizeof(call_insn)) &&
	    !memcmp(code, call_insn, sizeof(call_insn))) {
		in->insn = at;
		return 0;
	}
	if (!find_vdso(in->pid, &from, &to) || to <= from)
		return -ENOEXEC;
	if (to - from > sizeof(code))
		to = from + sizeof(code);
	if (read_memory(in, from, code, to - from))
		return -ENOEXEC;
	for (size_t i = 0; i + sizeof(call_insn) <= to - from; i += INSN_STEP)
		if (!memcmp(code + i, call_insn, sizeof(call_insn))) {
			in->insn = from + i;
			return 0;
		}
	return -ENOEXEC;
}

/* ---- begin ---- */

/* In a restartable sequence, or nobody can tell. A thread in a system call is in none. */
static bool in_rseq(const struct inject *in)
{
	struct ptrace_rseq_configuration config = { 0 };
	struct { uint32_t version, flags; uint64_t start, length, abort; } section;	/* struct rseq_cs */
	uint64_t pointer = 0;

	if (in_call(in))
		return false;
	if (trace(PTRACE_GET_RSEQ_CONFIGURATION, in->tid, sizeof(config), PTR(&config)) < 0)
		return true;
	if (!config.rseq_abi_pointer)
		return false;
	/* struct rseq: cpu_id_start, cpu_id, rseq_cs */
	if (read_memory(in, config.rseq_abi_pointer + 8, &pointer, sizeof(pointer)))
		return true;
	if (!pointer)
		return false;
	if (read_memory(in, pointer, &section, sizeof(section)))
		return true;
	return regs_pc(&in->saved) - section.start < section.length;
}

/* Its system calls are sent back to itself as signals (prctl(2), PR_SET_SYSCALL_USER_DISPATCH). */
static bool is_dispatched(const struct inject *in)
{
	struct { uint64_t mode, selector, offset, len; } config = { 0 };	/* struct ptrace_sud_config */

	return trace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, in->tid, sizeof(config), PTR(&config)) >= 0 && config.mode;
}

static int refuse(char *reason, size_t size, int err, const char *what)
{
	snprintf(reason, size, "%s: %s", what, strerror(-err));
	return err;
}

static int seize(struct inject *in, char *reason, size_t size)
{
	char text[512];
	int err;

	if (read_proc(in->pid, in->tid, "syscall", text, sizeof(text)) > 0)
		in->blocked_in = inject_parse_syscall(text, in->blocked_args, &in->blocked_sp, &in->blocked_pc);
	in->deadline_ns = now_ns() + inject_limit_ns - GRACE_NS;
	if (trace(PTRACE_SEIZE, in->tid, 0, PTRACE_O_TRACESYSGOOD))
		return refuse(reason, size, -errno, "it may not be traced");
	in->seized = true;
	err = interrupt(in, in->deadline_ns);
	return err ? refuse(reason, size, err, "it does not stop") : 0;
}

/* The thread is stopped, nothing is changed yet: may it be? */
static int examine(struct inject *in, char *reason, size_t size)
{
	uint64_t seccomp = 0;
	size_t regs_size = 0;
	char text[4096];
	int err = get_regs(in, &in->saved, &regs_size);

	if (err)
		return refuse(reason, size, err, "its registers cannot be read");
	if (!regs_native(&in->saved, regs_size))
		return refuse(reason, size, -EOPNOTSUPP, "it is in 32-bit code");
	in->known = true;
	spare_interruption(in);
	if (in_rseq(in))
		return refuse(reason, size, -EAGAIN, "it runs, and may be in a restartable sequence");
	if (is_dispatched(in))
		return refuse(reason, size, -EOPNOTSUPP, "its system calls are dispatched to itself");
	if (find_insn(in))
		return refuse(reason, size, -ENOEXEC, "no system call instruction was found");
	/* the filter may be a moment old */
	if (read_proc(in->pid, in->tid, "status", text, sizeof(text)) <= 0)
		return -ESRCH;
	proc_parse_status(text, "Seccomp", 10, &seccomp);
	if (!seccomp)
		return 0;
	if (trace(PTRACE_SETOPTIONS, in->tid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_SUSPEND_SECCOMP))
		return refuse(reason, size, -errno, "it has a seccomp filter that we may not suspend");
	return 0;
}

static int take_over(struct inject *in, char *reason, size_t size)
{
	uint64_t all = ~0ULL;

	if (trace(PTRACE_GETSIGMASK, in->tid, sizeof(in->mask), PTR(&in->mask)) ||
	    trace(PTRACE_SETSIGMASK, in->tid, sizeof(all), PTR(&all)))
		return refuse(reason, size, -errno, "its signals cannot be blocked");
	in->masked = true;
	in->scratch = (regs_sp(&in->saved) - RED_ZONE - INJECT_SCRATCH) & ~15ULL;
	if (read_memory(in, in->scratch, in->memory, sizeof(in->memory)) ||
	    write_memory(in, in->scratch, in->memory, sizeof(in->memory)))
		return refuse(reason, size, -EFAULT, "it has no stack to spare");
	in->scratched = true;
	return 0;
}

int inject_begin(struct inject *in, pid_t pid, pid_t tid, char *reason, size_t size)
{
	int err;

	*in = (struct inject){ .pid = pid, .tid = tid, .blocked_in = -1 };
	reason[0] = '\0';
	err = seize(in, reason, size);
	if (!err)
		err = examine(in, reason, size);
	if (!err)
		err = take_over(in, reason, size);
	return err;
}

/* ---- calls ---- */

/*
 * To the stop before our call. Stops of the group do not stop us; SIGSTOP is
 * passed on. A thread that does not come (its cgroup may be frozen) is
 * stopped again in time: -ETIME.
 */
static int enter_call(struct inject *in)
{
	uint64_t until_ns = now_ns() + GRACE_NS;
	int status = 0, sig = 0, err;

	for (;;) {
		err = resume(in, PTRACE_SYSCALL, sig);
		if (!err)
			err = next_stop(in, until_ns, &status);
		if (err == -ETIME) {
			until_ns = FOREVER;
			if (trace(PTRACE_INTERRUPT, in->tid, 0, 0))
				return -errno;
			err = next_stop(in, FOREVER, &status);
		}
		if (err)
			return err;
		if (in->at_call)
			return 0;
		if (until_ns == FOREVER)
			return -ETIME;
		sig = signal_of(status);
		/* all others are blocked, so the instruction must have failed: not for the program to know */
		if (sig && sig != SIGSTOP)
			return -EFAULT;
	}
}

/*
 * To the stop after our call. A thread in the kernel cannot be called back:
 * if it waits there for a lock that another holds, it is to be waited for.
 */
static int leave_call(struct inject *in)
{
	int status = 0, err = resume(in, PTRACE_SYSCALL, 0);

	if (!err)
		err = next_stop(in, FOREVER, &status);
	return !err && !in->at_call ? -EIO : err;
}

int inject_call_anyway(struct inject *in, long *result, long nr, uint64_t a, uint64_t b, uint64_t c)
{
	inject_regs regs = in->saved;
	size_t size = 0;
	int err;

	regs_set_call(&regs, in->insn, nr, a, b, c);
	err = set_regs(in, &regs);
	if (!err)
		err = enter_call(in);
	if (!err)
		err = leave_call(in);
	if (!err)
		err = get_regs(in, &regs, &size);
	if (!err)
		*result = regs_result(&regs);
	return err;
}

int inject_call(struct inject *in, long *result, long nr, uint64_t a, uint64_t b, uint64_t c)
{
	return now_ns() >= in->deadline_ns ? -ETIME : inject_call_anyway(in, result, nr, a, b, c);
}

/* ---- end ---- */

void inject_end(struct inject *in)
{
	/* at a system call it cannot be left; one that did not come in time may come now, and else by our exit */
	if (in->seized && in->at_call)
		interrupt(in, FOREVER);
	else if (in->seized && !in->stopped)
		interrupt(in, now_ns() + 1000000000u);
	if (!in->seized || !in->stopped)
		return;
	if (in->known)
		set_regs(in, &in->saved);
	if (in->scratched)
		write_memory(in, in->scratch, in->memory, sizeof(in->memory));
	if (in->masked)
		trace(PTRACE_SETSIGMASK, in->tid, sizeof(in->mask), PTR(&in->mask));
	trace(PTRACE_DETACH, in->tid, 0, 0);
	in->took_ns = now_ns() - in->stopped_ns;
	in->seized = in->stopped = false;
}

/* ---- what is granted ---- */

bool inject_can_suspend(void)
{
	pid_t self = getpid(), child = fork();
	bool granted;

	if (child < 0)
		return false;
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == self)
			pause();
		_exit(0);
	}
	granted = !trace(PTRACE_SEIZE, child, 0, PTRACE_O_SUSPEND_SECCOMP);
	kill(child, SIGKILL);
	waitpid(child, NULL, __WALL);
	return granted;
}

#endif /* INJECT_SUPPORTED */
