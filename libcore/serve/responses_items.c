/* SPDX-License-Identifier: MIT */
/* responses_items.c - the items of OpenAI's Responses to a chat's messages */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/chat.h"
#include "serve/responses.h"

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

int responses_messages(cJSON *chat, const cJSON *asked, struct fault *f)
{
	struct input w = { .all = cJSON_AddArrayToObject(chat, "messages") };
	int rc = w.all ? add_input(&w, asked, f) : fault_memory(f);

	free(w.thought);
	return rc;
}
