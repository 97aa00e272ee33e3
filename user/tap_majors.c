// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "tap_majors.h"

void tap_majors(uint32_t majors[2])
{
	FILE *f = fopen("/proc/devices", "re");
	char line[128], name[64];
	unsigned int major;

	majors[0] = majors[1] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Block", 5))
			break;
		if (sscanf(line, "%u %63s", &major, name) != 2)
			continue;
		if (!strcmp(name, "macvtap"))
			majors[0] = major;
		else if (!strcmp(name, "ipvtap"))
			majors[1] = major;
	}
	if (f)
		fclose(f);
}
