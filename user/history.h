/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * history.h - the audit history: one SQLite database of every event there was.
 *
 * Writing (history_open … history_close) is for the one recorder. Reading
 * (history_reader_open …) is for everybody who may read the file, also while
 * the recorder writes. A reader gives events back as struct event, in which
 * everything is set that was known when the event was written: event_json()
 * of it is what `watch --json` would have printed, but for `seq`, which in
 * the database rises for ever.
 *
 * How it is stored (the tables are described in tapwatch(8)). An event is a
 * row of small integers; what repeats itself (processes, states of devices,
 * namespaces, texts) stands in dictionary tables that it refers to.
 *
 * Segments. Every so many events (or every day) the writer begins a new
 * segment: it forgets what it has put into the dictionaries, so that no row of
 * a segment refers to rows of an older one. A segment is what retention
 * removes as a whole, by ranges of ids, without looking for references.
 *
 * Snapshots. At the beginning of a segment and every few thousand events the
 * whole state is written as entries that read as `exist` events. So the state
 * at any moment is the last snapshot before it and the events from there.
 *
 * Chain. Every row (of events, dictionaries, snapshots) goes into a running
 * SHA-256 in the order of insertion; an event keeps 8 bytes of it, each commit
 * the whole.
 *
 * Order and time. Events are ordered by seq, and within a boot nearly by
 * boottime_ns (what a scan concludes may be told a little late). realtime_ns
 * is what the clock showed then, and may jump in both directions. Ids of
 * devices and files are never used for two things in one database, also
 * across boots.
 *
 * Errors are negative errnos: -ENOENT no database; -EUCLEAN it is damaged;
 * -EPROTOTYPE it is none of tapwatch's; -EPROTONOSUPPORT of a newer version;
 * -EROFS, -EACCES, -ENOSPC as usual. Where `err` is given it gets a sentence
 * to complete "tapwatch: …", with what to do about it.
 */
#ifndef TW_HISTORY_H
#define TW_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bindings.h"
#include "event.h"

#define HISTORY_DEFAULT_DB "/var/lib/tapwatch/history.db"
#define HISTORY_HASH_LEN 32
#define HISTORY_HEARTBEAT_S 10	/* the recorder notes at least so often that it is alive, also when nothing happens */

/* ---- reading ---------------------------------------------------------------------------- */

struct history_reader;

/*
 * Opens for reading only. Nothing is created or changed; needs no more than
 * permission to read the file (and, while a recorder runs, its -wal and -shm).
 */
int history_reader_open(struct history_reader **out, const char *path, char *err, size_t errsize);
void history_reader_close(struct history_reader *r);

/*
 * All reading between these two sees the database as of the first: for answers
 * made of several calls. Without it each call sees the latest. To be held
 * for seconds at most, for the recorder's -wal file grows meanwhile.
 */
int history_reader_begin(struct history_reader *r);
void history_reader_end(struct history_reader *r);

/* First and last seq there are. 0; -ENODATA when there is none yet. */
int history_bounds(struct history_reader *r, uint64_t *first, uint64_t *last);

/*
 * Changes whenever another process has committed something (PRAGMA
 * data_version): a cheap poll for --follow. Negative errno on failure.
 */
int64_t history_version(struct history_reader *r);

/* Return non-zero to stop; that value is returned by the call. The event is valid during the call only. */
typedef int (*history_fn)(void *ctx, const struct event *event);

struct history_query {
	uint64_t first, last;	/* seq, both inclusive; last 0: no limit */
	/* not 0: of what follows the event `settled`, that is left out which is dated after it (CLOCK_REALTIME) */
	uint64_t until_ns, settled;
	bool reverse;		/* newest first */
	/*
	 * When n_ifnames is not 0: only events that a filter by interface name
	 * can match (fnmatch(3) patterns as FILTER_IFNAME has them), found
	 * through an index: events about devices that had such a name at any
	 * time, and attach-failed of such a name; and of all others ready, lost,
	 * resync and gap. Superset: the caller still filters each event.
	 */
	const char *const *ifnames;
	size_t n_ifnames;
	bool no_run_events;	/* with ifnames: leave out ready, lost, resync, gap as well */
};

