// SPDX-License-Identifier: GPL-2.0-only
/*
 * bindings_scan.c - scans: what exists. The first one tells it as `exist`; one
 * after loss tells what must have happened unseen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "bindings_private.h"

/* --- the facts -------------------------------------------------------------------- */

/*
 * A new device is registered, and told of, some time before its file refers to
 * it (tun_set_iff()); and one that is on its way out is not told by a scan. A
 * file that has no device, and none that it lost, may be in between: what was
 * told of it before the scan stands, and so does what is told after it.
 */
static bool in_between(const struct tw_event *fact)
{
	return (fact->flags & TW_F_UNBOUND) && !(fact->flags & TW_F_ORPHANED);
}

static void met_file(struct cx *cx, struct file_node *f)
{
	f->file.mark = cx->b->scan.epoch;
	if (cx->time_ns > f->file.seen_ns)
		f->file.seen_ns = cx->time_ns;
	if (cx->time_ns > f->sure_ns && !in_between(cx->fact))
		f->sure_ns = cx->time_ns;
	if ((cx->b->scan.scope & SCAN_FDS) && cx->b->scan.begin_ns > f->fds_ns)
		f->fds_ns = cx->b->scan.begin_ns;
}

/* NULL with *err 0: dead since it was read, or opened by ourselves. */
static struct file_node *scan_file(struct cx *cx, int *err)
{
	uint64_t gen = cx->fact->file.gen;
	struct file_node *f = file_by_gen(cx->b, gen);

	*err = 0;
	if (!f) {
		if ((cx->fact->flags & TW_F_SELF) || gone_has(cx->b, GONE_FILE, gen, 0, 0, cx->time_ns) ||
		    !review_met(cx, SIGHT_FILE, gen, 0, 0))
			return NULL;
		f = file_new(cx->b, gen, cx->fact);
		if (!f) {
			*err = -ENOMEM;
			return NULL;
		}
	}
	file_learn(cx->b, f, cx->fact);
	return f;
}

/* f: the file it is read from, or NULL. NULL: it is dead since it was read; or *err is set. */
static struct dev_node *scan_find_dev(struct cx *cx, const struct file_node *f, int *err)
{
	const struct tw_event *fact = cx->fact;
	struct place p = place_of(&fact->dev);
	uint64_t gen = fact->dev.gen;
	struct dev_node *d = dev_by_gen(cx->b, gen);
	bool is_new = false;

	*err = 0;
	if (!d)
		d = dev_witnessed(cx, &p, &is_new);
	if (d)
		return d;
	/* its file tells where the device went that was moved to where nobody knew */
	if (f && dev_of(f) && !dev_of(f)->dev.d.netns && cx->time_ns > dev_of(f)->live_ns &&
	    (!fact->dev.serial || !dev_of(f)->dev.d.serial)) {
		d = dev_of(f);
		dev_moved_ahead(cx, d, &p);
		if (gen && !d->dev.gen)
			dev_adopt(cx->b, d, gen);
		return d;
	}
	if (gen && gone_has(cx->b, GONE_DEV, gen, 0, 0, cx->time_ns))
		return NULL;
	d = is_new ? NULL : dev_at(cx->b, &p, NULL);
	if (d && d->dev.d.serial && fact->dev.serial && d->dev.d.serial != fact->dev.serial)
		return NULL;
	if (!d && !is_new && gone_has(cx->b, GONE_PLACE, p.netns, p.ifindex, 0, cx->time_ns))
		return NULL;
	if (d && gen && d->dev.gen) {
		if (cx->time_ns <= d->live_ns || cx->time_ns < d->dev.seen_ns)
			return NULL;
		dev_evict(cx, &p, NULL);
		d = NULL;
	}
	if (d) {
		if (gen)
			dev_adopt(cx->b, d, gen);
		dev_learn_serial(cx->b, d, fact->dev.serial);
		return d;
	}
	d = dev_new(cx->b, fact);
	if (!d)
		*err = -ENOMEM;
	else /* nothing was lost: it came up since, and the call that makes it has not returned */
		d->fresh = cx->b->scan.mode == SCAN_REVIEW;
	return d;
}

static struct dev_node *scan_dev(struct cx *cx, const struct file_node *f, int *err)
{
	struct dev_node *d = scan_find_dev(cx, f, err);

