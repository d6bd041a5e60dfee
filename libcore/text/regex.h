/* SPDX-License-Identifier: MIT */
/* regex.h - regular expressions of tokenizer files, by PCRE2 with limits.
 * An expression from a file is never compiled to machine code. */
#ifndef CLM_TEXT_REGEX_H
#define CLM_TEXT_REGEX_H

#include "util/bytes.h"
#include "util/err.h"

enum { REGEX_BYTES = 1 << 16 }; /* of one expression */

struct regex;
enum regex_from { REGEX_OURS, REGEX_FILE };

/* ERR_INPUT with the place where the expression goes wrong. */
NEED int regex_open(struct regex **out, struct bytes pattern, enum regex_from from, struct err *e);
void regex_close(struct regex *r);

struct span {
	size_t begin, end;
};

struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;

/* What matching needs, kept between calls by one thread; {0} is empty. The
 * steps that all matches in one text may take together are bounded. */
struct regex_room {
	struct pcre2_real_match_data_8 *data;
	struct pcre2_real_match_context_8 *limits;
	uint64_t steps; /* left */
};
/* Before a text of so many bytes. */
NEED int regex_room_begin(struct regex_room *room, size_t n_bytes, struct err *e);
void regex_room_release(struct regex_room *room);

/* The next match at or after `from`; text is valid UTF-8. 1 found, 0 none,
 * -1 failed (ERR_INPUT past a limit). */
NEED int regex_find(const struct regex *r, struct regex_room *room, struct bytes text, size_t from,
                    struct span *out, struct err *e);

#endif
