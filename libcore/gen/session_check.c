/* SPDX-License-Identifier: MIT */
/* session_check.c - what one session says, and when it stops: the demo model
 * with its tokenizer */
#include "gen/gen.h"

#include "util/utf8.h"

#include <check.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct exec *x;
static struct source *source;
static struct model *model;
static struct tokenizer *tokenizer;
static struct ids prompt;

static void set_up(void)
{
	struct exec_options eo = { .device = "cpu", .cache_dir = "", .threads = 2 };
	struct model_options mo = { .kv_tokens = 1024, .max_rows = 64, .max_out = 16 };
	struct err e;

	ck_assert_msg(!exec_open(&x, &eo, &e), "%s", e.text);
	ck_assert_msg(!source_open(&source, "models/demo", &e), "%s", e.text);
	ck_assert_msg(!model_open(&model, source, x, &mo, &e), "%s", e.text);
	ck_assert_msg(!tokenizer_open(&tokenizer, source, &e), "%s", e.text);
	ck_assert(!tokenizer_encode(tokenizer, bytes_of("The hacker"), ENCODE_ADD_SPECIAL, &prompt,
	                            &e));
}

static void tear_down(void)
{
	ids_release(&prompt);
	tokenizer_close(tokenizer);
	model_close(model);
	source_close(source);
	exec_close(x);
}

/* ---- a session and what came of it */

enum { MOST = 128 };

struct said {
	int32_t id[MOST];
	float logprob[MOST], top_logprob[MOST];
	int32_t top[MOST];
	size_t n, n_top, at_end; /* at_end: bytes that came with the end */
	bool eos;
	struct buf text;
	enum end_reason reason;
};

static int on_token(void *arg, struct session *s, void *user, const struct token_event *t)
{
	struct said *said = user;

	(void)arg;
	(void)s;
	ck_assert_uint_lt(said->n, MOST);
	if (t->n_top) {
		said->top[said->n] = t->top_id[0];
		said->top_logprob[said->n] = t->top_logprob[0];
	}
	said->n_top = t->n_top;
	said->eos = t->eos;
	said->logprob[said->n] = t->logprob;
	said->id[said->n++] = t->id;
	buf_add(&said->text, t->text.p, t->text.n);
	return 0;
}

static void on_end(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
                   const struct err *err)
{
	struct said *said = user;

	(void)arg;
	(void)err;
	ck_assert_uint_eq(session_made_tokens(s), said->n);
	ck_assert_uint_eq(session_prompt_tokens(s), prompt.n);
	said->reason = r;
	said->at_end = text.n;
	buf_add(&said->text, text.p, text.n);
}

static const struct batch_events events = { .token = on_token, .end = on_end };

static struct batch *open_batch(void)
{
	struct batch_options o = { .keep_special = true };
	struct batch *b;
	struct err e;

	ck_assert_msg(!batch_open(&b, model, tokenizer, &o, &events, &e), "%s", e.text);
	return b;
}

static void say(struct said *said, const struct request *r)
{
	struct batch *b = open_batch();
	struct err e;

	memset(said, 0, sizeof *said);
	ck_assert_msg(!batch_add(b, NULL, prompt.id, prompt.n, r, NULL, said, &e), "%s", e.text);
	while (batch_active(b))
		ck_assert_msg(!batch_step(b, &e), "%s", e.text);
	batch_close(b);
	buf_add(&said->text, "", 0);
}

/* ---- text */

START_TEST(text_is_that_of_the_ids)
{
	struct buf want = { 0 };
	struct request r;
	struct said said;
	struct detok d;
	struct err e;

	request_init(&r);
	r.max_tokens = 60;
	r.ignore_eos = true;
	say(&said, &r);
	ck_assert_uint_eq(said.n, 60);
	ck_assert_int_eq(said.reason, END_LENGTH);
	detok_init(&d, tokenizer);
	detok_skip(&d, prompt.id, prompt.n);
	d.keep_special = true;
	for (size_t i = 0; i < said.n; i++)
		ck_assert(!detok_add(&d, said.id[i], &want, &e));
	ck_assert(!detok_end(&d, &want, &e));
	ck_assert(bytes_equal(buf_bytes(&want), buf_bytes(&said.text)));
	buf_release(&want);
	buf_release(&said.text);
}
END_TEST

/* Any piece of what would be said, wherever its tokens begin, ends the text
 * before its first place in it. */
