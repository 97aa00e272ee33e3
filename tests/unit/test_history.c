// SPDX-License-Identifier: GPL-2.0-only
/* The history's store: what goes in comes out, the chain notices what was changed, retention, restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../user/history.h"
#include "../../user/out.h"
#include "facts.h"

#define SECOND 1000000000ULL
#define BOOT "11111111-2222-3333-4444-555555555555"
#define EPOCH (1700000000 * SECOND)	/* CLOCK_REALTIME when the boot was */

/* A recorder of a test: machine, store, and the lines that watch --json would have printed. */
struct box {
	char dir[64], path[160];
	struct history *h;
	struct bindings *b;
	struct history_options options;
	struct process_info info;
	struct vm machine;
	char exe[64], cmdline[64];
	const char *netns_name, *vm, *boot;
	uint64_t epoch;
	char **lines;
	size_t n;
};

static char *json_of(const struct event *event)
{
	struct json_object *object = event_json(event);
	char *line = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));

	json_object_put(object);
	return line;
}

static void put(struct box *box, struct event *event)
{
	history_put(box->h, event);
	event->seq = history_last(box->h);
	/* room is doubled at powers of two */
	if (!(box->n & (box->n - 1)))
		box->lines = realloc(box->lines, (box->n ? 2 * box->n : 1) * sizeof(*box->lines));
	box->lines[box->n++] = json_of(event);
}

static void on_change(void *ctx, const struct change *c)
{
	struct box *box = ctx;
	struct event event = {
		.change = c, .realtime_ns = c->time_ns + box->epoch, .boot_id = box->boot,
		.source = c->has & CH_SEED ? "seed" : "fentry", .netns_name = box->netns_name,
		.socket_netns_name = "opened", .vm_name = box->vm,
	};

	if (c->task) {
		snprintf(box->exe, sizeof(box->exe), "/usr/bin/prog%u", c->task->pid);
		box->info = (struct process_info){ .exe = box->exe, .cgroup = "/a/b", .user = "root" };
		snprintf(box->cmdline, sizeof(box->cmdline), "pr\\g%c-x\n %c%u", 0, 0, c->task->pid);
		box->info.cmdline = box->cmdline;
		box->info.cmdline_len = 14;
		if (box->vm) {
			box->machine = (struct vm){ .role = ROLE_VM, .type = "qemu", .name = (char *)box->vm };
			box->info.vm = &box->machine;
			event.vm_type = "qemu";
			event.vm_manager = "libvirt";
		}
		event.process = &box->info;
		event.process_netns_name = "theirs";
	}
	if (c->has & CH_OLD_NETNS)
		event.old_netns_name = "before";
	put(box, &event);
}

static void open_history(struct box *box)
{
	char err[512];

	if (history_open(&box->h, &box->options, err, sizeof(err)))
		fail_msg("%s", err);
}

static int setup(void **state)
{
	struct box *box = calloc(1, sizeof(*box));

	snprintf(box->dir, sizeof(box->dir), "/tmp/tapwatch-unit.XXXXXX");
	assert_non_null(mkdtemp(box->dir));
	snprintf(box->path, sizeof(box->path), "%s/history.db", box->dir);
	box->options = (struct history_options){ .path = box->path };
	box->boot = BOOT;
	box->epoch = EPOCH;
	box->b = bindings_new(on_change, box);
	open_history(box);
	*state = box;
	return 0;
}

static void forget_lines(struct box *box)
{
	for (size_t i = 0; i < box->n; i++)
		free(box->lines[i]);
	free(box->lines);
	box->lines = NULL;
	box->n = 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "", "-wal", "-shm", "-lock", "-journal" };
	struct box *box = *state;
	char path[200];

	history_close(box->h);
	bindings_free(box->b);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", box->path, names[i]);
		unlink(path);
	}
	rmdir(box->dir);
	forget_lines(box);
	free(box);
	return 0;
}

static struct history_reader *reader(struct box *box)
{
	struct history_reader *r;
	char err[512];

	if (history_reader_open(&r, box->path, err, sizeof(err)))
		fail_msg("%s", err);
	return r;
}

