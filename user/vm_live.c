// SPDX-License-Identifier: GPL-2.0-only
/* vm_live.c - see vm_live.h. */
#include "vm_live.h"

#include <errno.h>
#include <fnmatch.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "escape.h"
#include "fields.h"
#include "runtime.h"
#include "snapshot.h"
#include "stories.h"
#include "vm.h"

/* One step of one file's way. */
struct step {
	uint64_t time_ns;	/* CLOCK_REALTIME; 0 unknown */
	const struct row *row;
	struct json_object *json;
};

struct live_vm {
	struct rows rows;		/* of this machine only */
	struct json_object *stories;
	struct step *steps;
	size_t n_steps;
	size_t untold;			/* files of which no tapwatch knows since when they are held */
};

static bool matches(const struct row *row, const char *pattern)
{
	return row->vm_type && ((row->vm_name && !fnmatch(pattern, row->vm_name, 0)) ||
				(row->vm_uuid && !fnmatch(pattern, row->vm_uuid, 0)));
}

/* Keeps the rows of one machine. */
static void keep_machine(struct rows *rows, const char *pattern)
{
	const struct row *last = NULL;
	uint32_t pid;
	size_t n = 0;

	for (size_t i = 0; i < rows->len; i++)
		if (matches(&rows->row[i], pattern) && (!last || rows->row[i].task.start_ns > last->task.start_ns))
			last = &rows->row[i];
	pid = last ? row_machine_pid(last) : 0;
	for (size_t i = 0; last && i < rows->len; i++)
		if (rows->row[i].vm_type && row_machine_pid(&rows->row[i]) == pid)
			rows->row[n++] = rows->row[i];
	rows->len = n;
}

