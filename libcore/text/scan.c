/* SPDX-License-Identifier: MIT */
/* scan.c - one function per family of patterns; each gives what the leftmost
 * match of the expression gives, which always begins where it is asked.
 * Alternatives are tried in the expression's order. */
#include "text/scan.h"

#include <string.h>

#include "text/patterns.h"

enum { CH_ANY_WORD = CH_SPACE | CH_LETTER | CH_NUMBER };

/* How far characters of any of these classes go on from `at`. */
static size_t run_of(const unsigned char *p, size_t n, size_t at, unsigned classes)
{
	size_t len;

	while (at < n && (chars_at(p + at, n - at, &len) & classes))
		at += len;
	return at;
}

/* How far characters of none of these classes go on. */
static size_t run_not(const unsigned char *p, size_t n, size_t at, unsigned classes)
{
	size_t len;

	while (at < n && !(chars_at(p + at, n - at, &len) & classes))
		at += len;
	return at;
}

/* \s+(?!\S)|\s+ from the start: white space, without its last character
 * when something follows that could take that as its own. */
static size_t white(const unsigned char *p, size_t n)
{
	size_t end = run_of(p, n, 0, CH_SPACE), last;

	if (end == n)
		return end;
	last = chars_before(p, end);
	return end > last ? end - last : end;
}

/* \s*[\r\n]+: white space up to its last line end; 0 if it has none. */
static size_t white_lines(const unsigned char *p, size_t n)
{
	size_t end = run_of(p, n, 0, CH_SPACE);

	while (end && p[end - 1] != '\n' && p[end - 1] != '\r')
		end--;
	return end;
}

/* 's 't 're 've 'm 'll 'd: the length at p, 0 if it is none. */
static size_t contraction(const unsigned char *p, size_t n)
{
	if (n < 2 || p[0] != '\'')
		return 0;
	switch (p[1]) {
	case 's':
	case 't':
	case 'm':
	case 'd':
		return 2;
	case 'r':
	case 'v':
		return n > 2 && p[2] == 'e' ? 3 : 0;
	case 'l':
		return n > 2 && p[2] == 'l' ? 3 : 0;
	}
	return 0;
}

/* The same in any case; where case is ignored, the long s (U+017F) is an s. */
static size_t contraction_any(const struct scan *s, const unsigned char *p, size_t n)
{
	unsigned char low[3] = { '\'' };

	if (n < 2 || p[0] != '\'')
		return 0;
	if (s->long_s && n > 2 && p[1] == 0xC5 && p[2] == 0xBF)
		return 3;
	for (size_t i = 1; i < 3 && i < n; i++)
		low[i] = p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i];
	return contraction(low, n < 3 ? n : 3);
}

static size_t digits(const struct scan *s, const unsigned char *p, size_t n)
{
	size_t at = 0, len;

	for (unsigned k = 0; at < n && (!s->max_digits || k < s->max_digits); k++) {
		if (!(chars_at(p + at, n - at, &len) & CH_NUMBER))
			break;
		at += len;
	}
	return at;
}

/* GPT-2's. */
static size_t piece_gpt2(const struct scan *s, const unsigned char *p, size_t n)
{
	size_t at = contraction(p, n), len;
	unsigned c;

	(void)s;
	if (at)
		return at;
	at = *p == ' ';
	if (at == n)
		return white(p, n);
	c = chars_at(p + at, n - at, &len);
	if (c & CH_LETTER)
		return run_of(p, n, at + len, CH_LETTER);
	if (c & CH_NUMBER)
		return run_of(p, n, at + len, CH_NUMBER);
	if (!(c & CH_SPACE))
		return run_not(p, n, at + len, CH_ANY_WORD);
	return white(p, n);
}

/* The end that all later patterns share:
 *  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t piece_rest(const struct scan *s, const unsigned char *p, size_t n)
{
	unsigned stop = CH_ANY_WORD | (s->marks ? CH_MARK : 0u);
	size_t at = *p == ' ', end = run_not(p, n, at, stop);

	if (end > at) {
		while (end < n && (p[end] == '\n' || p[end] == '\r' || (s->slash && p[end] == '/')))
			end++;
		return end;
	}
	end = white_lines(p, n);
	return end ? end : white(p, n);
}

/* Llama 3's and its kin: words with one leading character of any other kind,
 * contractions in any case, digits in short runs. */
