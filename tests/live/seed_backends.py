#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""All seed back-ends over the same crowd, and what they must not do to it. As root; speaks TAP.

    tests/live/seed_backends.py [--helpers DIR] [--only NAME]...

Environment: TW_TIMEOUT_FACTOR and TW_NOSKIP as in scenarios.py;
TW_INSPECTIONS is how often each thread of a busy process is inspected (1000);
TW_VM says that this is a throw-away guest, whose sysctls may be changed.
"""
import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

import points
import tw
from tw import Failure, Scenario, Settings, Skip

BACKENDS = ("iter", "pidfd", "fdinfo", "ptrace")
INSPECTIONS = int(os.environ.get("TW_INSPECTIONS", "1000"))
PTRACE_SEIZE, PTRACE_DETACH, PTRACE_INTERRUPT = 0x4206, 17, 0x4207
MULTI_QUEUE = 0x100


class Unavailable(Skip):
    """The back-end does not work on this kernel, and says why."""


class Target:
    """A helper program that prints a line of JSON, and answers lines with lines until its stdin ends."""
    def __init__(self, s, program, *args):
        self.process = subprocess.Popen([os.path.join(Settings.helpers, program)] + list(args), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0)
        s.targets.append(self)
        self.pid = self.process.pid
        self.facts = json.loads(self.line() or "{}")
        if not self.facts:
            raise Failure("%s did not start" % program)

    def line(self):
        data = b""
        while not data.endswith(b"\n"):
            byte = self.process.stdout.read(1)
            if not byte:
                raise Failure("pid %d ended: status %s" % (self.pid, self.process.wait()))
            data += byte
        return data.decode()

    def ask(self):
        self.process.stdin.write(b"?\n")
        return json.loads(self.line())

    def end(self):
        if self.process.stdin.closed:
            return self.process.returncode
        self.process.stdin.close()
        try:
            status = self.process.wait(tw.seconds(10))
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        return status


class Crowd(Scenario):
    def __init__(self):
        super().__init__()
        self.targets = []

    def target(self, program, *args):
        return Target(self, program, *args)

    def cleanup(self):
        for target in self.targets:
            target.end()
        super().cleanup()


class Seed:
    """What one run of a back-end told about these processes."""
    def __init__(self, backend, pids, prefix="", wrapper=()):
        program = os.path.join(Settings.helpers, "seed_dump")
        command = list(wrapper) + [program, backend] + [str(p) for p in sorted(pids)]
        for _ in range(5):
            self.output = self._run(backend, command)
            # it gives up in time: on a machine with other things to do that is no failure, but no answer either
            if not any(why in self.output for why in ("it took too long", "lock is busy", "does not stop")):
                break
        rows = [json.loads(line) for line in self.output.splitlines()]
        self.report = rows.pop()
        self.notes = [r["note"] for r in rows if "note" in r]
        self.rows = {(r["pid"], r["fd"], r["file"]): r for r in rows if "fd" in r}
        self.lonely = sorted((r["netns"], r["ifname"], r["kind"]) for r in rows if r.get("state") == "no-holder"
                             and r["ifname"].startswith(prefix))

    @staticmethod
    def _run(backend, command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=tw.seconds(60))
        output = done.stdout.decode(errors="replace")
        if done.returncode == 3:
            raise Unavailable("seed %s: %s" % (backend, output.strip()))
        if done.returncode:
            raise Failure("%s: status %d: %s" % (" ".join(command), done.returncode, output))
        return output

    def row(self, pid, fd):
        found = [r for (p, f, _), r in self.rows.items() if (p, f) == (pid, fd)]
        if len(found) != 1:
            raise Failure("fd %d of pid %d is told %d times:\n%s" % (fd, pid, len(found), self.output))
        return found[0]

    def plain(self, but=()):
        """Rows without ids: what two runs must agree on. `but` are members left out."""
        ids = {"file", "device", "tid"}
        return sorted(({k: v for k, v in r.items() if k not in ids and k not in but} for r in self.rows.values()),
                      key=lambda r: (r["pid"], r["fd"]))

    def classes(self, member):
        """Which rows have the same id: {(pid, fd), …} per id."""
        groups = {}
        for (pid, fd, _), row in self.rows.items():
            groups.setdefault(row.get(member), set()).add((pid, fd))
        return sorted(map(sorted, groups.values()))


def available(backend):
    try:
        Seed(backend, [os.getpid()])
        return True
    except Unavailable as reason:
        tw.comment(reason)
        return False


def same(expected, got, what):
    if expected != got:
        raise Failure("%s:\nexpected %s\ngot      %s" % (what, "\n         ".join(map(str, expected)),
                                                        "\n         ".join(map(str, got))))


def crowd(s):
    """holders of every kind, in two namespaces; none of the names is there twice"""
    ns = s.netns("n")
    f, g, h = s.fixture(), s.fixture(ns), s.fixture()
    f.open("tap")
    f.setiff("tap", s.ifname("a"), "tap", "vnet_hdr")
    f.open("none")
    f.open("opath", "opath")
    f.open("one")
    f.setiff("one", s.ifname("m"), "tap", "multi_queue")
    f.open("two")
    f.setiff("two", s.ifname("m"), "tap", "multi_queue")
    f.dup("tap", "again")
    g.open("tun")
    g.setiff("tun", s.ifname("t"), "tun")
    g.open("orphan")
    g.setiff("orphan", s.ifname("o"), "tap")
    s.ip("link", "del", s.ifname("o"), netns=ns)
    h.open("away")
    h.setiff("away", s.ifname("w"), "tap")
    s.ip("link", "set", s.ifname("w"), "netns", ns.name)
    child = f.do("fork C")["pid"]
    s.pids.add(child)
    s.ip("tuntap", "add", s.ifname("p"), "mode", "tap")
    return f, g, h, {f.pid, g.pid, h.pid, child}


def orphans_look_unbound(row):
    """Only iter can tell a file whose device was deleted from one that never had any."""
    return dict(row, state="unbound") if row["state"] == "orphaned" else row


def agree(s, backend, but, adjust=orphans_look_unbound):
    g, pids = crowd(s)[1::2]
    want, got = Seed("iter", pids, s.prefix), Seed(backend, pids, s.prefix)
    states = [seed.row(g.pid, g.fds["orphan"])["state"] for seed in (want, got)]
    same(["orphaned", "unbound"], states, "the orphan")
    if len(want.rows) != 13:
        raise Failure("iter tells %d fds:\n%s" % (len(want.rows), want.output))
    same([adjust(r) for r in want.plain(but)], got.plain(but), "rows")
    for member in ("file", "device"):
        same(want.classes(member), got.classes(member), "which have the same " + member)
    same(want.lonely, got.lonely, "devices without holder")
    if [r for r in got.rows.values() if set(but) & set(r)]:
        raise Failure("knows what it should not:\n" + got.output)


def pidfd_agrees(s):
    """pidfd tells what iter tells, but that a file is orphaned"""
    agree(s, "pidfd", ())


def fdinfo_agrees(s):
    """fdinfo tells what iter tells, but that a file is orphaned and the socket's namespace"""
    agree(s, "fdinfo", ("socket_netns",))


