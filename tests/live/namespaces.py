# SPDX-License-Identifier: GPL-2.0-only
"""The three namespaces of a binding: the process's, the socket's, the device's."""
import os

from tw import ABSENT, E, Failure, born, died, made, own_netns, quiet


def open_here_bind_there(s):
    """open in A, setns(B), TUNSETIFF: the device is in A"""
    a, b = s.netns("a"), s.netns("b")
    f = s.fixture(a)
    f.open("x")
    f.do("setns " + b.path)
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.expect(born(f, "x", "F", "D", tap, netns=a.inode, netns_name=a.name, socket_netns=a.inode,
                  process_netns=b.inode))
    s.check_truth()


def move(s):
    """moved after attach, and back"""
    home, b = own_netns(), s.netns("b")
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    ip = s.ip("link", "set", s.ifname("a"), "netns", b.name)
    there = f.do("getiff x")
    s.expect(born(f, "x", "F", "D", tap),
             E("move", ip, dev="D", comm="ip", ifname=s.ifname("a"), netns=b.inode, netns_name=b.name,
               ifindex=there["ifindex"], old_netns=home, old_ifname=ABSENT,
               old_ifindex=tap["ifindex"] if tap["ifindex"] != there["ifindex"] else ABSENT))
    s.check_truth()
    ip = s.ip("link", "set", s.ifname("a"), "netns", "1", netns=b)
    s.expect(E("move", ip, dev="D", netns=home, netns_name=ABSENT, old_netns=b.inode, old_netns_name=b.name))
    s.check_truth()
    f.close("x")
    s.expect(died(f, "x", "F", "D"))


def move_up(s):
    """moving a device that is up takes it down first"""
    home, b = own_netns(), s.netns("b")
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.do("up " + s.ifname("a"))
    ip = s.ip("link", "set", s.ifname("a"), "netns", b.name)
    s.expect(born(f, "x", "F", "D", tap), E("up", f, dev="D"), E("down", ip, dev="D", netns=home),
             E("move", ip, dev="D", netns=b.inode, old_netns=home))
    s.check_truth()


def move_and_rename(s):
    """moved and renamed in one request: the kernel does the one, then the other"""
    home, b = own_netns(), s.netns("b")
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    ip = s.ip("link", "set", s.ifname("a"), "netns", b.name, "name", s.ifname("z"))
    s.expect(born(f, "x", "F", "D", tap),
             E("move", ip, dev="D", netns=b.inode, ifname=s.ifname("a"), old_netns=home, old_ifname=ABSENT),
             E("rename", ip, dev="D", netns=b.inode, ifname=s.ifname("z"), old_ifname=s.ifname("a"), old_netns=ABSENT))
    s.check_truth()


def move_renamed(s):
    """the same where the old name is taken: the device comes with its new name"""
    home, b = own_netns(), s.netns("b")
    f, g = s.fixture(), s.fixture(b)
    g.open("y")
    there = g.setiff("y", s.ifname("a"), "tap")
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    ip = s.ip("link", "set", s.ifname("a"), "netns", b.name, "name", s.ifname("z"))
    s.expect(born(g, "y", "F1", "D1", there), born(f, "x", "F2", "D2", tap),
             E("move", ip, dev="D2", netns=b.inode, ifname=s.ifname("z"), old_netns=home, old_ifname=s.ifname("a")))
    s.check_truth()


def move_name_taken(s):
    """a move that fails because the name is taken there is no event"""
    b = s.netns("b")
    f, g = s.fixture(), s.fixture(b)
    f.open("x")
    here = f.setiff("x", s.ifname("a"), "tap")
    g.open("y")
    there = g.setiff("y", s.ifname("a"), "tap")
    if not s.ip("link", "set", s.ifname("a"), "netns", b.name, fails=True).status:
        raise Failure("the move should have failed")
    s.expect(born(f, "x", "F1", "D1", here), born(g, "y", "F2", "D2", there))
    s.check_truth()


