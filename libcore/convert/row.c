/* SPDX-License-Identifier: MIT */
/* row.c - decode a row, code it anew, and measure what was lost */
#include "convert/row.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TILE = 128, MXFP4_GROUP = 32, MXFP4_BYTES = 17 };

bool row_is_unknown(const struct item *t)
{
	float f[256];
	unsigned char none[512] = { 0 };

	return t->in == IN_WHOLE || ((t->in == IN_FLOAT || t->in == IN_BLOCKS) &&
	       !dtype_to_f32(t->weight->dtype, f, none, dtype_info(t->weight->dtype)->block));
}

size_t row_bytes_out(const struct item *t)
{
	if (t->out == OUT_AFFINE || t->out == OUT_CODED)
		return t->n_cols * t->bits / 8;
	return t->n_cols / dtype_info(t->dtype)->block * dtype_info(t->dtype)->block_bytes;
}

bool row_was_f16(const struct item *t)
{
	return t->in == IN_FLOAT && t->weight->dtype == DT_F16 && !t->fused && !t->tile_scales &&
	       t->shift == 0;
}

size_t row_over_f16(const float *f, size_t n)
{
	float most[8] = { 0 };
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t k = 0; k < 8; k++)
			most[k] = fabsf(f[i + k]) > most[k] ? fabsf(f[i + k]) : most[k];
	for (size_t k = 1; k < 8; k++)
		most[0] = most[k] > most[0] ? most[k] : most[0];
	for (i = most[0] >= 65520.0f ? 0 : i; i < n; i++)
		if (fabsf(f[i]) >= 65520.0f && isfinite(f[i]))
			return i;
	return n;
}

/* A scale for each 128 by 128 weights of an fp8 matrix. */
static void scale_tiles(float *out, const struct row_in *in)
{
	const struct tensor *s = in->t->tile_scales;
	size_t n = s->shape.dim[1], width = dtype_info(s->dtype)->block_bytes;
	const unsigned char *at = in->tiles.p + in->row / TILE * n * width;

	for (size_t k = 0; k < n; k++) {
		size_t stop = (k + 1) * TILE < in->t->n_cols ? (k + 1) * TILE : in->t->n_cols;
		float scale;

		dtype_to_f32(s->dtype, &scale, at + k * width, 1);
		for (size_t i = k * TILE; i < stop; i++)
			out[i] *= scale;
	}
}

static float raised(float v)
{
	return (float)exp((double)v);
}

/* A logarithm whose power is exactly v, if there is one: of the model's narrow numbers first. */
static float log_of(float v)
{
	float l = (float)log((double)v), b = bf16_to_f32(bf16_from_f32(l));
	float h = f16_to_f32(f16_from_f32(l));

	return raised(b) == v ? b : raised(h) == v ? h : l;
}

static void map_row(float *v, size_t n, enum number_map map)
{
	for (size_t i = 0; i < n && map != NUMBERS_KEEP; i++)
		v[i] = map == NUMBERS_RATE ? -raised(v[i]) : log_of(-v[i]);
}

void row_decode(float *out, const struct row_in *in)
{
	const struct item *t = in->t;

	switch (t->in) {
	case IN_MADE:
		memcpy(out, t->made + in->row * t->n_cols, t->n_cols * sizeof *out);
		break;
	case IN_AFFINE:
		affine_dequantize_row(out, in->weight, in->scales, in->biases, t->scales->dtype,
		                      t->n_cols, t->in_bits, t->in_group);
		break;
	case IN_CODED:
		coding_dequantize(t->in_coding, out, in->weight, in->scales, t->n_cols);
		break;
	case IN_FLOAT:
	case IN_BLOCKS:
		dtype_to_f32(t->weight->dtype, out, in->weight, t->n_cols);
		if (t->tile_scales)
			scale_tiles(out, in);
		break;
	case IN_WHOLE:
		break;
	}
	for (size_t i = 0; t->shift != 0 && i < t->n_cols; i++)
		out[i] += t->shift;
	map_row(out, t->n_cols, t->map);
}

/* ---- coding, and back for the measure */

static void encode(const struct row_out *o, const float *f)
{
	const struct item *t = o->t;
	size_t n = t->n_cols, groups = t->group ? n / t->group : 0;
	float *scale = o->room, *bias = scale + groups;

	if (t->out == OUT_CODED) {
		coding_quantize(t->coding, o->q, o->scales, f, n);
		return;
	}
	if (t->out != OUT_AFFINE) {
		dtype_from_f32_by(t->dtype, o->q, f, o->moments ? o->moments->diagonal : NULL, n);
		return;
	}
	if (o->moments)
		fit_row(o->q, scale, bias, f, o->moments, t->bits, t->group, t->dtype, o->room + n);
	else /* the codes are for scales that are not rounded, as MLX has it */
		affine_quantize(o->q, scale, bias, f, 1, n, t->bits, t->group, DT_F32);
	dtype_from_f32(t->dtype, o->scales, scale, groups);
	dtype_from_f32(t->dtype, o->biases, bias, groups);
}

