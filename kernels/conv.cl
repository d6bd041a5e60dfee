/* SPDX-License-Identifier: MIT */
/* conv.cl - y[c] = act(sum over k of w[c][k] * x[c], TAPS - 1 - k positions ago)
 * x, y: [rows][n] f32   w: [n][TAPS] f32   states: pages of `size` f32, of
 * which [TAPS - 1][n] at `part` are the last inputs. ACT_SILU may be defined.
 * A work-item a channel; groups along them, then rows: the first row of each
 * sequence takes all of its rows. */
#include "common.clh"
#include "runs.clh"
#include "gated.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void conv(global const int *restrict table, global float *act, ulong y_at, ulong x_at, int pos_at,
          int pages_at, int n, global const float *restrict w, global float *states, ulong part,
          ulong size)
{
	size_t row = get_group_id(1), c = get_global_id(0), rows = table[STEP_ROWS];
	float h[TAPS];

	if (row >= rows || c >= (size_t)n || !begins_run(table, pages_at, row))
		return;
	int pos = table[pos_at + row];
	global const float *old = states + part + c;

	if (pos > 0)
		old += page_of(table, pages_at, row, pos - 1) * size;
	for (int k = 0; k < TAPS - 1; k++)
		h[k] = pos > 0 ? old[k * n] : 0.0f;
	for (;; row++) {
		float sum = 0.0f;

		h[TAPS - 1] = act[x_at + row * n + c];
		for (int k = 0; k < TAPS; k++)
			sum = madd(w[c * TAPS + k], h[k], sum);
		act[y_at + row * n + c] = act_of(sum);
		for (int k = 0; k < TAPS - 1; k++)
			h[k] = h[k + 1];
		if (keeps(table, pos_at, pages_at, row)) {
			int page = page_of(table, pages_at, row, table[pos_at + row]);

			for (int k = 0; k < TAPS - 1; k++)
				states[page * size + part + k * n + c] = h[k];
		}
		if (ends_run(table, pages_at, row))
			return;
	}
}
