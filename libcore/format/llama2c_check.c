/* SPDX-License-Identifier: MIT */
/* llama2c_check.c - one made-up network in each version: the same tensors */
#include "format/fixture.h"

Suite *llama2c_suite(void);

enum { DIM = 8, HIDDEN = 6, LAYERS = 2, HEADS = 4, KV = 2, WORDS = 5, SEQ = 3, GROUP = 4 };

/* By the kind of matrix, in the order of version 0. */
static const struct kind {
	const char *name;
	size_t rows, cols; /* rows 0: a norm */
	bool per_layer;
} kinds[] = {
	{ "tok_embeddings.weight", WORDS, DIM, false },
	{ "attention_norm.weight", 0, DIM, true },
	{ "attention.wq.weight", DIM, DIM, true },
	{ "attention.wk.weight", DIM / 2, DIM, true },
	{ "attention.wv.weight", DIM / 2, DIM, true },
	{ "attention.wo.weight", DIM, DIM, true },
	{ "ffn_norm.weight", 0, DIM, true },
	{ "feed_forward.w1.weight", HIDDEN, DIM, true },
	{ "feed_forward.w2.weight", DIM, HIDDEN, true },
	{ "feed_forward.w3.weight", HIDDEN, DIM, true },
	{ "norm.weight", 0, DIM, false },
	{ "output.weight", WORDS, DIM, false },
};
enum { N_KINDS = sizeof kinds / sizeof *kinds, OUTPUT = N_KINDS - 1, FINAL = N_KINDS - 2 };

/* Value i of matrix k of a layer: a code times a power of two per group. */
static int code(size_t k, size_t layer, size_t i)
{
	return (int)((i * 37 + k * 11 + layer * 5) % 255) - 127;
}

static float scale(size_t k, size_t group)
{
	return 1.0f / (float)(1 << (k + group) % 7);
}

static float value(size_t k, size_t layer, size_t i)
{
	return (float)code(k, layer, i) * scale(k, i / GROUP);
}

static size_t count(size_t k)
{
	return (kinds[k].rows ? kinds[k].rows : 1) * kinds[k].cols;
}

static void add_kind(struct buf *b, size_t k, int version)
{
	for (size_t layer = 0; layer < (kinds[k].per_layer ? LAYERS : 1); layer++) {
		for (size_t i = 0; i < count(k); i++) {
			float v = value(k, layer, i);

			if (version == 2 && kinds[k].rows)
				buf_add_byte(b, (unsigned char)(signed char)code(k, layer, i));
			else
				buf_add(b, &v, sizeof v);
		}
		for (size_t g = 0; version == 2 && kinds[k].rows && g < count(k) / GROUP; g++) {
			float s = scale(k, g);

			buf_add(b, &s, sizeof s);
		}
	}
}

static void make(struct buf *b, int version, bool shared)
{
	static const size_t order[] = { 1, 6, FINAL, 0, 2, 3, 4, 5, 7, 8, 9 };
	int32_t head[9] = { 0x616b3432, version, DIM, HIDDEN, LAYERS, HEADS, KV, WORDS, SEQ };
	int32_t group = GROUP;

	buf_clear(b);
	if (version == 0) {
		if (!shared)
			head[7] = -WORDS;
		buf_add(b, head + 2, 28);
		for (size_t k = 0; k <= FINAL; k++)
			add_kind(b, k, 0);
		buf_add_zeros(b, 4 * SEQ * (DIM / HEADS));
	} else {
		buf_add(b, head, sizeof head);
		buf_add_byte(b, shared);
		if (version == 2)
			buf_add(b, &group, sizeof group);
		buf_add_zeros(b, 256 - b->n);
		for (size_t i = 0; i < sizeof order / sizeof *order; i++)
			add_kind(b, order[i], version);
	}
	if (!shared)
		add_kind(b, OUTPUT, version);
}

static void compare(const struct source *s0, size_t k, size_t layer)
{
	struct source *s = (struct source *)s0;
	struct shape want = kinds[k].rows ? shape_of(2, kinds[k].rows, kinds[k].cols) :
	                                    shape_of(1, kinds[k].cols);
	struct arena a = { 0 };
	struct err e = { 0 };
	const struct tensor *t;
	struct bytes data;
	char name[64];

	if (kinds[k].per_layer)
		snprintf(name, sizeof name, "layers.%zu.%s", layer, kinds[k].name);
	else
		snprintf(name, sizeof name, "%s", kinds[k].name);
	t = source_find(s, name);
	ck_assert_msg(t != NULL, "%s", name);
	ck_assert(t->dtype == DT_F32 && shape_equal(&t->shape, &want));
	ok(source_data(s, t, &data, &a, &e), &e);
	ck_assert_uint_eq(data.n, 4 * count(k));
	for (size_t i = 0; i < count(k); i++) {
		float v;

		memcpy(&v, data.p + 4 * i, 4);
		ck_assert_msg(v == value(k, layer, i), "%s: [%zu]: %g", name, i, v);
	}
	arena_release(&a);
}

