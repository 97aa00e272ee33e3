// SPDX-License-Identifier: GPL-2.0-only
/*
 * seccomp_target kill|trap|errno IFNAME - holds a tap under a filter as
 * Firecracker's: any system call but those it needs for living kills it (trap:
 * by SIGSYS). It prints one line of JSON about itself; then every byte on
 * stdin is answered by one on stdout, which proves it alive. Ends with stdin.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int allowed[] = { SYS_read, SYS_write, SYS_nanosleep, SYS_clock_nanosleep, SYS_restart_syscall,
			       SYS_rt_sigreturn, SYS_exit, SYS_exit_group };
#define N_ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

static int install(unsigned int verdict)
{
	struct sock_filter code[2 * N_ALLOWED + 2];
	struct sock_fprog prog = { .filter = code };
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < N_ALLOWED; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)allowed[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict);
	prog.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

int main(int argc, char **argv)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	unsigned int verdict;
	char byte;
	int fd;

	if (argc != 3)
		return 2;
	verdict = !strcmp(argv[1], "kill") ? SECCOMP_RET_KILL_PROCESS :
		  !strcmp(argv[1], "trap") ? SECCOMP_RET_TRAP : SECCOMP_RET_ERRNO | EPERM;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", argv[2]);
	fd = open("/dev/net/tun", O_RDWR);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr)) {
		perror("seccomp_target");
		return 1;
	}
	printf("{\"pid\":%d,\"fd\":%d,\"ifname\":\"%s\"}\n", getpid(), fd, ifr.ifr_name);
	fflush(stdout);
	if (install(verdict)) {
		perror("seccomp_target: filter");
		return 1;
	}
	/* said only now: the filter is in force */
	if (write(1, "!\n", 2) != 2)
		return 1;
	while (read(0, &byte, 1) == 1)
		if (write(1, &byte, 1) != 1)
			return 1;
	return 0;
}
