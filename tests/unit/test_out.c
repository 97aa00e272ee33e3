// SPDX-License-Identifier: GPL-2.0-only
/* out_json.c and out_text.c: whole lines, compared exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../user/out.h"

/* The event of the interface contract's example, or parts of it. */
static struct tw_task task;
static struct process_info process;
static struct device device;
static struct file file;
static struct hold holds[12];
static const struct hold *held_by[12];
static struct change change;
static struct event event;
static struct out_text text;

static int setup(void **state)
{
	size_t i;

	(void)state;
	task = (struct tw_task){
		.pid = 4242, .tid = 4242, .start_ns = 91230000000, .ppid = 1,
		.comm = "qemu-system-x86", .netns = 4026531840,
	};
	process = (struct process_info){
		.exe = "/usr/bin/qemu-system-x86_64", .cgroup = "/machine.slice/a",
	};
	memset(&device, 0, sizeof(device));
	device.id = 9;
	device.has = TW_HAS_DEV | TW_HAS_MAC | TW_HAS_TUN | TW_HAS_QUEUES;
	device.d = (struct tw_dev){
		.netns_cookie = 4097, .netns = 4026532591, .ifindex = 12,
		.tun_flags = 0x2 | 0x100 | 0x800 | 0x4000, .owner = 64055, .group = 108,
		.queues = 2, .ifname = "vnet99", .mac = { 0xfe, 0x54, 0, 1, 2, 0xab },
		.kind = TW_KIND_TAP,
	};
	file = (struct file){
		.id = 3, .state = FILE_BOUND, .dev = &device, .has = TW_HAS_SOCKET_NETNS,
		.f = { .socket_netns = 4026531840 },
	};
	memset(holds, 0, sizeof(holds));
	for (i = 0; i < 12; i++) {
		holds[i].fd = 9 + i;
		holds[i].task.pid = 4000;
		strcpy(holds[i].task.comm, "kvm");
		held_by[i] = &holds[i];
	}
	change = (struct change){
		.event = EV_ATTACH, .has = CH_FD | CH_TASK, .time_ns = 91234567890,
		.task = &task, .fd = 27, .dev = &device, .file = &file,
	};
	event = (struct event){
		.change = &change, .seq = 17, .realtime_ns = 1795307460123456789,
		.boot_id = "b", .source = "fentry", .process = &process, .netns_name = "fooz",
	};
	text = (struct out_text){ .init_netns = 4026531840 };
	return 0;
}

/* What a writer writes, in a buffer of its own until the next call. */
static char *written;

static FILE *fresh(size_t *size)
{
	free(written);
	written = NULL;
	return open_memstream(&written, size);
}

static const char *json(void)
{
	size_t size;
	FILE *out = fresh(&size);
	const char *line;

	assert_non_null(out);
	assert_int_equal(out_json(out, &event), 0);
	fclose(out);
	line = written;
	assert_int_equal(strlen(line), size);
	return line;
}

static const char *line(void)
{
	size_t size;
	FILE *out = fresh(&size);

	assert_non_null(out);
	assert_int_equal(out_text(&text, out, &event), 0);
	fclose(out);
	assert_int_equal(strlen(written), size);
	return written;
}

#define expect(got, wanted)				\
	do {						\
		assert_string_equal(got, wanted);	\
		free(written);				\
		written = NULL;				\
	} while (0)

#define HEAD(n, e) "{\"seq\":17,\"time\":\"2026-11-22T00:31:00.123456789Z\"," \
	"\"boottime_ns\":91234567890,\"boot_id\":\"b\",\"event\":\"" e "\",\"source\":\"fentry\"" n
#define PROCESS ",\"process\":{\"pid\":4242,\"tid\":4242,\"start_ns\":91230000000,\"ppid\":1," \
	"\"uid\":0,\"comm\":\"qemu-system-x86\",\"exe\":\"/usr/bin/qemu-system-x86_64\"," \
	"\"cgroup\":\"/machine.slice/a\",\"netns\":4026531840}"
