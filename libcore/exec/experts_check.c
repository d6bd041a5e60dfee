/* SPDX-License-Identifier: MIT */
/* experts_check.c - routing, stacks of matrices, mixtures and copies: every
 * backend near ref, and a row's bits whatever rows stand beside it */
#include "exec/exec.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* odd sizes; inputs of more than one chunk of a CPU's rows. Or such as the
 * matrix unit takes, and rows enough for tiles of each height. */
enum { VOCAB = 40, EXPERTS = 12, USED = 3 };
static const struct sizes { size_t dim, ffn, rows; } odd = { 96, 32, 40 },
                                                     whole = { 384, 128, 108 };
enum { MOST_ROWS = 108, MOST_OUT = 384 + 2 * USED };

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
	/* these with whole sizes */
	{ FORM_AFFINE, DT_F16, 4, 64, false },
	{ FORM_AFFINE, DT_BF16, 8, 32, true },
	{ FORM_AFFINE, DT_F16, 4, 128, false },
	{ FORM_FLOAT, DT_F16, 0, 0, true },
	{ FORM_FLOAT, DT_BF16, 0, 0, false },
};
static const struct routing routings[] = {
	{ .k = USED, .score = SCORE_SOFTMAX, .normalize = true, .scale = 1 },
	{ .k = USED, .score = SCORE_SOFTMAX, .scale = 2 },
	{ .k = USED, .score = SCORE_CHOSEN, .gains = true, .scale = 1 },
	{ .k = USED, .score = SCORE_SIGMOID, .n_groups = 4, .top_groups = 2, .normalize = true,
	  .scale = 2.5f },
};
static const struct backend {
	const char *device;
	unsigned flags;
	float bound;           /* of an element's size; by_row: of its row's largest */
	bool by_row;
} backends[] = {
	{ "cpu", EXEC_EXACT, 1e-5f, false }, { "cpu", 0, 2e-3f, false },
	{ "opencl", EXEC_EXACT, 1e-5f, false },
};
enum { N_FORMS = 4, N_WHOLE = 5, N_BACKENDS = 3 };

static uint64_t seed;

static float draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (float)(seed >> 40) / (float)(1 << 23) - 1;
}

