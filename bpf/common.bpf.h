/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * common.bpf.h - maps, the way out to user space, and readers shared by all
 * hooks. All readers use bpf_probe_read_kernel (BPF_CORE_READ), so that the
 * same code serves fentry, kprobe, tracepoint and iterator programs.
 */
#ifndef TW_COMMON_BPF_H
#define TW_COMMON_BPF_H

/* Set by user space before loading. */
const volatile __u32 self_tgid = 0;	   /* tapwatch itself, in the initial pid namespace; 0: not known yet */
const volatile bool has_close_hook = false; /* tun_chr_close is hooked: IN_CLOSE can be trusted */
const volatile bool dev_gens = true;	   /* devices get generations (hooks see them go); false: tracepoint backend */
const volatile __u32 slot_type = 0;	   /* BTF id of struct poll_table_entry, see slot_file() */

struct tw_counters counters = {};

__u64 self_exe = 0; /* inode of tapwatch's program; 0: not known */

/*
 * Majors of /dev/tapN, for macvtap and ipvtap: dynamic, 0 while the driver is
 * not there. User space sets them.
 */
__u32 tap_majors[2] = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} ring SEC(".maps");

/* Living tun files. Preallocated: hooks run under spinlocks, where allocation is not safe. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
#ifdef TW_SCAN_ONLY
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC: an iterator may allocate */
#endif
	__uint(max_entries, 32768);
	__type(key, __u64); /* struct file* */
	__type(value, struct tw_file_entry);
} files SEC(".maps");

struct tw_dev_entry {
	__u64 gen;
	__u32 fresh; /* registration is under way: the coming NETDEV_REGISTER is a birth, not a move */
	__u32 moving;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64); /* struct net_device* */
	__type(value, struct tw_dev_entry);
} devs SEC(".maps");

/*
 * Processes that have, or had, an fd of a tun file, by thread group id: nobody
 * else's fork, exec or exit is looked at. One that is not in here has none.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} procs SEC(".maps");

/* While the scan that fills the map above is under way, or when it was too small: everybody may have one. */
__u32 procs_unknown = 0;

/* What a thread is in the middle of. Key: pid_tgid; one of these is or-ed in where it is no tun ioctl or close. */
#define INFLIGHT_VHOST (1ULL << 63)
#define INFLIGHT_RECEIVE (1ULL << 62)	/* cmd: by what it receives a file, enum tw_how */
#define INFLIGHT_UNSHARE (1ULL << 61)
struct tw_inflight {
	__u64 file;  /* struct file* */
	__u64 gen;
	__u32 flags; /* TW_F_IN_CLOSE or TW_F_IN_IOCTL */
	__u32 cmd;
	__u32 has_requested;
	__u32 index;	/* vhost: virtqueue */
	__u64 other;	/* vhost: generation of the tun file, 0 gives back */
	char requested[TW_NAME_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct tw_inflight);
} inflight SEC(".maps");

/* A kernel pointer as a plain number: global functions take nothing else (the verifier knows its type otherwise). */
static __always_inline __u64 as_number(const void *pointer)
{
	__u64 typed = (__u64)pointer, plain = 0;

	bpf_probe_read_kernel(&plain, sizeof(plain), &typed);
	return plain;
}

/* Which program a process runs. The inode stays where it is for as long as anybody runs it. */
static __always_inline __u64 exe_of(struct task_struct *task)
{
	return (__u64)BPF_CORE_READ(task, mm, exe_file, f_inode);
}

/* tapwatch itself, and others of its kind: a `list` beside a `watch`. */
static __always_inline bool is_self_task(struct task_struct *task)
{
	if (self_tgid && (__u32)BPF_CORE_READ(task, tgid) == self_tgid)
		return true;
	return self_exe && exe_of(task) == self_exe;
}

static __always_inline bool is_self(void)
{
	return is_self_task((void *)bpf_get_current_task());
}

#ifndef TW_SCAN_ONLY
/* User space has this run once, by itself (BPF_PROG_TEST_RUN). */
SEC("?raw_tp/called")
int learn_self(void *ctx)
{
	(void)ctx;
	self_exe = exe_of((void *)bpf_get_current_task());
	return 0;
}
#endif

/*
 * A number never given before in this boot: the instant and the CPU. (Atomics
 * that return a value came with 5.12, and a plain counter is not safe here.)
 */
static __always_inline __u64 new_gen(void)
{
	return bpf_ktime_get_ns() << 10 | (bpf_get_smp_processor_id() & 1023);
}

