// SPDX-License-Identifier: GPL-2.0-only
/* bindings: live facts. Every race and scenario as facts in, exact changes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "recorder.h"

/* File 1 of process 100, fd 5, bound to tap0@1#3, generation 9, which it made. */
static void one_tap(struct recorder *r)
{
	APPLY(r, file_open(1, 100, 1), socket_in(1, fd_install(2, 100, 5, 1)),
	      dev_new_by(3, 100, 1, tap(9, 1, 3, "tap0")));
	FORGET(r);
}

/* --- plain life ---------------------------------------------------------------- */

static void test_life(void **state)
{
	struct recorder *r = *state;

	APPLY(r, file_open(1, 100, 1));
	EXPECT_NOTHING(r);
	APPLY(r, with(TW_F_NEW_FILE, fd_install(2, 100, 5, 1)));
	EXPECT(r, "open f1 fd=5 pid=100");
	APPLY(r, dev_new_by(3, 100, 1, tap(9, 1, 3, "tap0")));
	EXPECT(r, "attach d1 f1 fd=5 pid=100 tap0@1#3 created");
	assert_int_equal(bindings_device(r->b, 1, 3)->since_ns, 3);
	assert_int_equal(bindings_file(r->b, 1)->bound_ns, 3);
	assert_int_equal(bindings_file(r->b, 1)->opened_ns, 1);
	APPLY(r, fd_close(4, 100, 5, 1), file_release(5, 100, 1),
	      in_close(1, by(100, dev(6, TW_DEV_GONE, tap(9, 1, 3, "tap0")))));
	EXPECT(r, "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close", "release d1 f1 pid=100 tap0@1#3",
	       "delete d1 pid=100 tap0@1#3 how=last-close");
	assert_null(bindings_device(r->b, 1, 3));
	assert_null(bindings_file(r->b, 1));
	/* what the kernel tells of it afterwards is history */
	APPLY(r, by(100, dev(7, TW_DEV_STATE, tap(9, 1, 3, "tap0"))), fd_install(7, 100, 5, 1));
	EXPECT_NOTHING(r);
}

static void test_open_only(void **state)
{
	struct recorder *r = *state;

	APPLY(r, file_open(1, 100, 1), fd_install(2, 100, 5, 1), fd_close(3, 100, 5, 1), file_release(4, 100, 1));
	EXPECT(r, "open f1 fd=5 pid=100", "drop f1 fd=5 pid=100 how=close", "release f1 pid=100");
}

/* io_uring's direct descriptors never are an fd */
static void test_no_fd(void **state)
{
	struct recorder *r = *state;

	APPLY(r, file_open(1, 100, 1), dev_new_by(3, 100, 1, tap(9, 1, 3, "tap0")));
	EXPECT(r, "open f1 pid=100", "attach d1 f1 pid=100 tap0@1#3 created");
	APPLY(r, file_open(4, 101, 2), file_release(5, 102, 2));
	EXPECT(r, "open f2 pid=101", "release f2 pid=102");
}

static void test_dup_and_dup2(void **state)
{
	struct recorder *r = *state;

	APPLY(r, file_open(1, 100, 1), fd_install(2, 100, 5, 1), fd_install(3, 100, 6, 1), fd_install(3, 100, 6, 1));
	EXPECT(r, "open f1 fd=5 pid=100", "hold f1 fd=6 pid=100");
	APPLY(r, file_open(4, 100, 2), fd_install(5, 100, 7, 2), by_how(TW_HOW_DUP, fd_close(6, 100, 6, 1)),
	      by_how(TW_HOW_DUP, fd_install(6, 100, 6, 2)));
	EXPECT(r, "open f2 fd=7 pid=100", "drop f1 fd=6 pid=100 how=dup", "hold f2 fd=6 pid=100 how=dup");
	/* a close told late, of what the slot held before */
	APPLY(r, fd_close(7, 100, 6, 1));
	EXPECT_NOTHING(r);
	APPLY(r, table_exit(8, 100));
	EXPECT(r, "drop f1 fd=5 pid=100 how=exit", "drop f2 fd=6 pid=100 how=exit", "drop f2 fd=7 pid=100 how=exit");
}

static void test_hand_over(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, fd_install(10, 200, 8, 1), fd_close(11, 100, 5, 1), table_exit(12, 100));
	EXPECT(r, "hold d1 f1 fd=8 pid=200 tap0@1#3", "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close");
}

/* the drops were missed: told with the holder, how unknown */
static void test_release_with_holds(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, fd_install(10, 90, 8, 1), file_release(11, 100, 1));
	EXPECT(r, "hold d1 f1 fd=8 pid=90 tap0@1#3", "drop d1 f1 fd=8 pid=90 tap0@1#3",
	       "drop d1 f1 fd=5 pid=100 tap0@1#3", "release d1 f1 pid=100 tap0@1#3");
	APPLY(r, table_exit(12, 100), file_release(13, 100, 1));
	EXPECT_NOTHING(r);
}

static void test_address_reused(void **state)
{
	struct recorder *r = *state;

	APPLY(r, addr(0xf0, file_open(1, 100, 1)), addr(0xf0, fd_install(2, 100, 5, 1)));
	FORGET(r);
	/* release of file 1 was lost, its address lives again */
	APPLY(r, addr(0xf0, file_open(10, 200, 2)), addr(0xf0, fd_install(11, 200, 5, 2)));
	EXPECT(r, "drop f1 fd=5 pid=100 seed", "release f1 seed", "open f2 fd=5 pid=200");
	APPLY(r, addr(0xf0, fd_close(12, 100, 5, 1)), addr(0xf0, file_release(13, 100, 1)));
	EXPECT_NOTHING(r);
}

