// SPDX-License-Identifier: GPL-2.0-only
/*
 * tapwatch.bpf.c - all programs, one object. None is loaded unless
 * user/hooks.c asks for it (SEC("?…")): which ones depends on the kernel.
 */
#include "../vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "tapwatch.h"
#include "compat.bpf.h"
#include "common.bpf.h"
#include "slots.bpf.h"

#include "device.bpf.c"
#include "queue.bpf.c"
#include "fd.bpf.c"
#include "process.bpf.c"
#include "syscalls.bpf.c"
#include "seed.bpf.c"

char LICENSE[] SEC("license") = "GPL";
