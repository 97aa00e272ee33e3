// SPDX-License-Identifier: GPL-2.0-only
/*
 * out_timeline.c - see out_timeline.h.
 *
 * Rows are equally high whatever their distance in time, so that no text meets
 * another; between two of them the axis is stretched by the logarithm of the
 * time that passed, and broken where that is long. A bar above shows the
 * start-up to scale.
 */
#include "out_timeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "array.h"
#include "escape.h"
#include "out.h"
#include "report/embed.h"
#include "xml.h"

#define MOST_OTHERS 6		/* lanes of processes beside the machine's own; more share the last one */
#define LANE_PIDS 3		/* that a lane's title names */
#define FIRST_ROWS 300		/* of a long story its beginning ... */
#define LAST_ROWS 100		/* ... and its end */
#define DETAIL_LEN 512

/* Pixels. */
#define LANE_WIDTH 138
#define LANES_AT 118
#define ROW 22
#define HEAD 132		/* where the lanes' titles end */
#define PHASE 26
#define EVENT_WIDTH 92
#define DEVICE_WIDTH 112
#define NETNS_WIDTH 128
#define DETAIL_WIDTH 470
#define BAR_AT 60

/* Columns of a terminal that fit into these; characters are up to 7 pixels wide. */
#define DEVICE_CHARS 16
#define NETNS_CHARS 18
#define DETAIL_CHARS 74
#define LANE_CHARS 17

/* A wait in the start-up that is marked; and after what time nothing more belongs to the start-up. */
#define SLOW_NS 50000000ULL
#define LABELLED_NS 100000000ULL
#define BROKEN_NS 1000000000ULL
#define START_GAP_NS 30000000000ULL

enum lane_kind { LANE_OTHER, LANE_MACHINE, LANE_DEVICE };

struct lane {
	enum lane_kind kind;
	char comm[TW_NAME_LEN];
	bool shared;		/* by several programs: there are too many */
	uint32_t pid[LANE_PIDS];
	size_t n_pids;		/* may be more than are kept */
	size_t column;
};

/* What an event is for the machine's life: the shape and colour of its mark. */
enum mark { MARK_OTHER, MARK_BIND, MARK_CONFIG, MARK_HAND, MARK_END, MARK_LIFE, MARK_FAIL };

static const enum mark marks[EV_MAX] = {
	[EV_OPEN] = MARK_BIND, [EV_ATTACH] = MARK_BIND, [EV_QUEUE_ATTACH] = MARK_BIND, [EV_VHOST] = MARK_BIND,
	[EV_PERSIST] = MARK_CONFIG, [EV_OWNER] = MARK_CONFIG, [EV_MOVE] = MARK_CONFIG, [EV_RENAME] = MARK_CONFIG,
	[EV_MAC] = MARK_CONFIG, [EV_UP] = MARK_CONFIG, [EV_MASTER] = MARK_CONFIG,
	[EV_HOLD] = MARK_HAND,
	[EV_DOWN] = MARK_END, [EV_DROP] = MARK_END, [EV_RELEASE] = MARK_END, [EV_DELETE] = MARK_END,
	[EV_QUEUE_DETACH] = MARK_END,
	[EV_VM_START] = MARK_LIFE, [EV_VM_STOP] = MARK_LIFE, [EV_FIRST_PACKET] = MARK_LIFE,
	[EV_ATTACH_FAILED] = MARK_FAIL,
};

static const char *const mark_class[] = {
	[MARK_OTHER] = "other", [MARK_BIND] = "bind", [MARK_CONFIG] = "config", [MARK_HAND] = "hand", [MARK_END] = "end",
	[MARK_LIFE] = "life-mark", [MARK_FAIL] = "fail",
};

struct moment {
	uint64_t time_ns, seq, file;
	enum mark mark;
	const char *word;	/* of the event */
	size_t lane, from;	/* from == lane: nothing was handed over */
	char ifname[TW_NAME_LEN];
	char *netns, *detail;	/* safe text */
	double y;
};

struct timeline {
	const struct story *story;
	struct out_text text;
	struct moment *moment;
	size_t n, left_out, room;
	struct lane lane[MOST_OTHERS + 3];
	size_t n_lanes, n_others;
	/* found out at the end: first of the machine's own, last of the start-up, first of its end */
	size_t own, started, ending;
	size_t slowest;		/* the wait before this one was the longest of the start-up; 0: none is worth telling */
};

