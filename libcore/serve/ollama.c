/* SPDX-License-Identifier: MIT */
/* ollama.c - Ollama's POST /api/generate and /api/chat: records, a line each */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "serve/admin.h"
#include "serve/api.h"
#include "serve/chat.h"
#include "serve/keep.h"

enum { UNLOAD_BYTES = 4096 };

static const struct param params[] = {
	{ "temperature", "temp", 0, 0 },
	{ "top_k", "top_k", 0, 0 },
	{ "top_p", "top_p", 0, 0 },
	{ "min_p", "min_p", 0, 0 },
	{ "repeat_penalty", "repetition_penalty", 0, 0 },
	{ "presence_penalty", "presence_penalty", 0, 0 },
	{ "frequency_penalty", "frequency_penalty", 0, 0 },
	{ "stop", "stop", 0, 0 },
};

/* ---- the answer */

static bool chats(const struct call *c)
{
	return c->x->route->handle == api_ollama_chat;
}

/* Times of the day with six digits, as Python reads them. */
static void head(struct call *c)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_add_text(&c->out, "{\"model\":");
	json_add_string(&c->out, bytes_of(c->name));
	buf_printf(&c->out, ",\"created_at\":\"%s.%06ldZ\"", text, now.tv_nsec / 1000);
}

static void add_tools(struct choice *k)
{
	struct buf *b = &k->call->out;

	for (size_t i = k->n_told; i < k->n_tools; i++) {
		buf_add_text(b, i > k->n_told ? ",{\"id\":" : ",\"tool_calls\":[{\"id\":");
		json_add_string(b, bytes_of(k->tool[i].id));
		buf_printf(b, ",\"function\":{\"index\":%zu,\"name\":", i);
		json_add_string(b, bytes_of(k->tool[i].name));
		buf_add_text(b, ",\"arguments\":");
		buf_add_text(b, k->tool[i].arguments);
		buf_add_text(b, "}}");
	}
	if (k->n_tools > k->n_told)
		buf_add_byte(b, ']');
}

static void add_likely(struct choice *k)
{
	const struct tokenizer *t = k->call->model->m.tokenizer;
	struct buf *b = &k->call->out;

	if (!k->r.logprobs || !k->n_likely)
		return;
	buf_add_text(b, ",\"logprobs\":[");
	for (size_t i = 0; i < k->n_likely; i++) {
		const struct likely *v = &k->likely[i];

		buf_add_text(b, i ? ",{\"token\":" : "{\"token\":");
		json_add_string(b, tokenizer_piece(t, v->id));
		buf_add_text(b, ",\"logprob\":");
		json_add_f64(b, (double)v->logprob);
		buf_add_text(b, ",\"top_logprobs\":[");
		for (size_t n = 0; n < v->n_top && n < k->call->top; n++) {
			buf_add_text(b, n ? ",{\"token\":" : "{\"token\":");
			json_add_string(b, tokenizer_piece(t, v->top_id[n]));
			buf_add_text(b, ",\"logprob\":");
			json_add_f64(b, (double)v->top_logprob[n]);
			buf_add_byte(b, '}');
		}
		buf_add_text(b, "]}");
	}
	buf_add_byte(b, ']');
}

/* What is new, or all of it: of a chat a message, else a response. */
static void add_said(struct choice *k)
{
	struct buf *b = &k->call->out;
	bool chat = chats(k->call);

	buf_add_text(b, chat ? ",\"message\":{\"role\":\"assistant\",\"content\":" : ",\"response\":");
	json_add_string(b, buf_bytes(&k->text));
	if (k->reasoning.n) {
		buf_add_text(b, ",\"thinking\":");
		json_add_string(b, buf_bytes(&k->reasoning));
	}
	if (chat) {
		add_tools(k);
		buf_add_byte(b, '}');
	}
	add_likely(k);
}

