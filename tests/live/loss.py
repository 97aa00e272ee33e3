# SPDX-License-Identifier: GPL-2.0-only
"""Events that could not be delivered are counted, told and healed.

The ring is made tiny by a debugging variable, and tapwatch is stopped while
more happens than the ring can hold.
"""
from tw import Failure, brief, member

TINY = {"TAPWATCH_RING_BYTES": "4096"}


def overflow(s, during, after=None):
    """Runs during() unobserved; returns the events since."""
    watch = s.watch
    since = len(watch.events)
    with watch.paused():
        during()
    if after:
        after()
    if not watch.wait(lambda: watch.find("resync", since), 20):
        raise Failure("no resync came; told:\n" + "\n".join(brief(e) for e in watch.events[since:][-20:]))
    watch.settle()
    if not watch.wait(lambda: healed(watch), 20):
        raise Failure("lost, and no resync after it")
    return watch.events[since:]


def healed(watch):
    """Whatever was told lost was followed by a resync."""
    words = [e["event"] for e in watch.events]
    return "lost" not in words or words[::-1].index("lost") > (words[::-1] + ["resync"]).index("resync")


def told_and_healed(s):
    """lost and resync are told, and the state after it is the kernel's"""
    f, g, name = s.fixture(), s.fixture(), s.ifname("a")
    f.open("stay")
    f.setiff("stay", s.ifname("s"), "tap")
    f.open("go")
    f.setiff("go", s.ifname("g"), "tap")
    f.open("q0")
    f.setiff("q0", s.ifname("m"), "tap", "multi_queue")
    f.open("q1")
    f.setiff("q1", s.ifname("m"), "tap", "multi_queue")
    f.open("renamed")
    f.setiff("renamed", s.ifname("r"), "tap")
    f.open("deleted")
    f.setiff("deleted", s.ifname("d"), "tap")
    g.open("late")
    s.start(env=TINY)

    def storm():
        g.do("storm 300")
        f.do("flip q1 50")
        f.close("go")
        f.do("queue q1 detach")
        f.do("rename %s %s" % (s.ifname("r"), s.ifname("R")))
        f.do("up " + s.ifname("s"))
        s.ip("link", "del", s.ifname("d"))
        g.setiff("late", name, "tun")
        g.open("new")
        g.setiff("new", s.ifname("n"), "tap")
        g.do("storm 300")
    told = overflow(s, storm)
    lost = [e for e in told if e["event"] == "lost"]
    if not lost or not all(isinstance(e.get("count"), int) and e["count"] > 0 for e in lost):
        raise Failure("lost: %s" % [brief(e) for e in lost])
    words = [e["event"] for e in told]
    if words.index("lost") > words.index("resync"):
        raise Failure("resync before lost: %s" % words)
    s.check_truth()
    corrections = sum(e.get("corrections", 0) for e in told if e["event"] == "resync")
    healing = told[words.index("lost"):len(words) - words[::-1].index("resync")]
    synthetic = sum(1 for e in healing if e.get("source") == "seed" and e["event"] not in ("lost", "resync"))
    if corrections != synthetic:
        raise Failure("%d corrections announced, %d synthetic events told:\n%s" % (corrections, synthetic, "\n".join(
            brief(e) for e in told if e.get("source") == "seed" or e["event"] in ("lost", "resync"))))
    up = [e for e in told if e["event"] == "up" and member(e, "device.ifname") == s.ifname("s")]
    if len(up) != 1:
        raise Failure("up told %d times" % len(up))
    # And it goes on as if nothing had been.
    f.close("stay")
    s.watch.settle()
    if not s.watch.find("delete", device__ifname=s.ifname("s")):
        raise Failure("the close after the healing was not told")
    s.check_truth()


def storm_while_reading(s):
    """a storm under a running reader: whatever is lost is told, and the state is right in the end"""
    fixtures = [s.fixture() for _ in range(3)]
    s.start(env=TINY)
    for i, f in enumerate(fixtures):
        f.open("x")
        f.setiff("x", s.ifname("x%d" % i), "tap", "multi_queue")
        f.send("storm 500")
    for f in fixtures:
        f.receive()
        f.open("y")
    s.watch.settle()
    lost = sum(e["count"] for e in s.watch.events if e["event"] == "lost")
    if not s.watch.wait(lambda: healed(s.watch), 20):
        raise Failure("%d lost, no resync" % lost)
    s.note("%d events lost" % lost)
    s.watch.settle()
    s.check_truth()


OWN_SCENARIOS = [told_and_healed, storm_while_reading]
