/* SPDX-License-Identifier: MIT */
/* Times on an OpenCL device (make bench): products as GB/s of weights and
 * TFLOP/s, and whole steps of known model shapes, with weights of no
 * meaning. CLM_DEVICE names the device; default: the first GPU. CLM_BENCH
 * names the one shape that is timed; default: all, and products. */
#include "exec/cl_world.h"

#include <time.h>

Suite *cl_bench_suite(void);

enum { RUNS = 7, PROMPT = 512, DEPTH = 4096, STREAMS = 64 };

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

/* Bytes that are finite numbers in every form. */
static void *pattern(size_t n)
{
	unsigned char *p = malloc(n + 8);

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < n; i += 8)
		memcpy(p + i, &(uint64_t){ (i * 0x9e3779b97f4a7c15u >> 9) & 0x3b7b3b7b3b7b3b7b }, 8);
	return p;
}

static const struct form_row { const char *name; enum form form; enum dtype dtype; unsigned bits; }
forms[] = {
	{ "f32", FORM_FLOAT, DT_F32, 0 },   { "f16", FORM_FLOAT, DT_F16, 0 },
	{ "bf16", FORM_FLOAT, DT_BF16, 0 }, { "q8", FORM_AFFINE, DT_F16, 8 },
	{ "q6", FORM_AFFINE, DT_F16, 6 },   { "q4", FORM_AFFINE, DT_F16, 4 },
};

/* One block of memory stands for all weights: each has its own on the device. */
static struct weight_desc desc(const struct form_row *f, size_t n_out, size_t n_in, void *data)
{
	return (struct weight_desc){ .name = "w", .form = f->form, .dtype = f->dtype, .n_out = n_out,
	                             .n_in = n_in, .bits = f->bits, .group = f->bits ? 64 : 0,
	                             .data = data, .scales = data, .biases = data };
}

static int32_t row_token[PROMPT], row_pos[PROMPT], row_seq[PROMPT], out_row[STREAMS];
static int32_t *pages;
static size_t n_pages = (DEPTH + PROMPT) / PAGE_POSITIONS;

static double time_runs(struct record *r, const struct step *s)
{
	struct err e = { 0 };
	double t[RUNS];

	for (int i = -2; i < RUNS; i++) {
		double begin = now();

		ck_assert_msg(record_run(r, s, &e) == 0, "%s", e.text);
		if (i >= 0)
			t[i] = now() - begin;
	}
	qsort(t, RUNS, sizeof *t, by_size);
	return t[RUNS / 2];
}

/* The median time of a step of n rows from position `pos` on, which gives its
 * last row's best id, or all of its result. */
static double time_step(struct record *r, size_t n, int32_t pos, bool ids)
{
	const int32_t *list[1] = { pages };
	struct step s = { .n_rows = n, .n_out = 1, .n_seqs = 1, .token = row_token, .pos = row_pos,
	                  .seq = row_seq, .out = out_row, .pages = list, .n_pages = &n_pages,
	                  .ask = ids ? asks_of(1) : NULL };

	out_row[0] = (int32_t)n - 1;
	for (size_t i = 0; i < n; i++) {
		row_pos[i] = pos + (int32_t)i;
		row_seq[i] = 0;
	}
	return time_runs(r, &s);
}

/* Of a step of n sequences, a row each, in their second page. */
static double time_streams(struct record *r, size_t n)
{
	const int32_t *list[STREAMS];
	size_t sizes[STREAMS];
	struct step s = { .n_rows = n, .n_out = n, .n_seqs = n, .token = row_token, .pos = row_pos,
	                  .seq = row_seq, .out = out_row, .pages = list, .n_pages = sizes,
	                  .ask = asks_of(n) };

	for (size_t i = 0; i < n; i++) {
		row_pos[i] = PAGE_POSITIONS + 1;
		row_seq[i] = out_row[i] = (int32_t)i;
		list[i] = pages + 2 * i;
		sizes[i] = 2;
	}
	return time_runs(r, &s);
}

static struct exec *open_device(void)
{
	const char *name = getenv("CLM_DEVICE");
	struct exec_options o = { .device = name ? name : "opencl" };
	struct exec *x;
	struct err e = { 0 };

	ck_assert_msg(exec_open(&x, &o, &e) == 0, "%s", e.text);
	return x;
}

/* ---- products: what 17 of them take longer than one */
enum { TIMES = 16, N = 14336, K = 4096 };

static struct record *products(struct exec *x, const struct weight *table,
                               const struct weight *w, size_t times, size_t max_rows)
{
	struct record *r;
	struct err e = { 0 };
	struct slot *in, *out, *last;

	ck_assert_msg(record_open(&r, x, max_rows, 1, NULL, &e) == 0, "%s", e.text);
	in = record_slot(r, "x", K);
	out = record_slot(r, "y", N);
	last = record_slot_out(r, "out", N);
	op_embed(r, in, table);
	for (size_t i = 0; i < times; i++)
		op_matmul(r, &(struct op_product){ out, w, NULL }, 1, in, false);
	op_pick(r, last, out);
	record_result(r, last);
	ck_assert_msg(record_end(r, &e) == 0, "%s", e.text);
	return r;
}

