#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs the live scenarios against a tapwatch, as root, and speaks TAP.

    tests/live/scenarios.py --backend fentry|kprobe|tracepoint|auto
                            [--only NAME]... [--tapwatch PATH] [--helpers DIR] [--list]

NAME is a scenario or a file, as in `device-life` or `device-life/link-del`.

Environment: TW_TIMEOUT_FACTOR stretches all time limits (slow machines),
TW_NOSKIP=1 turns skips into failures, TW_MANY sets how many devices the
start-up scenario makes.
"""
import argparse
import os
import signal
import sys
import time
import traceback

import binding
import cli
import device_life
import filters
import history
import holders
import loss
import machines
import macvtap
import namespaces
import points
import queues
import seed
import tw

# Those with SCENARIOS share one tapwatch; those of OWN_SCENARIOS start their own, after it has ended.
MODULES = [binding, namespaces, device_life, queues, holders, macvtap, seed, filters, machines, cli, history, loss]


def full_name(module, function):
    return ("%s/%s" % (module.__name__, function.__name__)).replace("_", "-")


def chosen(attribute, only):
    for module in MODULES:
        for function in getattr(module, attribute, []):
            name = full_name(module, function)
            if not only or any(name == o or name.split("/")[0] == o or name.split("/")[1] == o for o in only):
                yield name, function


def run(report, name, function, watch):
    """One scenario is one test point, whatever happens in it."""
    begin = time.monotonic()
    title = "%s: %s" % (name, (function.__doc__ or "").strip().split("\n")[0])
    s = None
    ok, text, skip = True, "", None
    try:
        s = tw.Scenario(watch)
        function(s)
        if s.watch and s.fixtures:
            s.check_truth()
        for own in s.own_watches:
            if own.problems:
                raise tw.Failure("\n".join(own.problems))
    except tw.Skip as reason:
        ok, skip = not tw.NOSKIP, str(reason)
        if tw.NOSKIP:
            text, skip = "would have been skipped: %s" % reason, None
    except tw.Failure as failure:
        ok, text = False, str(failure)
    except Exception:
        ok, text = False, traceback.format_exc()
    finally:            # also when it is SIGTERM that ends us
        if s:
            s.cleanup()
    if s:
        if not ok:
            text += "".join("\nstderr: %s" % line for w in s.own_watches or [watch] if w for line in w.errors[-10:])
        text = "\n".join(filter(None, s.notes + [text]))
    if tw.Settings.verbose:
        text = "\n".join(filter(None, [text, "%.2f s" % (time.monotonic() - begin)]))
    report.point(ok, title, text, skip)


def run_shared(report, scenarios):
    """All of these over one tapwatch; then two points about its stream and its end."""
    try:
        watch = tw.Watch()
    except tw.Failure as failure:
        for name, _ in scenarios:
            report.point(False, name, "" if report.number else str(failure))
        report.point(False, "stream")
        report.point(False, "end")
        return
    tw.comment("backend %s, seed %s" % (watch.ready.get("backend"), watch.ready.get("seed")))
    try:
        for name, function in scenarios:
            if watch.ended:
                report.point(False, name, "tapwatch has ended: status %s\n%s" % (
                    watch.process.poll(), "\n".join(watch.errors)))
            else:
                run(report, name, function, watch)
        seqs = [e["seq"] for e in watch.events]
        gaps = ["seq %d is followed by %d" % pair for pair in zip(seqs, seqs[1:]) if pair[1] != pair[0] + 1]
        lost = [tw.brief(e) for e in watch.events if e["event"] in ("lost", "resync")]
    finally:
        status = watch.stop()
    report.point(not (watch.problems or gaps or lost), "stream: every line is valid, seq has no gap, nothing was lost",
                 "\n".join(watch.problems[:10] + gaps[:10] + lost[:10]))
    report.point(status == 0 and not watch.errors, "end: SIGTERM ends tapwatch with 0 and in silence",
                 "" if status == 0 and not watch.errors else "status %s\n%s" % (status, "\n".join(watch.errors[-20:])))


def main():
    parser = argparse.ArgumentParser(description="live scenarios, TAP output")
    parser.add_argument("--backend", default="auto", choices=("auto", "fentry", "kprobe", "tracepoint"))
    parser.add_argument("--tapwatch", default=tw.Settings.tapwatch)
    parser.add_argument("--helpers", default=tw.Settings.helpers, help="where tapfix and tap32 are")
    parser.add_argument("--only", action="append", help="a scenario or a file of them; may be repeated")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="print how long each took")
    args = parser.parse_args()

    shared, own = list(chosen("SCENARIOS", args.only)), list(chosen("OWN_SCENARIOS", args.only))
    if args.list:
        print("\n".join(name for name, _ in shared + own))
        return 0
    if not shared and not own:
        parser.error("no such scenario: %s" % " ".join(args.only))
    tw.Settings.tapwatch, tw.Settings.helpers = os.path.abspath(args.tapwatch), os.path.abspath(args.helpers)
    tw.Settings.backend, tw.Settings.verbose = args.backend, args.verbose
    for needed in (tw.Settings.tapwatch, os.path.join(tw.Settings.helpers, "tapfix")):
        if not os.access(needed, os.X_OK):
            print("Bail out! %s is not there: build it first" % needed)
            return 1
    if os.geteuid():
        print("Bail out! needs root")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tw.quiet("modprobe", "-a", "tun", "vhost_net", "macvtap", "ipvtap")  # what is loaded later has a scenario of its own
    report = points.Report(len(shared) + (2 if shared else 0) + len(own))
    try:
        if shared:
            run_shared(report, shared)
        for name, function in own:
            run(report, name, function, None)
    finally:
        tw.cleanup_all()
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
