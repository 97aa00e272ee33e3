# SPDX-License-Identifier: GPL-2.0-only
"""Every way in which a process comes to an fd, and loses it."""
import os
import subprocess

from tw import (ABSENT, ANY, MISSING, E, Failure, Settings, Skip, Special, Unordered, born, closed, died)


def hold(p, slot, file, how, **members):
    return E("hold", p, slot, file=file, how=how, **members)


def drop(p, slot, file, how, **members):
    return E("drop", p, slot, file=file, how=how, **members)


def opened(p, slot, file):
    return E("open", p, slot, file=file)


def released(*files):
    """In any order: that of their last references, which delayed work takes back."""
    return Unordered(*[E("release", file=file) for file in files])


def looked(s, how):
    """The tracepoint backend learns of it by a look at the tables: then nobody knows how."""
    if s.watch.backend != "tracepoint":
        return how
    return Special("%r or absent" % how, lambda v: v is MISSING or v == how)


# ---- copies in one table ---------------------------------------------------

def dup(s):
    """dup and F_DUPFD; the file lives until the last is closed"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.dup("x", "y", "plain")
    f.dup("y", "z")
    f.dup("x", "e", "cloexec")
    s.expect(born(f, "x", "F", "D", tap), hold(f, "y", "F", "dup", ifname=tap["ifname"]), hold(f, "z", "F", "dup"),
             hold(f, "e", "F", "dup"))
    s.check_list()
    f.close("x")
    f.close("z")
    f.close("e")
    s.expect(drop(f, "x", "F", "close"), drop(f, "z", "F", "close"), drop(f, "e", "F", "close"))
    s.check_list()
    f.close("y")
    s.expect(died(f, "y", "F", "D"))


def dup2_elsewhere(s):
    """dup2 and dup3 to a free number, and over an fd of something else"""
    f = s.fixture()
    f.open("x")
    f.open("null", "/dev/null")
    f.dup2("x", "y", 40)
    f.dup2("x", "null", f.fds["null"])
    f.dup2("x", "z", 41, "cloexec", command="dup3")
    s.expect(opened(f, "x", "F"), hold(f, "y", "F", "dup"), hold(f, "null", "F", "dup"), hold(f, "z", "F", "dup"))
    s.check_list()


def dup2_over(s):
    """dup2 and dup3 over a tun fd: the one replaced is dropped first"""
    f = s.fixture()
    f.open("x")
    f.open("y")
    f.open("z")
    s.expect(opened(f, "x", "F1"), opened(f, "y", "F2"), opened(f, "z", "F3"))
    f.dup2("x", "y", f.fds["y"])
    s.expect(drop(f, "y", "F2", "dup"), Unordered(hold(f, "y", "F1", "dup"), E("release", file="F2")))
    f.dup2("x", "z", f.fds["z"], command="dup3")
    s.expect(drop(f, "z", "F3", "dup"), Unordered(hold(f, "z", "F1", "dup"), E("release", file="F3")))
    s.check_list()


def dup2_by_other(s):
    """dup2 of something else over a tun fd"""
    f = s.fixture()
    f.open("x")
    f.open("null", "/dev/null")
    f.dup2("null", "x", f.fds["x"])
    f.lost("x")
    s.expect(opened(f, "x", "F"), drop(f, "x", "F", "dup"), E("release", file="F"))
    s.check_list()


def dup2_same(s):
    """dup2 onto itself, and over a copy of the same file: nothing changes"""
    f = s.fixture()
    f.open("x")
    f.dup("x", "y")
    s.expect(opened(f, "x", "F"), hold(f, "y", "F", "dup"))
    f.dup2("x", "x", f.fds["x"])
    f.dup2("x", "y", f.fds["y"])
    s.expect()
    s.check_list()


# ---- fork, vfork, clone -------------------------------------------------------

def fork(s):
    """fork with two fds: the child holds both; each process closes for itself"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.open("y")
    child = f.fork("c")
    s.expect(born(f, "x", "F1", "D", tap), opened(f, "y", "F2"), hold(child, "x", "F1", "fork", ifname=tap["ifname"]),
             hold(child, "y", "F2", "fork"))
    s.check_list()
    f.close("x")
    f.close("y")
    child.close("y")
    s.expect(drop(f, "x", "F1", "close"), drop(f, "y", "F2", "close"), closed(child, "y", "F2"))
    s.check_list()
    child.end()
    s.expect(died(child, "x", "F1", "D", how="exit"))