static void test_self(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, with(TW_F_SELF, fd_install(10, 7, 9, 1)), with(TW_F_SELF, file_open(10, 7, 77)),
	      with(TW_F_SELF, fd_install(10, 7, 10, 77)), with(TW_F_SELF, file_release(11, 7, 77)));
	EXPECT_NOTHING(r);
	APPLY(r, fd_close(12, 100, 5, 1), with(TW_F_SELF, fd_close(13, 7, 9, 1)),
	      with(TW_F_SELF, file_release(14, 7, 1)),
	      with(TW_F_SELF, in_close(1, by(7, dev(15, TW_DEV_GONE, tap(9, 1, 3, "tap0"))))),
	      with(TW_F_SELF, table_exit(16, 7)));
	EXPECT(r, "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close", "release d1 f1 tap0@1#3",
	       "delete d1 tap0@1#3 how=last-close");
}

/* --- devices ---------------------------------------------------------------------- */

static void test_same_name_twice(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, file_open(10, 200, 2), fd_install(11, 200, 5, 2), dev_new_by(12, 200, 2, tap(10, 2, 3, "tap0")));
	EXPECT(r, "open f2 fd=5 pid=200", "attach d2 f2 fd=5 pid=200 tap0@2#3 created");
	assert_int_equal(bindings_device_named(r->b, 1, "tap0")->id, 1);
	assert_int_equal(bindings_device_named(r->b, 2, "tap0")->id, 2);
	APPLY(r, by(300, dev(13, TW_DEV_GONE, tap(9, 1, 3, "tap0"))));
	EXPECT(r, "delete d1 pid=300 tap0@1#3 how=link-del");
	assert_null(bindings_device_named(r->b, 1, "tap0"));
}

static void test_move(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, by(300, dev(10, TW_DEV_LEAVING, tap(9, 1, 3, "tap0"))),
	      by(300, queues(dev(11, TW_DEV_MOVED, tap(9, 2, 3, "tap0")), 1)));
	EXPECT(r, "move d1 pid=300 tap0@2#3 old.netns=1");
	APPLY(r, by(300, dev(12, TW_DEV_LEAVING, tap(9, 2, 3, "tap0"))),
	      by(300, queues(dev(13, TW_DEV_MOVED, tap(9, 1, 8, "fooz")), 1)));
	EXPECT(r, "move d1 pid=300 fooz@1#8 old.netns=2 old.ifindex=3 old.ifname=tap0");
	assert_ptr_equal(bindings_device(r->b, 1, 8), bindings_device_named(r->b, 1, "fooz"));
	assert_null(bindings_device(r->b, 2, 3));
	assert_null(bindings_device_named(r->b, 2, "tap0"));
	assert_ptr_equal(bindings_file(r->b, 1)->dev, bindings_device(r->b, 1, 8));
}

static void test_members(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");

	one_tap(r);
	strcpy(d.ifname, "vnet0");
	APPLY(r, by(300, dev(10, TW_DEV_STATE, d)), by(300, dev(11, TW_DEV_STATE, d)));
	EXPECT(r, "rename d1 pid=300 vnet0@1#3 old.ifname=tap0");
	d.mac[5] = 0x42;
	d.master_ifindex = 7;
	d.if_flags = IFF_UP | IFF_BROADCAST;
	d.owner = 1000;
	d.group = 108;
	APPLY(r, by(300, dev(12, TW_DEV_STATE, d)));
	EXPECT(r, "mac d1 pid=300 vnet0@1#3 old.mac=..:00", "master d1 pid=300 vnet0@1#3", "up d1 pid=300 vnet0@1#3",
	       "owner d1 pid=300 vnet0@1#3");
	d.master_ifindex = 0;
	d.if_flags = 0;
	d.tun_flags |= IFF_VNET_HDR;
	APPLY(r, by(300, dev(13, TW_DEV_STATE, d)));
	EXPECT(r, "master d1 pid=300 vnet0@1#3", "down d1 pid=300 vnet0@1#3");
	assert_true(bindings_device(r->b, 1, 3)->d.tun_flags & IFF_VNET_HDR);
	/* an unknown member says nothing */
	APPLY(r, lacking(TW_HAS_UP | TW_HAS_MAC | TW_HAS_TUN | TW_HAS_MASTER, dev(14, TW_DEV_STATE, d)));
	APPLY(r, by(300, dev(15, TW_DEV_STATE, d)));
	EXPECT_NOTHING(r);
}

static void test_name_again_at_once(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(10, 1, 4, "tap0");

	one_tap(r);
	/* all addresses are reused, too */
	APPLY(r, fd_close(10, 100, 5, 1), file_release(10, 100, 1),
	      in_close(1, by(100, dev(10, TW_DEV_GONE, tap(9, 1, 3, "tap0")))), file_open(10, 100, 2),
	      fd_install(10, 100, 5, 2), dev_new_by(10, 100, 2, d));
	EXPECT(r, "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close", "release d1 f1 pid=100 tap0@1#3",
	       "delete d1 pid=100 tap0@1#3 how=last-close", "open f2 fd=5 pid=100",
	       "attach d2 f2 fd=5 pid=100 tap0@1#4 created");
}

/* the deletion was missed: a new one stands at its place */
static void test_missed_deletion(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, file_open(10, 200, 2), fd_install(10, 200, 4, 2), dev_new_by(11, 200, 2, tap(10, 1, 3, "tap1")));
	EXPECT(r, "open f2 fd=4 pid=200", "delete d1 tap0@1#3 seed", "attach d2 f2 fd=4 pid=200 tap1@1#3 created");
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_ORPHANED);
	APPLY(r, by(1, dev(12, TW_DEV_GONE, tap(9, 1, 3, "tap0"))));
	EXPECT_NOTHING(r);
}

static void test_orphan_binds_again(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(10, 1, 4, "again0");

	one_tap(r);
	APPLY(r, by(300, dev(10, TW_DEV_GONE, tap(9, 1, 3, "tap0"))));
	EXPECT(r, "delete d1 pid=300 tap0@1#3 how=link-del");
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_ORPHANED);
	assert_null(bindings_file(r->b, 1)->dev);
	d.tun_flags = IFF_TUN;
	d.kind = TW_KIND_TUN;
	APPLY(r, dev_new_by(11, 100, 1, d));
	EXPECT(r, "attach d2 f1 fd=5 pid=100 again0@1#4 created");
}

