/* SPDX-License-Identifier: MIT */
/* gain.cl - x[r][i] = x[r][i] * gain[a][i], + shift[a][i] where SHIFT is
 * defined; a: the adapter of the row, of an output that of the row it is of
 * (OUTS). A work-item an element; groups along n, then rows. */
#include "common.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void gain(global const int *restrict table, global float *act, ulong x_at, int count_at, int n,
          int adapter_at, int out_at, global const float *restrict by
#ifdef SHIFT
          , global const float *restrict shift
#endif
          )
{
	size_t row = get_group_id(1), i = get_global_id(0), x = x_at + row * n + i, a;

	if (i >= (size_t)n || row >= (size_t)table[count_at])
		return;
#ifdef OUTS
	row = table[out_at + row];
#endif
	a = (size_t)table[adapter_at + row] * n + i;
	float v = act[x] * by[a];
#ifdef SHIFT
	v += shift[a];
#endif
	act[x] = v;
}
