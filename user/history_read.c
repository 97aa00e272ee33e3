// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_read.c - rows back to events.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_private.h"

/* --- dictionary rows, some remembered ------------------------------------------------------- */

#define READ_SLOTS 2048

struct read_slot {
	int64_t id;		/* 0: free */
	struct value *values;	/* one block with the bytes they point to */
};

static struct value *block(const struct value *values, int n)
{
	size_t size = (size_t)n * sizeof(*values);
	struct value *copy;
	char *at;

	for (int i = 0; i < n; i++)
		size += values[i].type == VALUE_BYTES ? values[i].len : 0;
	copy = malloc(size);
	if (!copy)
		return NULL;
	memcpy(copy, values, (size_t)n * sizeof(*values));
	at = (char *)(copy + n);
	for (int i = 0; i < n; i++) {
		if (values[i].type != VALUE_BYTES)
			continue;
		if (values[i].len)
			memcpy(at, values[i].bytes, values[i].len);
		copy[i].bytes = at;
		at += values[i].len;
	}
	return copy;
}

static int load(struct history_reader *r, enum table_id table, int64_t id, struct read_slot *slot)
{
	struct value values[MAX_COLUMNS];
	sqlite3_stmt **stmt = &r->by_id[table];
	int ret = 0;

	if (!*stmt)
		ret = schema_prepare_select(r->db, table, "WHERE id = ?", stmt);
	if (ret)
		return ret;
	sqlite3_bind_int64(*stmt, 1, id);
	ret = sqlite3_step(*stmt);
	if (ret == SQLITE_ROW) {
		schema_row(*stmt, table, &id, values);
		free(slot->values);
		slot->values = block(values, schema[table].n_columns);
		slot->id = slot->values ? id : 0;
		ret = slot->values ? 0 : -ENOMEM;
	} else {
		ret = ret == SQLITE_DONE ? -ENOENT : history_errno(r->db, ret);
	}
	sqlite3_reset(*stmt);
	return ret;
}

int reader_values(struct history_reader *r, enum table_id table, int64_t id, struct value *values)
{
	struct read_slot *slot = &r->cache[table][(uint64_t)id % READ_SLOTS];
	int ret = 0;

	if (id <= 0)
		return -ENOENT;
	if (slot->id != id)
		ret = load(r, table, id, slot);
	if (!ret)
		memcpy(values, slot->values, (size_t)schema[table].n_columns * sizeof(*values));
	return ret;
}

/* --- an event in the making ------------------------------------------------------------------ */

#define MAX_HELD 64
#define MAX_HOOKS 128
#define MAX_EARLIER 128
#define ARENA (1 << 20)	/* all texts of an event: twelve of at most INFO_MAX */

struct decoded {
	struct change change;
	struct tw_task task;
	struct process_info process;
	struct vm vm;
	struct device device;
	struct file file;
	struct ready_info ready;
	struct gap_info gap;
	int64_t process_id;	/* 0: none */
	int err;		/* first failure */
	size_t used;
	/* not cleared for each event */
	char boot[BOOT_ID_LEN + 1];
	struct hold held[MAX_HELD];
	const struct hold *held_by[MAX_HELD];
	struct hook_state hooks[MAX_HOOKS];
	struct event_earlier earlier[MAX_EARLIER];
	char arena[];
};

int reader_new(struct history_reader **out, sqlite3 *db, bool borrowed)
{
	struct history_reader *r = calloc(1, sizeof(*r));

	*out = r;
	if (!r)
		return -ENOMEM;
	r->db = db;
	r->borrowed = borrowed;
	r->decoded = malloc(sizeof(*r->decoded) + ARENA);
	for (int t = 0; t < T_DICTS; t++) {
		r->cache[t] = calloc(READ_SLOTS, sizeof(*r->cache[t]));
		if (!r->cache[t])
			return -ENOMEM;
	}
	return r->decoded ? 0 : -ENOMEM;
}

void history_reader_close(struct history_reader *r)
{
	if (!r)
		return;
	for (int t = 0; t < T_MAX; t++)
		sqlite3_finalize(r->by_id[t]);
	for (int t = 0; t < T_DICTS; t++) {
		for (size_t i = 0; r->cache[t] && i < READ_SLOTS; i++)
			free(r->cache[t][i].values);
		free(r->cache[t]);
	}
	free(r->decoded);
	if (!r->borrowed)
		sqlite3_close(r->db);
	free(r);
}

