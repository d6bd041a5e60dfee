/* SPDX-License-Identifier: MIT */
/* Ops that carry a state along, on every device against ref: two sequences
 * of different length in a step, cut in pieces, states in pages that come
 * back. */
#include "exec/cl_world.h"

Suite *recur_suite(void);

enum { PAGES = 3, LONG = 40, SHORT = 27, PART = 1 };

static const struct conv_case {
	size_t n, taps;
	enum activation act;
} convs[] = { { 77, 4, ACT_SILU }, { 64, 3, ACT_NONE }, { 5, 8, ACT_NONE }, { 200, 2, ACT_SILU } };

static void record_conv(struct world *w, const void *arg)
{
	const struct conv_case *c = arg;
	struct slot *x = record_slot(w->r, "x", c->n), *y = record_slot(w->r, "y", c->n);
	struct conv conv = { .layer = 1, .part = PART, .taps = c->taps, .act = c->act };
	const float *table;

	state = seed();
	table = random_floats(VOCAB * c->n);
	conv.w = give_vector(w, random_floats(c->n * c->taps), c->n * c->taps);
	op_embed(w->r, x, give_matrix(w, table, VOCAB, c->n));
	op_conv(w->r, y, x, &conv);
	finish(w, y, c->n);
}

static void open_states(struct world *w, const struct conv_case *c)
{
	struct exec_kv_layer layer[2] = { { 1, 8, 8, .group = 1 },
	                                  { .state = { { 2, 3, 5 }, { 1, c->taps - 1, c->n } } } };
	struct err e = { 0 };

	ck_assert_msg(exec_kv_open(&w->kv, w->x, layer, 2, (size_t[]){ 2 * PAGES, 2 * PAGES }, 2, &e) ==
	              0, "%s", e.text);
}

/* Rows first .. first + n of the long sequence, and as far as they go of the
 * short one, each at the position of its number. */
static struct step rows_between(size_t first, size_t n)
{
	static const int32_t pages[2][PAGES] = { { 5, 2, 4 }, { 0, 3, 1 } };
	static const int32_t *const lists[4] = { pages[0], pages[1], pages[0], pages[1] };
	static const size_t n_pages[4] = { PAGES, PAGES, PAGES, PAGES };
	static int32_t pos[MAX_ROWS], which[MAX_ROWS];
	struct step s = rows_of(0, 0);

	for (size_t k = 0; k < 2; k++)
		for (size_t i = first; i < first + n && i < (k ? SHORT : LONG); i++, s.n_rows++) {
			pos[s.n_rows] = (int32_t)i;
			which[s.n_rows] = (int32_t)k;
			tokens[s.n_rows] = (int32_t)((i * 7 + k * 11) % VOCAB);
		}
	s.n_out = s.n_rows;
	s.n_seqs = 2;
	s.pos = pos;
	s.seq = which;
	s.pages = lists;
	s.n_pages = n_pages;
	return s;
}

/* A row's result among those of the whole. */
static size_t row_of(const struct step *s, size_t i)
{
	return (size_t)s->pos[i] + (s->seq[i] ? LONG : 0);
}

static void run_case(const char *device, size_t n, script *say, const void *arg,
                     void (*cache)(struct world *w, const void *arg), float bound)
{
	static const size_t piece[] = { 1, 7, 33 };
	size_t bytes = (LONG + SHORT) * n * sizeof(float);
	float *whole = take(bytes), *most = take(bytes);
	struct step all = rows_between(0, LONG);
	struct world w, ref;

	world_device(&w, device, 0);
	cache(&w, arg);
	world_record(&w, say, arg);
	memcpy(whole, world_run(&w, &all), bytes);
	for (size_t k = 0; k < 3; k++)
		for (size_t at = 0; at < LONG; at += piece[k]) {
			struct step s = rows_between(at, piece[k]);
			const float *got = world_run(&w, &s);

			for (size_t i = 0; i < s.n_rows; i++)
				ck_assert_msg(!memcmp(got + i * n, whole + row_of(&s, i) * n, n * sizeof *got),
				              "%s: pieces of %zu differ at %d", device, piece[k], s.pos[i]);
		}
	world_close(&w);
	world_device(&ref, "ref", 0);
	cache(&ref, arg);
	world_record(&ref, say, arg);
	for (size_t i = 0; i < (LONG + SHORT) * n; i++)
		most[i] = bound;
	all = rows_between(0, LONG);
	compare(whole, world_run(&ref, &all), most, (LONG + SHORT) * n, device);
	world_close(&ref);
}

