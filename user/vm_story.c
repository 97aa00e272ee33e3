// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm_story.c - see vm_story.h.
 *
 * The history is searched backwards for the machine's vm-start. Which files
 * and devices are its own is told by the events that name it; what was done to
 * them before stands a little before.
 */
#include "vm_story.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* How far before vm-start its preparation is looked for, and how much of a life is looked at from either end. */
#define BEFORE_EVENTS 20000
#define BEFORE_NS (600 * 1000000000ULL)
#define LIFE_EVENTS 200000
#define AFTER_EVENTS 2000	/* what is cleaned up after it has ended */
#define AFTER_NS (10 * 1000000000ULL)

struct ids {
	uint64_t *id;
	size_t n;
};

struct search {
	struct story *story;
	const char *pattern;
	char boot_id[BOOT_ID_LEN + 1];
	struct {
		uint64_t seq, realtime_ns, boottime_ns;
		uint32_t pid;
	} stop;			/* the oldest met so far */
	struct ids files, devices;
	int err;
};

static bool matches(const char *pattern, const struct event *event)
{
	return (event->vm_name && !fnmatch(pattern, event->vm_name, 0)) ||
	       (event->vm_uuid && !fnmatch(pattern, event->vm_uuid, 0));
}

static int keep(char **to, const char *text)
{
	free(*to);
	*to = text ? strdup(text) : NULL;
	return text && !*to ? -ENOMEM : 0;
}

static int begin(struct search *s, const struct event *event)
{
	struct story *story = s->story;
	int err = keep(&story->type, event->vm_type);

	if (!err)
		err = keep(&story->name, event->vm_name);
	if (!err)
		err = keep(&story->uuid, event->vm_uuid);
	if (!err)
		err = keep(&story->manager, event->vm_manager);
	story->pid = event_machine_pid(event);
	story->process_start_ns = event_machine_start(event);
	story->start_realtime_ns = event->realtime_ns;
	story->start_boottime_ns = event->change->time_ns;
	memset(s->boot_id, 0, sizeof(s->boot_id));
	if (event->boot_id)
		strncpy(s->boot_id, event->boot_id, BOOT_ID_LEN);
	return err;
}

/* Backwards. 1: found. */
static int on_search(void *ctx, const struct event *event)
{
	enum event_kind kind = event->change->event;
	struct search *s = ctx;

	if ((kind != EV_VM_START && kind != EV_VM_STOP && kind != EV_EXIST) || !matches(s->pattern, event))
		return 0;
	if (kind == EV_VM_STOP) {
		/* of a run before the one that was begun without a vm-start */
		if (s->story->pid)
			return 1;
		s->stop.seq = event->seq;
		s->stop.realtime_ns = event->realtime_ns;
		s->stop.boottime_ns = event->change->time_ns;
		s->stop.pid = event_machine_pid(event);
		return 0;
	}
	s->err = begin(s, event);
	if (kind == EV_VM_START)
		s->story->start_seq = event->seq;
	return s->err || kind == EV_VM_START;
}

/* ---- files and devices ---- */

static bool has_id(const struct ids *ids, uint64_t id)
{
	for (size_t i = 0; id && i < ids->n; i++)
		if (ids->id[i] == id)
			return true;
	return false;
}

