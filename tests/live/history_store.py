#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The history as a file that survives, and `record` as a service. Root; TAP.

    tests/live/history_store.py [NAME]...

Environment: TW_KILLS, how often a writer in a storm is killed (200); TW_TIMEOUT_FACTOR.
"""
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

import points
import tw
from tw import TOP, Failure, Fixture, Settings, seconds

TAPWATCH = Settings.tapwatch
FEED = os.path.join(Settings.helpers, "history_feed")
KILLS = int(os.environ.get("TW_KILLS", "200"))


def want(condition, text, *facts):
    if not condition:
        raise Failure("\n".join([text] + ["  %r" % (fact,) for fact in facts]))


def tapwatch(*args):
    done = subprocess.run([TAPWATCH, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=seconds(120), check=False, text=True, errors="replace")
    return done.returncode, done.stdout, done.stderr


def events(db, *args):
    status, out, err = tapwatch("history", "--db", db, "-J", *args)
    want(status == 0 or (status == 1 and not err), "history", status, err)
    return [json.loads(line) for line in out.splitlines()]


def query(db, text):
    connection = sqlite3.connect("file:%s?mode=ro" % db, uri=True, timeout=30)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def check_whole(db):
    """SQLite finds nothing wrong, the chain neither, and seq has no hole."""
    want(query(db, "PRAGMA integrity_check") == [("ok",)], "integrity_check")
    status, out, err = tapwatch("verify", "--db", db)
    want(status == 0 and out.startswith("ok"), "verify", status, out, err)
    low, high, count = query(db, "SELECT min(seq), max(seq), count(*) FROM event")[0]
    want(count == high - low + 1, "events are missing", low, high, count)
    return high


class Lines:
    """Lines of a process as they come."""
    def __init__(self, *command, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        bufsize=0, env=dict(os.environ, **env) if env else None)
        self.pid = self.process.pid
        self.buffer = b""
        self.ended = False

    def next(self, limit):
        """The next line; None when the time is over or there is no more."""
        end = time.monotonic() + limit
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                self.ended = True
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def until(self, word, limit=60):
        end = time.monotonic() + seconds(limit)
        while time.monotonic() < end:
            line = self.next(end - time.monotonic())
            if line is None and self.ended:
                break
            if line and line.startswith(word):
                return line
        raise Failure("'%s' did not come; %s" % (word, self.process.stderr.read(2000) if self.ended else ""))

    def kill(self):
        self.process.kill()
        rest = self.buffer + self.process.stdout.read()
        self.buffer = b""
        self.process.wait()
        return rest.decode().splitlines()


# ---- the file ----------------------------------------------------------------

def kills(directory):
    """killed at random moments in a storm, the database has all that was reported durable, and is whole"""
    db = os.path.join(directory, "history.db")
    dice = random.Random(4711)
    durable, first = 0, 1
    for n in range(KILLS):
        feed = Lines(FEED, "--db", db, "--events", "100000000", "--paced", "20000", "--alive", "20", "--report",
                     "--first", str(first), "--begin", str(1700000000 * 10**9 + n * 10**12))
        first += 100000
        told = [feed.until("durable")]
        # the moment of death is what is random, and is waited for in reading
        end = time.monotonic() + dice.uniform(0, 0.25)
        while (left := end - time.monotonic()) > 0:
            line = feed.next(left)
            told += [line] if line else []
        told += feed.kill()
        durable = max(int(line.split()[1]) for line in told if re.fullmatch(r"durable \d+", line))
        high = query(db, "SELECT max(seq) FROM event")[0][0]
        want(high >= durable, "what was durable is not there, kill %d" % n, high, durable)
        if n % 25 == 24:
            check_whole(db)
    high = check_whole(db)
    tw.comment("%d kills, %d events, the last reported durable: %d" % (KILLS, high, durable))


def disk_full(directory):
    """a full disk is told once and counted; recording goes on by itself when there is room, with a gap"""
    mount = os.path.join(directory, "small")
    os.mkdir(mount, 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16M,mode=0700", "tmpfs", mount], check=True)
    try:
        db = os.path.join(mount, "history.db")
        feed = Lines(FEED, "--db", db, "--events", "100000000", "--paced", "20000", "--report")
        try:
            want(feed.until("stuck") == "stuck ENOSPC", "not told as ENOSPC")
            # some more is missed meanwhile
            want(feed.next(seconds(1.5)) is None, "more was told while nothing changed")
            subprocess.run(["mount", "-o", "remount,size=400M", mount], check=True)
            lost = int(feed.until("resumed").split()[1])
            for _ in range(3):
                feed.until("durable")
        finally:
            feed.kill()
        check_whole(db)
        gaps = events(db, "-e", "gap")
        want(len(gaps) == 1 and gaps[0]["count"] == lost and gaps[0]["reason"] == "write-failed", "gap", gaps, lost)
        want(lost > 10000, "too few are missing for the time that passed", lost)
        # the state afterwards is known without what was missed
        at = gaps[0]["seq"]
        want(query(db, "SELECT count(*) FROM mark WHERE kind = 1 AND seq >= %d" % at)[0][0] > 0, "no snapshot after the gap")
    finally:
        subprocess.run(["umount", "-l", mount], check=False)


def retention(directory):
    """--max-size holds in a storm, in small steps, and what is kept is whole"""
    db = os.path.join(directory, "history.db")
    feed = subprocess.run([FEED, "--db", db, "--events", "300000", "--max-size", str(16 << 20), "--alive", "50"],
                          stdout=subprocess.PIPE, check=True, timeout=seconds(300), text=True)
    told = json.loads(feed.stdout)
    want(os.path.getsize(db) <= 16 << 20, "too large", os.path.getsize(db))
    want(told["peak_kib"] < 32 * 1024, "memory", told)
    high = check_whole(db)
    low = query(db, "SELECT min(seq) FROM event")[0][0]
    want(high == told["events"] and high - low > 30000, "kept", low, high)
    tw.comment("kept %d of %d events, longest call %.0f ms" % (high - low + 1, high, told["longest_ms"]))


def documented_queries(directory):
    """the queries of the manual page run, and answer"""
    db = os.path.join(directory, "history.db")
    subprocess.run([FEED, "--db", db, "--events", "3000", "--alive", "20", "--names", "100"], stdout=subprocess.DEVNULL,
                   check=True, timeout=seconds(60))
    with open(os.path.join(TOP, "man", "tapwatch.8"), encoding="utf-8") as f:
        section = f.read().split(".Sh HISTORY DATABASE")[1].split(".Sh ")[0]
    texts = [part.split(".Ed")[0].replace("\\(en", "-").replace("\\e", "\\")
             for part in section.split(".Bd -literal -offset indent\n")[1:]]
    want(len(texts) == 2, "queries in the manual", len(texts))
    rows = query(db, texts[0])
    want(len(rows) > 5 and {"attach", "hold", "delete"} <= {row[1] for row in rows}, "events of vnet99", rows[:3])
    holders = {(row[0], row[2]) for row in query(db, texts[1])}
    # against the machines' own lives: a hold without a drop
    alive = set()
    for event, pid, fd in query(db, "SELECT event, pid, fd FROM events WHERE seq <= 1042 AND fd IS NOT NULL ORDER BY seq"):
        if event == "drop":
            alive.discard((pid, fd))
        else:
            alive.add((pid, fd))
    want(holders == alive and len(alive) > 10, "bindings_at", sorted(holders ^ alive), len(alive))
    columns = [row[1] for row in query(db, "PRAGMA table_info(events)")]
    listed = re.findall(r"\.Ql ([a-z_ ]+[a-z])(?: \.)?$", section.split("with the columns")[1].split("\nIn")[0], re.M)
    want(columns == " ".join(listed).split(), "columns of the view", columns, " ".join(listed).split())


# ---- record -------------------------------------------------------------------

class Recorder:
    """tapwatch record, with a service manager's socket."""
    def __init__(self, db, *args, env=None):
        self.directory = tempfile.mkdtemp(prefix="tapwatch-notify.")
        path = os.path.join(self.directory, "s")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.messages = []
        self.process = subprocess.Popen([TAPWATCH, "record", "--db", db, *args], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=dict(os.environ, NOTIFY_SOCKET=path, **(env or {})))
        self.pid = self.process.pid
        try:
            self.wait_for("READY=1")
        except Failure:
            self.kill()
            raise

    def wait_for(self, word, limit=60):
        end = time.monotonic() + seconds(limit)
        while not any(word in m for m in self.messages):
            left = end - time.monotonic()
            if left <= 0 or self.process.poll() is not None:
                raise Failure("no %s; stderr: %s" % (word, self.process.stderr.read() if self.process.poll() is not None else ""))
            if select.select([self.socket], [], [], min(left, 0.2))[0]:
                self.messages.append(self.socket.recv(4096).decode())
        self.messages = [m for m in self.messages if word not in m]

    def close(self):
        self.socket.close()
        shutil.rmtree(self.directory)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=seconds(30))
        self.close()
        return self.process.returncode, err.decode()


