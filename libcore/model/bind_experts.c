/* SPDX-License-Identifier: MIT */
/* bind_experts.c - a router, its experts as stacks, and the shared expert
 *
 * A file has the experts of a layer as one tensor (MLX, GGUF), or each as a
 * tensor of its own (Hugging Face): these stay where they are, as pieces. */
#include "model/bind.h"
#include "model/coded.h"
#include "model/family.h"
#include "model/inventory.h"

#include <stdio.h>

/* MLX's packed rows of one expert: the first sets form and widths. */
static int take_codes(struct binder *b, struct weight_desc *d, struct weight_piece *p, size_t j,
                      const struct tensor *t, const char *path, struct err *e)
{
	char name[NAME_ROOM];
	const struct tensor *s = bind_find(b, name, path, "scales");
	const struct tensor *z = bind_find(b, name, path, "biases");
	size_t rows = d->n_out / b->stack, words, groups;
	struct bytes data, scales, biases;

	if (!z)
		return err_set(e, ERR_INPUT, "%s: missing (only affine quantization is read)", name);
	if (t->dtype != DT_U32 || t->shape.rank != 2 || t->shape.dim[0] != rows ||
	    t->shape.dim[1] > d->n_in || t->shape.dim[1] * 32 % d->n_in)
		return bind_bad_shape(t, "packed rows", e);
	if (s->shape.rank != 2 || s->shape.dim[0] != rows || !s->shape.dim[1] ||
	    d->n_in % s->shape.dim[1] || s->dtype != z->dtype || !shape_equal(&s->shape, &z->shape))
		return bind_bad_shape(s, "scales of the packed rows", e);
	words = t->shape.dim[1] * 32 / d->n_in;
	groups = d->n_in / s->shape.dim[1];
	if (j && (d->bits != words || d->group != groups || d->dtype != s->dtype))
		return bind_bad_shape(t, "what the first expert has", e);
	d->form = FORM_AFFINE;
	d->bits = (unsigned)words;
	d->group = (unsigned)groups;
	d->dtype = s->dtype;
	if (source_data(b->s, t, &data, &b->w->arena, e) ||
	    source_data(b->s, s, &scales, &b->w->arena, e) ||
	    source_data(b->s, z, &biases, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	*p = (struct weight_piece){ data.p, scales.p, biases.p };
	return 0;
}

/* fp8 with a scale for each tile. */
static int take_tiles(struct binder *b, struct weight_desc *d, struct weight_piece *p,
                      const struct tensor *t, const struct tensor *tiles, struct err *e)
{
	struct weight_desc one = { .n_out = d->n_out / b->stack, .n_in = d->n_in };

	if (tiled_weight(&one, &b->w->arena, b->s, t, tiles, 0, e))
		return -1;
	d->dtype = one.dtype;
	*p = (struct weight_piece){ .data = one.data };
	return 0;
}

static int take_floats(struct binder *b, struct weight_desc *d, struct weight_piece *p, size_t j,
                       const struct tensor *t, const char *path, struct err *e)
{
	size_t rows = d->n_out / b->stack;
	char want[64], name[NAME_ROOM];
	const struct tensor *tiles = bind_find(b, name, path, "weight_scale_inv");
	enum dtype have = tiles ? DT_F32 : t->dtype;
	struct bytes data;

	if (t->shape.rank != 2 || t->shape.dim[0] != rows || t->shape.dim[1] != d->n_in ||
	    !dtype_info(t->dtype)->is_float || (j && have != d->dtype)) {
		snprintf(want, sizeof want, "[%zu,%zu] %s", rows, d->n_in,
		         j ? dtype_info(d->dtype)->name : "of a floating type");
		return bind_bad_shape(t, want, e);
	}
	if (tiles)
		return take_tiles(b, d, p, t, tiles, e);
	d->dtype = t->dtype;
	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	*p = (struct weight_piece){ .data = data.p };
	return 0;
}

/* Packed as compressed-tensors does it: 1; 0: it is not. */
static int take_packed(struct binder *b, struct weight_desc *d, struct weight_piece *p, size_t j,
                       const char *path, struct err *e)
{
	struct weight_desc one = { .n_out = d->n_out / b->stack, .n_in = d->n_in };
	int got = packed_weight(b, &one, path, one.n_out, e);

	if (got <= 0)
		return got;
	if (j && (d->form != FORM_AFFINE || d->bits != one.bits || d->group != one.group ||
	          d->dtype != one.dtype))
		return err_set(e, ERR_INPUT, "%s: expected what the first expert has", path);
	d->form = FORM_AFFINE;
	d->bits = one.bits;
	d->group = one.group;
	d->dtype = one.dtype;
	*p = (struct weight_piece){ one.data, one.scales, one.biases };
	return 1;
}

/* Experts that are tensors of their own. */
static int bind_pieces(struct binder *b, struct weight **out, size_t i, const char *part,
                       size_t n_out, size_t n_in, struct err *e)
{
	struct weight_piece *piece = arena_new(&b->w->arena, b->stack, sizeof *piece, e);
	struct weight_desc d = { .name = part, .n_out = b->stack * n_out, .n_in = n_in,
		                 .piece = piece };
	bool lacking = false;
	double bits;

	if (!piece)
		return -1;
	for (size_t j = 0; j < b->stack; j++) {
		char path[NAME_ROOM], name[NAME_ROOM], scales[NAME_ROOM];
		const struct tensor *t;
		bool codes;
		int packed;

		snprintf(path, sizeof path, "model.layers.%zu.%s.%zu.%s", i,
		         b->c->family->experts[0], j, part);
		t = bind_find(b, name, path, "weight");
		packed = t ? 0 : take_packed(b, &d, &piece[j], j, path, e);
		if (packed < 0)
			return -1;
		if (packed)
			continue;
		lacking |= !t;
		if (!t && inventory_missing(b, name, e))
			return -1;
		if (lacking)
			continue;
		codes = bind_find(b, scales, path, "scales");
		if (j && codes != (d.form == FORM_AFFINE))
			return bind_bad_shape(t, "what the first expert has", e);
		if (codes ? take_codes(b, &d, &piece[j], j, t, path, e) :
		            take_floats(b, &d, &piece[j], j, t, path, e))
			return -1;
	}
	if (lacking)
		return 0;
	bits = d.form == FORM_AFFINE ?
		d.bits + 16.0 * (double)dtype_info(d.dtype)->block_bytes / d.group :
		8.0 * (double)dtype_info(d.dtype)->block_bytes;
	return bind_add(b, out, &d, (size_t)(bits * (double)(d.n_out * n_in) / 8), e);
}

/* Part k of every expert: gate, up or down. */
static int bind_stack(struct binder *b, struct layer *l, size_t i, size_t k, size_t n_out,
                      size_t n_in, struct err *e)
{
	static const char *const parts[] = { "gate_proj", "up_proj", "down_proj" };
	struct weight **out = &l->experts[k];
	char path[NAME_ROOM], name[NAME_ROOM];
	int bad, halves;

	snprintf(path, sizeof path, "model.layers.%zu.mlp.switch_mlp.%s", i, parts[k]);
	b->stack = b->c->n_experts;
	b->used = b->c->routing.k;
	halves = bind_halves(b, l, i, k, e);
	if (halves)
		bad = halves < 0;
	else if (!b->s || b->naming != NAMING_HF || bind_find(b, name, path, "weight"))
		bad = bind_matrix(b, out, path, b->stack * n_out, n_in, e) ||
		      (b->c->mlp_bias &&
		       bind_vector(b, &l->expert_bias[k], path, "bias", b->stack * n_out, e));
	else if (b->c->family->paired_experts)
		bad = bind_paired(b, l, i, k, e);
	else
		bad = bind_pieces(b, out, i, b->c->family->experts[1 + k], n_out, n_in, e);
	b->stack = b->used = 0;
	return bad ? -1 : 0;
}

int bind_experts(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	size_t n = c->expert_ffn, d = c->hidden, shared = c->shared_ffn;
	char path[NAME_ROOM], name[NAME_ROOM];

	if (c->family->beside)
		return bind_beside(b, l, i, e) || bind_feed_forward(b, l, i, e) ||
		       bind_linear(b, &l->router, NULL, i, "mlp.gate", c->n_experts, d, false, e) ||
		       bind_stack(b, l, i, 0, n, d, e) || bind_stack(b, l, i, 1, n, d, e) ||
		       bind_stack(b, l, i, 2, d, n, e) ? -1 : 0;
	snprintf(path, sizeof path, "model.layers.%zu.mlp", i); /* MLX's place of some families */
	if (!c->choice_bias || !b->s || !bind_find(b, name, path, "e_score_correction_bias"))
		snprintf(path, sizeof path, "model.layers.%zu.mlp.gate", i);
	if (bind_linear(b, &l->router, &l->logit_bias, i, "mlp.gate", c->n_experts, d, c->mlp_bias,
	                e) ||
	    (c->choice_bias &&
	     bind_vector(b, &l->router_bias, path, "e_score_correction_bias", c->n_experts, e)) ||
	    bind_stack(b, l, i, 0, n, d, e) ||
	    bind_stack(b, l, i, 1, n, d, e) ||
	    bind_stack(b, l, i, 2, d, n, e))
		return -1;
	if (!shared)
		return 0;
	if (c->family->gated_shared &&
	    bind_linear(b, &l->share, NULL, i, "mlp.shared_expert_gate", 1, d, false, e))
		return -1;
	return bind_linear(b, &l->gate, NULL, i, "mlp.shared_experts.gate_proj", shared, d, false, e) ||
	       bind_linear(b, &l->up, NULL, i, "mlp.shared_experts.up_proj", shared, d, false, e) ||
	       bind_linear(b, &l->down, NULL, i, "mlp.shared_experts.down_proj", d, shared, false, e) ?
	       -1 : 0;
}
