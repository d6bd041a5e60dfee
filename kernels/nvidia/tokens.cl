/* SPDX-License-Identifier: MIT */
/* tokens.cl - y[t][r] = sum over k of w[r][k] * x[t][k], + b[r], or added to
 * y, for repacked weights (tile.clh) and many tokens
 * x: as prepare.cl left it, y: [tokens][width] f32, w and s: rows first ..
 * first + n - 1 of [width][k], b: [width] f32 or null. PARTS products of one
 * x run together.
 *
 * A group does ROWS rows for TOKENS tokens; a warp MT times 16 of the rows
 * for NT times 8 of the tokens. Columns of x, STEP at a time, are copied to
 * local memory, COMING ahead; weights go from memory into registers as
 * they lie, AHEAD units ahead; COPIED, of 4 bits: to local memory, too, AHEAD
 * tiles ahead. WARPS_K sets of warps share the partial sums of tile.clh, each
 * with its own columns, and meet after each. GROUPED: four warps multiply
 * together (group.clh), 16 rows each, and weights come to the
 * second cache FETCH tiles earlier. Groups along tiles of tokens first, so
 * that those in flight share the weights.
 *
 * EXPERTS: w, s and b are matrices first .. first + width - 1 of a stack of
 * such of n rows, and of x the rows, as of y, are the slots that experts.cl's
 * sort gave to runs: a group does a tile of them, all of one matrix. y:
 * [runs][n]. */
#include "../common.clh"
#include "tokens.clh"

#ifdef GROUPED
/* acc += a stage. */
INLINE void grouped_sums(float *acc, const struct unit *u, local const uint4 *x,
                         local const float *sums)
{
#ifdef W_AFFINE
	int t = get_local_id(0) % 4;

#pragma unroll
	for (int g = 0; g < SUMS; g++) {
		uint a[GROUP / 16][4];
		float d[NT * 4], s[2], z[2];

#pragma unroll
		for (int k = 0; k < GROUP / 16; k++)
			unit_fragment(a[k], u, g * (GROUP / 16) + k);
		group_begin();
#pragma unroll
		for (int k = 0; k < GROUP / 16; k++)
			group_product(d, a[k], group_inputs(x + (g * (GROUP / 16) + k) * 16, BLOCKS * 512),
			              k);
		group_end();
		group_wait();
#pragma unroll
		for (int r = 0; r < 2; r++) {
			s[r] = scale_of(u->pair[r][g]);
			z[r] = fma(-1024.0f, s[r], bias_of(u->pair[r][g]));
		}
#pragma unroll
		for (int j = 0; j < NT * 4; j++) {
			float xs = sums[g * TOKENS + j / 4 * 8 + 2 * t + j % 2];

			acc[j] = fma(z[j / 2 % 2], xs, fma(s[j / 2 % 2], d[j], acc[j]));
		}
	}
#else
	group_begin();
#pragma unroll
	for (int k = 0; k < STEP / 16; k++)
		group_product(acc, u[k / 2].w + k % 2 * 4, group_inputs(x + k * 16, BLOCKS * 512), 1);
	group_end();
	group_wait_earlier();
#endif
}
#elif defined(W_AFFINE)
/* acc += the groups of one stage. */
INLINE void stage_sums(float (*acc)[NT][4], const struct unit *u, local const uint4 *x,
                       local const float *sums, int t0, int live)
{
	int t = get_local_id(0) % 4;

#pragma unroll
	for (int g = 0; g < SUMS; g++) {
		uint a[MT][GROUP / 16][4];
		float s[MT][2], z[MT][2];

#pragma unroll
		for (int i = 0; i < MT; i++) {
#pragma unroll
			for (int k = 0; k < GROUP / 16; k++)
				unit_fragment(a[i][k], &u[i], g * (GROUP / 16) + k);
#pragma unroll
			for (int r = 0; r < 2; r++) {
				s[i][r] = scale_of(u[i].pair[r][g]);
				z[i][r] = fma(-1024.0f, s[i][r], bias_of(u[i].pair[r][g]));
			}
		}
#pragma unroll
		for (int j = 0; j < NT; j++) {
			if (!LIVE(t0 + j * 8))
				continue;
			local const float *xs = sums + g * TOKENS + t0 + j * 8 + 2 * t;
			float x0 = xs[0], x1 = xs[1];
			uint b[GROUP_BLOCKS][4];

#pragma unroll
			for (int k = 0; k < GROUP_BLOCKS; k++)
				inputs_get(b[k], x, t0 + j * 8, g * GROUP_BLOCKS + k);
#pragma unroll
			for (int i = 0; i < MT; i++) {
				float d[4] = {0.0f, 0.0f, 0.0f, 0.0f}, *y = acc[i][j];

#pragma unroll
				for (int k = 0; k < GROUP / 16; k++)
					fragment_product(d, a[i][k], b[k / 2] + k % 2 * 2);
				y[0] = fma(z[i][0], x0, fma(s[i][0], d[0], y[0]));
				y[1] = fma(z[i][0], x1, fma(s[i][0], d[1], y[1]));
				y[2] = fma(z[i][1], x0, fma(s[i][1], d[2], y[2]));
				y[3] = fma(z[i][1], x1, fma(s[i][1], d[3], y[3]));
			}
		}
	}
}
#else
/* acc += a unit, which is block c of the stage. */
INLINE void unit_sums(float (*acc)[NT][4], const struct unit *u, local const uint4 *x, int c,
                      int t0, int live)
{
#pragma unroll
	for (int j = 0; j < NT; j++) {
		uint b[PLANES][4];

		if (!LIVE(t0 + j * 8))
			continue;

#pragma unroll
		for (int p = 0; p < PLANES; p++)
			inputs_get(b[p], x + p * STAGE, t0 + j * 8, c);
#pragma unroll
		for (int i = 0; i < MT; i++)
#pragma unroll
			for (int k = 0; k < 2; k++)
#pragma unroll
				for (int p = 0; p < PLANES; p++)
					fragment_product(acc[i][j], u[i].w + 4 * k, b[p] + 2 * k);
	}
}
#endif

