// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_write.c - events into the database, in batches.
 *
 * A transaction is opened by the first event and committed HISTORY_BATCH_MS
 * later. The database is in WAL mode with synchronous=FULL: a commit ends with
 * the fsync(2) of the log, so what is committed is on disk. How the log gets
 * into the database: history_checkpoint.c.
 *
 * When a write fails the transaction is rolled back, and all that was
 * remembered with it goes back to the last commit. From then on events are
 * counted, until history_resume() finds that writing works again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "history_private.h"

#define BATCH_EVENTS	16384			/* more are committed at once: bounds the log and what a failure takes */
#define HEARTBEAT_NS	(HISTORY_HEARTBEAT_S * NSEC_PER_SEC)
#define RETRY_NS	NSEC_PER_SEC
#define ROOM_TO_RESUME	(4 << 20)		/* bytes free before a full disk is tried again */

uint64_t history_now(int clock)
{
	struct timespec ts = { 0 };

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* --- failure --- */

static void save(struct history *h)
{
	struct saved *s = &h->saved;

	memcpy(s->next_id, h->next_id, sizeof(s->next_id));
	memcpy(s->hash, h->chain.hash, sizeof(s->hash));
	memcpy(s->boot, h->boot, sizeof(s->boot));
	s->device_id = h->device_id;
	s->file_id = h->file_id;
	s->time_ns = h->last_time_ns;
	s->event_time_ns = h->event_time_ns;
	s->event_offset_ns = h->event_offset_ns;
	s->realtime_ns = h->last_realtime_ns;
	s->segment_seq = h->segment_seq;
	s->segment_realtime_ns = h->segment_realtime_ns;
	s->snapshot_seq = h->snapshot_seq;
}

static void restore(struct history *h)
{
	const struct saved *s = &h->saved;

	memcpy(h->next_id, s->next_id, sizeof(h->next_id));
	hash_set(&h->chain, s->hash);
	memcpy(h->boot, s->boot, sizeof(h->boot));
	h->device_id = s->device_id;
	h->file_id = s->file_id;
	h->last_time_ns = s->time_ns;
	h->event_time_ns = s->event_time_ns;
	h->event_offset_ns = s->event_offset_ns;
	h->last_realtime_ns = s->realtime_ns;
	h->segment_seq = s->segment_seq;
	h->segment_realtime_ns = s->segment_realtime_ns;
	h->snapshot_seq = s->snapshot_seq;
	dict_forget(h);
	recent_forget(h);
}

void history_fail(struct history *h, int sqlite_error)
{
	if (h->stuck)
		return;
	h->stuck = history_errno(h->db, sqlite_error);
	if (!h->stuck)
		h->stuck = -EIO;
	h->lost += h->in_batch;
	pending_forget(h);
	sqlite3_reset(h->head);
	if (!sqlite3_get_autocommit(h->db))
		sqlite3_step(h->rollback);
	sqlite3_reset(h->rollback);
	h->in_transaction = false;
	h->in_batch = 0;
	restore(h);
	h->tried_ns = history_now(CLOCK_BOOTTIME);
	history_arm(h);
}

static int step(struct history *h, sqlite3_stmt *stmt)
{
	int ret = sqlite3_step(stmt);

	sqlite3_reset(stmt);
	if (ret == SQLITE_DONE || ret == SQLITE_ROW)
		return 0;
	history_fail(h, ret);
	return h->stuck;
}

/*
 * --- parts of an event ---
 *
 * References are made in the order of the columns, and a row after those that
 * it refers to: history_verify.c finds them in the same order.
 */

static struct value text(struct history *h, const char *s)
{
	return dict_text(h, s, s ? strlen(s) : 0);
}

/* Of a fixed size, NUL-terminated when shorter. */
static struct value name(struct history *h, const char *s, size_t size)
{
	return dict_text(h, s, strnlen(s, size));
}

/* In the row itself: what no two rows share. */
static struct value raw(const char *s)
{
	return s && *s ? value_bytes(s, strlen(s)) : (struct value){ .type = VALUE_NULL };
}

static struct value row(struct history *h, enum table_id table, const struct value *values)
{
	return value_known((uint64_t)dict_row(h, table, values));
}

struct value encode_netns(struct history *h, uint32_t inode, uint64_t cookie, const char *label)
{
	struct value v[NETNS_COLUMNS] = { [NETNS_INODE] = value_known(inode), [NETNS_COOKIE] = value_known(cookie) };

	if (!inode && !cookie)
		return (struct value){ .type = VALUE_NULL };
	v[NETNS_LABEL] = text(h, label);
	return row(h, T_NETNS, v);
}

static struct value encode_vm(struct history *h, const char *type, const char *vm, const char *uuid, const char *manager)
{
	struct value v[VM_COLUMNS] = { { .type = VALUE_NULL } };
	struct memo_key key;
	int64_t id;

	if (!type && !vm && !uuid && !manager)
		return v[0];
	memo_begin(h, T_VM);
	memo_text(h, type);
	memo_text(h, vm);
	memo_text(h, uuid);
	memo_text(h, manager);
	id = memo_find(h, &key);
	if (!id) {
		v[VM_TYPE] = text(h, type);
		v[VM_NAME] = raw(vm);
		v[VM_UUID] = raw(uuid);
		v[VM_MANAGER] = text(h, manager);
		id = dict_row(h, T_VM, v);
		memo_set(h, &key, id);
	}
	return value_known((uint64_t)id);
}

/* Which machine it is; or what else. */
static void encode_role(struct history *h, const struct process_info *info, struct value *v)
{
	const struct vm *vm = info ? info->vm : NULL;

	if (!vm)
		return;
	v[PROCESS_ROLE] = text(h, role_name(vm->role));
	v[PROCESS_VM] = encode_vm(h, vm->type, vm->name, vm->uuid, vm->manager);
	v[PROCESS_VM_PID] = value_known(info->vm_pid);
	v[PROCESS_VM_START] = value_known(info->vm_start_ns);
}

/*
 * As one who queries the table can read it: a blank between arguments; blanks,
 * newlines and backslashes inside of one after a backslash (a newline as \n).
 */
#define ESCAPED_MAX (2 * PROCESS_CMDLINE_KEPT)
static struct value encode_cmdline(const struct process_info *info, char line[ESCAPED_MAX])
{
	size_t len = info && info->cmdline ? info->cmdline_len : 0, to = 0;

	if (len > PROCESS_CMDLINE_KEPT)
		len = PROCESS_CMDLINE_KEPT;
	while (len && !info->cmdline[len - 1])
		len--;
	for (size_t i = 0; i < len; i++) {
		char c;

		for (uint64_t word; i + 8 <= len; i += 8, to += 8) {
			word = eight(info->cmdline + i);
			if (ANY_LESS(word, ' ' + 1) | ANY_EQUAL(word, '\\'))
				break;
			memcpy(line + to, &word, sizeof(word));
		}
		if (i == len)
			break;
		c = info->cmdline[i];
		if ((unsigned char)c <= ' ' || c == '\\') {
			if (c == ' ' || c == '\n' || c == '\\')
				line[to++] = '\\';
			c = c == '\n' ? 'n' : c ? c : ' ';
		}
		line[to++] = c;
	}
	return to ? value_bytes(line, to) : (struct value){ .type = VALUE_NULL };
}

static int64_t write_process(struct history *h, const struct tw_task *task, const struct process_info *info,
			     const char *netns_label, bool fresh)
{
	struct value v[PROCESS_COLUMNS] = {
		[PROCESS_PID] = value_known(task->pid),
		[PROCESS_START] = value_known(task->start_ns),
		[PROCESS_PPID] = value_known(task->ppid),
		[PROCESS_UID] = task->uid == UINT32_MAX ? (struct value){ .type = VALUE_NULL } : value_int(task->uid),
	};
	char line[ESCAPED_MAX];
	int64_t id;

	v[PROCESS_USER] = text(h, info ? info->user : NULL);
	v[PROCESS_COMM] = name(h, task->comm, sizeof(task->comm));
	v[PROCESS_EXE] = text(h, info ? info->exe : NULL);
	v[PROCESS_CGROUP] = text(h, info ? info->cgroup : NULL);
	v[PROCESS_NETNS] = encode_netns(h, task->netns, 0, netns_label);
	encode_role(h, info, v);
	id = fresh ? 0 : dict_find(h, T_PROCESS, v);
	if (id)
		return id;
	v[PROCESS_CMDLINE] = encode_cmdline(info, line);
	return dict_new(h, T_PROCESS, v);
}

static void memo_vm(struct history *h, const struct process_info *info)
{
	const struct vm *vm = info->vm;
	uint32_t role = vm->role;

	memo_bytes(h, &role, sizeof(role));
	memo_bytes(h, &info->vm_pid, sizeof(info->vm_pid));
	memo_bytes(h, &info->vm_start_ns, sizeof(info->vm_start_ns));
	memo_text(h, vm->type);
	memo_text(h, vm->name);
	memo_text(h, vm->uuid);
	memo_text(h, vm->manager);
}

/* `fresh`: it has passed through exec: another command line, whatever else agrees. */
struct value encode_process(struct history *h, const struct tw_task *task, const struct process_info *info,
			    const char *netns_label, bool fresh)
{
	struct memo_key key;
	int64_t id;

	memo_begin(h, T_PROCESS);
	memo_bytes(h, &task->pid, sizeof(task->pid));
	memo_bytes(h, &task->ppid, sizeof(task->ppid));
	memo_bytes(h, &task->uid, sizeof(task->uid));
	memo_bytes(h, &task->start_ns, sizeof(task->start_ns));
	memo_bytes(h, &task->netns, sizeof(task->netns));
	memo_bytes(h, task->comm, sizeof(task->comm));
	memo_text(h, netns_label);
	memo_text(h, info ? info->user : NULL);
	memo_text(h, info ? info->exe : NULL);
	memo_text(h, info ? info->cgroup : NULL);
	if (info && info->vm)
		memo_vm(h, info);
	id = memo_find(h, &key);
	if (!id || fresh) {
		id = write_process(h, task, info, netns_label, fresh);
		memo_set(h, &key, id);
	}
	return value_known((uint64_t)id);
}

static int64_t write_file(struct history *h, const struct file *file, const char *netns_label)
{
	struct value v[FILE_COLUMNS] = {
		[FILE_NUMBER] = value_int((int64_t)file->id),
		[FILE_ADDRESS] = value_known(history_salted_address(h->address_salt, file->f.addr)),
	};

	if (file->has & TW_HAS_SOCKET_NETNS)
		v[FILE_NETNS] = encode_netns(h, file->f.socket_netns, file->f.socket_netns_cookie, netns_label);
	v[FILE_NAME_ONLY] = name(h, file->name_only, sizeof(file->name_only));
	return dict_row(h, T_FILE, v);
}

struct value encode_file(struct history *h, const struct file *file, const char *netns_label)
{
	bool has_netns = file->has & TW_HAS_SOCKET_NETNS;
	struct memo_key key;
	int64_t id;

	if (file->id > h->file_id)
		h->file_id = file->id;
	memo_begin(h, T_FILE);
	memo_bytes(h, &file->id, sizeof(file->id));
	memo_bytes(h, &file->f.addr, sizeof(file->f.addr));
	memo_bytes(h, file->name_only, sizeof(file->name_only));
	memo_bytes(h, &has_netns, sizeof(has_netns));
	if (has_netns) {
		memo_bytes(h, &file->f.socket_netns, sizeof(file->f.socket_netns));
		memo_bytes(h, &file->f.socket_netns_cookie, sizeof(file->f.socket_netns_cookie));
		memo_text(h, netns_label);
	}
	id = memo_find(h, &key);
	if (!id) {
		id = write_file(h, file, netns_label);
		memo_set(h, &key, id);
	}
	return value_known((uint64_t)id);
}

uint64_t encode_file_bits(const struct file *file)
{
	return BITS_FILE(file->state) | BITS_VHOST(file->vhost_queues);
}

static int64_t write_state(struct history *h, const struct device *dev, const char *netns_label)
{
	const struct tw_dev *d = &dev->d;
	struct value v[STATE_COLUMNS] = {
		[STATE_DEVICE] = value_int((int64_t)dev->id),
		[STATE_HAS] = value_int(dev->has),
		[STATE_KIND] = text(h, kind_name(d->kind)),
	};

	if (dev->has & TW_HAS_DEV) {
		v[STATE_IFNAME] = name(h, d->ifname, sizeof(d->ifname));
		v[STATE_IFINDEX] = value_known(d->ifindex);
		v[STATE_NETNS] = encode_netns(h, d->netns, d->netns_cookie, netns_label);
	}
	if (dev->has & TW_HAS_MAC)
		v[STATE_MAC] = value_bytes(d->mac, sizeof(d->mac));
	if (dev->has & TW_HAS_TUN) {
		v[STATE_TUN_FLAGS] = value_int(d->tun_flags);
		if (d->owner >= 0)
			v[STATE_OWNER] = value_int(d->owner);
		if (d->group >= 0)
			v[STATE_GROUP] = value_int(d->group);
	}
	if (dev->has & TW_HAS_QUEUES) {
		v[STATE_QUEUES] = value_int(d->queues);
		v[STATE_DISABLED] = value_int(dev->disabled);
	}
	if (dev->has & TW_HAS_UP)
		v[STATE_UP] = value_int(d->if_flags & 1 /* IFF_UP */);
	if (dev->has & TW_HAS_MASTER) {
		v[STATE_MASTER] = name(h, d->master, sizeof(d->master));
		v[STATE_MASTER_IFINDEX] = value_known(d->master_ifindex);
	}
	return dict_row(h, T_STATE, v);
}

struct value encode_state(struct history *h, const struct device *dev, const char *netns_label)
{
	struct tw_dev d = dev->d;
	struct memo_key key;
	int64_t id;

	if (dev->id > h->device_id)
		h->device_id = dev->id;
	/* of another run or another address, it is the same */
	d.addr = d.gen = 0;
	d.op = 0;
	memo_begin(h, T_STATE);
	memo_bytes(h, &dev->id, sizeof(dev->id));
	memo_bytes(h, &dev->has, sizeof(dev->has));
	memo_bytes(h, &dev->disabled, sizeof(dev->disabled));
	memo_bytes(h, &d, sizeof(d));
	memo_text(h, netns_label);
	id = memo_find(h, &key);
	if (!id) {
		id = write_state(h, dev, netns_label);
		memo_set(h, &key, id);
	}
	return value_known((uint64_t)id);
}

static int64_t clock_offset(const struct event *event)
{
	return (int64_t)(event->realtime_ns - event->change->time_ns);
}

/* One row a stretch: never reused later, so that rows in their order are stretches of time in theirs. */
static struct value encode_clock(struct history *h, const struct event *event)
{
	uint64_t time_ns = event->change->time_ns;
	const char *boot = event->boot_id ? event->boot_id : "";
	bool same = h->clock_id && clock_offset(event) == h->event_offset_ns && !strcmp(boot, h->boot);
	struct value v[CLOCK_COLUMNS] = {
		[CLOCK_BOOT] = value_bytes(boot, strlen(boot)),
		[CLOCK_OFFSET] = value_int(clock_offset(event)),
		[CLOCK_SEQ] = value_int(h->next_id[T_EVENT]),
	};

	h->event_time_ns = h->last_time_ns = time_ns;
	h->last_realtime_ns = event->realtime_ns;
	if (!h->segment_realtime_ns)	/* the first one of all begins with its first event */
		h->segment_realtime_ns = event->realtime_ns;
	h->event_offset_ns = v[CLOCK_OFFSET].number;
	if (!same) {
		snprintf(h->boot, sizeof(h->boot), "%s", boot);
		h->clock_id = history_insert(h, T_CLOCK, v);
	}
	return value_known((uint64_t)h->clock_id);
}

static struct value encode_old(struct history *h, const struct event *event)
{
	const struct change *c = event->change;
	struct value v[OLD_COLUMNS] = { { .type = VALUE_NULL } };

	if (c->has & CH_OLD_IFNAME)
		v[OLD_IFNAME] = name(h, c->old.ifname, sizeof(c->old.ifname));
	if (c->has & CH_OLD_IFINDEX)
		v[OLD_IFINDEX] = value_int(c->old.ifindex);
	if (c->has & CH_OLD_NETNS)
		v[OLD_NETNS] = encode_netns(h, c->old.netns, c->old.netns_cookie, event->old_netns_name);
	if (c->has & CH_OLD_MAC)
		v[OLD_MAC] = value_bytes(c->old.mac, sizeof(c->old.mac));
	if (c->has & CH_OLD_COMM)
		v[OLD_COMM] = name(h, c->old.comm, sizeof(c->old.comm));
	return row(h, T_OLD, v);
}

/* What has no columns of its own: words, each ended by a NUL. reader: history_read.c */
static void info_word(struct bytes *b, const char *word, size_t len)
{
	bytes_add(b, word, len);
	bytes_add(b, "", 1);
}

static void info_number(struct bytes *b, uint64_t number)
{
	char word[24];

	info_word(b, word, (size_t)snprintf(word, sizeof(word), "%llu", (unsigned long long)number));
}

static void info_string(struct bytes *b, const char *word)
{
	info_word(b, word ? word : "", word ? strlen(word) : 0);
}

static void info_ready(struct bytes *b, const struct ready_info *ready)
{
	info_string(b, ready->backend);
	info_string(b, ready->seed);
	for (size_t i = 0; i < ready->n_hooks; i++) {
		info_string(b, ready->hooks[i].name);
		info_string(b, ready->hooks[i].state);
	}
}

static void info_gap(struct bytes *b, const struct gap_info *gap)
{
	info_string(b, gap->reason);
	info_number(b, gap->from_realtime_ns);
	info_number(b, gap->from_boottime_ns);
	info_string(b, gap->from_boot_id);
}

static void info_held_by(struct bytes *b, const struct change *c)
{
	for (size_t i = 0; i < c->held_by_len; i++) {
		const struct hold *hold = c->held_by[i];

		info_number(b, hold->task.pid);
		info_number(b, hold->task.start_ns);
		info_number(b, hold->task.uid);
		info_number(b, (uint64_t)(int64_t)hold->fd);
		info_word(b, hold->task.comm, strnlen(hold->task.comm, sizeof(hold->task.comm)));
	}
}

static void info_earlier(struct bytes *b, const struct event *event)
{
	for (size_t i = 0; i < event->n_earlier; i++) {
		const struct event_earlier *e = &event->earlier[i];

		info_number(b, e->seq);
		info_number(b, e->time_ns);
		info_string(b, event_name(e->event));
		info_string(b, how_name(e->how));
		info_number(b, (uint64_t)(int64_t)e->fd);
		info_number(b, e->pid);
		info_word(b, e->comm, strnlen(e->comm, sizeof(e->comm)));
	}
}

static struct value encode_info(struct history *h, const struct event *event)
{
	struct bytes b = { 0 };
	struct value v = { .type = VALUE_NULL };

	if (event->ready)
		info_ready(&b, event->ready);
	else if (event->gap)
		info_gap(&b, event->gap);
	else if (event->change->held_by_len)
		info_held_by(&b, event->change);
	else if (event->n_earlier)
		info_earlier(&b, event);
	else if (event->change->after_ns)
		info_number(&b, event->change->after_ns);
	if (b.failed)
		history_fail(h, SQLITE_NOMEM);
	else
		v = dict_text(h, (char *)b.data, b.len);
	free(b.data);
	return v;
}

/* The words of our enums are needed all the time: remembered by number. */
static struct value word(struct history *h, int number, const char *s)
{
	if (!s)
		return (struct value){ .type = VALUE_NULL };
	if (!h->words[number])
		h->words[number] = text(h, s).number;
	return value_known((uint64_t)h->words[number]);
}

/* Events come from one or two of them. */
static struct value source(struct history *h, const char *s)
{
	if (!s || strlen(s) >= sizeof(h->source))
		return text(h, s);
	if (!h->source_id || strcmp(s, h->source)) {
		h->source_id = text(h, s).number;
		strcpy(h->source, s);
	}
	return value_known((uint64_t)h->source_id);
}

/* Under which names a device, or an attempt, is to be found. */
static void add_name(struct history *h, const char *ifname, uint64_t device)
{
	struct value v[NAME_COLUMNS] = {
		[NAME_IFNAME] = value_bytes(ifname, strnlen(ifname, TW_NAME_LEN)),
		[NAME_DEVICE] = value_known(device),
		[NAME_SEQ] = value_int(h->next_id[T_EVENT]),
	};

	if (!v[NAME_IFNAME].len)
		return;
	if (device)
		dict_row(h, T_NAME, v);
	else
		dict_new(h, T_NAME, v);
}

static void add_names(struct history *h, const struct change *c)
{
	if (c->dev && (c->dev->has & TW_HAS_DEV))
		add_name(h, c->dev->d.ifname, c->dev->id);
	if (c->dev && (c->has & CH_OLD_IFNAME))
		add_name(h, c->old.ifname, c->dev->id);
	if (c->has & CH_REQUESTED)
		add_name(h, c->requested, 0);
	else if (c->file && c->file->name_only[0])
		add_name(h, c->file->name_only, 0);
}

static uint64_t encode_bits(const struct change *c)
{
	uint64_t bits = BITS_HAS(c->has);

	if (c->value)
		bits |= BITS_VALUE;
	return c->file ? bits | encode_file_bits(c->file) : bits;
}

/* --- events --- */

static void put_who(struct history *h, const struct event *event, struct value *v)
{
	const struct change *c = event->change;
	const struct tw_task *task = c->task;

	if (!task)
		return;
	v[EVENT_PROCESS] = encode_process(h, task, event->process, event->process_netns_name, c->how == HOW_EXEC);
	if (task->tid && task->tid != task->pid)
		v[EVENT_TID] = value_int(task->tid);
	recent_netns(h, task->netns, event->process_netns_name);
}

static void put_what(struct history *h, const struct event *event, struct value *v)
{
	const struct change *c = event->change;

	if ((c->has & CH_FD) && c->fd >= 0)
		v[EVENT_FD] = value_int(c->fd);
	if (c->file) {
		v[EVENT_FILE] = encode_file(h, c->file, event->socket_netns_name);
		recent_netns(h, c->file->f.socket_netns, event->socket_netns_name);
	}
	if (c->dev) {
		v[EVENT_DEVICE] = value_int((int64_t)c->dev->id);
		v[EVENT_STATE] = encode_state(h, c->dev, event->netns_name);
		recent_netns(h, c->dev->d.netns, event->netns_name);
	}
}

/* In a storm events come without a turn of the loop between them. The clock is looked at now and then. */
static bool is_late(const struct history *h)
{
	return !(h->in_batch % 64) && history_now(CLOCK_BOOTTIME) - h->batch_ns >= HISTORY_BATCH_MS * NSEC_PER_MSEC;
}

void history_put(struct history *h, const struct event *event)
{
	const struct change *c = event->change;
	struct value v[EVENT_COLUMNS] = { { .type = VALUE_NULL } };

	history_begin_batch(h);
	if (h->stuck) {
		h->lost++;
		return;
	}
	h->in_batch++;	/* a failure on the way counts it with its batch */
	v[EVENT_CLOCK] = encode_clock(h, event);
	v[EVENT_TIME] = value_int((int64_t)c->time_ns);
	v[EVENT_KIND] = word(h, (int)c->event, event_name(c->event));
	v[EVENT_SOURCE] = source(h, event->source);
	put_who(h, event, v);
	put_what(h, event, v);
	v[EVENT_BITS] = value_int((int64_t)encode_bits(c));
	v[EVENT_HOW] = word(h, EV_MAX + (int)c->how, how_name(c->how));
	v[EVENT_OLD] = encode_old(h, event);
	if (c->has & CH_REQUESTED)
		v[EVENT_REQUESTED] = name(h, c->requested, sizeof(c->requested));
	if (c->has & CH_ERRNO)
		v[EVENT_ERROR] = value_int(c->error);
	if (c->has & CH_COUNT)
		v[EVENT_COUNT] = value_int((int64_t)c->count);
	v[EVENT_INFO] = encode_info(h, event);
	v[EVENT_VM] = encode_vm(h, event->vm_type, event->vm_name, event->vm_uuid, event->vm_manager);
	add_names(h, c);
	if (c->task)
		recent_process(h, c->task, v[EVENT_PROCESS].number);
	if (history_insert(h, T_EVENT, v) && (h->in_batch >= BATCH_EVENTS || is_late(h)))
		history_commit(h);
}

/* --- transactions --- */

void history_arm(struct history *h)
{
	uint64_t at = h->stuck ? h->tried_ns + RETRY_NS :
		      h->in_transaction ? h->batch_ns + HISTORY_BATCH_MS * NSEC_PER_MSEC : h->committed_ns + HEARTBEAT_NS;
	struct itimerspec its = { { 0 }, { 0 } };

	if (prune_busy(h) && !h->stuck)
		at = 1;
	its.it_value.tv_sec = (time_t)(at / NSEC_PER_SEC);
	its.it_value.tv_nsec = (long)(at % NSEC_PER_SEC);
	timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &its, NULL);
}

