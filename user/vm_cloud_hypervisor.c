// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm_cloud_hypervisor.c - Cloud Hypervisor: alone, under libvirt, under Kata.
 *
 * It has no name of its own: its API socket is how it is addressed. Format:
 * cloud-hypervisor/src/main.rs, NetConfig::parse() in vmm/src/config.rs.
 */
#include <string.h>

#include "vm_private.h"

static int add_net(struct vm *vm, const char *value)
{
	struct vm_keyvals kv = vm_keyvals(value, KV_NESTED, NULL);
	struct vm_port *port;
	int err = 0;

	port = vm_add_port(vm, &err);
	if (!port)
		return err;
	while (!err && vm_keyvals_next(&kv)) {
		if (!strcmp(kv.key, "tap"))
			vm_port_ifname(port, kv.value);
		else if (!strcmp(kv.key, "mac"))
			vm_port_mac(port, kv.value);
		else if (!strcmp(kv.key, "fd"))
			err = vm_port_fds(port, kv.value);
		else if (!strcmp(kv.key, "id"))
			vm_copy(port->id, sizeof(port->id), kv.value);
	}
	return err;
}

/* Another process does the network then, and no tap is held. */
static bool is_vhost_user(const char *value)
{
	struct vm_keyvals kv = vm_keyvals(value, KV_NESTED, NULL);

	while (vm_keyvals_next(&kv))
		if (!strcmp(kv.key, "vhost_user") && vm_is_on(&kv))
			return true;
	return false;
}

/* "--net A B C": all words up to the next option. */
static int take_nets(struct vm *vm, struct vm_args *args, const char *value)
{
	int err = 0;

	while (!err && value) {
		if (!is_vhost_user(value))
			err = add_net(vm, value);
		value = vm_args_peek(args);
		value = value && *value != '-' ? vm_args_next(args) : NULL;
	}
	return err;
}

/* "PATH", "path=PATH" or "fd=N", which says nothing. */
static int take_socket(struct vm *vm, const char *value)
{
	if (!strncmp(value, "fd=", 3))
		return 0;
	return vm_set(&vm->name, strncmp(value, "path=", 5) ? value : value + 5);
}

static int take_platform(struct vm *vm, const char *value)
{
	struct vm_keyvals kv = vm_keyvals(value, KV_NESTED, NULL);
	int err = 0;

	while (!err && vm_keyvals_next(&kv))
		if (!strcmp(kv.key, "uuid"))
			err = vm_set_uuid(vm, kv.value);
	return err;
}

/* "/run/vc/vm/ID/clh-api.sock" is Kata's, "/run/libvirt/ch/web-socket" libvirt's. */
static int fill_manager(struct vm *vm, const struct vm_process *p)
{
	static const char kata[] = "/run/vc/vm/";
	char name[VM_TEXT_LEN + 1];
	const char *id;

	if (vm_scope_name(p->cgroup, "ch", name, sizeof(name))) {
		vm->manager = "libvirt";
		return vm_set(&vm->name, name);
	}
	id = vm->name ? strstr(vm->name, kata) : NULL;
	if (!id)
		return 0;
	vm->manager = "kata";
	id += sizeof(kata) - 1;
	memcpy(name, id, strlen(id) + 1);
	name[strcspn(name, "/")] = '\0';
	return vm_set(&vm->name, name);
}

static int describe(struct vm *vm, const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	const char *arg, *value;
	int err = 0;

	while (!err && (arg = vm_args_next(&args))) {
		if ((value = vm_option(&args, arg, "--net")))
			err = take_nets(vm, &args, value);
		else if ((value = vm_option(&args, arg, "--api-socket")))
			err = take_socket(vm, value);
		else if ((value = vm_option(&args, arg, "--platform")))
			err = take_platform(vm, value);
		else if (!strcmp(arg, "--cmdline"))
			vm_args_next(&args);	/* the guest's own options are none */
	}
	return err ? err : fill_manager(vm, p);
}

static bool is(const char *program, const struct vm_process *p)
{
	(void)p;
	/* with the version or the architecture behind it, as its releases are named */
	return !strncmp(program, "cloud-hypervisor", 16);
}

const struct vm_recogniser vm_cloud_hypervisor = { "cloud-hypervisor", ROLE_VM, NULL, is, describe, NULL };
