// SPDX-License-Identifier: GPL-2.0-only
/*
 * netns.c - enumeration, labels and resolution of network namespaces.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "array.h"
#include "netns.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71	/* asm-generic/socket.h, 5.14 */
#endif

/* iproute2 uses the second, which is nearly always a link to the first's parent. */
static const char *const name_dirs[] = { "/run/netns", "/var/run/netns" };
#define NAME_DIRS (sizeof(name_dirs) / sizeof(name_dirs[0]))

/* thread-self: setns() moves one thread, and so may be elsewhere than the process. */
#define SELF_PATH "/proc/thread-self/ns/net"

/* ---- parsers ---- */

/* Decimal digits only, the whole string; 0 or -EINVAL. */
static int parse_u32(const char *s, uint32_t *value)
{
	uint64_t v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s))
			return -EINVAL;
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > UINT32_MAX)
			return -EINVAL;
	}
	*value = (uint32_t)v;
	return 0;
}

int netns_parse_link(const char *link, uint32_t *inode)
{
	char digits[16];
	size_t len;

	if (strncmp(link, "net:[", 5))
		return -EINVAL;
	link += 5;
	len = strlen(link);
	if (len < 2 || len > sizeof(digits) || link[len - 1] != ']')
		return -EINVAL;
	memcpy(digits, link, len - 1);
	digits[len - 1] = '\0';
	return parse_u32(digits, inode);
}

/* Undoes seq_path()'s \ooo of blank, tab, newline and backslash, in place. */
static void unescape_mount(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' &&
		    s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/*
 * proc(5): ID parent major:minor ROOT MOUNTPOINT options optional... - FSTYPE source superoptions
 * A blank within a field is escaped, so blanks separate.
 */
int netns_parse_mountinfo(char *line, uint32_t *inode, char **path)
{
	enum { ROOT = 3, MOUNTPOINT = 4, OPTIONS = 5 };
	char *save = NULL, *word, *root = NULL, *mountpoint = NULL;
	int i;

	line[strcspn(line, "\n")] = '\0';
	for (i = 0, word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save), i++) {
		if (i == ROOT)
			root = word;
		else if (i == MOUNTPOINT)
			mountpoint = word;
		else if (i > OPTIONS && !strcmp(word, "-"))
			break;
	}
	if (!word || !mountpoint)
		return -EINVAL;
	word = strtok_r(NULL, " ", &save);
	if (!word)
		return -EINVAL;
	if (strcmp(word, "nsfs") || netns_parse_link(root, inode))
		return -ENOENT;
	unescape_mount(mountpoint);
	*path = mountpoint;
	return 0;
}

int netns_parse_word(const char *word, enum netns_word *kind, uint32_t *number)
{
	if (strchr(word, '/')) {
		*kind = NETNS_WORD_PATH;
		return 0;
	}
	if (!strncmp(word, "pid:", 4)) {
		*kind = NETNS_WORD_PID;
		return parse_u32(word + 4, number) || !*number || *number > INT_MAX ? -EINVAL : 0;
	}
	if (!parse_u32(word, number)) {
		*kind = NETNS_WORD_INODE;
		return 0;
	}
	if (!*word || !strcmp(word, ".") || !strcmp(word, "..") || strlen(word) > NAME_MAX)
		return -EINVAL;
	*kind = NETNS_WORD_NAME;
	return 0;
}

/* ---- one namespace ---- */

int netns_inode(int fd, uint32_t *inode)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) || fstat(fd, &st))
		return -errno;
	if ((unsigned long)fs.f_type != NSFS_MAGIC)
		return -EINVAL;
	/* NS_GET_NSTYPE: 4.11. */
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return -EINVAL;
	*inode = (uint32_t)st.st_ino;
	return 0;
}

/* Opens any file to ask whether it is a namespace: must not hang on a FIFO nor take a terminal. */
static int open_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

