// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_query.c - which rows answer a question.
 *
 * By time: history_time.c. By name: `name` tells which devices had it,
 * `event_device` their events. What is larger than that is a walk over the
 * events in question.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "array.h"
#include "history_private.h"

int history_reader_open(struct history_reader **out, const char *path, char *err, size_t errsize)
{
	sqlite3 *db;
	int ret;

	*out = NULL;
	if (access(path, F_OK))
		return history_complain(path, -errno, err, errsize);
	ret = history_db_open(&db, path, false, err, errsize);
	if (ret)
		return ret;
	ret = reader_new(out, db, false);
	if (ret) {
		history_complain(path, ret, err, errsize);
		if (*out)
			history_reader_close(*out);
		else
			sqlite3_close(db);
		*out = NULL;
	}
	return ret;
}

int history_reader_begin(struct history_reader *r)
{
	int ret = 0;

	if (!r->borrowed && !r->depth)
		/* BEGIN alone waits for the first read; the head is as good as any */
		ret = history_exec(r->db, "BEGIN; SELECT seq FROM head");
	r->depth += !ret;
	return ret;
}

void history_reader_end(struct history_reader *r)
{
	if (r->depth && !--r->depth && !r->borrowed)
		history_exec(r->db, "COMMIT");
}

int64_t history_version(struct history_reader *r)
{
	int64_t version = history_number(r->db, "PRAGMA data_version");

	return version < 0 ? -EIO : version;
}

/* --- bounds ------------------------------------------------------------------------------------ */

int64_t reader_first(struct history_reader *r)
{
	int64_t first = history_number(r->db, "SELECT first FROM mark WHERE kind = 2 ORDER BY id DESC LIMIT 1");

	return first > 0 ? first : 1;
}

int history_bounds(struct history_reader *r, uint64_t *first, uint64_t *last)
{
	int64_t end = history_number(r->db, "SELECT ifnull(max(seq), 0) FROM event");

	if (end < 0)
		return history_errno(r->db, sqlite3_errcode(r->db)) ? history_errno(r->db, sqlite3_errcode(r->db)) : -EUCLEAN;
	*first = (uint64_t)reader_first(r);
	*last = (uint64_t)end;
	return *last >= *first ? 0 : -ENODATA;
}

int history_head(struct history_reader *r, struct history_head *head)
{
	sqlite3_stmt *stmt;
	const char *boot;
	int ret = sqlite3_prepare_v2(r->db, "SELECT seq, realtime_ns, boottime_ns, boot, pid, stopped, hash, device, file "
				     "FROM head", -1, &stmt, NULL);

	memset(head, 0, sizeof(*head));
	if (ret != SQLITE_OK)
		return history_errno(r->db, ret);
	ret = sqlite3_step(stmt);
	if (ret != SQLITE_ROW || sqlite3_column_bytes(stmt, 6) != HISTORY_HASH_LEN) {
		sqlite3_finalize(stmt);
		return -EUCLEAN;
	}
	head->seq = (uint64_t)sqlite3_column_int64(stmt, 0);
	head->realtime_ns = (uint64_t)sqlite3_column_int64(stmt, 1);
	head->boottime_ns = (uint64_t)sqlite3_column_int64(stmt, 2);
	boot = (const char *)sqlite3_column_text(stmt, 3);
	snprintf(head->boot_id, sizeof(head->boot_id), "%s", boot ? boot : "");
	head->pid = (uint32_t)sqlite3_column_int64(stmt, 4);
	head->stopped = sqlite3_column_int(stmt, 5);
	memcpy(head->hash, sqlite3_column_blob(stmt, 6), HISTORY_HASH_LEN);
	head->device_id = (uint64_t)sqlite3_column_int64(stmt, 7);
	head->file_id = (uint64_t)sqlite3_column_int64(stmt, 8);
	sqlite3_finalize(stmt);
	return 0;
}

static int salt(struct history_reader *r, uint64_t to[2])
{
	sqlite3_stmt *stmt;
	int ret = -EUCLEAN;

	if (sqlite3_prepare_v2(r->db, "SELECT salt FROM head", -1, &stmt, NULL) != SQLITE_OK)
		return -EIO;
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == 16) {
		memcpy(to, sqlite3_column_blob(stmt, 0), 16);
		ret = 0;
	}
	sqlite3_finalize(stmt);
	return ret;
}

