// SPDX-License-Identifier: GPL-2.0-only
/* vm_stats.c - see vm_stats.h. */
#include "vm_stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "array.h"
#include "table.h"

const struct phase stats_phases[STATS_PHASES] = {
	{ "prepare", MS_BEGIN, MS_INTERFACE, "from the first thing that somebody else did to its interface until it had it" },
	{ "launch", MS_PROCESS, MS_INTERFACE, "from the start of its process until it had its first interface" },
	{ "bridge", MS_FIRST, MS_BRIDGE, "from the beginning until that joined a bridge" },
	{ "up", MS_FIRST, MS_UP, "from the beginning until that was up" },
	{ "vhost", MS_INTERFACE, MS_VHOST, "from when it had it until vhost-net took it" },
	{ "packet_out", MS_INTERFACE, MS_OUT, "until the first packet of the machine was counted" },
	{ "packet_in", MS_INTERFACE, MS_IN, "until the first packet to the machine was counted" },
	{ "total", MS_FIRST, MS_OUT, "from the beginning until the first packet of the machine was counted" },
};

/* /proc tells of starts in clock ticks, which may be after what happened then. */
#define TICK_NS 20000000

/* A start that may get more milestones. */
struct open_start {
	struct link by_device, by_process;
	size_t index;
	uint64_t device;	/* 0: it had none */
	uint32_t pid;
	uint64_t start_ns;
};

struct vm_stats {
	uint64_t since_ns, until_ns;
	struct vm_begin *starts;
	size_t len, room;
	struct table devices, processes;
	char boot_id[BOOT_ID_LEN + 1];
};

struct vm_stats *vm_stats_new(uint64_t since_ns, uint64_t until_ns)
{
	struct vm_stats *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->since_ns = since_ns;
	s->until_ns = until_ns;
	if (!table_init(&s->devices) && !table_init(&s->processes))
		return s;
	vm_stats_free(s);
	return NULL;
}

/* ---- starts that go on ---- */

static struct open_start *of_device(const struct vm_stats *s, uint64_t device)
{
	struct link *l;

	table_each(&s->devices, hash_words(device, 0, 0), l) {
		struct open_start *o = container(l, struct open_start, by_device);

		if (o->device == device)
			return o;
	}
	return NULL;
}

static bool same_start(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) < TICK_NS;
}

static struct open_start *of_process(const struct vm_stats *s, uint32_t pid, uint64_t start_ns)
{
	struct link *l;

	table_each(&s->processes, hash_words(pid, 0, 0), l) {
		struct open_start *o = container(l, struct open_start, by_process);

		if (o->pid == pid && same_start(o->start_ns, start_ns))
			return o;
	}
	return NULL;
}

static void forget_device(struct vm_stats *s, struct open_start *o)
{
	table_del(&s->devices, &o->by_device);
	o->device = 0;
}

static void set_device(struct vm_stats *s, struct open_start *o, uint64_t device)
{
	struct open_start *before = of_device(s, device);

	/* another machine has it now */
	if (before)
		forget_device(s, before);
	o->device = device;
	table_add(&s->devices, &o->by_device, hash_words(device, 0, 0));
}

static void close_start(struct vm_stats *s, struct open_start *o)
{
	if (o->device)
		table_del(&s->devices, &o->by_device);
	table_del(&s->processes, &o->by_process);
	free(o);
}

static void close_all(struct vm_stats *s)
{
	for (size_t i = 0; i < s->processes.size; i++)
		while (s->processes.slots && s->processes.slots[i])
			close_start(s, container(s->processes.slots[i], struct open_start, by_process));
}

void vm_stats_free(struct vm_stats *s)
{
	if (!s)
		return;
	close_all(s);
	table_free(&s->devices);
	table_free(&s->processes);
	for (size_t i = 0; i < s->len; i++) {
		free(s->starts[i].name);
		free(s->starts[i].uuid);
		free(s->starts[i].type);
		free(s->starts[i].manager);
	}
	free(s->starts);
	free(s);
}

