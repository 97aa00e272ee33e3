// SPDX-License-Identifier: GPL-2.0-only
/*
 * syscalls.bpf.c - the tracepoint backend, for kernels that allow no hook on
 * functions. It sees the system calls that open, bind, copy, receive and
 * close, at their exit (process.bpf.c: fork, exec and the end of processes); what happens to devices comes from
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
#define NR_DUP 32
#define NR_DUP2 33
#define NR_RECVMSG 47
#define NR_CLONE 56
#define NR_FCNTL 72
#define NR_CREAT 85
#define NR_OPENAT 257
#define NR_UNSHARE 272
#define NR_DUP3 292
#define NR_RECVMMSG 299
#elif defined(__TARGET_ARCH_arm64)
#define NR_OPEN (-2)
#define NR_CREAT (-3)
#define NR_DUP2 (-4)
#define NR_DUP 23
#define NR_DUP3 24
#define NR_FCNTL 25
#define NR_IOCTL 29
#define NR_OPENAT 56
#define NR_CLOSE 57
#define NR_UNSHARE 97
#define NR_RECVMSG 212
#define NR_CLONE 220
#define NR_RECVMMSG 243
#endif
#define NR_CLONE3 435
#define NR_CLOSE_RANGE 436
#define NR_OPENAT2 437
#define NR_PIDFD_GETFD 438
#define NR_SOCKETCALL (-10)	/* 32-bit callers only */

#define CLONE_NEWNET 0x40000000
#define F_DUPFD 0
#define F_DUPFD_CLOEXEC 1030
#define CLOSE_RANGE_CLOEXEC 4
#define SECCOMP_IOCTL_NOTIF_ADDFD 0x40182103

static __always_inline struct files_struct *current_table(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, files);
}

static __always_inline void slot_told(const struct files_struct *table, __u32 fd, const struct file *file, __u64 gen)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	proc_remember(tgid);
	slot_remember((__u64)table, fd, (__u64)file, gen, tgid);
}

static __always_inline void fd_fact(__u32 type, const struct files_struct *table, __u32 fd,
				    const struct file *file, __u64 gen, __u32 flags, __u32 how)
{
	struct tw_event *e = event_reserve(type);

	if (!e)
		return;
	fill_current(e);
	fill_file(e, file, gen);
	e->flags |= flags;
	if (type == TW_FD_INSTALL && may_be_shared(table))
		e->flags |= TW_F_SHARED;
	e->how = how;
	e->fd = fd;
	e->table = (__u64)table;
	e->has |= TW_HAS_FD | TW_HAS_TABLE;
	bpf_ringbuf_submit(e, 0);
}

/* A file that was there before has an fd in the current table now. */
static __always_inline void fd_came(const struct files_struct *table, __u32 fd, const struct file *file, __u32 how)
{
	__u64 gen = file_gen(as_number(file));

	slot_told(table, fd, file, gen);
	fd_fact(TW_FD_INSTALL, table, fd, file, gen, 0, how);
}

/*
 * A file that is known, and that somebody else refers to as well, was not
 * opened by this call: a supervisor answered it (seccomp's ADDFD).
 */
static __always_inline bool is_old_file(const struct file *file)
{
	__u64 key = (__u64)file;
	struct tw_file_entry *known = bpf_map_lookup_elem(&files, &key);

	return known && known->priv == (__u64)BPF_CORE_READ(file, private_data) && compat_file_refs(file) > 1;
}

static __always_inline void exit_open(long fd)
{
	const struct files_struct *table = current_table();
	const struct file *file = table_file(table, fd);
	__u64 gen;

	if (!file || !is_tun_file(file) || is_self())
		return;
	if (is_old_file(file)) {
		fd_came(table, fd, file, TW_HOW_OTHER);
		return;
	}
	gen = file_born(file, 1);
	slot_told(table, fd, file, gen);
	fd_fact(TW_FD_INSTALL, table, fd, file, gen, TW_F_NEW_FILE, 0);
	if (is_tap_rdev(file_rdev(file)))
		binding_tell(file, 0, 0);
}

/* The slot no longer holds the file that it is known for. */
static __always_inline void fd_went(const struct files_struct *table, __u32 fd, const struct file *now, __u32 how)
{
	struct tw_slot slot = { .table = (__u64)table, .fd = fd };
	struct tw_slot_file *known;
	__u64 file, gen;

	known = bpf_map_lookup_elem(&slots, &slot);
	if (!known)
		return;
	file = known->file;
	gen = known->gen;
	/* another thread may have opened it again already, and told so: then this close is old news */
	if (now == (void *)file)
		return;
	bpf_map_delete_elem(&slots, &slot);
	fd_fact(TW_FD_CLOSE, table, fd, (void *)file, gen, 0, how);
}

