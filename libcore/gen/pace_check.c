/* SPDX-License-Identifier: MIT */
/* pace_check.c - prompts beside streams: how much, and whose turn */
#include "gen/pace.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "gen/gen.h"

/* Seconds of a pass on some machine. */
struct machine {
	double alone, stream;    /* any pass, and of each row that decodes */
	double mixed, row, deep; /* with prompts; of a row; of a row after 1024 positions */
	size_t tile;             /* rows are computed in such heaps */
	double odd;              /* how often a pass takes three times as long */
	double most;             /* times of a pass alone */
};
static uint32_t chance;

static double uniform(void)
{
	chance = chance * 1664525u + 1013904223u;
	return (chance >> 8) / (double)(1 << 24);
}

static double takes(const struct machine *m, size_t decoding, const struct pace_load *l)
{
	double rows = (double)((l->rows + m->tile - 1) / m->tile * m->tile);
	double t = m->alone + m->stream * (double)decoding + (l->rows ? m->mixed : 0) +
	           m->row * rows + m->deep * l->before / 1024;

	return t * (uniform() < m->odd ? 3 : 1 + 0.1 * (uniform() - uniform()));
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* A prompt of n beside so many streams. Gives how many times a pass alone takes
 * the slowest but one of twenty, and what the prompt takes. */
static double prompt(struct pace *p, const struct machine *m, size_t decoding, size_t n,
                     double *seconds)
{
	static double t[8192];
	size_t passes = 0;

	*seconds = 0;
	for (size_t at = 0; at < n; passes++) {
		double s = pace_seconds_for(p, decoding, 1);
		struct pace_load l = { 0 };
		size_t rows = s > 0 ? pace_fit(p, &l, s, at, 0) : 0;

		ck_assert(passes < sizeof t / sizeof *t && (rows || s <= 0));
		rows = rows < n - at ? rows : n - at;
		if (rows)
			pace_add(&l, at, rows, at + rows == n);
		at += rows;
		t[passes] = takes(m, decoding, &l);
		pace_note(p, decoding, &l, t[passes]);
		*seconds += t[passes];
	}
	qsort(t, passes, sizeof *t, by_size);
	return t[passes * 19 / 20] / (m->alone + m->stream * (double)decoding);
}

/* From the first prompt on, at any depth; where the smallest piece takes more
 * than that, not much more than with it. */
START_TEST(less_than_twice)
{
	static const struct machine machines[] = {
		{ 0.0004, 0.00008, 0, 0.00005, 0.00008, 1, 0, 2.1 },
		{ 0.0004, 0.00008, 0, 0.00005, 0.00008, 1, 0.02, 2.1 },
		{ 0.03, 0.001, 0, 0.0015, 0.0001, 8, 0.01, 2.1 },
		{ 0.003, 0.00005, 0.001, 0.00002, 0.00001, 64, 0.01, 2.7 },
		{ 0.0004, 0.00008, 0.0002, 0.00003, 0.00008, 16, 0.02, 3.5 },
	};
	static const size_t streams[] = { 1, 8, 8, 4, 40, 8 };

	for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
		const struct machine *m = &machines[i];
		struct pace p;

		pace_init(&p);
		chance = (uint32_t)i;
		ck_assert(pace_seconds_for(&p, 0, 9) == HUGE_VAL);
		ck_assert(pace_seconds_for(&p, 8, 1) == 0); /* to be measured first */
		for (size_t j = 0; j < sizeof streams / sizeof *streams; j++) {
			double seconds, times = prompt(&p, m, streams[j], 4000, &seconds),
					work = m->row * 4000 + m->deep * 8000000 / 1024;

			ck_assert_msg(times < m->most, "machine %zu: %.2f times", i, times);
			ck_assert_msg(seconds < 12 * work, "machine %zu: %.2f s for %.2f s of work",
			              i, seconds, work);
		}
	}
}
END_TEST

/* Those that wait count as the streams that they will be. */
START_TEST(many_that_wait)
{
	const struct machine m = { 0.0004, 0.00008, 0, 0.00005, 0, 1, 0, 2 };
	double seconds, one, many;
	struct pace p;

	pace_init(&p);
	prompt(&p, &m, 8, 4000, &seconds);
	prompt(&p, &m, 64, 4000, &seconds);
	one = pace_seconds_for(&p, 8, 1);
	many = pace_seconds_for(&p, 8, 56);
	ck_assert_msg(one > 0 && many > 6 * one, "%g, %g", one, many);
}
END_TEST

enum { MANY = 70 };
static int order[MANY + 3], n_ended;

static void on_end(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
                   const struct err *err)
{
	(void)arg;
	(void)s;
	(void)text;
	ck_assert_msg(r == END_LENGTH, "%s", err ? err->text : "");
	order[n_ended++] = *(int *)user;
}

/* One at a time: those of a low number first, but nobody waits for ever. */
START_TEST(priorities)
{
	const struct batch_options o = { .max_sessions = 1 };
	const struct batch_events ev = { .end = on_end };
	struct model_options mo = { .kv_tokens = 256, .max_rows = 16, .max_out = 2 };
	struct exec_options eo = { .device = "ref", .cache_dir = "" };
	static const int priority[] = { 0, 1, -1 };
	static int name[MANY + 3];
	const int32_t id[] = { 1, 2, 3 };
	struct source *source;
	struct model *model;
	struct exec *x;
	struct request r;
	struct batch *b;
	struct err e;

	ck_assert_msg(!exec_open(&x, &eo, &e), "%s", e.text);
	ck_assert_msg(!source_open(&source, "tests/data/golden/llama", &e), "%s", e.text);
	ck_assert_msg(!model_open(&model, source, x, &mo, &e), "%s", e.text);
	ck_assert(!batch_open(&b, model, NULL, &o, &ev, &e));
	request_init(&r);
	r.max_tokens = 1;
	for (int i = 0; i < MANY + 3; i++) {
		name[i] = i;
		r.priority = i < 3 ? priority[i] : 0;
		ck_assert(!batch_add(b, NULL, id, 3, &r, NULL, &name[i], &e));
	}
	while (batch_active(b))
		ck_assert_msg(!batch_step(b, &e), "%s", e.text);
	ck_assert_int_eq(order[0], 2);
	ck_assert_int_eq(order[1], 0);
	ck_assert_int_eq(order[2], 3);
	for (int i = 0; i < MANY + 3; i++)
		if (order[i] == 1)
			ck_assert_msg(i >= 60 && i <= 68, "it came as number %d", i);
	batch_close(b);
	model_close(model);
	source_close(source);
	exec_close(x);
}
END_TEST

Suite *pace_suite(void);
Suite *pace_suite(void)
{
	Suite *s = suite_create("pace");
	TCase *t = tcase_create("pace");

	tcase_add_test(t, less_than_twice);
	tcase_add_test(t, many_that_wait);
	tcase_add_test(t, priorities);
	suite_add_tcase(s, t);
	return s;
}
