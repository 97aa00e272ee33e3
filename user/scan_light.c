// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "scan_light.h"
#include "tap_majors.h"
#include "../bpf/tapwatch.h"
#include "scan.lskel.h"

/* The iterator over one map: which one, the light skeleton cannot say. */
static int attach_files(const struct scan_bpf *skel)
{
	union bpf_iter_link_info info = { .map.map_fd = (uint32_t)skel->maps.files.map_fd };
	DECLARE_LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));
	int link = bpf_link_create(skel->progs.iter_files.prog_fd, 0, BPF_TRACE_ITER, &opts);

	return link < 0 ? -errno : link;
}

int scan_light_open(uint32_t self_tgid, int *files)
{
	struct scan_bpf *skel = scan_bpf__open();
	int link;

	*files = -1;
	if (!skel)
		return errno ? -errno : -ENOMEM;
	/* what only live hooks write into takes no room */
	skel->maps.ring.max_entries = (uint32_t)sysconf(_SC_PAGESIZE);
	skel->maps.devs.max_entries = 1;
	skel->maps.inflight.max_entries = 1;
	skel->maps.procs.max_entries = 1;
	skel->rodata->self_tgid = self_tgid;
	/* without hooks a device is known by its place */
	skel->rodata->dev_gens = false;
	tap_majors(skel->bss->tap_majors);
	link = scan_bpf__load(skel);
	if (!link)
		link = scan_bpf__iter_task_file__attach(skel);
	/* the destructor would close it */
	if (link > 0) {
		skel->links.iter_task_file_fd = 0;
		*files = attach_files(skel);
	}
	scan_bpf__destroy(skel);
	return link ? link : -EINVAL;
}
