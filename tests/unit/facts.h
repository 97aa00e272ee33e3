/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * facts.h - builders of facts for unit tests. Times are small numbers, pids
 * 100.., files and devices their generations, tables are named after pids.
 */
#ifndef TW_TEST_FACTS_H
#define TW_TEST_FACTS_H

#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../../user/bindings.h"

#define DEV_ALL (TW_HAS_DEV | TW_HAS_MAC | TW_HAS_TUN | TW_HAS_MASTER | TW_HAS_UP)

static inline struct tw_event fact(uint64_t time_ns, enum tw_type type)
{
	return (struct tw_event){ .time_ns = time_ns, .type = type, .fd = -1 };
}

/* --- modifiers: fact in, fact out --- */

static inline struct tw_event by(uint32_t pid, struct tw_event e)
{
	e.has |= TW_HAS_TASK;
	e.task.pid = pid;
	e.task.tid = pid;
	e.task.start_ns = pid * 10;
	return e;
}

static inline struct tw_event by_how(enum tw_how how, struct tw_event e)
{
	e.how = how;
	return e;
}

static inline struct tw_event with(uint32_t flags, struct tw_event e)
{
	e.flags |= flags;
	return e;
}

static inline struct tw_event lacking(uint32_t has, struct tw_event e)
{
	e.has &= ~has;
	return e;
}

static inline struct tw_event in_ioctl(uint32_t cmd, uint64_t file, struct tw_event e)
{
	e.flags |= TW_F_IN_IOCTL;
	e.ioctl.cmd = cmd;
	e.ctx_file = file;
	return e;
}

static inline struct tw_event in_close(uint64_t file, struct tw_event e)
{
	e.flags |= TW_F_IN_CLOSE;
	e.ctx_file = file;
	return e;
}

static inline struct tw_event addr(uint64_t address, struct tw_event e)
{
	e.file.addr = address;
	return e;
}

static inline struct tw_event socket_in(uint32_t netns, struct tw_event e)
{
	e.has |= TW_HAS_SOCKET_NETNS;
	e.file.socket_netns = netns;
	return e;
}

static inline struct tw_event on_file(uint64_t gen, struct tw_event e)
{
	e.has |= TW_HAS_FILE;
	e.file.gen = gen;
	return e;
}

static inline struct tw_event slot(uint64_t table, int fd, struct tw_event e)
{
	e.has |= TW_HAS_TABLE | TW_HAS_FD;
	e.table = table;
	e.fd = fd;
	return e;
}

/* --- files --- */

static inline struct tw_event file_open(uint64_t t, uint32_t pid, uint64_t file)
{
	return by(pid, on_file(file, fact(t, TW_FILE_OPEN)));
}

static inline struct tw_event fd_install(uint64_t t, uint32_t pid, int fd, uint64_t file)
{
	return by(pid, slot(pid, fd, on_file(file, fact(t, TW_FD_INSTALL))));
}

static inline struct tw_event fd_close(uint64_t t, uint32_t pid, int fd, uint64_t file)
{
	return by(pid, slot(pid, fd, on_file(file, fact(t, TW_FD_CLOSE))));
}

static inline struct tw_event table_exit(uint64_t t, uint32_t pid)
{
	struct tw_event e = by(pid, fact(t, TW_TABLE_EXIT));

	e.has |= TW_HAS_TABLE;
	e.table = pid;
	return e;
}

static inline struct tw_event file_release(uint64_t t, uint32_t pid, uint64_t file)
{
	return by(pid, on_file(file, fact(t, TW_FILE_RELEASE)));
}

/* file 0: given back */
static inline struct tw_event vhost(uint64_t t, uint32_t pid, uint64_t owner, uint32_t index, uint64_t file)
{
	struct tw_event e = by(pid, fact(t, TW_VHOST));

	e.vhost.owner = owner;
	e.vhost.index = index;
	return file ? on_file(file, e) : with(TW_F_UNBOUND, e);
}

/* Cut to what fits, NUL-terminated. */
static inline void fact_name(char to[TW_NAME_LEN], const char *name)
{
	for (size_t i = 0; i < TW_NAME_LEN - 1 && name[i]; i++)
		to[i] = name[i];
}

