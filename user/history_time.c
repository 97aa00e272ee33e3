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

struct stretches {
	struct stretch *s;
	size_t len;
};

static int add_stretch(struct stretches *list, sqlite3_stmt *stmt)
{
	struct stretch *grown = realloc(list->s, (list->len + 1) * sizeof(*grown)), *s;
	const char *boot = (const char *)sqlite3_column_text(stmt, 2);

	if (!grown)
		return -ENOMEM;
	list->s = grown;
	s = &grown[list->len];
	s->first = sqlite3_column_int64(stmt, 0);
	s->offset_ns = sqlite3_column_int64(stmt, 1);
	snprintf(s->boot, sizeof(s->boot), "%s", boot ? boot : "");
	/* a new segment repeats what goes on; one without events, just begun, is none */
	if (list->len && s->first <= s[-1].first) {
		s[-1] = *s;
		return 0;
	}
	if (list->len && s[-1].offset_ns == s->offset_ns && !strcmp(s[-1].boot, s->boot))
		return 0;
	list->len++;
	return 0;
}

/* Clipped to the events that there are. */
static int load_stretches(struct history_reader *r, struct stretches *list)
{
	uint64_t first, last;
	sqlite3_stmt *stmt;
	size_t to = 0;
	int ret = history_bounds(r, &first, &last), step;

	*list = (struct stretches){ 0 };
	if (ret)
		return ret;
	if (sqlite3_prepare_v2(r->db, "SELECT seq, offset_ns, boot FROM clock ORDER BY id", -1, &stmt, NULL) != SQLITE_OK)
		return history_errno(r->db, sqlite3_errcode(r->db));
	while (!ret && (step = sqlite3_step(stmt)) != SQLITE_DONE)
		ret = step == SQLITE_ROW ? add_stretch(list, stmt) : history_errno(r->db, step);
	sqlite3_finalize(stmt);
	for (size_t i = 0; i < list->len; i++) {
		struct stretch *s = &list->s[i];

		s->last = i + 1 < list->len ? list->s[i + 1].first - 1 : (int64_t)last;
		if (s->first < (int64_t)first)
			s->first = (int64_t)first;
		if (s->last > (int64_t)last)
			s->last = (int64_t)last;
		if (s->first <= s->last)
			list->s[to++] = *s;
	}
	list->len = to;
	return !ret && !to ? -ENODATA : ret;
}

static int time_of(struct history_reader *r, sqlite3_stmt *stmt, int64_t seq, int64_t *time_ns)
{
	int ret;

	sqlite3_bind_int64(stmt, 1, seq);
	ret = sqlite3_step(stmt);
	*time_ns = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return ret == SQLITE_ROW ? 0 : ret == SQLITE_DONE ? -EUCLEAN : history_errno(r->db, ret);
}

static int prepare_time(struct history_reader *r, sqlite3_stmt **stmt)
{
	return history_errno(r->db, sqlite3_prepare_v2(r->db, "SELECT time_ns FROM event WHERE seq = ?", -1, stmt, NULL));
}

/* First event of the stretch that is later than `realtime_ns`; last + 1 when none is. As if they were in order. */
static int bisect(struct history_reader *r, sqlite3_stmt *stmt, const struct stretch *s, uint64_t realtime_ns, int64_t *seq)
{
	int64_t low = s->first, high = s->last + 1, time;
	int ret = 0;

	while (!ret && low < high) {
		int64_t middle = low + (high - low) / 2;

		ret = time_of(r, stmt, middle, &time);
		if (time + s->offset_ns > (int64_t)realtime_ns)
			high = middle;
		else
			low = middle + 1;
	}
	*seq = low;
	return ret;
}

static int range_of(struct history_reader *r, sqlite3_stmt *stmt, const struct stretch *s, uint64_t since, uint64_t until,
		    int64_t *first, int64_t *last)
{
	int ret = 0;

	*first = s->first;
	*last = s->last;
	if (since > DISORDER_NS)
		ret = bisect(r, stmt, s, since - DISORDER_NS - 1, first);
	if (!ret && until) {
		ret = bisect(r, stmt, s, until + DISORDER_NS, last);
		--*last;
	}
	return ret;
}

