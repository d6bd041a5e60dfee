/* SPDX-License-Identifier: MIT */
/* sides_in.h - what sides.c binds and sides_record.c records (private to
 * both) */
#ifndef CLM_MODEL_SIDES_IN_H
#define CLM_MODEL_SIDES_IN_H

#include "model/sides.h"

/* How the weight is used: the head may be the table. */
enum use { USE_PRODUCT, USE_TABLE, USE_HEAD };
/* dst += wide * (B (mid * (A src))); mid or wide is NULL: 1. */
struct low {
	struct weight *a, *b, *mid, *wide;
	size_t rank, n_out;
};
/* A gain for every set, [n_sets + 1][n]; at NULL: there is none. */
struct gains {
	float *at;
	size_t n;
	struct weight *w;      /* once all adapters are in it */
};
struct sided {
	const struct weight *w;
	const char *path;
	enum use use;
	struct gains in;       /* of the input */
	struct gains gain, shift; /* of the base product, bias and all */
	struct low *low;       /* [n_low] */
	size_t n_low;
	struct gains out;      /* of the whole */
	bool used;
};
struct sides {
	struct arena arena;
	size_t n_sets;
	struct sided *sided;   /* [n_sided] */
	size_t n_sided;
	struct weight **all;   /* for closing */
	size_t n_all;
};

struct sided *sides_find(struct sides *s, const struct weight *w, enum use use);

#endif
