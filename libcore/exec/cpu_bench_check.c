/* SPDX-License-Identifier: MIT */
/* Times of the hot ops (-b only): products as GB/s of weights for one token
 * and GFLOP/s for many, attention as GB/s of keys and values, beside what
 * this machine reads from memory in the same minute. */
#include "exec/cpu.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite *cpu_bench_suite(void);

enum { MEMORY = 256 << 20, MOST_ROWS = 512, RUNS = 7 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void *take(size_t n)
{
	unsigned char *p = malloc(n);

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < n; i += 8)
		memcpy(p + i, &(uint64_t){ (i * 0x9e3779b97f4a7c15u >> 9) & 0x3b7b3b7b3b7b3b7b },
		       n - i < 8 ? n - i : 8);
	return p;
}

/* ---- what memory gives */
struct reading {
	const uint64_t *p;
	uint64_t sum[64];
};

static void read_some(void *arg, size_t begin, size_t end, int thread)
{
	struct reading *r = arg;
	uint64_t a[8] = { 0 };

	for (size_t i = begin; i < end; i += 8) {
		__builtin_prefetch(r->p + i + 256);
		for (int k = 0; k < 8; k++)
			a[k] += r->p[i + (size_t)k];
	}
	for (int k = 0; k < 8; k++)
		r->sum[thread % 64] += a[k];
}

static double memory_speed(void)
{
	struct reading r = { .p = take(MEMORY) };
	struct pool *pool = NULL;
	struct err e = { 0 };
	double t[RUNS];

	ck_assert(pool_open(&pool, 0, &e) == 0);
	for (int i = 0; i < RUNS; i++) {
		t[i] = now();
		pool_for(pool, MEMORY / 8, MEMORY / 64, read_some, &r);
		t[i] = now() - t[i];
	}
	qsort(t, RUNS, sizeof *t, by_size);
	pool_close(pool);
	free((void *)(uintptr_t)r.p);
	return MEMORY / t[RUNS / 2] * 1e-9;
}

/* ---- products */
struct bench {
	struct exec *x;
	struct weight *table, *w[64];
	size_t n_weights;
	void *data;
	struct record *r;
};

static void bench_open(struct bench *b, struct weight_desc d, size_t rows, size_t bytes)
{
	struct weight_desc table = { "x", FORM_FLOAT, DT_F32, MOST_ROWS, d.n_in, 0, 0, 0, 0, 0, 0, 0 };
	struct exec_options o = { .device = "cpu", .isa = getenv("CLM_ISA") };
	float *x = calloc(MOST_ROWS * d.n_in, sizeof *x);
	struct slot *in, *out, *last;
	struct err e = { 0 };

	memset(b, 0, sizeof *b);
	ck_assert_msg(exec_open(&b->x, &o, &e) == 0, "%s", e.text);
	b->data = take(64 * bytes + 4096);
	for (size_t i = 0; i < MOST_ROWS * d.n_in; i++)
		x[i] = (float)(i * 7919 % 2003) / 1000 - 1;
	table.data = x;
	ck_assert(weight_open(&b->table, b->x, &table, &e) == 0);
	ck_assert(record_open(&b->r, b->x, rows, 1, NULL, &e) == 0);
	in = record_slot(b->r, "x", d.n_in);
	out = record_slot(b->r, "y", d.n_out);
	last = record_slot_out(b->r, "last", d.n_out);
	op_embed(b->r, in, b->table);
	for (size_t n = 0; b->n_weights < 64 && (!n || n < (size_t)MEMORY * 2); n += bytes) {
		d.data = (unsigned char *)b->data + b->n_weights * bytes;
		d.scales = d.biases = b->data;
		ck_assert_msg(weight_open(&b->w[b->n_weights], b->x, &d, &e) == 0, "%s", e.text);
		op_matmul(b->r, &(struct op_product){ out, b->w[b->n_weights++], NULL }, 1, in,
		          false);
	}
	op_pick(b->r, last, out);
	record_result(b->r, last);
	ck_assert_msg(record_end(b->r, &e) == 0, "%s", e.text);
}

static void bench_close(struct bench *b)
{
	record_close(b->r);
	for (size_t i = 0; i < b->n_weights; i++)
		weight_close(b->w[i]);
	free((void *)(uintptr_t)b->table->d.data);
	weight_close(b->table);
	exec_close(b->x);
	free(b->data);
}

