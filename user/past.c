// SPDX-License-Identifier: GPL-2.0-only
/*
 * past.c - see past.h.
 *
 * The answer is the last snapshot before the moment and the events from there.
 * Whether it can be believed stands in what comes next: a gap that began
 * before the moment, a loss, or nothing at all from a recorder that has ended.
 */
#include "past.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "diag.h"
#include "netns.h"
#include "replay.h"
#include "stories.h"

#define NS_PER_SEC 1000000000ULL

/* A recorder that is alive tells so every few seconds, also when nothing happens. */
#define SILENCE_NS (2 * HISTORY_HEARTBEAT_S * NS_PER_SEC)

int past_failed(const struct options *o, int err)
{
	if (err == -ENOMEM)
		warn_msg("cannot go on: out of memory");
	else if (err == -EUCLEAN)
		warn_msg("cannot read %s: it is damaged; see 'tapwatch verify'", o->db);
	else
		warn_msg("cannot read %s: %s", o->db, strerror(-err));
	return EXIT_FAILED;
}

struct history_reader *past_open(const struct options *o)
{
	struct history_reader *reader;
	char err[512];

	if (!history_reader_open(&reader, o->db, err, sizeof(err)))
		return reader;
	warn_msg("%s", err);
	return NULL;
}

static int add_netns(void *ctx, uint32_t inode)
{
	return filter_add_netns(ctx, inode);
}

int past_filter(struct history_reader *reader, struct filter *filter)
{
	uint32_t pid;
	int err = 0;

	for (size_t i = 0; !err && (pid = filter_netns_pid(filter, i)); i++)
		err = history_process_netns(reader, pid, add_netns, filter);
	return err;
}

/* ---- doubt ---- */

static void write_time(char *text, size_t size, uint64_t ns)
{
	time_t seconds = (time_t)(ns / NS_PER_SEC);
	struct tm tm;

	snprintf(text, size, "an unknown time");
	if (ns && localtime_r(&seconds, &tm))
		strftime(text, size, "%Y-%m-%d %H:%M:%S", &tm);
}

struct asked {
	const struct options *o;
	uint64_t at_ns;
	uint64_t seq;		/* of the event that the answer ends with; 0: there was none */
	uint64_t first, last;	/* of the history; 0: it is empty */
	struct history_head head;
	struct doubt *doubt;
};

static void doubt_loss(struct asked *a, uint64_t since_ns, uint64_t until_ns, uint64_t count)
{
	char since[64], many[32] = "";

	write_time(since, sizeof(since), since_ns);
	if (count)
		snprintf(many, sizeof(many), "%" PRIu64 " ", count);
	a->doubt->reason = "lost";
	a->doubt->since_ns = since_ns;
	a->doubt->until_ns = until_ns;
	snprintf(a->doubt->text, sizeof(a->doubt->text),
		 "%sevents were lost after %s, and the state had not been read afresh yet", many, since);
}

static void doubt_gap(struct asked *a, const struct event *gap)
{
	const struct gap_info *info = gap->gap;
	char since[64], until[64];

	write_time(since, sizeof(since), info ? info->from_realtime_ns : 0);
	write_time(until, sizeof(until), gap->realtime_ns);
	a->doubt->reason = "gap";
	a->doubt->since_ns = info ? info->from_realtime_ns : 0;
	a->doubt->until_ns = gap->realtime_ns;
	snprintf(a->doubt->text, sizeof(a->doubt->text), "nothing was recorded from %s to %s (%s)", since, until,
		 info && info->reason ? info->reason : "unknown");
}

/* What comes right after the last event of the answer. */
static int on_next(void *ctx, const struct event *event)
{
	const struct change *c = event->change;
	struct asked *a = ctx;

	if (c->event == EV_GAP && (!event->gap || event->gap->from_realtime_ns <= a->at_ns))
		doubt_gap(a, event);
	/* told when the ring had been full already, from when on is not known */
	if (c->event == EV_LOST)
		doubt_loss(a, event->realtime_ns, 0, c->has & CH_COUNT ? c->count : 0);
	return 1;
}

/* An event that was lost is made up for by the next `resync`. */
static int find_resync(void *ctx, const struct event *event)
{
	struct asked *a = ctx;

	if (event->change->event != EV_RESYNC && event->change->event != EV_READY && event->change->event != EV_GAP)
		return 0;
	a->doubt->until_ns = event->realtime_ns;
	return 1;
}

static bool is_running(const struct history_head *head)
{
	char boot_id[BOOT_ID_LEN + 1];

	if (head->stopped || !head->pid || event_boot_id(boot_id) || strcmp(boot_id, head->boot_id))
		return false;
	return !kill((pid_t)head->pid, 0) || errno == EPERM;
}