/* ---- lanes ---- */

/* The machine's own process, or one that it forked for a device. */
static bool is_machine(const struct timeline *t, const struct event *event)
{
	const struct tw_task *task = event->change->task;

	if (event->process && event->process->vm_pid)
		return event->process->vm_pid == t->story->pid;
	return task->pid == t->story->pid && (!task->start_ns || !t->story->process_start_ns ||
					       task->start_ns == t->story->process_start_ns);
}

static size_t new_lane(struct timeline *t, enum lane_kind kind, const char *comm)
{
	struct lane *lane = &t->lane[t->n_lanes];

	*lane = (struct lane){ .kind = kind };
	if (comm)
		memcpy(lane->comm, comm, TW_NAME_LEN);
	t->n_others += kind == LANE_OTHER;
	return t->n_lanes++;
}

static size_t find_lane(struct timeline *t, enum lane_kind kind, const char *comm)
{
	size_t last = 0;

	for (size_t i = 0; i < t->n_lanes; i++) {
		if (t->lane[i].kind != kind)
			continue;
		if (!comm || !strncmp(t->lane[i].comm, comm, TW_NAME_LEN))
			return i;
		last = i;
	}
	if (kind != LANE_OTHER || t->n_others < MOST_OTHERS)
		return new_lane(t, kind, comm);
	t->lane[last].shared = true;
	return last;
}

static void add_pid(struct lane *lane, uint32_t pid)
{
	for (size_t i = 0; i < lane->n_pids && i < LANE_PIDS; i++)
		if (lane->pid[i] == pid)
			return;
	if (lane->n_pids < LANE_PIDS)
		lane->pid[lane->n_pids] = pid;
	lane->n_pids++;
}

/* Programs are known by their name: each `ip` is a process of its own, but one helper for a person. */
static size_t lane_of(struct timeline *t, const struct event *event)
{
	const struct tw_task *task = event->change->task;
	struct lane *lane;
	size_t n;

	if (!task)
		return find_lane(t, LANE_DEVICE, NULL);
	n = is_machine(t, event) ? find_lane(t, LANE_MACHINE, NULL) : find_lane(t, LANE_OTHER, task->comm);
	lane = &t->lane[n];
	if (lane->kind == LANE_MACHINE)
		memcpy(lane->comm, task->comm, TW_NAME_LEN);
	add_pid(lane, task->pid);
	return n;
}

/* ---- moments ---- */

static void free_moment(struct moment *m)
{
	free(m->netns);
	free(m->detail);
}

static struct moment *new_moment(struct timeline *t)
{
	if (t->n == FIRST_ROWS + LAST_ROWS) {
		free_moment(&t->moment[FIRST_ROWS]);
		memmove(&t->moment[FIRST_ROWS], &t->moment[FIRST_ROWS + 1], (LAST_ROWS - 1) * sizeof(*t->moment));
		t->n--;
		t->left_out++;
	}
	if (ARRAY_ROOM(t->moment, t->room, t->n + 1))
		return NULL;
	t->moment[t->n] = (struct moment){ 0 };
	return &t->moment[t->n++];
}

/* Who had the file last. */
static size_t previous_lane(const struct timeline *t, const struct moment *m)
{
	for (size_t i = t->n - 1; i-- > 0 && m->file;)
		if (t->moment[i].file == m->file && t->moment[i].lane != m->lane &&
		    t->lane[t->moment[i].lane].kind != LANE_DEVICE)
			return t->moment[i].lane;
	return m->lane;
}

/* As a person calls it; the number only where there is no name. */
static char *netns_text(const struct timeline *t, const struct event *event)
{
	const char *label;
	uint32_t inode = event_netns(event, &label);
	char safe[ESCAPE_SIZE(256)];

	if (!inode)
		return strdup("");
	if (!label && inode == t->text.init_netns)
		label = "init";
	if (label)
		escape_term(safe, sizeof(safe), label, strnlen(label, 256));
	else
		snprintf(safe, sizeof(safe), "[%u]", inode);
	return strdup(safe);
}

