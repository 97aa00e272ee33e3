#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs several commands that speak TAP, one after the other, as one: so that a guest boots once for all.

    tests/live/in_turn.py COMMAND [ARG...] [-- COMMAND [ARG...]]...

A command that tells fewer points than it planned, or fails without a failed point, is a failed point.
"""
import re
import subprocess
import sys

POINT = re.compile(r"(not )?ok (\d+)(.*)$")
PLAN = re.compile(r"1\.\.(\d+)")


def commands(args):
    found = [[]]
    for arg in args:
        if arg == "--":
            found.append([])
        else:
            found[-1].append(arg)
    return [command for command in found if command]


class Joined:
    def __init__(self):
        self.number = self.failed = 0

    def point(self, ok, text):
        self.number += 1
        self.failed += not ok
        print("%sok %d%s" % ("" if ok else "not ", self.number, text), flush=True)

    def run(self, command):
        planned, told, failed = None, 0, self.failed
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace")
        for line in process.stdout:
            point, plan = POINT.match(line), PLAN.match(line)
            if point:
                told += 1
                self.point(not point.group(1), point.group(3))
            elif plan:
                planned = int(plan.group(1))
            else:
                print(line, end="", flush=True)
        status = process.wait()
        if told != planned or (status and self.failed == failed):
            self.point(False, " - %s: %d points of %s, status %d" % (command[0], told, planned, status))


def main():
    joined = Joined()
    for command in commands(sys.argv[1:]):
        joined.run(command)
    print("1..%d" % joined.number)
    return 1 if joined.failed or not joined.number else 0


if __name__ == "__main__":
    sys.exit(main())
