// SPDX-License-Identifier: MIT
// page.js - views, theme, the list of models, and whether the server is well
import { $, make, get } from "/page/api.js";
import { chat_open } from "/page/chat.js";
import { models_show } from "/page/models.js";
import { metrics_open, metrics_show } from "/page/metrics.js";
import { text_show } from "/page/text.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];
const shown = { chat: () => $("prompt").focus(), models: models_show, metrics: metrics_show,
	text: text_show };

function view(tab, focus) {
	for (const t of tabs) {
		const on = t === tab;

		t.setAttribute("aria-selected", on);
		t.tabIndex = on ? 0 : -1;
		$(t.getAttribute("aria-controls")).hidden = !on;
	}
	const name = tab.getAttribute("aria-controls");

	// at first there is none, and one would take the focus
	if (location.hash || tab !== tabs[0])
		history.replaceState(null, "", `#${name}`);
	shown[name]();
	if (focus)
		tab.focus();
}

function tabs_open() {
	for (const [i, tab] of tabs.entries()) {
		tab.title = `Alt+${i + 1}`;
		tab.addEventListener("click", () => view(tab));
		tab.addEventListener("keydown", (e) => {
			const step = { ArrowRight: 1, ArrowLeft: tabs.length - 1 }[e.key];

			if (step)
				view(tabs[(i + step) % tabs.length], true);
		});
	}
	addEventListener("keydown", (e) => {
		const tab = e.altKey && tabs[Number(e.key) - 1];

		if (tab) {
			e.preventDefault();
			view(tab, true);
		}
	});
	view(tabs.find((t) => `#${t.getAttribute("aria-controls")}` === location.hash) || tabs[0]);
}

function theme_open() {
	const dark = matchMedia("(prefers-color-scheme: dark)");
	const wear = () => {
		document.documentElement.dataset.theme =
			localStorage.getItem("clm-theme") || (dark.matches ? "dark" : "light");
		dispatchEvent(new Event("theme"));
	};

	dark.addEventListener("change", wear);
	$("theme").addEventListener("click", () => {
		localStorage.setItem("clm-theme",
			document.documentElement.dataset.theme === "dark" ? "light" : "dark");
		wear();
	});
	wear();
}

export async function list_models() {
	const { data } = await get("/v1/models");
	const was = $("model").value;

	$("model").replaceChildren(...data.map((m) => make("option", { value: m.id }, m.id)));
	if (data.some((m) => m.id === was))
		$("model").value = was;
}

async function health() {
	let well = false;

	try {
		well = (await fetch("/health")).ok;
		if (well && !$("model").options.length)
			await list_models();
	} catch {
		// told below
	}
	$("state").textContent = well ? "ready" : "not reachable";
	$("state").className = well ? "faint" : "bad";
}

theme_open();
metrics_open();
tabs_open();
chat_open();
health();
setInterval(() => document.hidden || health(), 5000);
