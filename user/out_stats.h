/* SPDX-License-Identifier: GPL-2.0-only */
/* out_stats.h - `vms --stats`. */
#ifndef TW_OUT_STATS_H
#define TW_OUT_STATS_H

#include "options.h"

/* Of the history o->db, from o->since_ns to o->until_ns. An exit status; what went wrong was said. */
int out_stats(const struct options *o);

#endif /* TW_OUT_STATS_H */
