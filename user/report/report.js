// SPDX-License-Identifier: GPL-2.0-only
/*
 * report.js - the page of `tapwatch report`. The data is one JSON document:
 *
 *	about	{base, init, kinds}: ms since the epoch that times count from; inode of
 *		the initial namespace; words of events by number
 *	stream	in order: definitions {p: process}, {d: device's state}, {m: machine},
 *		each kind counted from 0; {boot: id}: nothing from before is left;
 *		{zone: seconds}: how far local time is east of UTC from here;
 *		{from: seq}: here begins what the page is about, before it is what the
 *		state then was made of; and events
 *		[seq, us after base, kind, process, fd, file, device, machine, detail, more]
 *		where -1 (file: 0) is none, and more is {s: state, ns: inode, gap: us}
 *
 * Applying the events gives the state at any moment: as user/replay.c does it.
 */
"use strict";
(() => {
const byId = (id) => document.getElementById(id);
const SEQ = 0, TIME = 1, KIND = 2, PROC = 3, FD = 4, FILE = 5, DEV = 6, VM = 7, DETAIL = 8, MORE = 9;
const SVG = "http://www.w3.org/2000/svg";
const PAGE = 200, CHECKPOINT = 500, BINS = 250;

/* Characters that nobody can see would make one name look like another. */
const hidden = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Zl}\p{Zp}]/gu;
const safe = (text) => text.replace(hidden, (c) =>
	Array.from(new TextEncoder().encode(c), (b) => "\\x" + b.toString(16).padStart(2, "0")).join(""));
const reviver = (key, value) => typeof value === "string" ? safe(value) : value;

const data = JSON.parse(byId("data").textContent, reviver);
const kinds = data.about.kinds;
const procs = [], devs = [], vms = [], events = [];
const boots = [], zones = [];	/* of each event */
let shown = 0;			/* index of the first event that the page is about */
let boot, zone = 0;

for (const item of data.stream) {
	if (Array.isArray(item)) {
		boots.push(boot);
		zones.push(zone);
		events.push(item);
	} else if (item.p) {
		procs.push(Object.assign(item.p, {key: item.p.pid + "/" + (item.p.start_ns || "")}));
	} else if (item.d) {
		devs.push(item.d);
	} else if (item.m) {
		vms.push(item.m);
	} else if (item.boot) {
		boot = item.boot;
	} else if ("zone" in item) {
		zone = item.zone;
	} else if (item.from) {
		shown = events.length;
	}
}
delete data.stream;
const count = events.length - shown;

/* ---- words ---- */

const kindOf = (e) => kinds[e[KIND]];
const pad = (n, width) => String(n).padStart(width, "0");
/* Of an event, as the program prints it: in the local time of where the page was made. */
const timeText = (i) => new Date(data.about.base + Math.floor(events[i][TIME] / 1000) + zones[i] * 1000)
	.toISOString().slice(0, 23).replace("T", " ");
const zoneText = (i) => {
	const minutes = Math.round(Math.abs(zones[i]) / 60);
	return "UTC" + (zones[i] ? (zones[i] < 0 ? "-" : "+") + pad(Math.floor(minutes / 60), 2) + ":" + pad(minutes % 60, 2) : "");
};
const nsText = (ns, name) => !ns ? "" : (name || (ns === data.about.init ? "init" : "")) + "[" + ns + "]";
const devNs = (d) => nsText(d.netns, d.netns_name);
const vmText = (m) => m.name || m.uuid || "without a name";
const procText = (p) => (p.comm || "?") + "(" + p.pid + ")";
const natural = new Intl.Collator("en", {numeric: true}).compare;
const deviceOf = (e) => e[DEV] >= 0 ? devs[e[DEV]] : null;
const nameOf = (e) => deviceOf(e) ? deviceOf(e).ifname || "" : (e[MORE] && e[MORE].requested) || "";
const placeOf = (e) => deviceOf(e) ? devNs(deviceOf(e)) : e[MORE] && e[MORE].ns ? nsText(e[MORE].ns, e[MORE].label) : "";

/* ---- the state at a moment ---- */

