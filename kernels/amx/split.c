/* SPDX-License-Identifier: MIT */
/* split.c - products with f16, bf16 and f8 weights in the matrix unit of a
 * CPU (AMX, bf16), whose sums are f32.
 *
 * An input is taken as the sum of two bf16, high and low: 16 bits of it. A
 * weight is a bf16 and, for f16, the exact rest. A sum goes over steps of 32
 * columns in rising order, in each over high weight times low input, high
 * times high, rest times high. The unit's sum of a step has an order of its
 * own, the same for every row and token of a tile, so that the bits of a row
 * do not depend on the batch.
 *
 *   w            [n_out][n_in] of w_type (STORED_), not f32
 *   q            prepared inputs, 32-bit words: [step][low, high], the tokens
 *                of a tile side by side; word (p, t) of a tile of n <= 16
 *                tokens lies at p * n + t and holds columns p and p + 16
 *   y, bias      [n_rows][n_out] and [n_out] f32; flags as in matmul_float.cl
 *
 * split_prepare  x [n_rows][n_in] to q. Items: ceil(n_in / 32) *
 *                ceil(n_rows / 16)
 * split_tile     items: ceil(n_out / rows), rows: 64 up to 16 tokens, else 32;
 *                scratch: 32 * (CHUNK + n_rows + 32) words, 4096 at least */
#include "amx/amx.h"

enum {
	STEP = 32,             /* columns of a tile */
	CHUNK = 256,           /* columns unpacked at a time, many tokens */
	FETCH = 512,           /* bytes a row is fetched ahead of its use, few tokens */
};

/* ---- tiles 0 to 3 are sums of rows x tokens, 4 and 5 weights, 6 and 7
 * inputs */

/* With two tiles of n0 and n1 tokens, or where n1 is 0, one. */
static void set_shape(int n0, int n1)
{
	struct shape s = { .palette = 1 };
	int second = n1 ? n1 : n0;

	for (int i = 0; i < 8; i++) {
		int n = i == 4 || i == 5 ? SIDE : i == 1 || i == 3 || i == 7 ? second : n0;

		s.rows[i] = SIDE;
		s.row_bytes[i] = (uint16_t)(4 * n);
	}
	load_shape(&s);
}

/* ---- inputs */
static inline __m512i widen(__m256bh v)
{
	return _mm512_cvtepu16_epi32((__m256i)v);
}

/* Words of two sets of columns: the first in the low halves. */
static inline __m512i pair(__m512i first, __m512i second)
{
	return _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
}

static inline void split_input(VF a, VF b, __m512i *low, __m512i *high)
{
	__m512i ha = widen(_mm512_cvtneps_pbh((__m512)a));
	__m512i hb = widen(_mm512_cvtneps_pbh((__m512)b));
	VF ra = a - (VF)_mm512_slli_epi32(ha, 16), rb = b - (VF)_mm512_slli_epi32(hb, 16);

	*high = pair(ha, hb);
	*low = pair(widen(_mm512_cvtneps_pbh((__m512)ra)), widen(_mm512_cvtneps_pbh((__m512)rb)));
}

static void put_tokens(uint *out, VF v[SIDE], int n)
{
	__mmask16 mask = (__mmask16)((1u << n) - 1);

	if (n == 1) {
		STOREF(v[0], (float *)(void *)out);
		return;
	}
	turn(v);
	for (int p = 0; p < SIDE; p++)
		_mm512_mask_storeu_epi32(out + p * n, mask, (__m512i)v[p]);
}

