// SPDX-License-Identifier: GPL-2.0-only
/*
 * replay.c - see replay.h.
 *
 * A holder is found by (pid, start, fd), which is one fd of one process, as
 * `drop` names it. Two processes may share a table of fds (CLONE_FILES); then
 * the one that closes is not the one that was seen to hold, and the file and
 * the number decide.
 */
#include "replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "table.h"

TAILQ_HEAD(process_list, process);
TAILQ_HEAD(device_list, past_device);
TAILQ_HEAD(file_list, past_file);
TAILQ_HEAD(hold_list, past_hold);

/* A process that holds something. */
struct process {
	struct link by_key;
	TAILQ_ENTRY(process) all;
	struct tw_task task;
	char *exe, *cgroup, *user, *netns_name;
	char *vm_type, *vm_name, *vm_uuid, *vm_manager;
	int64_t start_realtime_ns;
	size_t holds;
};

struct past_device {
	struct link by_id;
	TAILQ_ENTRY(past_device) all;
	struct file_list files;
	uint64_t id;
	uint32_t has;
	struct tw_dev d;
	char *netns_name;
};

struct past_file {
	struct link by_id;
	TAILQ_ENTRY(past_file) all;
	TAILQ_ENTRY(past_file) of_dev;
	struct hold_list holds;
	struct past_device *dev;	/* NULL unless bound or disabled */
	uint64_t id;
	enum file_state state;
	uint32_t socket_netns;		/* 0 unknown */
	char *socket_netns_name;
	char name_only[TW_NAME_LEN];	/* as in struct file */
};

struct past_hold {
	struct link by_slot;		/* (process, fd) */
	TAILQ_ENTRY(past_hold) all;
	TAILQ_ENTRY(past_hold) of_file;
	struct process *process;	/* NULL: not told */
	struct past_file *file;
	uint64_t since_ns;		/* CLOCK_REALTIME; 0: older than what was told */
	int fd;
};

struct replay {
	struct table processes, devices, files, slots;
	struct process_list all_processes;
	struct device_list all_devices;
	struct file_list all_files;
	struct hold_list all_holds;
	char boot_id[BOOT_ID_LEN + 1];
	bool lossy;
	struct replay_loss loss;
};

/* ---- small helpers ---- */

static void forget_text(char **text)
{
	free(*text);
	*text = NULL;
}

/* Takes over a text that is known; NULL leaves what was. 0 or -ENOMEM. */
static int learn_text(char **text, const char *told)
{
	char *copy;

	if (!told || (*text && !strcmp(*text, told)))
		return 0;
	copy = strdup(told);
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

/* The label of a namespace: another number makes the old one void. 0 or -ENOMEM. */
static int learn_label(char **label, uint32_t before, uint32_t inode, const char *told)
{
	if (before != inode)
		forget_text(label);
	return learn_text(label, told);
}

/* ---- processes ---- */

static uint64_t process_hash(const struct tw_task *task)
{
	return hash_words(task->pid, task->start_ns, 0);
}

static struct process *process_find(const struct replay *r, const struct tw_task *task)
{
	struct link *l;

	table_each(&r->processes, process_hash(task), l) {
		struct process *p = container(l, struct process, by_key);

		if (p->task.pid == task->pid && p->task.start_ns == task->start_ns)
			return p;
	}
	return NULL;
}

static struct process *process_new(struct replay *r, const struct tw_task *task)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->task = *task;
	table_add(&r->processes, &p->by_key, process_hash(task));
	TAILQ_INSERT_TAIL(&r->all_processes, p, all);
	return p;
}

static void process_free(struct replay *r, struct process *p)
{
	table_del(&r->processes, &p->by_key);
	TAILQ_REMOVE(&r->all_processes, p, all);
	free(p->exe);
	free(p->cgroup);
	free(p->user);
	free(p->netns_name);
	free(p->vm_type);
	free(p->vm_name);
	free(p->vm_uuid);
	free(p->vm_manager);
	free(p);
}

/* Numbers whose 0 is unknown. */
static void learn_task(struct tw_task *known, const struct tw_task *told)
{
	known->tid = told->tid ? told->tid : known->tid;
	known->ppid = told->ppid ? told->ppid : known->ppid;
	known->netns = told->netns ? told->netns : known->netns;
	known->cgroup_id = told->cgroup_id ? told->cgroup_id : known->cgroup_id;
	if (told->uid != UINT32_MAX)
		known->uid = told->uid;
	if (told->comm[0])
		memcpy(known->comm, told->comm, sizeof(known->comm));
}

