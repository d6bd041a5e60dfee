// SPDX-License-Identifier: MIT
// models.js - the table of models
import { $, make, get, post, bytes_text } from "/page/api.js";

function row(m, loaded) {
	const d = m.details || {};
	const state = loaded ? "loaded" : "on disk";
	const button = make("button", {}, loaded ? "Unload" : "Load");
	const cells = [m.name, d.family, d.format, d.quantization_level, d.parameter_size,
		bytes_text(m.size || 0), loaded?.context_length ?? "", (m.capabilities || []).join(", "),
		state];

	button.addEventListener("click", async () => {
		button.disabled = true;
		try {
			await post(`/v1/models/${loaded ? "unload" : "load"}`, { model: m.name });
			await models_show();
		} catch (e) {
			button.replaceWith(make("span", { class: "bad" }, e.message));
		}
	});
	return make("tr", {}, ...cells.map((c) => make("td", {}, String(c ?? ""))),
		make("td", {}, button));
}

export async function models_show() {
	try {
		const [tags, ps] = await Promise.all([get("/api/tags"), get("/api/ps")]);
		const loaded = new Map(ps.models.map((m) => [m.name, m]));

		$("model-rows").replaceChildren(...tags.models.map((m) => row(m, loaded.get(m.name))));
	} catch (e) {
		$("model-rows").replaceChildren(make("tr", {},
			make("td", { colspan: 10, class: "bad" }, e.message)));
	}
	$("example").textContent =
		`curl ${location.origin}/v1/chat/completions -d '{"model":"${$("model").value}",` +
		`"messages":[{"role":"user","content":"Hello"}]}'\n` +
		`OPENAI_BASE_URL=${location.origin}/v1\nOLLAMA_HOST=${location.origin}\n` +
		`ANTHROPIC_BASE_URL=${location.origin}`;
}
