// SPDX-License-Identifier: GPL-2.0-only
/* machines.c - see machines.h. */
#include "machines.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* One machine's process. */
struct watched {
	struct watched *next, **pprev;
	int pidfd;
	uint32_t pid;
	uint64_t start_ns;
};

struct machines {
	struct vm_track *track;
	int epoll;
	struct watched *watched;
	const struct process_cache *processes;	/* during machines_see() */
	bool due;		/* notice and change are to be told */
	struct vm_notice notice;
	struct change change;
};

/* There may be thousands of machines, and an fd for each. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void unwatch(struct watched *w)
{
	*w->pprev = w->next;
	if (w->next)
		w->next->pprev = w->pprev;
	close(w->pidfd);
	free(w);
}

/* vm_watch_fn. pidfd_open(2): 5.3. */
static int watch(void *ctx, uint32_t pid, uint64_t start_ns)
{
	struct machines *m = ctx;
	struct watched *w = calloc(1, sizeof(*w));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = w };

	if (!w)
		return -ENOMEM;
	w->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	w->pid = pid;
	w->start_ns = start_ns;
	if (w->pidfd < 0) {
		free(w);
		return -errno;
	}
	w->next = m->watched;
	w->pprev = &m->watched;
	if (w->next)
		w->next->pprev = &w->next;
	m->watched = w;
	/* the pid may be another's by now: then its end says nothing */
	if (process_runs(m->processes, pid, start_ns) && !epoll_ctl(m->epoll, EPOLL_CTL_ADD, w->pidfd, &ev))
		return 0;
	unwatch(w);
	return -ESRCH;
}

struct machines *machines_new(void)
{
	struct machines *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	raise_fd_limit();
	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	m->track = vm_track_new();
	if (m->epoll < 0 || !m->track) {
		machines_free(m);
		return NULL;
	}
	vm_track_on_new(m->track, watch, m);
	return m;
}

void machines_free(struct machines *m)
{
	if (!m)
		return;
	while (m->watched)
		unwatch(m->watched);
	if (m->epoll >= 0)
		close(m->epoll);
	vm_track_free(m->track);
	free(m);
}

int machines_fd(const struct machines *m)
{
	return m->epoll;
}

void machines_see(struct machines *m, const struct process_cache *processes, struct event *event)
{
	const struct change *c = event->change;

	/* our own answer comes by here, too */
	if (c->event == EV_VM_START || c->event == EV_VM_STOP || !processes)
		return;
	m->processes = processes;
	m->due = vm_track_event(m->track, event, &m->notice);
	m->change = (struct change){
		.event = m->notice.event,
		.has = c->has & (CH_TASK | CH_FD | CH_SEED),
		.time_ns = c->time_ns,
		.task = c->task, .fd = c->fd, .dev = c->dev, .file = c->file,
	};
}

static uint64_t boottime_ns(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

bool machines_ended(struct machines *m, const struct change **change, const struct vm_notice **notice)
{
	struct epoll_event ev;

	while (epoll_wait(m->epoll, &ev, 1, 0) == 1) {
		struct watched *w = ev.data.ptr;
		bool told = vm_track_ended(m->track, w->pid, w->start_ns, &m->notice);

		unwatch(w);
		if (!told)
			continue;
		m->change = (struct change){
			.event = EV_VM_STOP, .has = CH_TASK, .time_ns = boottime_ns(), .task = &m->notice.task, .fd = -1,
		};
		*change = &m->change;
		*notice = &m->notice;
		return true;
	}
	return false;
}

bool machines_next(struct machines *m, const struct change **change, const struct vm_notice **notice)
{
	bool due = m->due;

	m->due = false;
	*change = &m->change;
	*notice = &m->notice;
	return due;
}
