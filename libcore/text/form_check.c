/* SPDX-License-Identifier: MIT */
#include "text/form.h"

#include "text/chars.h"
#include "text/normal.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

Suite *form_suite(void);

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void random_text(struct buf *b, uint32_t *seed)
{
	static const uint32_t few[] = { 'a',    'e',    0xE9,   0x301,  0x300,  0x316,  0x323,
		                        0x345,  0x1E69, 0x1100, 0x1161, 0x11A8, 0xAC00, 0xFB01,
		                        0x2126, 0x212B, 0x3AA,  0x30AB, 0x3099, 0xF900, 0x1D15E };
	size_t n = random_next(seed) % 30;
	unsigned char ch[4];

	buf_clear(b);
	buf_add_text(b, "");
	while (n--) {
		uint32_t cp = few[random_next(seed) % (sizeof few / sizeof *few)];

		if (random_next(seed) % 4 == 0)
			do
				cp = 1 + random_next(seed) % 0x2FFFF;
			while (!chars_class(cp));
		buf_add(b, ch, (size_t)utf8_encode(ch, cp));
	}
}

START_TEST(forms_are_utf8procs)
{
	static const struct {
		enum normal_kind kind;
		utf8proc_option_t options;
	} row[] = {
		{ NORMAL_NFC, UTF8PROC_STABLE | UTF8PROC_COMPOSE },
		{ NORMAL_NFD, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE },
		{ NORMAL_NFKC, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT },
		{ NORMAL_NFKD, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT },
	};
	struct normal_room room = { 0 };
	struct buf text = { 0 }, out = { 0 };
	struct err e = { 0 };
	uint32_t seed = 1;

	for (int round = 0; round < 20000; round++) {
		utf8proc_uint8_t *want = NULL;
		utf8proc_ssize_t n;

		random_text(&text, &seed);
		n = utf8proc_map(text.p, (utf8proc_ssize_t)text.n, &want, row[_i].options);
		ck_assert_int_ge(n, 0);
		buf_clear(&out);
		buf_add_text(&out, "");
		ck_assert_int_eq(form_add(&out, buf_bytes(&text), row[_i].kind, &room, &e), 0);
		ck_assert_msg((size_t)n == out.n && !memcmp(want, out.p, out.n), "[%s]: [%s]",
		              (char *)text.p, (char *)out.p);
		free(want);
	}
	normal_room_release(&room);
	buf_release(&text);
	buf_release(&out);
}
END_TEST

/* Marks in the wrong order for a megabyte: sorted in one go. */
START_TEST(long_runs_of_marks_are_quick)
{
	struct normal_room room = { 0 };
	struct buf text = { 0 }, out = { 0 };
	struct err e = { 0 };

	buf_add_text(&text, "a");
	while (text.n < 1 << 20)
		buf_add_text(&text, "\xCC\x81\xCC\x96");
	ck_assert_int_eq(form_add(&out, buf_bytes(&text), NORMAL_NFC, &room, &e), 0);
	ck_assert_uint_eq(out.n, text.n - 1); /* one mark went into the letter */
	ck_assert(!memcmp(out.p, "\xC3\xA1\xCC\x96\xCC\x96", 6));
	normal_room_release(&room);
	buf_release(&text);
	buf_release(&out);
}
END_TEST

START_TEST(steps_follow_each_other)
{
	struct normalizer z = { .n = 4 };
	struct normal_room room = { 0 };
	struct bytes out;
	struct err e = { 0 };

	z.step[0] = (struct normal){ .kind = NORMAL_NFC };
	z.step[1] = (struct normal){ .kind = NORMAL_STRIP, .left = true, .right = true };
	z.step[2] = (struct normal){ .kind = NORMAL_REPLACE,
		                     .what = bytes_of("\xC3\xA9"),
		                     .with = bytes_of("ee") };
	z.step[3] = (struct normal){ .kind = NORMAL_PREPEND, .with = bytes_of("_") };
	ck_assert_int_eq(
		normalizer_run(&z, bytes_of(" e\xCC\x81x\xFF\xC3\xA9\xC2\xA0"), &room, &out, &e),
		0);
	ck_assert(bytes_is(out, "_eex\xFF"
	                        "ee"));
	ck_assert_int_eq(normalizer_run(&z, bytes_of("  "), &room, &out, &e), 0);
	ck_assert(bytes_is(out, ""));
	normal_room_release(&room);
	normalizer_release(&z);
}
END_TEST

Suite *form_suite(void)
{
	Suite *s = suite_create("form");
	TCase *c = tcase_create("form");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, forms_are_utf8procs, 0, 4);
	tcase_add_test(c, long_runs_of_marks_are_quick);
	tcase_add_test(c, steps_follow_each_other);
	suite_add_tcase(s, c);
	return s;
}
