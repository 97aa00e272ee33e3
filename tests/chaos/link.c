/* SPDX-License-Identifier: GPL-2.0-only */
/* link.c - operations on devices and namespaces, and the list of a namespace's devices. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos.h"

#define NAMES 10	/* few, so that they meet */

int random_name(char name[IFNAMSIZ])
{
	int number = rnd(NAMES);

	snprintf(name, IFNAMSIZ, chance(96) ? "c%d" : "tap%d", number);
	return number;
}

/* ---- rtnetlink -------------------------------------------------------------------- */

struct request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	char attributes[256];
};

static void put(struct request *r, int type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static void request_init(struct request *r, int type, int flags, int ifindex)
{
	memset(r, 0, sizeof(*r));
	r->head.nlmsg_len = NLMSG_LENGTH(sizeof(r->link));
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = NLM_F_REQUEST | flags;
	r->link.ifi_index = ifindex;
}

static int request_do(struct request *r)
{
	char answer[4096];
	struct nlmsghdr *head = (void *)answer;
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err = 0;
	ssize_t n;

	if (sock < 0)
		return -errno;
	r->head.nlmsg_flags |= NLM_F_ACK;
	/* The answer is there when send() returns; and who knows what another thread has put at our number. */
	if (send(sock, r, r->head.nlmsg_len, MSG_DONTWAIT) < 0 ||
	    (n = recv(sock, answer, sizeof(answer), MSG_DONTWAIT)) < 0)
		err = -errno;
	else if (n >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && head->nlmsg_type == NLMSG_ERROR)
		err = ((struct nlmsgerr *)NLMSG_DATA(head))->error;
	close(sock);
	return err;
}

static void note_err(const char *what, int err, int a, int b, const char *text)
{
	errno = -err;
	note(what, err ? -1 : 0, a, b, 0, text);
}

int link_set_alias(int ifindex, const char *alias)
{
	struct request r;

	request_init(&r, RTM_SETLINK, 0, ifindex);
	put(&r, IFLA_IFALIAS, alias, strlen(alias));
	return request_do(&r);
}

/* ---- operations --------------------------------------------------------------------- */

/*
 * Does something in namespace k. What concerns one that may be deleted is done
 * by a child: its fds of that namespace are in no table that another agent
 * copies, so nothing keeps it alive but what is meant to.
 */
static void in_space(int k, int other, void (*run)(int k))
{
	uint64_t seed = (rnd(2), mix(*stream));
	pid_t pid;

	if (k < HOMES && other < HOMES) {
		if (k != home && space_enter(k))
			return;
		run(k);
		if (k != home)
			space_enter(home);
		return;
	}
	pid = copy_process(0);
	if (!pid) {
		me = NULL;
		stream = &seed;
		if (!space_enter(k))
			run(k);
		_exit(0);
	}
	if (pid > 0)
		wait_for(pid);
}

static int any_space(void)
{
	return chance(60) ? home : (int)rnd(SPACES);
}

static int ifreq_do(unsigned long request, struct ifreq *ifr)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (sock < 0)
		return -errno;
	err = ioctl(sock, request, ifr) ? -errno : 0;
	close(sock);
	return err;
}

static int index_of(const char *name)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	return ifreq_do(SIOCGIFINDEX, &ifr) ? 0 : ifr.ifr_ifindex;
}

static void rename_in(int k)
{
	struct ifreq ifr = { 0 };
	char to[IFNAMSIZ] = "";

	random_name(ifr.ifr_name);
	random_name(to);
	memcpy(ifr.ifr_newname, to, IFNAMSIZ);
	note_err("rename", ifreq_do(SIOCSIFNAME, &ifr), k, to[1] - '0', ifr.ifr_name);
}

static void op_rename(void)
{
	in_space(any_space(), 0, rename_in);
}

static void flags_in(int k)
{
	struct ifreq ifr = { 0 };
	int up = chance(50);

	random_name(ifr.ifr_name);
	ifr.ifr_flags = up ? IFF_UP : 0;
	note_err(up ? "up" : "down", ifreq_do(SIOCSIFFLAGS, &ifr), k, 0, ifr.ifr_name);
}

static void op_flags(void)
{
	in_space(any_space(), 0, flags_in);
}

static void mac_in(int k)
{
	struct ifreq ifr = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };

	random_name(ifr.ifr_name);
	ifr.ifr_hwaddr.sa_data[0] = 2;
	for (int i = 1; i < 6; i++)
		ifr.ifr_hwaddr.sa_data[i] = rnd(256);
	note_err("mac", ifreq_do(SIOCSIFHWADDR, &ifr), k, 0, ifr.ifr_name);
}

static void op_mac(void)
{
	in_space(any_space(), 0, mac_in);
}

static void delete_in(int k)
{
	char name[IFNAMSIZ] = "";
	struct request r;

	random_name(name);
	request_init(&r, RTM_DELLINK, 0, 0);
	put(&r, IFLA_IFNAME, name, strlen(name) + 1);
	note_err("delete", request_do(&r), k, 0, name);
}

static void op_delete(void)
{
	in_space(any_space(), 0, delete_in);
}

static __thread int move_to;