/* 0 when all were given; what fn returned; a negative errno. */
int history_each(struct history_reader *r, const struct history_query *query, history_fn fn, void *ctx);

/* One event. 0, -ENOENT. `event` is valid until the next call with this reader. */
int history_event(struct history_reader *r, uint64_t seq, struct event *event);

/*
 * The range of seq outside of which no event has since <= realtime_ns <= until
 * (0: no limit). Events inside may still lie outside of the time where the
 * clock was set. 0; -ENODATA when there are none.
 */
int history_range(struct history_reader *r, uint64_t since_ns, uint64_t until_ns, uint64_t *first, uint64_t *last);

/*
 * Limits a query to what had happened by a moment: to events dated before or at
 * it, of the latest stretch of unstepped clock that began before it. What was
 * told late counts from when it is dated. Sets last, until_ns and settled
 * alone. 0; -ENODATA.
 */
int history_until(struct history_reader *r, uint64_t realtime_ns, struct history_query *query);

/*
 * The state at a moment, as `list --at` shows it: gives the entries of a
 * snapshot, then the events from there that history_until() leaves, in the
 * order of seq. *last: seq of the last of them. 0; -ENODATA; what fn returned.
 */
int history_state_at(struct history_reader *r, uint64_t realtime_ns, history_fn fn, void *ctx, uint64_t *last);

/* One boot that events are known of, in order of seq. */
struct history_boot {
	char id[BOOT_ID_LEN + 1];
	uint64_t first, last;		/* seq */
	uint64_t first_realtime_ns, last_realtime_ns;
};
/* *boots is to be freed. 0 or a negative errno. */
int history_boots(struct history_reader *r, struct history_boot **boots, size_t *n);

/*
 * The state after event `seq` begins with the last snapshot made at or before
 * it: gives its entries as EV_EXIST events (holder fds, devices without
 * holder, files without fd; seq and time are those of the event it was made
 * after) and in *from the seq of the first event that is to be applied to it;
 * this event may be > seq: then the snapshot is the state. No older event is
 * needed. With no snapshot before seq nothing is given and *from is the first
 * seq. A snapshot stands alone: whatever was before is to be forgotten first.
 *
 * A snapshot follows each `gap`, therefore applying events never leads across
 * one that ended without its differences being told.
 */
int history_snapshot(struct history_reader *r, uint64_t seq, uint64_t *from, history_fn fn, void *ctx);

/*
 * The namespaces that processes of this number were in, each once or more. 0; what fn returned; a negative errno.
 */
int history_process_netns(struct history_reader *r, uint32_t pid, int (*fn)(void *ctx, uint32_t inode), void *ctx);

/*
 * What is known about the command line of a process, up to 4 KiB, arguments
 * separated by NUL: of the process of the last event given to fn or by
 * history_event(). 0: unknown.
 */
size_t history_cmdline(struct history_reader *r, const char **cmdline);

/* The last moment up to which the recorder has certainly recorded everything, and whether it runs on from there. */
struct history_head {
	uint64_t seq;			/* of the last event */
	uint64_t realtime_ns, boottime_ns;
	char boot_id[BOOT_ID_LEN + 1];
	uint32_t pid;			/* of the recorder */
	bool stopped;			/* it ended in order; else it runs, or was killed */
	uint8_t hash[HISTORY_HASH_LEN];	/* the chain's head */
	uint64_t device_id, file_id;	/* greatest ones used */
};
int history_head(struct history_reader *r, struct history_head *head);

/*
 * For carrying the ids of files on: salted hashes of the kernel addresses that
 * files had, of all files of the last segment (the living ones are among
 * them); of one file the last one given counts.
 */
int history_file_addresses(struct history_reader *r,
			   int (*fn)(void *ctx, uint64_t file_id, uint64_t address), void *ctx);
uint64_t history_hash_address(struct history_reader *r, uint64_t addr);

/* ---- writing ---------------------------------------------------------------------------- */

