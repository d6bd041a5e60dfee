/* SPDX-License-Identifier: MIT */
/* rope.cl - rotates the first `dims` elements of each head, in place
 * x: [rows][heads][head_dim] f32; angles: [rows][dims] in the step table, cos
 * of pair i at i, sin at dims / 2 + i. A team per head: pairs (i, i +
 * dims/2), or (2i, 2i+1) with INTERLEAVED; the result is always in halves,
 * so all is read before anything is written. DIMS is a constant.
 * Su et al., 2021, arXiv:2104.09864 */
#include "common.clh"
#include "rotate.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void rope(global const int *restrict table, global float *act, ulong x_at, int angle_at,
          int n_heads, int head_dim)
{
	int lane = get_local_id(0) % TEAM;
	int head = get_group_id(0) * (LANES / TEAM) + get_local_id(0) / TEAM;
	int t = get_group_id(1);
	global const float *angle = (global const float *)(table + angle_at) + (size_t)t * DIMS;
	global float *x = act + x_at + ((size_t)t * n_heads + head) * head_dim;
	bool live = t < table[STEP_ROWS] && head < n_heads;

	head_turn(x, angle, lane, live);
}
