// SPDX-License-Identifier: GPL-2.0-only
/*
 * bindings_table.c - file tables as they are: slots with files in them, members
 * that use them, and the holds that follow wherever the two meet. What adds or
 * takes away one of these tells of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "bindings_private.h"

/* --- look-ups -------------------------------------------------------------- */

static uint64_t slot_hash(uint64_t table, int fd)
{
	return hash_words(table, (uint32_t)fd, 0);
}

struct slot_node *slot_at(const struct bindings *b, uint64_t table, int fd)
{
	struct link *l;

	table_each(&b->slot_key, slot_hash(table, fd), l) {
		struct slot_node *s = container(l, struct slot_node, by_slot);

		if (s->slot.table == table && s->slot.fd == fd)
			return s;
	}
	return NULL;
}

struct fdtab *tab_at(const struct bindings *b, uint64_t table)
{
	struct link *l;

	table_each(&b->tab_addr, hash_words(table, 0, 0), l) {
		struct fdtab *tab = container(l, struct fdtab, by_addr);

		if (tab->addr == table)
			return tab;
	}
	return NULL;
}

bool is_proc(const struct proc_node *p, const struct tw_task *task)
{
	return task && p->task.pid == task->pid && p->task.start_ns == task->start_ns;
}

struct proc_node *proc_find(const struct bindings *b, uint32_t pid, uint64_t start_ns)
{
	struct link *l;

	table_each(&b->proc_pid, hash_words(pid, start_ns, 0), l) {
		struct proc_node *p = container(l, struct proc_node, by_pid);

		if (p->task.pid == pid && p->task.start_ns == start_ns)
			return p;
	}
	return NULL;
}

struct member_node *member_of(const struct fdtab *tab, const struct proc_node *p)
{
	struct member_node *m;

	TAILQ_FOREACH(m, &tab->members, of_tab)
		if (m->proc == p)
			return m;
	return NULL;
}

static uint64_t hold_hash(const struct proc_node *p, int fd, const struct file *file)
{
	return hash_words((uintptr_t)p, (uint32_t)fd, (uintptr_t)file);
}

struct hold_node *hold_find(const struct bindings *b, const struct proc_node *p, int fd,
				   const struct file *file)
{
	struct link *l;

	table_each(&b->hold_key, hold_hash(p, fd, file), l) {
		struct hold_node *h = container(l, struct hold_node, by_key);

		if (h->proc == p && h->hold.fd == fd && h->hold.file == file)
			return h;
	}
	return NULL;
}

struct file_node *file_of(const struct file *file)
{
	return container(file, struct file_node, file);
}

/* --- processes ---------------------------------------------------------------- */

static struct proc_node *proc_get(struct bindings *b, const struct tw_task *task, uint64_t time_ns)
{
	struct proc_node *p = proc_find(b, task->pid, task->start_ns);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return NULL;
		p->task = *task;
		p->task_ns = time_ns;
		TAILQ_INIT(&p->members);
		table_add(&b->proc_pid, &p->by_pid, hash_words(task->pid, task->start_ns, 0));
	} else if (time_ns >= p->task_ns) {
		p->task = *task;
		p->task_ns = time_ns;
	}
	return p;
}

static void proc_put(struct bindings *b, struct proc_node *p)
{
	if (p->holds || !TAILQ_EMPTY(&p->members))
		return;
	table_del(&b->proc_pid, &p->by_pid);
	free(p);
}

/* --- holds: a process meets a slot ---------------------------------------------- */

