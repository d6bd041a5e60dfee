// SPDX-License-Identifier: MIT
// metrics.js - what /metrics tells, as plots
import { $, make, get_text, bytes_text } from "/page/api.js";

const POINTS = 300, WINDOW = 30; // seconds: of a plot, of a quantile
const seen = [];                 // { at, values }: one a second

// "name{labels} value" lines as a map from "name{labels}".
export function parse(text) {
	const values = new Map();

	for (const line of text.split("\n")) {
		const m = /^([a-zA-Z_:][^ {]*(?:\{.*\})?) (\S+)$/.exec(line);

		if (m)
			values.set(m[1], Number(m[2].replace("+Inf", "Infinity")));
	}
	return values;
}

function rate(name) {
	const [a, b] = [seen.at(-2), seen.at(-1)];

	if (!a)
		return null;
	return Math.max(0, (b.values.get(name) - a.values.get(name)) / (b.at - a.at));
}

// A quantile of what a histogram took in during the window; null: nothing.
export function quantile(q, name, old, now) {
	const counts = [];

	for (const [id, n] of now) {
		const m = id.startsWith(`${name}_bucket{`) && /le="([^"]+)"/.exec(id);

		if (m)
			counts.push([Number(m[1].replace("+Inf", "Infinity")), n - (old?.get(id) || 0)]);
	}
	counts.sort((a, b) => a[0] - b[0]);
	const all = counts.at(-1)?.[1];
	let below = 0, low = 0;

	if (!all)
		return null;
	for (const [bound, n] of counts) {
		if (n >= q * all)
			return isFinite(bound) ?
				low + (bound - low) * (q * all - below) / Math.max(1, n - below) : low;
		below = n;
		low = bound;
	}
	return low;
}

const one = (name) => seen.at(-1)?.values.get(name) ?? null;
// Over all labels.
const sum = (name) => [...seen.at(-1)?.values ?? []].reduce((all, [id, v]) =>
	id.startsWith(`${name}{`) ? all + v : all, 0);
const wait = (q, name) => quantile(q, name, seen.at(-WINDOW)?.values ?? seen[0].values,
	seen.at(-1).values);
const seconds = (v) => v < 1 ? `${Math.round(v * 1000)} ms` : `${v.toFixed(2)} s`;
const plain = (v) => v >= 100 || Number.isInteger(v) ? String(Math.round(v)) : v.toFixed(1);

const plots = [
	{ title: "Tokens a second", unit: plain, least: 1, lines: [
		["generated", () => rate("clm_generated_tokens_total")],
		["prompt", () => rate("clm_prompt_tokens_total")]] },
	{ title: "Time to first token", unit: seconds, least: 0.01, lines: [
		["median", () => wait(0.5, "clm_time_to_first_token_seconds")],
		["95 of 100", () => wait(0.95, "clm_time_to_first_token_seconds")]] },
	{ title: "Cache in use", unit: (v) => `${(v * 100).toFixed(0)} %`, least: 1, lines: [
		["of its room", () => one("clm_kv_usage_ratio")]] },
	{ title: "Requests", unit: plain, least: 1, lines: [
		["running", () => one("clm_requests_running")],
		["waiting", () => one("clm_requests_waiting")]] },
];

function plot_open(p) {
	const names = p.lines.map(([name], i) =>
		make("span", { class: i ? "second" : "first" }, name));

	p.canvas = make("canvas", { role: "img" });
	p.history = p.lines.map(() => []);
	p.names = names;
	$("plots").append(make("figure", {},
		make("figcaption", {}, make("b", {}, p.title), ...names), p.canvas));
}

function draw(p) {
	const c = p.canvas, g = c.getContext("2d"), scale = devicePixelRatio || 1;
	const style = getComputedStyle(document.documentElement);
	const w = c.clientWidth, h = c.clientHeight, values = p.history.flat().filter((v) => v !== null);
	const most = Math.max(p.least, 1.1 * Math.max(0, ...values));

	if (!w)
		return;
	c.width = w * scale;
	c.height = h * scale;
	g.scale(scale, scale);
	g.font = "11px system-ui, sans-serif";
	g.strokeStyle = style.getPropertyValue("--line");
	g.fillStyle = style.getPropertyValue("--faint");
	for (const part of [0, 0.5, 1]) {
		const y = h - 4 - part * (h - 20);

		g.beginPath();
		g.moveTo(0, y);
		g.lineTo(w, y);
		g.stroke();
		if (part && values.length)
			g.fillText(p.unit(most * part), 2, y - 3);
	}
	p.history.forEach((line, i) => {
		let pen = false;

		g.strokeStyle = style.getPropertyValue(i ? "--second" : "--accent");
		g.lineWidth = 1.6;
		g.beginPath();
		line.forEach((v, k) => {
			const x = w - (line.length - 1 - k) * w / (POINTS - 1);
			const y = h - 4 - (v ?? 0) / most * (h - 20);

			if (v !== null)
				g[pen ? "lineTo" : "moveTo"](x, y);
			pen = v !== null;
		});
		g.stroke();
	});
}

function add_points() {
	for (const p of plots)
		p.lines.forEach(([name, value], i) => {
			const v = value(), line = p.history[i];

			line.push(v === undefined || Number.isNaN(v) ? null : v);
			if (line.length > POINTS)
				line.shift();
			p.names[i].textContent = `${name} ${line.at(-1) === null ? "–" : p.unit(v)}`;
			p.canvas.setAttribute("aria-label",
				`${p.title}: ${p.names.map((n) => n.textContent).join(", ")}`);
		});
}

function totals() {
	const rows = [
		["Prompt tokens", one("clm_prompt_tokens_total")],
		["of them cached", one("clm_prompt_tokens_cached_total")],
		["Generated tokens", one("clm_generated_tokens_total")],
		["Cancelled requests", sum("clm_requests_cancelled_total")],
		["Memory", one("process_resident_memory_bytes"), bytes_text],
		["Up since", one("process_start_time_seconds"),
			(v) => new Date(v * 1000).toLocaleString()],
	];

	$("totals").replaceChildren(...rows.filter(([, v]) => v !== null).map(([name, v, text]) =>
		make("div", {}, make("dt", {}, name), make("dd", {}, text ? text(v) : v.toLocaleString()))));
}

async function look() {
	try {
		const values = parse(await get_text("/metrics"));

		seen.push({ at: performance.now() / 1000, values });
		if (seen.length > WINDOW + 1)
			seen.shift();
		add_points();
	} catch {
		return; // the line at the top tells
	}
	if (!$("metrics").hidden)
		metrics_show();
}

export function metrics_show() {
	plots.forEach(draw);
	totals();
}

export function metrics_open() {
	plots.forEach(plot_open);
	addEventListener("resize", () => plots.forEach(draw));
	addEventListener("theme", () => plots.forEach(draw));
	setInterval(() => document.hidden || look(), 1000);
	look();
}
