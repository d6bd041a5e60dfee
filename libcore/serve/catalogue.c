/* SPDX-License-Identifier: MIT */
/* catalogue.c - which models there are, in OpenAI's and Ollama's words */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/api.h"
#include "serve/call.h"

static size_t parameters(const struct served *d)
{
	struct config_size size = { 0 };
	struct err e;

	return config_measure(&size, model_config(d->m.model), &e) ? 0 : size.parameters;
}

static void add_model(struct buf *b, const struct served *d)
{
	const struct config *c = model_config(d->m.model);

	buf_add_text(b, "{\"id\":");
	json_add_string(b, bytes_of(d->m.name));
	buf_printf(b,
	           ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"clm\",\"meta\":"
	           "{\"n_ctx_train\":%zu,\"n_ctx\":%zu,\"n_vocab\":%zu,\"n_embd\":%zu,"
	           "\"n_params\":%zu,\"size\":%zu}}",
	           (long long)d->m.modified, c->max_pos, d->context, c->vocab, c->hidden,
	           parameters(d), d->m.n_bytes);
}

void api_models(struct exchange *x)
{
	struct buf b = { 0 };

	buf_add_text(&b, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < x->serve->n_models; i++) {
		buf_add_text(&b, i ? "," : "");
		add_model(&b, &x->serve->model[i]);
	}
	buf_add_text(&b, "]}");
	respond_json(x, &b);
	buf_release(&b);
}

void api_model(struct exchange *x)
{
	const struct served *d;
	struct buf b = { 0 };
	struct fault f;

	d = server_model(x->serve, x->name, &f);
	if (!d) {
		respond_fault(x, &f);
		return;
	}
	add_model(&b, d);
	respond_json(x, &b);
	buf_release(&b);
}

/* ---- Ollama */

/* The API level that is spoken, not this program's. */
void api_version(struct exchange *x)
{
	respond_line(x, 200, bytes_of("{\"version\":\"0.30.0\"}"));
}

static void add_time(struct buf *b, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;
	char text[32];

	gmtime_r(&t, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_printf(b, "\"%s\"", text);
}

/* 1.1B, 33M, 600K */
static void add_count(struct buf *b, size_t n)
{
	if (n >= 1000000000)
		buf_printf(b, "\"%.1fB\"", (double)n / 1e9);
	else if (n >= 1000000)
		buf_printf(b, "\"%.1fM\"", (double)n / 1e6);
	else
		buf_printf(b, "\"%zuK\"", n / 1000);
}

static void add_details(struct buf *b, const struct served *d)
{
	const struct config *c = model_config(d->m.model);

	buf_add_text(b, "{\"parent_model\":\"\",\"format\":");
	json_add_string(b, bytes_of(d->m.format));
	buf_printf(b, ",\"family\":\"%s\",\"families\":[\"%s\"],\"parameter_size\":", c->model_type,
	           c->model_type);
	add_count(b, parameters(d));
	buf_printf(b, ",\"quantization_level\":\"%s\"}", d->m.quant);
}

static void add_capabilities(struct buf *b, const struct served *d)
{
	const struct chat *chat = d->m.chat;

	if (model_config(d->m.model)->encoder) {
		buf_add_text(b, ",\"capabilities\":[\"embedding\"]");
		return;
	}
	buf_printf(b, ",\"capabilities\":[\"completion\"%s%s]",
	           chat && chat_manner(chat).call ? ",\"tools\"" : "",
	           chat && chat_manner(chat).think ? ",\"thinking\"" : "");
}

static void add_item(struct buf *b, const struct served *d, bool running)
{
	buf_add_text(b, "{\"name\":");
	json_add_string(b, bytes_of(d->tag));
	buf_add_text(b, ",\"model\":");
	json_add_string(b, bytes_of(d->tag));
	if (!running) {
		buf_add_text(b, ",\"modified_at\":");
		add_time(b, d->m.modified);
	}
	buf_printf(b, ",\"size\":%zu,\"digest\":\"%s\",\"details\":", d->m.n_bytes, d->digest);
	add_details(b, d);
	if (running)
		buf_printf(b,
		           ",\"expires_at\":\"2318-01-01T00:00:00Z\",\"size_vram\":%zu,"
		           "\"context_length\":%zu",
		           model_weight_bytes(d->m.model), d->context);
	else
		add_capabilities(b, d);
	buf_add_byte(b, '}');
}

static int newer(const void *a, const void *b)
{
	const struct served *const *x = a, *const *y = b;

	return (*x)->m.modified < (*y)->m.modified ? 1 : (*x)->m.modified > (*y)->m.modified ? -1 : 0;
}

static void list(struct exchange *x, bool running)
{
	struct serve *s = x->serve;
	const struct served **d = calloc(s->n_models + 1, sizeof *d);
	struct buf b = { 0 };

	for (size_t i = 0; d && i < s->n_models; i++)
		d[i] = &s->model[i];
	if (d)
		qsort(d, s->n_models, sizeof *d, newer);
	buf_add_text(&b, "{\"models\":[");
	for (size_t i = 0; d && i < s->n_models; i++) {
		buf_add_text(&b, i ? "," : "");
		add_item(&b, d[i], running);
	}
	buf_add_text(&b, "]}");
	b.failed |= !d;
	free(d);
	respond_json(x, &b);
	buf_release(&b);
}

void api_tags(struct exchange *x)
{
	list(x, false);
}

void api_ps(struct exchange *x)
{
	list(x, true);
}

static void add_info(struct buf *b, const struct served *d)
{
	const struct config *c = model_config(d->m.model);
	const char *t = c->model_type;

	buf_printf(b,
	           "{\"general.architecture\":\"%s\",\"general.parameter_count\":%zu,"
	           "\"%s.context_length\":%zu,\"%s.embedding_length\":%zu,\"%s.block_count\":%zu,"
	           "\"%s.attention.head_count\":%zu,\"%s.attention.head_count_kv\":%zu,"
	           "\"%s.vocab_size\":%zu,\"tokenizer.ggml.tokens\":null}",
	           t, parameters(d), t, c->max_pos, t, c->hidden, t, c->n_layers, t, c->n_heads, t,
	           c->n_kv_heads, t, c->vocab);
}

void api_show(struct exchange *x)
{
	cJSON *o = body_open(x);
	const struct served *d = NULL;
	const char *name = NULL;
	struct buf b = { 0 };
	struct fault f;

	if (!o)
		return;
	if (param_text(o, "model", &name, &f) >= 0 &&
	    (name || param_text(o, "name", &name, &f) >= 0))
		d = server_model(x->serve, name, &f);
	if (!d) {
		cJSON_Delete(o);
		respond_fault(x, &f);
		return;
	}
	buf_add_text(&b, "{\"license\":\"\",\"modelfile\":\"\",\"parameters\":\"\",\"template\":");
	json_add_string(&b, d->m.chat ? template_text(chat_template_of(d->m.chat, false)) :
	                                (struct bytes){ 0 });
	buf_add_text(&b, ",\"details\":");
	add_details(&b, d);
	buf_add_text(&b, ",\"model_info\":");
	add_info(&b, d);
	add_capabilities(&b, d);
	buf_add_text(&b, ",\"modified_at\":");
	add_time(&b, d->m.modified);
	buf_add_byte(&b, '}');
	cJSON_Delete(o);
	respond_json(x, &b);
	buf_release(&b);
}

void api_no_push(struct exchange *x)
{
	struct fault f;

	fault_set(&f, 501, "not_supported", "push is not supported");
	respond_fault(x, &f);
}
