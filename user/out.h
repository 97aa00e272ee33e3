/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * out.h - events as lines: JSON for scripts, text for people. The caller
 * flushes after each line; a full pipe or disk shows there or here, as a
 * negative errno.
 */
#ifndef TW_OUT_H
#define TW_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "event.h"

struct json_object;

/* The event as CONTRACT's object. NULL when out of memory. The caller puts it (json_object_put). */
struct json_object *event_json(const struct event *event);

/* One object on a line. 0; -ENOMEM; the errno of a failed write, negative. */
int out_json(FILE *out, const struct event *event);

/* Zero it, then set the upper part; the same for all lines of one output. */
struct out_text {
	bool heading;		/* a header line first */
	bool color;		/* the caller has looked at isatty(3) and NO_COLOR */
	bool date;		/* dates with every time (history); otherwise a line when the day changes */
	uint32_t init_netns;	/* inode of the initial namespace, labelled "init"; 0: not known */
	/* private */
	bool started;
	int last_yday;
};

/* One line (and before the first one the header). 0; the errno of a failed write, negative. */
int out_text(struct out_text *text, FILE *out, const struct event *event);

/*
 * The DETAIL of the event's line, safe for a terminal; of ready, gap and the
 * like what the line says. `text` is without colour. Returns its length.
 */
size_t out_detail(const struct out_text *text, char *buf, size_t size, const struct event *event);

/* "fooz[4026532591]", safe for a terminal; "-" for inode 0. Shared by all text that names a namespace. */
size_t out_netns(const struct out_text *text, char *buf, size_t size, uint32_t inode, const char *label);

/* Words of tun_flags as in `flags`, NULL after the last; `words` holds TUN_FLAG_WORDS. Returns how many. */
#define TUN_FLAG_WORDS 8
size_t tun_flag_words(uint32_t tun_flags, const char *words[TUN_FLAG_WORDS]);

#endif /* TW_OUT_H */