def wait_until(test, text, limit=20):
    """Until the database says so: it has it a fifth of a second after it happened."""
    end = time.monotonic() + seconds(limit)
    while not test():
        if time.monotonic() > end:
            raise Failure(text)
        time.sleep(0.05)


class Device:
    """A fixture that holds a tap."""
    serial = 0

    def __init__(self):
        Device.serial += 1
        self.name = "twh%x%d" % (os.getpid() & 0xffff, Device.serial)
        self.fixture = Fixture()
        self.fixture.open("a")
        self.fixture.setiff("a", self.name, "tap")

    def rename(self):
        new = self.name + "r"
        subprocess.run(["ip", "link", "set", self.name, "name", new], check=True)
        self.name = new

    def end(self):
        self.fixture.end()


def ifname_of(event):
    return event.get("device", {}).get("ifname")


def told_of(db, name):
    return [e for e in events(db, "-i", name) if e["event"] not in ("ready", "gap", "lost", "resync")]


def reconciles(directory):
    """killed and started again: gap, then what changed meanwhile; the rest keeps its ids and is not told again"""
    db = os.path.join(directory, "history.db")
    stays, goes, renamed = Device(), Device(), Device()
    late = None
    try:
        recorder = Recorder(db)
        try:
            early = Device()
            wait_until(lambda: any(e["event"] == "attach" for e in told_of(db, early.name)), "attach is not recorded")
        finally:
            recorder.kill()
        before = {name: told_of(db, name)[-1]["device"]["id"] for name in (stays.name, renamed.name, early.name)}
        old_name = renamed.name
        goes.end()
        renamed.rename()
        late = Device()
        recorder = Recorder(db)
        try:
            after = events(db)
            gap = [n for n, e in enumerate(after) if e["event"] == "gap"]
            want(len(gap) == 1 and after[gap[0]]["reason"] == "killed", "gap", [after[n] for n in gap])
            new = after[gap[0] + 1:]
            ours = [(e["event"], ifname_of(e), e["source"]) for e in new
                    if ifname_of(e) in (stays.name, goes.name, renamed.name, late.name, early.name)]
            want(("drop", goes.name, "seed") in ours and ("delete", goes.name, "seed") in ours, "what went", ours)
            want(("rename", renamed.name, "seed") in ours, "rename", ours)
            want([o for o in ours if o[1] == late.name] == [("exist", late.name, "seed")], "what came", ours)
            want(not [o for o in ours if o[1] in (stays.name, early.name)], "told although nothing changed", ours)
            rename = [e for e in new if e["event"] == "rename" and ifname_of(e) == renamed.name][0]
            want(rename["old"]["ifname"] == old_name and rename["device"]["id"] == before[old_name], "rename", rename, before)
            drop = [e for e in new if e["event"] == "drop" and ifname_of(e) == goes.name][0]
            want(drop["process"]["pid"] == goes.fixture.pid and drop["process"]["comm"] == "tapfix", "who went", drop)
            # what goes on is about the same objects
            file_id = [e for e in told_of(db, stays.name) if e["event"] == "exist"][0]["file"]
            stays.fixture.close("a")
            wait_until(lambda: any(e["event"] == "delete" for e in told_of(db, stays.name)), "delete is not recorded")
            end = told_of(db, stays.name)
            want({e["device"]["id"] for e in end} == {before[stays.name]}, "another id", end)
            want([e["file"] for e in end if e["event"] == "drop"] == [file_id], "another file", end, file_id)
        finally:
            status, err = recorder.stop()
        want(status == 0 and not err, "stop", status, err)
        check_whole(db)
        early.end()
    finally:
        for device in (stays, goes, renamed, late):
            if device:
                device.end()