def fork_of_fork(s):
    """a grandchild; its parent is killed, it lives on for a moment"""
    f = s.fixture()
    f.open("x")
    child = f.fork("c")
    grandchild = child.fork("d")
    f.close("x")
    s.expect(opened(f, "x", "F"), hold(child, "x", "F", "fork"), hold(grandchild, "x", "F", "fork"),
             drop(f, "x", "F", "close"))
    s.check_list()
    child.close("x")
    grandchild.kill()
    s.expect(drop(child, "x", "F", "close"), closed(grandchild, "x", "F", how="exit"))


def fork_no_fds(s):
    """a child of a process that has closed all of its own holds nothing"""
    f = s.fixture()
    f.open("x")
    f.close("x")
    child = f.fork("c")
    s.expect(opened(f, "x", "F"), closed(f, "x", "F"))
    child.open("y")
    child.end()
    s.expect(opened(child, "y", "F2"), closed(child, "y", "F2", how="exit"))


def spawn(s):
    """vfork and exec (posix_spawn): what is close-on-exec does not survive"""
    f = s.fixture()
    f.do("comm before")
    f.open("x")
    f.open("e", "cloexec")
    child = f.spawn("c")
    s.expect(opened(f, "x", "F1"), opened(f, "e", "F2"),
             hold(child, "x", "F1", "fork", comm="before"), hold(child, "e", "F2", "fork"),
             hold(child, "x", "F1", "exec", comm="tapfix", old_comm="before"),
             drop(child, "e", "F2", "cloexec", comm="before"))
    s.check_list()
    f.close("x")
    child.end()
    s.expect(drop(f, "x", "F1", "close"), closed(child, "x", "F1", how="exit"))


def shared_table(s):
    """clone(CLONE_FILES): two processes with one table hold the same; what one does concerns both"""
    f = s.fixture()
    f.open("x")
    child = f.fork("c", "share")
    s.expect(opened(f, "x", "F1"), hold(child, "x", "F1", "fork"))
    s.check_list()
    child.open("y")
    f.has("y", child.fds["y"])
    f.do("slot y %d" % f.fds["y"])
    s.expect(opened(child, "y", "F2"), hold(f, "y", "F2", "other"))
    f.dup("x", "z")
    child.has("z", f.fds["z"])
    child.do("slot z %d" % f.fds["z"])
    s.expect(hold(f, "z", "F1", "dup"), hold(child, "z", "F1", "other"))
    s.check_list()
    child.close("x")
    f.lost("x")
    s.expect(drop(child, "x", "F1", "close"), drop(f, "x", "F1", "close"))
    f.dup2("y", "z", f.fds["z"])
    s.expect(drop(f, "z", "F1", "dup"), drop(child, "z", "F1", "dup"),
             Unordered(hold(f, "z", "F2", "dup"), hold(child, "z", "F2", "other"), E("release", file="F1")))
    s.check_list()


def shared_table_leaver(s):
    """one of two processes with one table ends: the other holds on, and the table with it"""
    f = s.fixture()
    f.open("x")
    child = f.fork("c", "share")
    s.expect(opened(f, "x", "F"), hold(child, "x", "F", "fork"))
    child.end()
    s.expect(drop(child, "x", "F", "exit"))
    s.check_list()
    child = f.fork("d", "share")
    s.expect(hold(child, "x", "F", "fork"))
    child.kill()
    s.expect(drop(child, "x", "F", "exit"))
    s.check_list()
    f.close("x")
    s.expect(closed(f, "x", "F"))


def shared_table_passer_by(s):
    """it opens in another's table and ends before anybody looked who has the table, too"""
    f = s.fixture()
    child = f.fork("c", "share")
    with s.watch.paused():
        child.open("x")
        f.has("x", child.fds["x"])
        f.do("slot x %d" % f.fds["x"])
        child.end()
    s.expect(opened(child, "x", "F"), Unordered(drop(child, "x", "F", looked(s, "exit")), hold(f, "x", "F", ABSENT)))
    s.check_list()
    f.close("x")
    s.expect(closed(f, "x", "F"))


