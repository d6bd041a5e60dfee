/* SPDX-License-Identifier: MIT */
/* config.c - hyperparameters, checked once
 *
 * Given a source; gives a struct config whose every number is in range, from
 * config.json (this file), or GGUF metadata and headers (config_gguf.c).
 * What differs between layers, and the rotation, is in config_layers.c. */
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	MAX_LAYERS = 4096,
	MAX_HIDDEN = 1 << 20,
	MAX_HEADS = 4096,
	MAX_HEAD_DIM = 512,
	MAX_VOCAB = 1 << 24,
	DEFAULT_MAX_POS = 32768,
};

/* ---- config.json as Hugging Face and mlx-lm write it */

static const struct {
	const char *name;
	enum dtype dtype;
} torch_dtypes[] = {
	{ "float32", DT_F32 },
	{ "float16", DT_F16 },
	{ "bfloat16", DT_BF16 },
};

static int ids_from_json(struct config *c, const cJSON *v, struct err *e)
{
	const cJSON *item = cJSON_IsArray(v) ? v->child : v;

	if (!v || cJSON_IsNull(v))
		return 0;
	c->n_eos = 0;
	for (; item; item = cJSON_IsArray(v) ? item->next : NULL) {
		if (!cJSON_IsNumber(item) || item->valuedouble < 0 ||
		    item->valuedouble >= MAX_VOCAB || item->valuedouble != (double)item->valueint)
			return err_set(e, ERR_INPUT, "eos_token_id: expected a token id, found %s",
			               json_kind(item));
		if (c->n_eos == sizeof c->eos / sizeof *c->eos)
			return err_set(e, ERR_INPUT, "eos_token_id: expected at most %zu ids",
			               c->n_eos);
		c->eos[c->n_eos++] = item->valueint;
	}
	return 0;
}

static bool is_mode(const char *name)
{
	for (int c = 0; c < CODING_COUNT; c++)
		if (!strcmp(name, coding_info((enum coding)c)->name))
			return true;
	return false;
}

static int quantization_from_json(struct config *c, const cJSON *json, struct err *e)
{
	const cJSON *q = json_get(json, "quantization");
	const char *mode = NULL, *method = NULL;
	size_t bits = 0, group = 0;

	if (!cJSON_IsObject(q))
		q = json_get(json, "quantization_config");
	if (!cJSON_IsObject(q))
		return 0;
	if (json_get_text(q, "mode", &mode, e) < 0 ||
	    json_get_text(q, "quant_method", &method, e) < 0 ||
	    json_get_size(q, "bits", &bits, e) < 0 || json_get_size(q, "group_size", &group, e) < 0)
		return err_in(e, "quantization");
	if ((mode && !is_mode(mode)) ||
	    (method && !bits && strcmp(method, "fp8") && strcmp(method, "compressed-tensors") &&
	     !is_mode(method)))
		return err_set(e, ERR_INPUT, "quantization: expected mode affine, mxfp4, mxfp8 or "
		               "nvfp4, found %s", mode ? mode : method);
	if (bits > 8 || group > 1024)
		return err_set(e, ERR_INPUT, "quantization: %zu bits in groups of %zu", bits,
		               group);
	c->quant_bits = (unsigned)bits;
	c->quant_group = (unsigned)group;
	return 0;
}

static int need_size(const cJSON *json, const char *key, size_t *out, struct err *e)
{
	int got = json_get_size(json, key, out, e);

	return got < 0 ? -1 :
	       got     ? 0 :
	                 err_set(e, ERR_INPUT, "%s: expected an integer, found nothing", key);
}

