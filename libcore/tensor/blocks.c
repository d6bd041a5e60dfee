/* SPDX-License-Identifier: MIT */
/* blocks.c - the GGUF blocks that are exactly affine: codes, scales and
 * biases out of a block, then values, or the MLX packing.
 *
 * Every product scale * code is exact in f32 (at most 24 significant bits),
 * so that scale * code + bias rounds once, just as the formats' own rule. */
#include "tensor/blocks.h"

#include <assert.h>

static inline float half_at(const unsigned char *p)
{
	return f32_of_f16(load_u16(p));
}

static inline void nibbles(uint8_t *restrict code, const unsigned char *restrict q)
{
	for (int j = 0; j < 16; j++) {
		code[j] = q[j] & 15;
		code[j + 16] = q[j] >> 4;
	}
}

static inline void fifth_bits(uint8_t *restrict code, uint32_t high)
{
	for (int j = 0; j < 32; j++)
		code[j] |= (uint8_t)((high >> j & 1) << 4);
}

/* f16 d; u8 qs[16] */
static void q4_0_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	*scale = half_at(in);
	nibbles(code, in + 2);
}

/* f16 d; f16 m; u8 qs[16] */
static void q4_1_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	*scale = half_at(in);
	*bias = half_at(in + 2);
	nibbles(code, in + 4);
}

/* f16 d; u32 qh; u8 qs[16] */
static void q5_0_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	*scale = half_at(in);
	nibbles(code, in + 6);
	fifth_bits(code, load_u32(in + 2));
}

/* f16 d; f16 m; u32 qh; u8 qs[16] */
static void q5_1_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	*scale = half_at(in);
	*bias = half_at(in + 2);
	nibbles(code, in + 8);
	fifth_bits(code, load_u32(in + 4));
}

/* f16 d; i8 qs[32] */
static void q8_0_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	*scale = half_at(in);
	for (int j = 0; j < 32; j++)
		code[j] = in[2 + j] ^ 0x80;
}

/* f16 d; f16 s; i8 qs[32] */
static void q8_1_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	*scale = half_at(in);
	for (int j = 0; j < 32; j++)
		code[j] = in[4 + j] ^ 0x80;
}

/* u8 s[16]; u8 qs[64]; f16 d; f16 dmin */
static void q2_k_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	float d = half_at(in + 80), dmin = half_at(in + 82);

	for (int k = 0; k < 16; k++) {
		scale[k] = d * (float)(in[k] & 15);
		bias[k] = -(dmin * (float)(in[k] >> 4));
	}
	for (int h = 0; h < 2; h++)
		for (int g = 0; g < 4; g++)
			for (int l = 0; l < 32; l++)
				code[128 * h + 32 * g + l] = in[16 + 32 * h + l] >> 2 * g & 3;
}

/* u8 hm[32]; u8 qs[64]; u8 s[12]; f16 d */
static void q3_k_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	const unsigned char *s = in + 96;
	float d = half_at(in + 108);

	(void)bias;
	for (int k = 0; k < 16; k++) {
		int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
		int high = s[8 + k % 4] >> 2 * (k / 4) & 3;
		scale[k] = d * (float)((low | high << 4) - 32);
	}
	for (int h = 0; h < 2; h++)
		for (int g = 0; g < 4; g++)
			for (int l = 0; l < 32; l++) {
				unsigned high = in[l] >> (4 * h + g) & 1;
				code[128 * h + 32 * g + l] =
					(uint8_t)((in[32 + 32 * h + l] >> 2 * g & 3) | high << 2);
			}
}

/* The eight scales and minima of six bits in u8 s[12]. */
static void six_bits(float *scale, float *bias, const unsigned char *s, float d, float dmin)
{
	for (int j = 0; j < 8; j++) {
		int sc, mn;

		if (j < 4) {
			sc = s[j] & 63;
			mn = s[j + 4] & 63;
		} else {
			sc = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
			mn = s[j + 4] >> 4 | s[j] >> 6 << 4;
		}
		scale[j] = d * (float)sc;
		bias[j] = -(dmin * (float)mn);
	}
}

/* f16 d; f16 dmin; u8 s[12]; u8 qs[128] */
static void q4_k_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	six_bits(scale, bias, in + 4, half_at(in), half_at(in + 2));
	for (int c = 0; c < 4; c++)
		for (int l = 0; l < 32; l++) {
			code[64 * c + l] = in[16 + 32 * c + l] & 15;
			code[64 * c + 32 + l] = in[16 + 32 * c + l] >> 4;
		}
}

/* f16 d; f16 dmin; u8 s[12]; u8 qh[32]; u8 qs[128] */
static void q5_k_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	const unsigned char *qh = in + 16, *qs = in + 48;

	six_bits(scale, bias, in + 4, half_at(in), half_at(in + 2));
	for (int c = 0; c < 4; c++)
		for (int l = 0; l < 32; l++) {
			unsigned low = qh[l] >> 2 * c & 1, high = qh[l] >> (2 * c + 1) & 1;
			code[64 * c + l] = (uint8_t)((qs[32 * c + l] & 15) | low << 4);
			code[64 * c + 32 + l] = (uint8_t)(qs[32 * c + l] >> 4 | high << 4);
		}
}