static double median_run(struct bench *b, size_t rows)
{
	int32_t token[MOST_ROWS], zero[MOST_ROWS] = { 0 }, out = 0;
	struct step s = { rows, 1, 0, token, zero, zero, &out, NULL, NULL, NULL, false };
	struct err e = { 0 };
	double t[RUNS];

	for (size_t i = 0; i < rows; i++)
		token[i] = (int32_t)i;
	for (int i = 0; i < RUNS; i++) {
		t[i] = now();
		ck_assert(record_run(b->r, &s, &e) == 0);
		t[i] = now() - t[i];
	}
	qsort(t, RUNS, sizeof *t, by_size);
	return t[RUNS / 2] / (double)b->n_weights;
}

static const struct timed {
	const char *name;
	struct weight_desc d;
} products[] = {
	{ "q4 4096x4096", { "w", FORM_AFFINE, DT_F16, 4096, 4096, 4, 64, 0, 0, 0, 0, 0 } },
	{ "q4 8192x2048", { "w", FORM_AFFINE, DT_F16, 8192, 2048, 4, 64, 0, 0, 0, 0, 0 } },
	{ "q4 2048x8192", { "w", FORM_AFFINE, DT_F16, 2048, 8192, 4, 64, 0, 0, 0, 0, 0 } },
	{ "q4/32 4096x4096", { "w", FORM_AFFINE, DT_F16, 4096, 4096, 4, 32, 0, 0, 0, 0, 0 } },
	{ "q8 4096x4096", { "w", FORM_AFFINE, DT_F16, 4096, 4096, 8, 64, 0, 0, 0, 0, 0 } },
	{ "q6/16 4096x4096", { "w", FORM_AFFINE, DT_F32, 4096, 4096, 6, 16, 0, 0, 0, 0, 0 } },
	{ "q5 4096x4096", { "w", FORM_AFFINE, DT_F16, 4096, 4096, 5, 64, 0, 0, 0, 0, 0 } },
	{ "q3 4096x4096", { "w", FORM_AFFINE, DT_F16, 4096, 4096, 3, 64, 0, 0, 0, 0, 0 } },
	{ "q2 4096x4096", { "w", FORM_AFFINE, DT_F16, 4096, 4096, 2, 64, 0, 0, 0, 0, 0 } },
	{ "f32 2048x2048", { "w", FORM_FLOAT, DT_F32, 2048, 2048, 0, 0, 0, 0, 0, 0, 0 } },
	{ "f16 4096x4096", { "w", FORM_FLOAT, DT_F16, 4096, 4096, 0, 0, 0, 0, 0, 0, 0 } },
	{ "bf16 4096x4096", { "w", FORM_FLOAT, DT_BF16, 4096, 4096, 0, 0, 0, 0, 0, 0, 0 } },
	{ "f8 4096x4096", { "w", FORM_FLOAT, DT_F8_E4M3, 4096, 4096, 0, 0, 0, 0, 0, 0, 0 } },
};
enum { N_PRODUCTS = sizeof products / sizeof *products };

START_TEST(matmul)
{
	static const size_t rows[] = { 1, 2, 4, 8, 16, 32, 64, 512 };
	const struct timed *p = &products[_i];
	const struct weight_desc *d = &p->d;
	size_t codes = d->n_out * weight_row_bytes(d);
	const char *only = getenv("CLM_BENCH");

	if (only && !strstr(p->name, only))
		return;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		double flop = 2.0 * (double)d->n_in * (double)d->n_out * (double)rows[i], t;
		struct bench b;

		bench_open(&b, *d, rows[i], codes);
		t = median_run(&b, rows[i]);
		printf("%-16s rows %3zu  %7.1f us  %5.1f GB/s  %6.1f GFLOP/s  (memory %.1f)\n",
		       p->name, rows[i], t * 1e6,
		       (double)weight_bytes(d) / t * 1e-9, flop / t * 1e-9,
		       rows[i] == 1 ? memory_speed() : 0.0);
		fflush(stdout);
		bench_close(&b);
	}
}
END_TEST

Suite *cpu_bench_suite(void)
{
	Suite *s = suite_create("cpu_bench");
	TCase *t = tcase_create("products");

	tcase_set_tags(t, "bench");
	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, matmul, 0, N_PRODUCTS);
	suite_add_tcase(s, t);
	return s;
}
