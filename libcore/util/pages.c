/* SPDX-License-Identifier: MIT */
/* pages.c - wishes about the pages that memory is made of. */
#include "util/pages.h"

#include <stdint.h>
#include <sys/mman.h>

void pages_large(const void *p, size_t n)
{
#ifdef MADV_HUGEPAGE
	size_t before = (PAGES_LARGE - (uintptr_t)p % PAGES_LARGE) % PAGES_LARGE;

	if (n >= before + PAGES_LARGE)
		(void)!madvise((void *)((uintptr_t)p + before),
		               (n - before) / PAGES_LARGE * PAGES_LARGE, MADV_HUGEPAGE);
#else
	(void)p;
	(void)n;
#endif
}
