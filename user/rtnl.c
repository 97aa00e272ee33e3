// SPDX-License-Identifier: GPL-2.0-only
/*
 * rtnl.c - link messages: requests, dumps, and taking them apart.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "array.h"
#include "rtnl.h"

/* netlink_dump() fills at most 32 KiB however large our buffer (af_netlink.c). */
#define ANSWER_SIZE 32768

/* A dump of more than one part is interrupted by any change of any link. */
#define DUMP_TRIES 32

uint64_t rtnl_boottime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- one link message ---- */

/* Presence of attributes by type, up to max; larger types are left out. */
struct attrs {
	const struct nlattr **tb;
	uint16_t max;
};

static int collect(const struct nlattr *attr, void *data)
{
	struct attrs *attrs = data;

	if (mnl_attr_get_type(attr) <= attrs->max)
		attrs->tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static bool is_u8(const struct nlattr *attr)
{
	return attr && !mnl_attr_validate(attr, MNL_TYPE_U8);
}

static bool is_u32(const struct nlattr *attr)
{
	return attr && !mnl_attr_validate(attr, MNL_TYPE_U32);
}

/* At most size - 1 bytes, NUL-terminated whether the sender did so or not. */
static void copy_string(char *to, size_t size, const struct nlattr *attr)
{
	size_t len = attr ? strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr)) : 0;

	if (len > size - 1)
		len = size - 1;
	if (len)
		memcpy(to, mnl_attr_get_payload(attr), len);
	memset(to + len, 0, size - len);
}

/* tun_fill_info(), drivers/net/tun.c; since 4.16 (1ec010e70593), all of them. */
static void parse_tun(const struct nlattr *data, struct tw_event *fact, struct rtnl_link_extra *extra)
{
	static const struct {
		uint16_t attr;
		bool inverted;
		uint32_t flag;
	} flags[] = {
		{ IFLA_TUN_PI, true, IFF_NO_PI },
		{ IFLA_TUN_VNET_HDR, false, IFF_VNET_HDR },
		{ IFLA_TUN_PERSIST, false, IFF_PERSIST },
		{ IFLA_TUN_MULTI_QUEUE, false, IFF_MULTI_QUEUE },
	};
	const struct nlattr *tb[IFLA_TUN_MAX + 1] = { 0 };
	struct attrs attrs = { tb, IFLA_TUN_MAX };
	size_t i;

	mnl_attr_parse_nested(data, collect, &attrs);
	if (!is_u8(tb[IFLA_TUN_TYPE]))
		return;
	fact->dev.tun_flags = mnl_attr_get_u8(tb[IFLA_TUN_TYPE]);
	fact->dev.kind = fact->dev.tun_flags & IFF_TAP ? TW_KIND_TAP : TW_KIND_TUN;
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!is_u8(tb[flags[i].attr]))
			return;
		if (!mnl_attr_get_u8(tb[flags[i].attr]) == flags[i].inverted)
			fact->dev.tun_flags |= flags[i].flag;
	}
	/*
	 * Absent: none. In a notification these are numbers of the user
	 * namespace of whoever changed the device (current_user_ns()), in a
	 * dump of ours.
	 */
	fact->dev.owner = is_u32(tb[IFLA_TUN_OWNER]) ? (int32_t)mnl_attr_get_u32(tb[IFLA_TUN_OWNER]) : -1;
	fact->dev.group = is_u32(tb[IFLA_TUN_GROUP]) ? (int32_t)mnl_attr_get_u32(tb[IFLA_TUN_GROUP]) : -1;
	fact->has |= TW_HAS_TUN;

	/* Told of multi-queue devices only. tun->numqueues are the enabled ones: numdisabled is apart. */
	if (is_u32(tb[IFLA_TUN_NUM_QUEUES])) {
		fact->dev.queues = mnl_attr_get_u32(tb[IFLA_TUN_NUM_QUEUES]);
		fact->has |= TW_HAS_QUEUES;
	}
	if (is_u32(tb[IFLA_TUN_NUM_DISABLED_QUEUES]))
		extra->disabled_queues = mnl_attr_get_u32(tb[IFLA_TUN_NUM_DISABLED_QUEUES]);
}

