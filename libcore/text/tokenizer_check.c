/* SPDX-License-Identifier: MIT */
#include "text/text.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite *tokenizer_suite(void);

#define DATA "tests/data/text/"

static const struct made {
	const char *file, *cases;
	enum tokenizer_kind kind;
	unsigned flags; /* of plain encoding */
	const char *what;
} made[] = {
	{ DATA "byte.json", DATA "byte.cases", TOKENIZER_JSON, ENCODE_PARSE_SPECIAL,
	  "byte-level BPE, 483 tokens" },
	{ DATA "marks.json", DATA "marks.cases", TOKENIZER_JSON, ENCODE_PARSE_SPECIAL,
	  "BPE, 640 tokens" },
	{ DATA "spm_bpe.model", DATA "spm_bpe.cases", TOKENIZER_SPM, 0,
	  "SentencePiece BPE, 560 tokens" },
	{ DATA "spm_unigram.model", DATA "spm_unigram.cases", TOKENIZER_SPM, 0,
	  "unigram, 300 tokens" },
	{ DATA "llama2c.bin", DATA "llama2c.cases", TOKENIZER_LLAMA2C, 0,
	  "SentencePiece BPE, 500 tokens" },
};
enum { MADE = sizeof made / sizeof *made, BYTE = 0, MARKS = 1, BPE = 2, UNIGRAM = 3 };

static struct tokenizer *open_made(const struct made *m)
{
	struct buf b = { 0 };
	struct tokenizer *t = NULL;
	struct err e = { 0 };

	ck_assert_msg(!file_read(&b, m->file, 1 << 24, &e), "%s: %s", m->file, e.text);
	ck_assert_msg(!tokenizer_parse(&t, m->kind, buf_bytes(&b), &e), "%s: %s", m->file, e.text);
	buf_release(&b);
	return t;
}

/* ---- cases: text, ids, ids with what the tokenizer adds, decoded text; a
 * tab between, "-" for nothing, bytes as \xHH */

static void unescape(struct buf *b, const char *s)
{
	unsigned byte;

	buf_clear(b);
	buf_add_text(b, "");
	if (!strcmp(s, "-"))
		return;
	for (; *s; s++)
		if (*s == '\\' && sscanf(s, "\\x%2x", &byte) == 1) {
			buf_add_byte(b, (unsigned char)byte);
			s += 3;
		} else {
			buf_add_byte(b, (unsigned char)*s);
		}
}

static void read_ids(struct ids *v, const char *s)
{
	struct err e = { 0 };
	char *end;

	v->n = 0;
	while (*s && *s != '-') {
		ck_assert_int_eq(ids_add(v, (int32_t)strtol(s, &end, 10), &e), 0);
		s = end + (*end == ' ');
	}
}

static void same_ids(const struct ids *got, const struct ids *want, const char *file,
                     const char *text)
{
	ck_assert_msg(got->n == want->n, "%s: [%s]: %zu ids, expected %zu", file, text, got->n,
	              want->n);
	for (size_t i = 0; i < got->n; i++)
		ck_assert_msg(got->id[i] == want->id[i], "%s: [%s]: id %zu is %d, expected %d",
		              file, text, i, got->id[i], want->id[i]);
}

static void decode(const struct tokenizer *t, const struct ids *v, struct buf *out)
{
	struct detok d;
	struct err e = { 0 };

	detok_init(&d, t);
	d.keep_special = true;
	buf_clear(out);
	buf_add_text(out, "");
	for (size_t i = 0; i < v->n; i++)
		ck_assert_int_eq(detok_add(&d, v->id[i], out, &e), 0);
	ck_assert_int_eq(detok_end(&d, out, &e), 0);
}

static void run_case(const struct made *m, const struct tokenizer *t, char *line)
{
	const char *text = strtok(line, "\t"), *ids = strtok(NULL, "\t");
	const char *more = strtok(NULL, "\t"), *back = strtok(NULL, "\t\n");
	struct buf b = { 0 }, out = { 0 };
	struct ids want = { 0 }, got = { 0 };
	struct err e = { 0 };

	ck_assert_ptr_nonnull(back);
	unescape(&b, text);
	read_ids(&want, ids);
	for (int again = 0; again < 2; again++) { /* the second time from the cache */
		got.n = 0;
		ck_assert_int_eq(tokenizer_encode(t, buf_bytes(&b), m->flags, &got, &e), 0);
		same_ids(&got, &want, m->cases, text);
	}
	decode(t, &got, &out);
	unescape(&b, back);
	ck_assert_msg(bytes_equal(buf_bytes(&out), buf_bytes(&b)), "%s: [%s]: decoded [%s]",
	              m->cases, text, (char *)out.p);
	if (strcmp(more, "-")) {
		unescape(&b, text);
		read_ids(&want, more);
		got.n = 0;
		ck_assert_int_eq(
			tokenizer_encode(t, buf_bytes(&b), m->flags | ENCODE_ADD_SPECIAL, &got, &e),
			0);
		same_ids(&got, &want, m->cases, text);
	}
	ids_release(&want);
	ids_release(&got);
	buf_release(&b);
	buf_release(&out);
}

