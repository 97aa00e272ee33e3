/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tracer.h - the running BPF side: chosen backend, attached hooks, ring
 * buffer, scans. Facts go out through callbacks; nothing is concluded here.
 */
#ifndef TW_TRACER_H
#define TW_TRACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/tapwatch.h"
#include "hooks.h"

struct slot;

/* Non-zero stops a scan and is returned; for the ring it is ignored. */
typedef int (*fact_fn)(void *ctx, const struct tw_event *fact);

struct tracer;

struct tracer_options {
	enum backend backend;	/* BACKEND_AUTO: the first that works */
	size_t ring_bytes;	/* 0: the default; else a power of two, at least a page */
	bool scan_only;		/* no live hooks: only the scans are of use */
	struct tracer *after;	/* take over the memory of files and devices of this one; NULL: none */
};

/*
 * Loads and attaches. 0, or a negative errno and a sentence that completes
 * "tapwatch: …". From success on, facts pile up in the ring.
 */
int tracer_open(struct tracer **out, const struct tracer_options *options, char *err, size_t errsize);
void tracer_close(struct tracer *t);

enum backend tracer_backend(const struct tracer *t);
const struct hook_result *tracer_hooks(const struct tracer *t);	/* hooks_len of them */
bool tracer_can_scan(const struct tracer *t);
bool tracer_can_scan_files(const struct tracer *t);

int tracer_ring_fd(const struct tracer *t);			/* to poll */
/* What is in the ring, or the first part of it if that is much (the fd stays readable); number, or negative errno. */
int tracer_read(struct tracer *t, fact_fn fn, void *ctx);
bool tracer_has_more(const struct tracer *t);			/* the last call read the first part only */

/* Facts lost for want of room, and sanity checks that failed, since the start. */
uint64_t tracer_lost(const struct tracer *t);
uint64_t tracer_guards(const struct tracer *t);
uint64_t tracer_skipped(const struct tracer *t);	/* calls of hooks that the kernel left out; costs a system call for each hook */

/* TW_SCAN_FD per fd of a tun file, of all processes; TW_SCAN_NSFD per nsfs fd. -ENOTSUP without the iterator. */
int tracer_scan_fds(struct tracer *t, fact_fn fn, void *ctx);
/* The same of one process, all its threads. */
int tracer_scan_process(struct tracer *t, uint32_t pid, fact_fn fn, void *ctx);
/* All fds were scanned once: from now on the programs need not look at processes that were not met. */
void tracer_seeded(struct tracer *t);
/* TW_SCAN_FILE per living file known; for those that died unseen TW_FILE_RELEASE or TW_VHOST. */
int tracer_scan_files(struct tracer *t, fact_fn fn, void *ctx);
/* Only those that died unseen. */
int tracer_scan_dead_files(struct tracer *t, fact_fn fn, void *ctx);

/* Tracepoint backend: what the programs may forget. The address may be another file's by now: hence `gen`. */
void tracer_forget_file(struct tracer *t, uint64_t addr, uint64_t gen);
/* Addresses of tables and files are reused at once: only what is still this process's is forgotten. */
void tracer_forget_slot(struct tracer *t, const struct slot *slot, uint32_t pid);

#endif /* TW_TRACER_H */
