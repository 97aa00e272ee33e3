// SPDX-License-Identifier: GPL-2.0-only
/* packets.c: when counters are read, and what follows from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../user/packets.h"

#define MS 1000000ULL
#define S (1000 * MS)
#define T (1000 * S)	/* when the machines of these tests get their devices */

static struct packets *packets;

static int setup(void **state)
{
	(void)state;
	packets = packets_new();
	assert_non_null(packets);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	packets_free(packets);
	return 0;
}

static struct device device(uint64_t id, uint32_t netns, enum tw_kind kind)
{
	struct device dev = { .id = id, .has = TW_HAS_DEV, .since_ns = T - 5 * S };

	dev.d.netns = netns;
	dev.d.ifindex = (uint32_t)id;
	dev.d.kind = (uint8_t)kind;
	return dev;
}

static void begin(uint64_t id, uint32_t netns, enum tw_kind kind, bool fresh)
{
	struct device dev = device(id, netns, kind);

	packets_begin(packets, &dev, 42, fresh, T);
}

/* One look at the only device, asked at `now`. */
static size_t look(uint64_t now, uint64_t rx, uint64_t tx, struct change told[2])
{
	struct packets_count count = { rx, tx, now, now + MS };
	struct packets_look look;
	size_t n;

	assert_true(packets_due(packets, now, &look));
	n = packets_counted(packets, &look, &count, told);
	assert_false(packets_due(packets, now, &look));
	return n;
}

static void test_fresh(void **state)
{
	struct change told[2];

	(void)state;
	assert_int_equal(packets_next(packets), 0);
	begin(1, 10, TW_KIND_TAP, true);
	assert_int_equal(packets_next(packets), T + 100 * MS);
	/* nothing yet; then the machine sends: not before the look before */
	assert_int_equal(look(T + 100 * MS, 0, 0, told), 0);
	assert_int_equal(look(T + 200 * MS, 3, 0, told), 1);
	assert_int_equal(told[0].event, EV_FIRST_PACKET);
	assert_int_equal(told[0].how, HOW_OUT);
	assert_int_equal(told[0].after_ns, T + 100 * MS);
	assert_int_equal(told[0].time_ns, T + 201 * MS);
	assert_int_equal(told[0].dev->id, 1);
	/* once only; then the other direction, and that is all */
	assert_int_equal(look(T + 300 * MS, 9, 0, told), 0);
	assert_int_equal(look(T + 400 * MS, 9, 1, told), 1);
	assert_int_equal(told[0].how, HOW_IN);
	assert_int_equal(told[0].after_ns, T + 300 * MS);
	{
		struct packets_look none;

		assert_false(packets_due(packets, T + 500 * MS, &none));
	}
	assert_int_equal(packets_next(packets), 0);
}

static void test_both_at_once(void **state)
{
	struct change told[2];

	(void)state;
	begin(1, 10, TW_KIND_TUN, true);
	assert_int_equal(look(T + 100 * MS, 1, 1, told), 2);
	assert_int_equal(told[0].how, HOW_OUT);
	assert_int_equal(told[1].how, HOW_IN);
	/* not seen standing: since the device was made */
	assert_int_equal(told[0].after_ns, T - 5 * S);
}

/* Others used it before: what it had counted is no first packet. */
static void test_used(void **state)
{
	struct change told[2];

	(void)state;
	begin(1, 10, TW_KIND_TAP, false);
	assert_int_equal(packets_next(packets), T);
	assert_int_equal(look(T + MS, 70, 80, told), 0);
	assert_int_equal(look(T + 100 * MS, 70, 81, told), 1);
	assert_int_equal(told[0].how, HOW_IN);
	assert_int_equal(told[0].after_ns, T + MS);
}

/* A lower device counts the other way round. */
static void test_macvtap(void **state)
{
	struct change told[2];

	(void)state;
	begin(1, 10, TW_KIND_MACVTAP, true);
	assert_int_equal(look(T + 100 * MS, 0, 1, told), 1);
	assert_int_equal(told[0].how, HOW_OUT);
	assert_int_equal(look(T + 200 * MS, 1, 1, told), 1);
	assert_int_equal(told[0].how, HOW_IN);
}

/* Less often as it grows older, on common instants, and at last no more. */
static void test_pace(void **state)
{
	uint64_t now = T, before = T, looks = 0;
	struct change told[2];

	(void)state;
	begin(1, 10, TW_KIND_TAP, true);
	while ((now = packets_next(packets)) && now <= T + PACKETS_YOUNG_NS) {
		uint64_t age = before - T;

		assert_int_equal(now % (100 * MS), 0);
		assert_in_range(now - before, 100 * MS, S);
		if (age > 30 * S)
			assert_int_equal(now - before, S);
		before = now;
		assert_int_equal(look(now, 0, 0, told), 0);
		looks++;
	}
	assert_in_range(looks, 120, 180);
	if (now) {
		struct packets_look none;

		assert_false(packets_due(packets, now, &none));
	}
	assert_int_equal(packets_next(packets), 0);
}

static void test_device_changes(void **state)
{
	struct device dev = device(1, 10, TW_KIND_TAP);
	struct change change = { .event = EV_MOVE, .dev = &dev };
	struct packets_look look;

	(void)state;
	begin(1, 10, TW_KIND_TAP, true);
	begin(2, 10, TW_KIND_TAP, true);
	assert_true(packets_due(packets, T + 100 * MS, &look));
	*look.place = strdup("/run/netns/a");
	*look.searched_ns = T;
	dev.d.netns = 11;
	dev.d.ifindex = 77;
	packets_change(packets, &change);
	assert_true(packets_due(packets, T + 200 * MS, &look));
	assert_int_equal(look.dev->id, 2);
	assert_true(packets_due(packets, T + 200 * MS, &look));
	assert_int_equal(look.dev->id, 1);
	assert_int_equal(look.dev->d.ifindex, 77);
	assert_null(*look.place);
	assert_int_equal(*look.searched_ns, 0);
	change.event = EV_DELETE;
	packets_change(packets, &change);
	assert_true(packets_due(packets, T + 300 * MS, &look));
	assert_int_equal(look.dev->id, 2);
	packets_give_up(packets, &look);
	assert_false(packets_due(packets, T + 300 * MS, &look));
	assert_int_equal(packets_next(packets), 0);
	/* another machine gets it: from the beginning */
	begin(3, 10, TW_KIND_TAP, true);
	begin(3, 12, TW_KIND_TAP, false);
	assert_true(packets_due(packets, T + 300 * MS, &look));
	assert_int_equal(look.dev->d.netns, 12);
	assert_false(packets_due(packets, T + 300 * MS, &look));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fresh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_used, setup, teardown),
		cmocka_unit_test_setup_teardown(test_macvtap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_changes, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
