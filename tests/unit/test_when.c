// SPDX-License-Identifier: GPL-2.0-only
/* Every way to write a moment, by hand-computed results; what is none, with its message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../user/when.h"

/* Rules, not names: the tests need no zoneinfo. Changes on the last Sundays of March and October. */
#define BERLIN	"CET-1CEST,M3.5.0,M10.5.0/3"
#define NEWYORK	"EST5EDT,M3.2.0,M11.1.0"

#define S	1000000000ULL
/* 2026-11-22 00:31:00.25 UTC, a Sunday; 01:31 in Berlin */
#define EPOCH	1795307460ULL
#define NOW	(EPOCH * S + 250000000)

static void zone(const char *tz)
{
	setenv("TZ", tz, 1);
	tzset();
}

struct sample {
	const char *text;
	uint64_t sec;
	uint64_t ns;
};

static void check(const struct sample *samples, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char err[256] = "";
		uint64_t ns = 0;
		int ret = when_parse(samples[i].text, NOW, &ns, err, sizeof(err));

		if (ret || ns != samples[i].sec * S + samples[i].ns)
			fail_msg("'%s': %d %s, %llu.%09llu in place of %llu.%09llu", samples[i].text, ret, err,
				 (unsigned long long)(ns / S), (unsigned long long)(ns % S),
				 (unsigned long long)samples[i].sec, (unsigned long long)samples[i].ns);
	}
}

#define CHECK(samples) check(samples, sizeof(samples) / sizeof((samples)[0]))

static void test_absolute(void **state)
{
	static const struct sample samples[] = {
		{ "2026-11-22 03:12:00", 1795317120, 0 },
		{ "2026-11-22 03:12", 1795317120, 0 },
		{ "2026-11-22T03:12:00", 1795317120, 0 },
		{ "2026-11-22", 1795305600, 0 },
		{ "26-11-22", 1795305600, 0 },
		{ "26-11-22 03:12", 1795317120, 0 },
		{ "2026-11-22  3:12", 1795317120, 0 },
		{ "  2026-11-22 03:12 ", 1795317120, 0 },
		{ "2026-1-2 3:4:5", 1767323045, 0 },
		{ "03:12:00", 1795317120, 0 },
		{ "03:12", 1795317120, 0 },
		{ "2026-11-22 03:12:00.5", 1795317120, 500000000 },
		{ "2026-11-22 03:12:00.000000001", 1795317120, 1 },
		{ "2026-11-22 03:12:00.1234567899", 1795317120, 123456789 },
		{ "03:12:00.75", 1795317120, 750000000 },
		{ "2026-11-22 03:12:60", 1795317180, 0 },
		{ "Sun 2026-11-22 03:12", 1795317120, 0 },
		{ "sunday 2026-11-22", 1795305600, 0 },
		{ "Tue 2026-11-17 03:12", 1794885120, 0 },
		{ "Sun 03:12", 1795317120, 0 },
		{ "1970-01-01", 0, 0 },
		{ "70-01-01", 0, 0 },
		{ "2000-02-29", 951782400, 0 },
		{ "2024-02-29 12:00", 1709208000, 0 },
		{ "2028-02-29", 1835395200, 0 },
		{ "now", EPOCH, 250000000 },
		{ "today", 1795305600, 0 },
		{ "yesterday", 1795219200, 0 },
		{ "tomorrow", 1795392000, 0 },
		{ "@1795317120", 1795317120, 0 },
		{ "@1795317120.25", 1795317120, 250000000 },
		{ "@0", 0, 0 },
		{ "@5 UTC", 5, 0 },
	};

	(void)state;
	zone("UTC0");
	CHECK(samples);
}

