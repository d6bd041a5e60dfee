/* SPDX-License-Identifier: MIT */
/* openai_messages.c - OpenAI's messages in the form that templates know */
#include <stdio.h>
#include <string.h>

#include "serve/chat.h"
#include "serve/openai.h"

/* Templates want arguments as an object; clients send its text. */
static int copy_call(cJSON *to, const cJSON *call, const char *place, struct fault *f)
{
	const cJSON *fn = json_get(call, "function"), *args = json_get(fn, "arguments"),
	            *name = json_get(fn, "name"), *id = json_get(call, "id");
	cJSON *copy = cJSON_CreateObject(), *inner = copy ? cJSON_AddObjectToObject(copy, "function") :
	                                                    NULL,
	      *given = NULL;
	struct err e;

	if (!inner || !cJSON_AddItemToArray(to, copy)) {
		cJSON_Delete(copy);
		return fault_memory(f);
	}
	if (!cJSON_IsString(name))
		return fault_param(f, place, "invalid_value", "%s: a call without a name", place);
	if (cJSON_IsString(args)) {
		given = args->valuestring[0] ? json_parse(bytes_of(args->valuestring), &e) :
		                               cJSON_CreateObject();
		if (!given)
			return fault_param(f, place, "invalid_value", "%s: arguments: %s", place, e.text);
	} else {
		given = args ? cJSON_Duplicate(args, true) : cJSON_CreateObject();
	}
	if (!cJSON_AddStringToObject(copy, "type", "function") ||
	    (cJSON_IsString(id) && !cJSON_AddStringToObject(copy, "id", id->valuestring)) ||
	    !cJSON_AddStringToObject(inner, "name", name->valuestring) || !given ||
	    !cJSON_AddItemToObject(inner, "arguments", given)) {
		cJSON_Delete(given);
		return fault_memory(f);
	}
	return 0;
}

static int copy_calls(cJSON *to, const cJSON *m, const char *place, struct fault *f)
{
	const cJSON *calls = json_get(m, "tool_calls"), *call;
	cJSON *array;

	if (!calls || cJSON_IsNull(calls))
		return 0;
	if (!cJSON_IsArray(calls))
		return fault_param(f, place, "invalid_type", "%s: tool_calls: expected an array", place);
	array = cJSON_AddArrayToObject(to, "tool_calls");
	cJSON_ArrayForEach(call, calls) {
		if (!array || copy_call(array, call, place, f))
			return array ? -1 : fault_memory(f);
	}
	return 0;
}

static int copy_texts(cJSON *to, const cJSON *m, struct fault *f)
{
	static const char *const keys[] = { "name", "tool_call_id", "reasoning_content", "reasoning" };

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const char *text = NULL, *as = i == 3 ? "reasoning_content" : keys[i];

		if (param_text(m, keys[i], &text, f) < 0)
			return -1;
		if (text && !json_get(to, as) && !cJSON_AddStringToObject(to, as, text))
			return fault_memory(f);
	}
	return 0;
}

static int add_message_of(cJSON *all, const cJSON *m, size_t i, struct fault *f)
{
	static const char *const roles[] = { "system", "developer", "user", "assistant", "tool",
		                             "function" };
	const cJSON *role = json_get(m, "role");
	char place[64], *text;
	size_t r;
	cJSON *to;

	snprintf(place, sizeof place, "messages[%zu].role", i);
	for (r = 0; r < 6; r++)
		if (cJSON_IsString(role) && !strcmp(role->valuestring, roles[r]))
			break;
	if (r == 6)
		return fault_param(f, place, "invalid_value",
		                   "%s: expected system, developer, user, assistant or tool", place);
	snprintf(place, sizeof place, "messages[%zu].content", i);
	if (chat_text(&text, json_get(m, "content"), place, f))
		return -1;
	to = chat_message(r == 1 ? "system" : r == 5 ? "tool" : roles[r], text);
	if (!to || !cJSON_AddItemToArray(all, to)) {
		cJSON_Delete(to);
		return fault_memory(f);
	}
	snprintf(place, sizeof place, "messages[%zu]", i);
	if (r == 4 && !cJSON_IsString(json_get(m, "tool_call_id")))
		return fault_param(f, place, "missing_required_parameter",
		                   "%s: a tool's message needs tool_call_id", place);
	return copy_calls(to, m, place, f) || copy_texts(to, m, f) ? -1 : 0;
}

cJSON *openai_messages(const cJSON *body, struct fault *f)
{
	const cJSON *in = json_get(body, "messages"), *m;
	cJSON *all;
	size_t i = 0;

	if (!in || cJSON_IsNull(in)) {
		fault_param(f, "messages", "missing_required_parameter", "messages is required");
		return NULL;
	}
	if (!cJSON_IsArray(in) || !in->child) {
		fault_param(f, "messages", "invalid_type",
		            "messages: expected a filled array, found %s",
		            cJSON_IsArray(in) ? "an empty one" : json_kind(in));
		return NULL;
	}
	all = cJSON_CreateArray();
	if (!all)
		fault_memory(f);
	cJSON_ArrayForEach(m, in) {
		if (!all)
			break;
		if (i == MESSAGES_MAX)
			fault_param(f, "messages", "invalid_value", "at most %d messages", MESSAGES_MAX);
		if (i == MESSAGES_MAX || add_message_of(all, m, i++, f)) {
			cJSON_Delete(all);
			return NULL;
		}
	}
	return all;
}
