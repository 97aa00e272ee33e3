/* SPDX-License-Identifier: GPL-2.0-only */
/* scan_light.h - the iterators over all fds and files, loaded the quick way. */
#ifndef TW_SCAN_LIGHT_H
#define TW_SCAN_LIGHT_H

#include <stdint.h>

/*
 * Loads and attaches bpf/scan.bpf.c. Returns the fd of the link, which keeps
 * all of it alive; or a negative errno, also where only the kernel is too old
 * for it (before 5.17). `files` gets another link, of the iterator over the
 * files that the first one left known; -1 without. `self_tgid` as in
 * bpf/common.bpf.h.
 */
int scan_light_open(uint32_t self_tgid, int *files);

#endif