static void test_netns_inode_reused(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = cookie(50, tap(9, 1, 3, "tap0"));

	APPLY(r, file_open(1, 100, 1), fd_install(1, 100, 5, 1), dev_new_by(2, 100, 1, d));
	FORGET(r);
	/* unknown agrees with all */
	APPLY(r, dev(3, TW_DEV_STATE, cookie(0, d)), dev(4, TW_DEV_STATE, d));
	EXPECT_NOTHING(r);
	APPLY(r, by(300, dev(5, TW_DEV_MOVED, cookie(51, d))));
	EXPECT(r, "move d1 pid=300 tap0@1#3 old.netns=1");
	/* the end of the former namespace of that inode is not its end */
	APPLY(r, netns_exit(6, 1, 50));
	EXPECT_NOTHING(r);
	APPLY(r, netns_exit(7, 1, 51));
	EXPECT(r, "delete d1 tap0@1#3 how=netns-exit");
}

static void test_netns_exit(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, file_open(10, 200, 2), fd_install(10, 200, 4, 2), dev_new_by(11, 200, 2, tap(10, 1, 2, "b")),
	      file_open(10, 200, 3), fd_install(10, 200, 5, 3), dev_new_by(11, 200, 3, tap(11, 2, 2, "c")));
	FORGET(r);
	APPLY(r, by(1, netns_exit(20, 1, 0)));
	EXPECT(r, "delete d2 b@1#2 how=netns-exit", "delete d1 tap0@1#3 how=netns-exit");
	/* by the hook: a kernel thread, which is nobody */
	APPLY(r, with(TW_F_KTHREAD, by(8, dev(21, TW_DEV_GONE, tap(11, 2, 2, "c")))));
	EXPECT(r, "delete d3 c@2#2 how=netns-exit");
}

static void test_how_deleted(void **state)
{
	struct recorder *r = *state;

	/* delayed fput: the close runs in a kernel thread */
	one_tap(r);
	APPLY(r, with(TW_F_KTHREAD, in_close(1, by(8, dev(10, TW_DEV_GONE, tap(9, 1, 3, "tap0"))))));
	EXPECT(r, "delete d1 tap0@1#3 how=last-close");
	APPLY(r, dev_new_by(11, 100, 1, tap(10, 1, 4, "tap0")),
	      in_ioctl(TUNSETIFF, 1, by(100, dev(12, TW_DEV_GONE, tap(10, 1, 4, "tap0")))));
	EXPECT(r, "attach d2 f1 fd=5 pid=100 tap0@1#4 created", "delete d2 pid=100 tap0@1#4");
	APPLY(r, dev_new_by(13, 100, 1, tap(11, 1, 5, "tap0")),
	      with(TW_F_NO_CAUSE, by(100, dev(14, TW_DEV_GONE, tap(11, 1, 5, "tap0")))));
	EXPECT(r, "attach d3 f1 fd=5 pid=100 tap0@1#5 created", "delete d3 pid=100 tap0@1#5");
	/* netlink does not say why */
	APPLY(r, dev_new_by(15, 100, 1, tap(12, 1, 6, "tap0")), dev(16, TW_DEV_GONE, tap(0, 1, 6, "tap0")));
	EXPECT(r, "attach d4 f1 fd=5 pid=100 tap0@1#6 created", "delete d4 tap0@1#6");
}

/* --- persistence -------------------------------------------------------------------- */

static void test_ip_tuntap(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0"), p = tun_flags(IFF_PERSIST, d);

	one_tap(r);
	APPLY(r, in_ioctl(TUNSETPERSIST, 1, by(100, queues(dev(10, TW_DEV_STATE, p), 1))), fd_close(11, 100, 5, 1),
	      file_release(12, 100, 1), in_close(1, by(100, queues(dev(13, TW_DEV_STATE, p)))));
	EXPECT(r, "persist d1 f1 fd=5 pid=100 tap0@1#3 value=1", "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close",
	       "release d1 f1 pid=100 tap0@1#3");
	/* another uid attaches, another command deletes it */
	APPLY(r, file_open(20, 200, 2), fd_install(21, 200, 4, 2),
	      in_ioctl(TUNSETIFF, 2, by(200, queues(dev(22, TW_DEV_STATE, p), 2))),
	      in_ioctl(TUNSETPERSIST, 2, by(200, queues(dev(23, TW_DEV_STATE, d), 2))), fd_close(24, 200, 4, 2),
	      file_release(25, 200, 2), in_close(2, by(200, dev(26, TW_DEV_GONE, d))));
	EXPECT(r, "open f2 fd=4 pid=200", "attach d1 f2 fd=4 pid=200 tap0@1#3",
	       "persist d1 f2 fd=4 pid=200 tap0@1#3 value=0", "drop d1 f2 fd=4 pid=200 tap0@1#3 how=close",
	       "release d1 f2 pid=200 tap0@1#3", "delete d1 pid=200 tap0@1#3 how=persist-off");
}

/* switched off through one file, closed at last through another */
static void test_persist_off_by_other(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0"), p = tun_flags(IFF_PERSIST, d);

	one_tap(r);
	APPLY(r, in_ioctl(TUNSETPERSIST, 1, by(100, dev(10, TW_DEV_STATE, p))),
	      in_ioctl(TUNSETPERSIST, 77, by(100, dev(11, TW_DEV_STATE, d))),
	      in_close(1, by(100, dev(12, TW_DEV_GONE, d))));
	EXPECT(r, "persist d1 f1 fd=5 pid=100 tap0@1#3 value=1", "persist d1 pid=100 tap0@1#3 value=0",
	       "delete d1 pid=100 tap0@1#3 how=last-close");
}

/* --- queues --------------------------------------------------------------------------- */

