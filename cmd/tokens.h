/* SPDX-License-Identifier: MIT */
/* tokens.h - one text's ids, and how they are shown */
#ifndef CLM_CMD_TOKENS_H
#define CLM_CMD_TOKENS_H

#include "feed.h"
#include "talk.h"

struct tokens_options {
	bool decode;            /* the input is ids, not text */
	bool jsonl;             /* the input is records, and so is the output */
	bool count, pieces;     /* what is shown in place of the ids */
	bool prompt;            /* ... and a conversation's text */
	bool no_special, special, bos, no_bos;
	const char *field;      /* of a record: the text, or the ids; NULL: "text", "ids" */
};
struct tokens {
	const struct tokens_options *o;
	const struct tokenizer *t;
	bool adds_bos;          /* the tokenizer does */
	const struct talk *talk; /* texts are conversations; NULL: they are not */
	struct bytes mark;      /* after a prompt's text */
};
/* ERR_INPUT where a BOS is asked for and there is none. */
NEED int tokens_begin(struct tokens *k, const struct tokens_options *o, const struct tokenizer *t,
                      struct err *e);
/* A text, or the ids in it, as the lines of the output. `ids` is scratch. */
NEED int tokens_line(const struct tokens *k, struct bytes text, struct ids *ids, struct buf *out,
                     struct err *e);
/* A record, as a record; one that is refused becomes an error and *failed.
 * `number` is its id if it has none. -1: the machine failed. */
NEED int tokens_record(const struct tokens *k, struct bytes line, size_t number, struct ids *ids,
                       struct buf *out, bool *failed, struct err *e);

#endif