static enum mark mark_of(const struct change *c)
{
	if (c->event == EV_VHOST && (c->has & CH_VALUE) && !c->value)
		return MARK_END;
	/* it left its bridge */
	if (c->event == EV_MASTER && c->dev && (c->dev->has & TW_HAS_MASTER) && !c->dev->d.master_ifindex)
		return MARK_END;
	return c->event < EV_MAX ? marks[c->event] : MARK_OTHER;
}

static void name_device(struct moment *m, const struct change *c)
{
	if (c->dev && (c->dev->has & TW_HAS_DEV))
		memcpy(m->ifname, c->dev->d.ifname, TW_NAME_LEN);
	else if (c->has & CH_REQUESTED)
		memcpy(m->ifname, c->requested, TW_NAME_LEN);
}

static int add_process_start(struct timeline *t, uint64_t before)
{
	uint64_t at = t->story->process_start_ns;
	struct moment *m;
	char text[64];

	for (size_t i = 0; i < t->n; i++)
		if (!t->moment[i].seq)
			return 0;
	if (!at || at > before || (t->n && at < t->moment[t->n - 1].time_ns))
		return 0;
	snprintf(text, sizeof(text), "process %u", t->story->pid);
	m = new_moment(t);
	if (!m)
		return -ENOMEM;
	m->time_ns = at;
	m->mark = MARK_LIFE;
	m->word = "started";
	m->lane = m->from = find_lane(t, LANE_MACHINE, NULL);
	add_pid(&t->lane[m->lane], t->story->pid);
	m->netns = strdup("");
	m->detail = strdup(text);
	return m->netns && m->detail ? 0 : -ENOMEM;
}

int timeline_add(struct timeline *t, const struct event *event)
{
	const struct change *c = event->change;
	char detail[DETAIL_LEN];
	struct event brief;
	struct moment *m;
	int err = add_process_start(t, c->time_ns);

	m = err ? NULL : new_moment(t);
	if (!m)
		return -ENOMEM;
	m->time_ns = c->time_ns;
	m->seq = event->seq;
	m->file = c->file ? c->file->id : 0;
	m->mark = mark_of(c);
	m->word = event_name(c->event);
	m->lane = lane_of(t, event);
	m->from = c->event == EV_HOLD ? previous_lane(t, m) : m->lane;
	name_device(m, c);
	/* which machine it is stands above */
	brief = *event;
	brief.vm_type = brief.vm_name = brief.vm_uuid = brief.vm_manager = NULL;
	out_detail(&t->text, detail, sizeof(detail), &brief);
	m->netns = netns_text(t, event);
	m->detail = strdup(detail);
	return m->netns && m->detail ? 0 : -ENOMEM;
}

/* ---- what there is to see ---- */

static uint64_t wait_before(const struct timeline *t, size_t i)
{
	return i && t->moment[i].time_ns > t->moment[i - 1].time_ns ? t->moment[i].time_ns - t->moment[i - 1].time_ns : 0;
}

/* Who else wants the device in vain has no part in the start. */
static bool is_running_up(const struct timeline *t, const struct moment *m)
{
	if (m->mark == MARK_FAIL)
		return t->lane[m->lane].kind == LANE_MACHINE;
	return m->mark == MARK_BIND || m->mark == MARK_CONFIG || m->mark == MARK_HAND || m->mark == MARK_OTHER;
}

/* Up to where it is the start-up: what is built up without a long pause after the machine's first device. */
static void find_started(struct timeline *t)
{
	size_t i, start = t->n;

	for (i = 0; i < t->n && start == t->n; i++)
		if (t->moment[i].seq && t->moment[i].seq == t->story->start_seq)
			start = i;
	if (start == t->n) {
		t->started = t->n;	/* it ran already */
		return;
	}
	t->started = start;
	for (i = start + 1; i < t->n && wait_before(t, i) < START_GAP_NS; i++) {
		/* what its helpers let go of is no end */
		if (t->moment[i].mark == MARK_LIFE ||
		    (t->moment[i].mark == MARK_END && t->lane[t->moment[i].lane].kind == LANE_MACHINE))
			break;
		if (is_running_up(t, &t->moment[i]))
			t->started = i;
	}
}

