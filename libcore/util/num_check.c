/* SPDX-License-Identifier: MIT */
#include "util/num.h"

#include <check.h>
#include <locale.h>
#include <string.h>

Suite *num_suite(void);

START_TEST(checked_sizes)
{
	size_t v = 7;

	ck_assert(num_mul(&v, 6, 7) && v == 42);
	ck_assert(!num_mul(&v, SIZE_MAX / 2, 3) && v == 42);
	ck_assert(num_add(&v, SIZE_MAX - 1, 1) && v == SIZE_MAX);
	ck_assert(!num_add(&v, SIZE_MAX, 1) && v == SIZE_MAX);
	ck_assert(num_round_up(&v, 65, 64) && v == 128);
	ck_assert(num_round_up(&v, 64, 64) && v == 64);
	ck_assert(num_round_up(&v, 0, 64) && v == 0);
	ck_assert(!num_round_up(&v, SIZE_MAX, 64) && v == 0);
}
END_TEST

START_TEST(sizes_from_text)
{
	static const struct {
		const char *text;
		size_t v;
	} good[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "4k", 4096 },
		{ "4K", 4096 },
		{ "1M", 1 << 20 },
		{ "2g", (size_t)2 << 30 },
		{ "18446744073709551615", SIZE_MAX },
	};
	static const char *const bad[] = {
		"",
		"k",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1kb",
		"4q",
		"1.5k",
		"0x10",
		"18446744073709551616",
		"18446744073709551615k",
		"99999999999999G",
	};
	size_t v = 7;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		ck_assert(num_size(&v, good[i].text) && v == good[i].v);
	v = 7;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!num_size(&v, bad[i]) && v == 7, "%s", bad[i]);
}
END_TEST

START_TEST(integers_from_text)
{
	static const char *const bad[] = {
		"",    "-",  "--1", "1x", "+1", "9223372036854775808", "-9223372036854775809",
		"1.0", "1e3"
	};
	int64_t v = 7;
	uint64_t u = 7;

	ck_assert(num_i64(&v, "-42") && v == -42);
	ck_assert(num_i64(&v, "9223372036854775807") && v == INT64_MAX);
	ck_assert(num_i64(&v, "-9223372036854775808") && v == INT64_MIN);
	v = 7;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!num_i64(&v, bad[i]) && v == 7, "%s", bad[i]);
	ck_assert(num_u64(&u, "18446744073709551615") && u == UINT64_MAX);
	ck_assert(!num_u64(&u, "-1") && u == UINT64_MAX);
}
END_TEST

START_TEST(decimals_from_text)
{
	static const char *const bad[] = { "",      ".",      "-",   "inf",  "nan",
		                           "0x1p3", " 1",     "1 ",  "1e",   "1e+",
		                           "1e999", "-1e999", "1,5", "1.5.", "e1" };
	double v;

	ck_assert(num_f64(&v, "0.7") && v == 0.7);
	ck_assert(num_f64(&v, "-1e-3") && v == -1e-3);
	ck_assert(num_f64(&v, "+.5") && v == 0.5);
	ck_assert(num_f64(&v, "5.") && v == 5);
	ck_assert(num_f64(&v, "1e-999") && v == 0);
	v = 7;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!num_f64(&v, bad[i]) && v == 7, "%s", bad[i]);
}
END_TEST

START_TEST(decimals_to_text_in_any_locale)
{
	static const char *const commas[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR" };
	char text[32];
	double v;

	ck_assert_str_eq(num_text_f64(text, 0.1), "0.1");
	ck_assert_str_eq(num_text_f64(text, -1e-30 / 3), "-3.33333333e-31");
	ck_assert_str_eq(num_text_f64(text, 3), "3");
	for (size_t i = 0; i < sizeof commas / sizeof *commas; i++)
		if (setlocale(LC_ALL, commas[i]))
			break;
	ck_assert_str_eq(num_text_f64(text, 0.5), "0.5");
	ck_assert(num_f64(&v, "0.5") && v == 0.5);
	setlocale(LC_ALL, "C");
}
END_TEST

Suite *num_suite(void)
{
	Suite *s = suite_create("num");
	TCase *t = tcase_create("num");

	tcase_add_test(t, checked_sizes);
	tcase_add_test(t, sizes_from_text);
	tcase_add_test(t, integers_from_text);
	tcase_add_test(t, decimals_from_text);
	tcase_add_test(t, decimals_to_text_in_any_locale);
	suite_add_tcase(s, t);
	return s;
}
