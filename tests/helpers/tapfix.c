/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tapfix - a process that tests drive by hand. It reads one command a line on
 * stdin, performs it, and answers exactly one line of JSON on stdout:
 *
 *	{"ok":true, ...facts}		or	{"ok":false,"errno":"EBUSY"}
 *
 * so that a test is a handshake and never a sleep. It ends at end of input or
 * at `quit`. Files are kept in named slots. Words are separated by blanks; any
 * byte may be written as \xNN. Names are answered with each byte above 0x7f as
 * the JSON escape of the code point of the same number.
 *
 * Files
 *   open NAME [PATH] [opath] [cloexec]	open /dev/net/tun, or PATH
 *   close NAME				also: closefd NUMBER
 *   dup NAME NEW [cloexec]		F_DUPFD
 *   dup2 NAME NEW FD			dup2 to the number FD, slot NEW
 *   slot NEW FD			gives a slot to an inherited number
 *   nsfd NAME [PATH]			an fd of a namespace, default /proc/thread-self/ns/net
 *   storm N				opens and closes /dev/net/tun N times
 * tun ioctls
 *   setiff NAME IFNAME tun|tap [multi_queue] [vnet_hdr] [no_pi] [tun_excl] [one_queue]
 *   efault NAME IFNAME tun|tap		the same, on a page that cannot be written
 *   setifindex NAME N
 *   queue NAME attach|detach
 *   flip NAME N			N times: queue detach, queue attach
 *   persist NAME 0|1	owner NAME UID	group NAME GID
 *   getiff NAME	devnetns NAME	sknetns NAME
 * Many devices
 *   many N PREFIX			N persistent taps PREFIX0...
 *   churn N PREFIX			N times in a row: open, setiff, close; until the next command comes; answers `made`
 * Devices, in the process's own namespace
 *   rename OLD NEW	mac IFNAME AA:BB:CC:DD:EE:FF	up IFNAME	down IFNAME
 * The process
 *   pid				pid, uid, comm and namespace
 *   comm NAME
 *   setns PATH				a network namespace
 *   unshare net|user|files|mnt[,...]	`user` maps the own uid and gid to 0
 *   setuid UID				uid and gid, no other groups, no capabilities
 *   exec [PATH [ARGUMENT...]]		itself again, or a copy of itself elsewhere, with these arguments;
 *					answers once it runs, slots with close-on-exec are gone
 *   abort				kill -9 of itself (no answer)
 *   quit
 * Children
 *   fork CHILD				a copy with all slots; then `@CHILD COMMAND`
 *   reap CHILD				waits for a child that ended
 *   sendfd NAME CHILD|parent		SCM_RIGHTS over a socket pair that fork made
 *   recvfd NEW CHILD|parent
 * vhost-net
 *   vhost NAME SLOT INDEX		gives the queue NAME to virtqueue INDEX of SLOT (opened when new)
 *   vhost-off SLOT INDEX		takes it back
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#ifndef IFF_DETACH_QUEUE
#define IFF_DETACH_QUEUE 0x0400
#endif

#define MAX_SLOTS	1100
#define MAX_CHILDREN	16
#define MAX_WORDS	32
#define TUN_PATH	"/dev/net/tun"
#define ENV_SLOTS	"TAPFIX_SLOTS"

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
};

static struct slot slots[MAX_SLOTS];
static struct child children[MAX_CHILDREN];
static int in_fd = 0, out_fd = 1;
static char **saved_argv;

/* ---- answers ---------------------------------------------------------- */

static char answer[65536];
static size_t answer_len;

__attribute__((format(printf, 1, 2)))
static void say(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(answer + answer_len, sizeof(answer) - answer_len, fmt, ap);
	va_end(ap);
	if (n > 0 && answer_len + n < sizeof(answer))
		answer_len += n;
}

