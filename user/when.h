/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * when.h - moments as people write them: the syntax of journalctl's --since
 * and --until, systemd.time(7) "PARSING TIMESTAMPS".
 */
#ifndef TW_WHEN_H
#define TW_WHEN_H

#include <stddef.h>
#include <stdint.h>

/*
 * A moment in ns since the epoch (CLOCK_REALTIME). `now_ns` is what "now" and
 * relative times count from. Taken are
 *
 *   2026-11-22 03:12:00.5     also with 'T' between, without fraction, without seconds
 *   2026-11-22                its first moment; two digits of a year are 1969..2068
 *   03:12                     today
 *   now, today, yesterday, tomorrow
 *   -2h30min, +5min, 2h 30min ago, 5min left
 *   @1795317120.5             seconds since the epoch
 *
 * after the weekday, where wished, which must be the right one; and a zone
 * after it: " UTC", "Z", "+02:00", " CEST" (a name of the local zone) or
 * " Europe/Berlin". Without one it is local time ($TZ, /etc/localtime). Of an
 * hour that comes twice the first is meant, one that does not come is taken
 * as if the clock had not been set forward.
 *
 * 0; -EINVAL for what is no time, with a sentence in `err` (never NULL) fit
 * for "tapwatch: %s".
 */
int when_parse(const char *text, uint64_t now_ns, uint64_t *ns, char *err, size_t errsize);

/* A length of time: "2h 30min", "90d", "1.5w", a bare number is seconds. As above. */
int when_parse_span(const char *text, uint64_t *ns, char *err, size_t errsize);

#endif /* TW_WHEN_H */
