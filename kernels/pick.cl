/* SPDX-License-Identifier: MIT */
/* pick.cl - y[o][i] = x[out[o]][i]: the rows whose outputs are wanted
 * A work-item an element; groups along n, then output rows. */
#include "common.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void pick(global const int *restrict table, global float *act, ulong y_at, ulong x_at,
          int out_at, int n)
{
	size_t o = get_group_id(1), i = get_global_id(0);

	if (i < (size_t)n && o < (size_t)table[STEP_OUT])
		act[y_at + o * n + i] = act[x_at + (size_t)table[out_at + o] * n + i];
}
