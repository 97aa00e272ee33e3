// SPDX-License-Identifier: GPL-2.0-only
/* cmd_history.c - what was recorded: events by time, device, process and all filters. */
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "commands.h"
#include "cursor.h"
#include "diag.h"
#include "history.h"
#include "netns.h"
#include "options.h"
#include "out.h"
#include "past.h"

static const char help[] =
	"Usage: tapwatch history [OPTION...]\n\n"
	"Prints the events that 'tapwatch record' wrote, oldest first. Needs no privileges but permission to\n"
	"read the file. Times are as in journalctl: 2026-11-17 03:12, 03:12, today, yesterday, -2h30min,\n"
	"5min ago, @1795317120. Exit status 1 when nothing matched.\n";

#define FOLLOWED_LINES 10	/* of the past, before following, as journalctl has it */
#define FOLLOW_POLL_MS 1000	/* for what inotify does not tell, as on network file systems */
#define MOST_LINES 100000	/* of --lines that are sorted in memory; more are printed as they come */

struct run {
	struct options o;
	struct history_reader *reader;
	struct history_query query;
	const char **ifnames;
	struct out_text text;
	bool about_objects;	/* there are filters that lines about the recorder do not fit */
	uint64_t examined;	/* --follow: seq up to which all was looked at */
	uint64_t printed;
	uint64_t matched;	/* of these, what the user asked for */
	struct cursor cursor;	/* of the youngest that was printed */
	uint64_t *newest;	/* of --lines: seqs, the youngest first */
	size_t n_newest;
	int write_error;
};

/* ---- one event ---- */

static bool is_run_event(enum event_kind kind)
{
	return kind == EV_READY || kind == EV_LOST || kind == EV_RESYNC || kind == EV_GAP;
}

static bool wanted(const struct run *r, const struct event *event)
{
	const struct options *o = &r->o;

	if (o->since_ns && event->realtime_ns < o->since_ns)
		return false;
	if (o->until_ns && event->realtime_ns > o->until_ns)
		return false;
	if (event->change->event == EV_READY && o->quiet && !o->json)
		return false;
	return filter_match(o->filter, event);
}

static int print(struct run *r, const struct event *event)
{
	r->write_error = r->o.json ? out_json(stdout, event) : out_text(&r->text, stdout, event);
	r->printed++;
	r->matched += !(r->about_objects && is_run_event(event->change->event));
	if (event->seq >= r->cursor.seq)
		cursor_of(&r->cursor, event);
	return r->write_error;
}

static int on_event(void *ctx, const struct event *event)
{
	struct run *r = ctx;

	r->examined = event->seq;
	if (!wanted(r, event))
		return 0;
	if (print(r, event))
		return r->write_error;
	return r->o.limited && r->printed >= r->o.lines;
}

static int remember(void *ctx, const struct event *event)
{
	struct run *r = ctx;

	if (wanted(r, event))
		r->newest[r->n_newest++] = event->seq;
	return r->n_newest >= r->o.lines;
}

/* ---- which events ---- */

/* An index helps where interfaces are named. 0 or -ENOMEM. */
static int choose_names(struct run *r)
{
	static const enum event_kind run_events[] = { EV_READY, EV_LOST, EV_RESYNC, EV_GAP };
	bool any = false;
	size_t n = 0;

	while (filter_value(r->o.filter, FILTER_IFNAME, n))
		n++;
	for (size_t i = 0; i < sizeof(run_events) / sizeof(run_events[0]); i++) {
		struct change change = { .event = run_events[i], .fd = -1 };
		struct event event = { .change = &change };

		any |= filter_match(r->o.filter, &event);
	}
	r->query.no_run_events = !any;
	r->ifnames = n ? calloc(n, sizeof(*r->ifnames)) : NULL;
	if (n && !r->ifnames)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		r->ifnames[i] = filter_value(r->o.filter, FILTER_IFNAME, i);
	r->query.ifnames = r->ifnames;
	r->query.n_ifnames = n;
	return 0;
}

static void narrow(struct history_query *query, uint64_t first, uint64_t last)
{
	if (first > query->first)
		query->first = first;
	if (last && (!query->last || last < query->last))
		query->last = last;
}

static int choose_boot(struct run *r)
{
	const struct history_boot *boot;
	struct history_boot *boots;
	size_t n;
	int err;

	if (!r->o.boot || !strcmp(r->o.boot, "all"))
		return 0;
	err = history_boots(r->reader, &boots, &n);
	if (err)
		return err;
	boot = boot_find(boots, n, r->o.boot);
	err = boot ? 0 : -ESRCH;
	if (!boot) {
		warn_msg("no boot '%s' in %s; it has %zu", r->o.boot, r->o.db, n);
	} else if (r->o.follow && boot != &boots[n - 1]) {
		warn_msg("boot '%s' is over: nothing more can follow", r->o.boot);
		err = -ESRCH;
	} else {
		narrow(&r->query, boot->first, boot->last);
	}
	free(boots);
	return err;
}

