// SPDX-License-Identifier: GPL-2.0-only
/*
 * fd.bpf.c - file tables: an fd comes (fd_install) and goes (close, exit).
 * These are the hot paths of every process on the host: a file that is no
 * tun file costs two loads and a comparison, no map, no ring.
 *
 * dup2, fork and exec change tables by other ways; they are not hooked yet.
 */

/* Returns whether it was the first fd of the file. */
static __always_inline bool fd_tell(__u32 type, const struct files_struct *table, __s32 fd, const struct file *file)
{
	struct tw_file_entry *entry = file_entry((__u64)file);
	struct tw_event *e;
	__u32 fresh = 0;

	if (entry && type == TW_FD_INSTALL && !entry->announced) {
		entry->announced = fresh = 1;
		/* not set yet when the open began */
		entry->priv = (__u64)BPF_CORE_READ(file, private_data);
	}
	e = event_reserve(type);
	if (!e)
		return fresh;
	fill_current(e);
	fill_file(e, file, entry ? entry->gen : 0);
	if (fresh)
		e->flags |= TW_F_NEW_FILE;
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
static __always_inline int on_install(__u32 fd, const struct file *file)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	bool fresh;

	if (BPF_CORE_READ(file, f_mode) & TW_FMODE_PATH)
		return 0;
	fresh = fd_tell(TW_FD_INSTALL, BPF_CORE_READ(task, files), fd, file);
	/* a /dev/tapN is bound by its open, which no notifier tells */
	if (fresh && is_tap_rdev(file_rdev(file)))
		binding_tell(file, 0, 0);
	return 0;
}

SEC("?fentry/fd_install")
int BPF_PROG(fentry_fd_install, unsigned int fd, struct file *file)
{
	if (!is_our_rdev(file->f_inode->i_rdev))
		return 0;
	return on_install(fd, file);
}

SEC("?kprobe/fd_install")
int BPF_KPROBE(kprobe_fd_install, unsigned int fd, struct file *file)
{
	if (!is_our_rdev(file_rdev(file)))
		return 0;
	return on_install(fd, file);
}

/*
 * Explicit closes (close, close_range) take the file out of the slot here:
 * file_close_fd_locked since 6.7-ish, pick_file before. pick_file may return
 * NULL or an ERR_PTR for an empty slot, depending on the kernel.
 */
SEC("?fexit/file_close_fd_locked")
int BPF_PROG(fexit_fd_close, struct files_struct *table, unsigned int fd, struct file *file)
{
	if (!file || !is_our_rdev(file->f_inode->i_rdev))
		return 0;
	if (!(file->f_mode & TW_FMODE_PATH))
		fd_tell(TW_FD_CLOSE, table, fd, file);
	return 0;
}

SEC("?fexit/pick_file")
int BPF_PROG(fexit_fd_close_old, struct files_struct *table, unsigned int fd, struct file *file)
{
	/* an ERR_PTR reads as zeroes */
	if (!file || !is_our_rdev(file->f_inode->i_rdev))
		return 0;
	if (!(file->f_mode & TW_FMODE_PATH))
		fd_tell(TW_FD_CLOSE, table, fd, file);
	return 0;
}

/* Entry only: what is in the slot now is what will be taken out of it. */
static __always_inline int on_close_slot(const struct files_struct *table, unsigned int fd)
{
	const struct file *file = table_file(table, fd);

	if (!file || !is_tun_file(file))
		return 0;
	fd_tell(TW_FD_CLOSE, table, fd, file);
	return 0;
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
 * A process that ends: close_files() passes every file of the table through
 * filp_close() in the last user's context, PF_EXITING set. (sched_process_exit
 * comes before that, while the files are still open.)
 */
static __always_inline int on_filp_close(const struct file *file, __u64 table)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (!(BPF_CORE_READ(task, flags) & TW_PF_EXITING) || !is_tun_file(file))
		return 0;
	fd_tell(TW_TABLE_EXIT, (void *)table, -1, file);
	return 0;
}

SEC("?fentry/filp_close")
int BPF_PROG(fentry_filp_close, struct file *file, void *id)
{
	if (!is_our_rdev(file->f_inode->i_rdev))
		return 0;
	return on_filp_close(file, (__u64)id);
}

SEC("?kprobe/filp_close")
int BPF_KPROBE(kprobe_filp_close, struct file *file, void *id)
{
	if (!is_our_rdev(file_rdev(file)))
		return 0;
	return on_filp_close(file, (__u64)id);
}
