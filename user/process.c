// SPDX-License-Identifier: GPL-2.0-only
/*
 * process.c - see process.h.
 *
 * What /proc tells may change at any time: an exec changes everything, a
 * manager moves a process to another control group, a program writes over its
 * arguments. No look into /proc is about the moment of an event, but about a
 * later one; the sooner after it, the better. So this is the rule of what may
 * be used again: a reading that was begun when the event had happened already
 * is better than any that could be made now. An event that happened after the
 * last reading of its process needs a new one, however little later it was.
 * And a reading is of use only to facts of the same comm, below.
 *
 * So one reading serves all events that are waiting when it is made. In a
 * storm, when the events come faster than they are dealt with, these become
 * many by themselves; when the reader keeps up, each event has its own.
 *
 * A process that is gone has what was read last. The cache is direct-mapped,
 * and where all together is too much, slots are emptied in turn: that costs
 * another reading, or of a process that is gone an absent member.
 */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PROCESS_SLOTS 4096
#define PROCESS_BYTES (4 << 20)		/* of texts in all slots */
#define USER_SLOTS 256

struct process_slot {
	uint32_t pid;		/* 0: free */
	uint64_t start_ns;
	uint64_t read_ns;	/* CLOCK_BOOTTIME when the last reading began */
	char comm[TW_NAME_LEN];	/* that `exe`, `cmdline` and `vm` were read under */
	char *exe;
	char *cgroup;
	char *cmdline;
	size_t cmdline_len;
	uint64_t cmdline_hash;	/* of all that was read */
	struct vm *vm;
	uint32_t vm_pid;
	uint64_t vm_start_ns;
};

struct user_slot {
	bool used;
	uint32_t uid;
	char *name;		/* NULL: known to have none */
};

struct process_cache {
	char *proc;
	long ticks;		/* USER_HZ: unit of starttime in /proc/PID/stat */
	struct process_info info;
	size_t bytes;		/* of texts in slots: slot_bytes() of all */
	unsigned hand;		/* slot to be emptied next */
	char cmdline[PROCESS_CMDLINE_MAX + 1];	/* of the last reading */
	struct process_slot slots[PROCESS_SLOTS];
	struct user_slot users[USER_SLOTS];
};

/* What one look into /proc/PID found; the command line is in the cache. */
struct reading {
	int dir;		/* /proc/PID itself */
	char *exe;
	char *cgroup;
	size_t cmdline_len;
	bool cmdline_cut;
	char comm[TW_NAME_LEN];
	char state;
	uint32_t ppid;
	uint64_t start_ns;	/* rounded to clock ticks */
};

/* /proc/PID/cgroup: a line a hierarchy, of a dozen at most, each of at most PATH_MAX. Those that count are the first ones. */
#define CGROUP_MAX 16384

/* Ancestors of a machine's helper that are looked at. */
#define MAX_ANCESTORS 8

struct process_cache *process_cache_new(const char *proc)
{
	struct process_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->proc = strdup(proc);
	cache->ticks = sysconf(_SC_CLK_TCK);
	if (!cache->proc || cache->ticks <= 0) {
		process_cache_free(cache);
		return NULL;
	}
	return cache;
}

static size_t slot_bytes(const struct process_slot *slot)
{
	return (slot->exe ? strlen(slot->exe) + 1 : 0) + (slot->cgroup ? strlen(slot->cgroup) + 1 : 0) + slot->cmdline_len;
}

static void slot_clear(struct process_slot *slot)
{
	free(slot->exe);
	free(slot->cgroup);
	free(slot->cmdline);
	vm_free(slot->vm);
	memset(slot, 0, sizeof(*slot));
}

void process_cache_free(struct process_cache *cache)
{
	size_t i;

	if (!cache)
		return;
	for (i = 0; i < PROCESS_SLOTS; i++)
		slot_clear(&cache->slots[i]);
	for (i = 0; i < USER_SLOTS; i++)
		free(cache->users[i].name);
	free(cache->proc);
	free(cache);
}

