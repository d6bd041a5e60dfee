/* SPDX-License-Identifier: MIT */
/* attention.cl - y = softmax(capped(scale * q k^T)) v, each row over its own sequence
 * from max(0, pos - window + 1) (window 0: from 0) to pos, grouped heads.
 *
 *   q, y            [n_rows][n_heads][k_dim] and [..][v_dim] f32
 *   keys, values    cache.clh, of type STORED_F16 or STORED_F32; offsets in
 *                   bytes, of the layer
 *                   values null: each is the last v_dim of its key
 *   pos, seq        [n_rows]; rows of a sequence in rising positions
 *   n_tile          rows of an item; at most 1 with n_spans
 *   n_spans         0: an item takes a tile of rows and one head of keys
 *                   through the whole context. Items: ceil(n_rows / n_tile) *
 *                   n_kv_heads. Else an item takes one span of one row, the
 *                   n-th it sees, and leaves its state in part: [row][head]
 *                   [n_spans][state]; attention_merge makes y of them. Items:
 *                   n_rows * n_kv_heads * n_spans
 *   sinks           a score more of each head, [n_heads]; or null
 *   scratch         n_tile * (n_heads / n_kv_heads) * 2 states
 *
 * A state is HEAD floats, maximum and total first, then v_pad sums. The
 * context is cut at multiples of SPAN; a span's states grow by CHUNKs, and
 * spans are merged in order, so a row's bits depend on nothing else.
 * Online softmax: Milakov and Gimelshein, 2018, arXiv:1805.02867; splitting
 * the context: Dao et al., 2023, pytorch.org/blog/flash-decoding */
#include "cache.clh"

enum { SPAN = 512, CHUNK = 64, HEAD = 16, HEADS = 4 };
#define VECTORS (CHUNK / WIDTH)
#define WIDE (WIDTH == 16 ? 4 : 2)  /* vectors of values at a time */
#define NEVER -1e30f

struct context {
	__global const uchar *keys, *values;  /* of the layer */
	__global const int *table;            /* of the sequence */
	int type, size;                       /* of an element */
	int n_kv_heads, kv_head, k_dim, v_dim, v_pad, n_group;
	float scale, cap;
	int last;                             /* the last position anybody sees */
};

/* Pages of a chunk, then of the next chunk's keys; any page stands where
 * nobody looks. */
struct pages {
	__global const uchar *key[2], *value[2], *next[2];
};

static inline __global const uchar *page_at(const struct context *c, __global const uchar *base,
                                            int t, int dim)
{
	ulong page = (ulong)c->table[t / PAGE_SIZE];

	return base + (page * c->n_kv_heads + c->kv_head) * PAGE_SIZE * dim * c->size;
}

static inline void find_pages(struct pages *p, const struct context *c, int t, int first)
{
	for (int i = 0; i < 2; i++) {
		int at = t + i * PAGE_SIZE, next = at + CHUNK;
		int used = at <= c->last && at + PAGE_SIZE > first;

		at = used ? at : at + PAGE_SIZE - i * 2 * PAGE_SIZE;
		p->key[i] = page_at(c, c->keys, at, c->k_dim);
		p->value[i] = c->values ? page_at(c, c->values, at, c->v_pad) : p->key[i];
		p->next[i] = next <= c->last ? page_at(c, c->keys, next, c->k_dim) : p->key[i];
	}
}

/* Scores of CHUNK positions for n heads: lanes are positions. */
INLINE void scores(const int n, const int type, const struct context *c, const struct pages *p,
                   __global const float *q, float s[HEADS * CHUNK])
{
	const int size = type == STORED_F32 ? 4 : 2;

	for (int v = 0; v < VECTORS; v += 2) {
		int t = v * WIDTH, page = t / PAGE_SIZE;
		int block = t % PAGE_SIZE / KEY_BLOCK, more = WIDTH == 16 ? c->k_dim * KEY_BLOCK : WIDTH;
		__global const uchar *k = p->key[page], *fetch = p->value[page], *next = p->next[page];
		VF a[HEADS][2];

		k += (block * c->k_dim * KEY_BLOCK + t % KEY_BLOCK) * size;
		UNROLL for (int h = 0; h < n; h++)
			a[h][0] = a[h][1] = SPLATF(0.0f);
		for (int d = 0; d < c->k_dim; d++, k += KEY_BLOCK * size) {
			VF k0 = load_stored(type, k, 0), k1 = load_stored(type, k, more);

			if (t % PAGE_SIZE == 0) {
				PREFETCH(fetch + d * 32 * size);
				PREFETCH(next + d * 32 * size);
			}
			UNROLL for (int h = 0; h < n; h++) {
				VF u = SPLATF(q[h * c->k_dim + d]);

				a[h][0] = FMA(u, k0, a[h][0]);
				a[h][1] = FMA(u, k1, a[h][1]);
			}
		}
		UNROLL for (int h = 0; h < n; h++) {
			STOREF(soft_capped(a[h][0] * SPLATF(c->scale), c->cap), s + h * CHUNK + t);
			STOREF(soft_capped(a[h][1] * SPLATF(c->scale), c->cap),
			       s + h * CHUNK + t + WIDTH);
		}
	}
}

