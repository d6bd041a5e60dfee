/* SPDX-License-Identifier: MIT */
/* mix.cl - y[t][i] += sum over j < n_used of weight[t][j] * x[t][j][i]
 * chosen: [rows][2][n_used] f32, numbers of experts, then weights. A
 * work-item an element; groups along n, then rows. */
#include "common.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void mix_runs(global const int *restrict table, global float *act, ulong y_at, ulong x_at,
         ulong chosen_at, int count_at, int n, int n_used)
{
	size_t row = get_group_id(1), i = get_global_id(0);

	if (i >= (size_t)n || row >= (size_t)table[count_at])
		return;
	global const float *x = act + x_at + row * n_used * n + i;
	global const float *weight = act + chosen_at + (row * 2 + 1) * n_used;
	float sum = act[y_at + row * n + i];

	for (int j = 0; j < n_used; j++)
		sum = madd(weight[j], x[(size_t)j * n], sum);
	act[y_at + row * n + i] = sum;
}
