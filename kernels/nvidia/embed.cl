/* SPDX-License-Identifier: MIT */
/* embed.cl - y[t][i] = w[token[t]][i] of a repacked table (tile.clh)
 * y: [rows][n] f32; w, s: rows first .. first + count - 1 (tokens of other
 * chunks are left alone). A work-item does 8 elements of one row; groups
 * along n, then rows. */
#include "../common.clh"
#include "tile.clh"

/* Columns k .. k + 7 (k a multiple of 8) of a row. */
void tile_row(float *v, global const uint *w, global const uint *scale, int row, int k, int n)
{
	size_t tile = (size_t)(row / TILE_ROWS) * (n / TILE_COLUMNS) + k / TILE_COLUMNS;
	int high = row % TILE_ROWS / 8, j = k % TILE_COLUMNS / 32, lane = row % 8 * 4 + k % 32 / 8;

	w += tile * TILE_LOADS * 128;
#if defined(W_AFFINE)
	uint sz = scale[(tile * TILE_ROWS + row % TILE_ROWS) * TILE_GROUPS +
	                k % TILE_COLUMNS / GROUP];

	for (int i = 0; i < 8; i++) {
#if BITS == 4
		uint q = w[high * 128 + lane * 4 + j] >> 4 * (i / 2 + i % 2 * 4) & 15;
#else
		uint q = w[j * 128 + lane * 4 + i / 4 * 2 + high] >> 8 * (i % 4) & 255;
#endif
		v[i] = madd(scale_of(sz), (float)q, bias_of(sz));
	}
#else
	for (int i = 0; i < 8; i++) {
		uint p = w[(j * 2 + i / 4) * 128 + lane * 4 + i / 2 % 2 * 2 + high];
#ifdef W_BF16
		v[i] = i % 2 ? from_bf16_high(p) : from_bf16_low(p);
#else
		v[i] = i % 2 ? high_f16(p) : low_f16(p);
#endif
	}
#endif
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void embed(global const int *restrict table, global float *act, ulong y_at, int token_at,
           int n, int first, int count, global const uint *restrict w
#ifdef W_AFFINE
           , global const uint *restrict s
#endif
           )
{
	int t = get_group_id(1), k = (int)get_global_id(0) * 8;
	int row = table[token_at + t] - first;
	float v[8];

	if (t >= table[STEP_ROWS] || k >= n || row < 0 || row >= count)
		return;
	global float *y = act + y_at + (size_t)t * n + k;
#ifdef W_AFFINE
	tile_row(v, w, s, row, k, n);
#else
	tile_row(v, w, 0, row, k, n);
#endif
	for (int i = 0; i < 8; i++)
		y[i] = v[i];
}
