/* SPDX-License-Identifier: MIT */
/* add.cl - y[i] += x[i]; a work-item an element; groups along n, then rows */
#include "common.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void add(global const int *restrict table, global float *act, ulong y_at, ulong x_at,
         int count_at, int n)
{
	size_t row = get_group_id(1), i = get_global_id(0), at = row * n + i;

	if (i < (size_t)n && row < (size_t)table[count_at])
		act[y_at + at] += act[x_at + at];
}
