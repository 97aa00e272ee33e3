/* SPDX-License-Identifier: GPL-2.0-only */
/* tap_majors.h - the device numbers of /dev/tapN, which the drivers get when they are loaded. */
#ifndef TW_TAP_MAJORS_H
#define TW_TAP_MAJORS_H

#include <stdint.h>

/* majors[0] of macvtap, majors[1] of ipvtap, as /proc/devices tells; 0: the driver is not there. */
void tap_majors(uint32_t majors[2]);

#endif
