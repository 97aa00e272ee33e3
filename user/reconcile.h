/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reconcile.h - what must have happened while nobody looked: the differences
 * between a state that is remembered and the present one, as changes.
 *
 * Objects are the same when they have the same id, so the present state has
 * to carry the ids of the remembered one on (bindings_id_source()). First
 * what is gone (drop, release, delete), then what changed about devices and
 * bindings, then what is new, as `exist`: how it came about is not known.
 * All have CH_SEED set. Pure: no I/O, no clock.
 */
#ifndef TW_RECONCILE_H
#define TW_RECONCILE_H

#include "bindings.h"
#include "rows.h"

/*
 * `row` is the remembered row of what is gone, for what it tells of its
 * process and namespace; NULL when the change is about what is there.
 */
typedef void (*reconcile_fn)(void *ctx, const struct change *change, const struct row *row);

/* 0 or -ENOMEM. `time_ns`: CLOCK_BOOTTIME, when the present state was read. */
int reconcile(const struct rows *old, const struct bindings *now, uint64_t time_ns, reconcile_fn fn, void *ctx);

#endif /* TW_RECONCILE_H */
