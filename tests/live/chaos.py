#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The chaos test: random operations on tun files from many processes at once
(build/tests/chaos), and at each quiet point three answers to the question who
holds what, compared row by row, ids included:

 - the state that the events of `tapwatch watch` add up to, from nothing;
 - `tapwatch list --seed iter`, run afresh;
 - what the kernel tells the processes themselves, rtnetlink and /proc.

    tests/live/chaos.py [--backend B] [--seed N] [--ops N] [--every N]
                        [--processes N] [--overflow] [--keep DIR]

The seed is printed. The same seed gives the same programs, but not the same
interleaving. --overflow makes the ring buffer tiny: then loss is sure, has to
be told, and the state has to be right after it was healed.

Environment: TW_TIMEOUT_FACTOR stretches all time limits.
"""
import argparse
import collections
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

import tw
from replay import Difference, Pairing, Picture, State, compare, picture_of_list

LATE = 8                # seconds
KEPT = 60000            # events kept to show what went wrong


def collect_messages():
    """
    A message that holds its own socket (a thread put one where another was about to send a tun file) dies when the
    kernel looks for such, which is when some Unix socket is closed while any file is in flight (net/unix/garbage.c).
    """
    for end in socket.socketpair():
        end.close()


class Lines:
    """Lines of a program's output, read as they come."""
    def __init__(self, pipe):
        self.fd, self.buffer, self.ended = pipe.fileno(), b"", False

    def read(self):
        """The complete lines that are there now. Call it when the fd is readable."""
        data = os.read(self.fd, 1 << 16)
        self.ended = not data
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return lines


