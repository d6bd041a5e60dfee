/* SPDX-License-Identifier: MIT */
/* norm.cl - y[i] = x[i] * g[i] / sqrt(mean over i of x[i]^2 + eps)
 * x, y: runs of n f32, which may be the same; g: [n] f32. Item: a run.
 * Zhang and Sennrich, 2019, arXiv:1910.07467 */
#include "vec.h"

KERNEL(norm_rms)(ITEM __global const float *x, ulong x_at, __global float *y, ulong y_at,
                 __global const float *g, ulong g_at, int n, float eps)
{
	__global const float *p = x + x_at + ITEM_ID * n;
	__global float *out = y + y_at + ITEM_ID * n;
	VF squares = SPLATF(0.0f), scale;
	int i = 0;

	for (; i + WIDTH <= n; i += WIDTH)
		squares = FMA(LOADF(p + i), LOADF(p + i), squares);
	if (i < n)
		squares = FMA(load_few(p + i, n - i), load_few(p + i, n - i), squares);
	scale = SPLATF(1 / SQRT(sum(squares) / n + eps));
	for (i = 0; i + WIDTH <= n; i += WIDTH)
		STOREF(LOADF(p + i) * scale * LOADF(g + g_at + i), out + i);
	if (i < n)
		store_few(load_few(p + i, n - i) * scale * load_few(g + g_at + i, n - i), out + i,
		          n - i);
}
