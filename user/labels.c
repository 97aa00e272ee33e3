// SPDX-License-Identifier: GPL-2.0-only
/*
 * labels.c - see labels.h.
 */
#include "labels.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"

/* Where a namespace was met. */
struct place {
	uint32_t inode;
	dev_t dev;		/* of the nsfs file, when it was met */
	unsigned source;	/* NETNS_* */
	pid_t pid;		/* NETNS_PROCS: of a process or thread in it */
	char *path;
};

struct labels {
	struct labels_source source;
	struct netns_names *names;	/* NULL with a source of tests */
	unsigned sources;
	unsigned walked;	/* sources that have been read since the last refresh */
	struct place *place;
	size_t len, room;
	uint32_t initial;
	char text[PATH_MAX];	/* the last answer */
};

static const struct labels_source the_system = { .each = netns_each, .proc = "/proc" };

struct labels *labels_new(unsigned sources, const struct labels_source *source)
{
	struct labels *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->source = source ? *source : the_system;
	l->sources = sources;
	if (source)
		return l;
	l->initial = netns_initial();
	l->names = netns_names_new();
	if (!l->names) {
		free(l);
		return NULL;
	}
	return l;
}

static void forget_places(struct labels *l)
{
	while (l->len)
		free(l->place[--l->len].path);
	l->walked = 0;
}

void labels_free(struct labels *l)
{
	if (!l)
		return;
	forget_places(l);
	free(l->place);
	netns_names_free(l->names);
	free(l);
}

void labels_refresh(struct labels *l)
{
	l->walked = 0;
}

/* ---- owner by cgroup ---- */

/* systemd.unit(5): \xNN stands for a byte. `-` for `/` is left: machine names have no slash. */
static size_t unescape_unit(char *out, size_t size, const char *in, size_t len)
{
	size_t n = 0, i = 0;

	while (i < len && n + 1 < size) {
		if (len - i >= 4 && in[i] == '\\' && in[i + 1] == 'x' &&
		    isxdigit((unsigned char)in[i + 2]) && isxdigit((unsigned char)in[i + 3])) {
			char digits[3] = { in[i + 2], in[i + 3], '\0' };

			out[n++] = (char)strtoul(digits, NULL, 16);
			i += 4;
		} else {
			out[n++] = in[i++];
		}
	}
	out[n] = '\0';
	return n;
}

/* How the parts of a cgroup path are named by those who make them. */
static const struct owner {
	const char *prefix, *suffix;
	const char *label;	/* goes before the name */
	bool is_id;		/* what is left must be a container's id: 64 hex digits, 12 are shown */
	const char *parent;	/* the part before must be this */
} owners[] = {
	/* systemd-machined: libvirt, systemd-nspawn */
	{ "machine-", ".scope", "", false, NULL },
	/* libvirt without machined */
	{ "", ".libvirt-qemu", "", false, NULL },
	{ "", ".libvirt-lxc", "", false, NULL },
	{ "docker-", ".scope", "docker:", true, NULL },
	{ "", "", "docker:", true, "docker" },
	{ "cri-containerd-", ".scope", "containerd:", true, NULL },
	{ "nerdctl-", ".scope", "nerdctl:", true, NULL },
	{ "crio-", ".scope", "crio:", true, NULL },
	{ "libpod-", ".scope", "podman:", true, NULL },
	{ "libpod-", "", "podman:", true, NULL },
	/* Incus and LXC 4; LXC before */
	{ "lxc.payload.", "", "lxc:", false, NULL },
	{ "", "", "lxc:", false, "lxc.payload" },
	{ "", "", "lxc:", false, "lxc" },
	/* whoever else names a cgroup like that, as Kubernetes does with its cgroupfs driver */
	{ "", "", "container:", true, NULL },
};

static bool is_container_id(const char *s, size_t len)
{
	if (len != 64)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isxdigit((unsigned char)s[i]))
			return false;
	return true;
}

/* The part of a path that ends before `end`: *begin, and its length. */
static size_t last_part(const char *path, const char *end, const char **begin)
{
	*begin = end;
	while (*begin > path && (*begin)[-1] != '/')
		(*begin)--;
	return (size_t)(end - *begin);
}

static bool has_parent(const struct owner *o, const char *path, const char *part)
{
	const char *parent;
	size_t len;

	if (!o->parent)
		return true;
	if (part <= path + 1)
		return false;
	len = last_part(path, part - 1, &parent);
	return len == strlen(o->parent) && !strncmp(parent, o->parent, len);
}

static size_t try_owner(const struct owner *o, const char *path, const char *part, size_t len,
			char *out, size_t size)
{
	size_t before = strlen(o->prefix), after = strlen(o->suffix), label = strlen(o->label);

	if (len <= before + after || strncmp(part, o->prefix, before) ||
	    strncmp(part + len - after, o->suffix, after) || !has_parent(o, path, part))
		return 0;
	part += before;
	len -= before + after;
	if (o->is_id && !is_container_id(part, len))
		return 0;
	if (label + 1 >= size)
		return 0;
	memcpy(out, o->label, label + 1);
	return label + unescape_unit(out + label, size - label, part, o->is_id ? 12 : len);
}

size_t labels_cgroup_owner(const char *cgroup, char *out, size_t size)
{
	const char *end = cgroup + strlen(cgroup), *part;

	for (;;) {
		size_t len = last_part(cgroup, end, &part);

		for (size_t i = 0; len && i < sizeof(owners) / sizeof(owners[0]); i++) {
			size_t n = try_owner(&owners[i], cgroup, part, len, out, size);

			if (n)
				return n;
		}
		if (part <= cgroup)
			return 0;
		end = part - 1;
	}
}

