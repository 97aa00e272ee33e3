// SPDX-License-Identifier: GPL-2.0-only
/* tp.c - see tp.h: what is applied when. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tp_private.h"

int tp_watch(struct tp *tp, int fd, uint64_t tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };

	return epoll_ctl(tp->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int tp_append(struct pending **list, const struct tw_event *fact)
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

bool tp_is_end(const struct tw_event *fact)
{
	return fact->type == TW_NETNS_EXIT || (fact->type == TW_DEV && fact->dev.op == TW_DEV_GONE);
}

static int on_old_news(void *ctx, const struct tw_event *fact)
{
	struct tp *tp = ctx;

	return tp_is_end(fact) ? tp_append(&tp->news, fact) : 0;
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
		err = tp_watch(tp, rtnl_monitor_fd(tp->monitor), WATCH_NETLINK);
	if (!err)
		err = tp_watch(tp, tp->timer, WATCH_TIMER);
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

static int on_netlink(void *ctx, const struct tw_event *fact)
{
	struct tp *tp = ctx;

	return tp_append(&tp->news, fact);
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

/* --- facts from the ring --- */

/* The fd is bound elsewhere now: its old device's deletion cannot wait any longer. */
static int settle_before(struct tp *tp, const struct tw_event *fact)
{
	const struct file *file = bindings_file(tp->b, fact->file.gen);

	if (fact->type != TW_IOCTL || !file || !file->dev || !tp->deletions)
		return 0;
	return tp_settle_deletions(tp, rtnl_boottime(), file->dev);
}

static int file_unheld(void *ctx, const struct file *file)
{
	(void)ctx;
	return !file->holders;
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
		err = tp_finish_predecessors(tp, fact);
	if (!err)
		err = tp_retire_predecessor(tp, fact);
	if (!err)
		err = tp_apply_known_ends(tp);
	if (!err)
		err = tp_apply_news(tp, fact->time_ns);
	if (err)
		return err;
	switch (fact->type) {
	case TW_NETNS_NEW:
		return hear_new_netns(tp, fact);
	case TW_TASK_EXIT:
		err = fact->flags & TW_F_LAST_THREAD ? tp_begin_ending(tp, fact) : tp_end_thread(tp, fact);
		if (!err)
			err = tp_finish_unwatched_endings(tp);
		if (!err)
			err = tp_look_at_files(tp);
		break;
	default:
		err = settle_before(tp, fact);
		if (!err)
			err = bindings_apply(tp->b, fact) == -ENOMEM ? -ENOMEM : 0;
		if (!err && (fact->type == TW_FD_CLOSE || fact->type == TW_VHOST))
			err = tp_look_at_files(tp);
		break;
	}
	if (!err)
		err = tp_settle_deletions(tp, rtnl_boottime(), NULL);
	arm(tp);
	return err;
}

/* An ending that epoll told of may have been finished since, for another reason. */
static int finish_told(struct tp *tp, uint64_t tag)
{
	for (struct ending *e = tp->endings; e; e = e->next)
		if ((uint64_t)(uintptr_t)e == tag)
			return tp_finish_ending(tp, e);
	return 0;
}

int tp_work(struct tp *tp)
{
	struct epoll_event events[16];
	int n = epoll_wait(tp->epoll, events, 16, 0), err;
	uint64_t ticks;

	tp->drained_ns = tp->collect_ns;
	err = tp_look_at_files(tp);
	if (!err)
		err = tp_apply_news(tp, UINT64_MAX);
	for (int i = 0; i < n && !err; i++) {
		if (events[i].data.u64 == WATCH_NETLINK)
			continue; /* read by tp_collect() */
		if (events[i].data.u64 != WATCH_TIMER)
			err = finish_told(tp, events[i].data.u64);
		else if (read(tp->timer, &ticks, sizeof(ticks)) < 0)
			continue;
	}
	if (!err)
		err = tp_look_at_files(tp);
	if (!err)
		err = tp_settle_deletions(tp, rtnl_boottime(), NULL);
	arm(tp);
	return err;
}

bool tp_waits(const struct tp *tp)
{
	return tp->deletions || tp->corpses || tp->endings;
}
