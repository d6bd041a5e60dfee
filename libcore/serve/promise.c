/* SPDX-License-Identifier: MIT */
/* promise.c - the forms that interfaces can ask an answer to have
 *
 * What cannot be kept to is refused: nothing is ignored that would shape the
 * answer. */
#include <stdio.h>
#include <string.h>

#include "serve/chat.h"

static const cJSON *given(const cJSON *o, const char *key)
{
	const cJSON *v = json_get(o, key);

	return v && !cJSON_IsNull(v) ? v : NULL;
}

/* Each form is asked by one member alone. */
static int ask(struct call *c, enum grammar_kind kind, const cJSON *schema, const char *param,
               struct fault *f)
{
	if (c->asked)
		return fault_param(f, param, "invalid_value", "%s: not together with %s", param,
		                   c->asked);
	c->ask.kind = kind;
	c->ask.schema = schema;
	c->asked = param;
	return 0;
}

/* llama-server's: a text in GBNF. */
static int ask_grammar(struct call *c, struct fault *f)
{
	const cJSON *text = given(c->body, "grammar");

	if (!text)
		return 0;
	if (!cJSON_IsString(text))
		return fault_param(f, "grammar", "invalid_type",
		                   "grammar: expected a string, found %s", json_kind(text));
	if (!*text->valuestring)
		return 0;
	c->ask.text = bytes_of(text->valuestring);
	return ask(c, GRAMMAR_TEXT, NULL, "grammar", f);
}

/* {"type": "json_schema", "json_schema": {"name", "schema"}}; llama-server
 * also knows a schema right here, and one with json_object. */
static int ask_schema(struct call *c, const cJSON *format, struct fault *f)
{
	const cJSON *wrapped = given(format, "json_schema"), *schema = given(wrapped, "schema"),
		    *name = given(wrapped, "name");

	if (!schema)
		schema = given(format, "schema");
	if (wrapped && !cJSON_IsObject(wrapped))
		return fault_param(f, "response_format.json_schema", "invalid_type",
		                   "response_format.json_schema: expected an object, found %s",
		                   json_kind(wrapped));
	if (name && !(cJSON_IsString(name) && chat_name_sound(name->valuestring)))
		return fault_param(f, "response_format.json_schema.name", "invalid_value",
		                   "response_format.json_schema.name: expected 1 to 64 of "
		                   "A-Z a-z 0-9 _ -");
	if (!schema)
		return fault_param(
			f, "response_format", "missing_required_parameter",
			"response_format: expected a schema in json_schema.schema, found none");
	return ask(c, GRAMMAR_SCHEMA, schema,
	           wrapped ? "response_format.json_schema.schema" : "response_format.schema", f);
}

int promise_openai(struct call *c, struct fault *f)
{
	const cJSON *format = given(c->body, "response_format"), *type = json_get(format, "type"),
		    *schema = given(c->body, "json_schema");
	const char *t = cJSON_IsString(type) ? type->valuestring : "";

	if (ask_grammar(c, f) || (schema && ask(c, GRAMMAR_SCHEMA, schema, "json_schema", f)))
		return -1;
	if (!format || !strcmp(t, "text"))
		return 0;
	if (!strcmp(t, "json_schema") || (!strcmp(t, "json_object") && given(format, "schema")))
		return ask_schema(c, format, f);
	if (!strcmp(t, "json_object"))
		return ask(c, GRAMMAR_OBJECT, NULL, "response_format", f);
	return fault_param(
		f, "response_format.type", "invalid_value",
		"response_format.type: expected text, json_object or json_schema, found %s",
		type ? json_kind(type) : "none");
}

int promise_ollama(struct call *c, struct fault *f)
{
	const cJSON *format = given(c->body, "format");

	if (!format || (cJSON_IsString(format) && !*format->valuestring))
		return 0;
	if (cJSON_IsObject(format))
		return ask(c, GRAMMAR_SCHEMA, format, "format", f);
	if (cJSON_IsString(format) && !strcmp(format->valuestring, "json"))
		return ask(c, GRAMMAR_OBJECT, NULL, "format", f);
	return fault_param(f, "format", "invalid_value", "format: expected \"json\" or a schema");
}

/* ---- calls of tools */

static const cJSON *tool_named(const cJSON *tools, const char *name)
{
	const cJSON *t;

	cJSON_ArrayForEach(t, tools)
	{
		if (!strcmp(json_get(json_get(t, "function"), "name")->valuestring, name))
			return t;
	}
	return NULL;
}

int promise_calls(struct call *c, const struct promise_calls *p, const cJSON *tools,
                  struct fault *f)
{
	struct manner m = { 0 };
	const cJSON *one = p->name && tools ? tool_named(tools, p->name) : NULL;

