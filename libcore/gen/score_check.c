/* SPDX-License-Identifier: MIT */
/* score_check.c - scores against one token at a time */
#include "gen/gen.h"

#include <check.h>
#include <math.h>
#include <string.h>

enum { N = 90 };

static struct exec *x;
static struct source *source;
static struct model *model;
static int32_t id[N];

static void set_up(void)
{
	struct exec_options eo = { .device = "ref", .cache_dir = "" };
	struct model_options mo = { .kv_tokens = 256, .max_rows = 16, .max_out = 7 };
	uint32_t stream = 9;
	struct err e;

	ck_assert_msg(!exec_open(&x, &eo, &e), "%s", e.text);
	ck_assert_msg(!source_open(&source, "tests/data/golden/llama", &e), "%s", e.text);
	ck_assert_msg(!model_open(&model, source, x, &mo, &e), "%s", e.text);
	for (int i = 0; i < N; i++)
		id[i] = (int32_t)(((stream = stream * 1664525u + 1013904223u) >> 8) % 320);
}

static void tear_down(void)
{
	model_close(model);
	source_close(source);
	exec_close(x);
}

/* -ln p of each of w[first..n), every token fed alone. */
static double literal(const int32_t *w, size_t n, size_t first)
{
	struct kv_seq *seq;
	double nll = 0;
	struct err e;

	ck_assert(!kv_seq_open(&seq, model_pool(model), &e));
	for (size_t i = 0; i + 1 < n; i++) {
		struct model_work work = { seq, 1, WANT_LAST };
		const float *logits;
		double sum = 0;

		ck_assert(!kv_append(seq, w + i, 1, &e));
		ck_assert_msg(!model_run(model, &work, 1, &logits, &e), "%s", e.text);
		for (int k = 0; k < 320; k++)
			sum += exp((double)logits[k]);
		if (i + 1 >= first)
			nll += log(sum) - (double)logits[w[i + 1]];
	}
	kv_seq_close(seq);
	return nll;
}

static void expect(size_t window, size_t first, bool whole_only, int32_t bos, size_t n)
{
	struct score_options o = { window, first, whole_only, bos, NULL, NULL };
	struct score s;
	double want = 0;
	size_t count = 0;
	struct err e;

	for (size_t at = 0; at < n; at += window) {
		size_t len = n - at < window ? n - at : window;
		int32_t w[N];

		if (len < window && whole_only)
			break;
		memcpy(w, id + at, len * sizeof *w);
		if (bos >= 0)
			w[0] = bos;
		want += literal(w, len, first);
		count += len > first ? len - first : 0;
	}
	ck_assert_msg(!score_ids(model, id, n, &o, &s, &e), "%s", e.text);
	ck_assert_uint_eq(s.n, count);
	ck_assert_double_eq_tol(s.nll, want, 1e-6 * (1 + want));
}

START_TEST(windows)
{
	expect(N, 1, false, -1, N);
	expect(32, 1, false, -1, N);
	expect(32, 16, false, -1, N);
	expect(33, 32, false, -1, N);
	expect(40, 5, true, -1, N);
	expect(25, 1, false, 1, N);
	expect(8, 7, true, 2, 64);
	expect(50, 1, false, -1, 51); /* a last window of one token scores nothing */
	expect(50, 1, false, -1, 1);
}
END_TEST

START_TEST(no_window_is_one)
{
	struct score_options one = { N, 1, false, -1, NULL, NULL };
	struct score_options none = { 0, 1, false, -1, NULL, NULL };
	struct score a, b;
	struct err e;

	ck_assert(!score_ids(model, id, N, &one, &a, &e));
	ck_assert(!score_ids(model, id, N, &none, &b, &e));
	ck_assert(a.nll == b.nll && a.n == b.n);
	ck_assert(!score_ids(model, id, 0, &none, &b, &e));
	ck_assert(b.n == 0 && b.nll == 0);
}
END_TEST

START_TEST(refusals)
{
	struct score_options o = { 32, 0, false, -1, NULL, NULL };
	struct score s;
	struct err e;

	ck_assert(score_ids(model, id, N, &o, &s, &e));
	ck_assert_str_eq(e.text, "the first scored position: expected 1 to 31, found 0");
	o.first = 32;
	ck_assert(score_ids(model, id, N, &o, &s, &e));
	o.first = 1;
	o.bos = 320;
	ck_assert(score_ids(model, id, N, &o, &s, &e));
	ck_assert_str_eq(e.text, "bos: expected an id from 0 to 319, found 320");
	o.bos = -1;
	id[N - 1] = 320; /* scored, never fed */
	ck_assert(score_ids(model, id, N, &o, &s, &e));
	ck_assert_str_eq(e.text, "token 89: expected an id from 0 to 319, found 320");
	o.window = 100000;
	ck_assert(score_ids(model, id, 10, &o, &s, &e));
	ck_assert_int_eq(e.kind, ERR_INPUT);
}
END_TEST

Suite *score_suite(void);
Suite *score_suite(void)
{
	Suite *s = suite_create("score");
	TCase *t = tcase_create("score");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, windows);
	tcase_add_test(t, no_window_is_one);
	tcase_add_test(t, refusals);
	suite_add_tcase(s, t);
	return s;
}