/* Scores to weights; the factor by which the sums so far shrink. */
static inline float soften(float s[CHUNK], LOCAL float *state, int lo, int hi)
{
	VF most = SPLATF(NEVER), total = SPLATF(0.0f);
	float m, shrink;

	for (int i = 0; i < CHUNK; i += WIDTH) {
		VI lane = LANES + SPLATI(i), seen = (lane >= SPLATI(lo)) & (lane <= SPLATI(hi));
		VF v = pick_lanes(seen, LOADF(s + i), SPLATF(NEVER));

		STOREF(v, s + i);
		most = max_lanes(v, most);
	}
	m = max_of(most);
	m = m > state[0] ? m : state[0];
	shrink = FIRST(exp_lanes(SPLATF(state[0] - m)));
	for (int i = 0; i < CHUNK; i += WIDTH) {
		VF e = exp_lanes(LOADF(s + i) - SPLATF(m));

		STOREF(e, s + i);
		total += e;
	}
	state[1] = state[1] * shrink + sum(total);
	state[0] = m;
	return shrink;
}

/* sums = sums * shrink + weights * values, `wide` vectors of n heads. */
INLINE void add_values(const int n, const int wide, const int type, const struct context *c,
                       const struct pages *p, const float *s, const float *shrink,
                       LOCAL float *sums, int stride, int at, int lo, int hi)
{
	const int size = type == STORED_F32 ? 4 : 2;
	VF a[HEADS][WIDE];

	UNROLL for (int h = 0; h < n; h++)
		UNROLL for (int j = 0; j < wide; j++)
			a[h][j] = LOADF(sums + h * stride + at + j * WIDTH) * SPLATF(shrink[h]);
	for (int i = lo; i <= hi; i++) {
		__global const uchar *v = p->value[i / PAGE_SIZE] +
		                          (i % PAGE_SIZE * c->v_pad + at) * size;

		UNROLL for (int j = 0; j < wide; j++) {
			VF u = load_stored(type, v, j * WIDTH);

			UNROLL for (int h = 0; h < n; h++)
				a[h][j] = FMA(SPLATF(s[h * CHUNK + i]), u, a[h][j]);
		}
	}
	UNROLL for (int h = 0; h < n; h++)
		UNROLL for (int j = 0; j < wide; j++)
			STOREF(a[h][j], sums + h * stride + at + j * WIDTH);
}

/* The same of one head whose values are ends of keys: lanes are positions,
 * and what nobody sees counts as zero. */
INLINE void add_ends(const int type, const struct context *c, const struct pages *p,
                     const float s[CHUNK], float shrink, LOCAL float *sums, int lo, int hi)
{
	const int size = type == STORED_F32 ? 4 : 2;
	int from = c->k_dim - c->v_dim, last = c->k_dim - 1;

	for (int d = 0; d < c->v_pad; d += WIDTH) {
		VF a[WIDTH];

		for (int j = 0; j < WIDTH; j++) {
			int i = min_int(from + d + j, last);

			a[j] = SPLATF(0.0f);
			UNROLL for (int t = 0; t < CHUNK; t += WIDTH) {
				int at = (t % PAGE_SIZE / KEY_BLOCK * c->k_dim + i) * KEY_BLOCK + t % KEY_BLOCK;
				VI lane = LANES + SPLATI(t);
				VI seen = (lane >= SPLATI(lo)) & (lane <= SPLATI(hi));
				VF k = load_stored(type, p->key[t / PAGE_SIZE] + at * size, 0);

				a[j] = FMA(LOADF(s + t), pick_lanes(seen, k, SPLATF(0.0f)), a[j]);
			}
		}
		STOREF(FMA(LOADF(sums + d), SPLATF(shrink), sum_each(a)), sums + d);
	}
}

