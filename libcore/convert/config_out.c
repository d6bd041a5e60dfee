/* SPDX-License-Identifier: MIT */
/* config_out.c - config.json of the output
 *
 * Where the source has one in Hugging Face's spelling its text stays as it
 * is, or is changed only where the weights change. From GGUF metadata, a
 * llama2.c header or the mlx-examples' spelling it is written anew. */
#include "convert/config_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 256 };

const char *gguf_architecture(const struct config *c)
{
	struct family_files f;

	return c && family_files(&f, c->model_type) ? f.gguf : NULL;
}

bool gguf_pairs(const struct config *c)
{
	struct family_files f;

	return c && family_files(&f, c->model_type) && f.gguf_pairs;
}

/* ---- pieces of a tree; a failed allocation shows when the text is short
 * of a key, so each of these tells */

/* The shortest decimal that is this float: 1e-05 rather than 9.99999975e-06. */
double config_decimal(float f)
{
	char text[40];
	double d = f;

	for (int digits = 6; digits <= 9; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, (double)f);
		d = strtod(text, NULL);
		if ((float)d == f)
			break;
	}
	return d;
}

bool config_put(cJSON *o, const char *key, cJSON *v)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, key);
	return v && cJSON_AddItemToObject(o, key, v);
}

bool config_put_number(cJSON *o, const char *key, double v)
{
	return config_put(o, key, cJSON_CreateNumber(v));
}

bool config_put_text(cJSON *o, const char *key, const char *v)
{
	return config_put(o, key, cJSON_CreateString(v));
}

bool config_put_bool(cJSON *o, const char *key, bool v)
{
	return config_put(o, key, cJSON_CreateBool(v));
}

static const char *torch_name(enum dtype t)
{
	return t == DT_F16 ? "float16" : t == DT_BF16 ? "bfloat16" : "float32";
}

/* ---- quantization */

static cJSON *layer(const struct target *t)
{
	cJSON *o = cJSON_CreateObject();

	if (o && config_put_number(o, "group_size", t->group) &&
	    config_put_number(o, "bits", t->bits) &&
	    config_put_text(o, "mode", coding_info(t->coding)->name))
		return o;
	cJSON_Delete(o);
	return NULL;
}

/* The most common form at the top, the others by their path. */
static cJSON *quantization(const struct plan *p, struct err *e)
{
	cJSON *o = layer(&p->most);

	for (size_t i = 0; o && i < p->n_items; i++) {
		char path[NAME_ROOM];
		struct target t;

		if (!item_is_triple(&p->item[i], &t) || (t.coding == p->most.coding &&
		    t.bits == p->most.bits && t.group == p->most.group))
			continue;
		if (item_path(p, &p->item[i], path, sizeof path, e) || !config_put(o, path, layer(&t))) {
			cJSON_Delete(o);
			return NULL;
		}
	}
	return o;
}

static bool put_quantization(cJSON *o, const struct plan *p, struct err *e)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, "quantization");
	cJSON_DeleteItemFromObjectCaseSensitive(o, "quantization_config");
	return !p->most.bits || (config_put(o, "quantization", quantization(p, e)) &&
	                    config_put(o, "quantization_config", quantization(p, e)));
}

/* ---- a config of our own */

/* The divisors that these parameters give, as model/ computes them. */
static bool gives(const struct config *c, double factor, double original)
{
	for (size_t i = 0; i < c->head_dim / 2; i++) {
		double period = 2 * M_PI * pow(c->rope_theta, 2.0 * (double)i / (double)c->head_dim);
		double s = (original / period - 1) / 3, d = 1 / ((1 - s) / factor + s);

		d = s <= 0 ? factor : s >= 1 ? 1 : d;
		if (fabs((double)c->rope_divisor[i] - d) > 1e-5 * d)
			return false;
	}
	return true;
}

/* llama3's parameters from the divisors in a GGUF, which keeps no others.
 * low_freq_factor and high_freq_factor are 1 and 4 in every model there is.
 * A divisor between 1 and the factor tells the original context; where there
 * is none many would do, and a power of two is taken. */
static bool fit_llama3(const struct config *c, double *factor, double *original)
{
	size_t n = c->head_dim / 2;

	*factor = (double)c->rope_divisor[n - 1];
	for (size_t i = 0; i < n && *factor > 1; i++) {
		double d = (double)c->rope_divisor[i], s;

		if (d == 1 || d == *factor)
			continue;
		s = (1 / d - 1 / *factor) / (1 - 1 / *factor);
		*original = round(2 * M_PI *
		                  pow(c->rope_theta, 2.0 * (double)i / (double)c->head_dim) *
		                  (1 + 3 * s));
		if (gives(c, *factor, *original))
			return true;
	}
	for (*original = 1; *factor > 1 && *original < 0x1p30; *original *= 2)
		if (gives(c, *factor, *original))
			return true;
	return false;
}