/* -ENODATA: there are none. */
static int choose_times(struct run *r)
{
	uint64_t first, last;
	int err;

	if (!r->o.since_ns && !r->o.until_ns)
		return 0;
	err = history_range(r->reader, r->o.since_ns, r->o.until_ns, &first, &last);
	if (!err)
		narrow(&r->query, first, r->o.follow ? 0 : last);
	return err;
}

/* 0; -ESRCH: it was said that it does not belong here. */
static int check_cursor(struct run *r, const struct cursor *cursor)
{
	struct event event;
	uint64_t first, last;
	int err = history_event(r->reader, cursor->seq, &event);

	if (!err && cursor_fits(cursor, &event))
		return 0;
	if (err && err != -ENOENT)
		return err;
	if (err && !history_bounds(r->reader, &first, &last) && cursor->seq < first) {
		if (cursor->seq + 1 < first)
			warn_msg("%" PRIu64 " events after the cursor are not kept any more", first - cursor->seq - 1);
		return 0;
	}
	warn_msg("the cursor is none of %s", r->o.db);
	return -ESRCH;
}

static int choose_cursor(struct run *r)
{
	struct cursor cursor = { 0 };
	int err = 0;

	if (r->o.after_cursor)
		err = cursor_parse(r->o.after_cursor, &cursor);
	else if (r->o.cursor_file)
		err = cursor_read(r->o.cursor_file, &cursor);
	if (err == -EINVAL)
		warn_msg("'%s' %s", r->o.after_cursor ? r->o.after_cursor : r->o.cursor_file,
			 r->o.after_cursor ? "is no cursor" : "holds no cursor");
	else if (err)
		warn_msg("cannot read %s: %s", r->o.cursor_file, strerror(-err));
	if (err)
		return -ESRCH;
	if (!cursor.seq)
		return 0;
	r->cursor = cursor;
	err = check_cursor(r, &cursor);
	if (!err)
		narrow(&r->query, cursor.seq + 1, 0);
	return err;
}

static int choose(struct run *r)
{
	int err = choose_names(r);

	if (!err)
		err = past_filter(r->reader, r->o.filter);
	if (!err)
		err = choose_cursor(r);
	if (!err)
		err = choose_boot(r);
	if (!err)
		err = choose_times(r);
	return err;
}

/* ---- showing ---- */

/* The newest ones, in their order. */
static int show_newest(struct run *r)
{
	struct history_query query = r->query;
	struct event event;
	int err;

	r->newest = calloc(r->o.lines + 1, sizeof(*r->newest));
	if (!r->newest)
		return -ENOMEM;
	query.reverse = true;
	err = r->o.lines ? history_each(r->reader, &query, remember, r) : 0;
	while (err >= 0 && !r->write_error && r->n_newest) {
		err = history_event(r->reader, r->newest[--r->n_newest], &event);
		if (!err)
			err = print(r, &event);
	}
	return err;
}

static int show(struct run *r)
{
	uint64_t first, last = 0;
	int err;

	/* what comes after this moment is for --follow */
	if (r->o.follow && !history_bounds(r->reader, &first, &last))
		narrow(&r->query, 0, last);
	r->query.reverse = r->o.reverse;
	if (r->o.limited && !r->o.oldest && !r->o.reverse && r->o.lines <= MOST_LINES)
		err = show_newest(r);
	else if (r->o.limited && !r->o.lines)
		err = 0;
	else
		err = history_each(r->reader, &r->query, on_event, r);
	r->examined = last;
	return err < 0 ? err : 0;
}

/* ---- following ---- */

/* A write to the database or its log; from the directory, for the log comes and goes. */
static int watch_file(const char *path)
{
	char copy[PATH_MAX];
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	snprintf(copy, sizeof(copy), "%s", path);
	if (fd >= 0)
		inotify_add_watch(fd, dirname(copy), IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE);
	return fd;
}

static int follow_new(struct run *r)
{
	/* new ones are few: no index */
	struct history_query query = { .first = r->examined + 1 };
	int err = history_each(r->reader, &query, on_event, r);

	if (err >= 0 && fflush(stdout))
		err = r->write_error = errno ? -errno : -EIO;
	return err < 0 ? err : 0;
}

