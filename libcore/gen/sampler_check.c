/* SPDX-License-Identifier: MIT */
/* sampler_check.c - the sampler against a literal one that sorts everything
 *
 * The literal sampler is written from the definition of each step, in f64
 * over the whole vocabulary; it shares only the stream of uniform numbers. */
#include "gen/check.h"
#include "gen/pick.h"
#include "gen/rng.h"
#include "gen/sampler.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VOCAB = 1000, HISTORY = 64 };

/* ---- the literal sampler */

static double *sort_by;

static int falling(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	if (sort_by[x] != sort_by[y])
		return sort_by[x] > sort_by[y] ? -1 : 1;
	return x - y;
}

static void ranks(int *order, double *x)
{
	for (int i = 0; i < VOCAB; i++)
		order[i] = i;
	sort_by = x;
	qsort(order, VOCAB, sizeof *order, falling);
}

static void literal_penalties(float *l, const struct request *r, const int32_t *h, size_t n)
{
	const double value[] = { r->repetition_penalty, r->presence_penalty, r->frequency_penalty };
	const size_t context[] = { r->repetition_context, r->presence_context,
		                   r->frequency_context };

	for (size_t i = 0; i < r->n_bias; i++)
		l[r->bias[i].id] += r->bias[i].add;
	for (int k = 0; k < 3; k++) {
		size_t from = context[k] && context[k] < n ? n - context[k] : 0;
		float v = (float)value[k];

		for (int id = 0; id < VOCAB && value[k] != 0; id++) {
			int count = 0;

			for (size_t i = from; i < n; i++)
				count += h[i] == id;
			if (!count)
				continue;
			if (k == 0)
				l[id] = l[id] < 0 ? l[id] * v : l[id] / v;
			else
				l[id] -= k == 1 ? v : v * (float)count;
		}
	}
}

static void literal_top_p(double *x, double top_p)
{
	int order[VOCAB];
	double above = 0, least = INFINITY;

	ranks(order, x);
	for (int i = 0; i < VOCAB && above < top_p; i++) {
		least = x[order[i]];
		above += exp(x[order[i]]);
	}
	for (int i = 0; i < VOCAB; i++)
		if (x[i] < least)
			x[i] = -INFINITY;
}

static void literal_min_p(double *x, double min_p, size_t keep, float max)
{
	int order[VOCAB];
	double floor = (double)(max + (float)log(min_p)) - max; /* in the precision of the logits */

	ranks(order, x);
	floor += x[order[0]];
	for (int i = keep > 1 ? (int)keep : 0; i < VOCAB; i++)
		if (x[order[i]] < floor - 1e-12)
			x[order[i]] = -INFINITY;
}

static void literal_xtc(double *x, const struct request *r, const int32_t *exempt, size_t n_exempt,
                        struct rng *rng)
{
	double sum = 0, least = INFINITY;

	if (rng_uniform(rng) > r->xtc_probability)
		return;
	for (int i = 0; i < VOCAB; i++)
		sum += exp(x[i]);
	for (int i = 0; i < VOCAB; i++)
		if (exp(x[i]) / sum > r->xtc_threshold && exp(x[i]) < least)
			least = exp(x[i]);
	for (int i = 0; i < VOCAB; i++) {
		bool spared = false;

		for (size_t k = 0; k < n_exempt; k++)
			spared |= exempt[k] == i;
		if (exp(x[i]) > least && !spared)
			x[i] = -INFINITY;
	}
}

static int literal_draw(const double *x, double temp, struct rng *rng)
{
	double sum = 0, max = -INFINITY, at;

	for (int i = 0; i < VOCAB; i++)
		max = x[i] > max ? x[i] : max;
	for (int i = 0; i < VOCAB; i++)
		sum += exp((x[i] - max) / temp);
	at = rng_uniform(rng) * sum;
	sum = 0;
	for (int i = 0; i < VOCAB; i++) {
		sum += exp((x[i] - max) / temp);
		if (sum > at)
			return i;
	}
	return -1;
}

