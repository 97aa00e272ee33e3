// SPDX-License-Identifier: GPL-2.0-only
/*
 * bindings_dev.c - live facts about devices: each carries the whole state, and
 * what differs from the state we know is what happened.
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "bindings_private.h"

/* So long netlink may lag behind what is known of a move by other means. */
#define AHEAD_NS 2000000000ULL

/* --- places ---------------------------------------------------------------------- */

void dev_adopt(struct bindings *b, struct dev_node *d, uint64_t gen)
{
	dev_unindex(b, d);
	d->dev.gen = gen;
	d->dev.d.gen = gen;
	dev_index(b, d);
}

void dev_learn_serial(struct bindings *b, struct dev_node *d, uint64_t serial)
{
	if (!serial || d->dev.d.serial)
		return;
	dev_unindex(b, d);
	d->dev.d.serial = serial;
	dev_index(b, d);
}

static void set_place(struct bindings *b, struct dev_node *d, const struct place *p)
{
	dev_unindex(b, d);
	d->dev.d.netns = p->netns;
	d->dev.d.netns_cookie = p->cookie;
	d->dev.d.ifindex = p->ifindex;
	dev_index(b, d);
}

static void set_ifname(struct bindings *b, struct dev_node *d, const char *ifname)
{
	dev_unindex(b, d);
	memcpy(d->dev.d.ifname, ifname, TW_NAME_LEN);
	dev_index(b, d);
}

/* A scan's or netlink's word about that place, read before time_ns, is history. */
static void vacate(struct bindings *b, const struct place *p, uint64_t time_ns)
{
	gone_add(b, GONE_PLACE, p->netns, p->ifindex, 0, time_ns);
}

static const struct place nowhere;	/* a device moved, nobody knows where to */
static void dev_rekey(const struct cx *cx, struct dev_node *d, const struct place *to);

/*
 * Without a generation nobody promises that its end would have been told
 * before: it may as well have moved. By its serial it is found again, or not.
 */
void dev_evict(const struct cx *cx, const struct place *p, const struct dev_node *except)
{
	struct cx u = unseen(cx);
	struct dev_node *d = dev_at(cx->b, p, except);

	if (!d || stale(cx->time_ns, d->dev.seen_ns))
		return;
	/* never told of, and nothing depends on it: a mere early word of `except` */
	if (!d->dev.announced && TAILQ_EMPTY(&d->files))
		dev_free(cx->b, d);
	else if (d->dev.d.serial)
		dev_rekey(cx, d, &nowhere);
	else
		dev_delete(&u, d, HOW_UNKNOWN, UINT64_MAX);
}

/* The device is elsewhere now; `move` waits for the fact that tells its new name. */
static void dev_rekey(const struct cx *cx, struct dev_node *d, const struct place *to)
{
	struct place from = place_of(&d->dev.d);

	/* it may be moving already, to where nobody knew */
	if (!d->moving)
		d->moved_from = from;
	d->moving = true;
	d->moved_ns = cx->time_ns;
	vacate(cx->b, &from, cx->time_ns);
	set_place(cx->b, d, to);
	/* the master stayed behind */
	d->dev.d.master_ifindex = 0;
	memset(d->dev.d.master, 0, TW_NAME_LEN);
}

/*
 * As dev_rekey(), but the new place may be taken: by the device itself, whose
 * new namespace spoke first, as of a device nobody knew; or by a dead one.
 * A place in netns 0 is one that could not be found out.
 */
void dev_moved(const struct cx *cx, struct dev_node *d, const struct place *to)
{
	struct dev_node *early = to->netns ? dev_at(cx->b, to, d) : NULL;
	struct tw_dev news;
	uint32_t has;

	if (d->dev.d.netns)
		dev_tell_move(cx, d);
	if (!early || early->dev.announced || !TAILQ_EMPTY(&early->files)) {
		if (early)
			dev_evict(cx, to, d);
		dev_rekey(cx, d, to);
		return;
	}
	news = early->dev.d;
	has = early->dev.has;
	dev_free(cx->b, early);
	dev_rekey(cx, d, to);
	dev_diff(cx, d, &news, has);
}

void dev_moved_ahead(const struct cx *cx, struct dev_node *d, const struct place *to)
{
	struct place from = place_of(&d->dev.d);

	if (!d->dev.gen && from.netns) {
		d->ahead_of = from;
		d->ahead_ns = cx->time_ns;
	}
	dev_moved(cx, d, to);
}