START_TEST(products_take)
{
	static const size_t rows[] = { 1, 4, 8, 64, PROMPT };
	if (getenv("CLM_BENCH"))
		return;
	struct exec *x = open_device();
	void *data = pattern((size_t)N * K * 4);
	struct err e = { 0 };

	printf("\n%s\nform\trows\tus\tGB/s\tTFLOP/s\n", x->device_name);
	for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
		struct weight_desc d = desc(&forms[f], N, K, data), t = desc(&forms[0], 1, K, data);
		struct weight *w, *table;

		t.n_out = 2;
		ck_assert_msg(weight_open(&w, x, &d, &e) == 0, "%s", e.text);
		ck_assert_msg(weight_open(&table, x, &t, &e) == 0, "%s", e.text);
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
			struct record *one = products(x, table, w, 1, rows[i]);
			struct record *many = products(x, table, w, 1 + TIMES, rows[i]);
			double s = time_step(many, rows[i], 0, false);

			s = (s - time_step(one, rows[i], 0, false)) / TIMES;

			printf("%s\t%zu\t%.1f\t%.0f\t%.2f\n", forms[f].name, rows[i], s * 1e6,
			       (double)weight_bytes(&d) / s * 1e-9,
			       2e-12 * (double)rows[i] * N * K / s);
			fflush(stdout);
			record_close(one);
			record_close(many);
		}
		weight_close(w);
		weight_close(table);
	}
	free(data);
	exec_close(x);
}
END_TEST

/* ---- whole steps */
static const struct shape_row {
	const char *name;
	size_t layers, dim, heads, kv_heads, head, hidden, vocab;
} shapes[] = {
	{ "tiny", 2, 256, 4, 2, 64, 512, 4096 },
	{ "llama-1b", 16, 2048, 32, 8, 64, 8192, 128256 },
	{ "llama-8b", 32, 4096, 32, 8, 128, 14336, 128256 },
};

struct model {
	const struct shape_row *m;
	const struct form_row *f;
	struct exec *x;
	void *data;
	struct weight *norm, *head, *table, *w[64][7];
	size_t n_bytes;        /* that a token reads */
};

static struct weight *weigh(struct model *m, size_t n_out, size_t n_in)
{
	struct weight_desc d = desc(n_out > 1 ? m->f : &forms[0], n_out, n_in, m->data);
	struct err e = { 0 };
	struct weight *w;

	ck_assert_msg(weight_open(&w, m->x, &d, &e) == 0, "%s", e.text);
	m->n_bytes += weight_bytes(&d);
	return w;
}

static void weigh_all(struct model *m)
{
	const struct shape_row *s = m->m;
	size_t q = s->heads * s->head, kv = s->kv_heads * s->head;
	const size_t size[7][2] = { { q, s->dim }, { kv, s->dim }, { kv, s->dim }, { s->dim, q },
	                            { s->hidden, s->dim }, { s->hidden, s->dim },
	                            { s->dim, s->hidden } };

	m->norm = weigh(m, 1, s->dim);
	m->table = weigh(m, 2, s->dim);
	m->head = weigh(m, s->vocab, s->dim);
	for (size_t l = 0; l < s->layers; l++)
		for (size_t i = 0; i < 7; i++)
			m->w[l][i] = weigh(m, size[i][0], size[i][1]);
}

