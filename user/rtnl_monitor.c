// SPDX-License-Identifier: GPL-2.0-only
/*
 * rtnl_monitor.c - one rtnetlink socket that hears all namespaces.
 *
 * The kernel's rules (do_one_broadcast(), net/netlink/af_netlink.c; the same
 * from 5.10 to 6.18): a socket with NETLINK_LISTEN_ALL_NSID gets the messages
 * of another namespace if that one has an nsid in the socket's namespace
 * (peernet_has_id()) and the socket's opener has CAP_NET_BROADCAST over it
 * (file_ns_capable()). A control message tells the nsid of the sender.
 *
 * An nsid is an entry in an IDR and no reference: a namespace with one dies as
 * if it had none. That is why there is this one socket, and none per
 * namespace, each of which would keep its namespace and devices alive. No fd
 * of another namespace outlives the function that opened it.
 *
 * When a namespace dies, cleanup_net() first takes away its nsids
 * (unhash_nsid(), RTM_DELNSID) and only then unregisters its devices: their
 * RTM_DELLINK are never heard. RTM_DELNSID is the death of all of them.
 *
 * Numbers are reused at once, lowest first: the nsid of a dead namespace goes
 * to the next one, likely with the same inode number. Messages wait in the
 * socket while we learn numbers by asking, so what a number means now need
 * not be what it meant when a waiting message was sent. So meanings of a
 * number form a queue: RTM_DELNSID ends the oldest, messages are read by the
 * oldest, and what we learn is appended.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "array.h"
#include "rtnl.h"
#include "rtnl_monitor.h"

/* Bursts: a thousand devices set up at once are some MiB of messages. */
#define RECEIVE_BUFFER (4 << 20)
/* Notifications are one message each, a few KiB at most. */
#define MESSAGE_SIZE 32768
#define OWN (-1)	/* in place of an nsid: our own namespace */

/* What an nsid means, or once meant. */
struct peer {
	int32_t nsid;
	uint32_t inode;
	uint64_t cookie;	/* 0 unknown */
	bool fresh;		/* learned too late to have heard all: devices to be read */
};

/* Names of masters, by (nsid, ifindex); filled by asking, kept by listening. */
#define MASTERS 256
struct master {
	int32_t nsid;
	uint32_t ifindex;	/* 0: empty */
	char name[TW_NAME_LEN];
};

/* Numbers whose namespace nothing leads to: not searched for again at once. */
#define UNFOUND 16
#define UNFOUND_NS 1000000000u
struct unfound {
	int32_t nsid;
	uint64_t until_ns;	/* CLOCK_BOOTTIME; 0: empty */
};

struct rtnl_monitor {
	int fd;			/* listens; never used to send */
	int req;		/* asks */
	struct peer own;
	struct peer *peer;	/* in the order learned */
	size_t peers, size;
	bool reading;		/* what is learned now is learned late */
	struct master master[MASTERS];
	/* Devices of a late-comer as read, waiting for what the socket still holds. */
	struct tw_event *late;
	size_t lates, late_size;
	int32_t late_nsid;	/* OWN: of none */
	struct unfound unfound[UNFOUND];
	unsigned next_unfound;
	char buf[MESSAGE_SIZE];
};

struct sink {
	int (*fn)(void *ctx, const struct tw_event *fact);
	void *ctx;
	int stop;	/* what fn returned when it was not 0 */
};

static int tell(struct sink *sink, const struct tw_event *fact)
{
	sink->stop = sink->fn(sink->ctx, fact);
	return sink->stop ? -ECANCELED : 0;
}

/* ---- peers ---- */

/* What waiting messages mean by the number. */
static struct peer *peer_oldest(struct rtnl_monitor *m, int32_t nsid)
{
	size_t i;

	if (nsid < 0 || nsid == m->own.nsid)
		return &m->own;
	for (i = 0; i < m->peers; i++)
		if (m->peer[i].nsid == nsid)
			return &m->peer[i];
	return NULL;
}