/* n heads of one row over the positions t + lo .. t + hi of a chunk. */
INLINE void attend(const int n, const int type, const struct context *c, const struct pages *p,
                   __global const float *q, LOCAL float *state, int lo, int hi)
{
	int stride = HEAD + c->v_pad, at = 0;
	float s[HEADS * CHUNK] ALIGNED, shrink[HEADS];

	scores(n, type, c, p, q, s);
	UNROLL for (int h = 0; h < n; h++)
		shrink[h] = soften(s + h * CHUNK, state + h * stride, lo, hi);
	if (!c->values) {
		for (int h = 0; h < n; h++)
			add_ends(type, c, p, s + h * CHUNK, shrink[h], state + h * stride + HEAD, lo, hi);
		return;
	}
	for (; at + WIDE * WIDTH <= c->v_pad; at += WIDE * WIDTH)
		add_values(n, WIDE, type, c, p, s, shrink, state + HEAD, stride, at, lo, hi);
	for (; at < c->v_pad; at += WIDTH)
		add_values(n, 1, type, c, p, s, shrink, state + HEAD, stride, at, lo, hi);
}

INLINE void attend_heads(const int type, const struct context *c, const struct pages *p,
                         __global const float *q, LOCAL float *state, int lo, int hi)
{
	int stride = HEAD + c->v_pad, h = 0;

	for (; h + 4 <= c->n_group; h += 4)
		attend(4, type, c, p, q + h * c->k_dim, state + h * stride, lo, hi);
	if (h + 2 <= c->n_group) {
		attend(2, type, c, p, q + h * c->k_dim, state + h * stride, lo, hi);
		h += 2;
	}
	if (h < c->n_group)
		attend(1, type, c, p, q + h * c->k_dim, state + h * stride, lo, hi);
}

/* Of a head with a sink: that is seen first. */
static inline void start_state(LOCAL float *state, int v_pad, __global const float *sink)
{
	state[0] = sink ? *sink : NEVER;
	state[1] = sink ? 1 : 0;
	for (int i = 0; i < v_pad; i += WIDTH)
		STOREF(SPLATF(0.0f), state + HEAD + i);
}

/* all += span: what attention over both together gives. */
static inline void merge(LOCAL float *all, LOCAL const float *span, int v_pad)
{
	float m = span[0] > all[0] ? span[0] : all[0];
	float a = FIRST(exp_lanes(SPLATF(all[0] - m))), b = FIRST(exp_lanes(SPLATF(span[0] - m)));

	all[0] = m;
	all[1] = all[1] * a + span[1] * b;
	for (int i = HEAD; i < HEAD + v_pad; i += WIDTH)
		STOREF(FMA(LOADF(all + i), SPLATF(a), LOADF(span + i) * SPLATF(b)), all + i);
}

static inline void put_state(__global float *y, LOCAL const float *state, int v_dim)
{
	VF inv = SPLATF(1 / state[1]);
	int i = 0;

	for (; i + WIDTH <= v_dim; i += WIDTH)
		STOREF(LOADF(state + HEAD + i) * inv, y + i);
	if (i < v_dim)
		store_few(LOADF(state + HEAD + i) * inv, y + i, v_dim - i);
}

static inline int first_seen(int pos, int window)
{
	return window && pos >= window ? pos - window + 1 : 0;
}

/* Rows begin .. end of one sequence through the span from t0 on. */
static inline void walk_span(const struct context *c, __global const float *q,
                             __global const int *pos, int begin, int end, int window, int t0,
                             LOCAL float *state)
{
	int first = first_seen(pos[begin], window), t1 = min_int(t0 + SPAN - 1, c->last);
	int q_row = c->n_group * c->n_kv_heads * c->k_dim;
	int state_row = c->n_group * (HEAD + c->v_pad);
	int t = t0 > first ? t0 : first / CHUNK * CHUNK;

	for (int i = 0; i < (end - begin) * c->n_group; i++)
		start_state(state + i * (HEAD + c->v_pad), c->v_pad, 0);
	for (; t <= t1; t += CHUNK) {
		struct pages p;

		find_pages(&p, c, t, first);
		for (int row = begin; row < end; row++) {
			int lo = first_seen(pos[row], window) - t, hi = min_int(pos[row] - t, CHUNK - 1);
			__global const float *from = q + (ulong)row * q_row;
			LOCAL float *to = state + (row - begin) * state_row;

			lo = lo > 0 ? lo : 0;
			if (lo > hi)
				continue;
			if (c->type == STORED_F32)
				attend_heads(STORED_F32, c, &p, from, to, lo, hi);
			else
				attend_heads(STORED_F16, c, &p, from, to, lo, hi);
		}
	}
}

