// SPDX-License-Identifier: GPL-2.0-only
/* reconcile.c: from what was remembered to what is there, as changes, each once and in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/reconcile.h"
#include "state.h"

#define NOW 1000	/* when the present state was read */

static char text[4096];

static void scan(enum scan_mode kind, uint64_t t, const struct tw_event *facts, size_t n)
{
	bindings_scan_begin(b, kind, SCAN_FDS | SCAN_FILES | SCAN_DEVICES, t);
	for (size_t i = 0; i < n; i++) {
		struct tw_event fact = facts[i];

		fact.time_ns = t + 1;
		assert_int_equal(bindings_apply(b, &fact), 0);
	}
	assert_int_equal(bindings_scan_netns(b, 7), 0);
	assert_true(bindings_scan_end(b) >= 0);
}

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + len, sizeof(text) - len, format, ap);
	va_end(ap);
}

static void say_old(const struct change *c)
{
	if (c->has & CH_OLD_IFNAME)
		say(" was %s", c->old.ifname);
	if (c->has & CH_OLD_IFINDEX)
		say(" was #%u", c->old.ifindex);
	if (c->has & CH_OLD_NETNS)
		say(" was in %u", c->old.netns);
	if (c->has & CH_OLD_MAC)
		say(" was :%02x", c->old.mac[5]);
	if (c->has & CH_VALUE)
		say(" %s", c->value ? "on" : "off");
}

/* "EVENT PID/FD fFILE STATE dDEVICE IFNAME#INDEX@NETNS was ...; " */
static void on_change(void *ctx, const struct change *c, const struct row *row)
{
	bool past = c->event == EV_DROP || c->event == EV_RELEASE || c->event == EV_DELETE;

	(void)ctx;
	assert_true(c->has & CH_SEED);
	assert_int_equal(c->time_ns, NOW);
	/* what is gone comes with what was remembered of it, and nothing else does */
	assert_int_equal(row != NULL, past);
	say("%s", event_name(c->event));
	if (c->has & CH_TASK)
		say(" %u/%d", c->task->pid, c->fd);
	else
		assert_null(c->task);
	assert_int_equal(!!(c->has & CH_FD), !!(c->has & CH_TASK));
	if (c->file)
		say(" f%d %s", (int)c->file->id, file_state_name(c->file->state));
	if (c->dev)
		say(" d%d %s#%u@%u", (int)c->dev->id, c->dev->d.ifname, c->dev->d.ifindex, c->dev->d.netns);
	say_old(c);
	say("; ");
}

static void expect_told(const char *expected)
{
	text[0] = '\0';
	assert_int_equal(reconcile(&rows, b, NOW, on_change, NULL), 0);
	assert_string_equal(text, expected);
}

#define FACTS(...) (struct tw_event[]){ __VA_ARGS__ }, sizeof((struct tw_event[]){ __VA_ARGS__ }) / sizeof(struct tw_event)
#define was(...) do { scan(SCAN_SEED, 10, FACTS(__VA_ARGS__)); assert_int_equal(rows_collect(&rows, b), 0); } while (0)
#define is(...) scan(SCAN_RESYNC, 20, FACTS(__VA_ARGS__))

static struct tw_event bound(uint32_t pid, int fd, uint64_t file, struct tw_dev d)
{
	return on_dev(d, scan_fd(0, pid, fd, file));
}

static struct tw_event unbound(uint32_t pid, int fd, uint64_t file)
{
	return with(TW_F_UNBOUND, scan_fd(0, pid, fd, file));
}

static struct tw_dev a(void)
{
	return tap(1, 7, 2, "a");
}

static void test_nothing(void **state)
{
	(void)state;
	was(bound(100, 3, 1, a()), with(TW_F_DETACHED, bound(100, 4, 2, a())), unbound(100, 5, 3),
	    scan_dev(0, tap(2, 7, 9, "p")), scan_dev(0, a()));
	expect_told("");
	is(bound(100, 3, 1, a()), with(TW_F_DETACHED, bound(100, 4, 2, a())), unbound(100, 5, 3),
	   scan_dev(0, tap(2, 7, 9, "p")), scan_dev(0, a()));
	expect_told("");
}

/* All drops, then all releases, then all deletions: as they would have come. */
static void test_gone(void **state)
{
	(void)state;
	was(bound(100, 3, 1, a()), bound(200, 3, 1, a()), bound(100, 4, 2, tap(2, 7, 3, "b")), unbound(100, 5, 3),
	    scan_dev(0, a()), scan_dev(0, tap(2, 7, 3, "b")), scan_dev(0, tap(3, 7, 4, "p")));
	is(unbound(300, 1, 99));
	expect_told("drop 100/3 f1 bound d1 a#2@7; drop 100/4 f2 bound d2 b#3@7; drop 100/5 f3 unbound; "
		    "drop 200/3 f1 bound d1 a#2@7; "
		    "release f1 bound d1 a#2@7; release f2 bound d2 b#3@7; release f3 unbound; "
		    "delete d1 a#2@7; delete d2 b#3@7; delete d3 p#4@7; exist 300/1 f4 unbound; ");
}

/* One of two fds, one of two processes: the file and its device stay. */
static void test_one_holder(void **state)
{
	(void)state;
	was(bound(100, 3, 1, a()), bound(100, 4, 1, a()), bound(200, 3, 1, a()), scan_dev(0, a()));
	is(bound(100, 4, 1, a()), bound(300, 7, 1, a()), scan_dev(0, a()));
	expect_told("drop 100/3 f1 bound d1 a#2@7; drop 200/3 f1 bound d1 a#2@7; exist 300/7 f1 bound d1 a#2@7; ");
}

