// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_pending.c - rows on their way into the tables, many at once.
 *
 * A row is kept as the bytes that went into the chain, behind those of its
 * table, until there are some hundred: then one statement puts all of them in,
 * "INSERT INTO event SELECT * FROM pending_event", where pending_event is a
 * virtual table over these bytes. So a row costs no statement of its own; and
 * what the table gets was taken from what was hashed.
 *
 * Whoever reads on this connection has the rows put in first:
 * history_flush(), history_flush_row().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_private.h"

#define PENDING_BYTES (32 << 10)	/* of a table */
#define HASH_KEPT 8			/* of the chain, after the row's bytes */

/* --- text or bytes ------------------------------------------------------------------------ */

/* Length of a character of UTF-8 that is no control character; 0: it is none, or not whole. */
static size_t character(const uint8_t *s, size_t len)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	if (s[0] < 0x20 || s[0] == 0x7f || (s[0] >= 0x80 && s[0] < 0xc2) || s[0] >= 0xf5 || n > len)
		return 0;
	/* U+0080 to U+009f are control characters, too */
	if (s[0] == 0xc2 && s[1] < 0xa0)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* How many bytes of whole words at the beginning are printable ASCII. */
static size_t plain_text(const uint8_t *s, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t word = eight(s + i);

		if (ANY_LESS(word, 0x20) | ANY_EQUAL(word, 0x7f) | (word & EACH(0x80)))
			break;
	}
	return i;
}

/* As text where the sqlite3 shell can show it as such: UTF-8 without control characters. */
static bool is_text(const uint8_t *s, size_t len)
{
	for (size_t i = plain_text(s, len), n; i < len; i += n) {
		n = s[i] - 0x20u < 0x5f ? 1 : character(s + i, len - i);
		if (!n)
			return false;
	}
	return true;
}

/* The sqlite3 shell shows it as text where it is such. */
static void result_bytes(sqlite3_context *context, const struct pending *p, int column, const uint8_t *bytes, size_t len)
{
	enum table_id table = p->table;
	bool binary = (table == T_STATE && column == STATE_MAC) || (table == T_OLD && column == OLD_MAC) ||
		      (table == T_MARK && column == MARK_BASE);

	if (!binary && is_text(bytes, len))
		sqlite3_result_text(context, (const char *)bytes, (int)len, SQLITE_STATIC);
	else
		sqlite3_result_blob(context, bytes, (int)len, SQLITE_STATIC);
}

/* --- the virtual table ------------------------------------------------------------------------ */

struct pending_table {
	sqlite3_vtab base;
	struct pending *pending;
};

/* Columns are asked for one after the other; a row read in another order begins anew. */
struct pending_cursor {
	sqlite3_vtab_cursor base;
	const struct pending *pending;
	size_t row, at;		/* where in the bytes: the row, the column `next` */
	int next;		/* of the columns after the key */
	int64_t id;
};

static int vt_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **err)
{
	struct pending *p = aux;
	const struct schema_table *t = &schema[p->table];
	struct pending_table *table = sqlite3_malloc(sizeof(*table));
	char sql[512];
	int len = snprintf(sql, sizeof(sql), "CREATE TABLE pending (%s", t->key), ret;

	(void)argc;
	(void)argv;
	(void)err;
	if (!table)
		return SQLITE_NOMEM;
	for (int i = 0; i < t->n_columns; i++)
		len += snprintf(sql + len, sizeof(sql) - (size_t)len, ", %s", t->columns[i].name);
	snprintf(sql + len, sizeof(sql) - (size_t)len, "%s)", t->hashed ? ", hash" : "");
	*table = (struct pending_table){ .pending = p };
	ret = sqlite3_declare_vtab(db, sql);
	if (ret == SQLITE_OK)
		*out = &table->base;
	else
		sqlite3_free(table);
	return ret;
}

static int vt_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	(void)info;
	return SQLITE_OK;
}

static int vt_disconnect(sqlite3_vtab *table)
{
	sqlite3_free(table);
	return SQLITE_OK;
}

static int vt_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
	struct pending_cursor *c = sqlite3_malloc(sizeof(*c));

	if (!c)
		return SQLITE_NOMEM;
	*c = (struct pending_cursor){ .pending = ((struct pending_table *)table)->pending };
	*out = &c->base;
	return SQLITE_OK;
}

