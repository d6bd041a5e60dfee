/* SPDX-License-Identifier: MIT */
/* buf.c - a buffer that grows up to a ceiling.
 *
 * Given appends, gives their bytes in a row; the first that finds no room
 * fails, and so do all after it until buf_clear(). */
#include "util/buf.h"
#include "util/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t ceiling)
{
	*b = (struct buf){ .ceiling = ceiling };
}

void buf_release(struct buf *b)
{
	if (!b)
		return;
	free(b->p);
	*b = (struct buf){ .ceiling = b->ceiling };
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = b->over = false;
	if (b->p)
		b->p[0] = '\0';
}

/* Room for n more bytes and the NUL behind them. */
static int grow(struct buf *b, size_t n)
{
	size_t need, room;
	unsigned char *p;

	if (b->failed)
		return -1;
	b->failed = true;
	if (!num_add(&need, b->n, n) || need >= SIZE_MAX / 2)
		return -1;
	if (b->ceiling && need > b->ceiling) {
		b->over = true;
		return -1;
	}
	if (need + 1 > b->room) {
		room = b->room ? b->room : 64;
		while (room < need + 1)
			room += room / 2;
		p = realloc(b->p, room);
		if (!p)
			return -1;
		b->p = p;
		b->room = room;
	}
	b->failed = false;
	return 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
	if (grow(b, n))
		return -1;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return 0;
}

int buf_add_text(struct buf *b, const char *text)
{
	return buf_add(b, text, strlen(text));
}

int buf_add_byte(struct buf *b, unsigned char c)
{
	return buf_add(b, &c, 1);
}

int buf_add_zeros(struct buf *b, size_t n)
{
	if (grow(b, n))
		return -1;
	memset(b->p + b->n, 0, n + 1);
	b->n += n;
	return 0;
}

/* Bytes more, with the NUL, that need no more memory. */
static size_t spare(const struct buf *b)
{
	size_t room = b->ceiling && b->ceiling < b->room ? b->ceiling + 1 : b->room;

	return b->p && !b->failed ? room - b->n : 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	size_t room = spare(b);
	va_list args, again;
	int n, rc = -1;

	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(room ? (char *)b->p + b->n : NULL, room, fmt, args);
	if (n < 0) {
		b->failed = true;
	} else if ((size_t)n < room) {
		rc = 0;
	} else if (grow(b, (size_t)n) == 0) {
		vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
		rc = 0;
	}
	if (rc == 0)
		b->n += (size_t)n;
	else if (room)
		b->p[b->n] = '\0';
	va_end(again);
	va_end(args);
	return rc;
}

struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){ b->p, b->n };
}

int buf_check(const struct buf *b, struct err *e)
{
	if (!b->failed)
		return 0;
	if (b->over)
		return err_set(e, ERR_INPUT, "more than %zu bytes", b->ceiling);
	return err_set(e, ERR_MACHINE, "out of memory (a buffer of over %zu bytes)", b->n);
}
