# SPDX-License-Identifier: GPL-2.0-only
"""The command line: how it ends, what it says when it cannot, and that it is quiet otherwise."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from tw import Failure, Settings, Watch, seconds


def tapwatch(*args, **options):
    """Runs tapwatch to its end; (status, stdout, stderr)."""
    done = subprocess.run([options.pop("program", Settings.tapwatch)] + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds(60), check=False, **options)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def want(condition, text, *facts):
    if not condition:
        raise Failure("\n".join([text] + ["  %r" % (fact,) for fact in facts]))


def bad_input(s):
    """wrong usage is status 2 and one message with our name"""
    wrong = []
    for args in (("--no-such-option",), ("no-such-command",), ("watch", "--backend", "magic"), ("watch", "--seed", "tea"),
                 ("watch", "-p", "abc"), ("watch", "-p", ""), ("watch", "--duration", "soon"),
                 ("watch", "--duration", "-1"), ("watch", "-e", "explode"), ("watch", "--kind", "wire"),
                 ("watch", "superfluous"), ("watch", "--pid")):
        status, out, err = tapwatch(*args)
        lines = err.splitlines()
        if status != 2 or out or not lines or not lines[0].startswith("tapwatch: ") or len(lines) > 2:
            wrong.append("%s: status %s, stdout %r, stderr %r" % (" ".join(args), status, out, err))
    status, out, err = tapwatch("watch", "-N", "no-such-namespace-here")
    if status not in (1, 2) or not err.startswith("tapwatch: ") or len(err.splitlines()) > 2:
        wrong.append("-N no-such-namespace-here: status %s, stderr %r" % (status, err))
    if wrong:
        raise Failure("\n".join(wrong))


def help_and_version(s):
    """--help for every command there is, and --version"""
    for args in (("--help",), ("watch", "--help"), ("check", "--help"), ("--version",)):
        status, out, err = tapwatch(*args)
        want(status == 0 and out and not err, " ".join(args), status, out, err)


def check_json(s):
    """check --json is one document, and 0 when live tracing works"""
    status, out, err = tapwatch("check", "--json")
    want(status == 0, "check --json", status, out, err)
    document = json.loads(out)
    want(isinstance(document, dict), "one object", out)
    status, out, _ = tapwatch("check")
    want(status == 0 and out, "check", status, out)


def no_privileges(s):
    """without privileges: one sentence, status 1"""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        program = os.path.join(directory, "tapwatch")
        shutil.copy(Settings.tapwatch, program)
        os.chmod(program, 0o755)

        def nobody():
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        status, out, err = tapwatch("watch", "--duration", "1", program=program, preexec_fn=nobody)
        want(status == 1 and not out and err.startswith("tapwatch: ") and len(err.splitlines()) == 1,
             "watch by nobody", status, out, err)
        status, out, err = tapwatch("check", program=program, preexec_fn=nobody)
        want(status == 1 and (out or err), "check by nobody", status, out, err)


def duration(s):
    """--duration ends it with 0, not before its time"""
    begin = time.monotonic()
    status, out, err = tapwatch("watch", "--json", "--backend", Settings.backend, "--duration", "1")
    want(status == 0 and not err, "--duration 1", status, err)
    want(time.monotonic() - begin >= 1, "ended early")
    want('"ready"' in out, "no ready", out)


def signals(s):
    """SIGINT and SIGTERM end it with 0 and in silence"""
    for sig in (signal.SIGINT, signal.SIGTERM):
        watch = Watch(settle=False)
        status = watch.stop(sig)
        want(status == 0 and not watch.errors, "signal %d" % sig, status, watch.errors)


def closed_pipe(s):
    """a reader that goes away is no error"""
    process = subprocess.Popen([Settings.tapwatch, "watch", "--json", "--backend", Settings.backend],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        while b'"ready"' not in process.stdout.readline():
            want(process.poll() is None, "ended early")
        process.stdout.close()
        f = s.fixture()
        end = time.monotonic() + seconds(10)
        while process.poll() is None and time.monotonic() < end:
            f.do("storm 1")
            time.sleep(0.05)
        status = process.poll()
        want(status in (0, -signal.SIGPIPE), "status after the reader went away", status)
        want(not process.stderr.read(), "it should be quiet")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def text_output(s):
    """the table for people: nothing a name contains reaches the terminal raw"""
    f = s.fixture()
    f.open("x")
    f.setiff("x", s.prefix.encode()[:8] + b"\x1b[31m", "tap")
    f.do("comm \\x1b]0;evil\\x07")
    f.open("y")
    status, out, err = tapwatch("watch", "--backend", Settings.backend, "--duration", "1")
    want(status == 0 and not err, "watch", status, err)
    want(str(f.pid) in out, "the holder is not in the output", out)
    raw = [c for c in out if ord(c) < 0x20 and c not in "\n\t"]
    want(not raw, "raw control characters in the output", out)


OWN_SCENARIOS = [bad_input, help_and_version, check_json, no_privileges, duration, signals, closed_pipe, text_output]
