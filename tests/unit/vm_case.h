/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vm_case.h - one process of tests/data/cmdlines out of its text: lines
 * "exe PATH", "cgroup PATH", "root PATH", "config TEXT", "cut" and comments, an empty line,
 * then one argument a line. %NN is a byte in hex. Also what the fuzzer makes of
 * its input, so any text is fine.
 */
#ifndef TW_TESTS_VM_CASE_H
#define TW_TESTS_VM_CASE_H

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/vm.h"

struct vm_case {
	struct vm_process process;
	char *text;	/* all strings point in here */
};

static int vm_case_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. %00 ends the text. */
static void vm_case_decode(char *line)
{
	char *to = line;

	for (; *line; line++) {
		if (*line == '%' && vm_case_digit(line[1]) >= 0 && vm_case_digit(line[2]) >= 0) {
			*to++ = (char)(vm_case_digit(line[1]) << 4 | vm_case_digit(line[2]));
			line += 2;
		} else {
			*to++ = *line;
		}
	}
	*to = '\0';
}

static const char *vm_case_value(char *line, const char *key)
{
	size_t len = strlen(key);

	if (strncmp(line, key, len) || line[len] != ' ')
		return NULL;
	vm_case_decode(line + len + 1);
	return line + len + 1;
}

static void vm_case_header(struct vm_case *c, char *line)
{
	const char *value;

	if ((value = vm_case_value(line, "exe"))) {
		c->process.exe = value;
	} else if ((value = vm_case_value(line, "cgroup"))) {
		c->process.cgroup = value;
	} else if ((value = vm_case_value(line, "root"))) {
		c->process.root = value;
	} else if ((value = vm_case_value(line, "config"))) {
		c->process.config = value;
		c->process.config_len = strlen(value);
	} else if (!strcmp(line, "cut")) {
		c->process.argv_cut = true;
	}
}

/* vm_case_free() it. False when out of memory. `data` needs no NUL. */
static bool vm_case_read(struct vm_case *c, const char *data, size_t len)
{
	char *line, *end, *out;
	bool header = true;

	memset(c, 0, sizeof(*c));
	c->text = malloc(len + 2);
	if (!c->text)
		return false;
	memcpy(c->text, data, len);
	c->text[len] = c->text[len + 1] = '\0';
	for (line = c->text; header && line < c->text + len; line = end + 1) {
		end = line + strcspn(line, "\n");
		*end = '\0';
		header = *line;
		if (*line != '#')
			vm_case_header(c, line);
	}
	/* arguments get shorter only: they can be joined where they stand */
	c->process.argv = out = line < c->text + len ? line : c->text + len;
	for (; line < c->text + len; line = end + 1) {
		size_t n;

		end = line + strcspn(line, "\n");
		*end = '\0';
		vm_case_decode(line);
		n = strlen(line) + 1;
		memmove(out, line, n);
		out += n;
	}
	c->process.argv_len = (size_t)(out - c->process.argv);
	/* cut in the middle of an argument: there is no NUL at the end then */
	if (c->process.argv_cut && c->process.argv_len)
		c->process.argv_len--;
	*out = '\0';
	return true;
}

static void vm_case_free(struct vm_case *c)
{
	free(c->text);
}

#endif