class State {
	constructor(other) {
		for (const map of ["devs", "files", "holds", "procs"])
			this[map] = new Map(other ? other[map] : null);
		this.boot = other ? other.boot : undefined;
		this.lossy = other ? other.lossy : false;
	}

	bind(file, dev, st) {
		this.files.set(file, Object.assign({}, this.files.get(file), {dev, st}));
	}

	hold(e) {
		if (!e[FILE] || e[PROC] < 0 || e[FD] < 0)
			return;
		const key = procs[e[PROC]].key;
		this.holds.set(key + "/" + e[FD], {key, fd: e[FD], file: e[FILE]});
		this.learn(e);
	}

	learn(e) {
		const told = procs[e[PROC]], old = this.procs.get(told.key), p = Object.assign({}, old, {m: old ? old.m : -1});

		if (old && old.comm && told.comm && old.comm !== told.comm)
			p.m = -1;
		Object.assign(p, told);
		/* in other events it may be the machine that the device belongs to */
		if (["exist", "open", "hold"].includes(kindOf(e)) && e[VM] >= 0)
			p.m = e[VM];
		this.procs.set(told.key, p);
	}

	drop(e) {
		const key = e[PROC] >= 0 ? procs[e[PROC]].key + "/" + e[FD] : "", h = this.holds.get(key);

		if (h && h.file === e[FILE]) {
			this.holds.delete(key);
			return;
		}
		for (const [other, hold] of this.holds) {
			if (hold.file === e[FILE] && hold.fd === e[FD]) {
				this.holds.delete(other);
				return;
			}
		}
	}

	release(e) {
		for (const [key, hold] of this.holds)
			if (hold.file === e[FILE])
				this.holds.delete(key);
		this.files.delete(e[FILE]);
	}

	remove(id) {
		for (const [file, f] of this.files)
			if (f.dev === id)
				this.bind(file, null, "orphaned");
		this.devs.delete(id);
	}

	apply(e, boot) {
		const kind = kindOf(e), d = deviceOf(e), file = e[FILE], more = e[MORE] || {};

		if (boot !== undefined && boot !== this.boot) {
			for (const map of ["devs", "files", "holds", "procs"])
				this[map].clear();
			this.boot = boot;
			this.lossy = false;
		}
		if (d)
			this.devs.set(d.id, e[DEV]);
		if (file) {
			const f = this.files.get(file) || {dev: null, st: "unbound"};

			this.files.set(file, more.ns ? Object.assign({}, f, {ns: more.ns, label: more.label}) : f);
			if (d && f.dev !== d.id)
				this.bind(file, d.id, "bound");
		}
		if (e[PROC] >= 0 && this.procs.has(procs[e[PROC]].key) && !more.scan)
			this.learn(e);
		switch (kind) {
		case "exist":
			if (file && more.s)
				this.bind(file, d ? d.id : null, d && more.s !== "disabled" ? "bound" : more.s);
			this.hold(e);
			break;
		case "open":
		case "hold":
			this.hold(e);
			break;
		case "attach":
		case "queue-attach":
			if (file && d)
				this.bind(file, d.id, "bound");
			break;
		case "queue-detach":
			if (file && d)
				this.bind(file, d.id, "disabled");
			break;
		case "drop":
			if (file)
				this.drop(e);
			break;
		case "release":
			if (file)
				this.release(e);
			break;
		case "delete":
			if (d)
				this.remove(d.id);
			break;
		case "lost":
			this.lossy = true;
			break;
		case "resync":
		case "ready":
		case "gap":
			this.lossy = false;
			break;
		}
	}
}

const checkpoints = [new State()];	/* before event number n * CHECKPOINT */

/* After event number i. */
function stateAt(i) {
	const from = Math.min(Math.floor((i + 1) / CHECKPOINT), checkpoints.length - 1);
	let state = new State(checkpoints[from]);

	for (let n = from * CHECKPOINT; n <= i; n++) {
		if (n && n % CHECKPOINT === 0 && n / CHECKPOINT === checkpoints.length)
			checkpoints.push(new State(state));
		state.apply(events[n], boots[n]);
	}
	return state;
}

