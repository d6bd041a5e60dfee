/* SPDX-License-Identifier: MIT */
/* responses.c - OpenAI's POST /v1/responses: its items become the messages
 * of a chat, its names those of a chat; all else is as there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
#include "serve/chat.h"
#include "serve/openai.h"
#include "serve/responses.h"

/* Members that are the chat's too, and what they are called there. */
static const struct { const char *ours, *chat; } same[] = {
	{ "max_output_tokens", "max_completion_tokens" },
	{ "stream", "stream" },
	{ "temperature", "temperature" },
	{ "top_p", "top_p" },
	{ "top_logprobs", "top_logprobs" },
	{ "parallel_tool_calls", "parallel_tool_calls" },
	{ "prompt_cache_key", "prompt_cache_key" },
	{ "seed", "seed" },
	{ "stop", "stop" },
	{ "top_k", "top_k" },
	{ "min_p", "min_p" },
	{ "presence_penalty", "presence_penalty" },
	{ "frequency_penalty", "frequency_penalty" },
	{ "repeat_penalty", "repeat_penalty" },
	{ "repeat_last_n", "repeat_last_n" },
	{ "logit_bias", "logit_bias" },
	{ "ignore_eos", "ignore_eos" },
	{ "priority", "priority" },
	{ "grammar", "grammar" },
	{ "chat_template_kwargs", "chat_template_kwargs" },
};

/* ---- items to messages */

struct input {
	cJSON *all;                /* the messages so far */
	cJSON *speaker;            /* the assistant's message that takes calls; NULL: none */
	char *thought;             /* for the assistant's next message */
	char place[64];            /* of the item, for faults */
};

static cJSON *add_message(struct input *w, const char *role, char *take_text, struct fault *f)
{
	cJSON *m = chat_message(role, take_text);
	bool speaks = !strcmp(role, "assistant");

	if (!m || !cJSON_AddItemToArray(w->all, m)) {
		cJSON_Delete(m);
		fault_memory(f);
		return NULL;
	}
	w->speaker = speaks ? m : NULL;
	if (speaks && w->thought) {
		if (!cJSON_AddStringToObject(m, "reasoning_content", w->thought)) {
			fault_memory(f);
			return NULL;
		}
		free(w->thought);
		w->thought = NULL;
	}
	return m;
}

static int item_message(struct input *w, const cJSON *item, struct fault *f)
{
	static const char *const roles[] = { "user", "assistant", "system", "developer" };
	const cJSON *role = json_get(item, "role");
	size_t r;
	char *text;

	for (r = 0; r < 4; r++)
		if (cJSON_IsString(role) && !strcmp(role->valuestring, roles[r]))
			break;
	if (r == 4)
		return fault_param(f, w->place, "invalid_value",
		                   "%s.role: expected user, assistant, system or developer",
		                   w->place);
	if (chat_text(&text, json_get(item, "content"), w->place, f))
		return -1;
	return add_message(w, roles[r], text, f) ? 0 : -1;
}

static int item_call(struct input *w, const cJSON *item, struct fault *f)
{
	const cJSON *id = json_get(item, "call_id"), *name = json_get(item, "name"),
	            *arguments = json_get(item, "arguments");
	cJSON *calls, *call, *fn;

	if (!cJSON_IsString(id) || !cJSON_IsString(name) || !cJSON_IsString(arguments))
		return fault_param(f, w->place, "invalid_value",
		                   "%s: a function_call needs call_id, name and arguments", w->place);
	if (!w->speaker && !add_message(w, "assistant", strdup(""), f))
		return -1;
	calls = cJSON_GetObjectItemCaseSensitive(w->speaker, "tool_calls");
	if (!calls)
		calls = cJSON_AddArrayToObject(w->speaker, "tool_calls");
	call = cJSON_CreateObject();
	if (!calls || !call || !cJSON_AddItemToArray(calls, call)) {
		cJSON_Delete(call);
		return fault_memory(f);
	}
	fn = cJSON_AddObjectToObject(call, "function");
	if (!cJSON_AddStringToObject(call, "id", id->valuestring) ||
	    !cJSON_AddStringToObject(call, "type", "function") || !fn ||
	    !cJSON_AddStringToObject(fn, "name", name->valuestring) ||
	    !cJSON_AddStringToObject(fn, "arguments", arguments->valuestring))
		return fault_memory(f);
	return 0;
}

