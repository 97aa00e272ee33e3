/* SPDX-License-Identifier: GPL-2.0-only */
/* snapshot.h - the present state, once, as rows. What `list` and `who` share. */
#ifndef TW_SNAPSHOT_H
#define TW_SNAPSHOT_H

#include "options.h"
#include "rows.h"

/*
 * Reads the state, and drops what the filters of `o` do not want. An exit
 * status; what went wrong was said. rows_free() in any case.
 */
int snapshot_read(struct rows *rows, const struct options *o);

/*
 * Looks up what is `wanted` (ROWS_*) of the rows that are left, and sorts
 * them. `deep`: a namespace in which nobody is, is looked for among all fds of
 * all processes, too. As above.
 */
int snapshot_finish(struct rows *rows, unsigned wanted, bool deep);

#endif
