/* SPDX-License-Identifier: MIT */
/* coded.c - mxfp4, mxfp8, nvfp4 and tiled fp8 to forms that kernels have */
#include "model/coded.h"

enum { TILE = 128 };

static int small_floats(struct weight_desc *d, struct arena *a, enum coding c, struct bytes codes,
                        struct bytes scales, size_t step, struct err *e)
{
	uint16_t *out = arena_new(a, d->n_out * d->n_in, sizeof *out, e);
	float *f = out ? arena_new(a, d->n_in, sizeof *f, e) : NULL;

	if (!f)
		return -1;
	for (size_t r = 0; r < d->n_out; r++) {
		coding_dequantize(c, f, codes.p + r * step * d->n_in,
		                  scales.p + r * step * (d->n_in / d->group), d->n_in);
		dtype_from_f32(DT_BF16, out + r * d->n_in, f, d->n_in);
	}
	d->form = FORM_FLOAT;
	d->dtype = DT_BF16;
	d->bits = d->group = 0;
	d->data = out;
	return 0;
}

int coded_weight(struct weight_desc *d, struct arena *a, struct bytes codes, struct bytes scales,
                 size_t step, struct err *e)
{
	enum coding c = coding_of(d->bits, d->group);
	size_t groups, row;
	unsigned char *q;
	float *s, *z;

	if (coding_info(c)->bits != d->bits || coding_info(c)->group != d->group)
		return err_set(e, ERR_INPUT, "%u bits in groups of %u with scales of one byte: expected "
		               "mxfp4, mxfp8 or nvfp4", d->bits, d->group);
	if (c == CODING_MXFP8)
		return small_floats(d, a, c, codes, scales, step, e);
	groups = d->n_in / d->group;
	row = d->n_in * 5 / 8;
	q = arena_new(a, d->n_out, row, e);
	s = q ? arena_new(a, d->n_out * groups, sizeof *s, e) : NULL;
	z = s ? arena_new(a, d->n_out * groups, sizeof *z, e) : NULL;
	if (!z)
		return -1;
	for (size_t r = 0; r < d->n_out; r++)
		coding_to_affine(c, q + r * row, s + r * groups, z + r * groups,
		                 codes.p + r * step * (d->n_in / 2), scales.p + r * step * groups,
		                 d->n_in);
	d->form = FORM_AFFINE;
	d->dtype = DT_F32;
	d->bits = 5;
	d->data = q;
	d->scales = s;
	d->biases = z;
	return 0;
}

/* Row r of the tensor, each tile by its scale. */
static void tiled_row(float *out, size_t n, const struct tensor *t, struct bytes data,
                      const struct tensor *scale, struct bytes scales, size_t r)
{
	size_t across = (n + TILE - 1) / TILE, wide = dtype_info(scale->dtype)->block_bytes;
	float s = 1;

	dtype_to_f32(t->dtype, out, data.p + r * n * dtype_info(t->dtype)->block_bytes, n);
	for (size_t i = 0; i < n; i++) {
		if (i % TILE == 0)
			dtype_to_f32(scale->dtype, &s,
			             scales.p + (r / TILE * across + i / TILE) * wide, 1);
		out[i] *= s;
	}
}

int tiled_weight(struct weight_desc *d, struct arena *a, struct source *src,
                 const struct tensor *t, const struct tensor *scale, size_t first, struct err *e)
{
	size_t across = (d->n_in + TILE - 1) / TILE, down = (t->shape.dim[0] + TILE - 1) / TILE;
	struct bytes data, scales;
	float *f;

	if (scale->shape.rank != 2 || scale->shape.dim[0] != down || scale->shape.dim[1] != across ||
	    !dtype_info(scale->dtype)->is_float)
		return err_set(e, ERR_INPUT, "%s: expected [%zu,%zu] scales of 128 by 128 weights",
		               scale->name, down, across);
	if (source_data(src, t, &data, a, e) || source_data(src, scale, &scales, a, e))
		return err_in(e, "%s", t->name);
	f = arena_new(a, d->n_out * d->n_in, sizeof *f, e);
	if (!f)
		return -1;
	for (size_t r = 0; r < d->n_out; r++)
		tiled_row(f + r * d->n_in, d->n_in, t, data, scale, scales, first + r);
	d->form = FORM_FLOAT;
	d->dtype = DT_F32;
	d->data = f;
	return 0;
}