/*
 * Messages from before the move, told after it: without this they would be of
 * a device that nobody knew, at the place that ours has left. NULL: none.
 */
static struct dev_node *left_from(const struct cx *cx, const struct place *p)
{
	struct dev_node *d;

	TAILQ_FOREACH(d, &cx->b->devs, all)
		if (d->ahead_of.netns && d->ahead_of.ifindex == p->ifindex && place_same_netns(&d->ahead_of, p) &&
		    cx->time_ns - d->ahead_ns < AHEAD_NS)
			return d;
	return NULL;
}

/*
 * The fact at hand, with a serial, saw that very device at the place p. Whoever
 * was believed to be there has left; where to, is to be told yet, unless it is
 * the same one. NULL: nobody of that serial is known, and nobody's place is
 * taken; *is_new: yet whoever is at p is not the one.
 */
struct dev_node *dev_witnessed(const struct cx *cx, const struct place *p, bool *is_new)
{
	uint64_t serial = cx->fact->dev.serial;
	struct dev_node *d = dev_by_serial(cx->b, serial), *at = dev_at(cx->b, p, NULL);
	/* a scan comes after all that netlink told: nothing is awaited */
	void (*move)(const struct cx *, struct dev_node *, const struct place *) = cx->scan ? dev_moved : dev_moved_ahead;
	struct place known;

	*is_new = false;
	if (!serial)
		return NULL;
	if (at && at != d && at->dev.d.serial) {
		/* an older fact than what is known of the place: only who it is counts */
		if (cx->time_ns <= at->live_ns || stale(cx->time_ns, at->dev.seen_ns))
			return d;
		move(cx, at, &nowhere);
		at->dev.mark = 0;
		*is_new = !d;
	}
	if (!d)
		return NULL;
	known = place_of(&d->dev.d);
	if ((known.ifindex != p->ifindex || !place_same_netns(&known, p)) && cx->time_ns > d->live_ns &&
	    !stale(cx->time_ns, d->dev.seen_ns))
		move(cx, d, p);
	return d;
}

static void tell_move(const struct cx *cx, struct dev_node *d, const struct place *from, const char *old_name)
{
	struct change c = change_of(cx, EV_MOVE, d, NULL);

	if (from->netns) {
		c.has |= CH_OLD_NETNS;
		c.old.netns = from->netns;
		c.old.netns_cookie = from->cookie;
	}
	if (from->ifindex != d->dev.d.ifindex) {
		c.has |= CH_OLD_IFINDEX;
		c.old.ifindex = from->ifindex;
	}
	if (strncmp(old_name, d->dev.d.ifname, TW_NAME_LEN)) {
		c.has |= CH_OLD_IFNAME;
		memcpy(c.old.ifname, old_name, TW_NAME_LEN);
	}
	tell(cx, &c);
}

void dev_tell_move(const struct cx *cx, struct dev_node *d)
{
	struct cx u = *cx;

	if (!d->moving)
		return;
	d->moving = false;
	u.actor = NULL;
	u.time_ns = d->moved_ns;
	tell_move(&u, d, &d->moved_from, d->dev.d.ifname);
}

/* --- differences ------------------------------------------------------------------- */

/* A name that changed in the same step belongs to the move. */
static void diff_place(const struct cx *cx, struct dev_node *d, const struct tw_dev *n)
{
	struct place from = place_of(&d->dev.d), to = place_of(n);
	bool found = d->moving && !from.netns;	/* moved to where nobody knew, until now */
	bool moved = !place_same_netns(&from, &to) || from.ifindex != to.ifindex;
	char old_name[TW_NAME_LEN];
	struct cx u = *cx;
	struct change c;

	if (!to.cookie && !moved)
		to.cookie = from.cookie;
	memcpy(old_name, d->dev.d.ifname, TW_NAME_LEN);
	if (found || (d->moving && !moved)) {
		/* told by TW_DEV_MOVE, which names nobody */
		d->moving = false;
		u.actor = NULL;
		from = d->moved_from;
		moved = true;
	} else if (moved) {
		dev_tell_move(cx, d);
		vacate(cx->b, &from, cx->time_ns);
		dev_evict(cx, &to, d);
	}
	if (moved || to.cookie != from.cookie)
		set_place(cx->b, d, &to);
	if (!strncmp(old_name, n->ifname, TW_NAME_LEN) && !moved)
		return;
	set_ifname(cx->b, d, n->ifname);
	if (moved) {
		tell_move(&u, d, &from, old_name);
		return;
	}
	c = change_of(cx, EV_RENAME, d, NULL);
	c.has |= CH_OLD_IFNAME;
	memcpy(c.old.ifname, old_name, TW_NAME_LEN);
	tell(cx, &c);
}

