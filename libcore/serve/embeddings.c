/* SPDX-License-Identifier: MIT */
/* embeddings.c - texts to vectors: /v1/embeddings, /api/embed and
 * /api/embeddings */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
#include "serve/keep.h"
#include "serve/metrics.h"
#include "serve/openai.h"

enum { TEXTS_MAX = 2048, SLICE = 256 };

struct embedding {
	struct exchange *x;
	cJSON *body;
	const struct served *model;
	char *name;
	struct ids *ids;           /* [n] */
	struct embed_text *text;   /* [n] */
	size_t n, dimensions, n_tokens;
	float *out;                /* [n][dimensions] */
	size_t from, to;           /* texts of the slice that is computed */
	bool truncate;
	struct err err;
	int rc;
	double came;
};

static void release(struct embedding *m)
{
	for (size_t i = 0; m->ids && i < m->n; i++)
		ids_release(&m->ids[i]);
	free(m->ids);
	free(m->text);
	free(m->out);
	free(m->name);
	cJSON_Delete(m->body);
}

/* ---- in */

static int open_body(struct embedding *m, struct exchange *x, struct fault *f)
{
	const char *name = NULL;

	m->x = x;
	m->came = http_seconds();
	m->truncate = x->dialect == DIALECT_OLLAMA;
	if (param_text(m->body, "model", &name, f) < 0)
		return -1;
	if (!name && !x->serve->o.any_model)
		return fault_param(f, "model", "missing_required_parameter", "model is required");
	if (x->dialect == DIALECT_OLLAMA && keep_alive(x, m->body, f))
		return -1;
	m->model = server_model(x, name, f);
	if (!m->model)
		return -1;
	x->model = m->model->m.name;
	if (!model_config(m->model->m.model)->encoder)
		return fault_param(f, "model", "invalid_value", "\"%.200s\" does not support embeddings",
		                   m->model->m.name);
	m->name = strdup(name ? name : m->model->m.name);
	return m->name ? 0 : fault_memory(f);
}

static int make_room(struct embedding *m, size_t n, struct fault *f)
{
	if (n > TEXTS_MAX)
		return fault_param(f, "input", "invalid_value", "input: at most %d texts", TEXTS_MAX);
	m->ids = calloc(n ? n : 1, sizeof *m->ids);
	m->text = calloc(n ? n : 1, sizeof *m->text);
	return m->ids && m->text ? 0 : fault_memory(f);
}

/* Too long a text is cut only where that was asked for; the end token, if the
 * tokenizer adds one, stays. */
static int fit(struct embedding *m, struct ids *v, struct fault *f)
{
	size_t most = m->model->context;

	if (!v->n)
		return fault_param(f, "input", "invalid_value", "input: an empty text");
	if (v->n > most && !m->truncate) {
		fault_param(f, "input", "context_length_exceeded",
		            "the input length exceeds the context length");
		f->n_prompt = v->n;
		f->n_ctx = most;
		return -1;
	}
	if (v->n > most) {
		v->id[most - 1] = v->id[v->n - 1];
		v->n = most;
	}
	m->n_tokens += v->n;
	return 0;
}

static int add_text(struct embedding *m, const char *text, struct fault *f)
{
	struct ids *v = &m->ids[m->n++];
	struct err e;

	if (!*text)
		return fault_param(f, "input", "invalid_value", "input: an empty text");
	if (tokenizer_encode(m->model->m.tokenizer, bytes_of(text), ENCODE_ADD_SPECIAL, v, &e))
		return fault_err(f, &e);
	return fit(m, v, f);
}

static int add_ids(struct embedding *m, const cJSON *array, struct fault *f)
{
	struct ids *v = &m->ids[m->n++];

	if (openai_ids(v, array, model_config(m->model->m.model)->vocab, "input", f))
		return -1;
	return fit(m, v, f);
}

/* A text, texts, ids, or arrays of ids. */
static int set_input(struct embedding *m, const cJSON *in, struct fault *f)
{
	bool ollama = m->x->dialect == DIALECT_OLLAMA, ids;
	const cJSON *v;

	if (cJSON_IsString(in))
		return make_room(m, 1, f) || add_text(m, in->valuestring, f) ? -1 : 0;
	if (!cJSON_IsArray(in))
		return fault_param(f, "input", in ? "invalid_type" : "missing_required_parameter",
		                   "invalid input type");
	if (!in->child && !ollama)
		return fault_param(f, "input", "invalid_value", "input: an empty array");
	ids = cJSON_IsNumber(in->child);
	if (make_room(m, ids ? 1 : (size_t)cJSON_GetArraySize(in), f))
		return -1;
	if (ids)
		return ollama ? fault_param(f, "input", "invalid_type", "invalid input type") :
		                add_ids(m, in, f);
	cJSON_ArrayForEach(v, in) {
		if (cJSON_IsString(v) ? add_text(m, v->valuestring, f) :
		    ollama            ? fault_param(f, "input", "invalid_type", "invalid input type") :
		                        add_ids(m, v, f))
			return -1;
	}
	return 0;
}

/* ---- the vectors, on the engine's thread */

static void work(void *arg)
{
	struct embedding *m = arg;
	struct embed_options o = m->model->m.embed;

	o.normalize = true;
	o.dimensions = m->dimensions;
	m->rc = embed_texts(m->model->m.model, m->text + m->from, m->to - m->from, &o,
	                    m->out + m->from * m->dimensions, &m->err);
}