/* What the kernel means by the number now, as far as we know. */
static struct peer *peer_newest(struct rtnl_monitor *m, int32_t nsid)
{
	size_t i;

	for (i = m->peers; i > 0; i--)
		if (m->peer[i - 1].nsid == nsid)
			return &m->peer[i - 1];
	return NULL;
}

static int peer_append(struct rtnl_monitor *m, const struct peer *peer)
{
	if (ARRAY_ROOM(m->peer, m->size, m->peers + 1))
		return -ENOMEM;
	m->peer[m->peers++] = *peer;
	return 0;
}

static void peer_remove(struct rtnl_monitor *m, struct peer *peer)
{
	size_t i = (size_t)(peer - m->peer);

	memmove(peer, peer + 1, (m->peers - i - 1) * sizeof(*peer));
	m->peers--;
}

/* ---- questions about nsids ---- */

struct nsid_request {
	union {
		struct nlmsghdr nlh;
		char buf[RTNL_REQUEST_SIZE];
	};
};

static struct nlmsghdr *nsid_request(struct nsid_request *req, uint16_t type)
{
	struct nlmsghdr *nlh;

	memset(req, 0, sizeof(*req));
	nlh = mnl_nlmsg_put_header(req);
	nlh->nlmsg_type = type;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	return nlh;
}

/* NETNSA_NSID and NETNSA_CURRENT_NSID of a message; NETNSA_NSID_NOT_ASSIGNED when absent. */
struct nsids {
	int32_t nsid, current;
};

static int collect_nsid(const struct nlattr *attr, void *data)
{
	struct nsids *ids = data;

	if (mnl_attr_validate(attr, MNL_TYPE_U32))
		return MNL_CB_OK;
	if (mnl_attr_get_type(attr) == NETNSA_NSID)
		ids->nsid = (int32_t)mnl_attr_get_u32(attr);
	else if (mnl_attr_get_type(attr) == NETNSA_CURRENT_NSID)
		ids->current = (int32_t)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static struct nsids parse_nsid(const struct nlmsghdr *nlh)
{
	struct nsids ids = { NETNSA_NSID_NOT_ASSIGNED, NETNSA_NSID_NOT_ASSIGNED };

	if (nlh->nlmsg_type != RTM_NEWNSID && nlh->nlmsg_type != RTM_DELNSID)
		return ids;
	/* rtnl_net_fill() writes a whole rtgenmsg, aligned. */
	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct rtgenmsg))
		mnl_attr_parse(nlh, sizeof(struct rtgenmsg), collect_nsid, &ids);
	return ids;
}

static int store_nsid(void *ctx, const struct nlmsghdr *nlh)
{
	*(struct nsids *)ctx = parse_nsid(nlh);
	return 0;
}

/*
 * RTM_GETNSID about the namespace that attribute `type` (NETNSA_FD, _PID,
 * _NSID) tells, as numbered in the namespace `target` (its nsid here, or OWN).
 * The number (NETNSA_NSID_NOT_ASSIGNED: none) in *nsid.
 */
static int ask_nsid(struct rtnl_monitor *m, uint16_t type, uint32_t value, int32_t target, int32_t *nsid)
{
	struct nsids ids = { NETNSA_NSID_NOT_ASSIGNED, NETNSA_NSID_NOT_ASSIGNED };
	struct nsid_request req;
	struct nlmsghdr *nlh = nsid_request(&req, RTM_GETNSID);
	int err;

	mnl_attr_put_u32(nlh, type, value);
	if (target >= 0)
		mnl_attr_put_u32(nlh, NETNSA_TARGET_NSID, (uint32_t)target);
	err = rtnl_request(m->req, nlh, false, store_nsid, &ids);
	*nsid = ids.nsid;
	return err;
}

