// SPDX-License-Identifier: GPL-2.0-only
/* vm_track.c - see vm_track.h. */
#include "vm_track.h"

#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "table.h"
#include "vm.h"

struct machine {
	struct link by_pid;
	uint32_t pid;
	uint64_t start_ns;
	struct tw_task task;
	const char *type, *manager;	/* static */
	char *name, *uuid;
	size_t owned;		/* files and devices that point here */
	size_t fds;		/* that its processes have */
	bool watched;		/* its end will be told */
	bool started;		/* its first device was met */
	bool ended;
	struct machine *next_doomed;
};

/* What was done to a file or device that no machine had yet. Of a long list the middle is dropped. */
#define EARLIER_FIRST 16
#define EARLIER_MAX 64

struct earlier {
	struct event_earlier *list;
	size_t len, room;
};

/* A file or a device. */
struct object {
	struct link by_id;
	uint64_t id;
	struct machine *owner;	/* NULL: none yet */
	bool had;		/* some machine had it */
	struct earlier earlier;
};

struct vm_track {
	struct table machines, files, devices;
	vm_watch_fn watch;
	void *watch_ctx;
	vm_got_fn got;
	void *got_ctx;
	struct machine *doomed;		/* nothing refers to them but the last answer */
	struct event_earlier told[2 * EARLIER_MAX];	/* of the last notice */
};

struct vm_track *vm_track_new(void)
{
	struct vm_track *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	if (!table_init(&t->machines) && !table_init(&t->files) && !table_init(&t->devices))
		return t;
	vm_track_free(t);
	return NULL;
}

/* ---- machines ---- */

/* Somebody got an fd: these tell of the holder. */
static bool is_holding(enum event_kind event)
{
	return event == EV_OPEN || event == EV_HOLD || event == EV_EXIST;
}

static void machine_free(struct machine *m)
{
	free(m->name);
	free(m->uuid);
	free(m);
}

/* Nothing needs it any more: it goes with the next call. */
static void machine_settle(struct vm_track *t, struct machine *m)
{
	if (!m->ended || m->owned)
		return;
	table_del(&t->machines, &m->by_pid);
	m->next_doomed = t->doomed;
	t->doomed = m;
}

static void free_doomed(struct vm_track *t)
{
	while (t->doomed) {
		struct machine *m = t->doomed;

		t->doomed = m->next_doomed;
		machine_free(m);
	}
}

/* Start times out of /proc are rounded to clock ticks, those of the kernel's hooks are not. */
static bool same_start(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) < 20000000;
}

static struct machine *machine_find(const struct vm_track *t, uint32_t pid, uint64_t start_ns)
{
	struct link *l;

	table_each(&t->machines, hash_words(pid, 0, 0), l) {
		struct machine *m = container(l, struct machine, by_pid);

		if (m->pid == pid && same_start(m->start_ns, start_ns))
			return m;
	}
	return NULL;
}

static void replace(char **to, const char *text)
{
	if (!text == !*to && (!text || !strcmp(text, *to)))
		return;
	free(*to);
	*to = text ? strdup(text) : NULL;
}

/* A manager may move it into its group only after it has started: what is known grows. */
static void machine_learn(struct machine *m, const struct process_info *process, const struct tw_task *task)
{
	const struct vm *vm = process->vm;

	m->type = vm->type;
	m->manager = vm->manager;
	replace(&m->name, vm->name);
	replace(&m->uuid, vm->uuid);
	if (task && task->pid == m->pid)
		m->task = *task;
}

static struct machine *machine_new(struct vm_track *t, const struct process_info *process)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->pid = process->vm_pid;
	m->start_ns = process->vm_start_ns;
	m->task = (struct tw_task){ .pid = m->pid, .tid = m->pid, .start_ns = m->start_ns, .uid = UINT32_MAX };
	m->watched = t->watch && !t->watch(t->watch_ctx, m->pid, m->start_ns);
	table_add(&t->machines, &m->by_pid, hash_words(m->pid, 0, 0));
	return m;
}

/* The machine that acts, met for the first time or not; NULL: it is none. */
static struct machine *actor_of(struct vm_track *t, const struct event *event)
{
	const struct process_info *process = event->process;
	struct machine *m;

