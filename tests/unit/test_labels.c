// SPDX-License-Identifier: GPL-2.0-only
/* labels.c: owners by cgroup, and what is remembered of namespaces. Files stand for nsfs files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../user/labels.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_cgroup_owner(void **state)
{
	static const struct { const char *cgroup, *owner; } t[] = {
		{ "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope", "qemu-1-web" },
		{ "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator", "qemu-1-web" },
		{ "/machine.slice/machine-my.box.scope/payload", "my.box" },
		{ "/machine/qemu-1-web-01.libvirt-qemu/emulator", "qemu-1-web-01" },
		{ "/system.slice/docker-" ID ".scope", "docker:0123456789ab" },
		{ "/docker/" ID, "docker:0123456789ab" },
		{ "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope", "containerd:0123456789ab" },
		{ "/kubepods/besteffort/pod3f1c/" ID, "container:0123456789ab" },
		{ "/machine.slice/libpod-" ID ".scope/container", "podman:0123456789ab" },
		{ "/machine.slice/crio-" ID ".scope", "crio:0123456789ab" },
		{ "/lxc.payload.web1/system.slice/ssh.service", "lxc:web1" },
		{ "/lxc.payload/web1", "lxc:web1" },
		{ "/lxc/web1", "lxc:web1" },
		/* the innermost */
		{ "/lxc.payload.web1/system.slice/docker-" ID ".scope", "docker:0123456789ab" },
		/* bytes are as they are: escaped at the output */
		{ "/machine.slice/machine-a\\x1b\\x0ab.scope", "a\x1b\nb" },
		{ "/machine.slice/machine-a\\x2.scope", "a\\x2" },
		/* nobody's */
		{ "/", "" },
		{ "", "" },
		{ "/user.slice/user-0.slice/session-3.scope", "" },
		{ "/system.slice/docker.service", "" },
		{ "/system.slice/docker-short.scope", "" },
		{ "/machine.slice/libpod-conmon-" ID ".scope", "" },
		{ "/machine.slice/machine-.scope", "" },
		{ "/lxc.payload.", "" },
		{ "/" ID "x", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char owner[64] = "";
		size_t n = labels_cgroup_owner(t[i].cgroup, owner, sizeof(owner));

		assert_string_equal(n ? owner : "", t[i].owner);
		assert_int_equal(n, strlen(t[i].owner));
	}
}

/* However little room there is: nothing beyond it is written. */
static void test_cgroup_room(void **state)
{
	char out[64];

	(void)state;
	for (size_t size = 0; size < 24; size++) {
		memset(out, '#', sizeof(out));
		labels_cgroup_owner("/system.slice/docker-" ID ".scope", out, size);
		for (size_t i = size; i < sizeof(out); i++)
			assert_int_equal(out[i], '#');
	}
}

/* ---- namespaces ---- */

static char dir[] = "/tmp/tapwatch-labels-XXXXXX";

/* What each() tells of, in this order; by tests. */
static struct netns_ref refs[8];
static char paths[8][96];
static size_t n_refs, walks;

static int each(unsigned sources, int (*fn)(void *ctx, const struct netns_ref *ref), void *ctx)
{
	int err = 0;

	walks++;
	for (size_t i = 0; i < n_refs && !err; i++)
		if (refs[i].source & (sources | NETNS_SELF))
			err = fn(ctx, &refs[i]);
	return err;
}

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* A file "nsfs" that leads to a namespace; its inode number. */
static uint32_t make_ref(const char *name, unsigned source, pid_t pid)
{
	struct netns_ref *ref = &refs[n_refs];
	struct stat st;

	snprintf(paths[n_refs], sizeof(paths[0]), "%s/%s", dir, name);
	if (access(paths[n_refs], F_OK))
		write_file(name, "");
	assert_int_equal(stat(paths[n_refs], &st), 0);
	*ref = (struct netns_ref){
		.inode = (uint32_t)st.st_ino, .source = source, .pid = pid, .path = paths[n_refs],
		.name = source == NETNS_NAMED ? name : NULL,
	};
	n_refs++;
	if (st.st_ino > UINT32_MAX)
		skip();
	return (uint32_t)st.st_ino;
}

static void make_process(pid_t pid, const char *comm, const char *cgroup)
{
	char name[64];

	snprintf(name, sizeof(name), "%s/%d", dir, (int)pid);
	mkdir(name, 0700);
	snprintf(name, sizeof(name), "%d/comm", (int)pid);
	write_file(name, comm);
	snprintf(name, sizeof(name), "%d/cgroup", (int)pid);
	write_file(name, cgroup);
}

