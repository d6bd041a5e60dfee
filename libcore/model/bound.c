/* SPDX-License-Identifier: MIT */
/* bound.c - which path a weight was found by, for what is named by paths:
 * the sides of adapters. */
#include <string.h>

#include "model/weights.h"

int weights_note(struct weights *w, const struct weight *m, const struct weight_desc *d,
                 const char *path, size_t first, size_t total, struct err *e)
{
	struct bound *b = w->bound + w->n_bound;

	if (d->n_out == 1) {
		if (w->n_bound && !strcmp(b[-1].path, path))
			b[-1].bias = *d;
		return 0;
	}
	*b = (struct bound){ .w = m, .d = *d, .first = first, .total = total };
	b->path = arena_printf(&w->arena, e, "%s", path);
	w->n_bound++;
	return b->path ? 0 : -1;
}
