/* SPDX-License-Identifier: MIT */
/* config_layers.c - what differs between layers, and the rotary embedding
 *
 * Given config.json and the family; gives the layers that slide, those that
 * are not rotated, and every scaling of the rotation. Both spellings of the
 * rotary settings are read: rope_theta + rope_scaling, and rope_parameters. */
#include "model/config.h"

#include <math.h>
#include <string.h>

/* ---- rotary settings */

static const struct {
	const char *name;
	enum rope_kind kind;
} rope_kinds[] = {
	{ "default", ROPE_PLAIN },   { "none", ROPE_PLAIN },    { "mrope", ROPE_PLAIN },
	{ "linear", ROPE_LINEAR },   { "llama3", ROPE_LLAMA3 }, { "yarn", ROPE_YARN },
	{ "dynamic", ROPE_DYNAMIC }, { "longrope", ROPE_LONG }, { "su", ROPE_LONG },
	{ "proportional", ROPE_PART },
};

static int rope_kind_of(enum rope_kind *out, const char *name, struct err *e)
{
	for (size_t i = 0; i < sizeof rope_kinds / sizeof *rope_kinds; i++) {
		if (!strcmp(rope_kinds[i].name, name)) {
			*out = rope_kinds[i].kind;
			return 0;
		}
	}
	return err_set(e, ERR_INPUT,
	               "rope_type: expected default, linear, llama3, yarn, dynamic or longrope, "
	               "found \"%s\"",
	               name);
}

static int rope_numbers(struct config *c, const cJSON *o, struct err *e)
{
	if (json_get_f64(o, "rope_theta", &c->rope_theta, e) < 0 ||
	    json_get_f64(o, "factor", &c->rope_factor, e) < 0 ||
	    json_get_f64(o, "low_freq_factor", &c->rope_low, e) < 0 ||
	    json_get_f64(o, "high_freq_factor", &c->rope_high, e) < 0 ||
	    json_get_f64(o, "beta_fast", &c->rope_beta_fast, e) < 0 ||
	    json_get_f64(o, "beta_slow", &c->rope_beta_slow, e) < 0 ||
	    json_get_f64(o, "mscale", &c->rope_mscale, e) < 0 ||
	    json_get_f64(o, "mscale_all_dim", &c->rope_mscale_all, e) < 0 ||
	    json_get_f64(o, "attention_factor", &c->rope_attention_factor, e) < 0 ||
	    json_get_f64(o, "partial_rotary_factor", &c->rope_partial, e) < 0 ||
	    json_get_bool(o, "truncate", &c->rope_truncate, e) < 0 ||
	    json_get_size(o, "original_max_position_embeddings", &c->rope_original, e) < 0)
		return -1;
	return 0;
}

static int factors(float out[256], const struct config *c, const cJSON *o, const char *key,
                   struct err *e)
{
	const cJSON *list = json_get(o, key), *v;
	size_t n = 0, want = c->rope_dims / 2;

	if (!cJSON_IsArray(list) || want > 256 || (size_t)cJSON_GetArraySize(list) != want)
		return err_set(e, ERR_INPUT, "%s: expected %zu numbers, found %s of %d", key, want,
		               list ? json_kind(list) : "nothing",
		               list ? cJSON_GetArraySize(list) : 0);
	cJSON_ArrayForEach(v, list) {
		if (!cJSON_IsNumber(v) || !(v->valuedouble > 0))
			return err_set(e, ERR_INPUT, "%s: expected numbers above 0, found %s at %zu",
			               key, json_kind(v), n);
		out[n++] = (float)v->valuedouble;
	}
	return 0;
}

/* Ding et al., 2024, arXiv:2402.13753. The long factors hold from the end of
 * the original context on, position by position. */
static int long_factors(struct config *c, const cJSON *json, struct err *e)
{
	const cJSON *o = json_get(json, "rope_scaling");
	double longer = (double)c->max_pos / (double)c->rope_original;

	if (!cJSON_IsObject(o))
		o = json_get(json, "rope_parameters");
	if (c->rope_original < 2)
		return err_set(e, ERR_INPUT, "longrope: expected more than 1 original position, "
		               "found %zu", c->rope_original);
	if (factors(c->rope_divisor, c, o, "short_factor", e) ||
	    factors(c->rope_far_divisor, c, o, "long_factor", e))
		return err_in(e, "longrope");
	c->has_rope_divisor = true;
	if (!(c->rope_attention_factor > 0))
		c->rope_attention_factor =
			longer > 1 ? sqrt(1 + log(longer) / log((double)c->rope_original)) : 1;
	return 0;
}

