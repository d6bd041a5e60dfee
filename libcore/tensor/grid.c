/* SPDX-License-Identifier: MIT */
/* grid.c - the IQ blocks whose codes name points of a grid: to f32. A block
 * has 8 groups of 32 values, a group 4 sub-groups of 8. */
#include "tensor/blocks.h"

#include "tensor/grids.h"

static const float values2[4] = { 8, 25, 43, 0 };
static const float values_xxs3[8] = { 4, 12, 20, 28, 36, 44, 52, 62 };
static const float values_s3[8] = { 1, 3, 5, 7, 9, 11, 13, 15 };

static inline float half_at(const unsigned char *p)
{
	return f32_of_f16(load_u16(p));
}

/* Seven signs; the eighth makes the number of minuses even. */
static unsigned even_signs(unsigned k)
{
	unsigned parity = k ^ k >> 4;

	parity ^= parity >> 2;
	parity ^= parity >> 1;
	return k | (parity & 1) << 7;
}

/* A set bit of `signs` negates. */
static inline void put8(float *out, unsigned point, const float *values, float scale,
                        unsigned signs)
{
	for (int j = 0; j < 8; j++) {
		float v = scale * values[point >> 2 * j & 3];
		out[j] = signs >> j & 1 ? -v : v;
	}
}

static inline void put4(float *out, unsigned point, const float *values, float scale,
                        unsigned signs)
{
	for (int j = 0; j < 4; j++) {
		float v = scale * values[point >> 3 * j & 7];
		out[j] = signs >> j & 1 ? -v : v;
	}
}

/* Points of -1, 0 and 1, all moved by delta. */
static inline void put_ternary(float *out, unsigned point, float scale, float delta)
{
	for (int j = 0; j < 8; j++)
		out[j] = scale * ((float)((int)(point >> 2 * j & 3) - 1) + delta);
}

static float scale2(float d, unsigned nibble)
{
	return d * (0.5f + (float)nibble) * 0.25f;
}

/* f16 d; u16 qs[32] */
void iq2_xxs_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, in += 66)
		for (int g = 0; g < 8; g++) {
			const unsigned char *q = in + 2 + 8 * g;
			uint32_t signs = load_u32(q + 4);
			float scale = scale2(half_at(in), signs >> 28);

			for (int l = 0; l < 4; l++, out += 8)
				put8(out, iq2_xxs_grid[q[l]], values2, scale,
				     even_signs(signs >> 7 * l & 127));
		}
}

/* f16 d; u16 qs[32]; u8 s[8] */
void iq2_xs_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, in += 74)
		for (int g = 0; g < 8; g++)
			for (int l = 0; l < 4; l++, out += 8) {
				unsigned q = load_u16(in + 2 + 8 * g + 2 * l);
				unsigned nibble = in[66 + g] >> (l < 2 ? 0 : 4) & 15;

				put8(out, iq2_xs_grid[q & 511], values2,
				     scale2(half_at(in), nibble), even_signs(q >> 9));
			}
}

/* f16 d; u8 qs[32]; u8 signs[32]; u8 qh[8]; u8 s[8] */
void iq2_s_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, in += 82)
		for (int g = 0; g < 8; g++)
			for (int l = 0; l < 4; l++, out += 8) {
				unsigned high = in[66 + g] >> 2 * l & 3;
				unsigned nibble = in[74 + g] >> (l < 2 ? 0 : 4) & 15;

				put8(out, iq2_s_grid[in[2 + 4 * g + l] | high << 8], values2,
				     scale2(half_at(in), nibble), in[34 + 4 * g + l]);
			}
}

/* f16 d; u8 qs[64]; u32 x[8] */
void iq3_xxs_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, in += 98)
		for (int g = 0; g < 8; g++) {
			uint32_t x = load_u32(in + 66 + 4 * g);
			float scale = half_at(in) * (0.5f + (float)(x >> 28)) * 0.5f;

			for (int l = 0; l < 4; l++, out += 8) {
				const unsigned char *q = in + 2 + 8 * g + 2 * l;
				unsigned signs = even_signs(x >> 7 * l & 127);

				put4(out, iq3_xxs_grid[q[0]], values_xxs3, scale, signs);
				put4(out + 4, iq3_xxs_grid[q[1]], values_xxs3, scale, signs >> 4);
			}
		}
}

/* f16 d; u8 qs[64]; u8 qh[8]; u8 signs[32]; u8 s[4] */
void iq3_s_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, in += 110)
		for (int g = 0; g < 8; g++) {
			unsigned nibble = in[106 + g / 2] >> (g % 2 ? 4 : 0) & 15;
			float scale = half_at(in) * (float)(1 + 2 * nibble);

			for (int l = 0; l < 4; l++, out += 8) {
				const unsigned char *q = in + 2 + 8 * g + 2 * l;
				unsigned high = in[66 + g] >> 2 * l, signs = in[74 + 4 * g + l];

				put4(out, iq3_s_grid[q[0] | (high & 1) << 8], values_s3, scale,
				     signs);
				put4(out + 4, iq3_s_grid[q[1] | (high >> 1 & 1) << 8], values_s3,
				     scale, signs >> 4);
			}
		}
}

/* f16 d; u8 qs[32]; u16 qh[8] */
void iq1_s_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, in += 50)
		for (int g = 0; g < 8; g++) {
			unsigned high = load_u16(in + 34 + 2 * g);
			float scale = half_at(in) * (float)(2 * (high >> 12 & 7) + 1);
			float delta = high & 0x8000 ? -0.125f : 0.125f;

			for (int l = 0; l < 4; l++, out += 8)
				put_ternary(out,
				            iq1_grid[in[2 + 4 * g + l] | (high >> 3 * l & 7) << 8],
				            scale, delta);
		}
}

/* u8 qs[32]; u8 qh[16]; u16 s[4]; the block's f16 scale is in the top
 * nibbles of s */
void iq1_m_decode(float *out, const unsigned char *in, size_t n)
{
	for (; n; n -= 256, in += 56) {
		unsigned s[4], bits;
		float d;

		for (int i = 0; i < 4; i++)
			s[i] = load_u16(in + 48 + 2 * i);
		bits = s[0] >> 12 | (s[1] >> 8 & 0xf0) | (s[2] >> 4 & 0xf00) | (s[3] & 0xf000);
		d = f32_of_f16((uint16_t)bits);
		for (int g = 0; g < 8; g++)
			for (int l = 0; l < 4; l++, out += 8) {
				int half = l / 2;
				unsigned high = in[32 + 2 * g + half] >> (l % 2 ? 4 : 0) & 15;
				unsigned three = s[g / 2] >> (6 * (g % 2) + 3 * half) & 7;

				put_ternary(out, iq1_grid[in[4 * g + l] | (high & 7) << 8],
				            d * (float)(2 * three + 1),
				            high & 8 ? -0.125f : 0.125f);
			}
	}
}