static int assign_nsid(struct rtnl_monitor *m, int fd)
{
	struct nsid_request req;
	struct nlmsghdr *nlh = nsid_request(&req, RTM_NEWNSID);
	int err;

	mnl_attr_put_u32(nlh, NETNSA_NSID, (uint32_t)NETNSA_NSID_NOT_ASSIGNED);
	mnl_attr_put_u32(nlh, NETNSA_FD, (uint32_t)fd);
	err = rtnl_request(m->req, nlh, false, NULL, NULL);
	return err == -EEXIST ? 0 : err;	/* someone was quicker */
}

/* ---- learning ---- */

/* The nsid of the namespace behind the fd, assigning one if need be. */
static int nsid_of(struct rtnl_monitor *m, int fd, int32_t *nsid)
{
	int err = ask_nsid(m, NETNSA_FD, (uint32_t)fd, OWN, nsid);

	if (err || *nsid >= 0)
		return err;
	err = assign_nsid(m, fd);
	if (!err)
		err = ask_nsid(m, NETNSA_FD, (uint32_t)fd, OWN, nsid);
	if (!err && *nsid < 0)
		err = -ENOENT;
	return err;
}

/* The namespace cannot die meanwhile, nor its nsid change: the caller has it open. */
static int learn(struct rtnl_monitor *m, int fd, uint32_t inode)
{
	struct peer peer = { .inode = inode, .fresh = m->reading };
	const struct peer *known;
	int err;

	if (inode == m->own.inode)
		return 0;
	err = nsid_of(m, fd, &peer.nsid);
	if (err)
		return err;
	peer.cookie = netns_cookie(fd);
	known = peer_newest(m, peer.nsid);
	if (known && known->inode == peer.inode && known->cookie == peer.cookie)
		return 0;
	return peer_append(m, &peer);
}

int rtnl_monitor_add(struct rtnl_monitor *m, const struct netns_ref *ref)
{
	int fd, err;

	if (ref->inode == m->own.inode)
		return 0;
	fd = netns_open(ref);
	if (fd < 0)
		return fd;
	err = learn(m, fd, ref->inode);
	close(fd);
	return err;
}

int rtnl_monitor_add_pid(struct rtnl_monitor *m, pid_t pid)
{
	int fd = netns_open_pid(pid), err;
	uint32_t inode;

	if (fd < 0)
		return fd;
	err = netns_inode(fd, &inode);
	if (!err)
		err = learn(m, fd, inode);
	close(fd);
	return err;
}

static int add_found(void *ctx, const struct netns_ref *ref)
{
	int err = rtnl_monitor_add(ctx, ref);

	/* Vanished, or not ours to look into. */
	return err == -ENOENT || err == -EACCES || err == -EPERM ? 0 : err;
}

int rtnl_monitor_scan(struct rtnl_monitor *m, unsigned sources)
{
	return netns_each(sources, add_found, m);
}

/* Someone may have given our namespace a number within itself. */
static bool is_own(struct rtnl_monitor *m, int32_t nsid)
{
	int32_t own;

	if (nsid < 0 || nsid == m->own.nsid)
		return true;
	if (ask_nsid(m, NETNSA_PID, (uint32_t)getpid(), OWN, &own) || own != nsid)
		return false;
	m->own.nsid = own;
	return true;
}

static struct unfound *unfound_find(struct rtnl_monitor *m, int32_t nsid)
{
	size_t i;

	for (i = 0; i < UNFOUND; i++)
		if (m->unfound[i].until_ns && m->unfound[i].nsid == nsid)
			return &m->unfound[i];
	return NULL;
}

static void unfound_forget(struct rtnl_monitor *m, int32_t nsid)
{
	struct unfound *u = unfound_find(m, nsid);

	if (u)
		u->until_ns = 0;
}

/* The meaning of a number, looking everywhere if it is not known. */
static struct peer *peer_search(struct rtnl_monitor *m, int32_t nsid)
{
	static const unsigned sources[] = { NETNS_CHEAP, NETNS_FDS };
	struct peer *peer = is_own(m, nsid) ? &m->own : peer_oldest(m, nsid);
	struct unfound *u = unfound_find(m, nsid);
	size_t i;