/* A row that is referred to; all NULL where there is none. */
static bool get(struct history_reader *r, enum table_id table, const struct value *ref, struct value *values)
{
	int ret;

	memset(values, 0, (size_t)schema[table].n_columns * sizeof(*values));
	if (ref->type != VALUE_INT)
		return false;
	ret = reader_values(r, table, ref->number, values);
	if (ret && !r->decoded->err)
		r->decoded->err = ret == -ENOENT ? -EUCLEAN : ret;
	return !ret;
}

/* Copied: what is in the cache may go before the event is used. */
static const char *keep(struct history_reader *r, const void *bytes, size_t len)
{
	struct decoded *d = r->decoded;
	char *at = d->arena + d->used;

	if (len >= ARENA - d->used) {
		d->err = -EUCLEAN;
		return NULL;
	}
	if (len)
		memcpy(at, bytes, len);
	at[len] = '\0';
	d->used += len + 1;
	return at;
}

static const char *text(struct history_reader *r, const struct value *ref, size_t *len)
{
	struct value v;

	if (len)
		*len = 0;
	if (!get(r, T_TEXT, ref, &v) || v.type != VALUE_BYTES)
		return NULL;
	if (len)
		*len = v.len;
	return keep(r, v.bytes, v.len);
}

/* A text that stands in the row itself. */
static const char *own(struct history_reader *r, const struct value *v)
{
	return v->type == VALUE_BYTES ? keep(r, v->bytes, v->len) : NULL;
}

static void fixed(struct history_reader *r, const struct value *ref, char *to, size_t size)
{
	struct value v;

	if (get(r, T_TEXT, ref, &v) && v.type == VALUE_BYTES)
		memcpy(to, v.bytes, v.len < size ? v.len : size);
}

static uint64_t number(const struct value *v)
{
	return v->type == VALUE_INT ? (uint64_t)v->number : 0;
}

static void mac(const struct value *v, uint8_t to[6])
{
	if (v->type == VALUE_BYTES && v->len == 6)
		memcpy(to, v->bytes, 6);
}

static uint32_t netns(struct history_reader *r, const struct value *ref, uint64_t *cookie, const char **label)
{
	struct value v[NETNS_COLUMNS];

	get(r, T_NETNS, ref, v);
	if (cookie)
		*cookie = number(&v[NETNS_COOKIE]);
	if (label)
		*label = text(r, &v[NETNS_LABEL], NULL);
	return (uint32_t)number(&v[NETNS_INODE]);
}

static enum role role_by_name(const char *word)
{
	for (int role = 1; word && role < ROLE_MAX; role++)
		if (!strcmp(word, role_name((enum role)role)))
			return (enum role)role;
	return ROLE_UNKNOWN;
}

static void decode_role(struct history_reader *r, const struct value *process)
{
	struct decoded *d = r->decoded;
	struct value v[VM_COLUMNS];

	if (!get(r, T_VM, &process[PROCESS_VM], v) && process[PROCESS_ROLE].type == VALUE_NULL)
		return;
	d->vm = (struct vm){
		.role = role_by_name(text(r, &process[PROCESS_ROLE], NULL)),
		.type = text(r, &v[VM_TYPE], NULL),
		.manager = text(r, &v[VM_MANAGER], NULL),
		/* nobody frees or writes them: only the one that vm_recognise() made is anybody's */
		.name = (char *)own(r, &v[VM_NAME]),
		.uuid = (char *)own(r, &v[VM_UUID]),
	};
	d->process.vm = &d->vm;
	d->process.vm_pid = (uint32_t)number(&process[PROCESS_VM_PID]);
	d->process.vm_start_ns = number(&process[PROCESS_VM_START]);
}

static void decode_process(struct history_reader *r, const struct value *ref, struct event *event)
{
	struct decoded *d = r->decoded;
	struct value v[PROCESS_COLUMNS];

	if (!get(r, T_PROCESS, ref, v))
		return;
	d->task = (struct tw_task){
		.pid = (uint32_t)number(&v[PROCESS_PID]),
		.tid = (uint32_t)number(&v[PROCESS_PID]),
		.ppid = (uint32_t)number(&v[PROCESS_PPID]),
		.uid = v[PROCESS_UID].type == VALUE_INT ? (uint32_t)v[PROCESS_UID].number : UINT32_MAX,
		.start_ns = number(&v[PROCESS_START]),
	};
	fixed(r, &v[PROCESS_COMM], d->task.comm, sizeof(d->task.comm));
	d->task.netns = netns(r, &v[PROCESS_NETNS], NULL, &event->process_netns_name);
	d->process = (struct process_info){
		.pid = d->task.pid,
		.start_ns = d->task.start_ns,
		.exe = text(r, &v[PROCESS_EXE], NULL),
		.cgroup = text(r, &v[PROCESS_CGROUP], NULL),
		.user = text(r, &v[PROCESS_USER], NULL),
	};
	memcpy(d->process.comm, d->task.comm, sizeof(d->process.comm));
	d->process.comm[TW_NAME_LEN - 1] = '\0';
	decode_role(r, v);
	d->process_id = ref->number;
	d->change.task = &d->task;
	event->process = &d->process;
}

