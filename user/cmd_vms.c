// SPDX-License-Identifier: GPL-2.0-only
/* cmd_vms.c - the virtual machines with their interfaces, now or at a past moment; one machine's run as a timeline. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "diag.h"
#include "escape.h"
#include "fields.h"
#include "netns.h"
#include "options.h"
#include "out.h"
#include "out_file.h"
#include "out_stats.h"
#include "out_timeline.h"
#include "past.h"
#include "snapshot.h"
#include "vm.h"
#include "vm_live.h"
#include "vm_story.h"

static const char help[] =
	"Usage: tapwatch vms [OPTION...]\n"
	"       tapwatch vms NAME [OPTION...]\n"
	"       tapwatch vms --stats [OPTION...]\n\n"
	"Prints every virtual machine that has a TUN/TAP device, a line for each of its interfaces. With a\n"
	"NAME (a glob, or a UUID) the last run of that machine out of the history, as a timeline: who\n"
	"prepared its interfaces, what was done to them, and how it ended; with --at the last one that\n"
	"began before; with --svg FILE as a picture. Where nothing was recorded: what a running tapwatch\n"
	"saw of the running machine.\n"
	"With --stats how long starts took, by day and by who prepared them, out of the history.\n";

#define COLUMNS "vm_name,vm_type,vm_manager,pid,start,start_ms,ifname,kind,netns,master,queues,vhost"

/* ---- rows of machines: one for each interface ---- */

/* The machine's own process; of the past only the holder is known. */
static int compare_text(const char *a, const char *b)
{
	return strverscmp(a ? a : "", b ? b : "");
}

static int compare_number(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* By name; what is of one machine together, of one device too, the machine's own process first. */
static int by_machine(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int ret = compare_text(x->vm_name, y->vm_name);

	if (!ret)
		ret = compare_number(row_machine_pid(x), row_machine_pid(y));
	if (!ret)
		ret = compare_number(x->dev.netns, y->dev.netns);
	if (!ret)
		ret = strncmp(x->dev.ifname, y->dev.ifname, TW_NAME_LEN);
	if (!ret)
		ret = compare_number(x->device_id, y->device_id);
	if (!ret)
		ret = (y->task.pid == row_machine_pid(y)) - (x->task.pid == row_machine_pid(x));
	return ret ? ret : x->fd < y->fd ? -1 : x->fd > y->fd;
}

static bool same_machine(const struct row *x, const struct row *y)
{
	return row_machine_pid(x) == row_machine_pid(y);
}

static bool same_interface(const struct row *x, const struct row *y)
{
	return same_machine(x, y) && x->device_id == y->device_id && x->dev.netns == y->dev.netns &&
	       !strncmp(x->dev.ifname, y->dev.ifname, TW_NAME_LEN);
}

static void keep_machines(struct rows *rows)
{
	size_t n = 0;

	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i].vm_type)
			rows->row[n++] = rows->row[i];
	rows->len = n;
	if (n)
		qsort(rows->row, n, sizeof(*rows->row), by_machine);
}

/* For the table: the first row of each interface. */
static void keep_interfaces(struct rows *rows)
{
	size_t n = 0;

	for (size_t i = 0; i < rows->len; i++)
		if (!n || !same_interface(&rows->row[n - 1], &rows->row[i]))
			rows->row[n++] = rows->row[i];
	rows->len = n;
}

/* ---- JSON: an object a machine ---- */

