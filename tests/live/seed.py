# SPDX-License-Identifier: GPL-2.0-only
"""What exists when tapwatch starts: told before `ready`, exactly once, and followed from there on.

Each of these starts its own tapwatch.
"""
import os
import re

from tw import (ABSENT, ANY, E, NOT_TRUE, Failure, Skip, Unordered, Watch, born, brief, died,
                flatten, has, made, match_all, member, quiet)


def expect_seed(s, *patterns):
    """Before `ready` exactly these `exist` events were told about this scenario, in any order."""
    at = s.watch.events.index(s.watch.ready)
    late = [e for e in s.watch.events[at:] if e["event"] == "exist"]
    if late:
        raise Failure("exist after ready: %s" % brief(late[0]))
    ours = {id(e) for e in s.mine(s.watch.events)}
    got = [e for e in s.watch.events[:at] if id(e) in ours]
    why = match_all([Unordered(*flatten(patterns))], got, s.symbols, s.watch.backend)
    if why:
        raise Failure("\n".join([why, "expected before ready:"] + ["  %r" % p for p in flatten(patterns)] + ["told:"] +
                                ["  " + brief(e) for e in got]))
    s.mark = at + 1


def exists(f, slot, file, dev, facts, **members):
    want = {k: facts[k] for k in ("ifname", "ifindex", "netns", "kind") if k in facts}
    want.update(source="seed", state="bound")
    want.update(members)
    return E("exist", f, slot, file=file, dev=dev, **want)


def existing(s):
    """holders, no holders, unbound, detached, the same name twice, two holders of one file"""
    ns = s.netns("n")
    f, g = s.fixture(), s.fixture(ns)
    name = s.ifname("a")
    f.open("bound")
    tap = f.setiff("bound", name, "tap", "vnet_hdr")
    f.open("unbound")
    f.open("opath", "opath")
    f.open("multi")
    multi = f.setiff("multi", s.ifname("m"), "tap", "multi_queue")
    f.open("detached")
    f.setiff("detached", s.ifname("m"), "tap", "multi_queue")
    f.do("queue detached detach")
    g.open("same")
    same = g.setiff("same", name, "tun")
    g.open("orphan")
    g.setiff("orphan", s.ifname("o"), "tap")
    s.ip("link", "del", s.ifname("o"), netns=ns)
    s.ip("tuntap", "add", s.ifname("p"), "mode", "tap", "user", "1000")
    s.links.append(s.ifname("p"))
    s.start()
    expect_seed(
        s,
        exists(f, "bound", "F1", "D1", tap, queues=1, uid=0, comm="tapfix", flags=has("vnet_hdr"), mac=ANY,
               socket_netns=tap["netns"]),
        E("exist", f, "unbound", file="F2", device=ABSENT, state="unbound"),
        exists(f, "multi", "F3", "D2", multi, queues=1, disabled_queues=1, flags=has("multi_queue")),
        exists(f, "detached", "F4", "D2", multi, queues=1, disabled_queues=1, state="disabled"),
        exists(g, "same", "F5", "D3", same, netns=ns.inode, netns_name=ns.name, kind="tun"),
        E("exist", g, "orphan", file="F6", device=ABSENT),
        E("exist", dev="D4", process=ABSENT, fd=ABSENT, file=ABSENT, ifname=s.ifname("p"), flags=has("persist"),
          owner=1000, state="no-holder"))
    s.check_truth()
    # From here on live: the same ids go on.
    f.do("queue detached attach")
    s.expect(E("queue-attach", f, "detached", file="F4", dev="D2", queues=2, disabled_queues=0))
    f.close("bound")
    s.expect(died(f, "bound", "F1", "D1"))
    bound = f.setiff("unbound", s.ifname("u"), "tap")
    s.expect(made(f, "unbound", "F2", "D5", bound))
    again = g.setiff("orphan", s.ifname("o"), "tun")
    s.expect(made(g, "orphan", "F6", "D6", again, netns=ns.inode))
    f.open("late")
    f.setiff("late", s.ifname("p"), "tap")
    s.expect(E("open", f, "late", file="F7"),
             E("attach", f, "late", file="F7", dev="D4", created=NOT_TRUE, queues=1, ifname=s.ifname("p")))
    s.check_truth()


