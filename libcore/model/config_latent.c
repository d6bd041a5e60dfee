/* SPDX-License-Identifier: MIT */
/* config_latent.c - sizes of latent attention, and what a layer keeps of a
 * position
 *
 * Given config.json of a family that has such layers; gives the ranks and the
 * parts of a head. */
#include "model/config.h"

enum { MAX_RANK = 1 << 14, MAX_PART = 512 };

int config_check_latent(const struct config *c, struct err *e)
{
	if (!c->kv_rank || c->kv_rank > MAX_RANK || c->q_rank > MAX_RANK)
		return err_set(e, ERR_INPUT, "kv_lora_rank and q_lora_rank: expected up to %d, found %zu "
		               "and %zu", MAX_RANK, c->kv_rank, c->q_rank);
	if (!c->nope_dim || c->nope_dim > MAX_PART || !c->pe_dim || c->pe_dim > MAX_PART ||
	    c->pe_dim % 2 || !c->value_dim || c->value_dim > MAX_PART)
		return err_set(e, ERR_INPUT, "qk_nope_head_dim, qk_rope_head_dim and v_head_dim: expected "
		               "up to %d, found %zu, %zu and %zu", MAX_PART, c->nope_dim, c->pe_dim,
		               c->value_dim);
	return 0;
}

int config_latent_json(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	const cJSON *rank = json_get(json, "q_lora_rank");
	bool bias = false;

	if (f->block != BLOCK_LATENT && f->others != BLOCK_LATENT)
		return 0;
	c->value_dim = c->head_dim;
	c->latent_eps = f->latent_eps > 0 ? f->latent_eps : c->norm_eps;
	if ((rank && !cJSON_IsNull(rank) &&
	     json_get_size(json, "q_lora_rank", &c->q_rank, e) < 0) ||
	    json_get_size(json, "kv_lora_rank", &c->kv_rank, e) < 0 ||
	    json_get_size(json, "qk_nope_head_dim", &c->nope_dim, e) < 0 ||
	    json_get_size(json, "qk_rope_head_dim", &c->pe_dim, e) < 0 ||
	    json_get_size(json, "v_head_dim", &c->value_dim, e) < 0 ||
	    json_get_bool(json, "attention_bias", &bias, e) < 0)
		return -1;
	if (bias)
		return err_set(e, ERR_INPUT, "attention_bias: expected false, found true");
	c->head_dim = c->nope_dim + c->pe_dim;
	return config_check_latent(c, e);
}

void config_cache_layer(const struct config *c, size_t i, struct exec_kv_layer *out)
{
	*out = (struct exec_kv_layer){ .n_heads = config_kv_heads(c, i),
		                       .k_dim = config_head_dim(c, i),
		                       .v_dim = config_head_dim(c, i) };
	switch (c->block[i]) {
	case BLOCK_CONV:
		*out = (struct exec_kv_layer){ .state = { { 1, c->conv_taps - 1, c->hidden } } };
		break;
	case BLOCK_LATENT:
		out->n_heads = 1;
		out->k_dim = c->pe_dim + c->kv_rank;
		out->v_dim = c->kv_rank;
		out->v_in_k = true;
		break;
	case BLOCK_DELTA:
		*out = (struct exec_kv_layer){ .state = {
			{ 1, c->conv_taps - 1, 2 * c->delta_key_heads * c->delta_k +
			                       c->delta_heads * c->delta_v },
			{ c->delta_heads, c->delta_k, c->delta_v } } };
		break;
	case BLOCK_KDA:
		*out = (struct exec_kv_layer){ .state = {
			{ 1, c->conv_taps - 1, c->delta_heads * c->delta_k },
			{ 1, c->conv_taps - 1, c->delta_heads * c->delta_k },
			{ 1, c->conv_taps - 1, c->delta_heads * c->delta_v },
			{ c->delta_heads, c->delta_k, c->delta_v } } };
		break;
	case BLOCK_ENCODER: /* keeps its ids alone */
	case BLOCK_ATTENTION:
		break;
	}
}

size_t config_state(const struct config *c, size_t layer)
{
	struct exec_kv_layer l;

	config_cache_layer(c, layer, &l);
	return exec_kv_state(&l, KV_STATES);
}

size_t config_cache_bytes(const struct config *c, size_t value)
{
	size_t values = 0;

	for (size_t i = 0; i < config_caches(c); i++) {
		struct exec_kv_layer l;

		config_cache_layer(c, i, &l);
		values += c->encoder ? 0 : l.n_heads * (l.k_dim + (l.v_in_k ? 0 : l.v_dim));
	}
	return values ? values * value : sizeof(int32_t);
}

size_t config_state_bytes(const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_layers; i++)
		n += config_state(c, i) * sizeof(float);
	return n;
}