static void diff_mac(const struct cx *cx, struct dev_node *d, const struct tw_dev *n)
{
	uint8_t old[6];
	struct change c;

	if (!memcmp(d->dev.d.mac, n->mac, sizeof(old)))
		return;
	memcpy(old, d->dev.d.mac, sizeof(old));
	memcpy(d->dev.d.mac, n->mac, sizeof(old));
	c = change_of(cx, EV_MAC, d, NULL);
	c.has |= CH_OLD_MAC;
	memcpy(c.old.mac, old, sizeof(old));
	tell(cx, &c);
}

static void diff_master(const struct cx *cx, struct dev_node *d, const struct tw_dev *n)
{
	bool changed = d->dev.d.master_ifindex != n->master_ifindex;
	struct change c;

	d->dev.d.master_ifindex = n->master_ifindex;
	memcpy(d->dev.d.master, n->master, TW_NAME_LEN);
	if (!changed)
		return;
	c = change_of(cx, EV_MASTER, d, NULL);
	tell(cx, &c);
}

static void diff_up(const struct cx *cx, struct dev_node *d, const struct tw_dev *n)
{
	uint32_t changed = d->dev.d.if_flags ^ n->if_flags;
	struct change c;

	d->dev.d.if_flags = n->if_flags;
	if (!(changed & IFF_UP))
		return;
	c = change_of(cx, n->if_flags & IFF_UP ? EV_UP : EV_DOWN, d, NULL);
	tell(cx, &c);
}

/* The file through which the device is being changed; 0 when through none. */
static uint64_t acting_file(const struct cx *cx)
{
	if (!cx->fact)
		return 0;
	if (cx->fact->type == TW_IOCTL)
		return cx->fact->file.gen;
	return cx->fact->flags & TW_F_IN_IOCTL ? cx->fact->ctx_file : 0;
}

static void diff_tun(const struct cx *cx, struct dev_node *d, const struct tw_dev *n)
{
	struct file_node *f = file_by_gen(cx->b, acting_file(cx));
	struct tw_dev *o = &d->dev.d;
	bool persist = n->tun_flags & IFF_PERSIST;
	bool persist_changed = persist != !!(o->tun_flags & IFF_PERSIST);
	bool owner_changed = o->owner != n->owner || o->group != n->group;
	struct change c;

	o->tun_flags = n->tun_flags;
	if (persist_changed) {
		d->dev.persist_off_file = persist ? 0 : acting_file(cx);
		c = change_of(cx, EV_PERSIST, d, f);
		c.has |= CH_VALUE;
		c.value = persist;
		if (f)
			change_fd(cx, &c, f);
		tell(cx, &c);
	}
	o->owner = n->owner;
	o->group = n->group;
	if (owner_changed) {
		c = change_of(cx, EV_OWNER, d, f);
		if (f)
			change_fd(cx, &c, f);
		tell(cx, &c);
	}
}

void dev_diff(const struct cx *cx, struct dev_node *d, const struct tw_dev *n, uint32_t has)
{
	struct tw_dev *o = &d->dev.d;
	uint32_t both = has & d->dev.has;

	if (n->kind)
		o->kind = n->kind;
	if (both & TW_HAS_DEV)
		diff_place(cx, d, n);
	if (both & TW_HAS_MAC)
		diff_mac(cx, d, n);
	else if (has & TW_HAS_MAC)
		memcpy(o->mac, n->mac, sizeof(o->mac));
	if (both & TW_HAS_MASTER) {
		diff_master(cx, d, n);
	} else if (has & TW_HAS_MASTER) {
		o->master_ifindex = n->master_ifindex;
		memcpy(o->master, n->master, TW_NAME_LEN);
	}
	if (both & TW_HAS_UP)
		diff_up(cx, d, n);
	else if (has & TW_HAS_UP)
		o->if_flags = n->if_flags;
	if (both & TW_HAS_TUN) {
		diff_tun(cx, d, n);
	} else if (has & TW_HAS_TUN) {
		o->tun_flags = n->tun_flags;
		o->owner = n->owner;
		o->group = n->group;
	}
	if (has & TW_HAS_QUEUES)
		o->queues = n->queues;
	if (n->addr)
		o->addr = n->addr;
	d->dev.has |= has & (TW_HAS_DEV | TW_HAS_MAC | TW_HAS_TUN | TW_HAS_QUEUES | TW_HAS_MASTER | TW_HAS_UP);
}

