# SPDX-License-Identifier: GPL-2.0-only
"""The state that a stream of events adds up to, and its comparison with a truth.

State replays `tapwatch watch --json` from nothing: who holds which file, to
which device each file is bound, what is known of each device. What the past
does not allow is a problem.

A truth, and what `tapwatch list --json` says, are brought into the form of
Picture. compare() tells two pictures apart row by row, with the identities
that each has its own names for matched one to one by a Pairing, which may
outlive many comparisons.
"""

TICK_NS = 10_000_000    # /proc/PID/stat counts in hundredths of a second


# An event may be told later than younger ones: a scan that is under way when the machine is busy takes that long.
LAG_NS = 10_000_000_000


class Picture:
    """What is, at one moment, by somebody's own names of files and devices."""
    def __init__(self):
        self.rows = set()       # (pid, fd, file)
        self.people = {}        # pid -> members that are compared
        self.files = {}         # name -> members that are compared, "device" among them (a name or None)
        self.devices = {}       # name -> members that are compared
        self.unheld = set()     # files that live without any fd


class Pairing:
    """Names here and names there, one to one, for good."""
    def __init__(self, what):
        self.what, self.there, self.here = what, {}, {}

    def pair(self, a, b):
        """Makes or confirms a pair. None or what is wrong."""
        if self.there.setdefault(a, b) != b:
            return "%s %s is %s, but was %s" % (self.what, a, b, self.there[a])
        if self.here.setdefault(b, a) != a:
            return "%s %s is %s, but was %s" % (self.what, b, a, self.here[b])
        return None

    def copy(self):
        other = Pairing(self.what)
        other.there, other.here = dict(self.there), dict(self.here)
        return other


# ---- replay -------------------------------------------------------------------

