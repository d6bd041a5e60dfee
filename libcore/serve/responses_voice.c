/* SPDX-License-Identifier: MIT */
/* responses_voice.c - the answer of OpenAI's POST /v1/responses: items, told
 * by events or at once */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "serve/openai.h"
#include "serve/responses.h"

static struct responses *own(struct call *c)
{
	return c->own;
}

/* ---- the response object */

/* ,"name": and what was asked, or else the text given. */
static void echo(struct call *c, const char *name, const cJSON *v, const char *otherwise)
{
	struct err e;

	buf_printf(&c->out, ",\"%s\":", name);
	if (!v || cJSON_IsNull(v))
		buf_add_text(&c->out, otherwise);
	else if (json_write(&c->out, v, 0, false, &e))
		c->out.failed = true;
}

static void usage(struct call *c)
{
	size_t prompt = call_prompt_tokens(c), made = call_made_tokens(c);

	buf_printf(&c->out,
	           "{\"input_tokens\":%zu,\"input_tokens_details\":{\"cached_tokens\":%zu},"
	           "\"output_tokens\":%zu,\"output_tokens_details\":{\"reasoning_tokens\":%zu},"
	           "\"total_tokens\":%zu}",
	           prompt, call_cached_tokens(c), made, c->choice[0].n_reasoned, prompt + made);
}

static void settings(struct call *c)
{
	const cJSON *asked = own(c)->asked;

	echo(c, "instructions", json_get(asked, "instructions"), "null");
	echo(c, "max_output_tokens", json_get(asked, "max_output_tokens"), "null");
	echo(c, "metadata", json_get(asked, "metadata"), "{}");
	echo(c, "parallel_tool_calls", json_get(asked, "parallel_tool_calls"), "true");
	echo(c, "temperature", json_get(asked, "temperature"), "1");
	echo(c, "top_p", json_get(asked, "top_p"), "1");
	echo(c, "top_logprobs", json_get(asked, "top_logprobs"), "0");
	echo(c, "tool_choice", json_get(asked, "tool_choice"), "\"auto\"");
	echo(c, "tools", json_get(asked, "tools"), "[]");
	echo(c, "truncation", json_get(asked, "truncation"), "\"disabled\"");
	buf_add_text(&c->out, ",\"background\":false,\"previous_response_id\":null,\"store\":false,"
	                      "\"reasoning\":{\"summary\":null");
	echo(c, "effort", json_get(json_get(asked, "reasoning"), "effort"), "null");
	buf_add_text(&c->out, "},\"text\":{\"verbosity\":\"medium\"");
	echo(c, "format", json_get(json_get(asked, "text"), "format"), "{\"type\":\"text\"}");
	buf_add_byte(&c->out, '}');
}

static bool cut(const struct call *c)
{
	return c->choice[0].reason == END_LENGTH;
}

static void response(struct call *c, bool ended)
{
	struct buf *b = &c->out;

	buf_printf(b, "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":%lld,"
	           "\"completed_at\":",
	           c->id, (long long)c->created);
	if (ended && !cut(c))
		buf_printf(b, "%lld", (long long)time(NULL));
	else
		buf_add_text(b, "null");
	buf_printf(b, ",\"status\":\"%s\",\"error\":null,\"incomplete_details\":%s,\"model\":",
	           !ended ? "in_progress" : cut(c) ? "incomplete" : "completed",
	           ended && cut(c) ? "{\"reason\":\"max_output_tokens\"}" : "null");
	json_add_string(b, bytes_of(c->name));
	settings(c);
	buf_add_text(b, ",\"output\":[");
	buf_add(b, own(c)->items.p, own(c)->items.n);
	b->failed |= own(c)->items.failed;
	buf_add_text(b, "],\"usage\":");
	if (ended)
		usage(c);
	else
		buf_add_text(b, "null");
	buf_add_byte(b, '}');
}

/* ---- items */

static void item_id(struct buf *b, const struct call *c, const char *kind, size_t i)
{
	buf_printf(b, "\"%s_%s%zu\"", kind, c->id, i);
}

static void part(struct buf *b, struct bytes text, struct bytes likely)
{
	buf_add_text(b, "{\"type\":\"output_text\",\"text\":");
	json_add_string(b, text);
	buf_add_text(b, ",\"annotations\":[],\"logprobs\":[");
	buf_add(b, likely.p, likely.n);
	buf_add_text(b, "]}");
}

