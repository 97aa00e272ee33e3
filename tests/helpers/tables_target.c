// SPDX-License-Identifier: GPL-2.0-only
/*
 * tables_target own|shared|zombie IFNAME - holds a tap through an fd table of
 * an uncommon kind:
 *
 *	own	of one thread alone, by unshare(CLONE_FILES)
 *	shared	of two processes, by clone(CLONE_FILES) without CLONE_THREAD
 *	zombie	of threads whose leader has ended
 *
 * Prints {"pid":…,"tid":…,"fd":…} (tid: that thread, or the other process) and
 * ends with stdin.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *ifname;
static int own;

static int make_tap(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr)) {
		perror("tables_target");
		_exit(1);
	}
	return fd;
}

static void hold(int fd, long tid)
{
	char byte;

	printf("{\"pid\":%d,\"tid\":%ld,\"fd\":%d}\n", getpid(), tid, fd);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	_exit(0);
}

static int leader_is_zombie(void)
{
	char path[64], text[256] = "";
	FILE *f;
	char *state;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	state = strrchr(text, ')');
	return state && state[2] == 'Z';
}

static void *thread(void *arg)
{
	(void)arg;
	if (own && unshare(CLONE_FILES))
		_exit(1);
	while (!own && !leader_is_zombie())
		sched_yield();
	hold(make_tap(), syscall(SYS_gettid));
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t id;
	long child;

	if (argc != 3)
		return 2;
	ifname = argv[2];
	own = !strcmp(argv[1], "own");
	if (strcmp(argv[1], "shared")) {
		if (pthread_create(&id, NULL, thread, NULL))
			return 1;
		if (own)
			pthread_join(id, NULL);
		pthread_exit(NULL);
	}
	child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	hold(make_tap(), child);
	return 0;
}