static void decode_device(struct history_reader *r, uint64_t id, const struct value *ref, struct event *event)
{
	struct device *dev = &r->decoded->device;
	struct value v[STATE_COLUMNS];
	uint64_t cookie = 0;
	const char *kind;

	get(r, T_STATE, ref, v);
	*dev = (struct device){ .id = id, .has = (uint32_t)number(&v[STATE_HAS]), .announced = true };
	dev->disabled = (uint32_t)number(&v[STATE_DISABLED]);
	kind = text(r, &v[STATE_KIND], NULL);
	dev->d = (struct tw_dev){
		.ifindex = (uint32_t)number(&v[STATE_IFINDEX]),
		.tun_flags = (uint32_t)number(&v[STATE_TUN_FLAGS]),
		.owner = v[STATE_OWNER].type == VALUE_INT ? (int32_t)v[STATE_OWNER].number : -1,
		.group = v[STATE_GROUP].type == VALUE_INT ? (int32_t)v[STATE_GROUP].number : -1,
		.queues = (uint32_t)number(&v[STATE_QUEUES]),
		.if_flags = (uint32_t)number(&v[STATE_UP]),
		.master_ifindex = (uint32_t)number(&v[STATE_MASTER_IFINDEX]),
		.kind = kind && kind_by_name(kind) >= 0 ? (uint8_t)kind_by_name(kind) : TW_KIND_UNKNOWN,
	};
	fixed(r, &v[STATE_IFNAME], dev->d.ifname, TW_NAME_LEN);
	fixed(r, &v[STATE_MASTER], dev->d.master, TW_NAME_LEN);
	mac(&v[STATE_MAC], dev->d.mac);
	dev->d.netns = netns(r, &v[STATE_NETNS], &cookie, &event->netns_name);
	dev->d.netns_cookie = cookie;
	r->decoded->change.dev = dev;
}

static void decode_file(struct history_reader *r, const struct value *ref, uint64_t bits, struct event *event)
{
	struct decoded *d = r->decoded;
	struct value v[FILE_COLUMNS];
	uint64_t cookie = 0;

	if (!get(r, T_FILE, ref, v))
		return;
	d->file = (struct file){
		.id = number(&v[FILE_NUMBER]), .state = (enum file_state)(bits & 3),
		.vhost_queues = (uint32_t)(bits >> 20), .announced = true,
	};
	if (v[FILE_NETNS].type == VALUE_INT) {
		d->file.has = TW_HAS_SOCKET_NETNS;
		d->file.f.socket_netns = netns(r, &v[FILE_NETNS], &cookie, &event->socket_netns_name);
		d->file.f.socket_netns_cookie = cookie;
	}
	fixed(r, &v[FILE_NAME_ONLY], d->file.name_only, TW_NAME_LEN);
	if (d->change.dev && (d->file.state == FILE_BOUND || d->file.state == FILE_DISABLED))
		d->file.dev = &d->device;
	d->change.file = &d->file;
}

static void decode_clock(struct history_reader *r, const struct value *ref, const struct value *time, struct event *event)
{
	struct value v[CLOCK_COLUMNS];

	r->decoded->change.time_ns = number(time);
	if (!get(r, T_CLOCK, ref, v))
		return;
	event->realtime_ns = number(time) + number(&v[CLOCK_OFFSET]);
	if (v[CLOCK_BOOT].type != VALUE_BYTES || !v[CLOCK_BOOT].len)
		return;
	snprintf(r->decoded->boot, sizeof(r->decoded->boot), "%.*s", (int)v[CLOCK_BOOT].len,
		 (const char *)v[CLOCK_BOOT].bytes);
	event->boot_id = r->decoded->boot;
}

static void decode_vm(struct history_reader *r, const struct value *ref, struct event *event)
{
	struct value v[VM_COLUMNS];

	if (!get(r, T_VM, ref, v))
		return;
	event->vm_type = text(r, &v[VM_TYPE], NULL);
	event->vm_name = own(r, &v[VM_NAME]);
	event->vm_uuid = own(r, &v[VM_UUID]);
	event->vm_manager = text(r, &v[VM_MANAGER], NULL);
}

