# SPDX-License-Identifier: GPL-2.0-only
"""Virtual machines by name. The machines are fixtures: a copy of tapfix that
is called as a hypervisor is, with its arguments."""
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import tw
from cli import tapwatch, want
from tw import E, Watch, member

UUID = "7f3b2c1a-55aa-4c0e-9d7e-0123456789ab"


class Programs:
    """Copies of tapfix under other names, for as long as the scenario runs."""
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="tapwatch-test-", dir=os.environ.get("TMPDIR", "/tmp"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def path(self, name):
        path = os.path.join(self.dir, name)
        if not os.path.exists(path):
            shutil.copy(os.path.join(tw.Settings.helpers, "tapfix"), path)
        return path

    def qemu(self, name, uuid=UUID):
        return [self.path("qemu-system-x86_64"), "-netdev", "tap,id=n0,fd=7", "-name", "guest=%s,debug-threads=on" % name, "-uuid", uuid]


def rows(s, *args):
    status, out, err = tapwatch("list", "--json", *args)
    want(status == 0, "list", err)
    return [r for r in json.loads(out)["bindings"] if str(r.get("ifname", "")).startswith(s.prefix)]


def by_name(s):
    """events, list, who and --vm know the machine by its command line; others are what they are"""
    with Programs() as programs:
        vm = s.fixture(command=programs.qemu(s.prefix + "web,,1"))
        vpn = s.fixture(command=[programs.path("openvpn"), "--dev", "tun"])
        plain = s.fixture()
        machine = {"type": "qemu", "name": s.prefix + "web,1", "uuid": UUID}
        for f, tail in ((vm, "a"), (vpn, "b"), (plain, "c")):
            f.open("x")
            f.setiff("x", s.ifname(tail), "tap")
        s.expect([[E("open", f, "x", file="F" + t, vm=v), E("attach", f, "x", file="F" + t, dev="D" + t, vm=v)] +
                  ([E("vm-start", f, "x", dev="D" + t, vm=v)] if f is vm else [])
                  for f, t, v in ((vm, "a", machine), (vpn, "b", tw.ABSENT), (plain, "c", tw.ABSENT))])
        roles = {e["process"]["pid"]: member(e, "process.role") for e in s.told}
        want(roles == {vm.pid: "vm", vpn.pid: "vpn", plain.pid: tw.MISSING}, "roles", roles)

        listed = {r["pid"]: {k: v for k, v in r.items() if k.startswith("vm_") or k == "role"} for r in rows(s)}
        want(listed == {vm.pid: {"vm_type": "qemu", "vm_name": machine["name"], "vm_uuid": UUID, "role": "vm"},
                        vpn.pid: {"role": "vpn"}, plain.pid: {}}, "list", listed)
        for pattern, expected in ((s.prefix + "*", [vm.pid]), (UUID, [vm.pid]), ("no" + s.prefix, [])):
            got = [r["pid"] for r in rows(s, "--vm", pattern)]
            want(got == expected, "list --vm %s" % pattern, got)
        status, out, err = tapwatch("who", s.ifname("a"))
        want(status == 0 and "virtual machine %s (qemu, %s)" % (machine["name"], UUID) in out, "who", out, err)


def vm_filter(s):
    """watch --vm lets pass what is about the machine, and only that"""
    with Programs() as programs:
        watch = Watch("--vm", s.prefix + "w?b", settle=False)
        s.own_watches.append(watch)
        vm = s.fixture(command=programs.qemu(s.prefix + "web"))
        other = s.fixture(command=programs.qemu(s.prefix + "other"))
        for f in other, vm:
            f.open("x")
            f.setiff("x", s.ifname("v%d" % f.pid)[:15], "tap")
        got = watch.wait(lambda: watch.find("attach", process__pid=vm.pid))
        want(got, "the machine's attach")
        told = {(e["event"], member(e, "process.pid")) for e in watch.events if e["event"] != "ready"}
        want(all(pid == vm.pid for _, pid in told) and ("open", vm.pid) in told, "--vm", told)


def vms(s):
    """vms: a line an interface, an object a machine; list knows the bridge"""
    with Programs() as programs:
        ns = s.netns("n")
        one, two = s.fixture(command=programs.qemu(s.prefix + "b")), s.fixture(ns, programs.qemu(s.prefix + "a"))
        one.open("x")
        one.setiff("x", s.ifname("x"), "tap", "multi_queue")
        one.open("y")
        one.setiff("y", s.ifname("x"), "tap", "multi_queue")
        one.open("z")
        one.setiff("z", s.ifname("z"), "tap")
        two.open("x")
        two.setiff("x", s.ifname("x"), "tap")
        s.ip("link", "add", s.ifname("br"), "type", "bridge")
        s.ip("link", "set", s.ifname("z"), "master", s.ifname("br"))
        status, out, err = tapwatch("vms", "-n", "--vm", s.prefix + "*", "-o", "vm_name,pid,ifname,netns_name,queues,master")
        want(status == 0 and not err, "vms", err)
        want([line.split() for line in out.splitlines()] ==
             [[s.prefix + "a", str(two.pid), s.ifname("x"), ns.name, "1", "-"],
              [s.prefix + "b", str(one.pid), s.ifname("x"), "-", "2", "-"],
              [s.prefix + "b", str(one.pid), s.ifname("z"), "-", "1", s.ifname("br")]], "table", out)
        status, out, err = tapwatch("vms", "-J", "--vm", s.prefix + "*")
        machines = [json.loads(line) for line in out.splitlines()]
        want([(m["name"], m["pid"], m["uuid"], m["type"]) for m in machines] ==
             [(s.prefix + "a", two.pid, UUID, "qemu"), (s.prefix + "b", one.pid, UUID, "qemu")], "vms -J", machines)
        want([(i["ifname"], i["fds"], i["queues"]) for i in machines[1]["interfaces"]] ==
             [(s.ifname("x"), [one.fds["x"], one.fds["y"]], 2), (s.ifname("z"), [one.fds["z"]], 1)], "interfaces", machines)
        want([m["declared"] for m in machines] == ["n0 fd=7"] * 2, "what their command lines declare", machines)
        want(machines[0]["interfaces"][0]["netns_name"] == ns.name, "its namespace", machines[0])
        status, out, err = tapwatch("vms", "--vm", "no" + s.prefix)
        want((status, out, err) == (0, "", ""), "none", status, out, err)


def brief_earlier(event):
    return [(e["event"], e.get("pid"), e.get("how")) for e in event.get("earlier", [])]


def live_timeline(f, machine, name):
    """vms NAME of a machine of which there is no history: what the watch saw"""
    status, out, err = tapwatch("vms", machine["name"])
    want(status == 0 and not err, "vms NAME, live", status, out, err)
    words = ["%s (qemu, %s), pid %d, running" % (machine["name"], UUID, f.pid), "process %d started" % f.pid,
             "%s: opened by tapfix(%d)" % (name, f.pid), "%s: passed by exec to" % name, "now    %s: bound, fd" % name]
    want(sorted(words, key=out.find) == words and -1 not in map(out.find, words), "in this order: %s" % words, out)
    status, out, err = tapwatch("vms", "-J", UUID)
    told = json.loads(out)
    want((told["name"], told["running"], told["complete"]) == (machine["name"], True, True), "vms -J NAME, live", told)
    want([(e["event"], e.get("how"), e["ifname"]) for e in told["timeline"]][0] == ("open", None, name), "timeline", told)
    status, out, err = tapwatch("vms", "no" + machine["name"])
    want(status == 1 and not out and err.count("\n") == 1 and "no" + machine["name"] in err, "vms of none", status, out, err)


def handed_over(s):
    """opened and bound by one program, passed by exec to a hypervisor: vm-start tells what was before, vm-stop the end"""
    with Programs() as programs:
        f, name = s.fixture(), s.ifname("a")
        f.open("x")
        tap = f.setiff("x", name, "tap")
        master = s.ifname("br")
        s.ip("link", "add", master, "type", "bridge")
        s.ip("link", "set", name, "master", master)
        born = s.expect(tw.born(f, "x", "F", "D", tap), E("master", dev="D"))
        machine = {"type": "qemu", "name": s.prefix + "web", "uuid": UUID}
        f.do("exec " + " ".join(programs.qemu(s.prefix + "web")))
        start = E("vm-start", f, "x", file="F", dev="D", vm=machine, ifname=name)
        if s.watch.backend != "tracepoint":
            s.expect(E("hold", f, "x", file="F", dev="D", how="exec", vm=machine), start)
        else:
            s.expect(E("hold", f, "x", file="F", dev="D", vm=machine), start)
        told = brief_earlier(s.told[-1])
        want(told == [(e["event"], member(e, "process.pid") if "process" in e else None, None) for e in born],
             "what was before", told, [tw.brief(e) for e in born])
        status, out, err = tapwatch("vms", "-J", "--vm", machine["name"])
        want(status == 0 and 0 <= json.loads(out)["start_ms"] < 1000 * tw.seconds(60), "vms: start_ms", status, out, err)
        live_timeline(f, machine, name)
        s.ip("link", "set", name, "up")
        s.ip("link", "set", name, "down")
        s.ip("link", "set", name, "nomaster")
        s.expect(E("up", dev="D", vm=machine), E("down", dev="D", vm=machine), E("master", dev="D", vm=machine))
        f.close("x")        # as QEMU does before it ends
        s.expect(E("drop", f, "x", file="F", how="close", vm=machine), E("release", file="F", vm=machine),
                 E("delete", dev="D", how="last-close", vm=machine))
        f.end()
        s.expect(E("vm-stop", f, vm=machine, file=tw.ABSENT))


def succession(s):
    """a persistent tap: made by ip, used by one machine, then by another program; and no vm-start for who had it before"""
    with Programs() as programs:
        name = s.ifname("a")
        before = s.fixture(command=programs.qemu(s.prefix + "old"))
        before.open("o")
        before.setiff("o", s.ifname("o"), "tap")
        watch = s.start()
        ip = s.ip("tuntap", "add", name, "mode", "tap")
        watch.wait(lambda: watch.find("release", file=member(watch.find("attach", device__ifname=name), "file")))
        vm = s.fixture(command=programs.qemu(s.prefix + "new"))
        vm.open("x")
        vm.setiff("x", name, "tap")
        machine = {"type": "qemu", "name": s.prefix + "new", "uuid": UUID}
        started = watch.wait(lambda: watch.find("vm-start", vm=machine))
        want(started, "vm-start")
        want([e[:2] for e in brief_earlier(started)][:2] == [("attach", ip.pid), ("persist", ip.pid)], "made by ip", started)
        vm.kill()
        want(watch.wait(lambda: watch.find("vm-stop", vm=machine, process__pid=vm.pid)), "vm-stop after a kill")
        other = s.fixture()
        other.open("y")
        other.setiff("y", name, "tap")
        attach = watch.wait(lambda: watch.find("attach", process__pid=other.pid))
        want(attach and "vm" not in attach, "another has it now", attach)
        before.end()
        want(watch.wait(lambda: watch.find("vm-stop", process__pid=before.pid)), "vm-stop of what ran before")
        want(not watch.find("vm-start", process__pid=before.pid), "no vm-start of what ran before")
        want(len([e for e in watch.events if e["event"] in ("vm-start", "vm-stop")]) == 3, "no more than these")
        s.ip("link", "del", name)


def send_frame(ifname):
    """One frame from the host to whoever reads the tap."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((ifname, 0))
        raw.send(b"\xff" * 6 + b"\x02\0\0\0\0\x02" + b"\x88\xb5" + bytes(46))


def first_packets(s):
    """first-packet: once for each direction, of a device made for the machine, and of one that another had, elsewhere"""
    with Programs() as programs:
        watch, ns, name = s.start(), s.netns("n"), s.ifname("a")
        one = s.fixture(command=programs.qemu(s.prefix + "one"))
        one.open("x")
        one.setiff("x", name, "tap", "no_pi")
        s.ip("link", "set", name, "up")
        start = watch.wait(lambda: watch.find("vm-start", process__pid=one.pid))
        want(start, "vm-start")
        one.do("transmit x")
        out = watch.wait(lambda: watch.find("first-packet", device__ifname=name, direction="out"))
        want(out, "out")
        want(member(out, "vm.name") == s.prefix + "one" and "process" not in out and "how" not in out, "of the machine", out)
        want(0 < out["after_boottime_ns"] < out["boottime_ns"], "between two moments", out)
        send_frame(name)
        one.do("receive x")
        into = watch.wait(lambda: watch.find("first-packet", device__ifname=name, direction="in"))
        want(into and into["device"]["id"] == out["device"]["id"], "in", into)

        # a second machine on a persistent device that has counted already, in another namespace
        s.ip("tuntap", "add", s.ifname("b"), "mode", "tap", netns=ns)
        s.ip("link", "set", s.ifname("b"), "up", netns=ns)
        for turn in range(2):
            vm = s.fixture(ns, programs.qemu(s.prefix + "two%d" % turn))
            vm.open("x")
            vm.setiff("x", s.ifname("b"), "tap", "no_pi")
            want(watch.wait(lambda: watch.find("vm-start", process__pid=vm.pid)), "vm-start of", turn)
            # the first look tells where the counters stand; it is due at once, yet only then can a packet be the first
            since = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            while turn and not any(e["event"] == "first-packet" and member(e, "vm.name") == s.prefix + "two1"
                                   for e in watch.events):
                vm.do("transmit x")
                want(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - since < tw.seconds(10) * 10**9, "out of the second")
                select.select([], [], [], 0.05)
            vm.do("transmit x")
            told = watch.wait(lambda: watch.find("first-packet", vm__name=s.prefix + "two%d" % turn, direction="out"))
            want(told and told["device"]["netns"] == ns.inode, "out in another namespace", told)
            vm.end()
            want(watch.wait(lambda: watch.find("vm-stop", process__pid=vm.pid)), "vm-stop of", turn)
        watch.settle()
        counted = [(member(e, "vm.name"), e["direction"]) for e in s.mine(watch.events) if e["event"] == "first-packet" and
                   (e["direction"] == "out" or member(e, "device.ifname") == name)]
        want(counted == [(s.prefix + "one", "out"), (s.prefix + "one", "in"), (s.prefix + "two0", "out"),
                         (s.prefix + "two1", "out")], "each once", counted)


class Recorder:
    """A running `tapwatch record` with a database of its own."""
    def __init__(self, s, directory):
        self.db = os.path.join(directory, "history.db")
        self.process = tw.daemon(tw.Settings.tapwatch, "record", "--db", self.db, "--backend", tw.Settings.backend,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        s.at_end.append(self.stop)

    def events(self):
        """All there are; none while there is no database yet."""
        _, out, _ = tapwatch("history", "--json", "--db", self.db)
        return [json.loads(line) for line in out.splitlines()]

    def until(self, name, limit=30, count=1, ours=""):
        end = time.monotonic() + tw.seconds(limit)
        # others on the machine may do the same
        while sum(e["event"] == name and ours in json.dumps(e) for e in self.events()) < count:
            want(time.monotonic() < end and self.process.poll() is None, "%s in the history" % name)
            select.select([], [], [], 0.05)     # another process writes: nothing to wait for but the file

    def stop(self):
        """However the scenario ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=tw.seconds(20))
        want(self.process.returncode == 0, "record ended with", self.process.returncode, err)


