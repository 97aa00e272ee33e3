/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netns.h - which network namespaces there are, what they are called, and
 * what a user means by a word.
 *
 * A namespace is told by the inode number of its nsfs file. The kernel reuses
 * the numbers; the cookie (netns_cookie()) is never reused within a boot. All
 * nsfs files live on one superblock of the kernel, so the number alone is
 * unique among living namespaces.
 *
 * Nothing here keeps a namespace alive: no fd into one outlives the call that
 * opened it, except the one netns_open() hands to its caller.
 *
 * Functions return 0 or a negative errno unless they say otherwise; none logs.
 */
#ifndef TW_NETNS_H
#define TW_NETNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Where to look, and (one bit) where a namespace was found. */
#define NETNS_SELF	(1u << 0)  /* our own, always looked at */
#define NETNS_NAMED	(1u << 1)  /* /run/netns, /var/run/netns */
#define NETNS_MOUNTS	(1u << 2)  /* bind mounts of nsfs files in our mount namespace */
#define NETNS_PROCS	(1u << 3)  /* of all processes and threads; init's first */
#define NETNS_FDS	(1u << 4)  /* open fds of all processes that are nsfs files: expensive */
#define NETNS_CHEAP	(NETNS_NAMED | NETNS_MOUNTS | NETNS_PROCS)
#define NETNS_ALL	(NETNS_CHEAP | NETNS_FDS)

/* A namespace as found. Strings are valid during the callback only. */
struct netns_ref {
	uint32_t inode;		/* st_ino of the nsfs file */
	unsigned source;	/* one of NETNS_* */
	pid_t pid;		/* NETNS_PROCS and NETNS_FDS: by which process (or thread); else 0 */
	const char *path;	/* absolute; opening it gives the namespace, see netns_open() */
	const char *name;	/* file name in /run/netns, any bytes; NULL unless NETNS_NAMED */
};

/*
 * Calls fn once for every distinct network namespace that the given sources
 * (NETNS_*, ORed) lead to, our own first. What vanishes meanwhile, and what we
 * may not look into, is passed over in silence. A non-zero return of fn stops
 * and is returned; otherwise 0, or -ENOMEM, or the error of reading /proc.
 */
int netns_each(unsigned sources, int (*fn)(void *ctx, const struct netns_ref *ref), void *ctx);

/*
 * A new fd (O_RDONLY, O_CLOEXEC) of the namespace, or a negative errno;
 * -ENOENT when the path has come to mean another one. An open fd keeps the
 * namespace and every device in it alive: close it at once.
 */
int netns_open(const struct netns_ref *ref);

/* As netns_open(), for the namespace of a process (or thread). */
int netns_open_pid(pid_t pid);

/*
 * As netns_open(), by number alone: by *place if it still leads there, else by
 * /proc/PID, else by a search in NETNS_CHEAP, which looks at all processes
 * (only with `search`). *place (NULL or allocated) gets how it was found.
 */
int netns_open_inode(uint32_t inode, pid_t pid, bool search, char **place);

/* Inode of an nsfs fd; -EINVAL when the fd is no network namespace. */
int netns_inode(int fd, uint32_t *inode);

/* Inode of our own (the calling thread's) network namespace. */
int netns_self(uint32_t *inode);

/*
 * Inode of the initial network namespace; 0 where it cannot be told (in a
 * container, or when init's /proc entries are closed to us).
 */
uint32_t netns_initial(void);

/*
 * The cookie of the namespace behind an nsfs fd (SO_NETNS_COOKIE, 5.14);
 * 0 when the kernel or our privileges do not tell. Enters it for an instant.
 */
uint64_t netns_cookie(int fd);

/*
 * A socket of another namespace: enters the namespace of `fd`, opens the
 * socket, comes back. Returns the socket or a negative errno. The process
 * must be single-threaded in spirit: only the calling thread moves, and it
 * aborts the program if it cannot come back, for everything it would say from
 * then on would be about the wrong namespace. The socket pins the namespace.
 */
int netns_socket(int fd, int domain, int type, int protocol);

/*
 * What a user gave to --netns: NAME (in /run/netns), PATH (contains '/'),
 * INODE (all digits; a NAME of digits when there is no such inode), pid:PID.
 * -ENOENT: there is none; -EINVAL: that is no network namespace.
 */
int netns_resolve(const char *word, uint32_t *inode);

/* Labels: names of /run/netns by inode. */
struct netns_names;
struct netns_names *netns_names_new(void);	/* NULL: out of memory */
void netns_names_free(struct netns_names *names);

/*
 * The name of a namespace now, or NULL. A name is only given after a look
 * that it still means this inode. Any bytes but '/' and NUL: escape at the
 * output. Valid until the next call.
 */
const char *netns_label(struct netns_names *names, uint32_t inode);

/* Parsers, apart for the tests. */

/* "net:[4026531840]" -> inode; -EINVAL for anything else. */
int netns_parse_link(const char *link, uint32_t *inode);

/*
 * One line of /proc/self/mountinfo (changed in place) -> the inode and the
 * unescaped mount point of a bind-mounted network namespace; -ENOENT for
 * other mounts, -EINVAL for no mountinfo line.
 */
int netns_parse_mountinfo(char *line, uint32_t *inode, char **path);

enum netns_word { NETNS_WORD_NAME, NETNS_WORD_PATH, NETNS_WORD_INODE, NETNS_WORD_PID };

/* What kind of word; *number is set for INODE and PID. -EINVAL: none of them. */
int netns_parse_word(const char *word, enum netns_word *kind, uint32_t *number);

#endif /* TW_NETNS_H */
