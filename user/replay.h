/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * replay.h - from told events back to the state they tell of: which process
 * held which fd of which device. Events in, rows out; no I/O, no clock, no
 * globals.
 *
 * Events are to come in the order of their seq. What they mean:
 *
 *   exist, open, hold	a holder is there (process, fd, file); what the event tells of the process is taken
 *			over, of a program that came by exec wholly
 *   drop		this holder is gone
 *   release		the file is gone, with all that held it; until then it lives, also without any fd
 *   attach, queue-*	the file's binding
 *   delete		the device is gone, its files are orphans
 *   all		tell the whole present state of the device
 *
 * An event of another boot ends everything that was. A snapshot is a run of
 * `exist` events given to a new machine.
 */
#ifndef TW_REPLAY_H
#define TW_REPLAY_H

#include <stdint.h>

#include "event.h"
#include "rows.h"

struct replay;

struct replay *replay_new(void);		/* NULL when out of memory */
void replay_free(struct replay *r);		/* NULL is fine */

/* Nothing of the event is kept by reference. 0; -ENOMEM: the state is to be thrown away. */
int replay_apply(struct replay *r, const struct event *event);

/*
 * Adds the rows of the present state, as rows_collect() would, in no special
 * order, with all that was told of processes and namespaces. 0 or -ENOMEM.
 */
int replay_rows(const struct replay *r, struct rows *rows);

/*
 * Events were lost and the state was not read afresh since: the `lost` that
 * said so. False: it was all told.
 */
struct replay_loss {
	uint64_t seq;
	uint64_t realtime_ns;
	uint64_t count;		/* 0 unknown */
};
bool replay_lossy(const struct replay *r, struct replay_loss *loss);

#endif /* TW_REPLAY_H */
