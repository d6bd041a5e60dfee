/* SPDX-License-Identifier: MIT */
/* model.c - open, run, close, describe
 *
 * Given a source and a device; gives a model whose pass is recorded for a
 * few row counts when it opens, so that a step only fills the step table.
 * Leaves sequences and pages to kv, arithmetic to exec. */
#include "model/config.h"
#include "model/forward.h"
#include "util/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_BUCKETS = 3, DEFAULT_ROWS = 512, DEFAULT_OUT = 64, DEFAULT_KV = 8192, DIGEST_SAMPLE = 64 };

struct model {
	struct config config;
	struct weights weights;
	struct source *source;
	struct sides *sides; /* NULL: no adapters */
	struct kv_pool *pool;
	struct record *record[N_BUCKETS]; /* by rising row count */
	struct record *ran;               /* the last one that gave outputs */
	size_t rows[N_BUCKETS];
	size_t n_buckets;
	size_t max_rows, max_out, n_groups;
	bool hidden;
	int32_t *token, *pos, *seq, *adapter, *out; /* the step table's host side, [max_rows] */
	const int32_t **pages;            /* [n_groups * max_rows] */
	size_t *n_pages;
	char digest[33];
	struct arena arena;
};

/* ---- the cache's shape: a page group for full layers, for those that slide,
 * and for those with a state */

enum kind { KIND_FULL, KIND_SLIDING, KIND_STATE, N_KINDS };

static enum kind kind_of(const struct config *c, size_t i)
{
	return config_state(c, i) ? KIND_STATE : c->sliding[i] ? KIND_SLIDING : KIND_FULL;
}

static int open_pool(struct model *m, struct exec *x, size_t tokens, struct err *e)
{
	const struct config *c = &m->config;
	size_t window[N_KINDS] = { 0 }, count[N_KINDS] = { 0 };
	unsigned group[N_KINDS];
	bool state[N_KINDS] = { false };
	struct exec_kv_layer *layer = arena_new(&m->arena, c->n_layers, sizeof *layer, e);
	/* an encoder keeps nothing but its ids */
	struct kv_shape shape = { layer, c->encoder ? 0 : config_caches(c), 0, window, state, 0 };

	if (!layer)
		return -1;
	for (size_t i = 0; i < config_caches(c); i++)
		count[kind_of(c, i)]++;
	for (size_t k = 0; k < N_KINDS; k++) {
		if (!count[k])
			continue;
		group[k] = (unsigned)shape.n_groups++;
		window[group[k]] = k == KIND_SLIDING ? c->window : 0;
		state[group[k]] = k == KIND_STATE;
	}
	for (size_t i = 0; i < config_caches(c); i++) {
		config_cache_layer(c, i, &layer[i]);
		layer[i].group = group[kind_of(c, i)];
	}
	m->n_groups = shape.n_groups;
	return kv_pool_open(&m->pool, x, &shape, tokens, e);
}

static int record_all(struct model *m, struct exec *x, struct err *e)
{
	static const size_t small[] = { 1, 8 };

	for (size_t i = 0; i < 2; i++)
		if (small[i] < m->max_rows)
			m->rows[m->n_buckets++] = small[i];
	m->rows[m->n_buckets++] = m->max_rows;
	for (size_t i = 0; i < m->n_buckets; i++) {
		size_t outs = m->rows[i] < m->max_out ? m->rows[i] : m->max_out;

		if (forward_record(&m->record[i], x, kv_pool_store(m->pool), &m->config,
		                   &m->weights, m->sides,
		                   &(struct forward_limits){ m->rows[i], outs, m->hidden }, e))
			return -1;
	}
	return sides_all_used(m->sides, e);
}

static int open_step(struct model *m, struct err *e)
{
	size_t n = m->max_rows;

	m->token = arena_new(&m->arena, n, sizeof *m->token, e);
	m->pos = m->token ? arena_new(&m->arena, n, sizeof *m->pos, e) : NULL;
	m->seq = m->pos ? arena_new(&m->arena, n, sizeof *m->seq, e) : NULL;
	m->adapter = m->seq ? arena_new(&m->arena, n, sizeof *m->adapter, e) : NULL;
	m->out = m->adapter ? arena_new(&m->arena, n, sizeof *m->out, e) : NULL;
	m->pages = m->out ? arena_new(&m->arena, n * m->n_groups, sizeof *m->pages, e) : NULL;
	m->n_pages = m->pages ? arena_new(&m->arena, n * m->n_groups, sizeof *m->n_pages, e) : NULL;
	return m->n_pages ? 0 : -1;
}

/* Hex of what tells models apart: every tensor's head and a sample of its
 * bytes. A guard against mistakes, no proof against malice. */
