/* SPDX-License-Identifier: MIT */
/* talk.h - talking with a model: chat templates, messages to a prompt, and
 * the answer taken apart. A part of the door of text/, which includes it. */
#ifndef CLM_TEXT_TALK_H
#define CLM_TEXT_TALK_H

#include <time.h>

#include "text/text.h"

/* ---- chat templates: the Jinja that models use, as Hugging Face sets it up
 * (trim_blocks, lstrip_blocks, its tojson, raise_exception, strftime_now) */
struct chat_template;
/* ERR_INPUT with line and column. The text need not stay. */
NEED int template_open(struct chat_template **out, struct bytes text, struct err *e);
void template_close(struct chat_template *t);
/* Appends the text for the variables, an object. `now` is what strftime_now()
 * tells. ERR_INPUT with line and column: what the template refuses, and what
 * takes more steps, memory or text than its ceilings allow. */
NEED int template_render(const struct chat_template *t, const cJSON *vars, const struct tm *now,
                         struct buf *out, struct err *e);
bool template_names(const struct chat_template *t, const char *variable);
struct bytes template_text(const struct chat_template *t); /* its newlines are \n */

/* ---- chats: messages to a prompt, by the model's template, looked for as
 * mlx-lm does: chat_template.jinja, chat_template.json, tokenizer_config.json
 * (one text or several by name), additional_chat_templates/NAME.jinja, a
 * GGUF's. A model without one gets a built-in one that its vocabulary fits. */
struct chat;
struct chat_options {
	const char *name;  /* one of the model's, or chatml, llama3, gemma, mistral;
	                    * NULL: tool_use for tools where there is one, else default */
	struct bytes text; /* a template in place of all that; p NULL: none */
	const char *where; /* its name in messages; NULL: "template" */
};
/* ERR_INPUT names the file, line and column, ERR_MISUSE a name nobody has. The
 * tokenizer stays borrowed. Several threads may render with one chat. */
NEED int chat_open(struct chat **out, struct source *s, const struct tokenizer *t,
                   const struct chat_options *o, struct err *e);
void chat_close(struct chat *c);
const char *chat_warning(const struct chat *c); /* what a user should know; NULL: nothing */
const char *chat_origin(const struct chat *c);  /* "chat_template.jinja", "built-in chatml" */
const struct chat_template *chat_template_of(const struct chat *c, bool tools);
/* Text that ends a turn, where the template has one: a stop string; or NULL. */
const char *chat_turn_end(const struct chat *c);

enum think { THINK_AUTO, THINK_ON, THINK_OFF }; /* auto: as the template has it */
struct chat_input {
	const cJSON *messages;  /* [{"role", "content", ...}]; content: text, null, or parts */
	const cJSON *tools;     /* [{"type": "function", "function": {}}], or the functions;
	                         * NULL, null or []: none */
	const cJSON *documents; /* may be NULL */
	const cJSON *vars;      /* an object: more variables of the template; may be NULL */
	enum think think;
	bool no_prompt;         /* without what begins the answer */
	bool go_on;             /* the answer goes on with the last message */
	const struct tm *now;   /* NULL: this moment, local time */
};
/* Zeroed before the first use; ended by chat_prompt_release(). */
struct chat_prompt {
	struct buf text; /* as the template renders it */
	struct ids ids;  /* special tokens only where the template has put them: */
	size_t n_text;   /* so many in the messages' own text stayed text, */
	size_t n_loose;  /* and so many could not be told apart and were parsed */
	bool thinking;   /* the answer begins within reasoning */
	bool no_switch;  /* the template cannot turn its reasoning as asked */
};
NEED int chat_render(const struct chat *c, const struct chat_input *in, struct chat_prompt *out,
                     struct err *e);
void chat_prompt_release(struct chat_prompt *p);

/* ---- replies: an answer's text to content, reasoning and calls of tools.
 * How a model marks these is a row per manner (reason.c); which rows, its
 * template tells, or its vocabulary. */
struct think_row;
struct call_row;
struct manner {
	const struct think_row *think; /* NULL: does not reason in tags */
	const struct call_row *call;   /* NULL: calls no tools */
};
struct manner chat_manner(const struct chat *c);
struct manner template_manner(const struct chat_template *t); /* without a vocabulary */
/* By name ("think", "harmony", ...; "hermes", ...; NULL: none). False: no such row. */
bool manner_named(struct manner *out, const char *think, const char *call);
const char *manner_think_name(struct manner m); /* NULL: none */
const char *manner_call_name(struct manner m);
/* What stands around reasoning; NULL: nothing that is always the same. */
const char *manner_think_begin(struct manner m);
const char *manner_think_end(struct manner m);

/* How calls are written: open, then for each call before NAME middle ARGUMENTS
 * after, with between in between, and close; NULL: nothing. Arguments are a
 * JSON object, or for each one argument NAME value VALUE value_end gap, where
 * strings are text and all else JSON. Tags of the model's stand between \1. */
struct call_form {
	const char *row, *needs; /* of calls; a token that there must be, or NULL */
	const char *open, *before, *middle, *after, *between, *close;
	const char *argument, *value, *value_end, *gap;
	bool single;             /* one call, no more */
};
/* NULL: how this manner writes calls is not known well enough. */
const struct call_form *manner_call_form(struct manner m, const struct tokenizer *t);
const char *manner_call_begin(struct manner m); /* the tag; NULL: none */

enum reply_kind { REPLY_CONTENT, REPLY_REASONING, REPLY_CALL };
struct reply_part {
	enum reply_kind kind;
	struct bytes text;     /* of content and reasoning: what is new */
	size_t index;          /* of a call: 0, 1, ... */
	const char *id, *name; /* id NULL: the model gave none */
	const char *arguments; /* JSON: an object, unless the model wrote none */
};
typedef int reply_fn(void *arg, const struct reply_part *part, struct err *e);
struct reply;
/* Tags are taken out, with the newlines that belong to them; text that may
 * begin a tag is held until that is known; what looked like a call and is none
 * comes out as it was. The text must show special tokens. `prompt`: what the
 * answer goes on from (NULL: the start of a plain answer); `tools`: types of
 * arguments, may be NULL; both may go after this call. */
NEED int reply_open(struct reply **out, struct manner m, const struct chat_prompt *prompt,
                    const cJSON *tools, reply_fn *take, void *arg, struct err *e);
NEED int reply_add(struct reply *r, struct bytes text, struct err *e);
NEED int reply_end(struct reply *r, struct err *e); /* gives what is held */
size_t reply_calls(const struct reply *r);
void reply_close(struct reply *r);

/* ---- harmony, gpt-oss's messages: [{"role", "name", "recipient", "channel",
 * "content_type", "content", "end"}], what is absent left out. A text that
 * ends in an open message has it last, without "end". */
NEED cJSON *harmony_parse(struct bytes text, struct err *e);
NEED int harmony_render(struct buf *out, const cJSON *messages, struct err *e);

#endif
