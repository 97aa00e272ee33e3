#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`tapwatch list` and `tapwatch who` on this kernel, as root. Speaks TAP.

    tests/live/list.py [--only NAME]... [--tapwatch PATH] [--helpers DIR] [--seed NAME] [--list]

Fixture processes make the state, and what tapwatch tells of it is compared
exactly. Foreign devices on the machine do no harm: only rows of the
scenario's own processes, namespaces and interface names are looked at.
"""
import argparse
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from datetime import datetime, timezone

import fcntl
import termios

import points
import tw
from cli import tapwatch, want
from tw import Failure, Skip, quiet

SEED = []       # options for every run


def run(*args, status=0, **options):
    """stdout of a tapwatch that must end with this status, and say nothing unless it fails."""
    got, out, err = tapwatch(*args, **options)
    want(got == status, "status of: tapwatch %s" % " ".join(args), got, out, err)
    want(bool(err) == bool(status), "stderr of: tapwatch %s" % " ".join(args), err)
    return out if not status else err


def listed(s, *args):
    """The scenario's rows of `list --json`, in the order told."""
    document = json.loads(run("list", "--json", *SEED, *args))
    want(list(document) == ["bindings"], "one member", list(document))
    pids = {f.pid for f in s.fixtures}
    return [r for r in document["bindings"] if r.get("pid") in pids or str(r.get("ifname", "")).startswith(s.prefix)]


def expect(rows, *patterns):
    """Exactly these rows, each with at least these members; a member that is None must be absent."""
    text = ["told:"] + ["  " + json.dumps(r) for r in rows] + ["expected:"] + ["  %r" % p for p in patterns]
    if len(rows) != len(patterns):
        raise Failure("\n".join(["%d rows instead of %d" % (len(rows), len(patterns))] + text))
    for row, pattern in zip(rows, patterns):
        for key, value in pattern.items():
            if row.get(key) != value:
                raise Failure("\n".join(["%s is %r instead of %r in %s" % (key, row.get(key), value, row)] + text))


def holder(f, slot, **members):
    return dict({"pid": f.pid, "fd": f.fds[slot], "command": "tapfix", "uid": 0, "user": "root"}, **members)


def words_of(line):
    return line.split()


def story(s):
    """the same name twice: one held and moved to a namespace, one without holder in the old one"""
    ns, f = s.netns("fooz"), s.fixture()
    name, home = s.ifname("a"), tw.own_netns()
    s.ip("tuntap", "add", name, "mode", "tap")
    f.open("x")
    f.setiff("x", name, "tap")
    s.ip("link", "set", name, "netns", ns.name)
    s.ip("tuntap", "add", name, "mode", "tap")
    rows = listed(s)
    here = dict(state="no-holder", pid=None, fd=None, uid=None, file=None, ifname=name, kind="tap", netns=home)
    there = holder(f, "x", state="bound", ifname=name, kind="tap", netns=ns.inode, netns_name=ns.name,
                   socket_netns=home, process_netns=home)
    expect(rows, here, there)
    want(rows[0]["device"] != rows[1]["device"], "two devices", rows)
    table = [line for line in run("list", *SEED).splitlines() if name in line]
    want(len(table) == 2 and "no-holder" in table[0] and ns.name not in table[0], "the one without holder", table)
    want(words_of(table[1])[:4] == ["tapfix", str(f.pid), "root", str(f.fds["x"])] and ns.name in table[1],
         "the one that is held", table)
    document = json.loads(run("who", name, "--json", *SEED))
    want(document["ifname"] == name and len(document["devices"]) == 2, "who --json", document)
    expect(document["devices"], dict(netns=home, holders=[], state="no-holder"),
           dict(netns=ns.inode, netns_name=ns.name))
    expect(document["devices"][1]["holders"],
           holder(f, "x", exe=os.path.join(os.path.realpath(tw.Settings.helpers), "tapfix"), state="bound"))
    text = run("who", name, *SEED)
    want("held by nobody" in text and ("tapfix (pid %d, user root) through fd %d" % (f.pid, f.fds["x"])) in text
         and "%s[%d]" % (ns.name, ns.inode) in text, "who", text)


