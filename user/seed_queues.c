// SPDX-License-Identifier: GPL-2.0-only
/*
 * seed_queues.c - what the back-ends have in common that walk /proc: from
 * "this fd of that process is on a device of this name, in this namespace"
 * to facts. The device comes from an rtnetlink dump, which alone tells the
 * index; which fds are one file, and which tables one table, kcmp(2) tells.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rtnl.h"
#include "seed_private.h"

#ifndef IFF_DETACH_QUEUE
#define IFF_DETACH_QUEUE 0x0400
#endif

#define LOOKS 3	/* at a queue whose device is renamed or moved at that very moment */

/*
 * Generations of files, made up: the first fd of the file in the order of the
 * walk. So a file keeps its generation from one scan to the next as long as
 * that fd stays. No real one comes so far (they count up from 1).
 */
#define MADE_UP_GEN (1ULL << 62)

struct found {
	struct seed_queue q;
	const struct found *file;	/* the first that is the same file; itself, mostly */
	struct tw_dev dev;		/* valid with has_dev */
	bool has_dev;
};

struct queues {
	struct seed *s;
	struct proc_scan scan;
	struct found *all, **sorted;
	size_t n;
};

/* ---- which files are one ---- */

static uint64_t made_up_gen(const struct seed_queue *q)
{
	/* tids have 22 bits at most (PID_MAX_LIMIT), fds less than 30 (sysctl_nr_open_max) */
	return MADE_UP_GEN | (q->table->task.start_ns / 10000000 & 0x3ff) << 52 |
	       (uint64_t)q->table->task.tid << 30 | (uint32_t)q->fd;
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

/*
 * Fds of one file are on devices of one name, or on none; the namespace may be
 * known of one of them only. Then in the order of the walk.
 */
static int by_name(const void *a, const void *b)
{
	const struct found *x = *(struct found *const *)a, *y = *(struct found *const *)b;
	int ret = compare_u32(x->q.state, y->q.state);

	if (!ret)
		ret = memcmp(x->q.ifname, y->q.ifname, TW_NAME_LEN);
	return ret ? ret : x < y ? -1 : x > y;
}

static bool same_name(const struct found *x, const struct found *y)
{
	return x->q.state == y->q.state && !memcmp(x->q.ifname, y->q.ifname, TW_NAME_LEN);
}

static int compare_files(const struct found *x, const struct found *y)
{
	return proc_compare_files((pid_t)x->q.table->task.tid, x->q.fd, (pid_t)y->q.table->task.tid, y->q.fd);
}

/*
 * Gives each of n fds that may be the same its file. known[] has room for n; it is
 * kept in the order of kcmp(2), so each costs the logarithm of their number.
 */
static void join_group(struct queues *w, struct found **group, size_t n, struct found **known)
{
	size_t files = 0;

	for (size_t i = 0; i < n; i++) {
		size_t low = 0, high = files;
		int ret = 1;

		group[i]->file = group[i];
		while (low < high && ret > 0) {
			size_t mid = low + (high - low) / 2;

			ret = compare_files(known[mid], group[i]);
			if (ret == 1)
				low = mid + 1;
			else if (ret > 1)
				high = mid;
			else if (!ret)
				group[i]->file = known[mid];
		}
		if (ret == -ENOSYS || ret == -EPERM)
			w->scan.no_kcmp = true;
		if (!ret)
			continue;
		/* with a failure it is taken for another file; where it stands in the order is then of no weight */
		memmove(known + low + 1, known + low, (files - low) * sizeof(*known));
		known[low] = group[i];
		files++;
	}
}

static int join_files(struct queues *w)
{
	struct found **known = calloc(w->n + 1, sizeof(*known));
	size_t from = 0;

	if (!known)
		return -ENOMEM;
	for (size_t i = 0; i < w->n; i++)
		w->sorted[i] = &w->all[i];
	qsort(w->sorted, w->n, sizeof(*w->sorted), by_name);
	for (size_t i = 1; i <= w->n; i++) {
		if (i < w->n && same_name(w->sorted[from], w->sorted[i]))
			continue;
		join_group(w, w->sorted + from, i - from, known);
		from = i;
	}
	free(known);
	return 0;
}

/* ---- which device it is ---- */

static const struct tw_event *device_in(const struct seed *s, uint32_t netns, const char *ifname)
{
	for (size_t i = 0; i < s->devs.n; i++)
		if (s->devs.fact[i].dev.netns == netns && !strncmp(s->devs.fact[i].dev.ifname, ifname, TW_NAME_LEN))
			return &s->devs.fact[i];
	return NULL;
}

int seed_meet_netns(struct seed *s, int ns, uint32_t inode, const char *ifname)
{
	char path[64];
	struct netns_ref ref = { .inode = inode, .source = NETNS_FDS, .path = path };

	if (device_in(s, inode, ifname))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ns);
	return seed_dump_again(s, &ref);
}

static void take_device(struct found *f, const struct tw_event *fact)
{
	f->dev = fact->dev;
	f->has_dev = true;
}

