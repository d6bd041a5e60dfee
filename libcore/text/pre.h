/* SPDX-License-Identifier: MIT */
/* pre.h - the names that GGUF files give to ways of cutting text. */
#ifndef CLM_TEXT_PRE_H
#define CLM_TEXT_PRE_H

#include "text/split.h"

enum pre_flags {
	PRE_WHOLE = 1, /* a piece that is a token is not merged */
	PRE_BOS = 2,   /* BOS is added unless the file says otherwise */
	PRE_SEP = 4,   /* so is SEP at the end */
	PRE_RAW = 8,   /* tokens are spelled as they are, not in the alphabet */
	PRE_MARKS = 16, /* spaces become U+2581 before the text is cut */
	PRE_LINES = 32, /* line ends in a row that are a token are not merged */
};

/* Sets up a splitter. ERR_INPUT for a name that is not known. */
NEED int pre_read(struct splitter *s, unsigned *flags, struct bytes name, struct err *e);
/* The name of a splitter of byte-level text that cuts alike; NULL if there is
 * none. */
const char *pre_name(const struct splitter *s, bool whole);

#endif
