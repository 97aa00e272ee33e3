// SPDX-License-Identifier: GPL-2.0-only
/* xml.c: whatever a name is made of, it stays text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../user/xml.h"

static void expect(const char *text, size_t len, size_t columns, const char *wanted)
{
	char *got = NULL;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	assert_non_null(out);
	xml_text(out, text, len, columns);
	fclose(out);
	assert_string_equal(got, wanted);
	free(got);
}

static void test_markup(void **state)
{
	(void)state;
	expect("</text>&amp;\"'", 64, 0, "&lt;/text&gt;&amp;amp;&quot;&#39;");
	expect("a\n\x1b[31m\x7f", 64, 0, "a\\x0a\\x1b[31m\\x7f");
	expect("\xff\xc3\xa9\xc3", 64, 0, "\\xff\xc3\xa9\\xc3");
	/* UTF-8, but no character of XML; line separators and bidi */
	expect("\xef\xbf\xbf\xef\xbf\xbe\xe2\x80\xa8\xe2\x80\xae", 64, 0,
	       "\\xef\\xbf\\xbf\\xef\\xbf\\xbe\\xe2\\x80\\xa8\\xe2\\x80\\xae");
	expect("abc", 2, 0, "ab");
	expect("", 0, 0, "");
}

static void test_cut(void **state)
{
	char big[1000], wanted[sizeof(big) * 4 + 1] = "";

	(void)state;
	expect("abcdef", 64, 6, "abcdef");
	expect("abcdefg", 64, 6, "abcde\xe2\x80\xa6");
	/* references count as what they stand for, escapes as what is seen */
	expect("<<<<<<", 64, 6, "&lt;&lt;&lt;&lt;&lt;&lt;");
	expect("<<<<<<<", 64, 6, "&lt;&lt;&lt;&lt;&lt;\xe2\x80\xa6");
	expect("\x01\x01", 64, 8, "\\x01\\x01");
	expect("\xc3\xa9\xc3\xa9\xc3\xa9", 64, 2, "\xc3\xa9\xe2\x80\xa6");
	memset(big, 1, sizeof(big));
	for (size_t i = 0; i < sizeof(big); i++)
		strcpy(wanted + 4 * i, "\\x01");
	expect(big, sizeof(big), 0, wanted);
}

static void test_null(void **state)
{
	char *got = NULL;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	(void)state;
	xml_string(out, NULL);
	xml_string(out, "<");
	fclose(out);
	assert_string_equal(got, "&lt;");
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_markup), cmocka_unit_test(test_cut), cmocka_unit_test(test_null),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
