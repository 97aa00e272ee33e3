// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_record.c - the audit recorder: every event into the history.
 *
 * At its start it reads from the database which objects the last run knew, so
 * that they keep their ids, and writes what differs from the present state.
 * The same is done after a time in which the database could not be written.
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "array.h"
#include "commands.h"
#include "diag.h"
#include "event.h"
#include "history.h"
#include "journal.h"
#include "machines.h"
#include "netns.h"
#include "notify.h"
#include "options.h"
#include "privilege.h"
#include "reconcile.h"
#include "replay.h"
#include "rows.h"
#include "sandbox.h"
#include "stream.h"

static const char help[] =
	"Usage: tapwatch record [OPTION...]\n\n"
	"Writes every event of every TUN/TAP device to the history database, until SIGINT or SIGTERM.\n"
	"To be run by a service manager. 'tapwatch history' reads what is recorded.\n";

/* Which address a file had, by its id: history_file_addresses(). */
struct file_address {
	uint64_t id, address;
};

/* The state as the database has it: what the last run knew, or this one before a failure. */
struct past {
	struct rows rows;
	bool same_boot;
	struct file_address *addresses;
	size_t n_addresses, room;
};

struct record {
	struct options options;
	struct stream stream;
	struct history *history;
	struct past past;
	bool started;		/* the existing state is dealt with */
	uint64_t ready_ns;	/* when it was read */
	bool stuck_told, journal_told;
	int notify;
};

/* --- events ------------------------------------------------------------------------------------ */

static void put(struct record *r, struct event *event)
{
	int err;

	history_put(r->history, event);
	/* where an event refers to earlier ones, it is by the numbers that the database gave them */
	r->stream.context.seq = history_last(r->history);
	if (!r->options.journal)
		return;
	event->seq = history_last(r->history);
	err = journal_send(event);
	if (err && !r->journal_told)
		warn_msg("cannot send an event to the journal: %s; not told again", strerror(-err));
	r->journal_told |= err;
}

static void on_change(void *ctx, const struct change *change)
{
	struct record *r = ctx;
	struct event event;

	/* what exists is compared with the past when all of it is known; but whose it is, is learnt here */
	if (!r->started) {
		if (change->event == EV_READY)
			r->ready_ns = change->time_ns;
		else
			stream_event(&r->stream, change, &event);
		return;
	}
	stream_event(&r->stream, change, &event);
	put(r, &event);
	if (event_follow(&r->stream.context, &event))
		put(r, &event);
}

static void put_later(struct record *r)
{
	struct event event;

	while (event_later(&r->stream.context, &event))
		put(r, &event);
}

static const struct process_info *describe(void *ctx, const struct tw_task *task)
{
	struct record *r = ctx;

	return process_lookup(r->stream.context.processes, task);
}

static const char *label(void *ctx, uint32_t netns)
{
	struct record *r = ctx;

	return netns_label(r->stream.context.netns, netns);
}

/* --- the past ------------------------------------------------------------------------------------- */

static int apply(void *ctx, const struct event *event)
{
	return replay_apply(ctx, event);
}

static int note_address(void *ctx, uint64_t id, uint64_t address)
{
	struct past *past = ctx;

	if (ARRAY_ROOM(past->addresses, past->room, past->n_addresses + 1))
		return -ENOMEM;
	past->addresses[past->n_addresses++] = (struct file_address){ id, address };
	return 0;
}