/* Those whose namespace is known. What was renamed or moved since is looked at once more. */
static int resolve_known(struct queues *w, seed_look_fn look)
{
	int err = 0;

	for (size_t i = 0; !err && i < w->n; i++) {
		struct found *f = &w->all[i];
		const struct tw_event *fact = NULL;

		for (int tries = 1; !err && f->q.state == QUEUE_BOUND && f->q.netns && tries <= LOOKS; tries++) {
			fact = device_in(w->s, f->q.netns, f->q.ifname);
			if (fact || tries == LOOKS)
				break;
			err = look(w->s, &f->q, 1);
		}
		if (fact)
			take_device(f, fact);
		else if (f->q.state == QUEUE_BOUND)
			f->q.netns = 0;	/* or never known */
	}
	return err;
}

/* Single-queue devices have one file at a time: is it another than this? */
static bool taken(const struct queues *w, const struct tw_dev *dev, const struct found *f)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct found *other = &w->all[i];

		if (other->has_dev && other->file != f->file && other->dev.netns == dev->netns &&
		    other->dev.ifindex == dev->ifindex)
			return true;
	}
	return false;
}

static bool could_be(const struct queues *w, const struct tw_event *fact, const struct found *f)
{
	const struct tw_dev *dev = &fact->dev;

	if (strncmp(dev->ifname, f->q.ifname, TW_NAME_LEN))
		return false;
	if (f->q.has_flags && dev->kind != (f->q.tun_flags & IFF_TAP ? TW_KIND_TAP : TW_KIND_TUN))
		return false;
	/* only tap devices have an address */
	if (f->q.has_mac && (fact->has & TW_HAS_MAC) && memcmp(dev->mac, f->q.mac, sizeof(dev->mac)))
		return false;
	return (dev->tun_flags & IFF_MULTI_QUEUE) || !(fact->has & TW_HAS_TUN) || !taken(w, dev, f);
}

/* "netns 4026531840, 4026532591" */
static void note_ambiguous(struct queues *w, const struct found *f, size_t candidates)
{
	char word[4 * TW_NAME_LEN + 1], list[200] = "";

	if (!candidates) {
		seed_note(w->s, "fd %d of pid %u: no namespace that we can see has its device %s", f->q.fd,
			  f->q.table->task.pid, seed_word(word, f->q.ifname));
		return;
	}
	for (size_t i = 0; i < w->s->devs.n; i++)
		if (could_be(w, &w->s->devs.fact[i], f))
			seed_append(list, sizeof(list), "%s%u", *list ? ", " : "", w->s->devs.fact[i].dev.netns);
	seed_note(w->s, "fd %d of pid %u: name %s is ambiguous: netns %s%s", f->q.fd, f->q.table->task.pid,
		  seed_word(word, f->q.ifname), list,
		  candidates > 1 ? "" : ", and another file of this name that must be on another device");
}