static int sizes_from_json(struct config *c, const cJSON *json, struct err *e)
{
	double eps = 1e-6;

	if (json_get_f64(json, "norm_eps", &eps, e) < 0 ||
	    json_get_f64(json, "layer_norm_eps", &eps, e) < 0 ||
	    need_size(json, "hidden_size", &c->hidden, e) ||
	    need_size(json, "num_hidden_layers", &c->n_layers, e) ||
	    need_size(json, "intermediate_size", &c->ffn, e) ||
	    need_size(json, "num_attention_heads", &c->n_heads, e) ||
	    need_size(json, "vocab_size", &c->vocab, e))
		return -1;
	c->n_kv_heads = c->n_heads;
	c->head_dim = c->n_heads ? c->hidden / c->n_heads : 0;
	if (json_get_size(json, "num_key_value_heads", &c->n_kv_heads, e) < 0 ||
	    json_get_size(json, "head_dim", &c->head_dim, e) < 0 ||
	    json_get_size(json, "model_max_length", &c->max_pos, e) < 0 ||
	    json_get_size(json, "max_position_embeddings", &c->max_pos, e) < 0 ||
	    json_get_size(json, "num_nextn_predict_layers", &c->n_extra_layers, e) < 0 ||
	    json_get_f64(json, "rms_norm_eps", &eps, e) < 0)
		return -1;
	c->norm_eps = (float)eps;
	return 0;
}

static int activation_from_json(struct config *c, const struct family *f, const cJSON *json,
                                struct err *e)
{
	static const struct {
		const char *name;
		enum activation act;
	} names[] = {
		{ "silu", ACT_SILU },          { "swish", ACT_SILU },
		{ "gelu", ACT_GELU },          { "gelu_pytorch_tanh", ACT_GELU_TANH },
		{ "gelu_new", ACT_GELU_TANH }, { "gelu_fast", ACT_GELU_TANH },
	};
	const char *name = NULL;
	double limit = 7;

	if (f->act == ACT_CLIPPED && json_get_f64(json, "swiglu_limit", &limit, e) < 0)
		return -1;
	if (limit != 7)
		return err_set(e, ERR_INPUT, "swiglu_limit: expected 7, found %g", limit);
	if (json_get_text(json, "hidden_activation", &name, e) < 0 ||
	    (!name && json_get_text(json, "hidden_act", &name, e) < 0))
		return -1;
	c->act = f->act;
	for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
		if (!strcmp(names[i].name, name)) {
			/* the first Gemma's configs say gelu and mean its approximation */
			if (f->act != ACT_CLIPPED &&
			    (f->act != ACT_GELU_TANH || names[i].act != ACT_GELU))
				c->act = names[i].act;
			return 0;
		}
	return name ? err_set(e, ERR_INPUT, "hidden_act: expected silu or gelu, found \"%s\"",
	                      name) : 0;
}

/* What multiplies and bounds embeddings, scores and logits. */
static int scales_from_json(struct config *c, const struct family *f, const cJSON *json,
                            struct err *e)
{
	double scalar = (double)c->head_dim, attn = 0, final = 0;

	if (json_get_f64(json, "query_pre_attn_scalar", &scalar, e) < 0 ||
	    json_get_f64(json, "attn_logit_softcapping", &attn, e) < 0 ||
	    json_get_f64(json, "final_logit_softcapping", &final, e) < 0)
		return -1;
	if (!(scalar > 0))
		return err_set(e, ERR_INPUT, "query_pre_attn_scalar: expected more than 0, found %g",
		               scalar);
	if (!(attn >= 0 && attn < 1e6 && final >= 0 && final < 1e6))
		return err_set(e, ERR_INPUT, "softcapping: expected 0 to 1e6, found %g and %g", attn,
		               final);
	c->attn_scale = (float)(1 / sqrt(scalar));
	c->attn_softcap = (float)attn;
	c->final_softcap = (float)final;
	if (f->embed_by_width)
		c->embed_scale = (float)sqrt((double)c->hidden);
	return 0;
}

