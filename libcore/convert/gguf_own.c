/* SPDX-License-Identifier: MIT */
/* gguf_own.c - keys of a GGUF for what layers differ in, and for what only
 * some architectures have: experts, latent attention, states, two kinds
 *
 * Where a model is not as its architecture's readers assume it is refused:
 * a file of it would mean another model. */
#include "convert/gguf_out.h"

#include <stdio.h>
#include <string.h>

struct row {
	const char *key;
	size_t v;
};

static int u32(struct gguf_out *o, const char *rest, size_t v)
{
	return writer_meta_number(o->w, gguf_out_key(o, rest), META_U32, (double)v, o->e);
}

static int rows(struct gguf_out *o, const struct row *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (u32(o, row[i].key, row[i].v))
			return -1;
	return 0;
}
#define ROWS(o, r) rows(o, r, sizeof(r) / sizeof *(r))

/* A number, or one for each layer where they differ. */
static int each(struct gguf_out *o, const char *rest, enum meta_type item,
                size_t (*of)(const struct config *, size_t), const struct config *c)
{
	struct arena a = { 0 };
	int32_t *n = arena_new(&a, c->n_layers, sizeof *n, o->e);
	bool alike = true;
	int rc = -1;

	for (size_t i = 0; n && i < c->n_layers; i++) {
		n[i] = (int32_t)of(c, i);
		alike &= n[i] == n[0];
	}
	if (n)
		rc = alike ? u32(o, rest, (size_t)n[0]) :
		             writer_meta_array(o->w, gguf_out_key(o, rest), item, n, c->n_layers, o->e);
	arena_release(&a);
	return rc;
}

/* 0: a layer without a cache of positions; the delta rule of heads that are not grouped keeps the
 * count of the others. */
static size_t kv_heads(const struct config *c, size_t i)
{
	switch (c->block[i]) {
	case BLOCK_CONV:
	case BLOCK_KDA:
		return 0;
	case BLOCK_LATENT:
		return 1;
	case BLOCK_DELTA:
		return c->n_kv_heads;
	default:
		return config_kv_heads(c, i);
	}
}

/* ---- experts */

static size_t dense_layers(const struct config *c)
{
	size_t n = 0;

	while (n < c->n_layers && !c->sparse[n])
		n++;
	return n;
}

static int score(struct gguf_out *o, const struct config *c)
{
	const struct routing *r = &c->routing;
	bool sigmoid = r->score == SCORE_SIGMOID;

	if (!sigmoid) /* architectures without keys for it: weights are divided by their sum */
		return !r->normalize && r->score == SCORE_SOFTMAX ?
			err_set(o->e, ERR_INPUT, "norm_topk_prob: true in a GGUF of %s, found false",
			        o->arch) : 0;
	if (u32(o, "expert_gating_func", 2) ||
	    writer_meta_number(o->w, gguf_out_key(o, "expert_weights_scale"), META_F32,
	                       (double)r->scale, o->e) ||
	    writer_meta_number(o->w, gguf_out_key(o, "expert_weights_norm"), META_BOOL, r->normalize,
	                       o->e))
		return -1;
	return r->n_groups > 1 ? u32(o, "expert_group_count", r->n_groups) ||
	       u32(o, "expert_group_used_count", r->top_groups) : 0;
}

static int experts(struct gguf_out *o, const struct config *c)
{
	size_t first = c->n_experts ? dense_layers(c) : 0;
	bool sigmoid = c->routing.score == SCORE_SIGMOID, whole = !c->shared_ffn ||
	               c->shared_ffn % c->expert_ffn == 0;
	struct row row[] = { { "expert_count", c->n_experts }, { "expert_used_count", c->routing.k },
		             { "expert_feed_forward_length", c->expert_ffn } };

	if (!c->n_experts)
		return 0;
	for (size_t i = first; i < c->n_layers; i++)
		if (!c->sparse[i] || (first && !sigmoid))
			return err_set(o->e, ERR_INPUT, "layer %zu has no experts, and in a GGUF of %s all "
			               "%shave", c->sparse[i] ? (size_t)0 : i, o->arch,
			               sigmoid ? "after the first " : "");
	if (ROWS(o, row) || (first && u32(o, "leading_dense_block_count", first)) || score(o, c))
		return -1;
	if (sigmoid && whole)
		return c->shared_ffn ? u32(o, "expert_shared_count", c->shared_ffn / c->expert_ffn) : 0;
	return c->shared_ffn ? u32(o, "expert_shared_feed_forward_length", c->shared_ffn) : 0;
}

