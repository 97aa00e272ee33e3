// SPDX-License-Identifier: GPL-2.0-only
/* test_proc_scan.c - the parsers, and the walk over a fake /proc (kcmp finds none of its processes). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/inject.h"
#include "../../user/proc_scan.h"

/* ---- parsers ---- */

static void stat_line(void **state)
{
	const char *text = "4242 (qemu-system-x86) S 17 4242 4242 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 3 0 9123 1 2 3\n";
	struct tw_task task = { 0 };
	char st;

	(void)state;
	assert_int_equal(proc_parse_stat(text, 100, &task, &st), 0);
	assert_string_equal(task.comm, "qemu-system-x86");
	assert_int_equal(task.ppid, 17);
	assert_int_equal(task.start_ns, 91230000000u);
	assert_int_equal(st, 'S');
}

static void stat_hostile_names(void **state)
{
	static const char *const names[] = { "a) R 1 1", "()", "", ")", "(", "a\nb c", "\x1b[2J" };
	char text[256], st;
	struct tw_task task;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "1 (%s) Z 7 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 50 0", names[i]);
		memset(&task, 0xff, sizeof(task));
		assert_int_equal(proc_parse_stat(text, 100, &task, &st), 0);
		assert_string_equal(task.comm, names[i]);
		assert_int_equal(task.ppid, 7);
		assert_int_equal(task.start_ns, 500000000u);
		assert_int_equal(st, 'Z');
	}
}

static void stat_cut(void **state)
{
	const char *text = "1 (x) S 7 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 50 0";
	char cut[128], st;
	struct tw_task task;

	(void)state;
	/* whatever is missing up to the start time makes it invalid, and nothing is read beyond */
	for (size_t len = 0; len < strlen(text) - 4; len++) {
		memcpy(cut, text, len);
		cut[len] = '\0';
		assert_int_equal(proc_parse_stat(cut, 100, &task, &st), -EINVAL);
	}
	assert_int_equal(proc_parse_stat("1 (a name of more than fifteen) S 7 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 50 0", 100,
					 &task, &st), 0);
	assert_string_equal(task.comm, "a name of more ");
}

