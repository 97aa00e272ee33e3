// SPDX-License-Identifier: GPL-2.0-only
/* cmd_vms.c - the virtual machines with their interfaces, now or at a past moment. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "diag.h"
#include "fields.h"
#include "netns.h"
#include "options.h"
#include "past.h"
#include "snapshot.h"

static const char help[] =
	"Usage: tapwatch vms [OPTION...]\n\n"
	"Prints every virtual machine that has a TUN/TAP device, a line for each of its interfaces.\n";

#define COLUMNS "vm_name,vm_type,vm_manager,pid,start,ifname,kind,netns,master,queues,vhost"

/* ---- rows of machines: one for each interface ---- */

/* The machine's own process; of the past only the holder is known. */
static uint32_t machine_pid(const struct row *row)
{
	return row->vm_pid ? row->vm_pid : row->task.pid;
}

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
		ret = compare_number(machine_pid(x), machine_pid(y));
	if (!ret)
		ret = compare_number(x->dev.netns, y->dev.netns);
	if (!ret)
		ret = strncmp(x->dev.ifname, y->dev.ifname, TW_NAME_LEN);
	if (!ret)
		ret = compare_number(x->device_id, y->device_id);
	if (!ret)
		ret = (y->task.pid == machine_pid(y)) - (x->task.pid == machine_pid(x));
	return ret ? ret : x->fd < y->fd ? -1 : x->fd > y->fd;
}

static bool same_machine(const struct row *x, const struct row *y)
{
	return machine_pid(x) == machine_pid(y);
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
	{ "start_ns", "start_ns" }, { "exe", "exe" }, { "cgroup", "cgroup" }, { "process_netns", "process_netns" },
	{ "vhost", "vhost" },
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
		err = hang_in(object, "pid", json_object_new_int64(machine_pid(row)));
	if (!err && row->task.pid != machine_pid(row))
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

static int vms(const struct options *o)
{
	unsigned wanted = ROWS_VM | ROWS_VHOST | ROWS_USER | ROWS_PROCESS | ROWS_START | (o->json ? 0 : ROWS_LABEL);
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
				   OPT_NOISE | OPT_AT, argc, argv, help);

	if (status >= 0)
		return status;
	if (options.first_operand < argc)
		status = usage_error("vms", "unexpected argument '%s'", argv[options.first_operand]);
	else if (options.json && options.raw)
		status = usage_error("vms", "--json and --raw exclude each other");
	else
		status = vms(&options);
	options_free(&options);
	return status;
}
