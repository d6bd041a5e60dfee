/* SPDX-License-Identifier: MIT */
/* config_gguf.c - hyperparameters from GGUF metadata and llama2.c headers */
#include "model/config_gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *gguf_key(struct gguf_keys *k, const char *rest)
{
	snprintf(k->key, sizeof k->key, "%s.%s", k->arch, rest);
	return k->key;
}

static int need(struct source *s, const char *name, size_t *out, struct err *e)
{
	int got = source_meta_size(s, name, out, e);

	return got < 0 ? -1 :
	       got     ? 0 :
	                 err_set(e, ERR_INPUT, "%s: expected a number, found nothing", name);
}

int gguf_need(struct gguf_keys *k, const char *rest, size_t *out, struct err *e)
{
	return need(k->s, gguf_key(k, rest), out, e);
}

/* One number, or one for each layer: 0 where it has no attention. */
static int kv_heads(struct config *c, const struct family *f, struct source *s, const char *name,
                    struct err *e)
{
	const struct meta *m = source_meta(s, name);

	if (!m || m->type != META_ARRAY)
		return source_meta_size(s, name, &c->n_kv_heads, e) < 0 ? -1 : 0;
	c->n_kv_heads = 0;
	for (size_t i = 0; m->item != META_STRING && m->item != META_ARRAY && i < m->count; i++) {
		double v = meta_number(m, i);

		if (!(v >= 0 && v <= 4096) ||
		    (v > 0 && c->n_kv_heads && v != (double)c->n_kv_heads && !f->two_kinds))
			return err_set(e, ERR_INPUT, "%s: expected 0 or one number, found %g and %zu", name, v,
			               c->n_kv_heads);
		c->n_kv_heads = v > 0 ? (size_t)v : c->n_kv_heads;
	}
	return 0;
}

/* A list of them is read with the layers' other differences. */
static int ffn(struct config *c, const struct family *f, struct gguf_keys *k, struct err *e)
{
	const struct meta *m = source_meta(k->s, gguf_key(k, "feed_forward_length"));

	c->ffn = 1;
	return f->two_kinds && m && m->type == META_ARRAY ? 0 :
	       gguf_need(k, "feed_forward_length", &c->ffn, e);
}

static int sizes(struct config *c, const struct family *f, struct source *s, struct gguf_keys *k,
                 struct err *e)
{
	const struct tensor *table = source_find(s, "token_embd.weight");
	double eps = 1e-5;

	if (need(s, gguf_key(k, "block_count"), &c->n_layers, e) ||
	    need(s, gguf_key(k, "embedding_length"), &c->hidden, e) ||
	    ffn(c, f, k, e) ||
	    need(s, gguf_key(k, "attention.head_count"), &c->n_heads, e) ||
	    need(s, gguf_key(k, "context_length"), &c->max_pos, e))
		return -1;
	c->n_kv_heads = c->n_heads;
	c->head_dim = c->n_heads ? c->hidden / c->n_heads : 0;
	if (kv_heads(c, f, s, gguf_key(k, "attention.head_count_kv"), e) ||
	    source_meta_size(s, gguf_key(k, "attention.key_length"), &c->head_dim, e) < 0 ||
	    source_meta_f64(s, gguf_key(k, f->norm_bias ? "attention.layer_norm_epsilon" :
	                                "attention.layer_norm_rms_epsilon"), &eps, e) < 0)
		return -1;
	if (source_meta_size(s, gguf_key(k, "nextn_predict_layers"), &c->n_extra_layers, e) < 0)
		return -1;
	if (c->n_extra_layers && c->n_extra_layers < c->n_layers)
		c->n_layers -= c->n_extra_layers;
	if (!table || table->shape.rank != 2)
		return err_set(e, ERR_INPUT, "token_embd.weight: missing");
	c->vocab = table->shape.dim[0];
	c->norm_eps = (float)eps;
	c->tied = !source_find(s, "output.weight");
	return 0;
}

