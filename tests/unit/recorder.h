/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recorder.h - a bindings machine whose changes are written down, one compact
 * line each:
 *   EVENT [dID] [fID] [fd=N] [pid=N] [NAME@NETNS#IFINDEX] [what CHANGED] [how=…] [seed]
 */
#ifndef TW_TEST_RECORDER_H
#define TW_TEST_RECORDER_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "facts.h"

#define LINES 600
#define LINE_LEN 320

struct recorder {
	struct bindings *b;
	size_t n;
	char lines[LINES][LINE_LEN];
};

#define say(...) (at += (size_t)snprintf(line + at, LINE_LEN - at, __VA_ARGS__))

static inline size_t render_old(char *line, size_t at, const struct change *c)
{
	if (c->has & CH_OLD_NETNS)
		say(" old.netns=%u", c->old.netns);
	if (c->has & CH_OLD_IFINDEX)
		say(" old.ifindex=%u", c->old.ifindex);
	if (c->has & CH_OLD_IFNAME)
		say(" old.ifname=%s", c->old.ifname);
	if (c->has & CH_OLD_MAC)
		say(" old.mac=..:%02x", c->old.mac[5]);
	if (c->has & CH_OLD_COMM)
		say(" old.comm=%.*s", TW_NAME_LEN, c->old.comm);
	return at;
}

static inline void record(void *ctx, const struct change *c)
{
	struct recorder *r = ctx;
	char *line = r->lines[r->n < LINES - 1 ? r->n++ : r->n];
	size_t i, at = 0;

	say("%s", event_name(c->event));
	if (c->dev)
		say(" d%" PRIu64, c->dev->id);
	if (c->file)
		say(" f%" PRIu64, c->file->id);
	if (c->has & CH_FD)
		say(" fd=%d", c->fd);
	if (c->has & CH_TASK)
		say(" pid=%u", c->task->pid);
	if (c->dev)
		say(" %s@%u#%u", c->dev->d.ifname, c->dev->d.netns, c->dev->d.ifindex);
	if (c->file && c->event == EV_EXIST)
		say(" %s", file_state_name(c->file->state));
	at = render_old(line, at, c);
	if (c->has & CH_ERRNO)
		say(" errno=%d", c->error);
	if (c->has & CH_REQUESTED)
		say(" requested=%s", c->requested);
	for (i = 0; i < c->held_by_len; i++)
		say("%s%u:%d", i ? "," : " held_by=", c->held_by[i]->task.pid, c->held_by[i]->fd);
	if (c->has & CH_CREATED)
		say(" created");
	if (c->has & CH_VALUE)
		say(" value=%d", c->value);
	if (c->how)
		say(" how=%s", how_name(c->how));
	if (c->has & CH_SEED)
		say(" seed");
}

static inline struct recorder *recorder_new(void)
{
	struct recorder *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->b = bindings_new(record, r);
	assert_non_null(r->b);
	return r;
}

static inline int recorder_setup(void **state)
{
	*state = recorder_new();
	return 0;
}

static inline int recorder_teardown(void **state)
{
	struct recorder *r = *state;

	bindings_free(r->b);
	free(r);
	return 0;
}

static inline void apply_all(struct recorder *r, const struct tw_event *facts, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		assert_int_equal(bindings_apply(r->b, &facts[i]), 0);
}

static inline void expect_all(struct recorder *r, const char *const *lines, size_t n, const char *file, int at)
{
	size_t i;

	for (i = 0; i < n || i < r->n; i++) {
		const char *want = i < n ? lines[i] : "(nothing)", *got = i < r->n ? r->lines[i] : "(nothing)";

		if (strcmp(want, got))
			fail_msg("%s:%d: change %zu\n  expected: %s\n  but told: %s", file, at, i, want, got);
	}
	r->n = 0;
}

#define APPLY(r, ...) \
	apply_all(r, (struct tw_event[]){ __VA_ARGS__ }, \
		  sizeof((struct tw_event[]){ __VA_ARGS__ }) / sizeof(struct tw_event))
#define EXPECT(r, ...) \
	expect_all(r, (const char *[]){ __VA_ARGS__ }, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), \
		   __FILE__, __LINE__)
#define EXPECT_NOTHING(r) expect_all(r, NULL, 0, __FILE__, __LINE__)
/* What was told so far is another test's. */
#define FORGET(r) ((r)->n = 0)

#endif /* TW_TEST_RECORDER_H */
