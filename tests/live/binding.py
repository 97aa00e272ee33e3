# SPDX-License-Identifier: GPL-2.0-only
"""open and TUNSETIFF: what binds, what does not, and who is in the way."""
import os
import subprocess

from tw import (ABSENT, ANY, E, NOT_TRUE, Failure, Pid, Settings, Skip, born, closed, died, has, made)


def plain_tap(s):
    """open, TUNSETIFF, close: the whole life of a tap"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap", "no_pi")
    s.expect(E("open", f, "x", file="F", comm="tapfix", uid=0, device=ABSENT),
             made(f, "x", "F", "D", tap, mac=ANY, socket_netns=tap["netns"], disabled_queues=0, comm="tapfix",
                  process_netns=tap["netns"], flags=has("no_pi"), netns_cookie=ANY, errno=ABSENT, owner=ABSENT,
                  group=ABSENT, master=ABSENT))
    s.check_truth()
    f.close("x")
    s.expect(E("drop", f, "x", file="F", dev="D", how="close"),
             E("release", f, file="F"),
             E("delete", f, dev="D", how="last-close", ifname=tap["ifname"], netns=tap["netns"]))


def plain_tun(s):
    """the same for a tun"""
    f = s.fixture()
    f.open("x")
    tun = f.setiff("x", s.ifname("a"), "tun", "no_pi", "vnet_hdr")
    f.close("x")
    s.expect(born(f, "x", "F", "D", tun, kind="tun", flags=has("no_pi", "vnet_hdr")), died(f, "x", "F", "D"))


def kernel_picks_name(s):
    """tap%d: the kernel picks the name"""
    f = s.fixture()
    f.open("x")
    first = f.setiff("x", s.ifname("%d"), "tap")
    f.open("y")
    second = f.setiff("y", "tap%d", "tap")
    s.expect(born(f, "x", "F1", "D1", first, ifname=s.ifname("0")), born(f, "y", "F2", "D2", second))
    s.check_truth()
    f.close("x")
    f.close("y")
    s.expect(died(f, "x", "F1", "D1"), died(f, "y", "F2", "D2"))


def empty_name(s):
    """TUNSETIFF without a name: tun%d is meant"""
    f = s.fixture()
    f.open("x")
    tun = f.setiff("x", "\0", "tun")
    f.close("x")
    s.expect(born(f, "x", "F", "D", tun), died(f, "x", "F", "D"))


def open_only(s):
    """open without TUNSETIFF"""
    f = s.fixture()
    f.open("x")
    s.expect(E("open", f, "x", file="F"))
    s.check_truth()
    f.close("x")
    s.expect(closed(f, "x", "F"))


def opath(s):
    """an O_PATH fd is no holder"""
    f = s.fixture()
    f.open("x", "opath")
    f.close("x")
    s.expect()


def busy(s):
    """EBUSY names the holder"""
    holder, late = s.fixture(), s.fixture()
    holder.open("x")
    tap = holder.setiff("x", s.ifname("a"), "tap")
    late.open("y")
    late.setiff("y", s.ifname("a"), "tap", fails="EBUSY")
    s.expect(born(holder, "x", "F1", "D", tap), E("open", late, "y", file="F2"),
             E("attach-failed", late, "y", file="F2", errno="EBUSY", requested=s.ifname("a"), held_by=[(holder, "x")]))
    s.check_truth()
    late.close("y")
    holder.close("x")
    s.expect(closed(late, "y", "F2"), died(holder, "x", "F1", "D"))


def busy_oneself(s):
    """EBUSY although it is one's own second fd"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.open("y")
    f.setiff("y", s.ifname("a"), "tap", fails="EBUSY")
    s.expect(born(f, "x", "F1", "D", tap), E("open", f, "y", file="F2"),
             E("attach-failed", f, "y", file="F2", errno="EBUSY", requested=s.ifname("a"), held_by=[(f, "x")]))
    f.close("x")
    again = f.setiff("y", s.ifname("a"), "tap")
    s.expect(died(f, "x", "F1", "D"), made(f, "y", "F2", "D2", again))
    s.check_truth()


def flags_mismatch(s):
    """EINVAL: multi-queue against single, and tun against tap"""
    holder, late = s.fixture(), s.fixture()
    name = s.ifname("a")
    holder.open("x")
    tap = holder.setiff("x", name, "tap", "multi_queue")
    late.open("y")
    late.setiff("y", name, "tap", fails="EINVAL")
    late.setiff("y", name, "tun", "multi_queue", fails="EINVAL")
    wrong = E("attach-failed", late, "y", file="F2", errno="EINVAL", requested=name, held_by=[(holder, "x")])
    s.expect(born(holder, "x", "F1", "D", tap, flags=has("multi_queue")), E("open", late, "y", file="F2"), wrong, wrong)
    s.check_truth()


def bad_name(s):
    """EINVAL for a name no interface can have; nobody holds it"""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("/"), "tap", fails="EINVAL")
    s.expect(E("open", f, "x", file="F"),
             E("attach-failed", f, "x", file="F", errno="EINVAL", requested=s.ifname("/"), held_by=ABSENT))


