/* SPDX-License-Identifier: GPL-2.0-only */
/* vm_private.h - what the recognisers share. */
#ifndef TW_VM_PRIVATE_H
#define TW_VM_PRIVATE_H

#include "vm.h"

/*
 * One kind of machine. `is` looks at the program and, where that says too
 * little, at the command line. `describe` fills what it finds: -ENOMEM is the
 * only way to fail.
 */
struct vm_recogniser {
	const char *type;
	enum role role;
	const char *forks;	/* program whose children without exec do its work; NULL: none do */
	/* `program`: what runs, as vm_program() has it */
	bool (*is)(const char *program, const struct vm_process *p);
	int (*describe)(struct vm *vm, const struct vm_process *p);
	const char *(*config_file)(const struct vm_process *p);	/* NULL: it never has one */
};

extern const struct vm_recogniser vm_qemu, vm_stratovirt, vm_cloud_hypervisor, vm_firecracker, vm_crosvm, vm_kvmtool,
	vm_virtualbox, vm_uml;

/* vm_roles.c: the program that is no machine, NULL for any other. Its static name in *type. */
enum role vm_program_role(const char *program, const char *exe, const char **type);

/*
 * Name of the program: last part of exe without " (deleted)" and the traces of
 * wrappers (".qemu-system-x86_64-wrapped"). Where exe is not known, argv[0]
 * has to do. "" when neither is. `out` has VM_PROGRAM_LEN bytes.
 */
#define VM_PROGRAM_LEN 128
const char *vm_program(const struct vm_process *p, char out[VM_PROGRAM_LEN]);

/* ---- arguments ---- */

struct vm_args {
	const char *at, *end;
};

/* Starts after argv[0]. An argument at whose end the command line was cut is left out. */
struct vm_args vm_args(const struct vm_process *p);
const char *vm_args_next(struct vm_args *args);	/* NULL: no more */
const char *vm_args_peek(const struct vm_args *args);

/*
 * Is `arg` the option `name` ("--net")? Then its value, which is what follows
 * a '=', or else the next argument (which is taken). NULL: it is another, or
 * it has no value.
 */
const char *vm_option(struct vm_args *args, const char *arg, const char *name);

/* "KEY=VALUE,KEY=VALUE" */
struct vm_keyvals {
	const char *at;		/* NULL: no more */
	unsigned syntax;	/* KV_* */
	const char *implied;	/* key of a first word without a '=' */
	/* the present one */
	char key[64];
	char value[1024];	/* cut where it is longer */
	bool bare;		/* it was a key alone */
};

#define KV_DOUBLE_COMMA	(1u << 0)  /* ",," is a comma of the value (QEMU) */
#define KV_NESTED	(1u << 1)  /* commas in "quotes" and [brackets] belong to the value (Rust programs) */

struct vm_keyvals vm_keyvals(const char *text, unsigned syntax, const char *implied);
bool vm_keyvals_next(struct vm_keyvals *kv);

/* Is it on? "on", "true", "yes", "y"; or the key alone. */
bool vm_is_on(const struct vm_keyvals *kv);

/* ---- filling in: 0 or -ENOMEM ---- */

/* A copy in *to, instead of what was there; "" is nothing. */
int vm_set(char **to, const char *text);
int vm_set_uuid(struct vm *vm, const char *text);	/* what is no UUID is left out */

/* As much of it as fits, with a NUL. */
void vm_copy(char *to, size_t size, const char *from);

/* A new port: zeroed. NULL: out of memory, or VM_MAX_PORTS (then *err stays 0). */
struct vm_port *vm_add_port(struct vm *vm, int *err);
void vm_port_ifname(struct vm_port *port, const char *name);	/* a name that cannot be one is left out */
void vm_port_mac(struct vm_port *port, const char *text);
/* Decimal numbers separated by whatever; "[3,4]", "3:4". */
int vm_port_fds(struct vm_port *port, const char *text);
int vm_port_vhost_fds(struct vm_port *port, const char *text);

/* ---- control groups ---- */

/*
 * "web" of ".../machine-qemu\x2d1\x2dweb.scope/...": libvirt's name for the
 * machine as far as it fits there, for the driver ("qemu", "ch"). False: none.
 */
bool vm_scope_name(const char *cgroup, const char *driver, char *out, size_t size);

#endif /* TW_VM_PRIVATE_H */