/* What list --at would print: {dev, proc, fds, st} for each holder of each device, and what nobody holds. */
function bindings(state) {
	const rows = [], held = new Set(), used = new Set();
	const groups = new Map();

	for (const h of state.holds.values()) {
		const f = state.files.get(h.file) || {dev: null, st: "unbound"};
		const group = h.key + "|" + (f.dev || f.st + (f.ns || ""));

		held.add(h.file);
		if (f.dev)
			used.add(f.dev);
		if (!groups.has(group)) {
			groups.set(group, {dev: f.dev, proc: state.procs.get(h.key), fds: [], off: 0, st: f.st, file: f});
			rows.push(groups.get(group));
		}
		groups.get(group).fds.push(h.fd);
		groups.get(group).off += f.st === "disabled";
	}
	for (const [file, f] of state.files) {
		if (held.has(file))
			continue;
		if (f.dev)
			used.add(f.dev);
		rows.push({dev: f.dev, proc: null, fds: [], off: 0, st: f.st, file: f});
	}
	for (const id of state.devs.keys())
		if (!used.has(id))
			rows.push({dev: id, proc: null, fds: [], off: 0, st: "no-holder", file: null});
	for (const row of rows) {
		row.d = row.dev ? devs[state.devs.get(row.dev)] : null;
		row.fds.sort((a, b) => a - b);
		if (row.off && row.off === row.fds.length)
			row.st = "disabled";
	}
	const where = (r) => r.d ? [r.d.netns === data.about.init ? 0 : r.d.netns_name ? 1 : 2, devNs(r.d), r.d.ifname || ""] :
		[3, "", ""];
	return rows.sort((a, b) => {
		const x = where(a), y = where(b);

		return x[0] - y[0] || natural(x[1], y[1]) || natural(x[2], y[2]) ||
			(a.proc ? a.proc.pid : 0) - (b.proc ? b.proc.pid : 0);
	});
}

/* ---- search ---- */

const fields = {
	vm: (e) => e[VM] >= 0 ? vmText(vms[e[VM]]) + " " + (vms[e[VM]].uuid || "") : "",
	if: (e) => nameOf(e), pid: (e) => e[PROC] >= 0 ? String(procs[e[PROC]].pid) : "",
	ns: (e) => placeOf(e), event: (e) => kindOf(e),
};
const haystacks = [];

function haystack(i) {
	if (haystacks[i] === undefined) {
		const e = events[i], p = e[PROC] >= 0 ? procs[e[PROC]] : null, m = e[VM] >= 0 ? vms[e[VM]] : null;
		const d = deviceOf(e);

		haystacks[i] = [kindOf(e), p ? procText(p) + " " + (p.exe || "") + " " + (p.user || "") + " " + (p.role || "") : "",
			nameOf(e), d ? (d.mac || "") + " " + (d.master || "") + " " + (d.kind || "") : "", placeOf(e),
			m ? Object.values(m).join(" ") : "", e[DETAIL], timeText(i)].join(" ").toLowerCase();
	}
	return haystacks[i];
}

/* "vm:web01 tap \"two words\"" -> [{field, word}] */
function parse(text) {
	const terms = [];

	for (const found of text.matchAll(/(?:(vm|if|pid|ns|event):)?(?:"([^"]*)"?|(\S+))/gi)) {
		const word = (found[2] !== undefined ? found[2] : found[3]).toLowerCase();

		if (word)
			terms.push({field: found[1] ? found[1].toLowerCase() : "", word});
	}
	return terms;
}

const exact = {pid: true};

function matches(i, terms) {
	return terms.every((t) => {
		if (!t.field)
			return haystack(i).includes(t.word);
		const value = fields[t.field](events[i]).toLowerCase();
		return exact[t.field] ? value === t.word : value.includes(t.word);
	});
}

