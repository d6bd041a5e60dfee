/* SPDX-License-Identifier: MIT */
/* texts.h - the kernel texts, embedded by scripts/embed-kernels with their
 * includes expanded (private to exec/) */
#ifndef CLM_EXEC_TEXTS_H
#define CLM_EXEC_TEXTS_H

#include <stddef.h>

struct kernel_text {
	const char *name;      /* "matmul.cl", "cpu/matmul.cl" */
	const char *text;      /* NUL-terminated */
	size_t n;              /* without the NUL */
};
/* n_kernel_texts rows, then one with a NULL name. */
extern const struct kernel_text kernel_texts[];
extern const size_t n_kernel_texts;

#endif
