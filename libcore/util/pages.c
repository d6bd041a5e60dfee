/* SPDX-License-Identifier: MIT */
/* pages.c - wishes about the pages that memory is made of. */
#include "util/pages.h"

#include <stdint.h>
#include <sys/mman.h>

enum { LARGE_PAGE = 2 << 20 };

void pages_large(const void *p, size_t n)
{
#ifdef MADV_HUGEPAGE
	size_t before = (LARGE_PAGE - (uintptr_t)p % LARGE_PAGE) % LARGE_PAGE;

	if (n >= before + LARGE_PAGE)
		(void)!madvise((void *)((uintptr_t)p + before),
		               (n - before) / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#else
	(void)p;
	(void)n;
#endif
}
