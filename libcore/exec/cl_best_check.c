/* SPDX-License-Identifier: MIT */
/* What is asked of rows in their place: found on the device it is what the
 * host makes of the row, to the bit; rows that were not asked for can be
 * brought; no step allocates or builds, and each waits once. */
#include "exec/cl_world.h"

#include "util/mass.h"

Suite *cl_best_suite(void);

enum { ROWS = 16, WIDE = 17003, HEAD_BYTES = 32 };

/* Ties, few numbers, none, infinities, no more than FEW_MOST numbers, zeros of
 * both signs, one that outweighs all. */
static float *rows_like(size_t n)
{
	float *v = random_floats(VOCAB * n);

	for (size_t i = 0; i < n; i++) {
		v[i] *= 12;
		v[n + i] = floorf(v[n + i] * 3);
		v[2 * n + i] = i % 5 == 3 ? v[2 * n + i] : NAN;
		v[3 * n + i] = i % 2 ? NAN : -INFINITY;
		v[4 * n + i] = 0;
		v[5 * n + i] = i % 7 == 6 ? -INFINITY : 8 * v[5 * n + i];
		v[6 * n + i] = i % (n / 200 + 1) ? -INFINITY : v[6 * n + i];
		v[7 * n + i] = i % 3 ? 0.0f : -0.0f;
		v[8 * n + i] = i == n / 3 ? 100 : v[8 * n + i];
		v[9 * n + i] = (float)i * 1e-3f;
		v[10 * n + i] = (float)(n - i) * 1e-3f;
	}
	v[4 * n + n / 2] = INFINITY;
	v[4 * n + n - 1] = INFINITY;
	return v;
}

static void record_rows(struct world *w, const float *v, size_t n)
{
	struct err e = { 0 };

	ck_assert_msg(record_open(&w->r, w->x, ROWS, ROWS, NULL, &e) == 0, "%s", e.text);
	struct slot *x = record_slot(w->r, "x", n);

	op_embed(w->r, x, give_matrix(w, v, VOCAB, n));
	finish(w, x, n);
	record_asks(w->r);
	ck_assert_msg(record_end(w->r, &e) == 0, "%s", e.text);
}

/* ---- what the host makes of a row */
static int32_t first_best(const float *x, size_t n)
{
	int32_t at = -1;

	for (size_t i = 0; i < n; i++)
		if (x[i] > (at < 0 ? -INFINITY : x[at]))
			at = (int32_t)i;
	return at;
}

static int by_place(const void *a, const void *b)
{
	const struct few *p = a, *q = b;

	return p->logit != q->logit ? p->logit > q->logit ? -1 : 1 : p->id - q->id;
}

static void check_few(const struct answer *a, const float *x, size_t n)
{
	struct few *all = take(n * sizeof *all), *got = take(FEW_MOST * sizeof *got);
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (x[i] > -INFINITY)
			all[m++] = (struct few){ x[i], (int32_t)i };
	qsort(all, m, sizeof *all, by_place);
	m = m < FEW_MOST ? m : FEW_MOST;
	ck_assert_uint_eq(a->n_few, m);
	memcpy(got, a->few, m * sizeof *got);
	qsort(got, m, sizeof *got, by_place);
	for (size_t i = 0; i < m; i++)
		ck_assert_msg(got[i].id == all[i].id && got[i].logit == all[i].logit,
		              "%zu: candidate %zu is %d, %.9g; expected %d, %.9g", n, i, got[i].id,
		              (double)got[i].logit, all[i].id, (double)all[i].logit);
}

static void check_drawn(const struct answer *a, const struct ask *ask, const float *x, size_t n)
{
	uint64_t *block = take((n / MASS_BLOCK + 1) * sizeof *block);
	uint64_t sum = mass_sum(block, x, n, a->max, ask->scale);
	size_t at = mass_find(block, x, n, a->max, ask->scale, mass_share(sum, ask->chance));

	ck_assert_msg((size_t)a->drawn == at, "%zu: %d was drawn, expected %zu (%u at %.9g)", n,
	              a->drawn, at, ask->chance, (double)ask->scale);
	ck_assert(a->logit == x[at]);
}