static int flags_from_json(struct config *c, struct source *s, const struct family *f,
                           const cJSON *json, struct err *e)
{
	bool attention_bias = false;
	const char *dtype = NULL;
	char head[64];

	c->tied = f->tied;
	if (s) {
		config_text_find(c, f, s);
		c->tied = config_text_name(c, head, sizeof head, "lm_head.weight") &&
		          !source_find(s, head) && !source_find(s, "output.weight");
	}
	c->qkv_bias = f->qkv_bias;
	c->qk_norm = f->qk_norm;
	if (json_get_bool(json, "tie_word_embeddings", &c->tied, e) < 0 ||
	    json_get_bool(json, "attention_bias", &attention_bias, e) < 0 ||
	    json_get_bool(json, "mlp_bias", &c->mlp_bias, e) < 0 ||
	    json_get_text(json, "torch_dtype", &dtype, e) < 0 ||
	    (!dtype && json_get_text(json, "dtype", &dtype, e) < 0) ||
	    activation_from_json(c, f, json, e))
		return -1;
	c->qkv_bias |= attention_bias | f->biased;
	c->o_bias = f->biased || (attention_bias && !f->no_o_bias);
	c->mlp_bias |= f->biased;
	for (size_t i = 0; dtype && i < sizeof torch_dtypes / sizeof *torch_dtypes; i++)
		if (!strcmp(torch_dtypes[i].name, dtype))
			c->dtype = torch_dtypes[i].dtype;
	return 0;
}

static int text_from_json(struct config *c, struct source *s, const cJSON *json, struct err *e)
{
	const char *type = NULL;
	const struct family *f;
	int64_t bos = -1;
	int got = json_get_text(json, "model_type", &type, e);

	if (got < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_INPUT, "model_type: expected a string, found nothing");
	f = family_find(type);
	if (!f)
		return family_unknown("model_type", type, e);
	snprintf(c->model_type, sizeof c->model_type, "%s", f->name);
	if (sizes_from_json(c, json, e) || config_latent_json(c, f, json, e) ||
	    flags_from_json(c, s, f, json, e) ||
	    scales_from_json(c, f, json, e))
		return -1;
	if (!c->max_pos)
		c->max_pos = DEFAULT_MAX_POS;
	if (c->n_layers > MAX_LAYERS)
		return err_set(e, ERR_INPUT, "num_hidden_layers: expected at most %d, found %zu",
		               MAX_LAYERS, c->n_layers);
	c->sliding = arena_new(&c->arena, c->n_layers, sizeof *c->sliding, e);
	if (!c->sliding || config_layers_json(c, f, json, e) ||
	    config_kinds_json(c, f, json, e) || config_rope_json(c, f, json, e) ||
	    config_experts_json(c, f, json, e) ||
	    ids_from_json(c, json_get(json, "eos_token_id"), e) ||
	    quantization_from_json(c, json, e))
		return -1;
	if (cJSON_IsNumber(json_get(json, "bos_token_id")) &&
	    json_get_i64(json, "bos_token_id", &bos, e) < 0)
		return -1;
	c->bos = bos < 0 || bos >= MAX_VOCAB ? -1 : (int32_t)bos;
	return 0;
}

int config_from_json(struct config *c, struct source *s, const cJSON *json, struct err *e)
{
	cJSON *part;
	int bad = config_text_json(&part, json, e) < 0 || text_from_json(c, s, part ? part : json, e);

	cJSON_Delete(part);
	return bad ? -1 : 0;
}

/* ---- config.json as the mlx-examples wrote it beside weights.npz */

int config_from_examples(struct config *c, struct source *s, const cJSON *json, struct err *e)
{
	const struct tensor *w1 = source_find(s, "layers.0.feed_forward.w1.weight");
	const struct tensor *table = source_find(s, "tok_embeddings.weight");
	double eps = 1e-5;
	int64_t vocab = -1;

	snprintf(c->model_type, sizeof c->model_type, "llama");
	c->rope_interleaved = true;
	c->rope_theta = 10000;
	c->max_pos = DEFAULT_MAX_POS;
	if (need_size(json, "dim", &c->hidden, e) || need_size(json, "n_layers", &c->n_layers, e) ||
	    need_size(json, "n_heads", &c->n_heads, e))
		return -1;
	c->n_kv_heads = c->n_heads;
	c->head_dim = c->n_heads ? c->hidden / c->n_heads : 0;
	c->ffn = w1 && w1->shape.rank == 2 ? w1->shape.dim[0] : 0;
	if (json_get_size(json, "n_kv_heads", &c->n_kv_heads, e) < 0 ||
	    json_get_size(json, "head_dim", &c->head_dim, e) < 0 ||
	    json_get_size(json, "hidden_dim", &c->ffn, e) < 0 ||
	    json_get_f64(json, "norm_eps", &eps, e) < 0 ||
	    json_get_i64(json, "vocab_size", &vocab, e) < 0 ||
	    json_get_f64(json, "rope_theta", &c->rope_theta, e) < 0 ||
	    json_get_size(json, "max_position_embeddings", &c->max_pos, e) < 0 ||
	    json_get_bool(json, "rope_traditional", &c->rope_interleaved, e) < 0 ||
	    config_rope_scaling(c, json, e) ||
	    ids_from_json(c, json_get(json, "eos_token_id"), e) ||
	    quantization_from_json(c, json, e))
		return -1;
	c->norm_eps = (float)eps;
	c->vocab = vocab > 0                       ? (size_t)vocab :
	           table && table->shape.rank == 2 ? table->shape.dim[0] :
	                                             0;
	c->tied = !source_find(s, "output.weight");
	if (!c->rope_original)
		c->rope_original = c->max_pos;
	if (c->n_layers > MAX_LAYERS)
		return err_set(e, ERR_INPUT, "n_layers: expected at most %d, found %zu", MAX_LAYERS,
		               c->n_layers);
	c->sliding = arena_new(&c->arena, c->n_layers, sizeof *c->sliding, e);
	return c->sliding ? 0 : -1;
}

