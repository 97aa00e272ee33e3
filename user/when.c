// SPDX-License-Identifier: GPL-2.0-only
/*
 * when.c - see when.h.
 *
 * What strptime(3) and mktime(3) would let pass is checked here: a 30th of
 * February, an hour that daylight saving leaves out, two numbers run together.
 */
#include "when.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "escape.h"

#define NS_PER_SEC	1000000000ULL
#define NS_PER_DAY	(86400 * NS_PER_SEC)
#define LONGEST		128		/* bytes of a time; nothing sensible is longer */

struct message {
	char *text;
	size_t size;
};

__attribute__((format(printf, 2, 3)))
static int refuse(struct message *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->text, m->size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

struct shown {
	char text[ESCAPE_SIZE(64)];
};

static const char *show(struct shown *s, const char *word)
{
	escape_term(s->text, sizeof(s->text), word, strlen(word));
	return s->text;
}

static int no_time(struct message *m, const char *text)
{
	struct shown s;

	return refuse(m, "'%s' is no time; say it as in '2026-11-22 03:12:00', 'yesterday', '-2h' or '@1795317120'",
		      show(&s, text));
}

/* ---- scanning ---- */

static void skip_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t')
		(*at)++;
}

/* A number of `min` to `max` digits; false, and nothing taken, where there is none. */
static bool digits(const char **at, int min, int max, int *number)
{
	const char *p = *at;
	int n = 0, len = 0;

	for (; isdigit((unsigned char)*p) && len < max; len++)
		n = n * 10 + (*p++ - '0');
	if (len < min || isdigit((unsigned char)*p))
		return false;
	*at = p;
	*number = n;
	return true;
}

static bool literal(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* ".5": in ns; digits beyond the ninth are dropped. Nothing there: 0. */
static bool fraction(const char **at, uint64_t *ns)
{
	uint64_t unit = NS_PER_SEC / 10;

	*ns = 0;
	if (!literal(at, '.'))
		return true;
	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); (*at)++, unit /= 10)
		*ns += unit * (uint64_t)(**at - '0');
	return true;
}

/* ---- spans ---- */

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	/* months and years of systemd.time(7): 30.44 and 365.25 days */
	{ "seconds", NS_PER_SEC }, { "second", NS_PER_SEC }, { "sec", NS_PER_SEC }, { "s", NS_PER_SEC },
	{ "minutes", 60 * NS_PER_SEC }, { "minute", 60 * NS_PER_SEC }, { "min", 60 * NS_PER_SEC },
	{ "m", 60 * NS_PER_SEC },
	{ "hours", 3600 * NS_PER_SEC }, { "hour", 3600 * NS_PER_SEC }, { "hr", 3600 * NS_PER_SEC },
	{ "h", 3600 * NS_PER_SEC },
	{ "days", NS_PER_DAY }, { "day", NS_PER_DAY }, { "d", NS_PER_DAY },
	{ "weeks", 7 * NS_PER_DAY }, { "week", 7 * NS_PER_DAY }, { "w", 7 * NS_PER_DAY },
	{ "months", 2629800 * NS_PER_SEC }, { "month", 2629800 * NS_PER_SEC }, { "M", 2629800 * NS_PER_SEC },
	{ "years", 31557600 * NS_PER_SEC }, { "year", 31557600 * NS_PER_SEC }, { "y", 31557600 * NS_PER_SEC },
	{ "msec", 1000000 }, { "ms", 1000000 }, { "usec", 1000 }, { "us", 1000 },
	{ "\u00b5s", 1000 }, { "\u03bcs", 1000 }, { "nsec", 1 }, { "ns", 1 },
};

/* "M" and "m" differ: months, minutes. NULL: no such unit. */
static const struct unit *unit_of(const char *word, size_t len)
{
	static const struct unit seconds = { "", NS_PER_SEC };

	if (!len)
		return &seconds;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].name) == len && !strncmp(units[i].name, word, len))
			return &units[i];
	return NULL;
}

static bool is_unit_byte(char c)
{
	return isalpha((unsigned char)c) || (c & 0x80);
}