def ptrace_agrees(s):
    """ptrace tells what iter tells, but that a file is orphaned and the socket's namespace"""
    agree(s, "ptrace", ("socket_netns",))


def disabled_queue(s):
    """a queue that is detached: all know it but fdinfo"""
    f = s.fixture()
    f.open("one")
    f.setiff("one", s.ifname("m"), "tap", "multi_queue")
    f.open("two")
    f.setiff("two", s.ifname("m"), "tap", "multi_queue")
    f.do("queue two detach")
    for backend in filter(available, BACKENDS):
        states = [Seed(backend, [f.pid]).row(f.pid, f.fds[slot])["state"] for slot in ("one", "two")]
        same(["bound", "bound" if backend == "fdinfo" else "disabled"], states, backend)


def same_name_twice(s):
    """one name in two namespaces: all tell them apart but fdinfo, which says so and guesses nothing"""
    ns = s.netns("n")
    f, g = s.fixture(), s.fixture(ns)
    for fixture in (f, g):
        fixture.open("x")
        fixture.setiff("x", s.ifname("a"), "tap")
    for backend in filter(available, BACKENDS):
        seed = Seed(backend, [f.pid, g.pid])
        rows = [seed.row(fixture.pid, fixture.fds["x"]) for fixture in (f, g)]
        if backend != "fdinfo":
            same([tw.own_netns(), ns.inode], [r.get("netns") for r in rows], backend)
            continue
        same([s.ifname("a")] * 2, [r.get("name_only") for r in rows], "fdinfo")
        same([None] * 4, [r.get(k) for r in rows for k in ("netns", "device")], "fdinfo")
        if not all(any("fd %d of pid %d: name %s is ambiguous" % (x.fds["x"], x.pid, s.ifname("a")) in n and
                       str(ns.inode) in n and str(tw.own_netns()) in n for n in seed.notes) for x in (f, g)):
            raise Failure("fdinfo does not tell the candidates:\n" + seed.output)