/* ---- reading and checking */

static int check(const struct config *c, struct err *e)
{
	const struct {
		const char *name;
		size_t v, max;
	} sizes[] = {
		{ "layers", c->n_layers, MAX_LAYERS },
		{ "hidden size", c->hidden, MAX_HIDDEN },
		{ "heads", c->n_heads, MAX_HEADS },
		{ "kv heads", c->n_kv_heads, MAX_HEADS },
		{ "head size", c->head_dim, MAX_HEAD_DIM },
		{ "feed-forward size", c->ffn, MAX_HIDDEN },
		{ "vocabulary", c->vocab, MAX_VOCAB },
		{ "positions", c->max_pos, (size_t)1 << 30 },
		{ "original positions", c->rope_original, (size_t)1 << 30 },
	};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		if (!sizes[i].v || sizes[i].v > sizes[i].max)
			return err_set(e, ERR_INPUT, "%s: expected 1 to %zu, found %zu",
			               sizes[i].name, sizes[i].max, sizes[i].v);
	if (c->n_heads % c->n_kv_heads)
		return err_set(e, ERR_INPUT,
		               "heads: expected a multiple of %zu kv heads, found %zu",
		               c->n_kv_heads, c->n_heads);
	if (c->head_dim % 2 || !c->rope_dims || c->rope_dims % 2)
		return err_set(e, ERR_INPUT,
		               "head size: expected even numbers, found %zu, %zu of it rotated",
		               c->head_dim, c->rope_dims);
	if (c->rope_local_theta != 0 &&
	    !(c->rope_local_theta > 1 && c->rope_local_theta < 1e15))
		return err_set(e, ERR_INPUT, "rope_local_base_freq: expected more than 1, found %g",
		               c->rope_local_theta);
	if (!(c->rope_theta > 1 && c->rope_theta < 1e15))
		return err_set(e, ERR_INPUT, "rope_theta: expected more than 1, found %g",
		               c->rope_theta);
	if (!(c->norm_eps >= 0 && c->norm_eps < 1))
		return err_set(e, ERR_INPUT, "rms_norm_eps: expected 0 to 1, found %g",
		               (double)c->norm_eps);
	if (c->rope_kind != ROPE_PLAIN && c->rope_kind != ROPE_LONG && c->rope_kind != ROPE_PART &&
	    !(c->rope_factor > 0))
		return err_set(e, ERR_INPUT, "rope factor: expected more than 0, found %g",
		               c->rope_factor);
	if (c->rope_kind == ROPE_LLAMA3 && !(c->rope_low > 0 && c->rope_high > c->rope_low))
		return err_set(e, ERR_INPUT, "rope: low_freq_factor %g, high_freq_factor %g",
		               c->rope_low, c->rope_high);
	for (size_t i = 0; i < c->n_eos; i++)
		if ((size_t)c->eos[i] >= c->vocab)
			return err_set(e, ERR_INPUT, "eos_token_id: expected below %zu, found %d",
			               c->vocab, (int)c->eos[i]);
	return 0;
}

