/* SPDX-License-Identifier: MIT */
/* latency_check.c - how many sessions a target allows, by a clock of its own */
#include "gen/latency.h"

#include <check.h>

/* Passes of a machine where a pass takes 2 ms and each session 0.5 ms, with
 * so many sessions about; gives how many run in the end. */
static size_t settle(struct latency *l, size_t *running, size_t about)
{
	for (int i = 0; i < 4000; i++) {
		/* one ends now and then, others begin */
		if (i % 3 == 0 && *running)
			--*running;
		while (*running < about && *running < l->limit)
			++*running;
		latency_note(l, *running, *running, *running < about,
		             0.002 + 0.0005 * (double)*running);
	}
	return *running;
}

START_TEST(keeps_the_target)
{
	static const double target[] = { 0.004, 0.010, 0.020, 1 };
	struct latency l;

	for (size_t i = 0; i < sizeof target / sizeof *target; i++) {
		size_t running = 0, fits = (size_t)((target[i] - 0.002) / 0.0005), got;

		latency_init(&l, target[i], 64);
		got = settle(&l, &running, 1000);
		fits = fits < 64 ? fits : 64;
		ck_assert_msg(got <= fits && 2 * got >= fits, "%zu of %zu", got, fits);
		/* it does not swing */
		ck_assert_uint_eq(settle(&l, &running, 1000), got);
	}
}
END_TEST

START_TEST(goes_up_again)
{
	size_t running = 0, got;
	struct latency l;

	latency_init(&l, 0.010, 64);
	for (int i = 0; i < 1000; i++) /* a machine with other work for a while */
		latency_note(&l, 1, l.limit, true, 0.030);
	ck_assert_uint_eq(l.limit, 1);
	got = settle(&l, &running, 1000);
	ck_assert_msg(got >= 8 && got <= 16, "%zu", got);
}
END_TEST

START_TEST(leaves_alone)
{
	struct latency l;

	latency_init(&l, 0, 64); /* no target */
	for (int i = 0; i < 100; i++)
		latency_note(&l, 64, 64, true, 9);
	ck_assert_uint_eq(l.limit, 64);
	latency_init(&l, 0.001, 64);
	ck_assert_uint_eq(l.limit, 4);
	for (int i = 0; i < 100; i++) /* prompts alone */
		latency_note(&l, 0, 4, true, 9);
	ck_assert_uint_eq(l.limit, 4);
	for (int i = 0; i < 100; i++) /* nothing less than one */
		latency_note(&l, 1, 1, true, 9);
	ck_assert_uint_eq(l.limit, 1);
}
END_TEST

Suite *latency_suite(void);
Suite *latency_suite(void)
{
	Suite *s = suite_create("latency");
	TCase *t = tcase_create("latency");

	tcase_add_test(t, keeps_the_target);
	tcase_add_test(t, goes_up_again);
	tcase_add_test(t, leaves_alone);
	suite_add_tcase(s, t);
	return s;
}
