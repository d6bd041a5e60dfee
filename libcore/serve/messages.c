/* SPDX-License-Identifier: MIT */
/* messages.c - Anthropic's POST /v1/messages: blocks of text, thinking and
 * tools */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
#include "serve/chat.h"

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

/* ---- the request: blocks become messages of the template's form */

struct blocks {
	cJSON *all;                /* the messages so far */
	struct buf text, thinking;
	cJSON *calls;
};

static int tool_result(struct blocks *w, const cJSON *block, const char *place, struct fault *f)
{
	const cJSON *id = json_get(block, "tool_use_id");
	char *text;
	cJSON *m;

	if (!cJSON_IsString(id))
		return fault_param(f, place, "invalid_value", "%s: a tool_result needs tool_use_id",
		                   place);
	if (chat_text(&text, json_get(block, "content"), place, f))
		return -1;
	m = chat_message("tool", text);
	if (!m || !cJSON_AddStringToObject(m, "tool_call_id", id->valuestring) ||
	    !cJSON_AddItemToArray(w->all, m)) {
		cJSON_Delete(m);
		return fault_memory(f);
	}
	return 0;
}

static int tool_use(struct blocks *w, const cJSON *block, const char *place, struct fault *f)
{
	const cJSON *id = json_get(block, "id"), *name = json_get(block, "name"),
	            *input = json_get(block, "input");
	cJSON *call = cJSON_CreateObject(), *fn;

	if (!cJSON_IsString(name) || !cJSON_IsString(id)) {
		cJSON_Delete(call);
		return fault_param(f, place, "invalid_value", "%s: a tool_use needs id and name", place);
	}
	if (!w->calls)
		w->calls = cJSON_CreateArray();
	if (!call || !w->calls || !cJSON_AddItemToArray(w->calls, call)) {
		cJSON_Delete(call);
		return fault_memory(f);
	}
	fn = cJSON_AddObjectToObject(call, "function");
	if (!cJSON_AddStringToObject(call, "id", id->valuestring) ||
	    !cJSON_AddStringToObject(call, "type", "function") || !fn ||
	    !cJSON_AddStringToObject(fn, "name", name->valuestring) ||
	    !cJSON_AddItemToObject(fn, "arguments",
	                           input ? cJSON_Duplicate(input, true) : cJSON_CreateObject()))
		return fault_memory(f);
	return 0;
}

static int add_block(struct blocks *w, const cJSON *block, const char *place, struct fault *f)
{
	const cJSON *type = json_get(block, "type"), *text = json_get(block, "text"),
	            *thought = json_get(block, "thinking");
	const char *t = cJSON_IsString(type) ? type->valuestring : "";

	if (!strcmp(t, "text") && cJSON_IsString(text))
		return buf_add_text(&w->text, text->valuestring) ? fault_memory(f) : 0;
	if (!strcmp(t, "thinking") && cJSON_IsString(thought))
		return buf_add_text(&w->thinking, thought->valuestring) ? fault_memory(f) : 0;
	if (!strcmp(t, "redacted_thinking"))
		return 0;
	if (!strcmp(t, "tool_use"))
		return tool_use(w, block, place, f);
	if (!strcmp(t, "tool_result"))
		return tool_result(w, block, place, f);
	return fault_param(f, place, "invalid_value", "%s: blocks of type \"%.32s\" are not taken",
	                   place, t);
}

/* What was gathered, as a message; results of tools went before it. */
static int end_message(struct blocks *w, const char *role, bool whole, struct fault *f)
{
	cJSON *m;

	if (!w->text.n && !w->calls && !whole)
		return 0;
	m = chat_message(role, strdup(w->text.p ? (const char *)w->text.p : ""));
	if (!m || !cJSON_AddItemToArray(w->all, m)) {
		cJSON_Delete(m);
		return fault_memory(f);
	}
	if (w->thinking.n &&
	    !cJSON_AddStringToObject(m, "reasoning_content", (const char *)w->thinking.p))
		return fault_memory(f);
	if (w->calls && !cJSON_AddItemToObject(m, "tool_calls", w->calls))
		return fault_memory(f);
	w->calls = NULL;
	return 0;
}

static int add_message(struct blocks *w, const cJSON *in, size_t i, struct fault *f)
{
	const cJSON *role = json_get(in, "role"), *content = json_get(in, "content"), *block;
	size_t before = (size_t)cJSON_GetArraySize(w->all);
	char place[64];

	snprintf(place, sizeof place, "messages[%zu]", i);
	if (!cJSON_IsString(role) ||
	    (strcmp(role->valuestring, "user") && strcmp(role->valuestring, "assistant")))
		return fault_param(f, place, "invalid_value", "%s: role: expected user or assistant",
		                   place);
	buf_clear(&w->text);
	buf_clear(&w->thinking);
	if (cJSON_IsString(content)) {
		buf_add_text(&w->text, content->valuestring);
	} else if (cJSON_IsArray(content)) {
		cJSON_ArrayForEach(block, content) {
			if (add_block(w, block, place, f))
				return -1;
		}
	} else {
		return fault_param(f, place, "invalid_type",
		                   "%s: content: expected a string or an array of blocks", place);
	}
	return end_message(w, role->valuestring, (size_t)cJSON_GetArraySize(w->all) == before, f);
}

