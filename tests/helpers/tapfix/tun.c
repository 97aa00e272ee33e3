/* SPDX-License-Identifier: GPL-2.0-only */
/* tun.c - tun files and their ioctls, and devices. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tapfix.h"

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#ifndef IFF_DETACH_QUEUE
#define IFF_DETACH_QUEUE 0x0400
#endif

struct index_job {
	int nsfd;		/* -1: stay where we are */
	char ifname[IFNAMSIZ];
	int ifindex;		/* out; 0 unknown */
};

/* setns() concerns one thread only, so a thread can look elsewhere without the process moving. */
static void *index_thread(void *arg)
{
	struct index_job *job = arg;
	struct ifreq ifr = { 0 };
	int sock;

	job->ifindex = 0;
	if (job->nsfd >= 0 && setns(job->nsfd, CLONE_NEWNET))
		return NULL;
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return NULL;
	memcpy(ifr.ifr_name, job->ifname, IFNAMSIZ);
	if (!ioctl(sock, SIOCGIFINDEX, &ifr))
		job->ifindex = ifr.ifr_ifindex;
	close(sock);
	return NULL;
}

/* Tells ifname, flags, netns and ifindex of the device a tun file is bound to. */
static int tell_device(int fd)
{
	struct index_job job = { .nsfd = -1 };
	struct ifreq ifr = { 0 };
	unsigned int flags;
	uint64_t netns = 0;
	pthread_t thread;
	int nsfd;

	if (ioctl(fd, TUNGETIFF, &ifr))
		return -errno;
	flags = (unsigned short)ifr.ifr_flags;
	nsfd = ioctl(fd, TUNGETDEVNETNS);
	if (nsfd >= 0)
		netns = inode_of(nsfd);
	memcpy(job.ifname, ifr.ifr_name, IFNAMSIZ);
	if (nsfd >= 0 && netns == own_netns()) {
		index_thread(&job);
	} else if (nsfd >= 0) {
		job.nsfd = nsfd;
		if (!pthread_create(&thread, NULL, index_thread, &job))
			pthread_join(thread, NULL);
	}
	if (nsfd >= 0)
		close(nsfd);

	say_text("ifname", ifr.ifr_name, IFNAMSIZ);
	say(",\"kind\":\"%s\",\"flags\":%u,\"detached\":%s", flags & IFF_TAP ? "tap" : "tun", flags,
	    flags & IFF_DETACH_QUEUE ? "true" : "false");
	if (netns)
		say(",\"netns\":%llu", (unsigned long long)netns);
	if (job.ifindex)
		say(",\"ifindex\":%d", job.ifindex);
	return 0;
}

static int cmd_open(char **w, int n)
{
	const char *path = TUN_PATH;
	int flags = O_RDWR, fd, err;

	for (int i = 2; i < n; i++) {
		if (!strcmp(w[i], "opath"))
			flags = (flags & ~O_RDWR) | O_PATH;
		else if (!strcmp(w[i], "cloexec"))
			flags |= O_CLOEXEC;
		else
			path = w[i];
	}
	fd = open(path, flags);
	if (fd < 0)
		return -errno;
	err = slot_put(w[1], fd);
	if (err) {
		close(fd);
		return err;
	}
	say(",\"fd\":%d", fd);
	return 0;
}

static int cmd_storm(char **w, int n)
{
	(void)n;
	for (int left = atoi(w[1]); left > 0; left--) {
		int fd = open(TUN_PATH, O_RDWR);

		if (fd < 0)
			return -errno;
		close(fd);
	}
	return 0;
}

/* ---- commands: tun ioctls --------------------------------------------- */

static const struct { const char *word; int flag; } iff_words[] = {
	{ "tun", IFF_TUN }, { "tap", IFF_TAP }, { "multi_queue", IFF_MULTI_QUEUE },
	{ "vnet_hdr", IFF_VNET_HDR }, { "no_pi", IFF_NO_PI }, { "one_queue", IFF_ONE_QUEUE },
	{ "tun_excl", IFF_TUN_EXCL },
};