uint64_t history_hash_address(struct history_reader *r, uint64_t addr)
{
	uint64_t key[2];

	return salt(r, key) ? 0 : history_salted_address(key, addr);
}

int history_file_addresses(struct history_reader *r,
			   int (*fn)(void *ctx, uint64_t file_id, uint64_t address), void *ctx)
{
	sqlite3_stmt *stmt;
	int64_t from = 0;
	int ret = 0, step;

	/* ids of a segment mark: the first one of each table */
	if (sqlite3_prepare_v2(r->db, "SELECT ids FROM mark WHERE kind = 0 ORDER BY id DESC LIMIT 1", -1, &stmt, NULL) ==
	    SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *ids = (const char *)sqlite3_column_text(stmt, 0);

		for (int t = 0; ids && t < T_FILE; t++)
			ids = strchr(ids, ' ') ? strchr(ids, ' ') + 1 : NULL;
		from = ids ? strtoll(ids, NULL, 10) : 0;
	}
	sqlite3_finalize(stmt);
	if (sqlite3_prepare_v2(r->db, "SELECT number, address FROM file WHERE id >= ? AND address IS NOT NULL ORDER BY id", -1,
			       &stmt, NULL) != SQLITE_OK)
		return history_errno(r->db, sqlite3_errcode(r->db));
	sqlite3_bind_int64(stmt, 1, from);
	while (!ret && (step = sqlite3_step(stmt)) != SQLITE_DONE)
		ret = step == SQLITE_ROW ? fn(ctx, (uint64_t)sqlite3_column_int64(stmt, 0),
					      (uint64_t)sqlite3_column_int64(stmt, 1)) : history_errno(r->db, step);
	sqlite3_finalize(stmt);
	return ret;
}

/* --- events ---------------------------------------------------------------------------------------- */

static int give(struct history_reader *r, sqlite3_stmt *stmt, history_fn fn, void *ctx)
{
	struct value values[MAX_COLUMNS];
	struct event event;
	int64_t seq;
	int ret;

	schema_row(stmt, T_EVENT, &seq, values);
	ret = reader_event(r, seq, values, &event);
	return ret ? ret : fn(ctx, &event);
}

int history_event(struct history_reader *r, uint64_t seq, struct event *event)
{
	struct value values[MAX_COLUMNS];
	int64_t id;
	int ret = 0;

	if (!r->by_id[T_EVENT])
		ret = schema_prepare_select(r->db, T_EVENT, "WHERE seq = ?", &r->by_id[T_EVENT]);
	if (ret)
		return ret;
	sqlite3_bind_int64(r->by_id[T_EVENT], 1, (int64_t)seq);
	ret = sqlite3_step(r->by_id[T_EVENT]);
	if (ret == SQLITE_ROW) {
		schema_row(r->by_id[T_EVENT], T_EVENT, &id, values);
		ret = reader_event(r, id, values, event);
	} else {
		ret = ret == SQLITE_DONE ? -ENOENT : history_errno(r->db, ret);
	}
	sqlite3_reset(r->by_id[T_EVENT]);
	return ret;
}

static int each_in_range(struct history_reader *r, const struct history_query *q, int64_t first, history_fn fn, void *ctx)
{
	sqlite3_stmt *stmt;
	int ret = schema_prepare_select(r->db, T_EVENT, q->reverse ? "WHERE seq BETWEEN ? AND ? ORDER BY seq DESC" :
					"WHERE seq BETWEEN ? AND ? ORDER BY seq", &stmt), step;

	if (ret)
		return ret;
	sqlite3_bind_int64(stmt, 1, first);
	sqlite3_bind_int64(stmt, 2, q->last && q->last < INT64_MAX ? (int64_t)q->last : INT64_MAX);
	while (!ret && (step = sqlite3_step(stmt)) != SQLITE_DONE)
		ret = step == SQLITE_ROW ? give(r, stmt, fn, ctx) : history_errno(r->db, step);
	sqlite3_finalize(stmt);
	return ret;
}

/* --- by name ------------------------------------------------------------------------------------------ */

struct numbers {
	int64_t *n;
	size_t len, room;
	bool failed;
};

