/* SPDX-License-Identifier: MIT */
#include "util/arena.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

Suite *arena_suite(void);

static bool all_are(const unsigned char *p, size_t n, unsigned char c)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != c)
			return false;
	return true;
}

START_TEST(memory_is_zeroed_aligned_and_apart)
{
	struct arena a = { 0 };
	struct err e;
	unsigned char *p[300];

	for (size_t i = 0; i < 300; i++) {
		size_t n = i % 7 == 0 ? 100 * i : i;

		p[i] = arena_new(&a, n, 1, &e);
		ck_assert_ptr_nonnull(p[i]);
		ck_assert_uint_eq((uintptr_t)p[i] % 64, 0);
		ck_assert(all_are(p[i], n, 0));
		memset(p[i], (int)(i & 0xff), n);
	}
	for (size_t i = 0; i < 300; i++) {
		size_t n = i % 7 == 0 ? 100 * i : i;

		ck_assert(all_are(p[i], n, i & 0xff));
	}
	arena_release(&a);
	arena_release(&a);
	arena_release(NULL);
	ck_assert_ptr_nonnull(arena_new(&a, 0, 8, &e));
	arena_release(&a);
}
END_TEST

START_TEST(texts)
{
	struct arena a = { 0 };
	struct err e;
	char *one = arena_text(&a, "one, two", 3, &e);
	char *none = arena_text(&a, NULL, 0, &e);
	char *made = arena_printf(&a, &e, "%s-%05d", "layers", 12);

	ck_assert_str_eq(one, "one");
	ck_assert_str_eq(none, "");
	ck_assert_str_eq(made, "layers-00012");
	ck_assert_uint_eq((uintptr_t)arena_new(&a, 1, 1, &e) % 64, 0);
	arena_release(&a);
}
END_TEST

START_TEST(past_the_ceiling)
{
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 1000);
	ck_assert_ptr_nonnull(arena_new(&a, 10, 100, &e));
	ck_assert_ptr_null(arena_new(&a, 1, 1, &e));
	ck_assert_int_eq(e.kind, ERR_MACHINE);
	ck_assert_ptr_null(arena_text(&a, "x", 1, &e));
	arena_release(&a);
	ck_assert_ptr_nonnull(arena_new(&a, 1000, 1, &e));
	arena_release(&a);
}
END_TEST

START_TEST(products_that_wrap)
{
	struct arena a = { 0 };
	struct err e = { 0 };

	ck_assert_ptr_null(arena_new(&a, SIZE_MAX / 2, 3, &e));
	ck_assert_int_eq(e.kind, ERR_MACHINE);
	ck_assert_ptr_null(arena_new(&a, SIZE_MAX - 8, 1, &e));
	ck_assert_ptr_null(arena_text(&a, "", SIZE_MAX, &e));
	arena_release(&a);
}
END_TEST

Suite *arena_suite(void)
{
	Suite *s = suite_create("arena");
	TCase *t = tcase_create("arena");

	tcase_add_test(t, memory_is_zeroed_aligned_and_apart);
	tcase_add_test(t, texts);
	tcase_add_test(t, past_the_ceiling);
	tcase_add_test(t, products_that_wrap);
	suite_add_tcase(s, t);
	return s;
}