static void decode_old(struct history_reader *r, const struct value *ref, struct event *event)
{
	struct change *c = &r->decoded->change;
	struct value v[OLD_COLUMNS];

	if (!get(r, T_OLD, ref, v))
		return;
	fixed(r, &v[OLD_IFNAME], c->old.ifname, TW_NAME_LEN);
	c->old.ifindex = (uint32_t)number(&v[OLD_IFINDEX]);
	c->old.netns = netns(r, &v[OLD_NETNS], &c->old.netns_cookie, &event->old_netns_name);
	mac(&v[OLD_MAC], c->old.mac);
	fixed(r, &v[OLD_COMM], c->old.comm, TW_NAME_LEN);
}

/* --- event.info: words, each ended by a NUL ---------------------------------------------------- */

struct words {
	const char *at, *end;
};

/* "" when there is no more. */
static const char *next_word(struct words *w)
{
	const char *word = w->at;

	if (w->at >= w->end)
		return "";
	w->at += strlen(word) + 1;	/* the whole ends with a NUL of ours */
	return word;
}

static uint64_t next_number(struct words *w)
{
	return strtoull(next_word(w), NULL, 10);
}

static const char *known(const char *word)
{
	return *word ? word : NULL;
}

static void decode_ready(struct decoded *d, struct words *w, struct event *event)
{
	d->ready = (struct ready_info){ .hooks = d->hooks };
	d->ready.backend = known(next_word(w));
	d->ready.seed = known(next_word(w));
	while (w->at < w->end && d->ready.n_hooks < MAX_HOOKS) {
		struct hook_state *hook = &d->hooks[d->ready.n_hooks++];

		hook->name = next_word(w);
		hook->state = next_word(w);
	}
	event->ready = &d->ready;
}

static void decode_gap(struct decoded *d, struct words *w, struct event *event)
{
	d->gap.reason = known(next_word(w));
	d->gap.from_realtime_ns = next_number(w);
	d->gap.from_boottime_ns = next_number(w);
	snprintf(d->gap.from_boot_id, sizeof(d->gap.from_boot_id), "%s", next_word(w));
	event->gap = &d->gap;
}

static void decode_held_by(struct decoded *d, struct words *w, struct event *event)
{
	(void)event;
	d->change.held_by = d->held_by;
	while (w->at < w->end && d->change.held_by_len < MAX_HELD) {
		struct hold *hold = &d->held[d->change.held_by_len];

		*hold = (struct hold){ .file = NULL };
		hold->task.pid = hold->task.tid = (uint32_t)next_number(w);
		hold->task.start_ns = next_number(w);
		hold->task.uid = (uint32_t)next_number(w);
		hold->fd = (int)(int64_t)next_number(w);
		snprintf(hold->task.comm, sizeof(hold->task.comm), "%s", next_word(w));
		d->held_by[d->change.held_by_len++] = hold;
	}
}

static enum how how_by_name(const char *word)
{
	for (int how = 1; word && how < HOW_MAX; how++)
		if (!strcmp(word, how_name((enum how)how)))
			return (enum how)how;
	return HOW_UNKNOWN;
}

static void decode_earlier(struct decoded *d, struct words *w, struct event *event)
{
	event->earlier = d->earlier;
	while (w->at < w->end && event->n_earlier < MAX_EARLIER) {
		struct event_earlier *e = &d->earlier[event->n_earlier++];
		int kind;

		*e = (struct event_earlier){ .seq = next_number(w) };
		e->time_ns = next_number(w);
		kind = event_by_name(next_word(w));
		e->event = kind < 0 ? EV_EXIST : (enum event_kind)kind;
		e->how = how_by_name(next_word(w));
		e->fd = (int)(int64_t)next_number(w);
		e->pid = (uint32_t)next_number(w);
		snprintf(e->comm, sizeof(e->comm), "%s", next_word(w));
	}
}

static void decode_after(struct decoded *d, struct words *w, struct event *event)
{
	(void)event;
	d->change.after_ns = next_number(w);
}

static void decode_info(struct history_reader *r, const struct value *ref, struct event *event)
{
	static const struct { enum event_kind kind; void (*decode)(struct decoded *, struct words *, struct event *); }
	decoders[] = {
		{ EV_READY, decode_ready }, { EV_GAP, decode_gap }, { EV_ATTACH_FAILED, decode_held_by },
		{ EV_VM_START, decode_earlier }, { EV_FIRST_PACKET, decode_after },
	};
	size_t len;
	const char *info = text(r, ref, &len);

	for (size_t i = 0; info && i < sizeof(decoders) / sizeof(decoders[0]); i++) {
		struct words w = { info, info + len };

		if (decoders[i].kind == event->change->event)
			decoders[i].decode(r->decoded, &w, event);
	}
}

