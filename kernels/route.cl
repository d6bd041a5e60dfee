/* SPDX-License-Identifier: MIT */
/* route.cl - which experts a row takes: K of N, best first and of equal ones
 * the lower; y: [rows][2][K] f32, their numbers, then their weights
 * x: [rows][N] logits, b: [N] f32 or null, added to what is chosen by. One
 * of SCORE_SOFTMAX, SCORE_SIGMOID, SCORE_CHOSEN is defined; with N_GROUPS >
 * 1 the experts of all but the TOP_GROUPS best groups, by the sum of their
 * two best, are chosen by 0. NORMALIZE: weights by their sum. GAINS: b
 * multiplies weights instead. A group a row; sums are taken by one item, in
 * order.
 * Shazeer et al., 2017, arXiv:1701.06538; DeepSeek-AI, 2024, arXiv:2412.19437 */
#include "common.clh"

float sigmoid(float v)
{
	return 1.0f / (1.0f + exp(-v));
}

/* The best of the group's lanes' own bests, as (choice, number). */
int best_of(local const float *choice, local float *top, local int *at)
{
	int id = get_local_id(0), best = id < N ? id : 0;

	for (int i = id + LANES; i < N; i += LANES)
		best = choice[i] > choice[best] ? i : best;
	top[id] = choice[best];
	at[id] = best;
	barrier(CLK_LOCAL_MEM_FENCE);
	if (id == 0) {
		for (int i = 1; i < LANES && i < N; i++)
			if (top[i] > top[0] || (top[i] == top[0] && at[i] < at[0])) {
				top[0] = top[i];
				at[0] = at[i];
			}
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	best = at[0];
	barrier(CLK_LOCAL_MEM_FENCE);
	return best;
}

#if N_GROUPS > 1
void drop_groups(local float *choice, local float *sum)
{
	const int size = N / N_GROUPS;
	int id = get_local_id(0);

	for (int g = id; g < N_GROUPS; g += LANES) {
		float best = -INFINITY, next = -INFINITY;

		for (int i = g * size; i < (g + 1) * size; i++) {
			float v = choice[i];

			next = v > best ? best : v > next ? v : next;
			best = v > best ? v : best;
		}
		sum[g] = best + next;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int g = id; g < N_GROUPS; g += LANES) {
		int better = 0;

		for (int o = 0; o < N_GROUPS; o++)
			better += sum[o] > sum[g] || (sum[o] == sum[g] && o < g);
		for (int i = g * size; better >= TOP_GROUPS && i < (g + 1) * size; i++)
			choice[i] = 0.0f;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
}
#endif

/* The K weights of a row whose logits are x, by one item. */
void weigh(global float *y, global const float *x, float scale, global const float *gain)
{
	float most = -INFINITY, total = 1.0f, sum = 0.0f;

	for (int i = 0; i < N; i++)
		most = fmax(most, x[i]);
#ifdef SCORE_SOFTMAX
	total = 0.0f;
	for (int i = 0; i < N; i++)
		total += exp(x[i] - most);
#endif
	for (int j = 0; j < K; j++) {
		float v = x[(int)y[j]];
#ifdef SCORE_SIGMOID
		v = sigmoid(v);
#else
		v = exp(v - most) / total;
#endif
		y[K + j] = v;
		sum += v;
	}
#if !defined(NORMALIZE) && !defined(SCORE_CHOSEN)
	sum = 1.0f;
#endif
	sum = sum > 0.0f ? sum : 1.0f;
	for (int j = 0; j < K; j++)
		y[K + j] = y[K + j] / sum * scale * (gain ? gain[(int)y[j]] : 1.0f);
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void route(global const int *restrict table, global float *act, ulong y_at, ulong x_at,
           int count_at, float scale, global const float *restrict b)
{
	local float choice[N], top[LANES];
	local int at[LANES];
#if N_GROUPS > 1
	local float sums[N_GROUPS];
#endif
	size_t row = get_group_id(1);
	int id = get_local_id(0);
	global const float *x = act + x_at + row * N;
	global float *y = act + y_at + row * 2 * K;

	if (row >= (size_t)table[count_at])
		return;
	for (int i = id; i < N; i += LANES) {
#ifdef SCORE_SIGMOID
		choice[i] = sigmoid(x[i]);
#else
		choice[i] = x[i];
#endif
#ifndef GAINS
		if (b)
			choice[i] += b[i];
#endif
	}
	barrier(CLK_LOCAL_MEM_FENCE);
#if N_GROUPS > 1
	drop_groups(choice, sums);
#endif
	for (int j = 0; j < K; j++) {
		int best = best_of(choice, top, at);

		if (id == 0) {
			y[j] = best;
			choice[best] = -INFINITY;
		}
		barrier(CLK_LOCAL_MEM_FENCE);
	}
#ifdef GAINS
	if (id == 0)
		weigh(y, x, scale, b);
#else
	if (id == 0)
		weigh(y, x, scale, 0);
#endif
}
