/* SPDX-License-Identifier: MIT */
/* attention.cl - y[row][head] = softmax(scale * q k^T) v over the row's own
 * sequence up to its own position, at most the last `window` positions
 * q: [rows][heads][K_DIM] f32, y: [rows][heads][V_DIM] f32; keys and values
 * in pages (cache.clh), a group of query heads to a head of keys. sinks: a
 * score more of each head, [heads] f32, or null.
 *
 * The context is cut at fixed borders of SPAN positions; each span gives its
 * maximum, its sum of exponentials and its weighted values, and the spans
 * are merged in order. attention() walks all spans of a row and head in one
 * group; attention_split() takes a group for each span and leaves the parts
 * to attention_merge(). The arithmetic is the same, and so are the bits.
 * Within a span: LANES positions at a time, a lane a position for the
 * scores, then lanes along V_DIM for the values.
 * Milakov and Gimelshein, 2018, arXiv:1805.02867; Dao, 2023, arXiv:2307.08691 */
#include "common.clh"
#include "cache.clh"
#include "reduce.clh"

#define SPAN 512

/* Values: V_WIDE elements a load, V_LANES lanes along V_DIM (a power of two)
 * with V_EACH loads each, V_PARTS runs of positions beside each other. */
#if V_DIM % 8 == 0 && (!defined(V_IN_K) || K_DIM % 8 == 0)
#define V_WIDE 8
#else
#define V_WIDE 1
#endif
#define V_UNITS (V_DIM / V_WIDE)
#if V_UNITS > 64
#define V_LANES 128
#elif V_UNITS > 32
#define V_LANES 64
#elif V_UNITS > 16
#define V_LANES 32
#elif V_UNITS > 8
#define V_LANES 16
#else
#define V_LANES 8
#endif
#define V_EACH ((V_UNITS + V_LANES - 1) / V_LANES)
#define V_PARTS (LANES / V_LANES)
#define V_RUN (LANES / V_PARTS)
#define V_OWN (V_EACH * V_WIDE)
/* Where element e of a lane's own stands in the value; past V_DIM: nowhere. */
#define V_AT(lane, e) (((lane) + (e) / V_WIDE * V_LANES) * V_WIDE + (e) % V_WIDE)
#define AHEAD 8

struct sums {
	float max, sum;
	float v[V_OWN]; /* of the whole span in the first part's lanes */
};
struct rooms {
	local float *q, *p, *tmp, *part;
	local int *page;
};

/* Eight neighbouring elements, on their natural border. */
float8 kv_get8(global const kv_t *p)
{
#ifdef KV_F32
	return *(global const float8 *)p;
#else
	uint4 u = *(global const uint4 *)p;
	const half *h = (const half *)&u;

	return (float8)(vload_half(0, h), vload_half(1, h), vload_half(2, h), vload_half(3, h),
	                vload_half(4, h), vload_half(5, h), vload_half(6, h), vload_half(7, h));
#endif
}

float key_dot(local const float *q, global const kv_t *keys, int page, int head, int pos)
{
	float4 s = 0.0f;

#if K_STEP == 8
#pragma unroll 16
	for (int i = 0; i < K_DIM; i += 8) {
		local const float4 *x = (local const float4 *)(q + i);
		float8 v = kv_get8(keys + KEY_AT(page, head, pos, i));

		s = madd(v.lo, x[0], s);
		s = madd(v.hi, x[1], s);
	}
#else
	for (int i = 0; i < K_DIM; i++)
		s.x = madd(kv_get(keys, KEY_AT(page, head, pos, i)), q[i], s.x);
#endif
	return (s.x + s.y) + (s.z + s.w);
}

/* A lane's own elements of one value, zeros past its end. */
void value_load(float *x, global const kv_t *values, int page, int head, int pos, int lane)
{
	for (int e = 0; e < V_OWN; e += V_WIDE) {
		int at = V_AT(lane, e);
#if V_WIDE == 8
		float8 u = at < V_DIM ? kv_get8(values + VALUE_AT(page, head, pos, at)) :
		                        (float8)(0.0f);

		vstore8(u, 0, x + e);
#else
		x[e] = at < V_DIM ? kv_get(values, VALUE_AT(page, head, pos, at)) : 0.0f;
#endif
	}
}

