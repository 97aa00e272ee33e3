// SPDX-License-Identifier: GPL-2.0-only
/* process.c against a made-up /proc: the right process, another one, one that is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../user/process.h"

#define PID 4242
#define TICKS 9123u
/* Start times are given in ticks of 1/USER_HZ; a fact has ns within the tick. */
#define START_NS(ticks) ((uint64_t)(ticks) * (1000000000ULL / sysconf(_SC_CLK_TCK)) + 4567)

struct fixture {
	char proc[64];
	struct process_cache *cache;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->proc, "/tmp/tapwatch-test-proc.XXXXXX");
	if (!mkdtemp(f->proc))
		return -1;
	f->cache = process_cache_new(f->proc);
	*state = f;
	return f->cache ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	process_cache_free(f->cache);
	remove_tree(f->proc);
	free(f);
	return 0;
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_not_equal(fputs(text, file), EOF);
	assert_int_equal(fclose(file), 0);
}

static void link_to(const char *dir, const char *name, const char *target)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

/* A process as /proc shows it; NULL for what is not there. Replaces the one before. */
static void make_process(const struct fixture *f, const char *comm, char run_state,
			 unsigned start, const char *exe, const char *cgroup)
{
	char dir[128], stat[512];

	snprintf(dir, sizeof(dir), "%s/%d", f->proc, PID);
	remove_tree(dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(stat, sizeof(stat),
		 "%d (%s) %c 1 4242 4242 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 3 0 %u 1000 100 "
		 "18446744073709551615 1 1 0 0 0 0 0\n", PID, comm, run_state, start);
	write_file(dir, "stat", stat);
	if (exe)
		link_to(dir, "exe", exe);
	if (cgroup)
		write_file(dir, "cgroup", cgroup);
}

static void remove_process(const struct fixture *f)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/%d", f->proc, PID);
	remove_tree(dir);
}

static struct tw_task make_task(const char *comm, unsigned start)
{
	struct tw_task task = {
		.pid = PID, .tid = PID, .ppid = 1, .uid = 0, .start_ns = START_NS(start),
	};

	strncpy(task.comm, comm, sizeof(task.comm) - 1);
	return task;
}

static void expect(const struct process_info *info, const char *exe, const char *cgroup)
{
	assert_non_null(info);
	assert_int_equal(info->pid, PID);
	if (exe)
		assert_string_equal(info->exe, exe);
	else
		assert_null(info->exe);
	if (cgroup)
		assert_string_equal(info->cgroup, cgroup);
	else
		assert_null(info->cgroup);
}

static void test_living(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS);
	const struct process_info *info;

	make_process(f, "qemu", 'S', TICKS, "/usr/bin/qemu (deleted)",
		     "1:name=systemd:/old\n0::/machine.slice/a:b\n");
	info = process_lookup(f->cache, &task);
	expect(info, "/usr/bin/qemu (deleted)", "/machine.slice/a:b");
	assert_int_equal(info->start_ns, task.start_ns);
	assert_string_equal(info->comm, "qemu");
}

static void test_cgroup_v1(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS);

	make_process(f, "qemu", 'S', TICKS, "/q",
		     "12:cpu,cpuacct:/cpu\n10:name=systemd:/machine.slice\n");
	expect(process_lookup(f->cache, &task), "/q", "/machine.slice");
	/* an exited one is shown in the root there, which it was not in */
	make_process(f, "qemu", 'Z', TICKS, NULL, "1:name=systemd:/\n");
	expect(process_lookup(f->cache, &task), "/q", "/machine.slice");
}

static void test_cgroup_none(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS);

	make_process(f, "qemu", 'S', TICKS, "/q", "4:cpu:/a\nnonsense\n\n:\n5:name=systemdx:/b\n");
	expect(process_lookup(f->cache, &task), "/q", NULL);
}

/* Start time in the same tick or the one next to it, no further. */
static void test_start_time(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS);
	int off;

	for (off = -3; off <= 3; off++) {
		process_cache_free(f->cache);
		f->cache = process_cache_new(f->proc);
		make_process(f, "qemu", 'S', TICKS + off, "/q", "0::/c\n");
		if (off >= -1 && off <= 1)
			expect(process_lookup(f->cache, &task), "/q", "/c");
		else
			expect(process_lookup(f->cache, &task), NULL, NULL);
	}
	task.start_ns = 0;
	make_process(f, "qemu", 'S', 0, "/q", "0::/c\n");
	expect(process_lookup(f->cache, &task), NULL, NULL);
}

