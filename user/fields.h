/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fields.h - the one table of what can be told of a row. Columns, JSON,
 * --list-columns and completion derive from it: a new column is a new line
 * there.
 */
#ifndef TW_FIELDS_H
#define TW_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "out.h"
#include "rows.h"

struct json_object;

enum field_type {
	FIELD_TEXT,	/* JSON string; bytes from outside */
	FIELD_NUMBER,
	FIELD_LIST,	/* JSON array of strings; in a table separated by commas */
};

/* What a getter fills in, by the type of its field. */
struct field_value {
	uint64_t number;
	const char *label;	/* FIELD_NUMBER: what a person reads in place of it; NULL: the number */
	const char *text;	/* FIELD_TEXT: at most `len` bytes, or up to a NUL */
	size_t len;
	const char *words[TUN_FLAG_WORDS];	/* FIELD_LIST: NULL after the last */
	char buf[40];		/* room for `text` */
};

/* Properties. */
#define FIELD_JSON	(1u << 0)  /* in JSON unless other columns are asked for: CONTRACT's members */
#define FIELD_DEVICE	(1u << 1)  /* told of the device, the same for all its holders */
#define FIELD_HOLDER	(1u << 2)  /* told of the holder's fd */
#define FIELD_CUT	(1u << 3)  /* may be cut off where the terminal is too narrow */

struct field {
	const char *name;	/* JSON member; in capitals the column */
	enum field_type type;
	unsigned flags;		/* FIELD_* */
	unsigned needs;		/* ROWS_*: for rows_enrich() before */
	const char *help;
	/* False: unknown. `v` is zeroed before. Nothing in it outlives row and v. */
	bool (*get)(const struct row *row, struct field_value *v);
};

extern const struct field fields[];
extern const size_t fields_len;

/* NULL: there is none. Case does not matter. */
const struct field *field_by_name(const char *name, size_t len);

/* The column's heading: "IFNAME". */
#define FIELD_HEADER_LEN 24
const char *field_header(const struct field *field, char out[FIELD_HEADER_LEN]);

/* The cell of a table, raw; its length. 0, and "" in out: unknown. Cut to size. */
size_t field_text(const struct field *field, const struct row *row, char *out, size_t size);

/* NULL with *err 0: unknown; with *err -ENOMEM: out of memory. */
struct json_object *field_json(const struct field *field, const struct row *row, int *err);

/* Adds every field that has one of the flags (0: all) and is known, as members. 0 or -ENOMEM. */
int fields_json(const struct row *row, unsigned flags, struct json_object *object);

/* Chosen columns, in their order. */
#define MAX_COLUMNS 64
struct columns {
	const struct field *field[MAX_COLUMNS];
	size_t len;
};

/* What `list` shows unasked; NULL-terminated names. */
extern const char *const default_columns[];

/*
 * "COL,COL" or "+COL,COL" (after the default ones); NULL: the default ones.
 * 0; -EINVAL for a word that is no column (which *bad and *bad_len then tell)
 * or for too many (*bad NULL).
 */
int columns_choose(struct columns *columns, const char *list, const char **bad, size_t *bad_len);

/* Of all of them, ORed: ROWS_*. */
unsigned columns_need(const struct columns *columns);

/* ---- out_table.c ---- */

struct out_table {
	bool noheadings;
	bool raw;	/* no padding; blanks and what is unprintable as \xNN: for scripts */
};

/* 0; -ENOMEM; the errno of a failed write, negative. */
int out_table(const struct out_table *table, FILE *out, const struct rows *rows, const struct columns *columns);

/* ---- out_dot.c ---- */

/*
 * A graph for Graphviz of rows in the order of rows_sort(), enriched with
 * ROWS_VM and ROWS_LABEL. 0; -ENOMEM; the errno of a failed write, negative.
 */
int out_dot(FILE *out, const struct rows *rows);

/*
 * The same as a picture (SVG), which Graphviz makes of it. As above; -ECHILD:
 * what is wrong with Graphviz was said.
 */
int out_dot_svg(FILE *out, const struct rows *rows);

#endif /* TW_FIELDS_H */
