// SPDX-License-Identifier: GPL-2.0-only
/* bindings: file tables and who uses them: shared, copied, left, walked, read again; and the story of each file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "recorder.h"

/* --- facts of this test --- */

static struct tw_event table_fact(uint64_t t, enum tw_type type, uint32_t pid, uint64_t table)
{
	struct tw_event e = by(pid, fact(t, type));

	e.has |= TW_HAS_TABLE;
	e.table = table;
	return e;
}

static struct tw_event in_table(uint64_t table, struct tw_event e)
{
	e.table = table;
	return e;
}

static struct tw_event join(uint64_t t, uint32_t pid, uint64_t table)
{
	return table_fact(t, TW_TABLE_JOIN, pid, table);
}

/* What it was not told to hold at t, it holds no longer. */
static struct tw_event walked(uint64_t t, uint32_t pid, uint64_t table, enum tw_how gone)
{
	return by_how(gone, table_fact(t, TW_TABLE_WALKED, pid, table));
}

static struct tw_event task_exit(uint64_t t, uint32_t pid, uint64_t table, uint32_t flags)
{
	return with(flags, table_fact(t, TW_TASK_EXIT, pid, table));
}

static struct tw_event named(const char *comm, struct tw_event e)
{
	fact_name(e.task.comm, comm);
	return e;
}

static struct tw_event got(enum tw_how how, uint64_t t, uint32_t pid, int fd, uint64_t file)
{
	return by_how(how, fd_install(t, pid, fd, file));
}

/* The one rescan that is due: pid, or -1 for none. */
static int64_t due(struct recorder *r, uint64_t now)
{
	struct rescan want;
	uint64_t next;

	return bindings_rescan_due(r->b, now, &want, &next) ? (int64_t)want.pid : -1;
}

/* File 1 of process 100 under fd 5, file 2 under fd 6; 101 shares its table. */
static void shared(struct recorder *r)
{
	APPLY(r, fd_install(1, 100, 5, 1), fd_install(2, 100, 6, 2), join(3, 101, 100));
	FORGET(r);
}

/* --- shared tables --- */

static void test_join(void **state)
{
	struct recorder *r = *state;

	APPLY(r, fd_install(1, 100, 5, 1), fd_install(2, 100, 6, 2), join(3, 101, 100));
	EXPECT(r, "open f1 fd=5 pid=100", "open f2 fd=6 pid=100", "hold f1 fd=5 pid=101 how=fork",
	       "hold f2 fd=6 pid=101 how=fork");
	APPLY(r, join(4, 101, 100));	/* told again */
	EXPECT_NOTHING(r);
	APPLY(r, join(5, 102, 999));	/* a table without any of our files */
	EXPECT_NOTHING(r);
	assert_true(bindings_table_shared(r->b, 100, 100));
	assert_false(bindings_table_shared(r->b, 999, 102));
}

static void test_actor_first(void **state)
{
	struct recorder *r = *state;

	shared(r);
	APPLY(r, in_table(100, got(TW_HOW_DUP, 4, 101, 7, 1)));
	EXPECT(r, "hold f1 fd=7 pid=101 how=dup", "hold f1 fd=7 pid=100 how=other");
	APPLY(r, in_table(100, fd_install(5, 101, 8, 3)));
	EXPECT(r, "open f3 fd=8 pid=101", "hold f3 fd=8 pid=100 how=other");
	APPLY(r, in_table(100, by_how(TW_HOW_CLOSE, fd_close(6, 101, 7, 1))));
	EXPECT(r, "drop f1 fd=7 pid=101 how=close", "drop f1 fd=7 pid=100 how=close");
	/* dup2 */
	APPLY(r, by_how(TW_HOW_DUP, fd_close(7, 100, 8, 3)), got(TW_HOW_DUP, 7, 100, 8, 1));
	EXPECT(r, "drop f3 fd=8 pid=100 how=dup", "drop f3 fd=8 pid=101 how=dup", "hold f1 fd=8 pid=100 how=dup",
	       "hold f1 fd=8 pid=101 how=other");
}

