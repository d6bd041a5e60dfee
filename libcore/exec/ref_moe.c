/* SPDX-License-Identifier: MIT */
/* ref_moe.c - weights' rows, copies and experts as plain C loops: their meaning. */
#include <math.h>
#include <string.h>

#include "exec/ref.h"
#include "exec/route.h"

void ref_row(float *out, const struct weight *w, size_t row)
{
	const struct weight_desc *d = &w->d;
	struct weight_piece p = weight_rows(d, &row);
	const unsigned char *data = p.data, *scales = p.scales, *biases = p.biases;
	size_t scale = row * weight_scale_bytes(d);

	data += row * weight_row_bytes(d);
	if (d->form == FORM_AFFINE)
		affine_dequantize_row(out, data, scales + scale, biases + scale, d->dtype, d->n_in,
		                      d->bits, d->group);
	else
		dtype_to_f32(d->dtype, out, data, d->n_in);
}

void ref_copy(const struct record *r, const struct op *op, const struct step *s)
{
	const struct copy *c = &op->copy;

	for (size_t i = 0; i < slot_rows(op->dst, s); i++)
		for (size_t h = 0; h < c->n_runs; h++)
			memcpy(ref_at(r, op->dst, i) + h * c->to_step + c->to,
			       ref_at(r, op->src, i) + h * c->from_step + c->from,
			       c->n * sizeof(float));
}

void ref_route(const struct record *r, const struct op *op, const struct step *s)
{
	float bias[MOST_EXPERTS];

	if (op->w)
		ref_row(bias, op->w, 0);
	for (size_t i = 0; i < slot_rows(op->dst, s); i++)
		route_row(ref_at(r, op->dst, i), ref_at(r, op->src, i), op->w ? bias : NULL,
		          op->src->n, &op->routing);
}

/* Run j of a row by the rows of its matrix. */
static void run_product(const struct record *r, const struct op *op, const struct op_product *p,
                        size_t row, size_t j)
{
	const struct weight_desc *d = &p->w->d;
	size_t n = d->n_out / d->n_stack, n_in = d->n_in;
	size_t m = op->src2 ? (size_t)ref_at(r, op->src2, row)[j] : j;
	const float *x = ref_at(r, op->src, row) + (op->src->n == n_in ? 0 : j * n_in);
	float *y = ref_at(r, p->dst, row) + j * n, *w = ((struct ref *)r->x->device)->row;

	for (size_t o = 0; o < n; o++) {
		float b = 0;
		double sum;

		if (p->b)
			dtype_to_f32(p->b->d.dtype, &b, (const unsigned char *)p->b->d.data +
			             (m * n + o) * dtype_info(p->b->d.dtype)->block_bytes, 1);
		sum = (double)b;
		ref_row(w, p->w, m * n + o);
		for (size_t i = 0; i < n_in; i++)
			sum += (double)w[i] * (double)x[i];
		y[o] = (float)sum;
	}
}

void ref_experts(const struct record *r, const struct op *op, const struct step *s)
{
	for (size_t k = 0; k < op->n_parts; k++)
		for (size_t i = 0; i < slot_rows(op->src, s); i++)
			for (size_t j = 0; j < op->n_used; j++)
				run_product(r, op, &op->part[k], i, j);
}

void ref_mix(const struct record *r, const struct op *op, const struct step *s)
{
	size_t n = op->dst->n;

	for (size_t i = 0; i < slot_rows(op->dst, s); i++) {
		const float *x = ref_at(r, op->src, i), *weight = ref_at(r, op->src2, i) + op->n_used;
		float *y = ref_at(r, op->dst, i);

		for (size_t k = 0; k < n; k++) {
			double sum = (double)y[k];

			for (size_t j = 0; j < op->n_used; j++)
				sum += (double)weight[j] * (double)x[j * n + k];
			y[k] = (float)sum;
		}
	}
}
