/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * machines.h - vm_track.h on a living system: each machine's process is
 * watched by a pidfd, so that its end is told when it comes, also where all
 * its devices were given up before; and while its devices are young their
 * counters are read, for their first packets (packets.h).
 */
#ifndef TW_MACHINES_H
#define TW_MACHINES_H

#include "event.h"
#include "vm_track.h"

struct machines;

/* NULL with errno set. */
struct machines *machines_new(void);
void machines_free(struct machines *m);

/*
 * Readable when a machine has ended, or when counters are to be read: deliver
 * what the kernel has told until now, then call event_later() until it returns
 * false.
 */
int machines_fd(const struct machines *m);

/* For event.c: takes in an event, and gives what follows from it; valid until the next call of either. */
void machines_see(struct machines *m, const struct process_cache *processes, struct event *event);
bool machines_next(struct machines *m, const struct change **change, const struct vm_notice **notice);
bool machines_later(struct machines *m, const struct change **change, const struct vm_notice **notice);

#endif /* TW_MACHINES_H */