/* Kinds of links that are ours to watch, by IFLA_INFO_KIND. */
static const struct {
	const char *name;
	enum tw_kind kind;	/* unless parse() finds better */
	void (*parse)(const struct nlattr *data, struct tw_event *fact, struct rtnl_link_extra *extra);
} kinds[] = {
	{ "tun", TW_KIND_TUN, parse_tun },
	{ "macvtap", TW_KIND_MACVTAP, NULL },
	{ "ipvtap", TW_KIND_IPVTAP, NULL },
};

static void parse_linkinfo(const struct nlattr *info, struct tw_event *fact, struct rtnl_link_extra *extra)
{
	const struct nlattr *tb[IFLA_INFO_MAX + 1] = { 0 };
	struct attrs attrs = { tb, IFLA_INFO_MAX };
	size_t i;

	mnl_attr_parse_nested(info, collect, &attrs);
	copy_string(extra->kind, sizeof(extra->kind), tb[IFLA_INFO_KIND]);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(extra->kind, kinds[i].name))
			continue;
		fact->dev.kind = kinds[i].kind;
		if (tb[IFLA_INFO_DATA] && kinds[i].parse)
			kinds[i].parse(tb[IFLA_INFO_DATA], fact, extra);
	}
}

int rtnl_parse_link(const struct nlmsghdr *nlh, struct tw_event *fact, struct rtnl_link_extra *extra)
{
	const struct nlattr *tb[IFLA_MAX + 1] = { 0 };
	struct attrs attrs = { tb, IFLA_MAX };
	const struct ifinfomsg *ifi;

	memset(fact, 0, sizeof(*fact));
	memset(extra, 0, sizeof(*extra));
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi))
		return -EINVAL;
	ifi = mnl_nlmsg_get_payload(nlh);
	mnl_attr_parse(nlh, sizeof(*ifi), collect, &attrs);
	if (!tb[IFLA_IFNAME] || ifi->ifi_index <= 0)
		return -EINVAL;

	extra->family = ifi->ifi_family;
	fact->fd = -1;
	fact->dev.ifindex = (uint32_t)ifi->ifi_index;
	fact->dev.if_flags = ifi->ifi_flags;
	copy_string(fact->dev.ifname, sizeof(fact->dev.ifname), tb[IFLA_IFNAME]);
	/* rtnl_fill_ifinfo() leaves IFLA_MASTER out when there is none. */
	if (is_u32(tb[IFLA_MASTER]))
		fact->dev.master_ifindex = mnl_attr_get_u32(tb[IFLA_MASTER]);
	fact->has = TW_HAS_DEV | TW_HAS_UP | TW_HAS_MASTER;
	if (tb[IFLA_ADDRESS] && mnl_attr_get_payload_len(tb[IFLA_ADDRESS]) == sizeof(fact->dev.mac)) {
		memcpy(fact->dev.mac, mnl_attr_get_payload(tb[IFLA_ADDRESS]), sizeof(fact->dev.mac));
		fact->has |= TW_HAS_MAC;
	}
	if (tb[IFLA_LINKINFO])
		parse_linkinfo(tb[IFLA_LINKINFO], fact, extra);
	if (is_u32(tb[IFLA_NEW_NETNSID])) {
		extra->has_new_netns = true;
		extra->new_nsid = (int32_t)mnl_attr_get_u32(tb[IFLA_NEW_NETNSID]);
	}
	if (is_u32(tb[IFLA_NEW_IFINDEX]))
		extra->new_ifindex = mnl_attr_get_u32(tb[IFLA_NEW_IFINDEX]);
	return 0;
}

/* ---- requests ---- */

int rtnl_open(int netns)
{
	int one = 1, fd, err;

	fd = netns < 0 ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) :
			 netns_socket(netns, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (fd < 0)
		return netns < 0 ? -errno : fd;
	/*
	 * Without it dumps ignore the attributes that say which namespace is
	 * meant, and answer about the wrong one (4.20).
	 */
	if (setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

struct answer {
	unsigned int seq;
	bool interrupted;
	int result;
	int (*fn)(void *ctx, const struct nlmsghdr *nlh);
	void *ctx;
};

/* One message of an answer: 1 to go on, 0 it was the last, or a negative errno. */
static int answer_message(struct answer *a, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e;

	if (nlh->nlmsg_seq != a->seq)	/* of an earlier request, given up */
		return 1;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
			return -EBADMSG;
		e = mnl_nlmsg_get_payload(nlh);
		return e->error;
	}
	if (nlh->nlmsg_type == NLMSG_DONE) {
		/* The error of a dump that broke off (netlink_dump_done()). */
		if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(int) &&
		    *(int *)mnl_nlmsg_get_payload(nlh) < 0)
			return *(int *)mnl_nlmsg_get_payload(nlh);
		return 0;
	}
	if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && a->fn && !a->result)
		a->result = a->fn(a->ctx, nlh);
	return 1;
}

