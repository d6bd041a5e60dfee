/* SPDX-License-Identifier: MIT */
/* arena.h - memory that is freed all at once: an arena per lifetime. */
#ifndef CLM_UTIL_ARENA_H
#define CLM_UTIL_ARENA_H

#include "util/err.h"

struct arena_block;
struct arena {
	struct arena_block *first;
	size_t n_bytes; /* handed out so far */
	size_t ceiling; /* 0: none; past it an allocation fails */
};

/* {0} is a valid empty arena without ceiling. */
void arena_init(struct arena *a, size_t ceiling);
/* Frees everything; the arena is empty and usable again. NULL is fine. */
void arena_release(struct arena *a);
/* Zeroed, aligned to 64. NULL with ERR_MACHINE past the ceiling or memory;
 * n * size is checked. n == 0 gives a valid pointer. */
NEED void *arena_new(struct arena *a, size_t n, size_t size, struct err *e);
/* A NUL-terminated copy of n bytes. */
NEED char *arena_text(struct arena *a, const void *p, size_t n, struct err *e);
NEED char *arena_printf(struct arena *a, struct err *e, const char *fmt, ...) PRINTF(3, 4);

#endif
