/* SPDX-License-Identifier: MIT */
/* catalogue.c - which models there are, in OpenAI's and Ollama's words */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/admin.h"
#include "serve/api.h"
#include "serve/call.h"

static size_t context_of(const struct slot *t)
{
	return t->live ? t->live->context : t->facts.context;
}

/* With an adapter it is a model of its own, whose parent it tells. */
static void add_model(struct buf *b, const struct slot *t, const char *adapter)
{
	const struct serve_facts *k = &t->facts;
	char name[512];

	snprintf(name, sizeof name, "%s%s%s", t->name, adapter ? ":" : "", adapter ? adapter : "");
	buf_add_text(b, "{\"id\":");
	json_add_string(b, bytes_of(name));
	if (adapter) {
		buf_add_text(b, ",\"parent\":");
		json_add_string(b, bytes_of(t->name));
	}
	buf_printf(b,
	           ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"clm\",\"meta\":"
	           "{\"n_ctx_train\":%zu,\"n_ctx\":%zu,\"n_vocab\":%zu,\"n_embd\":%zu,"
	           "\"n_params\":%zu,\"size\":%zu}}",
	           (long long)k->modified, k->context, context_of(t), k->vocab, k->hidden,
	           k->parameters, k->n_bytes);
}

void api_models(struct exchange *x)
{
	struct models *m = &x->serve->models;
	struct buf b = { 0 };
	bool any = false;

	buf_add_text(&b, "{\"object\":\"list\",\"data\":[");
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->n; i++) {
		if (m->slot[i]->gone)
			continue;
		buf_add_text(&b, any ? "," : "");
		add_model(&b, m->slot[i], NULL);
		any = true;
		for (size_t k = 0; k < x->serve->o.n_adapters; k++)
			if (!strcmp(x->serve->o.adapter[k].model, m->slot[i]->name)) {
				buf_add_byte(&b, ',');
				add_model(&b, m->slot[i], x->serve->o.adapter[k].name);
			}
	}
	pthread_mutex_unlock(&m->lock);
	buf_add_text(&b, "]}");
	respond_json(x, &b);
	buf_release(&b);
}