/* u8 ql[128]; u8 qh[64]; i8 s[16]; f16 d */
static void q6_k_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	float d = half_at(in + 208);

	(void)bias;
	for (int k = 0; k < 16; k++)
		scale[k] = d * (float)(signed char)in[192 + k];
	for (int h = 0; h < 2; h++)
		for (int t = 0; t < 4; t++)
			for (int l = 0; l < 32; l++) {
				unsigned low = in[64 * h + 32 * (t & 1) + l] >> (t < 2 ? 0 : 4) &
				               15;
				unsigned high = in[128 + 32 * h + l] >> 2 * t & 3;
				code[128 * h + 32 * t + l] = (uint8_t)(low | high << 4);
			}
}

static const struct block_form forms[DT_COUNT] = {
	/*          block bytes bits group offset */
	[DT_Q4_0] = { 32, 18, 4, 32, 8, DT_F16, q4_0_split },
	[DT_Q4_1] = { 32, 20, 4, 32, 0, DT_F16, q4_1_split },
	[DT_Q5_0] = { 32, 22, 5, 32, 16, DT_F16, q5_0_split },
	[DT_Q5_1] = { 32, 24, 5, 32, 0, DT_F16, q5_1_split },
	[DT_Q8_0] = { 32, 34, 8, 32, 128, DT_F16, q8_0_split },
	[DT_Q8_1] = { 32, 36, 8, 32, 128, DT_F16, q8_1_split },
	[DT_Q2_K] = { 256, 84, 2, 16, 0, DT_F32, q2_k_split },
	[DT_Q3_K] = { 256, 110, 3, 16, 4, DT_F32, q3_k_split },
	[DT_Q4_K] = { 256, 144, 4, 32, 0, DT_F32, q4_k_split },
	[DT_Q5_K] = { 256, 176, 5, 32, 0, DT_F32, q5_k_split },
	[DT_Q6_K] = { 256, 210, 6, 16, 32, DT_F32, q6_k_split },
};

const struct block_form *block_form_of(enum dtype t)
{
	return forms[t].split ? &forms[t] : NULL;
}

/* (code - offset) * scale for a centred form: zero keeps the scale's sign,
 * as the formats have it. 16 divides every group. */
static void centred(float *restrict out, const uint8_t *restrict code, const float *scale,
                    const struct block_form *f)
{
	for (unsigned i = 0; i < f->block; i += 16) {
		float s = scale[i / f->group];
		int offset = (int)f->offset;

		for (unsigned j = 0; j < 16; j++)
			out[i + j] = s * (float)(code[i + j] - offset);
	}
}

static void based(float *restrict out, const uint8_t *restrict code, const float *scale,
                  const float *bias, const struct block_form *f)
{
	for (unsigned i = 0; i < f->block; i += 16) {
		float s = scale[i / f->group], b = bias[i / f->group];

		for (unsigned j = 0; j < 16; j++)
			out[i + j] = s * (float)code[i + j] + b;
	}
}

void block_form_decode(const struct block_form *f, float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= f->block, out += f->block, in += f->block_bytes) {
		uint8_t code[256];
		float scale[16], bias[16];

		f->split(code, scale, bias, in);
		if (f->offset)
			centred(out, code, scale, f);
		else
			based(out, code, scale, bias, f);
	}
}

static const struct block_form *any_form_of(enum dtype t)
{
	return block_form_of(t) ? block_form_of(t) : code_form_of(t);
}

bool affine_form_of(struct affine_form *out, enum dtype t)
{
	const struct block_form *f = any_form_of(t);

	if (!f)
		return false;
	*out = (struct affine_form){ .bits = f->bits, .group = f->group, .scale = f->scale };
	return true;
}

static void store_scale(unsigned char *p, enum dtype t, size_t i, float v)
{
	if (t == DT_F16)
		store_u16(p + 2 * i, f16_of_f32(v));
	else
		store_u32(p + 4 * i, bits_of_float(v));
}

void affine_from_blocks(void *q, void *scales, void *biases, enum dtype t, const void *in,
                        size_t n_cols)
{
	const struct block_form *f = any_form_of(t);
	unsigned char *packed = q;
	const unsigned char *block = in;
	size_t group = 0;

	assert(f && n_cols % f->block == 0);
	for (size_t i = 0; i < n_cols; i += f->block, block += f->block_bytes) {
		uint8_t code[256];
		float scale[16], bias[16];

		f->split(code, scale, bias, block);
		for (unsigned k = 0; k < f->block / f->group; k++, group++) {
			float b = f->offset ? scale[k] * -(float)f->offset : bias[k];
			store_scale(scales, f->scale, group, scale[k]);
			store_scale(biases, f->scale, group, b);
		}
		affine_pack(packed, code, f->block, f->bits);
		packed += f->block * f->bits / 8;
	}
}
