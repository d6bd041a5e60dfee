/* SPDX-License-Identifier: MIT */
/* quant.c - MLX's affine quantization: w = scale * code + bias over groups
 * of a row, codes packed as a little-endian bit string. */
#include "tensor/tensor.h"

#include "tensor/blocks.h"
#include "tensor/rows.h"

#include <assert.h>

enum { RUN = 32 }; /* groups whose scales are chosen together */

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

static float rounded_to(enum dtype t, float v)
{
	if (t == DT_F16)
		return f32_of_f16(f16_of_f32(v));
	if (t == DT_BF16)
		return f32_of_bf16(bf16_of_f32(v));
	return v;
}

void affine_quantize(void *q, float *scale, float *bias, const float *w, size_t n_rows,
                     size_t n_cols, unsigned bits, unsigned group, enum dtype stored)
{
	const struct tensor_rows *r = rows_best();
	unsigned char *packed = q;
	size_t n = n_rows * n_cols / group, step = RUN;

	assert(group % 8 == 0 && group <= AFFINE_MAX_GROUP && n_cols % group == 0);
	for (size_t i = 0; i < n; i += step, packed += step * group * bits / 8) {
		float lo[RUN] = { 0 }, hi[RUN] = { 0 }, s[RUN], b[RUN];

		step = n - i < RUN ? n - i : RUN;
		r->ranges(lo, hi, w + i * group, step, group);
		r->scales(s, b, lo, hi, step, (float)((1u << bits) - 1));
		for (size_t k = 0; k < step; k++) {
			scale[i + k] = rounded_to(stored, s[k]);
			bias[i + k] = rounded_to(stored, b[k]);
		}
		r->encode(packed, w + i * group, scale + i, bias + i, step, group, bits);
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
	const struct tensor_rows *r = rows_best();
	const unsigned char *packed = q;
	size_t n = n_cols / group, step = RUN;

	assert(group % 8 == 0 && group <= AFFINE_MAX_GROUP && n_cols % group == 0);
	for (size_t g = 0; g < n; g += step, packed += step * group * bits / 8) {
		float s[RUN], b[RUN];

		step = n - g < RUN ? n - g : RUN;
		for (size_t k = 0; k < step; k++) {
			s[k] = scale_at(scales, t, g + k);
			b[k] = scale_at(biases, t, g + k);
		}
		r->decode(out + g * group, packed, s, b, step, group, bits);
	}
}