#define DEVICE ",\"device\":{\"id\":\"d9\",\"kind\":\"tap\",\"ifname\":\"vnet99\",\"ifindex\":12," \
	"\"mac\":\"fe:54:00:01:02:ab\",\"netns\":4026532591,\"netns_cookie\":4097," \
	"\"netns_name\":\"fooz\",\"socket_netns\":4026531840," \
	"\"flags\":[\"vnet_hdr\",\"multi_queue\",\"persist\"]," \
	"\"queues\":2,\"disabled_queues\":0,\"owner\":64055,\"group\":108}"

static void test_json_full(void **state)
{
	(void)state;
	change.has |= CH_OLD_IFNAME | CH_OLD_IFINDEX | CH_OLD_NETNS | CH_OLD_MAC | CH_ERRNO |
		      CH_REQUESTED | CH_CREATED | CH_VALUE;
	strcpy(change.old.ifname, "tap0");
	change.old.ifindex = 3;
	change.old.netns = 4026531840;
	memcpy(change.old.mac, "\1\2\3\4\5\6", 6);
	change.how = HOW_DUP;
	change.error = EBUSY;
	change.held_by = held_by;
	change.held_by_len = 2;
	strcpy(change.requested, "tap%d");
	event.old_netns_name = "old";
	event.vm_type = "qemu";
	event.vm_name = "web01";
	event.vm_uuid = "u";
	expect(json(), HEAD(PROCESS, "attach") ",\"fd\":27,\"file\":\"f3\"" DEVICE
	       ",\"old\":{\"ifname\":\"tap0\",\"ifindex\":3,\"netns\":4026531840,"
	       "\"netns_name\":\"old\",\"mac\":\"01:02:03:04:05:06\"},\"how\":\"dup\","
	       "\"created\":true,\"value\":false,\"errno\":\"EBUSY\",\"requested\":\"tap%d\","
	       "\"held_by\":[{\"pid\":4000,\"comm\":\"kvm\",\"fd\":9},"
	       "{\"pid\":4000,\"comm\":\"kvm\",\"fd\":10}],"
	       "\"vm\":{\"type\":\"qemu\",\"name\":\"web01\",\"uuid\":\"u\"}}\n");
}

static void test_json_vm_start(void **state)
{
	struct vm vm = { .role = ROLE_VM };

	(void)state;
	change.event = EV_VM_START;
	change.has = CH_TASK;
	change.dev = NULL;
	change.file = NULL;
	process = (struct process_info){ .vm = &vm };
	event.process = &process;
	event.vm_manager = "libvirt";
	event.earlier = (const struct event_earlier[]){
		{ .seq = 3, .time_ns = 17, .event = EV_HOLD, .how = HOW_FORK, .fd = 0, .pid = 812, .comm = "libvirtd" },
		{ .event = EV_UP, .fd = -1 },
	};
	event.n_earlier = 2;
	assert_non_null(strstr(json(), "\"role\":\"vm\""));
	assert_non_null(strstr(json(), "\"vm\":{\"manager\":\"libvirt\"},\"earlier\":["
			       "{\"seq\":3,\"boottime_ns\":17,\"event\":\"hold\",\"how\":\"fork\",\"pid\":812,"
			       "\"comm\":\"libvirtd\",\"fd\":0},{\"event\":\"up\"}]}\n"));
}

/* What is unknown is not there, however the bytes stand. */
static void test_json_first_packet(void **state)
{
	(void)state;
	change.event = EV_FIRST_PACKET;
	change.how = HOW_OUT;
	change.after_ns = 4711;
	assert_non_null(strstr(json(), "\"direction\":\"out\",\"after_boottime_ns\":4711"));
	assert_null(strstr(json(), "\"how\""));
}

