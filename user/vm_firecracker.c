// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm_firecracker.c - Firecracker, with and without its jailer.
 *
 * Its interfaces are set through its API or a file, never by options. Formats:
 * src/firecracker/src/main.rs; of the file src/vmm/src/resources.rs (VmmConfig)
 * and src/vmm/src/vmm_config/net.rs; the jailer (src/jailer/src/env.rs) execs it as
 * "/firecracker --id=ID --start-time-us=…" in the chroot BASE/firecracker/ID/root.
 */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "vm_private.h"

/* What it calls itself when nobody gave it an id: src/vmm. */
static const char anonymous[] = "anonymous-instance";

/* "ID" of ".../firecracker/ID/root[/...]" */
static bool jail_id(const char *path, char *out, size_t size)
{
	const char *root = path ? strstr(path, "/root") : NULL, *id;
	size_t len;

	if (!root || (root[5] && root[5] != '/'))
		return false;
	id = memrchr(path, '/', (size_t)(root - path));
	if (!id || id - path < 12 || memcmp(id - 12, "/firecracker", 12))
		return false;
	len = (size_t)(root - id - 1);
	if (!len || len >= size)
		return false;
	memcpy(out, id + 1, len);
	out[len] = '\0';
	return true;
}

static int fill_gaps(struct vm *vm, const struct vm_process *p, const char *socket)
{
	char id[128];
	int err = 0;

	if ((p->root && strstr(p->root, "/run/vc/")) || (socket && strstr(socket, "/run/vc/")))
		vm->manager = "kata";
	if (!vm->name && (jail_id(p->root, id, sizeof(id)) || jail_id(p->exe, id, sizeof(id))))
		err = vm_set(&vm->name, id);
	/* the socket is the next best thing to tell one from another */
	if (!err && !vm->name && socket)
		err = vm_set(&vm->name, socket);
	return err;
}

/* ---- --config-file ---- */

#define CONFIG_DEPTH 16		/* what it needs is 4 deep; it may come from anybody */

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

static int add_port(struct vm *vm, struct json_object *interface)
{
	struct vm_port *port;
	int err = 0;

	if (!*text_of(interface, "iface_id") && !*text_of(interface, "host_dev_name"))
		return 0;
	port = vm_add_port(vm, &err);
	if (!port)
		return err;
	vm_copy(port->id, sizeof(port->id), text_of(interface, "iface_id"));
	vm_port_ifname(port, text_of(interface, "host_dev_name"));
	vm_port_mac(port, text_of(interface, "guest_mac"));
	return 0;
}

static int read_config(struct vm *vm, const struct vm_process *p)
{
	struct json_tokener *tokener = p->config ? json_tokener_new_ex(CONFIG_DEPTH) : NULL;
	struct json_object *config = NULL, *interfaces;
	int err = 0;

	if (!tokener)
		return p->config ? -ENOMEM : 0;
	if (p->config_len <= VM_CONFIG_MAX)
		config = json_tokener_parse_ex(tokener, p->config, (int)p->config_len);
	if (json_object_is_type(config, json_type_object) &&
	    json_object_object_get_ex(config, "network-interfaces", &interfaces) &&
	    json_object_is_type(interfaces, json_type_array))
		for (size_t i = 0; i < json_object_array_length(interfaces) && !err; i++)
			err = add_port(vm, json_object_array_get_idx(interfaces, i));
	json_object_put(config);
	json_tokener_free(tokener);
	return err;
}

static const char *config_file(const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	const char *arg, *value, *file = NULL;

	while ((arg = vm_args_next(&args)) && strcmp(arg, "--"))
		if ((value = vm_option(&args, arg, "--config-file")))
			file = value;
	return file;
}

static int describe(struct vm *vm, const struct vm_process *p)
{
	struct vm_args args = vm_args(p);
	const char *arg, *value, *socket = NULL;
	int err = 0;

	while (!err && (arg = vm_args_next(&args)) && strcmp(arg, "--")) {
		if ((value = vm_option(&args, arg, "--id"))) {
			if (strcmp(value, anonymous))
				err = vm_set(&vm->name, value);
		} else if ((value = vm_option(&args, arg, "--api-sock"))) {
			socket = value;
		}
	}
	if (!err)
		err = read_config(vm, p);
	return err ? err : fill_gaps(vm, p, socket);
}

static bool is(const char *program, const struct vm_process *p)
{
	(void)p;
	/* "firecracker-v1.13.1-x86_64"; the jailer demands that the name contains it */
	return strstr(program, "firecracker") && !strstr(program, "containerd");
}

const struct vm_recogniser vm_firecracker = { "firecracker", ROLE_VM, NULL, is, describe, config_file };
