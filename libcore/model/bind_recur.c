/* SPDX-License-Identifier: MIT */
/* bind_recur.c - what carries states: short convolutions and the delta rule
 *
 * Taps lie as Hugging Face, MLX or a GGUF has them. Rates of decay are stored as
 * logarithms: they are taken once, into f32. */
#include "model/bind.h"
#include "model/inventory.h"

#include <math.h>
#include <stdio.h>

/* A channel's taps, [n, 1, taps], as MLX turns them [n, taps, 1], or [1, n, 1, taps] in a GGUF. */
static bool are_taps(const struct tensor *t, size_t n, size_t taps)
{
	const struct shape *s = &t->shape;
	size_t at = s->rank == 4, count;

	return shape_count(&count, s) && count == n * taps && s->rank >= 2 && s->rank <= 4 &&
	       s->dim[0] == (at ? 1 : n) && s->dim[at] == n && dtype_info(t->dtype)->is_float &&
	       (s->rank == 2 || s->dim[at + 1] == 1 || (s->rank == 3 && s->dim[2] == 1));
}

static int bind_taps(struct binder *b, struct weight **out, size_t i, const char *module, size_t n,
                     struct err *e)
{
	char path[NAME_ROOM], name[NAME_ROOM], want[64];
	size_t taps = b->c->conv_taps;
	const struct tensor *t;
	struct weight_desc d = { .name = name, .n_out = 1, .n_in = n * taps };

	snprintf(path, sizeof path, "model.layers.%zu.%s", i, module);
	if (!b->s)
		return made_vector(b, out, path, "weight", n * taps, taps, e);
	t = bind_find(b, name, path, "weight");
	if (!t)
		return inventory_missing(b, name, e);
	if (!are_taps(t, n, taps)) {
		snprintf(want, sizeof want, "[%zu,1,%zu]", n, taps);
		return bind_bad_shape(t, want, e);
	}
	return bind_float(b, out, t, &d, e);
}

bool bind_turned(struct binder *b)
{
	char path[NAME_ROOM], name[NAME_ROOM];
	const struct tensor *t = NULL;

	for (size_t i = 0; !t && i < b->c->n_layers; i++) {
		snprintf(path, sizeof path, "model.layers.%zu.linear_attn.conv1d", i);
		t = bind_find(b, name, path, "weight");
	}
	b->path = NULL;
	return t && t->shape.rank == 3 && t->shape.dim[2] == 1;
}

int bind_conv(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	size_t n = b->c->hidden;

	for (size_t k = 0; k < 3; k++)
		if (bind_rows(b, &l->in[k], i, "conv.in_proj", k * n, n, 3 * n, n, e))
			return -1;
	return bind_taps(b, &l->conv, i, "conv.conv", n, e) ||
	       bind_linear(b, &l->o, NULL, i, "conv.out_proj", n, n, false, e);
}

/* n numbers of any shape under a module itself, as they are or e to them; of these a GGUF has
 * the negatives. */
static int bind_numbers(struct binder *b, struct weight **out, size_t i, const char *module,
                        const char *leaf, size_t n, bool raise, struct err *e)
{
	char path[NAME_ROOM], name[NAME_ROOM], want[32];
	struct weight_desc d = { .name = name, .form = FORM_FLOAT, .dtype = DT_F32, .n_out = 1,
	                         .n_in = n };
	const struct tensor *t;
	struct bytes data;
	size_t count;
	float *f;

	snprintf(path, sizeof path, "model.layers.%zu.%s", i, module);
	if (!b->s)
		return bind_vector(b, out, path, leaf, n, e);
	t = bind_find(b, name, path, leaf);
	if (!t)
		return inventory_missing(b, name, e);
	if (!shape_count(&count, &t->shape) || count != n || !dtype_info(t->dtype)->is_float) {
		snprintf(want, sizeof want, "[%zu]", n);
		return bind_bad_shape(t, want, e);
	}
	f = arena_new(&b->w->arena, n, sizeof *f, e);
	if (!f || source_data(b->s, t, &data, &b->w->arena, e))
		return f ? err_in(e, "%s", t->name) : -1;
	dtype_to_f32(t->dtype, f, data.p, n);
	for (size_t k = 0; raise && k < n; k++)
		f[k] = b->naming == NAMING_GGUF ? -f[k] : (float)exp((double)f[k]);
	d.data = f;
	b->path = NULL; /* no product's */
	return bind_add(b, out, &d, n * sizeof *f, e);
}