static int item_output(struct input *w, const cJSON *item, struct fault *f)
{
	const cJSON *id = json_get(item, "call_id");
	cJSON *m;
	char *text;

	if (!cJSON_IsString(id))
		return fault_param(f, w->place, "invalid_value",
		                   "%s: a function_call_output needs call_id", w->place);
	if (chat_text(&text, json_get(item, "output"), w->place, f))
		return -1;
	m = add_message(w, "tool", text, f);
	if (!m)
		return -1;
	return cJSON_AddStringToObject(m, "tool_call_id", id->valuestring) ? 0 : fault_memory(f);
}

/* Its text, not its summary; it belongs to what the assistant says next. */
static int item_reasoning(struct input *w, const cJSON *item, struct fault *f)
{
	const cJSON *part;
	struct buf b = { 0 };

	cJSON_ArrayForEach(part, json_get(item, "content")) {
		const cJSON *text = json_get(part, "text");

		if (cJSON_IsString(text))
			buf_add_text(&b, text->valuestring);
	}
	if (b.failed) {
		buf_release(&b);
		return fault_memory(f);
	}
	free(w->thought);
	w->thought = (char *)b.p;
	return 0;
}

static const struct {
	const char *type;
	int (*add)(struct input *w, const cJSON *item, struct fault *f);
} items[] = {
	{ "message", item_message },
	{ "function_call", item_call },
	{ "function_call_output", item_output },
	{ "reasoning", item_reasoning },
};

static int add_item(struct input *w, const cJSON *item, size_t i, struct fault *f)
{
	const cJSON *type = json_get(item, "type");
	const char *t = cJSON_IsString(type) ? type->valuestring : "message";

	snprintf(w->place, sizeof w->place, "input[%zu]", i);
	if (i == MESSAGES_MAX)
		return fault_param(f, "input", "invalid_value", "input: at most %d items",
		                   MESSAGES_MAX);
	for (size_t k = 0; k < sizeof items / sizeof *items; k++)
		if (!strcmp(t, items[k].type))
			return items[k].add(w, item, f);
	return fault_param(f, w->place, "invalid_value",
	                   "%s: items of type \"%.32s\" are not taken", w->place, t);
}

static int add_input(struct input *w, const cJSON *asked, struct fault *f)
{
	const cJSON *in = json_get(asked, "input"), *item;
	const char *instructions = NULL;
	size_t i = 0;

	if (param_text(asked, "instructions", &instructions, f) < 0 ||
	    (instructions && !add_message(w, "system", strdup(instructions), f)))
		return -1;
	if (!in || cJSON_IsNull(in))
		return fault_param(f, "input", "missing_required_parameter", "input is required");
	if (cJSON_IsString(in))
		return add_message(w, "user", strdup(in->valuestring), f) ? 0 : -1;
	if (!cJSON_IsArray(in) || !in->child)
		return fault_param(f, "input", "invalid_type",
		                   "input: expected a string or a filled array, found %s",
		                   cJSON_IsArray(in) ? "an empty one" : json_kind(in));
	cJSON_ArrayForEach(item, in) {
		if (add_item(w, item, i++, f))
			return -1;
	}
	return 0;
}

static int set_messages(cJSON *chat, const cJSON *asked, struct fault *f)
{
	struct input w = { .all = cJSON_AddArrayToObject(chat, "messages") };
	int rc = w.all ? add_input(&w, asked, f) : fault_memory(f);

	free(w.thought);
	return rc;
}

/* ---- the rest of the body */

/* {"type": "function", "name", ...} as {"type": "function", "function": {...}}. */
static cJSON *nested(const cJSON *flat)
{
	cJSON *out = cJSON_CreateObject(), *inner = cJSON_Duplicate(flat, true);

	if (inner)
		cJSON_DeleteItemFromObjectCaseSensitive(inner, "type");
	if (!out || !inner || !cJSON_AddStringToObject(out, "type", "function") ||
	    !cJSON_AddItemToObject(out, "function", inner)) {
		cJSON_Delete(out);
		cJSON_Delete(inner);
		return NULL;
	}
	return out;
}

static bool is_function(const cJSON *o)
{
	const cJSON *type = json_get(o, "type");

	return cJSON_IsString(type) && !strcmp(type->valuestring, "function");
}

static int set_functions(cJSON *to, const char *name, const cJSON *from, struct fault *f)
{
	cJSON *all = cJSON_AddArrayToObject(to, name), *fn;
	const cJSON *t;

	if (!all)
		return fault_memory(f);
	cJSON_ArrayForEach(t, from) {
		if (!is_function(t))
			return fault_param(f, "tools", "unsupported_parameter",
			                   "tools: only functions are taken");
		fn = nested(t);
		if (!fn || !cJSON_AddItemToArray(all, fn)) {
			cJSON_Delete(fn);
			return fault_memory(f);
		}
	}
	return 0;
}