/* An executable belongs to a program, and that shows in the name or by `exec`. */
static bool other_program(const struct process *p, const struct event *event)
{
	const struct tw_task *told = event->change->task;

	return event->change->how == HOW_EXEC ||
	       (told->comm[0] && strncmp(told->comm, p->task.comm, sizeof(told->comm)));
}

static bool tells_machine_of_actor(enum event_kind event)
{
	return event == EV_EXIST || event == EV_OPEN || event == EV_HOLD;
}

static int learn_machine(struct process *p, const struct event *event)
{
	int err = learn_text(&p->vm_type, event->vm_type);

	if (!err)
		err = learn_text(&p->vm_name, event->vm_name);
	if (!err)
		err = learn_text(&p->vm_uuid, event->vm_uuid);
	if (!err)
		err = learn_text(&p->vm_manager, event->vm_manager);
	return err;
}

static int process_learn(struct process *p, const struct event *event)
{
	const struct tw_task *told = event->change->task;
	const struct process_info *info = event->process;
	int err = 0;

	if (other_program(p, event)) {
		forget_text(&p->exe);
		forget_text(&p->vm_type);
		forget_text(&p->vm_name);
		forget_text(&p->vm_uuid);
		forget_text(&p->vm_manager);
	}
	if (told->uid != UINT32_MAX && told->uid != p->task.uid)
		forget_text(&p->user);
	if (told->netns)
		err = learn_label(&p->netns_name, p->task.netns, told->netns, event->process_netns_name);
	learn_task(&p->task, told);
	if (told->start_ns && event->change->time_ns && event->realtime_ns)
		p->start_realtime_ns = (int64_t)(event->realtime_ns - event->change->time_ns + told->start_ns);
	if (info && !err)
		err = learn_text(&p->exe, info->exe);
	if (info && !err)
		err = learn_text(&p->cgroup, info->cgroup);
	if (info && !err)
		err = learn_text(&p->user, info->user);
	/* in other events it may be the machine that the device belongs to */
	if (!err && tells_machine_of_actor(event->change->event))
		err = learn_machine(p, event);
	return err;
}

/* What a scan concludes about a process is what was known of it already. */
static bool tells_of_actor(const struct change *c)
{
	return c->task && (!(c->has & CH_SEED) || c->event == EV_EXIST || c->event == EV_OPEN || c->event == EV_HOLD);
}

/* ---- devices ---- */

static struct past_device *device_find(const struct replay *r, uint64_t id)
{
	struct link *l;

	table_each(&r->devices, hash_words(id, 0, 0), l) {
		struct past_device *d = container(l, struct past_device, by_id);

		if (d->id == id)
			return d;
	}
	return NULL;
}

static struct past_device *device_new(struct replay *r, uint64_t id)
{
	struct past_device *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->id = id;
	TAILQ_INIT(&d->files);
	table_add(&r->devices, &d->by_id, hash_words(id, 0, 0));
	TAILQ_INSERT_TAIL(&r->all_devices, d, all);
	return d;
}

static void file_unbind(struct past_file *f, enum file_state state)
{
	if (f->dev)
		TAILQ_REMOVE(&f->dev->files, f, of_dev);
	f->dev = NULL;
	f->state = state;
	f->name_only[0] = '\0';
}

static void device_free(struct replay *r, struct past_device *d)
{
	while (!TAILQ_EMPTY(&d->files))
		file_unbind(TAILQ_FIRST(&d->files), FILE_ORPHANED);
	table_del(&r->devices, &d->by_id);
	TAILQ_REMOVE(&r->all_devices, d, all);
	free(d->netns_name);
	free(d);
}

/* The device as it is after the event. *err when out of memory; NULL: the event has none. */
static struct past_device *device_learn(struct replay *r, const struct event *event, int *err)
{
	const struct device *told = event->change->dev;
	struct past_device *d;

	if (!told)
		return NULL;
	d = device_find(r, told->id);
	if (!d)
		d = device_new(r, told->id);
	if (!d) {
		*err = -ENOMEM;
		return NULL;
	}
	*err = learn_label(&d->netns_name, d->d.netns, told->d.netns, event->netns_name);
	d->has = told->has;
	d->d = told->d;
	return d;
}

/* ---- files and who holds them ---- */

static struct past_file *file_find(const struct replay *r, uint64_t id)
{
	struct link *l;

