/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bindings_private.h - what the bindings*.c files share, and nobody else.
 *
 * bindings.c       objects, their indices, telling changes, the public calls
 * bindings_table.c file tables, the processes that use them, and what they hold by that
 * bindings_fd.c    live facts about fds
 * bindings_fd_scan.c fds in scans; what is to be scanned again
 * bindings_file.c  facts about files and vhost
 * bindings_dev.c   facts about devices
 * bindings_ioctl.c facts about ioctls, which join the two
 * bindings_scan.c  scans
 */
#ifndef TW_BINDINGS_PRIVATE_H
#define TW_BINDINGS_PRIVATE_H

#include <sys/queue.h>

#include "bindings.h"
#include "table.h"

/* --- objects: the public struct first, then what only we need ------------ */

TAILQ_HEAD(dev_list, dev_node);
TAILQ_HEAD(file_list, file_node);
TAILQ_HEAD(hold_list, hold_node);
TAILQ_HEAD(slot_list, slot_node);
TAILQ_HEAD(member_list, member_node);
TAILQ_HEAD(tab_list, fdtab);
TAILQ_HEAD(want_list, want);
TAILQ_HEAD(vhost_list, vhost_node);
TAILQ_HEAD(gone_list, gone);

/* Where a device is: what (netns, ifindex) identity consists of. */
struct place {
	uint64_t cookie;	/* 0: unknown, agrees with every cookie */
	uint32_t netns;
	uint32_t ifindex;
};

struct dev_node {
	struct device dev;
	struct link by_gen, by_serial, by_place, by_name, by_netns;
	TAILQ_ENTRY(dev_node) all;
	struct file_list files;		/* bound or disabled here */
	uint64_t live_ns;		/* last live fact about it; 0 none */
	uint64_t unmet_ns;
	uint32_t rtnl_has;		/* TW_HAS_* ever told under rtnl */
	uint32_t slice_len;		/* gens collected in dev.slice */
	bool registered;		/* its TW_DEV_NEW was seen */
	bool fresh;			/* came up in our sight, no file was bound yet */
	bool adopted;			/* got its gen from a fact older than seen_ns */
	bool ioctl_tun;			/* ioctls told of its TW_HAS_TUN members, not under rtnl */
	bool left;			/* a file of it was met unbound: it is gone, which is to be told yet */
	bool moving;			/* moved, but `move` is not told yet */
	struct place moved_from;
	uint64_t moved_ns;
	struct place ahead_of;		/* the place it left, where netlink still believes it; netns 0: none */
	uint64_t ahead_ns;
};

struct file_node {
	struct file file;
	struct link by_gen, by_addr;
	TAILQ_ENTRY(file_node) all;
	TAILQ_ENTRY(file_node) of_dev;
	struct hold_list holds;
	struct slot_list slots;
	struct vhost_list vhosts;
	struct chain *chain;	/* NULL: nothing yet */
	uint64_t live_ns;	/* last live fact about it */
	uint64_t bind_ns;	/* last live fact about its binding */
	uint64_t sure_ns;	/* last scan that told for certain what it is bound to; 0 none */
	uint64_t unmet_ns;	/* when a review missed it first, as in all objects */
	uint64_t fds_ns;	/* begin of the last scan of fds that met it; 0 none */
	struct tw_task opener;	/* pid 0: unknown */
};

/*
 * File tables are shared objects. A slot is an fd of one; a member is a process
 * that uses it; a hold follows wherever the two meet (and counts how often).
 * Tables without slots are not kept: nobody tells of their end.
 */
struct hold_node {
	struct hold hold;
	struct proc_node *proc;
	unsigned int refs;	/* tables of the process with this slot */
	uint64_t seen_ns;	/* by a scan; 0 never */
	uint64_t mark;
	struct link by_key;	/* (process, fd, file) */
	TAILQ_ENTRY(hold_node) all;
	TAILQ_ENTRY(hold_node) of_file;
	bool announced;
};

struct slot_node {
	struct slot slot;
	struct fdtab *tab;
	uint64_t told_ns;	/* last live fact about it; 0: found by a scan */
	uint64_t seen_ns;	/* by a scan; 0 never */
	uint64_t mark, unmet_ns;
	struct link by_slot;	/* (table, fd) */
	TAILQ_ENTRY(slot_node) all;
	TAILQ_ENTRY(slot_node) of_tab;
	TAILQ_ENTRY(slot_node) of_file;
};

