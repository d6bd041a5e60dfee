/* SPDX-License-Identifier: MIT */
/* few_check.c - a draw of what a device tells against the draw of the row:
 * the same token, number and list, or none; and then the row's is untouched */
#include "gen/check.h"
#include "gen/sampler.h"
#include "util/mass.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 2000, TOP = 20 };

/* ---- a device, literally */
static float row[VOCAB];
static struct few few[VOCAB];
static uint64_t block[VOCAB / MASS_BLOCK + 1];

static int falling(const void *a, const void *b)
{
	const struct few *x = a, *y = b;

	return x->logit != y->logit ? x->logit > y->logit ? -1 : 1 : x->id - y->id;
}

static struct answer answer_to(const struct ask *ask)
{
	struct answer a = { .best = -1 };
	uint64_t mass;
	size_t n = 0;

	for (int i = 0; i < VOCAB; i++)
		if (row[i] > -INFINITY)
			few[n++] = (struct few){ row[i], i };
	qsort(few, n, sizeof *few, falling);
	if (!n)
		return a;
	a.best = few[0].id;
	a.max = few[0].logit;
	if (!isfinite(a.max))
		return a;
	mass = mass_sum(block, row, VOCAB, a.max, ask->scale);
	if (ask->what & ASK_DRAW) {
		a.drawn = (int32_t)mass_find(block, row, VOCAB, a.max, ask->scale,
		                             mass_share(mass, ask->chance));
		a.logit = row[a.drawn];
	}
	if (ask->what & ASK_FEW) {
		a.mass = mass_sum(NULL, row, VOCAB, a.max, 1);
		a.few = few;
		a.n_few = n < FEW_MOST ? n : FEW_MOST;
	}
	return a;
}

/* ---- rows and requests of many kinds */
static void random_row(int kind)
{
	double wide = kind % 3 ? 1 + 8 * chance() : 0.01;

	for (int i = 0; i < VOCAB; i++) {
		double g = sqrt(-2 * log(chance() + 1e-9)) * cos(6.283185307 * chance());

		row[i] = kind % 5 ? (float)(g * wide) : (float)floor(g * wide);
		if (kind % 7 == 6 && chance() < 0.9)
			row[i] = chance() < 0.5 ? NAN : -INFINITY;
	}
	if (kind % 97 == 96)
		row[VOCAB / 2] = row[VOCAB - 1] = INFINITY;
	if (kind % 101 == 100)
		for (int i = 0; i < VOCAB; i++)
			row[i] = NAN;
}

static void check_tops(struct sampler *a, struct sampler *b)
{
	int32_t id_a[TOP], id_b[TOP];
	float p_a[TOP], p_b[TOP];
	size_t n = sampler_top(a, TOP, id_a, p_a);

	ck_assert_uint_eq(sampler_top(b, TOP, id_b, p_b), n);
	ck_assert_mem_eq(id_a, id_b, n * sizeof *id_a);
	ck_assert_mem_eq(p_a, p_b, n * sizeof *p_a);
}

/* One draw by each; 1: what was told settled it. */
static int draw_both(struct sampler *by_row, struct sampler *by_few, size_t n_top)
{
	float p_row = 0, p_few = 0, *told = n_top ? &p_few : NULL;
	int32_t id_row = sampler_draw(by_row, row, NULL, 0, &p_row), id_few;
	struct answer a;
	struct ask ask;
	bool taken;

	sampler_ask(by_few, n_top, &ask);
	ck_assert(ask.what & ASK_BEST);
	a = answer_to(&ask);
	taken = sampler_take(by_few, &a, &id_few, told);
	if (!taken)
		id_few = sampler_draw(by_few, row, NULL, 0, told);
	ck_assert_int_eq(id_few, id_row);
	if (!n_top || id_row < 0 || !isfinite(row[id_row]))
		return taken;
	ck_assert_mem_eq(&p_row, &p_few, sizeof p_row);
	check_tops(by_row, by_few);
	return taken;
}

START_TEST(few_are_as_good_as_the_row)
{
	static const int32_t exempt[] = { 3, 500, 999 };
	int settled = 0, n = 0;

	for (int kind = 0; kind < 512; kind++) {
		struct sampler *by_row, *by_few;
		struct request r;
		struct err e;

		random_filters(&r, kind);
		ck_assert(!sampler_open(&by_row, &r, VOCAB, exempt, 3, &e));
		ck_assert(!sampler_open(&by_few, &r, VOCAB, exempt, 3, &e));
		for (int k = 0; k < 4; k++, n++) {
			random_row(kind + 13 * k);
			settled += draw_both(by_row, by_few, kind % 4 == 1 ? TOP : 0);
		}
		sampler_close(by_row);
		sampler_close(by_few);
	}
	/* both kinds of ends were there */
	ck_assert_int_gt(settled, n / 2);
	ck_assert_int_lt(settled, n);
}
END_TEST

START_TEST(asks_no_more_than_it_takes)
{
	static const struct { double temp, top_p, penalty; size_t n_top; unsigned want; } c[] = {
		{ 0, 1, 0, 0, ASK_BEST },
		{ 0, 0.5, 0, 0, ASK_BEST },
		{ 1, 1, 0, 0, ASK_BEST | ASK_DRAW },
		{ 1, 0.5, 0, 0, ASK_BEST | ASK_FEW },
		{ 0, 1, 0, 1, ASK_BEST | ASK_FEW },
		{ 1, 1, 0, 3, ASK_BEST | ASK_DRAW | ASK_FEW },
		{ 1, 1, 0, FEW_MOST + 1, 0 },
		{ 0, 1, 1.1, 0, 0 },
	};

	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		struct sampler *s;
		struct request r;
		struct ask ask;
		struct err e;

		request_init(&r);
		r.temp = c[i].temp;
		r.top_p = c[i].top_p;
		r.repetition_penalty = c[i].penalty;
		ck_assert(!sampler_open(&s, &r, 8, NULL, 0, &e));
		sampler_ask(s, c[i].n_top, &ask);
		ck_assert_uint_eq(ask.what, c[i].want);
		sampler_close(s);
	}
}
END_TEST

Suite *few_suite(void);
Suite *few_suite(void)
{
	Suite *s = suite_create("few");
	TCase *t = tcase_create("few");

	tcase_add_test(t, few_are_as_good_as_the_row);
	tcase_add_test(t, asks_no_more_than_it_takes);
	suite_add_tcase(s, t);
	return s;
}
