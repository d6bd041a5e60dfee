/* SPDX-License-Identifier: MIT */
/* graph.h - a grammar as a graph of nodes that read bytes and call rules.
 * Private to gen/.
 *
 * Built backwards: each maker is given the node that comes next and gives the
 * one it begins at. Text is bytes of UTF-8, of which 0xFF is never one: it
 * begins the spelling of a special token (graph_token()). */
#ifndef CLM_GEN_GRAPH_H
#define CLM_GEN_GRAPH_H

#include <stdatomic.h>

#include "gen/grammar.h"

enum node_kind {
	NODE_DEAD,  /* no text gets from here to the end */
	NODE_END,   /* of a rule */
	NODE_BYTES, /* lo..hi, then a */
	NODE_SPLIT, /* a or b */
	NODE_CALL,  /* the rule a, then b */
};
enum { GRAPH_END = 1, GRAPH_NONE = 0, TOKEN_MARK = 0xFF, TOKEN_SPELLED = 5 };
struct node {
	uint8_t kind, lo, hi;
	uint32_t a, b;
};

struct grammar {
	atomic_uint n_holders;
	uint64_t number;   /* no other grammar's of this process */
	struct node *node; /* [n]; 0 is dead, 1 is the end */
	size_t n, room;
	uint32_t *rule;    /* [n_rules]: where each begins; 0 is the root */
	size_t n_rules, rule_room;
	struct err *err;   /* while it is built: the first failure */
	const char *avoid; /* two characters that strings must not have in a row, or NULL */
	bool failed;
};

/* Begins an empty grammar; failures of the makers go to e, once. */
struct grammar *graph_open(struct err *e);
/* Checks it and settles it; takes g, on failure too. ERR_INPUT: left
 * recursion, or no text at all is whole. */
NEED int graph_close(struct grammar **out, struct grammar *take, struct err *e);

/* A rule's number; where it begins is set later. */
uint32_t graph_rule(struct grammar *g);
void graph_rule_set(struct grammar *g, uint32_t rule, uint32_t begin);

uint32_t graph_bytes(struct grammar *g, unsigned lo, unsigned hi, uint32_t next);
uint32_t graph_call(struct grammar *g, uint32_t rule, uint32_t next);
/* Either; GRAPH_NONE on one side gives the other. */
uint32_t graph_or(struct grammar *g, uint32_t a, uint32_t b);
/* A node to go back to: its ways are set later. */
uint32_t graph_loop(struct grammar *g);
void graph_loop_set(struct grammar *g, uint32_t loop, uint32_t a, uint32_t b);
uint32_t graph_text(struct grammar *g, struct bytes text, uint32_t next);
uint32_t graph_words(struct grammar *g, const char *text, uint32_t next);
/* The special token `id`. */
uint32_t graph_token(struct grammar *g, int32_t id, uint32_t next);
void graph_spell_token(unsigned char out[TOKEN_SPELLED], int32_t id);
/* A tag of the model's: the special token of that text, if it is one. */
uint32_t graph_tag(struct grammar *g, const struct tokenizer *t, const char *tag, uint32_t next);
/* Any text up to the first `tag`, and the tag. */
uint32_t graph_until(struct grammar *g, const struct tokenizer *t, const char *tag, uint32_t next);
/* Any text without `tag`, and then `next`. */
uint32_t graph_without(struct grammar *g, const struct tokenizer *t, const char *tag,
                       uint32_t next);
/* Text in which tags of the model's stand between \1; NULL: none. */
uint32_t graph_marked(struct grammar *g, const struct tokenizer *t, const char *text,
                      uint32_t next);
/* A character of lo..hi in UTF-8; surrogates are none. */
uint32_t graph_chars(struct grammar *g, uint32_t lo, uint32_t hi, uint32_t next);

/* ---- JSON, json_graph.c. White space is bounded: a space, or a line's end
 * and at most 20 of indent; and stands within brackets, after "," and ":". */
uint32_t json_space(struct grammar *g, uint32_t next);
/* A string with its quotes, escapes as JSON has them. */
uint32_t json_any_string(struct grammar *g, uint32_t next);
/* A character lo..hi within a string, escaped only where it must be. */
uint32_t json_chars(struct grammar *g, uint32_t lo, uint32_t hi, uint32_t next);
uint32_t json_any_number(struct grammar *g, bool whole, uint32_t next);
/* Rules of any value, object and array, made at the first call. */
struct json_rules { uint32_t value, object, array; bool made; };
void json_rules(struct grammar *g, struct json_rules *r);

/* ---- calls.c */
NEED int graph_calls(struct grammar *g, const struct grammar_ask *a, uint32_t rule,
                     struct err *e);

/* ---- gbnf.c: the rule of the text's root */
NEED int graph_gbnf(struct grammar *g, struct bytes text, uint32_t *rule, struct err *e);

#endif
