/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * live.h - the live view as an engine: starts a tracer, reads what exists,
 * keeps the state true, heals after loss. Changes come out of it in order.
 * watch and record are sinks on top of it.
 */
#ifndef TW_LIVE_H
#define TW_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "bindings.h"
#include "hooks.h"
#include "seed.h"
#include "tracer.h"

struct live_options {
	enum backend backend;
	enum seed_backend seed;
	size_t ring_bytes;		/* 0: default */
	const struct bindings_id_source *ids;	/* NULL: all objects get new ids */
	uint64_t first_device, first_file;	/* first new ids; 0: 1 */
};

struct live;

/*
 * Loads, attaches, reads the existing state. The sink gets an `exist` for
 * everything found and then `ready`; live_poll() gives it the changes. 0, or a
 * negative errno and a sentence to complete "tapwatch: …".
 */
int live_start(struct live **out, const struct live_options *options, change_fn sink, void *ctx,
	       char *err, size_t errsize);
void live_free(struct live *l);

/* Handles what comes for at most `timeout_ms` (-1: no limit) or until live_stop(). 0 or a negative errno. */
int live_poll(struct live *l, int timeout_ms);

/* An fd that is readable when live_poll() has something to do. */
int live_fd(const struct live *l);

const struct bindings *live_bindings(const struct live *l);
enum backend live_backend(const struct live *l);
enum seed_backend live_seed(const struct live *l);
const struct tracer *live_tracer(const struct live *l);

/* Totals, for -v and the end of a run. */
struct live_stats {
	uint64_t facts, lost, resyncs, guards;
	uint64_t skipped;	/* calls of hooks that the kernel left out, noticed and made up for */
	uint64_t rescans;	/* looks at the tables of one process or all, for what facts cannot tell */
};
struct live_stats live_stats(const struct live *l);

#endif /* TW_LIVE_H */
