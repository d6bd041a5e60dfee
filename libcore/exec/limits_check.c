/* SPDX-License-Identifier: MIT */
/* What a device can do, measured: figures that are there, in the right
 * order of size, and no memory or kernel more at each measure. Nothing here
 * fails on a slow machine. */
#include "exec/exec.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *limits_suite(void);

static struct exec *open_device(const char *name, const char *isa)
{
	struct exec_options o = { .device = name, .isa = isa };
	struct exec *x = NULL;
	struct err e = { 0 };

	return exec_open(&x, &o, &e) == 0 ? x : NULL;
}

static double measured(struct exec *x, enum limit what)
{
	struct err e = { 0 };
	double v = -1;

	ck_assert_msg(exec_limit(x, what, &v, &e) == 0, "%s", e.text);
	return v;
}

static const char *const levels[] = { "plain", "v2", "v3", "v4", "v4vnni", "v4amx" };
enum { N_LEVELS = sizeof levels / sizeof *levels };

START_TEST(cpu_has_each)
{
	struct exec *x = open_device("cpu", levels[_i]);

	if (!x)
		return;
	for (int what = 0; what < LIMIT_COUNT; what++) {
		double v = measured(x, (enum limit)what);

		if (what == LIMIT_BARRIER || what == LIMIT_MATRIX)
			ck_assert(v == 0);
		else if (what == LIMIT_LAUNCH)
			ck_assert(v > 0 && v < 1);
		else
			ck_assert_msg(v > 1e6 && v < 1e16, "%s: limit %d is %g", levels[_i], what, v);
	}
	exec_close(x);
}
END_TEST

START_TEST(memory_is_taken_once)
{
	struct exec *x = open_device("cpu", NULL);
	size_t n_bytes, n_events;

	ck_assert_ptr_nonnull(x);
	measured(x, LIMIT_READ);
	n_bytes = exec_bytes(x);
	n_events = exec_events(x);
	ck_assert(n_bytes > 0);
	measured(x, LIMIT_READ);
	ck_assert(exec_bytes(x) == n_bytes && exec_events(x) == n_events);
	exec_close(x);
}
END_TEST

START_TEST(reference_has_none)
{
	struct exec *x = open_device("ref", NULL);

	ck_assert_ptr_nonnull(x);
	for (int what = 0; what < LIMIT_COUNT; what++)
		ck_assert(measured(x, (enum limit)what) == 0);
	exec_close(x);
}
END_TEST

/* Both kinds of rows, where there is a device. */
START_TEST(opencl_has_them)
{
	struct exec *x;
	size_t n_bytes;

	if (_i)
		setenv("CLM_OPENCL_ROWS", "portable", 1);
	x = open_device("opencl", NULL);
	if (!x)
		return;
	ck_assert(measured(x, LIMIT_READ) > 1e6);
	ck_assert(measured(x, LIMIT_FMA) > 1e6);
	ck_assert(measured(x, LIMIT_LAUNCH) > 0);
	n_bytes = exec_bytes(x);
	for (int what = 0; what < LIMIT_COUNT; what++)
		ck_assert(measured(x, (enum limit)what) >= 0);
	ck_assert(exec_bytes(x) == n_bytes);
	exec_close(x);
}
END_TEST

Suite *limits_suite(void)
{
	Suite *s = suite_create("limits");
	TCase *t = tcase_create("limits");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, cpu_has_each, 0, N_LEVELS);
	tcase_add_test(t, memory_is_taken_once);
	tcase_add_test(t, reference_has_none);
	tcase_add_loop_test(t, opencl_has_them, 0, 2);
	suite_add_tcase(s, t);
	return s;
}
