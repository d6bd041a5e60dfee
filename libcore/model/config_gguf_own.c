/* SPDX-License-Identifier: MIT */
/* config_gguf_own.c - what some architectures have besides, from GGUF metadata:
 * latent attention, states, experts, layers of two kinds
 *
 * Given the family and what config_gguf.c has read; each part leaves alone
 * the families that have none of it. */
#include "model/config_gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list with a number for each layer: 1; 0: one number, or none. */
static int each(const struct meta **out, struct gguf_keys *k, const char *rest, size_t n,
                struct err *e)
{
	const struct meta *m = *out = source_meta(k->s, gguf_key(k, rest));

	if (!m || m->type != META_ARRAY)
		return 0;
	if (m->item == META_STRING || m->item == META_ARRAY || m->count < n)
		return err_set(e, ERR_INPUT, "%s: expected %zu numbers", k->key, n);
	return 1;
}

static int need_each(const struct meta **out, struct gguf_keys *k, const char *rest, size_t n,
                     struct err *e)
{
	int got = each(out, k, rest, n, e);

	return got < 0 ? -1 : got ? 0 :
	       err_set(e, ERR_INPUT, "%s: expected %zu numbers", k->key, n);
}

/* 0 to a ceiling that no sum of a few of them passes. */
static int small(struct gguf_keys *k, const char *rest, size_t *out, struct err *e)
{
	int got = source_meta_size(k->s, gguf_key(k, rest), out, e);

	if (got > 0 && *out > 1 << 24)
		return err_set(e, ERR_INPUT, "%s: expected at most %d, found %zu", k->key, 1 << 24, *out);
	return got;
}

/* ---- latent attention */

/* Newer files tell the head as it is cached, and beside it as it is meant. */
int config_gguf_latent(struct config *c, const struct family *f, struct gguf_keys *k,
                       struct err *e)
{
	size_t head = c->head_dim;

	if (f->block != BLOCK_LATENT && f->others != BLOCK_LATENT)
		return 0;
	if (small(k, "attention.q_lora_rank", &c->q_rank, e) < 0 ||
	    small(k, "attention.kv_lora_rank", &c->kv_rank, e) < 0 ||
	    small(k, "rope.dimension_count", &c->pe_dim, e) < 0 ||
	    small(k, "attention.value_length", &c->value_dim, e) < 0 ||
	    small(k, "attention.value_length_mla", &c->value_dim, e) < 0 ||
	    small(k, "attention.key_length_mla", &head, e) < 0)
		return -1;
	c->nope_dim = head > c->pe_dim ? head - c->pe_dim : 0;
	c->head_dim = head;
	c->n_kv_heads = c->n_heads;
	c->latent_eps = f->latent_eps > 0 ? f->latent_eps : c->norm_eps;
	return config_check_latent(c, e);
}

/* What the file has is a tenth of mscale_all_dim, in f32. */
int config_gguf_mscale(struct config *c, struct gguf_keys *k, struct err *e)
{
	double tenth = 0;
	char text[32];

	if (!c->kv_rank || c->rope_kind != ROPE_YARN)
		return 0;
	if (source_meta_f64(k->s, gguf_key(k, "rope.scaling.yarn_log_multiplier"), &tenth, e) < 0)
		return -1;
	if (!(tenth >= 0 && tenth < 100))
		return err_set(e, ERR_INPUT, "%s: expected 0 to 100, found %g", k->key, tenth);
	snprintf(text, sizeof text, "%.7g", tenth);
	c->rope_mscale = c->rope_mscale_all = strtod(text, NULL) / 0.1;
	if (c->rope_mscale_all > 0) /* both gains cancel, but for a factor of the file's own */
		c->rope_attention_factor /= config_yarn_gain(c->rope_factor, 1);
	return 0;
}

/* ---- the delta rule */

static int delta(struct config *c, const struct family *f, struct gguf_keys *k, struct err *e)
{
	size_t inner = 0, every = f->full_every;

	if (small(k, "ssm.state_size", &c->delta_k, e) < 0 ||
	    small(k, "ssm.group_count", &c->delta_key_heads, e) < 0 ||
	    small(k, "ssm.time_step_rank", &c->delta_heads, e) < 0 ||
	    small(k, "ssm.inner_size", &inner, e) < 0 ||
	    small(k, "full_attention_interval", &every, e) < 0)
		return -1;
	c->delta_v = c->delta_heads && inner % c->delta_heads == 0 ? inner / c->delta_heads : 0;
	for (size_t i = 0; i < c->n_layers; i++)
		c->block[i] = every && (i + 1) % every == 0 ? f->others : f->block;
	return 0;
}

