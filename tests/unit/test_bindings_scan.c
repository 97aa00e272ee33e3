// SPDX-License-Identifier: GPL-2.0-only
/* bindings: scans, what they tell, and live facts from before, during and after them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "recorder.h"

#define SCAN_ALL (SCAN_FDS | SCAN_FILES | SCAN_DEVICES)

#define SCAN(r, mode, begin, told, ...) \
	do { \
		bindings_scan_begin((r)->b, mode, SCAN_ALL, begin); \
		APPLY(r, __VA_ARGS__); \
		bindings_scan_netns((r)->b, 1); \
		assert_int_equal(bindings_scan_end((r)->b), told); \
	} while (0)

static struct tw_event bound(struct tw_dev d, struct tw_event e)
{
	return on_dev(d, e);
}

static struct tw_dev serial(uint64_t number, struct tw_dev d)
{
	d.serial = number;
	return d;
}

static struct tw_event counted(struct tw_event e)
{
	e.has |= TW_HAS_QUEUES;
	return e;
}

static struct tw_event unbound(struct tw_event e)
{
	return with(TW_F_UNBOUND, e);
}

static struct tw_event orphaned(struct tw_event e)
{
	return with(TW_F_UNBOUND | TW_F_ORPHANED, e);
}

/* File 1 at process 100's fd 5 on tap0@1#3, seen at 100. The device's generation is unknown. */
static void seed_one(struct recorder *r)
{
	struct tw_dev d = tap(0, 1, 3, "tap0");

	SCAN(r, SCAN_SEED, 90, 1, bound(d, scan_fd(100, 100, 5, 1)), scan_dev(101, d));
	FORGET(r);
}

/* --- the first scan ------------------------------------------------------------------ */

static void test_seed(void **state)
{
	struct recorder *r = *state;
	struct tw_dev a = tap(0, 1, 3, "tap0"), b = tap(0, 1, 2, "tap1"), c = tap(0, 2, 9, "tap0");

	bindings_scan_begin(r->b, SCAN_SEED, SCAN_ALL, 90);
	APPLY(r, bound(a, scan_fd(100, 200, 7, 1)), bound(a, scan_fd(101, 100, 9, 1)), bound(a, scan_fd(102, 100, 5, 1)),
	      unbound(scan_fd(103, 50, 3, 4)), with(TW_F_DETACHED, bound(c, scan_fd(104, 300, 4, 2))),
	      with(TW_F_SELF | TW_F_DETACHED, bound(c, scan_fd(104, 7, 4, 2))), bound(c, scan_file(105, 3)),
	      scan_file(105, 1), scan_dev(106, b), scan_dev(106, a), scan_dev(106, a));
	EXPECT_NOTHING(r);
	assert_int_equal(bindings_scan_end(r->b), 7);
	EXPECT(r, "exist d3 tap1@1#2 seed", "exist d1 f1 fd=5 pid=100 tap0@1#3 bound seed",
	       "exist d1 f1 fd=9 pid=100 tap0@1#3 bound seed", "exist d1 f1 fd=7 pid=200 tap0@1#3 bound seed",
	       "exist d2 f4 tap0@2#9 bound seed", "exist d2 f3 fd=4 pid=300 tap0@2#9 disabled seed",
	       "exist f2 fd=3 pid=50 unbound seed");
	assert_int_equal(bindings_device(r->b, 2, 9)->disabled, 1);
	assert_int_equal(bindings_device(r->b, 2, 9)->since_ns, 0);
	/* once more, all the same */
	SCAN(r, SCAN_SEED, 200, 0, bound(a, scan_fd(201, 100, 5, 1)), scan_dev(202, b));
	EXPECT_NOTHING(r);
}

static void test_seed_empty(void **state)
{
	struct recorder *r = *state;

	bindings_scan_begin(r->b, SCAN_SEED, SCAN_ALL, 1);
	assert_int_equal(bindings_scan_end(r->b), 0);
	assert_int_equal(bindings_scan_end(r->b), 0);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_ALL, 1);
	assert_int_equal(bindings_scan_end(r->b), 0);
	EXPECT_NOTHING(r);
}