static void test_detach_attach(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");

	one_tap(r);
	APPLY(r, file_open(10, 100, 2), fd_install(10, 100, 6, 2),
	      in_ioctl(TUNSETIFF, 2, by(100, queues(dev(11, TW_DEV_STATE, d), 1, 2))));
	EXPECT(r, "open f2 fd=6 pid=100", "attach d1 f2 fd=6 pid=100 tap0@1#3");
	APPLY(r, in_ioctl(TUNSETQUEUE, 1, by(100, queues(dev(12, TW_DEV_STATE, d), 2))));
	EXPECT(r, "queue-detach d1 f1 fd=5 pid=100 tap0@1#3");
	assert_int_equal(bindings_device(r->b, 1, 3)->disabled, 1);
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_DISABLED);
	APPLY(r, in_ioctl(TUNSETQUEUE, 1, by(100, queues(dev(13, TW_DEV_STATE, d), 2, 1))));
	EXPECT(r, "queue-attach d1 f1 fd=5 pid=100 tap0@1#3");
	assert_int_equal(bindings_device(r->b, 1, 3)->disabled, 0);
	/* closed while disabled */
	APPLY(r, in_ioctl(TUNSETQUEUE, 1, by(100, queues(dev(14, TW_DEV_STATE, d), 2))), fd_close(15, 100, 5, 1),
	      file_release(15, 100, 1), in_close(1, by(100, queues(dev(15, TW_DEV_STATE, d), 2))));
	EXPECT(r, "queue-detach d1 f1 fd=5 pid=100 tap0@1#3", "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close",
	       "release d1 f1 pid=100 tap0@1#3");
	assert_int_equal(bindings_device(r->b, 1, 3)->disabled, 0);
}

static void test_eight_queues_some_closed(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");
	uint64_t gens[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint32_t i;

	one_tap(r);
	for (i = 2; i <= 8; i++)
		APPLY(r, file_open(i * 10, 100, i), fd_install(i * 10, 100, (int)i + 4, i),
		      in_ioctl(TUNSETIFF, i, by(100, slice_of(dev(i * 10, TW_DEV_STATE, d), i, 0, gens))));
	assert_int_equal(r->n, 14);
	assert_string_equal(r->lines[13], "attach d1 f8 fd=12 pid=100 tap0@1#3");
	FORGET(r);
	/* another process renames it just before the closing one gets rtnl: the list still has file 3 */
	APPLY(r, fd_close(100, 100, 7, 3), file_release(101, 100, 3));
	strcpy(d.ifname, "x");
	APPLY(r, by(300, slice_of(dev(102, TW_DEV_STATE, d), 8, 0, gens)));
	assert_int_equal(bindings_device(r->b, 1, 3)->d.queues, 7);
	APPLY(r, in_close(3, by(100, queues(dev(103, TW_DEV_STATE, d), 1, 2, 8, 4, 5, 6, 7))));
	EXPECT(r, "drop d1 f3 fd=7 pid=100 tap0@1#3 how=close", "release d1 f3 pid=100 tap0@1#3",
	       "rename d1 pid=300 x@1#3 old.ifname=tap0");
	assert_int_equal(bindings_device(r->b, 1, 3)->d.queues, 7);
	APPLY(r, table_exit(110, 100));
	assert_int_equal(r->n, 7);
}

static void test_slices(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0"), renamed = tap(9, 1, 3, "y");
	uint64_t gens[40];
	uint32_t i;

	one_tap(r);
	for (i = 0; i < 40; i++)
		gens[i] = i + 1;
	/* begun, but never ended: nothing is concluded */
	APPLY(r, slice_of(dev(10, TW_DEV_STATE, renamed), 40, 0, gens),
	      slice_of(dev(10, TW_DEV_STATE, renamed), 40, 16, gens));
	EXPECT_NOTHING(r);
	APPLY(r, slice_of(dev(11, TW_DEV_STATE, d), 40, 0, gens), slice_of(dev(11, TW_DEV_STATE, d), 40, 16, gens),
	      slice_of(dev(11, TW_DEV_STATE, d), 40, 32, gens));
	/* 39 files nobody opened in our sight: open and attach each */
	assert_int_equal(r->n, 78);
	assert_string_equal(r->lines[0], "open f2");
	assert_string_equal(r->lines[77], "attach d1 f40 tap0@1#3 seed");
	FORGET(r);
	/* the first slice is lost: the members still count, the list does not */
	APPLY(r, slice_of(dev(12, TW_DEV_STATE, d), 40, 32, gens), slice_of(dev(12, TW_DEV_STATE, renamed), 40, 16, gens));
	EXPECT(r, "rename d1 y@1#3 old.ifname=tap0");
	gens[20] = 0;	/* one that BPF cannot name, and one that left */
	APPLY(r, slice_of(dev(13, TW_DEV_STATE, renamed), 39, 0, gens),
	      slice_of(dev(13, TW_DEV_STATE, renamed), 39, 16, gens),
	      slice_of(dev(13, TW_DEV_STATE, renamed), 39, 32, gens));
	EXPECT(r, "queue-detach d1 f21 y@1#3", "queue-detach d1 f40 y@1#3");
	assert_int_equal(bindings_device(r->b, 1, 3)->disabled, 2);
}

/* without a hook on close, a file that is still held was not closed */
static void test_missing_without_cause(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");

	one_tap(r);
	APPLY(r, fd_close(10, 100, 5, 1), with(TW_F_NO_CAUSE, by(100, queues(dev(11, TW_DEV_STATE, d)))));
	EXPECT(r, "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close");
	APPLY(r, fd_install(12, 100, 5, 1), with(TW_F_NO_CAUSE, by(100, queues(dev(13, TW_DEV_STATE, d)))));
	EXPECT(r, "hold d1 f1 fd=5 pid=100 tap0@1#3", "queue-detach d1 f1 fd=5 pid=100 tap0@1#3");
}

/* --- ioctl ends -------------------------------------------------------------------------- */

static void test_ebusy(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, fd_install(10, 90, 8, 1), fd_install(11, 100, 4, 1));
	APPLY(r, file_open(12, 200, 2), socket_in(1, fd_install(12, 200, 3, 2)),
	      asking("tap0", with(TW_F_UNBOUND, ioctl_end(13, 200, 2, TUNSETIFF, -EBUSY))));
	EXPECT(r, "hold d1 f1 fd=8 pid=90 tap0@1#3", "hold d1 f1 fd=4 pid=100 tap0@1#3", "open f2 fd=3 pid=200",
	       "attach-failed f2 fd=3 pid=200 errno=16 requested=tap0 held_by=90:8,100:4,100:5");
	/* of that name, but in another namespace */
	APPLY(r, file_open(14, 200, 3), socket_in(2, fd_install(14, 200, 4, 3)),
	      asking("tap0", with(TW_F_UNBOUND, ioctl_end(15, 200, 3, TUNSETIFF, -EPERM))));
	EXPECT(r, "open f3 fd=4 pid=200", "attach-failed f3 fd=4 pid=200 errno=1 requested=tap0");
}

