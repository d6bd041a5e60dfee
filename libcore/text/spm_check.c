/* SPDX-License-Identifier: MIT */
#include "text/spm.h"

#include "text/text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *spm_suite(void);

/* ---- protocol buffers, as small as they come */

static void add_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_add_byte(b, (unsigned char)(v | 0x80));
	buf_add_byte(b, (unsigned char)v);
}

static void add_bytes(struct buf *b, unsigned field, struct bytes v)
{
	add_varint(b, field << 3 | 2);
	add_varint(b, v.n);
	buf_add(b, v.p, v.n);
}

static void add_number(struct buf *b, unsigned field, uint64_t v)
{
	add_varint(b, field << 3);
	add_varint(b, v);
}

static void add_piece(struct buf *b, const char *text, float score, unsigned type)
{
	struct buf p = { 0 };

	add_bytes(&p, 1, bytes_of(text));
	add_varint(&p, 2 << 3 | 5);
	buf_add(&p, &score, sizeof score);
	add_number(&p, 3, type);
	add_bytes(b, 1, buf_bytes(&p));
	buf_release(&p);
}

enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE };

/* A model of its own: `normalizer` and `trainer` are the specs' bytes. */
static struct buf model(const char *const *piece, size_t n, unsigned type, struct buf *normalizer)
{
	struct buf b = { 0 }, trainer = { 0 };

	add_piece(&b, "<unk>", 0, UNKNOWN);
	for (size_t i = 0; i < n; i++)
		add_piece(&b, piece[i] + 1, -(float)i - 1, (unsigned)(piece[i][0] - '0'));
	add_number(&trainer, 3, type);
	add_bytes(&b, 2, buf_bytes(&trainer));
	add_bytes(&b, 3, buf_bytes(normalizer));
	buf_release(&trainer);
	return b;
}

static void gives(struct buf *file, const char *text, const char *pieces)
{
	struct tokenizer *t = NULL;
	struct err e = { 0 };
	struct ids v = { 0 };
	struct buf b = { 0 };

	ck_assert_msg(!tokenizer_parse(&t, TOKENIZER_SPM, buf_bytes(file), &e), "%s", e.text);
	ck_assert_int_eq(tokenizer_encode(t, bytes_of(text), 0, &v, &e), 0);
	buf_add_text(&b, "");
	for (size_t i = 0; i < v.n; i++) {
		struct bytes p = tokenizer_piece(t, v.id[i]);

		buf_add_text(&b, i ? " " : "");
		buf_add(&b, p.p, p.n);
	}
	ck_assert_str_eq((char *)b.p, pieces);
	buf_release(&b);
	ids_release(&v);
	tokenizer_close(t);
}

static void refused(struct buf *file, const char *message)
{
	struct tokenizer *t = NULL;
	struct err e = { 0 };

	ck_assert_int_eq(tokenizer_parse(&t, TOKENIZER_SPM, buf_bytes(file), &e), -1);
	ck_assert_str_eq(e.text, message);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	buf_release(file);
}

#define N(a) (sizeof(a) / sizeof *(a))

/* A double array of one rule, "A" to "bb": a root, a node for the letter, a
 * leaf. Offsets are from the unit itself, by exclusive or. */
static void add_charsmap(struct buf *normalizer)
{
	static const char texts[] = "\0bb";
	struct buf b = { 0 };
	uint32_t unit[256] = { 0 }, n = sizeof unit;

	unit[0] = 1u << 10; /* children at 0 ^ 1 ^ label */
	unit[1 ^ 'A'] = 2u << 10 | 1u << 8 | 'A';
	unit[1 ^ 'A' ^ 2] = 1u << 31 | 1; /* the text at place 1 */
	buf_add(&b, &n, sizeof n);
	buf_add(&b, unit, sizeof unit);
	buf_add(&b, texts, sizeof texts);
	add_bytes(normalizer, 2, buf_bytes(&b));
	buf_release(&b);
}

