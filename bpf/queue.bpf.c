// SPDX-License-Identifier: GPL-2.0-only
/*
 * queue.bpf.c - the character device: open, ioctl, close; and vhost-net, which
 * borrows queues. These hooks tell who asked and what failed. The exits run
 * after rtnl was dropped, so nothing about the device is read there; see
 * device.bpf.c for that.
 */

#define TUNSETIFF 0x400454ca
#define TUN_IOCTL_TYPE 0x54 /* 'T' */
#define VHOST_NET_SET_BACKEND 0x4008af30
#define VHOST_RESET_OWNER 0xaf02

static __always_inline int on_open(const struct file *file)
{
	struct tw_event *e;
	__u64 gen;

	if (file_rdev(file) != TW_TUN_RDEV)
		return 0;
	gen = file_born(file, 0);
	e = event_reserve(TW_FILE_OPEN);
	if (!e)
		return 0;
	fill_current(e);
	/* private_data is set by the open that begins now: the socket's namespace comes with the fd */
	e->file.addr = (__u64)file;
	e->file.gen = gen;
	e->has |= TW_HAS_FILE;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("?fentry/tun_chr_open")
int BPF_PROG(fentry_open, struct inode *inode, struct file *file)
{
	return on_open(file);
}

SEC("?kprobe/tun_chr_open")
int BPF_KPROBE(kprobe_open, struct inode *inode, struct file *file)
{
	return on_open(file);
}

static __always_inline int on_close_enter(const struct file *file)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct tw_inflight in = { .file = (__u64)file, .flags = TW_F_IN_CLOSE };
	struct tw_event *e;

	in.gen = file_gen(as_number(file));
	bpf_map_update_elem(&inflight, &key, &in, BPF_ANY);
	e = event_reserve(TW_FILE_RELEASE);
	if (!e)
		return 0;
	fill_current(e);
	fill_file(e, file, in.gen);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/*
 * Only now is the generation taken back: a walk of the device's queues that
 * ran between entry and detach would else take the dying file for a new one.
 */
static __always_inline int on_close_exit(void)
{
	__u64 key = bpf_get_current_pid_tgid(), file;
	struct tw_inflight *in = bpf_map_lookup_elem(&inflight, &key);

	if (!in)
		return 0;
	file = in->file;
	bpf_map_delete_elem(&files, &file);
	bpf_map_delete_elem(&inflight, &key);
	return 0;
}

SEC("?fentry/tap_release")
int BPF_PROG(fentry_tap_close, struct inode *inode, struct file *file)
{
	return on_close_enter(file);
}

SEC("?fexit/tap_release")
int BPF_PROG(fexit_tap_close, struct inode *inode, struct file *file)
{
	return on_close_exit();
}

SEC("?kprobe/tap_release")
int BPF_KPROBE(kprobe_tap_close, struct inode *inode, struct file *file)
{
	return on_close_enter(file);
}

SEC("?kretprobe/tap_release")
int BPF_KRETPROBE(kretprobe_tap_close)
{
	return on_close_exit();
}

SEC("?fentry/tun_chr_close")
int BPF_PROG(fentry_close, struct inode *inode, struct file *file)
{
	return on_close_enter(file);
}

SEC("?fexit/tun_chr_close")
int BPF_PROG(fexit_close, struct inode *inode, struct file *file)
{
	return on_close_exit();
}

SEC("?kprobe/tun_chr_close")
int BPF_KPROBE(kprobe_close, struct inode *inode, struct file *file)
{
	return on_close_enter(file);
}

SEC("?kretprobe/tun_chr_close")
int BPF_KRETPROBE(kretprobe_close)
{
	return on_close_exit();
}

/*
 * Where tun_chr_close cannot be hooked: the end of any open file, filtered.
 * The device's own events follow; why it went is not known then.
 */
SEC("?fentry/__fput")
int BPF_PROG(fentry_fput, struct file *file)
{
	__u64 key = (__u64)file;
	struct tw_file_entry *entry;
	struct tw_event *e;

	if (!is_our_rdev(file->f_inode->i_rdev))
		return 0;
	entry = bpf_map_lookup_elem(&files, &key);
	if (!entry)
		return 0;
	e = event_reserve(TW_FILE_RELEASE);
	if (e) {
		fill_current(e);
		fill_file(e, file, entry->gen);
		bpf_ringbuf_submit(e, 0);
	}
	bpf_map_delete_elem(&files, &key);
	return 0;
}

/* --- tun ioctls --- */

static __always_inline int on_ioctl_enter(const struct file *file, __u32 cmd, unsigned long arg)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct tw_inflight in = { .file = (__u64)file, .flags = TW_F_IN_IOCTL, .cmd = cmd };

	if (((cmd >> 8) & 0xff) != TUN_IOCTL_TYPE)
		return 0;
	in.gen = file_gen(as_number(file));
	/* the kernel writes the chosen name back: what was asked for is there only now */
	if (cmd == TUNSETIFF && !bpf_probe_read_user_str(in.requested, sizeof(in.requested), (void *)arg))
		in.has_requested = 0;
	else
		in.has_requested = cmd == TUNSETIFF;
	bpf_map_update_elem(&inflight, &key, &in, BPF_ANY);
	return 0;
}