static int path_inode(const char *path, uint32_t *inode)
{
	int fd = open_path(path), err;

	if (fd < 0)
		return fd;
	err = netns_inode(fd, inode);
	close(fd);
	return err;
}

int netns_open(const struct netns_ref *ref)
{
	int fd = open_path(ref->path), err;
	uint32_t inode;

	if (fd < 0)
		return fd == -ESRCH ? -ENOENT : fd;
	err = netns_inode(fd, &inode);
	if (!err && inode == ref->inode)
		return fd;
	/* Another process has that pid by now, or another file that name. */
	close(fd);
	return -ENOENT;
}

int netns_open_pid(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	fd = open_path(path);
	return fd == -ESRCH ? -ENOENT : fd;
}

int netns_self(uint32_t *inode)
{
	return path_inode(SELF_PATH, inode);
}

int netns_socket(int fd, int domain, int type, int protocol)
{
	int home = open_path(SELF_PATH), sock, err = 0;

	if (home < 0)
		return home;
	if (setns(fd, CLONE_NEWNET)) {
		err = -errno;
		close(home);
		return err;
	}
	sock = socket(domain, type | SOCK_CLOEXEC, protocol);
	if (sock < 0)
		err = -errno;
	if (setns(home, CLONE_NEWNET))
		abort();
	close(home);
	return sock < 0 ? err : sock;
}

uint32_t netns_initial(void)
{
	struct stat st;

	/* since 6.18 a constant: uapi/linux/nsfs.h, NET_NS_INIT_INO */
	if (!stat("/proc/self/ns/net", &st) && st.st_ino == 0xEFFFFFF9U)
		return (uint32_t)st.st_ino;
	/* PID 1 is the host's init only in the initial pid namespace: include/linux/proc_ns.h, PROC_PID_INIT_INO */
	if (stat("/proc/self/ns/pid", &st) || st.st_ino != 0xEFFFFFFCU || stat("/proc/1/ns/net", &st))
		return 0;
	return (uint32_t)st.st_ino;
}

uint64_t netns_cookie(int fd)
{
	static bool unsupported;
	socklen_t len = sizeof(uint64_t);
	uint64_t cookie = 0;
	int sock;

	if (unsupported)
		return 0;
	/*
	 * An AF_UNIX socket gives its namespace back within close(); a netlink
	 * one only after an RCU grace period (netlink_release()).
	 */
	sock = netns_socket(fd, AF_UNIX, SOCK_DGRAM, 0);
	if (sock < 0)
		return 0;
	if (getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len)) {
		unsupported = errno == ENOPROTOOPT;
		cookie = 0;
	}
	close(sock);
	return cookie;
}

/* ---- enumeration ---- */

/* Inodes already told: open addressing, 0 is an empty slot (no inode is 0). */
struct inode_set {
	uint32_t *slot;
	size_t size, used;	/* size: power of two */
};

static size_t set_find(const struct inode_set *set, uint32_t inode)
{
	size_t i = inode * 2654435761u & (set->size - 1);

	while (set->slot[i] && set->slot[i] != inode)
		i = (i + 1) & (set->size - 1);
	return i;
}

