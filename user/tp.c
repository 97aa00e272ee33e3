// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "rtnl.h"
#include "rtnl_monitor.h"
#include "tp.h"

#define NSEC_PER_MSEC 1000000ULL
/*
 * A system call that closes a device's last file tells rtnetlink first, and
 * returns (which is when the program sees it) only when the device is gone:
 * an RCU grace period or two later, and these can be long on a busy machine. So
 * long the deletion waits for it, where the file is known to be dead.
 */
#define CLOSE_WAIT_NS (2000 * NSEC_PER_MSEC)
#define POLL_NS (40 * NSEC_PER_MSEC)	/* files that nobody is known to hold are looked at this often */
#define RECHECK_NS (3 * NSEC_PER_MSEC)
#define RELEASE_MEMORY_NS (3000 * NSEC_PER_MSEC)

/* epoll data: small numbers, or the address of a struct ending */
enum { WATCH_NETLINK = 1, WATCH_TIMER = 2 };

/* A process whose end was announced: its files are closed when the pidfd is readable. */
struct ending {
	int pidfd;
	struct tw_event fact;
	struct ending *next;
};

/*
 * What rtnetlink told and is not applied yet: waiting for the ring to be read
 * up to the same time, or (deletions) for their cause.
 */
struct pending {
	struct tw_event fact;
	struct pending *next;
};

/* A file (or vhost-net file) found dead: what killed it may still be on its way to us. */
struct corpse {
	struct tw_event fact;
	uint64_t since_ns;
	struct corpse *next;
};

/* Who was the last to let go of a device: why it went. */
struct farewell {
	uint64_t device_id, file_gen, time_ns;
	uint64_t closed_ns;	/* when the close of its last fd had returned; 0 not known */
	struct farewell *next;
};

struct tp {
	struct tracer *t;
	struct bindings *b;
	struct rtnl_monitor *monitor;
	int epoll, timer;
	uint64_t since_ns;	/* rtnetlink is heard from then on */
	uint64_t collect_ns;	/* the ring is being read since then … */
	uint64_t drained_ns;	/* … and all facts older than this were taken from it */
	struct ending *endings;
	struct pending *news, *deletions;
	struct corpse *corpses;
	struct farewell *farewells;
	struct { uint64_t file_gen, time_ns; } last_drop;
	bool overrun;		/* netlink messages were lost, to be told by the next tp_collect() */
};

static int watch(struct tp *tp, int fd, uint64_t tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };

	return epoll_ctl(tp->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int append(struct pending **list, const struct tw_event *fact)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->fact = *fact;
	while (*list)
		list = &(*list)->next;
	*list = p;
	return 0;
}

static bool is_end(const struct tw_event *fact)
{
	return fact->type == TW_NETNS_EXIT || (fact->type == TW_DEV && fact->dev.op == TW_DEV_GONE);
}

static int on_old_news(void *ctx, const struct tw_event *fact)
{
	struct tp *tp = ctx;

	return is_end(fact) ? append(&tp->news, fact) : 0;
}

/*
 * What was told before facts count (since_ns) is left to the seed, which comes
 * after; only of ends it is not known whether they were before.
 */
static int forget_old_news(struct tp *tp)
{
	int err = rtnl_monitor_read(tp->monitor, on_old_news, tp);

	return err == -ENOBUFS ? 0 : err;
}

int tp_new(struct tp **out, struct tracer *t, struct bindings *b)
{
	struct tp *tp = calloc(1, sizeof(*tp));
	int err;

	*out = NULL;
	if (!tp)
		return -ENOMEM;
	tp->t = t;
	tp->b = b;
	tp->timer = -1;
	tp->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (tp->epoll >= 0)
		tp->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = tp->timer < 0 ? -errno : rtnl_monitor_new(&tp->monitor);
	if (!err)
		err = rtnl_monitor_scan(tp->monitor, NETNS_CHEAP);
	tp->since_ns = rtnl_boottime();
	if (!err)
		err = forget_old_news(tp);
	if (!err)
		err = watch(tp, rtnl_monitor_fd(tp->monitor), WATCH_NETLINK);
	if (!err)
		err = watch(tp, tp->timer, WATCH_TIMER);
	if (err) {
		tp_free(tp);
		return err;
	}
	*out = tp;
	return 0;
}

