/* SPDX-License-Identifier: MIT */
/* vec_gnu.h - the names of vec.h in GNU C, one object per instruction set.
 *
 * ISA is the set's name; what the compiler may use says -march. "plain" uses
 * no intrinsics and serves every machine. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ISA_IS_plain 1
#define IS_PLAIN CAT(ISA_IS_, ISA)
#if IS_PLAIN
#define WIDTH 4
#else
#include <immintrin.h>
#if defined(__AVX512BW__)
#define WIDTH 16
#elif defined(__AVX2__)
#define WIDTH 8
#else
#define WIDTH 4
#endif
#endif

#define NAME(name) CAT(name##_, ISA)
#define ENTRY void
#define ITEM size_t item_id,
#define ITEM_ID item_id
#define __global
#define LOCAL
#define AS_GLOBAL(p) ((const uchar *)(p))
#define AS_LOCAL(p) (p)
#define AS_LOCAL_FLOAT(p) (p)
#define ALIGNED __attribute__((aligned(64)))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#define PREFETCH(p) __builtin_prefetch(p)
/* What is before it is not mixed with what follows, where that costs registers. */
#define IN_ORDER __asm__ volatile("" ::: "memory")
#define PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2) /* into the second cache */
#define PREFETCH_PAST(p) __builtin_prefetch(p, 0, 0) /* into the first, past the others */
/* A vector that several instructions use is loaded once, not by each of them. */
#if defined(__x86_64__) && !IS_PLAIN
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

typedef unsigned char uchar;
typedef unsigned int uint;
typedef uint16_t ushort;
typedef uint64_t ulong;
typedef float VF __attribute__((vector_size(4 * WIDTH)));
typedef int VI __attribute__((vector_size(4 * WIDTH)));
typedef uint VU __attribute__((vector_size(4 * WIDTH)));
typedef float any_vf __attribute__((vector_size(4 * WIDTH), aligned(1), may_alias));
typedef int any_vi __attribute__((vector_size(4 * WIDTH), aligned(1), may_alias));
typedef uint any_vu __attribute__((vector_size(4 * WIDTH), aligned(1), may_alias));
typedef uint16_t any_v16 __attribute__((vector_size(2 * WIDTH), aligned(1), may_alias));
typedef uint8_t any_v8 __attribute__((vector_size(WIDTH), aligned(1), may_alias));

#define LOADF(p) ((VF)*(const any_vf *)(p))
#define LOADI(p) ((VI)*(const any_vi *)(p))
#define LOADU(p) ((VU)*(const any_vu *)(p))
#define STOREF(v, p) (*(any_vf *)(p) = (v))
#define STOREI(v, p) (*(any_vi *)(p) = (v))
#define LOADF_AT(p) LOADF(p)
#define LOADU_AT(p) LOADU(p)
#define TOFLOAT(v) __builtin_convertvector(v, VF)
typedef uint16_t halves __attribute__((vector_size(4 * WIDTH)));
#define HALVES_RIGHT(v, n) ((VU)((halves)(v) >> (n))) /* of each 16 bits */
#define ASU(v) ((VU)(v))
#define ASI(v) ((VI)(v))
#define ASF(v) ((VF)(v))
#define SPLATF(x) ((x) - (VF){0})
#define SPLATI(x) ((x) - (VI){0})
#define SPLATU(x) ((uint)(x) - (VU){0})
#define FIRST(v) ((v)[0])
#define VCONST(...) ((VU){__VA_ARGS__})
#define SQRT(x) __builtin_sqrtf(x)
#define PERMUTE(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__)

#if WIDTH == 16
#define EVENS(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, \
	16, 18, 20, 22, 24, 26, 28, 30)
#define ODDS(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, \
	17, 19, 21, 23, 25, 27, 29, 31)
#define LANES ((VI){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
#define FMA(a, b, c) ((VF)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define MAXF(a, b) ((VF)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define LOADHALF(p) ((VF)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p))))
#define LOAD16(p) ((VU)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))))
#define LOAD8(p) ((VU)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define STORE16(v, p) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtepi32_epi16((__m512i)(v)))
#elif WIDTH == 8
#define EVENS(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODDS(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define NEAR_EVENS(a, b) __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14)
#define NEAR_ODDS(a, b) __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15)
#define LOWER(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define UPPER(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
/* 16 bytes at p and 16 `second` after it; of each of the two the bytes that are named */
#define LOAD_TWO(p, second) ((VU)_mm256_inserti128_si256(_mm256_castsi128_si256( \
	_mm_loadu_si128((const __m128i *)(p))), _mm_loadu_si128((const __m128i *)((p) + (second))), 1))
#define PICK_BYTES(v, ...) ((VU)_mm256_shuffle_epi8((__m256i)(v), \
	_mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))))
/* 16-bit halves: the upper ones of b; times numbers, of each four */
#define UPPER_HALVES(a, b) ((VU)_mm256_blend_epi16((__m256i)(a), (__m256i)(b), 0xaa))
#define HALVES_TIMES(v, a, b, c, d) ((VU)_mm256_mullo_epi16((__m256i)(v), \
	_mm256_setr_epi16(a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d)))
#define LANES ((VI){0, 1, 2, 3, 4, 5, 6, 7})
#define FMA(a, b, c) ((VF)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define MAXF(a, b) ((VF)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define LOADHALF(p) ((VF)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p))))
#define LOAD16(p) ((VU)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define LOAD8(p) ((VU)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#else
#define EVENS(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODDS(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define LANES ((VI){0, 1, 2, 3})
#define FMA(a, b, c) ((a) * (b) + (c))
#if !IS_PLAIN
#define MAXF(a, b) ((VF)_mm_max_ps((__m128)(a), (__m128)(b)))
#endif
#define LOADHALF(p) half_lanes(LOAD16(p))
#define LOAD16(p) __builtin_convertvector(*(const any_v16 *)(p), VU)
#define LOAD8(p) __builtin_convertvector(*(const any_v8 *)(p), VU)
#endif
#ifndef STORE16
#define STORE16(v, p) (*(any_v16 *)(p) = __builtin_convertvector(v, any_v16))
#endif

/* acc + the two 16-bit products of each lane; a's halves are not negative. */
static inline VI dot2(VI acc, VU a, VI b)
{
#if IS_PLAIN
	return acc + ASI(a & SPLATU(0xffff)) * (b << 16 >> 16) + ASI(a >> 16) * (b >> 16);
#elif WIDTH == 16 && defined(__AVX512VNNI__)
	return (VI)_mm512_dpwssd_epi32((__m512i)acc, (__m512i)a, (__m512i)b);
#elif WIDTH == 16
	return acc + (VI)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif WIDTH == 8
	return acc + (VI)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
	return acc + (VI)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
}

#if WIDTH == 16
/* FMA(u, v, acc) in acc's own register: else sums change theirs beside those. */
static inline VF fma_in(VF u, VF v, VF acc)
{
	__asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(v), "v"(u));
	return acc;
}
#define FMA_IN fma_in
#endif

#if WIDTH == 16 && defined(__AVX512VNNI__)
/* FMA(SPLATF(*p), v, acc) and dot2(acc, SPLATU(*p), v), whose factor comes from
 * memory with no instruction of its own. Processors before those with VNNI
 * are slower by it. */
static inline VF fma_by(const float *p, VF v, VF acc)
{
	__asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(v), "m"(*p));
	return acc;
}

static inline VI dot2_by(const int *p, VI v, VI acc)
{
	__asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(v), "m"(*p));
	return acc;
}
#define FMA_BY fma_by
#define DOT2_BY dot2_by
#endif
