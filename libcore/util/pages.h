/* SPDX-License-Identifier: MIT */
/* pages.h - wishes about the pages that memory is made of */
#ifndef CLM_UTIL_PAGES_H
#define CLM_UTIL_PAGES_H

#include <stddef.h>

enum { PAGES_LARGE = 2 << 20 };

/* Large pages for the n bytes at p, mapped from a file or just allocated and not yet
 * touched: whoever walks through more memory than the processor remembers small pages
 * of waits for their addresses. Without large pages all is slower and well. */
void pages_large(const void *p, size_t n);

#endif
