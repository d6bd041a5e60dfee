/* SPDX-License-Identifier: MIT */
/* kv_write.cl - a step's keys and values to their places in the cache.
 * k: [n_rows][n_heads][k_dim], v: [n_rows][n_heads][v_dim] f32; keys, values:
 * cache.clh, of type STORED_F16 or STORED_F32, offsets in elements.
 * Item: row * n_heads + head. */
#include "cache.clh"

static inline void put(__global uchar *to, ulong at, float v, int type)
{
	if (type == STORED_F32)
		((__global float *)to)[at] = v;
	else
		((__global ushort *)to)[at] = (ushort)FIRST(to_half_lanes(SPLATF(v)));
}

KERNEL(kv_write)(ITEM __global const float *k, ulong k_at, __global const float *v, ulong v_at,
                 __global uchar *keys, ulong keys_at, __global uchar *values, ulong values_at,
                 int type, __global const int *pos, __global const int *seq,
                 __global const int *pages, ulong page_stride, int n_heads, int k_dim, int v_dim)
{
	int row = (int)(ITEM_ID / n_heads), head = (int)(ITEM_ID % n_heads);
	ulong page = pages[seq[row] * page_stride + pos[row] / PAGE_SIZE];
	int at = pos[row] % PAGE_SIZE;
	__global const float *p = k + k_at + ITEM_ID * k_dim;
	ulong to = keys_at + ((page * n_heads + head) * PAGE_SIZE + at / KEY_BLOCK * KEY_BLOCK) *
	           k_dim + at % KEY_BLOCK;
	int i = 0;

	for (; i + WIDTH <= k_dim; i += WIDTH) {
		uint t[WIDTH];

		STOREI(ASI(type == STORED_F32 ? ASU(LOADF(p + i)) : to_half_lanes(LOADF(p + i))), (int *)t);
		for (int j = 0; j < WIDTH; j++)
			if (type == STORED_F32)
				((__global uint *)keys)[to + (i + j) * KEY_BLOCK] = t[j];
			else
				((__global ushort *)keys)[to + (i + j) * KEY_BLOCK] = (ushort)t[j];
	}
	for (; i < k_dim; i++)
		put(keys, to + i * KEY_BLOCK, p[i], type);
	p = v + v_at + ITEM_ID * v_dim;
	to = values_at + ((page * n_heads + head) * PAGE_SIZE + at) * padded(v_dim);
	for (i = 0; i + WIDTH <= v_dim; i += WIDTH)
		if (type == STORED_F32)
			STOREF(LOADF(p + i), (__global float *)values + to + i);
		else
			STORE16(to_half_lanes(LOADF(p + i)), (__global ushort *)values + to + i);
	for (; i < v_dim; i++)
		put(values, to + i, p[i], type);
}
