/* SPDX-License-Identifier: MIT */
/* openai_chat.c - OpenAI's POST /v1/chat/completions */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
#include "serve/chat.h"
#include "serve/openai.h"

static const struct param own[] = {
	{ "max_tokens", "max_tokens", 1, 1 << 30 },
	{ "max_completion_tokens", "max_tokens", 1, 1 << 30 },
};

/* ---- the answer */

static const char *reason(const struct choice *k)
{
	return k->n_tools && k->reason == END_STOP ? "tool_calls" : openai_reason(k->reason);
}

static void head(struct call *c, const char *object)
{
	openai_head(c, "chatcmpl", object);
	buf_add_text(&c->out, ",\"choices\":[");
}

static void add_logprobs(struct choice *k)
{
	struct buf *b = &k->call->out;

	if (!k->r.logprobs) {
		buf_add_text(b, "null");
		return;
	}
	buf_add_text(b, "{\"content\":[");
	openai_tokens(b, k);
	buf_add_text(b, "],\"refusal\":null}");
}

/* A chunk with one choice; the delta's members are in `delta`. */
static void chunk(struct choice *k, const struct buf *delta, bool logprobs, const char *ended)
{
	struct call *c = k->call;

	buf_add_text(&c->out, "data: ");
	head(c, "chat.completion.chunk");
	buf_printf(&c->out, "{\"index\":%zu,\"delta\":{", k->index);
	buf_add(&c->out, delta->p, delta->n);
	buf_add_text(&c->out, "},\"logprobs\":");
	if (logprobs)
		add_logprobs(k);
	else
		buf_add_text(&c->out, "null");
	if (ended)
		buf_printf(&c->out, ",\"finish_reason\":\"%s\"}]", ended);
	else
		buf_add_text(&c->out, ",\"finish_reason\":null}]");
	buf_add_text(&c->out, c->usage ? ",\"usage\":null}\n\n" : "}\n\n");
	c->out.failed |= delta->failed;
}

static void begin(struct call *c)
{
	struct buf d = { 0 };

	buf_add_text(&d, "\"role\":\"assistant\",\"content\":\"\"");
	for (size_t i = 0; i < c->n_choices; i++)
		chunk(&c->choice[i], &d, false, NULL);
	buf_release(&d);
}

/* A tool's call: first who, then with what. */
static void tell_tool(struct choice *k, size_t i)
{
	struct buf d = { 0 };

	buf_printf(&d, "\"tool_calls\":[{\"index\":%zu,\"id\":", i);
	json_add_string(&d, bytes_of(k->tool[i].id));
	buf_add_text(&d, ",\"type\":\"function\",\"function\":{\"name\":");
	json_add_string(&d, bytes_of(k->tool[i].name));
	buf_add_text(&d, ",\"arguments\":\"\"}}]");
	chunk(k, &d, false, NULL);
	buf_clear(&d);
	buf_printf(&d, "\"tool_calls\":[{\"index\":%zu,\"function\":{\"arguments\":", i);
	json_add_string(&d, bytes_of(k->tool[i].arguments));
	buf_add_text(&d, "}}]");
	chunk(k, &d, false, NULL);
	buf_release(&d);
}

static void more(struct choice *k)
{
	struct buf d = { 0 };
	bool told = false;

	if (k->reasoning.n) {
		buf_add_text(&d, "\"reasoning_content\":");
		json_add_string(&d, buf_bytes(&k->reasoning));
		chunk(k, &d, !k->text.n, NULL);
		told = !k->text.n;
		buf_clear(&d);
	}
	if (k->text.n || (k->n_likely && !told)) {
		buf_add_text(&d, "\"content\":");
		json_add_string(&d, buf_bytes(&k->text));
		chunk(k, &d, true, NULL);
	}
	buf_release(&d);
	for (size_t i = k->n_told; i < k->n_tools; i++)
		tell_tool(k, i);
}

static void end(struct choice *k)
{
	struct buf none = { 0 };

	chunk(k, &none, false, reason(k));
}

static void finish(struct call *c)
{
	if (c->usage) {
		buf_add_text(&c->out, "data: ");
		head(c, "chat.completion.chunk");
		buf_add_text(&c->out, "],\"usage\":");
		openai_usage(c);
		buf_add_text(&c->out, "}\n\n");
	}
	buf_add_text(&c->out, "data: [DONE]\n\n");
}

static void add_message(struct choice *k)
{
	struct buf *b = &k->call->out;

	buf_printf(b, "{\"index\":%zu,\"message\":{\"role\":\"assistant\",\"content\":", k->index);
	if (k->n_tools && !k->text.n)
		buf_add_text(b, "null");
	else
		json_add_string(b, buf_bytes(&k->text));
	buf_add_text(b, ",\"refusal\":null");
	if (k->reasoning.n) {
		buf_add_text(b, ",\"reasoning_content\":");
		json_add_string(b, buf_bytes(&k->reasoning));
	}
	for (size_t i = 0; i < k->n_tools; i++) {
		buf_add_text(b, i ? ",{\"id\":" : ",\"tool_calls\":[{\"id\":");
		json_add_string(b, bytes_of(k->tool[i].id));
		buf_add_text(b, ",\"type\":\"function\",\"function\":{\"name\":");
		json_add_string(b, bytes_of(k->tool[i].name));
		buf_add_text(b, ",\"arguments\":");
		json_add_string(b, bytes_of(k->tool[i].arguments));
		buf_add_text(b, "}}");
	}
	buf_add_text(b, k->n_tools ? "]}" : "}");
	buf_add_text(b, ",\"logprobs\":");
	add_logprobs(k);
	buf_printf(b, ",\"finish_reason\":\"%s\"}", reason(k));
}

