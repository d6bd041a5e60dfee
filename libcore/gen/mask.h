/* SPDX-License-Identifier: MIT */
/* mask.h - which tokens may come next. Private to gen/.
 *
 * A mask is a grammar over a vocabulary: for each place of the grammar the
 * set of tokens, a bit each, whose whole text goes on from there. A guard is
 * a session's place in it. All of them are used by one thread at a time. */
#ifndef CLM_GEN_MASK_H
#define CLM_GEN_MASK_H

#include "gen/walk.h"

/* ---- pieces: the texts of a vocabulary's tokens, as a tree of their bytes.
 * A special token is spelled as graph_spell_token() has it; one without text
 * is never allowed. The tokenizer may go after this call. */
struct pieces;
NEED int pieces_open(struct pieces **out, const struct tokenizer *t, size_t vocab, struct err *e);
void pieces_close(struct pieces *p);
/* Made with the first call; NULL with an error. */
const struct pieces *grammars_pieces(struct grammars *s, struct err *e);

/* ---- mask: holds the grammar, borrows the pieces and the ids that end */
struct mask;
struct mask_ends { const int32_t *id; size_t n; };
NEED int mask_open(struct mask **out, const struct pieces *p, struct mask_ends ends,
                   struct grammar *g, struct err *e);
struct mask *mask_hold(struct mask *m);
void mask_release(struct mask *m);
uint64_t mask_number(const struct mask *m); /* its grammar's */

/* ---- guard */
struct guard {
	struct mask *mask; /* held */
	uint32_t place;
	bool endless;      /* the ids that end are never allowed */
};
NEED int guard_open(struct guard *g, struct mask *m, struct err *e);
void guard_release(struct guard *g);
NEED int guard_allows(struct guard *g, int32_t id, bool *out, struct err *e);
/* A bit per id, (vocab + 63) / 64 words, until the next call. */
NEED int guard_bits(struct guard *g, const uint64_t **out, struct err *e);
/* The token is made: on to the place after it. ERR_INPUT: not allowed. */
NEED int guard_take(struct guard *g, int32_t id, struct err *e);
bool guard_is_whole(const struct guard *g); /* nothing can follow */
/* A token's text as the mask knows it; empty for a special one. */
struct bytes guard_text(const struct guard *g, int32_t id);

#endif