class State:
    """Replays events; problems are (event, text)."""
    def __init__(self, strict_how=True):
        self.holders = set()    # (pid, start_ns, fd, file)
        self.comms = {}         # (pid, start_ns) -> comm, as last told
        self.files = {}         # id -> {"device", "disabled", "orphaned", "socket_netns", "vhost"}
        self.devices = {}       # id -> members
        self.ended = set()      # ids that must not come again
        self.problems = []
        self.strict_how = strict_how
        self.seq = None
        self.last_ns = 0
        self.healing = False    # between `lost` and `resync`: what follows from the loss is told
        self.counts = {}
        self.unknowable = 0     # files nobody could see when the stream began, and that may yet come up

    def apply(self, event):
        name = event["event"]
        self.counts[name] = self.counts.get(name, 0) + 1
        self._order(event)
        self._known(event)
        handler = getattr(self, "_" + name.replace("-", "_"), None)
        if handler:
            handler(event)

    def problem(self, event, text, *args):
        self.problems.append((event, text % args))

    def _order(self, event):
        if self.seq is not None and event["seq"] != self.seq + 1:
            self.problem(event, "seq %d after %d", event["seq"], self.seq)
        self.seq = event["seq"]
        time = event["boottime_ns"]
        if time < self.last_ns - LAG_NS:
            self.problem(event, "%.3f s older than an event before it", (self.last_ns - time) / 1e9)
        self.last_ns = max(self.last_ns, time)

    def _known(self, event):
        """Ids begin and end as they must; what is told of a device is taken down."""
        file, device, name = event.get("file"), event.get("device"), event["event"]
        for known in (file, device and device.get("id")):
            if known in self.ended:
                self.problem(event, "%s of %s, which had ended", name, known)
        if file and file not in self.files:
            if name == "hold" and self.unknowable > 0:
                self.unknowable -= 1
            elif name not in ("open", "exist"):
                self.problem(event, "%s of a file that was never opened", name)
            self.files[file] = {"device": None, "disabled": False, "orphaned": False, "socket_netns": None,
                                "vhost": False}
        if file and event.get("socket_netns"):
            self.files[file]["socket_netns"] = event["socket_netns"]
        if device and "id" in device:
            if device["id"] not in self.devices and not (
                    name == "exist" or name == "attach" and (event.get("created") or self.healing
                                                             or event.get("source") == "seed")):
                self.problem(event, "%s of a device that was never told of", name)
            if device["id"] in self.devices and name == "attach" and event.get("created"):
                self.problem(event, "a known device was created")
            known = self.devices.setdefault(device["id"], {})
            known.update(device)
            for member in ("owner", "group", "master", "netns_name"):
                if member not in device:
                    known.pop(member, None)
            if file and device.get("socket_netns"):
                self.files[file]["socket_netns"] = device["socket_netns"]

    @staticmethod
    def _holder(event):
        process = event.get("process") or {}
        if "pid" not in process or "fd" not in event:
            return None
        return process["pid"], process.get("start_ns"), event["fd"], event["file"]

    def _comm(self, event):
        process = event.get("process") or {}
        if "comm" in process:
            self.comms[process["pid"], process.get("start_ns")] = process["comm"]

    def _hold(self, event):
        holder = self._holder(event)
        if not holder:
            if event["event"] == "hold":
                self.problem(event, "hold without a holder")
            return
        if holder in self.holders and event.get("how") != "exec":
            self.problem(event, "%s of what was held", event["event"])
        if event["event"] == "hold" and holder not in self.holders and event.get("how") == "exec":
            self.problem(event, "passed by exec, but was not held")
        self._how(event)
        self.holders.add(holder)
        self._comm(event)

    def _how(self, event):
        if (self.strict_how and event["event"] in ("hold", "drop") and event.get("source") != "seed"
                and "how" not in event):
            self.problem(event, "%s without how", event["event"])

    def _open(self, event):
        self._hold(event)

    def _exist(self, event):
        file, device = event.get("file"), event.get("device")
        if file:
            self._hold(event)
            entry = self.files[file]
            entry["device"] = device["id"] if device else None
            entry["disabled"] = event.get("state") == "disabled"
            entry["orphaned"] = event.get("state") == "orphaned"

    def _drop(self, event):
        holder = self._holder(event)
        if not holder:
            self.problem(event, "drop without a holder")
        elif holder not in self.holders:
            self.problem(event, "drop of what was not held")
        self._how(event)
        self.holders.discard(holder)

    def _release(self, event):
        file = event["file"]
        left = [h for h in self.holders if h[3] == file]
        if left:
            self.problem(event, "released, but held: %s", left)
            self.holders.difference_update(left)
        self.files.pop(file, None)
        self.ended.add(file)

    def _attach(self, event):
        if "device" not in event:
            self.problem(event, "attach without a device")
            return
        if "file" in event:  # without: a device that was found, and who made it is still to be told
            self.files[event["file"]].update(device=event["device"]["id"], disabled=False, orphaned=False)

    def _queue_detach(self, event):
        self.files[event["file"]]["disabled"] = True

    def _queue_attach(self, event):
        self.files[event["file"]]["disabled"] = False

    def _vhost(self, event):
        if event.get("file") in self.files:
            self.files[event["file"]]["vhost"] = event.get("value", False)

    def _delete(self, event):
        device = (event.get("device") or {}).get("id")
        self.devices.pop(device, None)
        self.ended.add(device)
        for entry in self.files.values():
            if entry["device"] == device:
                entry.update(device=None, disabled=False, orphaned=True)

    def _lost(self, _event):
        self.healing = True

    def _resync(self, _event):
        self.healing = False

    def picture(self, mine, spaces):
        """mine: file members -> bool; spaces: numbers of the namespaces whose devices count."""
        out = Picture()
        for file, entry in self.files.items():
            if mine(entry):
                out.files[file] = {"device": entry["device"], "state": state_of(entry)}
                if entry["socket_netns"] is not None:
                    out.files[file]["socket_netns"] = entry["socket_netns"]
                if not entry["vhost"]:  # a reference that no look from outside can show
                    out.unheld.add(file)
        for pid, start, fd, file in self.holders:
            if file not in out.files:
                continue
            out.rows.add((pid, fd, file))
            out.unheld.discard(file)
            out.people[pid] = {"start": start // TICK_NS if start is not None else None,
                               "comm": self.comms.get((pid, start))}
        used = {entry["device"] for entry in out.files.values()}
        for name, device in self.devices.items():
            if name in used or device.get("netns") in spaces:
                out.devices[name] = device_members(device)
        return out


def state_of(entry):
    if entry["device"] is None:
        return "orphaned" if entry["orphaned"] else "unbound"
    return "disabled" if entry["disabled"] else "bound"


MAY_BE_UNKNOWN = ("mac", "up", "queues", "disabled_queues")
FLAGS = ("multi_queue", "persist", "vnet_hdr", "no_pi")


def device_members(device):
    """What is compared of a device as events and list tell it."""
    out = {k: device.get(k) for k in ("kind", "ifname", "ifindex", "netns", "mac", "up", "queues", "disabled_queues",
                                      "owner", "group") if k in device}
    if "flags" in device:
        out["flags"] = tuple(f for f in FLAGS if f in device["flags"])
    return out


def picture_of_list(rows, mine):
    """Of `tapwatch list --json`'s bindings; mine: row -> bool."""
    out = Picture()
    for row in rows:
        if not mine(row):
            continue
        file, device, pid = row.get("file"), row.get("device"), row.get("pid")
        if device:
            out.devices.setdefault(device, device_members(row))
        if file:
            out.files[file] = {"device": device, "state": row["state"]}
            if "socket_netns" in row:
                out.files[file]["socket_netns"] = row["socket_netns"]
            if pid is None:
                out.unheld.add(file)
        if pid is not None:
            out.rows.add((pid, row["fd"], file))
            out.people[pid] = {"comm": row.get("command")}
    return out


# ---- comparison -----------------------------------------------------------------

class Difference:
    """One row that differs, and what it is about, to look for in events and logs."""
    def __init__(self, text, file=None, device=None, pid=None, fd=None):
        self.text, self.file, self.device, self.pid, self.fd = text, file, device, pid, fd

    def __repr__(self):
        return self.text


