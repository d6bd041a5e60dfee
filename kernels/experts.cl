/* SPDX-License-Identifier: MIT */
/* experts.cl - y[t][j][r] = sum over k of w[m][r][k] * x[t][k], + b[m][r]
 * Products with a stack of matrices: m is what `chosen` names for run j of a
 * row, or j itself (chosen_step 0). x: [tokens][x_step] f32, run j's input
 * `x_run` further on than the last one's; y: [tokens][n_used][n] f32; w: the
 * matrices first .. first + count - 1 of the stack, [n][k] in any form; runs
 * that take others are left alone. b: [matrices][n] f32 or null.
 *
 * A team of 32 lanes does ROWS rows of one run, in the order of sums that
 * matmul.cl has: experts(), groups along the runs and their rows, then
 * tokens. With TOKENS, experts_grouped(): a group looks through all runs for
 * those of its matrix and does as many at once, so that a matrix is read once
 * for them; groups along the matrices and their rows. The bits are the same. */
#include "common.clh"
#include "weights.clh"
#include "reduce.clh"

#define TEAMS (LANES / TEAM)

void inputs_load(float *v, global const float *x, int k, int n)
{
	for (int i = 0; i < 8; i++)
		v[i] = k + i < n ? x[k + i] : 0.0f;
}

/* Eight columns of one row of a matrix. */
struct eight {
	float v[8];
#ifdef W_AFFINE
	float scale, bias;
#endif
};

#ifdef W_AFFINE
#define STACK global const weight_t *restrict w, global const scale_t *restrict scale, \
	global const scale_t *restrict bias
#define STACKED w, scale, bias
#else
#define STACK global const weight_t *restrict w
#define STACKED w
#endif

void row_load(struct eight *e, STACK, size_t row, int i, int k)
{
#ifdef W_AFFINE
	size_t g = row * (k / GROUP) + i / GROUP;

	codes_load(e->v, w + row * (k / 8) * BITS, i);
	e->scale = scale_at(scale, g);
	e->bias = scale_at(bias, g);
#else
	weights_load(e->v, w + row * k, i, k);
#endif
}

float sum_of(const float *x)
{
	float sum = 0.0f;

#pragma unroll
	for (int j = 0; j < 8; j++)
		sum += x[j];
	return sum;
}

/* acc and what these columns add to it. */
float row_add(float acc, const struct eight *e, const float *x, float sum)
{
#ifdef W_AFFINE
	float d = 0.0f;

#pragma unroll
	for (int j = 0; j < 8; j++)
		d = madd(e->v[j], x[j], d);
	acc = madd(e->scale, d, acc);
	return madd(e->bias, sum, acc);
#else
#pragma unroll
	for (int j = 0; j < 8; j++)
		acc = madd(e->v[j], x[j], acc);
	return acc;
#endif
}

#ifndef TOKENS
kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void experts(global const int *restrict table, global float *act, ulong x_at, ulong y_at,
             ulong chosen_at, int chosen_step, int count_at, int x_step, int x_run, int n_used,
             int k, int n, int first, int count, global const float *restrict b, STACK)
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
		struct eight e;
		float xv[8];

		inputs_load(xv, x, i, k);
		float sum = sum_of(xv);
#pragma unroll
		for (int r = 0; r < ROWS; r++) {
			row_load(&e, STACKED, base + min(r0 + r, n - 1), i, k);
			acc[r] = row_add(acc[r], &e, xv, sum);
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
#else
#define OUTS (ROWS * TOKENS) /* a lane each */

/* Puts those of LANES runs from `at` on that take matrix m behind the n that
 * the list has; how many it has then. */
int list_runs(local int *list, local int *took, int n, int at, int total, int m,
              global const float *chosen, int chosen_step, int n_used)
{
	int id = get_local_id(0), run = at + id, before = 0, all = 0;
	bool mine = run < total &&
	            m == (!chosen_step ? run % n_used :
	                  (int)chosen[(size_t)(run / n_used) * chosen_step + run % n_used]);

	took[id] = mine;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int i = 0; i < LANES; i++) {
		before += i < id ? took[i] : 0;
		all += took[i];
	}
	if (mine)
		list[n + before] = run;
	barrier(CLK_LOCAL_MEM_FENCE);
	return n + all;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void experts_grouped(global const int *restrict table, global float *act, ulong x_at, ulong y_at,
                     ulong chosen_at, int chosen_step, int count_at, int x_step, int x_run,
                     int n_used, int k, int n, int first, int count,
                     global const float *restrict b, STACK)
{
	local float tmp[TEAMS][OUTS][TEAM + 1];
	local int list[TOKENS + LANES], took[LANES];
	int id = get_local_id(0), lane = id % TEAM, team = id / TEAM;
	int tiles = (n + TEAMS * ROWS - 1) / (TEAMS * ROWS);
	int m = get_group_id(0) / tiles, r0 = (get_group_id(0) % tiles * TEAMS + team) * ROWS;
	int total = table[count_at] * n_used, at = 0, listed = 0;
	size_t base = (size_t)m * n;

	for (m += first; at < total || listed;) {
		for (; listed < TOKENS && at < total; at += LANES)
			listed = list_runs(list, took, listed, at, total, m, act + chosen_at, chosen_step,
			                   n_used);
		int now = min(listed, TOKENS);
		float acc[OUTS];

#pragma unroll
		for (int o = 0; o < OUTS; o++)
			acc[o] = 0.0f;
		for (int i = lane * 8; now && i < k; i += TEAM * 8) {
			struct eight e[ROWS];

#pragma unroll
			for (int r = 0; r < ROWS; r++)
				row_load(&e[r], STACKED, base + min(r0 + r, n - 1), i, k);
#pragma unroll
			for (int t = 0; t < TOKENS; t++) {
				int run = list[min(t, now - 1)];
				float xv[8];

				inputs_load(xv, act + x_at + (size_t)(run / n_used) * x_step +
				            (size_t)(run % n_used) * x_run, i, k);
				float sum = sum_of(xv);
#pragma unroll
				for (int r = 0; r < ROWS; r++)
					acc[t * ROWS + r] = row_add(acc[t * ROWS + r], &e[r], xv, sum);
			}
		}
#pragma unroll
		for (int o = 0; o < OUTS; o++)
			tmp[team][o][lane] = acc[o];
		barrier(CLK_LOCAL_MEM_FENCE);
		int r = r0 + lane % ROWS, t = lane / ROWS;
		if (lane < OUTS && t < now && r < n) {
			float v = tree_sum(tmp[team][lane]);

			if (b)
				v += b[(size_t)m * n + r];
			act[y_at + (size_t)list[t] * n + r] = v;
		}
		barrier(CLK_LOCAL_MEM_FENCE);
		int next = id < listed - now ? list[now + id] : 0;
		barrier(CLK_LOCAL_MEM_FENCE);
		if (id < listed - now)
			list[id] = next;
		barrier(CLK_LOCAL_MEM_FENCE);
		listed -= now;
	}
}
#endif
