// SPDX-License-Identifier: MIT
// api.js - the server, as the page's parts ask it

let key = sessionStorage.getItem("clm-key") || "";
let asking = null;

export const $ = (id) => document.getElementById(id);

// An element with attributes and children (texts or elements).
export function make(tag, attributes = {}, ...children) {
	const e = document.createElement(tag);

	for (const [name, value] of Object.entries(attributes))
		if (value !== null && value !== undefined)
			e.setAttribute(name, value);
	e.append(...children);
	return e;
}

function ask_key() {
	asking ||= new Promise((resolve) => {
		const box = $("key-box");

		box.addEventListener("close", () => {
			key = $("key").value;
			sessionStorage.setItem("clm-key", key);
			asking = null;
			resolve();
		}, { once: true });
		box.showModal();
	});
	return asking;
}

// What went wrong, in the server's words, whatever the dialect.
async function words(answer) {
	const text = await answer.text();

	try {
		const e = JSON.parse(text).error;

		return typeof e === "string" ? e : e.message;
	} catch {
		return text.slice(0, 300) || `${answer.status} ${answer.statusText}`;
	}
}

async function send(method, path, body, signal) {
	for (;;) {
		const headers = {};

		if (key)
			headers.Authorization = `Bearer ${key}`;
		if (body)
			headers["Content-Type"] = "application/json";
		const answer = await fetch(path, { method, headers, signal,
			body: body && JSON.stringify(body) });
		if (answer.ok)
			return answer;
		if (answer.status !== 401)
			throw Object.assign(new Error(await words(answer)), { status: answer.status });
		await ask_key();
	}
}

export async function get(path, signal) {
	return (await send("GET", path, null, signal)).json();
}

export async function get_text(path) {
	return (await send("GET", path)).text();
}

export async function post(path, body, signal) {
	const text = await (await send("POST", path, body, signal)).text();

	return text ? JSON.parse(text) : {};
}

// The events of a stream, each parsed, until "[DONE]". A stream that breaks
// off is an error, not an end.
export async function* events(path, body, signal) {
	const reader = (await send("POST", path, body, signal)).body.getReader();
	const decoder = new TextDecoder();
	let rest = "";

	for (;;) {
		const { done, value } = await reader.read();

		if (done)
			throw new Error("the answer broke off");
		rest += decoder.decode(value, { stream: true });
		for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
			const data = rest.slice(0, end).split("\n")
				.filter((line) => line.startsWith("data: "))
				.map((line) => line.slice(6)).join("\n");

			if (data === "[DONE]")
				return;
			if (!data)
				continue;
			const event = JSON.parse(data);
			if (event.error)
				throw new Error(event.error.message);
			yield event;
		}
	}
}

export function bytes_text(n) {
	const units = ["bytes", "kB", "MB", "GB", "TB"];
	let i = 0;

	while (n >= 1000 && i < units.length - 1) {
		n /= 1000;
		i++;
	}
	return `${n < 10 && i ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}
