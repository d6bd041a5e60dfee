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

/* Heads that share a pass over keys: what 16 registers hold beside them is so little for
 * eight that two passes are faster; and OpenCL builds while the user waits. */
#if WIDTH < 16 || defined(__OPENCL_C_VERSION__)
#define HEADS 4
#else
#define HEADS 8
#endif
enum { SPAN = 512, CHUNK = 64, HEAD = 16 };
#define WIDE 4                 /* vectors of values, of positions, at a time */
#define WIDE_OF(n) ((n) > (WIDTH == 16 ? 4 : 2) ? WIDE / 2 : WIDE) /* for n heads */
#define NEVER -1e30f

struct context {
	__global const uchar *keys, *values;  /* of the layer */
	__global const int *table;            /* of the sequence */
	int type, size;                       /* of an element */
	int n_kv_heads, kv_head, k_dim, v_dim, v_pad, n_group;
	float scale, cap;
	int last;                             /* the last position anybody sees */
	int spread;                           /* log2 of how many passes over a chunk fetch the next */
};

/* Pages of a chunk, then of the next chunk; any page stands where nobody
 * looks. */
struct pages {
	__global const uchar *key[2], *value[2], *next[2], *next_value[2];
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
		next = next <= c->last ? next : at;
		p->next[i] = page_at(c, c->keys, next, c->k_dim);
		p->next_value[i] = c->values ? page_at(c, c->values, next, c->v_pad) : p->key[i];
	}
}

/* Scores of CHUNK positions for n heads: lanes are positions. Meanwhile this pass's share of
 * the next chunk's keys is fetched into the second cache, spread over the work: as much at
 * once would hold up the loads that are needed now. */
INLINE void scores(const int n, const int type, const struct context *c, const struct pages *p,
                   __global const float *q, float s[HEADS * CHUNK], int pass)
{
	const int step = (type == STORED_F32 ? 4 : 2) * KEY_BLOCK, wide = WIDE_OF(n);
	const int turns = CHUNK / (wide * WIDTH);
	int slow = c->spread + (turns > 2) + (turns > 4); /* log2 of the dimensions for each line */

	for (int t = 0; t < CHUNK; t += wide * WIDTH) {
		__global const uchar *k[WIDE], *next[2];
		VF a[HEADS][WIDE];
		int turn = turns * pass + t / (wide * WIDTH), page = turns > 1 ? turn >> slow : 0;
		int line = (turn * c->k_dim >> slow) - page * c->k_dim;

		UNROLL for (int i = 0; i < 2; i++)
			next[i] = p->next[turns > 1 ? page : i] + line * 2 * step;
		UNROLL for (int j = 0; j < wide; j++) {
			int at = t + j * WIDTH;

			k[j] = p->key[at / PAGE_SIZE] + at % KEY_BLOCK * (step / KEY_BLOCK) +
			       at % PAGE_SIZE / KEY_BLOCK * c->k_dim * step;
			UNROLL for (int h = 0; h < n; h++)
				a[h][j] = SPLATF(0.0f);
		}
		for (int d = 0; d < c->k_dim; d++) {
			VF u[WIDE];

			UNROLL for (int j = 0; j < wide; j++)
				u[j] = load_stored(type, k[j] + d * step, 0);
			UNROLL for (int i = 0; i < 2; i++)
				if (!i || turns == 1)
					PREFETCH_FAR(next[i] + (d * 2 * step >> slow));
			UNROLL for (int h = 0; h < n; h++)
				UNROLL for (int j = 0; j < wide; j++)
					a[h][j] = FMA(SPLATF(q[h * c->k_dim + d]), u[j], a[h][j]);
		}
		UNROLL for (int h = 0; h < n; h++)
			UNROLL for (int j = 0; j < wide; j++)
				STOREF(soft_capped(a[h][j] * SPLATF(c->scale), c->cap),
				       s + h * CHUNK + t + j * WIDTH);
	}
}

/* Of HEADS vectors: lane i is the largest, or the sum, of v[i % HEADS]. */
INLINE VF largest_each(VF v[HEADS])
{
	UNROLL for (int n = HEADS / 2; n > 0; n /= 2)
		UNROLL for (int i = 0; i < n; i++)
			v[i] = max_lanes(EVENS(v[2 * i], v[2 * i + 1]), ODDS(v[2 * i], v[2 * i + 1]));
	UNROLL for (int n = WIDTH / HEADS; n > 1; n /= 2)
		v[0] = max_lanes(EVENS(v[0], v[0]), ODDS(v[0], v[0]));
	return v[0];
}

INLINE VF total_each(VF v[HEADS])
{
	UNROLL for (int n = HEADS / 2; n > 0; n /= 2)
		UNROLL for (int i = 0; i < n; i++)
			v[i] = add_neighbours(v[2 * i], v[2 * i + 1]);
	UNROLL for (int n = WIDTH / HEADS; n > 1; n /= 2)
		v[0] = add_neighbours(v[0], v[0]);
	return v[0];
}

/* Scores of positions that nobody sees. */
NOINLINE void hide(int n, float s[HEADS * CHUNK], int lo, int hi)
{
	for (int i = 0; i < CHUNK; i += WIDTH) {
		VI lane = LANES + SPLATI(i), seen = (lane >= SPLATI(lo)) & (lane <= SPLATI(hi));

		for (int h = 0; h < n; h++)
			STOREF(pick_lanes(seen, LOADF(s + h * CHUNK + i), SPLATF(NEVER)),
			       s + h * CHUNK + i);
	}
}

/* Scores of n heads to weights, and the factors by which the sums so far
 * shrink. */
