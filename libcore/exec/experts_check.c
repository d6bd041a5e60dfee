/* SPDX-License-Identifier: MIT */
/* experts_check.c - routing, stacks of matrices, mixtures and copies: every
 * backend near ref, and a row's bits whatever rows stand beside it */
#include "exec/exec.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* odd sizes; inputs of more than one chunk of a CPU's rows */
enum { VOCAB = 40, DIM = 96, EXPERTS = 12, USED = 3, FFN = 32, ROWS = 40 };

static const struct form_row {
	enum form form;
	enum dtype dtype;
	unsigned bits, group;
	bool pieces;
} forms[] = {
	{ FORM_FLOAT, DT_F32, 0, 0, false },
	{ FORM_FLOAT, DT_BF16, 0, 0, true },
	{ FORM_AFFINE, DT_F16, 4, 32, false },
	{ FORM_AFFINE, DT_F32, 5, 16, true },
};
static const struct routing routings[] = {
	{ .k = USED, .score = SCORE_SOFTMAX, .normalize = true, .scale = 1 },
	{ .k = USED, .score = SCORE_SOFTMAX, .scale = 2 },
	{ .k = USED, .score = SCORE_CHOSEN, .gains = true, .scale = 1 },
	{ .k = USED, .score = SCORE_SIGMOID, .n_groups = 4, .top_groups = 2, .normalize = true,
	  .scale = 2.5f },
};
static const struct { const char *device; unsigned flags; float bound; } backends[] = {
	{ "cpu", EXEC_EXACT, 1e-5f }, { "cpu", 0, 2e-3f }, { "opencl", EXEC_EXACT, 1e-5f },
};
enum { N_FORMS = 4, N_BACKENDS = 3, OUT = DIM + 2 * USED };

static uint64_t seed;

static float draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (float)(seed >> 40) / (float)(1 << 23) - 1;
}

struct rig {
	struct exec *x;
	struct weight *w[8];
	size_t n;
	struct arena arena;
	struct record *r;
	struct err e;
};

static void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

static void put(void *out, size_t i, enum dtype t, float v)
{
	dtype_from_f32(t, (unsigned char *)out + i * dtype_info(t)->block_bytes, &v, 1);
}

static void *floats(struct rig *g, size_t n, enum dtype t, float by)
{
	void *p = arena_new(&g->arena, n, 4, &g->e);

	for (size_t i = 0; i < n; i++)
		put(p, i, t, draw() * by);
	return p;
}

static struct weight *stack(struct rig *g, const struct form_row *f, size_t n, size_t rows,
                            size_t n_in)
{
	struct weight_desc d = { .name = "stack", .form = f->form, .dtype = f->dtype,
		                 .n_out = n * rows, .n_in = n_in, .bits = f->bits,
		                 .group = f->group, .n_stack = n };
	struct weight_piece *piece = arena_new(&g->arena, n, sizeof *piece, &g->e);
	size_t size = dtype_info(f->dtype)->block_bytes, groups = f->bits ? n_in / f->group : 0;
	size_t row = f->bits ? n_in * f->bits / 8 : n_in * size;
	const unsigned char *q, *s = NULL, *z = NULL;

	if (f->bits) {
		unsigned char *codes = arena_new(&g->arena, n * rows, row, &g->e);

		for (size_t i = 0; i < n * rows * row; i++)
			codes[i] = (unsigned char)(draw() * 127);
		q = codes;
		s = floats(g, n * rows * groups, f->dtype, 0.01f);
		z = floats(g, n * rows * groups, f->dtype, 0.1f);
	} else {
		q = floats(g, n * rows * n_in, f->dtype, 0.2f);
	}
	for (size_t i = 0; i < n; i++)
		piece[i] = (struct weight_piece){ q + i * rows * row,
			s ? s + i * rows * groups * size : NULL, z ? z + i * rows * groups * size : NULL };
	d.data = q, d.scales = s, d.biases = z;
	if (f->pieces)
		d.piece = piece, d.data = d.scales = d.biases = NULL;
	ok(weight_open(&g->w[g->n], g->x, &d, &g->e), &g->e);
	return g->w[g->n++];
}