/* One "2.5 h", added to *ns. */
static int span_part(const char **at, uint64_t *ns, struct message *m)
{
	uint64_t whole = 0, part, add;
	const struct unit *unit;
	const char *word;
	struct shown s;

	if (!isdigit((unsigned char)**at) && **at != '.')
		return refuse(m, "'%s' is no length of time; say it as in '2h 30min' or '90d'", show(&s, *at));
	for (; isdigit((unsigned char)**at); (*at)++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(**at - '0'), &whole))
			return refuse(m, "that is too long a time");
	if (!fraction(at, &part))
		return refuse(m, "a digit is missing after the point");
	skip_blanks(at);
	for (word = *at; is_unit_byte(**at); (*at)++)
		;
	unit = unit_of(word, (size_t)(*at - word));
	if (!unit)
		return refuse(m, "unknown unit of time '%.*s'; there are s, min, h, d, w, month, y",
			      (int)(*at - word), show(&s, word));
	if (__builtin_mul_overflow(whole, unit->ns, &add) || __builtin_add_overflow(*ns, add, ns))
		return refuse(m, "that is too long a time");
	add = (uint64_t)((unsigned __int128)part * unit->ns / NS_PER_SEC);
	if (__builtin_add_overflow(*ns, add, ns) || *ns > INT64_MAX)
		return refuse(m, "that is too long a time");
	return 0;
}

static int parse_span(const char *text, uint64_t *ns, struct message *m)
{
	const char *at = text;
	int err;

	*ns = 0;
	skip_blanks(&at);
	do {
		err = span_part(&at, ns, m);
		skip_blanks(&at);
	} while (!err && *at);
	return err;
}

int when_parse_span(const char *text, uint64_t *ns, char *err, size_t errsize)
{
	struct message m = { err, errsize };

	if (strlen(text) > LONGEST)
		return refuse(&m, "that is too much text for a length of time");
	return parse_span(text, ns, &m);
}

/* ---- zones ---- */

struct zone {
	bool fixed;		/* `offset` counts, not the local zone */
	long offset;		/* seconds east of Greenwich */
	int isdst;		/* -1: whichever is in force then */
	const char *name;	/* a place's zone; NULL: the local one */
};

/* $TZ for a while. Nothing here runs in a second thread. */
struct saved_zone {
	char *tz;
	bool had;
};

static int enter_zone(struct saved_zone *saved, const char *name)
{
	const char *tz = getenv("TZ");
	char value[LONGEST + 2];

	*saved = (struct saved_zone){ .had = tz };
	if (tz && !(saved->tz = strdup(tz)))
		return -ENOMEM;
	snprintf(value, sizeof(value), ":%s", name);
	if (setenv("TZ", value, 1)) {
		free(saved->tz);
		return -ENOMEM;
	}
	tzset();
	return 0;
}

static void leave_zone(struct saved_zone *saved)
{
	if (saved->had)
		setenv("TZ", saved->tz, 1);
	else
		unsetenv("TZ");
	free(saved->tz);
	tzset();
}

