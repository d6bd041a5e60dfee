/* SPDX-License-Identifier: MIT */
/* The OpenCL backend's cache and attention against ref: spans, windows, pages
 * in any order, keys and values that come back. */
#include "exec/cl_world.h"

Suite *cl_kv_suite(void);

/* ---- attention over a cache of random keys and values */
enum { PAGES = 40, SEQS = 2 };
struct shape_case {
	size_t n_heads, kv_heads, k_dim, v_dim, window;
	unsigned flags;
	size_t dims;           /* that are rotated */
	bool interleaved, sinks, v_in_k;
};
static const struct shape_case shapes[] = {
	{ 4, 2, 16, 16, 0, 0, 16, true, false, false },
	{ 3, 1, 20, 27, 100, 0, 0, false, true, false },
	{ 6, 3, 64, 64, 700, EXEC_EXACT, 0, false, false, false },
	{ 2, 2, 136, 200, 0, 0, 0, false, true, false },
	{ 8, 2, 64, 64, 0, 0, 64, false, false, false },
	{ 7, 1, 128, 112, 700, 0, 0, false, false, false },
	{ 3, 3, 96, 96, 37, 0, 70, true, false, false },
	{ 5, 1, 72, 64, 0, 0, 8, true, false, true },
};

struct scene {
	const struct shape_case *c;
	const float *q, *k, *v;
};

static void record_attention(struct world *w, const void *arg)
{
	const struct scene *a = arg;
	const struct shape_case *c = a->c;
	struct slot *q = record_slot(w->r, "q", c->n_heads * c->k_dim);
	struct slot *k = record_slot(w->r, "k", c->kv_heads * c->k_dim);
	struct slot *v = record_slot(w->r, "v", c->kv_heads * c->v_dim);
	struct slot *y = record_slot(w->r, "y", c->n_heads * c->v_dim);
	struct attention att = { .layer = 1, .n_heads = c->n_heads, .window = c->window,
	                         .scale = 1 / sqrtf((float)c->k_dim),
	                         .softcap = c->kv_heads % 2 ? 0 : 0.5f };

	if (c->sinks)
		att.sinks = give_vector(w, a->q, c->n_heads);
	op_embed(w->r, q, give_matrix(w, a->q, VOCAB, c->n_heads * c->k_dim));
	op_embed(w->r, k, give_matrix(w, a->k, VOCAB, c->kv_heads * c->k_dim));
	op_embed(w->r, v, give_matrix(w, a->v, VOCAB, c->kv_heads * c->v_dim));
	if (c->dims) {
		struct rope rope = { .dims = c->dims, .interleaved = c->interleaved, .scale = 0.5f };

		for (size_t i = 0; i < c->dims / 2; i++)
			rope.inv_freq[i] = 1.0 / (double)(1 + i);
		op_rope(w->r, q, c->n_heads, c->k_dim, &rope);
		op_rope(w->r, k, c->kv_heads, c->k_dim, &rope);
	}
	op_kv_write(w->r, k, c->v_in_k ? NULL : v, 1);
	op_attention(w->r, y, q, &att);
	finish(w, y, c->n_heads * c->v_dim);
}

static void open_cache(struct world *w, const struct shape_case *c)
{
	struct exec_kv_layer layer[2] = { { 1, 8, 8, .group = 1 },
	                                  { c->kv_heads, c->k_dim, c->v_dim, .v_in_k = c->v_in_k } };
	struct err e = { 0 };

	ck_assert_msg(exec_kv_open(&w->kv, w->x, layer, 2, (size_t[]){ PAGES * SEQS, PAGES * SEQS },
	                           2, &e) == 0,
	              "%s", e.text);
}

/* Page lists: sequence 0 in rising pages, sequence 1 in a shuffle of the
 * others, that hold the same. */
static int32_t list[SEQS][PAGES], other[PAGES];
static const int32_t *lists[SEQS * 2];
static size_t list_sizes[SEQS * 2];

static void fill_cache(struct world *w, const struct shape_case *c)
{
	size_t size = c->flags & EXEC_EXACT ? 4 : 2, n = c->kv_heads * PAGE_POSITIONS;
	enum dtype t = exec_kv_dtype(w->kv);
	struct err e = { 0 };

	ck_assert_uint_eq(dtype_info(t)->block_bytes, size);
	state = seed();
	for (int32_t i = 0; i < PAGES; i++) {
		void *k = random_as(t, n * c->k_dim), *v = random_as(t, n * c->v_dim);

		list[0][i] = i;
		list[1][i] = PAGES + (i * 7 + 3) % PAGES;
		ck_assert_msg(exec_kv_import(w->kv, 1, list[0][i], 0, PAGE_POSITIONS, k, v, &e) == 0,
		              "%s", e.text);
		ck_assert_msg(exec_kv_copy(w->kv, 0, list[1][i], list[0][i], &e) == 0, "%s", e.text);
	}
	for (size_t i = 0; i < SEQS; i++) {
		lists[i] = list[i];
		list_sizes[i] = PAGES;
		lists[SEQS + i] = other;
		list_sizes[SEQS + i] = PAGES;
	}
}

