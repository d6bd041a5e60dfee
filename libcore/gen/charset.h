/* SPDX-License-Identifier: MIT */
/* charset.h - sets of characters, as patterns write them. Private to gen/. */
#ifndef CLM_GEN_CHARSET_H
#define CLM_GEN_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHARSET_MAX = 256 };
struct charset {
	uint32_t range[CHARSET_MAX][2];
	size_t n;
};
/* False: there is no room. */
bool charset_add(struct charset *s, uint32_t lo, uint32_t hi);
bool charset_invert(struct charset *s);
/* d, w, s, and what they leave out as D, W, S (ECMA-262). */
bool charset_class(struct charset *s, int c);
/* Ascending, neighbours joined. */
void charset_tidy(struct charset *s);

#endif
