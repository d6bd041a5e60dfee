/* SPDX-License-Identifier: MIT */
/* vec_opencl.h - the names of vec.h in OpenCL C 1.2 */
#ifndef WIDTH
#define WIDTH 16
#endif
#pragma OPENCL FP_CONTRACT OFF
#define NAME(name) name
#ifdef TEAM /* as functions of one kernel: team.cl */
#define ENTRY static void
#define ITEM ulong item_id,
#define ITEM_ID item_id
#else
#define ENTRY __kernel void
#define ITEM
#define ITEM_ID ((ulong)get_global_id(0))
#endif
#define LOCAL __local
/* these texts are for CPUs, where memory is one */
#define AS_GLOBAL(p) ((__global const uchar *)(size_t)(p))
#define AS_LOCAL(p) ((__local int *)(size_t)(p))
#define AS_LOCAL_FLOAT(p) ((__local float *)(size_t)(p))
#define ALIGNED __attribute__((aligned(64)))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)") /* early: then arrays are registers */
#else
#define UNROLL _Pragma("unroll")
#endif
#define IN_ORDER
#define IN_REGISTER(v) (void)(v)
#define VF CAT(float, WIDTH)
#define VI CAT(int, WIDTH)
#define VU CAT(uint, WIDTH)
/* A vector in any memory, aligned as its elements are: one load or store, as the
 * library's are of several parts. */
typedef float any_vf __attribute__((ext_vector_type(WIDTH), aligned(4)));
typedef int any_vi __attribute__((ext_vector_type(WIDTH), aligned(4)));
typedef uint any_vu __attribute__((ext_vector_type(WIDTH), aligned(4)));
#define OVERLOAD static inline __attribute__((overloadable, always_inline))
#define ANY_MEMORY(SPACE) \
	OVERLOAD VF load_f(SPACE const float *p) { return *(SPACE const any_vf *)p; } \
	OVERLOAD VI load_i(SPACE const int *p) { return *(SPACE const any_vi *)p; } \
	OVERLOAD VU load_u(SPACE const uint *p) { return *(SPACE const any_vu *)p; } \
	OVERLOAD void store_f(VF v, SPACE float *p) { *(SPACE any_vf *)p = v; } \
	OVERLOAD void store_i(VI v, SPACE int *p) { *(SPACE any_vi *)p = v; }
ANY_MEMORY(__global)
ANY_MEMORY(__local)
ANY_MEMORY(__private)
#define LOADF(p) load_f(p)
#define LOADI(p) load_i(p)
#define LOADU(p) load_u(p)
#define STOREF(v, p) store_f(v, p)
#define STOREI(v, p) store_i(v, p)
/* from __global const uchar *, aligned as the element is */
#define LOADF_AT(p) LOADF((__global const float *)(p))
#define LOADU_AT(p) LOADU((__global const uint *)(p))
typedef ushort any_v16 __attribute__((ext_vector_type(WIDTH), aligned(2)));
#define LOAD16(p) CAT(convert_uint, WIDTH)(*(__global const any_v16 *)(p))
#if defined(__AVX512F__) && WIDTH == 16
typedef short v16_of_half __attribute__((ext_vector_type(16)));
typedef short any_half __attribute__((ext_vector_type(16), aligned(2)));
/* of all lanes, by the rounding that is set */
#define LOADHALF(p) __builtin_ia32_vcvtph2ps512_mask( \
	(v16_of_half)*(__global const any_half *)(p), SPLATF(0.0f), (ushort)0xffff, 4)