/* ---- events ---- */

static int copy(char **to, const char *text)
{
	*to = text ? strdup(text) : NULL;
	return text && !*to ? -ENOMEM : 0;
}

static struct vm_begin *add_start(struct vm_stats *s)
{
	if (ARRAY_ROOM(s->starts, s->room, s->len + 1))
		return NULL;
	memset(&s->starts[s->len], 0, sizeof(*s->starts));
	return &s->starts[s->len++];
}

/* A machine that was not heard of yet. NULL when out of memory. */
static struct open_start *begin(struct vm_stats *s, const struct event *event)
{
	struct open_start *o = calloc(1, sizeof(*o));
	struct vm_begin *start = o ? add_start(s) : NULL;

	if (!start) {
		free(o);
		return NULL;
	}
	o->index = s->len - 1;
	o->pid = start->pid = event_machine_pid(event);
	o->start_ns = start->at[MS_PROCESS] = event_machine_start(event);
	table_add(&s->processes, &o->by_process, hash_words(o->pid, 0, 0));
	start->seq = event->seq;
	start->realtime_ns = event->realtime_ns;
	return copy(&start->name, event->vm_name) || copy(&start->uuid, event->vm_uuid) ||
	       copy(&start->type, event->vm_type) || copy(&start->manager, event->vm_manager) ? NULL : o;
}

static bool in_time(const struct vm_stats *s, const struct event *event)
{
	return event->realtime_ns >= s->since_ns && (!s->until_ns || event->realtime_ns <= s->until_ns);
}

/* Keeps the first. */
static void reach(struct vm_begin *start, enum milestone milestone, uint64_t time_ns)
{
	if (!start->at[milestone])
		start->at[milestone] = time_ns;
}

/* What was done to its interface and file before it had them. */
static void take_earlier(struct vm_begin *start, const struct event *event)
{
	const struct tw_task *task = event->change->task;
	uint64_t now = event->change->time_ns;

	for (size_t i = 0; i < event->n_earlier; i++) {
		const struct event_earlier *e = &event->earlier[i];
		bool itself = task && e->pid == task->pid && !strncmp(e->comm, task->comm, sizeof(e->comm));

		if (e->time_ns + STATS_BEFORE_NS < now || e->time_ns > now)
			continue;
		if (e->event == EV_MASTER)
			reach(start, MS_BRIDGE, e->time_ns);
		if (e->event == EV_UP)
			reach(start, MS_UP, e->time_ns);
		if (itself)
			continue;
		reach(start, MS_BEGIN, e->time_ns);
		if (e->pid && !start->by[0])
			memcpy(start->by, e->comm, sizeof(start->by));
	}
}

/* The start that this event is of, or begins. NULL, with 0: nobody wants it. 0 or -ENOMEM. */
static int open_or_begin(struct vm_stats *s, const struct event *event, bool wanted, struct open_start **o)
{
	*o = of_process(s, event_machine_pid(event), event_machine_start(event));
	if (*o || !wanted || !in_time(s, event))
		return 0;
	*o = begin(s, event);
	return *o ? 0 : -ENOMEM;
}

static int on_start(struct vm_stats *s, const struct event *event, bool wanted)
{
	struct open_start *o;
	struct vm_begin *start;
	int err = open_or_begin(s, event, wanted, &o);

	if (err || !o)
		return err;
	start = &s->starts[o->index];
	/* it was refused one before, and has one now */
	start->error = 0;
	reach(start, MS_INTERFACE, event->change->time_ns);
	take_earlier(start, event);
	if (event->change->dev && !o->device)
		set_device(s, o, event->change->dev->id);
	return 0;
}