def states(s):
    """bound, disabled, unbound, no-holder; several queues; one file in two processes"""
    f = s.fixture()
    f.open("a")
    f.setiff("a", s.ifname("m"), "tap", "multi_queue", "vnet_hdr")
    f.open("b")
    f.setiff("b", s.ifname("m"), "tap", "multi_queue", "vnet_hdr")
    f.do("queue b detach")
    f.open("c")
    f.open("path", "opath")
    f.open("t")
    f.setiff("t", s.ifname("t"), "tun")
    f.dup("t", "t2")
    child = f.do("fork C")["pid"]
    s.ip("tuntap", "add", s.ifname("p"), "mode", "tun", "user", "1000")
    s.pids.add(child)
    s.fixtures[0].do("@C close a")
    s.fixtures[0].do("@C close b")
    s.fixtures[0].do("@C close c")
    s.fixtures[0].do("@C close t2")
    rows = [r for r in json.loads(run("list", "--json", *SEED))["bindings"]
            if r.get("pid") in (f.pid, child) or str(r.get("ifname", "")).startswith(s.prefix)]
    multi = dict(ifname=s.ifname("m"), kind="tap", queues=1)
    tun = dict(ifname=s.ifname("t"), kind="tun", state="bound", mac=None)
    expect(rows, holder(f, "a", state="bound", **multi), holder(f, "b", state="disabled", **multi),
           dict(ifname=s.ifname("p"), kind="tun", state="no-holder", pid=None),
           holder(f, "t", **tun), holder(f, "t2", **tun), dict(tun, pid=child, fd=f.fds["t"]),
           holder(f, "c", state="unbound", ifname=None, device=None, netns=None, socket_netns=tw.own_netns()))
    want("multi_queue" in rows[0]["flags"] and "vnet_hdr" in rows[0]["flags"], "flags", rows[0])
    want(rows[0]["device"] == rows[1]["device"] and rows[0]["file"] != rows[1]["file"], "one device, two files", rows)
    want(len({r["file"] for r in rows[3:6]}) == 1, "one file by three fds", rows)
    want(len(rows[0]["mac"]) == 17, "mac", rows[0])


def in_flight(s):
    """a file that no fd refers to, but a message under way: bound, without a process; who says so"""
    f, name = s.fixture(), s.ifname("f")
    s.pids.add(f.do("fork C")["pid"])
    f.open("x")
    f.setiff("x", name, "tap")
    f.do("sendfd x C")
    f.close("x")
    if SEED[-1:] in ([], ["iter"]):
        expect(listed(s), dict(state="bound", ifname=name, pid=None, fd=None, queues=1, socket_netns=tw.own_netns()))
        want("held without an fd" in run("who", name, *SEED), "who", name)
    f.do("@C recvfd y parent")
    rows = [r for r in listed(s) if r.get("pid") != f.pid]
    want(len(rows) == 1 and rows[0]["state"] == "bound" and rows[0].get("fd"), "received", rows)


def orphaned(s):
    """a file whose device was deleted under it"""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("o"), "tap")
    s.ip("link", "del", s.ifname("o"))
    rows = listed(s)
    expect(rows, holder(f, "x", ifname=None, device=None))
    want(rows[0]["state"] == "orphaned", "state", rows)
    s.note("told as %s" % rows[0]["state"])


class Mounted:
    """The namespace a process is in, kept by a bind mount at no usual place."""
    def __init__(self, pid):
        self.directory = tempfile.mkdtemp(prefix="tapwatch-list-")
        self.path = os.path.join(self.directory, "a place")
        with open(self.path, "w", encoding="ascii"):
            pass
        done = subprocess.run(["mount", "--bind", "/proc/%d/ns/net" % pid, self.path], check=False)
        if done.returncode:
            self.end()
            raise Skip("cannot bind-mount a namespace here")

    def end(self):
        quiet("umount", self.path)
        shutil.rmtree(self.directory)