/* Where the kinds of layers have an object each, the full ones' is the
 * model's, and of the sliding ones' only the base is taken. */
static int rope_from(struct config *c, const cJSON *json, const char *key, struct err *e)
{
	const cJSON *o = json_get(json, key);
	const char *type = NULL;

	if (!o || cJSON_IsNull(o))
		return 0;
	if (!cJSON_IsObject(o))
		return err_set(e, ERR_INPUT, "%s: expected an object, found %s", key, json_kind(o));
	if (cJSON_IsObject(json_get(o, "full_attention"))) {
		if (json_get_f64(json_get(o, "sliding_attention"), "rope_theta",
		                 &c->rope_local_theta, e) < 0)
			return err_in(e, "%s", key);
		return rope_from(c, o, "full_attention", e) ? err_in(e, "%s", key) : 0;
	}
	if (json_get_text(o, "rope_type", &type, e) < 0 ||
	    (!type && json_get_text(o, "type", &type, e) < 0) ||
	    (type && rope_kind_of(&c->rope_kind, type, e)) || rope_numbers(c, o, e))
		return err_in(e, "%s", key);
	return 0;
}

int config_rope_scaling(struct config *c, const cJSON *json, struct err *e)
{
	return rope_from(c, json, "rope_scaling", e);
}

int config_rope_json(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	c->rope_theta = 10000;
	c->rope_interleaved = f->interleaved;
	if (json_get_f64(json, "rope_theta", &c->rope_theta, e) < 0 ||
	    json_get_f64(json, "rope_local_base_freq", &c->rope_local_theta, e) < 0 ||
	    json_get_f64(json, "partial_rotary_factor", &c->rope_partial, e) < 0 ||
	    json_get_size(json, "original_max_position_embeddings", &c->rope_original, e) < 0 ||
	    json_get_bool(json, "rope_traditional", &c->rope_interleaved, e) < 0 ||
	    rope_from(c, json, "rope_scaling", e) || rope_from(c, json, "rope_parameters", e))
		return -1;
	if (!c->rope_original)
		c->rope_original = c->rope_kind == ROPE_LLAMA3 ? 8192 : c->max_pos;
	if (!(c->rope_partial > 0 && c->rope_partial <= 1))
		return err_set(e, ERR_INPUT, "partial_rotary_factor: expected 0 to 1, found %g",
		               c->rope_partial);
	c->rope_dims = c->pe_dim ? c->pe_dim : (size_t)((double)c->head_dim * c->rope_partial);
	if (c->full_head_dim) {
		c->rope_local_dims = c->head_dim;
		c->rope_dims = c->full_head_dim;
	}
	if (c->full_head_dim && c->rope_kind != ROPE_PART)
		return err_set(e, ERR_INPUT, "rope_type: expected proportional in full layers");
	return c->rope_kind == ROPE_LONG ? long_factors(c, json, e) : 0;
}

/* ---- which layers slide */

static int by_layer(struct config *c, const cJSON *types, struct err *e)
{
	size_t i = 0;
	const cJSON *t;

	if ((size_t)cJSON_GetArraySize(types) != c->n_layers)
		return err_set(e, ERR_INPUT, "layer_types: expected %zu entries, found %d",
		               c->n_layers, cJSON_GetArraySize(types));
	cJSON_ArrayForEach(t, types)
		c->sliding[i++] = cJSON_IsString(t) && !strcmp(t->valuestring, "sliding_attention");
	return 0;
}

static int sliding(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	const cJSON *types = json_get(json, "layer_types");
	bool flag = false;
	size_t full = 0, pattern = f->window_pattern;

	c->window = f->window;
	if (json_get_size(json, "sliding_window", &c->window, e) < 0 ||
	    json_get_bool(json, "use_sliding_window", &flag, e) < 0 ||
	    json_get_size(json, "max_window_layers", &full, e) < 0 ||
	    (pattern && json_get_size(json, "sliding_window_pattern", &pattern, e) < 0))
		return -1;
	if (!c->window || (f->window_by_flag && !flag)) {
		c->window = 0;
		return 0;
	}
	if (cJSON_IsArray(types))
		return by_layer(c, types, e);
	for (size_t i = 0; i < c->n_layers; i++)
		c->sliding[i] = f->window_everywhere || (f->window_by_flag && i >= full) ||
		                (pattern && (i + 1) % pattern);
	return 0;
}

