// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm_qemu.c - QEMU under whatever started it, and StratoVirt, which took over
 * its options.
 *
 * Formats: system/vl.c, net/tap.c and util/qemu-option.c of QEMU;
 * qemuBuildCommandLine() and tests/qemuxmlconfdata of libvirt;
 * PVE/QemuServer.pm of Proxmox; driver_qemu.go of Incus and LXD; govmm of Kata.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "vm_private.h"

/* A -device or -net nic: what the guest sees. */
struct nic {
	char netdev[64];
	char mac[24];
};

struct qemu {
	struct vm *vm;
	const struct vm_process *p;
	int err;
	struct nic *nics;
	size_t n_nics;
	/* -net tap and -net nic: indices, for they belong together in their order */
	size_t old_port[VM_MAX_PORTS], old_nic[VM_MAX_PORTS], n_old_ports, n_old_nics;
	/* traces of who made it */
	bool libvirt, pve, kata, incus, lxd, kubevirt, openstack;
};

/*
 * Options without an argument (qemu-options.def, also of older versions). All
 * others have one, so what stands there is no option, whatever it looks like.
 */
static bool takes_nothing(const char *option)
{
	static const char *const names[] = {
		"S", "s", "h", "help", "version", "snapshot", "usb", "nographic", "portrait", "full-screen", "no-frame",
		"alt-grab", "ctrl-grab", "no-quit", "sdl", "curses", "win2k-hack", "no-fd-bootchk", "no-acpi", "no-hpet",
		"no-reboot", "no-shutdown", "no-user-config", "nodefaults", "nodefconfig", "daemonize", "enable-kvm", "no-kvm",
		"no-kvm-irqchip", "no-kvm-pit", "no-kvm-pit-reinjection", "enable-kvm-pit", "no-kvm-nesting", "only-migratable",
		"preconfig", "old-param", "semihosting", "singlestep", "one-insn-per-tb", "mem-prealloc", "rtc-td-hack", "tdf",
		"xen-attach", "xen-domid-restrict", "xen-create", "enable-fips", "async-teardown", "enable-nesting",
		"no-virtio", "perfmap", "jitdump", "show-cursor", "localtime", "enable-hax",
		/* StratoVirt */
		"disable-seccomp", "prealloc",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(option, names[i]))
			return true;
	return false;
}

/* ---- -name, -uuid, -smbios, -id and traces ---- */

static void on_name(struct qemu *q, const char *value)
{
	struct vm_keyvals kv = vm_keyvals(value, KV_DOUBLE_COMMA, "guest");

	while (!q->err && vm_keyvals_next(&kv))
		if (!strcmp(kv.key, "guest"))
			q->err = vm_set(&q->vm->name, kv.value);
	if (q->vm->name && !strncmp(q->vm->name, "sandbox-", 8))
		q->kata |= q->vm->name[8] != '\0';
}

static void on_uuid(struct qemu *q, const char *value)
{
	q->err = vm_set_uuid(q->vm, value);
}

/* Proxmox: PVE's own option, which its QEMU is patched for. */
static void on_id(struct qemu *q, const char *value)
{
	q->err = vm_set(&q->vm->id, value);
}

static void on_smbios(struct qemu *q, const char *value)
{
	struct vm_keyvals kv = vm_keyvals(value, KV_DOUBLE_COMMA, NULL);

	while (!q->err && vm_keyvals_next(&kv)) {
		bool maker = !strcmp(kv.key, "manufacturer"), product = !strcmp(kv.key, "product");

		if (!strcmp(kv.key, "uuid") && !q->vm->uuid)
			q->err = vm_set_uuid(q->vm, kv.value);
		q->kubevirt |= maker && !strcmp(kv.value, "KubeVirt");
		/* distributions put their own name for the first, and "Nova" or "Compute" in the second */
		q->openstack |= maker && !strcmp(kv.value, "OpenStack Foundation");
		q->openstack |= product && !strncmp(kv.value, "OpenStack ", 10);
		q->incus |= product && !strcmp(kv.value, "Incus");
		q->lxd |= product && !strcmp(kv.value, "LXD");
	}
}

