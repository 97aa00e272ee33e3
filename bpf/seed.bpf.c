// SPDX-License-Identifier: GPL-2.0-only
/*
 * seed.bpf.c - what exists already: an iterator over all fds of all tables,
 * and a look at each file that is known by then: to the hooks, by an fd, or as
 * a queue of a device (those that no fd refers to, but vhost-net or a message
 * under way). Both make facts of the same shape as the live hooks.
 */

/* scan.bpf.c loads all it has; in the large object nothing is loaded unasked. */
#ifdef TW_SCAN_ONLY
#define SEED_SEC(name) name
#else
#define SEED_SEC(name) "?" name
#endif

/* A fact is too large for the stack beside everything else. One scan at a time runs on a CPU: no preemption. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tw_event);
} scratch SEC(".maps");

static __always_inline struct tw_event *scratch_event(__u32 type)
{
	__u32 zero = 0;
	struct tw_event *e = bpf_map_lookup_elem(&scratch, &zero);

	if (!e)
		return NULL;
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_boot_ns();
	e->type = type;
	e->fd = -1;
	return e;
}

/*
 * File and device as they are now. Without rtnl: a device that is going away
 * is left out, and user space puts the details right from an rtnetlink dump.
 * (A new device is registered before its file refers to it, tun_set_iff().)
 */
static __always_inline void fill_binding(struct tw_event *e, const struct file *file)
{
	const struct net_device *dev;
	const struct sock *sk;
	bool detached;
	__u64 gen = 0;

	dev = file_dev(file, &detached);
	if (!dev) {
		e->flags |= TW_F_UNBOUND;
		/*
		 * RCV_SHUTDOWN: tun_detach_all() leaves it on the queues of a dead device, tun_attach() clears it.
		 * A /dev/tapN is bound by its open.
		 */
		sk = BPF_CORE_READ(file, private_data);
		if ((BPF_CORE_READ(sk, sk_shutdown) & 1) || file_rdev(file) != TW_TUN_RDEV)
			e->flags |= TW_F_ORPHANED;
		return;
	}
	if (!dev_alive(dev, &gen)) {
		e->flags |= TW_F_UNBOUND;
		return;
	}
	if (detached)
		e->flags |= TW_F_DETACHED;
	fill_dev(e, dev, gen);
	if (e->has & TW_HAS_TUN)
		e->has |= TW_HAS_QUEUES; /* their number only */
}

#define NSFS_MAGIC 0x6e736673 /* uapi/linux/magic.h */

/* A namespace may be alive by an open fd only: then this is the way to it. */
static __always_inline int scan_nsfd(struct bpf_iter__task_file *ctx, struct task_struct *task, struct file *file)
{
	struct tw_event *e = scratch_event(TW_SCAN_NSFD);

	if (!e)
		return 0;
	fill_task_from(e, task);
	e->fd = ctx->fd;
	e->has |= TW_HAS_FD;
	e->dev.netns = file->f_inode->i_ino;
	bpf_seq_write(ctx->meta->seq, e, sizeof(*e));
	return 0;
}

/*
 * --- files without an fd: from namespaces to devices to queues ---
 *
 * Read without a lock, so everything met is checked to be what it should be;
 * a list that is changed meanwhile may end early. Global functions: the
 * verifier looks at each once.
 */
#define WALK_STRETCH 128	/* the verifier goes round each loop as often: two short ones are less than a long one */
#define WALK_STRETCHES 128

/* One queue of a device, in its list: its file becomes known, if it is none of those met already. */
__noinline int queue_met(__u64 at)
{
	struct file *file = NULL;
	__u64 tfile = 0;

	if (bpf_probe_read_kernel(&tfile, sizeof(tfile), (void *)at) || !tfile)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), (void *)(tfile + compat_off_socket() +
							    bpf_core_field_offset(struct socket, file)));
	if (!file || !compat_file_alive(file) || (__u64)BPF_CORE_READ(file, private_data) != tfile ||
	    file_rdev(file) != TW_TUN_RDEV)
		return 0;
	file_entry((__u64)file);
	return 0;
}

/* Enabled queues only: of those that are detached, the list is the driver's own affair. */
__noinline int queues_met(__u64 device)
{
	const struct net_device *dev = (void *)device;
	__u64 tun = compat_netdev_priv(dev), back = 0;
	__u32 n = 0;

	if (dev_kind(dev) != TW_KIND_TUN || compat_reg_state(dev) != REG_REGISTERED)
		return 0;
	bpf_probe_read_kernel(&back, sizeof(back), (void *)(tun + compat_off_tun_dev()));
	if (back != device)
		return 0;
	bpf_probe_read_kernel(&n, sizeof(n), (void *)(tun + compat_off_tun_numqueues()));
	for (__u32 i = 0; i < TW_MAX_QUEUES && i < n; i++)
		queue_met(tun + 8ULL * i);
	return 0;
}

/* A stretch of a namespace's devices; the node to go on with, 0 at the end. */
__noinline __u64 devices_met(__u64 namespace, __u64 node)
{
	__u64 head = namespace + bpf_core_field_offset(struct net, dev_base_head);

	for (int i = 0; i < WALK_STRETCH; i++) {
		__u64 dev = node - bpf_core_field_offset(struct net_device, dev_list);

		if (!node || node == head || (__u64)BPF_CORE_READ((struct net_device *)dev, nd_net.net) != namespace)
			return 0;
		queues_met(dev);
		node = (__u64)BPF_CORE_READ((struct net_device *)dev, dev_list.next);
	}
	return node;
}