def by_place(rows):
    out = {}
    for pid, fd, file in rows:
        out.setdefault((pid, fd), set()).add(file)
    return out


def compare(truth, told, files, devices, optional=(), unheld=True, spare=0):
    """Differences of `told` from `truth`; Pairings go from truth's names to told's.

    optional: members that need not be told right; unheld: files without an fd are told, and of so many
    more (spare), which nobody could see at first, it is not known whether they are."""
    out = compare_rows(truth, told, files)
    if unheld:
        out += compare_unheld(truth, told, files, spare)
    for name, members in truth.files.items():
        other = told.files.get(files.there.get(name))
        if other is not None:
            out += compare_file(name, files.there[name], members, other, devices)
    out += compare_devices(truth, told, devices, optional)
    for pid, members in truth.people.items():
        for key, value in told.people.get(pid, {}).items():
            if value is not None and key in members and members[key] != value:
                out.append(Difference("process %d: %s is %r, told %r" % (pid, key, members[key], value), pid=pid))
    return out


def compare_rows(truth, told, files):
    out = []
    here, there = by_place(truth.rows), by_place(told.rows)
    for place in sorted(set(here) | set(there)):
        a, b = set(here.get(place, ())), set(there.get(place, ()))
        for name in sorted(a):      # a table of each thread: what is known already first
            if files.there.get(name) in b:
                b.remove(files.there[name])
                a.remove(name)
        if len(a) == 1 and len(b) == 1:
            name, other = a.pop(), b.pop()
            wrong = files.pair(name, other)
            if wrong:
                out.append(Difference("pid %d fd %d: %s" % (place + (wrong,)), other, None, *place))
        elif len(a) != len(b):
            out += [Difference("pid %d fd %d holds file %s, not told (told of it: %s)" % (
                place + (name, files.there.get(name))), files.there.get(name), None, *place) for name in a]
            out += [Difference("pid %d fd %d told to hold %s, does not (it is file %s)" % (
                place + (name, files.here.get(name))), name, None, *place) for name in b]
    return out


def compare_unheld(truth, told, files, spare):
    out = []
    left = [name for name in truth.unheld if files.there.get(name) not in told.unheld]
    over = [name for name in told.unheld if files.here.get(name) not in truth.unheld]
    for name in list(left):
        if name in files.there:
            out.append(Difference("file %s (%s) lives without an fd, told: %s" % (
                name, files.there[name], told.files.get(files.there[name], "it is gone")), files.there[name]))
            left.remove(name)
    for name in list(over):
        if name in files.here:
            out.append(Difference("file %s told to live without an fd, is gone or held (it is file %s)" % (
                name, files.here[name]), name))
            over.remove(name)
    if len(left) == len(over) == 1 and not spare:
        files.pair(left[0], over[0])
    elif not 0 <= len(over) - len(left) <= spare:
        out.append(Difference("files without an fd, met there only: %s, told: %s (all of them there: %s; told: %s)" % (
            left, over, {name: files.there.get(name) for name in truth.unheld}, sorted(told.unheld)),
                              over[0] if over else None))
    return out


def compare_file(name, other_name, members, other, devices):
    out = []
    for key, value in other.items():
        want = members.get(key)
        if key == "device":
            if (want is None) != (value is None):
                out.append("device is %s, told %s" % (want, value))
            elif want is not None:
                out.append(devices.pair(want, value))
        elif key == "state" and want == "no device":
            out.append(None if value in ("unbound", "orphaned") else "is not bound, told %s" % value)
        elif want is not None and want != value:
            out.append("%s is %r, told %r" % (key, want, value))
    return [Difference("file %s (%s): %s" % (name, other_name, text), other_name, other.get("device"))
            for text in out if text]


def compare_devices(truth, told, devices, optional):
    out = []
    place = {(d.get("netns"), d.get("ifindex")): name for name, d in told.devices.items()}
    for name, members in truth.devices.items():
        other_name = devices.there.get(name, place.get((members["netns"], members["ifindex"])))
        wrong = devices.pair(name, other_name) if other_name else "device %s is not told: %s" % (name, members)
        other = told.devices.get(other_name)
        if not wrong and other is None:
            wrong = "device %s (%s) told to be gone, is %s" % (name, other_name, members)
        if wrong:
            out.append(Difference(wrong, device=other_name))
            continue
        for key in sorted(set(members) | set(other)):
            if key in MAY_BE_UNKNOWN and (key not in members or key not in other):
                continue
            if members.get(key) != other.get(key) and key not in optional:
                out.append(Difference("device %s (%s): %s is %r, told %r" % (
                    name, other_name, key, members.get(key), other.get(key)), device=other_name))
    for other_name in told.devices:
        if devices.here.get(other_name) not in truth.devices:
            out.append(Difference("device %s told, is not there: %s" % (other_name, told.devices[other_name]),
                                  device=other_name))
    return out
