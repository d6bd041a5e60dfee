/* SPDX-License-Identifier: MIT */
/* ref_encode.c - what encoders add, as plain loops: ref.c. */
#include <math.h>
#include <string.h>

#include "exec/ref.h"

void ref_norm_layer(const struct record *r, const struct op *op, const struct step *s)
{
	float *g = ((struct ref *)r->x->device)->row, *b = g + op->dst->n;
	size_t n = op->dst->n;

	ref_row(g, op->w, 0);
	ref_row(b, op->b, 0);
	for (size_t i = 0; i < slot_rows(op->dst, s); i++) {
		const float *x = ref_at(r, op->src, i);
		float *y = ref_at(r, op->dst, i);
		double mean = 0, squares = 0;

		for (size_t j = 0; j < n; j++)
			mean += (double)x[j] / (double)n;
		for (size_t j = 0; j < n; j++)
			squares += ((double)x[j] - mean) * ((double)x[j] - mean);
		squares = 1 / sqrt(squares / (double)n + (double)op->eps);
		for (size_t j = 0; j < n; j++)
			y[j] = (float)(((double)x[j] - mean) * squares * (double)g[j] + (double)b[j]);
	}
}

void ref_act(const struct record *r, const struct op *op, const struct step *s)
{
	float *x = ref_at(r, op->dst, 0);
	size_t n = slot_rows(op->dst, s) * op->dst->n;

	for (size_t i = 0; i < n; i++)
		x[i] = (float)ref_activate(op->act, (double)x[i]);
}

/* One row and head over rows first .. first + n. */
static void encode(const struct record *r, const struct op *op, size_t first, size_t n, size_t row,
                   size_t head)
{
	float *score = ((struct ref *)r->x->device)->row;
	size_t dim = op->head_dim, at = head * dim;
	double most = -INFINITY, total = 0;

	for (size_t j = 0; j < n; j++) {
		double sum = 0;

		for (size_t i = 0; i < dim; i++)
			sum += (double)ref_at(r, op->src, row)[at + i] *
			       (double)ref_at(r, op->src2, first + j)[at + i];
		score[j] = (float)(sum * (double)op->scale);
		most = fmax(most, (double)score[j]);
	}
	for (size_t j = 0; j < n; j++)
		total += exp((double)score[j] - most);
	for (size_t i = 0; i < dim; i++) {
		double sum = 0;

		for (size_t j = 0; j < n; j++)
			sum += exp((double)score[j] - most) / total *
			       (double)ref_at(r, op->more[0], first + j)[at + i];
		ref_at(r, op->dst, row)[at + i] = (float)sum;
	}
}

void ref_encode(const struct record *r, const struct op *op, const struct step *s)
{
	size_t first = 0, n = 0;

	for (size_t row = 0; row < s->n_rows; row++) {
		if (step_run(s, row))
			first = row, n = step_run(s, row);
		for (size_t head = 0; head < op->n_heads; head++)
			encode(r, op, first, n, row, head);
	}
}

static double clipped(double gate, double up)
{
	gate = fmin(gate, 7);
	return gate / (1 + exp(-1.702 * gate)) * (fmax(fmin(up, 7), -7) + 1);
}

void ref_glu(const struct record *r, const struct op *op, const struct step *s)
{
	const float *gate = ref_at(r, op->src, 0), *up = ref_at(r, op->src2, 0);
	size_t n = slot_rows(op->dst, s) * op->dst->n;
	float *y = ref_at(r, op->dst, 0);

	for (size_t i = 0; i < n; i++)
		y[i] = (float)(op->act == ACT_CLIPPED ? clipped((double)gate[i], (double)up[i]) :
		               ref_activate(op->act, (double)gate[i]) * (double)up[i]);
}