void history_begin_batch(struct history *h)
{
	int ret;

	if (h->in_transaction || h->stuck)
		return;
	ret = sqlite3_step(h->begin);
	sqlite3_reset(h->begin);
	if (ret != SQLITE_DONE) {
		history_fail(h, ret);
		return;
	}
	h->in_transaction = true;
	h->batch_ns = history_now(CLOCK_BOOTTIME);
	history_arm(h);
}

static void write_head(struct history *h, bool stopped)
{
	sqlite3_stmt *s = h->head;

	sqlite3_bind_int64(s, 1, h->next_id[T_EVENT] - 1);
	sqlite3_bind_blob(s, 2, h->chain.hash, HISTORY_HASH_LEN, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, h->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 4, (int64_t)h->last_time_ns);
	sqlite3_bind_int64(s, 5, (int64_t)h->last_realtime_ns);
	sqlite3_bind_int(s, 6, (int)getpid());
	sqlite3_bind_int(s, 7, stopped);
	sqlite3_bind_int64(s, 8, (int64_t)h->device_id);
	sqlite3_bind_int64(s, 9, (int64_t)h->file_id);
	step(h, s);
}

static int commit(struct history *h, bool stopped)
{
	int ret;

	if (h->stuck)
		return h->stuck;
	if (!h->in_transaction)
		return 0;
	history_flush(h);
	if (h->stuck)
		return h->stuck;
	write_head(h, stopped);
	if (h->stuck)
		return h->stuck;
	ret = sqlite3_step(h->commit);
	sqlite3_reset(h->commit);
	if (ret != SQLITE_DONE) {
		history_fail(h, ret);
		return h->stuck;
	}
	h->in_transaction = false;
	h->in_batch = 0;
	h->committed_ns = history_now(CLOCK_BOOTTIME);
	save(h);
	history_arm(h);
	return 0;
}

