/* SPDX-License-Identifier: MIT */
/* coding.c - MLX's mxfp4, mxfp8 and nvfp4: small floats with a scale of one
 * byte per group, a power of two or an E4M3. The rule is that of MLX's GPU
 * kernels: halves of log2 away from zero, values to nearest even. */
#include "tensor/blocks.h"

#include <assert.h>
#include <math.h>

static const struct coding_info codings[CODING_COUNT] = {
	[CODING_AFFINE] = { "affine", 4, 64 },
	[CODING_MXFP4] = { "mxfp4", 4, 32 },
	[CODING_MXFP8] = { "mxfp8", 8, 32 },
	[CODING_NVFP4] = { "nvfp4", 4, 16 },
};
static const float fp4_values[8] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };

const struct coding_info *coding_info(enum coding c)
{
	return &codings[c];
}

enum coding coding_of(unsigned bits, unsigned group)
{
	return group == 16 ? CODING_NVFP4 : bits == 8 ? CODING_MXFP8 : CODING_MXFP4;
}

/* MLX reads 7F as 480, not as NaN. */
static float e4m3_value(unsigned byte)
{
	float v = f32_of_f16((uint16_t)((byte & 127) << 7)) * 256;

	return byte & 128 ? -v : v;
}

static unsigned e4m3_code(float v)
{
	float a = fabsf(v), step;
	unsigned sign = signbit(v) ? 128 : 0, n;
	int e;

	if (!(a < 448))
		return sign | 0x7e;
	if (a < 0x1p-6f) /* subnormal: multiples of 2^-9; 8 of them are the first normal */
		return sign | (unsigned)rintf(a * 512);
	frexpf(a, &e);
	step = ldexpf(1, e - 4);
	n = (unsigned)rintf(a / step); /* 8..16 */
	return sign | (((unsigned)(e - 1 + 7) << 3) + (n - 8));
}

/* To nearest, halves to the even code; a NaN is 7. */
static unsigned fp4_code(float v)
{
	float a = fabsf(v);
	unsigned sign = signbit(v) ? 8 : 0;
	static const float above[7] = { 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5 };
	unsigned code = 0;

	if (a != a)
		return 7;
	/* a tie below an odd code stays, one below an even code goes up */
	while (code < 7 && (code % 2 ? a >= above[code] : a > above[code]))
		code++;
	return sign | code;
}

static float scale_value(enum coding c, unsigned byte)
{
	if (c == CODING_NVFP4)
		return e4m3_value(byte);
	return byte == 255 ? INFINITY : ldexpf(1, (int)byte - 127);
}

static unsigned scale_code(enum coding c, float most)
{
	float r, l;

	if (c == CODING_NVFP4)
		return e4m3_code(most / 6);
	r = most / (c == CODING_MXFP4 ? 6 : 448);
	if (!isfinite(r))
		return 255;
	l = r > 0 ? roundf(log2f(r)) : -127;
	return (unsigned)((l < -127 ? -127 : l > 127 ? 127 : (int)l) + 127);
}

void coding_quantize(enum coding c, void *q, uint8_t *scales, const float *w, size_t n)
{
	unsigned group = codings[c].group;
	unsigned char *out = q;

	assert(c != CODING_AFFINE && n % group == 0);
	for (size_t g = 0; g < n / group; g++, w += group) {
		float most = 0, scale, inverse;

		for (unsigned i = 0; i < group; i++)
			most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
		scales[g] = (uint8_t)scale_code(c, most);
		scale = scale_value(c, scales[g]);
		inverse = scale == 0 ? 0 : 1 / scale;
		for (unsigned i = 0; i < group; i += 2) {
			if (c == CODING_MXFP8) {
				*out++ = (unsigned char)e4m3_code(w[i] * inverse);
				*out++ = (unsigned char)e4m3_code(w[i + 1] * inverse);
				continue;
			}
			*out++ = (unsigned char)(fp4_code(w[i] * inverse) | fp4_code(w[i + 1] * inverse) << 4);
		}
	}
}

void coding_dequantize(enum coding c, float *out, const void *q, const uint8_t *scales, size_t n)
{
	unsigned group = codings[c].group;
	const unsigned char *in = q;

	assert(c != CODING_AFFINE && n % group == 0);
	for (size_t i = 0; i < n; i++) {
		float s = scale_value(c, scales[i / group]), v;
		unsigned code;

		if (c == CODING_MXFP8) {
			out[i] = s * e4m3_value(in[i]);
			continue;
		}
		code = in[i / 2] >> (i % 2 ? 4 : 0) & 15;
		v = fp4_values[code & 7];
		out[i] = s * (code & 8 ? -v : v);
	}
}

void coding_to_affine(enum coding c, void *q, float *scales, float *biases, const void *in,
                      const uint8_t *s, size_t n)
{
	unsigned group = codings[c].group;
	const unsigned char *at = in;
	unsigned char *out = q;
	uint8_t code[32];

	assert(c == CODING_MXFP4 || c == CODING_NVFP4);
	for (size_t g = 0; g < n / group; g++, out += group * 5 / 8) {
		scales[g] = scale_value(c, s[g]) / 2;
		biases[g] = -12 * scales[g];
		for (unsigned i = 0; i < group; i++) {
			unsigned k = at[(g * group + i) / 2] >> (i % 2 ? 4 : 0) & 15;
			int v = (int)(2 * fp4_values[k & 7]);

			code[i] = (uint8_t)(12 + (k & 8 ? -v : v));
		}
		affine_pack(out, code, group, 5);
	}
}
