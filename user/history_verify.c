// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_verify.c - the chain walked again, from the rows.
 *
 * The rows stand in tables, the chain was made in the order of insertion. That
 * order follows from the references: a row was inserted with the first record
 * (event or mark) that leads to it, after what it refers to, by the order of
 * the columns; ids rise by one. So each table is read once from its beginning.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_private.h"

/* A table being read in the order of its ids. */
struct cursor {
	sqlite3_stmt *stmt;
	int64_t last;		/* id of the last row chained */
	int64_t id;		/* of the row at hand; 0: none */
	struct value values[MAX_COLUMNS];
};

struct walk {
	struct history_reader *r;
	struct history_verdict *verdict;
	const uint8_t *anchor;
	struct hash_chain chain;
	struct cursor cursor[T_MAX];
	int64_t seq;		/* last event chained */
	int err;
};

__attribute__((format(printf, 3, 4)))
static void bad(struct walk *w, int64_t seq, const char *format, ...)
{
	va_list ap;

	if (w->verdict->reason[0])
		return;
	w->verdict->ok = false;
	w->verdict->bad_seq = (uint64_t)seq;
	va_start(ap, format);
	vsnprintf(w->verdict->reason, sizeof(w->verdict->reason), format, ap);
	va_end(ap);
}

static bool over(const struct walk *w)
{
	return w->err || !w->verdict->ok;
}

/* The next row comes to hand; id 0 when there is none. */
static void step(struct walk *w, enum table_id table)
{
	struct cursor *c = &w->cursor[table];
	int ret = sqlite3_step(c->stmt);

	c->id = 0;
	if (ret == SQLITE_ROW)
		schema_row(c->stmt, table, &c->id, c->values);
	else if (ret != SQLITE_DONE)
		w->err = history_errno(w->r->db, ret);
}

static void chain_references(struct walk *w, enum table_id table, int64_t seq);

/* The row at hand is the next one, and joins the chain after what it refers to. */
static void chain_row(struct walk *w, enum table_id table, int64_t seq)
{
	struct cursor *c = &w->cursor[table];

	if (c->id != c->last + 1) {
		bad(w, seq, "row %" PRId64 " of table %s is missing", c->last + 1, schema[table].name);
		return;
	}
	chain_references(w, table, seq);
	if (over(w))
		return;
	hash_add(&w->chain, table, c->id, c->values, schema[table].n_columns);
	w->verdict->rows++;
	c->last = c->id;
}

/* All rows of a dictionary up to this id. */
static void chain_up_to(struct walk *w, enum table_id table, int64_t id, int64_t seq)
{
	struct cursor *c = &w->cursor[table];

	while (!over(w) && c->last < id) {
		chain_row(w, table, seq);
		if (!over(w))
			step(w, table);
	}
}

static void chain_references(struct walk *w, enum table_id table, int64_t seq)
{
	const struct cursor *c = &w->cursor[table];

	for (int i = 0; i < schema[table].n_columns; i++)
		if (schema[table].columns[i].type == COL_REF && c->values[i].type == VALUE_INT)
			chain_up_to(w, schema[table].columns[i].ref, c->values[i].number, seq);
}

/* The record at hand ends: is the chain where it was then? */
static void close_record(struct walk *w, enum table_id table, int64_t seq)
{
	struct cursor *c = &w->cursor[table];
	int at = schema[table].n_columns + 1;

	if (over(w))
		return;
	hash_close(&w->chain);
	if (sqlite3_column_bytes(c->stmt, at) != 8 || memcmp(sqlite3_column_blob(c->stmt, at), w->chain.hash, 8))
		bad(w, seq, table == T_EVENT ? "it, or a row that came with it, is not as it was written" :
		    "a snapshot or other mark after it is not as it was written");
	else if (w->anchor && !memcmp(w->anchor, w->chain.hash, HISTORY_HASH_LEN)) {
		w->verdict->anchor_found = true;
		w->verdict->anchor_seq = (uint64_t)seq;
	}
}

/* --- marks ---------------------------------------------------------------------------------------- */

static void check_base(struct walk *w, const struct value *base, int64_t seq)
{
	if (base->type != VALUE_BYTES || base->len != HISTORY_HASH_LEN || memcmp(base->bytes, w->chain.hash, HISTORY_HASH_LEN))
		bad(w, seq, "the segment after it does not begin with its hash");
}

static void verify_mark(struct walk *w)
{
	struct cursor *c = &w->cursor[T_MARK];
	int64_t kind = c->values[MARK_KIND].number;

	if (kind == MARK_SEGMENT)
		check_base(w, &c->values[MARK_BASE], w->seq);
	if (kind == MARK_SNAPSHOT)
		chain_up_to(w, T_ENTRY, c->values[MARK_LAST].number, w->seq);
	chain_row(w, T_MARK, w->seq);
	close_record(w, T_MARK, w->seq);
	if (!over(w))
		step(w, T_MARK);
}

/* All marks that were made after the last event and before the next. */
static void verify_marks(struct walk *w)
{
	const struct cursor *c = &w->cursor[T_MARK];

	while (!over(w) && c->id && c->values[MARK_SEQ].number <= w->seq)
		verify_mark(w);
}

