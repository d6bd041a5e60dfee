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

static struct score_text text_of(const int32_t *ids, size_t n, const struct score_options *o)
{
	static double room[64][N];
	static int32_t top_id[64][320];
	static double top_logprob[64][320];
	static size_t i;

	i = (i + 1) % 64;
	return (struct score_text){ .id = ids, .n = n, .o = *o, .logprob = room[i],
		                    .top_id = top_id[i], .top_logprob = top_logprob[i] };
}

static void ended(void *arg, struct score_text *t, const struct err *err)
{
	ck_assert_msg(!err, "%s", err ? err->text : "");
	ck_assert_ptr_eq(t->user, NULL);
	t->user = t;
	++*(size_t *)arg;
}

/* All of them in the same passes. */
static void run(struct score_text *t, size_t n)
{
	struct scorer *s;
	size_t n_ended = 0;
	struct err e;

	ck_assert(!scorer_open(&s, model, ended, &n_ended, &e));
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(!scorer_add(s, &t[i], &e), "%s", e.text);
	while (scorer_active(s))
		ck_assert_msg(!scorer_step(s, &e), "%s", e.text);
	ck_assert_uint_eq(n_ended, n);
	scorer_close(s);
	ck_assert_uint_eq(kv_pool_room(model_pool(model)), 256);
}

static void expect(size_t window, size_t first, bool whole_only, int32_t bos, size_t n)
{
	struct score_options o = { window, first, whole_only, bos, 0, 0 };
	struct score_text t = text_of(id, n, &o);
	double want = 0;
	size_t count = 0;

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
	run(&t, 1);
	ck_assert_uint_eq(t.n_scored, count);
	ck_assert_double_eq_tol(t.nll, want, 1e-6 * (1 + want));
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
	struct score_options o = { N, 1, false, -1, 0, 0 };
	struct score_text t[3] = { text_of(id, N, &o), text_of(id, N, &o), text_of(id, 0, &o) };

	t[1].o.window = t[2].o.window = 0;
	run(t, 3);
	ck_assert(t[0].nll == t[1].nll && t[0].n_scored == t[1].n_scored);
	ck_assert(t[2].n_scored == 0 && t[2].nll == 0);
}
END_TEST

/* Texts of all kinds in the same passes, more than there are lanes and more
 * than the cache holds at once: each to the bit as alone. */
START_TEST(many_as_alone)
{
	enum { MANY = 24 };
	struct score_text all[MANY], one[MANY];

	for (size_t i = 0; i < MANY; i++) {
		size_t n = 1 + i * 37 % N;
		struct score_options o = { i % 3 ? 0 : 32, i % 4 ? 1 + n / 3 : 1, false, -1, 0, 0 };

		o.first = o.window && o.first >= 32 ? 5 : o.first;
		o.top = !o.window || n <= 32 ? i % 5 * 80 : 0;
		all[i] = text_of(id + i % 2, n > N - 1 ? N - 1 : n, &o);
		one[i] = text_of(all[i].id, all[i].n, &o);
	}
	run(all, MANY);
	for (size_t i = 0; i < MANY; i++) {
		const struct score_text *a = &all[i], *b = &one[i];

		run(&one[i], 1);
		ck_assert(a->nll == b->nll && a->n_scored == b->n_scored && a->n_top == b->n_top);
		ck_assert(a->greedy == b->greedy && a->tail == b->tail &&
		          !(a->tail_logprob != b->tail_logprob));
		for (size_t k = 0; k < a->n; k++)
			ck_assert(!memcmp(&a->logprob[k], &b->logprob[k], sizeof(double)));
		for (size_t k = 0; k < a->n_top; k++)
			ck_assert(a->top_id[k] == b->top_id[k] && a->top_logprob[k] == b->top_logprob[k]);
	}
}
END_TEST

/* Falling, of mass 1 with the tail; all ids leave no tail. */
START_TEST(what_comes_next)
{
	struct score_options o = { 0, 10, false, -1, 0, 0 };
	struct score_text some, all;
	double mass = 0;

	o.top = 7;
	some = text_of(id, 10, &o);
	o.top = 1000;
	all = text_of(id, 10, &o);
	run(&some, 1);
	run(&all, 1);
	ck_assert_uint_eq(some.n_top, 7);
	ck_assert_uint_eq(some.n_scored, 0);
	ck_assert_int_eq(some.tail, TAIL_MASS);
	ck_assert_uint_eq(all.n_top, 320);
	ck_assert_int_eq(all.tail, TAIL_NONE);
	for (size_t i = 0; i < 320; i++) {
		mass += exp(all.top_logprob[i]);
		ck_assert(!i || all.top_logprob[i] <= all.top_logprob[i - 1]);
		ck_assert(i >= 7 || (some.top_id[i] == all.top_id[i] &&
		                     some.top_logprob[i] == all.top_logprob[i]));
	}
	ck_assert_double_eq_tol(mass, 1, 1e-6);
	mass = exp(some.tail_logprob);
	for (size_t i = 0; i < 7; i++)
		mass += exp(some.top_logprob[i]);
	ck_assert_double_eq_tol(mass, 1, 1e-6);
}
END_TEST