static __always_inline int on_ioctl_exit(long ret)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct tw_inflight *in = bpf_map_lookup_elem(&inflight, &key);
	const struct file *file;
	struct tw_event *e;
	bool detached;

	if (!in || !(in->flags & TW_F_IN_IOCTL))
		return 0;
	/* success is told by the device's own events, under rtnl */
	if (in->cmd != TUNSETIFF || ret >= 0)
		goto out;
	e = event_reserve(TW_IOCTL);
	if (!e)
		goto out;
	fill_current(e);
	file = (void *)in->file;
	fill_file(e, file, in->gen);
	e->ioctl.cmd = in->cmd;
	e->ioctl.ret = ret;
	if (in->has_requested) {
		__builtin_memcpy(e->ioctl.requested, in->requested, TW_NAME_LEN);
		e->ioctl.requested[TW_NAME_LEN - 1] = 0;
		e->has |= TW_HAS_REQUESTED;
	}
	/* EFAULT may follow a bind that was done, EEXIST means that it is bound: only unbound is failed */
	if (!file_dev(file, &detached))
		e->flags |= TW_F_UNBOUND;
	bpf_ringbuf_submit(e, 0);
out:
	bpf_map_delete_elem(&inflight, &key);
	return 0;
}

/* __tun_chr_ioctl is the common body of tun_chr_ioctl and its compat twin, not inlined on any kernel seen. */
SEC("?fentry/__tun_chr_ioctl")
int BPF_PROG(fentry_ioctl, struct file *file, unsigned int cmd, unsigned long arg, int ifreq_len)
{
	return on_ioctl_enter(file, cmd, arg);
}

SEC("?fexit/__tun_chr_ioctl")
int BPF_PROG(fexit_ioctl, struct file *file, unsigned int cmd, unsigned long arg, int ifreq_len, long ret)
{
	return on_ioctl_exit(ret);
}

SEC("?kprobe/__tun_chr_ioctl")
int BPF_KPROBE(kprobe_ioctl, struct file *file, unsigned int cmd, unsigned long arg)
{
	return on_ioctl_enter(file, cmd, arg);
}

SEC("?kretprobe/__tun_chr_ioctl")
int BPF_KRETPROBE(kretprobe_ioctl, long ret)
{
	return on_ioctl_exit(ret);
}

/* Where a compiler inlined the common body: the wrapper that native callers pass. */
SEC("?fentry/tun_chr_ioctl")
int BPF_PROG(fentry_ioctl_outer, struct file *file, unsigned int cmd, unsigned long arg)
{
	return on_ioctl_enter(file, cmd, arg);
}

