// SPDX-License-Identifier: GPL-2.0-only
/*
 * bindings_fd.c - file tables: fds come and go in them, processes use, share,
 * copy and leave them. Who holds a file follows from both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bindings_private.h"

/* A process whose end was announced closes its files soon after; one that still has some then is looked at. */
#define EXIT_GRACE_NS 50000000ULL

/* --- look-ups -------------------------------------------------------------- */

static uint64_t slot_hash(uint64_t table, int fd)
{
	return hash_words(table, (uint32_t)fd, 0);
}

static struct slot_node *slot_at(const struct bindings *b, uint64_t table, int fd)
{
	struct link *l;

	table_each(&b->slot_key, slot_hash(table, fd), l) {
		struct slot_node *s = container(l, struct slot_node, by_slot);

		if (s->slot.table == table && s->slot.fd == fd)
			return s;
	}
	return NULL;
}

static struct fdtab *tab_at(const struct bindings *b, uint64_t table)
{
	struct link *l;

	table_each(&b->tab_addr, hash_words(table, 0, 0), l) {
		struct fdtab *tab = container(l, struct fdtab, by_addr);

		if (tab->addr == table)
			return tab;
	}
	return NULL;
}

static bool is_proc(const struct proc_node *p, const struct tw_task *task)
{
	return task && p->task.pid == task->pid && p->task.start_ns == task->start_ns;
}

static struct proc_node *proc_find(const struct bindings *b, uint32_t pid, uint64_t start_ns)
{
	struct link *l;

	table_each(&b->proc_pid, hash_words(pid, start_ns, 0), l) {
		struct proc_node *p = container(l, struct proc_node, by_pid);

		if (p->task.pid == pid && p->task.start_ns == start_ns)
			return p;
	}
	return NULL;
}

static struct member_node *member_of(const struct fdtab *tab, const struct proc_node *p)
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

