/* SPDX-License-Identifier: MIT */
/* config_recur.c - sizes of the gated delta rule, and which layers have it
 *
 * Given config.json of a family with such layers. What is published for
 * kimi_linear has an object of its own for them; transformers writes the same
 * numbers beside the others. */
#include "model/config.h"

int config_check_recur(const struct config *c, struct err *e)
{
	if (!c->delta_key_heads || !c->delta_heads || c->delta_heads > 4096 ||
	    c->delta_heads % c->delta_key_heads)
		return err_set(e, ERR_INPUT, "linear attention: expected up to 4096 heads, a multiple of "
		               "those of the keys, found %zu and %zu", c->delta_heads,
		               c->delta_key_heads);
	if (!c->delta_k || c->delta_k > DELTA_DIM || !c->delta_v || c->delta_v > DELTA_DIM)
		return err_set(e, ERR_INPUT, "linear attention: expected heads of up to %d, found keys "
		               "of %zu and values of %zu", DELTA_DIM, c->delta_k, c->delta_v);
	if (c->conv_taps < 2 || c->conv_taps > CONV_TAPS)
		return err_set(e, ERR_INPUT, "linear attention: expected a convolution of 2 to %d, "
		               "found %zu", CONV_TAPS, c->conv_taps);
	return 0;
}

static int delta_sizes(struct config *c, const cJSON *json, struct err *e)
{
	if (json_get_size(json, "linear_conv_kernel_dim", &c->conv_taps, e) < 0 ||
	    json_get_size(json, "linear_num_key_heads", &c->delta_key_heads, e) < 0 ||
	    json_get_size(json, "linear_num_value_heads", &c->delta_heads, e) < 0 ||
	    json_get_size(json, "linear_key_head_dim", &c->delta_k, e) < 0 ||
	    json_get_size(json, "linear_value_head_dim", &c->delta_v, e) < 0)
		return -1;
	return 0;
}

static int kda_sizes(struct config *c, const cJSON *json, struct err *e)
{
	const cJSON *o = json_get(json, "linear_attn_config");
	bool own = cJSON_IsObject(o);

	if (!own)
		o = json;
	if (json_get_size(o, own ? "short_conv_kernel_size" : "linear_conv_kernel_dim",
	                  &c->conv_taps, e) < 0 ||
	    json_get_size(o, own ? "num_heads" : "linear_num_heads", &c->delta_heads, e) < 0 ||
	    json_get_size(o, own ? "head_dim" : "linear_head_dim", &c->delta_k, e) < 0)
		return own ? err_in(e, "linear_attn_config") : -1;
	c->delta_key_heads = c->delta_heads;
	c->delta_v = c->delta_k;
	return 0;
}

int config_recur_json(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	if (f->block != BLOCK_DELTA && f->block != BLOCK_KDA)
		return 0;
	c->conv_taps = 4;
	if (f->block == BLOCK_DELTA ? delta_sizes(c, json, e) : kda_sizes(c, json, e))
		return -1;
	return config_check_recur(c, e);
}

/* kda_layers counts from 1. */
static int kda_blocks(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	const cJSON *list = json_get(json_get(json, "linear_attn_config"), "kda_layers"), *v;

	if (!cJSON_IsArray(list))
		return err_set(e, ERR_INPUT, "layer_types: expected %zu entries, found nothing",
		               c->n_layers);
	for (size_t i = 0; i < c->n_layers; i++)
		c->block[i] = f->others;
	cJSON_ArrayForEach(v, list) {
		if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 &&
		                            v->valuedouble <= (double)c->n_layers))
			return err_set(e, ERR_INPUT, "kda_layers: expected layers of 1 to %zu",
			               c->n_layers);
		c->block[(size_t)v->valuedouble - 1] = f->block;
	}
	return 0;
}

int config_recur_blocks(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	size_t every = f->full_every;

	if (json_get_size(json, "full_attention_interval", &every, e) < 0)
		return -1;
	if (!f->full_every)
		return kda_blocks(c, f, json, e);
	for (size_t i = 0; i < c->n_layers; i++)
		c->block[i] = every && (i + 1) % every == 0 ? f->others : f->block;
	return 0;
}
