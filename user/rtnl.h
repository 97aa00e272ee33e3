/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rtnl.h - links of a network namespace as rtnetlink tells them.
 *
 * Functions return 0 or a negative errno; none logs.
 */
#ifndef TW_RTNL_H
#define TW_RTNL_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "../bpf/tapwatch.h"
#include "netns.h"

/* What a link message says beyond a struct tw_event. */
struct rtnl_link_extra {
	char kind[16];		/* IFLA_INFO_KIND: "tun", "bridge", ...; "" when it has none */
	uint8_t family;		/* ifi_family: AF_UNSPEC, or AF_BRIDGE for bridge port messages */
	bool has_new_netns;	/* RTM_DELLINK of a device that moves: */
	int32_t new_nsid;	/* IFLA_NEW_NETNSID, as the *sender's* namespace numbers its peers */
	uint32_t new_ifindex;	/* IFLA_NEW_IFINDEX; 0: not told (before 4.16) */
	uint32_t disabled_queues; /* IFLA_TUN_NUM_DISABLED_QUEUES; 0 when not told */
};

/*
 * Takes an RTM_NEWLINK or RTM_DELLINK apart. Sets fact->dev and fact->has
 * (DEV, and MAC, UP, MASTER, TUN, QUEUES as far as told), clears the rest of
 * the fact; the caller adds type, flags, time and namespace. dev.master (the
 * name) stays empty. dev.kind is TW_KIND_UNKNOWN for links that are not ours
 * to watch. -EINVAL: no valid link message.
 */
int rtnl_parse_link(const struct nlmsghdr *nlh, struct tw_event *fact, struct rtnl_link_extra *extra);

/*
 * A TW_SCAN_DEV fact for every TUN/TAP device of the namespace, after the
 * dump is complete and known to be consistent (interrupted dumps are done
 * again; -EINTR when that never ends). time_ns is before the dump began:
 * whatever happened until then is contained. Non-zero from fn stops and is
 * returned. -ENOENT: the namespace is gone.
 */
int rtnl_dump_links(const struct netns_ref *ref,
		    int (*fn)(void *ctx, const struct tw_event *fact), void *ctx);

/*
 * The link with this number, over a socket of rtnl_open(), and how many
 * packets it has counted. fact as of rtnl_parse_link(). -ENODEV: there is none.
 */
int rtnl_link_counters(int fd, uint32_t ifindex, struct tw_event *fact, uint64_t *rx, uint64_t *tx);

/* CLOCK_BOOTTIME in ns. */
uint64_t rtnl_boottime(void);

/*
 * A socket for requests, of the namespace of nsfs fd `netns`, or with -1 of
 * the calling thread's. The socket or a negative errno.
 */
int rtnl_open(int netns);

/* Room for a request of ours. */
#define RTNL_REQUEST_SIZE 256

/*
 * Sends the request in *nlh (built with libmnl; flags and sequence number are
 * set here) and calls fn for every message of the answer, until it is whole.
 * Negative errno: the kernel's refusal, or -EINTR when a dump turned out to be
 * inconsistent (what fn was given is then worthless). Non-zero from fn is
 * returned after the answer was read to its end.
 */
int rtnl_request(int fd, struct nlmsghdr *nlh, bool dump,
		 int (*fn)(void *ctx, const struct nlmsghdr *nlh), void *ctx);

/*
 * The links of one namespace over a socket of rtnl_open(): of the socket's own
 * namespace with nsid -1, else of the one that has this nsid there
 * (IFLA_TARGET_NETNSID). As rtnl_dump_links(), but facts carry no namespace.
 */
int rtnl_dump(int fd, int32_t nsid, int (*fn)(void *ctx, const struct tw_event *fact), void *ctx);

#endif /* TW_RTNL_H */
