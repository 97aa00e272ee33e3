/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tapwatch.h - the ABI between the BPF programs and user space: one
 * fixed-size fact.
 *
 * A fact is what one hook (or one step of a scan, or one netlink message)
 * saw. It is no conclusion: user/bindings.c turns facts into changes. Live
 * hooks, seed back-ends, recorded runs and unit tests all speak this struct.
 *
 * Which members are set is told by `has` (TW_HAS_*): a member whose bit is
 * clear is unknown, whatever bytes stand there.
 */
#ifndef TAPWATCH_H
#define TAPWATCH_H

#ifndef __BPF__
#include <stdint.h>
#include <linux/types.h>
#endif

#define TW_NAME_LEN 16	/* IFNAMSIZ and TASK_COMM_LEN, both 16 since ever */
#define TW_QUEUES_PER_EVENT 16
#define TW_MAX_QUEUES 256 /* MAX_TAP_QUEUES, drivers/net/tun.c */

/* What was seen. Values are part of recorded runs: append only. */
enum tw_type {
	TW_NONE = 0,
	/*
	 * A tun character device was opened; no fd refers to the file yet.
	 * From tun_chr_open (entry). file.
	 */
	TW_FILE_OPEN = 1,
	/*
	 * An fd of a table now refers to a file. From fd_install and do_dup2,
	 * from a walk of the table of a child or of a process after exec, or
	 * from the exit of a system call in the tracepoint backend. file, fd,
	 * table; `how` (TW_HOW_*) where it is known. TW_F_NEW_FILE: this is the
	 * first sight of the file since it was opened, so it is the open.
	 */
	TW_FD_INSTALL = 2,
	/* An fd was taken out of its table, `how` tells by what. file, fd, table. */
	TW_FD_CLOSE = 3,
	/*
	 * The last user of a table went away: every fd in it is dropped. table.
	 * Or, `how` is TW_HOW_CLOEXEC: its only user is in an exec and closes what
	 * is not to survive it; a TW_TABLE_WALKED follows.
	 */
	TW_TABLE_EXIT = 4,
	/* The last reference to the file is gone. From tun_chr_close or a scan. file. */
	TW_FILE_RELEASE = 5,
	/*
	 * A tun ioctl ended: ioctl.cmd, ioctl.ret, ioctl.requested; file; and
	 * the device the file is bound to afterwards (TW_HAS_DEV), or
	 * TW_F_UNBOUND. The device members are reliable only with TW_F_RTNL.
	 */
	TW_IOCTL = 6,
	/*
	 * The whole state of a device, read under rtnl by a notifier or
	 * netdev_state_change, or (tracepoint backend) from an rtnetlink
	 * message. dev.op says on which occasion. When TW_HAS_QUEUES is set,
	 * queues[] lists the files of the enabled queues, in slices of
	 * TW_QUEUES_PER_EVENT: queue_base is the index of the first, and the
	 * list is complete with the slice for which
	 * queue_base + TW_QUEUES_PER_EVENT >= dev.queues.
	 */
	TW_DEV = 7,
	/*
	 * vhost-net took a queue (file set) or gave it back (TW_F_UNBOUND):
	 * vhost.owner, vhost.index. With TW_F_VHOST_GONE the vhost file itself
	 * is gone and everything it held is given back.
	 */
	TW_VHOST = 8,
	/* Scan: one fd of one table refers to this file. Whole truth about file and its device. */
	TW_SCAN_FD = 9,
	/* Scan: this file is alive, with or without an fd. As TW_SCAN_FD without fd and task. */
	TW_SCAN_FILE = 10,
	/* Scan: this device exists (rtnetlink dump, under rtnl). dev, without queues[]. */
	TW_SCAN_DEV = 11,
	/*
	 * Tracepoint backend: the device (dev.netns, dev.ifindex) is now
	 * (move.netns, move.ifindex); its new name follows in a TW_DEV.
	 */
	TW_DEV_MOVE = 12,
	/* A network namespace is being destroyed, and every device in it. dev.netns. */
	TW_NETNS_EXIT = 13,
	/* A kernel module of interest was loaded (ioctl.requested: its name): hooks may be added. */
	TW_MODULE = 14,
	/* A process got a new network namespace: task. Tracepoint backend only. */
	TW_NETNS_NEW = 15,
	/*
	 * A thread is about to exit that uses a table of its own, or is the leader
	 * (task.tid); with TW_F_LAST_THREAD, the process itself. Its table is closed
	 * afterwards, unless others use it too. With TW_F_GONE it is closed, or about
	 * to be for certain; with TW_F_LAST_THREAD and TW_F_SHARED it is left to
	 * other processes. task, table.
	 */
	TW_TASK_EXIT = 16,
	/* Scan: a process has an fd open on an nsfs file: task, fd; dev.netns is the inode (of any namespace type). */
	TW_SCAN_NSFD = 17,
	/*
	 * A table was walked under circumstances in which nobody else could
	 * change it; every fd found was told by a TW_FD_INSTALL of the same
	 * time_ns. What it was not found to hold, it holds no longer: dropped as
	 * `how` says. With TW_F_ONLY_TABLE the process uses no other table
	 * (exec; unshare of a process with one thread). task, table.
	 */
	TW_TABLE_WALKED = 18,
	/* A new process shares the table of the one that made it (CLONE_FILES without CLONE_THREAD). task, table. */
	TW_TABLE_JOIN = 19,
	/* Somebody's fds changed in a way that no hook can follow: look at all tables again. */
	TW_RESCAN = 20,
};