	if (!process_machine(process))
		return NULL;
	m = machine_find(t, process->vm_pid, process->vm_start_ns);
	if (!m)
		m = machine_new(t, process);
	/* it was only believed to have ended */
	if (m && m->ended && !m->watched && is_holding(event->change->event))
		m->ended = m->started = false;
	if (m)
		machine_learn(m, process, event->change->task);
	return m;
}

/* ---- files and devices ---- */

static struct object *object_find(const struct table *table, uint64_t id)
{
	struct link *l;

	table_each(table, hash_words(id, 0, 0), l) {
		struct object *o = container(l, struct object, by_id);

		if (o->id == id)
			return o;
	}
	return NULL;
}

static struct object *object_get(struct table *table, uint64_t id)
{
	struct object *o = id ? object_find(table, id) : NULL;

	if (o || !id)
		return o;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->id = id;
	table_add(table, &o->by_id, hash_words(id, 0, 0));
	return o;
}

static void object_forget(struct object *o)
{
	free(o->earlier.list);
	o->earlier = (struct earlier){ 0 };
}

static void object_give(struct vm_track *t, struct object *o, struct machine *m)
{
	struct machine *before = o->owner;

	if (before == m)
		return;
	o->owner = m;
	if (m)
		m->owned++;
	if (before) {
		before->owned--;
		machine_settle(t, before);
	}
}

static void object_end(struct vm_track *t, struct table *table, struct object *o)
{
	if (!o)
		return;
	object_give(t, o, NULL);
	object_forget(o);
	table_del(table, &o->by_id);
	free(o);
}

static void remember(struct object *o, const struct event *event)
{
	const struct change *c = event->change;
	struct earlier *e = &o->earlier;
	struct event_earlier *one;

	if (e->len == EARLIER_MAX) {
		memmove(&e->list[EARLIER_FIRST], &e->list[EARLIER_FIRST + 1],
			(EARLIER_MAX - EARLIER_FIRST - 1) * sizeof(*e->list));
		e->len--;
	} else if (ARRAY_ROOM(e->list, e->room, e->len + 1)) {
		return;
	}
	one = &e->list[e->len++];
	*one = (struct event_earlier){
		.seq = event->seq, .time_ns = c->time_ns, .event = c->event, .how = c->how,
		.fd = c->has & CH_FD ? c->fd : -1,
	};
	if (c->task) {
		one->pid = c->task->pid;
		memcpy(one->comm, c->task->comm, sizeof(one->comm));
	}
}

/* ---- telling ---- */

static void fill(struct event *event, const struct machine *m)
{
	event->vm_type = m->type;
	event->vm_name = m->name;
	event->vm_uuid = m->uuid;
	event->vm_manager = m->manager;
}

static void notice_of(const struct machine *m, enum event_kind event, struct vm_notice *notice)
{
	*notice = (struct vm_notice){
		.event = event, .task = m->task, .type = m->type, .name = m->name, .uuid = m->uuid, .manager = m->manager,
	};
}

/* Both lists in the order of the events; what concerns both stands in both. */
static size_t merge(const struct earlier *a, const struct earlier *b, struct event_earlier *out)
{
	size_t i = 0, j = 0, n = 0;

	while (i < a->len || j < b->len) {
		uint64_t x = i < a->len ? a->list[i].seq : UINT64_MAX;
		uint64_t y = j < b->len ? b->list[j].seq : UINT64_MAX;

		out[n++] = x <= y ? a->list[i] : b->list[j];
		i += x <= y;
		j += y <= x;
	}
	return n;
}

/* The machine has a device for the first time. What was there at our start has not started now. */
static bool start(struct vm_track *t, struct machine *m, struct object *file, struct object *dev,
		  const struct change *c, struct vm_notice *notice)
{
	static const struct earlier none;

	/* one that has ended already is told of too late */
	if (m->started || m->ended)
		return false;
	m->started = true;
	if (c->event == EV_EXIST)
		return false;
	notice_of(m, EV_VM_START, notice);
	notice->n_earlier = merge(file ? &file->earlier : &none, dev ? &dev->earlier : &none, t->told);
	notice->earlier = t->told;
	return true;
}

static bool stop(struct vm_track *t, struct machine *m, struct vm_notice *notice)
{
	bool told = m->started && !m->ended;

	m->ended = true;
	notice_of(m, EV_VM_STOP, notice);
	machine_settle(t, m);
	return told;
}

