// SPDX-License-Identifier: GPL-2.0-only
/* seed.c - the back-ends that read what exists, the choice among them, and what is common to all. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "escape.h"
#include "rtnl.h"
#include "seed_private.h"

static const struct seed_ops *const ops[] = {
	[SEED_ITER] = &seed_iter_ops,
	[SEED_PIDFD] = &seed_pidfd_ops,
	[SEED_PTRACE] = &seed_ptrace_ops,
	[SEED_FDINFO] = &seed_fdinfo_ops,
	[SEED_NONE] = NULL,
};

/* What `auto` tries, in this order. ptrace stops processes: it wants to be named. */
static const enum seed_backend automatic[] = { SEED_ITER, SEED_PIDFD, SEED_FDINFO };
#define N_AUTOMATIC (sizeof(automatic) / sizeof(automatic[0]))

const char *seed_name(enum seed_backend seed)
{
	return seed == SEED_AUTO ? "auto" : seed == SEED_NONE ? "none" : ops[seed]->name;
}

int seed_by_name(const char *word)
{
	for (int i = SEED_AUTO; i <= SEED_NONE; i++)
		if (!strcmp(word, seed_name((enum seed_backend)i)))
			return i;
	return -1;
}

/* ---- report ---- */

void seed_note(struct seed *s, const char *format, ...)
{
	struct seed_report *r = s->report;
	va_list ap;
	int len;

	if (r->n_notes == SEED_NOTES_MAX) {
		r->notes_left_off++;
		return;
	}
	va_start(ap, format);
	len = vasprintf(&r->notes[r->n_notes], format, ap);
	va_end(ap);
	if (len < 0)
		r->notes_left_off++;
	else
		r->n_notes++;
}

const char *seed_word(char out[4 * TW_NAME_LEN + 1], const char *name)
{
	escape_term(out, ESCAPE_SIZE(TW_NAME_LEN), name, TW_NAME_LEN);
	return out;
}

void seed_append(char *text, size_t size, const char *format, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + len, size - len, format, ap);
	va_end(ap);
}

void seed_report_free(struct seed_report *report)
{
	for (size_t i = 0; i < report->n_notes; i++)
		free(report->notes[i]);
	memset(report, 0, sizeof(*report));
}

/* ---- devices ---- */

int seed_keep(struct seed_facts *list, const struct tw_event *fact)
{
	if (ARRAY_ROOM(list->fact, list->room, list->n + 1))
		return -ENOMEM;
	list->fact[list->n++] = *fact;
	return 0;
}

bool seed_netns_dumped(const struct seed *s, uint32_t inode)
{
	for (size_t i = 0; i < s->n_netns; i++)
		if (s->netns[i] == inode)
			return true;
	return false;
}

static int on_device(void *ctx, const struct tw_event *fact)
{
	struct seed *s = ctx;
	int err = bindings_apply(s->b, fact);

	s->report->devices++;
	if (err && err != -EINVAL)
		return err;
	return s->want_devs ? seed_keep(&s->devs, fact) : 0;
}

