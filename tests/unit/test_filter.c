// SPDX-License-Identifier: GPL-2.0-only
/* filter.c: what each option takes, what it matches, and how options combine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../user/filter.h"

static char errmsg[256];

/* A fresh filter with `n` pairs of kind and value, all of which must be taken. */
struct option {
	enum filter_kind kind;
	const char *value;
};

static struct filter *make(const struct option *options, size_t n)
{
	struct filter *f = filter_new();
	size_t i;

	assert_non_null(f);
	for (i = 0; i < n; i++) {
		assert_int_equal(filter_add(f, options[i].kind, options[i].value,
					    errmsg, sizeof(errmsg)), 0);
		assert_string_equal(errmsg, "");
		assert_true(filter_has(f, options[i].kind));
	}
	return f;
}

static bool matches(const struct event *event, enum filter_kind kind, const char *value)
{
	struct option option = { kind, value };
	struct filter *f = make(&option, 1);
	bool yes = filter_match(f, event);

	filter_free(f);
	return yes;
}

static void refused(enum filter_kind kind, const char *value, int err, const char *message)
{
	struct filter *f = filter_new();

	assert_int_equal(filter_add(f, kind, value, errmsg, sizeof(errmsg)), err);
	assert_string_equal(errmsg, message);
	filter_free(f);
}

/* One event with everything in it, made afresh by each test. */
static struct tw_task task;
static struct device device;
static struct file file;
static struct hold hold;
static const struct hold *const held_by[] = { &hold };
static struct change change;
static struct event event;

static int setup(void **state)
{
	(void)state;
	task = (struct tw_task){ .pid = 4242, .tid = 4243, .uid = 64055, .comm = "qemu-kvm" };
	memset(&device, 0, sizeof(device));
	device.has = TW_HAS_DEV;
	device.d = (struct tw_dev){ .netns = 100, .kind = TW_KIND_TAP, .ifname = "vnet99" };
	file = (struct file){ .has = TW_HAS_SOCKET_NETNS, .f = { .socket_netns = 200 } };
	hold = (struct hold){ .fd = 9, .task = { .pid = 4000, .uid = 7, .comm = "holder" } };
	change = (struct change){ .event = EV_ATTACH, .task = &task, .dev = &device, .file = &file };
	event = (struct event){ .change = &change };
	return 0;
}

static void test_empty(void **state)
{
	struct filter *f = filter_new();

	(void)state;
	assert_true(filter_match(f, &event));
	assert_false(filter_has(f, FILTER_PID));
	filter_free(f);
	filter_free(NULL);
}

static void test_pid(void **state)
{
	(void)state;
	assert_true(matches(&event, FILTER_PID, "4242"));
	assert_true(matches(&event, FILTER_PID, "1,4242"));
	assert_false(matches(&event, FILTER_PID, "4243"));	/* a thread is no process */
	assert_false(matches(&event, FILTER_PID, "424"));
	assert_false(matches(&event, FILTER_PID, "4000"));
	change.held_by = held_by;
	change.held_by_len = 1;
	assert_true(matches(&event, FILTER_PID, "4000"));
	change.task = NULL;
	assert_false(matches(&event, FILTER_PID, "4242"));

	refused(FILTER_PID, "0", -EINVAL, "'0' is no process id");
	refused(FILTER_PID, "1,x", -EINVAL, "'x' is no process id");
	refused(FILTER_PID, "-1", -EINVAL, "'-1' is no process id");
	refused(FILTER_PID, " 1", -EINVAL, "' 1' is no process id");
	refused(FILTER_PID, "99999999999999999999999", -EINVAL,
		"'99999999999999999999999' is no process id");
	refused(FILTER_PID, "", -EINVAL, "--pid has an empty value");
	refused(FILTER_PID, "1,,2", -EINVAL, "--pid has an empty value");
	refused(FILTER_PID, "1,", -EINVAL, "--pid has an empty value");
	refused(FILTER_PID, "\033[2J\xff", -EINVAL, "'\\x1b[2J\\xff' is no process id");
}

