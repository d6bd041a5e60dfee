/* SPDX-License-Identifier: MIT */
/* codes.c - codebook blocks as affine codes, for the kernels' sake
 *
 * The values of every codebook type are whole multiples of a unit per run:
 * E2M1 doubled lies in -12..12, the tables of iq4 in -127..113, a grid's
 * points in -62..62 or less: each type has the fewest bits that hold its own,
 * as these are what a product reads. So value = unit * code - unit * offset, with no new
 * kernel; but for iq4_xs, whose products may round once, to the bit. */
#include "tensor/blocks.h"

#include <math.h>

static const int8_t iq4_values[16] = {
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};
static const int8_t fp4_values[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };
enum {
	FP4_OFFSET = 12, IQ4_OFFSET = 127,
	GRID_OFFSET = 128,    /* 8, 25 and 43 of either sign */
	POINT_OFFSET = 31,    /* to 62, all even, of either sign */
	ODD_OFFSET = 15,      /* to 15 */
	EIGHTH_OFFSET = 9,    /* eighths of -1, 0 and 1, moved by one */
	TERNARY_OFFSET = 1,
};

static inline float half_at(const unsigned char *p)
{
	return f32_of_f16(load_u16(p));
}

/* n bytes of two codes: low nibbles first, then all high ones. */
static void look_up(uint8_t *code, const unsigned char *q, int n, const int8_t *table, int offset)
{
	for (int j = 0; j < n; j++) {
		code[j] = (uint8_t)(table[q[j] & 15] + offset);
		code[j + n] = (uint8_t)(table[q[j] >> 4] + offset);
	}
}

static void mxfp4_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	*scale = ldexpf(1, in[0] - 128);
	look_up(code, in + 1, 16, fp4_values, FP4_OFFSET);
}

static void nvfp4_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	for (int g = 0; g < 4; g++) {
		scale[g] = nvfp4_scale(in[g]);
		look_up(code + 16 * g, in + 4 + 8 * g, 8, fp4_values, FP4_OFFSET);
	}
}

static void iq4_nl_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	*scale = half_at(in);
	look_up(code, in + 2, 16, iq4_values, IQ4_OFFSET);
}

static void iq4_xs_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	unsigned high = load_u16(in + 2);

	(void)bias;
	for (int b = 0; b < 8; b++) {
		unsigned low = in[4 + b / 2] >> (b % 2 ? 4 : 0) & 15;

		scale[b] = half_at(in) * (float)((int)(low | (high >> 2 * b & 3) << 4) - 32);
		look_up(code + 32 * b, in + 8 + 16 * b, 16, iq4_values, IQ4_OFFSET);
	}
}

/* ---- the others: values of a block over the unit of each run */

static void divide(uint8_t *code, const float *unit, unsigned run, enum dtype t,
                   const unsigned char *in)
{
	const struct block_form *f = code_form_of(t);
	unsigned n = f->block;
	float value[256], low = -(float)f->offset, high = (float)((1u << f->bits) - 1) + low;

	dtype_to_f32(t, value, in, n);
	for (unsigned i = 0; i < n; i++) {
		float u = unit[i / run], v = u != 0 ? rintf(value[i] / u) : 0;

		code[i] = (uint8_t)((int)f->offset + (v >= low && v <= high ? (int)v : 0));
	}
}

static float nibble_unit(const unsigned char *in, unsigned nibble, float factor)
{
	return half_at(in) * (0.5f + (float)nibble) * factor;
}

static void iq2_xxs_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	for (int g = 0; g < 8; g++)
		scale[g] = nibble_unit(in, load_u32(in + 6 + 8 * g) >> 28, 0.25f);
	divide(code, scale, 32, DT_IQ2_XXS, in);
}

/* The nibbles of runs of 16 at s. */
static void runs_of_16(uint8_t *code, float *scale, const unsigned char *in, const unsigned char *s,
                       enum dtype t)
{
	for (int k = 0; k < 16; k++)
		scale[k] = nibble_unit(in, s[k / 2] >> (k % 2 ? 4 : 0) & 15, 0.25f);
	divide(code, scale, 16, t, in);
}

static void iq2_xs_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	runs_of_16(code, scale, in, in + 66, DT_IQ2_XS);
}

static void iq2_s_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	runs_of_16(code, scale, in, in + 74, DT_IQ2_S);
}

