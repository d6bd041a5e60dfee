/* SPDX-License-Identifier: MIT */
/* score.h - how likely given tokens are, and what may come after them (a
 * part of gen.h) */
#ifndef CLM_GEN_SCORE_H
#define CLM_GEN_SCORE_H

#include "model/model.h"
#include "text/text.h"

/* Windows of `window` ids (0: one window), each on its own, `first` (>= 1) the
 * first scored place in a window; a final partial window is scored too
 * unless whole_only; bos >= 0 replaces the first id of each window. */
struct score_options {
	size_t window, first;
	bool whole_only;
	int32_t bos;
	size_t top;            /* ids after the last, most likely first; of one window only */
	int32_t adapter;       /* as the model numbers its sets; 0: none */
};
enum score_tail { TAIL_NONE, TAIL_ZERO, TAIL_MASS }; /* all ids are listed; no mass; some */
struct score_text {
	const int32_t *id;     /* [n]; they stay until its end */
	size_t n;
	struct score_options o;
	void *user;
	/* what comes of it */
	double *logprob;       /* [n], NaN where it is not scored; the caller's room */
	size_t n_scored;
	double nll;            /* sum of -ln p, by place */
	bool greedy;           /* every scored id is the most likely one */
	int32_t *top_id;       /* [o.top], the caller's room */
	double *top_logprob;
	size_t n_top;          /* at most the vocabulary */
	enum score_tail tail;
	double tail_logprob;   /* of all other ids together */
};
/* Many texts in each pass; numbers do not depend on the others. `end` comes
 * once for each text that was taken, in any order; err NULL: all went well. */
struct scorer;
NEED int scorer_open(struct scorer **out, struct model *m,
                     void (*end)(void *arg, struct score_text *t, const struct err *err),
                     void *arg, struct err *e);
void scorer_close(struct scorer *s); /* texts still there get no end */
/* ERR_INPUT for ids or windows that the model has not. The text stays the caller's. */
NEED int scorer_add(struct scorer *s, struct score_text *t, struct err *e);
size_t scorer_active(const struct scorer *s);
NEED int scorer_step(struct scorer *s, struct err *e); /* one pass; -1: nothing can go on */

/* A prompt and its completion to ids; `first` is the first of the completion's. They are cut
 * together, a token across the border is ERR_INPUT; or each alone. */
struct score_pair {
	struct bytes prompt, completion;
	bool has_completion, by_tokens;
	unsigned flags;        /* of the encoding */
};
NEED int score_join(const struct tokenizer *t, const struct score_pair *p, struct ids *out,
                    size_t *first, struct err *e);

/* ---- compare: how far views of one text lie apart, in nats */
struct divergence { double kl, reverse, js; bool agree; }; /* KL(a|b), KL(b|a), Jensen-Shannon */
void divergence_of(struct divergence *out, const float *a, const float *b, size_t n);
/* A model under one of its adapters (0: none); views of one model side by side. */
struct view { struct model *m; int32_t adapter; };
struct view_sum {
	size_t n, agree;       /* rows; of them, with the base's most likely token */
	double nll;            /* sums: of -ln p of the tokens that follow, */
	double kl, reverse, js; /* from the base, KL(base|view), ... */
	double most;           /* the largest KL of a row */
};
/* Ids in windows; those at `first` (0 counts as 1) and after it are counted. */
struct view_text { const int32_t *id; size_t n, first, window; };
/* Adds to sum[i] what view i makes of the text; view 0 is the base. The pools hold a window of
 * every view; ERR_INPUT where vocabularies differ. */
NEED int compare_views(struct view_sum *sum, const struct view *v, size_t n,
                       const struct view_text *text, struct err *e);

#endif