static int on_refused(struct vm_stats *s, const struct event *event, bool wanted)
{
	const struct change *c = event->change;
	struct open_start *o;
	struct vm_begin *start;
	int err;

	/* Cloud Hypervisor asks for what an fd has already, on purpose */
	if (!event->vm_type || !event_machine_pid(event) || !(c->has & CH_ERRNO) || c->error == EEXIST)
		return 0;
	err = open_or_begin(s, event, wanted, &o);
	if (err || !o)
		return err;
	start = &s->starts[o->index];
	if (start->error)
		return 0;
	start->error = c->error;
	memcpy(start->requested, c->requested, sizeof(start->requested));
	if (c->held_by_len) {
		memcpy(start->holder, c->held_by[0]->task.comm, sizeof(start->holder));
		start->holder_pid = c->held_by[0]->task.pid;
	}
	return 0;
}

/* It got what it had been refused. */
static void on_attach(struct vm_stats *s, const struct event *event)
{
	const struct change *c = event->change;
	struct open_start *o = c->task ? of_process(s, event_machine_pid(event), event_machine_start(event)) : NULL;
	struct vm_begin *start = o ? &s->starts[o->index] : NULL;

	if (start && start->error && c->dev && !strncmp(start->requested, c->dev->d.ifname, TW_NAME_LEN))
		start->error = 0;
}

static void on_stop(struct vm_stats *s, const struct event *event)
{
	struct open_start *o = of_process(s, event_machine_pid(event), event_machine_start(event));
	struct vm_begin *start = o ? &s->starts[o->index] : NULL;
	uint64_t since, now = event->change->time_ns;

	if (!o)
		return;
	since = start->at[MS_INTERFACE];
	if (since && !start->at[MS_OUT] && now >= since && now - since < STATS_EARLY_NS)
		start->ended_ns = now - since + !(now - since);
	close_start(s, o);
}

static void on_device(struct vm_stats *s, const struct event *event)
{
	const struct change *c = event->change;
	struct open_start *o = c->dev ? of_device(s, c->dev->id) : NULL;
	struct vm_begin *start = o ? &s->starts[o->index] : NULL;

	if (!o)
		return;
	if (c->event == EV_UP)
		reach(start, MS_UP, c->time_ns);
	else if (c->event == EV_MASTER && (c->dev->has & TW_HAS_MASTER) && c->dev->d.master_ifindex)
		reach(start, MS_BRIDGE, c->time_ns);
	else if (c->event == EV_VHOST && c->value)
		reach(start, MS_VHOST, c->time_ns);
	else if (c->event == EV_FIRST_PACKET)
		reach(start, c->how == HOW_OUT ? MS_OUT : MS_IN, c->time_ns);
	else if (c->event == EV_DELETE)
		forget_device(s, o);
}

/* Nothing goes on across a restart of the machine. */
static void notice_boot(struct vm_stats *s, const struct event *event)
{
	if (!event->boot_id || !strcmp(event->boot_id, s->boot_id))
		return;
	close_all(s);
	strncpy(s->boot_id, event->boot_id, BOOT_ID_LEN);
}

int vm_stats_add(struct vm_stats *s, const struct event *event, bool wanted)
{
	notice_boot(s, event);
	switch (event->change->event) {
	case EV_VM_START:
		return on_start(s, event, wanted);
	case EV_ATTACH_FAILED:
		return on_refused(s, event, wanted);
	case EV_VM_STOP:
		on_stop(s, event);
		return 0;
	case EV_ATTACH:
		on_attach(s, event);
		return 0;
	default:
		on_device(s, event);
		return 0;
	}
}

/* ---- numbers ---- */

static uint64_t moment(const struct vm_begin *start, enum milestone milestone)
{
	uint64_t begin = start->at[MS_BEGIN], process = start->at[MS_PROCESS];

	if (milestone != MS_FIRST)
		return start->at[milestone];
	return !begin || (process && process < begin) ? process : begin;
}

bool stats_phase(const struct vm_begin *start, const struct phase *phase, uint64_t *ns)
{
	uint64_t from = moment(start, phase->from), to = moment(start, phase->to);

	if (!from || !to || to + TICK_NS < from)
		return false;
	*ns = to > from ? to - from : 0;
	return true;
}

bool stats_failed(const struct vm_begin *start)
{
	return start->error || start->ended_ns;
}

