// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "live.h"
#include "rtnl.h"
#include "runtime.h"
#include "seed.h"
#include "tp.h"

#define NSEC_PER_MSEC 1000000ULL
#define RESYNC_PAUSE_NS (200 * NSEC_PER_MSEC)	/* between two resyncs under a lasting storm */
#define REVIEW_NS (800 * NSEC_PER_MSEC)		/* what is in doubt is looked at when it was quiet so long, */
#define REVIEW_AT_LATEST_NS (2000 * NSEC_PER_MSEC) /* or had no rest for so long */
#define SKIPPED_NS (1000 * NSEC_PER_MSEC)	/* calls of hooks that the kernel skipped are asked for so often */
#define FRESH_HOLDERS_NS (100 * NSEC_PER_MSEC)	/* between two looks at who holds a busy device */

struct live {
	struct tracer *t;
	struct tp *tp;			/* tracepoint backend only */
	struct runtime *runtime;	/* NULL: nobody can ask us */
	struct bindings *b;
	struct live_options options;
	change_fn sink;
	void *ctx;
	int epoll, timer;
	uint64_t lost_told;		/* of tracer_lost() */
	uint64_t sure_ns;		/* up to then nothing was lost since the last resync */
	uint64_t fact_ns;		/* time of the last fact that was read */
	bool lossy;			/* `lost` was told, no resync yet */
	uint64_t resynced_ns, holders_ns;
	uint64_t skipped, skipped_ns;	/* of tracer_skipped(), and when it was asked */
	uint64_t wake_ns;		/* the timer is set to; 0: not set */
	uint64_t doubt_ns;		/* when what is to be reviewed changed last; 0: nothing is */
	uint64_t doubtful_ns;		/* when it changed first since the last review */
	uint64_t loose;			/* files that nobody holds, and whose end was not told */
	bool resync, reload;
	bool quiet_resync;		/* nothing was lost: tell only what it finds */
	struct bindings *holders;	/* scratch: who holds what, at holders_ns */
	int error;			/* first failure inside a callback */
	struct live_stats stats;
};

/* --- changes on their way out --- */

struct held_by {
	const struct hold *holds[64];
	const struct device *dev;
	size_t n;
};

static int collect_hold(void *ctx, const struct hold *hold)
{
	struct held_by *h = ctx;

	if (hold->file->dev == h->dev && h->n < 64)
		h->holds[h->n++] = hold;
	return h->n == 64;
}

static int by_pid_fd(const void *a, const void *b)
{
	const struct hold *x = *(const struct hold *const *)a, *y = *(const struct hold *const *)b;

	if (x->task.pid != y->task.pid)
		return x->task.pid < y->task.pid ? -1 : 1;
	return x->fd - y->fd;
}

/*
 * Somebody was refused a device: who holds it? The state knows the fds that
 * it saw come; a fresh look also knows those that came by fork or over a
 * socket.
 */
static void tell_attach_failed(struct live *l, const struct change *change)
{
	struct change fresh = *change;
	struct held_by h = { 0 };

	if (l->holders && (change->has & CH_REQUESTED) && change->file)
		h.dev = bindings_device_named(l->holders, change->file->f.socket_netns, change->requested);
	if (h.dev) {
		bindings_each_hold(l->holders, collect_hold, &h);
		qsort(h.holds, h.n, sizeof(h.holds[0]), by_pid_fd);
		fresh.held_by = h.holds;
		fresh.held_by_len = h.n;
	}
	l->sink(l->ctx, &fresh);
}

/* Seen as it happened, but for what the tables of processes tell? */
static bool is_about_device(const struct change *change)
{
	switch (change->event) {
	case EV_READY: case EV_EXIST: case EV_OPEN: case EV_HOLD: case EV_DROP: case EV_LOST: case EV_RESYNC:
		return false;
	default:
		return !(change->has & CH_SEED);
	}
}

static void doubt(struct live *l)
{
	uint64_t now = rtnl_boottime();

	if (!l->doubt_ns)
		l->doubtful_ns = now;
	l->doubt_ns = now;
}

/* A file that lost its last holder ends now, unless it is under way in a message or vhost-net has it. */
static void count_loose(struct live *l, const struct change *change)
{
	const struct file *file = change->file;

	if (change->event == EV_DROP && file->holders == 1 && !file->vhost_queues) {
		l->loose++;
		doubt(l);
	} else if (l->loose && (change->event == EV_RELEASE || (change->event == EV_HOLD && file->holders == 1))) {
		l->loose--;
	}
}

