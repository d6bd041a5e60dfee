/* SPDX-License-Identifier: MIT */
/* The best id of each row: the host's choice on every backend, and all that a
 * step brings back where the device finds it; no step allocates or builds. */
#include "exec/cl_world.h"

Suite *cl_best_suite(void);

enum { ROWS = 8, WIDE = 17000 };

/* Ties, few numbers, none, infinities. */
static float *rows_like(size_t n)
{
	float *v = random_floats(VOCAB * n);

	for (size_t i = 0; i < n; i++) {
		v[n + i] = floorf(v[n + i] * 3);
		v[2 * n + i] = i % 5 == 3 ? v[2 * n + i] : NAN;
		v[3 * n + i] = i % 2 ? NAN : -INFINITY;
		v[4 * n + i] = 0;
		v[5 * n + i] = i % 7 == 6 ? -INFINITY : v[5 * n + i];
	}
	v[4 * n + n / 2] = INFINITY;
	v[4 * n + n - 1] = INFINITY;
	return v;
}

static int32_t first_best(const float *x, size_t n)
{
	int32_t at = -1;

	for (size_t i = 0; i < n; i++)
		if (x[i] > (at < 0 ? -INFINITY : x[at]))
			at = (int32_t)i;
	return at;
}

static void record_rows(struct world *w, const float *v, size_t n)
{
	struct err e = { 0 };

	ck_assert_msg(record_open(&w->r, w->x, ROWS, ROWS, NULL, &e) == 0, "%s", e.text);
	struct slot *x = record_slot(w->r, "x", n);

	op_embed(w->r, x, give_matrix(w, v, VOCAB, n));
	finish(w, x, n);
	record_best(w->r);
	ck_assert_msg(record_end(w->r, &e) == 0, "%s", e.text);
}

static void check_on(const char *device, const float *v, size_t n)
{
	struct world w;

	world_device(&w, device, 0);
	record_rows(&w, v, n);
	for (size_t k = 1; k <= ROWS; k += ROWS - 1) {
		struct step s = rows_of(k == 1 ? 4 : 0, k);
		size_t read = exec_read(w.x), waits = exec_waits(w.x);

		s.best = true;
		world_run(&w, &s);
		if (!strcmp(device, "opencl"))
			ck_assert_uint_eq(exec_waits(w.x) - waits, 1);
		if (!strcmp(device, "opencl") && portable_rows())
			ck_assert_uint_eq(exec_read(w.x) - read, k * sizeof(int32_t));
		for (size_t i = 0; i < k; i++)
			ck_assert_int_eq(record_ids(w.r)[i], first_best(v + (size_t)s.token[i] * n, n));
		s.best = false;
		ck_assert(!memcmp(world_run(&w, &s), v + (size_t)s.token[0] * n, n * sizeof *v));
	}
	world_close(&w);
}

START_TEST(ids_are_the_hosts)
{
	static const size_t sizes[] = { 1, 2, 130, WIDE };

	if (!here)
		return;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		float *v = rows_like(sizes[i]);

		check_on("opencl", v, sizes[i]);
		if (!portable_rows())
			continue;
		check_on("cpu", v, sizes[i]);
		check_on("ref", v, sizes[i]);
	}
}
END_TEST

START_TEST(wants_a_result)
{
	struct world w;
	struct err e = { 0 };
	float *v = random_floats(VOCAB * 4);
	struct step s = rows_of(0, 1);

	world_device(&w, "ref", 0);
	ck_assert_int_eq(record_open(&w.r, w.x, 1, 1, NULL, &e), 0);
	op_embed(w.r, record_slot(w.r, "x", 4), give_matrix(&w, v, VOCAB, 4));
	record_best(w.r);
	ck_assert_int_eq(record_end(w.r, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MISUSE);
	record_close(w.r);
	ck_assert_int_eq(record_open(&w.r, w.x, 1, 1, NULL, &e), 0);
	struct slot *x = record_slot(w.r, "x", 4);
	op_embed(w.r, x, w.weight[0]);
	finish(&w, x, 4);
	ck_assert_int_eq(record_end(w.r, &e), 0);
	s.best = true;
	ck_assert_int_eq(record_run(w.r, &s, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MISUSE);
	world_close(&w);
}
END_TEST

static void add_tests(Suite *s, const char *name, void (*begin)(void))
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, begin, finish_check);
	tcase_add_test(t, ids_are_the_hosts);
	tcase_add_test(t, wants_a_result);
	suite_add_tcase(s, t);
}

Suite *cl_best_suite(void)
{
	Suite *s = suite_create("cl_best");

	add_tests(s, "portable rows", start_portable);
	add_tests(s, "special rows", start_special);
	return s;
}
