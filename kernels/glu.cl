/* SPDX-License-Identifier: MIT */
/* glu.cl - y[i] = act(gate[i]) * up[i], or a clipped gate's; y may be either
 * One ACT_ is defined: gated.clh. A work-item an element; groups along n,
 * then rows.
 * Shazeer, 2020, arXiv:2002.05202 */
#include "common.clh"
#include "gated.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void glu(global const int *restrict table, global float *act, ulong y_at, ulong gate_at,
         ulong up_at, int count_at, int n)
{
	size_t row = get_group_id(1), i = get_global_id(0), at = row * n + i;

	if (i < (size_t)n && row < (size_t)table[count_at])
		act[y_at + at] = gated(act[gate_at + at], act[up_at + at]);
}