KERNEL(split_prepare)(ITEM const float *x, ulong x_at, uint *q, ulong q_at, int n_rows, int n_in)
{
	int tiles = (n_rows + SIDE - 1) / SIDE, step = (int)(ITEM_ID / (ulong)tiles);
	int t0 = (int)(ITEM_ID % (ulong)tiles) * SIDE, n = min_int(n_rows - t0, SIDE);
	int left = n_in - step * STEP;
	uint *out = q + q_at + ((ulong)step * 2 * n_rows + t0) * SIDE;
	VF low[SIDE], high[SIDE];

	for (int t = 0; t < SIDE; t++) {
		const float *p = x + x_at + (ulong)(t0 + t) * n_in + (ulong)step * STEP;
		__m512i l = { 0 }, h = { 0 };

		if (t < n)
			split_input(left >= SIDE ? LOADF(p) : load_few(p, left),
			            left >= STEP ? LOADF(p + SIDE) :
			            load_few(p + SIDE, left > SIDE ? left - SIDE : 0), &l, &h);
		low[t] = (VF)l;
		high[t] = (VF)h;
	}
	put_tokens(out, low, n);
	put_tokens(out + (ulong)n_rows * SIDE, high, n);
}

/* ---- weights */
#define HIGH_HALF SPLATU(0xffff0000)

static inline VU join(VU first, VU second)
{
	return first >> 16 | (second & HIGH_HALF);
}

/* A step of a row: words of the high halves and, `far` words on, of the rest. */
INLINE void put_step(uint *out, int far, VF a, VF b, const int rest)
{
	STOREI(ASI(join(ASU(a), ASU(b))), (int *)(void *)out);
	if (rest) {
		VU ra = ASU(a - ASF(ASU(a) & HIGH_HALF)), rb = ASU(b - ASF(ASU(b) & HIGH_HALF));

		STOREI(ASI(join(ra, rb)), (int *)(void *)(out + far));
	}
}

static inline VF some_stored(int type, const uchar *p, int at, int n)
{
	return n - at >= SIDE ? load_stored(type, p, at) :
	       n > at ? load_stored_few(type, p, at, n - at) : SPLATF(0.0f);
}

/* n columns of a row as row r of tiles that lie `step` words apart. */
#define UNPACK(TYPE) \
	case TYPE: \
		for (; i + STEP <= n; i += STEP, out += step) { \
			PREFETCH(p + (i + 2 * CHUNK) * stored_size(TYPE)); \
			put_step(out, TILE, load_stored(TYPE, p, i), load_stored(TYPE, p, i + SIDE), \
			         TYPE == STORED_F16); \
		} \
		break

static void unpack_row(uint *out, int step, const uchar *p, int type, int n)
{
	int i = 0;

	switch (type) {
	UNPACK(STORED_F16);
	UNPACK(STORED_BF16);
	UNPACK(STORED_E4M3);
	UNPACK(STORED_E5M2);
	}
	if (i < n)
		put_step(out, TILE, some_stored(type, p, i, n), some_stored(type, p, i + SIDE, n),
		         type == STORED_F16);
}

/* ---- sums. a: the tiles of weights of a row tile, next_a words between row
 * tiles and step_a between steps; b: low inputs, high ones next_b words on. */
struct operands {
	const uint *a, *b;
	long next_a, step_a, next_b, step_b;
	int rest, n_steps;
};

/* 32 rows x two tiles of n0 and n1 tokens; acc: [token tile][row tile]. A
 * second tile without tokens computes the first's anew. */
static void sum_square(const struct operands *o, float *acc, int fresh, int n0, int n1)
{
	const long second = n1 ? TILE : 0, s0 = 4 * n0, s1 = n1 ? 4 * n1 : s0;
	const uint *a = o->a, *b = o->b;

	if (fresh) {
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
	} else {
		_tile_loadd(0, acc, s0);
		_tile_loadd(2, acc + TILE, s0);
		_tile_loadd(1, acc + 2 * TILE, s1);
		_tile_loadd(3, acc + 3 * TILE, s1);
	}
	for (int i = 0; i < o->n_steps; i++, a += o->step_a, b += o->step_b) {
		_tile_loadd(4, a, 64);
		_tile_loadd(6, b, s0);
		_tile_loadd(7, b + second, s1);
		_tile_loadd(5, a + o->next_a, 64);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
		_tile_loadd(6, b + o->next_b, s0);
		_tile_loadd(7, b + o->next_b + second, s1);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
		if (!o->rest)
			continue;
		_tile_loadd(4, a + TILE, 64);
		_tile_loadd(5, a + o->next_a + TILE, 64);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
	}
	_tile_stored(0, acc, s0);
	_tile_stored(2, acc + TILE, s0);
	_tile_stored(1, acc + 2 * TILE, s1);
	_tile_stored(3, acc + 3 * TILE, s1);
}

