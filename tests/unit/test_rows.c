// SPDX-License-Identifier: GPL-2.0-only
/* rows.c: which rows a state gives, their members, filters, order, and what is looked up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../user/filter.h"
#include "../../user/labels.h"
#include "../../user/process.h"
#include "state.h"

#define INIT 4026531840u

/* Scans these facts and collects. */
static void given_facts(const struct tw_event *facts, size_t n)
{
	bindings_scan_begin(b, SCAN_SEED, SCAN_FDS | SCAN_FILES | SCAN_DEVICES, 1);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bindings_apply(b, &facts[i]), 0);
	assert_true(bindings_scan_end(b) >= 0);
	assert_int_equal(rows_collect(&rows, b), 0);
}
#define given(...) given_facts((struct tw_event[]){ __VA_ARGS__ }, \
			       sizeof((struct tw_event[]){ __VA_ARGS__ }) / sizeof(struct tw_event))

static struct tw_event bound(uint32_t pid, int fd, uint64_t file, struct tw_dev d)
{
	return on_dev(d, scan_fd(10, pid, fd, file));
}

/* "STATE pid/fd ifname@netns" of all rows, a blank after each. */
static const char *told(void)
{
	static char text[1024];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < rows.len; i++) {
		const struct row *r = &rows.row[i];
		const char *state = row_state_name(r->state);

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %u/%d %s@%u; ", state ? state : "?",
				      r->task.pid, r->fd, r->dev.ifname, r->dev.netns);
	}
	return text;
}

static void test_states(void **state)
{
	(void)state;
	given(bound(100, 3, 1, tap(1, 7, 2, "a")), with(TW_F_DETACHED, bound(100, 4, 2, tap(1, 7, 2, "a"))),
	      with(TW_F_UNBOUND, scan_fd(10, 100, 5, 3)), scan_dev(10, tap(0, 7, 9, "p")));
	rows_sort(&rows, INIT);
	assert_string_equal(told(), "bound 100/3 a@7; disabled 100/4 a@7; no-holder 0/-1 p@7; unbound 100/5 @0; ");
	assert_int_equal(rows.row[0].device_id, rows.row[1].device_id);
	assert_int_not_equal(rows.row[0].file_id, rows.row[1].file_id);
	assert_true(rows.row[0].has & TW_HAS_TASK);
	assert_false(rows.row[2].has & (TW_HAS_TASK | TW_HAS_FD | TW_HAS_FILE));
	assert_int_equal(rows.row[2].task.uid, UINT32_MAX);
	assert_int_equal(rows.row[3].device_id, 0);
	assert_false(rows.row[3].has & TW_HAS_DEV);
}

static void test_orphan(void **state)
{
	struct tw_event gone = dev(20, TW_DEV_GONE, tap(1, 7, 2, "a"));

	(void)state;
	bindings_scan_begin(b, SCAN_SEED, SCAN_FDS, 1);
	assert_int_equal(bindings_apply(b, (struct tw_event[]){ bound(100, 3, 1, tap(1, 7, 2, "a")) }), 0);
	bindings_scan_end(b);
	assert_int_equal(bindings_apply(b, &gone), 0);
	assert_int_equal(rows_collect(&rows, b), 0);
	assert_string_equal(told(), "orphaned 100/3 @0; ");
}

/* One file in two processes, by two fds in one: a row each. */
static void test_shared_file(void **state)
{
	(void)state;
	given(bound(100, 3, 1, tap(1, 7, 2, "a")), bound(100, 9, 1, tap(1, 7, 2, "a")),
	      bound(200, 3, 1, tap(1, 7, 2, "a")));
	rows_sort(&rows, INIT);
	assert_string_equal(told(), "bound 100/3 a@7; bound 100/9 a@7; bound 200/3 a@7; ");
	assert_int_equal(rows.row[0].file_id, rows.row[2].file_id);
}