static bool put_longrope(cJSON *o, const struct config *c)
{
	size_t n = c->rope_dims / 2;
	double near[256], far[256];

	for (size_t i = 0; i < n; i++) {
		near[i] = config_decimal(c->rope_divisor[i]);
		far[i] = config_decimal(c->rope_far_divisor[i]);
	}
	return config_put_text(o, "rope_type", "longrope") && config_put_text(o, "type", "longrope") &&
	       config_put(o, "short_factor", cJSON_CreateDoubleArray(near, (int)n)) &&
	       config_put(o, "long_factor", cJSON_CreateDoubleArray(far, (int)n)) &&
	       config_put_number(o, "attention_factor", c->rope_attention_factor);
}

static bool put_llama3(cJSON *o, const struct config *c, double factor, double original)
{
	return config_put_text(o, "rope_type", "llama3") && config_put_number(o, "factor", factor) &&
	       config_put_number(o, "low_freq_factor", c->rope_low) &&
	       config_put_number(o, "high_freq_factor", c->rope_high) &&
	       config_put_number(o, "original_max_position_embeddings", original);
}

/* What is not as most have it. */
static bool put_yarn(cJSON *o, const struct config *c)
{
	return (c->rope_beta_fast == 32 || config_put_number(o, "beta_fast", c->rope_beta_fast)) &&
	       (c->rope_beta_slow == 1 || config_put_number(o, "beta_slow", c->rope_beta_slow)) &&
	       (c->rope_truncate || config_put_bool(o, "truncate", false)) &&
	       (!(c->rope_mscale_all > 0) ||
	        (config_put_number(o, "mscale", c->rope_mscale) &&
	         config_put_number(o, "mscale_all_dim", c->rope_mscale_all)));
}

static bool put_scaled(cJSON *o, const struct config *c)
{
	return config_put_text(o, "rope_type", c->rope_kind == ROPE_YARN ? "yarn"
	                              : c->rope_kind == ROPE_DYNAMIC ? "dynamic" : "linear") &&
	       config_put_number(o, "factor", c->rope_factor) &&
	       (c->rope_kind != ROPE_YARN ||
	        config_put_number(o, "original_max_position_embeddings", (double)c->rope_original)) &&
	       (c->rope_kind != ROPE_YARN || put_yarn(o, c)) &&
	       (!(c->rope_attention_factor > 0) || c->rope_mscale_all > 0 ||
	        config_put_number(o, "attention_factor", c->rope_attention_factor));
}

static cJSON *rope_scaling(const struct config *c, struct err *e)
{
	double factor = c->rope_factor, original = (double)c->rope_original;
	bool llama3 = c->has_rope_divisor && c->rope_kind != ROPE_LONG;
	cJSON *o;

	if (llama3 && c->rope_kind != ROPE_LLAMA3 && !fit_llama3(c, &factor, &original)) {
		err_set(e, ERR_INPUT, "rope_freqs.weight: no llama3 scaling has these divisors");
		return NULL;
	}
	o = cJSON_CreateObject();
	if (o && (c->rope_kind == ROPE_LONG ? put_longrope(o, c) :
	          llama3                    ? put_llama3(o, c, factor, original) :
	                                      put_scaled(o, c)))
		return o;
	err_memory(e, sizeof *o);
	cJSON_Delete(o);
	return NULL;
}

static cJSON *end_ids(const struct config *c)
{
	cJSON *a;

	if (c->n_eos == 1)
		return cJSON_CreateNumber(c->eos[0]);
	a = cJSON_CreateArray();
	for (size_t i = 0; a && i < c->n_eos; i++)
		cJSON_AddItemToArray(a, cJSON_CreateNumber(c->eos[i]));
	return a;
}

/* Where only some layers slide the config lists them all. */
static bool put_window(cJSON *o, const struct config *c, const struct family_files *f)
{
	cJSON *types;
	size_t n = 0;

	for (size_t i = 0; i < c->n_layers; i++)
		n += c->sliding[i];
	if (!c->window || !n)
		return true;
	if (!config_put_number(o, "sliding_window", (double)c->window))
		return false;
	if (f->window_by_flag &&
	    !(config_put_bool(o, "use_sliding_window", true) &&
	      config_put_number(o, "max_window_layers", 0)))
		return false;
	if (n == c->n_layers && (f->window_everywhere || f->window_by_flag))
		return true;
	types = cJSON_CreateArray();
	for (size_t i = 0; types && i < c->n_layers; i++)
		cJSON_AddItemToArray(types, cJSON_CreateString(c->sliding[i] ? "sliding_attention"
		                                                             : "full_attention"));
	return config_put(o, "layer_types", types);
}

