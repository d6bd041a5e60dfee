/* SPDX-License-Identifier: MIT */
/* feed.h - texts from files and standard input, one at a time */
#ifndef CLM_CMD_FEED_H
#define CLM_CMD_FEED_H

#include "cli.h"
#include "text/text.h"
#include "util/buf.h"

/* How a user says what a text is. */
struct feed_options {
	bool lines, zero, raw;
};
enum { FEED_N = 3 };
extern const struct cli_option feed_table[FEED_N];

enum feed_cut {
	FEED_WHOLE,   /* a file is a text, its one final newline dropped */
	FEED_RAW,     /* every byte of it */
	FEED_LINES,   /* a line is a text */
	FEED_ZERO,    /* NUL ends a text */
	FEED_PIECES,  /* whatever has come, as soon as it has */
};
enum feed_cut feed_cut(const struct feed_options *o); /* misuse ends the command */
/* What the output puts after a text: "\n", "\0" (n 1) or nothing. */
struct bytes feed_end_mark(const struct feed_options *o);

struct feed;
/* `files`: ended by NULL; none, or "-", is standard input. A text may have
 * `ceiling` bytes. The names stay borrowed. */
NEED int feed_open(struct feed **out, char *const *files, enum feed_cut cut, size_t ceiling,
                   struct err *e);
void feed_close(struct feed *f);

enum feed_result {
	FEED_ERROR = -1,
	FEED_END,     /* nothing comes any more */
	FEED_TEXT,    /* *out, until the next call */
	FEED_LATER,   /* nothing yet; only where `wait` is false */
	FEED_LONG,    /* a line or NUL-ended text over the ceiling; it was passed over */
};
enum feed_result feed_next(struct feed *f, bool wait, struct bytes *out, struct err *e);
/* Number of the last text, from 1, over all files; and the file it is in. */
size_t feed_number(const struct feed *f);
const char *feed_file(const struct feed *f);

/* No file is named and standard input is a terminal: nobody would know what
 * the command waits for. */
bool feed_would_wait(char *const *files);

/* Decimal ids with blanks between, appended. ERR_INPUT with the place. */
NEED int feed_ids(struct ids *out, struct bytes text, struct err *e);

#endif
