/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * compat.bpf.h - everything in which kernels differ, one getter each. The
 * rest of the programs reads as if there were one kernel. Chosen by what the
 * running kernel's BTF has, never by version.
 */
#ifndef TW_COMPAT_BPF_H
#define TW_COMPAT_BPF_H

#define ALIGN_UP(x, a) (((x) + (a) - 1) & ~((__u64)(a) - 1))

/*
 * SMP_CACHE_BYTES: the alignment of struct socket within tun_file (its wait
 * queue is cache-line aligned) and of the driver's data behind net_device
 * (NETDEV_ALIGN, 32). 64 on x86-64 and arm64 alike.
 */
#define TW_CACHE_BYTES 64
#define TW_NETDEV_ALIGN 32

#define TW_TUN_RDEV ((10u << 20) | 200u)   /* MISC_MAJOR, TUN_MINOR */
#define TW_LEAST_RDEV (10u << 20)	   /* majors of /dev/tapN are dynamic: none of them is less either */
#define TW_VHOST_RDEV ((10u << 20) | 238u) /* VHOST_NET_MINOR */
#define TW_MINOR_BITS 20
#define TW_FMODE_PATH 0x4000		   /* include/linux/fs.h, stable since 2.6.39 */
#define TW_PF_EXITING 0x4
#define TW_PF_KTHREAD 0x00200000

/* netdev_priv(): driver data begins at the aligned end of net_device (all kernels up to 7.2). */
static __always_inline __u64 compat_netdev_priv(const struct net_device *dev)
{
	return (__u64)dev + ALIGN_UP(bpf_core_type_size(struct net_device), TW_NETDEV_ALIGN);
}

/*
 * tun_file is {struct sock sk; struct socket socket; struct tun_struct *tun; …}
 * from 5.10 to 7.2. Without module BTF (5.10 has none) the offsets follow from
 * the sizes of types that vmlinux BTF knows.
 */
static __always_inline __u64 compat_off_socket(void)
{
	return ALIGN_UP(bpf_core_type_size(struct sock), TW_CACHE_BYTES);
}

static __always_inline __u64 compat_off_tun(void)
{
	if (bpf_core_field_exists(struct tun_file, tun))
		return bpf_core_field_offset(struct tun_file, tun);
	return compat_off_socket() + bpf_core_type_size(struct socket);
}

/*
 * … tun; fasync; flags, queue_index; napi; napi_enabled, napi_frags_enabled;
 * napi_mutex; next; detached. Same order from 5.10 to 7.2.
 */
static __always_inline __u64 compat_off_detached(void)
{
	if (bpf_core_field_exists(struct tun_file, detached))
		return bpf_core_field_offset(struct tun_file, detached);
	return compat_off_tun() + 24 + bpf_core_type_size(struct napi_struct) + 8 +
	       bpf_core_type_size(struct mutex) + sizeof(struct list_head);
}

/*
 * tap_queue is {struct sock sk; struct socket sock; int vnet_hdr_sz; struct
 * tap_dev *tap; struct file *file; unsigned int flags; u16 queue_index; bool
 * enabled; …} from 5.10 to 7.2.
 */
static __always_inline __u64 compat_off_tap(void)
{
	if (bpf_core_field_exists(struct tap_queue, tap))
		return bpf_core_field_offset(struct tap_queue, tap);
	return compat_off_socket() + bpf_core_type_size(struct socket) + 8;
}

static __always_inline __u64 compat_off_tap_enabled(void)
{
	if (bpf_core_field_exists(struct tap_queue, enabled))
		return bpf_core_field_offset(struct tap_queue, enabled);
	return compat_off_tap() + 22;
}

/* tun_struct begins with 256 queue pointers, then four u32, then dev (5.10 to 7.2). */
#define TW_TUN_FIELD(field, fallback)                                                  \
	static __always_inline __u64 compat_off_tun_##field(void)                      \
	{                                                                              \
		if (bpf_core_field_exists(struct tun_struct, field))                   \
			return bpf_core_field_offset(struct tun_struct, field);        \
		return fallback;                                                       \
	}
TW_TUN_FIELD(numqueues, 2048)
TW_TUN_FIELD(flags, 2052)
TW_TUN_FIELD(owner, 2056)
TW_TUN_FIELD(group, 2060)
TW_TUN_FIELD(dev, 2064)

/*
 * A bit-field until 4d42b37def70 ("net: convert dev->reg_state to u8", 6.9), a
 * u8 since. Functions of their own: inlined, the compiler would compute the
 * offset that this kernel lacks ahead of the question.
 */
static __noinline __u8 reg_state_u8(const struct net_device___u8 *dev)
{
	return BPF_CORE_READ(dev, reg_state);
}

static __noinline __u8 reg_state_bf(const struct net_device___bf *dev)
{
	return BPF_CORE_READ_BITFIELD_PROBED(dev, reg_state);
}

static __always_inline __u8 compat_reg_state(const struct net_device *dev)
{
	const struct net_device___u8 *u8dev = (const void *)dev;

	if (bpf_core_field_exists(u8dev->reg_state))
		return reg_state_u8(u8dev);
	return reg_state_bf((const void *)dev);
}

/* An atomic64_t, 0 until somebody asks, before 3d368ab87cf6 ("net: initialize net->net_cookie at netns setup", 5.12). */
static __noinline __u64 net_cookie_u64(const struct net *net)
{
	return BPF_CORE_READ(net, net_cookie);
}

static __noinline __u64 net_cookie_atomic(const struct net___atomic *net)
{
	return BPF_CORE_READ(net, net_cookie.counter);
}

static __always_inline __u64 compat_net_cookie(const struct net *net)
{
	if (bpf_core_field_exists(net->net_cookie))
		return net_cookie_u64(net);
	return net_cookie_atomic((const void *)net);
}

/*
 * References to an open file; negative or zero means that the last is gone.
 * f_count counts up from 1; f_ref (6.13) counts from 0, negative when dead.
 */
static __noinline __s64 file_refs_ref(const struct file *file)
{
	return BPF_CORE_READ(file, f_ref.refcnt.counter) + 1;
}

static __noinline __s64 file_refs_count(const struct file *file)
{
	return BPF_CORE_READ(file, f_count.counter);
}

static __always_inline __s64 compat_file_refs(const struct file *file)
{
	if (bpf_core_field_exists(file->f_ref))
		return file_refs_ref(file);
	return file_refs_count(file);
}

static __always_inline bool compat_file_alive(const struct file *file)
{
	return compat_file_refs(file) > 0;
}

#endif
