#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Pictures and the page of `tapwatch report`, of made-up histories. Speaks TAP; needs neither root nor a kernel that traces.

    tests/live/report.py [--only NAME]... [--tapwatch PATH] [--helpers DIR] [--keep DIR] [--list]

The page is looked at in a headless Chromium, where there is one: what it shows
at a moment is compared with what `list --at` says of it. --keep leaves pages,
pictures and screenshots in DIR.
"""
import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import points
import tw
from browser import Browser, program
from cli import tapwatch, want
from tw import Failure, Skip

SVG = "{http://www.w3.org/2000/svg}"


class Place:
    """A directory with histories, made once for all scenarios, and the browser."""
    def __init__(self, keep):
        self.keep = keep
        self.directory = keep or tempfile.mkdtemp(prefix="tapwatch-report.")
        os.makedirs(self.directory, exist_ok=True)
        self.made, self.browser = {}, None

    def path(self, name):
        return os.path.join(self.directory, name)

    def history(self, name, *args):
        """A database of report_feed, and the number of its events."""
        if name not in self.made:
            for end in ("", "-wal", "-shm", "-lock"):
                if os.path.exists(self.path(name + ".db" + end)):
                    os.unlink(self.path(name + ".db" + end))
            out = subprocess.run([os.path.join(tw.Settings.helpers, "report_feed"), "--db", self.path(name + ".db"), *args],
                                 check=True, stdout=subprocess.PIPE).stdout
            self.made[name] = int(out)
        return self.path(name + ".db"), self.made[name]

    def report(self, name, db, *args):
        path = self.path(name + ".html")
        status, out, err = tapwatch("report", "--html", path, "--db", db, *args)
        want((status, out, err) == (0, "", ""), "report", status, out, err)
        with open(path, encoding="utf-8") as page:
            return path, page.read()

    def page(self, path, fragment=""):
        """The browser with this page in it."""
        if not program():
            raise Skip("no Chromium here (contrib/install-deps report)")
        self.browser = self.browser or Browser()
        self.browser.events.clear()
        self.browser.open("about:blank")
        self.browser.open("file://" + path + fragment)
        return self.browser

    def end(self):
        if self.browser:
            self.browser.__exit__()
        if not self.keep:
            shutil.rmtree(self.directory)


class Page(HTMLParser):
    """What stands in a page: attributes of all elements, and the text of some."""
    def __init__(self, text):
        super().__init__()
        self.attributes, self.text, self.open = [], {"style": [], "script": []}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag in self.text:
            self.open = tag
            self.text[tag].append("")

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open:
            self.text[self.open][-1] += data


def alone(page):
    """Nothing of it is elsewhere, and nothing in it is run or applied but what its policy names."""
    parsed = Page(page)
    for tag, key, value in parsed.attributes:
        want(key not in ("style",) and not key.startswith("on"), "no code in attributes", tag, key, value)
        if key in ("href", "src", "xlink:href", "action", "data", "poster", "srcset"):
            want(value.startswith("#"), "a link that leads out", tag, key, value)
    want(not re.search(r"url\(|@import", "".join(parsed.text["style"])), "no files in the style")
    policy = [value for tag, key, value in parsed.attributes if tag == "meta" and key == "content" and "default-src" in value]
    want(len(policy) == 1 and policy[0].startswith("default-src 'none'; ") and "unsafe" not in policy[0], "policy", policy)
    want(len(parsed.text["script"]) == 2 and len(parsed.text["style"]) == 1, "two scripts, one style")
    for text in (parsed.text["script"][1], parsed.text["style"][0]):
        want("'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy[0], "hash", policy)
    return json.loads(parsed.text["script"][0])


def page(place):
    """one file, nothing from elsewhere, a strict policy, data that no name breaks out of; all events are in it"""
    for name, args in (("plain", ()), ("hostile", ("--hostile", "--machines", "8"))):
        db, count = place.history(name, *args)
        _, text = place.report(name, db)
        data = alone(text)
        events = [item for item in data["stream"] if isinstance(item, list)]
        want([e[0] for e in events] == list(range(1, count + 1)), "events", len(events), count)
        want(text.count("</script") == 2 and "\u2028" not in text, "what ends a script", text.count("</script"))
        want(data["full"] is False, "full")
    want(any("</script>" in item["m"].get("name", "") for item in data["stream"] if isinstance(item, dict) and "m" in item),
         "the name is in it all the same")


def pictures(place):
    """vms NAME --svg and the page's timelines are well-formed; failures, lanes and escaped names are in them"""
    db, _ = place.history("hostile", "--hostile", "--machines", "8")
    def svg(name):
        status, out, err = tapwatch("vms", name, "--svg", "-", "--db", db)
        want(status == 0 and not err, "vms --svg", status, err)
        want("http" not in out.replace("http://www.w3.org/2000/svg", ""), "nothing from elsewhere")
        return ElementTree.fromstring(out)
    tree = svg("web-02")
    want(tree.get("role") == "img" and tree.find(SVG + "title").text == "web-02: timeline of a virtual machine" and
         "failed" in tree.find(SVG + "desc").text, "title, description")
    rows = [g for g in tree.iter(SVG + "g") if g.get("class") == "ev"]
    words = [g.find(SVG + "title").text for g in rows]
    want(sum("attach-failed" in w and "EBUSY" in w for w in words) == 1 and any("vm-stop" in w for w in words), "rows", words)
    lanes = [t.text for t in tree.iter(SVG + "text") if t.get("class") == "key mid"]
    want(lanes == ["ip", "qemu-system-x86", "qemu-system-x86"], "lanes", lanes)
    name = "</script><script>alert(1)</script>\\xe2\\x80\\xa8\"'&<!--"
    want(svg("</script>*").find(SVG + "title").text.startswith(name), "a hostile name")
    for part in re.findall(r"<svg xmlns=.*?</svg>", place.report("hostile", db)[1], re.S):
        ElementTree.fromstring(part)
    want(tapwatch("vms", "--svg", "-", "--db", db)[0] == 2, "without a name")
    if shutil.which("dot"):
        status, out, _ = tapwatch("list", "--at", "now", "--db", db, "--svg", "-")
        want(status == 0 and name in "".join(ElementTree.fromstring(out).itertext()), "list --svg", out)