static void add_end(struct choice *k)
{
	struct call *c = k->call;
	double now = http_seconds(), first = c->first > 0 ? c->first : now,
	       admitted = c->admitted > 0 ? c->admitted : now;

	buf_printf(&c->out,
	           ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%.0f,"
	           "\"load_duration\":0,\"prompt_eval_count\":%zu,\"prompt_eval_duration\":%.0f,"
	           "\"eval_count\":%zu,\"eval_duration\":%.0f}\n",
	           k->reason == END_STOP ? "stop" : "length", (now - c->came) * 1e9,
	           call_prompt_tokens(c), (first - admitted) * 1e9, call_made_tokens(c),
	           (now - first) * 1e9);
}

static void more(struct choice *k)
{
	head(k->call);
	add_said(k);
	buf_add_text(&k->call->out, ",\"done\":false}\n");
}

static void ping(struct call *c)
{
	head(c);
	buf_add_text(&c->out, chats(c) ? ",\"message\":{\"role\":\"assistant\",\"content\":\"\"}" :
	                                 ",\"response\":\"\"");
	buf_add_text(&c->out, ",\"done\":false}\n");
}

static void begin(struct call *c)
{
	(void)c;
}

static void end(struct choice *k)
{
	head(k->call);
	buf_clear(&k->text);
	buf_clear(&k->reasoning);
	k->n_told = k->n_tools;
	k->n_likely = 0;
	add_said(k);
	add_end(k);
}

static void finish(struct call *c)
{
	(void)c;
}

static void fault(struct call *c, const struct fault *f)
{
	fault_body(&c->out, f, DIALECT_OLLAMA, c->x->id);
	buf_add_byte(&c->out, '\n');
}

static void whole(struct call *c)
{
	head(c);
	add_said(&c->choice[0]);
	add_end(&c->choice[0]);
	c->out.n--; /* the line's end comes with the answer */
}

static const struct voice voice = {
	.kind = STREAM_NDJSON,
	.ping = ping,
	.begin = begin,
	.more = more,
	.end = end,
	.finish = finish,
	.fault = fault,
	.whole = whole,
};

/* ---- the request */

static int set_options(struct call *c, struct fault *f)
{
	const cJSON *o = json_get(c->body, "options");
	int64_t n = -1, seed = -1, last = 64, top = 0, context = 0;
	bool logprobs = false;

	c->stream = true;
	c->r.temp = 0.8;
	c->r.top_k = 40;
	c->r.top_p = 0.9;
	c->r.max_tokens = (size_t)1 << 30;
	if (o && !cJSON_IsNull(o) && !cJSON_IsObject(o))
		return fault_param(f, "options", "invalid_type", "options: expected an object");
	if (param_bool(c->body, "stream", &c->stream, f) < 0 ||
	    params_set(&c->r, params, sizeof params / sizeof *params, o, "", f) ||
	    param_int(o, "num_predict", -2, 1 << 30, &n, f) < 0 ||
	    param_int(o, "seed", INT64_MIN, INT64_MAX, &seed, f) < 0 ||
	    param_int(o, "repeat_last_n", -1, 1 << 30, &last, f) < 0 ||
	    param_int(o, "num_ctx", 1, 1 << 30, &context, f) < 0 ||
	    param_bool(c->body, "logprobs", &logprobs, f) < 0 ||
	    param_int(c->body, "top_logprobs", INT64_MIN, INT64_MAX, &top, f) < 0)
		return -1;
	if (top < 0 || top > 20)
		return fault_set(f, 400, "invalid_value", "top_logprobs must be between 0 and 20");
	if (promise_ollama(c, f))
		return -1;
	if (n >= 0)
		c->r.max_tokens = (size_t)n;
	/* as Ollama has it, more than the model has is what it has */
	if (context && (size_t)context < c->context)
		c->context = (size_t)context;
	if (seed >= 0) {
		c->r.seed = (uint64_t)seed;
		c->r.has_seed = true;
	}
	c->r.repetition_context = last < 0 ? 0 : (size_t)last;
	c->top = (size_t)top;
	c->r.logprobs = logprobs ? c->top + 1 : 0;
	return 0;
}