class Chaos:
    """The coordinator of build/tests/chaos."""
    def __init__(self, seed, processes):
        self.process = subprocess.Popen(
            [os.path.join(tw.Settings.helpers, "chaos"), str(seed), str(processes), str(int(tw.seconds(60)))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pid = self.process.pid
        self.lines = Lines(self.process.stdout)
        self.answers = []

    def send(self, command):
        try:
            self.process.stdin.write(command.encode() + b"\n")
        except BrokenPipeError:
            raise tw.Failure("the coordinator has ended: %s" % self.process.wait()) from None

    def end(self):
        try:
            self.process.stdin.close()
            self.process.wait(tw.seconds(20))
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


class Watch:
    """`tapwatch watch --json`, replayed as it comes."""
    def __init__(self, env):
        environment = dict(os.environ, **env)
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [tw.Settings.tapwatch, "watch", "--json", "--backend", tw.Settings.backend],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, env=environment)
        self.lines = Lines(self.process.stdout)
        self.state = State()
        self.backend = None
        self.kept = collections.deque(maxlen=KEPT)
        self.ready = None
        self.events = self.lost = self.resyncs = 0
        self.released = set()   # markers whose device is gone, by name

    def take(self):
        for line in self.lines.read():
            event = json.loads(line)
            self.events += 1
            self.kept.append(line)
            self._look(event)
            self.state.apply(event)

    def _look(self, event):
        name = event["event"]
        if name == "ready":
            self.ready = event
            self.backend = event["backend"]
            self.state.strict_how = event["backend"] != "tracepoint"
        elif name == "lost":
            self.lost += event.get("count", 0)
        elif name == "resync":
            self.resyncs += 1
        elif name == "delete":
            ifname = (event.get("device") or {}).get("ifname", "")
            if ifname.startswith("chm"):
                self.released.add(ifname)

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").splitlines()

    def stop(self):
        """Exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + tw.seconds(20)
        while not self.lines.ended and time.monotonic() < end:
            if select.select([self.lines.fd], [], [], 0.2)[0]:
                self.lines.read()
        try:
            return self.process.wait(tw.seconds(10))
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


# ---- pictures -----------------------------------------------------------------

IFF_DETACH_QUEUE = 0x400


def picture_of_truth(truth):
    out = Picture()
    named = {}
    for d in truth["devices"]:
        out.devices[d["id"]] = {k: d[k] for k in ("netns", "ifindex", "ifname", "up", "mac") if k in d}
        # The kernel counts no queues of a single-queue device.
        out.devices[d["id"]].update({k: d[k] for k in ("owner", "group", "queues", "disabled_queues") if d[k] >= 0})
        out.devices[d["id"]]["kind"] = "tun" if d["type"] == 1 else "tap"
        flags = (("multi_queue", d["multi_queue"]), ("persist", d["persist"]), ("vnet_hdr", d["vnet_hdr"]),
                 ("no_pi", not d["pi"]))
        out.devices[d["id"]]["flags"] = tuple(name for name, on in flags if on)
        named[d["netns"], d["ifname"]] = d["id"]
    held, flying = set(), set()
    for row in truth["rows"]:
        if not row["file"]:     # an O_PATH fd holds nothing
            continue
        out.files[row["file"]] = {
            "device": None if row["err"] else named.get((row["netns"], row["ifname"]), "unknown"),
            "state": "no device" if row["err"] else "disabled" if row["flags"] & IFF_DETACH_QUEUE else "bound",
            "socket_netns": row["socket_netns"],
        }
        if row["fd"] < 0:
            flying.add(row["file"])
            continue
        held.add(row["file"])
        out.rows.add((row["pid"], row["fd"], row["file"]))
        out.people[row["pid"]] = {"start": row["start"], "comm": row["comm"]}
    out.unheld = flying - held
    return out


# ---- the test -------------------------------------------------------------------

class Test:
    def __init__(self, args):
        self.args = args
        self.chaos = Chaos(args.seed, args.processes)
        self.watch = None
        self.files, self.devices = Pairing("file"), Pairing("device")
        self.truth = None
        self.unknowable = None  # files that flew unbound when the stream began: in no fd table, at no device
        self.resyncs = 0        # up to the last quiet point
        self.late = 0           # quiet points at which events were yet to come
        self.began = time.monotonic()
        self.spent = collections.Counter()      # seconds
        self.ops = 0
        self.quiet_points = 0
        self.markers = 0
        self.rows = 0           # compared
        self.wrong = {"watch": [], "list": [], "stream": [], "loss": []}

    def timed(self, what, function):
        begin = time.monotonic()
        try:
            return function()
        finally:
            self.spent[what] += time.monotonic() - begin

    # -- waiting --

    def pump(self, until, limit, what):
        """Reads from everybody until the condition is true."""
        end = time.monotonic() + tw.seconds(limit)
        while not until():
            sources = [s for s in (self.chaos.lines, self.watch and self.watch.lines) if s and not s.ended]
            left = end - time.monotonic()
            if left <= 0:
                raise tw.Failure("%s: not within %d s" % (what, tw.seconds(limit)))
            for fd in select.select([s.fd for s in sources], [], [], min(left, 1))[0]:
                if fd == self.chaos.lines.fd:
                    self.chaos.answers += self.chaos.lines.read()
                else:
                    self.watch.take()
            if self.chaos.lines.ended:
                raise tw.Failure("the coordinator has ended: %s" % self.chaos.process.wait())
            if self.watch and self.watch.lines.ended:
                raise tw.Failure("tapwatch has ended: %s" % self.watch.process.wait())

    def ask(self, command, limit=70):
        self.chaos.send(command)
        self.pump(lambda: self.chaos.answers, limit, command)
        return json.loads(self.chaos.answers.pop(0))

    def caught_up(self):
        """What was before this call has been told after it, and what was lost is healed."""
        for _ in range(20):
            self.markers += 1
            name = "chm%d" % self.markers
            lost = self.watch.lost
            self.ask("marker " + name)
            self.pump(lambda: name in self.watch.released or self.watch.lost > lost, 20, "events of " + name)
            self.pump(lambda: not self.watch.state.healing, 20, "resync after lost")
            if name in self.watch.released and self.watch.lost == lost:
                return
        raise tw.Failure("events are lost at rest")

    # -- comparing --

    def mine(self, entry):
        return entry.get("socket_netns") in self.truth["homes"]

    def compare_watch(self):
        spaces = self.truth["homes"] + self.truth["others"]
        told = self.watch.state.picture(self.mine, spaces)
        optional = ("flags", "owner", "group") if self.watch.backend == "tracepoint" else ()
        truth = picture_of_truth(self.truth)
        # those in flight may have come up since, by a look at the message that they are in
        spare = {f for f in self.unknowable or () if f not in self.files.there} & truth.unheld
        truth.unheld -= spare
        # What is paired while something is still to come may be paired wrongly.
        files, devices = self.files.copy(), self.devices.copy()
        # Without hooks nobody hears the last end of what was only in flight.
        wrong = compare(truth, told, files, devices, optional, unheld=self.watch.backend != "tracepoint",
                        spare=len(spare))
        if not wrong:
            self.files, self.devices = files, devices
        return wrong

    def run_list(self):
        spaces = self.truth["homes"] + self.truth["others"]
        output = tempfile.TemporaryFile()
        lister = subprocess.Popen([tw.Settings.tapwatch, "list", "--json", "--seed", "iter"],
                                  stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE)
        self.pump(lambda: lister.poll() is not None, 60, "tapwatch list")
        errors = lister.stderr.read().decode(errors="replace")
        lister.stderr.close()
        if lister.returncode or errors:
            raise tw.Failure("tapwatch list: status %d: %s" % (lister.returncode, errors))
        output.seek(0)
        told = picture_of_list(json.loads(output.read())["bindings"],
                               lambda row: self.mine(row) or row.get("netns") in spaces)
        # Files in flight are in no fd table, so the walk does not see them.
        return compare(picture_of_truth(self.truth), told, Pairing("file"), Pairing("device"), ("owner", "group"),
                       unheld=False)

    def quiet_point(self):
        self.quiet_points += 1
        if self.unknowable is None:
            truth = picture_of_truth(self.truth)
            self.unknowable = {f for f in truth.unheld if truth.files[f]["state"] == "no device"}
            self.watch.state.unknowable = len(self.unknowable)
        collect_messages()
        self.timed("catching up", self.caught_up)
        if self.args.overflow:
            # Whether what is there after a gap is what was there before it can't always be known.
            self.files, self.devices = Pairing("file"), Pairing("device")
        wrong = self.timed("comparing", self.compare_watch)
        if wrong and self.watch.backend != "tracepoint":
            # What the hooks asked to be looked at is looked at when they are read, and before more of them is.
            self.timed("catching up", self.caught_up)
            wrong = self.compare_watch()
        if wrong and self.watch.backend == "tracepoint":
            # It looks where nothing tells it, a little later.
            self.late += 1
            self.pump_while(self.compare_watch, LATE)
            wrong = self.compare_watch()
        elif wrong:
            # A kernel that preempts itself skips hooks: noticed within a second, looked at, and told as `resync`.
            # And messages are collected by a kernel thread, when it has the time.
            resyncs, flown = self.watch.resyncs, all("without an fd" in d.text for d in wrong)
            self.pump_while(lambda: self.watch.resyncs == resyncs and (not flown or self.compare_watch()), LATE)
            if self.watch.resyncs > resyncs or flown:
                self.late += 1
                wrong = self.compare_watch()
        if wrong and self.gone_spaces(wrong):
            # A namespace ends some time after the last that was of it.
            self.pump_while(lambda: self.gone_spaces(self.compare_watch()), 10)
            wrong = self.compare_watch()
        if wrong:
            first = self.watch.events
            self.pump_for(2)
            wrong.append(Difference("after 2 s more and %d more events %d of these differences are left" % (
                self.watch.events - first, len(self.compare_watch()))))
        self.wrong["watch"] += wrong
        if self.quiet_points % self.args.list_every == 0 or wrong:
            self.wrong["list"] += self.timed("list", self.run_list)
        self.wrong["stream"] += [Difference("%s: %s" % (text, tw.brief(event)), event.get("file"),
                                            (event.get("device") or {}).get("id"),
                                            (event.get("process") or {}).get("pid"), event.get("fd"))
                                 for event, text in self.watch.state.problems
                                 if self.concerns(event) and not self.args.overflow
                                 # what a skipped hook would have told has no cause
                                 and not (text.endswith("without how") and self.watch.resyncs > self.resyncs)]
        self.resyncs = self.watch.resyncs
        self.watch.state.problems.clear()
        self.rows += len(self.truth["rows"])

    def pump_while(self, condition, limit):
        """Reads until the condition, which is looked at after each event, is false, or the time is over."""
        end, seen = time.monotonic() + tw.seconds(limit), None

        def over():
            nonlocal seen
            if time.monotonic() > end:
                return True
            if seen == self.watch.events:
                return False
            seen = self.watch.events
            return not condition()
        self.pump(over, limit + 60, "time")

    def pump_for(self, limit):
        self.pump_while(lambda: True, limit)

    def gone_spaces(self, wrong):
        """Whether any difference is about a device that is told to be in a namespace that is no more."""
        spaces = self.truth["homes"] + self.truth["others"]
        devices = self.watch.state.devices
        return any(d.device in devices and devices[d.device].get("netns") not in spaces for d in wrong)

    def concerns(self, event):
        """Others may use tun on this machine; their events are not judged, but those about nobody's are."""
        device = event.get("device") or {}
        spaces = self.truth["homes"] + self.truth["others"]
        where = {event.get("socket_netns"), device.get("socket_netns"), device.get("netns"),
                 (event.get("process") or {}).get("netns")} - {None}
        return not where or bool(where & set(spaces)) or not device.get("netns")

    # -- the course --

    def start_watch(self):
        """While operations go on: nothing may fall between what exists and what happens."""
        self.watch = Watch({"TAPWATCH_RING_BYTES": "4096"} if self.args.overflow else {})
        self.pump(lambda: self.watch.ready, 60, "ready")

    def run(self):
        left = self.args.ops
        while left > 0:
            n = min(left, self.args.every)
            self.chaos.send("run %d" % n)
            if not self.watch:
                self.timed("start", self.start_watch)
            self.timed("operations", lambda: self.pump(lambda: self.chaos.answers, 70,
                                                       "%d operations and a quiet point" % n))
            self.truth = json.loads(self.chaos.answers.pop(0))
            left -= n
            self.quiet_point()
            self.ops = self.truth["ops"]
            if any(self.wrong.values()):
                break
            if self.args.verbose:
                tw.comment("%.1f s: quiet point %d: %d operations, %d agents, %d rows, %d devices; %d events, %d lost" % (
                    time.monotonic() - self.began, self.quiet_points, self.ops, self.truth["agents"],
                    len(self.truth["rows"]), len(self.truth["devices"]), self.watch.events, self.watch.lost))
        if self.args.overflow and not (self.watch.lost and self.watch.resyncs):
            self.wrong["loss"].append(Difference("%d events lost, %d resyncs told" % (self.watch.lost,
                                                                                     self.watch.resyncs)))
        if not self.args.overflow and self.watch.lost:
            self.wrong["loss"].append(Difference("%d events lost" % self.watch.lost))

    # -- what went wrong --

    def story(self, differences):
        """Events and operations about some differences, in the order of time."""
        out = []
        try:
            events = [json.loads(line) for line in self.watch.kept]
            log = self.log()
        except tw.Failure as failure:
            return ["no log: %s" % failure]
        for d in differences[:6]:
            about = [e for e in events if self.is_about(e, d)]
            pids = {tw.member(e, "process.pid") for e in about[-12:]} | {d.pid} - {None, tw.MISSING}
            pids = "|".join(map(str, pids or {0}))
            words = re.compile(r"( pid (%s) .*= [^-]| = (%s)$|\((%s),)" % (pids, pids, pids))
            lines = ["%.9f      %s" % (e["boottime_ns"] / 1e9, tw.brief(e)) for e in about[-40:]]
            lines += [line for line in log if words.search(line)][-80:]
            out += ["", "DIFFERENCE: %s" % d] + ["  " + line for line in sorted(lines)]
        return out

    @staticmethod
    def is_about(event, d):
        if d.file and d.pid:
            return event.get("file") == d.file and tw.member(event, "process.pid") == d.pid
        if d.file:
            return event.get("file") == d.file
        if d.device:
            return tw.member(event, "device.id") == d.device
        return tw.member(event, "process.pid") == d.pid and (d.fd is None or event.get("fd") == d.fd)

    def log(self):
        with tempfile.NamedTemporaryFile() as file:
            self.ask("log " + file.name)
            with open(file.name, encoding="utf-8", errors="replace") as text:
                return text.read().splitlines()

    def keep(self, directory):
        """All that is known, for a long look."""
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "events.jsonl"), "wb") as out:
            out.write(b"".join(line + b"\n" for line in self.watch.kept))
        with open(os.path.join(directory, "operations"), "w", encoding="utf-8") as out:
            out.write("\n".join(self.log()) + "\n")
        with open(os.path.join(directory, "truth.json"), "w", encoding="utf-8") as out:
            json.dump({"truth": self.truth, "files": self.files.there, "devices": self.devices.there}, out, indent=1)

    def stop(self):
        status = self.watch.stop() if self.watch else None
        self.chaos.end()
        return status