struct member_node {
	struct fdtab *tab;
	struct proc_node *proc;
	uint64_t told_ns, seen_ns;
	uint64_t mark, unmet_ns;
	uint64_t exit_ns;	/* a thread that used it ended, and has left it by then: if the process did, by that; 0 none */
	TAILQ_ENTRY(member_node) of_tab;
	TAILQ_ENTRY(member_node) of_proc;
};

struct fdtab {
	uint64_t addr;		/* struct files_struct* */
	uint64_t mark;
	bool in_exec;		/* close-on-exec fds are being closed; which, is told at the end of that */
	struct slot_list slots;
	struct member_list members;
	struct link by_addr;
	TAILQ_ENTRY(fdtab) all;
};

struct proc_node {
	struct tw_task task;	/* the last seen, at task_ns */
	uint64_t task_ns;
	unsigned int holds;
	struct member_list members;
	struct link by_pid;
};

struct want {
	struct rescan rescan;
	uint64_t start_ns;	/* of the process; it may be gone by then */
	TAILQ_ENTRY(want) all;
};

/* A virtqueue of vhost-net that holds a file. */
struct vhost_node {
	uint64_t owner;
	uint32_t index;
	struct file_node *file;
	struct link by_owner;
	TAILQ_ENTRY(vhost_node) of_file;
};

/*
 * What died lately, so that a fact which was read before the death but is
 * applied after it raises nobody. `until` is the youngest time such a fact
 * can have: UINT64_MAX where a generation is known dead for good.
 * And (SIGHT_*) what a review met, at `until`, that is not told yet.
 */
enum gone_kind { GONE_FILE, GONE_DEV, GONE_PLACE, GONE_SLOT, GONE_MEMBER, GONE_NETNS,
		 SIGHT_FILE, SIGHT_SLOT, SIGHT_BINDING, SIGHT_DEV };

struct gone {
	struct link link;
	TAILQ_ENTRY(gone) age;
	enum gone_kind kind;
	uint64_t key[3];
	uint64_t until;
};

struct bindings {
	change_fn sink;
	void *ctx;
	bool late_closes;		/* bindings_late_closes() */
	uint64_t next_dev, next_file;
	struct bindings_id_source ids;

	struct table dev_gen, dev_serial, dev_place, dev_name, dev_netns;
	struct table file_gen, file_addr;
	struct table slot_key, tab_addr, proc_pid, hold_key;
	struct table vhost_owner;
	struct table gone_key;
	struct dev_list devs;
	struct file_list files;
	struct hold_list holds;
	struct slot_list slots;
	struct tab_list tabs;
	struct want_list wants;
	struct gone_list gone;
	size_t left_count;		/* devices that files have left */
	size_t dev_count, file_count, hold_count, slot_count, member_count, gone_count;

	/*
	 * Room to sort all holds, slots or members, and all devices or files.
	 * Grown when an object is made, so that telling of an end never wants
	 * memory. Each array has one user at a time: hold_sort whoever lists
	 * holders, slot_sort whoever ends slots, member_sort whoever tells of
	 * one slot to all that share it.
	 */
	void **hold_sort, **slot_sort, **member_sort;
	void **object_sort;
	size_t hold_room, slot_room, member_room, object_room;

	struct {
		bool on;
		enum scan_mode mode;
		unsigned int scope;
		uint32_t pid;		/* SCAN_PROCESS */
		uint64_t epoch;		/* marks what this scan met */
		uint64_t begin_ns;
		uint64_t last_ns;	/* of its facts */
		uint32_t *netns;	/* namespaces dumped whole */
		size_t netns_len, netns_room;
		int told;
		unsigned int pending;
	} scan;
};

/* The fact at hand, and how changes that follow from it are told. */
struct cx {
	struct bindings *b;
	const struct tw_event *fact;	/* NULL at the end of a scan */
	uint64_t time_ns;
	const struct tw_task *actor;	/* NULL: nobody to name */
	bool seed;			/* CH_SEED: concluded, not seen */
	bool scan;			/* counted for bindings_scan_end() */
	bool quiet;			/* SCAN_SEED: changes are not told */
	bool believed;			/* SCAN_REVIEW: of a file that was met before, and is not told yet */
};

/* --- bindings.c ------------------------------------------------------------ */

/*
 * A change about d and f (each may be NULL), with time, actor and CH_SEED
 * set; told with tell(). A move of d that waits to be told comes first.
 */
struct change change_of(const struct cx *cx, enum event_kind event, struct dev_node *d, struct file_node *f);
void tell(const struct cx *cx, const struct change *c);
void change_task(struct change *c, const struct tw_task *task);	/* NULL: none */
/* Names the fd through which the actor acts on f. */
void change_fd(const struct cx *cx, struct change *c, const struct file_node *f);
/* cx for a change that must have happened unseen before the fact at hand. */
struct cx unseen(const struct cx *cx);

