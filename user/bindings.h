/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bindings.h - the state of the world, as a pure machine: facts in, changes
 * out. No I/O, no clock, no globals: every race is a unit test written as an
 * array of facts.
 *
 * Identity. A device or a file is found by its generation (tw_dev.gen,
 * tw_file.gen) where the fact carries one, which the BPF side hands out and
 * takes back exactly. Facts without a device generation (netlink, the
 * tracepoint backend, fdinfo) are found by (netns, ifindex), which the kernel
 * keeps unique among living devices. Addresses, names, and pid+fd are never
 * identity.
 *
 * Staleness. A scan reads an object at some instant while live facts of the
 * same time wait in the ring buffer. Every object therefore remembers when it
 * was last seen by a scan (seen_ns); a live fact not younger than that is
 * already contained in what the scan saw, and changes nothing about that
 * object.
 *
 * Ownership: all objects belong to the struct bindings; pointers handed to
 * the sink are valid during the call only.
 */
#ifndef TW_BINDINGS_H
#define TW_BINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/tapwatch.h"

/* Events as CONTRACT names them; event_name() gives the word. */
enum event_kind {
	EV_READY, EV_EXIST, EV_OPEN, EV_ATTACH, EV_ATTACH_FAILED,
	EV_QUEUE_DETACH, EV_QUEUE_ATTACH, EV_PERSIST, EV_OWNER, EV_MOVE,
	EV_RENAME, EV_MAC, EV_UP, EV_DOWN, EV_MASTER, EV_VHOST, EV_HOLD,
	EV_DROP, EV_RELEASE, EV_DELETE, EV_LOST, EV_RESYNC, EV_VM_START,
	EV_VM_STOP,
	EV_FIRST_PACKET, /* told by what watches over machines: packets.h */
	EV_GAP,		/* told by the recorder: it did not run, or could not write */
	EV_MAX,
};
const char *event_name(enum event_kind kind);		/* "attach-failed" */
int event_by_name(const char *word);			/* enum event_kind, or -1 */

const char *kind_name(enum tw_kind kind);		/* "tap"; NULL for unknown */
int kind_by_name(const char *word);			/* enum tw_kind, or -1 */

/* How it came about: the words of CONTRACT's `how`. */
enum how {
	HOW_UNKNOWN = 0,
	HOW_DUP, HOW_FORK, HOW_SCM_RIGHTS, HOW_PIDFD_GETFD, HOW_EXEC, HOW_OTHER, /* hold */
	HOW_CLOSE, HOW_CLOEXEC, HOW_EXIT,					  /* drop */
	HOW_LAST_CLOSE, HOW_LINK_DEL, HOW_NETNS_EXIT, HOW_PERSIST_OFF,		  /* delete */
	HOW_OUT, HOW_IN,		/* first-packet: its direction, as seen from the machine */
	HOW_MAX,
};
const char *how_name(enum how how);			/* NULL for HOW_UNKNOWN */

struct device {
	uint64_t id;		/* printed as d<id> */
	uint64_t gen;		/* 0 while only netlink knows it */
	uint64_t seen_ns;	/* last seen by a scan; 0 never */
	uint64_t since_ns;	/* CLOCK_BOOTTIME of its registration; 0 unknown (older than us) */
	uint32_t has;		/* TW_HAS_{DEV,MAC,TUN,QUEUES,MASTER,UP} */
	struct tw_dev d;	/* the present truth */
	uint32_t enabled, disabled; /* files of ours, by their queue */
	bool announced;		/* an event has told of it */
	/* private to bindings.c below */
	uint64_t persist_off_file; /* file that switched persistence off last; 0 */
	uint64_t mark;
	uint64_t slice[TW_MAX_QUEUES];	/* queue list being collected */
};

enum file_state { FILE_UNBOUND, FILE_BOUND, FILE_DISABLED, FILE_ORPHANED };
const char *file_state_name(enum file_state state);	/* list's `state` words */

struct file {
	uint64_t id;		/* printed as f<id> */
	uint64_t gen;
	uint64_t seen_ns;
	uint64_t opened_ns;	/* 0: opened before us */
	uint64_t bound_ns;	/* 0: bound before us, or not bound */
	enum file_state state;
	struct device *dev;	/* NULL unless bound or disabled; NULL as well with name_only */
	char name_only[TW_NAME_LEN]; /* bound to a device of this name in nobody knows which namespace; "": not so */
	uint32_t has;		/* TW_HAS_SOCKET_NETNS */
	struct tw_file f;
	uint32_t vhost_queues;	/* virtqueues of vhost-net that hold it */
	uint32_t holders;	/* fds that refer to it */
	bool announced;		/* its open (or exist) was told */
	/* private */
	uint64_t mark;
};

