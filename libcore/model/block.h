/* SPDX-License-Identifier: MIT */
/* block.h - the kinds of blocks that layers are made of (private to model/)
 *
 * A block is recorded over the rows of a pass: it reads the residual stream
 * and adds to it. A file per kind; each opens its own slots once. */
#ifndef CLM_MODEL_BLOCK_H
#define CLM_MODEL_BLOCK_H

#include "model/sides.h"

struct pass {
	struct record *r;
	const struct config *c;
	const struct weights *w;
	struct sides *sides;          /* NULL: none */
	struct rope rope, local;      /* of full layers; of those that slide */
	struct slot *x, *h, *y;       /* the residual stream; its norm; what joins it normed */
	struct slot *q, *k, *v, *mix; /* attention */
	struct slot *full_q, *full_k, *full_v, *full_mix; /* of full layers */
	struct slot *gate, *up;       /* feed-forward */
	struct slot *wide_gate, *wide_up; /* of layers whose is wider */
	struct slot *owns, *own_given, *own, *own_gate; /* embeddings of the layers */
	struct slot *logits, *chosen, *gates, *ups, *each, *shared_gate, *shared_up; /* experts */
	/* latent attention: queries before and after their matrices, the cached, what comes out */
	struct slot *low, *heads, *nope, *seen, *query, *latent, *pe, *key, *mixed, *values;
	struct slot *asked, *ask;     /* queries with their gates, and these */
	struct slot *share, *shares;  /* of the shared expert: its logit; as experts are weighed */
	/* the delta rule: what goes in and what its convolution gives (q, k, v each), its
	 * gates, low ranks of them, what comes out */
	struct slot *qkvz, *ba, *raw[3], *qkv[3], *decay, *beta, *outer, *ranks[2], *told;
	struct slot *b, *u;           /* short convolution; its outer gate is y */
};

static inline struct op_product product(struct slot *dst, const struct weight *w,
                                        const struct weight *bias)
{
	return (struct op_product){ dst, w, bias };
}

/* op_matmul() with what adapters add: every product of a pass goes this way */
static inline void block_matmul(struct pass *p, const struct op_product *part, size_t n_parts,
                                struct slot *src, bool add)
{
	sides_matmul(p->sides, p->r, part, n_parts, src, add);
}

/* What a block reads: the stream, or its norm. */
struct slot *block_input(struct pass *p, const struct weight *norm);
/* x += W src (+ b), with a norm of the product in between where there is one */
void block_join(struct pass *p, const struct weight *w, const struct weight *b,
                const struct weight *norm, struct slot *src);

void attention_slots(struct pass *p);
void attention_block(struct pass *p, const struct layer *l, size_t i);
void latent_slots(struct pass *p);
void latent_block(struct pass *p, const struct layer *l, size_t i);
void conv_slots(struct pass *p);
void conv_block(struct pass *p, const struct layer *l, size_t i);
void delta_slots(struct pass *p);
void delta_block(struct pass *p, const struct layer *l, size_t i);
void kda_block(struct pass *p, const struct layer *l, size_t i);
void encoder_embed(struct pass *p);
void encoder_block(struct pass *p, const struct layer *l, size_t i);
void encoder_ffn(struct pass *p, const struct layer *l);
void ffn_slots(struct pass *p);
void ffn_block(struct pass *p, const struct layer *l);
void own_slots(struct pass *p);
void own_embed(struct pass *p);
void own_block(struct pass *p, const struct layer *l, size_t i);
void moe_slots(struct pass *p);
void moe_block(struct pass *p, const struct layer *l);

#endif
