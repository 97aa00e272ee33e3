// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diag.h"
#include "history.h"
#include "options.h"
#include "when.h"

enum { LONG_COMM = 256, LONG_KIND, LONG_VM, LONG_BACKEND, LONG_SEED, LONG_DURATION, LONG_HELP, LONG_LIST_COLUMNS,
       LONG_FD, LONG_SNAPSHOT_SEED, LONG_AT, LONG_DB, LONG_LINES, LONG_REVERSE, LONG_NOHEADINGS, LONG_AFTER_CURSOR,
       LONG_SHOW_CURSOR, LONG_CURSOR_FILE, LONG_KEEP, LONG_MAX_SIZE, LONG_GROUP, LONG_JOURNAL, LONG_ANCHOR,
       LONG_DOT, LONG_STALE, LONG_OLDER, LONG_STATS, LONG_SVG, LONG_HTML };

#define OPT_EVENTS	(1u << 31) /* options_parse(): those who filter what happens */

/* One row per option: how it is written, who takes it, what it does. */
static const struct spec {
	const char *name;
	int code;		/* the short letter, or LONG_* */
	const char *argument;	/* NULL: takes none; "[…]": it may be left out */
	unsigned group;		/* OPT_*; 0: every command */
	const char *help;
	char letter;		/* the short letter of a LONG_*; other commands have it for something else */
} specs[] = {
	{ "json", 'J', NULL, OPT_JSON, "JSON instead of text", 0 },
	{ "pid", 'p', "LIST", OPT_FILTERS, "only these processes", 0 },
	{ "ifname", 'i', "GLOB", OPT_FILTERS, "only interfaces of such a name, now or before", 0 },
	{ "netns", 'N', "NS", OPT_FILTERS, "only this network namespace: NAME, PATH, INODE or pid:PID", 0 },
	{ "user", 'u', "USER", OPT_FILTERS, "only processes of this user, by name or number", 0 },
	{ "comm", LONG_COMM, "GLOB", OPT_FILTERS, "only processes of such a command name", 0 },
	{ "kind", LONG_KIND, "LIST", OPT_FILTERS, "only devices of these kinds: tap, tun, macvtap, ipvtap", 0 },
	{ "event", 'e', "LIST", OPT_EVENTS, "only these events: attach, move, delete, …", 0 },
	{ "vm", LONG_VM, "GLOB", OPT_FILTERS, "only virtual machines of such a name or UUID", 0 },
	{ "at", LONG_AT, "TIME", OPT_AT, "as it was then: '2026-11-17 03:12', yesterday, -2h, …", 0 },
	{ "stats", LONG_STATS, NULL, OPT_STATS, "how long starts took, and which failed, out of the history", 0 },
	{ "since", 'S', "TIME", OPT_HISTORY | OPT_STATS | OPT_REPORT, "only from then on: '2026-11-17 03:12', yesterday, -2h, …", 0 },
	{ "until", 'U', "TIME", OPT_HISTORY | OPT_STATS | OPT_REPORT, "only up to then", 0 },
	{ "lines", LONG_LINES, "[N]", OPT_HISTORY, "only the last N, +N: the first N (10)", 'n' },
	{ "reverse", LONG_REVERSE, NULL, OPT_HISTORY, "newest first", 'r' },
	{ "follow", 'f', NULL, OPT_HISTORY, "go on with what comes, after the last 10", 0 },
	{ "boot", 'b', "[ID]", OPT_HISTORY, "only this boot: an id, 0: the last, -1: the one before, 1: the first, ID-1: before that one, all", 0 },
	{ "after-cursor", LONG_AFTER_CURSOR, "CURSOR", OPT_HISTORY, "only what comes after what the cursor stands for", 0 },
	{ "show-cursor", LONG_SHOW_CURSOR, NULL, OPT_HISTORY, "tell the cursor of the last event at the end", 0 },
	{ "cursor-file", LONG_CURSOR_FILE, "FILE", OPT_HISTORY, "after the cursor in FILE, which then gets the new one", 0 },
	{ "db", LONG_DB, "FILE", OPT_AT | OPT_HISTORY | OPT_DB | OPT_REPORT, "the history (" HISTORY_DEFAULT_DB ")", 0 },
	{ "keep", LONG_KEEP, "TIME", OPT_RECORD, "remove what is older: 90d, 12h, 2w, 1y", 0 },
	{ "max-size", LONG_MAX_SIZE, "SIZE", OPT_RECORD, "remove the oldest so that the database is no larger: 500M, 2G", 0 },
	{ "group", LONG_GROUP, "NAME", OPT_RECORD, "this group may read the database, too", 0 },
	{ "journal", LONG_JOURNAL, NULL, OPT_RECORD, "send each event to the systemd journal as well", 0 },
	{ "anchor", LONG_ANCHOR, "SEQ:HASH", OPT_VERIFY, "a head noted earlier: it has to be in the chain", 0 },
	{ "fd", LONG_FD, "PID:FD", OPT_FD, "the reverse question: what is this fd of that process?", 0 },
	{ "output", 'o', "COLS", OPT_COLUMNS, "these columns; +COLS: these after the usual ones", 0 },
	{ "list-columns", LONG_LIST_COLUMNS, NULL, OPT_COLUMNS, "what columns there are", 0 },
	{ "raw", 'r', NULL, OPT_COLUMNS, "no padding, blanks and the like as \\xNN", 0 },
	{ "stale", LONG_STALE, NULL, OPT_LIST, "only what is left over: devices without holder, files without their device, …", 0 },
	{ "older", LONG_OLDER, "AGE", OPT_LIST, "--stale, and only what is so for so long, as recorded: 2h, 30min, 7d", 0 },
	{ "dot", LONG_DOT, NULL, OPT_LIST, "a graph for Graphviz: list --dot | dot -Tsvg >taps.svg", 0 },
	{ "svg", LONG_SVG, "FILE", OPT_SVG, "a picture, into FILE (-: standard output)", 0 },
	{ "html", LONG_HTML, "FILE", OPT_REPORT, "where the page goes (-: standard output)", 0 },
	{ "noheadings", 'n', NULL, OPT_NOHEADINGS, "no header line", 0 },
	{ "noheadings", LONG_NOHEADINGS, NULL, OPT_HISTORY, "no header line", 0 },
	{ "backend", LONG_BACKEND, "NAME", OPT_BACKEND,
	  "kernel hooks: auto (default), fentry, kprobe, tracepoint", 0 },
	{ "seed", LONG_SEED, "NAME", OPT_SEED, "how the existing state is read: auto (default), iter, none", 0 },
	{ "seed", LONG_SNAPSHOT_SEED, "NAME", OPT_SNAPSHOT,
	  "how the state is read: auto (default), iter, pidfd, fdinfo, ptrace", 0 },
	{ "duration", LONG_DURATION, "SECONDS", OPT_DURATION, "end by itself after so long", 0 },
	{ "verbose", 'v', NULL, OPT_NOISE, "say more on standard error", 0 },
	{ "quiet", 'q', NULL, OPT_NOISE, "no header and no 'ready' line", 0 },
	{ "help", LONG_HELP, NULL, 0, "this text", 0 },
};
#define N_SPECS (sizeof(specs) / sizeof(specs[0]))

