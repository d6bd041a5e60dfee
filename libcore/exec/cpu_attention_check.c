/* SPDX-License-Identifier: MIT */
/* The cache and attention on every instruction set against ref; and what
 * must be equal to the bit: chunks, pages, other rows, forks, and keys and
 * values that went out and in again. */
#include "exec/cpu.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *cpu_attention_suite(void);

enum { LENGTH = 700, MAX_ROWS = 64, N_PAGES = 90, N_SEQS = 3 };

static const char *const levels[] = { "plain", "v2", "v3", "v4", "v4vnni", "v4amx" };
enum { N_LEVELS = sizeof levels / sizeof *levels };

static const struct shape_case {
	size_t n_heads, n_kv_heads, k_dim, v_dim, window;
	bool sinks, v_in_k;
} cases[] = {
	{ 4, 1, 64, 64, 0, false, false },     { 7, 1, 24, 40, 0, true, false },
	{ 6, 2, 8, 8, 0, false, false },       { 2, 2, 80, 48, 100, true, false },
	{ 3, 1, 128, 128, 600, false, false }, { 5, 5, 20, 12, 1, true, false },
	{ 5, 1, 48, 36, 600, false, true },
};
enum { N_CASES = sizeof cases / sizeof *cases };

static uint64_t state;

static uint64_t seed(void)
{
	const char *text = getenv("CHECK_SEED");

	return text ? strtoull(text, NULL, 10) : 20261120;
}

static float random_float(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (float)((double)(state * 0x2545f4914f6cdd1d >> 11) / 4503599627370496.0 - 1.0);
}

static float *random_rows(size_t n)
{
	float *v = calloc(n, sizeof *v);

	ck_assert_ptr_nonnull(v);
	for (size_t i = 0; i < n; i++)
		v[i] = random_float() * 2;
	return v;
}

/* ---- queries, keys and values are rows of tables: token t has row t */
struct tables {
	const struct shape_case *shape;
	float *q, *k, *v, *sinks;
};

static void tables_open(struct tables *t, const struct shape_case *c)
{
	t->shape = c;
	t->q = random_rows(LENGTH * c->n_heads * c->k_dim);
	t->k = random_rows(LENGTH * c->n_kv_heads * c->k_dim);
	t->v = random_rows(LENGTH * c->n_kv_heads * c->v_dim);
	t->sinks = random_rows(c->n_heads);
}

static void tables_close(struct tables *t)
{
	free(t->q);
	free(t->k);
	free(t->v);
	free(t->sinks);
}

struct world {
	struct exec *x;
	struct weight *q, *k, *v, *sinks; /* NULL: none */
	struct exec_kv *kv;
	struct record *r;
	int32_t page[N_SEQS][N_PAGES];
	size_t n_pages[N_SEQS], width;
};

static struct weight *table(struct world *w, const float *data, size_t n_out, size_t n)
{
	struct weight_desc d = { .name = "table", .dtype = DT_F32, .n_out = n_out, .n_in = n,
		                 .data = data };
	struct weight *out = NULL;
	struct err e = { 0 };

	ck_assert_msg(weight_open(&out, w->x, &d, &e) == 0, "%s", e.text);
	return out;
}

static void make_record(struct world *w, const struct shape_case *c)
{
	struct attention a = { 0, c->n_heads, 1 / sqrtf((float)c->k_dim), c->window,
	                       c->n_kv_heads % 2 ? 0 : 0.5f, w->sinks };
	struct slot *q, *k, *v, *mix, *out;
	struct err e = { 0 };

	ck_assert(record_open(&w->r, w->x, MAX_ROWS, MAX_ROWS, w->kv, &e) == 0);
	q = record_slot(w->r, "q", c->n_heads * c->k_dim);
	k = record_slot(w->r, "k", c->n_kv_heads * c->k_dim);
	v = record_slot(w->r, "v", c->n_kv_heads * c->v_dim);
	mix = record_slot(w->r, "mix", c->n_heads * c->v_dim);
	out = record_slot_out(w->r, "out", c->n_heads * c->v_dim);
	op_embed(w->r, q, w->q);
	op_embed(w->r, k, w->k);
	op_embed(w->r, v, w->v);
	op_kv_write(w->r, k, c->v_in_k ? NULL : v, 0);
	op_attention(w->r, mix, q, &a);
	op_pick(w->r, out, mix);
	record_result(w->r, out);
	ck_assert_msg(record_end(w->r, &e) == 0, "%s", e.text);
}

