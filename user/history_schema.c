// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_schema.c - the tables as SQLite has them and as the code walks them.
 * What tapwatch(8) says under HISTORY DATABASE has to agree.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_private.h"

#define COLUMNS(array) array, sizeof(array) / sizeof((array)[0])

static const struct column text_columns[] = { { "value", COL_BYTES, 0 } };
static const struct column netns_columns[] = {
	{ "inode", COL_INT, 0 }, { "cookie", COL_INT, 0 }, { "label", COL_REF, T_TEXT },
};
static const struct column clock_columns[] = {
	{ "boot", COL_BYTES, 0 }, { "offset_ns", COL_INT, 0 }, { "seq", COL_INT, 0 },
};
static const struct column vm_columns[] = {
	{ "type", COL_REF, T_TEXT }, { "name", COL_BYTES, 0 }, { "uuid", COL_BYTES, 0 },
	{ "manager", COL_REF, T_TEXT },
};
static const struct column process_columns[] = {
	{ "pid", COL_INT, 0 }, { "start_ns", COL_INT, 0 }, { "ppid", COL_INT, 0 }, { "uid", COL_INT, 0 },
	{ "user", COL_REF, T_TEXT }, { "comm", COL_REF, T_TEXT }, { "exe", COL_REF, T_TEXT },
	{ "cgroup", COL_REF, T_TEXT }, { "netns", COL_REF, T_NETNS }, { "role", COL_REF, T_TEXT },
	{ "vm", COL_REF, T_VM }, { "vm_pid", COL_INT, 0 }, { "vm_start_ns", COL_INT, 0 }, { "cmdline", COL_BYTES, 0 },
};
static const struct column file_columns[] = {
	{ "number", COL_INT, 0 }, { "socket_netns", COL_REF, T_NETNS }, { "name_only", COL_REF, T_TEXT },
	{ "address", COL_INT, 0 },
};
static const struct column state_columns[] = {
	{ "device", COL_INT, 0 }, { "has", COL_INT, 0 }, { "kind", COL_REF, T_TEXT }, { "ifname", COL_REF, T_TEXT },
	{ "ifindex", COL_INT, 0 }, { "netns", COL_REF, T_NETNS }, { "mac", COL_BYTES, 0 },
	{ "tun_flags", COL_INT, 0 }, { "owner", COL_INT, 0 }, { "grp", COL_INT, 0 }, { "queues", COL_INT, 0 },
	{ "disabled", COL_INT, 0 }, { "up", COL_INT, 0 }, { "master", COL_REF, T_TEXT },
	{ "master_ifindex", COL_INT, 0 },
};
static const struct column old_columns[] = {
	{ "ifname", COL_REF, T_TEXT }, { "ifindex", COL_INT, 0 }, { "netns", COL_REF, T_NETNS },
	{ "mac", COL_BYTES, 0 }, { "comm", COL_REF, T_TEXT },
};
static const struct column name_columns[] = {
	{ "ifname", COL_BYTES, 0 }, { "device", COL_INT, 0 }, { "seq", COL_INT, 0 },
};
static const struct column event_columns[] = {
	{ "clock", COL_REF, T_CLOCK }, { "time_ns", COL_INT, 0 }, { "kind", COL_REF, T_TEXT },
	{ "source", COL_REF, T_TEXT }, { "process", COL_REF, T_PROCESS }, { "tid", COL_INT, 0 },
	{ "fd", COL_INT, 0 }, { "file", COL_REF, T_FILE }, { "device", COL_INT, 0 }, { "state", COL_REF, T_STATE },
	{ "bits", COL_INT, 0 }, { "how", COL_REF, T_TEXT }, { "old", COL_REF, T_OLD },
	{ "requested", COL_REF, T_TEXT }, { "error", COL_INT, 0 }, { "count", COL_INT, 0 },
	{ "info", COL_REF, T_TEXT }, { "vm", COL_REF, T_VM },
};
static const struct column entry_columns[] = {
	{ "process", COL_REF, T_PROCESS }, { "fd", COL_INT, 0 }, { "file", COL_REF, T_FILE },
	{ "device", COL_INT, 0 }, { "state", COL_REF, T_STATE }, { "bits", COL_INT, 0 },
};
static const struct column mark_columns[] = {
	{ "seq", COL_INT, 0 }, { "kind", COL_INT, 0 }, { "clock", COL_REF, T_CLOCK }, { "time_ns", COL_INT, 0 },
	{ "first", COL_INT, 0 }, { "last", COL_INT, 0 }, { "base", COL_BYTES, 0 }, { "ids", COL_BYTES, 0 },
};

