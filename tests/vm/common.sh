# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What fetch and run share: where things are, the table of kernels, errors.

vm_dir=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# Used by the sourcing scripts.
# shellcheck disable=SC2034
vm_cache=$(realpath -m -- "${TAPWATCH_VM_CACHE:-$vm_dir/cache}")

# die VERB-AND-OBJECT REASON: one line on stderr, status 1.
die()
{
	printf 'tapwatch-vm: cannot %s: %s\n' "$1" "$2" >&2
	exit 1
}

# need COMMAND PACKAGE: dies unless COMMAND is installed.
need()
{
	command -v "$1" >/dev/null || die "run $1" "not installed (Debian package $2)"
}

# kernel_names: the first column of the table.
kernel_names()
{
	awk '!/^[[:space:]]*(#|$)/ { print $1 }' "$vm_dir/kernels"
}

# kernel_row NAME: the row of kernel NAME, or dies.
kernel_row()
{
	awk -v name="$1" '$1 == name { print; found = 1 } END { exit !found }' \
		"$vm_dir/kernels" ||
		die "find kernel $1" "not in $vm_dir/kernels, which has: $(kernel_names | xargs)"
}