#ifdef CAP
#define CAPPED(s) (CAP * tanh((s) / CAP))
#else
#define CAPPED(s) (s)
#endif

/* Positions lo .. hi-1, which lie in one span. */
void span_sums(struct sums *o, struct rooms l, int lo, int hi, float scale, int head,
               global const int *pages, global const kv_t *keys, global const kv_t *values)
{
	int id = get_local_id(0), d0 = id % V_LANES, run = id / V_LANES * V_RUN;

	o->max = -INFINITY;
	o->sum = 0.0f;
	for (int e = 0; e < V_OWN; e++)
		o->v[e] = 0.0f;
	for (int base = lo / LANES * LANES; base < hi; base += LANES) {
		int j = base + id;
		int page = pages[clamp(j, lo, hi - 1) / PAGE];
		bool live = j >= lo && j < hi;
		float s = live ? CAPPED(key_dot(l.q, keys, page, head, j % PAGE) * scale) :
		                 -INFINITY;

		l.p[id] = s;
		barrier(CLK_LOCAL_MEM_FENCE);
		if (id < TEAM) {
			float m = l.p[id];

			for (int i = TEAM; i < LANES; i += TEAM)
				m = fmax(m, l.p[id + i]);
			l.tmp[id] = m;
		}
		barrier(CLK_LOCAL_MEM_FENCE);
		float m = o->max;
		for (int i = 0; i < TEAM; i++)
			m = fmax(m, l.tmp[i]);
		float keep = exp(o->max - m), p = live ? exp(s - m) : 0.0f;
		o->max = m;
		o->sum = madd(o->sum, keep, p);
		l.p[id] = p;
		if (id % PAGE == 0)
			l.page[id / PAGE] = page;
		barrier(CLK_LOCAL_MEM_FENCE);

		int from = max(run, lo - base), to = min(run + V_RUN, hi - base);
		for (int e = 0; e < V_OWN; e++)
			o->v[e] *= keep;
		/* several loads under way at once; past the end, the last one times 0 */
		for (int i = from; i < to; i += AHEAD) {
			float x[AHEAD][V_OWN];

#pragma unroll
			for (int k = 0; k < AHEAD; k++) {
				int at = min(i + k, to - 1);

				value_load(x[k], values, l.page[at / PAGE], head, at % PAGE, d0);
			}
#pragma unroll
			for (int k = 0; k < AHEAD; k++) {
				float w = i + k < to ? l.p[i + k] : 0.0f;

				for (int e = 0; e < V_OWN; e++)
					o->v[e] = madd(w, x[k][e], o->v[e]);
			}
		}
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	o->sum = group_sum(o->sum, l.tmp);
#if V_PARTS > 1
	for (int e = 0; e < V_WIDE; e++)
		l.part[id * V_WIDE + e] = o->v[e];
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int e = 0; e < V_WIDE; e++) {
		o->v[e] = l.part[d0 * V_WIDE + e];
		for (int i = 1; i < V_PARTS; i++)
			o->v[e] += l.part[(d0 + i * V_LANES) * V_WIDE + e];
	}
	barrier(CLK_LOCAL_MEM_FENCE);
#endif
}

/* The factors by which the old and the new part count, and the new maximum
 * and sum. */
float2 merge(float *max, float *sum, float part_max, float part_sum)
{
	float m = fmax(*max, part_max);
	float2 f = (float2)(exp(*max - m), exp(part_max - m));

	*max = m;
	*sum = madd(*sum, f.x, part_sum * f.y);
	return f;
}

#define ROOMS(l) \
	local float q_room[K_DIM] __attribute__((aligned(16))), p_room[LANES], tmp_room[LANES]; \
	local float part_room[LANES * V_WIDE]; \
	local int page_room[LANES / PAGE]; \
	struct rooms l = {q_room, p_room, tmp_room, part_room, page_room}

void query_load(local float *q, global const float *x)
{
	for (int i = get_local_id(0); i < K_DIM; i += LANES)
		q[i] = x[i];
	barrier(CLK_LOCAL_MEM_FENCE);
}

