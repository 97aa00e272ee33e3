// SPDX-License-Identifier: GPL-2.0-only
/* report_data.c: nothing that stands in the JSON ends the <script> around it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../user/report.h"

static void expect(const char *json, const char *wanted)
{
	char *got = NULL;
	size_t size, told;
	FILE *out = open_memstream(&got, &size);

	assert_non_null(out);
	told = report_json(json, out);
	fclose(out);
	assert_string_equal(got, wanted);
	assert_int_equal(told, size);
	free(got);
}

static void test_script(void **state)
{
	(void)state;
	expect("", "");
	expect("{\"a\":[1,\"\\\"\"]}", "{\"a\":[1,\"\\\"\"]}");
	expect("\"</script><!--<script>&amp;\"",
	       "\"\\u003c/script\\u003e\\u003c!--\\u003cscript\\u003e\\u0026amp;\"");
	expect("<", "\\u003c");
}

static void test_lines(void **state)
{
	(void)state;
	expect("\"\xe2\x80\xa8\xe2\x80\xa9\"", "\"\\u2028\\u2029\"");
	/* others that begin alike, and one that is cut off */
	expect("\xe2\x80\xa6\xe2\x82\xac\xe2\x80", "\xe2\x80\xa6\xe2\x82\xac\xe2\x80");
	expect("\xe2", "\xe2");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_script), cmocka_unit_test(test_lines) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
