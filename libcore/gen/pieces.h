/* SPDX-License-Identifier: MIT */
/* pieces.h - the tree of a vocabulary's texts, for mask.c. Private to gen/. */
#ifndef CLM_GEN_PIECES_H
#define CLM_GEN_PIECES_H

#include "gen/mask.h"

/* Nodes in the order of their paths: a node's subtree follows it. */
struct piece_node {
	uint32_t skip;   /* the first node that is not below it */
	int32_t id;      /* a token that ends here, or -1 */
	int32_t under;   /* a token whose text begins with the path */
	uint16_t depth;  /* bytes of the path, from 1 */
	uint8_t byte;    /* its last */
};
struct pieces {
	size_t vocab;
	struct buf text;
	uint32_t *at;    /* [vocab + 1]: where each one's text is */
	int32_t *twin;   /* [vocab]: another token with this text, or -1 */
	bool *special;   /* [vocab] */
	struct piece_node *node;
	size_t n, depth; /* depth: of the deepest */
};
struct bytes pieces_text(const struct pieces *p, int32_t id);

#endif
