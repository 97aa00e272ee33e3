// SPDX-License-Identifier: GPL-2.0-only
/*
 * fd.bpf.c - file tables: an fd comes (fd_install, do_dup2) and goes (close,
 * dup2 over it, the end of its table). These are hot paths of every process
 * on the host: a file that is no tun file costs some loads and a comparison,
 * no helper, no map, no ring. What processes do to whole tables (fork, exec,
 * exit) is in process.bpf.c.
 *
 * So a program consists of the comparison, and of a function that is not
 * inlined for the rest: the registers that the rest needs would be saved for
 * every file. Most of what is left is the kernel's own way to a program, some
 * 140 instructions at a function's entry, 250 where its return is hooked.
 */

/* Character devices have a number, other files 0. Of ours none is less: neither /dev/null nor any file costs more. */
static __always_inline bool may_be_our_rdev(__u32 rdev)
{
	return __builtin_expect(rdev >= TW_LEAST_RDEV, 0);
}

/*
 * The device number of the file in a slot, by plain loads: a helper for each
 * would cost almost as much as the hook. The verifier has to be told what a
 * slot is (since 6.2): slot_type is the BTF id of poll_table_entry, which has
 * one at its beginning. Where there is no file such loads read 0.
 */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

static __always_inline __u32 slot_rdev(const struct files_struct *table, __u32 fd)
{
	const struct fdtable *fdt = table->fdt;
	const struct poll_table_entry *slot;

	if (fd >= fdt->max_fds)
		return 0;
	slot = bpf_rdonly_cast(fdt->fd + fd, slot_type);
	return slot->filp->f_inode->i_rdev;
}

/* By what the current thread gets an fd for a file that was there before. */
static __always_inline __u32 receiving(void)
{
	__u64 key = bpf_get_current_pid_tgid() | INFLIGHT_RECEIVE;
	struct tw_inflight *in = bpf_map_lookup_elem(&inflight, &key);
	__u32 how = in ? in->cmd : TW_HOW_DUP;

	/* security_file_receive() counts for the one that follows; the others end by themselves */
	if (how == TW_HOW_OTHER)
		bpf_map_delete_elem(&inflight, &key);
	return how;
}

/* May others than the threads of this process use its table? They would hold what it holds. */
static __always_inline bool may_be_shared(const struct files_struct *table)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(table, count.counter) != BPF_CORE_READ(task, signal, nr_threads);
}

/* Returns whether it was the first fd of the file. */
static __always_inline bool fd_tell(__u32 type, const struct files_struct *table, __s32 fd, const struct file *file,
				    __u32 how)
{
	struct tw_file_entry *entry = file_entry((__u64)file);
	struct tw_event *e;
	__u32 fresh = 0;

	if (type == TW_FD_INSTALL) {
		proc_remember(bpf_get_current_pid_tgid() >> 32);
		/* one that was met without an fd (in a message under way) is no new one: whoever refers to it still does */
		if (entry && !entry->announced) {
			entry->announced = 1;
			fresh = compat_file_refs(file) == 1;
			/* not set yet when the open began */
			entry->priv = (__u64)BPF_CORE_READ(file, private_data);
		}
	}
	e = event_reserve(type);
	if (!e)
		return fresh;
	fill_current(e);
	fill_file(e, file, entry ? entry->gen : 0);
	if (fresh)
		e->flags |= TW_F_NEW_FILE;
	else
		e->how = how;
	if (type == TW_FD_INSTALL && may_be_shared(table))
		e->flags |= TW_F_SHARED;
	e->table = (__u64)table;
	e->has |= TW_HAS_TABLE;
	if (fd >= 0) {
		e->fd = fd;
		e->has |= TW_HAS_FD;
	}
	bpf_ringbuf_submit(e, 0);
	return fresh;
}

/* The fd becomes visible right after: a close of it can only follow. */
static __noinline int on_install(__u32 fd, const struct file *file, __u32 rdev)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	bool fresh;

	if (!is_our_rdev(rdev) || BPF_CORE_READ(file, f_mode) & TW_FMODE_PATH)
		return 0;
	fresh = fd_tell(TW_FD_INSTALL, BPF_CORE_READ(task, files), fd, file, receiving());
	/* a /dev/tapN is bound by its open, which no notifier tells */
	if (fresh && is_tap_rdev(rdev))
		binding_tell(file, 0, 0);
	return 0;
}

SEC("?fentry/fd_install")
int BPF_PROG(fentry_fd_install, unsigned int fd, struct file *file)
{
	__u32 rdev = file->f_inode->i_rdev;

	return may_be_our_rdev(rdev) ? on_install(fd, file, rdev) : 0;
}

