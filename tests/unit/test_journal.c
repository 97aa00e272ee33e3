// SPDX-License-Identifier: GPL-2.0-only
/* journal.c: the fields of an entry. What would go to journald is caught here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "../../user/journal.h"

#ifndef HAVE_LIBSYSTEMD

static void test_without(void **state)
{
	struct change change = { .event = EV_RESYNC, .fd = -1 };
	struct event event = { .change = &change };

	(void)state;
	assert_false(journal_built());
	assert_int_equal(journal_send(&event), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_without) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static char sent[8192];
static int answer;

/* In the library's place: the fields, one a line. */
int sd_journal_sendv(const struct iovec *iov, int n);
int sd_journal_sendv(const struct iovec *iov, int n)
{
	size_t len = 0;

	for (int i = 0; i < n && len < sizeof(sent); i++)
		len += (size_t)snprintf(sent + len, sizeof(sent) - len, "%.*s\n", (int)iov[i].iov_len,
					(const char *)iov[i].iov_base);
	return answer;
}

static struct tw_task task;
static struct device device;
static struct file file;
static struct change change;
static struct event event;

static int setup(void **state)
{
	(void)state;
	setenv("TZ", "UTC0", 1);
	answer = 0;
	task = (struct tw_task){ .pid = 4242, .tid = 4243, .uid = 7, .netns = 100, .comm = "qemu" };
	memset(&device, 0, sizeof(device));
	device.id = 9;
	device.has = TW_HAS_DEV | TW_HAS_TUN;
	device.d = (struct tw_dev){ .netns = 200, .ifindex = 3, .kind = TW_KIND_TAP, .ifname = "vnet99",
				    .tun_flags = 0x4100, .owner = -1, .group = -1 };
	file = (struct file){ .id = 3 };
	change = (struct change){ .event = EV_ATTACH, .has = CH_FD | CH_TASK | CH_CREATED, .time_ns = 5, .task = &task,
				  .fd = 27, .dev = &device, .file = &file };
	event = (struct event){ .change = &change, .seq = 17, .realtime_ns = 1795307460123456789, .boot_id = "b",
				.source = "fentry", .netns_name = "blue", .vm_name = "web01" };
	return 0;
}

static void test_fields(void **state)
{
	(void)state;
	assert_true(journal_built());
	assert_int_equal(journal_send(&event), 0);
	assert_string_equal(sent,
		"MESSAGE=attach qemu(4242) 27 vnet99 blue[200] created tap, vnet_hdr, multi_queue, process in [100], "
		"uid 7, vm web01\n"
		"PRIORITY=6\n"
		"SYSLOG_IDENTIFIER=tapwatch\n"
		"TAPWATCH_SEQ=17\n"
		"TAPWATCH_TIME=2026-11-22T00:31:00.123456789Z\n"
		"TAPWATCH_BOOTTIME_NS=5\n"
		"TAPWATCH_BOOT_ID=b\n"
		"TAPWATCH_EVENT=attach\n"
		"TAPWATCH_SOURCE=fentry\n"
		"TAPWATCH_PID=4242\n"
		"TAPWATCH_TID=4243\n"
		"TAPWATCH_UID=7\n"
		"TAPWATCH_COMM=qemu\n"
		"TAPWATCH_PROCESS_NETNS=100\n"
		"TAPWATCH_FD=27\n"
		"TAPWATCH_FILE=f3\n"
		"TAPWATCH_DEVICE=d9\n"
		"TAPWATCH_KIND=tap\n"
		"TAPWATCH_IFNAME=vnet99\n"
		"TAPWATCH_IFINDEX=3\n"
		"TAPWATCH_NETNS=200\n"
		"TAPWATCH_NETNS_NAME=blue\n"
		"TAPWATCH_FLAGS=vnet_hdr\n"
		"TAPWATCH_FLAGS=multi_queue\n"
		"TAPWATCH_CREATED=true\n"
		"TAPWATCH_VM_NAME=web01\n");
}

/* `old` keeps its name, holders are fields each; bytes from outside cannot begin a field. */
static void test_nested(void **state)
{
	struct hold hold = { .fd = 9, .task = { .pid = 4000, .comm = "a\nTAPWATCH_X=" } };
	const struct hold *const held_by[] = { &hold, &hold };

	(void)state;
	change = (struct change){ .event = EV_ATTACH_FAILED, .has = CH_OLD_IFNAME | CH_ERRNO, .fd = -1, .error = 16,
				  .held_by = held_by, .held_by_len = 2 };
	strcpy(change.old.ifname, "tap0");
	assert_int_equal(journal_send(&event), 0);
	assert_non_null(strstr(sent, "\nTAPWATCH_OLD_IFNAME=tap0\n"));
	assert_non_null(strstr(sent, "\nTAPWATCH_ERRNO=EBUSY\n"));
	assert_non_null(strstr(sent, "\nTAPWATCH_HELD_BY_PID=4000\n"));
	assert_non_null(strstr(sent, "\nTAPWATCH_HELD_BY_FD=9\n"));
	assert_non_null(strstr(sent, "MESSAGE=attach-failed - - - - EBUSY: it is held by a\\x0aTAPWATCH_X=(4000) fd 9 9"));
}

static void test_alarm(void **state)
{
	(void)state;
	change = (struct change){ .event = EV_LOST, .has = CH_COUNT, .fd = -1, .count = 3 };
	answer = -EAGAIN;
	assert_int_equal(journal_send(&event), -EAGAIN);
	assert_non_null(strstr(sent, "MESSAGE=-- 3 events lost: reading the state afresh\nPRIORITY=4\n"));
	assert_non_null(strstr(sent, "\nTAPWATCH_COUNT=3\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_fields, setup), cmocka_unit_test_setup(test_nested, setup),
		cmocka_unit_test_setup(test_alarm, setup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif /* HAVE_LIBSYSTEMD */