/* --- whole ones ------------------------------------------------------------------------------------ */

static void begin(struct history_reader *r, uint64_t seq, struct event *event)
{
	struct decoded *d = r->decoded;

	memset(d, 0, offsetof(struct decoded, boot));
	memset(event, 0, sizeof(*event));
	d->change.fd = -1;
	event->change = &d->change;
	event->seq = seq;
}

int reader_event(struct history_reader *r, int64_t seq, const struct value *v, struct event *event)
{
	struct decoded *d = r->decoded;
	struct change *c = &d->change;
	uint64_t bits = number(&v[EVENT_BITS]);
	const char *word;
	int kind;

	begin(r, (uint64_t)seq, event);
	word = text(r, &v[EVENT_KIND], NULL);
	kind = word ? event_by_name(word) : -1;
	if (kind < 0)
		return d->err ? d->err : -EUCLEAN;
	c->event = (enum event_kind)kind;
	c->has = (uint32_t)(bits >> 3 & BITS_HAS_MASK);
	c->value = bits & BITS_VALUE;
	decode_clock(r, &v[EVENT_CLOCK], &v[EVENT_TIME], event);
	event->source = text(r, &v[EVENT_SOURCE], NULL);
	decode_process(r, &v[EVENT_PROCESS], event);
	if (v[EVENT_TID].type == VALUE_INT)
		d->task.tid = (uint32_t)v[EVENT_TID].number;
	if (v[EVENT_FD].type == VALUE_INT)
		c->fd = (int)v[EVENT_FD].number;
	if (v[EVENT_DEVICE].type == VALUE_INT)
		decode_device(r, (uint64_t)v[EVENT_DEVICE].number, &v[EVENT_STATE], event);
	decode_file(r, &v[EVENT_FILE], bits, event);
	c->how = how_by_name(text(r, &v[EVENT_HOW], NULL));
	decode_old(r, &v[EVENT_OLD], event);
	fixed(r, &v[EVENT_REQUESTED], c->requested, sizeof(c->requested));
	c->error = (int)number(&v[EVENT_ERROR]);
	c->count = number(&v[EVENT_COUNT]);
	decode_info(r, &v[EVENT_INFO], event);
	decode_vm(r, &v[EVENT_VM], event);
	return d->err;
}

int reader_entry(struct history_reader *r, const struct value *mark, const struct value *v, struct event *event)
{
	struct decoded *d = r->decoded;
	struct change *c = &d->change;
	uint64_t bits = number(&v[ENTRY_BITS]);

	begin(r, number(&mark[MARK_SEQ]), event);
	c->event = EV_EXIST;
	c->has = (uint32_t)(bits >> 3 & BITS_HAS_MASK) | CH_SEED;
	event->source = "seed";
	decode_clock(r, &mark[MARK_CLOCK], &mark[MARK_TIME], event);
	decode_process(r, &v[ENTRY_PROCESS], event);
	if (v[ENTRY_FD].type == VALUE_INT)
		c->fd = (int)v[ENTRY_FD].number;
	if (v[ENTRY_DEVICE].type == VALUE_INT)
		decode_device(r, (uint64_t)v[ENTRY_DEVICE].number, &v[ENTRY_STATE], event);
	decode_file(r, &v[ENTRY_FILE], bits, event);
	if (process_machine(event->process)) {
		event->vm_type = d->vm.type;
		event->vm_name = d->vm.name;
		event->vm_uuid = d->vm.uuid;
		event->vm_manager = d->vm.manager;
	}
	return d->err;
}

size_t history_cmdline(struct history_reader *r, const char **cmdline)
{
	struct value ref = value_known((uint64_t)r->decoded->process_id), v[PROCESS_COLUMNS];
	size_t len, to = 0;
	char *line = get(r, T_PROCESS, &ref, v) ? (char *)own(r, &v[PROCESS_CMDLINE]) : NULL;

	len = line ? v[PROCESS_CMDLINE].len : 0;
	*cmdline = line;
	/* encode_cmdline() undone, in place: it only gets shorter */
	for (size_t i = 0; line && i < len; i++) {
		bool escaped = line[i] == '\\' && i + 1 < len;

		i += escaped;
		line[to++] = escaped && line[i] == 'n' ? '\n' : !escaped && line[i] == ' ' ? '\0' : line[i];
	}
	return to;
}
