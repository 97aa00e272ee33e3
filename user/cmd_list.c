// SPDX-License-Identifier: GPL-2.0-only
/* cmd_list.c - the bindings, once: the present ones, or those of a moment of the past. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "diag.h"
#include "fields.h"
#include "options.h"
#include "out_file.h"
#include "past.h"
#include "snapshot.h"
#include "stale.h"

static const char help[] =
	"Usage: tapwatch list [OPTION...]\n\n"
	"Prints every fd that is bound to a TUN/TAP device or waits to be, and every device that nobody\n"
	"holds, of all network namespaces. With --at as it was then, out of the history that 'tapwatch\n"
	"record' wrote. With --stale what is left over: devices that nobody holds, files whose device is\n"
	"gone, fds of a machine's device that others have; since when, where it was recorded.\n";

/* Without --output */
#define STALE_COLUMNS "+stale,stale_since,stale_event,stale_command,stale_pid"

/* Standard output at its end. `err`: negative errno so far. An exit status. */
static int finish(int err)
{
	errno = 0;
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = errno ? -errno : -EIO;
	/* a reader that has seen enough is no failure */
	if (!err || err == -EPIPE)
		return EXIT_FINE;
	warn_msg("cannot write to standard output: %s", strerror(-err));
	return EXIT_FAILED;
}

static int print_columns(void)
{
	for (size_t i = 0; i < fields_len; i++) {
		char header[FIELD_HEADER_LEN];

		printf("%-14s %s\n", field_header(&fields[i], header), fields[i].help);
	}
	return finish(0);
}

/* -1 to go on, or an exit status */
static int choose_columns(struct columns *columns, const char *list)
{
	const char *bad = NULL;
	size_t len = 0;

	if (!columns_choose(columns, list, &bad, &len))
		return -1;
	if (bad)
		warn_msg("unknown column '%.*s'; see 'tapwatch list --list-columns'", (int)len, bad);
	else
		warn_msg("too many columns; there can be %d", MAX_COLUMNS);
	return EXIT_USAGE;
}

/* --- JSON --- */

/* With columns asked for these, else CONTRACT's. */
static int fill_object(struct json_object *object, const struct row *row, const struct columns *columns)
{
	int err = 0;

	if (!columns)
		return fields_json(row, FIELD_JSON, object);
	for (size_t i = 0; i < columns->len && !err; i++) {
		struct json_object *value = field_json(columns->field[i], row, &err);

		if (value && json_object_object_add(object, columns->field[i]->name, value)) {
			json_object_put(value);
			err = -ENOMEM;
		}
	}
	return err;
}

/* One at a time: there may be very many. */
static int print_row(const struct row *row, const struct columns *columns, const char *separator)
{
	struct json_object *object = json_object_new_object();
	int err = object ? fill_object(object, row, columns) : -ENOMEM;

	if (!err && printf("%s\n%s", separator, json_object_to_json_string_ext(
			   object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)) < 0)
		err = -errno;
	json_object_put(object);
	return err;
}

/* The end of the document; of the past also which moment it is, and whether that is sure. */
static int print_end(const struct options *o, const struct doubt *doubt)
{
	struct json_object *object = json_object_new_object();
	const char *text = NULL;
	int err = object ? 0 : -ENOMEM;

	if (!err && o->past)
		err = past_json(object, doubt, o);
	if (!err)
		text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	/* without its opening brace */
	if (text && printf("]%s%s\n", o->past ? "," : "", text + 1) < 0)
		err = -errno;
	json_object_put(object);
	return text || err ? err : -ENOMEM;
}

static int print_json(const struct rows *rows, const struct options *o, const struct columns *columns,
		      const struct doubt *doubt)
{
	int err = 0;

	printf("{\"bindings\":[");
	for (size_t i = 0; i < rows->len && !err; i++)
		err = print_row(&rows->row[i], columns, i ? "," : "");
	printf("%s", rows->len ? "\n" : "");
	return err ? err : print_end(o, doubt);
}

/* --- */

/* An exit status. */
static int draw_rows(const struct rows *rows, const struct options *o)
{
	struct out_file file;
	int err = out_file_open(&file, o->svg);

	if (!err)
		err = out_file_close(&file, out_dot_svg(file.stream, rows));
	if (err == -ECHILD)
		return EXIT_FAILED;
	return err ? out_file_failed(o->svg, err) : EXIT_FINE;
}

static int print_rows(const struct rows *rows, const struct options *o, const struct columns *columns,
		      const struct doubt *doubt)
{
	struct out_table table = { .noheadings = o->noheadings || o->quiet, .raw = o->raw };

	if (o->json)
		return finish(print_json(rows, o, o->columns ? columns : NULL, doubt));
	past_tell(doubt, o);
	if (o->svg)
		return draw_rows(rows, o);
	if (o->dot)
		return finish(out_dot(stdout, rows));
	return finish(out_table(&table, stdout, rows, columns));
}

/* What the output is made of: JSON without chosen columns tells all that CONTRACT lists. */
static unsigned needs(const struct options *o, const struct columns *columns)
{
	unsigned all = 0;

	if (o->dot || o->svg)
		return ROWS_VM | ROWS_LABEL;
	/* JSON has the numbers of namespaces, and their names only as a member of its own */
	if (o->json && o->columns)
		return columns_need(columns) & ~ROWS_LABEL;
	for (size_t i = 0; o->json && i < fields_len; i++)
		if (fields[i].flags & FIELD_JSON)
			all |= fields[i].needs;
	return o->json ? all & ~ROWS_LABEL : columns_need(columns);
}

static int list(const struct options *o)
{
	struct columns columns;
	struct rows rows = { 0 };
	struct doubt doubt = { 0 };
	int status = choose_columns(&columns, o->stale && !o->columns ? STALE_COLUMNS : o->columns);

	if (status >= 0)
		return status;
	status = o->past ? past_read(&rows, o, &doubt) : snapshot_read(&rows, o);
	if (status == EXIT_FINE && !o->past)
		status = snapshot_finish(&rows, needs(o, &columns) | (o->stale ? ROWS_VM : 0), false);
	if (status == EXIT_FINE && o->stale)
		status = stale_keep(&rows, o);
	if (status == EXIT_FINE)
		status = print_rows(&rows, o, &columns, &doubt);
	if (status == EXIT_FINE && !rows.len && filter_has(o->filter, FILTER_PID)) {
		if (!o->quiet)
			warn_msg("none of these processes %s a TUN/TAP file that matches", o->past ? "had" : "has");
		status = EXIT_FAILED;
	}
	rows_free(&rows);
	return status;
}

int cmd_list(int argc, char **argv)
{
	struct options options;
	int status = options_parse(&options, OPT_FILTERS | OPT_JSON | OPT_SNAPSHOT | OPT_COLUMNS | OPT_NOHEADINGS |
				   OPT_NOISE | OPT_AT | OPT_LIST | OPT_SVG, argc, argv, help);

	if (status >= 0)
		return status;
	if (options.first_operand < argc)
		status = usage_error("list", "unexpected argument '%s'", argv[options.first_operand]);
	else if (options.json && options.raw)
		status = usage_error("list", "--json and --raw exclude each other");
	else if ((options.dot || options.svg) && (options.json || options.raw || options.columns))
		status = usage_error("list", "--%s is a form of its own: no --json, --raw or --output", options.dot ? "dot" : "svg");
	else if (options.dot && options.svg)
		status = usage_error("list", "--dot and --svg exclude each other");
	else if (options.list_columns)
		status = print_columns();
	else
		status = list(&options);
	options_free(&options);
	return status;
}