static int rope(struct config *c, struct source *s, struct gguf_keys *k, struct err *e)
{
	struct bytes type = { 0 };
	size_t dims = c->head_dim;
	double extra = 1; /* on top of yarn's own gain */

	c->rope_theta = 10000;
	c->rope_factor = 1;
	if (source_meta_f64(s, gguf_key(k, "rope.freq_base"), &c->rope_theta, e) < 0 ||
	    source_meta_size(s, gguf_key(k, "rope.dimension_count"), &dims, e) < 0 ||
	    source_meta_f64(s, gguf_key(k, "rope.scale_linear"), &c->rope_factor, e) < 0 ||
	    source_meta_f64(s, gguf_key(k, "rope.scaling.factor"), &c->rope_factor, e) < 0 ||
	    source_meta_f64(s, gguf_key(k, "rope.scaling.attn_factor"), &extra, e) < 0 ||
	    source_meta_f64(s, gguf_key(k, "rope.scaling.yarn_beta_fast"), &c->rope_beta_fast, e) < 0 ||
	    source_meta_f64(s, gguf_key(k, "rope.scaling.yarn_beta_slow"), &c->rope_beta_slow, e) < 0 ||
	    source_meta_text(s, gguf_key(k, "rope.scaling.type"), &type, e) < 0)
		return -1;
	c->rope_original = c->max_pos;
	if (source_meta_size(s, gguf_key(k, "rope.scaling.original_context_length"), &c->rope_original,
	                     e) < 0)
		return -1;
	if (!dims || dims > c->head_dim)
		return err_set(e, ERR_INPUT, "%s: expected 1 to %zu, found %zu",
		               gguf_key(k, "rope.dimension_count"), c->head_dim, dims);
	c->rope_dims = dims;
	if (bytes_is(type, "yarn")) {
		c->rope_kind = ROPE_YARN;
		c->rope_attention_factor = extra * config_yarn_gain(c->rope_factor, 1);
	} else if (bytes_is(type, "longrope")) {
		c->rope_kind = ROPE_LONG;
		c->rope_attention_factor = extra;
	} else if (!type.n || bytes_is(type, "linear"))
		c->rope_kind = c->rope_factor == 1 ? ROPE_PLAIN : ROPE_LINEAR;
	else if (!bytes_is(type, "none"))
		return err_set(e, ERR_INPUT, "%s: expected none, linear, yarn or longrope, found \"%.*s\"",
		               gguf_key(k, "rope.scaling.type"), (int)(type.n > 40 ? 40 : type.n),
		               (const char *)type.p);
	return 0;
}

/* What the inverse frequencies are divided by; false: not there. */
static int divisors(float out[256], bool *there, struct config *c, struct source *s,
                    const char *name, struct err *e)
{
	const struct tensor *t = source_find(s, name);
	struct bytes data;
	size_t n = c->rope_dims / 2;

	*there = t;
	if (!t)
		return 0;
	if (t->dtype != DT_F32 || t->shape.rank != 1 || t->shape.dim[0] != n || n > 256)
		return err_set(e, ERR_INPUT, "%s: expected [%zu] f32", name, n);
	if (source_data(s, t, &data, &c->arena, e))
		return err_in(e, "%s", name);
	memcpy(out, data.p, n * sizeof(float));
	for (size_t i = 0; i < n; i++)
		if (!(out[i] > 0))
			return err_set(e, ERR_INPUT, "%s: expected more than 0, found %g at %zu", name,
			               (double)out[i], i);
	return 0;
}

/* longrope's two sets, or the one of rope_freqs.weight. */
static int factors(struct config *c, struct source *s, struct err *e)
{
	bool far, near;

	if (divisors(c->rope_far_divisor, &far, c, s, "rope_factors_long.weight", e) ||
	    divisors(c->rope_divisor, &near, c, s,
	             far ? "rope_factors_short.weight" : "rope_freqs.weight", e))
		return -1;
	c->has_rope_divisor = near;
	if (far && near)
		c->rope_kind = ROPE_LONG;
	else if (far || c->rope_kind == ROPE_LONG)
		return err_set(e, ERR_INPUT, "longrope: expected rope_factors_long.weight and "
		               "rope_factors_short.weight");
	return 0;
}