def two_holders(s):
    """one file in two processes: two lines, one file; one closes, the other holds on"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    child = Child(s, f, "C")
    s.start()
    expect_seed(s, exists(f, "x", "F", "D", tap), exists(child, "x", "F", "D", tap))
    f.close("x")
    s.expect(E("drop", f, "x", file="F", how="close"))
    f.do("@C close x")
    s.expect(died(child, "x", "F", "D"))


class Child:
    """A forked copy of a fixture, as an actor."""
    def __init__(self, s, f, name):
        self.pid, self.fds = f.do("fork " + name)["pid"], f.fds
        s.pids.add(self.pid)


def unnamed_namespace(s):
    """a device in a namespace known by a process only, and one known by an fd only"""
    f, g = s.fixture(), s.fixture()
    one = f.do("unshare net")["netns"]
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    two = g.do("unshare net")["netns"]
    g.open("y")
    g.do("setns /proc/%d/ns/net" % os.getpid())
    other = g.setiff("y", s.ifname("a"), "tap")
    s.start()
    expect_seed(s, exists(f, "x", "F1", "D1", tap, netns=one, netns_name=ABSENT),
                exists(g, "y", "F2", "D2", other, netns=two, netns_name=ABSENT, socket_netns=two))
    s.check_truth()
    f.end()
    s.expect(died(f, "x", "F1", "D1", how="exit"))


def many(s):
    """a thousand taps, and others that come and go during start-up: no double, no gap"""
    number = int(os.environ.get("TW_MANY", "1000"))
    ns = s.netns("n")
    maker, churner = s.fixture(ns), s.fixture()
    maker.do("many %d %s" % (number, s.ifname("p")), limit=30 + number / 10)
    maker.end()             # a process in it would keep the namespace
    churner.send("churn 99999 " + s.ifname("c"))
    s.start()
    churner.send("pid")     # ends the churn
    churns = churner.receive()["made"]
    churner.receive()
    s.watch.settle()
    seeded = [e["device"].get("ifname") for e in s.watch.events
              if e["event"] == "exist" and member(e, "device.netns") == ns.inode]
    if sorted(seeded) != sorted(s.ifname("p%d" % i) for i in range(number)):
        raise Failure("%d of %d told, %d different" % (len(seeded), number, len(set(seeded))))
    check_churn(s, churns)
    s.check_truth()
    s.mark = len(s.watch.events)
    s.netns_delete(ns)

    def deleted():
        return [e["device"].get("ifname") for e in s.watch.events[s.mark:]
                if e["event"] == "delete" and e["device"].get("netns") == ns.inode]
    s.watch.wait(lambda: len(deleted()) >= number, 20)
    s.watch.settle()
    gone = deleted()
    if sorted(gone) != sorted(seeded):
        raise Failure("%d of %d deletions told, %d different" % (len(gone), number, len(set(gone))))


def check_churn(s, churns):
    """Each tap of the churn was told wholly, or met half-way and told to its end, or not at all."""
    lives = {}
    pattern = re.compile(re.escape(s.ifname("c")) + r"(\d+)$")
    for event in s.mine(s.watch.events):
        name = pattern.match(str(member(event, "device.ifname")))
        if name:
            lives.setdefault(int(name.group(1)), []).append(event)
    whole = 0
    for i in sorted(lives):
        words = [e["event"] for e in lives[i]]
        ids = {e["device"]["id"] for e in lives[i]}
        # one that was there before its file was on it is told to exist, and then how it was bound
        seen = words[1:] if words[0] == "exist" and "file" not in lives[i][0] and "attach" in words else words
        if len(ids) != 1 or words.count("delete") != 1 or words[-1] != "delete" \
                or seen.count("exist") + seen.count("attach") != 1:
            raise Failure("device %d of the churn:\n%s" % (i, "\n".join(map(brief, lives[i]))))
        whole += words[0] == "attach"
    if not lives:
        raise Failure("of a churn of %d nothing was told" % churns)
    first = min(lives)
    missing = [i for i in range(first, churns) if i not in lives]
    if missing:
        raise Failure("of the churn, %d was told but these later ones were not: %s" % (first, missing))
    s.note("churn of %d: told from number %d on, %d of them whole" % (churns, first, whole))


def second_tapwatch(s):
    """a tapwatch beside another is no holder of anything"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.start()
    expect_seed(s, exists(f, "x", "F", "D", tap))
    second = Watch(settle=False)
    s.own_watches.append(second)
    s.expect()      # nothing about this file, however the second one looked at it
    if [e for e in second.events if member(e, "process.pid") in (s.watch.pid, second.pid)]:
        raise Failure("tapwatch tells of itself")
    second.stop()
    s.expect()
    f.close("x")
    s.expect(died(f, "x", "F", "D"))


def seed_none(s):
    """--seed none tells no `exist`, and what happens to unknown devices is told all the same"""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    s.start("--seed", "none")
    expect_seed(s)
    f.tun.discard("x")      # nothing is ever told of it, as long as nobody touches it
    f.partly_known = True
    f.open("y")
    tap = f.setiff("y", s.ifname("b"), "tap")
    s.expect(born(f, "y", "F", "D", tap))


def module_loaded_later(s):
    """tun is loaded only after tapwatch started"""
    if not os.path.exists("/sys/module/tun/refcnt") and os.path.exists("/dev/net/tun"):
        raise Skip("tun is built into this kernel")
    quiet("rmmod", "vhost_net")     # it uses tun
    quiet("rmmod", "tun")
    if os.path.exists("/sys/module/tun"):
        raise Skip("tun is in use and cannot be unloaded")
    s.start()
    s.note("tun was %sloaded by tapwatch itself" % ("" if os.path.exists("/sys/module/tun") else "not "))
    if not os.path.exists("/dev/net/tun"):
        s.run("modprobe", "tun")
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.expect(born(f, "x", "F", "D", tap))
    s.check_truth()
    f.close("x")
    s.expect(died(f, "x", "F", "D"))
    f.open("y")
    f.setiff("y", s.ifname("/"), "tap", fails="EINVAL")
    s.expect(E("open", f, "y", file="F2"), E("attach-failed", f, "y", errno="EINVAL"))


OWN_SCENARIOS = [existing, two_holders, unnamed_namespace, many, second_tapwatch, seed_none, module_loaded_later]