static int by_file(const void *a, const void *b)
{
	const struct file_address *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static void forget_past(struct past *past)
{
	rows_free(&past->rows);
	free(past->addresses);
	*past = (struct past){ 0 };
}

/* The state after the last event that is in the database. */
static int load_state(struct history_reader *reader, uint64_t last, struct rows *rows)
{
	struct history_query query = { .last = last };
	struct replay *replay = replay_new();
	int ret = -ENOMEM;

	if (replay)
		ret = history_snapshot(reader, last, &query.first, apply, replay);
	if (!ret && query.first <= last)
		ret = history_each(reader, &query, apply, replay);
	if (!ret)
		ret = replay_rows(replay, rows);
	replay_free(replay);
	return ret;
}

static int load_past(struct record *r)
{
	struct history_reader *reader = history_own_reader(r->history);
	struct past *past = &r->past;
	struct history_head head;
	int ret = history_head(reader, &head);

	if (ret)
		return ret;
	past->same_boot = head.seq && head.boot_id[0] && !strcmp(head.boot_id, r->stream.context.boot_id);
	if (!past->same_boot)
		return 0;
	ret = load_state(reader, head.seq, &past->rows);
	if (!ret)
		ret = history_file_addresses(reader, note_address, past);
	if (past->n_addresses)
		qsort(past->addresses, past->n_addresses, sizeof(past->addresses[0]), by_file);
	return ret;
}

/* --- ids ---------------------------------------------------------------------------------------------- */

/* The same device: at the same place in the same boot. Indexes are not used again while a namespace lives. */
static uint64_t old_device(void *ctx, const struct tw_dev *dev)
{
	const struct record *r = ctx;

	for (size_t i = 0; !r->started && i < r->past.rows.len; i++) {
		const struct row *row = &r->past.rows.row[i];

		if (row->device_id && (row->has & TW_HAS_DEV) && row->dev.netns == dev->netns &&
		    row->dev.ifindex == dev->ifindex && row->dev.kind == dev->kind &&
		    (!row->dev.netns_cookie || !dev->netns_cookie || row->dev.netns_cookie == dev->netns_cookie))
			return row->device_id;
	}
	return 0;
}

/* The last one noted of a file counts: they are sorted by id only. */
static bool had_address(const struct past *past, uint64_t id, uint64_t address)
{
	const struct file_address key = { id, 0 };
	const struct file_address *found = past->n_addresses ?
		bsearch(&key, past->addresses, past->n_addresses, sizeof(key), by_file) : NULL;

	return found ? found->address == address : !address;
}

/* The same file: at the same fd of the same process, and at the same place in the kernel. */
static uint64_t old_file(void *ctx, const struct tw_event *fact)
{
	const struct record *r = ctx;
	uint64_t address = 0;

	if (r->started || !(fact->has & TW_HAS_TASK))
		return 0;
	for (size_t i = 0; i < r->past.rows.len; i++) {
		const struct row *row = &r->past.rows.row[i];

		if (!row->file_id || !(row->has & TW_HAS_TASK) || row->task.pid != fact->task.pid ||
		    row->task.start_ns != fact->task.start_ns || row->fd != fact->fd)
			continue;
		if (!address)
			address = history_hash_address(history_own_reader(r->history), fact->file.addr);
		if (had_address(&r->past, row->file_id, address))
			return row->file_id;
	}
	return 0;
}

/* --- catching up ----------------------------------------------------------------------------------------- */

/* What a remembered row tells of somebody who may be gone. */
static void tell_past(struct event *event, const struct row *row, struct process_info *info)
{
	event->netns_name = row->netns_name;
	if (!event->change->task)
		return;
	*info = (struct process_info){
		.pid = row->task.pid, .start_ns = row->task.start_ns, .exe = row->exe, .cgroup = row->cgroup, .user = row->user,
	};
	memcpy(info->comm, row->task.comm, sizeof(info->comm));
	info->comm[TW_NAME_LEN - 1] = '\0';
	event->process = info;
	event->vm_type = row->vm_type;
	event->vm_name = row->vm_name;
	event->vm_uuid = row->vm_uuid;
	event->vm_manager = row->vm_manager;
}

static void on_difference(void *ctx, const struct change *change, const struct row *row)
{
	struct record *r = ctx;
	struct process_info info;
	struct event event;

	stream_event(&r->stream, change, &event);
	if (row)
		tell_past(&event, row, &info);
	put(r, &event);
}

static void put_gap(struct record *r, const struct gap_info *gap, uint64_t lost, int error, uint64_t time_ns)
{
	struct change change = { .event = EV_GAP, .fd = -1, .time_ns = time_ns, .count = lost, .error = -error };
	struct event event;

	if (lost)
		change.has |= CH_COUNT;
	if (error)
		change.has |= CH_ERRNO;
	stream_event(&r->stream, &change, &event);
	event.source = NULL;	/* no hook saw it */
	event.gap = gap;
	put(r, &event);
}

/* From the remembered state to the present one; then a snapshot, so that nothing is read across the gap. */
static int catch_up(struct record *r, uint64_t time_ns)
{
	int ret = reconcile(&r->past.rows, live_bindings(r->stream.live), time_ns, on_difference, r);

	forget_past(&r->past);
	return ret;
}

static int begin_recording(struct record *r)
{
	struct change ready = { .event = EV_READY, .fd = -1, .time_ns = r->ready_ns };
	struct history_head head;
	struct gap_info gap;
	struct event event;
	int ret = history_head(history_own_reader(r->history), &head);

	if (ret)
		return ret;
	if (head.seq) {
		gap = (struct gap_info){
			.reason = head.stopped ? "stopped" : "killed",
			.from_realtime_ns = head.realtime_ns, .from_boottime_ns = head.boottime_ns,
		};
		memcpy(gap.from_boot_id, head.boot_id, sizeof(gap.from_boot_id));
		put_gap(r, &gap, 0, 0, r->ready_ns);
	}
	r->stream.context.seq = history_last(r->history);
	ret = catch_up(r, r->ready_ns);
	r->started = true;
	stream_event(&r->stream, &ready, &event);
	put(r, &event);
	history_write_snapshot(r->history, live_bindings(r->stream.live));
	return ret ? ret : history_commit(r->history);
}

/* --- when writing fails ------------------------------------------------------------------------------------- */

static void tell_stuck(struct record *r, int error)
{
	char status[160];

	if (r->stuck_told)
		return;
	r->stuck_told = true;
	warn_msg("cannot write the history: %s; counting what is missed, and trying again every second", strerror(-error));
	snprintf(status, sizeof(status), "STATUS=Not recording: %s", strerror(-error));
	notify_send(r->notify, status);
}

static int resume(struct record *r)
{
	struct timespec now = { 0 };
	struct gap_info gap;
	uint64_t lost;
	int error = history_stuck(r->history, NULL), ret;

	if (!error)
		return 0;
	tell_stuck(r, error);
	if (error == -EUCLEAN)
		return error;
	if (history_resume(r->history, &gap, &lost))
		return 0;
	clock_gettime(CLOCK_BOOTTIME, &now);
	ret = load_past(r);
	if (ret)
		return ret;
	put_gap(r, &gap, lost, error, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	ret = catch_up(r, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	history_write_snapshot(r->history, live_bindings(r->stream.live));
	if (ret || history_commit(r->history))
		return ret;	/* stuck again: nothing was gained, nothing more is told */
	r->stuck_told = false;
	warn_msg("recording again: %" PRIu64 " %s missing", lost, lost == 1 ? "event is" : "events are");
	notify_send(r->notify, "STATUS=Recording");
	return 0;
}

/* --- waiting --------------------------------------------------------------------------------------------------- */

enum { ON_LIVE, ON_MACHINES, ON_HISTORY, ON_SIGNAL, ON_WATCHDOG, ON_END };

struct waits {
	int epoll, signals, watchdog, end;
};

/* True: it is to end. */
static bool take_signal(int fd)
{
	struct signalfd_siginfo info;

	/* SIGHUP has nothing to reload, and must not end us */
	while (read(fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGHUP)
			return true;
	return false;
}

static bool take(struct record *r, struct waits *w, uint32_t what)
{
	uint64_t ticks;

	if (what == ON_SIGNAL)
		return take_signal(w->signals);
	if (what == ON_WATCHDOG && read(w->watchdog, &ticks, sizeof(ticks)) > 0)
		notify_send(r->notify, "WATCHDOG=1");
	return what == ON_END;
}

static int loop(struct record *r, struct waits *w)
{
	struct epoll_event events[8];
	bool end = false;
	int err = 0;

	while (!err && !end) {
		int n = epoll_wait(w->epoll, events, 8, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			end |= take(r, w, events[i].data.u32);
		/* also before the end: what happened before it is recorded */
		err = live_poll(r->stream.live, 0);
		if (!err)
			put_later(r);
		history_work(r->history, live_bindings(r->stream.live));
		if (!err)
			err = resume(r);
	}
	return err;
}

static int add_timer(struct waits *w, uint64_t ns, uint64_t interval_ns, int what, int *fd)
{
	*fd = -1;
	if (!ns)
		return 0;
	*fd = stream_timer(ns, interval_ns);
	return *fd < 0 ? *fd : stream_wait_for(w->epoll, *fd, EPOLLIN, (uint32_t)what);
}

static int open_waits(struct record *r, struct waits *w)
{
	uint64_t watchdog = notify_watchdog_ns();
	int err;

	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		return -errno;
	err = stream_wait_for(w->epoll, live_fd(r->stream.live), EPOLLIN, ON_LIVE);
	if (!err)
		err = stream_wait_for(w->epoll, machines_fd(r->stream.context.machines), EPOLLIN, ON_MACHINES);
	if (!err)
		err = stream_wait_for(w->epoll, history_fd(r->history), EPOLLIN, ON_HISTORY);
	if (!err)
		err = stream_wait_for(w->epoll, w->signals, EPOLLIN, ON_SIGNAL);
	if (!err)
		err = add_timer(w, watchdog, watchdog, ON_WATCHDOG, &w->watchdog);
	if (!err)
		err = add_timer(w, r->options.duration_ns, 0, ON_END, &w->end);
	return err;
}

static void close_waits(struct waits *w)
{
	const int fds[] = { w->epoll, w->signals, w->watchdog, w->end };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* --- from start to end ------------------------------------------------------------------------------------------- */

static int open_history(struct record *r, char *err, size_t errsize)
{
	struct history_options options = {
		.path = r->options.db, .group = r->options.group, .keep_ns = r->options.keep_ns,
		.max_bytes = r->options.max_bytes, .ctx = r, .describe = describe, .label = label,
	};
	int ret = history_open(&r->history, &options, err, errsize);

	if (ret)
		return ret;
	ret = load_past(r);
	if (ret)
		snprintf(err, errsize, "cannot read the last state from %s: %s", r->options.db, strerror(-ret));
	return ret;
}

static int start(struct record *r, char *err, size_t errsize)
{
	struct bindings_id_source ids = { r, old_device, old_file };
	struct live_options live = { .ids = &ids };
	struct history_head head;
	int ret;

	r->notify = notify_open();
	ret = stream_prepare(&r->stream, &r->options, err, errsize);
	if (!ret)
		ret = open_history(r, err, errsize);
	if (ret)
		return ret;
	if (!history_head(history_own_reader(r->history), &head)) {
		live.first_device = head.device_id + 1;
		live.first_file = head.file_id + 1;
	}
	ret = stream_start(&r->stream, &r->options, &live, on_change, r, err, errsize);
	if (ret)
		return ret;
	ret = begin_recording(r);
	if (ret)
		snprintf(err, errsize, "cannot write to %s: %s", r->options.db, strerror(-ret));
	return ret;
}

static void give_up_privileges(struct record *r)
{
	int ret = privilege_drop(stream_module_missing(&r->stream));

	if (ret)
		warn_msg("cannot drop capabilities: %s; going on with all of them", strerror(-ret));
	/* a thread: made while that is allowed, with no more than is left to us */
	ret = history_checkpoint_beside(r->history);
	if (ret)
		warn_msg("cannot copy the log beside recording: %s; going on without", strerror(-ret));
	ret = sandbox_enter();
	if (ret)
		warn_msg("cannot restrict system calls: %s; going on without", strerror(-ret));
}

static void tell_end(struct record *r)
{
	struct history_head head;

	stream_tell_stats(&r->stream, &r->options);
	if (!r->options.verbose || history_head(history_own_reader(r->history), &head))
		return;
	warn_msg("recorded up to event %" PRIu64 "; head of the chain:", head.seq);
	fprintf(stderr, "%" PRIu64 ":", head.seq);
	for (size_t i = 0; i < sizeof(head.hash); i++)
		fprintf(stderr, "%02x", head.hash[i]);
	fputc('\n', stderr);
}

static int record_events(struct record *r)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, 0 };
	struct waits waits = { -1, -1, -1, -1 };
	char err[1024];
	int ret;

	/* before the start: what comes while it takes long ends it when it is done */
	waits.signals = stream_signals(signals);
	if (start(r, err, sizeof(err))) {
		warn_msg("%s", err);
		close_waits(&waits);
		return EXIT_FAILED;
	}
	ret = open_waits(r, &waits);
	if (!ret) {
		/* loading needs some MB, for a moment */
		malloc_trim(0);
		give_up_privileges(r);
		notify_send(r->notify, "READY=1\nSTATUS=Recording");
		ret = loop(r, &waits);
	}
	notify_send(r->notify, "STOPPING=1");
	history_commit(r->history);
	tell_end(r);
	if (ret == -EUCLEAN)
		warn_msg("cannot go on: %s is damaged; move it elsewhere (with its -wal and -shm) and start again",
			 r->options.db);
	else if (ret)
		warn_msg("cannot go on: %s", strerror(-ret));
	close_waits(&waits);
	return ret ? EXIT_FAILED : EXIT_FINE;
}

int cmd_record(int argc, char **argv)
{
	struct record r = { .notify = -1 };
	int status = options_parse(&r.options, OPT_DB | OPT_RECORD | OPT_BACKEND | OPT_SEED | OPT_DURATION | OPT_NOISE,
				   argc, argv, help);

	if (status >= 0)
		return status;
	umask(077);
	if (r.options.first_operand < argc)
		status = usage_error("record", "unexpected argument '%s'", argv[r.options.first_operand]);
	else if (r.options.journal && !journal_built())
		status = usage_error("record", "--journal: this tapwatch was built without libsystemd");
	else
		status = record_events(&r);
	forget_past(&r.past);
	history_close(r.history);
	stream_free(&r.stream);
	if (r.notify >= 0)
		close(r.notify);
	options_free(&r.options);
	return status;
}