/* Needed before the process can do anything with its fd: until then a fork or exec of it goes unseen. */
static __always_inline void proc_remember(__u32 tgid)
{
	__u32 one = 1;

	if (bpf_map_update_elem(&procs, &tgid, &one, BPF_ANY))
		procs_unknown = 1;
}

static __always_inline bool proc_may_hold(__u32 tgid)
{
	return procs_unknown || bpf_map_lookup_elem(&procs, &tgid);
}

/* A fact to be filled and submitted; NULL (and counted) when the ring is full. */
static __always_inline struct tw_event *event_reserve(__u32 type)
{
	struct tw_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		__sync_fetch_and_add(&counters.lost, 1);
		return NULL;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_boot_ns();
	e->type = type;
	e->fd = -1;
	return e;
}

static __always_inline void fill_task_from(struct tw_event *e, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	e->task.pid = BPF_CORE_READ(task, tgid);
	e->task.tid = BPF_CORE_READ(task, pid);
	e->task.ppid = BPF_CORE_READ(leader, real_parent, tgid);
	e->task.uid = BPF_CORE_READ(task, cred, uid.val);
	e->task.start_ns = BPF_CORE_READ(leader, start_boottime);
	e->task.netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	/* begin_new_exec() counts, fork copies (fs/exec.c since ever; u64 since 5.7) */
	e->task.exec_id = (__u32)BPF_CORE_READ(leader, self_exec_id) + 1;
	BPF_CORE_READ_STR_INTO(&e->task.comm, leader, comm);
	e->has |= TW_HAS_TASK;
}

/* Who does it: the current task, and what it is in the middle of. */
static __always_inline void fill_current(struct tw_event *e)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	fill_task_from(e, task);
	e->task.cgroup_id = bpf_get_current_cgroup_id();
	if (is_self())
		e->flags |= TW_F_SELF;
	if (BPF_CORE_READ(task, flags) & TW_PF_KTHREAD)
		e->flags |= TW_F_KTHREAD;
}

static __always_inline void fill_inflight(struct tw_event *e)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct tw_inflight *in = bpf_map_lookup_elem(&inflight, &key);

	if (!in)
		return;
	e->flags |= in->flags;
	e->ctx_file = in->gen;
	e->ioctl.cmd = in->cmd;
}

static __always_inline __u32 file_rdev(const struct file *file)
{
	return BPF_CORE_READ(file, f_inode, i_rdev);
}

static __always_inline bool is_tap_rdev(__u32 rdev)
{
	__u32 major = rdev >> TW_MINOR_BITS;

	return major && (major == tap_majors[0] || major == tap_majors[1]);
}

/* /dev/net/tun under any name, or a /dev/tapN */
static __always_inline bool is_our_rdev(__u32 rdev)
{
	return rdev == TW_TUN_RDEV || is_tap_rdev(rdev);
}

/* An open tun or tap file; an O_PATH one is none: it was never opened by the driver. */
static __always_inline bool is_tun_file(const struct file *file)
{
	return is_our_rdev(file_rdev(file)) && !(BPF_CORE_READ(file, f_mode) & TW_FMODE_PATH);
}

/* Registers a file that was just opened: a new generation, whatever the address was before. */
static __always_inline __u64 file_born(const struct file *file, __u32 announced)
{
	__u64 key = (__u64)file;
	struct tw_file_entry entry = { .gen = new_gen(), .announced = announced };

	entry.priv = (__u64)BPF_CORE_READ(file, private_data);
	bpf_map_update_elem(&files, &key, &entry, BPF_ANY);
	return entry.gen;
}

/* The file's entry; one is made when it is met for the first time. NULL only when the map is full. */
static __always_inline struct tw_file_entry *file_entry(__u64 key)
{
	struct tw_file_entry *known = bpf_map_lookup_elem(&files, &key);
	struct tw_file_entry entry = {};

	if (known)
		return known;
	entry.gen = new_gen();
	entry.priv = (__u64)BPF_CORE_READ((struct file *)key, private_data);
	bpf_map_update_elem(&files, &key, &entry, BPF_NOEXIST);
	return bpf_map_lookup_elem(&files, &key);
}

/*
 * Generation of the struct file at this address, 0 when there is none. A
 * global function: the verifier looks at it once, not at every call.
 */
__noinline __u64 file_gen(__u64 key)
{
	struct tw_file_entry *entry = key ? file_entry(key) : NULL;

	return entry ? entry->gen : 0;
}

static __always_inline void fill_file(struct tw_event *e, const struct file *file, __u64 gen)
{
	/* tun_file begins with struct sock, and so does tap_queue */
	const struct sock *sk = BPF_CORE_READ(file, private_data);
	const struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);

	e->file.addr = (__u64)file;
	e->file.gen = gen;
	e->has |= TW_HAS_FILE;
	if (net) {
		e->file.socket_netns = BPF_CORE_READ(net, ns.inum);
		e->file.socket_netns_cookie = compat_net_cookie(net);
		e->has |= TW_HAS_SOCKET_NETNS;
	}
}

