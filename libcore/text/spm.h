/* SPDX-License-Identifier: MIT */
/* spm.h - how SentencePiece prepares text: its normalizer, its marks for
 * spaces, the symbols a model was given by its user. */
#ifndef CLM_TEXT_SPM_H
#define CLM_TEXT_SPM_H

#include "text/strings.h"
#include "util/buf.h"

#define SPM_MARK "\xE2\x96\x81" /* U+2581, for a space */

/* The normalizer's rules: a double array (darts-clone's layout) from texts to
 * places in `texts`, each NUL-terminated there. */
struct charsmap {
	struct bytes trie; /* uint32 units, little-endian; may be empty */
	struct bytes texts;
};
/* Takes a copy of the blob, as .model and GGUF files hold it. ERR_INPUT if it
 * is malformed. */
NEED int charsmap_init(struct charsmap *c, struct bytes blob, struct arena *a, struct err *e);
/* The longest rule at the start of text, or the shortest: its length (0:
 * none), its result. */
size_t charsmap_find(const struct charsmap *c, struct bytes text, struct bytes *out);
size_t charsmap_first(const struct charsmap *c, struct bytes text, struct bytes *out);

struct spm {
	struct charsmap map;
	struct strings user; /* symbols taken whole; value: the id */
	bool user_inside;    /* ... by the normalizer, not before it */
	bool add_prefix;     /* a space before the text */
	bool prefix_first;   /* ... but not after a special token */
	bool bad_replaced;   /* bytes that are no character become U+FFFD */
	bool suffix;         /* that space goes behind the text instead */
	bool collapse;       /* drop space at the ends, join runs of it */
	bool escape;         /* space is spelled as the mark */
};
/* Appends the normalized text; `first`: it stands at the very beginning. */
NEED int spm_normalize(const struct spm *s, struct bytes text, bool first, struct buf *out,
                       struct err *e);

#endif
