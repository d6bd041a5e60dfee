/* SPDX-License-Identifier: MIT */
/* rope.cl - the first `dims` elements of each head turned, in place: from
 * pairs (i, i + dims / 2), or interleaved (2i, 2i + 1), to halves.
 * x: [n_rows][n_heads][head_dim] f32; angles: [n_rows][dims], cosines then
 * sines. Item: a row. Su et al., 2021, arXiv:2104.09864 */
#include "vec.h"

KERNEL(rope)(ITEM __global float *x, ulong x_at, __global const float *angles, ulong angles_at,
             int n_heads, int head_dim, int dims, int interleaved)
{
	__global const float *cosine = angles + angles_at + ITEM_ID * dims;
	__global const float *sine = cosine + dims / 2;
	__global float *p = x + x_at + ITEM_ID * n_heads * head_dim;
	int half_dims = dims / 2;
	float first[256], second[256];

	for (int h = 0; h < n_heads; h++, p += head_dim) {
		int i = 0;

		for (; !interleaved && i + WIDTH <= half_dims; i += WIDTH) {
			VF a = LOADF(p + i), b = LOADF(p + half_dims + i);
			VF c = LOADF(cosine + i), s = LOADF(sine + i);

			STOREF(FMA(a, c, SPLATF(0.0f) - b * s), p + i);
			STOREF(FMA(b, c, a * s), p + half_dims + i);
		}
		for (int k = i; k < half_dims; k++) {
			first[k] = interleaved ? p[2 * k] : p[k];
			second[k] = interleaved ? p[2 * k + 1] : p[half_dims + k];
		}
		for (; i < half_dims; i++) {
			p[i] = first[i] * cosine[i] - second[i] * sine[i];
			p[half_dims + i] = second[i] * cosine[i] + first[i] * sine[i];
		}
	}
}