	if (!d)
		return NULL;
	d->dev.mark = cx->b->scan.epoch;
	if (cx->time_ns >= d->dev.seen_ns && cx->time_ns > d->live_ns)
		dev_diff(cx, d, &cx->fact->dev, cx->fact->has);
	if (cx->time_ns > d->dev.seen_ns)
		d->dev.seen_ns = cx->time_ns;
	return d;
}

static bool binding_differs(const struct cx *cx, const struct file_node *f, const struct dev_node *d)
{
	if (d)
		return dev_of(f) != d || (f->file.state == FILE_DISABLED) != !!(cx->fact->flags & TW_F_DETACHED);
	return (cx->fact->flags & TW_F_ORPHANED) && f->file.dev;
}

static void scan_binding(struct cx *cx, struct file_node *f, struct dev_node *d)
{
	if (cx->time_ns < f->file.seen_ns || cx->time_ns <= f->bind_ns)
		return;
	if (binding_differs(cx, f, d) &&
	    !review_met(cx, SIGHT_BINDING, f->file.gen, d ? d->dev.id : 0, cx->fact->flags & TW_F_DETACHED))
		return;
	if (d) {
		if (dev_of(f) && dev_of(f) != d)
			dev_set_left(cx->b, dev_of(f), true);
		if (dev_of(f) != d)
			dev_attach(cx, d, f, false);
		dev_set_disabled(cx, f, cx->fact->flags & TW_F_DETACHED);
	} else if ((cx->fact->flags & TW_F_ORPHANED) && f->file.dev) {
		/* a queue leaves a device only when it is closed or the device dies */
		dev_set_left(cx->b, dev_of(f), true);
		file_unbind(f, FILE_ORPHANED);
	} else if ((cx->fact->flags & TW_F_ORPHANED) && f->file.state == FILE_UNBOUND) {
		file_unbind(f, FILE_ORPHANED);
	} else if ((cx->fact->flags & TW_F_NAME_ONLY) && !f->file.dev) {
		file_unbind(f, cx->fact->flags & TW_F_DETACHED ? FILE_DISABLED : FILE_BOUND);
		memcpy(f->file.name_only, cx->fact->dev.ifname, TW_NAME_LEN);
	} else if ((cx->fact->flags & TW_F_UNBOUND) && f->file.name_only[0]) {
		file_unbind(f, FILE_ORPHANED);
	}
}

static int scan_file_fact(struct cx *cx)
{
	struct dev_node *d = NULL;
	struct file_node *f;
	int err;

	f = scan_file(cx, &err);
	if (!f)
		return err;
	cx->believed = !f->file.announced;
	if (cx->fact->type == TW_SCAN_FD)
		err = scan_slot(cx, f);
	else
		file_announce(cx, f);
	if (!err && (cx->fact->has & TW_HAS_DEV))
		d = scan_dev(cx, f, &err);
	if (!err)
		scan_binding(cx, f, d);
	met_file(cx, f);
	return err;
}

int apply_scan(struct cx *cx)
{
	struct bindings *b = cx->b;
	int err = 0;

	if (!b->scan.on || cx->fact->dev.queues > TW_MAX_QUEUES)
		return -EINVAL;
	/* a scan finds who holds; it never sees who did */
	cx->actor = NULL;
	cx->seed = true;
	cx->scan = true;
	cx->quiet = b->scan.mode == SCAN_SEED;
	if (cx->time_ns > b->scan.last_ns)
		b->scan.last_ns = cx->time_ns;
	if (cx->fact->type == TW_SCAN_DEV)
		scan_dev(cx, NULL, &err);
	else
		err = scan_file_fact(cx);
	return err;
}

/* --- begin and end -------------------------------------------------------------------- */

void bindings_scan_begin(struct bindings *b, enum scan_mode mode, unsigned int scope, uint64_t begin_ns)
{
	struct fdtab *tab;

	b->scan.on = true;
	b->scan.mode = mode;
	b->scan.scope = scope;
	b->scan.epoch++;
	b->scan.begin_ns = begin_ns;
	b->scan.last_ns = begin_ns;
	b->scan.netns_len = 0;
	b->scan.told = 0;
	b->scan.pending = 0;
	b->scan.pid = 0;
	/* that an exec has ended may be among what was lost */
	if (mode == SCAN_RESYNC && (scope & SCAN_FDS))
		TAILQ_FOREACH(tab, &b->tabs, all)
			tab->in_exec = false;
}

void bindings_scan_process(struct bindings *b, uint32_t pid)
{
	b->scan.pid = pid;
}