static void on_pidfile(struct qemu *q, const char *value)
{
	q->pve |= strstr(value, "/qemu-server/") != NULL;
	q->incus |= strstr(value, "/incus/") != NULL;
	q->lxd |= strstr(value, "/lxd/") != NULL;
}

static void on_qmp(struct qemu *q, const char *value)
{
	q->kata |= strstr(value, "/run/vc/") != NULL;
}

/* libvirt's names for what it gives every machine: qemuBuildMasterKeyCommandLine(), qemuBuildMonitorCommandLine() */
static void on_object(struct qemu *q, const char *value)
{
	q->libvirt |= strstr(value, "masterKey0") != NULL;
}

static void on_chardev(struct qemu *q, const char *value)
{
	q->libvirt |= strstr(value, "id=charmonitor,") != NULL;
	q->pve |= strstr(value, "/qemu-server/") != NULL;
	q->kata |= strstr(value, "/run/vc/") != NULL;
}

/* ---- networks ---- */

static bool is_tap(const char *type)
{
	/* "bridge": the helper makes a tap and hands it over */
	return !strcmp(type, "tap") || !strcmp(type, "bridge");
}

static struct nic *add_nic(struct qemu *q)
{
	struct nic *nics;

	if (q->n_nics == VM_MAX_PORTS)
		return NULL;
	nics = reallocarray(q->nics, q->n_nics + 1, sizeof(*nics));
	if (!nics) {
		q->err = -ENOMEM;
		return NULL;
	}
	q->nics = nics;
	memset(&nics[q->n_nics], 0, sizeof(*nics));
	return &nics[q->n_nics++];
}

/* One member of a netdev. Of the names only those matter that say which device it is. */
static void port_member(struct qemu *q, struct vm_port *port, const char *key, const char *value, bool on)
{
	if (!strcmp(key, "id"))
		vm_copy(port->id, sizeof(port->id), value);
	else if (!strcmp(key, "ifname"))
		vm_port_ifname(port, value);
	else if (!strcmp(key, "mac") || !strcmp(key, "macaddr"))
		vm_port_mac(port, value);
	else if (!strcmp(key, "vhost") || !strcmp(key, "vhostforce"))
		port->vhost |= on;
	else if (!strcmp(key, "fd") || !strcmp(key, "fds"))
		q->err = vm_port_fds(port, value);
	else if (!strcmp(key, "vhostfd") || !strcmp(key, "vhostfds"))
		q->err = vm_port_vhost_fds(port, value);
}

static void port_text(struct qemu *q, struct vm_port *port, const char *value)
{
	struct vm_keyvals kv = vm_keyvals(value, KV_DOUBLE_COMMA, "type");

	while (!q->err && vm_keyvals_next(&kv))
		port_member(q, port, kv.key, kv.value, vm_is_on(&kv));
}

/* The value of `wanted` in "KEY=VALUE,..."; "" none. */
static void find_text(const char *text, const char *implied, const char *wanted, char *out, size_t size)
{
	struct vm_keyvals kv = vm_keyvals(text, KV_DOUBLE_COMMA, implied);

	out[0] = '\0';
	while (vm_keyvals_next(&kv))
		if (!strcmp(kv.key, wanted))
			vm_copy(out, size, kv.value);
}

/* NULL: no object. To be put. */
static struct json_object *parse_json(const char *text)
{
	struct json_object *object = json_tokener_parse(text);

	if (object && json_object_is_type(object, json_type_object))
		return object;
	json_object_put(object);
	return NULL;
}

static const char *json_text(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value))
		return "";
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static void port_json(struct qemu *q, struct vm_port *port, struct json_object *object)
{
	json_object_object_foreach(object, key, value) {
		bool on = json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);

		if (!q->err && !json_object_is_type(value, json_type_object) && !json_object_is_type(value, json_type_array))
			port_member(q, port, key, json_object_is_type(value, json_type_null) ? "" : json_object_get_string(value),
				    on);
	}
}

