/* SPDX-License-Identifier: MIT */
#include "text/scan.h"

#include "text/pre.h"
#include "text/regex.h"
#include "util/buf.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite *scan_suite(void);

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

enum { CHARS = 0x20000 };

/* Characters that both libraries know: utf8proc has the newer Unicode. */
static void find_known(bool known[CHARS])
{
	struct err e = { 0 };
	struct regex *r = NULL;
	struct span m;
	unsigned char ch[4];
	struct regex_room room = { 0 };

	ck_assert_int_eq(regex_room_begin(&room, CHARS, &e), 0);
	ck_assert_int_eq(regex_open(&r, bytes_of("\\P{Cn}"), REGEX_OURS, &e), 0);
	for (uint32_t cp = 0; cp < CHARS; cp++) {
		size_t n = cp >= 0xD800 && cp < 0xE000 ? 0 : (size_t)utf8_encode(ch, cp);

		known[cp] = n && chars_class(cp) &&
		            regex_find(r, &room, (struct bytes){ ch, n }, 0, &m, &e) == 1;
	}
	regex_close(r);
	regex_room_release(&room);
}

/* Characters that patterns tell apart, often; else any known one. */
static uint32_t random_char(const bool known[CHARS], uint32_t *seed)
{
	static const uint32_t few[] = {
		' ',    ' ',    ' ',    '\n',   '\r',    '\t',   0x0B,    0x85,    0xA0,
		0x3000, 0x2028, 0x180E, 0x200B, 0x200D,  '\'',   '\'',    's',     'S',
		't',    'T',    'r',    'R',    'e',     'E',    'v',     'm',     'l',
		'L',    'd',    'D',    0x17F,  0x212A,  'a',    'A',     'z',     '1',
		'2',    0xB2,   0x663,  0x2167, '/',     '!',    '.',     '_',     '+',
		0x301,  0x316,  0x903,  0x20DD, 0xE9,    0xC9,   0x1C5,   0x2B0,   0xAA,
		0x65E5, 0x30AB, 0xAC00, 0x627,  0x1F600, 0xE000, 0x10400, 0x10428, 0xDF,
	};
	uint32_t cp;

	if (random_next(seed) % 4)
		return few[random_next(seed) % (sizeof few / sizeof *few)];
	do
		cp = random_next(seed) % CHARS;
	while (!known[cp]);
	return cp;
}

static void random_text(struct buf *b, const bool known[CHARS], uint32_t *seed)
{
	unsigned char ch[4];
	size_t n = random_next(seed) % 40;

	buf_clear(b);
	buf_add_text(b, "");
	while (n--) {
		uint32_t cp = random_char(known, seed);
		size_t again = random_next(seed) % 8 ? 1 : random_next(seed) % 5;

		while (again--)
			buf_add(b, ch, (size_t)utf8_encode(ch, cp));
	}
}

/* The end of the piece at `at`, as the expression has it: a match there, or
 * the stretch up to the next one. */
static size_t regex_piece(const struct regex *r, struct regex_room *room, struct bytes t, size_t at)
{
	struct err e = { 0 };
	struct span m;
	int found = regex_find(r, room, t, at, &m, &e);

	ck_assert_int_ge(found, 0);
	if (!found)
		return t.n;
	return m.begin > at ? m.begin : m.end;
}

static void compare(const struct scan *s, uint32_t seed, int rounds)
{
	struct regex *r = NULL;
	struct err e = { 0 };
	struct buf b = { 0 };
	bool *known = malloc(CHARS * sizeof *known);
	struct regex_room room = { 0 };

	ck_assert_ptr_nonnull(known);
	ck_assert_int_eq(regex_room_begin(&room, 0, &e), 0);
	find_known(known);
	ck_assert_int_eq(regex_open(&r, bytes_of(s->pattern), REGEX_OURS, &e), 0);
	ck_assert_ptr_eq(scan_find(bytes_of(s->pattern)), s);
	for (int round = 0; round < rounds; round++) {
		struct bytes t;

		random_text(&b, known, &seed);
		t = buf_bytes(&b);
		for (size_t at = 0; at < t.n;) {
			size_t n = s->piece(s, t.p + at, t.n - at);

			ck_assert_msg(at + n == regex_piece(r, &room, t, at),
			              "%s: [%.*s]: the piece at %zu has %zu bytes, expected %zu",
			              s->pattern, (int)t.n, (const char *)t.p, at, n,
			              regex_piece(r, &room, t, at) - at);
			at += n;
		}
	}
	buf_release(&b);
	regex_close(r);
	regex_room_release(&room);
	free(known);
}

