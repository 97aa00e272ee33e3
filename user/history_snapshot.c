// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_snapshot.c - snapshots, so that a question about a past moment needs
 * few events, and segments, so that old ones can be removed as a whole.
 *
 * How often. A snapshot of n entries is made every max(4096, 4 n) events: it
 * costs at most some ten bytes an event, and a question reads the entries and
 * at most so many events: some ten milliseconds. A segment begins after half
 * a million events or a day, with all dictionary rows that the state needs
 * written again: for a thousand virtual machines some hundred kilobytes in
 * seventy megabytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_private.h"

#define SNAPSHOT_EVENTS	4096
#define SEGMENT_EVENTS	524288
#define SEGMENT_NS	(86400 * NSEC_PER_SEC)
#define BYTES_PER_EVENT	160	/* about: to make segments small beside --max-size */

/* --- what was last written about a process, a namespace ------------------------------------ */

#define PROCESS_SLOTS 8192
#define LABEL_SLOTS 2048

struct recent {
	uint32_t segment;	/* number of the present one */
	struct recent_process {
		uint64_t start_ns;
		uint32_t pid, segment;	/* segment in which id was written; 0: free */
		int64_t id;
	} process[PROCESS_SLOTS];
	struct recent_label {
		uint32_t inode;
		char *label;
	} label[LABEL_SLOTS];
};

int recent_init(struct history *h)
{
	h->recent = calloc(1, sizeof(*h->recent));
	if (!h->recent)
		return -ENOMEM;
	h->recent->segment = 1;
	return 0;
}

void recent_free(struct history *h)
{
	if (!h->recent)
		return;
	for (size_t i = 0; i < LABEL_SLOTS; i++)
		free(h->recent->label[i].label);
	free(h->recent);
}

void recent_forget(struct history *h)
{
	memset(h->recent->process, 0, sizeof(h->recent->process));
}

/* Slots come in pairs, the one that was used last first. False: the task has none of the two. */
static bool process_pair(const struct history *h, const struct tw_task *task, struct recent_process **two)
{
	uint64_t key[2] = { task->start_ns, task->pid };
	struct digest digest = dict_digest(h, key, sizeof(key));
	struct recent_process swap;

	*two = &h->recent->process[digest.a % PROCESS_SLOTS & ~1ULL];
	for (int i = 0; i < 2; i++) {
		if ((*two)[i].pid != task->pid || (*two)[i].start_ns != task->start_ns)
			continue;
		if (i) {
			swap = (*two)[0];
			(*two)[0] = (*two)[1];
			(*two)[1] = swap;
		}
		return true;
	}
	return false;
}

void recent_process(struct history *h, const struct tw_task *task, int64_t id)
{
	struct recent_process *two;

	if (!id || h->stuck)
		return;
	if (!process_pair(h, task, &two))
		two[1] = two[0];
	two[0] = (struct recent_process){ task->start_ns, task->pid, h->recent->segment, id };
}

void recent_netns(struct history *h, uint32_t inode, const char *label)
{
	struct recent_label *slot = &h->recent->label[inode % LABEL_SLOTS];

	if (!inode || (slot->inode == inode && (slot->label == label ||
						(slot->label && label && !strcmp(slot->label, label)))))
		return;
	free(slot->label);
	slot->inode = inode;
	slot->label = label ? strdup(label) : NULL;
}

static const char *label_of(struct history *h, uint32_t inode)
{
	struct recent_label *slot = &h->recent->label[inode % LABEL_SLOTS];

	if (inode && slot->inode != inode && h->options.label)
		recent_netns(h, inode, h->options.label(h->options.ctx, inode));
	return inode && slot->inode == inode ? slot->label : NULL;
}

/* --- rows of the last segment once more ------------------------------------------------------ */

static struct value copy(struct history *h, enum table_id table, int64_t id);

/* The references of a row as references to rows of this segment. */
static struct value copy_row(struct history *h, enum table_id table, struct value *values)
{
	for (int i = 0; i < schema[table].n_columns; i++)
		if (schema[table].columns[i].type == COL_REF && values[i].type == VALUE_INT)
			values[i] = copy(h, schema[table].columns[i].ref, values[i].number);
	return value_known((uint64_t)dict_row(h, table, values));
}

