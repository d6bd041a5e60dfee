/* SPDX-License-Identifier: MIT */
/* ref_recur.c - what carries a state from position to position, as plain
 * loops: ref.c. */
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
		for (size_t k = 0; step_keeps(s, row) && k + 1 < taps; k++)
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
