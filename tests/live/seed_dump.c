// SPDX-License-Identifier: GPL-2.0-only
/*
 * seed_dump - drives the seed back-ends and the injection by hand, for tests.
 *
 *	seed_dump BACKEND [PID...]	one JSON object a line: holds, devices without holder, the report;
 *					with PIDs only these processes are looked at (and told)
 *	seed_dump --inject PID TID FD N	N inspections of one thread (TID 0: the best one each time)
 *
 * TW_TIMEOUT_FACTOR stretches the time that a thread may be stopped.
 * Exit status 3: the back-end does not work here; the reason is printed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <net/if.h>

#include "../../user/inject.h"
#include "../../user/loader.h"
#include "../../user/seed.h"

static pid_t pids[1024];
static size_t n_pids;

static void ignore(void *ctx, const struct change *change)
{
	(void)ctx;
	(void)change;
}

static int wanted(pid_t pid)
{
	for (size_t i = 0; i < n_pids; i++)
		if (pids[i] == pid)
			return 1;
	return !n_pids;
}

/* Each byte as the code point of that number. */
static void print_text(const char *key, const char *text)
{
	printf(",\"%s\":\"", key);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_device(const struct device *d)
{
	if (!d)
		return;
	printf(",\"device\":%llu,\"ifindex\":%u,\"netns\":%u,\"kind\":\"%s\"",
	       (unsigned long long)d->id, d->d.ifindex, d->d.netns, kind_name(d->d.kind));
	print_text("ifname", d->d.ifname);
	if (d->has & TW_HAS_MAC)
		printf(",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\"", d->d.mac[0], d->d.mac[1], d->d.mac[2],
		       d->d.mac[3], d->d.mac[4], d->d.mac[5]);
	if (d->has & TW_HAS_TUN)
		printf(",\"flags\":%u", d->d.tun_flags);
}

static int print_hold(void *ctx, const struct hold *h)
{
	long ticks = sysconf(_SC_CLK_TCK);

	(void)ctx;
	if (!wanted((pid_t)h->task.pid))
		return 0;
	printf("{\"pid\":%u,\"tid\":%u,\"ppid\":%u,\"uid\":%u,\"start\":%llu,\"process_netns\":%u,"
	       "\"fd\":%d,\"file\":%llu,\"state\":\"%s\"",
	       h->task.pid, h->task.tid, h->task.ppid, h->task.uid,
	       (unsigned long long)(h->task.start_ns / (1000000000u / (unsigned long)ticks)), h->task.netns, h->fd,
	       (unsigned long long)h->file->id, file_state_name(h->file->state));
	if (h->file->has & TW_HAS_SOCKET_NETNS)
		printf(",\"socket_netns\":%u", h->file->f.socket_netns);
	print_text("comm", h->task.comm);
	if (h->file->name_only[0])
		print_text("name_only", h->file->name_only);
	print_device(h->file->dev);
	puts("}");
	return 0;
}

static int count_hold(void *ctx, const struct hold *h)
{
	return h->file->dev == ctx;
}

static int print_lonely(void *ctx, const struct device *d)
{
	const struct bindings *b = ctx;

	if (bindings_each_hold(b, count_hold, (void *)d))
		return 0;
	printf("{\"state\":\"no-holder\"");
	print_device(d);
	puts("}");
	return 0;
}

static int dump(int argc, char **argv)
{
	int which = seed_by_name(argv[1]), ret;
	struct bindings *b = bindings_new(ignore, NULL);
	struct seed_report report = { 0 };

	if (which < 0 || !b)
		return 2;
	for (int i = 2; i < argc && n_pids < 1024; i++)
		pids[n_pids++] = atoi(argv[i]);
	if (n_pids) {
		report.only = pids;
		report.n_only = n_pids;
	}
	ret = seed_read((enum seed_backend)which, NULL, b, SCAN_SEED, &report);
	if (ret < 0) {
		printf("%s (%s)\n", report.reason, strerror(-ret));
		return ret == -ENOTSUP ? 3 : 1;
	}
	bindings_each_hold(b, print_hold, NULL);
	bindings_each_device(b, print_lonely, b);
	for (size_t i = 0; i < report.n_notes; i++) {
		fputs("{\"is\":\"note\"", stdout);
		print_text("note", report.notes[i]);
		puts("}");
	}
	printf("{\"used\":\"%s\",\"fds\":%zu,\"devices\":%zu,\"namespaces\":%zu,\"processes\":%zu,\"refused\":%zu,"
	       "\"ambiguous\":%zu}\n", seed_name(report.used), report.fds, report.devices, report.namespaces,
	       report.processes, report.refused, report.ambiguous);
	seed_report_free(&report);
	bindings_free(b);
	return 0;
}

#if INJECT_SUPPORTED
static int once(pid_t pid, pid_t tid, int fd, uint64_t *took_ns, char *reason, size_t size)
{
	struct ifreq ifr = { 0 };
	struct inject in;
	long result = 0;
	int err;

	if (!tid)
		tid = inject_choose(pid);
	if (!tid || !inject_allowed(pid, tid, inject_can_suspend(), reason, size))
		return -EPERM;
	err = inject_begin(&in, pid, tid, reason, size);
	if (!err)
		err = inject_write(&in, &ifr, sizeof(ifr));
	if (!err)
		err = inject_call(&in, &result, SYS_ioctl, (uint64_t)fd, TUNGETIFF, inject_scratch(&in));
	if (!err)
		err = (int)result;
	if (!err)
		err = inject_read(&in, &ifr, sizeof(ifr));
	inject_end(&in);
	*took_ns = in.took_ns;
	return err ? err : ifr.ifr_name[0] ? 0 : -EIO;
}

static int inject(char **argv)
{
	int times = atoi(argv[5]), good = 0, again = 0, slow = 0;
	uint64_t max_ns = 0;
	char reason[160] = "";
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (int i = 0; i < times; i++) {
		uint64_t took_ns = 0;
		int err = once(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), &took_ns, reason, sizeof(reason));

		if (took_ns > max_ns)
			max_ns = took_ns;
		slow += took_ns > inject_limit_ns;
		good += !err;
		again += err == -EAGAIN;
	}
	printf("{\"good\":%d,\"again\":%d,\"slow\":%d,\"max_us\":%llu,\"reason\":\"%s\"}\n", good, again, slow,
	       (unsigned long long)max_ns / 1000, reason);
	return 0;
}
#else
static int inject(char **argv)
{
	(void)argv;
	return 3;
}
#endif

int main(int argc, char **argv)
{
	const char *factor = getenv("TW_TIMEOUT_FACTOR");

#if INJECT_SUPPORTED
	if (factor && atoi(factor) > 0)
		inject_limit_ns *= (uint64_t)atoi(factor);
#endif
	loader_log_setup(false);
	if (argc == 6 && !strcmp(argv[1], "--inject"))
		return inject(argv);
	return argc >= 2 ? dump(argc, argv) : 2;
}
