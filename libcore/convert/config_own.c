/* SPDX-License-Identifier: MIT */
/* config_own.c - keys of a config.json for what only some families have:
 * experts, latent attention, states, layers of two kinds, an encoder
 *
 * Where families spell a number differently it is written in both ways. */
#include "convert/config_out.h"

#include <string.h>

static bool numbers(cJSON *o, const char *const *key, double v)
{
	for (; *key; key++)
		if (!config_put_number(o, *key, v))
			return false;
	return true;
}

static bool put_count(cJSON *o, const char *key, size_t n)
{
	return config_put_number(o, key, (double)n);
}

/* ---- experts */

static const char *const shared_names[] = { "n_shared_experts", "num_shared_experts", NULL };
static const char *const group_names[] = { "n_group", "num_expert_group", NULL };

/* Scores of their own, a first layer without experts, shared ones. */
static bool put_scored(cJSON *o, const struct config *c)
{
	const struct routing *r = &c->routing;
	size_t first = 0;

	while (first < c->n_layers && !c->sparse[first])
		first++;
	return put_count(o, "n_routed_experts", c->n_experts) &&
	       put_count(o, "num_experts_per_token", r->k) &&
	       numbers(o, shared_names, (double)(c->shared_ffn / c->expert_ffn)) &&
	       numbers(o, group_names, r->n_groups ? (double)r->n_groups : 1) &&
	       put_count(o, "topk_group", r->top_groups ? r->top_groups : 1) &&
	       put_count(o, "first_k_dense_replace", first) && put_count(o, "moe_layer_freq", 1) &&
	       config_put_number(o, "routed_scaling_factor", config_decimal(r->scale)) &&
	       config_put_bool(o, "moe_renormalize", r->normalize) &&
	       config_put_text(o, "scoring_func", "sigmoid") &&
	       config_put_text(o, "moe_router_activation_func", "sigmoid") &&
	       config_put_text(o, "topk_method", "noaux_tc");
}

static bool put_experts(cJSON *o, const struct config *c)
{
	if (!c->n_experts)
		return true;
	return put_count(o, "num_experts", c->n_experts) &&
	       put_count(o, "num_local_experts", c->n_experts) &&
	       put_count(o, "num_experts_per_tok", c->routing.k) &&
	       put_count(o, "moe_intermediate_size", c->expert_ffn) &&
	       config_put_bool(o, "norm_topk_prob", c->routing.normalize) &&
	       (c->routing.score != SCORE_SIGMOID ? !c->shared_ffn ||
	        put_count(o, "shared_expert_intermediate_size", c->shared_ffn) : put_scored(o, c));
}

/* ---- what mixes positions */

static bool put_latent(cJSON *o, const struct config *c)
{
	return !c->kv_rank ||
	       (config_put(o, "q_lora_rank", c->q_rank ? cJSON_CreateNumber((double)c->q_rank) :
	                                                 cJSON_CreateNull()) &&
	        put_count(o, "kv_lora_rank", c->kv_rank) &&
	        put_count(o, "qk_nope_head_dim", c->nope_dim) &&
	        put_count(o, "qk_rope_head_dim", c->pe_dim) &&
	        put_count(o, "v_head_dim", c->value_dim));
}

static bool put_types(cJSON *o, const struct config *c, const char *name, enum block block)
{
	cJSON *types = cJSON_CreateArray();

	for (size_t i = 0; types && i < c->n_layers; i++)
		cJSON_AddItemToArray(types, cJSON_CreateString(c->block[i] == block ? name :
		                                               "full_attention"));
	return config_put(o, "layer_types", types);
}

/* A width that is not to be adjusted. */
static bool put_convolutions(cJSON *o, const struct config *c)
{
	return put_types(o, c, "conv", BLOCK_CONV) && put_count(o, "conv_L_cache", c->conv_taps) &&
	       config_put_bool(o, "conv_bias", false) &&
	       config_put_bool(o, "block_auto_adjust_ff_dim", false) &&
	       put_count(o, "block_ff_dim", c->ffn) &&
	       config_put_number(o, "norm_eps", config_decimal(c->norm_eps));
}