/* True when a fact of that time is contained in what a scan saw at seen_ns. */
static inline bool stale(uint64_t time_ns, uint64_t seen_ns)
{
	return seen_ns && time_ns <= seen_ns;
}

/* For qsort. */
static inline int compare(uint64_t x, uint64_t y)
{
	return x < y ? -1 : x > y;
}

struct place place_of(const struct tw_dev *d);
bool place_same_netns(const struct place *a, const struct place *b);

struct dev_node *dev_by_gen(const struct bindings *b, uint64_t gen);
struct dev_node *dev_by_serial(const struct bindings *b, uint64_t serial);
struct dev_node *dev_at(const struct bindings *b, const struct place *p, const struct dev_node *except);
struct dev_node *dev_named(const struct bindings *b, uint32_t netns, uint64_t cookie, const char *ifname);
struct dev_node *dev_new(struct bindings *b, const struct tw_event *fact);
void dev_free(struct bindings *b, struct dev_node *d);
void dev_set_left(struct bindings *b, struct dev_node *d, bool left);
void dev_introduce(const struct cx *cx, struct dev_node *d);	/* `attach`, unless it was told of before */
/* Identity members change only between these two. */
void dev_unindex(struct bindings *b, struct dev_node *d);
void dev_index(struct bindings *b, struct dev_node *d);

struct file_node *file_by_gen(const struct bindings *b, uint64_t gen);
/* `fact`: the one that it is met by. */
struct file_node *file_new(struct bindings *b, uint64_t gen, const struct tw_event *fact);
void file_free(struct bindings *b, struct file_node *f);
void file_learn(struct bindings *b, struct file_node *f, const struct tw_event *fact);
void file_bind(struct file_node *f, struct dev_node *d, enum file_state state);
void file_unbind(struct file_node *f, enum file_state state);
/* The queue of f counts no longer; the file still names its device. */
void queue_leaves(struct file_node *f);

int hold_by_pid(const void *a, const void *b);		/* qsort: pid, fd */

/* Is it time to believe a review? Each as of the object that it is about. */
bool review_missed(struct bindings *b, uint64_t *unmet_ns, uint64_t last_sight_ns);
bool review_met(const struct cx *cx, enum gone_kind kind, uint64_t k0, uint64_t k1, uint64_t k2);

void gone_add(struct bindings *b, enum gone_kind kind, uint64_t k0, uint64_t k1, uint64_t k2, uint64_t until);
/* Is a fact of that time older than the death? */
bool gone_has(const struct bindings *b, enum gone_kind kind, uint64_t k0, uint64_t k1, uint64_t k2,
	      uint64_t time_ns);
void gone_prune(struct bindings *b);

/* --- bindings_table.c -------------------------------------------------------- */

/* NULL: none. */
struct fdtab *tab_at(const struct bindings *b, uint64_t table);
struct member_node *member_of(const struct fdtab *tab, const struct proc_node *p);
struct slot_node *slot_at(const struct bindings *b, uint64_t table, int fd);
struct proc_node *proc_find(const struct bindings *b, uint32_t pid, uint64_t start_ns);
struct hold_node *hold_find(const struct bindings *b, const struct proc_node *p, int fd, const struct file *file);

struct file_node *file_of(const struct file *file);
bool is_proc(const struct proc_node *p, const struct tw_task *task);
bool used_by(const struct fdtab *tab, const struct tw_task *task);
bool used_by_others(const struct fdtab *tab, uint32_t pid);

struct fdtab *tab_get(struct bindings *b, uint64_t table);	/* made, if there is none; NULL: out of memory */
/* Forgets a table without slots: its end is told by nothing, and its address used again. */
void tab_put(struct bindings *b, struct fdtab *tab);

/*
 * These tell of what follows from them: `hold`, `drop`. The table stays, though
 * it may be empty then (but with its last member it goes): tab_put(). 0, or
 * -ENOMEM; *out is what is there, or NULL.
 */
int slot_add(const struct cx *cx, struct fdtab *tab, int fd, struct file_node *f, enum how how, struct slot_node **out);
void slot_del(const struct cx *cx, struct slot_node *s, enum how how);
int member_add(const struct cx *cx, struct fdtab *tab, const struct tw_task *task, enum how how, struct member_node **out);
void member_del(const struct cx *cx, struct member_node *m, enum how how);
/* The same process runs another program now, and still has the fd. */
void tell_exec(const struct cx *cx, struct hold_node *h, const struct tw_task *task);
/* Nobody holds f any more: `drop`s. */
void file_drop_slots(const struct cx *cx, struct file_node *f);

