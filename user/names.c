// SPDX-License-Identifier: GPL-2.0-only
/*
 * names.c - the words of the interface contract for our enums, both ways.
 * What users script against: add to the tables, never rename in them.
 */
#include <string.h>

#include "bindings.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const char *const event_names[EV_MAX] = {
	[EV_READY] = "ready",
	[EV_EXIST] = "exist",
	[EV_OPEN] = "open",
	[EV_ATTACH] = "attach",
	[EV_ATTACH_FAILED] = "attach-failed",
	[EV_QUEUE_DETACH] = "queue-detach",
	[EV_QUEUE_ATTACH] = "queue-attach",
	[EV_PERSIST] = "persist",
	[EV_OWNER] = "owner",
	[EV_MOVE] = "move",
	[EV_RENAME] = "rename",
	[EV_MAC] = "mac",
	[EV_UP] = "up",
	[EV_DOWN] = "down",
	[EV_MASTER] = "master",
	[EV_VHOST] = "vhost",
	[EV_HOLD] = "hold",
	[EV_DROP] = "drop",
	[EV_RELEASE] = "release",
	[EV_DELETE] = "delete",
	[EV_LOST] = "lost",
	[EV_RESYNC] = "resync",
	[EV_VM_START] = "vm-start",
	[EV_VM_STOP] = "vm-stop",
	[EV_FIRST_PACKET] = "first-packet",
	[EV_GAP] = "gap",
};

static const char *const kind_names[TW_KIND_MAX] = {
	[TW_KIND_TUN] = "tun",
	[TW_KIND_TAP] = "tap",
	[TW_KIND_MACVTAP] = "macvtap",
	[TW_KIND_IPVTAP] = "ipvtap",
};

static const char *const how_names[HOW_MAX] = {
	[HOW_DUP] = "dup",
	[HOW_FORK] = "fork",
	[HOW_SCM_RIGHTS] = "scm_rights",
	[HOW_PIDFD_GETFD] = "pidfd_getfd",
	[HOW_EXEC] = "exec",
	[HOW_OTHER] = "other",
	[HOW_CLOSE] = "close",
	[HOW_CLOEXEC] = "cloexec",
	[HOW_EXIT] = "exit",
	[HOW_LAST_CLOSE] = "last-close",
	[HOW_LINK_DEL] = "link-del",
	[HOW_NETNS_EXIT] = "netns-exit",
	[HOW_PERSIST_OFF] = "persist-off",
	[HOW_OUT] = "out",
	[HOW_IN] = "in",
};

static const char *const file_state_names[] = {
	[FILE_UNBOUND] = "unbound",
	[FILE_BOUND] = "bound",
	[FILE_DISABLED] = "disabled",
	[FILE_ORPHANED] = "orphaned",
};

static const char *name_of(const char *const *names, size_t len, unsigned int value)
{
	return value < len ? names[value] : NULL;
}

static int value_of(const char *const *names, size_t len, const char *word)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (names[i] && !strcmp(names[i], word))
			return (int)i;
	return -1;
}

const char *event_name(enum event_kind kind)
{
	return name_of(event_names, ARRAY_SIZE(event_names), kind);
}

int event_by_name(const char *word)
{
	return value_of(event_names, ARRAY_SIZE(event_names), word);
}

const char *kind_name(enum tw_kind kind)
{
	return name_of(kind_names, ARRAY_SIZE(kind_names), kind);
}

int kind_by_name(const char *word)
{
	return value_of(kind_names, ARRAY_SIZE(kind_names), word);
}

const char *how_name(enum how how)
{
	return name_of(how_names, ARRAY_SIZE(how_names), how);
}

const char *file_state_name(enum file_state state)
{
	return name_of(file_state_names, ARRAY_SIZE(file_state_names), state);
}