static const char *const devices[] = { "ref", "cpu", "opencl" };

static void conv_cache(struct world *w, const void *arg)
{
	open_states(w, arg);
}

/* At most 8 terms of at most 1. */
START_TEST(convolutions)
{
	const struct conv_case *c = &convs[_i / 3];

	if (_i % 3 < 2 || here)
		run_case(devices[_i % 3], c->n, record_conv, c, conv_cache, 8e-6f);
}
END_TEST

/* ---- the gated delta rule; a decay per head, or per channel of the keys */
static const struct delta_case {
	size_t heads, key_heads, k, v;
	bool channels;
} deltas[] = { { 4, 2, 16, 16, false }, { 3, 3, 7, 33, true }, { 2, 1, 37, 5, false },
	       { 2, 2, 128, 70, true } };

/* A row of one slot: q, k, a pad of 3, v. */
static void record_delta(struct world *w, const void *arg)
{
	const struct delta_case *c = arg;
	size_t nk = c->key_heads * c->k, nv = c->heads * c->v, n = 2 * nk + 3 + nv;
	size_t ng = c->heads * (c->channels ? c->k : 1);
	struct slot *x = record_slot(w->r, "x", n), *g = record_slot(w->r, "g", ng);
	struct slot *b = record_slot(w->r, "b", c->heads), *y = record_slot(w->r, "y", nv);
	struct delta delta = { 1, PART, c->heads, c->key_heads, c->k, c->v, x, x, x, g, b, 0, nk,
		               2 * nk + 3, 1e-6f };
	float *rate;

	state = seed();
	rate = random_floats(c->heads);
	for (size_t i = 0; i < c->heads; i++)
		rate[i] = 0.3f + fabsf(rate[i]);
	op_embed(w->r, x, give_matrix(w, random_floats(VOCAB * n), VOCAB, n));
	op_embed(w->r, g, give_matrix(w, random_floats(VOCAB * ng), VOCAB, ng));
	op_embed(w->r, b, give_matrix(w, random_floats(VOCAB * c->heads), VOCAB, c->heads));
	op_decay(w->r, g, give_vector(w, rate, c->heads), give_vector(w, random_floats(ng), ng));
	op_act(w->r, b, ACT_SIGMOID);
	op_delta(w->r, y, &delta);
	finish(w, y, nv);
}

static void delta_cache(struct world *w, const void *arg)
{
	const struct delta_case *c = arg;
	struct exec_kv_layer layer[2] = { { 1, 8, 8, .group = 1 },
	                                  { .state = { { 2, 3, 5 }, { c->heads, c->k, c->v } } } };
	struct err e = { 0 };

	ck_assert_msg(exec_kv_open(&w->kv, w->x, layer, 2, (size_t[]){ 2 * PAGES, 2 * PAGES }, 2, &e) ==
	              0, "%s", e.text);
}

/* States stay below 2 by the rule; some 40 positions each add what 128 terms
 * round by: 40 * 128 * 2^-24, and less as signs differ. */
START_TEST(delta_rules)
{
	const struct delta_case *c = &deltas[_i / 3];

	if (_i % 3 < 2 || here)
		run_case(devices[_i % 3], c->heads * c->v, record_delta, c, delta_cache, 2e-5f);
}
END_TEST

/* ---- what encoders add: norms with a mean, activations, attention over all */
static const struct encode_case {
	size_t n_heads, dim;
	enum activation act;
} encodes[] = { { 3, 7, ACT_GELU }, { 4, 32, ACT_GELU_TANH }, { 1, 130, ACT_SIGMOID } };

static void record_encode(struct world *w, const void *arg)
{
	const struct encode_case *c = arg;
	size_t n = c->n_heads * c->dim;
	struct slot *q = record_slot(w->r, "q", n), *k = record_slot(w->r, "k", n);
	struct slot *v = record_slot(w->r, "v", n), *y = record_slot(w->r, "y", n);
	struct encode encode = { q, k, v, c->n_heads, 1 / sqrtf((float)c->dim) };
	struct norm_layer norm = { .eps = 1e-6f };

	state = seed();
	norm.g = give_vector(w, random_floats(n), n);
	norm.b = give_vector(w, random_floats(n), n);
	op_embed(w->r, q, give_matrix(w, random_floats(VOCAB * n), VOCAB, n));
	op_embed(w->r, v, give_matrix(w, random_floats(VOCAB * n), VOCAB, n));
	op_embed_position(w->r, k, give_matrix(w, random_floats(LONG * n), LONG, n));
	op_norm_layer(w->r, q, q, &norm);
	op_act(w->r, k, c->act);
	op_add(w->r, k, v);
	op_encode(w->r, y, &encode);
	finish(w, y, n);
}