START_TEST(scanners_are_their_expressions)
{
	compare(scan_at((size_t)_i), 1 + (uint32_t)_i, 10000);
}
END_TEST

/* Many texts, from a seed that tells the day's run from others. */
START_TEST(scanners_are_their_expressions_for_long)
{
	uint32_t seed = (uint32_t)time(NULL) + (uint32_t)_i;

	printf("%s: seed %u\n", scan_at((size_t)_i)->pattern, seed);
	compare(scan_at((size_t)_i), seed, 1000000);
}
END_TEST

/* With bytes that are no text a scanner still moves on and stays inside. */
START_TEST(scanners_take_any_bytes)
{
	const struct scan *s = scan_at((size_t)_i);
	uint32_t seed = 7;
	unsigned char text[64];

	for (int round = 0; round < 20000; round++) {
		size_t n = 1 + random_next(&seed) % sizeof text, got;
		unsigned char *p = malloc(n); /* for a sanitizer to see its end */

		for (size_t i = 0; i < n; i++)
			p[i] = (unsigned char)random_next(&seed);
		for (size_t at = 0; at < n; at += got) {
			got = s->piece(s, p + at, n - at);
			ck_assert(got > 0 && got <= n - at);
		}
		free(p);
	}
}
END_TEST

START_TEST(the_alphabet_is_one_to_one)
{
	unsigned char ch[8], back[8];
	bool seen[0x144] = { false };

	for (unsigned b = 0; b < 256; b++) {
		uint16_t cp = alphabet_of_byte[b];
		size_t n = (size_t)utf8_encode(ch, cp);

		ck_assert(cp < 0x144 && !seen[cp]);
		seen[cp] = true;
		ck_assert_int_eq(alphabet_byte(cp), (int)b);
		ck_assert_uint_eq(alphabet_read(back, (struct bytes){ ch, n }), 1);
		ck_assert_uint_eq(back[0], b);
	}
	ck_assert_uint_eq(alphabet_of_byte[' '], 0x120);
	ck_assert_uint_eq(alphabet_of_byte[0xAD], 0x143);
	ck_assert_int_eq(alphabet_byte(' '), -1);
	ck_assert_int_eq(alphabet_byte(0x144), -1);
	ck_assert_uint_eq(alphabet_read(back, bytes_of(" ")), ALPHABET_NONE);
	ck_assert_uint_eq(alphabet_read(back, bytes_of("\xE2\x96\x81")), ALPHABET_NONE);
	ck_assert_uint_eq(alphabet_read(back, bytes_of("\xC4")), ALPHABET_NONE);
}
END_TEST

START_TEST(ascii_is_as_unicode_says)
{
	for (uint32_t c = 0; c < 128; c++) {
		unsigned k = chars_ascii[c];
		bool up = c >= 'A' && c <= 'Z', low = c >= 'a' && c <= 'z';
		bool digit = c >= '0' && c <= '9';

		ck_assert_uint_eq(!!(k & CH_LETTER), up || low);
		ck_assert_uint_eq(!!(k & CH_UPPER), up);
		ck_assert_uint_eq(!!(k & CH_LOWER), low);
		ck_assert_uint_eq(!!(k & CH_NUMBER), digit);
		ck_assert_uint_eq(!!(k & CH_SPACE), c == ' ' || (c >= 9 && c <= 13));
		ck_assert_uint_eq(!!(k & CH_NEWLINE), c == '\n' || c == '\r');
		ck_assert_uint_eq(!!(k & CH_SYMBOL), c && strchr("$+<=>^`|~", (int)c) != NULL);
		ck_assert_uint_eq(!!(k & CH_PUNCT),
		                  c && strchr("!\"#%&'()*,-./:;?@[\\]_{}", (int)c) != NULL);
		ck_assert_uint_eq(!!(k & CH_WORD), up || low || digit || c == '_');
	}
}
END_TEST