static void on_change(void *ctx, const struct change *change)
{
	struct live *l = ctx;

	if (l->tp)
		tp_change(l->tp, change);
	count_loose(l, change);
	if (l->tp && is_about_device(change))
		doubt(l);
	if (change->event == EV_ATTACH_FAILED)
		tell_attach_failed(l, change);
	else
		l->sink(l->ctx, change);
}

static void no_change(void *ctx, const struct change *change)
{
	(void)ctx;
	(void)change;
}

static void look_who_holds(struct live *l, uint64_t now)
{
	if (!tracer_can_scan(l->t) || (l->holders && now - l->holders_ns < FRESH_HOLDERS_NS))
		return;
	bindings_free(l->holders);
	l->holders = bindings_new(no_change, NULL);
	l->holders_ns = now;
	if (l->holders && seed_holders(l->t, l->holders) < 0) {
		bindings_free(l->holders);
		l->holders = NULL;
	}
}

/* --- facts on their way in --- */

static void tell_count(struct live *l, enum event_kind event, uint64_t count, uint64_t time_ns)
{
	struct change change = {
		.event = event,
		.has = CH_COUNT,
		.time_ns = time_ns,
		.fd = -1,
		.count = count,
	};

	bindings_tell(l->b, &change);
}

static void tell_lost(struct live *l, uint64_t count)
{
	tell_count(l, EV_LOST, count, l->sure_ns);
	l->lossy = true;
	l->resync = true;
	l->quiet_resync = false;
}

/*
 * Facts that found no room in the ring: say so at once, look afresh soon. When
 * they were lost is not known, but since when they may have been: from then on
 * all is in doubt until the resync, also what facts tell that had found room
 * before. So the first `lost` is dated then, and told before what is younger.
 */
static void notice_loss(struct live *l)
{
	uint64_t lost = tracer_lost(l->t);

	if (lost == l->lost_told)
		return;
	tell_lost(l, lost - l->lost_told);
	l->stats.lost += lost - l->lost_told;
	l->lost_told = lost;
}

static int on_fact(void *ctx, const struct tw_event *fact)
{
	struct live *l = ctx;
	int err;

	/* more that is lost meanwhile is told when all is read */
	if (!l->lossy)
		notice_loss(l);
	if (!l->lossy && fact->time_ns > l->sure_ns)
		l->sure_ns = fact->time_ns;
	l->stats.facts++;
	l->fact_ns = fact->time_ns;
	if (fact->type == TW_MODULE) {
		l->reload = true;
		return 0;
	}
	if (fact->type == TW_IOCTL && fact->ioctl.ret == -EBUSY)
		look_who_holds(l, rtnl_boottime());
	err = l->tp ? tp_fact(l->tp, fact) : bindings_apply(l->b, fact);
	/* a fact that makes no sense is counted by nobody's fault but ours: read afresh */
	if (err == -EINVAL || (fact->flags & TW_F_INEXACT))
		l->resync = true;
	else if (err && !l->error)
		l->error = err;
	return 0;
}

/* Wakes us then, or earlier if that was asked for before. */
static void wake_at(struct live *l, uint64_t at_ns)
{
	uint64_t now = rtnl_boottime(), delay = at_ns > now ? at_ns - now : 1;
	struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)(delay / 1000000000), .tv_nsec = (long)(delay % 1000000000) },
	};

	if (l->wake_ns && l->wake_ns <= at_ns)
		return;
	l->wake_ns = at_ns;
	timerfd_settime(l->timer, 0, &its, NULL);
}

static int drain(void *ctx);

static int resync(struct live *l)
{
	uint64_t now = rtnl_boottime();
	int told;

	if (now - l->resynced_ns < RESYNC_PAUSE_NS) {
		wake_at(l, l->resynced_ns + RESYNC_PAUSE_NS);
		return 0;
	}
	notice_loss(l);
	l->resync = false;
	l->lossy = false;
	l->sure_ns = now;
	l->resynced_ns = now;
	l->stats.resyncs++;
	told = l->quiet_resync ? seed_review(l->t, l->b, SCAN_RESYNC, drain, l) : seed_all(l->t, l->b, SCAN_RESYNC);
	if (told < 0)
		return told;
	if (told || !l->quiet_resync)
		tell_count(l, EV_RESYNC, (uint64_t)told, rtnl_boottime());
	l->quiet_resync = false;
	return 0;
}

/* What the hooks and rtnetlink have told by now. */
static int take_facts(struct live *l)
{
	uint64_t now = rtnl_boottime();
	int err = l->tp ? tp_collect(l->tp) : 0;

	if (err == -ENOBUFS) {
		tell_lost(l, 1); /* how many, the kernel does not say */
		err = 0;
	}
	if (!err)
		err = tracer_read(l->t, on_fact, l);
	if (err >= 0 && l->tp)
		err = tp_work(l->tp);
	if (err < 0)
		return err;
	notice_loss(l);
	if (!l->lossy && now > l->sure_ns)
		l->sure_ns = now;
	return l->error;
}