static void netdev_json(struct qemu *q, const char *value)
{
	struct json_object *object = parse_json(value);
	struct vm_port *port;

	if (object && is_tap(json_text(object, "type"))) {
		port = vm_add_port(q->vm, &q->err);
		if (port)
			port_json(q, port, object);
	}
	json_object_put(object);
}

static void on_netdev(struct qemu *q, const char *value)
{
	struct vm_port *port;
	char type[32];

	if (*value == '{') {
		netdev_json(q, value);
		return;
	}
	find_text(value, "type", "type", type, sizeof(type));
	if (!is_tap(type))
		return;
	port = vm_add_port(q->vm, &q->err);
	if (port)
		port_text(q, port, value);
}

/* -net tap,... and -net nic,...: all on one hub, unless netdev= says otherwise. */
static void on_net(struct qemu *q, const char *value)
{
	size_t before = q->vm->n_ports;
	struct nic *nic;
	char type[32];

	find_text(value, "type", "type", type, sizeof(type));
	if (is_tap(type)) {
		on_netdev(q, value);
		if (q->vm->n_ports > before)
			q->old_port[q->n_old_ports++] = before;
	} else if (!strcmp(type, "nic")) {
		nic = add_nic(q);
		if (!nic)
			return;
		find_text(value, "type", "macaddr", nic->mac, sizeof(nic->mac));
		find_text(value, "type", "netdev", nic->netdev, sizeof(nic->netdev));
		if (!nic->netdev[0])
			q->old_nic[q->n_old_nics++] = q->n_nics - 1;
	}
}

static void on_device(struct qemu *q, const char *value)
{
	struct json_object *object = NULL;
	char netdev[64], mac[24];
	struct nic *nic;

	if (*value == '{') {
		object = parse_json(value);
		vm_copy(netdev, sizeof(netdev), object ? json_text(object, "netdev") : "");
		vm_copy(mac, sizeof(mac), object ? json_text(object, "mac") : "");
		json_object_put(object);
	} else {
		find_text(value, "driver", "netdev", netdev, sizeof(netdev));
		find_text(value, "driver", "mac", mac, sizeof(mac));
	}
	nic = netdev[0] && mac[0] ? add_nic(q) : NULL;
	if (nic) {
		vm_copy(nic->netdev, sizeof(nic->netdev), netdev);
		vm_copy(nic->mac, sizeof(nic->mac), mac);
	}
}

static void give_macs(struct qemu *q)
{
	for (size_t i = 0; i < q->vm->n_ports; i++)
		for (size_t j = 0; j < q->n_nics && q->vm->ports[i].id[0]; j++)
			if (!strcmp(q->vm->ports[i].id, q->nics[j].netdev))
				vm_port_mac(&q->vm->ports[i], q->nics[j].mac);
	for (size_t i = 0; i < q->n_old_ports && i < q->n_old_nics; i++)
		vm_port_mac(&q->vm->ports[q->old_port[i]], q->nics[q->old_nic[i]].mac);
}

/* ---- who made it ---- */

static bool by_kubevirt(const struct qemu *q)
{
	return q->kubevirt;
}

static bool by_openstack(const struct qemu *q)
{
	return q->openstack;
}

static bool by_proxmox(const struct qemu *q)
{
	return q->pve && q->vm->id;
}

static bool by_incus(const struct qemu *q)
{
	return q->incus;
}

static bool by_lxd(const struct qemu *q)
{
	return q->lxd;
}

static bool by_kata(const struct qemu *q)
{
	return q->kata;
}

static bool by_libvirt(const struct qemu *q)
{
	char name[256];

	return q->libvirt || vm_scope_name(q->p->cgroup, "qemu", name, sizeof(name));
}

