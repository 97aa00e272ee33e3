// SPDX-License-Identifier: GPL-2.0-only
/* out_stats.c - `vms --stats`: statistics of starts out of the history, as text and as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diag.h"
#include "escape.h"
#include "out_stats.h"
#include "past.h"
#include "vm.h"
#include "vm_stats.h"

#define SLOWEST 10

/* Packets of a start may be counted so long after the time that was asked for. */
#define AFTER_NS (600 * 1000000000ULL)

struct report {
	const struct options *o;
	struct vm_stats *stats;
	struct stats_group *groups;
	size_t n_groups;
	const struct vm_begin *slowest[SLOWEST];
	size_t n_slowest;
};

/* ---- reading ---- */

static bool tells_of_start(const struct event *event)
{
	return event->change->event == EV_VM_START || event->change->event == EV_ATTACH_FAILED;
}

static int on_event(void *ctx, const struct event *event)
{
	struct report *r = ctx;

	return vm_stats_add(r->stats, event, tells_of_start(event) && filter_match(r->o->filter, event));
}

static int read_history(struct history_reader *reader, struct report *r)
{
	const struct options *o = r->o;
	struct history_query query = { 0 };
	int err = past_filter(reader, o->filter);

	if (!err)
		err = history_range(reader, o->since_ns, o->until_ns ? o->until_ns + AFTER_NS : 0, &query.first, &query.last);
	if (err)
		return err == -ENODATA ? 0 : err;
	return history_each(reader, &query, on_event, r);
}

/* ---- text ---- */

static void show(char *out, size_t size, const char *text)
{
	escape_term(out, size, text ? text : "", text ? strlen(text) : 0);
}

static void print_time(uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	char text[64] = "-";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s", text);
}

/* "packet_out" as "PACKET OUT" */
static void print_heading(const char *name)
{
	char text[32];
	size_t i;

	for (i = 0; name[i] && i < sizeof(text) - 1; i++)
		text[i] = name[i] == '_' ? ' ' : name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
	text[i] = '\0';
	printf(" %15s", text);
}

static void print_groups(const struct report *r)
{
	if (!r->o->noheadings && !r->o->quiet) {
		printf("%-10s %-16s %6s %6s", "DAY", "BY", "STARTS", "FAILED");
		for (size_t p = 0; p < STATS_PHASES; p++)
			print_heading(stats_phases[p].name);
		printf("\n");
	}
	for (size_t i = 0; i < r->n_groups; i++) {
		const struct stats_group *g = &r->groups[i];
		char by[ESCAPE_SIZE(VM_TEXT_LEN)], cell[48];

		show(by, sizeof(by), g->by ? g->by : "-");
		printf("%-10s %-16s %6zu %6zu", g->day, by, g->starts, g->failed);
		for (size_t p = 0; p < STATS_PHASES; p++) {
			snprintf(cell, sizeof(cell), "%.3f/%.3f", (double)g->phase[p].median_ns / 1e9,
				 (double)g->phase[p].p95_ns / 1e9);
			printf(" %15s", g->phase[p].n ? cell : "-");
		}
		printf("\n");
	}
}

static void print_machine(const struct vm_begin *start)
{
	char name[ESCAPE_SIZE(VM_TEXT_LEN)], type[64], manager[64];

	show(name, sizeof(name), start->name ? start->name : start->uuid);
	show(type, sizeof(type), start->type);
	show(manager, sizeof(manager), start->manager);
	printf("  ");
	print_time(start->realtime_ns);
	printf("  %s (%s%s%s), pid %u: ", *name ? name : "-", type, *manager ? ", " : "", manager, start->pid);
}

static void print_slow(const struct vm_begin *start)
{
	print_machine(start);
	printf("%.3f s", (double)stats_length(start) / 1e9);
	for (size_t p = 0; p < STATS_PHASES; p++) {
		uint64_t ns;

		if (stats_phase(start, &stats_phases[p], &ns))
			printf(", %s %.3f", stats_phases[p].name, (double)ns / 1e9);
	}
	printf("\n");
}

