/* SPDX-License-Identifier: MIT */
/* codebook.c - GGUF blocks whose codes index a small table of values, and
 * the few others that are not of blocks.c's affine kind: to f32. */
#include "tensor/blocks.h"

static inline float half_at(const unsigned char *p)
{
	return f32_of_f16(load_u16(p));
}

static const float iq4_values[16] = {
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

/* E2M1, doubled. */
static const float fp4_values[16] = {
	0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12,
};

/* n bytes of two codes: low nibbles first, then all high ones. */
static inline void look_up(float *restrict out, const unsigned char *restrict q, int n,
                           const float *restrict table, float scale)
{
	for (int j = 0; j < n; j++) {
		out[j] = scale * table[q[j] & 15];
		out[j + n] = scale * table[q[j] >> 4];
	}
}

/* f16 d; u8 qs[16] */
void iq4_nl_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 32, out += 32, in += 18)
		look_up(out, in + 2, 16, iq4_values, half_at(in));
}

/* f16 d; u16 high; u8 low[4]; u8 qs[128] */
void iq4_xs_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, in += 136) {
		float d = half_at(in);
		unsigned high = load_u16(in + 2);

		for (int b = 0; b < 8; b++, out += 32) {
			unsigned low = in[4 + b / 2] >> (b % 2 ? 4 : 0) & 15;
			int scale = (int)(low | (high >> 2 * b & 3) << 4) - 32;
			look_up(out, in + 8 + 16 * b, 16, iq4_values, d * (float)scale);
		}
	}
}

/* u8 e; u8 qs[16]; the scale is 2^(e - 128) as the table is doubled */
void mxfp4_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 32, out += 32, in += 17) {
		uint32_t bits = in[0] < 2 ? 0x00200000u << in[0] : (uint32_t)(in[0] - 1) << 23;
		look_up(out, in + 1, 16, fp4_values, float_of_bits(bits));
	}
}

float nvfp4_scale(unsigned s)
{
	unsigned e = s >> 3 & 15, f = s & 7;

	if (s == 0 || s == 127)
		return 0;
	if (e == 0)
		return (float)f * 0x1p-10f;
	return (1.0f + (float)f / 8.0f) * float_of_bits((e - 8 + 127) << 23);
}

/* u8 s[4]; u8 qs[32]: four groups of 16 */
void nvfp4_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 64, in += 36)
		for (int g = 0; g < 4; g++, out += 16)
			look_up(out, in + 4 + 8 * g, 8, fp4_values, nvfp4_scale(in[g]));
}

/* f16 d; one bit a value: +d or -d */
void q1_0_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 128, out += 128, in += 18) {
		float d = half_at(in);

		for (int j = 0; j < 128; j++)
			out[j] = in[2 + j / 8] >> j % 8 & 1 ? d : -d;
	}
}

/* f16 d; two bits a value: (code - 1) * d */
void q2_0_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 64, out += 64, in += 18) {
		float d = half_at(in);

		for (int j = 0; j < 64; j++)
			out[j] = (float)((in[2 + j / 4] >> 2 * (j % 4) & 3) - 1) * d;
	}
}

/* f32 d; i8 qs[256]; i16 sums[16] */
void q8_k_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, out += 256, in += 292) {
		float d = float_of_bits(load_u32(in));

		for (int j = 0; j < 256; j++)
			out[j] = d * (float)(signed char)in[4 + j];
	}
}

/* Digit i of a byte that holds five base-3 digits as a fraction of 256. */
static inline float ternary(unsigned byte, unsigned power, float d)
{
	unsigned digit = ((byte * power & 255) * 3) >> 8;

	return (float)((int)digit - 1) * d;
}

/* u8 qs[48]; u8 qh[4]; f16 d */
void tq1_0_decode(float *out, const unsigned char *in, size_t n)
{
	static const unsigned powers[5] = { 1, 3, 9, 27, 81 };

	for (; n; n -= 256, out += 256, in += 54) {
		float d = half_at(in + 52);

		for (int i = 0; i < 5; i++)
			for (int m = 0; m < 32; m++)
				out[32 * i + m] = ternary(in[m], powers[i], d);
		for (int i = 0; i < 5; i++)
			for (int m = 0; m < 16; m++)
				out[160 + 16 * i + m] = ternary(in[32 + m], powers[i], d);
		for (int i = 0; i < 4; i++)
			for (int m = 0; m < 4; m++)
				out[240 + 4 * i + m] = ternary(in[48 + m], powers[i], d);
	}
}

/* u8 qs[64]; f16 d */
void tq2_0_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, out += 256, in += 66) {
		float d = half_at(in + 64);

		for (int h = 0; h < 2; h++)
			for (int i = 0; i < 4; i++)
				for (int m = 0; m < 32; m++) {
					int code = in[32 * h + m] >> 2 * i & 3;
					out[128 * h + 32 * i + m] = (float)(code - 1) * d;
				}
	}
}
