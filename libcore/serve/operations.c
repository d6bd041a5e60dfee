/* SPDX-License-Identifier: MIT */
/* operations.c - is it well, what did it do, and the tokenizer by itself */
#include <string.h>

#include "serve/api.h"
#include "serve/call.h"
#include "serve/metrics.h"
#include "util/utf8.h"

void api_livez(struct exchange *x)
{
	respond_line(x, 200, bytes_of("{\"status\":\"ok\"}"));
}

/* Is the first model of all still on its way? */
static bool only_loading(struct serve *s)
{
	bool loading = false, open = false;

	pthread_mutex_lock(&s->models.lock);
	for (size_t i = 0; i < s->models.n; i++) {
		open |= s->models.slot[i]->live != NULL;
		loading |= s->models.slot[i]->state == SLOT_LOADING;
	}
	pthread_mutex_unlock(&s->models.lock);
	return loading && !open;
}

void api_health(struct exchange *x)
{
	if (x->serve->draining)
		respond_line(x, 503,
		            bytes_of("{\"error\":{\"code\":503,\"message\":\"Shutting down\","
		                     "\"type\":\"unavailable_error\"}}"));
	else if (only_loading(x->serve))
		respond_line(x, 503,
		            bytes_of("{\"error\":{\"code\":503,\"message\":\"Loading model\","
		                     "\"type\":\"unavailable_error\"}}"));
	else
		api_livez(x);
}

void api_metrics(struct exchange *x)
{
	struct buf b = { 0 };

	metrics_write(x->serve, &b);
	respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_bytes(&b));
	buf_release(&b);
}

/* ---- the tokenizer */

/* The model of a body that names one, or the only one. */
static const struct served *model_of(struct exchange *x, const cJSON *o, struct fault *f)
{
	const char *name = NULL;

	if (param_text(o, "model", &name, f) < 0)
		return NULL;
	return server_model(x, name, f);
}

static void add_piece(struct buf *b, const struct served *d, int32_t id)
{
	struct bytes p = tokenizer_piece(d->m.tokenizer, id);

	buf_printf(b, "{\"id\":%d,\"piece\":", (int)id);
	if (utf8_valid(p) == p.n) {
		json_add_string(b, p);
	} else {
		for (size_t i = 0; i < p.n; i++)
			buf_printf(b, "%s%u", i ? "," : "[", p.p[i]);
		buf_add_byte(b, ']');
	}
	buf_add_byte(b, '}');
}

static int tokens(struct exchange *x, const cJSON *o, struct buf *b, struct fault *f)
{
	const struct served *d = model_of(x, o, f);
	bool add = false, parse = true, pieces = false;
	const char *text = "";
	struct ids ids = { 0 };
	struct err e;
	int rc = 0;

	if (!d || param_text(o, "content", &text, f) < 0 ||
	    param_bool(o, "add_special", &add, f) < 0 ||
	    param_bool(o, "parse_special", &parse, f) < 0 ||
	    param_bool(o, "with_pieces", &pieces, f) < 0)
		return -1;
	if (tokenizer_encode(d->m.tokenizer, bytes_of(text),
	                     (add ? ENCODE_ADD_SPECIAL : 0u) | (parse ? ENCODE_PARSE_SPECIAL : 0u),
	                     &ids, &e))
		rc = fault_err(f, &e);
	buf_add_text(b, "{\"tokens\":[");
	for (size_t i = 0; rc == 0 && i < ids.n; i++) {
		buf_add_text(b, i ? "," : "");
		if (pieces)
			add_piece(b, d, ids.id[i]);
		else
			buf_printf(b, "%d", (int)ids.id[i]);
	}
	buf_add_text(b, "]}");
	ids_release(&ids);
	return rc;
}

static int text(struct exchange *x, const cJSON *o, struct buf *b, struct fault *f)
{
	const struct served *d = model_of(x, o, f);
	const cJSON *v, *array = json_get(o, "tokens");
	struct buf out = { 0 };
	struct detok t;
	struct err e;
	int rc = 0;

	if (!d)
		return -1;
	if (!cJSON_IsArray(array))
		return fault_param(f, "tokens", "invalid_type", "tokens: expected an array, found %s",
		                   array ? json_kind(array) : "nothing");
	detok_init(&t, d->m.tokenizer);
	t.keep_special = true;
	cJSON_ArrayForEach(v, array) {
		double id = cJSON_IsNumber(v) ? v->valuedouble : -1;

		if (!(id >= 0 && id < INT32_MAX) || id != (double)(int32_t)id)
			rc = fault_param(f, "tokens", "invalid_value", "tokens: expected token ids");
		else if (detok_add(&t, (int32_t)id, &out, &e))
			rc = fault_err(f, &e);
		if (rc)
			break;
	}
	if (rc == 0 && detok_end(&t, &out, &e))
		rc = fault_err(f, &e);
	buf_add_text(b, "{\"content\":");
	json_add_string(b, buf_bytes(&out));
	buf_add_byte(b, '}');
	buf_release(&out);
	return rc;
}

static void with_body(struct exchange *x,
                      int (*make)(struct exchange *, const cJSON *, struct buf *, struct fault *))
{
	cJSON *o = body_open(x);
	struct buf b = { 0 };
	struct fault f;

	if (!o)
		return;
	if (make(x, o, &b, &f))
		respond_fault(x, &f);
	else
		respond_json(x, &b);
	buf_release(&b);
	cJSON_Delete(o);
}

void api_tokenize(struct exchange *x)
{
	with_body(x, tokens);
}

void api_detokenize(struct exchange *x)
{
	with_body(x, text);
}
