/* SPDX-License-Identifier: MIT */
/* lang.h - sets of strings as automata over code points. Private to gen/.
 *
 * Deterministic: from each state the ranges do not overlap; where none fits,
 * the string is not of the set. All of it lives in an arena. */
#ifndef CLM_GEN_LANG_H
#define CLM_GEN_LANG_H

#include "gen/graph.h"
#include "util/arena.h"

enum { LANG_STATES = 20000, LANG_EDGES = 400000, CHAR_MAX_CP = 0x10FFFF };
struct lang_edge { uint32_t lo, hi, to; };
struct lang_state {
	const struct lang_edge *edge; /* [n], ascending */
	uint32_t n;
	bool ends;
};
struct lang {
	struct lang_state *state; /* [n]; it begins at 0; n 0: the empty set */
	size_t n;
};

/* ERR_INPUT past the ceilings. States that lead nowhere are left out. */
NEED int lang_and(struct lang *out, const struct lang *a, const struct lang *b, struct arena *m,
                  struct err *e);
NEED int lang_not(struct lang *out, const struct lang *a, struct arena *m, struct err *e);
/* From min to max characters; max SIZE_MAX: any more. */
NEED int lang_length(struct lang *out, size_t min, size_t max, struct arena *m, struct err *e);
/* These texts, valid UTF-8. */
NEED int lang_words(struct lang *out, const struct bytes *word, size_t n, struct arena *m,
                    struct err *e);
bool lang_takes(const struct lang *l, struct bytes text);
/* The strings as they are, or as they stand in a JSON string. */
uint32_t graph_lang(struct grammar *g, const struct lang *l, bool json, uint32_t next,
                    struct arena *m);

/* ---- pattern.c: ECMA-262's regular expressions, those that are regular.
 * Unanchored, as JSON Schema has them. ERR_INPUT: what cannot be kept to. */
NEED int lang_pattern(struct lang *out, struct bytes pattern, struct arena *m, struct err *e);
/* The same, of the whole string. */
NEED int lang_pattern_whole(struct lang *out, const char *pattern, struct arena *m, struct err *e);

/* ---- building: an automaton with several ways at once, made one with one */
struct nfa_node {
	enum { NFA_SET, NFA_SPLIT, NFA_BEGIN, NFA_FINISH, NFA_END } kind;
	uint32_t a, b;                /* onward; of a set a */
	const uint32_t (*range)[2];   /* [n_ranges] of a set */
	size_t n_ranges;
};
NEED int lang_of_nfa(struct lang *out, const struct nfa_node *node, size_t n, uint32_t begin,
                     struct arena *m, struct err *e);

#endif
