/* SPDX-License-Identifier: MIT */
/* limits.cl - what a device can do at most: read memory, fused products,
 * the matrix unit, an empty launch, a barrier over all groups. Nothing of
 * use is computed; what is written depends on all of the work. */
#include "common.clh"

#define ONE_GROUP_SIZE kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))

enum { LOADS = 8, CHAINS = 16, TILES = 8 };

/* Reads n blocks of 16 bytes, n a multiple of LOADS * the grid. */
ONE_GROUP_SIZE void limit_read(global const uint4 *restrict p, ulong n, global uint *out)
{
	size_t grid = get_global_size(0);
	uint4 acc = 0;

	for (size_t i = get_global_id(0); i < n; i += LOADS * grid) {
		uint4 v[LOADS];

		for (int k = 0; k < LOADS; k++)
			v[k] = p[i + k * grid];
		for (int k = 0; k < LOADS; k++)
			acc |= v[k];
	}
	acc.x |= acc.y | acc.z | acc.w;
	if (acc.x == 0xffffffff)
		out[0] = acc.x;
}

ONE_GROUP_SIZE void limit_fma(int zero, int n, global float *out)
{
	float acc[CHAINS], keep = zero + 1, add = zero;

	for (int k = 0; k < CHAINS; k++)
		acc[k] = zero + k;
	for (int i = 0; i < n; i++)
		for (int k = 0; k < CHAINS; k++)
			acc[k] = fma(acc[k], keep, add);
	for (int k = 1; k < CHAINS; k++)
		acc[0] += acc[k];
	if (acc[0] < 0)
		out[0] = acc[0];
}

ONE_GROUP_SIZE void limit_launch(global float *out)
{
	if (get_global_id(0) > get_global_size(0))
		out[0] = 0;
}

/* n barriers of all groups, which must run at the same time. Each counts in
 * count[0], from 0; one that waits too long says so in count[1] and all go
 * on. */
ONE_GROUP_SIZE void limit_barrier(int n, int patience, global volatile int *count)
{
	int groups = get_num_groups(0), spins = 0;

	for (int i = 1; i <= n; i++) {
		barrier(CLK_GLOBAL_MEM_FENCE);
		if (get_local_id(0) == 0) {
			atomic_inc(count);
			while (count[0] < i * groups && !count[1])
				if (++spins > patience)
					count[1] = 1;
			spins = 0;
		}
		barrier(CLK_GLOBAL_MEM_FENCE);
	}
}

#ifdef PTX
/* 16x8x16 products of f16 summed in f32, TILES of a warp at once. */
ONE_GROUP_SIZE void limit_matrix(int zero, int n, global float *out)
{
	float d[TILES][4];
	uint a = zero, b = zero;

	for (int k = 0; k < TILES; k++)
		for (int j = 0; j < 4; j++)
			d[k][j] = zero + k;
	for (int i = 0; i < n; i++)
		for (int k = 0; k < TILES; k++)
			__asm__ volatile(
				"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
				"{%0,%1,%2,%3}, {%4,%4,%4,%4}, {%5,%5}, {%0,%1,%2,%3};"
				: "+f"(d[k][0]), "+f"(d[k][1]), "+f"(d[k][2]), "+f"(d[k][3])
				: "r"(a), "r"(b));
	for (int k = 1; k < TILES; k++)
		for (int j = 0; j < 4; j++)
			d[0][0] += d[k][j];
	if (d[0][0] < 0)
		out[0] = d[0][0];
}
#endif