def lonely_device(s, tail):
    """A persistent tap in a namespace of its own; the process is still in it. (fixture, inode, name)"""
    f, name = s.fixture(), s.ifname(tail)
    inode = f.do("unshare net")["netns"]
    f.open("x")
    f.setiff("x", name, "tap")
    f.do("persist x 1")
    return f, inode, name


def hidden_namespaces(s):
    """devices without holder in namespaces known by a process, an fd, or a bind mount only"""
    home = "setns /proc/%d/ns/net" % os.getpid()
    p, p_inode, p_name = lonely_device(s, "p")
    p.close("x")
    f, f_inode, f_name = lonely_device(s, "f")
    f.do("nsfd n")
    f.close("x")
    f.do(home)
    m, m_inode, m_name = lonely_device(s, "m")
    mount = Mounted(m.pid)
    try:
        m.close("x")
        m.do(home)
        got = {r["ifname"]: r for r in listed(s)}
        for name, inode, label in ((p_name, p_inode, None), (f_name, f_inode, None), (m_name, m_inode, mount.path)):
            want(name in got, "%s is missing" % name, got)
            expect([got[name]], dict(state="no-holder", netns=inode, netns_name=label, pid=None))
        table = run("list", "-r", "-o", "IFNAME,NETNS,NETNS_INODE", *SEED).splitlines()
        labels = {w[0]: w[1:] for w in map(words_of, table)}
        want(labels[p_name] == ["pid:%d\\x20tapfix" % p.pid, str(p_inode)], "by process", labels[p_name])
        want(labels[f_name] == [str(f_inode), str(f_inode)], "by fd", labels[f_name])
        want(labels[m_name] == [mount.path.replace(" ", "\\x20"), str(m_inode)], "by mount", labels[m_name])
        text = run("who", f_name, *SEED)
        want("/proc/%d/fd/" % f.pid in text, "who searches further", text)
        by_path = listed(s, "-N", mount.path)
        want([r["ifname"] for r in by_path] == [m_name], "-N PATH", by_path)
    finally:
        mount.end()


def cgroup_label(s):
    """a namespace is called by the machine whose cgroup its processes are in"""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        roots = [line.split()[4] for line in mounts if " - cgroup2 " in line]
    if not roots:
        raise Skip("cgroup v2 is mounted nowhere")
    path = os.path.join(roots[0], "machine-qemu\\x2d1\\x2d%s.scope" % s.prefix)
    f = s.fixture()
    try:
        os.mkdir(path)
        with open(path + "/cgroup.procs", "w", encoding="ascii") as procs:
            procs.write(str(f.pid))
    except OSError as error:
        raise Skip("cannot make a cgroup: %s" % error)
    try:
        f.do("unshare net")
        f.open("x")
        f.setiff("x", s.ifname("x"), "tap")
        line = [words_of(w) for w in run("list", "-r", "-o", "pid,netns", *SEED).splitlines()]
        want([str(f.pid), "qemu-1-" + s.prefix] in line, "label", line)
    finally:
        f.end()
        os.rmdir(path)