static int set_grow(struct inode_set *set)
{
	struct inode_set bigger = { .size = set->size ? set->size * 2 : 256, .used = set->used };
	size_t i;

	bigger.slot = calloc(bigger.size, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (i = 0; i < set->size; i++)
		if (set->slot[i])
			bigger.slot[set_find(&bigger, set->slot[i])] = set->slot[i];
	free(set->slot);
	*set = bigger;
	return 0;
}

/* 1: added; 0: was there; -ENOMEM. */
static int set_add(struct inode_set *set, uint32_t inode)
{
	size_t i;

	if (set->used * 2 >= set->size && set_grow(set))
		return -ENOMEM;
	i = set_find(set, inode);
	if (set->slot[i])
		return 0;
	set->slot[i] = inode;
	set->used++;
	return 1;
}

struct walk {
	int (*fn)(void *ctx, const struct netns_ref *ref);
	void *ctx;
	struct inode_set told;
};

static bool was_told(const struct walk *w, uint32_t inode)
{
	return w->told.size && w->told.slot[set_find(&w->told, inode)];
}

static int tell(struct walk *w, const struct netns_ref *ref)
{
	int err = set_add(&w->told, ref->inode);

	return err > 0 ? w->fn(w->ctx, ref) : err;
}

static bool is_number(const char *s)
{
	uint32_t v;

	return !parse_u32(s, &v);
}

static int each_self(struct walk *w)
{
	struct netns_ref ref = { .source = NETNS_SELF, .path = SELF_PATH };

	return netns_self(&ref.inode) ? 0 : tell(w, &ref);
}

/* Calls fn with (path, name) for each entry of the directories of names. */
static int each_name_file(int (*fn)(void *ctx, const char *path, const char *name), void *ctx)
{
	struct stat st[NAME_DIRS] = { 0 };
	char path[PATH_MAX];
	struct dirent *de;
	size_t i;
	DIR *dir;
	int err = 0;

	for (i = 0; i < NAME_DIRS && !err; i++) {
		dir = opendir(name_dirs[i]);
		if (!dir)
			continue;
		if (fstat(dirfd(dir), &st[i]) ||
		    (i && st[0].st_ino == st[i].st_ino && st[0].st_dev == st[i].st_dev)) {
			closedir(dir);
			continue;
		}
		while (!err && (de = readdir(dir))) {
			if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
				continue;
			snprintf(path, sizeof(path), "%s/%s", name_dirs[i], de->d_name);
			err = fn(ctx, path, de->d_name);
		}
		closedir(dir);
	}
	return err;
}

static int tell_name(void *ctx, const char *path, const char *name)
{
	struct netns_ref ref = { .source = NETNS_NAMED, .path = path, .name = name };

	return path_inode(path, &ref.inode) ? 0 : tell(ctx, &ref);
}

static int each_named(struct walk *w)
{
	return each_name_file(tell_name, w);
}

static int each_mount(struct walk *w)
{
	struct netns_ref ref = { .source = NETNS_MOUNTS };
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *path;
	size_t size = 0;
	uint32_t inode;
	int err = 0;

	if (!f)
		return 0;
	while (!err && getline(&line, &size, f) > 0) {
		if (netns_parse_mountinfo(line, &ref.inode, &path) || was_told(w, ref.inode))
			continue;
		/* Another mount may hide it. */
		if (path_inode(path, &inode) || inode != ref.inode)
			continue;
		ref.path = path;
		err = tell(w, &ref);
	}
	free(line);
	fclose(f);
	return err;
}

/* What dir/name points to, if that is a network namespace. */
static int link_inode(int dir, const char *name, uint32_t *inode)
{
	char link[32];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);

	if (n < 0)
		return -errno;
	link[n] = '\0';
	return netns_parse_link(link, inode);
}

/* /proc/PID/ns/net, or /proc/PID/task/TID/ns/net. */
static int tell_task(struct walk *w, const char *path, pid_t pid)
{
	struct netns_ref ref = { .source = NETNS_PROCS, .path = path, .pid = pid };

	return link_inode(AT_FDCWD, path, &ref.inode) ? 0 : tell(w, &ref);
}

/*
 * A thread may be in another namespace than its process (setns() and unshare()
 * are per thread). The link count of the task directory is 2 + the number of
 * threads (proc_task_getattr()): saves reading it for most processes.
 */
