/* SPDX-License-Identifier: GPL-2.0-only */
/* stories.h - how files came to their holders, as running tapwatches tell it (runtime.h), and what follows from it. */
#ifndef TW_STORIES_H
#define TW_STORIES_H

#include <stdint.h>

#include "rows.h"

struct json_object;

/* All files that any running tapwatch knows; empty when none runs. NULL: out of memory. */
struct json_object *stories_all(void);

/* The best story there is about the file of this row; NULL: none. */
struct json_object *story_of(struct json_object *stories, const struct row *row);

/* When a step of a chain was, CLOCK_REALTIME; 0 unknown. */
uint64_t story_time(struct json_object *step);

/*
 * Fills in row->start_took_ns of machines, of rows that tell when their holders
 * got their fds (row->held_ns): from the start of the process until it had the
 * first interface. Left unknown where one of its interfaces is not known since
 * when.
 */
void starts_fill(struct rows *rows);

/* The same of the present, out of stories. */
void stories_fill(struct rows *rows, struct json_object *stories);

#endif /* TW_STORIES_H */
