/* SPDX-License-Identifier: MIT */
/* codes.c - products of many tokens with grouped-affine weights in the matrix
 * unit of a CPU (AMX, int8), every width of code, the bits of
 * matmul_affine.cl.
 *
 * A 16-bit input is 256 times a signed byte, high, and an unsigned one, low;
 * codes are unsigned bytes. So a group's sum is exact in integers, and what
 * follows it is the arithmetic of the vector rows, lanes being tokens: what
 * they add up in lane l is added up here for the groups l, l + 16, ... one
 * lane after the other, and the lanes' sums as their tree of neighbours.
 *
 *   q              prepared inputs of token tile t, chunk c at ((t * chunks) +
 *                  c) * (8 * group + 32) * 16 words: scales and sums [group]
 *                  [token] f32, then of each group its low and its high bytes
 *                  [group / 4][token][4]; zeros past the tokens
 *   the rest       as in matmul_affine.cl
 *
 * codes_prepare    items: ceil(n_rows / 16) * chunks
 * codes_tile       items: ceil(n_out / 64); scratch in words: 16 * n_in +
 *                  128 * n_in / group + 16,384 */
#include "amx/amx.h"
#include "exec/cpu_rows.h"

enum {
	STEP = 64,             /* columns that the unit takes at once */
	PAIR = 2 * TILE,       /* of two row tiles */
	LEVELS = 6,
	PAIRS = 2,             /* pairs of row tiles that share inputs */
	SPAN = 2,              /* token tiles that share weights */
};

/* ---- inputs */

/* Scales and sums of the groups of one token, in the vector rows' order. */
static void measure(const float *x, int group, int groups, float *scale, float *total, VF *inv)
{
	VF most = SPLATF(0.0f), sum = SPLATF(0.0f);

	for (int i = 0; i < group; i += SIDE) {
		VF v[SIDE];

		UNROLL for (int g = 0; g < SIDE; g++)
			v[g] = g < groups ? LOADF(x + g * group + i) : SPLATF(0.0f);
		turn(v);
		UNROLL for (int k = 0; k < SIDE; k++) {
			most = max_lanes(ASF(ASI(v[k]) & SPLATI(0x7fffffff)), most);
			sum += v[k];
		}
	}
	*inv = pick_lanes(most > SPLATF(0.0f), SPLATF(CPU_MOST) / most, SPLATF(0.0f));
	STOREF(most * SPLATF(1.0f / CPU_MOST), scale);
	STOREF(sum, total);
}

/* 16 rows of 16 words, word t of row g to row t of column g. */
static void put_turned(const float *from, float *to)
{
	VF v[SIDE];

	UNROLL for (int i = 0; i < SIDE; i++)
		v[i] = LOADF(from + i * SIDE);
	turn(v);
	UNROLL for (int i = 0; i < SIDE; i++)
		STOREF(v[i], to + i * SIDE);
}

/* n <= 64 columns of one group, a multiple of 16, of 16 tokens as bytes. */
static void put_bytes(const float *x, long n_in, int tokens, const float *inv, int n, int *low,
                      int *high)
{
	uchar bytes[2][SIDE][STEP] ALIGNED;

	for (int t = 0; t < SIDE; t++)
		for (int i = 0; i < n; i += SIDE) {
			VI v = SPLATI(0);

			if (t < tokens)
				v = round_lanes(LOADF(x + t * n_in + i) * SPLATF(inv[t * SIDE]));
			_mm_store_si128((__m128i *)&bytes[0][t][i],
			                _mm512_cvtepi32_epi8((__m512i)v));
			_mm_store_si128((__m128i *)&bytes[1][t][i],
			                _mm512_cvtepi32_epi8((__m512i)(v >> 8)));
		}
	for (int k = 0; k < 2; k++) {
		int *out = k ? high : low;
		VF v[SIDE];

		UNROLL for (int t = 0; t < SIDE; t++)
			v[t] = LOADF((const float *)(const void *)bytes[k][t]);
		turn(v);
		for (int i = 0; i < n / 4; i++)
			STOREI(ASI(v[i]), out + i * SIDE);
	}
}

