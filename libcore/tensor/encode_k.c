/* SPDX-License-Identifier: MIT */
/* encode_k.c - f32 to the K-quants, bit for bit as llama.cpp makes them:
 * scales of 16 or 32 values by search, scales of scales, then codes for the
 * scales as they are stored. `q` is the importance of the row's columns, or
 * NULL. */
#include "tensor/blocks.h"
#include "tensor/search.h"

#include <math.h>

enum { BLOCK = 256 };

/* What a based type (q2_k q4_k q5_k) differs by. */
struct based_form {
	int top, run, scale_top;   /* of codes; values a scale; of scale codes */
	struct search_walk plain, weighted;
};
static const struct based_form two_bits = { 3, 16, 15, { -0.5f, 0.1f, 15, true },
	                                    { -0.9f, 0.05f, 36, false } };
static const struct based_form four_bits = { 15, 32, 63, { -1, 0.1f, 20, false },
	                                     { -0.9f, 0.05f, 36, false } };
static const struct based_form five_bits = { 31, 32, 63, { -0.5f, 0.1f, 15, false },
	                                     { -0.9f, 0.05f, 36, false } };

static float square_sum(const float *x, int n)
{
	float sum = 0;

	for (int i = 0; i < n; i++)
		sum += x[i] * x[i];
	return sum;
}

/* Weights of one run without importance. */
static void plain_weights(float *w, const float *x, const struct based_form *f)
{
	float average = f->run == 32 ? sqrtf(square_sum(x, 32) / 32) : 0;

	for (int i = 0; i < f->run; i++)
		w[i] = average + fabsf(x[i]);
}

static void weights_of(float *w, const float *x, const float *q, float v, int n)
{
	for (int i = 0; i < n; i++)
		w[i] = q[i] * sqrtf(v + x[i] * x[i]);
}

/* A block's codes, and the codes of its scales and minima. */
struct based_block {
	uint8_t code[BLOCK], scale[16], minimum[16];
	uint16_t d, dmin;
};

static uint16_t plain_scales(uint8_t *code, const float *s, int n, int top)
{
	float most = 0;

	for (int i = 0; i < n; i++)
		most = s[i] > most ? s[i] : most;
	for (int i = 0; i < n; i++) {
		float v = most > 0 ? rintf((float)top / most * s[i]) : 0;
		unsigned byte = fabsf(v) < 0x1p24f ? (unsigned)(int)v & 255 : 0;

		code[i] = (uint8_t)(byte > (unsigned)top ? (unsigned)top : byte);
	}
	return f16_of_f32(most / (float)top);
}

/* Codes for the scales as stored; where one is zero those of the search stay. */
static void recode(struct based_block *b, const float *x, const struct based_form *f)
{
	float d = f32_of_f16(b->d), dmin = f32_of_f16(b->dmin);

	for (int i = 0; i < BLOCK; i++) {
		int j = i / f->run;
		float scale = d * (float)b->scale[j], v;

		if (scale == 0)
			continue;
		v = rintf((x[i] + dmin * (float)b->minimum[j]) / scale);
		b->code[i] = (uint8_t)(!(v > 0) ? 0 : v > (float)f->top ? f->top : (int)v);
	}
}

static void based_encode(struct based_block *b, const float *x, const float *q,
                         const struct based_form *f)
{
	float scale[16], minimum[16], sum[16], w[32];
	/* a run of 32 has its squares joined by twice the mean of the block's */
	float v = (f->run == 32 ? 2 : 1) * square_sum(x, BLOCK) / BLOCK;
	int n = BLOCK / f->run;

	for (int j = 0; j < n; j++) {
		const float *at = x + j * f->run;

		if (q)
			weights_of(w, at, q + j * f->run, v, f->run);
		else
			plain_weights(w, at, f);
		sum[j] = 0;
		for (int i = 0; i < f->run; i++)
			sum[j] += w[i];
		scale[j] = search_based(b->code + j * f->run, &minimum[j], at, w, f->run, f->top,
		                        q ? &f->weighted : &f->plain);
	}
	if (q) {
		b->d = f16_of_f32(search_positive(b->scale, scale, sum, n, f->scale_top));
		b->dmin = f16_of_f32(search_positive(b->minimum, minimum, sum, n, f->scale_top));
	} else {
		b->d = plain_scales(b->scale, scale, n, f->scale_top);
		b->dmin = plain_scales(b->minimum, minimum, n, f->scale_top);
	}
	recode(b, x, f);
}

