// SPDX-License-Identifier: GPL-2.0-only
/*
 * scan.bpf.c - the iterator over all fds alone, for a look at what exists
 * without live hooks (`list`, `who`). Becomes a light skeleton: a BPF program
 * that loads this one, so that the kernel itself resolves the types (CO-RE in
 * the kernel: 5.17) and user space need not read and search its BTF, which
 * would take several times as long as the scan. user/scan_light.c falls back
 * on the large object.
 */
#define TW_SCAN_ONLY

#include "../vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "tapwatch.h"
#include "compat.bpf.h"
#include "common.bpf.h"

/* Nobody follows the fds of a single look. */
static __always_inline void slot_remember(__u64 table, __u32 fd, __u64 file, __u64 gen, __u32 tgid)
{
	(void)table;
	(void)fd;
	(void)file;
	(void)gen;
	(void)tgid;
}

#include "seed.bpf.c"

char LICENSE[] SEC("license") = "GPL";