const struct schema_table schema[T_MAX] = {
	[T_TEXT] = { "text", "id", COLUMNS(text_columns), 1, false },
	[T_NETNS] = { "netns", "id", COLUMNS(netns_columns), NETNS_COLUMNS, false },
	[T_CLOCK] = { "clock", "id", COLUMNS(clock_columns), CLOCK_SEQ, false },
	[T_VM] = { "vm", "id", COLUMNS(vm_columns), VM_COLUMNS, false },
	[T_PROCESS] = { "process", "id", COLUMNS(process_columns), PROCESS_CMDLINE, false },
	[T_FILE] = { "file", "id", COLUMNS(file_columns), FILE_COLUMNS, false },
	[T_STATE] = { "state", "id", COLUMNS(state_columns), STATE_COLUMNS, false },
	[T_OLD] = { "old", "id", COLUMNS(old_columns), OLD_COLUMNS, false },
	[T_NAME] = { "name", "id", COLUMNS(name_columns), NAME_SEQ, false },
	[T_EVENT] = { "event", "seq", COLUMNS(event_columns), 0, true },
	[T_ENTRY] = { "entry", "id", COLUMNS(entry_columns), 0, false },
	[T_MARK] = { "mark", "id", COLUMNS(mark_columns), 0, true },
};

/*
 * In an index of names alone each new name would go to some page of its own, of
 * thousands; so most of what a commit writes would be that. By stretches of
 * events it goes into a few dozen. Databases of before have the other.
 */
const char history_schema_index_sql[] =
"CREATE INDEX IF NOT EXISTS name_stretch ON name (" NAME_STRETCH ", ifname, device, seq);"
"DROP INDEX IF EXISTS name_ifname;";

