/* SPDX-License-Identifier: MIT */
/* quant_check.c - affine quantization against MLX's own results */
#include "tensor/tensor.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite *quant_suite(void);

static uint32_t float_bits(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof bits);
	return bits;
}

/* Published vectors: a group of 32, words of the packed row. */
static const struct vector {
	char input;
	unsigned bits;
	uint32_t scale, bias;
	uint32_t words[8];
} vectors[] = {
	{ 'a', 2, 0xbf800000, 0x40000000, { 0x789de37b, 0x37b8de27 } },
	{ 'a', 3, 0xbf000000, 0x40000000, { 0xb3f0d5df, 0xb14e5e0a, 0x1567e1cb } },
	{ 'a', 4, 0xbe800000, 0x40000000, { 0xf82b4d6f, 0x5e81a3c6, 0xb4e7092c, 0x1a4d6f82 } },
	{ 'a',
	  5,
	  0xbe000000,
	  0x40000000,
	  { 0x076469bf, 0x2a1b2cf4, 0x48b8571e, 0x24b236e0, 0x150fa67a } },
	{ 'a',
	  6,
	  0xbd800000,
	  0x40000000,
	  { 0xab4356bf, 0xdc97f211, 0x539783a0, 0x9b0252af, 0xd887b11d, 0x1293b363 } },
	{ 'a',
	  8,
	  0xbc7c0fc1,
	  0x40000000,
	  { 0x41d76aff, 0xf48618af, 0xa235cb5d, 0x51e87a0c, 0x009629bf, 0xb345db6e, 0x62f88a1c,
	    0x10a739cf } },
	{ 'b', 4, 0x3d035e51, 0xbf1c0000, { 0xa875421f, 0x64310edb, 0x20fdca97, 0xecb98653 } },
	{ 'b', 3, 0x3d8aaaab, 0xbf1c0000, { 0xf5b1b447, 0xed636891, 0xdac8d223 } },
	{ 'b',
	  8,
	  0x3af8d28b,
	  0xbf1c0000,
	  { 0x422910ff, 0xa58c735b, 0x00efd6bd, 0x634a3119, 0xc6ad947b, 0x2108f7de, 0x846b523a,
	    0xe6ceb59c } },
	{ 'n', 4, 0xbd035e51, 0x3f1c0000, { 0xa875421f, 0x64310edb, 0x20fdca97, 0xecb98653 } },
	{ '0', 4, 0xb3d6bf95, 0, { 0 } },
	{ 'c', 4, 0xb3d6bf95, 0x3f400000, { 0 } },
};

static float input(char which, int i)
{
	float b = -(float)(((29 * i) % 32) + 8) / 64;

	switch (which) {
	case 'a':
		return (float)((37 * i) % 64 - 31) / 16;
	case 'b':
		return b;
	case 'n':
		return -b;
	case 'c':
		return 0.75f;
	default:
		return 0;
	}
}

START_TEST(published_vectors)
{
	const struct vector *v = &vectors[_i];
	float w[32], scale, bias, back[32];
	uint32_t words[8] = { 0 };

	for (int i = 0; i < 32; i++)
		w[i] = input(v->input, i);
	affine_quantize(words, &scale, &bias, w, 1, 32, v->bits, 32, DT_F32);
	ck_assert_mem_eq(words, v->words, sizeof words);
	ck_assert_uint_eq(float_bits(scale), v->scale);
	ck_assert(bias == 0 ? v->bias == 0 : float_bits(bias) == v->bias);
	affine_dequantize_row(back, words, &scale, &bias, DT_F32, 32, v->bits, 32);
	for (int i = 0; i < 32; i++) /* one step at most, where the far end clips */
		ck_assert(fabsf(back[i] - w[i]) <= fabsf(scale) * 1.0001f);
}
END_TEST

/* Values exact in f32 over several magnitudes; all rows of 512. */
static void make_rows(float *w, size_t n)
{
	uint32_t s = 12345;

	for (size_t i = 0; i < n; i++) {
		s = s * 1664525 + 1013904223;
		w[i] = ldexpf((float)((int)(s >> 16) - 32768), -10 - (int)(i / 256 % 7));
	}
}

static uint64_t fnv(uint64_t h, const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return h;
}

