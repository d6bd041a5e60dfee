/* SPDX-License-Identifier: MIT */
/* copy.cl - y[t][h * to_step + to + i] = x[t][h * from_step + from + i] for n
 * elements of each of n_runs runs. A work-item an element; groups along the
 * runs' elements, then rows. */
#include "common.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void copy(global const int *restrict table, global float *act, ulong y_at, ulong x_at,
          int count_at, int y_width, int x_width, int n_runs, int n, int to, int to_step,
          int from, int from_step)
{
	size_t row = get_group_id(1);
	int k = get_global_id(0), run = k / n, i = k % n;

	if (run < n_runs && row < (size_t)table[count_at])
		act[y_at + row * y_width + run * to_step + to + i] =
			act[x_at + row * x_width + run * from_step + from + i];
}
