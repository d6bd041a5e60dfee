/* SPDX-License-Identifier: MIT */
/* blocks.h - inside tensor/: block layouts, and what dtype.c asks of them. */
#ifndef CLM_TENSOR_BLOCKS_H
#define CLM_TENSOR_BLOCKS_H

#include "tensor/tensor.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensor bytes are used as they lie in files: a little-endian machine is needed"
#endif

static inline uint16_t load_u16(const unsigned char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint32_t load_u32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline void store_u16(unsigned char *p, uint16_t v)
{
	memcpy(p, &v, sizeof v);
}

static inline void store_u32(unsigned char *p, uint32_t v)
{
	memcpy(p, &v, sizeof v);
}

static inline float float_of_bits(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static inline uint32_t bits_of_float(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof bits);
	return bits;
}

/* A block type whose values are scale * (code - offset) + bias, with one
 * scale (and, if `offset` is 0, one bias) per group. */
struct block_form {
	unsigned block, block_bytes;
	unsigned bits, group;
	unsigned offset;
	enum dtype scale; /* what holds scale and bias exactly */
	void (*split)(uint8_t *code, float *scale, float *bias, const unsigned char *in);
};
/* Codebook types whose values such codes hold as well; NULL if t is none. */
const struct block_form *code_form_of(enum dtype t);
/* An unsigned E4M3, halved for the doubled table; 0 and 127 are zero. */
float nvfp4_scale(unsigned s);
/* NULL if t is no such type. */
const struct block_form *block_form_of(enum dtype t);
void block_form_decode(const struct block_form *f, float *out, const unsigned char *in, size_t n);

/* Codebook types: n values, whole blocks. */
void iq4_nl_decode(float *out, const unsigned char *in, size_t n);
void iq4_xs_decode(float *out, const unsigned char *in, size_t n);
void mxfp4_decode(float *out, const unsigned char *in, size_t n);
void nvfp4_decode(float *out, const unsigned char *in, size_t n);
void q1_0_decode(float *out, const unsigned char *in, size_t n);
void q2_0_decode(float *out, const unsigned char *in, size_t n);
void q8_k_decode(float *out, const unsigned char *in, size_t n);
void tq1_0_decode(float *out, const unsigned char *in, size_t n);
void tq2_0_decode(float *out, const unsigned char *in, size_t n);
void iq1_s_decode(float *out, const unsigned char *in, size_t n);
void iq1_m_decode(float *out, const unsigned char *in, size_t n);
void iq2_xxs_decode(float *out, const unsigned char *in, size_t n);
void iq2_xs_decode(float *out, const unsigned char *in, size_t n);
void iq2_s_decode(float *out, const unsigned char *in, size_t n);
void iq3_xxs_decode(float *out, const unsigned char *in, size_t n);
void iq3_s_decode(float *out, const unsigned char *in, size_t n);

void q4_0_encode(unsigned char *out, const float *in, size_t n);
void q4_1_encode(unsigned char *out, const float *in, size_t n);
void q5_0_encode(unsigned char *out, const float *in, size_t n);
void q5_1_encode(unsigned char *out, const float *in, size_t n);
void q8_0_encode(unsigned char *out, const float *in, size_t n);
void mxfp4_encode(unsigned char *out, const float *in, size_t n);
void nvfp4_encode(unsigned char *out, const float *in, size_t n);
/* By the importance q of the columns; NULL is none. */
void q2_k_encode(unsigned char *out, const float *in, const float *q, size_t n);
void q3_k_encode(unsigned char *out, const float *in, const float *q, size_t n);
void q4_k_encode(unsigned char *out, const float *in, const float *q, size_t n);
void q5_k_encode(unsigned char *out, const float *in, const float *q, size_t n);
void q6_k_encode(unsigned char *out, const float *in, const float *q, size_t n);
void iq4_nl_encode(unsigned char *out, const float *in, const float *q, size_t n);
void iq4_xs_encode(unsigned char *out, const float *in, const float *q, size_t n);
/* One row, by the importance of its columns. */
void q4_0_encode_by(unsigned char *out, const float *in, const float *q, size_t n);
void q4_1_encode_by(unsigned char *out, const float *in, const float *q, size_t n);
void q5_0_encode_by(unsigned char *out, const float *in, const float *q, size_t n);
void q5_1_encode_by(unsigned char *out, const float *in, const float *q, size_t n);

/* 16-bit floats to f32 and back, for loops over many. */
static inline float f32_of_f16(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, em = h & 0x7fff;
	/* below 2^-14: 0.5 + em * 2^-24 is exact, and so is taking 0.5 away */
	float small = float_of_bits(0x3f000000 + em) - 0.5f;
	uint32_t big = (em << 13) + (em >= 0x7c00 ? 0x70000000 : 0x38000000);

	return float_of_bits(sign | (em < 0x400 ? bits_of_float(small) : big));
}

static inline uint16_t f16_of_f32(float f)
{
	uint32_t x = bits_of_float(f), sign = x >> 16 & 0x8000, a = x & 0x7fffffff;
	/* adding 0.5 rounds to multiples of 2^-24, to even */
	uint32_t small = bits_of_float(float_of_bits(a < 0x38800000 ? a : 0) + 0.5f) - 0x3f000000;
	uint32_t normal = (a + 0xfff + (a >> 13 & 1) - 0x38000000) >> 13;
	uint32_t h = a < 0x38800000 ? small : normal;

	h = a >= 0x477ff000 ? 0x7c00 : h;
	h = a > 0x7f800000 ? 0x7e00 : h;
	return (uint16_t)(sign | h);
}

static inline float f32_of_bf16(uint16_t h)
{
	return float_of_bits((uint32_t)h << 16);
}

static inline uint16_t bf16_of_f32(float f)
{
	uint32_t x = bits_of_float(f);
	uint32_t nan = (x >> 16) | 64, rounded = (x + 0x7fff + (x >> 16 & 1)) >> 16;

	return (uint16_t)((x & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

#endif