static int think_of(const struct call *c, enum think *out, cJSON *vars, struct fault *f)
{
	const cJSON *v = json_get(c->body, "think");

	if (!v || cJSON_IsNull(v))
		return 0;
	if (cJSON_IsBool(v)) {
		*out = cJSON_IsTrue(v) ? THINK_ON : THINK_OFF;
	} else if (cJSON_IsString(v)) {
		*out = THINK_ON;
		cJSON_AddStringToObject(vars, "reasoning_effort", v->valuestring);
	} else {
		return fault_param(f, "think", "invalid_type", "think: expected a bool or a level");
	}
	if (*out == THINK_ON &&
	    (!c->model->m.chat || !chat_manner(c->model->m.chat).think))
		return fault_set(f, 400, "invalid_value", "\"%s\" does not support thinking", c->name);
	return 0;
}

/* Nothing to answer: the model is loaded, or let go. */
static void answer_load(struct call *c, const char *what)
{
	head(c);
	buf_add_text(&c->out, chats(c) ? ",\"message\":{\"role\":\"assistant\",\"content\":\"\"}" :
	                                 ",\"response\":\"\"");
	buf_printf(&c->out, ",\"done\":true,\"done_reason\":\"%s\"}", what);
	respond_json(c->x, &c->out);
}

/* Only the model's end is asked for: it is not opened for that. */
static bool unload(struct exchange *x)
{
	struct err e;
	cJSON *o = x->body.n < UNLOAD_BYTES ? json_parse(buf_bytes(&x->body), &e) : NULL;
	struct call c = { .x = x };
	const char *name = NULL;
	struct fault f;
	bool ends = o && cJSON_IsObject(o) && keep_ends(o);

	if (ends && param_text(o, "model", &name, &f) >= 0 &&
	    (name || param_text(o, "name", &name, &f) >= 0) && keep_end(x, name, &f) == 0) {
		c.name = (char *)(name ? name : x->model);
		answer_load(&c, "unload");
		buf_release(&c.out);
	} else if (ends) {
		respond_fault(x, &f);
	}
	cJSON_Delete(o);
	return ends;
}

static int copy_message(cJSON *all, const cJSON *m, size_t i, struct fault *f)
{
	static const char *const roles[] = { "system", "user", "assistant", "tool" };
	static const char *const texts[][2] = { { "thinking", "reasoning_content" },
		                                { "tool_name", "name" },
		                                { "tool_call_id", "tool_call_id" } };
	const cJSON *role = json_get(m, "role"), *calls = json_get(m, "tool_calls"),
	            *images = json_get(m, "images");
	char place[64], *text;
	size_t r;
	cJSON *to;

	snprintf(place, sizeof place, "messages[%zu]", i);
	for (r = 0; r < 4; r++)
		if (cJSON_IsString(role) && !strcasecmp(role->valuestring, roles[r]))
			break;
	if (r == 4)
		return fault_param(f, place, "invalid_value",
		                   "%s: role: expected system, user, assistant or tool", place);
	if (cJSON_IsArray(images) && images->child)
		return fault_param(f, place, "invalid_image", "%s: the model takes no images", place);
	if (chat_text(&text, json_get(m, "content"), place, f))
		return -1;
	to = chat_message(roles[r], text);
	if (!to || !cJSON_AddItemToArray(all, to)) {
		cJSON_Delete(to);
		return fault_memory(f);
	}
	if (cJSON_IsArray(calls) && calls->child)
		cJSON_AddItemToObject(to, "tool_calls", cJSON_Duplicate(calls, true));
	for (size_t k = 0; k < 3; k++) {
		const cJSON *v = json_get(m, texts[k][0]);

		if (cJSON_IsString(v) && v->valuestring[0])
			cJSON_AddStringToObject(to, texts[k][1], v->valuestring);
	}
	return 0;
}

static int ask(struct call *c, cJSON *take_messages, struct fault *f)
{
	struct chat_ask a = { .take_messages = take_messages };
	const cJSON *tools = chats(c) ? json_get(c->body, "tools") : NULL;
	cJSON *vars = cJSON_CreateObject();
	int rc = think_of(c, &a.think, vars, f);

	a.vars = vars;
	if (rc == 0 && tools && tools->child)
		rc = (a.take_tools = chat_tools(tools, f)) ? 0 : -1;
	if (rc == 0)
		rc = chat_ask(c, &a, f);
	cJSON_Delete(vars);
	cJSON_Delete(a.take_messages);
	cJSON_Delete(a.take_tools);
	return rc;
}