uint64_t stats_length(const struct vm_begin *start)
{
	uint64_t from = moment(start, MS_FIRST);
	uint64_t to = start->at[MS_OUT] ? start->at[MS_OUT] : start->at[MS_INTERFACE];

	return from && to > from ? to - from : 0;
}

const struct vm_begin *vm_stats_starts(const struct vm_stats *s, size_t *n)
{
	*n = s->len;
	return s->starts;
}

static const char *who(const struct vm_begin *start)
{
	return start->manager ? start->manager : start->by[0] ? start->by : NULL;
}

static void day_of(const struct vm_begin *start, char day[16])
{
	time_t seconds = (time_t)(start->realtime_ns / 1000000000);
	struct tm tm;

	day[0] = '\0';
	if (localtime_r(&seconds, &tm))
		strftime(day, 16, "%Y-%m-%d", &tm);
}

/* A start, and the group it belongs to. */
struct member {
	const struct vm_begin *start;
	char day[16];
};

static int compare_who(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) : (a != NULL) - (b != NULL);
}

static int by_group(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int ret = strcmp(x->day, y->day);

	return ret ? ret : compare_who(who(x->start), who(y->start));
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Nearest rank: the smallest of which `percent` of all are no greater. */
static uint64_t percentile(const uint64_t *sorted, size_t n, unsigned percent)
{
	size_t rank = (n * percent + 99) / 100;

	return sorted[rank ? rank - 1 : 0];
}

/* `numbers` has room for len. */
static void fill_group(struct stats_group *g, const struct member *members, size_t len, uint64_t *numbers)
{
	*g = (struct stats_group){ .by = who(members->start), .starts = len };
	memcpy(g->day, members->day, sizeof(g->day));
	for (size_t i = 0; i < len; i++)
		g->failed += stats_failed(members[i].start);
	for (size_t p = 0; p < STATS_PHASES; p++) {
		size_t n = 0;

		for (size_t i = 0; i < len; i++)
			n += stats_phase(members[i].start, &stats_phases[p], &numbers[n]);
		g->phase[p].n = n;
		if (!n)
			continue;
		qsort(numbers, n, sizeof(*numbers), by_number);
		g->phase[p].median_ns = percentile(numbers, n, 50);
		g->phase[p].p95_ns = percentile(numbers, n, 95);
	}
}

int vm_stats_groups(const struct vm_stats *s, struct stats_group **groups, size_t *n)
{
	struct member *members = calloc(s->len + 1, sizeof(*members));
	uint64_t *numbers = calloc(s->len + 1, sizeof(*numbers));

	*groups = calloc(s->len + 1, sizeof(**groups));
	*n = 0;
	for (size_t i = 0; members && i < s->len; i++) {
		members[i].start = &s->starts[i];
		day_of(&s->starts[i], members[i].day);
	}
	if (members && numbers && *groups && s->len)
		qsort(members, s->len, sizeof(*members), by_group);
	for (size_t i = 0, len; members && numbers && *groups && i < s->len; i += len) {
		for (len = 1; i + len < s->len && !by_group(&members[i], &members[i + len]);)
			len++;
		fill_group(&(*groups)[(*n)++], &members[i], len, numbers);
	}
	if (members && numbers && *groups) {
		free(members);
		free(numbers);
		return 0;
	}
	free(members);
	free(numbers);
	free(*groups);
	*groups = NULL;
	return -ENOMEM;
}

size_t vm_stats_slowest(const struct vm_stats *s, const struct vm_begin **slowest, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < s->len; i++) {
		uint64_t length = stats_length(&s->starts[i]);
		size_t at = n;

		if (!length || stats_failed(&s->starts[i]))
			continue;
		while (at && length > stats_length(slowest[at - 1]))
			at--;
		if (at == max)
			continue;
		n += n < max;
		memmove(&slowest[at + 1], &slowest[at], (n - at - 1) * sizeof(*slowest));
		slowest[at] = &s->starts[i];
	}
	return n;
}
