/* SPDX-License-Identifier: MIT */
/* ref_recur.c - what carries a state from position to position, as plain
 * loops: ref.c. */
#include <math.h>
#include <string.h>

#include "exec/ref.h"

/* The states of the page that position `pos` of a row's sequence lies in. */
static float *state_of(const struct record *r, const struct op *op, size_t part,
                       const struct step *s, size_t row, size_t pos)
{
	const struct ref_kv *kv = (const struct ref_kv *)r->kv->device + op->layer;
	const struct exec_kv_layer *l = &r->kv->layer[op->layer];
	size_t page = (size_t)step_page(s, l->group, row, pos);

	return (float *)(void *)kv->keys + page * exec_kv_state(l, KV_STATES) +
	       exec_kv_state(l, part);
}

/* One channel over one sequence's rows. */
static void convolve(const struct record *r, const struct op *op, const struct step *s, size_t row,
                     size_t n_rows, size_t c)
{
	size_t n = op->dst->n, taps = op->conv.taps, pos = (size_t)s->pos[row];
	const float *w = ((struct ref *)r->x->device)->row + c * taps;
	float h[CONV_TAPS] = { 0 };

	for (size_t k = 0; pos && k + 1 < taps; k++)
		h[k] = state_of(r, op, op->conv.part, s, row, pos - 1)[k * n + c];
	for (size_t end = row + n_rows; row < end; row++) {
		double sum = 0;

		h[taps - 1] = ref_at(r, op->src, row)[c];
		for (size_t k = 0; k < taps; k++)
			sum += (double)w[k] * (double)h[k];
		ref_at(r, op->dst, row)[c] = (float)ref_activate(op->act, sum);
		memmove(h, h + 1, (taps - 1) * sizeof *h);
		for (size_t k = 0; step_keeps(s, r->kv->layer[op->layer].group, row) && k + 1 < taps; k++)
			state_of(r, op, op->conv.part, s, row, (size_t)s->pos[row])[k * n + c] = h[k];
	}
}

void ref_conv(const struct record *r, const struct op *op, const struct step *s)
{
	ref_row(((struct ref *)r->x->device)->row, op->w, 0);
	for (size_t i = 0; i < s->n_rows; i++)
		for (size_t n = step_run(s, i), c = 0; n && c < op->dst->n; c++)
			convolve(r, op, s, i, n, c);
}

void ref_decay(const struct record *r, const struct op *op, const struct step *s)
{
	size_t n = op->dst->n, run = n / op->w->d.n_in;
	float *bias = ((struct ref *)r->x->device)->row;

	ref_row(bias, op->b, 0);
	for (size_t i = 0; i < slot_rows(op->dst, s); i++)
		for (size_t k = 0; k < n; k++) {
			float *x = ref_at(r, op->dst, i) + k;
			double v = (double)*x + (double)bias[k];

			*x = (float)(fmax(v, 0) + log1p(exp(-fabs(v))));
		}
	ref_row(bias, op->w, 0);
	for (size_t i = 0; i < slot_rows(op->dst, s); i++)
		for (size_t k = 0; k < n; k++) {
			float *x = ref_at(r, op->dst, i) + k;

			*x = (float)exp(-(double)bias[k / run] * (double)*x);
		}
}

/* What one over the length of x is. */
static double shrink(const float *x, size_t n, float eps)
{
	double sum = (double)eps;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	return 1 / sqrt(sum);
}

/* One column of a head's state, and its element of the result, at one row. */
static void delta_row(const struct record *r, const struct op *op, size_t row, size_t h, size_t c,
                      float *state)
{
	const struct delta *d = &op->delta;
	size_t n = d->k_dim, kh = h / (d->n_heads / d->n_key_heads);
	const float *q = ref_at(r, d->q, row) + d->q_at + kh * n;
	const float *k = ref_at(r, d->k, row) + d->k_at + kh * n;
	const float *g = ref_at(r, d->decay, row) + h * (d->decay->n / d->n_heads);
	double by_q = shrink(q, n, d->eps) / sqrt((double)n), by_k = shrink(k, n, d->eps);
	double seen = 0, out = 0, move;

	for (size_t i = 0; i < n; i++)
		seen += (double)state[i] * (double)g[d->decay->n == d->n_heads ? 0 : i] *
		        (double)k[i] * by_k;
	move = (double)ref_at(r, d->beta, row)[h] *
	       ((double)ref_at(r, d->v, row)[d->v_at + h * d->v_dim + c] - seen);
	for (size_t i = 0; i < n; i++) {
		state[i] = (float)((double)state[i] * (double)g[d->decay->n == d->n_heads ? 0 : i] +
		                   (double)k[i] * by_k * move);
		out += (double)state[i] * (double)q[i] * by_q;
	}
	ref_at(r, op->dst, row)[h * d->v_dim + c] = (float)out;
}

static void delta_column(const struct record *r, const struct op *op, const struct step *s,
                         size_t row, size_t n_rows, size_t h, size_t c)
{
	const struct delta *d = &op->delta;
	size_t at = h * d->k_dim * d->v_dim + c, pos = (size_t)s->pos[row];
	float state[DELTA_DIM] = { 0 };

	for (size_t i = 0; pos && i < d->k_dim; i++)
		state[i] = state_of(r, op, d->part, s, row, pos - 1)[at + i * d->v_dim];
	for (size_t end = row + n_rows; row < end; row++) {
		delta_row(r, op, row, h, c, state);
		for (size_t i = 0; step_keeps(s, r->kv->layer[op->layer].group, row) && i < d->k_dim; i++)
			state_of(r, op, d->part, s, row, (size_t)s->pos[row])[at + i * d->v_dim] =
				state[i];
	}
}

void ref_delta(const struct record *r, const struct op *op, const struct step *s)
{
	const struct delta *d = &op->delta;

	for (size_t i = 0; i < s->n_rows; i++)
		for (size_t n = step_run(s, i), k = 0; n && k < d->n_heads * d->v_dim; k++)
			delta_column(r, op, s, i, n, k / d->v_dim, k % d->v_dim);
}