/* All that was in the ring while the scan ran, told after it: nothing twice, nothing missing. */
static void test_seed_then_ring(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0"), g = tap(9, 1, 3, "tap0"), old = g;

	strcpy(old.ifname, "before");
	SCAN(r, SCAN_SEED, 90, 1, bound(d, scan_fd(100, 100, 5, 1)), scan_dev(101, d));
	FORGET(r);
	APPLY(r, file_open(91, 100, 1), with(TW_F_NEW_FILE, fd_install(92, 100, 5, 1)), dev_new_by(93, 100, 1, old),
	      by(300, queues(dev(94, TW_DEV_STATE, g), 1)));
	EXPECT_NOTHING(r);
	assert_int_equal(bindings_device(r->b, 1, 3)->gen, 9);
	assert_int_equal(bindings_file(r->b, 1)->opened_ns, 91);
	APPLY(r, fd_close(100, 100, 5, 1));	/* of an earlier life of that slot */
	EXPECT_NOTHING(r);
	g.if_flags = IFF_UP;
	APPLY(r, by(300, queues(dev(102, TW_DEV_STATE, g), 1)), fd_install(103, 100, 6, 1), fd_close(104, 100, 5, 1));
	EXPECT(r, "up d1 pid=300 tap0@1#3", "hold d1 f1 fd=6 pid=100 tap0@1#3",
	       "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close");
}

/* The file was met before it was bound, the device after. */
static void test_seed_between(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0"), g = tap(9, 1, 3, "tap0");

	SCAN(r, SCAN_SEED, 90, 2, unbound(scan_fd(100, 100, 5, 1)), scan_dev(110, d));
	EXPECT(r, "exist d1 tap0@1#3 seed", "exist f1 fd=5 pid=100 unbound seed");
	APPLY(r, dev_new_by(105, 100, 1, g));
	EXPECT(r, "attach d1 f1 fd=5 pid=100 tap0@1#3 created");
}

/* A table is read, gets an fd, then another with the same file is read: the fd is not lost. */
static void test_install_behind_the_scan(void **state)
{
	struct recorder *r = *state;

	SCAN(r, SCAN_SEED, 90, 1, unbound(scan_fd(120, 200, 5, 1)));
	FORGET(r);
	APPLY(r, fd_install(110, 100, 7, 1), fd_install(80, 150, 7, 1), fd_close(95, 150, 7, 1));
	EXPECT(r, "hold f1 fd=7 pid=100");
}

/* Dead before the scan ended, but its facts come after: its life is told, once. */
static void test_dead_before_seed_ended(void **state)
{
	struct recorder *r = *state;

	SCAN(r, SCAN_SEED, 90, 1, unbound(addr(0xf0, scan_fd(120, 200, 5, 2))));
	FORGET(r);
	APPLY(r, addr(0xf0, file_open(91, 200, 1)), addr(0xf0, fd_install(92, 200, 5, 1)),
	      addr(0xf0, fd_close(93, 200, 5, 1)), addr(0xf0, file_release(94, 200, 1)),
	      addr(0xf0, file_open(95, 200, 2)), addr(0xf0, fd_install(96, 200, 5, 2)));
	EXPECT(r, "open f2 pid=200", "release f2 pid=200");
	assert_int_equal(bindings_file(r->b, 2)->id, 1);
	APPLY(r, addr(0xf0, fd_close(130, 200, 5, 2)));
	EXPECT(r, "drop f1 fd=5 pid=200 how=close");
}

/* --- adoption: a device netlink found gets its generation from its first fact ------------- */

static void test_adoption(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d;

	SCAN(r, SCAN_SEED, 90, 4, scan_dev(100, tap(0, 1, 2, "a")), scan_dev(100, tap(0, 1, 3, "b")),
	     scan_dev(100, tap(0, 1, 4, "c")), scan_dev(100, tap(0, 1, 5, "e")));
	FORGET(r);
	/* a changed name */
	APPLY(r, by(300, dev(110, TW_DEV_STATE, tap(12, 1, 2, "x"))));
	EXPECT(r, "rename d1 pid=300 x@1#2 old.ifname=a");
	/* a move */
	APPLY(r, by(300, dev(111, TW_DEV_LEAVING, tap(13, 1, 3, "b"))),
	      by(300, dev(112, TW_DEV_MOVED, tap(13, 2, 3, "b"))));
	EXPECT(r, "move d2 pid=300 b@2#3 old.netns=1");
	/* any change */
	d = tap(14, 1, 4, "c");
	d.if_flags = IFF_UP;
	APPLY(r, by(300, dev(113, TW_DEV_STATE, d)));
	EXPECT(r, "up d3 pid=300 c@1#4");
	/* its end */
	APPLY(r, by(300, dev(114, TW_DEV_GONE, tap(15, 1, 5, "e"))));
	EXPECT(r, "delete d4 pid=300 e@1#5 how=link-del");
	assert_int_equal(bindings_device(r->b, 1, 2)->gen, 12);
	assert_int_equal(bindings_device(r->b, 2, 3)->gen, 13);
	/* found by it from now on, wherever it is */
	APPLY(r, by(300, dev(115, TW_DEV_MOVED, tap(12, 3, 7, "x"))));
	EXPECT(r, "move d1 pid=300 x@3#7 old.netns=1 old.ifindex=2");
}