/* vhost-net may keep a file when no fd is left: the device is held all the same. */
static void test_file_without_fd(void **state)
{
	(void)state;
	given(on_dev(tap(1, 7, 2, "a"), scan_file(10, 1)));
	assert_string_equal(told(), "bound 0/-1 a@7; ");
	assert_true(rows.row[0].has & TW_HAS_FILE);
}

/* Only the name is known of what the file is bound to: no device of that name is said to be without holder. */
static void test_name_only(void **state)
{
	struct tw_event e = with(TW_F_NAME_ONLY, scan_fd(10, 100, 3, 1));

	(void)state;
	memcpy(e.dev.ifname, "dup", 4);
	given(e, scan_dev(10, tap(0, 7, 2, "dup")), scan_dev(10, tap(0, 8, 2, "dup")), scan_dev(10, tap(0, 8, 3, "x")));
	rows_sort(&rows, INIT);
	assert_string_equal(told(), "? 0/-1 dup@7; ? 0/-1 dup@8; no-holder 0/-1 x@8; bound 100/3 dup@0; ");
	assert_int_equal(rows.row[3].device_id, 0);
}

/* ---- order ---- */

static struct row *plain(uint32_t netns, const char *name, const char *ifname, uint32_t pid, int fd)
{
	struct row *r = &rows.row[rows.len++];

	*r = (struct row){ .fd = fd, .task.pid = pid, .netns_name = name, .device_id = rows.len };
	r->dev.netns = netns;
	if (ifname) {
		r->has = TW_HAS_DEV;
		memcpy(r->dev.ifname, ifname, strlen(ifname));
	} else {
		r->device_id = 0;
	}
	return r;
}

static void test_order(void **state)
{
	(void)state;
	rows.row = calloc(16, sizeof(*rows.row));
	rows.room = 16;
	plain(0, NULL, NULL, 300, 4);
	plain(0, NULL, NULL, 30, 9);
	plain(0, NULL, "unplaced", 1, 1);
	plain(500, NULL, "tap0", 1, 3);
	plain(400, NULL, "tap0", 1, 4);
	plain(900, "blue10", "z", 1, 5);
	plain(950, "blue9", "z", 1, 6);
	plain(INIT, NULL, "tap10", 1, 7);
	plain(INIT, "host", "tap2", 100, 3);
	plain(INIT, NULL, "tap2", 20, 10);
	plain(INIT, NULL, "tap2", 20, 9);
	rows_sort(&rows, INIT);
	assert_string_equal(told(),
			    "bound 20/9 tap2@4026531840; bound 20/10 tap2@4026531840; bound 100/3 tap2@4026531840; "
			    "bound 1/7 tap10@4026531840; bound 1/6 z@950; bound 1/5 z@900; bound 1/4 tap0@400; "
			    "bound 1/3 tap0@500; bound 1/1 unplaced@0; bound 30/9 @0; bound 300/4 @0; ");
}

/* ---- filters ---- */

static bool match(void *ctx, const struct event *event)
{
	return filter_match(ctx, event);
}

static void filtered(enum filter_kind kind, const char *value)
{
	struct filter *f = filter_new();
	char err[256];

	assert_int_equal(filter_add(f, kind, value, err, sizeof(err)), 0);
	rows_filter(&rows, match, f);
	filter_free(f);
}

