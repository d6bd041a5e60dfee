/* SPDX-License-Identifier: MIT */
#include "util/buf.h"

#include <check.h>
#include <string.h>

Suite *buf_suite(void);

START_TEST(appends_in_a_row)
{
	struct buf b = { 0 };
	struct err e;

	buf_add_text(&b, "ab");
	buf_add_byte(&b, 'c');
	buf_add_zeros(&b, 2);
	buf_printf(&b, "%d:%s", 42, "x");
	buf_add(&b, NULL, 0);
	ck_assert_int_eq(buf_check(&b, &e), 0);
	ck_assert_uint_eq(b.n, 9);
	ck_assert_mem_eq(b.p, "abc\0\00042:x", 10);
	buf_clear(&b);
	ck_assert_uint_eq(buf_bytes(&b).n, 0);
	for (int i = 0; i < 10000; i++)
		buf_add_byte(&b, (unsigned char)i);
	ck_assert_uint_eq(b.n, 10000);
	for (int i = 0; i < 10000; i++)
		ck_assert_uint_eq(b.p[i], i & 0xff);
	ck_assert_uint_eq(b.p[b.n], 0);
	buf_release(&b);
	buf_release(&b);
	buf_release(NULL);
}
END_TEST

START_TEST(past_the_ceiling_it_stays_as_it_was)
{
	struct buf b;
	struct err e = { 0 };

	buf_init(&b, 4);
	ck_assert_int_eq(buf_add_text(&b, "abcd"), 0);
	ck_assert_int_eq(buf_add_byte(&b, 'e'), -1);
	ck_assert(bytes_is(buf_bytes(&b), "abcd"));
	ck_assert_int_eq(buf_add(&b, NULL, 0), -1); /* failed stays failed */
	ck_assert_int_eq(buf_check(&b, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_str_eq(e.text, "more than 4 bytes");
	buf_clear(&b);
	ck_assert_int_eq(buf_printf(&b, "%s", "abcde"), -1);
	ck_assert_str_eq((char *)b.p, "");
	buf_clear(&b);
	ck_assert_int_eq(buf_printf(&b, "%d", 1234), 0);
	ck_assert_int_eq(buf_printf(&b, "%d", 5), -1);
	ck_assert_str_eq((char *)b.p, "1234");
	buf_release(&b);
}
END_TEST

START_TEST(without_memory)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	ck_assert_int_eq(buf_add_zeros(&b, SIZE_MAX - 1), -1);
	ck_assert_int_eq(buf_check(&b, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MACHINE);
	buf_release(&b);
}
END_TEST

Suite *buf_suite(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");

	tcase_add_test(t, appends_in_a_row);
	tcase_add_test(t, past_the_ceiling_it_stays_as_it_was);
	tcase_add_test(t, without_memory);
	suite_add_tcase(s, t);
	return s;
}
