/* SPDX-License-Identifier: MIT */
/* utf8.c - decode and validate UTF-8 (RFC 3629).
 *
 * Given bytes, gives code points or the place of the first wrong byte.
 * Classes of characters are left to text/. */
#include "util/utf8.h"

#include <string.h>

/* Length and smallest second byte per first byte; the table 3-7 of the
 * Unicode standard as code. */
static int first_byte(unsigned char c, unsigned char *low, unsigned char *high)
{
	*low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	*high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

int utf8_decode(uint32_t *cp, const unsigned char *p, size_t n)
{
	unsigned char low, high;
	uint32_t v;
	int len;

	if (n == 0)
		return -1;
	len = first_byte(p[0], &low, &high);
	if (len == 0)
		return 0;
	v = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (int i = 1; i < len; i++) {
		if ((size_t)i == n)
			return -1;
		if (p[i] < low || p[i] > high)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
		low = 0x80;
		high = 0xbf;
	}
	*cp = v;
	return len;
}

int utf8_encode(unsigned char out[4], uint32_t cp)
{
	if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	if (cp < 0x80) {
		out[0] = (unsigned char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (unsigned char)(0xc0 | cp >> 6);
		out[1] = (unsigned char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (unsigned char)(0xe0 | cp >> 12);
		out[1] = (unsigned char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (unsigned char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (unsigned char)(0xf0 | cp >> 18);
	out[1] = (unsigned char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (unsigned char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (unsigned char)(0x80 | (cp & 0x3f));
	return 4;
}

size_t utf8_valid(struct bytes b)
{
	size_t at = 0;

	while (at < b.n) {
		uint32_t cp;
		uint64_t eight;
		int len;

		if (b.n - at >= 8) { /* most text is ASCII: eight at a time */
			memcpy(&eight, b.p + at, 8);
			if (!(eight & UINT64_C(0x8080808080808080))) {
				at += 8;
				continue;
			}
		}
		len = utf8_decode(&cp, b.p + at, b.n - at);
		if (len <= 0)
			return at;
		at += (size_t)len;
	}
	return at;
}