int hold_by_pid(const void *a, const void *b)
{
	const struct hold *x = &(*(struct hold_node *const *)a)->hold;
	const struct hold *y = &(*(struct hold_node *const *)b)->hold;

	if (x->task.pid != y->task.pid)
		return x->task.pid < y->task.pid ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

/* The first hold of a file is told as its open. */
static void hold_tell(const struct cx *cx, struct hold_node *h, enum how how)
{
	struct file_node *f = file_of(h->hold.file);
	struct change c;

	if (cx->quiet)
		return;
	c = change_of(cx, f->file.announced ? EV_HOLD : EV_OPEN, dev_of(f), f);
	change_task(&c, &h->hold.task);
	c.has |= CH_FD;
	c.fd = h->hold.fd;
	c.how = c.event == EV_HOLD ? how : HOW_UNKNOWN;
	h->announced = true;
	f->file.announced = true;
	chain_add(f, &c);
	tell(cx, &c);
}

static int gain(const struct cx *cx, struct proc_node *p, const struct slot_node *s, enum how how)
{
	struct bindings *b = cx->b;
	struct file_node *f = file_of(s->slot.file);
	struct hold_node *h = hold_find(b, p, s->slot.fd, s->slot.file);

	if (h) {
		h->refs++;
		return 0;
	}
	h = ARRAY_ROOM(b->hold_sort, b->hold_room, b->hold_count + 1) ? NULL : calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->hold = (struct hold){ .fd = s->slot.fd, .file = s->slot.file, .task = p->task };
	h->hold.since_ns = cx->scan ? 0 : cx->time_ns;
	h->proc = p;
	h->refs = 1;
	table_add(&b->hold_key, &h->by_key, hold_hash(p, s->slot.fd, s->slot.file));
	TAILQ_INSERT_TAIL(&b->holds, h, all);
	TAILQ_INSERT_TAIL(&f->holds, h, of_file);
	f->file.holders++;
	p->holds++;
	b->hold_count++;
	hold_tell(cx, h, how);
	return 0;
}

static void hold_free(struct bindings *b, struct hold_node *h)
{
	struct file_node *f = file_of(h->hold.file);

	table_del(&b->hold_key, &h->by_key);
	TAILQ_REMOVE(&b->holds, h, all);
	TAILQ_REMOVE(&f->holds, h, of_file);
	f->file.holders--;
	h->proc->holds--;
	b->hold_count--;
	free(h);
}

static void lose(const struct cx *cx, struct proc_node *p, const struct slot_node *s, enum how how)
{
	struct file_node *f = file_of(s->slot.file);
	struct hold_node *h = hold_find(cx->b, p, s->slot.fd, s->slot.file);
	struct change c;

	/* none: there was no memory for it */
	if (!h || --h->refs)
		return;
	c = change_of(cx, EV_DROP, dev_of(f), f);
	/* what an exec closed was lost by the program before it */
	change_task(&c, how != HOW_CLOEXEC && is_proc(p, cx->actor) ? cx->actor : &h->hold.task);
	c.has |= CH_FD;
	c.fd = h->hold.fd;
	c.how = how;
	chain_add(f, &c);
	tell(cx, &c);
	hold_free(cx->b, h);
}

/* --- tables ------------------------------------------------------------------------ */

struct fdtab *tab_get(struct bindings *b, uint64_t table)
{
	struct fdtab *tab = tab_at(b, table);

	if (tab)
		return tab;
	tab = calloc(1, sizeof(*tab));
	if (!tab)
		return NULL;
	tab->addr = table;
	TAILQ_INIT(&tab->slots);
	TAILQ_INIT(&tab->members);
	TAILQ_INSERT_TAIL(&b->tabs, tab, all);
	table_add(&b->tab_addr, &tab->by_addr, hash_words(table, 0, 0));
	return tab;
}

static void member_unlink(struct bindings *b, struct member_node *m)
{
	struct proc_node *p = m->proc;

	TAILQ_REMOVE(&m->tab->members, m, of_tab);
	TAILQ_REMOVE(&p->members, m, of_proc);
	b->member_count--;
	free(m);
	proc_put(b, p);
}

static void slot_unlink(struct bindings *b, struct slot_node *s)
{
	table_del(&b->slot_key, &s->by_slot);
	TAILQ_REMOVE(&b->slots, s, all);
	TAILQ_REMOVE(&s->tab->slots, s, of_tab);
	TAILQ_REMOVE(&file_of(s->slot.file)->slots, s, of_file);
	b->slot_count--;
	free(s);
}

/* Forgets a table without slots: its end is told by nothing, and its address used again. */
void tab_put(struct bindings *b, struct fdtab *tab)
{
	if (!TAILQ_EMPTY(&tab->slots))
		return;
	while (!TAILQ_EMPTY(&tab->members))
		member_unlink(b, TAILQ_FIRST(&tab->members));
	table_del(&b->tab_addr, &tab->by_addr);
	TAILQ_REMOVE(&b->tabs, tab, all);
	free(tab);
}

static int member_by_pid(const void *a, const void *b)
{
	return compare((*(struct member_node *const *)a)->proc->task.pid,
		       (*(struct member_node *const *)b)->proc->task.pid);
}

/* Who uses the table, in b->member_sort: the actor first, then by pid. */
static size_t members_sorted(const struct cx *cx, const struct fdtab *tab)
{
	struct bindings *b = cx->b;
	struct member_node *m;
	size_t n = 0, i;

	TAILQ_FOREACH(m, &tab->members, of_tab)
		b->member_sort[n++] = m;
	if (n < 2)
		return n;
	qsort(b->member_sort, n, sizeof(*b->member_sort), member_by_pid);
	for (i = 0; i < n; i++) {
		m = b->member_sort[i];
		if (!is_proc(m->proc, cx->actor))
			continue;
		memmove(b->member_sort + 1, b->member_sort, i * sizeof(*b->member_sort));
		b->member_sort[0] = m;
		break;
	}
	return n;
}

/* The lowest process that uses the table: for a stable order of what is told. */
static uint32_t tab_pid(const struct fdtab *tab)
{
	const struct member_node *m;
	uint32_t pid = UINT32_MAX;

	TAILQ_FOREACH(m, &tab->members, of_tab)
		if (m->proc->task.pid < pid)
			pid = m->proc->task.pid;
	return pid;
}

static int slot_by_pid(const void *a, const void *b)
{
	const struct slot_node *x = *(struct slot_node *const *)a, *y = *(struct slot_node *const *)b;
	int ret = x->tab == y->tab ? 0 : compare(tab_pid(x->tab), tab_pid(y->tab));

	return ret ? ret : x->slot.fd < y->slot.fd ? -1 : x->slot.fd > y->slot.fd;
}

static void sort_slots(struct bindings *b, size_t n)
{
	if (n)
		qsort(b->slot_sort, n, sizeof(*b->slot_sort), slot_by_pid);
}

/* The slots of one table in b->slot_sort, by fd. */
size_t slots_sorted(struct bindings *b, const struct fdtab *tab)
{
	struct slot_node *s;
	size_t n = 0;

	TAILQ_FOREACH(s, &tab->slots, of_tab)
		b->slot_sort[n++] = s;
	sort_slots(b, n);
	return n;
}

/* An fd that is new in the table. The actor got it by `how`; who shares the table got it by that. */
int slot_add(const struct cx *cx, struct fdtab *tab, int fd, struct file_node *f, enum how how,
		    struct slot_node **out)
{
	struct bindings *b = cx->b;
	struct slot_node *s = NULL;
	int err = 0;
	size_t i, n;

	if (!ARRAY_ROOM(b->slot_sort, b->slot_room, b->slot_count + 1))
		s = calloc(1, sizeof(*s));
	*out = s;
	if (!s)
		return -ENOMEM;
	s->slot = (struct slot){ .table = tab->addr, .fd = fd, .file = &f->file };
	s->tab = tab;
	s->told_ns = cx->scan ? 0 : cx->time_ns;
	table_add(&b->slot_key, &s->by_slot, slot_hash(tab->addr, fd));
	TAILQ_INSERT_TAIL(&b->slots, s, all);
	TAILQ_INSERT_TAIL(&tab->slots, s, of_tab);
	TAILQ_INSERT_TAIL(&f->slots, s, of_file);
	b->slot_count++;
	n = members_sorted(cx, tab);
	for (i = 0; i < n && !err; i++) {
		struct proc_node *p = ((struct member_node *)b->member_sort[i])->proc;

		err = gain(cx, p, s, cx->scan || is_proc(p, cx->actor) ? how : HOW_OTHER);
	}
	return err;
}

/* The table stays, though it may be empty: tab_put(). */
void slot_del(const struct cx *cx, struct slot_node *s, enum how how)
{
	struct bindings *b = cx->b;
	size_t i, n = members_sorted(cx, s->tab);

	for (i = 0; i < n; i++)
		lose(cx, ((struct member_node *)b->member_sort[i])->proc, s, how);
	/* a scan that is under way may have read the slot before */
	if (b->scan.on)
		gone_add(b, GONE_SLOT, s->slot.table, (uint32_t)s->slot.fd, s->slot.file->gen, cx->time_ns);
	if (!cx->scan)
		file_of(s->slot.file)->live_ns = cx->time_ns;
	slot_unlink(b, s);
}

/* Makes the process one that uses the table, and tells of the fds that it has by that. */
int member_add(const struct cx *cx, struct fdtab *tab, const struct tw_task *task, enum how how,
		      struct member_node **out)
{
	struct bindings *b = cx->b;
	struct proc_node *p = proc_get(b, task, cx->time_ns);
	struct member_node *m = p ? member_of(tab, p) : NULL;
	int err = 0;
	size_t i, n;

	*out = m;
	if (m)
		return 0;
	if (p && !ARRAY_ROOM(b->member_sort, b->member_room, b->member_count + 1))
		m = calloc(1, sizeof(*m));
	*out = m;
	if (!m) {
		if (p)
			proc_put(b, p);
		return -ENOMEM;
	}
	m->tab = tab;
	m->proc = p;
	TAILQ_INSERT_TAIL(&tab->members, m, of_tab);
	TAILQ_INSERT_TAIL(&p->members, m, of_proc);
	b->member_count++;
	n = slots_sorted(b, tab);
	for (i = 0; i < n && !err; i++)
		err = gain(cx, p, b->slot_sort[i], how);
	return err;
}

/*
 * The process uses the table no longer. Without anybody known to use it, it
 * is not kept: if it lives on, then for somebody who is not known.
 */
void member_del(const struct cx *cx, struct member_node *m, enum how how)
{
	struct bindings *b = cx->b;
	struct fdtab *tab = m->tab;
	size_t i, n = slots_sorted(b, tab);

	for (i = 0; i < n; i++)
		lose(cx, m->proc, b->slot_sort[i], how);
	if (b->scan.on)
		gone_add(b, GONE_MEMBER, tab->addr, m->proc->task.pid, m->proc->task.start_ns, cx->time_ns);
	member_unlink(b, m);
	if (!TAILQ_EMPTY(&tab->members))
		return;
	for (i = 0; i < n; i++)
		slot_del(cx, b->slot_sort[i], how);
	tab_put(b, tab);
}

/* The same process runs another program now, and still has the fd. */
void tell_exec(const struct cx *cx, struct hold_node *h, const struct tw_task *task)
{
	struct file_node *f = file_of(h->hold.file);
	struct change c;

	if (cx->quiet)
		return;
	c = change_of(cx, EV_HOLD, dev_of(f), f);
	c.has |= CH_FD | CH_OLD_COMM;
	c.fd = h->hold.fd;
	c.how = HOW_EXEC;
	memcpy(c.old.comm, h->hold.task.comm, TW_NAME_LEN);
	h->hold.task = *task;
	change_task(&c, &h->hold.task);
	chain_add(f, &c);
	tell(cx, &c);
}

bool used_by(const struct fdtab *tab, const struct tw_task *task)
{
	const struct member_node *m;

	TAILQ_FOREACH(m, &tab->members, of_tab)
		if (is_proc(m->proc, task))
			return true;
	return false;
}

bool used_by_others(const struct fdtab *tab, uint32_t pid)
{
	const struct member_node *m;

	TAILQ_FOREACH(m, &tab->members, of_tab)
		if (m->proc->task.pid != pid)
			return true;
	return false;
}

/* --- ends ------------------------------------------------------------------------------------ */

void slots_end(const struct cx *cx, size_t n, enum how in_exec)
{
	struct bindings *b = cx->b;
	size_t i;

	sort_slots(b, n);
	for (i = 0; i < n; i++) {
		struct slot_node *s = b->slot_sort[i];
		struct fdtab *tab = s->tab;

		slot_del(cx, s, tab->in_exec ? in_exec : HOW_UNKNOWN);
		/* before the table is forgotten: somebody whose last fd this was leaves by it */
		tab_put(b, tab);
	}
}

void file_drop_slots(const struct cx *cx, struct file_node *f)
{
	struct slot_node *s;
	size_t n = 0;

	TAILQ_FOREACH(s, &f->slots, of_file)
		cx->b->slot_sort[n++] = s;
	/* while a process is in an exec, nothing but that closes its fds */
	slots_end(cx, n, HOW_CLOEXEC);
}

void fds_free(struct bindings *b)
{
	struct want *w;

	while (!TAILQ_EMPTY(&b->holds))
		hold_free(b, TAILQ_FIRST(&b->holds));
	while (!TAILQ_EMPTY(&b->slots)) {
		struct slot_node *s = TAILQ_FIRST(&b->slots);
		struct fdtab *tab = s->tab;

		slot_unlink(b, s);
		tab_put(b, tab);
	}
	while ((w = TAILQ_FIRST(&b->wants))) {
		TAILQ_REMOVE(&b->wants, w, all);
		free(w);
	}
	free(b->hold_sort);
	free(b->slot_sort);
	free(b->member_sort);
}

/* --- look-ups for others -------------------------------------------------------------------- */

int bindings_each_slot(const struct bindings *b, int (*fn)(void *ctx, const struct slot *), void *ctx)
{
	const struct slot_node *s;
	int ret = 0;

	TAILQ_FOREACH(s, &b->slots, all)
		if ((ret = fn(ctx, &s->slot)))
			break;
	return ret;
}

bool bindings_table_shared(const struct bindings *b, uint64_t table, uint32_t pid)
{
	const struct fdtab *tab = tab_at(b, table);

	return tab && used_by_others(tab, pid);
}
