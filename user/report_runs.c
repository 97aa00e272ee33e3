// SPDX-License-Identifier: GPL-2.0-only
/*
 * report_runs.c - the timelines of all machines that started in a range.
 *
 * vm_story.c looks for the events of one machine; here they are of many, in a
 * few walks over the range: backwards for the starts; for the files and devices
 * that events name as a machine's; for the files of those who prepared them; and
 * for the events about any of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netns.h"
#include "out_timeline.h"
#include "report.h"
#include "vm_story.h"
#include "xml.h"

#define BEFORE_NS (600 * 1000000000ULL)	/* how long before its start a machine is prepared */
#define AFTER_NS (10 * 1000000000ULL)	/* how long after its end there is cleaned up */
#define MOST_IDS 512			/* of files and devices of a machine */
#define MOST_ITEMS 2000			/* events of a machine; more than fit into its picture */

struct ids {
	uint64_t id[MOST_IDS];
	size_t n;
};

struct run {
	struct story story;
	char boot_id[BOOT_ID_LEN + 1];
	uint64_t stop_boottime_ns;
	uint64_t next_seq;	/* start of a later one of the same name; 0: there is none */
	struct ids files, devices;
};

struct runs {
	struct run *run[REPORT_RUNS];	/* newest first */
	size_t n;
	uint64_t left_out;
	const struct report_chosen *chosen;
	int err;
};

/* ---- starts ---- */

static bool same_machine(const struct run *run, const struct event *event)
{
	return event_same_text(run->story.name, event->vm_name) && event_same_text(run->story.uuid, event->vm_uuid) &&
	       event_same_text(run->story.type, event->vm_type) && (!event->boot_id || !strcmp(event->boot_id, run->boot_id));
}

static char *copy(const char *text, int *err)
{
	char *made = text ? strdup(text) : NULL;

	if (text && !made)
		*err = -ENOMEM;
	return made;
}

/* Backwards: those met before are later ones. */
static int on_start(void *ctx, const struct event *event)
{
	struct runs *runs = ctx;
	struct run *run;

	if (event->change->event != EV_VM_START || !report_wants(runs->chosen, event))
		return 0;
	if (runs->n == REPORT_RUNS) {
		runs->left_out++;
		return 0;
	}
	run = calloc(1, sizeof(*run));
	if (!run)
		return -ENOMEM;
	runs->run[runs->n++] = run;
	run->story = (struct story){
		.type = copy(event->vm_type, &runs->err), .name = copy(event->vm_name, &runs->err),
		.uuid = copy(event->vm_uuid, &runs->err), .manager = copy(event->vm_manager, &runs->err),
		.pid = event_machine_pid(event), .process_start_ns = event_machine_start(event), .start_seq = event->seq,
		.start_realtime_ns = event->realtime_ns, .start_boottime_ns = event->change->time_ns,
	};
	snprintf(run->boot_id, sizeof(run->boot_id), "%s", event->boot_id ? event->boot_id : "");
	for (size_t i = runs->n - 1; i-- > 0 && !run->next_seq;)
		if (same_machine(runs->run[i], event))
			run->next_seq = runs->run[i]->story.start_seq;
	return runs->err;
}

/* ---- whose is what ---- */

static bool has_id(const struct ids *ids, uint64_t id)
{
	for (size_t i = 0; id && i < ids->n; i++)
		if (ids->id[i] == id)
			return true;
	return false;
}

static void add_id(struct ids *ids, uint64_t id)
{
	if (id && ids->n < MOST_IDS && !has_id(ids, id))
		ids->id[ids->n++] = id;
}

static uint64_t file_id(const struct event *event)
{
	return event->change->file ? event->change->file->id : 0;
}

static uint64_t device_id(const struct event *event)
{
	return event->change->dev ? event->change->dev->id : 0;
}

/* Does the event name this run of the machine? */
static bool names(const struct run *run, const struct event *event)
{
	if (!event->vm_type || !same_machine(run, event))
		return false;
	if (event->process && event->process->vm_pid)
		return event->process->vm_pid == run->story.pid;
	return event->seq >= run->story.start_seq && (!run->next_seq || event->seq < run->next_seq);
}

static int on_ids(void *ctx, const struct event *event)
{
	struct runs *runs = ctx;

	for (size_t i = 0; i < runs->n && event->vm_type; i++) {
		struct run *run = runs->run[i];

		if (!names(run, event))
			continue;
		if (event->change->event != EV_ATTACH_FAILED) {
			add_id(&run->files, file_id(event));
			add_id(&run->devices, device_id(event));
		}
		if (event->change->event == EV_VM_STOP && !run->story.stop_seq && event->seq > run->story.start_seq) {
			run->story.stop_seq = event->seq;
			run->story.stop_realtime_ns = event->realtime_ns;
			run->stop_boottime_ns = event->change->time_ns;
		}
	}
	return 0;
}

/* Is it of the time of this run, its preparation included? */
static bool is_near(const struct run *run, const struct event *event)
{
	uint64_t at = event->change->time_ns, begin = run->story.start_boottime_ns;

	return (!event->boot_id || !strcmp(event->boot_id, run->boot_id)) && (begin <= BEFORE_NS || at >= begin - BEFORE_NS) &&
	       (!run->story.stop_seq || at <= run->stop_boottime_ns + AFTER_NS);
}

/* Whoever prepared a device did so through a file of it, whose open has no device yet. */
static int on_preparation(void *ctx, const struct event *event)
{
	struct runs *runs = ctx;

	for (size_t i = 0; i < runs->n && file_id(event) && device_id(event); i++)
		if (has_id(&runs->run[i]->devices, device_id(event)) && is_near(runs->run[i], event))
			add_id(&runs->run[i]->files, file_id(event));
	return 0;
}

