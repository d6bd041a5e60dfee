/* SPDX-License-Identifier: MIT */
/* tokens.cl - y[t][r] = sum over k of w[r][k] * x[t][k], + b[r], or added to
 * y, for repacked weights (tile.clh) and many tokens
 * x: as prepare.cl left it, y: [tokens][width] f32, w and s: rows first ..
 * first + n - 1 of [width][k], b: [width] f32 or null. PARTS products of one
 * x run together.
 *
 * A group does ROWS rows for TOKENS tokens; a warp MT times 16 of the rows
 * for NT times 8 of the tokens. Columns of x, STEP at a time, are copied to
 * local memory, STAGES - 1 ahead; weights go from memory into registers as
 * they lie, AHEAD units ahead. WARPS_K sets of warps share the partial sums of
 * tile.clh, each with its own columns, and meet after each. Groups along
 * tiles of tokens first, so that those in flight share the weights. */
#include "../common.clh"
#include "tile.clh"
#include "copy.clh"

#ifdef W_AFFINE
#define UNIT_COLUMNS STEP
#define UNIT_WORDS (UNIT_COLUMNS * BITS / 64)
#define SUMS (STEP / GROUP)
#define TILE_PAIRS (TILE_ROWS * TILE_GROUPS)
#else
#define UNIT_COLUMNS 32
#define UNIT_WORDS 8
#define SUMS 1
#endif
#ifdef W_BF16
#define PLANES 2           /* what bf16 holds of an input, and the rest */
#else
#define PLANES 1
#endif
#define UNITS (TILE_COLUMNS / UNIT_COLUMNS)
#define TILE_VECTORS (UNITS * UNIT_WORDS * 8)
#define SET (LANES / WARPS_K) /* lanes of a set */
#define ROWS (WARPS_M * MT * 16)
#define TOKENS (WARPS_N * NT * 8)
#define BLOCKS (STEP / 32)
#define STAGE (TOKENS / 8 * BLOCKS * TEAM)

/* What lies before the partial sums under way, of a lane's EACH quads: in
 * registers, or where these are short in local memory. Sets share the quads. */
#define QUADS (MT * NT)
#define EACH (QUADS / WARPS_K)
#ifdef TOTAL_LOCAL
typedef local float4 total_t;
#define TOTAL_AT(e) ((e) * LANES + get_local_id(0))
#else
typedef float4 total_t;
#define TOTAL_AT(e) (e)
#endif

#ifdef W_AFFINE
#define PART(i) , ulong y##i, int n##i, int first##i, int width##i, \
	global const float *restrict b##i, global const uint4 *restrict w##i, \
	global const uint *restrict s##i
#define TAKE(i) y_at = y##i, n = n##i, first = first##i, width = width##i, b = b##i, w = w##i, \
	scale = s##i
#else
#define PART(i) , ulong y##i, int n##i, int first##i, int width##i, \
	global const float *restrict b##i, global const uint4 *restrict w##i
#define TAKE(i) y_at = y##i, n = n##i, first = first##i, width = width##i, b = b##i, w = w##i
#endif
#define TILES(n) (((n) + ROWS - 1) / ROWS)
#define NEXT(i) \
	if (tile >= TILES(n)) { \
		tile -= TILES(n); \
		TAKE(i); \
	}

/* What a group works on. */
struct task {
	global const uint4 *w, *x;
	global const uint *scale;
	global const float *sum;
	uint strip[MT];        /* first tiles of a warp's rows */
	int k, stride, tiles, parts;
};

/* On the way through the tiles of a set in the order of sums: n steps each. */
struct place { int part, kt, step; };

INLINE void place_step(struct place *p, const struct task *o, int n)
{
	if (++p->step < n)
		return;
	p->step = 0;
	p->kt += o->parts;
	if (p->kt >= o->tiles)
		p->kt = p->part += WARPS_K;
}

/* What a warp keeps of a tile's rows in registers at a time, as it lies. */
struct unit {
	uint w[UNIT_WORDS];
#ifdef W_AFFINE
	uint pair[2][SUMS];    /* of rows g and g + 8 */
#endif
};

INLINE void words_put(uint *w, uint4 v)
{
	w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
}

/* Unit i of tile `at`. */
INLINE void unit_load(struct unit *u, const struct task *o, size_t at, int i)
{
	int lane = get_local_id(0) % TEAM;
	global const uint4 *p = o->w + at * TILE_VECTORS + lane;

#if defined(W_AFFINE) && BITS == 4 && UNIT_COLUMNS == 64
#pragma unroll
	for (int r = 0; r < 2; r++) {
		uint2 v = ((global const uint2 *)(p + TEAM * r))[i];

		u->w[2 * r] = v.x, u->w[2 * r + 1] = v.y;
	}
#else
#pragma unroll
	for (int j = 0; j < UNIT_WORDS / 4; j++)
		words_put(u->w + 4 * j, p[(i * (UNIT_WORDS / 4) + j) * TEAM]);
#endif
#ifdef W_AFFINE
	global const uint *s = o->scale + at * TILE_PAIRS + lane / 4 * TILE_GROUPS + i * SUMS;
#pragma unroll
	for (int j = 0; j < 2 * SUMS; j++)
		u->pair[j / SUMS][j % SUMS] = s[j / SUMS * 8 * TILE_GROUPS + j % SUMS];
#endif
}

