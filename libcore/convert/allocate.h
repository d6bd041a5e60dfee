/* SPDX-License-Identifier: MIT */
/* allocate.h - a form for each weight, so that all come to a size (private
 * to convert/) */
#ifndef CLM_CONVERT_ALLOCATE_H
#define CLM_CONVERT_ALLOCATE_H

#include "convert/plan.h"

struct allocation {
	struct source *source;
	struct moment_set *moments;
	const int32_t *id;      /* the text that losses are measured on */
	size_t n_ids, window;
	double bits_per_weight; /* of all tensors together */
	enum dtype dtype;       /* of scales; DT_COUNT: the model's */
	int threads;
};
/* Rules by name, kept by the arena. */
NEED int allocate_bits(const struct rule **rule, size_t *n, const struct allocation *a,
                       struct arena *arena, struct err *e);

#endif
