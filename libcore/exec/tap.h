/* SPDX-License-Identifier: MIT */
/* tap.h - a look at what goes into each product and comes out of it. Part of
 * the door of exec/; the cpu device alone has it. */
#ifndef CLM_EXEC_TAP_H
#define CLM_EXEC_TAP_H

#include <stddef.h>

/* Called after part `part` of a product: x [n_rows][n_in] went in, y
 * [n_rows][n_out] is what it was written or added to, and may be changed.
 * Parts of one product share x. */
struct exec_tap {
	void (*product)(void *arg, const char *weight, size_t part, size_t n_rows, const float *x,
	                size_t n_in, float *y, size_t n_out);
	void *arg;
};

#endif