static void decode_again(float *out, const struct row_out *o)
{
	const struct item *t = o->t;

	if (t->out == OUT_CODED)
		coding_dequantize(t->coding, out, o->q, o->scales, t->n_cols);
	else if (t->out == OUT_AFFINE)
		affine_dequantize_row(out, o->q, o->scales, o->biases, t->dtype, t->n_cols, t->bits,
		                      t->group);
	else
		dtype_to_f32(t->dtype, out, o->q, t->n_cols);
}

void row_encode(const struct row_out *o, const float *f, double *error, double *norm)
{
	const float *h = o->moments ? o->moments->diagonal : NULL;
	size_t n = o->t->n_cols;

	encode(o, f);
	if (o->t->out == OUT_FLOAT)
		return;
	decode_again(o->room, o);
	squares_add(error, norm, f, o->room, h, n);
}

/* ---- codes as they are */

/* A GGUF's mxfp4 has code j beside j + 16, MLX's j beside j + 1. */
static void to_blocks(unsigned char *out, const unsigned char *q, const unsigned char *s, size_t n)
{
	for (size_t g = 0; g < n / MXFP4_GROUP; g++, q += 16, out += MXFP4_BYTES) {
		out[0] = s[g];
		for (int j = 0; j < 16; j++) {
			unsigned low = q[j / 2] >> (j % 2 ? 4 : 0) & 15;
			unsigned high = q[8 + j / 2] >> (j % 2 ? 4 : 0) & 15;

			out[1 + j] = (unsigned char)(low | high << 4);
		}
	}
}

static void from_blocks(unsigned char *q, unsigned char *s, const unsigned char *in, size_t n)
{
	for (size_t g = 0; g < n / MXFP4_GROUP; g++, q += 16, in += MXFP4_BYTES) {
		s[g] = in[0];
		for (int j = 0; j < 8; j++) {
			q[j] = (unsigned char)((in[1 + 2 * j] & 15) | (in[2 + 2 * j] & 15) << 4);
			q[8 + j] = (unsigned char)(in[1 + 2 * j] >> 4 | in[2 + 2 * j] >> 4 << 4);
		}
	}
}

void row_move(const struct row_out *o, const struct row_in *in)
{
	const struct item *t = o->t;

	if (t->out == OUT_AFFINE)
		affine_from_blocks(o->q, o->scales, o->biases, t->weight->dtype, in->weight, t->n_cols);
	else if (t->out == OUT_CODED)
		from_blocks(o->q, o->scales, in->weight, t->n_cols);
	else if (t->in == IN_CODED)
		to_blocks(o->q, in->weight, in->scales, t->n_cols);
	else
		blocks_from_affine(o->q, t->dtype, in->weight, in->scales, in->biases, t->scales->dtype,
		                   t->n_cols, t->in_bits, t->in_group);
}

/* ---- the report */

static void form_before(char *out, size_t room, const struct item *t)
{
	struct target form = { t->in_coding, t->in_bits, t->in_group, DT_COUNT };

	if (t->in == IN_AFFINE || t->in == IN_CODED)
		target_text(out, room, &form, false);
	else
		snprintf(out, room, "%s", t->weight ? dtype_info(t->weight->dtype)->name : "f32");
}

void row_outcome(const struct plan *p, const struct item *t)
{
	struct outcome o = { .name = t->name, .n_values = t->n_rows * t->n_cols };
	enum dtype d = t->out == OUT_SAME && t->weight ? t->weight->dtype : t->dtype;
	struct target form;

	form_before(o.from, sizeof o.from, t);
	o.coded = item_is_triple(t, &form);
	if (o.coded) {
		enum dtype s = t->out == OUT_SAME ? t->scales->dtype : t->dtype;
		size_t groups = o.n_values / form.group;

		target_text(o.to, sizeof o.to, &form, false);
		o.n_bytes = o.n_values * form.bits / 8 + groups * dtype_info(s)->block_bytes *
		            (form.coding == CODING_AFFINE ? 2 : 1);
	} else {
		snprintf(o.to, sizeof o.to, "%s", dtype_info(d)->name);
		o.n_bytes = o.n_values / dtype_info(d)->block * dtype_info(d)->block_bytes;
		o.coded = dtype_info(d)->block > 1;
	}
	o.error = t->norm > 0 ? t->error / t->norm : 0;
	p->options->outcome(p->options->outcome_arg, &o);
}
