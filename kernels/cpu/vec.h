/* SPDX-License-Identifier: MIT */
/* vec.h - vectors of WIDTH 32-bit lanes under one set of names, in OpenCL C
 * and in GNU C, so that one text serves both.
 *
 * WIDTH must suit the machine: 16 with AVX-512, 8 with AVX2, else 4. In
 * OpenCL C the host sets it (default 16). A kernel is written
 *
 *     KERNEL(name)(ITEM __global const float *x, int n)
 *
 * and works on item get_global_id(0); as C it becomes NAME(name), an
 * ordinary function whose first argument is the item, with the instruction
 * set's name (ISA) at its end. No barriers; one work-item is one unit of
 * work; LOCAL memory is the thread's own.
 *
 * Sums of lanes are always taken as a tree of neighbours, and every fused
 * multiply-add is written as FMA(): the order and the rounding of a sum are
 * in the text, not in the compiler's choice. */
#ifndef CLM_VEC_H
#define CLM_VEC_H

#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)

#ifdef __OPENCL_C_VERSION__
#include "vec_opencl.h"
#else
#include "vec_gnu.h"
#endif

#ifndef FMA_IN
#define FMA_IN FMA
#endif
#ifndef FMA_BY
#define FMA_BY(p, v, acc) FMA_IN(SPLATF(*(p)), v, acc)
#endif
#ifndef DOT2_BY
#define DOT2_BY(p, v, acc) dot2(acc, ASU(SPLATI(*(p))), v)
#endif

#define KERNEL(name) ENTRY NAME(name)
#if defined(__clang__)
#define NOINLINE static __attribute__((noinline))
#else
#define NOINLINE static __attribute__((noinline, noclone))
#endif
#define INLINE static inline __attribute__((always_inline))

static inline int min_int(int a, int b)
{
	return a < b ? a : b;
}

#define PAGES_AHEAD 65536      /* bytes that pages are asked for ahead of their use */
#define SMALL_PAGE 4096

/* Asks for the first line of each page that begins in the n bytes `ahead` of p. A page
 * may be small to the processor even where the system gave a large one (a guest's memory
 * seldom is what it seems), and until its place is found, no line of it is on its way. */
INLINE void fetch_pages(__global const uchar *p, ulong ahead, ulong n)
{
	for (ulong i = (0 - (ulong)(size_t)p - ahead) % SMALL_PAGE; i < n; i += SMALL_PAGE)
		PREFETCH_FAR(p + ahead + i);
}

/* Lanes added in a tree of neighbours: (0+1)+(2+3) ... */
static inline VF add_neighbours(VF a, VF b)
{
	return EVENS(a, b) + ODDS(a, b);
}

static inline float sum(VF v)
{
	for (int n = WIDTH; n > 1; n /= 2)
		v = add_neighbours(v, v);
	return FIRST(v);
}

/* Lane i of the result is sum(v[i]); v is used up. */
static inline VF sum_each(VF v[WIDTH])
{
	UNROLL for (int n = WIDTH / 2; n > 0; n /= 2)
		UNROLL for (int i = 0; i < n; i++)
			v[i] = add_neighbours(v[2 * i], v[2 * i + 1]);
	return v[0];
}

/* The first n < WIDTH floats at p, zeros after them. */
static inline VF load_few(__global const float *p, int n)
{
	float t[WIDTH];

	for (int i = 0; i < WIDTH; i++)
		t[i] = i < n ? p[i] : 0;
	return LOADF(t);
}

static inline void store_few(VF v, __global float *p, int n)
{
	float t[WIDTH];

	STOREF(v, t);
	for (int i = 0; i < n; i++)
		p[i] = t[i];
}

/* v[i], lane k becomes v[k], lane i. */
INLINE void turn(VF v[WIDTH])
{
	VF t[WIDTH];

#if WIDTH == 8
	/* in fours, then their halves: what crosses the halves of a vector is dearer */
	UNROLL for (int i = 0; i < WIDTH; i += 4) {
		UNROLL for (int k = 0; k < 4; k += 2) {
			t[i + k] = NEAR_EVENS(v[i + k], v[i + k + 1]);
			t[i + k + 1] = NEAR_ODDS(v[i + k], v[i + k + 1]);
		}
		UNROLL for (int k = 0; k < 2; k++) {
			v[i + k] = NEAR_EVENS(t[i + k], t[i + k + 2]);
			v[i + k + 2] = NEAR_ODDS(t[i + k], t[i + k + 2]);
		}
	}
	UNROLL for (int i = 0; i < 4; i++) {
		t[i] = LOWER(v[i], v[i + 4]);
		v[i + 4] = UPPER(v[i], v[i + 4]);
		v[i] = t[i];
	}
#else
	UNROLL for (int round = 1; round < WIDTH; round *= 2) {
		UNROLL for (int i = 0; i < WIDTH / 2; i++) {
			t[i] = EVENS(v[2 * i], v[2 * i + 1]);
			t[WIDTH / 2 + i] = ODDS(v[2 * i], v[2 * i + 1]);
		}
		UNROLL for (int i = 0; i < WIDTH; i++)
			v[i] = t[i];
	}
#endif
}

