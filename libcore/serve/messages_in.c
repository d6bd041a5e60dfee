/* SPDX-License-Identifier: MIT */
/* messages_in.c - Anthropic's blocks become messages of the template's form,
 * and its tools OpenAI's */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/chat.h"
#include "serve/messages.h"

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

int messages_read(struct call *c, cJSON **out, struct fault *f)
{
	struct blocks w = { 0 };
	int rc = all_messages(c, &w, f);

	*out = w.all;
	cJSON_Delete(w.calls);
	buf_release(&w.text);
	buf_release(&w.thinking);
	return rc;
}

/* {"name", "description", "input_schema"} to OpenAI's form. */
cJSON *messages_tools(const cJSON *in, struct fault *f)
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
