/* SPDX-License-Identifier: MIT */
/* rows.h - the loops that quantizing a large model spends its time in, once
 * plain and once per instruction set, to the same bits (private to tensor/) */
#ifndef CLM_TENSOR_ROWS_H
#define CLM_TENSOR_ROWS_H

#include "tensor/tensor.h"

/* Groups are of `group` values, a multiple of 8; bits are 2 to 8. */
struct tensor_rows {
	const char *name;
	/* n values */
	void (*f16_decode)(float *out, const unsigned char *in, size_t n);
	/* The least and the largest value of each of n groups. */
	void (*ranges)(float *lo, float *hi, const float *w, size_t n, unsigned group);
	/* MLX's rule for n ranges; all arrays have room for n rounded up to 8. */
	void (*scales)(float *scale, float *bias, const float *lo, const float *hi, size_t n,
	               float top);
	/* Codes of n groups, packed. */
	void (*encode)(unsigned char *q, const float *w, const float *scale, const float *bias,
	               size_t n, unsigned group, unsigned bits);
	void (*decode)(float *out, const unsigned char *q, const float *scale, const float *bias,
	               size_t n, unsigned group, unsigned bits);
	/* As squares_add(), for at most 256 values. */
	void (*squares)(double *lost, double *all, const float *f, const float *d, const float *h,
	                size_t n);
};

extern const struct tensor_rows rows_plain;
/* NULL where this processor, or this build, has none. */
const struct tensor_rows *rows_avx2(void);
/* The fastest of this processor. */
const struct tensor_rows *rows_best(void);

#endif
