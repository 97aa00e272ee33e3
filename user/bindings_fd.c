// SPDX-License-Identifier: GPL-2.0-only
/*
 * bindings_fd.c - live facts about fds: they come and go in tables, processes use,
 * share, copy and leave them.
 */
#include <errno.h>

#include "bindings_private.h"

/* A process whose end was announced closes its files soon after; one that still has some then is looked at. */
#define EXIT_GRACE_NS 50000000ULL

static enum how how_of(const struct tw_event *fact)
{
	static const enum how hows[TW_HOW_MAX] = {
		[TW_HOW_DUP] = HOW_DUP, [TW_HOW_FORK] = HOW_FORK, [TW_HOW_SCM_RIGHTS] = HOW_SCM_RIGHTS,
		[TW_HOW_PIDFD_GETFD] = HOW_PIDFD_GETFD, [TW_HOW_EXEC] = HOW_EXEC, [TW_HOW_OTHER] = HOW_OTHER,
		[TW_HOW_CLOSE] = HOW_CLOSE, [TW_HOW_CLOEXEC] = HOW_CLOEXEC, [TW_HOW_EXIT] = HOW_EXIT,
	};

	return fact->how < TW_HOW_MAX ? hows[fact->how] : HOW_UNKNOWN;
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

/*
 * One thread of the process has a table of its own now. Others may still use
 * the one that it left; if nobody does, its end is told, unless another
 * process keeps it.
 */
static void doubt_others(const struct cx *cx, struct proc_node *p, uint64_t table)
{
	struct member_node *m;

	TAILQ_FOREACH(m, &p->members, of_proc) {
		if (m->tab->addr == table || !used_by_others(m->tab, p->task.pid))
			continue;
		m->exit_ns = 0;
		want_rescan(cx->b, p, cx->time_ns);
	}
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

/* A thread with a table of its own, or the leader. It closes the table now, unless others have it, too. */
static void thread_exit(const struct cx *cx, const struct proc_node *p)
{
	struct fdtab *tab = tab_at(cx->b, cx->fact->table);
	struct member_node *m = tab ? member_of(tab, p) : NULL;

	if (!tab)
		return;
	if (cx->fact->flags & TW_F_GONE) {
		end_table(cx, tab);
		return;
	}
	if (m)
		m->exit_ns = cx->time_ns + EXIT_GRACE_NS;
	want_rescan(cx->b, p, cx->time_ns + EXIT_GRACE_NS);
}

/* Whether a table lives on that the process leaves by its end. */
static bool left_to_others(const struct cx *cx, const struct member_node *m)
{
	const struct tw_event *fact = cx->fact;

	if (used_by_others(m->tab, m->proc->task.pid))
		return true;
	if (!(fact->flags & TW_F_SHARED) || m->tab->addr != fact->table)
		return false;
	/* to somebody who is not known yet */
	want_rescan(cx->b, NULL, cx->time_ns);
	return true;
}

int apply_task_exit(struct cx *cx)
{
	const struct tw_event *fact = cx->fact;
	struct proc_node *p = cx->actor ? proc_find(cx->b, cx->actor->pid, cx->actor->start_ns) : NULL;
	struct member_node *m, *next;

	if (!p)
		return 0;
	if (!(fact->flags & TW_F_LAST_THREAD)) {
		thread_exit(cx, p);
		return 0;
	}
	/* what others use lives on without it; what nobody else uses is closed, which is told by its end */
	for (m = TAILQ_FIRST(&p->members); m; m = next) {
		next = TAILQ_NEXT(m, of_proc);
		if ((fact->flags & TW_F_GONE) || left_to_others(cx, m))
			member_del(cx, m, HOW_EXIT);
		else
			m->exit_ns = cx->time_ns + EXIT_GRACE_NS;
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
