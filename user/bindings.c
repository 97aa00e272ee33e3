// SPDX-License-Identifier: GPL-2.0-only
/*
 * bindings.c - the objects of the state machine, their indices, and how
 * changes are told. What the facts mean is in bindings_{fd,file,dev,ioctl,scan}.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "bindings_private.h"

/* How many dead objects are remembered while no scan runs. */
#define GONE_KEPT 4096

#define DEV_HAS (TW_HAS_DEV | TW_HAS_MAC | TW_HAS_TUN | TW_HAS_QUEUES | TW_HAS_MASTER | TW_HAS_UP)

/* --- telling --------------------------------------------------------------- */

void change_task(struct change *c, const struct tw_task *task)
{
	c->task = task && task->pid ? task : NULL;
	c->has = (c->has & ~CH_TASK) | (c->task ? CH_TASK : 0);
}

/*
 * Something happens to a device that nobody was told of: rtnetlink spoke
 * before the call that makes it has returned. That it is there comes first.
 * (A macvtap or ipvtap is made by rtnetlink itself.)
 */
void dev_introduce(const struct cx *cx, struct dev_node *d)
{
	struct cx u = unseen(cx);
	struct change c;

	if (d->dev.announced || d->dev.gen || cx->quiet || d->dev.d.kind > TW_KIND_TAP)
		return;
	c = change_of(&u, EV_ATTACH, d, NULL);
	tell(&u, &c);
}

struct change change_of(const struct cx *cx, enum event_kind event, struct dev_node *d, struct file_node *f)
{
	struct change c = {
		.event = event,
		.has = cx->seed ? CH_SEED : 0,
		.time_ns = cx->time_ns,
		.fd = -1,
		.dev = d ? &d->dev : NULL,
		.file = f ? &f->file : NULL,
	};

	change_task(&c, cx->actor);
	if (d && cx->b->late_closes && (d->dev.has & TW_HAS_QUEUES))
		d->dev.d.queues = d->dev.enabled;
	if (d && !cx->quiet) {
		if (event != EV_ATTACH && event != EV_EXIST)
			dev_introduce(cx, d);
		if (event != EV_MOVE)
			dev_tell_move(cx, d);
		d->dev.announced = true;
	}
	return c;
}

void tell(const struct cx *cx, const struct change *c)
{
	if (cx->quiet)
		return;
	if (cx->scan)
		cx->b->scan.told++;
	cx->b->sink(cx->b->ctx, c);
}

struct cx unseen(const struct cx *cx)
{
	struct cx u = *cx;

	u.actor = NULL;
	u.seed = true;
	return u;
}

/*
 * A fact that names the fd itself is best; then the actor's lowest fd; then the
 * lowest anywhere.
 */
void change_fd(const struct cx *cx, struct change *c, const struct file_node *f)
{
	const struct tw_event *fact = cx->fact;
	const struct hold_node *h, *best = NULL;
	bool own, best_own = false;

	if (fact && (fact->has & TW_HAS_FILE) && (fact->has & TW_HAS_FD) && fact->file.gen == f->file.gen) {
		c->fd = fact->fd;
		c->has |= CH_FD;
		return;
	}
	TAILQ_FOREACH(h, &f->holds, of_file) {
		own = cx->actor && cx->actor->pid == h->hold.task.pid;
		if (!best || own > best_own || (own == best_own && h->hold.fd < best->hold.fd)) {
			best = h;
			best_own = own;
		}
	}
	if (best) {
		c->fd = best->hold.fd;
		c->has |= CH_FD;
	}
}

void bindings_tell(struct bindings *b, const struct change *change)
{
	b->sink(b->ctx, change);
}

/* --- room to sort in --------------------------------------------------------- */

static int room_for_objects(struct bindings *b)
{
	size_t count = b->dev_count > b->file_count ? b->dev_count : b->file_count;

	return ARRAY_ROOM(b->object_sort, b->object_room, count + 1);
}

/* --- devices ------------------------------------------------------------------- */

struct place place_of(const struct tw_dev *d)
{
	return (struct place){ .cookie = d->netns_cookie, .netns = d->netns, .ifindex = d->ifindex };
}

