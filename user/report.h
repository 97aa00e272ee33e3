/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.h - the parts of the page that `report` writes (report/page.html):
 * the data that its script draws from, and the timelines of machines.
 *
 * All read a range of the history, which is to be held meanwhile by
 * history_reader_begin(), and keep no more of it in memory than what they are
 * about to write. Negative errno on failure.
 */
#ifndef TW_REPORT_H
#define TW_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "filter.h"
#include "history.h"

/* Of the newest events so many are in a page: it is to open at once in a browser, and to fit into a mail. */
#define REPORT_EVENTS	50000
#define REPORT_RUNS	200			/* newest starts of machines with a picture */
#define REPORT_BYTES	(64ULL << 20)		/* of data, whatever names are made of */

struct report_range {
	uint64_t first, last;		/* seq, both inclusive; last 0: there are none */
	uint64_t n;			/* events that the page is about */
	bool cut;			/* there are more of the time asked for, before them */
};

struct report_chosen;

/*
 * Narrows the range to so many events as a page holds, the last ones, of
 * those that the filter chooses: whatever was done to a file or device of which
 * something matches. *out is NULL where there is no filter; to be freed in any case.
 */
int report_choose(struct history_reader *reader, const struct filter *filter, struct report_range *range,
		  struct report_chosen **out);
void report_chosen_free(struct report_chosen *chosen);

/* Is the event part of the page? NULL: all are. */
bool report_wants(const struct report_chosen *chosen, const struct event *event);

/*
 * All events that the state in the range follows from: the entries of a
 * snapshot before it, with seq 0, and then those from there to its end.
 */
int report_walk(struct history_reader *reader, const struct report_range *range, history_fn fn, void *ctx);

/*
 * The data as one JSON document, fit to stand in a <script> of HTML; described in
 * report/report.js. What the state was made of before the range is part of it.
 */
int report_data(struct history_reader *reader, const struct report_range *range, const struct report_chosen *chosen,
		FILE *out);

/* JSON as json-c writes it, with what would end a <script>, or a line in JavaScript, as \uNNNN. Returns the bytes written. */
size_t report_json(const char *json, FILE *out);

/* The timeline of each machine that started in the range, oldest first. */
int report_runs(struct history_reader *reader, const struct report_range *range, const struct report_chosen *chosen,
		FILE *out);

#endif /* TW_REPORT_H */
