/* SPDX-License-Identifier: MIT */
/* chars.h - what kind of character: the classes that patterns for cutting
 * text speak of. Text may be any bytes: a byte that is not part of a valid
 * character is a character of its own, of no class. */
#ifndef CLM_TEXT_CHARS_H
#define CLM_TEXT_CHARS_H

#include "util/utf8.h"

enum {
	CH_LETTER = 1,    /* \p{L} */
	CH_NUMBER = 2,    /* \p{N} */
	CH_SPACE = 4,     /* \s: White_Space */
	CH_MARK = 8,      /* \p{M} */
	CH_UPPER = 16,    /* \p{Lu} or \p{Lt} */
	CH_LOWER = 32,    /* \p{Ll} */
	CH_PUNCT = 64,    /* \p{P} */
	CH_SYMBOL = 128,  /* \p{S} */
	CH_NEWLINE = 256, /* \r or \n */
	CH_WORD = 512,    /* \w: letters, marks, digits, connectors, joiners */
};

extern const uint16_t chars_ascii[128];

/* Classes of a code point. */
unsigned chars_class(uint32_t cp);
/* Classes and length in bytes of the character at p; n > 0. */
unsigned chars_at_wide(const unsigned char *p, size_t n, size_t *len);
/* The length in bytes of the character that ends at p + n; n > 0. */
size_t chars_before(const unsigned char *p, size_t n);

static inline unsigned chars_at(const unsigned char *p, size_t n, size_t *len)
{
	if (*p < 0x80) {
		*len = 1;
		return chars_ascii[*p];
	}
	return chars_at_wide(p, n, len);
}

/* The length of the character at p; n > 0. */
static inline size_t chars_len(const unsigned char *p, size_t n)
{
	uint32_t cp;
	int len = *p < 0x80 ? 1 : utf8_decode(&cp, p, n);

	return len > 0 ? (size_t)len : 1;
}

/* The GPT-2 alphabet, in which byte-level vocabularies are spelled: each
 * byte is one character below U+0144. */
extern const uint16_t alphabet_of_byte[256];
/* The byte that a character stands for, or -1. */
int alphabet_byte(uint32_t cp);

/* Spelled text to bytes: their number, or ALPHABET_NONE if a character is not
 * of the alphabet. `out` has room for text.n bytes. */
#define ALPHABET_NONE SIZE_MAX
size_t alphabet_read(unsigned char *out, struct bytes text);

#endif
