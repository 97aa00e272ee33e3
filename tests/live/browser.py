# SPDX-License-Identifier: GPL-2.0-only
"""A headless Chromium that is driven over a pipe (DevTools protocol): no library, no port."""
import base64
import fcntl
import functools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

from tw import Failure, seconds

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# It must not look for anything on a network by itself.
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
           "--disable-dev-shm-usage", "--remote-debugging-pipe")


@functools.lru_cache(None)
def program():
    """Where it is; None: there is none that runs (some systems have a script of that name that tells how to get it)."""
    for path in filter(None, map(shutil.which, PROGRAMS)):
        if not subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode:
            return path
    return None


# Reads from 3 and writes to 4: those two cannot be set by preexec_fn, which may not touch what subprocess has there.
WRAPPER = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"


def high(fd):
    """The same at a number that is neither 3 nor 4."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return copy


class Browser:
    """One page. Events of the protocol that came meanwhile are in `events`."""
    def __init__(self, width=1400, height=1000):
        self.directory = tempfile.mkdtemp(prefix="tapwatch-browser.")
        theirs_in, self.out = map(high, os.pipe())
        self.back, theirs_out = map(high, os.pipe())
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRAPPER, str(theirs_in), str(theirs_out), program(), *OPTIONS,
             "--user-data-dir=" + self.directory, "--window-size=%d,%d" % (width, height), "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(theirs_in, theirs_out),
            start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        self.number, self.buffer, self.events, self.session = 0, b"", [], None
        target = self.ask("Target.getTargets")["targetInfos"]
        target = [t for t in target if t["type"] == "page"][0]["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        try:
            self.session = None
            self.ask("Browser.close")
            self.process.wait(seconds(10))
        except (Failure, OSError, subprocess.TimeoutExpired):
            pass
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()
        os.close(self.out)
        os.close(self.back)
        shutil.rmtree(self.directory, ignore_errors=True)

    def receive(self, end):
        while b"\0" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.back], [], [], left)[0]:
                raise Failure("the browser does not answer")
            data = os.read(self.back, 1 << 20)
            if not data:
                raise Failure("the browser has ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, limit=60, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + seconds(limit)
        while True:
            answer = self.receive(end)
            if answer.get("id") == self.number:
                break
            self.events.append(answer)
        if "error" in answer:
            raise Failure("%s: %s" % (method, answer["error"]))
        return answer["result"]

    def told(self, method):
        return [e["params"] for e in self.events if e.get("method") == method]

    def open(self, url):
        """And waits until it is loaded."""
        before = len(self.told("Page.loadEventFired"))
        self.ask("Page.navigate", url=url)
        end = time.monotonic() + seconds(60)
        while len(self.told("Page.loadEventFired")) == before:
            self.events.append(self.receive(end))

    def run(self, script):
        """The value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise Failure("%s: %s" % (script, answer["exceptionDetails"]))
        return answer["result"].get("value")

    def key(self, key, code=0, modifiers=0, text=None):
        named = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "PageUp": 33, "PageDown": 34}
        params = dict(key=key, code=key, windowsVirtualKeyCode=code or named.get(key, 0), modifiers=modifiers)
        if text:
            params["text"] = text
        self.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **params)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **params)

    def write(self, text):
        self.ask("Input.insertText", text=text)

    def until(self, script, limit=20):
        """Waits, in the page, until the expression is true."""
        if not self.run("new Promise((done) => { const end = Date.now() + %d; const look = () => { if (%s) done(true); "
                        "else if (Date.now() > end) done(false); else setTimeout(look, 10); }; look(); })"
                        % (seconds(limit) * 1000, script)):
            raise Failure("never true in the page: " + script)

    def dark(self, on):
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def picture(self, path, whole=False):
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as out:
            out.write(base64.b64decode(shot["data"]))
