# SPDX-License-Identifier: GPL-2.0-only
"""What happens to a device while it is held: renamed, set up, enslaved, persisted, deleted."""
from tw import ABSENT, E, NOT_TRUE, Unordered, born, closed, died, has, lacks, made


def rename(s):
    """renamed while held"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    ip = s.ip("link", "set", s.ifname("a"), "name", s.ifname("b"))
    f.do("rename %s %s" % (s.ifname("b"), s.ifname("c")))
    s.expect(born(f, "x", "F", "D", tap),
             E("rename", ip, dev="D", comm="ip", ifname=s.ifname("b"), old_ifname=s.ifname("a"), old_netns=ABSENT,
               ifindex=tap["ifindex"]),
             E("rename", f, dev="D", ifname=s.ifname("c"), old_ifname=s.ifname("b")))
    s.check_truth()
    f.close("x")
    s.expect(closed(f, "x", "F"), E("delete", f, dev="D", how="last-close", ifname=s.ifname("c")))


def swap_names(s):
    """two devices exchange their names"""
    f = s.fixture()
    a, b, c = s.ifname("a"), s.ifname("b"), s.ifname("c")
    f.open("x")
    one = f.setiff("x", a, "tap")
    f.open("y")
    two = f.setiff("y", b, "tap")
    f.do("rename %s %s" % (a, c))
    f.do("rename %s %s" % (b, a))
    f.do("rename %s %s" % (c, b))
    s.expect(born(f, "x", "F1", "D1", one), born(f, "y", "F2", "D2", two),
             E("rename", f, dev="D1", ifname=c, old_ifname=a), E("rename", f, dev="D2", ifname=a, old_ifname=b),
             E("rename", f, dev="D1", ifname=b, old_ifname=c))
    s.check_truth()


def link_del(s):
    """deleted under its holder, who then takes a device of the other type on the same fd"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    ip = s.ip("link", "del", s.ifname("a"))
    s.expect(born(f, "x", "F", "D1", tap),
             E("delete", ip, dev="D1", comm="ip", how="link-del", ifname=s.ifname("a"), netns=tap["netns"]))
    s.check_truth()
    tun = f.setiff("x", s.ifname("a"), "tun")
    s.expect(made(f, "x", "F", "D2", tun, kind="tun"))
    s.check_truth()
    f.close("x")
    s.expect(died(f, "x", "F", "D2"))


def link_del_then_close(s):
    """deleted under its holder, who then closes: no second delete"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    ip = s.ip("link", "del", s.ifname("a"))
    s.expect(born(f, "x", "F", "D", tap), E("delete", ip, dev="D", how="link-del"))
    f.close("x")
    s.expect(closed(f, "x", "F"))


def link_del_up(s):
    """deleting a device that is up takes it down first"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    up = s.ip("link", "set", s.ifname("a"), "up")
    ip = s.ip("link", "del", s.ifname("a"))
    s.expect(born(f, "x", "F", "D", tap), E("up", up, dev="D", comm="ip"), E("down", ip, dev="D"),
             E("delete", ip, dev="D", how="link-del"))


def last_close_up(s):
    """so does the last close"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.do("up " + s.ifname("a"))
    f.close("x")
    end = closed(f, "x", "F") + [E("down", f, dev="D")]
    if s.watch.backend == "tracepoint":     # rtnetlink is faster than the end of close(2)
        end = [Unordered(*end)]
    s.expect(born(f, "x", "F", "D", tap), E("up", f, dev="D"), end, E("delete", f, dev="D", how="last-close"))


def up_down(s):
    """set up and down; setting it again says nothing"""
    f, name = s.fixture(), s.ifname("a")
    f.open("x")
    tap = f.setiff("x", name, "tap")
    f.do("up " + name)
    f.do("up " + name)
    f.do("down " + name)
    f.do("down " + name)
    ip = s.ip("link", "set", name, "up")
    s.expect(born(f, "x", "F", "D", tap), E("up", f, dev="D", ifname=name), E("down", f, dev="D"),
             E("up", ip, dev="D", comm="ip"))


def name_again(s):
    """the name is free and taken again at once, several times"""
    f, g, name = s.fixture(), s.fixture(), s.ifname("a")
    expected = []
    for number, who in enumerate((f, f, g, f)):
        slot, file, dev = "x%d" % number, "F%d" % number, "D%d" % number
        who.open(slot)
        tap = who.setiff(slot, name, "tap" if number != 1 else "tun")
        expected += born(who, slot, file, dev, tap)
        if number < 3:
            who.close(slot)
            expected += died(who, slot, file, dev)
    s.expect(expected)
    s.check_truth()


def churn(s):
    """twenty short lives as fast as the kernel can"""
    f = s.fixture()
    f.do("churn 20 " + s.ifname("_"))
    s.expect([[E("open", f, file="F%d" % i),
               E("attach", f, file="F%d" % i, dev="D%d" % i, created=True, ifname=s.ifname("_%d" % i)),
               E("drop", f, file="F%d" % i), E("release", file="F%d" % i),
               E("delete", f, dev="D%d" % i, how="last-close", ifname=s.ifname("_%d" % i))] for i in range(20)])


def mac(s):
    """the address is set as libvirt does"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    told = s.expect(born(f, "x", "F", "D", tap))
    first = told[-1]["device"]["mac"]
    ip = s.ip("link", "set", s.ifname("a"), "address", "fe:54:00:12:34:56")
    f.do("mac %s fe:54:00:12:34:57" % s.ifname("a"))
    s.expect(E("mac", ip, dev="D", mac="fe:54:00:12:34:56", old_mac=first),
             E("mac", f, dev="D", mac="fe:54:00:12:34:57", old_mac="fe:54:00:12:34:56"))


