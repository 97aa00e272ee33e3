// SPDX-License-Identifier: GPL-2.0-only
/*
 * proc_scan.c - see proc_scan.h.
 *
 * /proc/PID is opened once per process: the directory stands for that process
 * and no other (proc_pid_lookup() pins its struct pid), so a reused pid gives
 * ESRCH and never another process's fds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "netns.h"
#include "proc_scan.h"

/* Which device numbers are whose. Majors that the kernel hands out at run time are named in /proc/devices. */
static const struct {
	unsigned int major, minor;
} kinds[PROC_KIND_MAX] = {
	[PROC_TUN] = { 10, 200 },	/* MISC_MAJOR, TUN_MINOR: linux/miscdevice.h */
};

int proc_file_kind(mode_t mode, dev_t rdev)
{
	if (!S_ISCHR(mode))
		return -1;
	for (int i = 0; i < PROC_KIND_MAX; i++)
		if (kinds[i].major == major(rdev) && kinds[i].minor == minor(rdev))
			return i;
	return -1;
}

/* ---- parsers ---- */

int proc_parse_stat(const char *text, long ticks, struct tw_task *task, char *state)
{
	enum { PPID = 4, START = 22 };
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	unsigned long long value = 0;
	size_t len;
	int field = 3;

	/* the name may hold any byte, brackets and newlines too */
	if (!open || !close || close < open || close[1] != ' ' || !close[2])
		return -EINVAL;
	len = (size_t)(close - open - 1);
	if (len >= sizeof(task->comm))
		len = sizeof(task->comm) - 1;
	memset(task->comm, 0, sizeof(task->comm));
	memcpy(task->comm, open + 1, len);
	*state = close[2];
	for (const char *p = close + 2; field <= START; field++) {
		value = strtoull(p, NULL, 10);
		if (field == PPID)
			task->ppid = (uint32_t)value;
		if (field == START)
			break;
		p = strchr(p, ' ');
		if (!p)
			return -EINVAL;
		p++;
	}
	task->start_ns = value * (1000000000ULL / (unsigned long)ticks);
	return 0;
}

/* What stands after "KEY:" at the beginning of a line, blanks skipped; NULL: no such line. */
static const char *value_of(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text) {
		if (!strncmp(text, key, len) && text[len] == ':') {
			text += len + 1;
			return text + strspn(text, " \t");
		}
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

int proc_parse_status(const char *text, const char *key, unsigned int base, uint64_t *value)
{
	const char *at = value_of(text, key);
	char *end;

	if (!at)
		return -ENOENT;
	errno = 0;
	*value = strtoull(at, &end, (int)base);
	return errno || end == at ? -ENOENT : 0;
}

int proc_parse_path_flag(const char *text, bool *path)
{
	uint64_t flags;

	if (proc_parse_status(text, "flags", 8, &flags))
		return -EINVAL;
	*path = flags & O_PATH;
	return 0;
}

int proc_parse_iff(const char *text, char name[TW_NAME_LEN])
{
	const char *at = value_of(text, "iff");
	size_t len;

	if (!at)
		return -ENOENT;
	/* dev_valid_name() lets no white space into a name */
	len = strcspn(at, "\n");
	if (len >= TW_NAME_LEN)
		len = TW_NAME_LEN - 1;
	memset(name, 0, TW_NAME_LEN);
	memcpy(name, at, len);
	return 0;
}

/* ---- helpers ---- */

static pid_t number(const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	return *s < '0' || *s > '9' || *end || v < 0 || v > INT32_MAX ? -1 : (pid_t)v;
}

ssize_t proc_read(int dir, const char *path, char *buf, size_t size)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = 1;
	int err;

	if (fd < 0)
		return -errno;
	while (n > 0 && have < size - 1) {
		n = read(fd, buf + have, size - 1 - have);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			have += (size_t)n;
	}
	err = n < 0 ? -errno : 0;
	close(fd);
	buf[have] = '\0';
	return err ? err : (ssize_t)have;
}

