/* SPDX-License-Identifier: MIT */
/* A decoder's step in one launch: near ref, in every form of its weights and
 * shape of its heads; and a row's bits are its own, however many run. */
#include "exec/cl_world.h"

Suite *cl_persist_suite(void);

enum { HIDDEN = 256, MOST_LAYERS = 3, WORDS = 48, PAGES = 40, ROWS = 8, EXPERTS = 5, USED = 3 };

static const struct decoder_case {
	const char *what;
	enum form form;
	enum dtype dtype;
	unsigned bits, group;
	size_t heads, kv_heads, dim, ffn, window;
	bool norms, biases, interleaved;
	int32_t depth;
	bool experts;
	enum routing_score score;
	size_t layers;         /* odd: steps begin in each room of the rings between products */
} cases[] = {
	{ "4 bits", FORM_AFFINE, DT_F16, 4, 64, 8, 2, 32, 512, 0, false, false, false, 0, false, 0,
	  3 },
	{ "4 bits, deep", FORM_AFFINE, DT_F16, 4, 32, 4, 2, 128, 2176, 0, false, true, false, 1100,
	  false, 0, 2 },
	{ "8 bits, window", FORM_AFFINE, DT_BF16, 8, 128, 4, 1, 64, 384, 600, true, false, false,
	  1100, false, 0, 2 },
	{ "f16, norms", FORM_FLOAT, DT_F16, 0, 0, 4, 4, 96, 512, 0, true, false, true, 40, false, 0,
	  2 },
	{ "bf16, biases", FORM_FLOAT, DT_BF16, 0, 0, 8, 1, 64, 384, 0, false, true, false, 520,
	  false, 0, 2 },
	{ "experts, 4 bits", FORM_AFFINE, DT_F16, 4, 64, 8, 2, 32, 384, 0, true, false, false, 0,
	  true, SCORE_SOFTMAX, 2 },
	{ "experts, f16", FORM_FLOAT, DT_F16, 0, 0, 8, 2, 32, 2176, 0, false, false, false, 0, true,
	  SCORE_CHOSEN, 2 },
};

/* ---- weights, made from the seed alone */
static struct weight *stack(struct world *w, const struct decoder_case *c, size_t n_stack,
                            size_t n_out, size_t n_in)
{
	struct weight_desc d = { .name = "m", .form = c->form, .dtype = c->dtype, .n_out = n_out,
	                         .n_in = n_in, .bits = c->bits, .group = c->group,
	                         .n_stack = n_stack };
	float width = sqrtf(3.0f / (float)n_in), *v;
	size_t n = c->form == FORM_FLOAT ? n_out * n_in : n_out * n_in / c->group;
	unsigned char *codes;

	v = random_floats(n);
	d.data = take(n_out * n_in * 4);
	if (c->form == FORM_FLOAT) {
		for (size_t i = 0; i < n; i++)
			v[i] *= width;
		ck_assert(dtype_from_f32(d.dtype, (void *)(uintptr_t)d.data, v, n));
		return give(w, &d);
	}
	codes = (unsigned char *)(uintptr_t)d.data;
	for (size_t i = 0; i < n_out * n_in * c->bits / 8; i++)
		codes[i] = (unsigned char)(random_float() * 127 + 128);
	d.scales = take(n * 4);
	d.biases = take(n * 4);
	for (size_t i = 0; i < n; i++)
		v[i] = (1 + v[i] / 8) * 2 * width / (float)((1u << c->bits) - 1);
	ck_assert(dtype_from_f32(d.dtype, (void *)(uintptr_t)d.scales, v, n));
	for (size_t i = 0; i < n; i++)
		v[i] = -width;
	ck_assert(dtype_from_f32(d.dtype, (void *)(uintptr_t)d.biases, v, n));
	return give(w, &d);
}

static struct weight *matrix(struct world *w, const struct decoder_case *c, size_t n_out,
                             size_t n_in)
{
	return stack(w, c, 0, n_out, n_in);
}

static struct weight *vector(struct world *w, size_t n, float centre)
{
	float *v = random_floats(n);

	for (size_t i = 0; i < n; i++)
		v[i] = centre + v[i] / 4;
	return give_vector(w, v, n);
}

static void record_gated(struct world *w, const struct decoder_case *c, struct slot **s)
{
	struct op_product gate[] = { { s[6], matrix(w, c, c->ffn, HIDDEN), NULL },
	                             { s[7], matrix(w, c, c->ffn, HIDDEN), NULL } };
	struct op_product down = { s[0], matrix(w, c, HIDDEN, c->ffn), NULL };

	op_matmul(w->r, gate, 2, s[1], false);
	op_glu(w->r, s[6], s[6], s[7], ACT_SILU);
	op_matmul(w->r, &down, 1, s[6], true);
}

