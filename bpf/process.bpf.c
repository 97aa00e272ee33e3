// SPDX-License-Identifier: GPL-2.0-only
/*
 * process.bpf.c - what processes do to whole file tables: copy them (fork,
 * unshare), share them (clone), leave them (exec, exit). Only processes that
 * are known to have had a tun file are looked at (the map procs). A table is
 * walked at moments at which nobody else can change it: a child that does not
 * run yet, a process after exec, a thread that has just got a table of its
 * own. So what is found is exact.
 */

#define CLONE_FILES 0x00000400
#define CLONE_THREAD 0x00010000
#define CLOSE_RANGE_UNSHARE 2
#define SIGNAL_GROUP_EXIT 0x00000004 /* include/linux/sched/signal.h: all threads of the process end */

/* Words of the bitmap of open fds that one walk looks at; a larger table is read by a scan. */
#define WALK_WORDS 64

static __always_inline void rescan_wanted(void)
{
	struct tw_event *e = event_reserve(TW_RESCAN);

	if (e)
		bpf_ringbuf_submit(e, 0);
}

/*
 * One slot of a walk: TW_FD_INSTALL when it holds a tun file. A global
 * function: the verifier looks at it once, not at every step.
 */
__noinline int walk_slot(__u64 table, __u64 slot, __u64 fd_how, __u64 owner, __u64 time_ns)
{
	struct task_struct *task = (void *)owner;
	struct file *file = NULL;
	struct tw_file_entry *entry;
	struct tw_event *e;

	bpf_probe_read_kernel(&file, sizeof(file), (void *)slot);
	if (!file || !is_tun_file(file))
		return 0;
	if (dev_gens) {
		entry = file_entry((__u64)file);
	} else {
		/* tracepoint backend: one that nobody told of is being opened by another thread, which will */
		__u64 key = (__u64)file;

		entry = bpf_map_lookup_elem(&files, &key);
		if (!entry || entry->priv != (__u64)BPF_CORE_READ(file, private_data)) {
			rescan_wanted();
			return 1;
		}
		slot_remember(table, (__u32)fd_how, key, entry->gen, BPF_CORE_READ(task, tgid));
	}
	if (entry)
		entry->announced = 1;
	e = event_reserve(TW_FD_INSTALL);
	if (!e)
		return 1;
	e->time_ns = time_ns;
	fill_task_from(e, task);
	if (is_self())
		e->flags |= TW_F_SELF;
	fill_file(e, file, entry ? entry->gen : 0);
	e->fd = (__u32)fd_how;
	e->how = fd_how >> 32;
	e->table = table;
	e->has |= TW_HAS_TABLE | TW_HAS_FD;
	bpf_ringbuf_submit(e, 0);
	return 1;
}

/* 64 slots of a walk, those of one word of the bitmap. Returns whether any holds a tun file. */
__noinline int walk_word(__u64 table, __u64 base, __u64 how, __u64 owner, __u64 time_ns)
{
	const struct fdtable *fdt = BPF_CORE_READ((struct files_struct *)table, fdt);
	__u64 slots = (__u64)BPF_CORE_READ(fdt, fd), words = (__u64)BPF_CORE_READ(fdt, open_fds);
	__u64 word = 0;
	int found = 0;

	bpf_probe_read_kernel(&word, sizeof(word), (void *)(words + base / 8));
	if (!word)
		return 0;
	/* unrolled: 5.10 takes a loop only when the compiler happens to close it by a jump */
#pragma clang loop unroll(full)
	for (int i = 0; i < 64; i++)
		if (word & 1ULL << i)
			found |= walk_slot(table, slots + 8 * (base + i), how << 32 | (base + i), owner, time_ns);
	return found;
}

/* Returns whether any was found; negative when the table is too large to be walked here. */
static __always_inline int table_walk(__u64 table, __u64 owner, __u64 how, __u64 time_ns)
{
	const struct fdtable *fdt = BPF_CORE_READ((struct files_struct *)table, fdt);
	__u32 max_fds = BPF_CORE_READ(fdt, max_fds);
	int found = 0;

	for (int w = 0; w < WALK_WORDS; w++) {
		if (w * 64 >= max_fds)
			return found;
		found |= walk_word(table, w * 64, how, owner, time_ns);
	}
	return max_fds > WALK_WORDS * 64 ? -1 : found;
}