/* FNV-1a of codes, scales and biases of mlx.core.quantize() (0.32.4, CPU). */
static const struct {
	unsigned bits, group;
	uint64_t hash;
} mlx[] = {
	{ 2, 32, 0xfd5d8e75dae41f47u },  { 2, 64, 0x5f4be885e000a195u },
	{ 2, 128, 0x03d382f9cc902279u }, { 3, 32, 0xc595d62bea88aadau },
	{ 3, 64, 0xaefe2d5078f18c95u },  { 3, 128, 0x1357f7baded87613u },
	{ 4, 32, 0x701a3ba71979bc7bu },  { 4, 64, 0xe8284bf6598be95cu },
	{ 4, 128, 0x6dcaabf094d2f90fu }, { 5, 32, 0x775eb25ee35aa1e4u },
	{ 5, 64, 0x085bcce12f816c88u },  { 5, 128, 0xc457b2ab53278a7au },
	{ 6, 32, 0x12cbb5b90c41e923u },  { 6, 64, 0xc1e38db89eb1e0cau },
	{ 6, 128, 0x86cb7e6541430256u }, { 8, 32, 0xc6102a6407916f55u },
	{ 8, 64, 0xddb13143f6203f8eu },  { 8, 128, 0x5393a9dbcd8b35bdu },
};

START_TEST(same_bytes_as_mlx)
{
	enum { ROWS = 4, COLS = 512 };
	static float w[ROWS * COLS], scale[ROWS * 16], bias[ROWS * 16];
	unsigned char q[ROWS * COLS];
	unsigned bits = mlx[_i].bits, group = mlx[_i].group;
	size_t n = ROWS * COLS / group * sizeof(float);
	uint64_t h = 0xcbf29ce484222325u;

	make_rows(w, ROWS * COLS);
	affine_quantize(q, scale, bias, w, ROWS, COLS, bits, group, DT_F32);
	h = fnv(h, q, ROWS * COLS * bits / 8);
	h = fnv(h, scale, n);
	h = fnv(h, bias, n);
	ck_assert_uint_eq(h, mlx[_i].hash);
}
END_TEST

/* Codes for rounded scales: each is the nearest there is. */
START_TEST(nearest_codes)
{
	static const enum dtype stored[] = { DT_F32, DT_F16, DT_BF16 };
	float w[128], scale[2], bias[2];
	unsigned char q[128];

	make_rows(w, 128);
	for (size_t s = 0; s < 3; s++)
		for (unsigned bits = 2; bits <= 8; bits++) {
			float top = (float)((1u << bits) - 1);

			affine_quantize(q, scale, bias, w, 1, 128, bits, 64, stored[s]);
			ck_assert(stored[s] != DT_F16 ||
			          scale[0] == f16_to_f32(f16_from_f32(scale[0])));
			ck_assert(stored[s] != DT_BF16 ||
			          bias[1] == bf16_to_f32(bf16_from_f32(bias[1])));
			for (size_t i = 0; i < 128; i++) {
				double x = ((double)w[i] - bias[i / 64]) / scale[i / 64];
				double code = affine_code(q, i, bits);

				x = x < 0 ? 0 : x > top ? top : x;
				ck_assert_msg(fabs(x - code) <= 0.5001, "%u bits: [%zu]: %g as %g",
				              bits, i, x, code);
			}
		}
}
END_TEST

START_TEST(odd_groups)
{
	float w[64], scale = 1, bias = 1, out[64];
	unsigned char q[64];

	memset(w, 0, sizeof w);
	w[5] = (float)strtod("nan", NULL);
	w[6] = (float)strtod("inf", NULL);
	for (unsigned bits = 2; bits <= 8; bits++) /* no crash, whatever comes */
		affine_quantize(q, &scale, &bias, w, 1, 64, bits, 64, DT_F16);
	for (int i = 0; i < 64; i++)
		w[i] = 1e-9f; /* the floor of the scale is larger than all */
	affine_quantize(q, &scale, &bias, w, 1, 64, 4, 64, DT_F16);
	affine_dequantize_row(out, q, &scale, &bias, DT_F32, 64, 4, 64);
	ck_assert(isfinite(scale) && scale != 0 && bias == 0);
	for (int i = 0; i < 64; i++)
		ck_assert(fabsf(out[i]) < 1e-6f);
}
END_TEST