/* A slice at a time, so that streams go on beside many texts. */
static int compute_all(struct embedding *m, struct fault *f)
{
	while (m->to < m->n) {
		size_t tokens = 0;

		for (m->from = m->to; m->to < m->n && tokens < SLICE; m->to++)
			tokens += m->text[m->to].n;
		if (engine_run(m->model->engine, work, m, f))
			return -1;
		if (m->rc)
			return fault_err(f, &m->err);
	}
	return 0;
}

static int compute(struct embedding *m, struct fault *f)
{
	size_t hidden = model_config(m->model->m.model)->hidden;
	int64_t want = (int64_t)hidden;

	if (param_int(m->body, "dimensions", 1, (int64_t)hidden, &want, f) < 0)
		return -1;
	m->dimensions = (size_t)want;
	m->out = malloc((m->n * m->dimensions + 1) * sizeof *m->out);
	if (!m->out)
		return fault_memory(f);
	for (size_t i = 0; i < m->n; i++)
		m->text[i] = (struct embed_text){ m->ids[i].id, m->ids[i].n };
	m->x->n_prompt = m->n_tokens;
	metrics_prompt(m->x->serve, m->n_tokens);
	return compute_all(m, f);
}

/* ---- out */

static void add_numbers(struct buf *b, const float *v, size_t n)
{
	buf_add_byte(b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_add_text(b, i ? "," : "");
		json_add_f64(b, (double)v[i]);
	}
	buf_add_byte(b, ']');
}

/* Little-endian 32-bit floats, as every client reads them. */
static void add_base64(struct buf *b, const float *v, size_t n)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)v;

	n *= sizeof *v;
	buf_add_byte(b, '"');
	for (size_t i = 0; i < n; i += 3) {
		unsigned w = (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) |
		             (i + 2 < n ? p[i + 2] : 0);

		buf_add_byte(b, (unsigned char)digit[w >> 18]);
		buf_add_byte(b, (unsigned char)digit[w >> 12 & 63]);
		buf_add_byte(b, (unsigned char)(i + 1 < n ? digit[w >> 6 & 63] : '='));
		buf_add_byte(b, (unsigned char)(i + 2 < n ? digit[w & 63] : '='));
	}
	buf_add_byte(b, '"');
}

static void openai_answer(struct embedding *m, bool base64)
{
	struct buf b = { 0 };

	buf_add_text(&b, "{\"object\":\"list\",\"model\":");
	json_add_string(&b, bytes_of(m->name));
	buf_add_text(&b, ",\"data\":[");
	for (size_t i = 0; i < m->n; i++) {
		buf_printf(&b, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
		(base64 ? add_base64 : add_numbers)(&b, m->out + i * m->dimensions, m->dimensions);
		buf_add_byte(&b, '}');
	}
	buf_printf(&b, "],\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", m->n_tokens,
	           m->n_tokens);
	respond_json(m->x, &b);
	buf_release(&b);
}

void api_embeddings(struct exchange *x)
{
	struct embedding m = { .body = body_open(x) };
	const char *format = "float";
	struct fault f;
	int rc;

	if (!m.body)
		return;
	rc = open_body(&m, x, &f) || set_input(&m, json_get(m.body, "input"), &f) ||
	     param_text(m.body, "encoding_format", &format, &f) < 0;
	if (!rc && strcmp(format, "float") && strcmp(format, "base64"))
		rc = fault_param(&f, "encoding_format", "invalid_value",
		                 "encoding_format: expected float or base64");
	if (rc || compute(&m, &f))
		respond_fault(x, &f);
	else
		openai_answer(&m, !strcmp(format, "base64"));
	release(&m);
}

void api_embed(struct exchange *x)
{
	struct embedding m = { .body = body_open(x) };
	struct buf b = { 0 };
	struct fault f;

	if (!m.body)
		return;
	if (open_body(&m, x, &f) || param_bool(m.body, "truncate", &m.truncate, &f) < 0 ||
	    set_input(&m, json_get(m.body, "input"), &f) || compute(&m, &f)) {
		respond_fault(x, &f);
	} else {
		buf_add_text(&b, "{\"model\":");
		json_add_string(&b, bytes_of(m.name));
		buf_add_text(&b, ",\"embeddings\":[");
		for (size_t i = 0; i < m.n; i++) {
			buf_add_text(&b, i ? "," : "");
			add_numbers(&b, m.out + i * m.dimensions, m.dimensions);
		}
		buf_printf(&b, "],\"total_duration\":%.0f,\"load_duration\":0,\"prompt_eval_count\":%zu}",
		           (http_seconds() - m.came) * 1e9, m.n_tokens);
		respond_json(x, &b);
	}
	buf_release(&b);
	release(&m);
}

/* The older form: one prompt, one vector. */
void api_old_embeddings(struct exchange *x)
{
	struct embedding m = { .body = body_open(x) };
	const char *prompt = "";
	struct buf b = { 0 };
	struct fault f;

	if (!m.body)
		return;
	if (open_body(&m, x, &f) || param_text(m.body, "prompt", &prompt, &f) < 0 ||
	    make_room(&m, 1, &f) || (*prompt && add_text(&m, prompt, &f)) || compute(&m, &f)) {
		respond_fault(x, &f);
	} else {
		buf_add_text(&b, "{\"embedding\":");
		add_numbers(&b, m.out, m.n * m.dimensions);
		buf_add_byte(&b, '}');
		respond_json(x, &b);
	}
	buf_release(&b);
	release(&m);
}
