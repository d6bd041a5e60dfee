/* SPDX-License-Identifier: MIT */
/* mass_check.c - exponentials as integers against the library's */
#include "util/mass.h"

#include <check.h>
#include <math.h>

enum { N = 5003 };

static float x[N];
static uint64_t each[N], block[N / MASS_BLOCK + 1];

static void fill(double step)
{
	for (int i = 0; i < N; i++)
		x[i] = (float)(3 - i * 7919 % N * step);
	x[17] = -INFINITY;
	x[18] = NAN;
	x[N - 1] = -1000;
}

START_TEST(masses_are_exponentials)
{
	const double one = (double)(1ull << MASS_BITS);

	fill(0.0057);
	mass_each(each, x, N, 3, 0.7f);
	for (int i = 0; i < N; i++) {
		double want = isnan(x[i]) ? 0 : one * exp((x[i] - 3.0) * 0.7f);

		ck_assert_double_le(fabs((double)each[i] - want), 1 + want * 2e-6);
	}
	ck_assert_uint_eq(each[0], 1ull << MASS_BITS);
	ck_assert_uint_eq(each[17] + each[18] + each[N - 1], 0);
}
END_TEST

START_TEST(sums_are_of_each)
{
	fill(0.0031);
	for (size_t n = 1; n < N; n += n < 40 ? 1 : 331) {
		uint64_t sum = 0, part[N / MASS_BLOCK + 1] = { 0 };

		mass_each(each, x, n, 3, 1.3f);
		for (size_t i = 0; i < n; i++) {
			sum += each[i];
			part[i / MASS_BLOCK] += each[i];
		}
		ck_assert_uint_eq(mass_sum(NULL, x, n, 3, 1.3f), sum);
		ck_assert_uint_eq(mass_sum(block, x, n, 3, 1.3f), sum);
		ck_assert_mem_eq(block, part, (n + MASS_BLOCK - 1) / MASS_BLOCK * sizeof *part);
	}
}
END_TEST

START_TEST(found_where_the_sum_exceeds)
{
	uint64_t sum, before = 0;

	fill(0.01);
	sum = mass_sum(block, x, N, 3, 1);
	mass_each(each, x, N, 3, 1);
	for (size_t i = 0; i < N; before += each[i++]) {
		if (!each[i])
			continue;
		ck_assert_uint_eq(mass_find(block, x, N, 3, 1, before), i);
		ck_assert_uint_eq(mass_find(block, x, N, 3, 1, before + each[i] - 1), i);
	}
	ck_assert_uint_eq(before, sum);
	ck_assert_uint_eq(mass_share(sum, 0), 0);
	ck_assert_uint_eq(mass_share(sum, 1u << 31), sum / 2);
	ck_assert_uint_lt(mass_share(1, UINT32_MAX), 1);
	ck_assert_uint_lt(mass_share(UINT64_MAX >> 2, UINT32_MAX), UINT64_MAX >> 2);
}
END_TEST

START_TEST(logarithm_of_a_sum)
{
	double sum = 0;

	fill(0.002);
	x[18] = 1;
	for (int i = 0; i < N; i++)
		sum += exp(x[i]);
	ck_assert_double_eq_tol(mass_log(mass_sum(NULL, x, N, 3, 1), 3), log(sum), 2e-7);
}
END_TEST

Suite *mass_suite(void);
Suite *mass_suite(void)
{
	Suite *s = suite_create("mass");
	TCase *t = tcase_create("mass");

	tcase_add_test(t, masses_are_exponentials);
	tcase_add_test(t, sums_are_of_each);
	tcase_add_test(t, found_where_the_sum_exceeds);
	tcase_add_test(t, logarithm_of_a_sum);
	suite_add_tcase(s, t);
	return s;
}
