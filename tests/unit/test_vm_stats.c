// SPDX-License-Identifier: GPL-2.0-only
/* vm_stats.c: starts as arrays of events; and numbers against those of a computation that knows no shortcut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/vm_stats.h"

#define S 1000000000ULL
#define EPOCH (1795305600 * S)	/* 2026-11-22 00:00 UTC, CLOCK_BOOTTIME 0 of these tests */

static struct vm_stats *stats;
static uint64_t seq;

static int setup(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	stats = vm_stats_new(0, 0);
	assert_non_null(stats);
	seq = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_stats_free(stats);
	return 0;
}

struct told {
	enum event_kind event;
	uint64_t time_ns;
	uint32_t pid;		/* 0: unknown. It started at pid * S / 1000 */
	bool machine;
	uint64_t dev;
	const char *name, *manager;
	enum how how;
	bool value, master;
	int error;
	const char *requested;
	const struct hold *holder;
	const struct event_earlier *earlier;
	size_t n_earlier;
	const char *boot;
};

static uint64_t started(uint32_t pid)
{
	return pid * S / 1000;
}

static void tell(const struct told *t)
{
	struct tw_task task = { .pid = t->pid, .start_ns = started(t->pid), .comm = "qemu" };
	struct process_info process = { .pid = t->pid, .vm_pid = t->machine ? t->pid : 0,
					.vm_start_ns = t->machine ? started(t->pid) : 0 };
	struct device dev = { .id = t->dev, .has = TW_HAS_DEV | TW_HAS_MASTER };
	struct change change = {
		.event = t->event, .time_ns = t->time_ns, .task = t->pid ? &task : NULL, .dev = t->dev ? &dev : NULL,
		.has = (t->error ? CH_ERRNO | CH_REQUESTED : 0) | CH_VALUE, .how = t->how, .value = t->value,
		.error = t->error, .held_by = &t->holder, .held_by_len = t->holder != NULL, .fd = -1,
	};
	struct event event = {
		.change = &change, .seq = ++seq, .realtime_ns = EPOCH + t->time_ns, .process = t->pid ? &process : NULL,
		.vm_type = t->machine ? "qemu" : NULL, .vm_name = t->name, .vm_manager = t->manager,
		.earlier = t->earlier, .n_earlier = t->n_earlier, .boot_id = t->boot,
	};

	dev.d.master_ifindex = t->master;
	strcpy(dev.d.ifname, "tap0");
	if (t->requested)
		strcpy(change.requested, t->requested);
	assert_int_equal(vm_stats_add(stats, &event, true), 0);
}

#define TELL(...) tell(&(struct told){ __VA_ARGS__ })

static const struct vm_begin *only(void)
{
	size_t n;
	const struct vm_begin *starts = vm_stats_starts(stats, &n);

	assert_int_equal(n, 1);
	return starts;
}

static uint64_t phase(const struct vm_begin *start, const char *name)
{
	uint64_t ns = 0;

	for (size_t i = 0; i < STATS_PHASES; i++)
		if (!strcmp(stats_phases[i].name, name))
			return stats_phase(start, &stats_phases[i], &ns) ? ns : UINT64_MAX;
	fail();
	return 0;
}

static void test_whole(void **state)
{
	const struct event_earlier earlier[] = {
		/* so long ago that it is of another time */
		{ .time_ns = 1 * S, .event = EV_UP, .pid = 7, .comm = "ip" },
		{ .time_ns = 1000 * S, .event = EV_OPEN, .pid = 812, .comm = "libvirtd" },
		{ .time_ns = 1001 * S, .event = EV_MASTER, .pid = 812, .comm = "libvirtd" },
		{ .time_ns = 1003 * S, .event = EV_HOLD, .pid = 1002000, .comm = "qemu" },
	};
	const struct vm_begin *start;

	(void)state;
	TELL(.event = EV_VM_START, .time_ns = 1004 * S, .pid = 1002000, .machine = true, .dev = 3, .name = "a",
	     .earlier = earlier, .n_earlier = 4);
	TELL(.event = EV_UP, .time_ns = 1005 * S, .dev = 4);
	TELL(.event = EV_UP, .time_ns = 1006 * S, .dev = 3);
	TELL(.event = EV_MASTER, .time_ns = 1007 * S, .dev = 3, .master = true);
	TELL(.event = EV_VHOST, .time_ns = 1008 * S, .dev = 3, .value = true);
	TELL(.event = EV_FIRST_PACKET, .time_ns = 1010 * S, .dev = 3, .how = HOW_IN);
	TELL(.event = EV_FIRST_PACKET, .time_ns = 1012 * S, .dev = 3, .how = HOW_OUT);
	TELL(.event = EV_UP, .time_ns = 1013 * S, .dev = 3);
	TELL(.event = EV_VM_STOP, .time_ns = 1013 * S, .pid = 1002000, .machine = true);
	start = only();
	assert_string_equal(start->by, "libvirtd");
	assert_int_equal(phase(start, "prepare"), 4 * S);
	assert_int_equal(phase(start, "launch"), 2 * S);
	assert_int_equal(phase(start, "bridge"), 1 * S);
	assert_int_equal(phase(start, "up"), 6 * S);
	assert_int_equal(phase(start, "vhost"), 4 * S);
	assert_int_equal(phase(start, "packet_in"), 6 * S);
	assert_int_equal(phase(start, "packet_out"), 8 * S);
	assert_int_equal(phase(start, "total"), 12 * S);
	assert_int_equal(stats_length(start), 12 * S);
	assert_false(stats_failed(start));
}

