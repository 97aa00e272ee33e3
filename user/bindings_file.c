// SPDX-License-Identifier: GPL-2.0-only
/* bindings_file.c - live facts about files and vhost-net. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bindings_private.h"

/* --- files ------------------------------------------------------------------- */

/*
 * `open` for a file that is talked of before any fd of it was seen (io_uring's
 * direct descriptors have none). Whoever opened it did that, else whoever
 * works on it now.
 */
void file_announce(const struct cx *cx, struct file_node *f)
{
	const struct tw_event *fact = cx->fact;
	struct change c;
	bool own;

	if (f->file.announced || cx->quiet)
		return;
	f->file.announced = true;
	c = change_of(cx, EV_OPEN, NULL, f);
	own = fact && (((fact->has & TW_HAS_FILE) && fact->file.gen == f->file.gen) ||
		       ((fact->flags & TW_F_IN_IOCTL) && fact->ctx_file == f->file.gen));
	if (f->opener.pid)
		change_task(&c, &f->opener);
	else if (!own)
		change_task(&c, NULL);
	tell(cx, &c);
}

/*
 * A struct file has one life at a time: an older one at this address is dead.
 * Where closes are told late (tp.c), whoever hears them buries it.
 */
static void evict_addr(const struct cx *cx, const struct file_node *f)
{
	struct cx u = unseen(cx);
	struct link *l, *next;

	if (!f->file.f.addr || (cx->b->late_closes && (cx->fact->flags & TW_F_NEW_FILE)))
		return;
	for (l = table_first(&cx->b->file_addr, hash_words(f->file.f.addr, 0, 0)); l; l = next) {
		struct file_node *old = container(l, struct file_node, by_addr);

		next = table_next(l);
		/* seen by a scan since: then it is the younger life, and f the dead one */
		if (old == f || old->file.f.addr != f->file.f.addr || stale(cx->time_ns, old->file.seen_ns))
			continue;
		file_release(&u, old, UINT64_MAX);
		/* one is all there can be, and `next` may not outlive the release */
		return;
	}
}

struct file_node *file_live(struct cx *cx, uint64_t gen, int *err)
{
	struct bindings *b = cx->b;
	struct file_node *f = file_by_gen(b, gen);

	*err = 0;
	if (!f) {
		if ((cx->fact->flags & TW_F_SELF) || gone_has(b, GONE_FILE, gen, 0, 0, cx->time_ns))
			return NULL;
		f = file_new(b, gen, cx->fact);
		if (!f) {
			*err = -ENOMEM;
			return NULL;
		}
		file_learn(b, f, cx->fact);
		evict_addr(cx, f);
	} else {
		file_learn(b, f, cx->fact);
	}
	if (cx->time_ns > f->live_ns)
		f->live_ns = cx->time_ns;
	return f;
}

int apply_file_open(struct cx *cx)
{
	struct file_node *f;
	int err;

	if (cx->fact->flags & TW_F_SELF)
		return 0;
	f = file_live(cx, cx->fact->file.gen, &err);
	if (!f)
		return err;
	if (!f->file.opened_ns)
		f->file.opened_ns = cx->time_ns;
	if (cx->actor && !f->opener.pid)
		f->opener = *cx->actor;
	return 0;
}

static void vhost_give_back(const struct cx *cx, struct vhost_node *v)
{
	struct file_node *f = v->file;
	struct change c;

	table_del(&cx->b->vhost_owner, &v->by_owner);
	TAILQ_REMOVE(&f->vhosts, v, of_file);
	free(v);
	if (--f->file.vhost_queues)
		return;
	c = change_of(cx, EV_VHOST, dev_of(f), f);
	c.has |= CH_VALUE;
	c.value = false;
	tell(cx, &c);
}

/*
 * The number of enabled queues as it is after the end of f, which is on d.
 * What was read of the device last may be younger than that end, and without
 * f already: there are at least as many queues as other files are known to be
 * enabled there. Where a hook sees the device, the exact number follows.
 */
static void queue_went(struct dev_node *d, struct file_node *f)
{
	bool enabled = f->file.state == FILE_BOUND;

	queue_leaves(f);
	if (enabled && d->dev.d.queues > d->dev.enabled)
		d->dev.d.queues--;
}

/* What held the file until now, as far as we were told, let go of it unseen. */
void file_release(const struct cx *cx, struct file_node *f, uint64_t until)
{
	struct bindings *b = cx->b;
	struct change c;

	file_announce(cx, f);
	file_drop_slots(cx, f);
	while (!TAILQ_EMPTY(&f->vhosts))
		vhost_give_back(cx, TAILQ_FIRST(&f->vhosts));

	if (dev_of(f))
		queue_went(dev_of(f), f);
	c = change_of(cx, EV_RELEASE, dev_of(f), f);
	tell(cx, &c);
	gone_add(b, GONE_FILE, f->file.gen, 0, 0, until);
	file_free(b, f);
}

int apply_file_release(struct cx *cx)
{
	struct file_node *f = file_by_gen(cx->b, cx->fact->file.gen);

	if (f) {
		file_learn(cx->b, f, cx->fact);
		file_release(cx, f, UINT64_MAX);
	} else {
		gone_add(cx->b, GONE_FILE, cx->fact->file.gen, 0, 0, UINT64_MAX);
	}
	return 0;
}

/* --- vhost-net -------------------------------------------------------------------- */

/* The virtqueue of that owner and index; with index NULL its lowest one. */
static struct vhost_node *vhost_find(const struct bindings *b, uint64_t owner, const uint32_t *index)
{
	struct vhost_node *v, *best = NULL;
	struct link *l;

	table_each(&b->vhost_owner, hash_words(owner, 0, 0), l) {
		v = container(l, struct vhost_node, by_owner);
		if (v->owner != owner || (index && v->index != *index))
			continue;
		if (!best || v->index < best->index)
			best = v;
	}
	return best;
}

static int vhost_take(struct cx *cx, struct file_node *f)
{
	const struct tw_event *fact = cx->fact;
	struct vhost_node *v = vhost_find(cx->b, fact->vhost.owner, &fact->vhost.index);
	struct vhost_node *made;
	struct change c;

	if (v && v->file == f)
		return 0;
	made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	if (v)
		vhost_give_back(cx, v);
	made->owner = fact->vhost.owner;
	made->index = fact->vhost.index;
	made->file = f;
	table_add(&cx->b->vhost_owner, &made->by_owner, hash_words(made->owner, 0, 0));
	TAILQ_INSERT_TAIL(&f->vhosts, made, of_file);
	if (f->file.vhost_queues++)
		return 0;
	c = change_of(cx, EV_VHOST, dev_of(f), f);
	c.has |= CH_VALUE;
	c.value = true;
	tell(cx, &c);
	return 0;
}

int apply_vhost(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct vhost_node *v;
	struct file_node *f;
	int err;

	if (!fact->vhost.owner)
		return -EINVAL;
	if (fact->flags & TW_F_VHOST_GONE) {
		while ((v = vhost_find(cx->b, fact->vhost.owner, NULL)))
			vhost_give_back(cx, v);
		return 0;
	}
	if (fact->flags & TW_F_UNBOUND) {
		v = vhost_find(cx->b, fact->vhost.owner, &fact->vhost.index);
		if (v)
			vhost_give_back(cx, v);
		return 0;
	}
	if (!(fact->has & TW_HAS_FILE))
		return -EINVAL;
	f = file_live(cx, fact->file.gen, &err);
	if (!f)
		return err;
	file_announce(cx, f);
	return vhost_take(cx, f);
}
