/* SPDX-License-Identifier: MIT */
/* stored.c - one weight in each of the forms that files store it in
 *
 * Given a tensor and what the slot wants; gives the weight in a compute
 * form. Floats and MLX's packed rows stay where they lie, GGUF blocks are
 * repacked once. Which slots there are is in weights.c. */
#include "model/bind.h"

#include "model/coded.h"
#include "model/config.h"
#include "model/family.h"
#include "model/inventory.h"

#include <stdio.h>

/* The tensor PATH.LEAF in the file's own naming; `name` gets that name. */
const struct tensor *bind_find(struct binder *b, char name[NAME_ROOM], const char *path,
                                 const char *leaf)
{
	char ours[NAME_ROOM];
	const struct tensor *t;

	b->path = path;
	snprintf(ours, sizeof ours, "%s.%s", path, leaf);
	if (!family_name_out(b->c->family, name, NAME_ROOM, b->naming, ours))
		return NULL;
	if (b->c->text_at) {
		snprintf(ours, sizeof ours, "%s", name);
		if (!config_text_name(b->c, name, NAME_ROOM, ours))
			return NULL;
	}
	t = source_find(b->s, name);
	if (!t && b->c->family->prefix) {
		snprintf(ours, sizeof ours, "%s%s", b->c->family->prefix, name);
		t = source_find(b->s, ours);
	}
	if (!t && b->naming == NAMING_HF && b->c->family->alias) { /* as MLX has it, our name */
		snprintf(ours, sizeof ours, "%s.%s", path, leaf);
		t = source_find(b->s, ours);
	}
	inventory_seen(b, t);
	return t;
}

int bind_bad_shape(const struct tensor *t, const char *want, struct err *e)
{
	char have[128];

	return err_set(e, ERR_INPUT, "%s: expected %s, found %s", t->name, want,
	               shape_text(have, sizeof have, t->dtype, &t->shape));
}

int bind_add(struct binder *b, struct weight **out, const struct weight_desc *d, size_t n_bytes,
               struct err *e)
{
	struct weight_desc whole = *d;
	double rows = (double)d->n_out;

	if (b->only) {
		*b->only = *d;
		return 0;
	}
	whole.n_stack = d->n_out > 1 ? b->stack : 0;
	if (weight_open(out, b->x, &whole, e))
		return -1;
	if (b->stack) { /* a row takes some of its matrices */
		rows *= (double)b->used / (double)b->stack;
		b->w->spared_bytes += n_bytes - (size_t)((double)n_bytes * rows / (double)d->n_out);
	}
	b->w->all[b->w->n_all++] = *out;
	if (b->path && !b->stack && weights_note(b->w, *out, d, b->path, b->first, b->total, e))
		return -1;
	b->path = NULL;
	b->w->n_bytes += n_bytes;
	b->w->coded_bytes += d->form == FORM_AFFINE ? n_bytes : 0;
	b->w->flop += d->n_out > 1 ? 2.0 * rows * (double)d->n_in : 0;
	return 0;
}

struct shape bind_flat(const struct binder *b, const struct tensor *t)
{
	if (b->stack && t->shape.rank == 3 && t->shape.dim[0] == b->stack)
		return shape_of(2, t->shape.dim[0] * t->shape.dim[1], t->shape.dim[2]);
	return t->shape;
}

size_t bind_stored_rows(const struct binder *b, const struct weight_desc *d)
{
	return b->total ? b->total : d->n_out;
}

/* The wanted rows of what holds them all. */
static struct bytes wanted(const struct binder *b, const struct weight_desc *d, struct bytes all)
{
	size_t row = all.n / bind_stored_rows(b, d);

	return (struct bytes){ all.p + b->first * row, d->n_out * row };
}

/* ---- one weight in each of its stored forms */

int bind_float(struct binder *b, struct weight **out, const struct tensor *t,
                      struct weight_desc *d, struct err *e)
{
	struct bytes data;

	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	data = wanted(b, d, data);
	d->form = FORM_FLOAT;
	d->dtype = t->dtype;
	d->data = data.p;
	return bind_add(b, out, d, data.n, e);
}

/* MLX's triple: the widths follow from the shapes, so that every per-layer
 * recipe is read alike. */