struct product {
	const uchar *w;
	const uint *q;
	float *y;
	const float *bias;
	ulong bias_at;
	int type, flags, n_rows, n_out, n_in, row;
};

static const uchar *row_of(const struct product *p, int r, int column)
{
	ulong row = (ulong)min_int(p->row + r, p->n_out - 1);

	return p->w + (row * p->n_in + column) * stored_size(p->type);
}

/* Sums of 16 rows from r on, tokens t to t + n, as results; acc: [row][token]. */
static void put_sums(const struct product *p, const float *acc, int r, int t, int n)
{
	__mmask16 tokens = (__mmask16)((1u << n) - 1);
	VF v[SIDE];

	if (n <= 0 || p->row + r >= p->n_out)
		return;
	if (n == 1) {
		v[0] = LOADF(acc);
	} else {
		for (int i = 0; i < SIDE; i++)
			v[i] = (VF)_mm512_maskz_loadu_ps(tokens, acc + i * n);
		turn(v);
	}
	put_results(v, n, p->y + (long)t * p->n_out, p->n_out, p->row + r, p->bias, p->bias_at,
	            p->flags);
}

/* ---- one tile of tokens: the sums of 64 rows stay in the unit. A step is
 * unpacked one step before it is loaded, as a tile load waits until the stores
 * have left for the cache; between its row tiles the unit gets its work. */

/* 32 columns of 16 rows from row r on, the rests a tile on. */
INLINE void unpack_tile(uint *a, const struct product *p, int r, int i, const int type)
{
	int n = p->n_in - i;

	for (int k = 0; k < SIDE; k++, a += SIDE) {
		const uchar *w = row_of(p, r + k, i);

		_mm_prefetch((const char *)w + FETCH, _MM_HINT_T0);
		if (n >= STEP)
			put_step(a, TILE, load_stored(type, w, 0), load_stored(type, w, SIDE),
			         type == STORED_F16);
		else
			put_step(a, TILE, some_stored(type, w, 0, n), some_stored(type, w, SIDE, n),
			         type == STORED_F16);
	}
}

#define FEW_TILE(TYPE, K, HIGH, REST) \
	do { \
		if (i + STEP < p->n_in) \
			unpack_tile(next + 2 * (K) * TILE, p, (K) * SIDE, i + STEP, TYPE); \
		SETTLE(); \
		_tile_loadd(HIGH, a + 2 * (K) * TILE, 64); \
		_tile_dpbf16ps(K, HIGH, 6); \
		_tile_dpbf16ps(K, HIGH, 7); \
		if (TYPE == STORED_F16) { \
			_tile_loadd(REST, a + (2 * (K) + 1) * TILE, 64); \
			_tile_dpbf16ps(K, REST, 7); \
		} \
	} while (0)

#define FEW_STEPS(TYPE) \
	case TYPE: \
		for (int k = 0; k < 4; k++) \
			unpack_tile(room + 2 * k * TILE, p, k * SIDE, 0, TYPE); \
		for (int i = 0; i < p->n_in; i += STEP, b += STEP * p->n_rows) { \
			const uint *a = room + i / STEP % 2 * 8 * TILE; \
			uint *next = room + (i / STEP + 1) % 2 * 8 * TILE; \
			\
			SETTLE(); \
			_tile_loadd(6, b, side); \
			_tile_loadd(7, b + STEP / 2 * p->n_rows, side); \
			FEW_TILE(TYPE, 0, 4, 5); \
			FEW_TILE(TYPE, 1, 4, 5); \
			FEW_TILE(TYPE, 2, 4, 5); \
			FEW_TILE(TYPE, 3, 4, 5); \
		} \
		break