START_TEST(the_normalizer_prepares_text)
{
	static const char *const piece[] = { "1\xE2\x96\x81",
		                             "1"
		                             "a",
		                             "1"
		                             "b",
		                             "4"
		                             "aa" };
	struct buf n = { 0 }, f;

	buf_add_text(&n, "");
	f = model(piece, N(piece), 2, &n);
	gives(&f, "  a  b ", "\xE2\x96\x81 a \xE2\x96\x81 b"); /* collapsed, one before */
	gives(&f, "   ", "");
	gives(&f, "aaab", "\xE2\x96\x81 aa a b"); /* the user's symbol is whole */
	buf_release(&f);
	add_number(&n, 3, 0);
	add_number(&n, 4, 0);
	f = model(piece, N(piece), 2, &n);
	gives(&f, " a b", "\xE2\x96\x81 a \xE2\x96\x81 b");
	gives(&f, "a  ", "a \xE2\x96\x81 \xE2\x96\x81");
	buf_release(&f);
	add_charsmap(&n);
	f = model(piece, N(piece), 2, &n);
	gives(&f, "aAa", "a b b a");
	buf_release(&f);
	buf_release(&n);
}
END_TEST

START_TEST(scores_decide)
{
	/* earlier pieces score higher */
	static const char *const piece[] = { "1"
		                             "bc",
		                             "1"
		                             "ab",
		                             "1"
		                             "a",
		                             "1"
		                             "b",
		                             "1"
		                             "c",
		                             "1"
		                             "abc",
		                             "5"
		                             "cc" };
	struct buf n = { 0 }, f;

	add_number(&n, 3, 0);
	f = model(piece, N(piece), 2, &n);
	gives(&f, "ab", "ab");
	gives(&f, "aba", "ab a");
	gives(&f, "abc", "abc"); /* bc first, then a with bc */
	gives(&f, "abab", "ab ab");
	gives(&f, "cc", "c c"); /* joined, but not to be used */
	gives(&f, "axxb", "a <unk> b");
	buf_release(&f);
	f = model(piece, N(piece), 1, &n);
	gives(&f, "abc", "a bc");
	gives(&f, "cc", "c c");
	gives(&f, "axxb", "a <unk> b");
	buf_release(&f);
	buf_release(&n);
}
END_TEST

START_TEST(models_are_refused)
{
	static const char *const twice[] = { "1"
		                             "a",
		                             "1"
		                             "a" };
	static const char *const empty[] = { "1" };
	static const char *const type[] = { "9"
		                            "a" };
	static const char *const one[] = { "1"
		                           "a" };
	struct buf n = { 0 }, f = { 0 }, map = { 0 };

	buf_add_text(&f, "");
	refused(&f, "no piece is the unknown one");
	buf_add_text(&n, "");
	f = model(twice, N(twice), 2, &n);
	refused(&f, "piece 3: is there twice");
	f = model(empty, N(empty), 2, &n);
	refused(&f, "piece 1: empty");
	f = model(type, N(type), 2, &n);
	refused(&f, "piece 1: type 9");
	f = model(one, N(one), 3, &n);
	refused(&f, "trainer_spec: model_type 3 is not supported");
	f = (struct buf){ 0 };
	add_piece(&f, "a", 1.0f / 0.0f, NORMAL);
	refused(&f, "piece 0: its score is not finite");
	add_piece(&f, "a", 0, UNKNOWN);
	add_piece(&f, "b", 0, UNKNOWN);
	refused(&f, "piece 2: a second unknown piece");
	add_piece(&f, "a", 0, UNKNOWN);
	add_number(&map, 35, 1);
	add_bytes(&f, 2, buf_bytes(&map));
	refused(&f, "byte_fallback without the piece <0x00>");
	add_bytes(&n, 2, bytes_of("\x08\0\0\0...."));
	f = model(one, N(one), 2, &n);
	refused(&f, "normalizer_spec: precompiled_charsmap: 1 bytes do not hold a trie of 0");
	buf_add_text(&f, "\x0a\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F");
	refused(&f, "byte 0: a field of 9223372036854775807 bytes, 0 are left");
	buf_add_text(&f, "\x0b");
	refused(&f, "byte 0: wire type 3");
	buf_add_text(&f, "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01");
	refused(&f, "byte 0: no field");
	buf_release(&n);
	buf_release(&map);
}
END_TEST

