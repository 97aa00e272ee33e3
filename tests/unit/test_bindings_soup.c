// SPDX-License-Identifier: GPL-2.0-only
/* bindings: thousands of facts in no sensible order. Nothing breaks, and the state stays sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <time.h>

#include "recorder.h"

#define STEPS 5000

/* xorshift64: the same soup on every machine */
static uint64_t seed;

static uint32_t pick(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 11) % n);
}

static struct tw_dev random_dev(void)
{
	static const char *const names[] = { "tap0", "tap1", "vnet0" };
	struct tw_dev d = tap(pick(3) ? pick(12) : 0, pick(4), pick(5), names[pick(3)]);

	d.netns_cookie = pick(3);
	d.tun_flags |= pick(2) ? IFF_PERSIST : 0;
	d.owner = (int32_t)pick(3) - 1;
	d.if_flags = pick(2);
	d.master_ifindex = pick(3);
	d.mac[5] = (uint8_t)pick(2);
	d.op = (uint8_t)pick(5);
	d.kind = (uint8_t)pick(TW_KIND_MAX);
	return d;
}

static struct tw_event random_fact(uint64_t now)
{
	static const uint32_t cmds[] = { TUNSETIFF, TUNSETQUEUE, TUNSETPERSIST, TUNSETOWNER };
	struct tw_event e = fact(now - pick(40), pick(TW_TASK_EXIT + 2));
	uint32_t i;

	e.has = TW_HAS_TASK | TW_HAS_FILE | TW_HAS_FD | TW_HAS_TABLE | DEV_ALL | TW_HAS_REQUESTED |
		TW_HAS_SOCKET_NETNS | (pick(2) ? TW_HAS_QUEUES : 0);
	e.has &= ~(pick(4) ? 0 : 1u << pick(12));
	e.flags = pick(3) ? 0 : 1u << pick(11);
	e.task.pid = 100 + pick(4);
	e.table = 100 + pick(4);
	e.fd = (int)pick(6);
	e.file.gen = pick(12);
	e.file.addr = 0xf0 + pick(8);
	e.file.socket_netns = pick(4);
	e.ctx_file = pick(12);
	e.dev = random_dev();
	e.dev.queues = pick(20);
	e.queue_base = pick(3) ? 0 : TW_QUEUES_PER_EVENT;
	for (i = 0; i < TW_QUEUES_PER_EVENT; i++)
		e.queues[i] = pick(12);
	switch (e.type) {
	case TW_VHOST:
		e.vhost.owner = pick(3);
		e.vhost.index = pick(3);
		break;
	case TW_DEV_MOVE:
		e.move.netns = pick(4);
		e.move.ifindex = pick(5);
		e.move.netns_cookie = pick(3);
		break;
	default:
		e.ioctl.cmd = cmds[pick(4)];
		e.ioctl.ret = pick(2) ? 0 : -EBUSY;
		strcpy(e.ioctl.requested, pick(2) ? "tap0" : "vnet0");
	}
	return e;
}

struct census {
	const struct bindings *b;
	const struct device *dev;	/* whose disabled files are counted */
	uint32_t disabled;
};

static int check_file(void *ctx, const struct file *f)
{
	struct census *c = ctx;
	bool bound = f->state == FILE_BOUND || f->state == FILE_DISABLED;

	assert_int_equal(bound, f->dev != NULL);
	assert_ptr_equal(bindings_file(c->b, f->gen), f);
	if (c->dev && f->dev == c->dev && f->state == FILE_DISABLED)
		c->disabled++;
	return 0;
}

static int check_device(void *ctx, const struct device *d)
{
	struct census c = *(struct census *)ctx;

	c.dev = d;
	c.disabled = 0;
	assert_int_equal(bindings_each_file(c.b, check_file, &c), 0);
	assert_int_equal(c.disabled, d->disabled);
	if (d->d.netns)
		assert_non_null(bindings_device(c.b, d->d.netns, d->d.ifindex));
	return 0;
}

static int check_hold(void *ctx, const struct hold *h)
{
	struct census *c = ctx;

	assert_ptr_equal(bindings_file(c->b, h->file->gen), h->file);
	return 0;
}

static void check(struct recorder *r)
{
	struct census c = { .b = r->b };

	bindings_each_file(r->b, check_file, &c);
	bindings_each_device(r->b, check_device, &c);
	bindings_each_hold(r->b, check_hold, &c);
}

/* Between begin and end of scans now and then, and outside of them. */
static void soup(struct recorder *r, uint64_t first)
{
	struct tw_event e;
	uint64_t now = 100;
	int i, ret;

	seed = first;
	for (i = 0; i < STEPS; i++) {
		now += pick(3);
		if (!pick(60))
			bindings_scan_begin(r->b, pick(2) ? SCAN_RESYNC : SCAN_SEED, pick(8), now - pick(20));
		if (!pick(20))
			assert_int_equal(bindings_scan_netns(r->b, pick(4)), 0);
		if (!pick(60))
			assert_true(bindings_scan_end(r->b) >= 0);
		e = random_fact(now);
		ret = bindings_apply(r->b, &e);
		assert_true(ret == 0 || ret == -EINVAL);
		if (!(i % 16))
			check(r);
		r->n = 0;
	}
	check(r);
}

static void test_soup(void **state)
{
	struct recorder *r;
	uint64_t first;

	(void)state;
	for (first = 1; first <= 20; first++) {
		r = recorder_new();
		soup(r, first * 0x9e3779b97f4a7c15ULL);
		bindings_free(r->b);
		free(r);
	}
}

/* 10,000 devices of two files each: every look-up is by hash, so this takes no time to speak of. */
static void test_many(void **state)
{
	const uint32_t n = 10000;
	struct recorder *r = *state;
	struct timespec from, to;
	uint32_t i;
	char name[TW_NAME_LEN];

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (i = 1; i <= n; i++) {
		snprintf(name, sizeof(name), "tap%u", i);
		APPLY(r, file_open(i, 100 + i % 50, i), fd_install(i, 100 + i % 50, (int)i, i),
		      dev_new_by(i, 100 + i % 50, i, tap(i, 1 + i % 7, i, name)));
		APPLY(r, file_open(i, 100, n + i), fd_install(i, 100, (int)(n + i), n + i),
		      queues(dev(i, TW_DEV_STATE, tap(i, 1 + i % 7, i, name)), i, n + i));
		FORGET(r);
	}
	for (i = 1; i <= n; i++) {
		assert_int_equal(bindings_device(r->b, 1 + i % 7, i)->id, i);
		APPLY(r, fd_close(n + i, 100, (int)(n + i), n + i), file_release(n + i, 100, n + i));
		FORGET(r);
	}
	APPLY(r, netns_exit(3 * n, 1, 0), table_exit(3 * n, 101));
	clock_gettime(CLOCK_MONOTONIC, &to);
	/* with chains to walk it would be minutes */
	assert_true(to.tv_sec - from.tv_sec < 10);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, recorder_setup, recorder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_soup), TEST(test_many) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