/* The facts of a device that died before the scan saw a successor at its place. */
static void test_adoption_by_a_dead_one(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0");

	SCAN(r, SCAN_SEED, 90, 1, scan_dev(100, d));
	FORGET(r);
	APPLY(r, by(300, dev(91, TW_DEV_STATE, tap(9, 1, 3, "tap0"))),
	      by(300, dev(92, TW_DEV_GONE, tap(9, 1, 3, "tap0"))),
	      by(300, dev(93, TW_DEV_NEW, tap(10, 1, 3, "tap0"))),
	      by(300, dev(110, TW_DEV_STATE, tap(10, 1, 3, "y"))));
	EXPECT(r, "rename d1 pid=300 y@1#3 old.ifname=tap0");
	assert_int_equal(bindings_device(r->b, 1, 3)->gen, 10);
}

static void test_stale_ends(void **state)
{
	struct recorder *r = *state;

	seed_one(r);
	/* of a namespace whose inode number lives again; by netlink, of an earlier device there */
	APPLY(r, netns_exit(95, 1, 0), dev(96, TW_DEV_GONE, tap(0, 1, 3, "tap0")), table_exit(97, 100));
	EXPECT_NOTHING(r);
	APPLY(r, dev(110, TW_DEV_GONE, tap(0, 1, 3, "tap0")), table_exit(111, 100));
	EXPECT(r, "delete d1 tap0@1#3", "drop f1 fd=5 pid=100 how=exit");
	/* a generation is exact: its end is never old */
	SCAN(r, SCAN_SEED, 120, 1, scan_dev(130, tap(20, 1, 4, "t")));
	FORGET(r);
	APPLY(r, by(300, dev(121, TW_DEV_GONE, tap(20, 1, 4, "t"))));
	EXPECT(r, "delete d2 pid=300 t@1#4 how=link-del");
	/* nor is the end of a namespace whose cookie is known to be the device's */
	SCAN(r, SCAN_SEED, 140, 1, scan_dev(150, cookie(77, tap(21, 1, 5, "t"))));
	FORGET(r);
	APPLY(r, netns_exit(141, 1, 76));
	EXPECT_NOTHING(r);
	APPLY(r, netns_exit(142, 1, 77));
	EXPECT(r, "delete d3 t@1#5 how=netns-exit");
}

/* --- scans after loss --------------------------------------------------------------------- */

static void test_resync_nothing(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0");

	seed_one(r);
	SCAN(r, SCAN_RESYNC, 200, 0, bound(d, scan_fd(210, 100, 5, 1)), scan_file(211, 1), scan_dev(212, d));
	EXPECT_NOTHING(r);
}

static void test_resync_all_gone(void **state)
{
	struct recorder *r = *state;

	seed_one(r);
	SCAN(r, SCAN_SEED, 150, 1, bound(tap(0, 2, 3, "tap0"), scan_fd(151, 200, 5, 2)));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_ALL, 200);
	bindings_scan_netns(r->b, 1);
	assert_int_equal(bindings_scan_end(r->b), 5);
	/* namespace 2 could not be looked into: its device stays */
	EXPECT(r, "drop d1 f1 fd=5 pid=100 tap0@1#3 seed", "drop d2 f2 fd=5 pid=200 tap0@2#3 seed",
	       "release d1 f1 tap0@1#3 seed", "release d2 f2 tap0@2#3 seed", "delete d1 tap0@1#3 seed");
	assert_non_null(bindings_device(r->b, 2, 3));
	/* what the ring still has of them */
	APPLY(r, fd_install(199, 100, 6, 1), fd_close(199, 100, 5, 1), fd_close(199, 100, 6, 1), file_release(199, 100, 1),
	      by(100, dev(199, TW_DEV_STATE, tap(0, 1, 3, "tap0"))), by(100, dev(200, TW_DEV_GONE, tap(0, 1, 3, "tap0"))));
	EXPECT_NOTHING(r);
}

