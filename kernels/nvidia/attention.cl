/* SPDX-License-Identifier: MIT */
/* attention.cl - y[row][head] = softmax(scale * q k^T) v over the row's own
 * sequence up to its own position, at most the last `window` positions, on
 * the matrix unit
 * q: [rows][heads][K_DIM] f32, y: [rows][heads][V_DIM] f32; keys and values
 * in pages of f16 (cache.clh), a group of query heads to a head of keys. The
 * arithmetic is attend.clh's.
 *
 * A group does a run of rows of one sequence and the heads that share a head
 * of keys: 16 such queries a warp, RUN rows at most. Pages are copied to
 * local memory while the one before is worked on. attention() goes through
 * all spans; attention_split() does one, whose parts attention_merge()
 * merges. */
#include "../common.clh"
#include "../cache.clh"
#include "copy.clh"
#include "attend.clh"

#define SHARE (HEADS / KV_HEADS)
#define CHUNK (PAGE + 2)   /* vectors from one 8 dimensions of keys to the next */
#define KEYS (K_DIM / 8 * CHUNK)
#define V_CHUNKS (V_DIM / 8)
#define V_ROW (V_CHUNKS | 1)
#define VALUES (PAGE * V_ROW)

struct task {
	int row[2], head[2];   /* queries g and g+8; row -1: missing */
	int end[2], first[2];  /* they see positions first .. end - 1 */
	int low, high;         /* pages that any of the group's sees: low .. high - 1 */
	global const int *pages;
};

INLINE int first_of(int pos, int window)
{
	return window > 0 && pos >= window ? pos + 1 - window : 0;
}

/* A run of the step and one head of keys; the last runs, which are the longest
 * of a text, first. */
INLINE void task_take(struct task *o, global const int *table, int run_at, int pos_at, int pages_at,
                      int window)
{
	int id = get_local_id(0), run = table[STEP_RUNS] - 1 - (int)get_group_id(1);
	int kv = get_group_id(0);
	bool live = run >= 0;
	int row0 = live ? table[run_at + run] : 0, row1 = live ? table[run_at + run + 1] : 0;

	o->low = o->high = 0;
	o->pages = table + (live ? table[pages_at + row0] : 0);
	if (live) {
		o->low = first_of(table[pos_at + row0], window) / PAGE;
		o->high = table[pos_at + row1 - 1] / PAGE + 1;
	}
	for (int r = 0; r < 2; r++) {
		int i = id / TEAM * 16 + r * 8 + id % TEAM / 4, row = row0 + i / SHARE;
		bool mine = row < row1;
		int pos = mine ? table[pos_at + row] : -1;

		o->row[r] = mine ? row : -1;
		o->head[r] = kv * SHARE + i % SHARE;
		o->end[r] = pos + 1;
		o->first[r] = first_of(pos, window);
	}
}

INLINE void page_copy(local uint4 *key, local uint4 *value, int page, global const kv_t *keys,
                      global const kv_t *values)
{
	int id = get_local_id(0), kv = get_group_id(0);
	global const uint4 *k = (global const uint4 *)(keys + KEY_AT(page, kv, 0, 0));
	global const uint4 *v = (global const uint4 *)(values + VALUE_AT(page, kv, 0, 0));

#pragma unroll
	for (int i = id; i < K_DIM / 8 * PAGE; i += LANES)
		copy_16(key + i / PAGE * CHUNK + i % PAGE, k + i);
#pragma unroll
	for (int i = id; i < PAGE * V_CHUNKS; i += LANES)
		copy_16(value + i / V_CHUNKS * V_ROW + i % V_CHUNKS, v + i);
}

INLINE void page_part(struct part *p, uint (*q)[4], const struct task *o, int page,
                      local const uint4 *keys, local const uint4 *values, float scale)
{
	int lane = get_local_id(0) % TEAM, from[2], to[2];
	float s[4][4];
	uint w[2][4];

#pragma unroll
	for (int j = 0; j < 4; j++) {
		uint4 key[K_DIM / 32];

#pragma unroll
		for (int i = 0; i < K_DIM / 32; i++)
			key[i] = keys[(4 * i + lane % 4) * CHUNK + 8 * j + lane / 4];
		page_scores(s[j], q, key);
	}
	for (int r = 0; r < 2; r++) {
		from[r] = o->first[r] - page * PAGE;
		to[r] = o->end[r] - page * PAGE;
	}
	page_weights(p, w, s, from, to, scale);
#pragma unroll
	for (int i = 0; i < V_TILES; i++) {
		uint value[4];

		matrices_t(value, values + lane * V_ROW + i);
		page_values(p->v[i], w, value);
	}
}