static int compare(int type, pid_t a, pid_t b, unsigned long index_a, unsigned long index_b)
{
	long ret = syscall(SYS_kcmp, a, b, type, index_a, index_b);

	return ret < 0 ? -errno : (int)ret;
}

int proc_compare_tables(pid_t a, pid_t b)
{
	return compare(KCMP_FILES, a, b, 0, 0);
}

int proc_compare_files(pid_t a, int fd_a, pid_t b, int fd_b)
{
	return compare(KCMP_FILE, a, b, (unsigned long)fd_a, (unsigned long)fd_b);
}

bool proc_hidepid(const char *proc)
{
	char path[64];
	struct stat st;

	/* every pid namespace has a process 1, and hidepid hides it from whoever lacks CAP_SYS_PTRACE over it */
	snprintf(path, sizeof(path), "%s/1/fd", proc);
	return stat(path, &st) != 0;
}

bool proc_foreign_pidns(void)
{
	struct stat st;

	/* PROC_PID_INIT_INO, include/linux/proc_ns.h */
	return stat("/proc/self/ns/pid", &st) || st.st_ino != 0xEFFFFFFCU;
}

/* Room for one more element. The array's size is the power of two that holds `n`. */
static int grow(void **array, size_t n, size_t element)
{
	void *grown;

	if (n & (n - 1))
		return 0;
	grown = reallocarray(*array, n ? 2 * n : 1, element);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	return 0;
}

#define ADD(array, n, ...) \
	(grow((void **)&(array), (n), sizeof(*(array))) ? -ENOMEM : ((array)[(n)++] = (__VA_ARGS__), 0))

/* ---- the walk ---- */

struct walk {
	struct proc_scan *scan;
	long ticks;
	dev_t nsfs;		/* where namespaces are */
	pid_t skip;
	const pid_t *only;
	size_t n_only;
	pid_t pid;		/* process being looked at */
	int dir;		/* its /proc/PID */
};

/* What belongs to a thread; the leader's stands in /proc/PID itself, which is quicker to find. */
static const char *task_path(const struct walk *w, pid_t tid, const char *what, char path[64])
{
	if (tid == w->pid)
		snprintf(path, 64, "%s", what);
	else
		snprintf(path, 64, "task/%d/%s", tid, what);
	return path;
}

static bool vanished(int err)
{
	return err == -ENOENT || err == -ESRCH || err == -ENOTDIR;
}

static int add_nsfd(struct proc_scan *scan, pid_t pid, pid_t tid, int fd, uint32_t inode)
{
	for (size_t i = 0; i < scan->n_nsfds; i++)
		if (scan->nsfds[i].inode == inode)
			return 0;
	return ADD(scan->nsfds, scan->n_nsfds, (struct proc_nsfd){ pid, tid, fd, inode });
}

/*
 * What an fd refers to. statx() with AT_STATX_DONT_SYNC (4.11): what a file
 * server would have to be asked for is no device node of ours, and the server
 * may be dead. A path says nothing: a jail may have its own node by any name.
 */
static int node_stat(int dir, const char *name, struct statx *stx)
{
	return statx(dir, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, stx);
}

/* nsfs files of all types: the link tells which. */
static bool is_nsfs(const struct walk *w, const struct statx *stx)
{
	return stx->stx_dev_major == major(w->nsfs) && stx->stx_dev_minor == minor(w->nsfs);
}

static int look_at_nsfd(struct walk *w, int dir, pid_t tid, const char *name)
{
	char link[64];
	ssize_t len = readlinkat(dir, name, link, sizeof(link) - 1);
	uint32_t inode;

	if (len <= 0)
		return 0;
	link[len] = '\0';
	return netns_parse_link(link, &inode) ? 0 : add_nsfd(w->scan, w->pid, tid, number(name), inode);
}