static void test_json_unknown(void **state)
{
	(void)state;
	change.has = 0;
	change.error = EBUSY;
	change.count = 5;
	strcpy(change.requested, "x");
	strcpy(change.old.ifname, "x");
	task.start_ns = task.tid = task.ppid = task.netns = 0;
	task.uid = UINT32_MAX;
	event.process = NULL;
	device.has = 0;
	device.d.kind = TW_KIND_UNKNOWN;
	file.has = 0;
	event.boot_id = NULL;
	event.source = NULL;
	expect(json(), "{\"seq\":17,\"time\":\"2026-11-22T00:31:00.123456789Z\","
	       "\"boottime_ns\":91234567890,\"event\":\"attach\","
	       "\"process\":{\"pid\":4242,\"comm\":\"qemu-system-x86\"},\"file\":\"f3\","
	       "\"device\":{\"id\":\"d9\"}}\n");
	change.task = NULL;
	change.dev = NULL;
	change.file = NULL;
	change.time_ns = 0;
	event.realtime_ns = 0;
	expect(json(), "{\"seq\":17,\"event\":\"attach\"}\n");
}

/* Zeros that are known: no flags, no queue, owner root, fd 0; and zeros that are not. */
static void test_json_zeros(void **state)
{
	(void)state;
	change.fd = 0;
	change.task = NULL;
	change.file = NULL;
	device.has |= TW_HAS_UP | TW_HAS_MASTER;
	device.d.tun_flags = 0x2001;
	device.d.queues = 0;
	device.d.owner = 0;
	device.d.group = -1;
	device.d.netns_cookie = 0;
	memset(device.d.mac, 0, 6);
	event.netns_name = NULL;
	device.d.kind = TW_KIND_TUN;
	expect(json(), HEAD("", "attach") ",\"fd\":0,\"device\":{\"id\":\"d9\",\"kind\":\"tun\","
	       "\"ifname\":\"vnet99\",\"ifindex\":12,\"netns\":4026532591,\"flags\":[],"
	       "\"queues\":0,\"disabled_queues\":0,\"owner\":0,\"up\":false}}\n");
}

static void test_json_flags(void **state)
{
	const char *words[TUN_FLAG_WORDS];

	(void)state;
	assert_int_equal(tun_flag_words(0xffffffff, words), 7);
	assert_null(words[7]);
	assert_int_equal(tun_flag_words(0x1070, words), 4);
	assert_string_equal(words[0], "no_pi");
	assert_string_equal(words[1], "napi");
	assert_string_equal(words[2], "napi_frags");
	assert_string_equal(words[3], "no_carrier");
	assert_null(words[4]);
}

/* A file without a device; persist switched on; a master without a name. */
static void test_json_others(void **state)
{
	(void)state;
	change.event = EV_OPEN;
	change.dev = NULL;
	file.state = FILE_UNBOUND;
	expect(json(), HEAD(PROCESS, "open") ",\"fd\":27,\"file\":\"f3\",\"socket_netns\":4026531840}\n");

	change.event = EV_EXIST;
	expect(json(), HEAD(PROCESS, "exist") ",\"fd\":27,\"file\":\"f3\","
	       "\"socket_netns\":4026531840,\"state\":\"unbound\"}\n");

	change = (struct change){ .event = EV_MASTER, .time_ns = 91234567890, .dev = &device };
	device.has = TW_HAS_MASTER;
	device.d.master_ifindex = 7;
	expect(json(), HEAD("", "master") ",\"device\":{\"id\":\"d9\",\"kind\":\"tap\",\"master_ifindex\":7}}\n");
	strcpy(device.d.master, "br0");
	expect(json(), HEAD("", "master") ",\"device\":{\"id\":\"d9\",\"kind\":\"tap\",\"master\":\"br0\"}}\n");

	change.event = EV_EXIST;
	expect(json(), HEAD("", "exist") ",\"device\":{\"id\":\"d9\",\"kind\":\"tap\",\"master\":\"br0\"},"
	       "\"state\":\"no-holder\"}\n");

	change = (struct change){ .event = EV_PERSIST, .has = CH_VALUE, .value = true, .time_ns = 91234567890 };
	expect(json(), HEAD("", "persist") ",\"value\":true}\n");

	change = (struct change){ .event = EV_ATTACH_FAILED, .has = CH_ERRNO, .error = 524, .time_ns = 91234567890 };
	expect(json(), HEAD("", "attach-failed") ",\"errno\":\"524\"}\n");
}

