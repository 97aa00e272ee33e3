# SPDX-License-Identifier: GPL-2.0-only
"""What the live scenarios are written with.

A scenario drives fixture processes (tests/helpers/tapfix) and `ip`, and then
calls expect() with the exact sequence of events that tapwatch must have told
about them: nothing missing, nothing twice, nothing else. "Nothing else" is
proved without sleeping: a sentinel process opens and closes a device after
the scenario's last action, and once its events have come, whatever the
scenario caused has come too.

Foreign activity on the machine does no harm: an event belongs to a scenario
when its process is one of the scenario's, its interface name carries the
scenario's prefix, or its file or device has been met in such an event.
"""
import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
FACTOR = float(os.environ.get("TW_TIMEOUT_FACTOR", "1"))
NOSKIP = os.environ.get("TW_NOSKIP") == "1"
NETNS_DIR = "/run/netns"


class Settings:
    """Filled in by the runner."""
    tapwatch = os.path.join(TOP, "tapwatch")
    helpers = os.path.join(TOP, "build", "tests")
    backend = "auto"
    verbose = False


class Skip(Exception):
    """The scenario cannot be run here; the reason is printed."""


class Failure(Exception):
    """The scenario went wrong; the text is printed as TAP comments."""


def seconds(n):
    """A time limit, stretched for slow machines."""
    return n * FACTOR


# ---- what a backend cannot know ------------------------------------------
#
# event -> members that may be absent with this backend. They may be absent,
# never wrong. Everything not listed must be there.

RTNL_ACTOR = {"process"}    # rtnetlink messages do not name their cause
QUEUES = {"device.queues", "device.disabled_queues"}    # nor count the queues of a single-queue device
MAY_BE_ABSENT = {
    "fentry": {},
    "kprobe": {},
    "tracepoint": {
        "exist": QUEUES,
        "attach": QUEUES,
        "queue-detach": QUEUES,
        "queue-attach": QUEUES,
        "move": RTNL_ACTOR,
        "rename": RTNL_ACTOR,
        "mac": RTNL_ACTOR,
        "master": RTNL_ACTOR,
        "up": RTNL_ACTOR,
        "down": RTNL_ACTOR,
        "release": {"process"},         # concluded from the last drop
        "delete": RTNL_ACTOR | {"how"},
    },
}


# ---- patterns ------------------------------------------------------------

class Special:
    def __init__(self, text, test):
        self.text, self.test = text, test

    def __repr__(self):
        return self.text


MISSING = object()
ABSENT = Special("ABSENT", lambda v: v is MISSING)
ANY = Special("ANY", lambda v: v is not MISSING)
NOT_TRUE = Special("NOT_TRUE", lambda v: v is MISSING or v is False)


def has(*words):
    """A list member that contains these words."""
    return Special("has%r" % (words,), lambda v: isinstance(v, list) and all(w in v for w in words))


def lacks(*words):
    return Special("lacks%r" % (words,), lambda v: isinstance(v, list) and not any(w in v for w in words))


class Symbol:
    """Stands for an id: the same symbol is always the same id, two symbols are two ids."""
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return "$" + self.name


DEVICE_MEMBERS = {"kind", "ifname", "ifindex", "mac", "netns", "netns_cookie", "netns_name", "socket_netns",
                  "flags", "queues", "disabled_queues", "owner", "group", "master"}
PROCESS_MEMBERS = {"pid", "uid", "ppid", "comm", "exe"}