def shared_table_heir(s):
    """the one that made the table ends first: whoever shares it holds on"""
    f = s.fixture()
    child = f.fork("c")
    child.open("x")
    heir = child.fork("d", "share")
    s.expect(opened(child, "x", "F"), hold(heir, "x", "F", "fork"))
    # the heir's input and output are in the table that it shares: it goes on by itself
    child.do("comm leaving")
    heir.do("comm heir")
    child.kill()
    # PR_SET_PDEATHSIG: the heir is killed by the death of its parent
    heir.alive = False
    s.expect(Unordered(drop(child, "x", "F", "exit"), drop(heir, "x", "F", "exit")), E("release", file="F"))


def shared_table_fork(s):
    """a fork by one of two processes with one table: the new one has a copy"""
    f = s.fixture()
    f.open("x")
    child = f.fork("c", "share")
    other = child.fork("d")
    s.expect(opened(f, "x", "F"), hold(child, "x", "F", "fork"), hold(other, "x", "F", "fork"))
    other.dup("x", "y")
    s.expect(hold(other, "y", "F", "dup"))
    f.close("x")
    child.lost("x")
    s.expect(drop(f, "x", "F", "close"), drop(child, "x", "F", "close"))
    s.check_list()


# ---- threads ------------------------------------------------------------------

def threads(s):
    """threads are one holder, whichever of them acts"""
    f = s.fixture()
    f.open("x")
    f.do("thread t")
    f.do("thread u")
    f.has("y", f.do("on t open y")["fd"])
    f.has("z", f.do("on u dup x z")["fd"])
    f.do("on t close x")
    f.lost("x")
    s.expect(opened(f, "x", "F1"), opened(f, "y", "F2"), hold(f, "z", "F1", "dup"), drop(f, "x", "F1", "close"))
    f.do("join t")
    s.expect()
    s.check_list()
    f.kill()
    s.expect(Unordered(drop(f, "y", "F2", "exit"), drop(f, "z", "F1", "exit")), released("F1", "F2"))


def thread_of_child(s):
    """a fork of a process with threads; a thread of the child's"""
    f = s.fixture()
    f.open("x")
    f.do("thread t")
    child = f.fork("c")
    s.expect(opened(f, "x", "F"), hold(child, "x", "F", "fork"))
    child.do("thread t")
    child.has("y", child.do("on t dup x y")["fd"])
    s.expect(hold(child, "y", "F", "dup"))
    s.check_list()


def own_table(s):
    """a thread with a table of its own: its fds are the process's, and go with it"""
    f = s.fixture()
    f.open("x")
    f.do("thread t")
    f.do("on t unshare files")
    s.expect(opened(f, "x", "F1"))
    y = f.do("on t open y")["fd"]
    f.fds["y"] = y
    s.expect(opened(f, "y", "F2"))
    s.check_list()
    f.do("close x")     # in the leader's table; the thread has it still
    f.lost("x")
    s.expect()
    s.check_list()
    f.do("join t")
    s.expect(drop(f, "x", "F1", "exit"), drop(f, "y", "F2", "exit"), released("F1", "F2"))
    s.check_list()


def own_table_same_number(s):
    """two tables of one process with two files under one number"""
    f = s.fixture()
    f.do("thread t")
    f.do("on t unshare files")
    f.fds["y"] = f.do("on t open y")["fd"]
    f.open("x")
    s.expect(opened(f, "y", "F1"), opened(f, "x", "F2"))
    if f.fds["x"] != f.fds["y"]:
        raise Failure("fixture: fds %s" % f.fds)
    f.lost("x")     # getiff would ask for either
    s.check_list()
    f.close("x")
    s.expect(closed(f, "x", "F2"))
    f.do("join t")
    s.expect(closed(f, "y", "F1", how="exit"))