static const struct hook_state hooks[] = { { "open", "on" }, { "vhost", "no such function" } };
static const struct ready_info ready = { "fentry", "iter", 2, hooks };

static void test_json_run(void **state)
{
	(void)state;
	change = (struct change){ .event = EV_READY, .time_ns = 91234567890 };
	event.ready = &ready;
	expect(json(), HEAD("", "ready") ",\"backend\":\"fentry\",\"seed\":\"iter\","
	       "\"hooks\":{\"open\":\"on\",\"vhost\":\"no such function\"}}\n");
	event.ready = NULL;
	change.event = EV_LOST;
	change.has = CH_COUNT;
	change.count = 18446744073709551615u;
	expect(json(), HEAD("", "lost") ",\"count\":18446744073709551615}\n");
	change.event = EV_RESYNC;
	change.count = 0;
	expect(json(), HEAD("", "resync") ",\"corrections\":0}\n");
}

/* Bytes of every kind come out as one line of valid JSON that says the same. */
static void test_json_hostile(void **state)
{
	char comm[16] = "\"\\\n\033[2J\xff\xc3\xa4</x";
	struct json_object *object, *p, *c;

	(void)state;
	change = (struct change){ .event = EV_OPEN, .time_ns = 91234567890, .task = &task };
	task = (struct tw_task){ .pid = 1, .uid = UINT32_MAX };
	memcpy(task.comm, comm, 16);
	event.process = NULL;
	object = json_tokener_parse(json());
	assert_non_null(object);
	assert_true(json_object_object_get_ex(object, "process", &p));
	assert_true(json_object_object_get_ex(p, "comm", &c));
	assert_string_equal(json_object_get_string(c), "\"\\\n\033[2J\\xff\xc3\xa4</x");
	json_object_put(object);
	expect(written, HEAD("", "open") ",\"process\":{\"pid\":1,"
	       "\"comm\":\"\\\"\\\\\\n\\u001b[2J\\\\xff\xc3\xa4</x\"}}\n");
	/* no NUL at the end, and a character cut in half by the kernel */
	memcpy(task.comm, "0123456789abcd\xe2\x82", 16);
	expect(json(), HEAD("", "open") ",\"process\":{\"pid\":1,"
	       "\"comm\":\"0123456789abcd\\\\xe2\\\\x82\"}}\n");
}

/* Longer than any buffer on the stack. */
static void test_json_long(void **state)
{
	char *exe = malloc(5001), *wanted = malloc(30000), *at;
	int i;

	(void)state;
	memset(exe, '\xff', 5000);
	exe[5000] = '\0';
	at = wanted + sprintf(wanted, HEAD("", "open") ",\"process\":{\"pid\":1,\"exe\":\"");
	for (i = 0; i < 5000; i++)
		at += sprintf(at, "\\\\xff");
	strcpy(at, "\"}}\n");
	change = (struct change){ .event = EV_OPEN, .time_ns = 91234567890, .task = &task };
	task = (struct tw_task){ .pid = 1, .uid = UINT32_MAX };
	process = (struct process_info){ .exe = exe };
	expect(json(), wanted);
	free(exe);
	free(wanted);
}

static void test_write_error(void **state)
{
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	if (!full) {
		print_message("# /dev/full: %s\n", strerror(errno));
		skip();
	}
	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(out_json(full, &event), -ENOSPC);
	assert_int_equal(out_text(&text, full, &event), -ENOSPC);
	fclose(full);
}

#define T "00:31:00.123 "

