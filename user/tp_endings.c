// SPDX-License-Identifier: GPL-2.0-only
/* tp_endings.c - tracepoint backend: processes that end; their files are closed some time after that is told. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tp_private.h"

int tp_begin_ending(struct tp *tp, const struct tw_event *fact)
{
	struct ending *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->fact = *fact;
	e->fact.flags |= TW_F_GONE;
	e->pidfd = (int)syscall(SYS_pidfd_open, fact->task.pid, 0);
	e->next = tp->endings;
	tp->endings = e;
	if (e->pidfd < 0)
		return 0; /* gone and reaped already: settled by the next look */
	err = tp_watch(tp, e->pidfd, (uint64_t)(uintptr_t)e);
	return err;
}

struct slots {
	struct tp *tp;
	uint64_t table;
	uint32_t pid;
};

static int forget_slot(void *ctx, const struct slot *slot)
{
	struct slots *s = ctx;

	if (slot->table == s->table)
		tracer_forget_slot(s->tp->t, slot, s->pid);
	return 0;
}

/* Of its own table, nobody tells of any close. */
int tp_end_thread(struct tp *tp, const struct tw_event *fact)
{
	struct slots slots = { tp, fact->table, fact->task.pid };

	if (fact->flags & TW_F_GONE)
		bindings_each_slot(tp->b, forget_slot, &slots);
	return bindings_apply(tp->b, fact);
}

int tp_finish_ending(struct tp *tp, struct ending *e)
{
	struct slots slots = { tp, e->fact.table, e->fact.task.pid };
	struct ending **at = &tp->endings;
	int err;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->pidfd >= 0)
		close(e->pidfd);
	if (!bindings_table_shared(tp->b, e->fact.table, e->fact.task.pid))
		bindings_each_slot(tp->b, forget_slot, &slots);
	e->fact.time_ns = rtnl_boottime();
	err = bindings_apply(tp->b, &e->fact);
	free(e);
	return err == -ENOMEM ? err : 0;
}

int tp_finish_unwatched_endings(struct tp *tp)
{
	for (struct ending *e = tp->endings, *next; e; e = next) {
		next = e->next;
		if (e->pidfd < 0 && tp_finish_ending(tp, e))
			return -ENOMEM;
	}
	return 0;
}

/*
 * Another process works with a table of the same address: the one that was
 * about to end is gone, or its table would not have been free.
 */
int tp_finish_predecessors(struct tp *tp, const struct tw_event *fact)
{
	for (struct ending *e = tp->endings, *next; e; e = next) {
		next = e->next;
		if (e->fact.table != fact->table || e->fact.task.pid == fact->task.pid)
			continue;
		if (tp_finish_ending(tp, e))
			return -ENOMEM;
	}
	return 0;
}

struct ending_of {
	const struct tp *tp;
	uint64_t file_gen;
	struct ending *found;
};

static int holds_at_end(void *ctx, const struct slot *slot)
{
	struct ending_of *q = ctx;

	if (slot->file->gen != q->file_gen)
		return 0;
	for (struct ending *e = q->tp->endings; e && !q->found; e = e->next)
		if (e->fact.table == slot->table)
			q->found = e;
	return q->found != NULL;
}

/* A file is dead that processes about to end were seen with: then they have let go of it. */
int tp_finish_endings_with(struct tp *tp, uint64_t file_gen)
{
	struct ending_of q = { .tp = tp, .file_gen = file_gen };

	while (tp->endings && bindings_each_slot(tp->b, holds_at_end, &q)) {
		if (tp_finish_ending(tp, q.found))
			return -ENOMEM;
		q.found = NULL;
	}
	return 0;
}
