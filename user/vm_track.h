/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vm_track.h - which machine each file and device belongs to, over time. Pure:
 * events go in, in their order; out comes the machine that an event is about,
 * and that a machine started or stopped.
 *
 * A file belongs to the machine that last got an fd of it, a device to the one
 * that has a file of it. What was done to both before, by whoever prepared
 * them, is remembered in brief until a machine gets them.
 */
#ifndef TW_VM_TRACK_H
#define TW_VM_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

struct vm_track;

/* NULL when out of memory. */
struct vm_track *vm_track_new(void);
void vm_track_free(struct vm_track *t);

/*
 * `watch` is called for each machine that is met for the first time. 0: its
 * end will be told by vm_track_ended(). Else it is taken to end with its last
 * fd. NULL (the default) is as if it always failed.
 */
typedef int (*vm_watch_fn)(void *ctx, uint32_t pid, uint64_t start_ns);
void vm_track_on_new(struct vm_track *t, vm_watch_fn watch, void *ctx);

/*
 * `got` is called for each device that a machine gets: the event by which it
 * did. `first`: no machine had it before, and its beginning was seen. Not for
 * what is found by a scan.
 */
typedef void (*vm_got_fn)(void *ctx, const struct event *event, bool first);
void vm_track_on_device(struct vm_track *t, vm_got_fn got, void *ctx);

struct vm_notice {
	enum event_kind event;		/* EV_VM_START, EV_VM_STOP */
	struct tw_task task;		/* the machine's own process, as far as it was seen */
	const char *type, *name, *uuid, *manager;
	/* vm-start: what was done to its first device and file before, in order */
	const struct event_earlier *earlier;
	size_t n_earlier;
};

/*
 * Takes in an event that was enriched. Where its vm_* are empty, they are
 * filled with the machine whose file or device it is about; not in `open`,
 * `hold` and `exist`, where they tell of the holder. True: *notice is to be
 * told next. What event and notice point to is valid until the next call.
 */
bool vm_track_event(struct vm_track *t, struct event *event, struct vm_notice *notice);

/* The process ended. As above. Its files and devices stay its own while they last and nobody else takes them. */
bool vm_track_ended(struct vm_track *t, uint32_t pid, uint64_t start_ns, struct vm_notice *notice);

/* Whose device it is now, as in a notice; false: no machine's that runs. As above. */
bool vm_track_owner(const struct vm_track *t, uint64_t device, struct vm_notice *notice);

#endif /* TW_VM_TRACK_H */