static void test_held_by_many(void **state)
{
	struct recorder *r = *state;
	int i;

	one_tap(r);
	for (i = 0; i < 100; i++)
		APPLY(r, fd_install(10, 100, 1000 - i, 1));
	FORGET(r);
	APPLY(r, file_open(12, 200, 2), socket_in(1, fd_install(12, 200, 3, 2)),
	      asking("tap0", with(TW_F_UNBOUND, ioctl_end(13, 200, 2, TUNSETIFF, -EBUSY))));
	assert_int_equal(r->n, 2);
	assert_non_null(strstr(r->lines[1], " held_by=100:5,100:901,100:902,"));
	assert_non_null(strstr(r->lines[1], ",100:931"));
	assert_null(strstr(r->lines[1], ",100:932"));
}

static void test_eexist(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, asking("tap0", ioctl_end(10, 100, 1, TUNSETIFF, -EEXIST)));
	APPLY(r, asking("tap0", on_dev(tap(9, 1, 3, "tap0"), ioctl_end(10, 100, 1, TUNSETIFF, -EEXIST))));
	APPLY(r, asking("tap0", on_dev(tap(0, 1, 3, "tap0"), ioctl_end(10, 100, 1, TUNSETIFF, -EEXIST))));
	EXPECT_NOTHING(r);
}

/* copy_to_user() failed after the bind: it is bound all the same */
static void test_efault(void **state)
{
	struct recorder *r = *state;

	APPLY(r, file_open(1, 100, 1), fd_install(2, 100, 5, 1), dev_new_by(3, 100, 1, tap(9, 1, 3, "tap0")),
	      on_dev(tap(9, 1, 3, "tap0"), ioctl_end(4, 100, 1, TUNSETIFF, -EFAULT)));
	EXPECT(r, "open f1 fd=5 pid=100", "attach d1 f1 fd=5 pid=100 tap0@1#3 created");
	APPLY(r, file_open(1, 200, 2), fd_install(2, 200, 5, 2),
	      on_dev(tap(0, 1, 4, "tap1"), ioctl_end(4, 200, 2, TUNSETIFF, -EFAULT)));
	EXPECT(r, "open f2 fd=5 pid=200", "attach d2 f2 fd=5 pid=200 tap1@1#4 created");
}

/* hooks without the queue walk: the end of the ioctl tells which file */
static void test_identity(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0"), late = tap(9, 2, 8, "moved");

	APPLY(r, file_open(1, 100, 1), fd_install(2, 100, 5, 1),
	      by(100, lacking(TW_HAS_TUN, dev(3, TW_DEV_NEW, d))));
	EXPECT(r, "open f1 fd=5 pid=100");
	/* another CPU moved it before the exit ran: nothing of its place is believed */
	APPLY(r, on_dev(late, ioctl_end(4, 100, 1, TUNSETIFF, 0)), on_dev(late, ioctl_end(4, 100, 1, TUNSETIFF, 0)));
	EXPECT(r, "attach d1 f1 fd=5 pid=100 tap0@1#3 created");
	APPLY(r, with(TW_F_DETACHED, on_dev(late, ioctl_end(5, 100, 1, TUNSETQUEUE, 0))),
	      on_dev(tun_flags(IFF_PERSIST, late), ioctl_end(6, 100, 1, TUNSETPERSIST, 0)));
	EXPECT(r, "queue-detach d1 f1 fd=5 pid=100 tap0@1#3", "persist d1 f1 fd=5 pid=100 tap0@1#3 value=1",
	       "queue-attach d1 f1 fd=5 pid=100 tap0@1#3");
	/* a device that is not known, or not any more, binds nothing */
	APPLY(r, by(300, dev(7, TW_DEV_GONE, d)), on_dev(d, ioctl_end(8, 100, 1, TUNSETIFF, 0)),
	      on_dev(tap(55, 1, 9, "z"), ioctl_end(8, 100, 1, TUNSETIFF, 0)));
	EXPECT(r, "delete d1 pid=300 tap0@1#3 how=link-del");
}

/* a file whose hooks say unbound after rtnl was dropped may be bound again meanwhile */
static void test_unbound_is_not_believed(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, asking("q", with(TW_F_UNBOUND, ioctl_end(10, 100, 1, TUNSETIFF, -EINVAL))));
	EXPECT(r, "attach-failed f1 fd=5 pid=100 errno=22 requested=q");
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_BOUND);
}

/* --- the tracepoint backend: devices without generation ---------------------------------- */

