/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * filter.h - which events a user asked for. The same filters serve the live
 * view, the lists and the history: whatever is to be filtered is made a
 * struct event.
 *
 * Values of one option are alternatives, different options must all hold.
 * Several values may stand in one argument separated by commas; a comma that
 * is part of a value is written "\,".
 */
#ifndef TW_FILTER_H
#define TW_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "event.h"

enum filter_kind {
	FILTER_PID,	/* actor or present holder: process id */
	FILTER_IFNAME,	/* glob: the device's name now, before, or as asked for */
	FILTER_NETNS,	/* NAME, PATH, INODE or pid:PID; looked up once, here */
	FILTER_USER,	/* user name or uid: actor or present holder */
	FILTER_COMM,	/* glob: actor or present holder */
	FILTER_KIND,	/* tap, tun, macvtap, ipvtap */
	FILTER_EVENT,
	FILTER_VM,	/* glob: name or uuid */
	FILTER_MAX,
};

struct filter;

/* A filter without conditions matches everything. NULL when out of memory. */
struct filter *filter_new(void);
void filter_free(struct filter *filter);

/*
 * Adds the argument of one option. 0; -EINVAL: no such value can be (usage
 * error); -ENOENT: a namespace or process that does not exist; other negative
 * errno of the look-up; -ENOMEM. On error `errmsg` (never NULL) holds a
 * sentence fit for "tapwatch: %s", and the values before the bad one stay added.
 */
int filter_add(struct filter *filter, enum filter_kind kind, const char *value,
	       char *errmsg, size_t errsize);

/* Has any condition of this kind been given? */
bool filter_has(const struct filter *filter, enum filter_kind kind);

/* The n-th value of a kind as it was given; NULL: there are no more. */
const char *filter_value(const struct filter *filter, enum filter_kind kind, size_t n);

/*
 * The filter is for events of the past: what is added from now on is not
 * looked up among what there is today. Namespaces are matched by the names
 * that were recorded or by inode, users by recorded name where there is one.
 */
void filter_past(struct filter *filter);

/*
 * `--netns pid:PID` of the past: the n-th process whose namespaces are to be
 * found out, 0: no more; and one of these namespaces. 0 or -ENOMEM.
 */
uint32_t filter_netns_pid(const struct filter *filter, size_t n);
int filter_add_netns(struct filter *filter, uint32_t inode);

/*
 * ready, lost, resync and gap are about the run, not about an object: they
 * pass, unless an event list leaves them out.
 */
bool filter_match(const struct filter *filter, const struct event *event);

#endif /* TW_FILTER_H */