static bool world_open(struct world *w, const struct tables *t, const struct exec_options *o)
{
	const struct shape_case *c = t->shape;
	struct exec_kv_layer layer = { c->n_kv_heads, c->k_dim, c->v_dim, .v_in_k = c->v_in_k };
	size_t n_pages = N_PAGES;
	struct err e = { 0 };

	memset(w, 0, sizeof *w);
	if (exec_open(&w->x, o, &e) != 0)
		return false;
	w->width = c->n_heads * c->v_dim;
	w->q = table(w, t->q, LENGTH, c->n_heads * c->k_dim);
	w->k = table(w, t->k, LENGTH, c->n_kv_heads * c->k_dim);
	w->v = table(w, t->v, LENGTH, c->n_kv_heads * c->v_dim);
	w->sinks = c->sinks ? table(w, t->sinks, 1, c->n_heads) : NULL;
	ck_assert(exec_kv_open(&w->kv, w->x, &layer, 1, &n_pages, 1, &e) == 0);
	make_record(w, c);
	for (size_t s = 0; s < N_SEQS; s++)
		w->n_pages[s] = N_PAGES;
	for (int32_t i = 0; i < N_PAGES; i++)
		w->page[0][i] = i;
	return true;
}

static void world_close(struct world *w)
{
	record_close(w->r);
	exec_kv_close(w->kv);
	weight_close(w->q);
	weight_close(w->k);
	weight_close(w->v);
	weight_close(w->sinks);
	exec_close(w->x);
}

/* Rows of (token = position, sequence); all rows come out. */
static const float *run(struct world *w, const int32_t *pos, const int32_t *seq, size_t n)
{
	const int32_t *pages[N_SEQS] = { w->page[0], w->page[1], w->page[2] };
	int32_t out[MAX_ROWS];
	struct step s = { n, n, N_SEQS, pos, pos, seq, out, NULL, pages, w->n_pages, false };
	struct err e = { 0 };

	for (size_t i = 0; i < n; i++)
		out[i] = (int32_t)i;
	ck_assert_msg(record_run(w->r, &s, &e) == 0, "%s", e.text);
	return record_output(w->r);
}

/* Positions begin .. end of a sequence in chunks; their rows to out. */
static void pass(struct world *w, float *out, int32_t seq, size_t begin, size_t end, size_t chunk)
{
	for (size_t at = begin; at < end; at += chunk) {
		size_t n = end - at < chunk ? end - at : chunk;
		int32_t pos[MAX_ROWS], seqs[MAX_ROWS];

		for (size_t i = 0; i < n; i++) {
			pos[i] = (int32_t)(at + i);
			seqs[i] = seq;
		}
		memcpy(out + at * w->width, run(w, pos, seqs, n), n * w->width * sizeof *out);
	}
}

static float *rows(const struct world *w)
{
	float *v = calloc(LENGTH * w->width, sizeof *v);

	ck_assert_ptr_nonnull(v);
	return v;
}

static void same(const char *what, const char *isa, const struct world *w, const float *have,
                 const float *want, size_t begin, size_t end)
{
	for (size_t i = begin * w->width; i < end * w->width; i++)
		ck_assert_msg(!memcmp(&have[i], &want[i], sizeof *have),
		              "%s, %s: position %zu, element %zu: %.9g, else %.9g; CHECK_SEED=%llu",
		              isa, what, i / w->width, i % w->width, (double)have[i],
		              (double)want[i], (unsigned long long)seed());
}

/* Both sides see the same stored keys and values, |.| <= 2. Scores differ by
 * at most d = u (k_dim + 4) 4 k_dim scale + 4e-7 for the exponential, and so
 * weights by a factor of e^2d; sums over the context add u (T + 16). */
static double bound(const struct shape_case *c)
{
	double d = 0x1p-24 * ((double)c->k_dim + 4) * 4 * sqrt((double)c->k_dim) + 4e-7;

	return 2 * (expm1(2 * d) + 0x1p-24 * (LENGTH + 16));
}

static void compare(const char *isa, const struct tables *t, const struct world *w,
                    const float *have, const float *want)
{
	for (size_t i = 0; i < LENGTH * w->width; i++)
		ck_assert_msg(fabs((double)have[i] - (double)want[i]) <= bound(t->shape),
		              "%s, heads %zu/%zu of %zu and %zu, window %zu, position %zu: %.9g, "
		              "want %.9g within %.3g; CHECK_SEED=%llu",
		              isa, t->shape->n_heads, t->shape->n_kv_heads, t->shape->k_dim,
		              t->shape->v_dim, t->shape->window, i / w->width, (double)have[i],
		              (double)want[i], bound(t->shape), (unsigned long long)seed());
}

