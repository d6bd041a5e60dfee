/* SPDX-License-Identifier: MIT */
/* synthetic.h - random weights of a known shape (private to model/) */
#ifndef CLM_MODEL_SYNTHETIC_H
#define CLM_MODEL_SYNTHETIC_H

#include "model/model.h"

NEED int synthetic_config(struct config *c, const char *name, enum dtype dtype, struct err *e);
/* Fill form and bytes of a desc whose sizes are set; the arena keeps them. */
NEED int synthetic_matrix(struct weight_desc *d, struct arena *a, enum dtype dtype, unsigned bits,
                          unsigned group, uint64_t *seed, struct err *e);
NEED int synthetic_vector(struct weight_desc *d, struct arena *a, enum dtype dtype, float centre,
                          uint64_t *seed, struct err *e);

#endif