/* Whoever leaves takes nothing with him; the last one's end is that of the table. */
static void test_leave_shared(void **state)
{
	struct recorder *r = *state;

	shared(r);
	APPLY(r, task_exit(4, 100, 100, TW_F_LAST_THREAD));
	EXPECT(r, "drop f1 fd=5 pid=100 how=exit", "drop f2 fd=6 pid=100 how=exit");
	assert_int_equal(bindings_file(r->b, 1)->holders, 1);
	APPLY(r, task_exit(5, 101, 100, TW_F_LAST_THREAD));
	EXPECT_NOTHING(r);	/* it closes them now */
	APPLY(r, in_table(100, table_exit(6, 101)));
	EXPECT(r, "drop f1 fd=5 pid=101 how=exit", "drop f2 fd=6 pid=101 how=exit");
	APPLY(r, file_release(7, 101, 1), file_release(8, 101, 2));
	EXPECT(r, "release f1 pid=101", "release f2 pid=101");
}

/* unshare of one of two: with what it has now, the rest was closed on the way (close_range) */
static void test_unshare(void **state)
{
	struct recorder *r = *state;

	shared(r);
	APPLY(r, in_table(200, got(TW_HOW_OTHER, 4, 101, 5, 1)),
	      with(TW_F_ONLY_TABLE, walked(4, 101, 200, TW_HOW_CLOSE)));
	EXPECT(r, "drop f2 fd=6 pid=101 how=close");
	APPLY(r, in_table(200, by_how(TW_HOW_CLOSE, fd_close(5, 101, 5, 1))));
	EXPECT(r, "drop f1 fd=5 pid=101 how=close");
	APPLY(r, by_how(TW_HOW_CLOSE, fd_close(6, 100, 5, 1)));
	EXPECT(r, "drop f1 fd=5 pid=100 how=close");
}

/* --- threads with tables of their own --- */

static void test_two_tables(void **state)
{
	struct recorder *r = *state;

	/* the thread's table 200 begins as a copy */
	APPLY(r, fd_install(1, 100, 5, 1), in_table(200, got(TW_HOW_OTHER, 2, 100, 5, 1)),
	      walked(2, 100, 200, TW_HOW_CLOSE));
	EXPECT(r, "open f1 fd=5 pid=100");
	/* it is held until both have closed it */
	APPLY(r, by_how(TW_HOW_CLOSE, fd_close(3, 100, 5, 1)));
	EXPECT_NOTHING(r);
	/* two files under one number */
	APPLY(r, fd_install(4, 100, 5, 2));
	EXPECT(r, "open f2 fd=5 pid=100");
	assert_int_equal(bindings_file(r->b, 1)->holders, 1);
	APPLY(r, in_table(200, by_how(TW_HOW_CLOSE, fd_close(5, 100, 5, 1))));
	EXPECT(r, "drop f1 fd=5 pid=100 how=close");
}

static void test_thread_ends(void **state)
{
	struct recorder *r = *state;

	APPLY(r, fd_install(1, 100, 5, 1), in_table(200, fd_install(2, 100, 6, 2)));
	FORGET(r);
	/* nobody else can have its table: gone for certain */
	APPLY(r, task_exit(3, 100, 200, TW_F_GONE));
	EXPECT(r, "drop f2 fd=6 pid=100 how=exit");
	assert_int_equal(due(r, 1000000000), -1);
	/* somebody may: look, after a while */
	APPLY(r, in_table(201, fd_install(4, 100, 6, 3)), task_exit(5, 100, 201, 0));
	EXPECT(r, "open f3 fd=6 pid=100");
	assert_int_equal(due(r, 6), -1);
	assert_int_equal(due(r, 1000000000), 100);
}