static int add_id(struct ids *ids, uint64_t id)
{
	uint64_t *grown;

	if (!id || has_id(ids, id))
		return 0;
	grown = reallocarray(ids->id, ids->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	ids->id = grown;
	ids->id[ids->n++] = id;
	return 0;
}

static bool same_boot(const struct search *s, const struct event *event)
{
	return !event->boot_id || !s->boot_id[0] || !strcmp(event->boot_id, s->boot_id);
}

/* Does it name this run of this machine, rather than one before or another of that name? */
static bool names(const struct search *s, const struct event *event)
{
	if (!same_boot(s, event) || !event_same_text(s->story->name, event->vm_name) ||
	    !event_same_text(s->story->uuid, event->vm_uuid))
		return false;
	if (event->process && event->process->vm_pid)
		return event->process->vm_pid == s->story->pid;
	return event->vm_type && event->seq >= s->story->start_seq;
}

static uint64_t file_id(const struct event *event)
{
	return event->change->file ? event->change->file->id : 0;
}

static uint64_t device_id(const struct event *event)
{
	return event->change->dev ? event->change->dev->id : 0;
}

static int on_ids(void *ctx, const struct event *event)
{
	struct search *s = ctx;

	if (!names(s, event) || event->change->event == EV_ATTACH_FAILED)
		return 0;
	s->err = add_id(&s->files, file_id(event));
	if (!s->err)
		s->err = add_id(&s->devices, device_id(event));
	return s->err;
}

/* Whoever prepared a device did so through a file of it, whose open has no device yet. */
static int on_preparation(void *ctx, const struct event *event)
{
	struct search *s = ctx;

	if (same_boot(s, event) && has_id(&s->devices, device_id(event)))
		s->err = add_id(&s->files, file_id(event));
	return s->err;
}

/* ---- its events ---- */

/* Somebody else wanted its device. */
static bool is_refused(const struct search *s, const struct change *c)
{
	for (size_t i = 0; i < c->held_by_len; i++)
		if (c->held_by[i]->task.pid == s->story->pid)
			return true;
	return false;
}

static bool is_about(const struct search *s, const struct event *event)
{
	return same_boot(s, event) && (names(s, event) || has_id(&s->files, file_id(event)) ||
				       has_id(&s->devices, device_id(event)) || is_refused(s, event->change));
}

static int on_item(void *ctx, const struct event *event)
{
	struct search *s = ctx;
	struct story *story = s->story;
	uint64_t time_ns = event->change->time_ns;
	struct story_item *items;

	if (!is_about(s, event) || (story->start_boottime_ns > BEFORE_NS && time_ns < story->start_boottime_ns - BEFORE_NS) ||
	    (s->story->stop_seq && time_ns > s->stop.boottime_ns + AFTER_NS))
		return 0;
	items = reallocarray(story->items, story->n_items + 1, sizeof(*items));
	if (!items) {
		s->err = -ENOMEM;
		return s->err;
	}
	story->items = items;
	items[story->n_items++] = (struct story_item){ event->seq, time_ns };
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct story_item *x = a, *y = b;

	if (x->boottime_ns != y->boottime_ns)
		return x->boottime_ns < y->boottime_ns ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Both ends of a range, or all of it. */
static int each(struct search *s, struct history_reader *r, uint64_t first, uint64_t last, history_fn fn)
{
	struct history_query query = { .first = first, .last = last };
	int ret;

	if (last - first <= 2 * LIFE_EVENTS) {
		ret = history_each(r, &query, fn, s);
		return s->err ? s->err : ret;
	}
	s->story->cut = true;
	query.last = first + LIFE_EVENTS;
	ret = history_each(r, &query, fn, s);
	query.first = last - LIFE_EVENTS;
	query.last = last;
	if (!ret)
		ret = history_each(r, &query, fn, s);
	return s->err ? s->err : ret;
}

static int collect(struct search *s, struct history_reader *r, uint64_t first, uint64_t last)
{
	struct story *story = s->story;
	uint64_t from = story->start_seq ? story->start_seq : first, to = story->stop_seq ? story->stop_seq : last;
	int ret = each(s, r, from, to, on_ids);

	if (ret)
		return ret;
	from = from > first + BEFORE_EVENTS ? from - BEFORE_EVENTS : first;
	if (story->start_seq > from)
		ret = each(s, r, from, story->start_seq, on_preparation);
	if (ret)
		return ret;
	if (story->stop_seq)
		to = to + AFTER_EVENTS < last ? to + AFTER_EVENTS : last;
	ret = each(s, r, from, to, on_item);
	if (!ret && story->n_items)
		qsort(story->items, story->n_items, sizeof(*story->items), by_time);
	return ret;
}

int story_find(struct history_reader *r, const char *pattern, uint64_t until, struct story *story)
{
	struct search s = { .story = story, .pattern = pattern };
	struct history_query query = { .last = until, .reverse = true };
	uint64_t first, last;
	int ret;

	memset(story, 0, sizeof(*story));
	ret = history_bounds(r, &first, &last);
	if (ret)
		return ret == -ENODATA ? -ENOENT : ret;
	ret = history_each(r, &query, on_search, &s);
	if (s.err || ret < 0)
		return s.err ? s.err : ret;
	if (!story->pid)
		return -ENOENT;
	if (s.stop.pid == story->pid) {
		story->stop_seq = s.stop.seq;
		story->stop_realtime_ns = s.stop.realtime_ns;
	}
	ret = collect(&s, r, first, last);
	free(s.files.id);
	free(s.devices.id);
	return ret;
}

void story_free(struct story *story)
{
	free(story->type);
	free(story->name);
	free(story->uuid);
	free(story->manager);
	free(story->items);
	memset(story, 0, sizeof(*story));
}