/* The only number that a query gives. */
static int64_t number(const struct box *box, const char *text)
{
	sqlite3_stmt *stmt;
	sqlite3 *db;
	int64_t n;

	assert_int_equal(sqlite3_open(box->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return n;
}

static void sql(struct box *box, const char *text)
{
	char *message = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(box->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", text, message);
	sqlite3_close(db);
}

static struct history_verdict verify(struct box *box, const uint8_t *anchor)
{
	struct history_reader *r = reader(box);
	struct history_verdict verdict;

	assert_int_equal(history_verify(r, anchor, &verdict), 0);
	history_reader_close(r);
	return verdict;
}

static void expect_ok(struct box *box)
{
	struct history_verdict verdict = verify(box, NULL);

	if (!verdict.ok)
		fail_msg("event %llu: %s", (unsigned long long)verdict.bad_seq, verdict.reason);
	assert_int_equal(verdict.last, history_last(box->h));
}

/* --- what happens in them --- */

#define APPLY(box, ...) apply(box, (struct tw_event[]){ __VA_ARGS__ }, \
			      sizeof((struct tw_event[]){ __VA_ARGS__ }) / sizeof(struct tw_event))

static void apply(struct box *box, const struct tw_event *facts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bindings_apply(box->b, &facts[i]), 0);
}

static struct tw_event called(const char *comm, struct tw_event e)
{
	fact_name(e.task.comm, comm);
	return e;
}

/* A life with everything that an event can say. */
static void life(struct box *box, uint64_t t, uint64_t n)
{
	uint32_t pid = (uint32_t)(100 + n);
	struct tw_dev d = cookie(4097, tap(n, 20, (uint32_t)(7 + n), "tap0"));
	struct tw_dev renamed = d, moved;

	fact_name(renamed.ifname, "ta\nb\xff");
	moved = renamed;
	moved.netns = 30;
	moved.ifindex = (uint32_t)(100000 + n);
	APPLY(box, called("qe mu\xfe", addr(0xffff888100000000 + n, socket_in(40, file_open(t + 1, pid, n)))),
	      called("qe mu\xfe", fd_install(t + 2, pid, 5, n)), dev_new_by(t + 3, pid, n, d),
	      called("qe mu\xfe", asking("tap0", ioctl_end(t + 4, pid, n, TUNSETIFF, 0))),
	      dev(t + 5, TW_DEV_STATE, renamed), dev(t + 6, TW_DEV_MOVED, moved),
	      socket_in(20, file_open(t + 7, pid + 50, n + 1000)), fd_install(t + 8, pid + 50, 9, n + 1000),
	      with(TW_F_UNBOUND, asking("ta%d", ioctl_end(t + 9, pid + 50, n + 1000, TUNSETIFF, -EBUSY))),
	      fd_close(t + 10, pid + 50, 9, n + 1000), file_release(t + 11, pid + 50, n + 1000));
}

static void death(struct box *box, uint64_t t, uint64_t n)
{
	uint32_t pid = (uint32_t)(100 + n);
	struct tw_dev d = cookie(4097, tap(n, 30, (uint32_t)(100000 + n), "ta\nb\xff"));

	APPLY(box, fd_close(t + 12, pid, 5, n), dev(t + 13, TW_DEV_GONE, d), file_release(t + 14, pid, n));
}

static int compare(void *ctx, const struct event *event)
{
	struct box *box = ctx;
	char *line = json_of(event);

	assert_in_range(event->seq, 1, box->n);
	assert_string_equal(line, box->lines[event->seq - 1]);
	free(line);
	return 0;
}

static int count(void *ctx, const struct event *event)
{
	(void)event;
	++*(size_t *)ctx;
	return 0;
}

static void put_special(struct box *box)
{
	struct hook_state hooks[] = { { "tun_open", "on" }, { "tap_open", "the module is not loaded" } };
	struct ready_info ready = { .backend = "fentry", .seed = "iter", .n_hooks = 2, .hooks = hooks };
	struct gap_info gap = { .reason = "write-failed", .from_realtime_ns = EPOCH, .from_boottime_ns = 5, .from_boot_id = BOOT };
	const struct event_earlier earlier[] = {
		{ .seq = 3, .time_ns = 9, .event = EV_HOLD, .how = HOW_SCM_RIGHTS, .fd = -1, .pid = 77, .comm = "virt\xff-x" },
		{ .event = EV_OPEN, .fd = 0 },
	};
	struct change change = { .event = EV_READY, .fd = -1, .time_ns = 50 };
	struct event event = { .change = &change, .boot_id = BOOT, .source = "fentry", .realtime_ns = EPOCH + 50, .ready = &ready };

	put(box, &event);
	event.ready = NULL;
	event.gap = &gap;
	change = (struct change){ .event = EV_GAP, .has = CH_COUNT | CH_ERRNO, .error = ENOSPC, .count = 7, .fd = -1, .time_ns = 60 };
	put(box, &event);
	event.gap = NULL;
	change = (struct change){ .event = EV_LOST, .has = CH_COUNT, .count = 70000000000, .fd = -1 };
	put(box, &event);
	change.event = EV_VM_START;
	event.vm_type = "qemu";
	event.vm_name = "web\x01";
	event.vm_uuid = "u-u";
	event.earlier = earlier;
	event.n_earlier = 2;
	change.has = 0;
	put(box, &event);
	event.n_earlier = 0;
	change = (struct change){ .event = EV_FIRST_PACKET, .fd = -1, .time_ns = 65, .after_ns = 61, .how = HOW_IN };
	put(box, &event);
	event.boot_id = NULL;
	event.source = NULL;
	put(box, &event);
}

static void put_failed(struct box *box)
{
	struct hold holds[2] = {
		{ .fd = 9, .task = { .pid = 4000, .uid = 5, .start_ns = 77, .comm = "k\nvm" } },
		{ .fd = -1, .task = { .pid = 4001, .uid = UINT32_MAX } },
	};
	const struct hold *held_by[] = { &holds[0], &holds[1] };
	struct change change = {
		.event = EV_ATTACH_FAILED, .has = CH_ERRNO | CH_REQUESTED, .error = EBUSY, .requested = "wanted",
		.held_by = held_by, .held_by_len = 2, .fd = -1, .time_ns = 70,
	};
	struct event event = { .change = &change, .boot_id = BOOT, .source = "kprobe", .realtime_ns = EPOCH + 70 };

	put(box, &event);
}

/* --- tests --- */

static void test_round_trip(void **state)
{
	struct box *box = *state;
	struct history_query query = { 0 };
	struct history_reader *r;
	size_t n = 0;

	life(box, 0, 1);
	box->netns_name = "fooz";
	box->vm = "web01";
	life(box, 100, 2);
	death(box, 100, 2);
	put_special(box);
	put_failed(box);
	assert_true(box->n > 20);
	assert_int_equal(history_durable(box->h), 0);
	assert_int_equal(history_commit(box->h), 0);
	assert_int_equal(history_durable(box->h), box->n);
	r = reader(box);
	assert_int_equal(history_each(r, &query, compare, box), 0);
	assert_int_equal(history_each(r, &query, count, &n), 0);
	assert_int_equal(n, box->n);
	query.reverse = true;
	query.first = 3;
	query.last = 5;
	n = 0;
	assert_int_equal(history_each(r, &query, count, &n), 0);
	assert_int_equal(n, 3);
	history_reader_close(r);
	/* the writer's own reader sees what is not committed yet */
	life(box, 200, 3);
	query = (struct history_query){ 0 };
	assert_int_equal(history_each(history_own_reader(box->h), &query, compare, box), 0);
	history_commit(box->h);
	expect_ok(box);
}

/* Of each byte, at each place of a word of eight: kept as text where it is such, and read again as it was. */
static void test_cmdline_bytes(void **state)
{
	static const uint8_t bytes[] = { 0x01, '\n', 0x1f, ' ', '!', '\\', '~', 0x7f, 0x80, 0xc3, 0xff };
	struct box *box = *state;
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		for (unsigned at = 0; at < 19; at++, n++) {
			struct tw_event e = by(1000 + n, file_open(n + 1, 1000 + n, n + 1));
			const char *text;
			struct change c = { .event = EV_OPEN, .has = CH_TASK, .task = &e.task, .fd = -1, .time_ns = n + 1 };
			struct process_info info = { .cmdline = box->cmdline, .cmdline_len = 20 };
			struct event event = { .change = &c, .boot_id = BOOT, .realtime_ns = EPOCH + n, .process = &info };
			struct event back;
			char sql[160];

			memset(box->cmdline, 'a', 20);
			box->cmdline[at] = (char)bytes[i];
			history_put(box->h, &event);
			assert_int_equal(history_commit(box->h), 0);
			assert_int_equal(history_event(history_own_reader(box->h), history_last(box->h), &back), 0);
			assert_int_equal(history_cmdline(history_own_reader(box->h), &text), 20);
			assert_memory_equal(text, box->cmdline, 20);
			snprintf(sql, sizeof(sql), "SELECT typeof(cmdline) = 'text' FROM process WHERE pid = %u", 1000 + n);
			assert_int_equal(number(box, sql), (bytes[i] >= ' ' && bytes[i] < 0x7f) || bytes[i] == '\n');
		}
	}
}