void q2_k_encode(unsigned char *out, const float *in, const float *q, size_t n)
{
	for (; n; n -= BLOCK, in += BLOCK, out += 84, q = q ? q + BLOCK : q) {
		struct based_block b;

		based_encode(&b, in, q, &two_bits);
		memset(out, 0, 84);
		for (int k = 0; k < 16; k++)
			out[k] = (unsigned char)(b.scale[k] | b.minimum[k] << 4);
		for (int i = 0; i < BLOCK; i++)
			out[16 + i / 128 * 32 + i % 32] |= (unsigned char)(b.code[i] << 2 * (i % 128 / 32));
		store_u16(out + 80, b.d);
		store_u16(out + 82, b.dmin);
	}
}

/* Eight scales and minima of six bits in u8 s[12]. */
static void put_six_bits(unsigned char *s, const struct based_block *b)
{
	memset(s, 0, 12);
	for (int j = 0; j < 8; j++) {
		unsigned sc = b->scale[j], mn = b->minimum[j];

		if (j < 4) {
			s[j] |= (unsigned char)sc;
			s[j + 4] |= (unsigned char)mn;
			continue;
		}
		s[j + 4] = (unsigned char)((sc & 15) | (mn & 15) << 4);
		s[j - 4] |= (unsigned char)(sc >> 4 << 6);
		s[j] |= (unsigned char)(mn >> 4 << 6);
	}
}

static void put_low_halves(unsigned char *qs, const uint8_t *code)
{
	for (int c = 0; c < 4; c++)
		for (int l = 0; l < 32; l++)
			qs[32 * c + l] = (unsigned char)((code[64 * c + l] & 15) |
			                                 (code[64 * c + 32 + l] & 15) << 4);
}

void q4_k_encode(unsigned char *out, const float *in, const float *q, size_t n)
{
	for (; n; n -= BLOCK, in += BLOCK, out += 144, q = q ? q + BLOCK : q) {
		struct based_block b;

		based_encode(&b, in, q, &four_bits);
		store_u16(out, b.d);
		store_u16(out + 2, b.dmin);
		put_six_bits(out + 4, &b);
		put_low_halves(out + 16, b.code);
	}
}

void q5_k_encode(unsigned char *out, const float *in, const float *q, size_t n)
{
	for (; n; n -= BLOCK, in += BLOCK, out += 176, q = q ? q + BLOCK : q) {
		struct based_block b;

		based_encode(&b, in, q, &five_bits);
		store_u16(out, b.d);
		store_u16(out + 2, b.dmin);
		put_six_bits(out + 4, &b);
		memset(out + 16, 0, 32);
		for (int i = 0; i < BLOCK; i++)
			out[16 + i % 32] |= (unsigned char)((b.code[i] >> 4) << i / 32);
		put_low_halves(out + 48, b.code);
	}
}

/* Codes -top .. top - 1 for the scales as stored, + top. */
static void recode_centred(uint8_t *code, const float *x, const float *scale, int top)
{
	for (int i = 0; i < BLOCK; i++) {
		float s = scale[i / 16], v;

		if (s == 0)
			continue;
		v = rintf(x[i] / s);
		code[i] = (uint8_t)(top + (!(v > (float)-top) ? -top : v > (float)(top - 1) ? top - 1
		                                                                  : (int)v));
	}
}