/*
 * All that was told before this call: what a scan has found is compared with
 * that. A fact that is read later would be older than what the scan found, and
 * could not tell how it came to be.
 */
static int drain(void *ctx)
{
	uint64_t now = rtnl_boottime();
	struct live *l = ctx;
	int err;

	do
		err = take_facts(l);
	while (!err && tracer_has_more(l->t) && l->fact_ns < now);
	return err;
}

/* What only a look at a process's tables can tell, and only then. */
static int rescan(struct live *l)
{
	uint64_t now = rtnl_boottime(), next;
	struct rescan want;
	int err;

	while (bindings_rescan_due(l->b, now, &want, &next)) {
		l->stats.rescans++;
		err = seed_tables(l->t, l->b, want.pid, drain, l);
		if (err < 0 && err != -ENOTSUP)
			return err;
	}
	if (next)
		wake_at(l, next);
	return 0;
}

/*
 * What rtnetlink tells carries no time, and a call is seen only when it has
 * returned, some RCU grace periods later: under load the two can be put
 * together in the wrong order. So when devices have come to rest, all is
 * looked at once; what differs is told as found. Where they never do, that is
 * done all the same, and again. With every backend, a file that nobody holds
 * and whose end was not told is reason to look, and so is a device that its file
 * has left.
 */
static int review(struct live *l)
{
	uint64_t now = rtnl_boottime(), due;
	int told;

	if (bindings_doubtful(l->b) && !l->doubt_ns)
		doubt(l);
	if (!l->tp && !l->loose && !bindings_doubtful(l->b))
		l->doubt_ns = 0;
	if (!l->doubt_ns || !tracer_can_scan(l->t) || l->options.seed == SEED_NONE)
		return 0;
	/* what waits for its cause to be told is not to be found first */
	if (l->tp && tp_waits(l->tp))
		l->doubt_ns = now;
	due = l->doubt_ns + REVIEW_NS;
	if (due > l->doubtful_ns + REVIEW_AT_LATEST_NS)
		due = l->doubtful_ns + REVIEW_AT_LATEST_NS;
	if (now < due) {
		wake_at(l, due);
		return 0;
	}
	l->doubt_ns = 0;
	l->stats.rescans++;
	told = seed_review(l->t, l->b, SCAN_REVIEW, drain, l);
	if (bindings_scan_pending(l->b))
		doubt(l);
	return told < 0 ? told : 0;
}

static int watch(int epoll, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/*
 * A driver came: its functions can be hooked now. The new programs are
 * attached before the old ones go; what both tell is told once, because a
 * repeated fact changes nothing.
 */
static int reload(struct live *l)
{
	struct tracer_options options = {
		.backend = l->options.backend,
		.ring_bytes = l->options.ring_bytes,
		.after = l->t,
	};
	struct tracer *t;
	char err[256];
	int ret;

	l->reload = false;
	/* a change of backend would change what identity means */
	options.backend = tracer_backend(l->t);
	ret = tracer_open(&t, &options, err, sizeof(err));
	if (ret)
		return 0; /* the old programs go on */
	tracer_read(l->t, on_fact, l);
	notice_loss(l);
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, tracer_ring_fd(l->t), NULL);
	tracer_close(l->t);
	l->t = t;
	l->lost_told = 0;
	l->skipped = 0;
	l->quiet_resync = !l->resync;
	l->resync = true;
	return watch(l->epoll, tracer_ring_fd(t));
}

/*
 * Skipped calls may have been anybody's: most are of files that are none of
 * ours. So nothing is told to be lost, but all is looked at, and what differs
 * is told as found.
 */
static void notice_skipped(struct live *l)
{
	uint64_t now = rtnl_boottime(), skipped;

	if (now - l->skipped_ns >= SKIPPED_NS) {
		l->skipped_ns = now;
		skipped = tracer_skipped(l->t);
		if (skipped != l->skipped && !l->resync) {
			l->resync = true;
			l->quiet_resync = true;
		}
		l->stats.skipped += skipped - l->skipped;
		l->skipped = skipped;
	}
	wake_at(l, l->skipped_ns + SKIPPED_NS);
}

static int work(struct live *l)
{
	uint64_t ticks;
	int err;

	if (read(l->timer, &ticks, sizeof(ticks)) == sizeof(ticks))
		l->wake_ns = 0;
	if (l->runtime)
		runtime_work(l->runtime);
	err = take_facts(l);
	/* before a full look, which the facts that it takes may ask for */
	if (!err)
		err = rescan(l);
	if (!err && l->reload)
		err = reload(l);
	notice_skipped(l);
	if (!err && l->resync)
		err = resync(l);
	if (!err)
		err = review(l);
	return err;
}