class E:
    """One expected event: E("attach", fixture, "slot", file="F", dev="D", ifname="tap0", created=True).

    fixture (anything with a pid) is the actor; the slot gives the fd. Members
    of `device` and `process` are named plainly, those of `old` with old_;
    process_netns is process.netns. Not named means not compared.
    """
    def __init__(self, event, actor=None, slot=None, file=None, dev=None, **members):
        self.want = {"event": event}
        if actor is not None:
            self.want["process.pid"] = actor.pid
        if slot is not None:
            self.want["fd"] = actor.fds[slot]
        if file is not None:
            self.want["file"] = Symbol(file) if isinstance(file, str) else file
        if dev is not None:
            self.want["device.id"] = Symbol(dev) if isinstance(dev, str) else dev
        for key, value in members.items():
            if key in DEVICE_MEMBERS:
                key = "device." + key
            elif key in PROCESS_MEMBERS:
                key = "process." + key
            elif key == "process_netns":
                key = "process.netns"
            elif key.startswith("old_"):
                key = "old." + key[4:]
            if key == "held_by" and isinstance(value, list):
                value = holders(value)
            if key == "device.ifname" and isinstance(value, bytes):
                value = text_of(value)
            self.want[key] = value

    def __repr__(self):
        return " ".join("%s=%r" % item if item[0] != "event" else item[1] for item in self.want.items())

    def match(self, event, symbols, backend):
        """None, or what differs. Fills in symbols."""
        optional = MAY_BE_ABSENT.get(backend, {}).get(self.want["event"], ())
        for key, want in self.want.items():
            got = member(event, key)
            if got is MISSING and (key in optional or key.split(".")[0] in optional):
                continue
            if isinstance(want, Symbol):
                bad = got is MISSING or not bind(symbols, want.name, got)
            elif isinstance(want, Special):
                bad = not want.test(got)
            else:
                bad = got != want
            if bad:
                known = " (= %s)" % symbols[want.name] if isinstance(want, Symbol) and want.name in symbols else ""
                return "%s: expected %r%s, got %s" % (key, want, known, "nothing" if got is MISSING else repr(got))
        return None


class Unordered:
    """These events in any order."""
    def __init__(self, *patterns):
        self.patterns = list(patterns)

    def __repr__(self):
        return "in any order {" + "; ".join(map(repr, self.patterns)) + "}"


def holders(pairs):
    """held_by must name exactly these (fixture, slot) pairs."""
    want = sorted((f.pid, f.fds[slot]) for f, slot in pairs)

    def test(value):
        return (isinstance(value, list) and all(isinstance(h, dict) and h.get("comm") for h in value)
                and sorted((h.get("pid"), h.get("fd")) for h in value) == want)
    return Special("held_by%r" % want, test)


def member(event, path):
    for part in path.split("."):
        if not isinstance(event, dict) or part not in event:
            return MISSING
        event = event[part]
    return event


def bind(symbols, name, value):
    if name in symbols:
        return symbols[name] == value
    if value in symbols.values():
        return False
    symbols[name] = value
    return True


def match_all(patterns, events, symbols, backend):
    """None when the events are exactly these, else the first difference."""
    at = 0
    for pattern in patterns:
        group = pattern.patterns if isinstance(pattern, Unordered) else [pattern]
        if at + len(group) > len(events):
            return "missing: %r" % pattern
        if isinstance(pattern, Unordered):
            why = match_unordered(group, events[at:at + len(group)], symbols, backend)
        else:
            why = pattern.match(events[at], symbols, backend)
        if why:
            return "event %d, expected %r: %s" % (at + 1, pattern, why)
        at += len(group)
    if at < len(events):
        return "%d event(s) too many, from event %d on" % (len(events) - at, at + 1)
    return None


def match_unordered(patterns, events, symbols, backend):
    if not patterns:
        return None
    why = None
    for i, event in enumerate(events):
        attempt = dict(symbols)
        why = patterns[0].match(event, attempt, backend)
        if why is None:
            why = match_unordered(patterns[1:], events[:i] + events[i + 1:], attempt, backend)
            if why is None:
                symbols.clear()
                symbols.update(attempt)
                return None
    return why


def count(patterns):
    return sum(len(p.patterns) if isinstance(p, Unordered) else 1 for p in patterns)


# ---- names ---------------------------------------------------------------

def text_of(name):
    """A byte string as the contract prints it: UTF-8, what is not as \\xNN."""
    return name.decode("utf-8", "backslashreplace")


def word(name):
    """A byte string as tapfix reads it."""
    if isinstance(name, str):
        name = name.encode()
    return "".join(chr(c) if 0x21 <= c < 0x7f and c != 0x5c else "\\x%02x" % c for c in name)


def inode(path):
    return os.stat(path).st_ino


def own_netns():
    return inode("/proc/self/ns/net")


# ---- fixture processes ---------------------------------------------------