/* Lanes below n keep their value, the others become zero. */
static inline VF keep_first(VF v, int n)
{
	return ASF(ASI(v) & (LANES < SPLATI(n)));
}

static inline VF pick_lanes(VI mask, VF yes, VF no)
{
	return ASF((ASI(yes) & mask) | (ASI(no) & ~mask));
}

/* a where a > b, else b, also where either is not a number. */
static inline VF max_lanes(VF a, VF b)
{
#ifdef MAXF
	return MAXF(a, b);
#else
	return pick_lanes(a > b, a, b);
#endif
}

static inline float max_of(VF v)
{
	float t[WIDTH], m;

	STOREF(v, t);
	m = t[0];
	UNROLL for (int i = 1; i < WIDTH; i++)
		m = t[i] > m ? t[i] : m;
	return m;
}

/* To the nearest integer, ties to even; |v| < 2^22. */
static inline VI round_lanes(VF v)
{
	return ASI(v + SPLATF(12582912.0f)) - SPLATI(0x4b400000);
}

/* e^x for x <= 0, relative error 2e-7; 0 below -87. */
static inline VF exp_lanes(VF x)
{
	VF f, p;
	VI low = x < SPLATF(-87.0f), i = round_lanes(x * SPLATF(1.44269504f));

	/* x - i ln 2 in two steps, so that large |x| lose nothing; what comes of
	 * lanes that are low is not looked at */
	f = FMA(TOFLOAT(i), SPLATF(-0.693145752f), x);
	f = FMA(TOFLOAT(i), SPLATF(-1.42860677e-6f), f);
	p = SPLATF(1.98412698e-4f);
	p = FMA(p, f, SPLATF(1.38888889e-3f));
	p = FMA(p, f, SPLATF(8.33333333e-3f));
	p = FMA(p, f, SPLATF(4.16666667e-2f));
	p = FMA(p, f, SPLATF(0.166666667f));
	p = FMA(p, f, SPLATF(0.5f));
	p = FMA(p, f, SPLATF(1.0f));
	p = FMA(p, f, SPLATF(1.0f));
	return ASF(ASI(p * ASF((i + SPLATI(127)) << 23)) & ~low);
}

static inline VF magnitude(VF x)
{
	return ASF(ASI(x) & SPLATI(0x7fffffff));
}

static inline VF with_sign(VF size, VF of)
{
	return ASF(ASI(size) | (ASI(of) & SPLATI((int)0x80000000)));
}

static inline VF tanh_lanes(VF x)
{
	VF e = exp_lanes(magnitude(x) * SPLATF(-2.0f)), one = SPLATF(1.0f);

	return with_sign((one - e) / (one + e), x);
}

/* cap * tanh(x / cap), or x where cap is 0. */
static inline VF soft_capped(VF x, float cap)
{
	return cap > 0 ? SPLATF(cap) * tanh_lanes(x / SPLATF(cap)) : x;
}

/* f16 bits in the low half of each lane to f32, all values exact. */
static inline VF half_lanes(VU h)
{
	VU rest = h & SPLATU(0x7fff);
	VF f = ASF(rest << 13) * SPLATF(5.192296858534828e33f); /* 2^112 */
	VU big = ASU(ASI(rest) > SPLATI(0x7bff)) & SPLATU(0x7f800000);

	return ASF(ASU(f) | big | (h & SPLATU(0x8000)) << 16);
}

