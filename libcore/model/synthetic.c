/* SPDX-License-Identifier: MIT */
/* synthetic.c - random weights of a known shape
 *
 * For measuring a device without a model's file: the real matrices' sizes
 * and forms, values that keep activations finite. The same seed gives the
 * same weights. */
#include "model/family.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct shape_row {
	const char *name, *model_type;
	size_t n_layers, hidden, n_heads, n_kv_heads, head_dim, ffn, vocab;
	bool tied, qkv_bias, qk_norm;
	size_t n_experts, n_used; /* of ffn each; 0: none */
	const char *attends;   /* a letter a layer, A: attention, others convolve; NULL: all attend */
} shapes[] = {
	{ "tinyllama-1.1b", "llama", 22, 2048, 32, 4, 64, 5632, 32000, false, false, false, 0, 0,
	  NULL },
	{ "llama-1b", "llama", 16, 2048, 32, 8, 64, 8192, 128256, true, false, false, 0, 0, NULL },
	{ "llama-3b", "llama", 28, 3072, 24, 8, 128, 8192, 128256, true, false, false, 0, 0, NULL },
	{ "llama-8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, false, false, false, 0, 0, NULL },
	{ "qwen-0.5b", "qwen2", 24, 896, 14, 2, 64, 4864, 151936, true, true, false, 0, 0, NULL },
	{ "qwen3-0.6b", "qwen3", 28, 1024, 16, 8, 128, 3072, 151936, true, false, true, 0, 0, NULL },
	{ "qwen3-30b-a3b", "qwen3_moe", 48, 2048, 32, 4, 128, 768, 151936, false, false, true,
	  128, 8, NULL },
	{ "lfm2-1.2b", "lfm2", 16, 2048, 32, 8, 64, 8192, 65536, true, false, true, 0, 0,
	  "ccAccAccAcAcAcAc" },
	{ "tiny", "llama", 2, 128, 4, 2, 32, 320, 512, true, false, false, 0, 0, NULL },
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

size_t synthetic_count(void)
{
	return N_SHAPES;
}

const char *synthetic_name(size_t i)
{
	return shapes[i].name;
}

static int unknown(const char *name, struct err *e)
{
	char all[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < N_SHAPES && n < sizeof all; i++)
		n += (size_t)snprintf(all + n, sizeof all - n, " %s", shapes[i].name);
	return err_set(e, ERR_MISUSE, "shape \"%s\": expected one of%s", name, all);
}

/* Every layer's feed-forward is a mixture. */
static int mixture(struct config *c, const struct shape_row *s, struct err *e)
{
	c->n_experts = s->n_experts;
	c->expert_ffn = s->ffn;
	c->routing = (struct routing){ .score = c->family->score, .normalize = true,
		                       .k = s->n_used, .scale = 1 };
	c->sparse = arena_new(&c->arena, c->n_layers, sizeof *c->sparse, e);
	for (size_t i = 0; c->sparse && i < c->n_layers; i++)
		c->sparse[i] = true;
	return c->sparse ? 0 : -1;
}

int synthetic_config(struct config *c, const char *name, enum dtype dtype, struct err *e)
{
	const struct shape_row *s = NULL;

	for (size_t i = 0; i < N_SHAPES; i++)
		if (!strcmp(shapes[i].name, name))
			s = &shapes[i];
	if (!s)
		return unknown(name, e);
	*c = (struct config){
		.n_layers = s->n_layers,
		.hidden = s->hidden,
		.n_heads = s->n_heads,
		.n_kv_heads = s->n_kv_heads,
		.head_dim = s->head_dim,
		.ffn = s->ffn,
		.vocab = s->vocab,
		.max_pos = 131072,
		.norm_eps = 1e-5f,
		.tied = s->tied,
		.qkv_bias = s->qkv_bias,
		.qk_norm = s->qk_norm,
		.rope_theta = 500000,
		.rope_original = 8192,
		.rope_dims = s->head_dim,
		.attn_scale = (float)(1 / sqrt((double)s->head_dim)),
		.family = family_find(s->model_type),
		.bos = -1,
		.dtype = dtype,
	};
	snprintf(c->model_type, sizeof c->model_type, "%s", s->model_type);
	c->sliding = arena_new(&c->arena, c->n_layers, sizeof *c->sliding, e);
	c->block = arena_new(&c->arena, c->n_layers, sizeof *c->block, e);
	if (!c->sliding || !c->block)
		return -1;
	for (size_t i = 0; s->attends && i < c->n_layers; i++)
		c->block[i] = s->attends[i] == 'A' ? BLOCK_ATTENTION : BLOCK_CONV;
	c->conv_taps = s->attends ? 3 : 0;
	return s->n_experts ? mixture(c, s, e) : 0;
}

/* Steele et al., 2014 (SplitMix64) */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void put(void *out, size_t i, enum dtype t, float v)
{
	if (t == DT_F32)
		((float *)out)[i] = v;
	else
		((uint16_t *)out)[i] = t == DT_F16 ? f16_from_f32(v) : bf16_from_f32(v);
}

/* n values in [centre - width, centre + width). */
static void *floats(struct arena *a, size_t n, enum dtype t, float centre, float width,
                    uint64_t *seed, struct err *e)
{
	void *out = arena_new(a, n, dtype_info(t)->block_bytes, e);

	for (size_t i = 0; out && i < n; i += 4) {
		uint64_t bits = draw(seed);

		for (size_t j = 0; j < 4 && i + j < n; j++, bits >>= 16)
			put(out, i + j, t,
			    centre + width * ((float)(bits & 0xffff) / 32768.0f - 1));
	}
	return out;
}

static void *codes(struct arena *a, size_t n_bytes, uint64_t *seed, struct err *e)
{
	unsigned char *q = arena_new(a, n_bytes, 1, e);
	size_t i = 0;

	for (; q && i + 8 <= n_bytes; i += 8) {
		uint64_t v = draw(seed);

		memcpy(q + i, &v, 8);
	}
	for (; q && i < n_bytes; i++)
		q[i] = (unsigned char)draw(seed);
	return q;
}

int synthetic_matrix(struct weight_desc *d, struct arena *a, enum dtype dtype, unsigned bits,
                     unsigned group, uint64_t *seed, struct err *e)
{
	float width = sqrtf(3.0f / (float)d->n_in);

	d->dtype = dtype;
	if (!bits || d->n_in % group) {
		d->form = FORM_FLOAT;
		d->data = floats(a, d->n_out * d->n_in, dtype, 0, width, seed, e);
		return d->data ? 0 : -1;
	}
	float levels = (float)((1u << bits) - 1), scale = 2 * width / levels;
	size_t groups = d->n_out * (d->n_in / group);

	d->form = FORM_AFFINE;
	d->bits = bits;
	d->group = group;
	d->data = codes(a, d->n_out * d->n_in * bits / 8, seed, e);
	d->scales = d->data ? floats(a, groups, dtype, scale, scale / 8, seed, e) : NULL;
	d->biases = d->scales ? floats(a, groups, dtype, -width, width / 8, seed, e) : NULL;
	return d->biases ? 0 : -1;
}

int synthetic_vector(struct weight_desc *d, struct arena *a, enum dtype dtype, float centre,
                     uint64_t *seed, struct err *e)
{
	d->form = FORM_FLOAT;
	d->dtype = dtype;
	d->data = floats(a, d->n_in, dtype, centre, 0.1f, seed, e);
	return d->data ? 0 : -1;
}
