/* SPDX-License-Identifier: MIT */
#include "text/text.h"

#include "util/utf8.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

Suite *detok_suite(void);

#define DATA "tests/data/text/"

static const struct {
	const char *file;
	enum tokenizer_kind kind;
} made[] = {
	{ DATA "byte.json", TOKENIZER_JSON },      { DATA "marks.json", TOKENIZER_JSON },
	{ DATA "spm_bpe.model", TOKENIZER_SPM },   { DATA "spm_unigram.model", TOKENIZER_SPM },
	{ DATA "llama2c.bin", TOKENIZER_LLAMA2C },
};
enum { MADE = sizeof made / sizeof *made, BYTE = 0, MARKS = 1, BPE = 2 };

static struct tokenizer *open_made(int i)
{
	struct buf b = { 0 };
	struct tokenizer *t = NULL;
	struct err e = { 0 };

	ck_assert_int_eq(file_read(&b, made[i].file, 1 << 24, &e), 0);
	ck_assert_msg(!tokenizer_parse(&t, made[i].kind, buf_bytes(&b), &e), "%s", e.text);
	buf_release(&b);
	return t;
}

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Ids of n random tokens, byte tokens often. */
static void random_ids(const struct tokenizer *t, int32_t *id, size_t n, uint32_t *seed)
{
	for (size_t i = 0; i < n; i++)
		id[i] = (int32_t)(random_next(seed) %
		                  (random_next(seed) % 3 ? 260 : tokenizer_size(t)));
}

static void feed(struct detok *d, const int32_t *id, size_t n, struct buf *out)
{
	struct err e = { 0 };
	size_t done = out->n;

	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(detok_add(d, id[i], out, &e), 0);
		ck_assert_uint_le(d->n_held, 3);
		/* whatever came is whole characters */
		ck_assert_uint_eq(utf8_valid((struct bytes){ out->p + done, out->n - done }),
		                  out->n - done);
		done = out->n;
	}
}

static void decode(struct detok *d, const int32_t *id, size_t n, struct buf *out)
{
	struct err e = { 0 };

	buf_clear(out);
	buf_add_text(out, "");
	feed(d, id, n, out);
	ck_assert_int_eq(detok_end(d, out, &e), 0);
	ck_assert_uint_eq(utf8_valid(buf_bytes(out)), out->n);
}

enum { IDS = 40 };

/* Cut at any place, the parts of a text add up: the first part's ids fed,
 * then a new detokenizer that skips them. */
START_TEST(parts_add_up_at_every_cut)
{
	struct tokenizer *t = open_made(_i);
	uint32_t seed = 3;
	struct buf whole = { 0 }, part = { 0 };
	struct detok d, next;
	struct err e = { 0 };
	int32_t id[IDS];

	for (int round = 0; round < 200; round++) {
		random_ids(t, id, IDS, &seed);
		detok_init(&d, t);
		d.keep_special = round % 2;
		decode(&d, id, IDS, &whole);
		for (size_t cut = 0; cut <= IDS; cut++) {
			buf_clear(&part);
			buf_add_text(&part, "");
			detok_init(&d, t);
			d.keep_special = round % 2;
			feed(&d, id, cut, &part);
			detok_init(&next, t);
			next.keep_special = round % 2;
			detok_skip(&next, id, cut);
			ck_assert_uint_eq(next.n_held, d.n_held);
			feed(&next, id + cut, IDS - cut, &part);
			ck_assert_int_eq(detok_end(&next, &part, &e), 0);
			ck_assert(bytes_equal(buf_bytes(&part), buf_bytes(&whole)));
		}
	}
	buf_release(&whole);
	buf_release(&part);
	tokenizer_close(t);
}
END_TEST

/* Ids of a text's bytes, one by one. */
static size_t byte_ids(const struct tokenizer *t, int which, const char *text, int32_t *id)
{
	size_t n = strlen(text);
	char name[8];

	for (size_t i = 0; i < n; i++) {
		struct bytes byte = { (const unsigned char *)text + i, 1 };

		snprintf(name, sizeof name, "<0x%02X>", byte.p[0]);
		id[i] = tokenizer_find(t, which == BYTE ? byte : bytes_of(name));
		ck_assert_int_ge(id[i], 0);
	}
	return n;
}

#define BAD "\xEF\xBF\xBD"

