/* SPDX-License-Identifier: MIT */
/* stream.c - weights from source to output, a block of rows at a time
 *
 * Given a plan and a writer; declares every tensor, then gives their bytes
 * in that order. In memory at once: a block of rows, one weight's scales and
 * biases, and one weight where its container has it packed. */
#include "convert/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 256, BLOCK_BYTES = 1 << 20 };

struct stream {
	const struct plan *p;
	struct writer *w;
	const struct item *t;
	struct arena arena;         /* of one weight */
	struct bytes weight, scales, biases;
	size_t block_rows;
	float *f32;                 /* [block_rows][n_cols] */
	unsigned char *out;         /* what goes to the writer */
	struct bytes scales_out, biases_out;
	size_t n_done;
	struct err *e;
};

/* ---- shapes */

static size_t row_bytes(enum dtype t, size_t n_cols)
{
	return n_cols / dtype_info(t)->block * dtype_info(t)->block_bytes;
}

static int declare_as(struct writer *w, const char *path, const char *leaf, enum dtype d,
                      const struct shape *logical, size_t last, struct err *e)
{
	char name[NAME_ROOM + 16];
	struct shape s = *logical;

	if (s.rank)
		s.dim[s.rank - 1] = last;
	snprintf(name, sizeof name, "%s%s%s", path, *leaf ? "." : "", leaf);
	return writer_declare(w, name, d, &s, e);
}

static const char *leaf_of(const struct item *t)
{
	const char *dot = strrchr(t->name, '.');

	return dot ? dot + 1 : "";
}

int stream_declare(const struct plan *p, struct writer *w, struct err *e)
{
	for (size_t i = 0; i < p->n_items; i++) {
		const struct item *t = &p->item[i];
		char path[NAME_ROOM];
		unsigned bits, group;
		size_t last = t->shape.rank ? t->shape.dim[t->shape.rank - 1] : 0;
		enum dtype d;

		if (item_path(p, t, path, sizeof path, e))
			return -1;
		if (item_is_triple(t, &bits, &group)) {
			d = t->in == IN_AFFINE && t->out == OUT_SAME ? t->scales->dtype : t->dtype;
			if (declare_as(w, path, "weight", DT_U32, &t->shape, last * bits / 32, e) ||
			    declare_as(w, path, "scales", d, &t->shape, last / group, e) ||
			    declare_as(w, path, "biases", d, &t->shape, last / group, e))
				return -1;
			continue;
		}
		d = t->out == OUT_SAME ? t->weight->dtype : t->dtype;
		if (declare_as(w, path, leaf_of(t), d, &t->shape, last, e))
			return -1;
	}
	return 0;
}

/* ---- rows of the source */

/* The source's row that becomes row r. */
static size_t row_from(const struct stream *s, size_t r)
{
	size_t d = s->t->head_rows, half = d / 2, i;

	if (!d)
		return r;
	i = r % d;
	r -= i;
	if (s->p->rows == ROWS_TO_PAIRS)
		return r + i % 2 * half + i / 2;
	return r + i % half * 2 + i / half;
}

static const unsigned char *row_in(const struct stream *s, struct bytes data, size_t r)
{
	return data.p + row_from(s, r) * (data.n / s->t->n_rows);
}

static int give(struct stream *s, const void *p, size_t n)
{
	s->n_done += n;
	return writer_data(s->w, p, n, s->e);
}

/* Rows as they are, moved if heads are. */
static int copy_rows(struct stream *s, struct bytes data)
{
	size_t n = s->t->n_rows ? data.n / s->t->n_rows : 0;

	if (!s->t->head_rows)
		return give(s, data.p, data.n);
	for (size_t r = 0; r < s->t->n_rows; r++)
		if (give(s, row_in(s, data, r), n))
			return -1;
	return 0;
}

/* Row r as floats. */
static int floats_of_row(struct stream *s, float *out, size_t r)
{
	const struct item *t = s->t;

	switch (t->in) {
	case IN_MADE:
		memcpy(out, t->made + r * t->n_cols, t->n_cols * sizeof *out);
		return 0;
	case IN_AFFINE:
		affine_dequantize_row(out, row_in(s, s->weight, r), row_in(s, s->scales, r),
		                      row_in(s, s->biases, r), t->scales->dtype, t->n_cols, t->in_bits,
		                      t->in_group);
		return 0;
	case IN_FLOAT:
	case IN_BLOCKS:
		if (dtype_to_f32(t->weight->dtype, out, row_in(s, s->weight, r), t->n_cols))
			return 0;
		break;
	case IN_WHOLE:
		break;
	}
	return err_set(s->e, ERR_INPUT, "%s is not decoded here", dtype_info(t->weight->dtype)->name);
}

static int floats_of_rows(struct stream *s, size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (floats_of_row(s, s->f32 + i * s->t->n_cols, first + i))
			return -1;
	for (size_t i = 0; s->t->shift != 0 && i < n * s->t->n_cols; i++)
		s->f32[i] += s->t->shift;
	return 0;
}

/* ---- forms of the output */

/* A finite number must not become an infinite one. */
static int check_range(struct stream *s, size_t first, size_t n)
{
	float most = s->t->dtype == DT_F16 ? 65504.0f : INFINITY;

	if (s->t->dtype != DT_F16)
		return 0;
	for (size_t i = 0; i < n * s->t->n_cols; i++)
		if (fabsf(s->f32[i]) >= 65520.0f && isfinite(s->f32[i]))
			return err_set(s->e, ERR_INPUT, "row %zu: %g is over f16's %g",
			               first + i / s->t->n_cols, (double)s->f32[i], (double)most);
	return 0;
}

