// SPDX-License-Identifier: GPL-2.0-only
/* seed_iter.c - the existing state by BPF iterators: exact, and touches nobody. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "hooks.h"
#include "loader.h"
#include "rtnl.h"
#include "seed_private.h"

struct scan {
	struct seed *s;
	struct seed_facts nsfds;	/* namespaces met as open fds */
};

static int on_fact(void *ctx, const struct tw_event *fact)
{
	struct scan *scan = ctx;
	int err;

	switch (fact->type) {
	case TW_FILE_RELEASE:
	case TW_VHOST:
		return seed_keep(&scan->s->dead, fact);
	case TW_SCAN_NSFD:
		for (size_t i = 0; i < scan->nsfds.n; i++)
			if (scan->nsfds.fact[i].dev.netns == fact->dev.netns)
				return 0;
		return seed_keep(&scan->nsfds, fact);
	case TW_SCAN_FD:
		scan->s->report->fds++;
	}
	err = bindings_apply(scan->s->b, fact);
	return err == -EINVAL ? 0 : err;
}

/* Namespaces that are alive only by somebody's open fd. */
static int dump_nsfds(struct scan *scan)
{
	for (size_t i = 0; i < scan->nsfds.n; i++) {
		const struct tw_event *fact = &scan->nsfds.fact[i];
		char path[64];
		struct netns_ref ref = {
			.inode = fact->dev.netns,
			.source = NETNS_FDS,
			.pid = (pid_t)fact->task.pid,
			.path = path,
		};
		int err;

		snprintf(path, sizeof(path), "/proc/%u/fd/%d", fact->task.pid, fact->fd);
		err = seed_dump_netns(scan->s, &ref);
		if (err)
			return err;
	}
	return 0;
}

static int keep_fact(void *ctx, const struct tw_event *fact)
{
	return seed_keep(ctx, fact);
}

/* The fds are read, then the live facts that came meanwhile are applied: they know how, and the look does not. */
static int scan_fds_and_drain(struct scan *scan)
{
	struct seed_facts facts = { 0 };
	int err = tracer_scan_fds(scan->s->t, keep_fact, &facts);

	if (!err)
		err = scan->s->drain(scan->s->drain_ctx);
	for (size_t i = 0; !err && i < facts.n; i++)
		err = on_fact(scan, &facts.fact[i]);
	free(facts.fact);
	return err;
}

/*
 * A tracer without iterators still gives the devices: better than nothing
 * after a loss. seed_read() asks beforehand.
 */
static int iter_scan(struct seed *s)
{
	bool fds = tracer_can_scan(s->t), files = fds && tracer_can_scan_files(s->t);
	unsigned int scope = SCAN_DEVICES | (fds ? SCAN_FDS : 0) | (files ? SCAN_FILES : 0);
	struct scan scan = { .s = s };
	int err;

	bindings_scan_begin(s->b, s->mode, scope, rtnl_boottime());
	/*
	 * Devices first: one that is met without a holder had its holder then,
	 * if any, and he is met later. The other way round, a device made in
	 * between would look as if nobody held it.
	 */
	err = seed_dump_all(s);
	if (!err)
		err = s->drain ? scan_fds_and_drain(&scan) : tracer_scan_fds(s->t, on_fact, &scan);
	if (err == -ENOTSUP)
		err = 0;
	if (!err && files)
		err = tracer_scan_files(s->t, on_fact, &scan);
	if (!err)
		err = dump_nsfds(&scan);
	free(scan.nsfds.fact);
	return err;
}

static bool iter_available(const struct tracer *t, char *reason, size_t size)
{
	char why[HOOK_REASON_LEN];

	if (t) {
		if (tracer_can_scan(t))
			return true;
		snprintf(reason, size, "the task_file iterator could not be loaded");
		return false;
	}
	if (!loader_try((const char *const[2]){ "iter_task_file" }, why, sizeof(why)))
		return true;
	snprintf(reason, size, "%s", why);
	return false;
}

int seed_holders(struct tracer *t, struct bindings *b)
{
	struct seed_report report = { 0 };
	struct seed s = { .t = t, .b = b, .report = &report };
	struct scan scan = { .s = &s };
	int err, told;

	bindings_scan_begin(b, SCAN_SEED, SCAN_FDS, rtnl_boottime());
	err = tracer_scan_fds(t, on_fact, &scan);
	told = bindings_scan_end(b);
	free(scan.nsfds.fact);
	free(s.dead.fact);
	return err ? err : told;
}

static int keep_fd(void *ctx, const struct tw_event *fact)
{
	return fact->type == TW_SCAN_FD ? seed_keep(ctx, fact) : 0;
}

int seed_tables(struct tracer *t, struct bindings *b, uint32_t pid, int (*drain)(void *ctx), void *ctx)
{
	struct seed_report report = { 0 };
	struct seed s = { .t = t, .b = b, .report = &report };
	struct scan scan = { .s = &s };
	struct seed_facts fds = { 0 };
	int err, told;

	bindings_scan_begin(b, SCAN_RESYNC, pid ? SCAN_PROCESS : SCAN_TABLES, rtnl_boottime());
	bindings_scan_process(b, pid);
	err = pid ? tracer_scan_process(t, pid, keep_fd, &fds) : tracer_scan_fds(t, keep_fd, &fds);
	if (!err)
		err = drain(ctx);
	for (size_t i = 0; !err && i < fds.n; i++)
		err = on_fact(&scan, &fds.fact[i]);
	free(fds.fact);
	if (err)
		bindings_scan_abort(b);
	told = bindings_scan_end(b);
	free(scan.nsfds.fact);
	free(s.dead.fact);
	return err ? err : told;
}

const struct seed_ops seed_iter_ops = {
	.name = "iter",
	.scan = iter_scan,
	.available = iter_available,
	.blind = "files without an fd (vhost-net, io_uring or a message under way has them) on no device, on a "
		 "disabled queue or on a macvtap or ipvtap, unless live tracing saw them before",
};
