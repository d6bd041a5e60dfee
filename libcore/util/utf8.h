/* SPDX-License-Identifier: MIT */
/* utf8.h - decode and validate (RFC 3629: no surrogates, no overlongs). */
#ifndef CLM_UTIL_UTF8_H
#define CLM_UTIL_UTF8_H

#include "util/bytes.h"

/* Length 1..4 and the code point of the character at p; 0 if it is not
 * valid; -1 if p[0..n) could still become valid with more bytes. */
int utf8_decode(uint32_t *cp, const unsigned char *p, size_t n);
int utf8_encode(unsigned char out[4], uint32_t cp);
/* The first byte that is not valid UTF-8, or n. */
size_t utf8_valid(struct bytes b);

#endif