static struct value copy(struct history *h, enum table_id table, int64_t id)
{
	struct value values[MAX_COLUMNS], copied = { .type = VALUE_NULL };
	void *bytes[MAX_COLUMNS] = { NULL };
	int n = schema[table].n_columns;

	history_flush_row(h, table, id);
	if (reader_values(h->reader, table, id, values))
		return copied;
	/* what they borrow goes with the next row that is read */
	for (int i = 0; i < n; i++) {
		if (values[i].type != VALUE_BYTES || !values[i].len)
			continue;
		bytes[i] = malloc(values[i].len);
		if (bytes[i])
			memcpy(bytes[i], values[i].bytes, values[i].len);
		values[i].bytes = bytes[i];
		if (!bytes[i])
			values[i].type = VALUE_NULL;
	}
	copied = copy_row(h, table, values);
	for (int i = 0; i < n; i++)
		free(bytes[i]);
	return copied;
}

static struct value encode_holder(struct history *h, const struct tw_task *task)
{
	struct recent_process *slot;
	struct value process;

	if (process_pair(h, task, &slot) && slot->segment) {
		if (slot->segment != h->recent->segment)
			slot->id = copy(h, T_PROCESS, slot->id).number;
		slot->segment = h->recent->segment;
		return value_known((uint64_t)slot->id);
	}
	process = encode_process(h, task, h->options.describe ? h->options.describe(h->options.ctx, task) : NULL,
				 label_of(h, task->netns), false);
	recent_process(h, task, process.number);
	return process;
}

/* --- snapshots ------------------------------------------------------------------------------- */

struct snapshot {
	struct history *h;
	const struct device **held;	/* devices that a file is on, sorted */
	size_t len, room;
	size_t entries;
	int err;
};

static void add_entry(struct snapshot *s, const struct tw_task *task, int fd, const struct file *file,
		      const struct device *dev)
{
	struct value v[ENTRY_COLUMNS] = { { .type = VALUE_NULL } };
	uint64_t bits = 0;

	if (task) {
		v[ENTRY_PROCESS] = encode_holder(s->h, task);
		v[ENTRY_FD] = value_int(fd);
		bits |= BITS_HAS(CH_TASK | CH_FD);
	}
	if (file) {
		v[ENTRY_FILE] = encode_file(s->h, file, label_of(s->h, file->f.socket_netns));
		bits |= encode_file_bits(file);
	}
	if (dev) {
		v[ENTRY_DEVICE] = value_int((int64_t)dev->id);
		v[ENTRY_STATE] = encode_state(s->h, dev, label_of(s->h, dev->d.netns));
	}
	v[ENTRY_BITS] = value_int((int64_t)bits);
	history_insert(s->h, T_ENTRY, v);
	s->entries++;
}

static int add_hold(void *ctx, const struct hold *hold)
{
	struct snapshot *s = ctx;

	add_entry(s, &hold->task, hold->fd, hold->file, hold->file->dev);
	return s->h->stuck;
}

static int add_file(void *ctx, const struct file *file)
{
	struct snapshot *s = ctx;

	if (!file->holders)
		add_entry(s, NULL, -1, file, file->dev);
	if (file->dev && s->len < s->room)
		s->held[s->len++] = file->dev;
	return s->h->stuck;
}

static int by_address(const void *a, const void *b)
{
	const struct device *x = *(const struct device *const *)a, *y = *(const struct device *const *)b;

	return x < y ? -1 : x > y;
}

static int add_device(void *ctx, const struct device *dev)
{
	struct snapshot *s = ctx;

	if (!s->len || !bsearch(&dev, s->held, s->len, sizeof(s->held[0]), by_address))
		add_entry(s, NULL, -1, NULL, dev);
	return s->h->stuck;
}

static int count_file(void *ctx, const struct file *file)
{
	struct snapshot *s = ctx;

	s->room += file->dev != NULL;
	return 0;
}

static void add_state(struct snapshot *s, const struct bindings *b)
{
	bindings_each_file(b, count_file, s);
	s->held = calloc(s->room + 1, sizeof(s->held[0]));
	if (!s->held) {
		history_fail(s->h, SQLITE_NOMEM);
		return;
	}
	bindings_each_hold(b, add_hold, s);
	bindings_each_file(b, add_file, s);
	if (s->len)
		qsort(s->held, s->len, sizeof(s->held[0]), by_address);
	bindings_each_device(b, add_device, s);
	free(s->held);
}

