/* SPDX-License-Identifier: MIT */
/* config_moe.c - how many experts there are, which a row takes, in which layers
 *
 * Given config.json and the family, or a GGUF's metadata; the families spell
 * the same numbers differently. */
#include "model/config.h"

#include <string.h>

/* The first of the keys that is there; 1, 0 or -1. */
static int any_size(const cJSON *json, const char *const key[3], size_t *out, struct err *e)
{
	for (size_t i = 0; i < 3 && key[i]; i++) {
		int got = json_get_size(json, key[i], out, e);

		if (got)
			return got;
	}
	return 0;
}

static int which_layers(struct config *c, const cJSON *json, struct err *e)
{
	const cJSON *dense = json_get(json, "mlp_only_layers"), *v;
	const cJSON *types = json_get(json, "mlp_layer_types"); /* before all other rules */
	size_t step = 1, first = 0, every = 1;

	c->sparse = arena_new(&c->arena, c->n_layers, sizeof *c->sparse, e);
	if (!c->sparse || json_get_size(json, "decoder_sparse_step", &step, e) < 0 ||
	    json_get_size(json, "first_k_dense_replace", &first, e) < 0 ||
	    json_get_size(json, "moe_layer_freq", &every, e) < 0)
		return -1;
	if (!step || !every)
		return err_set(e, ERR_INPUT, "decoder_sparse_step %zu, moe_layer_freq %zu: expected 1 or "
		               "more", step, every);
	for (size_t i = 0; i < c->n_layers; i++)
		c->sparse[i] = (i + 1) % step == 0 && i >= first && i % every == 0;
	cJSON_ArrayForEach(v, dense)
		if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < (double)c->n_layers)
			c->sparse[(size_t)v->valuedouble] = false;
	if (!cJSON_IsArray(types))
		return 0;
	if ((size_t)cJSON_GetArraySize(types) != c->n_layers)
		return err_set(e, ERR_INPUT, "mlp_layer_types: expected %zu entries, found %d",
		               c->n_layers, cJSON_GetArraySize(types));
	step = 0;
	cJSON_ArrayForEach(v, types)
		c->sparse[step++] = cJSON_IsString(v) && !strcmp(v->valuestring, "sparse");
	return 0;
}

int config_check_experts(const struct config *c, struct err *e)
{
	const struct routing *r = &c->routing;

	if (!c->n_experts || c->n_experts > 1024 || !r->k || r->k > c->n_experts || r->k > 64)
		return err_set(e, ERR_INPUT, "experts: expected up to 64 of up to 1024, found %zu of %zu",
		               r->k, c->n_experts);
	if (r->n_groups > 1 && (c->n_experts % r->n_groups || c->n_experts / r->n_groups < 2 ||
	                        !r->top_groups || r->top_groups > r->n_groups))
		return err_set(e, ERR_INPUT, "experts: %zu of %zu groups of %zu", r->top_groups,
		               r->n_groups, c->n_experts);
	if (!c->expert_ffn || c->expert_ffn > 1 << 20 || c->shared_ffn > 1 << 20)
		return err_set(e, ERR_INPUT, "experts: expected sizes up to %d, found %zu and %zu",
		               1 << 20, c->expert_ffn, c->shared_ffn);
	return 0;
}

/* One way to choose experts is known for each family: a config that names
 * another is refused. */
static int check_names(const struct family *f, const cJSON *json, struct err *e)
{
	static const struct { const char *key, *expected; } names[] = {
		{ "scoring_func", "sigmoid" }, { "topk_method", "noaux_tc" },
		{ "moe_router_activation_func", "sigmoid" },
	};

	for (size_t i = 0; f->score == SCORE_SIGMOID && i < sizeof names / sizeof *names; i++) {
		const char *v = NULL;

		if (json_get_text(json, names[i].key, &v, e) < 0)
			return -1;
		if (v && strcmp(v, names[i].expected))
			return err_set(e, ERR_INPUT, "%s: expected %s, found %.40s", names[i].key,
			               names[i].expected, v);
	}
	return 0;
}

int config_experts_json(struct config *c, const struct family *f, const cJSON *json,
                        struct err *e)
{
	static const char *const all[] = { "num_experts", "num_local_experts", "n_routed_experts" };
	static const char *const used[] = { "num_experts_per_tok", "num_experts_per_token",
		                            "top_k_experts" };
	static const char *const beside[] = { "n_shared_experts", "num_shared_experts", NULL };
	static const char *const groups[] = { "n_group", "num_expert_group", NULL };
	size_t shared = 0;
	double scale = 1;
	struct routing *r = &c->routing;
	bool has = !f->beside;

	if (!f->experts[0])
		return 0;
	if (f->beside && json_get_bool(json, "enable_moe_block", &has, e) < 0)
		return -1;
	if (!has)
		return 0;
	*r = (struct routing){ .score = f->score, .normalize = f->normalize, .gains = f->beside };
	c->expert_ffn = c->ffn;
	c->choice_bias = f->choice_bias;
	if (check_names(f, json, e) || any_size(json, all, &c->n_experts, e) < 0 ||
	    any_size(json, used, &r->k, e) < 0 ||
	    json_get_size(json, "moe_intermediate_size", &c->expert_ffn, e) < 0 ||
	    any_size(json, beside, &shared, e) < 0 ||
	    any_size(json, groups, &r->n_groups, e) < 0 ||
	    json_get_size(json, "topk_group", &r->top_groups, e) < 0 ||
	    json_get_f64(json, "routed_scaling_factor", &scale, e) < 0 ||
	    json_get_bool(json, "norm_topk_prob", &r->normalize, e) < 0 ||
	    json_get_bool(json, "moe_renormalize", &r->normalize, e) < 0)
		return -1;
	if (shared > 64)
		return err_set(e, ERR_INPUT, "n_shared_experts: expected at most 64, found %zu", shared);
	r->scale = (float)scale;
	c->shared_ffn = shared * c->expert_ffn;
	if (json_get_size(json, "shared_expert_intermediate_size", &c->shared_ffn, e) < 0)
		return -1;
	return config_check_experts(c, e) || which_layers(c, json, e) ? -1 : 0;
}