/* Nothing is made up of what was not told. */
static void test_bare(void **state)
{
	const struct vm_begin *start;

	(void)state;
	TELL(.event = EV_VM_START, .time_ns = 1004 * S, .pid = 1002000, .machine = true, .dev = 3);
	start = only();
	assert_int_equal(phase(start, "prepare"), UINT64_MAX);
	assert_int_equal(phase(start, "launch"), 2 * S);
	assert_int_equal(phase(start, "total"), UINT64_MAX);
	assert_int_equal(stats_length(start), 2 * S);
	assert_string_equal(start->by, "");
}

static void test_refused(void **state)
{
	struct hold hold = { .task = { .pid = 306, .comm = "qemu" } };
	const struct vm_begin *start;

	(void)state;
	TELL(.event = EV_ATTACH_FAILED, .time_ns = 1003 * S, .pid = 1002000, .machine = true, .error = EEXIST,
	     .requested = "tap0");
	/* who is no machine is of no interest */
	TELL(.event = EV_ATTACH_FAILED, .time_ns = 1003 * S, .pid = 1002001, .error = EBUSY, .requested = "tap0");
	TELL(.event = EV_ATTACH_FAILED, .time_ns = 1004 * S, .pid = 1002000, .machine = true, .error = EBUSY,
	     .requested = "tap0", .holder = &hold);
	start = only();
	assert_true(stats_failed(start));
	assert_int_equal(start->error, EBUSY);
	assert_int_equal(start->holder_pid, 306);
	assert_int_equal(stats_length(start), 0);
	/* then it got it */
	TELL(.event = EV_VM_START, .time_ns = 1005 * S, .pid = 1002000, .machine = true, .dev = 3);
	assert_false(stats_failed(only()));
	/* a second one it did not get, then it did */
	TELL(.event = EV_ATTACH_FAILED, .time_ns = 1006 * S, .pid = 1002000, .machine = true, .error = EBUSY,
	     .requested = "tap0");
	assert_true(stats_failed(only()));
	TELL(.event = EV_ATTACH, .time_ns = 1007 * S, .pid = 1002000, .machine = true, .dev = 5);
	assert_false(stats_failed(only()));
}

static void test_ended_early(void **state)
{
	size_t n;
	const struct vm_begin *starts;

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		TELL(.event = EV_VM_START, .time_ns = 1004 * S, .pid = 1002000 + i, .machine = true, .dev = 3 + i);
	TELL(.event = EV_FIRST_PACKET, .time_ns = 1005 * S, .dev = 4, .how = HOW_OUT);
	TELL(.event = EV_VM_STOP, .time_ns = 1006 * S, .pid = 1002000, .machine = true);
	TELL(.event = EV_VM_STOP, .time_ns = 1006 * S, .pid = 1002001, .machine = true);
	TELL(.event = EV_VM_STOP, .time_ns = 1014 * S, .pid = 1002002, .machine = true);
	starts = vm_stats_starts(stats, &n);
	assert_int_equal(n, 3);
	assert_int_equal(starts[0].ended_ns, 2 * S);
	assert_int_equal(starts[1].ended_ns, 0);
	assert_int_equal(starts[2].ended_ns, 0);
}

/* A device's next machine; a restart of the whole. */
static void test_succession(void **state)
{
	size_t n;
	const struct vm_begin *starts;

	(void)state;
	TELL(.event = EV_VM_START, .time_ns = 1004 * S, .pid = 1002000, .machine = true, .dev = 3, .boot = "b1");
	TELL(.event = EV_VM_START, .time_ns = 1006 * S, .pid = 1005000, .machine = true, .dev = 3, .boot = "b1");
	TELL(.event = EV_FIRST_PACKET, .time_ns = 1007 * S, .dev = 3, .how = HOW_OUT, .boot = "b1");
	TELL(.event = EV_VM_START, .time_ns = 5 * S, .pid = 4000, .machine = true, .dev = 9, .boot = "b2");
	TELL(.event = EV_FIRST_PACKET, .time_ns = 7 * S, .dev = 3, .how = HOW_IN, .boot = "b2");
	TELL(.event = EV_DELETE, .time_ns = 8 * S, .dev = 9, .boot = "b2");
	TELL(.event = EV_FIRST_PACKET, .time_ns = 9 * S, .dev = 9, .how = HOW_IN, .boot = "b2");
	starts = vm_stats_starts(stats, &n);
	assert_int_equal(n, 3);
	assert_int_equal(phase(&starts[0], "packet_out"), UINT64_MAX);
	assert_int_equal(phase(&starts[1], "packet_out"), 1 * S);
	assert_int_equal(phase(&starts[1], "packet_in"), UINT64_MAX);
	assert_int_equal(phase(&starts[2], "packet_in"), UINT64_MAX);
}