int bind_triple(struct binder *b, struct weight **out, const struct tensor *t,
                       const char *path, struct weight_desc *d, struct err *e)
{
	char name[NAME_ROOM], want[128];
	const struct tensor *scales = bind_find(b, name, path, "scales"),
			    *biases = bind_find(b, name, path, "biases");
	struct bytes data, s, z;
	size_t words, groups, rows = bind_stored_rows(b, d);
	struct shape codes = bind_flat(b, t), ss = bind_flat(b, scales);

	if (!biases && scales->dtype != DT_U8)
		return err_set(e, ERR_INPUT, "%s: missing", name);
	snprintf(want, sizeof want, "packed rows for [%zu,%zu]", rows, d->n_in);
	if (t->dtype != DT_U32 || codes.rank != 2 || codes.dim[0] != rows)
		return bind_bad_shape(t, want, e);
	words = codes.dim[1];
	if (words > d->n_in || words * 32 % d->n_in)
		return bind_bad_shape(t, want, e);
	if (ss.rank != 2 || ss.dim[0] != rows || !ss.dim[1] ||
	    d->n_in % ss.dim[1] || (biases && scales->dtype != biases->dtype))
		return bind_bad_shape(scales, want, e);
	if (biases && !shape_equal(&scales->shape, &biases->shape))
		return bind_bad_shape(biases, want, e);
	groups = ss.dim[1];
	d->form = FORM_AFFINE;
	d->bits = (unsigned)(words * 32 / d->n_in);
	d->group = (unsigned)(d->n_in / groups);
	d->dtype = scales->dtype;
	if (source_data(b->s, t, &data, &b->w->arena, e) ||
	    source_data(b->s, scales, &s, &b->w->arena, e) ||
	    (biases && source_data(b->s, biases, &z, &b->w->arena, e)))
		return err_in(e, "%s", t->name);
	data = wanted(b, d, data);
	s = wanted(b, d, s);
	if (!biases)
		return coded_weight(d, &b->w->arena, data, s, 1, e) ?
			err_in(e, "%s", t->name) : bind_add(b, out, d, data.n + s.n, e);
	z = wanted(b, d, z);
	d->data = data.p;
	d->scales = s.p;
	d->biases = z.p;
	return bind_add(b, out, d, data.n + s.n + z.n, e);
}

/* GGUF blocks whose values are scale * code + bias. */
static int bind_affine_blocks(struct binder *b, struct weight **out, const struct tensor *t,
                              const struct affine_form *form, struct bytes data,
                              struct weight_desc *d, struct err *e)
{
	size_t row_in = data.n / d->n_out, row_q = d->n_in * form->bits / 8;
	size_t row_s = d->n_in / form->group * dtype_info(form->scale)->block_bytes;
	unsigned char *q = arena_new(&b->w->arena, d->n_out, row_q, e);
	unsigned char *s = q ? arena_new(&b->w->arena, d->n_out, row_s, e) : NULL;
	unsigned char *z = s ? arena_new(&b->w->arena, d->n_out, row_s, e) : NULL;

	if (!z)
		return -1;
	for (size_t i = 0; i < d->n_out; i++)
		affine_from_blocks(q + i * row_q, s + i * row_s, z + i * row_s, t->dtype,
		                   data.p + i * row_in, d->n_in);
	d->form = FORM_AFFINE;
	d->dtype = form->scale;
	d->bits = form->bits;
	d->group = form->group;
	d->data = q;
	d->scales = s;
	d->biases = z;
	return bind_add(b, out, d, d->n_out * (row_q + 2 * row_s), e);
}

/* What was repacked is not held twice: only where it lies in the file. */
static void forget(const struct tensor *t, struct bytes data)
{
	if (t->data.p == data.p)
		file_forget(data);
}

/* Every other block type that has a decoder becomes f32. */
int bind_blocks(struct binder *b, struct weight **out, const struct tensor *t,
                       struct weight_desc *d, struct err *e)
{
	struct affine_form form;
	struct bytes data;
	float *f;

	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	if (affine_form_of(&form, t->dtype)) {
		int bad = bind_affine_blocks(b, out, t, &form, wanted(b, d, data), d, e);

		forget(t, data);
		return bad;
	}
	f = arena_new(&b->w->arena, d->n_out * d->n_in, sizeof *f, e);
	if (!f)
		return -1;
	if (!dtype_to_f32(t->dtype, f, wanted(b, d, data).p, d->n_out * d->n_in))
		return err_set(e, ERR_INPUT, "%s: %s is not read here yet", t->name,
		               dtype_info(t->dtype)->name);
	forget(t, data);
	d->form = FORM_FLOAT;
	d->dtype = DT_F32;
	d->data = f;
	return bind_add(b, out, d, d->n_out * d->n_in * sizeof *f, e);
}