/*
 * A holder: a process has this fd for this file, in its file table. Tables
 * are objects of their own (struct slot): threads share one, processes may,
 * a thread may have one to itself. A process that has the same fd for the same
 * file in two of its tables holds it once.
 */
struct hold {
	int fd;
	struct file *file;
	struct tw_task task;	/* as last seen */
	uint64_t since_ns;	/* 0: older than us */
};

/* One fd of one file table. */
struct slot {
	uint64_t table;
	int fd;
	struct file *file;
};

/*
 * How a file came from its opener to those who hold it: opens, holds and drops
 * in their order. Of a long story the beginning and the end are kept.
 */
#define CHAIN_FIRST 8
#define CHAIN_LAST 24

struct chain_link {
	uint64_t time_ns;	/* CLOCK_BOOTTIME */
	enum event_kind event;	/* EV_OPEN, EV_EXIST, EV_HOLD, EV_DROP */
	enum how how;
	int fd;			/* -1: none */
	uint32_t pid, uid;
	uint64_t start_ns;
	char comm[TW_NAME_LEN];
	char old_comm[TW_NAME_LEN]; /* hold by exec: before; "": the same */
	bool seed;		/* found by a scan: by then at the latest */
};

struct chain {
	size_t first_len, last_len;
	size_t left_out;	/* links between first and last */
	struct chain_link first[CHAIN_FIRST];
	struct chain_link last[CHAIN_LAST];
};

/* Presence bits of struct change. */
#define CH_OLD_IFNAME	(1u << 0)
#define CH_OLD_IFINDEX	(1u << 1)
#define CH_OLD_NETNS	(1u << 2)
#define CH_OLD_MAC	(1u << 3)
#define CH_VALUE	(1u << 4)
#define CH_ERRNO	(1u << 5)
#define CH_REQUESTED	(1u << 6)
#define CH_CREATED	(1u << 7)
#define CH_FD		(1u << 8)
#define CH_TASK		(1u << 9)
#define CH_SEED		(1u << 10)  /* found by a scan, not seen as it happened */
#define CH_COUNT	(1u << 11)
#define CH_OLD_COMM	(1u << 12)

struct change {
	enum event_kind event;
	uint32_t has;			/* CH_* */
	uint64_t time_ns;		/* CLOCK_BOOTTIME */
	const struct tw_task *task;	/* the actor; for exist and hold: the holder */
	int fd;
	const struct device *dev;	/* after the event; NULL: none */
	const struct file *file;	/* NULL: none */
	struct {
		char ifname[TW_NAME_LEN];
		uint32_t ifindex;
		uint32_t netns;
		uint64_t netns_cookie;
		uint8_t mac[6];
		char comm[TW_NAME_LEN];	/* hold by exec: of the program before */
	} old;
	enum how how;
	bool value;			/* persist, vhost */
	int error;			/* positive errno of attach-failed */
	char requested[TW_NAME_LEN];
	/* attach-failed: present holders of the device asked for, by the state as known */
	const struct hold *const *held_by;
	size_t held_by_len;
	uint64_t count;			/* lost: events lost; resync: corrections */
	uint64_t after_ns;		/* first-packet: not before then, CLOCK_BOOTTIME; it was counted by time_ns */
};

typedef void (*change_fn)(void *ctx, const struct change *change);

struct bindings;

/* NULL when out of memory. `sink` gets every change, in order; it must not call back. */
struct bindings *bindings_new(change_fn sink, void *ctx);
void bindings_free(struct bindings *b);

/*
 * Applies one fact, live or from a scan. 0; -ENOMEM; -EINVAL for a fact of
 * unknown type or without the members its type needs (ignored, state intact).
 */
int bindings_apply(struct bindings *b, const struct tw_event *fact);

enum scan_mode {
	SCAN_SEED,	/* what is new is told as `exist` */
	SCAN_RESYNC,	/* what differs is told as the change that must have happened, CH_SEED set */
	/*
	 * As SCAN_RESYNC, but nothing was lost: what differs may be in the
	 * middle of a system call whose end will tell more. Only what differed
	 * in an earlier review is told; bindings_scan_pending() counts the rest.
	 */
	SCAN_REVIEW,
};

