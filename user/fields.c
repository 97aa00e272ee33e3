// SPDX-License-Identifier: GPL-2.0-only
/*
 * fields.c - see fields.h.
 */
#include "fields.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "escape.h"

/* ---- getters ---- */

static bool number(struct field_value *v, bool known, uint64_t n)
{
	v->number = n;
	return known;
}

/* An array of the kernel's, which need not end in a NUL. */
static bool bytes(struct field_value *v, const char *text, size_t len)
{
	v->text = text;
	v->len = strnlen(text, len);
	return v->len;
}

/* NULL and "" are unknown. */
static bool text(struct field_value *v, const char *s)
{
	v->text = s;
	v->len = s ? strlen(s) : 0;
	return v->len;
}

/* d9, f3 */
static bool id(struct field_value *v, char letter, uint64_t n)
{
	snprintf(v->buf, sizeof(v->buf), "%c%" PRIu64, letter, n);
	return n && text(v, v->buf);
}

/* The inode for programs, what it is called for people. */
static bool netns(struct field_value *v, uint32_t inode, const char *label)
{
	v->label = label;
	return number(v, inode, inode);
}

static bool get_pid(const struct row *row, struct field_value *v)
{
	return number(v, row->task.pid, row->task.pid);
}

static bool get_command(const struct row *row, struct field_value *v)
{
	return bytes(v, row->task.comm, sizeof(row->task.comm));
}

static bool get_user(const struct row *row, struct field_value *v)
{
	return text(v, row->user);
}

static bool get_uid(const struct row *row, struct field_value *v)
{
	return number(v, row->task.uid != UINT32_MAX, row->task.uid);
}

static bool get_fd(const struct row *row, struct field_value *v)
{
	return number(v, row->fd >= 0, (uint64_t)row->fd);
}

static bool get_state(const struct row *row, struct field_value *v)
{
	return text(v, row_state_name(row->state));
}

static bool get_kind(const struct row *row, struct field_value *v)
{
	return text(v, kind_name(row->dev.kind));
}

static bool get_ifname(const struct row *row, struct field_value *v)
{
	return (row->has & TW_HAS_DEV) && bytes(v, row->dev.ifname, sizeof(row->dev.ifname));
}

static bool get_ifindex(const struct row *row, struct field_value *v)
{
	return number(v, (row->has & TW_HAS_DEV) && row->dev.ifindex, row->dev.ifindex);
}

static bool get_netns(const struct row *row, struct field_value *v)
{
	return (row->has & TW_HAS_DEV) && netns(v, row->dev.netns, row->netns_label);
}

static bool get_netns_inode(const struct row *row, struct field_value *v)
{
	return (row->has & TW_HAS_DEV) && netns(v, row->dev.netns, NULL);
}

static bool get_netns_name(const struct row *row, struct field_value *v)
{
	return text(v, row->netns_name);
}

static bool get_netns_cookie(const struct row *row, struct field_value *v)
{
	return number(v, (row->has & TW_HAS_DEV) && row->dev.netns_cookie, row->dev.netns_cookie);
}

static bool get_socket_netns(const struct row *row, struct field_value *v)
{
	return (row->has & TW_HAS_SOCKET_NETNS) && netns(v, row->socket_netns, row->socket_netns_label);
}

static bool get_process_netns(const struct row *row, struct field_value *v)
{
	return netns(v, row->task.netns, row->process_netns_label);
}