static void rescan_of(struct recorder *r, uint64_t begin, uint32_t pid)
{
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_PROCESS, begin);
	bindings_scan_process(r->b, pid);
}

/* The leader had a table together with another process, and a thread lives on with its own. */
static void test_leader_ends(void **state)
{
	struct recorder *r = *state;

	shared(r);
	APPLY(r, in_table(200, fd_install(4, 101, 7, 3)), task_exit(5, 101, 100, 0));
	EXPECT(r, "open f3 fd=7 pid=101");
	assert_int_equal(due(r, 1000000000), 101);
	rescan_of(r, 1000000000, 101);
	APPLY(r, in_table(200, scan_fd(1000000001, 101, 7, 3)));
	assert_int_equal(bindings_scan_end(r->b), 2);
	EXPECT(r, "drop f1 fd=5 pid=101 how=exit seed", "drop f2 fd=6 pid=101 how=exit seed");
	assert_int_equal(bindings_file(r->b, 1)->holders, 1);
}

/* One of two threads with a table ends; the other leaves it later, which is another matter. */
static void test_thread_stays(void **state)
{
	struct recorder *r = *state;

	shared(r);
	APPLY(r, in_table(200, fd_install(4, 101, 7, 3)), task_exit(5, 101, 100, 0));
	FORGET(r);
	rescan_of(r, 1000000000, 101);
	APPLY(r, in_table(200, scan_fd(1000000001, 101, 7, 3)), in_table(100, scan_fd(1000000002, 101, 5, 1)),
	      in_table(100, scan_fd(1000000003, 101, 6, 2)));
	assert_int_equal(bindings_scan_end(r->b), 0);
	EXPECT_NOTHING(r);
	rescan_of(r, 2000000000, 101);
	APPLY(r, in_table(200, scan_fd(2000000001, 101, 7, 3)));
	assert_int_equal(bindings_scan_end(r->b), 2);
	EXPECT(r, "drop f1 fd=5 pid=101 seed", "drop f2 fd=6 pid=101 seed");
}

/* It ends before anybody looked who has the table, too. */
static void test_leave_to_unknown(void **state)
{
	struct recorder *r = *state;

	APPLY(r, with(TW_F_SHARED, fd_install(1, 100, 5, 1)));
	EXPECT(r, "open f1 fd=5 pid=100");
	APPLY(r, task_exit(2, 100, 100, TW_F_LAST_THREAD | TW_F_SHARED));
	EXPECT(r, "drop f1 fd=5 pid=100 how=exit");
	/* whoever it is, closes what he was not known to hold */
	APPLY(r, in_table(100, by_how(TW_HOW_CLOSE, fd_close(3, 101, 5, 1))));
	EXPECT_NOTHING(r);
	assert_int_equal(due(r, 4), 0);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_TABLES, 5);
	APPLY(r, in_table(100, scan_fd(6, 101, 6, 1)));
	assert_int_equal(bindings_scan_end(r->b), 1);
	EXPECT(r, "hold f1 fd=6 pid=101 seed");
}

/* The address is used again by a process that closes what it knows nothing of. */
static void test_stranger_closes(void **state)
{
	struct recorder *r = *state;

	APPLY(r, fd_install(1, 100, 5, 1), in_table(100, by_how(TW_HOW_CLOSE, fd_close(2, 300, 5, 1))));
	EXPECT(r, "open f1 fd=5 pid=100", "drop f1 fd=5 pid=100");
}

/* --- exec --- */

static void test_exec(void **state)
{
	struct recorder *r = *state;

	APPLY(r, named("before", fd_install(1, 100, 5, 1)), named("before", fd_install(2, 100, 6, 2)));
	FORGET(r);
	APPLY(r, named("after", got(TW_HOW_EXEC, 3, 100, 5, 1)),
	      with(TW_F_ONLY_TABLE, named("after", walked(3, 100, 100, TW_HOW_CLOEXEC))));
	EXPECT(r, "hold f1 fd=5 pid=100 old.comm=before how=exec", "drop f2 fd=6 pid=100 how=cloexec");
	/* once more: old is what was new */
	APPLY(r, named("last", got(TW_HOW_EXEC, 4, 100, 5, 1)),
	      with(TW_F_ONLY_TABLE, named("last", walked(4, 100, 100, TW_HOW_CLOEXEC))));
	EXPECT(r, "hold f1 fd=5 pid=100 old.comm=after how=exec");
}