/* A link of /proc/PID, NULL if it cannot be told. */
static char *read_link(int dir, const char *path)
{
	char target[PATH_MAX + 16];	/* " (deleted)" comes on top */
	ssize_t n = readlinkat(dir, path, target, sizeof(target));

	if (n <= 0 || (size_t)n == sizeof(target))
		return NULL;
	return strndup(target, n);
}

/*
 * The executable. A leader that has exited while other threads live on has no
 * exe any more; the thread `tid` (0: none) may.
 */
static char *read_exe(int dir, uint32_t tid)
{
	char *exe = read_link(dir, "exe"), path[64];

	if (exe || !tid)
		return exe;
	snprintf(path, sizeof(path), "task/%u/exe", tid);
	return read_link(dir, path);
}

/* Fills buf, which has one byte more than `size`; the length. */
static size_t read_file(int dir, const char *path, char *buf, size_t size)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 1;

	/* what these files tell comes whole where there is room: less is the end */
	while (fd >= 0 && n > 0 && len < size) {
		size_t room = size - len;

		n = read(fd, buf + len, room);
		len += n > 0 ? (size_t)n : 0;
		if ((size_t)n < room)
			break;
	}
	if (fd >= 0)
		close(fd);
	buf[len] = '\0';
	return len;
}

/* As read_exe(). */
static size_t read_cmdline(int dir, uint32_t tid, char *buf, size_t size)
{
	size_t len = read_file(dir, "cmdline", buf, size);
	char path[64];

	if (len || !tid)
		return len;
	snprintf(path, sizeof(path), "task/%u/cmdline", tid);
	return read_file(dir, path, buf, size);
}

/*
 * The part after the second colon of a line "ID:CONTROLLERS:PATH" of
 * /proc/PID/cgroup (cgroups(7)) when CONTROLLERS is the one asked for.
 */
static const char *cgroup_path(const char *line, const char *controllers)
{
	const char *at = strchr(line, ':');
	size_t len = strlen(controllers);

	if (!at || strncmp(at + 1, controllers, len) || at[1 + len] != ':')
		return NULL;
	return at + 1 + len + 1;
}

/*
 * *v1 tells that the path is one of the old hierarchy, where a process that
 * has exited shows up in the root (kernel/cgroup/cgroup.c, proc_cgroup_show).
 */
static char *read_cgroup(int dir, bool *v1)
{
	char text[CGROUP_MAX + 1], *rest = text, *line, *v2_path = NULL, *v1_path = NULL;

	if (!read_file(dir, "cgroup", text, CGROUP_MAX))
		return NULL;
	while ((line = strsep(&rest, "\n"))) {
		const char *path;

		/* a path may have been cut off */
		if (!rest && line + strlen(line) == text + CGROUP_MAX)
			break;
		if (!strncmp(line, "0:", 2) && !v2_path && (path = cgroup_path(line, "")))
			v2_path = strdup(path);
		else if (!v1_path && (path = cgroup_path(line, "name=systemd")))
			v1_path = strdup(path);
	}
	*v1 = !v2_path;
	if (v2_path)
		free(v1_path);
	return v2_path ? v2_path : v1_path;
}

/*
 * Splits /proc/PID/stat (proc_pid_stat(5)). The comm may hold spaces and
 * parentheses, even ") Z 1"; what follows it may not, so it ends at the last
 * ')'. 0, or -EINVAL.
 */
static int parse_stat(char *stat, struct reading *reading, unsigned long long *start)
{
	char *open = strchr(stat, '('), *close = strrchr(stat, ')'), *at;
	int field;

	if (!open || !close || close < open)
		return -EINVAL;
	*close = '\0';
	strncpy(reading->comm, open + 1, TW_NAME_LEN - 1);
	at = close + 1;
	if (sscanf(at, " %c %u", &reading->state, &reading->ppid) != 2)
		return -EINVAL;
	/* `at` stands before field 3; starttime is field 22. */
	for (field = 3; field < 22; field++) {
		at += strspn(at, " ");
		at += strcspn(at, " ");
	}
	return sscanf(at, " %llu", start) == 1 ? 0 : -EINVAL;
}

