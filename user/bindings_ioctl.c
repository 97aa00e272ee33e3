// SPDX-License-Identifier: GPL-2.0-only
/* bindings_ioctl.c - ends of tun ioctls: who asked, what failed, what is bound now. */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "bindings_private.h"

#define HELD_BY_MAX 32

/* The present holders of the device that was asked for, lowest pid and fd first. */
static size_t held_by(struct bindings *b, const struct file_node *asker, const char *requested)
{
	const struct file_node *f;
	struct dev_node *d;
	struct hold_node *h;
	size_t n = 0;

	if (!(asker->file.has & TW_HAS_SOCKET_NETNS) || !*requested)
		return 0;
	d = dev_named(b, asker->file.f.socket_netns, asker->file.f.socket_netns_cookie, requested);
	if (!d)
		return 0;
	TAILQ_FOREACH(f, &d->files, of_dev)
		TAILQ_FOREACH(h, &f->holds, of_file)
			b->hold_sort[n++] = h;
	if (n)
		qsort(b->hold_sort, n, sizeof(*b->hold_sort), hold_by_pid);
	return n < HELD_BY_MAX ? n : HELD_BY_MAX;
}

static int attach_failed(const struct cx *cx, struct file_node *f)
{
	const struct tw_event *fact = cx->fact;
	struct change c = change_of(cx, EV_ATTACH_FAILED, NULL, f);
	const struct hold *holders[HELD_BY_MAX];
	size_t i;

	c.has |= CH_ERRNO;
	c.error = -fact->ioctl.ret;
	if (fact->has & TW_HAS_REQUESTED) {
		c.has |= CH_REQUESTED;
		memcpy(c.requested, fact->ioctl.requested, TW_NAME_LEN);
		c.held_by_len = held_by(cx->b, f, c.requested);
		for (i = 0; i < c.held_by_len; i++)
			holders[i] = &((struct hold_node *)cx->b->hold_sort[i])->hold;
		c.held_by = holders;
	}
	change_fd(cx, &c, f);
	tell(cx, &c);
	return 0;
}

static uint32_t tun_members(const struct tw_event *fact)
{
	return fact->has & (TW_HAS_TUN | TW_HAS_QUEUES);
}

static bool asks_new_device(const struct tw_event *fact)
{
	return fact->ioctl.cmd == TUNSETIFF && fact->ioctl.ret != -EEXIST;
}

static void settle_binding(const struct cx *cx, struct dev_node *d, struct file_node *f)
{
	file_announce(cx, f);
	f->bind_ns = cx->time_ns;
	if (dev_of(f) != d)
		dev_attach(cx, d, f, dev_made_now(cx, d));
	dev_set_disabled(cx, f, cx->fact->flags & TW_F_DETACHED);
}

/*
 * From hooks: rtnl is dropped when an ioctl ends, and another may have renamed
 * or moved the device meanwhile. Only that this file is on that device holds;
 * the rest only where no fact made under rtnl ever tells it.
 */
static int apply_identity(const struct cx *cx, struct file_node *f)
{
	const struct tw_event *fact = cx->fact;
	struct dev_node *d = dev_by_gen(cx->b, fact->dev.gen);

	if (!d || (f->file.dev && dev_of(f) != d))
		return 0;
	if (!(d->rtnl_has & TW_HAS_TUN) && !stale(cx->time_ns, d->dev.seen_ns))
		dev_diff(cx, d, &fact->dev, fact->has & TW_HAS_TUN);
	if (stale(cx->time_ns, f->sure_ns))
		return 0;
	if (!(d->rtnl_has & TW_HAS_QUEUES))
		settle_binding(cx, d, f);
	else if (!f->file.dev)
		dev_attach(cx, d, f, dev_made_now(cx, d));
	return 0;
}

/* Is what stands at the place of a snapshot perhaps the file's own device, moved there? */
static bool may_be_moved(const struct cx *cx, const struct file_node *f, const struct dev_node *at)
{
	const struct dev_node *own = dev_of(f);

	if (!own || own == at || own->dev.gen || own->dev.d.serial || asks_new_device(cx->fact))
		return false;
	if (stale(cx->time_ns, own->dev.seen_ns) || stale(cx->time_ns, f->file.seen_ns))
		return false;
	return !at || (!at->dev.gen && !at->dev.announced && TAILQ_EMPTY(&at->files));
}

