// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "options.h"

enum { LONG_COMM = 256, LONG_KIND, LONG_VM, LONG_BACKEND, LONG_SEED, LONG_DURATION, LONG_HELP, LONG_LIST_COLUMNS,
       LONG_FD, LONG_SNAPSHOT_SEED };

#define OPT_EVENTS	(1u << 31) /* options_parse(): those who filter what happens */

/* One row per option: how it is written, who takes it, what it does. */
static const struct spec {
	const char *name;
	int code;		/* the short letter, or LONG_* */
	const char *argument;	/* NULL: takes none */
	unsigned group;		/* OPT_*; 0: every command */
	const char *help;
} specs[] = {
	{ "json", 'J', NULL, OPT_JSON, "JSON instead of text" },
	{ "pid", 'p', "LIST", OPT_FILTERS, "only these processes" },
	{ "ifname", 'i', "GLOB", OPT_FILTERS, "only interfaces of such a name, now or before" },
	{ "netns", 'N', "NS", OPT_FILTERS, "only this network namespace: NAME, PATH, INODE or pid:PID" },
	{ "user", 'u', "USER", OPT_FILTERS, "only processes of this user, by name or number" },
	{ "comm", LONG_COMM, "GLOB", OPT_FILTERS, "only processes of such a command name" },
	{ "kind", LONG_KIND, "LIST", OPT_FILTERS, "only devices of these kinds: tap, tun, macvtap, ipvtap" },
	{ "event", 'e', "LIST", OPT_EVENTS, "only these events: attach, move, delete, …" },
	{ "vm", LONG_VM, "GLOB", OPT_FILTERS, "only virtual machines of such a name or UUID" },
	{ "fd", LONG_FD, "PID:FD", OPT_FD, "the reverse question: what is this fd of that process?" },
	{ "output", 'o', "COLS", OPT_COLUMNS, "these columns; +COLS: these after the usual ones" },
	{ "list-columns", LONG_LIST_COLUMNS, NULL, OPT_COLUMNS, "what columns there are" },
	{ "raw", 'r', NULL, OPT_COLUMNS, "no padding, blanks and the like as \\xNN" },
	{ "noheadings", 'n', NULL, OPT_NOHEADINGS, "no header line" },
	{ "backend", LONG_BACKEND, "NAME", OPT_BACKEND,
	  "kernel hooks: auto (default), fentry, kprobe, tracepoint" },
	{ "seed", LONG_SEED, "NAME", OPT_SEED, "how the existing state is read: auto (default), iter, none" },
	{ "seed", LONG_SNAPSHOT_SEED, "NAME", OPT_SNAPSHOT,
	  "how the state is read: auto (default), iter, pidfd, fdinfo, ptrace" },
	{ "duration", LONG_DURATION, "SECONDS", OPT_DURATION, "end by itself after so long" },
	{ "verbose", 'v', NULL, OPT_NOISE, "say more on standard error" },
	{ "quiet", 'q', NULL, OPT_NOISE, "no header and no 'ready' line" },
	{ "help", LONG_HELP, NULL, 0, "this text" },
};
#define N_SPECS (sizeof(specs) / sizeof(specs[0]))

static void print_help(unsigned takes, const char *help)
{
	printf("%s\nOptions:\n", help);
	for (size_t i = 0; i < N_SPECS; i++) {
		char left[48], letter[8] = "    ";

		if (specs[i].group && !(specs[i].group & takes))
			continue;
		if (specs[i].code < LONG_COMM)
			snprintf(letter, sizeof(letter), "-%c, ", specs[i].code);
		snprintf(left, sizeof(left), "  %s--%s%s%s", letter, specs[i].name,
			 specs[i].argument ? " " : "", specs[i].argument ? specs[i].argument : "");
		printf("%-26s %s\n", left, specs[i].help);
	}
	if (takes & OPT_FILTERS)
		printf("\nValues of one filter are alternatives (LIST: separated by commas), different filters must\n"
		       "all hold.\n");
}

static int parse_duration(struct options *o, const char *word)
{
	char *end;
	double seconds;

	errno = 0;
	seconds = strtod(word, &end);
	if (errno || end == word || *end || !isfinite(seconds) || seconds <= 0 || seconds > 1e9)
		return -EINVAL;
	o->duration_ns = (uint64_t)(seconds * 1e9);
	return 0;
}

static int add_filter(struct options *o, const char *command, enum filter_kind kind, const char *value)
{
	char err[256];
	int ret = filter_add(o->filter, kind, value, err, sizeof(err));

	if (!ret)
		return -1;
	if (ret == -EINVAL)
		return usage_error(command, "%s", err);
	warn_msg("%s", err);
	return EXIT_FAILED;
}

