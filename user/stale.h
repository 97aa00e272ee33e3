/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stale.h - what is left over: devices that nobody holds, files whose device is
 * gone, devices whose machine is gone, and fds of a machine's device that
 * somebody else has. Where there is a history that is being written, since
 * when, and by which event it came to that.
 */
#ifndef TW_STALE_H
#define TW_STALE_H

#include "options.h"
#include "rows.h"

/*
 * Keeps the rows that are stale (and, with o->older_ns, known to be so for so
 * long), with row->stale* filled. Machines (ROWS_VM) are to be known before.
 * An exit status; what went wrong, or is left out, was said.
 */
int stale_keep(struct rows *rows, const struct options *o);

#endif /* TW_STALE_H */