def files(place):
    """a file is replaced as a whole, also behind a link; on failure it is as before; devices are written directly"""
    db, _ = place.history("plain")
    path, link = place.path("there.svg"), place.path("link.svg")
    with open(path, "w", encoding="ascii") as f:
        f.write("before")
    os.chmod(path, 0o640)
    os.symlink(path, link)
    try:
        def draw(to):
            status, out, err = tapwatch("vms", "web-01", "--svg", to, "--db", db)
            want(not out, "nothing on standard output", out)
            return status, err
        want(draw("/dev/full") == (1, "tapwatch: cannot write to /dev/full: No space left on device\n"), "/dev/full")
        for args in (("report", "--html"), ("list", "--at", "now", "--svg")):
            if args[0] == "report" or shutil.which("dot"):
                want(tapwatch(*args, "/dev/full", "--db", db)[2].endswith(
                    "tapwatch: cannot write to /dev/full: No space left on device\n"), "/dev/full", args)
        want(draw("/no/such/file") == (1, "tapwatch: cannot write to /no/such/file: No such file or directory\n"), "no directory")
        want(draw(place.directory)[0] == 1, "a directory")
        env = dict(os.environ, PATH="/nowhere")
        status, _, err = tapwatch("list", "--at", "now", "--db", db, "--svg", path, env=env)
        want(status == 1 and "cannot run dot" in err, "no dot", err)
        with open(path, encoding="ascii") as f:
            want(f.read() == "before", "as before")
        want(draw(link) == (0, ""), "through a link")
        ElementTree.parse(path)
        want(os.path.islink(link) and os.stat(path).st_mode & 0o777 == 0o640, "link and mode stay")
        left = [n for n in os.listdir(place.directory) if n.startswith(("there.svg.", "link.svg."))]
        want(not left, "nothing is left over", left)
    finally:
        os.unlink(link)
        os.unlink(path)


