// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hooks.h"
#include "loader.h"

static const char *const backend_names[] = { "fentry", "kprobe", "tracepoint", "auto" };

const char *backend_name(enum backend backend)
{
	return backend_names[backend];
}

int backend_by_name(const char *word)
{
	for (int i = 0; i <= BACKEND_AUTO; i++)
		if (!strcmp(word, backend_names[i]))
			return i;
	return -1;
}

/*
 * To add a hook: a program in bpf/, a row here. Function names are those of
 * KERNEL facts in the program's own comment.
 */
const struct hook hooks[] = {
	{ "device-notifier", BACKEND_FENTRY, HOOK_REQUIRED, "no device is seen",
	  { { "fentry_notifier" } } },
	{ "device-state", BACKEND_FENTRY, HOOK_REQUIRED, "no queue, owner or persist change is seen",
	  { { "fentry_state_change" } } },
	{ "fd-install", BACKEND_FENTRY, HOOK_REQUIRED, "no holder is seen",
	  { { "fentry_fd_install" } } },
	{ "fd-close", BACKEND_FENTRY, HOOK_REQUIRED, "holders are not seen to go",
	  { { "fentry_fd_close" }, { "fexit_fd_close_old" } } },
	{ "fd-exit", BACKEND_FENTRY, HOOK_EXPECTED, "drops at exit are told with the release only",
	  { { "fentry_filp_close" } } },
	{ "fd-dup2", BACKEND_FENTRY, HOOK_EXPECTED, "fds made or replaced by dup2 are found late",
	  { { "fentry_dup2" }, { "fentry_dup2_old" } } },
	{ "fd-receive", BACKEND_FENTRY, HOOK_OPTIONAL, "fds from a socket or another process look like copies by dup",
	  { { "fentry_scm", "fexit_scm", "fentry_getfd", "fexit_getfd", "fentry_receive" } } },
	{ "fd-unshare", BACKEND_FENTRY, HOOK_OPTIONAL, "copies by unshare(2) are found late",
	  { { "fexit_unshare" } } },
	{ "fd-close-range", BACKEND_FENTRY, HOOK_OPTIONAL, "copies by close_range(2) are found late",
	  { { "fexit_close_range", "fexit_close_range_32" },
	    { "fexit_close_range" } } },
	{ "tun-open", BACKEND_FENTRY, HOOK_EXPECTED, "opens without an fd (io_uring) are seen late",
	  { { "fentry_open" } } },
	{ "tun-close", BACKEND_FENTRY, HOOK_EXPECTED, "why a device was deleted is not known",
	  { { "fentry_close", "fexit_close" }, { "fentry_fput" } } },
	{ "tun-ioctl", BACKEND_FENTRY, HOOK_EXPECTED, "no attach-failed events",
	  { { "fentry_ioctl", "fexit_ioctl" }, { "fentry_ioctl_outer", "fexit_ioctl_outer" } } },
	{ "netns-move", BACKEND_FENTRY, HOOK_OPTIONAL, "moves lack their second witness",
	  { { "fentry_move" }, { "fentry_move_old" } } },
	{ "tap-close", BACKEND_FENTRY, HOOK_OPTIONAL, "no end of a macvtap or ipvtap file is seen",
	  { { "fentry_tap_close", "fexit_tap_close" } } },
	{ "tap-ioctl", BACKEND_FENTRY, HOOK_OPTIONAL, "queues of macvtap and ipvtap are not seen to be detached",
	  { { "fentry_tap_ioctl", "fexit_tap_ioctl" } } },
	{ "vhost", BACKEND_FENTRY, HOOK_OPTIONAL, "no vhost events",
	  { { "fentry_vhost", "fexit_vhost", "fentry_vhost_release" } } },

	{ "device-notifier", BACKEND_KPROBE, HOOK_REQUIRED, "no device is seen",
	  { { "kprobe_notifier" } } },
	{ "device-state", BACKEND_KPROBE, HOOK_REQUIRED, "no queue, owner or persist change is seen",
	  { { "kprobe_state_change" } } },
	{ "fd-install", BACKEND_KPROBE, HOOK_REQUIRED, "no holder is seen",
	  { { "kprobe_fd_install" } } },
	{ "fd-close", BACKEND_KPROBE, HOOK_REQUIRED, "holders are not seen to go",
	  { { "kprobe_fd_close" }, { "kprobe_fd_close_old" } } },
	{ "fd-exit", BACKEND_KPROBE, HOOK_EXPECTED, "drops at exit are told with the release only",
	  { { "kprobe_filp_close" } } },
	{ "fd-dup2", BACKEND_KPROBE, HOOK_EXPECTED, "fds made or replaced by dup2 are found late",
	  { { "kprobe_dup2" } } },
	{ "fd-receive", BACKEND_KPROBE, HOOK_OPTIONAL, "fds from a socket or another process look like copies by dup",
	  { { "kprobe_scm", "kretprobe_scm", "kprobe_getfd", "kretprobe_getfd", "kprobe_receive" } } },
	{ "fd-unshare", BACKEND_KPROBE, HOOK_OPTIONAL, "copies by unshare(2) are found late",
	  { { "kprobe_unshare", "kretprobe_unshare" } } },
	{ "fd-close-range", BACKEND_KPROBE, HOOK_OPTIONAL, "copies by close_range(2) are found late",
	  { { "kprobe_close_range", "kretprobe_close_range", "kprobe_close_range_32", "kretprobe_close_range_32" },
	    { "kprobe_close_range", "kretprobe_close_range" } } },
	{ "tun-open", BACKEND_KPROBE, HOOK_EXPECTED, "opens without an fd (io_uring) are seen late",
	  { { "kprobe_open" } } },
	{ "tun-close", BACKEND_KPROBE, HOOK_EXPECTED, "why a device was deleted is not known",
	  { { "kprobe_close", "kretprobe_close" } } },
	{ "tun-ioctl", BACKEND_KPROBE, HOOK_EXPECTED, "no attach-failed events",
	  { { "kprobe_ioctl", "kretprobe_ioctl" }, { "kprobe_ioctl_outer", "kretprobe_ioctl_outer" } } },
	{ "netns-move", BACKEND_KPROBE, HOOK_OPTIONAL, "moves lack their second witness",
	  { { "kprobe_move" }, { "kprobe_move_old" } } },
	{ "tap-close", BACKEND_KPROBE, HOOK_OPTIONAL, "no end of a macvtap or ipvtap file is seen",
	  { { "kprobe_tap_close", "kretprobe_tap_close" } } },
	{ "tap-ioctl", BACKEND_KPROBE, HOOK_OPTIONAL, "queues of macvtap and ipvtap are not seen to be detached",
	  { { "kprobe_tap_ioctl", "kretprobe_tap_ioctl" } } },
	{ "vhost", BACKEND_KPROBE, HOOK_OPTIONAL, "no vhost events",
	  { { "kprobe_vhost", "kretprobe_vhost", "kprobe_vhost_release" } } },

	{ "syscall-exit", BACKEND_TRACEPOINT, HOOK_REQUIRED, "no open, bind or close is seen",
	  { { "tp_sys_exit" } } },

	{ "process-fork", BACKEND_MAX, HOOK_REQUIRED, "holders by fork are not seen",
	  { { "tp_newtask" } } },
	{ "process-exec", BACKEND_MAX, HOOK_REQUIRED, "fds that exec closes or passes on are not seen",
	  { { "tp_exec" } } },
	{ "process-exit", BACKEND_MAX, HOOK_REQUIRED, "processes that share fds are not seen to go",
	  { { "tp_process_exit" } } },
	{ "module-load", BACKEND_MAX, HOOK_OPTIONAL, "a driver module loaded later is not hooked",
	  { { "tp_module_load" } } },
	{ "seed-fds", BACKEND_MAX, HOOK_EXPECTED, "what exists at start must be read from /proc",
	  { { "iter_task_file" } } },
	{ "seed-files", BACKEND_MAX, HOOK_EXPECTED, "files without an fd are not found again after loss",
	  { { "look_at_file" } } },
};
const size_t hooks_len = sizeof(hooks) / sizeof(hooks[0]);