def columns(s):
    """-o, +COL, --list-columns, -n, -r, -J with columns, and wrong ones"""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("x"), "tap")
    mine = ("-p", str(f.pid)) + tuple(SEED)
    default = run("list", *mine).splitlines()
    want(len(default) == 2 and words_of(default[0]) == ["COMMAND", "PID", "USER", "FD", "STATE", "KIND", "IFNAME", "IFINDEX",
                                                        "NETNS"], "default columns", default)
    want(max(map(len, default)) <= 100, "width", default)
    want(run("list", "-n", *mine).splitlines() == [run("list", *mine).splitlines()[1]], "-n")
    want(run("list", "-o", "fd,PID", *mine).split() == ["FD", "PID", str(f.fds["x"]), str(f.pid)], "-o")
    added = run("list", "-o", "+mac,FLAGS", *mine).splitlines()
    want(words_of(added[0]) == words_of(default[0]) + ["MAC", "FLAGS"], "-o +COL", added)
    want(json.loads(run("list", "-J", "-o", "ifname,pid,netns_name", *mine)) ==
         {"bindings": [{"ifname": s.ifname("x"), "pid": f.pid}]}, "-J -o: what is unknown is absent")
    names = [words_of(line)[0] for line in run("list", "--list-columns").splitlines()]
    contract = ("pid command user uid fd state kind ifname ifindex netns netns_name netns_cookie socket_netns "
                "process_netns mac flags queues file device vm_type vm_name vm_uuid").split()
    want(names[:len(contract)] == [c.upper() for c in contract], "--list-columns", names)
    everything = run("list", "-r", "-o", ",".join(names), *mine).splitlines()
    want([len(line.split(" ")) for line in everything] == [len(names)] * 2, "-r: one word a column", everything)
    for bad in ("nope", "", "pid,,fd", "+nope"):
        err = run("list", "-o", bad, status=2)
        want(err == "tapwatch: unknown column '%s'; see 'tapwatch list --list-columns'\n"
             % bad.lstrip("+").replace("pid,,fd", ""), "-o %s" % bad, err)


def usage(s):
    """what makes no sense is refused with status 2"""
    for args in (("list", "x"), ("list", "-e", "attach"), ("list", "--at", "sometime"), ("list", "--db", "/x"),
                 ("list", "--seed", "none"), ("list", "--seed", "tea"), ("list", "-J", "-r"), ("who",),
                 ("who", "a", "b"), ("who", "a", "--fd", "1:2"), ("who", "--fd", "1"), ("who", "--fd", "a:1"),
                 ("who", "--fd", "1:2x"), ("who", "--fd", "0:2"), ("who", "--fd", ":2"), ("who", "--fd", "-1:2")):
        err = run(*args, status=2)
        want(err.startswith("tapwatch: ") and len(err.splitlines()) == 1, " ".join(args), err)
    for command in ("list", "who"):
        want("Usage: tapwatch %s" % command in run(command, "--help"), "--help")


