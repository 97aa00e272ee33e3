/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * chaos - a seeded random program that makes tun/tap fds come and go in all
 * ways the kernel knows, from several processes at once, and tells at quiet
 * points what the kernel says about itself.
 *
 * One coordinator (main.c), and agents: threads of processes that it started
 * or that agents made of themselves. An agent performs random operations
 * (ops.c, births.c, pass.c, link.c) on whatever stands at a random number of
 * its fd table. Nothing is remembered about fds, so any of them may come from
 * anywhere and go at any time, and most that can go wrong does. What
 * everybody shares is one page-aligned struct in a memfd. Nobody holds a lock
 * in it: agents are killed at any moment.
 *
 * Numbers of fds: below FD_TUN nothing changes (/dev/null); FD_TUN.. is where
 * open() and its kin put files; sockets move to FD_SOCKET.., vhost-net to
 * FD_VHOST... From FD_MAX on nobody but the coordinator has any.
 */
#ifndef CHAOS_H
#define CHAOS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <net/if.h>

#define TUN_PATH	"/dev/net/tun"

#define FD_TUN		10
#define FD_SOCKET	40
#define FD_VHOST	56
#define FD_MAX		64
#define FD_RESERVED	200		/* of the coordinator */

#define HOMES		3		/* namespaces where agents live; never deleted */
#define SPACES		5		/* the others only ever get devices moved to, and are deleted */
#define MAX_AGENTS	24
#define MAX_ROWS	4096
#define MAX_SOCKETS	1024
#define MAX_TAGS	512		/* see tag_of() */
#define LOG_SIZE	(1 << 16)
#define PROGRAMS	4		/* names that exec knows this program by */

enum agent_state { AGENT_FREE, AGENT_STARTING, AGENT_RUNNING, AGENT_PARKED };
enum bell { BELL_NONE, BELL_RUN, BELL_TELL };

/* A slot belongs to one generation of agent: whoever comes too late for it finds `word` changed. */
struct agent {
	_Atomic uint64_t word;		/* generation << 8 | enum agent_state */
	_Atomic pid_t pid;		/* while starting: of who makes it */
	_Atomic pid_t tid;
	_Atomic uint32_t bell;		/* futex of a parked agent */
	_Atomic uint32_t kill;		/* somebody wants its process killed */
	_Atomic uint32_t listener;	/* 1 + fd number of its seccomp listener, for who made it */
	_Atomic uint32_t op;		/* the last one begun */
	uint64_t random;		/* its stream */
};

/* What one fd (or one file in flight) is, told by a process that has it. */
struct row {
	pid_t pid, tid;
	int32_t fd;		/* -1: in flight */
	uint32_t file;		/* serial number of the open file description; 0: O_PATH */
	int32_t err;		/* 0 or the errno of TUNGETIFF */
	int32_t ns_err;		/* 0 or the errno of TUNGETDEVNETNS */
	uint32_t flags;		/* of TUNGETIFF */
	char ifname[IFNAMSIZ];
	uint64_t netns;		/* the device's */
	uint64_t socket_netns;
};

struct record {
	uint64_t time_ns;	/* CLOCK_BOOTTIME, when it had ended */
	pid_t pid, tid;
	const char *what;	/* this program has the same addresses everywhere */
	int32_t args[3];
	int32_t result;		/* negative errno */
	char text[IFNAMSIZ];
};

struct shared {
	_Atomic uint32_t news;		/* futex of the coordinator */
	_Atomic int64_t ops_left;	/* of this stretch */
	_Atomic uint64_t ops_done;
	_Atomic uint32_t renew;		/* bit k: somebody wants namespace k deleted and a new one in its place */
	pid_t coordinator;
	char programs[64];		/* directory of the PROGRAMS names */
	struct agent agents[MAX_AGENTS];
	/* Written by one agent at a time, when it is asked */
	uint32_t n_rows;
	struct row rows[MAX_ROWS];
	uint32_t n_sockets;
	uint64_t sockets[MAX_SOCKETS];	/* inodes of those that were looked into */
	uint32_t next_file;
	uint32_t tag_file[MAX_TAGS];	/* serial number of the file that carries this tag; 0: none yet */
	bool tag_free[MAX_TAGS];	/* no file with it was met by the last collection; one in flight may come back */
	bool tag_seen[MAX_TAGS];	/* in this collection */
	uint32_t next_tag;
	_Atomic uint64_t n_records;
	struct record log[LOG_SIZE];
};

extern struct shared *sh;
extern __thread struct agent *me;	/* NULL in processes that are none */
extern __thread uint64_t *stream;	/* where random numbers come from */
extern __thread int home;		/* the namespace this thread is in */

/* agent.c: what all stand on */
uint32_t rnd(uint32_t below);
int rnd_between(int from, int to);	/* both included */
bool chance(unsigned int percent);
uint64_t mix(uint64_t x);
void note(const char *what, long result, int a, int b, int c, const char *text);
uint64_t boottime_ns(void);
long futex_wait(_Atomic uint32_t *word, uint32_t value, unsigned int ms);	/* ms 0: without end */
void futex_wake(_Atomic uint32_t *word);
void tell_coordinator(void);
int open_shared(pid_t coordinator, int fd);

/* agent.c: slots and namespaces */
extern _Atomic int live_threads;	/* agents in this process */
extern bool may_make_threads;
struct agent *agent_reserve(void);	/* NULL: no room */
uint64_t agent_word(const struct agent *a);
bool agent_claim(struct agent *a, uint64_t word);
void agent_free(struct agent *a);
void agents_forget(pid_t pid, const struct agent *but);
void agent_run(struct agent *a) __attribute__((noreturn));
int space_open(int k);			/* an fd of namespace k, or negative errno */
int space_enter(int k);
void limit_fds(unsigned int fds);

/* One operation. It may fail; what counts is what the kernel made of it. */
struct op {
	const char *name;
	unsigned int weight;
	void (*run)(void);
};
extern const struct op fd_ops[], birth_ops[], pass_ops[], link_ops[];	/* each ends with a NULL name */
void op_random(void);
void op_random_simple(void);		/* one of fd_ops */
void ops_init(void);

/* births.c */
pid_t copy_process(unsigned long flags);
void wait_for(pid_t pid);
/* what exec()ed programs do, by their first argument */
int helper_main(char **argv);
int agent_main(char **argv);

/* truth.c: appends the rows of the calling thread's fd table */
void truth_tell(void);

/* link.c */
int random_name(char name[IFNAMSIZ]);
struct link_info {
	char ifname[IFNAMSIZ], kind[16], alias[32];
	int ifindex;
	bool up;
	uint8_t mac[6];
	bool has_mac;
	/* of the tun driver; -1: the kernel does not tell */
	int type, persist, multi_queue, vnet_hdr, pi, queues, disabled_queues;
	int64_t owner, group;
};
int links_dump(struct link_info *links, int max);	/* of this thread's namespace; the number, or negative errno */
int link_set_alias(int ifindex, const char *alias);

#endif /* CHAOS_H */