/* Is there such a file of zoneinfo? Not to be left by "..". */
static bool is_place(const char *name)
{
	const char *dir = getenv("TZDIR");
	char path[PATH_MAX];
	struct stat st;

	if (!isalpha((unsigned char)*name) || strstr(name, "..") || strspn(name,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/") != strlen(name))
		return false;
	snprintf(path, sizeof(path), "%s/%s", dir && *dir ? dir : "/usr/share/zoneinfo", name);
	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* "+02:00", "-0530", right after a time of day. */
static bool offset_zone(const char *word, struct zone *zone)
{
	int sign = *word == '-' ? -1 : 1, hours, minutes;
	const char *at = word + 1;

	if (*word != '+' && *word != '-')
		return false;
	if (digits(&at, 2, 2, &hours) && literal(&at, ':')) {
		if (!digits(&at, 2, 2, &minutes) || *at)
			return false;
	} else {
		at = word + 1;
		if (!digits(&at, 4, 4, &hours) || *at)
			return false;
		minutes = hours % 100;
		hours /= 100;
	}
	if (hours > 24 || minutes > 59)
		return false;
	*zone = (struct zone){ .fixed = true, .offset = sign * (hours * 3600L + minutes * 60L) };
	return true;
}

/* What stands behind date and time. False: that is no zone. */
static bool parse_zone(const char *word, struct zone *zone)
{
	*zone = (struct zone){ .isdst = -1 };
	if (!*word)
		return true;
	if (!strcmp(word, "UTC") || !strcmp(word, "Z")) {
		zone->fixed = true;
		return true;
	}
	if (offset_zone(word, zone))
		return true;
	tzset();
	for (int i = 0; i < 2; i++) {
		if (strcmp(word, tzname[i]))
			continue;
		zone->isdst = i;
		return true;
	}
	zone->name = word;
	return is_place(word);
}

/* ---- calendar ---- */

static bool same_wall(const struct tm *x, const struct tm *y)
{
	return x->tm_year == y->tm_year && x->tm_mon == y->tm_mon && x->tm_mday == y->tm_mday &&
	       x->tm_hour == y->tm_hour && x->tm_min == y->tm_min;
}

/* One reading of a wall time. False: at that moment the clock does not show it. */
static bool reading(const struct tm *wall, int isdst, time_t *t)
{
	struct tm tm = *wall, back;

	tm.tm_isdst = isdst;
	tm.tm_sec = 0;
	*t = mktime(&tm);
	return localtime_r(t, &back) && same_wall(wall, &back);
}

/*
 * The moment when the clock on the wall shows `wall`. mktime(3) chooses in an
 * undefined way where there are two such moments or none.
 */
static time_t moment(const struct tm *wall, const struct zone *zone)
{
	time_t summer, winter, seconds = wall->tm_sec;
	bool in_summer, in_winter;

	if (zone->fixed) {
		struct tm tm = *wall;

		return timegm(&tm) - zone->offset;
	}
	in_winter = reading(wall, 0, &winter);
	in_summer = reading(wall, 1, &summer);
	if (zone->isdst >= 0)
		return (zone->isdst ? summer : winter) + seconds;
	if (in_summer && in_winter)
		return (summer < winter ? summer : winter) + seconds;
	return (in_summer ? summer : winter) + seconds;
}

static void wall_of(uint64_t ns, const struct zone *zone, struct tm *tm)
{
	time_t t = (time_t)(ns / NS_PER_SEC) + (zone->fixed ? zone->offset : 0);

	if (zone->fixed)
		gmtime_r(&t, tm);
	else
		localtime_r(&t, tm);
}

static const char *const weekdays[] = {
	"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};

/* "Tue ", "Tuesday "; the weekday's number, or -1. */
static int weekday(const char **at)
{
	for (int i = 0; i < 7; i++) {
		size_t lens[] = { strlen(weekdays[i]), 3 };

		for (size_t k = 0; k < 2; k++) {
			if (strncasecmp(*at, weekdays[i], lens[k]) || (*at)[lens[k]] != ' ')
				continue;
			*at += lens[k];
			skip_blanks(at);
			return i;
		}
	}
	return -1;
}

/* A date and time as written, before it is known in which zone. */
struct written {
	int weekday;		/* -1: not said */
	bool has_date, has_time;
	int year, month, day, hour, minute, second;
	uint64_t fraction_ns;
	int days;		/* yesterday -1, tomorrow 1 */
	bool now;
};

static bool scan_date(const char **at, struct written *w)
{
	const char *p = *at;

	if (digits(&p, 4, 4, &w->year))
		;
	else if (digits(&p, 2, 2, &w->year))
		w->year += w->year < 69 ? 2000 : 1900; /* as strptime(3) */
	else
		return false;
	if (!literal(&p, '-') || !digits(&p, 1, 2, &w->month) || !literal(&p, '-') || !digits(&p, 1, 2, &w->day))
		return false;
	w->has_date = true;
	*at = p;
	return true;
}

static bool scan_time(const char **at, struct written *w)
{
	const char *p = *at;

	if (!digits(&p, 1, 2, &w->hour) || !literal(&p, ':') || !digits(&p, 1, 2, &w->minute))
		return false;
	if (literal(&p, ':') && (!digits(&p, 1, 2, &w->second) || !fraction(&p, &w->fraction_ns)))
		return false;
	w->has_time = true;
	*at = p;
	return true;
}

static bool scan_word(const char **at, struct written *w)
{
	static const struct { const char *word; int days; bool now; } words[] = {
		{ "now", 0, true }, { "today", 0, false }, { "yesterday", -1, false }, { "tomorrow", 1, false },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i].word);

		if (strncmp(*at, words[i].word, len) || ((*at)[len] && (*at)[len] != ' '))
			continue;
		w->days = words[i].days;
		w->now = words[i].now;
		*at += len;
		return true;
	}
	return false;
}

/* False: that is neither a date nor a time of day. */
static bool scan_written(const char **at, struct written *w)
{
	const char *p;

	w->weekday = weekday(at);
	if (w->weekday < 0 && scan_word(at, w))
		return true;
	if (!scan_date(at, w))
		return scan_time(at, w);
	p = *at;
	if (literal(&p, 'T'))
		return *at = p, scan_time(at, w);
	skip_blanks(&p);
	/* what follows may also be a zone */
	if (p > *at && isdigit((unsigned char)*p))
		return *at = p, scan_time(at, w);
	return true;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int check_written(const struct written *w, const char *text, struct message *m)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	struct shown s;

	if (w->has_date && (w->month < 1 || w->month > 12 || w->day < 1 ||
			    w->day > days[w->month - 1] + (w->month == 2 && is_leap(w->year))))
		return refuse(m, "there is no day %04d-%02d-%02d", w->year, w->month, w->day);
	/* 60: a leap second */
	if (w->hour > 23 || w->minute > 59 || w->second > 60)
		return refuse(m, "there is no such time of day: '%s'", show(&s, text));
	return 0;
}

static int resolve(const struct written *w, const struct zone *zone, uint64_t now_ns, uint64_t *ns, struct message *m)
{
	struct tm tm;
	time_t t;

	wall_of(now_ns, zone, &tm);
	if (w->has_date) {
		tm.tm_year = w->year - 1900;
		tm.tm_mon = w->month - 1;
		tm.tm_mday = w->day;
	}
	tm.tm_mday += w->days;
	tm.tm_hour = w->hour;
	tm.tm_min = w->minute;
	tm.tm_sec = 0;
	/* makes yesterday of the first the last of the month before, and tells the weekday */
	tm.tm_isdst = -1;
	timegm(&tm);
	if (w->weekday >= 0 && w->weekday != tm.tm_wday)
		return refuse(m, "%04d-%02d-%02d is no %s but a %s", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			      weekdays[w->weekday], weekdays[tm.tm_wday]);
	tm.tm_sec = w->second;
	t = moment(&tm, zone);
	if (t < 0 || (uint64_t)t > INT64_MAX / NS_PER_SEC - 1)
		return refuse(m, "times are to be between 1970 and 2262");
	*ns = (uint64_t)t * NS_PER_SEC + w->fraction_ns;
	return 0;
}

static int parse_calendar(const char *text, uint64_t now_ns, uint64_t *ns, struct message *m)
{
	struct saved_zone saved;
	struct written w = { 0 };
	struct zone zone;
	const char *at = text;
	bool glued;
	struct shown s;
	int err;

	if (!scan_written(&at, &w))
		return no_time(m, text);
	glued = *at && *at != ' ' && *at != '\t';
	/* only a time of day may have its zone right behind it */
	if (glued && (!w.has_time || !strchr("Z+-", *at)))
		return no_time(m, text);
	skip_blanks(&at);
	if (!parse_zone(at, &zone))
		return isdigit((unsigned char)*at) ? no_time(m, text) :
						     refuse(m, "unknown time zone '%s'", show(&s, at));
	err = check_written(&w, text, m);
	if (err)
		return err;
	if (w.now) {
		*ns = now_ns;
		return 0;
	}
	if (!zone.name)
		return resolve(&w, &zone, now_ns, ns, m);
	if (enter_zone(&saved, zone.name))
		return refuse(m, "out of memory");
	err = resolve(&w, &zone, now_ns, ns, m);
	leave_zone(&saved);
	return err;
}

/* ---- all forms ---- */

static int parse_epoch(const char *text, uint64_t *ns, struct message *m)
{
	uint64_t seconds = 0, part;
	const char *at = text + 1;

	if (!isdigit((unsigned char)*at))
		return no_time(m, text);
	for (; isdigit((unsigned char)*at); at++) {
		seconds = seconds * 10 + (uint64_t)(*at - '0');
		if (seconds > INT64_MAX / NS_PER_SEC - 1)
			return refuse(m, "times are to be between 1970 and 2262");
	}
	if (!fraction(&at, &part) || (*at && strcmp(at, " UTC")))
		return no_time(m, text);
	*ns = seconds * NS_PER_SEC + part;
	return 0;
}

static int relative(uint64_t now_ns, const char *span, int sign, uint64_t *ns, struct message *m)
{
	uint64_t distance;
	int err = parse_span(span, &distance, m);

	if (err)
		return err;
	if (sign < 0)
		*ns = distance < now_ns ? now_ns - distance : 0;
	else if (__builtin_add_overflow(now_ns, distance, ns) || *ns > INT64_MAX)
		return refuse(m, "times are to be between 1970 and 2262");
	return 0;
}

/* "2h ago": the length before the word; false without it. */
static bool with_suffix(const char *text, const char *word, char out[LONGEST + 1])
{
	size_t len = strlen(text), tail = strlen(word);

	if (len <= tail || strcmp(text + len - tail, word))
		return false;
	memcpy(out, text, len - tail);
	out[len - tail] = '\0';
	return true;
}

int when_parse(const char *text, uint64_t now_ns, uint64_t *ns, char *err, size_t errsize)
{
	struct message m = { err, errsize };
	char word[LONGEST + 1], span[LONGEST + 1];
	size_t len;

	skip_blanks(&text);
	len = strlen(text);
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	if (!len || len > LONGEST)
		return no_time(&m, text);
	memcpy(word, text, len);
	word[len] = '\0';

	if (*word == '@')
		return parse_epoch(word, ns, &m);
	if (*word == '+' || *word == '-')
		return relative(now_ns, word + 1, *word == '-' ? -1 : 1, ns, &m);
	if (with_suffix(word, " ago", span))
		return relative(now_ns, span, -1, ns, &m);
	if (with_suffix(word, " left", span))
		return relative(now_ns, span, 1, ns, &m);
	return parse_calendar(word, now_ns, ns, &m);
}