static int read_answer(int fd, struct answer *a, char *buf)
{
	struct iovec iov = { .iov_base = buf, .iov_len = ANSWER_SIZE };
	struct sockaddr_nl from;
	struct msghdr msg = { .msg_name = &from, .msg_iov = &iov, .msg_iovlen = 1 };
	struct nlmsghdr *nlh;
	ssize_t n;
	int len, err = 1;

	while (err > 0) {
		msg.msg_namelen = sizeof(from);
		n = recvmsg(fd, &msg, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (from.nl_pid)	/* any process may write to our port; only the kernel is 0 */
			continue;
		if (msg.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		len = (int)n;
		for (nlh = (void *)buf; err > 0 && mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			err = answer_message(a, nlh);
	}
	return err;
}

int rtnl_request(int fd, struct nlmsghdr *nlh, bool dump,
		 int (*fn)(void *ctx, const struct nlmsghdr *nlh), void *ctx)
{
	static unsigned int seq;
	struct answer a = { .seq = ++seq, .fn = fn, .ctx = ctx };
	char *buf = malloc(ANSWER_SIZE);
	int err;

	if (!buf)
		return -ENOMEM;
	nlh->nlmsg_flags = NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK);
	nlh->nlmsg_seq = a.seq;
	nlh->nlmsg_pid = 0;
	if (send(fd, nlh, nlh->nlmsg_len, 0) < 0)
		err = -errno;
	else
		err = read_answer(fd, &a, buf);
	free(buf);
	if (!err && a.interrupted)
		err = -EINTR;
	return err ? err : a.result;
}

/* ---- counters ---- */

struct counters {
	struct tw_event *fact;
	struct rtnl_link_stats64 stats;
	bool found;
};

static int read_counters(void *ctx, const struct nlmsghdr *nlh)
{
	const struct nlattr *tb[IFLA_MAX + 1] = { 0 };
	struct attrs attrs = { tb, IFLA_MAX };
	struct rtnl_link_extra extra;
	struct counters *c = ctx;
	size_t len;

	if (nlh->nlmsg_type != RTM_NEWLINK || rtnl_parse_link(nlh, c->fact, &extra))
		return 0;
	mnl_attr_parse(nlh, sizeof(struct ifinfomsg), collect, &attrs);
	if (!tb[IFLA_STATS64])
		return 0;
	/* it has grown since, and the kernel does not align it everywhere */
	len = mnl_attr_get_payload_len(tb[IFLA_STATS64]);
	memcpy(&c->stats, mnl_attr_get_payload(tb[IFLA_STATS64]), len < sizeof(c->stats) ? len : sizeof(c->stats));
	c->found = len >= 2 * sizeof(c->stats.rx_packets);
	return 0;
}

int rtnl_link_counters(int fd, uint32_t ifindex, struct tw_event *fact, uint64_t *rx, uint64_t *tx)
{
	union {
		struct nlmsghdr nlh;
		char buf[RTNL_REQUEST_SIZE];
	} req = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&req);
	struct counters c = { .fact = fact };
	struct ifinfomsg *ifi;
	int err;

	nlh->nlmsg_type = RTM_GETLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = (int)ifindex;
	err = rtnl_request(fd, nlh, false, read_counters, &c);
	if (err)
		return err;
	if (!c.found)
		return -ENODATA;
	*rx = c.stats.rx_packets;
	*tx = c.stats.tx_packets;
	return 0;
}

/* ---- dump ---- */

struct link_name {
	uint32_t ifindex;
	char name[TW_NAME_LEN];
};

/* The facts wait until the dump is complete; names of all links, for masters. */
struct dump {
	struct tw_event *fact;
	size_t facts, fact_size;
	struct link_name *link;
	size_t links, link_size;
	uint64_t time_ns;
};

static int dump_link(void *ctx, const struct nlmsghdr *nlh)
{
	struct rtnl_link_extra extra;
	struct dump *d = ctx;
	struct tw_event fact;

	if (nlh->nlmsg_type != RTM_NEWLINK || rtnl_parse_link(nlh, &fact, &extra))
		return 0;
	if (ARRAY_ROOM(d->link, d->link_size, d->links + 1))
		return -ENOMEM;
	d->link[d->links].ifindex = fact.dev.ifindex;
	memcpy(d->link[d->links].name, fact.dev.ifname, TW_NAME_LEN);
	d->links++;
	if (fact.dev.kind == TW_KIND_UNKNOWN)
		return 0;
	if (ARRAY_ROOM(d->fact, d->fact_size, d->facts + 1))
		return -ENOMEM;
	fact.type = TW_SCAN_DEV;
	fact.flags = TW_F_RTNL;
	fact.time_ns = d->time_ns;
	d->fact[d->facts++] = fact;
	return 0;
}

static int by_ifindex(const void *a, const void *b)
{
	uint32_t x = ((const struct link_name *)a)->ifindex;
	uint32_t y = ((const struct link_name *)b)->ifindex;

	return x < y ? -1 : x > y;
}

static void name_masters(struct dump *d)
{
	struct link_name key, *master;
	size_t i;

	if (d->links)
		qsort(d->link, d->links, sizeof(*d->link), by_ifindex);
	for (i = 0; i < d->facts; i++) {
		key.ifindex = d->fact[i].dev.master_ifindex;
		if (!key.ifindex)
			continue;
		master = bsearch(&key, d->link, d->links, sizeof(*d->link), by_ifindex);
		if (master)
			memcpy(d->fact[i].dev.master, master->name, TW_NAME_LEN);
	}
}

/*
 * All links are asked for: the names of masters are to come from the same
 * moment, and the kernel's filter by kind is none while tun is not loaded
 * (rtnl_dump_ifinfo() ignores a kind it does not know).
 */
static int dump_once(int fd, int32_t nsid, struct dump *d)
{
	union {
		struct nlmsghdr nlh;
		char buf[RTNL_REQUEST_SIZE];
	} req = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&req);

	nlh->nlmsg_type = RTM_GETLINK;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (nsid >= 0)
		mnl_attr_put_u32(nlh, IFLA_TARGET_NETNSID, (uint32_t)nsid);
	d->facts = d->links = 0;
	d->time_ns = rtnl_boottime();
	return rtnl_request(fd, nlh, true, dump_link, d);
}