/* An O_PATH fd was never opened by the driver: no holder. */
static bool is_path_fd(const struct walk *w, pid_t tid, int fd)
{
	char what[32], path[64], text[512];
	bool flag = false;

	snprintf(what, sizeof(what), "fdinfo/%d", fd);
	return proc_read(w->dir, task_path(w, tid, what, path), text, sizeof(text)) > 0 &&
	       !proc_parse_path_flag(text, &flag) && flag;
}

static int look_at_fd(struct walk *w, int dir, pid_t tid, const char *name)
{
	struct statx stx;
	int kind, fd;

	if (node_stat(dir, name, &stx))
		return 0;
	if (is_nsfs(w, &stx))
		return look_at_nsfd(w, dir, tid, name);
	kind = proc_file_kind(stx.stx_mode, makedev(stx.stx_rdev_major, stx.stx_rdev_minor));
	fd = number(name);
	if (kind < 0 || is_path_fd(w, tid, fd))
		return 0;
	return ADD(w->scan->fds, w->scan->n_fds, (struct proc_fd){ fd, (enum proc_kind)kind });
}

/* Who it is: read after its fds, for it is only of use when there are any. */
static int identify(const struct walk *w, pid_t tid, struct tw_task *task)
{
	char text[4096], path[64];
	uint64_t uid = 0;
	ssize_t len;
	char state;

	*task = (struct tw_task){ .pid = (uint32_t)w->pid, .tid = (uint32_t)tid };
	len = proc_read(w->dir, "stat", text, sizeof(text));
	if (len <= 0 || proc_parse_stat(text, w->ticks, task, &state))
		return -ENOENT;
	len = proc_read(w->dir, task_path(w, tid, "status", path), text, sizeof(text));
	if (len <= 0 || proc_parse_status(text, "Uid", 10, &uid))
		return -ENOENT;
	task->uid = (uint32_t)uid;
	len = readlinkat(w->dir, task_path(w, tid, "ns/net", path), text, sizeof(text) - 1);
	if (len > 0) {
		text[len] = '\0';
		netns_parse_link(text, &task->netns);
	}
	return 0;
}

