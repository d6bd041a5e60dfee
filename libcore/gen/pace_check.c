/* SPDX-License-Identifier: MIT */
/* pace_check.c - prompts beside streams: how much, and whose turn */
#include "gen/pace.h"

#include <check.h>

#include "gen/gen.h"

/* Passes of a machine where a row of a prompt costs so much of a pass alone;
 * gives the rows that it comes to. */
static size_t settle(struct pace *p, size_t decoding, double cost)
{
	size_t rows = 0, got;

	for (int i = 0; i < 400; i++) {
		got = pace_rows(p, decoding);
		pace_note(p, decoding, got, 0.010 * (1 + cost * (double)got));
		rows = got ? got : rows;
	}
	return rows;
}

START_TEST(less_than_twice)
{
	static const double cost[] = { 0.001, 0.01, 0.02, 0.03 };
	struct pace p;

	pace_init(&p, 512);
	ck_assert_uint_eq(pace_rows(&p, 0), 512);
	ck_assert_uint_eq(pace_rows(&p, 3), 0); /* to be measured first */
	for (size_t i = 0; i < sizeof cost / sizeof *cost; i++) {
		size_t rows = settle(&p, 3, cost[i]);

		ck_assert_msg(rows == 512 || 1 + cost[i] * (double)rows > 1.1, "%zu", rows);
		ck_assert_msg(1 + cost[i] * (double)rows < 1.9, "%zu", rows);
	}
	/* however dear they are, prompts go on */
	ck_assert_uint_eq(settle(&p, 3, 2), PACE_LEAST);
	ck_assert_uint_eq(pace_rows(&p, 200), 0);
	pace_init(&p, 2);
	pace_note(&p, 1, 0, 0.01);
	ck_assert_uint_eq(pace_rows(&p, 1), 2);
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
	tcase_add_test(t, priorities);
	suite_add_tcase(s, t);
	return s;
}
