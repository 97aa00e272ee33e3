// SPDX-License-Identifier: GPL-2.0-only
/*
 * process.c - see process.h.
 *
 * Every look-up reads /proc afresh, for an exec changes what is there and
 * events are few. The cache is for processes that are gone by then: hence
 * direct-mapped, where a collision costs no more than an absent member.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESS_SLOTS 4096
#define USER_SLOTS 256

struct process_slot {
	uint32_t pid;		/* 0: free */
	uint64_t start_ns;
	char comm[TW_NAME_LEN];	/* that `exe` was read under */
	char *exe;
	char *cgroup;
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
	struct process_slot slots[PROCESS_SLOTS];
	struct user_slot users[USER_SLOTS];
};

/* What one look into /proc/PID found. */
struct reading {
	char *exe;
	char *cgroup;
	char comm[TW_NAME_LEN];
};

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

static void slot_clear(struct process_slot *slot)
{
	free(slot->exe);
	free(slot->cgroup);
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

/*
 * The executable, NULL if it cannot be told. A leader that has exited while
 * other threads live on has no exe any more; the thread of the fact may.
 */
static char *read_exe(int dir, const struct tw_task *task)
{
	char path[64], target[PATH_MAX + 16];	/* " (deleted)" comes on top */
	ssize_t n;

	n = readlinkat(dir, "exe", target, sizeof(target));
	if (n < 0 && task->tid && task->tid != task->pid) {
		snprintf(path, sizeof(path), "task/%u/exe", task->tid);
		n = readlinkat(dir, path, target, sizeof(target));
	}
	if (n <= 0 || (size_t)n == sizeof(target))
		return NULL;
	return strndup(target, n);
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
	char *line = NULL, *v2_path = NULL, *v1_path = NULL;
	size_t size = 0;
	FILE *file;
	int fd;

	fd = openat(dir, "cgroup", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return NULL;
	}
	while (getline(&line, &size, file) > 0) {
		const char *path;

		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0:", 2) && !v2_path && (path = cgroup_path(line, "")))
			v2_path = strdup(path);
		else if (!v1_path && (path = cgroup_path(line, "name=systemd")))
			v1_path = strdup(path);
	}
	free(line);
	fclose(file);
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
static int parse_stat(char *stat, char comm[TW_NAME_LEN], char *state, unsigned long long *start)
{
	char *open = strchr(stat, '('), *close = strrchr(stat, ')'), *at;
	int field;

	if (!open || !close || close < open)
		return -EINVAL;
	memset(comm, 0, TW_NAME_LEN);
	*close = '\0';
	strncpy(comm, open + 1, TW_NAME_LEN - 1);
	at = close + 1;
	if (sscanf(at, " %c", state) != 1)
		return -EINVAL;
	/* `at` stands before field 3; starttime is field 22. */
	for (field = 3; field < 22; field++) {
		at += strspn(at, " ");
		at += strcspn(at, " ");
	}
	return sscanf(at, " %llu", start) == 1 ? 0 : -EINVAL;
}

/* Is the process behind `dir` the one that started at start_ns? Also its present comm and state. */
static bool is_same(const struct process_cache *cache, int dir, uint64_t start_ns,
		    char comm[TW_NAME_LEN], char *state)
{
	unsigned long long start, expected;
	char stat[2048];
	ssize_t n;
	int fd;

	fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return false;
	stat[n] = '\0';
	if (parse_stat(stat, comm, state, &start))
		return false;
	expected = start_ns / (1000000000ULL / cache->ticks);
	return start <= expected + 1 && expected <= start + 1;
}

/*
 * Reads what /proc tells of the task's process. False, and nothing in
 * `reading`, when it is gone or another. The directory's fd stays with one
 * process for good, so that what is read through it before the check and
 * the check itself are about the same.
 */
static bool read_process(const struct process_cache *cache, const struct tw_task *task,
			 struct reading *reading)
{
	char path[PATH_MAX], state = 0;
	bool v1 = false;
	int dir;

	memset(reading, 0, sizeof(*reading));
	if (!task->pid || !task->start_ns)
		return false;
	snprintf(path, sizeof(path), "%s/%u", cache->proc, task->pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	reading->exe = read_exe(dir, task);
	reading->cgroup = read_cgroup(dir, &v1);
	if (!is_same(cache, dir, task->start_ns, reading->comm, &state)) {
		free(reading->exe);
		free(reading->cgroup);
		memset(reading, 0, sizeof(*reading));
		close(dir);
		return false;
	}
	close(dir);
	if (v1 && (state == 'Z' || state == 'X')) {
		free(reading->cgroup);
		reading->cgroup = NULL;
	}
	return true;
}

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

/*
 * Takes the reading over into the slot. An exe is believed only together
 * with the comm of the fact: another comm means that the process has passed
 * through exec since, and the exe is that of its next program.
 */
static void slot_update(struct process_slot *slot, const struct tw_task *task,
			struct reading *reading)
{
	if (slot->pid != task->pid || slot->start_ns != task->start_ns) {
		slot_clear(slot);
		slot->pid = task->pid;
		slot->start_ns = task->start_ns;
	}
	if (reading->cgroup)
		replace(&slot->cgroup, reading->cgroup);
	if (reading->exe && !strncmp(reading->comm, task->comm, TW_NAME_LEN - 1)) {
		replace(&slot->exe, reading->exe);
		memcpy(slot->comm, reading->comm, sizeof(slot->comm));
	} else {
		free(reading->exe);
	}
}

const struct process_info *process_lookup(struct process_cache *cache, const struct tw_task *task)
{
	struct process_slot *slot = slot_of(cache, task);
	struct process_info *info = &cache->info;
	struct reading reading;

	memset(info, 0, sizeof(*info));
	info->pid = task->pid;
	info->start_ns = task->start_ns;
	memcpy(info->comm, task->comm, sizeof(info->comm));
	info->comm[sizeof(info->comm) - 1] = '\0';
	info->user = process_user(cache, task->uid);

	if (read_process(cache, task, &reading))
		slot_update(slot, task, &reading);
	if (slot->pid && slot->pid == task->pid && slot->start_ns == task->start_ns) {
		info->cgroup = slot->cgroup;
		if (slot->exe && !strcmp(slot->comm, info->comm))
			info->exe = slot->exe;
	}
	return info;
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
