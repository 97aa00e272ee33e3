/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel types that the programs read, cut down to the members they use.
 * Offsets are relocated when the programs are loaded (CO-RE), so order and
 * padding here mean nothing; names, kinds and types do. Flavours
 * (struct name___flavour) are the same kernel type as other kernels have it.
 */
#ifndef TW_KERNEL_H
#define TW_KERNEL_H

typedef unsigned char __u8;
typedef short int __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __s64 s64;
typedef __u64 u64;
typedef _Bool bool;
enum { false = 0, true = 1 };

#ifndef NULL
#define NULL ((void *)0)
#endif

/* uapi/linux/bpf.h: what the programs use of it */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next, *prev;
};

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

typedef atomic64_t atomic_long_t;

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	unsigned int val;
} kgid_t;

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
	u64 net_cookie;
	struct list_head list;		/* of all namespaces */
	struct list_head dev_base_head;
	struct net_device *loopback_dev;
};

struct net___atomic {
	atomic64_t net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct nsproxy {
	struct net *net_ns;
};

struct cred {
	kuid_t uid;
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	u32 i_rdev;
	unsigned long i_ino;
	struct super_block *i_sb;
};

typedef struct {
	atomic_long_t refcnt;
} file_ref_t;

struct file {
	unsigned int f_mode;
	struct inode *f_inode;
	void *private_data;
	atomic_long_t f_count;	/* up to 6.12 */
	file_ref_t f_ref;	/* since 6.13: 90ee6ed776c0 ("fs: port files to file_ref") */
};

/* never read as what it is: see slot_file() */
struct poll_table_entry {
	struct file *filp;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};

struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
};

struct signal_struct {
	atomic_t live;
	int nr_threads;
	unsigned int flags;
};

struct mm_struct {
	struct file *exe_file;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int pid;
	int tgid;
	u64 start_boottime;
	unsigned in_execve : 1;
	char comm[16];
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	u64 self_exec_id;
	const struct cred *cred;
	struct files_struct *files;
	struct mm_struct *mm;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
};

struct sock_common {
	possible_net_t skc_net;
};

struct sock {
	struct sock_common __sk_common;
	__u8 sk_shutdown;
};

struct socket {
	struct file *file;
};

/* fds on their way through a unix socket */
struct scm_fp_list {
	short count;
	struct file *fp[253];
};

struct scm_cookie {
	struct scm_fp_list *fp;
};

struct rtnl_link_ops {
	const char *kind;
};

struct kernfs_node {
	u64 id;
};

struct kobject {
	struct kernfs_node *sd;
};

struct device {
	struct kobject kobj;
};

struct net_device {
	struct device dev;
	char name[16];
	int ifindex;
	unsigned int flags;
	unsigned char addr_len;
	unsigned char *dev_addr;
	struct list_head dev_list;
	possible_net_t nd_net;
	const struct rtnl_link_ops *rtnl_link_ops;
	struct {
		struct list_head upper;
	} adj_list;
};

/* reg_state: an 8 bit bit-field of an enum up to 6.8, a u8 since. One read serves only one of them. */
struct net_device___u8 {
	u8 reg_state;
};

enum netdev_reg_state___bf { NETREG_BF_DUMMY };
struct net_device___bf {
	enum netdev_reg_state___bf reg_state : 8;
};

struct netdev_adjacent {
	struct net_device *dev;
	bool master;
	struct list_head list;
};

struct netdev_notifier_info {
	struct net_device *dev;
};

struct module {
	char name[56];
};

/* only their sizes are asked for */
struct napi_struct {
	unsigned long state;
};

struct mutex {
	atomic_long_t owner;
};

/* BPF iterators */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};

struct bpf_iter__task_file {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct task_struct *task;
	};
	u32 fd;
	union {
		struct file *file;
	};
};

#pragma clang attribute pop

#endif /* TW_KERNEL_H */
