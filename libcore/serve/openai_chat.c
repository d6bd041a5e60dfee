/* SPDX-License-Identifier: MIT */
/* openai_chat.c - OpenAI's POST /v1/chat/completions */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
#include "serve/chat.h"
#include "serve/openai.h"

static const struct param params[] = {
	{ "max_tokens", "max_tokens", 1, 1 << 30 },
	{ "max_completion_tokens", "max_tokens", 1, 1 << 30 },
	{ "temperature", "temp", 0, 2 },
	{ "top_p", "top_p", 0, 0 },
	{ "top_k", "top_k", 0, 0 },
	{ "min_p", "min_p", 0, 0 },
	{ "seed", "seed", 0, 0 },
	{ "stop", "stop", 0, 0 },
	{ "presence_penalty", "presence_penalty", -2, 2 },
	{ "frequency_penalty", "frequency_penalty", -2, 2 },
	{ "repeat_penalty", "repetition_penalty", 0, 0 },
	{ "repeat_last_n", "repetition_context_size", 0, 0 },
	{ "logit_bias", "logit_bias", 0, 0 },
	{ "ignore_eos", "ignore_eos", 0, 0 },
};

/* ---- the answer */

static const char *reason(const struct choice *k)
{
	return k->n_tools && k->reason == END_STOP ? "tool_calls" : openai_reason(k->reason);
}

static void head(struct call *c, const char *object)
{
	buf_printf(&c->out, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%lld,\"model\":",
	           c->id, object, (long long)c->created);
	json_add_string(&c->out, bytes_of(c->name));
	openai_fingerprint(c);
	buf_add_text(&c->out, ",\"choices\":[");
}

static void add_token(struct buf *b, const struct tokenizer *t, int32_t id, float logprob)
{
	struct bytes p = tokenizer_piece(t, id);

	buf_add_text(b, "{\"token\":");
	json_add_string(b, p);
	buf_add_text(b, ",\"logprob\":");
	openai_logprob(b, logprob);
	buf_add_text(b, ",\"bytes\":[");
	for (size_t i = 0; i < p.n; i++)
		buf_printf(b, i ? ",%u" : "%u", p.p[i]);
	buf_add_byte(b, ']');
}

static void add_logprobs(struct choice *k)
{
	const struct tokenizer *t = k->call->model->m.tokenizer;
	struct buf *b = &k->call->out;

	if (!k->r.logprobs) {
		buf_add_text(b, "null");
		return;
	}
	buf_add_text(b, "{\"content\":[");
	for (size_t i = 0; i < k->n_likely; i++) {
		const struct likely *v = &k->likely[i];

		buf_add_text(b, i ? "," : "");
		add_token(b, t, v->id, v->logprob);
		buf_add_text(b, ",\"top_logprobs\":[");
		for (size_t n = 0; n < v->n_top && n < k->call->top; n++) {
			buf_add_text(b, n ? "," : "");
			add_token(b, t, v->top_id[n], v->top_logprob[n]);
			buf_add_byte(b, '}');
		}
		buf_add_text(b, "]}");
	}
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

/* ---- the request's messages */

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
		return fault_set(f, 503, "out_of_memory", "no memory for the request");
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
		return fault_set(f, 503, "out_of_memory", "no memory for the request");
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
			return array ? -1 : fault_set(f, 503, "out_of_memory", "no memory");
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
			return fault_set(f, 503, "out_of_memory", "no memory for the request");
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
		return fault_set(f, 503, "out_of_memory", "no memory for the request");
	}
	snprintf(place, sizeof place, "messages[%zu]", i);
	if (r == 4 && !cJSON_IsString(json_get(m, "tool_call_id")))
		return fault_param(f, place, "missing_required_parameter",
		                   "%s: a tool's message needs tool_call_id", place);
	return copy_calls(to, m, place, f) || copy_texts(to, m, f) ? -1 : 0;
}

static cJSON *messages_of(const struct call *c, struct fault *f)
{
	const cJSON *in = json_get(c->body, "messages"), *m;
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
		fault_set(f, 503, "out_of_memory", "no memory for the request");
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

/* ---- the rest of the request */

/* What could only be promised is refused: nothing is ignored silently that
 * would shape the answer. */
static int check_unsupported(const struct call *c, struct fault *f)
{
	const cJSON *format = json_get(c->body, "response_format"),
	            *type = json_get(format, "type"), *choice = json_get(c->body, "tool_choice"), *m,
	            *modes = json_get(c->body, "modalities");
	static const char *const never[] = { "audio", "web_search_options", "grammar" };

	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		if (json_get(c->body, never[i]) && !cJSON_IsNull(json_get(c->body, never[i])))
			return fault_param(f, never[i], "unsupported_parameter",
			                   "%s is not supported", never[i]);
	cJSON_ArrayForEach(m, modes) {
		if (!cJSON_IsString(m) || strcmp(m->valuestring, "text"))
			return fault_param(f, "modalities", "unsupported_parameter",
			                   "modalities: only text is made");
	}
	if (format && !cJSON_IsNull(format) &&
	    !(cJSON_IsString(type) && !strcmp(type->valuestring, "text")))
		return fault_param(f, "response_format", "unsupported_parameter",
		                   "response_format: only text can be promised");
	if (choice && !cJSON_IsNull(choice) &&
	    !(cJSON_IsString(choice) && (!strcmp(choice->valuestring, "auto") ||
	                                 !strcmp(choice->valuestring, "none"))))
		return fault_param(f, "tool_choice", "unsupported_parameter",
		                   "tool_choice: only auto and none can be promised");
	return 0;
}

static int set_options(struct call *c, struct fault *f)
{
	int64_t n = 1, top = 0;
	bool logprobs = false;

	c->r.max_tokens = (size_t)1 << 30;
	c->r.temp = 1;
	if (params_set(&c->r, params, sizeof params / sizeof *params, c->body, "", f) ||
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
	a.take_messages = messages_of(c, f);
	if (a.take_messages && think_of(c, &a.think, vars, f) == 0 &&
	    param_bool(c->body, "add_generation_prompt", &begin_answer, f) >= 0) {
		a.go_on = !begin_answer;
		rc = 0;
		if (tools && !cJSON_IsNull(tools) && !none && tools->child)
			rc = (a.take_tools = chat_tools(tools, f)) ? 0 : -1;
		if (rc == 0)
			rc = chat_ask(c, &a, f);
	}
	cJSON_Delete(vars);
	cJSON_Delete(a.take_messages);
	cJSON_Delete(a.take_tools);
	return rc;
}

void api_chat(struct exchange *x)
{
	struct call *c = call_open(x, &voice);
	struct fault f;

	if (!c)
		return;
	if (set_options(c, &f) || check_unsupported(c, &f) || ask(c, &f))
		call_refuse(c, &f);
	else
		call_submit(c);
}
