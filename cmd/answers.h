/* SPDX-License-Identifier: MIT */
/* answers.h - conversations as jobs: the prompt from messages, the answer in
 * its parts */
#ifndef CLM_CMD_ANSWERS_H
#define CLM_CMD_ANSWERS_H

#include "jobs.h"
#include "talk.h"

enum answer_reasoning { ANSWER_HIDE, ANSWER_STDERR, ANSWER_STDOUT };
#define ANSWER_REASONING "hide stderr stdout"

/* The job's prompt, for what talk_prompt() takes. */
NEED int answer_begin(struct job *j, const struct talk *t, const cJSON *messages, const char *turn,
                      struct err *e);
/* ... for what a user says after the messages of the options; text.p NULL:
 * nothing. */
NEED int answer_turn(struct job *j, const struct talk *t, struct bytes text, struct err *e);
/* What is new of the answer, each part where it belongs; no more comes. */
NEED int answer_take(struct job *j, struct bytes text, struct err *e);
NEED int answer_end(struct job *j, struct err *e);

/* What has come and was not shown yet: with `echo` the prompt, the content, then a line of JSON per
 * call, then the mark. */
void answer_put(struct job *j, bool echo, enum answer_reasoning to, struct bytes mark);
/* Members of a record: , "reasoning": ..., "tool_calls": [...] */
void answer_record(struct buf *b, const struct job *j);

#endif