static void test_ifname(void **state)
{
	(void)state;
	assert_true(matches(&event, FILTER_IFNAME, "vnet99"));
	assert_true(matches(&event, FILTER_IFNAME, "vnet*"));
	assert_true(matches(&event, FILTER_IFNAME, "tap*,vnet?[0-9]"));
	assert_false(matches(&event, FILTER_IFNAME, "vnet"));
	assert_false(matches(&event, FILTER_IFNAME, "tap0"));
	change.has = CH_OLD_IFNAME;
	strcpy(change.old.ifname, "tap0");
	assert_true(matches(&event, FILTER_IFNAME, "tap0"));
	change.has = CH_REQUESTED;
	strcpy(change.requested, "want0");
	assert_false(matches(&event, FILTER_IFNAME, "tap0"));
	assert_true(matches(&event, FILTER_IFNAME, "want0"));
	change.has = 0;
	change.dev = NULL;
	assert_false(matches(&event, FILTER_IFNAME, "*"));
}

/* Commas separate, but not in brackets nor after a backslash. */
static void test_commas(void **state)
{
	(void)state;
	strcpy(device.d.ifname, "a,b");
	assert_false(matches(&event, FILTER_IFNAME, "a,b"));
	assert_true(matches(&event, FILTER_IFNAME, "x,a\\,b"));
	assert_true(matches(&event, FILTER_IFNAME, "a[,;]b"));
	assert_true(matches(&event, FILTER_IFNAME, "a[!],]b,a?b"));
	strcpy(device.d.ifname, "[a");
	assert_true(matches(&event, FILTER_IFNAME, "x,[a"));
	assert_true(matches(&event, FILTER_IFNAME, "[a,x"));
	strcpy(device.d.ifname, "\\");
	assert_true(matches(&event, FILTER_IFNAME, "\\\\,x"));
}

static void test_comm(void **state)
{
	(void)state;
	assert_true(matches(&event, FILTER_COMM, "qemu-*"));
	assert_false(matches(&event, FILTER_COMM, "QEMU-*"));
	change.held_by = held_by;
	change.held_by_len = 1;
	assert_true(matches(&event, FILTER_COMM, "holder"));
	/* no NUL at the end, bytes that are no UTF-8 */
	memcpy(task.comm, "\xff\033[2J\nabcdefghij", 16);
	assert_true(matches(&event, FILTER_COMM, "*abcdefghij"));
	assert_true(matches(&event, FILTER_COMM, "\xff*"));
	assert_false(matches(&event, FILTER_COMM, "abc*"));
}

static void test_user(void **state)
{
	(void)state;
	assert_true(matches(&event, FILTER_USER, "64055"));
	assert_false(matches(&event, FILTER_USER, "root"));
	assert_true(matches(&event, FILTER_USER, "root,64055"));
	task.uid = 0;
	assert_true(matches(&event, FILTER_USER, "root"));
	change.held_by = held_by;
	change.held_by_len = 1;
	assert_true(matches(&event, FILTER_USER, "7"));
	refused(FILTER_USER, "no such user", -EINVAL, "there is no user 'no such user'");
	refused(FILTER_USER, "4294967295", -EINVAL, "there is no user '4294967295'");
}

static void test_kind(void **state)
{
	(void)state;
	assert_true(matches(&event, FILTER_KIND, "tap"));
	assert_true(matches(&event, FILTER_KIND, "tun,tap"));
	assert_false(matches(&event, FILTER_KIND, "macvtap,ipvtap"));
	device.d.kind = TW_KIND_UNKNOWN;
	assert_false(matches(&event, FILTER_KIND, "tap,tun,macvtap,ipvtap"));
	change.dev = NULL;
	assert_false(matches(&event, FILTER_KIND, "tap"));
	refused(FILTER_KIND, "tap,veth", -EINVAL,
		"unknown kind 'veth'; there are tap, tun, macvtap, ipvtap");
}

static void test_event(void **state)
{
	struct option both[] = { { FILTER_EVENT, "attach" }, { FILTER_EVENT, "lost" } };
	struct filter *f = make(both, 2);

	(void)state;
	assert_true(filter_match(f, &event));
	change.event = EV_LOST;
	assert_true(filter_match(f, &event));
	change.event = EV_READY;
	assert_false(filter_match(f, &event));
	filter_free(f);
	refused(FILTER_EVENT, "foo", -EINVAL, "unknown event 'foo'");
}

