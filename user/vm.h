/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vm.h - which virtual machine a process is, or what else is known to use
 * TUN/TAP devices. Pure: what /proc says goes in, an answer comes out.
 *
 * Everything here was chosen by whoever started the process. It may be cut
 * off, rewritten or made to deceive; then less is recognised, and what is
 * told is no more than what that process says of itself.
 */
#ifndef TW_VM_H
#define TW_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/tapwatch.h"

/* What a process is to its TUN/TAP devices. */
enum role {
	ROLE_UNKNOWN = 0,
	ROLE_VM,		/* a virtual machine's process */
	ROLE_VPN,
	ROLE_CONTAINER,		/* network of containers: slirp4netns, pasta, CNI plugins, ... */
	ROLE_NETWORK_MANAGER,	/* configures the host's network */
	ROLE_VM_MANAGER,	/* starts virtual machines: libvirtd, incusd, ... */
	ROLE_SWITCH,		/* forwards packets itself: Open vSwitch, VPP, ... */
	ROLE_MAX,
};
const char *role_name(enum role role);	/* "network-manager"; NULL for ROLE_UNKNOWN */

/* What is known of a process. Raw bytes; NULL: unknown. */
struct vm_process {
	const char *exe;	/* /proc/PID/exe, with " (deleted)" where the kernel says so */
	const char *argv;	/* /proc/PID/cmdline: each argument ends in a NUL */
	size_t argv_len;	/* argv[argv_len] is a NUL, too, and not part of it */
	bool argv_cut;		/* there is more than this */
	const char *cgroup;	/* path */
	const char *root;	/* /proc/PID/root */
	const char *config;	/* what is in the file of vm_config_file() */
	size_t config_len;
};

/* A TUN/TAP interface that the command line declares. */
struct vm_port {
	char id[64];		/* as the machine calls it (QEMU: of the netdev); "" none */
	char ifname[TW_NAME_LEN]; /* "": not said (then by fd, or the kernel chooses) */
	uint8_t mac[6];		/* the guest's */
	bool has_mac;
	bool vhost;		/* vhost-net is asked for */
	int *fds;		/* inherited fds of its queues */
	size_t n_fds;
	int *vhost_fds;
	size_t n_vhost_fds;
};

/* More of them are not kept. */
#define VM_MAX_PORTS	64
#define VM_MAX_FDS	256	/* of one port: MAX_TAP_QUEUES, drivers/net/tun.c */
#define VM_TEXT_LEN	512	/* bytes of a name */

struct vm {
	enum role role;
	const char *type;	/* "qemu", "firecracker"; of what is no machine the program: "openvpn" */
	const char *manager;	/* who made it: "libvirt", "proxmox"; NULL unknown */
	/* Raw bytes from outside. NULL: it has none, or it is not known. */
	char *name;
	char *uuid;		/* in lower case */
	char *id;		/* the manager's short name for it: Proxmox's VMID */
	struct vm_port *ports;
	size_t n_ports;
};

/* The file in which this machine's interfaces are declared, as its command line names it; NULL: there is none. */
const char *vm_config_file(const struct vm_process *process);
#define VM_CONFIG_MAX 65536	/* bytes of it that are worth reading: larger ones are left alone */

/*
 * NULL: nobody knows what this process is (or out of memory). vm_free() the
 * answer. A machine whose command line cannot be seen is told with what the
 * rest says.
 */
struct vm *vm_recognise(const struct vm_process *process);
void vm_free(struct vm *vm);

/* "net0 fd=27 mac=52:54:00:12:34:56 vhost vhostfd=28; net1 ifname=tap1": as much as fits. Its length. */
size_t vm_ports_text(const struct vm *vm, char *out, size_t size);

/*
 * Does this program's process fork without exec, so that who holds a device
 * may be a child of the machine's own process? Then it is the oldest ancestor
 * that runs the same executable which is to be given to vm_recognise().
 */
bool vm_forks(const struct vm_process *process);

#endif /* TW_VM_H */