void bindings_scan_abort(struct bindings *b)
{
	b->scan.scope = 0;
	b->scan.netns_len = 0;
}

int bindings_scan_netns(struct bindings *b, uint32_t netns)
{
	if (ARRAY_ROOM(b->scan.netns, b->scan.netns_room, b->scan.netns_len + 1))
		return -ENOMEM;
	b->scan.netns[b->scan.netns_len++] = netns;
	return 0;
}

/* One `exist`: a holder's fd, or a file without fd, or a device without holder. */
struct exist {
	struct dev_node *d;
	struct file_node *f;
	struct hold_node *h;
};

/* By netns, ifindex, pid, fd; what is bound to no device comes last. */
static int exist_order(const void *a, const void *b)
{
	const struct exist *x = a, *y = b;
	int ret = compare(!x->d, !y->d);

	if (!ret && x->d)
		ret = compare(x->d->dev.d.netns, y->d->dev.d.netns);
	if (!ret && x->d)
		ret = compare(x->d->dev.d.ifindex, y->d->dev.d.ifindex);
	if (!ret)
		ret = compare(x->h ? x->h->hold.task.pid : 0, y->h ? y->h->hold.task.pid : 0);
	if (!ret)
		ret = compare(x->h ? x->h->hold.fd : 0, y->h ? y->h->hold.fd : 0);
	return ret ? ret : compare(x->f ? x->f->file.id : 0, y->f ? y->f->file.id : 0);
}

static void exist_tell(const struct cx *end, const struct exist *e)
{
	struct cx cx = *end;
	struct change c;

	cx.time_ns = e->h ? e->h->seen_ns : e->f ? e->f->file.seen_ns : e->d->dev.seen_ns;
	c = change_of(&cx, EV_EXIST, e->d, e->f);
	if (e->h) {
		change_task(&c, &e->h->hold.task);
		c.has |= CH_FD;
		c.fd = e->h->hold.fd;
		e->h->announced = true;
	}
	if (e->f) {
		e->f->file.announced = true;
		chain_add(e->f, &c);
	}
	tell(&cx, &c);
}

static size_t exist_collect(struct bindings *b, struct exist *list)
{
	uint64_t epoch = b->scan.epoch;
	struct hold_node *h;
	struct file_node *f;
	struct dev_node *d;
	size_t n = 0;

	TAILQ_FOREACH(h, &b->holds, all) {
		if (h->announced || h->mark != epoch)
			continue;
		f = container(h->hold.file, struct file_node, file);
		list[n++] = (struct exist){ dev_of(f), f, h };
	}
	TAILQ_FOREACH(f, &b->files, all)
		if (!f->file.announced && f->file.mark == epoch && TAILQ_EMPTY(&f->holds))
			list[n++] = (struct exist){ dev_of(f), f, NULL };
	TAILQ_FOREACH(d, &b->devs, all)
		if (!d->dev.announced && d->dev.mark == epoch && TAILQ_EMPTY(&d->files))
			list[n++] = (struct exist){ d, NULL, NULL };
	return n;
}

static int tell_existing(struct cx *cx)
{
	struct bindings *b = cx->b;
	struct exist *list = calloc(b->hold_count + b->file_count + b->dev_count + 1, sizeof(*list));
	size_t i, n;

	if (!list)
		return -ENOMEM;
	n = exist_collect(b, list);
	qsort(list, n, sizeof(*list), exist_order);
	for (i = 0; i < n; i++)
		exist_tell(cx, &list[i]);
	free(list);
	return 0;
}

/* --- what a scan after loss did not meet ---------------------------------------------------- */

static bool file_unmet(struct bindings *b, struct file_node *f)
{
	uint64_t sight = f->live_ns > f->file.seen_ns ? f->live_ns : f->file.seen_ns;

	if (f->file.mark == b->scan.epoch || f->live_ns >= b->scan.begin_ns)
		return false;
	if (!(b->scan.scope & SCAN_FILES) &&
	    (!(b->scan.scope & SCAN_FDS) || !TAILQ_EMPTY(&f->holds) || f->file.vhost_queues))
		return false;
	return review_missed(b, &f->unmet_ns, sight);
}

static int file_order(const void *a, const void *b)
{
	return compare((*(struct file_node *const *)a)->file.id, (*(struct file_node *const *)b)->file.id);
}