int live_poll(struct live *l, int timeout_ms)
{
	struct epoll_event events[8];
	int n = epoll_wait(l->epoll, events, 8, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n ? work(l) : 0;
}

int live_fd(const struct live *l)
{
	return l->epoll;
}

/* --- start and end --- */

static int open_parts(struct live *l, char *err, size_t errsize)
{
	struct tracer_options options = {
		.backend = l->options.backend,
		.ring_bytes = l->options.ring_bytes,
	};
	int ret;

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	l->b = bindings_new(on_change, l);
	if (l->epoll < 0 || l->timer < 0 || !l->b) {
		snprintf(err, errsize, "cannot start: %s", strerror(errno ? errno : ENOMEM));
		return errno ? -errno : -ENOMEM;
	}
	if (l->options.first_device && l->options.first_file)
		bindings_ids_from(l->b, l->options.first_device, l->options.first_file);
	if (l->options.ids)
		bindings_id_source(l->b, l->options.ids);
	ret = tracer_open(&l->t, &options, err, errsize);
	if (ret)
		return ret;
	l->sure_ns = rtnl_boottime();
	if (tracer_backend(l->t) == BACKEND_TRACEPOINT) {
		bindings_late_closes(l->b);
		ret = tp_new(&l->tp, l->t, l->b);
		if (!ret)
			ret = watch(l->epoll, tp_fd(l->tp));
	}
	if (!ret)
		ret = watch(l->epoll, tracer_ring_fd(l->t));
	if (!ret)
		ret = watch(l->epoll, l->timer);
	if (ret)
		snprintf(err, errsize, "cannot listen to the kernel: %s", strerror(-ret));
	return ret;
}

static int seed(struct live *l, char *err, size_t errsize)
{
	struct seed_report report = { 0 };
	int ret;

	/* the others do not know files as live facts do: seed.h */
	if (l->options.seed == SEED_AUTO)
		l->options.seed = tracer_can_scan(l->t) ? SEED_ITER : SEED_NONE;
	if (l->options.seed == SEED_NONE) {
		tracer_seeded(l->t);
		return 0;
	}
	ret = seed_read(l->options.seed, l->t, l->b, SCAN_SEED, &report);
	if (ret < 0)
		snprintf(err, errsize, "cannot read the existing state: %s%s", report.reason,
			 ret == -ENOTSUP ? "; use --seed none" : "");
	else
		l->options.seed = report.used;
	tracer_seeded(l->t);
	seed_report_free(&report);
	return ret < 0 ? ret : 0;
}

int live_start(struct live **out, const struct live_options *options, change_fn sink, void *ctx,
	       char *err, size_t errsize)
{
	struct live *l = calloc(1, sizeof(*l));
	struct change ready = { .event = EV_READY, .fd = -1 };
	int ret;

	*out = NULL;
	if (!l) {
		snprintf(err, errsize, "cannot start: out of memory");
		return -ENOMEM;
	}
	l->options = *options;
	l->sink = sink;
	l->ctx = ctx;
	l->epoll = l->timer = -1;
	ret = open_parts(l, err, errsize);
	if (!ret)
		ret = seed(l, err, errsize);
	if (ret) {
		live_free(l);
		return ret;
	}
	*out = l;
	/* a convenience: without it, `who` knows less */
	if (!runtime_new(&l->runtime, l->b))
		watch(l->epoll, runtime_fd(l->runtime));
	ready.time_ns = rtnl_boottime();
	wake_at(l, ready.time_ns + SKIPPED_NS);
	bindings_tell(l->b, &ready);
	return 0;
}

void live_free(struct live *l)
{
	if (!l)
		return;
	runtime_free(l->runtime);
	tp_free(l->tp);
	tracer_close(l->t);
	bindings_free(l->holders);
	bindings_free(l->b);
	if (l->timer >= 0)
		close(l->timer);
	if (l->epoll >= 0)
		close(l->epoll);
	free(l);
}

const struct bindings *live_bindings(const struct live *l)
{
	return l->b;
}

enum backend live_backend(const struct live *l)
{
	return tracer_backend(l->t);
}

enum seed_backend live_seed(const struct live *l)
{
	return l->options.seed;
}

const struct tracer *live_tracer(const struct live *l)
{
	return l->t;
}

struct live_stats live_stats(const struct live *l)
{
	struct live_stats stats = l->stats;

	stats.guards = tracer_guards(l->t);
	return stats;
}