def move_ifindex_taken(s):
    """the ifindex changes with the move when it is taken there"""
    home, b = own_netns(), s.netns("b")
    f, g = s.fixture(), s.fixture(b)
    for fixture, slot, tail in ((f, "x", "a"), (g, "y", "b")):
        fixture.open(slot)
        fixture.do("setifindex %s 765432" % slot)
    here = f.setiff("x", s.ifname("a"), "tap")
    there = g.setiff("y", s.ifname("b"), "tap")
    ip = s.ip("link", "set", s.ifname("a"), "netns", b.name)
    moved = f.do("getiff x")
    s.expect(E("open", f, "x", file="F1"), E("open", g, "y", file="F2"),
             made(f, "x", "F1", "D1", here, ifindex=765432), made(g, "y", "F2", "D2", there, ifindex=765432),
             E("move", ip, dev="D1", netns=b.inode, ifindex=moved["ifindex"], old_netns=home, old_ifindex=765432))
    s.check_truth()


def same_name_twice(s):
    """one name in two namespaces: each busy fd is told its own holder"""
    a, b, name = s.netns("a"), s.netns("b"), s.ifname("t")
    f, g = s.fixture(a), s.fixture(b)
    f.open("x")
    in_a = f.setiff("x", name, "tap")
    g.open("y")
    in_b = g.setiff("y", name, "tap")
    s.expect(born(f, "x", "F1", "D1", in_a, netns=a.inode, netns_name=a.name),
             born(g, "y", "F2", "D2", in_b, netns=b.inode, netns_name=b.name))
    for number, (ns, holder) in enumerate(((a, (f, "x")), (b, (g, "y")))):
        late, file = s.fixture(ns), "L%d" % number
        late.open("z")
        late.setiff("z", name, "tap", fails="EBUSY")
        s.expect(E("open", late, "z", file=file),
                 E("attach-failed", late, "z", file=file, errno="EBUSY", requested=name, held_by=[holder]))
    s.check_truth()
    # The first moves to a third place under the second's eyes; each stays what it is.
    c = s.netns("c")
    ip = s.ip("link", "set", name, "netns", c.name, netns=a)
    g.close("y")
    s.expect(E("move", ip, dev="D1", netns=c.inode, old_netns=a.inode), died(g, "y", "F2", "D2"))
    s.check_truth()


def busy_after_move(s):
    """a device that moved away is no longer in the way here"""
    b, name = s.netns("b"), s.ifname("a")
    f, g = s.fixture(), s.fixture()
    f.open("x")
    tap = f.setiff("x", name, "tap")
    ip = s.ip("link", "set", name, "netns", b.name)
    g.open("y")
    again = g.setiff("y", name, "tap")
    s.expect(born(f, "x", "F1", "D1", tap), E("move", ip, dev="D1", netns=b.inode), born(g, "y", "F2", "D2", again))
    s.check_truth()


def netns_deleted(s):
    """the namespace dies with the device in it, the fd lives on elsewhere and is used again"""
    b = s.netns("b")
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    ip = s.ip("link", "set", s.ifname("a"), "netns", b.name)
    s.expect(born(f, "x", "F", "D1", tap), E("move", ip, dev="D1", netns=b.inode))
    s.netns_delete(b)
    s.expect(E("delete", dev="D1", how="netns-exit", ifname=s.ifname("a"), netns=b.inode), limit=20)
    s.check_truth()
    again = f.setiff("x", s.ifname("n"), "tap")
    s.expect(made(f, "x", "F", "D2", again))
    s.check_truth()
    f.close("x")
    s.expect(died(f, "x", "F", "D2"))


def netns_pinned(s):
    """an open fd keeps its own namespace: deleting the name deletes nothing"""
    b = s.netns("b")
    f = s.fixture(b)
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.netns_delete(b)
    s.expect(born(f, "x", "F", "D", tap, netns=b.inode))
    s.check_truth()
    f.close("x")
    s.expect(died(f, "x", "F", "D"))