int history_commit(struct history *h)
{
	return commit(h, false);
}

/* Up to this moment nothing was missed, also when nothing happened. */
static void note_moment(struct history *h)
{
	uint64_t now = history_now(CLOCK_BOOTTIME);

	/* made-up events of tests live in another time */
	if (h->last_time_ns && h->last_time_ns <= now && now - h->last_time_ns < 366ULL * 86400 * NSEC_PER_SEC) {
		h->last_realtime_ns = history_now(CLOCK_REALTIME);
		h->last_time_ns = now;
	}
}

void history_work(struct history *h, const struct bindings *b)
{
	uint64_t now = history_now(CLOCK_BOOTTIME), ticks;

	if (read(h->timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		return;
	if (h->stuck) {
		history_arm(h);
		return;
	}
	snapshot_work(h, b);
	if (!h->in_transaction && now - h->committed_ns >= HEARTBEAT_NS) {
		history_begin_batch(h);
		note_moment(h);
		history_commit(h);
	}
	if (h->in_transaction && now - h->batch_ns >= HISTORY_BATCH_MS * NSEC_PER_MSEC)
		history_commit(h);
	prune_work(h);
	history_arm(h);
}

/* --- going on after a failure --- */

int history_stuck(const struct history *h, uint64_t *lost)
{
	if (lost)
		*lost = h->lost;
	return h->stuck;
}

static bool has_room(const struct history *h)
{
	struct statvfs fs;

	return statvfs(h->path, &fs) || (uint64_t)fs.f_bavail * fs.f_frsize >= ROOM_TO_RESUME;
}

int history_resume(struct history *h, struct gap_info *gap, uint64_t *lost)
{
	uint64_t now = history_now(CLOCK_BOOTTIME);
	int was = h->stuck;

	if (!was)
		return -EALREADY;
	if (now - h->tried_ns < RETRY_NS)
		return was;
	h->tried_ns = now;
	history_arm(h);
	if (was == -ENOSPC && !has_room(h))
		return was;
	*gap = (struct gap_info){
		.reason = "write-failed",
		.from_realtime_ns = h->last_realtime_ns, .from_boottime_ns = h->last_time_ns,
	};
	snprintf(gap->from_boot_id, sizeof(gap->from_boot_id), "%s", h->boot);
	*lost = h->lost;
	h->stuck = 0;
	/* does it work? The head is written anew, and on disk */
	history_begin_batch(h);
	if (history_commit(h)) {
		h->lost = *lost;
		return h->stuck;
	}
	h->lost = 0;
	return 0;
}

/* --- open and close --- */

static int read_head(struct history *h)
{
	sqlite3_stmt *stmt;
	int ret = sqlite3_prepare_v2(h->db, "SELECT hash, boot, boottime_ns, realtime_ns, device, file, salt, seq FROM head",
				     -1, &stmt, NULL);

	if (ret != SQLITE_OK)
		return history_errno(h->db, ret);
	if (sqlite3_step(stmt) != SQLITE_ROW || sqlite3_column_bytes(stmt, 0) != HISTORY_HASH_LEN ||
	    sqlite3_column_bytes(stmt, 6) != sizeof(h->address_salt)) {
		sqlite3_finalize(stmt);
		return -EUCLEAN;
	}
	hash_set(&h->chain, sqlite3_column_blob(stmt, 0));
	snprintf(h->boot, sizeof(h->boot), "%s",
		 sqlite3_column_text(stmt, 1) ? (const char *)sqlite3_column_text(stmt, 1) : "");
	h->last_time_ns = (uint64_t)sqlite3_column_int64(stmt, 2);
	h->last_realtime_ns = (uint64_t)sqlite3_column_int64(stmt, 3);
	h->device_id = (uint64_t)sqlite3_column_int64(stmt, 4);
	h->file_id = (uint64_t)sqlite3_column_int64(stmt, 5);
	memcpy(h->address_salt, sqlite3_column_blob(stmt, 6), sizeof(h->address_salt));
	h->next_id[T_EVENT] = sqlite3_column_int64(stmt, 7) + 1;
	sqlite3_finalize(stmt);
	return 0;
}

static int read_next_ids(struct history *h)
{
	char sql[96];

	for (size_t t = 0; t < T_MAX; t++) {
		int64_t last;

		snprintf(sql, sizeof(sql), "SELECT ifnull(max(%s), 0) FROM %s", schema[t].key, schema[t].name);
		last = history_number(h->db, sql);
		if (last < 0)
			return -EUCLEAN;
		/* of events the head knows better: all there are may have been pruned */
		if (t != T_EVENT)
			h->next_id[t] = last + 1;
		else if (last >= h->next_id[t])
			return -EUCLEAN;
	}
	return 0;
}

static int read_place(struct history *h)
{
	int64_t segment = history_number(h->db, "SELECT ifnull(max(seq), 0) FROM mark WHERE kind = 0");
	int64_t snapshot = history_number(h->db, "SELECT ifnull(max(seq), 0) FROM mark WHERE kind = 1");
	int64_t since = history_number(h->db, "SELECT ifnull((SELECT m.time_ns + ifnull(c.offset_ns, 0) FROM mark m "
					      "LEFT JOIN clock c ON c.id = m.clock WHERE kind = 0 ORDER BY m.id DESC "
					      "LIMIT 1), 0)");

	if (segment < 0 || snapshot < 0 || since < 0)
		return -EUCLEAN;
	h->segment_seq = (uint64_t)segment;
	h->snapshot_seq = (uint64_t)snapshot;
	h->segment_realtime_ns = (uint64_t)since;
	return 0;
}

static int prepare_all(struct history *h)
{
	static const struct { size_t at; const char *sql; } statements[] = {
		{ offsetof(struct history, begin), "BEGIN IMMEDIATE" },
		{ offsetof(struct history, commit), "COMMIT" },
		{ offsetof(struct history, rollback), "ROLLBACK" },
		{ offsetof(struct history, head), "UPDATE head SET seq = ?, hash = ?, boot = ?, boottime_ns = ?, "
		  "realtime_ns = ?, pid = ?, stopped = ?, device = ?, file = ? WHERE id = 1" },
	};
	int ret = pending_init(h);

	for (size_t i = 0; !ret && i < sizeof(statements) / sizeof(statements[0]); i++)
		if (sqlite3_prepare_v3(h->db, statements[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
				       (sqlite3_stmt **)((char *)h + statements[i].at), NULL) != SQLITE_OK)
			ret = history_errno(h->db, sqlite3_errcode(h->db));
	return ret;
}

static int configure(struct history *h, bool created)
{
	int on = 1, ret = 0;

	if (created)
		ret = history_exec(h->db, history_schema_sql);
	if (!ret)
		ret = history_exec(h->db, history_schema_index_sql);
	if (!ret)
		ret = history_exec(h->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
				   "PRAGMA cache_size = -4096; PRAGMA journal_size_limit = 33554432;"
				   "PRAGMA wal_autocheckpoint = 0;");
	if (!ret) {
		/* so that who may only read finds -wal and -shm also while no recorder runs */
		sqlite3_file_control(h->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
		checkpoint_init(h);
	}
	return ret;
}

static int start(struct history *h, bool created)
{
	int ret = configure(h, created);

	if (!ret)
		ret = hash_init(&h->chain);
	if (!ret)
		ret = dict_init(h);
	if (!ret)
		ret = recent_init(h);
	if (!ret)
		ret = prepare_all(h);
	if (!ret)
		ret = read_head(h);
	if (!ret)
		ret = read_next_ids(h);
	if (!ret)
		ret = read_place(h);
	if (!ret)
		ret = reader_new(&h->reader, h->db, true);
	if (!ret)
		ret = prune_init(h);
	if (ret)
		return ret;
	save(h);
	h->committed_ns = history_now(CLOCK_BOOTTIME);
	if (h->next_id[T_MARK] == 1)
		segment_begin(h);
	history_commit(h);
	return h->stuck;
}

/* With its directory resolved: SQLite is told to follow no symlink at all. */
static char *absolute(const char *path)
{
	char copy[PATH_MAX], copy2[PATH_MAX], dir[PATH_MAX], *whole = NULL;

	if (strlen(path) >= PATH_MAX)
		return NULL;
	snprintf(copy, sizeof(copy), "%s", path);
	snprintf(copy2, sizeof(copy2), "%s", path);
	if (!realpath(dirname(copy), dir))
		return strdup(path);	/* what is wrong with it is said later */
	if (asprintf(&whole, "%s/%s", strcmp(dir, "/") ? dir : "", basename(copy2)) < 0)
		return NULL;
	return whole;
}

int history_open(struct history **out, const struct history_options *options, char *err, size_t errsize)
{
	struct history *h = calloc(1, sizeof(*h));
	bool created;
	int ret;

	*out = NULL;
	if (!h || !(h->path = absolute(options->path))) {
		free(h);
		snprintf(err, errsize, "cannot open the history: out of memory");
		return -ENOMEM;
	}
	h->options = *options;
	h->lock = -1;
	h->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	ret = history_file_secure(h->path, options->group, &h->lock, err, errsize);
	if (!ret) {
		ret = history_db_open(&h->db, h->path, true, err, errsize);
		created = ret == -ENODATA;
		if (!ret || created) {
			ret = start(h, created);
			if (ret)
				history_complain(h->path, ret, err, errsize);
		}
	}
	if (ret) {
		h->stuck = ret;
		history_close(h);
		return ret;
	}
	*out = h;
	return 0;
}

static void finish(struct history *h)
{
	if (!h->stuck) {
		history_begin_batch(h);
		note_moment(h);
		commit(h, true);
	}
	pending_finalize(h);
	sqlite3_finalize(h->begin);
	sqlite3_finalize(h->commit);
	sqlite3_finalize(h->rollback);
	sqlite3_finalize(h->head);
	sqlite3_finalize(h->copy_process);
	sqlite3_finalize(h->copy_text);
}

void history_close(struct history *h)
{
	if (!h)
		return;
	if (h->db)
		finish(h);
	checkpoint_free(h);
	history_reader_close(h->reader);
	prune_free(h);
	sqlite3_close(h->db);
	dict_free(h);
	recent_free(h);
	hash_free(&h->chain);
	free(h->scratch.data);
	free(h->path);
	if (h->timer >= 0)
		close(h->timer);
	if (h->lock >= 0)
		close(h->lock);
	free(h);
}

/* --- questions --- */

int history_fd(const struct history *h)
{
	return h->timer;
}

uint64_t history_last(const struct history *h)
{
	return (uint64_t)h->next_id[T_EVENT] - 1;
}

uint64_t history_durable(const struct history *h)
{
	return (uint64_t)h->saved.next_id[T_EVENT] - 1;
}

struct history_reader *history_own_reader(struct history *h)
{
	history_flush(h);
	return h->reader;
}