static void test_tracepoint_life(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0"), p = tun_flags(IFF_PERSIST, d), o = p;

	APPLY(r, with(TW_F_NEW_FILE, fd_install(2, 100, 5, 1)), on_dev(d, ioctl_end(3, 100, 1, TUNSETIFF, 0)),
	      dev(4, TW_DEV_STATE, d));
	EXPECT(r, "open f1 fd=5 pid=100", "attach d1 f1 fd=5 pid=100 tap0@1#3 created");
	o.owner = 1000;
	APPLY(r, on_dev(p, ioctl_end(5, 100, 1, TUNSETPERSIST, 0)), on_dev(o, ioctl_end(6, 100, 1, TUNSETOWNER, 0)),
	      on_dev(o, ioctl_end(7, 100, 1, TUNSETGROUP, 0)));
	EXPECT(r, "persist d1 f1 fd=5 pid=100 tap0@1#3 value=1", "owner d1 f1 fd=5 pid=100 tap0@1#3");
	/* a netlink message from before the ioctls, read late */
	APPLY(r, dev(8, TW_DEV_STATE, d));
	EXPECT_NOTHING(r);
	/* renamed; the ioctl saw the name first, netlink tells it */
	strcpy(o.ifname, "x");
	APPLY(r, with(TW_F_DETACHED, on_dev(o, ioctl_end(9, 100, 1, TUNSETQUEUE, 0))), dev(10, TW_DEV_STATE, o));
	EXPECT(r, "queue-detach d1 f1 fd=5 pid=100 tap0@1#3", "rename d1 x@1#3 old.ifname=tap0");
	APPLY(r, on_dev(o, ioctl_end(11, 100, 1, TUNSETQUEUE, 0)), file_release(12, 100, 1),
	      dev(13, TW_DEV_GONE, o));
	EXPECT(r, "queue-attach d1 f1 fd=5 pid=100 x@1#3", "drop d1 f1 fd=5 pid=100 x@1#3",
	       "release d1 f1 pid=100 x@1#3", "delete d1 x@1#3");
}

/* netlink may be read before the end of the ioctl */
static void test_tracepoint_netlink_first(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0");

	APPLY(r, fd_install(2, 100, 5, 1), dev(3, TW_DEV_STATE, d), on_dev(d, ioctl_end(4, 100, 1, TUNSETIFF, 0)));
	EXPECT(r, "open f1 fd=5 pid=100", "attach d1 f1 fd=5 pid=100 tap0@1#3 created");
	/* a second queue is no creation */
	APPLY(r, fd_install(5, 100, 6, 2), on_dev(d, ioctl_end(6, 100, 2, TUNSETIFF, 0)));
	EXPECT(r, "open f2 fd=6 pid=100", "attach d1 f2 fd=6 pid=100 tap0@1#3");
	/* op NEW for what the ioctl made already */
	APPLY(r, fd_install(7, 100, 7, 3), on_dev(tap(0, 1, 4, "t"), ioctl_end(8, 100, 3, TUNSETIFF, 0)),
	      dev(9, TW_DEV_NEW, tap(0, 1, 4, "t")));
	EXPECT(r, "open f3 fd=7 pid=100", "attach d2 f3 fd=7 pid=100 t@1#4 created");
	/* its deletion is told by netlink after the file was seen unbound, and bound again */
	APPLY(r, with(TW_F_UNBOUND, ioctl_end(10, 100, 3, TUNSETPERSIST, -EBADFD)));
	assert_int_equal(bindings_file(r->b, 3)->state, FILE_ORPHANED);
	APPLY(r, on_dev(tap(0, 1, 5, "u"), ioctl_end(11, 100, 3, TUNSETIFF, 0)),
	      dev(12, TW_DEV_GONE, tap(0, 1, 4, "t")));
	EXPECT(r, "attach d3 f3 fd=7 pid=100 u@1#5 created", "delete d2 t@1#4");
	assert_int_equal(bindings_file(r->b, 3)->state, FILE_BOUND);
}

static void test_tracepoint_rebind(void **state)
{
	struct recorder *r = *state;

	APPLY(r, fd_install(2, 100, 5, 1), on_dev(tap(0, 1, 3, "a"), ioctl_end(3, 100, 1, TUNSETIFF, 0)),
	      on_dev(tap(0, 1, 4, "b"), ioctl_end(4, 100, 1, TUNSETIFF, 0)), dev(5, TW_DEV_GONE, tap(0, 1, 3, "a")));
	EXPECT(r, "open f1 fd=5 pid=100", "attach d1 f1 fd=5 pid=100 a@1#3 created",
	       "attach d2 f1 fd=5 pid=100 b@1#4 created", "delete d1 a@1#3");
	assert_ptr_equal(bindings_file(r->b, 1)->dev, bindings_device(r->b, 1, 4));
}

static void test_dev_move(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0");

	APPLY(r, fd_install(2, 100, 5, 1), on_dev(d, ioctl_end(3, 100, 1, TUNSETIFF, 0)));
	FORGET(r);
	APPLY(r, by(300, dev_move(4, d, 2, 8)));
	EXPECT_NOTHING(r);
	assert_int_equal(bindings_device(r->b, 2, 8)->id, 1);
	APPLY(r, by(300, dev(5, TW_DEV_NEW, tap(0, 2, 8, "fooz"))));
	EXPECT(r, "move d1 fooz@2#8 old.netns=1 old.ifindex=3 old.ifname=tap0");
	/* another fact about it comes first; of two moves each is told */
	APPLY(r, dev_move(6, tap(0, 2, 8, "fooz"), 3, 8), on_dev(tap(0, 3, 8, "q"), ioctl_end(7, 100, 1, TUNGETIFF, 0)),
	      with(TW_F_DETACHED, on_dev(tap(0, 3, 8, "q"), ioctl_end(8, 100, 1, TUNSETQUEUE, 0))));
	EXPECT(r, "move d1 fooz@3#8 old.netns=2", "queue-detach d1 f1 fd=5 pid=100 fooz@3#8");
	APPLY(r, dev_move(9, tap(0, 3, 8, "fooz"), 4, 8), dev_move(10, tap(0, 4, 8, "fooz"), 5, 8),
	      dev(11, TW_DEV_GONE, tap(0, 5, 8, "fooz")));
	EXPECT(r, "move d1 fooz@4#8 old.netns=3", "move d1 fooz@5#8 old.netns=4", "delete d1 fooz@5#8");
}

