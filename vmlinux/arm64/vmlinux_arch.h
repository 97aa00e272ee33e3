/* SPDX-License-Identifier: GPL-2.0-only */
/* aarch64. user_pt_regs is ABI; pt_regs begins with it and goes on with orig_x0, syscallno. */
struct user_pt_regs {
	unsigned long long regs[31];
	unsigned long long sp, pc, pstate;
};

struct pt_regs {
	struct user_pt_regs user_regs;
	unsigned long long orig_x0;
	int syscallno;
} __attribute__((preserve_access_index));

struct thread_info {
	unsigned long flags;
} __attribute__((preserve_access_index));
