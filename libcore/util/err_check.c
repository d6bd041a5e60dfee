/* SPDX-License-Identifier: MIT */
#include "util/err.h"

#include <check.h>
#include <errno.h>
#include <string.h>

Suite *err_suite(void);

START_TEST(prefixes_grow_into_a_path)
{
	struct err e = { 0 };

	ck_assert_int_eq(err_set(&e, ERR_INPUT, "expected %d, found %d", 1, 2), -1);
	ck_assert_int_eq(err_in(&e, "%s", "wq.weight"), -1);
	ck_assert_int_eq(err_in(&e, "%s", "model.npz"), -1);
	ck_assert_str_eq(e.text, "model.npz: wq.weight: expected 1, found 2");
	ck_assert_int_eq(e.kind, ERR_INPUT);
}
END_TEST

START_TEST(a_message_is_one_line)
{
	struct err e = { 0 };

	err_set(&e, ERR_INPUT, "%s", "a\nb\x1b[2J\x7f \xc3\xa9 \xc2\x9b \xff \xe2\x80\xa8 c");
	ck_assert_str_eq(e.text, "a\\x0ab\\x1b[2J\\x7f \xc3\xa9 \\xc2\\x9b \\xff "
	                         "\\xe2\\x80\\xa8 c");
	err_in(&e, "d\te");
	ck_assert_ptr_eq(strstr(e.text, "d\\x09e: a\\x0ab"), e.text);
}
END_TEST

START_TEST(a_long_message_is_cut_between_characters)
{
	struct err e = { 0 };
	char text[3 * ERR_TEXT + 1];

	for (size_t at = 0; at < sizeof text - 1; at += 3)
		memcpy(text + at, "\xe2\x82\xac", 3);
	text[sizeof text - 1] = '\0';
	err_set(&e, ERR_INPUT, "%s", text);
	ck_assert_uint_eq(strlen(e.text), ERR_TEXT - 1 - (ERR_TEXT - 1) % 3);
	ck_assert(strchr(e.text, '\\') == NULL);
	err_in(&e, "%s", text);
	ck_assert_uint_lt(strlen(e.text), ERR_TEXT);
	memset(text, '\n', sizeof text - 1);
	err_set(&e, ERR_INPUT, "%s", text);
	ck_assert_uint_eq(strlen(e.text) % 4, 0);
}
END_TEST

START_TEST(own_text_may_be_an_argument)
{
	struct err e = { 0 };

	err_set(&e, ERR_NO, "one");
	err_set(&e, ERR_NO, "%s two", e.text);
	ck_assert_str_eq(e.text, "one two");
	err_in(&e, "%s", e.text);
	ck_assert_str_eq(e.text, "one two: one two");
}
END_TEST

START_TEST(errno_and_memory)
{
	struct err e = { 0 };

	errno = ENOSPC;
	err_errno(&e, "cannot write %s", "x");
	ck_assert_str_eq(e.text, "cannot write x: No space left on device");
	ck_assert_int_eq(err_exit_code(&e), 4);
	err_memory(&e, 12);
	ck_assert_str_eq(e.text, "out of memory (12 bytes)");
	ck_assert_int_eq(e.kind, ERR_MACHINE);
}
END_TEST

START_TEST(exit_codes)
{
	static const int codes[] = { 0, 1, 2, 3, 4, 130 };

	for (int kind = ERR_NONE; kind <= ERR_INTERRUPTED; kind++) {
		struct err e = { .kind = (enum err_kind)kind };

		ck_assert_int_eq(err_exit_code(&e), codes[kind]);
	}
}
END_TEST

Suite *err_suite(void)
{
	Suite *s = suite_create("err");
	TCase *t = tcase_create("err");

	tcase_add_test(t, prefixes_grow_into_a_path);
	tcase_add_test(t, a_message_is_one_line);
	tcase_add_test(t, a_long_message_is_cut_between_characters);
	tcase_add_test(t, own_text_may_be_an_argument);
	tcase_add_test(t, errno_and_memory);
	tcase_add_test(t, exit_codes);
	suite_add_tcase(s, t);
	return s;
}