static int window(struct config *c, const struct family *f, struct source *s, struct gguf_keys *k,
                  struct err *e)
{
	const struct meta *pattern;

	c->window = f->window;
	if (source_meta_size(s, gguf_key(k, "attention.sliding_window"), &c->window, e) < 0)
		return -1;
	pattern = source_meta(s, gguf_key(k, "attention.sliding_window_pattern"));
	for (size_t i = 0; c->window && i < c->n_layers; i++) {
		if (!pattern)
			c->sliding[i] = !f->window_pattern || (i + 1) % f->window_pattern;
		else if (pattern->type == META_ARRAY && i < pattern->count)
			c->sliding[i] = meta_number(pattern, i) != 0;
		else if (pattern->type != META_ARRAY && meta_number(pattern, 0) >= 1)
			c->sliding[i] = i % (size_t)meta_number(pattern, 0) <
			                (size_t)meta_number(pattern, 0) - 1;
	}
	return 0;
}

/* What an architecture's name says without a key. */
static int implied(struct config *c, const struct family *f, struct source *s, struct gguf_keys *k,
                   struct err *e)
{
	double attn = 0, final = 0;
	bool by_width = (!strcmp(f->name, "gemma2") && c->n_layers == 46) ||
	                (!strcmp(f->name, "gemma3_text") && c->n_layers == 62);

	if (source_meta_f64(s, gguf_key(k, "attn_logit_softcapping"), &attn, e) < 0 ||
	    source_meta_f64(s, gguf_key(k, "final_logit_softcapping"), &final, e) < 0 ||
	    (f->qk_norm && f->window_pattern && (c->rope_local_theta = 10000) != 0 &&
	     source_meta_f64(s, gguf_key(k, "rope.freq_base_swa"), &c->rope_local_theta, e) < 0))
		return -1;
	if (!(attn >= 0 && attn < 1e6 && final >= 0 && final < 1e6))
		return err_set(e, ERR_INPUT, "softcapping: expected 0 to 1e6, found %g and %g", attn,
		               final);
	c->attn_softcap = (float)attn;
	c->final_softcap = (float)final;
	c->act = f->act;
	if (f->embed_by_width)
		c->embed_scale = (float)sqrt((double)c->hidden);
	if (by_width && c->n_heads) /* the largest of each */
		c->attn_scale = (float)(1 / sqrt((double)c->hidden / (double)c->n_heads));
	if (!f->unrotated_every)
		return 0;
	c->unrotated = arena_new(&c->arena, c->n_layers, sizeof *c->unrotated, e);
	for (size_t i = 0; c->unrotated && i < c->n_layers; i++)
		c->unrotated[i] = (i + 1) % f->unrotated_every == 0;
	return c->unrotated ? 0 : -1;
}

static int ends(struct config *c, struct source *s, struct err *e)
{
	static const char *const names[] = { "tokenizer.ggml.eos_token_id",
		                             "tokenizer.ggml.eot_token_id",
		                             "tokenizer.ggml.eom_token_id" };
	size_t bos, id;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int got = source_meta_size(s, names[i], &id, e);

		if (got < 0)
			return -1;
		if (got && id < c->vocab && (c->n_eos == 0 || (size_t)c->eos[0] != id))
			c->eos[c->n_eos++] = (int32_t)id;
	}
	if (source_meta_size(s, "tokenizer.ggml.bos_token_id", &bos, e) > 0 && bos < c->vocab)
		c->bos = (int32_t)bos;
	return 0;
}

/* An architecture may be that of a family with experts and of one without. */
static const struct family *with_experts(const struct family *f)
{
	for (size_t i = 0; i < family_count(); i++) {
		const struct family *o = family_at(i);

		if (o->gguf && o->experts[0] && !strcmp(o->gguf, f->gguf))
			return o;
	}
	return f;
}