static int literal(const struct request *r, const float *logits, const int32_t *history, size_t n,
                   const int32_t *exempt, size_t n_exempt, struct rng *rng, double *logprob)
{
	float l[VOCAB], max;
	double x[VOCAB], sum = 0;
	int order[VOCAB], id;

	memcpy(l, logits, sizeof l);
	literal_penalties(l, r, history, n);
	for (int i = 0; i < VOCAB; i++)
		sum += exp(l[i]);
	for (int i = 0; i < VOCAB; i++)
		x[i] = l[i] - log(sum);
	ranks(order, x);
	id = order[0];
	max = l[id];
	if (r->temp > 0) {
		double y[VOCAB];

		memcpy(y, x, sizeof y);
		if (r->top_p > 0 && r->top_p < 1)
			literal_top_p(y, r->top_p);
		if (r->min_p != 0)
			literal_min_p(y, r->min_p, r->min_keep, max);
		if (r->xtc_probability > 0)
			literal_xtc(y, r, exempt, n_exempt, rng);
		if (r->top_k > 0 && r->top_k < VOCAB) {
			ranks(order, y);
			for (int i = (int)r->top_k; i < VOCAB; i++)
				y[order[i]] = -INFINITY;
		}
		id = literal_draw(y, r->temp, rng);
	}
	*logprob = x[id];
	return id;
}

/* ---- random requests, some of every kind */

static void random_request(struct request *r, struct bias *bias, int kind)
{
	random_filters(r, kind);
	if (kind & 16) {
		r->repetition_penalty = 0.5 + chance();
		r->repetition_context = (size_t)(chance() * 40);
	}
	if (kind & 32) {
		r->presence_penalty = 4 * chance() - 2;
		r->frequency_penalty = chance();
		r->frequency_context = (size_t)(chance() * 100);
	}
	if (kind & 64) {
		bias[0] = (struct bias){ (int32_t)(chance() * VOCAB), 8 };
		bias[1] = (struct bias){ (int32_t)(chance() * VOCAB), -100 };
		r->bias = bias;
		r->n_bias = 2;
	}
}

static void random_logits(float *l, int32_t *history, int kind)
{
	double wide = 1 + 4 * chance();

	for (int i = 0; i < VOCAB; i++) {
		double g = sqrt(-2 * log(chance() + 1e-9)) * cos(6.283185307 * chance());

		/* some rows hold many ties */
		l[i] = kind % 5 ? (float)(g * wide) : (float)floor(g * wide);
	}
	for (int i = 0; i < HISTORY; i++)
		history[i] = chance() < 0.1 ? -1 : (int32_t)(chance() * chance() * VOCAB);
}

START_TEST(equals_the_literal)
{
	static const int32_t exempt[] = { 3, 500, 999 };
	int differ = 0, n = 0;

	for (int kind = 0; kind < 512; kind++) {
		struct bias bias[2];
		struct request r;
		struct sampler *s;
		struct rng rng;
		struct err e;

		random_request(&r, bias, kind);
		ck_assert(!sampler_open(&s, &r, VOCAB, exempt, 3, &e));
		rng_seed(&rng, r.seed);
		for (int k = 0; k < 8; k++, n++) {
			float l[VOCAB], logprob;
			int32_t history[HISTORY];
			double want_logprob;
			int want, got;

			random_logits(l, history, kind + k);
			want = literal(&r, l, history, HISTORY, exempt, 3, &rng, &want_logprob);
			got = sampler_draw(s, l, history, HISTORY, &logprob);
			differ += got != want;
			if (got == want)
				ck_assert_double_eq_tol(logprob, want_logprob, 1e-5);
		}
		sampler_close(s);
	}
	/* weights are f32 here and f64 there: a number between two tokens may
	 * fall on either side once in a hundred thousand draws or so */
	ck_assert_msg(differ <= 2, "%d of %d draws differ", differ, n);
}
END_TEST