	if (!peer && u && rtnl_boottime() < u->until_ns)
		return NULL;
	for (i = 0; !peer && i < sizeof(sources) / sizeof(sources[0]); i++) {
		(void)rtnl_monitor_scan(m, sources[i]);
		peer = peer_oldest(m, nsid);
	}
	if (!peer) {
		if (!u)
			u = &m->unfound[m->next_unfound++ % UNFOUND];
		*u = (struct unfound){ nsid, rtnl_boottime() + UNFOUND_NS };
	}
	return peer;
}

/* ---- names of masters ---- */

static struct master *master_slot(struct rtnl_monitor *m, int32_t nsid, uint32_t ifindex)
{
	return &m->master[((uint32_t)nsid * 31 + ifindex) % MASTERS];
}

/* A master we know was renamed (name), or is gone (NULL). */
static void master_heard(struct rtnl_monitor *m, int32_t nsid, uint32_t ifindex, const char *name)
{
	struct master *slot = master_slot(m, nsid, ifindex);

	if (slot->ifindex != ifindex || slot->nsid != nsid)
		return;
	if (name)
		memcpy(slot->name, name, TW_NAME_LEN);
	else
		slot->ifindex = 0;
}

static void masters_forget(struct rtnl_monitor *m, int32_t nsid)
{
	size_t i;

	for (i = 0; i < MASTERS; i++)
		if (m->master[i].nsid == nsid)
			m->master[i].ifindex = 0;
}

static int store_link(void *ctx, const struct nlmsghdr *nlh)
{
	struct rtnl_link_extra extra;

	return nlh->nlmsg_type == RTM_NEWLINK ? rtnl_parse_link(nlh, ctx, &extra) : 0;
}

/* One link as it is now, by number; -ENODEV when there is none. */
static int ask_link(struct rtnl_monitor *m, int32_t nsid, uint32_t ifindex, struct tw_event *fact)
{
	union {
		struct nlmsghdr nlh;
		char buf[RTNL_REQUEST_SIZE];
	} req = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&req);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_GETLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = (int)ifindex;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (nsid >= 0)
		mnl_attr_put_u32(nlh, IFLA_TARGET_NETNSID, (uint32_t)nsid);
	return rtnl_request(m->req, nlh, false, store_link, fact);
}

/* Fills fact->dev.master; leaves it empty when the master cannot be asked any more. */
static void name_master(struct rtnl_monitor *m, int32_t nsid, struct tw_event *fact)
{
	struct master *slot = master_slot(m, nsid, fact->dev.master_ifindex);
	struct tw_event master;

	if (!fact->dev.master_ifindex)
		return;
	if (slot->ifindex != fact->dev.master_ifindex || slot->nsid != nsid) {
		if (ask_link(m, nsid, fact->dev.master_ifindex, &master))
			return;
		slot->nsid = nsid;
		slot->ifindex = fact->dev.master_ifindex;
		memcpy(slot->name, master.dev.ifname, TW_NAME_LEN);
	}
	memcpy(fact->dev.master, slot->name, TW_NAME_LEN);
}

/* ---- moves ---- */

/* In the numbers of `target`: which of its nsids is which of ours. */
struct match {
	int32_t wanted;		/* of the target */
	int32_t current;	/* of ours; NETNSA_NSID_NOT_ASSIGNED: none */
	bool found;
};

static int match_nsid(void *ctx, const struct nlmsghdr *nlh)
{
	struct nsids ids = parse_nsid(nlh);
	struct match *match = ctx;

	if (ids.nsid == match->wanted) {
		match->found = true;
		match->current = ids.current;
	}
	return 0;
}

/*
 * Our number of what another namespace calls `nsid`. The dump answers with
 * pairs of its and our numbers (rtnl_net_dumpid(), NETNSA_CURRENT_NSID, 4.20),
 * where our own namespace, which has no number here, must be asked for apart.
 */