/* Comm, state, parent and start of the process behind `dir`. */
static int read_stat(const struct process_cache *cache, struct reading *reading)
{
	unsigned long long ticks;
	char stat[2048];

	if (!read_file(reading->dir, "stat", stat, sizeof(stat) - 1) || parse_stat(stat, reading, &ticks))
		return -ESRCH;
	reading->start_ns = ticks * (1000000000ULL / cache->ticks);
	return 0;
}

/* Is it the process that started at start_ns, as far as clock ticks can tell? */
static bool is_same(const struct process_cache *cache, const struct reading *reading, uint64_t start_ns)
{
	uint64_t tick = 1000000000ULL / cache->ticks;
	uint64_t start = reading->start_ns / tick, expected = start_ns / tick;

	return start <= expected + 1 && expected <= start + 1;
}

static void end_reading(struct reading *reading)
{
	free(reading->exe);
	free(reading->cgroup);
	if (reading->dir >= 0)
		close(reading->dir);
	memset(reading, 0, sizeof(*reading));
	reading->dir = -1;
}

/*
 * Reads what /proc tells of a process; `tid` is one of its threads, or 0. The
 * directory's fd stays with one process for good, so that what is read through
 * it before the stat line and that line itself are about the same. 0 or
 * -ESRCH; end_reading() in any case.
 */
static int read_process(struct process_cache *cache, uint32_t pid, uint32_t tid, struct reading *reading)
{
	char path[PATH_MAX];
	bool v1 = false;

	memset(reading, 0, sizeof(*reading));
	snprintf(path, sizeof(path), "%s/%u", cache->proc, pid);
	reading->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (reading->dir < 0)
		return -ESRCH;
	tid = tid == pid ? 0 : tid;
	reading->exe = read_exe(reading->dir, tid);
	reading->cmdline_len = read_cmdline(reading->dir, tid, cache->cmdline, PROCESS_CMDLINE_MAX);
	reading->cmdline_cut = reading->cmdline_len == PROCESS_CMDLINE_MAX;
	reading->cgroup = read_cgroup(reading->dir, &v1);
	if (read_stat(cache, reading))
		return -ESRCH;
	if (v1 && (reading->state == 'Z' || reading->state == 'X')) {
		free(reading->cgroup);
		reading->cgroup = NULL;
	}
	return 0;
}

/* ---- which machine it is ---- */

/*
 * Of a file of another process only what lies on a file system of the kernel's
 * own is read: one that a program serves (FUSE), or another host, could keep
 * us waiting for ever.
 */
static bool is_own_filesystem(const char *type)
{
	static const char *const own[] = {
		"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "ramfs", "rootfs", "overlay", "squashfs", "erofs",
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(type, own[i]))
			return true;
	return false;
}

/* Is its root on such a one? mountinfo: ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [...] - TYPE ... (proc(5)) */
static bool has_own_root(int dir)
{
	int fd = openat(dir, "mountinfo", O_RDONLY | O_CLOEXEC), end;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	char *line = NULL, type[32];
	bool own = false;
	size_t size = 0;

	if (!file && fd >= 0)
		close(fd);
	while (file && getline(&line, &size, file) > 0) {
		const char *rest = strstr(line, " - ");

		end = 0;
		sscanf(line, "%*s %*s %*s %*s %n", &end);
		/* of several the last one is on top */
		if (end && !strncmp(line + end, "/ ", 2) && rest && sscanf(rest, " - %31s", type) == 1)
			own = is_own_filesystem(type);
	}
	free(line);
	if (file)
		fclose(file);
	return own;
}

/*
 * The file as the process would find it, but never outside of its root's file
 * system. NULL: it cannot be read, or is too large.
 */
