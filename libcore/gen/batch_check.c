/* SPDX-License-Identifier: MIT */
/* batch_check.c - sessions that run together say what each says alone
 *
 * Alone means without a batch: a loop over model_run() and the sampler, on a
 * model of its own. */
#include "gen/gen.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 24, LONGEST = 256, DEMO_VOCAB = 4096 };

struct opened {
	struct exec *x;
	struct source *source;
	struct model *model;
	struct tokenizer *tokenizer;
};

static void open_model(struct opened *o, const char *device, const char *path, size_t kv_tokens)
{
	struct exec_options eo = { .device = device, .cache_dir = "", .threads = 2 };
	struct model_options mo = { .kv_tokens = kv_tokens, .max_rows = 512, .max_out = 16 };
	struct err e;

	memset(o, 0, sizeof *o);
	ck_assert_msg(!exec_open(&o->x, &eo, &e), "%s", e.text);
	ck_assert_msg(!source_open(&o->source, path, &e), "%s", e.text);
	ck_assert_msg(!model_open(&o->model, o->source, o->x, &mo, &e), "%s", e.text);
	if (!strcmp(path, "models/demo"))
		ck_assert_msg(!tokenizer_open(&o->tokenizer, o->source, &e), "%s", e.text);
}

static void close_model(struct opened *o)
{
	size_t room = kv_pool_room(model_pool(o->model)),
	       most = kv_pool_tokens(model_pool(o->model));

	ck_assert(most == SIZE_MAX || room == most); /* no page is held any more */
	tokenizer_close(o->tokenizer);
	model_close(o->model);
	source_close(o->source);
	exec_close(o->x);
}

/* ---- what a session is asked, and what it said */

struct talk_of_one {
	int32_t prompt[LONGEST];
	size_t n_prompt;
	struct request r;
	struct session *session;
	struct kv_seq *seq; /* in: a cache it starts with; out: a fork of its own, where kept */
	bool keep;
	int32_t id[LONGEST];
	float logprob[LONGEST];
	size_t n, reused;
	char text[4096];
	enum end_reason reason;
	char error[ERR_TEXT];
	size_t cancel_at; /* after so many tokens; 0: never */
	int ends;
};

static uint32_t stream = 1;

static uint32_t chance(uint32_t n)
{
	stream = stream * 1664525u + 1013904223u;
	return (stream >> 8) % n;
}

static void ask(struct talk_of_one *t, size_t vocab, size_t n_prompt, size_t n)
{
	memset(t, 0, sizeof *t);
	t->n_prompt = n_prompt;
	for (size_t i = 0; i < n_prompt; i++)
		t->prompt[i] = 3 + (int32_t)chance((uint32_t)vocab - 3);
	request_init(&t->r);
	t->r.max_tokens = n;
	t->r.ignore_eos = true;
	t->r.logprobs = 1;
	if (chance(2)) {
		t->r.temp = 1;
		t->r.top_p = 0.9;
		t->r.repetition_penalty = 1.2;
		t->r.has_seed = true;
		t->r.seed = chance(1000);
	}
}

/* Lengths of all sorts; some prompts begin alike. */
static void ask_many(struct talk_of_one *t, size_t n, size_t vocab, size_t longest)
{
	stream = 77;
	for (size_t i = 0; i < n; i++) {
		ask(&t[i], vocab, 1 + chance((uint32_t)longest), 1 + chance(24));
		if (i % 3 == 2)
			memcpy(t[i].prompt, t[i - 2].prompt, t[i].n_prompt / 2 * sizeof(int32_t));
	}
}

static void alone(struct opened *o, struct talk_of_one *t)
{
	size_t vocab = model_config(o->model)->vocab, rows = model_max_rows(o->model);
	int32_t known[2 * LONGEST];
	size_t n = t->n_prompt;
	const float *logits;
	struct sampler *s;
	struct kv_seq *seq;
	struct err e;

	memcpy(known, t->prompt, n * sizeof *known);
	ck_assert(!sampler_open(&s, &t->r, vocab, NULL, 0, &e));
	ck_assert(!kv_seq_open(&seq, model_pool(o->model), &e));
	for (t->n = 0; t->n < t->r.max_tokens; t->n++) {
		while (kv_len(seq) < n) {
			size_t left = n - kv_len(seq), now = left < rows ? left : rows;
			struct model_work w = { seq, now, now == left ? WANT_LAST : WANT_NONE };

			ck_assert_msg(!kv_append(seq, known + kv_len(seq), now, &e), "%s", e.text);
			ck_assert_msg(!model_run(o->model, &w, 1, &logits, &e), "%s", e.text);
		}
		t->id[t->n] = sampler_draw(s, logits, known, n, &t->logprob[t->n]);
		known[n++] = t->id[t->n];
	}
	kv_seq_close(seq);
	sampler_close(s);
}