/* Row i's position: some borders, then a run. */
static int32_t place_of(size_t i)
{
	static const int32_t places[] = { 0,   5,   31,  32,   127,  128, 511,
		                          512, 513, 600, 1023, 1024, 1030 };
	enum { N = sizeof places / sizeof *places };

	return i < N ? places[i] : 1111 + (int32_t)(i - N);
}

/* Each position is read as this step wrote it, so a list of single rows that
 * all go through the same positions must start from the same cache. */
static void attention_step(struct step *s, size_t first, size_t n, int32_t seq)
{
	static int32_t pos[MAX_ROWS], which[MAX_ROWS];

	*s = rows_of(first, n);
	for (size_t i = 0; i < n; i++) {
		pos[i] = place_of(first + i);
		which[i] = seq;
	}
	s->pos = pos;
	s->seq = which;
	s->n_seqs = SEQS;
	s->pages = lists;
	s->n_pages = list_sizes;
}

/* Scores are dots of k_dim terms below 1, scaled; weights sum to 1 and values
 * are below 1, so an error d in a score moves the result by at most 2 d. On
 * NVIDIA's matrix unit queries and weights are f16. */
static float attention_bound(const struct shape_case *c, const struct world *w)
{
	float half = ((const struct opencl *)w->x->device)->can & NEED_NVIDIA ? 0x1p-11f : 0;

	return ldexpf((float)c->k_dim + 16, -22) * sqrtf((float)c->k_dim) + ldexpf(1165, -24) +
	       half * (sqrtf((float)c->k_dim) + 2);
}

START_TEST(attention_matches_ref)
{
	const struct shape_case *c = &shapes[_i];
	size_t n = c->n_heads * c->v_dim, n_bytes = n * sizeof(float);
	struct scene a = { c, random_floats(VOCAB * c->n_heads * c->k_dim),
	                   random_floats(VOCAB * c->kv_heads * c->k_dim),
	                   random_floats(VOCAB * c->kv_heads * c->v_dim) };
	float *whole = take(MAX_ROWS * n_bytes), *bound = take(MAX_ROWS * n_bytes);
	struct world cl, ref;
	struct step s;

	if (!here)
		return;
	world_device(&cl, "opencl", c->flags);
	for (size_t i = 0; i < MAX_ROWS * n; i++)
		bound[i] = attention_bound(c, &cl);
	open_cache(&cl, c);
	fill_cache(&cl, c);
	world_record(&cl, record_attention, &a);
	attention_step(&s, 0, MAX_ROWS, 0);
	memcpy(whole, world_run(&cl, &s), MAX_ROWS * n_bytes);
	/* one row at a time, by spans; other pages: the same bits */
	for (size_t i = 0; i < MAX_ROWS; i++) {
		attention_step(&s, i, 1, 1);
		ck_assert_msg(!memcmp(whole + i * n, world_run(&cl, &s), n_bytes),
		              "row %zu at position %d differs alone", i, (int)place_of(i));
	}
	world_close(&cl);

	world_device(&ref, "ref", c->flags);
	open_cache(&ref, c);
	fill_cache(&ref, c);
	world_record(&ref, record_attention, &a);
	attention_step(&s, 0, MAX_ROWS, 0);
	compare(whole, world_run(&ref, &s), bound, MAX_ROWS * n, "attention");
	world_close(&ref);
}
END_TEST

/* What goes into a page comes out of it, in part and in whole. */
START_TEST(pages_come_back)
{
	static const struct shape_case c = { .n_heads = 2, .kv_heads = 2, .k_dim = 20,
		                             .v_dim = 12 };
	enum { HEADS = 2, FIRST = 5, N = 9 };
	struct world w;
	struct err e = { 0 };
	void *k = random_as(DT_F16, HEADS * N * 20), *v = random_as(DT_F16, HEADS * N * 12);
	uint16_t k2[HEADS * N * 20], v2[HEADS * N * 12];

	if (!here)
		return;
	world_device(&w, "opencl", 0);
	open_cache(&w, &c);
	fill_cache(&w, &c);
	ck_assert_int_eq(exec_kv_import(w.kv, 1, 3, FIRST, N, k, v, &e), 0);
	ck_assert_int_eq(exec_kv_copy(w.kv, 0, 4, 3, &e), 0);
	ck_assert_int_eq(exec_kv_export(w.kv, 1, 4, FIRST, N, k2, v2, &e), 0);
	ck_assert(!memcmp(k, k2, sizeof k2));
	ck_assert(!memcmp(v, v2, sizeof v2));
	ck_assert_uint_gt(exec_bytes(w.x), 0);
	exec_kv_close(w.kv);
	w.kv = NULL;
	ck_assert_uint_eq(exec_bytes(w.x), 0);
	world_close(&w);
}
END_TEST


static void add_tests(Suite *s, const char *name, void (*begin)(void))
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, begin, finish_check);
	tcase_add_loop_test(t, attention_matches_ref, 0, sizeof shapes / sizeof *shapes);
	tcase_add_test(t, pages_come_back);
	suite_add_tcase(s, t);
}

Suite *cl_kv_suite(void)
{
	Suite *s = suite_create("cl_kv");

	add_tests(s, "portable rows", start_portable);
	add_tests(s, "special rows", start_special);
	return s;
}