static char *read_config(int dir, const char *path, size_t *len)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
	};
	int root = -1, fd = -1;
	char *text = NULL;
	struct stat st;

	if (path[0] == '/' && has_own_root(dir))
		root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0)
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= VM_CONFIG_MAX)
		text = malloc(VM_CONFIG_MAX + 1);
	*len = 0;
	for (ssize_t n = 1; text && n > 0 && *len < VM_CONFIG_MAX;) {
		n = read(fd, text + *len, VM_CONFIG_MAX - *len);
		*len += n > 0 ? (size_t)n : 0;
	}
	if (text)
		text[*len] = '\0';
	if (fd >= 0)
		close(fd);
	if (root >= 0)
		close(root);
	return text;
}

/* Its path; one that is not absolute counts from the working directory. NULL: there is no such file. */
static char *config_of(const struct reading *reading, const struct vm_process *p, size_t *len)
{
	const char *file = reading->dir >= 0 ? vm_config_file(p) : NULL;
	char path[2 * PATH_MAX], *cwd;

	if (!file)
		return NULL;
	if (file[0] == '/')
		return read_config(reading->dir, file, len);
	/* the link is told as seen from our root: only where that is the process's, too */
	cwd = p->root && !strcmp(p->root, "/") ? read_link(reading->dir, "cwd") : NULL;
	if (!cwd)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", cwd, file);
	free(cwd);
	return read_config(reading->dir, path, len);
}

static struct vm *recognise(const struct process_cache *cache, const struct reading *reading)
{
	char *root = reading->dir >= 0 ? read_link(reading->dir, "root") : NULL;
	struct vm_process p = {
		.exe = reading->exe,
		.argv = cache->cmdline,
		.argv_len = reading->cmdline_len,
		.argv_cut = reading->cmdline_cut,
		.cgroup = reading->cgroup,
		.root = root,
	};
	char *config = config_of(reading, &p, &p.config_len);
	struct vm *vm;

	p.config = config;
	vm = vm_recognise(&p);
	free(config);
	free(root);
	return vm;
}

static bool forks(const struct reading *reading)
{
	struct vm_process p = { .exe = reading->exe };

	return reading->exe && vm_forks(&p);
}

/*
 * The oldest ancestor in a row with the same executable. 0 with *oldest
 * filled, -ESRCH: there is none. What command line is in the cache then is
 * anybody's.
 */
static int find_ancestor(struct process_cache *cache, const struct reading *reading, struct reading *oldest,
			 uint32_t *pid)
{
	uint32_t next = reading->ppid;
	int err = -ESRCH;

	for (int i = 0; i < MAX_ANCESTORS && next > 1; i++) {
		struct reading parent;

		if (read_process(cache, next, 0, &parent) || !parent.exe || strcmp(parent.exe, reading->exe)) {
			end_reading(&parent);
			break;
		}
		if (!err)
			end_reading(oldest);
		*oldest = parent;
		*pid = next;
		next = parent.ppid;
		err = 0;
	}
	return err;
}

/* Others' command lines were read into the place meanwhile. */
static void read_cmdline_again(struct process_cache *cache, struct reading *reading)
{
	reading->cmdline_len = read_cmdline(reading->dir, 0, cache->cmdline, PROCESS_CMDLINE_MAX);
	reading->cmdline_cut = reading->cmdline_len == PROCESS_CMDLINE_MAX;
}

static void slot_recognise(struct process_cache *cache, struct process_slot *slot, struct reading *reading)
{
	struct reading oldest = { .dir = -1 }, *machine = reading;

	vm_free(slot->vm);
	slot->vm_pid = slot->pid;
	slot->vm_start_ns = slot->start_ns;
	if (forks(reading)) {
		if (!find_ancestor(cache, reading, &oldest, &slot->vm_pid)) {
			machine = &oldest;
			slot->vm_start_ns = oldest.start_ns;
		}
		read_cmdline_again(cache, machine);
	}
	slot->vm = recognise(cache, machine);
	end_reading(&oldest);
}

const struct vm *process_machine(const struct process_info *process)
{
	return process && process->vm && process->vm->role == ROLE_VM ? process->vm : NULL;
}