def graph(s):
    """--dot: valid, whatever a name is made of; each device once, a line from its holder; --stale: what nobody holds"""
    f, ns = s.fixture(), s.netns("n")
    names = {"a": s.ifname("a"), "b": s.ifname('"&lt;\\'), "c": s.ifname("c")}
    for slot in "ab":
        f.open(slot)
        f.setiff(slot, names[slot], "tap", "multi_queue")
    f.open("a2")
    f.setiff("a2", names["a"], "tap", "multi_queue")
    s.ip("tuntap", "add", names["c"], "mode", "tap")
    s.ip("link", "set", names["c"], "netns", ns.name)
    filters = ("-i", s.prefix + "*")
    out = run("list", "--dot", *SEED, *filters)
    nodes = dict(re.findall(r'^    (d\d+) \[label="(.*)  tap', out, re.M))
    want(sorted(nodes.values()) == sorted([names["a"], names["b"].replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;"), names["c"]]),
         "devices", out)
    lines = re.findall(r'^  p(\d+):e -- (d\d+):w \[label="fd([ \d]+)"', out, re.M)
    want(sorted((p, nodes[d][len(s.prefix):][:1], fds.split()) for p, d, fds in lines) ==
         sorted([(str(f.pid), "a", [str(f.fds["a"]), str(f.fds["a2"])]), (str(f.pid), "\\", [str(f.fds["b"])])]),
         "fds", out)
    want("subgraph cluster_%d {\n    label=\"%s[%d]\"" % (ns.inode, ns.name, ns.inode) in out, "namespace", out)
    if shutil.which("dot"):
        done = subprocess.run(["dot", "-Tsvg"], input=out.encode(), capture_output=True, timeout=tw.seconds(30), check=False)
        want(done.returncode == 0 and not done.stderr and b"</svg>" in done.stdout, "dot -Tsvg", done.stderr)
        svg = run("list", "--svg", "-", *SEED, *filters)
        ElementTree.fromstring(svg)
        want("DOCTYPE" not in svg and names["b"].replace("&", "&amp;").replace('"', "&quot;") in svg, "--svg", svg)
    err = run("list", "--svg", "-", *SEED, *filters, status=1, env=dict(os.environ, PATH="/nowhere"))
    want(err == "tapwatch: cannot run dot: No such file or directory; install graphviz\n", "without Graphviz", err)
    rows = [r["ifname"] for r in listed(s, "--stale", *filters)]
    want(rows == [names["c"]], "--stale", rows)
    for args in (("--dot", "--json"), ("--svg", "-", "--json"), ("--svg", "-", "--dot")):
        run("list", *args, status=2)


def filters(s):
    """every filter leaves what it says; list --pid that matches nothing is status 1"""
    ns = s.netns("n")
    f, g = s.fixture(), s.fixture(ns)
    f.do("comm tw-first")
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    f.open("u")
    g.open("y")
    g.setiff("y", s.ifname("b"), "tun")
    g.do("setuid 1000")
    s.ip("tuntap", "add", s.ifname("p"), "mode", "tap", netns=ns)
    x, u, y, p = (f.pid, f.fds["x"]), (f.pid, f.fds["u"]), (g.pid, g.fds["y"]), (None, None)
    for args, expected in (((), [x, y, p, u]), (("-p", str(f.pid)), [x, u]), (("-p", "%d,%d" % (f.pid, g.pid)), [x, y, u]),
                           (("-i", s.ifname("[ab]")), [x, y]), (("-N", ns.name), [y, p]), (("-N", str(ns.inode)), [y, p]),
                           (("-N", "pid:%d" % g.pid), [y, p]), (("-N", ns.path), [y, p]), (("--comm", "tw-f*"), [x, u]),
                           (("--kind", "tun"), [y]), (("--kind", "tap", "-N", ns.name), [p]), (("-u", "1000"), [y]),
                           (("--vm", "*"), [])):
        got = [(r.get("pid"), r.get("fd")) for r in listed(s, *args)]
        want(got == expected, "list %s" % " ".join(args), got, expected)
    err = run("list", "-p", str(f.pid), "--kind", "tun", status=1)
    want(err.startswith("tapwatch: "), "nothing matched", err)
    want(run("list", "-i", s.ifname("none")) == "", "no rows, no table")
    want(json.loads(run("list", "-J", "-i", s.ifname("none"))) == {"bindings": []}, "no rows in JSON")
    want(len(json.loads(run("who", s.ifname("b"), "-J", "-N", ns.name))["devices"]) == 1, "who -N")
    run("who", s.ifname("a"), "-N", ns.name, status=1)


def hostile(s):
    """names made of escapes, blanks and broken UTF-8 stay in their cells"""
    f = s.fixture()
    name = s.prefix.encode()[:8] + b"\x1b[\xff"
    f.open("x")
    f.setiff("x", name, "tap")
    f.do("comm \\x1b]0;e\\x20v\\x0a\\x07")
    mine = ("-p", str(f.pid)) + tuple(SEED)
    for args in (("list",), ("list", "-r"), ("list", "-o", "+exe"), ("list", "-J")):
        out = run(*args, *mine)
        raw = [c for c in out if ord(c) < 0x20 and c != "\n" or 0x7f <= ord(c)]
        want(not raw, "raw bytes in: %s" % " ".join(args), out)
        want(args[1:] == ("-J",) or len(out.splitlines()) == 2, "lines of: %s" % " ".join(args), out)
    want(len(run("list", "-r", "-n", *mine).split(" ")) == 9, "words of -r")
    row = json.loads(run("list", "-J", *mine))["bindings"][0]
    want(row["ifname"] == tw.text_of(name) and row["command"] == "\x1b]0;e v\n\x07", "JSON has the bytes", row)
    done = subprocess.run([tw.Settings.tapwatch, "who", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    want(done.returncode == 0 and b"\x1b" not in done.stdout and str(f.pid).encode() in done.stdout, "who", done)
    gone = subprocess.run([tw.Settings.tapwatch, "who", b"\x1b[31m"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)
    want(gone.returncode == 1 and gone.stderr == b"tapwatch: no TUN/TAP device named '\\x1b[31m' in any network namespace\n",
         "who nothing", gone)


def order(s):
    """sorted by namespace, name (as numbers), pid and fd; the same every time"""
    two, ten = s.netns("n2"), s.netns("n10")
    for place, f in ((ten, s.fixture(ten)), (two, s.fixture(two)), (None, s.fixture())):
        for tail in ("10", "2"):
            f.open(tail)
            f.setiff(tail, s.ifname(tail), "tap", "multi_queue")
            f.open(tail + "q")
            f.setiff(tail + "q", s.ifname(tail), "tap", "multi_queue")
    rows = listed(s)
    places = [r.get("netns_name") for r in rows]
    want(places == [None] * 4 + [two.name] * 4 + [ten.name] * 4, "namespaces", places)
    want([r["ifname"] for r in rows] == [s.ifname("2")] * 2 + [s.ifname("10")] * 2 + [s.ifname("2")] * 2
         + [s.ifname("10")] * 2 + [s.ifname("2")] * 2 + [s.ifname("10")] * 2, "names", rows)
    want(all(a["fd"] < b["fd"] for a, b in zip(rows[::2], rows[1::2])), "fds", rows)
    first = run("list", *SEED, "-i", s.prefix + "*")
    for _ in range(3):
        want(run("list", *SEED, "-i", s.prefix + "*") == first, "another order", first)


def terminal(s):
    """on a narrow terminal the less important columns are cut, the others never"""
    f = s.fixture(s.netns("with-a-very-long-name-that-nobody-can-read"))
    f.do("comm abcdefghijklmno")
    f.open("x")
    f.setiff("x", s.ifname("x"), "tap")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 72, 0, 0))
    process = subprocess.Popen([tw.Settings.tapwatch, "list", "-p", str(f.pid)] + SEED, stdin=slave, stdout=slave,
                               stderr=subprocess.PIPE)
    os.close(slave)
    out = b""
    try:
        while True:
            out += os.read(master, 4096)
    except OSError:     # the other side is closed
        pass
    os.close(master)
    want(process.wait() == 0, "status", process.stderr.read())
    process.stderr.close()
    lines = out.decode().splitlines()
    want(len(lines) == 2 and max(map(len, lines)) <= 72, "width", lines)
    want(s.ifname("x") in lines[1] and " %d " % f.pid in lines[1] and " bound " in lines[1], "what must stay", lines)


def who_fd(s):
    """who --fd: bound, unbound, shared; and why not: no process, no fd, no TUN/TAP file, O_PATH"""
    ns, f = s.netns("n"), s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    s.ip("link", "set", s.ifname("a"), "netns", ns.name)
    f.open("u")
    f.open("path", "opath")
    child = f.do("fork C")["pid"]
    f.do("@C close u")
    home = tw.own_netns()
    def one(slot):
        return "%d:%d" % (f.pid, f.fds[slot])
    document = json.loads(run("who", "--fd", one("x"), "-J", *SEED))
    expect([document], holder(f, "x", state="bound", socket_netns=home, process_netns=home))
    expect([document["device"]], dict(ifname=s.ifname("a"), netns=ns.inode, netns_name=ns.name))
    expect(document["other_holders"], dict(pid=child, fd=f.fds["x"], file=document["file"]))
    text = run("who", "--fd", one("x"), *SEED)
    want(text.startswith("fd %d of tapfix (pid %d, user root): a queue of %s\n" % (f.fds["x"], f.pid, s.ifname("a")))
         and "%s[%d]" % (ns.name, ns.inode) in text and "(pid %d" % child in text, "text", text)
    expect([json.loads(run("who", "--fd", one("u"), "-J", *SEED))], holder(f, "u", state="unbound", device=None,
                                                                            other_holders=[]))
    want("bound to no interface yet" in run("who", "--fd", one("u"), *SEED), "unbound")
    for word, text in ((one("path"), "O_PATH"), ("%d:0" % f.pid, "no TUN/TAP file but pipe:"),
                       ("%d:999" % f.pid, "process %d has no fd 999" % f.pid), ("4194999:3", "no process 4194999")):
        err = run("who", "--fd", word, *SEED, status=1)
        want(err.startswith("tapwatch: ") and text in err and len(err.splitlines()) == 1, "--fd %s" % word, err)


def who_start(s):
    """who tells since when the process runs"""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    told = json.loads(run("who", s.ifname("a"), "-J", *SEED))["devices"][0]["holders"][0]["start"]
    with open("/proc/%d/stat" % f.pid, encoding="ascii") as stat, open("/proc/stat", encoding="ascii") as machine:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
        boot = [int(line.split()[1]) for line in machine if line.startswith("btime ")][0]
    expected = boot + ticks / os.sysconf("SC_CLK_TCK")
    got = datetime.strptime(told, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    want(abs(got - expected) <= 2, "start", told, expected)
    want("running since" in run("who", s.ifname("a"), *SEED), "text")


def no_privileges(s):
    """without privileges: what may not be seen is said, never passed over"""
    def nobody():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        program = os.path.join(directory, "tapwatch")
        shutil.copy(tw.Settings.tapwatch, program)
        os.chmod(program, 0o755)
        for args in (("list",), ("who", s.ifname("a"))):
            _, out, err = tapwatch(*args, program=program, preexec_fn=nobody)
            first = err.splitlines()[:1]
            want(not out and first and first[0].startswith("tapwatch: ") and "run it as root" in first[0],
                 " ".join(args), out, err)


def closed_pipe(s):
    """a reader that goes away is no error"""
    for args in (("list",), ("list", "-J"), ("list", "--list-columns"), ("who", s.ifname("a"))):
        s.ip("tuntap", "add", s.ifname("a"), "mode", "tap")
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([tw.Settings.tapwatch] + list(args), stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        s.ip("tuntap", "del", s.ifname("a"), "mode", "tap")
        want(done.returncode == 0 and not done.stderr, " ".join(args), done)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([tw.Settings.tapwatch, "list", "-J"], stdout=full, stderr=subprocess.PIPE, check=False)
        want(done.returncode == 1 and done.stderr.startswith(b"tapwatch: cannot write"), "a full disk", done)


SCENARIOS = [story, states, in_flight, orphaned, hidden_namespaces, cgroup_label, columns, usage, graph, filters, hostile, order, terminal,
             who_fd, who_start, no_privileges, closed_pipe]


def each(function, notes):
    s = tw.Scenario()
    try:
        function(s)
        notes += s.notes
    finally:            # also when it is SIGTERM that ends us
        s.cleanup()


def main():
    parser = argparse.ArgumentParser(description="live tests of list and who, TAP output")
    parser.add_argument("--tapwatch", default=tw.Settings.tapwatch)
    parser.add_argument("--helpers", default=tw.Settings.helpers, help="where tapfix is")
    parser.add_argument("--seed", help="by this back-end only")
    parser.add_argument("--only", action="append", help="a scenario; may be repeated")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()

    chosen = points.chosen(SCENARIOS, args.only)
    if args.list:
        print("\n".join(map(points.name, chosen)))
        return 0
    tw.Settings.tapwatch, tw.Settings.helpers = os.path.abspath(args.tapwatch), os.path.abspath(args.helpers)
    if args.seed:
        SEED.extend(["--seed", args.seed])
    for needed in (tw.Settings.tapwatch, os.path.join(tw.Settings.helpers, "tapfix")):
        if not os.access(needed, os.X_OK):
            print("Bail out! %s is not there: build it first" % needed)
            return 1
    if os.geteuid():
        print("Bail out! needs root")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return points.run("list/", chosen, each, lambda function: not tw.NOSKIP)


if __name__ == "__main__":
    sys.exit(main())