static void sum_few(const struct product *p, uint *room)
{
	const uint *b = p->q;
	const int side = 4 * p->n_rows;
	float *acc = (float *)(void *)room;

	set_shape(p->n_rows, 0);
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	switch (p->type) {
	FEW_STEPS(STORED_F16);
	FEW_STEPS(STORED_BF16);
	FEW_STEPS(STORED_E4M3);
	FEW_STEPS(STORED_E5M2);
	}
	_tile_stored(0, acc, side);
	_tile_stored(1, acc + TILE, side);
	_tile_stored(2, acc + 2 * TILE, side);
	_tile_stored(3, acc + 3 * TILE, side);
	for (int k = 0; k < 4; k++)
		put_sums(p, acc + k * TILE, k * SIDE, 0, p->n_rows);
}

/* ---- many tokens: all tokens of a chunk of n_steps steps from column `first`
 * on; the last chunk's sums are results */
static void sum_chunk(const struct product *p, const uint *weights, float *acc, int first,
                      int n_steps)
{
	const int rest = p->type == STORED_F16;
	struct operands o = {
		.a = weights,
		.step_a = (1 + rest) * TILE,
		.next_a = (long)n_steps * (1 + rest) * TILE,
		.next_b = (long)p->n_rows * SIDE,
		.step_b = 2L * p->n_rows * SIDE,
		.rest = rest,
		.n_steps = n_steps,
	};
	int last = first + n_steps * STEP >= p->n_in, wide = -1;

	for (int t = 0; t < p->n_rows; t += 2 * SIDE, acc += 4 * TILE) {
		int n0 = min_int(p->n_rows - t, SIDE), n1 = min_int(p->n_rows - t - n0, SIDE);

		if (wide != n0 + n1)
			set_shape(n0, n1);
		wide = n0 + n1;
		o.b = p->q + first / STEP * o.step_b + (long)t * SIDE;
		sum_square(&o, acc, first == 0, n0, n1);
		for (int k = 0; last && k < 4; k++)
			put_sums(p, acc + k * TILE, k % 2 * SIDE, t + k / 2 * SIDE, k < 2 ? n0 : n1);
	}
}

static void sum_many(const struct product *p, uint *room)
{
	const int rest = p->type == STORED_F16;
	float *acc = (float *)(void *)(room + 2 * SIDE * CHUNK);

	for (int c = 0; c < p->n_in; c += CHUNK) {
		int n = min_int(p->n_in - c, CHUNK), n_steps = (n + STEP - 1) / STEP;

		for (int r = 0; r < 2 * SIDE; r++)
			unpack_row(room + r / SIDE * n_steps * (1 + rest) * TILE + r % SIDE * SIDE,
			           (1 + rest) * TILE, row_of(p, r, c), p->type, n);
		SETTLE();
		sum_chunk(p, room, acc, c, n_steps);
	}
}

KERNEL(split_tile)(ITEM const uchar *w, ulong w_at, int w_type, const uint *q, ulong q_at,
                   float *y, ulong y_at, const float *bias, ulong bias_at, int flags, int n_rows,
                   int n_out, int n_in, uint *scratch)
{
	struct product p = { w + w_at, q + q_at, y + y_at, bias, bias_at,
	                     w_type, flags, n_rows, n_out, n_in, 0 };

	p.row = (int)ITEM_ID * (n_rows <= SIDE ? 4 : 2) * SIDE;
	if (n_rows <= SIDE)
		sum_few(&p, scratch);
	else
		sum_many(&p, scratch);
	_tile_release();
}