static __always_inline void exit_close(__u32 fd)
{
	const struct files_struct *table = current_table();

	if (counters.tracked)
		fd_went(table, fd, table_file(table, fd), TW_HOW_CLOSE);
}

static __always_inline void exit_dup(__u32 fd)
{
	const struct files_struct *table;
	const struct file *file;

	if (!counters.tracked)
		return;
	table = current_table();
	file = table_file(table, fd);
	fd_went(table, fd, file, TW_HOW_DUP);
	if (file && is_tun_file(file) && !is_self())
		fd_came(table, fd, file, TW_HOW_DUP);
}

/* A global function: the verifier looks at it once, not for every fd that a message may carry. */
__noinline int exit_received(__u32 fd, __u32 how)
{
	const struct files_struct *table = current_table();
	const struct file *file = table_file(table, fd);

	if (file && is_tun_file(file) && !is_self())
		fd_came(table, fd, file, how);
	return 0;
}

#define SOL_SOCKET 1
#define SCM_RIGHTS 1

/* The fds of one control message. */
__noinline int exit_rights(__u64 fds, __u64 len)
{
	for (__u64 i = 0; i < SCM_MAX_FD; i++) {
		__s32 fd = -1;

		if (4 * i + 4 > len)
			break;
		bpf_probe_read_user(&fd, 4, (void *)(fds + 4 * i));
		if (fd >= 0)
			exit_received(fd, TW_HOW_SCM_RIGHTS);
	}
	return 0;
}

/*
 * Control messages as they lie in the receiver's memory, where another thread
 * could have changed them: believed only as a hint where to look.
 */
__noinline int exit_control(__u64 control, __u64 len, __u32 head)
{
	__u64 pos = 0;

	for (int m = 0; m < 4; m++) {
		struct { __u64 len; __s32 level, type; } c = {};
		struct { __u32 len; __s32 level, type; } c32 = {};

		if (pos + head > len)
			return 0;
		if (head == 12) {
			bpf_probe_read_user(&c32, 12, (void *)(control + pos));
			c.len = c32.len;
			c.level = c32.level;
			c.type = c32.type;
		} else {
			bpf_probe_read_user(&c, 16, (void *)(control + pos));
		}
		if (c.len < head || c.len > len)
			return 0;
		if (c.level == SOL_SOCKET && c.type == SCM_RIGHTS)
			exit_rights(control + pos + head, c.len - head);
		pos += head == 12 ? ALIGN_UP(c.len, 4) : ALIGN_UP(c.len, 8);
	}
	return 0;
}

/* struct msghdr of 64-bit and 32-bit callers: where the control messages are, and how long. */
__noinline int exit_recvmsg(unsigned long msg, bool compat)
{
	struct { __u64 name, namelen, iov, iovlen, control, controllen; } m = {};
	struct { __u32 name, namelen, iov, iovlen, control, controllen; } m32 = {};

	if (compat) {
		bpf_probe_read_user(&m32, sizeof(m32), (void *)msg);
		m.control = m32.control;
		m.controllen = m32.controllen;
	} else {
		bpf_probe_read_user(&m, sizeof(m), (void *)msg);
	}
	if (m.control && m.controllen)
		exit_control(m.control, m.controllen, compat ? 12 : 16);
	return 0;
}

#define MMSG_MAX 32

static __always_inline void exit_recvmmsg(unsigned long vector, long count, bool compat)
{
	/* struct mmsghdr: a msghdr and a length */
	for (int i = 0; i < MMSG_MAX && i < count; i++)
		exit_recvmsg(vector + i * (compat ? 32 : 64), compat);
}

/* i386 has one call for all of sockets; the arguments lie in memory. */
static __always_inline void exit_socketcall(__u32 call, unsigned long args, long ret)
{
	__u32 msg = 0;

	bpf_probe_read_user(&msg, sizeof(msg), (void *)(args + 4));
	if (call == 17 /* SYS_RECVMSG */)
		exit_recvmsg(msg, true);
	else if (call == 19 /* SYS_RECVMMSG */)
		exit_recvmmsg(msg, ret, true);
}

static __always_inline void exit_close_range(__u32 flags)
{
	if (!proc_may_hold(bpf_get_current_pid_tgid() >> 32))
		return;
	if (flags & CLOSE_RANGE_UNSHARE)
		on_unshared();
	else if (!(flags & CLOSE_RANGE_CLOEXEC))
		own_table(TW_HOW_OTHER, TW_HOW_CLOSE, false);
}

