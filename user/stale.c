// SPDX-License-Identifier: GPL-2.0-only
/*
 * stale.c - see stale.h.
 *
 * What the present tells by itself comes first. Then the history is asked
 * about each device by its name, backwards, until it has told how the last fd
 * went and whose machine's the device was. A history that is not being written
 * at present says nothing about now: what happened since may have changed all.
 */
#include "stale.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diag.h"
#include "history.h"
#include "past.h"
#include "process.h"
#include "vm.h"

static const char no_holder[] = "no-holder", orphaned[] = "orphaned", vm_gone[] = "vm-gone", other_holder[] = "other-holder";

/* Events that are looked through for a file whose device is gone, and for a machine's end: no index leads there. */
#define ORPHAN_EVENTS 500000
#define STOP_EVENTS 100000

/* ---- the present ---- */

static bool same_device(const struct row *x, const struct row *y)
{
	return (x->has & y->has & TW_HAS_DEV) && x->dev.netns && x->dev.netns == y->dev.netns &&
	       x->dev.ifindex == y->dev.ifindex;
}

static bool is_held(const struct row *row)
{
	return row->state == ROW_BOUND || row->state == ROW_DISABLED;
}

/* Does a machine hold the device, too? */
static bool has_machine(const struct rows *rows, const struct row *row)
{
	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i].vm_type && same_device(&rows->row[i], row))
			return true;
	return false;
}

static void mark_present(struct rows *rows)
{
	for (size_t i = 0; i < rows->len; i++) {
		struct row *row = &rows->row[i];

		if (row->state == ROW_ORPHANED)
			row->stale = orphaned;
		else if (row->state == ROW_NO_HOLDER)
			row->stale = no_holder;
		else if (is_held(row) && row->task.pid && !row->vm_type && has_machine(rows, row))
			row->stale = other_holder;
	}
}

/* ---- the history of one device ---- */

struct inquiry {
	struct rows *rows;
	struct row *row;
	const char *boot_id;		/* events of it count; NULL: of any, for ids are told apart */
	struct process_cache *processes;	/* NULL: of the past */
	uint64_t device;		/* its id in the history; 0: not met yet */
	uint64_t released;		/* the file whose end was met; 0: none */
	bool settled;			/* it is known whose the device was */
	bool machine;			/* a machine's */
	bool gone;			/* that has ended */
	uint32_t vm_pid;
	uint64_t vm_start_ns;
	size_t events;
	bool dated;			/* the event that led there was met */
	int err;
};

static bool is_about(struct inquiry *q, const struct event *event)
{
	const struct device *dev = event->change->dev;

	if (!dev || (q->boot_id && (!event->boot_id || strcmp(event->boot_id, q->boot_id))))
		return false;
	if (q->device)
		return dev->id == q->device;
	if (!q->boot_id ? dev->id != q->row->device_id :
			  dev->d.netns != q->row->dev.netns || dev->d.ifindex != q->row->dev.ifindex)
		return false;
	if (q->boot_id && dev->d.netns_cookie && q->row->dev.netns_cookie && dev->d.netns_cookie != q->row->dev.netns_cookie)
		return false;
	q->device = dev->id;
	return true;
}

static void blame(struct inquiry *q, const struct event *event)
{
	struct row *row = q->row;

	row->stale_since_ns = event->realtime_ns;
	row->stale_event = event_name(event->change->event);
	row->stale_pid = 0;
	row->stale_comm = NULL;
	if (!event->change->task)
		return;
	row->stale_pid = event->change->task->pid;
	row->stale_comm = rows_keep(q->rows, event->process && event->process->comm[0] ? event->process->comm : NULL, &q->err);
}

static bool holds(enum event_kind kind)
{
	return kind == EV_OPEN || kind == EV_HOLD || kind == EV_EXIST;
}

/* Whose is the device? Events that tell of a holder only say nothing about that. */
static void note_machine(struct inquiry *q, const struct event *event)
{
	const struct change *c = event->change;
	const struct process_info *process = event->process;

	if (q->settled || (holds(c->event) && !event->vm_type) || c->event == EV_ATTACH_FAILED)
		return;
	if (!event->vm_type) {
		q->settled = true;
		return;
	}
	/* whether that has ended is told by what it did itself */
	q->machine = true;
	if (!process || !process->vm_pid)
		return;
	q->settled = true;
	q->vm_pid = process->vm_pid;
	q->vm_start_ns = process->vm_start_ns;
	q->gone = (c->event == EV_DROP && c->how == HOW_EXIT) ||
		  (q->processes && !process_runs(q->processes, process->vm_pid, process->vm_start_ns));
}

