/* SPDX-License-Identifier: MIT */
/* call.h - a request that makes text: its prompts, its choices, and the
 * voice that tells them in the dialect of an interface. Private to serve/.
 *
 * Filled at a desk, then handed to the engine, which owns it to its end. */
#ifndef CLM_SERVE_CALL_H
#define CLM_SERVE_CALL_H

#include "serve/server.h"

enum { LOGPROBS_MAX = 20, CHOICES_MAX = 128, PROMPTS_MAX = 128 };

/* A token's place among the likely ones. */
struct likely {
	int32_t id;
	bool best;                 /* of a prompt: the most likely itself */
	double logprob;            /* NaN: nothing was before it */
	size_t n_top;
	int32_t top_id[LOGPROBS_MAX];
	float top_logprob[LOGPROBS_MAX];
};

/* A call of a tool that the model made. */
struct tool_said { char *id, *name, *arguments; };

struct choice {
	struct call *call;
	size_t index, prompt;      /* which of the call's prompts */
	struct request r;
	struct session *session;
	bool added, ended;
	enum end_reason reason;
	size_t n_made, n_reused;
	/* what a stream has yet to say; of a whole answer all of it */
	struct buf text;
	struct buf reasoning;
	struct tool_said *tool;
	size_t n_tools, n_told;    /* told: of the tools, by a stream */
	struct reply *reply;       /* takes the text apart; NULL: it is as it is */
	struct likely *likely;
	size_t n_likely, room_likely;
	size_t n_points;           /* code points said before */
	struct detok shown;        /* what said them */
	bool shows;
	double sum_logprob;        /* over its tokens, with r.logprobs */
	int stop;                  /* which of r.stop ended it; -1: none */
	size_t n_reasoned;         /* tokens within reasoning */
	bool spoke, told;
	int block;                 /* Anthropic's: what is open */
	size_t n_blocks;
};

struct call;
struct voice {
	enum http_stream kind;
	/* Each appends to the call's out. A stream: */
	void (*ping)(struct call *c);
	void (*begin)(struct call *c);
	void (*more)(struct choice *k);
	void (*end)(struct choice *k);
	void (*finish)(struct call *c);
	void (*fault)(struct call *c, const struct fault *f);
	/* or all at once: */
	void (*whole)(struct call *c);
};

struct call {
	struct exchange *x;        /* held */
	const struct served *model;
	size_t context;            /* positions it may fill */
	const struct voice *voice;
	cJSON *body;               /* the request */
	char id[48];
	char *name;                /* the model's, as it was asked for */
	int64_t created;
	bool stream, usage;        /* usage: a stream tells it too */
	bool echo;
	struct request r;          /* of the first choice */
	struct ids prompt[PROMPTS_MAX];
	struct buf prompt_text[PROMPTS_MAX]; /* where it is told again */
	size_t n_prompts, n;       /* n: choices of a prompt */
	size_t keep;               /* of them, the best that are told; 0: all */
	bool no_logprobs;          /* they are for us alone */
	cJSON *messages, *tools;   /* of a chat, in the template's form */
	struct chat_prompt *talk;  /* of a chat */
	enum think think;          /* as a chat was asked to */
	const char *asked;         /* the member that asks a form; NULL: none */
	struct grammar_ask ask;    /* and which */
	cJSON *callable;           /* of the tools those that are to be called; NULL: all */
	size_t top;                /* most likely tokens told beside each; with r.logprobs */
	struct choice *choice;     /* [n_prompts * n] */
	size_t n_choices, n_ended;
	struct buf out;
	struct buf head;           /* what each event of a stream begins with, once it is told */
	struct fault fault;        /* status 0: none */
	double came, admitted, first, done, last_token;
	_Atomic bool cancelled;
	bool paused;
	void *own;                 /* an interface's, with its end */
	void (*release_own)(void *own);
	struct call *next;         /* the engine's */
};

/* Parses the body into c->body, finds the model. NULL: the fault was answered. */
struct call *call_open(struct exchange *x, const struct voice *v);
/* The same, and asks what the body is to become. NULL: the fault was answered. */
struct call *call_ask(struct exchange *x, const struct voice *v,
                      int (*ask)(struct call *c, struct fault *f));
