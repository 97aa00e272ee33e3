// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm.c - see vm.h. The table of recognisers, and the parsers they share.
 */
#include "vm.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm_private.h"

/* In probe order: the first that says yes. */
static const struct vm_recogniser *const recognisers[] = {
	&vm_qemu, &vm_stratovirt, &vm_cloud_hypervisor, &vm_firecracker, &vm_crosvm, &vm_kvmtool, &vm_virtualbox,
	&vm_uml,
};
#define N_RECOGNISERS (sizeof(recognisers) / sizeof(recognisers[0]))

const char *role_name(enum role role)
{
	static const char *const names[ROLE_MAX] = {
		[ROLE_VM] = "vm",
		[ROLE_VPN] = "vpn",
		[ROLE_CONTAINER] = "container",
		[ROLE_NETWORK_MANAGER] = "network-manager",
		[ROLE_VM_MANAGER] = "vm-manager",
		[ROLE_SWITCH] = "switch",
	};

	return names[role];
}

static const struct vm_recogniser *find(const char *program, const struct vm_process *p)
{
	for (size_t i = 0; i < N_RECOGNISERS; i++)
		if (recognisers[i]->is(program, p))
			return recognisers[i];
	return NULL;
}

const char *vm_config_file(const struct vm_process *p)
{
	char program[VM_PROGRAM_LEN];
	const struct vm_recogniser *r;

	vm_program(p, program);
	r = *program ? find(program, p) : NULL;
	return r && r->config_file ? r->config_file(p) : NULL;
}

struct vm *vm_recognise(const struct vm_process *p)
{
	char program[VM_PROGRAM_LEN];
	const struct vm_recogniser *r;
	struct vm found = { 0 }, *vm;

	vm_program(p, program);
	if (!*program)
		return NULL;
	r = find(program, p);
	if (r) {
		found.role = r->role;
		found.type = r->type;
	} else {
		found.role = vm_program_role(program, p->exe, &found.type);
	}
	if (!found.role)
		return NULL;
	vm = malloc(sizeof(*vm));
	if (!vm)
		return NULL;
	*vm = found;
	if (r && r->describe && r->describe(vm, p)) {
		vm_free(vm);
		return NULL;
	}
	return vm;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	for (size_t i = 0; i < vm->n_ports; i++) {
		free(vm->ports[i].fds);
		free(vm->ports[i].vhost_fds);
	}
	free(vm->ports);
	free(vm->name);
	free(vm->uuid);
	free(vm->id);
	free(vm);
}

static size_t add(char *out, size_t size, size_t n, const char *format, ...)
{
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(out + n, size - n, format, ap);
	va_end(ap);
	return len > 0 && n + (size_t)len < size ? n + (size_t)len : size - 1;
}

static size_t add_numbers(char *out, size_t size, size_t n, const char *key, const int *fds, size_t len)
{
	for (size_t i = 0; i < len; i++)
		n = add(out, size, n, "%s%d", i ? "," : key, fds[i]);
	return n;
}

static size_t add_port(char *out, size_t size, size_t n, const struct vm_port *port)
{
	const uint8_t *m = port->mac;

	n = add(out, size, n, "%s", *port->id ? port->id : "-");
	if (port->ifname[0])
		n = add(out, size, n, " ifname=%.*s", TW_NAME_LEN, port->ifname);
	n = add_numbers(out, size, n, " fd=", port->fds, port->n_fds);
	if (port->has_mac)
		n = add(out, size, n, " mac=%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	if (port->vhost)
		n = add(out, size, n, " vhost");
	return add_numbers(out, size, n, " vhostfd=", port->vhost_fds, port->n_vhost_fds);
}

size_t vm_ports_text(const struct vm *vm, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < vm->n_ports; i++) {
		if (i)
			n = add(out, size, n, "; ");
		n = add_port(out, size, n, &vm->ports[i]);
	}
	return n;
}

bool vm_forks(const struct vm_process *p)
{
	char program[VM_PROGRAM_LEN];

	vm_program(p, program);
	for (size_t i = 0; i < N_RECOGNISERS; i++)
		if (recognisers[i]->forks && !strcmp(recognisers[i]->forks, program))
			return true;
	return false;
}

/* ---- the program ---- */

static size_t without(const char *text, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && !memcmp(text + len - n, suffix, n) ? len - n : len;
}

const char *vm_program(const struct vm_process *p, char out[VM_PROGRAM_LEN])
{
	const char *path = p->exe, *base;
	size_t len;

	out[0] = '\0';
	if (!path || !*path)
		path = p->argv_len ? p->argv : NULL;
	if (!path)
		return out;
	len = without(path, strlen(path), " (deleted)");
	base = memrchr(path, '/', len);
	base = base ? base + 1 : path;
	len -= (size_t)(base - path);
	/* NixOS puts programs behind wrappers */
	if (len > 1 && *base == '.') {
		base++;
		len = without(base, len - 1, "-wrapped");
	}
	if (len >= VM_PROGRAM_LEN)
		return out;
	memcpy(out, base, len);
	out[len] = '\0';
	return out;
}