struct history_options {
	const char *path;
	const char *group;	/* may read it (0640); NULL: nobody else may (0600) */
	uint64_t keep_ns;	/* events older than this go; 0: they stay */
	uint64_t max_bytes;	/* of the file, older ones go; 0: no limit */
	/*
	 * Where to ask for what an event does not carry; each may be NULL.
	 * Asked about those who hold something already when the recorder starts.
	 */
	void *ctx;
	const struct process_info *(*describe)(void *ctx, const struct tw_task *task);
	const char *(*label)(void *ctx, uint32_t netns);
};

struct history;

/*
 * Opens or creates the database, with everything checked that makes it safe
 * to write there, and locks it: -EBUSY when another recorder has it (err names
 * its pid).
 */
int history_open(struct history **out, const struct history_options *options, char *err, size_t errsize);

/* Commits, says that it ended in order, closes. NULL is fine. */
void history_close(struct history *h);

/*
 * Adds an event; its `seq` is ignored, the next one is used. It is durable
 * with the next commit, at the latest HISTORY_BATCH_MS after the first of its
 * batch, provided that history_work() is called when due. Never fails: see
 * history_stuck().
 */
#define HISTORY_BATCH_MS 70
void history_put(struct history *h, const struct event *event);

/*
 * What is due: commit, snapshot and new segment (of the state `b` after the
 * last event put), retention in bounded steps (HISTORY_STEP_MS), checkpoint.
 * To be called after each turn of the event loop and when history_fd() is
 * readable.
 */
#define HISTORY_STEP_MS 20
void history_work(struct history *h, const struct bindings *b);
int history_fd(const struct history *h);		/* readable when history_work() is due by time */

/*
 * From now on a thread copies what is recorded from the log into the database;
 * before, and when this fails, recording waits for that. The thread has the
 * system calls of whoever calls this and of whoever restricts them later for
 * all threads, and no capability. 0 or a negative errno.
 */
int history_checkpoint_beside(struct history *h);

int history_commit(struct history *h);			/* now; 0 or a negative errno (also when stuck) */
uint64_t history_last(const struct history *h);		/* seq of the last event put */
uint64_t history_durable(const struct history *h);	/* seq up to which everything is on disk */
void history_write_snapshot(struct history *h, const struct bindings *b);

/*
 * A write failed (disk full): since then nothing is recorded, what comes is
 * counted. 0 when all is well, else the negative errno, and what is lost.
 */
int history_stuck(const struct history *h, uint64_t *lost);

/*
 * Tries to go on, at most once a second. 0: it is to be told what was missed:
 * `gap` is filled (put it with history_put() as EV_GAP), then the differences
 * between history_reader's last state and now, then history_write_snapshot().
 * Else a negative errno: still stuck.
 */
int history_resume(struct history *h, struct gap_info *gap, uint64_t *lost);

/*
 * The differences are made with the state machine of replay.h, which is fed
 * with history_snapshot() and history_each() and is expected to offer
 *	struct replay *replay_new(void);			NULL: out of memory
 *	int replay_apply(struct replay *r, const struct event *event);	0 or -ENOMEM
 *	int replay_rows(const struct replay *r, struct rows *rows);	adds what rows_collect() would; 0 or -ENOMEM
 *	void replay_free(struct replay *r);
 */

/* A reader over the writer's own connection, which sees all that was put. Belongs to h. */
struct history_reader *history_own_reader(struct history *h);

/* ---- verifying --------------------------------------------------------------------------- */

struct history_verdict {
	bool ok;
	bool anchor_found;
	uint64_t anchor_seq;
	uint64_t first, last;		/* events checked */
	uint64_t rows;			/* rows of all tables checked */
	uint64_t pruned_before;		/* events before this seq were removed by retention; 0: none */
	uint64_t bad_seq;		/* !ok: first bad record: the event … */
	char reason[256];		/* … and what is wrong */
	uint8_t hash[HISTORY_HASH_LEN];	/* head as computed */
};

/*
 * Walks the whole chain. `anchor`: NULL, or HISTORY_HASH_LEN bytes that the
 * running hash must have had after some event. 0 when it could be walked,
 * whatever the verdict; else a negative errno.
 */
int history_verify(struct history_reader *r, const uint8_t *anchor, struct history_verdict *verdict);

#endif /* TW_HISTORY_H */
