// SPDX-License-Identifier: GPL-2.0-only
/*
 * syscalls - what some system calls cost: one line `NAME NS` for each, the
 * least of several rounds. In a guest whose clock counts instructions
 * (tests/vm/run --icount) that is their number, and the same in every run.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 100

static void check(long ret)
{
	if (ret >= 0)
		return;
	perror("syscalls");
	exit(1);
}

static void open_close(void)
{
	int fd = open("/dev/null", O_RDONLY);

	check(fd);
	check(close(fd));
}

static void dup_close(void)
{
	int fd = dup(0);

	check(fd);
	check(close(fd));
}

static void dup2_close(void)
{
	check(dup2(0, 100));
	check(close(100));
}

static void ppid(void)
{
	check(syscall(SYS_getppid));
}

static void read_nothing(void)
{
	static int fd = -1;
	char byte;

	if (fd < 0)
		fd = open("/dev/null", O_RDONLY);
	check(read(fd, &byte, 1));
}

static void fork_wait(void)
{
	pid_t pid = fork();

	check(pid);
	if (!pid)
		_exit(0);
	check(waitpid(pid, NULL, 0));
}

static void vfork_wait(void)
{
	pid_t pid = vfork();

	if (!pid)
		_exit(0);
	check(pid);
	check(waitpid(pid, NULL, 0));
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static const struct {
	const char *name;
	void (*run)(void);
	int times;	/* a round: short, that the clock's tick is not in each */
} calls[] = {
	{ "open+close", open_close, 200 }, { "dup+close", dup_close, 500 }, { "dup2+close", dup2_close, 500 },
	{ "getppid", ppid, 1000 }, { "read", read_nothing, 1000 }, { "fork+exit+wait", fork_wait, 1 },
	{ "vfork+exit+wait", vfork_wait, 1 },
};

int main(void)
{
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		uint64_t best = UINT64_MAX;

		for (int round = 0; round < ROUNDS; round++) {
			uint64_t begin = now_ns();

			for (int i = 0; i < calls[c].times; i++)
				calls[c].run();
			begin = now_ns() - begin;
			best = begin < best ? begin : best;
		}
		printf("%s %llu\n", calls[c].name, (unsigned long long)best / calls[c].times);
	}
	return 0;
}
