/* SPDX-License-Identifier: MIT */
/* bind_beside.c - experts beside a layer's feed-forward, and stacks that hold
 * gates and ups in one
 *
 * A matrix of such a stack is all rows of the gate, then all of up: they are
 * taken where they lie, as pieces. */
#include "model/bind.h"
#include "model/family.h"
#include "model/inventory.h"

#include <math.h>
#include <stdio.h>

/* ---- stacks */

/* The stack, gates and ups in one, or of a name without an end; NULL: there is none. */
static const struct tensor *find(struct binder *b, size_t i, size_t k)
{
	char path[NAME_ROOM], name[NAME_ROOM];
	const struct tensor *t = NULL;

	if (b->naming == NAMING_HF && b->c->family->halved_experts) {
		snprintf(path, sizeof path, "model.layers.%zu.%s", i, b->c->family->experts[0]);
		t = bind_find(b, name, path, k == 2 ? "down_proj" : "gate_up_proj");
	} else if (b->naming == NAMING_GGUF && k < 2) {
		snprintf(path, sizeof path, "model.layers.%zu.mlp.switch_mlp.gate_up_proj", i);
		t = bind_find(b, name, path, "weight");
	}
	b->path = NULL;
	return t;
}

/* In a compute form, all of it. */
static int read_all(struct binder *b, struct weight_desc *d, const struct tensor *t, size_t rows,
                    size_t n_in, struct err *e)
{
	struct weight_desc whole = { .name = t->name, .n_out = b->stack * rows, .n_in = n_in };
	struct shape want = shape_of(3, b->stack, rows, n_in);
	char text[64];
	struct weight *none;
	int bad;

	if (!shape_equal(&t->shape, &want))
		return bind_bad_shape(t, shape_text(text, sizeof text, t->dtype, &want), e);
	b->only = d;
	bad = dtype_info(t->dtype)->is_float ? bind_float(b, &none, t, &whole, e) :
	      dtype_info(t->dtype)->block > 1 ? bind_blocks(b, &none, t, &whole, e) :
	                                        bind_bad_shape(t, "a floating type", e);
	b->only = NULL;
	return bad;
}

int bind_halves(struct binder *b, struct layer *l, size_t i, size_t k, struct err *e)
{
	const struct config *c = b->c;
	const struct tensor *t = b->s ? find(b, i, k) : NULL;
	size_t n = k == 2 ? c->hidden : c->expert_ffn, in = k == 2 ? c->expert_ffn : c->hidden;
	size_t all = k == 2 ? n : 2 * n, row, scale = 0;
	struct weight_desc d = { 0 };
	struct weight_piece *piece;

	if (!t)
		return 0;
	if (read_all(b, &d, t, all, in, e))
		return -1;
	row = dtype_info(d.dtype)->block_bytes * in;
	if (d.form == FORM_AFFINE) {
		row = in * d.bits / 8;
		scale = in / d.group * dtype_info(d.dtype)->block_bytes;
	}
	piece = arena_new(&b->w->arena, b->stack, sizeof *piece, e);
	if (!piece)
		return -1;
	for (size_t j = 0; j < b->stack; j++) {
		size_t at = j * all + k % 2 * n;

		piece[j].data = (const unsigned char *)d.data + at * row;
		if (!scale)
			continue;
		piece[j].scales = (const unsigned char *)d.scales + at * scale;
		piece[j].biases = (const unsigned char *)d.biases + at * scale;
	}
	d.n_out = b->stack * n;
	d.data = d.scales = d.biases = NULL;
	d.piece = piece;
	return bind_add(b, &l->experts[k], &d, d.n_out * (row + 2 * scale), e) ? -1 : 1;
}

/* ---- what stands around them */

/* The norm that is routed by: its weights over the root of the width. */
static int bind_route(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	size_t n = b->c->hidden;
	char path[NAME_ROOM], name[NAME_ROOM];
	struct weight_desc d = { .name = name, .form = FORM_FLOAT, .dtype = DT_F32, .n_out = 1,
		                 .n_in = n };
	const struct tensor *t;
	struct bytes data;
	float *f;

	snprintf(path, sizeof path, "model.layers.%zu.router", i);
	if (!b->s)
		return bind_vector(b, &l->route_norm, path, "scale", n, e);
	t = bind_find(b, name, path, "scale");
	b->path = NULL;
	if (!t)
		return inventory_missing(b, name, e);
	if (t->shape.rank != 1 || t->shape.dim[0] != n || !dtype_info(t->dtype)->is_float)
		return bind_bad_shape(t, "a number for each of the stream", e);
	f = arena_new(&b->w->arena, n, sizeof *f, e);
	if (!f || source_data(b->s, t, &data, &b->w->arena, e))
		return f ? err_in(e, "%s", t->name) : -1;
	dtype_to_f32(t->dtype, f, data.p, n);
	for (size_t k = 0; k < n; k++)
		f[k] = (float)((double)f[k] / sqrt((double)n));
	d.data = f;
	return bind_add(b, &l->route_norm, &d, n * sizeof *f, e);
}

int bind_beside(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	static const char *const norms[] = { "post_feedforward_layernorm_1",
		                             "pre_feedforward_layernorm_2",
		                             "post_feedforward_layernorm_2" };
	char path[NAME_ROOM];

	for (size_t k = 0; k < 3; k++)
		if (bind_norm(b, &l->side_norm[k], NULL, i, norms[k], b->c->hidden, e))
			return -1;
	snprintf(path, sizeof path, "model.layers.%zu.router", i);
	return bind_route(b, l, i, e) ||
	       bind_vector(b, &l->router_bias, path, "per_expert_scale", b->c->n_experts, e) ? -1 : 0;
}
