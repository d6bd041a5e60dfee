/* SPDX-License-Identifier: MIT */
/* responses.c - OpenAI's POST /v1/responses: its items become the messages
 * of a chat, its names those of a chat; all else is as there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
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
	if (check(w->asked, f) || responses_messages(c->body, w->asked, f) ||
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