def selection(place):
    """--since and --until; nothing in that time; of too many events the last ones, and the page says so; memory is bounded"""
    db, count = place.history("plain")
    out = tapwatch("history", "-J", "--db", db)[1]
    events = [json.loads(line) for line in out.splitlines()]
    def stamp(i):
        return events[i]["time"].rstrip("Z").replace("T", " ")[:26] + " UTC"
    text = place.report("part", db, "--since", stamp(100), "--until", stamp(200))[1]
    stream = alone(text)["stream"]
    begin = [i for i, item in enumerate(stream) if isinstance(item, dict) and "from" in item]
    shown = [item[0] for item in stream[begin[0]:] if isinstance(item, list)]
    want(len(begin) == 1 and 98 <= shown[0] <= 101 and 200 <= shown[-1] <= 203 and shown == list(range(shown[0], shown[-1] + 1)),
         "the events of that time", shown)
    want(shown[0] > 1 and any(isinstance(item, list) for item in stream[:begin[0]]), "what was before is the beginning")
    text = place.report("empty", db, "--since", "2001-01-01", "--until", "2001-01-02")[1]
    want("Nothing that matches was recorded in the time asked for" in text and not alone(text)["stream"], "no events")
    for args in (("report",), ("report", "--html"), ("report", "--html", "-", "x"),
                 ("report", "--html", "-", "--since", "now", "--until", "yesterday")):
        want(tapwatch(*args)[0] == 2, "usage", args)
    db, count = place.history("many", "--machines", "100", "--chatter", "52000")
    reader, writer = os.pipe()      # a thing that tells how much memory a child took
    with subprocess.Popen([tw.Settings.tapwatch, "report", "--html", place.path("many.html"), "--db", db]) as process:
        os.close(writer)
        os.close(reader)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    want(status == 0 and usage.ru_maxrss < 64 << 10, "memory", usage.ru_maxrss)
    with open(place.path("many.html"), encoding="utf-8") as f:
        text = f.read()
    want("Earlier events are left out: a page holds 50000" in text and "--until" in text, "what is left out is told")
    begin = text.index('{"from":')
    want(text.count("\n[", begin) == 50000, "so many are shown", text.count("\n[", begin))


# ---- in a browser ----

def listed(db, event, *args):
    """list --at the moment of an event: (namespace, device, process, fds)"""
    out = tapwatch("list", "-J", "--db", db, "--at", event["time"].replace("T", " ").replace("Z", " UTC"), *args)[1]
    groups = {}
    for row in json.loads(out)["bindings"]:
        key = (row.get("netns"), row.get("ifname"), row.get("pid"))
        groups.setdefault(key, []).extend([row["fd"]] if "fd" in row else [])
    return sorted((str(k[0] or ""), k[1] or "", str(k[2] or ""), " ".join(map(str, sorted(fds)))) for k, fds in groups.items())


def seen(browser):
    """The same out of the page's table."""
    rows = browser.run("Array.from(document.querySelectorAll('#bindings tr'), (r) => Array.from(r.cells, (c) => c.textContent))")
    def number(text, left, right):
        found = re.search(r"%s(\d+)%s$" % (left, right), text)
        return found.group(1) if found else ""
    return sorted((number(r[0], r"\[", r"\]"), r[1], number(r[5], r"\(", r"\)"), r[6]) for r in rows)


def moment(browser):
    return int(re.search(r"after event (\d+) of", browser.run("document.getElementById('moment').textContent")).group(1))


def quiet(browser):
    """It did nothing wrong: no exception, nothing that the policy forbids, no dialog, no request but for the page."""
    for method in ("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening"):
        want(not browser.told(method), method, browser.told(method))
    urls = [p["request"]["url"] for p in browser.told("Network.requestWillBeSent")]
    want(all(u.startswith("file://") or u == "about:blank" for u in urls), "requests", urls)