/* About the run: through every filter but an event list. */
static void test_run_events(void **state)
{
	static const enum event_kind kinds[] = { EV_READY, EV_LOST, EV_RESYNC };
	struct option options[] = { { FILTER_PID, "1" }, { FILTER_IFNAME, "x" } };
	struct filter *f = make(options, 2);
	size_t i;

	(void)state;
	change = (struct change){ 0 };
	for (i = 0; i < 3; i++) {
		change.event = kinds[i];
		assert_true(filter_match(f, &event));
		assert_false(matches(&event, FILTER_EVENT, "attach"));
	}
	filter_free(f);
}

static void test_netns(void **state)
{
	char word[64];
	struct stat st;

	(void)state;
	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	snprintf(word, sizeof(word), "pid:%d", getpid());
	assert_false(matches(&event, FILTER_NETNS, word));
	device.d.netns = st.st_ino;
	assert_true(matches(&event, FILTER_NETNS, word));
	assert_true(matches(&event, FILTER_NETNS, "/proc/self/ns/net"));
	/* the socket's counts only without a device, the old one always */
	device.d.netns = 100;
	file.f.socket_netns = st.st_ino;
	assert_false(matches(&event, FILTER_NETNS, word));
	change.dev = NULL;
	assert_true(matches(&event, FILTER_NETNS, word));
	file.has = 0;
	assert_false(matches(&event, FILTER_NETNS, word));
	change.dev = &device;
	change.old.netns = st.st_ino;
	assert_false(matches(&event, FILTER_NETNS, word));
	change.has = CH_OLD_NETNS;
	assert_true(matches(&event, FILTER_NETNS, word));

	refused(FILTER_NETNS, "/nonexistent/\n", -ENOENT,
		"there is no network namespace '/nonexistent/\\x0a'");
	refused(FILTER_NETNS, "/dev/null", -EINVAL, "'/dev/null' is no network namespace; "
		"give a name, a path, an inode number or pid:PID");
}

static void test_vm(void **state)
{
	(void)state;
	assert_false(matches(&event, FILTER_VM, "*"));
	event.vm_name = "web01";
	event.vm_uuid = "1-2-3";
	assert_true(matches(&event, FILTER_VM, "web*"));
	assert_true(matches(&event, FILTER_VM, "db,1-2-3"));
	assert_false(matches(&event, FILTER_VM, "db"));
}

/* ORed within an option, ANDed across. */
static void test_combined(void **state)
{
	struct option good[] = {
		{ FILTER_PID, "1" }, { FILTER_PID, "4242" }, { FILTER_IFNAME, "vnet*" },
		{ FILTER_KIND, "tun,tap" }, { FILTER_EVENT, "attach,drop" },
	};
	struct option bad[] = { { FILTER_PID, "4242" }, { FILTER_IFNAME, "tap*" } };
	struct filter *f = make(good, 5);

	(void)state;
	assert_true(filter_match(f, &event));
	change.event = EV_HOLD;
	assert_false(filter_match(f, &event));
	filter_free(f);
	f = make(bad, 2);
	assert_false(filter_match(f, &event));
	filter_free(f);
}

