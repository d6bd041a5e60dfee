/* SPDX-License-Identifier: MIT */
/* inventory.h - what a source lacks of its family, and has beyond it
 * (private to model/) */
#ifndef CLM_MODEL_INVENTORY_H
#define CLM_MODEL_INVENTORY_H

#include "model/bind.h"

NEED int inventory_open(struct binder *b, struct err *e);
/* A tensor that a slot asked for: it is there, or (its name in the file) it
 * is not: the others are asked for all the same. */
void inventory_seen(struct binder *b, const struct tensor *t);
NEED int inventory_missing(struct binder *b, const char *name, struct err *e);
/* ERR_INPUT with all that is missing, or with all that the family does not
 * know. Fills weights.left_out. */
NEED int inventory_check(const struct binder *b, struct err *e);

#endif