/* A JSON string of bytes, each taken as the code point of the same number. */
static void say_text(const char *key, const char *text, size_t max)
{
	say(",\"%s\":\"", key);
	for (size_t i = 0; i < max && text[i]; i++) {
		unsigned char c = text[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			say("\\u%04x", c);
		else
			say("%c", c);
	}
	say("\"");
}

static void write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		buf += n;
		len -= n;
	}
}

static const char *errno_name(int err)
{
	static const struct { int err; const char *name; } names[] = {
		{ EPERM, "EPERM" }, { ENOENT, "ENOENT" }, { ESRCH, "ESRCH" },
		{ EINTR, "EINTR" }, { EIO, "EIO" }, { ENXIO, "ENXIO" },
		{ E2BIG, "E2BIG" }, { EBADF, "EBADF" }, { EAGAIN, "EAGAIN" },
		{ ENOMEM, "ENOMEM" }, { EACCES, "EACCES" }, { EFAULT, "EFAULT" },
		{ EBUSY, "EBUSY" }, { EEXIST, "EEXIST" }, { ENODEV, "ENODEV" },
		{ EINVAL, "EINVAL" }, { EMFILE, "EMFILE" }, { ENOTTY, "ENOTTY" },
		{ ENOSPC, "ENOSPC" }, { ENOSYS, "ENOSYS" }, { ENFILE, "ENFILE" },
		{ EBADFD, "EBADFD" }, { ENOLINK, "ENOLINK" }, { EUSERS, "EUSERS" },
		{ EADDRNOTAVAIL, "EADDRNOTAVAIL" }, { EOPNOTSUPP, "EOPNOTSUPP" },
		{ ENAMETOOLONG, "ENAMETOOLONG" }, { ECHILD, "ECHILD" },
		{ ENOPROTOOPT, "ENOPROTOOPT" }, { ENOBUFS, "ENOBUFS" },
		{ EADDRINUSE, "EADDRINUSE" }, { ENFILE, "ENFILE" },
	};
	static char number[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].err == err)
			return names[i].name;
	snprintf(number, sizeof(number), "%d", err);
	return number;
}

/* ---- slots and words -------------------------------------------------- */

static struct slot *slot_find(const char *name)
{
	for (size_t i = 0; i < MAX_SLOTS; i++)
		if (slots[i].name[0] && !strcmp(slots[i].name, name))
			return &slots[i];
	return NULL;
}

static int slot_fd(const char *name)
{
	struct slot *s = name ? slot_find(name) : NULL;

	return s ? s->fd : -EBADF;
}

/* Takes over `fd`. Negative errno when there is no room or no name. */
static int slot_put(const char *name, int fd)
{
	struct slot *s;

	if (!name || !*name || strlen(name) >= sizeof(s->name))
		return -EINVAL;
	s = slot_find(name);
	for (size_t i = 0; !s && i < MAX_SLOTS; i++)
		if (!slots[i].name[0])
			s = &slots[i];
	if (!s)
		return -ENFILE;
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->fd = fd;
	s->vhost_mem = NULL;
	return 0;
}

static struct child *child_find(const char *name)
{
	for (size_t i = 0; i < MAX_CHILDREN; i++)
		if (children[i].name[0] && !strcmp(children[i].name, name))
			return &children[i];
	return NULL;
}

/* Resolves \xNN in place. */
static void unescape(char *s)
{
	char *w = s;

	for (; *s; s++, w++) {
		unsigned int byte;

		*w = *s;
		if (s[0] == '\\' && s[1] == 'x' && sscanf(s + 2, "%2x", &byte) == 1) {
			*w = byte;
			s += 3;
		}
	}
	*w = '\0';
}

static bool word_in(char **w, int n, const char *word)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(w[i], word))
			return true;
	return false;
}

/* ---- namespaces ------------------------------------------------------- */

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

static uint64_t own_netns(void)
{
	struct stat st;

	return stat("/proc/thread-self/ns/net", &st) ? 0 : st.st_ino;
}

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

/* ---- commands: files -------------------------------------------------- */

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

