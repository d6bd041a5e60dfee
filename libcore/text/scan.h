/* SPDX-License-Identifier: MIT */
/* scan.h - the patterns everybody cuts text by, as hand-written scanners. */
#ifndef CLM_TEXT_SCAN_H
#define CLM_TEXT_SCAN_H

#include "text/chars.h"

struct scan {
	/* The length, at least 1, of the piece that begins at p; n > 0. */
	size_t (*piece)(const struct scan *s, const unsigned char *p, size_t n);
	unsigned max_digits; /* in one piece; 0: any number */
	bool marks;          /* \p{M} counts as a letter */
	bool contractions;   /* a word ends with its 's, 'll ... */
	bool slash;          /* punctuation takes / as well as \r and \n */
	bool long_s;         /* contractions take the long s for an s */
	const char *pattern; /* the regular expression that this is, as PCRE2 reads it */
};

/* By expression, to the letter as tokenizer.json writes it; NULL if unknown. */
const struct scan *scan_find(struct bytes pattern);
const struct scan *scan_at(size_t i); /* the table; NULL past its end */

#endif
