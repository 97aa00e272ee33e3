/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * proc_scan.h - a walk through /proc/PID/fd of all processes: which fd tables
 * hold files of the tun driver, and who they belong to.
 *
 * What vanishes meanwhile is passed over in silence. Functions return 0 or a
 * negative errno; none logs.
 */
#ifndef TW_PROC_SCAN_H
#define TW_PROC_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../bpf/tapwatch.h"

/* Which driver's file an fd is. */
enum proc_kind { PROC_TUN, PROC_KIND_MAX };

/* One fd table with at least one fd of interest, and the process (or thread) it was met at. */
struct proc_table {
	struct tw_task task;	/* pid, tid as our pid namespace has them; start_ns rounded to clock ticks */
	uint64_t id;		/* PROC_TABLE | tid of the first task met with it: stable while that task lives */
	size_t first, n;	/* of proc_scan.fds */
};

/* No kernel address has bit 63 set and bit 62 clear, so no real table has such an id. */
#define PROC_TABLE (1ULL << 63)

struct proc_fd {
	int fd;
	enum proc_kind kind;
};

/* An fd of an nsfs file of a network namespace; the first met of each inode. */
struct proc_nsfd {
	pid_t pid, tid;
	int fd;
	uint32_t inode;
};

struct proc_scan {
	struct proc_table *tables;
	size_t n_tables;
	struct proc_fd *fds;
	size_t n_fds;
	struct proc_nsfd *nsfds;
	size_t n_nsfds;
	pid_t *refused;		/* processes whose fds we may not see */
	size_t n_refused;
	size_t processes;	/* looked at */
	bool no_kcmp;		/* the kernel does not compare: shared tables are told once per process */
};

/*
 * `proc` is where procfs is mounted ("/proc"; tests: a fake tree); `skip` is
 * the process to leave out (0: none); `only` are the n_only processes to look
 * at (NULL: all). proc_scan_free() also after a failure.
 */
int proc_scan(struct proc_scan *scan, const char *proc, pid_t skip, const pid_t *only, size_t n_only);
void proc_scan_free(struct proc_scan *scan);

/* Which file is this (fstat)? enum proc_kind, or -1. */
int proc_file_kind(mode_t mode, dev_t rdev);

/* Can processes be hidden from us: by hidepid= of the mount, or a pid namespace that is not the initial one? */
bool proc_hidepid(const char *proc);
bool proc_foreign_pidns(void);

/* kcmp(2) of two tasks: 0 the same, 1 less, 2 greater, or a negative errno. fds are for proc_same_file() alone. */
int proc_compare_tables(pid_t a, pid_t b);
int proc_compare_files(pid_t a, int fd_a, pid_t b, int fd_b);

/* ---- parsers, apart for the tests; text is NUL-terminated ---- */

/* /proc/PID/stat. start_ns: field 22 in ticks of 1/ticks s, as ns. -EINVAL: that is no stat line. */
int proc_parse_stat(const char *text, long ticks, struct tw_task *task, char *state);

/* "Uid:" of /proc/PID/status: the real one. Others as named. -ENOENT: there is no such line. */
int proc_parse_status(const char *text, const char *key, unsigned int base, uint64_t *value);

/* fdinfo: is it an O_PATH fd? -EINVAL: that is no fdinfo. */
int proc_parse_path_flag(const char *text, bool *path);

/* fdinfo: `iff:`. name is "" when the file is bound to nothing. -ENOENT: no tun file, or a kernel before 3.14. */
int proc_parse_iff(const char *text, char name[TW_NAME_LEN]);

/* Reads a small file whole: as much as fits, NUL-terminated; its length or a negative errno. */
ssize_t proc_read(int dir, const char *path, char *buf, size_t size);

#endif /* TW_PROC_SCAN_H */