START_TEST(stop_strings_end_the_text)
{
	struct request r;
	struct said whole, said;

	request_init(&r);
	r.max_tokens = 40;
	r.ignore_eos = true;
	say(&whole, &r);
	for (size_t at = 3; at + 12 < whole.text.n; at += 7)
		for (size_t n = 1; n < 12; n += 3) {
			char *piece = strndup((char *)whole.text.p + at, n);
			size_t first = (size_t)(strstr((char *)whole.text.p, piece) -
			                        (char *)whole.text.p);

			r.stop[0] = piece;
			r.n_stop = utf8_valid(bytes_of(piece)) == n;
			say(&said, &r);
			if (r.n_stop) {
				ck_assert_int_eq(said.reason, END_STOP);
				ck_assert_uint_eq(said.text.n, first);
				ck_assert_mem_eq(said.text.p, whole.text.p, first);
				ck_assert_uint_le(said.n, whole.n);
				ck_assert_mem_eq(said.id, whole.id, said.n * sizeof *said.id);
			}
			buf_release(&said.text);
			free(piece);
		}
	buf_release(&whole.text);
}
END_TEST

/* What was held for a stop string that does not come is text after all. */
START_TEST(held_text_comes_at_the_end)
{
	struct request r;
	struct said whole, said;
	char stop[64];

	request_init(&r);
	r.max_tokens = 20;
	r.ignore_eos = true;
	say(&whole, &r);
	snprintf(stop, sizeof stop, "%.6s\x01", (char *)whole.text.p + whole.text.n - 6);
	r.stop[r.n_stop++] = stop;
	say(&said, &r);
	ck_assert_int_eq(said.reason, END_LENGTH);
	ck_assert_uint_eq(said.at_end, 6);
	ck_assert(bytes_equal(buf_bytes(&said.text), buf_bytes(&whole.text)));
	buf_release(&whole.text);
	buf_release(&said.text);
}
END_TEST

START_TEST(eos_ends_without_text)
{
	const struct config *c = model_config(model);
	struct request r;
	struct said said;
	struct bias bias = { c->eos[0], 1000 };

	ck_assert_uint_gt(c->n_eos, 0);
	request_init(&r);
	r.bias = &bias;
	r.n_bias = 1;
	r.max_tokens = 5;
	say(&said, &r);
	ck_assert_int_eq(said.reason, END_STOP);
	ck_assert_uint_eq(said.n, 1);
	ck_assert(said.eos);
	ck_assert_int_eq(said.id[0], bias.id);
	ck_assert_uint_eq(said.text.n, 0);
	buf_release(&said.text);
	r.max_tokens = 1; /* the last allowed token is EOS: a stop all the same */
	say(&said, &r);
	ck_assert_int_eq(said.reason, END_STOP);
	buf_release(&said.text);
	r.max_tokens = 5;
	r.ignore_eos = true;
	say(&said, &r);
	ck_assert_int_eq(said.reason, END_LENGTH);
	ck_assert_uint_eq(said.n, 5);
	ck_assert(!said.eos);
	ck_assert_uint_gt(said.text.n, 0); /* special tokens' text was asked for */
	buf_release(&said.text);
}
END_TEST

/* ---- numbers */

START_TEST(logprobs_are_of_what_is_sampled_from)
{
	struct request r;
	struct said plain, said;

	request_init(&r);
	r.max_tokens = 10;
	say(&plain, &r);
	ck_assert(plain.logprob[0] == 0 && plain.n_top == 0); /* not asked for */
	r.logprobs = 4;
	say(&said, &r);
	ck_assert_uint_eq(said.n_top, 3);
	ck_assert_uint_eq(said.n, plain.n);
	for (size_t i = 0; i < said.n; i++) {
		ck_assert_int_eq(said.id[i], plain.id[i]);
		ck_assert_int_eq(said.top[i], said.id[i]); /* greedy */
		ck_assert(said.logprob[i] < 0 && said.logprob[i] == said.top_logprob[i]);
	}
	buf_release(&plain.text);
	buf_release(&said.text);
}
END_TEST

START_TEST(seeds_are_kept_apart)
{
	struct request r;
	struct said a, b, c;

	request_init(&r);
	r.max_tokens = 20;
	r.ignore_eos = true;
	r.temp = 1;
	r.has_seed = true;
	r.seed = 1;
	say(&a, &r);
	say(&b, &r);
	r.seed = 2;
	say(&c, &r);
	ck_assert_mem_eq(a.id, b.id, sizeof a.id);
	ck_assert(memcmp(a.id, c.id, 20 * sizeof *a.id));
	buf_release(&a.text);
	buf_release(&b.text);
	buf_release(&c.text);
}
END_TEST