def bridge(s):
    """joins a bridge and leaves it"""
    f, br, name = s.fixture(), s.ifname("br"), s.ifname("a")
    s.ip("link", "add", br, "type", "bridge")
    f.open("x")
    tap = f.setiff("x", name, "tap")
    join = s.ip("link", "set", name, "master", br)
    leave = s.ip("link", "set", name, "nomaster")
    s.expect(born(f, "x", "F", "D", tap, master=ABSENT), E("master", join, dev="D", comm="ip", master=br),
             E("master", leave, dev="D", master=ABSENT))
    s.check_truth()


def owner_group(s):
    """TUNSETOWNER and TUNSETGROUP"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.do("owner x 64055")
    f.do("group x 108")
    s.expect(born(f, "x", "F", "D", tap), E("owner", f, "x", dev="D", owner=64055, group=ABSENT),
             E("owner", f, "x", dev="D", owner=64055, group=108))
    s.check_truth()


def ip_tuntap(s):
    """`ip tuntap add`, attached by another user, `ip tuntap del`"""
    name = s.ifname("a")
    add = s.ip("tuntap", "add", name, "mode", "tap", "user", "1000")
    s.expect(E("open", add, file="F1", comm="ip"),
             E("attach", add, file="F1", dev="D", created=True, kind="tap", ifname=name, flags=lacks("persist")),
             E("owner", add, dev="D", owner=1000),
             E("persist", add, dev="D", value=True, flags=has("persist"), owner=1000),
             E("drop", add, file="F1", how="close"), E("release", file="F1"))
    f = s.fixture()
    f.open("x")
    f.do("setuid 1000")
    f.setiff("x", name, "tap")
    s.expect(E("open", f, "x", file="F2"),
             E("attach", f, "x", file="F2", dev="D", uid=1000, created=NOT_TRUE, ifname=name, queues=1))
    s.check_truth()
    f.close("x")
    s.expect(closed(f, "x", "F2"))
    off = s.ip("tuntap", "del", name, "mode", "tap")
    s.expect(E("open", off, file="F3"), E("attach", off, file="F3", dev="D", created=NOT_TRUE, comm="ip"),
             E("persist", off, dev="D", value=False, flags=lacks("persist")),
             E("drop", off, file="F3", how="close"), E("release", file="F3"),
             E("delete", off, dev="D", how="persist-off", ifname=name))


def persist_off_by_another(s):
    """persistence switched off by one queue, the device ended by the close of another"""
    f, name = s.fixture(), s.ifname("a")
    f.open("x")
    tap = f.setiff("x", name, "tap", "multi_queue")
    f.open("y")
    f.setiff("y", name, "tap", "multi_queue")
    f.do("persist x 1")
    f.do("persist x 0")
    f.close("x")
    f.close("y")
    s.expect(born(f, "x", "F1", "D", tap), E("open", f, "y", file="F2"),
             E("attach", f, "y", file="F2", dev="D", created=NOT_TRUE, queues=2),
             E("persist", f, "x", dev="D", value=True), E("persist", f, "x", dev="D", value=False),
             closed(f, "x", "F1"), died(f, "y", "F2", "D", delete="last-close"))


def persistent_stays(s):
    """a persistent device outlives its holder and is deleted by `ip link del`"""
    f, name = s.fixture(), s.ifname("a")
    f.open("x")
    tap = f.setiff("x", name, "tap")
    f.do("persist x 1")
    f.end()
    s.expect(born(f, "x", "F", "D", tap), E("persist", f, "x", dev="D", value=True), closed(f, "x", "F", how="exit"))
    ip = s.ip("link", "del", name)
    s.expect(E("delete", ip, dev="D", comm="ip", how="link-del"))


def killed(s):
    """kill -9 of a holder with three fds"""
    f = s.fixture()
    f.open("x")
    one = f.setiff("x", s.ifname("a"), "tap")
    f.open("y")
    two = f.setiff("y", s.ifname("b"), "tun")
    f.open("z")
    s.expect(born(f, "x", "F1", "D1", one), born(f, "y", "F2", "D2", two), E("open", f, "z", file="F3"))
    f.kill()
    s.expect(E("drop", f, "x", file="F1", how="exit"), E("drop", f, "y", file="F2", how="exit"),
             E("drop", f, "z", file="F3", how="exit"),
             Unordered(E("release", file="F1"), E("release", file="F2"), E("release", file="F3"),
                       E("delete", dev="D1", how="last-close"), E("delete", dev="D2", how="last-close")))


def exit_of_opener(s):
    """the opener ends"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.end()
    s.expect(born(f, "x", "F", "D", tap), died(f, "x", "F", "D", how="exit"))


SCENARIOS = [rename, swap_names, link_del, link_del_then_close, link_del_up, last_close_up, up_down, name_again, churn,
             mac, bridge, owner_group, ip_tuntap, persist_off_by_another, persistent_stays, killed, exit_of_opener]