/* Of a row of the topology: by the same words, as far as they say something about it. */
function bindingMatches(row, terms) {
	const d = row.d, p = row.proc, m = p && p.m >= 0 ? vms[p.m] : null;
	const value = {
		vm: m ? vmText(m) + " " + (m.uuid || "") : "", if: d ? d.ifname || "" : "", pid: p ? String(p.pid) : "",
		ns: d ? devNs(d) : "",
	};

	return terms.every((t) => {
		if (t.field === "event")
			return true;
		if (t.field)
			return exact[t.field] ? value[t.field] === t.word : value[t.field].toLowerCase().includes(t.word);
		return (Object.values(value).join(" ") + " " + (p ? procText(p) + (p.exe || "") : "") + " " + (m ? m.type : "") + " " +
			(d ? [d.master, d.mac, d.kind].join(" ") : "") + " " + row.st).toLowerCase().includes(t.word);
	});
}

/* ---- making elements ---- */

function element(name, attributes, ...children) {
	const e = document.createElement(name);

	for (const [key, value] of Object.entries(attributes || {}))
		e.setAttribute(key, value);
	e.append(...children);
	return e;
}

function draw(parent, name, attributes, text) {
	const e = document.createElementNS(SVG, name);

	for (const [key, value] of Object.entries(attributes))
		e.setAttribute(key, value);
	if (text !== undefined)
		e.textContent = text;
	parent.append(e);
	return e;
}

const cut = (text, most) => text.length > most ? text.slice(0, most - 1) + "\u2026" : text;

/* ---- what is shown ---- */

const view = {at: events.length - 1, q: "", kind: "", order: "up", page: 0};
let terms = [], found = [], rows = [];

/* ---- the drawing ---- */

const BOX = 26, STEP = 32, HOLDER_W = 250, DEV_X = 420, DEV_W = 220, BRIDGE_X = 730, BRIDGE_W = 110, NS_X = 400, NS_W = 460;

function placeDevices() {
	const spaces = new Map(), devices = new Map();
	let y = 8;

	for (const row of rows) {
		if (!row.d || devices.has(row.dev))
			continue;
		const key = row.d.netns + "/" + (row.d.netns_cookie || "");

		if (!spaces.has(key))
			spaces.set(key, {name: devNs(row.d) || "unknown network namespace", list: [], bridges: new Map()});
		spaces.get(key).list.push(row);
		devices.set(row.dev, {row});
	}
	for (const space of spaces.values()) {
		/* those of a bridge together */
		space.list.sort((a, b) => natural(a.d.master || "\uffff", b.d.master || "\uffff") || natural(a.d.ifname || "", b.d.ifname || ""));
		space.y = y;
		y += 26;
		for (const row of space.list) {
			devices.get(row.dev).y = y;
			if (row.d.master) {
				if (!space.bridges.has(row.d.master))
					space.bridges.set(row.d.master, []);
				space.bridges.get(row.d.master).push(y);
			}
			y += STEP;
		}
		space.h = y - space.y + 4;
		y += 20;
	}
	return {spaces, devices, bottom: y};
}

function placeHolders(devices) {
	const holders = new Map();
	let y = 0;

	for (const row of rows) {
		if (!row.proc)
			continue;
		if (!holders.has(row.proc.key))
			holders.set(row.proc.key, {proc: row.proc, ys: [], loose: [], rows: []});
		const h = holders.get(row.proc.key);
		h.rows.push(row);
		if (row.d)
			h.ys.push(devices.get(row.dev).y);
		else
			h.loose.push(row);
	}
	const list = [...holders.values()];
	for (const h of list)
		h.want = h.ys.length ? h.ys.reduce((a, b) => a + b, 0) / h.ys.length : Infinity;
	list.sort((a, b) => a.want === b.want ? a.proc.pid - b.proc.pid : a.want - b.want);
	for (const h of list) {
		h.y = Math.max(y, h.want === Infinity ? y : h.want);
		y = h.y + STEP;
	}
	return {holders, bottom: y};
}

function box(parent, kind, x, y, w, title, text, small) {
	const g = draw(parent, "g", {class: kind, transform: "translate(" + x + " " + y + ")"});

	draw(g, "title", {}, title);
	draw(g, "rect", {class: "box", width: w, height: BOX, rx: kind === "bridge" ? 12 : 4});
	const t = draw(g, "text", {x: 8, y: 17}, text);
	if (small) {
		const s = document.createElementNS(SVG, "tspan");
		s.setAttribute("class", "small");
		s.setAttribute("dx", "7");
		s.textContent = small;
		t.append(s);
	}
	return g;
}

