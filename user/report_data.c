// SPDX-License-Identifier: GPL-2.0-only
/*
 * report_data.c - events as the page's script reads them (report/report.js).
 *
 * What repeats itself, a process or a state of a device, is written once and
 * referred to by its number. Which ones were written is remembered in a table
 * of fixed size: what falls out of it is written again when it comes again.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "escape.h"
#include "netns.h"
#include "out.h"
#include "report.h"

#define SLOTS 4096
#define EXE_LEN 200	/* of a path */
#define DETAIL_LEN 512

enum dict_id { DICT_PROCESS, DICT_DEVICE, DICT_MACHINE, DICT_MAX };

/* Letters that the script knows them by. */
static const char dict_letter[DICT_MAX] = { 'p', 'd', 'm' };

struct dict {
	struct { char *json; long number; } slot[SLOTS];
	long next;
};

struct writer {
	struct history_reader *reader;
	const struct report_range *range;
	const struct report_chosen *chosen;
	FILE *out;
	uint64_t bytes;
	const char *separator;
	char boot_id[BOOT_ID_LEN + 1];
	uint64_t base_ms;
	long zone;		/* seconds east of UTC that were told */
	bool zoned;
	bool began, full;
	struct out_text text;
	struct dict *dict;	/* DICT_MAX of them */
};

/* ---- JSON ---- */

size_t report_json(const char *json, FILE *out)
{
	static const struct { const char *bytes, *escape; } special[] = {
		{ "<", "\\u003c" }, { ">", "\\u003e" }, { "&", "\\u0026" },
		{ "\xe2\x80\xa8", "\\u2028" }, { "\xe2\x80\xa9", "\\u2029" },
	};
	size_t done = 0;

	for (const char *at = json, *next; *at; at = next) {
		const char *put = NULL;
		size_t len = strcspn(at, "<>&\xe2");

		next = at + len;
		fwrite(at, 1, len, out);
		done += len;
		if (!*next)
			break;
		for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
			if (strncmp(next, special[i].bytes, strlen(special[i].bytes)))
				continue;
			put = special[i].escape;
			next += strlen(special[i].bytes);
			break;
		}
		if (put) {
			fputs(put, out);
			done += strlen(put);
		} else {
			putc(*next++, out);
			done++;
		}
	}
	return done;
}

static const char *text_of(struct json_object *object)
{
	return json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* Takes the value over. 0 or -ENOMEM. */
static int put(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

/* Text from outside; NULL is left out. */
static int put_text(struct json_object *object, const char *key, const char *text, size_t len)
{
	char safe[ESCAPE_SIZE(512)];

	if (!text || !*text)
		return 0;
	escape_utf8(safe, sizeof(safe), text, strnlen(text, len < 512 ? len : 512));
	return put(object, key, json_object_new_string(safe));
}

static void write_item(struct writer *w, const char *before, const char *json, const char *after)
{
	fprintf(w->out, "%s%s", w->separator, before);
	w->bytes += strlen(before) + report_json(json, w->out) + strlen(after) + 2;
	fputs(after, w->out);
	w->separator = ",\n";
}

/* ---- what is written once ---- */

/* FNV-1a */
static size_t slot_of(const char *json)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *json; json++)
		hash = (hash ^ (unsigned char)*json) * 0x100000001b3;
	return (hash ^ hash >> 32) % SLOTS;
}

/* The number of what this says, which is written if it was not; -1: it says nothing. *err: -ENOMEM. */
static long number_of(struct writer *w, enum dict_id id, struct json_object *object, int *err)
{
	struct dict *dict = &w->dict[id];
	const char *json;
	char before[16];
	size_t slot;

	if (*err || !object || !json_object_object_length(object))
		return -1;
	json = text_of(object);
	slot = json ? slot_of(json) : 0;
	if (json && dict->slot[slot].json && !strcmp(dict->slot[slot].json, json))
		return dict->slot[slot].number;
	free(dict->slot[slot].json);
	dict->slot[slot].json = json ? strdup(json) : NULL;
	if (!dict->slot[slot].json) {
		*err = -ENOMEM;
		return -1;
	}
	snprintf(before, sizeof(before), "{\"%c\":", dict_letter[id]);
	write_item(w, before, json, "}");
	return dict->slot[slot].number = dict->next++;
}

/* What is of no use in the page. */
static void leave_out(struct json_object *object, const char *const *keys)
{
	for (; object && *keys; keys++)
		json_object_object_del(object, *keys);
}