static int cmd_close(char **w, int n)
{
	struct slot *s = slot_find(w[1]);

	(void)n;
	if (!s)
		return -EBADF;
	s->name[0] = '\0';
	return close(s->fd) ? -errno : 0;
}

static int cmd_closefd(char **w, int n)
{
	(void)n;
	return close(atoi(w[1])) ? -errno : 0;
}

static int cmd_dup(char **w, int n)
{
	int fd = slot_fd(w[1]), copy;

	if (fd < 0)
		return fd;
	copy = fcntl(fd, word_in(w, n, "cloexec") ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	if (copy < 0)
		return -errno;
	say(",\"fd\":%d", copy);
	return slot_put(w[2], copy);
}

static int cmd_dup2(char **w, int n)
{
	int fd = slot_fd(w[1]), target = atoi(w[3]);

	(void)n;
	if (fd < 0)
		return fd;
	if (dup2(fd, target) < 0)
		return -errno;
	for (size_t i = 0; i < MAX_SLOTS; i++)	/* whatever had that number is gone */
		if (slots[i].name[0] && slots[i].fd == target)
			slots[i].name[0] = '\0';
	say(",\"fd\":%d", target);
	return slot_put(w[2], target);
}

static int cmd_slot(char **w, int n)
{
	(void)n;
	return fcntl(atoi(w[2]), F_GETFD) < 0 ? -errno : slot_put(w[1], atoi(w[2]));
}

static int cmd_nsfd(char **w, int n)
{
	int fd = open(n > 2 ? w[2] : "/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	say(",\"fd\":%d,\"netns\":%llu", fd, (unsigned long long)inode_of(fd));
	return slot_put(w[1], fd);
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

		say(",\"result\":\"%s\"", ret ? errno_name(errno) : "0");
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

/* ---- commands: the process -------------------------------------------- */

static void tell_self(void)
{
	char comm[17] = "";

	prctl(PR_GET_NAME, comm);
	say(",\"pid\":%d,\"uid\":%u,\"netns\":%llu", getpid(), getuid(), (unsigned long long)own_netns());
	say_text("comm", comm, sizeof(comm));
}

static int cmd_pid(char **w, int n)
{
	(void)w, (void)n;
	tell_self();
	return 0;
}

static int cmd_comm(char **w, int n)
{
	(void)n;
	return prctl(PR_SET_NAME, w[1]) ? -errno : 0;
}

static int cmd_setns(char **w, int n)
{
	int fd = open(w[1], O_RDONLY | O_CLOEXEC), err = 0;

	(void)n;
	if (fd < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET))
		err = -errno;
	close(fd);
	say(",\"netns\":%llu", (unsigned long long)own_netns());
	return err;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int cmd_unshare(char **w, int n)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int flags = 0, err;
	char map[64];

	(void)n;
	for (char *save, *part = strtok_r(w[1], ",", &save); part; part = strtok_r(NULL, ",", &save)) {
		if (!strcmp(part, "net"))
			flags |= CLONE_NEWNET;
		else if (!strcmp(part, "user"))
			flags |= CLONE_NEWUSER;
		else if (!strcmp(part, "files"))
			flags |= CLONE_FILES;
		else if (!strcmp(part, "mnt"))
			flags |= CLONE_NEWNS;
		else
			return -EINVAL;
	}
	if (unshare(flags))
		return -errno;
	if (flags & CLONE_NEWUSER) {
		write_file("/proc/self/setgroups", "deny");	/* older kernels have no such file */
		snprintf(map, sizeof(map), "0 %u 1", uid);
		err = write_file("/proc/self/uid_map", map);
		if (err)
			return err;
		snprintf(map, sizeof(map), "0 %u 1", gid);
		err = write_file("/proc/self/gid_map", map);
		if (err)
			return err;
	}
	say(",\"netns\":%llu", (unsigned long long)own_netns());
	return 0;
}

static int cmd_setuid(char **w, int n)
{
	uid_t id = strtoul(w[1], NULL, 0);

	(void)n;
	if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
		return -errno;
	/* Not readable for anybody else otherwise, nor its maps writable for itself. */
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

static void close_children(void)
{
	for (size_t i = 0; i < MAX_CHILDREN; i++) {
		struct child *c = &children[i];

		if (!c->name[0])
			continue;
		if (c->in >= 0)
			close(c->in);
		if (c->out >= 0)
			close(c->out);
		close(c->sock);
		c->name[0] = '\0';
	}
}

/* The slots travel through the environment; the new program answers. */
static int cmd_exec(char **w, int n)
{
	static char env[MAX_SLOTS * 40], path[4096];
	size_t len = 0;

	if (in_fd != 0 || out_fd != 1)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < MAX_SLOTS; i++)
		if (slots[i].name[0])
			len += snprintf(env + len, sizeof(env) - len, "%s=%d ", slots[i].name, slots[i].fd);
	setenv(ENV_SLOTS, env, 1);
	if (n > 1) {
		w[n] = NULL;
		execv(w[1], w + 1);
		return -errno;
	}
	len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if ((ssize_t)len < 0)
		return -errno;
	path[len] = '\0';
	execv(path, saved_argv);
	return -errno;
}

static void slots_from_environment(void)
{
	char *env = getenv(ENV_SLOTS), *save;

	if (!env)
		return;
	answer_len = 0;
	say("{\"ok\":true");
	tell_self();
	say(",\"kept\":[");
	for (char *part = strtok_r(env, " ", &save), *comma = ""; part; part = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(part, '=');
		int fd;

		if (!eq)
			continue;
		*eq = '\0';
		fd = atoi(eq + 1);
		if (fcntl(fd, F_GETFD) < 0 || slot_put(part, fd))
			continue;
		say("%s\"%s\"", comma, part);
		comma = ",";
	}
	say("]}\n");
	unsetenv(ENV_SLOTS);
	write_all(out_fd, answer, answer_len);
}

static int cmd_abort(char **w, int n)
{
	(void)w, (void)n;
	kill(getpid(), SIGKILL);
	return 0;
}

/* ---- commands: children ----------------------------------------------- */

static int cmd_fork(char **w, int n)
{
	struct child *c = NULL;
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, sock[2] = { -1, -1 };
	pid_t pid;

	(void)n;
	for (size_t i = 0; !c && i < MAX_CHILDREN; i++)
		if (!children[i].name[0])
			c = &children[i];
	if (!c || strlen(w[1]) >= sizeof(c->name))
		return -ENFILE;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		close_children();
		close(in[1]);
		close(out[0]);
		close(sock[0]);
		in_fd = in[0];
		out_fd = out[1];
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		children[0] = (struct child){ .name = "parent", .in = -1, .out = -1, .sock = sock[1] };
		return 1;	/* no answer: the parent gives it */
	}
	close(in[0]);
	close(out[1]);
	close(sock[1]);
	snprintf(c->name, sizeof(c->name), "%s", w[1]);
	c->pid = pid;
	c->in = in[1];
	c->out = out[0];
	c->sock = sock[0];
	say(",\"pid\":%d", pid);
	return 0;
}

