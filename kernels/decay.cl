/* SPDX-License-Identifier: MIT */
/* decay.cl - x[h][i] = exp(-rate[h] * softplus(x[h][i] + bias[h][i])), how much
 * of a state stays; `run` elements of each h. A work-item an element; groups
 * along n, then rows. */
#include "common.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void decay(global const int *restrict table, global float *act, ulong x_at, int count_at, int n,
           int run, global const float *restrict rate, global const float *restrict bias)
{
	size_t row = get_group_id(1), i = get_global_id(0), at = row * n + i;

	if (i >= (size_t)n || row >= (size_t)table[count_at])
		return;
	float v = act[x_at + at] + bias[i];

	act[x_at + at] = exp(-rate[i / run] * (fmax(v, 0.0f) + log1p(exp(-fabs(v)))));
}
