/* SPDX-License-Identifier: MIT */
/* norm.cl - y[r][i] = x[r][i] * g[i] / sqrt(mean over i of x[r][i]^2 + eps)
 * x, y: [rows * parts][n] f32, y may be x; g: [n] f32. One group of LANES
 * for each run of n elements; `count_at` is the table's word that tells the
 * live rows.
 * Zhang and Sennrich, 2019, arXiv:1910.07467 */
#include "common.clh"
#include "reduce.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void norm_rms(global const int *restrict table, global float *act, ulong y_at, ulong x_at,
              int count_at, int n, float eps, global const float *restrict g)
{
	local float tmp[LANES];
	size_t row = get_group_id(1), run = row * get_num_groups(0) + get_group_id(0);
	bool live = row < (size_t)table[count_at];
	global const float *x = act + x_at + run * n;
	global float *y = act + y_at + run * n;
	float sum = 0.0f;

	for (int i = get_local_id(0); i < n; i += LANES)
		sum = madd(x[i], x[i], sum);
	float scale = 1.0f / sqrt(group_sum(sum, tmp) / n + eps);
	for (int i = get_local_id(0); live && i < n; i += LANES)
		y[i] = x[i] * scale * g[i];
}
