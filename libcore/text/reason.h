/* SPDX-License-Identifier: MIT */
/* reason.h - how models mark their reasoning and their calls of tools. */
#ifndef CLM_TEXT_REASON_H
#define CLM_TEXT_REASON_H

#include "text/text.h"

struct think_row {
	const char *name;
	const char *has;        /* a template with this text takes the row */
	const char *begin, *end;
	bool harmony;           /* messages with channels instead */
};

enum { CALLS_KEYS = 4096 }; /* of one object */

/* Calls found in a body: [{"name", "arguments" (JSON text), "id"}]. */
struct calls {
	cJSON *list;
	const cJSON *tools; /* for types; may be NULL */
};
/* 1 read, 0 not what was expected, -1 out of memory. */
typedef int call_fn(struct bytes body, struct calls *out, struct err *e);
struct call_row {
	const char *name;
	const char *has[2];
	const char *begin;   /* NULL: a whole answer may be one */
	const char *end;     /* NULL: the end of the answer, or the next one */
	call_fn *read;
	unsigned char first; /* a whole answer that begins so may be calls too */
	bool whole;          /* begin and end belong to the body */
};

/* Rows for a template's text and, for reasoning, a vocabulary. */
struct manner manner_of(struct bytes template, const struct tokenizer *t);
/* Is this one of its tags? */
bool manner_has(struct manner m, struct bytes tag);
/* Text that ends a turn; NULL: none known. */
const char *manner_turn_end(struct bytes template);

/* How a template is told to reason: a variable. */
struct think_switch {
	const char *variable;
	const char *on, *off; /* JSON */
};
enum { THINK_SWITCHES = 3 };
extern const struct think_switch think_switches[THINK_SWITCHES];

bool text_has(struct bytes text, const char *what);
/* The first place of `what`; text.n: nowhere. The last one. */
size_t text_find(struct bytes text, const char *what);
size_t text_rfind(struct bytes text, const char *what);
struct bytes text_trim(struct bytes text); /* without white space at the ends */
struct bytes text_from(struct bytes text, size_t at);

/* ---- bodies of calls: calls_json.c, calls_markup.c, calls_literal.c */
call_fn calls_json, calls_functools, calls_mistral, calls_deepseek, calls_kimi;
call_fn calls_qwen_coder, calls_minimax, calls_dsml, calls_minicpm, calls_glm, calls_longcat;
call_fn calls_gemma, calls_function_gemma, calls_python;
/* One more call; as call_fn. The name and the id must not be empty or hold NUL;
 * id.p NULL: none. */
NEED int calls_add(struct calls *c, struct bytes name, const cJSON *arguments, struct bytes id,
                   struct err *e);
/* Sets o[key] to the text: by the type that the tool has for it, else JSON
 * where it is that, else text. `spelled`: text in any case. 0, or -1: memory. */
NEED int calls_value(const struct calls *c, cJSON *o, struct bytes name, struct bytes key,
                     struct bytes text, bool spelled, struct err *e);

/* ---- harmony's message headers, harmony.c */
struct harmony_header {
	struct bytes role, recipient, channel, type; /* p NULL: absent */
};
struct harmony_header harmony_header(struct bytes text);

#endif
