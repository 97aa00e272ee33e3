// SPDX-License-Identifier: GPL-2.0-only
/* cmd_report.c - a page of the history for a browser: report/page.html with its parts filled in. */
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "diag.h"
#include "history.h"
#include "options.h"
#include "out_file.h"
#include "past.h"
#include "report.h"
#include "report/embed.h"
#include "xml.h"

static const char help[] =
	"Usage: tapwatch report --html FILE [OPTION...]\n\n"
	"Writes one page for a browser, of what 'tapwatch record' wrote: who held which device in which\n"
	"network namespace at each moment, how virtual machines started, and all events, to search in.\n"
	"It needs nothing else, loads nothing, and may be sent to others. With filters it is about the files\n"
	"and devices of which something matches. Of more than 50,000 events it has the last ones; --since\n"
	"and --until choose others.\n";

struct page {
	const struct options *o;
	struct history_reader *reader;
	struct history_head head;
	struct report_range range;
	struct report_chosen *chosen;
	uint64_t begin_ns, end_ns;	/* CLOCK_REALTIME of the first and last event */
	FILE *out;
};

/* ---- which events ---- */

struct edge {
	const struct options *o;
	uint64_t seq;
};

/* The first one of this time, from either end: the index knows it roughly. */
static int on_edge(void *ctx, const struct event *event)
{
	struct edge *edge = ctx;

	if ((edge->o->since_ns && event->realtime_ns < edge->o->since_ns) ||
	    (edge->o->until_ns && event->realtime_ns > edge->o->until_ns))
		return 0;
	edge->seq = event->seq;
	return 1;
}

/* 0, or negative; range.last 0: there are none. */
static int choose_range(struct page *p)
{
	struct edge from = { .o = p->o }, to = from;
	struct history_query query = { 0 };
	uint64_t first, last;
	int err = history_range(p->reader, p->o->since_ns, p->o->until_ns, &first, &last);

	if (err)
		return err == -ENODATA ? 0 : err;
	query = (struct history_query){ .first = first, .last = last };
	err = history_each(p->reader, &query, on_edge, &from);
	query.reverse = true;
	if (err >= 0)
		err = history_each(p->reader, &query, on_edge, &to);
	if (err < 0 || !from.seq)
		return err < 0 ? err : 0;
	p->range = (struct report_range){ .first = from.seq, .last = to.seq };
	return 0;
}

static int choose_events(struct page *p)
{
	int err = p->range.last ? past_filter(p->reader, p->o->filter) : 0;

	if (!err && p->range.last)
		err = report_choose(p->reader, p->o->filter, &p->range, &p->chosen);
	if (!err && !p->range.n)
		p->range = (struct report_range){ 0 };
	return err;
}

static int read_times(struct page *p)
{
	struct event event;
	int err = p->range.last ? history_event(p->reader, p->range.first, &event) : 0;

	if (err || !p->range.last)
		return err;
	p->begin_ns = event.realtime_ns;
	err = history_event(p->reader, p->range.last, &event);
	p->end_ns = err ? 0 : event.realtime_ns;
	return err;
}

/* ---- parts of the page ---- */

static void put_time(FILE *out, uint64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	char text[64];
	struct tm tm;

	if (!ns || !localtime_r(&seconds, &tm))
		return;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm);
	xml_string(out, text);
}

static int put_title(struct page *p)
{
	if (!p->range.last) {
		fputs("no events", p->out);
		return 0;
	}
	put_time(p->out, p->begin_ns);
	fputs(" to ", p->out);
	put_time(p->out, p->end_ns);
	return 0;
}

static int put_summary(struct page *p)
{
	fprintf(p->out, "%" PRIu64 " event%s of ", p->range.n, p->range.n == 1 ? "" : "s");
	xml_string(p->out, p->o->db);
	fputs(", which was recorded up to ", p->out);
	put_time(p->out, p->head.realtime_ns);
	fputs(". Made on ", p->out);
	put_time(p->out, (uint64_t)time(NULL) * 1000000000);
	fputs(".", p->out);
	return 0;
}

/* The options as they were given. */
static void put_filters(struct page *p)
{
	static const char *const words[FILTER_MAX] = {
		[FILTER_PID] = "--pid", [FILTER_IFNAME] = "--ifname", [FILTER_NETNS] = "--netns", [FILTER_USER] = "--user",
		[FILTER_COMM] = "--comm", [FILTER_KIND] = "--kind", [FILTER_EVENT] = "--event", [FILTER_VM] = "--vm",
	};
	const char *value;

	for (int kind = 0; kind < FILTER_MAX; kind++) {
		for (size_t i = 0; (value = filter_value(p->o->filter, (enum filter_kind)kind, i)); i++) {
			fprintf(p->out, " <code>%s ", words[kind]);
			xml_string(p->out, value);
			fputs("</code>", p->out);
		}
	}
}