static void release_unmet_files(const struct cx *cx)
{
	struct bindings *b = cx->b;
	struct file_node *f;
	size_t i, n = 0;

	TAILQ_FOREACH(f, &b->files, all)
		if (file_unmet(b, f))
			b->object_sort[n++] = f;
	if (n)
		qsort(b->object_sort, n, sizeof(*b->object_sort), file_order);
	/* an fd on its way through a socket is met by no scan: a younger fact may raise the file again */
	for (i = 0; i < n; i++)
		file_release(cx, b->object_sort[i], b->scan.begin_ns);
}

static int netns_order(const void *a, const void *b)
{
	return compare(*(const uint32_t *)a, *(const uint32_t *)b);
}

static bool dev_concluded_gone(const struct bindings *b, const struct dev_node *d)
{
	if (d->dev.mark == b->scan.epoch || d->live_ns >= b->scan.begin_ns)
		return false;
	if (d->left)
		return true;
	/* moved to where nobody knew: alive as long as a file is on it */
	if (!d->dev.d.netns)
		return (b->scan.scope & SCAN_DEVICES) && TAILQ_EMPTY(&d->files);
	return (b->scan.scope & SCAN_DEVICES) && b->scan.netns_len &&
	       bsearch(&d->dev.d.netns, b->scan.netns, b->scan.netns_len, sizeof(uint32_t), netns_order);
}

static bool dev_unmet(struct bindings *b, struct dev_node *d)
{
	uint64_t sight = d->live_ns > d->dev.seen_ns ? d->live_ns : d->dev.seen_ns;

	return dev_concluded_gone(b, d) && review_missed(b, &d->unmet_ns, sight);
}

static int dev_order(const void *a, const void *b)
{
	const struct tw_dev *x = &(*(struct dev_node *const *)a)->dev.d;
	const struct tw_dev *y = &(*(struct dev_node *const *)b)->dev.d;
	int ret = compare(x->netns, y->netns);

	return ret ? ret : compare(x->ifindex, y->ifindex);
}

static void delete_unmet_devices(const struct cx *cx)
{
	struct bindings *b = cx->b;
	struct dev_node *d;
	size_t i, n = 0;

	if (b->scan.netns_len)
		qsort(b->scan.netns, b->scan.netns_len, sizeof(uint32_t), netns_order);
	TAILQ_FOREACH(d, &b->devs, all)
		if (dev_unmet(b, d))
			b->object_sort[n++] = d;
	if (n)
		qsort(b->object_sort, n, sizeof(*b->object_sort), dev_order);
	for (i = 0; i < n; i++)
		dev_delete(cx, b->object_sort[i], HOW_UNKNOWN, b->scan.begin_ns);
	/* who was met is not gone */
	TAILQ_FOREACH(d, &b->devs, all)
		if (d->dev.mark == b->scan.epoch)
			dev_set_left(b, d, false);
}

/*
 * A device that came up unseen and that no file is on: somebody attached to
 * it, made it persistent and went. All that is left to tell is that it came.
 */
static void tell_new_devices(const struct cx *cx)
{
	struct bindings *b = cx->b;
	struct dev_node *d;
	struct change c;

	TAILQ_FOREACH(d, &b->devs, all) {
		if (d->dev.announced || d->dev.mark != b->scan.epoch || d->live_ns >= b->scan.begin_ns ||
		    !review_met(cx, SIGHT_DEV, d->dev.id, 0, 0))
			continue;
		c = change_of(cx, EV_ATTACH, d, NULL);
		tell(cx, &c);
	}
}

unsigned int bindings_scan_pending(const struct bindings *b)
{
	return b->scan.pending;
}

bool bindings_doubtful(const struct bindings *b)
{
	return b->left_count;
}

int bindings_scan_end(struct bindings *b)
{
	struct cx cx = { .b = b, .time_ns = b->scan.last_ns, .seed = true, .scan = true };
	struct cx late = { .b = b, .time_ns = b->scan.last_ns };
	struct dev_node *d;
	int err = 0;

	if (!b->scan.on)
		return 0;
	b->scan.on = false;
	TAILQ_FOREACH(d, &b->devs, all)
		dev_tell_move(&late, d);
	if (b->scan.mode == SCAN_SEED) {
		err = tell_existing(&cx);
	} else {
		tell_new_devices(&cx);
		if (b->scan.scope & (SCAN_FDS | SCAN_TABLES | SCAN_PROCESS))
			scan_settle_fds(&cx);
		release_unmet_files(&cx);
		delete_unmet_devices(&cx);
	}
	gone_prune(b);
	return err ? err : b->scan.told;
}