static int read_json(struct config *c, struct source *s, struct bytes text, struct err *e)
{
	cJSON *json = json_parse(text, e);
	int bad;

	if (!json)
		return err_in(e, "config.json");
	bad = json_get(json, "n_layers") && json_get(json, "dim") ?
	              config_from_examples(c, s, json, e) :
	              config_from_json(c, s, json, e);
	cJSON_Delete(json);
	return bad ? err_in(e, "config.json") : 0;
}

/* A generation_config.json that parses and names an end replaces it. */
static int read_generation(struct config *c, struct source *s, struct err *e)
{
	struct bytes text;
	struct err ignored = { 0 };
	const cJSON *v;
	cJSON *json;
	int got = source_sibling(s, "generation_config.json", &text, e), bad = 0;

	if (got <= 0)
		return got;
	json = json_parse(text, &ignored);
	v = json ? json_get(json, "eos_token_id") : NULL;
	if ((cJSON_IsNumber(v) && v->valuedouble != 0) || (cJSON_IsArray(v) && v->child))
		bad = ids_from_json(c, v, e);
	cJSON_Delete(json);
	return bad ? err_in(e, "generation_config.json") : 0;
}

/* What a container has no word for. */
static int complete(struct config *c, struct err *e)
{
	c->family = family_find(c->model_type);
	c->rope_pairs_stay = c->family->interleaved;
	if (!c->rope_dims)
		c->rope_dims = c->head_dim;
	if (c->family->unscaled)
		c->attn_scale = 1;
	if (!(c->attn_scale > 0) && c->head_dim)
		c->attn_scale = (float)(1 / sqrt((double)c->head_dim));
	if (c->kv_rank && c->rope_kind == ROPE_YARN && c->rope_mscale_all > 0) {
		double gain = config_yarn_gain(c->rope_factor, c->rope_mscale_all);

		c->attn_scale *= (float)(gain * gain);
	}
	c->encoder = c->family->block == BLOCK_ENCODER;
	if (c->block)
		return 0;
	c->block = arena_new(&c->arena, c->n_layers, sizeof *c->block, e);
	for (size_t i = 0; c->block && i < c->n_layers; i++)
		c->block[i] = c->family->block;
	return c->block ? 0 : -1;
}

static int finish(struct config *c, struct err *e)
{
	if (complete(c, e) || check(c, e)) {
		config_release(c);
		return -1;
	}
	if (c->rope_kind == ROPE_LLAMA3)
		config_llama3_divisors(c);
	if (c->rope_kind == ROPE_PART && !c->has_rope_divisor)
		config_part_divisors(c);
	return 0;
}

static const struct config unread = {
	.dtype = DT_F32,
	.rope_partial = 1,
	.bos = -1,
	.rope_low = 1,
	.rope_high = 4,
	.rope_beta_fast = 32,
	.rope_beta_slow = 1,
	.rope_truncate = true,
};

int config_read(struct config *c, struct source *s, struct err *e)
{
	struct bytes text;
	int got, bad;

	*c = unread;
	if (source_container(s) == CONTAINER_GGUF) {
		bad = config_from_gguf(c, s, e);
	} else if (source_container(s) == CONTAINER_LLAMA2C) {
		bad = config_from_llama2c(c, s, e);
	} else {
		got = source_sibling(s, "config.json", &text, e);
		bad = got < 0 ? -1 :
		      !got    ? err_set(e, ERR_INPUT, "config.json: missing beside the weights") :
		                read_json(c, s, text, e) || read_generation(c, s, e);
	}
	if (bad) {
		config_release(c);
		return -1;
	}
	return finish(c, e);
}

int config_parse(struct config *c, struct bytes text, struct err *e)
{
	cJSON *json = json_parse(text, e);
	int bad;

	if (!json)
		return -1;
	*c = unread;
	bad = config_from_json(c, NULL, json, e);
	cJSON_Delete(json);
	if (bad) {
		config_release(c);
		return -1;
	}
	return finish(c, e);
}

void config_release(struct config *c)
{
	arena_release(&c->arena);
	*c = (struct config){ 0 };
}
