/* SPDX-License-Identifier: MIT */
/* Every weight form on every instruction set this machine has against ref,
 * at odd sizes, within bounds derived from the data; and each row of a batch
 * against the row alone, to the bit. */
#include "exec/cpu.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *cpu_matmul_suite(void);

enum { MAX_ROWS = 107, MAX_PARTS = 2 }; /* so many that lanes are tokens at every level */

static const char *const levels[] = { "plain", "v2", "v3", "v4", "v4vnni", "v4amx" };
enum { N_LEVELS = sizeof levels / sizeof *levels };

/* ---- random data: xorshift*, from a seed that a failure prints */
static uint64_t state;

static uint64_t seed(void)
{
	const char *text = getenv("CHECK_SEED");

	return text ? strtoull(text, NULL, 10) : 20261120;
}

static uint64_t random_u64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1d;
}

static float random_float(void)
{
	return (float)((double)(random_u64() >> 11) / 4503599627370496.0 - 1.0);
}

static void *take(size_t n)
{
	void *p = calloc(1, n + 1);

	ck_assert_ptr_nonnull(p);
	return p;
}

static void start(void)
{
	state = seed();
}

/* ---- a weight with random contents, one byte off any border */
struct given {
	struct weight_desc d;
	unsigned char *data, *scales, *biases;
	float *w, *rough;      /* [n_out][n_in]: the values; |scale| * code + |bias| */
};

static void *stored(enum dtype t, const float *v, size_t n)
{
	unsigned char *p = take(n * 4 + 1);

	if (t == DT_F8_E4M3 || t == DT_F8_E5M2)
		for (size_t i = 0; i < n; i++)
			p[1 + i] = (unsigned char)(random_u64() >> 40) & 0xbb; /* no NaN, no Inf */
	else
		ck_assert(dtype_from_f32(t, p + 1, v, n));
	return p;
}

static float *random_floats(size_t n, float size)
{
	float *v = take(n * sizeof *v);

	for (size_t i = 0; i < n; i++)
		v[i] = random_float() * size;
	return v;
}

static void fill_floats(struct given *g)
{
	size_t n = g->d.n_out * g->d.n_in;
	float *v = random_floats(n, 1);

	g->data = stored(g->d.dtype, v, n);
	ck_assert(dtype_to_f32(g->d.dtype, g->w, g->data + 1, n));
	for (size_t i = 0; i < n; i++)
		g->rough[i] = fabsf(g->w[i]);
	free(v);
}

static void fill_affine(struct given *g)
{
	const struct weight_desc *d = &g->d;
	size_t groups = d->n_in / d->group, row = weight_row_bytes(d), n = groups * d->n_out;
	size_t scale_row = weight_scale_bytes(d);
	float *s = random_floats(n, 0.1f), *b = random_floats(n, 1), *zero = take(n * 4);

	g->data = take(row * d->n_out + 1);
	for (size_t i = 0; i < row * d->n_out; i++)
		g->data[1 + i] = (unsigned char)(random_u64() >> 40);
	g->scales = stored(d->dtype, s, n);
	g->biases = stored(d->dtype, b, n);
	for (size_t i = 0; i < d->n_out; i++) {
		affine_dequantize_row(g->w + i * d->n_in, g->data + 1 + i * row,
		                      g->scales + 1 + i * scale_row,
		                      g->biases + 1 + i * scale_row, d->dtype, d->n_in, d->bits,
		                      d->group);
		affine_dequantize_row(g->rough + i * d->n_in, g->data + 1 + i * row,
		                      g->scales + 1 + i * scale_row, zero, DT_F32, d->n_in, d->bits,
		                      d->group);
		for (size_t k = 0; k < d->n_in; k++) {
			float one = (float)affine_code(g->data + 1 + i * row, k, d->bits);
			size_t at = (i * d->n_in + k) / d->group;

			g->rough[i * d->n_in + k] = fabsf(s[at]) * one + fabsf(b[at]);
		}
	}
	free(s);
	free(b);
	free(zero);
}

static void give(struct given *g, const struct weight_desc *d)
{
	memset(g, 0, sizeof *g);
	g->d = *d;
	g->w = take(d->n_out * d->n_in * sizeof(float));
	g->rough = take(d->n_out * d->n_in * sizeof(float));
	if (d->form == FORM_AFFINE)
		fill_affine(g);
	else
		fill_floats(g);
	g->d.data = g->data + 1;
	g->d.scales = g->scales ? g->scales + 1 : NULL;
	g->d.biases = g->biases ? g->biases + 1 : NULL;
}

static void give_end(struct given *g)
{
	free(g->data);
	free(g->scales);
	free(g->biases);
	free(g->w);
	free(g->rough);
}