static int to_floats_or_blocks(struct stream *s, size_t first, size_t n)
{
	size_t bytes = row_bytes(s->t->dtype, s->t->n_cols);

	if (floats_of_rows(s, first, n) || check_range(s, first, n))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!dtype_from_f32(s->t->dtype, s->out + i * bytes, s->f32 + i * s->t->n_cols,
		                    s->t->n_cols))
			return err_set(s->e, ERR_INPUT, "%s has no encoder here",
			               dtype_info(s->t->dtype)->name);
	return give(s, s->out, n * bytes);
}

static int to_exact_blocks(struct stream *s, size_t first, size_t n)
{
	const struct item *t = s->t;
	size_t bytes = row_bytes(t->dtype, t->n_cols);

	for (size_t i = 0; i < n; i++)
		blocks_from_affine(s->out + i * bytes, t->dtype, row_in(s, s->weight, first + i),
		                   row_in(s, s->scales, first + i), row_in(s, s->biases, first + i),
		                   t->scales->dtype, t->n_cols, t->in_bits, t->in_group);
	return give(s, s->out, n * bytes);
}

/* The scales and biases wait until the weight is through. */
static int to_affine(struct stream *s, size_t first, size_t n)
{
	const struct item *t = s->t;
	size_t q = t->n_cols * t->bits / 8, groups = t->n_cols / t->group;
	size_t row = groups * dtype_info(t->dtype)->block_bytes;
	unsigned char *scales = (unsigned char *)s->scales_out.p + first * row;
	unsigned char *biases = (unsigned char *)s->biases_out.p + first * row;
	float *at = s->f32 + n * t->n_cols;

	if (!t->exact && (floats_of_rows(s, first, n) || check_range(s, first, n)))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (t->exact) {
			affine_from_blocks(s->out + i * q, scales + i * row, biases + i * row, t->weight->dtype,
			                   row_in(s, s->weight, first + i), t->n_cols);
			continue;
		}
		affine_quantize(s->out + i * q, at, at + groups, s->f32 + i * t->n_cols, 1, t->n_cols,
		                t->bits, t->group, t->dtype);
		if (!dtype_from_f32(t->dtype, scales + i * row, at, groups) ||
		    !dtype_from_f32(t->dtype, biases + i * row, at + groups, groups))
			return err_set(s->e, ERR_INPUT, "%s: no scales of that", dtype_info(t->dtype)->name);
	}
	return give(s, s->out, n * q);
}

/* ---- one weight */

static int open_rows(struct stream *s)
{
	const struct item *t = s->t;
	size_t wide = t->n_cols ? t->n_cols : 1, n_scales;
	unsigned char *room;

	s->block_rows = BLOCK_BYTES / (wide * sizeof(float));
	s->block_rows = s->block_rows ? s->block_rows : 1;
	s->block_rows = s->block_rows < t->n_rows ? s->block_rows : t->n_rows;
	/* one row more: scales and biases of a row are found there */
	s->f32 = arena_new(&s->arena, (s->block_rows + 1) * wide, sizeof(float), s->e);
	s->out = s->f32 ? arena_new(&s->arena, s->block_rows * wide, sizeof(float), s->e) : NULL;
	if (!s->out)
		return -1;
	if (t->out != OUT_AFFINE)
		return 0;
	n_scales = t->n_rows * (t->n_cols / t->group) * dtype_info(t->dtype)->block_bytes;
	room = arena_new(&s->arena, 2, n_scales, s->e);
	if (!room)
		return -1;
	s->scales_out = (struct bytes){ room, n_scales };
	s->biases_out = (struct bytes){ room + n_scales, n_scales };
	return 0;
}

static int rows(struct stream *s)
{
	const struct item *t = s->t;

	if (open_rows(s))
		return -1;
	for (size_t r = 0; r < t->n_rows; r += s->block_rows) {
		size_t n = t->n_rows - r < s->block_rows ? t->n_rows - r : s->block_rows;
		int bad = t->out == OUT_AFFINE ? to_affine(s, r, n)
		        : t->out == OUT_BLOCKS && t->exact ? to_exact_blocks(s, r, n)
		        : to_floats_or_blocks(s, r, n);

		if (bad)
			return -1;
	}
	if (t->out != OUT_AFFINE)
		return 0;
	return give(s, s->scales_out.p, s->scales_out.n) || give(s, s->biases_out.p, s->biases_out.n);
}

static int load(struct stream *s, const struct tensor *t, struct bytes *out)
{
	*out = (struct bytes){ 0 };
	return t ? source_data(s->p->source, t, out, &s->arena, s->e) : 0;
}

static int one(struct stream *s)
{
	const struct item *t = s->t;

	if (load(s, t->weight, &s->weight) || load(s, t->scales, &s->scales) ||
	    load(s, t->biases, &s->biases))
		return -1;
	if (t->out != OUT_SAME)
		return rows(s);
	if (copy_rows(s, s->weight))
		return -1;
	return t->in == IN_AFFINE && (copy_rows(s, s->scales) || copy_rows(s, s->biases));
}

int stream_data(const struct plan *p, struct writer *w, struct err *e)
{
	struct stream s = { .p = p, .w = w, .e = e };
	size_t done = 0;

	for (size_t i = 0; i < p->n_items; i++) {
		int rc;

		s.t = &p->item[i];
		rc = one(&s);
		arena_release(&s.arena);
		if (rc)
			return err_in(e, "%s", s.t->name);
		done += s.weight.n;
		if (p->options->progress)
			p->options->progress(p->options->arg, done, p->n_bytes);
	}
	return 0;
}
