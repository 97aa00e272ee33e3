// SPDX-License-Identifier: GPL-2.0-only
/*
 * The recognisers on every process of tests/data/cmdlines: what they must say
 * stands beside it. And cut off at every byte: then they may know less, but
 * never something else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <json-c/json.h>
#include <stdio.h>
#include <unistd.h>

#include "../../user/escape.h"
#include "vm_case.h"

#define CASES "tests/data/cmdlines/"

/* ---- what was found, as the .json files have it ---- */

static void put(struct json_object *object, const char *key, struct json_object *value)
{
	assert_int_equal(json_object_object_add(object, key, value), 0);
}

static void put_text(struct json_object *object, const char *key, const char *text)
{
	char safe[ESCAPE_SIZE(VM_TEXT_LEN)];

	if (!text || !*text)
		return;
	escape_term(safe, sizeof(safe), text, strlen(text));
	put(object, key, json_object_new_string(safe));
}

static void put_fds(struct json_object *object, const char *key, const int *fds, size_t n)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, json_object_new_int(fds[i]));
	if (n)
		put(object, key, array);
	else
		json_object_put(array);
}

static struct json_object *port_json(const struct vm_port *port)
{
	struct json_object *object = json_object_new_object();
	char mac[18];

	put_text(object, "id", port->id);
	put_text(object, "ifname", port->ifname);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", port->mac[0], port->mac[1], port->mac[2], port->mac[3],
		 port->mac[4], port->mac[5]);
	if (port->has_mac)
		put(object, "mac", json_object_new_string(mac));
	if (port->vhost)
		put(object, "vhost", json_object_new_boolean(true));
	put_fds(object, "fds", port->fds, port->n_fds);
	put_fds(object, "vhost_fds", port->vhost_fds, port->n_vhost_fds);
	return object;
}

static struct json_object *vm_json(const struct vm *vm)
{
	struct json_object *object, *ports;

	if (!vm)
		return NULL;
	object = json_object_new_object();
	put_text(object, "role", role_name(vm->role));
	put_text(object, "type", vm->type);
	put_text(object, "name", vm->name);
	put_text(object, "uuid", vm->uuid);
	put_text(object, "manager", vm->manager);
	put_text(object, "id", vm->id);
	if (!vm->n_ports)
		return object;
	ports = json_object_new_array();
	for (size_t i = 0; i < vm->n_ports; i++)
		json_object_array_add(ports, port_json(&vm->ports[i]));
	put(object, "ports", ports);
	return object;
}

/* ---- the files ---- */

struct data {
	glob_t paths;
};

static int setup(void **state)
{
	struct data *data = calloc(1, sizeof(*data));

	*state = data;
	return data ? glob(CASES "*.case", 0, NULL, &data->paths) : -1;
}

static int teardown(void **state)
{
	struct data *data = *state;

	globfree(&data->paths);
	free(data);
	return 0;
}

static void read_case(struct vm_case *c, const char *path)
{
	FILE *file = fopen(path, "r");
	char buf[65536];
	size_t len;

	assert_non_null(file);
	len = fread(buf, 1, sizeof(buf), file);
	fclose(file);
	assert_true(vm_case_read(c, buf, len));
}

static struct json_object *expected(const char *path)
{
	char name[512];

	snprintf(name, sizeof(name), "%.*s.json", (int)(strlen(path) - strlen(".case")), path);
	/* "null" and no file look the same below */
	assert_int_equal(access(name, R_OK), 0);
	return json_object_from_file(name);
}

static void all_cases(void **state)
{
	const struct data *data = *state;
	size_t wrong = 0;

	/* a tree that was copied without them would show nothing */
	assert_true(data->paths.gl_pathc >= 50);
	for (size_t i = 0; i < data->paths.gl_pathc; i++) {
		struct json_object *want = expected(data->paths.gl_pathv[i]), *got;
		struct vm_case c;
		struct vm *vm;

		read_case(&c, data->paths.gl_pathv[i]);
		vm = vm_recognise(&c.process);
		got = vm_json(vm);
		if (!json_object_equal(want, got)) {
			print_error("%s:\n  want %s\n  got  %s\n", data->paths.gl_pathv[i],
				    json_object_to_json_string_ext(want, JSON_C_TO_STRING_PLAIN),
				    json_object_to_json_string_ext(got, JSON_C_TO_STRING_PLAIN));
			wrong++;
		}
		json_object_put(want);
		json_object_put(got);
		vm_free(vm);
		vm_case_free(&c);
	}
	assert_int_equal(wrong, 0);
}

/* Does it stand in the arguments as a whole word, rather than as the beginning of one? */
static bool is_word(const struct vm_process *p, const char *name)
{
	const char *at = p->argv, *end = p->argv + p->argv_len;

	while ((at = memmem(at, (size_t)(end - at), name, strlen(name)))) {
		if (at[strlen(name)] == '\0')
			return true;
		at++;
	}
	return false;
}

/*
 * A name out of what is left: the whole one, the one that needs no arguments,
 * or what stands in for it (a socket, a number) until the name comes.
 */