SEC("?kprobe/fd_install")
int BPF_KPROBE(kprobe_fd_install, unsigned int fd, struct file *file)
{
	__u32 rdev = file_rdev(file);

	return may_be_our_rdev(rdev) ? on_install(fd, file, rdev) : 0;
}

/*
 * dup2, dup3, and whoever else chooses the number (seccomp's ADDFD). Called
 * with file_lock held: what is in the slot now is what will be replaced. One
 * that is reserved by an open under way makes it fail (EBUSY).
 */
static __noinline int on_dup2(const struct files_struct *table, const struct file *file, __u32 fd)
{
	const struct file *victim = table_file(table, fd);
	bool ours = is_tun_file(file);

	if (victim == file || (!victim && (!ours || table_reserved(table, fd))))
		return 0;
	if (victim && is_tun_file(victim))
		fd_tell(TW_FD_CLOSE, table, fd, victim, TW_HOW_DUP);
	if (ours)
		fd_tell(TW_FD_INSTALL, table, fd, file, receiving());
	return 0;
}

SEC("?fentry/do_dup2")
int BPF_PROG(fentry_dup2, struct files_struct *table, struct file *file, unsigned int fd)
{
	if (!may_be_our_rdev(file->f_inode->i_rdev) && !may_be_our_rdev(slot_rdev(table, fd)))
		return 0;
	return on_dup2(table, file, fd);
}

SEC("?fentry/do_dup2")
int BPF_PROG(fentry_dup2_old, struct files_struct *table, struct file *file, unsigned int fd)
{
	struct file **slots = table->fdt->fd, *victim = NULL;

	if (!may_be_our_rdev(file->f_inode->i_rdev) &&
	    !bpf_probe_read_kernel(&victim, sizeof(victim), slots + fd) && !victim)
		return 0;
	return on_dup2(table, file, fd);
}

SEC("?kprobe/do_dup2")
int BPF_KPROBE(kprobe_dup2, struct files_struct *table, struct file *file, unsigned int fd)
{
	return on_dup2(table, file, fd);
}

/*
 * Explicit closes (close, close_range) take the file out of the slot in
 * file_close_fd_locked (since 6.8), or pick_file. At the entry it is still
 * there: what is in the slot now is what will be taken out of it.
 */
static __noinline int on_close(const struct files_struct *table, __u32 fd, const struct file *file)
{
	if (file && is_tun_file(file))
		fd_tell(TW_FD_CLOSE, table, fd, file, TW_HOW_CLOSE);
	return 0;
}

static __noinline int on_close_slot(const struct files_struct *table, __u32 fd)
{
	return on_close(table, fd, table_file(table, fd));
}

SEC("?fentry/file_close_fd_locked")
int BPF_PROG(fentry_fd_close, struct files_struct *table, unsigned int fd)
{
	return may_be_our_rdev(slot_rdev(table, fd)) ? on_close_slot(table, fd) : 0;
}

/*
 * Kernels with pick_file may lack the cast: its return value is the cheapest
 * way to the file then. For an empty slot it is NULL or an ERR_PTR, depending
 * on the kernel, which reads as zeroes.
 */
SEC("?fexit/pick_file")
int BPF_PROG(fexit_fd_close_old, struct files_struct *table, unsigned int fd, struct file *file)
{
	if (!file || !may_be_our_rdev(file->f_inode->i_rdev))
		return 0;
	return on_close(table, fd, file);
}

SEC("?kprobe/file_close_fd_locked")
int BPF_KPROBE(kprobe_fd_close, struct files_struct *table, unsigned int fd)
{
	return on_close_slot(table, fd);
}

SEC("?kprobe/pick_file")
int BPF_KPROBE(kprobe_fd_close_old, struct files_struct *table, unsigned int fd)
{
	return on_close_slot(table, fd);
}

/*
 * The end of a table: its last user gone, close_files() passes every file
 * through filp_close(). Mostly that is a process that ends
 * (sched_process_exit comes before that, while the files are still open); it
 * may as well be one that left a shared table, or (5.10) one that looked into
 * it by /proc. Nobody else comes here with a table that has no users.
 *
 * And exec closes here, some time before sched_process_exec, what is not to
 * survive it (do_close_on_exec()): the file may be gone by then. Which fd it
 * was the table does not tell any more.
 */