/* A GGUF of the llama architecture whose every layer slides is a Mistral. */
static const char *type_of(const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_layers; i++)
		n += c->sliding[i];
	if (!strcmp(c->model_type, "llama") && n == c->n_layers && c->window)
		return "mistral";
	return c->model_type;
}

static bool put_sizes(cJSON *o, const struct config *c)
{
	return config_put_number(o, "hidden_size", (double)c->hidden) &&
	       config_put_number(o, "intermediate_size", (double)c->ffn) &&
	       config_put_number(o, "num_hidden_layers", (double)c->n_layers) &&
	       config_put_number(o, "num_attention_heads", (double)c->n_heads) &&
	       config_put_number(o, "num_key_value_heads", (double)c->n_kv_heads) &&
	       (c->kv_rank || config_put_number(o, "head_dim", (double)c->head_dim)) &&
	       config_put_number(o, "max_position_embeddings", (double)c->max_pos) &&
	       config_put_number(o, "vocab_size", (double)c->vocab) &&
	       config_put_number(o, "rms_norm_eps", config_decimal(c->norm_eps)) &&
	       config_put_number(o, "rope_theta", c->rope_theta);
}

static bool put_activation(cJSON *o, const struct config *c)
{
	static const char *const names[] = { [ACT_SILU] = "silu", [ACT_GELU] = "gelu",
		                             [ACT_GELU_TANH] = "gelu_pytorch_tanh",
		                             [ACT_CLIPPED] = "silu" };

	return config_put_text(o, "hidden_act", names[c->act]) &&
	       (c->act == ACT_SILU || c->act == ACT_CLIPPED ||
	        config_put_text(o, "hidden_activation", names[c->act]));
}

/* One for a layer that is rotated. */
static bool put_rotated(cJSON *o, const struct config *c)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && i < c->n_layers; i++)
		cJSON_AddItemToArray(list, cJSON_CreateNumber(!c->unrotated[i]));
	return config_put(o, "no_rope_layers", list);
}

/* What some families have besides: rotation of a part, bounds, scales. */
static bool put_facts(cJSON *o, const struct config *c, const struct family_files *f)
{
	double scalar = round(1 / ((double)c->attn_scale * (double)c->attn_scale));

	return (c->rope_dims == c->head_dim || c->kv_rank || c->full_head_dim ||
	        config_put_number(o, "partial_rotary_factor",
	                   (double)c->rope_dims / (double)c->head_dim)) &&
	       (c->rope_kind != ROPE_LONG || config_put_number(o, "original_max_position_embeddings",
	                                                (double)c->rope_original)) &&
	       (!(c->rope_local_theta > 0) ||
	        config_put_number(o, "rope_local_base_freq", c->rope_local_theta)) &&
	       (!f->norm_less_one || !(c->embed_scale > 0) ||
	        config_put_number(o, "query_pre_attn_scalar", scalar)) &&
	       (!(c->attn_softcap > 0) ||
	        config_put_number(o, "attn_logit_softcapping", config_decimal(c->attn_softcap))) &&
	       (!(c->final_softcap > 0) ||
	        config_put_number(o, "final_logit_softcapping", config_decimal(c->final_softcap))) &&
	       (!c->unrotated || f->unrotated_every == 1 || put_rotated(o, c));
}

static int build(cJSON *o, const struct plan *p, struct err *e)
{
	struct config c = *p->config;
	struct family_files f = { 0 };
	enum dtype d = p->options->dtype != DT_COUNT ? p->options->dtype : c.dtype;
	bool gguf = naming_of(p->source) == NAMING_GGUF;
	cJSON *classes = cJSON_CreateArray();

	snprintf(c.model_type, sizeof c.model_type, "%s", type_of(p->config));
	family_files(&f, c.model_type);
	cJSON_AddItemToArray(classes, cJSON_CreateString(f.class));
	if (!config_put(o, "architectures", classes) ||
	    !config_put_text(o, "model_type", c.model_type) ||
	    !put_sizes(o, &c) || !put_activation(o, &c) || !put_facts(o, &c, &f) ||
	    !config_put_own(o, &c, &f) ||
	    !config_put_bool(o, "tie_word_embeddings", c.tied && !p->untied) ||
	    (!f.qkv_bias && !config_put_bool(o, "attention_bias", c.qkv_bias)) ||
	    (!strcmp(c.model_type, "llama") && !config_put_bool(o, "mlp_bias", c.mlp_bias)) ||
	    !config_put_text(o, "torch_dtype", torch_name(d)) || !put_window(o, &c, &f) ||
	    (c.bos >= 0 && !config_put_number(o, "bos_token_id", c.bos)) ||
	    (c.n_eos && !config_put(o, "eos_token_id", end_ids(&c))))
		return err_memory(e, sizeof *o);
	if (c.qkv_bias && !c.o_bias && gguf && !strcmp(c.model_type, "llama"))
		return err_set(e, ERR_INPUT, "biases on q, k and v alone have no form in a llama config");
	if (!c.full_head_dim && (c.has_rope_divisor || c.rope_kind != ROPE_PLAIN)) {
		cJSON *r = rope_scaling(&c, e);

		if (!r)
			return -1;
		if (!config_put(o, "rope_scaling", r))
			return err_memory(e, sizeof *o);
	}
	return put_quantization(o, p, e) ? 0 : err_memory(e, sizeof *o);
}