static void add_number(struct numbers *list, int64_t number)
{
	if (ARRAY_ROOM(list->n, list->room, list->len + 1))
		list->failed = true;
	else
		list->n[list->len++] = number;
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void sort_unique(struct numbers *list)
{
	size_t to = 0;

	if (!list->len)
		return;
	qsort(list->n, list->len, sizeof(list->n[0]), by_number);
	for (size_t i = 1; i < list->len; i++)
		if (list->n[i] != list->n[to])
			list->n[++to] = list->n[i];
	list->len = to + 1;
}

static bool wanted(const struct history_query *q, const char *ifname)
{
	for (size_t i = 0; i < q->n_ifnames; i++)
		if (!fnmatch(q->ifnames[i], ifname, 0))
			return true;
	return false;
}

/* What a look-up by name has found. */
struct named {
	struct numbers devices;		/* that had such a name */
	struct numbers *seqs;		/* of events that only asked for one */
};

/* A row: device, seq. */
static void add_named(struct named *found, sqlite3_stmt *row, int column)
{
	if (sqlite3_column_type(row, column) == SQLITE_INTEGER)
		add_number(&found->devices, sqlite3_column_int64(row, column));
	else
		add_number(found->seqs, sqlite3_column_int64(row, column + 1));
}

/*
 * What all names of the patterns begin with: of one pattern what stands before
 * its first special character. A pattern without any is the name itself.
 */
static bool common_prefix(const struct history_query *q, char prefix[TW_NAME_LEN + 1])
{
	size_t len = q->n_ifnames == 1 ? strcspn(q->ifnames[0], "*?[\\") : 0;
	bool whole = q->n_ifnames == 1 && !q->ifnames[0][len];

	if (len > TW_NAME_LEN)
		len = TW_NAME_LEN;
	memcpy(prefix, q->n_ifnames ? q->ifnames[0] : "", len);
	prefix[len] = '\0';
	return whole;
}

/* The stretches that the index of names consists of: NAME_STRETCH of the first and of the last name. */
static int name_stretches(sqlite3 *db, int64_t *first, int64_t *last)
{
	*first = history_number(db, "SELECT ifnull((SELECT " NAME_STRETCH " FROM name ORDER BY id LIMIT 1), 0)");
	*last = history_number(db, "SELECT ifnull((SELECT " NAME_STRETCH " FROM name ORDER BY id DESC LIMIT 1), 0)");
	return *first < 0 || *last < 0 ? -EUCLEAN : 0;
}

/* A name is stored as text where it is clean, else as a blob: asked for as both. */
static int look_up_one(sqlite3 *db, const char *ifname, int64_t stretch, int64_t last, struct named *found)
{
	sqlite3_stmt *stmt;
	int ret = sqlite3_prepare_v2(db, "SELECT device, seq FROM name WHERE " NAME_STRETCH " = ?1 "
				     "AND ifname IN (CAST(?2 AS TEXT), CAST(?2 AS BLOB))", -1, &stmt, NULL);

	if (ret != SQLITE_OK)
		return history_errno(db, ret);
	sqlite3_bind_blob(stmt, 2, ifname, (int)strlen(ifname), SQLITE_STATIC);
	for (ret = SQLITE_DONE; ret == SQLITE_DONE && stretch <= last; stretch++) {
		sqlite3_bind_int64(stmt, 1, stretch);
		while ((ret = sqlite3_step(stmt)) == SQLITE_ROW)
			add_named(found, stmt, 0);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return ret == SQLITE_DONE ? 0 : history_errno(db, ret);
}

/* Rows in the order of names: each name is looked at once. */
static int match_rows(sqlite3_stmt *stmt, const struct history_query *q, struct named *found)
{
	char ifname[TW_NAME_LEN + 1], before[TW_NAME_LEN + 1] = "";
	bool match = wanted(q, before);
	int ret;

	while ((ret = sqlite3_step(stmt)) == SQLITE_ROW) {
		snprintf(ifname, sizeof(ifname), "%.*s", sqlite3_column_bytes(stmt, 0),
			 (const char *)sqlite3_column_blob(stmt, 0));
		if (strcmp(ifname, before))
			match = wanted(q, ifname);
		memcpy(before, ifname, sizeof(before));
		if (match)
			add_named(found, stmt, 1);
	}
	sqlite3_reset(stmt);
	return ret;
}

static int look_up_range(sqlite3 *db, const char *sql, const char *prefix, int64_t stretch, int64_t last,
			 const struct history_query *q, struct named *found)
{
	char end[TW_NAME_LEN + 2];
	sqlite3_stmt *stmt;
	int ret = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (ret != SQLITE_OK)
		return history_errno(db, ret);
	/* UTF-8 has no byte 0xff */
	snprintf(end, sizeof(end), "%s\xff", prefix);
	sqlite3_bind_text(stmt, 2, prefix, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 3, end, -1, SQLITE_STATIC);
	for (ret = SQLITE_DONE; ret == SQLITE_DONE && stretch <= last; stretch++) {
		sqlite3_bind_int64(stmt, 1, stretch);
		ret = match_rows(stmt, q, found);
	}
	sqlite3_finalize(stmt);
	return ret == SQLITE_DONE ? 0 : history_errno(db, ret);
}

#define NAMES "SELECT ifname, device, seq FROM name WHERE " NAME_STRETCH " = ?1 AND "

/* Those that begin with the prefix; and blobs, which are few and come after all text. */
static int look_up_all(sqlite3 *db, const char *prefix, int64_t stretch, int64_t last, const struct history_query *q,
		       struct named *found)
{
	int ret = look_up_range(db, NAMES "ifname >= ?2 AND ifname < ?3 ORDER BY ifname", prefix, stretch, last, q, found);

	return ret ? ret : look_up_range(db, NAMES "ifname >= x'' ORDER BY ifname", prefix, stretch, last, q, found);
}

static int look_up_names(struct history_reader *r, const struct history_query *q, struct named *found)
{
	char prefix[TW_NAME_LEN + 1];
	bool whole = common_prefix(q, prefix);
	int64_t stretch, last;
	int ret = name_stretches(r->db, &stretch, &last);

	if (ret)
		return ret;
	return whole ? look_up_one(r->db, prefix, stretch, last, found) : look_up_all(r->db, prefix, stretch, last, q, found);
}

static int collect(struct history_reader *r, const char *sql, int64_t number, const struct history_query *q, int64_t first,
		   struct numbers *seqs)
{
	sqlite3_stmt *stmt;
	int ret = sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL);

	if (ret != SQLITE_OK)
		return history_errno(r->db, ret);
	sqlite3_bind_int64(stmt, 1, first);
	sqlite3_bind_int64(stmt, 2, q->last && q->last < INT64_MAX ? (int64_t)q->last : INT64_MAX);
	sqlite3_bind_int64(stmt, 3, number);
	while ((ret = sqlite3_step(stmt)) == SQLITE_ROW)
		add_number(seqs, sqlite3_column_int64(stmt, 0));
	sqlite3_finalize(stmt);
	return ret == SQLITE_DONE ? 0 : history_errno(r->db, ret);
}

/* More devices than that are better looked for event by event. */
#define MANY_DEVICES 20000

static int find_by_name(struct history_reader *r, const struct history_query *q, int64_t first, struct numbers *seqs)
{
	struct named found = { .seqs = seqs };
	struct numbers *devices = &found.devices;
	int ret = look_up_names(r, q, &found);

	sort_unique(devices);
	if (!ret && devices->len > MANY_DEVICES)
		ret = -E2BIG;
	for (size_t i = 0; !ret && i < devices->len; i++)
		ret = collect(r, "SELECT seq FROM event WHERE seq BETWEEN ?1 AND ?2 AND device = ?3", devices->n[i], q, first,
			      seqs);
	if (!ret && !q->no_run_events)
		ret = collect(r, "SELECT seq FROM event INDEXED BY event_run WHERE seq BETWEEN ?1 AND ?2 "
			      "AND (count IS NOT NULL OR info IS NOT NULL)", 0, q, first, seqs);
	if (devices->failed || seqs->failed)
		ret = -ENOMEM;
	free(devices->n);
	sort_unique(seqs);
	return ret;
}

static int each_by_name(struct history_reader *r, const struct history_query *q, int64_t first, history_fn fn, void *ctx)
{
	struct numbers seqs = { 0 };
	struct event event;
	int ret = find_by_name(r, q, first, &seqs);

	if (ret == -E2BIG) {
		free(seqs.n);
		return each_in_range(r, q, first, fn, ctx);
	}
	for (size_t i = 0; !ret && i < seqs.len; i++) {
		int64_t seq = seqs.n[q->reverse ? seqs.len - 1 - i : i];

		if (seq < first || (q->last && seq > (int64_t)q->last))
			continue;
		ret = history_event(r, (uint64_t)seq, &event);
		if (!ret)
			ret = fn(ctx, &event);
	}
	free(seqs.n);
	return ret;
}

int history_process_netns(struct history_reader *r, uint32_t pid, int (*fn)(void *ctx, uint32_t inode), void *ctx)
{
	sqlite3_stmt *stmt;
	int ret = sqlite3_prepare_v2(r->db, "SELECT DISTINCT n.inode FROM process p JOIN netns n ON n.id = p.netns "
				     "WHERE p.pid = ? AND n.inode", -1, &stmt, NULL), step;

	if (ret != SQLITE_OK)
		return history_errno(r->db, ret);
	sqlite3_bind_int64(stmt, 1, pid);
	while (!ret && (step = sqlite3_step(stmt)) != SQLITE_DONE)
		ret = step == SQLITE_ROW ? fn(ctx, (uint32_t)sqlite3_column_int64(stmt, 0)) : history_errno(r->db, step);
	sqlite3_finalize(stmt);
	return ret;
}

struct until {
	const struct history_query *query;
	history_fn fn;
	void *ctx;
};

static int give_until(void *ctx, const struct event *event)
{
	const struct until *u = ctx;

	if (event->seq > u->query->settled && event->realtime_ns > u->query->until_ns)
		return 0;
	return u->fn(u->ctx, event);
}

int history_each(struct history_reader *r, const struct history_query *q, history_fn fn, void *ctx)
{
	struct until until = { q, fn, ctx };
	int64_t first;
	int ret = history_reader_begin(r);

	if (ret)
		return ret;
	if (q->until_ns) {
		fn = give_until;
		ctx = &until;
	}
	first = reader_first(r);
	if ((int64_t)q->first > first)
		first = (int64_t)q->first;
	ret = q->n_ifnames ? each_by_name(r, q, first, fn, ctx) : each_in_range(r, q, first, fn, ctx);
	history_reader_end(r);
	return ret;
}

/* --- snapshots ---------------------------------------------------------------------------------------------- */

static int give_entries(struct history_reader *r, const struct value *mark, history_fn fn, void *ctx)
{
	struct value values[MAX_COLUMNS];
	struct event event;
	sqlite3_stmt *stmt;
	int64_t id;
	int ret = schema_prepare_select(r->db, T_ENTRY, "WHERE id BETWEEN ? AND ? ORDER BY id", &stmt), step;

	if (ret)
		return ret;
	sqlite3_bind_int64(stmt, 1, mark[MARK_FIRST].number);
	sqlite3_bind_int64(stmt, 2, mark[MARK_LAST].number);
	while (!ret && (step = sqlite3_step(stmt)) != SQLITE_DONE) {
		if (step != SQLITE_ROW) {
			ret = history_errno(r->db, step);
			break;
		}
		schema_row(stmt, T_ENTRY, &id, values);
		ret = reader_entry(r, mark, values, &event);
		if (!ret)
			ret = fn(ctx, &event);
	}
	sqlite3_finalize(stmt);
	return ret;
}

static int snapshot(struct history_reader *r, uint64_t seq, uint64_t *from, history_fn fn, void *ctx)
{
	struct value mark[MAX_COLUMNS];
	int64_t id, first = reader_first(r);
	sqlite3_stmt *stmt;
	int ret = schema_prepare_select(r->db, T_MARK, "WHERE kind = 1 AND seq BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
					&stmt), step;

	if (ret)
		return ret;
	*from = (uint64_t)first;
	sqlite3_bind_int64(stmt, 1, first - 1);
	sqlite3_bind_int64(stmt, 2, (int64_t)seq);
	step = sqlite3_step(stmt);
	if (step == SQLITE_ROW) {
		schema_row(stmt, T_MARK, &id, mark);
		*from = (uint64_t)mark[MARK_SEQ].number + 1;
		ret = give_entries(r, mark, fn, ctx);
	} else if (step != SQLITE_DONE) {
		ret = history_errno(r->db, step);
	}
	sqlite3_finalize(stmt);
	return ret;
}

int history_snapshot(struct history_reader *r, uint64_t seq, uint64_t *from, history_fn fn, void *ctx)
{
	int ret = history_reader_begin(r);

	if (ret)
		return ret;
	ret = snapshot(r, seq, from, fn, ctx);
	history_reader_end(r);
	return ret;
}