/* The first two have to stand before the first table. Command lines leave less of a larger page unused. */
const char history_schema_sql[] =
"PRAGMA page_size = 8192;"
"PRAGMA auto_vacuum = INCREMENTAL;"
"BEGIN;"
"CREATE TABLE text (id INTEGER PRIMARY KEY, value);"
"CREATE TABLE netns (id INTEGER PRIMARY KEY, inode INTEGER, cookie INTEGER, label INTEGER);"
"CREATE TABLE clock (id INTEGER PRIMARY KEY, boot TEXT, offset_ns INTEGER, seq INTEGER);"
"CREATE TABLE vm (id INTEGER PRIMARY KEY, type INTEGER, name, uuid, manager INTEGER);"
"CREATE TABLE process (id INTEGER PRIMARY KEY, pid INTEGER, start_ns INTEGER, ppid INTEGER, uid INTEGER,"
" user INTEGER, comm INTEGER, exe INTEGER, cgroup INTEGER, netns INTEGER, role INTEGER, vm INTEGER,"
" vm_pid INTEGER, vm_start_ns INTEGER, cmdline);"
"CREATE TABLE file (id INTEGER PRIMARY KEY, number INTEGER, socket_netns INTEGER, name_only INTEGER,"
" address INTEGER);"
"CREATE TABLE state (id INTEGER PRIMARY KEY, device INTEGER, has INTEGER, kind INTEGER, ifname INTEGER,"
" ifindex INTEGER, netns INTEGER, mac BLOB, tun_flags INTEGER, owner INTEGER, grp INTEGER, queues INTEGER,"
" disabled INTEGER, up INTEGER, master INTEGER, master_ifindex INTEGER);"
"CREATE TABLE old (id INTEGER PRIMARY KEY, ifname INTEGER, ifindex INTEGER, netns INTEGER, mac BLOB,"
" comm INTEGER);"
"CREATE TABLE name (id INTEGER PRIMARY KEY, ifname, device INTEGER, seq INTEGER);"
"CREATE TABLE event (seq INTEGER PRIMARY KEY, clock INTEGER, time_ns INTEGER, kind INTEGER, source INTEGER,"
" process INTEGER, tid INTEGER, fd INTEGER, file INTEGER, device INTEGER, state INTEGER, bits INTEGER,"
" how INTEGER, old INTEGER, requested INTEGER, error INTEGER, count INTEGER, info INTEGER, vm INTEGER,"
" hash BLOB);"
"CREATE INDEX event_device ON event (device) WHERE device IS NOT NULL;"
/* ready, lost, resync, gap; and attach-failed where the holders are known: few in any case */
"CREATE INDEX event_run ON event (kind) WHERE count IS NOT NULL OR info IS NOT NULL;"
"CREATE TABLE entry (id INTEGER PRIMARY KEY, process INTEGER, fd INTEGER, file INTEGER, device INTEGER,"
" state INTEGER, bits INTEGER);"
"CREATE TABLE mark (id INTEGER PRIMARY KEY, seq INTEGER, kind INTEGER, clock INTEGER, time_ns INTEGER,"
" first INTEGER, last INTEGER, base BLOB, ids TEXT, hash BLOB);"
"CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER, hash BLOB, boot TEXT,"
" boottime_ns INTEGER, realtime_ns INTEGER, pid INTEGER, stopped INTEGER, device INTEGER, file INTEGER,"
" salt BLOB);"
"INSERT INTO head VALUES (1, 0, zeroblob(32), NULL, 0, 0, 0, 1, 0, 0, randomblob(16));"
"CREATE VIEW events AS SELECT e.seq AS seq,"
" strftime('%Y-%m-%dT%H:%M:%S', (e.time_ns + c.offset_ns) / 1000000000, 'unixepoch') ||"
" printf('.%09dZ', (e.time_ns + c.offset_ns) % 1000000000) AS time,"
" e.time_ns + c.offset_ns AS realtime_ns, e.time_ns AS boottime_ns, c.boot AS boot_id,"
" k.value AS event, s.value AS source,"
" p.pid AS pid, p.ppid AS ppid, p.uid AS uid, pu.value AS user, pc.value AS comm, pe.value AS exe,"
" p.cmdline AS cmdline, pg.value AS cgroup, pr.value AS role, pn.inode AS process_netns,"
" e.fd AS fd, 'f' || f.number AS file, 'd' || e.device AS device, dk.value AS kind, di.value AS ifname,"
" d.ifindex AS ifindex, n.inode AS netns, n.cookie AS netns_cookie, nl.value AS netns_name,"
" hex(d.mac) AS mac, dm.value AS master,"
" oi.value AS old_ifname, o.ifindex AS old_ifindex, onn.inode AS old_netns, onl.value AS old_netns_name, oc.value AS old_comm,"
" h.value AS how, r.value AS requested, e.error AS error, e.count AS count,"
" vt.value AS vm_type, v.name AS vm_name, v.uuid AS vm_uuid, vg.value AS vm_manager"
" FROM event e LEFT JOIN clock c ON c.id = e.clock"
" LEFT JOIN text k ON k.id = e.kind LEFT JOIN text s ON s.id = e.source"
" LEFT JOIN process p ON p.id = e.process LEFT JOIN text pu ON pu.id = p.user"
" LEFT JOIN text pc ON pc.id = p.comm LEFT JOIN text pe ON pe.id = p.exe"
" LEFT JOIN text pg ON pg.id = p.cgroup"
" LEFT JOIN text pr ON pr.id = p.role LEFT JOIN netns pn ON pn.id = p.netns LEFT JOIN file f ON f.id = e.file"
" LEFT JOIN state d ON d.id = e.state LEFT JOIN text dk ON dk.id = d.kind"
" LEFT JOIN text di ON di.id = d.ifname LEFT JOIN netns n ON n.id = d.netns"
" LEFT JOIN text nl ON nl.id = n.label LEFT JOIN text dm ON dm.id = d.master"
" LEFT JOIN old o ON o.id = e.old LEFT JOIN text oi ON oi.id = o.ifname"
" LEFT JOIN netns onn ON onn.id = o.netns LEFT JOIN text onl ON onl.id = onn.label LEFT JOIN text oc ON oc.id = o.comm"
" LEFT JOIN text h ON h.id = e.how LEFT JOIN text r ON r.id = e.requested"
" LEFT JOIN vm v ON v.id = e.vm LEFT JOIN text vt ON vt.id = v.type"
" LEFT JOIN text vg ON vg.id = v.manager;"
"PRAGMA application_id = 0x74617077;"
"PRAGMA user_version = 1;"
"COMMIT;";

/* --- a row as bytes ---------------------------------------------------------------------- */

