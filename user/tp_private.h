/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tp_private.h - what the parts of the tracepoint backend's bookkeeping share:
 * tp.c (what comes when), tp_files.c (files that die), tp_devices.c (devices
 * that go, and what else rtnetlink tells), tp_endings.c (processes that end).
 * All return 0 or -ENOMEM where nothing else is said.
 */
#ifndef TW_TP_PRIVATE_H
#define TW_TP_PRIVATE_H

#include "rtnl.h"
#include "rtnl_monitor.h"
#include "tp.h"

#define NSEC_PER_MSEC 1000000ULL
/*
 * A system call that closes a device's last file tells rtnetlink first, and
 * returns (which is when the program sees it) only when the device is gone:
 * an RCU grace period or two later, and these can be long on a busy machine. So
 * long the deletion waits for it, where the file is known to be dead.
 */
#define CLOSE_WAIT_NS (2000 * NSEC_PER_MSEC)
#define POLL_NS (40 * NSEC_PER_MSEC)	/* files that nobody is known to hold are looked at this often */
#define RECHECK_NS (3 * NSEC_PER_MSEC)
#define RELEASE_MEMORY_NS (3000 * NSEC_PER_MSEC)

/* epoll data: small numbers, or the address of a struct ending */
enum { WATCH_NETLINK = 1, WATCH_TIMER = 2 };

/* A process whose end was announced: its files are closed when the pidfd is readable. */
struct ending {
	int pidfd;
	struct tw_event fact;
	struct ending *next;
};

/*
 * What rtnetlink told and is not applied yet: waiting for the ring to be read
 * up to the same time, or (deletions) for their cause.
 */
struct pending {
	struct tw_event fact;
	struct pending *next;
};

/* A file (or vhost-net file) found dead: what killed it may still be on its way to us. */
struct corpse {
	struct tw_event fact;
	uint64_t since_ns;
	struct corpse *next;
};

/* Who was the last to let go of a device: why it went. */
struct farewell {
	uint64_t device_id, file_gen, time_ns;
	uint64_t closed_ns;	/* when the close of its last fd had returned; 0 not known */
	struct farewell *next;
};

struct tp {
	struct tracer *t;
	struct bindings *b;
	struct rtnl_monitor *monitor;
	int epoll, timer;
	uint64_t since_ns;	/* rtnetlink is heard from then on */
	uint64_t collect_ns;	/* the ring is being read since then … */
	uint64_t drained_ns;	/* … and all facts older than this were taken from it */
	struct ending *endings;
	struct pending *news, *deletions;
	struct corpse *corpses;
	struct farewell *farewells;
	struct { uint64_t file_gen, time_ns; } last_drop;
	bool overrun;		/* netlink messages were lost, to be told by the next tp_collect() */
};

struct query {
	const struct device *dev;
	struct tp *tp;
};

int tp_watch(struct tp *tp, int fd, uint64_t tag);	/* or another negative errno */
int tp_append(struct pending **list, const struct tw_event *fact);
bool tp_is_end(const struct tw_event *fact);		/* of a device or a namespace */

/* --- tp_files.c --- */

int tp_look_at_files(struct tp *tp);
int tp_retire_predecessor(struct tp *tp, const struct tw_event *fact);
bool tp_close_pending(struct tp *tp, const struct device *dev);	/* a file of it is dead, and its close not told yet */

/* --- tp_devices.c --- */

int tp_apply_known_ends(struct tp *tp);
int tp_apply_news(struct tp *tp, uint64_t time_ns);
/* `force`: the device of that file is bound to another now, so its deletion waits no longer. */
int tp_settle_deletions(struct tp *tp, uint64_t now, const struct device *force);

/* --- tp_endings.c --- */

int tp_begin_ending(struct tp *tp, const struct tw_event *fact);
int tp_end_thread(struct tp *tp, const struct tw_event *fact);
int tp_finish_ending(struct tp *tp, struct ending *e);
int tp_finish_unwatched_endings(struct tp *tp);
int tp_finish_predecessors(struct tp *tp, const struct tw_event *fact);
int tp_finish_endings_with(struct tp *tp, uint64_t file_gen);

#endif /* TW_TP_PRIVATE_H */