/* The fd table of one thread. 0, also when it is gone; -EACCES: not ours to see; -ENOMEM. */
static int look_at_table(struct walk *w, pid_t tid)
{
	struct proc_scan *scan = w->scan;
	struct proc_table table = { .id = PROC_TABLE | (uint32_t)tid, .first = scan->n_fds };
	struct dirent *de;
	char path[64];
	int fd, err = 0;
	DIR *dir;

	fd = openat(w->dir, task_path(w, tid, "fd", path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return vanished(-errno) ? 0 : -EACCES;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && (errno = 0, de = readdir(dir)))
		if (number(de->d_name) >= 0)
			err = look_at_fd(w, fd, tid, de->d_name);
	/* the directory of a process that changed its credentials meanwhile cannot be read any more */
	if (!err && (errno == EACCES || errno == EPERM))
		err = -EACCES;
	closedir(dir);
	table.n = scan->n_fds - table.first;
	if (err || !table.n)
		return err;
	if (identify(w, tid, &table.task)) {
		scan->n_fds = table.first;
		return 0;
	}
	return ADD(scan->tables, scan->n_tables, table);
}

/* Is the table of this thread one of those met already in this process? */
static bool table_known(struct walk *w, const pid_t *met, size_t n, pid_t tid)
{
	for (size_t i = 0; i < n; i++) {
		int ret = proc_compare_tables(met[i], tid);

		if (ret == -ENOSYS)
			w->scan->no_kcmp = true;
		/* gone, or not ours to compare: threads share, nearly always */
		if (ret <= 0)
			return true;
	}
	return false;
}

/*
 * Threads that have called unshare(CLONE_FILES), and those that live on after
 * their leader. kcmp(2) costs less than a look at the fds.
 */
static int look_at_threads(struct walk *w)
{
	pid_t *met = NULL, tid;
	struct dirent *de;
	size_t n = 0;
	int fd, err;
	DIR *dir;

	fd = openat(w->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return vanished(-errno) ? 0 : -EACCES;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	err = ADD(met, n, w->pid);
	while (!err && (de = readdir(dir))) {
		tid = number(de->d_name);
		if (tid <= 0 || tid == w->pid || table_known(w, met, n, tid))
			continue;
		err = ADD(met, n, tid);
		if (!err)
			err = look_at_table(w, tid);
	}
	free(met);
	closedir(dir);
	return err;
}

static int look_at_process(struct walk *w)
{
	struct stat st;
	int err = look_at_table(w, w->pid);

	/* proc_task_getattr(): two links and one per thread */
	if (!err && !fstatat(w->dir, "task", &st, 0) && st.st_nlink > 3)
		err = look_at_threads(w);
	return err;
}

static bool is_wanted(const struct walk *w, pid_t pid)
{
	if (pid <= 0 || pid == w->skip)
		return false;
	for (size_t i = 0; i < w->n_only; i++)
		if (w->only[i] == pid)
			return true;
	return !w->only;
}

static int each_process(struct walk *w, DIR *proc)
{
	struct proc_scan *scan = w->scan;
	struct dirent *de;
	int err = 0;

	while (!err && (de = readdir(proc))) {
		w->pid = number(de->d_name);
		if (!is_wanted(w, w->pid))
			continue;
		w->dir = openat(dirfd(proc), de->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (w->dir < 0)
			continue;
		scan->processes++;
		err = look_at_process(w);
		close(w->dir);
		if (err == -EACCES)
			err = ADD(scan->refused, scan->n_refused, w->pid);
	}
	return err;
}

/* ---- tables shared between processes (CLONE_FILES without CLONE_THREAD) ---- */

static bool same_numbers(const struct proc_scan *scan, const struct proc_table *a, const struct proc_table *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (scan->fds[a->first + i].fd != scan->fds[b->first + i].fd)
			return false;
	return true;
}

/*
 * One id for one table. Only tables with the same fd numbers are compared,
 * against an ordered list of those known to differ: kcmp(2) orders, so each
 * costs the logarithm of their number.
 */
static int merge_tables(struct proc_scan *scan)
{
	struct proc_table **known = calloc(scan->n_tables + 1, sizeof(*known));
	size_t n = 0;

	if (!known)
		return -ENOMEM;
	for (size_t i = 0; i < scan->n_tables; i++) {
		struct proc_table *t = &scan->tables[i];
		size_t low = 0, high = n;
		int ret = 1;

		while (low < high && ret > 0) {
			size_t mid = low + (high - low) / 2;

			ret = proc_compare_tables((pid_t)known[mid]->task.tid, (pid_t)t->task.tid);
			if (ret == 1)
				low = mid + 1;
			else if (ret > 1)
				high = mid;
			else if (!ret && same_numbers(scan, known[mid], t))
				t->id = known[mid]->id;
		}
		if (ret == -ENOSYS || ret == -EPERM)
			scan->no_kcmp = true;
		if (ret <= 0)
			continue;
		memmove(known + low + 1, known + low, (n - low) * sizeof(*known));
		known[low] = t;
		n++;
	}
	free(known);
	return 0;
}

int proc_scan(struct proc_scan *scan, const char *proc, pid_t skip, const pid_t *only, size_t n_only)
{
	struct walk w = {
		.scan = scan,
		.ticks = sysconf(_SC_CLK_TCK),
		.skip = skip,
		.only = only,
		.n_only = n_only,
	};
	struct stat st;
	DIR *dir;
	int err;

	*scan = (struct proc_scan){ 0 };
	if (!stat("/proc/self/ns/net", &st))
		w.nsfs = st.st_dev;
	dir = opendir(proc);
	if (!dir)
		return -errno;
	err = each_process(&w, dir);
	closedir(dir);
	return err ? err : merge_tables(scan);
}

void proc_scan_free(struct proc_scan *scan)
{
	free(scan->tables);
	free(scan->fds);
	free(scan->nsfds);
	free(scan->refused);
	*scan = (struct proc_scan){ 0 };
}
