/* SPDX-License-Identifier: MIT */
/* gen.h - a session: tokens in, tokens out. The door of gen/. */
#ifndef CLM_GEN_H
#define CLM_GEN_H

#include "gen/grammar.h"
#include "model/model.h"
#include "text/text.h"

/* ---- request: one option table for the command line, JSONL and HTTP */
enum { STOP_MAX = 16 };
struct bias { int32_t id; float add; };
struct request {
	size_t max_tokens;     /* 0: only the prompt is computed */
	double temp, top_p, min_p, xtc_probability, xtc_threshold;
	size_t top_k, min_keep;
	double repetition_penalty, presence_penalty, frequency_penalty; /* 0: off */
	size_t repetition_context, presence_context, frequency_context; /* 20; 0: all */
	uint64_t seed;
	bool has_seed;         /* without: a seed of the system's */
	bool ignore_eos;
	size_t logprobs;       /* 0 none; n: the chosen and the n - 1 most likely */
	bool plain_logprobs;   /* the model's own: before bias and penalties */
	int priority;          /* -100 to 100: as though it came so many times 64 requests later */
	size_t score_first;    /* 0 none; from this place on (>= 1) each token of the prompt is told */
	char *stop[STOP_MAX];
	size_t n_stop;
	struct bias *bias;
	size_t n_bias;
	bool keep_special;     /* special tokens' text is shown, and may be a stop text */
	struct grammar *grammar; /* held; what the answer may be; NULL: anything */
	struct grammars *grammars; /* whose it is, with the tree; may be NULL */
	int32_t adapter;       /* n + 1: the model's adapter n; 0: what new sequences begin with */
};
enum request_type { REQ_SIZE, REQ_F64, REQ_BOOL, REQ_SEED, REQ_TEXTS, REQ_BIAS };
struct request_option {
	const char *name;      /* JSON key; with "-" for "_" the long option */
	enum request_type type;
	size_t at;             /* offset in struct request */
	double min, max;       /* allowed range of numbers */
	const char *arg, *help; /* for -h and the page; arg NULL: a flag */
};
extern const struct request_option request_options[];
extern const size_t n_request_options;
void request_init(struct request *r); /* defaults: greedy, 100 tokens */
NEED int request_copy(struct request *out, const struct request *r, struct err *e);
void request_release(struct request *r);
/* From text (command line; "--top-p: ...", ERR_MISUSE) or JSON ("top_p:
 * ...", ERR_INPUT): the message has name, range and what was found. Stop
 * texts and biases add up on the command line; JSON replaces what was there,
 * and null leaves it. */
NEED int request_set_text(struct request *r, const struct request_option *o, const char *text,
                          struct err *e);
NEED int request_set_json(struct request *r, const struct request_option *o, const cJSON *v,
                          struct err *e);

/* ---- batch: many sessions in one pass (continuous batching) */
struct batch;
struct session;
enum end_reason { END_NONE, END_STOP, END_LENGTH, END_ERROR, END_CANCELLED };
const char *end_reason_text(enum end_reason r); /* "stop", "length", ... */

struct token_event {
	int32_t id;
	bool eos;              /* it ended the session: counted, but it has no text */
	struct bytes text;     /* became whole and is surely no stop string; may be empty */
	float logprob;         /* with request.logprobs: before filters, after penalties or not */
	const int32_t *top_id; /* request.logprobs - 1 most likely, best first */
	const float *top_logprob;
	size_t n_top;
};
/* A token of the prompt, given those before it. */
struct place_event {
	size_t place;
	int32_t id;
	double logprob;        /* the model's own */
	bool best;             /* it is the most likely one */
	const int32_t *top_id; /* as of a token_event */
	const float *top_logprob;
	size_t n_top;
};
struct batch_events {
	void *arg;
	/* -1 cancels the session. May be NULL. Both may call batch_add() and
	 * batch_cancel(), never batch_step() or batch_close(). */
	int (*token)(void *arg, struct session *s, void *user, const struct token_event *t);
	/* The last text that was held, then the end; err is set for END_ERROR.
	 * The session is gone after it returns: fork or save session_seq()
	 * inside. Comes once for every session that batch_add() took. */
	void (*end)(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
	            const struct err *err);
	/* With request.score_first: each place once, in order, before the first
	 * token. -1 cancels the session. May be NULL. */
	int (*place)(void *arg, struct session *s, void *user, const struct place_event *p);
};
struct batch_options {
	size_t max_sessions;   /* running at once; 0: 64; at most the model's outputs a pass */
	size_t chunk;          /* prompt rows a pass; 0: 512 */
	size_t context;        /* longest prompt + answer; 0: the model's max_pos */
	bool keep_special;     /* special tokens' text is shown */
	size_t draw_threads;   /* that draw tokens where there are many; 0: one after another */
	bool paced;            /* beside others prompts leave a pass less than twice as long */
	double target;         /* fewer run at once where a pass takes longer; seconds, 0: any */
};
/* The tokenizer may be NULL: ids only, no text and no stop strings. */
NEED int batch_open(struct batch **out, struct model *m, const struct tokenizer *t,
                    const struct batch_options *o, const struct batch_events *ev, struct err *e);