/* --- files on devices ------------------------------------------------------------------ */

/*
 * Does a first file on this device mean that the device was made by it? Not
 * for macvtap and ipvtap, which are made by netlink and opened later.
 */
bool dev_made_now(const struct cx *cx, const struct dev_node *d)
{
	const struct tw_event *fact = cx->fact;
	bool new = fact->type == TW_DEV && fact->dev.op == TW_DEV_NEW;

	if (d->dev.d.kind == TW_KIND_MACVTAP || d->dev.d.kind == TW_KIND_IPVTAP)
		return false;
	if ((fact->type == TW_IOCTL || (fact->flags & TW_F_IN_IOCTL)) && fact->ioctl.cmd != TUNSETIFF)
		return false;
	if (!TAILQ_EMPTY(&d->files))
		return false;
	return new || (d->fresh && (d->registered || !d->dev.announced));
}

void dev_attach(const struct cx *cx, struct dev_node *d, struct file_node *f, bool made)
{
	struct change c;

	file_bind(f, d, FILE_BOUND);
	f->file.bound_ns = cx->scan ? 0 : cx->time_ns;
	d->fresh = false;
	if (!made && !cx->seed)
		dev_introduce(cx, d);
	c = change_of(cx, EV_ATTACH, d, f);
	if (made) {
		c.has |= CH_CREATED;
		c.value = true;
	}
	change_fd(cx, &c, f);
	tell(cx, &c);
}

void dev_set_disabled(const struct cx *cx, struct file_node *f, bool disabled)
{
	struct dev_node *d = dev_of(f);
	struct change c;

	if ((f->file.state == FILE_DISABLED) == disabled)
		return;
	file_bind(f, d, disabled ? FILE_DISABLED : FILE_BOUND);
	c = change_of(cx, disabled ? EV_QUEUE_DETACH : EV_QUEUE_ATTACH, d, f);
	change_fd(cx, &c, f);
	tell(cx, &c);
}

enum slices { SLICES_NONE, SLICES_MORE, SLICES_ALL };

/* Collects the queue list; a slice that does not fit spoils it up to the next first one. */
static enum slices collect(struct dev_node *d, const struct tw_event *fact)
{
	uint32_t left, n;

	if (!(fact->has & TW_HAS_QUEUES))
		return SLICES_NONE;
	if (!fact->queue_base)
		d->slice_len = 0;
	if (fact->queue_base != d->slice_len || fact->queue_base > fact->dev.queues)
		return SLICES_NONE;
	left = fact->dev.queues - fact->queue_base;
	n = left < TW_QUEUES_PER_EVENT ? left : TW_QUEUES_PER_EVENT;
	memcpy(d->dev.slice + d->slice_len, fact->queues, n * sizeof(fact->queues[0]));
	d->slice_len += n;
	return d->slice_len < fact->dev.queues ? SLICES_MORE : SLICES_ALL;
}

static bool listed(const struct dev_node *d, uint64_t gen)
{
	uint32_t i;

	for (i = 0; i < d->slice_len; i++)
		if (d->dev.slice[i] == gen)
			return true;
	return false;
}

/*
 * A close is told at its beginning, when the queue is still in the list: it is
 * none any more for whoever hears of both, and nothing tells the number again
 * just because that queue has left.
 */
static uint32_t living_queues(const struct cx *cx, const struct dev_node *d)
{
	uint32_t n = cx->fact->dev.queues;

	for (uint32_t i = 0; i < d->slice_len; i++)
		if (n && gone_has(cx->b, GONE_FILE, d->dev.slice[i], 0, 0, cx->time_ns))
			n--;
	return n;
}

