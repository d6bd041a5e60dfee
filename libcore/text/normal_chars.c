/* SPDX-License-Identifier: MIT */
/* normal_chars.c - steps of a normalizer that look at a character, or a
 * grapheme, at a time. */
#include <utf8proc.h>

#include "text/chars.h"
#include "text/normal.h"
#include "text/spm.h"

struct range {
	uint32_t low, high;
};

static bool in_ranges(const struct range *r, size_t n, uint32_t cp)
{
	for (size_t i = 0; i < n; i++)
		if (cp >= r[i].low && cp <= r[i].high)
			return true;
	return false;
}
#define IN(table, cp) in_ranges(table, sizeof(table) / sizeof *(table), cp)

static utf8proc_category_t category(uint32_t cp)
{
	return utf8proc_category((utf8proc_int32_t)cp);
}

static void put(struct buf *out, uint32_t cp)
{
	unsigned char ch[4];

	buf_add(out, ch, (size_t)utf8_encode(ch, cp));
}

/* ---- a function per step; the character's bytes are ch */

typedef void char_fn(struct buf *out, uint32_t cp, struct bytes ch);

static void lower(struct buf *out, uint32_t cp, struct bytes ch)
{
	uint32_t low;

	if (cp < 0x80) {
		buf_add_byte(out, (unsigned char)(cp >= 'A' && cp <= 'Z' ? cp | 0x20 : cp));
		return;
	}
	if (cp == 0x130) { /* the one letter whose small form is two */
		buf_add_text(out, "i\xCC\x87");
		return;
	}
	low = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
	if (low == cp)
		buf_add(out, ch.p, ch.n);
	else
		put(out, low);
}

static void no_marks(struct buf *out, uint32_t cp, struct bytes ch)
{
	if (cp < 0x80 || !(chars_class(cp) & CH_MARK))
		buf_add(out, ch.p, ch.n);
}

static void no_accents(struct buf *out, uint32_t cp, struct bytes ch)
{
	if (cp < 0x80 || category(cp) != UTF8PROC_CATEGORY_MN)
		buf_add(out, ch.p, ch.n);
}

static bool is_control(uint32_t cp)
{
	utf8proc_category_t c = category(cp);

	return c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_CO;
}

static void clean(struct buf *out, uint32_t cp, struct bytes ch)
{
	bool blank = cp == '\t' || cp == '\n' || cp == '\r';

	if (cp == 0 || cp == 0xFFFD || (!blank && is_control(cp)))
		return;
	if (blank || (chars_class(cp) & CH_SPACE))
		buf_add_byte(out, ' ');
	else
		buf_add(out, ch.p, ch.n);
}

/* The fifth begins where the reference has it. */
static const struct range cjk[] = {
	{ 0x4E00, 0x9FFF },   { 0x3400, 0x4DBF },   { 0x20000, 0x2A6DF }, { 0x2A700, 0x2B73F },
	{ 0x2B740, 0x2B81F }, { 0x2B920, 0x2CEAF }, { 0xF900, 0xFAFF },   { 0x2F800, 0x2FA1F },
};

static void space_cjk(struct buf *out, uint32_t cp, struct bytes ch)
{
	bool is = cp >= 0x3400 && IN(cjk, cp);

	if (is)
		buf_add_byte(out, ' ');
	buf_add(out, ch.p, ch.n);
	if (is)
		buf_add_byte(out, ' ');
}

static const struct range nmt_dropped[] = {
	{ 0x01, 0x08 }, { 0x0B, 0x0B }, { 0x0E, 0x1F },
	{ 0x7F, 0x7F }, { 0x8F, 0x8F }, { 0x9F, 0x9F },
};
static const struct range nmt_spaces[] = {
	{ 0x09, 0x0A },     { 0x0C, 0x0D },     { 0x1680, 0x1680 }, { 0x200B, 0x200F },
	{ 0x2028, 0x2029 }, { 0x2581, 0x2581 }, { 0xFEFF, 0xFEFF }, { 0xFFFD, 0xFFFD },
};

static void nmt(struct buf *out, uint32_t cp, struct bytes ch)
{
	if (IN(nmt_dropped, cp))
		return;
	if (IN(nmt_spaces, cp))
		buf_add_byte(out, ' ');
	else
		buf_add(out, ch.p, ch.n);
}

/* ---- SentencePiece's rules as tokenizer.json means them: for a grapheme of a
 * few bytes the shortest rule that begins it, else character by character */

enum { GRAPHEME_BYTES = 6 };

/* The length of the grapheme at t.p, over valid characters. */
static size_t grapheme(struct bytes t)
{
	utf8proc_int32_t state = 0;
	uint32_t before, cp;
	size_t n = chars_len(t.p, t.n);
	int len;

	if (utf8_decode(&before, t.p, t.n) <= 0)
		return n;
	for (; n < t.n; n += (size_t)len, before = cp) {
		len = utf8_decode(&cp, t.p + n, t.n - n);
		if (len <= 0 || utf8proc_grapheme_break_stateful((utf8proc_int32_t)before,
		                                                 (utf8proc_int32_t)cp, &state))
			break;
	}
	return n;
}

static void add_char(struct buf *out, const struct charsmap *map, struct bytes ch)
{
	struct bytes result = ch;

	if (!charsmap_first(map, ch, &result))
		result = ch;
	buf_add(out, result.p, result.n);
}

static void charsmap(struct buf *out, struct bytes t, const struct charsmap *map)
{
	struct bytes result;
	size_t n, len;

	for (; t.n; t.p += n, t.n -= n) {
		n = grapheme(t);
		if (n < GRAPHEME_BYTES && charsmap_first(map, (struct bytes){ t.p, n }, &result)) {
			buf_add(out, result.p, result.n);
			continue;
		}
		for (size_t i = 0; i < n; i += len) {
			len = chars_len(t.p + i, n - i);
			add_char(out, map, (struct bytes){ t.p + i, len });
		}
	}
}

int normal_chars(struct buf *out, struct bytes text, const struct normal *s, struct err *e)
{
	static char_fn *const step[] = {
		[NORMAL_LOWER] = lower,           [NORMAL_NO_MARKS] = no_marks,
		[NORMAL_NO_ACCENTS] = no_accents, [NORMAL_CLEAN] = clean,
		[NORMAL_SPACE_CJK] = space_cjk,   [NORMAL_NMT] = nmt,
	};
	uint32_t cp;

	if (s->kind == NORMAL_CHARSMAP) {
		charsmap(out, text, s->map);
		return buf_check(out, e);
	}
	while (text.n) {
		int len = utf8_decode(&cp, text.p, text.n);
		size_t n = len > 0 ? (size_t)len : 1;

		if (len > 0)
			step[s->kind](out, cp, (struct bytes){ text.p, n });
		else
			buf_add_byte(out, *text.p);
		text.p += n;
		text.n -= n;
	}
	return buf_check(out, e);
}