static int make_digest(struct model *m, const struct model_options *o, struct err *e)
{
	struct buf b = { 0 };
	int bad;

	buf_printf(&b, "%s %zu %zu %zu\n", m->config.model_type, m->config.n_layers,
	           m->config.hidden, m->config.vocab);
	for (size_t i = 0; i < source_count(m->source); i++) {
		const struct tensor *t = source_tensor(m->source, i);
		char shape[128];

		buf_printf(&b, "%s %s ", t->name,
		           shape_text(shape, sizeof shape, t->dtype, &t->shape));
		if (t->data.p)
			buf_add(&b, t->data.p,
			        t->data.n < DIGEST_SAMPLE ? t->data.n : DIGEST_SAMPLE);
	}
	for (size_t i = 0; o && i < o->n_sets; i++)
		for (size_t k = 0; k < o->sets[i].n; k++)
			buf_printf(&b, "%zu %.17g %s\n", i, o->sets[i].use[k].scale,
			           adapter_digest(o->sets[i].use[k].adapter));
	bad = buf_check(&b, e);
	if (!bad) {
		uint64_t whole = map_hash(buf_bytes(&b));
		uint64_t rest = map_hash((struct bytes){ b.p + b.n / 3, b.n - b.n / 3 });

		snprintf(m->digest, sizeof m->digest, "%016llx%016llx", (unsigned long long)whole,
		         (unsigned long long)rest);
	}
	buf_release(&b);
	return bad;
}

/* Everything after config and weights. */
static int finish(struct model *m, struct exec *x, const struct model_options *o, struct err *e)
{
	size_t tokens = m->config.max_pos < DEFAULT_KV ? m->config.max_pos : DEFAULT_KV;

	m->hidden = o && o->hidden;
	if (m->config.encoder && !m->hidden)
		return err_set(e, ERR_INPUT, "%s: an encoder makes no text: clm-embed reads it",
		               m->config.model_type);
	m->max_rows = o && o->max_rows ? o->max_rows : DEFAULT_ROWS;
	m->max_out = o && o->max_out ? o->max_out : DEFAULT_OUT;
	if (m->max_out > m->max_rows)
		m->max_out = m->max_rows;
	if (o && o->kv_tokens)
		tokens = o->kv_tokens;
	if (sides_open(&m->sides, &m->weights, &m->config, o, x, e) || open_pool(m, x, tokens, e))
		return -1;
	kv_pool_use(m->pool, m->sides ? 1 : 0);
	return open_step(m, e) || record_all(m, x, e) ? -1 : 0;
}

int model_open(struct model **out, struct source *s, struct exec *x, const struct model_options *o,
               struct err *e)
{
	struct model *m = calloc(1, sizeof *m);

	if (!m)
		return err_memory(e, sizeof *m);
	m->source = s;
	if (config_read(&m->config, s, e) || weights_open(&m->weights, &m->config, s, x, e) ||
	    finish(m, x, o, e) || make_digest(m, o, e)) {
		model_close(m);
		return -1;
	}
	*out = m;
	return 0;
}

int model_open_synthetic(struct model **out, const char *shape, unsigned bits, unsigned group,
                         enum dtype dtype, struct exec *x, const struct model_options *o,
                         struct err *e)
{
	struct model *m = calloc(1, sizeof *m);

	if (!m)
		return err_memory(e, sizeof *m);
	if (synthetic_config(&m->config, shape, dtype, e) ||
	    weights_make(&m->weights, &m->config, bits, group, x, e) || finish(m, x, o, e)) {
		model_close(m);
		return -1;
	}
	*out = m;
	return 0;
}

void model_close(struct model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_buckets; i++)
		record_close(m->record[i]);
	kv_pool_close(m->pool);
	sides_close(m->sides);
	weights_close(&m->weights);
	config_release(&m->config);
	arena_release(&m->arena);
	free(m);
}

const struct config *model_config(const struct model *m)
{
	return &m->config;
}

struct kv_pool *model_pool(struct model *m)
{
	return m->pool;
}

const char *model_digest(const struct model *m)
{
	return m->digest;
}

const char *model_left_out(const struct model *m)
{
	return m->weights.left_out;
}

size_t model_weight_bytes(const struct model *m)
{
	return m->weights.n_bytes;
}

size_t model_max_rows(const struct model *m)
{
	return m->max_rows;
}

size_t model_max_out(const struct model *m)
{
	return m->max_out;
}

