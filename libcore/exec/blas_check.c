/* SPDX-License-Identifier: MIT */
/* Products by the library, which a GPU alone would ask for: the portable rows run
 * few rows, it runs the others, near ref all of them. */
#include "exec/cl_world.h"

Suite *blas_suite(void);

enum { FORMS = 3 };
struct sizes { size_t n_in, n_out; };
static const struct sizes sizes[] = { { 128, 36 }, { 640, 650 } };
struct product {
	const struct sizes *size;
	const float *table, *bias;
	struct weight_desc form[FORMS];
};

static void start_blas(void)
{
	setenv("CLM_OPENCL_ROWS", "blas", 1);
	start();
}

static struct product some_product(const struct sizes *s)
{
	size_t n = s->n_in * s->n_out;
	struct product c = { .size = s, .table = random_floats(VOCAB * s->n_in),
	                     .bias = random_floats(s->n_out) };

	for (size_t i = 0; i < FORMS; i++)
		c.form[i] = (struct weight_desc){ .dtype = i == 1 ? DT_F16 : DT_F32, .n_out = s->n_out,
		                                  .n_in = s->n_in };
	c.form[0].data = random_floats(n);
	c.form[1].data = random_as(DT_F16, n);
	c.form[2].form = FORM_AFFINE;
	c.form[2].bits = 4;
	c.form[2].group = 64;
	c.form[2].data = random_floats(n / 8); /* any bits are codes */
	c.form[2].scales = random_floats(n / 64);
	c.form[2].biases = random_floats(n / 64);
	return c;
}

/* y = W0 x + b, then y += W1 x + b + W2 x, of all rows; and of the outputs alone W0 x. */
static void record_product(struct world *w, const void *arg)
{
	const struct product *c = arg;
	size_t n_in = c->size->n_in, n_out = c->size->n_out;
	struct slot *x = record_slot(w->r, "x", n_in), *y = record_slot(w->r, "y", n_out);
	struct slot *picked = record_slot_out(w->r, "picked", n_in);
	struct slot *out = record_slot_out(w->r, "out", n_out);
	struct weight *m[FORMS], *b = give_vector(w, c->bias, n_out);

	for (size_t i = 0; i < FORMS; i++)
		m[i] = give(w, &c->form[i]);
	op_embed(w->r, x, give_matrix(w, c->table, VOCAB, n_in));
	op_matmul(w->r, &(struct op_product){ y, m[0], b }, 1, x, false);
	op_matmul(w->r, &(struct op_product){ y, m[1], b }, 1, x, true);
	op_matmul(w->r, &(struct op_product){ y, m[2], NULL }, 1, x, true);
	op_pick(w->r, picked, x);
	op_pick(w->r, out, y);
	op_matmul(w->r, &(struct op_product){ out, m[0], NULL }, 1, picked, true);
	record_result(w->r, out);
}

/* Rounding of n_in terms in each of four sums: inputs and floats are below 1, codes times
 * scales with their biases below 16. */
static void check_rows(struct world *w, const float *want, size_t first, size_t n,
                       const struct sizes *s)
{
	struct step step = rows_of(first, n);
	float *bound = take(n * s->n_out * sizeof *bound);

	for (size_t i = 0; i < n * s->n_out; i++)
		bound[i] = (float)s->n_in * ldexpf(19, -20);
	compare(world_run(w, &step), want + first * s->n_out, bound, n * s->n_out, "product");
}

START_TEST(library_matches_ref)
{
	static const size_t many[] = { 1, 2, 9, 64, 67 };
	const struct sizes *s = &sizes[_i];
	struct product c = some_product(s);
	struct step all = rows_of(0, MAX_ROWS);
	float *want = take(MAX_ROWS * s->n_out * sizeof *want);
	struct world cl, ref;

	if (!here)
		return;
	world_device(&ref, "ref", 0);
	world_record(&ref, record_product, &c);
	memcpy(want, world_run(&ref, &all), MAX_ROWS * s->n_out * sizeof *want);
	world_close(&ref);
	world_device(&cl, "opencl", EXEC_RELAXED);
	if (((struct opencl *)cl.x->device)->blas) {
		world_record(&cl, record_product, &c);
		for (size_t i = 0; i < sizeof many / sizeof *many; i++)
			check_rows(&cl, want, MAX_ROWS - many[i], many[i], s);
	} else {
		fprintf(stderr, "blas: no libclblast.so.1: skipped\n");
	}
	world_close(&cl);
}
END_TEST

/* Without being asked the library is never taken, nor by a CPU. */
START_TEST(asked_for_alone)
{
	struct world w;

	unsetenv("CLM_OPENCL_ROWS");
	if (!here)
		return;
	for (unsigned flags = 0; flags <= EXEC_RELAXED; flags += EXEC_RELAXED) {
		world_device(&w, "opencl", flags);
		struct opencl *d = w.x->device;

		if (!flags || d->can & (NEED_CPU | NEED_NVIDIA))
			ck_assert_ptr_null(d->blas);
		world_close(&w);
	}
}
END_TEST

Suite *blas_suite(void)
{
	Suite *s = suite_create("blas");
	TCase *t = tcase_create("library");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, start_blas, finish_check);
	tcase_add_loop_test(t, library_matches_ref, 0, sizeof sizes / sizeof *sizes);
	tcase_add_test(t, asked_for_alone);
	suite_add_tcase(s, t);
	return s;
}
