// SPDX-License-Identifier: GPL-2.0-only
/* cmd_check.c - what this kernel and these privileges allow, found out by trying. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "commands.h"
#include "diag.h"
#include "hooks.h"
#include "live.h"
#include "loader.h"
#include "options.h"
#include "privilege.h"

static const char help[] =
	"Usage: tapwatch check [OPTION...]\n\n"
	"Tries every hook of every backend, each by itself, and tells which work, and why not where\n"
	"they do not. Exit status 0 when live tracing works.\n";

static const char *const modules[] = { "tun", "vhost_net" };
#define N_MODULES (sizeof(modules) / sizeof(modules[0]))

/* What each backend is about, and what it costs. */
static const char *const backend_notes[BACKEND_MAX] = {
	[BACKEND_FENTRY] = "functions of the kernel and of the tun driver; 150 instructions per fd opened or closed",
	[BACKEND_KPROBE] = "the same functions by breakpoint or ftrace; four times as dear",
	[BACKEND_TRACEPOINT] = "system calls and rtnetlink; every system call of every process takes some 70 ns more",
};

struct report {
	struct utsname kernel;
	bool btf, module_btf[N_MODULES];
	struct hook_result *results[BACKEND_MAX];
	int chosen;	/* enum backend, or -1 */
};

static bool exists(const char *format, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), format, name);
	return !access(path, F_OK);
}

static int choose(const struct report *r)
{
	for (int b = 0; b < BACKEND_MAX; b++)
		if (hooks_complete((enum backend)b, r->results[b]))
			return b;
	for (int b = 0; b < BACKEND_MAX; b++)
		if (hooks_usable((enum backend)b, r->results[b]))
			return b;
	return -1;
}

static int make_report(struct report *r)
{
	uname(&r->kernel);
	r->btf = exists("/sys/kernel/btf/%s", "vmlinux");
	for (size_t i = 0; i < N_MODULES; i++)
		r->module_btf[i] = exists("/sys/kernel/btf/%s", modules[i]);
	for (int b = 0; b < BACKEND_MAX; b++) {
		r->results[b] = calloc(hooks_len, sizeof(*r->results[b]));
		if (!r->results[b])
			return -ENOMEM;
		hooks_probe((enum backend)b, r->results[b], false);
	}
	r->chosen = choose(r);
	return 0;
}

/* In the order in which `auto` tries them; ptrace, which it does not, last. */
static const enum seed_backend seeds[] = { SEED_ITER, SEED_PIDFD, SEED_FDINFO, SEED_PTRACE };
#define N_SEEDS (sizeof(seeds) / sizeof(seeds[0]))

/* --- text --- */

static void print_backend(const struct report *r, enum backend backend)
{
	const struct hook_result *results = r->results[backend];

	printf("\nbackend %s: %s\n  (%s)\n", backend_name(backend),
	       hooks_complete(backend, results) ? "works" :
	       hooks_usable(backend, results) ? "works, with less" : "does not work", backend_notes[backend]);
	for (size_t i = 0; i < hooks_len; i++) {
		if (!hook_of(i, backend))
			continue;
		if (results[i].alternative >= 0)
			printf("  %-16s yes\n", hooks[i].name);
		else
			printf("  %-16s no   %s; %s\n", hooks[i].name, results[i].reason, hooks[i].loss);
	}
}

static void print_seed(enum seed_backend which)
{
	char reason[256], here[512];
	bool works = seed_available(which, NULL, reason, sizeof(reason));

	printf("  %-16s %s%s\n", seed_name(which), works ? "yes" : "no   ", works ? "" : reason);
	printf("  %-16s      blind to: %s\n", "", seed_blind(which));
	seed_blind_here(which, here, sizeof(here));
	if (works && *here)
		printf("  %-16s      here: %s\n", "", here);
}

static void print_text(const struct report *r)
{
	printf("kernel         %s %s\n", r->kernel.release, r->kernel.machine);
	printf("BTF            %s\n", r->btf ? "yes" : "no   /sys/kernel/btf/vmlinux is missing: no backend can work");
	for (size_t i = 0; i < N_MODULES; i++)
		printf("BTF %-10s %s\n", modules[i], r->module_btf[i] ? "yes" :
		       "no   (built in, not loaded, or built without)");
	printf("\ncapabilities\n");
	for (size_t i = 0; i < capabilities_len; i++)
		printf("  %-20s %-4s %s%s\n", capabilities[i].name, privilege_has(&capabilities[i]) ? "yes" : "no",
		       capabilities[i].use, capabilities[i].at_start ? " (dropped after the start)" : "");
	for (int b = 0; b < BACKEND_MAX; b++)
		print_backend(r, (enum backend)b);
	printf("\nseed: how the existing state is read\n");
	for (size_t i = 0; i < N_SEEDS; i++)
		print_seed(seeds[i]);
	printf("\nlive tracing   %s%s\n", r->chosen < 0 ? "does not work" : "works, with backend ",
	       r->chosen < 0 ? "" : backend_name((enum backend)r->chosen));
}