/* The lane's quads of rows r0 + 16 i + g, + 8 and tokens t0 + 8 j + 2t, + 1. */
INLINE void quads_put(global float *y, global const float *b, const total_t *total, int r0, int n,
                      int t0, int count, int width, int add, global const int *slots)
{
	int lane = get_local_id(0) % TEAM, own = get_local_id(0) / SET * EACH;

#pragma unroll
	for (int e = 0; e < EACH; e++) {
		float4 v = total[TOTAL_AT(e)];

#pragma unroll
		for (int k = 0; k < 4; k++) {
			int row = r0 + (own + e) / NT * 16 + k / 2 * 8 + lane / 4;
			int t = t0 + (own + e) % NT * 8 + lane % 4 * 2 + k % 2;
			float sum = k == 0 ? v.x : k == 1 ? v.y : k == 2 ? v.z : v.w;
#ifdef EXPERTS
			t = slots[t];
			if (t < 0)
				continue;
#endif
			global float *to = y + (size_t)t * width + row;

			if (row >= n || t >= count)
				continue;
			if (b)
				sum += b[row];
			*to = add ? *to + sum : sum;
		}
	}
}

/* The stage is there, and one more on its way. */
INLINE void stage_wait(local uint4 (*room)[STAGE * PLANES], local float (*sum_room)[SUMS * TOKENS],
                       const struct task *o, struct place *ahead, int stage
#ifdef COPIED
                       , local uint4 *tile, struct place *far
#endif
                       )
{
#if STAGES == 1
	set_barrier();
	stage_copy(room[0], sum_room[0], o, ahead);
	copy_wait(0);
#else
	copy_wait(COMING - 1);
#endif
#ifdef GROUPED
	group_fence();
#endif
	set_barrier();
#ifdef COPIED
	if (tile)
		tile_copy(tile, o, far);
#endif
#if STAGES > 1
	int spare = (stage + COMING) % STAGES;

	stage_copy(room[spare], sum_room[spare], o, ahead);
#endif
}

/* Units on their way: COPIED, a ring of tiles for each warp, or registers. */
#ifdef COPIED
#define UNITS_COMING \
	local uint4 tile_rooms[LANES / TEAM][AHEAD + 1][TILE_ROOM] __attribute__((aligned(16))); \
	local uint4 (*tiles_own)[TILE_ROOM] = tile_rooms[get_local_id(0) / TEAM]; \
	int now = 0
#define UNITS_FIRST(i) tile_copy(tiles_own[i], &o, &far)
#define UNITS_NEXT now = now == AHEAD ? 0 : now + 1
#define COPIED_SUMS(s) \
	do { \
		stage_wait(room, sum_room, &o, &ahead, stage, \
		           s ? 0 : tiles_own[now ? now - 1 : AHEAD], &far); \
		units_get(u, tiles_own[now], s); \
		stage_sums(acc, u, room[stage], sum_room[stage], own, live); \
	} while (0)
