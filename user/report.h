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

#include <stdint.h>
#include <stdio.h>

#include "history.h"

/* Of the newest events so many are in a page: it is to open at once in a browser, and to fit into a mail. */
#define REPORT_EVENTS	50000
#define REPORT_RUNS	200			/* newest starts of machines with a picture */
#define REPORT_BYTES	(64ULL << 20)		/* of data, whatever names are made of */

struct report_range {
	uint64_t first, last;		/* seq, both inclusive; last 0: there are none */
	uint64_t left_out;		/* events before that are of the time asked for */
};

/*
 * The data as one JSON document, fit to stand in a <script> of HTML; described in
 * report/report.js. What the state was made of before the range is part of it.
 */
int report_data(struct history_reader *reader, const struct report_range *range, FILE *out);

/* JSON as json-c writes it, with what would end a <script>, or a line in JavaScript, as \uNNNN. Returns the bytes written. */
size_t report_json(const char *json, FILE *out);

/* The timeline of each machine that started in the range, oldest first. */
int report_runs(struct history_reader *reader, const struct report_range *range, FILE *out);

#endif /* TW_REPORT_H */