def hidden_namespace(s):
    """a namespace that only the fd itself keeps alive, and in which a name is that is elsewhere, too"""
    f, g = s.fixture(), s.fixture()
    hidden = f.do("unshare net")["netns"]
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    f.do("setns /proc/%d/ns/net" % os.getpid())
    for backend in filter(available, BACKENDS):
        row = Seed(backend, [f.pid]).row(f.pid, f.fds["x"])
        same([None if backend == "fdinfo" else hidden], [row.get("netns")], backend)
    g.open("x")
    g.setiff("x", s.ifname("a"), "tap")
    seed = Seed("fdinfo", [f.pid, g.pid])
    same([None, None], [seed.row(x.pid, x.fds["x"]).get("netns") for x in (f, g)], "two files, one device in sight")


def no_capability(s):
    """a holder without CAP_NET_ADMIN: by ptrace its namespace is found by name and address"""
    ns = s.netns("n")
    f, g = s.fixture(), s.fixture(ns)
    for fixture, tail in ((f, "a"), (g, "a"), (g, "b")):
        fixture.open(tail)
        fixture.setiff(tail, s.ifname(tail), "tap")
    g.open("t")
    g.setiff("t", s.ifname("t"), "tun")
    g.do("setuid 1000")
    for backend in filter(available, ("iter", "pidfd", "ptrace")):
        seed = Seed(backend, [f.pid, g.pid])
        same([tw.own_netns(), ns.inode, ns.inode, ns.inode],
             [seed.row(x.pid, x.fds[tail]).get("netns") for x, tail in ((f, "a"), (g, "a"), (g, "b"), (g, "t"))],
             backend)


def tables(s):
    """fd tables of one thread, of two processes, and of threads without a leader"""
    own, shared, zombie = (s.target("tables_target", kind, s.ifname(kind[0])) for kind in ("own", "shared", "zombie"))
    pids = [own.pid, shared.pid, shared.facts["tid"], zombie.pid]
    want = Seed("iter", pids)
    for backend in filter(available, BACKENDS):
        seed = Seed(backend, pids)
        but = ("socket_netns",)
        same(want.plain(but), seed.plain(but), backend)
        if len(seed.rows) != 4:
            raise Failure("%s tells %d rows, one per process and table expected:\n%s" % (backend, len(seed.rows), seed.output))
        for target, tail in ((own, "o"), (zombie, "z")):
            row = seed.row(target.pid, target.facts["fd"])
            same([s.ifname(tail), target.facts["tid"]], [row.get("ifname"), row["tid"]], backend)


def seccomp(s):
    """processes whose seccomp filter kills them at any unusual call survive every back-end"""
    targets = []
    for kind in ("kill", "trap", "errno"):
        target = s.target("seccomp_target", kind, s.ifname(kind))
        if target.line() != "!\n":
            raise Failure("no filter")
        targets.append(target)
    for backend in filter(available, BACKENDS):
        for target in targets:
            row = Seed(backend, [target.pid]).row(target.pid, target.facts["fd"])
            same([target.facts["ifname"], "bound"], [row.get("ifname"), row["state"]], backend)
            target.process.stdin.write(b"x")
            if target.process.stdout.read(1) != b"x":
                raise Failure("%s: the %s target is dead: status %s" % (backend, target.facts["ifname"],
                                                                       target.process.wait()))