/* A pid's next process is another one; and so is another file at the same fd. */
static void test_same_numbers(void **state)
{
	struct tw_event next = bound(100, 3, 1, a());

	(void)state;
	was(bound(100, 3, 1, a()), bound(200, 3, 1, a()), unbound(200, 4, 2), scan_dev(0, a()));
	next.task.start_ns++;
	is(next, bound(200, 3, 1, a()), unbound(200, 4, 3), scan_dev(0, a()));
	expect_told("drop 100/3 f1 bound d1 a#2@7; drop 200/4 f2 unbound; release f2 unbound; "
		    "exist 100/3 f1 bound d1 a#2@7; exist 200/4 f3 unbound; ");
}

static void test_places(void **state)
{
	(void)state;
	was(scan_dev(0, a()), scan_dev(0, tap(2, 7, 3, "b")), scan_dev(0, tap(3, 7, 4, "c")), scan_dev(0, tap(4, 7, 5, "d")));
	is(scan_dev(0, tap(1, 7, 2, "renamed")), scan_dev(0, tap(2, 8, 3, "b")), scan_dev(0, tap(3, 8, 1, "x")),
	   scan_dev(0, tap(4, 7, 5, "d")));
	expect_told("rename d1 renamed#2@7 was a; move d2 b#3@8 was in 7; move d3 x#1@8 was c was #4 was in 7; ");
}

static void test_values(void **state)
{
	struct tw_dev d = a();

	(void)state;
	d.mac[5] = 0xaa;
	was(scan_dev(0, d));
	d.mac[5] = 0xbb;
	d.tun_flags |= IFF_PERSIST;
	d.owner = 5;
	d.master_ifindex = 44;
	d.if_flags = IFF_UP;
	is(scan_dev(0, d));
	expect_told("mac d1 a#2@7 was :aa; persist d1 a#2@7 on; owner d1 a#2@7; master d1 a#2@7; up d1 a#2@7; ");
	rows_free(&rows);
	memset(&rows, 0, sizeof(rows));
	assert_int_equal(rows_collect(&rows, b), 0);
	d.tun_flags &= ~(uint32_t)IFF_PERSIST;
	d.group = 6;
	d.master_ifindex = 0;
	d.if_flags = 0;
	is(scan_dev(0, d));
	expect_told("persist d1 a#2@7 off; owner d1 a#2@7; master d1 a#2@7; down d1 a#2@7; ");
}

/* What one of the two states does not know is no difference. */
static void test_unknown(void **state)
{
	struct tw_dev d = a();

	(void)state;
	d.mac[5] = 0xaa;
	d.owner = 5;
	was(scan_dev(0, a()));
	rows.row[0].has = TW_HAS_DEV;
	is(scan_dev(0, d));
	expect_told("");
	rows.row[0].has = TW_HAS_DEV | TW_HAS_MAC;
	expect_told("mac d1 a#2@7 was :00; ");
	rows.row[0].has = TW_HAS_MAC;
	rows.row[0].dev.ifname[0] = 'z';
	expect_told("mac d1 a#2@7 was :00; ");
}

static void test_queues(void **state)
{
	(void)state;
	was(bound(100, 3, 1, a()), with(TW_F_DETACHED, bound(100, 4, 2, a())), unbound(100, 5, 3), unbound(100, 6, 4),
	    bound(100, 7, 5, a()), scan_dev(0, a()));
	is(with(TW_F_DETACHED, bound(100, 3, 1, a())), bound(100, 4, 2, a()), bound(100, 5, 3, a()),
	   with(TW_F_DETACHED, bound(100, 6, 4, a())), bound(100, 7, 5, a()), scan_dev(0, a()));
	expect_told("queue-detach f1 disabled d1 a#2@7; queue-attach f2 bound d1 a#2@7; attach f3 bound d1 a#2@7; "
		    "attach f4 disabled d1 a#2@7; queue-detach f4 disabled d1 a#2@7; ");
}

/* Its device was deleted under it, and another made of the same name, at the same place: two devices. */
static void test_other_device(void **state)
{
	(void)state;
	was(bound(100, 3, 1, a()), scan_dev(0, a()));
	is(bound(100, 3, 1, tap(2, 7, 2, "a")), scan_dev(0, tap(2, 7, 2, "a")));
	expect_told("delete d1 a#2@7; attach f1 bound d2 a#2@7; ");
}

static void test_orphan(void **state)
{
	struct tw_event gone = dev(20, TW_DEV_GONE, a());

	(void)state;
	was(bound(100, 3, 1, a()), scan_dev(0, a()));
	assert_int_equal(bindings_apply(b, &gone), 0);
	expect_told("delete d1 a#2@7; ");
}

/* What came: fds, a file that nobody has an fd of, a device that nobody holds. */
static void test_new(void **state)
{
	(void)state;
	was(unbound(100, 3, 1));
	is(unbound(100, 3, 1), bound(200, 4, 2, a()), bound(200, 5, 2, a()), on_dev(tap(2, 7, 3, "b"), scan_file(0, 3)),
	   scan_dev(0, a()), scan_dev(0, tap(2, 7, 3, "b")), scan_dev(0, tap(3, 7, 4, "p")));
	expect_told("exist 200/4 f2 bound d1 a#2@7; exist 200/5 f2 bound d1 a#2@7; exist f3 bound d2 b#3@7; "
		    "exist d3 p#4@7; ");
}

/* After a boot, or with an empty database: all is new. */
static void test_from_nothing(void **state)
{
	(void)state;
	is(bound(100, 3, 1, a()), scan_dev(0, a()));
	expect_told("exist 100/3 f1 bound d1 a#2@7; ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queues, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orphan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new, setup, teardown),
		cmocka_unit_test_setup_teardown(test_from_nothing, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