static void test_resync_missing_hold(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0");

	seed_one(r);
	APPLY(r, fd_install(150, 200, 8, 1), fd_install(205, 201, 8, 1));
	FORGET(r);
	SCAN(r, SCAN_RESYNC, 200, 1, bound(d, scan_fd(210, 100, 5, 1)), scan_dev(212, d));
	EXPECT(r, "drop d1 f1 fd=8 pid=200 tap0@1#3 seed");
}

static void test_resync_new(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0"), n = tap(9, 1, 4, "tap1"), p = tap(0, 1, 5, "idle");

	seed_one(r);
	SCAN(r, SCAN_RESYNC, 200, 9, bound(d, scan_fd(210, 100, 5, 1)), bound(d, scan_fd(211, 200, 6, 1)),
	     bound(n, scan_fd(212, 300, 3, 2)), bound(n, scan_fd(213, 301, 3, 2)),
	     with(TW_F_DETACHED, bound(n, scan_file(213, 3))), scan_dev(214, d), scan_dev(214, tap(0, 1, 4, "tap1")),
	     scan_dev(214, p), unbound(scan_fd(215, 300, 4, 4)));
	EXPECT(r, "hold d1 f1 fd=6 pid=200 tap0@1#3 seed", "open f2 fd=3 pid=300 seed",
	       "attach d2 f2 fd=3 tap1@1#4 seed", "hold d2 f2 fd=3 pid=301 tap1@1#4 seed", "open f3 seed",
	       "attach d2 f3 tap1@1#4 seed", "queue-detach d2 f3 tap1@1#4 seed", "open f4 fd=4 pid=300 seed",
	       "attach d3 idle@1#5 seed");
	assert_int_equal(bindings_device(r->b, 1, 4)->gen, 9);
}

static void test_resync_changed(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0"), n = tun_flags(IFF_PERSIST, tap(9, 2, 7, "fooz"));

	SCAN(r, SCAN_SEED, 90, 1, bound(d, scan_fd(100, 100, 5, 1)));
	FORGET(r);
	n.mac[5] = 1;
	n.if_flags = IFF_UP;
	n.owner = 5;
	n.master_ifindex = 4;
	SCAN(r, SCAN_RESYNC, 200, 8, with(TW_F_DETACHED, bound(n, scan_fd(210, 100, 5, 1))), unbound(scan_fd(210, 100, 6, 2)));
	EXPECT(r, "move d1 fooz@2#7 old.netns=1 old.ifindex=3 old.ifname=tap0 seed", "mac d1 fooz@2#7 old.mac=..:00 seed",
	       "master d1 fooz@2#7 seed", "up d1 fooz@2#7 seed", "persist d1 fooz@2#7 value=1 seed",
	       "owner d1 fooz@2#7 seed", "queue-detach d1 f1 fd=5 fooz@2#7 seed", "open f2 fd=6 pid=100 seed");
	assert_int_equal(bindings_device(r->b, 2, 7)->disabled, 1);
	SCAN(r, SCAN_RESYNC, 300, 3, bound(n, scan_fd(310, 100, 5, 1)), unbound(scan_fd(310, 100, 6, 2)),
	     unbound(scan_fd(311, 100, 7, 3)), bound(n, scan_fd(312, 100, 7, 3)));
	EXPECT(r, "queue-attach d1 f1 fd=5 fooz@2#7 seed", "open f3 fd=7 pid=100 seed", "attach d1 f3 fd=7 fooz@2#7 seed");
}

/*
 * A review tells only what differed twice, half a second apart: what differs
 * once may be in the middle of a call.
 */