def unshare(s):
    """unshare(CLONE_FILES) of a process with a table of its own, and of one that shares it"""
    f = s.fixture()
    f.open("x")
    f.do("unshare files")
    s.expect(opened(f, "x", "F"))
    child = f.fork("c", "share")
    s.expect(hold(child, "x", "F", "fork"))
    child.do("unshare files")
    s.expect()
    s.check_list()
    child.close("x")
    s.expect(drop(child, "x", "F", "close"))
    child.open("y")
    s.expect(opened(child, "y", "F2"))
    s.check_list()
    f.close("x")
    s.expect(closed(f, "x", "F"))


def zombie_leader(s):
    """the leader has ended, a thread lives on: the process still holds, opens and closes"""
    f = s.fixture()
    f.open("x")
    f.do("thread t")
    f.do("leave t")
    s.expect(opened(f, "x", "F1"))
    f.open("y")
    f.dup("x", "z")
    s.expect(opened(f, "y", "F2"), hold(f, "z", "F1", "dup"))
    f.close("x")
    s.expect(drop(f, "x", "F1", "close"))
    f.tun.clear()       # /proc/PID/fd of a zombie leader is empty: the list has it from its threads
    s.check_list()
    f.end()
    s.expect(Unordered(drop(f, "y", "F2", "exit"), drop(f, "z", "F1", "exit")), released("F1", "F2"))


def shared_zombie_leader(s):
    """a leader that ends leaves the table that another process has, too; a thread with its own lives on"""
    f = s.fixture()
    child = f.fork("c", "share")
    child.do("thread t")
    child.do("on t unshare files")
    f.open("x")
    child.has("x", f.fds["x"])
    s.expect(opened(f, "x", "F"), hold(child, "x", "F", ABSENT))
    child.do("leave t")
    child.lost("x")
    s.expect(drop(child, "x", "F", "exit"))
    s.check_list()
    f.close("x")
    s.expect(closed(f, "x", "F"))


# ---- exec ---------------------------------------------------------------------

def exec_survives(s):
    """exec: what stays open is held by the new program, the rest is dropped by the old one"""
    f = s.fixture()
    f.do("comm before")
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.open("e", "cloexec")
    f.dup("x", "y", "cloexec")
    s.expect(born(f, "x", "F1", "D", tap), opened(f, "e", "F2"), hold(f, "y", "F1", "dup"))
    f.exec()
    s.expect(hold(f, "x", "F1", "exec", comm="tapfix", old_comm="before", ifname=tap["ifname"]),
             Unordered(drop(f, "e", "F2", "cloexec", comm="before"), drop(f, "y", "F1", "cloexec", comm="before")),
             E("release", file="F2"))
    s.check_list()
    f.close("x")
    s.expect(died(f, "x", "F1", "D"))


def exec_drops_all(s):
    """exec with nothing but close-on-exec fds"""
    f = s.fixture()
    f.open("x", "cloexec")
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.expect(born(f, "x", "F", "D", tap))
    f.exec()
    s.expect(drop(f, "x", "F", "cloexec", ifname=tap["ifname"]), E("release", file="F"),
             E("delete", dev="D", how="last-close"))
    s.check_list()


def exec_in_shared_table(s):
    """exec in a process that shares its table: it leaves with a copy, the other keeps all"""
    f = s.fixture()
    f.open("x")
    f.open("e", "cloexec")
    child = f.fork("c", "share")
    s.expect(opened(f, "x", "F1"), opened(f, "e", "F2"), hold(child, "x", "F1", "fork"), hold(child, "e", "F2", "fork"))
    child.exec()
    s.expect(hold(child, "x", "F1", "exec"), drop(child, "e", "F2", "cloexec"))
    s.check_list()
    child.close("x")
    s.expect(drop(child, "x", "F1", "close"))
    f.close("e")
    s.expect(closed(f, "e", "F2"))
    s.check_list()


def exec_by_thread(s):
    """exec by a thread that is not the leader: the process goes on under its old number"""
    f = s.fixture()
    f.open("x")
    f.open("e", "cloexec")
    f.do("thread t")
    f.do("thread u")
    s.expect(opened(f, "x", "F1"), opened(f, "e", "F2"))
    f.tun &= set(f.do("on t exec")["kept"])
    s.expect(hold(f, "x", "F1", "exec"), drop(f, "e", "F2", "cloexec"), E("release", file="F2"))
    s.check_list()


