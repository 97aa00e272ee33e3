/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * packets.h - the first packets of machines' devices: which devices' counters
 * are to be read when, and what follows from what they say. Pure: no I/O, no
 * clock.
 *
 * A device is looked at only while it is young, that is from when a machine
 * got it until a packet was counted in both directions, for PACKETS_YOUNG_NS
 * at most: every PACKETS_TICK_NS at first, then less often (a twentieth of its
 * age), and every PACKETS_SLOWEST_NS at least. A counter tells that a packet
 * came since the look before, and no more: both ends of that time are told.
 */
#ifndef TW_PACKETS_H
#define TW_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bindings.h"

#define PACKETS_TICK_NS		100000000ULL
#define PACKETS_SLOWEST_NS	1000000000ULL
#define PACKETS_YOUNG_NS	(120 * 1000000000ULL)
#define PACKETS_MAX		4096	/* devices looked at at a time; what comes beyond is not */

struct packets;

struct packets *packets_new(void);	/* NULL when out of memory */
void packets_free(struct packets *p);

/*
 * A machine got this device at time_ns. `fresh`: it was made for it, so that
 * its counters began at 0; else where they stand at the first look counts.
 * `pid`: a process of the machine. Without memory nothing is told of it.
 */
void packets_begin(struct packets *p, const struct device *dev, uint32_t pid, bool fresh, uint64_t time_ns);

/* To be called with every change: devices move, are renamed, and end. */
void packets_change(struct packets *p, const struct change *change);

/* When the next look is due, CLOCK_BOOTTIME; 0: none is. */
uint64_t packets_next(const struct packets *p);

/* One look. It is valid until the next call of any of these but packets_next(). */
struct packets_look {
	const struct device *dev;
	uint32_t pid;		/* a process of the machine */
	char **place;		/* for the caller: how the namespace was found last; freed with free() */
	uint64_t *searched_ns;	/* for the caller, too: when it was searched for in vain; 0 never */
	/* private */
	size_t index;
	void *one;
};

/* A look that is due at now_ns; devices of one namespace come together. False: no more. */
bool packets_due(struct packets *p, uint64_t now_ns, struct packets_look *look);

struct packets_count {
	uint64_t rx, tx;		/* packets, as the kernel counts them of this device */
	uint64_t before_ns, after_ns;	/* when it was asked, and answered */
};

/* The machine has ended: this was the last look. */
void packets_give_up(struct packets *p, const struct packets_look *look);

/*
 * What the look told: 0 to 2 changes, with EV_FIRST_PACKET. Their `dev` is
 * valid as the look is.
 */
size_t packets_counted(struct packets *p, const struct packets_look *look, const struct packets_count *count,
		       struct change told[2]);

#endif /* TW_PACKETS_H */