static long process_number(struct writer *w, const struct event *event, struct json_object *all, int *err)
{
	static const char *const useless[] = { "tid", "ppid", "cgroup", "netns", "exe", "start_ns", NULL };
	const struct tw_task *task = event->change->task;
	struct json_object *process;
	char start[24];

	if (!task || !json_object_object_get_ex(all, "process", &process))
		return -1;
	leave_out(process, useless);
	/* as text: JavaScript's numbers are too short for it */
	snprintf(start, sizeof(start), "%" PRIu64, (uint64_t)task->start_ns);
	if (task->start_ns)
		*err = put(process, "start_ns", json_object_new_string(start));
	if (!*err && event->process)
		*err = put_text(process, "exe", event->process->exe, EXE_LEN);
	if (!*err && event->process)
		*err = put_text(process, "user", event->process->user, EXE_LEN);
	return number_of(w, DICT_PROCESS, process, err);
}

static long device_number(struct writer *w, struct json_object *all, int *err)
{
	static const char *const useless[] = { "socket_netns", NULL };
	struct json_object *device;

	if (!json_object_object_get_ex(all, "device", &device))
		return -1;
	leave_out(device, useless);
	return number_of(w, DICT_DEVICE, device, err);
}

static long machine_number(struct writer *w, struct json_object *all, int *err)
{
	struct json_object *vm;

	return json_object_object_get_ex(all, "vm", &vm) ? number_of(w, DICT_MACHINE, vm, err) : -1;
}

/* ---- events ---- */

static int64_t offset_us(const struct writer *w, uint64_t realtime_ns)
{
	return (int64_t)(realtime_ns / 1000) - (int64_t)(w->base_ms * 1000);
}

/* `more`: what few events have. */
static int put_more(struct writer *w, const struct event *event, struct json_object *more)
{
	const struct change *c = event->change;
	bool acts = c->event == EV_EXIST || c->event == EV_OPEN || c->event == EV_HOLD;
	int err = 0;

	if (c->event == EV_EXIST && event_state(event))
		err = put(more, "s", json_object_new_string(event_state(event)));
	if (!err && !c->dev && c->file && (c->file->has & TW_HAS_SOCKET_NETNS))
		err = put(more, "ns", json_object_new_int64(c->file->f.socket_netns));
	if (!err && !c->dev)
		err = put_text(more, "label", event->socket_netns_name, 256);
	if (!err && !c->dev && (c->has & CH_REQUESTED))
		err = put_text(more, "requested", c->requested, sizeof(c->requested));
	if (!err && c->event == EV_GAP && event->gap && event->gap->from_realtime_ns)
		err = put(more, "gap", json_object_new_int64(offset_us(w, event->gap->from_realtime_ns)));
	if (!err && (c->has & CH_SEED) && !acts)
		err = put(more, "scan", json_object_new_boolean(true));
	return err;
}

static int put_detail(struct writer *w, const struct event *event, struct json_object *array)
{
	struct event brief = *event;
	char detail[DETAIL_LEN];
	struct json_object *text;

	/* the machine has a column of its own */
	brief.vm_type = brief.vm_name = brief.vm_uuid = brief.vm_manager = NULL;
	out_detail(&w->text, detail, sizeof(detail), &brief);
	text = json_object_new_string(detail);
	if (text && !json_object_array_add(array, text))
		return 0;
	json_object_put(text);
	return -ENOMEM;
}

static int write_event(struct writer *w, const struct event *event, const long number[DICT_MAX])
{
	struct json_object *array = json_object_new_array(), *more = json_object_new_object();
	const struct change *c = event->change;
	int fd = (c->has & CH_FD) && c->fd >= 0 ? c->fd : -1;
	const int64_t numbers[] = {
		(int64_t)event->seq, offset_us(w, event->realtime_ns), c->event, number[DICT_PROCESS], fd,
		c->file ? (int64_t)c->file->id : 0, number[DICT_DEVICE], number[DICT_MACHINE],
	};
	int err = array && more ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !err; i++) {
		struct json_object *value = json_object_new_int64(numbers[i]);

		if (!value || json_object_array_add(array, value)) {
			json_object_put(value);
			err = -ENOMEM;
		}
	}
	if (!err)
		err = put_detail(w, event, array);
	if (!err)
		err = put_more(w, event, more);
	if (!err && json_object_object_length(more))
		err = json_object_array_add(array, json_object_get(more)) ? -ENOMEM : 0;
	if (!err)
		write_item(w, "", text_of(array), "");
	json_object_put(more);
	json_object_put(array);
	return err;
}

/* Nothing survives a restart of the machine. */
static void note_boot(struct writer *w, const struct event *event)
{
	char json[BOOT_ID_LEN + 8];

	if (!event->boot_id || !strcmp(event->boot_id, w->boot_id))
		return;
	snprintf(w->boot_id, sizeof(w->boot_id), "%s", event->boot_id);
	snprintf(json, sizeof(json), "\"%s\"", w->boot_id);
	write_item(w, "{\"boot\":", json, "}");
}