static void test_cmdline(void **state)
{
	struct box *box = *state;
	struct history_reader *r;
	struct event event;
	const char *text;

	life(box, 0, 1);
	history_commit(box->h);
	r = reader(box);
	assert_int_equal(history_event(r, 1, &event), 0);
	assert_int_equal(history_cmdline(r, &text), 13);
	assert_memory_equal(text, "pr\\g\0-x\n \0" "101", 13);
	assert_int_equal(history_event(r, 1000, &event), -ENOENT);
	history_reader_close(r);
}

static int note_seq(void *ctx, const struct event *event)
{
	uint64_t **at = ctx;

	*(*at)++ = event->seq;
	return 0;
}

static void test_by_name(void **state)
{
	struct box *box = *state;
	const char *tap0 = "tap0", *both[] = { "wan*", "nothing" }, *weird = "ta\nb\xff", *all = "t*";
	struct history_query query = { .ifnames = &tap0, .n_ifnames = 1, .no_run_events = true };
	struct history_reader *r;
	uint64_t seqs[100], *at = seqs;
	size_t n = 0, m = 0;

	put_special(box);
	life(box, 100, 1);
	put_failed(box);
	history_commit(box->h);
	r = reader(box);
	assert_int_equal(history_each(r, &query, note_seq, &at), 0);
	/* attach, rename, move, of the device that had this name; but not attach-failed of "ta%d" */
	assert_int_equal(at - seqs, 3);
	assert_int_equal(seqs[0], 7 + 1);
	query.reverse = true;
	at = seqs;
	assert_int_equal(history_each(r, &query, note_seq, &at), 0);
	assert_int_equal(seqs[2], 7 + 1);
	query.no_run_events = false;
	assert_int_equal(history_each(r, &query, count, &n), 0);
	/* ready, gap, lost, vm-start that tells earlier ones, first-packet twice; attach-failed that tells holders */
	assert_int_equal(n, 3 + 7);
	query = (struct history_query){ .ifnames = both, .n_ifnames = 2, .no_run_events = true };
	at = seqs;
	assert_int_equal(history_each(r, &query, note_seq, &at), 0);
	assert_int_equal(at - seqs, 1);
	assert_int_equal(seqs[0], box->n);
	query = (struct history_query){ .ifnames = &weird, .n_ifnames = 1, .no_run_events = true };
	assert_int_equal(history_each(r, &query, count, &m), 0);
	assert_int_equal(m, 3);
	m = 0;
	query.ifnames = &all;
	assert_int_equal(history_each(r, &query, count, &m), 0);
	assert_int_equal(m, 4);
	history_reader_close(r);
}