static __always_inline void task_fact(__u32 type, __u64 owner, __u64 table, __u32 flags, __u32 how, __u64 time_ns)
{
	struct tw_event *e = event_reserve(type);

	if (!e)
		return;
	e->time_ns = time_ns;
	fill_task_from(e, (void *)owner);
	if (is_self())
		flags |= TW_F_SELF;
	e->flags = flags;
	e->table = table;
	e->how = how;
	e->has |= TW_HAS_TABLE;
	bpf_ringbuf_submit(e, 0);
}

/* Comes before the child runs. Threads have what their process has. */
SEC("?tp_btf/task_newtask")
int BPF_PROG(tp_newtask, struct task_struct *child, unsigned long clone_flags)
{
	__u64 now, owner, table;
	int found = 1;

	if (clone_flags & CLONE_THREAD && clone_flags & CLONE_FILES)
		return 0;
	if (!proc_may_hold(bpf_get_current_pid_tgid() >> 32))
		return 0;
	now = bpf_ktime_get_boot_ns();
	owner = as_number(child);
	table = (__u64)BPF_CORE_READ((struct task_struct *)owner, files);
	if (!table)
		return 0;
	if (clone_flags & CLONE_FILES)
		task_fact(TW_TABLE_JOIN, owner, table, 0, TW_HOW_FORK, now);
	else
		found = table_walk(table, owner, TW_HOW_FORK, now);
	if (found < 0)
		rescan_wanted();
	if (found)
		proc_remember(BPF_CORE_READ((struct task_struct *)owner, tgid));
	return 0;
}

/* The current thread's table is its own now: all that it has is told, the rest it has not. */
static __always_inline void own_table(__u32 install_how, __u32 gone_how, bool only)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 now = bpf_ktime_get_boot_ns(), table = (__u64)BPF_CORE_READ(task, files);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	int found = table_walk(table, (__u64)task, install_how, now);

	if (found < 0)
		rescan_wanted();
	else
		task_fact(TW_TABLE_WALKED, (__u64)task, table, only ? TW_F_ONLY_TABLE : 0, gone_how, now);
	if (found)
		proc_remember(tgid);
}

/* After close-on-exec was done; a table that was shared has been copied before. One thread is left. */
SEC("?tp_btf/sched_process_exec")
int BPF_PROG(tp_exec)
{
	if (proc_may_hold(bpf_get_current_pid_tgid() >> 32))
		own_table(TW_HOW_EXEC, TW_HOW_CLOEXEC, true);
	return 0;
}

/*
 * Comes before the files are closed. signal->live is decremented before the
 * tracepoint; 0: the last thread.
 */
SEC("?tp_btf/sched_process_exit")
int BPF_PROG(tp_process_exit, struct task_struct *p)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct files_struct *files;
	__u32 users, flags;
	__u64 table;

	if (!proc_may_hold(tgid))
		return 0;
	files = BPF_CORE_READ(task, files);
	table = (__u64)files;
	users = files ? BPF_CORE_READ(files, count.counter) : 0;
	if (!BPF_CORE_READ(task, signal, live.counter)) {
		/* threads that are just ending may have it still */
		flags = users > (__u32)BPF_CORE_READ(task, signal, nr_threads) ? TW_F_SHARED : 0;
		task_fact(TW_TASK_EXIT, (__u64)task, table, flags | TW_F_LAST_THREAD, TW_HOW_EXIT, bpf_ktime_get_boot_ns());
		bpf_map_delete_elem(&procs, &tgid);
		return 0;
	}
	/* the leader may leave the table to another process, while a thread with its own lives on */
	if (task == leader ? BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT : table == (__u64)BPF_CORE_READ(leader, files))
		return 0;
	/* its only user: nobody can come to it any more */
	if (users)
		task_fact(TW_TASK_EXIT, (__u64)task, table, users == 1 ? TW_F_GONE : 0, TW_HOW_EXIT, bpf_ktime_get_boot_ns());
	return 0;
}