static void test_relative(void **state)
{
	static const struct sample samples[] = {
		{ "-1h", EPOCH - 3600, 250000000 },
		{ "+5min", EPOCH + 300, 250000000 },
		{ "-2h30min", EPOCH - 9000, 250000000 },
		{ "-2h 30min", EPOCH - 9000, 250000000 },
		{ "-2 h 30 minutes", EPOCH - 9000, 250000000 },
		{ "2h 30min ago", EPOCH - 9000, 250000000 },
		{ "1 week ago", EPOCH - 604800, 250000000 },
		{ "5min left", EPOCH + 300, 250000000 },
		{ "-30", EPOCH - 30, 250000000 },
		{ "- 1h", EPOCH - 3600, 250000000 },
		{ "-1.5h", EPOCH - 5400, 250000000 },
		{ "-.5s", EPOCH - 1, 750000000 },
		{ "-1M", EPOCH - 2629800, 250000000 },
		{ "-1m", EPOCH - 60, 250000000 },
		{ "-1y", EPOCH - 31557600, 250000000 },
		{ "-1d1h1min1s1ms1us1ns", EPOCH - 86400 - 3600 - 60 - 1, 250000000 - 1001001 },
		{ "-3\u00b5s", EPOCH, 250000000 - 3000 },
		{ "-60y", 0, 0 },	/* before the epoch: as far back as there is */
	};

	(void)state;
	zone("UTC0");
	CHECK(samples);
	/* a length of time knows no daylight saving */
	zone(BERLIN);
	CHECK(samples);
}

static void test_zones(void **state)
{
	static const struct sample berlin[] = {
		{ "2026-11-22 03:12", 1795313520, 0 },
		{ "2026-07-01 12:00", 1782900000, 0 },
		{ "2026-11-22 03:12 UTC", 1795317120, 0 },
		{ "2026-11-22 UTC", 1795305600, 0 },
		{ "2026-11-22T03:12:00Z", 1795317120, 0 },
		{ "2026-11-22T03:12:00.123456789Z", 1795317120, 123456789 },
		{ "2026-11-22T03:12:00+02:00", 1795309920, 0 },
		{ "2026-11-22 03:12:00 -05:30", 1795336920, 0 },
		{ "2026-11-22 03:12:00-0530", 1795336920, 0 },
		{ "2026-11-22 03:12 CET", 1795313520, 0 },
		{ "2026-07-01 12:00 CEST", 1782900000, 0 },
		{ "2026-07-01 12:00 CET", 1782903600, 0 },
		{ "today", 1795302000, 0 },
		{ "today UTC", 1795305600, 0 },
		{ "yesterday", 1795215600, 0 },
		{ "03:12", 1795313520, 0 },
		{ "03:12 UTC", 1795317120, 0 },
	};
	/* still Saturday evening there */
	static const struct sample newyork[] = {
		{ "today", 1795237200, 0 },
		{ "Sat 19:00", 1795305600, 0 },
		{ "2026-11-22 03:12", 1795335120, 0 },
		{ "2026-11-22 03:12 EST", 1795335120, 0 },
	};

	(void)state;
	zone(BERLIN);
	CHECK(berlin);
	zone(NEWYORK);
	CHECK(newyork);
}

static void test_daylight_saving(void **state)
{
	static const struct sample samples[] = {
		/* 2026-10-25 03:00 CEST is 02:00 CET: the hour from 2 comes twice, the first is meant */
		{ "2026-10-25 01:59:59", 1792886399, 0 },
		{ "2026-10-25 02:30", 1792888200, 0 },
		{ "2026-10-25 02:30 CEST", 1792888200, 0 },
		{ "2026-10-25 02:30 CET", 1792891800, 0 },
		{ "2026-10-25 03:00", 1792893600, 0 },
		/* 2026-03-29 02:00 CET is 03:00 CEST: there is no 02:30 */
		{ "2026-03-29 01:59:59", 1774745999, 0 },
		{ "2026-03-29 02:30", 1774747800, 0 },
		{ "2026-03-29 03:00", 1774746000, 0 },
		{ "2026-03-29 03:30", 1774747800, 0 },
		/* the days themselves have 23 and 25 hours */
		{ "2026-03-29", 1774738800, 0 },
		{ "2026-03-30", 1774821600, 0 },
		{ "2026-10-25", 1792879200, 0 },
		{ "2026-10-26", 1792969200, 0 },
	};

	(void)state;
	zone(BERLIN);
	CHECK(samples);
}