/* ---- its events ---- */

/* Somebody else wanted its device. */
static bool is_refused(const struct run *run, const struct change *c)
{
	for (size_t i = 0; i < c->held_by_len; i++)
		if (c->held_by[i]->task.pid == run->story.pid)
			return true;
	return false;
}

static bool is_about(const struct run *run, const struct event *event)
{
	return is_near(run, event) && (names(run, event) || has_id(&run->files, file_id(event)) ||
				       has_id(&run->devices, device_id(event)) || is_refused(run, event->change));
}

static int add_item(struct run *run, const struct event *event)
{
	struct story *story = &run->story;
	struct story_item *grown;

	if (story->n_items == MOST_ITEMS) {
		story->cut = true;
		/* the end is worth more than what came before it */
		memmove(story->items + MOST_ITEMS / 2, story->items + MOST_ITEMS / 2 + 1,
			(MOST_ITEMS / 2 - 1) * sizeof(*story->items));
		story->n_items--;
	}
	grown = reallocarray(story->items, story->n_items + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	story->items = grown;
	grown[story->n_items++] = (struct story_item){ event->seq, event->change->time_ns };
	return 0;
}

static int on_item(void *ctx, const struct event *event)
{
	struct runs *runs = ctx;
	int err = 0;

	for (size_t i = 0; i < runs->n && !err; i++)
		if (is_about(runs->run[i], event))
			err = add_item(runs->run[i], event);
	return err;
}

static int by_time(const void *a, const void *b)
{
	const struct story_item *x = a, *y = b;

	if (x->boottime_ns != y->boottime_ns)
		return x->boottime_ns < y->boottime_ns ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int collect(struct history_reader *reader, const struct report_range *range, struct runs *runs)
{
	static const history_fn walks[] = { on_start, on_ids, on_preparation, on_item };
	struct history_query query = { .first = range->first, .last = range->last, .reverse = true };
	int err = 0;

	for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]) && !err; i++) {
		err = history_each(reader, &query, walks[i], runs);
		query.reverse = false;
	}
	for (size_t i = 0; i < runs->n; i++)
		if (runs->run[i]->story.n_items)
			qsort(runs->run[i]->story.items, runs->run[i]->story.n_items, sizeof(struct story_item), by_time);
	return err;
}

/* ---- writing ---- */

/* As part of an address that the page's script reads. */
static void put_word(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._~", c))
			putc(c, out);
		else
			fprintf(out, "%%%02X", c);
	}
}

static const char *name_of(const struct story *story)
{
	return story->name && *story->name ? story->name : story->uuid && *story->uuid ? story->uuid : "without a name";
}

static void put_summary(FILE *out, const struct story *story, struct timeline *timeline)
{
	size_t failed = timeline_failures(timeline);
	time_t seconds = (time_t)(story->start_realtime_ns / 1000000000);
	char text[64] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	fputs("<summary><b>", out);
	xml_text(out, name_of(story), strlen(name_of(story)), 80);
	fputs("</b> ", out);
	xml_string(out, story->type);
	fprintf(out, ", pid %u, started %s", story->pid, text);
	timeline_duration(text, sizeof(text), timeline_startup_ns(timeline));
	fprintf(out, " within %s", text);
	if (story->stop_seq && story->stop_realtime_ns > story->start_realtime_ns) {
		timeline_duration(text, sizeof(text), story->stop_realtime_ns - story->start_realtime_ns);
		fprintf(out, ", ran %s", text);
	}
	if (failed)
		fprintf(out, ", <span class=\"bad\">%zu failed</span>", failed);
	fputs("</summary>\n", out);
}

static int put_run(struct history_reader *reader, const struct story *story, bool open, FILE *out)
{
	struct timeline *timeline;
	int err = story_timeline(reader, story, &timeline);

	if (err)
		return err;
	fprintf(out, "<details class=\"run\"%s data-vm=\"", open ? " open" : "");
	xml_string(out, name_of(story));
	fputs(" ", out);
	xml_string(out, story->uuid);
	fputs("\">", out);
	put_summary(out, story, timeline);
	fprintf(out, "<p class=\"links\"><a href=\"#seq=%" PRIu64 "\">Topology at its start</a>, <a href=\"#q=", story->start_seq);
	/* a machine without a UUID may share its name */
	put_word(out, "vm:\"");
	put_word(out, story->uuid && *story->uuid ? story->uuid : name_of(story));
	put_word(out, "\"");
	fputs("\">its events</a></p>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Timeline\">", out);
	err = timeline_svg(timeline, out, true);
	timeline_free(timeline);
	fputs("</div></details>\n", out);
	return err;
}

static void free_runs(struct runs *runs)
{
	for (size_t i = 0; i < runs->n; i++) {
		story_free(&runs->run[i]->story);
		free(runs->run[i]);
	}
	free(runs);
}

int report_runs(struct history_reader *reader, const struct report_range *range, const struct report_chosen *chosen,
		FILE *out)
{
	struct runs *runs = calloc(1, sizeof(*runs));
	int err = runs ? 0 : -ENOMEM;

	if (!err)
		runs->chosen = chosen;
	if (!err && range->last)
		err = collect(reader, range, runs);
	if (!err && !runs->n)
		fputs("<p class=\"dim\">No machine started in this time.</p>\n", out);
	if (!err && runs->left_out)
		fprintf(out, "<p class=\"note\">The last %d of %" PRIu64 " starts are shown. For the others choose an earlier time with "
			"--since and --until.</p>\n", REPORT_RUNS, REPORT_RUNS + runs->left_out);
	for (size_t i = runs ? runs->n : 0; i-- > 0 && !err;)
		err = put_run(reader, &runs->run[i]->story, i == runs->n - 1, out);
	if (runs)
		free_runs(runs);
	return err;
}
