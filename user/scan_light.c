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

struct scan_light {
	struct scan_bpf *skel;
	struct known_files files;
};

static struct scan_bpf *open_skeleton(uint32_t self_tgid)
{
	struct scan_bpf *skel = scan_bpf__open();

	if (!skel)
		return NULL;
	/* what only live hooks write into takes no room */
	skel->maps.ring.max_entries = (uint32_t)sysconf(_SC_PAGESIZE);
	skel->maps.devs.max_entries = 1;
	skel->maps.inflight.max_entries = 1;
	skel->maps.procs.max_entries = 1;
	skel->rodata->self_tgid = self_tgid;
	/* without hooks a device is known by its place */
	skel->rodata->dev_gens = false;
	tap_majors(skel->bss->tap_majors);
	return skel;
}

struct scan_light *scan_light_open(uint32_t self_tgid)
{
	struct scan_light *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->skel = open_skeleton(self_tgid);
	if (!s->skel || scan_bpf__load(s->skel) || scan_bpf__iter_task_file__attach(s->skel) <= 0) {
		scan_light_close(s);
		return NULL;
	}
	s->files.map = s->skel->maps.files.map_fd;
	s->files.program = s->skel->progs.look_at_file.prog_fd;
	s->files.fact = &s->skel->bss->file_fact;
	return s;
}

void scan_light_close(struct scan_light *s)
{
	if (!s)
		return;
	scan_bpf__destroy(s->skel);
	free(s);
}

int scan_light_fds(const struct scan_light *s)
{
	return s->skel->links.iter_task_file_fd;
}

const struct known_files *scan_light_files(const struct scan_light *s)
{
	return &s->files;
}
