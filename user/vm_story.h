/* SPDX-License-Identifier: GPL-2.0-only */
/* vm_story.h - one run of a virtual machine, out of the history: which events belong to it. */
#ifndef TW_VM_STORY_H
#define TW_VM_STORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "history.h"

struct story_item {
	uint64_t seq;
	uint64_t boottime_ns;
};

struct story {
	char *type, *name, *uuid, *manager;	/* raw; NULL unknown */
	uint32_t pid;			/* of the machine's own process */
	uint64_t process_start_ns;	/* CLOCK_BOOTTIME; 0 unknown */
	uint64_t start_seq;		/* vm-start; 0: it ran before it was recorded */
	uint64_t stop_seq;		/* vm-stop; 0: none was recorded */
	uint64_t start_realtime_ns, stop_realtime_ns;
	uint64_t start_boottime_ns;
	bool cut;			/* too long ago and too much: the middle was not looked at */
	struct story_item *items;	/* in the order of time, the preparation included */
	size_t n_items;
};

/*
 * The last run of a machine whose name or UUID matches the pattern, that began
 * at or before `last` (seq). 0; -ENOENT: there is none; other negative errno.
 * story_free() in any case.
 */
int story_find(struct history_reader *r, const char *pattern, uint64_t last, struct story *story);
void story_free(struct story *story);

#endif /* TW_VM_STORY_H */
