// SPDX-License-Identifier: GPL-2.0-only
/* machines.c - see machines.h. */
#include "machines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "netns.h"
#include "packets.h"
#include "rtnl.h"

#define SEARCH_NS 2000000000ULL	/* between two searches for a namespace that was not found */

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
	/* first packets of young machines */
	struct packets *packets;
	int timer;
	uint64_t wake_ns;	/* it is set to; 0: not set */
	uint64_t turn_ns;	/* looks that are due then are being made; 0: none are */
	uint32_t own_netns;
	struct change counted[2]; /* what the last look told, and has not been passed on */
	size_t n_counted, passed_on;
	int socket;		/* for looks, during one turn; -1: none */
	uint32_t socket_netns;
};

static uint64_t boottime_ns(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}


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

/* vm_got_fn */
static void got_device(void *ctx, const struct event *event, bool first)
{
	const struct change *c = event->change;
	struct machines *m = ctx;

	packets_begin(m->packets, c->dev, event->process ? event->process->vm_pid : 0, first, c->time_ns);
}

static int open_parts(struct machines *m)
{
	/* NULL: this one is the timer */
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

	m->track = vm_track_new();
	m->packets = packets_new();
	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	m->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!m->track || !m->packets || m->epoll < 0 || m->timer < 0)
		return -ENOMEM;
	netns_self(&m->own_netns);
	return epoll_ctl(m->epoll, EPOLL_CTL_ADD, m->timer, &ev);
}

struct machines *machines_new(void)
{
	struct machines *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	raise_fd_limit();
	m->epoll = m->timer = m->socket = -1;
	if (open_parts(m)) {
		machines_free(m);
		return NULL;
	}
	vm_track_on_new(m->track, watch, m);
	vm_track_on_device(m->track, got_device, m);
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
	if (m->timer >= 0)
		close(m->timer);
	packets_free(m->packets);
	vm_track_free(m->track);
	free(m);
}

int machines_fd(const struct machines *m)
{
	return m->epoll;
}

/* ---- first packets ---- */

static void wake_for_packets(struct machines *m)
{
	uint64_t next = packets_next(m->packets);
	struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)(next / 1000000000), .tv_nsec = (long)(next % 1000000000) },
	};

	if (next == m->wake_ns)
		return;
	m->wake_ns = next;
	timerfd_settime(m->timer, TFD_TIMER_ABSTIME, &its, NULL);
}

static void begin_looks(struct machines *m)
{
	uint64_t ticks;

	if (read(m->timer, &ticks, sizeof(ticks)) == sizeof(ticks))
		m->wake_ns = 0;
	m->turn_ns = boottime_ns();
}

/* A socket keeps its namespace alive: none is left open after a turn. */
static void close_socket(struct machines *m)
{
	if (m->socket >= 0)
		close(m->socket);
	m->socket = -1;
	m->socket_netns = 0;
}

static int open_socket(struct machines *m, const struct packets_look *look)
{
	uint32_t inode = look->dev->d.netns;
	bool search = !*look->searched_ns || m->turn_ns - *look->searched_ns >= SEARCH_NS;
	int netns = -1;

	close_socket(m);
	if (inode != m->own_netns) {
		netns = netns_open_inode(inode, (pid_t)look->pid, search, look->place);
		if (netns < 0 && search)
			*look->searched_ns = m->turn_ns;
		if (netns < 0)
			return netns;
	}
	m->socket = rtnl_open(netns);
	m->socket_netns = inode;
	if (netns >= 0)
		close(netns);
	return m->socket;
}

/* The device is found by its number in its namespace: another may have that by now, and the event is on its way. */
static bool is_it(const struct device *dev, const struct tw_event *link)
{
	return !strncmp(dev->d.ifname, link->dev.ifname, TW_NAME_LEN) && dev->d.kind == link->dev.kind;
}

/* Reads the counters of one device. */
static void look_at(struct machines *m, const struct packets_look *look)
{
	const struct tw_dev *dev = &look->dev->d;
	struct packets_count count = { .before_ns = boottime_ns() };
	struct tw_event link;

	if (!dev->netns || !dev->ifindex)
		return;
	if ((m->socket < 0 || m->socket_netns != dev->netns) && open_socket(m, look) < 0)
		return;
	if (rtnl_link_counters(m->socket, dev->ifindex, &link, &count.rx, &count.tx) || !is_it(look->dev, &link))
		return;
	count.after_ns = boottime_ns();
	m->n_counted = packets_counted(m->packets, look, &count, m->counted);
	m->passed_on = 0;
}

/* What the last look told and has not been passed on; not of a machine that has ended meanwhile. */
static bool next_counted(struct machines *m)
{
	while (m->passed_on < m->n_counted) {
		m->change = m->counted[m->passed_on++];
		if (vm_track_owner(m->track, m->change.dev->id, &m->notice))
			return true;
	}
	return false;
}

/* Makes looks that are due, until one has something to tell. */
static bool next_packet(struct machines *m)
{
	struct packets_look look;
	bool told = next_counted(m);

	while (!told && m->turn_ns && packets_due(m->packets, m->turn_ns, &look)) {
		if (vm_track_owner(m->track, look.dev->id, &m->notice))
			look_at(m, &look);
		else
			packets_give_up(m->packets, &look);
		told = next_counted(m);
	}
	if (!told && m->turn_ns) {
		close_socket(m);
		wake_for_packets(m);
		m->turn_ns = 0;
	}
	return told;
}

/* ---- events ---- */

void machines_see(struct machines *m, const struct process_cache *processes, struct event *event)
{
	const struct change *c = event->change;

	/* our own answer comes by here, too */
	if (c->event == EV_VM_START || c->event == EV_VM_STOP || c->event == EV_FIRST_PACKET || !processes)
		return;
	m->processes = processes;
	packets_change(m->packets, c);
	m->due = vm_track_event(m->track, event, &m->notice);
	wake_for_packets(m);
	m->change = (struct change){
		.event = m->notice.event,
		.has = c->has & (CH_TASK | CH_FD | CH_SEED),
		.time_ns = c->time_ns,
		.task = c->task, .fd = c->fd, .dev = c->dev, .file = c->file,
	};
}

static bool next_ended(struct machines *m)
{
	struct epoll_event ev;

	while (epoll_wait(m->epoll, &ev, 1, 0) == 1) {
		struct watched *w = ev.data.ptr;
		bool told;

		if (!w) {
			begin_looks(m);
			continue;
		}
		told = vm_track_ended(m->track, w->pid, w->start_ns, &m->notice);
		unwatch(w);
		if (!told)
			continue;
		m->change = (struct change){
			.event = EV_VM_STOP, .has = CH_TASK, .time_ns = boottime_ns(), .task = &m->notice.task, .fd = -1,
		};
		return true;
	}
	return false;
}

bool machines_later(struct machines *m, const struct change **change, const struct vm_notice **notice)
{
	*change = &m->change;
	*notice = &m->notice;
	return next_ended(m) || next_packet(m);
}

bool machines_next(struct machines *m, const struct change **change, const struct vm_notice **notice)
{
	bool due = m->due;

	m->due = false;
	*change = &m->change;
	*notice = &m->notice;
	return due;
}
