/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private types of drivers/net/tun.c and tap.c. They are in the BTF of tun.ko and tap.ko (since
 * 5.11, where module BTF is built) or of vmlinux (tun built in), and in no
 * header. bpf/compat.bpf.h computes the offsets where no BTF has them.
 */
#ifndef TW_TUN_TYPES_H
#define TW_TUN_TYPES_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct tun_struct {
	unsigned int numqueues;
	unsigned int flags;
	kuid_t owner;
	kgid_t group;
	struct net_device *dev;
};

struct tun_file {
	struct tun_struct *tun;
	struct tun_struct *detached;
};

/* drivers/net/tap.c, for macvtap and ipvtap: include/linux/if_tap.h */
struct tap_dev {
	struct net_device *dev;
};

struct tap_queue {
	struct tap_dev *tap;
	bool enabled;
};

#pragma clang attribute pop

#endif