static void test_text_columns(void **state)
{
	(void)state;
	text.heading = true;
	change.has |= CH_CREATED;
	expect(line(),
	       "TIME         EVENT         PROCESS                FD DEVICE     NETNS            DETAIL\n"
	       T "attach        qemu-system-x86(4242)  27 vnet99     fooz[4026532591] "
	       "created tap, vnet_hdr, multi_queue, persist, 2 queues, "
	       "process in init[4026531840], opened in init[4026531840]\n");
	/* the header once; everything unknown */
	change = (struct change){ .event = EV_UP };
	expect(line(), T "up            -                       - -          -\n");
	/* too wide for its column: the ones after the next fall into place */
	task.pid = 4194304;
	change = (struct change){ .event = EV_DOWN, .task = &task, .dev = &device };
	strcpy(device.d.ifname, "tap0");
	expect(line(), T "down          qemu-system-x86(4194304)   - tap0    fooz[4026532591]\n");
	text.date = true;
	expect(line(), "2026-11-22 " T
	       "down          qemu-system-x86(4194304)   - tap0    fooz[4026532591]\n");
}

static void test_text_details(void **state)
{
	(void)state;
	change.task = NULL;
	change.has = CH_OLD_NETNS | CH_OLD_IFNAME | CH_OLD_IFINDEX;
	change.event = EV_MOVE;
	change.old.netns = 4026531840;
	change.old.ifindex = 3;
	strcpy(change.old.ifname, "tap123");
#define D "-                       - vnet99     fooz[4026532591] "
	expect(line(), T "move          " D "from init[4026531840], was tap123, ifindex 12 was 3\n");
	change.event = EV_RENAME;
	change.has = CH_OLD_IFNAME;
	expect(line(), T "rename        " D "was tap123\n");
	change.event = EV_MAC;
	change.has = CH_OLD_MAC;
	expect(line(), T "mac           " D "fe:54:00:01:02:ab was 00:00:00:00:00:00\n");
	change.event = EV_PERSIST;
	change.has = CH_VALUE;
	expect(line(), T "persist       " D "persist off: goes with its last fd\n");
	change.event = EV_VHOST;
	change.value = true;
	expect(line(), T "vhost         " D "taken by vhost-net\n");
	change.event = EV_OWNER;
	expect(line(), T "owner         " D "owner uid 64055, group gid 108\n");
	change.event = EV_QUEUE_DETACH;
	device.disabled = 1;
	expect(line(), T "queue-detach  " D "now 2 enabled, 1 disabled\n");
	change.event = EV_MASTER;
	device.has |= TW_HAS_MASTER;
	expect(line(), T "master        " D "left its master\n");
	device.d.master_ifindex = 4;
	expect(line(), T "master        " D "joined ifindex 4\n");
	strcpy(device.d.master, "br0");
	expect(line(), T "master        " D "joined br0\n");
	change.event = EV_HOLD;
	change.how = HOW_SCM_RIGHTS;
	expect(line(), T "hold          " D "received over a socket (SCM_RIGHTS)\n");
	change.event = EV_DROP;
	change.how = HOW_DUP;
	expect(line(), T "drop          " D "replaced by dup2\n");
	change.event = EV_DELETE;
	change.how = HOW_LINK_DEL;
	change.has = CH_SEED;
	expect(line(), T "delete        " D "by request, as ip link del does, found later by a scan\n");
	change.how = HOW_UNKNOWN;
	change.has = 0;
	expect(line(), T "delete        -                       - vnet99     fooz[4026532591]\n");
	change.event = EV_FIRST_PACKET;
	change.how = HOW_OUT;
	change.after_ns = change.time_ns - 104000001;
	expect(line(), T "first-packet  -                       - vnet99     fooz[4026532591] "
	       "out of the machine, 105 ms before at most\n");
	change.how = HOW_IN;
	change.after_ns = 0;
	expect(line(), T "first-packet  -                       - vnet99     fooz[4026532591] into the machine\n");
	change.how = HOW_UNKNOWN;
	change.event = EV_VM_START;
	event.vm_type = "qemu";
	event.vm_name = "web\n01";
	expect(line(), T "vm-start      " D "qemu, web\\x0a01\n");
	event.vm_manager = "libvirt";
	change.task = &task;
	event.earlier = (const struct event_earlier[]){
		{ .event = EV_UP, .fd = -1 },
		{ .event = EV_ATTACH, .fd = 3, .pid = 4242, .comm = "qemu-system-x86" },
		{ .event = EV_ATTACH, .fd = 3, .pid = 812, .comm = "libvirtd\033" },
		{ .event = EV_MAC, .fd = -1, .pid = 900, .comm = "ip" },
	};
	event.n_earlier = 4;
	/* the machine itself did not prepare it */
	expect(line(), T "vm-start      qemu-system-x86(4242)   - vnet99     fooz[4026532591] "
	       "qemu, web\\x0a01, of libvirt, prepared by libvirtd\\x1b(812)\n");
}