/* The slots of one table in b->slot_sort, by fd; their number. */
size_t slots_sorted(struct bindings *b, const struct fdtab *tab);
/* The first n in b->slot_sort are gone, nobody saw how; `in_exec`: how those of a table whose process is in an exec. */
void slots_end(const struct cx *cx, size_t n, enum how in_exec);

void fds_free(struct bindings *b);

/* --- bindings_fd.c ----------------------------------------------------------- */

int apply_fd_install(struct cx *cx);
int apply_fd_close(struct cx *cx);
int apply_table_exit(struct cx *cx);
int apply_table_walked(struct cx *cx);
int apply_table_join(struct cx *cx);
int apply_task_exit(struct cx *cx);
int apply_rescan(struct cx *cx);

/* --- bindings_fd_scan.c ------------------------------------------------------- */

/* TW_SCAN_FD: this process has this fd of this table for f. */
int scan_slot(struct cx *cx, struct file_node *f);
/* What a scan with that scope did not meet is gone. */
void scan_settle_fds(const struct cx *cx);
/* The tables of a process (NULL: of all) are to be looked at; bindings_rescan_due() tells when. */
void want_rescan(struct bindings *b, const struct proc_node *p, uint64_t not_before_ns);

/* --- bindings_chain.c -------------------------------------------------------- */

/* Best effort: without memory the story is shorter. */
void chain_add(struct file_node *f, const struct change *c);

/* --- bindings_file.c -------------------------------------------------------- */

int apply_file_open(struct cx *cx);
int apply_file_release(struct cx *cx);
int apply_vhost(struct cx *cx);

/*
 * The file of that generation for a live fact, made when it is new. NULL with
 * *err 0: the file is dead or our own; NULL with *err set: out of memory.
 */
struct file_node *file_live(struct cx *cx, uint64_t gen, int *err);
void file_announce(const struct cx *cx, struct file_node *f);	/* `open` without fd, once */
/* `drop`s, `release`; the file is freed. `until` as in struct gone. */
void file_release(const struct cx *cx, struct file_node *f, uint64_t until);

/* --- bindings_dev.c ----------------------------------------------------------- */

int apply_dev(struct cx *cx);
int apply_dev_move(struct cx *cx);
int apply_netns_exit(struct cx *cx);

/* Tells of, and takes over, every member in `has` that differs. */
void dev_diff(const struct cx *cx, struct dev_node *d, const struct tw_dev *n, uint32_t has);
void dev_adopt(struct bindings *b, struct dev_node *d, uint64_t gen);
/* `delete`; files are orphaned, the device is freed. `until` as in struct gone. */
void dev_delete(const struct cx *cx, struct dev_node *d, enum how how, uint64_t until);
/* Whoever else is at the place must have been deleted unseen. */
void dev_evict(const struct cx *cx, const struct place *p, const struct dev_node *except);
/* Deletes it if its namespace is known to have ended. */
void dev_end_with_netns(const struct cx *cx, struct dev_node *d);
/* It is at another place now, which its next TW_DEV tells more of. */
void dev_moved(const struct cx *cx, struct dev_node *d, const struct place *to);
/* The same, found out by other means than the message that tells of it, which is still to come. */
struct dev_node *dev_witnessed(const struct cx *cx, const struct place *p, bool *is_new);
void dev_learn_serial(struct bindings *b, struct dev_node *d, uint64_t serial);	/* unless it has one */
void dev_moved_ahead(const struct cx *cx, struct dev_node *d, const struct place *to);
void dev_tell_move(const struct cx *cx, struct dev_node *d);	/* the move that waits, if any */
/* `attach`: binds f, unbinding it from wherever it was. `made`: the device was made by it. */
void dev_attach(const struct cx *cx, struct dev_node *d, struct file_node *f, bool made);
bool dev_made_now(const struct cx *cx, const struct dev_node *d);
/* f is on d; tells `queue-detach` or `queue-attach` when that is news. */
void dev_set_disabled(const struct cx *cx, struct file_node *f, bool disabled);

/* --- bindings_ioctl.c, bindings_scan.c ---------------------------------------- */

int apply_ioctl(struct cx *cx);
int apply_scan(struct cx *cx);

static inline struct dev_node *dev_of(const struct file_node *f)
{
	return (struct dev_node *)f->file.dev;
}

#endif /* TW_BINDINGS_PRIVATE_H */