/* f32 to f16 bits, to nearest, ties to even. */
static inline VU to_half_lanes(VF v)
{
	VU sign = ASU(v) & SPLATU(0x80000000), u = ASU(v) ^ sign;
	VU small = ASU(ASF(u) + SPLATF(0.5f)) - SPLATU(0x3f000000);
	VU usual = (u + SPLATU(0xc8000fff) + ((u >> 13) & SPLATU(1))) >> 13;
	VU huge = SPLATU(0x7c00) | (ASU(ASI(u) > SPLATI(0x7f800000)) & SPLATU(0x200));
	VU is_small = ASU(ASI(u) < SPLATI(0x38800000));
	VU is_huge = ASU(ASI(u) > SPLATI(0x477fefff));

	u = (usual & ~is_small) | (small & is_small);
	return (u & ~is_huge) | (huge & is_huge) | sign >> 16;
}

/* f8 in the low byte of each lane. E4M3 has no infinity; 0x7f is not a
 * number. E5M2 is the high half of an f16. */
static inline VF e4m3_lanes(VU b)
{
	VU rest = b & SPLATU(0x7f);
	VF f = ASF(rest << 20) * SPLATF(1.329227995784916e36f); /* 2^120 */
	VU bad = ASU(ASI(rest) > SPLATI(0x7e)) & SPLATU(0x7fc00000);

	return ASF(ASU(f) | bad | (b & SPLATU(0x80)) << 24);
}

static inline VF e5m2_lanes(VU b)
{
	return half_lanes(b << 8);
}

/* acc + the four products of each lane: bytes without a sign by bytes
 * with. Without VNNI the sum of two neighbours must fit 16 bits. */
static inline VI dot4(VI acc, VU a, VI b)
{
#if defined(__OPENCL_C_VERSION__) && defined(VNNI) && WIDTH == 16
	__asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
	return acc;
#elif defined(__OPENCL_C_VERSION__) || IS_PLAIN
	UNROLL for (int k = 0; k < 32; k += 8)
		acc += ASI((a >> k) & SPLATU(0xff)) * (b << (24 - k) >> 24);
	return acc;
#elif WIDTH == 16 && defined(__AVX512VNNI__)
	return (VI)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)a, (__m512i)b);
#elif WIDTH == 16
	return acc + (VI)_mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)a, (__m512i)b),
	                                   _mm512_set1_epi16(1));
#elif WIDTH == 8
	return acc + (VI)_mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)a, (__m256i)b),
	                                   _mm256_set1_epi16(1));
#else
	return acc + (VI)_mm_madd_epi16(_mm_maddubs_epi16((__m128i)a, (__m128i)b),
	                                _mm_set1_epi16(1));
#endif
}

/* The first n bytes of a line, zeros after them; reads nothing past them. */
enum { LINE_BYTES = 64 };
INLINE void copy_line(uchar *to, __global const uchar *from, int n)
{
	if (n >= LINE_BYTES)
		UNROLL for (int i = 0; i < LINE_BYTES; i += 4 * WIDTH)
			STOREI(ASI(LOADU_AT(from + i)), (int *)(to + i));
	else
		for (int i = 0; i < LINE_BYTES; i++)
			to[i] = i < n ? from[i] : 0;
}

/* WIDTH numbers of a stored type at p[at]. */
enum { STORED_F32, STORED_F16, STORED_BF16, STORED_E4M3, STORED_E5M2 };

static inline VF load_stored(int type, __global const uchar *p, ulong at)
{
	switch (type) {
	case STORED_F16:
		return LOADHALF(p + 2 * at);
	case STORED_BF16:
		return ASF(LOAD16(p + 2 * at) << 16);
	case STORED_E4M3:
		return e4m3_lanes(LOAD8(p + at));
	case STORED_E5M2:
		return e5m2_lanes(LOAD8(p + at));
	default:
		return LOADF_AT(p + 4 * at);
	}
}

static inline int stored_size(int type)
{
	return type == STORED_F32 ? 4 : type <= STORED_BF16 ? 2 : 1;
}

/* As load_stored() of the first n < WIDTH numbers, zeros after them; reads
 * nothing past them. */
static inline VF load_stored_few(int type, __global const uchar *p, ulong at, int n)
{
	uint t[WIDTH];
	int size = stored_size(type);

	for (int i = 0; i < WIDTH; i++)
		t[i] = 0;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < size; j++)
			t[i] |= (uint)p[(at + i) * size + j] << 8 * j;
	VU v = LOADU(t);
	switch (type) {
	case STORED_F16:
		return half_lanes(v);
	case STORED_BF16:
		return ASF(v << 16);
	case STORED_E4M3:
		return e4m3_lanes(v);
	case STORED_E5M2:
		return e5m2_lanes(v);
	default:
		return ASF(v);
	}
}

#endif
