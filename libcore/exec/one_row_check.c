/* SPDX-License-Identifier: MIT */
/* Steps of one row, which some devices run in a way of their own (cl_team.c), against
 * steps of two: the same bits, at odd sizes, from the first position to past a span of
 * attention, and however many threads there are. */
#include "exec/exec.h"
#include "exec/op.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *one_row_suite(void);

enum { WIDTH = 192, HEADS = 6, KV_HEADS = 3, HEAD = 32, INNER = 320, WORDS = 77, LAYERS = 2 };
enum { POSITIONS = 530, PAGES = POSITIONS / PAGE_POSITIONS + 1, N_WEIGHTS = 64 };

static uint64_t state = 20261128;

static uint64_t random_u64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1d;
}

static void *take(size_t n)
{
	void *p = calloc(1, n);

	ck_assert_ptr_nonnull(p);
	return p;
}

struct world {
	struct exec *x;
	struct exec_kv *kv;
	struct record *r;
	struct weight *weight[N_WEIGHTS];
	void *bytes[3 * N_WEIGHTS];
	size_t n_weights, n_bytes;
};

static void *keep(struct world *w, void *p)
{
	return w->bytes[w->n_bytes++] = p;
}

static void *floats(struct world *w, enum dtype t, size_t n, float size)
{
	float *v = take(n * sizeof *v);
	void *p = keep(w, take(n * sizeof *v));

	for (size_t i = 0; i < n; i++)
		v[i] = ((float)(random_u64() >> 40) / 8388608 - 1) * size;
	ck_assert(dtype_from_f32(t, p, v, n));
	free(v);
	return p;
}

static struct weight *add(struct world *w, struct weight_desc d)
{
	struct err e = { 0 };

	ck_assert(w->n_weights < N_WEIGHTS);
	ck_assert_msg(weight_open(&w->weight[w->n_weights], w->x, &d, &e) == 0, "%s", e.text);
	return w->weight[w->n_weights++];
}

static struct weight *plain(struct world *w, enum dtype t, size_t n_out, size_t n_in)
{
	return add(w, (struct weight_desc){ .name = "floats", .dtype = t, .n_out = n_out,
		.n_in = n_in, .data = floats(w, t, n_out * n_in, n_out > 1 ? 0.1f : 1) });
}

static struct weight *codes(struct world *w, unsigned bits, unsigned group, size_t n_out,
                            size_t n_in)
{
	size_t n = n_out * n_in * bits / 8, groups = n_out * n_in / group;
	unsigned char *p = keep(w, take(n));

	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(random_u64() >> 40);
	return add(w, (struct weight_desc){ .name = "codes", .form = FORM_AFFINE, .dtype = DT_F16,
		.n_out = n_out, .n_in = n_in, .bits = bits, .group = group, .data = p,
		.scales = floats(w, DT_F16, groups, 0.02f), .biases = floats(w, DT_F16, groups, 0.1f) });
}

/* A decoder of forms that differ: runs of launches end where a form does. */
static void layer(struct world *w, struct slot *x, size_t i, const struct rope *rope)
{
	struct record *r = w->r;
	struct slot *h = record_slot(r, "h", WIDTH), *q = record_slot(r, "q", HEADS * HEAD);
	struct slot *k = record_slot(r, "k", KV_HEADS * HEAD);
	struct slot *v = record_slot(r, "v", KV_HEADS * HEAD);
	struct slot *mix = record_slot(r, "mix", HEADS * HEAD);
	struct slot *gate = record_slot(r, "gate", INNER), *up = record_slot(r, "up", INNER);
	struct op_product qkv[] = {
		{ q, codes(w, 4, 64, HEADS * HEAD, WIDTH), plain(w, DT_F32, 1, HEADS * HEAD) },
		{ k, codes(w, 4, 64, KV_HEADS * HEAD, WIDTH), NULL },
		{ v, i ? plain(w, DT_BF16, KV_HEADS * HEAD, WIDTH) :
		         codes(w, 4, 64, KV_HEADS * HEAD, WIDTH), NULL },
	};
	struct op_product out[] = { { x, codes(w, 4, 64, WIDTH, HEADS * HEAD), NULL } };
	struct op_product both[] = {
		{ gate, codes(w, i ? 6 : 4, 64, INNER, WIDTH), NULL },
		{ up, codes(w, 4, 64, INNER, WIDTH), NULL },
	};
	struct op_product down[] = { { x, plain(w, DT_F16, WIDTH, INNER), NULL } };
	struct attention a = { .layer = i, .n_heads = HEADS, .scale = 0.2f, .window = i ? 0 : 100 };

	op_norm_rms(r, h, x, plain(w, DT_F32, 1, WIDTH), 1e-5f);
	op_matmul(r, qkv, 3, h, false);
	op_rope(r, q, HEADS, HEAD, rope);
	op_rope(r, k, KV_HEADS, HEAD, rope);
	op_kv_write(r, k, v, i);
	op_attention(r, mix, q, &a);
	op_matmul(r, out, 1, mix, true);
	op_norm_rms(r, h, x, plain(w, DT_F32, 1, WIDTH), 1e-5f);
	op_matmul(r, both, 2, h, false);
	op_glu(r, gate, gate, up, ACT_SILU);
	op_matmul(r, down, 1, gate, true);
}