static int hang_in(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

/* Members of the object and the fields they come from. */
static const struct {
	const char *key, *field;
} machine_members[] = {
	{ "name", "vm_name" }, { "type", "vm_type" }, { "uuid", "vm_uuid" }, { "manager", "vm_manager" },
	{ "command", "command" }, { "user", "user" }, { "uid", "uid" }, { "since", "start" },
	{ "start_ns", "start_ns" }, { "start_ms", "start_ms" }, { "exe", "exe" }, { "cgroup", "cgroup" }, { "process_netns", "process_netns" },
	{ "vhost", "vhost" }, { "declared", "declared" },
};

static int put_member(struct json_object *object, const char *key, const char *name, const struct row *row)
{
	struct json_object *value;
	int err;

	value = field_json(field_by_name(name, strlen(name)), row, &err);
	return value ? hang_in(object, key, value) : err;
}

/* What is told of the device, and the fds of all its rows. */
static struct json_object *interface_json(const struct row *row, size_t len)
{
	struct json_object *object = json_object_new_object(), *fds = json_object_new_array();
	int err = object && fds ? fields_json(row, FIELD_DEVICE, object) : -ENOMEM;

	for (size_t i = 0; i < len && !err; i++)
		if (row[i].fd >= 0 && json_object_array_add(fds, json_object_new_int(row[i].fd)))
			err = -ENOMEM;
	if (!err && row_state_name(row->state))
		err = hang_in(object, "state", json_object_new_string(row_state_name(row->state)));
	if (!err)
		err = hang_in(object, "fds", json_object_get(fds));
	json_object_put(fds);
	if (!err)
		return object;
	json_object_put(object);
	return NULL;
}

static struct json_object *machine_json(const struct row *row, size_t len)
{
	struct json_object *object = json_object_new_object(), *interfaces = json_object_new_array();
	int err = object && interfaces ? 0 : -ENOMEM;

	if (!err)
		err = hang_in(object, "pid", json_object_new_int64(row_machine_pid(row)));
	if (!err && row->task.pid != row_machine_pid(row))
		err = hang_in(object, "holder_pid", json_object_new_int64(row->task.pid));
	for (size_t i = 0; i < sizeof(machine_members) / sizeof(machine_members[0]) && !err; i++)
		err = put_member(object, machine_members[i].key, machine_members[i].field, row);
	for (size_t i = 0, n; i < len && !err; i += n) {
		struct json_object *one;

		for (n = 1; i + n < len && same_interface(&row[i], &row[i + n]);)
			n++;
		one = interface_json(&row[i], n);
		if (!one || json_object_array_add(interfaces, one)) {
			json_object_put(one);
			err = -ENOMEM;
		}
	}
	if (!err)
		err = hang_in(object, "interfaces", json_object_get(interfaces));
	json_object_put(interfaces);
	if (!err)
		return object;
	json_object_put(object);
	return NULL;
}

static int print_machine(const struct row *row, size_t len, const struct options *o, const struct doubt *doubt)
{
	struct json_object *object = machine_json(row, len);
	int err = object ? 0 : -ENOMEM;

	if (!err && o->past)
		err = past_json(object, doubt, o);
	if (!err && printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE)) < 0)
		err = -errno;
	json_object_put(object);
	return err;
}

static int print_json(const struct rows *rows, const struct options *o, const struct doubt *doubt)
{
	int err = 0;

	for (size_t i = 0, n; i < rows->len && !err; i += n) {
		for (n = 1; i + n < rows->len && same_machine(&rows->row[i], &rows->row[i + n]);)
			n++;
		err = print_machine(&rows->row[i], n, o, doubt);
	}
	return err;
}

/* ---- */

static int finish(int err)
{
	errno = 0;
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = errno ? -errno : -EIO;
	/* a reader that has seen enough is no failure */
	if (!err || err == -EPIPE)
		return EXIT_FINE;
	if (err == -ENOMEM)
		warn_msg("cannot go on: out of memory");
	else
		warn_msg("cannot write to standard output: %s", strerror(-err));
	return EXIT_FAILED;
}

static int print(struct rows *rows, const struct options *o, const struct doubt *doubt)
{
	struct out_table table = { .noheadings = o->noheadings || o->quiet, .raw = o->raw };
	struct columns columns;
	const char *bad = NULL, *more = o->columns;
	char list[512];
	size_t len = 0;

	if (o->json)
		return finish(print_json(rows, o, doubt));
	snprintf(list, sizeof(list), "%s%s%s", !more || *more == '+' ? COLUMNS : "", more && *more == '+' ? "," : "",
		 !more ? "" : *more == '+' ? more + 1 : more);
	if (columns_choose(&columns, list, &bad, &len)) {
		warn_msg("unknown column '%.*s'; see 'tapwatch list --list-columns'", (int)len, bad ? bad : "");
		return EXIT_USAGE;
	}
	past_tell(doubt, o);
	keep_interfaces(rows);
	return finish(out_table(&table, stdout, rows, &columns));
}

/* ---- one machine's run ---- */

static void show(char *out, size_t size, const char *text)
{
	escape_term(out, size, text ? text : "", text ? strlen(text) : 0);
}

/* Offsets count from the first thing that is told. */
static uint64_t story_origin(const struct story *story)
{
	uint64_t first = story->n_items ? story->items[0].boottime_ns : story->start_boottime_ns;

	return story->process_start_ns && story->process_start_ns < first ? story->process_start_ns : first;
}