bool hook_of(size_t i, enum backend backend)
{
	return hooks[i].backend == backend || hooks[i].backend == BACKEND_MAX;
}

/* Tries the alternatives of one hook; the reason of the first is the one told. */
static void hook_probe(const struct hook *hook, struct hook_result *result)
{
	char reason[HOOK_REASON_LEN];

	result->alternative = -1;
	for (int alt = 0; alt < HOOK_ALTERNATIVES && hook->programs[alt][0]; alt++) {
		if (!loader_try(hook->programs[alt], reason, sizeof(reason))) {
			result->alternative = alt;
			result->reason[0] = '\0';
			return;
		}
		if (!alt)
			snprintf(result->reason, sizeof(result->reason), "%s", reason);
	}
}

void hooks_probe(enum backend backend, struct hook_result results[], bool hasty)
{
	for (size_t i = 0; i < hooks_len; i++) {
		results[i].alternative = -1;
		results[i].reason[0] = '\0';
	}
	for (size_t i = 0; i < hooks_len; i++) {
		if (!hook_of(i, backend))
			continue;
		hook_probe(&hooks[i], &results[i]);
		if (hasty && hooks[i].need == HOOK_REQUIRED && results[i].alternative < 0)
			return;
	}
}

/* The first hook of at most this need that is off, or -1. */
static int first_off(enum backend backend, const struct hook_result results[], enum hook_need need)
{
	for (size_t i = 0; i < hooks_len; i++)
		if (hook_of(i, backend) && hooks[i].need <= need && results[i].alternative < 0)
			return (int)i;
	return -1;
}

bool hooks_usable(enum backend backend, const struct hook_result results[])
{
	return first_off(backend, results, HOOK_REQUIRED) < 0;
}

bool hooks_complete(enum backend backend, const struct hook_result results[])
{
	return first_off(backend, results, HOOK_EXPECTED) < 0;
}

int hooks_blocker(enum backend backend, const struct hook_result results[])
{
	return first_off(backend, results, HOOK_REQUIRED);
}
