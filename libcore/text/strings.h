/* SPDX-License-Identifier: MIT */
/* strings.h - a fixed set of strings, and which of them begin at a place. */
#ifndef CLM_TEXT_STRINGS_H
#define CLM_TEXT_STRINGS_H

#include "util/arena.h"
#include "util/bytes.h"

struct string {
	struct bytes text; /* not empty; borrowed */
	int32_t value;     /* the caller's; >= 0 */
};

struct strings {
	struct string *item; /* sorted; of equal texts the highest value stays */
	size_t n;
	uint32_t first[257]; /* items that begin with byte c: first[c] .. first[c + 1] */
};

/* Takes n strings into a set that lives in the arena. Empty ones are left out. */
NEED int strings_init(struct strings *s, const struct string *given, size_t n, struct arena *a,
                      struct err *e);

/* Walks down the set along a text: after strings_begin(), each step takes the
 * next byte; `value` is that of the string that ends there, else -1. False
 * when no string goes on so. */
struct strings_walk {
	const struct strings *s;
	uint32_t low, high, depth;
	int32_t value;
};
void strings_begin(struct strings_walk *w, const struct strings *s);
bool strings_step(struct strings_walk *w, unsigned char byte);

/* The longest string that begins at text.p: its length (0: none), its value. */
size_t strings_longest(const struct strings *s, struct bytes text, int32_t *value);

#endif
