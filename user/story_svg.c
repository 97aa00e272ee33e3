// SPDX-License-Identifier: GPL-2.0-only
/* story_svg.c - the timeline of a story of the history: see out_timeline.h. */
#include <errno.h>

#include "netns.h"
#include "out_timeline.h"

int story_timeline(struct history_reader *reader, const struct story *story, struct timeline **out)
{
	struct timeline *t = timeline_new(story, netns_initial());
	int err = t ? 0 : -ENOMEM;

	for (size_t i = 0; i < story->n_items && !err; i++) {
		struct event event;

		err = history_event(reader, story->items[i].seq, &event);
		if (!err)
			err = timeline_add(t, &event);
	}
	if (err)
		timeline_free(t);
	*out = err ? NULL : t;
	return err;
}

int story_svg(struct history_reader *reader, const struct story *story, FILE *out, bool part)
{
	struct timeline *t;
	int err = story_timeline(reader, story, &t);

	if (!err)
		err = timeline_svg(t, out, part);
	timeline_free(t);
	return err;
}