/* The same positions again in other chunks, other pages, among other rows. */
static void check_equal(const char *isa, struct world *w, const float *want)
{
	float *have = rows(w);
	size_t events = exec_events(w->x);
	int32_t pos[2] = { 0, LENGTH - 1 }, seq[2] = { 1, 0 };

	pass(w, have, 0, 630, 650, 1);
	same("rows alone", isa, w, have, want, 630, 650);
	pass(w, have, 0, 500, 540, 7);
	same("chunks of 7", isa, w, have, want, 500, 540);
	for (int32_t i = 0; i < N_PAGES; i++)
		w->page[0][i] = (i * 37 + 5) % N_PAGES;
	pass(w, have, 0, 0, LENGTH, 61);
	same("other pages", isa, w, have, want, 0, LENGTH);
	/* the last row among another sequence's, on a page of its own */
	for (size_t i = 0; i < N_PAGES; i++)
		w->page[1][i] = w->page[0][(LENGTH + 40) / 32];
	memcpy(have, run(w, pos, seq, 2), 2 * w->width * sizeof *have);
	same("first of another sequence", isa, w, have, want, 0, 1);
	same("beside another sequence", isa, w, have + w->width,
	     want + (LENGTH - 1) * w->width, 0, 1);
	ck_assert_uint_eq(exec_events(w->x), events);
	free(have);
}

/* A fork by copied pages, and one by export and import, go on alike. */
static void check_moves(const char *isa, const struct tables *t, struct world *w, const float *want)
{
	const struct shape_case *c = t->shape;
	size_t n = c->n_kv_heads * 32 * 4, used = (LENGTH - 1) / 32;
	void *keys = calloc(n, c->k_dim), *values = calloc(n, c->v_dim);
	float *have = rows(w);
	struct err e = { 0 };

	ck_assert(keys && values);
	for (size_t i = 0; i < N_PAGES; i++)
		w->page[0][i] = w->page[1][i] = w->page[2][i] = (int32_t)i;
	pass(w, have, 0, 0, LENGTH, 64);
	for (size_t i = 0; i <= used; i++) {
		int32_t to = (int32_t)(i + 30), again = (int32_t)(i + 60);
		size_t count = i == used ? LENGTH - used * 32 : 32;

		ck_assert(exec_kv_copy(w->kv, 0, to, (int32_t)i, &e) == 0);
		ck_assert(exec_kv_export(w->kv, 0, (int32_t)i, 0, count, keys, values, &e) == 0);
		ck_assert(exec_kv_import(w->kv, 0, again, 0, count, keys, values, &e) == 0);
		w->page[1][i] = to;
		w->page[2][i] = again;
	}
	pass(w, have, 1, LENGTH - 3, LENGTH, 1);
	same("copied pages", isa, w, have, want, LENGTH - 3, LENGTH);
	pass(w, have, 2, LENGTH - 3, LENGTH, 3);
	same("moved pages", isa, w, have, want, LENGTH - 3, LENGTH);
	free(keys);
	free(values);
	free(have);
}

static void check_case(const struct shape_case *c, unsigned flags)
{
	struct tables t;
	struct world ref, w;
	float *want, *have;

	tables_open(&t, c);
	ck_assert(world_open(&ref, &t, &(struct exec_options){ .device = "ref", .flags = flags }));
	want = rows(&ref);
	pass(&ref, want, 0, 0, LENGTH, 64);
	world_close(&ref);
	for (int i = 0; i < N_LEVELS; i++) {
		struct exec_options o = {
			.device = "cpu", .isa = levels[i], .threads = 2, .flags = flags,
		};

		if (!world_open(&w, &t, &o))
			continue;
		have = rows(&w);
		pass(&w, have, 0, 0, LENGTH, 64);
		compare(levels[i], &t, &w, have, want);
		check_equal(levels[i], &w, have);
		check_moves(levels[i], &t, &w, have);
		free(have);
		world_close(&w);
	}
	free(want);
	tables_close(&t);
}

START_TEST(half)
{
	check_case(&cases[_i], 0);
}
END_TEST

START_TEST(exact)
{
	check_case(&cases[_i], EXEC_EXACT);
}
END_TEST

static void start(void)
{
	state = seed();
}

Suite *cpu_attention_suite(void)
{
	Suite *s = suite_create("cpu_attention");
	TCase *t = tcase_create("cases");

	tcase_add_checked_fixture(t, start, NULL);
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, half, 0, N_CASES);
	tcase_add_loop_test(t, exact, 0, N_CASES);
	suite_add_tcase(s, t);
	return s;
}