/* --- JSON --- */

static struct json_object *verdict(bool works, const char *reason)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "works", json_object_new_boolean(works));
	if (!works && reason && *reason)
		json_object_object_add(o, "reason", json_object_new_string(reason));
	return o;
}

static struct json_object *backend_json(const struct report *r, enum backend backend)
{
	const struct hook_result *results = r->results[backend];
	struct json_object *o = verdict(hooks_usable(backend, results), NULL), *list = json_object_new_object();

	json_object_object_add(o, "complete", json_object_new_boolean(hooks_complete(backend, results)));
	json_object_object_add(o, "cost", json_object_new_string(backend_notes[backend]));
	for (size_t i = 0; i < hooks_len; i++) {
		struct json_object *hook;

		if (!hook_of(i, backend))
			continue;
		hook = verdict(results[i].alternative >= 0, results[i].reason);
		if (results[i].alternative < 0)
			json_object_object_add(hook, "loss", json_object_new_string(hooks[i].loss));
		json_object_object_add(list, hooks[i].name, hook);
	}
	json_object_object_add(o, "hooks", list);
	return o;
}

static struct json_object *seed_json(enum seed_backend which)
{
	char reason[256], here[512];
	bool works = seed_available(which, NULL, reason, sizeof(reason));
	struct json_object *o = verdict(works, reason);

	json_object_object_add(o, "blind", json_object_new_string(seed_blind(which)));
	seed_blind_here(which, here, sizeof(here));
	if (works && *here)
		json_object_object_add(o, "blind_here", json_object_new_string(here));
	return o;
}

static void print_json(const struct report *r)
{
	struct json_object *o = json_object_new_object(), *part;

	json_object_object_add(o, "kernel", json_object_new_string(r->kernel.release));
	json_object_object_add(o, "machine", json_object_new_string(r->kernel.machine));
	json_object_object_add(o, "btf", json_object_new_boolean(r->btf));
	part = json_object_new_object();
	for (size_t i = 0; i < N_MODULES; i++)
		json_object_object_add(part, modules[i], json_object_new_boolean(r->module_btf[i]));
	json_object_object_add(o, "module_btf", part);
	part = json_object_new_object();
	for (size_t i = 0; i < capabilities_len; i++)
		json_object_object_add(part, capabilities[i].name,
				       json_object_new_boolean(privilege_has(&capabilities[i])));
	json_object_object_add(o, "capabilities", part);
	part = json_object_new_object();
	for (int b = 0; b < BACKEND_MAX; b++)
		json_object_object_add(part, backend_name((enum backend)b), backend_json(r, (enum backend)b));
	json_object_object_add(o, "backends", part);
	part = json_object_new_object();
	for (size_t i = 0; i < N_SEEDS; i++)
		json_object_object_add(part, seed_name(seeds[i]), seed_json(seeds[i]));
	json_object_object_add(o, "seeds", part);
	if (r->chosen >= 0)
		json_object_object_add(o, "backend", json_object_new_string(backend_name((enum backend)r->chosen)));
	json_object_object_add(o, "works", json_object_new_boolean(r->chosen >= 0));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

int cmd_check(int argc, char **argv)
{
	struct options options;
	struct report r = { .chosen = -1 };
	char err[512];
	int status = options_parse(&options, OPT_JSON | OPT_NOISE, argc, argv, help), lacking;

	if (status >= 0)
		return status;
	if (options.first_operand < argc) {
		status = usage_error("check", "unexpected argument '%s'", argv[options.first_operand]);
		options_free(&options);
		return status;
	}
	loader_log_setup(options.verbose);
	lacking = privilege_check(err, sizeof(err));
	if (make_report(&r)) {
		warn_msg("cannot check: out of memory");
	} else {
		options.json ? print_json(&r) : print_text(&r);
		if (lacking)
			warn_msg("%s", err);
	}
	for (int b = 0; b < BACKEND_MAX; b++)
		free(r.results[b]);
	options_free(&options);
	return r.chosen >= 0 && !lacking && !fflush(stdout) ? EXIT_FINE : EXIT_FAILED;
}