/* What is not to survive an exec is closed some time before the exec is told: the file may go in between. */
static void test_released_in_exec(void **state)
{
	struct recorder *r = *state;
	struct tw_event closing = table_exit(3, 100);

	closing.how = TW_HOW_CLOEXEC;
	APPLY(r, fd_install(1, 100, 5, 1), fd_install(2, 100, 6, 2));
	FORGET(r);
	APPLY(r, closing);
	EXPECT_NOTHING(r);
	APPLY(r, file_release(4, 200, 2));
	EXPECT(r, "drop f2 fd=6 pid=100 how=cloexec", "release f2 pid=200");
	APPLY(r, got(TW_HOW_EXEC, 5, 100, 5, 1), with(TW_F_ONLY_TABLE, walked(5, 100, 100, TW_HOW_CLOEXEC)));
	FORGET(r);
	/* after it, nothing is known of how */
	APPLY(r, file_release(6, 200, 1));
	EXPECT(r, "drop f1 fd=5 pid=100", "release f1 pid=200");
}

/* The end of the exec is lost: what goes after a full look is not the exec's any more. */
static void test_exec_lost(void **state)
{
	struct recorder *r = *state;
	struct tw_event closing = table_exit(3, 100);

	closing.how = TW_HOW_CLOEXEC;
	APPLY(r, fd_install(1, 100, 5, 1), closing);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_FDS, 20);
	APPLY(r, scan_fd(21, 100, 5, 1));
	bindings_scan_end(r->b);
	FORGET(r);
	APPLY(r, file_release(30, 200, 1));
	EXPECT(r, "drop f1 fd=5 pid=100", "release f1 pid=200");
}

/* A table is read, and gone before that is applied; another lies at its address by then, with the same file. */
static void test_address_used_again_during_rescan(void **state)
{
	struct recorder *r = *state;
	struct tw_event other = in_table(100, fd_install(40, 200, 6, 2));

	APPLY(r, fd_install(1, 100, 5, 1), fd_install(2, 100, 6, 2), fd_install(3, 300, 5, 1));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_TABLES, 10);
	/* read at 20 */
	APPLY(r, table_exit(30, 100), in_table(100, fd_install(40, 200, 5, 1)), other);
	FORGET(r);
	APPLY(r, scan_fd(20, 100, 5, 1), scan_fd(20, 100, 6, 2), scan_fd(21, 300, 5, 1));
	bindings_scan_end(r->b);
	EXPECT_NOTHING(r);
}

static struct tw_event program(uint32_t exec_id, struct tw_event e)
{
	e.task.exec_id = exec_id;
	return e;
}

/* The exec itself was lost; a scan finds another program in the same process. */
static void test_exec_found(void **state)
{
	struct recorder *r = *state;

	APPLY(r, program(7, named("before", fd_install(1, 100, 5, 1))));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_FDS, 20);
	APPLY(r, program(8, named("after", scan_fd(21, 100, 5, 1))));
	bindings_scan_end(r->b);
	EXPECT(r, "hold f1 fd=5 pid=100 old.comm=before how=exec seed");
	/* a new name is no new program */
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_FDS, 30);
	APPLY(r, program(8, named("renamed", scan_fd(31, 100, 5, 1))));
	bindings_scan_end(r->b);
	EXPECT_NOTHING(r);
	/* read before an exec that was told meanwhile */
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_FDS, 40);
	APPLY(r, program(9, named("last", got(TW_HOW_EXEC, 42, 100, 5, 1))),
	      program(8, named("renamed", scan_fd(41, 100, 5, 1))));
	bindings_scan_end(r->b);
	EXPECT(r, "hold f1 fd=5 pid=100 old.comm=renamed how=exec");
}

