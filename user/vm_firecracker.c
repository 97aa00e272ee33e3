// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm_firecracker.c - Firecracker, with and without its jailer.
 *
 * Its interfaces are set through its API or a file, never by options. Format:
 * src/firecracker/src/main.rs; the jailer (src/jailer/src/env.rs) execs it as
 * "/firecracker --id=ID --start-time-us=…" in the chroot BASE/firecracker/ID/root.
 */
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
	return err ? err : fill_gaps(vm, p, socket);
}

static bool is(const char *program, const struct vm_process *p)
{
	(void)p;
	/* "firecracker-v1.13.1-x86_64"; the jailer demands that the name contains it */
	return strstr(program, "firecracker") && !strstr(program, "containerd");
}

const struct vm_recogniser vm_firecracker = { "firecracker", ROLE_VM, NULL, is, describe };
