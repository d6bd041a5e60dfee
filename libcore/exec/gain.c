/* SPDX-License-Identifier: MIT */
/* gain.c - x = x * gain[adapter] (+ shift[adapter]), row by row, for the
 * backends of this machine. Each element stands alone, so that there is
 * nothing that another order could change. */
#include "exec/record.h"

size_t slot_gain(const struct slot *s, const struct step *step, size_t row)
{
	size_t i = s->out ? (size_t)step->out[row] : row;

	return step->adapter ? (size_t)step->adapter[i] * s->n : 0;
}

void gain_rows(float *x, const struct op *op, const struct step *s, size_t begin, size_t end)
{
	const float *gain = op->w->d.data, *shift = op->shift ? op->shift->d.data : NULL;
	size_t n = op->dst->n;

	for (size_t i = begin; i < end; i++) {
		size_t at = slot_gain(op->dst, s, i);
		float *y = x + i * n;

		for (size_t k = 0; k < n; k++) {
			float v = y[k] * gain[at + k];

			y[k] = shift ? v + shift[at + k] : v;
		}
	}
}