static int parse_ifreq(struct ifreq *ifr, char **w, int n)
{
	size_t len = strlen(w[2]);

	memset(ifr, 0, sizeof(*ifr));
	memcpy(ifr->ifr_name, w[2], len < IFNAMSIZ ? len : IFNAMSIZ);
	for (int i = 3; i < n; i++) {
		size_t k;

		for (k = 0; k < sizeof(iff_words) / sizeof(*iff_words); k++)
			if (!strcmp(w[i], iff_words[k].word))
				break;
		if (k == sizeof(iff_words) / sizeof(*iff_words))
			return -EINVAL;
		ifr->ifr_flags |= iff_words[k].flag;
	}
	return 0;
}

static int cmd_setiff(char **w, int n)
{
	struct ifreq ifr;
	int fd = slot_fd(w[1]), err = parse_ifreq(&ifr, w, n);

	if (fd < 0 || err)
		return fd < 0 ? fd : err;
	if (ioctl(fd, TUNSETIFF, &ifr))
		return -errno;
	return tell_device(fd);
}

/*
 * The kernel binds first and copies the ifreq back last: when that fails the
 * caller is told EFAULT although the file is bound. Answers ok with the errno.
 */
static int cmd_efault(char **w, int n)
{
	struct ifreq *page;
	int fd = slot_fd(w[1]), err;

	if (fd < 0)
		return fd;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	err = parse_ifreq(page, w, n);
	if (!err && mprotect(page, 4096, PROT_READ))
		err = -errno;
	if (!err) {
		int ret = ioctl(fd, TUNSETIFF, page);

		say(",\"result\":\"%s\"", ret ? strerrorname_np(errno) : "0");
		err = tell_device(fd);
	}
	munmap(page, 4096);
	return err;
}

static int cmd_setifindex(char **w, int n)
{
	int fd = slot_fd(w[1]), index = atoi(w[2]);

	(void)n;
	if (fd < 0)
		return fd;
	return ioctl(fd, TUNSETIFINDEX, &index) ? -errno : 0;
}

static int set_queue(int fd, bool attach)
{
	struct ifreq ifr = { .ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	return ioctl(fd, TUNSETQUEUE, &ifr) ? -errno : 0;
}

static int cmd_queue(char **w, int n)
{
	int fd = slot_fd(w[1]);

	(void)n;
	return fd < 0 ? fd : set_queue(fd, !strcmp(w[2], "attach"));
}

static int cmd_flip(char **w, int n)
{
	int fd = slot_fd(w[1]), err = fd < 0 ? fd : 0;

	(void)n;
	for (int left = atoi(w[2]); !err && left > 0; left--) {
		err = set_queue(fd, false);
		if (!err)
			err = set_queue(fd, true);
	}
	return err;
}

static int number_ioctl(char **w, unsigned long cmd)
{
	int fd = slot_fd(w[1]);

	if (fd < 0)
		return fd;
	return ioctl(fd, cmd, strtoul(w[2], NULL, 0)) ? -errno : 0;
}

static int cmd_persist(char **w, int n) { (void)n; return number_ioctl(w, TUNSETPERSIST); }
static int cmd_owner(char **w, int n) { (void)n; return number_ioctl(w, TUNSETOWNER); }
static int cmd_group(char **w, int n) { (void)n; return number_ioctl(w, TUNSETGROUP); }

static int cmd_getiff(char **w, int n)
{
	int fd = slot_fd(w[1]);

	(void)n;
	return fd < 0 ? fd : tell_device(fd);
}

static int tell_netns(const char *name, unsigned long cmd)
{
	int fd = slot_fd(name), nsfd;

	if (fd < 0)
		return fd;
	nsfd = ioctl(fd, cmd);
	if (nsfd < 0)
		return -errno;
	say(",\"netns\":%llu", (unsigned long long)inode_of(nsfd));
	close(nsfd);
	return 0;
}

static int cmd_devnetns(char **w, int n) { (void)n; return tell_netns(w[1], TUNGETDEVNETNS); }
static int cmd_sknetns(char **w, int n) { (void)n; return tell_netns(w[1], SIOCGSKNS); }

/* ---- commands: packets -------------------------------------------------- */

/* A frame to everybody, of a protocol for local experiments (0x88b5); set up with no_pi. */
static int cmd_transmit(char **w, int n)
{
	unsigned char frame[60] = { 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	int fd = slot_fd(w[1]);

	(void)n;
	if (fd < 0)
		return fd;
	return write(fd, frame, sizeof(frame)) < 0 ? -errno : 0;
}

/* Waits for one. */
static int cmd_receive(char **w, int n)
{
	unsigned char frame[4096];
	int fd = slot_fd(w[1]);

	(void)n;
	if (fd < 0)
		return fd;
	return read(fd, frame, sizeof(frame)) < 0 ? -errno : 0;
}

/* ---- commands: many devices ------------------------------------------- */

static int make_taps(char **w, bool persist)
{
	struct pollfd next = { .fd = in_fd, .events = POLLIN };
	int count = atoi(w[1]), i;

	for (i = 0; i < count && (persist || poll(&next, 1, 0) <= 0); i++) {
		struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
		int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC), err = 0;

		if (fd < 0)
			return -errno;
		if (snprintf(ifr.ifr_name, IFNAMSIZ, "%s%d", w[2], i) >= IFNAMSIZ)
			err = -ENAMETOOLONG;
		else if (ioctl(fd, TUNSETIFF, &ifr) || (persist && ioctl(fd, TUNSETPERSIST, 1)))
			err = -errno;
		close(fd);
		if (err)
			return err;
	}
	say(",\"made\":%d", i);
	return 0;
}

static int cmd_many(char **w, int n) { (void)n; return make_taps(w, true); }
static int cmd_churn(char **w, int n) { (void)n; return make_taps(w, false); }

/* ---- commands: devices ------------------------------------------------ */

static int netdev_ioctl(unsigned long cmd, struct ifreq *ifr)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (sock < 0)
		return -errno;
	if (ioctl(sock, cmd, ifr))
		err = -errno;
	close(sock);
	return err;
}