/* Six-bit codes of the 16 scales of a q3_k block; gives d. */
static float three_bit_scales(uint8_t *s, uint8_t *code, const float *x, const float *q)
{
	float scale[16], sum[16], w[16], v = 2 * square_sum(x, BLOCK) / BLOCK, most;

	for (int j = 0; j < 16; j++) {
		const float *at = x + 16 * j;

		if (!q) {
			scale[j] = search_three_bits(code + 16 * j, at, 16);
			continue;
		}
		weights_of(w, at, q + 16 * j, v, 16);
		sum[j] = 0;
		for (int i = 0; i < 16; i++)
			sum[j] += w[i];
		scale[j] = search_centred(code + 16 * j, at, w, 16, 4);
	}
	if (q)
		return search_centred(s, scale, sum, 16, 32);
	memset(s, 0, 16);
	most = search_extreme(scale, 16);
	if (most == 0)
		return 0;
	for (int j = 0; j < 16; j++) {
		float c = rintf(-32.0f / most * scale[j]);

		s[j] = (uint8_t)(32 + (!(c > -32) ? -32 : c > 31 ? 31 : (int)c));
	}
	return 1 / (-32.0f / most);
}

void q3_k_encode(unsigned char *out, const float *in, const float *q, size_t n)
{
	for (; n; n -= BLOCK, in += BLOCK, out += 110, q = q ? q + BLOCK : q) {
		uint8_t code[BLOCK], s[16];
		float scale[16];
		uint16_t d = f16_of_f32(three_bit_scales(s, code, in, q));

		for (int j = 0; j < 16; j++)
			scale[j] = f32_of_f16(d) * (float)(s[j] - 32);
		recode_centred(code, in, scale, 4);
		memset(out, 0, 110);
		for (int i = 0; i < BLOCK; i++) {
			out[i % 32] |= (unsigned char)((code[i] >> 2) << i / 32);
			out[32 + i / 128 * 32 + i % 32] |=
				(unsigned char)((code[i] & 3) << 2 * (i % 128 / 32));
		}
		for (int j = 0; j < 16; j++) {
			out[96 + j % 8] |= (unsigned char)((s[j] & 15) << (j < 8 ? 0 : 4));
			out[104 + j % 4] |= (unsigned char)((s[j] >> 4) << 2 * (j / 4));
		}
		store_u16(out + 108, d);
	}
}

static void put_six_bit_codes(unsigned char *out, const uint8_t *code)
{
	for (int h = 0; h < 2; h++)
		for (int t = 0; t < 4; t++)
			for (int l = 0; l < 32; l++) {
				unsigned c = code[128 * h + 32 * t + l];

				out[64 * h + 32 * (t & 1) + l] |= (unsigned char)((c & 15) << (t < 2 ? 0 : 4));
				out[128 + 32 * h + l] |= (unsigned char)((c >> 4) << 2 * t);
			}
}

void q6_k_encode(unsigned char *out, const float *in, const float *q, size_t n)
{
	for (; n; n -= BLOCK, in += BLOCK, out += 210, q = q ? q + BLOCK : q) {
		uint8_t code[BLOCK];
		float scale[16], most, inverse;
		uint16_t d;

		memset(out, 0, 210);
		for (int j = 0; j < 16; j++)
			scale[j] = search_centred(code + 16 * j, in + 16 * j, q ? q + 16 * j : NULL, 16, 32);
		most = search_extreme(scale, 16);
		if (fabsf(most) < 1e-15f)
			continue;
		inverse = -128.0f / most;
		d = f16_of_f32(1 / inverse);
		for (int j = 0; j < 16; j++) {
			float v = rintf(inverse * scale[j]);
			int c = !(v > -128) ? -128 : v > 127 ? 127 : (int)v;

			out[192 + j] = (unsigned char)(signed char)c;
			scale[j] = f32_of_f16(d) * (float)c;
		}
		recode_centred(code, in, scale, 32);
		put_six_bit_codes(out, code);
		store_u16(out + 208, d);
	}
}
