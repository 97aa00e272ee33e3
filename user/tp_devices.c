// SPDX-License-Identifier: GPL-2.0-only
/* tp_devices.c - tracepoint backend: what rtnetlink tells of devices, put between what the ring tells. */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>

#include "tp_private.h"

static const struct farewell *farewell_of(const struct tp *tp, uint64_t device_id, uint64_t now)
{
	for (const struct farewell *f = tp->farewells; f; f = f->next)
		if (f->device_id == device_id && now - f->time_ns < RELEASE_MEMORY_NS)
			return f;
	return NULL;
}

static int bound_to(void *ctx, const struct file *file)
{
	const struct query *q = ctx;

	return file->dev == q->dev;
}

/*
 * A device without persistence goes with its last file: rtnetlink tells so
 * before the close returns. Read later than that, the message may as well be
 * of a deletion just before the close: then the cause is not known. Whatever
 * else ends a device came by rtnetlink. (Destroyed namespaces are told by
 * TW_NETNS_EXIT.)
 */
static int decide_deletion(struct tp *tp, struct tw_event *fact)
{
	const struct device *dev = bindings_device(tp->b, fact->dev.netns, fact->dev.ifindex);
	const struct farewell *last;
	struct query q = { .dev = dev };

	if (!dev)
		return 0;
	last = farewell_of(tp, dev->id, rtnl_boottime());
	if (last && !(dev->d.tun_flags & IFF_PERSIST) && !bindings_each_file(tp->b, bound_to, &q)) {
		if (!last->closed_ns || fact->time_ns <= last->closed_ns) {
			fact->flags |= TW_F_IN_CLOSE;
			fact->ctx_file = last->file_gen;
		}
		/* the message came before we saw the file dead; effects do not precede their cause */
		if (fact->time_ns < last->time_ns)
			fact->time_ns = last->time_ns;
	} else {
		fact->flags |= TW_F_BY_REQUEST;
	}
	return bindings_apply(tp->b, fact) == -ENOMEM ? -ENOMEM : 0;
}

struct in_netns {
	struct tp *tp;
	uint32_t netns;
};

static int dying_in_netns(void *ctx, const struct device *dev)
{
	struct in_netns *in = ctx;

	return dev->d.netns == in->netns && tp_close_pending(in->tp, dev);
}

/* Must this deletion wait for the close that may be its cause? */
static bool must_wait(struct tp *tp, const struct tw_event *fact)
{
	struct in_netns in = { tp, fact->dev.netns };
	const struct device *dev;

	if (fact->type == TW_NETNS_EXIT)
		return bindings_each_device(tp->b, dying_in_netns, &in);
	dev = bindings_device(tp->b, fact->dev.netns, fact->dev.ifindex);
	return dev && tp_close_pending(tp, dev);
}

static bool same_netns_waits(const struct pending *head, const struct pending *end, uint32_t netns)
{
	for (; head != end; head = head->next)
		if (head->fact.dev.netns == netns)
			return true;
	return false;
}

/* `force`: the device of that file is bound to another now, so its deletion waits no longer. */
int tp_settle_deletions(struct tp *tp, uint64_t now, const struct device *force)
{
	struct pending **at = &tp->deletions;
	int err = 0;

	while (*at && !err) {
		struct pending *p = *at;
		bool forced = force && force->d.netns == p->fact.dev.netns && force->d.ifindex == p->fact.dev.ifindex;

		if (!forced && now - p->fact.time_ns < CLOSE_WAIT_NS &&
		    (must_wait(tp, &p->fact) ||
		     (p->fact.type == TW_NETNS_EXIT && same_netns_waits(tp->deletions, p, p->fact.dev.netns)))) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		if (p->fact.type == TW_NETNS_EXIT)
			err = bindings_apply(tp->b, &p->fact) == -ENOMEM ? -ENOMEM : 0;
		else
			err = decide_deletion(tp, &p->fact);
		free(p);
	}
	return err;
}

/* Remembers who let go of a device last. */
void tp_change(struct tp *tp, const struct change *change)
{
	struct farewell **at = &tp->farewells, *f;

	if (change->event == EV_DROP && change->file) {
		tp->last_drop.file_gen = change->file->gen;
		tp->last_drop.time_ns = change->time_ns;
	}
	if (change->event != EV_RELEASE || !change->dev || !change->file)
		return;
	while (*at) {
		f = *at;
		if (f->device_id != change->dev->id && change->time_ns - f->time_ns < RELEASE_MEMORY_NS) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		free(f);
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return; /* the cause of the deletion will be told as link-del's absence of a close: see decide_deletion() */
	f->device_id = change->dev->id;
	f->file_gen = change->file->gen;
	f->time_ns = change->time_ns;
	f->closed_ns = tp->last_drop.file_gen == f->file_gen ? tp->last_drop.time_ns : 0;
	f->next = tp->farewells;
	tp->farewells = f;
}

/* --- news, in the order of their time --- */

static bool same_place(const struct tw_event *a, const struct tw_event *b)
{
	return a->dev.netns == b->dev.netns && a->dev.ifindex == b->dev.ifindex;
}

/* The first news about this place, unlinked. */
static struct pending *take_news(struct tp *tp, const struct tw_event *place)
{
	struct pending **at = &tp->news, *p;

	while (*at && !same_place(&(*at)->fact, place))
		at = &(*at)->next;
	p = *at;
	if (p)
		*at = p->next;
	return p;
}

/*
 * Is this the end of a device whose last file was told to be gone? Then it
 * came before whatever the ring tells next, though it was read later.
 */
static bool is_known_end(const struct tp *tp, const struct tw_event *fact)
{
	const struct device *dev;
	struct query q = { 0 };

	if (!tp_is_end(fact) || fact->type == TW_NETNS_EXIT)
		return false;
	dev = bindings_device(tp->b, fact->dev.netns, fact->dev.ifindex);
	q.dev = dev;
	return dev && !(dev->d.tun_flags & IFF_PERSIST) && farewell_of(tp, dev->id, rtnl_boottime()) &&
	       !bindings_each_file(tp->b, bound_to, &q);
}

/* Applies known ends, and what was told about the same devices before. */
int tp_apply_known_ends(struct tp *tp)
{
	int err = 0;

	for (struct pending *p = tp->news, *next; p && !err; p = next) {
		struct tw_event end = p->fact;

		next = p->next;
		if (!is_known_end(tp, &end))
			continue;
		for (bool done = false; !done && !err;) {
			struct pending *n = take_news(tp, &end);

			done = n == p;
			err = done ? decide_deletion(tp, &n->fact) : bindings_apply(tp->b, &n->fact);
			if (err == -EINVAL)
				err = 0;
			free(n);
		}
		next = tp->news; /* others may have been taken out on the way */
	}
	return err;
}

/* Applies what rtnetlink told before `time_ns`; deletions begin to wait. */
int tp_apply_news(struct tp *tp, uint64_t time_ns)
{
	int err = 0;

	while (tp->news && tp->news->fact.time_ns < time_ns && !err) {
		struct pending *p = tp->news;

		tp->news = p->next;
		if (tp_is_end(&p->fact))
			err = tp_append(&tp->deletions, &p->fact);
		else
			err = bindings_apply(tp->b, &p->fact) == -ENOMEM ? -ENOMEM : 0;
		free(p);
	}
	return err;
}
