// SPDX-License-Identifier: GPL-2.0-only
/* vm_track.c: stories as arrays of events, and what is told of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/vm_track.h"

/* Programs by pid: 1xx are machines "vm1xx", 3xx devices processes of machine 100, the rest is none. */
#define LIBVIRTD 812
#define IP 900
#define VPN 950

static struct vm_track *track;
static uint64_t seq;
static bool can_watch;
static int watched;

static int watch(void *ctx, uint32_t pid, uint64_t start_ns)
{
	(void)ctx, (void)pid, (void)start_ns;
	watched++;
	return can_watch ? 0 : -ESRCH;
}

static int setup(void **state)
{
	(void)state;
	track = vm_track_new();
	assert_non_null(track);
	vm_track_on_new(track, watch, NULL);
	can_watch = true;
	watched = 0;
	seq = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_track_free(track);
	return 0;
}

struct step {
	enum event_kind event;
	uint32_t pid;		/* 0: unknown */
	uint64_t file, dev;	/* ids; 0: none */
	enum how how;
};

/* What is told of a step: "vm100", "-", and "+vm100(N)" or "!vm100" when it started or stopped. */
static void tell(char *out, size_t size, const struct event *event, bool told, const struct vm_notice *notice)
{
	size_t n = (size_t)snprintf(out, size, "%s", event->vm_name ? event->vm_name : "-");

	if (told && notice->event == EV_VM_START)
		snprintf(out + n, size - n, " +%s(%zu)", notice->name, notice->n_earlier);
	else if (told)
		snprintf(out + n, size - n, " !%s", notice->name);
}

static struct vm_notice notice;

static const char *step(struct step s)
{
	static char text[128], name[32];
	struct tw_task task = { .pid = s.pid, .tid = s.pid, .start_ns = s.pid * 1000000000ULL };
	struct vm vm = { .role = ROLE_VM, .type = "qemu", .name = name };
	struct process_info process = { .pid = s.pid, .vm_pid = s.pid, .vm_start_ns = task.start_ns };
	struct device dev = { .id = s.dev };
	struct file file = { .id = s.file };
	struct change change = {
		.event = s.event, .time_ns = 1000 + seq, .how = s.how, .task = s.pid ? &task : NULL,
		.has = (s.pid ? CH_TASK : 0) | (s.file && s.pid ? CH_FD : 0), .fd = s.file ? (int)s.file : -1,
		.dev = s.dev ? &dev : NULL, .file = s.file ? &file : NULL,
	};
	struct event event = { .change = &change, .seq = ++seq, .process = s.pid ? &process : NULL };
	bool told;

	snprintf(task.comm, sizeof(task.comm), "comm%u", s.pid);
	if (s.pid >= 300 && s.pid < 400) {
		process.vm_pid = 100;
		/* out of /proc: rounded */
		process.vm_start_ns = 100 * 1000000000ULL - 7000000;
	}
	snprintf(name, sizeof(name), "vm%u", process.vm_pid);
	if ((s.pid >= 100 && s.pid < 200) || process.vm_pid != s.pid) {
		process.vm = &vm;
		event.vm_type = vm.type;
		event.vm_name = vm.name;
	}
	told = vm_track_event(track, &event, &notice);
	tell(text, sizeof(text), &event, told, &notice);
	return text;
}

static const char *ended(uint32_t pid)
{
	static char text[64];

	if (!vm_track_ended(track, pid, pid * 1000000000ULL, &notice))
		return "-";
	assert_int_equal(notice.event, EV_VM_STOP);
	snprintf(text, sizeof(text), "!%s", notice.name);
	return text;
}

#define IS(text, ...) assert_string_equal(step((struct step){ __VA_ARGS__ }), text)

static void test_alone(void **state)
{
	(void)state;
	IS("vm100", EV_OPEN, 100, 1, 0, 0);
	IS("vm100 +vm100(0)", EV_ATTACH, 100, 1, 1, 0);
	assert_int_equal(notice.task.pid, 100);
	assert_string_equal(notice.type, "qemu");
	/* of its other devices nothing is told as such */
	IS("vm100", EV_OPEN, 100, 2, 0, 0);
	IS("vm100", EV_ATTACH, 100, 2, 2, 0);
	/* who changes its device is another */
	IS("vm100", EV_MASTER, IP, 0, 1, 0);
	IS("vm100", EV_UP, 0, 0, 2, 0);
	IS("vm100", EV_DROP, 100, 1, 1, HOW_EXIT);
	IS("vm100", EV_RELEASE, 0, 1, 1, 0);
	IS("vm100", EV_DELETE, 100, 0, 1, HOW_LAST_CLOSE);
	assert_string_equal(ended(100), "!vm100");
	assert_string_equal(ended(100), "-");
	IS("vm100", EV_DELETE, 0, 0, 2, HOW_LAST_CLOSE);
	IS("-", EV_UP, IP, 0, 3, 0);
	assert_int_equal(watched, 1);
}