class Actor:
    """A process that obeys: a Fixture, or a child of one."""
    def __init__(self):
        self.pid = None
        self.fds = {}           # slot -> number, also of closed ones
        self.tun = set()        # open slots that are tun files
        self.alive = True
        self.children = []

    def ask(self, line, limit=30):
        raise NotImplementedError

    def do(self, line, fails=None, limit=30):
        """fails: the errno name it must end with."""
        answer = self.ask(line, limit)
        if answer.get("errno") != fails:
            raise Failure("fixture %d: `%s` answered %s, expected %s" % (self.pid, line, answer, fails or "success"))
        return answer

    def open(self, slot, *options):
        answer = self.do(" ".join(("open", slot) + options))
        self.fds[slot] = answer["fd"]
        if "opath" not in options and not any(o.startswith("/") for o in options):
            self.tun.add(slot)
        return answer

    def setiff(self, slot, ifname, *flags, fails=None):
        return self.do("setiff %s %s %s" % (slot, word(ifname), " ".join(flags)), fails)

    def close(self, slot):
        self.do("close " + slot)
        self.tun.discard(slot)

    def dup(self, slot, new, *options):
        self.has(new, self.do(" ".join(("dup", slot, new) + options))["fd"])

    def dup2(self, slot, new, fd, *options, command="dup2"):
        """To the number `fd`; whatever was there is gone."""
        self.do(" ".join((command, slot, new, str(fd)) + options))
        self.tun = {s for s in self.tun if self.fds[s] != fd}
        self.fds[new] = fd
        if slot in self.tun or slot == new:
            self.tun.add(new)

    def has(self, slot, fd):
        """It got a tun file by another way than open: slot and number."""
        self.fds[slot] = fd
        self.tun.add(slot)

    def lost(self, *slots):
        self.tun -= set(slots)

    def fork(self, name, *options):
        """A Child with the same files. With `share`, of the same table."""
        child = Child(self, name, self.do(" ".join(("fork", name) + options))["pid"])
        self.children.append(child)
        return child

    def spawn(self, name):
        """A Child by vfork and exec."""
        answer = self.do("spawn " + name)
        child = Child(self, name, answer["pid"])
        child.tun &= set(answer["kept"])
        self.children.append(child)
        return child

    def exec(self, *command):
        """Itself again, or a copy of it elsewhere."""
        self.tun &= set(self.do(" ".join(("exec",) + command))["kept"])
        for child in self.children:
            child.alive = False

    def send_fds(self, to, *slots):
        self.do("sendfd %s %s" % (" ".join(slots), to))

    def receive_fds(self, source, *slots):
        """As many as came, into these slots; the answer."""
        answer = self.do("recvfd %s %s" % (" ".join(slots), source))
        for slot, fd in zip(slots, answer["fds"]):
            self.has(slot, fd)
        return answer

    def family(self):
        """Itself and its descendants."""
        return [self] + [p for c in self.children for p in c.family()]


class Child(Actor):
    """A process that a Fixture (or another Child) made and talks to."""
    def __init__(self, parent, name, pid):
        super().__init__()
        self.parent, self.name, self.pid = parent, name, pid
        self.fds = dict(parent.fds)
        self.tun = set(parent.tun)

    def ask(self, line, limit=30):
        return self.parent.ask("@%s %s" % (self.name, line), limit)

    def end(self):
        self.alive = False
        return self.parent.do("reap " + self.name)

    def kill(self):
        self.alive = False
        return self.parent.do("kill " + self.name)