def exec_by_thread_own_table(s):
    """exec by a thread with a table of its own: what only the other threads had is gone"""
    f = s.fixture()
    f.do("thread t")
    f.do("on t unshare files")
    f.open("x")
    f.fds["y"] = f.do("on t open y")["fd"]
    f.has("z", f.do("on t dup y z")["fd"])
    s.expect(opened(f, "x", "F1"), opened(f, "y", "F2"), hold(f, "z", "F2", "dup"))
    f.tun = set(f.do("on t exec")["kept"]) & {"y", "z"}
    s.expect(Unordered(drop(f, "x", "F1", ANY), E("release", file="F1"),
                       hold(f, "y", "F2", "exec"), hold(f, "z", "F2", "exec")))
    s.check_list()


# ---- from others ----------------------------------------------------------------

def scm_rights(s):
    """several fds in one message, with others among them"""
    f = s.fixture()
    child = f.fork("c")
    f.open("x")
    f.open("null", "/dev/null")
    f.open("y")
    f.send_fds("c", "x", "null", "y", "x")
    s.expect(opened(f, "x", "F1"), opened(f, "y", "F2"))
    child.receive_fds("parent", "a", "null", "b", "d")
    child.lost("null")
    s.expect(hold(child, "a", "F1", "scm_rights"), hold(child, "b", "F2", "scm_rights"),
             hold(child, "d", "F1", "scm_rights"))
    s.check_list()
    f.close("x")
    f.close("y")
    s.expect(drop(f, "x", "F1", "close"), drop(f, "y", "F2", "close"))
    child.kill()
    s.expect(Unordered(*[drop(child, slot, file, "exit") for slot, file in (("a", "F1"), ("b", "F2"), ("d", "F1"))]),
             released("F1", "F2"))


def scm_rights_cut(s):
    """a receiver with room for one of two, in its buffer and in its table"""
    f = s.fixture()
    child = f.fork("c")
    f.open("x")
    f.open("y")
    f.send_fds("c", "x", "y")
    answer = child.receive_fds("parent", "a")
    s.expect(opened(f, "x", "F1"), opened(f, "y", "F2"), hold(child, "a", "F1", "scm_rights"))
    if not answer["truncated"]:
        raise Failure("not truncated: %s" % answer)
    child.do("room 1")
    f.send_fds("c", "y", "x")
    answer = child.receive_fds("parent", "b", "d")
    child.do("room off")
    s.expect(hold(child, "b", "F2", "scm_rights"))
    if not answer["truncated"] or len(answer["fds"]) != 1:
        raise Failure("not truncated: %s" % answer)
    child.do("room 0")
    f.send_fds("c", "x")
    child.receive_fds("parent", "g")
    child.do("room off")
    s.expect()
    s.check_list()


def in_flight(s):
    """sent, closed by the sender, not yet received: the file and the device live; received by and by"""
    f = s.fixture()
    child = f.fork("c")
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.send_fds("c", "x")
    f.close("x")
    s.expect(born(f, "x", "F", "D", tap), drop(f, "x", "F", "close"))
    s.check_list()
    child.receive_fds("parent", "y")
    s.expect(hold(child, "y", "F", "scm_rights", ifname=tap["ifname"]))
    s.check_list()
    child.close("y")
    s.expect(died(child, "y", "F", "D"))


def in_flight_lost(s):
    """sent and never received: released when the socket goes"""
    f = s.fixture()
    child = f.fork("c")
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.send_fds("c", "x")
    f.close("x")
    s.expect(born(f, "x", "F", "D", tap), drop(f, "x", "F", "close"))
    child.do("hangup parent")
    s.expect(E("release", file="F"), E("delete", dev="D", how="last-close"))


def in_flight_killed(s):
    """the receiver is killed with the message in its queue; one of two queues of the device lives on by it until then"""
    f = s.fixture()
    child = f.fork("c")
    name = s.ifname("a")
    f.open("x")
    tap = f.setiff("x", name, "tap", "multi_queue")
    f.open("y")
    f.setiff("y", name, "tap", "multi_queue")
    f.send_fds("c", "y")
    f.close("y")
    s.expect(born(f, "x", "F1", "D", tap), opened(f, "y", "F2"), E("attach", f, "y", file="F2", dev="D", queues=2),
             drop(f, "y", "F2", "close", queues=2))
    s.check_list()
    child.kill()
    s.expect(E("release", file="F2", dev="D"))
    s.check_list()