/* The day before the one with 25 hours, seen from the day after it. */
static void test_yesterday(void **state)
{
	char err[256];
	uint64_t ns;

	(void)state;
	zone(BERLIN);
	/* Monday 2026-10-26 00:30 CET */
	assert_int_equal(when_parse("yesterday", 1792971000 * S, &ns, err, sizeof(err)), 0);
	assert_int_equal(ns, 1792879200 * S);
	/* 2026-01-01 12:00 */
	assert_int_equal(when_parse("yesterday", 1767265200 * S, &ns, err, sizeof(err)), 0);
	assert_int_equal(ns, 1767135600 * S);
	/* 2024-02-28 12:00 */
	assert_int_equal(when_parse("tomorrow", 1709118000 * S, &ns, err, sizeof(err)), 0);
	assert_int_equal(ns, 1709161200 * S);
}

/* A zone of zoneinfo: a file, TZif version 2, with UTC up to 1970 and a rule from then on. */
static void write_zone(const char *path, const char *rule)
{
	static const unsigned char old[44] = { 'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 4 };
	static const unsigned char header[44] = { 'T', 'Z', 'i', 'f', '2', [35] = 1, [39] = 1, [43] = 4 };
	/* the time of the one change, what it is a change to; and that one type */
	static const unsigned char change[9] = { 0 };
	static const unsigned char type[10] = { 0, 0, 0, 0, 0, 0, 'U', 'T', 'C', 0 };
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fwrite(old, 1, sizeof(old), f);
	fwrite(type, 1, sizeof(type), f);
	fwrite(header, 1, sizeof(header), f);
	fwrite(change, 1, sizeof(change), f);
	fwrite(type, 1, sizeof(type), f);
	fprintf(f, "\n%s\n", rule);
	assert_int_equal(fclose(f), 0);
}

static void test_places(void **state)
{
	static const struct sample samples[] = {
		{ "2026-11-22 03:12 Tokyo", 1795284720, 0 },
		{ "2026-07-01 12:00 Berlin", 1782900000, 0 },
		{ "today Tokyo", 1795273200, 0 },
	};
	char dir[] = "/tmp/tapwatch-test-XXXXXX", tokyo[64], berlin[64], err[256];
	uint64_t ns;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(tokyo, sizeof(tokyo), "%s/Tokyo", dir);
	snprintf(berlin, sizeof(berlin), "%s/Berlin", dir);
	write_zone(tokyo, "JST-9");
	write_zone(berlin, BERLIN);
	setenv("TZDIR", dir, 1);
	zone(NEWYORK);
	CHECK(samples);
	assert_int_equal(when_parse("2026-11-22 03:12 Paris", NOW, &ns, err, sizeof(err)), -22);
	assert_string_equal(err, "unknown time zone 'Paris'");
	assert_int_equal(when_parse("2026-11-22 03:12 ../Tokyo", NOW, &ns, err, sizeof(err)), -22);
	/* the caller's zone is what it was */
	assert_string_equal(getenv("TZ"), NEWYORK);
	assert_int_equal(when_parse("2026-11-22 03:12", NOW, &ns, err, sizeof(err)), 0);
	assert_int_equal(ns, 1795335120 * S);
	unsetenv("TZDIR");
	unlink(tokyo);
	unlink(berlin);
	rmdir(dir);
}

static void test_refused(void **state)
{
	static const struct { const char *text, *message; } samples[] = {
		{ "", "is no time" },
		{ "   ", "is no time" },
		{ "soon", "'soon' is no time; say it as in" },
		{ "nowish", "is no time" },
		{ "today 03:12", "is no time" },
		{ "2026", "is no time" },
		{ "2026-11", "is no time" },
		{ "2026-11-22x", "is no time" },
		{ "2026-11-2203:12", "is no time" },
		{ "2026-11-22 03", "is no time" },
		{ "2026-11-22 03:12:", "is no time" },
		{ "2026-11-22 03:12:00.", "is no time" },
		{ "2026-11-22 03:12 04:00", "is no time" },
		{ "226-11-22", "is no time" },
		{ "12026-11-22", "is no time" },
		{ "2026-11-22 03:123", "is no time" },
		{ "2h", "is no time" },
		{ "@", "is no time" },
		{ "@-1", "is no time" },
		{ "@1x", "is no time" },
		{ "@1.", "is no time" },
		{ "@9999999999999999999999", "between 1970 and 2262" },
		{ "2026-02-30", "there is no day 2026-02-30" },
		{ "2026-02-29", "there is no day 2026-02-29" },
		{ "2100-02-29", "there is no day 2100-02-29" },
		{ "2026-13-01", "there is no day 2026-13-01" },
		{ "2026-00-01", "there is no day" },
		{ "2026-04-31", "there is no day" },
		{ "2026-11-22 24:00", "no such time of day" },
		{ "23:60", "no such time of day" },
		{ "12:00:61", "no such time of day" },
		{ "Mon 2026-11-22", "2026-11-22 is no Monday but a Sunday" },
		{ "Tue 2026-11-22 03:12 UTC", "is no Tuesday but a Sunday" },
		{ "2026-11-22 03:12 Nowhere", "unknown time zone 'Nowhere'" },
		{ "2026-11-22 03:12 /etc/localtime", "unknown time zone" },
		{ "2026-11-22 03:12+25:00", "unknown time zone '+25:00'" },
		{ "2026-11-22 03:12\033[2J", "is no time" },
		{ "1900-01-01", "between 1970 and 2262" },
		{ "9999-01-01", "between 1970 and 2262" },
		{ "+400y", "too long" },
		{ "+290y", "between 1970 and 2262" },
		{ "-99999999999999999999", "too long" },
		{ "-", "is no length of time" },
		{ "-h", "is no length of time" },
		{ "-2parsecs", "unknown unit of time 'parsecs'" },
		{ "-2h-3min", "is no length of time" },
		{ "-1.h", "a digit is missing after the point" },
		{ " ago", "is no time" },
	};
	char longer[400];

	(void)state;
	zone("UTC0");
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		char err[256] = "";
		uint64_t ns;

		if (when_parse(samples[i].text, NOW, &ns, err, sizeof(err)) != -22 || !strstr(err, samples[i].message))
			fail_msg("'%s': '%s' in place of '%s'", samples[i].text, err, samples[i].message);
	}
	memset(longer, '1', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(when_parse(longer, NOW, &(uint64_t){ 0 }, (char[256]){ "" }, 256), -22);
}

static void test_spans(void **state)
{
	static const struct sample samples[] = {
		{ "90d", 7776000, 0 },
		{ "2h 30min", 9000, 0 },
		{ "1.5w", 907200, 0 },
		{ "10", 10, 0 },
		{ "0", 0, 0 },
		{ "0.25", 0, 250000000 },
		{ "1y 1month", 31557600 + 2629800, 0 },
	};
	char err[256];
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		assert_int_equal(when_parse_span(samples[i].text, &ns, err, sizeof(err)), 0);
		assert_int_equal(ns, samples[i].sec * S + samples[i].ns);
	}
	assert_int_equal(when_parse_span("", &ns, err, sizeof(err)), -22);
	assert_int_equal(when_parse_span("-1h", &ns, err, sizeof(err)), -22);
	assert_int_equal(when_parse_span("90 dogs", &ns, err, sizeof(err)), -22);
	assert_string_equal(err, "unknown unit of time 'dogs'; there are s, min, h, d, w, month, y");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_absolute), cmocka_unit_test(test_relative), cmocka_unit_test(test_zones),
		cmocka_unit_test(test_daylight_saving), cmocka_unit_test(test_yesterday),
		cmocka_unit_test(test_places), cmocka_unit_test(test_refused), cmocka_unit_test(test_spans),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
