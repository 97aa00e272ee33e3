#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A scripted week in minutes: what `record` wrote, against what really was. Speaks TAP.

    tests/live/week.py [--moments N] [--seed N] [--machines N] [--tapwatch PATH] [--helpers DIR]
                       [--backend NAME] [--keep DIR] [--phase first|second]

Fixture processes play virtual machines that come and go: they make taps, join them with more
queues, pass fds on by fork, rename them, have them moved, leave persistent ones behind, die. The
script keeps its own record of it. Meanwhile the recorder is stopped, killed, and its file system
filled up. Then `list --at` at many random moments is compared with the script's record: outside
the time in which the recorder could not record there is no difference, and inside the answer says
that it is uncertain, or is right. So are the attachments that `history` tells.

A whole week: week.py --moments 1000 --machines 40. With --phase the first half ends with the machine
(tests/live/week_reboot), and the second half, after the boot, checks both.
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import tw
from tw import Failure, Fixture, comment, quiet, seconds

# Around a moment nothing happens for so long: the clock of the boot, by which events are dated, is
# turned into that of the wall with an error of a millisecond.
CALM = 0.004
# A gap begins with the last sign of life: an event, or (10 s apart) a heartbeat.
SLACK = seconds(1)


def now():
    return time.clock_gettime(time.CLOCK_REALTIME)


def want(condition, *facts):
    if not condition:
        raise Failure("\n".join(str(fact) for fact in facts))


class Recorder:
    """`tapwatch record`, again and again, on one database."""
    def __init__(self, db, log):
        self.db, self.process = db, None
        self.down = [(0, None)] # (from, to): not recorded; to None: still
        self.since = 0
        self.log = open(log, "w+b")

    def start(self):
        self.since = os.fstat(self.log.fileno()).st_size
        self.process = tw.daemon(tw.Settings.tapwatch, "record", "--db", self.db, "--backend", tw.Settings.backend,
                                 stdout=subprocess.DEVNULL, stderr=self.log)
        if self.down and self.down[-1][1] is None:
            self.down[-1] = (self.down[-1][0], now())

    def said(self):
        """Its messages since it was started."""
        return os.pread(self.log.fileno(), 1 << 20, self.since)

    def end(self, how):
        want(self.process.poll() is None, "the recorder ended by itself: %s" % self.process.returncode)
        self.down.append((now(), None))
        self.process.send_signal(how)
        status = self.process.wait(seconds(30))
        if how != signal.SIGKILL:
            want(status == 0, "the recorder ended with status %d" % status)

    def certain(self, moment):
        return not any(a - SLACK <= moment <= (b or float("inf")) + SLACK for a, b in self.down)


