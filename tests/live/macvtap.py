# SPDX-License-Identifier: GPL-2.0-only
"""macvtap and ipvtap: the open of /dev/tapN binds, rtnetlink makes the device."""
import json
import os
import subprocess
import time

from tw import E, NOT_TRUE, Failure, Settings, Skip, Unordered, closed, quiet


def make(s, kind, mode):
    """A device of this kind on a veth of ours; its name, ifindex and /dev path."""
    quiet("modprobe", "-a", kind)
    lower, name = s.ifname("l"), s.ifname("m")
    s.ip("link", "add", lower, "type", "veth", "peer", "name", s.ifname("p"))
    if quiet("ip", "link", "add", "link", lower, "name", name, "type", kind, "mode", mode):
        quiet("ip", "link", "del", lower)
        raise Skip("this kernel has no %s" % kind)
    with open("/sys/class/net/%s/ifindex" % name) as file:
        index = int(file.read())
    path = "/dev/tap%d" % index
    deadline = time.monotonic() + 5     # devtmpfs makes the node in a thread of its own
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise Failure("%s does not appear" % path)
    return lower, name, index, path


def listed(f, name, kind):
    """`list` tells the same; a back-end that cannot see the holders does not claim that there are none."""
    for seed, want in (("auto", [(f.pid, f.fds["a"], "bound"), (f.pid, f.fds["b"], "bound")]),
                       ("pidfd", [(None, None, None)])):
        done = subprocess.run([Settings.tapwatch, "list", "-J", "-i", name, "--seed", seed], check=False,
                              stdout=subprocess.PIPE, universal_newlines=True)
        rows = json.loads(done.stdout)["bindings"]
        told = [(r.get("pid"), r.get("fd"), r.get("state")) for r in rows]
        if told != want or {r["kind"] for r in rows} != {kind}:
            raise Failure("list --seed %s tells %s" % (seed, rows))


def life(s, kind, mode):
    lower, name, index, path = make(s, kind, mode)
    f = s.fixture()
    for slot in ("a", "b"):
        f.open(slot, path)
        f.tun.discard(slot)     # TUNGETDEVNETNS is not for these: see below
    s.expect(E("open", f, "a", file="F1"),
             E("attach", f, "a", file="F1", dev="D", kind=kind, ifname=name, ifindex=index, created=NOT_TRUE),
             E("open", f, "b", file="F2"), E("attach", f, "b", file="F2", dev="D", created=NOT_TRUE))
    listed(f, name, kind)
    f.do("queue b detach")
    f.do("queue b attach")
    s.expect(E("queue-detach", f, "b", file="F2", dev="D"), E("queue-attach", f, "b", file="F2", dev="D"))
    f.close("b")
    s.expect(closed(f, "b", "F2"))
    s.ip("link", "set", name, "name", s.ifname("r"))
    s.expect(E("rename", dev="D", old_ifname=name, ifname=s.ifname("r")))
    if f.ask("getiff a").get("ifname") != s.ifname("r"):
        raise Failure("the kernel does not call it so")
    s.ip("link", "del", lower)          # and what stands on it
    s.expect(Unordered(E("delete", dev="D", ifname=s.ifname("r"))))
    if f.ask("getiff a")["ok"]:
        raise Failure("the kernel still has it")
    f.close("a")
    s.expect(closed(f, "a", "F1"))


def macvtap(s):
    """two opens, a queue detached and attached, rename, deleted while open"""
    life(s, "macvtap", "bridge")


def ipvtap(s):
    """the same for ipvtap"""
    life(s, "ipvtap", "l2")


def macvtap_exit(s):
    """the holder is killed; the device stays, and can be opened again"""
    lower, name, index, path = make(s, "macvtap", "bridge")
    f = s.fixture()
    f.open("a", path)
    f.tun.discard("a")
    s.expect(E("open", f, "a", file="F1"), E("attach", f, "a", file="F1", dev="D", ifname=name))
    f.kill()
    s.expect(closed(f, "a", "F1", how="exit"))
    g = s.fixture()
    g.open("a", path)
    g.tun.discard("a")
    s.expect(E("open", g, "a", file="F2"), E("attach", g, "a", file="F2", dev="D", ifname=name))
    g.end()
    s.expect(closed(g, "a", "F2", how="exit"))
    s.ip("link", "del", lower)


SCENARIOS = [macvtap, ipvtap, macvtap_exit]
