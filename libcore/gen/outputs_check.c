/* SPDX-License-Identifier: MIT */
/* outputs_check.c - sessions whose tokens a device finds say what they say
 * when whole rows come back, and those do not come back then
 *
 * A bias of nothing makes a session ask for rows. */
#include "gen/gen.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 4096, TOKENS = 16, TOPS = 5, SESSIONS = 10 };

struct said {
	int32_t id[TOKENS], top[TOKENS][TOPS];
	float logprob[TOKENS], top_logprob[TOKENS][TOPS];
	size_t n;
};

/* What of rows, the best, draws and a few candidates; too few for the last ones. */
static const struct request asked[SESSIONS] = {
	{ .temp = 0 },
	{ .temp = 0.8 },
	{ .temp = 1, .top_p = 0.6 },
	{ .temp = 0.9, .top_k = 40, .top_p = 0.9 },
	{ .temp = 1.5, .min_p = 0.05 },
	{ .temp = 0, .logprobs = TOPS + 1 },
	{ .temp = 1, .logprobs = TOPS + 1 },
	{ .temp = 1, .top_k = 7, .xtc_probability = 0.5, .xtc_threshold = 0.1, .logprobs = 1 },
	{ .temp = 3, .top_p = 0.99999 },
	{ .temp = 1, .top_k = 1000, .repetition_penalty = 1.3, .repetition_context = 20 },
};

static struct exec *x;
static struct source *source;
static struct model *model;

static bool open_model(void)
{
	struct exec_options eo = { .device = "opencl", .cache_dir = "" };
	struct model_options mo = { .kv_tokens = 2048, .max_rows = 64, .max_out = 16 };
	struct err e;

	setenv("CLM_OPENCL_ROWS", "portable", 1);
	if (exec_open(&x, &eo, &e)) {
		fprintf(stderr, "outputs: %s: skipped\n", e.text);
		return false;
	}
	ck_assert_msg(!source_open(&source, "models/demo", &e), "%s", e.text);
	ck_assert_msg(!model_open(&model, source, x, &mo, &e), "%s", e.text);
	return true;
}

static void close_model(void)
{
	model_close(model);
	source_close(source);
	exec_close(x);
}

static int token(void *arg, struct session *s, void *user, const struct token_event *t)
{
	struct said *said = user;

	(void)arg;
	(void)s;
	ck_assert_uint_lt(said->n, TOKENS);
	said->id[said->n] = t->id;
	said->logprob[said->n] = t->logprob;
	for (size_t i = 0; i < t->n_top; i++) {
		said->top[said->n][i] = t->top_id[i];
		said->top_logprob[said->n][i] = t->top_logprob[i];
	}
	said->n++;
	return 0;
}

/* Sessions first .. end - 1; gives the bytes that came back. */
static size_t say(struct said *said, size_t first, size_t end, bool rows)
{
	struct batch_options bo = { .max_sessions = SESSIONS, .draw_threads = 2 };
	struct batch_events ev = { .token = token };
	struct bias nothing = { 3, 0 };
	size_t read = exec_read(x);
	struct batch *b;
	struct err e;

	memset(said, 0, SESSIONS * sizeof *said);
	ck_assert_msg(!batch_open(&b, model, NULL, &bo, &ev, &e), "%s", e.text);
	for (size_t i = first; i < end; i++) {
		int32_t prompt[3] = { 1, 300 + (int32_t)i, 500 };
		struct request r = asked[i];

		r.max_tokens = TOKENS;
		r.ignore_eos = r.has_seed = true;
		r.seed = i + 1;
		r.min_keep = 1;
		r.bias = &nothing;
		r.n_bias = rows;
		ck_assert_msg(!batch_add(b, NULL, prompt, 3, &r, NULL, &said[i], &e), "%s", e.text);
	}
	while (batch_active(b))
		ck_assert_msg(!batch_step(b, &e), "%s", e.text);
	batch_close(b);
	return exec_read(x) - read;
}

START_TEST(tokens_are_those_of_rows)
{
	static struct said got[SESSIONS], want[SESSIONS];
	size_t by_rows, most = TOKENS * VOCAB * sizeof(float);

	if (!open_model())
		return;
	by_rows = say(want, 0, SESSIONS, true);
	ck_assert_uint_eq(by_rows, SESSIONS * most);
	/* the last two take rows all the same, the others now and then */
	ck_assert_uint_le(say(got, 0, SESSIONS, false), by_rows / 2);
	for (size_t i = 0; i < SESSIONS; i++) {
		ck_assert_uint_eq(got[i].n, TOKENS);
		ck_assert_msg(!memcmp(&got[i], &want[i], sizeof *got), "session %zu differs", i);
	}
	/* of a draw no more comes back than of the best */
	ck_assert_uint_le(say(got, 0, 2, false), 2 * TOKENS * 40);
	ck_assert_mem_eq(got, want, 2 * sizeof *got);
	close_model();
}
END_TEST

Suite *outputs_suite(void);
Suite *outputs_suite(void)
{
	Suite *s = suite_create("outputs");
	TCase *t = tcase_create("outputs");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, tokens_are_those_of_rows);
	suite_add_tcase(s, t);
	return s;
}