#else
#define LOADHALF(p) CAT(vload_half, WIDTH)(0, (__global const half *)(p))
#endif
#define LOAD8(p) CAT(convert_uint, WIDTH)(CAT(vload, WIDTH)(0, p))
#define STORE16(v, p) CAT(vstore, WIDTH)(CAT(convert_ushort, WIDTH)(v), 0, p)
#define TOFLOAT CAT(convert_float, WIDTH)
/* of each 16 bits */
typedef ushort halves __attribute__((ext_vector_type(2 * WIDTH)));
#define HALVES_RIGHT(v, n) __builtin_astype(__builtin_astype(v, halves) >> (ushort)(n), VU)
#define ASU CAT(as_uint, WIDTH)
#define ASI CAT(as_int, WIDTH)
#define ASF CAT(as_float, WIDTH)
#define FMA fma
#define SPLATF(x) (VF)(x)
#define SPLATI(x) (VI)(x)
#define SPLATU(x) (VU)(x)
#if defined(__AVX512F__) && WIDTH == 16 && !defined(NO_ASM)
/* As the compiler is not told which lanes these are, it cannot make several such
 * steps one of its own, of more and slower instructions. */
static inline VU pick_of_two(VU a, VU lanes, VU b)
{
	__asm__("vpermt2d %2, %1, %0" : "+v"(a) : "v"(lanes), "v"(b));
	return a;
}
#define OF_TWO(a, b, ...) __builtin_astype(pick_of_two(__builtin_astype(a, VU), \
	(VU)(__VA_ARGS__), __builtin_astype(b, VU)), __typeof__(a))
#define EVENS(a, b) OF_TWO(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODDS(a, b) OF_TWO(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#else
#define EVENS(a, b) (__typeof__(a))((a).even, (b).even)
#define ODDS(a, b) (__typeof__(a))((a).odd, (b).odd)
#endif
#define MAXF(a, b) ((a) > (b) ? (a) : (b))
#define FIRST(v) (v).s0
#define VCONST(...) (VU)(__VA_ARGS__)
#define SQRT(x) sqrt(x)
#define PERMUTE(v, ...) shuffle(v, (VU)(__VA_ARGS__))
#if WIDTH == 16
#define LANES (VI)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#elif WIDTH == 8
#define NEAR_EVENS(a, b) (__typeof__(a))((a).s02, (b).s02, (a).s46, (b).s46)
#define NEAR_ODDS(a, b) (__typeof__(a))((a).s13, (b).s13, (a).s57, (b).s57)
#define LOWER(a, b) (__typeof__(a))((a).lo, (b).lo)
#define UPPER(a, b) (__typeof__(a))((a).hi, (b).hi)
#define LANES (VI)(0, 1, 2, 3, 4, 5, 6, 7)
#else
#define LANES (VI)(0, 1, 2, 3)
#endif
#if defined(__x86_64__) || defined(__aarch64__)
#define PREFETCH(p) __builtin_prefetch((const void *)(size_t)(p))
#define PREFETCH_FAR(p) __builtin_prefetch((const void *)(size_t)(p), 0, 2)
#define PREFETCH_PAST(p) __builtin_prefetch((const void *)(size_t)(p), 0, 0)
#else
#define PREFETCH(p)
#define PREFETCH_FAR(p)
#define PREFETCH_PAST(p)
#endif

/* acc + the two 16-bit products of each lane; a's halves are not negative. */
static inline VI dot2(VI acc, VU a, VI b)
{
#if defined(VNNI) && WIDTH == 16 /* the host has asked the processor */
	__asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
	return acc;
#elif defined(__AVX512BW__) && WIDTH == 16
	typedef short vshort __attribute__((ext_vector_type(32)));
	acc += __builtin_astype(__builtin_ia32_pmaddwd512(
		__builtin_astype(a, vshort), __builtin_astype(b, vshort)), VI);
#ifndef NO_ASM
	/* sums in the text's order: else all products wait in memory for a tree of sums */
	__asm__("" : "+v"(acc));
#endif
	return acc;
#elif defined(__AVX2__) && WIDTH == 8
	typedef short vshort __attribute__((ext_vector_type(16)));
	return acc + __builtin_astype(__builtin_ia32_pmaddwd256(
		__builtin_astype(a, vshort), __builtin_astype(b, vshort)), VI);
#else
	return acc + ASI(a & SPLATU(0xffff)) * ((b << 16) >> 16) + ASI(a >> 16) * (b >> 16);
#endif
}
