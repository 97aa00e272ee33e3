/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rows.h - the present state as flat rows: one per fd of a holder, one per
 * device that nobody holds, one per file that no fd refers to (vhost-net keeps
 * it). What `list` and `who` print.
 *
 * A row is a copy and outlives the machine it was made of. As in a fact, the
 * presence bits TW_HAS_* tell which members are known; in members that are
 * told without a bit, 0 (for uid: UINT32_MAX) is unknown.
 */
#ifndef TW_ROWS_H
#define TW_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "bindings.h"
#include "event.h"

enum row_state {
	ROW_BOUND, ROW_DISABLED, ROW_UNBOUND, ROW_ORPHANED, ROW_NO_HOLDER,
	ROW_UNKNOWN,	/* a device that may be the one a file is bound to of which only the name is known */
};
const char *row_state_name(enum row_state state);	/* CONTRACT's words; NULL for unknown */

struct row {
	uint32_t has;		/* TW_HAS_{TASK,FD,FILE,DEV,MAC,TUN,QUEUES,MASTER,UP,SOCKET_NETNS} */
	enum row_state state;
	struct tw_task task;	/* the holder */
	int fd;
	uint64_t file_id;	/* 0: none */
	uint64_t device_id;	/* 0: none, or only dev.ifname is known (with TW_HAS_DEV) */
	uint32_t socket_netns;
	struct tw_dev dev;
	uint32_t disabled;	/* queues of the device that are disabled; with TW_HAS_QUEUES */
	/* Of rows_enrich(); raw bytes from outside. NULL: unknown, or not asked for. */
	const char *user, *exe, *cgroup;
	const char *netns_name;	/* of the device's namespace: a name that it was given */
	/* What a person calls the namespace: its name, or who it belongs to. */
	const char *netns_label, *socket_netns_label, *process_netns_label;
	const char *vm_type, *vm_name, *vm_uuid, *vm_manager; /* the holder is this machine */
	const char *declared;	/* the interfaces that its command line declares: vm_ports_text() */
	uint32_t vm_pid;	/* the machine's own process: the holder or an ancestor; 0: no machine */
	const char *role;	/* what the holder is: "vm", "vpn", ... */
	unsigned vhost;		/* files of vhost-net that the holder has open; 0 none or unknown */
	uint64_t held_ns;	/* when the holder's program got the fd, CLOCK_REALTIME; 0 unknown, or not asked for */
	uint64_t start_took_ns;	/* of a machine: starts_fill(); 0 unknown */
	/* stale.h; NULL and 0: it is not stale, or not known, or not asked for */
	const char *stale;		/* why */
	uint64_t stale_since_ns;	/* CLOCK_REALTIME */
	const char *stale_event;	/* that led there */
	const char *stale_comm;		/* who did that */
	uint32_t stale_pid;
	int64_t start_realtime_ns;	/* when the holder started, CLOCK_REALTIME; 0 unknown */
};

/* The process of the machine that it belongs to, or its own. */
static inline uint32_t row_machine_pid(const struct row *row)
{
	return row->vm_pid ? row->vm_pid : row->task.pid;
}

struct rows {
	struct row *row;
	size_t len;
	/* private */
	size_t room;
	char **strings;		/* what the rows point to */
	size_t strings_len, strings_room;
	bool taps_unseen;	/* set before: who holds a macvtap or ipvtap was not to be seen */
};

/* A new row without anything known; NULL when out of memory. */
struct row *rows_add(struct rows *rows);
/* A copy that lives as long as the rows. NULL for NULL, and when *err is set or gets -ENOMEM. */
const char *rows_keep(struct rows *rows, const char *text, int *err);

/* Adds the rows of a state. 0 or -ENOMEM. Zero `rows` before; rows_free() it also after an error. */
int rows_collect(struct rows *rows, const struct bindings *b);
void rows_free(struct rows *rows);

/*
 * Keeps the rows that `keep` is true of, in their order. It gets the row as
 * an event, as filters want it.
 */
void rows_filter(struct rows *rows, bool (*keep)(void *ctx, const struct event *event), void *ctx);

/*
 * A stable order for readers: the initial namespace first, then those with a
 * name, by name, then the others by number; in a namespace by interface name
 * (tap2 before tap10) and index; then pid and fd. Files without a device come
 * last. Names of namespaces count only when they were enriched.
 */
void rows_sort(struct rows *rows, uint32_t init_netns);

/* What is to be looked up beyond the state itself. */
#define ROWS_USER	(1u << 0)  /* user */
#define ROWS_NAME	(1u << 1)  /* netns_name */
#define ROWS_LABEL	(1u << 2)  /* *_label */
#define ROWS_PROCESS	(1u << 3)  /* exe, cgroup; and as ROWS_VM, for it is the same look-up */
#define ROWS_START	(1u << 4)  /* start_realtime_ns */
#define ROWS_VM		(1u << 5)  /* vm_*, role */
#define ROWS_VHOST	(1u << 6)  /* vhost */
#define ROWS_TOOK	(1u << 7)  /* start_took_ns; for snapshot_finish(), together with ROWS_VM and ROWS_START */

struct labels;
struct process_cache;

/* Each of the two is needed only where `wanted` asks for something of it. 0 or -ENOMEM. */
int rows_enrich(struct rows *rows, unsigned wanted, struct process_cache *processes, struct labels *labels);

#endif /* TW_ROWS_H */