/* Inode numbers are reused: cookies decide where both are known. */
bool place_same_netns(const struct place *a, const struct place *b)
{
	return a->netns == b->netns && (!a->cookie || !b->cookie || a->cookie == b->cookie);
}

static uint64_t name_hash(uint32_t netns, const char *ifname)
{
	uint64_t words[2] = { 0 };

	_Static_assert(sizeof(words) == TW_NAME_LEN, "two words hold a name");
	memcpy(words, ifname, strnlen(ifname, TW_NAME_LEN));
	return hash_words(netns, words[0], words[1]);
}

void dev_index(struct bindings *b, struct dev_node *d)
{
	const struct tw_dev *t = &d->dev.d;

	if (d->dev.gen)
		table_add(&b->dev_gen, &d->by_gen, hash_words(d->dev.gen, 0, 0));
	if (t->serial)
		table_add(&b->dev_serial, &d->by_serial, hash_words(t->serial, 0, 0));
	table_add(&b->dev_place, &d->by_place, hash_words(t->netns, t->ifindex, 0));
	table_add(&b->dev_name, &d->by_name, name_hash(t->netns, t->ifname));
	table_add(&b->dev_netns, &d->by_netns, hash_words(t->netns, 0, 0));
}

void dev_unindex(struct bindings *b, struct dev_node *d)
{
	table_del(&b->dev_gen, &d->by_gen);
	table_del(&b->dev_serial, &d->by_serial);
	table_del(&b->dev_place, &d->by_place);
	table_del(&b->dev_name, &d->by_name);
	table_del(&b->dev_netns, &d->by_netns);
}

struct dev_node *dev_new(struct bindings *b, const struct tw_event *fact)
{
	struct dev_node *d;

	if (room_for_objects(b))
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	if (b->ids.device)
		d->dev.id = b->ids.device(b->ids.ctx, &fact->dev);
	if (!d->dev.id)
		d->dev.id = b->next_dev++;
	d->dev.gen = fact->dev.gen;
	d->dev.d = fact->dev;
	d->dev.d.op = 0;
	d->dev.has = fact->has & DEV_HAS;
	TAILQ_INIT(&d->files);
	TAILQ_INSERT_TAIL(&b->devs, d, all);
	b->dev_count++;
	dev_index(b, d);
	return d;
}

void dev_set_left(struct bindings *b, struct dev_node *d, bool left)
{
	if (d->left == left)
		return;
	d->left = left;
	b->left_count += left ? 1 : -1;
}

void dev_free(struct bindings *b, struct dev_node *d)
{
	dev_set_left(b, d, false);
	dev_unindex(b, d);
	TAILQ_REMOVE(&b->devs, d, all);
	b->dev_count--;
	free(d);
}

struct dev_node *dev_by_gen(const struct bindings *b, uint64_t gen)
{
	struct link *l;

	if (!gen)
		return NULL;
	table_each(&b->dev_gen, hash_words(gen, 0, 0), l) {
		struct dev_node *d = container(l, struct dev_node, by_gen);

		if (d->dev.gen == gen)
			return d;
	}
	return NULL;
}

struct dev_node *dev_by_serial(const struct bindings *b, uint64_t serial)
{
	struct link *l;

	if (!serial)
		return NULL;
	table_each(&b->dev_serial, hash_words(serial, 0, 0), l) {
		struct dev_node *d = container(l, struct dev_node, by_serial);

		if (d->dev.d.serial == serial)
			return d;
	}
	return NULL;
}

/* When a device was last known to be where it is. */
static uint64_t last_sight(const struct dev_node *d)
{
	return d->live_ns > d->dev.seen_ns ? d->live_ns : d->dev.seen_ns;
}

/*
 * Two devices can claim one place for a moment, when facts from before a scan
 * are told after it: the one seen there last has it.
 */
struct dev_node *dev_at(const struct bindings *b, const struct place *p, const struct dev_node *except)
{
	struct dev_node *d, *best = NULL;
	struct place at;
	struct link *l;

	table_each(&b->dev_place, hash_words(p->netns, p->ifindex, 0), l) {
		d = container(l, struct dev_node, by_place);
		at = place_of(&d->dev.d);
		if (d == except || at.ifindex != p->ifindex || !place_same_netns(&at, p))
			continue;
		if (!best || last_sight(d) > last_sight(best))
			best = d;
	}
	return best;
}

