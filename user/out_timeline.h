/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * out_timeline.h - one run of a virtual machine as a picture (SVG): time runs
 * down, a row for each event, a column for each process that took part.
 */
#ifndef TW_OUT_TIMELINE_H
#define TW_OUT_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "event.h"
#include "vm_story.h"

struct timeline;

/* The story's own members are read until timeline_svg() has returned, its items are not. NULL: out of memory. */
struct timeline *timeline_new(const struct story *story, uint32_t init_netns);
void timeline_free(struct timeline *t);

/* In the order of time. Nothing of the event is kept by reference. 0 or -ENOMEM. */
int timeline_add(struct timeline *t, const struct event *event);

/*
 * `part`: of a page that has its style (report/timeline.css), not a file of its
 * own. 0 or a negative errno.
 */
int timeline_svg(struct timeline *t, FILE *out, bool part);

/* From the first event to the last of the start-up; 0: unknown. What failed. */
uint64_t timeline_startup_ns(struct timeline *t);
size_t timeline_failures(const struct timeline *t);

/* "8.37 s" */
void timeline_duration(char *text, size_t size, uint64_t ns);

struct history_reader;

/* Of a story of the history; to be freed. 0 or a negative errno. */
int story_timeline(struct history_reader *reader, const struct story *story, struct timeline **out);
/* All of it. */
int story_svg(struct history_reader *reader, const struct story *story, FILE *out, bool part);

/* Local time to the millisecond, after `before`; nothing at all when it is not known (0). */
void timeline_put_moment(FILE *out, const char *before, uint64_t realtime_ns);

#endif /* TW_OUT_TIMELINE_H */