/* --- events ------------------------------------------------------------------------------------------ */

static void verify_event(struct walk *w)
{
	struct cursor *c = &w->cursor[T_EVENT], *name = &w->cursor[T_NAME];

	if (c->id != w->seq + 1) {
		bad(w, w->seq + 1, "it is missing");
		return;
	}
	chain_references(w, T_EVENT, c->id);
	while (!over(w) && name->id && name->values[NAME_SEQ].number == c->id)
		chain_up_to(w, T_NAME, name->last + 1, c->id);
	chain_row(w, T_EVENT, c->id);
	close_record(w, T_EVENT, c->id);
	if (over(w))
		return;
	w->seq = c->id;
	w->verdict->last = (uint64_t)c->id;
	step(w, T_EVENT);
}

/* --- where it begins and ends --------------------------------------------------------------------------- */

static int begin_at(struct walk *w, const char *ids)
{
	char *end;
	int ret = 0;

	for (int t = 0; !ret && t < T_MAX; t++) {
		struct cursor *c = &w->cursor[t];
		char tail[64];

		c->last = strtoll(ids, &end, 10) - 1;
		if (end == ids)
			return -EUCLEAN;
		ids = end;
		snprintf(tail, sizeof(tail), "WHERE %s > ? ORDER BY %s", schema[t].key, schema[t].key);
		ret = schema_prepare_select(w->r->db, (enum table_id)t, tail, &c->stmt);
		if (ret)
			break;
		sqlite3_bind_int64(c->stmt, 1, c->last);
		step(w, (enum table_id)t);
		ret = w->err;
	}
	return ret;
}

/* The first segment that is kept: all there is begins with it. */
static int begin(struct walk *w)
{
	int64_t first = reader_first(w->r);
	sqlite3_stmt *stmt;
	int ret;

	if (sqlite3_prepare_v2(w->r->db, "SELECT base, ids, (SELECT base FROM mark WHERE kind = 2 ORDER BY id DESC LIMIT 1) "
			       "FROM mark WHERE kind = 0 AND seq = ? ORDER BY id LIMIT 1", -1, &stmt, NULL) != SQLITE_OK)
		return history_errno(w->r->db, sqlite3_errcode(w->r->db));
	sqlite3_bind_int64(stmt, 1, first - 1);
	ret = sqlite3_step(stmt);
	if (ret == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == HISTORY_HASH_LEN && sqlite3_column_text(stmt, 1)) {
		hash_set(&w->chain, sqlite3_column_blob(stmt, 0));
		if (first > 1 && (sqlite3_column_bytes(stmt, 2) != HISTORY_HASH_LEN ||
				  memcmp(sqlite3_column_blob(stmt, 2), w->chain.hash, HISTORY_HASH_LEN)))
			bad(w, first, "what retention noted when it removed the events before does not agree with it");
		ret = begin_at(w, (const char *)sqlite3_column_text(stmt, 1));
	} else {
		ret = 0;
		bad(w, first, "the segment that begins with it is missing");
	}
	sqlite3_finalize(stmt);
	w->seq = first - 1;
	w->verdict->first = (uint64_t)first;
	w->verdict->last = (uint64_t)first - 1;
	w->verdict->pruned_before = first > 1 ? (uint64_t)first : 0;
	return ret;
}

static void check_end(struct walk *w)
{
	struct history_head head;

	if (over(w))
		return;
	w->err = history_head(w->r, &head);
	if (!w->err && head.seq > (uint64_t)w->seq)
		bad(w, w->seq + 1, "it is missing");
	for (int t = 0; t < T_MAX; t++)
		if (!over(w) && w->cursor[t].id)
			bad(w, w->seq, "after it comes a row of table %s that no record leads to", schema[t].name);
	if (!over(w) && (head.seq != (uint64_t)w->seq || memcmp(head.hash, w->chain.hash, HISTORY_HASH_LEN)))
		bad(w, w->seq, "it is the last one, but the head of the chain is another");
}

static int walk(struct walk *w)
{
	int ret = hash_init(&w->chain);

	if (!ret)
		ret = begin(w);
	if (ret)
		return ret;
	verify_marks(w);
	while (!over(w) && w->cursor[T_EVENT].id) {
		verify_event(w);
		verify_marks(w);
	}
	check_end(w);
	if (w->chain.failed)
		return -ENOMEM;
	memcpy(w->verdict->hash, w->chain.hash, HISTORY_HASH_LEN);
	return w->err;
}

int history_verify(struct history_reader *r, const uint8_t *anchor, struct history_verdict *verdict)
{
	struct walk w = { .r = r, .verdict = verdict, .anchor = anchor };
	int ret = history_reader_begin(r);

	memset(verdict, 0, sizeof(*verdict));
	verdict->ok = true;
	if (ret)
		return ret;
	ret = walk(&w);
	for (int t = 0; t < T_MAX; t++)
		sqlite3_finalize(w.cursor[t].stmt);
	hash_free(&w.chain);
	history_reader_end(r);
	return ret;
}