static int set_choice(cJSON *chat, const cJSON *choice, struct fault *f)
{
	const cJSON *tools = json_get(choice, "tools"), *mode = json_get(choice, "mode");
	cJSON *out, *allowed;

	if (!choice || cJSON_IsNull(choice))
		return 0;
	if (!cJSON_IsArray(tools)) {
		out = is_function(choice) ? nested(choice) : cJSON_Duplicate(choice, true);
		if (out && cJSON_AddItemToObject(chat, "tool_choice", out))
			return 0;
		cJSON_Delete(out);
		return fault_memory(f);
	}
	out = cJSON_AddObjectToObject(chat, "tool_choice");
	if (!out || !cJSON_AddStringToObject(out, "type", "allowed_tools") ||
	    !(allowed = cJSON_AddObjectToObject(out, "allowed_tools")) ||
	    (cJSON_IsString(mode) && !cJSON_AddStringToObject(allowed, "mode", mode->valuestring)))
		return fault_memory(f);
	return set_functions(allowed, "tools", tools, f);
}

/* {"type": "json_schema", "name", "schema", ...} gets a level of its own. */
static int set_format(cJSON *chat, const cJSON *format, struct fault *f)
{
	const cJSON *type = json_get(format, "type");
	cJSON *out, *inner;

	if (!format || cJSON_IsNull(format))
		return 0;
	out = cJSON_Duplicate(format, true);
	if (out && cJSON_IsString(type) && !strcmp(type->valuestring, "json_schema")) {
		inner = out;
		cJSON_DeleteItemFromObjectCaseSensitive(inner, "type");
		out = cJSON_CreateObject();
		if (!out || !cJSON_AddStringToObject(out, "type", "json_schema") ||
		    !cJSON_AddItemToObject(out, "json_schema", inner)) {
			cJSON_Delete(inner);
			cJSON_Delete(out);
			return fault_memory(f);
		}
	}
	if (!out || !cJSON_AddItemToObject(chat, "response_format", out)) {
		cJSON_Delete(out);
		return fault_memory(f);
	}
	return 0;
}

static int set_rest(cJSON *chat, const cJSON *asked, struct fault *f)
{
	const cJSON *tools = json_get(asked, "tools"), *text = json_get(asked, "text");
	const char *effort = NULL;
	int64_t top = 0;

	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		const cJSON *v = json_get(asked, same[i].ours);
		cJSON *copy;

		if (!v || cJSON_IsNull(v))
			continue;
		copy = cJSON_Duplicate(v, true);
		if (!copy || !cJSON_AddItemToObject(chat, same[i].chat, copy)) {
			cJSON_Delete(copy);
			return fault_memory(f);
		}
	}
	if (tools && !cJSON_IsNull(tools) && !cJSON_IsArray(tools))
		return fault_param(f, "tools", "invalid_type", "tools: expected an array, found %s",
		                   json_kind(tools));
	if (param_text(json_get(asked, "reasoning"), "effort", &effort, f) < 0 ||
	    param_int(asked, "top_logprobs", 0, LOGPROBS_MAX, &top, f) < 0 ||
	    (tools && tools->child && set_functions(chat, "tools", tools, f)) ||
	    set_choice(chat, json_get(asked, "tool_choice"), f) ||
	    set_format(chat, json_get(text, "format"), f))
		return -1;
	if ((effort && !cJSON_AddStringToObject(chat, "reasoning_effort", effort)) ||
	    (top && !cJSON_AddTrueToObject(chat, "logprobs")))
		return fault_memory(f);
	return 0;
}

/* What would need a memory of earlier answers, or a hand of our own. */
static int check(const cJSON *asked, struct fault *f)
{
	static const char *const never[] = { "previous_response_id", "conversation", "prompt" };
	const char *truncation = NULL;
	bool background = false;

	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		if (json_get(asked, never[i]) && !cJSON_IsNull(json_get(asked, never[i])))
			return fault_param(f, never[i], "unsupported_parameter",
			                   "%s is not supported", never[i]);
	if (param_bool(asked, "background", &background, f) < 0 ||
	    param_text(asked, "truncation", &truncation, f) < 0)
		return -1;
	if (background)
		return fault_param(f, "background", "unsupported_parameter",
		                   "background is not supported");
	if (truncation && strcmp(truncation, "auto") && strcmp(truncation, "disabled"))
		return fault_param(f, "truncation", "invalid_value",
		                   "truncation: expected auto or disabled");
	return 0;
}