static void print_failure(const struct vm_begin *start)
{
	char name[ESCAPE_SIZE(TW_NAME_LEN)], holder[ESCAPE_SIZE(TW_NAME_LEN)];
	const char *word = strerrorname_np(start->error);

	print_machine(start);
	if (!start->error) {
		printf("ended %.3f s after it got its interface, no packet of it was seen\n", (double)start->ended_ns / 1e9);
		return;
	}
	escape_term(name, sizeof(name), start->requested, TW_NAME_LEN);
	escape_term(holder, sizeof(holder), start->holder, TW_NAME_LEN);
	printf("was refused %s: %s", *name ? name : "an interface", word ? word : "error");
	if (start->holder_pid)
		printf(", held by %s(%u)", holder, start->holder_pid);
	printf("\n");
}

static void print_text(const struct report *r)
{
	size_t n, failed = 0;
	const struct vm_begin *starts = vm_stats_starts(r->stats, &n);

	if (!r->o->noheadings && !r->o->quiet)
		printf("Seconds: median/95th percentile.\n");
	print_groups(r);
	for (size_t i = 0; i < r->n_slowest; i++) {
		if (!i)
			printf("\nSlowest:\n");
		print_slow(r->slowest[i]);
	}
	for (size_t i = 0; i < n; i++) {
		if (!stats_failed(&starts[i]))
			continue;
		if (!failed++)
			printf("\nFailed:\n");
		print_failure(&starts[i]);
	}
}

/* ---- JSON ---- */