static int translate_nsid(struct rtnl_monitor *m, int32_t target, int32_t nsid, struct match *match)
{
	struct nsid_request req;
	struct nlmsghdr *nlh = nsid_request(&req, RTM_GETNSID);

	*match = (struct match){ .wanted = nsid, .current = NETNSA_NSID_NOT_ASSIGNED };
	mnl_attr_put_u32(nlh, NETNSA_TARGET_NSID, (uint32_t)target);
	return rtnl_request(m->req, nlh, true, match_nsid, match);
}

/*
 * Where a device went: new_nsid is a number of the *old* namespace
 * (peernet2id_alloc(dev_net(dev), net), dev_change_net_namespace()), not of
 * ours. NULL when it cannot be found out (any more).
 */
static const struct peer *move_target(struct rtnl_monitor *m, int32_t sender, int32_t new_nsid)
{
	struct peer *peer = NULL;
	struct match match;
	int32_t self;
	int tries;

	if (new_nsid < 0)
		return NULL;
	if (sender < 0)
		return peer_search(m, new_nsid);
	if (!ask_nsid(m, NETNSA_PID, (uint32_t)getpid(), sender, &self) && self == new_nsid)
		return &m->own;
	for (tries = 0; !peer && tries < 3; tries++) {
		if (tries)
			(void)rtnl_monitor_scan(m, tries == 1 ? NETNS_CHEAP : NETNS_FDS);
		if (translate_nsid(m, sender, new_nsid, &match) || !match.found)
			return NULL;
		if (match.current >= 0)
			peer = peer_newest(m, match.current);
	}
	return peer;
}

/* ---- messages ---- */

/* A message told of this device of the late-comer, or (ifindex 0) of the late-comer's end. */
static void late_superseded(struct rtnl_monitor *m, int32_t nsid, uint32_t ifindex)
{
	size_t i, kept = 0;

	if (nsid < 0 || nsid != m->late_nsid)
		return;
	for (i = 0; i < m->lates; i++)
		if (ifindex && m->late[i].dev.ifindex != ifindex)
			m->late[kept++] = m->late[i];
	m->lates = kept;
}

static void fill(struct tw_event *fact, const struct peer *peer, uint32_t type, uint8_t op)
{
	fact->type = type;
	fact->flags = TW_F_RTNL;
	fact->time_ns = rtnl_boottime();
	fact->fd = -1;
	fact->has |= TW_HAS_DEV;
	/* A TW_DEV with TW_HAS_QUEUES would promise a list of files. */
	fact->has &= ~(uint32_t)TW_HAS_QUEUES;
	fact->dev.op = op;
	fact->dev.netns = peer->inode;
	fact->dev.netns_cookie = peer->cookie;
}

static int on_newlink(struct rtnl_monitor *m, int32_t nsid, struct tw_event *fact, struct sink *sink)
{
	const struct peer *peer = peer_oldest(m, nsid);

	master_heard(m, nsid, fact->dev.ifindex, fact->dev.ifname);
	if (fact->dev.kind == TW_KIND_UNKNOWN)
		return 0;
	if (!peer) {
		/* If it is found now, its devices are read afresh, this one among them. */
		(void)peer_search(m, nsid);
		return 0;
	}
	name_master(m, nsid, fact);
	fill(fact, peer, TW_DEV, TW_DEV_STATE);
	return tell(sink, fact);
}

static int on_move(struct rtnl_monitor *m, int32_t nsid, const struct peer *from, struct tw_event *fact,
		   const struct rtnl_link_extra *extra, struct sink *sink)
{
	struct peer old = *from;	/* the table may move when we learn */
	const struct peer *to = move_target(m, nsid, extra->new_nsid);

	fill(fact, &old, TW_DEV_MOVE, 0);
	fact->move.ifindex = extra->new_ifindex ? extra->new_ifindex : fact->dev.ifindex;
	if (to) {
		fact->move.netns = to->inode;
		fact->move.netns_cookie = to->cookie;
	}
	return tell(sink, fact);
}

