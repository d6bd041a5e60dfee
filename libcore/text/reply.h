/* SPDX-License-Identifier: MIT */
/* reply.h - an answer that is being taken apart, for the files that do it. */
#ifndef CLM_TEXT_REPLY_H
#define CLM_TEXT_REPLY_H

#include "text/reason.h"

enum state {
	IN_CONTENT,
	IN_REASONING,
	IN_CALL,
	IN_WHOLE,  /* an answer that may be nothing but calls */
	IN_HEADER, /* of a harmony message */
};

struct reply {
	struct manner m;
	reply_fn *take;
	void *arg;
	cJSON *tools;
	enum state state, before; /* before: where a call began */
	bool may_be_whole;        /* nothing but white space has come */
	bool after_tag;           /* newlines here belong to the tag before */
	bool started;             /* a header is a header, not stray text */
	struct buf text;          /* may begin a tag */
	struct buf gap;           /* newlines that may belong to the next one */
	struct buf body;          /* of a call, a whole answer or a header */
	struct buf recipient;     /* of a harmony message that is a call */
	size_t n_calls;
};

/* Text as it is; calls, in calls_add()'s form. */
NEED int reply_text(struct reply *r, enum reply_kind kind, struct bytes text, struct err *e);
NEED int reply_give(struct reply *r, const cJSON *list, struct err *e);

/* Harmony's messages: the body was a header, and the message's text comes;
 * the message is over; and the prompt has begun one. */
void message_begin(struct reply *r);
NEED int message_end(struct reply *r, struct err *e);
void message_enter(struct reply *r, struct bytes prompt);

#endif