/* ---- the cache ---- */

static struct process_slot *slot_of(struct process_cache *cache, const struct tw_task *task)
{
	uint64_t key = (task->start_ns ^ (uint64_t)task->pid << 40) * 0x9e3779b97f4a7c15ULL;

	return &cache->slots[key >> 32 & (PROCESS_SLOTS - 1)];
}

static void replace(char **old, char *fresh)
{
	free(*old);
	*old = fresh;
}

/* FNV-1a */
static uint64_t hash(const char *bytes, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3ULL;
	return h;
}

static bool differ(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) : a != b;
}

static void keep_cmdline(struct process_slot *slot, const char *cmdline, size_t len)
{
	size_t kept = len < PROCESS_CMDLINE_KEPT ? len : PROCESS_CMDLINE_KEPT;
	char *copy = kept ? malloc(kept) : NULL;

	if (copy)
		memcpy(copy, cmdline, kept);
	replace(&slot->cmdline, copy);
	slot->cmdline_len = copy ? kept : 0;
}

/*
 * What the program is. Recognised anew only when something changed: an exec,
 * another control group (a manager moves a machine there after its start).
 */
static void slot_program(struct process_cache *cache, struct process_slot *slot, struct reading *reading, bool moved)
{
	uint64_t h = hash(cache->cmdline, reading->cmdline_len);

	/* one that exits has neither any more, one that may not be looked at never had an exe */
	if (!reading->exe && (slot->exe || !reading->cmdline_len))
		return;
	if (slot->cmdline_hash == h && !differ(slot->exe, reading->exe) && !moved) {
		memcpy(slot->comm, reading->comm, sizeof(slot->comm));
		return;
	}
	memcpy(slot->comm, reading->comm, sizeof(slot->comm));
	slot->cmdline_hash = h;
	keep_cmdline(slot, cache->cmdline, reading->cmdline_len);
	slot_recognise(cache, slot, reading);
	replace(&slot->exe, reading->exe);
	reading->exe = NULL;
}

static bool is_of(const struct process_slot *slot, const struct tw_task *task)
{
	return slot->pid && slot->pid == task->pid && slot->start_ns == task->start_ns;
}

static void make_room(struct process_cache *cache, const struct process_slot *but)
{
	for (unsigned n = 0; cache->bytes > PROCESS_BYTES && n < PROCESS_SLOTS; n++) {
		struct process_slot *slot = &cache->slots[cache->hand++ % PROCESS_SLOTS];

		if (slot == but)
			continue;
		cache->bytes -= slot_bytes(slot);
		slot_clear(slot);
	}
}

/*
 * Takes the reading over into the slot. An exe is believed only together
 * with the comm of the fact: another comm means that the process has passed
 * through exec since, and the exe is that of its next program.
 */
static void slot_update(struct process_cache *cache, struct process_slot *slot, const struct tw_task *task,
			struct reading *reading, uint64_t read_ns)
{
	bool moved;

	cache->bytes -= slot_bytes(slot);
	if (!is_of(slot, task)) {
		slot_clear(slot);
		slot->pid = task->pid;
		slot->start_ns = task->start_ns;
	}
	slot->read_ns = read_ns;
	moved = reading->cgroup && differ(slot->cgroup, reading->cgroup);
	if (!strncmp(reading->comm, task->comm, TW_NAME_LEN - 1))
		slot_program(cache, slot, reading, moved);
	if (reading->cgroup) {
		replace(&slot->cgroup, reading->cgroup);
		reading->cgroup = NULL;
	}
	cache->bytes += slot_bytes(slot);
	make_room(cache, slot);
}

static void tell_slot(struct process_info *info, const struct process_slot *slot)
{
	info->cgroup = slot->cgroup;
	if (strcmp(slot->comm, info->comm))
		return;
	info->exe = slot->exe;
	info->cmdline = slot->cmdline;
	info->cmdline_len = slot->cmdline_len;
	info->vm = slot->vm;
	info->vm_pid = slot->vm_pid;
	info->vm_start_ns = slot->vm_start_ns;
}

