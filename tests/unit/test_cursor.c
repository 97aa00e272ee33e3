// SPDX-License-Identifier: GPL-2.0-only
/* cursor.c: text and back, what is refused, the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../user/cursor.h"

#define BOOT "3c5d9ad1-0c2f-4a1b-9a44-0123456789ab"

static struct change change = { .event = EV_UP, .time_ns = 91234567890, .fd = -1 };
static const struct event event = { .change = &change, .seq = 17, .boot_id = BOOT };

static void test_text(void **state)
{
	struct cursor cursor, again;
	char text[CURSOR_LEN];

	(void)state;
	cursor_of(&cursor, &event);
	cursor_text(&cursor, text);
	assert_string_equal(text, "s=17;b=" BOOT ";t=91234567890");
	assert_int_equal(cursor_parse(text, &again), 0);
	assert_true(cursor_fits(&again, &event));
	again.boottime_ns++;
	assert_false(cursor_fits(&again, &event));
	again = cursor;
	again.boot_id[0] = '4';
	assert_false(cursor_fits(&again, &event));
	again = cursor;
	again.seq++;
	assert_false(cursor_fits(&again, &event));
	/* a boot that nobody knows */
	assert_int_equal(cursor_parse("s=1;b=;t=0", &again), 0);
	assert_string_equal(again.boot_id, "");
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
		"", "17", "s=", "s=17", "s=17;b=" BOOT, "s=17;b=" BOOT ";t=", "s=0;b=;t=0", "s=-1;b=;t=0", "s= 1;b=;t=0",
		"s=1;b=;t=0 ", "s=1;b=;t=0\n", "s=01;b=;t=0", "s=99999999999999999999999;b=;t=0", "s=1;b=xyz;t=0",
		"s=1;b=" BOOT BOOT ";t=0",
	};
	struct cursor cursor;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (cursor_parse(texts[i], &cursor) != -EINVAL)
			fail_msg("taken: '%s'", texts[i]);
}

static void test_file(void **state)
{
	char dir[] = "/tmp/tapwatch-test-XXXXXX", path[64], beyond[80];
	struct cursor cursor, again;
	struct stat st;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/cursor", dir);
	/* the first time there is none: from the beginning */
	assert_int_equal(cursor_read(path, &again), 0);
	assert_int_equal(again.seq, 0);
	cursor_of(&cursor, &event);
	assert_int_equal(cursor_write(path, &cursor), 0);
	assert_int_equal(cursor_read(path, &again), 0);
	assert_true(cursor_fits(&again, &event));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	file = fopen(path, "w");
	fputs("nonsense\n", file);
	fclose(file);
	assert_int_equal(cursor_read(path, &again), -EINVAL);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(cursor_read(path, &again), -EINVAL);
	unlink(path);
	snprintf(beyond, sizeof(beyond), "%s/none/cursor", dir);
	assert_int_equal(cursor_write(beyond, &cursor), -ENOENT);
	assert_int_equal(cursor_read(dir, &again), -EINVAL);
	/* nothing is left behind */
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text), cmocka_unit_test(test_refused), cmocka_unit_test(test_file),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
