// SPDX-License-Identifier: GPL-2.0-only
/* --boot: which boot is meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../user/boot.h"

static const struct history_boot boots[] = {
	{ .id = "11111111-2222-3333-4444-555555555555" },
	{ .id = "abcdef01-2345-6789-abcd-ef0123456789" },
	{ .id = "99999999-9999-9999-9999-999999999999" },
};
#define N ((int)(sizeof(boots) / sizeof(boots[0])))
#define NONE (-1)

static void test_words(void **state)
{
	static const struct { const char *word; int boot; } cases[] = {
		{ "", 2 }, { "0", 2 }, { "-0", 2 }, { "-1", 1 }, { "-2", 0 }, { "-3", NONE },
		{ "1", 0 }, { "+1", 0 }, { "3", 2 }, { "4", NONE }, { "99999999999999999999", NONE },
		{ "11111111222233334444555555555555", 0 }, { "11111111-2222-3333-4444-555555555555", 0 },
		{ "ABCDEF0123456789ABCDEF0123456789", 1 }, { "99999999999999999999999999999999", 2 },
		{ "abcdef0123456789abcdef0123456789+1", 2 }, { "abcdef0123456789abcdef0123456789-1", 0 },
		{ "abcdef01-2345-6789-abcd-ef0123456789+1", 2 }, { "abcdef01-2345-6789-abcd-ef0123456789-1", 0 },
		{ "abcdef01-2345-6789-abcd-ef0123456789+0", 1 }, { "abcdef01-2345-6789-abcd-ef0123456789-2", NONE },
		{ "abcdef01-2345-6789-abcd-ef0123456789+2", NONE },
		{ "abcdef0123456789abcdef0123456789+", NONE }, { "abcdef0123456789abcdef0123456789+x", NONE },
		{ "abcdef0123456789abcdef01234567890", NONE }, { "abcdef0123456789abcdef012345678", NONE },
		{ "abcdef0123456789abcdef0123456789+-1", NONE }, { "abcdef", NONE }, { "-", NONE }, { "all", NONE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct history_boot *found = boot_find(boots, N, cases[i].word);

		if ((found ? (int)(found - boots) : NONE) != cases[i].boot)
			fail_msg("'%s' is %d", cases[i].word, found ? (int)(found - boots) : NONE);
	}
}

/* An id of only digits, and one that nobody knows. */
static void test_odd(void **state)
{
	const struct history_boot odd[] = { { .id = "" }, { .id = "11111111-2222-3333-4444-555555555555" } };

	(void)state;
	assert_null(boot_find(odd, 0, ""));
	assert_null(boot_find(odd, 0, "0"));
	assert_null(boot_find(odd, 0, "1"));
	assert_ptr_equal(boot_find(odd, 2, "11111111222233334444555555555555-1"), &odd[0]);
	assert_ptr_equal(boot_find(odd, 2, "-1"), &odd[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_odd),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