def not_owner(s):
    """EPERM for somebody who is not the owner; the owner gets it"""
    name, root = s.ifname("a"), s.fixture()
    root.open("x")
    tap = root.setiff("x", name, "tap")
    root.do("owner x 1000")
    root.do("persist x 1")
    root.close("x")
    s.expect(born(root, "x", "F1", "D", tap),
             E("owner", root, "x", dev="D", owner=1000),
             E("persist", root, "x", dev="D", value=True, flags=has("persist")),
             closed(root, "x", "F1"))
    other, owner = s.fixture(), s.fixture()
    other.open("y")
    other.do("setuid 65534")
    other.setiff("y", name, "tap", fails="EPERM")
    owner.open("z")
    owner.do("setuid 1000")
    owner.setiff("z", name, "tap")
    s.expect(E("open", other, "y", file="F2"),
             E("attach-failed", other, "y", file="F2", uid=65534, errno="EPERM", requested=name, held_by=ABSENT),
             E("open", owner, "z", file="F3"),
             E("attach", owner, "z", file="F3", dev="D", uid=1000, created=NOT_TRUE, queues=1, owner=1000))
    s.check_truth()
    owner.close("z")
    s.expect(closed(owner, "z", "F3"))


def already_bound(s):
    """EEXIST on a bound fd is neither a binding nor a failure"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.setiff("x", s.ifname("a"), "tap", fails="EEXIST")
    f.setiff("x", s.ifname("b"), "tap", fails="EEXIST")
    s.expect(born(f, "x", "F", "D", tap))
    s.check_truth()


def set_ifindex(s):
    """TUNSETIFINDEX first"""
    f = s.fixture()
    f.open("x")
    f.do("setifindex x 654321")
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.expect(born(f, "x", "F", "D", tap, ifindex=654321))
    s.check_truth()


def ifindex_taken(s):
    """TUNSETIFINDEX with a taken number: the device is not made, and nobody holds that name"""
    f = s.fixture()
    f.open("x")
    f.do("setifindex x 1")
    f.setiff("x", s.ifname("a"), "tap", fails="EBUSY")
    s.expect(E("open", f, "x", file="F"),
             E("attach-failed", f, "x", file="F", errno="EBUSY", requested=s.ifname("a"), held_by=ABSENT))
    s.check_truth()
    f.close("x")
    s.expect(closed(f, "x", "F"))


def compat_caller(s):
    """a 32-bit process"""
    program = os.path.join(Settings.helpers, "tap32")
    if not os.path.exists(program):
        raise Skip("tap32 was not built")
    try:
        process = subprocess.Popen([program, s.ifname("a")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as error:
        raise Skip("this kernel runs no 32-bit programs: %s" % error)
    s.pids.add(process.pid)
    answer = process.stdout.readline().split()
    if answer[0] != b"ok":
        raise Failure("tap32: %r" % answer)
    f = Pid(process.pid, {"x": int(answer[1])})
    s.expect(E("open", f, "x", file="F"),
             E("attach", f, "x", file="F", dev="D", created=True, kind="tap", ifname=s.ifname("a"), comm="tap32"))
    process.stdin.close()
    process.wait()
    process.stdout.close()
    s.expect(died(f, "x", "F", "D", how="exit"))


def efault(s):
    """EFAULT after the binding: it is bound all the same"""
    f = s.fixture()
    f.open("x")
    tap = f.do("efault x %s tap" % s.ifname("a"))
    if tap["result"] != "EFAULT":
        raise Failure("fixture: %s" % tap)
    s.expect(E("open", f, "x", file="F"), made(f, "x", "F", "D", tap))
    s.check_truth()
    f.close("x")
    s.expect(died(f, "x", "F", "D"))


def hostile_names(s):
    """names with quotes, backslashes, escape sequences, UTF-8 and what is not"""
    f = s.fixture()
    tails = (b'"\'{}', b"\\n", b"\x1b[1m", b"\xc3\xa9", b"\xff\xfe", b"%n")
    for i, tail in enumerate(tails):
        name = s.prefix.encode()[:14 - len(tail)] + tail
        slot = "x%d" % i
        f.open(slot)
        if tail == b"%n":   # a pattern of the kernel's, and no good one
            f.setiff(slot, name, "tap", fails="EINVAL")
            s.expect(E("open", f, slot), E("attach-failed", f, slot, errno="EINVAL", requested=name.decode()))
            continue
        tap = f.setiff(slot, name, "tap")
        s.expect(born(f, slot, "F%d" % i, "D%d" % i, tap, ifname=name))
    s.check_truth()


SCENARIOS = [plain_tap, plain_tun, kernel_picks_name, empty_name, open_only, opath, busy, busy_oneself, flags_mismatch,
             bad_name, not_owner, already_bound, set_ifindex, ifindex_taken, compat_caller, efault, hostile_names]