static void print_head(const struct story *story)
{
	char type[64], name[ESCAPE_SIZE(VM_TEXT_LEN)], uuid[ESCAPE_SIZE(64)], manager[64];

	show(type, sizeof(type), story->type);
	show(name, sizeof(name), story->name);
	show(uuid, sizeof(uuid), story->uuid);
	show(manager, sizeof(manager), story->manager);
	printf("%s (%s%s%s%s%s), pid %u\n", *name ? name : uuid, type, *manager ? ", " : "", manager,
	       *name && *uuid ? ", " : "", *name ? uuid : "", story->pid);
	if (story->start_seq)
		timeline_put_moment(stdout, "  first device at ", story->start_realtime_ns);
	else
		printf("  it ran before it was recorded");
	timeline_put_moment(stdout, "; ended at ", story->stop_realtime_ns);
	printf("%s\n", story->cut ? "; of what came between only beginning and end are shown" : "");
}

static void print_offset(uint64_t at, uint64_t origin)
{
	uint64_t ns = at > origin ? at - origin : 0;

	printf("%+10.3f s  ", (double)ns / 1e9);
}

/* The process itself started at some point between. */
static bool print_process(const struct story *story, uint64_t before, uint64_t origin)
{
	if (!story->process_start_ns || story->process_start_ns > before)
		return false;
	print_offset(story->process_start_ns, origin);
	printf("process %u started\n", story->pid);
	return true;
}

/* A line as watch has it, but for its time. */
static int print_item(struct out_text *text, const struct event *event, uint64_t origin)
{
	char *line = NULL, *at;
	size_t size = 0;
	FILE *memory = open_memstream(&line, &size);
	int err = memory ? out_text(text, memory, event) : -ENOMEM;

	if (memory && fclose(memory) && !err)
		err = -ENOMEM;
	/* "2026-11-22 06:02:53.232 " */
	at = !err && size > 24 ? line + 24 : NULL;
	if (at) {
		print_offset(event->change->time_ns, origin);
		fputs(at, stdout);
	}
	free(line);
	return err;
}

static int print_story(struct history_reader *reader, const struct story *story)
{
	struct out_text text = { .date = true, .init_netns = netns_initial() };
	uint64_t origin = story_origin(story);
	bool started = false;
	int err = 0;

	print_head(story);
	for (size_t i = 0; i < story->n_items && !err; i++) {
		struct event event;

		if (!started)
			started = print_process(story, story->items[i].boottime_ns, origin);
		err = history_event(reader, story->items[i].seq, &event);
		if (!err)
			err = print_item(&text, &event, origin);
	}
	return err;
}

static int add_text(struct json_object *object, const char *key, const char *text)
{
	char safe[ESCAPE_SIZE(VM_TEXT_LEN)];

	if (!text)
		return 0;
	escape_utf8(safe, sizeof(safe), text, strlen(text));
	return hang_in(object, key, json_object_new_string(safe));
}

static int add_items(struct json_object *array, struct history_reader *reader, const struct story *story)
{
	uint64_t origin = story_origin(story);
	int err = 0;

	for (size_t i = 0; i < story->n_items && !err; i++) {
		struct json_object *one;
		struct event event;

		err = history_event(reader, story->items[i].seq, &event);
		one = err ? NULL : event_json(&event);
		if (!err)
			err = one ? hang_in(one, "offset_ns", json_object_new_uint64(story->items[i].boottime_ns - origin)) :
				    -ENOMEM;
		if (one && json_object_array_add(array, one)) {
			json_object_put(one);
			err = -ENOMEM;
		}
	}
	return err;
}

static int print_story_json(struct history_reader *reader, const struct story *story)
{
	struct json_object *object = json_object_new_object(), *timeline = json_object_new_array();
	int err = object && timeline ? add_text(object, "name", story->name) : -ENOMEM;

	if (!err)
		err = add_text(object, "type", story->type);
	if (!err)
		err = add_text(object, "uuid", story->uuid);
	if (!err)
		err = add_text(object, "manager", story->manager);
	if (!err)
		err = hang_in(object, "pid", json_object_new_int64(story->pid));
	if (!err && story->process_start_ns)
		err = hang_in(object, "start_ns", json_object_new_uint64(story->process_start_ns));
	if (!err)
		err = hang_in(object, "running", json_object_new_boolean(!story->stop_seq));
	if (!err)
		err = add_items(timeline, reader, story);
	if (!err)
		err = hang_in(object, "timeline", json_object_get(timeline));
	json_object_put(timeline);
	if (!err && printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE)) < 0)
		err = -errno;
	json_object_put(object);
	return err;
}

