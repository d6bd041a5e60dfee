/* SPDX-License-Identifier: MIT */
/* tasks.h - texts, pairs and prompts to score: a line or a record to a task */
#ifndef CLM_CMD_TASKS_H
#define CLM_CMD_TASKS_H

#include "gen/gen.h"
#include "util/digest.h"

enum task_op { TASK_ROLLING, TASK_COMPLETION, TASK_NEXT };
const char *task_op_name(enum task_op op);

struct task {
	struct task *next;
	size_t number;
	struct buf id;         /* a record's, as JSON */
	enum task_op op;
	bool tokens;           /* each token is told */
	struct ids ids;
	struct score_text text; /* .user is the task */
	bool ended, known;     /* known: from the cache */
	struct err err;        /* it was refused */
	char key[DIGEST_TEXT]; /* in the cache */
	double began, seconds;
};
void task_free(struct task *t);

enum boundary { BOUNDARY_TEXT, BOUNDARY_TOKENS };
/* What a line or record does not say. */
struct task_rules {
	const struct tokenizer *tokenizer; /* NULL: ids only */
	bool no_special, ids, tokens;
	struct bytes prompt;   /* of every text; p NULL: none */
	int boundary;
	struct score_options o; /* window not 0 */
};
/* A refused text is a task that has ended with its error; NULL: no memory. */
NEED struct task *task_of_text(const struct task_rules *r, size_t number, struct bytes text,
                               struct err *e);
/* {"id", and "text" or "ids", or "prompt" or "prompt_ids" with "completion" or
 * "completion_ids" or alone, for what comes next; "boundary", "tokens", "top"} */
NEED struct task *task_of_record(const struct task_rules *r, size_t number, struct bytes line,
                                 struct err *e);
NEED struct task *task_refused(size_t number, const struct err *why, struct err *e);
/* Once its ids are there: room for what comes of it. */
NEED int task_prepare(struct task *t, const struct task_rules *r, struct err *e);

#endif