static struct weight *matrix(struct rig *g, size_t rows, size_t n_in, float by)
{
	struct weight_desc d = { .name = "matrix", .dtype = DT_F32, .n_out = rows, .n_in = n_in };

	d.data = floats(g, rows * n_in, DT_F32, by);
	ok(weight_open(&g->w[g->n], g->x, &d, &g->e), &g->e);
	return g->w[g->n++];
}

static void build(struct rig *g, const struct form_row *f, const struct routing *how,
                  const char *device, unsigned flags)
{
	struct exec_options o = { .device = device, .flags = flags, .threads = 2, .cache_dir = "" };
	struct record *r;

	*g = (struct rig){ 0 };
	seed = 11;
	ok(exec_open(&g->x, &o, &g->e), &g->e);
	ok(record_open(&g->r, g->x, ROWS, ROWS, NULL, &g->e), &g->e);
	r = g->r;
	struct slot *x = record_slot(r, "x", DIM), *logits = record_slot(r, "logits", EXPERTS);
	struct slot *chosen = record_slot(r, "chosen", 2 * USED);
	struct slot *gate = record_slot(r, "gate", USED * FFN), *up = record_slot(r, "up", USED * FFN);
	struct slot *each = record_slot(r, "each", USED * DIM), *all = record_slot(r, "all", OUT);
	struct slot *heads = record_slot(r, "heads", DIM), *out = record_slot_out(r, "out", OUT);
	const struct weight *b;

	op_embed(r, x, matrix(g, VOCAB, DIM, 1));
	op_matmul(r, (struct op_product[]){ { logits, matrix(g, EXPERTS, DIM, 0.3f), NULL } }, 1, x,
	          false);
	op_route(r, chosen, logits, how->score == SCORE_SIGMOID || how->gains ?
	         matrix(g, 1, EXPERTS, how->gains ? 1 : 0.1f) : NULL, how);
	b = matrix(g, 1, EXPERTS * FFN, 1);
	op_experts(r, (struct op_product[]){ { gate, stack(g, f, EXPERTS, FFN, DIM), b },
	                                     { up, stack(g, f, EXPERTS, FFN, DIM), NULL } }, 2, x,
	           chosen, USED);
	op_glu(r, gate, gate, up, how->normalize ? ACT_SILU : ACT_CLIPPED);
	op_experts(r, (struct op_product[]){ { each, stack(g, f, EXPERTS, DIM, FFN), NULL } }, 1,
	           gate, chosen, USED);
	op_mix(r, x, each, chosen);
	/* USED heads of 32 each, matrix j for run j */
	op_experts(r, (struct op_product[]){ { heads, stack(g, f, USED, DIM / USED, DIM / USED),
	                                       NULL } }, 1, x, NULL, USED);
	op_copy(r, all, heads, &(struct copy){ USED, DIM / USED, 0, DIM / USED, 0, DIM / USED });
	op_copy(r, all, chosen, &(struct copy){ 1, 2 * USED, DIM, OUT, 0, 2 * USED });
	op_pick(r, out, all);
	record_result(r, out);
	ok(record_end(r, &g->e), &g->e);
}

static void end(struct rig *g)
{
	record_close(g->r);
	for (size_t i = 0; i < g->n; i++)
		weight_close(g->w[i]);
	exec_close(g->x);
	arena_release(&g->arena);
}

/* Rows first .. first + n of the check's tokens. */
static void run(struct rig *g, size_t first, size_t n, float *out)
{
	int32_t token[ROWS], zero[ROWS] = { 0 }, each[ROWS];

	for (size_t i = 0; i < n; i++) {
		token[i] = (int32_t)((first + i) * 7 % VOCAB);
		each[i] = (int32_t)i;
	}
	struct step s = { .n_rows = n, .n_out = n, .n_seqs = 1, .token = token, .pos = zero,
		          .seq = zero, .out = each };

	ok(record_run(g->r, &s, &g->e), &g->e);
	memcpy(out, record_output(g->r), n * OUT * sizeof *out);
}