/* ---- arguments ---- */

struct vm_args vm_args(const struct vm_process *p)
{
	struct vm_args args = { p->argv, p->argv };

	if (!p->argv)
		return args;
	args.end = p->argv + p->argv_len;
	/* the last byte is a NUL unless it was cut off there, or rewritten: setproctitle() may do without */
	if (p->argv_cut && p->argv_len && args.end[-1]) {
		const char *nul = memrchr(p->argv, '\0', p->argv_len);

		args.end = nul ? nul + 1 : p->argv;
	}
	vm_args_next(&args);
	return args;
}

const char *vm_args_next(struct vm_args *args)
{
	const char *arg = args->at;

	if (!arg || arg >= args->end)
		return NULL;
	args->at = arg + strlen(arg) + 1;
	return arg;
}

const char *vm_args_peek(const struct vm_args *args)
{
	return args->at && args->at < args->end ? args->at : NULL;
}

const char *vm_option(struct vm_args *args, const char *arg, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(arg, name, len))
		return NULL;
	if (arg[len] == '=')
		return arg + len + 1;
	return arg[len] ? NULL : vm_args_next(args);
}

struct vm_keyvals vm_keyvals(const char *text, unsigned syntax, const char *implied)
{
	return (struct vm_keyvals){ .at = text, .syntax = syntax, .implied = implied };
}

static void put(char *out, size_t size, size_t *n, char c)
{
	if (*n + 1 < size)
		out[(*n)++] = c;
}

/* Reads a value to its end; returns where it ended: at a comma or the NUL. */
static const char *read_value(struct vm_keyvals *kv, const char *at)
{
	char quote = 0;
	int depth = 0;
	size_t n = 0;

	for (; *at; at++) {
		bool nested = kv->syntax & KV_NESTED;

		if (*at == ',' && !quote && depth <= 0) {
			if (!(kv->syntax & KV_DOUBLE_COMMA) || at[1] != ',')
				break;
			at++;
		} else if (nested && quote && *at == quote) {
			quote = 0;
			continue;
		} else if (nested && !quote && *at == '"') {
			quote = *at;
			continue;
		} else if (nested && !quote) {
			depth += (*at == '[') - (*at == ']');
		}
		put(kv->value, sizeof(kv->value), &n, *at);
	}
	kv->value[n] = '\0';
	return at;
}

bool vm_keyvals_next(struct vm_keyvals *kv)
{
	const char *at = kv->at, *implied = kv->implied;
	size_t len;

	if (!at || !*at)
		return false;
	kv->implied = NULL;
	kv->bare = false;
	len = strcspn(at, "=,");
	if (at[len] != '=' && implied) {
		vm_copy(kv->key, sizeof(kv->key), implied);
		at = read_value(kv, at);
	} else {
		size_t n = len < sizeof(kv->key) ? len : sizeof(kv->key) - 1;

		memcpy(kv->key, at, n);
		kv->key[n] = '\0';
		kv->value[0] = '\0';
		kv->bare = at[len] != '=';
		at = kv->bare ? at + len : read_value(kv, at + len + 1);
	}
	kv->at = *at ? at + 1 : NULL;
	return true;
}

bool vm_is_on(const struct vm_keyvals *kv)
{
	static const char *const words[] = { "on", "true", "yes", "y" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(kv->value, words[i]))
			return true;
	return kv->bare;
}

/* ---- filling in ---- */

int vm_set(char **to, const char *text)
{
	size_t len = strlen(text);
	char *copy;

	if (!len)
		return 0;
	if (len > VM_TEXT_LEN)
		len = VM_TEXT_LEN;
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	free(*to);
	*to = copy;
	return 0;
}

int vm_set_uuid(struct vm *vm, const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	char uuid[sizeof(form)];

	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		unsigned char c = (unsigned char)text[i];

		if (form[i] == 'x' ? !isxdigit(c) : c != '-')
			return 0;
		uuid[i] = (char)tolower(c);
	}
	if (text[sizeof(form) - 1])
		return 0;
	uuid[sizeof(form) - 1] = '\0';
	return vm_set(&vm->uuid, uuid);
}

