// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_netns.c - the parsers of netns.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/netns.h"

static void test_link(void **state)
{
	static const char *const bad[] = {
		"", "net:", "net:[", "net:[]", "net:[12", "net:[12]x", "net:[-1]", "net:[ 1]", "net:[1 ]",
		"net:[4294967296]", "net:[99999999999999999999999]", "mnt:[4026531841]", "/net:[1]",
		"net:[0x1]", "net:[1] (deleted)",
	};
	uint32_t inode;
	size_t i;

	(void)state;
	assert_int_equal(netns_parse_link("net:[4026531840]", &inode), 0);
	assert_int_equal(inode, 4026531840u);
	assert_int_equal(netns_parse_link("net:[4294967295]", &inode), 0);
	assert_int_equal(inode, UINT32_MAX);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(netns_parse_link(bad[i], &inode), -EINVAL);
}

static int mountinfo(const char *text, uint32_t *inode, char *path, size_t size)
{
	char line[512], *p = NULL;
	int err;

	snprintf(line, sizeof(line), "%s", text);
	err = netns_parse_mountinfo(line, inode, &p);
	if (!err)
		snprintf(path, size, "%s", p);
	return err;
}

static void test_mountinfo(void **state)
{
	static const struct {
		const char *line;
		int err;
		uint32_t inode;
		const char *path;
	} t[] = {
		{ "612 25 0:4 net:[4026532591] /run/netns/fooz rw shared:6 - nsfs nsfs rw\n", 0, 4026532591u, "/run/netns/fooz" },
		{ "612 25 0:4 net:[4026532591] /run/netns/fooz rw - nsfs nsfs rw", 0, 4026532591u, "/run/netns/fooz" },
		{ "1 2 0:4 net:[7] /a\\040b\\011c\\012d\\134e rw shared:1 master:2 - nsfs nsfs rw", 0, 7, "/a b\tc\nd\\e" },
		{ "1 2 0:4 net:[7] /a\\04 rw - nsfs nsfs rw", 0, 7, "/a\\04" },
		/* A mount point named like the separator. */
		{ "1 2 0:4 net:[7] - rw - nsfs nsfs rw", 0, 7, "-" },
		{ "1 2 0:4 mnt:[4026532591] /run/x rw - nsfs nsfs rw", -ENOENT, 0, NULL },
		{ "1 2 8:1 / / rw - ext4 /dev/sda1 rw", -ENOENT, 0, NULL },
		/* A directory of that name on another file system. */
		{ "1 2 8:1 net:[7] /x rw - ext4 /dev/sda1 rw", -ENOENT, 0, NULL },
		{ "1 2 8:1 /net:[7] /x rw - nsfs nsfs rw", -ENOENT, 0, NULL },
		{ "", -EINVAL, 0, NULL },
		{ "\n", -EINVAL, 0, NULL },
		{ "1 2 0:4 net:[7]", -EINVAL, 0, NULL },
		{ "1 2 0:4 net:[7] /x rw shared:1", -EINVAL, 0, NULL },
		{ "1 2 0:4 net:[7] /x rw -", -EINVAL, 0, NULL },
	};
	char path[128];
	uint32_t inode;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(mountinfo(t[i].line, &inode, path, sizeof(path)), t[i].err);
		if (t[i].err)
			continue;
		assert_int_equal(inode, t[i].inode);
		assert_string_equal(path, t[i].path);
	}
}

static void test_word(void **state)
{
	char name[257];
	static const struct {
		const char *word;
		int err;
		enum netns_word kind;
		uint32_t number;
	} t[] = {
		{ "fooz", 0, NETNS_WORD_NAME, 0 },
		{ "12ab", 0, NETNS_WORD_NAME, 0 },
		{ "-1", 0, NETNS_WORD_NAME, 0 },
		{ "pid", 0, NETNS_WORD_NAME, 0 },
		{ "99999999999", 0, NETNS_WORD_NAME, 0 },	/* no inode has that number */
		{ "4026531840", 0, NETNS_WORD_INODE, 4026531840u },
		{ "/proc/1/ns/net", 0, NETNS_WORD_PATH, 0 },
		{ "./x", 0, NETNS_WORD_PATH, 0 },
		{ "pid:/x", 0, NETNS_WORD_PATH, 0 },
		{ "pid:1", 0, NETNS_WORD_PID, 1 },
		{ "pid:4194304", 0, NETNS_WORD_PID, 4194304 },
		{ "pid:", -EINVAL, 0, 0 },
		{ "pid:0", -EINVAL, 0, 0 },
		{ "pid:x", -EINVAL, 0, 0 },
		{ "pid:-1", -EINVAL, 0, 0 },
		{ "pid:2147483648", -EINVAL, 0, 0 },
		{ "", -EINVAL, 0, 0 },
		{ ".", -EINVAL, 0, 0 },
		{ "..", -EINVAL, 0, 0 },
	};
	enum netns_word kind;
	uint32_t number;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		number = 0;
		assert_int_equal(netns_parse_word(t[i].word, &kind, &number), t[i].err);
		if (t[i].err)
			continue;
		assert_int_equal(kind, t[i].kind);
		assert_int_equal(number, t[i].number);
	}
	memset(name, 'x', 256);
	name[256] = '\0';
	assert_int_equal(netns_parse_word(name, &kind, &number), -EINVAL);
	name[255] = '\0';
	assert_int_equal(netns_parse_word(name, &kind, &number), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_mountinfo),
		cmocka_unit_test(test_word),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