struct rig {
	struct sizes s;
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

static size_t out_of(const struct sizes *s)
{
	return s->dim + 2 * USED;
}

static void build(struct rig *g, const struct sizes *s, const struct form_row *f,
                  const struct routing *how, const char *device, unsigned flags)
{
	struct exec_options o = { .device = device, .flags = flags, .threads = 2, .cache_dir = "" };
	struct record *r;

	*g = (struct rig){ .s = *s };
	seed = 11;
	ok(exec_open(&g->x, &o, &g->e), &g->e);
	ok(record_open(&g->r, g->x, s->rows, s->rows, NULL, &g->e), &g->e);
	r = g->r;
	struct slot *x = record_slot(r, "x", s->dim), *logits = record_slot(r, "logits", EXPERTS);
	struct slot *chosen = record_slot(r, "chosen", 2 * USED);
	struct slot *gate = record_slot(r, "gate", USED * s->ffn);
	struct slot *up = record_slot(r, "up", USED * s->ffn);
	struct slot *each = record_slot(r, "each", USED * s->dim);
	struct slot *all = record_slot(r, "all", out_of(s));
	struct slot *heads = record_slot(r, "heads", s->dim);
	struct slot *out = record_slot_out(r, "out", out_of(s));
	const struct weight *b;

	op_embed(r, x, matrix(g, VOCAB, s->dim, 1));
	op_matmul(r, (struct op_product[]){ { logits, matrix(g, EXPERTS, s->dim, 0.3f), NULL } }, 1, x,
	          false);
	op_route(r, chosen, logits, how->score == SCORE_SIGMOID || how->gains ?
	         matrix(g, 1, EXPERTS, how->gains ? 1 : 0.1f) : NULL, how);
	b = matrix(g, 1, EXPERTS * s->ffn, 1);
	op_experts(r, (struct op_product[]){ { gate, stack(g, f, EXPERTS, s->ffn, s->dim), b },
	                                     { up, stack(g, f, EXPERTS, s->ffn, s->dim), NULL } }, 2, x,
	           chosen, USED);
	op_glu(r, gate, gate, up, how->normalize ? ACT_SILU : ACT_CLIPPED);
	op_experts(r, (struct op_product[]){ { each, stack(g, f, EXPERTS, s->dim, s->ffn), NULL } }, 1,
	           gate, chosen, USED);
	op_mix(r, x, each, chosen);
	/* USED heads of 32 each, matrix j for run j */
	op_experts(r, (struct op_product[]){ { heads, stack(g, f, USED, s->dim / USED, s->dim / USED),
	                                       NULL } }, 1, x, NULL, USED);
	op_copy(r, all, heads, &(struct copy){ USED, s->dim / USED, 0, s->dim / USED, 0,
	                                       s->dim / USED });
	op_copy(r, all, chosen, &(struct copy){ 1, 2 * USED, s->dim, out_of(s), 0, 2 * USED });
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
	int32_t token[MOST_ROWS], zero[MOST_ROWS] = { 0 }, each[MOST_ROWS];

	for (size_t i = 0; i < n; i++) {
		token[i] = (int32_t)((first + i) * 7 % VOCAB);
		each[i] = (int32_t)i;
	}
	struct step s = { .n_rows = n, .n_out = n, .n_seqs = 1, .token = token, .pos = zero,
		          .seq = zero, .out = each };

	ok(record_run(g->r, &s, &g->e), &g->e);
	memcpy(out, record_output(g->r), n * out_of(&g->s) * sizeof *out);
}

static void compare(const struct sizes *s, const struct form_row *f, const struct routing *how,
                    const struct backend *b)
{
	static float want[MOST_ROWS * MOST_OUT], have[MOST_ROWS * MOST_OUT],
	             alone[MOST_ROWS * MOST_OUT];
	size_t n_out = out_of(s);
	struct rig g;

	build(&g, s, f, how, "ref", EXEC_EXACT);
	run(&g, 0, s->rows, want);
	end(&g);
	build(&g, s, f, how, b->device, b->flags);
	run(&g, 0, s->rows, have);
	for (size_t i = 0; i < s->rows * n_out; i++) {
		const float *row = want + i / n_out * n_out;
		float most = fabsf(want[i]);

		for (size_t k = 0; b->by_row && k < s->dim; k++)
			most = fmaxf(most, fabsf(row[k]));
		ck_assert_msg(fabsf(want[i] - have[i]) <= b->bound * (1 + most),
		              "%s, form %d: row %zu, %zu: %g, not %g", b->device, (int)(f - forms),
		              i / n_out, i % n_out, (double)have[i], (double)want[i]);
	}
	for (size_t i = 0, n; i < s->rows; i += n) {
		n = i < 3 ? 1 : i < 12 ? 9 : i < 40 ? 28 : s->rows - i;
		run(&g, i, n, alone + i * n_out);
	}
	ck_assert_msg(!memcmp(have, alone, s->rows * n_out * sizeof *have),
	              "%s, form %d: bits depend on the batch", b->device, (int)(f - forms));
	end(&g);
}

static bool is_here(const char *device, const char *rows)
{
	struct err e = { 0 };
	struct exec_info info;
	struct exec *x;

	if (exec_open(&x, &(struct exec_options){ .device = device }, &e))
		return false;
	exec_describe(x, &info);
	bool here = !rows || !strcmp(info.rows, rows);
	exec_close(x);
	return here;
}

START_TEST(near_ref)
{
	const struct backend *b = &backends[_i / N_FORMS];

	if (is_here(b->device, NULL))
		compare(&odd, &forms[_i % N_FORMS], &routings[_i % N_FORMS], b);
}
END_TEST

/* Stacks as the matrix unit has them. */
START_TEST(tiles_near_ref)
{
	if (is_here("opencl", "opencl-nvidia"))
		compare(&whole, &forms[N_FORMS + _i], &routings[_i % N_FORMS],
		        &(struct backend){ "opencl", 0, 2e-3f, true });
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
	tcase_add_loop_test(t, tiles_near_ref, 0, N_WHOLE);
	tcase_add_test(t, ties_and_refusals);
	suite_add_tcase(s, t);
	return s;
}
