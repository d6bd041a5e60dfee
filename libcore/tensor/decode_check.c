/* SPDX-License-Identifier: MIT */
/* decode_check.c - GGUF blocks against vectors that llama.cpp made: every
 * decoder on random bytes, every encoder on values of many kinds, and the
 * affine split against the decoder. All bit for bit. */
#include "tensor/tensor.h"

#include <check.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite *decode_suite(void);

static const char *folder = "tests/data/gguf-quants";

/* NULL if there is no such file. */
static void *slurp(const char *type, const char *suffix, size_t *n)
{
	char path[4352], name[32];
	size_t i;
	FILE *f;
	void *p;

	for (i = 0; type[i]; i++)
		name[i] = (char)toupper((unsigned char)type[i]);
	name[i] = '\0';
	snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
	f = fopen(path, "rb");
	if (!f)
		return NULL;
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	*n = (size_t)ftell(f);
	rewind(f);
	p = malloc(*n);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(fread(p, 1, *n, f), *n);
	fclose(f);
	return p;
}

/* All TYPE + suffix.bin there are; the number of them. */
static unsigned decode_all(const char *suffix)
{
	unsigned tried = 0;

	for (unsigned t = 0; t < DT_COUNT; t++) {
		const struct dtype_info *d = dtype_info((enum dtype)t);
		size_t n, m;
		char file[16];
		void *blocks;
		float *want, *have;

		snprintf(file, sizeof file, "%s.bin", suffix);
		blocks = slurp(d->name, file, &n);
		snprintf(file, sizeof file, "%s.f32", suffix);
		want = slurp(d->name, file, &m);
		if (!blocks || !want) {
			free(blocks);
			free(want);
			continue;
		}
		ck_assert_uint_eq(n / d->block_bytes * d->block * sizeof *want, m);
		have = malloc(m);
		ck_assert_msg(dtype_to_f32((enum dtype)t, have, blocks, m / sizeof *want), "%s",
		              d->name);
		for (size_t i = 0; i < m / sizeof *want; i++)
			ck_assert_msg(!memcmp(&have[i], &want[i], sizeof *want),
			              "%s: [%zu]: %a, not %a", d->name, i, have[i], want[i]);
		free(blocks);
		free(want);
		free(have);
		tried++;
	}
	return tried;
}

START_TEST(decodes)
{
	ck_assert_uint_eq(decode_all(".rnd"), 25);
}
END_TEST

/* With $SHARED: what the encoders made, of all types. */
START_TEST(decodes_all)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/data/gguf-quants", getenv("SHARED"));
	folder = path;
	ck_assert_uint_eq(decode_all(""), 29);
	ck_assert_uint_eq(decode_all(".rnd"), 25);
	folder = NULL;
}
END_TEST

/* TYPE + suffix.bin from x.f32, rows of 1024, by the importance or without. */
static void encode_one(enum dtype t, const char *suffix, const float *x, const float *importance)
{
	const struct dtype_info *d = dtype_info(t);
	size_t n, row = 1024 / d->block * d->block_bytes;
	unsigned char *want = slurp(d->name, suffix, &n), *have;

	ck_assert_msg(want, "%s%s", d->name, suffix);
	have = malloc(n);
	for (size_t i = 0; i < n / row; i++)
		ck_assert(dtype_from_f32_by(t, have + i * row, x + i * 1024, importance, 1024));
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(have[i] == want[i], "%s%s: block %zu, byte %zu", d->name, suffix,
		              i / d->block_bytes, i % d->block_bytes);
	free(want);
	free(have);
}

START_TEST(encodes)
{
	static const struct { enum dtype type; bool by_importance; } types[] = {
		{ DT_Q4_0, true }, { DT_Q4_1, true }, { DT_Q5_0, true }, { DT_Q5_1, true },
		{ DT_Q8_0, false }, { DT_Q2_K, true }, { DT_Q3_K, true }, { DT_Q4_K, true },
		{ DT_Q5_K, true }, { DT_Q6_K, true }, { DT_IQ4_NL, true }, { DT_IQ4_XS, true },
		{ DT_MXFP4, false }, { DT_NVFP4, false },
	};
	size_t n;
	float *x = slurp("x", ".f32", &n), *importance = slurp("importance", ".f32", &n);

	ck_assert(x && importance);
	for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
		encode_one(types[t].type, ".bin", x, NULL);
		if (types[t].by_importance)
			encode_one(types[t].type, ".imat.bin", x, importance);
	}
	free(x);
	free(importance);
}
END_TEST