/* The short letter; 0: there is none. */
static int letter_of(const struct spec *s)
{
	return s->letter ? s->letter : s->code < LONG_COMM ? s->code : 0;
}

static bool is_optional(const struct spec *s)
{
	return s->argument && *s->argument == '[';
}

static bool is_taken(const struct spec *s, unsigned takes)
{
	return !s->group || (s->group & takes);
}

static void print_help(unsigned takes, const char *help)
{
	printf("%s\nOptions:\n", help);
	for (size_t i = 0; i < N_SPECS; i++) {
		char left[48], letter[8] = "    ";

		if (!is_taken(&specs[i], takes))
			continue;
		if (letter_of(&specs[i]))
			snprintf(letter, sizeof(letter), "-%c, ", letter_of(&specs[i]));
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

static int parse_when(const char *command, const char *word, uint64_t *ns)
{
	struct timespec now = { 0 };
	char err[256];

	clock_gettime(CLOCK_REALTIME, &now);
	if (when_parse(word, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, ns, err, sizeof(err)))
		return usage_error(command, "%s", err);
	/* 0 stands for: not given */
	*ns += !*ns;
	return -1;
}

/* "20", "+20", "all" */
static int parse_lines(struct options *o, const char *command, const char *word)
{
	const char *digits = word + (*word == '+');

	if (!strcmp(word, "all")) {
		o->limited = false;
		return -1;
	}
	if (!*digits || strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 9)
		return usage_error(command, "'%s' is no number of lines", word);
	o->limited = true;
	o->oldest = *word == '+';
	o->lines = strtoull(digits, NULL, 10);
	return -1;
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

static const struct { int code; enum filter_kind kind; } filter_codes[] = {
	{ 'p', FILTER_PID }, { 'i', FILTER_IFNAME }, { 'N', FILTER_NETNS }, { 'u', FILTER_USER },
	{ LONG_COMM, FILTER_COMM }, { LONG_KIND, FILTER_KIND }, { 'e', FILTER_EVENT }, { LONG_VM, FILTER_VM },
};

/* Filters wait until all options are known: whether the past is meant decides what their words mean. */
struct words {
	size_t n;
	struct { enum filter_kind kind; const char *value; } word[];
};

static bool is_filter(struct words *words, int code, const char *value)
{
	for (size_t i = 0; i < sizeof(filter_codes) / sizeof(filter_codes[0]); i++) {
		if (filter_codes[i].code != code)
			continue;
		words->word[words->n].kind = filter_codes[i].kind;
		words->word[words->n++].value = value;
		return true;
	}
	return false;
}

static int add_filters(struct options *o, const char *command, const struct words *words)
{
	int status = -1;

	if (o->past)
		filter_past(o->filter);
	for (size_t i = 0; i < words->n && status < 0; i++)
		status = add_filter(o, command, words->word[i].kind, words->word[i].value);
	return status;
}

/* Those of the history. -1 to go on, or an exit status. */
/* A number and a unit of the table, without anything else. 0 or -EINVAL. */
struct unit {
	const char *word;
	uint64_t factor;
};

static int parse_units(const char *word, const struct unit *units, size_t n, uint64_t *value)
{
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(word, &end, 10);
	if (errno || end == word || *word < '0' || *word > '9' || !number)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(end, units[i].word))
			continue;
		*value = number * units[i].factor;
		return number > INT64_MAX / units[i].factor ? -EINVAL : 0;
	}
	return -EINVAL;
}

#define NSEC 1000000000ULL
#define SMALLEST_DB (4 << 20)

static const struct unit times[] = {
	{ "s", NSEC }, { "min", 60 * NSEC }, { "h", 3600 * NSEC }, { "d", 86400 * NSEC }, { "w", 7 * 86400 * NSEC },
	{ "y", 31557600 * NSEC },
};

static int take_record_option(struct options *o, const char *command, int code, const char *value)
{
	static const struct unit sizes[] = {
		{ "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { "T", 1ULL << 40 },
	};

	switch (code) {
	case LONG_KEEP:
		if (parse_units(value, times, sizeof(times) / sizeof(times[0]), &o->keep_ns))
			return usage_error(command, "'%s' is no time to keep: give for example 90d, 12h, 2w or 1y", value);
		break;
	case LONG_MAX_SIZE:
		if (parse_units(value, sizes, sizeof(sizes) / sizeof(sizes[0]), &o->max_bytes))
			return usage_error(command, "'%s' is no size: give for example 500M or 2G", value);
		if (o->max_bytes < SMALLEST_DB)
			return usage_error(command, "--max-size is at least 4M");
		break;
	case LONG_GROUP:
		o->group = value;
		break;
	case LONG_JOURNAL:
		o->journal = true;
		break;
	case LONG_DOT:
		o->dot = true;
		break;
	case LONG_STATS:
		/* filters are for what was recorded */
		o->stats = o->past = true;
		break;
	case LONG_STALE:
		o->stale = true;
		break;
	case LONG_OLDER:
		if (parse_units(value, times, sizeof(times) / sizeof(times[0]), &o->older_ns))
			return usage_error(command, "'%s' is no age: give for example 30min, 2h or 7d", value);
		o->stale = true;
		break;
	case LONG_SVG:
		o->svg = value;
		break;
	case LONG_HTML:
		o->html = value;
		break;
	case LONG_ANCHOR:
		o->anchor = value;
		break;
	}
	return -1;
}

static int take_history_option(struct options *o, const char *command, int code, const char *value)
{
	switch (code) {
	case LONG_AT:
		o->past = true;
		return parse_when(command, value, &o->at_ns);
	case 'S':
		return parse_when(command, value, &o->since_ns);
	case 'U':
		return parse_when(command, value, &o->until_ns);
	case LONG_LINES:
		return parse_lines(o, command, value ? value : "10");
	case LONG_REVERSE:
		o->reverse = true;
		break;
	case 'f':
		o->follow = true;
		break;
	case 'b':
		o->boot = value ? value : "";
		break;
	case LONG_AFTER_CURSOR:
		o->after_cursor = value;
		break;
	case LONG_CURSOR_FILE:
		o->cursor_file = value;
		break;
	case LONG_SHOW_CURSOR:
		o->show_cursor = true;
		break;
	case LONG_DB:
		o->db = value;
		break;
	default:
		return take_record_option(o, command, code, value);
	}
	return -1;
}

/* -1 to go on, or an exit status */
static int take_option(struct options *o, const char *command, int code, const char *value)
{
	int number;

	switch (code) {
	case 'J':
		o->json = true;
		break;
	case 'n':
	case LONG_NOHEADINGS:
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
	default:
		return take_history_option(o, command, code, value);
	}
	return -1;
}

/* By what getopt returns: a code, or a letter. NULL: unknown. */
static const struct spec *spec_of(unsigned takes, int code)
{
	for (size_t i = 0; i < N_SPECS; i++)
		if (is_taken(&specs[i], takes) && (specs[i].code == code || letter_of(&specs[i]) == code))
			return &specs[i];
	return NULL;
}

/* "-1", "+20", "0", "3c5d…", "3c5d…+1", "all": no option and no operand. */
static bool is_loose_value(const char *word)
{
	bool sign = *word == '-' || *word == '+';
	const char *rest = word + sign;

	if (!strcmp(word, "all"))
		return true;
	if (!*rest || (sign && (*rest < '0' || *rest > '9')))
		return false;
	return strspn(rest, "0123456789abcdefABCDEF+-") == strlen(rest);
}

/* A value that may be left out may also stand in the next word: as journalctl takes `-n 20` and `-b -1`. */
static const char *optional_value(const struct spec *s, int argc, char **argv)
{
	if (!is_optional(s) || optarg || optind >= argc || !is_loose_value(argv[optind]))
		return optarg;
	return argv[optind++];
}

/* getopt's tables out of specs[] */
static void build_tables(unsigned takes, char letters[], struct option longs[])
{
	size_t n = 0;

	*letters++ = ':';
	for (size_t i = 0; i < N_SPECS; i++) {
		const struct spec *s = &specs[i];

		int has = is_optional(s) ? optional_argument : s->argument ? required_argument : no_argument;

		if (!is_taken(s, takes))
			continue;
		longs[n++] = (struct option){ s->name, has, NULL, s->code };
		if (letter_of(s)) {
			*letters++ = (char)letter_of(s);
			for (int i = 0; i < has; i++) /* required_argument is 1, optional_argument 2 */
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

static int parse_all(struct options *o, struct words *words, unsigned takes, int argc, char **argv, const char *help)
{
	struct option longs[N_SPECS + 1];
	char letters[4 * N_SPECS + 3];
	int code, status = -1;

	build_tables(takes, letters, longs);
	optind = 1;
	while (status < 0 && (code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct spec *s = spec_of(takes, code);
		const char *value;

		if (!s)
			return bad_option(argv[0], code, argv);
		if (code == LONG_HELP) {
			print_help(takes, help);
			return EXIT_FINE;
		}
		value = optional_value(s, argc, argv);
		if (!is_filter(words, s->code, value))
			status = take_option(o, argv[0], s->code, value);
	}
	if (status < 0 && (takes & OPT_AT) && !(takes & OPT_DB) && o->db && !o->past && !o->stale)
		return usage_error(argv[0], "--db is for --at: what is now does not stand there");
	if (!o->db)
		o->db = HISTORY_DEFAULT_DB;
	return status < 0 ? add_filters(o, argv[0], words) : status;
}

int options_parse(struct options *o, unsigned takes, int argc, char **argv, const char *help)
{
	struct words *words = calloc(1, sizeof(*words) + (size_t)argc * sizeof(words->word[0]));
	int status;

	*o = (struct options){
		.backend = BACKEND_AUTO, .seed = SEED_AUTO, .filter = filter_new(),
		.past = takes & (OPT_HISTORY | OPT_REPORT),
	};
	if ((takes & OPT_FILTERS) && !(takes & OPT_SNAPSHOT))
		takes |= OPT_EVENTS;
	if (words && o->filter) {
		status = parse_all(o, words, takes, argc, argv, help);
	} else {
		warn_msg("cannot start: out of memory");
		status = EXIT_FAILED;
	}
	free(words);
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
