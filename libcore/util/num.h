/* SPDX-License-Identifier: MIT */
/* num.h - checked sizes; text to numbers. All return true on success; on
 * overflow or bad text the output is left alone and the answer is false. */
#ifndef CLM_UTIL_NUM_H
#define CLM_UTIL_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool num_mul(size_t *out, size_t a, size_t b);
bool num_add(size_t *out, size_t a, size_t b);
bool num_round_up(size_t *out, size_t a, size_t multiple); /* multiple > 0 */
/* "4096", "4k" (4096), "1M", "2G": powers of 1024; whole text. */
bool num_size(size_t *out, const char *text);
bool num_i64(int64_t *out, const char *text);
bool num_u64(uint64_t *out, const char *text);
/* Finite decimal numbers in the C locale, whole text. */
bool num_f64(double *out, const char *text);
/* "%.9g" in the C locale whatever the locale is; out of 32 bytes. */
const char *num_text_f64(char out[32], double v);

#endif