static void check_answer(const struct answer *a, const struct ask *ask, const float *x, size_t n,
                         bool found)
{
	if (!ask->what || (!found && ask->what != ASK_BEST)) {
		ck_assert(a->row && !memcmp(a->row, x, n * sizeof *x));
		return;
	}
	ck_assert(!a->row);
	ck_assert_int_eq(a->best, first_best(x, n));
	if (a->best < 0 || !isfinite(x[a->best]))
		return;
	ck_assert(a->max == x[a->best]);
	if (ask->what & ASK_DRAW)
		check_drawn(a, ask, x, n);
	if (ask->what & ASK_FEW) {
		ck_assert_uint_eq(a->mass, mass_sum(NULL, x, n, a->max, 1));
		check_few(a, x, n);
	}
}

/* All kinds of asks beside each other. */
static void ask_some(struct ask *ask, size_t n, size_t round)
{
	static const uint32_t ends[] = { 0, UINT32_MAX, 1u << 31 };

	for (size_t i = 0; i < n; i++) {
		ask[i] = (struct ask){ .what = (unsigned)((i + round) % 8) };
		ask[i].what |= ask[i].what ? ASK_BEST : 0;
		ask[i].scale = round ? 0.3f + 2 * fabsf(random_float()) : 1.25f;
		ask[i].chance = round < 3 ? ends[round] :
		                            (uint32_t)(fabsf(random_float()) * 4e9f);
	}
}

static size_t bytes_back(const struct ask *ask, size_t k, size_t n)
{
	size_t bytes = 0;
	bool any = false;

	for (size_t i = 0; i < k; i++) {
		any |= ask[i].what != 0;
		bytes += ask[i].what & ASK_FEW ? FEW_MOST * sizeof(struct few) :
		         ask[i].what           ? 0 : n * sizeof(float);
	}
	return bytes + (any ? k * HEAD_BYTES : 0);
}

static void check_on(const char *device, const float *v, size_t n)
{
	bool opencl = !strcmp(device, "opencl"), found;
	struct world w;

	world_device(&w, device, 0);
	record_rows(&w, v, n);
	found = opencl && !(((const struct opencl *)w.x->device)->can & NEED_CPU);
	for (size_t round = 0; round < 8; round++) {
		struct ask ask[ROWS];
		struct step s = rows_of(round % 4, round % 3 ? ROWS : 1);
		size_t read = exec_read(w.x), waits = exec_waits(w.x);
		struct err e = { 0 };

		ask_some(ask, s.n_out, round);
		s.ask = ask;
		world_run(&w, &s);
		if (opencl)
			ck_assert_uint_eq(exec_waits(w.x) - waits, 1);
		if (found)
			ck_assert_uint_eq(exec_read(w.x) - read, bytes_back(ask, s.n_out, n));
		for (size_t i = 0; i < s.n_out; i++)
			check_answer(&record_answers(w.r)[i], &ask[i],
			             v + (size_t)s.token[i] * n, n, found);
		for (size_t i = 0; i < s.n_out; i += 3) {
			const float *row;

			ck_assert_msg(record_row(w.r, i, &row, &e) == 0, "%s", e.text);
			ck_assert(!memcmp(row, v + (size_t)s.token[i] * n, n * sizeof *v));
		}
		s.ask = NULL;
		ck_assert(!memcmp(world_run(&w, &s), v + (size_t)s.token[0] * n, n * sizeof *v));
	}
	world_close(&w);
}

START_TEST(answers_are_the_hosts)
{
	static const size_t sizes[] = { 1, 2, 130, 256, 257, 8193, WIDE };

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
	record_asks(w.r);
	ck_assert_int_eq(record_end(w.r, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MISUSE);
	record_close(w.r);
	ck_assert_int_eq(record_open(&w.r, w.x, 1, 1, NULL, &e), 0);
	struct slot *x = record_slot(w.r, "x", 4);
	op_embed(w.r, x, w.weight[0]);
	finish(&w, x, 4);
	ck_assert_int_eq(record_end(w.r, &e), 0);
	s.ask = asks_of(1);
	ck_assert_int_eq(record_run(w.r, &s, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MISUSE);
	world_close(&w);
}
END_TEST

static void add_tests(Suite *s, const char *name, void (*begin)(void))
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 180);
	tcase_add_checked_fixture(t, begin, finish_check);
	tcase_add_test(t, answers_are_the_hosts);
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
