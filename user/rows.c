// SPDX-License-Identifier: GPL-2.0-only
/*
 * rows.c - see rows.h.
 */
#include "rows.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "array.h"
#include "labels.h"
#include "process.h"

const char *row_state_name(enum row_state state)
{
	static const char *const names[] = {
		[ROW_BOUND] = "bound",
		[ROW_DISABLED] = "disabled",
		[ROW_UNBOUND] = "unbound",
		[ROW_ORPHANED] = "orphaned",
		[ROW_NO_HOLDER] = "no-holder",
		[ROW_UNKNOWN] = NULL,
	};

	return names[state];
}

/* ---- from the state ---- */

static enum row_state state_of(const struct file *file)
{
	switch (file->state) {
	case FILE_BOUND:
		return ROW_BOUND;
	case FILE_DISABLED:
		return ROW_DISABLED;
	case FILE_ORPHANED:
		return ROW_ORPHANED;
	case FILE_UNBOUND:
		break;
	}
	return ROW_UNBOUND;
}

struct row *rows_add(struct rows *rows)
{
	struct row *row;

	if (ARRAY_ROOM(rows->row, rows->room, rows->len + 1))
		return NULL;
	row = &rows->row[rows->len++];
	*row = (struct row){ .fd = -1, .task.uid = UINT32_MAX };
	return row;
}

static void set_device(struct row *row, const struct device *dev)
{
	row->has |= dev->has;
	row->device_id = dev->id;
	row->dev = dev->d;
	row->disabled = dev->disabled;
}

static void set_file(struct row *row, const struct file *file)
{
	row->has |= TW_HAS_FILE | (file->has & TW_HAS_SOCKET_NETNS);
	row->state = state_of(file);
	row->file_id = file->id;
	row->socket_netns = file->f.socket_netns;
	if (file->dev) {
		set_device(row, file->dev);
	} else if (file->name_only[0]) {
		row->has |= TW_HAS_DEV;
		memcpy(row->dev.ifname, file->name_only, sizeof(row->dev.ifname));
	}
}

struct collector {
	struct rows *rows;
	uint64_t *ids;		/* of files, later of devices, that have a row; ascending */
	size_t len;
	bool name_only;		/* there are files of whose device only the name is known */
};

static int compare(uint64_t x, uint64_t y)
{
	return x < y ? -1 : x > y;
}

static int by_id(const void *a, const void *b)
{
	return compare(*(const uint64_t *)a, *(const uint64_t *)b);
}

static int has_row(const struct collector *c, uint64_t id)
{
	return c->len && bsearch(&id, c->ids, c->len, sizeof(id), by_id);
}

