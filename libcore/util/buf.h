/* SPDX-License-Identifier: MIT */
/* buf.h - a buffer that grows up to a ceiling.
 *
 * A failed append leaves the buffer as it was and marks it failed; a caller
 * may append in straight lines and check once. p is always NUL-terminated
 * after the first append. */
#ifndef CLM_UTIL_BUF_H
#define CLM_UTIL_BUF_H

#include "util/bytes.h"
#include "util/err.h"

struct buf {
	unsigned char *p;
	size_t n, room;
	size_t ceiling;    /* 0: none */
	bool failed, over; /* over: failed at the ceiling */
};

/* {0} is a valid empty buffer without ceiling. */
void buf_init(struct buf *b, size_t ceiling);
void buf_release(struct buf *b);
void buf_clear(struct buf *b); /* empty and not failed; keeps the memory */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_add_text(struct buf *b, const char *text);
int buf_add_byte(struct buf *b, unsigned char c);
int buf_add_zeros(struct buf *b, size_t n);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
struct bytes buf_bytes(const struct buf *b);
/* 0, or -1 with ERR_MACHINE (memory) or ERR_INPUT (ceiling). */
NEED int buf_check(const struct buf *b, struct err *e);

#endif