static void test_text_exist(void **state)
{
	(void)state;
	change.event = EV_EXIST;
	task.netns = 0;
	file.has = 0;
	device.d.tun_flags = 2;
	device.d.queues = 1;
	task.uid = 1000;
	event.process = NULL;
	event.vm_name = "web01";
#define P "exist         qemu-system-x86(4242)  27 "
	expect(line(), T P "vnet99     fooz[4026532591] tap, uid 1000, vm web01\n");
	process = (struct process_info){ .user = "ali\xff" };
	event.process = &process;
	event.vm_name = NULL;
	file.vhost_queues = 2;
	expect(line(), T P "vnet99     fooz[4026532591] tap, used by vhost-net, user ali\\xff\n");
	/* unbound: the namespace is the one the file was opened in */
	file = (struct file){ .state = FILE_UNBOUND, .has = TW_HAS_SOCKET_NETNS,
			      .f = { .socket_netns = 4026531840 } };
	task.uid = 0;
	change.dev = NULL;
	event.netns_name = NULL;
	expect(line(), T P "-          init[4026531840] no device yet\n");
	text.init_netns = 0;
	expect(line(), T P "-          [4026531840]     no device yet\n");
	file.state = FILE_ORPHANED;
	expect(line(), T P "-          [4026531840]     its device was deleted\n");
	change = (struct change){ .event = EV_EXIST, .dev = &device };
	expect(line(), T "exist         -                       - vnet99     [4026532591]     "
	       "no process holds it, tap\n");
}

static void test_text_failed(void **state)
{
	(void)state;
	change.event = EV_ATTACH_FAILED;
	change.has |= CH_ERRNO | CH_REQUESTED;
	change.dev = NULL;
	change.error = EBUSY;
	strcpy(change.requested, "tap0");
#define F "attach-failed qemu-system-x86(4242)  27 tap0       init[4026531840] "
	expect(line(), T F "EBUSY (Device or resource busy)\n");
	change.held_by = held_by;
	change.held_by_len = 1;
	expect(line(), T F "EBUSY: tap0 is held by kvm(4000) fd 9\n");
	change.held_by_len = 3;
	holds[2].task.pid = 77;
	strcpy(holds[2].task.comm, "x\033[m");
	expect(line(), T F "EBUSY: tap0 is held by kvm(4000) fd 9 10, x\\x1b[m(77) fd 11\n");
	change.error = EINVAL;
	change.held_by_len = 1;
	expect(line(), T F "EINVAL (Invalid argument), tap0 is held by kvm(4000) fd 9\n");
	change.error = 524;
	change.held_by_len = 0;
	expect(line(), T F "error 524\n");
}

/* The most holders with the longest of everything: bounded, not overrun. */
static void test_text_many_holders(void **state)
{
	char wanted[4096], *at;
	int i;

	(void)state;
	change.event = EV_ATTACH_FAILED;
	change.has |= CH_ERRNO | CH_REQUESTED;
	change.dev = NULL;
	change.error = EBUSY;
	memset(change.requested, '\xff', 16);
	change.held_by = held_by;
	change.held_by_len = 12;
	for (i = 0; i < 12; i++) {
		holds[i].task.pid = 4000000000u + i;
		holds[i].fd = 2147483647;
		memset(holds[i].task.comm, '\xff', 16);
	}
#define X4 "\\xff\\xff\\xff\\xff"
#define X16 X4 X4 X4 X4
	at = wanted + sprintf(wanted, T "attach-failed qemu-system-x86(4242)  27 " X16
			      " init[4026531840] EBUSY: " X16 " is held by ");
	for (i = 0; i < 8; i++)
		at += sprintf(at, "%s" X16 "(%u) fd 2147483647", i ? ", " : "", 4000000000u + i);
	strcpy(at, ", and 4 more\n");
	expect(line(), wanted);
}

