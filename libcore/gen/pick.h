/* SPDX-License-Identifier: MIT */
/* pick.h - the numeric pieces of sampling: best, sum, selection.
 *
 * All of them pass over a row of logits in fixed blocks, allocate nothing,
 * and take NaN for the least of all values. Private to gen/. */
#ifndef CLM_GEN_PICK_H
#define CLM_GEN_PICK_H

#include <stddef.h>
#include <stdint.h>

/* The index of the largest value, the lowest one on ties; 0 when there is no
 * number at all. n >= 1. */
size_t pick_best(const float *x, size_t n);
/* ln of the sum of exp(x[i]), in f64. */
double pick_logsumexp(const float *x, size_t n);

struct cand {
	float logit;
	int32_t id;
	uint64_t mass; /* of its logit, by util/mass.h at scale 1 */
};
/* Puts first those candidates of which the mass before them, by falling
 * logit and rising id, is less than `mass`; the rest follows in no order.
 * Gives how many. With by_count every candidate has mass 1. */
size_t pick_select(struct cand *c, size_t n, double mass, int by_count);
/* For a few hundred at most. */
void pick_sort_best(struct cand *c, size_t n); /* by falling logit, rising id */
void pick_sort_id(struct cand *c, size_t n);

#endif