def point(number, ok, title, lines=()):
    print("%sok %d - %s" % ("" if ok else "not ", number, title), flush=True)
    for line in lines:
        tw.comment(line)


TITLES = (
    ("watch", "the state that the events add up to is the kernel's at each quiet point"),
    ("list", "the list is the kernel's state at each quiet point"),
    ("stream", "the events of each file, device and holder are a legal sequence"),
    ("loss", "what was lost is told"),
)


def report(test, failure, status):
    if test.watch and test.watch.ready:
        tw.comment("%d operations, %d quiet points (%d late), %d rows compared, %d events (%s), %d lost, "
                   "%d resyncs, %.1f s" % (
                       test.ops, test.quiet_points, test.late, test.rows, test.watch.events, test.watch.backend,
                       test.watch.lost, test.watch.resyncs, time.monotonic() - test.began))
        tw.comment("seconds: " + ", ".join("%s %.1f" % item for item in test.spent.items()))
        tw.comment("events: " + " ".join("%s %d" % item for item in sorted(test.watch.state.counts.items())))
    failed = 0
    for number, (key, title) in enumerate(TITLES, 1):
        wrong = test.wrong[key]
        lines = ["seed %s, quiet point %d: %d differences" % (test.args.seed, test.quiet_points, len(wrong))]
        lines += ["  %s" % d for d in wrong[:30]]
        lines += test.stories.get(key, [])
        point(number, not wrong and not failure, title, lines if wrong else [str(failure)] if failure else ())
        failed += bool(wrong or failure)
    errors = test.watch.stderr() if test.watch else []
    if test.args.overflow:      # it says how many were lost
        errors = [line for line in errors if "lost" not in line]
    fine = status == 0 and not errors
    point(len(TITLES) + 1, fine, "tapwatch ends with 0 and in silence",
          [] if fine else ["status %s" % status] + errors[-20:])
    return failed or not fine