struct dev_node *dev_named(const struct bindings *b, uint32_t netns, uint64_t cookie, const char *ifname)
{
	struct place want = { .netns = netns, .cookie = cookie };
	struct dev_node *d, *best = NULL;
	struct place at;
	struct link *l;

	table_each(&b->dev_name, name_hash(netns, ifname), l) {
		d = container(l, struct dev_node, by_name);
		at = place_of(&d->dev.d);
		if (!place_same_netns(&at, &want) || strncmp(d->dev.d.ifname, ifname, TW_NAME_LEN))
			continue;
		if (!best || last_sight(d) > last_sight(best))
			best = d;
	}
	return best;
}

/* --- files ----------------------------------------------------------------------- */

struct file_node *file_by_gen(const struct bindings *b, uint64_t gen)
{
	struct link *l;

	if (!gen)
		return NULL;
	table_each(&b->file_gen, hash_words(gen, 0, 0), l) {
		struct file_node *f = container(l, struct file_node, by_gen);

		if (f->file.gen == gen)
			return f;
	}
	return NULL;
}

/* `fact`: the one that it is met by. */
struct file_node *file_new(struct bindings *b, uint64_t gen, const struct tw_event *fact)
{
	struct file_node *f;

	if (room_for_objects(b))
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	if (b->ids.file && fact->type == TW_SCAN_FD)
		f->file.id = b->ids.file(b->ids.ctx, fact);
	if (!f->file.id)
		f->file.id = b->next_file++;
	f->file.gen = gen;
	f->file.f.gen = gen;
	TAILQ_INIT(&f->holds);
	TAILQ_INIT(&f->slots);
	TAILQ_INIT(&f->vhosts);
	TAILQ_INSERT_TAIL(&b->files, f, all);
	b->file_count++;
	table_add(&b->file_gen, &f->by_gen, hash_words(gen, 0, 0));
	return f;
}

void file_free(struct bindings *b, struct file_node *f)
{
	file_unbind(f, FILE_UNBOUND);
	table_del(&b->file_gen, &f->by_gen);
	table_del(&b->file_addr, &f->by_addr);
	TAILQ_REMOVE(&b->files, f, all);
	b->file_count--;
	free(f->chain);
	free(f);
}

/* Takes over what the fact knows of its own file. */
void file_learn(struct bindings *b, struct file_node *f, const struct tw_event *fact)
{
	const struct tw_file *n = &fact->file;

	if (!(fact->has & TW_HAS_FILE) || n->gen != f->file.gen)
		return;
	if (n->addr && n->addr != f->file.f.addr) {
		table_del(&b->file_addr, &f->by_addr);
		f->file.f.addr = n->addr;
		table_add(&b->file_addr, &f->by_addr, hash_words(n->addr, 0, 0));
	}
	if (fact->has & TW_HAS_SOCKET_NETNS) {
		f->file.has |= TW_HAS_SOCKET_NETNS;
		f->file.f.socket_netns = n->socket_netns;
		if (n->socket_netns_cookie)
			f->file.f.socket_netns_cookie = n->socket_netns_cookie;
	}
}

void queue_leaves(struct file_node *f)
{
	struct dev_node *d = dev_of(f);

	if (f->file.state == FILE_DISABLED)
		d->dev.disabled--;
	else if (f->file.state == FILE_BOUND)
		d->dev.enabled--;
	f->file.state = FILE_UNBOUND;
}

void file_unbind(struct file_node *f, enum file_state state)
{
	struct dev_node *d = dev_of(f);

	if (d) {
		TAILQ_REMOVE(&d->files, f, of_dev);
		queue_leaves(f);
	}
	f->file.dev = NULL;
	f->file.bound_ns = 0;
	f->file.state = state;
	memset(f->file.name_only, 0, sizeof(f->file.name_only));
}