START_TEST(packs)
{
	uint8_t code[72], back[72];
	unsigned char q[72 + 1];

	for (unsigned bits = 2; bits <= 8; bits++) {
		for (unsigned i = 0; i < 72; i++)
			code[i] = (uint8_t)((i * 37 + 11) & ((1u << bits) - 1));
		memset(q, 0xee, sizeof q);
		affine_pack(q, code, 72, bits);
		ck_assert_uint_eq(q[72 * bits / 8], 0xee);
		affine_unpack(back, q, 72, bits);
		ck_assert_mem_eq(code, back, 72);
		for (unsigned i = 0; i < 72; i++)
			ck_assert_uint_eq(affine_code(q, i, bits), code[i]);
	}
	/* element i lies at bit i * bits, whatever the width */
	affine_pack(q, (const uint8_t[8]){ 1, 2, 3, 4, 5, 6, 7, 0 }, 8, 3);
	ck_assert_mem_eq(q, "\xd1\x58\x1f", 3);
}
END_TEST

START_TEST(dequantizes_stored_scales)
{
	uint16_t half[2] = { 0x3800, 0xc000 }, bias[2] = { 0x3c00, 0x0000 };
	uint16_t b_scale[2] = { 0x3f00, 0xc000 }, b_bias[2] = { 0x3f80, 0 };
	unsigned char q[16];
	uint8_t code[32];
	float out[32];

	for (unsigned i = 0; i < 32; i++)
		code[i] = i % 16;
	affine_pack(q, code, 32, 4);
	affine_dequantize_row(out, q, half, bias, DT_F16, 32, 4, 16);
	for (unsigned i = 0; i < 32; i++)
		ck_assert(out[i] == (i < 16 ? 0.5f * (float)code[i] + 1 : -2.0f * (float)code[i]));
	affine_dequantize_row(out, q, b_scale, b_bias, DT_BF16, 32, 4, 16);
	for (unsigned i = 0; i < 32; i++)
		ck_assert(out[i] == (i < 16 ? 0.5f * (float)code[i] + 1 : -2.0f * (float)code[i]));
}
END_TEST

START_TEST(time_affine)
{
	enum { N = 1 << 22 };
	static const unsigned widths[] = { 2, 3, 4, 5, 6, 8 };
	float *w = malloc(N * sizeof *w), *s = malloc(N / 64 * sizeof *s);
	float *b = malloc(N / 64 * sizeof *b);
	unsigned char *q = malloc(N);

	make_rows(w, N);
	for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
		struct timespec t[3];
		double pack, unpack;

		affine_quantize(q, s, b, w, 1, N, widths[i], 64, DT_F32);
		clock_gettime(CLOCK_MONOTONIC, &t[0]);
		affine_quantize(q, s, b, w, 1, N, widths[i], 64, DT_F32);
		clock_gettime(CLOCK_MONOTONIC, &t[1]);
		affine_dequantize_row(w, q, s, b, DT_F32, N, widths[i], 64);
		clock_gettime(CLOCK_MONOTONIC, &t[2]);
		pack = (double)(t[1].tv_sec - t[0].tv_sec) +
		       (double)(t[1].tv_nsec - t[0].tv_nsec) * 1e-9;
		unpack = (double)(t[2].tv_sec - t[1].tv_sec) +
		         (double)(t[2].tv_nsec - t[1].tv_nsec) * 1e-9;
		printf("affine %u bits: quantize %6.0f Mvalues/s, dequantize %6.0f Mvalues/s\n",
		       widths[i], N / pack * 1e-6, N / unpack * 1e-6);
	}
	free(w);
	free(s);
	free(b);
	free(q);
}
END_TEST

Suite *quant_suite(void)
{
	Suite *s = suite_create("quant");
	TCase *t = tcase_create("quant"), *bench = tcase_create("bench");

	tcase_add_loop_test(t, published_vectors, 0, sizeof vectors / sizeof *vectors);
	tcase_add_loop_test(t, same_bytes_as_mlx, 0, sizeof mlx / sizeof *mlx);
	tcase_add_test(t, nearest_codes);
	tcase_add_test(t, odd_groups);
	tcase_add_test(t, packs);
	tcase_add_test(t, dequantizes_stored_scales);
	suite_add_tcase(s, t);
	tcase_set_tags(bench, "bench");
	tcase_add_test(bench, time_affine);
	suite_add_tcase(s, bench);
	return s;
}