static void test_gone(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS), other = make_task("qemu", TICKS + 500);

	expect(process_lookup(f->cache, &task), NULL, NULL);
	make_process(f, "qemu", 'S', TICKS, "/q", "0::/c\n");
	expect(process_lookup(f->cache, &task), "/q", "/c");
	remove_process(f);
	expect(process_lookup(f->cache, &task), "/q", "/c");
	/* its pid taken by another: neither learns about the other */
	make_process(f, "qemu", 'S', TICKS + 500, "/other", "0::/other\n");
	expect(process_lookup(f->cache, &task), "/q", "/c");
	expect(process_lookup(f->cache, &other), "/other", "/other");
}

/* Passed through exec between the fact and the look: that exe is not the fact's. */
static void test_exec(void **state)
{
	struct fixture *f = *state;
	struct tw_task before = make_task("libvirtd", TICKS), after = make_task("qemu", TICKS);

	make_process(f, "qemu", 'S', TICKS, "/usr/bin/qemu", "0::/c\n");
	expect(process_lookup(f->cache, &before), NULL, "/c");
	expect(process_lookup(f->cache, &after), "/usr/bin/qemu", "/c");

	make_process(f, "libvirtd", 'S', TICKS, "/usr/sbin/libvirtd", "0::/c\n");
	expect(process_lookup(f->cache, &before), "/usr/sbin/libvirtd", "/c");
	make_process(f, "qemu", 'S', TICKS, "/usr/bin/qemu", "0::/d\n");
	expect(process_lookup(f->cache, &before), "/usr/sbin/libvirtd", "/d");
	expect(process_lookup(f->cache, &after), "/usr/bin/qemu", "/d");
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* What was read serves what had happened by then, of the same program; nothing that happened later. */
static void test_read_once(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS), before = make_task("libvirtd", TICKS);
	uint64_t early = now_ns(), late;

	make_process(f, "qemu", 'S', TICKS, "/q", "0::/c\n");
	expect(process_lookup_at(f->cache, &task, early), "/q", "/c");
	late = now_ns();
	make_process(f, "qemu", 'S', TICKS, "/r", "0::/d\n");
	expect(process_lookup_at(f->cache, &task, early), "/q", "/c");
	expect(process_lookup_at(f->cache, &task, early - 1), "/q", "/c");
	/* moved, or passed through exec, since then */
	expect(process_lookup_at(f->cache, &task, late), "/r", "/d");
	make_process(f, "qemu", 'S', TICKS, "/s", "0::/e\n");
	/* late was before the last reading, but nobody knows when this one was */
	expect(process_lookup_at(f->cache, &task, late), "/r", "/d");
	expect(process_lookup_at(f->cache, &task, 0), "/s", "/e");
	/* another program's fact learns nothing from what was read of this one, but looks */
	make_process(f, "libvirtd", 'S', TICKS, "/l", "0::/f\n");
	expect(process_lookup_at(f->cache, &before, early), "/l", "/f");
	/* a pid's next process */
	task = make_task("qemu", TICKS + 500);
	make_process(f, "qemu", 'S', TICKS + 500, "/t", "0::/g\n");
	expect(process_lookup_at(f->cache, &task, early), "/t", "/g");
}

/* A reading in which something is missing is not the last word. */
static void test_read_again(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS);
	uint64_t early = now_ns();

	expect(process_lookup_at(f->cache, &task, early), NULL, NULL);
	make_process(f, "qemu", 'S', TICKS, NULL, "0::/c\n");
	expect(process_lookup_at(f->cache, &task, early), NULL, "/c");
	make_process(f, "qemu", 'S', TICKS, "/q", "0::/d\n");
	expect(process_lookup_at(f->cache, &task, early), "/q", "/d");
}