/* Takes the unit whose turn it is of those on their way, and sends for one
 * more; past the last for any. */
INLINE void units_step(struct unit *u, struct unit (*next)[MT], const struct task *o,
                       struct place *p)
{
#pragma unroll
	for (int m = 0; m < MT; m++) {
		u[m] = next[0][m];
#pragma unroll
		for (int i = 1; i < AHEAD; i++)
			next[i - 1][m] = next[i][m];
		unit_load(&next[AHEAD - 1][m], o, o->strip[m] + min(p->kt, o->tiles - 1), p->step);
	}
	place_step(p, o, UNITS);
}

/* The left side for 16 columns, step `step` of the unit. */
#ifdef W_AFFINE
INLINE void unit_fragment(uint *a, const struct unit *u, int step)
{
#pragma unroll
	for (int r = 0; r < 2; r++) {
#if BITS == 4
		uint w = u->w[r * (UNIT_WORDS / 2) + step / 2] >> step % 2 * 8;

		a[r] = codes4(w);
		a[2 + r] = codes4(w >> 4);
#else
		uint w = u->w[step * 2 + r];

		a[r] = codes8_low(w);
		a[2 + r] = codes8_high(w);
#endif
	}
}
#endif

INLINE void fragment_product(float *d, const uint *a, const uint *b)
{
#ifdef W_BF16
	mma_bf16(d, a[0], a[1], a[2], a[3], b[0], b[1]);
#else
	mma_f16(d, a[0], a[1], a[2], a[3], b[0], b[1]);
#endif
}

/* Columns of the stage and, for affine weights, the sums of their groups.
 * Past the last stage there is nothing to copy, but something to wait for. */
INLINE void stage_copy(local uint4 *to, local float *sums, const struct task *o, struct place *p)
{
	int id = get_local_id(0) % SET;
	int k = min(p->kt, o->tiles - 1) * TILE_COLUMNS + p->step * STEP;

#pragma unroll
	for (int i = id; i < STAGE * PLANES; i += SET) {
		int plane = i / STAGE, tile = i % STAGE / (BLOCKS * TEAM), at = i % (BLOCKS * TEAM);

		copy_16(to + i, o->x + (size_t)plane * o->stride * (o->k / 8) + tile * o->k + k + at);
	}
#ifdef W_AFFINE
	for (int i = id; i < SUMS * TOKENS / 4; i += SET) {
		int g = i / (TOKENS / 4), t = i % (TOKENS / 4) * 4;

		copy_16(sums + g * TOKENS + t, o->sum + (size_t)(k / GROUP + g) * o->stride + t);
	}
#endif
	copy_commit();
	place_step(p, o, TILE_COLUMNS / STEP);
}

/* What the matrix unit takes of 8 tokens from t on: block c of 32 columns of a
 * stage, two steps of 16. */
INLINE void inputs_get(uint *b, local const uint4 *x, int t, int c)
{
	words_put(b, x[(t / 8 * BLOCKS + c) * TEAM + get_local_id(0) % TEAM]);
}

INLINE void sums_clear(float (*v)[NT][4])
{
#pragma unroll
	for (int e = 0; e < MT * NT * 4; e++)
		v[e / (NT * 4)][e / 4 % NT][e % 4] = 0.0f;
}

INLINE float4 quad(float (*v)[NT][4], int e)
{
	const float *q = v[e / NT][e % NT];

	return (float4)(q[0], q[1], q[2], q[3]);
}

/* Partial sums end, `live` of them: one of each set, in their order. */
INLINE void sums_join(total_t *total, float (*v)[NT][4], local float4 *room, bool first, int live)
{
#if WARPS_K == 1
#pragma unroll
	for (int e = 0; e < QUADS; e++) {
		float4 q = quad(v, e);

		if (!first)
			q += total[TOTAL_AT(e)];
		total[TOTAL_AT(e)] = q;
	}
#else
	int set = get_local_id(0) / SET, id = get_local_id(0) % SET;

#pragma unroll
	for (int s = 0; s < WARPS_K; s++) {
		barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
		for (int e = 0; e < EACH; e++)
			room[(set * EACH + e) * SET + id] = quad(v, s * EACH + e);
		barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
		for (int e = 0; e < EACH && s == set; e++)
			for (int i = 0; i < live; i++) {
				float4 q = room[(i * EACH + e) * SET + id];

				total[TOTAL_AT(e)] = first && i == 0 ? q : total[TOTAL_AT(e)] + q;
			}
	}
	barrier(CLK_LOCAL_MEM_FENCE);
#endif
}

