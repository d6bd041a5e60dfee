/* SPDX-License-Identifier: MIT */
/* maker.h - an automaton of strings, made a state at a time. Private to gen/. */
#ifndef CLM_GEN_MAKER_H
#define CLM_GEN_MAKER_H

#include "gen/lang.h"
#include "util/map.h"

/* Zeroed but for m; edge is freed by the caller. */
struct maker {
	struct arena *m;
	struct lang_state *state;
	size_t n, room, n_edges;
	struct lang_edge *edge; /* of the state being made */
	size_t n_edge, edge_room;
};
int maker_too_big(struct err *e);
/* A state without edges yet. */
NEED int maker_state(struct maker *k, uint32_t *out, struct err *e);
/* Ranges come ascending; neighbours that lead to one state are one. */
NEED int maker_edge(struct maker *k, uint32_t lo, uint32_t hi, uint32_t to, struct err *e);
/* The edges since the last call are this state's. */
NEED int maker_end(struct maker *k, uint32_t state, bool ends, struct err *e);
/* All but the states that lead to no end. */
NEED int maker_trim(struct lang *out, struct maker *k, struct err *e);

/* States by what they stand for. */
struct names {
	struct map map;
	struct arena *m;
};
/* The state of this name; *new: it was made. */
NEED int maker_named(struct names *t, struct maker *k, const void *name, size_t size,
                     uint32_t *out, bool *new, struct err *e);

#endif