static void refused(const int32_t *ids, size_t n, const struct score_options *o, const char *say)
{
	struct score_text t = text_of(ids, n, o);
	struct scorer *s;
	struct err e = { 0 };

	ck_assert(!scorer_open(&s, model, ended, NULL, &e));
	ck_assert_int_eq(scorer_add(s, &t, &e), -1);
	ck_assert_msg(strstr(e.text, say) != NULL, "%s", e.text);
	scorer_close(s);
}

START_TEST(refusals)
{
	struct score_options o = { 32, 0, false, -1, 0, 0 };

	refused(id, N, &o, "the first scored position: expected 1 to 31, found 0");
	o.first = 32;
	refused(id, N, &o, "expected 1 to 31, found 32");
	o.first = 1;
	o.bos = 320;
	refused(id, N, &o, "bos: expected an id from 0 to 319, found 320");
	o.bos = -1;
	o.top = 3;
	refused(id, N, &o, "what comes next: expected 1 to 32 tokens, found 90");
	o.top = 0;
	id[N - 1] = 320; /* scored, never fed */
	refused(id, N, &o, "token 89: expected an id from 0 to 319, found 320");
	o.window = 100000;
	refused(id, 10, &o, "the model's context has");
}
END_TEST

/* One that the cache never has room for fails alone. */
static void one_failed(void *arg, struct score_text *t, const struct err *err)
{
	ck_assert(!err == (t->n < 90));
	++*(size_t *)arg;
}

START_TEST(too_long_alone)
{
	struct score_options o = { 0, 1, false, -1, 0, 0 };
	int32_t longer[300];
	double room[300];
	struct score_text t[3] = { text_of(id, 40, &o), text_of(longer, 300, &o),
		                   text_of(id, 50, &o) };
	struct scorer *s;
	size_t n = 0;
	struct err e;

	for (size_t i = 0; i < 300; i++)
		longer[i] = id[i % 80];
	t[1].logprob = room;
	ck_assert(!scorer_open(&s, model, one_failed, &n, &e));
	for (size_t i = 0; i < 3; i++)
		ck_assert(!scorer_add(s, &t[i], &e));
	while (scorer_active(s))
		ck_assert_msg(!scorer_step(s, &e), "%s", e.text);
	ck_assert_uint_eq(n, 3);
	scorer_close(s);
}
END_TEST

/* ---- a prompt's places, told by a batch */

struct prompt {
	double logprob[N];
	size_t next, n_tokens;
	int32_t token[4];
	enum end_reason reason;
};

static int on_place(void *arg, struct session *s, void *user, const struct place_event *p)
{
	struct prompt *t = user;

	(void)arg;
	(void)s;
	ck_assert_uint_eq(p->place, t->next);
	ck_assert_int_eq(p->id, id[p->place]);
	ck_assert_uint_eq(p->n_top, 2);
	ck_assert(p->best == (p->top_id[0] == p->id));
	t->logprob[t->next++] = p->logprob;
	return 0;
}

static int on_token(void *arg, struct session *s, void *user, const struct token_event *e)
{
	struct prompt *t = user;

	(void)arg;
	(void)s;
	t->token[t->n_tokens++] = e->id;
	return 0;
}

static void on_end(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
                   const struct err *err)
{
	(void)arg;
	(void)s;
	(void)text;
	ck_assert_msg(!err, "%s", err ? err->text : "");
	((struct prompt *)user)->reason = r;
}

static void make(struct prompt *t, const size_t *first, size_t n)
{
	const struct batch_options o = { .max_sessions = 4, .chunk = 5 };
	const struct batch_events ev = { .token = on_token, .end = on_end, .place = on_place };
	struct request r;
	struct batch *b;
	struct err e;

	request_init(&r);
	r.max_tokens = 3;
	r.logprobs = 3;
	r.ignore_eos = true;
	ck_assert_msg(!batch_open(&b, model, NULL, &o, &ev, &e), "%s", e.text);
	for (size_t i = 0; i < n; i++) {
		t[i] = (struct prompt){ .next = first[i] };
		r.score_first = first[i];
		ck_assert_msg(!batch_add(b, NULL, id, N, &r, NULL, &t[i], &e), "%s", e.text);
	}
	while (batch_active(b))
		ck_assert_msg(!batch_step(b, &e), "%s", e.text);
	batch_close(b);
}

/* Four at once, of which the cache has room for two, to the last bit as the
 * scorer says; and the tokens made are those of a prompt that is not told. */
START_TEST(prompts_of_a_batch)
{
	static const size_t first[] = { 1, 1, 40, 89 }, none[] = { 0 };
	struct score_options o = { 0, 1, false, -1, 0, 0 };
	struct score_text t = text_of(id, N, &o);
	struct prompt p[4], plain;

	run(&t, 1);
	make(&plain, none, 1);
	make(p, first, 4);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(p[i].next, N);
		ck_assert_mem_eq(p[i].logprob + first[i], t.logprob + first[i],
		                 (N - first[i]) * sizeof(double));
		ck_assert_int_eq(p[i].reason, END_LENGTH);
		ck_assert_mem_eq(p[i].token, plain.token, 3 * sizeof *plain.token);
	}
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
	tcase_add_test(t, many_as_alone);
	tcase_add_test(t, what_comes_next);
	tcase_add_test(t, refusals);
	tcase_add_test(t, too_long_alone);
	tcase_add_test(t, prompts_of_a_batch);
	suite_add_tcase(s, t);
	return s;
}
