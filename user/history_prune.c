// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_prune.c - retention: whole segments from the old end.
 *
 * First a mark goes into the chain: which event is the first one kept, and
 * the hash before it. It is on disk before the first row is deleted, and
 * readers see nothing older from then on. The rows follow in steps between
 * events; after a crash the rest follows at the next start. Pages that become
 * free are used again, so the file does not grow while as much goes as comes;
 * where it is larger than it may be, free pages are cut off its end
 * (auto_vacuum = INCREMENTAL).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "history_private.h"

#define CHECK_NS	(2 * NSEC_PER_SEC)	/* between two looks at age and size */
#define STEP_ROWS	500
#define STEP_PAGES	64
#define FULL_PERCENT	85			/* of max_bytes: what else there is, the log, needs some */

struct prune {
	int64_t low[T_MAX], bound[T_MAX];	/* ids from low to bound - 1 are to go */
	sqlite3_stmt *delete[T_MAX];
	int table;				/* T_MAX: nothing to delete */
	bool shrink;
	uint64_t checked_ns;
	uint64_t checked_segment;		/* h->segment_seq then */
};

/* Events before those they refer to: whoever reads meanwhile starts after both. */
static const enum table_id order[] = { T_EVENT, T_ENTRY, T_NAME, T_STATE, T_FILE, T_PROCESS, T_VM, T_OLD, T_NETNS,
				       T_CLOCK, T_TEXT, T_MARK };
#define N_ORDER ((int)(sizeof(order) / sizeof(order[0])))

bool prune_busy(const struct history *h)
{
	return h->prune && (h->prune->table < N_ORDER || h->prune->shrink);
}

/* Takes over the bounds of a segment mark: "1 2 …", by table. */
static int set_bounds(struct history *h, const char *ids)
{
	struct prune *p = h->prune;
	char sql[96], *end;

	for (int t = 0; t < T_MAX; t++) {
		p->bound[t] = strtoll(ids, &end, 10);
		if (end == ids)
			return -EUCLEAN;
		ids = end;
		snprintf(sql, sizeof(sql), "SELECT ifnull(min(%s), %lld) FROM %s", schema[t].key, (long long)p->bound[t],
			 schema[t].name);
		p->low[t] = history_number(h->db, sql);
		if (p->low[t] < 0)
			return -EUCLEAN;
	}
	p->table = 0;
	return 0;
}

/* The rest of what a former run began. */
static int take_up(struct history *h)
{
	sqlite3_stmt *stmt;
	int ret = 0;

	if (sqlite3_prepare_v2(h->db, "SELECT ids FROM mark WHERE kind = 2 ORDER BY id DESC LIMIT 1", -1, &stmt, NULL) !=
	    SQLITE_OK)
		return history_errno(h->db, sqlite3_errcode(h->db));
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0))
		ret = set_bounds(h, (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return ret;
}

int prune_init(struct history *h)
{
	char sql[96];

	h->prune = calloc(1, sizeof(*h->prune));
	if (!h->prune)
		return -ENOMEM;
	h->prune->table = N_ORDER;
	for (int t = 0; t < T_MAX; t++) {
		snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE %s >= ? AND %s < ?", schema[t].name, schema[t].key,
			 schema[t].key);
		if (sqlite3_prepare_v3(h->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &h->prune->delete[t], NULL) != SQLITE_OK)
			return history_errno(h->db, sqlite3_errcode(h->db));
	}
	return take_up(h);
}

void prune_free(struct history *h)
{
	if (!h->prune)
		return;
	for (int t = 0; t < T_MAX; t++)
		sqlite3_finalize(h->prune->delete[t]);
	free(h->prune);
	h->prune = NULL;
}

/* --- what is to go ------------------------------------------------------------------------- */

static uint64_t page_size(const struct history *h)
{
	return (uint64_t)history_number(h->db, "PRAGMA page_size");
}

static uint64_t file_pages(const struct history *h)
{
	return (uint64_t)history_number(h->db, "PRAGMA page_count");
}

static bool too_large(const struct history *h)
{
	uint64_t used = file_pages(h) - (uint64_t)history_number(h->db, "PRAGMA freelist_count");

	return h->options.max_bytes && used * page_size(h) > h->options.max_bytes / 100 * FULL_PERCENT;
}

static bool file_too_large(const struct history *h)
{
	return h->options.max_bytes && file_pages(h) * page_size(h) > h->options.max_bytes / 100 * (FULL_PERCENT + 10) &&
	       history_number(h->db, "PRAGMA freelist_count") > STEP_PAGES;
}