/* A message or a reasoning as it stands; without a text it has just begun. */
static void text_item(struct buf *b, struct call *c, const char *status, const struct bytes *text)
{
	struct responses *w = own(c);
	bool message = w->open == ITEM_MESSAGE;

	buf_add_text(b, "{\"id\":");
	item_id(b, c, message ? "msg" : "rs", w->n_items);
	buf_printf(b, ",\"type\":\"%s\",\"status\":\"%s\"%s,\"content\":[",
	           message ? "message" : "reasoning", status,
	           message ? ",\"role\":\"assistant\"" : ",\"summary\":[]");
	if (text && message) {
		part(b, *text, buf_bytes(&w->likely));
	} else if (text) {
		buf_add_text(b, "{\"type\":\"reasoning_text\",\"text\":");
		json_add_string(b, *text);
		buf_add_byte(b, '}');
	}
	buf_add_text(b, "]}");
}

static void call_item(struct buf *b, struct call *c, const struct tool_said *t, bool ended)
{
	buf_add_text(b, "{\"id\":");
	item_id(b, c, "fc", own(c)->n_items);
	buf_add_text(b, ",\"type\":\"function_call\",\"call_id\":");
	json_add_string(b, bytes_of(t->id));
	buf_add_text(b, ",\"name\":");
	json_add_string(b, bytes_of(t->name));
	buf_add_text(b, ",\"arguments\":");
	json_add_string(b, bytes_of(ended ? t->arguments : ""));
	buf_printf(b, ",\"status\":\"%s\"}", ended ? "completed" : "in_progress");
}

/* ---- events */

static void event(struct call *c, const char *type)
{
	buf_printf(&c->out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%zu", type, type,
	           own(c)->n_events++);
}

static void event_end(struct call *c)
{
	buf_add_text(&c->out, "}\n\n");
}

static void of_item(struct call *c, const char *type, const char *kind, bool content)
{
	event(c, type);
	buf_add_text(&c->out, ",\"item_id\":");
	item_id(&c->out, c, kind, own(c)->n_items);
	buf_printf(&c->out, ",\"output_index\":%zu", own(c)->n_items);
	if (content)
		buf_add_text(&c->out, ",\"content_index\":0");
}

static void of_response(struct call *c, const char *type, bool ended)
{
	event(c, type);
	buf_add_text(&c->out, ",\"response\":");
	response(c, ended);
	event_end(c);
}

static void begin(struct call *c)
{
	of_response(c, "response.created", false);
	of_response(c, "response.in_progress", false);
}

static void item_event(struct call *c, const char *type)
{
	event(c, type);
	buf_printf(&c->out, ",\"output_index\":%zu,\"item\":", own(c)->n_items);
}

/* Keeps the last item for the response as a whole. */
static void item_ended(struct call *c, size_t from)
{
	struct responses *w = own(c);

	if (w->n_items)
		buf_add_byte(&w->items, ',');
	buf_add(&w->items, c->out.p + from, c->out.n - from);
	w->n_items++;
}

static void text_done(struct call *c)
{
	struct responses *w = own(c);
	struct bytes text = buf_bytes(&w->text), likely = buf_bytes(&w->likely);

	if (w->open == ITEM_REASONING) {
		of_item(c, "response.reasoning_text.done", "rs", true);
		buf_add_text(&c->out, ",\"text\":");
		json_add_string(&c->out, text);
		event_end(c);
		return;
	}
	of_item(c, "response.output_text.done", "msg", true);
	buf_add_text(&c->out, ",\"text\":");
	json_add_string(&c->out, text);
	buf_add_text(&c->out, ",\"logprobs\":[");
	buf_add(&c->out, likely.p, likely.n);
	buf_add_byte(&c->out, ']');
	event_end(c);
	of_item(c, "response.content_part.done", "msg", true);
	buf_add_text(&c->out, ",\"part\":");
	part(&c->out, text, likely);
	event_end(c);
}

static void close_item(struct call *c, const char *status)
{
	struct responses *w = own(c);
	struct bytes text = buf_bytes(&w->text);
	size_t from;

	if (w->open == ITEM_NONE)
		return;
	c->out.failed |= w->text.failed || w->likely.failed;
	if (c->stream) {
		text_done(c);
		item_event(c, "response.output_item.done");
	}
	from = c->out.n;
	text_item(&c->out, c, status, &text);
	item_ended(c, from);
	if (c->stream)
		event_end(c);
	else
		c->out.n = from;
	w->open = ITEM_NONE;
	buf_clear(&w->text);
	buf_clear(&w->likely);
}

