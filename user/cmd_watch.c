// SPDX-License-Identifier: GPL-2.0-only
/* cmd_watch.c - the live event stream. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "commands.h"
#include "diag.h"
#include "event.h"
#include "live.h"
#include "loader.h"
#include "netns.h"
#include "options.h"
#include "out.h"
#include "privilege.h"

static const char help[] =
	"Usage: tapwatch watch [OPTION...]\n\n"
	"Prints every TUN/TAP device and every fd bound to one, then each change as it happens, until\n"
	"SIGINT or SIGTERM. Devices of all network namespaces are seen.\n";

struct watch {
	struct options options;
	struct live *live;
	struct event_context context;
	struct out_text text;
	struct hook_state *hooks;
	struct ready_info ready;
	int write_error;	/* negative errno of standard output */
};

/* --- output --- */

static size_t collect_hooks(struct watch *w)
{
	const struct hook_result *results = tracer_hooks(live_tracer(w->live));
	size_t n = 0;

	w->hooks = calloc(hooks_len + 1, sizeof(*w->hooks));
	for (size_t i = 0; w->hooks && i < hooks_len; i++) {
		if (!hook_of(i, live_backend(w->live)))
			continue;
		w->hooks[n].name = hooks[i].name;
		w->hooks[n++].state = results[i].alternative >= 0 ? "on" : results[i].reason;
	}
	if (w->hooks && live_backend(w->live) == BACKEND_TRACEPOINT)
		w->hooks[n++] = (struct hook_state){ "rtnetlink", "on" };
	return n;
}

static void fill_ready(struct watch *w, struct event *event)
{
	w->ready.n_hooks = collect_hooks(w);
	w->ready.hooks = w->hooks;
	w->ready.backend = backend_name(live_backend(w->live));
	w->ready.seed = seed_name(live_seed(w->live));
	event->ready = &w->ready;
}

static void on_change(void *ctx, const struct change *change)
{
	struct watch *w = ctx;
	struct event event;

	if (w->write_error)
		return;
	if (w->live)
		w->context.backend = backend_name(live_backend(w->live));
	event_enrich(&w->context, change, &event);
	if (change->event == EV_READY)
		fill_ready(w, &event);
	if (!filter_match(w->options.filter, &event))
		return;
	if (change->event == EV_READY && w->options.quiet && !w->options.json)
		return;
	w->write_error = w->options.json ? out_json(stdout, &event) : out_text(&w->text, stdout, &event);
	if (!w->write_error && fflush(stdout))
		w->write_error = -errno;
}

static int prepare_output(struct watch *w)
{
	w->context.processes = process_cache_new("/proc");
	w->context.netns = netns_names_new();
	if (!w->context.processes || !w->context.netns)
		return -ENOMEM;
	event_boot_id(w->context.boot_id);
	w->text.heading = !w->options.noheadings && !w->options.quiet;
	w->text.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	w->text.init_netns = netns_initial();
	return 0;
}

/* --- waiting --- */

enum { ON_LIVE, ON_SIGNAL, ON_TIMER, ON_STDOUT };

static int watch_fd(int epoll, int fd, uint32_t events, int tag)
{
	struct epoll_event ev = { .events = events, .data.u32 = (uint32_t)tag };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int open_timer(uint64_t ns)
{
	struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) },
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (fd >= 0 && timerfd_settime(fd, 0, &its, NULL)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int loop(struct watch *w, int epoll)
{
	struct epoll_event events[4];
	int err = 0;

	while (!err && !w->write_error) {
		int n = epoll_wait(epoll, events, 4, -1);
		bool end = false;

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			end |= events[i].data.u32 != ON_LIVE;
		/* also before the end: what happened before it is told */
		if (n > 0)
			err = live_poll(w->live, 0);
		if (end)
			break;
	}
	return err;
}

static int run(struct watch *w, int signals)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), timer = -1, err;

	if (epoll < 0)
		return -errno;
	err = watch_fd(epoll, live_fd(w->live), EPOLLIN, ON_LIVE);
	if (!err)
		err = watch_fd(epoll, signals, EPOLLIN, ON_SIGNAL);
	if (!err && w->options.duration_ns) {
		timer = open_timer(w->options.duration_ns);
		err = timer < 0 ? -errno : watch_fd(epoll, timer, EPOLLIN, ON_TIMER);
	}
	/* a reader that goes away ends us at once, not with the next event; files cannot be polled */
	watch_fd(epoll, STDOUT_FILENO, 0, ON_STDOUT);
	if (!err)
		err = loop(w, epoll);
	if (timer >= 0)
		close(timer);
	close(epoll);
	return err;
}