static size_t piece_words(const struct scan *s, const unsigned char *p, size_t n)
{
	unsigned letter = CH_LETTER | (s->marks ? CH_MARK : 0u);
	size_t at = contraction_any(s, p, n), len, next;
	unsigned c;

	if (at)
		return at;
	c = chars_at(p, n, &len);
	if (c & letter)
		return run_of(p, n, len, letter);
	if (c & CH_NUMBER)
		return digits(s, p, n);
	if (!(c & CH_NEWLINE) && len < n && (chars_at(p + len, n - len, &next) & letter))
		return run_of(p, n, len + next, letter);
	return piece_rest(s, p, n);
}

/* [upper]*[lower]+ from `at`, where letters without case and marks are both:
 * its end, 0 if there is none; `upper` gets the end of [upper]+ alone. */
static size_t lower_word(const unsigned char *p, size_t n, size_t at, size_t *upper)
{
	size_t end = at, both = 0, len;
	unsigned c = 0;

	for (; end < n; end += len) {
		c = chars_at(p + end, n - end, &len);
		if (!(c & (CH_LETTER | CH_MARK)) || (c & CH_LOWER))
			break;
		if (!(c & CH_UPPER))
			both = end + len;
	}
	*upper = end > at ? end : 0;
	if (end == n || !(c & CH_LOWER))
		return both;
	for (; end < n; end += len) {
		c = chars_at(p + end, n - end, &len);
		if (!(c & (CH_LETTER | CH_MARK)) || (c & CH_UPPER))
			break;
	}
	return end;
}

/* GPT-4o's: words are cut where lower case turns to upper. Words with lower
 * case come first, with the leading character of another kind or without. */
static size_t piece_cased(const struct scan *s, const unsigned char *p, size_t n)
{
	size_t len, end = 0, upper = 0, other;
	unsigned c = chars_at(p, n, &len);

	if (c & CH_LETTER)
		end = lower_word(p, n, 0, &upper);
	else if (!(c & (CH_NUMBER | CH_NEWLINE)))
		end = lower_word(p, n, len, &upper);
	if (!end && (c & CH_MARK))
		end = lower_word(p, n, 0, &other);
	if (!end)
		end = upper;
	if (end)
		return end + (s->contractions ? contraction_any(s, p + end, n - end) : 0);
	if (c & CH_NUMBER)
		return digits(s, p, n);
	return piece_rest(s, p, n);
}

/* clang-format off */
static const struct scan scans[] = {
	/* piece      digits marks contr. slash  long_s pattern */
	{ piece_gpt2,  0, false, false, false, false, P_GPT2 "|\\s+" },
	{ piece_gpt2,  0, false, false, false, false, P_GPT2 },
	{ piece_words, 3, false, false, false, true,  P_WORDS_3 },
	{ piece_words, 1, false, false, false, true,  P_WORDS_1 },
	{ piece_words, 0, false, false, false, true,  P_SHORT P_WORD "|\\p{N}+" P_REST },
	{ piece_words, 3, false, false, false, false, P_LONG P_WORD "|\\p{N}{1,3}" P_REST },
	{ piece_words, 1, false, false, false, false, P_LONG P_WORD "|\\p{N}" P_REST },
	{ piece_words, 0, false, false, false, false, P_LONG P_WORD "|\\p{N}+" P_REST },
	{ piece_words, 1, true,  false, false, true,  P_SHORT P_WORD_M "|\\p{N}" P_REST_M },
	{ piece_words, 1, true,  false, false, false, P_LONG P_WORD_M "|\\p{N}" P_REST_M },
	{ piece_cased, 3, false, true,  true,  true,  P_O200K },
	{ piece_cased, 1, false, false, true,  false, P_TEKKEN },
};
/* clang-format on */

const struct scan *scan_find(struct bytes pattern)
{
	for (size_t i = 0; i < sizeof scans / sizeof *scans; i++)
		if (bytes_is(pattern, scans[i].pattern))
			return &scans[i];
	return NULL;
}

const struct scan *scan_at(size_t i)
{
	return i < sizeof scans / sizeof *scans ? &scans[i] : NULL;
}
