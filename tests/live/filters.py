# SPDX-License-Identifier: GPL-2.0-only
"""Each filter once: everything told satisfies it, and what satisfies it is told.

One tapwatch per filter, all at the same time over the same actions.
"""
from tw import Failure, Watch, brief, member


def names(event):
    """Every name the device of this event has or had, or was asked for by."""
    return [n for n in (member(event, "device.ifname"), member(event, "old.ifname"), event.get("requested"))
            if isinstance(n, str)]


def filters(s):
    """-p -i -N -u --comm --kind -e, and two together"""
    ns = s.netns("n")
    f, g = s.fixture(), s.fixture(ns)
    g.open("early")
    f.do("comm tw-first")
    a, b = s.ifname("a"), s.ifname("b")

    def by_f(e):
        return member(e, "process.pid") == f.pid

    def in_ns(e):
        return ns.inode in (member(e, "device.netns"), member(e, "old.netns"), e.get("socket_netns"))

    # arguments, what each event must satisfy, events that must be told as (event, actor)
    table = [
        (("-p", str(f.pid)), by_f, {("open", f), ("attach", f), ("drop", f)}),
        (("--pid", "%d,%d" % (f.pid, g.pid)), lambda e: True, {("attach", f), ("attach", g), ("open", f)}),
        (("-i", a[:-1] + "?"), lambda e: a in names(e) or b in names(e), {("attach", f), ("attach", g)}),
        (("--ifname", b), lambda e: b in names(e), {("attach", g)}),
        (("-N", ns.name), in_ns, {("attach", g)}),
        (("--netns", ns.path), in_ns, {("attach", g)}),
        (("-N", str(ns.inode)), in_ns, {("attach", g)}),
        (("-N", "pid:%d" % g.pid), in_ns, {("attach", g)}),
        (("-u", "1000"), lambda e: member(e, "process.uid") == 1000, {("attach", g)}),
        (("--comm", "tw-f*"), by_f, {("open", f), ("attach", f)}),
        (("--kind", "tun"), lambda e: member(e, "device.kind") == "tun", {("attach", g)}),
        (("-e", "ready,attach"), lambda e: e["event"] == "attach", {("attach", f), ("attach", g)}),
        (("-e", "ready,attach,delete", "--kind", "tap"),
         lambda e: e["event"] in ("attach", "delete") and member(e, "device.kind") == "tap", {("attach", f)}),
    ]
    watches = []
    for arguments, _, _ in table:
        watch = Watch(*arguments, settle=False)
        s.own_watches.append(watch)
        watches.append(watch)
    f.open("x")
    f.setiff("x", a, "tap")
    g.do("setuid 1000")
    g.do("setiff early %s tun" % b, fails="EPERM")      # no capability: does not exist yet
    root = s.fixture(ns)
    root.open("r")
    root.setiff("r", b, "tun")
    root.do("owner r 1000")
    root.do("persist r 1")
    root.close("r")
    g.setiff("early", b, "tun")
    f.close("x")
    wrong = []
    for (arguments, test, wanted), watch in zip(table, watches):
        def missing():
            return {(name, who.pid) for name, who in wanted
                    if not watch.find(name, process__pid=who.pid)}
        watch.wait(lambda: not missing())
        for name, pid in missing():
            wrong.append("%s: no %s of pid %d" % (" ".join(arguments), name, pid))
        for event in watch.events:
            if event["event"] != "ready" and not test(event):
                wrong.append("%s: %s" % (" ".join(arguments), brief(event)))
        if watch.problems:
            wrong += watch.problems
    if wrong:
        raise Failure("\n".join(wrong))


OWN_SCENARIOS = [filters]