#define FREE_LIST(head)                                                        \
	do {                                                                   \
		while (head) {                                                 \
			void *dead = head;                                     \
			head = (head)->next;                                   \
			free(dead);                                            \
		}                                                              \
	} while (0)

void tp_free(struct tp *tp)
{
	if (!tp)
		return;
	for (struct ending *e = tp->endings; e; e = e->next)
		close(e->pidfd);
	FREE_LIST(tp->endings);
	FREE_LIST(tp->news);
	FREE_LIST(tp->deletions);
	FREE_LIST(tp->corpses);
	FREE_LIST(tp->farewells);
	rtnl_monitor_free(tp->monitor);
	if (tp->timer >= 0)
		close(tp->timer);
	if (tp->epoll >= 0)
		close(tp->epoll);
	free(tp);
}

int tp_fd(const struct tp *tp)
{
	return tp->epoll;
}

/* --- look-ups in the machine --- */

struct query {
	const struct device *dev;
	struct tp *tp;
};

static int file_unheld(void *ctx, const struct file *file)
{
	(void)ctx;
	return !file->holders;
}

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

static bool device_close_pending(struct tp *tp, const struct device *dev)
{
	struct query q = { .dev = dev, .tp = tp };

	return bindings_each_file(tp->b, file_dying_on, &q);
}

/* --- files that die --- */

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

static int finish_endings_with(struct tp *tp, uint64_t file_gen);

static int look_at_files(struct tp *tp)
{
	int err = tracer_can_scan_files(tp->t) ? tracer_scan_dead_files(tp->t, on_file_fact, tp) : 0;

	for (const struct corpse *c = tp->corpses; c && !err; c = c->next)
		if (c->fact.type == TW_FILE_RELEASE)
			err = finish_endings_with(tp, c->fact.file.gen);
	/* what vhost-net held is given back before it is gone */
	if (!err)
		err = bury(tp, rtnl_boottime(), TW_VHOST);
	return err ? err : bury(tp, rtnl_boottime(), TW_FILE_RELEASE);
}

/* --- devices that go --- */

static const struct farewell *farewell_of(const struct tp *tp, uint64_t device_id, uint64_t now)
{
	for (const struct farewell *f = tp->farewells; f; f = f->next)
		if (f->device_id == device_id && now - f->time_ns < RELEASE_MEMORY_NS)
			return f;
	return NULL;
}

static int bound_to(void *ctx, const struct file *file)
{
	const struct query *q = ctx;

	return file->dev == q->dev;
}

/*
 * A device without persistence goes with its last file: rtnetlink tells so
 * before the close returns. Read later than that, the message may as well be
 * of a deletion just before the close: then the cause is not known. Whatever
 * else ends a device came by rtnetlink. (Destroyed namespaces are told by
 * TW_NETNS_EXIT.)
 */
static int decide_deletion(struct tp *tp, struct tw_event *fact)
{
	const struct device *dev = bindings_device(tp->b, fact->dev.netns, fact->dev.ifindex);
	const struct farewell *last;
	struct query q = { .dev = dev };

	if (!dev)
		return 0;
	last = farewell_of(tp, dev->id, rtnl_boottime());
	if (last && !(dev->d.tun_flags & IFF_PERSIST) && !bindings_each_file(tp->b, bound_to, &q)) {
		if (!last->closed_ns || fact->time_ns <= last->closed_ns) {
			fact->flags |= TW_F_IN_CLOSE;
			fact->ctx_file = last->file_gen;
		}
		/* the message came before we saw the file dead; effects do not precede their cause */
		if (fact->time_ns < last->time_ns)
			fact->time_ns = last->time_ns;
	} else {
		fact->flags |= TW_F_BY_REQUEST;
	}
	return bindings_apply(tp->b, fact) == -ENOMEM ? -ENOMEM : 0;
}

