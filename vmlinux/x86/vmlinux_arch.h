/* SPDX-License-Identifier: GPL-2.0-only */
/* x86-64. Order and names of pt_regs are ABI (ptrace, kprobe context): no relocation. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

struct thread_info {
	unsigned long flags;
	unsigned int status;
} __attribute__((preserve_access_index));

#define TW_TS_COMPAT 0x2 /* arch/x86/include/asm/thread_info.h: TS_COMPAT */
