// SPDX-License-Identifier: GPL-2.0-only
/* Outside bytes through escape.c: exact results, no byte past the buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../user/escape.h"

struct sample {
	const char *in, *utf8, *term;
};

static const struct sample samples[] = {
	{ "", "", "" },
	{ "tap0", "tap0", "tap0" },
	{ "back\\slash", "back\\slash", "back\\slash" },
	{ "\\x1b", "\\x1b", "\\x1b" },
	{ "quote\"'", "quote\"'", "quote\"'" },
	/* control characters: JSON has its own way with them */
	{ "a\nb\tc\r", "a\nb\tc\r", "a\\x0ab\\x09c\\x0d" },
	{ "\033[2J\007", "\033[2J\007", "\\x1b[2J\\x07" },
	{ "\177", "\177", "\\x7f" },
	{ "\xc2\x9b" "31m", "\xc2\x9b" "31m", "\\xc2\\x9b31m" },
	/* good UTF-8 of each length */
	{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7",
	  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7" },
	{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
	/* none: raw bytes, lone continuation, cut short, overlong, surrogate, too high */
	{ "\xff\xfe", "\\xff\\xfe", "\\xff\\xfe" },
	{ "a\x80z", "a\\x80z", "a\\x80z" },
	{ "\xe2\x82", "\\xe2\\x82", "\\xe2\\x82" },
	{ "\xe2\x82z", "\\xe2\\x82z", "\\xe2\\x82z" },
	{ "\xc0\xaf", "\\xc0\\xaf", "\\xc0\\xaf" },
	{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf", "\\xe0\\x80\\xaf" },
	{ "\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf", "\\xf0\\x80\\x80\\xaf" },
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80" },
	{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80" },
	{ "\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80", "\\xf8\\x88\\x80\\x80\\x80" },
	/* bidi: override and isolate; line separator; zero width space; a tag */
	{ "\xe2\x80\xae" "0pat", "\xe2\x80\xae" "0pat", "\\xe2\\x80\\xae0pat" },
	{ "\xe2\x80\xaa", "\xe2\x80\xaa", "\\xe2\\x80\\xaa" },
	{ "\xe2\x81\xa6\xe2\x81\xa9", "\xe2\x81\xa6\xe2\x81\xa9",
	  "\\xe2\\x81\\xa6\\xe2\\x81\\xa9" },
	{ "\xe2\x80\xa8", "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },
	{ "\xe2\x80\x8b", "\xe2\x80\x8b", "\\xe2\\x80\\x8b" },
	{ "\xf3\xa0\x81\x81", "\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81" },
	/* neighbours of the ranges stay */
	{ "\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xb0", "\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xb0",
	  "\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xb0" },
};

static void test_samples(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *s = &samples[i];
		size_t len = strlen(s->in);
		char out[ESCAPE_SIZE(64)];

		assert_int_equal(escape_utf8(out, sizeof(out), s->in, len), strlen(s->utf8));
		assert_string_equal(out, s->utf8);
		assert_int_equal(escape_term(out, sizeof(out), s->in, len), strlen(s->term));
		assert_string_equal(out, s->term);
	}
}

/* A kernel array: ends at its NUL, or at its size when there is none. */
static void test_fixed_array(void **state)
{
	const char full[16] = { 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
				'n', 'o', '\xc3' };
	const char ended[16] = { 't', 'a', 'p', '0', '\0', '\xff', 'x' };
	char out[ESCAPE_SIZE(16)];

	(void)state;
	escape_term(out, sizeof(out), full, sizeof(full));
	assert_string_equal(out, "abcdefghijklmno\\xc3");
	escape_term(out, sizeof(out), ended, sizeof(ended));
	assert_string_equal(out, "tap0");
}

/* Every size of buffer: nothing past it (ASan looks), always a NUL, no half character or escape. */
static void test_bounds(void **state)
{
	static const char in[] = "a\xff\xe2\x82\xac" "b";
	static const char *const expected[] = {
		NULL, "", "a", "a", "a", "a", "a\\xff", "a\\xff", "a\\xff",
		"a\\xff\xe2\x82\xac", "a\\xff\xe2\x82\xac" "b", "a\\xff\xe2\x82\xac" "b",
	};
	size_t size;

	(void)state;
	for (size = 1; size < sizeof(expected) / sizeof(expected[0]); size++) {
		char *out = malloc(size);

		assert_non_null(out);
		assert_int_equal(escape_utf8(out, size, in, sizeof(in) - 1),
				 strlen(expected[size]));
		assert_string_equal(out, expected[size]);
		free(out);
	}
	assert_int_equal(escape_term(NULL, 0, in, sizeof(in) - 1), 0);
}

/* All pairs of bytes: never more than ESCAPE_SIZE, and the result escapes to itself. */
static void test_all_pairs(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 65536; i++) {
		char in[2] = { (char)(i >> 8), (char)i }, out[ESCAPE_SIZE(2)];
		char again[ESCAPE_SIZE(8)];
		size_t len, at;

		len = escape_term(out, sizeof(out), in, sizeof(in));
		assert_true(len <= 8);
		for (at = 0; at < len; at++)
			assert_true((unsigned char)out[at] >= 0x20 && out[at] != 0x7f);
		assert_int_equal(escape_term(again, sizeof(again), out, len), len);
		assert_string_equal(out, again);
	}
}

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(escape_width(""), 0);
	assert_int_equal(escape_width("tap0\\xff"), 8);
	/* a locale that does not know a character still counts it */
	assert_int_equal(escape_width("\xc3\xa4"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_fixed_array),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_all_pairs),
		cmocka_unit_test(test_width),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