static void open_item(struct call *c, enum item_kind kind)
{
	struct responses *w = own(c);

	if (w->open == kind)
		return;
	close_item(c, "completed");
	w->open = kind;
	if (!c->stream)
		return;
	item_event(c, "response.output_item.added");
	text_item(&c->out, c, "in_progress", NULL);
	event_end(c);
	if (kind != ITEM_MESSAGE)
		return;
	of_item(c, "response.content_part.added", "msg", true);
	buf_add_text(&c->out, ",\"part\":");
	part(&c->out, (struct bytes){ 0 }, (struct bytes){ 0 });
	event_end(c);
}

static void add_text(struct choice *k, struct bytes text)
{
	struct call *c = k->call;
	struct responses *w = own(c);
	struct buf likely = { 0 };
	bool message = w->open == ITEM_MESSAGE;

	if (message)
		openai_tokens(&likely, k);
	if (c->stream) {
		of_item(c, message ? "response.output_text.delta" : "response.reasoning_text.delta",
		        message ? "msg" : "rs", true);
		buf_add_text(&c->out, ",\"delta\":");
		json_add_string(&c->out, text);
		if (message) {
			buf_add_text(&c->out, ",\"logprobs\":[");
			buf_add(&c->out, likely.p, likely.n);
			buf_add_byte(&c->out, ']');
		}
		event_end(c);
	}
	buf_add(&w->text, text.p, text.n);
	if (likely.n && w->likely.n)
		buf_add_byte(&w->likely, ',');
	buf_add(&w->likely, likely.p, likely.n);
	c->out.failed |= likely.failed;
	buf_release(&likely);
}

static void add_call(struct call *c, const struct tool_said *t)
{
	size_t from;

	close_item(c, "completed");
	if (c->stream) {
		item_event(c, "response.output_item.added");
		call_item(&c->out, c, t, false);
		event_end(c);
		of_item(c, "response.function_call_arguments.delta", "fc", false);
		buf_add_text(&c->out, ",\"delta\":");
		json_add_string(&c->out, bytes_of(t->arguments));
		event_end(c);
		of_item(c, "response.function_call_arguments.done", "fc", false);
		buf_add_text(&c->out, ",\"name\":");
		json_add_string(&c->out, bytes_of(t->name));
		buf_add_text(&c->out, ",\"arguments\":");
		json_add_string(&c->out, bytes_of(t->arguments));
		event_end(c);
		item_event(c, "response.output_item.done");
	}
	from = c->out.n;
	call_item(&c->out, c, t, true);
	item_ended(c, from);
	if (c->stream)
		event_end(c);
	else
		c->out.n = from;
}

static void more(struct choice *k)
{
	struct call *c = k->call;

	if (k->reasoning.n) {
		open_item(c, ITEM_REASONING);
		add_text(k, buf_bytes(&k->reasoning));
	}
	if (k->text.n || (k->n_likely && own(c)->open == ITEM_MESSAGE)) {
		open_item(c, ITEM_MESSAGE);
		add_text(k, buf_bytes(&k->text));
	}
	for (size_t i = k->n_told; i < k->n_tools; i++)
		add_call(c, &k->tool[i]);
}

/* An answer without a word is a message all the same. */
static void end(struct choice *k)
{
	struct call *c = k->call;

	if (!own(c)->n_items && own(c)->open == ITEM_NONE)
		open_item(c, ITEM_MESSAGE);
	close_item(c, cut(c) ? "incomplete" : "completed");
}

static void finish(struct call *c)
{
	of_response(c, cut(c) ? "response.incomplete" : "response.completed", true);
}

static void fault(struct call *c, const struct fault *f)
{
	event(c, "error");
	buf_printf(&c->out, ",\"code\":\"%s\",\"message\":", f->code ? f->code : "server_error");
	json_add_string(&c->out, bytes_of(f->message));
	buf_add_text(&c->out, ",\"param\":null");
	event_end(c);
}

static void whole(struct call *c)
{
	more(&c->choice[0]);
	end(&c->choice[0]);
	buf_clear(&c->out);
	response(c, true);
}

const struct voice responses_voice = {
	.kind = STREAM_SSE,
	.ping = openai_ping,
	.begin = begin,
	.more = more,
	.end = end,
	.finish = finish,
	.fault = fault,
	.whole = whole,
};