static void test_review(void **state)
{
	struct recorder *r = *state;
	const uint64_t second = 1000000000;
	struct tw_dev d = tap(0, 1, 3, "tap0");

	seed_one(r);
	/* fd 5 is being closed, fd 6 came */
	SCAN(r, SCAN_REVIEW, second, 0, scan_dev(second, d), unbound(scan_fd(second + 1, 100, 6, 2)));
	EXPECT_NOTHING(r);
	assert_true(bindings_scan_pending(r->b) > 0);
	/* the call tells how */
	APPLY(r, by_how(TW_HOW_CLOSE, fd_close(second + 5, 100, 5, 1)));
	EXPECT(r, "drop d1 f1 fd=5 pid=100 tap0@1#3 how=close");
	/* nobody told of fd 6 */
	SCAN(r, SCAN_REVIEW, 2 * second, 1, scan_dev(2 * second, d), unbound(scan_fd(2 * second + 1, 100, 6, 2)));
	EXPECT(r, "open f2 fd=6 pid=100 seed");
	/* nor of the end of file 1, which has had its time since the close */
	SCAN(r, SCAN_REVIEW, 3 * second, 1, scan_dev(3 * second, d), unbound(scan_fd(3 * second + 1, 100, 6, 2)));
	EXPECT(r, "release d1 f1 tap0@1#3 seed");
	assert_int_equal(bindings_scan_pending(r->b), 0);
}

/* a review in the middle of a TUNSETIFF: it made the device all the same */
static void test_review_meets_new(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0"), n = tap(0, 1, 4, "tap1");

	seed_one(r);
	APPLY(r, fd_install(150, 100, 6, 2));
	FORGET(r);
	SCAN(r, SCAN_REVIEW, 200, 0, scan_dev(201, d), scan_dev(202, n), bound(n, scan_fd(203, 100, 6, 2)));
	EXPECT_NOTHING(r);
	APPLY(r, on_dev(n, ioctl_end(210, 100, 2, TUNSETIFF, 0)));
	EXPECT(r, "attach d2 f2 fd=6 pid=100 tap1@1#4 created");
}

/* By its serial a device is known wherever it is met, and another one at its place is another one. */
static void test_serials(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = serial(77, tap(0, 1, 3, "tap0")), n = serial(78, tap(0, 1, 3, "tap1"));

	SCAN(r, SCAN_SEED, 90, 1, bound(d, scan_fd(100, 100, 5, 1)), scan_dev(101, d));
	FORGET(r);
	/* it was moved, its place taken; the first to tell is an ioctl on the new one */
	APPLY(r, fd_install(150, 200, 7, 2), on_dev(n, ioctl_end(160, 200, 2, TUNSETIFF, 0)));
	EXPECT(r, "open f2 fd=7 pid=200", "attach d2 f2 fd=7 pid=200 tap1@1#3 created");
	/* rtnetlink speaks of the old one still: it was renamed before, and moved */
	strcpy(d.ifname, "early");
	APPLY(r, dev(170, TW_DEV_STATE, serial(0, d)), dev_move(171, serial(0, d), 2, 9));
	strcpy(d.ifname, "late");
	d.netns = 2;
	d.ifindex = 9;
	APPLY(r, dev(172, TW_DEV_STATE, serial(0, d)));
	EXPECT(r, "move d1 late@2#9 old.netns=1 old.ifindex=3 old.ifname=tap0");
	assert_ptr_equal(bindings_file(r->b, 1)->dev, bindings_device(r->b, 2, 9));
	assert_ptr_equal(bindings_file(r->b, 2)->dev, bindings_device(r->b, 1, 3));
}

/* of three queues one was closed unseen: the number that the scan read is without it already, and stays */
static void test_resync_queues(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tun_flags(IFF_MULTI_QUEUE, tap(9, 1, 3, "tap0"));

	d.queues = 3;
	SCAN(r, SCAN_SEED, 90, 3, counted(bound(d, scan_fd(100, 100, 5, 1))), counted(bound(d, scan_fd(100, 100, 6, 2))),
	     counted(bound(d, scan_fd(100, 100, 7, 3))));
	FORGET(r);
	d.queues = 2;
	SCAN(r, SCAN_RESYNC, 200, 2, counted(bound(d, scan_fd(210, 100, 5, 1))), counted(bound(d, scan_fd(210, 100, 6, 2))));
	EXPECT(r, "drop d1 f3 fd=7 pid=100 tap0@1#3 seed", "release d1 f3 tap0@1#3 seed");
	assert_int_equal(bindings_device(r->b, 1, 3)->d.queues, 2);
	/* nothing newer than the end is known */
	APPLY(r, file_release(220, 100, 2));
	assert_int_equal(bindings_device(r->b, 1, 3)->d.queues, 1);
}