/*
 * Which of our kinds a device is, by rtnl_link_ops->kind: "tun" (TW_KIND_TUN,
 * for tap devices as well), "macvtap", "ipvtap"; TW_KIND_UNKNOWN for others.
 */
static __always_inline __u8 dev_kind(const struct net_device *dev)
{
	const char *kind = BPF_CORE_READ(dev, rtnl_link_ops, kind);
	char word[8] = {};

	if (!kind || bpf_probe_read_kernel_str(word, sizeof(word), kind) < 0)
		return TW_KIND_UNKNOWN;
	if (word[0] == 't' && word[1] == 'u' && word[2] == 'n' && !word[3])
		return TW_KIND_TUN;
	if (word[0] == 'm' && word[3] == 'v' && word[4] == 't' && word[6] == 'p')
		return TW_KIND_MACVTAP;
	if (word[0] == 'i' && word[1] == 'p' && word[2] == 'v' && word[3] == 't')
		return TW_KIND_IPVTAP;
	return TW_KIND_UNKNOWN;
}

/* enum of net_device.reg_state, include/linux/netdevice.h */
#define REG_UNINITIALIZED 0
#define REG_REGISTERED 1
#define REG_UNREGISTERING 2

static __always_inline __u64 dev_gen(const struct net_device *dev)
{
	__u64 key = (__u64)dev;
	struct tw_dev_entry *known, entry = {};

	if (!dev_gens)
		return 0;
	known = bpf_map_lookup_elem(&devs, &key);
	if (known)
		return known->gen;
	entry.gen = new_gen();
	bpf_map_update_elem(&devs, &key, &entry, BPF_NOEXIST);
	known = bpf_map_lookup_elem(&devs, &key);
	return known ? known->gen : 0;
}

/*
 * For those who do not hold rtnl. Of a device that is on its way out no
 * generation is made: the hook that takes it back may have run already, and
 * what is notified after it would be of a device that nobody knew. Asked
 * again when it is made: a device that is still registered then will be seen
 * to go. False: it is going; *gen is not set.
 */
static __always_inline bool dev_alive(const struct net_device *dev, __u64 *gen)
{
	__u64 key = (__u64)dev;
	struct tw_dev_entry *known = bpf_map_lookup_elem(&devs, &key);

	if (compat_reg_state(dev) != REG_REGISTERED)
		return false;
	*gen = known ? known->gen : dev_gen(dev);
	if (known || compat_reg_state(dev) == REG_REGISTERED)
		return true;
	bpf_map_delete_elem(&devs, &key);
	return false;
}

static __always_inline void fill_master(struct tw_event *e, const struct net_device *dev)
{
	const struct list_head *head = (void *)dev + bpf_core_field_offset(dev->adj_list.upper);
	const struct list_head *node = BPF_CORE_READ(head, next);
	const struct netdev_adjacent *adj;
	const struct net_device *upper;

	e->has |= TW_HAS_MASTER;
	/* netdev_master_upper_dev_get(): a master stands first in the list */
	if (!node || node == head)
		return;
	adj = (void *)node - bpf_core_field_offset(struct netdev_adjacent, list);
	if (!BPF_CORE_READ(adj, master))
		return;
	upper = BPF_CORE_READ(adj, dev);
	e->dev.master_ifindex = BPF_CORE_READ(upper, ifindex);
	BPF_CORE_READ_STR_INTO(&e->dev.master, upper, name);
}

/* The driver's own part. False when the guard fails: then it is unknown. */
static __always_inline bool fill_tun(struct tw_event *e, const struct net_device *dev)
{
	__u64 tun = compat_netdev_priv(dev), back = 0;
	__u32 owner = 0, group = 0;

	bpf_probe_read_kernel(&back, sizeof(back), (void *)(tun + compat_off_tun_dev()));
	if (back != (__u64)dev) {
		/* before tun_net_init() it is not set yet: not an error there */
		if (compat_reg_state(dev) == 1) {
			__sync_fetch_and_add(&counters.guards, 1);
			e->flags |= TW_F_INEXACT;
		}
		return false;
	}
	bpf_probe_read_kernel(&e->dev.tun_flags, 4, (void *)(tun + compat_off_tun_flags()));
	bpf_probe_read_kernel(&owner, 4, (void *)(tun + compat_off_tun_owner()));
	bpf_probe_read_kernel(&group, 4, (void *)(tun + compat_off_tun_group()));
	bpf_probe_read_kernel(&e->dev.queues, 4, (void *)(tun + compat_off_tun_numqueues()));
	e->dev.owner = owner;
	e->dev.group = group;
	e->dev.kind = e->dev.tun_flags & 2 ? TW_KIND_TAP : TW_KIND_TUN;
	e->has |= TW_HAS_TUN;
	return true;
}