static int state_line(void *ctx, const struct event *event)
{
	char **text = ctx;
	const struct change *c = event->change;
	size_t len = strlen(*text);

	assert_int_equal(c->event, EV_EXIST);
	snprintf(*text + len, 500 - len, "pid %u fd %d f%d %s; ", c->task ? c->task->pid : 0, c->fd,
		 c->file ? (int)c->file->id : 0, c->dev ? c->dev->d.ifname : "-");
	return 0;
}

static void test_snapshot(void **state)
{
	struct box *box = *state;
	char text[500] = "", *to = text;
	struct history_reader *r;
	uint64_t from;

	life(box, 0, 1);
	history_commit(box->h);
	r = reader(box);
	assert_int_equal(history_snapshot(r, 3, &from, state_line, &to), 0);
	assert_string_equal(text, "");
	assert_int_equal(from, 1);
	history_write_snapshot(box->h, box->b);
	history_commit(box->h);
	life(box, 100, 2);
	history_commit(box->h);
	assert_int_equal(history_snapshot(r, box->n, &from, state_line, &to), 0);
	assert_string_equal(text, "pid 101 fd 5 f1 ta\nb\xff; ");
	assert_int_equal(from, box->n / 2 + 1);
	history_reader_close(r);
	expect_ok(box);
}

