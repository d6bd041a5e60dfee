/* SPDX-License-Identifier: MIT */
/* arena.c - memory that is freed all at once.
 *
 * Given sizes, gives zeroed memory out of blocks that double up to a
 * megabyte; what is larger than a quarter of a block gets its own. */
#include "util/arena.h"
#include "util/num.h"
#include "util/pages.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, BLOCK_MAX = 1 << 20 };

/* With a block per allocation the address sanitizer sees each end. */
#if defined(__SANITIZE_ADDRESS__)
#define BLOCK_MIN 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_MIN 0
#endif
#endif
#ifndef BLOCK_MIN
#define BLOCK_MIN 4096
#endif

struct arena_block {
	struct arena_block *next;
	size_t used, room;
	unsigned char *base; /* aligned, inside this same allocation */
};

void arena_init(struct arena *a, size_t ceiling)
{
	*a = (struct arena){ .ceiling = ceiling };
}

void arena_release(struct arena *a)
{
	if (!a)
		return;
	for (struct arena_block *b = a->first, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	a->first = NULL;
	a->n_bytes = 0;
}

static struct arena_block *block_new(size_t room)
{
	struct arena_block *b;
	size_t size;

	if (!num_add(&size, room, sizeof *b + ALIGN - 1))
		return NULL;
	b = calloc(1, size); /* big blocks come as untouched pages */
	if (!b)
		return NULL;
	if (room > BLOCK_MAX)
		pages_large(b, size);
	b->room = room;
	b->base = (unsigned char *)(((uintptr_t)(b + 1) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
	return b;
}

/* A block with room for n more bytes, first in the list unless it is one
 * allocation's own. */
static struct arena_block *block_add(struct arena *a, size_t n)
{
	struct arena_block *b, *first = a->first;
	size_t room = first ? first->room * 2 : BLOCK_MIN;

	if (room > BLOCK_MAX)
		room = BLOCK_MAX;
	if (BLOCK_MIN == 0 || n > room / 4)
		room = n;
	b = block_new(room);
	if (!b)
		return NULL;
	if (first && room == n) {
		b->next = first->next;
		first->next = b;
	} else {
		b->next = first;
		a->first = b;
	}
	return b;
}

static void *take(struct arena *a, size_t n, size_t align, struct err *e)
{
	struct arena_block *b = a->first;
	size_t at = 0, total;

	if (!num_add(&total, a->n_bytes, n) || (a->ceiling && total > a->ceiling)) {
		err_set(e, ERR_MACHINE, "%zu bytes more than the %zu of %zu in use", n, a->n_bytes,
		        a->ceiling);
		return NULL;
	}
	if (b)
		at = (b->used + align - 1) & ~(align - 1);
	if (!b || at > b->room || n > b->room - at) {
		at = 0;
		b = block_add(a, n);
		if (!b) {
			err_memory(e, n);
			return NULL;
		}
	}
	b->used = at + n;
	a->n_bytes = total;
	return b->base + at;
}

void *arena_new(struct arena *a, size_t n, size_t size, struct err *e)
{
	size_t n_bytes;

	if (!num_mul(&n_bytes, n, size) || n_bytes > SIZE_MAX / 2) {
		err_set(e, ERR_MACHINE, "out of memory (%zu times %zu bytes)", n, size);
		return NULL;
	}
	return take(a, n_bytes, ALIGN, e);
}

char *arena_text(struct arena *a, const void *p, size_t n, struct err *e)
{
	char *text;

	if (n >= SIZE_MAX / 2) {
		err_memory(e, n);
		return NULL;
	}
	text = take(a, n + 1, 1, e);
	if (text && n)
		memcpy(text, p, n);
	return text;
}

char *arena_printf(struct arena *a, struct err *e, const char *fmt, ...)
{
	va_list args, again;
	char *text = NULL;
	int n;

	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, args);
	if (n < 0)
		err_errno(e, "cannot format a text");
	else
		text = take(a, (size_t)n + 1, 1, e);
	if (text)
		vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(args);
	return text;
}
