/* SPDX-License-Identifier: GPL-2.0-only */
/* privilege.h - which capabilities are needed, and giving up the rest. */
#ifndef TW_PRIVILEGE_H
#define TW_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>

struct capability {
	int number;
	const char *name;	/* "CAP_BPF" */
	const char *use;	/* what it is needed for */
	bool at_start;		/* only until the programs are loaded */
	bool must;		/* nothing works without it */
};
extern const struct capability capabilities[];
extern const size_t capabilities_len;

/* Does this process have it in its effective set? */
bool privilege_has(const struct capability *capability);

/*
 * 0, or -EPERM and a sentence that names what lacks and how to get it, to
 * complete "tapwatch: …".
 */
int privilege_check(char *err, size_t errsize);

/*
 * After loading: keeps only what the run still needs, in all sets and the
 * bounding set. `reload`: programs may have to be loaded again (a driver
 * module is still missing). 0 or a negative errno.
 */
int privilege_drop(bool reload);

/* The calling thread keeps none at all. 0 or a negative errno. */
int privilege_drop_all(void);

#endif /* TW_PRIVILEGE_H */
