/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * history_machines.h - made-up virtual machines come and go: the facts that a
 * kernel would report of them, and what /proc would tell. They are made by
 * another process and come through a ring in shared memory, as those of the
 * kernel do, so that making them up is no work of the one who records.
 */
#ifndef TW_HISTORY_MACHINES_H
#define TW_HISTORY_MACHINES_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../user/process.h"

#define MANAGER 900	/* pid of the one who makes the devices */

/* What /proc would tell of a process. Its pointers are set by whoever reads it: describe_bind(). */
struct described {
	uint32_t pid;
	size_t cmdline_len;
	struct vm vm;
	struct process_info info;
	char exe[64], cgroup[96], name[32], uuid[40], cmdline[2048];
};

struct made_fact {
	struct tw_event fact;	/* but for its time */
	int text;		/* of its process, among those of the block; -1: it is the manager's */
	bool last;		/* of a machine's start, and of the end of the one that goes for it */
};

#define BLOCK_MACHINES	16
#define BLOCK_FACTS	(16 * BLOCK_MACHINES)
#define BLOCK_TEXTS	(2 * BLOCK_MACHINES)
#define BLOCKS		4

struct block {
	unsigned n;
	struct made_fact facts[BLOCK_FACTS];
	struct described texts[BLOCK_TEXTS];
};

struct machines_options {
	uint64_t alive, names, first, cmdline_len;
};

struct machines {
	sem_t full, free;
	struct block blocks[BLOCKS];
};

/* Begins to make them, in a process that ends with this one. NULL: no memory. */
struct machines *machines_make(const struct machines_options *options, int *pid);

void describe_machine(struct described *d, uint64_t cmdline_len, uint32_t pid);
void describe_manager(struct described *d);
void describe_bind(struct described *d);

#endif /* TW_HISTORY_MACHINES_H */