/* -1 to go on, or an exit status */
static int take_option(struct options *o, const char *command, int code, const char *value)
{
	static const struct { int code; enum filter_kind kind; } filters[] = {
		{ 'p', FILTER_PID }, { 'i', FILTER_IFNAME }, { 'N', FILTER_NETNS }, { 'u', FILTER_USER },
		{ LONG_COMM, FILTER_COMM }, { LONG_KIND, FILTER_KIND }, { 'e', FILTER_EVENT }, { LONG_VM, FILTER_VM },
	};
	int number;

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		if (filters[i].code == code)
			return add_filter(o, command, filters[i].kind, value);
	switch (code) {
	case 'J':
		o->json = true;
		break;
	case 'n':
		o->noheadings = true;
		break;
	case 'o':
		o->columns = value;
		break;
	case 'r':
		o->raw = true;
		break;
	case LONG_LIST_COLUMNS:
		o->list_columns = true;
		break;
	case LONG_FD:
		o->fd = value;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'q':
		o->quiet = true;
		break;
	case LONG_BACKEND:
		number = backend_by_name(value);
		if (number < 0)
			return usage_error(command, "unknown backend '%s'", value);
		o->backend = (enum backend)number;
		break;
	case LONG_SEED:
		number = seed_by_name(value);
		if (number < 0)
			return usage_error(command, "unknown seed '%s'", value);
		/* the others cannot tell a live fact which of their files it is about */
		if (number != SEED_AUTO && number != SEED_ITER && number != SEED_NONE)
			return usage_error(command, "seed '%s' is for snapshots (list, who); a live view takes auto, iter "
					   "or none", value);
		o->seed = (enum seed_backend)number;
		break;
	case LONG_SNAPSHOT_SEED:
		number = seed_by_name(value);
		if (number < 0)
			return usage_error(command, "unknown seed '%s'", value);
		if (number == SEED_NONE)
			return usage_error(command, "seed 'none' leaves nothing to tell");
		o->seed = (enum seed_backend)number;
		break;
	case LONG_DURATION:
		if (parse_duration(o, value))
			return usage_error(command, "'%s' is no duration: give seconds, as in 10 or 0.5", value);
		break;
	}
	return -1;
}

static const struct spec *spec_of(int code)
{
	for (size_t i = 0; i < N_SPECS; i++)
		if (specs[i].code == code)
			return &specs[i];
	return NULL;
}

/* getopt's tables out of specs[] */
static void build_tables(unsigned takes, char letters[], struct option longs[])
{
	size_t n = 0;

	*letters++ = ':';
	for (size_t i = 0; i < N_SPECS; i++) {
		const struct spec *s = &specs[i];

		if (s->group && !(s->group & takes))
			continue;
		longs[n++] = (struct option){ s->name, s->argument ? required_argument : no_argument, NULL, s->code };
		if (s->code < LONG_COMM) {
			*letters++ = (char)s->code;
			if (s->argument)
				*letters++ = ':';
		}
	}
	*letters = '\0';
	longs[n] = (struct option){ 0 };
}

static int bad_option(const char *command, int code, char **argv)
{
	if (code == ':')
		return usage_error(command, "option '%s' needs a value", argv[optind - 1]);
	if (optopt && optopt < LONG_COMM)
		return usage_error(command, "unknown option '-%c'", optopt);
	return usage_error(command, "unknown option '%s'", argv[optind - 1]);
}

int options_parse(struct options *o, unsigned takes, int argc, char **argv, const char *help)
{
	struct option longs[N_SPECS + 1];
	char letters[3 * N_SPECS + 3];
	int code, status = -1;

	*o = (struct options){ .backend = BACKEND_AUTO, .seed = SEED_AUTO, .filter = filter_new() };
	if (!o->filter) {
		warn_msg("cannot start: out of memory");
		return EXIT_FAILED;
	}
	if ((takes & OPT_FILTERS) && !(takes & OPT_SNAPSHOT))
		takes |= OPT_EVENTS;
	build_tables(takes, letters, longs);
	optind = 1;
	while (status < 0 && (code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (code == LONG_HELP) {
			print_help(takes, help);
			status = EXIT_FINE;
		} else if (!spec_of(code)) {
			status = bad_option(argv[0], code, argv);
		} else {
			status = take_option(o, argv[0], code, optarg);
		}
	}
	o->first_operand = optind;
	if (status >= 0)
		options_free(o);
	return status;
}

void options_free(struct options *o)
{
	filter_free(o->filter);
	o->filter = NULL;
}
