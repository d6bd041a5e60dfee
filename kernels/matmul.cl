/* SPDX-License-Identifier: MIT */
/* matmul.cl - y[t][r] = sum over k of w[r][k] * x[t][k], + b[r], or added to y
 * x: [tokens][k] f32, y: [tokens][width] f32, w: rows first .. first + n - 1
 * of [width][k] in any form, b: [width] f32 or null. PARTS products of one x
 * run together.
 *
 * A team of 32 lanes does ROWS rows for TOKENS tokens. Lane l sums elements
 * 8l .. 8l+7 of every 256 in rising order; the 32 sums then meet in one
 * fixed tree. So the bits of y[t][r] depend neither on TOKENS nor on ROWS,
 * and every count of tokens may take the tile that suits it. Groups along
 * token tiles first, so that those in flight share the rows of w. */
#include "common.clh"
#include "weights.clh"
#include "reduce.clh"

#define TEAMS (LANES / TEAM)
#define OUTS (ROWS * TOKENS)
#define SLICE (OUTS < TEAM ? OUTS : TEAM)

#ifdef W_AFFINE
#define PART(i) , ulong y##i, int n##i, int first##i, int width##i, \
	global const float *restrict b##i, global const weight_t *restrict w##i, \
	global const scale_t *restrict s##i, global const scale_t *restrict z##i
#define TAKE(i) \
	y_at = y##i, n = n##i, first = first##i, width = width##i, b = b##i, w = w##i, \
	scale = s##i, bias = z##i
#else
#define PART(i) , ulong y##i, int n##i, int first##i, int width##i, \
	global const float *restrict b##i, global const weight_t *restrict w##i
#define TAKE(i) \
	y_at = y##i, n = n##i, first = first##i, width = width##i, b = b##i, w = w##i
#endif
#define TILES(n) (((n) + TEAMS * ROWS - 1) / (TEAMS * ROWS))
#define NEXT(i) \
	if (tile >= TILES(n)) { \
		tile -= TILES(n); \
		TAKE(i); \
	}

/* Elements k .. k+7 of x, zeros from n on. */
void inputs_load(float *v, global const float *x, int k, int n)
{
#ifdef ALIGNED
	vstore4(*(global const float4 *)(x + k), 0, v);
	vstore4(*(global const float4 *)(x + k + 4), 1, v);
#else
	for (int i = 0; i < 8; i++)
		v[i] = k + i < n ? x[k + i] : 0.0f;
#endif
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void matmul(global const int *restrict table, global float *act, ulong x_at, int count_at,
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
	local float tmp[TEAMS][SLICE][TEAM + 1];
	int lane = get_local_id(0) % TEAM, team = get_local_id(0) / TEAM;
	int count = table[count_at], t0 = get_group_id(0) * TOKENS;
	int tile = get_group_id(1), n, first, width;
	ulong y_at;
	global const float *b;
	global const weight_t *w;
#ifdef W_AFFINE
	global const scale_t *scale, *bias;
#endif
	float acc[OUTS];

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
	int r0 = (tile * TEAMS + team) * ROWS;
#pragma unroll
	for (int o = 0; o < OUTS; o++)
		acc[o] = 0.0f;

	for (int i = lane * 8; i < k; i += TEAM * 8) {
		float wv[ROWS][8];
#ifdef W_AFFINE
		float s[ROWS], z[ROWS];
#endif
#pragma unroll
		for (int r = 0; r < ROWS; r++) {
			size_t row = min(r0 + r, n - 1);
#ifdef W_AFFINE
			size_t g = row * (k / GROUP) + i / GROUP;

			codes_load(wv[r], w + row * (k / 8) * BITS, i);
			s[r] = scale_at(scale, g);
			z[r] = scale_at(bias, g);
#else
			weights_load(wv[r], w + row * k, i, k);
#endif
		}
#pragma unroll
		for (int t = 0; t < TOKENS; t++) {
			size_t token = max(min(t0 + t, count - 1), 0);
			float xv[8];

			inputs_load(xv, act + x_at + token * k, i, k);
#ifdef W_AFFINE
			float sum = 0.0f;
#pragma unroll
			for (int j = 0; j < 8; j++)
				sum += xv[j];
#endif
#pragma unroll
			for (int r = 0; r < ROWS; r++) {
				float *a = &acc[t * ROWS + r];
#ifdef W_AFFINE
				float d = 0.0f;
#pragma unroll
				for (int j = 0; j < 8; j++)
					d = madd(wv[r][j], xv[j], d);
				*a = madd(s[r], d, *a);
				*a = madd(z[r], sum, *a);
#else
#pragma unroll
				for (int j = 0; j < 8; j++)
					*a = madd(wv[r][j], xv[j], *a);
#endif
			}
		}
	}

#pragma unroll
	for (int o0 = 0; o0 < OUTS; o0 += SLICE) {
#pragma unroll
		for (int o = 0; o < SLICE; o++)
			tmp[team][o][lane] = acc[o0 + o];
		barrier(CLK_LOCAL_MEM_FENCE);
		int r = r0 + (o0 + lane) % ROWS, t = t0 + (o0 + lane) / ROWS;
		if (lane < SLICE && r < n && t < count) {
			global float *y = act + y_at + (size_t)t * width + first + r;
			float v = tree_sum(tmp[team][lane]);

			if (b)
				v += b[first + r];
			*y = add ? *y + v : v;
		}
		barrier(CLK_LOCAL_MEM_FENCE);
	}
}