/* tw_event.how: TW_FD_INSTALL and TW_FD_CLOSE, by what the fd came or went. */
enum tw_how {
	TW_HOW_UNKNOWN = 0,
	TW_HOW_DUP = 1,		/* dup, dup2, dup3, F_DUPFD; of a close: replaced by dup2 */
	TW_HOW_FORK = 2,
	TW_HOW_SCM_RIGHTS = 3,
	TW_HOW_PIDFD_GETFD = 4,
	TW_HOW_EXEC = 5,	/* it survived an exec: the same process runs another program */
	TW_HOW_OTHER = 6,
	TW_HOW_CLOSE = 7,
	TW_HOW_CLOEXEC = 8,
	TW_HOW_EXIT = 9,
	TW_HOW_MAX,
};

/* dev.op: on which occasion a TW_DEV was made. */
enum tw_dev_op {
	TW_DEV_STATE = 0,	/* something changed; the diff against the last state says what */
	TW_DEV_NEW = 1,		/* NETDEV_REGISTER of a device that did not exist before */
	TW_DEV_MOVED = 2,	/* NETDEV_REGISTER in its new namespace */
	TW_DEV_LEAVING = 3,	/* NETDEV_UNREGISTER in the old namespace: the members still tell the old place */
	TW_DEV_GONE = 4,	/* unregistered for good */
};

/* tw_event.flags */
#define TW_F_RTNL	(1u << 0)  /* read while rtnl was held: exact and ordered */
#define TW_F_NEW_FILE	(1u << 1)  /* first sight of the file since its open */
#define TW_F_UNBOUND	(1u << 2)  /* the file is bound to no device (says so, as opposed to: unknown) */
#define TW_F_DETACHED	(1u << 3)  /* the file's queue is disabled (IFF_DETACH_QUEUE) */
#define TW_F_KTHREAD	(1u << 4)  /* current is a kernel thread: netns clean-up or delayed fput */
#define TW_F_IN_CLOSE	(1u << 5)  /* inside tun_chr_close of ctx_file */
#define TW_F_IN_IOCTL	(1u << 6)  /* inside a tun ioctl on ctx_file; ioctl.cmd is valid */
#define TW_F_VHOST_GONE	(1u << 7)
#define TW_F_SELF	(1u << 8)  /* current is tapwatch itself: never to be named as actor */
#define TW_F_INEXACT	(1u << 9)  /* a guard failed: the members are doubtful, rescan */
#define TW_F_NO_CAUSE	(1u << 10) /* the hooks that tell why a device went are off: IN_CLOSE clear means nothing */
#define TW_F_BY_REQUEST	(1u << 11) /* TW_DEV_GONE: by exclusion of all else, somebody deleted the link */

/*
 * Scan: the file is bound to a device of the name dev.ifname, and nobody knows
 * in which namespace: TW_HAS_DEV is clear.
 */
#define TW_F_NAME_ONLY	(1u << 12)

/* Scan, with TW_F_UNBOUND: the file was bound once, to a device that is gone. */
#define TW_F_ORPHANED	(1u << 13)

#define TW_F_SHARED	(1u << 14) /* more than the threads of the process may use the table: look who */
#define TW_F_LAST_THREAD (1u << 15)
#define TW_F_GONE	(1u << 16)
#define TW_F_ONLY_TABLE	(1u << 17)

/* tw_event.has */
#define TW_HAS_TASK	(1u << 0)
#define TW_HAS_FILE	(1u << 1)
#define TW_HAS_FD	(1u << 2)
#define TW_HAS_TABLE	(1u << 3)
#define TW_HAS_DEV	(1u << 4)  /* dev.netns, ifindex, ifname at least */
#define TW_HAS_MAC	(1u << 5)
#define TW_HAS_TUN	(1u << 6)  /* dev.tun_flags, owner, group */
#define TW_HAS_QUEUES	(1u << 7)  /* dev.queues, and (TW_DEV) the slice in queues[] */
#define TW_HAS_MASTER	(1u << 8)  /* dev.master_ifindex is known (0: it has none) */
#define TW_HAS_UP	(1u << 9)  /* dev.if_flags */
#define TW_HAS_REQUESTED (1u << 10)
#define TW_HAS_SOCKET_NETNS (1u << 11)