static int vt_close(sqlite3_vtab_cursor *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

static bool at_end(const struct pending_cursor *c)
{
	return c->row >= c->pending->rows.len;
}

static void row_start(struct pending_cursor *c)
{
	c->at = c->row;
	c->next = 0;
	if (!at_end(c))
		c->id = row_id(c->pending->rows.data, &c->at);
}

static int vt_filter(sqlite3_vtab_cursor *base, int number, const char *string, int argc, sqlite3_value **argv)
{
	struct pending_cursor *c = (struct pending_cursor *)base;

	(void)number;
	(void)string;
	(void)argc;
	(void)argv;
	c->row = 0;
	row_start(c);
	return SQLITE_OK;
}

static void skip_to(struct pending_cursor *c, int column)
{
	if (column < c->next)
		row_start(c);
	for (; c->next < column; c->next++)
		(void)row_value(c->pending->rows.data, &c->at);
}

static int vt_next(sqlite3_vtab_cursor *base)
{
	struct pending_cursor *c = (struct pending_cursor *)base;
	const struct schema_table *t = &schema[c->pending->table];

	skip_to(c, t->n_columns);
	c->row = c->at + (t->hashed ? HASH_KEPT : 0);
	row_start(c);
	return SQLITE_OK;
}

static int vt_eof(sqlite3_vtab_cursor *base)
{
	return at_end((struct pending_cursor *)base);
}

static int vt_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	struct pending_cursor *c = (struct pending_cursor *)base;
	const struct pending *p = c->pending;
	struct value value;

	if (!column) {
		sqlite3_result_int64(context, c->id);
		return SQLITE_OK;
	}
	skip_to(c, --column);
	if (column == schema[p->table].n_columns) {
		sqlite3_result_blob(context, p->rows.data + c->at, HASH_KEPT, SQLITE_STATIC);
		return SQLITE_OK;
	}
	value = row_value(p->rows.data, &c->at);
	c->next++;
	if (value.type == VALUE_INT)
		sqlite3_result_int64(context, value.number);
	else if (value.type == VALUE_BYTES)
		result_bytes(context, p, column, value.bytes, value.len);
	return SQLITE_OK;
}

static int vt_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *id)
{
	*id = ((struct pending_cursor *)base)->id;
	return SQLITE_OK;
}

/* Without xCreate: there without CREATE VIRTUAL TABLE, and only here. */
static const sqlite3_module module = {
	.xConnect = vt_connect, .xBestIndex = vt_best_index, .xDisconnect = vt_disconnect,
	.xOpen = vt_open, .xClose = vt_close, .xFilter = vt_filter, .xNext = vt_next, .xEof = vt_eof,
	.xColumn = vt_column, .xRowid = vt_rowid,
};

/* --- rows ---------------------------------------------------------------------------------- */

int pending_init(struct history *h)
{
	char sql[96];

	for (int t = 0; t < T_MAX; t++) {
		struct pending *p = &h->pending[t];

		p->table = (enum table_id)t;
		snprintf(sql, sizeof(sql), "pending_%s", schema[t].name);
		if (sqlite3_create_module(h->db, sql, &module, p) != SQLITE_OK)
			return history_errno(h->db, sqlite3_errcode(h->db));
		/* a failure undoes the whole transaction: nothing needs to be kept to undo one statement */
		snprintf(sql, sizeof(sql), "INSERT OR FAIL INTO %s SELECT * FROM pending_%s", schema[t].name, schema[t].name);
		if (sqlite3_prepare_v3(h->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &p->insert, NULL) != SQLITE_OK)
			return history_errno(h->db, sqlite3_errcode(h->db));
	}
	return 0;
}

void pending_finalize(struct history *h)
{
	for (int t = 0; t < T_MAX; t++) {
		sqlite3_finalize(h->pending[t].insert);
		free(h->pending[t].rows.data);
	}
}

void pending_forget(struct history *h)
{
	for (int t = 0; t < T_MAX; t++) {
		sqlite3_reset(h->pending[t].insert);
		h->pending[t].rows.len = 0;
	}
}

static void flush(struct history *h, struct pending *p)
{
	int ret;

	if (h->stuck || !p->rows.len)
		return;
	ret = sqlite3_step(p->insert);
	sqlite3_reset(p->insert);
	p->rows.len = 0;
	if (ret != SQLITE_DONE)
		history_fail(h, ret);
}

void history_flush(struct history *h)
{
	for (int t = 0; t < T_MAX; t++)
		flush(h, &h->pending[t]);
}

void history_flush_row(struct history *h, enum table_id table, int64_t id)
{
	if (h->pending[table].rows.len && id >= h->pending[table].first)
		flush(h, &h->pending[table]);
}

int64_t history_insert(struct history *h, enum table_id table, const struct value *values)
{
	const struct schema_table *t = &schema[table];
	struct pending *p = &h->pending[table];
	int64_t id = h->next_id[table];
	size_t at = p->rows.len;

	history_begin_batch(h);
	if (h->stuck)
		return 0;
	if (!at)
		p->first = id;
	row_bytes(&p->rows, table, id, values, t->n_columns);
	hash_bytes(&h->chain, p->rows.data + at, p->rows.len - at);
	if (t->hashed) {
		hash_close(&h->chain);
		bytes_add(&p->rows, h->chain.hash, HASH_KEPT);
	}
	if (p->rows.failed || h->chain.failed) {
		p->rows.failed = h->chain.failed = false;
		history_fail(h, SQLITE_NOMEM);
		return 0;
	}
	h->next_id[table]++;
	if (p->rows.len >= PENDING_BYTES)
		flush(h, p);
	return h->stuck ? 0 : id;
}
