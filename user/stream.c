// SPDX-License-Identifier: GPL-2.0-only
/* stream.c - see stream.h. */
#include "stream.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "diag.h"
#include "loader.h"
#include "machines.h"
#include "netns.h"
#include "privilege.h"

int stream_prepare(struct stream *s, const struct options *options, char *err, size_t errsize)
{
	int ret = privilege_check(err, errsize);

	if (ret)
		return ret;
	loader_log_setup(options->verbose);
	s->context.processes = process_cache_new("/proc");
	s->context.netns = netns_names_new();
	s->context.machines = machines_new();
	event_boot_id(s->context.boot_id);
	if (s->context.processes && s->context.netns && s->context.machines)
		return 0;
	snprintf(err, errsize, "cannot start: out of memory");
	return -ENOMEM;
}

static size_t ring_bytes(void)
{
	const char *word = getenv("TAPWATCH_RING_BYTES"); /* for tests of loss */

	return word ? strtoul(word, NULL, 10) : 0;
}

int stream_start(struct stream *s, const struct options *options, const struct live_options *more, change_fn sink,
		 void *ctx, char *err, size_t errsize)
{
	struct live_options live = more ? *more : (struct live_options){ 0 };

	live.backend = options->backend;
	live.seed = options->seed;
	if (ring_bytes())
		live.ring_bytes = ring_bytes();
	return live_start(&s->live, &live, sink, ctx, err, errsize);
}

void stream_free(struct stream *s)
{
	live_free(s->live);
	free(s->hooks);
	machines_free(s->context.machines);
	process_cache_free(s->context.processes);
	netns_names_free(s->context.netns);
}

bool stream_module_missing(const struct stream *s)
{
	const struct hook_result *results = tracer_hooks(live_tracer(s->live));

	for (size_t i = 0; i < hooks_len; i++)
		if (hook_of(i, live_backend(s->live)) && results[i].alternative < 0 &&
		    strstr(results[i].reason, "is not loaded"))
			return true;
	return false;
}

static size_t collect_hooks(struct stream *s)
{
	const struct hook_result *results = tracer_hooks(live_tracer(s->live));
	size_t n = 0;

	free(s->hooks);
	s->hooks = calloc(hooks_len + 1, sizeof(*s->hooks));
	for (size_t i = 0; s->hooks && i < hooks_len; i++) {
		if (!hook_of(i, live_backend(s->live)))
			continue;
		s->hooks[n].name = hooks[i].name;
		s->hooks[n++].state = results[i].alternative >= 0 ? "on" : results[i].reason;
	}
	if (s->hooks && live_backend(s->live) == BACKEND_TRACEPOINT)
		s->hooks[n++] = (struct hook_state){ "rtnetlink", "on" };
	return n;
}

void stream_event(struct stream *s, const struct change *change, struct event *event)
{
	if (s->live)
		s->context.backend = backend_name(live_backend(s->live));
	event_enrich(&s->context, change, event);
	if (change->event != EV_READY)
		return;
	s->ready.n_hooks = collect_hooks(s);
	s->ready.hooks = s->hooks;
	s->ready.backend = backend_name(live_backend(s->live));
	s->ready.seed = seed_name(live_seed(s->live));
	event->ready = &s->ready;
}

int stream_signals(const int *signals)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (; *signals; signals++)
		sigaddset(&set, *signals);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
}

int stream_timer(uint64_t ns, uint64_t interval_ns)
{
	struct itimerspec its = { .it_value = timespec_of(ns), .it_interval = timespec_of(interval_ns) };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (!timerfd_settime(fd, 0, &its, NULL))
		return fd;
	close(fd);
	return -errno;
}

int stream_wait_for(int epoll, int fd, uint32_t events, uint32_t number)
{
	struct epoll_event ev = { .events = events, .data.u32 = number };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

void stream_tell_stats(const struct stream *s, const struct options *options)
{
	struct live_stats stats = live_stats(s->live);

	if (options->verbose)
		warn_msg("%" PRIu64 " facts from the kernel, %" PRIu64 " lost, %" PRIu64 " resyncs, %" PRIu64
			 " rescans of file tables, %" PRIu64 " failed checks", stats.facts, stats.lost,
			 stats.resyncs, stats.rescans, stats.guards);
	else if (stats.lost && !options->quiet)
		warn_msg("%" PRIu64 " events were lost and made up for by %" PRIu64 " resyncs", stats.lost, stats.resyncs);
}