START_TEST(bytes_that_are_no_text)
{
	static const struct {
		const char *bytes, *by_sequence, *by_byte;
	} row[] = {
		{ "\xE6\x97\xA5", "\xE6\x97\xA5", "\xE6\x97\xA5" },
		{ "\xE6\x97", BAD, BAD BAD },
		{ "\xE6\x97"
		  "A",
		  BAD "A", BAD BAD "A" },
		{ "\xF0\x9F\x98", BAD, BAD BAD BAD },
		{ "\xF0\x9F\xE6\x97\xA5", BAD "\xE6\x97\xA5", BAD BAD "\xE6\x97\xA5" },
		{ "\x80\x80", BAD BAD, BAD BAD },
		{ "\xFF"
		  "A",
		  BAD "A", BAD "A" },
		{ "\xC0\xAF", BAD BAD, BAD BAD },
		{ "\xED\xA0\x80", BAD BAD BAD, BAD BAD BAD },
		{ "\xF4\x90\x80\x80", BAD BAD BAD BAD, BAD BAD BAD BAD },
	};
	struct tokenizer *t[] = { open_made(BYTE), open_made(MARKS), open_made(BPE) };
	struct buf out = { 0 };
	struct detok d;
	int32_t id[16];

	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		for (int k = BYTE; k <= BPE; k++) {
			const char *want = k == BYTE ? row[i].by_sequence : row[i].by_byte;

			detok_init(&d, t[k]);
			decode(&d, id, byte_ids(t[k], k, row[i].bytes, id), &out);
			ck_assert_str_eq((char *)out.p, want);
			detok_init(&d, t[k]);
			d.raw = true;
			buf_clear(&out);
			for (size_t n = byte_ids(t[k], k, row[i].bytes, id), b = 0; b < n; b++)
				ck_assert_int_eq(detok_add(&d, id[b], &out, &(struct err){ 0 }), 0);
			ck_assert_str_eq((char *)out.p, row[i].bytes);
		}
	for (int k = BYTE; k <= BPE; k++)
		tokenizer_close(t[k]);
	buf_release(&out);
}
END_TEST

START_TEST(special_tokens_are_hidden_or_shown)
{
	struct tokenizer *t = open_made(BYTE);
	int32_t id[] = { 0, tokenizer_find(t, bytes_of("The")), 1, 480 };
	struct buf out = { 0 };
	struct detok d;

	detok_init(&d, t);
	decode(&d, id, 4, &out);
	ck_assert_str_eq((char *)out.p, "The<word>");
	d.keep_special = true;
	decode(&d, id, 4, &out);
	ck_assert_str_eq((char *)out.p, "<|start|>The<|end|><word>");
	buf_release(&out);
	tokenizer_close(t);
}
END_TEST

/* The space that was put before a text is not shown, nor is one lost later. */
START_TEST(the_first_space_is_dropped)
{
	struct tokenizer *t = open_made(BPE);
	int32_t the = tokenizer_find(t, bytes_of("\xE2\x96\x81the"));
	int32_t id[] = { 1, the, the };
	struct buf out = { 0 };
	struct detok d;

	ck_assert_int_ge(the, 0);
	detok_init(&d, t);
	decode(&d, id, 3, &out);
	ck_assert_str_eq((char *)out.p, "the the");
	detok_init(&d, t);
	detok_skip(&d, id, 2);
	decode(&d, id + 2, 1, &out);
	ck_assert_str_eq((char *)out.p, " the");
	buf_release(&out);
	tokenizer_close(t);
}
END_TEST

START_TEST(ids_out_of_range_are_refused)
{
	struct tokenizer *t = open_made(BYTE);
	struct buf out = { 0 };
	struct err e = { 0 };
	struct detok d;

	detok_init(&d, t);
	ck_assert_int_eq(detok_add(&d, 483, &out, &e), -1);
	ck_assert_str_eq(e.text, "token id 483, expected 0 to 482");
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_int_eq(detok_add(&d, -1, &out, &e), -1);
	detok_skip(&d, &(int32_t){ 483 }, 1); /* no text */
	ck_assert(!d.started);
	buf_release(&out);
	tokenizer_close(t);
}
END_TEST

Suite *detok_suite(void)
{
	Suite *s = suite_create("detok");
	TCase *c = tcase_create("detok");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, parts_add_up_at_every_cut, 0, MADE);
	tcase_add_test(c, bytes_that_are_no_text);
	tcase_add_test(c, special_tokens_are_hidden_or_shown);
	tcase_add_test(c, the_first_space_is_dropped);
	tcase_add_test(c, ids_out_of_range_are_refused);
	suite_add_tcase(s, c);
	return s;
}
