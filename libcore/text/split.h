/* SPDX-License-Identifier: MIT */
/* split.h - cut text into the pieces that are merged alone.
 *
 * A splitter is a list of steps; each cuts the pieces that the one before it
 * left. Given a text, it gives pieces in order; their bytes lie in the text
 * or in the room given and live until the piece has been taken. */
#ifndef CLM_TEXT_SPLIT_H
#define CLM_TEXT_SPLIT_H

#include "text/regex.h"
#include "text/scan.h"
#include "util/arena.h"
#include "util/buf.h"

enum { STEPS_MAX = 16 };

enum step_kind {
	STEP_SCAN, /* a known expression */
	STEP_REGEX,
	STEP_LITERAL,     /* a text */
	STEP_DIGITS,      /* runs of \p{N}, or each of them */
	STEP_PUNCTUATION, /* ASCII's and Unicode's */
	STEP_WHITE,       /* runs of white space */
	STEP_WORDS,       /* runs of \w, of what is neither that nor white; no white */
	STEP_METASPACE,   /* spaces become a mark; cut before each mark */
	STEP_PREFIX,      /* a space before text that begins with none */
};

enum behaviour {
	SPLIT_ISOLATED,
	SPLIT_REMOVED,
	SPLIT_WITH_PREVIOUS,
	SPLIT_WITH_NEXT,
	SPLIT_CONTIGUOUS,
};

enum prepend { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

struct step {
	enum step_kind kind;
	enum behaviour behaviour;
	bool invert; /* what lies between matches is the match */
	bool mapped; /* sees bytes spelled in the alphabet */
	const struct scan *scan;
	struct regex *regex;  /* owned */
	struct bytes literal; /* or the mark of metaspace */
	bool each;            /* digits one by one */
	enum prepend prepend;
	bool keep_whole; /* metaspace without cutting */
};

struct splitter {
	struct step step[STEPS_MAX];
	size_t n;
};
void splitter_release(struct splitter *s);

/* Room for texts that steps rewrite. */
struct split_room {
	struct buf step[STEPS_MAX], map[STEPS_MAX];
	struct regex_room regex;
};
void split_room_release(struct split_room *r);

typedef int piece_fn(void *to, struct bytes piece, struct err *e);
/* `first`: the text stands at the very beginning. Any bytes: what is not
 * valid UTF-8 matches nothing. -1 when a step or `take` fails. */
NEED int splitter_run(const struct splitter *s, struct bytes text, bool first,
                      struct split_room *room, piece_fn *take, void *to, struct err *e);

#endif