/* libvirtd opens and binds, its child execs QEMU: by then all of that was the machine's. */
static void test_handed_over(void **state)
{
	(void)state;
	IS("-", EV_OPEN, LIBVIRTD, 1, 0, 0);
	IS("-", EV_ATTACH, LIBVIRTD, 1, 1, 0);
	IS("-", EV_MAC, LIBVIRTD, 0, 1, 0);
	IS("-", EV_MASTER, LIBVIRTD, 0, 1, 0);
	IS("-", EV_HOLD, 813, 1, 1, HOW_FORK);
	IS("vm100 +vm100(5)", EV_HOLD, 100, 1, 1, HOW_EXEC);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(notice.earlier[i].seq, i + 1);
	assert_int_equal(notice.earlier[1].event, EV_ATTACH);
	assert_int_equal(notice.earlier[1].pid, LIBVIRTD);
	assert_string_equal(notice.earlier[1].comm, "comm812");
	assert_int_equal(notice.earlier[1].fd, 1);
	assert_int_equal(notice.earlier[2].fd, -1);
	assert_int_equal(notice.earlier[4].how, HOW_FORK);
	IS("vm100", EV_DROP, LIBVIRTD, 1, 1, HOW_CLOSE);
	IS("vm100", EV_UP, LIBVIRTD, 0, 1, 0);
	/* somebody looks at it: that holder is no machine */
	IS("-", EV_HOLD, 2000, 1, 1, HOW_PIDFD_GETFD);
	IS("vm100", EV_DROP, 2000, 1, 1, HOW_CLOSE);
}

/* A persistent tap that was made long before, with a failure on the way. */
static void test_prepared(void **state)
{
	(void)state;
	IS("-", EV_OPEN, IP, 1, 0, 0);
	IS("-", EV_ATTACH, IP, 1, 1, 0);
	IS("-", EV_PERSIST, IP, 1, 1, 0);
	IS("-", EV_DROP, IP, 1, 1, HOW_EXIT);
	IS("-", EV_RELEASE, IP, 1, 1, 0);
	IS("-", EV_UP, IP + 1, 0, 1, 0);
	IS("vm100", EV_OPEN, 100, 2, 0, 0);
	IS("vm100", EV_ATTACH_FAILED, 100, 2, 0, 0);
	IS("vm100 +vm100(5)", EV_ATTACH, 100, 2, 1, 0);
	assert_int_equal(notice.earlier[0].event, EV_ATTACH);
	assert_int_equal(notice.earlier[4].event, EV_UP);

	/* it ends, the tap stays: what is cleaned up is still its own */
	IS("vm100", EV_DROP, 100, 2, 1, HOW_EXIT);
	IS("vm100", EV_RELEASE, 0, 2, 1, 0);
	assert_string_equal(ended(100), "!vm100");
	IS("vm100", EV_DOWN, IP, 0, 1, 0);
	/* a VPN takes it: a new story */
	IS("-", EV_OPEN, VPN, 3, 0, 0);
	IS("-", EV_ATTACH, VPN, 3, 1, 0);
	IS("-", EV_UP, IP, 0, 1, 0);
	IS("-", EV_RELEASE, VPN, 3, 1, 0);
	IS("vm101", EV_OPEN, 101, 4, 0, 0);
	IS("vm101 +vm101(3)", EV_ATTACH, 101, 4, 1, 0);
	assert_int_equal(notice.earlier[0].event, EV_ATTACH);
	assert_int_equal(notice.earlier[0].pid, VPN);
}

/* The next machine takes the same tap at once. */
static void test_succession(void **state)
{
	(void)state;
	IS("vm100 +vm100(0)", EV_ATTACH, 100, 1, 1, 0);
	IS("vm101 +vm101(0)", EV_ATTACH, 101, 2, 1, 0);
	IS("vm101", EV_UP, IP, 0, 1, 0);
	IS("vm100", EV_DROP, 100, 1, 0, HOW_CLOSE);
	assert_string_equal(ended(100), "!vm100");
	IS("vm101", EV_DOWN, IP, 0, 1, 0);
	IS("-", EV_OPEN, IP, 3, 0, 0);
}

