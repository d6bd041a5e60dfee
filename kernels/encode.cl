/* SPDX-License-Identifier: MIT */
/* encode.cl - y = softmax(scale * q k^T) v over all rows of the row's own
 * sequence, before it and after it
 * q, k, v, y: [rows][HEADS][DIM] f32. A group a head and a row: positions in
 * tiles of LANES, whose weighted values are kept relative to the largest
 * score so far. Milakov and Gimelshein, 2018, arXiv:1805.02867 */
#include "common.clh"
#include "runs.clh"
#include "reduce.clh"

#define EACH ((DIM + LANES - 1) / LANES)

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void encode(global const int *restrict table, global float *act, ulong y_at, ulong q_at, ulong k_at,
            ulong v_at, int pages_at, float scale)
{
	local float tmp[LANES], weight[LANES];
	int head = get_group_id(0), id = get_local_id(0);
	size_t row = get_group_id(1), first = row, end = row + 1;
	float most = -INFINITY, total = 0.0f, sum[EACH];

	if (row >= (size_t)table[STEP_ROWS])
		return;
	while (!begins_run(table, pages_at, first))
		first--;
	while (!ends_run(table, pages_at, end - 1))
		end++;
	global const float *q = act + q_at + (row * HEADS + head) * DIM;
	for (int i = 0; i < EACH; i++)
		sum[i] = 0.0f;
	for (size_t at = first; at < end; at += LANES) {
		int n = end - at < LANES ? end - at : LANES;
		float score = -INFINITY, top, keep;

		if (id < n) {
			global const float *k = act + k_at + ((at + id) * HEADS + head) * DIM;

			score = 0.0f;
			for (int i = 0; i < DIM; i++)
				score = madd(q[i], k[i], score);
			score *= scale;
		}
		weight[id] = score;
		barrier(CLK_LOCAL_MEM_FENCE);
		top = most;
		for (int i = 0; i < n; i++)
			top = fmax(top, weight[i]);
		barrier(CLK_LOCAL_MEM_FENCE);
		weight[id] = id < n ? exp(score - top) : 0.0f;
		keep = most > -INFINITY ? exp(most - top) : 0.0f;
		total = madd(total, keep, group_sum(weight[id], tmp));
		most = top;
		for (int i = 0; i < EACH && i * LANES + id < DIM; i++) {
			global const float *v = act + v_at + (at * HEADS + head) * DIM + i * LANES + id;

			sum[i] *= keep;
			for (int j = 0; j < n; j++)
				sum[i] = madd(weight[j], v[(size_t)j * HEADS * DIM], sum[i]);
		}
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	for (int i = 0; i < EACH && i * LANES + id < DIM; i++)
		act[y_at + (row * HEADS + head) * DIM + i * LANES + id] = sum[i] / total;
}