/* ---- events */

static int on_token(void *arg, struct session *s, void *user, const struct token_event *e)
{
	struct talk_of_one *t = user;

	(void)arg;
	(void)s;
	ck_assert_uint_lt(t->n, LONGEST);
	t->logprob[t->n] = e->logprob;
	t->id[t->n++] = e->id;
	strncat(t->text, (const char *)(e->text.n ? e->text.p : (const unsigned char *)""),
	        e->text.n);
	return t->cancel_at && t->n == t->cancel_at ? -1 : 0;
}

static void on_end(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
                   const struct err *err)
{
	struct talk_of_one *t = user;
	struct err e;

	(void)arg;
	t->ends++;
	t->reason = r;
	t->reused = session_reused_tokens(s);
	ck_assert_int_eq(err != NULL, r == END_ERROR);
	if (err)
		memcpy(t->error, err->text, sizeof t->error);
	ck_assert_uint_eq(session_made_tokens(s), t->n);
	strncat(t->text, (const char *)(text.n ? text.p : (const unsigned char *)""), text.n);
	if (t->keep)
		ck_assert(!kv_fork(&t->seq, session_seq(s), &e));
}

static const struct batch_events events = { .token = on_token, .end = on_end };

static void run(struct opened *o, struct talk_of_one *t, size_t n, size_t chunk, size_t sessions)
{
	struct batch_options bo = { .chunk = chunk, .max_sessions = sessions };
	size_t steps = 0;
	struct batch *b;
	struct err e;

	ck_assert_msg(!batch_open(&b, o->model, o->tokenizer, &bo, &events, &e), "%s", e.text);
	for (size_t i = 0; i < n; i++) {
		struct kv_seq *seq = t[i].seq;

		t[i].n = t[i].ends = 0;
		t[i].text[0] = '\0';
		t[i].seq = NULL;
		ck_assert_msg(!batch_add(b, &t[i].session, t[i].prompt, t[i].n_prompt, &t[i].r, seq,
		                         &t[i], &e),
		              "%s", e.text);
	}
	for (; batch_active(b); steps++) {
		ck_assert_msg(!batch_step(b, &e), "%s", e.text);
		ck_assert_uint_lt(steps, 100000);
	}
	batch_close(b);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(t[i].ends, 1);
}

static void same(const struct talk_of_one *a, const struct talk_of_one *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(a[i].n, b[i].n);
		ck_assert_mem_eq(a[i].id, b[i].id, a[i].n * sizeof *a[i].id);
		ck_assert_mem_eq(a[i].logprob, b[i].logprob, a[i].n * sizeof *a[i].logprob);
	}
}

/* ---- together as alone */

static const struct {
	const char *device, *path;
	size_t longest;
} models[] = {
	{ "ref", "tests/data/golden/llama", 60 },
	{ "ref", "tests/data/golden/mistral", 120 }, /* slides over 16 positions */
	{ "cpu", "tests/data/golden/qwen3", 120 },
	{ "cpu", "models/demo", 200 },
	{ "opencl", "tests/data/golden/llama", 60 },
};

/* Whether this machine has what models[i] runs on. */
static bool there(int i)
{
	struct exec_options eo = { .device = models[i].device, .cache_dir = "" };
	struct exec *x;
	struct err e;

	if (exec_open(&x, &eo, &e))
		return strcmp(models[i].device, "opencl") != 0;
	exec_close(x);
	return true;
}

static void expect_alone(struct talk_of_one *want, const char *device, const char *path)
{
	struct opened o;

	open_model(&o, device, path, 8192);
	for (size_t i = 0; i < MOST; i++)
		alone(&o, &want[i]);
	close_model(&o);
}