	if (!tools || !tools->child)
		return fault_param(f, "tool_choice", "invalid_value",
		                   "tool_choice: there are no tools");
	if (p->name && !one)
		return fault_param(f, "tool_choice", "invalid_value",
		                   "tool_choice: no tool is called %.64s", p->name);
	if (c->model->m.chat)
		m = chat_manner(c->model->m.chat);
	c->ask.form = manner_call_form(m, c->model->m.tokenizer);
	c->ask.call_begin = p->may ? manner_call_begin(m) : NULL;
	if (!c->ask.form || (p->may && !c->ask.call_begin))
		return fault_param(
			f, "tool_choice", "unsupported_parameter",
			m.call ? "tool_choice: calls in this model's manner (%s) cannot be forced" :
				 "tool_choice: this model calls no tools%s",
			m.call ? manner_call_name(m) : "");
	c->callable = one ? cJSON_CreateArray() : cJSON_Duplicate(tools, true);
	if (!c->callable || (one && !cJSON_AddItemToArray(c->callable, cJSON_Duplicate(one, true))))
		return fault_memory(f);
	c->ask.tools = c->callable;
	c->ask.many = !p->single;
	return ask(c, GRAMMAR_CALLS, NULL, "tool_choice", f);
}

/* {"mode", "tools": [{"type": "function", "function": {"name"}}]}: the others
 * leave. */
static int keep_allowed(cJSON *tools, const cJSON *allowed, struct fault *f)
{
	const cJSON *list = json_get(allowed, "tools"), *k;
	int n = cJSON_GetArraySize(tools);

	cJSON_ArrayForEach(k, list)
	{
		const cJSON *name = json_get(json_get(k, "function"), "name");

		if (!cJSON_IsString(name) || !tool_named(tools, name->valuestring))
			return fault_param(
				f, "tool_choice.allowed_tools.tools", "invalid_value",
				"tool_choice.allowed_tools.tools: expected names of tools");
	}
	while (n-- > 0) {
		const cJSON *own = json_get(json_get(cJSON_GetArrayItem(tools, n), "function"),
		                            "name");
		bool keep = false;

		cJSON_ArrayForEach(k, list)
		{
			keep |= !strcmp(json_get(json_get(k, "function"), "name")->valuestring,
			                own->valuestring);
		}
		if (!keep)
			cJSON_DeleteItemFromArray(tools, n);
	}
	return 0;
}

/* What the choice is called: auto, required or a function's name. */
static int read_choice(const cJSON *choice, cJSON *tools, const char **word, const char **name,
                       struct fault *f)
{
	const cJSON *type = json_get(choice, "type"),
		    *own = json_get(json_get(choice, "function"), "name"),
		    *allowed = json_get(choice, "allowed_tools"), *mode = json_get(allowed, "mode");
	const char *t = cJSON_IsString(type) ? type->valuestring : "";

	*word = cJSON_IsString(choice) ? choice->valuestring : choice ? "" : "auto";
	if (!strcmp(t, "function") && cJSON_IsString(own)) {
		*name = own->valuestring;
		*word = "required";
	} else if (!strcmp(t, "allowed_tools") && cJSON_IsString(mode)) {
		*word = mode->valuestring;
		if (tools && keep_allowed(tools, allowed, f))
			return -1;
	}
	if (!strcmp(*word, "auto") || !strcmp(*word, "required") || !strcmp(*word, "none"))
		return 0;
	return fault_param(
		f, "tool_choice", "invalid_value",
		"tool_choice: expected none, auto, required, a function or allowed_tools");
}

static bool any_strict(const cJSON *tools)
{
	const cJSON *t;

	cJSON_ArrayForEach(t, tools)
	{
		if (cJSON_IsTrue(json_get(json_get(t, "function"), "strict")))
			return true;
	}
	return false;
}

int promise_choice(struct call *c, cJSON *tools, struct fault *f)
{
	const char *word, *name = NULL;
	struct promise_calls p = { .single = false };
	bool parallel = true;

	if (read_choice(given(c->body, "tool_choice"), tools, &word, &name, f) ||
	    param_bool(c->body, "parallel_tool_calls", &parallel, f) < 0)
		return -1;
	p.name = name;
	p.single = !parallel;
	p.may = !strcmp(word, "auto");
	if (!strcmp(word, "none") ||
	    (p.may && (!tools || c->asked || (parallel && !any_strict(tools)))))
		return 0;
	return promise_calls(c, &p, tools, f);
}

/* ---- all of it */

/* Reasoning comes first, where the model may reason. */
static int ask_reasoning(struct call *c, struct fault *f)
{
	struct manner m;

	if (!c->talk)
		return 0;
	m = chat_manner(c->model->m.chat);
	if (m.think && !manner_think_end(m))
		return fault_param(f, c->asked, "unsupported_parameter",
		                   "%s: cannot be kept to with a model that reasons in %s",
		                   c->asked, manner_think_name(m));
	c->ask.thinking = c->talk->thinking;
	if (c->talk->thinking || c->think != THINK_OFF) {
		c->ask.think_begin = manner_think_begin(m);
		c->ask.think_end = manner_think_end(m);
	}
	return 0;
}

int promise_make(struct call *c, struct fault *f)
{
	struct err e;

	if (!c->asked)
		return 0;
	if (ask_reasoning(c, f))
		return -1;
	c->ask.tokenizer = c->model->m.tokenizer;
	c->r.grammars = c->model->grammars;
	if (grammars_get(c->r.grammars, &c->r.grammar, &c->ask, &e) == 0)
		return 0;
	if (e.kind != ERR_INPUT)
		return fault_err(f, &e);
	return fault_param(f, c->asked, "invalid_schema", "%s: %s", c->asked, e.text);
}