KERNEL(codes_prepare)(ITEM const float *x, ulong x_at, int *q, ulong q_at, int n_rows, int n_in,
                      int group)
{
	int all = n_in / group, chunks = (all + SIDE - 1) / SIDE;
	int t0 = (int)(ITEM_ID / (ulong)chunks) * SIDE, c = (int)(ITEM_ID % (ulong)chunks);
	int groups = min_int(all - c * SIDE, SIDE), tokens = min_int(n_rows - t0, SIDE);
	const float *from = x + x_at + (long)t0 * n_in + (long)c * SIDE * group;
	int *out = q + q_at + ITEM_ID * (8 * group + 32) * SIDE, *pairs = out + 2 * TILE;
	float scale[TILE] ALIGNED, total[TILE] ALIGNED, inv[TILE] ALIGNED;

	memset(scale, 0, sizeof scale);
	memset(total, 0, sizeof total);
	for (int t = 0; t < tokens; t++) {
		VF v;

		measure(from + (long)t * n_in, group, groups, scale + t * SIDE, total + t * SIDE, &v);
		STOREF(v, inv + t * SIDE);
	}
	put_turned(scale, (float *)(void *)out);
	put_turned(total, (float *)(void *)out + TILE);
	for (int g = 0; g < groups; g++, pairs += group / 2 * SIDE)
		for (int i = 0; i < group; i += STEP)
			put_bytes(from + g * group + i, n_in, tokens, inv + g, min_int(group - i, STEP),
			          pairs + i / 4 * SIDE, pairs + (group + i) / 4 * SIDE);
}

/* ---- weights */
struct product {
	const uchar *w, *s, *b;
	const int *q;
	float *y;
	const float *bias;
	ulong bias_at;
	int s_type, flags, n_rows, n_out, n_in, bits, group, row;
	/* of 64 rows: codes as bytes [row tile][group][16][group], scales and
	 * biases [row tile][group][16], sums of a token tile */
	uchar *codes;
	float *scale, *base;
	int *sums;             /* [2][4] tiles on their way */
	float *acc;            /* [PAIRS][SPAN][LEVELS][2] tiles: a lane's, then more lanes' */
};

/* Eight codes of `bits` fill `bits` bytes: each group of eight bytes is
 * spread over a 64-bit lane and shifted apart. */
struct spread { __m512i bytes, shifts, mask; };

static struct spread make_spread(int bits)
{
	uchar at[STEP], by[STEP];

	for (int i = 0; i < STEP; i++) {
		at[i] = (uchar)(i / 8 * bits + i % 8);
		by[i] = (uchar)(i % 8 * bits);
	}
	return (struct spread){ _mm512_loadu_si512(at), _mm512_loadu_si512(by),
		                _mm512_set1_epi8((char)((1 << bits) - 1)) };
}

/* n codes, a multiple of 8, of at most 64. */
static inline __m512i read_codes(const struct spread *s, const uchar *p, int bits, int n)
{
	__m512i v = _mm512_maskz_loadu_epi8(~0ull >> (64 - n / 8 * bits), p);

	v = _mm512_multishift_epi64_epi8(s->shifts, _mm512_permutexvar_epi8(s->bytes, v));
	return _mm512_and_si512(v, s->mask);
}

static VF some_scales(int type, const uchar *s, long at, int n)
{
	return n < SIDE ? load_stored_few(type, s, (ulong)at, n) : load_stored(type, s, (ulong)at);
}

static void unpack_row(const struct product *p, int r)
{
	struct spread s = make_spread(p->bits);
	long row = min_int(p->row + r, p->n_out - 1), groups = p->n_in / p->group;
	const uchar *from = p->w + row * (p->n_in / 8) * p->bits;
	uchar *to = p->codes + (long)(r / SIDE) * SIDE * p->n_in + r % SIDE * p->group;
	float *scale = p->scale + r / SIDE * groups * SIDE + r % SIDE;
	float *base = p->base + r / SIDE * groups * SIDE + r % SIDE;

	for (int g = 0; g < groups; g++, to += (long)SIDE * p->group) {
		for (int i = 0; i < p->group; i += STEP) {
			int n = min_int(p->group - i, STEP);

			PREFETCH(from + AHEAD / 2);
			_mm512_mask_storeu_epi8(to + i, ~0ull >> (64 - n),
			                        read_codes(&s, from, p->bits, n));
			from += n / 8 * p->bits;
		}
		if (g % SIDE == 0) {
			int n = min_int((int)groups - g, SIDE);
			VF v = some_scales(p->s_type, p->s, row * groups + g, n);
			VF u = some_scales(p->s_type, p->b, row * groups + g, n);

			for (int i = 0; i < n; i++) {
				scale[(g + i) * SIDE] = v[i];
				base[(g + i) * SIDE] = u[i];
			}
		}
	}
}