def unnamed(s):
    """a namespace without a name, known by a process only"""
    f = s.fixture()
    inode = f.do("unshare net")["netns"]
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.expect(born(f, "x", "F", "D", tap, netns=inode, netns_name=ABSENT, socket_netns=inode, process_netns=inode))
    s.check_truth()


def held_by_fd_only(s):
    """a namespace without a name and without a process, known by the fd only"""
    f = s.fixture()
    inode = f.do("unshare net")["netns"]
    f.open("x")
    f.do("setns /proc/%d/ns/net" % os.getpid())
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.expect(born(f, "x", "F", "D", tap, netns=inode, netns_name=ABSENT, socket_netns=inode,
                  process_netns=own_netns()))
    s.check_truth()
    f.close("x")
    s.expect(died(f, "x", "F", "D"))


def inode_reused(s):
    """two namespaces with one inode number, one after the other: two devices"""
    inodes = {}
    for number in range(30):
        f = s.fixture()
        inode = f.do("unshare net")["netns"]
        f.open("x")
        tap = f.setiff("x", s.ifname("a"), "tap")
        cookies = s.expect(born(f, "x", "F%d" % number, "D%d" % number, tap, netns=inode, ifindex=tap["ifindex"]))
        cookie = cookies[-1]["device"].get("netns_cookie")
        f.end()
        s.expect(died(f, "x", "F%d" % number, "D%d" % number, how="exit"))
        if inode in inodes:
            if cookie is not None and cookie == inodes[inode]:
                raise Failure("netns %d was reused, its cookie %s stayed" % (inode, cookie))
            s.note("inode %d came again at attempt %d" % (inode, number + 1))
            return
        inodes[inode] = cookie
    s.note("no inode came again in 30 attempts; 30 different namespaces were told right")


def rootless(s):
    """a namespace owned by an unprivileged user's namespace, through a device node of its own"""
    node = "/dev/tw%d-tun" % os.getpid()
    os.mknod(node, 0o020666, os.makedev(10, 200))
    try:
        os.chmod(node, 0o666)
        f = s.fixture()
        f.do("setuid 1000")
        inode = f.do("unshare user,net")["netns"]
        f.open("x", node)
        tap = f.setiff("x", s.ifname("a"), "tap")
        s.expect(born(f, "x", "F", "D", tap, netns=inode, uid=1000, socket_netns=inode))
        s.check_truth()
        f.close("x")
        s.expect(died(f, "x", "F", "D"))
    finally:
        os.unlink(node)


def name_given_later(s):
    """a namespace that gets its name after the device is there"""
    f = s.fixture()
    inode = f.do("unshare net")["netns"]
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.expect(born(f, "x", "F", "D", tap, netns=inode, netns_name=ABSENT))
    name = "tw%d-late" % os.getpid()
    s.run("ip", "netns", "attach", name, str(f.pid))
    try:
        f.do("up " + s.ifname("a"))
        s.expect(E("up", f, dev="D", netns=inode, netns_name=name))
    finally:
        quiet("ip", "netns", "del", name)


def ip_in_namespace(s):
    """`ip -n NS tuntap add`: device and process are in NS"""
    a = s.netns("a")
    ip = s.ip("tuntap", "add", s.ifname("p"), "mode", "tap", netns=a)
    s.expect(E("open", ip, file="F"),
             E("attach", ip, file="F", dev="D", netns=a.inode, created=True, ifname=s.ifname("p")),
             E("persist", ip, dev="D", value=True),
             E("drop", ip, file="F", how="close"), E("release", file="F"))
    s.netns_delete(a)
    s.expect(E("delete", dev="D", how="netns-exit", netns=a.inode), limit=20)


SCENARIOS = [open_here_bind_there, move, move_up, move_and_rename, move_renamed, move_name_taken, move_ifindex_taken,
             same_name_twice, busy_after_move, netns_deleted, netns_pinned, unnamed, held_by_fd_only, inode_reused, rootless,
             name_given_later, ip_in_namespace]