class Clock:
    """Tells when the recorder has read all that happened: a tap of ours lives for an instant, and its end is recorded.

    Some backends hear of devices by rtnetlink alone, and then date what happened when they read it.
    """
    def __init__(self, recorder, prefix):
        self.recorder, self.prefix, self.count = recorder, prefix, 0
        self.fixture = Fixture()
        self.seen = set()
        self.changed = threading.Condition()
        self.follower = None

    def recorder_runs(self):
        return self.recorder.process is not None and self.recorder.down[-1][1] is not None

    def start(self):
        self.follower = subprocess.Popen(
            [tw.Settings.tapwatch, "history", "--db", self.recorder.db, "-f", "-J", "-e", "delete", "-i", self.prefix + "*"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.follower.stdout:
            with self.changed:
                self.seen.add(json.loads(line)["device"]["ifname"])
                self.changed.notify_all()

    def tick(self):
        if self.follower is None:
            self.start()
        self.count += 1
        name = "%s%d" % (self.prefix, self.count)
        self.fixture.open("x")
        self.fixture.setiff("x", name, "tap")
        self.fixture.close("x")
        with self.changed:
            want(self.changed.wait_for(lambda: name in self.seen, seconds(30)), "not recorded in time: the end of " + name,
                 "the recorder: status %s, said %r" % (self.recorder.process.poll(), self.recorder.said()))

    def end(self):
        self.fixture.end()
        if self.follower:
            self.follower.terminate()
            self.follower.wait()
            self.follower.stdout.close()


class World:
    """What really is. Files and devices are numbers; everything is a step of one thread."""
    def __init__(self, rng, prefix, machines, clock):
        self.rng, self.prefix, self.most, self.clock = rng, prefix, machines, clock
        self.fixtures = []
        self.holds = {}         # (pid, fd) -> file
        self.files = {}         # file -> {"dev": number or None, "state": ...}
        self.devices = {}       # number -> {"ifname", "netns", "persist", "multi"}
        self.serial = 0
        self.moments = []       # (time, rows, the recorder ran)
        self.attached = []      # (from, to, pid, ifname)
        self.home = tw.own_netns()
        self.namespaces = []
        for i in range(3):
            name = "%sn%d" % (prefix, i)
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.namespaces.append((name, tw.inode("/run/netns/" + name)))

    def rows(self):
        out = []
        for (pid, fd), file in self.holds.items():
            dev = self.devices.get(self.files[file]["dev"])
            out.append([pid, fd, self.files[file]["state"], dev and dev["ifname"], dev and dev["netns"]])
        used = {f["dev"] for f in self.files.values()}
        out += [[None, None, "no-holder", d["ifname"], d["netns"]] for n, d in self.devices.items() if n not in used]
        return sorted(out, key=str)

    def note(self):
        """A moment in which nothing happens."""
        ticked = self.clock.recorder_runs()
        if ticked:
            self.clock.tick()
        time.sleep(CALM)
        self.moments.append((now(), self.rows(), ticked))
        time.sleep(CALM)

    # -- steps --

    def new(self):
        self.serial += 1
        return self.serial

    def slot_of(self, f, states):
        """A slot of the fixture whose file is in one of these states; None."""
        slots = [s for s in f.tun if self.files[self.holds[f.pid, f.fds[s]]]["state"] in states]
        return self.rng.choice(sorted(slots)) if slots else None

    def file_of(self, f, slot):
        return self.holds[f.pid, f.fds[slot]]

    def settle(self, file):
        """The last holder may be gone, and then the device's last file."""
        if file in self.holds.values():
            return
        dev = self.files.pop(file)["dev"]
        if dev is None or any(f["dev"] == dev for f in self.files.values()):
            return
        if not self.devices[dev]["persist"]:
            del self.devices[dev]

    def spawn(self):
        if len(self.fixtures) < self.most:
            f = Fixture()
            f.ns = self.home
            f.copy = False
            self.fixtures.append(f)

    def pick(self):
        return self.rng.choice(self.fixtures) if self.fixtures else None

    def open(self):
        f = self.pick()
        if not f or len(f.tun) >= 6:
            return
        slot = "s%d" % self.new()
        f.open(slot)
        self.holds[f.pid, f.fds[slot]] = file = self.new()
        self.files[file] = {"dev": None, "state": "unbound"}

    def bind(self, f, slot, ifname, flags):
        before = now()
        f.setiff(slot, ifname, "tap", *flags)
        self.attached.append((before, now(), f.pid, ifname))

    def attach(self):
        f = self.pick()
        slot = f and self.slot_of(f, ("unbound",))
        if not slot:
            return
        dev = self.new()
        multi = self.rng.random() < 0.4
        ifname = "%s%d" % (self.prefix, dev)
        self.bind(f, slot, ifname, ["multi_queue"] * multi)
        self.files[self.file_of(f, slot)] = {"dev": dev, "state": "bound"}
        self.devices[dev] = {"ifname": ifname, "netns": f.ns, "persist": False, "multi": multi}

    def join(self):
        """Another queue, or one of a persistent device that was left behind."""
        f = self.pick()
        slot = f and self.slot_of(f, ("unbound",))
        used = {x["dev"] for x in self.files.values()}
        fit = [n for n, d in self.devices.items() if d["netns"] == f.ns and (d["multi"] or n not in used)] if f else []
        if not slot or not fit:
            return
        dev = self.rng.choice(fit)
        d = self.devices[dev]
        if sum(x["dev"] == dev for x in self.files.values()) > 6:
            return
        self.bind(f, slot, d["ifname"], ["multi_queue"] * d["multi"])
        self.files[self.file_of(f, slot)] = {"dev": dev, "state": "bound"}

    def dup(self):
        f = self.pick()
        slot = f and self.slot_of(f, ("unbound", "bound"))
        if slot and len(f.tun) < 8:
            copy = "s%d" % self.new()
            f.dup(slot, copy)
            self.holds[f.pid, f.fds[copy]] = self.file_of(f, slot)

    def queue(self):
        f = self.pick()
        slot = f and self.slot_of(f, ("bound", "disabled"))
        if not slot:
            return
        file = self.files[self.file_of(f, slot)]
        if self.devices[file["dev"]]["multi"]:
            detach = file["state"] == "bound"
            f.do("queue %s %s" % (slot, "detach" if detach else "attach"))
            file["state"] = "disabled" if detach else "bound"

    def persist(self):
        f = self.pick()
        slot = f and self.slot_of(f, ("bound",))
        if slot:
            d = self.devices[self.files[self.file_of(f, slot)]["dev"]]
            d["persist"] = not d["persist"]
            f.do("persist %s %d" % (slot, d["persist"]))

    def close(self):
        f = self.pick()
        slot = f and self.slot_of(f, ("unbound", "bound", "disabled", "orphaned"))
        if slot:
            file = self.holds.pop((f.pid, f.fds[slot]))
            f.close(slot)
            self.settle(file)

    def fork(self):
        f = self.pick()
        if not f or f.copy or not f.tun:
            return
        child = f.do("fork c")["pid"]
        f.copy = True
        held = {key: file for key, file in self.holds.items() if key[0] == f.pid}
        for (_, fd), file in held.items():
            self.holds[child, fd] = file
        self.note()
        f.do("reap c")      # ends it
        f.copy = False
        for _, fd in held:
            del self.holds[child, fd]

    def ip(self, *command):
        subprocess.run(("ip",) + command, check=True)

    def rename(self):
        here = [n for n, d in self.devices.items() if d["netns"] == self.home]
        if here:
            d = self.devices[self.rng.choice(here)]
            old, d["ifname"] = d["ifname"], "%sr%d" % (self.prefix, self.new())
            self.ip("link", "set", old, "name", d["ifname"])

    def move(self):
        here = [n for n, d in self.devices.items() if d["netns"] == self.home]
        if here:
            d = self.devices[self.rng.choice(here)]
            name, d["netns"] = self.rng.choice(self.namespaces)
            self.ip("link", "set", d["ifname"], "netns", name)

    def delete(self):
        here = [n for n, d in self.devices.items() if d["netns"] == self.home]
        if not here:
            return
        dev = self.rng.choice(here)
        self.ip("link", "del", self.devices.pop(dev)["ifname"])
        for file in self.files.values():
            if file["dev"] == dev:
                file.update(dev=None, state="orphaned")

    def die(self):
        f = self.pick()
        if f:
            self.fixtures.remove(f)
            self.gone(f, f.kill if self.rng.random() < 0.5 else f.end)

    def gone(self, f, how):
        how()
        files = [self.holds.pop(key) for key in list(self.holds) if key[0] == f.pid]
        for file in set(files):
            self.settle(file)

    STEPS = ((spawn, 6), (open, 12), (attach, 10), (join, 5), (dup, 3), (queue, 4), (persist, 3), (close, 7), (fork, 2),
             (rename, 2), (move, 2), (delete, 1), (die, 4))

    def step(self):
        functions, weights = zip(*self.STEPS)
        self.rng.choices(functions, weights)[0](self)

    def live(self, moments):
        for _ in range(moments):
            for _ in range(self.rng.randrange(1, 12)):
                self.step()
            self.note()

    def cleanup(self):
        for f in list(self.fixtures):
            f.end()
        for name, _ in self.namespaces:
            quiet("ip", "netns", "del", name)
        for name in os.listdir("/sys/class/net"):
            if name.startswith(self.prefix):
                quiet("ip", "link", "del", name)


# ---- the week ------------------------------------------------------------

class Disk:
    """A small file system of our own, which can be filled."""
    def __init__(self, path):
        self.path = path
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tapwatch-week", path], check=True)
        self.ballast = os.path.join(path, "ballast")

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
            except OSError:
                pass

    def clear(self):
        os.unlink(self.ballast)

    def umount(self):
        subprocess.run(["umount", self.path], check=False)


def history(db, *args):
    done = subprocess.run([tw.Settings.tapwatch, "history", "--db", db, "-J", *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    want(done.returncode in (0, 1), "history %s: %s" % (args, done.stderr))
    return [json.loads(line) for line in done.stdout.splitlines()]


def full_disk(world, recorder, disk, moments):
    """Nothing can be written for a while; tracing goes on, and recording by itself when there is room."""
    gaps = len(history(recorder.db, "-e", "gap"))
    recorder.down.append((now(), None))
    disk.fill()
    # what the log of the database has allocated already can still be written
    end = time.monotonic() + seconds(60)
    others = Fixture()
    while b"cannot write the history" not in recorder.said():
        want(time.monotonic() < end, "the recorder does not notice that the disk is full")
        others.do("churn 20 " + world.clock.prefix)
    others.end()
    world.live(moments)
    disk.clear()
    end = time.monotonic() + seconds(60)
    while len(history(recorder.db, "-e", "gap")) == gaps:
        want(time.monotonic() < end, "recording does not go on after the disk was full")
        world.live(1)
    recorder.down[-1] = (recorder.down[-1][0], now())
    want(recorder.process.poll() is None, "the recorder ended when the disk was full")


def week(world, recorder, disk, moments):
    part = max(moments // 7, 1)
    world.live(2)
    recorder.start()
    for how in (signal.SIGTERM, signal.SIGKILL, None, signal.SIGKILL, signal.SIGTERM):
        world.live(part)
        if how is None:
            full_disk(world, recorder, disk, max(part // 2, 1))
            continue
        recorder.end(how)
        world.live(max(part // 4, 1))
        recorder.start()
    world.live(part)


# ---- the comparison ------------------------------------------------------

def listed(db, moment, prefix, pids):
    done = subprocess.run([tw.Settings.tapwatch, "list", "--json", "--db", db, "--at", "@%.6f" % moment],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    want(done.returncode == 0, "list --at @%.6f: %s" % (moment, done.stderr))
    document = json.loads(done.stdout)
    rows = [[r.get("pid"), r.get("fd"), r["state"], r.get("ifname"), r.get("netns")] for r in document["bindings"]
            if r.get("pid") in pids or str(r.get("ifname", "")).startswith(prefix)]
    return sorted(rows, key=str), document.get("uncertain")


def compare(db, moments, down, prefix, rng, most):
    """How many moments were certain, and how many not; what differs."""
    recorder = Recorder.__new__(Recorder)
    recorder.down = down
    pids = {row[0] for _, rows, _ in moments for row in rows if row[0]}
    certain = doubtful = 0
    wrong = []
    for moment, truth, ticked in rng.sample(moments, len(moments)):
        if certain + doubtful == most:
            break
        told, uncertain = listed(db, moment, prefix, pids)
        if uncertain:
            doubtful += 1
            if recorder.certain(moment):
                wrong.append("%.6f: said to be uncertain: %s" % (moment, uncertain))
            continue
        # it records again, but the script has not noticed yet, nor waited for all to be read
        if not ticked:
            continue
        certain += 1
        if told != truth:
            wrong.append("%.6f:%s" % (moment, "".join(
                ["\n  only told: %s" % r for r in told if r not in truth] +
                ["\n  only true: %s" % r for r in truth if r not in told])))
    return certain, doubtful, wrong


def compare_attached(db, attached, down, prefix):
    """Every attachment outside of downtime is told once, with its process."""
    recorder = Recorder.__new__(Recorder)
    recorder.down = down
    told = {}
    for event in history(db, "-e", "attach", "-i", prefix + "*"):
        key = (event.get("process", {}).get("pid"), event["device"]["ifname"])
        told[key] = told.get(key, 0) + 1
    true = {}
    for begin, end, pid, ifname in attached:
        count = true.setdefault((pid, ifname), [0, 0])
        count[0] += recorder.certain(begin) and recorder.certain(end)
        count[1] += 1
    return ["%s: told %d times, happened %d times, %d of them while it was recorded" % (key, told.get(key, 0), most, least)
            for key, (least, most) in true.items() if not least <= told.get(key, 0) <= most]


def plain(recorder_down):
    return [[a, b if b is not None else now()] for a, b in recorder_down]


def check_all(db, truth, most, rng):
    points = []
    certain, doubtful, wrong = compare(db, truth["moments"], truth["down"], truth["prefix"], rng, most)
    comment("%d moments compared, %d more that it was uncertain about, %d differences" % (certain, doubtful, len(wrong)))
    points.append(("list --at is what was, at every moment that was recorded", wrong[:10]))
    points.append(("most of the time was recorded", [] if certain > doubtful else ["%d to %d" % (certain, doubtful)]))
    points.append(("history tells every attachment once", compare_attached(
        db, truth["attached"], truth["down"], truth["prefix"])[:10]))
    gaps = history(db, "-e", "gap")
    points.append(("each time without recording is a gap", [] if len(gaps) == len(truth["down"]) - 1 else
                   ["%d gaps, %d times: %s" % (len(gaps), len(truth["down"]) - 1, gaps)]))
    for name, args in (("verify finds nothing wrong", ["verify", "--db", db]),):
        done = subprocess.run([tw.Settings.tapwatch, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        points.append((name, [] if done.returncode == 0 else [done.stdout.decode(errors="replace")]))
    return points


# ---- the run -------------------------------------------------------------

def run(options, directory):
    rng = random.Random(options.seed)
    kept = os.path.join(options.keep or directory, "truth.json")
    truth = {"moments": [], "attached": [], "down": [], "prefix": "wk%x" % (os.getpid() & 0xfffff)}
    if options.phase == "second":
        with open(kept, encoding="utf-8") as f:
            truth = json.load(f)
    disk = Disk(directory)
    db = os.path.join(directory, "history.db")
    world = clock = None
    log = tempfile.NamedTemporaryFile(prefix="tapwatch-week.")  # pylint: disable=consider-using-with
    try:
        if options.phase == "second":
            # what was committed last stands in the log alone
            for tail in ("", "-wal"):
                shutil.copy(os.path.join(options.keep, "history.db" + tail), db + tail)
                os.chmod(db + tail, 0o600)
        recorder = Recorder(db, log.name)
        if options.phase == "second":
            recorder.down = [tuple(d) for d in truth["down"]]
            recorder.down[-1] = (recorder.down[-1][0], None)
        clock = Clock(recorder, "wc%x" % (os.getpid() & 0xfffff))
        world = World(rng, truth["prefix"], options.machines, clock)
        week(world, recorder, disk, options.moments)
        recorder.end(signal.SIGTERM if options.phase != "first" else signal.SIGKILL)
        last = recorder.down.pop() if options.phase is None or options.phase == "second" else None
        truth["moments"] += world.moments
        truth["attached"] += world.attached
        truth["down"] = plain(recorder.down)
        if options.phase == "first":
            want(last is None, "the machine's end is a gap")
            with open(kept, "w", encoding="utf-8") as f:
                json.dump(truth, f)
            for name in os.listdir(directory):
                if name.startswith("history.db"):
                    shutil.copy(os.path.join(directory, name), options.keep)
            return [("the first half is over", [])]
        return check_all(db, truth, options.moments, rng)
    finally:
        if options.keep and options.phase != "first":
            for name in os.listdir(directory):
                if name.startswith("history.db"):
                    shutil.copy(os.path.join(directory, name), options.keep)
        if clock:
            clock.end()
        if world:
            world.cleanup()
        if recorder.process and recorder.process.poll() is None:
            recorder.process.kill()
            recorder.process.wait()
        recorder.log.close()
        log.close()
        disk.umount()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--moments", type=int, default=80)
    parser.add_argument("--machines", type=int, default=12)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--tapwatch", default=tw.Settings.tapwatch)
    parser.add_argument("--helpers", default=tw.Settings.helpers)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--keep", help="where the database goes in the end, and the truth between the phases")
    parser.add_argument("--phase", choices=("first", "second"))
    options = parser.parse_args()
    tw.Settings.tapwatch, tw.Settings.helpers = options.tapwatch, options.helpers
    tw.Settings.backend = options.backend
    if options.phase and not options.keep:
        parser.error("--phase needs --keep")
    comment("week.py --seed %d" % options.seed)
    directory = tempfile.mkdtemp(prefix="tapwatch-week.")
    try:
        points = run(options, directory)
    except Failure as failure:
        points = [("the week", [str(failure)])]
    except Exception:   # pylint: disable=broad-except
        points = [("the week", [traceback.format_exc()])]
    finally:
        os.rmdir(directory)
    for number, (name, wrong) in enumerate(points, 1):
        print("%s %d - week: %s" % ("not ok" if wrong else "ok", number, name))
        for line in wrong:
            comment(line)
    print("1..%d" % len(points))
    return 1 if any(wrong for _, wrong in points) else 0


if __name__ == "__main__":
    sys.exit(main())