/* ---- expressions of files */

START_TEST(expressions_mean_what_oniguruma_means)
{
	static const struct {
		const char *pattern, *text;
		size_t begin, end;
	} row[] = {
		{ "\\s+", "a\xE1\xA0\x8E b", 4, 5 }, /* U+180E is no white space */
		{ "[\\s!]+", "a\xC2\xA0! b", 1, 5 },
		{ "\\S+", " \xE1\xA0\x8E ", 1, 4 },
		{ "\\w+", "-e\xCC\x81\xC2\xB2-", 1, 6 }, /* marks; Latin-1's numbers */
		{ "\\w+", "\xE2\x91\xA0", SIZE_MAX, 0 }, /* but not the circled one */
		{ "\\bb", "ab b", 3, 4 },
		{ "b$", "b\nc", 0, 1 }, /* at every line's end */
		{ "\\h+", "xyzAf0g", 3, 6 },
		{ "(?i:'s)", "'\xC5\xBF", 0, 3 },
		{ "a++b", "aab", 0, 3 },
		/* U+3002 is written with Han, and is not of it */
		{ "\\p{Han}+", "\xE3\x80\x82\xE6\x97\xA5", 3, 6 },
		{ "[a\\p{Han}]+", "\xE3\x80\x82\xE6\x97\xA5", 3, 6 },
		{ "\\P{Han}+", "\xE6\x97\xA5\xE3\x80\x82", 3, 6 },
		{ "\\p{^Han}+", "\xE6\x97\xA5\xE3\x80\x82", 3, 6 },
		{ "\\p{Alphabetic}+", "-a", 1, 2 },
	};
	struct err e = { 0 };
	struct regex *r;
	struct regex_room room = { 0 };
	struct span m;

	ck_assert_int_eq(regex_room_begin(&room, 0, &e), 0);
	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		bool none = row[i].begin == SIZE_MAX;

		ck_assert_msg(!regex_open(&r, bytes_of(row[i].pattern), REGEX_FILE, &e), "%s",
		              e.text);
		ck_assert_int_eq(regex_find(r, &room, bytes_of(row[i].text), 0, &m, &e), !none);
		if (!none)
			ck_assert_msg(m.begin == row[i].begin && m.end == row[i].end,
			              "%s: %zu to %zu", row[i].pattern, m.begin, m.end);
		regex_close(r);
	}
	regex_close(NULL);
	regex_room_release(&room);
}
END_TEST

START_TEST(bad_expressions_are_refused)
{
	static const struct {
		const char *pattern, *message;
	} row[] = {
		{ "([", "expression, byte 2: missing terminating ] for character class" },
		{ "[a&&b]", "expression, byte 2: a class within a class is not supported" },
		{ "[a[b]]", "expression, byte 2: a class within a class is not supported" },
		{ "a{2,1}", "expression, byte 5: numbers out of order in {} quantifier" },
		{ "\\C", "expression, byte 2: using \\C is disabled by the application" },
	};
	struct regex *r = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		ck_assert_int_eq(regex_open(&r, bytes_of(row[i].pattern), REGEX_FILE, &e), -1);
		ck_assert_str_eq(e.text, row[i].message);
		ck_assert_int_eq(e.kind, ERR_INPUT);
	}
}
END_TEST

