// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm_other.c - machines of whose interfaces the command line says little:
 * kvmtool, VirtualBox, User-mode Linux.
 */
#include <string.h>

#include "vm_private.h"

/* ---- kvmtool: builtin-run.c, set_net_param() in virtio/net.c ---- */

static int kvmtool_net(struct vm *vm, const char *value)
{
	struct vm_keyvals kv = vm_keyvals(value, 0, "mode");
	struct vm_port *port = NULL;
	int err = 0;

	while (vm_keyvals_next(&kv)) {
		if (strcmp(kv.key, "mode"))
			continue;
		/* only this one has a tap */
		if (strcmp(kv.value, "tap"))
			return 0;
		port = vm_add_port(vm, &err);
	}
	kv = vm_keyvals(value, 0, "mode");
	while (port && !err && vm_keyvals_next(&kv)) {
		if (!strcmp(kv.key, "tapif"))
			vm_port_ifname(port, kv.value);
		else if (!strcmp(kv.key, "guest_mac"))
			vm_port_mac(port, kv.value);
		else if (!strcmp(kv.key, "fd"))
			err = vm_port_fds(port, kv.value);
		else if (!strcmp(kv.key, "vhost"))
			port->vhost = kv.value[0] == '1';
	}
	return err;
}

static int kvmtool_describe(struct vm *vm, const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	const char *arg, *value;
	int err = 0;

	while (!err && (arg = vm_args_next(&args))) {
		if ((value = vm_option(&args, arg, "--name")))
			err = vm_set(&vm->name, value);
		else if ((value = vm_option(&args, arg, "--network")) || (value = vm_option(&args, arg, "-n")))
			err = kvmtool_net(vm, value);
		else if (!strcmp(arg, "--params") || !strcmp(arg, "-p"))
			vm_args_next(&args);
	}
	return err;
}

static bool is_kvmtool(const char *program, const struct vm_process *p)
{
	(void)p;
	return !strcmp(program, "lkvm") || !strcmp(program, "kvmtool") || !strcmp(program, "lkvm-static");
}

const struct vm_recogniser vm_kvmtool = { "kvmtool", ROLE_VM, NULL, is_kvmtool, kvmtool_describe, NULL };

/* ---- VirtualBox: VBoxManage starts "VirtualBoxVM --comment NAME --startvm UUID" ---- */

static int virtualbox_describe(struct vm *vm, const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	const char *arg, *value;
	int err = 0;

	while (!err && (arg = vm_args_next(&args))) {
		if ((value = vm_option(&args, arg, "--comment")) || (value = vm_option(&args, arg, "-comment"))) {
			err = vm_set(&vm->name, value);
		} else if ((value = vm_option(&args, arg, "--startvm")) || (value = vm_option(&args, arg, "-startvm"))) {
			err = vm_set_uuid(vm, value);
			/* people may give the name there */
			if (!err && !vm->uuid && !vm->name)
				err = vm_set(&vm->name, value);
		}
	}
	return err;
}

static bool is_virtualbox(const char *program, const struct vm_process *p)
{
	(void)p;
	return !strcmp(program, "VBoxHeadless") || !strcmp(program, "VirtualBoxVM") || !strcmp(program, "VBoxSDL");
}

const struct vm_recogniser vm_virtualbox = { "virtualbox", ROLE_VM, NULL, is_virtualbox, virtualbox_describe, NULL };

/* ---- User-mode Linux: arch/um/drivers/vector_kern.c, tuntap_kern.c ---- */

/* "vec0:transport=tap,ifname=tap0,mac=…", "eth0=tuntap,tap0,MAC,…" */
static const char *uml_net(const char *arg, bool *vector)
{
	*vector = !strncmp(arg, "vec", 3);
	if (!*vector && strncmp(arg, "eth", 3))
		return NULL;
	arg += 3 + strspn(arg + 3, "0123456789");
	if (*vector)
		return *arg == ':' && strstr(arg, "transport=tap") ? arg + 1 : NULL;
	return !strncmp(arg, "=tuntap,", 8) ? arg + 8 : NULL;
}

static int uml_port(struct vm *vm, const char *net, bool vector)
{
	int err = 0;
	struct vm_port *port = vm_add_port(vm, &err);
	struct vm_keyvals kv = vm_keyvals(net, 0, vector ? NULL : "ifname");

	while (port && vm_keyvals_next(&kv)) {
		if (!strcmp(kv.key, "ifname"))
			vm_port_ifname(port, kv.value);
		else if (!strcmp(kv.key, "mac"))
			vm_port_mac(port, kv.value);
		else if (!vector && kv.bare && !port->has_mac)
			vm_port_mac(port, kv.key);
	}
	return err;
}

static int uml_describe(struct vm *vm, const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	const char *arg, *net;
	bool vector;
	int err = 0;

	while (!err && (arg = vm_args_next(&args))) {
		if (!strncmp(arg, "umid=", 5))
			err = vm_set(&vm->name, arg + 5);
		else if ((net = uml_net(arg, &vector)))
			err = uml_port(vm, net, vector);
	}
	return err;
}

/* A kernel may be called anything: it is known by what a kernel is told. */
static bool is_uml(const char *program, const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	bool network = false, disk = false, vector;
	const char *arg;

	(void)program;
	while ((arg = vm_args_next(&args))) {
		network |= uml_net(arg, &vector) != NULL;
		disk |= !strncmp(arg, "ubd", 3) || !strncmp(arg, "root=", 5) || !strncmp(arg, "umid=", 5);
	}
	return network && disk;
}

const struct vm_recogniser vm_uml = { "uml", ROLE_VM, NULL, is_uml, uml_describe, NULL };