/* Everything about a device but its queues. Exact only under rtnl. */
static __always_inline void fill_dev(struct tw_event *e, const struct net_device *dev, __u64 gen)
{
	const struct net *net = BPF_CORE_READ(dev, nd_net.net);
	unsigned char *mac = BPF_CORE_READ(dev, dev_addr);

	e->dev.addr = (__u64)dev;
	e->dev.gen = gen;
	e->dev.netns = BPF_CORE_READ(net, ns.inum);
	e->dev.netns_cookie = compat_net_cookie(net);
	/*
	 * Where no hook sees devices come and go: the id of its sysfs directory,
	 * which kernfs never gives twice in a boot, and which stays when the
	 * device is renamed or moved (device_rename()).
	 */
	if (!dev_gens)
		e->dev.serial = BPF_CORE_READ(dev, dev.kobj.sd, id);
	e->dev.ifindex = BPF_CORE_READ(dev, ifindex);
	BPF_CORE_READ_STR_INTO(&e->dev.ifname, dev, name);
	e->dev.if_flags = BPF_CORE_READ(dev, flags);
	e->has |= TW_HAS_DEV | TW_HAS_UP;
	if (mac && BPF_CORE_READ(dev, addr_len) == 6) {
		bpf_probe_read_kernel(e->dev.mac, 6, mac);
		e->has |= TW_HAS_MAC;
	}
	fill_master(e, dev);
	e->dev.kind = dev_kind(dev);
	if (e->dev.kind == TW_KIND_TUN)
		fill_tun(e, dev);
}

/* As file_dev(), for a /dev/tapN. */
static __always_inline const struct net_device *tap_file_dev(const struct file *file, bool *detached)
{
	__u64 queue = (__u64)BPF_CORE_READ(file, private_data), tap = 0;
	const struct net_device *dev = NULL;
	__u8 enabled = 0, kind;

	*detached = false;
	if (!queue)
		return NULL;
	bpf_probe_read_kernel(&tap, sizeof(tap), (void *)(queue + compat_off_tap()));
	if (!tap)
		return NULL;
	bpf_probe_read_kernel(&dev, sizeof(dev), (void *)tap); /* tap_dev begins with it */
	kind = dev_kind(dev);
	if (kind != TW_KIND_MACVTAP && kind != TW_KIND_IPVTAP)
		return NULL;
	bpf_probe_read_kernel(&enabled, sizeof(enabled), (void *)(queue + compat_off_tap_enabled()));
	*detached = !enabled;
	return dev;
}

/* The device a file is attached to, detached queues included; NULL for none, or if a guard fails. */
static __always_inline const struct net_device *file_dev(const struct file *file, bool *detached)
{
	__u64 tfile = (__u64)BPF_CORE_READ(file, private_data);
	__u64 tun = 0, off = 0;
	const struct net_device *dev = NULL;

	if (is_tap_rdev(file_rdev(file)))
		return tap_file_dev(file, detached);
	*detached = false;
	if (!tfile)
		return NULL;
	bpf_probe_read_kernel(&tun, sizeof(tun), (void *)(tfile + compat_off_tun()));
	if (!tun)
		return NULL;
	bpf_probe_read_kernel(&dev, sizeof(dev), (void *)(tun + compat_off_tun_dev()));
	if (!dev || compat_netdev_priv(dev) != tun)
		return NULL;
	bpf_probe_read_kernel(&off, sizeof(off), (void *)(tfile + compat_off_detached()));
	*detached = off == tun;
	return dev;
}

/* The struct file in a table's slot, or NULL. */
static __always_inline struct file *table_file(const struct files_struct *table, __u32 fd)
{
	const struct fdtable *fdt = BPF_CORE_READ(table, fdt);
	struct file **slots = BPF_CORE_READ(fdt, fd), *file = NULL;

	if (fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	return file;
}

/* Is the slot taken by a call that has not put its file there yet? */
static __always_inline bool table_reserved(const struct files_struct *table, __u32 fd)
{
	const struct fdtable *fdt = BPF_CORE_READ(table, fdt);
	unsigned long *words = BPF_CORE_READ(fdt, open_fds);
	__u64 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), &words[fd / 64]);
	return word >> (fd & 63) & 1;
}

#endif
