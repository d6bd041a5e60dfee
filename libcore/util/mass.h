/* SPDX-License-Identifier: MIT */
/* mass.h - exponentials as integers: their sums are the same in any order,
 * on the host and on a device (kernels/mass.clh has the same steps)
 *
 * The mass of x is 2^MASS_BITS exp((x - max) * scale), cut to an integer: that
 * of the largest value is 2^MASS_BITS, of NaN, of -inf and of what is less
 * than that part of the largest 0. The exponential is good to 2 ulp of f32. */
#ifndef CLM_MASS_H
#define CLM_MASS_H

#include <stddef.h>
#include <stdint.h>

/* so that the sum of 2^24 values fits; values that are summed by themselves */
enum { MASS_BITS = 38, MASS_BLOCK = 1024 };

/* x[i] <= max < inf throughout */
void mass_each(uint64_t *mass, const float *x, size_t n, float max, float scale);
/* The sum. block (NULL: not wanted) gets that of each MASS_BLOCK values. */
uint64_t mass_sum(uint64_t *block, const float *x, size_t n, float max, float scale);
/* `chance` / 2^32 of it, rounded down: less than all of it, if it is any. */
uint64_t mass_share(uint64_t mass, uint32_t chance);
/* The first index at which the sum up to it exceeds `at`, which is less than
 * all of it; block: as mass_sum() filled it. */
size_t mass_find(const uint64_t *block, const float *x, size_t n, float max, float scale,
                 uint64_t at);
/* ln of the sum of exp(x[i]) over those whose mass at scale 1 this is. */
double mass_log(uint64_t mass, float max);

#endif
