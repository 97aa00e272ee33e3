// SPDX-License-Identifier: GPL-2.0-only
/*
 * report_chosen.c - what a page with filters is about.
 *
 * Events that match are not enough to draw from: who holds a device is told by
 * its others. So whatever was done to a file or a device of which something
 * matches is part of the page, and the starts and ends of machines that have one.
 */
#include <errno.h>
#include <stdlib.h>

#include "array.h"
#include "report.h"
#include "table.h"

enum id_kind { ID_FILE, ID_DEVICE, ID_MACHINE };

struct id {
	struct link by_id;
	enum id_kind kind;
	uint64_t id;
};

struct report_chosen {
	const struct filter *filter;
	struct table ids;
	struct id **all;
	size_t n, room;
};

static uint64_t hash(enum id_kind kind, uint64_t id)
{
	return hash_words(kind, id, 0);
}

static bool has(const struct report_chosen *chosen, enum id_kind kind, uint64_t id)
{
	struct link *l;

	table_each(&chosen->ids, hash(kind, id), l) {
		const struct id *i = container(l, struct id, by_id);

		if (i->kind == kind && i->id == id)
			return id;
	}
	return false;
}

/* 0 is none. 0 or -ENOMEM. */
static int add(struct report_chosen *chosen, enum id_kind kind, uint64_t id)
{
	struct id *i;

	if (!id || has(chosen, kind, id))
		return 0;
	if (ARRAY_ROOM(chosen->all, chosen->room, chosen->n + 1))
		return -ENOMEM;
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	i->kind = kind;
	i->id = id;
	chosen->all[chosen->n++] = i;
	table_add(&chosen->ids, &i->by_id, hash(kind, id));
	return 0;
}

static uint64_t file_id(const struct event *event)
{
	return event->change->file ? event->change->file->id : 0;
}

static uint64_t device_id(const struct event *event)
{
	return event->change->dev ? event->change->dev->id : 0;
}

/* The process of the machine that acts. */
static uint64_t machine_id(const struct event *event)
{
	if (!event->vm_type || !event->process)
		return 0;
	return event->process->vm_pid;
}

static bool is_run_event(enum event_kind kind)
{
	return kind == EV_READY || kind == EV_LOST || kind == EV_RESYNC || kind == EV_GAP;
}

static bool has_any(const struct report_chosen *chosen, const struct event *event)
{
	return has(chosen, ID_FILE, file_id(event)) || has(chosen, ID_DEVICE, device_id(event));
}

static int add_all(struct report_chosen *chosen, const struct event *event)
{
	int err = add(chosen, ID_FILE, file_id(event));

	if (!err)
		err = add(chosen, ID_DEVICE, device_id(event));
	return err ? err : add(chosen, ID_MACHINE, machine_id(event));
}

static int on_match(void *ctx, const struct event *event)
{
	struct report_chosen *chosen = ctx;

	/* a failure names no file of the device that it is about; who has it is a matter of its own */
	return is_run_event(event->change->event) || !filter_match(chosen->filter, event) ? 0 : add_all(chosen, event);
}

/* The devices of files that match, the other files of such devices, and the machines that have them. */
static int on_relative(void *ctx, const struct event *event)
{
	return has_any(ctx, event) ? add_all(ctx, event) : 0;
}

bool report_wants(const struct report_chosen *chosen, const struct event *event)
{
	enum event_kind kind = event->change->event;

	if (!chosen || is_run_event(kind) || has_any(chosen, event))
		return true;
	if ((kind == EV_VM_START || kind == EV_VM_STOP) && has(chosen, ID_MACHINE, machine_id(event)))
		return true;
	return filter_match(chosen->filter, event);
}

struct count {
	const struct report_chosen *chosen;
	uint64_t n, first, last;
	uint64_t between;	/* lines about the run since the last one that counts */
};

static int on_count(void *ctx, const struct event *event)
{
	struct count *count = ctx;

	if (!report_wants(count->chosen, event))
		return 0;
	/* it is to begin and end with something that was chosen */
	if (is_run_event(event->change->event)) {
		count->between += count->last > 0;
		return 0;
	}
	/* too many: the page begins with the one before */
	if (count->n + count->between >= REPORT_EVENTS)
		return 1;
	count->n += 1 + count->between;
	count->between = 0;
	count->first = event->seq;
	count->last = count->last ? count->last : event->seq;
	return 0;
}

/* So many as a page holds, from the end. */
static int limit(struct history_reader *reader, const struct report_chosen *chosen, struct report_range *range)
{
	struct history_query query = { .first = range->first, .last = range->last, .reverse = true };
	struct count count = { .chosen = chosen };
	int ret = history_each(reader, &query, on_count, &count);

	if (ret < 0)
		return ret;
	range->cut = ret;
	range->n = count.n;
	if (count.n)
		*range = (struct report_range){ .first = count.first, .last = count.last, .n = count.n, .cut = ret };
	return 0;
}

static bool is_filtered(const struct filter *filter)
{
	bool any = false;

	for (int kind = 0; kind < FILTER_MAX; kind++)
		any |= filter_has(filter, (enum filter_kind)kind);
	return any;
}

int report_choose(struct history_reader *reader, const struct filter *filter, struct report_range *range,
		  struct report_chosen **out)
{
	struct report_chosen *chosen;
	int err;

	*out = NULL;
	range->n = range->last - range->first + 1;
	if (!is_filtered(filter)) {
		range->cut = range->n > REPORT_EVENTS;
		range->first += range->cut ? range->n - REPORT_EVENTS : 0;
		range->n = range->last - range->first + 1;
		return 0;
	}
	chosen = calloc(1, sizeof(*chosen));
	err = chosen ? table_init(&chosen->ids) : -ENOMEM;
	if (err) {
		free(chosen);
		return err;
	}
	chosen->filter = filter;
	err = report_walk(reader, range, on_match, chosen);
	if (!err)
		err = report_walk(reader, range, on_relative, chosen);
	if (!err)
		err = limit(reader, chosen, range);
	*out = chosen;
	return err;
}

void report_chosen_free(struct report_chosen *chosen)
{
	if (!chosen)
		return;
	for (size_t i = 0; i < chosen->n; i++)
		free(chosen->all[i]);
	free(chosen->all);
	table_free(&chosen->ids);
	free(chosen);
}