/*
 * The segment that is to be the first: of the younger ones (never what is
 * being written) the last that is old enough or, for the size, the next.
 */
static sqlite3_stmt *find_segment(const struct history *h, bool by_size)
{
	static const char by_age_sql[] =
		"SELECT m.seq, m.base, m.ids FROM mark m JOIN clock c ON c.id = m.clock WHERE m.kind = 0 AND m.seq >= ?1 "
		"AND m.time_ns + c.offset_ns <= ?2 ORDER BY m.id DESC LIMIT 1";
	static const char by_size_sql[] =
		"SELECT seq, base, ids FROM mark WHERE kind = 0 AND seq >= ?1 ORDER BY id LIMIT 1";
	int64_t first = reader_first(h->reader);
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(h->db, by_size ? by_size_sql : by_age_sql, -1, &stmt, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_bind_int64(stmt, 1, first);
	if (!by_size)
		sqlite3_bind_int64(stmt, 2, (int64_t)(history_now(CLOCK_REALTIME) - h->options.keep_ns));
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_bytes(stmt, 1) == HISTORY_HASH_LEN &&
	    sqlite3_column_text(stmt, 2))
		return stmt;
	sqlite3_finalize(stmt);
	return NULL;
}

static void begin(struct history *h, sqlite3_stmt *segment)
{
	struct value v[MARK_COLUMNS] = { [MARK_KIND] = value_int(MARK_PRUNE) };
	const char *ids = (const char *)sqlite3_column_text(segment, 2);

	history_begin_batch(h);
	if (h->stuck)
		return;
	v[MARK_SEQ] = value_int(h->next_id[T_EVENT] - 1);
	v[MARK_FIRST] = value_int(sqlite3_column_int64(segment, 0) + 1);
	v[MARK_BASE] = value_bytes(sqlite3_column_blob(segment, 1), HISTORY_HASH_LEN);
	v[MARK_IDS] = value_bytes(ids, strlen(ids));
	if (history_insert(h, T_MARK, v) && !history_commit(h))
		set_bounds(h, ids);
}

static void look(struct history *h)
{
	sqlite3_stmt *segment = NULL;

	if (h->options.keep_ns)
		segment = find_segment(h, false);
	if (!segment && too_large(h))
		segment = find_segment(h, true);
	if (segment)
		begin(h, segment);
	sqlite3_finalize(segment);
	h->prune->shrink = file_too_large(h);
}

/* --- and goes -------------------------------------------------------------------------------- */

static void delete_some(struct history *h)
{
	struct prune *p = h->prune;
	enum table_id t = order[p->table];
	int64_t end = p->low[t] + STEP_ROWS;
	sqlite3_stmt *stmt = p->delete[t];
	int ret;

	if (end > p->bound[t])
		end = p->bound[t];
	if (p->low[t] < end) {
		history_begin_batch(h);
		if (h->stuck)
			return;
		sqlite3_bind_int64(stmt, 1, p->low[t]);
		sqlite3_bind_int64(stmt, 2, end);
		ret = sqlite3_step(stmt);
		sqlite3_reset(stmt);
		if (ret != SQLITE_DONE) {
			history_fail(h, ret);
			return;
		}
		p->low[t] = end;
	}
	if (p->low[t] < p->bound[t])
		return;
	p->table++;
	if (p->table == N_ORDER)
		p->checked_ns = 0;	/* there may be more to remove */
}

static void shrink_some(struct history *h)
{
	char sql[48];
	int ret;

	history_begin_batch(h);
	if (h->stuck)
		return;
	snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", STEP_PAGES);
	ret = history_exec(h->db, sql);
	h->prune->shrink = !ret && file_too_large(h);
}

void prune_work(struct history *h)
{
	uint64_t now = history_now(CLOCK_BOOTTIME), end = now + HISTORY_STEP_MS * NSEC_PER_MSEC;
	struct prune *p = h->prune;

	if (h->stuck || (!h->options.keep_ns && !h->options.max_bytes && !prune_busy(h)))
		return;
	history_flush(h);
	/* by the clock, and when there is one segment more, or less */
	if (!prune_busy(h) && (now - p->checked_ns >= CHECK_NS || h->segment_seq != p->checked_segment)) {
		p->checked_ns = now;
		p->checked_segment = h->segment_seq;
		look(h);
	}
	while (!h->stuck && prune_busy(h) && now < end) {
		if (p->table < N_ORDER)
			delete_some(h);
		else
			shrink_some(h);
		now = history_now(CLOCK_BOOTTIME);
	}
	/* after a failure the rows are where they were */
	if (h->stuck && p->table < N_ORDER)
		take_up(h);
}
