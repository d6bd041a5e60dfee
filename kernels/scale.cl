/* SPDX-License-Identifier: MIT */
/* scale.cl - y[i] *= by, and where CAP is defined y[i] = cap * tanh(y[i] / cap)
 * A work-item an element; groups along n, then rows. */
#include "common.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void scale(global const int *restrict table, global float *act, ulong y_at, int count_at, int n,
           float by, float cap)
{
	size_t row = get_group_id(1), i = get_global_id(0), at = row * n + i;

	if (i >= (size_t)n || row >= (size_t)table[count_at])
		return;
#ifdef CAP
	act[y_at + at] = cap * tanh(act[y_at + at] * by / cap);
#else
	act[y_at + at] *= by;
#endif
}