/* an fd replaced unseen; a device deleted under its file, and another one bound */
static void test_resync_replaced(void **state)
{
	struct recorder *r = *state;
	struct tw_dev n = tap(10, 1, 4, "tap1");

	seed_one(r);
	APPLY(r, fd_install(110, 100, 6, 1), fd_install(111, 100, 7, 2));
	FORGET(r);
	SCAN(r, SCAN_RESYNC, 200, 4, bound(n, scan_fd(210, 100, 5, 1)), unbound(scan_fd(211, 100, 6, 2)),
	     unbound(scan_fd(212, 100, 7, 2)));
	EXPECT(r, "attach d2 f1 fd=5 tap1@1#4 seed", "drop d2 f1 fd=6 pid=100 tap1@1#4 seed", "hold f2 fd=6 pid=100 seed",
	       "delete d1 tap0@1#3 seed");
}

/* orphaned says that the device died, even where its namespace cannot be seen */
static void test_resync_unbound(void **state)
{
	struct recorder *r = *state;

	SCAN(r, SCAN_SEED, 90, 1, bound(tap(0, 2, 3, "tap0"), scan_fd(100, 100, 5, 1)));
	FORGET(r);
	SCAN(r, SCAN_RESYNC, 200, 1, orphaned(scan_fd(210, 100, 5, 1)));
	EXPECT(r, "delete d1 tap0@2#3 seed");
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_ORPHANED);
}

/* what was told of it during the scan may be older than it seems: the next one settles it */
static void test_resync_unbound_late(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 2, 3, "tap0");

	SCAN(r, SCAN_SEED, 90, 1, bound(d, scan_fd(100, 100, 5, 1)));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_FDS | SCAN_FILES | SCAN_DEVICES, 200);
	APPLY(r, dev(205, TW_DEV_STATE, d), orphaned(scan_fd(210, 100, 5, 1)));
	assert_int_equal(bindings_scan_end(r->b), 0);
	EXPECT_NOTHING(r);
	assert_true(bindings_doubtful(r->b));
	SCAN(r, SCAN_RESYNC, 300, 1, orphaned(scan_fd(310, 100, 5, 1)));
	EXPECT(r, "delete d1 tap0@2#3 seed");
	assert_false(bindings_doubtful(r->b));
}

/* registered, and told of, but its file does not refer to it yet: a scan that comes in between takes nothing away */
static void test_resync_in_between(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");

	APPLY(r, fd_install(100, 100, 5, 1), dev_new_by(110, 100, 1, d));
	FORGET(r);
	SCAN(r, SCAN_RESYNC, 120, 0, scan_dev(121, d), unbound(scan_fd(125, 100, 5, 1)));
	EXPECT_NOTHING(r);
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_BOUND);
}

/* The same at the start: the file was met in between, the device not at all; what waits in the ring tells of both. */
static void test_seed_in_between(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");

	SCAN(r, SCAN_SEED, 90, 1, unbound(scan_fd(120, 100, 5, 1)));
	FORGET(r);
	APPLY(r, dev_new_by(110, 100, 1, d), file_release(130, 100, 1), in_close(1, by(100, dev(131, TW_DEV_GONE, d))));
	EXPECT(r, "attach d1 f1 fd=5 pid=100 tap0@1#3 created", "drop d1 f1 fd=5 pid=100 tap0@1#3",
	       "release d1 f1 pid=100 tap0@1#3", "delete d1 pid=100 tap0@1#3 how=last-close");
}

/* a message of another kind is of a device that was at the place before */
static void test_other_kind(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0"), old = tap(0, 1, 3, "tun0");

	old.kind = TW_KIND_TUN;
	SCAN(r, SCAN_SEED, 90, 1, bound(d, scan_fd(100, 100, 5, 1)));
	FORGET(r);
	APPLY(r, dev(110, TW_DEV_STATE, old), dev(111, TW_DEV_GONE, old));
	EXPECT_NOTHING(r);
	assert_non_null(bindings_device(r->b, 1, 3));
	APPLY(r, dev(120, TW_DEV_GONE, d));
	EXPECT(r, "delete d1 tap0@1#3");
}

