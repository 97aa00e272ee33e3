# SPDX-License-Identifier: GPL-2.0-only
"""Several queues of one device, and queues held by vhost-net."""
import os

from tw import E, NOT_TRUE, Skip, Unordered, born, closed, died, has


def eight_queues(s):
    """eight queues, some detached, attached again and closed: one device"""
    f, name = s.fixture(), s.ifname("a")
    f.open("q0")
    tap = f.setiff("q0", name, "tap", "multi_queue")
    expected = born(f, "q0", "F0", "D", tap, flags=has("multi_queue"))
    for i in range(1, 8):
        f.open("q%d" % i)
        f.setiff("q%d" % i, name, "tap", "multi_queue")
        expected += [E("open", f, "q%d" % i, file="F%d" % i),
                     E("attach", f, "q%d" % i, file="F%d" % i, dev="D", created=NOT_TRUE, ifname=name, queues=i + 1,
                       disabled_queues=0)]
    s.expect(expected)
    s.check_truth()
    f.do("queue q3 detach")
    f.do("queue q5 detach")
    s.expect(E("queue-detach", f, "q3", file="F3", dev="D", queues=7, disabled_queues=1),
             E("queue-detach", f, "q5", file="F5", dev="D", queues=6, disabled_queues=2))
    s.check_truth()
    f.do("queue q3 attach")
    f.close("q5")       # a disabled one
    f.close("q0")       # an enabled one
    s.expect(E("queue-attach", f, "q3", file="F3", dev="D", queues=7, disabled_queues=1),
             closed(f, "q5", "F5"), closed(f, "q0", "F0"))
    s.check_truth()
    f.do("queue q7 detach")
    s.expect(E("queue-detach", f, "q7", file="F7", dev="D", queues=5, disabled_queues=1))
    f.do("queue q7 detach", fails="EINVAL")     # it is: not an event
    s.expect()
    f.end()
    left = (1, 2, 3, 4, 6, 7)
    drops = [E("drop", f, "q%d" % i, file="F%d" % i, how="exit") for i in left]
    s.expect(drops, Unordered(*[E("release", file="F%d" % i) for i in left] + [E("delete", dev="D", how="last-close")]))


def two_processes(s):
    """queues of one device in two processes; the first to come is not the last to go"""
    f, g, name = s.fixture(), s.fixture(), s.ifname("a")
    f.open("x")
    tap = f.setiff("x", name, "tap", "multi_queue")
    g.open("y")
    g.setiff("y", name, "tap", "multi_queue")
    late = s.fixture()
    late.open("z")
    late.setiff("z", name, "tap", fails="EINVAL")
    s.expect(born(f, "x", "F1", "D", tap), E("open", g, "y", file="F2"),
             E("attach", g, "y", file="F2", dev="D", created=NOT_TRUE, queues=2), E("open", late, "z", file="F3"),
             E("attach-failed", late, "z", file="F3", errno="EINVAL", held_by=[(f, "x"), (g, "y")]))
    s.check_truth()
    f.end()
    s.expect(closed(f, "x", "F1", how="exit"))
    g.kill()
    s.expect(died(g, "y", "F2", "D", how="exit"))


def last_is_disabled(s):
    """the only queue is detached, then closed: the device goes with it"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap", "multi_queue")
    f.do("queue x detach")
    s.expect(born(f, "x", "F", "D", tap), E("queue-detach", f, "x", file="F", dev="D", queues=0, disabled_queues=1))
    s.check_truth()
    f.close("x")
    s.expect(died(f, "x", "F", "D"))


def need_vhost():
    if not os.path.exists("/dev/vhost-net"):
        raise Skip("no /dev/vhost-net")


def vhost(s):
    """a queue given to vhost-net lives on without an fd"""
    need_vhost()
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.do("vhost x v 0")
    s.expect(born(f, "x", "F", "D", tap), E("vhost", f, file="F", dev="D", value=True))
    s.check_truth()
    f.close("x")
    s.expect(E("drop", f, "x", file="F", how="close"))
    f.do("vhost-off v 0")
    s.expect(E("vhost", f, file="F", dev="D", value=False), E("release", file="F"),
             E("delete", dev="D", how="last-close"))


def vhost_closed(s):
    """the vhost-net file is closed with the queue in it"""
    need_vhost()
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.do("vhost x v 0")
    f.close("x")
    f.do("close v")
    s.expect(born(f, "x", "F", "D", tap), E("vhost", f, file="F", dev="D", value=True),
             E("drop", f, "x", file="F", how="close"), E("vhost", file="F", dev="D", value=False),
             E("release", file="F"), E("delete", dev="D", how="last-close"))


SCENARIOS = [eight_queues, two_processes, last_is_disabled, vhost, vhost_closed]