static struct record *model_record(const struct model *m, struct exec_kv *kv, size_t max_rows,
                                   size_t max_out)
{
	const struct shape_row *s = m->m;
	struct rope rope = { .dims = s->head, .scale = 1 };
	struct err e = { 0 };
	struct record *r;

	for (size_t i = 0; i < s->head / 2; i++)
		rope.inv_freq[i] = 1 / (double)(i + 1);
	ck_assert_msg(record_open(&r, m->x, max_rows, max_out, kv, &e) == 0, "%s", e.text);
	struct slot *x = record_slot(r, "x", s->dim), *h = record_slot(r, "h", s->dim);
	struct slot *q = record_slot(r, "q", s->heads * s->head);
	struct slot *k = record_slot(r, "k", s->kv_heads * s->head);
	struct slot *v = record_slot(r, "v", s->kv_heads * s->head);
	struct slot *o = record_slot(r, "o", s->heads * s->head);
	struct slot *gate = record_slot(r, "gate", s->hidden), *up = record_slot(r, "up", s->hidden);
	struct slot *last = record_slot_out(r, "last", s->dim);
	struct slot *logits = record_slot_out(r, "logits", s->vocab);

	op_embed(r, x, m->table);
	for (size_t l = 0; l < s->layers; l++) {
		struct weight *const *w = m->w[l];
		struct attention a = { .layer = l, .n_heads = s->heads, .scale = 0.1f };

		op_norm_rms(r, h, x, m->norm, 1e-5f);
		op_matmul(r, (struct op_product[]){ { q, w[0], 0 }, { k, w[1], 0 }, { v, w[2], 0 } }, 3,
		          h, false);
		op_rope(r, q, s->heads, s->head, &rope);
		op_rope(r, k, s->kv_heads, s->head, &rope);
		op_kv_write(r, k, v, l);
		op_attention(r, o, q, &a);
		op_matmul(r, &(struct op_product){ x, w[3], 0 }, 1, o, true);
		op_norm_rms(r, h, x, m->norm, 1e-5f);
		op_matmul(r, (struct op_product[]){ { gate, w[4], 0 }, { up, w[5], 0 } }, 2, h, false);
		op_glu(r, gate, gate, up, ACT_SILU);
		op_matmul(r, &(struct op_product){ x, w[6], 0 }, 1, gate, true);
	}
	op_pick(r, last, x);
	op_norm_rms(r, last, last, m->norm, 1e-5f);
	op_matmul(r, &(struct op_product){ logits, m->head, 0 }, 1, last, false);
	record_result(r, logits);
	record_asks(r);
	ck_assert_msg(record_end(r, &e) == 0, "%s", e.text);
	return r;
}

static void time_model(const struct shape_row *s, const struct form_row *f, void *data)
{
	struct model m = { .m = s, .f = f, .x = open_device(), .data = data };
	struct exec_kv_layer layer[64];
	struct exec_kv *kv;
	struct err e = { 0 };
	double begin = now(), loaded, planned, t;

	for (size_t i = 0; i < s->layers; i++)
		layer[i] = (struct exec_kv_layer){ s->kv_heads, s->head, s->head, .group = 0 };
	weigh_all(&m);
	ck_assert_msg(exec_kv_open(&kv, m.x, layer, s->layers, &n_pages, 1, &e) == 0, "%s", e.text);
	loaded = now() - begin;
	struct record *one = model_record(&m, kv, 1, 1), *eight = model_record(&m, kv, 8, 1);
	struct record *all = model_record(&m, kv, PROMPT, 1);
	struct record *streams = model_record(&m, kv, STREAMS, STREAMS);
	planned = now() - begin - loaded;
	t = time_step(one, 1, 0, true);
	printf("%s %s: load %.2f s, plan %.2f s; decode %.2f ms, %.0f tok/s, %.0f GB/s", s->name,
	       f->name, loaded, planned, t * 1e3, 1 / t, (double)m.n_bytes / t * 1e-9);
	t = time_step(one, 1, DEPTH, true);
	printf("; at %d %.0f tok/s", DEPTH, 1 / t);
	t = time_step(eight, 8, 0, true);
	printf("; 8 rows %.0f tok/s", 8 / t);
	t = time_step(all, PROMPT, 0, true);
	printf("; pp%d %.0f tok/s", PROMPT, PROMPT / t);
	t = time_step(all, PROMPT, DEPTH, true);
	printf(", at %d %.0f tok/s", DEPTH, PROMPT / t);
	t = time_streams(streams, STREAMS);
	printf("; %d streams %.0f tok/s\n", STREAMS, STREAMS / t);
	fflush(stdout);
	record_close(one);
	record_close(eight);
	record_close(all);
	record_close(streams);
	exec_kv_close(kv);
	for (size_t l = 0; l < s->layers; l++)
		for (size_t i = 0; i < 7; i++)
			weight_close(m.w[l][i]);
	weight_close(m.norm);
	weight_close(m.table);
	weight_close(m.head);
	exec_close(m.x);
}

START_TEST(steps_take)
{
	const char *only = getenv("CLM_BENCH");
	void *data = pattern((size_t)128256 * 4096 * 2);

	pages = malloc(n_pages * sizeof *pages);
	ck_assert_ptr_nonnull(pages);
	for (size_t i = 0; i < n_pages; i++)
		pages[i] = (int32_t)i;
	putchar('\n');
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		if (only && strcmp(only, shapes[i].name))
			continue;
		time_model(&shapes[i], &forms[5], data);
		time_model(&shapes[i], &forms[1], data);
	}
	free(pages);
	free(data);
}
END_TEST

Suite *cl_bench_suite(void)
{
	Suite *s = suite_create("cl_bench");
	TCase *t = tcase_create("bench");

	tcase_set_tags(t, "bench");
	tcase_set_timeout(t, 600);
	tcase_add_test(t, steps_take);
	tcase_add_test(t, products_take);
	suite_add_tcase(s, t);
	return s;
}
