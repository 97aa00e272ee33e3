/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cursor.h - a place in the history that outlives the run: which event was the
 * last. Its seq would do; boot and time tell that it is the same history.
 */
#ifndef TW_CURSOR_H
#define TW_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

struct cursor {
	uint64_t seq;			/* 0: none */
	uint64_t boottime_ns;
	char boot_id[BOOT_ID_LEN + 1];	/* "" unknown */
};

#define CURSOR_LEN 128

void cursor_of(struct cursor *cursor, const struct event *event);
bool cursor_fits(const struct cursor *cursor, const struct event *event);

/* "s=17;b=BOOT;t=91234567890"; of opaque text for the user. */
void cursor_text(const struct cursor *cursor, char text[CURSOR_LEN]);
int cursor_parse(const char *text, struct cursor *cursor);	/* 0 or -EINVAL */

/* A file with a cursor in it; where there is none yet, the cursor is 0. 0, -EINVAL or the errno of reading. */
int cursor_read(const char *path, struct cursor *cursor);
/* As a whole or not at all. 0 or a negative errno. */
int cursor_write(const char *path, const struct cursor *cursor);

#endif /* TW_CURSOR_H */