/* A norm of each head, whole in every family. */
static int bind_head_norm(struct binder *b, struct layer *l, size_t i, const char *module,
                          struct err *e)
{
	char path[NAME_ROOM];

	snprintf(path, sizeof path, "model.layers.%zu.%s", i, module);
	return bind_vector(b, &l->head_norm, path, "weight", b->c->delta_v, e);
}

/* Groups of a head of keys, or all q, all k, all v, and the gates beside them. */
static int bind_qkvz(struct binder *b, struct layer *l, size_t i, size_t nk, size_t nv,
                     struct err *e)
{
	static const char apart[] = "linear_attn.in_proj_qkv";
	char path[NAME_ROOM], name[NAME_ROOM];
	size_t n = b->c->hidden;

	snprintf(path, sizeof path, "model.layers.%zu.%s", i, apart);
	if (!b->s || !bind_find(b, name, path, "weight"))
		return bind_linear(b, &l->qkvz, NULL, i, "linear_attn.in_proj_qkvz", 2 * nk + 2 * nv, n,
		                   false, e);
	return bind_linear(b, &l->qkv, NULL, i, apart, 2 * nk + nv, n, false, e) ||
	       bind_linear(b, &l->z, NULL, i, "linear_attn.in_proj_z", nv, n, false, e);
}

int bind_delta(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	size_t h = c->delta_heads, nk = c->delta_key_heads * c->delta_k, nv = h * c->delta_v;

	return bind_qkvz(b, l, i, nk, nv, e) ||
	       bind_linear(b, &l->ba, NULL, i, "linear_attn.in_proj_ba", 2 * h, c->hidden, false,
	                   e) ||
	       bind_taps(b, &l->conv, i, "linear_attn.conv1d", 2 * nk + nv, e) ||
	       bind_numbers(b, &l->rate, i, "linear_attn", "A_log", h, true, e) ||
	       bind_numbers(b, &l->rate_bias, i, "linear_attn", "dt_bias", h, false, e) ||
	       bind_head_norm(b, l, i, "linear_attn.norm", e) ||
	       bind_linear(b, &l->o, NULL, i, "linear_attn.out_proj", c->hidden, nv, false, e) ?
	       -1 : 0;
}

int bind_kda(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	static const char *const module[][4] = {
		{ "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" },
		{ "self_attn.q_conv.conv", "self_attn.k_conv.conv", "self_attn.v_conv.conv" },
		{ "self_attn.f_a_proj", "self_attn.f_b_proj", "self_attn.g_a_proj",
		  "self_attn.g_b_proj" },
	};
	const struct config *c = b->c;
	size_t h = c->delta_heads, low = c->delta_v, n = h * c->delta_k;
	struct weight **in[] = { &l->q, &l->k, &l->v };

	for (size_t k = 0; k < 3; k++)
		if (bind_linear(b, in[k], NULL, i, module[0][k], n, c->hidden, false, e) ||
		    bind_taps(b, &l->taps[k], i, module[1][k], n, e))
			return -1;
	return bind_linear(b, &l->decay[0], NULL, i, module[2][0], low, c->hidden, false, e) ||
	       bind_linear(b, &l->decay[1], NULL, i, module[2][1], n, low, false, e) ||
	       bind_linear(b, &l->outer[0], NULL, i, module[2][2], low, c->hidden, false, e) ||
	       bind_linear(b, &l->outer[1], NULL, i, module[2][3], n, low, false, e) ||
	       bind_linear(b, &l->beta, NULL, i, "self_attn.b_proj", h, c->hidden, false, e) ||
	       bind_numbers(b, &l->rate, i, "self_attn", "A_log", h, true, e) ||
	       bind_numbers(b, &l->rate_bias, i, "self_attn", "dt_bias", n, false, e) ||
	       bind_head_norm(b, l, i, "self_attn.o_norm", e) ||
	       bind_linear(b, &l->o, NULL, i, "self_attn.o_proj", c->hidden, n, false, e) ? -1 : 0;
}
