/* SPDX-License-Identifier: MIT */
/* turn.cl - rope.cl over q and k and kv_write.cl in one: rotates the heads of
 * q and k in place, and writes k and v of this step into their pages
 * q: [rows][HEADS][K_DIM] f32, k: [rows][KV_HEADS][K_DIM], v: [rows]
 * [KV_HEADS][V_DIM]; angles as in rope.cl. A team per head: those of q, then
 * of k, then of v. The arithmetic, and so the bits, are those of the two. */
#include "common.clh"
#include "cache.clh"
#include "rotate.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void turn(global const int *restrict table, global float *act, ulong q_at, ulong k_at, ulong v_at,
          int angle_at, int pos_at, int pages_at, global kv_t *restrict keys,
          global kv_t *restrict values)
{
	int lane = get_local_id(0) % TEAM, t = get_group_id(1);
	int team = get_group_id(0) * (LANES / TEAM) + get_local_id(0) / TEAM;
	int head = team < HEADS ? team : (team - HEADS) % KV_HEADS;
	bool live = t < table[STEP_ROWS] && team < HEADS + 2 * KV_HEADS;
	bool key = live && team >= HEADS && team < HEADS + KV_HEADS;
	global const float *angle = (global const float *)(table + angle_at) + (size_t)t * DIMS;
	global float *x = act + (team < HEADS ? q_at + ((size_t)t * HEADS + head) * K_DIM :
	                                        k_at + ((size_t)t * KV_HEADS + head) * K_DIM);
	global const float *v = act + v_at + ((size_t)t * KV_HEADS + head) * V_DIM;

	head_turn(x, angle, lane, live && team < HEADS + KV_HEADS);
	barrier(CLK_GLOBAL_MEM_FENCE);
	if (!live || team < HEADS)
		return;
	int pos = table[pos_at + t], page = table[table[pages_at + t] + pos / PAGE];
	for (int i = lane; key && i < K_DIM; i += TEAM)
		kv_put(x[i], keys, KEY_AT(page, head, pos % PAGE, i));
	for (int i = lane; !key && i < V_DIM; i += TEAM)
		kv_put(v[i], values, VALUE_AT(page, head, pos % PAGE, i));
}
