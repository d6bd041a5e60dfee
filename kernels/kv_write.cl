/* SPDX-License-Identifier: MIT */
/* kv_write.cl - this step's keys and values into their pages
 * k: [rows][KV_HEADS][K_DIM] f32, v: [rows][KV_HEADS][V_DIM] f32. The table
 * holds each row's position and where its sequence's page list begins. A
 * work-item an element of the key, then of the value; groups along them,
 * then rows. */
#include "common.clh"
#include "cache.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void kv_write(global const int *restrict table, global float *act, ulong k_at, ulong v_at,
              int pos_at, int pages_at, global kv_t *restrict keys, global kv_t *restrict values)
{
	size_t row = get_group_id(1);
	int i = get_global_id(0);

	if (row >= (size_t)table[STEP_ROWS] || i >= KV_HEADS * (K_DIM + V_KEPT))
		return;
	int pos = table[pos_at + row];
	int page = table[table[pages_at + row] + pos / PAGE];
	if (i < KV_HEADS * K_DIM) {
		float v = act[k_at + row * (KV_HEADS * K_DIM) + i];
		kv_put(v, keys, KEY_AT(page, i / K_DIM, pos % PAGE, i % K_DIM));
	} else {
		i -= KV_HEADS * K_DIM;
		float v = act[v_at + row * (KV_HEADS * V_DIM) + i];
		kv_put(v, values, VALUE_AT(page, i / V_DIM, pos % PAGE, i % V_DIM));
	}
}
