// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_time.c - which events are of a time, or make up the state at a moment.
 *
 * `clock` has a row for each stretch in which the clock was not set. Its events
 * are nearly in the order of time: so a moment is found by bisection over seq,
 * and what stands around it is looked at one by one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "history_private.h"

/* Events of a scan, and those whose cause was waited for, are told up to so much later than they are dated. */
#define DISORDER_NS (5 * NSEC_PER_SEC)
#define DISORDER_EVENTS 1024

/* A stretch of events in which the clock was not set. */
struct stretch {
	int64_t first, last;
	int64_t offset_ns;
	char boot[BOOT_ID_LEN + 1];
};

/* All stretches, and what asks for the time of an event. */
struct times {
	struct history_reader *r;
	sqlite3_stmt *stmt;
	struct stretch *s;
	size_t len, room;
};

static int add_stretch(struct times *t, sqlite3_stmt *row)
{
	const char *boot = (const char *)sqlite3_column_text(row, 2);
	struct stretch *s;

	if (ARRAY_ROOM(t->s, t->room, t->len + 1))
		return -ENOMEM;
	s = &t->s[t->len];
	s->first = sqlite3_column_int64(row, 0);
	s->offset_ns = sqlite3_column_int64(row, 1);
	snprintf(s->boot, sizeof(s->boot), "%s", boot ? boot : "");
	/* a new segment repeats what goes on; one without events, just begun, is none */
	if (t->len && s->first <= s[-1].first) {
		s[-1] = *s;
		return 0;
	}
	if (t->len && s[-1].offset_ns == s->offset_ns && !strcmp(s[-1].boot, s->boot))
		return 0;
	t->len++;
	return 0;
}

/* Clipped to the events that there are. */
static int load_stretches(struct times *t)
{
	uint64_t first, last;
	sqlite3_stmt *row;
	size_t to = 0;
	int ret = history_bounds(t->r, &first, &last), step;

	if (ret)
		return ret;
	if (sqlite3_prepare_v2(t->r->db, "SELECT seq, offset_ns, boot FROM clock ORDER BY id", -1, &row, NULL) != SQLITE_OK)
		return history_errno(t->r->db, sqlite3_errcode(t->r->db));
	while (!ret && (step = sqlite3_step(row)) != SQLITE_DONE)
		ret = step == SQLITE_ROW ? add_stretch(t, row) : history_errno(t->r->db, step);
	sqlite3_finalize(row);
	for (size_t i = 0; i < t->len; i++) {
		struct stretch *s = &t->s[i];

		s->last = i + 1 < t->len ? t->s[i + 1].first - 1 : (int64_t)last;
		if (s->first < (int64_t)first)
			s->first = (int64_t)first;
		if (s->last > (int64_t)last)
			s->last = (int64_t)last;
		if (s->first <= s->last)
			t->s[to++] = *s;
	}
	t->len = to;
	return !ret && !to ? -ENODATA : ret;
}

static void times_close(struct times *t)
{
	sqlite3_finalize(t->stmt);
	free(t->s);
	history_reader_end(t->r);
}

/* 0: until times_close() the database is seen as it is now; -ENODATA: there are no events. */
static int times_open(struct times *t, struct history_reader *r)
{
	int ret = history_reader_begin(r);

	*t = (struct times){ .r = r };
	if (ret)
		return ret;
	ret = load_stretches(t);
	if (!ret)
		ret = history_errno(r->db, sqlite3_prepare_v2(r->db, "SELECT time_ns FROM event WHERE seq = ?", -1, &t->stmt, NULL));
	if (ret)
		times_close(t);
	return ret;
}

/* When, by the clock that was not set in the stretch, the event was (CLOCK_REALTIME). */
static int time_of(const struct times *t, const struct stretch *s, int64_t seq, uint64_t *realtime_ns)
{
	int ret;

	sqlite3_bind_int64(t->stmt, 1, seq);
	ret = sqlite3_step(t->stmt);
	*realtime_ns = (uint64_t)(sqlite3_column_int64(t->stmt, 0) + s->offset_ns);
	sqlite3_reset(t->stmt);
	return ret == SQLITE_ROW ? 0 : ret == SQLITE_DONE ? -EUCLEAN : history_errno(t->r->db, ret);
}

/* First event of the stretch that is later than `realtime_ns`; last + 1 when none is. As if they were in order. */
static int bisect(const struct times *t, const struct stretch *s, uint64_t realtime_ns, int64_t *seq)
{
	int64_t low = s->first, high = s->last + 1;
	uint64_t time;
	int ret = 0;

	while (!ret && low < high) {
		int64_t middle = low + (high - low) / 2;

		ret = time_of(t, s, middle, &time);
		if (time > realtime_ns)
			high = middle;
		else
			low = middle + 1;
	}
	*seq = low;
	return ret;
}