def statistics(s, db, machine, name, holder):
    """vms --stats: two starts that ended at once, and a third that was refused its interface"""
    status, out, err = tapwatch("vms", "--stats", "-J", "--db", db, "--vm", s.prefix + "*")
    want(status == 0 and not err, "vms --stats", status, err)
    told = json.loads(out)
    want({g.get("by"): (g["starts"], g["failed"]) for g in told["groups"]} == {"ip": (2, 2), None: (1, 1)}, "groups", told)
    phases = [g["phases"] for g in told["groups"] if g.get("by") == "ip"][0]
    want({p: phases[p]["n"] for p in ("prepare", "launch", "up")} == {"prepare": 2, "launch": 2, "up": 2} and
         phases["launch"]["median_ns"] <= phases["launch"]["p95_ns"], "phases", phases)
    want([(f["name"], f.get("errno"), f.get("requested"), f.get("holder_pid"), "ended_after_ns" in f) for f in told["failed"]] ==
         [(machine, None, None, None, True), (machine, None, None, None, True), (machine + "2", "EBUSY", name, holder, False)],
         "failed", told["failed"])
    status, out, err = tapwatch("vms", "--stats", "--db", db, "--vm", s.prefix + "*")
    want(status == 0 and "was refused %s: EBUSY, held by qemu-system-x86(%d)" % (name, holder) in out, "as text", out, err)
    status, out, err = tapwatch("vms", "--stats", "--db", db, "--until", "@1000000000")
    want(status == 0 and not out and err.count("\n") == 1, "none in that time", status, out, err)
    status, out, err = tapwatch("vms", "--stats", "--at", "now", "--db", db)
    want(status == 2, "--stats --at", status)