static int put(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

static int put_text(struct json_object *object, const char *key, const char *text, size_t max)
{
	char safe[ESCAPE_SIZE(VM_TEXT_LEN)];

	if (!text || !*text)
		return 0;
	escape_utf8(safe, sizeof(safe), text, strnlen(text, max));
	return put(object, key, json_object_new_string(safe));
}

static int put_number(struct json_object *object, const char *key, uint64_t number)
{
	return put(object, key, json_object_new_uint64(number));
}

static int put_time(struct json_object *object, uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	char date[32], text[48];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		return 0;
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%09" PRIu64 "Z", date, realtime_ns % 1000000000);
	return put(object, "time", json_object_new_string(text));
}

static struct json_object *group_json(const struct stats_group *g)
{
	struct json_object *object = json_object_new_object(), *phases = json_object_new_object();
	int err = object && phases ? put_text(object, "day", g->day, sizeof(g->day)) : -ENOMEM;

	if (!err)
		err = put_text(object, "by", g->by, VM_TEXT_LEN);
	if (!err)
		err = put_number(object, "starts", g->starts);
	if (!err)
		err = put_number(object, "failed", g->failed);
	for (size_t p = 0; p < STATS_PHASES && !err; p++) {
		struct json_object *phase;

		if (!g->phase[p].n)
			continue;
		phase = json_object_new_object();
		err = put(phases, stats_phases[p].name, phase);
		if (!err)
			err = put_number(phase, "n", g->phase[p].n);
		if (!err)
			err = put_number(phase, "median_ns", g->phase[p].median_ns);
		if (!err)
			err = put_number(phase, "p95_ns", g->phase[p].p95_ns);
	}
	if (!err)
		err = put(object, "phases", json_object_get(phases));
	json_object_put(phases);
	if (!err)
		return object;
	json_object_put(object);
	return NULL;
}

static int put_failure(struct json_object *object, const struct vm_begin *start)
{
	const char *word = start->error ? strerrorname_np(start->error) : NULL;
	int err = 0;

	if (start->ended_ns)
		err = put_number(object, "ended_after_ns", start->ended_ns);
	if (!start->error || err)
		return err;
	err = put_text(object, "errno", word ? word : "unknown", VM_TEXT_LEN);
	if (!err)
		err = put_text(object, "requested", start->requested, TW_NAME_LEN);
	if (!err && start->holder_pid)
		err = put_text(object, "holder", start->holder, TW_NAME_LEN);
	if (!err && start->holder_pid)
		err = put_number(object, "holder_pid", start->holder_pid);
	return err;
}

static struct json_object *start_json(const struct vm_begin *start)
{
	struct json_object *object = json_object_new_object();
	int err = object ? put_number(object, "seq", start->seq) : -ENOMEM;

	if (!err)
		err = put_time(object, start->realtime_ns);
	if (!err)
		err = put_text(object, "name", start->name, VM_TEXT_LEN);
	if (!err)
		err = put_text(object, "uuid", start->uuid, VM_TEXT_LEN);
	if (!err)
		err = put_text(object, "type", start->type, VM_TEXT_LEN);
	if (!err)
		err = put_text(object, "by", start->manager ? start->manager : start->by, start->manager ? VM_TEXT_LEN : TW_NAME_LEN);
	if (!err)
		err = put_number(object, "pid", start->pid);
	if (!err && stats_length(start))
		err = put_number(object, "length_ns", stats_length(start));
	for (size_t p = 0; p < STATS_PHASES && !err; p++) {
		char key[48];
		uint64_t ns;

		if (!stats_phase(start, &stats_phases[p], &ns))
			continue;
		snprintf(key, sizeof(key), "%s_ns", stats_phases[p].name);
		err = put_number(object, key, ns);
	}
	if (!err)
		err = put_failure(object, start);
	if (!err)
		return object;
	json_object_put(object);
	return NULL;
}

static int append(struct json_object *array, struct json_object *value)
{
	if (value && !json_object_array_add(array, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

static int print_json(const struct report *r)
{
	struct json_object *object = json_object_new_object(), *groups = json_object_new_array();
	struct json_object *slowest = json_object_new_array(), *failed = json_object_new_array();
	int err = object && groups && slowest && failed ? 0 : -ENOMEM;
	const struct vm_begin *starts;
	size_t n;

	starts = vm_stats_starts(r->stats, &n);
	for (size_t i = 0; i < r->n_groups && !err; i++)
		err = append(groups, group_json(&r->groups[i]));
	for (size_t i = 0; i < r->n_slowest && !err; i++)
		err = append(slowest, start_json(r->slowest[i]));
	for (size_t i = 0; i < n && !err; i++)
		if (stats_failed(&starts[i]))
			err = append(failed, start_json(&starts[i]));
	if (!err)
		err = put(object, "groups", json_object_get(groups));
	if (!err)
		err = put(object, "slowest", json_object_get(slowest));
	if (!err)
		err = put(object, "failed", json_object_get(failed));
	if (!err && printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE)) < 0)
		err = -errno;
	json_object_put(groups);
	json_object_put(slowest);
	json_object_put(failed);
	json_object_put(object);
	return err;
}

/* ---- */

static int tell(struct report *r)
{
	int err = vm_stats_groups(r->stats, &r->groups, &r->n_groups);

	if (err)
		return err;
	r->n_slowest = vm_stats_slowest(r->stats, r->slowest, SLOWEST);
	if (r->o->json)
		err = print_json(r);
	else if (r->n_groups)
		print_text(r);
	else if (!r->o->quiet)
		warn_msg("no virtual machine that matches was started in that time");
	errno = 0;
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = errno ? -errno : -EIO;
	return err;
}

int out_stats(const struct options *o)
{
	struct history_reader *reader = past_open(o);
	struct report r = { .o = o, .stats = vm_stats_new(o->since_ns, o->until_ns) };
	int err = r.stats ? 0 : -ENOMEM;
	bool read = false;

	if (reader && !err)
		err = history_reader_begin(reader);
	if (reader && !err) {
		err = read_history(reader, &r);
		history_reader_end(reader);
		read = !err;
	}
	if (reader)
		history_reader_close(reader);
	if (read)
		err = tell(&r);
	free(r.groups);
	vm_stats_free(r.stats);
	if (!reader)
		return EXIT_FAILED;
	if (err && err != -EPIPE && read && err != -ENOMEM)
		warn_msg("cannot write to standard output: %s", strerror(-err));
	else if (err && err != -EPIPE)
		return past_failed(o, err);
	return err && err != -EPIPE ? EXIT_FAILED : EXIT_FINE;
}