class Fixture(Actor):
    """A tapfix process, or a copy of it under another name. do() sends a command and returns the answer's members."""
    def __init__(self, netns=None, command=None):
        super().__init__()
        self.process = subprocess.Popen(command or [os.path.join(Settings.helpers, "tapfix")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pid = self.process.pid
        self.buffer = b""
        if netns is not None:
            self.do("setns " + netns.path)

    def send(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    def receive(self, limit=30):
        end = time.monotonic() + seconds(limit)
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failure("fixture %d: no answer" % self.pid)
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise Failure("fixture %d ended" % self.pid)
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        answer = json.loads(line)
        if "ifname" in answer:  # one code point per byte
            answer["ifname"] = text_of(answer["ifname"].encode("latin-1"))
        return answer

    def ask(self, line, limit=30):
        self.send(line)
        return self.receive(limit)

    def end(self):
        """Ends it the regular way and waits for it."""
        self._over(lambda: self.process.stdin.close())

    def kill(self):
        self._over(self.process.kill)

    def _over(self, how):
        if not self.alive:
            return
        self.alive = False
        try:
            how()
            self.process.wait(seconds(20))
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


class Pid:
    """Any process as an actor in E()."""
    def __init__(self, pid, fds=None):
        self.pid, self.fds = pid, fds or {}


# ---- tapwatch ------------------------------------------------------------

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")


class Watch:
    """A running `tapwatch watch --json`, its events so far, and the state they add up to."""
    def __init__(self, *args, env=None, settle=True):
        command = [Settings.tapwatch, "watch", "--json", "--backend", Settings.backend] + list(args)
        environment = dict(os.environ)
        environment.update(env or {})
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment)
        self.pid = self.process.pid
        self.events = []
        self.problems = []      # of the stream as such
        self.errors = []        # lines on stderr
        self._model, self._wrong, self._applied = Model(), [], 0
        self.ended = False
        self.changed = threading.Condition()
        self.sentinel = None
        self.backend = Settings.backend
        self.threads = [threading.Thread(target=self._read, daemon=True),
                        threading.Thread(target=self._read_errors, daemon=True)]
        for thread in self.threads:
            thread.start()
        ready = self.wait(lambda: self.find("ready"), 60)
        if not ready:
            self.stop()
            raise Failure("no `ready` from: %s\nstderr:\n%s" % (" ".join(command), "\n".join(self.errors)))
        self.ready = ready
        if self.backend == "auto":
            self.backend = ready.get("backend", "auto")
        if settle:
            self.sentinel = Fixture()

    def _read(self):
        for raw in self.process.stdout:
            try:
                event = json.loads(raw.decode("utf-8"))
                problem = self._check(event)
            except ValueError as error:
                event, problem = None, "not JSON in UTF-8: %s: %r" % (error, raw)
            with self.changed:
                if problem:
                    self.problems.append(problem)
                if event is not None:
                    self.events.append(event)
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _read_errors(self):
        for raw in self.process.stderr:
            self.errors.append(raw.decode("utf-8", "replace").rstrip("\n"))

    def _check(self, event):
        if not isinstance(event, dict):
            return "not an object: %r" % (event,)
        for name in ("seq", "time", "boottime_ns", "boot_id", "event", "source"):
            if name not in event and not (name == "source" and event.get("event") in ("ready", "lost", "resync")):
                return "no member %s: %s" % (name, brief(event))
        if not TIME.match(event["time"]):
            return "time: %s" % event["time"]
        if self.events and event["seq"] <= self.events[-1]["seq"]:
            return "seq %s after %s" % (event["seq"], self.events[-1]["seq"])
        return None

    def find(self, name, since=0, **members):
        """The first event of that name from index `since` on, or None."""
        for event in self.events[since:]:
            if event["event"] == name and all(member(event, k.replace("__", ".")) == v for k, v in members.items()):
                return event
        return None

    def wait(self, condition, limit=5):
        """Waits until condition() is true; its value, or what it is at the end."""
        with self.changed:
            self.changed.wait_for(lambda: condition() or self.ended, seconds(limit))
            return condition()

    def settle(self, attempts=5):
        """All that was caused before this call has been told after it."""
        f, since = self.sentinel, len(self.events)
        f.open("s")
        if self.backend == "tracepoint":    # devices are told by another source there
            f.setiff("s", "tws%d" % f.pid, "tap")
        f.close("s")

        def told():
            # a scan that comes upon the file before it has its fd tells `open` without a process
            opened = self.find("open", since, process__pid=f.pid) or self.find("hold", since, process__pid=f.pid)
            if not opened or not self.find("release", since, file=opened.get("file")):
                return False
            return self.backend != "tracepoint" or self.find("delete", since, device__ifname="tws%d" % f.pid)

        def missed():
            # the sentinel's own may be among what was lost, or what a hook that the kernel skipped left out
            return self.find("lost", since) or self.find("resync", since)
        if self.wait(lambda: told() or missed(), 10) and told():
            return
        if attempts > 1 and missed():
            self.wait(lambda: self.find("resync", since), 20)
            self.settle(attempts - 1)
            return
        raise Failure("the sentinel's events did not come; its own:\n" + "\n".join(
            brief(e) for e in self.events[since:] if member(e, "process.pid") == f.pid))

    def state(self):
        """What all events so far add up to, and [(event, problem)]; each is applied once, however often this is asked."""
        events = self.events[self._applied:]
        self._applied += len(events)
        for event in events:
            problem = self._model.apply(event)
            if problem:
                self._wrong.append((event, problem))
        return self._model, self._wrong

    @contextlib.contextmanager
    def paused(self):
        """Stopped meanwhile: it reads afterwards, all at once, what was told of that."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def stop(self, sig=signal.SIGTERM, limit=20):
        """Ends it; returns its exit status. None: it had to be killed."""
        if self.sentinel:
            self.sentinel.end()
        status = None
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGCONT)
                self.process.send_signal(sig)
            status = self.process.wait(seconds(limit))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for thread in self.threads:
            thread.join(seconds(5))
        return status


def brief(event):
    """An event on one line, without what is of no interest in a comparison."""
    event = {k: v for k, v in event.items() if k not in ("time", "boottime_ns", "boot_id", "hooks", "vm")}
    for part, keep in (("process", ("pid", "tid", "uid", "comm", "netns")), ):
        if isinstance(event.get(part), dict):
            event[part] = {k: v for k, v in event[part].items() if k in keep}
    return json.dumps(event, ensure_ascii=True)


# ---- the state that the events add up to ---------------------------------

class Model:
    """Replays events. What contradicts the past is a problem."""
    def __init__(self):
        self.holders = set()    # (pid, fd, file id); two tables of a process may have two files under one number
        self.files = {}         # id -> {"device": id or None, "disabled": bool}
        self.devices = {}       # id -> members
        self.dead = set()       # device and file ids that must not come again

    def apply(self, event):
        """None or a problem."""
        name, file, device = event["event"], event.get("file"), event.get("device")
        holder = (member(event, "process.pid"), event.get("fd"), file)
        problem = None
        for known in (file, device and device.get("id")):
            if known in self.dead:
                problem = "%s is told of after its end" % known
        if device and "id" in device:
            self.devices.setdefault(device["id"], {}).update(device)
            if "master" not in device:
                self.devices[device["id"]].pop("master", None)
        if name == "open" and file in self.files:
            problem = "open of file %s, which was open" % file
        if file and name != "release":
            entry = self.files.setdefault(file, {"device": None, "disabled": False})
            if name in ("exist", "attach") and device:
                entry["device"], entry["disabled"] = device["id"], False
                if name == "exist":
                    entry["disabled"] = event.get("state") == "disabled"
            elif name in ("queue-detach", "queue-attach"):
                entry["disabled"] = name == "queue-detach"
        if name in ("open", "hold", "exist") and MISSING not in holder and holder[1] is not None:
            if (holder in self.holders) != (event.get("how") == "exec"):
                problem = "%s (%s) of %s by pid %s fd %s, which was %sheld" % (
                    name, event.get("how"), file, holder[0], holder[1], "" if holder in self.holders else "not ")
            self.holders.add(holder)
        elif name == "drop":
            if holder not in self.holders:
                problem = "drop of pid %s fd %s, which was not held for %s" % holder
            self.holders.discard(holder)
        elif name == "release":
            if any(held == file for _, _, held in self.holders):
                problem = "release of %s while it is held" % file
            self.files.pop(file, None)
            self.dead.add(file)
        elif name == "delete":
            gone = device.get("id") if device else None
            self.devices.pop(gone, None)
            self.dead.add(gone)
            for entry in self.files.values():
                if entry["device"] == gone:
                    entry["device"], entry["disabled"] = None, False
        return problem

    def of(self, pid, fd):
        """(file id, device members or None) of a holder's fd; (None, None) when unknown."""
        for holder in self.holders:
            if holder[:2] == (pid, fd) and holder[2] in self.files:
                return holder[2], self.devices.get(self.files[holder[2]]["device"])
        return None, None

    def fds(self, pid):
        """The numbers by which a process holds files, one for each table with it."""
        return sorted(fd for holder, fd, _ in self.holders if holder == pid)


# ---- daemons -------------------------------------------------------------

def daemon(*command, limit=60, env=None, **how):
    """A program of the kind that tells its service manager when it is ready (READY=1), started and ready."""
    name = "tapwatch-test-%d-%d" % (os.getpid(), time.monotonic_ns())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(os.environ, NOTIFY_SOCKET="@" + name, **(env or {})),
                                   **how)
        end = os.pidfd_open(process.pid)
        try:
            why = not_ready(manager, end, time.monotonic() + seconds(limit))
        finally:
            os.close(end)
    if why:
        process.kill()
        _, errors = process.communicate()
        raise Failure("%s %s: status %d%s" % (" ".join(command), why, process.returncode, "".join(
            "\nstderr: " + line for line in (errors or b"").decode(errors="replace").splitlines()[-20:])))
    return process


def not_ready(manager, end, until):
    """Waits for the word on the manager's socket; None, or why it did not come."""
    while True:
        told, _, _ = select.select([manager, end], [], [], max(0, until - time.monotonic()))
        if manager in told:
            if b"READY=1" in manager.recv(4096).split(b"\n"):
                return None
        elif end in told:
            return "ended before it was ready"
        else:
            return "was not ready in time"


# ---- one scenario --------------------------------------------------------

class Namespace:
    def __init__(self, name):
        self.name, self.path = name, os.path.join(NETNS_DIR, name)
        self.inode = inode(self.path)
        self.gone = False


class Scenario:
    """What a scenario function gets: fixtures, names, `ip`, and expect()."""
    serial = 0

    def __init__(self, watch=None):
        Scenario.serial += 1
        self.prefix = "t%xs%d" % (os.getpid() & 0xfffff, Scenario.serial)
        self.watch = watch
        self.own_watches = []
        self.at_end = []        # to be called then
        self.fixtures = []
        self.namespaces = []
        self.links = []         # others than taps, to be deleted: (name, namespace)
        self.pids = {os.getpid()}
        self.symbols = {}
        self.notes = []
        self.mark = self.start_mark = len(watch.events) if watch else 0
        self.told = []          # all expected so far

    # -- making things --

    def start(self, *args, env=None):
        """An own tapwatch, for scenarios that do not share one."""
        self.watch = Watch(*args, env=env)
        self.own_watches.append(self.watch)
        self.mark = self.start_mark = 0
        return self.watch

    def ifname(self, tail):
        name = self.prefix + tail
        assert len(name.encode()) <= 15, name
        return name

    def fixture(self, netns=None, command=None):
        f = Fixture(netns, command)
        self.fixtures.append(f)
        self.pids.add(f.pid)
        return f

    def netns(self, tail):
        name = "tw%d-%d%s" % (os.getpid(), Scenario.serial, tail)
        self.run("ip", "netns", "add", name)
        ns = Namespace(name)
        self.namespaces.append(ns)
        return ns

    def netns_delete(self, ns):
        ns.gone = True
        return self.run("ip", "netns", "del", ns.name)

    def run(self, *command, fails=False):
        """Runs a program to its end; returns it as an actor (pid, output, status)."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pids.add(process.pid)
        output, _ = process.communicate(timeout=seconds(30))
        if process.returncode and not fails:
            raise Failure("%s: status %d: %s" % (" ".join(command), process.returncode, output.decode(errors="replace")))
        actor = Pid(process.pid)
        actor.output, actor.status = output.decode(errors="replace"), process.returncode
        return actor

    def ip(self, *command, netns=None, fails=False):
        return self.run(*(["ip"] + (["-n", netns.name] if netns else []) + list(command)), fails=fails)

    def note(self, text):
        self.notes.append(text)

    # -- comparing --

    def mine(self, events):
        """The events that concern this scenario."""
        files, devices, pids = set(), set(), self.pids | {p.pid for f in self.fixtures for p in f.family()}

        def belongs(event):
            file, device = event.get("file"), event.get("device") or {}
            if (member(event, "process.pid") in pids or file in files or device.get("id") in devices
                    or str(device.get("ifname", "")).startswith(self.prefix)
                    or str(event.get("requested", "")).startswith(self.prefix)):
                files.update([file] if file else [])
                devices.update([device["id"]] if device.get("id") else [])
                return True
            return False
        events = [e for e in events if e["event"] not in ("ready", "lost", "resync")]
        for event in events:
            belongs(event)
        return [e for e in events if belongs(e)]

    def new(self):
        """My events since the last expect()."""
        earlier = self.watch.events[self.start_mark:self.mark]
        fresh = self.watch.events[self.mark:]
        known = {id(e) for e in self.mine(earlier + fresh)}
        return [e for e in fresh if id(e) in known]

    def expect(self, *patterns, limit=5):
        """Since the last call exactly these events have been told about this scenario."""
        patterns = flatten(patterns)
        want = count(patterns)
        self.watch.wait(lambda: len(self.new()) >= want, limit)
        self.watch.settle()
        got = self.new()
        self.mark = len(self.watch.events)
        why = match_all(patterns, got, self.symbols, self.watch.backend)
        if why:
            raise Failure("\n".join([why, "expected:"] + ["  %r" % p for p in patterns] + ["told:"] +
                                    ["  " + brief(e) for e in got] +
                                    ["ids: %s" % self.symbols]))
        self.told += got
        return got

    def processes(self):
        """Those that are alive and have not lost the way to us."""
        return [p for f in self.fixtures for p in f.family() if f.alive and p.alive]

    def check_list(self):
        """A fresh `list` says of each fixture what the events add up to, and check_truth()."""
        self.check_truth()
        model, _ = self.watch.state()
        listed = json.loads(self.run(Settings.tapwatch, "list", "--json").output)["bindings"]
        ids, wrong = {}, []
        for f in self.processes():
            rows = [row for row in listed if row.get("pid") == f.pid]
            if sorted(row["fd"] for row in rows) != model.fds(f.pid):
                wrong.append("pid %d holds fds %s by the events, and by the list %s" % (
                    f.pid, model.fds(f.pid), sorted(row["fd"] for row in rows)))
            for row in rows:
                wrong += row_of(model, row, ids)
        if wrong:
            raise Failure("the state told differs from a fresh list:\n" + "\n".join(wrong))

    def check_truth(self):
        """The state told is the state the kernel tells each fixture."""
        ours = {id(e) for e in self.mine(self.watch.events[self.start_mark:])}
        model, problems = self.watch.state()
        wrong = ["%s\n  %s" % (problem, brief(event)) for event, problem in problems if id(event) in ours]
        for f in self.processes():
            if not getattr(f, "partly_known", False):   # it held fds before, and nothing was to be seeded
                wrong += holders_of(model, f.pid)
            for slot in sorted(f.tun):
                wrong += truth_of(model, f, slot)
        if wrong:
            raise Failure("the state told differs from the kernel's:\n" + "\n".join(wrong))

    # -- the end --

    def cleanup(self):
        for f in self.fixtures:
            f.end()
        for watch in self.own_watches:
            watch.stop()
        for end in self.at_end:
            end()
        for ns in self.namespaces:
            if not ns.gone:
                quiet("ip", "netns", "del", ns.name)
        for name in os.listdir("/sys/class/net"):
            if name.startswith(self.prefix):
                quiet("ip", "link", "del", name)


TUN_DEVICE = os.makedev(10, 200)
O_PATH = 0o10000000


def tun_fds(pid):
    """The fds of a process for /dev/net/tun, in any of its tables, as /proc has them."""
    found = set()
    for task in os.listdir("/proc/%d/task" % pid):
        folder = "/proc/%d/task/%s/fd" % (pid, task)
        try:
            for fd in os.listdir(folder):
                if os.stat(os.path.join(folder, fd)).st_rdev == TUN_DEVICE and not is_opath(pid, task, fd):
                    found.add(int(fd))
        except OSError:     # a thread that ended
            continue
    return found


def is_opath(pid, task, fd):
    with open("/proc/%d/task/%s/fdinfo/%s" % (pid, task, fd), "rb") as info:
        return bool(int(re.search(rb"flags:\s*([0-7]+)", info.read()).group(1), 8) & O_PATH)


def holders_of(model, pid):
    """What differs between the model and /proc in the fds of a process."""
    kernel = sorted(tun_fds(pid))
    told = sorted(fd for fd in set(model.fds(pid)) if "tap" not in os.path.basename(readlink(pid, fd)))
    return [] if kernel == told else ["pid %d holds fds %s by the events, and by /proc %s" % (pid, told, kernel)]


def readlink(pid, fd):
    try:
        return os.readlink("/proc/%d/fd/%d" % (pid, fd))
    except OSError:
        return ""


def row_of(model, row, ids):
    """What differs between the model and a row of the list. ids: file id told -> the list's."""
    wrong = []
    candidates = [holder[2] for holder in model.holders if holder[:2] == (row["pid"], row["fd"])]
    for file in candidates:
        device = model.devices.get(model.files[file]["device"]) or {}
        if ids.get(file, row["file"]) != row["file"] or (row["file"] in ids.values() and file not in ids):
            wrong.append("pid %(pid)d fd %(fd)d: the list has another file" % row)
            continue
        wrong = ["pid %d fd %d: %s told %r, listed %r" % (row["pid"], row["fd"], key, device.get(key), row.get(key))
                 for key in ("ifname", "ifindex", "netns") if device.get(key) != row.get(key)]
        if not wrong:
            ids[file] = row["file"]
            break
    return wrong


def truth_of(model, f, slot):
    """What differs between the model and the kernel for one fd of a fixture."""
    fd = f.fds[slot]
    where = "pid %d fd %d (%s)" % (f.pid, fd, slot)
    file, device = model.of(f.pid, fd)
    if file is None:
        return ["%s: open, but not told of" % where]
    kernel = f.ask("getiff " + slot)
    if not kernel["ok"]:
        return ["%s: told as bound to %s, the kernel says %s" % (where, device, kernel["errno"])] if device else []
    if device is None:
        return ["%s: told as not bound, the kernel says %s" % (where, kernel)]
    wrong = ["%s: %s told %r, the kernel says %r" % (where, key, device.get(key), kernel[key])
             for key in ("ifname", "kind", "netns", "ifindex") if key in kernel and device.get(key) != kernel[key]]
    if model.files[file]["disabled"] != kernel["detached"]:
        wrong.append("%s: queue told as %s, the kernel says detached: %s" % (
            where, "disabled" if model.files[file]["disabled"] else "enabled", kernel["detached"]))
    flags = device.get("flags")
    if flags is not None:
        for name, bit in (("multi_queue", 0x100), ("persist", 0x800), ("vnet_hdr", 0x4000)):
            if (name in flags) != bool(kernel["flags"] & bit):
                wrong.append("%s: flags told %s, the kernel says %#x" % (where, flags, kernel["flags"]))
    socket = f.ask("sknetns " + slot)
    if socket["ok"] and device.get("socket_netns", socket["netns"]) != socket["netns"] and len(
            [e for e in model.files.values() if e["device"] == device["id"]]) == 1:
        wrong.append("%s: socket_netns told %s, the kernel says %s" % (where, device["socket_netns"], socket["netns"]))
    return wrong


def flatten(items):
    out = []
    for item in items:
        if isinstance(item, (list, tuple)):
            out += flatten(item)
        else:
            out.append(item)
    return out


def quiet(*command):
    """Runs a program whose failure does not matter, nor its absence. Its exit status."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode
    except OSError:
        return 127


# ---- sequences met again and again ---------------------------------------

def born(f, slot, file, dev, facts, **members):
    """open and the TUNSETIFF that made the device; facts: setiff's answer."""
    return [E("open", f, slot, file=file), made(f, slot, file, dev, facts, **members)]


def made(f, slot, file, dev, facts, **members):
    want = {k: facts[k] for k in ("ifname", "ifindex", "netns", "kind") if k in facts}
    want.update(created=True, queues=1)
    want.update(members)
    return E("attach", f, slot, file=file, dev=dev, **want)


def closed(f, slot, file, how="close"):
    """The last fd of a file goes, and the file with it."""
    return [E("drop", f, slot, file=file, how=how), E("release", file=file)]


def died(f, slot, file, dev, how="close", delete="last-close"):
    """The same for a device's last file."""
    return closed(f, slot, file, how) + [E("delete", f, dev=dev, how=delete)]


def cleanup_all():
    """Whatever this run could have left behind."""
    run = "tw%d-" % os.getpid()
    for name in os.listdir(NETNS_DIR) if os.path.isdir(NETNS_DIR) else []:
        if name.startswith(run):
            quiet("ip", "netns", "del", name)
    for name in os.listdir("/sys/class/net"):
        if re.match("t%xs\\d+" % (os.getpid() & 0xfffff), name):
            quiet("ip", "link", "del", name)


def comment(text):
    for line in str(text).split("\n"):
        print("# " + line)
    sys.stdout.flush()
