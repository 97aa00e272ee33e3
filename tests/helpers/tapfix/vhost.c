/* SPDX-License-Identifier: GPL-2.0-only */
/* vhost.c - who holds a file without an fd: vhost-net, io_uring. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tapfix.h"

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

/* The ring NEW registers the file: it needs no fd for it then. */
static int cmd_uring(char **w, int n)
{
	struct io_uring_params params = { 0 };
	int fd = slot_fd(w[1]), ring, err;

	(void)n;
	if (fd < 0)
		return fd;
	ring = (int)syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0)
		return -errno;
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1)) {
		err = -errno;
		close(ring);
		return err;
	}
	say(",\"fd\":%d", ring);
	return slot_put(w[2], ring);
}

const struct command vhost_commands[] = {
	{ "vhost", 4, cmd_vhost }, { "vhost-off", 3, cmd_vhost_off }, { "uring", 3, cmd_uring }, { 0 },
};