void api_model(struct exchange *x)
{
	const struct slot *t;
	struct buf b = { 0 };
	struct fault f;

	pthread_mutex_lock(&x->serve->models.lock);
	t = models_slot(x->serve, x->name, &f);
	if (t)
		add_model(&b, t, NULL);
	pthread_mutex_unlock(&x->serve->models.lock);
	if (t)
		respond_json(x, &b);
	else
		respond_fault(x, &f);
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

static void add_details(struct buf *b, const struct slot *t)
{
	const struct serve_facts *k = &t->facts;

	buf_add_text(b, "{\"parent_model\":\"\",\"format\":");
	json_add_string(b, bytes_of(k->format));
	buf_printf(b, ",\"family\":\"%s\",\"families\":[\"%s\"],\"parameter_size\":", k->family,
	           k->family);
	add_count(b, k->parameters);
	buf_printf(b, ",\"quantization_level\":\"%s\"}", k->quant);
}

static void add_capabilities(struct buf *b, const struct slot *t)
{
	if (t->facts.encoder) {
		buf_add_text(b, ",\"capabilities\":[\"embedding\"]");
		return;
	}
	buf_printf(b, ",\"capabilities\":[\"completion\"%s%s]", t->facts.tools ? ",\"tools\"" : "",
	           t->facts.thinks ? ",\"thinking\"" : "");
}

/* On the wall clock; a model in use has its whole time before it. */
static int64_t expires(const struct slot *t)
{
	double now = http_seconds();
	double left = t->live->uses ? t->keep_default : t->expires_at - now;

	if (t->live->uses ? t->keep_default < 0 : t->expires_at == 0)
		return 10981785600; /* in 2318: for ever */
	return (int64_t)time(NULL) + (int64_t)(left > 0 ? left : 0);
}

static void add_item(struct buf *b, const struct slot *t, bool running)
{
	buf_add_text(b, "{\"name\":");
	json_add_string(b, bytes_of(t->tag));
	buf_add_text(b, ",\"model\":");
	json_add_string(b, bytes_of(t->tag));
	if (!running) {
		buf_add_text(b, ",\"modified_at\":");
		add_time(b, t->facts.modified);
	}
	buf_printf(b, ",\"size\":%zu,\"digest\":\"%s\",\"details\":", t->facts.n_bytes,
	           t->facts.digest);
	add_details(b, t);
	if (running) {
		buf_add_text(b, ",\"expires_at\":");
		add_time(b, expires(t));
		buf_printf(b, ",\"size_vram\":%zu,\"context_length\":%zu",
		           model_weight_bytes(t->live->m.model), context_of(t));
	} else {
		add_capabilities(b, t);
	}
	buf_add_byte(b, '}');
}

static int newer(const void *a, const void *b)
{
	const struct slot *const *x = a, *const *y = b;

	return (*x)->facts.modified < (*y)->facts.modified ? 1 :
	       (*x)->facts.modified > (*y)->facts.modified ? -1 :
	                                                     0;
}

static void list(struct exchange *x, bool running)
{
	struct models *m = &x->serve->models;
	const struct slot **t;
	struct buf b = { 0 };
	size_t n = 0;

	buf_add_text(&b, "{\"models\":[");
	pthread_mutex_lock(&m->lock);
	t = calloc(m->n + 1, sizeof *t);
	for (size_t i = 0; t && i < m->n; i++)
		if (!m->slot[i]->gone && (!running || m->slot[i]->live))
			t[n++] = m->slot[i];
	if (t)
		qsort(t, n, sizeof *t, newer);
	for (size_t i = 0; i < n; i++) {
		buf_add_text(&b, i ? "," : "");
		add_item(&b, t[i], running);
	}
	pthread_mutex_unlock(&m->lock);
	buf_add_text(&b, "]}");
	b.failed |= !t;
	free(t);
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

static void add_info(struct buf *b, const struct slot *t)
{
	const struct serve_facts *k = &t->facts;
	const char *f = k->family;

	buf_printf(b,
	           "{\"general.architecture\":\"%s\",\"general.parameter_count\":%zu,"
	           "\"%s.context_length\":%zu,\"%s.embedding_length\":%zu,\"%s.block_count\":%zu,"
	           "\"%s.attention.head_count\":%zu,\"%s.attention.head_count_kv\":%zu,"
	           "\"%s.vocab_size\":%zu,\"tokenizer.ggml.tokens\":null}",
	           f, k->parameters, f, k->context, f, k->hidden, f, k->n_layers, f, k->n_heads, f,
	           k->n_kv_heads, f, k->vocab);
}

static void add_shown(struct buf *b, const struct served *d)
{
	const struct slot *t = d->slot;

	buf_add_byte(b, '{');
	settings_show(b, t->settings, t->name);
	buf_add_text(b, ",\"template\":");
	json_add_string(b, d->m.chat ? template_text(chat_template_of(d->m.chat, false)) :
	                               (struct bytes){ 0 });
	buf_add_text(b, ",\"details\":");
	add_details(b, t);
	buf_add_text(b, ",\"model_info\":");
	add_info(b, t);
	add_capabilities(b, t);
	buf_add_text(b, ",\"modified_at\":");
	add_time(b, t->facts.modified);
	buf_add_byte(b, '}');
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
		d = server_model(x, name, &f);
	cJSON_Delete(o);
	if (!d) {
		respond_fault(x, &f);
		return;
	}
	pthread_mutex_lock(&x->serve->models.lock);
	add_shown(&b, d);
	pthread_mutex_unlock(&x->serve->models.lock);
	respond_json(x, &b);
	buf_release(&b);
}

void api_no_push(struct exchange *x)
{
	struct fault f;

	fault_set(&f, 501, "not_supported", "push is not supported");
	respond_fault(x, &f);
}