function curve(parent, kind, x1, y1, x2, y2) {
	const m = (x1 + x2) / 2;

	return draw(parent, "path", {class: kind, d: "M" + x1 + " " + y1 + "C" + m + " " + y1 + " " + m + " " + y2 + " " + x2 + " " + y2});
}

function drawGraph() {
	const svg = byId("graph"), {spaces, devices, bottom} = placeDevices(), placed = placeHolders(devices);
	const height = Math.max(bottom, placed.bottom + 8, 60), now = events[view.at], nodes = new Map();
	const weak = (row) => terms.length && !bindingMatches(row, terms) ? " weak" : "";

	svg.replaceChildren(svg.firstElementChild);
	svg.setAttribute("viewBox", "0 0 880 " + height);
	svg.setAttribute("width", 880);
	svg.setAttribute("height", height);
	svg.firstElementChild.textContent = "Topology at " + timeText(view.at) + ": " + devices.size + " devices, " +
		placed.holders.size + " processes, " + spaces.size + " network namespaces. The same as a table stands below.";
	for (const space of spaces.values()) {
		draw(svg, "rect", {class: "ns", x: NS_X, y: space.y, width: NS_W, height: space.h, rx: 8});
		draw(svg, "text", {class: "small", x: NS_X + 10, y: space.y + 16}, cut(space.name, 60));
		for (const [name, ys] of space.bridges) {
			const y = ys.reduce((a, b) => a + b, 0) / ys.length;

			for (const at of ys)
				curve(svg, "edge", DEV_X + DEV_W, at + BOX / 2, BRIDGE_X, y + BOX / 2);
			box(svg, "bridge", BRIDGE_X, y, BRIDGE_W, name, cut(name, 14));
		}
	}
	for (const row of rows) {
		if (!row.proc || !row.d)
			continue;
		const h = placed.holders.get(row.proc.key), y1 = h.y + BOX / 2, y2 = devices.get(row.dev).y + BOX / 2;
		const edge = curve(svg, "edge" + (row.st === "disabled" ? " disabled" : "") + weak(row), 10 + HOLDER_W, y1, DEV_X, y2);

		edge.dataset.proc = row.proc.key;
		edge.dataset.dev = row.dev;
		/* where it meets no other: at the device, or at one of several holders */
		const shared = rows.filter((r) => r.dev === row.dev && r.proc).length > 1;
		draw(svg, "text", {class: "small" + weak(row), "text-anchor": shared ? "start" : "end",
			x: shared ? 10 + HOLDER_W + 8 : DEV_X - 30, y: (shared ? y1 : y2) - 3},
			"fd " + row.fds.slice(0, 6).join(" ") + (row.fds.length > 6 ? " \u2026" : ""));
	}
	for (const [id, device] of devices) {
		const d = device.row.d, idle = device.row.st === "no-holder", mine = rows.filter((r) => r.dev === id);
		const notes = [d.kind || ""];

		if (d.queues > 1)
			notes.push(d.queues + " queues");
		if (d.up === false)
			notes.push("down");
		if (idle)
			notes.push("no holder");
		else if (mine.every((r) => !r.proc))
			notes.push("in use, no fd");
		const g = box(svg, (idle ? "idle" : "device") + (deviceOf(now) && deviceOf(now).id === id ? " now" : "") +
			(mine.every((r) => weak(r)) ? " weak" : ""), DEV_X, device.y, DEV_W,
			[d.ifname, d.kind, d.mac, d.flags ? d.flags.join(" ") : "", id].filter(Boolean).join(", "), cut(d.ifname || "?", 15),
			cut(notes.filter(Boolean).join(", "), 28));
		g.dataset.dev = id;
		nodes.set(id, g);
	}
	for (const h of placed.holders.values()) {
		const p = h.proc, m = p.m >= 0 ? vms[p.m] : null;
		const loose = h.loose.map((r) => "fd " + r.fds.join(" ") + " " + r.st).join(", ");
		const g = box(svg, (m ? "vm" : "process") + (now[PROC] >= 0 && procs[now[PROC]].key === p.key ? " now" : "") +
			(h.rows.every((r) => weak(r)) ? " weak" : ""), 10, h.y, HOLDER_W,
			[m ? vmText(m) : "", procText(p), p.exe, p.user ? "user " + p.user : "", loose].filter(Boolean).join(", "),
			cut(m ? vmText(m) : p.comm || "?", 20),
			cut((m ? m.type + " " : p.role ? p.role + " " : "") + p.pid + (loose ? ", " + loose : ""), 34));
		g.dataset.proc = p.key;
	}
}

