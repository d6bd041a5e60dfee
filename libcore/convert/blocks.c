/* SPDX-License-Identifier: MIT */
/* blocks.c - affine codes as GGUF blocks, where that loses nothing
 *
 * A block of 32 has a scale d in f16 and, in the types ending in _1, a
 * minimum m: w = d * code + m. The types ending in _0 fix the offset at half
 * the range. So MLX's codes fit as they are when their scales and biases are
 * numbers of f16, and a group of 64 or 128 is two or four blocks. */
#include "convert/plan.h"

#include <string.h>

enum { BLOCK = 32 };

struct block_form {
	enum dtype type;
	unsigned max_bits;
	float offset;        /* bias is this times the scale; 0: any bias is stored */
};

/* From small to large: the first that fits wins. */
static const struct block_form forms[] = {
	{ DT_Q4_0, 4, -8 },
	{ DT_Q4_1, 4, 0 },
	{ DT_Q5_0, 5, -16 },
	{ DT_Q5_1, 5, 0 },
	{ DT_Q8_0, 8, -128 },
};

static float number(enum dtype t, const void *p, size_t i)
{
	uint16_t half;
	float f;

	if (t == DT_F32) {
		memcpy(&f, (const char *)p + 4 * i, sizeof f);
		return f;
	}
	memcpy(&half, (const char *)p + 2 * i, sizeof half);
	return t == DT_F16 ? f16_to_f32(half) : bf16_to_f32(half);
}

static bool is_f16(float v)
{
	return f16_to_f32(f16_from_f32(v)) == v;
}

enum dtype blocks_for(unsigned bits, unsigned group, enum dtype t, const void *scales,
                      const void *biases, size_t n)
{
	bool fits = group % BLOCK == 0, offset[sizeof forms / sizeof *forms];

	memset(offset, 1, sizeof offset);
	for (size_t i = 0; i < n && fits; i++) {
		float s = number(t, scales, i), b = number(t, biases, i);

		fits = is_f16(s);
		for (size_t k = 0; k < sizeof forms / sizeof *forms; k++)
			offset[k] &= forms[k].offset != 0 ? b == forms[k].offset * s : is_f16(b);
	}
	for (size_t k = 0; k < sizeof forms / sizeof *forms && fits; k++)
		if (bits <= forms[k].max_bits && offset[k])
			return forms[k].type;
	return DT_COUNT;
}

static void put_half(unsigned char **out, float v)
{
	uint16_t half = f16_from_f32(v);

	memcpy(*out, &half, sizeof half);
	*out += sizeof half;
}

/* Low halves of elements 0..15 beside those of 16..31. */
static void put_nibbles(unsigned char **out, const unsigned *code)
{
	for (unsigned i = 0; i < BLOCK / 2; i++)
		*(*out)++ = (unsigned char)((code[i] & 15) | (code[i + BLOCK / 2] & 15) << 4);
}

static void put_fifth_bits(unsigned char **out, const unsigned *code)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < BLOCK; i++)
		bits |= (uint32_t)(code[i] >> 4 & 1) << i;
	memcpy(*out, &bits, sizeof bits);
	*out += sizeof bits;
}

static void put_block(unsigned char **out, enum dtype to, const unsigned *code, float s, float b)
{
	put_half(out, s);
	if (to == DT_Q4_1 || to == DT_Q5_1)
		put_half(out, b);
	if (to == DT_Q5_0 || to == DT_Q5_1)
		put_fifth_bits(out, code);
	if (to != DT_Q8_0) {
		put_nibbles(out, code);
		return;
	}
	for (unsigned i = 0; i < BLOCK; i++)
		*(*out)++ = (unsigned char)(code[i] - 128);
}

void blocks_from_affine(void *out, enum dtype to, const void *q, const void *scales,
                        const void *biases, enum dtype t, size_t n_cols, unsigned bits,
                        unsigned group)
{
	unsigned char *at = out;
	unsigned code[BLOCK];

	for (size_t i = 0; i < n_cols; i += BLOCK) {
		for (unsigned k = 0; k < BLOCK; k++)
			code[k] = affine_code(q, i + k, bits);
		put_block(&at, to, code, number(t, scales, i / group), number(t, biases, i / group));
	}
}
