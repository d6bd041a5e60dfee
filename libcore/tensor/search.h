/* SPDX-License-Identifier: MIT */
/* search.h - inside tensor/: the least-squares searches of the encoders.
 *
 * Each gives n (at most 32) codes for values x under weights w, and the
 * scale. Sums run in element order in f32, so that the blocks are bit for
 * bit those that llama.cpp makes. */
#ifndef CLM_TENSOR_SEARCH_H
#define CLM_TENSOR_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

/* The first element of largest magnitude, with its sign; +0 if none. */
float search_extreme(const float *x, int n);
/* Codes -top .. top - 1, stored + top; the scale may be negative. w NULL:
 * x squared. */
float search_centred(uint8_t *code, const float *x, const float *w, int n, int top);
/* The same over -4..3, one code at a time, weighted by x squared. */
float search_three_bits(uint8_t *code, const float *x, int n);
/* How search_based() walks: from r0 on in steps of dr; by |error| or its square. */
struct search_walk { float r0, dr; int steps; bool absolute; };
/* Codes 0..top: x is about scale * code - *minimum. */
float search_based(uint8_t *code, float *minimum, const float *x, const float *w, int n, int top,
                   const struct search_walk *walk);
/* x >= 0, codes 0..top. */
float search_positive(uint8_t *code, const float *x, const float *w, int n, int top);

#endif