static int child_end(struct child *c)
{
	int status;

	close(c->in);
	close(c->out);
	close(c->sock);
	c->name[0] = '\0';
	if (waitpid(c->pid, &status, 0) < 0)
		return -errno;
	if (WIFSIGNALED(status))
		say(",\"signal\":%d", WTERMSIG(status));
	else
		say(",\"status\":%d", WEXITSTATUS(status));
	return 0;
}

static int cmd_reap(char **w, int n)
{
	struct child *c = child_find(w[1]);

	(void)n;
	return c && c->in >= 0 ? child_end(c) : -ECHILD;
}

/* Hands a line to a child and its answer up; a child that ended is reaped. */
static int ask_child(char *line)
{
	char *command = strchr(line, ' ');
	struct child *c;
	size_t len = 0;

	if (!command)
		return -EINVAL;
	*command++ = '\0';
	c = child_find(line + 1);
	if (!c || c->in < 0)
		return -ECHILD;
	write_all(c->in, command, strlen(command));
	write_all(c->in, "\n", 1);
	while (len < sizeof(answer) - 1) {
		ssize_t got = read(c->out, answer + len, 1);

		if (got <= 0)
			break;
		if (answer[len++] == '\n') {
			answer_len = len;
			return 1;
		}
	}
	answer_len = 0;
	say("{\"ok\":true");
	return child_end(c);
}

