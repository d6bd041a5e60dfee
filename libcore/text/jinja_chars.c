/* SPDX-License-Identifier: MIT */
/* jinja_chars.c - text as Python counts it: in characters. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/jinja.h"
#include "util/utf8.h"

size_t chars_count(struct bytes text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += (text.p[i] & 0xc0) != 0x80;
	return n;
}

static size_t skip_chars(struct bytes text, size_t at, size_t n)
{
	while (n-- && at < text.n)
		for (at++; at < text.n && (text.p[at] & 0xc0) == 0x80;)
			at++;
	return at;
}

struct bytes chars_slice(struct bytes text, size_t from, size_t to)
{
	size_t a = skip_chars(text, 0, from);
	size_t b = to > from ? skip_chars(text, a, to - from) : a;

	return (struct bytes){ text.p ? text.p + a : NULL, b - a };
}

bool chars_space(uint32_t cp)
{
	return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 ||
	       cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
	       cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

size_t bytes_find(struct bytes text, struct bytes what, size_t from)
{
	const unsigned char *p;

	if (from > text.n || what.n > text.n - from)
		return SIZE_MAX;
	if (!what.n)
		return from;
	p = memmem(text.p + from, text.n - from, what.p, what.n);
	return p ? (size_t)(p - text.p) : SIZE_MAX;
}

static bool strips(struct bytes c, const struct bytes *set)
{
	uint32_t cp;

	if (set)
		return bytes_find(*set, c, 0) != SIZE_MAX;
	return utf8_decode(&cp, c.p, c.n) > 0 && chars_space(cp);
}

struct bytes chars_strip(struct bytes text, const struct bytes *set, unsigned sides)
{
	while (sides & STRIP_LEFT && text.n) {
		size_t n = skip_chars(text, 0, 1);

		if (!strips((struct bytes){ text.p, n }, set))
			break;
		text = (struct bytes){ text.p + n, text.n - n };
	}
	while (sides & STRIP_RIGHT && text.n) {
		size_t at = text.n - 1;

		while (at && (text.p[at] & 0xc0) == 0x80)
			at--;
		if (!strips((struct bytes){ text.p + at, text.n - at }, set))
			break;
		text.n = at;
	}
	return text;
}

static bool is_letter(uint32_t cp)
{
	utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

	return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

static void add_char(struct buf *b, uint32_t cp, bool upper)
{
	unsigned char utf8[4];

	if (cp == 0xdf && upper) {
		buf_add_text(b, "SS");
		return;
	}
	cp = (uint32_t)(upper ? utf8proc_toupper((utf8proc_int32_t)cp) :
	                        utf8proc_tolower((utf8proc_int32_t)cp));
	buf_add(b, utf8, (size_t)utf8_encode(utf8, cp));
}

int chars_case(struct run *r, struct bytes text, enum letter_case c, struct value *out)
{
	struct buf b = { .ceiling = 4 * text.n + 16 };
	bool inside = false;
	int rc;

	if (run_spend(r, text.n / 8))
		return -1;
	for (size_t at = 0; at < text.n;) {
		uint32_t cp;
		int n = utf8_decode(&cp, text.p + at, text.n - at);
		bool upper = c == CASE_UPPER || (c == CASE_TITLE && !inside) ||
		             (c == CASE_CAPITAL && !at);

		n = n > 0 ? n : 1;
		if (c == CASE_SWAP)
			upper = utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LL;
		inside = is_letter(cp);
		add_char(&b, cp, upper);
		at += (size_t)n;
	}
	rc = buf_check(&b, r->e) ? -1 : value_copy_text(r, buf_bytes(&b), out);
	buf_release(&b);
	return rc;
}