/* Layers without a rotary embedding: a list of ones and zeros, or every nth. */
static int unrotated(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	const cJSON *list = json_get(json, "no_rope_layers");
	size_t every = f->unrotated_every;

	if (!every)
		return 0;
	if (json_get_size(json, "no_rope_layer_interval", &every, e) < 0)
		return -1;
	if (cJSON_IsArray(list) && (size_t)cJSON_GetArraySize(list) != c->n_layers)
		return err_set(e, ERR_INPUT, "no_rope_layers: expected %zu entries, found %d",
		               c->n_layers, cJSON_GetArraySize(list));
	c->unrotated = arena_new(&c->arena, c->n_layers, sizeof *c->unrotated, e);
	if (!c->unrotated)
		return -1;
	for (size_t i = 0; i < c->n_layers; i++)
		c->unrotated[i] = cJSON_IsArray(list) ?
			!cJSON_IsTrue(cJSON_GetArrayItem(list, (int)i)) &&
			cJSON_GetNumberValue(cJSON_GetArrayItem(list, (int)i)) != 1 :
			every && (i + 1) % every == 0;
	return 0;
}

/* ---- what mixes positions, and sizes that go with it */

/* layer_types, or full_attn_idxs: the layers with attention. */
static int blocks(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	const cJSON *types = json_get(json, "layer_types"), *v;
	const cJSON *full = json_get(json, "full_attn_idxs");
	bool listed = cJSON_IsArray(full) && !cJSON_IsArray(types);
	const cJSON *list = listed ? full : types;
	size_t i = 0;

	c->block = arena_new(&c->arena, c->n_layers, sizeof *c->block, e);
	if (!c->block)
		return -1;
	if (!types && !full)
		return config_recur_blocks(c, f, json, e);
	if (!listed && (!cJSON_IsArray(types) || (size_t)cJSON_GetArraySize(types) != c->n_layers))
		return err_set(e, ERR_INPUT, "layer_types: expected %zu entries, found %s", c->n_layers,
		               types ? json_kind(types) : "nothing");
	for (; listed && i < c->n_layers; i++)
		c->block[i] = f->block;
	cJSON_ArrayForEach(v, list) {
		if (!listed)
			c->block[i++] = cJSON_IsString(v) && !strcmp(v->valuestring, f->block_name) ?
				f->block : f->others;
		else if (!cJSON_IsNumber(v) || v->valuedouble < 0 ||
		         v->valuedouble >= (double)c->n_layers)
			return err_set(e, ERR_INPUT, "full_attn_idxs: expected layers below %zu",
			               c->n_layers);
		else
			c->block[(size_t)v->valueint] = f->others;
	}
	return 0;
}

static int short_convolutions(struct config *c, const cJSON *json, struct err *e)
{
	bool bias = false;

	c->conv_taps = 3;
	if (json_get_size(json, "conv_L_cache", &c->conv_taps, e) < 0 ||
	    json_get_bool(json, "conv_bias", &bias, e) < 0)
		return -1;
	if (c->conv_taps < 2 || c->conv_taps > CONV_TAPS)
		return err_set(e, ERR_INPUT, "conv_L_cache: expected 2 to %d, found %zu", CONV_TAPS,
		               c->conv_taps);
	return bias ? err_set(e, ERR_INPUT, "conv_bias: expected false, found true") : 0;
}

/* Two thirds of the size, times the multiplier, up to the next multiple. */
static int shrink_ffn(struct config *c, const cJSON *json, struct err *e)
{
	bool adjust = true;
	double times = 1;
	size_t multiple = 256;

	if (json_get_size(json, "block_ff_dim", &c->ffn, e) < 0 ||
	    json_get_bool(json, "block_auto_adjust_ff_dim", &adjust, e) < 0 ||
	    json_get_f64(json, "block_ffn_dim_multiplier", &times, e) < 0 ||
	    json_get_size(json, "block_multiple_of", &multiple, e) < 0)
		return -1;
	if (!adjust)
		return 0;
	if (!multiple || multiple > 1 << 20 || c->ffn > 1 << 24 || !(times > 0 && times < 100))
		return err_set(e, ERR_INPUT, "block_multiple_of %zu, block_ffn_dim_multiplier %g",
		               multiple, times);
	c->ffn = (size_t)(times * (double)(2 * c->ffn / 3));
	c->ffn = (c->ffn + multiple - 1) / multiple * multiple;
	return 0;
}

int config_layers_json(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	if (f->shrunk_ffn && shrink_ffn(c, json, e))
		return -1;
	if ((f->block_name && blocks(c, f, json, e)) ||
	    (f->block == BLOCK_CONV && short_convolutions(c, json, e)) ||
	    config_recur_json(c, f, json, e))
		return -1;
	return sliding(c, f, json, e) || unrotated(c, f, json, e) ? -1 : 0;
}
