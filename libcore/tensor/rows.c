/* SPDX-License-Identifier: MIT */
/* rows.c - the hot loops of quantization in plain C: what they mean. Eight
 * lanes, so that the compiler may use vectors: the sums and the extremes of
 * one running value it must not reorder. */
#include "tensor/rows.h"

#include "tensor/blocks.h"

#include <math.h>

/* f32_of_f16() in steps */
static void f16_decode(float *restrict out, const unsigned char *restrict in, size_t n)
{
	uint16_t h[8];
	uint32_t em[8], big[8];
	float small[8];
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		memcpy(h, in + 2 * i, sizeof h);
		for (size_t k = 0; k < 8; k++) {
			em[k] = h[k] & 0x7fffu;
			big[k] = 0x3f000000 + em[k];
		}
		memcpy(small, big, sizeof small);
		for (size_t k = 0; k < 8; k++)
			small[k] -= 0.5f;
		memcpy(big, small, sizeof big);
		for (size_t k = 0; k < 8; k++) {
			uint32_t low = 0u - (em[k] < 0x400), high = 0u - (em[k] >= 0x7c00);
			uint32_t whole = (em[k] << 13) + 0x38000000 + (high & 0x38000000);

			big[k] = (uint32_t)(h[k] & 0x8000u) << 16 | (low & big[k]) | (~low & whole);
		}
		memcpy(out + i, big, sizeof big);
	}
	for (; i < n; i++)
		out[i] = f32_of_f16(load_u16(in + 2 * i));
}

static void ranges(float *lo, float *hi, const float *w, size_t n, unsigned group)
{
	for (size_t g = 0; g < n; g++, w += group) {
		float a[8], b[8];

		for (unsigned j = 0; j < 8; j++)
			a[j] = b[j] = w[j];
		for (unsigned i = 8; i < group; i += 8)
			for (unsigned j = 0; j < 8; j++) {
				a[j] = w[i + j] < a[j] ? w[i + j] : a[j];
				b[j] = w[i + j] > b[j] ? w[i + j] : b[j];
			}
		for (unsigned j = 1; j < 8; j++) {
			a[0] = a[j] < a[0] ? a[j] : a[0];
			b[0] = b[j] > b[0] ? b[j] : b[0];
		}
		lo[g] = a[0];
		hi[g] = b[0];
	}
}

/* The scale is negative when the largest magnitude is the maximum; dividing
 * the edge by its own code makes zero a code exactly. The floor of 1e-7
 * keeps a constant group from dividing by zero. */
static void scales(float *scale, float *bias, const float *lo, const float *hi, size_t n, float top)
{
	for (size_t g = 0; g < n; g++) {
		float s = (hi[g] - lo[g]) / top, edge, q0;
		bool low_side = fabsf(lo[g]) > fabsf(hi[g]);

		s = s > 1e-7f ? s : 1e-7f;
		s = low_side ? s : -s;
		edge = low_side ? lo[g] : hi[g];
		q0 = rintf(edge / s);
		scale[g] = q0 != 0 ? edge / q0 : s;
		bias[g] = q0 != 0 ? edge : 0;
	}
}

static void choose_codes(uint8_t *restrict code, const float *restrict w, unsigned n, float scale,
                         float bias, float top)
{
	/* past 2^23 a float has no fraction: adding rounds half to even */
	const float whole = 12582912.0f;

	for (unsigned i = 0; i < n; i += 8) {
		uint32_t bits[8];

		for (unsigned k = 0; k < 8; k++) {
			float v = (w[i + k] - bias) / scale;

			v = v > 0 ? v : 0; /* a NaN becomes 0 */
			v = v < top ? v : top;
			v += whole;
			memcpy(&bits[k], &v, sizeof v);
		}
		for (unsigned k = 0; k < 8; k++)
			code[i + k] = (uint8_t)bits[k];
	}
}

static void encode(unsigned char *q, const float *w, const float *scale, const float *bias,
                   size_t n, unsigned group, unsigned bits)
{
	uint8_t code[AFFINE_MAX_GROUP];

	for (size_t g = 0; g < n; g++, w += group, q += group * bits / 8) {
		choose_codes(code, w, group, scale[g], bias[g], (float)((1u << bits) - 1));
		affine_pack(q, code, group, bits);
	}
}

static void decode(float *out, const unsigned char *q, const float *scale, const float *bias,
                   size_t n, unsigned group, unsigned bits)
{
	uint8_t code[AFFINE_MAX_GROUP];

	for (size_t g = 0; g < n; g++, out += group, q += group * bits / 8) {
		affine_unpack(code, q, group, bits);
		for (unsigned i = 0; i < group; i += 8)
			for (unsigned j = 0; j < 8; j++)
				out[i + j] = scale[g] * (float)code[i + j] + bias[g];
	}
}

static void squares(double *lost, double *all, const float *f, const float *d, const float *h,
                    size_t n)
{
	static const float ones[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	float a[8] = { 0 }, b[8] = { 0 };
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		const float *w = h ? h + i : ones;

		for (size_t k = 0; k < 8; k++) {
			float e = f[i + k] - d[i + k];

			a[k] += w[k] * e * e;
			b[k] += w[k] * f[i + k] * f[i + k];
		}
	}
	for (; i < n; i++) {
		float w = h ? h[i] : 1, e = f[i] - d[i];

		a[0] += w * e * e;
		b[0] += w * f[i] * f[i];
	}
	for (size_t k = 0; k < 8; k++) {
		*lost += (double)a[k];
		*all += (double)b[k];
	}
}

const struct tensor_rows rows_plain = {
	"plain", f16_decode, ranges, scales, encode, decode, squares,
};

const struct tensor_rows *rows_best(void)
{
	const struct tensor_rows *avx2 = rows_avx2();

	return avx2 ? avx2 : &rows_plain;
}

void squares_add(double *lost, double *all, const float *f, const float *d, const float *h,
                 size_t n)
{
	const struct tensor_rows *r = rows_best();

	for (size_t i = 0; i < n; i += 256)
		r->squares(lost, all, f + i, d + i, h ? h + i : NULL, n - i < 256 ? n - i : 256);
}