def other_boot(directory):
    """after a restart of the machine all is new, whatever looks the same"""
    db = os.path.join(directory, "history.db")
    device = Device()
    try:
        recorder = Recorder(db)
        recorder.stop()
        first = told_of(db, device.name)
        # the database's last boot is made another one: that is all that the recorder knows it by
        connection = sqlite3.connect(db, timeout=30)
        with connection:
            connection.execute("UPDATE head SET boot = '00000000-1111-2222-3333-444444444444'")
        connection.close()
        recorder = Recorder(db)
        recorder.stop()
        gaps = events(db, "-e", "gap")
        want(len(gaps) == 1 and gaps[0]["reason"] == "stopped", "gap", gaps)
        want(gaps[0].get("from_boot_id") == "00000000-1111-2222-3333-444444444444", "the gap's boot", gaps)
        second = told_of(db, device.name)[len(first):]
        want([e["event"] for e in first] == [e["event"] for e in second] == ["exist"], "told", first, second)
        want(first[0]["device"]["id"] != second[0]["device"]["id"] and first[0]["file"] != second[0]["file"],
             "ids are used again", first, second)
        check_whole(db)
    finally:
        device.end()


def boots(directory):
    """history -b tells one boot's events apart from another's"""
    db = os.path.join(directory, "history.db")
    subprocess.run([FEED, "--db", db, "--events", "100", "--alive", "10"], stdout=subprocess.DEVNULL, check=True,
                   timeout=seconds(60))
    Recorder(db).stop()
    everything = events(db)
    first, last = everything[0]["boot_id"], everything[-1]["boot_id"]
    old = [e for e in everything if e["boot_id"] == first]
    new = [e for e in everything if e["boot_id"] == last]
    want(first != last and len(old) >= 100 and old + new == everything and new[0]["event"] == "gap", "two boots", new[:2])
    for expected, words in ((old, ("1", "-1", first, first.replace("-", ""), last + "-1", last.replace("-", "") + "-1")),
                            (new, ("", "0", "2", last, last + "+0", first + "+1")),
                            (everything, ("all",)),
                            ([], ("3", "-2", first + "-1", last + "+1", "12345678"))):
        for word in words:
            status, out, err = tapwatch("history", "--db", db, "-J", "-b", *([word] if word else []))
            want([json.loads(line) for line in out.splitlines()] == expected, "-b %s" % word, status, err)
            want(status == (0 if expected else 1) and bool(err) == (not expected), "-b %s" % word, status, err)
    # where the boot before ended, and a time in both
    want(events(db, "-b", "-1", "-r", "-n", "1") == old[-1:], "-b -1 -r -n 1")
    want(not events(db, "-b", "0", "-U", "@%d" % (time.time() - 86400)), "-b 0 --until before it")