int rtnl_dump(int fd, int32_t nsid, int (*fn)(void *ctx, const struct tw_event *fact), void *ctx)
{
	struct dump d = { 0 };
	int err = -EINTR, tries;
	size_t i;

	for (tries = 0; err == -EINTR && tries < DUMP_TRIES; tries++)
		err = dump_once(fd, nsid, &d);
	if (!err)
		name_masters(&d);
	for (i = 0; !err && i < d.facts; i++)
		err = fn(ctx, &d.fact[i]);
	free(d.fact);
	free(d.link);
	return err;
}

struct scan {
	uint32_t inode;
	uint64_t cookie;
	int (*fn)(void *ctx, const struct tw_event *fact);
	void *ctx;
};

static int scan_fact(void *ctx, const struct tw_event *fact)
{
	const struct scan *s = ctx;
	struct tw_event out = *fact;

	out.dev.netns = s->inode;
	out.dev.netns_cookie = s->cookie;
	return s->fn(s->ctx, &out);
}

int rtnl_dump_links(const struct netns_ref *ref, int (*fn)(void *ctx, const struct tw_event *fact), void *ctx)
{
	struct scan s = { .inode = ref->inode, .fn = fn, .ctx = ctx };
	int ns = netns_open(ref), fd, err;

	if (ns < 0)
		return ns;
	s.cookie = netns_cookie(ns);
	fd = rtnl_open(ns);
	close(ns);
	if (fd < 0)
		return fd;
	/*
	 * The socket keeps the namespace and all its devices alive until it is
	 * closed (plus an RCU grace period): nothing is done meanwhile but the
	 * dump and the calls of fn.
	 */
	err = rtnl_dump(fd, -1, scan_fact, &s);
	close(fd);
	return err;
}