static void submit(struct call *c, int rc, const struct fault *f)
{
	if (rc)
		call_refuse(c, f);
	else
		call_submit(c);
}

void api_ollama_chat(struct exchange *x)
{
	struct call *c = unload(x) ? NULL : call_open(x, &voice);
	const cJSON *in, *m;
	cJSON *all;
	struct fault f;
	size_t i = 0;
	int rc = 0;

	if (!c)
		return;
	in = json_get(c->body, "messages");
	settings_apply(c);
	if (set_options(c, &f) || keep_alive(x, c->body, &f)) {
		call_refuse(c, &f);
		return;
	}
	if (!cJSON_IsArray(in) || !in->child) {
		answer_load(c, "load");
		call_close(c);
		return;
	}
	all = cJSON_CreateArray();
	cJSON_ArrayForEach(m, in) {
		rc = all && i < MESSAGES_MAX ? copy_message(all, m, i, &f) :
		                               fault_set(&f, 400, "invalid_value",
		                                         "at most %d messages", MESSAGES_MAX);
		if (rc)
			break;
		i++;
	}
	if (rc)
		cJSON_Delete(all);
	else
		rc = ask(c, all, &f);
	submit(c, rc, &f);
}

/* ---- generate: a prompt, with or without a template around it */

static int plain(struct call *c, const char *prompt, struct fault *f)
{
	struct err e;

	return tokenizer_encode(c->model->m.tokenizer, bytes_of(prompt),
	                        ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &c->prompt[0], &e) ?
	               fault_err(f, &e) :
	               0;
}

static int templated(struct call *c, const char *prompt, const char *system, struct fault *f)
{
	cJSON *all = cJSON_CreateArray();

	if (all && system && *system)
		cJSON_AddItemToArray(all, chat_message("system", strdup(system)));
	if (all)
		settings_messages(c, all);
	if (!all || !cJSON_AddItemToArray(all, chat_message("user", strdup(prompt)))) {
		cJSON_Delete(all);
		return fault_memory(f);
	}
	return ask(c, all, f);
}

static int generate(struct call *c, const char *prompt, struct fault *f)
{
	const char *system = NULL, *template = NULL, *suffix = NULL;
	const cJSON *context = json_get(c->body, "context"), *images = json_get(c->body, "images");
	bool raw = false;

	if (param_text(c->body, "system", &system, f) < 0 ||
	    param_text(c->body, "template", &template, f) < 0 ||
	    param_text(c->body, "suffix", &suffix, f) < 0 ||
	    param_bool(c->body, "raw", &raw, f) < 0)
		return -1;
	if (raw && (system || template || (context && context->child)))
		return fault_set(f, 400, "invalid_value",
		                 "raw mode does not support template, system, or context");
	if (template && *template)
		return fault_set(f, 400, "unsupported_parameter", "Go templates are not supported");
	if ((suffix && *suffix) || (cJSON_IsArray(images) && images->child) ||
	    (context && context->child))
		return fault_set(f, 400, "unsupported_parameter",
		                 "suffix, images and context are not supported");
	return raw || !c->model->m.chat ? plain(c, prompt, f) : templated(c, prompt, system, f);
}

void api_generate(struct exchange *x)
{
	struct call *c = unload(x) ? NULL : call_open(x, &voice);
	const char *prompt = NULL;
	struct fault f;
	int rc;

	if (!c)
		return;
	settings_apply(c);
	if (set_options(c, &f) || keep_alive(x, c->body, &f) ||
	    param_text(c->body, "prompt", &prompt, &f) < 0) {
		call_refuse(c, &f);
		return;
	}
	if (!prompt || !*prompt) {
		answer_load(c, "load");
		call_close(c);
		return;
	}
	rc = generate(c, prompt, &f);
	submit(c, rc, &f);
}