static void mark_moment(struct history *h, struct value *v)
{
	struct value clock[CLOCK_COLUMNS] = {
		[CLOCK_BOOT] = value_bytes(h->boot, strlen(h->boot)),
		[CLOCK_OFFSET] = value_int(h->event_offset_ns),
		[CLOCK_SEQ] = value_int(h->next_id[T_EVENT]),
	};

	v[MARK_SEQ] = value_int(h->next_id[T_EVENT] - 1);
	if (!h->event_time_ns)
		return;
	if (!h->clock_id)
		h->clock_id = history_insert(h, T_CLOCK, clock);
	v[MARK_CLOCK] = value_known((uint64_t)h->clock_id);
	v[MARK_TIME] = value_int((int64_t)h->event_time_ns);
}

static void write_snapshot(struct history *h, const struct bindings *b)
{
	struct value v[MARK_COLUMNS] = { [MARK_KIND] = value_int(MARK_SNAPSHOT) };
	struct snapshot s = { .h = h };

	history_begin_batch(h);
	if (h->stuck)
		return;
	v[MARK_FIRST] = value_int(h->next_id[T_ENTRY]);
	add_state(&s, b);
	v[MARK_LAST] = value_int(h->next_id[T_ENTRY] - 1);
	mark_moment(h, v);
	if (!history_insert(h, T_MARK, v))
		return;
	h->snapshot_seq = history_last(h);
	h->snapshot_len = s.entries;
}

/* --- segments ---------------------------------------------------------------------------------- */

/*
 * The mark tells from which ids on the tables belong to this segment and the
 * chain's hash before it, so that it can be verified, and read, without those
 * before.
 */
void segment_begin(struct history *h)
{
	uint8_t base[HISTORY_HASH_LEN];
	struct value v[MARK_COLUMNS] = { [MARK_KIND] = value_int(MARK_SEGMENT) };
	char ids[T_MAX * 21] = "";
	int len = 0;

	history_begin_batch(h);
	if (h->stuck)
		return;
	for (int t = 0; t < T_MAX; t++)
		len += snprintf(ids + len, sizeof(ids) - (size_t)len, "%s%lld", t ? " " : "", (long long)h->next_id[t]);
	memcpy(base, h->chain.hash, sizeof(base));
	v[MARK_BASE] = value_bytes(base, sizeof(base));
	v[MARK_IDS] = value_bytes(ids, (size_t)len);
	dict_forget(h);
	h->recent->segment++;
	mark_moment(h, v);
	if (!history_insert(h, T_MARK, v))
		return;
	h->segment_seq = history_last(h);
	h->segment_realtime_ns = h->last_realtime_ns;
}

static bool segment_due(const struct history *h)
{
	uint64_t events = history_last(h) - h->segment_seq, limit = SEGMENT_EVENTS, age = SEGMENT_NS;

	if (h->options.keep_ns && h->options.keep_ns / 16 < age)
		age = h->options.keep_ns / 16;
	if (h->options.max_bytes && h->options.max_bytes / 16 / BYTES_PER_EVENT < limit)
		limit = h->options.max_bytes / 16 / BYTES_PER_EVENT;
	/* not for a moment's sake only what will be rewritten at once */
	if (limit < 4 * h->snapshot_len)
		limit = 4 * h->snapshot_len;
	return events >= limit || (events && h->last_realtime_ns - h->segment_realtime_ns >= age &&
				   h->last_realtime_ns > h->segment_realtime_ns);
}

void history_write_snapshot(struct history *h, const struct bindings *b)
{
	if (history_last(h) > h->segment_seq && segment_due(h))
		segment_begin(h);
	write_snapshot(h, b);
}

void snapshot_work(struct history *h, const struct bindings *b)
{
	uint64_t events = history_last(h) - h->snapshot_seq, limit = 4 * h->snapshot_len;

	if (limit < SNAPSHOT_EVENTS)
		limit = SNAPSHOT_EVENTS;
	if (!b || h->stuck || !events)
		return;
	if (events >= limit || segment_due(h))
		history_write_snapshot(h, b);
}
