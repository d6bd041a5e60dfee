/* SPDX-License-Identifier: MIT */
/* walk.h - where a text stands in a grammar. Private to gen/.
 *
 * A place is all the nodes at which the text read so far may stand, each with
 * the calls it has yet to return to. Places are numbered, a step from one to
 * the next is found once: most texts go in circles. */
#ifndef CLM_GEN_WALK_H
#define CLM_GEN_WALK_H

#include "gen/graph.h"

enum {
	PLACE_NOWHERE = 0,   /* no text goes on from here */
	STACK_EMPTY = 0,
	STACK_OPEN = 1,      /* returns to what is not known */
	WALK_DEPTH = 256,    /* calls within calls */
	WALK_WAYS = 16384,   /* nodes of a place */
	WALK_SOFT = 24 << 20, WALK_HARD = 192 << 20, /* bytes */
};
struct way { uint32_t stack, node; };
enum { PLACE_MAY_END = 1, PLACE_RETURNS = 2 }; /* returns: to the unknown */
struct place {
	const struct way *way; /* [n], by stack and node */
	uint32_t n;
	unsigned flags;
};
struct walk;
NEED int walk_open(struct walk **out, struct grammar *g, struct err *e);
void walk_close(struct walk *w);
/* Where every text begins. */
NEED int walk_begin(struct walk *w, uint32_t *out, struct err *e);
/* Where `place` is after a byte; PLACE_NOWHERE: it cannot be. ERR_INPUT where
 * the grammar is too ambiguous, ERR_MACHINE past the memory's ceiling. */
NEED int walk_step(struct walk *w, uint32_t place, unsigned char byte, uint32_t *out,
                   struct err *e);
struct place walk_place(const struct walk *w, uint32_t place); /* until the next call */
/* The place of these ways, with all their stacks replaced where `open`. */
NEED int walk_part(struct walk *w, const struct way *way, uint32_t n, bool open, uint32_t *out,
                   struct err *e);
/* Has so much been found that a fresh walk would do better? */
bool walk_full(const struct walk *w);
/* A place of one walk in another of the same grammar. */
NEED int walk_move(struct walk *to, const struct walk *from, uint32_t place, uint32_t *out,
                   struct err *e);

#endif
