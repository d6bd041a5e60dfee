/* SPDX-License-Identifier: MIT */
/* coded.h - weights whose stored form is no compute form (private to model/) */
#ifndef CLM_MODEL_CODED_H
#define CLM_MODEL_CODED_H

#include "exec/exec.h"
#include "format/format.h"

/* MLX's mxfp4 and nvfp4 become affine codes of 5 bits, mxfp8 floats; exactly
 * but for mxfp8 where bf16 has no such small number. The desc's rows are every
 * step-th of those given. */
NEED int coded_weight(struct weight_desc *d, struct arena *a, struct bytes codes,
                      struct bytes scales, size_t step, struct err *e);
/* fp8 with a scale for each 128 by 128 weights becomes f32: the desc's rows,
 * which are those from `first` on. */
NEED int tiled_weight(struct weight_desc *d, struct arena *a, struct source *s,
                      const struct tensor *t, const struct tensor *scale, size_t first,
                      struct err *e);

#endif