void call_close(struct call *c);
/* What was made of the body goes, so that another can be made of it. */
void call_forget(struct call *c);
/* body.c: the object that the body is. NULL with a fault. */
cJSON *body_parse(struct exchange *x, struct fault *f);
/* The same where no model is to run. NULL: the fault was answered. */
cJSON *body_open(struct exchange *x);
/* Does the work with such a body; what is -1 answers with its fault. */
void body_handle(struct exchange *x,
                 int (*work)(struct exchange *x, const cJSON *body, struct fault *f));
/* Checks the fit, makes the choices, begins the answer and hands all to the
 * engine. Takes c; a fault is answered. */
void call_submit(struct call *c);
/* Answers the fault and ends the call. */
void call_refuse(struct call *c, const struct fault *f);
/* After the prompts are set: the choices, so that they can be seen to. */
NEED int call_choices(struct call *c, struct fault *f);
/* Sums over the choices, for "usage". */
size_t call_prompt_tokens(const struct call *c);
size_t call_cached_tokens(const struct call *c);
size_t call_made_tokens(const struct call *c);

/* ---- the engine's side (its thread alone) */
int choice_token(struct choice *k, const struct token_event *t);
/* The prompt's first token, and then each other one, where they are told. */
int choice_prompt(struct choice *k);
int choice_place(struct choice *k, const struct place_event *p);
/* What was told of the prompt is the other's too. */
int choice_share(struct choice *to, const struct choice *from);
void choice_end(struct choice *k, struct session *s, enum end_reason r, struct bytes text,
                const struct err *err);
/* All its choices have ended: the answer is completed. */
void call_finish(struct call *c);

/* ---- engine.c */
NEED int engine_open(struct engine **out, struct serve *s, struct err *e);
NEED int engine_start(struct engine *g, struct err *e);
/* Those that wait are refused; those that run go on until the time is over. */
void engine_drain(struct engine *g, double seconds);
void engine_close(struct engine *g);
/* A place in the queue; 503 when it is full or the server ends. */
NEED int engine_reserve(struct engine *g, struct fault *f);
/* Takes c, whose place is reserved. */
void engine_add(struct engine *g, struct call *c);
void engine_wake(struct engine *g);
/* Models that come and go. Nobody may hold one that goes; -1: the server
 * ends, and it stays until engine_close(). */
NEED int engine_attach(struct engine *g, struct served *d, struct err *e);
NEED int engine_detach(struct engine *g, struct served *d);
/* Runs work(arg) on the engine's thread, between two passes, and waits for
 * it: for what needs a model and is no session. */
NEED int engine_run(struct engine *g, void (*work)(void *arg), void *arg, struct fault *f);
/* What runs and waits, on the engine's thread alone. */
const struct call *engine_calls(const struct engine *g);
struct engine_state { size_t waiting, running; };
void engine_state(struct engine *g, struct engine_state *out);

/* ---- promise.c: the form that an answer is asked to have */
/* Sets what the body asks: response_format, grammar and json_schema (OpenAI's
 * and llama-server's members), or Ollama's format. */
NEED int promise_openai(struct call *c, struct fault *f);
NEED int promise_ollama(struct call *c, struct fault *f);
/* What is asked of calls: `name` NULL: of any tool; may: text will do too. */
struct promise_calls { const char *name; bool may, single; };
/* The tools are the template's form of c->tools. */
NEED int promise_calls(struct call *c, const struct promise_calls *p, const cJSON *tools,
                       struct fault *f);
/* OpenAI's tool_choice, parallel_tool_calls and strict functions. The tools are
 * those that the model is shown: allowed_tools leaves out the others. */
NEED int promise_choice(struct call *c, cJSON *tools, struct fault *f);
/* The prompts are there: the grammar of it. */
NEED int promise_make(struct call *c, struct fault *f);

/* ---- params.c: members of a body to a request */
struct param {
	const char *json, *option; /* the member, the request's option */
	double min, max;           /* tighter than the option's; both 0: its own */
};
/* Sets what the object has of the table. The fault names the member, with
 * `prefix` before it. */
NEED int params_set(struct request *r, const struct param *p, size_t n, const cJSON *o,
                    const char *prefix, struct fault *f);
/* Typed look-ups: 1 found, 0 absent or null, -1 with a fault. */
NEED int param_bool(const cJSON *o, const char *key, bool *out, struct fault *f);
NEED int param_int(const cJSON *o, const char *key, int64_t min, int64_t max, int64_t *out,
                   struct fault *f);
NEED int param_text(const cJSON *o, const char *key, const char **out, struct fault *f);

#endif
