/* SPDX-License-Identifier: MIT */
/* normal.h - rewriting of text before it is cut: Unicode forms, replacements. */
#ifndef CLM_TEXT_NORMAL_H
#define CLM_TEXT_NORMAL_H

#include "text/regex.h"
#include "util/buf.h"

enum { NORMALS_MAX = 16 };

enum normal_kind {
	NORMAL_NFC,
	NORMAL_NFD,
	NORMAL_NFKC,
	NORMAL_NFKD,
	NORMAL_PREPEND, /* `with` before a text that is not empty */
	NORMAL_REPLACE, /* each `what`, or match of regex, by `with` */
	NORMAL_STRIP,   /* white space at the ends */
	/* character by character */
	NORMAL_LOWER,
	NORMAL_NO_MARKS,   /* without \p{M} */
	NORMAL_NO_ACCENTS, /* without \p{Mn} */
	NORMAL_CLEAN,      /* BERT's: no control characters, white space is a space */
	NORMAL_SPACE_CJK,  /* BERT's: spaces around CJK ideographs */
	NORMAL_NMT,        /* the same idea by a fixed list */
	NORMAL_CHARSMAP,   /* SentencePiece's rules, per grapheme */
};

struct charsmap;

struct normal {
	enum normal_kind kind;
	struct bytes what, with;
	struct regex *regex; /* owned */
	bool left, right;
	const struct charsmap *map;
};

struct normalizer {
	struct normal step[NORMALS_MAX];
	size_t n;
};
void normalizer_release(struct normalizer *z);

struct normal_room {
	struct buf text[2];
	struct regex_room regex;
	int32_t *cp; /* characters of one stretch */
	uint8_t *class;
	size_t n, room;
};
void normal_room_release(struct normal_room *r);

/* `out` is the text itself where nothing changed, else lies in the room until
 * the next call. Bytes that are not UTF-8 pass as they are. */
NEED int normalizer_run(const struct normalizer *z, struct bytes text, struct normal_room *room,
                        struct bytes *out, struct err *e);

/* The steps of the last group; -1 only for lack of memory or room. */
NEED int normal_chars(struct buf *out, struct bytes text, const struct normal *s, struct err *e);

#endif