/* ---- products of rows of a table: dst = W x (+ b), or dst += */
struct product {
	struct given w, b, x, before;
	bool add;
	float *want[MAX_ROWS];  /* ref's rows */
};

static void product_open(struct product *p, const struct weight_desc *d, bool add)
{
	struct weight_desc table = { "x", FORM_FLOAT, DT_F32, MAX_ROWS, d->n_in, 0, 0, 0, 0, 0, 0, 0 };

	memset(p, 0, sizeof *p);
	p->add = add;
	give(&p->w, d);
	give(&p->x, &table);
	p->x.w[d->n_in / 2] *= 300; /* an outlier */
	memcpy(p->x.data + 1, p->x.w, d->n_in * sizeof(float));
	table.n_in = d->n_out;
	give(&p->before, &table);
	table.n_out = 1;
	table.dtype = DT_BF16;
	give(&p->b, &table);
}

static void product_close(struct product *p)
{
	give_end(&p->w);
	give_end(&p->b);
	give_end(&p->x);
	give_end(&p->before);
	for (size_t i = 0; i < MAX_ROWS; i++)
		free(p->want[i]);
}

struct world {
	struct exec *x;
	struct weight *w, *b, *table, *before;
	struct record *r;
};

/* false: this machine lacks the instruction set */
static bool world_open(struct world *w, const struct product *p, const struct exec_options *o)
{
	struct op_product part;
	struct slot *in, *src, *old;
	struct err e = { 0 };

	memset(w, 0, sizeof *w);
	if (exec_open(&w->x, o, &e) != 0)
		return false;
	ck_assert_msg(weight_open(&w->w, w->x, &p->w.d, &e) == 0, "%s", e.text);
	ck_assert(weight_open(&w->b, w->x, &p->b.d, &e) == 0);
	ck_assert(weight_open(&w->table, w->x, &p->x.d, &e) == 0);
	ck_assert(weight_open(&w->before, w->x, &p->before.d, &e) == 0);
	ck_assert(record_open(&w->r, w->x, MAX_ROWS, MAX_ROWS, NULL, &e) == 0);
	in = record_slot(w->r, "in", p->w.d.n_in);
	src = record_slot_out(w->r, "src", p->w.d.n_in);
	old = record_slot(w->r, "old", p->w.d.n_out);
	part.dst = record_slot_out(w->r, "y", p->w.d.n_out);
	part.w = w->w;
	part.b = p->add ? w->b : NULL;
	op_embed(w->r, in, w->table);
	op_embed(w->r, old, w->before);
	op_pick(w->r, src, in);
	op_pick(w->r, part.dst, old);
	op_matmul(w->r, &part, 1, src, p->add);
	record_result(w->r, part.dst);
	ck_assert_msg(record_end(w->r, &e) == 0, "%s", e.text);
	return true;
}

static void world_close(struct world *w)
{
	record_close(w->r);
	weight_close(w->w);
	weight_close(w->b);
	weight_close(w->table);
	weight_close(w->before);
	exec_close(w->x);
}

/* Rows first .. first + n of the table at once. */
static const float *run(struct world *w, size_t first, size_t n)
{
	int32_t token[MAX_ROWS], zero[MAX_ROWS] = { 0 }, out[MAX_ROWS];
	struct step s = { n, n, 0, token, zero, zero, out, NULL, NULL, NULL, false };
	struct err e = { 0 };

	for (size_t i = 0; i < n; i++) {
		token[i] = (int32_t)(first + i);
		out[i] = (int32_t)i;
	}
	ck_assert_msg(record_run(w->r, &s, &e) == 0, "%s", e.text);
	return record_output(w->r);
}

/* How far row o of token t may be off. f32 sums in n / 4 steps or fewer:
 * u (n / 4 + 16) sum |w x|, where u = 2^-24 and |w| is taken before scale *
 * code and bias cancel; inputs in 16 bits: half a step of 1 / 32639 of the
 * group's largest for every code, in 8 bits of 1 / 127; inputs in two bf16: 2^-15 of them. */
static double bound(const struct product *p, const char *isa, unsigned flags, size_t t, size_t o)
{
	const struct weight_desc *d = &p->w.d;
	const float *x = p->x.w + t * d->n_in, *w = p->w.rough + o * d->n_in;
	size_t group = d->form == FORM_AFFINE ? d->group : d->n_in;
	double sum = 1e-6, steps = 0;

	for (size_t g = 0; g < d->n_in; g += group) {
		double most = 0, codes = 0;

		for (size_t i = g; i < g + group; i++) {
			most = fmax(most, fabs((double)x[i]));
			codes += (double)w[i];
			sum += fabs((double)x[i] * (double)w[i]);
		}
		steps += codes * most / (flags & EXEC_FAST ? 254 : 65278) * 1.01;
	}
	if (p->add)
		sum += fabs((double)p->before.w[t * d->n_out + o]) + fabs((double)p->b.w[o]);
	if (d->form == FORM_FLOAT)
		steps = !strcmp(isa, "v4amx") ? 0x1p-15 * sum : 0;
	return ((double)d->n_in / 4 + 16) * 0x1p-24 * sum + (flags & EXEC_EXACT ? 0 : steps);
}