/* Rows begin .. end of one sequence through all they see, to y. */
static inline void walk_rows(const struct context *c, __global const float *q,
                             __global float *y, __global const int *pos, int begin, int end,
                             int window, __global const float *sinks, LOCAL float *scratch)
{
	int stride = HEAD + c->v_pad, n = (end - begin) * c->n_group;
	LOCAL float *span = scratch + n * stride;
	int y_row = c->n_group * c->n_kv_heads * c->v_dim;

	for (int i = 0; i < n; i++)
		start_state(scratch + i * stride, c->v_pad, sinks ? sinks + i % c->n_group : 0);
	for (int t = first_seen(pos[begin], window) / SPAN * SPAN; t <= c->last; t += SPAN) {
		walk_span(c, q, pos, begin, end, window, t, span);
		for (int i = 0; i < n; i++)
			if (span[i * stride + 1] > 0)
				merge(scratch + i * stride, span + i * stride, c->v_pad);
	}
	for (int i = 0; i < n; i++)
		put_state(y + (ulong)(begin + i / c->n_group) * y_row + i % c->n_group * c->v_dim,
		          scratch + i * stride, c->v_dim);
}

KERNEL(attention)(ITEM __global const float *q, ulong q_at, __global float *y, ulong y_at,
                  __global const uchar *keys, ulong keys_at, __global const uchar *values,
                  ulong values_at, int type, __global const int *pos, __global const int *seq,
                  __global const int *pages, ulong page_stride, int n_rows, int n_heads,
                  int n_kv_heads, int k_dim, int v_dim, float scale, float cap, int window,
                  int n_tile, int n_spans, __global float *part, ulong part_at,
                  __global const float *sinks, LOCAL float *scratch)
{
	int spans = n_spans ? n_spans : 1, span = (int)(ITEM_ID % spans);
	int head = (int)(ITEM_ID / spans % n_kv_heads);
	int begin = (int)(ITEM_ID / spans / n_kv_heads) * n_tile;
	int stop = min_int(begin + n_tile, n_rows);
	struct context c = {
		keys + keys_at, values ? values + values_at : 0, 0, type, type == STORED_F32 ? 4 : 2,
		n_kv_heads, head, k_dim, v_dim, padded(v_dim), n_heads / n_kv_heads, scale, cap, 0,
	};

	q += q_at + head * c.n_group * k_dim;
	y += y_at + head * c.n_group * v_dim;
	sinks = sinks ? sinks + head * c.n_group : 0;
	for (int end = begin; begin < stop; begin = end) {
		while (end < stop && seq[end] == seq[begin])
			end++;
		c.table = pages + seq[begin] * page_stride;
		c.last = pos[end - 1];
		if (!n_spans) {
			walk_rows(&c, q, y, pos, begin, end, window, sinks, scratch);
			continue;
		}
		int t = (first_seen(c.last, window) / SPAN + span) * SPAN, stride = HEAD + c.v_pad;
		if (t <= c.last)
			walk_span(&c, q, pos, begin, end, window, t, scratch);
		for (int h = 0; h < c.n_group && t <= c.last; h++) {
			__global float *to = part + part_at + (((ulong)begin * n_heads +
			                     head * c.n_group + h) * n_spans + span) * stride;
			for (int i = 0; i < stride; i += WIDTH)
				STOREF(LOADF(scratch + h * stride + i), to + i);
		}
	}
}

/* Item: row * n_heads + head; scratch: two states. */
KERNEL(attention_merge)(ITEM __global const float *part, ulong part_at, __global float *y,
                        ulong y_at, __global const int *pos, int n_heads, int v_dim, int window,
                        int n_spans, __global const float *sinks, LOCAL float *scratch)
{
	int row = (int)(ITEM_ID / n_heads), v_pad = padded(v_dim), stride = HEAD + v_pad;
	int spans = pos[row] / SPAN - first_seen(pos[row], window) / SPAN + 1;
	LOCAL float *one = scratch + stride;

	start_state(scratch, v_pad, sinks ? sinks + ITEM_ID % n_heads : 0);
	for (int s = 0; s < spans; s++) {
		__global const float *from = part + part_at + (ITEM_ID * n_spans + s) * stride;

		for (int i = 0; i < stride; i += WIDTH)
			STOREF(LOADF(from + i), one + i);
		merge(scratch, one, v_pad);
	}
	put_state(y + y_at + ITEM_ID * v_dim, scratch, v_dim);
}