/* Those on top first: OpenStack and KubeVirt work through libvirt. */
static const struct {
	const char *name;
	bool (*made)(const struct qemu *q);
} managers[] = {
	{ "kubevirt", by_kubevirt },
	{ "openstack", by_openstack },
	{ "proxmox", by_proxmox },
	{ "incus", by_incus },
	{ "lxd", by_lxd },
	{ "libvirt", by_libvirt },
	{ "kata", by_kata },
};

/* ---- all of it ---- */

static const struct {
	const char *name;
	void (*take)(struct qemu *q, const char *value);
} options[] = {
	{ "name", on_name }, { "uuid", on_uuid }, { "id", on_id }, { "smbios", on_smbios }, { "pidfile", on_pidfile },
	{ "qmp", on_qmp }, { "object", on_object }, { "chardev", on_chardev }, { "netdev", on_netdev }, { "nic", on_netdev },
	{ "net", on_net }, { "device", on_device }, { "readconfig", on_pidfile },
};

static void take(struct qemu *q, const char *option, const char *value)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(options[i].name, option)) {
			options[i].take(q, value);
			return;
		}
}

static void read_options(struct qemu *q)
{
	struct vm_args args = vm_args(q->p);
	const char *arg, *value;

	while (!q->err && (arg = vm_args_next(&args))) {
		if (*arg != '-')
			continue;
		/* "--name" is the same as "-name" */
		arg += 1 + (arg[1] == '-');
		if (takes_nothing(arg))
			continue;
		value = vm_args_next(&args);
		if (value)
			take(q, arg, value);
	}
}

/* What the command line did not say. */
static int fill_gaps(struct qemu *q)
{
	char name[256];

	/* -id is Proxmox's alone */
	if (!q->pve) {
		free(q->vm->id);
		q->vm->id = NULL;
	}
	for (size_t i = 0; i < sizeof(managers) / sizeof(managers[0]) && !q->vm->manager; i++)
		if (managers[i].made(q))
			q->vm->manager = managers[i].name;
	if (q->vm->name)
		return 0;
	if (vm_scope_name(q->p->cgroup, "qemu", name, sizeof(name)))
		return vm_set(&q->vm->name, name);
	return q->vm->id ? vm_set(&q->vm->name, q->vm->id) : 0;
}

static int describe(struct vm *vm, const struct vm_process *p)
{
	struct qemu q = { .vm = vm, .p = p };

	read_options(&q);
	give_macs(&q);
	free(q.nics);
	return q.err ? q.err : fill_gaps(&q);
}

/* Has it an option that no other program called "kvm" or "qemu" would have? */
static bool looks_like_qemu(const struct vm_process *p)
{
	static const char *const telling[] = { "-machine", "-M", "-m", "-drive", "-netdev", "-device", "-nic", "-smp", "-hda" };
	struct vm_args args = vm_args(p);
	const char *arg;

	while ((arg = vm_args_next(&args)))
		for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++)
			if (!strcmp(arg, telling[i]))
				return true;
	return false;
}

static bool is_qemu(const char *program, const struct vm_process *p)
{
	static const char *const loose[] = { "qemu", "kvm", "kvm-spice", "qemu-kvm-spice" };

	/* "qemu-system-x86_64", Kata's "qemu-virtiofs-system-x86_64" */
	if (!strncmp(program, "qemu-", 5) && strstr(program, "system-"))
		return true;
	if (!strcmp(program, "qemu-kvm"))
		return true;
	for (size_t i = 0; i < sizeof(loose) / sizeof(loose[0]); i++)
		if (!strcmp(program, loose[i]))
			return looks_like_qemu(p);
	return false;
}

static bool is_stratovirt(const char *program, const struct vm_process *p)
{
	(void)p;
	return !strcmp(program, "stratovirt");
}

const struct vm_recogniser vm_qemu = { "qemu", ROLE_VM, NULL, is_qemu, describe, NULL };
const struct vm_recogniser vm_stratovirt = { "stratovirt", ROLE_VM, NULL, is_stratovirt, describe, NULL };
