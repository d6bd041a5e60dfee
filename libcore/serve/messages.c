/* SPDX-License-Identifier: MIT */
/* messages.c - Anthropic's POST /v1/messages: blocks of text, thinking and
 * tools */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
#include "serve/chat.h"
#include "serve/messages.h"

static const struct param params[] = {
	{ "max_tokens", "max_tokens", 1, 1 << 30 },
	{ "temperature", "temp", 0, 1 },
	{ "top_p", "top_p", 0, 0 },
	{ "top_k", "top_k", 0, 0 },
	{ "stop_sequences", "stop", 0, 0 },
};

/* ---- the answer */

/* The client's own text that ended it; not the template's. */
static const char *stop_sequence(const struct choice *k)
{
	const cJSON *asked = json_get(k->call->body, "stop_sequences");

	if (k->reason != END_STOP || k->stop < 0 || k->stop >= cJSON_GetArraySize(asked))
		return NULL;
	return k->r.stop[k->stop];
}

static const char *reason(const struct choice *k)
{
	if (k->n_tools && k->reason == END_STOP)
		return "tool_use";
	if (stop_sequence(k))
		return "stop_sequence";
	return k->reason == END_STOP ? "end_turn" : "max_tokens";
}

static void add_stop(struct choice *k)
{
	buf_add_text(&k->call->out, ",\"stop_sequence\":");
	if (stop_sequence(k))
		json_add_string(&k->call->out, bytes_of(stop_sequence(k)));
	else
		buf_add_text(&k->call->out, "null");
}

