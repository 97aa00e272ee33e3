/* SPDX-License-Identifier: GPL-2.0-only */
/* vm_live.h - `vms NAME` without a history: a running machine, and what running tapwatches saw of its files. */
#ifndef TW_VM_LIVE_H
#define TW_VM_LIVE_H

#include "options.h"

/*
 * The machine that runs and whose name or UUID matches the pattern; of several
 * the one that started last. `why`: why it is not the history that is told.
 * -1: there is none; else an exit status.
 */
int vm_live_tell(const struct options *o, const char *pattern, const char *why);

#endif /* TW_VM_LIVE_H */
