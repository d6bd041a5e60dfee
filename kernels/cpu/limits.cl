/* SPDX-License-Identifier: MIT */
/* limits.cl - what a core can do at most: read memory, fused products,
 * dots of 16-bit and of 8-bit integers. Nothing of use is computed.
 * p: n bytes of each item, n a multiple of 32 vectors; out: [items] f32 that
 * depend on all of the work, so that none of it is left out. */
#include "vec.h"

enum { STREAMS = 8, CHAINS = 12, READ_AHEAD = 4096 };

KERNEL(limit_read)(ITEM __global const uchar *p, ulong n, __global float *out)
{
	__global const uchar *from = p + ITEM_ID * n;
	VU acc[STREAMS];

	UNROLL for (int k = 0; k < STREAMS; k++)
		acc[k] = SPLATU(0);
	for (ulong i = 0; i < n; i += STREAMS * 4 * WIDTH) {
		UNROLL for (int k = 0; k < STREAMS * 4 * WIDTH; k += 64)
			PREFETCH(from + i + READ_AHEAD + k);
		UNROLL for (int k = 0; k < STREAMS; k++)
			acc[k] |= LOADU_AT(from + i + k * 4 * WIDTH);
	}
	UNROLL for (int k = 1; k < STREAMS; k++)
		acc[0] |= acc[k];
	out[ITEM_ID] = sum(TOFLOAT(ASI(acc[0])));
}

/* Chains that wait for nothing but themselves; `zero` is 0, which the
 * compiler cannot know. */
KERNEL(limit_fma)(ITEM int zero, int n, __global float *out)
{
	VF acc[CHAINS], keep = SPLATF((float)(zero + 1)), add = SPLATF((float)zero);

	UNROLL for (int k = 0; k < CHAINS; k++)
		acc[k] = SPLATF((float)(zero + k));
	for (int i = 0; i < n; i++)
		UNROLL for (int k = 0; k < CHAINS; k++)
			acc[k] = FMA(acc[k], keep, add);
	UNROLL for (int k = 1; k < CHAINS; k++)
		acc[0] += acc[k];
	out[ITEM_ID] = sum(acc[0]);
}

/* acc + the four products of each lane: bytes without a sign by bytes with. */
static inline VI dot_bytes(VI acc, VU a, VI b)
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

#define DOTS(dot) \
	VI acc[CHAINS]; \
	VU a = SPLATU(zero); \
	UNROLL for (int k = 0; k < CHAINS; k++) \
		acc[k] = SPLATI(zero + k); \
	for (int i = 0; i < n; i++) \
		UNROLL for (int k = 0; k < CHAINS; k++) \
			acc[k] = dot(acc[k], a, acc[k]); \
	UNROLL for (int k = 1; k < CHAINS; k++) \
		acc[0] += acc[k]; \
	out[ITEM_ID] = sum(TOFLOAT(acc[0]))

KERNEL(limit_dot16)(ITEM int zero, int n, __global float *out)
{
	DOTS(dot2);
}

KERNEL(limit_dot8)(ITEM int zero, int n, __global float *out)
{
	DOTS(dot_bytes);
}
