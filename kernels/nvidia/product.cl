/* SPDX-License-Identifier: MIT */
/* product.cl - y[t][r] = sum over k of w[r][k] * x[t][k], + b[r], or added to
 * y, for repacked weights (tile.clh), eight rows of x at a time
 * x: [rows][k] f32, y: [rows][width] f32, w and s: rows first .. first + n -
 * 1 of [width][k], b: [width] f32 or null. PARTS products of one x run
 * together. A group does a row of tiles for eight rows of x, each team of 32
 * lanes one partial sum; groups along rows of x first. */
#include "../common.clh"
#include "tile.clh"

#ifdef W_AFFINE
#define PART(i) , ulong y##i, int n##i, int first##i, int width##i, \
	global const float *restrict b##i, global const uint4 *restrict w##i, \
	global const uint *restrict s##i
#define TAKE(i) \
	y_at = y##i, n = n##i, first = first##i, width = width##i, b = b##i, w = w##i, s = s##i
#else
#define PART(i) , ulong y##i, int n##i, int first##i, int width##i, \
	global const float *restrict b##i, global const uint4 *restrict w##i
#define TAKE(i) y_at = y##i, n = n##i, first = first##i, width = width##i, b = b##i, w = w##i
#endif
#define TILES(n) (((n) + TILE_ROWS - 1) / TILE_ROWS)
#define NEXT(i) \
	if (tile >= TILES(n)) { \
		tile -= TILES(n); \
		TAKE(i); \
	}

/* Tile k of row x, zeros where there is no such row. */
void inputs_load(struct inputs *o, global const float *x, int k, int t, bool live)
{
#pragma unroll
	for (int j = 0; j < 4; j++) {
		float v[8];

		for (int i = 0; i < 8; i++)
			v[i] = live ? x[k * TILE_COLUMNS + j * 32 + t * 8 + i] : 0.0f;
		inputs_set(o, j, v);
	}
	inputs_sum(o, t);
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void product(global const int *restrict table, global float *act, ulong x_at, int count_at,
             int k, int add PART(0)
#if PARTS > 1
             PART(1)
#endif
#if PARTS > 2
             PART(2)
#endif
#if PARTS > 3
             PART(3)
#endif
             )
{
	local float part[MOST_PARTS][TILE_ROWS][8];
	int lane = get_local_id(0) % TEAM, team = get_local_id(0) / TEAM, g = lane / 4, t = lane % 4;
	int count = table[count_at], row = (int)get_group_id(0) * 8, tile = get_group_id(1);
	int tiles = k / TILE_COLUMNS, parts = min((int)MOST_PARTS, tiles), n, first, width;
	ulong y_at;
	global const float *b;
	global const uint4 *w;
	global const uint *s = 0;
	float acc[4] = {0.0f, 0.0f, 0.0f, 0.0f};

	TAKE(0);
#if PARTS > 1
	NEXT(1)
#endif
#if PARTS > 2
	NEXT(2)
#endif
#if PARTS > 3
	NEXT(3)
#endif
	for (int i = team; i < tiles; i += MOST_PARTS) {
		struct inputs x;
		struct tile v;

		tile_load(&v, w, s, (size_t)tile * tiles + i, lane);
		inputs_load(&x, act + x_at + (size_t)(row + g) * k, i, t, row + g < count);
		tile_product(acc, &v, &x);
	}
	for (int i = 0; i < 4; i++)
		part[team][g + i / 2 * 8][2 * t + i % 2] = acc[i];
	barrier(CLK_LOCAL_MEM_FENCE);
	int id = get_local_id(0), r = tile * TILE_ROWS + id / 8;
	if (id < TILE_ROWS * 8 && r < n && row + id % 8 < count) {
		global float *y = act + y_at + (size_t)(row + id % 8) * width + first + r;
		float v = part[0][id / 8][id % 8];

		for (int i = 1; i < parts; i++)
			v += part[i][id / 8][id % 8];
		if (b)
			v += b[first + r];
		*y = add ? *y + v : v;
	}
}
