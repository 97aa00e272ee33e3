// SPDX-License-Identifier: GPL-2.0-only
/* fields.c, out_table.c: names and columns, cells, JSON; what is unknown; hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/fields.h"

/* Everything known. */
static struct row full(void)
{
	return (struct row){
		.has = TW_HAS_TASK | TW_HAS_FD | TW_HAS_FILE | TW_HAS_DEV | TW_HAS_MAC | TW_HAS_TUN | TW_HAS_QUEUES |
		       TW_HAS_SOCKET_NETNS,
		.state = ROW_BOUND,
		.task = { .pid = 4242, .uid = 64055, .start_ns = 5, .netns = 100, .comm = "qemu-system-x86" },
		.fd = 27, .file_id = 3, .device_id = 9, .socket_netns = 101,
		.dev = { .netns = 102, .netns_cookie = 4097, .ifindex = 12, .ifname = "vnet99", .kind = TW_KIND_TAP,
			 .tun_flags = IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE, .queues = 2,
			 .mac = { 0xfe, 0x54, 0, 1, 2, 3 } },
		.user = "libvirt-qemu", .exe = "/usr/bin/qemu", .cgroup = "/machine.slice",
		.netns_name = "fooz", .netns_label = "fooz", .process_netns_label = "init",
		.vm_type = "qemu", .vm_name = "web01", .vm_uuid = "u-u-i-d",
		.start_realtime_ns = 1000000000LL * 86400 * 365,
	};
}

static struct row empty(void)
{
	return (struct row){ .state = ROW_UNKNOWN, .fd = -1, .task.uid = UINT32_MAX };
}