/* another device, by its generation, at the place of a known one */
static void test_resync_other_at_place(void **state)
{
	struct recorder *r = *state;

	SCAN(r, SCAN_SEED, 90, 1, bound(tap(9, 1, 3, "tap0"), scan_fd(100, 100, 5, 1)));
	FORGET(r);
	SCAN(r, SCAN_RESYNC, 200, 2, bound(tap(10, 1, 3, "tap0"), scan_fd(210, 100, 5, 1)));
	EXPECT(r, "delete d1 tap0@1#3 seed", "attach d2 f1 fd=5 tap0@1#3 seed");
}

static void test_resync_vhost_only(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 1, 3, "tap0");

	seed_one(r);
	APPLY(r, vhost(110, 100, 0xbeef, 0, 1), fd_close(111, 100, 5, 1));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_FDS | SCAN_DEVICES, 200);
	APPLY(r, scan_dev(210, d));
	assert_int_equal(bindings_scan_end(r->b), 0);
	EXPECT_NOTHING(r);
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_BOUND);
	APPLY(r, with(TW_F_VHOST_GONE, vhost(211, 100, 0xbeef, 0, 0)));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_FDS, 300);
	assert_int_equal(bindings_scan_end(r->b), 1);
	EXPECT(r, "release d1 f1 tap0@1#3 seed");
}

/* A live death told while the scan is on: what was read before it raises nothing. */
static void test_death_during_scan(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0");

	SCAN(r, SCAN_SEED, 90, 1, bound(d, scan_fd(100, 100, 5, 1)));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_ALL, 200);
	APPLY(r, fd_close(211, 100, 5, 1), file_release(212, 100, 1), in_close(1, by(100, dev(213, TW_DEV_GONE, d))));
	FORGET(r);
	APPLY(r, bound(d, scan_fd(210, 100, 5, 1)), scan_dev(210, tap(0, 1, 3, "tap0")), scan_file(210, 1));
	bindings_scan_netns(r->b, 1);
	assert_int_equal(bindings_scan_end(r->b), 0);
	EXPECT_NOTHING(r);
	assert_null(bindings_device(r->b, 1, 3));
}

/* And a live change: the scan's older word does not undo it, nor its silence. */
static void test_change_during_scan(void **state)
{
	struct recorder *r = *state;
	struct tw_dev d = tap(9, 1, 3, "tap0"), n = tap(9, 1, 3, "new");

	SCAN(r, SCAN_SEED, 90, 1, bound(d, scan_fd(100, 100, 5, 1)), scan_dev(100, tap(0, 1, 3, "tap0")));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_ALL, 200);
	APPLY(r, by(300, queues(dev(211, TW_DEV_STATE, n), 1)), file_open(212, 100, 2), fd_install(213, 100, 6, 2),
	      dev_new_by(214, 100, 2, tap(10, 1, 4, "tap1")), fd_install(215, 100, 7, 1), fd_close(216, 100, 5, 1));
	FORGET(r);
	APPLY(r, bound(d, scan_fd(210, 100, 5, 1)), unbound(scan_fd(213, 100, 6, 2)));
	bindings_scan_netns(r->b, 1);
	assert_int_equal(bindings_scan_end(r->b), 0);
	EXPECT_NOTHING(r);
	assert_string_equal(bindings_device(r->b, 1, 3)->d.ifname, "new");
	assert_int_equal(bindings_file(r->b, 2)->state, FILE_BOUND);
}

/* An fd on its way through a socket is met by no scan; later it is installed. */
static void test_in_flight(void **state)
{
	struct recorder *r = *state;

	seed_one(r);
	APPLY(r, fd_close(110, 100, 5, 1));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_FDS, 200);
	assert_int_equal(bindings_scan_end(r->b), 1);
	EXPECT(r, "release d1 f1 tap0@1#3 seed");
	APPLY(r, fd_install(250, 200, 5, 1), by(200, queues(dev(251, TW_DEV_STATE, tap(9, 1, 3, "tap0")), 1)));
	EXPECT(r, "open f2 fd=5 pid=200", "attach d1 f2 fd=5 tap0@1#3 seed");
}