__noinline int namespace_met(__u64 namespace)
{
	struct net *net = (void *)namespace;
	__u64 node = (__u64)BPF_CORE_READ(net, dev_base_head.next);

	/* the head of the list of namespaces is none */
	if ((__u64)BPF_CORE_READ(net, loopback_dev, nd_net.net) != namespace)
		return 0;
	for (int i = 0; i < WALK_STRETCHES && node; i++)
		node = devices_met(namespace, node);
	return 0;
}

/* A stretch of the ring of all namespaces; the one to go on with, 0 when `first` has come again. */
__noinline __u64 namespaces_met(__u64 first, __u64 net)
{
	for (int i = 0; i < WALK_STRETCH; i++) {
		namespace_met(net);
		net = (__u64)BPF_CORE_READ((struct net *)net, list.next);
		if (!net)
			return 0;
		net -= bpf_core_field_offset(struct net, list);
		if (net == first)
			return 0;
	}
	return net;
}

/* From the namespace of whoever scans, all around. */
static __always_inline int all_queues_met(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 first = (__u64)BPF_CORE_READ(task, nsproxy, net_ns), net = first;

	for (int i = 0; i < WALK_STRETCHES && net; i++)
		net = namespaces_met(first, net);
	return 0;
}

SEC(SEED_SEC("iter/task_file"))
int iter_task_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct tw_file_entry *entry;
	struct files_struct *table;
	struct tw_event *e;
	__u32 fd = ctx->fd;

	/* the end: what was not met so far has no fd; look_at_file() tells of it */
	if (!task)
		return all_queues_met();
	if (!file)
		return 0;
	if (!is_our_rdev(file->f_inode->i_rdev)) {
		if (file->f_inode->i_sb->s_magic == NSFS_MAGIC)
			return scan_nsfd(ctx, task, file);
		return 0;
	}
	if (file->f_mode & TW_FMODE_PATH)
		return 0;
	e = scratch_event(TW_SCAN_FD);
	if (!e)
		return 0;
	table = task->files;
	/* the iterator may have got hold of the file just before it was closed: believe only the slot, now */
	if (table_file(table, fd) != file)
		return 0;
	entry = file_entry((__u64)file);
	if (entry)
		entry->announced = 1;
	proc_remember(BPF_CORE_READ(task, tgid));
	if (!dev_gens) /* the tracepoint backend sees a close only of slots that it knows */
		slot_remember((__u64)table, fd, (__u64)file, entry ? entry->gen : 0,
			      BPF_CORE_READ(task, tgid));
	fill_file(e, file, entry ? entry->gen : 0);
	fill_task_from(e, task);
	if (is_self_task(task))
		e->flags |= TW_F_SELF;
	e->fd = fd;
	e->table = (__u64)table;
	e->has |= TW_HAS_FD | TW_HAS_TABLE;
	fill_binding(e, file);
	bpf_seq_write(ctx->meta->seq, e, sizeof(*e));
	return 0;
}

/* What look_at_file() found; one user at a time. */
struct tw_event file_fact = {};

/*
 * One file of those known, by its address: TW_SCAN_FILE for a living one,
 * TW_FILE_RELEASE or TW_VHOST for one that went unseen (tracepoint backend).
 * Returns whether there is anything to tell. User space goes through the map
 * and has this run for each (BPF_PROG_TEST_RUN): an iterator over the map
 * could write to it, and kernels that are on their guard refuse that (seen on
 * a 6.18).
 */
SEC(SEED_SEC("raw_tp/called"))
int look_at_file(__u64 *ctx)
{
	__u64 key = ctx[0], dead_only = ctx[1];
	struct tw_file_entry *value = bpf_map_lookup_elem(&files, &key);
	struct file *file = (void *)key;
	struct tw_event *e = &file_fact;
	__u32 rdev;
	bool alive;

	if (!value)
		return 0;
	/* the address may be another file's by now: the driver's private data is the witness */
	rdev = file_rdev(file);
	alive = compat_file_alive(file) && (value->kind ? rdev == TW_VHOST_RDEV : is_our_rdev(rdev)) &&
		(__u64)BPF_CORE_READ(file, private_data) == value->priv;
	if (alive && (value->kind || dead_only))
		return 0;
	/* with hooks on files, their end is told by the hook, in order with all else */
	if (!alive && dev_gens)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_boot_ns();
	e->type = TW_SCAN_FILE;
	e->fd = -1;
	e->file.addr = key;
	e->file.gen = value->gen;
	e->has |= TW_HAS_FILE;
	if (alive) {
		fill_file(e, file, value->gen);
		fill_binding(e, file);
	} else if (value->kind) {
		e->type = TW_VHOST;
		e->vhost.owner = key;
		e->flags |= TW_F_VHOST_GONE | TW_F_UNBOUND;
		e->has = 0;
	} else {
		e->type = TW_FILE_RELEASE;
	}
	return 1;
}
