/* SPDX-License-Identifier: MIT */
/* openai.c - what OpenAI's endpoints share */
#include "serve/openai.h"

#include <string.h>

const char *openai_reason(enum end_reason r)
{
	return r == END_STOP ? "stop" : "length";
}

void openai_head(struct call *c, const char *prefix, const char *object)
{
	struct buf *b = &c->head;

	if (!b->n) {
		buf_printf(b, "{\"id\":\"%s-%s\",\"object\":\"%s\",\"created\":%lld,\"model\":",
		           prefix, c->id, object, (long long)c->created);
		json_add_string(b, bytes_of(c->name));
		buf_printf(b, ",\"system_fingerprint\":\"clm-%s-%.8s\"",
		           c->x->serve->o.version ? c->x->serve->o.version : "0",
		           c->model->m.facts.digest);
	}
	buf_add(&c->out, b->p, b->n);
	c->out.failed |= b->failed;
}

void openai_usage(struct call *c)
{
	size_t prompt = call_prompt_tokens(c), made = call_made_tokens(c), reasoned = 0;

	for (size_t i = 0; i < c->n_choices; i++)
		reasoned += c->choice[i].n_reasoned;

	buf_printf(&c->out,
	           "{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu,"
	           "\"prompt_tokens_details\":{\"cached_tokens\":%zu},"
	           "\"completion_tokens_details\":{\"reasoning_tokens\":%zu}}",
	           prompt, made, prompt + made, call_cached_tokens(c), reasoned);
}

void openai_timings(struct call *c)
{
	double first = c->first > 0 ? c->first : c->done;

	buf_printf(&c->out,
	           ",\"timings\":{\"cache_n\":%zu,\"prompt_n\":%zu,\"prompt_ms\":%.3f,"
	           "\"predicted_n\":%zu,\"predicted_ms\":%.3f}",
	           call_cached_tokens(c), call_prompt_tokens(c) - call_cached_tokens(c),
	           (first - c->admitted) * 1e3, call_made_tokens(c), (c->done - first) * 1e3);
}

void openai_logprob(struct buf *b, double logprob)
{
	json_add_f64(b, logprob <= -9999 ? -9999 : logprob);
}

static void add_token(struct buf *b, const struct tokenizer *t, int32_t id, double logprob)
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

void openai_tokens(struct buf *b, const struct choice *k)
{
	const struct tokenizer *t = k->call->model->m.tokenizer;

	for (size_t i = 0; i < k->n_likely; i++) {
		const struct likely *v = &k->likely[i];

		buf_add_text(b, i ? "," : "");
		add_token(b, t, v->id, v->logprob);
		buf_add_text(b, ",\"top_logprobs\":[");
		for (size_t n = 0; n < v->n_top && n < k->call->top; n++) {
			buf_add_text(b, n ? "," : "");
			add_token(b, t, v->top_id[n], (double)v->top_logprob[n]);
			buf_add_byte(b, '}');
		}
		buf_add_text(b, "]}");
	}
}

void openai_tell_tokens(struct call *c)
{
	buf_printf(&c->out, "{\"object\":\"response.input_tokens\",\"input_tokens\":%zu}",
	           c->prompt[0].n);
	respond_json(c->x, &c->out);
	call_close(c);
}

void openai_ping(struct call *c)
{
	buf_add_text(&c->out, ": ping\n\n");
}

void openai_fault(struct call *c, const struct fault *f)
{
	buf_add_text(&c->out, "data: ");
	fault_body(&c->out, f, DIALECT_OPENAI, c->x->id);
	buf_add_text(&c->out, "\n\n");
}

static const struct param sampling[] = {
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

int openai_sampling(struct call *c, struct fault *f)
{
	int64_t priority = 0;

	if (params_set(&c->r, sampling, sizeof sampling / sizeof *sampling, c->body, "", f) ||
	    param_int(c->body, "priority", -100, 100, &priority, f) < 0)
		return -1;
	c->r.priority = (int)priority;
	return 0;
}

int openai_stream(struct call *c, struct fault *f)
{
	const cJSON *o = json_get(c->body, "stream_options");

	if (param_bool(c->body, "stream", &c->stream, f) < 0)
		return -1;
	if (!o || cJSON_IsNull(o))
		return 0;
	if (!cJSON_IsObject(o))
		return fault_param(f, "stream_options", "invalid_type",
		                   "stream_options: expected an object, found %s", json_kind(o));
	if (!c->stream)
		return fault_param(f, "stream_options", "invalid_value",
		                   "stream_options goes with stream");
	return param_bool(o, "include_usage", &c->usage, f) < 0 ? -1 : 0;
}

int openai_ids(struct ids *out, const cJSON *array, size_t vocab, const char *name,
               struct fault *f)
{
	const cJSON *v;
	struct err e;

	if (!cJSON_IsArray(array))
		return fault_param(f, name, "invalid_type", "%s: expected token ids, found %s", name,
		                   json_kind(array));
	cJSON_ArrayForEach(v, array) {
		double d = v->valuedouble;

		if (!cJSON_IsNumber(v) || !(d >= 0 && d < (double)vocab) || d != (double)(int32_t)d)
			return fault_param(f, name, "invalid_value",
			                   "%s: expected token ids from 0 to %zu", name, vocab - 1);
		if (ids_add(out, (int32_t)d, &e))
			return fault_err(f, &e);
	}
	return 0;
}