static void iq3_xxs_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	for (int g = 0; g < 8; g++)
		scale[g] = nibble_unit(in, load_u32(in + 66 + 4 * g) >> 28, 1.0f);
	divide(code, scale, 32, DT_IQ3_XXS, in);
}

static void iq3_s_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	for (int g = 0; g < 8; g++)
		scale[g] = half_at(in) * (float)(1 + 2 * (in[106 + g / 2] >> (g % 2 ? 4 : 0) & 15));
	divide(code, scale, 32, DT_IQ3_S, in);
}

/* Points of -1, 0 and 1, moved by an eighth. */
static void iq1_s_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	for (int g = 0; g < 8; g++)
		scale[g] = half_at(in) * (float)(2 * (load_u16(in + 34 + 2 * g) >> 12 & 7) + 1) * 0.125f;
	divide(code, scale, 32, DT_IQ1_S, in);
}

static void iq1_m_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	unsigned s[4], bits;

	(void)bias;
	for (int i = 0; i < 4; i++)
		s[i] = load_u16(in + 48 + 2 * i);
	bits = s[0] >> 12 | (s[1] >> 8 & 0xf0) | (s[2] >> 4 & 0xf00) | (s[3] & 0xf000);
	for (int k = 0; k < 16; k++)
		scale[k] = f32_of_f16((uint16_t)bits) *
		           (float)(2 * (s[k / 4] >> (6 * (k / 2 % 2) + 3 * (k % 2)) & 7) + 1) * 0.125f;
	divide(code, scale, 16, DT_IQ1_M, in);
}

/* One scale at byte `place` for the block. */
static void one_scale(uint8_t *code, float *scale, enum dtype t, int place, const unsigned char *in)
{
	for (unsigned k = 0; k < dtype_info(t)->block / 64; k++)
		scale[k] = half_at(in + place);
	divide(code, scale, 64, t, in);
}

static void tq1_0_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	one_scale(code, scale, DT_TQ1_0, 52, in);
}

static void tq2_0_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	one_scale(code, scale, DT_TQ2_0, 64, in);
}

static void q1_0_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	one_scale(code, scale, DT_Q1_0, 0, in);
}

static void q2_0_split(uint8_t *code, float *scale, float *bias, const unsigned char *in)
{
	(void)bias;
	one_scale(code, scale, DT_Q2_0, 0, in);
}

static const struct block_form forms[DT_COUNT] = {
	/*             block bytes bits group offset */
	[DT_MXFP4] = { 32, 17, 5, 32, FP4_OFFSET, DT_F32, mxfp4_split },
	[DT_NVFP4] = { 64, 36, 5, 16, FP4_OFFSET, DT_F32, nvfp4_split },
	[DT_IQ4_NL] = { 32, 18, 8, 32, IQ4_OFFSET, DT_F32, iq4_nl_split },
	[DT_IQ4_XS] = { 256, 136, 8, 32, IQ4_OFFSET, DT_F32, iq4_xs_split },
	[DT_IQ1_S] = { 256, 50, 5, 32, EIGHTH_OFFSET, DT_F32, iq1_s_split },
	[DT_IQ1_M] = { 256, 56, 5, 16, EIGHTH_OFFSET, DT_F32, iq1_m_split },
	[DT_IQ2_XXS] = { 256, 66, 8, 32, GRID_OFFSET, DT_F32, iq2_xxs_split },
	[DT_IQ2_XS] = { 256, 74, 8, 16, GRID_OFFSET, DT_F32, iq2_xs_split },
	[DT_IQ2_S] = { 256, 82, 8, 16, GRID_OFFSET, DT_F32, iq2_s_split },
	[DT_IQ3_XXS] = { 256, 98, 6, 32, POINT_OFFSET, DT_F32, iq3_xxs_split },
	[DT_IQ3_S] = { 256, 110, 5, 32, ODD_OFFSET, DT_F32, iq3_s_split },
	[DT_TQ1_0] = { 256, 54, 2, 64, TERNARY_OFFSET, DT_F16, tq1_0_split },
	[DT_TQ2_0] = { 256, 66, 2, 64, TERNARY_OFFSET, DT_F16, tq2_0_split },
	[DT_Q1_0] = { 128, 18, 2, 64, TERNARY_OFFSET, DT_F16, q1_0_split },
	[DT_Q2_0] = { 64, 18, 2, 64, TERNARY_OFFSET, DT_F16, q2_0_split },
};

const struct block_form *code_form_of(enum dtype t)
{
	return forms[t].split ? &forms[t] : NULL;
}
