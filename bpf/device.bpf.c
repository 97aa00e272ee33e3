// SPDX-License-Identifier: GPL-2.0-only
/*
 * device.bpf.c - what happens to devices. Two functions of net/core see every
 * change of a tun device and its queues, both under rtnl:
 *   call_netdevice_notifiers_info()  birth, death, move, rename, address, up, down, master
 *   netdev_state_change()            tun calls it whenever queues, flags or owner change
 * So binding truth is read here, from the device to its queues, and nowhere
 * else. (tun_set_iff, tun_attach, tun_detach are inlined on every kernel seen.)
 */

#define NETDEV_UP 1
#define NETDEV_REGISTER 5
#define NETDEV_UNREGISTER 6
#define NETDEV_POST_INIT 17 /* the last value that is the same on all kernels */

/*
 * One slice of the queue list: generations of the files of the enabled
 * queues from `base` on. tfiles[i] is struct tun_file*, and its embedded
 * struct socket leads back to the struct file.
 */
static __always_inline void fill_queues(struct tw_event *e, const struct net_device *dev, __u32 base)
{
	__u64 tun = compat_netdev_priv(dev);
	__u32 n = e->dev.queues;

	e->queue_base = base;
	for (__u32 i = 0; i < TW_QUEUES_PER_EVENT; i++) {
		__u64 tfile = 0, file = 0;

		if (base + i >= n || base + i >= TW_MAX_QUEUES)
			break;
		bpf_probe_read_kernel(&tfile, 8, (void *)(tun + 8 * (__u64)(base + i)));
		if (!tfile)
			continue;
		bpf_probe_read_kernel(&file, 8, (void *)(tfile + compat_off_socket() +
							 bpf_core_field_offset(struct socket, file)));
		if (!file || file_rdev((void *)file) != TW_TUN_RDEV) {
			__sync_fetch_and_add(&counters.guards, 1);
			e->flags |= TW_F_INEXACT;
			continue;
		}
		e->queues[i] = file_gen(file);
	}
	e->has |= TW_HAS_QUEUES;
}

/*
 * One fact about a device; returns the number of its enabled queues. A global
 * function (so the verifier looks at it once): numbers only in its signature.
 */
__noinline __u32 dev_event(__u64 addr, __u64 gen, __u32 op, __u32 base)
{
	const struct net_device *dev = (void *)addr;
	struct tw_event *e = event_reserve(TW_DEV);
	__u32 n;

	if (!e)
		return 0;
	fill_current(e);
	fill_inflight(e);
	e->flags |= TW_F_RTNL;
	e->dev.op = op;
	if (!has_close_hook)
		e->flags |= TW_F_NO_CAUSE;
	fill_dev(e, dev, gen);
	if ((e->has & TW_HAS_TUN) && op != TW_DEV_GONE && op != TW_DEV_LEAVING)
		fill_queues(e, dev, base);
	n = e->dev.queues;
	bpf_ringbuf_submit(e, 0);
	return n;
}

/* Several slices only for devices of more than TW_QUEUES_PER_EVENT queues. */
static __always_inline void dev_tell(const struct net_device *dev, __u64 gen, __u8 op)
{
	__u64 addr = as_number(dev);
	__u32 n = dev_event(addr, gen, op, 0);

	if (op == TW_DEV_GONE || op == TW_DEV_LEAVING)
		return;
	for (__u32 base = TW_QUEUES_PER_EVENT; base < TW_MAX_QUEUES; base += TW_QUEUES_PER_EVENT) {
		if (base >= n)
			break;
		dev_event(addr, gen, op, base);
	}
}

/*
 * Birth and move look alike (NETDEV_REGISTER); a birth is preceded by
 * NETDEV_POST_INIT, a move by NETDEV_UNREGISTER of a device that stays
 * registered. Real death is NETDEV_UNREGISTER while unregistering; the
 * rebroadcasts of netdev_wait_allrefs() come later and in another state.
 */
