/* SPDX-License-Identifier: MIT */
#include "util/utf8.h"

#include <check.h>
#include <string.h>

Suite *utf8_suite(void);

START_TEST(every_code_point_there_and_back)
{
	unsigned char p[4];
	uint32_t back;

	/* plain comparisons: Check writes each assertion down */
	for (uint32_t cp = 0; cp < 0x110010; cp++) {
		int len = utf8_encode(p, cp);
		int want = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

		if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
			want = 0;
		if (len != want || (len && (utf8_decode(&back, p, 4) != len || back != cp)))
			ck_abort_msg("U+%04x", cp);
		for (int n = 0; n < len; n++)
			if (utf8_decode(&back, p, (size_t)n) != -1)
				ck_abort_msg("U+%04x cut to %d", cp, n);
	}
}
END_TEST

START_TEST(what_is_not_utf8)
{
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2\x41",
		"\xe0\x80\x80",
		"\xe0\x9f\xbf",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"\xe2\x82\x41",
		"\xf0\x9f\x98\x41",
	};
	uint32_t cp = 7;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const unsigned char *p = (const unsigned char *)bad[i];

		ck_assert_int_eq(utf8_decode(&cp, p, strlen(bad[i])), 0);
		ck_assert_uint_eq(cp, 7);
	}
	/* wrong already, whatever follows */
	ck_assert_int_eq(utf8_decode(&cp, (const unsigned char *)"\xed\xa0", 2), 0);
	ck_assert_int_eq(utf8_decode(&cp, (const unsigned char *)"\xf4\x90", 2), 0);
}
END_TEST

START_TEST(the_first_wrong_byte)
{
	ck_assert_uint_eq(utf8_valid((struct bytes){ 0 }), 0);
	ck_assert_uint_eq(utf8_valid(bytes_of("ascii, more than eight")), 22);
	ck_assert_uint_eq(utf8_valid(bytes_of("12345678\xe2\x82\xac|")), 12);
	ck_assert_uint_eq(utf8_valid(bytes_of("1234567\xff"
	                                      "9")),
	                  7);
	ck_assert_uint_eq(utf8_valid(bytes_of("12345678\xe2\x82")), 8);
}
END_TEST

Suite *utf8_suite(void)
{
	Suite *s = suite_create("utf8");
	TCase *t = tcase_create("utf8");

	tcase_add_test(t, every_code_point_there_and_back);
	tcase_add_test(t, what_is_not_utf8);
	tcase_add_test(t, the_first_wrong_byte);
	suite_add_tcase(s, t);
	return s;
}