/* What is known of a file by one of its fds holds for all. */
static void share_device(struct found **group, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct found *first = (struct found *)group[i]->file;

		if (group[i]->has_dev && !first->has_dev) {
			first->dev = group[i]->dev;
			first->has_dev = true;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (group[i]->file->has_dev && !group[i]->has_dev) {
			group[i]->dev = group[i]->file->dev;
			group[i]->has_dev = true;
		}
}

/*
 * Files on devices of one name, in namespaces that nobody told. One device
 * that it can be is the one; a single-queue device cannot be two files'.
 */
static void resolve_named(struct queues *w, struct found **group, size_t n)
{
	size_t files = 0;

	share_device(group, n);
	for (size_t i = 0; i < n; i++)
		files += group[i]->file == group[i] && !group[i]->has_dev;
	for (size_t i = 0; i < n; i++) {
		const struct tw_event *one = NULL;
		size_t candidates = 0;

		if (group[i]->has_dev)
			continue;
		for (size_t k = 0; k < w->s->devs.n; k++)
			if (could_be(w, &w->s->devs.fact[k], group[i])) {
				one = &w->s->devs.fact[k];
				candidates++;
			}
		if (candidates == 1 && (files == 1 || (one->dev.tun_flags & IFF_MULTI_QUEUE))) {
			take_device(group[i], one);
			continue;
		}
		w->s->report->ambiguous++;
		note_ambiguous(w, group[i], candidates);
	}
}

static void resolve_all_named(struct queues *w)
{
	size_t from = 0;

	for (size_t i = 1; i <= w->n; i++) {
		if (i < w->n && same_name(w->sorted[from], w->sorted[i]))
			continue;
		if (w->sorted[from]->q.state == QUEUE_BOUND)
			resolve_named(w, w->sorted + from, i - from);
		from = i;
	}
}

/* ---- facts ---- */

static int tell(struct queues *w, const struct found *f)
{
	struct tw_event fact = {
		.type = TW_SCAN_FD,
		.time_ns = f->q.time_ns,
		.has = TW_HAS_TASK | TW_HAS_FILE | TW_HAS_FD | TW_HAS_TABLE,
		.fd = f->q.fd,
		.table = f->q.table->id,
		.task = f->q.table->task,
	};
	int err;

	fact.file.gen = made_up_gen(&f->file->q);
	if (f->q.socket_netns) {
		fact.file.socket_netns = f->q.socket_netns;
		fact.has |= TW_HAS_SOCKET_NETNS;
	}
	/* of this fd, or else of another of the same file */
	if ((f->q.has_flags ? f : f->file)->q.tun_flags & IFF_DETACH_QUEUE)
		fact.flags |= TW_F_DETACHED;
	if (f->q.state == QUEUE_UNBOUND) {
		fact.flags |= TW_F_UNBOUND;
	} else if (f->has_dev) {
		/* the rest of the device was told by the dump */
		fact.dev = f->dev;
		fact.has |= TW_HAS_DEV;
	} else {
		fact.flags |= TW_F_NAME_ONLY;
		memcpy(fact.dev.ifname, f->q.ifname, TW_NAME_LEN);
	}
	w->s->report->fds++;
	err = bindings_apply(w->s->b, &fact);
	return err == -EINVAL ? 0 : err;
}

static int tell_all(struct queues *w)
{
	int err = 0;

	for (size_t i = 0; !err && i < w->n; i++)
		if (w->all[i].q.state >= QUEUE_UNBOUND)
			err = tell(w, &w->all[i]);
	return err;
}

/* ---- the run ---- */

static int dump_devices(struct queues *w)
{
	int err = seed_dump_all(w->s);

	/* namespaces that are alive only by somebody's open fd */
	for (size_t i = 0; !err && i < w->scan.n_nsfds; i++) {
		const struct proc_nsfd *nsfd = &w->scan.nsfds[i];
		char path[64];
		struct netns_ref ref = { .inode = nsfd->inode, .source = NETNS_FDS, .pid = nsfd->tid, .path = path };

		snprintf(path, sizeof(path), "/proc/%d/task/%d/fd/%d", nsfd->pid, nsfd->tid, nsfd->fd);
		err = seed_dump_netns(w->s, &ref);
	}
	return err;
}

static int look_at_all(struct queues *w, seed_look_fn look)
{
	struct seed_queue *queues = calloc(w->scan.n_fds + 1, sizeof(*queues));
	int err = 0;

	if (!queues)
		return -ENOMEM;
	for (size_t i = 0; !err && i < w->scan.n_tables; i++) {
		const struct proc_table *table = &w->scan.tables[i];

		for (size_t k = 0; k < table->n; k++)
			queues[k] = (struct seed_queue){ .table = table, .fd = w->scan.fds[table->first + k].fd };
		err = look(w->s, queues, table->n);
		for (size_t k = 0; k < table->n; k++)
			w->all[w->n++].q = queues[k];
	}
	free(queues);
	return err;
}

static void report_refused(struct queues *w)
{
	w->s->report->processes = w->scan.processes;
	w->s->report->refused = w->scan.n_refused;
	for (size_t i = 0; i < w->scan.n_refused; i++)
		seed_note(w->s, "pid %d: cannot look into it: %s", w->scan.refused[i], strerror(EACCES));
	if (w->scan.no_kcmp)
		seed_note(w->s, "the kernel does not compare files (kcmp): a file in several fds may be told as several");
}

/* Only who sees all fds of all processes may conclude that others are gone. */
static unsigned int scope(const struct queues *w)
{
	bool all = !w->s->report->only && !w->scan.n_refused && !proc_hidepid("/proc") && !proc_foreign_pidns();

	return SCAN_DEVICES | (all ? SCAN_FDS : 0);
}

int seed_scan_queues(struct seed *s, seed_look_fn look)
{
	struct queues w = { .s = s };
	uint64_t begin_ns = rtnl_boottime();
	int err;

	s->want_devs = true;
	err = proc_scan(&w.scan, "/proc", getpid(), s->report->only, s->report->n_only);
	if (err)
		goto out;
	bindings_scan_begin(s->b, s->mode, scope(&w), begin_ns);
	report_refused(&w);
	w.all = calloc(w.scan.n_fds + 1, sizeof(*w.all));
	w.sorted = calloc(w.scan.n_fds + 1, sizeof(*w.sorted));
	err = w.all && w.sorted ? dump_devices(&w) : -ENOMEM;
	if (!err)
		err = look_at_all(&w, look);
	if (!err)
		err = resolve_known(&w, look);
	if (!err)
		err = join_files(&w);
	if (!err) {
		resolve_all_named(&w);
		err = tell_all(&w);
	}
out:
	free(w.all);
	free(w.sorted);
	proc_scan_free(&w.scan);
	return err;
}

void seed_proc_blind_here(char *text, size_t size)
{
	if (proc_foreign_pidns())
		seed_append(text, size, "%sonly processes of this pid namespace are seen", *text ? "; " : "");
	if (proc_hidepid("/proc"))
		seed_append(text, size, "%sother users' processes are hidden (hidepid, or no CAP_SYS_PTRACE)",
			    *text ? "; " : "");
}

int seed_yama_scope(void)
{
	char text[16];

	if (proc_read(-1, "/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) <= 0)
		return 0;
	return atoi(text);
}