static void compare(const struct product *p, const char *isa, unsigned flags, const float *have)
{
	const struct weight_desc *d = &p->w.d;

	for (size_t t = 0; t < MAX_ROWS; t++)
		for (size_t o = 0; o < d->n_out; o++) {
			double want = (double)p->want[t][o], got = (double)have[t * d->n_out + o];

			ck_assert_msg(fabs(got - want) <= bound(p, isa, flags, t, o),
			              "%s, %u bits of %u, %s, [%zu,%zu], flags %u, row %zu of "
			              "token %zu: %.9g, want %.9g within %.3g; CHECK_SEED=%llu",
			              isa, d->bits, d->group, dtype_info(d->dtype)->name,
			              d->n_out, d->n_in, flags, o, t, got, want,
			              bound(p, isa, flags, t, o), (unsigned long long)seed());
		}
}

/* Batches and single rows give the same bits. */
static void compare_batches(const struct product *p, const char *isa, struct world *w,
                            const float *all)
{
	static const size_t sizes[] = { 1, 2, 3, 5, 7, 8, 9, 16, 31, 64, 96 };
	size_t n = p->w.d.n_out;

	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		size_t first = (k * 17) % (MAX_ROWS - sizes[k]);
		const float *have = run(w, first, sizes[k]);

		for (size_t i = 0; i < sizes[k] * n; i++)
			ck_assert_msg(!memcmp(&have[i], &all[first * n + i], sizeof *have),
			              "%s, %u bits of %u, %s, [%zu,%zu]: row %zu of token %zu in a "
			              "batch of %zu: %.9g, else %.9g; CHECK_SEED=%llu",
			              isa, p->w.d.bits, p->w.d.group,
			              dtype_info(p->w.d.dtype)->name, n, p->w.d.n_in, i % n, i / n,
			              sizes[k], (double)have[i], (double)all[first * n + i],
			              (unsigned long long)seed());
	}
}

static void check_on(struct product *p, const char *isa, unsigned flags)
{
	struct exec_options o = { .device = "cpu", .isa = isa, .threads = 2, .flags = flags };
	size_t n = p->w.d.n_out * MAX_ROWS * sizeof(float), events;
	struct world w;
	float *all;

	if (!world_open(&w, p, &o))
		return;
	events = exec_events(w.x);
	all = take(n);
	memcpy(all, run(&w, 0, MAX_ROWS), n);
	compare(p, isa, flags, all);
	compare_batches(p, isa, &w, all);
	ck_assert_uint_eq(exec_events(w.x), events);
	free(all);
	world_close(&w);
}

static void check_form(const struct weight_desc *d, bool add)
{
	struct product p;
	struct world ref;

	product_open(&p, d, add);
	ck_assert(world_open(&ref, &p, &(struct exec_options){ .device = "ref" }));
	for (size_t t = 0; t < MAX_ROWS; t++) {
		p.want[t] = take(d->n_out * sizeof(float));
		memcpy(p.want[t], run(&ref, t, 1), d->n_out * sizeof(float));
	}
	world_close(&ref);
	for (int i = 0; i < N_LEVELS; i++) {
		check_on(&p, levels[i], 0);
		if (d->form == FORM_AFFINE || !strcmp(levels[i], "v4amx"))
			check_on(&p, levels[i], EXEC_EXACT);
		if (d->form == FORM_AFFINE && (d->group == 32 || d->group == 128))
			check_on(&p, levels[i], EXEC_FAST);
	}
	product_close(&p);
}

START_TEST(affine)
{
	static const unsigned bits[] = { 2, 3, 4, 5, 6, 8 };
	static const enum dtype scales[] = { DT_F16, DT_BF16, DT_F32 };
	static const size_t groups[] = { 1, 3, 4, 11, 16, 14, 19 };

	for (unsigned group = 16; group <= 128; group *= 2)
		for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
			check_form(&(struct weight_desc){
				.name = "w",
				.form = FORM_AFFINE,
				.dtype = scales[i % 3],
				.n_out = i % 2 ? 17 : 35,
				.n_in = groups[i] * group,
				.bits = bits[_i],
				.group = group,
			}, i & 1);
}
END_TEST

