// SPDX-License-Identifier: MIT
// text.js - a text as tokens, and how likely a model finds them
import { $, make, post } from "/page/api.js";

let due = 0, asked = 0, going = false;

const hex = (bytes) => bytes.map((b) => b.toString(16).padStart(2, "0")).join(" ");

function tell(span, words) {
	const on = () => {
		document.querySelector(".pieces .hot")?.classList.remove("hot");
		span.classList.add("hot");
		$("piece").textContent = words;
	};

	span.tabIndex = 0;
	span.addEventListener("mouseenter", on);
	span.addEventListener("focus", on);
	return span;
}

function sum(words, bad) {
	$("text-sum").textContent = words;
	$("text-sum").className = bad ? "bad" : "faint";
}

async function cut() {
	const content = $("text-in").value, mine = ++asked;

	try {
		const { tokens } = await post("/tokenize", { model: $("model").value, content,
			add_special: $("text-add").checked, parse_special: $("text-special").checked,
			with_pieces: true });

		if (mine !== asked)
			return; // a later text's answer is on its way
		$("pieces").replaceChildren(...tokens.map(({ id, piece }, i) =>
			tell(make("span", { class: `p${i % 4}` },
				typeof piece === "string" ? piece : `<${hex(piece)}>`),
			`token ${id}: ${typeof piece === "string" ? JSON.stringify(piece) :
				`bytes ${hex(piece)}`}`)));
		sum(`${tokens.length} tokens · ${new TextEncoder().encode(content).length} bytes`);
		$("piece").textContent = "";
	} catch (e) {
		sum(e.message, true);
	}
}

// The darker the background, the less likely the token.
function shade(p) {
	const part = p === null ? 0 : Math.round(Math.min(1, -p / 10) * 75);

	return `color-mix(in srgb, var(--second) ${part}%, transparent)`;
}

function scored(span, token, p, top) {
	const others = top ? Object.entries(top).sort((a, b) => b[1] - a[1]).slice(0, 5)
		.map(([t, l]) => `${JSON.stringify(t)} ${(100 * Math.exp(l)).toFixed(1)} %`).join(", ") : "";

	span.style.background = shade(p);
	return tell(span, p === null ? `${JSON.stringify(token)}: the first` :
		`${JSON.stringify(token)}: ${(100 * Math.exp(p)).toPrecision(3)} %` +
		` (log ${p.toFixed(3)})${others ? ` · likely: ${others}` : ""}`);
}

async function score() {
	const prompt = $("text-in").value, mine = ++asked;

	if (!prompt)
		return;
	sum("…");
	try {
		const answer = await post("/v1/completions", { model: $("model").value, prompt, echo: true,
			logprobs: 5, max_tokens: 0 });
		const { tokens, token_logprobs: p, top_logprobs: top } = answer.choices[0].logprobs;
		const known = p.filter((v) => v !== null), all = known.reduce((a, b) => a + b, 0);

		if (mine !== asked)
			return;
		$("pieces").replaceChildren(...tokens.map((t, i) =>
			scored(make("span", {}, t), t, p[i], top?.[i])));
		sum(`${known.length} tokens · log-probability ${all.toFixed(3)} · perplexity ` +
			Math.exp(-all / Math.max(1, known.length)).toFixed(3));
		$("piece").textContent = "";
	} catch (e) {
		sum(e.message, true);
	}
}

export function text_show() {
	if (going)
		return;
	going = true;
	const later = () => {
		clearTimeout(due);
		due = setTimeout(cut, 150);
	};

	for (const id of ["text-in", "text-add", "text-special", "model"])
		$(id).addEventListener("input", later);
	$("text-in").addEventListener("keydown", (e) => {
		if (e.key === "Enter" && e.ctrlKey)
			score();
	});
	$("score").addEventListener("click", score);
}