/* --- unshare(CLONE_FILES), close_range(CLOSE_RANGE_UNSHARE): no copy without these calls -------- */

static __always_inline int on_unshared(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	own_table(TW_HOW_OTHER, TW_HOW_CLOSE, BPF_CORE_READ(task, signal, nr_threads) == 1);
	return 0;
}

SEC("?fexit/ksys_unshare")
int BPF_PROG(fexit_unshare, unsigned long flags, int ret)
{
	if (!ret && flags & CLONE_FILES && proc_may_hold(bpf_get_current_pid_tgid() >> 32))
		return on_unshared();
	return 0;
}

static __always_inline int unshare_begin(void)
{
	__u64 key = bpf_get_current_pid_tgid() | INFLIGHT_UNSHARE;
	struct tw_inflight in = {};

	if (proc_may_hold(bpf_get_current_pid_tgid() >> 32))
		bpf_map_update_elem(&inflight, &key, &in, BPF_ANY);
	return 0;
}

static __always_inline int unshare_end(int ret)
{
	__u64 key = bpf_get_current_pid_tgid() | INFLIGHT_UNSHARE;

	if (bpf_map_delete_elem(&inflight, &key) || ret)
		return 0;
	return on_unshared();
}

SEC("?kprobe/ksys_unshare")
int BPF_KPROBE(kprobe_unshare, unsigned long flags)
{
	return flags & CLONE_FILES ? unshare_begin() : 0;
}

SEC("?kretprobe/ksys_unshare")
int BPF_KRETPROBE(kretprobe_unshare, int ret)
{
	return unshare_end(ret);
}

/* The system call's wrappers take the caller's registers. Inlined below them in 7.x. */
#if defined(__TARGET_ARCH_x86)
#define CLOSE_RANGE "__x64_sys_close_range"
#define CLOSE_RANGE_32 "__ia32_sys_close_range"
#define FLAGS_64(regs) BPF_CORE_READ(regs, dx)
#define FLAGS_32(regs) BPF_CORE_READ(regs, dx) /* third argument of int 0x80, too */
#else
#define CLOSE_RANGE "__arm64_sys_close_range"
#define CLOSE_RANGE_32 "__arm64_sys_close_range" /* one for both */
#define FLAGS_64(regs) BPF_CORE_READ((struct user_pt_regs *)regs, regs[2])
#define FLAGS_32(regs) FLAGS_64(regs)
#endif

SEC("?fexit/" CLOSE_RANGE)
int BPF_PROG(fexit_close_range, struct pt_regs *regs, long ret)
{
	if (!ret && FLAGS_64(regs) & CLOSE_RANGE_UNSHARE && proc_may_hold(bpf_get_current_pid_tgid() >> 32))
		return on_unshared();
	return 0;
}

SEC("?kprobe/" CLOSE_RANGE)
int BPF_KPROBE(kprobe_close_range, struct pt_regs *regs)
{
	return FLAGS_64(regs) & CLOSE_RANGE_UNSHARE ? unshare_begin() : 0;
}

SEC("?kretprobe/" CLOSE_RANGE)
int BPF_KRETPROBE(kretprobe_close_range, long ret)
{
	return unshare_end(ret);
}

SEC("?fexit/" CLOSE_RANGE_32)
int BPF_PROG(fexit_close_range_32, struct pt_regs *regs, long ret)
{
	if (!ret && FLAGS_32(regs) & CLOSE_RANGE_UNSHARE && proc_may_hold(bpf_get_current_pid_tgid() >> 32))
		return on_unshared();
	return 0;
}

SEC("?kprobe/" CLOSE_RANGE_32)
int BPF_KPROBE(kprobe_close_range_32, struct pt_regs *regs)
{
	return FLAGS_32(regs) & CLOSE_RANGE_UNSHARE ? unshare_begin() : 0;
}

SEC("?kretprobe/" CLOSE_RANGE_32)
int BPF_KRETPROBE(kretprobe_close_range_32, long ret)
{
	return unshare_end(ret);
}