/* Local time is ours, as in all that is printed, wherever the page is read. */
static void note_zone(struct writer *w, const struct event *event)
{
	time_t seconds = (time_t)(event->realtime_ns / 1000000000);
	char json[32];
	struct tm tm;

	if (!localtime_r(&seconds, &tm) || (w->zoned && w->zone == tm.tm_gmtoff))
		return;
	w->zoned = true;
	w->zone = tm.tm_gmtoff;
	snprintf(json, sizeof(json), "%ld", w->zone);
	write_item(w, "{\"zone\":", json, "}");
}

static void note_beginning(struct writer *w, uint64_t seq)
{
	char json[24];

	if (w->began || seq < w->range->first)
		return;
	w->began = true;
	snprintf(json, sizeof(json), "%" PRIu64, seq);
	write_item(w, "{\"from\":", json, "}");
}

static int on_event(void *ctx, const struct event *event)
{
	struct writer *w = ctx;
	long number[DICT_MAX];
	struct json_object *all;
	int err = 0;

	note_boot(w, event);
	if (!report_wants(w->chosen, event))
		return 0;
	if (w->bytes > REPORT_BYTES) {
		w->full = true;
		return 1;
	}
	note_beginning(w, event->seq);
	note_zone(w, event);
	all = event_json(event);
	if (!all)
		return -ENOMEM;
	number[DICT_PROCESS] = process_number(w, event, all, &err);
	number[DICT_DEVICE] = device_number(w, all, &err);
	number[DICT_MACHINE] = machine_number(w, all, &err);
	if (!err)
		err = write_event(w, event, number);
	json_object_put(all);
	if (!err && ferror(w->out))
		err = errno ? -errno : -EIO;
	return err;
}

/* ---- what leads to the state ---- */

struct entries {
	history_fn fn;
	void *ctx;
};

/* An entry of a snapshot is of the seq it was made after: it is no event to be shown. */
static int on_entry(void *ctx, const struct event *event)
{
	const struct entries *entries = ctx;
	struct event entry = *event;

	entry.seq = 0;
	return entries->fn(entries->ctx, &entry);
}

int report_walk(struct history_reader *reader, const struct report_range *range, history_fn fn, void *ctx)
{
	struct history_query query = { .first = 1, .last = range->last };
	struct entries entries = { fn, ctx };
	int ret = 0;

	if (!range->last)
		return 0;
	if (range->first > 1)
		ret = history_snapshot(reader, range->first - 1, &query.first, on_entry, &entries);
	return ret ? ret : history_each(reader, &query, fn, ctx);
}

/* ---- the document ---- */

static int write_about(struct writer *w)
{
	struct json_object *about = json_object_new_object(), *kinds = json_object_new_array();
	int err = about && kinds ? 0 : -ENOMEM;

	for (int kind = 0; kind < EV_MAX && !err; kind++)
		err = json_object_array_add(kinds, json_object_new_string(event_name((enum event_kind)kind))) ? -ENOMEM : 0;
	if (!err)
		err = put(about, "base", json_object_new_int64((int64_t)w->base_ms));
	if (!err)
		err = put(about, "init", json_object_new_int64(w->text.init_netns));
	if (!err)
		err = put(about, "kinds", json_object_get(kinds));
	json_object_put(kinds);
	if (!err) {
		fputs("{\"about\":", w->out);
		report_json(text_of(about), w->out);
		fputs(",\n\"stream\":[\n", w->out);
	}
	json_object_put(about);
	return err;
}

static int find_base(struct writer *w)
{
	struct event event;
	int err = 0;

	if (w->range->last)
		err = history_event(w->reader, w->range->first, &event);
	w->base_ms = w->range->last && !err ? event.realtime_ns / 1000000 : 0;
	return err;
}

int report_data(struct history_reader *reader, const struct report_range *range, const struct report_chosen *chosen,
		FILE *out)
{
	struct writer w = {
		.reader = reader, .range = range, .chosen = chosen, .out = out, .separator = "", .text = { .date = true, .init_netns = netns_initial() },
		.dict = calloc(DICT_MAX, sizeof(*w.dict)),
	};
	int err = w.dict ? find_base(&w) : -ENOMEM;

	if (!err)
		err = write_about(&w);
	if (!err)
		err = report_walk(reader, range, on_event, &w);
	if (err >= 0) {
		fprintf(out, "\n],\n\"full\":%s}", w.full ? "true" : "false");
		err = 0;
	}
	for (int id = 0; w.dict && id < DICT_MAX; id++)
		for (size_t i = 0; i < SLOTS; i++)
			free(w.dict[id].slot[i].json);
	free(w.dict);
	return err;
}