static struct hold_node *hold_find(const struct bindings *b, const struct proc_node *p, int fd,
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

static struct file_node *file_of(const struct file *file)
{
	return container(file, struct file_node, file);
}

/* --- what is to be looked at again ------------------------------------------- */

/* Best effort: without memory the next full look finds it. */
static void want_rescan(struct bindings *b, const struct proc_node *p, uint64_t not_before_ns)
{
	uint32_t pid = p ? p->task.pid : 0;
	struct want *w;

	TAILQ_FOREACH(w, &b->wants, all) {
		if (w->rescan.pid != pid)
			continue;
		if (w->rescan.not_before_ns < not_before_ns)
			w->rescan.not_before_ns = not_before_ns;
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return;
	w->rescan.pid = pid;
	w->rescan.not_before_ns = not_before_ns;
	w->start_ns = p ? p->task.start_ns : 0;
	TAILQ_INSERT_TAIL(&b->wants, w, all);
}

bool bindings_rescan_due(struct bindings *b, uint64_t now_ns, struct rescan *out, uint64_t *next_ns)
{
	struct want *w, *next;

	*next_ns = 0;
	for (w = TAILQ_FIRST(&b->wants); w; w = next) {
		bool moot = w->rescan.pid && !proc_find(b, w->rescan.pid, w->start_ns);

		next = TAILQ_NEXT(w, all);
		if (!moot && w->rescan.not_before_ns > now_ns) {
			if (!*next_ns || w->rescan.not_before_ns < *next_ns)
				*next_ns = w->rescan.not_before_ns;
			continue;
		}
		*out = w->rescan;
		TAILQ_REMOVE(&b->wants, w, all);
		free(w);
		if (!moot)
			return true;
	}
	return false;
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
	h = room_for(&b->hold_sort, &b->hold_room, b->hold_count + 1) ? NULL : calloc(1, sizeof(*h));
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

static struct fdtab *tab_get(struct bindings *b, uint64_t table)
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
static void tab_put(struct bindings *b, struct fdtab *tab)
{
	if (!TAILQ_EMPTY(&tab->slots))
		return;
	while (!TAILQ_EMPTY(&tab->members))
		member_unlink(b, TAILQ_FIRST(&tab->members));
	table_del(&b->tab_addr, &tab->by_addr);
	TAILQ_REMOVE(&b->tabs, tab, all);
	free(tab);
}

static int compare(uint64_t x, uint64_t y)
{
	return x < y ? -1 : x > y;
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
static size_t slots_sorted(struct bindings *b, const struct fdtab *tab)
{
	struct slot_node *s;
	size_t n = 0;

	TAILQ_FOREACH(s, &tab->slots, of_tab)
		b->slot_sort[n++] = s;
	sort_slots(b, n);
	return n;
}

/* An fd that is new in the table. The actor got it by `how`; who shares the table got it by that. */
static int slot_add(const struct cx *cx, struct fdtab *tab, int fd, struct file_node *f, enum how how,
		    struct slot_node **out)
{
	struct bindings *b = cx->b;
	struct slot_node *s = NULL;
	int err = 0;
	size_t i, n;

	if (!room_for(&b->slot_sort, &b->slot_room, b->slot_count + 1))
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
static void slot_del(const struct cx *cx, struct slot_node *s, enum how how)
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
static int member_add(const struct cx *cx, struct fdtab *tab, const struct tw_task *task, enum how how,
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
	if (p && !room_for(&b->member_sort, &b->member_room, b->member_count + 1))
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
static void member_del(const struct cx *cx, struct member_node *m, enum how how)
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

/* --- live facts ----------------------------------------------------------------------- */

static enum how how_of(const struct tw_event *fact)
{
	static const enum how hows[TW_HOW_MAX] = {
		[TW_HOW_DUP] = HOW_DUP, [TW_HOW_FORK] = HOW_FORK, [TW_HOW_SCM_RIGHTS] = HOW_SCM_RIGHTS,
		[TW_HOW_PIDFD_GETFD] = HOW_PIDFD_GETFD, [TW_HOW_EXEC] = HOW_EXEC, [TW_HOW_OTHER] = HOW_OTHER,
		[TW_HOW_CLOSE] = HOW_CLOSE, [TW_HOW_CLOEXEC] = HOW_CLOEXEC, [TW_HOW_EXIT] = HOW_EXIT,
	};

	return fact->how < TW_HOW_MAX ? hows[fact->how] : HOW_UNKNOWN;
}

/* The same process runs another program now, and still has the fd. */
static void tell_exec(const struct cx *cx, struct hold_node *h, const struct tw_task *task)
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

static void tell_slot_exec(const struct cx *cx, const struct slot_node *s)
{
	struct proc_node *p = proc_find(cx->b, cx->actor->pid, cx->actor->start_ns);
	struct hold_node *h = p ? hold_find(cx->b, p, s->slot.fd, s->slot.file) : NULL;

	if (h)
		tell_exec(cx, h, cx->actor);
}

/* The process may have had the fd before, if only in the table that it left by the exec: then it has it still. */
static bool had_it(const struct cx *cx, const struct file *file)
{
	struct proc_node *p = cx->actor ? proc_find(cx->b, cx->actor->pid, cx->actor->start_ns) : NULL;

	return p && hold_find(cx->b, p, cx->fact->fd, file);
}

/* A slot in which the file is known to be already: a walk confirms it. */
static int install_again(const struct cx *cx, struct slot_node *s)
{
	bool had = had_it(cx, s->slot.file);
	struct member_node *m;
	int err = 0;

	s->told_ns = cx->time_ns;
	if (cx->actor)
		err = member_add(cx, s->tab, cx->actor, how_of(cx->fact), &m);
	if (!err && had && cx->fact->how == TW_HOW_EXEC)
		tell_slot_exec(cx, s);
	return err;
}

static int install(const struct cx *cx, struct file_node *f)
{
	const struct tw_event *fact = cx->fact;
	struct fdtab *tab = tab_get(cx->b, fact->table);
	bool had = had_it(cx, &f->file), unseen = !had && fact->how == TW_HOW_EXEC;
	struct member_node *m = NULL;
	struct slot_node *s;
	struct cx found = *cx;
	int err = 0;

	if (!tab)
		return -ENOMEM;
	/* nobody to ask who else uses it, once it is known: then joins are told */
	if (TAILQ_EMPTY(&tab->slots) && ((fact->flags & TW_F_SHARED) || !cx->actor))
		want_rescan(cx->b, NULL, cx->time_ns);
	if (cx->actor)
		err = member_add(cx, tab, cx->actor, HOW_OTHER, &m);
	if (m)
		m->told_ns = cx->time_ns;
	/* how it came was not seen: all that the exec shows is that it is there */
	found.seed |= unseen;
	if (!err)
		err = slot_add(&found, tab, fact->fd, f, unseen ? HOW_UNKNOWN : how_of(fact), &s);
	if (!err && had && fact->how == TW_HOW_EXEC)
		tell_slot_exec(cx, s);
	tab_put(cx->b, tab);
	return err;
}

int apply_fd_install(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct slot_node *s = slot_at(cx->b, fact->table, fact->fd);
	struct file_node *f;
	int err;

	/* our own copies come and go with every scan: no holders */
	if (fact->flags & TW_F_SELF)
		return 0;
	if (s && stale(fact->time_ns, s->seen_ns))
		return 0;
	f = file_live(cx, fact->file.gen, &err);
	if (!f)
		return err;
	if (fact->flags & TW_F_NEW_FILE && !f->file.opened_ns)
		f->file.opened_ns = fact->time_ns;
	/* the address may have cost the old file its life, and its slots */
	s = slot_at(cx->b, fact->table, fact->fd);
	if (s && s->slot.file == &f->file)
		return install_again(cx, s);
	/*
	 * Installed before a scan of all fds began, and not met by it: closed
	 * in between. The close follows and will find nothing either.
	 */
	if (!s && stale(fact->time_ns, f->fds_ns))
		return 0;
	/* what dup2 replaces is told before; else it was closed, and that is told late (pick_file of 5.10) */
	if (s)
		slot_del(cx, s, HOW_CLOSE);
	return install(cx, f);
}

static bool used_by(const struct fdtab *tab, const struct tw_task *task)
{
	const struct member_node *m;

	TAILQ_FOREACH(m, &tab->members, of_tab)
		if (is_proc(m->proc, task))
			return true;
	return false;
}

int apply_fd_close(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct slot_node *s = slot_at(cx->b, fact->table, fact->fd);
	enum how how = how_of(fact);
	struct fdtab *tab;

	if ((fact->flags & TW_F_SELF) || !s || s->slot.file->gen != fact->file.gen)
		return 0;
	if (stale(fact->time_ns, s->seen_ns))
		return 0;
	tab = s->tab;
	if (how == HOW_UNKNOWN)
		how = HOW_CLOSE;
	/* by somebody who does not use the table: at its address is his by now, and its end went unseen */
	if (cx->actor && !used_by(tab, cx->actor))
		how = HOW_UNKNOWN;
	slot_del(cx, s, how);
	tab_put(cx->b, tab);
	return 0;
}

static void end_table(const struct cx *cx, struct fdtab *tab)
{
	struct slot_node *s;
	size_t i, n;

	n = slots_sorted(cx->b, tab);
	for (i = 0; i < n; i++) {
		s = cx->b->slot_sort[i];
		/* seen since: another table at the same address */
		if (!stale(cx->time_ns, s->seen_ns))
			slot_del(cx, s, HOW_EXIT);
	}
	tab_put(cx->b, tab);
}

int apply_table_exit(struct cx *cx)
{
	struct fdtab *tab = tab_at(cx->b, cx->fact->table);

	if ((cx->fact->flags & TW_F_SELF) || !tab)
		return 0;
	if (how_of(cx->fact) == HOW_CLOEXEC)
		tab->in_exec = true;
	else
		end_table(cx, tab);
	return 0;
}

/* The process uses `table` alone, from now on. */
static void leave_others(const struct cx *cx, struct proc_node *p, uint64_t table, enum how how)
{
	struct member_node *m, *next;

	for (m = TAILQ_FIRST(&p->members); m; m = next) {
		next = TAILQ_NEXT(m, of_proc);
		if (m->tab->addr == table || stale(cx->time_ns, m->seen_ns))
			continue;
		/* it was left because others use it: who they are is to be found out */
		if (TAILQ_FIRST(&m->tab->members) == m && !TAILQ_NEXT(m, of_tab))
			want_rescan(cx->b, NULL, cx->time_ns);
		member_del(cx, m, how);	/* of the last one, the process is forgotten as well */
	}
}

static bool used_by_others(const struct fdtab *tab, uint32_t pid)
{
	const struct member_node *m;

	TAILQ_FOREACH(m, &tab->members, of_tab)
		if (m->proc->task.pid != pid)
			return true;
	return false;
}

/*
 * One thread of the process has a table of its own now. Others may still use
 * the one that it left; if nobody does, its end is told, unless another
 * process keeps it.
 */
static void doubt_others(const struct cx *cx, const struct proc_node *p, uint64_t table)
{
	const struct member_node *m;

	TAILQ_FOREACH(m, &p->members, of_proc)
		if (m->tab->addr != table && used_by_others(m->tab, p->task.pid))
			want_rescan(cx->b, p, cx->time_ns);
}

int apply_table_walked(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	enum how how = how_of(fact);
	struct proc_node *p;
	struct slot_node *s;
	struct fdtab *tab;
	size_t i, n;

	if (fact->flags & TW_F_SELF)
		return 0;
	p = cx->actor ? proc_find(cx->b, cx->actor->pid, cx->actor->start_ns) : NULL;
	if (p && (fact->flags & TW_F_ONLY_TABLE))
		leave_others(cx, p, fact->table, how);
	else if (p)
		doubt_others(cx, p, fact->table);
	tab = tab_at(cx->b, fact->table);
	if (!tab)
		return 0;
	tab->in_exec = false;
	n = slots_sorted(cx->b, tab);
	for (i = 0; i < n; i++) {
		s = cx->b->slot_sort[i];
		if (s->told_ns < fact->time_ns && !stale(fact->time_ns, s->seen_ns))
			slot_del(cx, s, how);
	}
	tab_put(cx->b, tab);
	return 0;
}

int apply_table_join(struct cx *cx)
{
	struct fdtab *tab = tab_at(cx->b, cx->fact->table);
	struct member_node *m;
	int err;

	if (!tab || !cx->actor)
		return 0;
	err = member_add(cx, tab, cx->actor, HOW_FORK, &m);
	if (m)
		m->told_ns = cx->time_ns;
	return err;
}

int apply_task_exit(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct proc_node *p = cx->actor ? proc_find(cx->b, cx->actor->pid, cx->actor->start_ns) : NULL;
	struct member_node *m, *next;
	struct fdtab *tab;

	if (!p)
		return 0;
	if (!(fact->flags & TW_F_LAST_THREAD)) {
		/* a thread with a table of its own, which it closes now, unless another has it, too */
		tab = tab_at(cx->b, fact->table);
		if (tab && (fact->flags & TW_F_GONE))
			end_table(cx, tab);
		else if (tab)
			want_rescan(cx->b, p, fact->time_ns + EXIT_GRACE_NS);
		return 0;
	}
	/* what others use lives on without it; what nobody else uses is closed, which is told by its end */
	for (m = TAILQ_FIRST(&p->members); m; m = next) {
		next = TAILQ_NEXT(m, of_proc);
		if (!(fact->flags & TW_F_GONE) && !used_by_others(m->tab, p->task.pid))
			continue;
		member_del(cx, m, HOW_EXIT);
	}
	p = proc_find(cx->b, cx->actor->pid, cx->actor->start_ns);
	if (p)
		want_rescan(cx->b, p, fact->time_ns + EXIT_GRACE_NS);
	return 0;
}

int apply_rescan(struct cx *cx)
{
	want_rescan(cx->b, NULL, cx->time_ns);
	return 0;
}

/* --- scans ------------------------------------------------------------------------------- */

static int scan_member(struct cx *cx, struct slot_node *s)
{
	const struct tw_task *task = &cx->fact->task;
	struct member_node *m;
	struct hold_node *h;
	int err;

	if (!(cx->fact->has & TW_HAS_TASK) ||
	    gone_has(cx->b, GONE_MEMBER, s->slot.table, task->pid, task->start_ns, cx->time_ns))
		return 0;
	err = member_add(cx, s->tab, task, HOW_UNKNOWN, &m);
	if (!m)
		return err;
	m->mark = cx->b->scan.epoch;
	if (cx->time_ns > m->seen_ns)
		m->seen_ns = cx->time_ns;
	h = hold_find(cx->b, m->proc, s->slot.fd, s->slot.file);
	if (!h)
		return err;
	h->mark = cx->b->scan.epoch;
	if (cx->time_ns <= h->seen_ns)
		return err;
	h->seen_ns = cx->time_ns;
	/* known from later on: by an exec, say */
	if (cx->time_ns <= h->hold.since_ns || cx->time_ns < m->proc->task_ns)
		return err;
	if (task->exec_id && h->hold.task.exec_id && task->exec_id != h->hold.task.exec_id)
		tell_exec(cx, h, task);
	/* a process changes its name */
	h->hold.task = *task;
	return err;
}

int scan_slot(struct cx *cx, struct file_node *f)
{
	const struct tw_event *fact = cx->fact;
	struct slot_node *s = slot_at(cx->b, fact->table, fact->fd);
	struct fdtab *tab;
	int err = 0;

	if (fact->flags & TW_F_SELF)
		return 0;
	if (!s || s->slot.file != &f->file) {
		if (!review_met(cx, SIGHT_SLOT, fact->table, (uint32_t)fact->fd, f->file.gen))
			return 0;
		/* closed, or replaced, since it was read */
		if (gone_has(cx->b, GONE_SLOT, fact->table, (uint32_t)fact->fd, f->file.gen, cx->time_ns))
			return 0;
		if (s && (cx->time_ns <= s->told_ns || cx->time_ns < s->seen_ns))
			return 0;
		tab = tab_get(cx->b, fact->table);
		if (!tab)
			return -ENOMEM;
		if (s)
			slot_del(cx, s, HOW_UNKNOWN);
		err = slot_add(cx, tab, fact->fd, f, HOW_UNKNOWN, &s);
		if (!s)
			tab_put(cx->b, tab);
		if (err)
			return err;
	}
	s->mark = cx->b->scan.epoch;
	s->tab->mark = cx->b->scan.epoch;
	if (cx->time_ns > s->seen_ns)
		s->seen_ns = cx->time_ns;
	return scan_member(cx, s);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool slot_unmet(struct bindings *b, struct slot_node *s)
{
	if (s->mark == b->scan.epoch || s->told_ns >= b->scan.begin_ns)
		return false;
	/* of a process, its tables were read whole: those that were met at all */
	if (!(b->scan.scope & (SCAN_FDS | SCAN_TABLES)) && s->tab->mark != b->scan.epoch)
		return false;
	return review_missed(b, &s->unmet_ns, later(s->told_ns, s->seen_ns));
}

static bool member_unmet(struct bindings *b, struct member_node *m)
{
	if (m->mark == b->scan.epoch || m->told_ns >= b->scan.begin_ns)
		return false;
	if (!(b->scan.scope & (SCAN_FDS | SCAN_TABLES)) && m->proc->task.pid != b->scan.pid)
		return false;
	return review_missed(b, &m->unmet_ns, later(m->told_ns, m->seen_ns));
}

static int member_order(const void *a, const void *b)
{
	const struct member_node *x = *(struct member_node *const *)a, *y = *(struct member_node *const *)b;
	int ret = compare(x->proc->task.pid, y->proc->task.pid);

	return ret ? ret : compare(x->tab->addr, y->tab->addr);
}

static void settle_members(const struct cx *cx)
{
	struct bindings *b = cx->b;
	struct member_node **unmet = (struct member_node **)b->object_sort, *m;
	struct fdtab *tab;
	size_t i, n;

	/* a round for each handful: what is told of one needs the room to sort in */
	do {
		n = 0;
		TAILQ_FOREACH(tab, &b->tabs, all)
			TAILQ_FOREACH(m, &tab->members, of_tab)
				if (member_unmet(b, m) && n < b->object_room)
					unmet[n++] = m;
		qsort(unmet, n, sizeof(*unmet), member_order);
		for (i = 0; i < n; i++)
			member_del(cx, unmet[i], HOW_UNKNOWN);
	} while (n && n == b->object_room);
}

void scan_settle_fds(const struct cx *cx)
{
	struct bindings *b = cx->b;
	struct slot_node *s;
	size_t i, n = 0;

	TAILQ_FOREACH(s, &b->slots, all)
		if (slot_unmet(b, s))
			b->slot_sort[n++] = s;
	sort_slots(b, n);
	for (i = 0; i < n; i++) {
		struct fdtab *tab;

		s = b->slot_sort[i];
		tab = s->tab;
		slot_del(cx, s, HOW_UNKNOWN);
		/* before the table is forgotten: somebody whose last fd this was leaves by it */
		tab_put(b, tab);
	}
	if (b->object_room)
		settle_members(cx);
}

/* --- ends ------------------------------------------------------------------------------------ */

void file_drop_slots(const struct cx *cx, struct file_node *f)
{
	struct bindings *b = cx->b;
	struct slot_node *s;
	size_t i, n = 0;

	TAILQ_FOREACH(s, &f->slots, of_file)
		b->slot_sort[n++] = s;
	sort_slots(b, n);
	for (i = 0; i < n; i++) {
		struct fdtab *tab;

		s = b->slot_sort[i];
		tab = s->tab;
		/* while a process is in an exec, nothing but that closes its fds */
		slot_del(cx, s, tab->in_exec ? HOW_CLOEXEC : HOW_UNKNOWN);
		tab_put(b, tab);
	}
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
