/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * journal.h - events as structured entries of the systemd journal, so that
 * `journalctl TAPWATCH_IFNAME=vnet99` finds them.
 *
 * MESSAGE is the line that `watch` prints, without its time. Every scalar
 * member of the JSON object is a field: TAPWATCH_ and its name in capitals;
 * that of a member of `process`, `device` and `old` without the object's name
 * where it is clear (TAPWATCH_PID, TAPWATCH_IFNAME, TAPWATCH_OLD_IFNAME). Lists
 * become one field an item. tapwatch(8) has the table.
 */
#ifndef TW_JOURNAL_H
#define TW_JOURNAL_H

#include <stdbool.h>

#include "event.h"

/* Was it built with libsystemd? */
bool journal_built(void);

/*
 * 0; -EOPNOTSUPP without libsystemd; -ENOMEM; the negative errno of sending.
 * A journal that does not run is no error: it says so by nothing.
 */
int journal_send(const struct event *event);

#endif /* TW_JOURNAL_H */