START_TEST(top_lists_the_best)
{
	float l[VOCAB], logprob, top[12];
	int32_t history[HISTORY], id[12];
	double x[VOCAB], sum = 0;
	int order[VOCAB];
	struct request r;
	struct sampler *s;
	struct err e;

	request_init(&r);
	ck_assert(!sampler_open(&s, &r, VOCAB, NULL, 0, &e));
	ck_assert_uint_eq(sampler_top(s, 12, id, top), 0);
	random_logits(l, history, 5);
	for (int i = 0; i < VOCAB; i++)
		sum += exp(x[i] = l[i]);
	ranks(order, x);
	ck_assert_int_eq(sampler_draw(s, l, history, 0, &logprob), order[0]);
	ck_assert_uint_eq(sampler_top(s, 12, id, top), 12);
	for (int i = 0; i < 12; i++) {
		ck_assert_int_eq(id[i], order[i]);
		ck_assert_double_eq_tol(top[i], x[order[i]] - log(sum), 1e-6);
	}
	sampler_close(s);
	/* a bias decides the draw and, where that is asked for, not what is told */
	r.bias = &(struct bias){ order[9], 100 };
	r.n_bias = 1;
	r.plain_logprobs = true;
	ck_assert(!sampler_open(&s, &r, VOCAB, NULL, 0, &e));
	ck_assert_int_eq(sampler_draw(s, l, history, 0, &logprob), order[9]);
	ck_assert_double_eq_tol(logprob, x[order[9]] - log(sum), 1e-6);
	ck_assert_uint_eq(sampler_top(s, 1, id, top), 1);
	ck_assert_int_eq(id[0], order[0]);
	sampler_close(s);
}
END_TEST

/* ---- edges */

START_TEST(best_takes_the_lowest_of_ties)
{
	float l[3000];

	for (size_t n = 1; n < 3000; n += 37) {
		for (size_t i = 0; i < n; i++)
			l[i] = -1;
		l[n - 1] = l[n / 2] = l[n / 3] = 2;
		ck_assert_uint_eq(pick_best(l, n), n / 3);
		l[0] = NAN;
		if (n / 3)
			ck_assert_uint_eq(pick_best(l, n), n / 3);
	}
}
END_TEST

START_TEST(rows_without_numbers)
{
	float l[40];
	struct request r;
	struct sampler *s;
	struct err e;

	request_init(&r);
	r.temp = 1;
	r.top_p = 0.9;
	ck_assert(!sampler_open(&s, &r, 40, NULL, 0, &e));
	for (int i = 0; i < 40; i++)
		l[i] = NAN;
	ck_assert_int_eq(sampler_draw(s, l, NULL, 0, NULL), -1);
	l[7] = -INFINITY;
	ck_assert_int_eq(sampler_draw(s, l, NULL, 0, NULL), -1);
	l[9] = -3;
	ck_assert_int_eq(sampler_draw(s, l, NULL, 0, NULL), 9);
	l[11] = INFINITY;
	ck_assert_int_eq(sampler_draw(s, l, NULL, 0, NULL), 11);
	sampler_close(s);
	r.n_bias = 1;
	r.bias = &(struct bias){ 40, 1 };
	ck_assert(sampler_open(&s, &r, 40, NULL, 0, &e));
	ck_assert_str_eq(e.text, "logit_bias: expected ids from 0 to 39, found 40");
}
END_TEST

/* ---- seeds: numbers and draws recorded from mlx 0.32.4 on a CPU */