static void test_text_run(void **state)
{
	(void)state;
	change = (struct change){ .event = EV_READY };
	event.ready = &ready;
	expect(line(), T "-- ready: backend fentry, seed iter, 1 of 2 hooks on (see 'tapwatch check')\n");
	change = (struct change){ .event = EV_LOST, .has = CH_COUNT, .count = 123 };
	expect(line(), T "-- 123 events lost: reading the state afresh\n");
	change = (struct change){ .event = EV_RESYNC, .has = CH_COUNT, .count = 1 };
	expect(line(), T "-- state read afresh: 1 correction\n");
	/* the next day */
	event.realtime_ns += 86400000000000;
	expect(line(), "-- 2026-11-23\n" T "-- state read afresh: 1 correction\n");
}

/* Nothing from outside reaches the terminal raw; lines stay lines. */
static void test_text_hostile(void **state)
{
	const char *at;

	(void)state;
	memcpy(task.comm, "\033]0;x\a\n\r\xff\xe2\x80\xae\x9b\xc2\x9b", 15);
	memcpy(device.d.ifname, "\033[2J\n\xff\xe2\x81\xa6tap0ab", 16);
	event.netns_name = "a\nb\033[m";
	process.user = "\033c";
	task.uid = 1;
	event.vm_name = "\xe2\x80\xaex";
	line();
	for (at = written; at[1]; at++)
		assert_true((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f);
	assert_int_equal(*at, '\n');
	free(written);
	written = NULL;
}

static void test_text_color(void **state)
{
	(void)state;
	text.color = true;
	change = (struct change){ .event = EV_DELETE, .dev = &device };
	expect(line(), T "\033[1;31mdelete\033[0m        -                       - vnet99     "
	       "fooz[4026532591]\n");
	change = (struct change){ .event = EV_OPEN };
	expect(line(), T "open          -                       - -          -                no device yet\n");
}

static void test_netns(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(out_netns(&text, buf, sizeof(buf), 12345, "foo"), 7);
	assert_string_equal(buf, "foo[123");
	assert_int_equal(out_netns(&text, buf, sizeof(buf), 0, NULL), 1);
	assert_string_equal(buf, "-");
}

/* What event_enrich() adds: number, clock, source, process; nothing where nothing is known. */
static void test_enrich(void **state)
{
	struct event_context ctx = { .backend = "kprobe", .boot_id = "id" };
	struct timespec boot, real;
	int64_t off;

	(void)state;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &real);
	change.time_ns = boot.tv_sec * 1000000000ull + boot.tv_nsec;
	event_enrich(&ctx, &change, &event);
	assert_ptr_equal(event.change, &change);
	assert_int_equal(event.seq, 1);
	assert_string_equal(event.source, "kprobe");
	assert_string_equal(event.boot_id, "id");
	assert_null(event.process);
	assert_null(event.netns_name);
	assert_null(event.vm_name);
	off = event.realtime_ns - (real.tv_sec * 1000000000ll + real.tv_nsec);
	assert_true(off > -1000000000 && off < 1000000000);

	change.has |= CH_SEED;
	ctx.boot_id[0] = '\0';
	ctx.processes = process_cache_new("/nonexistent");
	event_enrich(&ctx, &change, &event);
	assert_int_equal(event.seq, 2);
	assert_string_equal(event.source, "seed");
	assert_null(event.boot_id);
	assert_string_equal(event.process->comm, "qemu-system-x86");
	assert_null(event.process->exe);
	change.task = NULL;
	change.has = 0;
	change.event = EV_EXIST;
	event_enrich(&ctx, &change, &event);
	assert_string_equal(event.source, "seed");
	assert_null(event.process);
	process_cache_free(ctx.processes);
}

