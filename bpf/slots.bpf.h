/* SPDX-License-Identifier: GPL-2.0-only */
/* slots.bpf.h - what the tracepoint backend remembers of file tables: it sees a close only of slots that it knows. */
#ifndef TW_SLOTS_BPF_H
#define TW_SLOTS_BPF_H

/* One slot of a table that held a tun file when it was last seen. */
struct tw_slot {
	__u64 table;
	__u32 fd;
	__u32 pad;
};

struct tw_slot_file {
	__u64 file;	/* struct file* */
	__u64 gen;	/* which one: addresses of files are used again before the close of a dead one has returned */
	__u32 tgid;	/* whose it is; addresses of tables are used again before the dead are buried */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct tw_slot);
	__type(value, struct tw_slot_file);
} slots SEC(".maps");

static __always_inline void slot_remember(__u64 table, __u32 fd, __u64 file, __u64 gen, __u32 tgid)
{
	struct tw_slot slot = { .table = table, .fd = fd };
	struct tw_slot_file value = { .file = file, .gen = gen, .tgid = tgid };

	bpf_map_update_elem(&slots, &slot, &value, BPF_ANY);
	__sync_fetch_and_add(&counters.tracked, 1);
}

#endif