/* A process that shares its table leaves it by the exec, with a copy. */
static void test_exec_leaves_shared(void **state)
{
	struct recorder *r = *state;

	shared(r);
	APPLY(r, in_table(200, got(TW_HOW_EXEC, 4, 101, 5, 1)),
	      with(TW_F_ONLY_TABLE, walked(4, 101, 200, TW_HOW_CLOEXEC)));
	EXPECT(r, "hold f1 fd=5 pid=101 old.comm= how=exec", "drop f2 fd=6 pid=101 how=cloexec");
	APPLY(r, by_how(TW_HOW_CLOSE, fd_close(5, 100, 5, 1)));
	EXPECT(r, "drop f1 fd=5 pid=100 how=close");	/* its own alone */
}

/* --- fork --- */

static void test_fork(void **state)
{
	struct recorder *r = *state;

	APPLY(r, fd_install(1, 100, 5, 1), fd_install(2, 100, 6, 2), got(TW_HOW_FORK, 3, 101, 5, 1),
	      got(TW_HOW_FORK, 3, 101, 6, 2));
	EXPECT(r, "open f1 fd=5 pid=100", "open f2 fd=6 pid=100", "hold f1 fd=5 pid=101 how=fork",
	       "hold f2 fd=6 pid=101 how=fork");
	APPLY(r, table_exit(4, 100));
	EXPECT(r, "drop f1 fd=5 pid=100 how=exit", "drop f2 fd=6 pid=100 how=exit");
	assert_int_equal(bindings_file(r->b, 1)->holders, 1);
}

/* --- rescans --- */

static void test_rescan_of_shared(void **state)
{
	struct recorder *r = *state;

	APPLY(r, with(TW_F_SHARED, fd_install(10, 100, 5, 1)));
	EXPECT(r, "open f1 fd=5 pid=100");
	assert_int_equal(due(r, 10), 0);
	assert_int_equal(due(r, 1000), -1);	/* once */
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_TABLES, 20);
	APPLY(r, scan_fd(21, 100, 5, 1), in_table(100, scan_fd(22, 101, 5, 1)));
	assert_int_equal(bindings_scan_end(r->b), 1);
	EXPECT(r, "hold f1 fd=5 pid=101 seed");
	/* a process that is there no longer */
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_TABLES, 30);
	APPLY(r, scan_fd(31, 100, 5, 1));
	assert_int_equal(bindings_scan_end(r->b), 1);
	EXPECT(r, "drop f1 fd=5 pid=101 seed");
}

/* A look at one process concludes nothing about others. */
static void test_rescan_of_process(void **state)
{
	struct recorder *r = *state;

	APPLY(r, fd_install(1, 100, 5, 1), fd_install(2, 100, 6, 2), fd_install(3, 101, 5, 3));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_PROCESS, 20);
	bindings_scan_process(r->b, 100);
	APPLY(r, scan_fd(21, 100, 5, 1));
	assert_int_equal(bindings_scan_end(r->b), 1);
	EXPECT(r, "drop f2 fd=6 pid=100 seed");
}

/* Live facts that are taken before what a look has read know better, in both directions. */
static void test_facts_during_rescan(void **state)
{
	struct recorder *r = *state;

	APPLY(r, fd_install(1, 100, 5, 1), fd_install(2, 100, 6, 2));
	FORGET(r);
	bindings_scan_begin(r->b, SCAN_RESYNC, SCAN_TABLES, 20);
	/* came before it was read, and went after it was */
	APPLY(r, got(TW_HOW_DUP, 21, 100, 7, 1), by_how(TW_HOW_CLOSE, fd_close(30, 100, 6, 2)));
	EXPECT(r, "hold f1 fd=7 pid=100 how=dup", "drop f2 fd=6 pid=100 how=close");
	APPLY(r, scan_fd(25, 100, 5, 1), scan_fd(25, 100, 6, 2), scan_fd(25, 100, 7, 1));
	assert_int_equal(bindings_scan_end(r->b), 0);
	EXPECT_NOTHING(r);
	assert_int_equal(bindings_file(r->b, 2)->holders, 0);
}