static void together(int which, size_t chunk, size_t sessions, size_t kv_tokens)
{
	const char *device = models[which].device, *path = models[which].path;
	static struct talk_of_one want[MOST], got[MOST];
	struct opened o;

	open_model(&o, device, path, kv_tokens);
	ask_many(want, MOST, model_config(o.model)->vocab, models[which].longest);
	memcpy(got, want, sizeof got);
	expect_alone(want, device, path);
	run(&o, got, MOST, chunk, sessions);
	same(want, got, MOST);
	for (size_t i = 0; i < MOST; i++)
		ck_assert_int_eq(got[i].reason, END_LENGTH);
	close_model(&o);
}

START_TEST(chunks_of_1)
{
	if (there(_i))
		together(_i, 1, 5, 2048);
}
END_TEST

START_TEST(chunks_of_7)
{
	if (there(_i))
		together(_i, 7, 16, 4096);
}
END_TEST

START_TEST(chunks_of_512)
{
	if (there(_i))
		together(_i, 512, 0, 8192);
}
END_TEST

/* Twelve sessions that start short and grow past what the pool holds. */
START_TEST(the_youngest_gives_way)
{
	static struct talk_of_one want[MOST], got[MOST];
	const char *device = models[_i].device, *path = models[_i].path;
	struct opened o;

	if (!there(_i))
		return;
	open_model(&o, device, path, 256);
	stream = 5;
	for (size_t i = 0; i < MOST; i++)
		ask(&want[i], model_config(o.model)->vocab, 1 + chance(12),
		    i < 12 ? 70 + chance(40) : 1);
	memcpy(got, want, sizeof got);
	expect_alone(want, device, path);
	run(&o, got, 12, 16, 12);
	same(want, got, 12);
	close_model(&o);
}
END_TEST

START_TEST(prefixes_are_computed_once)
{
	static struct talk_of_one t[2];
	struct opened o;

	open_model(&o, "cpu", "models/demo", 2048);
	ask(&t[0], DEMO_VOCAB, 150, 12);
	t[1] = t[0];
	run(&o, &t[0], 1, 0, 0);
	ck_assert_uint_eq(t[0].reused, 0);
	run(&o, &t[1], 1, 0, 0);
	ck_assert_uint_eq(t[1].reused, 128);
	same(&t[0], &t[1], 1);
	close_model(&o);
}
END_TEST

/* ---- ends */

START_TEST(one_is_cancelled)
{
	static struct talk_of_one want[MOST], got[MOST];
	struct opened o;

	open_model(&o, "ref", models[0].path, 2048);
	ask_many(want, MOST, 320, 40);
	memcpy(got, want, sizeof got);
	expect_alone(want, "ref", models[0].path);
	got[3].cancel_at = want[3].cancel_at = 2;
	got[3].r.max_tokens = 20;
	run(&o, got, MOST, 9, 6);
	ck_assert_int_eq(got[3].reason, END_CANCELLED);
	ck_assert_uint_eq(got[3].n, 2);
	same(want, got, 3);
	same(want + 4, got + 4, MOST - 4);
	close_model(&o);
}
END_TEST

/* From outside: queued, with half a prompt, and while it decodes. */
START_TEST(cancel_at_any_time)
{
	static struct talk_of_one t[3];
	struct batch_options bo = { .chunk = 4, .max_sessions = 2 };
	struct opened o;
	struct batch *b;
	struct err e;

	open_model(&o, "ref", models[0].path, 512);
	for (size_t when = 0; when < 30; when++) {
		ck_assert(!batch_open(&b, o.model, NULL, &bo, &events, &e));
		for (size_t i = 0; i < 3; i++) {
			ask(&t[i], 320, 20, 6);
			ck_assert(!batch_add(b, &t[i].session, t[i].prompt, 20, &t[i].r, NULL,
			                     &t[i], &e));
		}
		for (size_t i = 0; i < when; i++)
			ck_assert(!batch_step(b, &e));
		for (size_t i = 0; i < 3; i++)
			if (!t[i].ends)
				batch_cancel(b, t[i].session);
		ck_assert(!batch_step(b, &e));
		ck_assert_uint_eq(batch_active(b), 0);
		for (size_t i = 0; i < 3; i++)
			ck_assert_int_eq(t[i].ends, 1);
		batch_close(b);
	}
	close_model(&o);
}
END_TEST