def pidfd_getfd(s):
    """a copy by pidfd_getfd, kept by another process"""
    f, g = s.fixture(), s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    g.has("y", g.do("getfd y %d %d" % (f.pid, f.fds["x"]))["fd"])
    s.expect(born(f, "x", "F", "D", tap), hold(g, "y", "F", "pidfd_getfd", ifname=tap["ifname"]))
    s.check_list()
    f.close("x")
    s.expect(drop(f, "x", "F", "close"))
    g.close("y")
    s.expect(died(g, "y", "F", "D"))


def passer_by(s):
    """a copy for an instant, as lsfd makes; and tapwatch itself, of which nothing is told"""
    f, g = s.fixture(), s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    s.expect(born(f, "x", "F", "D", tap))
    g.has("y", g.do("getfd y %d %d" % (f.pid, f.fds["x"]))["fd"])
    g.close("y")
    s.expect(hold(g, "y", "F", "pidfd_getfd"), drop(g, "y", "F", "close"))
    for command in (["list", "--seed", "pidfd"], ["who", "--seed", "pidfd", tap["ifname"]], ["list"],
                    ["who", tap["ifname"]]):
        s.run(Settings.tapwatch, *command)
    s.expect()
    s.check_list()


def seccomp_addfd(s):
    """a seccomp supervisor puts an fd into the process that waits for it, and another over it"""
    f = s.fixture()
    child = f.fork("c")
    child.do("notify n")
    child.do("sendfd n parent")
    f.do("recvfd n c")
    f.open("x")
    f.open("y")
    s.expect(opened(f, "x", "F1"), opened(f, "y", "F2"))
    answer = f.do("supervise c n x")
    child.has("a", answer["fd"])
    child.do("slot a %d" % answer["fd"])
    s.expect(hold(child, "a", "F1", looked(s, "other")))
    s.check_list()
    f.do("supervise c n y %d" % answer["fd"])
    child.fds["b"] = answer["fd"]
    s.expect(drop(child, "a", "F1", looked(s, "dup")), hold(child, "b", "F2", looked(s, "other")))
    s.check_list()
    child.close("a")
    s.expect(drop(child, "b", "F2", "close"))


# ---- ends -----------------------------------------------------------------------

def close_range(s):
    """close_range over a range of numbers, some of which are tun files"""
    f = s.fixture()
    for i in range(4):
        f.open("x%d" % i)
        f.open("n%d" % i, "/dev/null")
    s.expect([opened(f, "x%d" % i, "F%d" % i) for i in range(4)])
    f.do("closerange %d %d" % (f.fds["n0"], f.fds["x2"]))
    f.lost("x1", "x2")
    s.expect(drop(f, "x1", "F1", "close"), drop(f, "x2", "F2", "close"), released("F1", "F2"))
    s.check_list()


def close_range_cloexec(s):
    """close_range with CLOEXEC closes at the next exec"""
    f = s.fixture()
    f.open("x")
    f.open("y")
    if not f.ask("closerange %d %d cloexec" % (f.fds["y"], f.fds["y"]))["ok"]:
        f.do("cloexec y")       # before 5.11
    s.expect(opened(f, "x", "F1"), opened(f, "y", "F2"))
    s.check_list()
    f.exec()
    s.expect(hold(f, "x", "F1", "exec"), drop(f, "y", "F2", "cloexec"), E("release", file="F2"))
    s.check_list()


