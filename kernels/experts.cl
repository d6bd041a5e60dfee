/* SPDX-License-Identifier: MIT */
/* experts.cl - y[t][j][r] = sum over k of w[m][r][k] * x[t][k], + b[m][r]
 * Products with a stack of matrices: m is what `chosen` names for run j of a
 * row, or j itself (chosen_step 0). x: [tokens][x_step] f32, run j's input
 * `x_run` further on than the last one's; y: [tokens][n_used][n] f32; w: the
 * matrices first .. first + count - 1 of the stack, [n][k] in any form; runs
 * that take others are left alone. b: [matrices][n] f32 or null.
 *
 * A team of 32 lanes does ROWS rows of one run, in the order of sums that
 * matmul.cl has. Groups along the runs and their rows, then tokens. */
#include "common.clh"
#include "weights.clh"
#include "reduce.clh"

#define TEAMS (LANES / TEAM)

void inputs_load(float *v, global const float *x, int k, int n)
{
	for (int i = 0; i < 8; i++)
		v[i] = k + i < n ? x[k + i] : 0.0f;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void experts(global const int *restrict table, global float *act, ulong x_at, ulong y_at,
             ulong chosen_at, int chosen_step, int count_at, int x_step, int x_run, int n_used,
             int k, int n, int first, int count, global const float *restrict b,
             global const weight_t *restrict w
#ifdef W_AFFINE
             , global const scale_t *restrict scale, global const scale_t *restrict bias
#endif
             )
{
	local float tmp[TEAMS][ROWS][TEAM + 1];
	int lane = get_local_id(0) % TEAM, team = get_local_id(0) / TEAM;
	int tiles = (n + TEAMS * ROWS - 1) / (TEAMS * ROWS);
	int run = get_group_id(0) / tiles, r0 = (get_group_id(0) % tiles * TEAMS + team) * ROWS;
	size_t t = get_group_id(1);

	if (t >= (size_t)table[count_at])
		return;
	int m = chosen_step ? (int)act[chosen_at + t * chosen_step + run] : run;
	if (m < first || m >= first + count)
		return;
	global const float *x = act + x_at + t * x_step + (size_t)run * x_run;
	size_t base = (size_t)(m - first) * n;
	float acc[ROWS];

#pragma unroll
	for (int r = 0; r < ROWS; r++)
		acc[r] = 0.0f;
	for (int i = lane * 8; i < k; i += TEAM * 8) {
		float xv[8], wv[8];
#ifdef W_AFFINE
		float sum = 0.0f;
#endif

		inputs_load(xv, x, i, k);
#ifdef W_AFFINE
#pragma unroll
		for (int j = 0; j < 8; j++)
			sum += xv[j];
#endif
#pragma unroll
		for (int r = 0; r < ROWS; r++) {
			size_t row = base + min(r0 + r, n - 1);
#ifdef W_AFFINE
			size_t g = row * (k / GROUP) + i / GROUP;
			float d = 0.0f;

			codes_load(wv, w + row * (k / 8) * BITS, i);
#pragma unroll
			for (int j = 0; j < 8; j++)
				d = madd(wv[j], xv[j], d);
			acc[r] = madd(scale_at(scale, g), d, acc[r]);
			acc[r] = madd(scale_at(bias, g), sum, acc[r]);
#else
			weights_load(wv, w + row * k, i, k);
#pragma unroll
			for (int j = 0; j < 8; j++)
				acc[r] = madd(wv[j], xv[j], acc[r]);
#endif
		}
	}
#pragma unroll
	for (int r = 0; r < ROWS; r++)
		tmp[team][r][lane] = acc[r];
	barrier(CLK_LOCAL_MEM_FENCE);
	if (lane < ROWS && r0 + lane < n) {
		float v = tree_sum(tmp[team][lane]);

		if (b)
			v += b[(size_t)m * n + r0 + lane];
		act[y_at + (t * n_used + run) * n + r0 + lane] = v;
	}
}