int config_from_gguf(struct config *c, struct source *s, struct err *e)
{
	struct gguf_keys k = { .s = s };
	const struct family *f;
	const struct tensor *q = source_find(s, "blk.0.attn_q.weight");
	struct bytes arch = { 0 };
	int got = source_meta_text(s, "general.architecture", &arch, e);

	if (got < 0)
		return -1;
	snprintf(k.arch, sizeof k.arch, "%.*s", (int)(arch.n < 63 ? arch.n : 63),
	         got ? (const char *)arch.p : "");
	f = family_of_gguf(k.arch);
	if (!f)
		return family_unknown("general.architecture", k.arch, e);
	if (source_meta(s, gguf_key(&k, "expert_count")))
		f = with_experts(f);
	snprintf(c->model_type, sizeof c->model_type, "%s", f->name);
	if (sizes(c, f, s, &k, e) || config_gguf_latent(c, f, &k, e))
		return -1;
	if (!c->n_layers || c->n_layers > 4096)
		return err_set(e, ERR_INPUT, "%s: expected 1 to 4096, found %zu",
		               gguf_key(&k, "block_count"), c->n_layers);
	c->sliding = arena_new(&c->arena, c->n_layers, sizeof *c->sliding, e);
	if (!c->sliding || rope(c, s, &k, e) || factors(c, s, e) ||
	    config_gguf_mscale(c, &k, e) || window(c, f, s, &k, e) ||
	    implied(c, f, s, &k, e) || config_gguf_experts(c, f, &k, e) ||
	    config_gguf_states(c, f, &k, e) || config_gguf_kinds(c, f, &k, e) || ends(c, s, e))
		return -1;
	c->qk_norm = f->qk_norm;
	c->rope_interleaved = f->gguf_interleaved || f->interleaved;
	c->rope_truncate = !f->yarn_exact;
	c->qkv_bias = f->biased || source_find(s, "blk.0.attn_q.bias") != NULL;
	c->o_bias = f->biased || source_find(s, "blk.0.attn_output.bias") != NULL;
	c->mlp_bias = f->biased || source_find(s, "blk.0.ffn_gate.bias") != NULL;
	q = q ? q : source_find(s, "blk.0.attn_kv_a_mqa.weight");
	q = q ? q : source_find(s, "blk.0.attn_qkv.weight");
	c->dtype = q && dtype_info(q->dtype)->is_float ? q->dtype : DT_F16;
	return 0;
}

int config_from_llama2c(struct config *c, struct source *s, struct err *e)
{
	snprintf(c->model_type, sizeof c->model_type, "llama");
	if (need(s, "llama2c.dim", &c->hidden, e) || need(s, "llama2c.hidden_dim", &c->ffn, e) ||
	    need(s, "llama2c.n_layers", &c->n_layers, e) ||
	    need(s, "llama2c.n_heads", &c->n_heads, e) ||
	    need(s, "llama2c.n_kv_heads", &c->n_kv_heads, e) ||
	    need(s, "llama2c.vocab_size", &c->vocab, e) ||
	    need(s, "llama2c.max_seq_len", &c->max_pos, e))
		return -1;
	if (!c->n_heads || !c->n_layers || c->n_layers > 4096)
		return err_set(e, ERR_INPUT, "header: %zu heads, %zu layers", c->n_heads,
		               c->n_layers);
	c->head_dim = c->hidden / c->n_heads;
	c->norm_eps = 1e-5f;
	c->rope_theta = 10000;
	c->rope_original = c->max_pos;
	c->rope_interleaved = true;
	c->tied = !source_find(s, "output.weight");
	c->bos = 1;
	c->eos[c->n_eos++] = 1; /* llama2.c ends a text with BOS */
	c->eos[c->n_eos++] = 2;
	c->sliding = arena_new(&c->arena, c->n_layers, sizeof *c->sliding, e);
	return c->sliding ? 0 : -1;
}
