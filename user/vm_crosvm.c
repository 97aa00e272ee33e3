// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm_crosvm.c - crosvm, whose devices are children that it forks without
 * exec: the one that holds the tap is not the machine's own process.
 *
 * Format: src/crosvm/cmdline.rs, NetParametersMode in devices/src/virtio/net.rs.
 */
#include <string.h>

#include "vm_private.h"

/* "tap-name=NAME", "tap-fd=N", ...; what has neither is made by crosvm itself. */
static int add_net(struct vm *vm, const char *value)
{
	struct vm_keyvals kv = vm_keyvals(value, KV_NESTED, NULL);
	struct vm_port *port;
	int err = 0;

	port = vm_add_port(vm, &err);
	if (!port)
		return err;
	while (!err && vm_keyvals_next(&kv)) {
		if (!strcmp(kv.key, "tap-name"))
			vm_port_ifname(port, kv.value);
		else if (!strcmp(kv.key, "tap-fd"))
			err = vm_port_fds(port, kv.value);
		else if (!strcmp(kv.key, "mac"))
			vm_port_mac(port, kv.value);
		else if (!strcmp(kv.key, "vhost-net"))
			port->vhost = strcmp(kv.value, "false");
	}
	return err;
}

/* The options of before --net: one port each. */
static int add_old(struct vm *vm, const char *ifname, const char *fd)
{
	int err = 0;
	struct vm_port *port = vm_add_port(vm, &err);

	if (port && ifname)
		vm_port_ifname(port, ifname);
	if (port && fd)
		err = vm_port_fds(port, fd);
	return err;
}

static int describe(struct vm *vm, const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	const char *arg, *value, *socket = NULL;
	int err = 0;

	while (!err && (arg = vm_args_next(&args))) {
		if ((value = vm_option(&args, arg, "--name")))
			err = vm_set(&vm->name, value);
		else if ((value = vm_option(&args, arg, "--net")))
			err = add_net(vm, value);
		else if ((value = vm_option(&args, arg, "--tap-name")))
			err = add_old(vm, value, NULL);
		else if ((value = vm_option(&args, arg, "--tap-fd")))
			err = add_old(vm, NULL, value);
		else if ((value = vm_option(&args, arg, "--socket")) || (value = vm_option(&args, arg, "-s")))
			socket = value;
		else if (!strcmp(arg, "--params") || !strcmp(arg, "-p"))
			vm_args_next(&args);	/* the guest's own options are none */
	}
	/* "crosvm stop SOCKET" addresses it by this */
	if (!err && !vm->name && socket)
		err = vm_set(&vm->name, socket);
	return err;
}

/* "crosvm [--log-level L ...] run ...": its other commands run no machine. */
static bool runs(const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	const char *arg;

	while ((arg = vm_args_next(&args)))
		if (!strcmp(arg, "run") || !strcmp(arg, "run-mp"))
			return true;
	return false;
}

static bool is(const char *program, const struct vm_process *p)
{
	return !strcmp(program, "crosvm") && runs(p);
}

const struct vm_recogniser vm_crosvm = { "crosvm", ROLE_VM, "crosvm", is, describe, NULL };