int seed_dump_netns(struct seed *s, const struct netns_ref *ref)
{
	uint32_t *grown;
	int err;

	if (seed_netns_dumped(s, ref->inode))
		return 0;
	err = rtnl_dump_links(ref, on_device, s);
	if (err == -EPERM || err == -EACCES)
		seed_note(s, "network namespace %u: cannot look into it: %s", ref->inode, strerror(-err));
	/* gone meanwhile, or not ours to enter: what is in it is then not concluded gone either */
	if (err)
		return err == -ENOMEM ? err : 0;
	grown = reallocarray(s->netns, s->n_netns + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->netns = grown;
	grown[s->n_netns++] = ref->inode;
	s->report->namespaces++;
	return bindings_scan_netns(s->b, ref->inode);
}

static int on_netns(void *ctx, const struct netns_ref *ref)
{
	return seed_dump_netns(ctx, ref);
}

int seed_dump_all(struct seed *s)
{
	return netns_each(NETNS_CHEAP, on_netns, s);
}

int seed_dump_again(struct seed *s, const struct netns_ref *ref)
{
	size_t kept = 0;
	int err;

	if (!seed_netns_dumped(s, ref->inode))
		return seed_dump_netns(s, ref);
	for (size_t i = 0; i < s->devs.n; i++) {
		if (s->devs.fact[i].dev.netns == ref->inode)
			s->report->devices--;
		else
			s->devs.fact[kept++] = s->devs.fact[i];
	}
	/* seed_keep() takes the array's size from the number in it */
	if (kept < s->devs.n) {
		struct seed_facts old = s->devs;

		s->devs = (struct seed_facts){ 0 };
		err = 0;
		for (size_t i = 0; !err && i < kept; i++)
			err = seed_keep(&s->devs, &old.fact[i]);
		free(old.fact);
		if (err)
			return err;
	}
	err = rtnl_dump_links(ref, on_device, s);
	return err == -ENOMEM ? err : 0;
}

/* ---- one run ---- */

/*
 * A file found dead that is not known yet lived so shortly that its open still
 * waits in the ring: later. And one that is held, as far as is known: the close
 * has not returned, or the review will find out that nobody has it.
 */
static bool is_early(const struct seed *s, const struct tw_event *fact)
{
	const struct file *file = bindings_file(s->b, fact->file.gen);

	return fact->type == TW_FILE_RELEASE && (!file || (s->mode == SCAN_REVIEW && file->holders));
}

static int run(struct seed *s, enum seed_backend which)
{
	int err, told;

	err = ops[which]->scan(s);
	if (err)
		bindings_scan_abort(s->b);
	told = bindings_scan_end(s->b);
	for (size_t i = 0; i < s->dead.n; i++) {
		const struct tw_event *fact = &s->dead.fact[i];

		if (is_early(s, fact))
			continue;
		bindings_apply(s->b, fact);
		tracer_forget_file(s->t, fact->type == TW_VHOST ? fact->vhost.owner : fact->file.addr,
				   fact->file.gen);
	}
	free(s->dead.fact);
	free(s->devs.fact);
	free(s->netns);
	if (!err)
		s->report->used = which;
	return err ? err : told;
}

static int read_one(enum seed_backend which, struct tracer *t, struct bindings *b, enum scan_mode mode,
		    struct seed_report *report)
{
	struct tracer_options scan_only = { .backend = BACKEND_AUTO, .scan_only = true };
	struct seed s = { .t = t, .b = b, .mode = mode, .report = report };
	struct tracer *own = NULL;
	int ret;

	if (which == SEED_ITER && !t) {
		ret = tracer_open(&own, &scan_only, report->reason, sizeof(report->reason));
		if (ret)
			return ret == -ENOMEM ? ret : -ENOTSUP;
		s.t = own;
	}
	if (which == SEED_ITER ? tracer_can_scan(s.t) :
	    ops[which]->available(NULL, report->reason, sizeof(report->reason))) {
		ret = run(&s, which);
		if (ret < 0 && !report->reason[0])
			snprintf(report->reason, sizeof(report->reason), "%s", strerror(-ret));
	} else {
		if (which == SEED_ITER)
			snprintf(report->reason, sizeof(report->reason), "the task_file iterator does not work here");
		ret = -ENOTSUP;
	}
	tracer_close(own);
	return ret;
}

int seed_read(enum seed_backend which, struct tracer *t, struct bindings *b, enum scan_mode mode,
	      struct seed_report *report)
{
	struct seed_report scratch = { 0 };
	struct seed s = { .report = report ? report : &scratch };
	int ret = -ENOTSUP;

	if (which == SEED_NONE)
		return 0;
	for (size_t i = 0; i < (which == SEED_AUTO ? N_AUTOMATIC : 1) && ret == -ENOTSUP; i++) {
		enum seed_backend one = which == SEED_AUTO ? automatic[i] : which;

		s.report->reason[0] = '\0';
		ret = read_one(one, t, b, mode, s.report);
		if (ret == -ENOTSUP && which == SEED_AUTO)
			seed_note(&s, "seed %s does not work here: %s", seed_name(one), s.report->reason);
	}
	if (ret >= 0)
		s.report->reason[0] = '\0';
	seed_report_free(&scratch);
	return ret;
}

int seed_all(struct tracer *t, struct bindings *b, enum scan_mode mode)
{
	struct seed_report report = { 0 };
	struct seed s = { .t = t, .b = b, .mode = mode, .report = &report };
	int ret = run(&s, SEED_ITER);

	seed_report_free(&report);
	return ret;
}

int seed_review(struct tracer *t, struct bindings *b, enum scan_mode mode, int (*drain)(void *ctx), void *ctx)
{
	struct seed_report report = { 0 };
	struct seed s = { .t = t, .b = b, .mode = mode, .report = &report, .drain = drain, .drain_ctx = ctx };
	int ret = run(&s, SEED_ITER);

	seed_report_free(&report);
	return ret;
}

/* ---- for check ---- */

bool seed_available(enum seed_backend which, const struct tracer *t, char *reason, size_t size)
{
	reason[0] = '\0';
	if (which != SEED_AUTO)
		return which == SEED_NONE || ops[which]->available(t, reason, size);
	for (size_t i = 0; i < N_AUTOMATIC; i++)
		if (ops[automatic[i]]->available(t, reason, size))
			return true;
	return false;
}

const char *seed_blind(enum seed_backend which)
{
	return which == SEED_AUTO || which == SEED_NONE ? "" : ops[which]->blind;
}

void seed_blind_here(enum seed_backend which, char *text, size_t size)
{
	text[0] = '\0';
	if (which != SEED_AUTO && which != SEED_NONE && ops[which]->blind_here)
		ops[which]->blind_here(text, size);
}
