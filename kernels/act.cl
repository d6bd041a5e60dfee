/* SPDX-License-Identifier: MIT */
/* act.cl - x[i] = act(x[i]); one ACT_ is defined: gated.clh. A work-item an
 * element; groups along n, then rows. */
#include "common.clh"
#include "gated.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void activate(global const int *restrict table, global float *act, ulong x_at, int count_at, int n)
{
	size_t row = get_group_id(1), i = get_global_id(0), at = row * n + i;

	if (i < (size_t)n && row < (size_t)table[count_at])
		act[x_at + at] = act_of(act[x_at + at]);
}