/* `state`: FILE_BOUND or FILE_DISABLED. */
void file_bind(struct file_node *f, struct dev_node *d, enum file_state state)
{
	if (dev_of(f) != d) {
		file_unbind(f, FILE_UNBOUND);
		TAILQ_INSERT_TAIL(&d->files, f, of_dev);
		f->file.dev = &d->dev;
	} else {
		queue_leaves(f);
	}
	f->file.state = state;
	if (state == FILE_DISABLED)
		d->dev.disabled++;
	else
		d->dev.enabled++;
}

/* --- the recently dead ---------------------------------------------------------------- */

static uint64_t gone_hash(enum gone_kind kind, uint64_t k0, uint64_t k1, uint64_t k2)
{
	return hash_words(k0 ^ ((uint64_t)kind << 56), k1, k2);
}

static struct gone *gone_find(const struct bindings *b, enum gone_kind kind, uint64_t k0, uint64_t k1, uint64_t k2)
{
	struct link *l;

	table_each(&b->gone_key, gone_hash(kind, k0, k1, k2), l) {
		struct gone *g = container(l, struct gone, link);

		if (g->kind == kind && g->key[0] == k0 && g->key[1] == k1 && g->key[2] == k2)
			return g;
	}
	return NULL;
}

bool gone_has(const struct bindings *b, enum gone_kind kind, uint64_t k0, uint64_t k1, uint64_t k2,
	      uint64_t time_ns)
{
	const struct gone *g = gone_find(b, kind, k0, k1, k2);

	return g && time_ns <= g->until;
}

/* So long a system call may take between what it does and what is told of it. */
#define CONFIRM_NS 500000000ULL

bool review_missed(struct bindings *b, uint64_t *unmet_ns, uint64_t last_sight_ns)
{
	if (b->scan.mode != SCAN_REVIEW)
		return true;
	if (*unmet_ns && last_sight_ns < *unmet_ns && b->scan.begin_ns - *unmet_ns >= CONFIRM_NS)
		return true;
	if (!*unmet_ns || last_sight_ns >= *unmet_ns)
		*unmet_ns = b->scan.begin_ns;
	b->scan.pending++;
	return false;
}

bool review_met(const struct cx *cx, enum gone_kind kind, uint64_t k0, uint64_t k1, uint64_t k2)
{
	const struct gone *g;

	if (cx->b->scan.mode != SCAN_REVIEW || cx->believed)
		return true;
	g = gone_find(cx->b, kind, k0, k1, k2);
	if (g && cx->time_ns >= g->until + CONFIRM_NS)
		return true;
	if (!g)
		gone_add(cx->b, kind, k0, k1, k2, cx->time_ns);
	cx->b->scan.pending++;
	return false;
}

static void gone_free(struct bindings *b, struct gone *g)
{
	table_del(&b->gone_key, &g->link);
	TAILQ_REMOVE(&b->gone, g, age);
	b->gone_count--;
	free(g);
}

/* A scan may be read long before it is applied: nothing is forgotten while one runs. */
void gone_prune(struct bindings *b)
{
	while (!b->scan.on && b->gone_count > GONE_KEPT)
		gone_free(b, TAILQ_FIRST(&b->gone));
}

/*
 * Best effort: without memory the death itself stands, only a fact that is
 * late as well could be taken for a new object.
 */
