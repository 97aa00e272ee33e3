/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tapfix.h - what the files of tapfix share.
 *
 * main.c		the loop, answers, slots
 * tun.c		tun files and their ioctls, devices
 * process.c	the process itself, its threads, exec
 * children.c	other processes, and fds sent to them
 * tables.c		fds and file tables
 * vhost.c		vhost-net, io_uring: who holds a file without an fd
 */
#ifndef TAPFIX_H
#define TAPFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_SLOTS	1100
#define MAX_CHILDREN	16
#define MAX_WORDS	64
#define TUN_PATH	"/dev/net/tun"
#define ENV_SLOTS	"TAPFIX_SLOTS"	/* NAME=FD ... */
#define ENV_FDS		"TAPFIX_FDS"	/* of a child: input, output, socket */

struct slot {
	char name[32];		/* "" when free */
	int fd;
	void *vhost_mem;	/* guest memory of a vhost slot; NULL otherwise */
};

struct child {
	char name[32];		/* "" when free; "parent" is the way up */
	pid_t pid;
	int in, out;		/* its stdin and stdout; -1 for "parent" */
	int sock;		/* for sendfd and recvfd */
	int ends[3];		/* its own ends of these, when it shares our table; else -1 */
};

/*
 * `run` says its facts with say() and returns 0 (the answer is complete but
 * for its end), 1 (it is written, or another gives it), or a negative errno.
 */
struct command {
	const char *name;
	int words;		/* at least, with the name */
	int (*run)(char **w, int n);
};

/* Each ends with a row without name. */
extern const struct command tun_commands[], process_commands[], children_commands[], tables_commands[],
	vhost_commands[];

extern struct slot slots[MAX_SLOTS];
extern struct child children[MAX_CHILDREN];
extern int in_fd, out_fd;
extern char **saved_argv;

/* --- main.c --- */

__attribute__((format(printf, 1, 2)))
void say(const char *fmt, ...);
/* A JSON string of bytes, each taken as the code point of the same number. */
void say_text(const char *key, const char *text, size_t max);
void answer_begin(void);	/* an empty answer, without its end */
void answer_write(void);	/* ends the answer and writes it */
void write_all(int fd, const char *buf, size_t len);
/* The rest of a line of a child's is the answer. False when it ended before. */
bool answer_from(int fd);
void serve(void);		/* until the end of input */
int perform_words(char **w, int n);	/* w has room for a NULL at its end */

struct slot *slot_find(const char *name);
int slot_fd(const char *name);			/* or -EBADF */
int slot_put(const char *name, int fd);		/* takes over `fd`; negative errno when there is no room or no name */
void slots_forget(int first, int last);		/* those of these numbers */
bool word_in(char **w, int n, const char *word);

uint64_t inode_of(int fd);
uint64_t own_netns(void);

/* --- process.c --- */

void tell_self(void);
int program_environment(int in, int out, int sock);	/* for the next program: slots, and the way to talk to us */
void threads_forget(void);				/* a child has those of its parent not */
void program_begin(void);				/* what the last one left in the environment; answers */

#endif
