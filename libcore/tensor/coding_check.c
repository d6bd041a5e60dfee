/* SPDX-License-Identifier: MIT */
/* coding_check.c - mxfp4, mxfp8 and nvfp4: rounding, saturation, scales, and
 * the way to affine codes */
#include "tensor/tensor.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *coding_suite(void);

enum { N = 64 };

static void round_trip(enum coding c, float *out, uint8_t *scales, const float *w)
{
	unsigned char q[N];

	coding_quantize(c, q, scales, w, N);
	coding_dequantize(c, out, q, scales, N);
}

/* What a group holds exactly comes back. */
START_TEST(exact_values_return)
{
	static const float values[8] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };

	for (int c = CODING_MXFP4; c < CODING_COUNT; c++)
		for (int e = -20; e <= 20; e++) {
			float w[N], out[N], by = ldexpf(c == CODING_MXFP8 ? 448.0f / 6 / 64 : 1, e);
			uint8_t scales[N / 16];

			if (c == CODING_NVFP4 && (e < -5 || e > 8))
				continue;
			for (int i = 0; i < N; i++)
				w[i] = (c == CODING_MXFP8 ? (i % 8 == 7 ? 448 * ldexpf(1, e)
				                                        : ldexpf(1, e + i % 8))
				                          : values[i % 8] * by) * (i & 8 ? -1.0f : 1.0f);
			round_trip((enum coding)c, out, scales, w);
			for (int i = 0; i < N; i++)
				ck_assert_msg(out[i] == w[i], "%s 2^%d [%d]: %g, not %g",
				              coding_info((enum coding)c)->name, e, i, (double)out[i],
				              (double)w[i]);
		}
}
END_TEST

/* Halves go to the even code, the largest value stands for all beyond. */
START_TEST(ties_go_to_even)
{
	static const float in[8] = { 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, 6 };
	static const float want[8] = { 0, 1, 1, 2, 2, 4, 4, 6 };
	float w[N], out[N];
	uint8_t scales[N / 16];

	for (int i = 0; i < N; i++)
		w[i] = in[i % 8];
	round_trip(CODING_MXFP4, out, scales, w);
	ck_assert_uint_eq(scales[0], 127);
	for (int i = 0; i < N; i++)
		ck_assert(out[i] == want[i % 8]);
}
END_TEST

START_TEST(extremes_are_met)
{
	float w[N] = { 0 }, out[N];
	uint8_t scales[N / 16];

	for (int c = CODING_MXFP4; c < CODING_COUNT; c++) {
		memset(w, 0, sizeof w);
		round_trip((enum coding)c, out, scales, w);
		ck_assert(scales[0] == 0 && out[0] == 0);
		w[3] = (float)strtod("nan", NULL);
		w[4] = (float)strtod("inf", NULL);
		w[40] = 3e38f;
		round_trip((enum coding)c, out, scales, w);
	}
}
END_TEST

/* Every code with many scales. */
START_TEST(affine_is_the_same)
{
	for (int c = CODING_MXFP4; c < CODING_COUNT; c++)
		for (int s = 1; s < 250; s += 3) {
			unsigned char q[N / 2], packed[N * 5 / 8];
			float want[N], have[N], scale[N / 16], bias[N / 16];
			uint8_t scales[N / 16];

			if (c == CODING_MXFP8 || (c == CODING_NVFP4 && s > 126))
				continue;
			for (int i = 0; i < N / 2; i++)
				q[i] = (unsigned char)(i * 37 + s);
			memset(scales, s, sizeof scales);
			coding_dequantize((enum coding)c, want, q, scales, N);
			coding_to_affine((enum coding)c, packed, scale, bias, q, scales, N);
			affine_dequantize_row(have, packed, scale, bias, DT_F32, N, 5,
			                      coding_info((enum coding)c)->group);
			for (int i = 0; i < N; i++)
				ck_assert(have[i] == want[i]);
		}
}
END_TEST

Suite *coding_suite(void)
{
	Suite *s = suite_create("coding");
	TCase *t = tcase_create("coding");

	tcase_add_test(t, exact_values_return);
	tcase_add_test(t, ties_go_to_even);
	tcase_add_test(t, extremes_are_met);
	tcase_add_test(t, affine_is_the_same);
	suite_add_tcase(s, t);
	return s;
}
