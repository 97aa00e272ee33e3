/* SPDX-License-Identifier: GPL-2.0-only */
/* known_files.h - a look at each file that the BPF programs know (bpf/seed.bpf.c: look_at_file). */
#ifndef TW_KNOWN_FILES_H
#define TW_KNOWN_FILES_H

#include <stdbool.h>

#include "tracer.h"

struct known_files {
	int map;		/* fd of the map `files` */
	int program;		/* fd of look_at_file; -1: not to be had */
	const volatile struct tw_event *fact;	/* where it puts what it finds */
};

/*
 * TW_SCAN_FILE per living file (not with dead_only), TW_FILE_RELEASE or
 * TW_VHOST for those that died unseen. 0, what fn returned, or a negative
 * errno; -ENOTSUP without the program.
 */
int known_files_scan(const struct known_files *k, bool dead_only, fact_fn fn, void *ctx);

#endif /* TW_KNOWN_FILES_H */
