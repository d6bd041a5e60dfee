/* SPDX-License-Identifier: MIT */
#include "util/bytes.h"

#include <check.h>
#include <string.h>

Suite *bytes_suite(void);

START_TEST(views)
{
	struct bytes none = { 0 }, ab = bytes_of("ab");

	ck_assert(bytes_equal(none, bytes_of("")));
	ck_assert(bytes_equal(bytes_of(NULL), none));
	ck_assert(bytes_is(ab, "ab") && !bytes_is(ab, "a") && !bytes_is(ab, "ac"));
	ck_assert(bytes_starts(ab, "a") && bytes_starts(ab, "") && !bytes_starts(ab, "b"));
	ck_assert(bytes_ends(ab, "b") && bytes_ends(ab, "ab") && !bytes_ends(ab, "xab"));
	ck_assert(bytes_starts(none, "") && bytes_ends(none, "") && !bytes_ends(none, "x"));
}
END_TEST

START_TEST(little_endian_numbers)
{
	static const unsigned char text[] = {
		0x01, 0x02, 0x81, 0xff, 0xff, 0xff, 0xfe,       /* u8, u16, i32 */
		1,    2,    3,    4,    5,    6,    7,    0x88, /* u64 */
		0,    0,    0xc0, 0xbf,                         /* f32 -1.5 */
		0,    0,    0,    0,    0,    0,    0xf8, 0x3f, /* f64 1.5 */
		'a',  'b',  0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 7, 0, 0, 0,
	};
	struct reader r;

	reader_init(&r, (struct bytes){ text, sizeof text });
	ck_assert_uint_eq(read_u8(&r), 1);
	ck_assert_uint_eq(read_u16(&r), 0x8102);
	ck_assert_int_eq(read_i32(&r), -0x1000001 + 0);
	ck_assert(read_u64(&r) == UINT64_C(0x8807060504030201));
	ck_assert_float_eq(read_f32(&r), -1.5f);
	ck_assert_double_eq(read_f64(&r), 1.5);
	ck_assert(bytes_is(read_bytes(&r, 2), "ab"));
	ck_assert_int_eq(read_i64(&r), -2);
	ck_assert_uint_eq(reader_left(&r), 4);
	ck_assert_uint_eq(read_u32(&r), 7);
	ck_assert(!reader_failed(&r));
}
END_TEST

START_TEST(past_the_end_it_stays_put)
{
	struct reader r;

	reader_init(&r, bytes_of("abcdef"));
	read_skip(&r, 3);
	ck_assert(bytes_is(read_bytes(&r, 0), "") && !reader_failed(&r));
	ck_assert_uint_eq(read_u32(&r), 0);
	ck_assert(reader_failed(&r));
	ck_assert_uint_eq(r.pos, 3);
	ck_assert_uint_eq(read_u8(&r), 0); /* there, but too late */
	ck_assert_uint_eq(reader_left(&r), 0);
	ck_assert_ptr_null(read_bytes(&r, 0).p);
	reader_init(&r, bytes_of("abcdef"));
	read_skip(&r, SIZE_MAX);
	ck_assert(reader_failed(&r) && r.pos == 0);
	reader_init(&r, (struct bytes){ 0 });
	ck_assert(bytes_is(read_bytes(&r, 0), "") && !reader_failed(&r));
	ck_assert(read_f64(&r) == 0 && reader_failed(&r));
}
END_TEST

Suite *bytes_suite(void)
{
	Suite *s = suite_create("bytes");
	TCase *t = tcase_create("bytes");

	tcase_add_test(t, views);
	tcase_add_test(t, little_endian_numbers);
	tcase_add_test(t, past_the_end_it_stays_put);
	suite_add_tcase(s, t);
	return s;
}