static int kda(struct config *c, const struct family *f, struct gguf_keys *k, struct err *e)
{
	const struct meta *m;

	c->delta_heads = c->delta_key_heads = c->n_heads;
	if (need_each(&m, k, "attention.head_count_kv", c->n_layers, e) ||
	    small(k, "kda.head_dim", &c->delta_k, e) < 0)
		return -1;
	c->delta_v = c->delta_k;
	for (size_t i = 0; i < c->n_layers; i++)
		c->block[i] = meta_number(m, i) > 0 ? f->others : f->block;
	return 0;
}

/* Short convolutions in the layers without heads of keys. */
static int convolutions(struct config *c, const struct family *f, struct gguf_keys *k,
                        struct err *e)
{
	const struct meta *m;

	if (need_each(&m, k, "attention.head_count_kv", c->n_layers, e))
		return -1;
	for (size_t i = 0; i < c->n_layers; i++)
		c->block[i] = meta_number(m, i) > 0 ? f->others : f->block;
	if (small(k, "shortconv.l_cache", &c->conv_taps, e) < 0)
		return -1;
	if (c->conv_taps < 2 || c->conv_taps > CONV_TAPS)
		return err_set(e, ERR_INPUT, "%s: expected 2 to %d, found %zu", k->key, CONV_TAPS,
		               c->conv_taps);
	return 0;
}

int config_gguf_states(struct config *c, const struct family *f, struct gguf_keys *k,
                       struct err *e)
{
	if (!f->block_name)
		return 0;
	c->block = arena_new(&c->arena, c->n_layers, sizeof *c->block, e);
	if (!c->block)
		return -1;
	if (f->block == BLOCK_CONV)
		return convolutions(c, f, k, e);
	c->conv_taps = 4;
	if (small(k, "ssm.conv_kernel", &c->conv_taps, e) < 0 ||
	    (f->block == BLOCK_DELTA ? delta : kda)(c, f, k, e))
		return -1;
	return config_check_recur(c, e);
}

/* ---- experts */

/* One way to score is known of a family. */
static int gating(const struct family *f, struct gguf_keys *k, struct err *e)
{
	size_t want = f->score == SCORE_SIGMOID ? 2 : 1, have = 1;

	if (small(k, "expert_gating_func", &have, e) < 0)
		return -1;
	if (have != want && (want == 2 || have == 2))
		return err_set(e, ERR_INPUT, "%s: expected %zu, found %zu", k->key, want, have);
	return 0;
}

int config_gguf_experts(struct config *c, const struct family *f, struct gguf_keys *k,
                        struct err *e)
{
	struct routing *r = &c->routing;
	size_t first = 0, shared = 0;
	double scale = 0;

	if (!f->experts[0] || (f->beside && !source_meta(k->s, gguf_key(k, "expert_count"))))
		return 0;
	*r = (struct routing){ .score = f->score, .normalize = f->score != SCORE_SIGMOID,
		               .gains = f->beside };
	c->expert_ffn = c->ffn;
	c->choice_bias = f->choice_bias;
	if (gguf_need(k, "expert_count", &c->n_experts, e) ||
	    gguf_need(k, "expert_used_count", &r->k, e) || gating(f, k, e) ||
	    small(k, "expert_feed_forward_length", &c->expert_ffn, e) < 0 ||
	    small(k, "expert_group_count", &r->n_groups, e) < 0 ||
	    small(k, "expert_group_used_count", &r->top_groups, e) < 0 ||
	    small(k, "leading_dense_block_count", &first, e) < 0 ||
	    small(k, "expert_shared_count", &shared, e) < 0 ||
	    source_meta_f64(k->s, gguf_key(k, "expert_weights_scale"), &scale, e) < 0 ||
	    source_meta_bool(k->s, gguf_key(k, "expert_weights_norm"), &r->normalize, e) < 0)
		return -1;
	if (!(scale >= 0 && scale < 1e6) || shared > 64)
		return err_set(e, ERR_INPUT, "experts: expected a scale of 0 to 1e6 and at most 64 shared, "
		               "found %g and %zu", scale, shared);
	r->scale = scale > 0 ? (float)scale : 1;
	c->shared_ffn = shared * c->expert_ffn;
	if (small(k, "expert_shared_feed_forward_length", &c->shared_ffn, e) < 0)
		return -1;
	c->sparse = arena_new(&c->arena, c->n_layers, sizeof *c->sparse, e);
	for (size_t i = 0; c->sparse && i < c->n_layers; i++)
		c->sparse[i] = i >= first;
	return c->sparse ? config_check_experts(c, e) : -1;
}