static int on_dellink(struct rtnl_monitor *m, int32_t nsid, struct tw_event *fact,
		      const struct rtnl_link_extra *extra, struct sink *sink)
{
	const struct peer *peer = peer_oldest(m, nsid);
	bool late = !peer;
	struct tw_event now;

	master_heard(m, nsid, fact->dev.ifindex, NULL);
	if (fact->dev.kind == TW_KIND_UNKNOWN)
		return 0;
	if (late)
		peer = peer_search(m, nsid);
	if (!peer)
		return 0;
	/*
	 * The number may mean another namespace by now than the sender: then
	 * only what is true of that one is told. Its devices are read afresh.
	 */
	if (late && ask_link(m, nsid, fact->dev.ifindex, &now) != -ENODEV)
		return 0;
	if (extra->has_new_netns)
		return on_move(m, nsid, peer, fact, extra, sink);
	fill(fact, peer, TW_DEV, TW_DEV_GONE);
	return tell(sink, fact);
}

static int on_link(struct rtnl_monitor *m, int32_t nsid, const struct nlmsghdr *nlh, struct sink *sink)
{
	struct rtnl_link_extra extra;
	struct tw_event fact;

	/*
	 * Bridges tell of their ports with messages of family AF_BRIDGE, where
	 * RTM_DELLINK only means that the device left the bridge.
	 */
	if (rtnl_parse_link(nlh, &fact, &extra) || extra.family != AF_UNSPEC)
		return 0;
	if (fact.dev.kind != TW_KIND_UNKNOWN)
		late_superseded(m, nsid, fact.dev.ifindex);
	if (nlh->nlmsg_type == RTM_NEWLINK)
		return on_newlink(m, nsid, &fact, sink);
	return on_dellink(m, nsid, &fact, &extra, sink);
}

struct witness {
	struct rtnl_monitor *m;
	struct peer peer;
};

static int is_peer(void *ctx, const struct netns_ref *ref)
{
	struct witness *w = ctx;
	int32_t nsid = NETNSA_NSID_NOT_ASSIGNED;
	uint64_t cookie;
	int fd;

	if (ref->inode != w->peer.inode)
		return 0;
	fd = netns_open(ref);
	if (fd < 0)
		return 0;
	cookie = netns_cookie(fd);
	(void)ask_nsid(w->m, NETNSA_FD, (uint32_t)fd, OWN, &nsid);
	close(fd);
	return cookie == w->peer.cookie && nsid == w->peer.nsid;
}

/*
 * Does this very namespace still live, so that an RTM_DELNSID of its number
 * meant a predecessor we never knew? Only a cookie can tell; without cookies
 * (before 5.14) the message is believed, and a survivor is learned again.
 */
static bool peer_lives(struct rtnl_monitor *m, const struct peer *peer)
{
	struct witness w = { m, *peer };
	int32_t nsid;

	if (!peer->cookie || ask_nsid(m, NETNSA_NSID, (uint32_t)peer->nsid, OWN, &nsid))
		return false;	/* -ENOENT: nothing has that number */
	return netns_each(NETNS_ALL, is_peer, &w) > 0;
}

static int on_delnsid(struct rtnl_monitor *m, int32_t nsid, struct sink *sink)
{
	struct tw_event fact = { 0 };
	struct peer *peer = peer_oldest(m, nsid);

	unfound_forget(m, nsid);
	if (!peer || peer == &m->own || peer_lives(m, peer))
		return 0;
	fill(&fact, peer, TW_NETNS_EXIT, 0);
	peer_remove(m, peer);
	masters_forget(m, nsid);
	late_superseded(m, nsid, 0);
	return tell(sink, &fact);
}

