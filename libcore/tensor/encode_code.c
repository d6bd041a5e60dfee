/* SPDX-License-Identifier: MIT */
/* encode_code.c - f32 to the codebook blocks iq4_nl, iq4_xs, mxfp4 and
 * nvfp4, bit for bit as llama.cpp makes them. `q` is the importance of the
 * row's columns, or NULL. */
#include "tensor/blocks.h"
#include "tensor/search.h"

#include <math.h>

static const float iq4_values[16] = {
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

/* The entry nearest to v. */
static int near(float v)
{
	int i = 1;

	if (!(v > iq4_values[0]))
		return 0;
	if (v >= iq4_values[15])
		return 15;
	while (v >= iq4_values[i])
		i++;
	return v - iq4_values[i - 1] < iq4_values[i] - v ? i - 1 : i;
}

static void fit(float *a, float *b, const float *x, const float *w, float inverse)
{
	*a = *b = 0;
	for (int i = 0; i < 32; i++) {
		float value = iq4_values[near(x[i] * inverse)];

		*a += w[i] * value * x[i];
		*b += w[i] * value * value;
	}
}

/* The scale of 32 values; v is what joins their squares under importance. */
static float iq4_scale(const float *x, const float *q, float v)
{
	float most = search_extreme(x, 32), w[32], a, b, s, best;

	if (fabsf(most) < 1e-15f)
		return 0;
	for (int i = 0; i < 32; i++)
		w[i] = q ? q[i] * sqrtf(v + x[i] * x[i]) : x[i] * x[i];
	s = -most / iq4_values[0];
	fit(&a, &b, x, w, 1 / s);
	s = b > 0 ? a / b : 0;
	best = s * a;
	for (int k = -7; k <= 7; k++) {
		fit(&a, &b, x, w, ((float)k + iq4_values[0]) / most);
		if (b > 0 && a * a > best * b) {
			s = a / b;
			best = s * a;
		}
	}
	return s;
}

static float square_sum(const float *x, int n)
{
	float sum = 0;

	for (int i = 0; i < n; i++)
		sum += x[i] * x[i];
	return sum;
}

static void put_codes(unsigned char *qs, const float *x, float s)
{
	float inverse = s != 0 ? 1 / s : 0;

	for (int j = 0; j < 16; j++)
		qs[j] = (unsigned char)(near(x[j] * inverse) | near(x[j + 16] * inverse) << 4);
}

void iq4_nl_encode(unsigned char *out, const float *in, const float *q, size_t n)
{
	for (; n; n -= 32, in += 32, out += 18, q = q ? q + 32 : q) {
		float s = iq4_scale(in, q, 2 * square_sum(in, 32) / 32);

		store_u16(out, f16_of_f32(s));
		put_codes(out + 2, in, s);
	}
}

void iq4_xs_encode(unsigned char *out, const float *in, const float *q, size_t n)
{
	for (; n; n -= 256, in += 256, out += 136, q = q ? q + 256 : q) {
		float s[8], d, inverse, v = 2 * square_sum(in, 256) / 256;
		unsigned high = 0;

		for (int b = 0; b < 8; b++)
			s[b] = iq4_scale(in + 32 * b, q ? q + 32 * b : NULL, v);
		d = -search_extreme(s, 8) / 32;
		inverse = d != 0 ? 1 / d : 0;
		store_u16(out, f16_of_f32(d));
		memset(out + 4, 0, 4);
		for (int b = 0; b < 8; b++) {
			float r = rintf(inverse * s[b]);
			int l = !(r > -32) ? -32 : r > 31 ? 31 : (int)r;
			unsigned c = (unsigned)(l + 32);

			put_codes(out + 8 + 16 * b, in + 32 * b, d * (float)l);
			out[4 + b / 2] |= (unsigned char)((c & 15) << (b % 2 ? 4 : 0));
			high |= c >> 4 << 2 * b;
		}
		store_u16(out + 2, (uint16_t)high);
	}
}

/* ---- E2M1, doubled: the first nearest, so that no zero is negative */

static unsigned fp4_code(float v, float d)
{
	static const float values[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };
	unsigned best = 0;
	float least = fabsf(values[0] * d - v);

	for (unsigned i = 1; i < 16; i++) {
		float error = fabsf(values[i] * d - v);

		if (error < least) {
			least = error;
			best = i;
		}
	}
	return best;
}

static void put_fp4(unsigned char *qs, const float *x, int half, float d)
{
	for (int j = 0; j < half; j++)
		qs[j] = (unsigned char)(fp4_code(x[j], d) | fp4_code(x[j + half], d) << 4);
}

void mxfp4_encode(unsigned char *out, const float *in, size_t n)
{
	for (; n; n -= 32, in += 32, out += 17) {
		float most = fabsf(search_extreme(in, 32));
		float l = most > 0 ? floorf(log2f(most)) + 125 : 0;
		int e = l < 0 ? 0 : l > 254 ? 254 : (int)l;

		out[0] = (unsigned char)e;
		put_fp4(out + 1, in, 16, ldexpf(1, e - 128));
	}
}

/* To an E4M3 without sign, half up; what is too large is the largest. */
static unsigned nvfp4_scale_code(float x)
{
	uint32_t bits;
	int e, m;

	if (!(x > 0))
		return 0;
	x = x > 448 ? 448 : x;
	bits = bits_of_float(x);
	e = (int)(bits >> 23) - 127 + 7;
	if (e <= 0) {
		m = (int)(x * 512 + 0.5f);
		return (unsigned)(m > 7 ? 7 : m);
	}
	m = (int)(bits >> 20 & 7) + (int)(bits >> 19 & 1);
	if (m == 8) {
		m = 0;
		e++;
	}
	return e >= 15 ? 126 : (unsigned)(e << 3 | m);
}

void nvfp4_encode(unsigned char *out, const float *in, size_t n)
{
	for (; n; n -= 64, out += 36)
		for (int g = 0; g < 4; g++, in += 16) {
			unsigned s = nvfp4_scale_code(fabsf(search_extreme(in, 16)) / 6);

			out[g] = (unsigned char)s;
			put_fp4(out + 4 + 8 * g, in, 8, nvfp4_scale(s));
		}
}
