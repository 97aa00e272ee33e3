// SPDX-License-Identifier: GPL-2.0-only
/* history_machines.c - see history_machines.h. */
#include "history_machines.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../unit/facts.h"

struct maker {
	struct machines_options options;
	struct block *block;
	int texts;	/* of the block */
	int text;	/* of the machine at hand */
};

/* --- what /proc would tell --- */

void describe_machine(struct described *d, uint64_t cmdline_len, uint32_t pid)
{
	size_t len = (size_t)snprintf(d->cmdline, sizeof(d->cmdline), "/usr/bin/qemu-system-x86_64%c-name%cguest=vm%u,"
				      "debug-threads=on%c-uuid%c00000000-0000-4000-8000-%012u%c", 0, 0, pid, 0, 0, pid, 0);

	/* the rest of such a line repeats itself, but for paths and addresses */
	d->pid = pid;
	while (len + 64 < cmdline_len && len + 64 < sizeof(d->cmdline))
		len += (size_t)snprintf(d->cmdline + len, sizeof(d->cmdline) - len,
					"-device%cvirtio-blk-pci,bus=pci.%zu,drive=vm%u-disk%zu%c", 0, len / 64, pid, len / 64, 0);
	d->cmdline_len = len;
	snprintf(d->exe, sizeof(d->exe), "/usr/bin/qemu-system-x86_64");
	snprintf(d->cgroup, sizeof(d->cgroup), "/machine.slice/machine-qemu\\x2d%u\\x2dvm%u.scope/libvirt/emulator", pid, pid);
	snprintf(d->name, sizeof(d->name), "vm%u", pid);
	snprintf(d->uuid, sizeof(d->uuid), "00000000-0000-4000-8000-%012u", pid);
}

void describe_manager(struct described *d)
{
	d->pid = MANAGER;
	d->vm = (struct vm){ .role = ROLE_VM_MANAGER, .type = "libvirtd" };
	d->info = (struct process_info){
		.exe = "/usr/sbin/libvirtd", .cgroup = "/system.slice/libvirtd.service", .user = "root",
		.cmdline = "/usr/sbin/libvirtd\0--timeout\000120", .cmdline_len = 33, .vm = &d->vm,
	};
}

void describe_bind(struct described *d)
{
	d->vm = (struct vm){ .role = ROLE_VM, .type = "qemu", .manager = "libvirt", .name = d->name, .uuid = d->uuid };
	d->info = (struct process_info){
		.exe = d->exe, .cgroup = d->cgroup, .user = "libvirt-qemu", .cmdline = d->cmdline, .cmdline_len = d->cmdline_len,
		.vm = &d->vm, .vm_pid = d->pid,
	};
}

/* --- facts --- */

static void put(struct maker *m, int text, struct tw_event e)
{
	struct made_fact *made = &m->block->facts[m->block->n++];

	if (m->block->n > BLOCK_FACTS)
		abort();
	made->fact = e;
	made->text = text;
	made->last = false;
}

static void by_manager(struct maker *m, struct tw_event e)
{
	e = by(MANAGER, e);
	e.task.uid = 0;
	fact_name(e.task.comm, "libvirtd");
	put(m, -1, e);
}

static void by_machine(struct maker *m, uint32_t pid, struct tw_event e)
{
	e = by(pid, e);
	e.task.uid = 64055;
	e.task.ppid = 1;
	fact_name(e.task.comm, "qemu-system-x86");
	put(m, m->text, e);
}

static struct tw_dev device_of(const struct maker *m, uint64_t n)
{
	char ifname[TW_NAME_LEN];
	struct tw_dev d;

	snprintf(ifname, sizeof(ifname), "vnet%u", (unsigned)(n % m->options.names));
	/* never two of a name: the alive ones have different numbers */
	d = cookie(1, tap(n, 4026531840u, (uint32_t)(n % 1000000000), ifname));
	d.tun_flags |= IFF_VNET_HDR;
	return d;
}

static uint32_t pid_of(uint64_t n)
{
	return (uint32_t)(1000 + n % 4000000);
}

static struct tw_event state(struct tw_dev d)
{
	return with(TW_F_RTNL, dev(0, TW_DEV_STATE, d));
}

static void begin_machine(struct maker *m, uint64_t n)
{
	m->text = m->texts++;
	describe_machine(&m->block->texts[m->text], m->options.cmdline_len, pid_of(n));
}

static void start_machine(struct maker *m, uint64_t n)
{
	struct tw_dev d = device_of(m, n);
	int fd = (int)(20 + n % 50);
	uint32_t pid = pid_of(n);

	begin_machine(m, n);
	by_manager(m, addr(0xffff888000000000 + n * 256, socket_in(d.netns, file_open(0, MANAGER, n))));
	by_manager(m, fd_install(0, MANAGER, fd, n));
	by_manager(m, dev_new_by(0, MANAGER, n, d));
	memcpy(d.mac, "\xfe\x54\0\0\0", 5);
	d.mac[5] = (uint8_t)n;
	by_manager(m, state(d));
	d.master_ifindex = 3;
	fact_name(d.master, "virbr0");
	by_manager(m, state(d));
	d.if_flags = 1;
	by_manager(m, state(d));
	by_machine(m, pid, fd_install(0, pid, 30, n));
	by_manager(m, fd_close(0, MANAGER, fd, n));
	by_machine(m, pid, vhost(0, pid, n, 0, n));
}

static void end_machine(struct maker *m, uint64_t n)
{
	struct tw_dev d = device_of(m, n);
	uint32_t pid = pid_of(n);

	begin_machine(m, n);
	d.master_ifindex = 3;
	fact_name(d.master, "virbr0");
	memcpy(d.mac, "\xfe\x54\0\0\0", 5);
	d.mac[5] = (uint8_t)n;
	by_machine(m, pid, vhost(0, pid, n, 0, 0));
	by_manager(m, state(d));
	by_machine(m, pid, fd_close(0, pid, 30, n));
	by_machine(m, pid, in_close(n, dev(0, TW_DEV_GONE, d)));
	by_machine(m, pid, file_release(0, pid, n));
}

/* --- the ring --- */

static void make_block(struct maker *m, uint64_t n)
{
	m->block->n = 0;
	m->texts = 0;
	for (uint64_t end = n + BLOCK_MACHINES; n < end; n++) {
		start_machine(m, n);
		if (n - m->options.first >= m->options.alive)
			end_machine(m, n - m->options.alive);
		m->block->facts[m->block->n - 1].last = true;
	}
}

static void make(struct machines *machines, const struct machines_options *options)
{
	struct maker m = { .options = *options };
	uint64_t n = options->first;

	for (unsigned i = 0; !sem_wait(&machines->free); i = (i + 1) % BLOCKS, n += BLOCK_MACHINES) {
		m.block = &machines->blocks[i];
		make_block(&m, n);
		sem_post(&machines->full);
	}
}

struct machines *machines_make(const struct machines_options *options, int *pid)
{
	struct machines *machines = mmap(NULL, sizeof(*machines), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int parent = getpid();

	if (machines == MAP_FAILED || sem_init(&machines->full, 1, 0) || sem_init(&machines->free, 1, BLOCKS))
		return NULL;
	*pid = fork();
	if (*pid < 0)
		return NULL;
	if (!*pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			make(machines, options);
		_exit(1);
	}
	return machines;
}
