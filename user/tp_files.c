// SPDX-License-Identifier: GPL-2.0-only
/* tp_files.c - tracepoint backend: files that die, which no hook tells. */
#include <errno.h>
#include <stdlib.h>

#include "tp_private.h"

static struct corpse *corpse_of(struct tp *tp, uint64_t gen)
{
	for (struct corpse *c = tp->corpses; c; c = c->next)
		if (c->fact.type == TW_FILE_RELEASE && c->fact.file.gen == gen)
			return c;
	return NULL;
}

/* Is a file bound to this device dead, and its close not told yet? */
static int file_dying_on(void *ctx, const struct file *file)
{
	struct query *q = ctx;

	return file->dev == q->dev && corpse_of(q->tp, file->gen);
}

bool tp_close_pending(struct tp *tp, const struct device *dev)
{
	struct query q = { .dev = dev, .tp = tp };

	return bindings_each_file(tp->b, file_dying_on, &q);
}

static bool known_dead(const struct tp *tp, const struct tw_event *fact)
{
	for (const struct corpse *c = tp->corpses; c; c = c->next)
		if (c->fact.type == fact->type && c->fact.file.addr == fact->file.addr &&
		    c->fact.file.gen == fact->file.gen)
			return true;
	return false;
}

static int on_file_fact(void *ctx, const struct tw_event *fact)
{
	struct tp *tp = ctx;
	struct corpse *c;

	if (known_dead(tp, fact))
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fact = *fact;
	c->since_ns = rtnl_boottime();
	c->next = tp->corpses;
	tp->corpses = c;
	return 0;
}

/*
 * A file without holders is simply gone. With one, the close that killed it is
 * on its way: the system call has not returned. One that is not even known
 * lived so shortly that its open still waits in the ring. A vhost-net file has
 * no holders known: what it did until it was found dead is told first.
 */
static bool may_be_buried(const struct tp *tp, const struct corpse *c, uint64_t now)
{
	const struct file *file;

	if (now - c->since_ns >= CLOSE_WAIT_NS)
		return true;
	if (c->fact.type == TW_VHOST)
		return c->since_ns < tp->drained_ns;
	file = bindings_file(tp->b, c->fact.file.gen);
	return file && !file->holders && !file->vhost_queues;
}

static int bury(struct tp *tp, uint64_t now, uint32_t type)
{
	struct corpse **at = &tp->corpses;
	int err = 0;

	while (*at && !err) {
		struct corpse *c = *at;

		if (c->fact.type != type || !may_be_buried(tp, c, now)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		tracer_forget_file(tp->t, c->fact.file.addr, c->fact.file.gen);
		c->fact.time_ns = now;
		if (type == TW_VHOST || bindings_file(tp->b, c->fact.file.gen))
			err = bindings_apply(tp->b, &c->fact) == -ENOMEM ? -ENOMEM : 0;
		free(c);
	}
	return err;
}

int tp_look_at_files(struct tp *tp)
{
	int err = tracer_can_scan_files(tp->t) ? tracer_scan_dead_files(tp->t, on_file_fact, tp) : 0;

	for (const struct corpse *c = tp->corpses; c && !err; c = c->next)
		if (c->fact.type == TW_FILE_RELEASE)
			err = tp_finish_endings_with(tp, c->fact.file.gen);
	/* what vhost-net held is given back before it is gone */
	if (!err)
		err = bury(tp, rtnl_boottime(), TW_VHOST);
	return err ? err : bury(tp, rtnl_boottime(), TW_FILE_RELEASE);
}

struct same_addr {
	const struct tw_event *fact;
	uint64_t gen;
};

static int has_addr(void *ctx, const struct file *file)
{
	struct same_addr *q = ctx;

	if (file->f.addr != q->fact->file.addr || file->gen == q->fact->file.gen)
		return 0;
	/* after a loss: an old fact, and the file that a scan found there since is the younger one */
	if (q->fact->time_ns <= file->seen_ns || q->fact->time_ns <= file->opened_ns)
		return 0;
	q->gen = file->gen;
	return 1;
}

/*
 * A file was opened at the address of one that we know: that one is gone, and
 * the close that ended it, if it is not told yet, has not returned.
 */
int tp_retire_predecessor(struct tp *tp, const struct tw_event *fact)
{
	struct same_addr q = { .fact = fact };
	struct tw_event release = {
		.time_ns = fact->time_ns, .type = TW_FILE_RELEASE, .has = TW_HAS_FILE, .fd = -1,
		.file.addr = fact->file.addr,
	};
	int err;

	if (!(fact->flags & TW_F_NEW_FILE) || !bindings_each_file(tp->b, has_addr, &q))
		return 0;
	release.file.gen = q.gen;
	err = on_file_fact(tp, &release);
	if (!err)
		err = tp_finish_endings_with(tp, q.gen);
	return err ? err : bury(tp, rtnl_boottime(), TW_FILE_RELEASE);
}
