/* SPDX-License-Identifier: MIT */
/* sides_in.h - what sides.c binds and sides_record.c records (private to
 * both) */
#ifndef CLM_MODEL_SIDES_IN_H
#define CLM_MODEL_SIDES_IN_H

#include "model/sides.h"

/* How the weight is used: the head may be the table. */
enum use { USE_PRODUCT, USE_TABLE, USE_HEAD, USE_EXPERTS };
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

/* What is bound, and to what. */
struct binding {
	struct sides *s;
	const struct config *c;
	const struct bound *at;     /* the weight at hand */
	const struct side *side;
	const double *strength;     /* [n_sets + 1] of the adapter at hand */
	size_t head_rows;           /* of a head whose rows lie in pairs, else 0 */
	size_t first;               /* of the side's rows */
	bool table_only;
	struct exec *x;
};

struct sided *sides_find(struct sides *s, const struct weight *w, enum use use);
/* sides.c: as sides_find(), made where there is none yet; a strength for every set, `n` wide,
 * times by[k] where given. */
struct sided *sides_add(struct sides *s, const struct weight *w, const char *path, enum use use);
struct weight *sides_strengths(struct binding *b, const float *by, size_t n, struct err *e);
/* sides_experts.c: the side is of experts; all such sides of an adapter. */
bool sides_of_experts(const struct config *c, const struct side *s);
NEED int sides_bind_experts(struct binding *b, const struct adapter *a, const struct weights *w,
                            struct err *e);

#endif
