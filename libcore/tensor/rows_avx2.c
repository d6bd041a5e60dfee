/* SPDX-License-Identifier: MIT */
/* rows_avx2.c - the hot loops of quantization for x86 processors with AVX2,
 * F16C and BMI2. Lanes, their order and every rounding are rows.c's; min
 * and max give their second operand for a NaN, as its comparisons do. */
#include "tensor/rows.h"

#if defined(__x86_64__)
#include "tensor/blocks.h"

#include <immintrin.h>

#define WIDE __attribute__((target("avx2,f16c,bmi2")))
#define INLINE WIDE __attribute__((always_inline)) static inline

WIDE static void f16_decode(float *out, const unsigned char *in, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m256 v = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in + 2 * i)));

		_mm256_storeu_ps(out + i, v);
		/* a NaN keeps its bits in plain C, and is quieted here */
		if (_mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)))
			for (size_t k = i; k < i + 8; k++)
				out[k] = f32_of_f16(load_u16(in + 2 * k));
	}
	for (; i < n; i++)
		out[i] = f32_of_f16(load_u16(in + 2 * i));
}

WIDE static void ranges(float *lo, float *hi, const float *w, size_t n, unsigned group)
{
	for (size_t g = 0; g < n; g++, w += group) {
		__m256 a = _mm256_loadu_ps(w), b = a;
		float x[8], y[8];

		for (unsigned i = 8; i < group; i += 8) {
			__m256 v = _mm256_loadu_ps(w + i);

			a = _mm256_min_ps(v, a);
			b = _mm256_max_ps(v, b);
		}
		_mm256_storeu_ps(x, a);
		_mm256_storeu_ps(y, b);
		for (unsigned j = 1; j < 8; j++) {
			x[0] = x[j] < x[0] ? x[j] : x[0];
			y[0] = y[j] > y[0] ? y[j] : y[0];
		}
		lo[g] = x[0];
		hi[g] = y[0];
	}
}

WIDE static void scales(float *scale, float *bias, const float *lo, const float *hi, size_t n,
                        float top)
{
	const __m256 sign = _mm256_set1_ps(-0.0f), least = _mm256_set1_ps(1e-7f);
	const __m256 zero = _mm256_setzero_ps(), by = _mm256_set1_ps(top);

	for (size_t g = 0; g < n; g += 8) {
		__m256 l = _mm256_loadu_ps(lo + g), h = _mm256_loadu_ps(hi + g);
		__m256 low = _mm256_cmp_ps(_mm256_andnot_ps(sign, l), _mm256_andnot_ps(sign, h),
		                           _CMP_GT_OQ);
		__m256 s = _mm256_max_ps(_mm256_div_ps(_mm256_sub_ps(h, l), by), least);
		__m256 edge = _mm256_blendv_ps(h, l, low), q0, some;

		s = _mm256_xor_ps(s, _mm256_andnot_ps(low, sign));
		q0 = _mm256_round_ps(_mm256_div_ps(edge, s), _MM_FROUND_TO_NEAREST_INT |
		                                             _MM_FROUND_NO_EXC);
		some = _mm256_cmp_ps(q0, zero, _CMP_NEQ_UQ);
		_mm256_storeu_ps(scale + g, _mm256_blendv_ps(s, _mm256_div_ps(edge, q0), some));
		_mm256_storeu_ps(bias + g, _mm256_and_ps(edge, some));
	}
}

/* The low byte of each lane, in order. */
INLINE uint64_t low_bytes(__m256i v)
{
	const __m256i gather = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	                                        -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1,
	                                        -1, -1, -1, -1);

	v = _mm256_shuffle_epi8(v, gather);
	return (uint64_t)_mm_cvtsi128_si64(_mm_unpacklo_epi32(_mm256_castsi256_si128(v),
	                                                      _mm256_extracti128_si256(v, 1)));
}

/* `bits` of each of eight bytes. */
INLINE uint64_t places(unsigned bits)
{
	return 0x0101010101010101u * ((1u << bits) - 1);
}

