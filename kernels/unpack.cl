/* SPDX-License-Identifier: MIT */
/* unpack.cl - rows of a weight as f32, for a library that multiplies such, and
 * what its products lack
 *
 * unpack: w, scales, biases as matmul.cl has them; y: [n][k] f32, rows first ..
 * first + n - 1 of w. An item does eight neighbouring weights.
 * bias: y[t][first + r] += b[first + r] for r < n, y: [tokens][width]. */
#include "common.clh"
#ifdef BIAS

kernel __attribute__((reqd_work_group_size(128, 1, 1)))
void bias(global const int *restrict table, global float *act, ulong y_at, int count_at, int n,
          int first, int width, global const float *restrict b)
{
	int r = get_global_id(0), t = get_group_id(1);

	if (r < n && t < table[count_at])
		act[y_at + (size_t)t * width + first + r] += b[first + r];
}
#else
#include "weights.clh"

kernel __attribute__((reqd_work_group_size(128, 1, 1)))
void unpack(global const int *restrict table, global float *act, ulong y_at, int first, int n,
            int k, global const weight_t *restrict w
#ifdef W_AFFINE
            , global const scale_t *restrict s, global const scale_t *restrict z
#endif
            )
{
	size_t each = (k + 7) / 8, id = get_global_id(0);
	size_t row = id / each, at = first + row;
	int i = (int)(id % each) * 8;
	float v[8];

	if (row >= (size_t)n)
		return;
#ifdef W_AFFINE
	size_t g = at * (k / GROUP) + i / GROUP;
	float scale = scale_at(s, g), zero = scale_at(z, g);

	codes_load(v, w + at * (k / 8) * BITS, i);
	for (int j = 0; j < 8; j++)
		v[j] = madd(scale, v[j], zero);
#else
	weights_load(v, w + at * k, i, k);
#endif
	for (int j = 0; j < 8 && i + j < k; j++)
		act[y_at + row * k + i + j] = v[j];
}
#endif