static int all_messages(struct call *c, struct blocks *w, struct fault *f)
{
	const cJSON *in = json_get(c->body, "messages"), *m, *system = json_get(c->body, "system");
	char *text;
	size_t i = 0;

	if (!cJSON_IsArray(in) || !in->child)
		return fault_param(f, "messages", "missing_required_parameter",
		                   "messages: expected a filled array");
	w->all = cJSON_CreateArray();
	if (!w->all)
		return fault_memory(f);
	if (system && !cJSON_IsNull(system)) {
		if (chat_text(&text, system, "system", f))
			return -1;
		buf_add_text(&w->text, text);
		free(text);
		if (end_message(w, "system", false, f))
			return -1;
	}
	cJSON_ArrayForEach(m, in) {
		if (i == MESSAGES_MAX)
			return fault_param(f, "messages", "invalid_value", "at most %d messages",
			                   MESSAGES_MAX);
		if (add_message(w, m, i++, f))
			return -1;
	}
	return 0;
}

/* {"name", "description", "input_schema"} to OpenAI's form. */
static cJSON *tools_of(const cJSON *in, struct fault *f)
{
	cJSON *all = cJSON_CreateArray(), *checked;
	const cJSON *t;

	cJSON_ArrayForEach(t, in) {
		const cJSON *type = json_get(t, "type"), *name = json_get(t, "name"),
		            *about = json_get(t, "description"), *schema = json_get(t, "input_schema");
		cJSON *tool = cJSON_CreateObject(), *fn = NULL;

		if (cJSON_IsString(type) && strcmp(type->valuestring, "custom")) {
			fault_param(f, "tools", "unsupported_parameter", "tools: \"%.32s\" is not supported",
			            type->valuestring);
			cJSON_Delete(tool);
			cJSON_Delete(all);
			return NULL;
		}
		if (tool && cJSON_AddStringToObject(tool, "type", "function"))
			fn = cJSON_AddObjectToObject(tool, "function");
		if (fn && cJSON_IsString(name))
			cJSON_AddStringToObject(fn, "name", name->valuestring);
		if (fn && cJSON_IsString(about))
			cJSON_AddStringToObject(fn, "description", about->valuestring);
		if (fn && schema)
			cJSON_AddItemToObject(fn, "parameters", cJSON_Duplicate(schema, true));
		if (!cJSON_AddItemToArray(all, tool))
			cJSON_Delete(tool);
	}
	checked = chat_tools(all, f);
	cJSON_Delete(all);
	return checked;
}

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
	struct blocks w = { 0 };
	struct chat_ask a = { 0 };
	int rc;

	c->r.max_tokens = 4096;
	c->r.temp = 1;
	if (params_set(&c->r, params, sizeof params / sizeof *params, c->body, "", f) ||
	    param_bool(c->body, "stream", &c->stream, f) < 0)
		return -1;
	rc = all_messages(c, &w, f);
	a.take_messages = w.all;
	think_of(c, &a.think);
	if (rc == 0 && tools && tools->child &&
	    !(cJSON_IsString(choice) && !strcmp(choice->valuestring, "none")))
		rc = (a.take_tools = tools_of(tools, f)) ? 0 : -1;
	if (rc == 0)
		rc = promise(c, a.take_tools, f);
	if (rc == 0) {
		last = cJSON_GetArrayItem(w.all, cJSON_GetArraySize(w.all) - 1);
		a.go_on = !strcmp(json_get(last, "role")->valuestring, "assistant");
		rc = chat_ask(c, &a, f);
	}
	cJSON_Delete(a.take_messages);
	cJSON_Delete(a.take_tools);
	cJSON_Delete(w.calls);
	buf_release(&w.text);
	buf_release(&w.thinking);
	return rc;
}

void api_messages(struct exchange *x)
{
	struct call *c = call_open(x, &voice);
	struct fault f;

	if (!c)
		return;
	if (ask(c, &f))
		call_refuse(c, &f);
	else
		call_submit(c);
}

void api_count_tokens(struct exchange *x)
{
	struct call *c = call_open(x, &voice);
	struct fault f;

	if (!c)
		return;
	if (ask(c, &f)) {
		call_refuse(c, &f);
		return;
	}
	buf_printf(&c->out, "{\"input_tokens\":%zu}", c->prompt[0].n);
	respond_json(c->x, &c->out);
	call_close(c);
}