/* mlx-examples: the rows lie in halves, and the layout says so. */
static int build_examples(cJSON *o, const struct plan *p, struct err *e)
{
	const struct config *c = p->config;

	if (config_put_text(o, "model_type", "llama") &&
	    config_put_number(o, "dim", (double)c->hidden) &&
	    config_put_number(o, "n_layers", (double)c->n_layers) &&
	    config_put_number(o, "n_heads", (double)c->n_heads) &&
	    config_put_number(o, "n_kv_heads", (double)c->n_kv_heads) &&
	    config_put_number(o, "head_dim", (double)c->head_dim) &&
	    config_put_number(o, "hidden_dim", (double)c->ffn) &&
	    config_put_number(o, "norm_eps", config_decimal(c->norm_eps)) &&
	    config_put_number(o, "vocab_size", (double)c->vocab) &&
	    config_put_number(o, "rope_theta", c->rope_theta) &&
	    config_put_bool(o, "rope_traditional", false) &&
	    config_put_number(o, "max_position_embeddings", (double)c->max_pos) &&
	    (!c->n_eos || config_put(o, "eos_token_id", end_ids(c))) &&
	    (!p->most.bits || config_put(o, "quantization", quantization(p, e))))
		return 0;
	return err_memory(e, sizeof *o);
}

/* ---- the source's own config, changed */

static bool weights_change(const struct plan *p)
{
	if (p->rows != ROWS_KEEP || p->options->dtype != DT_COUNT || p->untied)
		return true;
	for (size_t i = 0; i < p->n_items; i++) {
		const struct item *t = &p->item[i];

		if (t->out == OUT_AFFINE || t->out == OUT_CODED || t->tile_scales ||
		    ((t->in == IN_AFFINE || t->in == IN_CODED) && t->out != OUT_SAME))
			return true;
	}
	return false;
}

static int change(cJSON *o, const struct plan *p, struct err *e)
{
	if (p->rows != ROWS_KEEP)
		cJSON_DeleteItemFromObjectCaseSensitive(o, "rope_traditional");
	if (p->untied && !config_put_bool(o, "tie_word_embeddings", false))
		return err_memory(e, sizeof *o);
	if (p->options->dtype != DT_COUNT) {
		const char *name = torch_name(p->options->dtype);

		if (json_get(o, "dtype") && !config_put_text(o, "dtype", name))
			return err_memory(e, sizeof *o);
		if ((json_get(o, "torch_dtype") || !json_get(o, "dtype")) &&
		    !config_put_text(o, "torch_dtype", name))
			return err_memory(e, sizeof *o);
	}
	return put_quantization(o, p, e) ? 0 : err_memory(e, sizeof *o);
}

int config_text(struct buf *out, const struct plan *p, struct err *e)
{
	bool foreign = p->names == NAMING_META || naming_of(p->source) != NAMING_HF;
	struct bytes text = { 0 };
	int got = source_sibling(p->source, "config.json", &text, e), rc;
	cJSON *o, *part = NULL;

	if (got < 0 || (!got && !p->config))
		return got;
	foreign |= !got;
	o = foreign ? cJSON_CreateObject() : json_parse(text, e);
	if (!o)
		return foreign ? err_memory(e, sizeof *o) : err_in(e, "config.json");
	if (!foreign && p->config && config_text_json(&part, o, e) < 0) {
		cJSON_Delete(o);
		return err_in(e, "config.json");
	}
	if (part) { /* the text model's, in place of the whole's */
		cJSON_Delete(o);
		o = part;
	} else if (!foreign && !weights_change(p)) {
		cJSON_Delete(o);
		buf_add(out, text.p, text.n);
		return buf_check(out, e);
	}
	rc = p->names == NAMING_META ? build_examples(o, p, e) :
	     foreign                 ? build(o, p, e) :
	                               change(o, p, e);
	if (rc == 0)
		rc = json_write(out, o, 4, true, e);
	cJSON_Delete(o);
	buf_add_byte(out, '\n');
	return rc ? -1 : buf_check(out, e);
}
