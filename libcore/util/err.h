/* SPDX-License-Identifier: MIT */
/* err.h - errors that gain a prefix per level.
 *
 * A function that can fail returns 0 or -1 (or a pointer or NULL) and takes
 * a struct err last. The leaf says what it expected and found; callers add
 * only what they know. Text that came from a file is printed with its
 * control bytes escaped, so that a message is always one line. */
#ifndef CLM_UTIL_ERR_H
#define CLM_UTIL_ERR_H

#include <stdarg.h>
#include <stddef.h>

#define NEED __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum err_kind {
	ERR_NONE,
	ERR_NO,          /* exit 1: the answer is no, or some records failed */
	ERR_MISUSE,      /* exit 2 */
	ERR_INPUT,       /* exit 3: the input is refused */
	ERR_MACHINE,     /* exit 4: memory, disk, device; retrying may help */
	ERR_INTERRUPTED, /* exit 130 */
};

enum { ERR_TEXT = 1024 };

struct err {
	enum err_kind kind;
	char text[ERR_TEXT];
};

/* Sets kind and text (cut, never overrun; control bytes become \xHH).
 * Always returns -1. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...) PRINTF(3, 4);
/* As err_set() of ERR_MACHINE, with ": " and strerror(errno) at the end. */
int err_errno(struct err *e, const char *fmt, ...) PRINTF(2, 3);
/* Puts "prefix: " before the text that is there. Always returns -1. */
int err_in(struct err *e, const char *fmt, ...) PRINTF(2, 3);
/* ERR_MACHINE, "out of memory (N bytes)". Always returns -1. */
int err_memory(struct err *e, size_t n_bytes);
/* The exit code of a kind: 0, 1, 2, 3, 4 or 130. */
int err_exit_code(const struct err *e);

#endif