/* How did it come to have no holder? Backwards: the end of its last file, before that who dropped it. */
static void note_loss(struct inquiry *q, const struct event *event)
{
	const struct change *c = event->change;
	uint64_t file = c->file ? c->file->id : 0;

	if (c->event == EV_RELEASE && !q->released) {
		q->released = file;
		blame(q, event);
	} else if (c->event == EV_DROP && (!q->released || q->released == file)) {
		blame(q, event);
		q->dated = true;
	} else if (q->released && c->event == EV_RELEASE) {
		q->dated = true;
	} else if (c->event == EV_ATTACH || c->event == EV_EXIST) {
		/* it was made, or found, without ever having lost a holder since */
		if (!q->released && !(c->event == EV_ATTACH && !(c->has & CH_CREATED)))
			blame(q, event);
		q->dated = q->released || (c->has & CH_CREATED) || c->event == EV_EXIST;
	}
}

/* How did this process come by its fd? */
static void note_gain(struct inquiry *q, const struct event *event)
{
	const struct change *c = event->change;

	if ((!holds(c->event) && c->event != EV_ATTACH) || !c->task || c->task->pid != q->row->task.pid ||
	    c->fd != q->row->fd)
		return;
	blame(q, event);
	/* found by a scan: it is older than that */
	if (c->event == EV_EXIST || (c->has & CH_SEED))
		q->row->stale_since_ns = 0;
	q->dated = true;
}

static int on_event(void *ctx, const struct event *event)
{
	struct inquiry *q = ctx;

	if (!is_about(q, event))
		return 0;
	note_machine(q, event);
	if (!q->dated && q->row->state == ROW_NO_HOLDER)
		note_loss(q, event);
	else if (!q->dated && is_held(q->row))
		note_gain(q, event);
	return q->err ? q->err : q->settled && q->dated;
}

/* As a pattern that matches nothing else. */
static void pattern_of(char out[2 * TW_NAME_LEN + 1], const char name[TW_NAME_LEN])
{
	size_t n = 0;

	for (size_t i = 0; i < TW_NAME_LEN && name[i]; i++) {
		if (strchr("*?[]\\", name[i]))
			out[n++] = '\\';
		out[n++] = name[i];
	}
	out[n] = '\0';
}

static void conclude(struct inquiry *q)
{
	struct row *row = q->row;

	if (row->state == ROW_NO_HOLDER && q->machine && q->gone)
		row->stale = vm_gone;
	if (is_held(row) && q->machine)
		row->stale = other_holder;
	/* known only as far as the reason is one */
	if (!row->stale) {
		row->stale_since_ns = 0;
		row->stale_event = row->stale_comm = NULL;
		row->stale_pid = 0;
	}
}

struct history_side {
	struct history_reader *reader;
	struct history_query query;	/* all up to the moment in question, backwards */
	const char *boot_id;
	struct process_cache *processes;
};

static struct history_query about_names(const struct history_side *h, const char *const names[1])
{
	struct history_query query = h->query;

	query.ifnames = names;
	query.n_ifnames = 1;
	query.no_run_events = true;
	return query;
}

static int on_stop(void *ctx, const struct event *event)
{
	struct inquiry *q = ctx;
	const struct process_info *process = event->process;

	if (++q->events > STOP_EVENTS)
		return 1;
	if (event->change->event != EV_VM_STOP || !process || process->vm_pid != q->vm_pid ||
	    process->vm_start_ns != q->vm_start_ns)
		return 0;
	q->gone = true;
	return 1;
}

/* Of the past, whether the machine had ended: its vm-stop has no name to be found by. */
static int ask_stop(struct inquiry *q, const struct history_side *h)
{
	return q->vm_pid && !q->gone && !q->processes ? history_each(h->reader, &h->query, on_stop, q) : 0;
}

static int ask_device(struct rows *rows, struct row *row, const struct history_side *h)
{
	struct inquiry q = { .rows = rows, .row = row, .boot_id = h->boot_id, .processes = h->processes };
	char pattern[2 * TW_NAME_LEN + 1];
	const char *names[] = { pattern };
	struct history_query query = about_names(h, names);
	int err;

	pattern_of(pattern, row->dev.ifname);
	err = history_each(h->reader, &query, on_event, &q);
	if (err >= 0)
		err = ask_stop(&q, h);
	if (err >= 0)
		conclude(&q);
	return err < 0 ? err : 0;
}

/* ---- the history of files whose device is gone ---- */

struct orphans {
	struct rows *rows;
	const char *boot_id;
	uint64_t *devices;	/* by row: the id of the device that the file had; 0 unknown */
	uint64_t *files;	/* by row: its id; 0 unknown */
	size_t left;
	size_t events;
};

