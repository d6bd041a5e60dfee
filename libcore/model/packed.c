/* SPDX-License-Identifier: MIT */
/* packed.c - whole numbers of 4 or 8 bits around zero, as compressed-tensors
 * packs them: the form that large mixtures are published in
 *
 * A word holds codes from its lowest bits up, as MLX's words do; a code less
 * half of the range, times the scale of its group, is the weight. So codes
 * stay where they lie, and a bias for each scale is made: -8 or -128 times
 * it, which no type rounds that scales have. */
#include "model/bind.h"

#include <stdio.h>

/* X.weight_shape: rows and columns, as they were. */
static int check_shape(struct binder *b, const char *path, size_t rows, size_t n_in,
                       struct err *e)
{
	char name[NAME_ROOM];
	const struct tensor *t = bind_find(b, name, path, "weight_shape");
	struct bytes data;
	size_t width, v[2] = { 0 };

	if (!t)
		return 0;
	width = dtype_info(t->dtype)->block_bytes;
	if (t->shape.rank != 1 || t->shape.dim[0] != 2 || (t->dtype != DT_I64 && t->dtype != DT_I32))
		return bind_bad_shape(t, "two whole numbers", e);
	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	for (size_t i = 0; i < 2 * width; i++)
		if (i % width < sizeof(size_t))
			v[i / width] |= (size_t)data.p[i] << i % width * 8;
	if (v[0] != rows || v[1] != n_in)
		return err_set(e, ERR_INPUT, "%s: expected %zu and %zu, found %zu and %zu", t->name, rows,
		               n_in, v[0], v[1]);
	return 0;
}

/* -half times each scale. */
static void *make_biases(struct binder *b, struct bytes scales, enum dtype dtype, float half,
                         struct err *e)
{
	size_t size = dtype_info(dtype)->block_bytes, n = scales.n / size;
	unsigned char *out = arena_new(&b->w->arena, n, size, e);
	float v;

	for (size_t i = 0; out && i < n; i++) {
		dtype_to_f32(dtype, &v, scales.p + i * size, 1);
		v *= -half;
		dtype_from_f32(dtype, out + i * size, &v, 1);
	}
	return out;
}

int packed_weight(struct binder *b, struct weight_desc *d, const char *path, size_t rows,
                  struct err *e)
{
	char name[NAME_ROOM], scale[NAME_ROOM], want[64];
	const struct tensor *t = bind_find(b, name, path, "weight_packed"), *s;
	struct bytes codes, scales;
	size_t words, groups;

	if (!t)
		return 0;
	s = bind_find(b, scale, path, "weight_scale");
	if (!s)
		return err_set(e, ERR_INPUT, "%s: missing", scale);
	words = t->shape.rank == 2 ? t->shape.dim[1] : 0;
	if ((t->dtype != DT_I32 && t->dtype != DT_U32) || t->shape.dim[0] != rows ||
	    (words * 8 != d->n_in && words * 4 != d->n_in)) {
		snprintf(want, sizeof want, "4 or 8 bits of [%zu,%zu] in words", rows, d->n_in);
		return bind_bad_shape(t, want, e);
	}
	groups = s->shape.rank == 2 ? s->shape.dim[1] : 0;
	if (!groups || s->shape.dim[0] != rows || d->n_in % groups ||
	    (s->dtype != DT_F16 && s->dtype != DT_BF16 && s->dtype != DT_F32))
		return bind_bad_shape(s, "a floating scale for each group", e);
	if (check_shape(b, path, rows, d->n_in, e))
		return -1;
	if (source_data(b->s, t, &codes, &b->w->arena, e) ||
	    source_data(b->s, s, &scales, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	d->form = FORM_AFFINE;
	d->bits = (unsigned)(words * 32 / d->n_in);
	d->group = (unsigned)(d->n_in / groups);
	d->dtype = s->dtype;
	d->data = codes.p;
	d->scales = scales.p;
	d->biases = make_biases(b, scales, s->dtype, d->bits == 4 ? 8 : 128, e);
	return d->biases ? 1 : -1;
}

size_t packed_bytes(const struct weight_desc *d)
{
	return d->n_in * d->bits / 8 + 2 * (d->n_in / d->group) * dtype_info(d->dtype)->block_bytes;
}
