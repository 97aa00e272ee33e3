// SPDX-License-Identifier: GPL-2.0-only
/*
 * out_table.c - rows as a table for people, through libsmartcols.
 *
 * Cells are escaped here and not by the library: it does not know of the
 * characters that hide or turn a line around, and would escape our escapes.
 * Its raw form escapes everything that is not a visible ASCII character, and
 * is given the bytes as they are.
 */
#include <errno.h>
#include <libsmartcols.h>
#include <limits.h>

#include "escape.h"
#include "fields.h"

static int add_columns(struct libscols_table *table, const struct columns *columns)
{
	for (size_t i = 0; i < columns->len; i++) {
		const struct field *field = columns->field[i];
		bool is_label = field->type == FIELD_NUMBER && (field->flags & FIELD_CUT);
		char header[FIELD_HEADER_LEN];
		int flags = 0;

		if (field->type == FIELD_NUMBER && !is_label)
			flags |= SCOLS_FL_RIGHT;
		if (field->flags & FIELD_CUT)
			flags |= SCOLS_FL_TRUNC;
		if (!scols_table_new_column(table, field_header(field, header), 0, flags))
			return -ENOMEM;
	}
	return 0;
}

static int set_cell(struct libscols_line *line, size_t n, const struct field *field, const struct row *row, bool raw)
{
	char text[PATH_MAX], safe[ESCAPE_SIZE(PATH_MAX)];
	size_t len = field_text(field, row, text, sizeof(text));

	/* never empty: a reader counts words */
	if (!len)
		return scols_line_set_data(line, n, "-");
	if (raw)
		return scols_line_set_data(line, n, text);
	escape_term(safe, sizeof(safe), text, len);
	return scols_line_set_data(line, n, safe);
}

static int add_rows(struct libscols_table *table, const struct rows *rows, const struct columns *columns, bool raw)
{
	int err = 0;

	for (size_t i = 0; i < rows->len && !err; i++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		if (!line)
			return -ENOMEM;
		for (size_t c = 0; c < columns->len && !err; c++)
			err = set_cell(line, c, columns->field[c], &rows->row[i], raw);
	}
	return err;
}

int out_table(const struct out_table *options, FILE *out, const struct rows *rows, const struct columns *columns)
{
	struct libscols_table *table = scols_new_table();
	int err;

	if (!table)
		return -ENOMEM;
	scols_table_set_stream(table, out);
	scols_table_enable_noheadings(table, options->noheadings);
	scols_table_enable_raw(table, options->raw);
	scols_table_enable_noencoding(table, 1);
	err = add_columns(table, columns);
	if (!err)
		err = add_rows(table, rows, columns, options->raw);
	errno = 0;
	if (!err)
		err = scols_print_table(table);
	scols_unref_table(table);
	if (!err && ferror(out))
		err = errno ? -errno : -EIO;
	return err;
}