/* the new namespace's socket is read before the old one's; or the ioctl before both */
static void test_dev_move_out_of_order(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0"), to = tap(0, 2, 8, "fooz");

	APPLY(r, fd_install(2, 100, 5, 1), on_dev(d, ioctl_end(3, 100, 1, TUNSETIFF, 0)));
	FORGET(r);
	APPLY(r, dev(4, TW_DEV_STATE, to), dev_move(5, d, 2, 8));
	EXPECT(r, "move d1 fooz@2#8 old.netns=1 old.ifindex=3 old.ifname=tap0");
	APPLY(r, on_dev(tap(0, 3, 9, "fooz"), ioctl_end(6, 100, 1, TUNSETPERSIST, 0)),
	      dev_move(7, to, 3, 9), dev(8, TW_DEV_STATE, tap(0, 3, 9, "fooz")));
	EXPECT(r, "move d1 fooz@3#9 old.netns=2 old.ifindex=8");
	assert_null(bindings_device(r->b, 2, 8));
}

/* to where nobody can look: told when it shows, or when its file tells */
static void test_dev_move_to_unknown(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0");

	APPLY(r, fd_install(2, 100, 5, 1), on_dev(d, ioctl_end(3, 100, 1, TUNSETIFF, 0)));
	FORGET(r);
	APPLY(r, dev_move(4, d, 0, 3));
	EXPECT_NOTHING(r);
	APPLY(r, on_dev(tap(0, 7, 3, "tap0"), ioctl_end(6, 100, 1, TUNGETIFF, 0)),
	      dev(7, TW_DEV_STATE, tap(0, 7, 3, "tap0")));
	EXPECT(r, "move d1 tap0@7#3 old.netns=1");
	APPLY(r, dev_move(8, tap(0, 7, 3, "tap0"), 0, 3), fd_close(9, 100, 5, 1));
	EXPECT(r, "move d1 tap0@0#3 old.netns=7", "drop d1 f1 fd=5 pid=100 tap0@0#3 how=close");
}

/* --- vhost ---------------------------------------------------------------------------------- */

static void test_vhost(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, vhost(10, 100, 0xbeef, 0, 1), vhost(11, 100, 0xbeef, 1, 1), vhost(11, 100, 0xbeef, 1, 1));
	EXPECT(r, "vhost d1 f1 pid=100 tap0@1#3 value=1");
	assert_int_equal(bindings_file(r->b, 1)->vhost_queues, 2);
	APPLY(r, fd_close(12, 100, 5, 1));
	EXPECT(r, "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close");
	APPLY(r, vhost(13, 100, 0xbeef, 0, 0), vhost(13, 100, 0xbeef, 0, 0));
	EXPECT_NOTHING(r);
	APPLY(r, with(TW_F_VHOST_GONE, vhost(14, 100, 0xbeef, 0, 0)), file_release(15, 100, 1));
	EXPECT(r, "vhost d1 f1 pid=100 tap0@1#3 value=0", "release d1 f1 pid=100 tap0@1#3");
}

static void test_vhost_changes_file(void **state)
{
	struct recorder *r = *state;

	one_tap(r);
	APPLY(r, file_open(5, 100, 2), fd_install(5, 100, 6, 2), vhost(10, 100, 0xbeef, 0, 1),
	      vhost(11, 100, 0xbeef, 0, 2), vhost(12, 100, 0xcafe, 0, 1));
	EXPECT(r, "open f2 fd=6 pid=100", "vhost d1 f1 pid=100 tap0@1#3 value=1",
	       "vhost d1 f1 pid=100 tap0@1#3 value=0", "vhost f2 pid=100 value=1",
	       "vhost d1 f1 pid=100 tap0@1#3 value=1");
	/* the give-back was missed */
	APPLY(r, file_release(13, 100, 2));
	EXPECT(r, "drop f2 fd=6 pid=100", "vhost f2 pid=100 value=0", "release f2 pid=100");
	APPLY(r, with(TW_F_VHOST_GONE, vhost(14, 100, 0xbeef, 0, 0)));
	EXPECT_NOTHING(r);
	/* two queues of a device, given back at once: in order */
	APPLY(r, file_open(15, 100, 3), vhost(16, 100, 0xd00d, 0, 3), vhost(16, 100, 0xd00d, 1, 1),
	      with(TW_F_VHOST_GONE, vhost(17, 100, 0xcafe, 0, 0)), with(TW_F_VHOST_GONE, vhost(17, 100, 0xd00d, 0, 0)));
	EXPECT(r, "open f3 pid=100", "vhost f3 pid=100 value=1", "vhost f3 pid=100 value=0",
	       "vhost d1 f1 pid=100 tap0@1#3 value=0");
}

/* --- the rest ---------------------------------------------------------------------------------- */

static void test_malformed(void **state)
{
	struct recorder *r = *state;
	struct tw_event e;
	uint32_t type;

	for (type = 0; type < 40; type++) {
		e = fact(1, type);
		assert_int_equal(bindings_apply(r->b, &e),
				 type == TW_MODULE || type == TW_NETNS_NEW || type == TW_RESCAN ? 0 : -EINVAL);
	}
	e = fact(1, UINT32_MAX);
	assert_int_equal(bindings_apply(r->b, &e), -EINVAL);
	/* a file without generation is no file, a device without place no device */
	e = fd_install(1, 100, 5, 0);
	assert_int_equal(bindings_apply(r->b, &e), -EINVAL);
	e = dev(1, TW_DEV_NEW, tap(9, 0, 3, "x"));
	assert_int_equal(bindings_apply(r->b, &e), -EINVAL);
	e = vhost(1, 100, 0, 0, 1);
	assert_int_equal(bindings_apply(r->b, &e), -EINVAL);
	e = dev_move(1, tap(0, 1, 3, "x"), 1, 0);
	assert_int_equal(bindings_apply(r->b, &e), -EINVAL);
	e = dev(1, TW_DEV_NEW, tap(9, 1, 3, "x"));
	e.dev.queues = TW_MAX_QUEUES + 1;
	e.has |= TW_HAS_QUEUES;
	assert_int_equal(bindings_apply(r->b, &e), -EINVAL);
	/* a scan has a begin */
	e = scan_fd(1, 100, 5, 1);
	assert_int_equal(bindings_apply(r->b, &e), -EINVAL);
	EXPECT_NOTHING(r);
	assert_null(bindings_file(r->b, 1));
}

