/* SPDX-License-Identifier: MIT */
/* chars.c - character classes from Unicode's general categories. */
#include "text/chars.h"

#include <utf8proc.h>

#define LET (CH_LETTER | CH_WORD)
#define UP (LET | CH_UPPER)
#define LOW (LET | CH_LOWER)
#define DIG (CH_NUMBER | CH_WORD)
#define SP CH_SPACE
#define NL (CH_SPACE | CH_NEWLINE)
#define PU CH_PUNCT
#define SY CH_SYMBOL

/* clang-format off */
const uint16_t chars_ascii[128] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, SP, NL, SP, SP, NL, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	SP, PU, PU, PU, SY, PU, PU, PU, PU, PU, PU, SY, PU, PU, PU, PU,
	DIG, DIG, DIG, DIG, DIG, DIG, DIG, DIG, DIG, DIG, PU, PU, SY, SY, SY, PU,
	PU, UP, UP, UP, UP, UP, UP, UP, UP, UP, UP, UP, UP, UP, UP, UP,
	UP, UP, UP, UP, UP, UP, UP, UP, UP, UP, UP, PU, PU, PU, SY, PU | CH_WORD,
	SY, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW,
	LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, LOW, PU, SY, PU, SY, 0,
};
/* clang-format on */

/* In the order of utf8proc_category_t. */
static const uint16_t of_category[] = {
	[UTF8PROC_CATEGORY_CN] = 0,
	[UTF8PROC_CATEGORY_LU] = UP,
	[UTF8PROC_CATEGORY_LL] = LOW,
	[UTF8PROC_CATEGORY_LT] = UP,
	[UTF8PROC_CATEGORY_LM] = LET,
	[UTF8PROC_CATEGORY_LO] = LET,
	[UTF8PROC_CATEGORY_MN] = CH_MARK | CH_WORD,
	[UTF8PROC_CATEGORY_MC] = CH_MARK | CH_WORD,
	[UTF8PROC_CATEGORY_ME] = CH_MARK | CH_WORD,
	[UTF8PROC_CATEGORY_ND] = DIG,
	[UTF8PROC_CATEGORY_NL] = DIG,
	[UTF8PROC_CATEGORY_NO] = CH_NUMBER,
	[UTF8PROC_CATEGORY_PC] = PU | CH_WORD,
	[UTF8PROC_CATEGORY_PD] = PU,
	[UTF8PROC_CATEGORY_PS] = PU,
	[UTF8PROC_CATEGORY_PE] = PU,
	[UTF8PROC_CATEGORY_PI] = PU,
	[UTF8PROC_CATEGORY_PF] = PU,
	[UTF8PROC_CATEGORY_PO] = PU,
	[UTF8PROC_CATEGORY_SM] = SY,
	[UTF8PROC_CATEGORY_SC] = SY,
	[UTF8PROC_CATEGORY_SK] = SY,
	[UTF8PROC_CATEGORY_SO] = SY,
	[UTF8PROC_CATEGORY_ZS] = SP,
	[UTF8PROC_CATEGORY_ZL] = SP,
	[UTF8PROC_CATEGORY_ZP] = SP,
	[UTF8PROC_CATEGORY_CC] = 0,
	[UTF8PROC_CATEGORY_CF] = 0,
	[UTF8PROC_CATEGORY_CS] = 0,
	[UTF8PROC_CATEGORY_CO] = 0,
};

unsigned chars_class(uint32_t cp)
{
	if (cp < 128)
		return chars_ascii[cp];
	if (cp == 0x85)
		return CH_SPACE;
	if (cp == 0x200C || cp == 0x200D) /* they join letters */
		return CH_WORD;
	return of_category[utf8proc_category((utf8proc_int32_t)cp)];
}

unsigned chars_at_wide(const unsigned char *p, size_t n, size_t *len)
{
	uint32_t cp;
	int k = utf8_decode(&cp, p, n);

	if (k <= 0) {
		*len = 1;
		return 0;
	}
	*len = (size_t)k;
	return chars_class(cp);
}

size_t chars_before(const unsigned char *p, size_t n)
{
	uint32_t cp;

	for (size_t k = 1; k <= 4 && k <= n; k++) {
		if ((p[n - k] & 0xC0) == 0x80)
			continue;
		return utf8_decode(&cp, p + n - k, k) == (int)k ? k : 1;
	}
	return 1;
}

/* clang-format off */
#define ROW8(b) (b), (b) + 1, (b) + 2, (b) + 3, (b) + 4, (b) + 5, (b) + 6, (b) + 7
#define ROW32(b) ROW8(b), ROW8((b) + 8), ROW8((b) + 16), ROW8((b) + 24)

const uint16_t alphabet_of_byte[256] = {
	ROW32(0x100),                                                  /* 0x00 */
	0x120, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, ROW8(0x28),   /* 0x20 */
	ROW8(0x30), ROW8(0x38),
	ROW32(0x40),                                                   /* 0x40 */
	ROW8(0x60), ROW8(0x68), ROW8(0x70),                            /* 0x60 */
	0x78, 0x79, 0x7A, 0x7B, 0x7C, 0x7D, 0x7E, 0x121,
	ROW32(0x122),                                                  /* 0x80 */
	0x142, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,               /* 0xA0 */
	0xA8, 0xA9, 0xAA, 0xAB, 0xAC, 0x143, 0xAE, 0xAF,
	ROW8(0xB0), ROW8(0xB8),
	ROW32(0xC0),                                                   /* 0xC0 */
	ROW32(0xE0),                                                   /* 0xE0 */
};
/* clang-format on */

int alphabet_byte(uint32_t cp)
{
	if (cp < 0x100)
		return alphabet_of_byte[cp] == cp ? (int)cp : -1;
	if (cp <= 0x120)
		return (int)(cp - 0x100);
	if (cp <= 0x142)
		return (int)(cp - 0x121) + 0x7F;
	return cp == 0x143 ? 0xAD : -1;
}

size_t alphabet_read(unsigned char *out, struct bytes text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		uint32_t cp = text.p[i];
		int byte;

		if (cp >= 0xC2 && cp <= 0xC5 && i + 1 < text.n && (text.p[i + 1] & 0xC0) == 0x80)
			cp = (cp & 0x1F) << 6 | (text.p[++i] & 0x3F);
		else if (cp >= 0x80)
			return ALPHABET_NONE;
		byte = alphabet_byte(cp);
		if (byte < 0)
			return ALPHABET_NONE;
		out[n++] = (unsigned char)byte;
	}
	return n;
}