static bool get_mac(const struct row *row, struct field_value *v)
{
	static const uint8_t none[6];
	const uint8_t *mac = row->dev.mac;

	/* A tun device has no address, and zeros are none: is_valid_ether_addr(). */
	if (!(row->has & TW_HAS_MAC) || !memcmp(mac, none, sizeof(none)))
		return false;
	snprintf(v->buf, sizeof(v->buf), "%02x:%02x:%02x:%02x:%02x:%02x",
		 mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return text(v, v->buf);
}

static bool get_flags(const struct row *row, struct field_value *v)
{
	tun_flag_words(row->dev.tun_flags, v->words);
	return row->has & TW_HAS_TUN;
}

static bool get_queues(const struct row *row, struct field_value *v)
{
	return number(v, row->has & TW_HAS_QUEUES, row->dev.queues);
}

static bool get_file(const struct row *row, struct field_value *v)
{
	return id(v, 'f', row->file_id);
}

static bool get_device(const struct row *row, struct field_value *v)
{
	return id(v, 'd', row->device_id);
}

static bool get_vm_type(const struct row *row, struct field_value *v)
{
	return text(v, row->vm_type);
}

static bool get_vm_name(const struct row *row, struct field_value *v)
{
	return text(v, row->vm_name);
}

static bool get_vm_uuid(const struct row *row, struct field_value *v)
{
	return text(v, row->vm_uuid);
}

static bool get_vm_manager(const struct row *row, struct field_value *v)
{
	return text(v, row->vm_manager);
}

static bool get_master(const struct row *row, struct field_value *v)
{
	return (row->has & TW_HAS_MASTER) && bytes(v, row->dev.master, sizeof(row->dev.master));
}

static bool get_vhost(const struct row *row, struct field_value *v)
{
	return number(v, row->vhost, row->vhost);
}

static bool get_role(const struct row *row, struct field_value *v)
{
	return text(v, row->role);
}

static bool get_start(const struct row *row, struct field_value *v)
{
	time_t seconds = (time_t)(row->start_realtime_ns / 1000000000);
	struct tm tm;

	/* The kernel's clock of starts counts from boot: nothing finer than a second is worth telling. */
	if (!row->start_realtime_ns || !gmtime_r(&seconds, &tm))
		return false;
	strftime(v->buf, sizeof(v->buf), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text(v, v->buf);
}

static bool get_start_ns(const struct row *row, struct field_value *v)
{
	return number(v, row->task.start_ns, row->task.start_ns);
}

static bool get_start_ms(const struct row *row, struct field_value *v)
{
	return number(v, row->start_took_ns, (row->start_took_ns + 500000) / 1000000);
}

static bool get_stale(const struct row *row, struct field_value *v)
{
	return text(v, row->stale);
}

static bool get_stale_since(const struct row *row, struct field_value *v)
{
	time_t seconds = (time_t)(row->stale_since_ns / 1000000000);
	struct tm tm;

	if (!row->stale_since_ns || !gmtime_r(&seconds, &tm))
		return false;
	strftime(v->buf, sizeof(v->buf), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text(v, v->buf);
}

static bool get_stale_event(const struct row *row, struct field_value *v)
{
	return text(v, row->stale_event);
}

static bool get_stale_command(const struct row *row, struct field_value *v)
{
	return text(v, row->stale_comm);
}

static bool get_stale_pid(const struct row *row, struct field_value *v)
{
	return number(v, row->stale_pid, row->stale_pid);
}

static bool get_declared(const struct row *row, struct field_value *v)
{
	return text(v, row->declared);
}

static bool get_exe(const struct row *row, struct field_value *v)
{
	return text(v, row->exe);
}

static bool get_cgroup(const struct row *row, struct field_value *v)
{
	return text(v, row->cgroup);
}

/* ---- the table ---- */

#define J FIELD_JSON
#define D FIELD_DEVICE
#define H FIELD_HOLDER
#define C FIELD_CUT

const struct field fields[] = {
	{ "pid", FIELD_NUMBER, J | H, 0, "process that has the fd", get_pid },
	{ "command", FIELD_TEXT, J | H | C, 0, "its command name", get_command },
	{ "user", FIELD_TEXT, J | H | C, ROWS_USER, "its user", get_user },
	{ "uid", FIELD_NUMBER, J | H, 0, "its user's number", get_uid },
	{ "fd", FIELD_NUMBER, J | H, 0, "number of the fd", get_fd },
	{ "state", FIELD_TEXT, J | H, 0,
	  "bound; disabled: its queue is detached; unbound: to no device yet; orphaned: its device was deleted; "
	  "no-holder: a device without any fd", get_state },
	{ "kind", FIELD_TEXT, J | D, 0, "tap, tun, macvtap or ipvtap", get_kind },
	{ "ifname", FIELD_TEXT, J | D, 0, "name of the interface", get_ifname },
	{ "ifindex", FIELD_NUMBER, J | D, 0, "its number in its namespace", get_ifindex },
	{ "netns", FIELD_NUMBER, J | D | C, ROWS_LABEL,
	  "network namespace the device is in: its name or whose it is, else its inode number (JSON: always the number)",
	  get_netns },
	{ "netns_name", FIELD_TEXT, J | D | C, ROWS_NAME, "name of that namespace, or where it is mounted",
	  get_netns_name },
	{ "netns_cookie", FIELD_NUMBER, J | D, 0, "cookie of that namespace, never used twice", get_netns_cookie },
	{ "socket_netns", FIELD_NUMBER, J | H | C, ROWS_LABEL, "namespace in which the file was opened",
	  get_socket_netns },
	{ "process_netns", FIELD_NUMBER, J | H | C, ROWS_LABEL, "namespace in which the process is",
	  get_process_netns },
	{ "mac", FIELD_TEXT, J | D, 0, "hardware address of the device", get_mac },
	{ "flags", FIELD_LIST, J | D | C, 0, "vnet_hdr, multi_queue, persist, no_pi, ...", get_flags },
	{ "queues", FIELD_NUMBER, J | D, 0, "enabled queues of the device", get_queues },
	{ "file", FIELD_TEXT, J | H, 0, "the open file: the same for fds that share it", get_file },
	{ "device", FIELD_TEXT, J | D, 0, "the device: the same for all its queues", get_device },
	{ "vm_type", FIELD_TEXT, J | H, ROWS_VM, "kind of the virtual machine: qemu, firecracker, ...", get_vm_type },
	{ "vm_name", FIELD_TEXT, J | H | C, ROWS_VM, "its name", get_vm_name },
	{ "vm_uuid", FIELD_TEXT, J | H, ROWS_VM, "its UUID", get_vm_uuid },
	{ "vm_manager", FIELD_TEXT, J | H, ROWS_VM, "who made it: libvirt, proxmox, openstack, ...", get_vm_manager },
	{ "role", FIELD_TEXT, J | H, ROWS_VM,
	  "what the process is: vm, vpn, container, network-manager, vm-manager, switch", get_role },
	/* of list --stale */
	{ "stale", FIELD_TEXT, J, 0,
	  "with --stale, why: no-holder, orphaned, vm-gone: its machine has ended; other-holder: somebody else has an fd of a "
	  "machine's device", get_stale },
	{ "stale_since", FIELD_TEXT, J, 0, "since when (UTC), as recorded", get_stale_since },
	{ "stale_event", FIELD_TEXT, J, 0, "the event that led there, as recorded", get_stale_event },
	{ "stale_command", FIELD_TEXT, J | C, 0, "command name of the process that did it", get_stale_command },
	{ "stale_pid", FIELD_NUMBER, J, 0, "its number", get_stale_pid },
	/* beyond CONTRACT's members: only when asked for */
	{ "netns_inode", FIELD_NUMBER, 0, 0, "inode number of the device's namespace", get_netns_inode },
	{ "master", FIELD_TEXT, D, 0, "bridge, bond or the like that the device belongs to", get_master },
	{ "vhost", FIELD_NUMBER, H, ROWS_VHOST, "files of vhost-net that the process has open", get_vhost },
	{ "declared", FIELD_TEXT, H | C, ROWS_VM,
	  "interfaces that the machine's command line declares: 'net0 fd=27 mac=52:54:00:12:34:56 vhost; …'", get_declared },
	{ "start", FIELD_TEXT, H, ROWS_START, "when the process started (UTC)", get_start },
	{ "start_ns", FIELD_NUMBER, H, 0, "the same in ns since boot", get_start_ns },
	{ "start_ms", FIELD_NUMBER, H, ROWS_VM | ROWS_START | ROWS_TOOK,
	  "ms from the start of a machine's process until it had the first of its interfaces; known to a tapwatch that runs "
	  "since before", get_start_ms },
	{ "exe", FIELD_TEXT, H | C, ROWS_PROCESS, "its executable", get_exe },
	{ "cgroup", FIELD_TEXT, H | C, ROWS_PROCESS, "its control group", get_cgroup },
};
const size_t fields_len = sizeof(fields) / sizeof(fields[0]);

_Static_assert(sizeof(fields) / sizeof(fields[0]) < MAX_COLUMNS, "all of them can be columns");

#undef J
#undef D
#undef H
#undef C

const char *const default_columns[] = {
	"command", "pid", "user", "fd", "state", "kind", "ifname", "ifindex", "netns", NULL
};

/* ---- choosing ---- */

const struct field *field_by_name(const char *name, size_t len)
{
	for (size_t i = 0; i < fields_len; i++)
		if (strlen(fields[i].name) == len && !strncasecmp(fields[i].name, name, len))
			return &fields[i];
	return NULL;
}

const char *field_header(const struct field *field, char out[FIELD_HEADER_LEN])
{
	size_t i;

	for (i = 0; field->name[i] && i < FIELD_HEADER_LEN - 1; i++)
		out[i] = (char)toupper((unsigned char)field->name[i]);
	out[i] = '\0';
	return out;
}

static int add_column(struct columns *columns, const char *name, size_t len, const char **bad, size_t *bad_len)
{
	const struct field *field = field_by_name(name, len);

	*bad = field ? NULL : name;
	*bad_len = len;
	if (!field || columns->len == MAX_COLUMNS)
		return -EINVAL;
	columns->field[columns->len++] = field;
	return 0;
}

int columns_choose(struct columns *columns, const char *list, const char **bad, size_t *bad_len)
{
	int err = 0;

	columns->len = 0;
	if (!list || *list == '+')
		for (size_t i = 0; default_columns[i] && !err; i++)
			err = add_column(columns, default_columns[i], strlen(default_columns[i]), bad, bad_len);
	if (!list)
		return err;
	list += *list == '+';
	while (!err) {
		size_t len = strcspn(list, ",");

		err = add_column(columns, list, len, bad, bad_len);
		if (!list[len])
			break;
		list += len + 1;
	}
	return err;
}

unsigned columns_need(const struct columns *columns)
{
	unsigned needs = 0;

	for (size_t i = 0; i < columns->len; i++)
		needs |= columns->field[i]->needs;
	return needs;
}

/* ---- values ---- */

static size_t join(const char *const words[], char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; words[i] && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? "," : "", words[i]);
	return n;
}

size_t field_text(const struct field *field, const struct row *row, char *out, size_t size)
{
	struct field_value v = { 0 };
	size_t n = 0;

	out[0] = '\0';
	if (!field->get(row, &v))
		return 0;
	switch (field->type) {
	case FIELD_TEXT:
		n = (size_t)snprintf(out, size, "%.*s", (int)v.len, v.text);
		break;
	case FIELD_NUMBER:
		n = v.label ? (size_t)snprintf(out, size, "%s", v.label) :
			      (size_t)snprintf(out, size, "%" PRIu64, v.number);
		break;
	case FIELD_LIST:
		n = join(v.words, out, size);
		break;
	}
	return n < size ? n : size - 1;
}

static struct json_object *text_json(const struct field_value *v)
{
	size_t size = ESCAPE_SIZE(v->len);
	char small[ESCAPE_SIZE(256)], *buf = size > sizeof(small) ? malloc(size) : small;
	struct json_object *value;

	if (!buf)
		return NULL;
	value = json_object_new_string_len(buf, (int)escape_utf8(buf, size, v->text, v->len));
	if (buf != small)
		free(buf);
	return value;
}

static struct json_object *list_json(const struct field_value *v)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && v->words[i]; i++) {
		struct json_object *word = json_object_new_string(v->words[i]);

		if (word && !json_object_array_add(array, word))
			continue;
		json_object_put(word);
		json_object_put(array);
		return NULL;
	}
	return array;
}

struct json_object *field_json(const struct field *field, const struct row *row, int *err)
{
	struct field_value v = { 0 };
	struct json_object *value = NULL;

	*err = 0;
	if (!field->get(row, &v))
		return NULL;
	switch (field->type) {
	case FIELD_TEXT:
		value = text_json(&v);
		break;
	case FIELD_NUMBER:
		value = json_object_new_uint64(v.number);
		break;
	case FIELD_LIST:
		value = list_json(&v);
		break;
	}
	*err = value ? 0 : -ENOMEM;
	return value;
}

int fields_json(const struct row *row, unsigned flags, struct json_object *object)
{
	int err = 0;

	for (size_t i = 0; i < fields_len && !err; i++) {
		struct json_object *value;

		if (flags && !(fields[i].flags & flags))
			continue;
		value = field_json(&fields[i], row, &err);
		if (value && json_object_object_add(object, fields[i].name, value)) {
			json_object_put(value);
			err = -ENOMEM;
		}
	}
	return err;
}
