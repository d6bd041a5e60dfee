/* SPDX-License-Identifier: MIT */
/* dtype.c - a row per dtype: name, block, and the way to f32 and back.
 * Block types' own layouts are in blocks.c, codebook.c and encode.c. */
#include "tensor/tensor.h"

#include "tensor/blocks.h"
#include "tensor/rows.h"

#include <assert.h>

float f16_to_f32(uint16_t h)
{
	return f32_of_f16(h);
}

uint16_t f16_from_f32(float f)
{
	return f16_of_f32(f);
}

float bf16_to_f32(uint16_t h)
{
	return f32_of_bf16(h);
}

uint16_t bf16_from_f32(float f)
{
	return bf16_of_f32(f);
}

static void f16_decode(float *out, const unsigned char *in, size_t n)
{
	rows_best()->f16_decode(out, in, n);
}

/* Eight at a time, which the compiler makes vectors of. */
static void bf16_decode(float *restrict out, const unsigned char *restrict in, size_t n)
{
	uint16_t h[8];
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		memcpy(h, in + 2 * i, sizeof h);
		for (size_t k = 0; k < 8; k++)
			out[i + k] = f32_of_bf16(h[k]);
	}
	for (; i < n; i++)
		out[i] = f32_of_bf16(load_u16(in + 2 * i));
}

static void f32_decode(float *out, const unsigned char *in, size_t n)
{
	memcpy(out, in, n * sizeof *out);
}

static void f64_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double d;
		memcpy(&d, in + 8 * i, sizeof d);
		out[i] = (float)d;
	}
}

/* E4M3 as in the OCP "fn" variant: no infinities, 7F and FF are NaN. */
static void f8_e4m3_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t sign = (uint32_t)(in[i] & 0x80) << 24, em = in[i] & 0x7f;
		float f = f32_of_f16((uint16_t)(em << 7)) * 256.0f;
		out[i] = float_of_bits(sign | (em == 0x7f ? 0x7fc00000 : bits_of_float(f)));
	}
}

static void f8_e5m2_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = f32_of_f16((uint16_t)(in[i] << 8));
}

/* A power of two: 2^(byte - 127); 255 is NaN. */
static void f8_e8m0_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = float_of_bits(in[i] == 255 ? 0x7fc00000 :
		                       in[i] == 0   ? 0x00400000 :
		                                      (uint32_t)in[i] << 23);
}

static void bool_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = in[i] != 0;
}

static void u8_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = in[i];
}

static void i8_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (signed char)in[i];
}

static void u16_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = load_u16(in + 2 * i);
}

static void i16_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (int16_t)load_u16(in + 2 * i);
}

static void u32_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (float)load_u32(in + 4 * i);
}

static void i32_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (float)(int32_t)load_u32(in + 4 * i);
}

static void u64_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v;
		memcpy(&v, in + 8 * i, sizeof v);
		out[i] = (float)v;
	}
}

static void i64_decode(float *out, const unsigned char *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t v;
		memcpy(&v, in + 8 * i, sizeof v);
		out[i] = (float)v;
	}
}

static void f16_encode(unsigned char *out, const float *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		store_u16(out + 2 * i, f16_of_f32(in[i]));
}

static void bf16_encode(unsigned char *out, const float *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		store_u16(out + 2 * i, bf16_of_f32(in[i]));
}

static void f32_encode(unsigned char *out, const float *in, size_t n)
{
	memcpy(out, in, n * sizeof *in);
}

static void f64_encode(unsigned char *out, const float *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double d = in[i];
		memcpy(out + 8 * i, &d, sizeof d);
	}
}

