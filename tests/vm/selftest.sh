#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# TAP test of the runner itself, on every kernel that has been fetched.
# Usage: tests/vm/selftest.sh [NAME...]
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "$(readlink -f -- "$0")")/common.sh"

count=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# is GOT EXPECTED DESCRIPTION
is()
{
	count=$((count + 1))
	if [[ $1 == "$2" ]]; then
		echo "ok $count - $3"
		return
	fi
	failed=1
	echo "not ok $count - $3"
	printf '# got:\n%s\n# expected:\n%s\n' "${1//$'\n'/$'\n'# }" "${2//$'\n'/$'\n'# }"
}

# run ARG...: the runner, with its output and status in $out, $err and $status.
run()
{
	status=0
	"$vm_dir/run" "$@" >"$work/out" 2>"$work/err" || status=$?
	out=$(<"$work/out")
	err=$(<"$work/err")
}

# What every kernel must do, in one boot.  The guest's script prints facts.
test_kernel()
{
	local name=$1 release

	release=$(<"$vm_cache/$name/release")
	mkdir "$work/share"
	# shellcheck disable=SC2016 # the guest's variables
	run --share "$work/share" --env "GREETING=two  words" "$name" -- bash -c '
		exec 2>&1
		uname -r
		pwd
		echo "$TAPWATCH_VM: $GREETING: $1"
		test -x "$2/run" && test -s /sys/kernel/btf/vmlinux && echo visible
		test ! -e /sys/module/tun && echo no tun yet
		ip tuntap add tap9 mode tap && ip netns add x && ip link set tap9 netns x &&
			ip netns exec x ip -o link show tap9 | grep -o tap9
		modprobe -a vhost_net macvlan macvtap ipvlan ipvtap bridge veth dummy && echo modules
		mountpoint -q /sys/fs/bpf && mountpoint -q /sys/kernel/tracing &&
			mountpoint -q /sys/fs/cgroup && echo mounts
		touch "$2/written-by-guest" && echo wrote root
		echo result >"$3/result" && echo wrote share
		printf "%s\\n" "end \\ of %s output"
		tail -f /dev/null & # must not hold up the end
		exit 7' guest 'an "argument"' "$vm_dir" "$work/share"
	is "$status" 7 "$name: exit status"
	is "$out" "$release
$PWD
$name: two  words: an \"argument\"
visible
no tun yet
tap9
modules
mounts
wrote root
wrote share
end \\ of %s output" "$name: output"
	is "$err" "" "$name: standard error"
	is "$(cat "$work/share/result" 2>&1)" result "$name: the share is written"
	is "$(ls "$vm_dir/written-by-guest" 2>/dev/null)" "" "$name: the host is not"
	rm -r "$work/share"
}

# Bytes, streams, live output and failures: the same for all kernels, so tried on one.
test_streams()
{
	local name=$1 line

	# shellcheck disable=SC2016 # the guest's variables
	run "$name" -- bash -c 'head -c 300000 /dev/zero | tr "\0" "\377"; echo "<0>noise" >/dev/kmsg
		echo to stderr >&2'
	is "$(cksum <"$work/out")" \
		"$(head -c 300000 /dev/zero | tr '\0' '\377' | cksum)" "output is unaltered"
	is "$err" "to stderr" "standard error is separate"

	# The guest waits for the host to have seen its first line.
	mkdir "$work/share"
	# shellcheck disable=SC2016
	line=$("$vm_dir/run" --share "$work/share" "$name" -- bash -c '
		echo first
		until test -e "$1/seen"; do :; done
		echo last' live "$work/share" | {
		read -r line
		: >"$work/share/seen"
		echo "$line, then $(cat)"
	})
	is "$line" "first, then last" "output arrives while the command runs"
	rm -r "$work/share"

	run "$name" -- sh -c 'echo before; echo c >/proc/sysrq-trigger'
	is "$status $out" "124 before" "a panic is a failure"
	is "$(grep -c 'sysrq triggered crash' <<<"$err")" 1 "and shows the console"
	is "${err##*$'\n'}" \
		"tapwatch-vm: cannot run $name: the guest stopped without a verdict" "and says so"

	run --timeout 3 "$name" -- sleep infinity
	is "$status" 124 "a hang is a failure"
	is "${err##*$'\n'}" "tapwatch-vm: cannot run $name: no verdict within 3 s" "and says so"
}

names=("$@")
if [[ $# == 0 ]]; then
	for name in $(kernel_names); do
		[[ ! -e $vm_cache/$name/release ]] || names+=("$name")
	done
fi
[[ ${#names[@]} != 0 ]] || { echo "1..0 # SKIP no kernel fetched (tests/vm/fetch)"; exit; }
for name in "${names[@]}"; do
	test_kernel "$name"
done
test_streams "${names[0]}"
echo "1..$count"
exit "$failed"
