/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hooks.h - which kernel hooks there are, per backend, and which of them work
 * here. Found out by trying, program by program.
 */
#ifndef TW_HOOKS_H
#define TW_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

enum backend { BACKEND_FENTRY, BACKEND_KPROBE, BACKEND_TRACEPOINT, BACKEND_MAX, BACKEND_AUTO = BACKEND_MAX };
const char *backend_name(enum backend backend);	/* "fentry" */
int backend_by_name(const char *word);		/* enum backend incl. BACKEND_AUTO, or -1 */

enum hook_need {
	HOOK_REQUIRED,	/* without it the backend is of no use */
	HOOK_EXPECTED,	/* without it `auto` looks for a better backend first */
	HOOK_OPTIONAL,	/* its absence is told, nothing else */
};

#define HOOK_PROGRAMS 5		/* programs of one alternative, at most */
#define HOOK_ALTERNATIVES 2

struct hook {
	const char *name;	/* as `ready` and `check` tell it */
	enum backend backend;	/* BACKEND_MAX: of every backend */
	enum hook_need need;
	const char *loss;	/* what is not known without it */
	/* Alternatives in order of preference; each a list of BPF programs that go together. */
	const char *programs[HOOK_ALTERNATIVES][HOOK_PROGRAMS + 1];
};

extern const struct hook hooks[];
extern const size_t hooks_len;

#define HOOK_REASON_LEN 160

/* What became of hooks[i]. */
struct hook_result {
	int alternative;		/* index, or -1: off */
	char reason[HOOK_REASON_LEN];	/* why off */
};

/* Is hooks[i] one of this backend's? */
bool hook_of(size_t i, enum backend backend);

/*
 * Tries every hook of a backend, each by itself: load, attach, detach.
 * results[] has hooks_len members; those of other backends get -1 and "".
 * `hasty` ends with the first REQUIRED hook that is off.
 */
void hooks_probe(enum backend backend, struct hook_result results[], bool hasty);

/* With these results: do all REQUIRED hooks work? And all EXPECTED? */
bool hooks_usable(enum backend backend, const struct hook_result results[]);
bool hooks_complete(enum backend backend, const struct hook_result results[]);

/* The first REQUIRED hook that is off, or -1. */
int hooks_blocker(enum backend backend, const struct hook_result results[]);

#endif /* TW_HOOKS_H */