/* A fault of the chat's in our names. */
static int rename_fault(struct fault *f)
{
	static const struct { const char *chat, *ours; } names[] = {
		{ "max_completion_tokens", "max_output_tokens" },
		{ "response_format", "text.format" },
		{ "reasoning_effort", "reasoning.effort" },
		{ "messages", "input" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		size_t n = strlen(names[i].chat);

		if (strncmp(f->param, names[i].chat, n))
			continue;
		snprintf(f->param, sizeof f->param, "%s", names[i].ours);
		if (!strncmp(f->message, names[i].chat, n)) {
			char rest[sizeof f->message];

			snprintf(rest, sizeof rest, "%s", f->message + n);
			snprintf(f->message, sizeof f->message, "%s%.*s", names[i].ours,
			         (int)(sizeof f->message - 32), rest);
		}
	}
	return -1;
}

/* ---- a prompt that is too long, where it may be shortened */

static bool too_long(const struct call *c)
{
	return c->prompt[0].n + 1 > c->model->context;
}

/* The messages without the n oldest that are no instructions, and without
 * answers to calls that are gone. */
static cJSON *without(const cJSON *all, size_t n)
{
	cJSON *out = cJSON_CreateArray();
	const cJSON *m;
	bool gone = true;

	cJSON_ArrayForEach(m, all) {
		const char *role = json_get(m, "role")->valuestring;
		bool keep = !strcmp(role, "system") || !strcmp(role, "developer");
		cJSON *copy;

		if (!keep && n) {
			n--;
			continue;
		}
		if (!keep && gone && !strcmp(role, "tool"))
			continue;
		gone &= keep;
		copy = cJSON_Duplicate(m, true);
		if (!copy || !cJSON_AddItemToArray(out, copy)) {
			cJSON_Delete(copy);
			cJSON_Delete(out);
			return NULL;
		}
	}
	return out;
}

static int ask_without(struct call *c, const cJSON *all, size_t n, struct fault *f)
{
	cJSON *some = without(all, n);

	if (!some || !cJSON_ReplaceItemInObjectCaseSensitive(c->body, "messages", some)) {
		cJSON_Delete(some);
		return fault_memory(f);
	}
	call_forget(c);
	return openai_chat_ask(c, f);
}

/* The fewest of the oldest messages go, found by halving. */
static int shorten(struct call *c, struct fault *f)
{
	cJSON *all = cJSON_Duplicate(json_get(c->body, "messages"), true);
	size_t few = 0, many = (size_t)cJSON_GetArraySize(all), at;
	int rc = all ? 0 : fault_memory(f);

	for (many -= many > 0; rc == 0 && few + 1 < many;) {
		at = few + (many - few) / 2;
		rc = ask_without(c, all, at, f);
		if (rc == 0 && too_long(c))
			few = at;
		else
			many = at;
	}
	if (rc == 0 && many)
		rc = ask_without(c, all, many, f);
	cJSON_Delete(all);
	return rc;
}

/* ---- the request */

static void release(void *arg)
{
	struct responses *w = arg;

	cJSON_Delete(w->asked);
	buf_release(&w->text);
	buf_release(&w->likely);
	buf_release(&w->items);
	free(w);
}

static int ask(struct call *c, struct fault *f)
{
	struct responses *w = calloc(1, sizeof *w);
	const cJSON *truncation;

	if (!w)
		return fault_memory(f);
	c->own = w;
	c->release_own = release;
	w->asked = c->body;
	c->body = cJSON_CreateObject();
	if (!c->body)
		return fault_memory(f);
	if (check(w->asked, f) || set_messages(c->body, w->asked, f) ||
	    set_rest(c->body, w->asked, f))
		return -1;
	if (openai_chat_ask(c, f))
		return rename_fault(f);
	truncation = json_get(w->asked, "truncation");
	if (too_long(c) && cJSON_IsString(truncation) && !strcmp(truncation->valuestring, "auto"))
		return shorten(c, f);
	return 0;
}

static struct call *open_response(struct exchange *x)
{
	struct call *c = call_open(x, &responses_voice);
	struct fault f;

	if (!c || ask(c, &f) == 0)
		return c;
	call_refuse(c, &f);
	return NULL;
}

void api_responses(struct exchange *x)
{
	struct call *c = open_response(x);

	if (c)
		call_submit(c);
}

void api_response_tokens(struct exchange *x)
{
	struct call *c = open_response(x);

	if (c)
		openai_tell_tokens(c);
}