/* Between two page borders a step takes no memory, here or on the device. */
START_TEST(steps_allocate_nothing)
{
	struct batch *b = open_batch();
	struct said said[3] = { 0 };
	struct request r;
	size_t events_before, used;
	struct err e;

	request_init(&r);
	r.max_tokens = 100;
	r.ignore_eos = true;
	for (size_t i = 0; i < 3; i++) {
		r.temp = i;
		r.top_p = 0.9;
		r.repetition_penalty = 1.1;
		r.logprobs = 101;
		r.has_seed = true;
		buf_add_zeros(&said[i].text, 4096); /* ours grows no more */
		ck_assert(!batch_add(b, NULL, prompt.id, prompt.n, &r, NULL, &said[i], &e));
	}
	while (said[0].n < 70)
		ck_assert(!batch_step(b, &e));
	events_before = exec_events(x);
	used = mallinfo2().uordblks;
	while (said[0].n < 90)
		ck_assert(!batch_step(b, &e));
	ck_assert_uint_eq(exec_events(x), events_before);
	ck_assert_uint_eq(mallinfo2().uordblks, used);
	batch_close(b);
	for (size_t i = 0; i < 3; i++)
		buf_release(&said[i].text);
}
END_TEST

/* ---- refusals */

START_TEST(refusals)
{
	struct batch_options bo = { .context = 40 };
	int32_t id[1025] = { 1, 2, 3 };
	struct kv_seq *seq;
	struct request r;
	struct batch *b;
	struct err e;

	ck_assert(!batch_open(&b, model, NULL, &bo, &events, &e));
	request_init(&r);
	ck_assert(batch_add(b, NULL, id, 0, &r, NULL, NULL, &e));
	ck_assert_str_eq(e.text, "the prompt is empty");
	id[1] = 4096;
	ck_assert(batch_add(b, NULL, id, 3, &r, NULL, NULL, &e));
	ck_assert_str_eq(e.text, "the prompt: token 1: expected an id from 0 to 4095, found 4096");
	id[1] = -1;
	ck_assert(batch_add(b, NULL, id, 3, &r, NULL, NULL, &e));
	ck_assert_str_eq(e.text, "the prompt: token 1: expected an id from 0 to 4095, found -1");
	id[1] = 2;
	ck_assert(batch_add(b, NULL, id, 40, &r, NULL, NULL, &e));
	ck_assert_str_eq(e.text, "the prompt: expected at most 39 tokens (context 40), found 40");
	ck_assert_int_eq(e.kind, ERR_INPUT);
	r.stop[r.n_stop++] = strdup("x");
	ck_assert(batch_add(b, NULL, id, 3, &r, NULL, NULL, &e));
	ck_assert_str_eq(e.text, "stop: the model has no tokenizer to match text with");
	request_release(&r);
	ck_assert(!kv_seq_open(&seq, model_pool(model), &e));
	ck_assert(!kv_append(seq, id, 3, &e));
	ck_assert(batch_add(b, NULL, id, 3, &r, seq, NULL, &e)); /* and it is closed */
	ck_assert_str_eq(e.text, "the given cache: 0 of 3 positions computed");
	ck_assert_uint_eq(kv_pool_room(model_pool(model)), 1024);
	ck_assert_uint_eq(batch_active(b), 0);
	batch_close(b);
	bo.context = 0;
	ck_assert(!batch_open(&b, model, NULL, &bo, &events, &e));
	request_init(&r);
	ck_assert(batch_add(b, NULL, id, 1025, &r, NULL, NULL, &e));
	ck_assert_str_eq(e.text, "the prompt: the cache has room for 1024 tokens, found 1025");
	ck_assert_int_eq(e.kind, ERR_MACHINE);
	batch_close(b);
}
END_TEST

Suite *session_suite(void);
Suite *session_suite(void)
{
	Suite *s = suite_create("session");
	TCase *t = tcase_create("session");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, text_is_that_of_the_ids);
	tcase_add_test(t, stop_strings_end_the_text);
	tcase_add_test(t, held_text_comes_at_the_end);
	tcase_add_test(t, eos_ends_without_text);
	tcase_add_test(t, logprobs_are_of_what_is_sampled_from);
	tcase_add_test(t, seeds_are_kept_apart);
	tcase_add_test(t, steps_allocate_nothing);
	tcase_add_test(t, refusals);
	suite_add_tcase(s, t);
	return s;
}