START_TEST(encoders)
{
	const struct encode_case *c = &encodes[_i / 3];
	static const struct conv_case any = { .n = 4, .taps = 2 };
	size_t n = c->n_heads * c->dim, bytes = (LONG + SHORT) * n * sizeof(float);
	float *whole = take(bytes), *most = take(bytes);
	struct step all = rows_between(0, LONG);
	struct world w, ref;
	const float *alone;

	if (_i % 3 == 2 && !here)
		return;
	world_device(&w, devices[_i % 3], 0);
	open_states(&w, &any);
	world_record(&w, record_encode, c);
	memcpy(whole, world_run(&w, &all), bytes);
	all.n_rows = all.n_out = LONG; /* the long sequence without the other */
	alone = world_run(&w, &all);
	ck_assert(!memcmp(alone, whole, LONG * n * sizeof *alone));
	world_close(&w);
	world_device(&ref, "ref", 0);
	open_states(&ref, &any);
	world_record(&ref, record_encode, c);
	for (size_t i = 0; i < (LONG + SHORT) * n; i++)
		most[i] = 4e-6f; /* a mean of values of at most 1, by weights of 20 roundings */
	all = rows_between(0, LONG);
	compare(whole, world_run(&ref, &all), most, (LONG + SHORT) * n, devices[_i % 3]);
	all = rows_between(0, 1);
	((int32_t *)(uintptr_t)all.pos)[0] = LONG;
	struct err e = { 0 };

	ck_assert_int_eq(record_run(ref.r, &all, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "position 40, and a table of 40"));
	world_close(&ref);
}
END_TEST

/* States leave a page and come back to another; steps with gaps are refused. */
START_TEST(states_move)
{
	const struct conv_case *c = &convs[0];
	float in[2 * 3 * 5 + 3 * 77], out[2 * 3 * 5 + 3 * 77];
	struct err e = { 0 };
	struct world w;

	if (_i == 2 && !here)
		return;
	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		in[i] = (float)i;
	world_device(&w, devices[_i], 0);
	open_states(&w, c);
	world_record(&w, record_conv, c);
	ck_assert_uint_eq(exec_kv_state(&w.kv->layer[1], KV_STATES), sizeof in / sizeof *in);
	ck_assert_int_eq(exec_kv_import(w.kv, 1, 3, 0, 1, in, NULL, &e), 0);
	ck_assert_int_eq(exec_kv_copy(w.kv, 0, 4, 3, &e), 0);
	ck_assert_int_eq(exec_kv_export(w.kv, 1, 4, 0, 1, out, NULL, &e), 0);
	ck_assert(!memcmp(in, out, sizeof in));

	struct step s = rows_between(0, 9);
	((int32_t *)(uintptr_t)s.pos)[4] = 6;
	ck_assert_int_eq(record_run(w.r, &s, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "row 4: expected position 4, found 6"));
	s = rows_between(0, 9);
	((int32_t *)(uintptr_t)s.seq)[17] = 0;
	((int32_t *)(uintptr_t)s.pos)[17] = 9;
	ck_assert_int_eq(record_run(w.r, &s, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "row 17: sequence 0 goes on"));
	world_close(&w);
}
END_TEST

Suite *recur_suite(void)
{
	Suite *s = suite_create("recur");
	TCase *t = tcase_create("recur");

	tcase_add_checked_fixture(t, start_portable, finish_check);
	tcase_add_loop_test(t, convolutions, 0, 3 * sizeof convs / sizeof *convs);
	tcase_add_loop_test(t, delta_rules, 0, 3 * sizeof deltas / sizeof *deltas);
	tcase_add_loop_test(t, encoders, 0, 3 * sizeof encodes / sizeof *encodes);
	tcase_add_loop_test(t, states_move, 0, 3);
	suite_add_tcase(s, t);
	return s;
}