def timeline(s):
    """vms NAME: the machine's last run out of the history, who prepared its tap and who was refused it included"""
    with Programs() as programs:
        os.chmod(programs.dir, 0o700)
        recorder = Recorder(s, programs.dir)
        name, machine = s.ifname("a"), s.prefix + "web"
        for run in range(2):    # the first one is not told
            ip = s.ip("tuntap", "add", name, "mode", "tap")
            s.ip("link", "set", name, "up")
            vm = s.fixture(command=programs.qemu(machine))
            vm.open("x")
            vm.setiff("x", name, "tap")
            recorder.until("vm-start", count=run + 1, ours=machine)
            other = s.fixture(command=programs.qemu(machine + "2") if run else None)
            other.open("y")
            other.setiff("y", name, "tap", fails="EBUSY")
            recorder.until("attach-failed", count=run + 1, ours=name)  # what it was is read while it lives
            other.end()
            vm.end()
            s.ip("link", "del", name)
        end = time.monotonic() + tw.seconds(20)
        while len([e for e in recorder.events() if (e["event"] == "vm-stop" and member(e, "vm.name") == machine) or
                   (e["event"] == "delete" and member(e, "device.ifname") == name)]) < 4:
            want(time.monotonic() < end, "the end of both", recorder.events())
            select.select([], [], [], 0.05)
        recorder.end()
        status, out, err = tapwatch("vms", machine[:-1] + "?", "-J", "--db", recorder.db)
        want(status == 0 and not err, "vms NAME", status, err)
        told = json.loads(out)
        want((told["name"], told["uuid"], told["pid"], told["running"]) == (machine, UUID, vm.pid, False), "the machine", told)
        names = [e["event"] for e in told["timeline"]]
        want(names[:2] == ["open", "attach"] and told["timeline"][0]["process"]["pid"] == ip.pid, "it begins with ip", names)
        expected = ["open", "attach", "persist", "drop", "release", "open", "attach", "vm-start", "attach-failed", "drop",
                    "release", "vm-stop"]
        # what rtnetlink tells, and what is concluded from it, may come a moment later
        late = ("up", "down", "delete", "drop", "release")
        want([n for n in names if n not in late] == [n for n in expected if n not in late] and
             sorted(n for n in names if n not in ("up", "down", "delete")) == sorted(expected) and
             (names.count("up"), names.count("delete")) == (1, 1), "timeline", names)
        offsets = [e["offset_ns"] for e in told["timeline"]]
        want(offsets == sorted(offsets), "in order of time", offsets)
        status, out, err = tapwatch("vms", UUID, "--db", recorder.db)
        want(status == 0 and out.startswith("%s (qemu, %s), pid %d\n" % (machine, UUID, vm.pid)) and
             "EBUSY: %s is held by" % name in out, "as text", out, err)
        statistics(s, recorder.db, machine, name, vm.pid)
        status, out, err = tapwatch("vms", "no" + machine, "--db", recorder.db)
        want(status == 1 and not out and err.startswith("tapwatch: "), "no such machine", status, out, err)


