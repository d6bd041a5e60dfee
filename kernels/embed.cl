/* SPDX-License-Identifier: MIT */
/* embed.cl - y[t][i] = w[token[t]][i]
 * y: [rows][n] f32; w: a chunk of the table, rows first .. first + count - 1
 * (tokens of other chunks are left alone). A work-item does 8 elements of
 * one row; groups along n, then rows. */
#include "common.clh"
#include "weights.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void embed(global const int *restrict table, global float *act, ulong y_at, int token_at,
           int n, int first, int count, global const weight_t *restrict w
#ifdef W_AFFINE
           , global const scale_t *restrict scale, global const scale_t *restrict bias
#endif
           )
{
	int t = get_group_id(1), k = (int)get_global_id(0) * 8;
	int row = table[token_at + t] - first;
	float v[8];

	if (t >= table[STEP_ROWS] || k >= n || row < 0 || row >= count)
		return;
	global float *y = act + y_at + (size_t)t * n;
#ifdef W_AFFINE
	size_t g = (size_t)row * (n / GROUP) + k / GROUP;
	float s = scale_at(scale, g), b = scale_at(bias, g);
	codes_load(v, w + (size_t)row * (n / 8) * BITS, k);
	for (int i = 0; i < 8; i++)
		v[i] = madd(s, v[i], b);
#else
	weights_load(v, w + (size_t)row * n, k, n);
#endif
	for (int i = 0; i < 8; i++)
		if (k + i < n)
			y[k + i] = v[i];
}