static int each_thread(struct walk *w, pid_t pid)
{
	struct dirent *de;
	char path[320];
	struct stat st;
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if (stat(path, &st) || st.st_nlink <= 3)
		return 0;
	dir = opendir(path);
	if (!dir)
		return 0;
	while (!err && (de = readdir(dir))) {
		if (!is_number(de->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/ns/net", (int)pid, de->d_name);
		err = tell_task(w, path, (pid_t)atoi(de->d_name));
	}
	closedir(dir);
	return err;
}

static int each_process(int (*fn)(struct walk *w, pid_t pid), struct walk *w)
{
	DIR *dir = opendir("/proc");
	struct dirent *de;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (de = readdir(dir)))
		if (is_number(de->d_name))
			err = fn(w, (pid_t)atoi(de->d_name));
	closedir(dir);
	return err;
}

static int process_ns(struct walk *w, pid_t pid)
{
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	err = tell_task(w, path, pid);
	return err ? err : each_thread(w, pid);
}

static int each_proc(struct walk *w)
{
	int err = process_ns(w, 1);

	return err ? err : each_process(process_ns, w);
}

static int process_fds(struct walk *w, pid_t pid)
{
	struct netns_ref ref = { .source = NETNS_FDS, .pid = pid };
	struct dirent *de;
	char path[320];
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (!err && (de = readdir(dir))) {
		if (!is_number(de->d_name) || link_inode(dirfd(dir), de->d_name, &ref.inode))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, de->d_name);
		ref.path = path;
		err = tell(w, &ref);
	}
	closedir(dir);
	return err;
}

static int each_fd(struct walk *w)
{
	return each_process(process_fds, w);
}

/* In this order: the earlier source gives the better path and name. */
static const struct {
	unsigned flag;
	int (*each)(struct walk *w);
} sources[] = {
	{ NETNS_SELF, each_self },
	{ NETNS_NAMED, each_named },
	{ NETNS_MOUNTS, each_mount },
	{ NETNS_PROCS, each_proc },
	{ NETNS_FDS, each_fd },
};

int netns_each(unsigned wanted, int (*fn)(void *ctx, const struct netns_ref *ref), void *ctx)
{
	struct walk w = { .fn = fn, .ctx = ctx };
	size_t i;
	int err = 0;

	wanted |= NETNS_SELF;
	for (i = 0; i < sizeof(sources) / sizeof(sources[0]) && !err; i++)
		if (wanted & sources[i].flag)
			err = sources[i].each(&w);
	free(w.told.slot);
	return err;
}

struct open_inode {
	uint32_t inode;
	char **place;
	int fd;
};

static int open_found(void *ctx, const struct netns_ref *ref)
{
	struct open_inode *o = ctx;

	if (ref->inode != o->inode)
		return 0;
	o->fd = netns_open(ref);
	if (o->fd < 0)
		return 0;
	free(*o->place);
	*o->place = strdup(ref->path);
	return 1;
}

int netns_open_inode(uint32_t inode, pid_t pid, bool search, char **place)
{
	struct open_inode o = { inode, place, -ENOENT };
	struct netns_ref ref = { .inode = inode, .path = *place };
	char path[64];

	if (*place)
		o.fd = netns_open(&ref);
	if (o.fd < 0 && pid) {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
		ref.path = path;
		open_found(&o, &ref);
	}
	if (o.fd < 0 && search)
		netns_each(NETNS_CHEAP, open_found, &o);
	return o.fd;
}

/* ---- what the user means ---- */

static int resolve_name(const char *name, uint32_t *inode)
{
	char path[PATH_MAX];
	size_t i;
	int err = -ENOENT;

	for (i = 0; i < NAME_DIRS && err == -ENOENT; i++) {
		snprintf(path, sizeof(path), "%s/%s", name_dirs[i], name);
		err = path_inode(path, inode);
	}
	return err;
}

static int same_inode(void *ctx, const struct netns_ref *ref)
{
	return ref->inode == *(uint32_t *)ctx;
}

static int resolve_inode(const char *word, uint32_t number, uint32_t *inode)
{
	int found = netns_each(NETNS_ALL, same_inode, &number);

	if (found < 0)
		return found;
	if (!found)
		return resolve_name(word, inode);
	*inode = number;
	return 0;
}