/* x += experts(h), as s[6] and on have room for */
static void record_mixture(struct world *w, const struct decoder_case *c, struct slot **s)
{
	struct routing how = { .k = USED, .score = c->score, .scale = 1.5f };
	struct decoder_case eight = *c; /* routers of codes have 8 bits */
	struct op_product router = { s[8], NULL, NULL };
	struct op_product gate[] = {
		{ s[6], stack(w, c, EXPERTS, EXPERTS * c->ffn, HIDDEN), NULL },
		{ s[7], stack(w, c, EXPERTS, EXPERTS * c->ffn, HIDDEN), NULL },
	};
	struct op_product down = { s[10], stack(w, c, EXPERTS, EXPERTS * HIDDEN, c->ffn), NULL };

	eight.bits = 8;
	router.w = matrix(w, &eight, EXPERTS, HIDDEN);
	op_matmul(w->r, &router, 1, s[1], false);
	op_route(w->r, s[9], s[8], NULL, &how);
	op_experts(w->r, gate, 2, s[1], s[9], USED);
	op_glu(w->r, s[6], s[6], s[7], ACT_SILU);
	op_experts(w->r, &down, 1, s[6], s[9], USED);
	op_mix(w->r, s[0], s[10], s[9]);
}

static void record_layer(struct world *w, const struct decoder_case *c, size_t i, struct slot **s)
{
	struct rope rope = { .dims = c->dim, .interleaved = c->interleaved, .scale = 1 };
	struct attention a = { .layer = i, .n_heads = c->heads, .window = c->window,
	                       .scale = 1 / sqrtf((float)c->dim) };
	size_t nq = c->heads * c->dim, nk = c->kv_heads * c->dim;
	const struct weight *b = c->biases ? vector(w, nq, 0) : NULL;
	struct op_product in[] = { { s[2], matrix(w, c, nq, HIDDEN), b },
	                           { s[3], matrix(w, c, nk, HIDDEN), NULL },
	                           { s[4], matrix(w, c, nk, HIDDEN), NULL } };
	struct op_product mix = { s[0], matrix(w, c, HIDDEN, nq), NULL };

	for (size_t k = 0; k < c->dim / 2; k++)
		rope.inv_freq[k] = pow(500, -2.0 * (double)k / (double)c->dim);
	op_norm_rms(w->r, s[1], s[0], vector(w, HIDDEN, 1), 1e-5f);
	op_matmul(w->r, in, 3, s[1], false);
	if (c->norms) {
		op_norm_rms(w->r, s[2], s[2], vector(w, c->dim, 1), 1e-5f);
		op_norm_rms(w->r, s[3], s[3], vector(w, c->dim, 1), 1e-5f);
	}
	op_rope(w->r, s[2], c->heads, c->dim, &rope);
	op_rope(w->r, s[3], c->kv_heads, c->dim, &rope);
	op_kv_write(w->r, s[3], s[4], i);
	op_attention(w->r, s[5], s[2], &a);
	op_matmul(w->r, &mix, 1, s[5], true);
	op_norm_rms(w->r, s[1], s[0], vector(w, HIDDEN, 1), 1e-5f);
	(c->experts ? record_mixture : record_gated)(w, c, s);
}

static void record_decoder(struct world *w, const void *arg)
{
	const struct decoder_case *c = arg;
	size_t nq = c->heads * c->dim, nk = c->kv_heads * c->dim;
	size_t n_ffn = c->experts ? USED * c->ffn : c->ffn;
	size_t width[] = { HIDDEN, HIDDEN, nq, nk, nk, nq, n_ffn, n_ffn, EXPERTS, 2 * USED,
	                   USED * HIDDEN };
	struct slot *s[11], *last = record_slot_out(w->r, "last", HIDDEN);
	struct slot *out = record_slot_out(w->r, "logits", WORDS);
	struct op_product head = { out, NULL, NULL };

	state = seed();
	for (size_t i = 0; i < (c->experts ? 11 : 8); i++)
		s[i] = record_slot(w->r, "s", width[i]);
	head.w = matrix(w, c, WORDS, HIDDEN);
	op_embed(w->r, s[0], head.w);
	for (size_t i = 0; i < c->layers; i++)
		record_layer(w, c, i, s);
	op_pick(w->r, last, s[0]);
	op_norm_rms(w->r, last, last, vector(w, HIDDEN, 1), 1e-5f);
	op_matmul(w->r, &head, 1, last, false);
	record_result(w->r, out);
	record_asks(w->r);
}

/* ---- two sequences over one pool, filled to the depth */
static int32_t list[2][PAGES], token[ROWS], pos[ROWS], seq[ROWS];
static const int32_t *lists[2] = { list[0], list[1] };
static const size_t list_sizes[2] = { PAGES, PAGES };

static void fill_cache(struct world *w, const struct decoder_case *c)
{
	size_t n = c->kv_heads * PAGE_POSITIONS * c->dim;
	struct err e = { 0 };

	state = seed() + 1;
	for (int32_t i = 0; i < PAGES * 2; i++) {
		list[i % 2][i / 2] = i;
		if (i / 2 * PAGE_POSITIONS >= c->depth)
			continue;
		for (size_t l = 0; l < c->layers; l++) {
			void *k = random_as(DT_F16, n), *v = random_as(DT_F16, n);

			ck_assert_int_eq(exec_kv_import(w->kv, l, i, 0, PAGE_POSITIONS, k, v, &e), 0);
		}
	}
}

