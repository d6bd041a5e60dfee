/* SPDX-License-Identifier: MIT */
/* convert_check.c - forms that change without loss, tokenizers written anew */
#include "convert/plan.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *convert_suite(void);

static uint32_t state = 12345;

static uint32_t draw(void)
{
	state = state * 1664525u + 1013904223u;
	return state >> 8;
}

/* ---- affine codes as GGUF blocks */

enum { COLS = 256 };

struct row {
	unsigned char q[COLS];
	uint16_t scale[COLS / 32], bias[COLS / 32];
};

static uint16_t half_of(enum dtype t, float v)
{
	return t == DT_F16 ? f16_from_f32(v) : bf16_from_f32(v);
}

static float float_of(enum dtype t, uint16_t h)
{
	return t == DT_F16 ? f16_to_f32(h) : bf16_to_f32(h);
}

/* offset: the bias is that many scales, 0: any. */
static void fill(struct row *r, enum dtype t, float offset)
{
	for (size_t i = 0; i < sizeof r->q; i++)
		r->q[i] = (unsigned char)draw();
	for (size_t i = 0; i < COLS / 32; i++) {
		r->scale[i] = half_of(t, ((float)(draw() % 2000) - 1000) / 65536);
		r->bias[i] = half_of(t, offset != 0 ? offset * float_of(t, r->scale[i])
		                                    : ((float)(draw() % 2000) - 1000) / 4096);
	}
}

static const struct {
	unsigned bits;
	float offset;
	enum dtype want;
} fits[] = {
	{ 4, -8, DT_Q4_0 },   { 4, 0, DT_Q4_1 },   { 5, -16, DT_Q5_0 },
	{ 5, 0, DT_Q5_1 },    { 8, -128, DT_Q8_0 }, { 3, 0, DT_Q4_1 },
	{ 2, 0, DT_Q4_1 },    { 6, 0, DT_COUNT },  { 8, 0, DT_COUNT },
};

START_TEST(blocks_hold_the_same_numbers)
{
	static const enum dtype types[] = { DT_F16, DT_BF16 };
	unsigned bits = fits[_i].bits;

	for (unsigned group = 32; group <= 128; group *= 2) {
		for (size_t k = 0; k < 2; k++) {
			enum dtype t = types[k], to;
			unsigned char out[COLS * 2];
			float a[COLS], b[COLS];
			struct row r;

			fill(&r, t, fits[_i].offset);
			to = blocks_for(bits, group, t, r.scale, r.bias, COLS / group);
			ck_assert_int_eq(to, fits[_i].want);
			if (to == DT_COUNT)
				continue;
			blocks_from_affine(out, to, r.q, r.scale, r.bias, t, COLS, bits, group);
			ck_assert(dtype_to_f32(to, a, out, COLS));
			affine_dequantize_row(b, r.q, r.scale, r.bias, t, COLS, bits, group);
			for (size_t i = 0; i < COLS; i++)
				ck_assert_msg(a[i] == b[i], "%u bits, %zu: %g, %g", bits, i,
				              (double)a[i], (double)b[i]);
		}
	}
}
END_TEST

START_TEST(numbers_that_f16_lacks_do_not_fit)
{
	float scale = 1.0f / 3, bias = 0.5f;
	uint16_t huge = bf16_from_f32(1e6f), tiny = bf16_from_f32(1e-12f), one = bf16_from_f32(1);

	ck_assert_int_eq(blocks_for(4, 32, DT_F32, &scale, &bias, 1), DT_COUNT);
	ck_assert_int_eq(blocks_for(4, 32, DT_BF16, &huge, &one, 1), DT_COUNT);
	ck_assert_int_eq(blocks_for(4, 32, DT_BF16, &tiny, &one, 1), DT_COUNT);
	ck_assert_int_eq(blocks_for(4, 32, DT_BF16, &one, &huge, 1), DT_COUNT);
	ck_assert_int_eq(blocks_for(4, 16, DT_BF16, &one, &one, 1), DT_COUNT);
	ck_assert_int_eq(blocks_for(4, 32, DT_BF16, &one, &one, 1), DT_Q4_1);
}
END_TEST