/* Actor. All numbers as the initial pid and user namespaces have them. */
struct tw_task {
	__u32 pid;		/* thread group id */
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u64 start_ns;		/* start of the thread group's leader, CLOCK_BOOTTIME */
	__u32 netns;		/* inode number of its network namespace; 0 unknown (exiting) */
	__u32 exec_id;		/* another one after each exec; 0 unknown */
	__u64 cgroup_id;	/* cgroup v2 id; 0 unknown */
	char comm[TW_NAME_LEN];	/* of the leader; bytes from outside, NUL-terminated */
};

/* An open file description. */
struct tw_file {
	__u64 addr;		/* struct file*: an address is reused at once, never identity alone */
	__u64 gen;		/* generation, unique in a run; 0: unknown to BPF */
	__u64 socket_netns_cookie;
	__u32 socket_netns;	/* TW_HAS_SOCKET_NETNS: the namespace /dev/net/tun was opened in */
	__u32 pad;
};

struct tw_dev {
	__u64 addr;		/* struct net_device*; 0 from netlink */
	__u64 gen;		/* generation, unique in a run; 0: identity is (netns, ifindex) */
	__u64 netns_cookie;	/* 0 unknown (5.10 assigns it lazily) */
	__u64 serial;		/* of this device in this boot, wherever it goes; 0 unknown. Where gen is 0 */
	__u32 netns;		/* inode number of the device's namespace */
	__u32 ifindex;
	__u32 tun_flags;	/* IFF_TUN 1, IFF_TAP 2, IFF_MULTI_QUEUE 0x100, IFF_PERSIST 0x800, … (if_tun.h) */
	__s32 owner;		/* -1: none */
	__s32 group;		/* -1: none */
	__u32 queues;		/* enabled queues */
	__u32 if_flags;		/* IFF_UP 1, … */
	__u32 master_ifindex;	/* in the device's own namespace */
	char ifname[TW_NAME_LEN];
	char master[TW_NAME_LEN];
	__u8 mac[6];
	__u8 kind;		/* enum tw_kind */
	__u8 op;		/* enum tw_dev_op */
};

enum tw_kind { TW_KIND_UNKNOWN = 0, TW_KIND_TUN, TW_KIND_TAP, TW_KIND_MACVTAP, TW_KIND_IPVTAP, TW_KIND_MAX };

struct tw_event {
	__u64 time_ns;		/* CLOCK_BOOTTIME */
	__u32 type;		/* enum tw_type */
	__u32 flags;		/* TW_F_* */
	__u32 has;		/* TW_HAS_* */
	__s32 fd;
	__u64 table;		/* struct files_struct* */
	struct tw_task task;
	struct tw_file file;
	struct tw_dev dev;
	union {
		struct {			/* TW_IOCTL; cmd also in TW_DEV with TW_F_IN_IOCTL */
			__u32 cmd;
			__s32 ret;		/* negative errno */
			char requested[TW_NAME_LEN]; /* TW_HAS_REQUESTED: ifr_name as the caller gave it */
		} ioctl;
		struct {			/* TW_DEV_MOVE */
			__u64 netns_cookie;
			__u32 netns;
			__u32 ifindex;
		} move;
		struct {			/* TW_VHOST */
			__u64 owner;		/* struct file* of /dev/vhost-net: key only */
			__u32 index;		/* virtqueue */
			__u32 pad;
		} vhost;
	};
	__u64 ctx_file;		/* generation of the file being closed / ioctl'ed (TW_F_IN_*) */
	__u32 queue_base;
	__u32 how;		/* enum tw_how */
	__u64 queues[TW_QUEUES_PER_EVENT]; /* generations of files */
};

_Static_assert(sizeof(struct tw_task) == 56, "ABI");
_Static_assert(sizeof(struct tw_file) == 32, "ABI");
_Static_assert(sizeof(struct tw_dev) == 104, "ABI");
_Static_assert(sizeof(struct tw_event) == 392, "ABI");

/* Values of the `files` map: what BPF knows of a live file. Key: struct file*. */
struct tw_file_entry {
	__u64 gen;
	__u64 priv;		/* private_data, a second witness against address reuse */
	__u32 kind;		/* 0 tun file, 1 vhost file */
	__u32 announced;	/* an fd for it was seen */
};

/* Counters kept by the programs, read by user space. */
struct tw_counters {
	__u64 lost;	/* facts for which the ring had no room */
	__u64 tracked;	/* tracepoint backend: 0 while it follows no fd, so that close(2) is cheap */
	__u64 guards;	/* sanity checks that failed: should stay 0 */
};

#endif /* TAPWATCH_H */