void gone_add(struct bindings *b, enum gone_kind kind, uint64_t k0, uint64_t k1, uint64_t k2, uint64_t until)
{
	struct gone *g = gone_find(b, kind, k0, k1, k2);

	if (g) {
		if (until > g->until)
			g->until = until;
		return;
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return;
	g->kind = kind;
	g->key[0] = k0;
	g->key[1] = k1;
	g->key[2] = k2;
	g->until = until;
	table_add(&b->gone_key, &g->link, gone_hash(kind, k0, k1, k2));
	TAILQ_INSERT_TAIL(&b->gone, g, age);
	b->gone_count++;
	gone_prune(b);
}

/* --- life of the whole ------------------------------------------------------------------ */

#define TABLES(b) \
	{ &(b)->dev_gen, &(b)->dev_serial, &(b)->dev_place, &(b)->dev_name, &(b)->dev_netns, &(b)->file_gen, \
	  &(b)->file_addr, &(b)->slot_key, &(b)->tab_addr, &(b)->proc_pid, &(b)->hold_key, &(b)->vhost_owner, &(b)->gone_key }

struct bindings *bindings_new(change_fn sink, void *ctx)
{
	struct bindings *b = calloc(1, sizeof(*b));
	int err = 0;
	size_t i;

	if (!b)
		return NULL;
	b->sink = sink;
	b->ctx = ctx;
	b->next_dev = 1;
	b->next_file = 1;
	TAILQ_INIT(&b->devs);
	TAILQ_INIT(&b->files);
	TAILQ_INIT(&b->holds);
	TAILQ_INIT(&b->slots);
	TAILQ_INIT(&b->tabs);
	TAILQ_INIT(&b->wants);
	TAILQ_INIT(&b->gone);
	struct table *const tables[] = TABLES(b);

	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		err = err ? err : table_init(tables[i]);
	if (err) {
		bindings_free(b);
		return NULL;
	}
	return b;
}

static void free_file_parts(struct bindings *b, struct file_node *f)
{
	struct vhost_node *v;

	while ((v = TAILQ_FIRST(&f->vhosts))) {
		table_del(&b->vhost_owner, &v->by_owner);
		TAILQ_REMOVE(&f->vhosts, v, of_file);
		free(v);
	}
}

void bindings_free(struct bindings *b)
{
	size_t i;

	if (!b)
		return;
	struct table *const tables[] = TABLES(b);

	fds_free(b);
	while (!TAILQ_EMPTY(&b->files)) {
		free_file_parts(b, TAILQ_FIRST(&b->files));
		file_free(b, TAILQ_FIRST(&b->files));
	}
	while (!TAILQ_EMPTY(&b->devs))
		dev_free(b, TAILQ_FIRST(&b->devs));
	while (!TAILQ_EMPTY(&b->gone))
		gone_free(b, TAILQ_FIRST(&b->gone));
	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		table_free(tables[i]);
	free(b->object_sort);
	free(b->scan.netns);
	free(b);
}

void bindings_late_closes(struct bindings *b)
{
	b->late_closes = true;
}

void bindings_ids_from(struct bindings *b, uint64_t device_id, uint64_t file_id)
{
	b->next_dev = device_id ? device_id : 1;
	b->next_file = file_id ? file_id : 1;
}

void bindings_id_source(struct bindings *b, const struct bindings_id_source *source)
{
	b->ids = *source;
}

/* --- facts in ------------------------------------------------------------------------------ */

static int apply_nothing(struct cx *cx)
{
	(void)cx;
	return 0;
}

static const struct {
	int (*apply)(struct cx *cx);
	uint32_t needs;		/* TW_HAS_* */
} fact_types[] = {
	[TW_FILE_OPEN] = { apply_file_open, TW_HAS_FILE },
	[TW_FD_INSTALL] = { apply_fd_install, TW_HAS_FILE | TW_HAS_FD | TW_HAS_TABLE },
	[TW_FD_CLOSE] = { apply_fd_close, TW_HAS_FILE | TW_HAS_FD | TW_HAS_TABLE },
	[TW_TABLE_EXIT] = { apply_table_exit, TW_HAS_TABLE },
	[TW_FILE_RELEASE] = { apply_file_release, TW_HAS_FILE },
	[TW_IOCTL] = { apply_ioctl, TW_HAS_FILE },
	[TW_DEV] = { apply_dev, TW_HAS_DEV },
	[TW_VHOST] = { apply_vhost, 0 },
	[TW_SCAN_FD] = { apply_scan, TW_HAS_FILE | TW_HAS_FD | TW_HAS_TABLE },
	[TW_SCAN_FILE] = { apply_scan, TW_HAS_FILE },
	[TW_SCAN_DEV] = { apply_scan, TW_HAS_DEV },
	[TW_DEV_MOVE] = { apply_dev_move, TW_HAS_DEV },
	[TW_NETNS_EXIT] = { apply_netns_exit, 0 },
	[TW_MODULE] = { apply_nothing, 0 },
	[TW_NETNS_NEW] = { apply_nothing, 0 },
	[TW_TASK_EXIT] = { apply_task_exit, TW_HAS_TASK },
	[TW_TABLE_WALKED] = { apply_table_walked, TW_HAS_TASK | TW_HAS_TABLE },
	[TW_TABLE_JOIN] = { apply_table_join, TW_HAS_TASK | TW_HAS_TABLE },
	[TW_RESCAN] = { apply_rescan, 0 },
};

/* Members that a clear bit declares unknown must not be taken for values. */
static void normalise(struct tw_event *fact)
{
	struct tw_dev *d = &fact->dev;

	fact->task.comm[TW_NAME_LEN - 1] = '\0';
	d->ifname[TW_NAME_LEN - 1] = '\0';
	d->master[TW_NAME_LEN - 1] = '\0';
	if (fact->type == TW_IOCTL)
		fact->ioctl.requested[TW_NAME_LEN - 1] = '\0';
	/* a guard on the driver's private data failed: only what net_device itself says is sure */
	if (fact->flags & TW_F_INEXACT)
		fact->has &= ~(uint32_t)(TW_HAS_TUN | TW_HAS_QUEUES);
	if (!(fact->has & TW_HAS_MAC))
		memset(d->mac, 0, sizeof(d->mac));
	if (!(fact->has & TW_HAS_QUEUES))
		d->queues = 0;
	if (!(fact->has & TW_HAS_UP))
		d->if_flags = 0;
	if (!(fact->has & TW_HAS_MASTER)) {
		d->master_ifindex = 0;
		memset(d->master, 0, sizeof(d->master));
	}
	if (!(fact->has & TW_HAS_TUN)) {
		d->tun_flags = 0;
		d->owner = -1;
		d->group = -1;
	}
}

int bindings_apply(struct bindings *b, const struct tw_event *given)
{
	struct tw_event fact = *given;
	struct cx cx = { .b = b, .fact = &fact, .time_ns = fact.time_ns };

	if (fact.type >= sizeof(fact_types) / sizeof(*fact_types) || !fact_types[fact.type].apply)
		return -EINVAL;
	if (fact_types[fact.type].needs & ~fact.has)
		return -EINVAL;
	if ((fact.has & TW_HAS_FILE) && !fact.file.gen)
		return -EINVAL;
	if ((fact.has & TW_HAS_DEV) && (!fact.dev.netns || !fact.dev.ifindex) && fact.type != TW_NETNS_EXIT)
		return -EINVAL;
	normalise(&fact);
	if ((fact.has & TW_HAS_TASK) && !(fact.flags & (TW_F_SELF | TW_F_KTHREAD)))
		cx.actor = &fact.task;
	return fact_types[fact.type].apply(&cx);
}

/* --- look-ups --------------------------------------------------------------------------------- */

const struct device *bindings_device(const struct bindings *b, uint32_t netns, uint32_t ifindex)
{
	struct place p = { .netns = netns, .ifindex = ifindex };
	struct dev_node *d = dev_at(b, &p, NULL);

	return d ? &d->dev : NULL;
}

const struct device *bindings_device_named(const struct bindings *b, uint32_t netns, const char *ifname)
{
	struct dev_node *d = dev_named(b, netns, 0, ifname);

	return d ? &d->dev : NULL;
}

const struct file *bindings_file(const struct bindings *b, uint64_t gen)
{
	struct file_node *f = file_by_gen(b, gen);

	return f ? &f->file : NULL;
}

int bindings_each_device(const struct bindings *b, int (*fn)(void *ctx, const struct device *), void *ctx)
{
	const struct dev_node *d;
	int ret = 0;

	TAILQ_FOREACH(d, &b->devs, all)
		if ((ret = fn(ctx, &d->dev)))
			break;
	return ret;
}

int bindings_each_file(const struct bindings *b, int (*fn)(void *ctx, const struct file *), void *ctx)
{
	const struct file_node *f;
	int ret = 0;

	TAILQ_FOREACH(f, &b->files, all)
		if ((ret = fn(ctx, &f->file)))
			break;
	return ret;
}

int bindings_each_hold(const struct bindings *b, int (*fn)(void *ctx, const struct hold *), void *ctx)
{
	const struct hold_node *h;
	int ret = 0;

	TAILQ_FOREACH(h, &b->holds, all)
		if ((ret = fn(ctx, &h->hold)))
			break;
	return ret;
}
