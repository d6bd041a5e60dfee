/* SPDX-License-Identifier: MIT */
/* experts.cl - runs of rows and the stacks of matrices they take, as tiles
 * (tile.clh): y[t][j][r] = sum over k of w[m][r][k] * x[t][k], + b[m][r]
 *
 * m is what `chosen` names for run j of a row, or j itself (chosen_step 0).
 * x: [tokens][k] f32 for all runs (share n_used), or [tokens][n_used][k]
 * (share 1); y: [tokens][n_used][n] f32; w and s: matrices first .. first +
 * count - 1 of the stack; runs that take others are left alone. b:
 * [matrices][n] f32 or null.
 *
 * experts_few(): a group does a row of tiles for one run, each team of 32
 * lanes one partial sum. PARTS products of one x run together.
 * experts_sort(): the runs of all rows by their matrix, for tokens.cl. Each
 * matrix has whole tiles of `pad` slots. list: [0] how many tiles there are,
 * from LIST_HEAD on the matrix of each and 1024 times how many of its slots
 * have a run; slots: a run each, those without at the end -1. Which slot
 * of its matrix a run has changes nothing of what it gets. */
#include "../common.clh"

#ifdef SORT
#define MOST_EXPERTS 1024

int matrix_of(global const float *chosen, int step, int n_used, int run)
{
	return step ? (int)chosen[(size_t)(run / n_used) * step + run % n_used] : run % n_used;
}

int tiles_of(int runs, int pad)
{
	return (runs + pad - 1) / pad;
}

/* first[m]: the tiles before those of matrix m; how many there are in all. */
int tiles_before(local int *first, local const int *runs, local int *part, int n, int pad)
{
	int id = get_local_id(0), each = (n + TEAM - 1) / TEAM, all = 0, at = 0;

	if (id < TEAM) {
		for (int m = id * each; m < min(n, (id + 1) * each); m++)
			all += tiles_of(runs[m], pad);
		part[id] = all;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	all = 0;
	for (int i = 0; i < TEAM; i++) {
		at += i < id ? part[i] : 0;
		all += part[i];
	}
	for (int m = id * each; id < TEAM && m < min(n, (id + 1) * each); m++) {
		first[m] = at;
		at += tiles_of(runs[m], pad);
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	return all;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void experts_sort(global const int *restrict table, global float *act, ulong chosen_at,
                  ulong list_at, ulong slots_at, int chosen_step, int count_at, int n_used, int n,
                  int pad)
{
	local int runs[MOST_EXPERTS], first[MOST_EXPERTS], part[TEAM];
	int id = get_local_id(0), total = table[count_at] * n_used;
	global const float *chosen = act + chosen_at;
	global int *list = (global int *)(act + list_at), *slots = (global int *)(act + slots_at);

	for (int m = id; m < n; m += LANES)
		runs[m] = 0;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int i = id; i < total; i += LANES)
		atomic_inc(&runs[matrix_of(chosen, chosen_step, n_used, i)]);
	barrier(CLK_LOCAL_MEM_FENCE);
	int all = tiles_before(first, runs, part, n, pad);
	if (id == 0)
		list[0] = all;
	for (int m = id; m < n; m += LANES) {
		int tiles = tiles_of(runs[m], pad), at = first[m] * pad;

		for (int i = 0; i < tiles; i++)
			list[LIST_HEAD + first[m] + i] = m + MOST_EXPERTS * min(runs[m] - i * pad, pad);
		for (int i = runs[m]; i < tiles * pad; i++)
			slots[at + i] = -1;
		runs[m] = at;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int i = id; i < total; i += LANES)
		slots[atomic_inc(&runs[matrix_of(chosen, chosen_step, n_used, i)])] = i;
}
#else
#include "tile.clh"
#include "parts.clh"

#ifdef W_AFFINE
#define PART(i) , ulong y##i, int n##i, int first##i, int count##i, \
	global const float *restrict b##i, global const uint4 *restrict w##i, \
	global const uint *restrict s##i
#define TAKE(i) \
	y_at = y##i, n = n##i, first = first##i, count = count##i, b = b##i, w = w##i, s = s##i
#else
#define PART(i) , ulong y##i, int n##i, int first##i, int count##i, \
	global const float *restrict b##i, global const uint4 *restrict w##i
#define TAKE(i) y_at = y##i, n = n##i, first = first##i, count = count##i, b = b##i, w = w##i
#endif
#define NEXT(i) \
	if (tile >= n / TILE_ROWS) { \
		tile -= n / TILE_ROWS; \
		TAKE(i); \
	}

/* Tile k of x, as all eight rows of inputs. */
void inputs_same(struct inputs *o, global const float *x, int k, int t)
{
#pragma unroll
	for (int j = 0; j < 4; j++) {
		global const float4 *p = (global const float4 *)(x + k * TILE_COLUMNS + j * 32 + t * 8);
		float4 a = p[0], b = p[1];
		float v[8] = { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w };

		inputs_set(o, j, v);
	}
	inputs_sum(o, t);
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void experts_few(global const int *restrict table, global float *act, ulong x_at, ulong chosen_at,
                 int chosen_step, int count_at, int share, int n_used, int k, int each EACH_PART)
{
	local float part[LANES / TEAM][TILE_ROWS];
	int id = get_local_id(0), lane = id % TEAM, team = id / TEAM, g = lane / 4, t = lane % 4;
	int row = get_group_id(0), j = get_group_id(1) / each, tile = get_group_id(1) % each;
	int tiles = k / TILE_COLUMNS, parts = min((int)MOST_PARTS, tiles), n, first, count;
	size_t run = (size_t)row * n_used + j;
	ulong y_at;
	global const float *b;
	global const uint4 *w;
	global const uint *s = 0;
	float acc[4] = {0.0f, 0.0f, 0.0f, 0.0f};

	if (row >= table[count_at])
		return;
	OWN_PART
	int m = chosen_step ? (int)act[chosen_at + (size_t)row * chosen_step + j] : j;
	if (m < first || m >= first + count)
		return;
	size_t at = ((size_t)(m - first) * (n / TILE_ROWS) + tile) * tiles;
	for (int i = team; i < tiles; i += LANES / TEAM) {
		struct inputs x;
		struct tile v;

		tile_load(&v, w, s, at + i, lane);
		inputs_same(&x, act + x_at + run / share * k, i, t);
		tile_product(acc, &v, &x);
	}
	if (t == 0) {
		part[team][g] = acc[0];
		part[team][g + 8] = acc[2];
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	if (id < TILE_ROWS) {
		float v = part[0][id];

		for (int i = 1; i < parts; i++)
			v += part[i][id];
		if (b)
			v += b[(size_t)m * n + tile * TILE_ROWS + id];
		act[y_at + run * n + tile * TILE_ROWS + id] = v;
	}
}
#endif
