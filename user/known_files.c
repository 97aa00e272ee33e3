// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "known_files.h"

#define BATCH 256

static int look_at(const struct known_files *k, uint64_t addr, bool dead_only, fact_fn fn, void *ctx)
{
	uint64_t args[2] = { addr, dead_only };
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));
	struct tw_event fact;
	int err = bpf_prog_test_run_opts(k->program, &opts);

	if (err)
		return err < 0 ? err : -errno;
	if (!opts.retval)
		return 0;
	memcpy(&fact, (const void *)k->fact, sizeof(fact));
	return fn(ctx, &fact);
}

/* A bucket of the map comes whole or not at all, so one that is larger than the room that is left ends a batch. */
int known_files_scan(const struct known_files *k, bool dead_only, fact_fn fn, void *ctx)
{
	struct tw_file_entry entries[BATCH];
	uint64_t addrs[BATCH];
	uint32_t place, *from = NULL;

	if (k->program < 0)
		return -ENOTSUP;
	for (;;) {
		uint32_t n = BATCH;
		int err = bpf_map_lookup_batch(k->map, from, &place, addrs, entries, &n, NULL), ret = 0;

		/* ENOENT: these are the last */
		if (err && errno != ENOENT)
			return -errno;
		for (uint32_t i = 0; i < n && !ret; i++)
			ret = look_at(k, addrs[i], dead_only, fn, ctx);
		if (err || ret)
			return ret;
		from = &place;
	}
}
