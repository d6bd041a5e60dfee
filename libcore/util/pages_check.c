/* SPDX-License-Identifier: MIT */
/* pages_check.c - a wish for large pages changes no byte, whatever the range */
#include "util/pages.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

START_TEST(bytes_stay)
{
	enum { N = 3 * PAGES_LARGE + 4097 };
	static const size_t from[] = { 0, 1, 4095, PAGES_LARGE - 1, PAGES_LARGE, N };
	unsigned char *p = calloc(1, N);
	size_t wrong = 0;

	ck_assert_ptr_nonnull(p);
	memset(p + N / 2, 7, N / 4);
	for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
		pages_large(p + from[i], N - from[i]);
		pages_large(p + from[i], (N - from[i]) / 5);
	}
	for (size_t i = 0; i < N; i++)
		wrong += p[i] != (i >= N / 2 && i < N / 2 + N / 4 ? 7 : 0);
	ck_assert_uint_eq(wrong, 0);
	free(p);
}
END_TEST

START_TEST(no_memory_is_none_of_its_business)
{
	pages_large(NULL, 0);
	pages_large((const void *)(uintptr_t)PAGES_LARGE, 8 * (size_t)PAGES_LARGE);
}
END_TEST

Suite *pages_suite(void);
Suite *pages_suite(void)
{
	Suite *s = suite_create("pages");
	TCase *t = tcase_create("pages");

	tcase_add_test(t, bytes_stay);
	tcase_add_test(t, no_memory_is_none_of_its_business);
	suite_add_tcase(s, t);
	return s;
}