static int64_t now_ms(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
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

/* False: it is over. */
static bool wait_for_more(struct pollfd fds[3], int64_t end_ms)
{
	int64_t left = end_ms ? end_ms - now_ms() : FOLLOW_POLL_MS;
	char events[4096];

	if (left <= 0)
		return false;
	if (poll(fds, 3, (int)(left < FOLLOW_POLL_MS ? left : FOLLOW_POLL_MS)) < 0 && errno != EINTR)
		return false;
	while (fds[1].fd >= 0 && read(fds[1].fd, events, sizeof(events)) > 0)
		;
	/* a reader that goes away ends us at once */
	return !fds[0].revents && !(fds[2].revents & (POLLERR | POLLHUP));
}

static int follow(struct run *r)
{
	struct pollfd fds[3] = {
		{ .fd = open_signals(), .events = POLLIN },
		{ .fd = watch_file(r->o.db), .events = POLLIN },
		{ .fd = STDOUT_FILENO, .events = 0 },
	};
	int64_t end_ms = r->o.duration_ns ? now_ms() + (int64_t)(r->o.duration_ns / 1000000) : 0;
	int64_t version = -1;
	int err = fflush(stdout) ? -errno : 0;
	bool more = true;

	r->o.limited = false;
	while (!err && more) {
		int64_t now = history_version(r->reader);

		if (now < 0)
			err = (int)now;
		else if (now != version)
			err = follow_new(r);
		version = now;
		if (!err)
			more = wait_for_more(fds, end_ms);
	}
	/* what was written before the end is told */
	if (!err)
		err = follow_new(r);
	for (int i = 0; i < 2; i++)
		if (fds[i].fd >= 0)
			close(fds[i].fd);
	return err;
}

/* ---- the end ---- */

static int tell_cursor(struct run *r)
{
	char text[CURSOR_LEN];
	int err = 0;

	if (!r->cursor.seq)
		return 0;
	cursor_text(&r->cursor, text);
	if (r->o.show_cursor && printf(r->o.json ? "{\"cursor\":\"%s\"}\n" : "-- cursor: %s\n", text) < 0)
		r->write_error = errno ? -errno : -EIO;
	if (r->o.cursor_file)
		err = cursor_write(r->o.cursor_file, &r->cursor);
	if (err)
		warn_msg("cannot write %s: %s", r->o.cursor_file, strerror(-err));
	return err ? -ESRCH : 0;
}

static int finish(struct run *r, int err)
{
	if (!err)
		err = tell_cursor(r);
	if (!r->write_error && (fflush(stdout) || ferror(stdout)))
		r->write_error = errno ? -errno : -EIO;
	/* a reader that has seen enough is no failure */
	if (r->write_error == -EPIPE)
		return EXIT_FINE;
	if (r->write_error) {
		warn_msg("cannot write to standard output: %s", strerror(-r->write_error));
		return EXIT_FAILED;
	}
	/* it was said */
	if (err == -ESRCH)
		return EXIT_FAILED;
	if (err && err != -ENODATA)
		return past_failed(&r->o, err);
	return r->matched || r->o.follow ? EXIT_FINE : EXIT_FAILED;
}

static int history(struct run *r)
{
	int err;

	r->text = (struct out_text){
		.heading = !r->o.noheadings && !r->o.quiet,
		.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
		.date = true,
		.init_netns = netns_initial(),
	};
	for (int kind = 0; kind < FILTER_MAX; kind++)
		r->about_objects |= kind != FILTER_EVENT && filter_has(r->o.filter, (enum filter_kind)kind);
	r->reader = past_open(&r->o);
	if (!r->reader)
		return EXIT_FAILED;
	if (r->o.follow && !r->o.limited && !r->o.since_ns && !r->o.after_cursor && !r->o.cursor_file) {
		r->o.limited = true;
		r->o.lines = FOLLOWED_LINES;
	}
	/* one state of the database for all of it, but not while waiting */
	err = history_reader_begin(r->reader);
	if (!err) {
		err = choose(r);
		if (!err)
			err = show(r);
		history_reader_end(r->reader);
	}
	if (r->o.follow && !r->write_error && (!err || err == -ENODATA))
		err = follow(r);
	return finish(r, err);
}

static int check_options(const struct options *o, int argc, char **argv)
{
	static const char name[] = "history";

	if (o->first_operand < argc)
		return usage_error(name, "unexpected argument '%s'", argv[o->first_operand]);
	if (o->follow && o->reverse)
		return usage_error(name, "--follow and --reverse exclude each other");
	if (o->follow && o->until_ns)
		return usage_error(name, "--follow and --until exclude each other");
	if (o->oldest && (o->reverse || o->follow))
		return usage_error(name, "--lines +N does not go with --%s", o->reverse ? "reverse" : "follow");
	if (o->since_ns && o->until_ns && o->since_ns > o->until_ns)
		return usage_error(name, "--since is after --until");
	if (o->after_cursor && o->cursor_file)
		return usage_error(name, "--after-cursor and --cursor-file exclude each other");
	if (o->duration_ns && !o->follow)
		return usage_error(name, "--duration is for --follow");
	return -1;
}

int cmd_history(int argc, char **argv)
{
	struct run r = { 0 };
	int status = options_parse(&r.o, OPT_FILTERS | OPT_JSON | OPT_HISTORY | OPT_NOISE | OPT_DURATION, argc, argv,
				   help);

	if (status >= 0)
		return status;
	status = check_options(&r.o, argc, argv);
	if (status < 0)
		status = history(&r);
	history_reader_close(r.reader);
	free(r.newest);
	free(r.ifnames);
	options_free(&r.o);
	return status;
}