SEC("?fexit/tun_chr_ioctl")
int BPF_PROG(fexit_ioctl_outer, struct file *file, unsigned int cmd, unsigned long arg, long ret)
{
	return on_ioctl_exit(ret);
}

SEC("?kprobe/tun_chr_ioctl")
int BPF_KPROBE(kprobe_ioctl_outer, struct file *file, unsigned int cmd, unsigned long arg)
{
	return on_ioctl_enter(file, cmd, arg);
}

SEC("?kretprobe/tun_chr_ioctl")
int BPF_KRETPROBE(kretprobe_ioctl_outer, long ret)
{
	return on_ioctl_exit(ret);
}

/* --- macvtap and ipvtap: TUNSETQUEUE is told by no notifier --- */

#define TUNSETQUEUE 0x400454d9

/*
 * The binding of a file as it is now, for what happens outside rtnl's own
 * hooks. Only that this file is on that device is exact.
 */
static __always_inline void binding_tell(const struct file *file, __u32 cmd, long ret)
{
	struct tw_event *e = event_reserve(TW_IOCTL);
	const struct net_device *dev;
	__u64 gen = 0;
	bool detached;

	if (!e)
		return;
	fill_current(e);
	fill_file(e, file, file_gen(as_number(file)));
	e->ioctl.cmd = cmd;
	e->ioctl.ret = ret;
	dev = file_dev(file, &detached);
	if (dev && dev_alive(dev, &gen)) {
		fill_dev(e, dev, gen);
		if (detached)
			e->flags |= TW_F_DETACHED;
	} else {
		e->flags |= TW_F_UNBOUND;
	}
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int on_tap_ioctl_enter(const struct file *file, __u32 cmd)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct tw_inflight in = { .file = (__u64)file, .cmd = cmd };

	if (cmd == TUNSETQUEUE)
		bpf_map_update_elem(&inflight, &key, &in, BPF_ANY);
	return 0;
}

static __always_inline int on_tap_ioctl_exit(long ret)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct tw_inflight *in = bpf_map_lookup_elem(&inflight, &key);

	if (!in || in->cmd != TUNSETQUEUE)
		return 0;
	if (!ret)
		binding_tell((void *)in->file, TUNSETQUEUE, 0);
	bpf_map_delete_elem(&inflight, &key);
	return 0;
}

SEC("?fentry/tap_ioctl")
int BPF_PROG(fentry_tap_ioctl, struct file *file, unsigned int cmd)
{
	return on_tap_ioctl_enter(file, cmd);
}

SEC("?fexit/tap_ioctl")
int BPF_PROG(fexit_tap_ioctl, struct file *file, unsigned int cmd, unsigned long arg, long ret)
{
	return on_tap_ioctl_exit(ret);
}

SEC("?kprobe/tap_ioctl")
int BPF_KPROBE(kprobe_tap_ioctl, struct file *file, unsigned int cmd)
{
	return on_tap_ioctl_enter(file, cmd);
}

SEC("?kretprobe/tap_ioctl")
int BPF_KRETPROBE(kretprobe_tap_ioctl, long ret)
{
	return on_tap_ioctl_exit(ret);
}

/* --- vhost-net: a queue that it took lives without any fd --- */