bool past_is_present(struct history_reader *reader)
{
	struct timespec now = { 0 };
	struct history_head head;

	clock_gettime(CLOCK_REALTIME, &now);
	return !history_head(reader, &head) && is_running(&head) &&
	       (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec <= head.realtime_ns + SILENCE_NS;
}

/* Nothing follows: does the recorder stand by that? */
static void doubt_end(struct asked *a)
{
	char since[64];

	if (a->at_ns <= a->head.realtime_ns ||
	    (is_running(&a->head) && a->at_ns - a->head.realtime_ns <= SILENCE_NS))
		return;
	write_time(since, sizeof(since), a->head.realtime_ns);
	a->doubt->reason = "not-recorded";
	a->doubt->since_ns = a->head.realtime_ns;
	snprintf(a->doubt->text, sizeof(a->doubt->text), "nothing has been recorded since %s: the recorder %s", since,
		 a->head.stopped ? "was stopped" : is_running(&a->head) ? "says nothing" : "does not run any more");
}

static void doubt_begin(struct asked *a, uint64_t first_ns)
{
	char first[64];

	write_time(first, sizeof(first), first_ns);
	a->doubt->reason = "before-history";
	a->doubt->until_ns = first_ns;
	if (first_ns)
		snprintf(a->doubt->text, sizeof(a->doubt->text), "the history begins only at %s", first);
	else
		snprintf(a->doubt->text, sizeof(a->doubt->text), "the history is empty");
}

static void doubt_future(struct asked *a)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	if (a->at_ns <= (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec)
		return;
	a->doubt->reason = "future";
	a->doubt->since_ns = a->head.realtime_ns;
	snprintf(a->doubt->text, sizeof(a->doubt->text), "that is in the future: this is the last state that is known");
}

static int find_doubt(struct history_reader *reader, struct asked *a, const struct replay *replay)
{
	struct history_query next = { .first = a->seq + 1 };
	struct replay_loss loss;
	struct event event;
	int err = 0;

	if (!a->seq) {
		if (a->last)
			err = history_event(reader, a->first, &event);
		doubt_begin(a, a->last && !err ? event.realtime_ns : 0);
		return err;
	}
	if (a->seq < a->last)
		err = history_each(reader, &next, on_next, a);
	else
		doubt_end(a);
	if (err >= 0 && replay_lossy(replay, &loss)) {
		doubt_loss(a, loss.realtime_ns, 0, loss.count);
		err = history_each(reader, &next, find_resync, a);
	}
	doubt_future(a);
	return err < 0 ? err : 0;
}

/* ---- state ---- */

static int on_event(void *ctx, const struct event *event)
{
	return replay_apply(ctx, event);
}

static int read_moment(struct history_reader *reader, struct asked *a, struct replay *replay)
{
	int err = history_bounds(reader, &a->first, &a->last);

	if (err == -ENODATA)
		a->last = 0;
	else if (err)
		return err;
	err = history_head(reader, &a->head);
	if (!err && a->last)
		err = history_state_at(reader, a->at_ns, on_event, replay, &a->seq);
	if (err == -ENODATA)
		a->seq = 0;
	else if (err)
		return err;
	return find_doubt(reader, a, replay);
}

static bool wanted_row(void *ctx, const struct event *event)
{
	return filter_match(ctx, event);
}

/* The one namespace that has a name everywhere and always. */
static void name_initial(struct rows *rows, uint32_t init_netns)
{
	static const char init[] = "init";

	for (size_t i = 0; i < rows->len && init_netns; i++) {
		struct row *row = &rows->row[i];

		if (!row->netns_label && row->dev.netns == init_netns)
			row->netns_label = init;
		if (!row->socket_netns_label && row->socket_netns == init_netns)
			row->socket_netns_label = init;
		if (!row->process_netns_label && row->task.netns == init_netns)
			row->process_netns_label = init;
	}
}

int past_read(struct rows *rows, const struct options *o, struct doubt *doubt)
{
	struct asked asked = { .o = o, .at_ns = o->at_ns, .doubt = doubt };
	struct history_reader *reader = past_open(o);
	struct replay *replay;
	int err;

	*doubt = (struct doubt){ 0 };
	if (!reader)
		return EXIT_FAILED;
	replay = replay_new();
	err = replay ? history_reader_begin(reader) : -ENOMEM;
	if (!err) {
		err = read_moment(reader, &asked, replay);
		if (!err)
			err = past_filter(reader, o->filter);
		history_reader_end(reader);
	}
	if (!err)
		err = replay_rows(replay, rows);
	replay_free(replay);
	history_reader_close(reader);
	if (err)
		return past_failed(o, err);
	rows_filter(rows, wanted_row, o->filter);
	starts_fill(rows);
	name_initial(rows, netns_initial());
	rows_sort(rows, netns_initial());
	return EXIT_FINE;
}

/* ---- telling ---- */

void past_tell(const struct doubt *doubt, const struct options *o)
{
	char at[64];

	if (!doubt->reason)
		return;
	write_time(at, sizeof(at), o->at_ns);
	warn_msg("the state at %s is uncertain: %s", at, doubt->text);
}

static int put(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

/* As in events: UTC. */
static int put_time(struct json_object *object, const char *key, uint64_t ns)
{
	time_t seconds = (time_t)(ns / NS_PER_SEC);
	char date[32], text[64];
	struct tm tm;

	if (!ns || !gmtime_r(&seconds, &tm))
		return 0;
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%09" PRIu64 "Z", date, (uint64_t)(ns % NS_PER_SEC));
	return put(object, key, json_object_new_string(text));
}

int past_json(struct json_object *object, const struct doubt *doubt, const struct options *o)
{
	struct json_object *uncertain;
	int err = put_time(object, "at", o->at_ns);

	if (err || !doubt->reason)
		return err;
	uncertain = json_object_new_object();
	err = put(object, "uncertain", uncertain);
	if (!err)
		err = put(uncertain, "reason", json_object_new_string(doubt->reason));
	if (!err)
		err = put(uncertain, "text", json_object_new_string(doubt->text));
	if (!err)
		err = put_time(uncertain, "since", doubt->since_ns);
	if (!err)
		err = put_time(uncertain, "until", doubt->until_ns);
	return err;
}