/* Any bytes as a table of rules: nothing is read outside, every walk ends. */
START_TEST(malformed_rules_do_no_harm)
{
	struct arena a = { 0 };
	struct charsmap c = { 0 };
	struct err e = { 0 };
	struct bytes out;
	uint32_t seed = 1, n = 512;
	unsigned char blob[4 + 512 + 64], text[32];

	for (int round = 0; round < 5000; round++) {
		for (size_t i = 4; i < sizeof blob; i++) {
			seed = seed * 1664525u + 1013904223u;
			blob[i] = (unsigned char)(seed >> 24);
			text[i % sizeof text] = (unsigned char)(seed >> 16);
		}
		memcpy(blob, &n, sizeof n);
		blob[sizeof blob - 1] = 0;
		ck_assert_int_eq(charsmap_init(&c, (struct bytes){ blob, sizeof blob }, &a, &e), 0);
		ck_assert_uint_le(charsmap_find(&c, (struct bytes){ text, sizeof text }, &out),
		                  sizeof text);
		arena_release(&a);
	}
	n = 511;
	memcpy(blob, &n, sizeof n);
	ck_assert_int_eq(charsmap_init(&c, (struct bytes){ blob, sizeof blob }, &a, &e), -1);
	blob[sizeof blob - 1] = 1;
	n = 512;
	memcpy(blob, &n, sizeof n);
	ck_assert_int_eq(charsmap_init(&c, (struct bytes){ blob, sizeof blob }, &a, &e), -1);
	ck_assert_str_eq(e.text, "precompiled_charsmap: its last text does not end");
	arena_release(&a);
}
END_TEST

/* Cut anywhere, a model is refused or still one; nothing worse. */
START_TEST(every_cut)
{
	static const struct {
		const char *path;
		enum tokenizer_kind kind;
	} row[] = {
		{ "tests/data/text/spm_bpe.model", TOKENIZER_SPM },
		{ "tests/data/text/spm_unigram.model", TOKENIZER_SPM },
		{ "tests/data/text/llama2c.bin", TOKENIZER_LLAMA2C },
	};
	struct buf b = { 0 };
	struct err e = { 0 };
	struct tokenizer *t;
	int n_taken = 0;

	ck_assert_int_eq(file_read(&b, row[_i].path, 1 << 20, &e), 0);
	for (size_t n = 0; n < b.n; n += 1 + n / 300) {
		unsigned char *copy = malloc(n ? n : 1); /* for a sanitizer to see its end */

		memcpy(copy, b.p, n);
		if (!tokenizer_parse(&t, row[_i].kind, (struct bytes){ copy, n }, &e)) {
			tokenizer_close(t);
			n_taken++;
		}
		free(copy);
	}
	ck_assert_int_lt(n_taken, 80); /* only cuts between records can pass */
	buf_release(&b);
}
END_TEST

START_TEST(llama2c_vocabularies_are_refused)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *message;
	} row[] = {
		{ "", 0, "ends early, at byte 0" },
		{ "\4\0\0\0", 4, "0 tokens, at least 259" },
		{ "\4\0\0\0\0\0\0\0\xFF\xFF\xFF\x7Fxyz", 15,
		  "byte 4: token 0: 2147483647 bytes, 3 are left" },
		{ "\4\0\0\0\0\0\0\0\xFF\xFF\xFF\xFFxyz", 15,
		  "byte 4: token 0: -1 bytes, 3 are left" },
		{ "\4\0\0\0\0\0\xC0\x7F\1\0\0\0x", 13, "byte 4: token 0: its score is not finite" },
	};
	struct tokenizer *t = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < N(row); i++) {
		struct bytes file = { (const unsigned char *)row[i].bytes, row[i].n };

		ck_assert_int_eq(tokenizer_parse(&t, TOKENIZER_LLAMA2C, file, &e), -1);
		ck_assert_str_eq(e.text, row[i].message);
	}
}
END_TEST

Suite *spm_suite(void)
{
	Suite *s = suite_create("spm");
	TCase *c = tcase_create("spm");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, the_normalizer_prepares_text);
	tcase_add_test(c, scores_decide);
	tcase_add_test(c, models_are_refused);
	tcase_add_test(c, malformed_rules_do_no_harm);
	tcase_add_loop_test(c, every_cut, 0, 3);
	tcase_add_test(c, llama2c_vocabularies_are_refused);
	suite_add_tcase(s, c);
	return s;
}
