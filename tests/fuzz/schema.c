/* SPDX-License-Identifier: MIT */
/* schema.c - any JSON as a JSON Schema, a second value on its next line as a
 * text for its grammar; and as a function's arguments with a tag each. */
#include "gen/grammar.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void call(cJSON *schema)
{
	struct grammar_ask a = { .kind = GRAMMAR_CALLS, .many = true };
	cJSON *tools = cJSON_CreateArray(), *tool = cJSON_CreateObject(), *own = cJSON_CreateObject();
	struct manner m;
	struct grammar *g;
	struct err e;

	cJSON_AddItemToArray(tools, tool);
	cJSON_AddItemToObject(tool, "function", own);
	cJSON_AddStringToObject(own, "name", "f");
	cJSON_AddItemReferenceToObject(own, "parameters", schema);
	a.tools = tools;
	if (manner_named(&m, NULL, "qwen-coder")) {
		a.form = manner_call_form(m, NULL);
		a.call_begin = manner_call_begin(m);
		if (!grammar_open(&g, &a, &e))
			grammar_release(g);
	}
	cJSON_Delete(tools);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
	size_t first = end ? (size_t)(end - data) : n;
	struct grammar_ask a = { .kind = GRAMMAR_SCHEMA };
	cJSON *schema;
	struct grammar *g;
	struct err e;
	bool yes;

	schema = json_parse((struct bytes){ data, first }, &e);
	if (!schema)
		return 0;
	a.schema = schema;
	if (!grammar_open(&g, &a, &e)) {
		if (end && grammar_takes(g, (struct bytes){ end + 1, n - first - 1 }, &yes, &e) &&
		    e.kind == ERR_NONE)
			__builtin_trap();
		grammar_release(g);
	}
	call(schema);
	cJSON_Delete(schema);
	return 0;
}
