/* SPDX-License-Identifier: MIT */
/* grammar.h - what text an answer may be: grammars, from several languages.
 * A part of the door of gen/, which includes it.
 *
 * A grammar says which texts are whole and which can become one; a session
 * whose request has one makes no token that would leave it. Grammars do not
 * change once made, are shared by any threads, and are counted. */
#ifndef CLM_GEN_GRAMMAR_H
#define CLM_GEN_GRAMMAR_H

#include "text/text.h"
#include "util/json.h"

struct grammar;

enum {
	GRAMMAR_SOURCE = 64 << 10,  /* bytes of a source */
	GRAMMAR_DEPTH = 32,         /* nesting within it */
	GRAMMAR_STATES = 1000000,
};

struct grammar *grammar_hold(struct grammar *g); /* NULL stays NULL */
void grammar_release(struct grammar *g);
uint64_t grammar_number(const struct grammar *g); /* no other one's of this process */
size_t grammar_states(const struct grammar *g);
size_t grammar_bytes(const struct grammar *g); /* that it holds */

/* What is asked of an answer. */
enum grammar_kind {
	GRAMMAR_OBJECT,   /* any JSON object */
	GRAMMAR_VALUE,    /* any JSON value */
	GRAMMAR_SCHEMA,   /* a value of the schema (JSON Schema 2020-12) */
	GRAMMAR_TEXT,     /* what the text says, in llama.cpp's GBNF */
	GRAMMAR_CALLS,    /* calls of tools, in a family's own manner */
};
struct grammar_ask {
	enum grammar_kind kind;
	const cJSON *schema;               /* refusals begin with its place in there */
	struct bytes text;
	const cJSON *tools;                /* [{"type": "function", "function": {}}] */
	const struct call_form *form;
	const char *call_begin;            /* free text before calls has it not; NULL: no such text */
	bool many;                         /* calls, else one */
	/* Reasoning before it: tags of the model's, NULL: none. */
	const char *think_begin, *think_end;
	bool thinking;                     /* the answer begins within it */
	const struct tokenizer *tokenizer; /* of the tags; may be NULL without */
};
/* ERR_INPUT for what cannot be kept to the letter: never a wider grammar. */
NEED int grammar_open(struct grammar **out, const struct grammar_ask *a, struct err *e);

/* Those of one vocabulary that were asked for lately, for any threads: who asks
 * the same gets the same one. Sessions of a request that has it use its tree of
 * the vocabulary, which is made with the first grammar: on the thread that asks,
 * not on the one that makes tokens. Closed after them and their batch. */
struct grammars;
NEED int grammars_open(struct grammars **out, const struct tokenizer *t, size_t vocab,
                       struct err *e);
void grammars_close(struct grammars *s);
/* As grammar_open(); the caller releases it. */
NEED int grammars_get(struct grammars *s, struct grammar **out, const struct grammar_ask *a,
                      struct err *e);

/* Does the grammar take all of the text, and may it end there? */
NEED int grammar_takes(struct grammar *g, struct bytes text, bool *out, struct err *e);

#endif