/* Fills c->ids with the member at `offset` of all rows so far. */
static int list_ids(struct collector *c, size_t offset)
{
	uint64_t *ids = reallocarray(c->ids, c->rows->len + 1, sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	c->ids = ids;
	c->len = c->rows->len;
	for (size_t i = 0; i < c->len; i++)
		memcpy(&ids[i], (const char *)&c->rows->row[i] + offset, sizeof(*ids));
	qsort(ids, c->len, sizeof(*ids), by_id);
	return 0;
}

static int collect_hold(void *ctx, const struct hold *hold)
{
	struct collector *c = ctx;
	struct row *row = rows_add(c->rows);

	if (!row)
		return -ENOMEM;
	row->has = TW_HAS_TASK | TW_HAS_FD;
	row->task = hold->task;
	row->fd = hold->fd;
	set_file(row, hold->file);
	c->name_only |= hold->file->name_only[0];
	return 0;
}

static int collect_file(void *ctx, const struct file *file)
{
	struct collector *c = ctx;
	struct row *row;

	if (has_row(c, file->id))
		return 0;
	row = rows_add(c->rows);
	if (!row)
		return -ENOMEM;
	set_file(row, file);
	return 0;
}

/* Is there a file on a device of this name, nobody knows in which namespace? */
static bool named_only(const struct rows *rows, const struct device *dev)
{
	for (size_t i = 0; i < rows->len; i++)
		if (!rows->row[i].device_id && (rows->row[i].has & TW_HAS_DEV) &&
		    !strncmp(rows->row[i].dev.ifname, dev->d.ifname, TW_NAME_LEN))
			return true;
	return false;
}

static bool is_tap_kind(uint8_t kind)
{
	return kind == TW_KIND_MACVTAP || kind == TW_KIND_IPVTAP;
}

static int collect_device(void *ctx, const struct device *dev)
{
	struct collector *c = ctx;
	struct row *row;

	if (has_row(c, dev->id))
		return 0;
	row = rows_add(c->rows);
	if (!row)
		return -ENOMEM;
	if ((c->name_only && named_only(c->rows, dev)) || (c->rows->taps_unseen && is_tap_kind(dev->d.kind)))
		row->state = ROW_UNKNOWN;
	else
		row->state = ROW_NO_HOLDER;
	set_device(row, dev);
	return 0;
}

int rows_collect(struct rows *rows, const struct bindings *b)
{
	struct collector c = { .rows = rows };
	int err = bindings_each_hold(b, collect_hold, &c);

	if (!err)
		err = list_ids(&c, offsetof(struct row, file_id));
	if (!err)
		err = bindings_each_file(b, collect_file, &c);
	if (!err)
		err = list_ids(&c, offsetof(struct row, device_id));
	if (!err)
		err = bindings_each_device(b, collect_device, &c);
	free(c.ids);
	return err;
}

void rows_free(struct rows *rows)
{
	for (size_t i = 0; i < rows->strings_len; i++)
		free(rows->strings[i]);
	free(rows->strings);
	free(rows->row);
	memset(rows, 0, sizeof(*rows));
}

const char *rows_keep(struct rows *rows, const char *text, int *err)
{
	if (!text || *err)
		return NULL;
	*err = ARRAY_ROOM(rows->strings, rows->strings_room, rows->strings_len + 1);
	if (*err)
		return NULL;
	rows->strings[rows->strings_len] = strdup(text);
	if (!rows->strings[rows->strings_len]) {
		*err = -ENOMEM;
		return NULL;
	}
	return rows->strings[rows->strings_len++];
}

/* ---- filter ---- */

/* What an event about the row borrows. */
struct row_event {
	struct event event;
	struct change change;
	struct device dev;
	struct file file;
	struct process_info process;
};

static enum file_state file_state_of(enum row_state state)
{
	static const enum file_state states[] = {
		[ROW_BOUND] = FILE_BOUND,
		[ROW_DISABLED] = FILE_DISABLED,
		[ROW_UNBOUND] = FILE_UNBOUND,
		[ROW_ORPHANED] = FILE_ORPHANED,
		[ROW_NO_HOLDER] = FILE_UNBOUND,
		[ROW_UNKNOWN] = FILE_UNBOUND,
	};

	return states[state];
}

/* The `exist` that a seed would tell of this row. */
static void as_event(const struct row *row, struct row_event *e)
{
	memset(e, 0, sizeof(*e));
	e->change = (struct change){ .event = EV_EXIST, .has = CH_SEED, .fd = row->fd };
	e->event = (struct event){
		.change = &e->change,
		.netns_name = row->netns_name,
		.socket_netns_name = row->socket_netns_label,
		.process_netns_name = row->process_netns_label,
		.vm_type = row->vm_type,
		.vm_name = row->vm_name,
		.vm_uuid = row->vm_uuid,
		.vm_manager = row->vm_manager,
	};
	if (row->has & TW_HAS_TASK) {
		e->change.task = &row->task;
		e->change.has |= CH_TASK;
		e->process = (struct process_info){ .pid = row->task.pid, .start_ns = row->task.start_ns,
						    .exe = row->exe, .cgroup = row->cgroup, .user = row->user };
		e->event.process = &e->process;
	}
	if (row->has & TW_HAS_FD)
		e->change.has |= CH_FD;
	if (row->device_id || (row->has & TW_HAS_DEV)) {
		e->dev.id = row->device_id;
		e->dev.has = row->has;
		e->dev.d = row->dev;
		e->dev.disabled = row->disabled;
		e->change.dev = &e->dev;
	}
	if (row->has & TW_HAS_FILE) {
		e->file.id = row->file_id;
		e->file.has = row->has & TW_HAS_SOCKET_NETNS;
		e->file.f.socket_netns = row->socket_netns;
		e->file.state = file_state_of(row->state);
		e->file.dev = e->change.dev ? &e->dev : NULL;
		e->change.file = &e->file;
	}
}

void rows_filter(struct rows *rows, bool (*keep)(void *ctx, const struct event *event), void *ctx)
{
	struct row_event e;
	size_t n = 0;

	for (size_t i = 0; i < rows->len; i++) {
		as_event(&rows->row[i], &e);
		if (keep(ctx, &e.event))
			rows->row[n++] = rows->row[i];
	}
	rows->len = n;
}

/* ---- order ---- */

/* Places in order: the initial namespace, named ones, others, unknown, no device at all. */
static int place_rank(const struct row *row, uint32_t init_netns)
{
	if (!(row->has & TW_HAS_DEV))
		return 4;
	if (!row->dev.netns)
		return 3;
	if (row->dev.netns == init_netns)
		return 0;
	return row->netns_name ? 1 : 2;
}

static int compare_names(const char x[TW_NAME_LEN], const char y[TW_NAME_LEN])
{
	char a[TW_NAME_LEN + 1] = "", b[TW_NAME_LEN + 1] = "";

	memcpy(a, x, TW_NAME_LEN);
	memcpy(b, y, TW_NAME_LEN);
	return strverscmp(a, b);
}

static int compare_places(const struct row *x, const struct row *y, uint32_t init_netns)
{
	int ret = place_rank(x, init_netns) - place_rank(y, init_netns);

	if (!ret && x->netns_name && y->netns_name)
		ret = strverscmp(x->netns_name, y->netns_name);
	return ret ? ret : compare(x->dev.netns, y->dev.netns);
}

static int row_order(const void *a, const void *b, void *arg)
{
	const struct row *x = a, *y = b;
	int ret = compare_places(x, y, *(const uint32_t *)arg);

	if (!ret)
		ret = compare_names(x->dev.ifname, y->dev.ifname);
	if (!ret)
		ret = compare(x->dev.ifindex, y->dev.ifindex);
	/* files that only vhost-net keeps come before the fds */
	if (!ret)
		ret = compare(x->task.pid, y->task.pid);
	if (!ret)
		ret = x->fd < y->fd ? -1 : x->fd > y->fd;
	if (!ret)
		ret = compare(x->device_id, y->device_id);
	return ret ? ret : compare(x->file_id, y->file_id);
}

void rows_sort(struct rows *rows, uint32_t init_netns)
{
	if (rows->len)
		qsort_r(rows->row, rows->len, sizeof(*rows->row), row_order, &init_netns);
}

/* ---- what is known from elsewhere ---- */

/* What was looked up under one key. Each namespace and user is looked up once. */
struct known {
	uint64_t key;
	const char *text[2];
};

struct lookup {
	struct known *known;
	size_t len;
};

static int by_key(const void *a, const void *b)
{
	return compare(((const struct known *)a)->key, ((const struct known *)b)->key);
}

/* Sorts, and drops doubles and the key 0. */
static void settle(struct lookup *l)
{
	size_t n = 0;

	if (l->len)
		qsort(l->known, l->len, sizeof(*l->known), by_key);
	for (size_t i = 0; i < l->len; i++)
		if (l->known[i].key && (!n || l->known[n - 1].key != l->known[i].key))
			l->known[n++] = l->known[i];
	l->len = n;
}

static const struct known *find(const struct lookup *l, uint64_t key)
{
	static const struct known nothing;
	struct known wanted = { .key = key };
	const struct known *found = NULL;

	if (l->len)
		found = bsearch(&wanted, l->known, l->len, sizeof(wanted), by_key);
	return found ? found : &nothing;
}

static uint32_t socket_netns(const struct row *row)
{
	return row->has & TW_HAS_SOCKET_NETNS ? row->socket_netns : 0;
}

static int enrich_netns(struct rows *rows, unsigned wanted, struct labels *labels)
{
	struct lookup l = { .known = calloc(rows->len * 3, sizeof(*l.known)) };
	int err = 0;

	if (!l.known)
		return -ENOMEM;
	for (size_t i = 0; i < rows->len; i++) {
		l.known[l.len++].key = rows->row[i].dev.netns;
		l.known[l.len++].key = socket_netns(&rows->row[i]);
		l.known[l.len++].key = rows->row[i].task.netns;
	}
	settle(&l);
	for (size_t i = 0; i < l.len; i++) {
		uint32_t inode = (uint32_t)l.known[i].key;

		if (wanted & (ROWS_NAME | ROWS_LABEL))
			l.known[i].text[0] = rows_keep(rows, labels_name(labels, inode), &err);
		if (wanted & ROWS_LABEL)
			l.known[i].text[1] = rows_keep(rows, labels_text(labels, inode), &err);
	}
	for (size_t i = 0; i < rows->len; i++) {
		struct row *row = &rows->row[i];

		row->netns_name = find(&l, row->dev.netns)->text[0];
		row->netns_label = find(&l, row->dev.netns)->text[1];
		row->socket_netns_label = find(&l, socket_netns(row))->text[1];
		row->process_netns_label = find(&l, row->task.netns)->text[1];
	}
	free(l.known);
	return err;
}

/* Never 0 for a uid that is known. */
static uint64_t uid_key(const struct row *row)
{
	return row->task.uid == UINT32_MAX ? 0 : row->task.uid + 1ULL;
}

static int enrich_users(struct rows *rows, struct process_cache *processes)
{
	struct lookup l = { .known = calloc(rows->len, sizeof(*l.known)) };
	int err = 0;

	if (!l.known)
		return -ENOMEM;
	for (size_t i = 0; i < rows->len; i++)
		l.known[l.len++].key = uid_key(&rows->row[i]);
	settle(&l);
	for (size_t i = 0; i < l.len; i++)
		l.known[i].text[0] = rows_keep(rows, process_user(processes, (uint32_t)(l.known[i].key - 1)), &err);
	for (size_t i = 0; i < rows->len; i++)
		rows->row[i].user = find(&l, uid_key(&rows->row[i]))->text[0];
	free(l.known);
	return err;
}

/* Each process is looked up once, and what is wanted of it is kept. */
struct known_process {
	const struct tw_task *task;
	const char *exe, *cgroup, *role;
	const char *vm_type, *vm_name, *vm_uuid, *vm_manager, *declared;
	uint32_t vm_pid;
	unsigned vhost;
};

static int by_pid(const void *a, const void *b)
{
	return compare(((const struct known_process *)a)->task->pid, ((const struct known_process *)b)->task->pid);
}

static void know_machine(struct rows *rows, struct known_process *known, const struct process_info *info, int *err)
{
	const struct vm *vm = process_machine(info);
	char text[2048];

	known->role = info->vm ? role_name(info->vm->role) : NULL;
	if (!vm)
		return;
	known->vm_type = vm->type;
	known->vm_manager = vm->manager;
	known->vm_name = rows_keep(rows, vm->name, err);
	known->vm_uuid = rows_keep(rows, vm->uuid, err);
	known->vm_pid = info->vm_pid;
	if (vm_ports_text(vm, text, sizeof(text)))
		known->declared = rows_keep(rows, text, err);
}

static void tell_process(struct row *row, const struct known_process *known, unsigned wanted)
{
	if (wanted & ROWS_PROCESS) {
		row->exe = known->exe;
		row->cgroup = known->cgroup;
	}
	row->role = known->role;
	row->vm_type = known->vm_type;
	row->vm_name = known->vm_name;
	row->vm_uuid = known->vm_uuid;
	row->vm_manager = known->vm_manager;
	row->vm_pid = known->vm_pid;
	row->declared = known->declared;
	row->vhost = known->vhost;
}

static int enrich_processes(struct rows *rows, unsigned wanted, struct process_cache *processes)
{
	struct known_process *known = calloc(rows->len, sizeof(*known));
	size_t n = 0, settled = 0;
	int err = 0;

	if (!known)
		return -ENOMEM;
	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i].task.pid)
			known[n++].task = &rows->row[i].task;
	qsort(known, n, sizeof(*known), by_pid);
	for (size_t i = 0; i < n; i++)
		if (!settled || by_pid(&known[settled - 1], &known[i]))
			known[settled++] = known[i];
	for (size_t i = 0; i < settled; i++) {
		const struct process_info *info = process_lookup(processes, known[i].task);

		if (wanted & ROWS_PROCESS) {
			known[i].exe = rows_keep(rows, info->exe, &err);
			known[i].cgroup = rows_keep(rows, info->cgroup, &err);
		}
		know_machine(rows, &known[i], info, &err);
		if (wanted & ROWS_VHOST)
			known[i].vhost = process_vhost_files(processes, known[i].task);
	}
	for (size_t i = 0; i < rows->len; i++) {
		struct known_process key = { .task = &rows->row[i].task }, *found = NULL;

		if (settled)
			found = bsearch(&key, known, settled, sizeof(*known), by_pid);
		if (found)
			tell_process(&rows->row[i], found, wanted);
	}
	free(known);
	return err;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec ts = { 0 };

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void enrich_starts(struct rows *rows)
{
	int64_t offset = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_BOOTTIME);

	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i].task.start_ns)
			rows->row[i].start_realtime_ns = (int64_t)rows->row[i].task.start_ns + offset;
}

int rows_enrich(struct rows *rows, unsigned wanted, struct process_cache *processes, struct labels *labels)
{
	int err = 0;

	if (!rows->len)
		return 0;
	if (wanted & (ROWS_NAME | ROWS_LABEL))
		err = enrich_netns(rows, wanted, labels);
	if (!err && (wanted & ROWS_USER))
		err = enrich_users(rows, processes);
	if (!err && (wanted & (ROWS_PROCESS | ROWS_VM | ROWS_VHOST)))
		err = enrich_processes(rows, wanted, processes);
	if (!err && (wanted & ROWS_START))
		enrich_starts(rows);
	return err;
}
