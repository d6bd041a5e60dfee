/* SPDX-License-Identifier: MIT */
/* bind_latent.c - the matrices of latent attention
 *
 * W_k and W_v of each head stand together in kv_b_proj (Hugging Face), or
 * each in a stack, W_k turned (MLX: embed_q, unembed_out). W_v is taken where
 * it lies; W_k is turned once, in its own type, or in f32 where it is codes. */
#include "model/bind.h"
#include "model/family.h"

#include <stdio.h>
#include <string.h>

/* kv_b_proj in a compute form, as the file has it. */
static int read_both(struct binder *b, struct weight_desc *d, const char *path, struct err *e)
{
	const struct config *c = b->c;
	struct weight *none;
	int bad;

	b->only = d;
	bad = bind_matrix(b, &none, path, c->n_heads * (c->nope_dim + c->value_dim), c->kv_rank, e);
	b->only = NULL;
	b->path = NULL;
	return bad;
}

static void read_row(float *out, const struct weight_desc *d, size_t row)
{
	size_t size = dtype_info(d->dtype)->block_bytes;
	size_t scale = d->form == FORM_AFFINE ? row * (d->n_in / d->group) * size : 0;

	if (d->form == FORM_AFFINE)
		affine_dequantize_row(out, (const unsigned char *)d->data + row * (d->n_in * d->bits / 8),
		                      (const unsigned char *)d->scales + scale,
		                      (const unsigned char *)d->biases + scale, d->dtype, d->n_in,
		                      d->bits, d->group);
	else
		dtype_to_f32(d->dtype, out, (const unsigned char *)d->data + row * d->n_in * size,
		             d->n_in);
}

/* [heads][rank][nope] of the first rows of every head. */
static int turn_keys(struct binder *b, struct weight **out, const struct weight_desc *both,
                     struct err *e)
{
	const struct config *c = b->c;
	size_t rank = c->kv_rank, n = c->nope_dim, head = n + c->value_dim;
	struct weight_desc d = { .name = "embed_q", .n_out = c->n_heads * rank, .n_in = n };
	size_t size;
	unsigned char *to;
	float *row;

	d.dtype = both->form == FORM_FLOAT ? both->dtype : DT_F32;
	size = dtype_info(d.dtype)->block_bytes;
	to = arena_new(&b->w->arena, d.n_out * n, size, e);
	row = to ? arena_new(&b->w->arena, rank, sizeof *row, e) : NULL;
	if (!row)
		return -1;
	for (size_t i = 0; i < c->n_heads * n; i++) {
		size_t h = i / n, k = i % n;

		read_row(row, both, h * head + k);
		for (size_t j = 0; j < rank; j++)
			dtype_from_f32(d.dtype, to + ((h * rank + j) * n + k) * size, row + j, 1);
	}
	d.data = to;
	return bind_add(b, out, &d, d.n_out * n * size, e);
}

/* The other rows of every head, where they are. */
static int take_values(struct binder *b, struct weight **out, const struct weight_desc *both,
                       struct err *e)
{
	const struct config *c = b->c;
	size_t size = dtype_info(both->dtype)->block_bytes, head = c->nope_dim + c->value_dim;
	bool codes = both->form == FORM_AFFINE;
	size_t row = codes ? both->n_in * both->bits / 8 : both->n_in * size;
	size_t scale = codes ? both->n_in / both->group * size : 0;
	struct weight_desc d = *both;
	struct weight_piece *piece = arena_new(&b->w->arena, c->n_heads, sizeof *piece, e);

	if (!piece)
		return -1;
	for (size_t h = 0; h < c->n_heads; h++) {
		size_t at = h * head + c->nope_dim;

		piece[h].data = (const unsigned char *)both->data + at * row;
		if (!codes)
			continue;
		piece[h].scales = (const unsigned char *)both->scales + at * scale;
		piece[h].biases = (const unsigned char *)both->biases + at * scale;
	}
	d.name = "unembed_out";
	d.n_out = c->n_heads * c->value_dim;
	d.data = d.scales = d.biases = NULL;
	d.piece = piece;
	return bind_add(b, out, &d, d.n_out * (row + 2 * scale), e);
}

/* W_k and W_v, a matrix for every head. */
static int bind_heads(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	char keys[NAME_ROOM], values[NAME_ROOM], both[NAME_ROOM], name[NAME_ROOM];
	struct weight_desc d = { 0 };

	snprintf(keys, sizeof keys, "model.layers.%zu.self_attn.embed_q", i);
	snprintf(values, sizeof values, "model.layers.%zu.self_attn.unembed_out", i);
	snprintf(both, sizeof both, "model.layers.%zu.self_attn.kv_b_proj", i);
	if (!b->s || bind_find(b, name, keys, "weight"))
		return bind_matrix(b, &l->embed_q, keys, c->n_heads * c->kv_rank, c->nope_dim, e) ||
		       bind_matrix(b, &l->unembed_out, values, c->n_heads * c->value_dim, c->kv_rank, e);
	b->stack = 0;
	if (read_both(b, &d, both, e))
		return -1;
	if (!d.data)
		return 0; /* missing, which is told with the others */
	b->stack = c->n_heads;
	return turn_keys(b, &l->embed_q, &d, e) || take_values(b, &l->unembed_out, &d, e);
}

static int bind_queries(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	size_t n = c->n_heads * (c->nope_dim + c->pe_dim);

	if (!c->q_rank)
		return bind_linear(b, &l->q, NULL, i, "self_attn.q_proj", n, c->hidden, false, e);
	return bind_linear(b, &l->low, NULL, i, "self_attn.q_a_proj", c->q_rank, c->hidden, false, e) ||
	       bind_norm(b, &l->low_norm, NULL, i, "self_attn.q_a_layernorm", c->q_rank, e) ||
	       bind_linear(b, &l->q, NULL, i, "self_attn.q_b_proj", n, c->q_rank, false, e);
}

int bind_latent(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	static const char down[] = "self_attn.kv_a_proj_with_mqa";
	const struct config *c = b->c;
	size_t rank = c->kv_rank, all = rank + c->pe_dim;
	int bad;

	if (bind_queries(b, l, i, e) ||
	    bind_rows(b, &l->latent, i, down, 0, rank, all, c->hidden, e) ||
	    bind_rows(b, &l->pe, i, down, rank, c->pe_dim, all, c->hidden, e) ||
	    bind_norm(b, &l->latent_norm, NULL, i, "self_attn.kv_a_layernorm", rank, e))
		return -1;
	b->stack = b->used = c->n_heads;
	bad = bind_heads(b, l, i, e);
	b->stack = b->used = 0;
	return bad || bind_linear(b, &l->o, NULL, i, "self_attn.o_proj", c->hidden,
	                          c->n_heads * c->value_dim, false, e) ? -1 : 0;
}
