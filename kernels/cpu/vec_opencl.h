/* SPDX-License-Identifier: MIT */
/* vec_opencl.h - the names of vec.h in OpenCL C 1.2 */
#ifndef WIDTH
#define WIDTH 16
#endif
#pragma OPENCL FP_CONTRACT OFF
#define NAME(name) name
#define ENTRY __kernel void
#define ITEM
#define ITEM_ID ((ulong)get_global_id(0))
#define LOCAL __local
/* these texts are for CPUs, where memory is one */
#define AS_GLOBAL(p) ((__global const uchar *)(size_t)(p))
#define AS_LOCAL(p) ((__local int *)(size_t)(p))
#define AS_LOCAL_FLOAT(p) ((__local float *)(size_t)(p))
#define ALIGNED __attribute__((aligned(64)))
#define UNROLL _Pragma("unroll")
#define IN_ORDER
#define VF CAT(float, WIDTH)
#define VI CAT(int, WIDTH)
#define VU CAT(uint, WIDTH)
#define LOADF(p) CAT(vload, WIDTH)(0, p)
#define LOADI(p) CAT(vload, WIDTH)(0, p)
#define LOADU(p) CAT(vload, WIDTH)(0, p)
#define STOREF(v, p) CAT(vstore, WIDTH)(v, 0, p)
#define STOREI(v, p) CAT(vstore, WIDTH)(v, 0, p)
/* from __global const uchar *, aligned as the element is */
#define LOADF_AT(p) CAT(vload, WIDTH)(0, (__global const float *)(p))
#define LOADU_AT(p) CAT(vload, WIDTH)(0, (__global const uint *)(p))
#define LOADHALF(p) CAT(vload_half, WIDTH)(0, (__global const half *)(p))
#define LOAD16(p) CAT(convert_uint, WIDTH)(CAT(vload, WIDTH)(0, (__global const ushort *)(p)))
#define LOAD8(p) CAT(convert_uint, WIDTH)(CAT(vload, WIDTH)(0, p))
#define STORE16(v, p) CAT(vstore, WIDTH)(CAT(convert_ushort, WIDTH)(v), 0, p)
#define TOFLOAT CAT(convert_float, WIDTH)
/* of each 16 bits */
#define HALVES_RIGHT(v, n) (((v) >> (n)) & SPLATU(0x00010001u * (0xffffu >> (n))))
#define ASU CAT(as_uint, WIDTH)
#define ASI CAT(as_int, WIDTH)
#define ASF CAT(as_float, WIDTH)
#define FMA fma
#define SPLATF(x) (VF)(x)
#define SPLATI(x) (VI)(x)
#define SPLATU(x) (VU)(x)
#define EVENS(a, b) (__typeof__(a))((a).even, (b).even)
#define ODDS(a, b) (__typeof__(a))((a).odd, (b).odd)
#define FIRST(v) (v).s0
#define VCONST(...) (VU)(__VA_ARGS__)
#define SQRT(x) sqrt(x)
#define PERMUTE(v, ...) shuffle(v, (VU)(__VA_ARGS__))
#if WIDTH == 16
#define LANES (VI)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#elif WIDTH == 8
#define LANES (VI)(0, 1, 2, 3, 4, 5, 6, 7)
#else
#define LANES (VI)(0, 1, 2, 3)
#endif
#if defined(__x86_64__) || defined(__aarch64__)
#define PREFETCH(p) __builtin_prefetch((const void *)(size_t)(p))
#define PREFETCH_FAR(p) __builtin_prefetch((const void *)(size_t)(p), 0, 2)
#else
#define PREFETCH(p)
#define PREFETCH_FAR(p)
#endif

/* acc + the two 16-bit products of each lane; a's halves are not negative. */
static inline VI dot2(VI acc, VU a, VI b)
{
#if defined(VNNI) && WIDTH == 16 /* the host has asked the processor */
	__asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
	return acc;
#elif defined(__AVX512BW__) && WIDTH == 16
	typedef short vshort __attribute__((ext_vector_type(32)));
	return acc + __builtin_astype(__builtin_ia32_pmaddwd512(
		__builtin_astype(a, vshort), __builtin_astype(b, vshort)), VI);
#elif defined(__AVX2__) && WIDTH == 8
	typedef short vshort __attribute__((ext_vector_type(16)));
	return acc + __builtin_astype(__builtin_ia32_pmaddwd256(
		__builtin_astype(a, vshort), __builtin_astype(b, vshort)), VI);
#else
	return acc + ASI(a & SPLATU(0xffff)) * ((b << 16) >> 16) + ASI(a >> 16) * (b >> 16);
#endif
}