void model_cost(struct model_cost *out, const struct model *m, size_t pos)
{
	const struct config *c = &m->config;
	const struct weights *w = &m->weights;
	size_t value = dtype_info(exec_kv_dtype(kv_pool_store(m->pool)))->block_bytes;

	*out = (struct model_cost){
		.weight_bytes = w->n_bytes - w->spared_bytes - (c->tied ? 0 : w->embed_bytes),
		.out_flop = 2.0 * (double)c->vocab * (double)c->hidden,
		.coded = w->coded_bytes > w->n_bytes / 2,
	};
	out->flop = w->flop - (c->tied ? 0 : out->out_flop);
	for (size_t k = 0; k < c->n_layers && !c->encoder; k++) {
		size_t i = config_cache_of(c, k);
		size_t seen = c->sliding[i] && pos + 1 > c->window ? c->window : pos + 1;
		struct exec_kv_layer l;

		config_cache_layer(c, i, &l);
		out->cache_bytes += seen * l.n_heads * (l.k_dim + (l.v_in_k ? 0 : l.v_dim)) * value;
		out->cache_bytes += 2 * exec_kv_state(&l, KV_STATES) * sizeof(float);
		out->flop += 7.0 * (double)exec_kv_state(&l, KV_STATES);
		out->flop += l.n_heads ? 2.0 * (double)(seen * c->n_heads * (l.k_dim + l.v_dim)) : 0;
	}
}

/* ---- running */

/* Adds one sequence's rows to the step. */
static int add_work(struct model *m, struct step *s, const struct model_work *w, struct err *e)
{
	size_t from = kv_computed(w->seq), slot = s->n_seqs++;
	const int32_t *ids = kv_ids(w->seq);

	if (!w->n || w->n > kv_len(w->seq) - from || w->n > m->max_rows - s->n_rows)
		return err_set(e, ERR_MISUSE, "step: %zu rows where %zu fit", w->n,
		               m->max_rows - s->n_rows);
	if (m->config.encoder && (from || w->n < kv_len(w->seq)))
		return err_set(e, ERR_MISUSE, "step: rows %zu to %zu of %zu, and an encoder takes all",
		               from, from + w->n, kv_len(w->seq));
	for (size_t i = 0; i < w->n; i++, s->n_rows++) {
		int32_t id = ids[from + i];

		if (id < 0 || (size_t)id >= m->config.vocab)
			return err_set(e, ERR_INPUT, "token id: expected 0 to %zu, found %d",
			               m->config.vocab - 1, (int)id);
		m->token[s->n_rows] = id;
		m->pos[s->n_rows] = (int32_t)(from + i);
		m->seq[s->n_rows] = (int32_t)slot;
		m->adapter[s->n_rows] = kv_adapter(w->seq);
		if (w->want == WANT_NONE || (w->want == WANT_LAST && i + 1 < w->n))
			continue;
		if (s->n_out == m->max_out)
			return err_set(e, ERR_MISUSE, "step: more than %zu outputs", m->max_out);
		m->out[s->n_out++] = (int32_t)s->n_rows;
	}
	return 0;
}

static void add_tables(struct model *m, const struct model_work *work, size_t n_work)
{
	for (size_t i = 0; i < n_work; i++)
		kv_ready(work[i].seq, work[i].n);
	for (size_t g = 0; g < m->n_groups; g++)
		for (size_t i = 0; i < n_work; i++)
			m->pages[g * n_work + i] = kv_pages(work[i].seq, (unsigned)g,
			                                    &m->n_pages[g * n_work + i]);
}

static int run(struct model *m, const struct model_work *work, size_t n_work,
               const struct ask *ask, struct err *e)
{
	struct step s = { .token = m->token,
		          .pos = m->pos,
		          .seq = m->seq,
		          .out = m->out,
		          .adapter = m->sides ? m->adapter : NULL,
		          .pages = m->pages,
		          .n_pages = m->n_pages,
		          .ask = ask };
	size_t bucket = 0;

	for (size_t i = 0; i < n_work; i++)
		if (add_work(m, &s, &work[i], e))
			return -1;
	add_tables(m, work, n_work);
	while (m->rows[bucket] < s.n_rows)
		bucket++;
	if (record_run(m->record[bucket], &s, e))
		return -1;
	for (size_t i = 0; i < n_work; i++)
		kv_done(work[i].seq, work[i].n);
	m->ran = s.n_out ? m->record[bucket] : NULL;
	return 0;
}

int model_run(struct model *m, const struct model_work *work, size_t n_work, const float **logits,
              struct err *e)
{
	if (run(m, work, n_work, NULL, e))
		return -1;
	if (logits)
		*logits = m->ran ? record_output(m->ran) : NULL;
	return 0;
}

int model_run_asked(struct model *m, const struct model_work *work, size_t n_work,
                    const struct ask *ask, const struct answer **answers, struct err *e)
{
	if (run(m, work, n_work, ask, e))
		return -1;
	*answers = m->ran ? record_answers(m->ran) : NULL;
	return 0;
}

int model_row(struct model *m, size_t i, const float **row, struct err *e)
{
	return record_row(m->ran, i, row, e);
}
