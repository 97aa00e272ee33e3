// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "scan_light.h"
#include "tap_majors.h"
#include "../bpf/tapwatch.h"
#include "scan.lskel.h"

int scan_light_open(uint32_t self_tgid)
{
	struct scan_bpf *skel = scan_bpf__open();
	int link;

	if (!skel)
		return errno ? -errno : -ENOMEM;
	/* what only live hooks write into takes no room */
	skel->maps.ring.max_entries = (uint32_t)sysconf(_SC_PAGESIZE);
	skel->maps.devs.max_entries = 1;
	skel->maps.inflight.max_entries = 1;
	skel->rodata->self_tgid = self_tgid;
	/* without hooks a device is known by its place */
	skel->rodata->dev_gens = false;
	tap_majors(skel->bss->tap_majors);
	link = scan_bpf__load(skel);
	if (!link)
		link = scan_bpf__iter_task_file__attach(skel);
	/* the destructor would close it */
	if (link > 0)
		skel->links.iter_task_file_fd = 0;
	scan_bpf__destroy(skel);
	return link ? link : -EINVAL;
}