static void open_decoder(struct world *w, const char *device, const struct decoder_case *c,
                         size_t rows)
{
	struct exec_kv_layer layer[MOST_LAYERS];
	struct err e = { 0 };

	world_device(w, device, 0);
	for (size_t i = 0; i < c->layers; i++)
		layer[i] = (struct exec_kv_layer){ c->kv_heads, c->dim, c->dim, .group = 0 };
	ck_assert_int_eq(exec_kv_open(&w->kv, w->x, layer, c->layers,
	                              (size_t[]){ PAGES * 2 + 8 }, 1, &e), 0);
	fill_cache(w, c);
	ck_assert_msg(record_open(&w->r, w->x, rows, rows, w->kv, &e) == 0, "%s", e.text);
	record_decoder(w, c);
	ck_assert_msg(record_end(w->r, &e) == 0, "%s", e.text);
}

/* Rows first .. first + n - 1 of eight: five of sequence 0, three of the
 * other, from the depth on. */
static const float *run_rows(struct world *w, const struct decoder_case *c, size_t first,
                             size_t n, bool best)
{
	struct step s = { .n_rows = n, .n_out = n, .n_seqs = 2, .token = token + first,
	                  .pos = pos + first, .seq = seq + first, .out = counting, .pages = lists,
	                  .n_pages = list_sizes, .ask = best ? asks_of(n) : NULL };

	rows_of(0, 1);
	for (int32_t i = 0; i < ROWS; i++) {
		token[i] = i * 5 % WORDS;
		seq[i] = i >= 5;
		pos[i] = c->depth + (i < 5 ? i : i - 5);
	}
	return world_run(w, &s);
}

static bool is_persistent(const struct world *w)
{
	const struct opencl *d = w->x->device;

	return !(d->can & NEED_NVIDIA) || ((const struct cl_plan *)w->r->plan)->persist.kernel;
}

/* The best ids of those rows; they alone come back, and whether the groups have met. */
static void check_ids(struct world *w, const struct decoder_case *c, size_t first, size_t n,
                      const float *logits)
{
	const struct opencl *d = w->x->device;
	size_t read = exec_read(w->x), most = 32 * n + sizeof(int32_t);

	run_rows(w, c, first, n, true);
	if (!(d->can & NEED_CPU))
		ck_assert_uint_le(exec_read(w->x) - read, most);
	for (size_t i = 0; i < n; i++) {
		const float *x = logits + (first + i) * WORDS;

		for (size_t k = 0; k < WORDS; k++)
			ck_assert(x[k] <= x[record_answers(w->r)[i].best]);
	}
}

/* f16 inputs of sums of 256 .. 2176 terms, through its layers and their
 * attention; logits are a few units large. */
START_TEST(decoder_steps)
{
	const struct decoder_case *c = &cases[_i];
	struct world one, eight, ref;
	float all[ROWS * WORDS], bound[ROWS * WORDS];

	if (!here || (c->experts && portable_rows())) /* without phases they are checked elsewhere */
		return;
	open_decoder(&eight, "opencl", c, ROWS);
	ck_assert_msg(is_persistent(&eight), "%s: 8 rows are launches", c->what);
	memcpy(all, run_rows(&eight, c, 0, ROWS, false), sizeof all);
	check_ids(&eight, c, 0, ROWS, all);
	((struct opencl *)eight.x->device)->no_persist = true;
	ck_assert_msg(!memcmp(run_rows(&eight, c, 0, ROWS, false), all, sizeof all),
	              "%s: launches give other bits", c->what);
	world_close(&eight);
	open_decoder(&one, "opencl", c, 1);
	ck_assert_msg(is_persistent(&one), "%s: a row is launches", c->what);
	for (size_t i = 0; i < ROWS; i++) {
		ck_assert_msg(!memcmp(run_rows(&one, c, i, 1, false), all + i * WORDS,
		                      WORDS * sizeof *all), "%s: row %zu alone differs", c->what, i);
		check_ids(&one, c, i, 1, all);
	}
	world_close(&one);
	open_decoder(&ref, "ref", c, ROWS);
	for (size_t i = 0; i < ROWS * WORDS; i++)
		bound[i] = 0.02f;
	compare(all, run_rows(&ref, c, 0, ROWS, false), bound, ROWS * WORDS, c->what);
	world_close(&ref);
}
END_TEST

static void add_tests(Suite *s, const char *name, void (*begin)(void))
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, begin, finish_check);
	tcase_add_loop_test(t, decoder_steps, 0, sizeof cases / sizeof *cases);
	suite_add_tcase(s, t);
}

Suite *cl_persist_suite(void)
{
	Suite *s = suite_create("cl_persist");

	add_tests(s, "portable rows", start_portable);
	add_tests(s, "special rows", start_special);
	return s;
}