def truth(place):
    """at every moment the page shows what list --at tells of it"""
    db, count = place.history("plain")
    path, _ = place.report("plain", db)
    out = tapwatch("history", "-J", "--db", db)[1]
    events = [json.loads(line) for line in out.splitlines()]
    browser = place.page(path)
    # of several events at the same instant the last is what list --at shows
    last = [i for i in range(count) if i + 1 == count or events[i + 1]["time"] > events[i]["time"]]
    restart = [i for i in last if events[i]["boot_id"] != events[0]["boot_id"]]
    for i in last[1:restart[0]:max(1, len(last) // 10)] + [restart[0] - 1] + restart[::6]:
        browser.run("location.hash = '#seq=%d'" % events[i]["seq"])
        browser.until("document.getElementById('moment').textContent.includes('after event %d of')" % (i + 1))
        want(seen(browser) == listed(db, events[i]), "at event %d" % (i + 1), *zip(seen(browser), listed(db, events[i])))
    quiet(browser)


def zone(place):
    """times are those that history prints, wherever the page is read"""
    db, _ = place.history("plain")
    path = place.path("zone.html")
    env = dict(os.environ, TZ="XYZ+5:30")
    want(tapwatch("report", "--html", path, "--db", db, env=env)[0] == 0, "report")
    browser = place.page(path, "#seq=1")
    lines = tapwatch("history", "--db", db, env=env)[1].splitlines()[1:201]
    times = browser.run("Array.from(document.querySelectorAll('#rows a'), (a) => a.textContent)")
    want(times == [line[:23] for line in lines], "times", times[:3], lines[:3])
    want("UTC-05:30" in browser.run("document.getElementById('moment').textContent"), "zone")
    quiet(browser)


def part_of_history(place):
    """a page that begins in the middle knows the state from before"""
    db, _ = place.history("plain")
    out = tapwatch("history", "-J", "--db", db)[1]
    events = [json.loads(line) for line in out.splitlines()]
    since = events[300]["time"].replace("T", " ").replace("Z", " UTC")
    path, _ = place.report("late", db, "--since", since)
    browser = place.page(path, "#at=" + events[420]["time"])
    first = browser.run("document.querySelector('#rows a').hash")
    want(abs(int(first[5:]) - 301) <= 2, "the first event", first)
    at = int(first[5:]) + moment(browser) - 2
    want(events[at]["time"][:26] == events[420]["time"][:26], "the moment", at)
    want(seen(browser) == listed(db, events[at]), "the state", seen(browser), listed(db, events[at]))
    quiet(browser)


def filters(place):
    """with --vm and the like a page has the whole life of the devices and files that something matches of, and nothing else"""
    db, _ = place.history("plain")
    out = tapwatch("history", "-J", "--db", db)[1]
    events = [json.loads(line) for line in out.splitlines()]
    for args, device in ((("--vm", "web-02"), "vnet2"), (("-p", "640"), "tun0"), (("-N", "tenant-1"), "vnet20")):
        path, text = place.report("filtered", db, *args)
        data = alone(text)
        want("<code>--" in text and args[1] in text, "it says so", args)
        shown = {item[0] for item in data["stream"] if isinstance(item, list)}
        ids = {e["device"]["id"] for e in events if e.get("device", {}).get("ifname") == device}
        whole = {e["seq"] for e in events if e.get("device", {}).get("id") in ids}
        want(whole <= shown and len(shown) < len(whole) + 14, "the life of %s" % device, args, sorted(whole - shown), len(shown))
        names = {item["d"].get("ifname") for item in data["stream"] if isinstance(item, dict) and "d" in item}
        want(names == {device}, "of %s alone" % device, args, names)
        browser = place.page(path)
        want(device in browser.run("document.getElementById('graph').textContent"), "drawn")
        quiet(browser)
    _, text = place.report("filtered", db, "--vm", "no-such")
    want("Nothing that matches" in text and not alone(text)["stream"], "nothing")


def search(place):
    """searching and choosing: table, machines and drawing; all of it in the address"""
    db, count = place.history("hostile", "--hostile", "--machines", "8")
    path, _ = place.report("hostile", db)
    browser = place.page(path, "#seq=60&q=vm%3Aweb-04&show=attach")
    def rows():
        return browser.run("Array.from(document.querySelectorAll('#rows tr'), (r) => Array.from(r.cells, (c) => c.textContent))")
    got = rows()
    want(got and all(r[1] == "attach" and r[6] == "web-04" for r in got), "vm: and show", got)
    want(browser.run("document.getElementById('q').value") == "vm:web-04" and moment(browser) == 60, "the address is obeyed")
    runs = browser.run("Array.from(document.querySelectorAll('.run:not([hidden])'), (r) => r.dataset.vm.split(' ')[0])")
    want(runs == ["web-04"], "machines", runs)
    for query, wanted in (("pid:7777", "qemu-system-x86(7777)"), ('"held by"', "EBUSY"), ("if:<b>", "<b>\"&'\\xff\\xef\\xbf\\xbf")):
        browser.run("document.getElementById('kind').value = ''; document.getElementById('kind').dispatchEvent(new Event('change'));"
                    "document.getElementById('q').value = %s; document.getElementById('find').requestSubmit()" % json.dumps(query))
        got = rows()
        want(0 < len(got) < count and all(any(wanted in cell for cell in r) for r in got), query, got[:3])
    browser.run("document.getElementById('q').value = 'no such thing'; document.getElementById('find').requestSubmit()")
    want(rows() == [] and browser.run("document.getElementById('q-count').textContent") == "0 of %d events" % count, "nothing")
    want("q=no+such+thing" in browser.run("location.hash"), "the address follows")
    quiet(browser)


def hostile(place):
    """names made of markup are text"""
    db, _ = place.history("hostile", "--hostile", "--machines", "8")
    path, _ = place.report("hostile", db)
    browser = place.page(path, "#seq=60")
    want("</script><script>alert(1)</script>\\xe2\\x80\\xa8\"'&<!--" in
         browser.run("document.getElementById('bindings').textContent"), "in the table")
    want(browser.run("document.querySelectorAll('b, script').length") ==
         browser.run("document.querySelectorAll('.run summary b').length") + 2, "no elements of theirs")
    want(browser.run("/[\\u2028\\u202e]/.test(document.body.innerText)") is False, "nothing that hides or turns text")
    browser.run("location.hash = '#q=' + encodeURIComponent('<img src=x onerror=alert(2)>')")
    browser.until("document.getElementById('q-count').textContent.startsWith('0 of')")
    quiet(browser)


def keyboard(place):
    """without a mouse: the focus is seen, the slider goes from event to event, search and links work"""
    db, count = place.history("plain")
    path, _ = place.report("plain", db)
    browser = place.page(path)
    def focus():
        return browser.run("document.activeElement.id || document.activeElement.textContent")
    way = []
    while focus() != "slider" and len(way) < 20:
        browser.key("Tab")
        way.append(focus())
        want(browser.run("getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is seen at", way[-1])
    want(way == ["Topology", "Machines", "Events", "q", "slider"], "the way to the slider", way)
    want(moment(browser) == count, "it begins at the end", moment(browser))
    for key, wanted in (("ArrowLeft", count - 1), ("ArrowLeft", count - 2), ("ArrowRight", count - 1), ("Home", 1), ("ArrowLeft", 1),
                        ("ArrowRight", 2), ("PageUp", 2 + round(count / 20)), ("PageDown", 2), ("End", count)):
        browser.key(key)
        want(moment(browser) == wanted, key, moment(browser), wanted)
    text = browser.run("document.getElementById('slider').getAttribute('aria-valuetext')")
    want(text.endswith("event %d of %d" % (count, count)), "what a screen reader says", text)
    browser.key("Tab", modifiers=8)
    want(focus() == "q", "back to the search", focus())
    browser.write("vm:web-08 vhost")
    browser.until("document.getElementById('q-count').textContent.startsWith('1 of')")
    # to the link of the one row that is left, which leads to its moment
    for _ in range(40):
        browser.key("Tab")
        if browser.run("document.activeElement.closest('#rows') !== null"):
            break
    browser.key("Enter", text="\r")
    browser.until("document.getElementById('now').textContent.startsWith('vhost')")
    names = browser.run("Array.from(document.querySelectorAll('input, select, button, output, section, [role=region]'), (e) => "
                        "Boolean(e.labels && e.labels.length || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') "
                        "|| e.textContent || e.tagName === 'OUTPUT'))")
    want(all(names), "everything has a name", names)
    quiet(browser)


def brightness(colour):
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def dark(place):
    """light and dark as the reader's system has it: text stands out against what is behind it"""
    db, _ = place.history("plain")
    path, _ = place.report("plain", db)
    browser = place.page(path, "#seq=150")
    for on in (False, True):
        browser.dark(on)
        def colour(selector, name):
            return brightness(browser.run("getComputedStyle(document.querySelector('%s')).%s" % (selector, name)))
        paper = colour("body", "backgroundColor")
        want((paper < 60) if on else (paper > 240), "paper", paper)
        for selector, name in (("body", "color"), ("#graph .device text", "fill"), (".tl .key", "fill"), (".tl .dim", "fill"),
                               ("#rows td", "color")):
            want(abs(colour(selector, name) - paper) > 90, "%s against the paper" % selector, colour(selector, name), paper)
        if place.keep:
            browser.picture(place.path("page-%s.png" % ("dark" if on else "light")), whole=True)
    browser.dark(False)
    quiet(browser)


SCENARIOS = [page, pictures, files, selection, truth, zone, part_of_history, filters, search, hostile, keyboard, dark]


def main():
    parser = argparse.ArgumentParser(description="tests of pictures and the report, TAP output")
    parser.add_argument("--tapwatch", default=tw.Settings.tapwatch)
    parser.add_argument("--helpers", default=tw.Settings.helpers, help="where report_feed is")
    parser.add_argument("--only", action="append", help="a scenario; may be repeated")
    parser.add_argument("--keep", help="leave what was made in this directory")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    chosen = points.chosen(SCENARIOS, args.only)
    if args.list:
        print("\n".join(map(points.name, chosen)))
        return 0
    tw.Settings.tapwatch, tw.Settings.helpers = os.path.abspath(args.tapwatch), os.path.abspath(args.helpers)
    place = Place(args.keep and os.path.abspath(args.keep))
    try:
        return points.run("report/", chosen, lambda function, notes: function(place))
    finally:
        place.end()


if __name__ == "__main__":
    sys.exit(main())