def main():
    parser = argparse.ArgumentParser(description="random operations against the kernel's truth, TAP output")
    parser.add_argument("--backend", default="auto", choices=("auto", "fentry", "kprobe", "tracepoint"))
    parser.add_argument("--seed", type=lambda s: int(s, 0), default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--ops", type=int, default=1500)
    parser.add_argument("--every", type=int, default=300, help="operations between two quiet points")
    parser.add_argument("--list-every", type=int, default=1, help="run `list` at every Nth quiet point", metavar="N")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--overflow", action="store_true", help="with a tiny ring buffer")
    parser.add_argument("--keep", metavar="DIR", help="write events, operations and truth of a failure there")
    parser.add_argument("--tapwatch", default=tw.Settings.tapwatch)
    parser.add_argument("--helpers", default=tw.Settings.helpers, help="where the program `chaos` is")
    parser.add_argument("--verbose", action="store_true", help="tell of each quiet point")
    args = parser.parse_args()
    tw.Settings.tapwatch, tw.Settings.helpers = os.path.abspath(args.tapwatch), os.path.abspath(args.helpers)
    tw.Settings.backend = args.backend
    if os.geteuid():
        print("Bail out! needs root")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tw.quiet("modprobe", "-a", "tun", "vhost_net")
    print("1..%d" % (len(TITLES) + 1))
    tw.comment("seed %d, %d operations, backend %s%s" % (args.seed, args.ops, args.backend,
                                                         ", tiny ring buffer" if args.overflow else ""))
    test, failure, status = Test(args), None, None
    test.stories = {}
    try:
        test.run()
        test.stories = {key: test.story(wrong) for key, wrong in test.wrong.items() if wrong}
        if test.stories and args.keep:
            test.keep(args.keep)
    except tw.Failure as reason:
        failure = reason
    finally:
        status = test.stop()
    return 1 if report(test, failure, status) else 0


if __name__ == "__main__":
    sys.exit(main())
