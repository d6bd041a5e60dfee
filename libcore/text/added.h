/* SPDX-License-Identifier: MIT */
/* added.h - tokens that are found in text before it is cut: special ones and
 * words that a tokenizer was given later. */
#ifndef CLM_TEXT_ADDED_H
#define CLM_TEXT_ADDED_H

#include "text/strings.h"

enum { ADDED_BYTES = 1024 }; /* of one token's text */

enum added_flags {
	ADDED_SPECIAL = 1,     /* found only where the caller asks for it */
	ADDED_LEFT = 2,        /* takes the white space before it */
	ADDED_RIGHT = 4,       /* takes the white space after it */
	ADDED_WORD = 8,        /* not inside a word */
	ADDED_NORMALIZED = 16, /* looked for in normalized text */
};

struct added_token {
	int32_t id;
	unsigned flags;
	struct bytes text; /* what is looked for */
};

struct added {
	struct added_token *token;
	size_t n;
	struct strings all, plain; /* by index into token; plain: without special ones */
};

/* Takes the tokens given into an index in the arena; texts stay borrowed. */
NEED int added_init(struct added *d, struct added_token *token, size_t n, struct arena *a,
                    struct err *e);

struct added_hit {
	size_t begin, end; /* with the white space it takes */
	size_t at, resume; /* its own text; where to look on: the end of it */
	int32_t id;
};
/* The leftmost hit at or after `from`, the longest of those; `taken`: up to
 * here the text belongs to the hit before. */
bool added_find(const struct added *d, struct bytes text, size_t from, size_t taken, bool special,
                struct added_hit *out);

#endif