static struct labels *labels;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tapwatch-labels-XXXXXX");
	assert_non_null(mkdtemp(dir));
	n_refs = walks = 0;
	labels = labels_new(NETNS_ALL, &(struct labels_source){ each, dir });
	assert_non_null(labels);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	labels_free(labels);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void test_sources(void **state)
{
	uint32_t named = make_ref("blue", NETNS_NAMED, 0), mounted = make_ref("mnt", NETNS_MOUNTS, 0);
	uint32_t container = make_ref("c", NETNS_PROCS, 7), process = make_ref("p", NETNS_PROCS, 8);
	uint32_t by_fd = make_ref("fd", NETNS_FDS, 9);

	(void)state;
	make_process(7, "nginx\n", "12:pids:/x\n0::/system.slice/docker-" ID ".scope\n");
	make_process(8, "un\x1bshare\n", "0::/user.slice\n");
	assert_string_equal(labels_name(labels, named), "blue");
	assert_string_equal(labels_text(labels, named), "blue");
	assert_string_equal(labels_name(labels, mounted), paths[1]);
	assert_string_equal(labels_text(labels, mounted), paths[1]);
	assert_null(labels_name(labels, container));
	assert_string_equal(labels_text(labels, container), "docker:0123456789ab");
	assert_null(labels_name(labels, process));
	assert_string_equal(labels_text(labels, process), "pid:8 un\x1bshare");
	assert_null(labels_name(labels, by_fd));
	assert_string_equal(labels_text(labels, by_fd), paths[4]);
	assert_null(labels_text(labels, 1));
	assert_null(labels_text(labels, 0));
	assert_null(labels_name(labels, 0));
}

/* cgroup v1: whichever hierarchy the container manager uses. A process that is gone has only its number. */
static void test_processes(void **state)
{
	uint32_t old = make_ref("old", NETNS_PROCS, 7), mixed = make_ref("mixed", NETNS_PROCS, 8);
	uint32_t gone = make_ref("gone", NETNS_PROCS, 99);

	(void)state;
	make_process(7, "x\n", "4:memory:/y\n1:name=systemd:/machine.slice/machine-box.scope\n");
	make_process(8, "x\n", "4:memory:/docker/" ID "\n0::/\n");
	assert_string_equal(labels_text(labels, old), "box");
	assert_string_equal(labels_text(labels, mixed), "docker:0123456789ab");
	assert_string_equal(labels_text(labels, gone), "pid:99");
}

/* Each source is read once, whatever is asked; again after a refresh. */
static void test_walks(void **state)
{
	uint32_t one = make_ref("one", NETNS_MOUNTS, 0), late;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_non_null(labels_name(labels, one));
	assert_int_equal(walks, 1);
	for (uint32_t i = 1; i < 5; i++)
		assert_null(labels_text(labels, i));
	assert_int_equal(walks, 3);	/* those of processes, and those of fds */
	late = make_ref("late", NETNS_MOUNTS, 0);
	assert_null(labels_name(labels, late));
	assert_int_equal(walks, 3);
	labels_refresh(labels);
	assert_string_equal(labels_name(labels, late), paths[1]);
	assert_int_equal(walks, 4);
}

/* The number comes to mean another namespace: what was remembered is not told of it. */
static void test_reused(void **state)
{
	uint32_t inode = make_ref("first", NETNS_MOUNTS, 0);
	char moved[128];

	(void)state;
	assert_string_equal(labels_name(labels, inode), paths[0]);
	snprintf(moved, sizeof(moved), "%s/second", dir);
	assert_int_equal(rename(paths[0], moved), 0);
	write_file("first", "another namespace");
	n_refs = 0;
	assert_int_equal(make_ref("second", NETNS_MOUNTS, 0), inode);
	assert_string_equal(labels_name(labels, inode), moved);
	assert_int_equal(unlink(moved), 0);
	n_refs = 0;
	assert_null(labels_name(labels, inode));
	assert_null(labels_text(labels, inode));
}

/* The comm is that of now, not of when the process was met. */
static void test_renamed_process(void **state)
{
	uint32_t inode = make_ref("p", NETNS_PROCS, 8);

	(void)state;
	make_process(8, "before\n", "0::/\n");
	assert_string_equal(labels_text(labels, inode), "pid:8 before");
	make_process(8, "after\n", "0::/\n");
	assert_string_equal(labels_text(labels, inode), "pid:8 after");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup_owner),
		cmocka_unit_test(test_cgroup_room),
		cmocka_unit_test_setup_teardown(test_sources, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_walks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renamed_process, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
