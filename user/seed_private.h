/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * seed_private.h - what the seed*.c files share, and nobody else.
 *
 * seed.c         the table of back-ends, choice, dumps of devices, report
 * seed_iter.c    BPF iterators
 * seed_queues.c  what the three that walk /proc have in common
 * seed_pidfd.c seed_fdinfo.c seed_ptrace.c
 */
#ifndef TW_SEED_PRIVATE_H
#define TW_SEED_PRIVATE_H

#include "netns.h"
#include "proc_scan.h"
#include "seed.h"

/* A run of seed_read(). */
struct seed {
	struct tracer *t;
	struct bindings *b;
	enum scan_mode mode;
	struct seed_report *report;	/* never NULL */
	struct seed_facts {
		struct tw_event *fact;
		size_t n, room;
	} devs,				/* TW_SCAN_DEV of the dumps; kept only when want_devs */
	  dead;				/* to be applied after the scan */
	bool want_devs;
	int (*drain)(void *ctx);	/* iter: see seed_review(); NULL: none */
	void *drain_ctx;
	uint32_t *netns;		/* dumped */
	size_t n_netns;
};

/* One back-end. */
struct seed_ops {
	const char *name;
	/*
	 * Reads everything: calls bindings_scan_begin(), gives all facts. 0 or
	 * a negative errno, -ENOTSUP and report->reason when it does not work
	 * here; nothing was begun then.
	 */
	int (*scan)(struct seed *s);
	bool (*available)(const struct tracer *t, char *reason, size_t size);
	const char *blind;
	void (*blind_here)(char *text, size_t size);	/* NULL: nothing to say */
};
extern const struct seed_ops seed_iter_ops, seed_pidfd_ops, seed_fdinfo_ops, seed_ptrace_ops;

/* Adds a sentence to the report. Text from outside must be escaped (seed_word()). */
void seed_note(struct seed *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An interface name fit to print. */
const char *seed_word(char out[4 * TW_NAME_LEN + 1], const char *name);
/* Appends to a text of that size; cut where it does not fit. */
void seed_append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Dumps the devices of one namespace into bindings (and s->devs); nothing when it was dumped already. */
int seed_dump_netns(struct seed *s, const struct netns_ref *ref);
/* The same of all namespaces that /run/netns, mounts and processes lead to. */
int seed_dump_all(struct seed *s);
/* Dumps it again: something came up since. Only into s->devs and as facts; by whatever way it is found. */
int seed_dump_again(struct seed *s, const struct netns_ref *ref);

int seed_keep(struct seed_facts *list, const struct tw_event *fact);
bool seed_netns_dumped(const struct seed *s, uint32_t inode);

/* ---- seed_queues.c: one fd of a tun file, as found out by some means ---- */

enum queue_state {
	QUEUE_GONE,		/* closed, or something else, meanwhile */
	QUEUE_UNKNOWN,		/* not to be found out */
	QUEUE_UNBOUND,
	QUEUE_BOUND,
};

struct seed_queue {
	const struct proc_table *table;
	int fd;
	enum queue_state state;
	uint64_t time_ns;	/* CLOCK_BOOTTIME, before it was looked at */
	char ifname[TW_NAME_LEN];
	uint32_t netns;		/* of the device; 0 unknown */
	uint32_t socket_netns;	/* 0 unknown */
	bool has_flags;
	uint32_t tun_flags;	/* of TUNGETIFF */
	bool has_mac;
	uint8_t mac[6];
};

/*
 * Fills in state and what follows of n queues of one table. Per-queue failures
 * are told with seed_note(); only what stops everything is returned.
 */
typedef int (*seed_look_fn)(struct seed *s, struct seed_queue *queues, size_t n);

/* scan() of a back-end that walks /proc and looks at each table by `look`. */
int seed_scan_queues(struct seed *s, seed_look_fn look);

/*
 * The namespace of a device was met as an nsfs fd: makes sure it was dumped,
 * and after the device came there. ns stays the caller's.
 */
int seed_meet_netns(struct seed *s, int ns, uint32_t inode, const char *ifname);

/* `fdinfo` as a last resort of the others. */
void seed_look_fdinfo(struct seed_queue *queue);

/* Common to back-ends that walk /proc: what hides processes from us. */
void seed_proc_blind_here(char *text, size_t size);

/* Yama's ptrace_scope; 0 without Yama. */
int seed_yama_scope(void);

#endif /* TW_SEED_PRIVATE_H */