def close_range_unshare(s):
    """close_range with UNSHARE: of a process that shares its table, and of one that does not"""
    f = s.fixture()
    f.open("x")
    f.open("y")
    child = f.fork("c", "share")
    s.expect(opened(f, "x", "F1"), opened(f, "y", "F2"), hold(child, "x", "F1", "fork"), hold(child, "y", "F2", "fork"))
    child.do("closerange %d %d unshare" % (f.fds["y"], f.fds["y"]))
    child.lost("y")
    s.expect(drop(child, "y", "F2", "close"))
    s.check_list()
    f.do("closerange %d %d unshare" % (f.fds["y"], f.fds["y"]))
    f.lost("y")
    s.expect(closed(f, "y", "F2"))
    child.close("x")
    s.expect(drop(child, "x", "F1", "close"))
    s.check_list()


def close_range_unshare_all(s):
    """close_range(3, ~0, UNSHARE), as before an exec: the kernel copies only what stays"""
    f = s.fixture()
    f.open("x")
    f.do("thread t")
    f.do("on t closerange 3 4294967295 unshare")
    f.has("x", f.fds["x"])
    s.expect(opened(f, "x", "F"))
    s.check_list()
    f.do("join t")
    s.expect()
    s.check_list()


def many_exits(s):
    """exit and kill -9 of processes with copies: the last one releases"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    children = [f.fork("c%d" % i) for i in range(3)]
    s.expect(born(f, "x", "F", "D", tap), [hold(c, "x", "F", "fork") for c in children])
    children[1].kill()
    s.expect(drop(children[1], "x", "F", "exit"))
    children[0].end()
    s.expect(drop(children[0], "x", "F", "exit"))
    f.close("x")
    s.expect(drop(f, "x", "F", "close"))
    s.check_list()
    children[2].kill()
    s.expect(died(children[2], "x", "F", "D", how="exit"))


def killed(s):
    """kill -9 with two files and copies"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    f.dup("x", "y")
    f.open("z")
    s.expect(born(f, "x", "F1", "D", tap), hold(f, "y", "F1", "dup"), opened(f, "z", "F2"))
    f.kill()
    s.expect(drop(f, "x", "F1", "exit"), drop(f, "y", "F1", "exit"), drop(f, "z", "F2", "exit"),
             Unordered(E("release", file="F1"), E("release", file="F2"), E("delete", dev="D", how="last-close")))


# ---- files without an fd ------------------------------------------------------------

def vhost_only(s):
    """held by vhost-net alone, passed on by nobody: bound, not released; the process ends and takes it along"""
    if not os.path.exists("/dev/vhost-net"):
        raise Skip("no /dev/vhost-net")
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    child = f.fork("c")
    f.do("vhost x v 0")
    f.close("x")
    child.close("x")
    s.expect(born(f, "x", "F", "D", tap), hold(child, "x", "F", "fork"), E("vhost", f, file="F", dev="D", value=True),
             drop(f, "x", "F", "close"), drop(child, "x", "F", "close"))
    s.check_list()
    f.kill()
    s.expect(E("vhost", file="F", dev="D", value=False), E("release", file="F"), E("delete", dev="D", how="last-close"))


def io_uring_only(s):
    """registered with io_uring alone: not released until the ring goes"""
    f = s.fixture()
    f.open("x")
    tap = f.setiff("x", s.ifname("a"), "tap")
    answer = f.ask("uring x r")
    if not answer["ok"]:
        f.close("x")
        raise Skip("no io_uring: %s" % answer["errno"])
    f.close("x")
    s.expect(born(f, "x", "F", "D", tap), drop(f, "x", "F", "close"))
    s.check_list()
    f.do("close r")
    s.expect(E("release", file="F"), E("delete", dev="D", how="last-close"), limit=10)


SCENARIOS = [dup, dup2_elsewhere, dup2_over, dup2_by_other, dup2_same, fork, fork_of_fork, fork_no_fds, spawn,
             shared_table, shared_table_leaver, shared_table_passer_by, shared_table_heir, shared_table_fork, threads,
             thread_of_child, own_table, own_table_same_number, unshare, zombie_leader, shared_zombie_leader,
             exec_survives, exec_drops_all, exec_in_shared_table, exec_by_thread, exec_by_thread_own_table,
             scm_rights, scm_rights_cut, in_flight, in_flight_lost, in_flight_killed, pidfd_getfd, passer_by,
             seccomp_addfd, close_range, close_range_cloexec, close_range_unshare, close_range_unshare_all, many_exits,
             killed, vhost_only, io_uring_only]