	table_each(&r->files, hash_words(id, 0, 0), l) {
		struct past_file *f = container(l, struct past_file, by_id);

		if (f->id == id)
			return f;
	}
	return NULL;
}

static struct past_file *file_new(struct replay *r, uint64_t id)
{
	struct past_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->id = id;
	f->state = FILE_UNBOUND;
	TAILQ_INIT(&f->holds);
	table_add(&r->files, &f->by_id, hash_words(id, 0, 0));
	TAILQ_INSERT_TAIL(&r->all_files, f, all);
	return f;
}

static void file_bind(struct past_file *f, struct past_device *d, enum file_state state)
{
	if (f->dev != d) {
		file_unbind(f, state);
		f->dev = d;
		TAILQ_INSERT_TAIL(&d->files, f, of_dev);
	}
	f->state = state;
}

/*
 * The file of an event, and what can be seen from it whatever the event: that
 * it is there, where it was opened, and which device it is on.
 */
static struct past_file *file_learn(struct replay *r, const struct event *event, struct past_device *d, int *err)
{
	const struct file *told = event->change->file;
	struct past_file *f;
	uint32_t inode;

	if (!told || *err)
		return NULL;
	f = file_find(r, told->id);
	if (!f)
		f = file_new(r, told->id);
	if (!f) {
		*err = -ENOMEM;
		return NULL;
	}
	inode = told->has & TW_HAS_SOCKET_NETNS ? told->f.socket_netns : 0;
	if (inode) {
		*err = learn_label(&f->socket_netns_name, f->socket_netns, inode, event->socket_netns_name);
		f->socket_netns = inode;
	}
	if (d && f->dev != d)
		file_bind(f, d, FILE_BOUND);
	return f;
}

static uint64_t slot_hash(const struct process *p, int fd)
{
	return hash_words((uint64_t)(uintptr_t)p, (uint64_t)fd, 0);
}

static struct past_hold *hold_find(const struct replay *r, const struct process *p, int fd)
{
	struct link *l;

	table_each(&r->slots, slot_hash(p, fd), l) {
		struct past_hold *h = container(l, struct past_hold, by_slot);

		if (h->process == p && h->fd == fd)
			return h;
	}
	return NULL;
}

static void hold_free(struct replay *r, struct past_hold *h)
{
	struct process *p = h->process;

	table_del(&r->slots, &h->by_slot);
	TAILQ_REMOVE(&r->all_holds, h, all);
	TAILQ_REMOVE(&h->file->holds, h, of_file);
	free(h);
	if (p && !--p->holds)
		process_free(r, p);
}

static void file_free(struct replay *r, struct past_file *f)
{
	while (!TAILQ_EMPTY(&f->holds))
		hold_free(r, TAILQ_FIRST(&f->holds));
	file_unbind(f, FILE_UNBOUND);
	table_del(&r->files, &f->by_id);
	TAILQ_REMOVE(&r->all_files, f, all);
	free(f->socket_netns_name);
	free(f);
}

/* What a scan finds is as old as that, or older. */
static uint64_t since(const struct event *event)
{
	return event->change->has & CH_SEED || event->change->event == EV_EXIST ? 0 : event->realtime_ns;
}

static int hold_add(struct replay *r, const struct event *event, struct past_file *f)
{
	const struct change *c = event->change;
	struct process *p = process_find(r, c->task);
	struct past_hold *old = p ? hold_find(r, p, c->fd) : NULL, *h;

	if (old && old->file == f) {
		if (c->how == HOW_EXEC)
			old->since_ns = since(event);
		return 0;
	}
	h = calloc(1, sizeof(*h));
	if (h && !p)
		p = process_new(r, c->task);
	if (!h || !p) {
		free(h);
		return -ENOMEM;
	}
	h->process = p;
	p->holds++;
	h->file = f;
	h->fd = c->fd;
	h->since_ns = since(event);
	table_add(&r->slots, &h->by_slot, slot_hash(p, c->fd));
	TAILQ_INSERT_TAIL(&r->all_holds, h, all);
	TAILQ_INSERT_TAIL(&f->holds, h, of_file);
	/* one fd refers to one file: the drop of the other was not told */
	if (old)
		hold_free(r, old);
	return process_learn(p, event);
}

/* ---- events ---- */

/* What is left to do of one kind when device and file have been learnt; each may be NULL. */
typedef int (*apply_fn)(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f);

static bool names_holder(const struct change *c)
{
	return c->task && (c->has & CH_FD) && c->fd >= 0;
}