START_TEST(the_same_in_each_version)
{
	int version = _i / 2;
	bool shared = _i % 2, b = !shared;
	struct buf file = { 0 };
	struct source *s;
	struct err e = { 0 };
	size_t v = 0;

	make(&file, version, shared);
	put("m.bin", file.p, file.n);
	ok(source_open(&s, "m.bin", &e), &e);
	ck_assert_int_eq(source_container(s), CONTAINER_LLAMA2C);
	ck_assert_uint_eq(source_count(s), 9 * LAYERS + 2 + !shared);
	for (size_t k = 0; k < (size_t)N_KINDS - shared; k++)
		for (size_t layer = 0; layer < (kinds[k].per_layer ? LAYERS : 1); layer++)
			compare(s, k, layer);
	ck_assert(source_meta_size(s, "llama2c.hidden_dim", &v, &e) == 1 && v == HIDDEN);
	ck_assert(source_meta_size(s, "llama2c.vocab_size", &v, &e) == 1 && v == WORDS);
	ck_assert(source_meta_size(s, "llama2c.max_seq_len", &v, &e) == 1 && v == SEQ);
	ck_assert(source_meta_size(s, "llama2c.version", &v, &e) == 1 && v == (size_t)version);
	ck_assert(source_meta_size(s, "llama2c.group_size", &v, &e) == 1 &&
	          v == (version == 2 ? GROUP : 0));
	ck_assert(source_meta_bool(s, "llama2c.shared", &b, &e) == 1 && b == shared);
	source_close(s);
	buf_release(&file);
}
END_TEST

/* Field i of version 0 set to v. */
static void fails(size_t i, int32_t v, const char *why)
{
	struct buf file = { 0 };
	struct arena a = { 0 };
	struct parsed p;
	struct err e = { 0 };

	make(&file, 0, true);
	memcpy(file.p + 4 * i, &v, 4);
	refused(llama2c_parse(&p, buf_bytes(&file), &a, &e), &e, why);
	ck_assert_uint_eq(a.n_bytes, 0);
	buf_release(&file);
}

START_TEST(refusals)
{
	struct buf file = { 0 };
	struct arena a = { 0 };
	struct parsed p;
	struct err e = { 0 };
	int32_t three = 3;

	fails(0, 0, "header: dim: expected at least 1, found 0");
	fails(2, -1, "n_layers: expected at least 1, found -1");
	fails(2, INT32_MAX, "n_layers: expected at most 4096");
	fails(3, 3, "n_heads: expected heads of an even size from dim 8, found 3");
	fails(3, 8, "n_heads: expected heads of an even size");
	fails(4, 3, "n_kv_heads: expected a divisor of 4, found 3");
	fails(5, INT32_MIN, "vocab_size: expected at least 1, found -2147483648");
	fails(1, INT32_MAX, "data: expected");
	fails(6, SEQ + 1, "data: expected");
	make(&file, 1, true);
	buf_add_byte(&file, 0);
	refused(llama2c_parse(&p, buf_bytes(&file), &a, &e), &e, "data: expected");
	memcpy(file.p + 4, &three, 4);
	refused(llama2c_parse(&p, buf_bytes(&file), &a, &e), &e,
	        "version: expected 1 or 2, found 3");
	make(&file, 2, true);
	memcpy(file.p + 37, &three, 4);
	refused(llama2c_parse(&p, buf_bytes(&file), &a, &e), &e, "no multiple of the group");
	memset(file.p + 37, 0, 4);
	refused(llama2c_parse(&p, buf_bytes(&file), &a, &e), &e, "group_size: expected at least 1");
	buf_release(&file);
}
END_TEST

Suite *llama2c_suite(void)
{
	Suite *s = suite_create("llama2c");
	TCase *t = tcase_create("llama2c");

	tcase_add_checked_fixture(t, enter, leave);
	tcase_add_loop_test(t, the_same_in_each_version, 0, 6);
	tcase_add_test(t, refusals);
	suite_add_tcase(s, t);
	return s;
}
