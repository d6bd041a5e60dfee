/* SPDX-License-Identifier: MIT */
/* norm_layer.cl - y[r][i] = (x[r][i] - mean) / sqrt(variance + eps) * g[i] + b[i]
 * x, y: [rows][n] f32, y may be x; g, b: [n] f32. One group of LANES a row;
 * `count_at` is the table's word that tells the live rows.
 * Ba et al., 2016, arXiv:1607.06450 */
#include "common.clh"
#include "reduce.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void norm_layer(global const int *restrict table, global float *act, ulong y_at, ulong x_at,
                int count_at, int n, float eps, global const float *restrict g,
                global const float *restrict b)
{
	local float tmp[LANES];
	size_t row = get_group_id(1);
	bool live = row < (size_t)table[count_at];
	global const float *x = act + x_at + row * n;
	global float *y = act + y_at + row * n;
	float sum = 0.0f, squares = 0.0f;

	for (int i = get_local_id(0); i < n; i += LANES)
		sum += x[i];
	float mean = group_sum(sum, tmp) / n;
	for (int i = get_local_id(0); i < n; i += LANES)
		squares = madd(x[i] - mean, x[i] - mean, squares);
	float scale = 1.0f / sqrt(group_sum(squares, tmp) / n + eps);
	for (int i = get_local_id(0); live && i < n; i += LANES)
		y[i] = madd((x[i] - mean) * scale, g[i], b[i]);
}