void batch_close(struct batch *b); /* sessions still there end as cancelled */
/* Queues a session. The ids and request are copied. `seq` (may be NULL)
 * gives a cache that already holds a beginning, all of it computed; ownership
 * moves in, on failure too. An empty prompt without seq, an id out of range,
 * or a prompt that leaves no room in the context is ERR_INPUT with both counts;
 * one that the cache never has room for is ERR_MACHINE: never cut silently. */
NEED int batch_add(struct batch *b, struct session **out, const int32_t *id, size_t n,
                   const struct request *r, struct kv_seq *take_seq, void *user, struct err *e);
void batch_cancel(struct batch *b, struct session *s); /* ends it at the next token border */
/* Held back it keeps its pages and makes no more tokens, until it is let go. */
void batch_pause(struct batch *b, struct session *s, bool paused);
size_t batch_active(const struct batch *b);            /* running and queued */
size_t batch_rows(const struct batch *b);              /* that the last pass had */
size_t batch_preempted(const struct batch *b);         /* caches taken from sessions, so far */
/* One pass: every decoding session one token, prompts in chunks beside them, queued ones
 * admitted, ended ones retired. When the cache is full the youngest session waits and is
 * computed again later; its tokens do not change. An error of one session ends it alone; -1
 * only when nothing can go on. */
NEED int batch_step(struct batch *b, struct err *e);
/* Session facts, also inside the end event. */
size_t session_prompt_tokens(const struct session *s); /* with those in the given seq */
size_t session_reused_tokens(const struct session *s); /* of them, not computed again */
size_t session_made_tokens(const struct session *s);
int session_stop(const struct session *s); /* which of request.stop ended it; -1: none */
/* Borrowed; the last token made is not in it. NULL while queued. */
struct kv_seq *session_seq(const struct session *s);

/* ---- sampler: filters, then a seeded draw (mlx-lm's order) */
struct sampler;
/* exempt: ids that XTC never drops. */
NEED int sampler_open(struct sampler **out, const struct request *r, size_t vocab,
                      const int32_t *exempt, size_t n_exempt, struct err *e);
void sampler_close(struct sampler *s);
/* logits [vocab]; history: all ids so far (prompt and made). Gives the id, or
 * -1 when no logit is a number. logprob may be NULL. */
int32_t sampler_draw(struct sampler *s, const float *logits, const int32_t *history,
                     size_t n_history, float *logprob);
/* The n most likely ids of the last draw, best first, its logits still
 * there. Gives how many. */
size_t sampler_top(struct sampler *s, size_t n, int32_t *id, float *logprob);

#include "gen/score.h"

/* ---- embed: a vector per text, pooled from its hidden states */
enum embed_pool { POOL_MEAN, POOL_CLS, POOL_LAST };
struct embed_options {
	enum embed_pool pool;  /* of all tokens, the first, the last */
	bool normalize;        /* to length 1 */
	size_t dimensions;     /* the first ones, before that; 0: all */
};
/* What the files beside the model say (modules.json of sentence-transformers and the folder of
 * its pooling), else the mean for an encoder and the last token for a decoder. ERR_INPUT for
 * modules that are not known here. */
NEED int embed_rules(struct embed_options *o, struct source *s, const struct config *c,
                     struct err *e);
struct embed_text { const int32_t *id; size_t n; };
/* out: [n][dimensions]. The model was opened for hidden states. A text is in one pass where
 * it fits (an encoder's must), several in one where these fit; a vector's bits do not depend
 * on the others. ERR_INPUT names the text by its place from 1. */
NEED int embed_texts(struct model *m, const struct embed_text *t, size_t n,
                     const struct embed_options *o, float *out, struct err *e);

#endif
