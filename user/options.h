/* SPDX-License-Identifier: GPL-2.0-only */
/* options.h - the options that several commands share, and their help. */
#ifndef TW_OPTIONS_H
#define TW_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "filter.h"
#include "live.h"

/* Which shared options a command takes. */
#define OPT_FILTERS	(1u << 0)
#define OPT_JSON	(1u << 1)
#define OPT_BACKEND	(1u << 2)
#define OPT_SEED	(1u << 3)
#define OPT_DURATION	(1u << 4)
#define OPT_NOISE	(1u << 5)  /* -v, -q */
#define OPT_NOHEADINGS	(1u << 6)
#define OPT_SNAPSHOT	(1u << 7)  /* what is, not what happens: no --event, every way of --seed */
#define OPT_COLUMNS	(1u << 8)  /* -o, --list-columns, -r */
#define OPT_FD		(1u << 9)  /* --fd */
#define OPT_AT		(1u << 10) /* --at, --db */
#define OPT_HISTORY	(1u << 11) /* what to take of the history, and how; filters are for the past */
#define OPT_DB		(1u << 12) /* --db alone */
#define OPT_RECORD	(1u << 13) /* --keep, --max-size, --group, --journal */
#define OPT_VERIFY	(1u << 14) /* --anchor */
#define OPT_LIST	(1u << 15) /* --dot, --stale, --older */
#define OPT_STATS	(1u << 16) /* --stats, --since, --until */
#define OPT_SVG		(1u << 20) /* --svg */
#define OPT_REPORT	(1u << 21) /* --html, --since, --until, --db */

struct options {
	struct filter *filter;
	bool json, verbose, quiet, noheadings, raw, list_columns;
	const char *columns;	/* of --output; NULL: not given */
	const char *fd;		/* of --fd; NULL: not given */
	const char *db;		/* of --db; never NULL */
	bool past;		/* a moment of the past is asked for: at_ns */
	uint64_t at_ns;		/* CLOCK_REALTIME */
	uint64_t since_ns, until_ns;	/* CLOCK_REALTIME; 0: not given */
	uint64_t lines;		/* with `limited`: as many */
	bool limited, oldest;	/* --lines was given; "+N": from the beginning */
	bool reverse, follow;
	const char *boot;	/* of --boot; "" for the last; NULL: not given */
	const char *after_cursor, *cursor_file;
	bool show_cursor;
	uint64_t keep_ns, max_bytes;	/* 0: not given */
	uint64_t older_ns;	/* of --older; 0: not given */
	const char *group;	/* NULL: not given */
	const char *anchor;	/* NULL: not given */
	bool journal;
	bool dot, stale, stats;
	const char *svg, *html;	/* files of --svg and --html; NULL: not given */
	enum backend backend;
	enum seed_backend seed;
	uint64_t duration_ns;	/* 0: until a signal */
	int first_operand;	/* index in argv of what is no option */
};

/*
 * Parses argv of a command (argv[0] is its name). `help` is printed for
 * --help, followed by the help of the shared options. Returns -1 to go on, or
 * the exit status to end with; then nothing needs to be freed.
 */
int options_parse(struct options *o, unsigned takes, int argc, char **argv, const char *help);
void options_free(struct options *o);

#endif