static __always_inline int on_notifier(unsigned long what, const struct net_device *dev)
{
	__u64 key = (__u64)dev, gen;
	struct tw_dev_entry *entry, fresh = { .fresh = 1 };
	__u8 state, op = TW_DEV_STATE;

	if (!dev || !dev_kind(dev))
		return 0;
	state = compat_reg_state(dev);
	if (what == NETDEV_POST_INIT && state == REG_UNINITIALIZED) {
		fresh.gen = new_gen();
		bpf_map_update_elem(&devs, &key, &fresh, BPF_ANY);
		return 0;
	}
	if (state != REG_REGISTERED && state != REG_UNREGISTERING)
		return 0;
	/*
	 * On the way out nothing new is made of a device: after its end more
	 * is notified of it (its bridge lets go, NETDEV_PRE_UNINIT).
	 */
	entry = bpf_map_lookup_elem(&devs, &key);
	if (state == REG_UNREGISTERING && !entry && what != NETDEV_UNREGISTER)
		return 0;
	gen = dev_gen(dev);
	entry = bpf_map_lookup_elem(&devs, &key);
	if (what == NETDEV_UNREGISTER)
		op = state == REG_REGISTERED ? TW_DEV_LEAVING : TW_DEV_GONE;
	else if (what == NETDEV_REGISTER && entry) {
		op = entry->fresh ? TW_DEV_NEW : TW_DEV_MOVED;
		entry->fresh = 0;
	}
	dev_tell(dev, gen, op);
	if (op == TW_DEV_GONE)
		bpf_map_delete_elem(&devs, &key);
	return 0;
}

static __always_inline int on_state_change(const struct net_device *dev)
{
	if (!dev_kind(dev) || compat_reg_state(dev) != REG_REGISTERED)
		return 0;
	dev_tell(dev, dev_gen(dev), TW_DEV_STATE);
	return 0;
}

SEC("?fentry/call_netdevice_notifiers_info")
int BPF_PROG(fentry_notifier, unsigned long val, struct netdev_notifier_info *info)
{
	return on_notifier(val, BPF_CORE_READ(info, dev));
}

SEC("?fentry/netdev_state_change")
int BPF_PROG(fentry_state_change, struct net_device *dev)
{
	return on_state_change(dev);
}

SEC("?kprobe/call_netdevice_notifiers_info")
int BPF_KPROBE(kprobe_notifier, unsigned long val, struct netdev_notifier_info *info)
{
	return on_notifier(val, BPF_CORE_READ(info, dev));
}

SEC("?kprobe/netdev_state_change")
int BPF_KPROBE(kprobe_state_change, struct net_device *dev)
{
	return on_state_change(dev);
}

/*
 * A second witness of moves. The registration in the new namespace tells the
 * move itself; this only proves that the pair was one, so that a kernel on
 * which the notifiers mean something else is noticed (counters.guards).
 */
static __always_inline int on_move(const struct net_device *dev)
{
	__u64 key = (__u64)dev;
	struct tw_dev_entry *entry;

	if (!dev_kind(dev))
		return 0;
	entry = bpf_map_lookup_elem(&devs, &key);
	if (entry && entry->fresh)
		__sync_fetch_and_add(&counters.guards, 1);
	return 0;
}

SEC("?fentry/__dev_change_net_namespace")
int BPF_PROG(fentry_move, struct net_device *dev)
{
	return on_move(dev);
}

SEC("?fentry/dev_change_net_namespace")
int BPF_PROG(fentry_move_old, struct net_device *dev)
{
	return on_move(dev);
}

SEC("?kprobe/__dev_change_net_namespace")
int BPF_KPROBE(kprobe_move, struct net_device *dev)
{
	return on_move(dev);
}

SEC("?kprobe/dev_change_net_namespace")
int BPF_KPROBE(kprobe_move_old, struct net_device *dev)
{
	return on_move(dev);
}