/* An exit status. */
static int draw_story(struct history_reader *reader, const struct options *o, const struct story *story)
{
	struct out_file file;
	int err = out_file_open(&file, o->svg);
	bool unread;

	if (err)
		return out_file_failed(o->svg, err);
	err = story_svg(reader, story, file.stream, false);
	unread = err && !ferror(file.stream);
	err = out_file_close(&file, err);
	if (unread)
		return past_failed(o, err);
	return err ? out_file_failed(o->svg, err) : EXIT_FINE;
}

static int tell_story(struct history_reader *reader, const struct options *o, const char *name)
{
	struct story story;
	struct history_query query = { 0 };
	int err = o->past ? history_until(reader, o->at_ns, &query) : 0;

	if (!err)
		err = story_find(reader, name, query.last, &story);
	else
		memset(&story, 0, sizeof(story));
	if (err == -ENOENT || err == -ENODATA) {
		char safe[ESCAPE_SIZE(256)];

		int status = o->past ? -1 : vm_live_tell(o, name, "the history does not know it");

		escape_term(safe, sizeof(safe), name, strnlen(name, 256));
		if (status < 0)
			warn_msg("the history knows no virtual machine '%s'%s", safe, o->past ? "" : ", and none runs");
		return status < 0 ? EXIT_FAILED : status;
	}
	if (!err && o->svg) {
		int status = draw_story(reader, o, &story);

		story_free(&story);
		return status;
	}
	if (!err)
		err = o->json ? print_story_json(reader, &story) : print_story(reader, &story);
	story_free(&story);
	return err && err != -EPIPE ? past_failed(o, err) : finish(0);
}

/* Nothing was recorded: what is there, and what is known of it. */
static int without_history(const struct options *o, const char *name)
{
	int status = vm_live_tell(o, name, "there is no history");
	char safe[ESCAPE_SIZE(256)];

	if (status >= 0)
		return status;
	escape_term(safe, sizeof(safe), name, strnlen(name, 256));
	warn_msg("no virtual machine '%s' runs, and there is no history of those that did (%s); 'tapwatch record' writes it",
		 safe, o->db);
	return EXIT_FAILED;
}

static int vms_name(const struct options *o, const char *name)
{
	bool nothing = !strcmp(o->db, HISTORY_DEFAULT_DB) && !o->past && access(o->db, F_OK) && errno == ENOENT;
	struct history_reader *reader = nothing ? NULL : past_open(o);
	int status = EXIT_FAILED;

	if (nothing)
		return without_history(o, name);
	if (!reader)
		return status;
	if (!history_reader_begin(reader)) {
		status = tell_story(reader, o, name);
		history_reader_end(reader);
	}
	history_reader_close(reader);
	return status;
}

/* ---- */

static int vms(const struct options *o)
{
	unsigned wanted = ROWS_VM | ROWS_VHOST | ROWS_USER | ROWS_PROCESS | ROWS_START | ROWS_TOOK | (o->json ? 0 : ROWS_LABEL);
	struct doubt doubt = { 0 };
	struct rows rows = { 0 };
	int status = o->past ? past_read(&rows, o, &doubt) : snapshot_read(&rows, o);

	if (status == EXIT_FINE && !o->past)
		status = snapshot_finish(&rows, wanted, false);
	if (status == EXIT_FINE) {
		keep_machines(&rows);
		status = print(&rows, o, &doubt);
	}
	rows_free(&rows);
	return status;
}

int cmd_vms(int argc, char **argv)
{
	struct options options;
	int status = options_parse(&options, OPT_FILTERS | OPT_JSON | OPT_SNAPSHOT | OPT_COLUMNS | OPT_NOHEADINGS |
				   OPT_NOISE | OPT_AT | OPT_DB | OPT_STATS | OPT_SVG, argc, argv, help);

	if (status >= 0)
		return status;
	if (options.first_operand + 1 < argc)
		status = usage_error("vms", "unexpected argument '%s'", argv[options.first_operand + 1]);
	else if (options.json && options.raw)
		status = usage_error("vms", "--json and --raw exclude each other");
	else if (options.stats && (options.at_ns || options.first_operand < argc || options.columns))
		status = usage_error("vms", "--stats is of many starts: no NAME (give --vm GLOB), --at or --output");
	else if (!options.stats && (options.since_ns || options.until_ns))
		status = usage_error("vms", "--since and --until are for --stats");
	else if (options.svg && (options.json || options.raw || options.columns || options.first_operand == argc))
		status = usage_error("vms", "--svg is the picture of one machine's run: vms NAME --svg FILE");
	else if (options.stats)
		status = out_stats(&options);
	else if (options.first_operand < argc)
		status = vms_name(&options, argv[options.first_operand]);
	else
		status = vms(&options);
	options_free(&options);
	return status;
}