/* Any process; argv with its NULs, ppid. */
static void make_other(const struct fixture *f, unsigned pid, unsigned ppid, const char *comm, unsigned start,
		       const char *exe, const char *argv, size_t len)
{
	char dir[128], stat[512], path[160];
	FILE *file;

	snprintf(dir, sizeof(dir), "%s/%u", f->proc, pid);
	remove_tree(dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(stat, sizeof(stat), "%u (%s) S %u 1 1 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 3 0 %u 1000 100\n", pid, comm,
		 ppid, start);
	write_file(dir, "stat", stat);
	write_file(dir, "cgroup", "0::/c\n");
	link_to(dir, "exe", exe);
	snprintf(path, sizeof(path), "%s/cmdline", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(argv, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}
#define OTHER(f, pid, ppid, comm, start, exe, argv) make_other(f, pid, ppid, comm, start, exe, argv, sizeof(argv) - 1)

/* Many with long command lines: most are remembered when they are gone, but not more than there is room for. */
static void test_room(void **state)
{
	static char argv[PROCESS_CMDLINE_KEPT];
	struct fixture *f = *state;
	struct tw_task task = make_task("prog", TICKS);
	unsigned known = 0, n = 1400;
	char dir[128];

	memset(argv, 'a', sizeof(argv));
	for (unsigned i = 0; i < n; i++) {
		make_other(f, PID, 1, "prog", TICKS + 100 * i, "/p", argv, sizeof(argv));
		task.start_ns = START_NS(TICKS + 100 * i);
		assert_int_equal(process_lookup(f->cache, &task)->cmdline_len, sizeof(argv));
	}
	snprintf(dir, sizeof(dir), "%s/%d", f->proc, PID);
	remove_tree(dir);
	for (unsigned i = 0; i < n; i++) {
		task.start_ns = START_NS(TICKS + 100 * i);
		known += process_lookup(f->cache, &task)->cmdline_len == sizeof(argv);
	}
	assert_in_range(known, 600, (4 << 20) / sizeof(argv));
}

static void test_cmdline(void **state)
{
	static char argv[80000], *at = argv;
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS);
	const struct process_info *info;

	OTHER(f, PID, 1, "qemu", TICKS, "/usr/bin/qemu-system-x86_64", "qemu\0-name\0web01\0");
	info = process_lookup(f->cache, &task);
	assert_int_equal(info->cmdline_len, 17);
	assert_memory_equal(info->cmdline, "qemu\0-name\0web01", 17);
	assert_int_equal(process_machine(info)->role, ROLE_VM);
	assert_string_equal(info->vm->name, "web01");
	assert_int_equal(info->vm_pid, PID);
	assert_int_equal(info->vm_start_ns, task.start_ns);

	/* long ones are kept in part, but looked at further */
	at += sprintf(at, "qemu") + 1;
	for (int i = 0; i < 600; i++) {
		at += sprintf(at, "-drive") + 1;
		at += sprintf(at, "file=/%d.img", i) + 1;
	}
	at += sprintf(at, "-name") + 1;
	at += sprintf(at, "late") + 1;
	make_other(f, PID, 1, "qemu", TICKS, "/usr/bin/qemu-system-x86_64", argv, (size_t)(at - argv));
	info = process_lookup(f->cache, &task);
	assert_int_equal(info->cmdline_len, PROCESS_CMDLINE_KEPT);
	assert_string_equal(info->vm->name, "late");

	/* it exits: neither exe nor command line any more */
	make_process(f, "qemu", 'Z', TICKS, NULL, "0::/c\n");
	assert_string_equal(process_lookup(f->cache, &task)->vm->name, "late");
	remove_process(f);
	assert_string_equal(process_lookup(f->cache, &task)->vm->name, "late");
	assert_null(process_machine(NULL));
}

/* Too long to be read whole: what stands at the cut is not believed. */
static void test_cmdline_cut(void **state)
{
	static char argv[PROCESS_CMDLINE_MAX + 100];
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS);

	memset(argv, 'x', sizeof(argv));
	memcpy(argv, "qemu\0-append", 13);
	memcpy(argv + PROCESS_CMDLINE_MAX - 10, "\0-name\0web-01", 14);
	make_other(f, PID, 1, "qemu", TICKS, "/usr/bin/qemu-system-x86_64", argv, sizeof(argv));
	assert_null(process_lookup(f->cache, &task)->vm->name);
}

/* The same process is another machine after an exec, and none after the next. */
static void test_machine_exec(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS), shell = make_task("sh", TICKS);

	OTHER(f, PID, 1, "qemu", TICKS, "/usr/bin/qemu-system-x86_64", "qemu\0-name\0a\0");
	assert_string_equal(process_lookup(f->cache, &task)->vm->name, "a");
	OTHER(f, PID, 1, "qemu", TICKS, "/usr/bin/qemu-system-x86_64", "qemu\0-name\0b\0");
	assert_string_equal(process_lookup(f->cache, &task)->vm->name, "b");
	OTHER(f, PID, 1, "sh", TICKS, "/bin/sh", "sh\0");
	assert_null(process_lookup(f->cache, &shell)->vm);
}