static int add_steps(struct live_vm *vm, const struct row *row, struct json_object *story)
{
	struct json_object *chain;
	size_t n = json_object_object_get_ex(story, "chain", &chain) ? json_object_array_length(chain) : 0;
	struct step *steps = reallocarray(vm->steps, vm->n_steps + n + 1, sizeof(*steps));

	if (!steps)
		return -ENOMEM;
	vm->steps = steps;
	for (size_t i = 0; i < n; i++) {
		struct json_object *step = json_object_array_get_idx(chain, i);

		steps[vm->n_steps++] = (struct step){ story_time(step), row, step };
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static bool told_before(const struct live_vm *vm, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (vm->rows.row[k].file_id == vm->rows.row[i].file_id)
			return true;
	return false;
}

static int collect(struct live_vm *vm)
{
	int err = 0;

	vm->stories = stories_all();
	if (!vm->stories)
		return -ENOMEM;
	stories_fill(&vm->rows, vm->stories);
	for (size_t i = 0; i < vm->rows.len && !err; i++) {
		struct json_object *story = told_before(vm, i) ? NULL : story_of(vm->stories, &vm->rows.row[i]);

		if (story)
			err = add_steps(vm, &vm->rows.row[i], story);
		vm->untold += !vm->rows.row[i].held_ns;
	}
	if (vm->n_steps)
		qsort(vm->steps, vm->n_steps, sizeof(*vm->steps), by_time);
	return err;
}

static uint64_t origin(const struct live_vm *vm)
{
	uint64_t start = (uint64_t)vm->rows.row[0].start_realtime_ns;

	/* what only a scan found happened at any time before */
	return vm->n_steps && vm->steps[0].time_ns && (!start || vm->steps[0].time_ns < start) ? vm->steps[0].time_ns : start;
}

/* ---- text ---- */

static void print_offset(uint64_t at, uint64_t from)
{
	printf("%+10.3f s  ", at > from ? (double)(at - from) / 1e9 : 0.0);
}

static void show(const char *before, const char *field, const struct row *row, const char *after)
{
	char text[1024], safe[ESCAPE_SIZE(sizeof(text))];
	size_t len = field_text(field_by_name(field, strlen(field)), row, text, sizeof(text));

	escape_term(safe, sizeof(safe), text, len);
	if (len)
		printf("%s%s%s", before, safe, after);
}

static void print_text(const struct live_vm *vm, const char *why)
{
	const struct row *row = vm->rows.row;
	uint64_t from = origin(vm), start = (uint64_t)row->start_realtime_ns;
	bool started = !start;

	show("", row->vm_name ? "vm_name" : "vm_uuid", row, " (");
	show("", "vm_type", row, "");
	show(", ", "vm_manager", row, "");
	if (row->vm_name)
		show(", ", "vm_uuid", row, "");
	printf("), pid %u, running\n  %s: this is what running tapwatches saw of its files%s\n", row_machine_pid(row), why,
	       vm->untold ? ", which is not all" : "");
	for (size_t i = 0; i < vm->n_steps; i++) {
		if (!started && vm->steps[i].time_ns >= start) {
			print_offset(start, from);
			printf("process %u started\n", row->task.pid);
			started = true;
		}
		print_offset(vm->steps[i].time_ns, from);
		show("", "ifname", vm->steps[i].row, ": ");
		chain_print_step(vm->steps[i].json);
		printf("\n");
	}
	if (!started) {
		print_offset(start, from);
		printf("process %u started\n", row->task.pid);
	}
	for (size_t i = 0; i < vm->rows.len; i++) {
		printf("       now    ");
		show("", "ifname", &row[i], ": ");
		show("", "state", &row[i], "");
		show(", fd ", "fd", &row[i], "");
		show(" of process ", "pid", &row[i], "");
		show(", in network namespace ", "netns", &row[i], "");
		show(", in ", "master", &row[i], "");
		printf("\n");
	}
}

/* ---- JSON ---- */

static int put(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

static int put_field(struct json_object *object, const char *key, const char *field, const struct row *row)
{
	struct json_object *value;
	int err;

	value = field_json(field_by_name(field, strlen(field)), row, &err);
	return value ? put(object, key, value) : err;
}

static struct json_object *timeline_json(const struct live_vm *vm)
{
	struct json_object *array = json_object_new_array();
	uint64_t from = origin(vm);
	int err = 0;

	for (size_t i = 0; array && i < vm->n_steps && !err; i++) {
		struct json_object *step = json_object_get(vm->steps[i].json);

		err = put_field(step, "ifname", "ifname", vm->steps[i].row);
		if (!err)
			err = put(step, "offset_ns", json_object_new_uint64(vm->steps[i].time_ns > from ?
									    vm->steps[i].time_ns - from : 0));
		if (err || json_object_array_add(array, step)) {
			json_object_put(step);
			err = -ENOMEM;
		}
	}
	if (!err)
		return array;
	json_object_put(array);
	return NULL;
}

static struct json_object *interfaces_json(const struct live_vm *vm)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < vm->rows.len; i++) {
		struct json_object *one = json_object_new_object();

		if (one && !fields_json(&vm->rows.row[i], FIELD_JSON, one) && !json_object_array_add(array, one))
			continue;
		json_object_put(one);
		json_object_put(array);
		return NULL;
	}
	return array;
}

static int print_json(const struct live_vm *vm)
{
	static const struct { const char *key, *field; } members[] = {
		{ "name", "vm_name" }, { "type", "vm_type" }, { "uuid", "vm_uuid" }, { "manager", "vm_manager" },
		{ "start_ns", "start_ns" }, { "start_ms", "start_ms" },
	};
	struct json_object *object = json_object_new_object();
	int err = object ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && !err; i++)
		err = put_field(object, members[i].key, members[i].field, vm->rows.row);
	if (!err)
		err = put(object, "pid", json_object_new_int64(row_machine_pid(vm->rows.row)));
	if (!err)
		err = put(object, "running", json_object_new_boolean(true));
	if (!err)
		err = put(object, "complete", json_object_new_boolean(!vm->untold));
	if (!err)
		err = put(object, "bindings", interfaces_json(vm));
	if (!err)
		err = put(object, "timeline", timeline_json(vm));
	if (!err && printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE)) < 0)
		err = -errno;
	json_object_put(object);
	return err;
}

/* ---- */

static int tell(struct live_vm *vm, const struct options *o, const char *why)
{
	int err = collect(vm);

	if (!err && o->json)
		err = print_json(vm);
	else if (!err)
		print_text(vm, why);
	errno = 0;
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = errno ? -errno : -EIO;
	if (!err || err == -EPIPE)
		return EXIT_FINE;
	warn_msg("cannot tell of the machine: %s", strerror(-err));
	return EXIT_FAILED;
}

int vm_live_tell(const struct options *o, const char *pattern, const char *why)
{
	struct live_vm vm = { 0 };
	int status = snapshot_read(&vm.rows, o);

	if (status == EXIT_FINE)
		status = snapshot_finish(&vm.rows, ROWS_VM | ROWS_START | ROWS_USER | (o->json ? 0 : ROWS_LABEL), false);
	if (status == EXIT_FINE)
		keep_machine(&vm.rows, pattern);
	if (status == EXIT_FINE && !vm.rows.len)
		status = -1;
	else if (status == EXIT_FINE)
		status = tell(&vm, o, why);
	free(vm.steps);
	json_object_put(vm.stories);
	rows_free(&vm.rows);
	return status;
}