START_TEST(draws_are_those_of_mlx)
{
	static const float logits[] = {
		0.2514604330062866f,  -0.26420971751213074f, 1.280845284461975f,
		0.20980022847652435f, -1.0713387727737427f,  0.7231901288032532f,
		2.6080000400543213f,  1.8941619396209717f,   -1.407470464706421f,
		-2.5308430194854736f, -1.2465488910675049f,  0.08265195786952972f,
		-4.65006160736084f,   -0.437583327293396f,   -2.4918220043182373f,
		-1.4645347595214844f,
	};
	static const int want[3][20] = {
		{ 2, 5, 6, 6, 5, 7, 7, 5, 5, 0, 0, 11, 13, 0, 7, 6, 13, 11, 6, 6 },
		{ 2, 2, 6, 7, 2, 7, 7, 6, 13, 1, 7, 7, 5, 7, 2, 6, 6, 6, 3, 7 },
		{ 6, 6, 6, 5, 6, 7, 5, 7, 6, 7, 3, 4, 6, 4, 7, 6, 6, 6, 11, 6 },
	};
	static const float uniform[] = { 0.071843221783638f, 0.9784348607063293f,
		                         0.2715068757534027f, 0.2779441177845001f };
	struct rng rng;

	rng_seed(&rng, 7);
	for (int i = 0; i < 4; i++)
		ck_assert(rng_uniform(&rng) == uniform[i]);
	for (uint64_t seed = 0; seed < 3; seed++) {
		struct request r;
		struct sampler *s;
		struct err e;

		request_init(&r);
		r.temp = 1;
		r.seed = seed;
		r.has_seed = true;
		ck_assert(!sampler_open(&s, &r, 16, NULL, 0, &e));
		for (int i = 0; i < 20; i++)
			ck_assert_int_eq(sampler_draw(s, logits, NULL, 0, NULL), want[seed][i]);
		sampler_close(s);
	}
}
END_TEST

START_TEST(xtc_happens_as_often_as_asked)
{
	float l[8] = { 4, 3, 0, 0, 0, 0, 0, 0 };
	int first = 0;
	struct request r;
	struct sampler *s;
	struct err e;

	request_init(&r);
	r.temp = 1e-3;
	r.xtc_probability = 0.3;
	r.xtc_threshold = 0.1;
	r.seed = 11;
	r.has_seed = true;
	ck_assert(!sampler_open(&s, &r, 8, NULL, 0, &e));
	for (int i = 0; i < 2000; i++)
		first += sampler_draw(s, l, NULL, 0, NULL) == 0;
	sampler_close(s);
	ck_assert_int_gt(first, 1400 - 100);
	ck_assert_int_lt(first, 1400 + 100);
}
END_TEST

/* ---- speed */

static void time_draws(const char *what, struct request *r, size_t vocab, int n)
{
	float *l = malloc(vocab * sizeof *l);
	struct sampler *s;
	struct timespec a, b;
	struct err e;

	for (size_t i = 0; i < vocab; i++)
		l[i] = (float)(10 * chance() * chance());
	ck_assert(!sampler_open(&s, r, vocab, NULL, 0, &e));
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++)
		ck_assert_int_ge(sampler_draw(s, l, NULL, 0, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("sampler: vocab %6zu %-12s %8.1f us a draw\n", vocab, what,
	       ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / n / 1e3);
	sampler_close(s);
	free(l);
}

START_TEST(speed)
{
	for (size_t vocab = 4096; vocab <= 131072; vocab *= 32) {
		struct request r;

		request_init(&r);
		time_draws("greedy", &r, vocab, 1000);
		r.temp = 1;
		time_draws("temp", &r, vocab, 1000);
		r.top_p = 0.9;
		time_draws("top_p", &r, vocab, 1000);
		r.top_p = 1;
		r.top_k = 40;
		time_draws("top_k", &r, vocab, 1000);
		r.top_k = 0;
		r.min_p = 0.05;
		time_draws("min_p", &r, vocab, 1000);
	}
}
END_TEST

Suite *sampler_suite(void);
Suite *sampler_suite(void)
{
	Suite *s = suite_create("sampler");
	TCase *t = tcase_create("sampler"), *b = tcase_create("bench");

	tcase_add_test(t, equals_the_literal);
	tcase_add_test(t, top_lists_the_best);
	tcase_add_test(t, best_takes_the_lowest_of_ties);
	tcase_add_test(t, rows_without_numbers);
	tcase_add_test(t, draws_are_those_of_mlx);
	tcase_add_test(t, xtc_happens_as_often_as_asked);
	tcase_set_tags(b, "bench");
	tcase_add_test(b, speed);
	suite_add_tcase(s, t);
	suite_add_tcase(s, b);
	return s;
}
