/* SPDX-License-Identifier: MIT */
/* page.h - the files of the page, embedded by scripts/embed-page (private to
 * serve/) */
#ifndef CLM_SERVE_PAGE_H
#define CLM_SERVE_PAGE_H

#include <stddef.h>

struct page_file {
	const char *name;          /* "index.html" */
	const unsigned char *p;
	size_t n;
};
extern const struct page_file page_files[];
extern const size_t n_page_files;

#endif