static void model(struct world *w, size_t rows)
{
	struct rope rope = { .dims = HEAD, .scale = 1 };
	struct err e = { 0 };
	struct slot *x, *last, *result;

	for (size_t i = 0; i < HEAD / 2; i++)
		rope.inv_freq[i] = 1.0 / (double)(1 + i * i);
	ck_assert(record_open(&w->r, w->x, rows, rows, w->kv, &e) == 0);
	x = record_slot(w->r, "x", WIDTH);
	op_embed(w->r, x, plain(w, DT_F32, WORDS, WIDTH));
	for (size_t i = 0; i < LAYERS; i++)
		layer(w, x, i, &rope);
	last = record_slot_out(w->r, "last", WIDTH);
	result = record_slot_out(w->r, "result", WORDS);
	op_pick(w->r, last, x);
	op_norm_rms(w->r, last, last, plain(w, DT_F32, 1, WIDTH), 1e-5f);
	op_matmul(w->r, (struct op_product[]){ { result, codes(w, 8, 64, WORDS, WIDTH), NULL } }, 1,
	          last, false);
	op_scale(w->r, result, 0.5f, 30);
	record_result(w->r, result);
	ck_assert_msg(record_end(w->r, &e) == 0, "%s", e.text);
}

static void open_world(struct world *w, const struct exec_options *o, size_t rows)
{
	struct exec_kv_layer l[LAYERS] = { { KV_HEADS, HEAD, HEAD, .group = 0 },
	                                   { KV_HEADS, HEAD, HEAD, .group = 0 } };
	struct err e = { 0 };

	state = 20261128; /* the same weights each time */
	memset(w, 0, sizeof *w);
	ck_assert_msg(exec_open(&w->x, o, &e) == 0, "%s", e.text);
	ck_assert(exec_kv_open(&w->kv, w->x, l, LAYERS, &(size_t){ PAGES }, 1, &e) == 0);
	model(w, rows);
}

static void close_world(struct world *w)
{
	record_close(w->r);
	exec_kv_close(w->kv);
	for (size_t i = 0; i < w->n_weights; i++)
		weight_close(w->weight[i]);
	exec_close(w->x);
	for (size_t i = 0; i < w->n_bytes; i++)
		free(w->bytes[i]);
}

/* All positions, so many a step; out: [POSITIONS][WORDS]. Counts what was allocated meanwhile. */
static size_t walk(struct world *w, size_t rows, float *out)
{
	int32_t page[PAGES], token[2], pos[2], seq[2] = { 0, 0 }, which[2] = { 0, 1 };
	const int32_t *pages[] = { page };
	size_t n_pages = PAGES, events = exec_events(w->x);
	struct err e = { 0 };

	for (int32_t i = 0; i < PAGES; i++)
		page[i] = PAGES - 1 - i;
	for (int32_t at = 0; at < POSITIONS; at += (int32_t)rows) {
		struct step s = { .n_rows = rows, .n_out = rows, .n_seqs = 1, .token = token, .pos = pos,
			          .seq = seq, .out = which, .pages = pages, .n_pages = &n_pages };

		for (int32_t i = 0; i < (int32_t)rows; i++) {
			pos[i] = at + i;
			token[i] = (at + i) * 31 % WORDS;
		}
		ck_assert_msg(record_run(w->r, &s, &e) == 0, "%s", e.text);
		memcpy(out + at * WORDS, record_output(w->r), rows * WORDS * sizeof *out);
	}
	return exec_events(w->x) - events;
}

static const struct { const char *device; int threads; } devices[] = {
	{ "ref", 0 }, { "cpu", 1 }, { "cpu", 2 }, { "cpu", 3 }, { "cpu", 7 }, { "opencl", 0 },
};
enum { N_DEVICES = sizeof devices / sizeof *devices };

START_TEST(same_bits)
{
	struct exec_options o = { .device = devices[_i].device, .threads = devices[_i].threads };
	float *one = take(POSITIONS * WORDS * sizeof *one);
	float *two = take(POSITIONS * WORDS * sizeof *two);
	struct world w;

	open_world(&w, &o, 2);
	walk(&w, 2, two);
	close_world(&w);
	open_world(&w, &o, 1);
	ck_assert_uint_eq(walk(&w, 1, one), 0);
	close_world(&w);
	for (size_t i = 0; i < POSITIONS * WORDS; i++)
		ck_assert_msg(!memcmp(&one[i], &two[i], sizeof *one), "%s, %d threads: position %zu, "
		              "word %zu: %.9g alone, %.9g beside another", devices[_i].device,
		              devices[_i].threads, i / WORDS, i % WORDS, (double)one[i], (double)two[i]);
	free(one);
	free(two);
}
END_TEST

Suite *one_row_suite(void)
{
	Suite *s = suite_create("one_row");
	TCase *t = tcase_create("devices");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, same_bits, 0, N_DEVICES);
	suite_add_tcase(s, t);
	return s;
}
