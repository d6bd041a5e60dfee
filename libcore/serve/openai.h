/* SPDX-License-Identifier: MIT */
/* openai.h - what OpenAI's endpoints share. Private to serve/. */
#ifndef CLM_SERVE_OPENAI_H
#define CLM_SERVE_OPENAI_H

#include "serve/call.h"

const char *openai_reason(enum end_reason r);
/* What each object of an answer begins with, up to its choices: {"id":"...", ... */
void openai_head(struct call *c, const char *prefix, const char *object);
void openai_usage(struct call *c);       /* the object */
void openai_timings(struct call *c);     /* ,"timings":{...} */
void openai_logprob(struct buf *b, double logprob); /* NaN: null */
void openai_tokens(struct buf *b, const struct choice *k); /* those to tell, with commas */
void openai_tell_tokens(struct call *c); /* how many the prompt has; ends c */
/* Voices of streams. */
void openai_ping(struct call *c);
void openai_fault(struct call *c, const struct fault *f);
/* temperature, top_p, seed, stop, penalties, ... */
NEED int openai_sampling(struct call *c, struct fault *f);
/* stream and stream_options. */
NEED int openai_stream(struct call *c, struct fault *f);
/* An array of ids below `vocab`. */
NEED int openai_ids(struct ids *out, const cJSON *array, size_t vocab, const char *name,
                    struct fault *f);
/* All of a chat's body to a prompt with its choices. */
NEED int openai_chat_ask(struct call *c, struct fault *f);
/* The body's messages, checked, in the template's form. NULL: a fault. */
cJSON *openai_messages(const cJSON *body, struct fault *f);

#endif
