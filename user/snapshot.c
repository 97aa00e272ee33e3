// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "diag.h"
#include "labels.h"
#include "loader.h"
#include "netns.h"
#include "process.h"
#include "seed.h"
#include "snapshot.h"
#include "stories.h"

static void no_change(void *ctx, const struct change *change)
{
	(void)ctx;
	(void)change;
}

/* What the back-end could not see, for -v. */
static void tell_report(const struct seed_report *report)
{
	warn_msg("read by %s: %zu fds, %zu devices in %zu network namespaces", seed_name(report->used), report->fds,
		 report->devices, report->namespaces);
	for (size_t i = 0; i < report->n_notes; i++)
		warn_msg("%s", report->notes[i]);
	if (report->notes_left_off)
		warn_msg("and %zu more like that", report->notes_left_off);
}

static int read_state(struct rows *rows, const struct options *o)
{
	struct bindings *b = bindings_new(no_change, NULL);
	struct seed_report report = { 0 };
	int err = b ? seed_read(o->seed, NULL, b, SCAN_SEED, &report) : -ENOMEM;

	/* only the iterator knows the files of /dev/tapN */
	rows->taps_unseen = report.used != SEED_ITER;
	if (err >= 0)
		err = rows_collect(rows, b);
	if (err == -ENOMEM)
		warn_msg("cannot read the present state: out of memory");
	else if (err >= 0)
		err = 0;
	else if (!report.reason[0])
		warn_msg("cannot read the present state: %s", strerror(-err));
	else
		warn_msg("cannot read the present state: %s", report.reason);
	/* an answer that lacks something must not look whole */
	if (!err && report.refused && !o->quiet)
		warn_msg("this is not all: %zu of %zu processes may not be looked into; run it as root", report.refused,
			 report.processes);
	if (!err && o->verbose)
		tell_report(&report);
	seed_report_free(&report);
	bindings_free(b);
	return err;
}

static bool wanted_row(void *ctx, const struct event *event)
{
	return filter_match(ctx, event);
}

static int look_up(struct rows *rows, unsigned wanted, bool deep)
{
	struct process_cache *processes = process_cache_new("/proc");
	struct labels *labels = labels_new(deep ? NETNS_ALL : NETNS_CHEAP, NULL);
	int err = processes && labels ? rows_enrich(rows, wanted, processes, labels) : -ENOMEM;

	labels_free(labels);
	process_cache_free(processes);
	return err;
}

/* A convenience: without memory, or a tapwatch that knows, it is not known. */
static void look_up_starts(struct rows *rows)
{
	struct json_object *stories = stories_all();

	stories_fill(rows, stories);
	json_object_put(stories);
}

int snapshot_read(struct rows *rows, const struct options *o)
{
	loader_log_setup(o->verbose);
	if (read_state(rows, o))
		return EXIT_FAILED;
	/* a filter can ask for nothing else that is not in the state itself */
	if (filter_has(o->filter, FILTER_VM) && look_up(rows, ROWS_VM, false)) {
		warn_msg("cannot go on: out of memory");
		return EXIT_FAILED;
	}
	rows_filter(rows, wanted_row, o->filter);
	return EXIT_FINE;
}

int snapshot_finish(struct rows *rows, unsigned wanted, bool deep)
{
	/* names also decide the order */
	if (look_up(rows, wanted | ROWS_NAME, deep)) {
		warn_msg("cannot go on: out of memory");
		return EXIT_FAILED;
	}
	if (wanted & ROWS_TOOK)
		look_up_starts(rows);
	rows_sort(rows, netns_initial());
	return EXIT_FINE;
}