static const char *json_of(const struct row *row, unsigned flags)
{
	static char text[4096];
	struct json_object *object = json_object_new_object();

	assert_int_equal(fields_json(row, flags, object), 0);
	snprintf(text, sizeof(text), "%s", json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
	return text;
}

/* Members and order of CONTRACT's `list --json`. */
static void test_json(void **state)
{
	struct row row = full();

	(void)state;
	assert_string_equal(json_of(&row, FIELD_JSON),
		"{\"pid\":4242,\"command\":\"qemu-system-x86\",\"user\":\"libvirt-qemu\",\"uid\":64055,\"fd\":27,"
		"\"state\":\"bound\",\"kind\":\"tap\",\"ifname\":\"vnet99\",\"ifindex\":12,\"netns\":102,"
		"\"netns_name\":\"fooz\",\"netns_cookie\":4097,\"socket_netns\":101,\"process_netns\":100,"
		"\"mac\":\"fe:54:00:01:02:03\",\"flags\":[\"vnet_hdr\",\"multi_queue\"],\"queues\":2,"
		"\"file\":\"f3\",\"device\":\"d9\",\"vm_type\":\"qemu\",\"vm_name\":\"web01\",\"vm_uuid\":\"u-u-i-d\"}");
	row = empty();
	assert_string_equal(json_of(&row, 0), "{}");
}

/* A device has what all its holders have in common, and nothing of them. */
static void test_parts(void **state)
{
	struct row row = full();

	(void)state;
	assert_string_equal(json_of(&row, FIELD_DEVICE),
		"{\"kind\":\"tap\",\"ifname\":\"vnet99\",\"ifindex\":12,\"netns\":102,\"netns_name\":\"fooz\","
		"\"netns_cookie\":4097,\"mac\":\"fe:54:00:01:02:03\",\"flags\":[\"vnet_hdr\",\"multi_queue\"],"
		"\"queues\":2,\"device\":\"d9\"}");
	assert_non_null(strstr(json_of(&row, FIELD_HOLDER), "\"start\":\"1971-01-01T00:00:00Z\""));
	for (size_t i = 0; i < fields_len; i++)
		assert_false((fields[i].flags & FIELD_DEVICE) && (fields[i].flags & FIELD_HOLDER));
}

static void cell(const struct row *row, const char *name, const char *expected)
{
	const struct field *field = field_by_name(name, strlen(name));
	char text[64];

	assert_non_null(field);
	assert_int_equal(field_text(field, row, text, sizeof(text)), strlen(expected));
	assert_string_equal(text, expected);
}

static void test_cells(void **state)
{
	struct row row = full(), none = empty();

	(void)state;
	cell(&row, "netns", "fooz");
	cell(&row, "netns_inode", "102");
	cell(&row, "socket_netns", "101");	/* without a label */
	cell(&row, "process_netns", "init");
	cell(&row, "flags", "vnet_hdr,multi_queue");
	cell(&row, "uid", "64055");
	cell(&row, "fd", "27");
	cell(&row, "device", "d9");
	for (size_t i = 0; i < fields_len; i++)
		cell(&none, fields[i].name, "");
	row.task.uid = 0;
	row.fd = 0;
	row.dev.queues = 0;
	cell(&row, "uid", "0");
	cell(&row, "fd", "0");
	cell(&row, "queues", "0");
	/* arrays of the kernel that are full */
	memset(row.dev.ifname, 'x', TW_NAME_LEN);
	cell(&row, "ifname", "xxxxxxxxxxxxxxxx");
	memset(row.dev.mac, 0, 6);
	cell(&row, "mac", "");
}

/* Too small a buffer: cut, terminated, nothing written beyond. */
static void test_cell_room(void **state)
{
	struct row row = full();

	(void)state;
	for (size_t i = 0; i < fields_len; i++)
		for (size_t size = 1; size < 30; size++) {
			char text[32];
			size_t n;

			memset(text, '#', sizeof(text));
			n = field_text(&fields[i], &row, text, size);
			assert_true(n < size);
			assert_int_equal(strlen(text), n);
			assert_int_equal(text[size], '#');
		}
}

static void test_bytes(void **state)
{
	struct row row = empty();

	(void)state;
	memcpy(row.task.comm, "a\xff\x1b\"\n", 5);
	assert_string_equal(json_of(&row, FIELD_JSON), "{\"command\":\"a\\\\xff\\u001b\\\"\\n\"}");
}

/* ---- columns ---- */

static void test_names(void **state)
{
	char header[FIELD_HEADER_LEN];

	(void)state;
	assert_ptr_equal(field_by_name("pid", 3), field_by_name("PiD", 3));
	assert_null(field_by_name("pi", 2));
	assert_null(field_by_name("pidx", 4));
	assert_null(field_by_name("", 0));
	for (size_t i = 0; i < fields_len; i++) {
		assert_ptr_equal(field_by_name(fields[i].name, strlen(fields[i].name)), &fields[i]);
		assert_true(strlen(fields[i].help) > 0);
		assert_true(strlen(fields[i].name) < FIELD_HEADER_LEN);
	}
	assert_string_equal(field_header(field_by_name("netns_name", 10), header), "NETNS_NAME");
}

/* Names of the chosen ones; or "bad:WORD". */
static const char *chosen(const char *list)
{
	static char text[1024];
	struct columns columns;
	const char *bad = NULL;
	size_t len = 0, n = 0;

	text[0] = '\0';
	if (columns_choose(&columns, list, &bad, &len)) {
		snprintf(text, sizeof(text), "bad:%.*s", bad ? (int)len : 4, bad ? bad : "many");
		return text;
	}
	for (size_t i = 0; i < columns.len; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? "," : "", columns.field[i]->name);
	return text;
}

#define DEFAULTS "command,pid,user,fd,state,kind,ifname,ifindex,netns"

static void test_choose(void **state)
{
	char many[5 * (MAX_COLUMNS + 2)] = "pid";

	(void)state;
	assert_string_equal(chosen(NULL), DEFAULTS);
	assert_string_equal(chosen("PID,fd"), "pid,fd");
	assert_string_equal(chosen("+mac,VM_NAME"), DEFAULTS ",mac,vm_name");
	assert_string_equal(chosen("fd,fd"), "fd,fd");
	assert_string_equal(chosen("pid,nope,fd"), "bad:nope");
	assert_string_equal(chosen(""), "bad:");
	assert_string_equal(chosen("pid,"), "bad:");
	assert_string_equal(chosen("+"), "bad:");
	assert_string_equal(chosen(",pid"), "bad:");
	assert_string_equal(chosen("pid fd"), "bad:pid fd");
	for (int i = 1; i < MAX_COLUMNS; i++)
		strcat(many, ",pid");
	assert_int_not_equal(strncmp(chosen(many), "bad", 3), 0);
	strcat(many, ",pid");
	assert_string_equal(chosen(many), "bad:many");
}

static void test_needs(void **state)
{
	struct columns columns;
	const char *bad;
	size_t len;

	(void)state;
	assert_int_equal(columns_choose(&columns, "pid,fd", &bad, &len), 0);
	assert_int_equal(columns_need(&columns), 0);
	assert_int_equal(columns_choose(&columns, "user,netns_name,exe", &bad, &len), 0);
	assert_int_equal(columns_need(&columns), ROWS_USER | ROWS_NAME | ROWS_PROCESS);
}

/* ---- the table ---- */

static const char *table(const struct out_table *options, const char *list, struct row *row, size_t n)
{
	static char text[4096];
	struct rows rows = { .row = row, .len = n };
	struct columns columns;
	const char *bad;
	size_t len;
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_int_equal(columns_choose(&columns, list, &bad, &len), 0);
	assert_int_equal(out_table(options, out, &rows, &columns), 0);
	fclose(out);
	return text;
}

static void test_table(void **state)
{
	static const struct out_table plain, bare = { .noheadings = true }, raw = { .raw = true };
	struct row row[2] = { full(), empty() };

	(void)state;
	row[1].state = ROW_NO_HOLDER;
	assert_string_equal(table(&plain, NULL, row, 2),
		"COMMAND          PID USER         FD STATE     KIND IFNAME IFINDEX NETNS\n"
		"qemu-system-x86 4242 libvirt-qemu 27 bound     tap  vnet99      12 fooz\n"
		"-                  - -             - no-holder -    -            - -\n");
	assert_string_equal(table(&bare, "fd,pid", row, 2), "27 4242\n -    -\n");
	assert_string_equal(table(&raw, "fd,command,netns", row, 2), "FD COMMAND NETNS\n27 qemu-system-x86 fooz\n- - -\n");
}

/* No byte of a name gets out of its cell. */
static void test_hostile(void **state)
{
	static const struct out_table plain, raw = { .raw = true };
	struct row row = full();

	(void)state;
	memset(row.task.comm, 0, sizeof(row.task.comm));
	memcpy(row.task.comm, "a b\\x\n\x1b[1m\xff", 11);
	memcpy(row.dev.ifname, "\xe2\x80\xae\"x", 6);
	assert_string_equal(table(&plain, "command,ifname,fd", &row, 1),
		"COMMAND              IFNAME         FD\n"
		"a b\\x\\x0a\\x1b[1m\\xff \\xe2\\x80\\xae\"x 27\n");
	assert_string_equal(table(&raw, "command,ifname,fd", &row, 1),
		"COMMAND IFNAME FD\n"
		"a\\x20b\\x5cx\\x0a\\x1b[1m\\xff \\xe2\\x80\\xae\"x 27\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_cell_room),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_hostile),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
