/* SPDX-License-Identifier: MIT */
/* session.h - one timeline: what is known, what of it is computed, what it
 * said so far. Private to gen/.
 *
 * A session knows ids; its sequence holds those that were fed. Whatever is
 * known and not yet computed is to be fed: many ids are a prompt (or a
 * session that had to give its pages back), a single one is a decode step. */
#ifndef CLM_GEN_SESSION_H
#define CLM_GEN_SESSION_H

#include "gen/mask.h"
#include "gen/sampler.h"
#include "gen/stop.h"

enum { MASKS = 8 };

/* What all sessions of a batch share. */
struct talk {
	struct model *model;
	const struct tokenizer *tokenizer; /* NULL: no text */
	struct batch_events events;
	bool keep_special;
	size_t context, vocab;
	int32_t eos[16];
	size_t n_eos;
	struct ids exempt; /* from XTC: the line end and the EOS set */
	struct sampler_room *room;
	struct buf piece; /* the text of one token */
	/* of grammars: the vocabulary's tree, once one asked for it, and the
	 * masks of the last ones */
	struct pieces *pieces;
	struct mask *mask[MASKS];
	size_t next_mask;
	int32_t *top_id;  /* room for the most logprobs a request may want */
	float *top_logprob;
};

struct session {
	struct talk *talk;
	struct request r;
	void *user;
	uint64_t number; /* of arrival and priority: the highest is the last to be served */
	int32_t *id;     /* [n] all that is known */
	size_t n, room;
	size_t n_prompt, n_reused, n_made;
	size_t scored;   /* the place of the prompt that is told next */
	struct kv_seq *seq; /* NULL while it waits without pages */
	bool fixed;         /* its pages hold what no ids could bring back */
	bool begun;         /* admitted once */
	bool cancelled, ended, paused;
	bool in_work; /* has rows in the pass being planned */
	struct sampler *sampler;
	struct guard guard;   /* mask NULL: any token will do */
	struct buf owed;      /* text that the grammar has read and detok not given */
	struct stop stop;
	struct detok detok;
	struct buf text;      /* sure and not yet given */
	struct session *next; /* in the queue */
};

NEED int sessions_open(struct talk *t, struct model *m, const struct tokenizer *tokenizer,
                   const struct batch_options *o, const struct batch_events *ev, struct err *e);
void sessions_close(struct talk *t);
NEED int session_open(struct session **out, struct talk *talk, const int32_t *id, size_t n,
                      const struct request *r, struct kv_seq *take_seq, void *user, struct err *e);
void session_close(struct session *s);

/* ---- constrain.c: within the request's grammar, where it has one */
void talk_close_masks(struct talk *t);
NEED int session_constrain(struct session *s, struct err *e);
/* Whether the best token, of this logit, may be taken as it is. */
NEED int session_allows(struct session *s, int32_t id, float logit, bool *out, struct err *e);
/* 1: *id, the best one, is allowed and taken as it is; 0: the sampler knows
 * what its next draw may give; -1. */
NEED int session_draw_allowed(struct session *s, const float *logits, int32_t *id, struct err *e);
/* The token is made; and its text. */
NEED int session_stay(struct session *s, int32_t id, struct err *e);
NEED int session_said(struct session *s, struct bytes text, struct err *e);
/* Ids that are known and not computed. */
size_t session_pending(const struct session *s);
/* Draws the next token from logits, gives the event, and ends the session
 * where it must. */
void session_take(struct session *s, const float *logits);
/* What its next token takes of them, and that token, where an answer to this settles it. */
void session_ask(const struct session *s, struct ask *out);
bool session_settle(struct session *s, const struct answer *a, int32_t *id, float *logprob);
/* The token is this. */
void session_take_id(struct session *s, int32_t id, float logprob);
/* ---- places.c: of a prompt whose tokens are told */
bool session_scores(const struct session *s);
/* How many of its ids may come from other sequences. */
size_t session_may_reuse(const struct session *s);
/* What is wanted of its next rows: n is cut where they are not alike, and at
 * `most` rows that are told. */
enum want session_rows(const struct session *s, size_t have, size_t most, size_t *n);
/* The rows from `at` on have run. */
void session_score(struct session *s, size_t at, size_t n, const float *rows);
/* Gives the end event; the pages go back. */
void session_end(struct session *s, enum end_reason reason, const struct err *err);

#endif
