/* SPDX-License-Identifier: GPL-2.0-only */
/* sandbox.h - giving up the system calls that a running recorder does not need. */
#ifndef TW_SANDBOX_H
#define TW_SANDBOX_H

/* For the rest of the process's life. 0 or a negative errno. */
int sandbox_enter(void);

#endif /* TW_SANDBOX_H */