#else
#define UNITS_COMING struct unit next[AHEAD][MT]
#define UNITS_FIRST(i) units_step(u, next, &o, &far)
#define UNITS_NEXT (void)0
#endif
/* Of experts a slot says itself whether it has a run. */
#ifdef EXPERTS
#define SLOTS_LIVE \
	global const int *slots = (global const int *)(act + slots_at); \
	int filled = count ? filled_of(act + list_at) : 0, live = filled / 1024; \
	count = live ? INT_MAX : 0
#define OWN_MATRIX \
	int matrix = filled % 1024 - first; \
	uint strip0 = (uint)matrix * (n / 16) * tiles; \
	if (matrix < 0 || matrix >= width) \
		return; \
	b = b ? b + (size_t)(matrix + first) * n : b; \
	first = 0, width = n
#else
#define SLOTS_LIVE \
	global const int *slots = 0; \
	int live = TOKENS
#define OWN_MATRIX uint strip0 = 0
#endif

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void tokens(global const int *restrict table, global float *act, ulong x_at, ulong sum_at,
            int stride, int count_at, int k, int add SLOTS EACH_PART)
{
	local uint4 rooms[WARPS_K][STAGES][STAGE * PLANES] __attribute__((aligned(128)));
	local float sum_rooms[WARPS_K][STAGES][SUMS * TOKENS] __attribute__((aligned(16)));
	total_t total[TOTALS];
	local float4 MEETING;
	int warp = get_local_id(0) % SET / TEAM, set = get_local_id(0) / SET;
	int count = table[count_at], t0 = get_group_id(0) * TOKENS;
	int tile = get_group_id(1), n, first, width, tiles = k / TILE_COLUMNS;
	ulong y_at;
	global const float *b;
	global const uint4 *w;
	global const uint *scale = 0;
	float acc[MT][NT][4];
	struct unit u[MT];
	UNITS_COMING;
#ifdef GROUPED
	struct unit all[2][STEP / UNIT_COLUMNS]; /* those that products under way read, too */
#endif
	local uint4 (*room)[STAGE * PLANES] = rooms[set];
	local float (*sum_room)[SUMS * TOKENS] = sum_rooms[set];
	SLOTS_LIVE;

	if (t0 >= count)
		return;
	OWN_PART
	OWN_MATRIX;
	int r0 = tile * ROWS + warp / WARPS_N * (MT * 16), own = warp % WARPS_N * (NT * 8);
	struct task o = { w, (global const uint4 *)(act + x_at) + (size_t)t0 / 8 * k, scale,
	                  act + sum_at + t0, { 0 }, k, stride, tiles, min((int)MOST_PARTS, tiles),
	                  live };
	struct place ahead = { set, set, 0 }, far = ahead; /* of stages and units */
	int stage = 0;
#ifdef FETCH
	struct place beyond = far;

	for (int i = 0; i < FETCH; i++)
		place_step(&beyond, &o, 1);
#endif

#pragma unroll
	for (int i = 0; i < MT; i++)
		o.strip[i] = strip0 + min(r0 / 16 + i, (n + 15) / 16 - 1) * tiles;
#pragma unroll
	for (int i = 0; i < AHEAD; i++)
		UNITS_FIRST(i);
#pragma unroll
	for (int s = 0; s < COMING; s++)
		stage_copy(room[s], sum_room[s], &o, &ahead);
	for (int part = set; part - set < o.parts; part += WARPS_K) {
		sums_clear(acc);
		for (int kt = part; part < o.parts && kt < tiles; kt += o.parts) {
#ifdef FETCH
			tile_fetch(&o, &beyond);
#endif
#pragma unroll
			for (int s = 0; s < TILE_COLUMNS / STEP; s++) {
#ifdef COPIED
				COPIED_SUMS(s);
#else
				stage_wait(room, sum_room, &o, &ahead, stage);
#ifdef GROUPED
#pragma unroll
				for (int j = 0; j < STEP / UNIT_COLUMNS; j++)
					units_step(&all[s % 2][j], next, &o, &far);
				grouped_sums(acc[0][0], all[s % 2], room[stage], sum_room[stage]);
#else
#pragma unroll
				for (int j = 0; j < STEP / UNIT_COLUMNS; j++) {
					units_step(u, next, &o, &far);
#ifdef W_AFFINE
					stage_sums(acc, u, room[stage], sum_room[stage], own, live);
#else
					unit_sums(acc, u, room[stage], j, own, live);
#endif
				}
#endif
#endif
				stage = stage + 1 == STAGES ? 0 : stage + 1;
			}
			UNITS_NEXT;
		}
#ifdef GROUPED
		group_wait();
#endif
		sums_join(total, acc, meeting, part == set, min(WARPS_K, o.parts - part + set));
	}
	quads_put(act + y_at + first, b ? b + first : b, total, r0, n, t0 + own, count, width, add,
	          slots);
}