static int resolve_pid(uint32_t pid, uint32_t *inode)
{
	int fd = netns_open_pid((pid_t)pid), err;

	if (fd < 0)
		return fd;
	err = netns_inode(fd, inode);
	close(fd);
	return err;
}

int netns_resolve(const char *word, uint32_t *inode)
{
	enum netns_word kind;
	uint32_t number;
	int err = netns_parse_word(word, &kind, &number);

	if (err)
		return err;
	switch (kind) {
	case NETNS_WORD_PATH:
		err = path_inode(word, inode);
		return err == -ENOTDIR ? -ENOENT : err;
	case NETNS_WORD_PID:
		return resolve_pid(number, inode);
	case NETNS_WORD_INODE:
		return resolve_inode(word, number, inode);
	case NETNS_WORD_NAME:
		break;
	}
	return resolve_name(word, inode);
}

/* ---- labels ---- */

struct label {
	uint32_t inode;
	char *path;		/* the name is its last part */
};

struct netns_names {
	struct label *label;
	size_t len, size;
	dev_t nsfs;		/* all nsfs files have this st_dev; 0 unknown */
	/*
	 * A name comes to mean a namespace by a mount, in our mount namespace.
	 * poll() of this file tells POLLPRI once after each change of the mount
	 * table (mounts_poll()): the table of labels is complete unless it does.
	 */
	int mounts;
};

struct netns_names *netns_names_new(void)
{
	struct netns_names *names = calloc(1, sizeof(*names));
	struct stat st;

	if (!names)
		return NULL;
	if (!stat(SELF_PATH, &st))
		names->nsfs = st.st_dev;
	names->mounts = -1;
	return names;
}

static void labels_clear(struct netns_names *names)
{
	while (names->len)
		free(names->label[--names->len].path);
}

void netns_names_free(struct netns_names *names)
{
	if (!names)
		return;
	labels_clear(names);
	free(names->label);
	if (names->mounts >= 0)
		close(names->mounts);
	free(names);
}

static int label_add(void *ctx, const char *path, const char *name)
{
	struct netns_names *names = ctx;
	struct stat st;

	(void)name;
	if (stat(path, &st) || st.st_dev != names->nsfs)
		return 0;
	if (ARRAY_ROOM(names->label, names->size, names->len + 1))
		return -ENOMEM;
	names->label[names->len].inode = (uint32_t)st.st_ino;
	names->label[names->len].path = strdup(path);
	if (!names->label[names->len].path)
		return -ENOMEM;
	names->len++;
	return 0;
}

/* Does the table lack a name that may exist by now? To be asked before a scan, not after. */
static bool labels_outdated(struct netns_names *names)
{
	struct pollfd p = { .fd = names->mounts, .events = POLLPRI };

	if (names->mounts < 0) {
		names->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
		return true;	/* without the witness: scan each time, rather slow than wrong */
	}
	return poll(&p, 1, 0) != 0;
}

static const char *label_find(struct netns_names *names, uint32_t inode)
{
	struct stat st;
	size_t i;

	/*
	 * Inode numbers are unique over all kinds of namespaces while they
	 * live (one superblock), so a match in the table is a network
	 * namespace if the caller's inode is one.
	 */
	for (i = 0; i < names->len; i++) {
		if (names->label[i].inode != inode)
			continue;
		if (!stat(names->label[i].path, &st) &&
		    st.st_dev == names->nsfs && st.st_ino == inode)
			return strrchr(names->label[i].path, '/') + 1;
	}
	return NULL;
}

const char *netns_label(struct netns_names *names, uint32_t inode)
{
	const char *name = label_find(names, inode);

	if (name || !labels_outdated(names))
		return name;
	labels_clear(names);
	/* Out of memory: what was read is still true, and verified. */
	(void)each_name_file(label_add, names);
	return label_find(names, inode);
}
