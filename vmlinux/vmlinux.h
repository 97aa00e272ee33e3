/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel types for CO-RE programs: architecture first, then what all share,
 * then the private types of drivers. See README.md in this directory.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#if defined(__TARGET_ARCH_x86)
#include "x86/vmlinux_arch.h"
#elif defined(__TARGET_ARCH_arm64)
#include "arm64/vmlinux_arch.h"
#else
#error "no kernel types for this architecture: see vmlinux/README.md"
#endif

#include "kernel.h"
#include "tun.h"

#endif