/* What hangs together with what the pointer is at. */
function strengthen(event) {
	const at = event.target.closest("[data-dev], [data-proc]"), svg = byId("graph");
	const proc = at && at.dataset.proc, dev = at && at.dataset.dev;

	for (const edge of svg.querySelectorAll(".edge[data-dev]"))
		edge.classList.toggle("strong", Boolean(at) && (!proc || edge.dataset.proc === proc) && (!dev || edge.dataset.dev === dev));
}

function drawBindings() {
	const body = byId("bindings");

	body.replaceChildren(...rows.filter((r) => !terms.length || bindingMatches(r, terms)).map((r) => {
		const p = r.proc, m = p && p.m >= 0 ? vms[p.m] : null, d = r.d;
		const seek = (text, term) => {
			const b = element("button", {type: "button"}, text);
			b.dataset.term = term;
			return b;
		};

		return element("tr", {},
			element("td", {}, d ? devNs(d) : ""), element("td", {}, d && d.ifname ? seek(d.ifname, "if:" + quote(d.ifname)) : ""),
			element("td", {}, d ? d.kind || "" : ""), element("td", {}, d ? d.master || "" : ""), element("td", {}, r.st),
			element("td", {}, p ? seek(procText(p), "pid:" + p.pid) : ""), element("td", {}, r.fds.join(" ")),
			element("td", {}, m ? seek(vmText(m), "vm:" + quote(vmText(m))) : ""));
	}));
}

