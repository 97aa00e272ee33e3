# SPDX-License-Identifier: GPL-2.0-only
"""Functions as points of TAP, for the tests that are no scenarios of one shared tapwatch."""
import traceback

import tw
from tw import Failure, Skip


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
    print("1..%d" % len(functions), flush=True)
    failed = 0
    for number, function in enumerate(functions, 1):
        notes = []
        wrong, skip = attempt(function, each, notes)
        if skip and not skippable(function):
            wrong, skip = "not to be skipped: " + skip, ""
        failed += bool(wrong)
        print("%sok %d - %s%s: %s%s" % ("not " if wrong else "", number, prefix, name(function),
                                        function.__doc__.split("\n")[0], " # SKIP " + skip if skip else ""), flush=True)
        for text in filter(None, notes + [wrong]):
            tw.comment(text)
    return 1 if failed else 0