/*
 * See at the top. Without an exe there may be more to learn: a leader that has
 * exited has none, the next event's thread may.
 */
static bool is_read(const struct process_slot *slot, const struct tw_task *task, uint64_t time_ns)
{
	return is_of(slot, task) && time_ns && time_ns <= slot->read_ns && slot->exe &&
	       !strncmp(slot->comm, task->comm, TW_NAME_LEN - 1);
}

static void read_slot(struct process_cache *cache, struct process_slot *slot, const struct tw_task *task)
{
	struct timespec now = { 0 };
	struct reading reading;

	clock_gettime(CLOCK_BOOTTIME, &now);
	if (!read_process(cache, task->pid, task->tid, &reading) && is_same(cache, &reading, task->start_ns))
		slot_update(cache, slot, task, &reading, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	end_reading(&reading);
}

const struct process_info *process_lookup_at(struct process_cache *cache, const struct tw_task *task, uint64_t time_ns)
{
	struct process_slot *slot = slot_of(cache, task);
	struct process_info *info = &cache->info;

	memset(info, 0, sizeof(*info));
	info->pid = task->pid;
	info->start_ns = task->start_ns;
	memcpy(info->comm, task->comm, sizeof(info->comm));
	info->comm[sizeof(info->comm) - 1] = '\0';
	info->user = process_user(cache, task->uid);

	if (task->pid && task->start_ns && !is_read(slot, task, time_ns))
		read_slot(cache, slot, task);
	if (is_of(slot, task))
		tell_slot(info, slot);
	return info;
}

const struct process_info *process_lookup(struct process_cache *cache, const struct tw_task *task)
{
	return process_lookup_at(cache, task, 0);
}

bool process_runs(const struct process_cache *cache, uint32_t pid, uint64_t start_ns)
{
	struct reading reading = { 0 };
	char path[PATH_MAX];
	bool runs;

	snprintf(path, sizeof(path), "%s/%u", cache->proc, pid);
	reading.dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	runs = reading.dir >= 0 && !read_stat(cache, &reading) && is_same(cache, &reading, start_ns);
	end_reading(&reading);
	return runs;
}

unsigned process_vhost_files(const struct process_cache *cache, const struct tw_task *task)
{
	char path[PATH_MAX], target[64];
	struct dirent *de;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%u/fd", cache->proc, task->pid);
	dir = opendir(path);
	while (dir && (de = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), de->d_name, target, sizeof(target) - 1);

		target[len > 0 ? len : 0] = '\0';
		n += !strcmp(target, "/dev/vhost-net");
	}
	if (dir)
		closedir(dir);
	return process_runs(cache, task->pid, task->start_ns) ? n : 0;
}

/* 0; -ENOENT for a uid without a name; other negative errno when it could not be asked. */
static int user_by_id(uint32_t uid, char **name)
{
	size_t size = 1024;
	int err;

	do {
		struct passwd pwd, *found = NULL;
		char *buf = malloc(size);

		if (!buf)
			return -ENOMEM;
		err = getpwuid_r(uid, &pwd, buf, size, &found);
		*name = !err && found ? strdup(found->pw_name) : NULL;
		if (!err)
			err = !found ? ENOENT : *name ? 0 : ENOMEM;
		free(buf);
		size *= 4;
	} while (err == ERANGE && size <= 1 << 20);
	return -err;
}

const char *process_user(struct process_cache *cache, uint32_t uid)
{
	struct user_slot *slot = &cache->users[uid % USER_SLOTS];

	if (uid == UINT32_MAX)
		return NULL;
	if (slot->used && slot->uid == uid)
		return slot->name;
	free(slot->name);
	memset(slot, 0, sizeof(*slot));
	slot->uid = uid;
	/* Without an entry there is no name for this run; other failures may pass. */
	switch (user_by_id(uid, &slot->name)) {
	case 0:
	case -ENOENT:
		slot->used = true;
	}
	return slot->name;
}
