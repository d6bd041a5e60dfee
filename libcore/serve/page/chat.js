// SPDX-License-Identifier: MIT
// chat.js - a conversation, streamed
import { $, make, events } from "/page/api.js";

const turns = [];   // { role, content, reasoning }
let stop = null;    // ends the answer that runs

// Text with code fences, `code` and **bold**; everything else as it is.
// Elements are made here and texts stay texts: nothing a model writes is HTML.
function inline(text) {
	return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part, i) => {
		if (i % 2 === 0)
			return part;
		return part[0] === "`" ? make("code", {}, part.slice(1, -1)) :
			make("strong", {}, part.slice(2, -2));
	});
}

export function rich(text) {
	return text.split(/^```/m).flatMap((part, i) => {
		if (i % 2 === 0)
			return inline(part.replace(/^\n/, ""));
		const end = part.indexOf("\n");

		return [make("pre", {}, make("code", {}, end < 0 ? "" : part.slice(end + 1)))];
	});
}

function turn_view(turn) {
	const said = make("div", { class: "said" }, ...rich(turn.content));
	const view = make("div", { class: `turn ${turn.role}` },
		make("b", {}, turn.role === "user" ? "You" : "Model"));

	if (turn.role === "assistant") {
		const thought = make("div", { class: "said thought" });
		const box = make("details", {}, make("summary", { class: "faint" }, "Thinking"), thought);

		box.hidden = true;
		view.append(box);
		turn.paint = () => {
			box.hidden = !turn.reasoning;
			thought.textContent = turn.reasoning;
			said.replaceChildren(...rich(turn.content));
		};
	}
	view.append(said);
	return view;
}

function show(turn) {
	const log = $("log");

	log.querySelector(".empty")?.remove();
	log.append(turn_view(turn));
	log.scrollTop = log.scrollHeight;
}

function number(id) {
	const v = $(id).value.trim();

	return v === "" || !isFinite(v) ? undefined : Number(v);
}

function request() {
	const system = $("system").value.trim();
	const think = $("think").value;

	return {
		model: $("model").value,
		messages: [
			...(system ? [{ role: "system", content: system }] : []),
			...turns.map(({ role, content }) => ({ role, content })),
		],
		stream: true,
		stream_options: { include_usage: true },
		temperature: number("temperature"),
		top_p: number("top-p"),
		max_tokens: number("longest"),
		seed: number("seed"),
		chat_template_kwargs: think ? { enable_thinking: think === "on" } : undefined,
	};
}

// Paints at most once a frame, and keeps the end in sight where it was.
function painter(turn) {
	let due = false;

	return () => {
		if (due)
			return;
		due = true;
		requestAnimationFrame(() => {
			const log = $("log");
			const low = log.scrollHeight - log.scrollTop - log.clientHeight < 60;

			due = false;
			turn.paint();
			if (low)
				log.scrollTop = log.scrollHeight;
		});
	};
}

function timing(began, first, usage) {
	const end = performance.now();
	const parts = [];

	if (first)
		parts.push(`first token ${Math.round(first - began)} ms`);
	if (usage) {
		const n = usage.completion_tokens;
		const cached = usage.prompt_tokens_details?.cached_tokens;

		parts.push(`prompt ${usage.prompt_tokens} tokens${cached ? ` (${cached} cached)` : ""}`);
		parts.push(`answer ${n} tokens`);
		if (n > 1 && end > first)
			parts.push(`${((n - 1) * 1000 / (end - first)).toFixed(1)} tokens/s`);
	}
	return parts.join(" · ");
}

function running(on) {
	$("send").textContent = on ? "Stop" : "Send";
	$("again").disabled = $("fresh").disabled = on || !turns.length;
}

async function answer() {
	const body = request();
	const turn = { role: "assistant", content: "", reasoning: "" };
	const began = performance.now();
	let first = 0, usage, note = "";

	stop = new AbortController();
	show(turn);
	const paint = painter(turn);
	running(true);
	$("timing").textContent = "…";
	$("timing").className = "faint";
	try {
		for await (const e of events("/v1/chat/completions", body, stop.signal)) {
			const delta = e.choices?.[0]?.delta || {};

			usage = e.usage || usage;
			if (delta.content || delta.reasoning_content || delta.tool_calls)
				first ||= performance.now();
			turn.content += delta.content || "";
			turn.reasoning += delta.reasoning_content || "";
			if (e.choices?.[0]?.finish_reason === "length")
				note = " · cut at the longest answer";
			paint();
		}
		$("timing").textContent = timing(began, first, usage) + note;
	} catch (e) {
		const stopped = e.name === "AbortError";

		$("timing").textContent = stopped ? "stopped" : e.message;
		$("timing").className = stopped ? "faint" : "bad";
	}
	turn.paint();
	if (turn.content || turn.reasoning)
		turns.push(turn);
	else
		$("log").lastElementChild.remove();
	stop = null;
	running(false);
}

function ask() {
	const text = $("prompt").value.trim();

	if (stop)
		return stop.abort();
	if (!text)
		return undefined;
	$("prompt").value = "";
	turns.push({ role: "user", content: text });
	show(turns.at(-1));
	return answer();
}

function again() {
	if (stop)
		return;
	while (turns.length && turns.at(-1).role === "assistant") {
		turns.pop();
		$("log").lastElementChild.remove();
	}
	if (turns.length)
		answer();
}

function fresh() {
	turns.length = 0;
	$("log").replaceChildren();
	$("timing").textContent = "";
	running(false);
	$("prompt").focus();
}

export function chat_open() {
	$("ask").addEventListener("submit", (e) => {
		e.preventDefault();
		ask();
	});
	$("prompt").addEventListener("keydown", (e) => {
		if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
			e.preventDefault();
			if (!stop)
				ask();
		}
	});
	addEventListener("keydown", (e) => {
		if (e.key === "Escape")
			stop?.abort();
	});
	$("again").addEventListener("click", again);
	$("fresh").addEventListener("click", fresh);
}