/* ---- sums: tiles 0 to 3 are low and high sums of two row tiles, 4 and 5
 * codes, 6 and 7 low and high bytes */
static void set_shape(int group)
{
	struct shape s = { .palette = 1 };
	int columns = min_int(group, STEP);

	for (int i = 0; i < 8; i++) {
		s.rows[i] = (uint8_t)(i < 6 ? SIDE : columns / 4);
		s.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? columns : 4 * SIDE);
	}
	load_shape(&s);
}

/* The sums of one group of a pair of row tiles, whose codes are loaded where
 * the group is one step. */
INLINE void multiply(const uchar *a, long next_a, const int *b, int group, int load, int *sums)
{
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	for (int i = 0; i < group; i += STEP) {
		if (load || group > STEP) {
			_tile_loadd(4, a + i, group);
			_tile_loadd(5, a + next_a + i, group);
		}
		_tile_loadd(6, b + i / 4 * SIDE, 64);
		_tile_loadd(7, b + (group + i) / 4 * SIDE, 64);
		_tile_dpbuud(0, 4, 6);
		_tile_dpbusd(1, 4, 7);
		_tile_dpbuud(2, 5, 6);
		_tile_dpbusd(3, 5, 7);
	}
	_tile_stored(0, sums, 64);
	_tile_stored(1, sums + TILE, 64);
	_tile_stored(2, sums + PAIR, 64);
	_tile_stored(3, sums + PAIR + TILE, 64);
}

/* acc [16 rows][16 tokens] += scale * step * sum + base * total */
INLINE void scale_tile(float *acc, const int *sums, const float *scale, const float *base, VF step,
                       VF total)
{
	UNROLL for (int r = 0; r < SIDE; r++) {
		VI d = LOADI(sums + r * SIDE) + (LOADI(sums + TILE + r * SIDE) << 8);
		VF v = FMA(TOFLOAT(d), SPLATF(scale[r]) * step, LOADF(acc + r * SIDE));

		STOREF(FMA(SPLATF(base[r]), total, v), acc + r * SIDE);
	}
}

/* Sums on their way to a pair of row tiles. */
struct step {
	const int *sums;
	float *acc;
	const float *inputs, *scale, *base;
};

INLINE void scale_step(const struct step *s, long next)
{
	VF step = LOADF(s->inputs), total = LOADF(s->inputs + TILE);

	if (!s->sums)
		return;
	scale_tile(s->acc, s->sums, s->scale, s->base, step, total);
	scale_tile(s->acc + TILE, s->sums + PAIR, s->scale + next, s->base + next, step, total);
}

/* A lane is done: its sums join those of their neighbours, as carries do when
 * counting; the next lane starts at 0. */
static void end_lane(float *acc, int lane)
{
	float *to = acc + PAIR;
	int levels = 0;

	while (lane >> levels & 1)
		levels++;
	for (int i = 0; i < PAIR; i += SIDE) {
		VF v = LOADF(acc + i);

		for (int k = 0; k < levels; k++)
			v = LOADF(to + k * PAIR + i) + v;
		STOREF(v, to + levels * PAIR + i);
		STOREF(SPLATF(0.0f), acc + i);
	}
}

/* The sums of 16 rows and a token tile as results. */
static void put_tile(const struct product *p, const float *sums, int r, int t)
{
	VF v[SIDE];

	UNROLL for (int i = 0; i < SIDE; i++)
		v[i] = LOADF(sums + i * SIDE);
	turn(v);
	put_results(v, min_int(p->n_rows - t, SIDE), p->y + (long)t * p->n_out, p->n_out,
	            p->row + r, p->bias, p->bias_at, p->flags);
}