/* How many interfaces does a Firecracker declare whose configuration is at `file`? */
static size_t declared(struct fixture *f, const char *mounts, const char *file, unsigned pid)
{
	struct tw_task task = make_task("firecracker", TICKS);
	char argv[256], dir[128];
	int len = snprintf(argv, sizeof(argv), "firecracker%c--config-file%c%s", 0, 0, file) + 1;

	task.pid = task.tid = pid;
	make_other(f, pid, 1, "firecracker", TICKS, "/usr/bin/firecracker", argv, (size_t)len);
	snprintf(dir, sizeof(dir), "%s/%u", f->proc, pid);
	write_file(dir, "mountinfo", mounts);
	link_to(dir, "root", "../jail");
	return process_lookup(f->cache, &task)->vm->n_ports;
}

/* The file is looked for where the process has it, and nowhere else. */
static void test_config_file(void **state)
{
	static const char own[] = "21 1 0:5 / /proc rw - proc proc rw\n22 1 8:1 /jail / rw,noatime shared:1 - ext4 /dev/sda1 rw\n";
	static const char fuse[] = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:9 / / rw - fuse.x x rw\n";
	static const char config[] = "{\"network-interfaces\":[{\"iface_id\":\"e\",\"host_dev_name\":\"tap0\"},{}]}";
	struct fixture *f = *state;
	char jail[128], path[256];

	snprintf(jail, sizeof(jail), "%s/jail", f->proc);
	assert_int_equal(mkdir(jail, 0755), 0);
	write_file(jail, "vm.json", config);
	write_file(f->proc, "outside.json", config);
	link_to(jail, "inside", "/vm.json");
	link_to(jail, "up", "../outside.json");
	snprintf(path, sizeof(path), "%s/outside.json", f->proc);
	link_to(jail, "absolute", path);
	snprintf(path, sizeof(path), "%s/fifo", jail);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/large", jail);
	write_file(jail, "large", config);
	assert_int_equal(truncate(path, VM_CONFIG_MAX + 1), 0);

	assert_int_equal(declared(f, own, "/vm.json", 1001), 1);
	assert_int_equal(declared(f, own, "/inside", 1002), 1);
	assert_int_equal(declared(f, own, "/up", 1003), 0);
	assert_int_equal(declared(f, own, "/../outside.json", 1004), 0);
	assert_int_equal(declared(f, own, "/absolute", 1005), 0);
	assert_int_equal(declared(f, own, "/fifo", 1006), 0);
	assert_int_equal(declared(f, own, "/large", 1007), 0);
	assert_int_equal(declared(f, own, "/none", 1008), 0);
	/* a file system that may never answer */
	assert_int_equal(declared(f, fuse, "/vm.json", 1009), 0);
	assert_int_equal(declared(f, "", "/vm.json", 1010), 0);
}

/* A VPN is known, and no machine. */
static void test_role(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("openvpn", TICKS);
	const struct process_info *info;

	OTHER(f, PID, 1, "openvpn", TICKS, "/usr/sbin/openvpn", "openvpn\0");
	info = process_lookup(f->cache, &task);
	assert_int_equal(info->vm->role, ROLE_VPN);
	assert_null(process_machine(info));
}

/* A device process of crosvm, below another: the machine is their oldest ancestor. */
static void test_ancestor(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("pcivirtio-net", TICKS);
	const struct process_info *info;

	OTHER(f, 100, 1, "sh", 1, "/usr/bin/sh", "sh\0-c\0a command line that is longer than the one of its child\0");
	OTHER(f, 200, 100, "crosvm", 500, "/usr/bin/crosvm", "crosvm\0run\0--name\0vm1\0vmlinux\0");
	OTHER(f, 201, 200, "jail", 501, "/usr/bin/crosvm", "jail\0");
	OTHER(f, PID, 201, "pcivirtio-net", TICKS, "/usr/bin/crosvm", "device\0");
	info = process_lookup(f->cache, &task);
	assert_non_null(process_machine(info));
	assert_string_equal(info->vm->name, "vm1");
	assert_int_equal(info->vm_pid, 200);
	assert_int_equal(info->vm_start_ns, START_NS(500) - 4567);
	/* its own command line all the same */
	assert_string_equal(info->cmdline, "device");

	/* the machine's own process, whose parent is something else */
	task = make_task("crosvm", 500);
	task.pid = task.tid = 200;
	info = process_lookup(f->cache, &task);
	assert_non_null(process_machine(info));
	assert_string_equal(info->vm->name, "vm1");
	assert_int_equal(info->vm_pid, 200);
	assert_string_equal(info->cmdline, "crosvm");
}