int first_of(int pos, int window)
{
	return window > 0 && pos >= window ? pos + 1 - window : 0;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void attention(global const int *restrict table, global float *act, ulong y_at, ulong q_at,
               int pos_at, int pages_at, int window, float scale,
               global const kv_t *restrict keys, global const kv_t *restrict values,
               global const float *restrict sinks)
{
	ROOMS(l);
	int row = get_group_id(1), head = get_group_id(0), id = get_local_id(0);
	size_t at = (size_t)row * HEADS + head;
	bool live = row < table[STEP_ROWS];
	int end = live ? table[pos_at + row] + 1 : 0, first = first_of(end - 1, window);
	global const int *pages = table + (live ? table[pages_at + row] : 0);
	struct sums part;
	float max = sinks ? sinks[head] : -INFINITY, sum = sinks ? 1.0f : 0.0f, v[V_OWN];

	for (int e = 0; e < V_OWN; e++)
		v[e] = 0.0f;
	query_load(l.q, act + q_at + at * K_DIM);
	for (int lo = first; lo < end;) {
		int hi = min((lo / SPAN + 1) * SPAN, end);

		span_sums(&part, l, lo, hi, scale, head / (HEADS / KV_HEADS), pages, keys, values);
		float2 f = merge(&max, &sum, part.max, part.sum);
		for (int e = 0; e < V_OWN; e++)
			v[e] = madd(v[e], f.x, part.v[e] * f.y);
		lo = hi;
	}
	for (int e = 0; e < V_OWN; e++)
		if (live && id < V_LANES && V_AT(id, e) < V_DIM)
			act[y_at + at * V_DIM + V_AT(id, e)] = v[e] / sum;
}

/* A part is its maximum, its sum, and V_DIM values; lanes take M_EACH of
 * these when parts are merged. */
#define PART (V_DIM + 2)
#define M_EACH ((V_DIM + LANES - 1) / LANES)

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void attention_split(global const int *restrict table, global float *act, ulong part_at,
                     ulong q_at, int pos_at, int pages_at, int window, float scale,
                     global const kv_t *restrict keys, global const kv_t *restrict values)
{
	ROOMS(l);
	int row = get_group_id(1), head = get_group_id(0), id = get_local_id(0);
	size_t at = (size_t)row * HEADS + head;
	bool live = row < table[STEP_ROWS];
	int pos = live ? table[pos_at + row] : 0, first = first_of(pos, window);
	int span = first / SPAN + (int)get_group_id(2);
	int lo = max(first, span * SPAN), hi = min(pos + 1, (span + 1) * SPAN);
	global const int *pages = table + (live ? table[pages_at + row] : 0);
	global float *out = act + part_at + (at * table[STEP_SPANS] + get_group_id(2)) * PART;
	struct sums part;

	live = live && lo < hi;
	query_load(l.q, act + q_at + at * K_DIM);
	span_sums(&part, l, lo, live ? hi : lo, scale, head / (HEADS / KV_HEADS), pages, keys,
	          values);
	if (live && id == 0) {
		out[0] = part.max;
		out[1] = part.sum;
	}
	for (int e = 0; e < V_OWN; e++)
		if (live && id < V_LANES && V_AT(id, e) < V_DIM)
			out[2 + V_AT(id, e)] = part.v[e];
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void attention_merge(global const int *restrict table, global float *act, ulong y_at,
                     ulong part_at, int pos_at, int window, global const float *restrict sinks)
{
	int row = get_group_id(1), head = get_group_id(0), id = get_local_id(0);
	size_t at = (size_t)row * HEADS + head;

	if (row >= table[STEP_ROWS])
		return;
	int pos = table[pos_at + row], spans = pos / SPAN - first_of(pos, window) / SPAN + 1;
	global const float *in = act + part_at + at * table[STEP_SPANS] * PART;
	float max = sinks ? sinks[head] : -INFINITY, sum = sinks ? 1.0f : 0.0f, v[M_EACH];

	for (int e = 0; e < M_EACH; e++)
		v[e] = 0.0f;
	for (int s = 0; s < spans; s++, in += PART) {
		float2 f = merge(&max, &sum, in[0], in[1]);

		for (int e = 0; e < M_EACH; e++)
			if (id + e * LANES < V_DIM)
				v[e] = madd(v[e], f.x, in[2 + id + e * LANES] * f.y);
	}
	for (int e = 0; e < M_EACH; e++)
		if (id + e * LANES < V_DIM)
			act[y_at + at * V_DIM + id + e * LANES] = v[e] / sum;
}