static int name_ifreq(struct ifreq *ifr, const char *ifname)
{
	size_t len = strlen(ifname);

	memset(ifr, 0, sizeof(*ifr));
	if (len >= IFNAMSIZ)
		return -ENAMETOOLONG;
	memcpy(ifr->ifr_name, ifname, len);
	return 0;
}

static int cmd_rename(char **w, int n)
{
	struct ifreq ifr, to;
	int err = name_ifreq(&ifr, w[1]);

	(void)n;
	if (!err)
		err = name_ifreq(&to, w[2]);
	if (err)
		return err;
	memcpy(ifr.ifr_newname, to.ifr_name, IFNAMSIZ);
	return netdev_ioctl(SIOCSIFNAME, &ifr);
}

static int cmd_mac(char **w, int n)
{
	struct ifreq ifr;
	unsigned int m[6];
	int err = name_ifreq(&ifr, w[1]);

	(void)n;
	if (err)
		return err;
	if (sscanf(w[2], "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
		return -EINVAL;
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	for (int i = 0; i < 6; i++)
		ifr.ifr_hwaddr.sa_data[i] = m[i];
	return netdev_ioctl(SIOCSIFHWADDR, &ifr);
}

static int set_up(const char *ifname, bool up)
{
	struct ifreq ifr;
	int err = name_ifreq(&ifr, ifname);

	if (!err)
		err = netdev_ioctl(SIOCGIFFLAGS, &ifr);
	if (err)
		return err;
	ifr.ifr_flags = up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP;
	return netdev_ioctl(SIOCSIFFLAGS, &ifr);
}

static int cmd_up(char **w, int n) { (void)n; return set_up(w[1], true); }
static int cmd_down(char **w, int n) { (void)n; return set_up(w[1], false); }

const struct command tun_commands[] = {
	{ "open", 2, cmd_open }, { "storm", 2, cmd_storm },
	{ "setiff", 4, cmd_setiff }, { "efault", 4, cmd_efault }, { "setifindex", 3, cmd_setifindex },
	{ "queue", 3, cmd_queue }, { "flip", 3, cmd_flip },
	{ "persist", 3, cmd_persist }, { "owner", 3, cmd_owner }, { "group", 3, cmd_group },
	{ "getiff", 2, cmd_getiff }, { "devnetns", 2, cmd_devnetns }, { "sknetns", 2, cmd_sknetns },
	{ "transmit", 2, cmd_transmit }, { "receive", 2, cmd_receive },
	{ "many", 3, cmd_many }, { "churn", 3, cmd_churn },
	{ "rename", 3, cmd_rename }, { "mac", 3, cmd_mac }, { "up", 2, cmd_up }, { "down", 2, cmd_down },
	{ 0 },
};