static int on_message(struct rtnl_monitor *m, int32_t sender, const struct nlmsghdr *nlh, struct sink *sink)
{
	int32_t nsid;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return on_link(m, sender, nlh, sink);
	case RTM_NEWNSID:
	case RTM_DELNSID:
		if (sender >= 0)	/* numbers of another namespace are nothing to us */
			return 0;
		nsid = parse_nsid(nlh).nsid;
		if (nsid < 0)
			return 0;
		if (nlh->nlmsg_type == RTM_DELNSID)
			return on_delnsid(m, nsid, sink);
		unfound_forget(m, nsid);
		(void)peer_search(m, nsid);
		return 0;
	}
	return 0;
}

/* ---- late-comers ---- */

/*
 * A namespace learned while reading could not be heard before, so the present
 * state of its devices is read instead. By number, which needs no visit.
 *
 * The socket may hold messages of the same devices by then, and of a move into
 * that namespace whose RTM_NEWNSID made us learn it: those come first, or a
 * device would be told to be in a place before it is told to have moved there.
 * So: read the links, drain the socket, then tell of the devices that no
 * message spoke of (the messages carry whole states, the last is the present).
 */
static int keep_late(void *ctx, const struct tw_event *fact)
{
	struct rtnl_monitor *m = ctx;

	if (ARRAY_ROOM(m->late, m->late_size, m->lates + 1))
		return -ENOMEM;
	m->late[m->lates++] = *fact;
	return 0;
}

/* Reads the links of one late-comer. 1: did so; 0: there is none; or a negative errno. */
static int late_read(struct rtnl_monitor *m)
{
	size_t i;
	int err;

	for (i = 0; i < m->peers; i++) {
		/* Not while a former meaning of the number is still being read. */
		if (!m->peer[i].fresh || peer_oldest(m, m->peer[i].nsid) != &m->peer[i])
			continue;
		m->peer[i].fresh = false;
		m->late_nsid = m->peer[i].nsid;
		m->lates = 0;
		err = rtnl_dump(m->req, m->late_nsid, keep_late, m);
		if (err == -ENOENT || err == -EINVAL)	/* it died: RTM_DELNSID follows */
			err = 0;
		return err ? err : 1;
	}
	return 0;
}

static int late_tell(struct rtnl_monitor *m, struct sink *sink)
{
	const struct peer *peer = peer_oldest(m, m->late_nsid);
	int err = 0;

	while (!err && peer && m->lates) {
		struct tw_event *fact = &m->late[--m->lates];

		fill(fact, peer, TW_DEV, TW_DEV_STATE);
		err = tell(sink, fact);
	}
	if (!m->lates || !peer)
		m->late_nsid = OWN;
	return err;
}

/* The socket is empty. 1: look again; 0: nothing to do; or a negative errno. */
static int late_step(struct rtnl_monitor *m, struct sink *sink)
{
	int err;

	if (m->late_nsid >= 0) {
		err = late_tell(m, sink);
		if (err)
			return err;
	}
	return late_read(m);
}

/* ---- receiving ---- */

/*
 * The sender's nsid. No control message: our own. So is one with nsid -1: the
 * kernel copies the mark "has a number" to further listeners of the same
 * message, in the sender's own namespace too.
 */
static int32_t sender_nsid(struct rtnl_monitor *m, struct msghdr *msg)
{
	struct cmsghdr *c;
	int32_t nsid = OWN;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
			memcpy(&nsid, CMSG_DATA(c), sizeof(nsid));
	return peer_oldest(m, nsid) == &m->own || (!peer_oldest(m, nsid) && is_own(m, nsid)) ? OWN : nsid;
}

/* > 0: bytes in m->buf; 0: skip; -EAGAIN: no more; -ENOBUFS: lost some. */
static int receive(struct rtnl_monitor *m, int32_t *sender)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int)) * 4];
	} control;
	struct iovec iov = { .iov_base = m->buf, .iov_len = sizeof(m->buf) };
	struct sockaddr_nl from = { 0 };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(m->fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (from.nl_pid)	/* from a process, not the kernel */
		return 0;
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -ENOBUFS;
	*sender = sender_nsid(m, &msg);
	return (int)n;
}

