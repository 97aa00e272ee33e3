/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * labels.h - what a person calls a network namespace: the name in /run/netns,
 * else where it is bind-mounted, else who lives in it: the machine or
 * container by its cgroup, else a process.
 *
 * What is found is remembered, but given out only after a look that it still
 * means this inode: the kernel reuses the numbers.
 */
#ifndef TW_LABELS_H
#define TW_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "netns.h"

struct labels;

/* How namespaces are found. Tests have their own. */
struct labels_source {
	int (*each)(unsigned sources, int (*fn)(void *ctx, const struct netns_ref *ref), void *ctx);
	const char *proc;	/* where procfs is mounted */
};

/*
 * `sources` (NETNS_*) says where to look for a namespace that has no name:
 * NETNS_CHEAP, or NETNS_ALL to find also what lives by an open fd only.
 * `source` NULL: the system's. NULL when out of memory.
 */
struct labels *labels_new(unsigned sources, const struct labels_source *source);
void labels_free(struct labels *labels);

/*
 * The name that somebody gave to the namespace: that of /run/netns, else the
 * path of a bind mount. NULL: it has none. Any bytes but NUL: escape at the
 * output. Valid until the next call of any of these functions.
 */
const char *labels_name(struct labels *labels, uint32_t inode);

/*
 * The best that can be told: "init", its name, "qemu-1-web" (a machine),
 * "docker:0123456789ab" (a container), "pid:4242 comm" (the process with the
 * lowest pid in it), "/proc/4242/fd/5" (nobody is in it). NULL: nothing is
 * known. As labels_name() otherwise.
 */
const char *labels_text(struct labels *labels, uint32_t inode);

/*
 * Namespaces may have come or gone since: what was looked for in vain is
 * looked for again. Without it each source is read once.
 */
void labels_refresh(struct labels *labels);

/*
 * Machine or container by the path of a cgroup: the innermost one that is
 * recognised. Returns the length, 0 when there is none. Apart for the tests.
 */
size_t labels_cgroup_owner(const char *cgroup, char *out, size_t size);

#endif /* TW_LABELS_H */
