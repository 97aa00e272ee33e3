/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * process.h - what /proc and the user database add to an actor: its
 * executable, its command line, its cgroup, its user's name, and which virtual
 * machine it is.
 *
 * /proc/PID is a place where another process may live by the time it is
 * read. So everything is read first and the start time checked afterwards:
 * either it is still the process of the fact, or the members are absent. A
 * process that is gone keeps what was read of it earlier in the same run.
 */
#ifndef TW_PROCESS_H
#define TW_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/tapwatch.h"
#include "vm.h"

/* What of a command line is kept; all of it, up to PROCESS_CMDLINE_MAX, is looked at for a machine's name. */
#define PROCESS_CMDLINE_KEPT	4096
#define PROCESS_CMDLINE_MAX	65536

/* Raw bytes from outside, to be escaped at the output. NULL: unknown. */
struct process_info {
	uint32_t pid;
	uint64_t start_ns;		/* CLOCK_BOOTTIME */
	char comm[TW_NAME_LEN];		/* as in the fact that `exe` belongs to */
	const char *exe;		/* /proc/PID/exe, with " (deleted)" where the kernel says so */
	const char *cmdline;		/* arguments, each with its NUL; may be cut off anywhere */
	size_t cmdline_len;
	const char *cgroup;		/* v2 path; else that of the v1 name=systemd hierarchy */
	const char *user;		/* name of task->uid */
	const struct vm *vm;		/* what it is; not only virtual machines, see enum role */
	/* The machine's own process: this one, or an ancestor of it. start_ns may be rounded to clock ticks. */
	uint32_t vm_pid;
	uint64_t vm_start_ns;
};

/* Of a virtual machine's process; NULL for every other, and for NULL. */
const struct vm *process_machine(const struct process_info *process);

struct process_cache;

/* `proc` is where procfs is mounted ("/proc"; tests: a fake tree); copied. NULL when out of memory. */
struct process_cache *process_cache_new(const char *proc);
void process_cache_free(struct process_cache *cache);

/*
 * Never NULL: a process about which nothing can be found out has only pid,
 * start_ns and comm (from `task`), and the user. The result and its strings
 * are valid until the next call with the same cache.
 */
const struct process_info *process_lookup(struct process_cache *cache, const struct tw_task *task);

/*
 * Likewise, for something that happened at a moment (CLOCK_BOOTTIME; 0: not
 * known): /proc is read only when it was not since then.
 */
const struct process_info *process_lookup_at(struct process_cache *cache, const struct tw_task *task, uint64_t time_ns);

/* Does this process still run, as far as its start tells? A zombie does while it has threads. */
bool process_runs(const struct process_cache *cache, uint32_t pid, uint64_t start_ns);

/* How many files of vhost-net it has open; 0 also when that may not be seen. */
unsigned process_vhost_files(const struct process_cache *cache, const struct tw_task *task);

/* Name of a user by getpwuid_r(3), remembered. NULL: it has none. Valid until the next call with the same cache. */
const char *process_user(struct process_cache *cache, uint32_t uid);

#endif /* TW_PROCESS_H */