/* --- devices --- */

static inline struct tw_dev tap(uint64_t gen, uint32_t netns, uint32_t ifindex, const char *ifname)
{
	struct tw_dev d = {
		.gen = gen, .netns = netns, .ifindex = ifindex, .tun_flags = IFF_TAP,
		.owner = -1, .group = -1, .kind = TW_KIND_TAP,
	};

	fact_name(d.ifname, ifname);
	return d;
}

static inline struct tw_dev cookie(uint64_t netns_cookie, struct tw_dev d)
{
	d.netns_cookie = netns_cookie;
	return d;
}

static inline struct tw_dev tun_flags(uint32_t flags, struct tw_dev d)
{
	d.tun_flags |= flags;
	return d;
}

static inline struct tw_event on_dev(struct tw_dev d, struct tw_event e)
{
	e.dev = d;
	e.has |= DEV_ALL;
	return e;
}

/* A TW_DEV without queue list. */
static inline struct tw_event dev(uint64_t t, enum tw_dev_op op, struct tw_dev d)
{
	struct tw_event e = with(TW_F_RTNL, on_dev(d, fact(t, TW_DEV)));

	e.dev.op = op;
	return e;
}

static inline struct tw_event slice_of(struct tw_event e, uint32_t total, uint32_t base, const uint64_t *gens)
{
	uint32_t n = total - base;

	e.has |= TW_HAS_QUEUES;
	e.dev.queues = total;
	e.queue_base = base;
	memcpy(e.queues, gens + base, (n < TW_QUEUES_PER_EVENT ? n : TW_QUEUES_PER_EVENT) * sizeof(*gens));
	return e;
}

#define GENS(...) ((uint64_t[]){ 0, ##__VA_ARGS__ })
/* queues(fact, gens...): a complete list, at most 16 */
#define queues(e, ...) \
	slice_of(e, sizeof(GENS(__VA_ARGS__)) / sizeof(uint64_t) - 1, 0, GENS(__VA_ARGS__) + 1)

/* A TUNSETIFF of that process that makes device d. */
static inline struct tw_event dev_new_by(uint64_t t, uint32_t pid, uint64_t file, struct tw_dev d)
{
	return in_ioctl(TUNSETIFF, file, by(pid, queues(dev(t, TW_DEV_NEW, d), file)));
}

static inline struct tw_event ioctl_end(uint64_t t, uint32_t pid, uint64_t file, uint32_t cmd, int ret)
{
	struct tw_event e = by(pid, on_file(file, fact(t, TW_IOCTL)));

	e.ioctl.cmd = cmd;
	e.ioctl.ret = ret;
	return e;
}

static inline struct tw_event asking(const char *name, struct tw_event e)
{
	e.has |= TW_HAS_REQUESTED;
	fact_name(e.ioctl.requested, name);
	return e;
}

static inline struct tw_event dev_move(uint64_t t, struct tw_dev d, uint32_t netns, uint32_t ifindex)
{
	struct tw_event e = on_dev(d, fact(t, TW_DEV_MOVE));

	e.move.netns = netns;
	e.move.ifindex = ifindex;
	return e;
}

static inline struct tw_event netns_exit(uint64_t t, uint32_t netns, uint64_t netns_cookie)
{
	struct tw_event e = fact(t, TW_NETNS_EXIT);

	e.dev.netns = netns;
	e.dev.netns_cookie = netns_cookie;
	return e;
}

/* --- scans --- */

static inline struct tw_event scan_fd(uint64_t t, uint32_t pid, int fd, uint64_t file)
{
	return by(pid, slot(pid, fd, on_file(file, fact(t, TW_SCAN_FD))));
}

static inline struct tw_event scan_file(uint64_t t, uint64_t file)
{
	return on_file(file, fact(t, TW_SCAN_FILE));
}

static inline struct tw_event scan_dev(uint64_t t, struct tw_dev d)
{
	return on_dev(d, fact(t, TW_SCAN_DEV));
}

#endif /* TW_TEST_FACTS_H */
