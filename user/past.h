/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * past.h - the bindings of a past moment, out of the history: what `list --at`
 * and `who --at` share; and how a history is opened for reading.
 */
#ifndef TW_PAST_H
#define TW_PAST_H

#include <stdbool.h>
#include <stdint.h>

#include "history.h"
#include "options.h"
#include "rows.h"

struct json_object;

/* Why an answer about a moment may not be the truth. */
struct doubt {
	const char *reason;	/* a word for programs; NULL: there is no doubt */
	uint64_t since_ns;	/* CLOCK_REALTIME; from when on nothing is sure; 0 unknown */
	uint64_t until_ns;	/* up to when; 0: up to now, or unknown */
	char text[256];		/* for people */
};

/*
 * The rows of o->at_ns that the filters of `o` want, in order, with all that
 * was recorded of them. An exit status; what went wrong was said. rows_free()
 * in any case.
 */
int past_read(struct rows *rows, const struct options *o, struct doubt *doubt);

/* The doubt on standard error, unless there is none. */
void past_tell(const struct doubt *doubt, const struct options *o);

/*
 * Adds "at", and "uncertain" where there is doubt, to the object. 0 or
 * -ENOMEM.
 */
int past_json(struct json_object *object, const struct doubt *doubt, const struct options *o);

/* Opens o->db; what is wrong is said. NULL on failure. */
struct history_reader *past_open(const struct options *o);

/* Does the recorder run, so that what was recorded last holds now? */
bool past_is_present(struct history_reader *reader);

/* Finds out the namespaces of `--netns pid:PID` for the filter. 0 or a negative errno. */
int past_filter(struct history_reader *reader, struct filter *filter);

/* "history.db: REASON" on standard error; an exit status. */
int past_failed(const struct options *o, int err);

#endif /* TW_PAST_H */