/*
 * An enabled queue that left the list was detached, or its file is being
 * closed: then its release tells more. Where the hook on close is off, a file
 * that is still held tells that it was not closed.
 */
static void diff_missing(const struct cx *cx, struct dev_node *d)
{
	struct file_node *f;

	if (cx->fact->flags & TW_F_IN_CLOSE)
		return;
	TAILQ_FOREACH(f, &d->files, of_dev) {
		if (f->file.state != FILE_BOUND || stale(cx->time_ns, f->sure_ns) || listed(d, f->file.gen))
			continue;
		if ((cx->fact->flags & TW_F_NO_CAUSE) && TAILQ_EMPTY(&f->holds))
			continue;
		f->bind_ns = cx->time_ns;
		dev_set_disabled(cx, f, true);
	}
}

/* Does the fact at hand see this file being bound? Nothing binds but TUNSETIFF, which tells right then. */
static bool binds_now(const struct cx *cx, const struct file_node *f)
{
	const struct tw_event *fact = cx->fact;

	if (fact->flags & TW_F_IN_IOCTL)
		return fact->ioctl.cmd == TUNSETIFF && fact->ctx_file == f->file.gen;
	return fact->dev.op == TW_DEV_NEW;
}

static int diff_queues(struct cx *cx, struct dev_node *d)
{
	struct cx missed = unseen(cx);
	struct file_node *f;
	uint32_t i;
	int err;

	diff_missing(cx, d);
	for (i = 0; i < d->slice_len; i++) {
		if (!d->dev.slice[i])
			continue;	/* a file that BPF could not name */
		f = file_live(cx, d->dev.slice[i], &err);
		if (err)
			return err;
		if (!f || stale(cx->time_ns, f->sure_ns))
			continue;
		file_announce(cx, f);
		f->bind_ns = cx->time_ns;
		if (dev_of(f) == d)
			dev_set_disabled(cx, f, false);
		else
			dev_attach(binds_now(cx, f) ? cx : &missed, d, f, dev_made_now(cx, d));
	}
	return 0;
}

/* --- TW_DEV ------------------------------------------------------------------------------- */

/* A device's kind is for life: a message that tells another is of one that was at this place before. */
static bool other_kind(const struct tw_dev *n, const struct dev_node *d)
{
	return !n->gen && n->kind && d->dev.d.kind && n->kind != d->dev.d.kind;
}

/*
 * The device a fact is about; NULL: there is none yet. By its generation, or
 * else whoever is at its place, unless that one is another for sure.
 */
static struct dev_node *find(const struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct place p = place_of(&fact->dev);
	uint64_t gen = fact->dev.gen;
	struct dev_node *d = dev_by_gen(cx->b, gen);

	if (d)
		return d;
	d = dev_at(cx->b, &p, NULL);
	if (!d)
		return NULL;
	if (gen && d->dev.gen) {
		dev_evict(cx, &p, NULL);
		return NULL;
	}
	if (fact->dev.op == TW_DEV_NEW && !d->moving && !stale(cx->time_ns, d->dev.seen_ns) &&
	    (gen || d->registered || d->dev.seen_ns)) {
		/* new for sure: the deletion of the former one was missed */
		dev_evict(cx, &p, NULL);
		return NULL;
	}
	if (gen) {
		d->adopted = stale(cx->time_ns, d->dev.seen_ns);
		dev_adopt(cx->b, d, gen);
	}
	return d;
}

/* Is there no such device any more, as opposed to: not yet? */
static bool dead(const struct cx *cx)
{
	const struct tw_dev *d = &cx->fact->dev;
	struct place p = place_of(d);

	if (d->gen)
		return !dev_by_gen(cx->b, d->gen) && gone_has(cx->b, GONE_DEV, d->gen, 0, 0, cx->time_ns);
	return !dev_at(cx->b, &p, NULL) &&
	       gone_has(cx->b, GONE_PLACE, d->netns, d->ifindex, 0, cx->time_ns);
}