INLINE void soften(const int n, float s[HEADS * CHUNK], float shrink[WIDTH], LOCAL float *state,
                   int stride, int lo, int hi)
{
	VF most[HEADS], total[HEADS], all, was;
	float most_of[WIDTH], total_of[WIDTH];

	UNROLL for (int h = 0; h < HEADS; h++)
		most[h] = SPLATF(NEVER), total[h] = SPLATF(0.0f);
	if (lo > 0 || hi < CHUNK - 1)
		hide(n, s, lo, hi);
	UNROLL for (int i = 0; i < CHUNK; i += WIDTH)
		UNROLL for (int h = 0; h < n; h++)
			most[h] = max_lanes(LOADF(s + h * CHUNK + i), most[h]);
	UNROLL for (int i = 0; i < WIDTH; i++)
		most_of[i] = state[min_int(i % HEADS, n - 1) * stride];
	was = LOADF(most_of);
	all = max_lanes(largest_each(most), was);
	STOREF(all, most_of);
	STOREF(exp_lanes(was - all), shrink);
	UNROLL for (int h = 0; h < n; h++)
		UNROLL for (int i = 0; i < CHUNK; i += WIDTH) {
			VF e = exp_lanes(LOADF(s + h * CHUNK + i) - SPLATF(most_of[h]));

			STOREF(e, s + h * CHUNK + i);
			total[h] += e;
		}
	STOREF(total_each(total), total_of);
	UNROLL for (int h = 0; h < n; h++) {
		state[h * stride] = most_of[h];
		state[h * stride + 1] = state[h * stride + 1] * shrink[h] + total_of[h];
	}
}

/* sums = sums * shrink + weights * values, `wide` vectors of n heads; meanwhile this pass's
 * share of the next chunk's are fetched. */
INLINE void add_values(const int n, const int wide, const int type, const struct context *c,
                       const struct pages *p, const float *s, const float *shrink,
                       LOCAL float *sums, int stride, int at, int lo, int hi, int pass)
{
	const int size = type == STORED_F32 ? 4 : 2;
	int step = c->v_pad * size, pace = step >> c->spread; /* of values, of what is fetched */
	VF a[HEADS][WIDE];

	UNROLL for (int h = 0; h < n; h++)
		UNROLL for (int j = 0; j < wide; j++)
			a[h][j] = LOADF(sums + h * stride + at + j * WIDTH) * SPLATF(shrink[h]);
	for (int page = lo / PAGE_SIZE; page * PAGE_SIZE <= hi; page++) {
		int i = page * PAGE_SIZE, end = min_int(hi, i + PAGE_SIZE - 1);
		int row = (CHUNK * pass + i) >> c->spread;
		__global const uchar *v = p->value[page] + at * size;
		__global const uchar *next = p->next_value[row / PAGE_SIZE] + at * size;

		next += row % PAGE_SIZE * step;
		i = i > lo ? i : lo;
		v += i % PAGE_SIZE * step;
		next += i % PAGE_SIZE * pace;
		for (; i <= end; i++, v += step, next += pace) {
			VF u[WIDE];

			UNROLL for (int k = 0; k < wide * WIDTH * size; k += 64)
				PREFETCH_FAR(next + k);
			UNROLL for (int j = 0; j < wide; j++)
				u[j] = load_stored(type, v, j * WIDTH);
			UNROLL for (int h = 0; h < n; h++)
				UNROLL for (int j = 0; j < wide; j++)
					a[h][j] = FMA(SPLATF(s[h * CHUNK + i]), u[j], a[h][j]);
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

/* n heads of one row over the positions t + lo .. t + hi of a chunk, from head h on. */
INLINE void attend(const int n, const int type, const struct context *c, const struct pages *p,
                   __global const float *q, LOCAL float *state, int lo, int hi, int h)
{
	const int wide = WIDE_OF(n);
	int stride = HEAD + c->v_pad, at = 0, pass = min_int(h / HEADS, (1 << c->spread) - 1);
	float s[HEADS * CHUNK] ALIGNED, shrink[WIDTH];

	q += h * c->k_dim;
	state += h * stride;
	scores(n, type, c, p, q, s, pass);
	soften(n, s, shrink, state, stride, lo, hi);
	if (!c->values) {
		for (int i = 0; i < n; i++)
			add_ends(type, c, p, s + i * CHUNK, shrink[i], state + i * stride + HEAD, lo, hi);
		return;
	}
	for (; at + wide * WIDTH <= c->v_pad; at += wide * WIDTH)
		add_values(n, wide, type, c, p, s, shrink, state + HEAD, stride, at, lo, hi, pass);
	for (; at < c->v_pad; at += WIDTH)
		add_values(n, 1, type, c, p, s, shrink, state + HEAD, stride, at, lo, hi, pass);
}

INLINE void attend_heads(const int type, const struct context *c, const struct pages *p,
                         __global const float *q, LOCAL float *state, int lo, int hi)
{
	int h = 0;

#if HEADS == 8
	for (; h + 8 <= c->n_group; h += 8)
		attend(8, type, c, p, q, state, lo, hi, h);
	if (h + 7 == c->n_group) {
		attend(7, type, c, p, q, state, lo, hi, h);
		return;
	}
#endif
	for (; h + 4 <= c->n_group; h += 4)
		attend(4, type, c, p, q, state, lo, hi, h);
	switch (c->n_group - h) {
	case 3:
		attend(3, type, c, p, q, state, lo, hi, h);
		break;
	case 2:
		attend(2, type, c, p, q, state, lo, hi, h);
		break;
	case 1:
		attend(1, type, c, p, q, state, lo, hi, h);
		break;
	}
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
		n_kv_heads, head, k_dim, v_dim, padded(v_dim), n_heads / n_kv_heads, scale, cap, 0, 0,
	};

	while ((2 << c.spread) <= (c.n_group + HEADS - 1) / HEADS)
		c.spread++;
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
