/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * seed.h - reading the whole present state into a bindings machine, in one of
 * several ways (back-ends). Each has its own file and one row in seed.c.
 *
 * Functions return a negative errno on failure; none logs.
 */
#ifndef TW_SEED_H
#define TW_SEED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "bindings.h"
#include "tracer.h"

enum seed_backend { SEED_AUTO, SEED_ITER, SEED_PIDFD, SEED_PTRACE, SEED_FDINFO, SEED_NONE };
int seed_by_name(const char *word);		/* enum seed_backend, or -1 */
const char *seed_name(enum seed_backend seed);

#define SEED_NOTES_MAX 100

/* What a run of seed_read() did. Zero it before, but for the wishes; free what it holds after. */
struct seed_report {
	/*
	 * A wish: look at the fds of these processes only. Heeded by the
	 * back-ends that look at one process after the other, so not by iter.
	 * NULL: all.
	 */
	const pid_t *only;
	size_t n_only;
	enum seed_backend used;		/* SEED_AUTO: none was */
	size_t processes;		/* looked into; 0 where the back-end does not count them */
	size_t refused;			/* of them, those that we may not look into */
	size_t fds;			/* fds of tun files met */
	size_t devices;			/* devices met by the dumps */
	size_t namespaces;		/* dumped */
	size_t ambiguous;		/* fds whose device is known by its name only */
	char reason[256];		/* on failure: a sentence without the leading "cannot read the existing state: " */
	char *notes[SEED_NOTES_MAX];	/* for -v, a sentence each; text from outside is escaped */
	size_t n_notes;
	size_t notes_left_off;		/* there were more */
};
void seed_report_free(struct seed_report *report);

/*
 * Reads fds, files and devices of all namespaces and settles (see
 * bindings_scan_begin()). `which` may be SEED_AUTO: iter, pidfd, fdinfo are
 * tried in this order. `t` is used by iter; with NULL one that can only scan
 * is opened for the duration of the call. `report` may be NULL. Returns the
 * number of changes told, or a negative errno; -ENOTSUP when the back-end
 * does not work here.
 *
 * Only iter knows the files by the generation that live facts carry. The
 * others make generations up, so that bindings_apply() of a live fact cannot
 * tell that it is about one of theirs: they are for snapshots.
 */
int seed_read(enum seed_backend which, struct tracer *t, struct bindings *b, enum scan_mode mode,
	      struct seed_report *report);

/*
 * Does the back-end work here, with our privileges? If not, a reason.
 * SEED_ITER with `t` NULL is found out by loading its program.
 */
bool seed_available(enum seed_backend which, const struct tracer *t, char *reason, size_t size);

/* What a back-end can never see, and what it cannot see here and now (may be ""); sentences. */
const char *seed_blind(enum seed_backend which);
void seed_blind_here(enum seed_backend which, char *text, size_t size);

/* As seed_read(SEED_ITER, …) without a report. Facts of files that died unseen are applied after the scan. */
int seed_all(struct tracer *t, struct bindings *b, enum scan_mode mode);

/*
 * The tables of one process (pid 0: of all) afresh: what differs is told as
 * the change that must have happened. `drain` is called when they have been
 * read, to apply the live facts that came meanwhile (0 or a negative errno):
 * these know how, and the look does not. Number told, or a negative errno.
 */
int seed_tables(struct tracer *t, struct bindings *b, uint32_t pid, int (*drain)(void *ctx), void *ctx);

/* seed_all(SCAN_RESYNC or SCAN_REVIEW), with `drain` as above. */
int seed_review(struct tracer *t, struct bindings *b, enum scan_mode mode, int (*drain)(void *ctx), void *ctx);

/* Only the fds: who holds what. For a scratch machine. Needs the iterator. */
int seed_holders(struct tracer *t, struct bindings *b);

#endif /* TW_SEED_H */