def seccomp_not_suspended(s):
    """where the filter cannot be suspended, ptrace leaves the process alone and says so"""
    if not available("ptrace"):
        raise Skip("no ptrace")
    target = s.target("seccomp_target", "kill", s.ifname("k"))
    target.line()
    seed = Seed("ptrace", [target.pid], wrapper=("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin",
                                                 "--no-new-privs"))
    row = seed.row(target.pid, target.facts["fd"])
    same([target.facts["ifname"]], [row.get("ifname", row.get("name_only"))], "row by fdinfo")
    if not any("seccomp filter" in n and "PTRACE_O_SUSPEND_SECCOMP" in n for n in seed.notes):
        raise Failure("no reason is told:\n" + seed.output)
    target.process.stdin.write(b"x")
    same(b"x", target.process.stdout.read(1), "alive")


def check_busy(before, after, limited_eintr=0, who=None):
    """No thread saw anything. epoll_wait() with a time limit may end with EINTR: signal(7)."""
    for name, worker in after.items():
        if who and name != who:
            continue
        allowed = limited_eintr if name == "epoll_limit" else 0
        if worker["eintr"] - before[name]["eintr"] > allowed or worker["wrong"] or worker["early"]:
            raise Failure("%s: %s" % (name, worker))
        if worker["rounds"] <= before[name]["rounds"]:
            raise Failure("%s does not go on: %s" % (name, worker))


def busy_threads(s):
    """each thread of a busy process inspected again and again, in read, nanosleep, futex, epoll_wait, …"""
    if not available("ptrace"):
        raise Skip("no ptrace")
    target = s.target("busy_target", s.ifname("b"))
    begin = before = target.ask()
    for name in before:
        before = target.ask()
        result = s.run(os.path.join(Settings.helpers, "seed_dump"), "--inject", str(target.pid),
                       str(before[name]["tid"]), str(target.facts["fd"]), str(INSPECTIONS))
        told = json.loads(result.output)
        s.note("%s: %s" % (name, result.output.strip()))
        # a machine with other things to do may not let the tracer run in time
        if told["slow"] > INSPECTIONS // 100 and "TW_VM" not in os.environ:
            raise Failure("%s was stopped too long %d times, once for %d us" % (name, told["slow"], told["max_us"]))
        # 50 ms of real time may be over before a slow machine has done it: then it is given up, which harms as
        # little, and is all that is asked of every inspection there
        enough = INSPECTIONS if tw.FACTOR == 1 else INSPECTIONS // 2
        if not enough <= told["good"] + told["again"] <= INSPECTIONS or (
                told["again"] and name not in ("compute", "signal")):
            raise Failure("%s: %s" % (name, result.output))
        wait_for(lambda: all(w["rounds"] > before[n]["rounds"] for n, w in target.ask().items()), "rounds")
        check_busy(before, target.ask(), INSPECTIONS, name)
    check_busy(begin, target.ask(), INSPECTIONS)
    same(0, target.end(), "status")


def wait_for(condition, what, limit=20):
    end = time.monotonic() + tw.seconds(limit)
    while not condition():
        if time.monotonic() > end:
            raise Failure("waited in vain for " + what)