void vm_copy(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

struct vm_port *vm_add_port(struct vm *vm, int *err)
{
	struct vm_port *ports;

	if (vm->n_ports == VM_MAX_PORTS)
		return NULL;
	ports = reallocarray(vm->ports, vm->n_ports + 1, sizeof(*ports));
	if (!ports) {
		*err = -ENOMEM;
		return NULL;
	}
	vm->ports = ports;
	memset(&ports[vm->n_ports], 0, sizeof(*ports));
	return &ports[vm->n_ports++];
}

void vm_port_ifname(struct vm_port *port, const char *name)
{
	size_t len = strlen(name);

	memset(port->ifname, 0, sizeof(port->ifname));
	if (len < sizeof(port->ifname))
		memcpy(port->ifname, name, len);
}

void vm_port_mac(struct vm_port *port, const char *text)
{
	uint8_t mac[6];

	for (int i = 0; i < 6; i++) {
		char digits[3] = { text[0], text[0] ? text[1] : '\0', '\0' };

		if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
			return;
		mac[i] = (uint8_t)strtoul(digits, NULL, 16);
		text += 2;
		if (*text != (i < 5 ? ':' : '\0') && (i == 5 || *text != '-'))
			return;
		text += i < 5;
	}
	memcpy(port->mac, mac, sizeof(mac));
	port->has_mac = true;
}

static int add_fds(int **fds, size_t *n, const char *text)
{
	while (*text && *n < VM_MAX_FDS) {
		unsigned long fd;
		char *end;
		int *grown;

		if (!isdigit((unsigned char)*text)) {
			/* "-1": none; a number is not to be found within a word */
			text += strcspn(text, ":,");
			text += *text != '\0';
			text += strspn(text, " [");
			continue;
		}
		errno = 0;
		fd = strtoul(text, &end, 10);
		text = end;
		if (errno || fd > INT_MAX || !strchr(":,]", *end))
			continue;
		grown = reallocarray(*fds, *n + 1, sizeof(**fds));
		if (!grown)
			return -ENOMEM;
		*fds = grown;
		grown[(*n)++] = (int)fd;
	}
	return 0;
}

static int read_fds(int **fds, size_t *n, const char *text)
{
	return add_fds(fds, n, text + strspn(text, " ["));
}

int vm_port_fds(struct vm_port *port, const char *text)
{
	return read_fds(&port->fds, &port->n_fds, text);
}

int vm_port_vhost_fds(struct vm_port *port, const char *text)
{
	return read_fds(&port->vhost_fds, &port->n_vhost_fds, text);
}

/* ---- control groups ---- */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\x2d": the byte, else -1. */
static int escaped(const char *text, size_t len)
{
	if (len < 4 || text[0] != '\\' || text[1] != 'x' || hex(text[2]) < 0 || hex(text[3]) < 0)
		return -1;
	return hex(text[2]) << 4 | hex(text[3]);
}

/* As systemd-escape(1) --unescape, where '-' is '/'. */
static void unescape(const char *text, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int byte = escaped(text + i, len - i);

		put(out, size, &n, (char)(byte >= 0 ? byte : text[i] == '-' ? '/' : text[i]));
		i += byte >= 0 ? 3 : 0;
	}
	out[n] = '\0';
}

/* "qemu-1-web" */
static bool split_machine(const char *machine, const char *driver, char *out, size_t size)
{
	size_t len = strlen(driver), digits;

	if (strncmp(machine, driver, len) || machine[len] != '-')
		return false;
	machine += len + 1;
	digits = strspn(machine, "0123456789");
	if (!digits || machine[digits] != '-' || !machine[digits + 1])
		return false;
	len = strlen(machine + digits + 1);
	if (len >= size)
		return false;
	memcpy(out, machine + digits + 1, len + 1);
	return true;
}

/* One component of the path: virSystemdMakeScopeName(); "qemu-1-web.libvirt-qemu" without systemd. */
static bool component_name(const char *part, size_t len, const char *driver, char *out, size_t size)
{
	static const char prefix[] = "machine-", suffix[] = ".scope", bare[] = ".libvirt-";
	const char *end = memmem(part, len, bare, sizeof(bare) - 1);
	char machine[256];

	if (end) {
		size_t n = (size_t)(end - part);

		if (n >= sizeof(machine))
			return false;
		memcpy(machine, part, n);
		machine[n] = '\0';
		return split_machine(machine, driver, out, size);
	}
	if (len < sizeof(prefix) + sizeof(suffix) - 2 || memcmp(part, prefix, sizeof(prefix) - 1) ||
	    memcmp(part + len - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1))
		return false;
	unescape(part + sizeof(prefix) - 1, len - (sizeof(prefix) + sizeof(suffix) - 2), machine, sizeof(machine));
	return split_machine(machine, driver, out, size);
}

bool vm_scope_name(const char *cgroup, const char *driver, char *out, size_t size)
{
	out[0] = '\0';
	while (cgroup && *cgroup) {
		size_t len = strcspn(cgroup, "/");

		if (len && component_name(cgroup, len, driver, out, size))
			return true;
		cgroup += len + (cgroup[len] == '/');
	}
	return false;
}