/* A supervisor puts a file into the table of a process that waits for it: which one, only its number tells. */
static __always_inline void exit_addfd(unsigned long arg)
{
	struct { __u64 id; __u32 flags, srcfd, newfd, newfd_flags; } add = {};
	const struct file *file;

	if (bpf_probe_read_user(&add, sizeof(add), (void *)arg))
		return;
	file = table_file(current_table(), add.srcfd);
	if (file && is_tun_file(file))
		rescan_wanted();
}

static __always_inline void exit_tun_ioctl(const struct files_struct *table, __u32 fd, const struct file *file,
					   __u32 cmd, unsigned long arg, long ret)
{
	const struct net_device *dev;
	struct tw_event *e;
	__u64 gen = file_gen(as_number(file));
	bool detached;

	slot_told(table, fd, file, gen);
	e = event_reserve(TW_IOCTL);
	if (!e)
		return;
	fill_current(e);
	fill_file(e, file, gen);
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

	if (cmd == SECCOMP_IOCTL_NOTIF_ADDFD && ret >= 0 && counters.tracked)
		exit_addfd(arg);
	if (type != TUN_IOCTL_TYPE && type != 0xaf)
		return;
	/* 'T' is the terminals' type too: theirs are below 0x80, tun's begin at 200 */
	if (type == TUN_IOCTL_TYPE && (cmd & 0xff) < 200)
		return;
	if (type == 0xaf && (ret < 0 || (cmd != VHOST_NET_SET_BACKEND && cmd != VHOST_RESET_OWNER)))
		return;
	table = current_table();
	file = table_file(table, fd);
	if (!file || is_self())
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

static __always_inline bool is_compat(void)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread_info.status) & TW_TS_COMPAT;
#else
	return false;
#endif
}

/* 32-bit callers have other numbers. Translated to the native one, or -1. */
static __always_inline long native_nr(long nr)
{
#if defined(__TARGET_ARCH_x86)
	if (!is_compat())
		return nr;
	switch (nr) {
	case 5: return NR_OPEN;
	case 6: return NR_CLOSE;
	case 8: return NR_CREAT;
	case 41: return NR_DUP;
	case 54: return NR_IOCTL;
	case 55: case 221: return NR_FCNTL;
	case 63: return NR_DUP2;
	case 102: return NR_SOCKETCALL;
	case 120: return NR_CLONE;
	case 295: return NR_OPENAT;
	case 310: return NR_UNSHARE;
	case 330: return NR_DUP3;
	case 337: return NR_RECVMMSG;
	case 372: return NR_RECVMSG;
	case 435: case 436: case 437: case 438: return nr;
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
	case NR_CLOSE_RANGE: case NR_DUP: case NR_DUP3: case NR_FCNTL: case NR_RECVMSG: case NR_RECVMMSG:
	case NR_PIDFD_GETFD:
#if defined(__TARGET_ARCH_x86)
	case NR_OPEN: case NR_CREAT: case NR_DUP2:
	case 5: case 6: case 8: case 41: case 54: case 55: case 63: case 102: case 120: case 221: case 295: case 310:
	case 330: case 337: case 372:
#endif
		return true;
	}
	return false;
}

/* A global function: the verifier looks at it once, not for each kind of callers. */
__noinline int on_sys_exit(long nr, unsigned long a0, unsigned long a1, unsigned long a2, long ret)
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
	case NR_DUP: case NR_DUP3:
#if defined(__TARGET_ARCH_x86)
	case NR_DUP2:
#endif
		if (ret >= 0)
			exit_dup(ret);
		break;
	case NR_FCNTL:
		if (ret >= 0 && (a1 == F_DUPFD || a1 == F_DUPFD_CLOEXEC))
			exit_dup(ret);
		break;
	case NR_PIDFD_GETFD:
		if (ret >= 0)
			exit_received(ret, TW_HOW_PIDFD_GETFD);
		break;
	case NR_RECVMSG:
		if (ret >= 0)
			exit_recvmsg(a1, is_compat());
		break;
	case NR_RECVMMSG:
		exit_recvmmsg(a1, ret, is_compat());
		break;
#if defined(__TARGET_ARCH_x86)
	case NR_SOCKETCALL:
		if (ret >= 0)
			exit_socketcall(a0, a1, ret);
		break;
#endif
	case NR_CLOSE_RANGE:
		if (!ret)
			exit_close_range(a2);
		break;
	case NR_UNSHARE:
		if (!ret && (a0 & CLONE_FILES) && proc_may_hold(bpf_get_current_pid_tgid() >> 32))
			on_unshared();
		/* fallthrough */
	case NR_CLONE:
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