/* owner: struct file* of /dev/vhost-net. tun: generation of the tun file, 0 gives back. */
static __always_inline void vhost_tell(__u64 owner, __u32 index, __u64 tun, __u32 flags)
{
	struct tw_event *e = event_reserve(TW_VHOST);

	if (!e)
		return;
	fill_current(e);
	e->flags |= flags;
	e->vhost.owner = owner;
	e->vhost.index = index;
	e->file.gen = tun;
	if (tun)
		e->has |= TW_HAS_FILE;
	else
		e->flags |= TW_F_UNBOUND;
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int on_vhost_enter(const struct file *owner, __u32 cmd, unsigned long arg)
{
	__u64 key = bpf_get_current_pid_tgid() | INFLIGHT_VHOST;
	struct tw_inflight in = { .file = (__u64)owner, .cmd = cmd };
	struct task_struct *task = (void *)bpf_get_current_task();
	struct { __u32 index; __s32 fd; } backend = {};
	const struct file *tun;

	if (cmd != VHOST_NET_SET_BACKEND && cmd != VHOST_RESET_OWNER)
		return 0;
	if (cmd == VHOST_NET_SET_BACKEND) {
		if (bpf_probe_read_user(&backend, sizeof(backend), (void *)arg))
			return 0;
		in.index = backend.index;
		if (backend.fd >= 0) {
			tun = table_file(BPF_CORE_READ(task, files), backend.fd);
			if (!tun || !is_tun_file(tun))
				return 0;
			in.other = file_gen(as_number(tun));
		}
	}
	bpf_map_update_elem(&inflight, &key, &in, BPF_ANY);
	return 0;
}

static __always_inline int on_vhost_exit(long ret)
{
	__u64 key = bpf_get_current_pid_tgid() | INFLIGHT_VHOST;
	struct tw_inflight *in = bpf_map_lookup_elem(&inflight, &key);

	if (!in)
		return 0;
	if (ret >= 0)
		vhost_tell(in->file, in->index, in->other, in->cmd == VHOST_RESET_OWNER ? TW_F_VHOST_GONE : 0);
	bpf_map_delete_elem(&inflight, &key);
	return 0;
}

SEC("?fentry/vhost_net_ioctl")
int BPF_PROG(fentry_vhost, struct file *file, unsigned int cmd, unsigned long arg)
{
	return on_vhost_enter(file, cmd, arg);
}

SEC("?fexit/vhost_net_ioctl")
int BPF_PROG(fexit_vhost, struct file *file, unsigned int cmd, unsigned long arg, long ret)
{
	return on_vhost_exit(ret);
}

SEC("?fentry/vhost_net_release")
int BPF_PROG(fentry_vhost_release, struct inode *inode, struct file *file)
{
	vhost_tell((__u64)file, 0, 0, TW_F_VHOST_GONE);
	return 0;
}

SEC("?kprobe/vhost_net_ioctl")
int BPF_KPROBE(kprobe_vhost, struct file *file, unsigned int cmd, unsigned long arg)
{
	return on_vhost_enter(file, cmd, arg);
}

SEC("?kretprobe/vhost_net_ioctl")
int BPF_KRETPROBE(kretprobe_vhost, long ret)
{
	return on_vhost_exit(ret);
}

SEC("?kprobe/vhost_net_release")
int BPF_KPROBE(kprobe_vhost_release, struct inode *inode, struct file *file)
{
	vhost_tell((__u64)file, 0, 0, TW_F_VHOST_GONE);
	return 0;
}

/* A module that brings more functions to hook: user space attaches afresh. */
SEC("?tp_btf/module_load")
int BPF_PROG(tp_module_load, struct module *mod)
{
	char name[TW_NAME_LEN] = {};
	struct tw_event *e;

	BPF_CORE_READ_STR_INTO(&name, mod, name);
	/* tun, tap, vhost_net, macvtap, ipvtap: anything else is not ours; some letters tell enough */
	if (!(name[0] == 't' && (name[1] == 'u' || name[1] == 'a')) &&
	    !(name[0] == 'v' && name[1] == 'h' && name[2] == 'o') &&
	    !(name[0] == 'm' && name[1] == 'a' && name[2] == 'c' && name[3] == 'v' && name[4] == 't') &&
	    !(name[0] == 'i' && name[1] == 'p' && name[2] == 'v' && name[3] == 't'))
		return 0;
	e = event_reserve(TW_MODULE);
	if (!e)
		return 0;
	__builtin_memcpy(e->ioctl.requested, name, TW_NAME_LEN);
	e->has |= TW_HAS_REQUESTED;
	bpf_ringbuf_submit(e, 0);
	return 0;
}
