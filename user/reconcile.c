// SPDX-License-Identifier: GPL-2.0-only
/* reconcile.c - see reconcile.h. */
#include "reconcile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"

#define TUN_PERSIST 0x0800	/* IFF_PERSIST, include/uapi/linux/if_tun.h */
#define UP 1			/* IFF_UP */

/* An object by its id. */
struct known {
	uint64_t id;
	const void *object;
};

struct index {
	struct known *known;
	size_t len, room;
	bool failed;
};

struct work {
	const struct rows *old;
	uint64_t time_ns;
	reconcile_fn fn;
	void *ctx;
	struct index files, devices;		/* of now: struct file, struct device */
	struct index old_files, old_devices;	/* one row of each */
	const struct hold **holds;		/* of now, sorted by slot */
	size_t n_holds;
	const struct row **slots;		/* of old, with a holder, sorted by slot */
	size_t n_slots;
};

/* --- what there is ------------------------------------------------------------------------ */

static void add(struct index *index, uint64_t id, const void *object)
{
	if (ARRAY_ROOM(index->known, index->room, index->len + 1))
		index->failed = true;
	else
		index->known[index->len++] = (struct known){ id, object };
}

static int by_id(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* Sorted, one of each. */
static void settle(struct index *index)
{
	size_t to = 0;

	if (!index->len)
		return;
	qsort(index->known, index->len, sizeof(index->known[0]), by_id);
	for (size_t i = 1; i < index->len; i++)
		if (index->known[i].id != index->known[to].id)
			index->known[++to] = index->known[i];
	index->len = to + 1;
}

static const void *find(const struct index *index, uint64_t id)
{
	const struct known key = { id, NULL };
	const struct known *found = index->len ? bsearch(&key, index->known, index->len, sizeof(key), by_id) : NULL;

	return found ? found->object : NULL;
}

static int add_file(void *ctx, const struct file *file)
{
	struct work *w = ctx;

	add(&w->files, file->id, file);
	return 0;
}

static int add_device(void *ctx, const struct device *dev)
{
	struct work *w = ctx;

	add(&w->devices, dev->id, dev);
	return 0;
}

static int count_hold(void *ctx, const struct hold *hold)
{
	(void)hold;
	++*(size_t *)ctx;
	return 0;
}

static int add_hold(void *ctx, const struct hold *hold)
{
	struct work *w = ctx;

	w->holds[w->n_holds++] = hold;
	return 0;
}

/* A holder: this fd of this process for this file. */
struct key {
	uint64_t start_ns, file;
	uint32_t pid;
	int fd;
};

static struct key key_of_hold(const struct hold *hold)
{
	return (struct key){ hold->task.start_ns, hold->file->id, hold->task.pid, hold->fd };
}

static struct key key_of_row(const struct row *row)
{
	return (struct key){ row->task.start_ns, row->file_id, row->task.pid, row->fd };
}

static int compare(const struct key *x, const struct key *y)
{
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	if (x->fd != y->fd)
		return x->fd < y->fd ? -1 : 1;
	return x->file < y->file ? -1 : x->file > y->file;
}

static int by_hold(const void *a, const void *b)
{
	struct key x = key_of_hold(*(const struct hold *const *)a), y = key_of_hold(*(const struct hold *const *)b);

	return compare(&x, &y);
}

static int by_row(const void *a, const void *b)
{
	struct key x = key_of_row(*(const struct row *const *)a), y = key_of_row(*(const struct row *const *)b);

	return compare(&x, &y);
}

static int key_to_hold(const void *key, const void *hold)
{
	struct key at = key_of_hold(*(const struct hold *const *)hold);

	return compare(key, &at);
}

static int key_to_row(const void *key, const void *row)
{
	struct key at = key_of_row(*(const struct row *const *)row);

	return compare(key, &at);
}

static bool held(const struct work *w, const struct key *key)
{
	return bsearch(key, w->holds, w->n_holds, sizeof(w->holds[0]), key_to_hold);
}

static bool was_held(const struct work *w, const struct key *key)
{
	return bsearch(key, w->slots, w->n_slots, sizeof(w->slots[0]), key_to_row);
}

/* --- telling ----------------------------------------------------------------------------------- */

/* A row as the objects that a change points to. */
struct past {
	struct device dev;
	struct file file;
	struct change change;
};

static void past_of(struct past *p, const struct work *w, enum event_kind event, const struct row *row)
{
	static const enum file_state states[] = {
		[ROW_BOUND] = FILE_BOUND, [ROW_DISABLED] = FILE_DISABLED, [ROW_UNBOUND] = FILE_UNBOUND,
		[ROW_ORPHANED] = FILE_ORPHANED, [ROW_NO_HOLDER] = FILE_UNBOUND, [ROW_UNKNOWN] = FILE_UNBOUND,
	};

	memset(p, 0, sizeof(*p));
	p->change = (struct change){ .event = event, .has = CH_SEED, .time_ns = w->time_ns, .fd = -1 };
	if (row->device_id) {
		p->dev = (struct device){
			.id = row->device_id, .d = row->dev, .disabled = row->disabled,
			.has = row->has & (TW_HAS_DEV | TW_HAS_MAC | TW_HAS_TUN | TW_HAS_QUEUES | TW_HAS_MASTER | TW_HAS_UP),
		};
		p->change.dev = &p->dev;
	}
	if (row->file_id) {
		p->file = (struct file){
			.id = row->file_id, .state = states[row->state], .has = row->has & TW_HAS_SOCKET_NETNS,
			.f = { .socket_netns = row->socket_netns },
		};
		p->change.file = &p->file;
	}
}

static void tell_drops(const struct work *w)
{
	struct past past;

	for (size_t i = 0; i < w->n_slots; i++) {
		struct key key = key_of_row(w->slots[i]);

		if (held(w, &key))
			continue;
		past_of(&past, w, EV_DROP, w->slots[i]);
		past.change.has |= CH_TASK | CH_FD;
		past.change.task = &w->slots[i]->task;
		past.change.fd = w->slots[i]->fd;
		w->fn(w->ctx, &past.change, w->slots[i]);
	}
}

static void tell_ends(const struct work *w, const struct index *old, const struct index *now, enum event_kind event)
{
	struct past past;

	for (size_t i = 0; i < old->len; i++) {
		const struct row *row = old->known[i].object;

		if (find(now, old->known[i].id))
			continue;
		past_of(&past, w, event, row);
		if (event == EV_DELETE)
			past.change.file = NULL;
		w->fn(w->ctx, &past.change, row);
	}
}

static struct change change_of(const struct work *w, enum event_kind event, const struct device *dev,
			       const struct file *file)
{
	return (struct change){
		.event = event, .has = CH_SEED, .time_ns = w->time_ns, .fd = -1, .dev = dev, .file = file,
	};
}

static void tell_move(const struct work *w, const struct device *dev, const struct tw_dev *old)
{
	struct change c = change_of(w, EV_RENAME, dev, NULL);

	if (strncmp(old->ifname, dev->d.ifname, TW_NAME_LEN)) {
		c.has |= CH_OLD_IFNAME;
		memcpy(c.old.ifname, old->ifname, TW_NAME_LEN);
	}
	if (old->ifindex != dev->d.ifindex) {
		c.has |= CH_OLD_IFINDEX;
		c.old.ifindex = old->ifindex;
	}
	if (old->netns != dev->d.netns) {
		c.event = EV_MOVE;
		c.has |= CH_OLD_NETNS;
		c.old.netns = old->netns;
		c.old.netns_cookie = old->netns_cookie;
	}
	if (c.has & (CH_OLD_IFNAME | CH_OLD_NETNS))
		w->fn(w->ctx, &c, NULL);
}

static void tell_value(const struct work *w, const struct device *dev, enum event_kind event, bool value)
{
	struct change c = change_of(w, event, dev, NULL);

	if (event == EV_PERSIST) {
		c.has |= CH_VALUE;
		c.value = value;
	}
	w->fn(w->ctx, &c, NULL);
}

static void tell_mac(const struct work *w, const struct device *dev, const struct tw_dev *old)
{
	struct change c = change_of(w, EV_MAC, dev, NULL);

	c.has |= CH_OLD_MAC;
	memcpy(c.old.mac, old->mac, sizeof(c.old.mac));
	w->fn(w->ctx, &c, NULL);
}

static void tell_device(const struct work *w, const struct device *dev, const struct row *row)
{
	uint32_t both = dev->has & row->has;
	const struct tw_dev *o = &row->dev, *n = &dev->d;

	if (both & TW_HAS_DEV)
		tell_move(w, dev, o);
	if ((both & TW_HAS_MAC) && memcmp(o->mac, n->mac, sizeof(o->mac)))
		tell_mac(w, dev, o);
	if ((both & TW_HAS_TUN) && ((o->tun_flags ^ n->tun_flags) & TUN_PERSIST))
		tell_value(w, dev, EV_PERSIST, n->tun_flags & TUN_PERSIST);
	if ((both & TW_HAS_TUN) && (o->owner != n->owner || o->group != n->group))
		tell_value(w, dev, EV_OWNER, false);
	if ((both & TW_HAS_MASTER) && o->master_ifindex != n->master_ifindex)
		tell_value(w, dev, EV_MASTER, false);
	if ((both & TW_HAS_UP) && ((o->if_flags ^ n->if_flags) & UP))
		tell_value(w, dev, n->if_flags & UP ? EV_UP : EV_DOWN, false);
}

/* An old file on another footing. That its device was deleted was told with the device. */
static void tell_file(const struct work *w, const struct file *file, const struct row *row)
{
	bool was_bound = row->state == ROW_BOUND || row->state == ROW_DISABLED;
	bool is_bound = file->state == FILE_BOUND || file->state == FILE_DISABLED;
	struct change c = change_of(w, EV_ATTACH, file->dev, file);

	if (is_bound && (!was_bound || !file->dev || row->device_id != file->dev->id))
		w->fn(w->ctx, &c, NULL);
	if (!is_bound || (file->state == FILE_DISABLED) == (row->state == ROW_DISABLED) ||
	    (!was_bound && file->state == FILE_BOUND))
		return;
	c.event = file->state == FILE_DISABLED ? EV_QUEUE_DETACH : EV_QUEUE_ATTACH;
	w->fn(w->ctx, &c, NULL);
}

static void tell_changes(const struct work *w)
{
	for (size_t i = 0; i < w->devices.len; i++) {
		const struct row *row = find(&w->old_devices, w->devices.known[i].id);

		if (row)
			tell_device(w, w->devices.known[i].object, row);
	}
	for (size_t i = 0; i < w->files.len; i++) {
		const struct row *row = find(&w->old_files, w->files.known[i].id);

		if (row)
			tell_file(w, w->files.known[i].object, row);
	}
}

static void tell_new(const struct work *w)
{
	struct index on = { 0 };	/* devices that a file is on */
	struct change c;

	for (size_t i = 0; i < w->n_holds; i++) {
		const struct hold *hold = w->holds[i];
		struct key key = key_of_hold(hold);

		if (was_held(w, &key))
			continue;
		c = change_of(w, EV_EXIST, hold->file->dev, hold->file);
		c.has |= CH_TASK | CH_FD;
		c.task = &hold->task;
		c.fd = hold->fd;
		w->fn(w->ctx, &c, NULL);
	}
	for (size_t i = 0; i < w->files.len; i++) {
		const struct file *file = w->files.known[i].object;

		if (file->dev)
			add(&on, file->dev->id, file->dev);
		if (file->holders || find(&w->old_files, file->id))
			continue;
		c = change_of(w, EV_EXIST, file->dev, file);
		w->fn(w->ctx, &c, NULL);
	}
	settle(&on);
	for (size_t i = 0; i < w->devices.len; i++) {
		const struct device *dev = w->devices.known[i].object;

		if (find(&on, dev->id) || find(&w->old_devices, dev->id))
			continue;
		c = change_of(w, EV_EXIST, dev, NULL);
		w->fn(w->ctx, &c, NULL);
	}
	free(on.known);
}

/* --- all of it ------------------------------------------------------------------------------------- */

static int collect(struct work *w, const struct bindings *now)
{
	size_t n = 0;

	bindings_each_file(now, add_file, w);
	bindings_each_device(now, add_device, w);
	bindings_each_hold(now, count_hold, &n);
	w->holds = calloc(n + 1, sizeof(w->holds[0]));
	w->slots = calloc(w->old->len + 1, sizeof(w->slots[0]));
	if (!w->holds || !w->slots)
		return -ENOMEM;
	bindings_each_hold(now, add_hold, w);
	qsort(w->holds, w->n_holds, sizeof(w->holds[0]), by_hold);
	for (size_t i = 0; i < w->old->len; i++) {
		const struct row *row = &w->old->row[i];

		if ((row->has & TW_HAS_TASK) && row->file_id)
			w->slots[w->n_slots++] = row;
		if (row->file_id)
			add(&w->old_files, row->file_id, row);
		if (row->device_id)
			add(&w->old_devices, row->device_id, row);
	}
	qsort(w->slots, w->n_slots, sizeof(w->slots[0]), by_row);
	settle(&w->files);
	settle(&w->devices);
	settle(&w->old_files);
	settle(&w->old_devices);
	return w->files.failed || w->devices.failed || w->old_files.failed || w->old_devices.failed ? -ENOMEM : 0;
}

int reconcile(const struct rows *old, const struct bindings *now, uint64_t time_ns, reconcile_fn fn, void *ctx)
{
	struct work w = { .old = old, .time_ns = time_ns, .fn = fn, .ctx = ctx };
	int ret = collect(&w, now);

	if (!ret) {
		tell_drops(&w);
		tell_ends(&w, &w.old_files, &w.files, EV_RELEASE);
		tell_ends(&w, &w.old_devices, &w.devices, EV_DELETE);
		tell_changes(&w);
		tell_new(&w);
	}
	free(w.files.known);
	free(w.devices.known);
	free(w.old_files.known);
	free(w.old_devices.known);
	free(w.holds);
	free(w.slots);
	return ret;
}