/*
 * A scan is a run of TW_SCAN_* facts between begin and end. All facts of it
 * are to be given, then bindings_scan_end() settles: SCAN_SEED tells `exist`
 * per holder fd (and per unbound file's fd, and per device without holder),
 * ordered by netns, ifindex, pid, fd; SCAN_RESYNC drops what the scan did not
 * meet (unless a live fact younger than `begin_ns` told of it) and returns
 * the number of changes told.
 *
 * `scope` says what the scan could see; only that is ever concluded gone:
 * SCAN_FDS (all fds of all tables), SCAN_FILES (all living files),
 * SCAN_DEVICES (all devices of the namespaces named by bindings_scan_netns()).
 * Files are also concluded gone by SCAN_FDS alone when SCAN_FILES is not set
 * and no vhost queue holds them.
 */
#define SCAN_FDS	(1u << 0)
#define SCAN_FILES	(1u << 1)
#define SCAN_DEVICES	(1u << 2)
#define SCAN_TABLES	(1u << 3)  /* as SCAN_FDS, but nothing is concluded about files */
#define SCAN_PROCESS	(1u << 4)  /* all fds of one process: bindings_scan_process() */
void bindings_scan_begin(struct bindings *b, enum scan_mode mode, unsigned scope, uint64_t begin_ns);
int bindings_scan_netns(struct bindings *b, uint32_t netns);	/* this namespace was dumped whole; 0 or -ENOMEM */
void bindings_scan_process(struct bindings *b, uint32_t pid);	/* which one SCAN_PROCESS is about */
void bindings_scan_abort(struct bindings *b);			/* it broke off: nothing is concluded gone at its end */
int bindings_scan_end(struct bindings *b);			/* >= 0: number of changes told; -ENOMEM */
unsigned int bindings_scan_pending(const struct bindings *b);	/* of the last scan; 0 but for SCAN_REVIEW */
bool bindings_doubtful(const struct bindings *b);	/* the end of a device is still to be told: a scan will */

/*
 * What facts alone cannot tell and a look at the tables of a process (or, pid
 * 0, of all) can: a scan of scope SCAN_PROCESS or SCAN_TABLES that begins at
 * not_before_ns or later. Takes one that is due out of the list; false: none
 * is, and *next_ns is when the next will be (0: none waits).
 */
struct rescan {
	uint32_t pid;
	uint64_t not_before_ns;
};
bool bindings_rescan_due(struct bindings *b, uint64_t now_ns, struct rescan *out, uint64_t *next_ns);

/* Tells events that are no fact about one object (ready, lost, resync) through the same sink, in order. */
void bindings_tell(struct bindings *b, const struct change *change);

/* Look-ups; NULL when there is none. */
const struct device *bindings_device(const struct bindings *b, uint32_t netns, uint32_t ifindex);
const struct device *bindings_device_named(const struct bindings *b, uint32_t netns, const char *ifname);
const struct file *bindings_file(const struct bindings *b, uint64_t gen);

/* Iteration in no special order; return non-zero from fn to stop (that value is returned). */
int bindings_each_device(const struct bindings *b, int (*fn)(void *ctx, const struct device *), void *ctx);
int bindings_each_file(const struct bindings *b, int (*fn)(void *ctx, const struct file *), void *ctx);
int bindings_each_hold(const struct bindings *b, int (*fn)(void *ctx, const struct hold *), void *ctx);
int bindings_each_slot(const struct bindings *b, int (*fn)(void *ctx, const struct slot *), void *ctx);

/* Does any process but `pid` use this table, as far as is known? */
bool bindings_table_shared(const struct bindings *b, uint64_t table, uint32_t pid);

/* NULL: nothing was told of it. `file` is one of bindings_each_file()'s. */
const struct chain *bindings_chain(const struct file *file);

/*
 * For the tracepoint backend, where a close is told when the call has returned,
 * and devices are not read under rtnl. A number of queues that was read races
 * with those that come and go, and nothing tells that it was wrong: from now on
 * it is the number of enabled files known. And that the address of a file is
 * taken by a new one is known to the caller, who releases it when it is time.
 */
void bindings_late_closes(struct bindings *b);

/* The first id to hand out, so that a recorder carries ids on across restarts; before the first fact. */
void bindings_ids_from(struct bindings *b, uint64_t device_id, uint64_t file_id);

/*
 * Who knows the ids of objects from an earlier run in the same boot. Asked
 * once for each object that is new to us; 0: it is new altogether.
 */
struct bindings_id_source {
	void *ctx;
	uint64_t (*device)(void *ctx, const struct tw_dev *dev);
	uint64_t (*file)(void *ctx, const struct tw_event *scan_fd);	/* only for TW_SCAN_FD */
};
void bindings_id_source(struct bindings *b, const struct bindings_id_source *source);

#endif /* TW_BINDINGS_H */