static int on_orphan_event(void *ctx, const struct event *event)
{
	const struct change *c = event->change;
	struct orphans *o = ctx;

	if (++o->events > ORPHAN_EVENTS)
		return 1;
	if (!c->file || (o->boot_id && (!event->boot_id || strcmp(event->boot_id, o->boot_id))))
		return 0;
	for (size_t i = 0; i < o->rows->len; i++) {
		struct row *row = &o->rows->row[i];

		if (row->stale != orphaned || o->devices[i])
			continue;
		if (!o->files[i] && (c->has & CH_FD) && c->task && c->task->pid == row->task.pid && c->fd == row->fd &&
		    c->event != EV_DROP)
			o->files[i] = c->file->id;
		if (o->files[i] != c->file->id || !c->dev)
			continue;
		o->devices[i] = c->dev->id;
		/* for the question by name that follows */
		memcpy(row->dev.ifname, c->dev->d.ifname, sizeof(row->dev.ifname));
		o->left--;
	}
	return !o->left;
}

static int on_delete(void *ctx, const struct event *event)
{
	struct inquiry *q = ctx;

	if (event->change->event != EV_DELETE || !event->change->dev || event->change->dev->id != q->device)
		return 0;
	blame(q, event);
	return q->err ? q->err : 1;
}

static int ask_orphan(struct rows *rows, struct row *row, uint64_t device, const struct history_side *h)
{
	struct inquiry q = { .rows = rows, .row = row, .device = device };
	char pattern[2 * TW_NAME_LEN + 1];
	const char *names[] = { pattern };
	struct history_query query = about_names(h, names);
	int err;

	pattern_of(pattern, row->dev.ifname);
	err = history_each(h->reader, &query, on_delete, &q);
	return err < 0 ? err : 0;
}

static int ask_orphans(struct rows *rows, const struct history_side *h)
{
	struct orphans o = { .rows = rows, .boot_id = h->boot_id };
	int err = 0;

	for (size_t i = 0; i < rows->len; i++)
		o.left += rows->row[i].stale == orphaned;
	if (!o.left)
		return 0;
	o.devices = calloc(rows->len, sizeof(*o.devices));
	o.files = calloc(rows->len, sizeof(*o.files));
	if (!o.devices || !o.files)
		err = -ENOMEM;
	else
		err = history_each(h->reader, &h->query, on_orphan_event, &o);
	for (size_t i = 0; i < rows->len && err >= 0; i++)
		if (o.devices[i])
			err = ask_orphan(rows, &rows->row[i], o.devices[i], h);
	free(o.devices);
	free(o.files);
	return err < 0 ? err : 0;
}

/* ---- */

static int ask_all(struct rows *rows, const struct history_side *h)
{
	int err = 0;

	for (size_t i = 0; i < rows->len && !err; i++) {
		struct row *row = &rows->row[i];

		if ((row->has & TW_HAS_DEV) && row->dev.ifindex && !row->vm_type && (row->stale == no_holder || is_held(row)))
			err = ask_device(rows, row, h);
	}
	return err ? err : ask_orphans(rows, h);
}

static int ask_history(struct rows *rows, const struct options *o, struct history_reader *reader)
{
	char boot_id[BOOT_ID_LEN + 1];
	struct history_side h = { .reader = reader, .query = { .reverse = true } };
	int err = history_reader_begin(reader);

	if (err)
		return err;
	if (o->past) {
		err = history_until(reader, o->at_ns, &h.query);
	} else if (!past_is_present(reader)) {
		if (!o->quiet)
			warn_msg("nothing is recorded at present: since when what is left over is so is not known");
		history_reader_end(reader);
		return 0;
	} else {
		event_boot_id(boot_id);
		h.boot_id = boot_id;
		h.processes = process_cache_new("/proc");
		err = h.processes ? 0 : -ENOMEM;
	}
	if (!err)
		err = ask_all(rows, &h);
	process_cache_free(h.processes);
	history_reader_end(reader);
	return err == -ENODATA ? 0 : err;
}

static uint64_t realtime_ns(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void keep(struct rows *rows, const struct options *o)
{
	uint64_t now = o->past ? o->at_ns : realtime_ns();
	size_t n = 0, undated = 0;

	for (size_t i = 0; i < rows->len; i++) {
		const struct row *row = &rows->row[i];

		if (!row->stale)
			continue;
		undated += o->older_ns && !row->stale_since_ns;
		if (!o->older_ns || (row->stale_since_ns && row->stale_since_ns + o->older_ns <= now))
			rows->row[n++] = *row;
	}
	rows->len = n;
	if (undated && !o->quiet)
		warn_msg("%zu more %s left over, but it is not known since when ('tapwatch record' would)", undated,
			 undated == 1 ? "is" : "are");
}

int stale_keep(struct rows *rows, const struct options *o)
{
	struct history_reader *reader = NULL;
	bool none = !o->past && access(o->db, F_OK);
	int err = 0;

	mark_present(rows);
	if (!none)
		reader = past_open(o);
	if (reader) {
		err = ask_history(rows, o, reader);
		history_reader_close(reader);
	}
	if (err == -ENOMEM || (err && o->past))
		return past_failed(o, err);
	/* the present is told all the same */
	if (err)
		past_failed(o, err);
	keep(rows, o);
	return EXIT_FINE;
}