static int apply_hold(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	(void)d;
	return f && names_holder(event->change) ? hold_add(r, event, f) : 0;
}

static int apply_exist(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	const struct file *told = event->change->file;

	if (f && d) {
		file_bind(f, d, told->state == FILE_DISABLED ? FILE_DISABLED : FILE_BOUND);
	} else if (f) {
		file_unbind(f, told->state);
		memcpy(f->name_only, told->name_only, sizeof(f->name_only));
	}
	return apply_hold(r, event, d, f);
}

static int apply_attach(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	(void)r;
	(void)event;
	if (f && d)
		file_bind(f, d, FILE_BOUND);
	return 0;
}

static int apply_queue_detach(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	(void)r;
	(void)event;
	if (f && d)
		file_bind(f, d, FILE_DISABLED);
	return 0;
}

/* The holder that lost its fd; NULL: none is known. */
static struct past_hold *dropped(const struct replay *r, const struct change *c, const struct past_file *f)
{
	const struct process *p = c->task ? process_find(r, c->task) : NULL;
	struct past_hold *h = p ? hold_find(r, p, c->fd) : NULL;

	if (h && h->file == f)
		return h;
	TAILQ_FOREACH(h, &f->holds, of_file)
		if (h->fd == c->fd)
			return h;
	return NULL;
}

static int apply_drop(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	struct past_hold *h = NULL;

	(void)d;
	if (f && (event->change->has & CH_FD))
		h = dropped(r, event->change, f);
	if (h)
		hold_free(r, h);
	return 0;
}

static int apply_release(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	(void)event;
	(void)d;
	if (f)
		file_free(r, f);
	return 0;
}

static int apply_delete(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	(void)event;
	(void)f;
	if (d)
		device_free(r, d);
	return 0;
}

static int apply_lost(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	(void)d;
	(void)f;
	if (!r->lossy)
		r->loss = (struct replay_loss){ .seq = event->seq, .realtime_ns = event->realtime_ns };
	r->lossy = true;
	r->loss.count += event->change->has & CH_COUNT ? event->change->count : 0;
	return 0;
}

/* After a gap the recorder has read everything afresh, too. */
static int apply_resync(struct replay *r, const struct event *event, struct past_device *d, struct past_file *f)
{
	(void)event;
	(void)d;
	(void)f;
	r->lossy = false;
	return 0;
}

/* NULL: that device and file were learnt is all. */
static const apply_fn appliers[EV_MAX] = {
	[EV_EXIST] = apply_exist,
	[EV_OPEN] = apply_hold,
	[EV_HOLD] = apply_hold,
	[EV_ATTACH] = apply_attach,
	[EV_QUEUE_DETACH] = apply_queue_detach,
	[EV_QUEUE_ATTACH] = apply_attach,
	[EV_DROP] = apply_drop,
	[EV_RELEASE] = apply_release,
	[EV_DELETE] = apply_delete,
	[EV_LOST] = apply_lost,
	[EV_RESYNC] = apply_resync,
	[EV_READY] = apply_resync,
	[EV_GAP] = apply_resync,
};

static void forget_all(struct replay *r)
{
	while (!TAILQ_EMPTY(&r->all_files))
		file_free(r, TAILQ_FIRST(&r->all_files));
	while (!TAILQ_EMPTY(&r->all_devices))
		device_free(r, TAILQ_FIRST(&r->all_devices));
	r->lossy = false;
}

/* Nothing survives a restart of the machine. */
static void notice_boot(struct replay *r, const struct event *event)
{
	if (!event->boot_id || !strcmp(event->boot_id, r->boot_id))
		return;
	if (r->boot_id[0])
		forget_all(r);
	strncpy(r->boot_id, event->boot_id, BOOT_ID_LEN);
}

int replay_apply(struct replay *r, const struct event *event)
{
	const struct change *c = event->change;
	struct past_device *d;
	struct past_file *f;
	int err = 0;

	notice_boot(r, event);
	d = device_learn(r, event, &err);
	f = file_learn(r, event, d, &err);
	if (!err && tells_of_actor(c)) {
		struct process *p = process_find(r, c->task);

		if (p)
			err = process_learn(p, event);
	}
	if (!err && c->event < EV_MAX && appliers[c->event])
		err = appliers[c->event](r, event, d, f);
	return err;
}

/* ---- rows out ---- */