struct in_netns {
	struct tp *tp;
	uint32_t netns;
};

static int dying_in_netns(void *ctx, const struct device *dev)
{
	struct in_netns *in = ctx;

	return dev->d.netns == in->netns && device_close_pending(in->tp, dev);
}

/* Must this deletion wait for the close that may be its cause? */
static bool must_wait(struct tp *tp, const struct tw_event *fact)
{
	struct in_netns in = { tp, fact->dev.netns };
	const struct device *dev;

	if (fact->type == TW_NETNS_EXIT)
		return bindings_each_device(tp->b, dying_in_netns, &in);
	dev = bindings_device(tp->b, fact->dev.netns, fact->dev.ifindex);
	return dev && device_close_pending(tp, dev);
}

static bool same_netns_waits(const struct pending *head, const struct pending *end, uint32_t netns)
{
	for (; head != end; head = head->next)
		if (head->fact.dev.netns == netns)
			return true;
	return false;
}

/* `force`: the device of that file is bound to another now, so its deletion waits no longer. */
static int settle_deletions(struct tp *tp, uint64_t now, const struct device *force)
{
	struct pending **at = &tp->deletions;
	int err = 0;

	while (*at && !err) {
		struct pending *p = *at;
		bool forced = force && force->d.netns == p->fact.dev.netns && force->d.ifindex == p->fact.dev.ifindex;

		if (!forced && now - p->fact.time_ns < CLOSE_WAIT_NS &&
		    (must_wait(tp, &p->fact) ||
		     (p->fact.type == TW_NETNS_EXIT && same_netns_waits(tp->deletions, p, p->fact.dev.netns)))) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		if (p->fact.type == TW_NETNS_EXIT)
			err = bindings_apply(tp->b, &p->fact) == -ENOMEM ? -ENOMEM : 0;
		else
			err = decide_deletion(tp, &p->fact);
		free(p);
	}
	return err;
}