/* `decode` is NULL for the types of blocks.c, which have a block_form. */
static const struct row {
	struct dtype_info info;
	void (*decode)(float *out, const unsigned char *in, size_t n);
	void (*encode)(unsigned char *out, const float *in, size_t n);
	/* by importance; without `encode` its q may be NULL */
	void (*encode_by)(unsigned char *out, const float *in, const float *q, size_t n);
} rows[DT_COUNT] = {
	[DT_BOOL] = { { "bool", 1, 1, false }, bool_decode, NULL, NULL },
	[DT_I8] = { { "i8", 1, 1, false }, i8_decode, NULL, NULL },
	[DT_I16] = { { "i16", 1, 2, false }, i16_decode, NULL, NULL },
	[DT_I32] = { { "i32", 1, 4, false }, i32_decode, NULL, NULL },
	[DT_I64] = { { "i64", 1, 8, false }, i64_decode, NULL, NULL },
	[DT_U8] = { { "u8", 1, 1, false }, u8_decode, NULL, NULL },
	[DT_U16] = { { "u16", 1, 2, false }, u16_decode, NULL, NULL },
	[DT_U32] = { { "u32", 1, 4, false }, u32_decode, NULL, NULL },
	[DT_U64] = { { "u64", 1, 8, false }, u64_decode, NULL, NULL },
	[DT_F16] = { { "f16", 1, 2, true }, f16_decode, f16_encode, NULL },
	[DT_BF16] = { { "bf16", 1, 2, true }, bf16_decode, bf16_encode, NULL },
	[DT_F32] = { { "f32", 1, 4, true }, f32_decode, f32_encode, NULL },
	[DT_F64] = { { "f64", 1, 8, true }, f64_decode, f64_encode, NULL },
	[DT_C64] = { { "c64", 1, 8, false }, NULL, NULL, NULL },
	[DT_F8_E4M3] = { { "f8_e4m3", 1, 1, true }, f8_e4m3_decode, NULL, NULL },
	[DT_F8_E5M2] = { { "f8_e5m2", 1, 1, true }, f8_e5m2_decode, NULL, NULL },
	[DT_F8_E8M0] = { { "f8_e8m0", 1, 1, true }, f8_e8m0_decode, NULL, NULL },
	[DT_Q4_0] = { { "q4_0", 32, 18, false }, NULL, q4_0_encode, q4_0_encode_by },
	[DT_Q4_1] = { { "q4_1", 32, 20, false }, NULL, q4_1_encode, q4_1_encode_by },
	[DT_Q5_0] = { { "q5_0", 32, 22, false }, NULL, q5_0_encode, q5_0_encode_by },
	[DT_Q5_1] = { { "q5_1", 32, 24, false }, NULL, q5_1_encode, q5_1_encode_by },
	[DT_Q8_0] = { { "q8_0", 32, 34, false }, NULL, q8_0_encode, NULL },
	[DT_Q8_1] = { { "q8_1", 32, 36, false }, NULL, NULL, NULL },
	[DT_Q2_K] = { { "q2_k", 256, 84, false }, NULL, NULL, q2_k_encode },
	[DT_Q3_K] = { { "q3_k", 256, 110, false }, NULL, NULL, q3_k_encode },
	[DT_Q4_K] = { { "q4_k", 256, 144, false }, NULL, NULL, q4_k_encode },
	[DT_Q5_K] = { { "q5_k", 256, 176, false }, NULL, NULL, q5_k_encode },
	[DT_Q6_K] = { { "q6_k", 256, 210, false }, NULL, NULL, q6_k_encode },
	[DT_Q8_K] = { { "q8_k", 256, 292, false }, q8_k_decode, NULL, NULL },
	[DT_IQ1_S] = { { "iq1_s", 256, 50, false }, iq1_s_decode, NULL, NULL },
	[DT_IQ1_M] = { { "iq1_m", 256, 56, false }, iq1_m_decode, NULL, NULL },
	[DT_IQ2_XXS] = { { "iq2_xxs", 256, 66, false }, iq2_xxs_decode, NULL, NULL },
	[DT_IQ2_XS] = { { "iq2_xs", 256, 74, false }, iq2_xs_decode, NULL, NULL },
	[DT_IQ2_S] = { { "iq2_s", 256, 82, false }, iq2_s_decode, NULL, NULL },
	[DT_IQ3_XXS] = { { "iq3_xxs", 256, 98, false }, iq3_xxs_decode, NULL, NULL },
	[DT_IQ3_S] = { { "iq3_s", 256, 110, false }, iq3_s_decode, NULL, NULL },
	[DT_IQ4_NL] = { { "iq4_nl", 32, 18, false }, iq4_nl_decode, NULL, iq4_nl_encode },
	[DT_IQ4_XS] = { { "iq4_xs", 256, 136, false }, iq4_xs_decode, NULL, iq4_xs_encode },
	[DT_TQ1_0] = { { "tq1_0", 256, 54, false }, tq1_0_decode, NULL, NULL },
	[DT_TQ2_0] = { { "tq2_0", 256, 66, false }, tq2_0_decode, NULL, NULL },
	[DT_MXFP4] = { { "mxfp4", 32, 17, false }, mxfp4_decode, mxfp4_encode, NULL },
	[DT_NVFP4] = { { "nvfp4", 64, 36, false }, nvfp4_decode, nvfp4_encode, NULL },
	[DT_Q1_0] = { { "q1_0", 128, 18, false }, q1_0_decode, NULL, NULL },
	[DT_Q2_0] = { { "q2_0", 64, 18, false }, q2_0_decode, NULL, NULL },
};

const struct dtype_info *dtype_info(enum dtype t)
{
	assert((unsigned)t < DT_COUNT);
	return &rows[t].info;
}

bool dtype_to_f32(enum dtype t, float *out, const void *in, size_t n)
{
	const struct block_form *form = block_form_of(t);

	assert((unsigned)t < DT_COUNT && n % rows[t].info.block == 0);
	if (form)
		block_form_decode(form, out, in, n);
	else if (rows[t].decode)
		rows[t].decode(out, in, n);
	else
		return false;
	return true;
}

bool dtype_from_f32_by(enum dtype t, void *out, const float *in, const float *q, size_t n)
{
	const struct row *r = &rows[t];

	assert((unsigned)t < DT_COUNT && n % r->info.block == 0);
	if (r->encode_by && (q || !r->encode))
		r->encode_by(out, in, q, n);
	else if (r->encode)
		r->encode(out, in, n);
	else
		return false;
	return true;
}

bool dtype_from_f32(enum dtype t, void *out, const float *in, size_t n)
{
	return dtype_from_f32_by(t, out, in, NULL, n);
}
