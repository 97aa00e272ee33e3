/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * event.h - a change made ready for outputs, filters and history: what
 * bindings.c concluded, plus what is known from elsewhere (clock, process,
 * names of namespaces, virtual machine).
 *
 * An event borrows everything it points to. One made by event_enrich() is
 * valid until the change it was made of is gone, or until the next
 * event_enrich() with the same context. A reader of the history fills the
 * members itself; the outputs ask for nothing else.
 */
#ifndef TW_EVENT_H
#define TW_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bindings.h"
#include "process.h"

struct machines;
struct netns_names;

#define BOOT_ID_LEN 36		/* as in /proc/sys/kernel/random/boot_id, without newline */

struct hook_state {
	const char *name;
	const char *state;	/* "on", or the reason it is off; never NULL */
};

/* EV_READY only. */
struct ready_info {
	const char *backend;
	const char *seed;	/* back-end that read the existing state; NULL or "none": none */
	size_t n_hooks;
	const struct hook_state *hooks;
};

/*
 * EV_GAP only: between `from` and the event's own time nothing was recorded.
 * change->count: events known to be missing; change->error: why writing failed.
 */
struct gap_info {
	const char *reason;		/* "stopped", "killed": the recorder did not run; "write-failed" */
	uint64_t from_realtime_ns;	/* 0 unknown */
	uint64_t from_boottime_ns;
	char from_boot_id[BOOT_ID_LEN + 1]; /* another one than the event's: the machine was restarted; "" unknown */
};

/* EV_VM_START only: what was done to the machine's file or device before it got them, in brief. */
struct event_earlier {
	uint64_t seq;		/* in this run; 0 unknown */
	uint64_t time_ns;	/* CLOCK_BOOTTIME */
	enum event_kind event;
	enum how how;
	int fd;			/* -1: none */
	uint32_t pid;		/* 0 unknown */
	char comm[TW_NAME_LEN];
};

struct event {
	const struct change *change;		/* never NULL */
	uint64_t seq;				/* first of a run: 1 */
	uint64_t realtime_ns;			/* CLOCK_REALTIME, ns since the epoch */
	const char *boot_id;			/* NULL unknown */
	const char *source;			/* "fentry", "kprobe", "tracepoint", "seed"; NULL unknown */
	const struct process_info *process;	/* of change->task; NULL unknown */
	/* Labels of namespaces; NULL: without a name. The numbers stand in change. */
	const char *netns_name;			/* of change->dev */
	const char *old_netns_name;		/* of change->old */
	const char *process_netns_name;		/* of change->task */
	const char *socket_netns_name;		/* of change->file */
	/*
	 * The virtual machine that acts or, but for open, hold and exist, whose
	 * file or device this is about; NULL unknown.
	 */
	const char *vm_type, *vm_name, *vm_uuid, *vm_manager;
	const struct event_earlier *earlier;
	size_t n_earlier;
	const struct ready_info *ready;		/* for the caller to fill */
	const struct gap_info *gap;		/* for the caller to fill */
};

/* What enriching needs; one per run. Zero it, then fill the upper part. */
struct event_context {
	struct process_cache *processes;	/* NULL: no process members */
	struct netns_names *netns;		/* NULL: no labels */
	struct machines *machines;		/* NULL: only the actor's machine is told, no vm-start and vm-stop */
	char boot_id[BOOT_ID_LEN + 1];		/* event_boot_id(); "" unknown */
	const char *backend;			/* `source` of what was seen live */
	/* private */
	uint64_t seq;
	int64_t realtime_offset_ns;		/* CLOCK_REALTIME - CLOCK_BOOTTIME */
	bool have_offset;
	char labels[4][256];			/* NAME_MAX + 1 each */
};

/*
 * Fills `event` from `change` and counts it. To be called for every change,
 * also for one that a filter will drop then, so that `seq` has no meaning but
 * the order of the run.
 */
void event_enrich(struct event_context *ctx, const struct change *change, struct event *event);

/*
 * What follows from the event of the last event_enrich(): vm-start. To be
 * called after each; true: `event` is to be told next.
 */
bool event_follow(struct event_context *ctx, struct event *event);

/* vm-stop of machines that have ended, and first-packet, one a call; see machines_fd(). False: no more. */
bool event_later(struct event_context *ctx, struct event *event);

/* Reads this boot's id. 0; -ENOENT and the like; -EINVAL for what is no id. `out` is "" on failure. */
int event_boot_id(char out[BOOT_ID_LEN + 1]);

/*
 * `state` of the fd, file or device an event is about, in CONTRACT's words:
 * "bound", "disabled", "unbound", "orphaned", "no-holder". NULL where there is
 * neither file nor device.
 */
const char *event_state(const struct event *event);

/*
 * The namespace a line about this event is placed in: the device's; without
 * a device the one the file was opened in, where a device made through it
 * would appear. 0 unknown. `*label` gets its name or NULL (may be NULL).
 */
uint32_t event_netns(const struct event *event, const char **label);

/* The process of the machine that an event is about, as far as it tells: its pid and start in ns of boot time; 0 unknown. */
static inline uint32_t event_machine_pid(const struct event *event)
{
	if (event->process && event->process->vm_pid)
		return event->process->vm_pid;
	return event->change->task ? event->change->task->pid : 0;
}

static inline uint64_t event_machine_start(const struct event *event)
{
	if (event->process && event->process->vm_start_ns)
		return event->process->vm_start_ns;
	return event->change->task ? event->change->task->start_ns : 0;
}

/* Unknown (NULL) is the same as unknown only. */
static inline bool event_same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

#endif /* TW_EVENT_H */
