/* SPDX-License-Identifier: GPL-2.0-only */
/* state.h - for tests of what is made of a state: one that tells nobody, rows, and how a test begins and ends with them. */
#ifndef TW_TESTS_STATE_H
#define TW_TESTS_STATE_H

#include <string.h>

#include "../../user/rows.h"
#include "facts.h"

static struct bindings *b;
static struct rows rows;

static void ignore(void *ctx, const struct change *change)
{
	(void)ctx;
	(void)change;
}

static int setup(void **state)
{
	(void)state;
	b = bindings_new(ignore, NULL);
	assert_non_null(b);
	memset(&rows, 0, sizeof(rows));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bindings_free(b);
	rows_free(&rows);
	return 0;
}

#endif /* TW_TESTS_STATE_H */