static void status(void **state)
{
	const char *text = "Name:\tUid:\t5\nUmask:\t0022\nTracerPid:\t12\nUid:\t1000\t0\t0\t0\nSeccomp:\t2\nGid:\tx\n";
	uint64_t value;

	(void)state;
	assert_int_equal(proc_parse_status(text, "Uid", 10, &value), 0);
	assert_int_equal(value, 1000);
	assert_int_equal(proc_parse_status(text, "TracerPid", 10, &value), 0);
	assert_int_equal(value, 12);
	assert_int_equal(proc_parse_status(text, "Seccomp", 10, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(proc_parse_status(text, "Gid", 10, &value), -ENOENT);
	assert_int_equal(proc_parse_status(text, "Ui", 10, &value), -ENOENT);
	assert_int_equal(proc_parse_status("", "Uid", 10, &value), -ENOENT);
}

static void fdinfo(void **state)
{
	const char *bound = "pos:\t0\nflags:\t0100002\nmnt_id:\t25\nino:\t8\niff:\ttap0\n";
	char name[TW_NAME_LEN];
	bool path;

	(void)state;
	assert_int_equal(proc_parse_iff(bound, name), 0);
	assert_string_equal(name, "tap0");
	assert_int_equal(proc_parse_path_flag(bound, &path), 0);
	assert_false(path);
	assert_int_equal(proc_parse_iff("pos:\t0\nflags:\t0100002\niff:\t\n", name), 0);
	assert_string_equal(name, "");
	assert_int_equal(proc_parse_iff("pos:\t0\niff:\t", name), 0);
	assert_string_equal(name, "");
	assert_int_equal(proc_parse_iff("pos:\t0\niff:\t123456789012345678901234\n", name), 0);
	assert_string_equal(name, "123456789012345");
	assert_int_equal(proc_parse_iff("pos:\t0\nflags:\t02\n", name), -ENOENT);
	assert_int_equal(proc_parse_path_flag("pos:\t0\nflags:\t012000000\n", &path), 0);
	assert_true(path);
	assert_int_equal(proc_parse_path_flag("pos:\t0\n", &path), -EINVAL);
}

static void device_numbers(void **state)
{
	(void)state;
	assert_int_equal(proc_file_kind(S_IFCHR | 0600, makedev(10, 200)), PROC_TUN);
	assert_int_equal(proc_file_kind(S_IFCHR | 0600, makedev(10, 201)), -1);
	assert_int_equal(proc_file_kind(S_IFBLK | 0600, makedev(10, 200)), -1);
	assert_int_equal(proc_file_kind(S_IFREG | 0600, 0), -1);
}

#if INJECT_SUPPORTED
static void syscall_file(void **state)
{
	uint64_t args[6], sp = 1, pc = 1;

	(void)state;
	assert_int_equal(inject_parse_syscall("232 0x4 0x7f00 0x1 0xffffffff 0x0 0x8 0x7ffc10 0x7f55\n", args, &sp, &pc), 232);
	assert_int_equal(args[0], 4);
	assert_int_equal(args[3], 0xffffffff);
	assert_int_equal(args[5], 8);
	assert_int_equal(sp, 0x7ffc10);
	assert_int_equal(pc, 0x7f55);
	assert_int_equal(inject_parse_syscall("running\n", args, &sp, &pc), -1);
	assert_int_equal(inject_parse_syscall("-1 0x7ffc10 0x7f55\n", args, &sp, &pc), -1);
	assert_int_equal(inject_parse_syscall("0 0x4 0x7f00\n", args, &sp, &pc), -1);
	assert_int_equal(inject_parse_syscall("", args, &sp, &pc), -1);
}
#endif

/* ---- the walk ---- */

static char root[64];

static const char *at(const char *format, ...)
{
	static char path[512];
	size_t len = (size_t)snprintf(path, sizeof(path), "%s/", root);
	va_list ap;

	va_start(ap, format);
	vsnprintf(path + len, sizeof(path) - len, format, ap);
	va_end(ap);
	return path;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make_process(int pid)
{
	char text[256];

	assert_int_equal(mkdir(at("%d", pid), 0755), 0);
	mkdir(at("%d/fd", pid), 0755);
	mkdir(at("%d/fdinfo", pid), 0755);
	mkdir(at("%d/ns", pid), 0755);
	mkdir(at("%d/task", pid), 0755);
	mkdir(at("%d/task/%d", pid, pid), 0755);
	snprintf(text, sizeof(text), "%d (p %d) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0", pid, pid, pid);
	write_text(at("%d/stat", pid), text);
	write_text(at("%d/status", pid), "Name:\tp\nUid:\t33\t0\t0\t0\n");
	assert_int_equal(symlink("net:[4026531840]", at("%d/ns/net", pid)), 0);
}

static void make_fd(int pid, int fd, const char *link, const char *info)
{
	assert_int_equal(symlink(link, at("%d/fd/%d", pid, fd)), 0);
	write_text(at("%d/fdinfo/%d", pid, fd), info);
}

static int make_tree(void **state)
{
	(void)state;
	strcpy(root, "/tmp/test_proc_scan.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_tree(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static void walk(void **state)
{
	static const char open_file[] = "pos:\t0\nflags:\t0100002\niff:\ttap0\n";
	struct proc_scan scan;
	char node[80];

	(void)state;
	/* a node of another name, as in a jail; only root can make one */
	snprintf(node, sizeof(node), "%s/node", root);
	if (mknod(node, S_IFCHR | 0600, makedev(10, 200)))
		skip();
	make_process(100);
	make_fd(100, 0, "/dev/null", "flags:\t02\n");
	make_fd(100, 3, "socket:[77]", "flags:\t02\n");
	/* on nsfs, and yet not of the form that the kernel gives to a namespace: nothing to be sure of */
	make_fd(100, 4, "/proc/self/ns/net", "flags:\t02\n");
	make_fd(100, 5, node, open_file);
	make_fd(100, 6, node, "pos:\t0\nflags:\t012000000\n");
	make_fd(100, 11, node, open_file);
	make_process(200);
	make_fd(200, 2, "/nowhere/at/all", "flags:\t02\n");
	make_process(300);
	make_fd(300, 9, node, open_file);
	mkdir(at("not-a-pid"), 0755);

	assert_int_equal(proc_scan(&scan, root, 300, NULL, 0), 0);
	assert_int_equal(scan.processes, 2);
	assert_int_equal(scan.n_tables, 1);
	assert_int_equal(scan.n_fds, 2);
	assert_int_equal(scan.tables[0].n, 2);
	assert_int_equal(scan.fds[0].fd + scan.fds[1].fd, 16);
	assert_int_equal(scan.tables[0].task.pid, 100);
	assert_int_equal(scan.tables[0].task.uid, 33);
	assert_int_equal(scan.tables[0].task.netns, 4026531840u);
	assert_string_equal(scan.tables[0].task.comm, "p 100");
	assert_true(scan.tables[0].id == (PROC_TABLE | 100));
	assert_int_equal(scan.n_nsfds, 0);
	assert_int_equal(scan.n_refused, 0);
	proc_scan_free(&scan);

	assert_int_equal(proc_scan(&scan, root, 0, (const pid_t[]){ 300, 999 }, 2), 0);
	assert_int_equal(scan.processes, 1);
	assert_int_equal(scan.n_tables, 1);
	assert_int_equal(scan.tables[0].task.pid, 300);
	proc_scan_free(&scan);
}

static void nothing_there(void **state)
{
	struct proc_scan scan;

	(void)state;
	assert_int_equal(proc_scan(&scan, root, 0, NULL, 0), 0);
	assert_int_equal(scan.processes, 0);
	proc_scan_free(&scan);
	assert_int_equal(proc_scan(&scan, "/nonexistent/proc", 0, NULL, 0), -ENOENT);
	proc_scan_free(&scan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_line),
		cmocka_unit_test(stat_hostile_names),
		cmocka_unit_test(stat_cut),
		cmocka_unit_test(status),
		cmocka_unit_test(fdinfo),
		cmocka_unit_test(device_numbers),
#if INJECT_SUPPORTED
		cmocka_unit_test(syscall_file),
#endif
		cmocka_unit_test_setup_teardown(walk, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(nothing_there, make_tree, remove_tree),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