static void whole(struct call *c)
{
	head(c, "chat.completion");
	for (size_t i = 0; i < c->n_choices; i++) {
		buf_add_text(&c->out, i ? "," : "");
		add_message(&c->choice[i]);
	}
	buf_add_text(&c->out, "],\"usage\":");
	openai_usage(c);
	openai_timings(c);
	buf_add_byte(&c->out, '}');
}

static const struct voice voice = {
	.kind = STREAM_SSE,
	.ping = openai_ping,
	.begin = begin,
	.more = more,
	.end = end,
	.finish = finish,
	.fault = openai_fault,
	.whole = whole,
};

/* ---- the request */

/* What could only be promised is refused: nothing is ignored silently that
 * would shape the answer. */
static int check_unsupported(const struct call *c, struct fault *f)
{
	const cJSON *m, *modes = json_get(c->body, "modalities");
	static const char *const never[] = { "audio", "web_search_options" };

	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		if (json_get(c->body, never[i]) && !cJSON_IsNull(json_get(c->body, never[i])))
			return fault_param(f, never[i], "unsupported_parameter",
			                   "%s is not supported", never[i]);
	cJSON_ArrayForEach(m, modes) {
		if (!cJSON_IsString(m) || strcmp(m->valuestring, "text"))
			return fault_param(f, "modalities", "unsupported_parameter",
			                   "modalities: only text is made");
	}
	return 0;
}

static int set_options(struct call *c, struct fault *f)
{
	int64_t n = 1, top = 0;
	bool logprobs = false;

	c->r.max_tokens = (size_t)1 << 30;
	c->r.temp = 1;
	if (params_set(&c->r, own, sizeof own / sizeof *own, c->body, "", f) || openai_sampling(c, f) ||
	    openai_stream(c, f) || param_int(c->body, "n", 1, CHOICES_MAX, &n, f) < 0 ||
	    param_bool(c->body, "logprobs", &logprobs, f) < 0 ||
	    param_int(c->body, "top_logprobs", 0, LOGPROBS_MAX, &top, f) < 0)
		return -1;
	if (top && !logprobs)
		return fault_param(f, "top_logprobs", "invalid_value",
		                   "top_logprobs goes with logprobs");
	c->n = (size_t)n;
	c->top = (size_t)top;
	c->r.logprobs = logprobs ? c->top + 1 : 0;
	return 0;
}

static int think_of(const struct call *c, enum think *out, cJSON *vars, struct fault *f)
{
	const char *effort = NULL;
	const cJSON *kwargs = json_get(c->body, "chat_template_kwargs"), *v;

	if (param_text(c->body, "reasoning_effort", &effort, f) < 0)
		return -1;
	if (effort)
		*out = strcmp(effort, "none") ? THINK_ON : THINK_OFF;
	if (effort && strcmp(effort, "none"))
		cJSON_AddStringToObject(vars, "reasoning_effort", effort);
	cJSON_ArrayForEach(v, kwargs) {
		if (cJSON_IsObject(v) || cJSON_IsArray(v) || !v->string)
			return fault_param(f, "chat_template_kwargs", "invalid_type",
			                   "chat_template_kwargs: only scalars are taken");
		if (!strcmp(v->string, "enable_thinking") || !strcmp(v->string, "thinking"))
			*out = cJSON_IsTrue(v) ? THINK_ON : THINK_OFF;
		else if (strcmp(v->string, "messages") && strcmp(v->string, "tools") &&
		         !json_get(vars, v->string))
			cJSON_AddItemToObject(vars, v->string, cJSON_Duplicate(v, true));
	}
	return 0;
}

static int ask(struct call *c, struct fault *f)
{
	struct chat_ask a = { 0 };
	const cJSON *tools = json_get(c->body, "tools"), *choice = json_get(c->body, "tool_choice");
	bool none = cJSON_IsString(choice) && !strcmp(choice->valuestring, "none"), begin_answer = true;
	cJSON *vars = cJSON_CreateObject();
	int rc = -1;

	a.vars = vars;
	a.take_messages = openai_messages(c->body, f);
	if (a.take_messages && think_of(c, &a.think, vars, f) == 0 &&
	    param_bool(c->body, "add_generation_prompt", &begin_answer, f) >= 0) {
		a.go_on = !begin_answer;
		rc = 0;
		if (tools && !cJSON_IsNull(tools) && !none && (tools->child || !cJSON_IsArray(tools)))
			rc = (a.take_tools = chat_tools(tools, f)) ? 0 : -1;
		if (rc == 0)
			rc = promise_choice(c, a.take_tools, f);
		if (rc == 0)
			rc = chat_ask(c, &a, f);
	}
	cJSON_Delete(vars);
	cJSON_Delete(a.take_messages);
	cJSON_Delete(a.take_tools);
	return rc;
}

int openai_chat_ask(struct call *c, struct fault *f)
{
	return set_options(c, f) || check_unsupported(c, f) || promise_openai(c, f) || ask(c, f) ?
	               -1 :
	               0;
}

void api_chat(struct exchange *x)
{
	struct call *c = call_ask(x, &voice, openai_chat_ask);

	if (c)
		call_submit(c);
}

void api_apply_template(struct exchange *x)
{
	struct call *c = call_ask(x, &voice, openai_chat_ask);

	if (!c)
		return;
	buf_add_text(&c->out, "{\"prompt\":");
	json_add_string(&c->out, buf_bytes(&c->talk->text));
	buf_add_byte(&c->out, '}');
	respond_json(x, &c->out);
	call_close(c);
}

void api_chat_tokens(struct exchange *x)
{
	struct call *c = call_ask(x, &voice, openai_chat_ask);

	if (c)
		openai_tell_tokens(c);
}