/* What runs already has not started now, but its end is told. */
static void test_seed(void **state)
{
	(void)state;
	IS("vm100", EV_EXIST, 100, 1, 1, 0);
	IS("-", EV_EXIST, VPN, 2, 2, 0);
	IS("-", EV_EXIST, 0, 0, 3, 0);
	IS("vm100", EV_OPEN, 100, 3, 0, 0);
	IS("vm100", EV_ATTACH, 100, 3, 4, 0);
	IS("vm100", EV_UP, IP, 0, 1, 0);
	assert_string_equal(ended(100), "!vm100");
}

/* A machine that never had a device is of no interest. */
static void test_without_device(void **state)
{
	(void)state;
	IS("vm100", EV_OPEN, 100, 1, 0, 0);
	IS("vm100", EV_DROP, 100, 1, 0, HOW_CLOSE);
	IS("vm100", EV_RELEASE, 100, 1, 0, 0);
	assert_string_equal(ended(100), "-");
	assert_string_equal(ended(101), "-");
}

/* The holder is a child of the machine's process; start times are rounded there. */
static void test_child(void **state)
{
	(void)state;
	IS("vm100", EV_OPEN, 100, 1, 0, 0);
	IS("vm100 +vm100(0)", EV_ATTACH, 100, 1, 1, 0);
	IS("vm100", EV_HOLD, 300, 1, 1, HOW_FORK);
	IS("vm100", EV_OPEN, 301, 2, 0, 0);
	IS("vm100", EV_ATTACH, 301, 2, 2, 0);
	assert_int_equal(watched, 1);
	assert_string_equal(ended(300), "-");
	assert_string_equal(ended(100), "!vm100");
}

/* Where its end cannot be watched, it ends with its last fd; and comes back with the next. */
static void test_unwatched(void **state)
{
	(void)state;
	can_watch = false;
	IS("vm100", EV_OPEN, 100, 1, 0, 0);
	IS("vm100 +vm100(0)", EV_ATTACH, 100, 1, 1, 0);
	IS("vm100", EV_HOLD, 100, 1, 1, HOW_DUP);
	IS("vm100", EV_DROP, 100, 1, 1, HOW_CLOSE);
	IS("vm100 !vm100", EV_DROP, 100, 1, 1, HOW_CLOSE);
	IS("vm100", EV_RELEASE, 0, 1, 1, 0);
	IS("vm100", EV_DELETE, 0, 0, 1, HOW_LAST_CLOSE);
	IS("vm100", EV_OPEN, 100, 2, 0, 0);
	IS("vm100 +vm100(0)", EV_ATTACH, 100, 2, 2, 0);
	IS("vm100 !vm100", EV_DROP, 100, 2, 2, HOW_EXIT);
}

/* What happened last is told before it is forgotten; its name is still readable. */
static void test_last_words(void **state)
{
	(void)state;
	IS("vm100 +vm100(0)", EV_ATTACH, 100, 1, 1, 0);
	assert_string_equal(ended(100), "!vm100");
	IS("vm100", EV_RELEASE, 0, 1, 0, 0);
	IS("vm100", EV_DELETE, 0, 0, 1, HOW_LAST_CLOSE);
	/* the ids are not used again; if they were, nothing would be left */
	IS("-", EV_UP, IP, 0, 1, 0);
}

static void test_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		IS("-", i % 2 ? EV_DOWN : EV_UP, IP, 0, 1, 0);
	for (int i = 0; i < 1000; i++)
		IS("-", EV_HOLD, 1000 + (uint32_t)i, 1, 0, HOW_DUP);
	step((struct step){ EV_ATTACH, 100, 1, 1, 0 });
	assert_int_equal(notice.event, EV_VM_START);
	assert_int_equal(notice.n_earlier, 128);
	/* the beginning and the end */
	assert_int_equal(notice.earlier[0].seq, 1);
	assert_int_equal(notice.earlier[15].seq, 16);
	assert_int_equal(notice.earlier[16].seq, 953);
	assert_int_equal(notice.earlier[127].seq, 2000);
}

/* Anything in any order: nothing is read that is gone (ASan), a machine starts once and stops once. */
static void test_soup(void **state)
{
	int running[200] = { 0 };
	unsigned random = 1;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct step s;
		const char *text;

		random = random * 1103515245 + 12345;
		s.event = (enum event_kind)(random >> 16) % EV_LOST;
		s.pid = (random >> 8) % 3 ? 95 + (random >> 24) % 10 : LIBVIRTD;
		s.file = (random >> 12) % 12;
		s.dev = (random >> 20) % 6;
		s.how = HOW_UNKNOWN;
		text = step(s);
		if (strchr(text, '+'))
			assert_int_equal(running[s.pid]++, 0);
		if (random % 50 == 0 && strcmp(ended(s.pid), "-"))
			running[s.pid] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_handed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prepared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_succession, setup, teardown),
		cmocka_unit_test_setup_teardown(test_seed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_child, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unwatched, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_soup, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