START_TEST(ids_of_the_references)
{
	const struct made *m = &made[_i];
	struct tokenizer *t = open_made(m);
	FILE *f = fopen(m->cases, "r");
	char line[8192];
	int n = 0;

	ck_assert_ptr_nonnull(f);
	for (; fgets(line, sizeof line, f); n++)
		run_case(m, t, line);
	fclose(f);
	ck_assert_int_gt(n, 60);
	ck_assert_str_eq(tokenizer_describe(t), m->what);
	tokenizer_close(t);
}
END_TEST

/* ---- tokens */

START_TEST(tokens_by_id_and_text)
{
	struct tokenizer *t = open_made(&made[BYTE]);

	ck_assert_uint_eq(tokenizer_size(t), 483);
	ck_assert_int_eq(tokenizer_bos(t), 0); /* which begins each text */
	ck_assert_int_eq(tokenizer_eos(t), -1);
	ck_assert(bytes_is(tokenizer_piece(t, 297), "The"));
	ck_assert_int_eq(tokenizer_find(t, bytes_of("The")), 297);
	ck_assert(bytes_is(tokenizer_piece(t, 222), " ")); /* not as it is spelled */
	ck_assert_int_eq(tokenizer_find(t, bytes_of("<|end|>")), 1);
	ck_assert_int_eq(tokenizer_find(t, bytes_of("<word>")), 480);
	ck_assert_int_eq(tokenizer_find(t, bytes_of("no such token")), -1);
	ck_assert_int_eq(tokenizer_find(t, bytes_of("")), -1);
	ck_assert(tokenizer_special(t, 1));
	ck_assert(!tokenizer_special(t, 480));
	ck_assert(!tokenizer_special(t, -1));
	ck_assert(!tokenizer_special(t, 483));
	ck_assert_uint_eq(tokenizer_piece(t, 483).n, 0);
	ck_assert_uint_eq(tokenizer_piece(t, -1).n, 0);
	tokenizer_close(t);
	t = open_made(&made[BPE]);
	ck_assert_int_eq(tokenizer_bos(t), 1);
	ck_assert_int_eq(tokenizer_eos(t), 2);
	ck_assert(tokenizer_special(t, 0));
	ck_assert(bytes_is(tokenizer_piece(t, 4), "<0x00>"));
	tokenizer_close(t);
	tokenizer_close(NULL);
}
END_TEST

/* Untrusted text is not to become a control token. */
START_TEST(special_text_is_text_unless_asked)
{
	static const char text[] = "<|end|><s></s><unk><|start|>";
	struct err e = { 0 };

	for (int i = 0; i < MADE; i++) {
		struct tokenizer *t = open_made(&made[i]);
		struct ids v = { 0 };
		size_t n_special = 0;

		ck_assert_int_eq(tokenizer_encode(t, bytes_of(text), 0, &v, &e), 0);
		for (size_t k = 0; k < v.n; k++)
			n_special += tokenizer_special(t, v.id[k]) && i != UNIGRAM;
		ck_assert_uint_eq(n_special, 0);
		v.n = 0;
		ck_assert_int_eq(tokenizer_encode(t, bytes_of(text), ENCODE_PARSE_SPECIAL, &v, &e),
		                 0);
		for (size_t k = 0; k < v.n; k++)
			n_special += tokenizer_special(t, v.id[k]);
		ck_assert_uint_ge(n_special, 2);
		ids_release(&v);
		tokenizer_close(t);
	}
}
END_TEST

/* ---- properties */

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

START_TEST(any_bytes_come_back)
{
	struct tokenizer *t = open_made(&made[BYTE]);
	uint32_t seed = 1;
	struct err e = { 0 };
	struct detok d;
	struct ids v = { 0 };
	struct buf out = { 0 };
	unsigned char text[400];

	for (int round = 0; round < 2000; round++) {
		size_t n = random_next(&seed) % sizeof text;
		bool ascii = round % 3 == 0;

		for (size_t i = 0; i < n; i++)
			text[i] = (unsigned char)(random_next(&seed) & (ascii ? 0x7F : 0xFF));
		v.n = 0;
		ck_assert_int_eq(tokenizer_encode(t, (struct bytes){ text, n }, 0, &v, &e), 0);
		detok_init(&d, t);
		d.raw = true;
		buf_clear(&out);
		buf_add_text(&out, "");
		for (size_t i = 0; i < v.n; i++)
			ck_assert_int_eq(detok_add(&d, v.id[i], &out, &e), 0);
		ck_assert_int_eq(detok_end(&d, &out, &e), 0);
		ck_assert(bytes_equal(buf_bytes(&out), (struct bytes){ text, n }));
	}
	ids_release(&v);
	buf_release(&out);
	tokenizer_close(t);
}
END_TEST

