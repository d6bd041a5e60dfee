/* SPDX-License-Identifier: MIT */
/* forward.h - the pass, recorded (private to model/) */
#ifndef CLM_MODEL_FORWARD_H
#define CLM_MODEL_FORWARD_H

#include "model/sides.h"

/* Records the pass for up to `rows` rows and `out` outputs; its result are
 * the logits of the picked rows, or what these are made from. */
struct forward_limits { size_t rows, out; bool hidden; };
NEED int forward_record(struct record **out, struct exec *x, struct exec_kv *kv,
                        const struct config *c, const struct weights *w, struct sides *sides,
                        const struct forward_limits *l, struct err *e);

#endif