static int put_notes(struct page *p)
{
	if (p->chosen) {
		fputs("<p class=\"note\">Only what was done to files and devices of which something matches:", p->out);
		put_filters(p);
		fputs("</p>", p->out);
	}
	if (!p->range.last)
		fputs("<p class=\"note\">Nothing that matches was recorded in the time asked for: choose another with --since and "
		      "--until.</p>", p->out);
	if (p->range.cut) {
		fprintf(p->out, "<p class=\"note\">Earlier events are left out: a page holds %d. For those choose an earlier "
			"time with --since and --until, which ends at ", REPORT_EVENTS);
		put_time(p->out, p->begin_ns);
		fputs(".</p>", p->out);
	}
	return 0;
}

/* Style and script are strings with a NUL: what stands between the tags, byte for byte. */
static int put_style(struct page *p)
{
	fprintf(p->out, "%s%s", report_style, timeline_style);
	return 0;
}

static int put_script(struct page *p)
{
	fputs(report_script, p->out);
	return 0;
}

/* What may be run or applied is named by its hash, so that nothing else is, whatever gets into the page. */
static void put_hash(FILE *out, const char *a, const char *b)
{
	unsigned char hash[SHA256_DIGEST_LENGTH], text[4 * SHA256_DIGEST_LENGTH / 3 + 8];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, a, strlen(a)) &&
	    EVP_DigestUpdate(ctx, b, strlen(b)) && EVP_DigestFinal_ex(ctx, hash, NULL)) {
		EVP_EncodeBlock(text, hash, sizeof(hash));
		fprintf(out, "'sha256-%s'", text);
	}
	EVP_MD_CTX_free(ctx);
}

static int put_policy(struct page *p)
{
	fputs("default-src 'none'; script-src ", p->out);
	put_hash(p->out, report_script, "");
	fputs("; style-src ", p->out);
	put_hash(p->out, report_style, timeline_style);
	fputs("; base-uri 'none'; form-action 'none'", p->out);
	return 0;
}

static int put_data(struct page *p)
{
	return report_data(p->reader, &p->range, p->chosen, p->out);
}

static int put_runs(struct page *p)
{
	return report_runs(p->reader, &p->range, p->chosen, p->out);
}

/* What stands in the page for it: {{word}}. */
static const struct part {
	const char *word;
	int (*put)(struct page *p);	/* 0 or a negative errno */
} parts[] = {
	{ "policy", put_policy }, { "title", put_title }, { "style", put_style }, { "summary", put_summary },
	{ "notes", put_notes }, { "runs", put_runs }, { "data", put_data }, { "script", put_script },
};

static int put_part(struct page *p, const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strlen(parts[i].word) == len && !strncmp(parts[i].word, word, len))
			return parts[i].put(p);
	return -ENOENT;
}

static int put_page(struct page *p)
{
	const char *at = report_page, *open, *end;
	int err = 0;

	while (!err && (open = strstr(at, "{{")) && (end = strstr(open, "}}"))) {
		fwrite(at, 1, (size_t)(open - at), p->out);
		err = put_part(p, open + 2, (size_t)(end - open - 2));
		at = end + 2;
	}
	fputs(at, p->out);
	if (!err && ferror(p->out))
		err = errno ? -errno : -EIO;
	return err;
}

/* ---- */

/* Finds out what the page is about. 0 or a negative errno. */
static int prepare(struct page *p)
{
	int err = history_head(p->reader, &p->head);

	if (!err)
		err = choose_range(p);
	if (!err)
		err = choose_events(p);
	return err ? err : read_times(p);
}

/* An exit status. */
static int write_page(struct page *p, const char *name)
{
	struct out_file file;
	int err = out_file_open(&file, name);
	bool unread;

	if (err)
		return out_file_failed(name, err);
	p->out = file.stream;
	err = put_page(p);
	unread = err && !ferror(file.stream);
	err = out_file_close(&file, err);
	if (unread)
		return past_failed(p->o, err);
	return err ? out_file_failed(name, err) : EXIT_FINE;
}

static int report(const struct options *o)
{
	struct page p = { .o = o, .reader = past_open(o) };
	int err, status;

	if (!p.reader)
		return EXIT_FAILED;
	err = history_reader_begin(p.reader);
	if (!err)
		err = prepare(&p);
	status = err ? past_failed(o, err) : write_page(&p, o->html);
	report_chosen_free(p.chosen);
	history_reader_end(p.reader);
	history_reader_close(p.reader);
	return status;
}

int cmd_report(int argc, char **argv)
{
	struct options options;
	int status = options_parse(&options, OPT_FILTERS | OPT_REPORT, argc, argv, help);

	if (status >= 0)
		return status;
	if (options.first_operand < argc)
		status = usage_error("report", "unexpected argument '%s'", argv[options.first_operand]);
	else if (!options.html)
		status = usage_error("report", "where to? give --html FILE");
	else if (options.since_ns && options.until_ns && options.since_ns > options.until_ns)
		status = usage_error("report", "--since is after --until");
	else
		status = report(&options);
	options_free(&options);
	return status;
}
