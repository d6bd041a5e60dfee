/* SPDX-License-Identifier: MIT */
/* quant.c - MLX's affine quantization: w = scale * code + bias over groups
 * of a row, codes packed as a little-endian bit string. */
#include "tensor/tensor.h"

#include "tensor/blocks.h"

#include <assert.h>
#include <math.h>

/* Eight codes make `bits` bytes; element j lies at bit j * bits. */
static inline void pack_eights(unsigned char *restrict q, const uint8_t *restrict code, size_t n,
                               unsigned bits)
{
	for (size_t i = 0; i < n; i += 8, q += bits) {
		uint64_t v = 0;

		for (unsigned j = 0; j < 8; j++)
			v |= (uint64_t)code[i + j] << j * bits;
		memcpy(q, &v, bits);
	}
}

static inline void unpack_eights(uint8_t *restrict code, const unsigned char *restrict q, size_t n,
                                 unsigned bits)
{
	for (size_t i = 0; i < n; i += 8, q += bits) {
		uint64_t v = 0;

		memcpy(&v, q, bits);
		for (unsigned j = 0; j < 8; j++)
			code[i + j] = (uint8_t)(v >> j * bits & ((1u << bits) - 1));
	}
}

/* The switches make `bits` a constant of each loop. */
void affine_pack(void *q, const uint8_t *code, size_t n, unsigned bits)
{
	assert(n % 8 == 0);
	switch (bits) {
	case 2:
		pack_eights(q, code, n, 2);
		break;
	case 3:
		pack_eights(q, code, n, 3);
		break;
	case 4:
		pack_eights(q, code, n, 4);
		break;
	case 5:
		pack_eights(q, code, n, 5);
		break;
	case 6:
		pack_eights(q, code, n, 6);
		break;
	case 7:
		pack_eights(q, code, n, 7);
		break;
	case 8:
		memcpy(q, code, n);
		break;
	default:
		assert(!"affine codes have 2 to 8 bits");
	}
}

static void unpack_nibbles(uint8_t *restrict code, const unsigned char *restrict q, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		code[2 * i] = q[i] & 15;
		code[2 * i + 1] = q[i] >> 4;
	}
}

void affine_unpack(uint8_t *code, const void *q, size_t n, unsigned bits)
{
	assert(n % 8 == 0);
	switch (bits) {
	case 2:
		unpack_eights(code, q, n, 2);
		break;
	case 3:
		unpack_eights(code, q, n, 3);
		break;
	case 4:
		unpack_nibbles(code, q, n);
		break;
	case 5:
		unpack_eights(code, q, n, 5);
		break;
	case 6:
		unpack_eights(code, q, n, 6);
		break;
	case 7:
		unpack_eights(code, q, n, 7);
		break;
	case 8:
		memcpy(code, q, n);
		break;
	default:
		assert(!"affine codes have 2 to 8 bits");
	}
}

unsigned affine_code(const void *q, size_t i, unsigned bits)
{
	const unsigned char *p = q;
	size_t bit = i * bits;
	unsigned v = p[bit / 8];

	if (bit % 8 + bits > 8)
		v |= (unsigned)p[bit / 8 + 1] << 8;
	return v >> bit % 8 & ((1u << bits) - 1);
}

/* Eight lanes, so that the compiler may use its vector min and max: those
 * of one running value it must not reorder. */
static void range_of(float *lo, float *hi, const float *w, unsigned n)
{
	float a[8], b[8];

	for (unsigned j = 0; j < 8; j++)
		a[j] = b[j] = w[j];
	for (unsigned i = 8; i < n; i += 8)
		for (unsigned j = 0; j < 8; j++) {
			a[j] = w[i + j] < a[j] ? w[i + j] : a[j];
			b[j] = w[i + j] > b[j] ? w[i + j] : b[j];
		}
	for (unsigned j = 1; j < 8; j++) {
		a[0] = a[j] < a[0] ? a[j] : a[0];
		b[0] = b[j] > b[0] ? b[j] : b[0];
	}
	*lo = a[0];
	*hi = b[0];
}

static float rounded_to(enum dtype t, float v)
{
	if (t == DT_F16)
		return f32_of_f16(f16_of_f32(v));
	if (t == DT_BF16)
		return f32_of_bf16(bf16_of_f32(v));
	return v;
}

/* The scale is negative when the largest magnitude is the maximum; dividing
 * the edge by its own code makes zero a code exactly. The floor of 1e-7
 * keeps a constant group from dividing by zero. */
static void choose_scale(float *scale, float *bias, float lo, float hi, float n)
{
	float s = (hi - lo) / n, edge, q0;
	bool low_side = fabsf(lo) > fabsf(hi);

	s = s > 1e-7f ? s : 1e-7f;
	s = low_side ? s : -s;
	edge = low_side ? lo : hi;
	q0 = rintf(edge / s);
	*scale = q0 != 0 ? edge / q0 : s;
	*bias = q0 != 0 ? edge : 0;
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

void affine_quantize(void *q, float *scale, float *bias, const float *w, size_t n_rows,
                     size_t n_cols, unsigned bits, unsigned group, enum dtype stored)
{
	unsigned char *packed = q;
	uint8_t code[AFFINE_MAX_GROUP];
	float top = (float)((1u << bits) - 1);

	assert(group % 8 == 0 && group <= AFFINE_MAX_GROUP && n_cols % group == 0);
	for (size_t i = 0; i < n_rows * n_cols / group; i++, w += group) {
		float lo, hi;

		range_of(&lo, &hi, w, group);
		choose_scale(&scale[i], &bias[i], lo, hi, top);
		scale[i] = rounded_to(stored, scale[i]);
		bias[i] = rounded_to(stored, bias[i]);
		choose_codes(code, w, group, scale[i], bias[i], top);
		affine_pack(packed, code, group, bits);
		packed += group * bits / 8;
	}
}

static float scale_at(const void *p, enum dtype t, size_t i)
{
	const unsigned char *b = p;

	switch (t) {
	case DT_F16:
		return f32_of_f16(load_u16(b + 2 * i));
	case DT_BF16:
		return f32_of_bf16(load_u16(b + 2 * i));
	default:
		assert(t == DT_F32);
		return float_of_bits(load_u32(b + 4 * i));
	}
}

void affine_dequantize_row(float *out, const void *q, const void *scales, const void *biases,
                           enum dtype t, size_t n_cols, unsigned bits, unsigned group)
{
	const unsigned char *packed = q;
	uint8_t code[AFFINE_MAX_GROUP];

	assert(group % 8 == 0 && group <= AFFINE_MAX_GROUP && n_cols % group == 0);
	for (size_t g = 0; g < n_cols / group; g++, out += group, packed += group * bits / 8) {
		float s = scale_at(scales, t, g), b = scale_at(biases, t, g);

		affine_unpack(code, packed, group, bits);
		for (unsigned i = 0; i < group; i += 8)
			for (unsigned j = 0; j < 8; j++)
				out[i + j] = s * (float)code[i + j] + b;
	}
}