/* ---- events ---- */

static void count_fds(struct machine *m, const struct change *c)
{
	if (is_holding(c->event) && (c->has & CH_FD))
		m->fds++;
	else if (c->event == EV_DROP && m->fds)
		m->fds--;
}

/* What a machine left behind and somebody else uses now has a new story. */
static void take_over(struct vm_track *t, struct object *o)
{
	if (!o || !o->owner || !o->owner->ended)
		return;
	object_give(t, o, NULL);
	object_forget(o);
}

/* Who owns the file and the device after this event? */
static void settle_owner(struct vm_track *t, const struct event *event, struct machine *actor, struct object *file,
			 struct object *dev)
{
	const struct change *c = event->change;
	bool takes = is_holding(c->event) || c->event == EV_ATTACH;
	struct machine *before = dev ? dev->owner : NULL;

	if (takes && !actor && c->file)
		take_over(t, dev);
	if (takes && actor && file)
		object_give(t, file, actor);
	if (takes && file && file->owner && dev)
		object_give(t, dev, file->owner);
	if (dev && dev->owner && dev->owner != before) {
		if (t->got && c->event != EV_EXIST && !(c->has & CH_SEED))
			t->got(t->got_ctx, event, !dev->had && c->dev->since_ns);
		dev->had = true;
	}
}

void vm_track_on_new(struct vm_track *t, vm_watch_fn watch, void *ctx)
{
	t->watch = watch;
	t->watch_ctx = ctx;
}

void vm_track_on_device(struct vm_track *t, vm_got_fn got, void *ctx)
{
	t->got = got;
	t->got_ctx = ctx;
}

bool vm_track_event(struct vm_track *t, struct event *event, struct vm_notice *notice)
{
	const struct change *c = event->change;
	struct object *file, *dev;
	struct machine *actor, *owner;
	bool told = false;

	free_doomed(t);
	file = object_get(&t->files, c->file ? c->file->id : 0);
	dev = object_get(&t->devices, c->dev ? c->dev->id : 0);
	if (!file && !dev)
		return false;
	actor = actor_of(t, event);
	if (actor)
		count_fds(actor, c);
	settle_owner(t, event, actor, file, dev);
	owner = file && file->owner ? file->owner : dev ? dev->owner : NULL;
	if (owner && !event->vm_type && !is_holding(c->event))
		fill(event, owner);
	if (actor && owner == actor && file && dev)
		told = start(t, actor, file, dev, c, notice);
	if (file && file->owner)
		object_forget(file);
	else if (file)
		remember(file, event);
	if (dev && dev->owner)
		object_forget(dev);
	else if (dev)
		remember(dev, event);
	if (actor && !actor->watched && !actor->fds && c->event == EV_DROP)
		told = stop(t, actor, notice);
	if (c->event == EV_RELEASE)
		object_end(t, &t->files, file);
	if (c->event == EV_DELETE)
		object_end(t, &t->devices, dev);
	return told;
}

bool vm_track_ended(struct vm_track *t, uint32_t pid, uint64_t start_ns, struct vm_notice *notice)
{
	struct machine *m;

	free_doomed(t);
	m = machine_find(t, pid, start_ns);
	return m && stop(t, m, notice);
}

bool vm_track_owner(const struct vm_track *t, uint64_t device, struct vm_notice *notice)
{
	const struct object *dev = object_find(&t->devices, device);

	if (!dev || !dev->owner || dev->owner->ended)
		return false;
	notice_of(dev->owner, EV_FIRST_PACKET, notice);
	return true;
}

/* ---- the end ---- */

static void end_all(struct vm_track *t, struct table *table)
{
	for (size_t i = 0; i < table->size; i++)
		while (table->slots && table->slots[i])
			object_end(t, table, container(table->slots[i], struct object, by_id));
	table_free(table);
}

void vm_track_free(struct vm_track *t)
{
	if (!t)
		return;
	end_all(t, &t->files);
	end_all(t, &t->devices);
	for (size_t i = 0; i < t->machines.size; i++)
		while (t->machines.slots && t->machines.slots[i]) {
			struct machine *m = container(t->machines.slots[i], struct machine, by_pid);

			table_del(&t->machines, &m->by_pid);
			machine_free(m);
		}
	table_free(&t->machines);
	free_doomed(t);
	free(t);
}
