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
};

struct normal {
	enum normal_kind kind;
	struct bytes what, with;
	struct regex *regex; /* owned */
	bool left, right;
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

#endif