/* Room for so much more. False: out of memory, which b remembers. */
static bool bytes_room(struct bytes *b, size_t more)
{
	size_t room = b->room ? b->room : 1024;
	uint8_t *grown;

	if (b->len + more <= b->room)
		return true;
	while (room < b->len + more)
		room *= 2;
	grown = realloc(b->data, room);
	if (!grown) {
		b->failed = true;
		return false;
	}
	b->data = grown;
	b->room = room;
	return true;
}

void bytes_add(struct bytes *b, const void *data, size_t len)
{
	if (!len || !bytes_room(b, len))
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

#define NUMBER_MAX 10	/* bytes of a coded number */

/* 7 bits a byte, the low ones first. */
static uint8_t *put_number(uint8_t *at, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*at++ = (uint8_t)number | 0x80;
	*at++ = (uint8_t)number;
	return at;
}

void row_bytes(struct bytes *b, enum table_id table, int64_t id, const struct value *values, int n)
{
	size_t most = 2 + NUMBER_MAX;
	uint8_t *at;

	for (int i = 0; i < n; i++)
		most += 1 + NUMBER_MAX + (values[i].type == VALUE_BYTES ? values[i].len : 0);
	if (!bytes_room(b, most))
		return;
	at = b->data + b->len;
	*at++ = (uint8_t)(table + 1);
	*at++ = (uint8_t)n;
	at = put_number(at, (uint64_t)id);
	for (int i = 0; i < n; i++) {
		*at++ = (uint8_t)values[i].type;
		if (values[i].type == VALUE_INT) {
			/* as zigzag: small ones stay short, also negative */
			at = put_number(at, (uint64_t)values[i].number << 1 ^ (uint64_t)(values[i].number >> 63));
		} else if (values[i].type == VALUE_BYTES) {
			at = put_number(at, values[i].len);
			if (values[i].len)
				memcpy(at, values[i].bytes, values[i].len);
			at += values[i].len;
		}
	}
	b->len = (size_t)(at - b->data);
}

static uint64_t get_number(const uint8_t *data, size_t *at)
{
	uint64_t number = 0;
	unsigned shift = 0;

	for (; data[*at] & 0x80; shift += 7)
		number |= (uint64_t)(data[(*at)++] & 0x7f) << shift;
	return number | (uint64_t)data[(*at)++] << shift;
}

int64_t row_id(const uint8_t *data, size_t *at)
{
	*at += 2;	/* table, number of values */
	return (int64_t)get_number(data, at);
}

struct value row_value(const uint8_t *data, size_t *at)
{
	struct value value = { .type = (enum value_type)data[(*at)++] };
	uint64_t number;

	if (value.type == VALUE_INT) {
		number = get_number(data, at);
		value.number = (int64_t)(number >> 1 ^ -(number & 1));
	} else if (value.type == VALUE_BYTES) {
		value.len = (size_t)get_number(data, at);
		value.bytes = data + *at;
		*at += value.len;
	}
	return value;
}

/* --- statements -------------------------------------------------------------------------- */

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **stmt)
{
	int ret = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);

	return ret == SQLITE_OK ? 0 : history_errno(db, ret);
}

int schema_prepare_select(sqlite3 *db, enum table_id table, const char *tail, sqlite3_stmt **stmt)
{
	const struct schema_table *t = &schema[table];
	char sql[1024];
	int len = snprintf(sql, sizeof(sql), "SELECT %s", t->key);

	for (int i = 0; i < t->n_columns; i++)
		len += snprintf(sql + len, sizeof(sql) - (size_t)len, ", %s", t->columns[i].name);
	snprintf(sql + len, sizeof(sql) - (size_t)len, "%s FROM %s %s", t->hashed ? ", hash" : "", t->name, tail);
	return prepare(db, sql, stmt);
}

void schema_row(sqlite3_stmt *stmt, enum table_id table, int64_t *id, struct value *values)
{
	*id = sqlite3_column_int64(stmt, 0);
	for (int i = 0; i < schema[table].n_columns; i++) {
		switch (sqlite3_column_type(stmt, i + 1)) {
		case SQLITE_NULL:
			values[i] = (struct value){ .type = VALUE_NULL };
			break;
		case SQLITE_INTEGER:
			values[i] = value_int(sqlite3_column_int64(stmt, i + 1));
			break;
		default:	/* a float is no value of ours: as text it differs from all that is */
			values[i].bytes = sqlite3_column_blob(stmt, i + 1);
			values[i].len = (size_t)sqlite3_column_bytes(stmt, i + 1);
			values[i].type = VALUE_BYTES;
		}
	}
}
