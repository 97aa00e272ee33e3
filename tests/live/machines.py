# SPDX-License-Identifier: GPL-2.0-only
"""Virtual machines by name. The machines are fixtures: a copy of tapfix that
is called as a hypervisor is, with its arguments."""
import json
import os
import shutil
import tempfile

import tw
from cli import tapwatch, want
from tw import E, Watch, member

UUID = "7f3b2c1a-55aa-4c0e-9d7e-0123456789ab"


class Programs:
    """Copies of tapfix under other names, for as long as the scenario runs."""
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="tapwatch-test-", dir=os.environ.get("TMPDIR", "/tmp"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def path(self, name):
        path = os.path.join(self.dir, name)
        if not os.path.exists(path):
            shutil.copy(os.path.join(tw.Settings.helpers, "tapfix"), path)
        return path

    def qemu(self, name, uuid=UUID):
        return [self.path("qemu-system-x86_64"), "-name", "guest=%s,debug-threads=on" % name, "-uuid", uuid]


def rows(s, *args):
    status, out, err = tapwatch("list", "--json", *args)
    want(status == 0, "list", err)
    return [r for r in json.loads(out)["bindings"] if str(r.get("ifname", "")).startswith(s.prefix)]


def by_name(s):
    """events, list, who and --vm know the machine by its command line; others are what they are"""
    with Programs() as programs:
        vm = s.fixture(command=programs.qemu(s.prefix + "web,,1"))
        vpn = s.fixture(command=[programs.path("openvpn"), "--dev", "tun"])
        plain = s.fixture()
        machine = {"type": "qemu", "name": s.prefix + "web,1", "uuid": UUID}
        for f, tail in ((vm, "a"), (vpn, "b"), (plain, "c")):
            f.open("x")
            f.setiff("x", s.ifname(tail), "tap")
        s.expect([[E("open", f, "x", file="F" + t, vm=v), E("attach", f, "x", file="F" + t, dev="D" + t, vm=v)]
                  for f, t, v in ((vm, "a", machine), (vpn, "b", tw.ABSENT), (plain, "c", tw.ABSENT))])
        roles = {e["process"]["pid"]: member(e, "process.role") for e in s.told}
        want(roles == {vm.pid: "vm", vpn.pid: "vpn", plain.pid: tw.MISSING}, "roles", roles)

        listed = {r["pid"]: {k: v for k, v in r.items() if k.startswith("vm_") or k == "role"} for r in rows(s)}
        want(listed == {vm.pid: {"vm_type": "qemu", "vm_name": machine["name"], "vm_uuid": UUID, "role": "vm"},
                        vpn.pid: {"role": "vpn"}, plain.pid: {}}, "list", listed)
        for pattern, expected in ((s.prefix + "*", [vm.pid]), (UUID, [vm.pid]), ("no" + s.prefix, [])):
            got = [r["pid"] for r in rows(s, "--vm", pattern)]
            want(got == expected, "list --vm %s" % pattern, got)
        status, out, err = tapwatch("who", s.ifname("a"))
        want(status == 0 and "virtual machine %s (qemu, %s)" % (machine["name"], UUID) in out, "who", out, err)


def vm_filter(s):
    """watch --vm lets pass what is about the machine, and only that"""
    with Programs() as programs:
        watch = Watch("--vm", s.prefix + "w?b", settle=False)
        s.own_watches.append(watch)
        vm = s.fixture(command=programs.qemu(s.prefix + "web"))
        other = s.fixture(command=programs.qemu(s.prefix + "other"))
        for f in other, vm:
            f.open("x")
            f.setiff("x", s.ifname("v%d" % f.pid)[:15], "tap")
        got = watch.wait(lambda: watch.find("attach", process__pid=vm.pid))
        want(got, "the machine's attach")
        told = {(e["event"], member(e, "process.pid")) for e in watch.events if e["event"] != "ready"}
        want(all(pid == vm.pid for _, pid in told) and ("open", vm.pid) in told, "--vm", told)


SCENARIOS = [by_name]
OWN_SCENARIOS = [vm_filter]
