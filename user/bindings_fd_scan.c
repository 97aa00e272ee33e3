// SPDX-License-Identifier: GPL-2.0-only
/*
 * bindings_fd_scan.c - fds found by a scan, or found missing by one; and which
 * processes the hooks alone cannot be exact about: those are to be looked at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bindings_private.h"

/* --- what is to be looked at again ------------------------------------------- */

/* Best effort: without memory the next full look finds it. */
void want_rescan(struct bindings *b, const struct proc_node *p, uint64_t not_before_ns)
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
	/* the slot was filled later: so who was seen to have it then had another, perhaps in another table there */
	if (cx->time_ns < s->told_ns && !used_by(s->tab, task))
		return 0;
	err = member_add(cx, s->tab, task, HOW_UNKNOWN, &m);
	if (!m)
		return err;
	m->mark = cx->b->scan.epoch;
	/* another of its threads uses it still */
	if (cx->time_ns > m->exit_ns)
		m->exit_ns = 0;
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
	/* closed, or replaced, since it was read: what is there now may be of another table at the same address */
	if (gone_has(cx->b, GONE_SLOT, fact->table, (uint32_t)fact->fd, f->file.gen, cx->time_ns))
		return 0;
	if (!s || s->slot.file != &f->file) {
		if (!review_met(cx, SIGHT_SLOT, fact->table, (uint32_t)fact->fd, f->file.gen))
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
			member_del(cx, unmet[i], unmet[i]->exit_ns ? HOW_EXIT : HOW_UNKNOWN);
	} while (n && n == b->object_room);
}

void scan_settle_fds(const struct cx *cx)
{
	struct bindings *b = cx->b;
	struct slot_node *s;
	size_t n = 0;

	TAILQ_FOREACH(s, &b->slots, all)
		if (slot_unmet(b, s))
			b->slot_sort[n++] = s;
	slots_end(cx, n, HOW_UNKNOWN);
	if (b->object_room)
		settle_members(cx);
}
