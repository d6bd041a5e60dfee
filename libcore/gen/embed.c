/* SPDX-License-Identifier: MIT */
/* embed.c - a vector per text: hidden states, pooled
 *
 * Given ids and a model that gives hidden states; gives the mean, the first or
 * the last of them. Reimers and Gurevych, 2019, arXiv:1908.10084 */
#include "gen/gen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rules: what sentence-transformers writes beside a model */

static const struct {
	const char *flag, *name;
	enum embed_pool pool;
} pools[] = {
	{ "pooling_mode_mean_tokens", "mean", POOL_MEAN },
	{ "pooling_mode_cls_token", "cls", POOL_CLS },
	{ "pooling_mode_lasttoken", "lasttoken", POOL_LAST },
};
enum { N_POOLS = sizeof pools / sizeof *pools };

static int read_pooling(struct embed_options *o, const cJSON *json, struct err *e)
{
	const char *name = NULL;
	const cJSON *v;
	size_t found = 0, known = 0;

	if (json_get_text(json, "pooling_mode", &name, e) < 0)
		return -1;
	cJSON_ArrayForEach(v, json)
		found += !strncmp(v->string, "pooling_mode_", 13) && cJSON_IsTrue(v);
	for (size_t i = 0; i < N_POOLS; i++) {
		if (name ? strcmp(name, pools[i].name) : !cJSON_IsTrue(json_get(json, pools[i].flag)))
			continue;
		o->pool = pools[i].pool;
		known++;
	}
	if (known != 1 || (!name && found != 1))
		return err_set(e, ERR_INPUT, "pooling: expected one of mean, cls and last token, found %s",
		               name ? name : found > 1 ? "several" : found ? "another" : "none");
	return 0;
}

static int parse_sibling(cJSON **out, struct source *s, const char *name, struct err *e)
{
	struct bytes text;
	int got = source_sibling(s, name, &text, e);

	*out = NULL;
	if (got <= 0)
		return got;
	*out = json_parse(text, e);
	return *out ? 1 : err_in(e, "%s", name);
}

static int pooling_file(struct embed_options *o, struct source *s, const char *folder,
                        struct err *e)
{
	char name[256];
	cJSON *json;
	int got, bad;

	if (snprintf(name, sizeof name, "%s/config.json", folder) >= (int)sizeof name)
		return err_set(e, ERR_INPUT, "path: over %zu bytes", sizeof name);
	got = parse_sibling(&json, s, name, e);
	if (got <= 0)
		return got ? -1 : err_set(e, ERR_INPUT, "%s: missing beside the weights", name);
	bad = read_pooling(o, json, e);
	cJSON_Delete(json);
	return bad ? err_in(e, "%s", name) : 0;
}

static int read_module(struct embed_options *o, struct source *s, const cJSON *m, struct err *e)
{
	const char *type = NULL, *path = NULL, *kind;

	if (json_get_text(m, "type", &type, e) < 0 || json_get_text(m, "path", &path, e) < 0)
		return -1;
	kind = type ? strrchr(type, '.') : NULL;
	if (kind && !strcmp(kind, ".Transformer"))
		return 0;
	if (kind && !strcmp(kind, ".Pooling") && path)
		return pooling_file(o, s, path, e);
	if (kind && !strcmp(kind, ".Normalize")) {
		o->normalize = true;
		return 0;
	}
	return err_set(e, ERR_INPUT, "expected Transformer, Pooling or Normalize, found \"%.80s\"",
	               type ? type : "");
}

int embed_rules(struct embed_options *o, struct source *s, const struct config *c, struct err *e)
{
	cJSON *json;
	const cJSON *m;
	int got = parse_sibling(&json, s, "modules.json", e), bad = 0;

	*o = (struct embed_options){ .pool = c->encoder ? POOL_MEAN : POOL_LAST };
	if (got <= 0)
		return got;
	cJSON_ArrayForEach(m, json)
		bad = bad || read_module(o, s, m, e);
	cJSON_Delete(json);
	return bad ? err_in(e, "modules.json") : 0;
}

/* ---- pooling */

/* What has come of one text. */
struct pool {
	const struct embed_options *o;
	size_t hidden, n;      /* rows so far */
	double *sum;           /* [hidden]: the sum, or the row that counts */
};