START_TEST(near_ref)
{
	static float want[ROWS * OUT], have[ROWS * OUT], alone[ROWS * OUT];
	const struct form_row *f = &forms[_i % N_FORMS];
	const struct routing *how = &routings[_i % N_FORMS];
	size_t b = (size_t)_i / N_FORMS;
	struct err e = { 0 };
	struct exec *x;
	struct rig g;

	if (exec_open(&x, &(struct exec_options){ .device = backends[b].device }, &e))
		return;
	exec_close(x);
	build(&g, f, how, "ref", EXEC_EXACT);
	run(&g, 0, ROWS, want);
	end(&g);
	build(&g, f, how, backends[b].device, backends[b].flags);
	run(&g, 0, ROWS, have);
	for (size_t i = 0; i < ROWS * OUT; i++)
		ck_assert_msg(fabsf(want[i] - have[i]) <= backends[b].bound * (1 + fabsf(want[i])),
		              "%s, form %d: row %zu, %zu: %g, not %g", backends[b].device,
		              _i % N_FORMS, i / OUT, i % OUT, (double)have[i], (double)want[i]);
	for (size_t i = 0, n; i < ROWS; i += n) {
		n = i < 3 ? 1 : i < 12 ? 9 : ROWS - i;
		run(&g, i, n, alone + i * OUT);
	}
	ck_assert_msg(!memcmp(have, alone, sizeof have), "%s, form %d: bits depend on the batch",
	              backends[b].device, _i % N_FORMS);
	end(&g);
}
END_TEST

/* Equal logits go to the lower number; what does not fit is refused. */
START_TEST(ties_and_refusals)
{
	struct rig g = { 0 };
	struct record *r;
	struct err e = { 0 };
	float out[2 * USED];

	ok(exec_open(&g.x, &(struct exec_options){ .device = "ref" }, &e), &e);
	ok(record_open(&g.r, g.x, 1, 1, NULL, &e), &e);
	r = g.r;
	struct slot *x = record_slot(r, "x", EXPERTS), *chosen = record_slot(r, "c", 2 * USED);
	struct slot *last = record_slot_out(r, "last", 2 * USED);

	op_embed(r, x, matrix(&g, VOCAB, EXPERTS, 0));
	op_route(r, chosen, x, NULL, &routings[0]);
	op_pick(r, last, chosen);
	record_result(r, last);
	ok(record_end(r, &e), &e);
	ok(record_run(r, &(struct step){ .n_rows = 1, .n_out = 1, .n_seqs = 1,
	                                 .token = (int32_t[]){ 0 }, .pos = (int32_t[]){ 0 },
	                                 .seq = (int32_t[]){ 0 }, .out = (int32_t[]){ 0 } }, &e), &e);
	memcpy(out, record_output(r), sizeof out);
	for (size_t i = 0; i < USED; i++) {
		ck_assert_float_eq(out[i], (float)i);
		ck_assert_float_eq_tol(out[USED + i], 1.0f / USED, 1e-6);
	}
	record_close(r);
	ok(record_open(&r, g.x, 1, 1, NULL, &e), &e);
	g.r = r;
	x = record_slot(r, "x", EXPERTS);
	op_embed(r, x, g.w[0]);
	op_route(r, record_slot(r, "c", 2 * (EXPERTS + 1)), x, NULL,
	         &(struct routing){ .k = EXPERTS + 1 });
	ck_assert_int_eq(record_end(r, &e), -1);
	ck_assert(strstr(e.text, "13 of 12 experts"));
	end(&g);
}
END_TEST

Suite *experts_suite(void);
Suite *experts_suite(void)
{
	Suite *s = suite_create("experts");
	TCase *t = tcase_create("experts");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, near_ref, 0, N_FORMS * N_BACKENDS);
	tcase_add_test(t, ties_and_refusals);
	suite_add_tcase(s, t);
	return s;
}
