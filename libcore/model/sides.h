/* SPDX-License-Identifier: MIT */
/* sides.h - what adapters add to a model's products, ready to be recorded
 * (private to model/) */
#ifndef CLM_MODEL_SIDES_H
#define CLM_MODEL_SIDES_H

#include "model/adapter.h"
#include "model/weights.h"

struct sides;
/* NULL for no sets. ERR_INPUT names a module that the model has not, or whose
 * shape differs. The adapters may be closed once it is open. */
NEED int sides_open(struct sides **out, const struct weights *w, const struct config *c,
                    const struct model_options *o, struct exec *x, struct err *e);
void sides_close(struct sides *s);
/* Every side has been recorded: the pass has a place for it. */
NEED int sides_all_used(const struct sides *s, struct err *e);

/* As op_matmul(), op_experts(), op_embed() and the product with the head, with their sides;
 * without any they record nothing else. s may be NULL. */
void sides_matmul(struct sides *s, struct record *r, const struct op_product *part, size_t n_parts,
                  struct slot *src, bool add);
void sides_experts(struct sides *s, struct record *r, const struct op_product *part,
                   size_t n_parts, struct slot *src, struct slot *chosen, size_t n_used);
void sides_embed(struct sides *s, struct record *r, struct slot *dst, const struct weight *table);
void sides_head(struct sides *s, struct record *r, struct slot *dst, const struct weight *head,
                struct slot *src);

#endif