/* names that fill their field to the last byte */
static void test_unterminated(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");
	struct tw_event e;

	memset(d.ifname, 'n', sizeof(d.ifname));
	e = dev_new_by(1, 100, 1, d);
	APPLY(r, e);
	EXPECT(r, "open f1 pid=100", "attach d1 f1 pid=100 nnnnnnnnnnnnnnn@1#3 created");
	e = with(TW_F_UNBOUND, ioctl_end(2, 100, 2, TUNSETIFF, -EINVAL));
	e.has |= TW_HAS_REQUESTED;
	memset(e.ioctl.requested, 'm', sizeof(e.ioctl.requested));
	APPLY(r, e);
	EXPECT(r, "open f2 pid=100", "attach-failed f2 pid=100 errno=22 requested=mmmmmmmmmmmmmmm");
}

static void test_inexact(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tun_flags(IFF_PERSIST, tap(9, 1, 3, "renamed"));

	one_tap(r);
	APPLY(r, with(TW_F_INEXACT, queues(dev(10, TW_DEV_STATE, d))));
	EXPECT(r, "rename d1 renamed@1#3 old.ifname=tap0");
}

/* The hook that sees a device made was skipped: whoever changes it next did not make it, and that it is there comes first. */
static void test_missed_birth(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");

	APPLY(r, fd_install(1, 100, 5, 1), fd_install(2, 200, 6, 1));
	FORGET(r);
	d.owner = 7;
	APPLY(r, in_ioctl(TUNSETOWNER, 1, by(200, queues(dev(3, TW_DEV_STATE, d), 1))));
	EXPECT(r, "attach d1 f1 fd=5 tap0@1#3 seed");
	d.owner = 8;
	APPLY(r, in_ioctl(TUNSETOWNER, 1, by(200, queues(dev(4, TW_DEV_STATE, d), 1))));
	EXPECT(r, "owner d1 f1 fd=6 pid=200 tap0@1#3");
}

/* made by netlink and opened later: attached, not created */
static void test_macvtap(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "macvtap0");

	d.kind = TW_KIND_MACVTAP;
	APPLY(r, by(300, lacking(TW_HAS_TUN, dev(1, TW_DEV_NEW, d))), file_open(2, 100, 1), fd_install(3, 100, 5, 1),
	      by(100, lacking(TW_HAS_TUN, queues(dev(4, TW_DEV_STATE, d), 1))));
	EXPECT(r, "open f1 fd=5 pid=100", "attach d1 f1 fd=5 macvtap0@1#3 seed");
}

static void test_ids(void **state)
{
	struct recorder *r = *state;

	bindings_ids_from(r->b, 70, 80);
	APPLY(r, dev_new_by(1, 100, 1, tap(9, 1, 3, "tap0")), file_release(2, 100, 1),
	      dev(3, TW_DEV_GONE, tap(9, 1, 3, "tap0")), dev_new_by(4, 100, 2, tap(10, 1, 3, "tap0")));
	EXPECT(r, "open f80 pid=100", "attach d70 f80 pid=100 tap0@1#3 created", "release d70 f80 pid=100 tap0@1#3",
	       "delete d70 tap0@1#3", "open f81 pid=100", "attach d71 f81 pid=100 tap0@1#3 created");
}

static void test_tell(void **state)
{
	struct recorder *r = *state;
	struct change c = { .event = EV_LOST, .has = CH_COUNT, .count = 3 };

	bindings_tell(r->b, &c);
	EXPECT(r, "lost");
}

static void test_names(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < EV_MAX; i++)
		assert_int_equal(event_by_name(event_name(i)), i);
	assert_int_equal(event_by_name("attach_failed"), -1);
	assert_string_equal(event_name(EV_ATTACH_FAILED), "attach-failed");
	assert_null(event_name(EV_MAX));
	for (i = 1; i < TW_KIND_MAX; i++)
		assert_int_equal(kind_by_name(kind_name(i)), i);
	assert_null(kind_name(TW_KIND_UNKNOWN));
	assert_int_equal(kind_by_name(""), -1);
	assert_null(how_name(HOW_UNKNOWN));
	for (i = 1; i < HOW_MAX; i++)
		assert_non_null(how_name(i));
	assert_string_equal(file_state_name(FILE_ORPHANED), "orphaned");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, recorder_setup, recorder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life), TEST(test_open_only), TEST(test_no_fd), TEST(test_dup_and_dup2),
		TEST(test_hand_over), TEST(test_release_with_holds), TEST(test_address_reused), TEST(test_self),
		TEST(test_same_name_twice), TEST(test_move), TEST(test_members), TEST(test_name_again_at_once),
		TEST(test_missed_deletion), TEST(test_orphan_binds_again), TEST(test_netns_inode_reused),
		TEST(test_netns_exit), TEST(test_how_deleted), TEST(test_ip_tuntap), TEST(test_persist_off_by_other),
		TEST(test_detach_attach), TEST(test_eight_queues_some_closed), TEST(test_slices),
		TEST(test_missing_without_cause), TEST(test_ebusy), TEST(test_held_by_many), TEST(test_eexist),
		TEST(test_efault), TEST(test_identity), TEST(test_unbound_is_not_believed),
		TEST(test_tracepoint_life), TEST(test_tracepoint_netlink_first), TEST(test_tracepoint_rebind),
		TEST(test_dev_move), TEST(test_dev_move_out_of_order), TEST(test_dev_move_to_unknown),
		TEST(test_vhost), TEST(test_vhost_changes_file), TEST(test_malformed), TEST(test_unterminated),
		TEST(test_inexact), TEST(test_missed_birth), TEST(test_macvtap), TEST(test_ids), TEST(test_tell), TEST(test_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