/* Each condition leaves the rows it is true of. */
static void test_filters(void **state)
{
	static const struct { enum filter_kind kind; const char *value, *left; } t[] = {
		{ FILTER_PID, "100", "bound 100/3 a@7; unbound 100/5 @0; " },
		{ FILTER_PID, "1", "" },
		{ FILTER_IFNAME, "p*", "no-holder 0/-1 p@7; " },
		{ FILTER_IFNAME, "*", "bound 100/3 a@7; bound 200/4 t@8; no-holder 0/-1 p@7; " },
		{ FILTER_KIND, "tun", "bound 200/4 t@8; " },
		{ FILTER_USER, "5", "bound 200/4 t@8; " },
		{ FILTER_COMM, "q?mu", "bound 200/4 t@8; " },
		{ FILTER_VM, "*", "" },
	};
	struct tw_dev tun = tap(2, 8, 2, "t");
	struct tw_event other;

	(void)state;
	tun.kind = TW_KIND_TUN;
	other = bound(200, 4, 2, tun);
	other.task.uid = 5;
	memcpy(other.task.comm, "qemu", 5);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		teardown(NULL);
		setup(NULL);
		given(bound(100, 3, 1, tap(1, 7, 2, "a")), other, scan_dev(10, tap(0, 7, 9, "p")),
		      with(TW_F_UNBOUND, scan_fd(10, 100, 5, 3)));
		filtered(t[i].kind, t[i].value);
		assert_string_equal(told(), t[i].left);
	}
}

/* What a filter or an output may ask of the event. */
static bool look_at(void *ctx, const struct event *event)
{
	const struct change *c = event->change;

	(void)ctx;
	assert_int_equal(c->event, EV_EXIST);
	assert_string_equal(event_state(event), "bound");
	assert_int_equal(c->task->pid, 100);
	assert_int_equal(c->fd, 3);
	assert_int_equal(c->dev->d.netns, 7);
	assert_int_equal(c->file->f.socket_netns, 6);
	return true;
}

static void test_event(void **state)
{
	(void)state;
	given(socket_in(6, bound(100, 3, 1, tap(1, 7, 2, "a"))));
	rows_filter(&rows, look_at, NULL);
	assert_int_equal(rows.len, 1);
}

/* ---- what is looked up ---- */

/* A namespace that is bind-mounted, as far as stat(2) can tell: any file. */
static char place[64];
static uint32_t place_inode;

static int each(unsigned sources, int (*fn)(void *ctx, const struct netns_ref *ref), void *ctx)
{
	struct netns_ref ref = { .inode = place_inode, .source = NETNS_MOUNTS, .path = place };

	return sources & NETNS_MOUNTS ? fn(ctx, &ref) : 0;
}

static void make_place(void)
{
	struct stat st;
	int fd;

	snprintf(place, sizeof(place), "/tmp/tapwatch-rows-XXXXXX");
	fd = mkstemp(place);
	assert_true(fd >= 0 && !fstat(fd, &st));
	close(fd);
	place_inode = (uint32_t)st.st_ino;
	if (place_inode != st.st_ino)
		skip();
}

static void test_enrich(void **state)
{
	struct labels *labels = labels_new(NETNS_CHEAP, &(struct labels_source){ each, "/nonexistent" });
	struct process_cache *processes = process_cache_new("/nonexistent");
	struct tw_event e;

	(void)state;
	make_place();
	e = socket_in(6, bound(100, 3, 1, tap(1, place_inode, 2, "a")));
	e.task.uid = 0;
	e.task.netns = place_inode;
	given(e, scan_dev(10, tap(0, 7, 9, "p")));
	assert_int_equal(rows_enrich(&rows, ROWS_USER | ROWS_NAME | ROWS_LABEL | ROWS_PROCESS | ROWS_START,
				     processes, labels), 0);
	rows_sort(&rows, INIT);
	assert_string_equal(rows.row[0].user, "root");
	assert_null(rows.row[0].exe);
	assert_string_equal(rows.row[0].netns_name, place);
	assert_string_equal(rows.row[0].netns_label, place);
	assert_string_equal(rows.row[0].process_netns_label, place);
	assert_null(rows.row[0].socket_netns_label);
	assert_true(rows.row[0].start_realtime_ns > 0);
	assert_null(rows.row[1].user);
	assert_null(rows.row[1].netns_name);
	assert_int_equal(rows.row[1].start_realtime_ns, 0);
	unlink(place);
	labels_free(labels);
	process_cache_free(processes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orphan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_without_fd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enrich, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