START_TEST(one_that_never_fits_fails_alone)
{
	static struct talk_of_one want[MOST], got[MOST];
	struct opened o;

	open_model(&o, "ref", models[0].path, 96);
	stream = 3;
	for (size_t i = 0; i < MOST; i++)
		ask(&want[i], 320, 5 + chance(20), 1 + chance(20));
	memcpy(got, want, sizeof got);
	expect_alone(want, "ref", models[0].path);
	got[4].r.max_tokens = 200;
	run(&o, got, MOST, 0, 0);
	ck_assert_int_eq(got[4].reason, END_ERROR);
	ck_assert(strstr(got[4].error, "the cache is full"));
	same(want, got, 4);
	same(want + 5, got + 5, MOST - 5);
	close_model(&o);
}
END_TEST

START_TEST(closing_ends_all)
{
	static struct talk_of_one t[4];
	struct batch_options bo = { .max_sessions = 2 };
	struct opened o;
	struct batch *b;
	struct err e;

	open_model(&o, "ref", models[0].path, 512);
	ck_assert(!batch_open(&b, o.model, NULL, &bo, &events, &e));
	for (size_t i = 0; i < 4; i++) {
		ask(&t[i], 320, 20, 6);
		ck_assert(!batch_add(b, NULL, t[i].prompt, 20, &t[i].r, NULL, &t[i], &e));
	}
	ck_assert(!batch_step(b, &e));
	batch_close(b);
	for (size_t i = 0; i < 4; i++)
		ck_assert(t[i].ends == 1 && t[i].reason == END_CANCELLED);
	close_model(&o);
}
END_TEST

/* ---- caches that are given and kept */

START_TEST(a_kept_cache_goes_on)
{
	static struct talk_of_one whole, first, rest;
	struct opened o;

	if (!there(_i))
		return;
	open_model(&o, models[_i].device, models[_i].path, 2048);
	ask(&whole, model_config(o.model)->vocab, 50, 30);
	whole.r.temp = 0;
	whole.r.repetition_penalty = 0;
	first = rest = whole;
	run(&o, &whole, 1, 0, 0);
	first.r.max_tokens = 10; /* the last token made is not in the cache */
	first.keep = true;
	run(&o, &first, 1, 0, 0);
	ck_assert_uint_eq(kv_len(first.seq), 59);
	rest.prompt[0] = first.id[9];
	rest.n_prompt = 1;
	rest.r.max_tokens = 20;
	rest.seq = first.seq;
	run(&o, &rest, 1, 0, 0);
	ck_assert_uint_eq(rest.reused, 59);
	ck_assert_mem_eq(rest.id, whole.id + 10, 20 * sizeof *rest.id);
	close_model(&o);
}
END_TEST

START_TEST(a_prompt_alone_is_computed)
{
	static struct talk_of_one whole, prompt, rest;
	struct opened o;

	if (!there(_i))
		return;
	open_model(&o, models[_i].device, models[_i].path, 2048);
	ask(&whole, model_config(o.model)->vocab, 47, 12);
	prompt = rest = whole;
	run(&o, &whole, 1, 0, 0);
	prompt.r.max_tokens = 0;
	prompt.keep = true;
	run(&o, &prompt, 1, 5, 0);
	ck_assert_int_eq(prompt.reason, END_LENGTH);
	ck_assert_uint_eq(prompt.n, 0);
	ck_assert_uint_eq(kv_computed(prompt.seq), 47);
	rest.n_prompt = 0; /* goes on from the cache's last token */
	rest.seq = prompt.seq;
	run(&o, &rest, 1, 0, 0);
	same(&whole, &rest, 1);
	close_model(&o);
}
END_TEST

Suite *batch_suite(void);
Suite *batch_suite(void)
{
	Suite *s = suite_create("batch");
	TCase *t = tcase_create("batch");
	int n = sizeof models / sizeof *models;

	tcase_add_loop_test(t, chunks_of_1, 0, n);
	tcase_add_loop_test(t, chunks_of_7, 0, n);
	tcase_add_loop_test(t, chunks_of_512, 0, n);
	tcase_add_loop_test(t, the_youngest_gives_way, 0, n);
	tcase_add_test(t, prefixes_are_computed_once);
	tcase_add_test(t, one_is_cancelled);
	tcase_add_test(t, cancel_at_any_time);
	tcase_add_test(t, one_that_never_fits_fails_alone);
	tcase_add_test(t, closing_ends_all);
	tcase_add_loop_test(t, a_kept_cache_goes_on, 0, n);
	tcase_add_loop_test(t, a_prompt_alone_is_computed, 0, n);
	suite_add_tcase(s, t);
	return s;
}
