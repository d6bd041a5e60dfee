/* SPDX-License-Identifier: MIT */
/* forward.h - the pass, recorded (private to model/) */
#ifndef CLM_MODEL_FORWARD_H
#define CLM_MODEL_FORWARD_H

#include "model/sides.h"

/* Records the pass for up to max_rows rows and max_out outputs; its result
 * are the logits of the picked rows. */
NEED int forward_record(struct record **out, struct exec *x, struct exec_kv *kv,
                        const struct config *c, const struct weights *w, struct sides *sides,
                        size_t max_rows, size_t max_out, struct err *e);

#endif
