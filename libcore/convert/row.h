/* SPDX-License-Identifier: MIT */
/* row.h - one row of a weight from the form it has to the one it gets
 * (private to convert/) */
#ifndef CLM_CONVERT_ROW_H
#define CLM_CONVERT_ROW_H

#include "convert/plan.h"

struct row_in {
	const struct item *t;
	const unsigned char *weight, *scales, *biases;
	size_t row;             /* its number in its matrix, which the tiles go by */
	struct bytes tiles;
};
struct row_out {
	const struct item *t;
	unsigned char *q, *scales, *biases;
	const struct moments *moments; /* NULL: the plain rule */
	float *room;            /* [4 n_cols] */
};
/* The source's form has no decoder. */
bool row_is_unknown(const struct item *t);
/* Its rows come from f16 as they are: all of them fit it. */
bool row_was_f16(const struct item *t);
/* Where the first finite number is that f16 would make an infinite one; n: there is none. */
size_t row_over_f16(const float *f, size_t n);
/* Bytes of a row of the output, without scales and biases beside it. */
size_t row_bytes_out(const struct item *t);
void row_decode(float *out, const struct row_in *in);
/* Adds to error and norm what was lost and what was there, as squares. */
void row_encode(const struct row_out *out, const float *f, double *error, double *norm);
/* Codes that the output holds as they are. */
void row_move(const struct row_out *out, const struct row_in *in);
/* Tells the options' outcome() how the weight fared. */
void row_outcome(const struct plan *p, const struct item *t);

#endif
