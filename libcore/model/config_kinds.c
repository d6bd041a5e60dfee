/* SPDX-License-Identifier: MIT */
/* config_kinds.c - what layers of full attention have of their own where
 * others slide, layers that use the cache of earlier ones, and embeddings of
 * the token for each layer
 *
 * Given config.json of a family that has such layers; the accessors answer
 * for every family. */
#include "model/config.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_OWN = 1 << 14, MOST_OWN = 1 << 22 };

size_t config_head_dim(const struct config *c, size_t i)
{
	return c->full_head_dim && !c->sliding[i] ? c->full_head_dim : c->head_dim;
}

size_t config_kv_heads(const struct config *c, size_t i)
{
	return c->full_kv_heads && !c->sliding[i] ? c->full_kv_heads : c->n_kv_heads;
}

size_t config_ffn(const struct config *c, size_t i)
{
	return i >= config_caches(c) && c->wide_ffn ? c->wide_ffn : c->ffn;
}

size_t config_caches(const struct config *c)
{
	return c->n_layers - c->n_shared;
}

size_t config_cache_of(const struct config *c, size_t i)
{
	size_t j = config_caches(c);

	if (i < j)
		return i;
	while (j-- && c->sliding[j] != c->sliding[i])
		;
	return j;
}

/* ---- per_layer_config: {"5": {"head_dim": 512}}; all full layers, alike */

static int one_layer(struct config *c, const cJSON *o, bool *seen, struct err *e)
{
	const char *digits = "0123456789";
	size_t i = c->n_layers, dim = c->head_dim, kv = c->n_kv_heads;
	const cJSON *v;

	if (strlen(o->string) <= 4 && strspn(o->string, digits) == strlen(o->string) && *o->string)
		i = strtoul(o->string, NULL, 10);
	if (i >= c->n_layers || c->sliding[i] || seen[i] || !cJSON_IsObject(o))
		return err_set(e, ERR_INPUT, "per_layer_config: expected objects of layers with full "
		               "attention, found \"%.20s\"", o->string);
	seen[i] = true;
	cJSON_ArrayForEach(v, o)
		if (strcmp(v->string, "head_dim") && strcmp(v->string, "num_key_value_heads"))
			return err_set(e, ERR_INPUT, "per_layer_config: expected head_dim or "
			               "num_key_value_heads, found \"%.40s\"", v->string);
	if (json_get_size(o, "head_dim", &dim, e) < 0 ||
	    json_get_size(o, "num_key_value_heads", &kv, e) < 0)
		return err_in(e, "per_layer_config");
	if (c->full_head_dim && (c->full_head_dim != dim || c->full_kv_heads != kv))
		return err_set(e, ERR_INPUT, "per_layer_config: layers with full attention differ");
	c->full_head_dim = dim;
	c->full_kv_heads = kv;
	return 0;
}

static int each_layer(struct config *c, const cJSON *list, struct err *e)
{
	bool *seen = arena_new(&c->arena, c->n_layers, sizeof *seen, e);
	const cJSON *o;

	if (!seen)
		return -1;
	c->full_head_dim = c->full_kv_heads = 0;
	cJSON_ArrayForEach(o, list)
		if (one_layer(c, o, seen, e))
			return -1;
	for (size_t i = 0; c->full_head_dim && i < c->n_layers; i++)
		if (!c->sliding[i] && !seen[i])
			return err_set(e, ERR_INPUT, "per_layer_config: layer %zu, with full attention, "
			               "is not in it", i);
	return 0;
}

/* ---- the rest */

int config_check_kinds(const struct config *c, struct err *e)
{
	if (c->full_head_dim % 2 || c->full_head_dim > 512 ||
	    (c->full_kv_heads && c->n_heads % c->full_kv_heads))
		return err_set(e, ERR_INPUT, "full attention: heads of %zu, %zu of keys for %zu",
		               c->full_head_dim, c->full_kv_heads, c->n_heads);
	if (c->n_shared >= c->n_layers)
		return err_set(e, ERR_INPUT, "num_kv_shared_layers: expected below %zu, found %zu",
		               c->n_layers, c->n_shared);
	for (size_t i = config_caches(c); i < c->n_layers; i++)
		if (config_cache_of(c, i) >= i)
			return err_set(e, ERR_INPUT, "num_kv_shared_layers: layer %zu has no earlier one "
			               "of its kind", i);
	if (c->own_dim > MAX_OWN || c->own_dim * c->n_layers > MOST_OWN ||
	    (c->own_dim && !c->own_vocab))
		return err_set(e, ERR_INPUT, "hidden_size_per_layer_input: %zu for %zu layers and %zu "
		               "tokens", c->own_dim, c->n_layers, c->own_vocab);
	return 0;
}

int config_kinds_json(struct config *c, const struct family *f, const cJSON *json, struct err *e)
{
	const cJSON *list = json_get(json, "per_layer_config");
	bool wide = true;

	if (!f->two_kinds)
		return 0;
	c->full_head_dim = 512;
	c->own_dim = 256;
	c->own_vocab = c->vocab;
	if (json_get_size(json, "global_head_dim", &c->full_head_dim, e) < 0 ||
	    json_get_bool(json, "attention_k_eq_v", &c->keys_are_values, e) < 0 ||
	    (c->keys_are_values &&
	     json_get_size(json, "num_global_key_value_heads", &c->full_kv_heads, e) < 0) ||
	    json_get_size(json, "num_kv_shared_layers", &c->n_shared, e) < 0 ||
	    json_get_size(json, "hidden_size_per_layer_input", &c->own_dim, e) < 0 ||
	    json_get_size(json, "vocab_size_per_layer_input", &c->own_vocab, e) < 0 ||
	    json_get_bool(json, "use_double_wide_mlp", &wide, e) < 0)
		return -1;
	if (cJSON_IsObject(list) && each_layer(c, list, e))
		return -1;
	c->wide_ffn = wide && c->n_shared ? 2 * c->ffn : 0;
	return config_check_kinds(c, e);
}

/* Of a head `dims` wide pairs past the first part do not turn: their inverse
 * frequencies are divided by more than any position reaches. */
void config_part_divisors(struct config *c)
{
	size_t turned = (size_t)((double)c->rope_dims * c->rope_partial) / 2;

	for (size_t i = 0; i < c->rope_dims / 2; i++)
		c->rope_divisor[i] = i < turned ? (float)(c->rope_factor > 0 ? c->rope_factor : 1) :
		                                  NEVER_TURNED;
	c->has_rope_divisor = true;
}