/* ---- what mixes positions */

static int latent(struct gguf_out *o, const struct config *c)
{
	struct row row[] = { { "attention.kv_lora_rank", c->kv_rank },
		             { "attention.key_length_mla", c->nope_dim + c->pe_dim },
		             { "attention.value_length_mla", c->value_dim } };

	if (!c->kv_rank)
		return 0;
	return ROWS(o, row) || (c->q_rank && u32(o, "attention.q_lora_rank", c->q_rank)) ? -1 : 0;
}

/* Every nth layer is of full attention. */
static int interval(struct gguf_out *o, const struct config *c)
{
	size_t every = 0;

	while (every < c->n_layers && c->block[every] == BLOCK_DELTA)
		every++;
	every++;
	for (size_t i = 0; i < c->n_layers; i++)
		if ((c->block[i] == BLOCK_DELTA) != ((i + 1) % every != 0))
			return err_set(o->e, ERR_INPUT, "layer_types: in a GGUF of %s every nth layer has full "
			               "attention, found otherwise at layer %zu", o->arch, i);
	return u32(o, "full_attention_interval", every);
}

static int states(struct gguf_out *o, const struct config *c)
{
	struct row delta[] = { { "ssm.conv_kernel", c->conv_taps }, { "ssm.state_size", c->delta_k },
		               { "ssm.group_count", c->delta_key_heads },
		               { "ssm.time_step_rank", c->delta_heads },
		               { "ssm.inner_size", c->delta_heads * c->delta_v } };
	struct row kda[] = { { "ssm.conv_kernel", c->conv_taps }, { "kda.head_dim", c->delta_k } };

	if (!c->conv_taps)
		return 0;
	if (!c->delta_heads)
		return u32(o, "shortconv.l_cache", c->conv_taps);
	if (!c->kv_rank)
		return ROWS(o, delta) || interval(o, c) ? -1 : 0;
	if (c->delta_heads != c->n_heads)
		return err_set(o->e, ERR_INPUT, "linear attention of %zu heads: in a GGUF of %s as many as "
		               "of the others, %zu", c->delta_heads, o->arch, c->n_heads);
	return ROWS(o, kda);
}

/* ---- layers of two kinds */

static int kinds(struct gguf_out *o, const struct config *c)
{
	struct row row[] = { { "attention.key_length_swa", c->head_dim },
		             { "attention.value_length_swa", c->head_dim },
		             { "rope.dimension_count_swa", c->head_dim },
		             { "attention.shared_kv_layers", c->n_shared },
		             { "embedding_length_per_layer_input", c->own_dim } };
	size_t m = config_caches(c);

	if (!c->full_head_dim)
		return 0;
	for (size_t i = m; i < c->n_layers; i++)
		if (config_cache_of(c, i) + (c->sliding[i] ? 2 : 1) != m)
			return err_set(o->e, ERR_INPUT, "num_kv_shared_layers: in a GGUF of %s the last layer "
			               "with a cache is a full one and the one before slides", o->arch);
	return ROWS(o, row);
}

/* ---- an encoder */

static int encoder(struct gguf_out *o, const struct config *c)
{
	if (!c->encoder)
		return 0;
	return writer_meta_number(o->w, gguf_out_key(o, "attention.causal"), META_BOOL, 0, o->e) ||
	       writer_meta_number(o->w, "tokenizer.ggml.token_type_count", META_U32, 2, o->e);
}

int gguf_own(struct gguf_out *o, const struct config *c)
{
	return each(o, "attention.head_count_kv", META_U32, kv_heads, c) ||
	       each(o, "feed_forward_length", META_I32, config_ffn, c) || experts(o, c) ||
	       latent(o, c) || states(o, c) || kinds(o, c) || encoder(o, c) ? -1 : 0;
}