/* Every kind takes any bytes, and what comes out is in range. */
START_TEST(any_bytes_are_taken)
{
	struct tokenizer *t = open_made(&made[_i]);
	uint32_t seed = 2;
	struct err e = { 0 };
	struct ids v = { 0 };
	unsigned char text[300];

	for (int round = 0; round < 1000; round++) {
		size_t n = random_next(&seed) % sizeof text;

		for (size_t i = 0; i < n; i++)
			text[i] = (unsigned char)random_next(&seed);
		v.n = 0;
		ck_assert_int_eq(tokenizer_encode(t, (struct bytes){ text, n },
		                                  ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &v,
		                                  &e),
		                 0);
		for (size_t i = 0; i < v.n; i++)
			ck_assert(v.id[i] >= 0 && (size_t)v.id[i] < tokenizer_size(t));
	}
	ids_release(&v);
	tokenizer_close(t);
}
END_TEST

/* A text of one long piece takes time in proportion: a quadratic merge of
 * these would take hours. */
START_TEST(long_runs_are_quick)
{
	static const char *const unit[] = {
		"a", " ", "the", "\xCC\x81\xCC\x96", "\xF0\x9F\x98\x80", "\xFF", "7", "\n"
	};
	struct tokenizer *t = open_made(&made[_i]);
	struct err e = { 0 };
	struct ids v = { 0 };
	struct buf b = { 0 };

	for (size_t k = 0; k < sizeof unit / sizeof *unit; k++) {
		buf_clear(&b);
		while (b.n < 1 << 18)
			buf_add_text(&b, unit[k]);
		v.n = 0;
		ck_assert_int_eq(tokenizer_encode(t, buf_bytes(&b), 0, &v, &e), 0);
	}
	ids_release(&v);
	buf_release(&b);
	tokenizer_close(t);
}
END_TEST

/* ---- several threads, one tokenizer */

struct at_once {
	const struct tokenizer *t;
	struct bytes text;
	struct ids ids;
	bool failed;
};

static void *encode_often(void *arg)
{
	struct at_once *a = arg;
	struct err e = { 0 };

	for (int i = 0; i < 200 && !a->failed; i++) {
		a->ids.n = 0;
		a->failed = tokenizer_encode(a->t, a->text, ENCODE_PARSE_SPECIAL, &a->ids, &e);
	}
	return NULL;
}

START_TEST(threads_share_a_tokenizer)
{
	enum { THREADS = 12 }; /* more than it keeps scratch memory for */
	struct tokenizer *t = open_made(&made[_i]);
	struct at_once a[THREADS] = { { 0 } };
	struct buf text = { 0 };
	pthread_t thread[THREADS];

	while (text.n < 4000)
		buf_add_text(&text, "the pipe froze, don't they'll \xC3\xA9 <|end|> 123\n");
	for (int i = 0; i < THREADS; i++) {
		a[i].t = t;
		a[i].text = buf_bytes(&text);
		ck_assert_int_eq(pthread_create(&thread[i], NULL, encode_often, &a[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
		ck_assert(!a[i].failed);
		same_ids(&a[i].ids, &a[0].ids, made[_i].file, "threads");
	}
	for (int i = 0; i < THREADS; i++)
		ids_release(&a[i].ids);
	buf_release(&text);
	tokenizer_close(t);
}
END_TEST

/* ---- speed */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

START_TEST(speed_of_encoding)
{
	struct tokenizer *t = open_made(&made[_i]);
	struct buf text = { 0 };
	struct err e = { 0 };
	struct ids v = { 0 };
	double best = 1e9;

	ck_assert_int_eq(file_read(&text, "tests/data/demo/heldout.txt", 1 << 24, &e), 0);
	for (int i = 0; i < 9; i++) {
		double from = seconds(), took;

		v.n = 0;
		ck_assert_int_eq(tokenizer_encode(t, buf_bytes(&text), 0, &v, &e), 0);
		took = seconds() - from;
		best = took < best ? took : best;
	}
	printf("%s: %zu bytes, %.1f MB/s\n", made[_i].what, text.n, (double)text.n / best / 1e6);
	ids_release(&v);
	buf_release(&text);
	tokenizer_close(t);
}
END_TEST

Suite *tokenizer_suite(void)
{
	Suite *s = suite_create("tokenizer");
	TCase *c = tcase_create("tokenizer");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, ids_of_the_references, 0, MADE);
	tcase_add_test(c, tokens_by_id_and_text);
	tcase_add_test(c, special_text_is_text_unless_asked);
	tcase_add_test(c, any_bytes_come_back);
	tcase_add_loop_test(c, any_bytes_are_taken, 0, MADE);
	tcase_add_loop_test(c, long_runs_are_quick, 0, MADE);
	tcase_add_loop_test(c, threads_share_a_tokenizer, 0, MADE);
	suite_add_tcase(s, c);
	c = tcase_create("speed");
	tcase_set_tags(c, "bench");
	tcase_add_loop_test(c, speed_of_encoding, 0, MADE);
	suite_add_tcase(s, c);
	return s;
}