/* All lanes of a set. */
INLINE void set_barrier(void)
{
#if WARPS_K == 1
	barrier(CLK_LOCAL_MEM_FENCE);
#else
	lanes_barrier(1 + get_local_id(0) / SET, SET);
#endif
}

#ifdef W_AFFINE
/* acc += the groups of one stage. */
INLINE void stage_sums(float (*acc)[NT][4], const struct unit *u, local const uint4 *x,
                       local const float *sums, int t0)
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
                      int t0)
{
#pragma unroll
	for (int j = 0; j < NT; j++) {
		uint b[PLANES][4];

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
                      int t0, int count, int width, int add)
{
	int lane = get_local_id(0) % TEAM, own = get_local_id(0) / SET * EACH;

#pragma unroll
	for (int e = 0; e < EACH; e++) {
		float4 v = total[TOTAL_AT(e)];

#pragma unroll
		for (int k = 0; k < 4; k++) {
			int row = r0 + (own + e) / NT * 16 + k / 2 * 8 + lane / 4;
			int t = t0 + (own + e) % NT * 8 + lane % 4 * 2 + k % 2;
			global float *to = y + (size_t)t * width + row;
			float sum = k == 0 ? v.x : k == 1 ? v.y : k == 2 ? v.z : v.w;

			if (row >= n || t >= count)
				continue;
			if (b)
				sum += b[row];
			*to = add ? *to + sum : sum;
		}
	}
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void tokens(global const int *restrict table, global float *act, ulong x_at, ulong sum_at,
            int stride, int count_at, int k, int add PART(0)
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
	local uint4 rooms[WARPS_K][STAGES][STAGE * PLANES] __attribute__((aligned(128)));
	local float sum_rooms[WARPS_K][STAGES][SUMS * TOKENS] __attribute__((aligned(16)));
#ifdef TOTAL_LOCAL
	local float4 total[QUADS * LANES];
#else
	float4 total[EACH];
#endif
#if WARPS_K == 1
	local float4 *meeting = 0;
#elif STAGES == 1 && STAGE * PLANES * WARPS_K >= QUADS * SET
	local float4 *meeting = (local float4 *)rooms;
#else
	local float4 meeting[QUADS * SET];
#endif
	int warp = get_local_id(0) % SET / TEAM, set = get_local_id(0) / SET;
	int count = table[count_at], t0 = get_group_id(0) * TOKENS;
	int tile = get_group_id(1), n, first, width, tiles = k / TILE_COLUMNS;
	ulong y_at;
	global const float *b;
	global const uint4 *w;
	global const uint *scale = 0;
	float acc[MT][NT][4];
	struct unit u[MT], next[AHEAD][MT];
	local uint4 (*room)[STAGE * PLANES] = rooms[set];
	local float (*sum_room)[SUMS * TOKENS] = sum_rooms[set];

	if (t0 >= count)
		return;
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
	int r0 = tile * ROWS + warp / WARPS_N * (MT * 16), own = warp % WARPS_N * (NT * 8);
	struct task o = { w, (global const uint4 *)(act + x_at) + (size_t)t0 / 8 * k, scale,
	                  act + sum_at + t0, { 0 }, k, stride, tiles, min((int)MOST_PARTS, tiles) };
	struct place ahead = { set, set, 0 }, far = ahead; /* of stages and units */
	int stage = 0;

#pragma unroll
	for (int i = 0; i < MT; i++)
		o.strip[i] = min(r0 / 16 + i, (n + 15) / 16 - 1) * tiles;
#pragma unroll
	for (int i = 0; i < AHEAD; i++)
		units_step(u, next, &o, &far);
#pragma unroll
	for (int s = 0; s < STAGES - 1; s++)
		stage_copy(room[s], sum_room[s], &o, &ahead);
	for (int part = set; part - set < o.parts; part += WARPS_K) {
		sums_clear(acc);
		for (int kt = part; part < o.parts && kt < tiles; kt += o.parts) {
#pragma unroll
			for (int s = 0; s < TILE_COLUMNS / STEP; s++) {
#if STAGES == 1
				set_barrier();
				stage_copy(room[0], sum_room[0], &o, &ahead);
				copy_wait(0);
				set_barrier();
#else
				int spare = stage == 0 ? STAGES - 1 : stage - 1;

				copy_wait(STAGES - 2);
				set_barrier();
				stage_copy(room[spare], sum_room[spare], &o, &ahead);
#endif
#pragma unroll
				for (int j = 0; j < STEP / UNIT_COLUMNS; j++) {
					units_step(u, next, &o, &far);
#ifdef W_AFFINE
					stage_sums(acc, u, room[stage], sum_room[stage], own);
#else
					unit_sums(acc, u, room[stage], j, own);
#endif
				}
				stage = stage + 1 == STAGES ? 0 : stage + 1;
			}
		}
		sums_join(total, acc, meeting, part == set, min(WARPS_K, o.parts - part + set));
	}
	quads_put(act + y_at + first, b ? b + first : b, total, r0, n, t0 + own, count, width, add);
}