/* Also together with a new name, in one request. */
static void move_in(int k)
{
	char name[IFNAMSIZ] = "", to_name[IFNAMSIZ] = "";
	int fd = space_open(move_to);
	uint32_t nsfd = fd;
	struct request r;

	random_name(name);
	if (fd < 0)
		return;
	request_init(&r, RTM_NEWLINK, 0, index_of(name));
	put(&r, IFLA_NET_NS_FD, &nsfd, sizeof(nsfd));
	if (chance(30)) {
		random_name(to_name);
		put(&r, IFLA_IFNAME, to_name, strlen(to_name) + 1);
	}
	if (r.link.ifi_index)
		note_err("move", request_do(&r), k, move_to, name);
	close(fd);
}

static void op_move(void)
{
	move_to = rnd(SPACES);
	in_space(any_space(), move_to, move_in);
}

/* Where an agent opens /dev/net/tun next. Namespaces that are to be deleted are none: an open file keeps them. */
static void op_home(void)
{
	int k = rnd(HOMES);

	if (space_enter(k))
		return;
	home = k;
	note("setns", 0, k, 0, 0, NULL);
}

static void op_renew(void)
{
	int k = rnd_between(HOMES, SPACES - 1);

	note("delete namespace", 0, k, 0, 0, NULL);
	atomic_fetch_or(&sh->renew, 1u << k);
	tell_coordinator();
}

const struct op link_ops[] = {
	{ "rename", 10, op_rename }, { "up-down", 16, op_flags }, { "mac", 6, op_mac },
	{ "delete", 7, op_delete }, { "move", 18, op_move }, { "home", 12, op_home }, { "renew", 1, op_renew },
	{ NULL, 0, NULL }
};

/* ---- the list --------------------------------------------------------------------------- */

static const struct rtattr *attribute(const struct rtattr *a, int len, int type)
{
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	return NULL;
}

static const struct rtattr *nested(const struct rtattr *a, int type)
{
	return a ? attribute(RTA_DATA(a), RTA_PAYLOAD(a), type) : NULL;
}

static void text_of(const struct rtattr *a, char *out, size_t size)
{
	size_t n = a ? strnlen(RTA_DATA(a), RTA_PAYLOAD(a)) : 0;

	snprintf(out, size, "%.*s", (int)n, a ? (char *)RTA_DATA(a) : "");
}

static int64_t number_of(const struct rtattr *a)
{
	uint32_t value = 0;

	if (!a || RTA_PAYLOAD(a) > sizeof(value))
		return -1;
	memcpy(&value, RTA_DATA(a), RTA_PAYLOAD(a));
	return value;
}

static void link_read(struct link_info *link, const struct nlmsghdr *head)
{
	const struct ifinfomsg *info = NLMSG_DATA(head);
	const struct rtattr *first = IFLA_RTA(info), *kind, *data, *mac;
	int len = IFLA_PAYLOAD(head);

	memset(link, 0, sizeof(*link));
	link->ifindex = info->ifi_index;
	link->up = info->ifi_flags & IFF_UP;
	text_of(attribute(first, len, IFLA_IFNAME), link->ifname, sizeof(link->ifname));
	text_of(attribute(first, len, IFLA_IFALIAS), link->alias, sizeof(link->alias));
	mac = attribute(first, len, IFLA_ADDRESS);
	link->has_mac = mac && RTA_PAYLOAD(mac) == 6;
	if (link->has_mac)
		memcpy(link->mac, RTA_DATA(mac), 6);
	kind = nested(attribute(first, len, IFLA_LINKINFO), IFLA_INFO_KIND);
	data = nested(attribute(first, len, IFLA_LINKINFO), IFLA_INFO_DATA);
	text_of(kind, link->kind, sizeof(link->kind));
	link->type = number_of(nested(data, IFLA_TUN_TYPE));
	link->persist = number_of(nested(data, IFLA_TUN_PERSIST));
	link->multi_queue = number_of(nested(data, IFLA_TUN_MULTI_QUEUE));
	link->vnet_hdr = number_of(nested(data, IFLA_TUN_VNET_HDR));
	link->pi = number_of(nested(data, IFLA_TUN_PI));
	link->queues = number_of(nested(data, IFLA_TUN_NUM_QUEUES));
	link->disabled_queues = number_of(nested(data, IFLA_TUN_NUM_DISABLED_QUEUES));
	link->owner = number_of(nested(data, IFLA_TUN_OWNER));
	link->group = number_of(nested(data, IFLA_TUN_GROUP));
}

int links_dump(struct link_info *links, int max)
{
	static char buffer[65536];
	struct request r;
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), count = 0;

	request_init(&r, RTM_GETLINK, NLM_F_DUMP, 0);
	if (sock < 0 || send(sock, &r, r.head.nlmsg_len, 0) < 0) {
		close(sock);
		return -errno;
	}
	for (bool done = false; !done; ) {
		ssize_t got = recv(sock, buffer, sizeof(buffer), 0);
		unsigned int n = got < 0 ? 0 : got;

		done = got <= 0;
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			done |= h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
			if (h->nlmsg_type == RTM_NEWLINK && count < max)
				link_read(&links[count++], h);
		}
	}
	close(sock);
	return count;
}