static int fill_process(struct rows *rows, struct row *row, const struct process *p)
{
	int err = 0;

	row->has |= TW_HAS_TASK;
	row->task = p->task;
	row->start_realtime_ns = p->start_realtime_ns;
	row->user = rows_keep(rows, p->user, &err);
	row->exe = rows_keep(rows, p->exe, &err);
	row->cgroup = rows_keep(rows, p->cgroup, &err);
	row->process_netns_label = rows_keep(rows, p->netns_name, &err);
	row->vm_type = rows_keep(rows, p->vm_type, &err);
	row->vm_name = rows_keep(rows, p->vm_name, &err);
	row->vm_uuid = rows_keep(rows, p->vm_uuid, &err);
	row->role = p->vm_type ? role_name(ROLE_VM) : NULL;
	row->vm_manager = rows_keep(rows, p->vm_manager, &err);
	return err;
}

static int fill_device(struct rows *rows, struct row *row, const struct past_device *d)
{
	const struct past_file *f;
	int err = 0;

	row->has |= d->has;
	row->device_id = d->id;
	row->dev = d->d;
	TAILQ_FOREACH(f, &d->files, of_dev)
		row->disabled += f->state == FILE_DISABLED;
	row->netns_name = rows_keep(rows, d->netns_name, &err);
	row->netns_label = row->netns_name;
	return err;
}

static int fill_file(struct rows *rows, struct row *row, const struct past_file *f)
{
	static const enum row_state states[] = {
		[FILE_UNBOUND] = ROW_UNBOUND,
		[FILE_BOUND] = ROW_BOUND,
		[FILE_DISABLED] = ROW_DISABLED,
		[FILE_ORPHANED] = ROW_ORPHANED,
	};
	int err = 0;

	row->has |= TW_HAS_FILE | (f->socket_netns ? TW_HAS_SOCKET_NETNS : 0);
	row->state = states[f->state];
	row->file_id = f->id;
	row->socket_netns = f->socket_netns;
	row->socket_netns_label = rows_keep(rows, f->socket_netns_name, &err);
	if (!err && f->dev) {
		err = fill_device(rows, row, f->dev);
	} else if (f->name_only[0]) {
		row->has |= TW_HAS_DEV;
		memcpy(row->dev.ifname, f->name_only, sizeof(row->dev.ifname));
	}
	return err;
}

static int add_hold(struct rows *rows, const struct past_hold *h)
{
	struct row *row = rows_add(rows);
	int err;

	if (!row)
		return -ENOMEM;
	row->has = TW_HAS_FD;
	row->fd = h->fd;
	row->held_ns = h->since_ns;
	err = fill_process(rows, row, h->process);
	return err ? err : fill_file(rows, row, h->file);
}

static int add_file(struct rows *rows, const struct past_file *f)
{
	struct row *row = rows_add(rows);

	return row ? fill_file(rows, row, f) : -ENOMEM;
}

static int add_device(struct rows *rows, const struct past_device *d)
{
	struct row *row = rows_add(rows);

	if (!row)
		return -ENOMEM;
	row->state = ROW_NO_HOLDER;
	return fill_device(rows, row, d);
}

int replay_rows(const struct replay *r, struct rows *rows)
{
	const struct past_device *d;
	const struct past_hold *h;
	const struct past_file *f;
	int err = 0;

	TAILQ_FOREACH(h, &r->all_holds, all)
		if ((err = add_hold(rows, h)))
			return err;
	TAILQ_FOREACH(f, &r->all_files, all)
		if (TAILQ_EMPTY(&f->holds) && (err = add_file(rows, f)))
			return err;
	TAILQ_FOREACH(d, &r->all_devices, all)
		if (TAILQ_EMPTY(&d->files) && (err = add_device(rows, d)))
			return err;
	return 0;
}

bool replay_lossy(const struct replay *r, struct replay_loss *loss)
{
	if (r->lossy && loss)
		*loss = r->loss;
	return r->lossy;
}

/* ---- life ---- */

struct replay *replay_new(void)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	TAILQ_INIT(&r->all_processes);
	TAILQ_INIT(&r->all_devices);
	TAILQ_INIT(&r->all_files);
	TAILQ_INIT(&r->all_holds);
	if (table_init(&r->processes) || table_init(&r->devices) || table_init(&r->files) || table_init(&r->slots)) {
		replay_free(r);
		return NULL;
	}
	return r;
}

void replay_free(struct replay *r)
{
	if (!r)
		return;
	forget_all(r);
	table_free(&r->processes);
	table_free(&r->devices);
	table_free(&r->files);
	table_free(&r->slots);
	free(r);
}