static bool may_be(const char *name, const struct vm_process *p, const struct vm *whole, const struct vm *bare)
{
	return !name || (whole && whole->name && !strcmp(name, whole->name)) ||
	       (bare && bare->name && !strcmp(name, bare->name)) || is_word(p, name);
}

static void check_cut(const struct vm_process *p, size_t len, const char *path, const struct vm *whole,
		      const struct vm *bare)
{
	/* a copy of its own size: reading behind it shows */
	struct vm_process cut = *p;
	char *argv = malloc(len + 1);
	struct vm *vm;

	assert_non_null(argv);
	memcpy(argv, p->argv, len);
	argv[len] = '\0';
	cut.argv = argv;
	cut.argv_len = len;
	cut.argv_cut = true;
	vm = vm_recognise(&cut);
	if (vm && !may_be(vm->name, p, whole, bare))
		fail_msg("%s cut to %zu bytes is called %s", path, len, vm->name);
	if (vm && whole && vm->uuid && whole->uuid)
		assert_string_equal(vm->uuid, whole->uuid);
	if (vm && whole)
		assert_true(vm->n_ports <= whole->n_ports);
	vm_free(vm);
	free(argv);
}

static void cut_anywhere(void **state)
{
	const struct data *data = *state;

	for (size_t i = 0; i < data->paths.gl_pathc; i++) {
		struct vm *whole, *bare;
		struct vm_process empty;
		struct vm_case c;

		read_case(&c, data->paths.gl_pathv[i]);
		whole = vm_recognise(&c.process);
		empty = c.process;
		empty.argv_len = 0;
		empty.argv = "";
		bare = vm_recognise(&empty);
		for (size_t len = 0; len < c.process.argv_len; len++)
			check_cut(&c.process, len, data->paths.gl_pathv[i], whole, bare);
		vm_free(whole);
		vm_free(bare);
		vm_case_free(&c);
	}
}

static void bounded(void **state)
{
	struct vm_process p = { .exe = "/usr/bin/qemu-system-x86_64" };
	size_t len = 0, size = 1 << 20;
	char *argv = calloc(1, size);
	struct vm *vm;

	(void)state;
	len += (size_t)sprintf(argv, "qemu") + 1;
	len += (size_t)sprintf(argv + len, "-name") + 1;
	memset(argv + len, 'x', 70000);
	len += 70001;
	for (int i = 0; i < 1000; i++) {
		len += (size_t)sprintf(argv + len, "-netdev") + 1;
		len += (size_t)sprintf(argv + len, "tap,id=n%d,fds=", i);
		for (int fd = 0; fd < 200; fd++)
			len += (size_t)sprintf(argv + len, "%d:", fd % 10);
		len++;
		len += (size_t)sprintf(argv + len, "-device") + 1;
		len += (size_t)sprintf(argv + len, "virtio-net-pci,netdev=n%d,mac=52:54:00:00:00:01", i) + 1;
	}
	assert_true(len < size);
	p.argv = argv;
	p.argv_len = len;
	vm = vm_recognise(&p);
	assert_non_null(vm);
	assert_int_equal(vm->n_ports, VM_MAX_PORTS);
	assert_int_equal(vm->ports[0].n_fds, 200);
	assert_true(vm->ports[VM_MAX_PORTS - 1].has_mac);
	assert_true(strlen(vm->name) <= VM_TEXT_LEN);
	vm_free(vm);
	free(argv);
}

static void forks(void **state)
{
	static const struct { const char *exe; bool forks; } programs[] = {
		{ "/usr/bin/crosvm", true }, { "/usr/bin/crosvm (deleted)", true }, { "/usr/bin/bash", false },
		{ "/usr/bin/qemu-system-x86_64", false }, { NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		struct vm_process p = { .exe = programs[i].exe, .argv = "", .argv_len = 0 };

		assert_int_equal(vm_forks(&p), programs[i].forks);
	}
}

/* For people, and never more than fits. */
static void ports_text(void **state)
{
	static const char argv[] = "qemu\0-netdev\0tap,id=net0,fds=27:28,vhost=on,vhostfds=30:31\0-device\0"
		"virtio-net-pci,netdev=net0,mac=52:54:00:12:34:56\0-netdev\0tap,id=n1,ifname=tap1";
	struct vm_process p = { .exe = "/usr/bin/qemu-system-x86_64", .argv = argv, .argv_len = sizeof(argv) };
	struct vm *vm = vm_recognise(&p);
	char text[256], small[20];
	size_t len;

	(void)state;
	assert_non_null(vm);
	len = vm_ports_text(vm, text, sizeof(text));
	assert_int_equal(len, strlen(text));
	assert_string_equal(text, "net0 fd=27,28 mac=52:54:00:12:34:56 vhost vhostfd=30,31; n1 ifname=tap1");
	for (size_t size = 1; size <= sizeof(small); size++) {
		assert_int_equal(vm_ports_text(vm, small, size), size - 1);
		assert_memory_equal(small, text, size - 1);
	}
	vm_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_cases),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(bounded),
		cmocka_unit_test(forks),
		cmocka_unit_test(ports_text),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
