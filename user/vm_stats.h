/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vm_stats.h - statistics of machines' starts: events in, in their order;
 * numbers out. Pure. Memory grows with the number of starts, not of events.
 *
 * A start is what vm-start tells of, or a machine that was refused an
 * interface before it had any. Milestones are moments of it; a phase is the
 * time between two of them.
 */
#ifndef TW_VM_STATS_H
#define TW_VM_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

enum milestone {
	MS_BEGIN,	/* somebody else did something to its first interface, no longer than STATS_BEFORE_NS ago */
	MS_PROCESS,	/* its process started */
	MS_FIRST,	/* the earlier of both */
	MS_INTERFACE,	/* it had its first interface: vm-start */
	MS_BRIDGE, MS_UP, MS_VHOST,	/* that joined a bridge or the like, was up, was taken by vhost-net */
	MS_OUT, MS_IN,	/* first packets: when they had been counted at the latest */
	MS_MAX,
};
#define STATS_BEFORE_NS (600 * 1000000000ULL)

struct phase {
	const char *name;
	enum milestone from, to;
	const char *help;
};
#define STATS_PHASES 8
extern const struct phase stats_phases[STATS_PHASES];

/* It ended so soon after it had begun: taken for a failure. */
#define STATS_EARLY_NS (10 * 1000000000ULL)

struct vm_begin {
	uint64_t seq, realtime_ns;	/* of the event that told of it */
	char *name, *uuid, *type, *manager;	/* raw; NULL unknown */
	char by[TW_NAME_LEN];	/* comm of who prepared it; "" nobody */
	uint32_t pid;
	uint64_t at[MS_MAX];	/* CLOCK_BOOTTIME; 0 unknown */
	/* failures */
	int error;		/* it was refused `requested`: positive errno; 0: it was not */
	char requested[TW_NAME_LEN];
	char holder[TW_NAME_LEN];	/* by whom, if anybody */
	uint32_t holder_pid;
	uint64_t ended_ns;	/* it ended early, after so long; 0: it did not */
};

/* 0 unknown is told apart by the result. */
bool stats_phase(const struct vm_begin *start, const struct phase *phase, uint64_t *ns);
bool stats_failed(const struct vm_begin *start);
/* From its first milestone to the first packet out, or as far as it came. */
uint64_t stats_length(const struct vm_begin *start);

struct stats_group {
	char day[16];		/* "2026-11-22", local */
	const char *by;		/* its manager, who prepared it, or NULL: nobody else */
	size_t starts, failed;
	struct { size_t n; uint64_t median_ns, p95_ns; } phase[STATS_PHASES];
};

struct vm_stats;

/* Starts from since_ns to until_ns (CLOCK_REALTIME; 0: no limit). NULL when out of memory. */
struct vm_stats *vm_stats_new(uint64_t since_ns, uint64_t until_ns);
void vm_stats_free(struct vm_stats *s);

/* `wanted`: starts that this event tells of count. 0 or -ENOMEM. */
int vm_stats_add(struct vm_stats *s, const struct event *event, bool wanted);

/* All starts, in order. */
const struct vm_begin *vm_stats_starts(const struct vm_stats *s, size_t *n);

/* By day, then by who. *groups is to be freed, and refers to `s`. 0 or -ENOMEM. */
int vm_stats_groups(const struct vm_stats *s, struct stats_group **groups, size_t *n);

/* The slowest `max` of those that did not fail, slowest first: how many. */
size_t vm_stats_slowest(const struct vm_stats *s, const struct vm_begin **slowest, size_t max);

#endif /* TW_VM_STATS_H */