/* What no encoder should meet must not harm it. */
START_TEST(encodes_what_is_no_number)
{
	static const enum dtype types[] = { DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1, DT_Q8_0, DT_Q2_K,
		                            DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_IQ4_NL, DT_IQ4_XS,
		                            DT_MXFP4, DT_NVFP4 };
	float x[256] = { 0 };
	unsigned char out[256 / 32 * 34];

	x[3] = (float)strtod("nan", NULL);
	x[4] = (float)strtod("inf", NULL);
	x[5] = -x[4];
	x[6] = 1e38f;
	for (size_t t = 0; t < sizeof types / sizeof *types; t++)
		ck_assert(dtype_from_f32(types[t], out, x, 256));
}
END_TEST

START_TEST(splits_exactly)
{
	unsigned tried = 0;

	for (unsigned t = 0; t < DT_COUNT; t++) {
		const struct dtype_info *d = dtype_info((enum dtype)t);
		struct affine_form f;
		size_t n, m, count;
		void *blocks = slurp(d->name, ".rnd.bin", &n);
		unsigned char *q, *scales, *biases;
		float *want, *have;

		if (!blocks || !affine_form_of(&f, (enum dtype)t)) {
			free(blocks);
			continue;
		}
		want = slurp(d->name, ".rnd.f32", &m);
		count = m / sizeof *want;
		q = malloc(count * f.bits / 8);
		scales = malloc(count / f.group * 4);
		biases = malloc(count / f.group * 4);
		have = malloc(m);
		affine_from_blocks(q, scales, biases, (enum dtype)t, blocks, count);
		affine_dequantize_row(have, q, scales, biases, f.scale, count, f.bits, f.group);
		for (size_t i = 0; i < count; i++)
			ck_assert_msg(t == DT_IQ4_XS ? fabsf(have[i] - want[i]) <= fabsf(want[i]) * 0x1p-20f
			                             : have[i] == want[i],
			              "%s: [%zu]: %a, not %a", d->name, i, have[i], want[i]);
		free(blocks);
		free(want);
		free(q);
		free(scales);
		free(biases);
		free(have);
		tried++;
	}
	ck_assert_uint_eq(tried, 25);
}
END_TEST

/* Each decoder over 4 Mi values: values and bytes per second. */
START_TEST(time_decoders)
{
	enum { N = 1 << 22 };
	float *out = malloc(N * sizeof *out);

	for (unsigned t = DT_F16; t < DT_COUNT; t++) {
		const struct dtype_info *d = dtype_info((enum dtype)t);
		size_t n = N / d->block * d->block_bytes;
		unsigned char *in = malloc(n);
		struct timespec a, b;
		double s;

		for (size_t i = 0; i < n; i++)
			in[i] = (unsigned char)(i * 2654435761u >> 13 & 0x3b);
		if (dtype_to_f32((enum dtype)t, out, in, N)) {
			clock_gettime(CLOCK_MONOTONIC, &a);
			ck_assert(dtype_to_f32((enum dtype)t, out, in, N));
			clock_gettime(CLOCK_MONOTONIC, &b);
			s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
			printf("decode %-8s %7.0f Mvalues/s %6.2f GB/s out\n", d->name,
			       N / s * 1e-6, N * 4 / s * 1e-9);
		}
		free(in);
	}
	free(out);
}
END_TEST

Suite *decode_suite(void)
{
	Suite *s = suite_create("decode");
	TCase *t = tcase_create("decode"), *bench = tcase_create("bench");
	TCase *shared = tcase_create("shared");

	tcase_add_test(t, decodes);
	tcase_add_test(t, encodes);
	tcase_add_test(t, encodes_what_is_no_number);
	tcase_add_test(t, splits_exactly);
	suite_add_tcase(s, t);
	tcase_set_tags(bench, "bench");
	tcase_add_test(bench, time_decoders);
	tcase_set_tags(shared, "shared");
	tcase_add_test(shared, decodes_all);
	suite_add_tcase(s, shared);
	suite_add_tcase(s, bench);
	return s;
}