static __noinline int on_filp_close(const struct file *file, __u64 table)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 how = TW_HOW_EXIT;

	if (!table || !is_tun_file(file))
		return 0;
	if (BPF_CORE_READ((struct files_struct *)table, count.counter)) {
		if (!BPF_CORE_READ_BITFIELD_PROBED(task, in_execve))
			return 0;
		how = TW_HOW_CLOEXEC;
	}
	fd_tell(TW_TABLE_EXIT, (void *)table, -1, file, how);
	return 0;
}

SEC("?fentry/filp_close")
int BPF_PROG(fentry_filp_close, struct file *file, void *id)
{
	return may_be_our_rdev(file->f_inode->i_rdev) ? on_filp_close(file, (__u64)id) : 0;
}

SEC("?kprobe/filp_close")
int BPF_KPROBE(kprobe_filp_close, struct file *file, void *id)
{
	return may_be_our_rdev(file_rdev(file)) ? on_filp_close(file, (__u64)id) : 0;
}

/* --- by what a file comes that was there before -------------------------------- */

static __always_inline void receive_begin(__u32 how)
{
	__u64 key = bpf_get_current_pid_tgid() | INFLIGHT_RECEIVE;
	struct tw_inflight in = { .cmd = how };

	bpf_map_update_elem(&inflight, &key, &in, BPF_ANY);
}

static __always_inline int receive_end(void)
{
	__u64 key = bpf_get_current_pid_tgid() | INFLIGHT_RECEIVE;

	bpf_map_delete_elem(&inflight, &key);
	return 0;
}

#define SCM_MAX_FD 253 /* include/net/scm.h */

/* A global function: the verifier looks at it once, not for every fd that a message may carry. */
__noinline int is_our_file_at(__u64 at)
{
	struct file *file = NULL;

	return !bpf_probe_read_kernel(&file, sizeof(file), (void *)at) && is_our_rdev(file_rdev(file));
}

/* Files from a message are given fds. Only messages with a file of ours are of interest. */
static __always_inline int on_scm_enter(const struct scm_cookie *scm)
{
	struct scm_fp_list *list = BPF_CORE_READ(scm, fp);
	int count = BPF_CORE_READ(list, count);

	for (int i = 0; i < SCM_MAX_FD; i++) {
		if (i >= count)
			return 0;
		if (!is_our_file_at((__u64)list + bpf_core_field_offset(struct scm_fp_list, fp) + 8ULL * i))
			continue;
		receive_begin(TW_HOW_SCM_RIGHTS);
		return 0;
	}
	return 0;
}

SEC("?fentry/scm_detach_fds")
int BPF_PROG(fentry_scm, void *msg, struct scm_cookie *scm)
{
	return on_scm_enter(scm);
}

SEC("?fexit/scm_detach_fds")
int BPF_PROG(fexit_scm)
{
	return receive_end();
}

SEC("?kprobe/scm_detach_fds")
int BPF_KPROBE(kprobe_scm, void *msg, struct scm_cookie *scm)
{
	return on_scm_enter(scm);
}

SEC("?kretprobe/scm_detach_fds")
int BPF_KRETPROBE(kretprobe_scm)
{
	return receive_end();
}

SEC("?fentry/pidfd_getfd")
int BPF_PROG(fentry_getfd)
{
	receive_begin(TW_HOW_PIDFD_GETFD);
	return 0;
}

SEC("?fexit/pidfd_getfd")
int BPF_PROG(fexit_getfd)
{
	return receive_end();
}

SEC("?kprobe/pidfd_getfd")
int BPF_KPROBE(kprobe_getfd)
{
	receive_begin(TW_HOW_PIDFD_GETFD);
	return 0;
}

SEC("?kretprobe/pidfd_getfd")
int BPF_KRETPROBE(kretprobe_getfd)
{
	return receive_end();
}

/* Every way to receive a file asks the security modules. Those that are not known yet are `other`: seccomp, io_uring. */
static __noinline int on_receive(const struct file *file)
{
	__u64 key = bpf_get_current_pid_tgid() | INFLIGHT_RECEIVE;

	if (is_our_rdev(file_rdev(file)) && !bpf_map_lookup_elem(&inflight, &key))
		receive_begin(TW_HOW_OTHER);
	return 0;
}

SEC("?fentry/security_file_receive")
int BPF_PROG(fentry_receive, struct file *file)
{
	return may_be_our_rdev(file->f_inode->i_rdev) ? on_receive(file) : 0;
}

SEC("?kprobe/security_file_receive")
int BPF_KPROBE(kprobe_receive, struct file *file)
{
	return on_receive(file);
}