static void pool_rows(struct pool *p, const float *row, size_t n)
{
	for (size_t i = 0; i < n; i++, row += p->hidden, p->n++)
		for (size_t k = 0; k < p->hidden; k++) {
			if (p->o->pool == POOL_MEAN)
				p->sum[k] = p->n ? p->sum[k] + (double)row[k] : (double)row[k];
			else if (p->o->pool == POOL_LAST || !p->n)
				p->sum[k] = (double)row[k];
		}
}

static size_t dimensions(const struct pool *p)
{
	return p->o->dimensions ? p->o->dimensions : p->hidden;
}

static void pool_end(const struct pool *p, float *out)
{
	double by = p->o->pool == POOL_MEAN ? 1 / (double)p->n : 1, squares = 0;

	for (size_t k = 0; k < dimensions(p); k++)
		squares += p->sum[k] * by * p->sum[k] * by;
	if (p->o->normalize)
		by /= fmax(sqrt(squares), 1e-12);
	for (size_t k = 0; k < dimensions(p); k++)
		out[k] = (float)(p->sum[k] * by);
}

/* ---- passes */

/* A text longer than a pass, in pieces. */
static int embed_long(struct model *m, const struct embed_text *t, struct pool *p, struct err *e)
{
	struct kv_seq *s;
	int bad = 0;

	if (kv_seq_open(&s, model_pool(m), e))
		return -1;
	while (!bad && kv_len(s) < t->n) {
		size_t left = t->n - kv_len(s), n = left < model_max_rows(m) ? left : model_max_rows(m);
		struct model_work w = { s, n, WANT_ALL };
		const float *rows;

		bad = kv_append(s, t->id + kv_len(s), n, e) || model_run(m, &w, 1, &rows, e);
		if (!bad)
			pool_rows(p, rows, n);
	}
	kv_seq_close(s);
	return bad;
}

/* Whole texts in one pass. */
static int embed_few(struct model *m, const struct embed_text *t, size_t n, struct pool *p,
                     float *out, struct err *e)
{
	struct model_work *w = calloc(n, sizeof *w);
	const float *rows;
	int bad = 0;

	if (!w)
		return err_memory(e, n * sizeof *w);
	for (size_t i = 0; i < n && !bad; i++) {
		w[i] = (struct model_work){ NULL, t[i].n, WANT_ALL };
		bad = kv_seq_open(&w[i].seq, model_pool(m), e) ||
		      kv_append(w[i].seq, t[i].id, t[i].n, e);
	}
	bad = bad || model_run(m, w, n, &rows, e);
	for (size_t i = 0; i < n && !bad; i++, out += dimensions(p)) {
		p->n = 0;
		pool_rows(p, rows, t[i].n);
		pool_end(p, out);
		rows += t[i].n * p->hidden;
	}
	for (size_t i = 0; i < n; i++)
		kv_seq_close(w[i].seq);
	free(w);
	return bad ? -1 : 0;
}

static int check(const struct model *m, const struct embed_text *t, size_t n,
                 const struct embed_options *o, struct err *e)
{
	const struct config *c = model_config(m);
	size_t most = c->encoder && model_max_rows(m) < c->max_pos ? model_max_rows(m) : c->max_pos;

	if (o->dimensions > c->hidden)
		return err_set(e, ERR_INPUT, "dimensions: expected at most %zu, found %zu", c->hidden,
		               o->dimensions);
	for (size_t i = 0; i < n; i++)
		if (!t[i].n || t[i].n > most)
			return err_set(e, ERR_INPUT, "text %zu: expected 1 to %zu tokens, found %zu", i + 1,
			               most, t[i].n);
	return 0;
}

int embed_texts(struct model *m, const struct embed_text *t, size_t n,
                const struct embed_options *o, float *out, struct err *e)
{
	struct pool p = { .o = o, .hidden = model_config(m)->hidden };
	int bad;

	if (check(m, t, n, o, e))
		return -1;
	p.sum = calloc(p.hidden, sizeof *p.sum);
	bad = p.sum ? 0 : err_memory(e, p.hidden * sizeof *p.sum);
	for (size_t i = 0, some; i < n && !bad; i += some) {
		size_t rows = 0;

		for (some = 0; i + some < n && rows + t[i + some].n <= model_max_rows(m); some++)
			rows += t[i + some].n;
		if (some) {
			bad = embed_few(m, t + i, some, &p, out + i * dimensions(&p), e);
			continue;
		}
		p.n = 0;
		some = 1;
		bad = embed_long(m, &t[i], &p, e);
		pool_end(&p, out + i * dimensions(&p));
	}
	free(p.sum);
	return bad;
}