static void test_rescan_wanted(void **state)
{
	struct recorder *r = *state;

	APPLY(r, fact(5, TW_RESCAN), fact(6, TW_RESCAN));
	assert_int_equal(due(r, 7), 0);
	assert_int_equal(due(r, 7), -1);
	/* of a process that is gone by then */
	APPLY(r, in_table(200, fd_install(8, 100, 5, 1)), fd_install(8, 100, 6, 2), task_exit(9, 100, 200, 0));
	APPLY(r, in_table(200, table_exit(10, 100)), table_exit(11, 100));
	assert_int_equal(due(r, 1000000000), -1);
}

/* --- the story of a file --- */

static void test_chain(void **state)
{
	struct recorder *r = *state;
	const struct chain *chain;

	APPLY(r, named("before", fd_install(1, 100, 5, 1)), got(TW_HOW_SCM_RIGHTS, 2, 101, 9, 1),
	      by_how(TW_HOW_CLOSE, fd_close(3, 100, 5, 1)), named("after", got(TW_HOW_EXEC, 4, 101, 9, 1)));
	chain = bindings_chain(bindings_file(r->b, 1));
	assert_non_null(chain);
	assert_int_equal(chain->first_len, 4);
	assert_int_equal(chain->first[0].event, EV_OPEN);
	assert_string_equal(chain->first[0].comm, "before");
	assert_int_equal(chain->first[1].how, HOW_SCM_RIGHTS);
	assert_int_equal(chain->first[1].pid, 101);
	assert_int_equal(chain->first[2].event, EV_DROP);
	assert_int_equal(chain->first[3].how, HOW_EXEC);
	assert_string_equal(chain->first[3].comm, "after");
	assert_int_equal(chain->first[3].time_ns, 4);
}

/* However long it is: beginning and end, and how much lies between. */
static void test_long_chain(void **state)
{
	struct recorder *r = *state;
	const struct chain *chain;
	uint64_t t = 1;

	APPLY(r, fd_install(t++, 100, 5, 1));
	for (int i = 0; i < 100; i++)
		APPLY(r, got(TW_HOW_DUP, t++, 100, 6, 1), by_how(TW_HOW_CLOSE, fd_close(t++, 100, 6, 1)));
	chain = bindings_chain(bindings_file(r->b, 1));
	assert_int_equal(chain->first_len, CHAIN_FIRST);
	assert_int_equal(chain->last_len, CHAIN_LAST);
	assert_int_equal(chain->left_out, 201 - CHAIN_FIRST - CHAIN_LAST);
	assert_int_equal(chain->first[0].event, EV_OPEN);
	assert_int_equal(chain->last[CHAIN_LAST - 1].time_ns, t - 1);
	FORGET(r);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, recorder_setup, recorder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_join), TEST(test_actor_first), TEST(test_leave_shared), TEST(test_unshare),
		TEST(test_two_tables), TEST(test_thread_ends), TEST(test_stranger_closes), TEST(test_exec),
		TEST(test_released_in_exec), TEST(test_exec_lost), TEST(test_address_used_again_during_rescan), TEST(test_exec_found),
		TEST(test_exec_leaves_shared), TEST(test_fork), TEST(test_rescan_of_shared), TEST(test_leader_ends),
		TEST(test_thread_stays), TEST(test_leave_to_unknown),
		TEST(test_rescan_of_process), TEST(test_facts_during_rescan), TEST(test_rescan_wanted),
		TEST(test_chain), TEST(test_long_chain),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