/* A comm that plays the rest of the line. */
static void test_hostile_comm(void **state)
{
	static const char *const comms[] = { ") Z 1 2 3", "a) (b", "((", "))", " ", "\xff\033[2J", "" };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(comms) / sizeof(comms[0]); i++) {
		struct tw_task task = make_task(comms[i], TICKS + 10 * i);

		make_process(f, comms[i], 'S', TICKS + 10 * i, "/q", "0::/c\n");
		expect(process_lookup(f->cache, &task), "/q", "/c");
	}
}

static void test_broken_stat(void **state)
{
	static const char *const stats[] = { "", "\n", "4242", "4242 (q", "4242 q) S 1", ")(",
		"4242 (q) S 1 2 3\n", "4242 (q)", "4242 (q) " };
	struct fixture *f = *state;
	struct tw_task task = make_task("q", TICKS);
	char dir[128];
	size_t i;

	make_process(f, "q", 'S', TICKS, "/q", "0::/c\n");
	snprintf(dir, sizeof(dir), "%s/%d", f->proc, PID);
	for (i = 0; i < sizeof(stats) / sizeof(stats[0]); i++) {
		write_file(dir, "stat", stats[i]);
		expect(process_lookup(f->cache, &task), NULL, NULL);
	}
}

/* The leader has exited, the thread of the fact lives. */
static void test_zombie_leader(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("qemu", TICKS);
	char dir[160];

	task.tid = PID + 1;
	make_process(f, "qemu", 'Z', TICKS, NULL, "0::/c\n");
	snprintf(dir, sizeof(dir), "%s/%d/task", f->proc, PID);
	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(dir, sizeof(dir), "%s/%d/task/%d", f->proc, PID, PID + 1);
	assert_int_equal(mkdir(dir, 0755), 0);
	link_to(dir, "exe", "/usr/bin/qemu");
	expect(process_lookup(f->cache, &task), "/usr/bin/qemu", "/c");
}

static void test_user(void **state)
{
	struct fixture *f = *state;
	struct tw_task task = make_task("q", TICKS);
	struct passwd *root = getpwuid(0);

	if (!root) {
		print_message("# no user database\n");
		skip();
	}
	assert_string_equal(process_user(f->cache, 0), root->pw_name);
	assert_string_equal(process_lookup(f->cache, &task)->user, root->pw_name);
	/* 256 shares the slot with 0 */
	assert_null(process_user(f->cache, 3999999744u));
	assert_null(process_user(f->cache, 3999999744u));
	assert_string_equal(process_user(f->cache, 0), root->pw_name);
	assert_null(process_user(f->cache, UINT32_MAX));
}

/* More processes than slots: still right, whatever was forgotten. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < 5000; i++) {
		struct tw_task task = make_task("q", 100 + 10 * i);

		task.pid = PID + i;
		assert_null(process_lookup(f->cache, &task)->exe);
	}
}

/* The real /proc: ourselves. */
static void test_self(void **state)
{
	struct process_cache *cache = process_cache_new("/proc");
	char stat[1024], exe[PATH_MAX] = "", *at;
	struct tw_task task = { .pid = getpid(), .tid = getpid() };
	FILE *file = fopen("/proc/self/stat", "r");
	int field;

	(void)state;
	assert_non_null(cache);
	assert_non_null(file);
	assert_non_null(fgets(stat, sizeof(stat), file));
	fclose(file);
	at = strrchr(stat, ')') + 2;
	for (field = 3; field < 22; field++)
		at = strchr(at, ' ') + 1;
	task.start_ns = START_NS(strtoull(at, NULL, 10));
	*strrchr(stat, ')') = '\0';
	strncpy(task.comm, strchr(stat, '(') + 1, sizeof(task.comm) - 1);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_string_equal(process_lookup(cache, &task)->exe, exe);
	process_cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_living, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cgroup_v1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cgroup_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exec, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cmdline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cmdline_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_machine_exec, setup, teardown),
		cmocka_unit_test_setup_teardown(test_role, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ancestor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_comm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_stat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zombie_leader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test(test_self),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
