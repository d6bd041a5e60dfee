/* SPDX-License-Identifier: MIT */
/* encode.cl - what encoders add: attention over all rows of a sequence, and
 * norms with a mean
 * y = softmax(scale * q k^T) v: q, k, v, y: [n_rows][n_heads][dim] f32 of one
 * sequence; scratch: [n_rows]. Item: row * n_heads + head.
 * y = (x - mean) / sqrt(variance + eps) * g + b: runs of n. Item: a run. Ba
 * et al., 2016, arXiv:1607.06450 */
#include "vec.h"

static inline float dot(__global const float *a, __global const float *b, int n)
{
	VF total = SPLATF(0.0f);
	int i = 0;

	for (; i + WIDTH <= n; i += WIDTH)
		total = FMA(LOADF(a + i), LOADF(b + i), total);
	if (i < n)
		total = FMA(load_few(a + i, n - i), load_few(b + i, n - i), total);
	return sum(total);
}

/* Scores to weights; their sum. */
static inline float soften(float *score, int n, float most)
{
	VF total = SPLATF(0.0f), w;
	int i = 0;

	for (; i + WIDTH <= n; i += WIDTH) {
		w = exp_lanes(LOADF(score + i) - SPLATF(most));
		total = total + w;
		STOREF(w, score + i);
	}
	if (i < n) {
		w = keep_first(exp_lanes(load_few(score + i, n - i) - SPLATF(most)), n - i);
		total = total + w;
		store_few(w, score + i, n - i);
	}
	return sum(total);
}

static inline VF weigh(__global const float *v, const float *w, int n_rows, int stride, int n)
{
	VF total = SPLATF(0.0f);

	for (int j = 0; j < n_rows; j++, v += stride)
		total = FMA(SPLATF(w[j]), n < WIDTH ? load_few(v, n) : LOADF(v), total);
	return total;
}

KERNEL(encode)(ITEM __global const float *q, ulong q_at, __global const float *k, ulong k_at,
               __global const float *v, ulong v_at, __global float *y, ulong y_at, int n_rows,
               int n_heads, int dim, float scale, LOCAL float *scratch)
{
	int head = (int)(ITEM_ID % n_heads), stride = n_heads * dim;
	__global const float *mine = q + q_at + ITEM_ID * dim;
	__global float *out = y + y_at + ITEM_ID * dim;
	float most = 0, total;

	for (int j = 0; j < n_rows; j++) {
		scratch[j] = dot(mine, k + k_at + (ulong)j * stride + head * dim, dim) * scale;
		most = j && scratch[j] <= most ? most : scratch[j];
	}
	total = soften(scratch, n_rows, most);
	v += v_at + head * dim;
	for (int i = 0; i < dim; i += WIDTH) {
		int n = min_int(WIDTH, dim - i);
		VF w = weigh(v + i, scratch, n_rows, stride, n) / SPLATF(total);

		if (n < WIDTH)
			store_few(w, out + i, n);
		else
			STOREF(w, out + i);
	}
}

KERNEL(norm_layer)(ITEM __global const float *x, ulong x_at, __global float *y, ulong y_at,
                   __global const float *g, __global const float *b, int n, float eps)
{
	__global const float *p = x + x_at + ITEM_ID * n;
	__global float *out = y + y_at + ITEM_ID * n;
	VF total = SPLATF(0.0f), squares = SPLATF(0.0f), mean, scale, d;
	int i = 0;

	for (; i + WIDTH <= n; i += WIDTH)
		total = total + LOADF(p + i);
	if (i < n)
		total = total + load_few(p + i, n - i);
	mean = SPLATF(sum(total) / n);
	for (i = 0; i + WIDTH <= n; i += WIDTH) {
		d = LOADF(p + i) - mean;
		squares = FMA(d, d, squares);
	}
	if (i < n) {
		d = keep_first(load_few(p + i, n - i) - mean, n - i);
		squares = FMA(d, d, squares);
	}
	scale = SPLATF(1 / SQRT(sum(squares) / n + eps));
	for (i = 0; i + WIDTH <= n; i += WIDTH)
		STOREF(FMA((LOADF(p + i) - mean) * scale, LOADF(g + i), LOADF(b + i)), out + i);
	if (i < n)
		store_few(FMA((load_few(p + i, n - i) - mean) * scale, load_few(g + i, n - i),
		              load_few(b + i, n - i)), out + i, n - i);
}
