/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rtnl_monitor.h - changes of TUN/TAP devices in all network namespaces, by
 * one rtnetlink socket in our own.
 *
 * A namespace is heard while it has an nsid in ours. An nsid is a number
 * only: it does not keep the namespace alive, which a socket or fd in it
 * would do. Namespaces without one are given one (rtnl_monitor_add()).
 *
 * Functions return 0 or a negative errno unless they say otherwise; none logs.
 */
#ifndef TW_RTNL_MONITOR_H
#define TW_RTNL_MONITOR_H

#include <stdint.h>
#include <sys/types.h>

#include "../bpf/tapwatch.h"
#include "netns.h"

struct rtnl_monitor;

/*
 * Opens the socket in the calling thread's namespace and listens; hears only
 * its own namespace until rtnl_monitor_scan() or _add(). Needs CAP_NET_ADMIN
 * and CAP_NET_BROADCAST for the others. *out is NULL after an error.
 */
int rtnl_monitor_new(struct rtnl_monitor **out);
void rtnl_monitor_free(struct rtnl_monitor *m);

/* To poll for input. */
int rtnl_monitor_fd(const struct rtnl_monitor *m);

/*
 * From now on this namespace is heard. -ENOENT: it is gone. Cheap for one
 * that is known. Facts told before are not caught up: add first, then dump.
 */
int rtnl_monitor_add(struct rtnl_monitor *m, const struct netns_ref *ref);
int rtnl_monitor_add_pid(struct rtnl_monitor *m, pid_t pid);

/* Adds all that netns_each(sources) finds. Those that vanish are no error. */
int rtnl_monitor_scan(struct rtnl_monitor *m, unsigned sources);

/*
 * Reads what has come, without waiting, and calls fn for:
 *   TW_DEV, TW_DEV_STATE    a TUN/TAP device is new or changed (the kernel does not tell which)
 *   TW_DEV, TW_DEV_GONE     it was unregistered
 *   TW_DEV_MOVE             it left dev.{netns,ifindex,ifname} for move.{netns,ifindex};
 *                           move.netns 0: to a namespace that cannot be found
 *   TW_NETNS_EXIT           dev.{netns,netns_cookie} is being destroyed with all in it
 * All have TW_F_RTNL, TW_HAS_DEV, no queues, and time_ns is CLOCK_BOOTTIME at
 * receipt: the order of the facts is right, the time is that of reading.
 * A namespace that turns up only now (a device moved there, or someone gave it
 * an nsid) is added, and the state of the devices in it told, after the rest.
 *
 * Never told, for the kernel sends nothing: changes of persist, owner, group of
 * a device that is down (netdev_state_change() sends for IFF_UP only), of
 * queues as such, and the devices of a dying namespace one by one. When a
 * move had to rename the device, a 5.10 kernel tells the new name as the old.
 *
 * 0: drained. Non-zero from fn stops and is returned, what is left waits for
 * the next call. -ENOBUFS: messages were lost; the namespaces were looked up
 * anew, the caller reads the devices anew (and calls again).
 */
int rtnl_monitor_read(struct rtnl_monitor *m, int (*fn)(void *ctx, const struct tw_event *fact), void *ctx);

#endif /* TW_RTNL_MONITOR_H */
