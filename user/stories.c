// SPDX-License-Identifier: GPL-2.0-only
/* stories.c - see stories.h. */
#include "stories.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "runtime.h"

struct json_object *stories_all(void)
{
	return runtime_ask("chains-all");
}

static uint64_t number_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_uint64(value) : 0;
}

/* Start times are told in ns by the kernel's own account, in clock ticks by /proc. */
static bool same_start(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) < 1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Is the file of this row the one of that story? They have a holder in common, or neither has one. */
static bool tells_of(struct json_object *story, const struct row *row)
{
	struct json_object *holders;

	if (!json_object_object_get_ex(story, "holders", &holders) || !json_object_is_type(holders, json_type_array))
		return false;
	if (!(row->has & TW_HAS_TASK))
		return !json_object_array_length(holders) && number_of(story, "netns") == row->dev.netns &&
		       number_of(story, "ifindex") == row->dev.ifindex;
	for (size_t i = 0; i < json_object_array_length(holders); i++) {
		struct json_object *h = json_object_array_get_idx(holders, i);

		if (number_of(h, "pid") == row->task.pid && number_of(h, "fd") == (uint64_t)row->fd &&
		    same_start(number_of(h, "start_ns"), row->task.start_ns))
			return true;
	}
	return false;
}

/* Did that tapwatch see the file from its open on? */
static bool is_whole(struct json_object *story)
{
	struct json_object *chain, *first, *event, *source;

	if (!json_object_object_get_ex(story, "chain", &chain))
		return false;
	first = json_object_array_get_idx(chain, 0);
	return first && json_object_object_get_ex(first, "event", &event) &&
	       !strcmp(json_object_get_string(event), "open") && !json_object_object_get_ex(first, "source", &source);
}

struct json_object *story_of(struct json_object *stories, const struct row *row)
{
	struct json_object *best = NULL;

	for (size_t i = 0; stories && i < json_object_array_length(stories); i++) {
		struct json_object *story = json_object_array_get_idx(stories, i);

		if (tells_of(story, row) && (!best || (is_whole(story) && !is_whole(best))))
			best = story;
	}
	return best;
}

/* ---- since when ---- */

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : NULL;
}

static bool is_text(struct json_object *object, const char *key, const char *text)
{
	const char *value = text_of(object, key);

	return value && !strcmp(value, text);
}

/* "2026-11-22T03:12:01.123456789Z" */
uint64_t story_time(struct json_object *step)
{
	const char *text = text_of(step, "time"), *rest;
	struct tm tm = { 0 };

	rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	if (!rest || *rest != '.')
		return 0;
	return (uint64_t)timegm(&tm) * 1000000000 + strtoull(rest + 1, NULL, 10);
}

static bool is_by(struct json_object *step, const struct row *row)
{
	struct json_object *process;

	return json_object_object_get_ex(step, "process", &process) && number_of(process, "pid") == row->task.pid &&
	       same_start(number_of(process, "start_ns"), row->task.start_ns);
}

/* Its program got the file with the last exec, or it got it by itself. 0 unknown. */
static uint64_t held_since(struct json_object *story, const struct row *row)
{
	struct json_object *chain, *got = NULL;

	if (!json_object_object_get_ex(story, "chain", &chain))
		return 0;
	for (size_t i = 0; i < json_object_array_length(chain); i++) {
		struct json_object *step = json_object_array_get_idx(chain, i);

		if (is_by(step, row) && !is_text(step, "event", "drop") && (!got || is_text(step, "how", "exec")))
			got = step;
	}
	return got && !text_of(got, "source") ? story_time(got) : 0;
}

static int by_machine(const void *a, const void *b)
{
	uint32_t x = row_machine_pid(*(struct row *const *)a), y = row_machine_pid(*(struct row *const *)b);

	return x < y ? -1 : x > y;
}

/* The rows of one machine. */
static void fill_machine(struct row **row, size_t len)
{
	uint64_t first = 0, start = 0;

	for (size_t i = 0; i < len; i++) {
		if (!row[i]->held_ns || row[i]->start_realtime_ns <= 0)
			return;
		if (!first || row[i]->held_ns < first)
			first = row[i]->held_ns;
		if (!start || (uint64_t)row[i]->start_realtime_ns < start)
			start = (uint64_t)row[i]->start_realtime_ns;
	}
	for (size_t i = 0; i < len; i++)
		row[i]->start_took_ns = first > start ? first - start : 0;
}

void starts_fill(struct rows *rows)
{
	struct row **machines = calloc(rows->len + 1, sizeof(*machines));
	size_t n = 0;

	for (size_t i = 0; machines && i < rows->len; i++)
		if (rows->row[i].vm_type)
			machines[n++] = &rows->row[i];
	if (n)
		qsort(machines, n, sizeof(*machines), by_machine);
	for (size_t i = 0, len; i < n; i += len) {
		for (len = 1; i + len < n && !by_machine(&machines[i], &machines[i + len]);)
			len++;
		fill_machine(&machines[i], len);
	}
	free(machines);
}

void stories_fill(struct rows *rows, struct json_object *stories)
{
	for (size_t i = 0; i < rows->len; i++) {
		struct row *row = &rows->row[i];
		struct json_object *story = row->vm_type ? story_of(stories, row) : NULL;

		if (story)
			row->held_ns = held_since(story, row);
	}
	starts_fill(rows);
}