/*
 * After a loss what still waits has no meaning any more (it may speak of
 * numbers whose change was lost): the caller reads all anew anyway.
 */
static int start_over(struct rtnl_monitor *m)
{
	int32_t sender;
	int n, limit;

	for (n = 0, limit = 1 << 16; n != -EAGAIN && limit > 0; limit--)
		n = receive(m, &sender);
	m->peers = 0;
	m->lates = 0;
	m->late_nsid = OWN;
	memset(m->master, 0, sizeof(m->master));
	m->reading = false;
	(void)rtnl_monitor_scan(m, NETNS_CHEAP);
	return -ENOBUFS;
}

/* One datagram: 0, -EAGAIN when there is none, -ECANCELED when fn stopped, or another error. */
static int read_one(struct rtnl_monitor *m, struct sink *sink)
{
	const struct nlmsghdr *nlh;
	int32_t sender = OWN;
	int n = receive(m, &sender), err = 0;

	if (n == -ENOBUFS)
		return start_over(m);
	if (n < 0)
		return n;
	for (nlh = (void *)m->buf; !err && mnl_nlmsg_ok(nlh, n); nlh = mnl_nlmsg_next(nlh, &n))
		err = on_message(m, sender, nlh, sink);
	return err;
}

static int read_all(struct rtnl_monitor *m, struct sink *sink)
{
	int err;

	do {
		do
			err = read_one(m, sink);
		while (!err);
		if (err == -EAGAIN)
			err = late_step(m, sink);
	} while (err == 1);
	return err;
}

int rtnl_monitor_read(struct rtnl_monitor *m, int (*fn)(void *ctx, const struct tw_event *fact), void *ctx)
{
	struct sink sink = { .fn = fn, .ctx = ctx };
	int err;

	m->reading = true;
	err = read_all(m, &sink);
	m->reading = false;
	return err == -ECANCELED ? sink.stop : err;
}

/* ---- life ---- */

static int open_listener(void)
{
	static const int groups[] = { RTNLGRP_LINK, RTNLGRP_NSID };
	int size = RECEIVE_BUFFER, one = 1, fd, err;
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	size_t i;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)))
		goto fail;
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])))
			goto fail;
	return fd;
fail:
	err = -errno;
	close(fd);
	return err;
}

/* Inode, cookie and, if someone gave it one, the nsid of our namespace within itself. */
static int learn_own(struct rtnl_monitor *m)
{
	struct netns_ref self = { .path = "/proc/thread-self/ns/net" };
	int fd, err;

	err = netns_self(&self.inode);
	if (err)
		return err;
	fd = netns_open(&self);
	if (fd < 0)
		return fd;
	m->own.inode = self.inode;
	m->own.cookie = netns_cookie(fd);
	err = ask_nsid(m, NETNSA_FD, (uint32_t)fd, OWN, &m->own.nsid);
	close(fd);
	return err;
}

int rtnl_monitor_new(struct rtnl_monitor **out)
{
	struct rtnl_monitor *m = calloc(1, sizeof(*m));
	int err;

	*out = NULL;
	if (!m)
		return -ENOMEM;
	m->req = -1;
	m->own.nsid = m->late_nsid = OWN;
	err = m->fd = open_listener();
	if (err < 0)
		goto fail;
	err = m->req = rtnl_open(-1);
	if (err < 0)
		goto fail;
	err = learn_own(m);
	if (err)
		goto fail;
	*out = m;
	return 0;
fail:
	rtnl_monitor_free(m);
	return err;
}

void rtnl_monitor_free(struct rtnl_monitor *m)
{
	if (!m)
		return;
	if (m->fd >= 0)
		close(m->fd);
	if (m->req >= 0)
		close(m->req);
	free(m->peer);
	free(m->late);
	free(m);
}

int rtnl_monitor_fd(const struct rtnl_monitor *m)
{
	return m->fd;
}