/* One group of n token tiles from q on, `far` words apart. A step's sums are
 * scaled while the unit works on the next one's. */
static void sum_group(const struct product *p, struct step *before, const int *q, long far, int n,
                      long g)
{
	long groups = p->n_in / p->group, next = (long)SIDE * p->n_in, lane = g % SIDE;
	const int *in = q + PAIR + lane * (p->group / 2 * SIDE);

	for (int k = 0; k < PAIRS; k++) {
		const uchar *codes = p->codes + k * 2 * next + g * SIDE * p->group;

		for (int t = 0; t < n; t++) {
			int *sums = p->sums + (k * n + t) % 2 * 2 * PAIR;
			struct step now = {
				sums, p->acc + (k * SPAN + t) * LEVELS * PAIR,
				(const float *)(const void *)(q + t * far) + lane * SIDE,
				p->scale + (2 * k * groups + g) * SIDE,
				p->base + (2 * k * groups + g) * SIDE,
			};

			multiply(codes, next, in + t * far, p->group, t == 0, sums);
			scale_step(before, groups * SIDE);
			*before = now;
		}
	}
}

/* n <= SPAN token tiles from token t on. */
static void sum_tokens(const struct product *p, int t, int n)
{
	long groups = p->n_in / p->group, chunks = (groups + SIDE - 1) / SIDE;
	long chunk = (long)(8 * p->group + 32) * SIDE;
	const int *q = p->q + t / SIDE * chunks * chunk;
	struct step before;

	for (int k = 0; k < PAIRS * SPAN; k++)
		memset(p->acc + k * LEVELS * PAIR, 0, PAIR * sizeof *p->acc);
	for (int lane = 0; lane < SIDE; lane++) {
		before = (struct step){ 0, 0, p->acc, 0, 0 };
		for (long g = lane; g < groups; g += SIDE)
			sum_group(p, &before, q + g / SIDE * chunk, chunks * chunk, n, g);
		scale_step(&before, groups * SIDE);
		for (int k = 0; k < PAIRS * SPAN; k++)
			if (k % SPAN < n)
				end_lane(p->acc + k * LEVELS * PAIR, lane);
	}
	for (int k = 0; k < PAIRS * SPAN; k++)
		for (int i = 0; i < 2 && k % SPAN < n; i++)
			put_tile(p, p->acc + (k * LEVELS + LEVELS - 1) * PAIR + i * TILE,
			         (k / SPAN * 2 + i) * SIDE, t + k % SPAN * SIDE);
}

KERNEL(codes_tile)(ITEM const uchar *w, ulong w_at, const uchar *s, ulong s_at, const uchar *b,
                   ulong b_at, int s_type, const int *q, ulong q_at, float *y, ulong y_at,
                   const float *bias, ulong bias_at, int flags, int n_rows, int n_out, int n_in,
                   int bits, int group, int *scratch)
{
	enum { ROWS_AT_ONCE = 2 * PAIRS * SIDE };
	struct product p = { w + w_at, s + s_at, b + b_at, q + q_at, y + y_at, bias, bias_at,
	                     s_type, flags, n_rows, n_out, n_in, bits, group,
	                     (int)ITEM_ID * ROWS_AT_ONCE, 0, 0, 0, 0, 0 };

	p.sums = scratch;
	p.acc = (float *)(void *)(scratch + SPAN * 2 * PAIR);
	p.scale = p.acc + PAIRS * SPAN * LEVELS * PAIR;
	p.base = p.scale + ROWS_AT_ONCE * (n_in / group);
	p.codes = (uchar *)(void *)(p.base + ROWS_AT_ONCE * (n_in / group));
	for (int r = 0; r < ROWS_AT_ONCE; r++)
		unpack_row(&p, r);
	set_shape(group);
	for (int t = 0; t < n_rows; t += SPAN * SIDE)
		sum_tokens(&p, t, min_int((n_rows - t + SIDE - 1) / SIDE, SPAN));
	_tile_release();
}