/* A stepped clock is followed; a measurement's own error does not reorder events. */
static void test_enrich_clock(void **state)
{
	struct event_context ctx = { 0 };
	uint64_t first;
	int64_t offset;

	(void)state;
	event_enrich(&ctx, &change, &event);
	first = event.realtime_ns;
	offset = ctx.realtime_offset_ns;
	ctx.realtime_offset_ns += 1000;
	change.time_ns++;
	event_enrich(&ctx, &change, &event);
	assert_int_equal(event.realtime_ns, first + 1001);
	ctx.realtime_offset_ns = offset - 3600000000000;
	event_enrich(&ctx, &change, &event);
	assert_true(event.realtime_ns > first - 500000000 && event.realtime_ns < first + 500000000);
}

static void test_boot_id(void **state)
{
	char id[BOOT_ID_LEN + 1];

	(void)state;
	assert_int_equal(event_boot_id(id), 0);
	assert_int_equal(strlen(id), BOOT_ID_LEN);
	assert_int_equal(id[8], '-');
}

static void test_gap(void **state)
{
	struct gap_info gap = {
		.reason = "killed", .from_realtime_ns = 1795307400000000001, .from_boottime_ns = 91000000000, .from_boot_id = "b",
	};

	(void)state;
	change = (struct change){ .event = EV_GAP, .has = CH_COUNT, .time_ns = 91234567890, .fd = -1, .count = 3 };
	event.process = NULL;
	event.netns_name = NULL;
	event.gap = &gap;
	expect(json(), HEAD("", "gap") ",\"count\":3,\"reason\":\"killed\",\"from\":\"2026-11-22T00:30:00.000000001Z\","
	       "\"from_boottime_ns\":91000000000,\"from_boot_id\":\"b\"}\n");
	expect(line(), "00:31:00.123 -- not recorded since 2026-11-22 00:30:00: the recorder was killed, 3 events missing\n");
	change.has = CH_ERRNO;
	change.error = ENOSPC;
	gap.reason = "write-failed";
	expect(line(), "00:31:00.123 -- not recorded since 2026-11-22 00:30:00: the database could not be written, "
	       "No space left on device\n");
	snprintf(gap.from_boot_id, sizeof(gap.from_boot_id), "a");
	change.has = 0;
	expect(line(), "00:31:00.123 -- not recorded since 2026-11-22 00:30:00: the machine was restarted\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_json_full, setup),
		cmocka_unit_test_setup(test_json_vm_start, setup),
		cmocka_unit_test_setup(test_json_first_packet, setup),
		cmocka_unit_test_setup(test_json_unknown, setup),
		cmocka_unit_test_setup(test_json_zeros, setup),
		cmocka_unit_test_setup(test_json_flags, setup),
		cmocka_unit_test_setup(test_json_others, setup),
		cmocka_unit_test_setup(test_json_run, setup),
		cmocka_unit_test_setup(test_json_hostile, setup),
		cmocka_unit_test_setup(test_json_long, setup),
		cmocka_unit_test_setup(test_write_error, setup),
		cmocka_unit_test_setup(test_text_columns, setup),
		cmocka_unit_test_setup(test_text_details, setup),
		cmocka_unit_test_setup(test_text_exist, setup),
		cmocka_unit_test_setup(test_text_failed, setup),
		cmocka_unit_test_setup(test_text_many_holders, setup),
		cmocka_unit_test_setup(test_text_run, setup),
		cmocka_unit_test_setup(test_gap, setup),
		cmocka_unit_test_setup(test_text_hostile, setup),
		cmocka_unit_test_setup(test_text_color, setup),
		cmocka_unit_test_setup(test_netns, setup),
		cmocka_unit_test_setup(test_enrich, setup),
		cmocka_unit_test_setup(test_enrich_clock, setup),
		cmocka_unit_test_setup(test_boot_id, setup),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