static int cmd_sendfd(char **w, int n)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	struct child *c = child_find(w[2]);
	int fd = slot_fd(w[1]);

	(void)n;
	if (!c || fd < 0)
		return c ? fd : -ECHILD;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(c->sock, &msg, 0) < 0 ? -errno : 0;
}

static int cmd_recvfd(char **w, int n)
{
	char control[CMSG_SPACE(sizeof(int))];
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct child *c = child_find(w[2]);
	struct cmsghdr *cmsg;
	int fd;

	(void)n;
	if (!c)
		return -ECHILD;
	if (recvmsg(c->sock, &msg, 0) < 0)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -ENOENT;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
	say(",\"fd\":%d", fd);
	return slot_put(w[1], fd);
}

/* ---- commands: vhost-net ---------------------------------------------- */

#define VHOST_MEM	(1 << 20)	/* of guest memory; rings at its start */
#define VRING_NUM	16

static int vhost_vring(int fd, unsigned int index, uint64_t base)
{
	struct vhost_vring_state num = { .index = index, .num = VRING_NUM };
	struct vhost_vring_state start = { .index = index, .num = 0 };
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = base,
		.avail_user_addr = base + 4096,
		.used_user_addr = base + 8192,
	};

	if (ioctl(fd, VHOST_SET_VRING_NUM, &num) || ioctl(fd, VHOST_SET_VRING_BASE, &start) ||
	    ioctl(fd, VHOST_SET_VRING_ADDR, &addr))
		return -errno;
	return 0;
}