/* One match without end, and many that each look far ahead. */
START_TEST(endless_matching_ends)
{
	static const char *const pattern[] = { "(a|aa)+$(?<=b)", "a(?=(?:a{3})*$)" };
	struct err e = { 0 };
	struct regex *r = NULL;
	struct regex_room room = { 0 };
	struct buf b = { 0 };
	struct span m;
	size_t from = 0;
	int found;

	while (b.n < (_i ? 1 << 18 : 40))
		buf_add_byte(&b, 'a');
	ck_assert_int_eq(regex_open(&r, bytes_of(pattern[_i]), REGEX_FILE, &e), 0);
	ck_assert_int_eq(regex_room_begin(&room, b.n, &e), 0);
	while ((found = regex_find(r, &room, buf_bytes(&b), from, &m, &e)) == 1)
		from = m.end;
	ck_assert_int_eq(found, -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_str_eq(e.text, "expression: match limit exceeded");
	regex_close(r);
	regex_room_release(&room);
	buf_release(&b);
}
END_TEST

START_TEST(ways_of_cutting_by_name)
{
	struct splitter s = { 0 };
	struct err e = { 0 };
	unsigned flags;

	ck_assert_int_eq(pre_read(&s, &flags, bytes_of("llama3"), &e), 0);
	ck_assert_uint_eq(flags, PRE_WHOLE | PRE_BOS);
	ck_assert_int_eq(s.step[0].kind, STEP_SCAN);
	ck_assert(!strncmp(pre_name(&s, true), "llama-bpe ", 10));
	ck_assert(!strncmp(pre_name(&s, false), "dbrx ", 5));
	splitter_release(&s);
	ck_assert_int_eq(pre_read(&s, &flags, bytes_of("starcoder"), &e), 0);
	ck_assert_uint_eq(s.n, 2);
	ck_assert(!strncmp(pre_name(&s, false), "starcoder ", 10));
	ck_assert_ptr_null(pre_name(&s, true));
	splitter_release(&s);
	ck_assert_int_eq(pre_read(&s, &flags, bytes_of("llama"), &e), -1);
	ck_assert_str_eq(e.text, "\"llama\" is not supported");
	ck_assert_int_eq(pre_read(&s, &flags, bytes_of(""), &e), -1);
}
END_TEST

static int note_piece(void *to, struct bytes piece, struct err *e)
{
	struct buf *b = to;

	(void)e;
	buf_add_text(b, b->n ? "|" : "");
	buf_add(b, piece.p, piece.n);
	return 0;
}

/* Digits in threes from the right; text that no scanner of ours cuts. */
START_TEST(expressions_cut_by_name)
{
	static const struct {
		const char *name, *text, *pieces;
	} row[] = {
		{ "tiny_aya", "x 1234567it's", "x| |123|456|7|it's" },
		{ "cohere2moe", "1234567 12,3456", "1|234|567| |12|,|3|456" },
		{ "superbpe", "a 1234567b12", "a |1|234|567|b|12" },
		{ "afmoe", "1234567a\xD9\xA1""234 the", "1|234|567|a|\xD9\xA1|234| the" },
		{ "gemma4", "a b\n\n\nc", "a b|\n\n\n|c" },
		{ "whitespace", " a  b", " |a|  |b" },
		{ "kimi-k2", "\xE6\x97\xA5\xE3\x80\x82the", "\xE6\x97\xA5|\xE3\x80\x82the" },
	};
	struct split_room room = { 0 };
	struct splitter s = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };
	unsigned flags;

	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		buf_clear(&b);
		ck_assert_int_eq(pre_read(&s, &flags, bytes_of(row[i].name), &e), 0);
		ck_assert_int_eq(splitter_run(&s, bytes_of(row[i].text), true, &room, note_piece,
		                              &b, &e), 0);
		buf_add_byte(&b, '\0');
		ck_assert_str_eq((char *)b.p, row[i].pieces);
		splitter_release(&s);
	}
	split_room_release(&room);
	buf_release(&b);
}
END_TEST

Suite *scan_suite(void)
{
	Suite *s = suite_create("scan");
	TCase *c = tcase_create("scan");
	int n = 0;

	while (scan_at((size_t)n))
		n++;
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, scanners_are_their_expressions, 0, n);
	tcase_add_loop_test(c, scanners_take_any_bytes, 0, n);
	tcase_add_test(c, the_alphabet_is_one_to_one);
	tcase_add_test(c, ascii_is_as_unicode_says);
	tcase_add_test(c, expressions_mean_what_oniguruma_means);
	tcase_add_test(c, bad_expressions_are_refused);
	tcase_add_loop_test(c, endless_matching_ends, 0, 2);
	tcase_add_test(c, ways_of_cutting_by_name);
	tcase_add_test(c, expressions_cut_by_name);
	suite_add_tcase(s, c);
	c = tcase_create("scan for long");
	tcase_set_tags(c, "bench");
	tcase_set_timeout(c, 600);
	tcase_add_loop_test(c, scanners_are_their_expressions_for_long, 0, n);
	suite_add_tcase(s, c);
	return s;
}
