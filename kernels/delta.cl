/* SPDX-License-Identifier: MIT */
/* delta.cl - the gated delta rule over the rows of each sequence. With q and k
 * scaled to lengths of 1 / sqrt(K_DIM) and 1, of each head
 *     S *= decay;   S += k (x) beta * (v - S k);   y = S q
 * q, k: [rows][q_step] f32, PER heads share each of theirs; v: [rows][v_step];
 * decay: [rows][heads], or [rows][heads][K_DIM] with CHANNELS; beta:
 * [rows][heads]; y: [rows][heads][V_DIM]; states: pages of `size` f32, of
 * which [heads][K_DIM][V_DIM] at `part` are S.
 *
 * A work-item has a column of S, a group LANES of a head; groups along the
 * columns of all heads, then rows: the first row of each sequence takes all of
 * its rows. Yang et al., 2024, arXiv:2412.06464 */
#include "common.clh"
#include "runs.clh"
#include "reduce.clh"

/* to = x scaled to a length of `by`. The group calls it together. */
void to_length(local float *to, global const float *x, float by, float eps, local float *tmp)
{
	float sum = 0.0f;

	for (int i = get_local_id(0); i < K_DIM; i += LANES)
		sum = madd(x[i], x[i], sum);
	sum = by / sqrt(group_sum(sum, tmp) + eps);
	for (int i = get_local_id(0); i < K_DIM; i += LANES)
		to[i] = x[i] * sum;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void delta(global const int *restrict table, global float *act, ulong y_at, ulong q_at, int q_step,
           ulong k_at, int k_step, ulong v_at, int v_step, ulong decay_at, ulong beta_at,
           int pos_at, int pages_at, int heads, float eps, global float *states, ulong part,
           ulong size)
{
	local float q[K_DIM], k[K_DIM], g[K_DIM], tmp[LANES];
	int blocks = (V_DIM + LANES - 1) / LANES, h = get_group_id(0) / blocks;
	int c = get_group_id(0) % blocks * LANES + get_local_id(0);
	size_t row = get_group_id(1), rows = table[STEP_ROWS];
	float s[K_DIM];
	bool last = row >= rows || !begins_run(table, pages_at, row);
	bool mine = c < V_DIM;

	if (last)
		return;
	states += part + (size_t)h * K_DIM * V_DIM + c;
	int pos = table[pos_at + row];
	global const float *old = states;

	if (pos > 0)
		old += page_of(table, pages_at, row, pos - 1) * size;

	for (int i = 0; i < K_DIM; i++)
		s[i] = pos > 0 && mine ? old[i * V_DIM] : 0.0f;
	for (; !last; row++) {
		float seen = 0.0f, sum = 0.0f, move;

		last = ends_run(table, pages_at, row);
		to_length(q, act + q_at + row * q_step + h / PER * K_DIM, rsqrt((float)K_DIM), eps, tmp);
		to_length(k, act + k_at + row * k_step + h / PER * K_DIM, 1.0f, eps, tmp);
#ifdef CHANNELS
		for (int i = get_local_id(0); i < K_DIM; i += LANES)
			g[i] = act[decay_at + (row * heads + h) * K_DIM + i];
#define DECAY(i) g[i]
#else
		float decay = act[decay_at + row * heads + h];
#define DECAY(i) decay
#endif
		barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
		for (int i = 0; i < K_DIM; i++) {
			s[i] *= DECAY(i);
			seen = madd(s[i], k[i], seen);
		}
		move = mine ? act[v_at + row * v_step + h * V_DIM + c] - seen : 0.0f;
		move *= act[beta_at + row * heads + h];
#pragma unroll
		for (int i = 0; i < K_DIM; i++) {
			s[i] = madd(k[i], move, s[i]);
			sum = madd(s[i], q[i], sum);
		}
		if (mine)
			act[y_at + (row * heads + h) * V_DIM + c] = sum;
		if (mine && keeps(table, pos_at, pages_at, row)) {
			global float *new = states +
				page_of(table, pages_at, row, table[pos_at + row]) * size;

			for (int i = 0; i < K_DIM; i++)
				new[i * V_DIM] = s[i];
		}
		barrier(CLK_LOCAL_MEM_FENCE);
	}
}
