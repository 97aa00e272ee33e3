// SPDX-License-Identifier: GPL-2.0-only
/*
 * syscalls.bpf.c - the tracepoint backend, for kernels that allow no hook on
 * functions. It sees the system calls that open, bind and close, at their
 * exit, and the end of processes; what happens to devices comes from
 * rtnetlink (user/rtnl_monitor.c), and what goes unseen is found by reading
 * the known files again (seed.bpf.c).
 *
 * The price: with any program on sys_exit the kernel takes the slow path for
 * every system call of every process.
 */

#if defined(__TARGET_ARCH_x86)
#define NR_OPEN 2
#define NR_CLOSE 3
#define NR_IOCTL 16
#define NR_CLONE 56
#define NR_CREAT 85
#define NR_OPENAT 257
#define NR_UNSHARE 272
#define NR_CLONE3 435
#define NR_CLOSE_RANGE 436
#define NR_OPENAT2 437
#elif defined(__TARGET_ARCH_arm64)
#define NR_OPEN (-2)
#define NR_CREAT (-2)
#define NR_IOCTL 29
#define NR_OPENAT 56
#define NR_CLOSE 57
#define NR_UNSHARE 97
#define NR_CLONE 220
#define NR_CLONE3 435
#define NR_CLOSE_RANGE 436
#define NR_OPENAT2 437
#endif

#define CLONE_NEWNET 0x40000000

/* One slot of a table that held a tun file when it was last seen. */
struct tw_slot {
	__u64 table;
	__u32 fd;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct tw_slot);
	__type(value, __u64); /* struct file* */
} slots SEC(".maps");

/* Tables with slots in the map above: the process last seen with it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} tables SEC(".maps");

static __always_inline struct files_struct *current_table(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, files);
}

/* `tgid`: the process whose table it is. */
static __always_inline void slot_remember(const struct files_struct *table, __u32 fd, const struct file *file,
					  __u32 tgid)
{
	struct tw_slot slot = { .table = (__u64)table, .fd = fd };
	__u64 value = (__u64)file, key = (__u64)table;

	bpf_map_update_elem(&slots, &slot, &value, BPF_ANY);
	bpf_map_update_elem(&tables, &key, &tgid, BPF_ANY);
	__sync_fetch_and_add(&counters.tracked, 1);
}

static __always_inline void fd_fact(__u32 type, const struct files_struct *table, __u32 fd,
				    const struct file *file, __u64 gen, __u32 flags)
{
	struct tw_event *e = event_reserve(type);

	if (!e)
		return;
	fill_current(e);
	fill_file(e, file, gen);
	e->flags |= flags;
	e->fd = fd;
	e->table = (__u64)table;
	e->has |= TW_HAS_FD | TW_HAS_TABLE;
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void exit_open(long fd)
{
	const struct files_struct *table = current_table();
	const struct file *file = table_file(table, fd);

	if (!file || !is_tun_file(file) || is_self())
		return;
	slot_remember(table, fd, file, bpf_get_current_pid_tgid() >> 32);
	fd_fact(TW_FD_INSTALL, table, fd, file, file_born(file, 1), TW_F_NEW_FILE);
	if (is_tap_rdev(file_rdev(file)))
		binding_tell(file, 0, 0);
}

static __always_inline void exit_close(__u32 fd)
{
	const struct files_struct *table = current_table();
	struct tw_slot slot = { .table = (__u64)table, .fd = fd };
	__u64 *known, file;

	if (!counters.tracked)
		return;
	known = bpf_map_lookup_elem(&slots, &slot);
	if (!known)
		return;
	file = *known;
	/* another thread may have opened it again already, and told so: then this close is old news */
	if (table_file(table, fd) == (void *)file)
		return;
	bpf_map_delete_elem(&slots, &slot);
	fd_fact(TW_FD_CLOSE, table, fd, (void *)file, file_gen(file), 0);
}

static __always_inline void exit_tun_ioctl(const struct files_struct *table, __u32 fd, const struct file *file,
					   __u32 cmd, unsigned long arg, long ret)
{
	const struct net_device *dev;
	struct tw_event *e;
	bool detached;

	slot_remember(table, fd, file, bpf_get_current_pid_tgid() >> 32);
	e = event_reserve(TW_IOCTL);
	if (!e)
		return;
	fill_current(e);
	fill_file(e, file, file_gen(as_number(file)));
	e->fd = fd;
	e->table = (__u64)table;
	e->has |= TW_HAS_FD | TW_HAS_TABLE;
	e->ioctl.cmd = cmd;
	e->ioctl.ret = ret;
	/* on failure the kernel wrote nothing back: the name is still the one asked for */
	if (cmd == TUNSETIFF && bpf_probe_read_user_str(e->ioctl.requested, TW_NAME_LEN, (void *)arg) > 0)
		e->has |= TW_HAS_REQUESTED;
	dev = file_dev(file, &detached);
	if (dev && compat_reg_state(dev) == REG_REGISTERED) {
		fill_dev(e, dev, 0);
		if (e->has & TW_HAS_TUN)
			e->has |= TW_HAS_QUEUES; /* their number only */
		if (detached)
			e->flags |= TW_F_DETACHED;
	} else {
		e->flags |= TW_F_UNBOUND;
	}
	bpf_ringbuf_submit(e, 0);
}

/* /dev/vhost-net: remembered as a file too, so that its end is noticed. */
static __always_inline void exit_vhost_ioctl(const struct files_struct *table, const struct file *owner,
					     __u32 cmd, unsigned long arg)
{
	struct { __u32 index; __s32 fd; } backend = {};
	struct tw_file_entry entry = { .kind = 1 };
	__u64 key = (__u64)owner, gen = 0;
	const struct file *tun;

	if (cmd == VHOST_RESET_OWNER) {
		vhost_tell(key, 0, 0, TW_F_VHOST_GONE);
		return;
	}
	if (bpf_probe_read_user(&backend, sizeof(backend), (void *)arg))
		return;
	if (backend.fd >= 0) {
		tun = table_file(table, backend.fd);
		if (!tun || !is_tun_file(tun))
			return;
		gen = file_gen(as_number(tun));
	}
	entry.priv = (__u64)BPF_CORE_READ(owner, private_data);
	bpf_map_update_elem(&files, &key, &entry, BPF_ANY);
	vhost_tell(key, backend.index, gen, 0);
}

static __always_inline void exit_ioctl(__u32 fd, __u32 cmd, unsigned long arg, long ret)
{
	__u8 type = cmd >> 8;
	const struct files_struct *table;
	const struct file *file;

	if (type != TUN_IOCTL_TYPE && type != 0xaf)
		return;
	/* 'T' is the terminals' type too: theirs are below 0x80, tun's begin at 200 */
	if (type == TUN_IOCTL_TYPE && (cmd & 0xff) < 200)
		return;
	if (type == 0xaf && (ret < 0 || (cmd != VHOST_NET_SET_BACKEND && cmd != VHOST_RESET_OWNER)))
		return;
	if (is_self())
		return;
	table = current_table();
	file = table_file(table, fd);
	if (!file)
		return;
	if (type == 0xaf) {
		if (file_rdev(file) == TW_VHOST_RDEV)
			exit_vhost_ioctl(table, file, cmd, arg);
	} else if (is_tun_file(file)) {
		exit_tun_ioctl(table, fd, file, cmd, arg, ret);
	}
}

/* A clone returns in both processes; 0 in the child, whose namespace is new. */
static __always_inline void exit_newnet(void)
{
	struct tw_event *e = event_reserve(TW_NETNS_NEW);

	if (!e)
		return;
	fill_current(e);
	bpf_ringbuf_submit(e, 0);
}

/* 32-bit callers have other numbers. Translated to the native one, or -1. */
static __always_inline long native_nr(long nr)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = (void *)bpf_get_current_task();

	if (!(BPF_CORE_READ(task, thread_info.status) & TW_TS_COMPAT))
		return nr;
	switch (nr) {
	case 5: return NR_OPEN;
	case 6: return NR_CLOSE;
	case 8: return NR_CREAT;
	case 54: return NR_IOCTL;
	case 120: return NR_CLONE;
	case 295: return NR_OPENAT;
	case 310: return NR_UNSHARE;
	case 435: case 436: case 437: return nr;
	default: return -1;
	}
#else
	return nr;
#endif
}

