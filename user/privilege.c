// SPDX-License-Identifier: GPL-2.0-only
#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "privilege.h"

const struct capability capabilities[] = {
	{ CAP_BPF, "CAP_BPF", "load BPF programs", true, true },
	{ CAP_PERFMON, "CAP_PERFMON", "attach them to kernel functions", true, true },
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "read devices in other network namespaces", false, true },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "hear of devices in other network namespaces", false, true },
	{ CAP_NET_BROADCAST, "CAP_NET_BROADCAST", "hear of devices in other network namespaces", false, false },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "look into /proc of other users' processes", false, true },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "read /run/netns and /proc whatever their modes", false, false },
	{ CAP_SYSLOG, "CAP_SYSLOG", "find functions in /proc/kallsyms", true, false },
};
const size_t capabilities_len = sizeof(capabilities) / sizeof(capabilities[0]);

bool privilege_has(const struct capability *capability)
{
	return capng_have_capability(CAPNG_EFFECTIVE, (unsigned)capability->number);
}

int privilege_check(char *err, size_t errsize)
{
	char missing[256] = "";
	size_t len = 0;

	capng_get_caps_process();
	for (size_t i = 0; i < capabilities_len; i++) {
		if (!capabilities[i].must || privilege_has(&capabilities[i]))
			continue;
		len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s%s", len ? ", " : "",
					capabilities[i].name);
	}
	if (!len)
		return 0;
	snprintf(err, errsize, "cannot trace: missing %s; run it as root, for example with sudo", missing);
	return -EPERM;
}

int privilege_drop(bool reload)
{
	bool keep[sizeof(capabilities) / sizeof(capabilities[0])], bounds;

	if (capng_get_caps_process())
		return -EPERM;
	/* a service manager that kept it from us has cut the set itself; libcap-ng complains aloud */
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	for (size_t i = 0; i < capabilities_len; i++)
		keep[i] = (!capabilities[i].at_start || reload) && privilege_has(&capabilities[i]);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < capabilities_len; i++)
		if (keep[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
				     (unsigned)capabilities[i].number);
	/* the bounding set can only be cut while CAP_SETPCAP is there: first that, then the rest */
	if (bounds)
		capng_apply(CAPNG_SELECT_BOUNDS);
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

int privilege_drop_all(void)
{
	if (capng_get_caps_process())
		return -EPERM;
	capng_clear(CAPNG_SELECT_CAPS);
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}
