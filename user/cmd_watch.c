// SPDX-License-Identifier: GPL-2.0-only
/* cmd_watch.c - the live event stream. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "diag.h"
#include "event.h"
#include "machines.h"
#include "netns.h"
#include "options.h"
#include "out.h"
#include "privilege.h"
#include "stream.h"

static const char help[] =
	"Usage: tapwatch watch [OPTION...]\n\n"
	"Prints every TUN/TAP device and every fd bound to one, then each change as it happens, until\n"
	"SIGINT or SIGTERM. Devices of all network namespaces are seen.\n";

struct watch {
	struct options options;
	struct stream stream;
	struct out_text text;
	int write_error;	/* negative errno of standard output */
};

/* --- output --- */

static void print_event(struct watch *w, const struct event *event)
{
	if (w->write_error || !filter_match(w->options.filter, event))
		return;
	if (event->change->event == EV_READY && w->options.quiet && !w->options.json)
		return;
	w->write_error = w->options.json ? out_json(stdout, event) : out_text(&w->text, stdout, event);
	if (!w->write_error && fflush(stdout))
		w->write_error = -errno;
}

static void on_change(void *ctx, const struct change *change)
{
	struct watch *w = ctx;
	struct event event;

	if (w->write_error)
		return;
	stream_event(&w->stream, change, &event);
	print_event(w, &event);
	if (event_follow(&w->stream.context, &event))
		print_event(w, &event);
}

static void tell_later(struct watch *w)
{
	struct event event;

	while (event_later(&w->stream.context, &event))
		print_event(w, &event);
}

static void prepare_output(struct watch *w)
{
	w->text.heading = !w->options.noheadings && !w->options.quiet;
	w->text.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	w->text.init_netns = netns_initial();
}

/* --- waiting --- */

enum { ON_LIVE, ON_MACHINES, ON_SIGNAL, ON_TIMER, ON_STDOUT };

static int loop(struct watch *w, int epoll)
{
	struct epoll_event events[5];
	int err = 0;

	while (!err && !w->write_error) {
		int n = epoll_wait(epoll, events, 5, -1);
		bool end = false;

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			end |= events[i].data.u32 > ON_MACHINES;
		/* also before the end: what happened before it is told */
		if (n > 0)
			err = live_poll(w->stream.live, 0);
		if (!err)
			tell_later(w);
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
	err = stream_wait_for(epoll, live_fd(w->stream.live), EPOLLIN, ON_LIVE);
	if (!err)
		err = stream_wait_for(epoll, machines_fd(w->stream.context.machines), EPOLLIN, ON_MACHINES);
	if (!err)
		err = stream_wait_for(epoll, signals, EPOLLIN, ON_SIGNAL);
	if (!err && w->options.duration_ns) {
		timer = stream_timer(w->options.duration_ns, 0);
		err = timer < 0 ? timer : stream_wait_for(epoll, timer, EPOLLIN, ON_TIMER);
	}
	/* a reader that goes away ends us at once, not with the next event; files cannot be polled */
	stream_wait_for(epoll, STDOUT_FILENO, 0, ON_STDOUT);
	if (!err)
		err = loop(w, epoll);
	if (timer >= 0)
		close(timer);
	close(epoll);
	return err;
}

static int watch_events(struct watch *w)
{
	static const int ends[] = { SIGINT, SIGTERM, 0 };
	char err[512];
	int signals, ret;

	if (stream_prepare(&w->stream, &w->options, err, sizeof(err))) {
		warn_msg("%s", err);
		return EXIT_FAILED;
	}
	prepare_output(w);
	signals = stream_signals(ends);
	if (signals < 0) {
		warn_msg("cannot start: %s", strerror(-signals));
		return EXIT_FAILED;
	}
	if (stream_start(&w->stream, &w->options, NULL, on_change, w, err, sizeof(err))) {
		warn_msg("%s", err);
		return EXIT_FAILED;
	}
	ret = privilege_drop(stream_module_missing(&w->stream));
	if (ret)
		warn_msg("cannot drop capabilities: %s; going on with all of them", strerror(-ret));
	ret = w->write_error ? 0 : run(w, signals);
	close(signals);
	stream_tell_stats(&w->stream, &w->options);
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
	stream_free(&w.stream);
	options_free(&w.options);
	return status;
}