void dev_delete(const struct cx *cx, struct dev_node *d, enum how how, uint64_t until)
{
	struct place p = place_of(&d->dev.d);
	struct change c;

	/* one that came and went before the call that made it has returned: nobody heard of it */
	if (d->dev.announced || d->dev.gen || !TAILQ_EMPTY(&d->files)) {
		c = change_of(cx, EV_DELETE, d, NULL);
		c.how = how;
		tell(cx, &c);
	}
	while (!TAILQ_EMPTY(&d->files))
		file_unbind(TAILQ_FIRST(&d->files), FILE_ORPHANED);
	if (d->dev.gen)
		gone_add(cx->b, GONE_DEV, d->dev.gen, 0, 0, until);
	vacate(cx->b, &p, until < cx->time_ns ? until : cx->time_ns);
	dev_free(cx->b, d);
}

static enum how how_gone(const struct tw_event *fact, const struct dev_node *d)
{
	if (fact->flags & TW_F_NO_CAUSE)
		return HOW_UNKNOWN;
	if (fact->flags & TW_F_IN_CLOSE)
		return fact->ctx_file && fact->ctx_file == d->dev.persist_off_file ? HOW_PERSIST_OFF :
										      HOW_LAST_CLOSE;
	if (fact->flags & TW_F_KTHREAD)
		return HOW_NETNS_EXIT;
	if (fact->flags & TW_F_IN_IOCTL)
		return HOW_UNKNOWN;
	/* netlink tells that a device went, not why */
	return fact->has & TW_HAS_TASK || fact->flags & TW_F_BY_REQUEST ? HOW_LINK_DEL : HOW_UNKNOWN;
}

static int dev_gone(const struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct place p = place_of(&fact->dev);
	struct dev_node *d = dev_by_gen(cx->b, fact->dev.gen), *ahead;

	if (d && d->adopted && stale(cx->time_ns, d->dev.seen_ns)) {
		/* a scan saw its place taken after this: by a successor, not by it */
		dev_adopt(cx->b, d, 0);
		d->adopted = false;
		d = NULL;
	} else if (!d) {
		ahead = left_from(cx, &p);
		/* it did not move: it died, and why is not known */
		if (ahead && !ahead->dev.d.netns) {
			dev_delete(cx, ahead, HOW_UNKNOWN, UINT64_MAX);
			return 0;
		}
		d = dev_at(cx->b, &p, NULL);
		if (d && ((fact->dev.gen && d->dev.gen) || stale(cx->time_ns, d->dev.seen_ns) || other_kind(&fact->dev, d)))
			d = NULL;
	}
	if (fact->dev.gen)
		gone_add(cx->b, GONE_DEV, fact->dev.gen, 0, 0, UINT64_MAX);
	if (d)
		dev_delete(cx, d, how_gone(fact, d), UINT64_MAX);
	else
		vacate(cx->b, &p, cx->time_ns);
	return 0;
}

static struct dev_node *make(const struct cx *cx)
{
	struct dev_node *d = dev_new(cx->b, cx->fact);

	if (!d)
		return NULL;
	/* hooks see every device come up; netlink does not say that it did */
	d->fresh = cx->fact->dev.op == TW_DEV_NEW || (cx->fact->dev.op == TW_DEV_STATE && !cx->fact->dev.gen);
	if (cx->fact->dev.op == TW_DEV_NEW) {
		d->dev.since_ns = cx->time_ns;
		d->registered = true;
	}
	return d;
}

int apply_dev(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	enum slices slices;
	uint32_t has = fact->has;
	struct tw_dev news = fact->dev;
	struct place place;
	struct dev_node *d;
	bool first;
	int err = 0;

	if (fact->dev.queues > TW_MAX_QUEUES)
		return -EINVAL;
	if (fact->dev.op == TW_DEV_GONE)
		return dev_gone(cx);
	if (dead(cx))
		return 0;
	d = find(cx);
	place = place_of(&fact->dev);
	if (!fact->dev.gen && (left_from(cx, &place) || (d && other_kind(&fact->dev, d))))
		return 0;
	if (!d)
		d = make(cx);
	if (!d)
		return -ENOMEM;
	if (fact->dev.op == TW_DEV_NEW && !d->registered) {
		d->registered = true;
		d->dev.since_ns = cx->time_ns;
	}
	/* it tells the old place of a device about to move: good for a first sight only */
	if (fact->dev.op == TW_DEV_LEAVING)
		return 0;
	slices = collect(d, fact);
	if (slices == SLICES_MORE)
		return 0;
	if (cx->time_ns > d->live_ns)
		d->live_ns = cx->time_ns;
	if (fact->flags & TW_F_RTNL)
		d->rtnl_has |= fact->has;
	/*
	 * Netlink messages can be older than they seem. Nothing but an ioctl
	 * changes these members, so where ioctls are told they know better.
	 */
	if (d->ioctl_tun && !fact->dev.gen)
		has &= ~(uint32_t)TW_HAS_TUN;
	if (slices == SLICES_ALL)
		news.queues = living_queues(cx, d);
	/* a file that makes the device is told before anything else of it; so is one that was not told to have made it */
	first = fact->dev.op == TW_DEV_NEW || !d->dev.announced;
	if (first && slices == SLICES_ALL)
		err = diff_queues(cx, d);
	if (!stale(cx->time_ns, d->dev.seen_ns))
		dev_diff(cx, d, &news, has);
	if (!first && slices == SLICES_ALL)
		err = diff_queues(cx, d);
	return err;
}