def busy_process(s):
    """the back-end itself over a busy process: no thread notices anything"""
    if not available("ptrace"):
        raise Skip("no ptrace")
    target = s.target("busy_target", s.ifname("b"))
    before = target.ask()
    for _ in range(max(INSPECTIONS // 20, 3)):
        row = Seed("ptrace", [target.pid]).row(target.pid, target.facts["fd"])
        same([s.ifname("b"), tw.own_netns()], [row.get("ifname"), row.get("netns")], "row")
    wait_for(lambda: all(w["rounds"] > before[n]["rounds"] for n, w in target.ask().items()), "rounds")
    check_busy(before, target.ask())
    same([], [fd for fd in os.listdir("/proc/%d/fd" % target.pid)
              if os.readlink("/proc/%d/fd/%s" % (target.pid, fd)).startswith("net:")], "fds left behind")


def tracer_pid(pid):
    with open("/proc/%d/status" % pid) as status:
        return [int(line.split()[1]) for line in status if line.startswith("TracerPid:")][0]


def state_of(pid):
    """R, S, T, Z, …; X when it is gone."""
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "X"


def helper_of(pid):
    """The process that does the tracing for seed_dump, or None."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as children:
            for child in map(int, children.read().split()):
                with open("/proc/%d/comm" % child) as comm:
                    if comm.read() == "tapwatch-ptrace\n":
                        return child
    except OSError:
        pass
    return None


def killed_tapwatch(s):
    """kill -9 of tapwatch at any moment of an inspection: the process goes on as if nothing had been"""
    if not available("ptrace"):
        raise Skip("no ptrace")
    target = s.target("busy_target", s.ifname("b"))
    before = target.ask()
    command = [os.path.join(Settings.helpers, "seed_dump"), "ptrace", str(target.pid)]
    threads = [target.pid] + [w["tid"] for w in before.values()]
    rounds, alive, seen = max(INSPECTIONS // 5, 10), 0, 0
    for i in range(rounds):
        victim = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        helper = None
        while not helper and victim.poll() is None:
            helper = helper_of(victim.pid)
        begin = time.monotonic()
        while time.monotonic() - begin < 1e-5 * (i % 50):
            pass
        victim.kill()
        victim.wait()
        # it does its work to the end, alone
        while helper and state_of(helper) not in "ZX":
            seen += any(map(tracer_pid, threads))
            alive += 1
    s.note("killed %d times; looked %d times while the helper was alone, a thread was traced at %d of them" % (
        rounds, alive, seen))
    wait_for(lambda: not any(map(tracer_pid, threads)), "the end of all tracing")
    wait_for(lambda: all(w["rounds"] > before[n]["rounds"] for n, w in target.ask().items()), "rounds")
    check_busy(before, target.ask())
    same(0, target.end(), "status")


def traced_already(s):
    """a process under a debugger is left alone, with the reason"""
    if not available("ptrace"):
        raise Skip("no ptrace")
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(PTRACE_SEIZE, f.pid, None, None):
        raise Failure("cannot trace: %s" % os.strerror(ctypes.get_errno()))
    try:
        seed = Seed("ptrace", [f.pid])
    finally:
        libc.ptrace(PTRACE_INTERRUPT, f.pid, None, None)
        os.waitpid(f.pid, 0)
        libc.ptrace(PTRACE_DETACH, f.pid, None, None)
    same(s.ifname("a"), seed.row(f.pid, f.fds["x"]).get("ifname"), "row by fdinfo")
    if not any("traced already, by pid %d" % os.getpid() in n for n in seed.notes):
        raise Failure("no reason is told:\n" + seed.output)


def stopped(s):
    """a stopped process is inspected, and stays stopped until somebody lets it go on"""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    os.kill(f.pid, signal.SIGSTOP)
    wait_for(lambda: state_of(f.pid) == "T", "the stop")
    for backend in filter(available, BACKENDS):
        same(s.ifname("a"), Seed(backend, [f.pid]).row(f.pid, f.fds["x"]).get("ifname"), backend)
        wait_for(lambda: state_of(f.pid) == "T", "the stop after " + backend)
    os.kill(f.pid, signal.SIGCONT)
    same(f.pid, f.do("pid")["pid"], "goes on")


def frozen(s):
    """a process in a frozen cgroup can be stopped, but makes no call: given up in time, and unharmed"""
    with open("/proc/mounts") as mounts:
        roots = [m.split()[1] for m in mounts if m.split()[2] == "cgroup2"]
    if not roots and "TW_VM" in os.environ:
        roots = ["/sys/fs/cgroup"]
        tw.quiet("mount", "-t", "cgroup2", "none", roots[0])
    group = os.path.join(roots[0], "tw%d-%d" % (os.getpid(), Scenario.serial)) if roots else ""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    try:
        os.mkdir(group)
        with open(group + "/cgroup.procs", "w") as procs:
            procs.write(str(f.pid))
        with open(group + "/cgroup.freeze", "w") as freeze:
            freeze.write("1")
    except OSError as error:
        if os.path.isdir(group):
            os.rmdir(group)
        raise Skip("no cgroup can be frozen here: %s" % error)
    try:
        def events():
            with open(group + "/cgroup.events") as text:
                return text.read()
        wait_for(lambda: "frozen 1" in events(), "the frost")
        for backend in filter(available, BACKENDS):
            same(s.ifname("a"), Seed(backend, [f.pid]).row(f.pid, f.fds["x"]).get("ifname"), backend)
        wait_for(lambda: "frozen 1" in events(), "the frost afterwards")
        with open(group + "/cgroup.freeze", "w") as freeze:
            freeze.write("0")
        same(f.pid, f.do("pid")["pid"], "goes on")
    finally:
        f.end()
        wait_for(lambda: "populated 0" in events(), "the end of the process")
        os.rmdir(group)


def program_32bit(s):
    """a 32-bit program is not served by ptrace, and unharmed; all others know it"""
    path = os.path.join(Settings.helpers, "tap32")
    if not os.path.exists(path):
        raise Skip("tap32 is not built")
    process = subprocess.Popen([path, s.ifname("a")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        line = process.stdout.readline().split()
        if not line or line[0] != b"ok":
            raise Skip("32-bit programs do not run here")
        fd = int(line[1])
        for backend in filter(available, BACKENDS):
            seed = Seed(backend, [process.pid])
            same(s.ifname("a"), seed.row(process.pid, fd).get("ifname"), backend)
            if backend == "ptrace" and not any("32-bit" in n for n in seed.notes):
                raise Failure("no reason is told:\n" + seed.output)
        same(None, process.poll(), "alive")
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


def churn(s):
    """devices come and go during the scans: nothing is told that makes no sense, nothing stays behind"""
    f = s.fixture()
    f.send("churn 99999 " + s.ifname("c"))
    for backend in list(filter(available, BACKENDS)) * 5:
        for row in Seed(backend, [f.pid]).rows.values():
            if row["state"] not in ("bound", "unbound") or \
                    (row["state"] == "bound" and not (row.get("ifname") or row.get("name_only"))):
                raise Failure("%s: %s" % (backend, row))
    f.send("pid")
    f.receive()
    f.receive()
    left = [name for name in os.listdir("/sys/class/net") if name.startswith(s.prefix)]
    same([], left, "devices left")


def auto(s):
    """auto takes the first that works, and never ptrace"""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    seed = Seed("auto", [f.pid])
    first = [b for b in ("iter", "pidfd", "fdinfo") if available(b)][0]
    same(first, seed.report["used"], "used")
    same(s.ifname("a"), seed.row(f.pid, f.fds["x"]).get("ifname"), "row")


def yama(s):
    """Yama's scope 3 takes pidfd and ptrace away, with the reason; iter and fdinfo go on"""
    path = "/proc/sys/kernel/yama/ptrace_scope"
    if not os.path.exists(path):
        raise Skip("this kernel has no Yama")
    if "TW_VM" not in os.environ:
        raise Skip("only in a guest: scope 3 cannot be taken back")
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.ifname("a"), "tap")
    with open(path, "w") as scope:
        scope.write("3\n")
    for backend in BACKENDS:
        try:
            same(s.ifname("a"), Seed(backend, [f.pid]).row(f.pid, f.fds["x"]).get("ifname"), backend)
            refused = ""
        except Unavailable as reason:
            refused = str(reason)
        if ("Yama" in refused) != (backend in ("pidfd", "ptrace")):
            raise Failure("%s: %s" % (backend, refused or "works"))


TESTS = [pidfd_agrees, fdinfo_agrees, ptrace_agrees, disabled_queue, same_name_twice, hidden_namespace, no_capability,
         tables, seccomp, seccomp_not_suspended, busy_threads, busy_process, killed_tapwatch, traced_already, stopped,
         frozen, program_32bit, churn, auto, yama]


def each(test, notes):
    s = Crowd()
    try:
        test(s)
    finally:
        notes += s.notes
        s.cleanup()


def skippable(test):
    """Not all kernels have what these test."""
    return not tw.NOSKIP or test in (yama, program_32bit, frozen)


def main():
    parser = argparse.ArgumentParser(description="seed back-ends, TAP output")
    parser.add_argument("--helpers", default=Settings.helpers)
    parser.add_argument("--only", action="append")
    args = parser.parse_args()
    Settings.helpers = os.path.abspath(args.helpers)
    if os.geteuid():
        print("Bail out! needs root")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tw.quiet("modprobe", "tun")
    try:
        return points.run("", points.chosen(TESTS, args.only), each, skippable)
    finally:
        tw.cleanup_all()


if __name__ == "__main__":
    sys.exit(main())