static void find_phases(struct timeline *t)
{
	uint64_t longest = SLOW_NS;

	for (t->own = 0; t->own < t->n && t->lane[t->moment[t->own].lane].kind != LANE_MACHINE;)
		t->own++;
	find_started(t);
	for (t->ending = t->n; t->story->stop_seq && t->ending; t->ending--) {
		const struct moment *m = &t->moment[t->ending - 1];

		if (m->mark != MARK_END && !(m->mark == MARK_LIFE && m->seq == t->story->stop_seq))
			break;
	}
	for (size_t i = 1; i < t->n && i <= t->started && t->started < t->n; i++) {
		if (wait_before(t, i) <= longest)
			continue;
		longest = wait_before(t, i);
		t->slowest = i;
	}
}

static uint64_t startup_ns(const struct timeline *t)
{
	return t->n && t->started < t->n ? t->moment[t->started].time_ns - t->moment[0].time_ns : 0;
}

uint64_t timeline_startup_ns(struct timeline *t)
{
	find_started(t);
	return startup_ns(t);
}

/* The word for the phase that begins with this row; NULL: none does. */
static const char *phase_at(const struct timeline *t, size_t i)
{
	bool known = t->started < t->n;

	if (i == t->ending)
		return "end";
	if (!i && t->own)
		return known ? "prepared by others" : "before";
	if (i == t->own)
		return known ? "start of the machine" : "the machine";
	return known && i == t->started + 1 ? "running" : NULL;
}

static double stretch(uint64_t ns)
{
	/* some pixels for each power of two above a millisecond, and room for the words at a break */
	double more = ns > 1000000 ? 2.2 * (64 - __builtin_clzll(ns / 1000000)) : 0;

	return ns >= LABELLED_NS && more < 16 ? 16 : more;
}

/* Where each row is; the height of all. */
static double place(struct timeline *t)
{
	double y = HEAD + 14;

	for (size_t i = 0; i < t->n; i++) {
		y += ROW + stretch(wait_before(t, i));
		if (phase_at(t, i))
			y += PHASE;
		t->moment[i].y = y;
	}
	return y;
}

static void order_lanes(struct timeline *t)
{
	static const enum lane_kind order[] = { LANE_OTHER, LANE_MACHINE, LANE_DEVICE };
	size_t column = 0;

	for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++)
		for (size_t i = 0; i < t->n_lanes; i++)
			if (t->lane[i].kind == order[k])
				t->lane[i].column = column++;
}

static double lane_x(const struct timeline *t, size_t lane)
{
	return LANES_AT + LANE_WIDTH * ((double)t->lane[lane].column + 0.5);
}

/* ---- words ---- */

