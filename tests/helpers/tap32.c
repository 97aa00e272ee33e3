/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tap32 IFNAME - a 32-bit process that holds a tap, so that the compat ioctl
 * path is taken. Needs no 32-bit C library:
 *
 *	gcc -m32 -O1 -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -static
 *
 * Prints `ok FD` or `errno N`, then waits for the end of its input.
 */
#define SYS_exit	1
#define SYS_read	3
#define SYS_write	4
#define SYS_open	5
#define SYS_ioctl	54
#define O_RDWR		2
#define TUNSETIFF	0x400454ca
#define IFF_TAP		2
#define IFF_NO_PI	0x1000

struct ifreq {
	char name[16];
	short flags;
	char rest[14];		/* sizeof(struct ifreq) is 32 here, 40 in a 64-bit process */
};

static long call(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return ret;
}

static void print(const char *word, long number)
{
	char line[32];
	int len = 0, digits = 0;
	char reverse[12];

	while (*word)
		line[len++] = *word++;
	do {
		reverse[digits++] = '0' + number % 10;
		number /= 10;
	} while (number);
	while (digits)
		line[len++] = reverse[--digits];
	line[len++] = '\n';
	call(SYS_write, 1, (long)line, len);
}

__attribute__((used)) void start(long *stack)
{
	static struct ifreq ifr;
	const char *name = stack[0] > 1 ? (const char *)stack[2] : "";
	char byte;
	long fd, ret;

	for (int i = 0; i < 15 && name[i]; i++)
		ifr.name[i] = name[i];
	ifr.flags = IFF_TAP | IFF_NO_PI;
	fd = call(SYS_open, (long)"/dev/net/tun", O_RDWR, 0);
	ret = fd < 0 ? fd : call(SYS_ioctl, fd, TUNSETIFF, (long)&ifr);
	if (ret < 0)
		print("errno ", -ret);
	else
		print("ok ", fd);
	while (ret >= 0 && call(SYS_read, 0, (long)&byte, 1) > 0)
		;
	call(SYS_exit, ret < 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall start\n");