static void test_time(void **state)
{
	struct box *box = *state;
	struct history_reader *r;
	struct history_boot *boots;
	struct history_query until = { 0 };
	uint64_t first, last;
	size_t n, half;

	r = reader(box);
	assert_int_equal(history_range(r, 0, 0, &first, &last), -ENODATA);
	assert_int_equal(history_until(r, EPOCH, &until), -ENODATA);
	for (uint64_t i = 0; i < 100; i++) {
		life(box, i * 10 * SECOND, i + 1);
		death(box, i * 10 * SECOND, i + 1);
	}
	half = box->n;
	/* the clock is set back by a minute, then the machine restarts */
	box->epoch -= 60 * SECOND;
	life(box, 2000 * SECOND, 200);
	box->epoch = EPOCH + 5000 * SECOND;
	box->boot = "22222222-2222-3333-4444-555555555555";
	life(box, 10 * SECOND, 300);
	history_commit(box->h);

	assert_int_equal(history_range(r, 0, 0, &first, &last), 0);
	assert_int_equal(first, 1);
	assert_int_equal(last, box->n);
	assert_int_equal(history_range(r, EPOCH + 500 * SECOND, EPOCH + 510 * SECOND, &first, &last), 0);
	assert_in_range(first, half / 2 - half / 100, half / 2 + 1);
	assert_in_range(last, half * 51 / 100, half * 52 / 100 + 1);
	assert_int_equal(history_until(r, EPOCH + 500 * SECOND - 1, &until), 0);
	assert_int_equal(until.last, half / 2);
	/* within that life: after its first event */
	assert_int_equal(history_until(r, EPOCH + 500 * SECOND + 2, &until), 0);
	assert_int_equal(until.last, half / 2 + 1);
	assert_int_equal(history_until(r, EPOCH + 6000 * SECOND, &until), 0);
	assert_int_equal(until.last, box->n);
	assert_int_equal(history_until(r, EPOCH + 2000 * SECOND - 60 * SECOND + 2, &until), 0);
	assert_int_equal(until.last, half + 1);
	assert_int_equal(history_until(r, EPOCH - 9999 * SECOND, &until), -ENODATA);

	assert_int_equal(history_boots(r, &boots, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(boots[0].id, BOOT);
	assert_int_equal(boots[0].first, 1);
	assert_int_equal(boots[1].last, box->n);
	assert_int_equal(boots[1].first, boots[0].last + 1);
	assert_int_equal(boots[1].first_realtime_ns, EPOCH + 5010 * SECOND + 2);
	free(boots);
	history_reader_close(r);
}

static int list_seq(void *ctx, const struct event *event)
{
	char *text = ctx;

	sprintf(text + strlen(text), " %s%llu", event->change->event == EV_EXIST ? "exist" : "", (unsigned long long)event->seq);
	return 0;
}

static void expect_state_at(struct history_reader *r, uint64_t seconds, uint64_t last, const char *expected)
{
	char given[256] = "";
	uint64_t seq;

	assert_int_equal(history_state_at(r, EPOCH + seconds * SECOND, list_seq, given, &seq), 0);
	assert_string_equal(given, expected);
	assert_int_equal(seq, last);
}

/* What happened after a moment is no part of it, though it was told before something that happened earlier. */
static void test_told_late(void **state)
{
	struct history_query query = { .reverse = true };
	struct box *box = *state;
	struct history_reader *r;
	char given[64] = "";
	uint64_t seq;

	APPLY(box, fd_install(10 * SECOND, 101, 5, 1), fd_install(30 * SECOND, 102, 5, 2));
	history_write_snapshot(box->h, box->b);
	APPLY(box, fd_close(15 * SECOND, 101, 5, 1), fd_install(40 * SECOND, 103, 5, 3));
	history_commit(box->h);
	r = reader(box);
	assert_int_equal(history_state_at(r, EPOCH + 9 * SECOND, list_seq, NULL, &seq), -ENODATA);
	expect_state_at(r, 12, 1, " 1");
	expect_state_at(r, 20, 3, " 1 3");
	expect_state_at(r, 30, 3, " exist2 exist2 3");
	expect_state_at(r, 50, 4, " exist2 exist2 3 4");
	assert_int_equal(history_until(r, EPOCH + 20 * SECOND, &query), 0);
	assert_int_equal(history_each(r, &query, list_seq, given), 0);
	assert_string_equal(given, " 3 1");
	history_reader_close(r);
}

static int note_address(void *ctx, uint64_t file_id, uint64_t address)
{
	if (file_id == 3)
		*(uint64_t *)ctx = address;
	return 0;
}

/* A database of before has an index of names alone: found by that, too, and by the new one from the next recorder on. */
static void test_index_of_before(void **state)
{
	const char *const name = "ta\nb\xff";
	struct history_query query = { .ifnames = &name, .n_ifnames = 1, .no_run_events = true };
	struct box *box = *state;
	struct history_reader *r;
	size_t n = 0, again = 0;

	life(box, 0, 1);
	history_close(box->h);
	sql(box, "DROP INDEX name_stretch; CREATE INDEX name_ifname ON name (ifname, device, seq)");
	r = reader(box);
	assert_int_equal(history_each(r, &query, count, &n), 0);
	history_reader_close(r);
	assert_true(n > 1);
	open_history(box);
	assert_int_equal(number(box, "SELECT count(*) FROM sqlite_schema WHERE name = 'name_stretch'"), 1);
	assert_int_equal(number(box, "SELECT count(*) FROM sqlite_schema WHERE name = 'name_ifname'"), 0);
	r = reader(box);
	assert_int_equal(history_each(r, &query, count, &again), 0);
	history_reader_close(r);
	assert_int_equal(again, n);
	expect_ok(box);
}

static void test_restart(void **state)
{
	struct box *box = *state;
	struct history_query query = { 0 };
	struct history_reader *r;
	struct history_head head;
	uint64_t address = 0;

	life(box, 0, 1);
	history_close(box->h);
	open_history(box);
	assert_int_equal(history_last(box->h), box->n);
	life(box, 100, 2);
	history_write_snapshot(box->h, box->b);
	history_commit(box->h);
	r = reader(box);
	assert_int_equal(history_each(r, &query, compare, box), 0);
	assert_int_equal(history_head(r, &head), 0);
	assert_int_equal(head.seq, box->n);
	assert_false(head.stopped);
	assert_int_equal(head.device_id, 2);
	assert_int_equal(head.file_id, 4);
	assert_int_equal(head.pid, getpid());
	assert_string_equal(head.boot_id, BOOT);
	assert_int_equal(history_file_addresses(r, note_address, &address), 0);
	assert_true(address);
	assert_true(address == history_hash_address(r, 0xffff888100000002));
	assert_true(address != 0xffff888100000002);
	history_reader_close(r);
	expect_ok(box);
}

static void test_two_recorders(void **state)
{
	struct box *box = *state;
	struct history *second;
	char err[512], pid[32];

	snprintf(pid, sizeof(pid), "process %d", getpid());
	assert_int_equal(history_open(&second, &box->options, err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, pid));
}

/* Each row changed is noticed at the record it came with. */
static void test_tampering(void **state)
{
	static const struct { const char *change; uint64_t bad; } cases[] = {
		{ "UPDATE event SET fd = 6 WHERE seq = 2", 2 },
		{ "UPDATE event SET time_ns = time_ns + 1 WHERE seq = 4", 4 },
		{ "DELETE FROM event WHERE seq = 3", 3 },
		{ "UPDATE text SET value = '/usr/bin/evil' WHERE value = '/usr/bin/prog101'", 1 },
		{ "UPDATE process SET uid = 1000 WHERE pid = 151", 5 },
		{ "UPDATE state SET ifindex = 99 WHERE id = (SELECT min(id) FROM state)", 2 },
		{ "DELETE FROM name WHERE id = 2", 3 },
		{ "DELETE FROM process WHERE id = (SELECT max(id) FROM process)", 5 },
		{ "UPDATE entry SET fd = 77", 8 },
		{ "UPDATE clock SET offset_ns = offset_ns + 1", 1 },
		{ "UPDATE mark SET time_ns = 1 WHERE kind = 1", 8 },
		{ "DELETE FROM event WHERE seq = 8", 8 },
		{ "UPDATE event SET hash = zeroblob(8) WHERE seq = 5", 5 },
		{ "UPDATE head SET hash = zeroblob(32)", 8 },
		{ "INSERT INTO text VALUES ((SELECT max(id) + 1 FROM text), 'more')", 8 },
	};
	struct box *box = *state;
	char copy[160];

	life(box, 0, 1);
	history_write_snapshot(box->h, box->b);
	history_commit(box->h);
	assert_int_equal(box->n, 8);
	expect_ok(box);
	history_close(box->h);
	box->h = NULL;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct history_verdict verdict;

		/* each on a copy of its own, made by SQLite */
		snprintf(copy, sizeof(copy), "VACUUM INTO '%s/copy'", box->dir);
		sql(box, copy);
		snprintf(copy, sizeof(copy), "%s/copy", box->dir);
		{
			struct box other = *box;

			snprintf(other.path, sizeof(other.path), "%s", copy);
			sql(&other, cases[i].change);
			verdict = verify(&other, NULL);
		}
		unlink(copy);
		if (verdict.ok || verdict.bad_seq != cases[i].bad)
			fail_msg("%s: %s, event %llu: %s", cases[i].change, verdict.ok ? "ok" : "noticed",
				 (unsigned long long)verdict.bad_seq, verdict.reason);
	}
}

static void test_anchor(void **state)
{
	struct box *box = *state;
	struct history_verdict verdict;
	struct history_reader *r;
	struct history_head head;
	uint8_t other[HISTORY_HASH_LEN] = { 1 };

	life(box, 0, 1);
	history_commit(box->h);
	r = reader(box);
	assert_int_equal(history_head(r, &head), 0);
	history_reader_close(r);
	life(box, 100, 2);
	history_commit(box->h);
	verdict = verify(box, head.hash);
	assert_true(verdict.ok && verdict.anchor_found);
	assert_int_equal(verdict.anchor_seq, box->n / 2);
	verdict = verify(box, other);
	assert_true(verdict.ok && !verdict.anchor_found);
}

/* Much comes, and a thread copies it from the log into the database: all is there, and the log begins anew. */
static void test_checkpoint_beside(void **state)
{
	struct box *box = *state;
	struct history_query query = { 0 };
	struct history_reader *r;
	char wal[200];
	struct stat st;
	size_t n = 0;

	history_close(box->h);
	box->options.max_bytes = 16 << 20;	/* a sixteenth of it is a long log */
	open_history(box);
	assert_int_equal(history_checkpoint_beside(box->h), 0);
	for (uint64_t i = 1; i < 4000; i++) {
		life(box, i * SECOND, i + 1);
		death(box, i * SECOND, i + 1);
		if (!(i % 50))
			history_commit(box->h);
	}
	history_commit(box->h);
	snprintf(wal, sizeof(wal), "%s-wal", box->path);
	assert_int_equal(stat(wal, &st), 0);
	assert_in_range(st.st_size, 1, 5 << 20);
	assert_int_equal(stat(box->path, &st), 0);
	assert_in_range(st.st_size, 3 << 20, 16 << 20);
	r = reader(box);
	assert_int_equal(history_each(r, &query, compare, box), 0);
	assert_int_equal(history_each(r, &query, count, &n), 0);
	assert_int_equal(n, box->n);
	history_reader_close(r);
	expect_ok(box);
}

/* Much comes, old segments go, and what is kept is whole: events, snapshots, chain; also after a restart. */
static void test_retention(void **state)
{
	struct box *box = *state;
	struct history_query query = { 0 };
	struct history_reader *r;
	struct history_verdict verdict;
	uint64_t first, last, from;
	char text[500] = "", *to = text;
	struct stat st;
	size_t n = 0;

	history_close(box->h);
	box->options.max_bytes = 4 << 20;
	open_history(box);
	life(box, 0, 1);
	for (uint64_t i = 1; i < 4000; i++) {
		life(box, i * SECOND, i + 1);
		death(box, i * SECOND, i + 1);
		if (!(i % 100))
			history_work(box->h, box->b);
	}
	history_commit(box->h);
	for (int i = 0; i < 100; i++)
		history_work(box->h, box->b);
	history_commit(box->h);
	assert_int_equal(stat(box->path, &st), 0);
	assert_in_range(st.st_size, 1 << 20, 4 << 20);
	r = reader(box);
	assert_int_equal(history_bounds(r, &first, &last), 0);
	assert_true(first > 3000);
	assert_int_equal(last, box->n);
	assert_int_equal(history_each(r, &query, compare, box), 0);
	assert_int_equal(history_each(r, &query, count, &n), 0);
	assert_int_equal(n, last - first + 1);
	/* the oldest state that can be told: the first holder, recorded long ago, is in it */
	assert_int_equal(history_snapshot(r, first, &from, state_line, &to), 0);
	assert_string_equal(text, "pid 101 fd 5 f1 ta\nb\xff; ");
	assert_int_equal(from, first);
	history_reader_close(r);
	expect_ok(box);
	verdict = verify(box, NULL);
	assert_int_equal(verdict.pruned_before, first);
	history_close(box->h);
	open_history(box);
	life(box, 10000 * SECOND, 10000);
	history_commit(box->h);
	expect_ok(box);
	sql(box, "UPDATE mark SET base = zeroblob(32) WHERE kind = 2");
	assert_false(verify(box, NULL).ok);
}

static void test_retention_by_age(void **state)
{
	struct box *box = *state;
	struct history_reader *r;
	uint64_t first, last;

	history_close(box->h);
	box->options.keep_ns = 86400 * SECOND;
	open_history(box);
	/* hours of 2023, until now */
	for (uint64_t i = 0; i < 100; i++) {
		life(box, i * 3600 * SECOND, i + 1);
		history_work(box->h, box->b);
	}
	for (int i = 0; i < 20; i++)
		history_work(box->h, box->b);
	history_commit(box->h);
	r = reader(box);
	assert_int_equal(history_bounds(r, &first, &last), 0);
	assert_true(first > box->n - 40);
	history_reader_close(r);
	expect_ok(box);
}

/* What must not be opened is not, and stays as it is. */
static void expect_refusal(struct box *box, const char *why)
{
	char err[512] = "";
	struct history *h;

	if (!history_open(&h, &box->options, err, sizeof(err)))
		fail_msg("opened: %s", why);
	if (!strstr(err, why))
		fail_msg("expected '%s', got '%s'", why, err);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static void test_refusals(void **state)
{
	struct box *box = *state;
	char other[128], wal[200], text[64] = "";
	int fd;

	history_close(box->h);
	box->h = NULL;
	snprintf(other, sizeof(other), "%s/other", box->dir);
	snprintf(wal, sizeof(wal), "%s-wal", box->path);

	write_file(box->path, "this is somebody's letter, long enough to be a file of any kind\n", 0600);
	unlink(wal);
	expect_refusal(box, "no history of tapwatch");
	fd = open(box->path, O_RDONLY);
	assert_int_equal(read(fd, text, 24), 24);
	close(fd);
	assert_string_equal(text, "this is somebody's lette");

	unlink(box->path);
	sql(box, "CREATE TABLE t (x)");
	chmod(box->path, 0600);
	expect_refusal(box, "no history of tapwatch");
	unlink(box->path);

	write_file(other, "", 0600);
	assert_int_equal(symlink(other, box->path), 0);
	expect_refusal(box, "symbolic link");
	unlink(box->path);

	assert_int_equal(link(other, box->path), 0);
	expect_refusal(box, "second name");
	unlink(box->path);

	write_file(box->path, "", 0622);
	expect_refusal(box, "written by others");
	unlink(box->path);

	assert_int_equal(symlink(other, wal), 0);
	expect_refusal(box, "-wal");
	unlink(wal);

	chmod(box->dir, 0777);
	expect_refusal(box, "directory can be written by others");
	chmod(box->dir, 0700);
	unlink(other);

	open_history(box);
	history_close(box->h);
	box->h = NULL;
	sql(box, "PRAGMA user_version = 99");
	expect_refusal(box, "newer tapwatch");
	unlink(box->path);
	box->options.group = "no-such-group-here";
	expect_refusal(box, "no such group");
}

static mode_t mode_of(const char *path, const char *suffix)
{
	char whole[200];
	struct stat st;

	snprintf(whole, sizeof(whole), "%s%s", path, suffix);
	assert_int_equal(stat(whole, &st), 0);
	return st.st_mode & 07777;
}

static void test_modes(void **state)
{
	struct box *box = *state;

	life(box, 0, 1);
	history_commit(box->h);
	assert_int_equal(mode_of(box->path, ""), 0600);
	assert_int_equal(mode_of(box->path, "-wal"), 0600);
	assert_int_equal(mode_of(box->path, "-shm"), 0600);
	assert_int_equal(mode_of(box->path, "-lock"), 0600);
	history_close(box->h);
	if (geteuid()) {
		box->h = NULL;
		return;
	}
	box->options.group = "daemon";
	open_history(box);
	life(box, 100, 2);
	history_commit(box->h);
	assert_int_equal(mode_of(box->path, ""), 0640);
	assert_int_equal(mode_of(box->path, "-wal"), 0640);
}

/* Damage that SQLite notices is told as such, and the file is left alone. */
static void test_damage(void **state)
{
	struct box *box = *state;
	struct history_reader *r;
	char err[512];
	int fd;

	life(box, 0, 1);
	history_close(box->h);
	box->h = NULL;
	fd = open(box->path, O_WRONLY);
	assert_int_equal(pwrite(fd, "garbage garbage garbage garbage", 31, 100), 31);
	close(fd);
	expect_refusal(box, "damaged");
	assert_true(history_reader_open(&r, box->path, err, sizeof(err)) < 0);
	unlink(box->path);
	assert_int_equal(history_reader_open(&r, box->path, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "tapwatch record"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cmdline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cmdline_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index_of_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_recorders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tampering, setup, teardown),
		cmocka_unit_test_setup_teardown(test_anchor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_checkpoint_beside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retention, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retention_by_age, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