START_TEST(floats)
{
	static const enum dtype types[] = { DT_F32, DT_F16, DT_BF16, DT_F8_E4M3, DT_F8_E5M2 };
	static const size_t n_in[] = { 1, 15, 64, 523, 1031 };

	for (size_t i = 0; i < sizeof n_in / sizeof *n_in; i++)
		check_form(&(struct weight_desc){
			.name = "w",
			.form = FORM_FLOAT,
			.dtype = types[_i],
			.n_out = i % 2 ? 18 : 37,
			.n_in = n_in[i],
		}, i & 1);
}
END_TEST

/* Inputs of which a lane of kernels/cpu/panel.cl has more than it takes at once. */
START_TEST(long_rows)
{
	static const struct weight_desc forms[] = {
		{ .name = "w", .form = FORM_FLOAT, .dtype = DT_F16, .n_out = 17, .n_in = 2701 },
		{ .name = "w", .form = FORM_AFFINE, .dtype = DT_F16, .n_out = 17, .n_in = 67 * 128,
		  .bits = 4, .group = 128 },
	};

	check_form(&forms[_i], false);
}
END_TEST

/* One token's rows give the bits of the tile, however few their groups are and however a
 * maker's processors are asked to fetch ahead. */
static void one_token(const char *level, size_t bits_row, size_t group_row, unsigned groups)
{
	enum { N_OUT = 59, ROOM = 24 * (24 + 130) * 64 };
	static const unsigned bits[] = { 2, 3, 4, 5, 6, 8 };
	static const int how[] = { 0, CPU_TWICE, CPU_PAST };
	const struct cpu_rows *rows = cpu_rows_find(level);
	const struct cpu_affine *form = &rows->affine[bits_row][group_row];
	int n_in = (int)(groups * 16u << group_row), type = groups % 2 ? CPU_BF16 : CPU_F16;
	size_t n_codes = N_OUT * (size_t)n_in * bits[bits_row] / 8, width = (size_t)rows->width;
	unsigned char *w = take(n_codes), *s = take(N_OUT * groups * 2);
	float *x = take((size_t)n_in * sizeof *x), y[N_OUT], tile[N_OUT];
	int *q = aligned_alloc(64, ROOM * sizeof *q), *scratch = aligned_alloc(64, ROOM * sizeof *q);

	ck_assert(q && scratch);
	for (size_t i = 0; i < n_codes; i++)
		w[i] = (unsigned char)random_u64();
	for (size_t i = 0; i < N_OUT * groups; i++)
		memcpy(s + 2 * i, &(uint16_t){ (uint16_t)(0x2c00 + random_u64() % 1024) }, 2);
	for (int i = 0; i < n_in; i++)
		x[i] = random_float();
	for (size_t c = 0; c * width < groups; c++)
		form->prepare(c, x, 0, q, 0, 1, n_in, CPU_MOST);
	for (size_t item = 0; item * 16 < N_OUT; item++)
		form->tile(item, w, 0, s, 0, s, 0, type, q, 0, tile, 0, NULL, 0, 0, 1, N_OUT, n_in, 16,
		           1, scratch);
	for (size_t c = 0; c * width < groups; c++)
		form->prepare_one(c, x, 0, q, 0, 1, n_in, CPU_MOST);
	for (size_t k = 0; k < sizeof how / sizeof *how; k++) {
		for (size_t item = 0; item * 32 < N_OUT; item++)
			form->vec(item, w, 0, s, 0, s, 0, type, q, 0, y, 0, NULL, 0, how[k], 1, N_OUT, n_in,
			          32);
		ck_assert_msg(!memcmp(y, tile, sizeof y), "%s, %u bits, %u groups of %d, %d", level,
		              bits[bits_row], groups, n_in / (int)groups, how[k]);
	}
	free(w);
	free(s);
	free(x);
	free(q);
	free(scratch);
}

START_TEST(one_tokens)
{
	for (size_t l = 0; l < N_LEVELS; l++)
		for (unsigned groups = 1; groups <= 23 && cpu_rows_find(levels[l]); groups++)
			one_token(levels[l], (size_t)_i / CPU_AFFINE_GROUPS, (size_t)_i % CPU_AFFINE_GROUPS,
			          groups);
}
END_TEST

Suite *cpu_matmul_suite(void)
{
	Suite *s = suite_create("cpu_matmul");
	TCase *t = tcase_create("forms");

	tcase_add_checked_fixture(t, start, NULL);
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, affine, 0, 6);
	tcase_add_loop_test(t, floats, 0, 5);
	tcase_add_loop_test(t, long_rows, 0, 2);
	tcase_add_loop_test(t, one_tokens, 0, CPU_AFFINE_BITS * CPU_AFFINE_GROUPS);
	suite_add_tcase(s, t);
	return s;
}