def status_of(pid):
    """/proc/PID/status of a process, or of one of its threads by its own number."""
    with open("/proc/%s/status" % pid, encoding="utf-8") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def service(directory):
    """a service manager is told; SIGHUP does no harm; capabilities, privileges and system calls are given up"""
    db = os.path.join(directory, "history.db")
    recorder = Recorder(db, "--group", "daemon", env={"WATCHDOG_USEC": "400000"})
    try:
        recorder.wait_for("WATCHDOG=1")
        os.kill(recorder.pid, signal.SIGHUP)
        recorder.messages.clear()
        recorder.wait_for("WATCHDOG=1")
        status = status_of(recorder.pid)
        want(status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", "seccomp", status["Seccomp"], status["NoNewPrivs"])
        dangerous = 1 << 1 | 1 << 7 | 1 << 6 | 1 << 16 | 1 << 0     # DAC_OVERRIDE, SETUID, SETGID, SYS_MODULE, CHOWN
        want(not int(status["CapPrm"], 16) & dangerous and not int(status["CapBnd"], 16) & dangerous, "capabilities",
             status["CapPrm"], status["CapBnd"])
        want(int(status["VmRSS"].split()[0]) < 32 * 1024, "memory", status["VmRSS"])
        # the thread that copies the log has less
        for task in os.listdir("/proc/%d/task" % recorder.pid):
            other = status_of(task)
            want(other["Seccomp"] == "2" and other["NoNewPrivs"] == "1" and
                 (task == str(recorder.pid) or not int(other["CapPrm"], 16)), "thread", other)
        want(status["Threads"] == "2", "threads", status["Threads"])
        modes = {name: os.stat(os.path.join(directory, name)).st_mode & 0o777 for name in os.listdir(directory)}
        want(modes == {"history.db": 0o640, "history.db-wal": 0o640, "history.db-shm": 0o640, "history.db-lock": 0o600},
             "modes", modes)
        code, _, err = tapwatch("record", "--db", db)
        want(code == 1 and "process %d" % recorder.pid in err, "a second recorder", code, err)
    finally:
        status, err = recorder.stop()
    want(status == 0 and not err, "stop", status, err)
    check_whole(db)


def refusals(directory):
    """wrong usage, and databases that must not be written"""
    db = os.path.join(directory, "history.db")
    for args in (("-i", "tap0"), ("--keep", "soon"), ("--keep", "-1d"), ("--max-size", "1M"), ("--max-size", "x"), ("tap0",)):
        status, out, err = tapwatch("record", "--db", db, *args)
        want(status == 2 and not out and err.startswith("tapwatch: "), "record %s" % (args,), status, out, err)
    for args in (("--anchor", "x"), ("--anchor", "12:abc"), ("more",)):
        status, out, err = tapwatch("verify", "--db", db, *args)
        want(status == 2 and err.startswith("tapwatch: "), "verify %s" % (args,), status, err)
    want(not os.listdir(directory), "something was made", os.listdir(directory))
    status, _, err = tapwatch("verify", "--db", db)
    want(status == 1 and "tapwatch record" in err, "no database", status, err)
    readonly = os.path.join(directory, "ro")
    os.mkdir(readonly, 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M,mode=0700", "tmpfs", readonly], check=True)
    try:
        there = os.path.join(readonly, "history.db")
        subprocess.run([FEED, "--db", there, "--events", "100"], stdout=subprocess.DEVNULL, check=True)
        subprocess.run(["mount", "-o", "remount,ro", readonly], check=True)
        status, _, err = tapwatch("record", "--db", there)
        want(status == 1 and "ead-only" in err, "read-only", status, err)
    finally:
        subprocess.run(["umount", "-l", readonly], check=False)


def anchors(directory):
    """verify holds the chain against a head of an earlier day"""
    db = os.path.join(directory, "history.db")
    subprocess.run([FEED, "--db", db, "--events", "500"], stdout=subprocess.DEVNULL, check=True)
    head = json.loads(tapwatch("verify", "--db", db, "-J")[1])
    subprocess.run([FEED, "--db", db, "--events", "500", "--first", "1000"], stdout=subprocess.DEVNULL, check=True)
    anchor = "%d:%s" % (head["last"], head["head"])
    status, out, _ = tapwatch("verify", "--db", db, "--anchor", anchor)
    want(status == 0 and "the anchor stands after event %d" % head["last"] in out, "anchor", status, out)
    told = json.loads(tapwatch("verify", "--db", db, "-J", "--anchor", "1:" + head["head"])[1])
    want(not told["ok"] and not told["anchor"]["found"], "anchor of another event", told)
    # a forger recomputes all: the same made-up machines on other days
    other = os.path.join(directory, "other.db")
    subprocess.run([FEED, "--db", other, "--events", "500", "--begin", "1"], stdout=subprocess.DEVNULL, check=True)
    status, out, _ = tapwatch("verify", "--db", other, "--anchor", anchor)
    want(status == 1 and "BAD" in out, "a forged chain", status, out)


TESTS = [kills, disk_full, retention, documented_queries, anchors, refusals, reconciles, other_boot, boots, service]


def each(test, notes):
    directory = tempfile.mkdtemp(prefix="tapwatch-history.")
    try:
        test(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main():
    if os.geteuid():
        print("Bail out! needs root")
        return 1
    tw.quiet("modprobe", "tun")
    return points.run("history-store/", points.chosen(TESTS, sys.argv[1:]), each)


if __name__ == "__main__":
    sys.exit(main())