/* The part of pages low .. high - 1, which lie in one span. */
INLINE void span_part(struct part *p, uint (*q)[4], const struct task *o, int low, int high,
                      float scale, global const kv_t *keys, global const kv_t *values,
                      local uint4 (*key)[KEYS], local uint4 (*value)[VALUES])
{
	part_none(p);
	if (low < high)
		page_copy(key[0], value[0], o->pages[low], keys, values);
	copy_commit();
	for (int page = low; page < high; page++) {
		int now = (page - low) % STAGES, spare = (now + 1) % STAGES;
		struct part part;

		if (STAGES > 1 && page + 1 < high)
			page_copy(key[spare], value[spare], o->pages[page + 1], keys, values);
		copy_commit();
		copy_wait(1);
		barrier(CLK_LOCAL_MEM_FENCE);
		page_part(&part, q, o, page, key[now], value[now], scale);
		part_merge(p, &part);
		barrier(CLK_LOCAL_MEM_FENCE);
		if (STAGES == 1 && page + 1 < high) {
			page_copy(key[0], value[0], o->pages[page + 1], keys, values);
			copy_commit();
		}
	}
}

#define ROOMS \
	local uint4 key_room[STAGES][KEYS] __attribute__((aligned(128))); \
	local uint4 value_room[STAGES][VALUES] __attribute__((aligned(128)))

INLINE void task_queries(uint (*q)[4], const struct task *o, global const float *x)
{
	global const float *at[2];

	for (int r = 0; r < 2; r++)
		at[r] = o->row[r] < 0 ? 0 : x + ((size_t)o->row[r] * HEADS + o->head[r]) * K_DIM;
	queries_load(q, at[0], at[1]);
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void attention(global const int *restrict table, global float *act, ulong y_at, ulong q_at,
               int run_at, int pos_at, int pages_at, int window, float scale,
               global const kv_t *restrict keys, global const kv_t *restrict values)
{
	ROOMS;
	struct task o;
	struct part p;
	uint q[K_STEPS][4];
	float m[2] = { -INFINITY, -INFINITY }, l[2] = { 0.0f, 0.0f };

	task_take(&o, table, run_at, pos_at, pages_at, window);
	task_queries(q, &o, act + q_at);
	for (int low = o.low; low < o.high;) {
		int high = min((low / SPAN_PAGES + 1) * SPAN_PAGES, o.high);

		span_part(&p, q, &o, low, high, scale, keys, values, key_room, value_room);
		/* between spans the sum waits in y */
#pragma unroll
		for (int r = 0; r < 2; r++) {
			global float2 *y = (global float2 *)(act + y_at +
				((size_t)max(o.row[r], 0) * HEADS + o.head[r]) * V_DIM) + get_local_id(0) % 4;
			float2 f = parts_join(&m[r], &l[r], p.m[r], p.l[r]);

#pragma unroll
			for (int i = 0; i < V_TILES; i++) {
				float2 v = low == o.low || o.row[r] < 0 ? (float2)(0.0f) : y[4 * i];

				v.x = part_join(v.x, p.v[i][2 * r], f);
				v.y = part_join(v.y, p.v[i][2 * r + 1], f);
				if (high == o.high)
					v /= l[r];
				if (o.row[r] >= 0)
					y[4 * i] = v;
			}
		}
		low = high;
	}
}

/* A part in memory is m, l, and V_DIM values. */
#define PART (V_DIM + 2)

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void attention_split(global const int *restrict table, global float *act, ulong part_at,
                     ulong q_at, int run_at, int pos_at, int pages_at, int window, float scale,
                     global const kv_t *restrict keys, global const kv_t *restrict values)
{
	ROOMS;
	struct task o;
	struct part p;
	uint q[K_STEPS][4];
	int span = get_group_id(2), t = get_local_id(0) % 4;

	task_take(&o, table, run_at, pos_at, pages_at, window);
	int low = max(o.low, span * SPAN_PAGES), high = min(o.high, (span + 1) * SPAN_PAGES);
	if (low >= high)
		return;
	task_queries(q, &o, act + q_at);
	span_part(&p, q, &o, low, high, scale, keys, values, key_room, value_room);
#pragma unroll
	for (int r = 0; r < 2; r++) {
		size_t at = (size_t)max(o.row[r], 0) * HEADS + o.head[r];
		global float2 *out = (global float2 *)(act + part_at +
			(at * table[STEP_SPANS] + span) * PART);

		if (o.row[r] < 0)
			continue;
		if (t == 0)
			out[0] = (float2)(p.m[r], p.l[r]);
#pragma unroll
		for (int i = 0; i < V_TILES; i++)
			out[1 + 4 * i + t] = (float2)(p.v[i][2 * r], p.v[i][2 * r + 1]);
	}
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void attention_merge(global const int *restrict table, global float *act, ulong y_at,
                     ulong part_at, int pos_at, int window)
{
	int row = get_group_id(1), head = get_group_id(0);
	size_t at = (size_t)row * HEADS + head;

	if (row >= table[STEP_ROWS])
		return;
	int pos = table[pos_at + row], span = first_of(pos, window) / PAGE / SPAN_PAGES;
	for (int i = get_local_id(0); i < V_DIM; i += LANES) {
		float m = -INFINITY, l = 0.0f, v = 0.0f;

		for (int s = span; s <= pos / PAGE / SPAN_PAGES; s++) {
			global const float *in = act + part_at + (at * table[STEP_SPANS] + s) * PART;
			float2 f = parts_join(&m, &l, in[0], in[1]);

			v = part_join(v, in[2 + i], f);
		}
		act[y_at + at * V_DIM + i] = v / l;
	}
}