def leaks(s):
    """list --stale: what nobody holds, whose machine or device is gone, what others hold; since when, by which event"""
    with Programs() as programs:
        os.chmod(programs.dir, 0o700)
        recorder = Recorder(s, programs.dir)
        names = {tail: s.ifname(tail) for tail in "abcd"}
        made = {tail: s.ip("tuntap", "add", names[tail], "mode", "tap") for tail in "abc"}
        vms = {tail: s.fixture(command=programs.qemu(s.prefix + tail)) for tail in "bc"}
        for tail, vm in vms.items():
            vm.open("x")
            vm.setiff("x", names[tail], "tap")
            recorder.until("vm-start", ours=s.prefix + tail)
        other, holder = s.fixture(), s.fixture()
        other.do("getfd x %d %d" % (vms["c"].pid, vms["c"].fds["x"]))
        holder.open("d")
        holder.setiff("d", names["d"], "tap")
        vms["b"].kill()
        recorder.until("vm-stop", ours=s.prefix + "b")
        recorder.until("attach", ours=names["d"])
        s.ip("link", "del", names["d"])
        recorder.until("delete", ours=names["d"])

        def stale(*args):
            status, out, err = tapwatch("list", "--json", "--stale", *args)
            want(status == 0, "list --stale", args, err)
            rows = [r for r in json.loads(out)["bindings"] if str(r.get("ifname", "")).startswith(s.prefix) or
                    r.get("pid") == holder.pid]
            return {r.get("ifname", "d")[-1]: r for r in rows}, err
        found, err = stale("--db", recorder.db)
        want({t: (r["stale"], r.get("pid")) for t, r in found.items()} ==
             {"a": ("no-holder", None), "b": ("vm-gone", None), "c": ("other-holder", other.pid), "d": ("orphaned", holder.pid)},
             "reasons", found, err)
        want({t: (r["stale_event"], r.get("stale_pid")) for t, r in found.items() if t != "d"} ==
             {"a": ("drop", made["a"].pid), "b": ("drop", vms["b"].pid), "c": ("hold", other.pid)}, "events", found)
        want(found["d"]["stale_event"] == "delete" and "stale_pid" not in {k: 0 for k in found["d"]} or
             found["d"].get("stale_command") == "ip", "deleted by ip", found["d"])
        want(all("stale_since" in r for r in found.values()), "since when", found)
        past, _ = stale("--db", recorder.db, "--at", "now")
        want({t: (r["stale"], r.get("stale_event")) for t, r in past.items()} ==
             {t: (r["stale"], r.get("stale_event")) for t, r in found.items()}, "--at now", past)
        # its machine has ended, and the other still has the fd
        vms["c"].kill()
        recorder.until("vm-stop", ours=s.prefix + "c")
        found, _ = stale("--db", recorder.db)
        want((found["c"]["stale"], found["c"].get("pid")) == ("other-holder", other.pid), "whose machine is gone", found)
        older, err = stale("--older", "1h", "--db", recorder.db, "-i", s.prefix + "*")
        want(not older and not err, "--older 1h", older, err)
        end = time.monotonic() + tw.seconds(20)
        while set(stale("--older", "1s", "--db", recorder.db)[0]) != set("abcd"):
            want(time.monotonic() < end, "--older 1s")
            select.select([], [], [], 0.1)
        recorder.end()
        # a history that is not written any more tells nothing of now
        found, err = stale("--db", recorder.db)
        want(found["a"]["stale"] == "no-holder" and not any("stale_since" in r for r in found.values()) and
             "nothing is recorded" in err, "without a recorder", found, err)
        older, err = stale("--older", "1s", "--db", recorder.db, "-i", s.prefix + "*")
        want(not older and "not known since when" in err, "--older without a recorder", older, err)
        for tail in "abc":
            s.ip("link", "del", names[tail])


SCENARIOS = [by_name, handed_over, vms]
OWN_SCENARIOS = [vm_filter, succession, first_packets, timeline, leaks]
