/* SPDX-License-Identifier: MIT */
/* compare_check.c - divergences against their definitions; views of one
 * model and of two against each alone */
#include "gen/gen.h"

#include <check.h>
#include <math.h>
#include <string.h>

enum { N = 70, VOCAB = 320, WINDOW = 32 };

static struct exec *x[2];
static struct source *source[2];
static struct model *model[2];
static int32_t id[N];

static void set_up(void)
{
	static const char *const paths[] = { "tests/data/golden/llama", "tests/data/golden/qwen3" };
	struct model_options mo = { .kv_tokens = 256, .max_rows = 24, .max_out = 13 };
	uint32_t stream = 9;
	struct err e;

	for (int i = 0; i < 2; i++) {
		struct exec_options eo = { .device = "ref", .cache_dir = "" };

		ck_assert_msg(!exec_open(&x[i], &eo, &e), "%s", e.text);
		ck_assert_msg(!source_open(&source[i], paths[i], &e), "%s", e.text);
		ck_assert_msg(!model_open(&model[i], source[i], x[i], &mo, &e), "%s", e.text);
		ck_assert_uint_eq(model_config(model[i])->vocab, VOCAB);
	}
	for (int i = 0; i < N; i++)
		id[i] = (int32_t)(((stream = stream * 1664525u + 1013904223u) >> 8) % VOCAB);
}

static void tear_down(void)
{
	for (int i = 0; i < 2; i++) {
		model_close(model[i]);
		source_close(source[i]);
		exec_close(x[i]);
	}
}

static void near(double have, double want)
{
	ck_assert_msg(fabs(have - want) <= 1e-6 * (1 + fabs(want)), "%.9g, not %.9g", have, want);
}

static void softmax(double *p, const float *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += p[i] = exp((double)v[i]);
	for (size_t i = 0; i < n; i++)
		p[i] /= sum;
}

static double kl_of(const double *p, const double *q, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += p[i] * log(p[i] / q[i]);
	return sum;
}

static struct divergence literal(const float *a, const float *b, size_t n)
{
	double p[VOCAB], q[VOCAB], m[VOCAB];

	softmax(p, a, n);
	softmax(q, b, n);
	for (size_t i = 0; i < n; i++)
		m[i] = (p[i] + q[i]) / 2;
	return (struct divergence){ kl_of(p, q, n), kl_of(q, p, n),
		                    (kl_of(p, m, n) + kl_of(q, m, n)) / 2, false };
}

START_TEST(definitions)
{
	float a[77], b[77];
	struct divergence d, want;

	for (int i = 0; i < 77; i++) {
		a[i] = (float)sin(i * 1.3) * 4;
		b[i] = (float)cos(i * 0.7) * 4;
	}
	divergence_of(&d, a, b, 77);
	want = literal(a, b, 77);
	near(d.kl, want.kl);
	near(d.reverse, want.reverse);
	near(d.js, want.js);
	ck_assert(d.js < log(2) && !d.agree);
	divergence_of(&d, a, a, 77);
	ck_assert(d.kl == 0 && d.reverse == 0 && d.js < 1e-15 && d.agree);
	/* what one of them never says */
	b[3] = -INFINITY;
	divergence_of(&d, a, b, 77);
	ck_assert(isinf(d.kl) && isfinite(d.reverse) && d.js < log(2));
}
END_TEST

/* All logits of a window. */
static void run(int which, const int32_t *w, size_t n, float *out)
{
	struct kv_seq *s;
	struct err e;

	ck_assert(!kv_seq_open(&s, model_pool(model[which]), &e));
	for (size_t i = 0; i < n; i++) {
		struct model_work work = { s, 1, WANT_LAST };
		const float *logits;

		ck_assert(!kv_append(s, w + i, 1, &e) && !model_run(model[which], &work, 1, &logits, &e));
		memcpy(out + i * VOCAB, logits, VOCAB * sizeof *out);
	}
	kv_seq_close(s);
}

START_TEST(views)
{
	static float a[WINDOW * VOCAB], b[WINDOW * VOCAB];
	struct view v[] = { { model[0], 0 }, { model[0], 0 }, { model[1], 0 } };
	struct view_sum have[3] = { { .n = 0 } }, part[3] = { { .n = 0 } }, want = { .n = 0 };
	struct err e;

	ck_assert_msg(!compare_views(have, v, 3, &(struct view_text){ id, N, 0, WINDOW }, &e), "%s",
	              e.text);
	for (size_t at = 0; at < N; at += WINDOW) {
		size_t n = N - at < WINDOW ? N - at : WINDOW;

		run(0, id + at, n, a);
		run(1, id + at, n, b);
		for (size_t i = 0; i + 1 < n; i++) {
			struct divergence d = literal(a + i * VOCAB, b + i * VOCAB, VOCAB);
			double p[VOCAB];

			softmax(p, b + i * VOCAB, VOCAB);
			want.nll -= log(p[id[at + i + 1]]);
			want.kl += d.kl;
			want.js += d.js;
			want.n++;
		}
	}
	ck_assert_uint_eq(have[0].n, want.n);
	ck_assert_uint_eq(have[1].agree, want.n);
	ck_assert(have[1].kl == 0 && have[1].nll == have[0].nll);
	near(have[2].nll, want.nll);
	near(have[2].kl, want.kl);
	near(have[2].js, want.js);
	ck_assert_uint_eq(kv_pool_room(model_pool(model[0])), 256);
	/* what lies before `first` and what follows it make up the whole */
	memset(have, 0, sizeof have);
	ck_assert(!compare_views(have, v, 3, &(struct view_text){ id, N, WINDOW + 3, WINDOW }, &e));
	ck_assert(!compare_views(part, v, 3, &(struct view_text){ id, WINDOW + 3, 0, WINDOW }, &e));
	ck_assert_uint_eq(have[2].n + part[2].n, want.n);
	near(have[2].kl + part[2].kl, want.kl);
	near(have[2].nll + part[2].nll, want.nll);
}
END_TEST

START_TEST(refusals)
{
	struct view v[] = { { model[0], 0 }, { model[1], 0 } };
	struct view_sum sum[2] = { { .n = 0 } };
	struct err e;

	id[5] = VOCAB;
	ck_assert(compare_views(sum, v, 2, &(struct view_text){ id, N, 0, WINDOW }, &e));
	ck_assert_str_eq(e.text, "token 5: expected an id from 0 to 319, found 320");
}
END_TEST

Suite *compare_suite(void);
Suite *compare_suite(void)
{
	Suite *s = suite_create("compare");
	TCase *t = tcase_create("compare");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, definitions);
	tcase_add_test(t, views);
	tcase_add_test(t, refusals);
	suite_add_tcase(s, t);
	return s;
}