static void test_range(void **state)
{
	size_t n;

	(void)state;
	vm_stats_free(stats);
	stats = vm_stats_new(EPOCH + 10 * S, EPOCH + 20 * S);
	for (uint32_t i = 8; i < 24; i++)
		TELL(.event = EV_VM_START, .time_ns = i * S, .pid = i, .machine = true, .dev = i);
	vm_stats_starts(stats, &n);
	assert_int_equal(n, 11);
}

/* ---- against brute force ---- */

#define MANY 3000

struct made {
	unsigned day, by;
	bool failed;
	uint64_t launch, out;	/* UINT64_MAX: none */
};

static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (seed >> 33) % below;
}

static struct made make(uint32_t i)
{
	static const char *const managers[] = { NULL, "libvirt", "proxmox" };
	struct made m = { .day = (unsigned)rnd(3), .by = (unsigned)rnd(3), .launch = rnd(5 * S), .out = rnd(30 * S) };
	uint32_t pid = m.day * 86400000 + 3600000 + i * 1000 + (uint32_t)rnd(1000);
	uint64_t at = started(pid) + m.launch;

	TELL(.event = EV_VM_START, .time_ns = at, .pid = pid, .machine = true, .dev = i + 1, .name = "x",
	     .manager = managers[m.by]);
	if (rnd(2))
		TELL(.event = EV_FIRST_PACKET, .time_ns = at + m.out, .dev = i + 1, .how = HOW_OUT);
	else
		m.out = UINT64_MAX;
	if (!rnd(5)) {
		TELL(.event = EV_VM_STOP, .time_ns = at + 2 * S, .pid = pid, .machine = true);
		m.failed = m.out == UINT64_MAX;
	}
	return m;
}

/* The smallest number of which at least `percent` of all are no greater. */
static uint64_t brute(const uint64_t *numbers, size_t n, size_t percent)
{
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i < n; i++) {
		size_t below = 0;

		for (size_t k = 0; k < n; k++)
			below += numbers[k] <= numbers[i];
		if (below * 100 >= percent * n && numbers[i] < best)
			best = numbers[i];
	}
	return best;
}

static void check(const struct stats_group *g, size_t index, const uint64_t *numbers, size_t n)
{
	assert_int_equal(g->phase[index].n, n);
	if (!n)
		return;
	assert_int_equal(g->phase[index].median_ns, brute(numbers, n, 50));
	assert_int_equal(g->phase[index].p95_ns, brute(numbers, n, 95));
}

static void test_brute_force(void **state)
{
	static struct made made[MANY];
	static uint64_t launch[MANY], out[MANY];
	static const char *const names[] = { NULL, "libvirt", "proxmox" };
	const struct vm_begin *slowest[10];
	struct stats_group *groups;
	size_t n, at = 0;

	(void)state;
	seed = 17;
	for (uint32_t i = 0; i < MANY; i++)
		made[i] = make(i);
	assert_int_equal(vm_stats_groups(stats, &groups, &n), 0);
	assert_int_equal(n, 9);
	for (unsigned day = 0; day < 3; day++) {
		for (unsigned by = 0; by < 3; by++, at++) {
			size_t starts = 0, failed = 0, n_out = 0;
			char name[16];

			for (size_t i = 0; i < MANY; i++) {
				if (made[i].day != day || made[i].by != by)
					continue;
				launch[starts++] = made[i].launch;
				failed += made[i].failed;
				if (made[i].out != UINT64_MAX)
					out[n_out++] = made[i].out;
			}
			snprintf(name, sizeof(name), "2026-11-2%u", 2 + day);
			assert_string_equal(groups[at].day, name);
			assert_true(groups[at].by ? !strcmp(groups[at].by, names[by]) : !names[by]);
			assert_int_equal(groups[at].starts, starts);
			assert_int_equal(groups[at].failed, failed);
			check(&groups[at], 1, launch, starts);
			check(&groups[at], 5, out, n_out);
		}
	}
	free(groups);
	n = vm_stats_slowest(stats, slowest, 10);
	assert_int_equal(n, 10);
	for (size_t i = 0; i < MANY; i++) {
		uint64_t length = made[i].launch + (made[i].out == UINT64_MAX ? 0 : made[i].out);
		size_t slower = 0;

		for (size_t k = 0; k < n; k++)
			slower += stats_length(slowest[k]) >= length;
		assert_true(made[i].failed || slower == 10 || (slower && length == stats_length(slowest[slower - 1])));
	}
	for (size_t k = 1; k < n; k++)
		assert_true(stats_length(slowest[k - 1]) >= stats_length(slowest[k]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bare, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ended_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_succession, setup, teardown),
		cmocka_unit_test_setup_teardown(test_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_brute_force, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