const quote = (text) => /[\s"]/.test(text) ? '"' + text.replaceAll('"', " ").trim() + '"' : text;

function drawMoment() {
	const e = events[view.at], state = stateAt(view.at), slider = byId("slider");
	const doubts = [];

	rows = bindings(state);
	slider.value = Math.round((e[TIME] - begin) / span * 10000);
	slider.setAttribute("aria-valuetext", timeText(view.at) + ", event " + (view.at - shown + 1) + " of " + count);
	byId("moment").textContent = timeText(view.at) + " " + zoneText(view.at) + " \u2014 after event " + (view.at - shown + 1) + " of " + count;
	byId("now").textContent = [kindOf(e), e[PROC] >= 0 ? procText(procs[e[PROC]]) : "", nameOf(e),
		placeOf(e) ? "in " + placeOf(e) : "", e[VM] >= 0 ? "machine " + vmText(vms[e[VM]]) : "", e[DETAIL]].filter(Boolean).join(" \u00b7 ");
	if (state.lossy)
		doubts.push("Events were lost shortly before: until the state was read afresh nothing is sure.");
	if (view.at + 1 < events.length && kindOf(events[view.at + 1]) === "gap")
		doubts.push("After this nothing was recorded until " + timeText(view.at + 1) + ".");
	byId("doubt").textContent = doubts.join(" ");
	byId("doubt").hidden = !doubts.length;
	byId("first").disabled = byId("previous").disabled = view.at <= shown;
	byId("last").disabled = byId("next").disabled = view.at >= events.length - 1;
	drawGraph();
	drawBindings();
}

/* ---- events ---- */

const groups = {
	"": ["all events", () => true],
	failures: ["what failed", (e) => ["attach-failed", "lost", "gap"].includes(kindOf(e))],
	life: ["start and end of machines", (e) => ["vm-start", "vm-stop"].includes(kindOf(e))],
};

function choose() {
	const group = groups[view.kind];

	found = [];
	for (let i = shown; i < events.length; i++)
		if ((group ? group[1](events[i]) : kindOf(events[i]) === view.kind) && matches(i, terms))
			found.push(i);
	if (view.order === "down")
		found.reverse();
	byId("q-count").textContent = found.length === count ? count + " events" : found.length + " of " + count + " events";
}

function drawRows() {
	const pages = Math.max(1, Math.ceil(found.length / PAGE));

	view.page = Math.min(Math.max(view.page, 0), pages - 1);
	byId("page").textContent = "page " + (view.page + 1) + " of " + pages;
	byId("page-back").disabled = view.page === 0;
	byId("page-on").disabled = view.page >= pages - 1;
	byId("rows").replaceChildren(...found.slice(view.page * PAGE, (view.page + 1) * PAGE).map((i) => {
		const e = events[i], bad = ["attach-failed", "lost", "gap"].includes(kindOf(e));
		const cell = (text, kind) => element("td", kind ? {class: kind} : {}, text);

		return element("tr", {class: (bad ? "bad" : "") + (i === view.at ? " now" : ""), "data-i": i},
			element("td", {}, element("a", {href: "#seq=" + e[SEQ], title: "the topology then"}, timeText(i))),
			cell(kindOf(e), "event nowrap"), cell(e[PROC] >= 0 ? procText(procs[e[PROC]]) : "", "nowrap"), cell(e[FD] >= 0 ? String(e[FD]) : ""),
			cell(nameOf(e), "name"), cell(placeOf(e), "name"), cell(e[VM] >= 0 ? vmText(vms[e[VM]]) : "", "name"),
			cell(e[DETAIL]));
	}));
}

function markRow() {
	for (const row of byId("rows").children)
		row.classList.toggle("now", Number(row.dataset.i) === view.at);
}

function drawMachines() {
	let any = false;

	for (const run of document.querySelectorAll(".run")) {
		const text = (run.dataset.vm + " " + run.querySelector("summary").textContent).toLowerCase();
		const own = terms.filter((t) => !t.field || t.field === "vm");

		run.hidden = terms.length > 0 && (!own.length || !own.every((t) => text.includes(t.word)));
		any = any || !run.hidden;
	}
	byId("machines-none").hidden = any;
}

/* ---- moments and the address ---- */

let begin = 0, span = 1, earliest = [];

function findTimes() {
	begin = Infinity;
	let end = -Infinity;

	for (let i = shown; i < events.length; i++) {
		begin = Math.min(begin, events[i][TIME]);
		end = Math.max(end, events[i][TIME]);
	}
	span = Math.max(1, end - begin);
	/* the clock may have been set back: the least time from here on rises all the same */
	earliest = new Array(events.length);
	let least = Infinity;
	for (let i = events.length - 1; i >= shown; i--)
		earliest[i] = least = Math.min(least, events[i][TIME]);
}

/* The last event at or before this time. */
function indexAt(us) {
	let low = shown, high = events.length - 1;

	while (low < high) {
		const middle = (low + high + 1) >> 1;

		if (earliest[middle] <= us)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

function indexOf(seq) {
	for (let i = shown; i < events.length; i++)
		if (events[i][SEQ] >= seq)
			return i;
	return events.length - 1;
}

function writeAddress() {
	const words = new URLSearchParams();

	words.set("seq", events[view.at][SEQ]);
	if (view.q)
		words.set("q", view.q);
	if (view.kind)
		words.set("show", view.kind);
	if (view.order !== "up")
		words.set("order", view.order);
	if (view.page)
		words.set("page", view.page + 1);
	try {
		history.replaceState(null, "", "#" + words);
	} catch (error) {
		/* not everywhere is a page of a file allowed to */
	}
}

/* #seq=17 or #at=2026-11-22T06:04:18Z, and q, show, order, page. What is not named stays. False: it is none of ours. */
function readAddress() {
	const words = new URLSearchParams(location.hash.slice(1));
	const at = Date.parse(words.get("at")), digits = /\.\d{3}(\d{1,3})/.exec(words.get("at") || "");

	if (!["seq", "at", "q", "show", "order", "page"].some((w) => words.has(w)))
		return false;
	if (words.has("seq"))
		view.at = indexOf(Number(words.get("seq")));
	else if (!Number.isNaN(at))
		view.at = indexAt((at - data.about.base) * 1000 + (digits ? Number(digits[1].padEnd(3, "0")) : 0));
	if (words.has("q"))
		view.q = safe(words.get("q"));
	if (words.has("show") && (groups[words.get("show")] || kinds.includes(words.get("show"))))
		view.kind = words.get("show");
	if (words.has("order"))
		view.order = words.get("order") === "down" ? "down" : "up";
	view.page = Number(words.get("page") || 1) - 1 || 0;
	return true;
}

function drawAll() {
	terms = parse(view.q);
	byId("q").value = view.q;
	byId("kind").value = view.kind;
	byId("order").value = view.order;
	choose();
	drawMoment();
	drawMachines();
	drawRows();
}

function go(i) {
	view.at = Math.min(Math.max(i, shown), events.length - 1);
	drawMoment();
	markRow();
	writeAddress();
}

function search(q) {
	view.q = q;
	view.page = 0;
	drawAll();
	writeAddress();
}

/* ---- life ---- */

function drawDensity() {
	const bins = new Array(BINS).fill(0), svg = byId("density");

	for (let i = shown; i < events.length; i++)
		bins[Math.min(BINS - 1, Math.floor((events[i][TIME] - begin) / span * BINS))]++;
	const most = Math.log1p(Math.max(...bins));
	bins.forEach((n, i) => {
		const h = n ? 3 + 27 * Math.log1p(n) / most : 0;

		if (n)
			draw(svg, "rect", {x: i * 1000 / BINS, y: 30 - h, width: 1000 / BINS - 0.5, height: h});
	});
}

function fillKinds() {
	const present = new Set();

	for (let i = shown; i < events.length; i++)
		present.add(kindOf(events[i]));
	for (const [value, [text]] of Object.entries(groups))
		byId("kind").append(element("option", {value}, text));
	for (const kind of kinds.filter((k) => present.has(k)))
		byId("kind").append(element("option", {value: kind}, kind));
}

function onSliderKey(event) {
	const far = Math.max(1, Math.round(count / 20));
	const steps = {
		ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: far, PageDown: -far, Home: -Infinity, End: Infinity,
	};

	if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey)
		return;
	event.preventDefault();
	go(view.at + steps[event.key]);
}

function listen() {
	let waiting = 0;

	byId("slider").addEventListener("keydown", onSliderKey);
	byId("slider").addEventListener("input", () => go(indexAt(begin + byId("slider").value / 10000 * span)));
	byId("first").addEventListener("click", () => go(shown));
	byId("previous").addEventListener("click", () => go(view.at - 1));
	byId("next").addEventListener("click", () => go(view.at + 1));
	byId("last").addEventListener("click", () => go(events.length - 1));
	byId("q").addEventListener("input", () => {
		clearTimeout(waiting);
		waiting = setTimeout(() => search(byId("q").value), 150);
	});
	byId("find").addEventListener("submit", (event) => {
		event.preventDefault();
		clearTimeout(waiting);
		search(byId("q").value);
	});
	for (const id of ["kind", "order"]) {
		byId(id).addEventListener("change", () => {
			view[id] = byId(id).value;
			search(view.q);
		});
	}
	for (const [id, step] of [["page-back", -1], ["page-on", 1]]) {
		byId(id).addEventListener("click", () => {
			view.page += step;
			drawRows();
			writeAddress();
		});
	}
	byId("bindings").addEventListener("click", (event) => {
		const button = event.target.closest("button");

		if (button)
			search(button.dataset.term);
	});
	byId("graph").addEventListener("pointerover", strengthen);
	byId("machines").addEventListener("click", (event) => {
		const row = event.target.closest(".ev[data-seq]");

		if (row)
			go(indexOf(Number(row.dataset.seq)));
	});
	window.addEventListener("hashchange", () => {
		if (readAddress())
			drawAll();
	});
}

function start() {
	if (!count) {
		byId("machines-none").hidden = document.querySelectorAll(".run").length > 0;
		return;
	}
	for (const id of ["find", "topology", "events"])
		byId(id).hidden = false;
	findTimes();
	fillKinds();
	drawDensity();
	listen();
	readAddress();
	drawAll();
}

start();
})();
