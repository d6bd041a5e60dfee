/* SPDX-License-Identifier: MIT */
/* promise.c - the forms that interfaces can ask an answer to have
 *
 * What cannot be kept to is refused: nothing is ignored that would shape the
 * answer. */
#include <stdio.h>
#include <string.h>

#include "serve/call.h"

static const cJSON *given(const cJSON *o, const char *key)
{
	const cJSON *v = json_get(o, key);

	return v && !cJSON_IsNull(v) ? v : NULL;
}

static void ask(struct call *c, enum grammar_kind kind, const char *param)
{
	c->ask.kind = kind;
	c->asked = param;
}

int promise_openai(struct call *c, struct fault *f)
{
	const cJSON *format = given(c->body, "response_format"), *type = json_get(format, "type");
	const char *t = cJSON_IsString(type) ? type->valuestring : "";

	if (given(c->body, "grammar"))
		return fault_param(f, "grammar", "unsupported_parameter",
		                   "grammar is not supported");
	if (!format || !strcmp(t, "text"))
		return 0;
	if (!strcmp(t, "json_object")) {
		ask(c, GRAMMAR_OBJECT, "response_format");
		return 0;
	}
	return fault_param(
		f, "response_format", "unsupported_parameter",
		"response_format: expected the type text or json_object, found \"%.32s\"", t);
}

int promise_ollama(struct call *c, struct fault *f)
{
	const cJSON *format = given(c->body, "format");

	if (!format || (cJSON_IsString(format) && !*format->valuestring))
		return 0;
	if (cJSON_IsString(format) && !strcmp(format->valuestring, "json")) {
		ask(c, GRAMMAR_OBJECT, "format");
		return 0;
	}
	return fault_param(f, "format", "unsupported_parameter", "format: expected \"json\"");
}

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
	if (grammar_open(&c->r.grammar, &c->ask, &e) == 0)
		return 0;
	if (e.kind != ERR_INPUT)
		return fault_err(f, &e);
	return fault_param(f, c->asked, "invalid_schema", "%s: %s", c->asked, e.text);
}