/* ---- layers of two kinds */

/* A number of the layers that slide, and one of the others. */
static int two(struct config *c, struct gguf_keys *k, const char *rest, size_t *sliding,
               size_t *full, struct err *e)
{
	const struct meta *m;
	int got = each(&m, k, rest, c->n_layers, e);

	if (got <= 0)
		return got;
	*sliding = *full = 0;
	for (size_t i = 0; i < c->n_layers; i++) {
		size_t *of = c->sliding[i] ? sliding : full;
		double v = meta_number(m, i);

		if (!(v >= 1 && v <= 1 << 20) || (*of && (double)*of != v))
			return err_set(e, ERR_INPUT, "%s: expected one number for layers that slide and one "
			               "for the others, found %g", k->key, v);
		*of = (size_t)v;
	}
	return 0;
}

/* Feed-forwards: those of the last layers, without a cache of their own, may be wider. */
static int widths(struct config *c, struct gguf_keys *k, struct err *e)
{
	const struct meta *m;
	int got = each(&m, k, "feed_forward_length", c->n_layers, e);

	if (got <= 0)
		return got;
	for (size_t i = 0; i < c->n_layers; i++) {
		double v = meta_number(m, i);
		size_t *of = i < config_caches(c) ? &c->ffn : &c->wide_ffn;

		if (!(v >= 1 && v <= 1 << 20) || (i && i != config_caches(c) && (double)*of != v))
			return err_set(e, ERR_INPUT, "%s: expected one number for layers with a cache and one "
			               "for the others, found %g", k->key, v);
		*of = (size_t)v;
	}
	return 0;
}

/* Of a head's pairs the first turn. */
static void turned_part(struct config *c)
{
	size_t n = 0;

	while (n < c->rope_dims / 2 && c->rope_divisor[n] < NEVER_TURNED)
		n++;
	c->rope_partial = 2 * (double)n / (double)c->rope_dims;
	c->rope_kind = ROPE_PART;
}

int config_gguf_kinds(struct config *c, const struct family *f, struct gguf_keys *k, struct err *e)
{
	const struct tensor *own = source_find(k->s, "per_layer_token_embd.weight");
	char value[64];

	if (!f->two_kinds)
		return 0;
	c->full_head_dim = c->head_dim;
	if (small(k, "attention.key_length_swa", &c->head_dim, e) < 0 ||
	    small(k, "attention.shared_kv_layers", &c->n_shared, e) < 0 ||
	    small(k, "embedding_length_per_layer_input", &c->own_dim, e) < 0)
		return -1;
	if (c->n_shared >= c->n_layers)
		return err_set(e, ERR_INPUT, "%s: expected below %zu, found %zu",
		               gguf_key(k, "attention.shared_kv_layers"), c->n_layers, c->n_shared);
	if (two(c, k, "attention.head_count_kv", &c->n_kv_heads, &c->full_kv_heads, e) ||
	    widths(c, k, e))
		return -1;
	c->own_vocab = own && own->shape.rank == 2 ? own->shape.dim[0] : c->vocab;
	c->rope_local_dims = c->head_dim;
	for (size_t i = 0; i < config_caches(c); i++) {
		snprintf(value, sizeof value, "blk.%zu.attn_v.weight", i);
		c->keys_are_values |= !c->sliding[i] && !source_find(k->s, value);
	}
	if (c->has_rope_divisor)
		turned_part(c);
	return config_check_kinds(c, e);
}
