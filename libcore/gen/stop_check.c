/* SPDX-License-Identifier: MIT */
/* stop_check.c - stop strings: where a text is cut never matters */
#include "gen/stop.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* What comes out when the text is cut after every byte whose bit is set.
 * Also checks that nothing is held longer than it must be. */
static void run(struct buf *out, const struct request *r, const char *text, unsigned cuts, int *hit)
{
	struct stop s;
	struct err e;
	size_t n = strlen(text), from = 0;

	buf_clear(out);
	ck_assert(!stop_init(&s, r, &e));
	*hit = 0;
	for (size_t i = 0; i < n && !*hit; i++) {
		if (i + 1 < n && !(cuts >> i & 1))
			continue;
		*hit = stop_add(&s,
		                (struct bytes){ (const unsigned char *)text + from, i + 1 - from },
		                out, &e);
		ck_assert_int_ge(*hit, 0);
		from = i + 1;
	}
	ck_assert(!stop_end(&s, out, &e));
	if (*hit)
		ck_assert_int_eq(stop_add(&s, bytes_of("more"), out, &e), 1);
	stop_release(&s);
}

/* The rule, literally: the first byte at which any stop string is complete
 * ends the text, before the longest that is. */
static size_t literal(const struct request *r, const char *text)
{
	for (size_t end = 1; end <= strlen(text); end++) {
		size_t longest = 0;

		for (size_t i = 0; i < r->n_stop; i++) {
			size_t n = strlen(r->stop[i]);

			if (n <= end && !memcmp(text + end - n, r->stop[i], n) && n > longest)
				longest = n;
		}
		if (longest)
			return end - longest;
	}
	return SIZE_MAX;
}

static void every_cut(const struct request *r, const char *text)
{
	size_t n = strlen(text), want = literal(r, text);
	struct buf out = { 0 };
	int hit;

	for (unsigned cuts = 0; cuts < 1u << (n ? n - 1 : 0); cuts++) {
		run(&out, r, text, cuts, &hit);
		ck_assert_int_eq(hit, want != SIZE_MAX);
		ck_assert_uint_eq(out.n, hit ? want : n);
		ck_assert_mem_eq(out.n ? out.p : (const void *)"", text, out.n);
	}
	buf_release(&out);
}

START_TEST(cuts_do_not_matter)
{
	static const struct {
		const char *text;
		const char *stop[4];
	} rows[] = {
		{ "one two END x", { "END" } },
		{ "ababababac", { "ababac" } },
		{ "aaaaab", { "aab" } },
		{ "abcd", { "abcd", "bc" } },
		{ "xabcd", { "abc", "bc", "c" } },
		{ "no stop", { "stopp" } },
		{ "EN", { "END" } },
		{ "aEENDb", { "END", "EEN" } },
		{ "a\xe2\x82\xac\xe2\x82\xacz", { "\xe2\x82\xacz" } },
		{ "x", { "x" } },
		{ "", { "x" } },
		{ "nothing set", { NULL } },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct request r;

		request_init(&r);
		for (; r.n_stop < 4 && rows[i].stop[r.n_stop]; r.n_stop++)
			r.stop[r.n_stop] = strdup(rows[i].stop[r.n_stop]);
		every_cut(&r, rows[i].text);
		request_release(&r);
	}
}
END_TEST

START_TEST(random_texts)
{
	unsigned seed = 7;

	for (int k = 0; k < 300; k++) {
		struct request r;
		char text[10] = "";

		request_init(&r);
		for (size_t i = 0; i < 9; i++)
			text[i] = "ab"[(seed = seed * 1103515245 + 12345) >> 16 & 1];
		for (size_t i = 0; i < 3; i++) {
			char stop[8] = "";
			size_t n = 1 + ((seed = seed * 1103515245 + 12345) >> 16) % 6;

			for (size_t j = 0; j < n; j++)
				stop[j] = "ab"[(seed = seed * 1103515245 + 12345) >> 16 & 1];
			r.stop[r.n_stop++] = strdup(stop);
		}
		every_cut(&r, text);
		request_release(&r);
	}
}
END_TEST

/* Only what may still become a stop string waits. */
START_TEST(holds_no_more_than_it_must)
{
	struct request r;
	struct stop s;
	struct buf out = { 0 };
	struct err e;

	request_init(&r);
	r.stop[r.n_stop++] = strdup("\n\nUser:");
	ck_assert(!stop_init(&s, &r, &e));
	ck_assert_int_eq(stop_add(&s, bytes_of("Hello\n"), &out, &e), 0);
	ck_assert_uint_eq(out.n, 5);
	ck_assert_int_eq(stop_add(&s, bytes_of("\n\n"), &out, &e), 0);
	ck_assert_uint_eq(out.n, 6);
	ck_assert_int_eq(stop_add(&s, bytes_of("Use a"), &out, &e), 0);
	ck_assert_uint_eq(out.n, 13);
	ck_assert_int_eq(stop_add(&s, bytes_of("\n\nUser: hi"), &out, &e), 1);
	ck_assert_str_eq((char *)out.p, "Hello\n\n\nUse a");
	stop_release(&s);
	buf_release(&out);
	request_release(&r);
}
END_TEST

Suite *stop_suite(void);
Suite *stop_suite(void)
{
	Suite *s = suite_create("stop");
	TCase *t = tcase_create("stop");

	tcase_add_test(t, cuts_do_not_matter);
	tcase_add_test(t, random_texts);
	tcase_add_test(t, holds_no_more_than_it_must);
	suite_add_tcase(s, t);
	return s;
}