/*
 * The device of a snapshot. A bound file cannot change its device without
 * asking: one that is elsewhere was moved, and that is not told yet.
 */
static struct dev_node *snapshot_dev(const struct cx *cx, struct file_node *f, int *err)
{
	const struct tw_event *fact = cx->fact;
	struct place p = place_of(&fact->dev);
	struct dev_node *d = dev_by_gen(cx->b, fact->dev.gen);
	bool is_new = false;

	*err = 0;
	if (!d)
		d = dev_witnessed(cx, &p, &is_new);
	if (!d && !is_new)
		d = dev_at(cx->b, &p, NULL);
	/* another one, and this is older than what is known of the place */
	if (d && d->dev.d.serial && fact->dev.serial && d->dev.d.serial != fact->dev.serial)
		return NULL;
	if (!is_new && may_be_moved(cx, f, d)) {
		d = dev_of(f);
		dev_moved_ahead(cx, d, &p);
	}
	if (d) {
		if (fact->dev.gen && !d->dev.gen)
			dev_adopt(cx->b, d, fact->dev.gen);
		dev_learn_serial(cx->b, d, fact->dev.serial);
		return d;
	}
	if (gone_has(cx->b, GONE_DEV, fact->dev.gen, 0, 0, cx->time_ns) ||
	    (!is_new && gone_has(cx->b, GONE_PLACE, p.netns, p.ifindex, 0, cx->time_ns)))
		return NULL;
	d = dev_new(cx->b, fact);
	if (d)
		d->fresh = true;
	else
		*err = -ENOMEM;
	return d;
}

/* From the tracepoint backend: file and device as they are after the ioctl. */
static int apply_snapshot(const struct cx *cx, struct file_node *f)
{
	const struct tw_event *fact = cx->fact;
	struct dev_node *d;
	int err;

	if (fact->dev.queues > TW_MAX_QUEUES)
		return -EINVAL;
	d = snapshot_dev(cx, f, &err);
	if (!d)
		return err;
	/* first, so that an attach told below counts itself */
	if ((fact->has & TW_HAS_QUEUES) && !stale(cx->time_ns, d->dev.seen_ns))
		d->dev.d.queues = fact->dev.queues;
	/* so do the flags that TUNSETIFF sets; persistence has an event of its own */
	if ((fact->has & TW_HAS_TUN) && (d->dev.has & TW_HAS_TUN) && !stale(cx->time_ns, d->dev.seen_ns))
		d->dev.d.tun_flags = (d->dev.d.tun_flags & IFF_PERSIST) | (fact->dev.tun_flags & ~(__u32)IFF_PERSIST);
	if (!stale(cx->time_ns, f->sure_ns)) {
		if (dev_of(f) != d && dev_made_now(cx, d) && !d->dev.since_ns)
			d->dev.since_ns = cx->time_ns;
		settle_binding(cx, d, f);
	}
	if (cx->time_ns > d->live_ns)
		d->live_ns = cx->time_ns;
	if ((fact->has & TW_HAS_TUN) && !(fact->flags & TW_F_RTNL))
		d->ioctl_tun = true;
	if (!stale(cx->time_ns, d->dev.seen_ns))
		dev_diff(cx, d, &fact->dev, fact->flags & TW_F_RTNL ? fact->has : tun_members(fact));
	dev_end_with_netns(cx, d);
	return 0;
}

int apply_ioctl(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct file_node *f;
	int err;

	f = file_live(cx, fact->file.gen, &err);
	if (!f)
		return err;
	file_announce(cx, f);
	if (fact->flags & TW_F_UNBOUND) {
		/*
		 * Where hooks see the device, its deletion was told in order; a
		 * word from after rtnl could take away what came since.
		 */
		if (f->file.dev && !f->file.dev->gen && !stale(cx->time_ns, f->sure_ns)) {
			f->bind_ns = cx->time_ns;
			dev_set_left(cx->b, dev_of(f), true);
			file_unbind(f, FILE_ORPHANED);
		}
		if (fact->ioctl.cmd == TUNSETIFF && fact->ioctl.ret < 0)
			return attach_failed(cx, f);
		return 0;
	}
	if (!(fact->has & TW_HAS_DEV))
		return 0;
	if (fact->dev.gen && !(fact->flags & TW_F_RTNL))
		return apply_identity(cx, f);
	return apply_snapshot(cx, f);
}