static void tell_stats(const struct watch *w)
{
	struct live_stats stats = live_stats(w->live);

	if (w->options.verbose)
		warn_msg("%" PRIu64 " facts from the kernel, %" PRIu64 " lost, %" PRIu64 " resyncs, %" PRIu64
			 " rescans of file tables, %" PRIu64 " failed checks", stats.facts, stats.lost,
			 stats.resyncs, stats.rescans, stats.guards);
	else if (stats.lost && !w->options.quiet)
		warn_msg("%" PRIu64 " events were lost and made up for by %" PRIu64 " resyncs", stats.lost, stats.resyncs);
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static size_t ring_bytes(void)
{
	const char *word = getenv("TAPWATCH_RING_BYTES"); /* for tests of loss */

	return word ? strtoul(word, NULL, 10) : 0;
}

static bool module_missing(const struct watch *w)
{
	const struct hook_result *results = tracer_hooks(live_tracer(w->live));

	for (size_t i = 0; i < hooks_len; i++)
		if (hook_of(i, live_backend(w->live)) && results[i].alternative < 0 &&
		    strstr(results[i].reason, "is not loaded"))
			return true;
	return false;
}

static int watch_events(struct watch *w)
{
	struct live_options live = {
		.backend = w->options.backend, .seed = w->options.seed, .ring_bytes = ring_bytes(),
	};
	char err[512];
	int signals, ret;

	if (privilege_check(err, sizeof(err))) {
		warn_msg("%s", err);
		return EXIT_FAILED;
	}
	loader_log_setup(w->options.verbose);
	signals = open_signals();
	if (prepare_output(w) || signals < 0) {
		warn_msg("cannot start: %s", strerror(errno));
		return EXIT_FAILED;
	}
	if (live_start(&w->live, &live, on_change, w, err, sizeof(err))) {
		warn_msg("%s", err);
		return EXIT_FAILED;
	}
	ret = privilege_drop(module_missing(w));
	if (ret)
		warn_msg("cannot drop capabilities: %s; going on with all of them", strerror(-ret));
	ret = w->write_error ? 0 : run(w, signals);
	close(signals);
	tell_stats(w);
	/* a reader that has seen enough is no failure */
	if (!ret && w->write_error != -EPIPE)
		ret = w->write_error;
	if (ret)
		warn_msg("cannot %s: %s", w->write_error ? "write to standard output" : "go on", strerror(-ret));
	return ret ? EXIT_FAILED : EXIT_FINE;
}

int cmd_watch(int argc, char **argv)
{
	struct watch w = { 0 };
	int status = options_parse(&w.options, OPT_FILTERS | OPT_JSON | OPT_BACKEND | OPT_SEED | OPT_DURATION |
				   OPT_NOISE | OPT_NOHEADINGS, argc, argv, help);

	if (status >= 0)
		return status;
	if (w.options.first_operand < argc)
		status = usage_error("watch", "unexpected argument '%s'", argv[w.options.first_operand]);
	else
		status = watch_events(&w);
	live_free(w.live);
	free(w.hooks);
	process_cache_free(w.context.processes);
	netns_names_free(w.context.netns);
	options_free(&w.options);
	return status;
}