/* ---- owner by process ---- */

/* Reads a small file of /proc/PID; its length, 0 when it is gone. */
static size_t read_file(const struct labels *l, pid_t pid, const char *name, char *buf, size_t size)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%d/%s", l->source.proc, (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	return (size_t)n;
}

/*
 * "ID:CONTROLLERS:PATH" a line (cgroups(7)). With the old hierarchies, any of
 * them may be the one that a container manager uses.
 */
static bool cgroup_owner(struct labels *l, char *lines)
{
	char *save = NULL;

	for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(line, ':');

		path = path ? strchr(path + 1, ':') : NULL;
		if (path && labels_cgroup_owner(path + 1, l->text, sizeof(l->text)))
			return true;
	}
	return false;
}

static const char *process_text(struct labels *l, pid_t pid)
{
	char buf[PATH_MAX], comm[32];

	if (read_file(l, pid, "cgroup", buf, sizeof(buf)) && cgroup_owner(l, buf))
		return l->text;
	if (read_file(l, pid, "comm", comm, sizeof(comm))) {
		comm[strcspn(comm, "\n")] = '\0';
		snprintf(l->text, sizeof(l->text), "pid:%d %s", (int)pid, comm);
	} else {
		snprintf(l->text, sizeof(l->text), "pid:%d", (int)pid);
	}
	return l->text;
}

/* ---- places ---- */

static int add_place(void *ctx, const struct netns_ref *ref)
{
	struct labels *l = ctx;
	struct stat st;

	/* looked at already, or a name that is gone */
	if (stat(ref->path, &st) || st.st_ino != ref->inode)
		return 0;
	if (ARRAY_ROOM(l->place, l->room, l->len + 1))
		return -ENOMEM;
	l->place[l->len] = (struct place){
		.inode = ref->inode, .dev = st.st_dev, .source = ref->source, .pid = ref->pid,
		.path = strdup(ref->path),
	};
	return l->place[l->len++].path ? 0 : -ENOMEM;
}

/*
 * Reads what has not been read: all of it anew, for netns_each() tells each
 * namespace once, under the first source that leads to it.
 */
static void walk(struct labels *l, unsigned sources)
{
	unsigned walked = l->walked | sources;

	forget_places(l);
	/* Out of memory: what was found is still true. */
	(void)l->source.each(walked, add_place, l);
	while (l->len && !l->place[l->len - 1].path)
		l->len--;
	l->walked = walked;
}

/* The place is still what it was: all nsfs files have one st_dev. */
static bool still_there(const struct place *p)
{
	struct stat st;

	return !stat(p->path, &st) && st.st_dev == p->dev && st.st_ino == p->inode;
}

/* A place of the inode that is of one of the sources and true now; *stale: there was one that is not. */
static const struct place *find_place(const struct labels *l, uint32_t inode, unsigned sources, bool *stale)
{
	for (size_t i = 0; i < l->len; i++) {
		const struct place *p = &l->place[i];

		if (p->inode != inode || !(p->source & sources))
			continue;
		if (still_there(p))
			return p;
		*stale = true;
	}
	return NULL;
}

/* As find_place(); reads the sources when that may help. */
static const struct place *look_up(struct labels *l, uint32_t inode, unsigned sources)
{
	bool stale = false;
	const struct place *p = find_place(l, inode, sources, &stale);

	if (p || (!stale && (l->walked & sources) == sources))
		return p;
	walk(l, sources);
	return find_place(l, inode, sources, &stale);
}

/* ---- answers ---- */

/* Our own namespace is not asked for by netns_each(): who else is in it? */
static pid_t neighbour(const struct labels *l, uint32_t inode)
{
	const pid_t candidates[] = { 1, getsid(0), getppid(), getpid() };

	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		char path[PATH_MAX];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%d/ns/net", l->source.proc, (int)candidates[i]);
		if (candidates[i] > 0 && !stat(path, &st) && st.st_ino == inode)
			return candidates[i];
	}
	return getpid();
}

const char *labels_name(struct labels *l, uint32_t inode)
{
	const struct place *p;
	const char *name;

	if (!inode)
		return NULL;
	name = l->names ? netns_label(l->names, inode) : NULL;
	/* the initial one needs no search: everybody knows it */
	if (name || inode == l->initial)
		return name;
	p = look_up(l, inode, (NETNS_NAMED | NETNS_MOUNTS) & l->sources);
	if (!p)
		return NULL;
	name = strrchr(p->path, '/');
	snprintf(l->text, sizeof(l->text), "%s", p->source == NETNS_NAMED && name ? name + 1 : p->path);
	return l->text;
}

const char *labels_text(struct labels *l, uint32_t inode)
{
	const struct place *p;
	const char *name;

	if (!inode)
		return NULL;
	if (inode == l->initial)
		return "init";
	name = labels_name(l, inode);
	if (name)
		return name;
	p = look_up(l, inode, NETNS_SELF | (l->sources & NETNS_CHEAP));
	if (!p && (l->sources & NETNS_FDS))
		p = look_up(l, inode, NETNS_SELF | l->sources);
	if (!p)
		return NULL;
	if (p->source == NETNS_SELF)
		return process_text(l, neighbour(l, inode));
	if (p->source == NETNS_PROCS)
		return process_text(l, p->pid);
	snprintf(l->text, sizeof(l->text), "%s", p->path);
	return l->text;
}