/* Numbers of interest in either table; everything else leaves at once. */
static __always_inline bool nr_of_interest(long nr)
{
	switch (nr) {
	case NR_CLOSE: case NR_IOCTL: case NR_OPENAT: case NR_OPENAT2: case NR_UNSHARE: case NR_CLONE: case NR_CLONE3:
	case NR_CLOSE_RANGE:
#if defined(__TARGET_ARCH_x86)
	case NR_OPEN: case NR_CREAT:
	case 5: case 6: case 8: case 54: case 120: case 295: case 310:
#endif
		return true;
	}
	return false;
}

static __always_inline int on_sys_exit(long nr, unsigned long a0, unsigned long a1, unsigned long a2, long ret)
{
	switch (native_nr(nr)) {
	case NR_CLOSE:
		exit_close(a0);
		break;
	case NR_IOCTL:
		exit_ioctl(a0, a1, a2, ret);
		break;
	case NR_OPENAT: case NR_OPENAT2:
#if defined(__TARGET_ARCH_x86)
	case NR_OPEN: case NR_CREAT:
#endif
		if (ret >= 0)
			exit_open(ret);
		break;
	case NR_UNSHARE: case NR_CLONE:
		if (!ret && (a0 & CLONE_NEWNET))
			exit_newnet();
		break;
	case NR_CLONE3: {
		__u64 flags = 0;

		bpf_probe_read_user(&flags, sizeof(flags), (void *)a0);
		if (!ret && (flags & CLONE_NEWNET))
			exit_newnet();
		break;
	}
	}
	return 0;
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(tp_sys_exit, struct pt_regs *regs, long ret)
{
#if defined(__TARGET_ARCH_x86)
	long nr = (int)regs->orig_ax;

	if (!nr_of_interest(nr))
		return 0;
	if (BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), thread_info.status) & TW_TS_COMPAT)
		return on_sys_exit(nr, (__u32)regs->bx, (__u32)regs->cx, (__u32)regs->dx, ret);
	return on_sys_exit(nr, regs->di, regs->si, regs->dx, ret);
#else
	long nr = regs->syscallno;

	if (!nr_of_interest(nr))
		return 0;
	return on_sys_exit(nr, regs->orig_x0, regs->user_regs.regs[1], regs->user_regs.regs[2], ret);
#endif
}

/*
 * Comes before the files are closed: user space waits for the process to be
 * gone, then looks. signal->live is decremented before the tracepoint; 0: the
 * last thread.
 */
SEC("?tp_btf/sched_process_exit")
int BPF_PROG(tp_process_exit, struct task_struct *p)
{
	__u64 table = (__u64)BPF_CORE_READ(p, files);
	struct tw_event *e;

	if (BPF_CORE_READ(p, signal, live.counter) || !table || !bpf_map_lookup_elem(&tables, &table))
		return 0;
	e = event_reserve(TW_TASK_EXIT);
	if (!e)
		return 0;
	fill_current(e);
	e->table = table;
	e->has |= TW_HAS_TABLE;
	bpf_ringbuf_submit(e, 0);
	return 0;
}
