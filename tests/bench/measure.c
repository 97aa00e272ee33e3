/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * measure - runs a command once and tells what it took.
 *
 *	measure OUTPUT SECONDS COMMAND [ARGUMENT]...
 *
 * The command writes to the file OUTPUT (both streams) and is killed after
 * SECONDS. One line of JSON: wall-clock time, processor time in user and kernel
 * mode, peak resident memory, exit status (128 + signal, as a shell tells it),
 * and whether it had to be killed.
 *
 * Not done by the script itself: after exec the kernel counts into the peak
 * what the process had before (exec_mmap(), ru_maxrss), and an interpreter has
 * more than many a command here. This program has about 1 MB.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static double ms(const struct timeval *tv)
{
	return (double)tv->tv_sec * 1e3 + (double)tv->tv_usec / 1e3;
}

static void run(const char *output, char **command, const sigset_t *mask)
{
	int null = open("/dev/null", O_RDONLY);
	int out = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (null < 0 || out < 0 || dup2(null, 0) < 0)
		err(127, "cannot open %s", output);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (dup2(out, 1) < 0 || dup2(out, 2) < 0 || close_range(3, ~0U, 0))
		err(127, "cannot redirect");
	execvp(command[0], command);
	err(127, "cannot run %s", command[0]);
}

int main(int argc, char **argv)
{
	struct timespec limit = { 0 };
	struct rusage usage;
	sigset_t chld, before;
	int status, killed;
	double begin, end;
	pid_t pid;

	if (argc < 4)
		errx(2, "usage: measure OUTPUT SECONDS COMMAND [ARGUMENT]...");
	limit.tv_sec = atol(argv[2]);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &before);
	begin = now_ms();
	pid = fork();
	if (pid < 0)
		err(1, "cannot fork");
	if (!pid)
		run(argv[1], argv + 3, &before);
	killed = sigtimedwait(&chld, NULL, &limit) < 0;
	if (killed)
		kill(pid, SIGKILL);
	if (wait4(pid, &status, 0, &usage) != pid)
		err(1, "cannot wait");
	end = now_ms();
	printf("{\"wall_ms\":%.3f,\"user_ms\":%.3f,\"system_ms\":%.3f,\"peak_kib\":%ld,\"status\":%d,\"killed\":%s}\n",
	       end - begin, ms(&usage.ru_utime), ms(&usage.ru_stime), usage.ru_maxrss,
	       WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), killed ? "true" : "false");
	return 0;
}
