// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm_roles.c - programs that use TUN/TAP devices and are no virtual machine.
 * Known by the name of their executable, never by what they call themselves.
 */
#include <fnmatch.h>
#include <string.h>

#include "vm_private.h"

static const struct {
	const char *program;	/* glob */
	enum role role;
	const char *type;	/* what it is called */
} programs[] = {
	{ "openvpn", ROLE_VPN, "openvpn" },
	{ "openvpn3-service-client", ROLE_VPN, "openvpn" },
	{ "wireguard-go", ROLE_VPN, "wireguard" },
	{ "boringtun-cli", ROLE_VPN, "wireguard" },
	{ "boringtun", ROLE_VPN, "wireguard" },
	{ "tailscaled", ROLE_VPN, "tailscale" },
	{ "zerotier-one", ROLE_VPN, "zerotier" },
	{ "netbird", ROLE_VPN, "netbird" },
	{ "nebula", ROLE_VPN, "nebula" },
	{ "tincd", ROLE_VPN, "tinc" },
	{ "openconnect", ROLE_VPN, "openconnect" },
	{ "ocserv*", ROLE_VPN, "ocserv" },
	{ "vpnc", ROLE_VPN, "vpnc" },
	{ "vpnagentd", ROLE_VPN, "cisco-anyconnect" },
	{ "charon*", ROLE_VPN, "strongswan" },
	{ "vpnserver", ROLE_VPN, "softether" },
	{ "vpnclient", ROLE_VPN, "softether" },
	{ "vtund", ROLE_VPN, "vtun" },
	{ "fastd", ROLE_VPN, "fastd" },
	{ "iodine", ROLE_VPN, "iodine" },
	{ "iodined", ROLE_VPN, "iodine" },
	{ "cloudflared", ROLE_VPN, "cloudflared" },
	{ "warp-svc", ROLE_VPN, "cloudflare-warp" },
	{ "nordvpnd", ROLE_VPN, "nordvpn" },
	{ "mullvad-daemon", ROLE_VPN, "mullvad" },
	{ "PanGPS", ROLE_VPN, "globalprotect" },
	{ "tun2socks*", ROLE_VPN, "tun2socks" },
	{ "sing-box", ROLE_VPN, "sing-box" },
	{ "mihomo*", ROLE_VPN, "mihomo" },
	/* -w makes a tunnel; without it they have no such file */
	{ "ssh", ROLE_VPN, "openssh" },
	{ "sshd", ROLE_VPN, "openssh" },
	{ "sshd-session", ROLE_VPN, "openssh" },

	{ "slirp4netns", ROLE_CONTAINER, "slirp4netns" },
	{ "pasta", ROLE_CONTAINER, "pasta" },
	{ "pasta.avx2", ROLE_CONTAINER, "pasta" },
	/* one program under two names; only as pasta it opens a tap */
	{ "passt", ROLE_CONTAINER, "pasta" },
	{ "passt.avx2", ROLE_CONTAINER, "pasta" },
	{ "rootlesskit", ROLE_CONTAINER, "rootlesskit" },
	{ "rootlessport", ROLE_CONTAINER, "rootlessport" },
	{ "vpnkit*", ROLE_CONTAINER, "vpnkit" },
	{ "gvproxy", ROLE_CONTAINER, "gvisor-tap-vsock" },
	{ "gvforwarder", ROLE_CONTAINER, "gvisor-tap-vsock" },
	{ "runsc*", ROLE_CONTAINER, "gvisor" },
	{ "lxc-user-nic", ROLE_CONTAINER, "lxc" },

	{ "systemd-networkd", ROLE_NETWORK_MANAGER, "systemd-networkd" },
	/* process 1 keeps systemd-networkd's files for it: FileDescriptorStoreMax= */
	{ "systemd", ROLE_NETWORK_MANAGER, "systemd" },
	{ "NetworkManager", ROLE_NETWORK_MANAGER, "networkmanager" },
	{ "wickedd", ROLE_NETWORK_MANAGER, "wicked" },
	{ "connmand", ROLE_NETWORK_MANAGER, "connman" },
	{ "connman-vpnd", ROLE_NETWORK_MANAGER, "connman" },
	{ "ip", ROLE_NETWORK_MANAGER, "iproute2" },
	{ "tunctl", ROLE_NETWORK_MANAGER, "uml-utilities" },

	{ "libvirtd", ROLE_VM_MANAGER, "libvirt" },
	{ "virtqemud", ROLE_VM_MANAGER, "libvirt" },
	{ "virtchd", ROLE_VM_MANAGER, "libvirt" },
	{ "virtnetworkd", ROLE_VM_MANAGER, "libvirt" },
	{ "virt-launcher", ROLE_VM_MANAGER, "kubevirt" },
	{ "virt-handler", ROLE_VM_MANAGER, "kubevirt" },
	{ "virt-chroot", ROLE_VM_MANAGER, "kubevirt" },
	{ "nova-compute", ROLE_VM_MANAGER, "openstack" },
	{ "incusd", ROLE_VM_MANAGER, "incus" },
	{ "lxd", ROLE_VM_MANAGER, "lxd" },
	/* with its built-in hypervisor it is the machine itself, which does not show from outside */
	{ "containerd-shim-kata-v2", ROLE_VM_MANAGER, "kata" },
	{ "qemu-bridge-helper", ROLE_VM_MANAGER, "qemu-bridge-helper" },
	{ "jailer*", ROLE_VM_MANAGER, "firecracker-jailer" },
	{ "systemd-vmspawn", ROLE_VM_MANAGER, "systemd-vmspawn" },

	{ "ovs-vswitchd", ROLE_SWITCH, "openvswitch" },
	{ "vpp", ROLE_SWITCH, "vpp" },
	{ "dpdk-testpmd", ROLE_SWITCH, "dpdk" },
	{ "vde_switch", ROLE_SWITCH, "vde" },
	{ "vde_plug2tap", ROLE_SWITCH, "vde" },
};

/* CNI plugins are called "tap", "macvtap" and the like: only their place tells. */
static bool is_cni_plugin(const char *exe)
{
	return strstr(exe, "/cni/bin/");
}

enum role vm_program_role(const char *program, const char *exe, const char **type)
{
	/* argv[0] says nothing here: there is no further option to make sure of it */
	if (!exe || !*exe)
		return ROLE_UNKNOWN;
	if (is_cni_plugin(exe)) {
		*type = "cni";
		return ROLE_CONTAINER;
	}
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (!fnmatch(programs[i].program, program, 0)) {
			*type = programs[i].type;
			return programs[i].role;
		}
	return ROLE_UNKNOWN;
}