static bool put_delta(cJSON *o, const struct config *c)
{
	return put_types(o, c, "linear_attention", BLOCK_DELTA) &&
	       put_count(o, "linear_conv_kernel_dim", c->conv_taps) &&
	       put_count(o, "linear_num_key_heads", c->delta_key_heads) &&
	       put_count(o, "linear_num_value_heads", c->delta_heads) &&
	       put_count(o, "linear_key_head_dim", c->delta_k) &&
	       put_count(o, "linear_value_head_dim", c->delta_v) &&
	       put_count(o, "decoder_sparse_step", 1) &&
	       config_put(o, "mlp_only_layers", cJSON_CreateArray());
}

/* Layers are counted from 1. */
static bool put_kda(cJSON *o, const struct config *c)
{
	cJSON *own = cJSON_AddObjectToObject(o, "linear_attn_config");
	cJSON *with = cJSON_AddArrayToObject(own, "kda_layers");
	cJSON *without = cJSON_AddArrayToObject(own, "full_attn_layers");

	for (size_t i = 0; without && i < c->n_layers; i++)
		cJSON_AddItemToArray(c->block[i] == BLOCK_KDA ? with : without,
		                     cJSON_CreateNumber((double)i + 1));
	return without && put_count(own, "num_heads", c->delta_heads) &&
	       put_count(own, "head_dim", c->delta_k) &&
	       put_count(own, "short_conv_kernel_size", c->conv_taps) &&
	       put_count(o, "model_max_length", c->max_pos);
}

static bool put_states(cJSON *o, const struct config *c)
{
	if (!c->conv_taps)
		return true;
	return !c->delta_heads ? put_convolutions(o, c) :
	       c->kv_rank      ? put_kda(o, c) :
	                         put_delta(o, c);
}

/* ---- layers of two kinds */

static bool put_turned(cJSON *o, const struct config *c)
{
	cJSON *both = cJSON_AddObjectToObject(o, "rope_parameters");
	cJSON *full = cJSON_AddObjectToObject(both, "full_attention");
	cJSON *slides = cJSON_AddObjectToObject(both, "sliding_attention");

	return slides && config_put_text(full, "rope_type", "proportional") &&
	       config_put_number(full, "rope_theta", c->rope_theta) &&
	       config_put_number(full, "partial_rotary_factor", c->rope_partial) &&
	       config_put_text(slides, "rope_type", "default") &&
	       config_put_number(slides, "rope_theta", c->rope_local_theta);
}

static bool put_kinds(cJSON *o, const struct config *c)
{
	if (!c->full_head_dim)
		return true;
	return put_turned(o, c) && put_count(o, "global_head_dim", c->full_head_dim) &&
	       (!c->full_kv_heads ||
	        put_count(o, "num_global_key_value_heads", c->full_kv_heads)) &&
	       config_put_bool(o, "attention_k_eq_v", c->keys_are_values) &&
	       put_count(o, "num_kv_shared_layers", c->n_shared) &&
	       put_count(o, "hidden_size_per_layer_input", c->own_dim) &&
	       put_count(o, "vocab_size_per_layer_input", c->own_vocab) &&
	       config_put_bool(o, "use_double_wide_mlp", c->wide_ffn) &&
	       config_put_bool(o, "enable_moe_block", c->n_experts) &&
	       (!c->n_experts || put_count(o, "top_k_experts", c->routing.k)) &&
	       (c->final_softcap > 0 ||
	        config_put(o, "final_logit_softcapping", cJSON_CreateNull()));
}

bool config_put_own(cJSON *o, const struct config *c, const struct family_files *f)
{
	return put_experts(o, c) && put_latent(o, c) && put_states(o, c) && put_kinds(o, c) &&
	       (f->act != ACT_CLIPPED || config_put_number(o, "swiglu_limit", 7)) &&
	       (!c->encoder || (config_put_number(o, "layer_norm_eps", config_decimal(c->norm_eps)) &&
	                        put_count(o, "type_vocab_size", 2)));
}
