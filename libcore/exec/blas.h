/* SPDX-License-Identifier: MIT */
/* blas.h - products of many rows by CLBlast (private to exec/)
 *
 * On a GPU for which only the portable rows are there, and where results may
 * depend on the batch (EXEC_RELAXED), each product is planned twice: by these
 * rows, and as f32 weights for the library. Which runs from how many live rows
 * on is measured when a record ends, once for each form of weights. A CPU
 * never does: its own rows are faster by far. */
#ifndef CLM_EXEC_BLAS_H
#define CLM_EXEC_BLAS_H

#include "exec/launch.h"

/* y[t][0..n) (+)= sum over k of x[t][k] b[.][k]; x and y in floats of the scratch,
 * y's rows `width` apart, b in floats of its buffer, NULL: the scratch. */
struct blas_call {
	cl_mem b;
	size_t x_at, y_at, b_at, n, k, width;
	bool add;
};
/* A product by rows, launches first .. lib - 1, and by the library, lib .. end - 1. */
struct blas_choice {
	const struct weight *w;
	size_t first, lib, end, most, work; /* most: live rows it may have */
};

/* Opens the library where the device may want it; without it, or where rows of ours
 * are special, d->blas stays NULL. */
NEED int blas_open(struct opencl *d, unsigned flags, struct err *e);
void blas_close(struct opencl *d);
NEED int blas_run(struct opencl *d, const struct blas_call *c, size_t rows, struct err *e);
/* Floats behind the slots that unpacked weights need. */
size_t blas_inputs(const struct record *r);
/* Says which of both ways each product of the record goes, from what number of live rows on. */
NEED int blas_choose(struct record *r, struct err *e);

/* ---- launch_blas.c */
/* Adds the library's launches to those from `first` on. */
NEED int plan_blas(struct planner *p, const struct op *op, const struct piece *piece, size_t n,
                   size_t first);

#endif