static int range_of(const struct times *t, const struct stretch *s, uint64_t since, uint64_t until, int64_t *first,
		    int64_t *last)
{
	int ret = 0;

	*first = s->first;
	*last = s->last;
	if (since > DISORDER_NS)
		ret = bisect(t, s, since - DISORDER_NS - 1, first);
	if (!ret && until) {
		ret = bisect(t, s, until + DISORDER_NS, last);
		--*last;
	}
	return ret;
}

int history_range(struct history_reader *r, uint64_t since, uint64_t until, uint64_t *first, uint64_t *last)
{
	struct times t;
	int64_t from, to;
	int ret = times_open(&t, r);

	*first = *last = 0;
	if (ret)
		return ret;
	for (size_t i = 0; !ret && i < t.len; i++) {
		ret = range_of(&t, &t.s[i], since, until, &from, &to);
		if (ret || from > to)
			continue;
		if (!*first)
			*first = (uint64_t)from;
		*last = (uint64_t)to;
	}
	times_close(&t);
	return !ret && !*first ? -ENODATA : ret;
}

/* --- a moment --- */

/* What is dated before was told a little after, and the other way round: `seq` is where it would be if all were in order. */
static int look_around(const struct times *t, const struct stretch *s, int64_t seq, struct history_query *query)
{
	int64_t from = seq - DISORDER_EVENTS, to = seq + DISORDER_EVENTS, last = seq - 1, after = 0;
	uint64_t time;
	int ret = 0;

	for (int64_t at = from < s->first ? s->first : from; !ret && at <= s->last && at < to; at++) {
		ret = time_of(t, s, at, &time);
		if (!ret && time > query->until_ns)
			after = after ? after : at;
		else if (!ret && at > last)
			last = at;
	}
	query->last = (uint64_t)last;
	query->settled = (uint64_t)(after && after <= last ? after - 1 : last);
	return ret;
}

int history_until(struct history_reader *r, uint64_t realtime_ns, struct history_query *query)
{
	struct times t;
	uint64_t time;
	int64_t at;
	int ret = times_open(&t, r);
	bool found = false;

	query->until_ns = realtime_ns;
	if (ret)
		return ret;
	for (size_t i = t.len; !ret && !found && i-- > 0;) {
		ret = time_of(&t, &t.s[i], t.s[i].first, &time);
		if (ret || time > realtime_ns)
			continue;
		found = true;
		ret = bisect(&t, &t.s[i], realtime_ns, &at);
		if (!ret)
			ret = look_around(&t, &t.s[i], at, query);
	}
	times_close(&t);
	return ret || found ? ret : -ENODATA;
}

int history_state_at(struct history_reader *r, uint64_t realtime_ns, history_fn fn, void *ctx, uint64_t *last)
{
	struct history_query query = { 0 };
	int ret = history_reader_begin(r);

	if (ret)
		return ret;
	ret = history_until(r, realtime_ns, &query);
	*last = query.last;
	/* a snapshot has all that was told before it */
	if (!ret)
		ret = history_snapshot(r, query.settled, &query.first, fn, ctx);
	if (!ret && query.first <= query.last)
		ret = history_each(r, &query, fn, ctx);
	history_reader_end(r);
	return ret;
}

/* --- boots --- */

static int boot_time(const struct times *t, const struct stretch *s, struct history_boot *boot)
{
	int ret = 0;

	if (!boot->first) {
		boot->first = (uint64_t)s->first;
		ret = time_of(t, s, s->first, &boot->first_realtime_ns);
	}
	boot->last = (uint64_t)s->last;
	return ret ? ret : time_of(t, s, s->last, &boot->last_realtime_ns);
}

int history_boots(struct history_reader *r, struct history_boot **boots, size_t *n)
{
	struct times t;
	int ret = times_open(&t, r);

	*boots = NULL;
	*n = 0;
	if (ret)
		return ret == -ENODATA ? 0 : ret;
	*boots = calloc(t.len, sizeof(**boots));
	if (!*boots)
		ret = -ENOMEM;
	for (size_t i = 0; !ret && i < t.len; i++) {
		if (!*n || strcmp((*boots)[*n - 1].id, t.s[i].boot))
			memcpy((*boots)[(*n)++].id, t.s[i].boot, sizeof(t.s[i].boot));
		ret = boot_time(&t, &t.s[i], &(*boots)[*n - 1]);
	}
	times_close(&t);
	return ret;
}