/* A vhost-net with owner, memory and both rings, not yet with a queue. */
static int vhost_new(const char *name)
{
	struct { struct vhost_memory head; struct vhost_memory_region region; } table = { 0 };
	uint64_t features = 0;
	struct slot *s;
	char *mem;
	int fd, err;

	fd = open("/dev/vhost-net", O_RDWR);
	if (fd < 0)
		return -errno;
	mem = mmap(NULL, VHOST_MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (mem == MAP_FAILED) {
		err = -errno;
		goto fail;
	}
	table.head.nregions = 1;
	table.region.guest_phys_addr = 0;
	table.region.memory_size = VHOST_MEM;
	table.region.userspace_addr = (uintptr_t)mem;
	err = -EINVAL;
	if (ioctl(fd, VHOST_SET_OWNER, NULL) || ioctl(fd, VHOST_SET_FEATURES, &features) ||
	    ioctl(fd, VHOST_SET_MEM_TABLE, &table)) {
		err = -errno;
		goto fail;
	}
	for (unsigned int i = 0; i < 2; i++) {
		err = vhost_vring(fd, i, (uintptr_t)mem + i * 65536);
		if (err)
			goto fail;
	}
	err = slot_put(name, fd);
	if (err)
		goto fail;
	s = slot_find(name);
	s->vhost_mem = mem;
	return 0;
fail:
	close(fd);
	return err;
}

static int vhost_backend(const char *name, unsigned int index, int fd)
{
	struct vhost_vring_file backend = { .index = index, .fd = fd };
	int vhost = slot_fd(name);

	if (vhost < 0)
		return vhost;
	say(",\"fd\":%d", vhost);
	return ioctl(vhost, VHOST_NET_SET_BACKEND, &backend) ? -errno : 0;
}

static int cmd_vhost(char **w, int n)
{
	int fd = slot_fd(w[1]), err = 0;

	(void)n;
	if (fd < 0)
		return fd;
	if (!slot_find(w[2]))
		err = vhost_new(w[2]);
	return err ? err : vhost_backend(w[2], atoi(w[3]), fd);
}

static int cmd_vhost_off(char **w, int n)
{
	(void)n;
	return vhost_backend(w[1], atoi(w[2]), -1);
}

/* ---- the loop --------------------------------------------------------- */

static const struct {
	const char *name;
	int words;		/* at least, with the name */
	int (*run)(char **w, int n);	/* 0, 1: say nothing, negative errno */
} commands[] = {
	{ "open", 2, cmd_open }, { "close", 2, cmd_close }, { "closefd", 2, cmd_closefd },
	{ "dup", 3, cmd_dup }, { "dup2", 4, cmd_dup2 }, { "slot", 3, cmd_slot },
	{ "nsfd", 2, cmd_nsfd }, { "storm", 2, cmd_storm },
	{ "setiff", 4, cmd_setiff }, { "efault", 4, cmd_efault }, { "setifindex", 3, cmd_setifindex },
	{ "queue", 3, cmd_queue }, { "flip", 3, cmd_flip },
	{ "persist", 3, cmd_persist }, { "owner", 3, cmd_owner }, { "group", 3, cmd_group },
	{ "getiff", 2, cmd_getiff }, { "devnetns", 2, cmd_devnetns }, { "sknetns", 2, cmd_sknetns },
	{ "many", 3, cmd_many }, { "churn", 3, cmd_churn },
	{ "rename", 3, cmd_rename }, { "mac", 3, cmd_mac }, { "up", 2, cmd_up }, { "down", 2, cmd_down },
	{ "pid", 1, cmd_pid }, { "comm", 2, cmd_comm }, { "setns", 2, cmd_setns },
	{ "unshare", 2, cmd_unshare }, { "setuid", 2, cmd_setuid }, { "exec", 1, cmd_exec },
	{ "abort", 1, cmd_abort },
	{ "fork", 2, cmd_fork }, { "reap", 2, cmd_reap },
	{ "sendfd", 3, cmd_sendfd }, { "recvfd", 3, cmd_recvfd },
	{ "vhost", 4, cmd_vhost }, { "vhost-off", 3, cmd_vhost_off },
};

/* As the commands' run. `line` is taken apart. */
static int perform(char *line)
{
	char *words[MAX_WORDS + 1], *save;
	int n = 0;

	if (line[0] == '@')
		return ask_child(line);
	for (char *word = strtok_r(line, " \t", &save); word && n < MAX_WORDS; word = strtok_r(NULL, " \t", &save)) {
		unescape(word);
		words[n++] = word;
	}
	if (!n)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(words[0], commands[i].name))
			return n < commands[i].words ? -EINVAL : commands[i].run(words, n);
	return -ENOSYS;
}

/* One line without its newline; false at the end of input. Unbuffered, so that exec loses nothing. */
static bool read_line(char *line, size_t size)
{
	size_t len = 0;

	while (len < size - 1) {
		ssize_t n = read(in_fd, line + len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		if (line[len] == '\n')
			break;
		len++;
	}
	line[len] = '\0';
	return true;
}

int main(int argc, char **argv)
{
	static char line[4096];

	(void)argc;
	saved_argv = argv;
	signal(SIGPIPE, SIG_IGN);
	slots_from_environment();
	while (read_line(line, sizeof(line))) {
		int err;

		if (!strcmp(line, "quit"))
			break;
		answer_len = 0;
		if (line[0] != '@')
			say("{\"ok\":true");
		err = perform(line);
		if (err < 0) {
			answer_len = 0;
			say("{\"ok\":false,\"errno\":\"%s\"", errno_name(-err));
			err = 0;
		}
		if (!err)
			say("}\n");
		else if (line[0] != '@')
			continue;	/* a fresh child: its parent answers */
		write_all(out_fd, answer, answer_len);
	}
	return 0;
}