/* A message longer than its buffer is cut, not overrun. */
static void test_long_word(void **state)
{
	char word[4096], *small = malloc(16);
	struct filter *f = filter_new();

	(void)state;
	memset(word, '\xff', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(filter_add(f, FILTER_PID, word, small, 16), -EINVAL);
	assert_string_equal(small, "'\\xff\\xff\\xff\\x");
	free(small);
	filter_free(f);
}

static bool past_matches(enum filter_kind kind, const char *value)
{
	struct filter *f = filter_new();
	bool yes;

	filter_past(f);
	assert_int_equal(filter_add(f, kind, value, errmsg, sizeof(errmsg)), 0);
	yes = filter_match(f, &event);
	filter_free(f);
	return yes;
}

/* Names as they were recorded: there need be no such namespace or user any more. */
static void test_past_netns(void **state)
{
	struct filter *f = filter_new();

	(void)state;
	event.netns_name = "no-such-netns-now";
	assert_true(past_matches(FILTER_NETNS, "no-such-netns-now"));
	assert_true(past_matches(FILTER_NETNS, "/run/netns/no-such-netns-now"));
	assert_true(past_matches(FILTER_NETNS, "/var/run/netns/no-such-netns-now"));
	assert_true(past_matches(FILTER_NETNS, "100"));
	assert_false(past_matches(FILTER_NETNS, "no-such"));
	assert_false(past_matches(FILTER_NETNS, "101"));
	assert_false(past_matches(FILTER_NETNS, "200"));
	event.netns_name = "101";
	assert_true(past_matches(FILTER_NETNS, "101"));
	/* where it was before */
	event.old_netns_name = "before";
	assert_false(past_matches(FILTER_NETNS, "before"));
	change.has |= CH_OLD_NETNS;
	change.old.netns = 300;
	assert_true(past_matches(FILTER_NETNS, "before"));
	assert_true(past_matches(FILTER_NETNS, "300"));
	/* without a device where the file was opened */
	change.dev = NULL;
	event.socket_netns_name = "here";
	assert_true(past_matches(FILTER_NETNS, "here"));
	assert_true(past_matches(FILTER_NETNS, "200"));
	change.dev = &device;
	/* of a process: to be found out by the caller */
	filter_past(f);
	assert_int_equal(filter_add(f, FILTER_NETNS, "pid:77,x,pid:78", errmsg, sizeof(errmsg)), 0);
	assert_int_equal(filter_netns_pid(f, 0), 77);
	assert_int_equal(filter_netns_pid(f, 1), 78);
	assert_int_equal(filter_netns_pid(f, 2), 0);
	assert_false(filter_match(f, &event));
	assert_int_equal(filter_add_netns(f, 100), 0);
	assert_true(filter_match(f, &event));
	assert_string_equal(filter_value(f, FILTER_NETNS, 1), "x");
	assert_null(filter_value(f, FILTER_NETNS, 4));
	assert_int_equal(filter_add(f, FILTER_NETNS, "/proc/1/ns/net", errmsg, sizeof(errmsg)), -EINVAL);
	assert_string_equal(errmsg, "namespaces of the past are known by the names that they had in /run/netns, "
			    "not by '/proc/1/ns/net'");
	filter_free(f);
}

static void test_past_user(void **state)
{
	struct process_info info = { .user = "gone" };

	(void)state;
	event.process = &info;
	assert_true(past_matches(FILTER_USER, "gone"));
	assert_true(past_matches(FILTER_USER, "64055"));
	assert_false(past_matches(FILTER_USER, "nobody-of-today"));
	task.uid = 0;
	/* the number was another's then */
	assert_false(past_matches(FILTER_USER, "root"));
	info.user = NULL;
	assert_true(past_matches(FILTER_USER, "root"));
	task.uid = UINT32_MAX;
	assert_false(past_matches(FILTER_USER, "nobody-of-today"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_empty, setup),
		cmocka_unit_test_setup(test_pid, setup),
		cmocka_unit_test_setup(test_ifname, setup),
		cmocka_unit_test_setup(test_commas, setup),
		cmocka_unit_test_setup(test_comm, setup),
		cmocka_unit_test_setup(test_user, setup),
		cmocka_unit_test_setup(test_kind, setup),
		cmocka_unit_test_setup(test_event, setup),
		cmocka_unit_test_setup(test_run_events, setup),
		cmocka_unit_test_setup(test_netns, setup),
		cmocka_unit_test_setup(test_vm, setup),
		cmocka_unit_test_setup(test_combined, setup),
		cmocka_unit_test_setup(test_long_word, setup),
		cmocka_unit_test_setup(test_past_netns, setup),
		cmocka_unit_test_setup(test_past_user, setup),
	};

	/* bytes that are no UTF-8 must not upset fnmatch(3) in such a locale */
	setlocale(LC_ALL, "C.UTF-8");
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