static void event(struct call *c, const char *type)
{
	buf_printf(&c->out, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}

static void event_end(struct call *c)
{
	buf_add_text(&c->out, "}\n\n");
}

static void usage(struct call *c)
{
	buf_printf(&c->out,
	           "{\"input_tokens\":%zu,\"output_tokens\":%zu,\"cache_read_input_tokens\":%zu,"
	           "\"cache_creation_input_tokens\":0}",
	           call_prompt_tokens(c) - call_cached_tokens(c), call_made_tokens(c),
	           call_cached_tokens(c));
}

static void head(struct call *c)
{
	buf_printf(&c->out, "{\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":",
	           c->id);
	json_add_string(&c->out, bytes_of(c->name));
	buf_add_text(&c->out, ",\"content\":[");
}

static void ping(struct call *c)
{
	event(c, "ping");
	event_end(c);
}

static void begin(struct call *c)
{
	event(c, "message_start");
	buf_add_text(&c->out, ",\"message\":");
	head(c);
	buf_add_text(&c->out, "],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
	usage(c);
	buf_add_byte(&c->out, '}');
	event_end(c);
	ping(c);
}

/* Blocks are numbered as they come; one is open at a time. */
enum { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING };

static void close_block(struct choice *k)
{
	struct call *c = k->call;

	if (k->block == BLOCK_NONE)
		return;
	event(c, "content_block_stop");
	buf_printf(&c->out, ",\"index\":%zu", k->n_blocks - 1);
	event_end(c);
	k->block = BLOCK_NONE;
}

static void open_block(struct choice *k, int block)
{
	struct call *c = k->call;

	if (k->block == block)
		return;
	close_block(k);
	event(c, "content_block_start");
	buf_printf(&c->out, ",\"index\":%zu,\"content_block\":%s", k->n_blocks++,
	           block == BLOCK_TEXT ?
	                   "{\"type\":\"text\",\"text\":\"\"}" :
	                   "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
	event_end(c);
	k->block = block;
}

static void delta(struct choice *k, const char *type, const char *member, struct bytes text)
{
	struct call *c = k->call;

	event(c, "content_block_delta");
	buf_printf(&c->out, ",\"index\":%zu,\"delta\":{\"type\":\"%s\",\"%s\":", k->n_blocks - 1, type,
	           member);
	json_add_string(&c->out, text);
	buf_add_byte(&c->out, '}');
	event_end(c);
}

static void tell_tool(struct choice *k, const struct tool_said *t)
{
	struct call *c = k->call;

	close_block(k);
	event(c, "content_block_start");
	buf_printf(&c->out, ",\"index\":%zu,\"content_block\":{\"type\":\"tool_use\",\"id\":",
	           k->n_blocks++);
	json_add_string(&c->out, bytes_of(t->id));
	buf_add_text(&c->out, ",\"name\":");
	json_add_string(&c->out, bytes_of(t->name));
	buf_add_text(&c->out, ",\"input\":{}}");
	event_end(c);
	delta(k, "input_json_delta", "partial_json", bytes_of(t->arguments));
	k->block = BLOCK_TEXT;
	close_block(k);
}

static void more(struct choice *k)
{
	if (k->reasoning.n) {
		open_block(k, BLOCK_THINKING);
		delta(k, "thinking_delta", "thinking", buf_bytes(&k->reasoning));
	}
	if (k->text.n) {
		open_block(k, BLOCK_TEXT);
		delta(k, "text_delta", "text", buf_bytes(&k->text));
	}
	for (size_t i = k->n_told; i < k->n_tools; i++)
		tell_tool(k, &k->tool[i]);
}

static void end(struct choice *k)
{
	struct call *c = k->call;

	close_block(k);
	event(c, "message_delta");
	buf_printf(&c->out, ",\"delta\":{\"stop_reason\":\"%s\"", reason(k));
	add_stop(k);
	buf_add_text(&c->out, "},\"usage\":");
	usage(c);
	event_end(c);
}

static void finish(struct call *c)
{
	event(c, "message_stop");
	event_end(c);
}

static void fault(struct call *c, const struct fault *f)
{
	buf_add_text(&c->out, "event: error\ndata: ");
	fault_body(&c->out, f, DIALECT_ANTHROPIC, c->x->id);
	buf_add_text(&c->out, "\n\n");
}

static void whole(struct call *c)
{
	struct choice *k = &c->choice[0];
	struct buf *b = &c->out;
	const char *comma = "";

	head(c);
	if (k->reasoning.n) {
		buf_add_text(b, "{\"type\":\"thinking\",\"thinking\":");
		json_add_string(b, buf_bytes(&k->reasoning));
		buf_add_text(b, ",\"signature\":\"\"}");
		comma = ",";
	}
	if (k->text.n || !k->n_tools) {
		buf_printf(b, "%s{\"type\":\"text\",\"text\":", comma);
		json_add_string(b, buf_bytes(&k->text));
		buf_add_byte(b, '}');
		comma = ",";
	}
	for (size_t i = 0; i < k->n_tools; i++, comma = ",") {
		buf_printf(b, "%s{\"type\":\"tool_use\",\"id\":", comma);
		json_add_string(b, bytes_of(k->tool[i].id));
		buf_add_text(b, ",\"name\":");
		json_add_string(b, bytes_of(k->tool[i].name));
		buf_printf(b, ",\"input\":%s}", k->tool[i].arguments);
	}
	buf_printf(b, "],\"stop_reason\":\"%s\"", reason(k));
	add_stop(k);
	buf_add_text(b, ",\"usage\":");
	usage(c);
	buf_add_byte(b, '}');
}

static const struct voice voice = {
	.kind = STREAM_SSE,
	.ping = ping,
	.begin = begin,
	.more = more,
	.end = end,
	.finish = finish,
	.fault = fault,
	.whole = whole,
};

/* ---- the request */

static int think_of(const struct call *c, enum think *out)
{
	const cJSON *type = json_get(json_get(c->body, "thinking"), "type");

	if (cJSON_IsString(type))
		*out = !strcmp(type->valuestring, "enabled")  ? THINK_ON :
		       !strcmp(type->valuestring, "disabled") ? THINK_OFF :
		                                                THINK_AUTO;
	return 0;
}

/* auto, any, or a tool by name; one call at most where that is asked. */
static int promise(struct call *c, const cJSON *tools, struct fault *f)
{
	const cJSON *choice = json_get(c->body, "tool_choice"), *type = json_get(choice, "type"),
	            *name = json_get(choice, "name"),
	            *one = json_get(choice, "disable_parallel_tool_use");
	const char *t = cJSON_IsString(type) ? type->valuestring : "";
	struct promise_calls p = { .single = cJSON_IsTrue(one), .may = !strcmp(t, "auto") };

	if (!choice || cJSON_IsNull(choice) || !strcmp(t, "none") ||
	    (p.may && (!p.single || !tools)))
		return 0;
	if (!p.may && strcmp(t, "any") && !(!strcmp(t, "tool") && cJSON_IsString(name)))
		return fault_param(f, "tool_choice", "invalid_value",
		                   "tool_choice: expected auto, any, none, or a tool's name");
	p.name = !strcmp(t, "tool") ? name->valuestring : NULL;
	return promise_calls(c, &p, tools, f);
}

static int ask(struct call *c, struct fault *f)
{
	const cJSON *tools = json_get(c->body, "tools"),
	            *choice = json_get(json_get(c->body, "tool_choice"), "type"), *last;
	struct chat_ask a = { 0 };
	int rc;

	c->r.max_tokens = 4096;
	c->r.temp = 1;
	if (params_set(&c->r, params, sizeof params / sizeof *params, c->body, "", f) ||
	    param_bool(c->body, "stream", &c->stream, f) < 0)
		return -1;
	rc = messages_read(c, &a.take_messages, f);
	think_of(c, &a.think);
	if (rc == 0 && tools && tools->child &&
	    !(cJSON_IsString(choice) && !strcmp(choice->valuestring, "none")))
		rc = (a.take_tools = messages_tools(tools, f)) ? 0 : -1;
	if (rc == 0)
		rc = promise(c, a.take_tools, f);
	if (rc == 0) {
		last = cJSON_GetArrayItem(a.take_messages, cJSON_GetArraySize(a.take_messages) - 1);
		a.go_on = !strcmp(json_get(last, "role")->valuestring, "assistant");
		rc = chat_ask(c, &a, f);
	}
	cJSON_Delete(a.take_messages);
	cJSON_Delete(a.take_tools);
	return rc;
}

void api_messages(struct exchange *x)
{
	struct call *c = call_ask(x, &voice, ask);

	if (c)
		call_submit(c);
}

void api_count_tokens(struct exchange *x)
{
	struct call *c = call_ask(x, &voice, ask);

	if (!c)
		return;
	buf_printf(&c->out, "{\"input_tokens\":%zu}", c->prompt[0].n);
	respond_json(c->x, &c->out);
	call_close(c);
}