/* --- TW_DEV_MOVE, TW_NETNS_EXIT -------------------------------------------------------------- */

int apply_dev_move(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct place from = place_of(&fact->dev), to = {
		.cookie = fact->move.netns_cookie,
		.netns = fact->move.netns,
		.ifindex = fact->move.ifindex,
	};
	struct dev_node *d = dev_by_gen(cx->b, fact->dev.gen), *ahead = d ? NULL : left_from(cx, &from);

	if (!to.ifindex)
		return -EINVAL;
	/* the message that was awaited: of the one that left, not of who is there now */
	if (ahead) {
		ahead->ahead_of.netns = 0;
		if (ahead->dev.d.netns)
			return 0;
		d = ahead;
	}
	if (!d)
		d = dev_at(cx->b, &from, NULL);
	if (!d || stale(cx->time_ns, d->dev.seen_ns) || (to.netns && d == dev_at(cx->b, &to, NULL)))
		return 0;
	cx->actor = NULL;
	d->live_ns = cx->time_ns;
	dev_moved(cx, d, &to);
	return 0;
}

static int by_ifindex(const void *a, const void *b)
{
	const struct dev_node *x = *(struct dev_node *const *)a;
	const struct dev_node *y = *(struct dev_node *const *)b;

	return x->dev.d.ifindex < y->dev.d.ifindex ? -1 : x->dev.d.ifindex > y->dev.d.ifindex;
}

/*
 * Inode numbers of namespaces are reused at once: without equal cookies only
 * a device that was not seen there later can have been in the dying one.
 */
static bool dies_with(const struct cx *cx, const struct place *p, const struct dev_node *d)
{
	struct place at = place_of(&d->dev.d);

	if (!place_same_netns(&at, p))
		return false;
	return (at.cookie && p->cookie) || !stale(cx->time_ns, d->dev.seen_ns);
}

int apply_netns_exit(struct cx *cx)
{
	struct bindings *b = cx->b;
	struct place p = place_of(&cx->fact->dev);
	struct link *l;
	size_t i, n = 0;

	if (!p.netns)
		return -EINVAL;
	cx->actor = NULL;
	table_each(&b->dev_netns, hash_words(p.netns, 0, 0), l) {
		struct dev_node *d = container(l, struct dev_node, by_netns);

		if (dies_with(cx, &p, d))
			b->object_sort[n++] = d;
	}
	if (n)
		qsort(b->object_sort, n, sizeof(*b->object_sort), by_ifindex);
	for (i = 0; i < n; i++)
		dev_delete(cx, b->object_sort[i], HOW_NETNS_EXIT, UINT64_MAX);
	/* cookies are never used again: what is still told of it is of its last moments */
	if (p.cookie)
		gone_add(b, GONE_NETNS, p.netns, p.cookie, 0, UINT64_MAX);
	return 0;
}

/* Its namespace was told to end before the call that bound the device had returned. */
void dev_end_with_netns(const struct cx *cx, struct dev_node *d)
{
	struct cx u = *cx;

	u.actor = NULL;
	if (d->dev.d.netns_cookie &&
	    gone_has(cx->b, GONE_NETNS, d->dev.d.netns, d->dev.d.netns_cookie, 0, cx->time_ns))
		dev_delete(&u, d, HOW_NETNS_EXIT, UINT64_MAX);
}
