# SPDX-License-Identifier: GPL-2.0-only
"""Points of TAP; and functions as such, for the tests that are no scenarios of one shared tapwatch."""
import traceback

import tw
from tw import Failure, Skip


class Report:
    """TAP on stdout."""
    def __init__(self, planned):
        self.number = self.failed = 0
        print("1..%d" % planned, flush=True)

    def point(self, ok, name, text="", skip=None):
        self.number += 1
        self.failed += not ok
        print("%sok %d - %s%s" % ("" if ok else "not ", self.number, name, " # SKIP " + skip if skip else ""), flush=True)
        if text:
            tw.comment(text)


def name(function):
    return function.__name__.replace("_", "-")


def chosen(functions, only):
    """Those whose names are asked for; all, when none is."""
    return [f for f in functions if not only or name(f) in only]


def attempt(function, each, notes):
    """(what went wrong, the reason of a skip); of both at most one is not empty."""
    try:
        each(function, notes)
    except Skip as reason:
        return "", str(reason)
    except Failure as failure:
        return str(failure), ""
    except Exception:
        return traceback.format_exc(), ""
    return "", ""


def run(prefix, functions, each, skippable=lambda function: True):
    """each(function, notes) does one, with what it needs, and cleans up. Exit status."""
    report = Report(len(functions))
    for function in functions:
        notes = []
        wrong, skip = attempt(function, each, notes)
        if skip and not skippable(function):
            wrong, skip = "not to be skipped: " + skip, ""
        report.point(not wrong, "%s%s: %s" % (prefix, name(function), function.__doc__.split("\n")[0]),
                     "\n".join(filter(None, notes + [wrong])), skip)
    return 1 if report.failed else 0
