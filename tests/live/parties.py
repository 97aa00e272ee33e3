#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Real programs that hand a tap on: who has it, and how it came there. TAP.

    tests/vm/run --share DIR 6.12 -- tests/live/parties.py [--backend NAME] [--save DIR]

For a guest, not for a machine that is used: it starts dbus and libvirtd, hides
the machine's own configuration of libvirt, and writes another. --save keeps
what `who`, `watch` and `vms` say.

One `tapwatch watch` and one `tapwatch record` are there for all of them: in an
emulated guest a start takes five seconds and an end three.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import machines
import tw
from points import Report
from scenarios import run_shared
from tw import Failure, Skip, member

QEMU = "/usr/bin/qemu-system-x86_64"
HELPER = "/usr/lib/qemu/qemu-bridge-helper"
MACHINE = ["-S", "-display", "none", "-nodefaults", "-m", "64"]

save_dir = None
recorder = None


def need(*programs):
    for program in programs:
        if not any(os.access(os.path.join(d, program), os.X_OK) for d in ("/usr/bin", "/usr/sbin")) and not os.access(
                program, os.X_OK):
            raise Skip("no %s" % program)


class Party:
    """The programs that a scenario starts, and what is told, recorded and kept of it all."""
    def __init__(self, s, name):
        self.s, self.name, self.processes = s, name, []
        self.watch = s.watch
        self.text = None
        if save_dir:
            with open(os.path.join(save_dir, name + ".events.txt"), "w") as out:
                self.text = subprocess.Popen([tw.Settings.tapwatch, "watch", "--backend", tw.Settings.backend],
                                             stdin=subprocess.DEVNULL, stdout=out)
            self.wait_for_text("-- ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes + ([self.text] if self.text else []):
            process.terminate()
            process.wait(tw.seconds(20))

    def wait_for_text(self, words):
        end = time.monotonic() + tw.seconds(20)
        while time.monotonic() < end:
            with open(os.path.join(save_dir, self.name + ".events.txt")) as told:
                if words in told.read():
                    return
            time.sleep(0.05)

    def program(self, *command, **how):
        """In the background, until the end."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **how)
        self.processes.append(process)
        self.s.pids.add(process.pid)
        return process

    def until(self, event, **members):
        """Waits for it; its members as paths, with __ for the dots."""
        found = self.watch.wait(lambda: self.watch.find(event, self.s.start_mark, **members), 60)
        if not found:
            raise Failure("no %s with %s; told:\n%s" % (
                event, members, "\n".join(tw.brief(e) for e in self.s.mine(self.watch.events))))
        return found

    def who(self, ifname, *wanted):
        """Has to contain these, in this order."""
        text = self.s.run(tw.Settings.tapwatch, "who", ifname).output
        if save_dir:
            with open(os.path.join(save_dir, self.name + ".who.txt"), "w") as out:
                out.write("# tapwatch who %s\n%s" % (ifname, text))
        at = 0
        for words in wanted:
            at = text.find(words, at)
            if at < 0:
                raise Failure("who: no %r, or not there, in:\n%s" % (words, text))

    def story(self, file):
        """(event, how, comm) of all that was told about who holds a file."""
        return [(e["event"], e.get("how"), member(e, "process.comm")) for e in self.watch.events
                if e.get("file") == file and e["event"] in ("open", "hold", "drop", "release")]

    def exactly(self, file, *steps):
        if self.story(file) != list(steps):
            raise Failure("the story should be\n%s\nand is\n%s" % (
                "\n".join(map(str, steps)), "\n".join(map(str, self.story(file)))))

    def recorded(self, event, vm):
        """Waits until the recorder has written it, for each time that it was told."""
        told = len([e for e in self.watch.events if e["event"] == event and member(e, "vm.name") == vm])
        recorder.until(event, count=told, ours='"%s"' % vm)

    def tapwatch(self, *args):
        text = self.s.run(tw.Settings.tapwatch, *args, "--db", recorder.db).output
        if save_dir:
            with open(os.path.join(save_dir, self.name + ".vms.txt"), "a") as out:
                out.write("# tapwatch %s\n%s\n" % (" ".join(args), text))
        return text

    def timeline(self, vm, *wanted):
        """`vms NAME` has to contain these, in this order."""
        text = self.tapwatch("vms", vm)
        at = 0
        for words in wanted:
            at = text.find(words, at)
            if at < 0:
                raise Failure("vms %s: no %r, or not there, in:\n%s" % (vm, words, text))
        return text


def in_order(story, *steps):
    at = 0
    for step in steps:
        try:
            at = story.index(step, at) + 1
        except ValueError:
            raise Failure("no %s, or not there, in the story:\n%s" % (step, "\n".join(map(str, story)))) from None


def wrapper(s):
    """QEMU started by a wrapper that opens the tap, renumbers it to fd 27 and execs"""
    need(QEMU)
    with Party(s, "wrapper") as p:
        f, name = s.fixture(), s.ifname("a")
        f.open("x")
        f.setiff("x", name, "tap", "vnet_hdr")
        f.dup2("x", "y", 27)
        f.close("x")
        f.send("exec %s -name web00 %s -netdev tap,id=net0,fd=27 -device virtio-net-pci,netdev=net0" % (
            QEMU, " ".join(MACHINE)))
        hold = p.until("hold", process__pid=f.pid, how="exec")
        file = hold["file"]
        if hold["fd"] != 27 or member(hold, "old.comm") != "tapfix":
            raise Failure("hold by exec: %s" % tw.brief(hold))
        p.until("vm-start", process__pid=f.pid)
        p.who(name, "held by qemu-system-x86", "through fd 27", "opened by tapfix")
        f.kill()
        p.until("release", file=file)
        p.exactly(file, ("open", None, "tapfix"), ("hold", "dup", "tapfix"), ("drop", "close", "tapfix"),
                  ("hold", "exec", "qemu-system-x86"), ("drop", "exit", "qemu-system-x86"),
                  ("release", None, "qemu-system-x86"))


def have(path, *lines):
    """In the guest only: what a package would have added."""
    with open(path) as old:
        names = {line.split(":")[0] for line in old}
    with open(path, "a") as out:
        out.writelines(line + "\n" for line in lines if line.split(":")[0] not in names)


class Libvirt:
    """libvirtd and what it needs, started by nobody else, on a machine where the packages may just have been unpacked.

    No systemd made its directories there. And if the machine is one where libvirt is used, what it
    has of its own (networks, domains to be started) is not to come up in the guest.
    """
    DIRECTORIES = "/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt"

    def __init__(self, s):
        self.s, self.logs = s, []
        for directory in self.DIRECTORIES:
            os.makedirs(directory, exist_ok=True)
            s.run("mount", "-t", "tmpfs", "tmpfs", directory)
        for directory in "/run/dbus", "/run/libvirt":
            os.makedirs(directory, exist_ok=True)
        # libvirt's own users come with the package that also starts the daemon, which the tests do not need
        have("/etc/group", "kvm:x:64056:", "libvirt:x:64057:", "libvirt-qemu:x:64055:")
        have("/etc/passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin")
        with open("/etc/libvirt/qemu.conf", "w") as out:
            out.write('user = "root"\ngroup = "root"\nsecurity_driver = "none"\n')
        for command in ["dbus-daemon", "--system", "--nofork", "--nopidfile"], ["virtlogd"], ["libvirtd"]:
            self.start(*command)

    def start(self, *command):
        self.logs.append("/tmp/%s.log" % command[0])
        with open(self.logs[-1], "w") as out:
            try:
                process = tw.daemon(*command, stdout=out, stderr=out, env={"LIBVIRT_LOG_OUTPUTS": "2:stderr"})
            except Failure as failure:
                raise self.failure(failure) from None
        self.s.at_end[:0] = [process.kill, process.wait]

    def failure(self, why):
        """With what the daemons said."""
        text = [str(why)]
        for log in self.logs:
            with open(log, errors="replace") as told:
                text += ["%s: %s" % (os.path.basename(log), line.rstrip("\n")) for line in told.readlines()[-20:]]
        return Failure("\n".join(text))

    def virsh(self, *args):
        # libvirtd is ready before its drivers are: the first call waits for them, or sees it end
        try:
            self.s.run("virsh", "-c", "qemu:///system", *args)
        except (Failure, subprocess.TimeoutExpired) as why:
            raise self.failure(why) from None


DOMAIN = """<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>%s</emulator><interface type='bridge'><source bridge='%s'/><target dev='%s'/>
<model type='virtio'/></interface></devices></domain>"""


def libvirt(s):
    """libvirtd starts a domain with a tap on a bridge: it opens, QEMU holds"""
    need("libvirtd", "virtlogd", "dbus-daemon", "virsh", QEMU)
    bridge, name, domain = s.ifname("b"), s.ifname("v"), s.ifname("web")
    libvirtd = Libvirt(s)
    s.ip("link", "add", bridge, "type", "bridge")
    s.links.append((bridge, None))
    path = "/tmp/%s.xml" % domain
    with open(path, "w") as out:
        out.write(DOMAIN % (domain, QEMU, bridge, name))
    with Party(s, "libvirt") as p:
        libvirtd.virsh("create", path)
        attach = p.until("attach", device__ifname=name)
        file = attach["file"]
        p.until("hold", file=file, how="exec", process__comm="qemu-system-x86")
        p.watch.settle()
        # the child is named after the thread that forked it
        in_order(p.story(file), ("open", None, "libvirtd"), ("hold", "fork", "rpc-libvirtd"),
                 ("hold", "exec", "qemu-system-x86"))
        in_order(p.story(file), ("open", None, "libvirtd"), ("drop", "close", "libvirtd"))
        p.until("master", device__ifname=name)
        held = held_by(p.watch, file)
        if [member(e, "process.comm") for e in held_events(p.watch, held)] != ["qemu-system-x86"]:
            raise Failure("held by %s; story:\n%s" % (held, "\n".join(map(str, p.story(file)))))
        p.who(name, "held by qemu-system-x86", "opened by libvirtd")
        hot = s.ifname("h")
        libvirtd.virsh("attach-interface", domain, "bridge", bridge, "--target", hot, "--model", "virtio")
        plugged = p.until("hold", device__ifname=hot, how="scm_rights", process__comm="qemu-system-x86")
        if member(plugged, "vm.name") != domain or member(plugged, "vm.manager") != "libvirt":
            raise Failure("hot-plugged: %s" % tw.brief(plugged))
        p.tapwatch("vms")
        libvirtd.virsh("destroy", domain)
        p.until("release", file=file)
        p.until("delete", device__ifname=name)
        # it closes the fd itself, when it has the time
        if [(event, comm) for event, _, comm in p.story(file)][-2:-1] != [("drop", "qemu-system-x86")]:
            raise Failure("the end of the story:\n%s" % "\n".join(map(str, p.story(file))))
        p.until("vm-stop", vm__name=domain)
        p.recorded("vm-stop", domain)
        p.timeline(domain, "open", "libvirtd", "joined " + bridge, "vm-start", "of libvirt, prepared by libvirtd",
                   hot, "received over a socket", "vm-stop")


def held_by(watch, file):
    model = tw.Model()
    for event in watch.events:
        model.apply(event)
    return {holder[:2] for holder in model.holders if holder[2] == file}


def held_events(watch, holders):
    """The last event that told of each holder."""
    last = {}
    for event in watch.events:
        holder = (member(event, "process.pid"), event.get("fd"))
        if event["event"] in ("open", "hold") and holder in holders:
            last[holder] = event
    return list(last.values())


def bridge_helper(s):
    """qemu-bridge-helper makes the tap, sends its fd over a socket and exits"""
    need(QEMU, HELPER)
    bridge = s.ifname("b")
    s.ip("link", "add", bridge, "type", "bridge")
    os.makedirs("/etc/qemu", exist_ok=True)
    with open("/etc/qemu/bridge.conf", "w") as out:
        out.write("allow all\n")
    with Party(s, "bridge-helper") as p:
        vm = p.program(QEMU, "-name", "web02", *MACHINE, "-netdev", "bridge,id=net0,br=%s,helper=%s" % (bridge, HELPER),
                       "-device", "virtio-net-pci,netdev=net0")
        hold = p.until("hold", process__pid=vm.pid, how="scm_rights")
        p.watch.settle()
        file, name = hold["file"], member(hold, "device.ifname")
        in_order(p.story(file), ("open", None, "qemu-bridge-hel"), ("hold", "scm_rights", "qemu-system-x86"))
        in_order(p.story(file), ("open", None, "qemu-bridge-hel"), ("drop", "close", "qemu-bridge-hel"))
        if held_by(p.watch, file) != {(vm.pid, hold["fd"])}:
            raise Failure("held by %s" % held_by(p.watch, file))
        p.who(name, "held by qemu-system-x86", "opened by qemu-bridge-hel")
        vm.kill()
        p.until("release", file=file)
    s.ip("link", "del", bridge)


def slirp4netns(s):
    """slirp4netns makes a tap in another namespace, and gets its fd from there over a socket"""
    need("slirp4netns")
    inside = s.fixture()
    inside.do("unshare net")
    with Party(s, "slirp4netns") as p:
        slirp = p.program("slirp4netns", "--configure", str(inside.pid), s.ifname("t"), stderr=subprocess.DEVNULL)
        hold = p.until("hold", process__pid=slirp.pid, how="scm_rights")
        p.watch.settle()
        file = hold["file"]
        in_order(p.story(file), ("open", None, "slirp4netns"), ("hold", "scm_rights", "slirp4netns"))
        if held_by(p.watch, file) != {(slirp.pid, hold["fd"])}:
            raise Failure("held by %s" % held_by(p.watch, file))
        p.who(s.ifname("t"), "held by slirp4netns (pid %d" % slirp.pid, "opened by slirp4netns")


def machine_start(s):
    """QEMU with vhost by a wrapper, from its start to the first packets, which its network boot sends"""
    need(QEMU)
    name, bridge = s.ifname("a"), s.ifname("b")
    s.ip("link", "add", bridge, "up", "type", "bridge")
    s.links.append((bridge, None))
    with Party(s, "start") as p:
        f = s.fixture()
        f.open("x")
        f.setiff("x", name, "tap", "vnet_hdr", "no_pi")
        s.ip("link", "set", name, "up", "master", bridge)
        f.open("v", "/dev/vhost-net")
        f.dup2("x", "y", 27)
        f.dup2("v", "w", 28)
        f.close("x")
        f.close("v")
        f.send("exec %s -name web01 -display none -nodefaults -m 64 -boot n -netdev tap,id=net0,fd=27,vhost=on,vhostfd=28 "
               "-device virtio-net-pci,netdev=net0" % QEMU)
        p.until("vm-start", process__pid=f.pid)
        p.until("vhost", value=True, device__ifname=name)
        out = p.until("first-packet", device__ifname=name, direction="out")
        end = time.monotonic() + tw.seconds(60)
        while not p.watch.find("first-packet", device__ifname=name, direction="in") and time.monotonic() < end:
            machines.send_frame(bridge)
            p.watch.wait(lambda: p.watch.find("first-packet", device__ifname=name, direction="in"), 0.02)
        p.until("first-packet", device__ifname=name, direction="in")
        if member(out, "vm.name") != "web01" or not out["after_boottime_ns"] < out["boottime_ns"]:
            raise Failure("first-packet: %s" % out)
        p.tapwatch("vms")
        f.kill()
        p.until("vm-stop", process__pid=f.pid)
        p.recorded("vm-stop", "web01")
        p.timeline("web01", "process %d started" % f.pid, "created tap", "joined " + bridge, "passed through exec by tapfix",
                   "vm-start", "taken by vhost-net", "out of the machine", "vm-stop")
        p.tapwatch("vms", "--stats")


def same_name(s):
    """two machines whose taps have the same name in different namespaces, and a third that is refused one"""
    need(QEMU)
    name, spaces = s.ifname("a"), [s.netns("a"), s.netns("b")]
    with Party(s, "same-name") as p:
        vms = []
        for i, ns in enumerate(spaces):
            s.ip("tuntap", "add", name, "mode", "tap", netns=ns)
            vms.append(p.program("ip", "netns", "exec", ns.name, QEMU, "-name", "twin%d" % i, *MACHINE, "-netdev",
                                 "tap,id=n,ifname=%s,script=no,downscript=no" % name, "-device", "virtio-net-pci,netdev=n"))
            p.until("vm-start", vm__name="twin%d" % i)
        refused = subprocess.run(["ip", "netns", "exec", spaces[1].name, QEMU, "-name", "late", *MACHINE, "-netdev",
                                  "tap,id=n,ifname=%s,script=no,downscript=no" % name], stdin=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, check=False, timeout=tw.seconds(60))
        failed = p.until("attach-failed", requested=name)
        if refused.returncode == 0 or [h["pid"] for h in failed["held_by"]] != [vms[1].pid]:
            raise Failure("refused by the wrong one: %s" % failed)
        p.recorded("vm-start", "twin1")
        table = p.tapwatch("vms", "--at", "now", "-n", "-r", "-o", "vm_name,pid,ifname,netns_name")
        if [line.split() for line in table.splitlines()] != [
                ["twin%d" % i, str(vms[i].pid), name, spaces[i].name] for i in range(2)]:
            raise Failure("vms:\n%s" % table)
        for vm in vms:
            vm.kill()
        for i, ns in enumerate(spaces):
            p.until("vm-stop", vm__name="twin%d" % i)
            p.recorded("vm-stop", "twin%d" % i)
        for i, ns in enumerate(spaces):
            other = spaces[1 - i]
            text = p.timeline("twin%d" % i, "created tap", "process %d started" % vms[i].pid, "vm-start", "vm-stop")
            if "[%d]" % other.inode in text or ("EBUSY: %s is held by qemu" % name in text) != (i == 1):
                raise Failure("the timeline of one tells of the other:\n%s" % text)
        # it ends at once: on a slow machine before its command line could be read, and then who it was is not known
        events = [json.loads(line) for line in p.tapwatch("history", "-J", "-e", "attach-failed").splitlines()]
        known = any(member(e, "vm.name") == "late" for e in events if member(e, "process.pid") == member(failed, "process.pid"))
        if ("late (qemu), pid" in p.tapwatch("vms", "--stats")) != known:
            raise Failure("the refused one is %s among those that failed" % ("not" if known else "named"))


PARTIES = [wrapper, libvirt, bridge_helper, slirp4netns, machine_start, same_name]


def main():
    global save_dir, recorder
    parser = argparse.ArgumentParser(description="real programs that hand a tap on, TAP output")
    parser.add_argument("--backend", default="auto", choices=("auto", "fentry", "kprobe", "tracepoint"))
    parser.add_argument("--save", metavar="DIR")
    parser.add_argument("--only", action="append")
    parser.add_argument("--verbose", action="store_true", help="print how long each took")
    args = parser.parse_args()
    tw.Settings.backend, tw.Settings.verbose, save_dir = args.backend, args.verbose, args.save
    if "TAPWATCH_VM" not in os.environ:
        print("1..0 # SKIP for a guest only: see --help")
        return 0
    os.environ.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    tw.quiet("modprobe", "-a", "tun", "vhost_net", "bridge")
    chosen = [("parties/" + f.__name__.replace("_", "-"), f) for f in PARTIES if not args.only or f.__name__ in args.only]
    report = Report(len(chosen) + 3)    # and the watch's two
    title, why, whole = "record: SIGTERM ends it with 0", "", tw.Scenario()
    try:
        with tempfile.TemporaryDirectory() as directory:
            recorder = machines.Recorder(whole, directory)
            run_shared(report, chosen)
            recorder.end()
    except Failure as failure:
        why = str(failure)
    finally:
        whole.cleanup()
        tw.cleanup_all()
    report.point(not why, title, why)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