static void test_move_told_by_scan(void **state)
{
	struct recorder *r = *state;
	struct tw_dev to = tap(0, 2, 8, "fooz");

	seed_one(r);
	/* the scan brings the name */
	APPLY(r, dev_move(150, tap(0, 1, 3, "tap0"), 2, 8));
	SCAN(r, SCAN_RESYNC, 200, 1, bound(to, scan_fd(210, 100, 5, 1)));
	EXPECT(r, "move d1 fooz@2#8 old.netns=1 old.ifindex=3 old.ifname=tap0 seed");
	/* the scan does not meet it, its end tells the move */
	APPLY(r, dev_move(250, to, 3, 8));
	SCAN(r, SCAN_RESYNC, 300, 0, scan_fd(310, 100, 5, 1));
	EXPECT(r, "move d1 fooz@3#8 old.netns=2");
	/* a place nobody knew, told by the file */
	APPLY(r, dev_move(350, tap(0, 3, 8, "fooz"), 0, 8));
	SCAN(r, SCAN_RESYNC, 400, 1, bound(tap(0, 7, 8, "fooz"), scan_fd(410, 100, 5, 1)));
	EXPECT(r, "move d1 fooz@7#8 old.netns=3 seed");
}

/* A back-end knows the name of a device and not where it is; a better one finds it later. */
static void test_name_only(void **state)
{
	struct tw_event named = with(TW_F_NAME_ONLY, scan_fd(100, 100, 5, 1));
	struct recorder *r = *state;
	struct tw_dev d = tap(0, 2, 9, "tap0");

	fact_name(named.dev.ifname, "tap0");
	SCAN(r, SCAN_SEED, 90, 1, named);
	EXPECT(r, "exist f1 fd=5 pid=100 bound seed");
	assert_string_equal(bindings_file(r->b, 1)->name_only, "tap0");
	assert_null(bindings_file(r->b, 1)->dev);
	SCAN(r, SCAN_SEED, 190, 0, bound(d, scan_fd(200, 100, 5, 1)));
	assert_string_equal(bindings_file(r->b, 1)->name_only, "");
	assert_string_equal(bindings_file(r->b, 1)->dev->d.ifname, "tap0");
	/* what is known is not forgotten for a name */
	named.time_ns = 300;
	SCAN(r, SCAN_SEED, 290, 0, named);
	assert_string_equal(bindings_file(r->b, 1)->name_only, "");
	assert_int_equal(bindings_file(r->b, 1)->dev->d.netns, 2);
}

static void test_name_only_ends(void **state)
{
	struct tw_event named = with(TW_F_NAME_ONLY | TW_F_DETACHED, scan_fd(100, 100, 5, 1));
	struct recorder *r = *state;

	fact_name(named.dev.ifname, "tap0");
	SCAN(r, SCAN_SEED, 90, 1, named);
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_DISABLED);
	SCAN(r, SCAN_SEED, 190, 0, unbound(scan_fd(200, 100, 5, 1)));
	assert_int_equal(bindings_file(r->b, 1)->state, FILE_ORPHANED);
	assert_string_equal(bindings_file(r->b, 1)->name_only, "");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, recorder_setup, recorder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_seed), TEST(test_seed_empty), TEST(test_seed_then_ring), TEST(test_seed_between),
		TEST(test_install_behind_the_scan), TEST(test_dead_before_seed_ended), TEST(test_adoption),
		TEST(test_adoption_by_a_dead_one), TEST(test_stale_ends), TEST(test_resync_nothing),
		TEST(test_resync_all_gone), TEST(test_resync_missing_hold), TEST(test_resync_new),
		TEST(test_resync_changed), TEST(test_review), TEST(test_review_meets_new), TEST(test_serials), TEST(test_resync_queues), TEST(test_resync_replaced),
		TEST(test_resync_unbound), TEST(test_resync_unbound_late),
		TEST(test_resync_in_between), TEST(test_seed_in_between), TEST(test_other_kind),
		TEST(test_resync_other_at_place), TEST(test_resync_vhost_only), TEST(test_death_during_scan),
		TEST(test_change_during_scan), TEST(test_in_flight), TEST(test_move_told_by_scan),
		TEST(test_name_only),
		TEST(test_name_only_ends),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
