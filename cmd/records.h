/* SPDX-License-Identifier: MIT */
/* records.h - JSONL: a line to a job, a job to a line */
#ifndef CLM_CMD_RECORDS_H
#define CLM_CMD_RECORDS_H

#include "answers.h"

struct record_rules {
	const struct tokenizer *tokenizer;
	const struct request *request;  /* what a record does not say */
	const struct talk *talk;        /* prompts are conversations; NULL: they are not */
	bool echo, with_ids;
};
/* A line {"id", "prompt", "ids" or "messages", and any request option}. A record that is
 * refused is a job that has ended in an error. NULL: no memory. */
NEED struct job *record_job(const struct record_rules *r, size_t number, struct bytes line,
                            struct err *e);
/* One that could not even be read. */
NEED struct job *record_refused(const struct record_rules *r, size_t number, const struct err *why,
                                struct err *e);
/* {"id", "text", "ids", "finish_reason", ...} or {"id", "error"}, a line. */
void record_put(const struct record_rules *r, struct job *j);
/* A record's id, as it was written; what was there stays where it has none. */
NEED int record_take_id(struct buf *out, struct bytes line, struct err *e);
/* The member of a record that failed: , "error": {"type", "message"} */
void record_add_error(struct buf *b, const struct err *why);

#endif