/* Remembers who let go of a device last. */
void tp_change(struct tp *tp, const struct change *change)
{
	struct farewell **at = &tp->farewells, *f;

	if (change->event == EV_DROP && change->file) {
		tp->last_drop.file_gen = change->file->gen;
		tp->last_drop.time_ns = change->time_ns;
	}
	if (change->event != EV_RELEASE || !change->dev || !change->file)
		return;
	while (*at) {
		f = *at;
		if (f->device_id != change->dev->id && change->time_ns - f->time_ns < RELEASE_MEMORY_NS) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		free(f);
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return; /* the cause of the deletion will be told as link-del's absence of a close: see decide_deletion() */
	f->device_id = change->dev->id;
	f->file_gen = change->file->gen;
	f->time_ns = change->time_ns;
	f->closed_ns = tp->last_drop.file_gen == f->file_gen ? tp->last_drop.time_ns : 0;
	f->next = tp->farewells;
	tp->farewells = f;
}

static int on_netlink(void *ctx, const struct tw_event *fact)
{
	struct tp *tp = ctx;

	return append(&tp->news, fact);
}

int tp_collect(struct tp *tp)
{
	tp->collect_ns = rtnl_boottime();
	if (tp->overrun) {
		tp->overrun = false;
		return -ENOBUFS;
	}
	return rtnl_monitor_read(tp->monitor, on_netlink, tp);
}

static bool same_place(const struct tw_event *a, const struct tw_event *b)
{
	return a->dev.netns == b->dev.netns && a->dev.ifindex == b->dev.ifindex;
}

/* The first news about this place, unlinked. */
static struct pending *take_news(struct tp *tp, const struct tw_event *place)
{
	struct pending **at = &tp->news, *p;

	while (*at && !same_place(&(*at)->fact, place))
		at = &(*at)->next;
	p = *at;
	if (p)
		*at = p->next;
	return p;
}

/*
 * Is this the end of a device whose last file was told to be gone? Then it
 * came before whatever the ring tells next, though it was read later.
 */
static bool is_known_end(const struct tp *tp, const struct tw_event *fact)
{
	const struct device *dev;
	struct query q = { 0 };

	if (!is_end(fact) || fact->type == TW_NETNS_EXIT)
		return false;
	dev = bindings_device(tp->b, fact->dev.netns, fact->dev.ifindex);
	q.dev = dev;
	return dev && !(dev->d.tun_flags & IFF_PERSIST) && farewell_of(tp, dev->id, rtnl_boottime()) &&
	       !bindings_each_file(tp->b, bound_to, &q);
}

/* Applies known ends, and what was told about the same devices before. */
static int apply_known_ends(struct tp *tp)
{
	int err = 0;

	for (struct pending *p = tp->news, *next; p && !err; p = next) {
		struct tw_event end = p->fact;

		next = p->next;
		if (!is_known_end(tp, &end))
			continue;
		for (bool done = false; !done && !err;) {
			struct pending *n = take_news(tp, &end);

			done = n == p;
			err = done ? decide_deletion(tp, &n->fact) : bindings_apply(tp->b, &n->fact);
			if (err == -EINVAL)
				err = 0;
			free(n);
		}
		next = tp->news; /* others may have been taken out on the way */
	}
	return err;
}

/* Applies what rtnetlink told before `time_ns`; deletions begin to wait. */
static int apply_news(struct tp *tp, uint64_t time_ns)
{
	int err = 0;

	while (tp->news && tp->news->fact.time_ns < time_ns && !err) {
		struct pending *p = tp->news;

		tp->news = p->next;
		if (is_end(&p->fact))
			err = append(&tp->deletions, &p->fact);
		else
			err = bindings_apply(tp->b, &p->fact) == -ENOMEM ? -ENOMEM : 0;
		free(p);
	}
	return err;
}

/* --- processes that end --- */

static int begin_ending(struct tp *tp, const struct tw_event *fact)
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
	err = watch(tp, e->pidfd, (uint64_t)(uintptr_t)e);
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
static int end_thread(struct tp *tp, const struct tw_event *fact)
{
	struct slots slots = { tp, fact->table, fact->task.pid };

	if (fact->flags & TW_F_GONE)
		bindings_each_slot(tp->b, forget_slot, &slots);
	return bindings_apply(tp->b, fact);
}

static int finish_ending(struct tp *tp, struct ending *e)
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

static int finish_unwatched_endings(struct tp *tp)
{
	for (struct ending *e = tp->endings, *next; e; e = next) {
		next = e->next;
		if (e->pidfd < 0 && finish_ending(tp, e))
			return -ENOMEM;
	}
	return 0;
}

/*
 * Another process works with a table of the same address: the one that was
 * about to end is gone, or its table would not have been free.
 */
static int finish_predecessors(struct tp *tp, const struct tw_event *fact)
{
	for (struct ending *e = tp->endings, *next; e; e = next) {
		next = e->next;
		if (e->fact.table != fact->table || e->fact.task.pid == fact->task.pid)
			continue;
		if (finish_ending(tp, e))
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
static int finish_endings_with(struct tp *tp, uint64_t file_gen)
{
	struct ending_of q = { .tp = tp, .file_gen = file_gen };

	while (tp->endings && bindings_each_slot(tp->b, holds_at_end, &q)) {
		if (finish_ending(tp, q.found))
			return -ENOMEM;
		q.found = NULL;
	}
	return 0;
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
static int retire_predecessor(struct tp *tp, const struct tw_event *fact)
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
		err = finish_endings_with(tp, q.gen);
	return err ? err : bury(tp, rtnl_boottime(), TW_FILE_RELEASE);
}

/* --- facts from the ring --- */

/* The fd is bound elsewhere now: its old device's deletion cannot wait any longer. */
static int settle_before(struct tp *tp, const struct tw_event *fact)
{
	const struct file *file = bindings_file(tp->b, fact->file.gen);

	if (fact->type != TW_IOCTL || !file || !file->dev || !tp->deletions)
		return 0;
	return settle_deletions(tp, rtnl_boottime(), file->dev);
}

static void arm(struct tp *tp)
{
	uint64_t delay = 0;
	struct itimerspec its = { 0 };

	if (tp->corpses || tp->deletions)
		delay = RECHECK_NS;
	else if (bindings_each_file(tp->b, file_unheld, tp))
		delay = POLL_NS;
	its.it_value.tv_nsec = (long)delay;
	timerfd_settime(tp->timer, 0, &its, NULL);
}

/*
 * Somebody made a namespace. By now he may be gone, or back where he came
 * from (ip-netns(8) bind-mounts the new one and returns): then look for it.
 */
static int hear_new_netns(struct tp *tp, const struct tw_event *fact)
{
	char path[64];
	struct netns_ref ref = {
		.inode = fact->task.netns,
		.source = NETNS_PROCS,
		.pid = (pid_t)fact->task.tid,
		.path = path,
	};
	int err;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", fact->task.tid);
	err = rtnl_monitor_add(tp->monitor, &ref);
	if (err)
		err = rtnl_monitor_scan(tp->monitor, NETNS_CHEAP);
	return err == -ENOMEM ? err : 0;
}

int tp_fact(struct tp *tp, const struct tw_event *fact)
{
	int err;

	/* half the story: of a device that went then, the end was not heard. The seed comes after and knows better */
	if (fact->time_ns < tp->since_ns && fact->type != TW_NETNS_NEW)
		return 0;
	/* the ring runs ahead of what was collected */
	err = fact->time_ns > tp->collect_ns ? tp_collect(tp) : 0;
	if (err == -ENOBUFS) {
		tp->overrun = true;
		err = 0;
	}
	if (!err && (fact->has & TW_HAS_TABLE))
		err = finish_predecessors(tp, fact);
	if (!err)
		err = retire_predecessor(tp, fact);
	if (!err)
		err = apply_known_ends(tp);
	if (!err)
		err = apply_news(tp, fact->time_ns);
	if (err)
		return err;
	switch (fact->type) {
	case TW_NETNS_NEW:
		return hear_new_netns(tp, fact);
	case TW_TASK_EXIT:
		err = fact->flags & TW_F_LAST_THREAD ? begin_ending(tp, fact) : end_thread(tp, fact);
		if (!err)
			err = finish_unwatched_endings(tp);
		if (!err)
			err = look_at_files(tp);
		break;
	default:
		err = settle_before(tp, fact);
		if (!err)
			err = bindings_apply(tp->b, fact) == -ENOMEM ? -ENOMEM : 0;
		if (!err && (fact->type == TW_FD_CLOSE || fact->type == TW_VHOST))
			err = look_at_files(tp);
		break;
	}
	if (!err)
		err = settle_deletions(tp, rtnl_boottime(), NULL);
	arm(tp);
	return err;
}

/* An ending that epoll told of may have been finished since, for another reason. */
static int finish_told(struct tp *tp, uint64_t tag)
{
	for (struct ending *e = tp->endings; e; e = e->next)
		if ((uint64_t)(uintptr_t)e == tag)
			return finish_ending(tp, e);
	return 0;
}

int tp_work(struct tp *tp)
{
	struct epoll_event events[16];
	int n = epoll_wait(tp->epoll, events, 16, 0), err;
	uint64_t ticks;

	tp->drained_ns = tp->collect_ns;
	err = look_at_files(tp);
	if (!err)
		err = apply_news(tp, UINT64_MAX);
	for (int i = 0; i < n && !err; i++) {
		if (events[i].data.u64 == WATCH_NETLINK)
			continue; /* read by tp_collect() */
		if (events[i].data.u64 != WATCH_TIMER)
			err = finish_told(tp, events[i].data.u64);
		else if (read(tp->timer, &ticks, sizeof(ticks)) < 0)
			continue;
	}
	if (!err)
		err = look_at_files(tp);
	if (!err)
		err = settle_deletions(tp, rtnl_boottime(), NULL);
	arm(tp);
	return err;
}

bool tp_waits(const struct tp *tp)
{
	return tp->deletions || tp->corpses || tp->endings;
}
