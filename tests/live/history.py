# SPDX-License-Identifier: GPL-2.0-only
"""What is asked of the history: `history`, `list --at`, `who --at`, and who may ask. Each with a recorder of its own."""
import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from cli import tapwatch, want
from tw import Failure, Settings, daemon, seconds


class Recorder:
    """A running `tapwatch record` on a database of its own."""
    def __init__(self, *args, db=None, env=None):
        self.env = env or {}
        self.made = None if db else tempfile.mkdtemp(prefix="tapwatch-history.")
        self.db = db or os.path.join(self.made, "history.db")
        self.args = args
        self.start()

    def start(self):
        self.process = daemon(Settings.tapwatch, "record", "--db", self.db, "--backend", Settings.backend, *self.args, env=self.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(seconds(30))

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.made:
            shutil.rmtree(self.made)

    # -- questions --

    def ask(self, *args, status=0):
        got, out, err = tapwatch("history", "--db", self.db, *args)
        want(got == status, "status of: history %s" % " ".join(args), got, out, err)
        return out

    def events(self, *args, status=0):
        return [json.loads(line) for line in self.ask("-J", *args, status=status).splitlines()]

    def wait(self, condition, *args):
        """Events that satisfy the condition; what was done is recorded within 200 ms."""
        end = time.monotonic() + seconds(10)
        while True:
            got, out, _ = tapwatch("history", "--db", self.db, "-J", *args)
            events = [json.loads(line) for line in out.splitlines()] if got == 0 else []
            if condition(events):
                return events
            if time.monotonic() > end:
                raise Failure("not recorded in time:\n" + out)
            time.sleep(0.02)

    def at(self, moment, *args):
        status, out, err = tapwatch("list", "--json", "--db", self.db, "--at", "@%.6f" % moment, *args)
        want(status == 0 and not err, "list --at", status, out, err)
        return json.loads(out)


def now():
    return time.clock_gettime(time.CLOCK_REALTIME)


def lived(s, r, tail="a"):
    """A tap's whole life, all of it recorded; its name."""
    f, name = s.fixture(), s.ifname(tail)
    f.open("x")
    f.setiff("x", name, "tap")
    f.close("x")
    r.wait(lambda events: any(e["event"] == "delete" for e in events), "-i", name)
    return f, name


def same_as_watch(s):
    """history -J prints what watch -J printed, but for seq"""
    with Recorder() as r:
        watch = s.start()
        f, ns = s.fixture(), s.netns("n")
        f.open("x")
        f.setiff("x", s.ifname("a"), "tap", "multi_queue", "vnet_hdr")
        f.open("y")
        f.setiff("y", s.ifname("a"), "tap", fails="EINVAL")
        # some backends hear of devices by netlink: both are to have heard before the next step
        s.ip("link", "set", s.ifname("a"), "name", s.ifname("b"))
        watch.settle()
        r.wait(lambda events: any(e["event"] == "rename" for e in events), "-e", "rename", "-i", s.ifname("b"))
        s.ip("link", "set", s.ifname("b"), "netns", ns.name)
        watch.settle()
        r.wait(lambda events: any(e["event"] == "move" for e in events), "-e", "move", "-i", s.ifname("b"))
        f.close("x")
        watch.settle()
        told = s.mine(watch.events)
        r.wait(lambda events: any(e["event"] == "delete" for e in events), "-i", s.ifname("b"))
        kept = s.mine(r.events())

    # two tracers: ids are their own, and each looks at the clock by itself; whether the one knows the number of
    # queues when it tells of the device depends on which of two sources it heard first, with tracepoint
    unsure = ("id", "queues", "disabled_queues") if watch.backend == "tracepoint" else ("id",)

    def plain(event):
        event = {k: v for k, v in event.items() if k not in ("seq", "time", "boottime_ns", "file")}
        if "device" in event:
            event["device"] = {k: v for k, v in event["device"].items() if k not in unsure}
        return json.dumps(event, sort_keys=True)
    want(len(told) > 6, "some events", told)
    want(sorted(map(plain, told)) == sorted(map(plain, kept)), "told and recorded", *told, *kept)


def selection(s):
    """-n, -r, +N, -e, -i, --since, --until, --boot choose; nothing found is status 1"""
    with Recorder() as r:
        before = now()
        f, name = lived(s, r)
        middle = now()
        _, other = lived(s, r, "b")
        r.end()     # others on the machine go on
        mine = r.events("-i", name)
        kinds = [e["event"] for e in mine if e["event"] != "ready"]
        want(kinds[0] == "attach" and kinds[-1] == "delete", "the device's life", kinds)
        everything = r.events()
        want([e["seq"] for e in everything] == list(range(1, len(everything) + 1)), "seq has no holes")
        want(r.events("-n", "3") == everything[-3:], "-n 3")
        want(r.events("-n+3") == everything[:3], "-n +3")
        want(r.events("-n") == everything[-10:], "-n")
        want(r.events("-r") == everything[::-1], "-r")
        want(r.events("-r", "-n", "2") == everything[:-3:-1], "-r -n 2")
        want(r.events("-p", str(f.pid), "-e", "attach") == [e for e in mine if e["event"] == "attach"], "-p -e")
        want({e["device"]["ifname"] for e in r.events("-S", "@%.6f" % middle, "-e", "attach", "-i", s.prefix + "*")} ==
             {other}, "--since")
        want({e["device"]["ifname"] for e in r.events("-U", "@%.6f" % middle, "-e", "attach", "-i", s.prefix + "*")} ==
             {name}, "--until")
        want(r.events("-b") == everything and r.events("-b", "1") == everything, "-b")
        want(r.events("-b", everything[0]["boot_id"].replace("-", "")) == everything, "-b ID")
        for args in (("-i", "no-such"), ("-U", "@%.6f" % (before - 3600)), ("-S", "tomorrow"), ("-b", "-1"),
                     ("-e", "master", "-i", name)):
            want(not [e for e in r.events(*args, status=1) if e["event"] != "ready"], "nothing found", args)
        want(len(r.ask("--noheadings").splitlines()) == len(everything), "a line each in text")
        want(r.ask().splitlines()[1].startswith(time.strftime("%Y-%m-%d ", time.localtime(before))), "dates in text")


def cursors(s):
    """an export goes on where the last one ended"""
    with Recorder() as r:
        lived(s, r)
        file = os.path.join(os.path.dirname(r.db), "cursor")
        first = r.events("--cursor-file", file)
        lived(s, r, "b")
        r.end()     # others on the machine go on
        second = r.events("--cursor-file", file)
        want(first + second == r.events(), "all of it, once")
        want(not r.events("--cursor-file", file, status=1), "nothing new")
        *rest, last = r.events("-n+2", "--show-cursor")
        want(list(last) == ["cursor"] and rest == first[:2], "--show-cursor", last)
        want(r.events("--after-cursor", last["cursor"]) == (first + second)[2:], "--after-cursor")
        text = r.ask("-n+2", "--show-cursor").splitlines()[-1]
        want(text == "-- cursor: " + last["cursor"], "in text", text)
        for cursor in ("nonsense", last["cursor"] + "0", last["cursor"].replace("s=2;", "s=99999;")):
            r.events("--after-cursor", cursor, status=1)


def following(s):
    """-f tells what is recorded within a second, and ends with 0"""
    with Recorder() as r:
        process = subprocess.Popen([Settings.tapwatch, "history", "--db", r.db, "-f", "-J"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines, found = [], threading.Event()

        def read():
            for line in process.stdout:
                event = json.loads(line)
                lines.append(event)
                if event["event"] == "delete" and event["device"]["ifname"] == s.ifname("a"):
                    found.set()
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            _, name = lived(s, r)
            want(found.wait(seconds(3)), "not told by -f", [e["event"] for e in lines])
            process.send_signal(signal.SIGTERM)
            want(process.wait(seconds(10)) == 0, "status", process.returncode)
            thread.join(seconds(10))
            want([e for e in lines if e.get("device", {}).get("ifname") == name] ==
                 [e for e in r.events("-i", name) if "device" in e], "the same as asked for later")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
            process.stderr.close()


def moments(s):
    """list --at and who --at: as it was, by name and by namespace, also when both are gone"""
    with Recorder() as r:
        f, ns, name = s.fixture(), s.netns("n"), s.ifname("a")
        begin = now()
        f.open("x")
        f.setiff("x", name, "tap")
        r.wait(lambda events: any(e["event"] == "attach" for e in events), "-i", name)
        bound = now()
        s.ip("link", "set", name, "netns", ns.name)
        r.wait(lambda events: any(e["event"] == "move" for e in events), "-i", name)
        moved = now()
        f.close("x")
        r.wait(lambda events: any(e["event"] == "delete" for e in events), "-i", name)
        s.netns_delete(ns)
        gone = now()
        f.end()

        def rows(moment, *args):
            document = r.at(moment, "-i", name, *args)
            want("uncertain" not in document, "it is certain", document)
            return [(b["pid"], b["fd"], b["state"], b["ifname"], b["netns"]) for b in document["bindings"]]
        home = os.stat("/proc/self/ns/net").st_ino
        want(rows(bound) == [(f.pid, f.fds["x"], "bound", name, home)], "bound", rows(bound))
        want(rows(moved) == [(f.pid, f.fds["x"], "bound", name, ns.inode)], "moved", rows(moved))
        want(rows(gone) == [], "gone", rows(gone))
        want(rows(moved, "-N", ns.name) == rows(moved), "a namespace that is no more, by name")
        want(rows(moved, "-N", str(ns.inode)) == rows(moved), "and by number")
        want(rows(bound, "-N", ns.name) == [], "it was elsewhere before")
        want(rows(moved, "-N", "pid:%d" % f.pid) == [] and rows(bound, "-N", "pid:%d" % f.pid) == rows(bound),
             "the namespace of a process that is no more")
        want([e["event"] for e in r.events("-N", ns.name, "-e", "move")] == ["move"], "history by namespace")
        status, out, err = tapwatch("who", name, "--at", "@%.6f" % moved, "--db", r.db)
        want(status == 0 and not err and "pid %d" % f.pid in out and "executable" in out and ns.name in out,
             "who --at", status, out, err)
        status, out, err = tapwatch("who", "--fd", "%d:%d" % (f.pid, f.fds["x"]), "--at", "@%.6f" % moved, "-J", "--db",
                                    r.db)
        want(status == 0 and json.loads(out)["device"]["ifname"] == name, "who --fd --at", status, out, err)
        status, out, err = tapwatch("who", name, "--at", "@%.6f" % gone, "--db", r.db)
        want(status == 1 and "then" in err, "who --at when it was gone", status, out, err)
        want(r.at(begin - 3600)["uncertain"]["reason"] == "before-history", "before the history")
        want(r.at(now() + 3600)["uncertain"]["reason"] == "future", "the future")


def uncertain(s):
    """between two runs of the recorder nothing is sure; what changed is told when it runs again"""
    with Recorder() as r:
        f, name = s.fixture(), s.ifname("a")
        f.open("x")
        f.setiff("x", name, "tap")
        file = r.wait(lambda events: len(events) > 1, "-i", name)[-1]["file"]
        want(r.end() == 0, "SIGTERM ends it with 0")
        want(r.at(now())["uncertain"]["reason"] == "not-recorded", "it does not run", r.at(now()))
        f.open("y")
        f.setiff("y", s.ifname("b"), "tap")
        between = now()
        r.start()
        after = now()
        f.close("x")
        r.wait(lambda events: any(e["event"] == "delete" for e in events), "-i", name)
        r.end(signal.SIGKILL)
        dead = now()
        r.start()
        gaps = r.events("-e", "gap")
        want([g["reason"] for g in gaps] == ["stopped", "killed"], "two gaps", gaps)
        document = r.at(between)
        want(document["uncertain"]["reason"] == "gap" and document["uncertain"]["until"] == gaps[0]["time"],
             "inside the gap", document["uncertain"], gaps)
        want([b["ifname"] for b in document["bindings"] if b.get("pid") == f.pid] == [name], "as it was last", document)
        status, out, err = tapwatch("list", "--at", "@%.6f" % between, "--db", r.db)
        want(status == 0 and "uncertain: nothing was recorded from" in err and name in out, "in text", status, out, err)
        document = r.at(after)
        want("uncertain" not in document, "after it", document)
        want(sorted(b["ifname"] for b in document["bindings"] if b.get("pid") == f.pid) ==
             sorted([name, s.ifname("b")]), "as it is", document)
        want([b["file"] for b in document["bindings"] if b.get("ifname") == name] == [file], "ids go on", document, file)
        want(r.at(dead)["uncertain"]["reason"] == "gap", "after the kill")


def lossy(s):
    """what was lost while the recorder was held up makes all of that time uncertain, not only what follows"""
    with Recorder(env={"TAPWATCH_RING_BYTES": "4096"}) as r:
        f, name = s.fixture(), s.ifname("a")
        f.open("x")
        f.setiff("x", name, "tap")
        r.wait(lambda events: any(e["event"] == "attach" for e in events), "-i", name)
        r.process.send_signal(signal.SIGSTOP)
        stopped = now()
        f.do("storm 300")
        f.close("x")
        between = now()
        # what happens after the ring has room again stands behind it
        threading.Timer(0.1, r.process.send_signal, (signal.SIGCONT,)).start()
        f.do("storm 300")
        f.open("x")
        f.setiff("x", name, "tap")
        r.wait(lambda events: any(e["event"] == "resync" and e["time"] > told_at(between) for e in events), "-e", "resync")
        doubt = r.at(between).get("uncertain")
        want(doubt and doubt["reason"] == "lost", "certain of what was lost", doubt, r.ask("-e", "lost,resync"))
        want(doubt["since"] <= told_at(stopped) and told_at(between) <= doubt.get("until", ""), "the time of doubt",
             doubt, told_at(stopped), told_at(between))


def told_at(moment):
    """As JSON has it, to the hundredth, and one more for the clock's error."""
    moment += 0.01
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(moment)) + "%02d" % (moment % 1 * 100)


def readers(s):
    """a group may read it, also while it is written and afterwards; others are refused with a reason"""
    user = pwd.getpwnam("nobody")
    directory = tempfile.mkdtemp(prefix="tapwatch-history.")
    try:
        os.chmod(directory, 0o755)
        group = grp.getgrgid(user.pw_gid).gr_name

        def ask(r):
            return tapwatch("history", "--db", r.db, "-n", "1", "-q", "-e", "delete", "-i", s.prefix + "*", user=user.pw_uid,
                            group=user.pw_gid, extra_groups=[])
        with Recorder(db=os.path.join(directory, "secret.db")) as r:
            lived(s, r)
            status, out, err = ask(r)
            want(status == 1 and not out and "Permission denied" in err, "a stranger", status, out, err)
        with Recorder("--group", group, db=os.path.join(directory, "shared.db")) as r:
            lived(s, r, "b")
            status, out, err = ask(r)
            want(status == 0 and out and not err, "the group, while it is written", status, out, err)
            lived(s, r, "c")
            status, out, err = ask(r)
            want(status == 0 and s.ifname("c") in out, "and what is new", status, out, err)
            r.end()
            status, out, err = ask(r)
            want(status == 0 and out and not err, "when the recorder has ended", status, out, err)
        with Recorder("--group", group, db=os.path.join(directory, "shared.db")) as r:
            lived(s, r, "d")
            r.end(signal.SIGKILL)
            status, out, err = ask(r)
            want(status == 0 and s.ifname("d") in out and not err, "when it was killed", status, out, err)
    finally:
        shutil.rmtree(directory)


def refusals(s):
    """what cannot be asked"""
    wrong = []
    for args, status in (((), 1), (("--since", "soon"), 2), (("--since", "2026-02-30"), 2), (("-f", "-r"), 2),
                         (("-f", "--until", "now"), 2), (("-n", "-5"), 2), (("--lines=many",), 2), (("-S", "now", "-U", "-1h"), 2),
                         (("--after-cursor", "a", "--cursor-file", "b"), 2), (("--duration", "1"), 2), (("superfluous",), 2)):
        got, out, err = tapwatch("history", "--db", "/no/such/history.db", *args)
        if got != status or out or not err.startswith("tapwatch: ") or len(err.splitlines()) > 2:
            wrong.append("%s: status %s, %r, %r" % (args, got, out, err))
    for args in (("list", "--db", "x"), ("who", "tap0", "--db", "x"), ("list", "--at", "soon"), ("watch", "--at", "now")):
        got, out, err = tapwatch(*args)
        if got != 2 or out:
            wrong.append("%s: status %s, %r, %r" % (args, got, out, err))
    if wrong:
        raise Failure("\n".join(wrong))


OWN_SCENARIOS = [same_as_watch, selection, cursors, following, moments, uncertain, lossy, readers, refusals]