/* ---- a vocabulary as tokenizer.json, read again */

static void expect(const struct vocab_export *v, const char *text, const int32_t *want, size_t n)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct tokenizer *t = NULL;
	struct ids ids = { 0 };

	ck_assert_msg(tokenizer_text(&b, v, &e) == 0, "%s", e.text);
	ck_assert_msg(tokenizer_parse(&t, TOKENIZER_JSON, buf_bytes(&b), &e) == 0, "%s", e.text);
	ck_assert(tokenizer_encode(t, bytes_of(text), ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &ids,
	                           &e) == 0);
	ck_assert_uint_eq(ids.n, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(ids.id[i], want[i]);
	ids_release(&ids);
	tokenizer_close(t);
	buf_release(&b);
}

static void views(struct bytes *out, const char *const *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = bytes_of(text[i]);
}

START_TEST(byte_level)
{
	static const char *const token[] = { "a", "b", "c", "\304\240", "ab",
		                             "\304\240ab", "<|end|>", "[PAD7]" };
	static const char *const merge[] = { "a b", "\304\240 ab" };
	static const int32_t type[] = { 1, 1, 1, 1, 1, 1, 3, 5 };
	static const int32_t want[] = { 6, 4, 2, 5, 6 };
	struct bytes tokens[8], merges[2];
	struct vocab_export v = { .model = "gpt2", .pre = "qwen2", .n_tokens = 8, .n_merges = 2,
		                  .tokens = tokens, .types = type, .merges = merges, .bos = 6,
		                  .eos = 6, .unk = -1, .pad = -1, .add_bos = true };

	views(tokens, token, 8);
	views(merges, merge, 2);
	expect(&v, "abc ab<|end|>", want, 5);
	v.add_bos = false;
	expect(&v, "abc ab<|end|>", want + 1, 4);
	v.add_eos = true;
	expect(&v, "abc ab", want + 1, 4);
}
END_TEST

START_TEST(sentencepiece)
{
	static const char *const token[] = { "<unk>", "<s>", "</s>", "<0x0A>",
		                             "\342\226\201", "a", "b", "c", "ab", "bc",
		                             "\342\226\201ab", "abc" };
	static const int32_t type[] = { 2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1 };
	/* "bc" before "ab", and "abc" last */
	static const float score[] = { 0, 0, 0, 0, -9, -9, -9, -9, -2, -1, -3, -4 };
	static const int32_t want[] = { 1, 4, 11, 3, 8 };
	struct bytes tokens[12];
	struct vocab_export v = { .model = "llama", .pre = "default", .n_tokens = 12, .tokens = tokens,
		                  .types = type, .scores = score, .bos = 1, .eos = 2, .unk = 0,
		                  .pad = -1, .add_bos = true, .add_space_prefix = true };

	views(tokens, token, 12);
	expect(&v, "abc\nab", want, 5);
}
END_TEST

START_TEST(unknown_rules_are_refused)
{
	static const char *const names[] = { "", " ", "zebra", "llama", "gpt-2 phi-2" };
	struct vocab_export v = { .model = "gpt2", .bos = -1, .eos = -1, .unk = -1, .pad = -1 };
	struct buf b = { 0 };
	struct err e;

	v.pre = names[_i];
	ck_assert_int_eq(tokenizer_text(&b, &v, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	buf_release(&b);
}
END_TEST

Suite *convert_suite(void)
{
	Suite *s = suite_create("convert");
	TCase *t = tcase_create("convert");

	tcase_add_loop_test(t, blocks_hold_the_same_numbers, 0, sizeof fits / sizeof *fits);
	tcase_add_test(t, numbers_that_f16_lacks_do_not_fit);
	tcase_add_test(t, byte_level);
	tcase_add_test(t, sentencepiece);
	tcase_add_loop_test(t, unknown_rules_are_refused, 0, 5);
	suite_add_tcase(s, t);
	return s;
}