int history_range(struct history_reader *r, uint64_t since, uint64_t until, uint64_t *first, uint64_t *last)
{
	struct stretches list;
	sqlite3_stmt *stmt = NULL;
	int64_t from, to;
	int ret = history_reader_begin(r);

	if (ret)
		return ret;
	*first = *last = 0;
	ret = load_stretches(r, &list);
	if (!ret)
		ret = prepare_time(r, &stmt);
	for (size_t i = 0; !ret && i < list.len; i++) {
		ret = range_of(r, stmt, &list.s[i], since, until, &from, &to);
		if (ret || from > to)
			continue;
		if (!*first)
			*first = (uint64_t)from;
		*last = (uint64_t)to;
	}
	sqlite3_finalize(stmt);
	free(list.s);
	history_reader_end(r);
	return !ret && !*first ? -ENODATA : ret;
}

/* --- a moment --- */

struct moment {
	int64_t last;		/* the last event that is dated before or at it */
	int64_t settled;	/* up to this one, none is dated after it */
};

/* What is dated before was told a little after, and the other way round. */
static int look_around(struct history_reader *r, sqlite3_stmt *stmt, const struct stretch *s, uint64_t realtime_ns,
		       int64_t seq, struct moment *m)
{
	int64_t from = seq - DISORDER_EVENTS, to = seq + DISORDER_EVENTS, after = 0, time;
	int ret = 0;

	m->last = seq - 1;
	for (int64_t at = from < s->first ? s->first : from; !ret && at <= s->last && at < to; at++) {
		ret = time_of(r, stmt, at, &time);
		if (!ret && time + s->offset_ns > (int64_t)realtime_ns)
			after = after ? after : at;
		else if (!ret && at > m->last)
			m->last = at;
	}
	m->settled = after && after <= m->last ? after - 1 : m->last;
	return ret;
}

static int find_moment(struct history_reader *r, uint64_t realtime_ns, struct moment *m)
{
	struct stretches list;
	sqlite3_stmt *stmt = NULL;
	int64_t at = 0, time;
	bool found = false;
	int ret = load_stretches(r, &list);

	if (!ret)
		ret = prepare_time(r, &stmt);
	for (size_t i = list.len; !ret && !found && i-- > 0;) {
		const struct stretch *s = &list.s[i];

		ret = time_of(r, stmt, s->first, &time);
		if (ret || time + s->offset_ns > (int64_t)realtime_ns)
			continue;
		found = true;
		ret = bisect(r, stmt, s, realtime_ns, &at);
		if (!ret)
			ret = look_around(r, stmt, s, realtime_ns, at, m);
	}
	sqlite3_finalize(stmt);
	free(list.s);
	return ret || found ? ret : -ENODATA;
}

int history_until(struct history_reader *r, uint64_t realtime_ns, struct history_query *query)
{
	struct moment m = { 0 };
	int ret = history_reader_begin(r);

	if (ret)
		return ret;
	ret = find_moment(r, realtime_ns, &m);
	history_reader_end(r);
	query->last = (uint64_t)m.last;
	query->settled = (uint64_t)m.settled;
	query->until_ns = realtime_ns;
	return ret;
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

static int boot_time(struct history_reader *r, sqlite3_stmt *stmt, const struct stretch *s, struct history_boot *boot)
{
	int64_t time;
	int ret = 0;

	if (!boot->first) {
		boot->first = (uint64_t)s->first;
		ret = time_of(r, stmt, s->first, &time);
		boot->first_realtime_ns = (uint64_t)(time + s->offset_ns);
	}
	boot->last = (uint64_t)s->last;
	if (!ret)
		ret = time_of(r, stmt, s->last, &time);
	boot->last_realtime_ns = (uint64_t)(time + s->offset_ns);
	return ret;
}

int history_boots(struct history_reader *r, struct history_boot **boots, size_t *n)
{
	struct stretches list;
	sqlite3_stmt *stmt = NULL;
	int ret = history_reader_begin(r);

	*boots = NULL;
	*n = 0;
	if (ret)
		return ret;
	ret = load_stretches(r, &list);
	if (!ret)
		ret = prepare_time(r, &stmt);
	if (!ret && !(*boots = calloc(list.len, sizeof(**boots))))
		ret = -ENOMEM;
	for (size_t i = 0; !ret && i < list.len; i++) {
		if (!*n || strcmp((*boots)[*n - 1].id, list.s[i].boot))
			memcpy((*boots)[(*n)++].id, list.s[i].boot, sizeof(list.s[i].boot));
		ret = boot_time(r, stmt, &list.s[i], &(*boots)[*n - 1]);
	}
	sqlite3_finalize(stmt);
	free(list.s);
	history_reader_end(r);
	return ret == -ENODATA ? 0 : ret;
}