void timeline_duration(char *text, size_t size, uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	if (ns < 1000000)
		snprintf(text, size, "%.3f ms", (double)ns / 1e6);
	else if (s < 1)
		snprintf(text, size, "%.0f ms", (double)ns / 1e6);
	else if (s < 60)
		snprintf(text, size, "%.2f s", (double)ns / 1e9);
	else if (s < 3600)
		snprintf(text, size, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, size, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
	else
		snprintf(text, size, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s % 86400 / 3600);
}

void timeline_put_moment(FILE *out, const char *before, uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	char text[64];
	struct tm tm;

	if (!realtime_ns || !localtime_r(&seconds, &tm))
		return;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s%s.%03u", before, text, (unsigned)(realtime_ns / 1000000 % 1000));
}

static const char *story_name(const struct story *story)
{
	return story->name && *story->name ? story->name : story->uuid && *story->uuid ? story->uuid : "without a name";
}

size_t timeline_failures(const struct timeline *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->moment[i].mark == MARK_FAIL;
	return n;
}

/* ---- drawing ---- */

static double width_of(const struct timeline *t)
{
	return LANES_AT + LANE_WIDTH * (double)t->n_lanes + 16 + EVENT_WIDTH + DEVICE_WIDTH + NETNS_WIDTH + DETAIL_WIDTH;
}

static void draw_summary(const struct timeline *t, FILE *out)
{
	const struct story *story = t->story;
	char text[64];

	fputs(story->start_seq ? "first device at" : "it ran before it was recorded", out);
	if (story->start_seq)
		timeline_put_moment(out, " ", story->start_realtime_ns);
	if (t->n && t->started < t->n) {
		timeline_duration(text, sizeof(text), startup_ns(t));
		fprintf(out, "; start-up %s", text);
	}
	timeline_put_moment(out, "; ended at ", story->stop_realtime_ns);
	if (timeline_failures(t))
		fprintf(out, "; %zu failed", timeline_failures(t));
	if (story->cut || t->left_out)
		fputs("; of what came between only beginning and end are shown", out);
}

static void draw_head(const struct timeline *t, FILE *out)
{
	const struct story *story = t->story;

	fputs("<text class=\"h1\" x=\"16\" y=\"28\">", out);
	xml_text(out, story_name(story), strlen(story_name(story)), 60);
	fputs("</text>\n<text class=\"dim\" x=\"16\" y=\"46\">", out);
	xml_string(out, story->type);
	if (story->manager)
		fputs(", ", out);
	xml_string(out, story->manager);
	if (story->name && story->uuid)
		fputs(", ", out);
	xml_string(out, story->name ? story->uuid : NULL);
	fprintf(out, ", pid %u; ", story->pid);
	draw_summary(t, out);
	fputs("</text>\n", out);
}

/* The start-up to scale: a piece for each wait, with words where there is room for them. */
static void draw_bar(const struct timeline *t, FILE *out, double width)
{
	uint64_t all = startup_ns(t), begin = t->n ? t->moment[0].time_ns : 0;
	double x = 16, scale = all ? (width - 32) / (double)all : 0;
	char text[64];

	if (!all)
		return;
	for (size_t i = 1; i <= t->started; i++) {
		double to = 16 + scale * (double)(t->moment[i].time_ns - begin), wide = to - x;

		if (wide < 0.5)
			continue;
		timeline_duration(text, sizeof(text), wait_before(t, i));
		fprintf(out, "<g><title>%s, then %s</title><rect class=\"bar%s%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"20\"/>",
			text, t->moment[i].word, i % 2 ? " odd" : "", i == t->slowest ? " slowest" : "", x, BAR_AT, wide);
		if (wide > 150)
			fprintf(out, "<text class=\"mid\" x=\"%.1f\" y=\"%d\">%s, then %s</text>", x + wide / 2, BAR_AT + 14, text,
				t->moment[i].word);
		else if (wide > 56)
			fprintf(out, "<text class=\"mid\" x=\"%.1f\" y=\"%d\">%s</text>", x + wide / 2, BAR_AT + 14, text);
		fputs("</g>\n", out);
		x = to;
	}
}

static void lane_title(const struct lane *lane, FILE *out)
{
	if (lane->kind == LANE_DEVICE)
		fputs("the device", out);
	else if (lane->shared)
		fputs("others", out);
	else if (lane->comm[0])
		xml_text(out, lane->comm, TW_NAME_LEN, LANE_CHARS);
	else
		fputs("the machine", out);
}

static void lane_subtitle(const struct lane *lane, FILE *out)
{
	if (lane->kind == LANE_DEVICE) {
		fputs("not told by whom", out);
	} else if (lane->n_pids > LANE_PIDS) {
		fprintf(out, "%zu processes", lane->n_pids);
	} else {
		for (size_t i = 0; i < lane->n_pids; i++)
			fprintf(out, "%s%u", i ? ", " : lane->n_pids > 1 ? "" : "pid ", lane->pid[i]);
	}
}

static void draw_lanes(const struct timeline *t, FILE *out, double bottom)
{
	for (size_t i = 0; i < t->n_lanes; i++) {
		const struct lane *lane = &t->lane[i];
		double x = lane_x(t, i);

		fprintf(out, "<line class=\"life\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x, HEAD, x, bottom + 12);
		fprintf(out, "<rect class=\"lane%s\" x=\"%.1f\" y=\"%d\" width=\"%d\" height=\"38\" rx=\"4\"/>\n",
			lane->kind == LANE_MACHINE ? " self" : "", x - LANE_WIDTH / 2.0 + 3, HEAD - 38, LANE_WIDTH - 6);
		fprintf(out, "<text class=\"key mid\" x=\"%.1f\" y=\"%d\">", x, HEAD - 22);
		lane_title(lane, out);
		fprintf(out, "</text>\n<text class=\"dim mid\" x=\"%.1f\" y=\"%d\">", x, HEAD - 7);
		lane_subtitle(lane, out);
		fputs("</text>\n", out);
	}
}

/* The axis from the row before to this one: broken where the wait is long, with its length. */
static void draw_axis(const struct timeline *t, FILE *out, size_t i)
{
	double from = i ? t->moment[i - 1].y : t->moment[i].y - 12, to = t->moment[i].y, middle;
	uint64_t wait = wait_before(t, i);
	bool phase = phase_at(t, i);
	char text[64];

	if (wait < BROKEN_NS) {
		fprintf(out, "<path class=\"axis\" d=\"M92 %.1fV%.1f\"/>", from, to);
	} else {
		middle = from + (to - from - (phase ? PHASE : 0)) / 2;
		fprintf(out, "<path class=\"axis\" d=\"M92 %.1fV%.1fl5 3l-10 4l10 4l-5 3V%.1f\"/>", from, middle - 7, to);
	}
	fprintf(out, "<path class=\"axis\" d=\"M88 %.1fH96\"/>\n", to);
	if (wait < LABELLED_NS)
		return;
	timeline_duration(text, sizeof(text), wait);
	fprintf(out, "<text class=\"num %s\" x=\"82\" y=\"%.1f\">%s</text>\n", i == t->slowest ? "slow" : "dim",
		from + (to - from - (phase ? PHASE : 0)) / 2 + 4, text);
}

static void draw_mark(const struct timeline *t, FILE *out, const struct moment *m)
{
	double x = lane_x(t, m->lane), y = m->y;

	if (m->from != m->lane) {
		double from = lane_x(t, m->from), d = from < x ? -1 : 1;

		fprintf(out, "<path class=\"arrow\" d=\"M%.1f %.1fH%.1fm%.1f -4l%.1f 4l%.1f 4\"/>", from, y, x + d * 7, d * 6, -d * 6,
			d * 6);
	}
	switch (m->mark) {
	case MARK_CONFIG:
		fprintf(out, "<rect class=\"config\" x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\"/>", x - 5, y - 5);
		break;
	case MARK_LIFE:
		fprintf(out, "<path class=\"life-mark\" d=\"M%.1f %.1fl8 8l-8 8l-8 -8z\"/>", x, y - 8);
		break;
	case MARK_FAIL:
		fprintf(out, "<path class=\"fail\" d=\"M%.1f %.1fl12 12m0 -12l-12 12\"/>", x - 6, y - 6);
		break;
	default:
		fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>", mark_class[m->mark], x, y,
			m->mark == MARK_HAND || m->mark == MARK_END ? "4.5" : "6");
	}
}

static void put_cell(FILE *out, const char *class, double x, double y, const char *text, size_t len, size_t chars)
{
	fprintf(out, "<text%s%s%s x=\"%.1f\" y=\"%.1f\">", *class ? " class=\"" : "", class, *class ? "\"" : "", x, y + 4);
	xml_text(out, text, len, chars);
	fputs("</text>", out);
}

static void draw_row(const struct timeline *t, FILE *out, size_t i, double width)
{
	double x = LANES_AT + LANE_WIDTH * (double)t->n_lanes + 16;
	const struct moment *m = &t->moment[i];
	bool failed = m->mark == MARK_FAIL;

	draw_axis(t, out, i);
	fprintf(out, "<g class=\"ev\"");
	if (m->seq)
		fprintf(out, " data-seq=\"%" PRIu64 "\"", m->seq);
	fprintf(out, "><title>+%.6f s: %s ", (double)(m->time_ns - t->moment[0].time_ns) / 1e9, m->word);
	xml_text(out, m->ifname, TW_NAME_LEN, 0);
	fputs(*m->netns ? " in " : "", out);
	xml_string(out, m->netns);
	fputs(*m->detail ? ": " : "", out);
	xml_string(out, m->detail);
	fputs("</title>", out);
	fprintf(out, "<rect class=\"%s\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>",
		failed ? "badrow" : i % 2 ? "bg" : "zebra", 100, m->y - ROW / 2.0, width - 116, ROW);
	for (size_t l = 0; l < t->n_lanes; l++)
		fprintf(out, "<path class=\"life\" d=\"M%.1f %.1fv%d\"/>", lane_x(t, l), m->y - ROW / 2.0, ROW);
	fprintf(out, "<text class=\"num\" x=\"82\" y=\"%.1f\">+%.3f s</text>", m->y + 4,
		(double)(m->time_ns - t->moment[0].time_ns) / 1e9);
	draw_mark(t, out, m);
	put_cell(out, failed ? "bad" : "key", x, m->y, m->word, strlen(m->word), 0);
	put_cell(out, "", x += EVENT_WIDTH, m->y, m->ifname, TW_NAME_LEN, DEVICE_CHARS);
	put_cell(out, "dim", x += DEVICE_WIDTH, m->y, m->netns, strlen(m->netns), NETNS_CHARS);
	put_cell(out, failed ? "bad" : "", x += NETNS_WIDTH, m->y, m->detail, strlen(m->detail), DETAIL_CHARS);
	fputs("</g>\n", out);
	if (t->left_out && i + 1 == FIRST_ROWS)
		fprintf(out, "<text class=\"slow\" x=\"%d\" y=\"%.1f\">%zu events are left out here</text>\n", LANES_AT,
			m->y + ROW / 2.0 + 10, t->left_out);
}

static void draw_phase(const struct timeline *t, FILE *out, size_t i, double width)
{
	const char *word = phase_at(t, i);
	double y = t->moment[i].y - ROW / 2.0 - 5;

	if (!word)
		return;
	fprintf(out, "<path class=\"rule\" d=\"M100 %.1fH%.1f\"/><text class=\"dim\" x=\"104\" y=\"%.1f\">%s</text>\n", y, width - 16,
		y - 5, word);
}

static void draw_legend(FILE *out, double y)
{
	static const struct { const char *mark, *word; } legend[] = {
		{ "<circle class=\"bind\" cx=\"0\" cy=\"0\" r=\"6\"/>", "opened, attached" },
		{ "<rect class=\"config\" x=\"-5\" y=\"-5\" width=\"10\" height=\"10\"/>", "set up" },
		{ "<path class=\"arrow\" d=\"M-9 0H7m-6 -4l6 4l-6 4\"/>", "handed over" },
		{ "<circle class=\"end\" cx=\"0\" cy=\"0\" r=\"4.5\"/>", "given up" },
		{ "<path class=\"life-mark\" d=\"M0 -8l8 8l-8 8l-8 -8z\"/>", "start, packets, stop" },
		{ "<path class=\"fail\" d=\"M-6 -6l12 12m0 -12l-12 12\"/>", "failed" },
	};

	for (size_t i = 0; i < sizeof(legend) / sizeof(legend[0]); i++)
		fprintf(out, "<g transform=\"translate(%zu %.1f)\">%s<text class=\"dim\" x=\"14\" y=\"4\">%s</text></g>\n",
			LANES_AT + i * 148, y, legend[i].mark, legend[i].word);
}

static void draw_open(const struct timeline *t, FILE *out, bool part, double width, double height)
{
	if (!part)
		fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", out);
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tl\" role=\"img\" viewBox=\"0 0 %.0f %.0f\"", width, height);
	fprintf(out, " width=\"%.0f\" height=\"%.0f\">\n<title>", width, height);
	xml_string(out, story_name(t->story));
	fputs(": timeline of a virtual machine</title>\n<desc>", out);
	draw_summary(t, out);
	fprintf(out, ". %zu events, a row for each, with its offset from the first.</desc>\n", t->n);
	if (!part)
		fprintf(out, "<style>%s</style>\n", timeline_style);
	fprintf(out, "<rect class=\"bg\" x=\"0\" y=\"0\" width=\"%.0f\" height=\"%.0f\"/>\n", width, height);
}

int timeline_svg(struct timeline *t, FILE *out, bool part)
{
	double width = width_of(t), bottom;

	errno = 0;
	find_phases(t);
	order_lanes(t);
	bottom = place(t);
	draw_open(t, out, part, width, bottom + 60);
	draw_head(t, out);
	draw_bar(t, out, width);
	draw_lanes(t, out, bottom);
	for (size_t i = 0; i < t->n; i++) {
		draw_phase(t, out, i, width);
		draw_row(t, out, i, width);
	}
	draw_legend(out, bottom + 36);
	fputs("</svg>\n", out);
	return !ferror(out) ? 0 : errno ? -errno : -EIO;
}

struct timeline *timeline_new(const struct story *story, uint32_t init_netns)
{
	struct timeline *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->story = story;
	t->text = (struct out_text){ .date = true, .init_netns = init_netns };
	return t;
}

void timeline_free(struct timeline *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free_moment(&t->moment[i]);
	free(t->moment);
	free(t);
}
