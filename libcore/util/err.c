/* SPDX-License-Identifier: MIT */
/* err.c - errors that gain a prefix per level.
 *
 * Given a format, gives one line of valid UTF-8 without control bytes,
 * whatever the arguments held. Printing it is left to cmd/. */
#include "util/err.h"
#include "util/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* C0, DEL and C1: what a terminal could obey, or a log take for a new line. */
static int is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029;
}

/* Appends `raw` to out[at..ERR_TEXT), whole characters and escapes only;
 * gives the new end. */
static size_t add_escaped(char *out, size_t at, const char *raw)
{
	const unsigned char *p = (const unsigned char *)raw;
	size_t left = strlen(raw);

	while (left) {
		uint32_t cp;
		int len = utf8_decode(&cp, p, left);
		int keep = len > 0 && !is_control(cp);
		size_t take = len > 0 ? (size_t)len : 1;

		if (at + (keep ? take : 4 * take) >= ERR_TEXT)
			break;
		for (size_t i = 0; i < take; i++) {
			if (keep)
				out[at++] = (char)p[i];
			else
				at += (size_t)snprintf(out + at, 5, "\\x%02x", p[i]);
		}
		p += take;
		left -= take;
	}
	out[at] = '\0';
	return at;
}

/* Escaped fmt, ": ", then `tail` (already escaped) where there is one. */
static void put(struct err *e, const char *fmt, va_list args, const char *tail)
{
	char raw[ERR_TEXT], out[ERR_TEXT];
	size_t n;

	vsnprintf(raw, sizeof raw, fmt, args);
	n = add_escaped(out, 0, raw);
	if (tail) {
		n = add_escaped(out, n, ": ");
		add_escaped(out, n, tail);
	}
	memcpy(e->text, out, sizeof out);
}

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put(e, fmt, args, NULL);
	va_end(args);
	e->kind = kind;
	return -1;
}

int err_errno(struct err *e, const char *fmt, ...)
{
	char why[128];
	va_list args;
	const char *text = strerror_r(errno, why, sizeof why);

	va_start(args, fmt);
	put(e, fmt, args, text);
	va_end(args);
	e->kind = ERR_MACHINE;
	return -1;
}

int err_in(struct err *e, const char *fmt, ...)
{
	char old[ERR_TEXT];
	va_list args;

	memcpy(old, e->text, sizeof old);
	va_start(args, fmt);
	put(e, fmt, args, old);
	va_end(args);
	return -1;
}

int err_memory(struct err *e, size_t n_bytes)
{
	return err_set(e, ERR_MACHINE, "out of memory (%zu bytes)", n_bytes);
}

int err_exit_code(const struct err *e)
{
	static const int codes[] = {
		[ERR_NONE] = 0,  [ERR_NO] = 1,      [ERR_MISUSE] = 2,
		[ERR_INPUT] = 3, [ERR_MACHINE] = 4, [ERR_INTERRUPTED] = 130,
	};

	return codes[e->kind];
}
