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

struct options {
	struct filter *filter;
	bool json, verbose, quiet, noheadings, raw, list_columns;
	const char *columns;	/* of --output; NULL: not given */
	const char *fd;		/* of --fd; NULL: not given */
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
