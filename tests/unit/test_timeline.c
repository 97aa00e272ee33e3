// SPDX-License-Identifier: GPL-2.0-only
/* out_timeline.c: what is in the picture, and that nothing breaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/out_timeline.h"

#define MS 1000000ULL

static struct story story;
static struct timeline *t;
static struct tw_task task;
static struct device device;
static struct file file;
static uint64_t seq;
static char *svg;

static int setup(void **state)
{
	static char name[] = "web01", type[] = "qemu";

	(void)state;
	story = (struct story){ .name = name, .type = type, .pid = 300, .process_start_ns = 20 * MS, .start_realtime_ns = MS };
	device = (struct device){ .id = 1, .has = TW_HAS_DEV, .d = { .netns = 7, .ifname = "tap0", .kind = TW_KIND_TAP } };
	file = (struct file){ .id = 1, .dev = &device };
	t = timeline_new(&story, 7);
	seq = 0;
	return t ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	timeline_free(t);
	free(svg);
	svg = NULL;
	return 0;
}

/* One event more, `ms` after the start, of process `pid` called `comm` (0: nobody). */
static void add(uint64_t ms, enum event_kind kind, uint32_t pid, const char *comm)
{
	struct change c = { .event = kind, .time_ns = ms * MS, .fd = -1, .task = pid ? &task : NULL, .dev = &device, .file = &file };
	struct event event = { .change = &c, .seq = ++seq, .realtime_ns = ms * MS };

	task = (struct tw_task){ .pid = pid, .uid = 0 };
	strncpy(task.comm, comm, sizeof(task.comm) - 1);
	if (kind == EV_ATTACH_FAILED) {
		c.has = CH_ERRNO;
		c.error = EBUSY;
	}
	assert_int_equal(timeline_add(t, &event), 0);
}

static void draw(bool part)
{
	size_t size;
	FILE *out;

	free(svg);
	svg = NULL;
	out = open_memstream(&svg, &size);
	assert_non_null(out);
	assert_int_equal(timeline_svg(t, out, part), 0);
	fclose(out);
}

static size_t count(const char *word)
{
	size_t n = 0;

	for (const char *at = svg; (at = strstr(at, word)); at += strlen(word))
		n++;
	return n;
}

static void start_up(void)
{
	add(10, EV_ATTACH, 100, "ip");
	add(11, EV_DROP, 100, "ip");
	add(12, EV_MASTER, 101, "ip");
	add(8012, EV_HOLD, 300, "qemu");
	add(8013, EV_VM_START, 300, "qemu");
	story.start_seq = seq;
	add(8020, EV_UP, 0, "");
	add(9020, EV_ATTACH_FAILED, 400, "other");
	add(99020, EV_DROP, 300, "qemu");
	add(99021, EV_VM_STOP, 300, "qemu");
	story.stop_seq = seq;
}

static void test_picture(void **state)
{
	(void)state;
	start_up();
	draw(false);
	/* a column for each program, one for the machine, one for what nobody is named for */
	assert_int_equal(count("class=\"lane"), 4);
	assert_int_equal(count("class=\"lane self\""), 1);
	assert_non_null(strstr(svg, ">100, 101<"));
	/* each event, and the start of the process */
	assert_int_equal(count("class=\"ev\""), 10);
	assert_int_equal(count("data-seq="), 9);
	assert_non_null(strstr(svg, ">process 300<"));
	assert_int_equal(count("class=\"badrow\""), 1);
	/* what was handed over, beside the one of the legend */
	assert_int_equal(count("class=\"arrow\""), 2);
	/* up to `up`; the longest wait is the one for the hypervisor */
	assert_int_equal(timeline_startup_ns(t), 8010 * MS);
	assert_int_equal(count("bar odd slowest") + count("bar slowest"), 1);
	assert_non_null(strstr(svg, ">7.99 s, then hold<"));
	assert_non_null(strstr(svg, ">prepared by others<"));
	assert_non_null(strstr(svg, ">start of the machine<"));
	assert_non_null(strstr(svg, ">running<"));
	assert_non_null(strstr(svg, ">end<"));
	assert_non_null(strstr(svg, "<title>web01: timeline"));
	assert_non_null(strstr(svg, "prefers-color-scheme"));
}

static void test_part(void **state)
{
	(void)state;
	start_up();
	draw(true);
	assert_int_equal(strncmp(svg, "<svg ", 5), 0);
	assert_null(strstr(svg, "<style"));
}

static void test_hostile(void **state)
{
	static char name[] = "</title><script>\xff\n\"", manager[] = "<b>";

	(void)state;
	story.name = name;
	story.manager = manager;
	memcpy(device.d.ifname, "<g>\"&'\xef\xbf\xbf", 10);
	start_up();
	add(99030, EV_OPEN, 500, "]]><x/>");
	draw(false);
	assert_null(strstr(svg, "<script"));
	assert_null(strstr(svg, "<b>"));
	assert_null(strstr(svg, "<x/>"));
	assert_non_null(strstr(svg, "&lt;g&gt;&quot;&amp;&#39;\\xef\\xbf\\xbf"));
	assert_non_null(strstr(svg, "&lt;script&gt;\\xff\\x0a&quot;"));
}

/* A column that several share is not named after the first. */
static void test_others(void **state)
{
	char comm[16];

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		snprintf(comm, sizeof(comm), "helper%u", i);
		add(10 + i, EV_OPEN, 1000 + i, comm);
		draw(false);
		assert_int_equal(count(">others<"), i == 6);
		assert_int_equal(count("class=\"lane"), i < 6 ? i + 1 : 6);
	}
	assert_null(strstr(svg, ">helper5<"));
}

static void test_many(void **state)
{
	char comm[16];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(comm, sizeof(comm), "helper%u", i);
		add(10 + i, EV_OPEN, 1000 + i, comm);
	}
	draw(false);
	assert_non_null(strstr(svg, ">others<"));
	assert_non_null(strstr(svg, "601 events are left out here"));
	assert_int_equal(count("class=\"ev\""), 400);
}

/* a device of its own is held by a child; and it ran before it was recorded */
static void test_child(void **state)
{
	struct process_info process = { .vm_pid = 300 };
	struct change c = { .event = EV_EXIST, .time_ns = 50 * MS, .fd = 3, .task = &task, .dev = &device, .file = &file };
	struct event event = { .change = &c, .seq = 1, .process = &process };

	(void)state;
	task = (struct tw_task){ .pid = 301, .comm = "crosvm" };
	assert_int_equal(timeline_add(t, &event), 0);
	add(60, EV_UP, 100, "ip");
	draw(false);
	assert_int_equal(count("class=\"lane self\""), 1);
	assert_int_equal(count("class=\"lane"), 2);
	assert_non_null(strstr(svg, ">300, 301<"));
	assert_non_null(strstr(svg, "it ran before it was recorded"));
	assert_non_null(strstr(svg, ">the machine<"));
	assert_null(strstr(svg, ">prepared by others<"));
}

static void test_empty(void **state)
{
	(void)state;
	story = (struct story){ .pid = 1 };
	draw(false);
	assert_non_null(strstr(svg, "without a name"));
	assert_int_equal(timeline_startup_ns(t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_picture, setup, teardown),
		cmocka_unit_test_setup_teardown(test_part, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_child, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
