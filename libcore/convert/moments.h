/* SPDX-License-Identifier: MIT */
/* moments.h - second moments of what enters each product (private to
 * convert/)
 *
 * H = sum x x^T over the rows of a calibration text, in blocks along the
 * diagonal. H = (I + F) D (I + F)^T with F strictly upper: the error e of a
 * row of the weight costs sum_j D_j (e_j + sum_{i<j} e_i F_ij)^2, so that
 * each column can make up for those before it. Frantar et al., 2022,
 * arXiv:2210.17323; in this form Chee et al., 2023, arXiv:2307.13304 */
#ifndef CLM_CONVERT_MOMENTS_H
#define CLM_CONVERT_MOMENTS_H

#include "model/model.h"
#include "util/thread.h"

enum { MOMENT_BLOCK = 1024 };

struct moments {
	size_t n_in, block;     /* columns in all, and of a block (the last may be short) */
	size_t n_rows;          /* that were summed */
	float *h;               /* [n_in][block]: h[i][j - first of the block]; a mean, and damped */
	float *diagonal;        /* [n_in]: of it, not damped */
	float *f, *pivot;       /* F as h (upper half), D; between factor and forget */
	bool table;             /* it is the embedding too */
	bool finished;
};
struct moment_set;

/* Runs the ids through the model, windows of `window`. */
NEED int moment_set_open(struct moment_set **out, struct source *s, const int32_t *id, size_t n,
                         size_t window, int threads, struct err *e);
void moment_set_close(struct moment_set *m);
/* Of the weight of this name of ours; NULL: it was not seen. */
struct moments *moment_set_find(const struct moment_set *m, const char *name);
/* H to F and D; kept until they are forgotten. */
NEED int moments_factor(struct moments *m, struct pool *pool, struct err *e);
void moments_forget_factor(struct moments *m);

/* ---- fit_row.c */

/* One row of n_in weights to codes of an affine form: each column makes up
 * for the errors before it, then scales, biases and codes are changed one by
 * one while the row's error under H falls. scales, biases: as stored in t.
 * room: 3 n_in floats. Gives that error. */
double fit_row(void *q, float *scales, float *biases, const float *w, const struct moments *m,
               unsigned bits, unsigned group, enum dtype t, float *room);

#endif
