/* SPDX-License-Identifier: MIT */
/* bind_own.c - a layer's own embeddings, its scalar, and norms without
 * weights */
#include "model/bind.h"
#include "model/family.h"
#include "model/inventory.h"

#include <stdio.h>

static int made(struct binder *b, struct weight **out, const char *name, float *f, size_t n,
                struct err *e)
{
	struct weight_desc d = { .name = name, .form = FORM_FLOAT, .dtype = DT_F32, .n_out = 1,
		                 .n_in = n, .data = f };

	b->path = NULL; /* no module's */
	return bind_add(b, out, &d, n * sizeof *f, e);
}

int bind_ones(struct binder *b, struct weight **out, const char *name, size_t n, struct err *e)
{
	bool unseen = b->size || b->save; /* no file has them */
	float *f = unseen ? NULL : arena_new(&b->w->arena, n, sizeof *f, e);

	if (unseen)
		return 0;
	for (size_t i = 0; f && i < n; i++)
		f[i] = 1;
	return f ? made(b, out, name, f, n, e) : -1;
}

static int bind_scalar(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	char path[NAME_ROOM], name[NAME_ROOM];
	const struct tensor *t;
	struct bytes data;

	l->scalar = 1;
	if (b->size)
		b->size->parameters++;
	if (!b->s)
		return 0;
	snprintf(path, sizeof path, "model.layers.%zu", i);
	t = bind_find(b, name, path, "layer_scalar");
	if (!t)
		return inventory_missing(b, name, e);
	if (t->shape.rank != 1 || t->shape.dim[0] != 1 || !dtype_info(t->dtype)->is_float)
		return bind_bad_shape(t, "one floating number", e);
	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	dtype_to_f32(t->dtype, &l->scalar, data.p, 1);
	return 0;
}

int bind_own_layer(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	size_t n = b->c->own_dim, d = b->c->hidden;

	if (b->c->family->layer_scalar && bind_scalar(b, l, i, e))
		return -1;
	if (!n)
		return 0;
	return bind_linear(b, &l->own_gate, NULL, i, "per_layer_input_gate", n, d, false, e) ||
	       bind_linear(b, &l->own_out, NULL, i, "per_layer_projection", d, n, false, e) ||
	       bind_norm(b, &l->own_norm, NULL, i, "post_per_layer_input_norm", d, e) ? -1 : 0;
}

int bind_own_ends(struct binder *b, struct err *e)
{
	struct weights *w = b->w;
	size_t n = b->c->own_dim, all = n * b->c->n_layers;
	double flop = w->flop;

	if (!n)
		return 0;
	if (bind_matrix(b, &w->own_table, "model.embed_tokens_per_layer", b->c->own_vocab, all, e))
		return -1;
	w->flop = flop; /* a row of it is looked up */
	return bind_matrix(b, &w->own_in, "model.per_layer_model_projection", all, b->c->hidden, e) ||
	       bind_vector(b, &w->own_norm, "model.per_layer_projection_norm", "weight", n, e) ? -1 : 0;
}
