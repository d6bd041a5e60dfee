/* SPDX-License-Identifier: MIT */
/* rows_check.c - the fast rows of tensor/ give the bits of the plain ones */
#include "tensor/rows.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *rows_suite(void);

enum { GROUPS = 13, GROUP_MAX = 128, N = GROUPS * GROUP_MAX };

static uint32_t bits_at(const float *f)
{
	uint32_t b;

	memcpy(&b, f, sizeof b);
	return b;
}

/* Values of many magnitudes, and groups of the kinds that rules stumble on. */
static void make(float *w, unsigned group, uint32_t s)
{
	for (size_t i = 0; i < (size_t)GROUPS * group; i++) {
		s = s * 1664525 + 1013904223;
		w[i] = ldexpf((float)(s >> 8) - 8388608.0f, -23 - (int)(i / group % 5) * 7);
		switch (i / group) {
		case 1: w[i] = 0; break;
		case 2: w[i] = -0.0f; break;
		case 3: w[i] = 0.75f; break;
		case 4: w[i] = -fabsf(w[i]); break;
		case 5: w[i] = fabsf(w[i]); break;
		case 6: w[i] *= 1e-9f; break;
		case 7: w[i] = i % 11 == 3 ? NAN : w[i]; break;
		case 8: w[i] = i % 13 == 5 ? INFINITY : w[i]; break;
		case 9: w[i] = i % 2 ? 1 : -1; break;
		default: break;
		}
	}
}

static void same(const char *what, const float *have, const float *want, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(bits_at(&have[i]) == bits_at(&want[i]) ||
		              (isnan(have[i]) && isnan(want[i])),
		              "%s: at %zu expected %g, found %g", what, i, (double)want[i],
		              (double)have[i]);
}

static void check_group(unsigned bits, unsigned group)
{
	const struct tensor_rows *a = &rows_plain, *b = rows_best();
	static float w[N], x[N], y[N];
	float lo[2][16] = { { 0 } }, hi[2][16] = { { 0 } }, s[2][16], z[2][16];
	static unsigned char p[N + 8], q[N + 8];
	float top = (float)((1u << bits) - 1);

	make(w, group, bits * 977 + group);
	a->ranges(lo[0], hi[0], w, GROUPS, group);
	b->ranges(lo[1], hi[1], w, GROUPS, group);
	same("least", lo[1], lo[0], GROUPS);
	same("largest", hi[1], hi[0], GROUPS);
	a->scales(s[0], z[0], lo[0], hi[0], GROUPS, top);
	b->scales(s[1], z[1], lo[0], hi[0], GROUPS, top);
	same("scale", s[1], s[0], GROUPS);
	same("bias", z[1], z[0], GROUPS);
	memset(p, 0xa5, sizeof p);
	memset(q, 0xa5, sizeof q);
	a->encode(p, w, s[0], z[0], GROUPS, group, bits);
	b->encode(q, w, s[0], z[0], GROUPS, group, bits);
	ck_assert_mem_eq(p, q, sizeof p);
	a->decode(x, p, s[0], z[0], GROUPS, group, bits);
	b->decode(y, p, s[0], z[0], GROUPS, group, bits);
	same("value", y, x, (size_t)GROUPS * group);
}

START_TEST(affine)
{
	static const unsigned groups[] = { 8, 16, 32, 64, 128 };

	for (unsigned bits = 2; bits <= 8; bits++)
		for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
			check_group(bits, groups[i]);
}
END_TEST

/* Every f16, begun at each place of a vector. */
START_TEST(halves)
{
	enum { ALL = 65536 };
	unsigned char *in = malloc(2 * ALL);
	float *x = malloc(2 * ALL * sizeof *x), *y = x + ALL;

	ck_assert(in && x);
	for (size_t i = 0; i < ALL; i++) {
		in[2 * i] = (unsigned char)i;
		in[2 * i + 1] = (unsigned char)(i >> 8);
	}
	for (size_t i = 0; i < 9; i++) {
		rows_plain.f16_decode(x, in + 2 * i, ALL - i);
		rows_best()->f16_decode(y, in + 2 * i, ALL - i);
		ck_assert_mem_eq(x, y, (ALL - i) * sizeof *x);
	}
	free(in);
	free(x);
}
END_TEST

START_TEST(squares)
{
	float f[256], d[256], h[256];

	for (size_t i = 0; i < 256; i++) {
		f[i] = sinf((float)i);
		d[i] = f[i] + cosf((float)i * 3) * 0.01f;
		h[i] = 1 + (float)(i % 7);
	}
	for (size_t n = 0; n <= 256; n = n < 20 ? n + 1 : n + 59)
		for (int by = 0; by < 2; by++) {
			double a[4] = { 1, 2, 1, 2 };

			rows_plain.squares(&a[0], &a[1], f, d, by ? h : NULL, n);
			rows_best()->squares(&a[2], &a[3], f, d, by ? h : NULL, n);
			ck_assert_mem_eq(a, a + 2, 2 * sizeof *a);
		}
}
END_TEST

Suite *rows_suite(void)
{
	Suite *s = suite_create("rows");
	TCase *t = tcase_create("rows");

	tcase_add_test(t, affine);
	tcase_add_test(t, halves);
	tcase_add_test(t, squares);
	suite_add_tcase(s, t);
	return s;
}
