/* SPDX-License-Identifier: MIT */
/* encode.c - f32 to the GGUF blocks that need no search, bit for bit as
 * llama.cpp makes them: codes are chosen for the scale before it is rounded
 * to f16, and every product is rounded before the sum. */
#include "tensor/blocks.h"
#include "tensor/search.h"

#include <math.h>

static void range_of(float *lo, float *hi, const float *x, int n)
{
	*lo = *hi = x[0];
	for (int i = 1; i < n; i++) {
		if (x[i] < *lo)
			*lo = x[i];
		if (x[i] > *hi)
			*hi = x[i];
	}
}

/* Toward zero and kept in 0..top; what is no number is 0. */
static unsigned code_of(float v, unsigned top)
{
	if (!(v > 0))
		return 0;
	return v >= (float)top ? top : (unsigned)v;
}

/* Codes of 32 values: x * inverse + half, x being taken from `base`. */
static void codes_of(uint8_t *code, const float *x, float base, float inverse, float half,
                     unsigned top)
{
	for (int j = 0; j < 32; j++) {
		float product = (x[j] - base) * inverse;
		code[j] = (uint8_t)code_of(product + half, top);
	}
}

static void store_nibbles(unsigned char *q, const uint8_t *code)
{
	for (int j = 0; j < 16; j++)
		q[j] = (unsigned char)((code[j] & 15) | (code[j + 16] & 15) << 4);
}

static void store_fifth_bits(unsigned char *q, const uint8_t *code)
{
	uint32_t high = 0;

	for (int j = 0; j < 32; j++)
		high |= (uint32_t)(code[j] >> 4) << j;
	store_u32(q, high);
}

static float inverse_of(float d)
{
	return d != 0 ? 1.0f / d : 0;
}

void q4_0_encode(unsigned char *out, const float *in, size_t n)
{
	for (; n; n -= 32, in += 32, out += 18) {
		uint8_t code[32];
		float d = search_extreme(in, 32) / -8.0f;

		store_u16(out, f16_of_f32(d));
		codes_of(code, in, 0, inverse_of(d), 8.5f, 15);
		store_nibbles(out + 2, code);
	}
}

void q4_1_encode(unsigned char *out, const float *in, size_t n)
{
	for (; n; n -= 32, in += 32, out += 20) {
		uint8_t code[32];
		float lo, hi, d;

		range_of(&lo, &hi, in, 32);
		d = (hi - lo) / 15.0f;
		store_u16(out, f16_of_f32(d));
		store_u16(out + 2, f16_of_f32(lo));
		codes_of(code, in, lo, inverse_of(d), 0.5f, 15);
		store_nibbles(out + 4, code);
	}
}

void q5_0_encode(unsigned char *out, const float *in, size_t n)
{
	for (; n; n -= 32, in += 32, out += 22) {
		uint8_t code[32];
		float d = search_extreme(in, 32) / -16.0f;

		store_u16(out, f16_of_f32(d));
		codes_of(code, in, 0, inverse_of(d), 16.5f, 31);
		store_fifth_bits(out + 2, code);
		store_nibbles(out + 6, code);
	}
}

void q5_1_encode(unsigned char *out, const float *in, size_t n)
{
	for (; n; n -= 32, in += 32, out += 24) {
		uint8_t code[32];
		float lo, hi, d;

		range_of(&lo, &hi, in, 32);
		d = (hi - lo) / 31.0f;
		store_u16(out, f16_of_f32(d));
		store_u16(out + 2, f16_of_f32(lo));
		codes_of(code, in, lo, inverse_of(d), 0.5f, 31);
		store_fifth_bits(out + 4, code);
		store_nibbles(out + 8, code);
	}
}

void q8_0_encode(unsigned char *out, const float *in, size_t n)
{
	for (; n; n -= 32, in += 32, out += 34) {
		float d = fabsf(search_extreme(in, 32)) / 127.0f, inverse = inverse_of(d);

		store_u16(out, f16_of_f32(d));
		for (int j = 0; j < 32; j++) {
			float v = roundf(in[j] * inverse);
			int code = v > 127 ? 127 : v < -127 ? -127 : v == v ? (int)v : 0;
			out[2 + j] = (unsigned char)(signed char)code;
		}
	}
}

/* ---- by importance: the codes of the search are final */

/* w = q * sqrt(mean square of the row + x * x) */
static void weights_of(float *w, const float *x, const float *q, float mean)
{
	for (int i = 0; i < 32; i++)
		w[i] = q[i] * sqrtf(mean + x[i] * x[i]);
}

static float mean_square(const float *x, size_t n)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i] * x[i];
	return sum / (float)n;
}

static void centred_by(unsigned char *out, const float *in, const float *q, size_t n, int top)
{
	float mean = mean_square(in, n), w[32];
	uint8_t code[32];

	for (; n; n -= 32, in += 32, q += 32) {
		weights_of(w, in, q, mean);
		store_u16(out, f16_of_f32(search_centred(code, in, w, 32, top)));
		out += 2;
		if (top == 16) {
			store_fifth_bits(out, code);
			out += 4;
		}
		store_nibbles(out, code);
		out += 16;
	}
}

static void based_by(unsigned char *out, const float *in, const float *q, size_t n, int top)
{
	static const struct search_walk walk = { -0.9f, 0.05f, 36, false };
	float mean = mean_square(in, n), w[32], minimum;
	uint8_t code[32];

	for (; n; n -= 32, in += 32, q += 32) {
		weights_of(w, in, q, mean);
		store_u16(out, f16_of_f32(search_based(code, &minimum, in, w, 32, top, &walk)));
		store_u16(out + 2, f16_of_f32(-minimum));
		out += 4;
		if (top == 31) {
			store_fifth_bits(out, code);
			out += 4;
		}
		store_nibbles(out, code);
		out += 16;
	}
}

void q4_0_encode_by(unsigned char *out, const float *in, const float *q, size_t n)
{
	centred_by(out, in, q, n, 8);
}

void q5_0_encode_by(unsigned char *out, const float *in, const float *q, size_t n)
{
	centred_by(out, in, q, n, 16);
}

void q4_1_encode_by(unsigned char *out, const float *in, const float *q, size_t n)
{
	based_by(out, in, q, n, 15);
}

void q5_1_encode_by(unsigned char *out, const float *in, const float *q, size_t n)
{
	based_by(out, in, q, n, 31);
}
