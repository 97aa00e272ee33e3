/* SPDX-License-Identifier: GPL-2.0-only */
/* scan_light.h - the iterator over all fds and the look at files, loaded the quick way. */
#ifndef TW_SCAN_LIGHT_H
#define TW_SCAN_LIGHT_H

#include <stdint.h>

#include "known_files.h"

struct scan_light;

/*
 * Loads and attaches bpf/scan.bpf.c. NULL, also where only the kernel is too
 * old for it (before 5.17). `self_tgid` as in bpf/common.bpf.h.
 */
struct scan_light *scan_light_open(uint32_t self_tgid);
void scan_light_close(struct scan_light *s);

int scan_light_fds(const struct scan_light *s);		/* fd of the iterator's link */
/* The files that the iterator left known. Valid until the end. */
const struct known_files *scan_light_files(const struct scan_light *s);

#endif