INLINE void encode_bits(unsigned char *q, const float *w, const float *scale, const float *bias,
                        size_t n, unsigned group, unsigned bits)
{
	const __m256 whole = _mm256_set1_ps(12582912.0f), zero = _mm256_setzero_ps();
	const __m256 top = _mm256_set1_ps((float)((1u << bits) - 1));

	for (size_t g = 0; g < n; g++) {
		__m256 s = _mm256_set1_ps(scale[g]), b = _mm256_set1_ps(bias[g]);

		for (unsigned i = 0; i < group; i += 8, w += 8, q += bits) {
			__m256 v = _mm256_div_ps(_mm256_sub_ps(_mm256_loadu_ps(w), b), s);
			uint64_t code;

			v = _mm256_min_ps(_mm256_max_ps(v, zero), top);
			code = low_bytes(_mm256_castps_si256(_mm256_add_ps(v, whole)));
			code = _pext_u64(code, places(bits));
			memcpy(q, &code, bits);
		}
	}
}

INLINE void decode_bits(float *out, const unsigned char *q, const float *scale, const float *bias,
                        size_t n, unsigned group, unsigned bits)
{
	for (size_t g = 0; g < n; g++) {
		__m256 s = _mm256_set1_ps(scale[g]), b = _mm256_set1_ps(bias[g]);

		for (unsigned i = 0; i < group; i += 8, out += 8, q += bits) {
			uint64_t code = 0;
			__m256 v;

			memcpy(&code, q, bits);
			code = _pdep_u64(code, places(bits));
			v = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)code)));
			_mm256_storeu_ps(out, _mm256_add_ps(_mm256_mul_ps(s, v), b));
		}
	}
}

/* The switches make `bits` a constant of each loop. */
#define EACH_BITS(call) \
	switch (bits) { \
	case 2: call(2); break; \
	case 3: call(3); break; \
	case 4: call(4); break; \
	case 5: call(5); break; \
	case 6: call(6); break; \
	case 7: call(7); break; \
	default: call(8); break; \
	}

WIDE static void encode(unsigned char *q, const float *w, const float *scale, const float *bias,
                        size_t n, unsigned group, unsigned bits)
{
#define ENCODE(b) encode_bits(q, w, scale, bias, n, group, b)
	EACH_BITS(ENCODE)
}

WIDE static void decode(float *out, const unsigned char *q, const float *scale, const float *bias,
                        size_t n, unsigned group, unsigned bits)
{
#define DECODE(b) decode_bits(out, q, scale, bias, n, group, b)
	EACH_BITS(DECODE)
}

INLINE void squares_by(float *a8, float *b8, const float *f, const float *d, const float *h,
                       size_t n, bool weighted)
{
	__m256 a = _mm256_setzero_ps(), b = a;

	for (size_t i = 0; i < n; i += 8) {
		__m256 x = _mm256_loadu_ps(f + i), e = _mm256_sub_ps(x, _mm256_loadu_ps(d + i));
		__m256 w = weighted ? _mm256_loadu_ps(h + i) : e;

		a = _mm256_add_ps(a, _mm256_mul_ps(weighted ? _mm256_mul_ps(w, e) : e, e));
		b = _mm256_add_ps(b, _mm256_mul_ps(weighted ? _mm256_mul_ps(w, x) : x, x));
	}
	_mm256_storeu_ps(a8, a);
	_mm256_storeu_ps(b8, b);
}

WIDE static void squares(double *lost, double *all, const float *f, const float *d, const float *h,
                         size_t n)
{
	size_t whole = n / 8 * 8;
	float a[8], b[8];

	if (h)
		squares_by(a, b, f, d, h, whole, true);
	else
		squares_by(a, b, f, d, NULL, whole, false);
	for (size_t i = whole; i < n; i++) {
		float w = h ? h[i] : 1, e = f[i] - d[i];

		a[0] += w * e * e;
		b[0] += w * f[i] * f[i];
	}
	for (size_t k = 0; k < 8; k++) {
		*lost += (double)a[k];
		*all += (double)b[k];
	}
}

static const struct tensor_rows avx2 = {
	"avx2", f16_decode, ranges, scales, encode, decode, squares,
};

/* F16C, which clang cannot ask for, is older than AVX2. */
const struct tensor_rows *rows_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? &avx2 : NULL;
}
#else
const struct tensor_rows *rows_avx2(void)
{
	return NULL;
}
#endif
