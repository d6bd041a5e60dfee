/* SPDX-License-Identifier: MIT */
/* jinja.h - the template language inside: values, tree and a run.
 *
 * Text -> tokens (jinja_lex.c) -> tree (jinja_parse.c, jinja_tags.c) -> text
 * (jinja_run.c over jinja_expr.c). Values behave as Python's do, as far as
 * templates can see. All memory is an arena's: the template's for the tree,
 * the run's for what it makes. */
#ifndef CLM_TEXT_JINJA_H
#define CLM_TEXT_JINJA_H

#include <time.h>

#include "text/text.h"
#include "util/bytes.h"

/* ---- values */
enum value_kind {
	V_UNDEFINED,
	V_NONE,
	V_BOOL,
	V_INT,
	V_FLOAT,
	V_STRING,
	V_LIST,
	V_DICT,
	V_SPACE, /* namespace(): a dict whose entries may be set */
	V_LOOP,
	V_MACRO,
	V_METHOD,
	V_FUNCTION,
	V_COUNT
};
enum list_form { LIST_LIST, LIST_TUPLE, LIST_LAZY /* a generator: always true, no length */ };
struct grown;
struct value {
	enum value_kind kind;
	enum list_form form; /* of a list */
	bool safe;           /* a string that | safe marked: what is added to it is escaped */
	union {
		bool truth;
		int64_t i;
		struct {
			double f;
			const char *as; /* an integer past 64 bits, as it was written; or NULL */
		};
		struct {
			struct bytes text;
			struct grown *grown; /* room behind the text, or NULL */
		};
		struct list *list;
		struct dict *dict;
		struct loop *loop;
		const struct macro *macro;
		struct method *method;
		const struct function *function;
	};
};
struct list {
	struct value *at;
	size_t n, room;
};
struct pair {
	struct value key, value;
};
struct dict {
	struct pair *at;
	size_t n, room;
};
struct loop { /* the loop variable */
	const struct value *items;
	size_t n, at;
	unsigned depth;
	struct value changed;      /* what changed() saw last */
	const struct node *repeat; /* the for tag, where it is recursive */
	struct scope *scope;       /* it runs in */
};
struct macro {
	const struct node *node; /* its params and body */
	struct scope *scope;     /* where it was made */
};
struct args {
	const struct value *at;
	size_t n;
	const struct pair *named;
	size_t n_named;
};

/* ---- the tree */
enum node_kind {
	N_CONST,
	N_NAME,
	N_LIST,   /* a: items; op: the form */
	N_DICT,   /* a: N_PAIRs */
	N_PAIR,   /* a: key, b: value */
	N_ATTR,   /* a.v */
	N_ITEM,   /* a[b] */
	N_SLICE,  /* a[b:c:d] */
	N_CALL,   /* a(b...) */
	N_ARG,    /* a; op: 0, '=' (v: its name), '*' or OP2('*', '*') */
	N_FILTER, /* a | v(b...) */
	N_TEST,   /* a is v(b...) */
	N_NOT,
	N_AND,
	N_OR,
	N_SIGN,    /* op a */
	N_BINARY,  /* a op b */
	N_COMPARE, /* a, then b: N_OPERANDs */
	N_OPERAND, /* op a */
	N_CHOOSE,  /* b if a else c */
	N_CAPTURED,
	/* statements */
	N_DATA,
	N_OUTPUT,
	N_IF,           /* a: condition, b: body, c: else; a lone N_IF there goes on */
	N_FOR,          /* a: target, b: items, c: condition, d: body, f: else; op: recursive */
	N_SET,          /* a: target, b: value */
	N_SET_BLOCK,    /* a: target, b: body, c: filters over what is captured */
	N_MACRO,        /* symbol, a: N_PARAMs, b: body */
	N_PARAM,        /* symbol, a: default */
	N_CALL_BLOCK,   /* a: call, b: an N_MACRO */
	N_FILTER_BLOCK, /* b: body, c: filters */
	N_WITH,         /* a: N_SETs, b: body */
	N_SCOPE,        /* b: body */
	N_DO,           /* a, its value dropped */
	N_BREAK,
	N_CONTINUE,
	N_COUNT
};
struct node {
	enum node_kind kind;
	int op, symbol;
	size_t pos; /* in the text */
	struct value v;
	struct node *a, *b, *c, *d, *f, *next;
};
#define OP2(a, b) ((a) << 8 | (b))

struct chat_template {
	struct arena arena;
	struct bytes text;
	struct node *body;
	struct bytes *symbol; /* names of variables */
	size_t n_symbols, symbol_room;
};

enum token_kind {
	T_END,
	T_DATA,
	T_VAR,
	T_VAR_END,
	T_TAG,
	T_TAG_END,
	T_NAME,
	T_INT,
	T_FLOAT,
	T_STRING,
	T_OP
};
struct token {
	enum token_kind kind;
	int op;
	size_t pos;
	struct bytes text; /* data, a name, a number, a string's value */
};
enum { JINJA_NESTED = 150 /* tags and brackets in each other */ };
struct parse {
	struct chat_template *t;
	const struct token *at;
	unsigned depth, loops;
	struct err *e;
};
/* Ends newlines as \n and drops the last; gives the tokens, T_END behind. */
NEED int jinja_lex(struct chat_template *t, const struct token **out, struct err *e);
int jinja_fail(struct parse *p, size_t pos, const char *fmt, ...) PRINTF(3, 4);
/* "line L, column C" before the message. */
int jinja_place(const struct chat_template *t, size_t pos, struct err *e);
struct node *jinja_node(struct parse *p, enum node_kind kind, size_t pos); /* NULL: e is set */
int jinja_symbol(struct parse *p, struct bytes name);                      /* -1: failed */
bool jinja_is_op(const struct parse *p, int op);
bool jinja_is_name(const struct parse *p, const char *name);
bool jinja_take_op(struct parse *p, int op);
bool jinja_take_name(struct parse *p, const char *name);
NEED int jinja_want_op(struct parse *p, int op);
int jinja_unexpected(struct parse *p, const char *want); /* -1 */
NEED int jinja_args(struct parse *p, struct node **out); /* "(...)"; not there: NULL */
struct node *jinja_is_test(struct parse *p, struct node *of);
NEED int jinja_enter(struct parse *p); /* one level deeper; p->depth-- afterwards */
enum { TUPLE_PLAIN = 1, /* no inline if */ TUPLE_TARGETS = 2, /* names only */ TUPLE_EMPTY = 4 };
struct node *jinja_expr(struct parse *p);
struct node *jinja_tuple(struct parse *p, unsigned flags); /* one expression, or a tuple of them */
struct node *jinja_target(struct parse *p, bool space);
struct node *jinja_filters(struct parse *p, struct node *over, bool first);
struct node *jinja_primary(struct parse *p); /* with what follows it: .a [b] (c) */
struct node *jinja_body(struct parse *p);    /* the whole template; failed: NULL */

/* ---- a run */
struct var {
	int symbol;
	struct value v;
	struct var *next;
};
struct scope {
	struct var *first;
	struct scope *up;
};
enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };
enum { JINJA_DEEP = 900 /* nodes in each other while running */ };
struct run {
	const struct chat_template *t;
	struct arena *arena;
	unsigned char *slab;
	size_t slab_left, fuel;
	struct scope *scope;
	struct buf *out;
	struct value captured;
	enum flow flow;
	unsigned depth;
	const struct tm *now;
	bool placed; /* the error says where */
	struct err *e;
};
/* The run's memory: aligned to 16, not zeroed. */
NEED void *run_new(struct run *r, size_t n, size_t size);
NEED int run_spend(struct run *r, size_t steps);
int run_fail(struct run *r, const char *fmt, ...) PRINTF(2, 3);
NEED int jinja_eval(struct run *r, const struct node *n, struct value *out);
NEED int jinja_compare(struct run *r, const struct node *n, struct value *out);
NEED int jinja_binary(struct run *r, const struct node *n, struct value *out); /* a op b */
NEED int jinja_run(struct run *r, const struct node *body); /* a list of statements */
NEED int jinja_call(struct run *r, const struct value *f, const struct args *a, struct value *out);
NEED int jinja_call_macro(struct run *r, const struct macro *m, const struct args *a,
                          struct value *out);
/* One more round of a recursive loop. */
NEED int jinja_repeat(struct run *r, const struct loop *l, const struct value *items,
                      struct value *out);
NEED int jinja_set(struct run *r, int symbol, struct value v);

/* ---- what values do (jinja_value.c) */
struct value value_none(void);
struct value value_bool(bool b);
struct value value_int(int64_t i);
struct value value_float(double f);
struct value value_text(struct bytes text);
struct value value_undefined(struct bytes name);
NEED int value_list(struct run *r, enum list_form form, size_t room, struct value *out);
NEED int value_push(struct run *r, struct value *list, struct value v);
NEED int value_dict(struct run *r, struct value *out);
NEED int value_put(struct run *r, struct dict *d, struct value key, struct value v);
/* The place of a key, or NULL. */
NEED int value_get(struct run *r, const struct dict *d, const struct value *key,
                   struct value **out);
struct value *dict_find(const struct dict *d, const char *key);
NEED int value_copy_text(struct run *r, struct bytes text, struct value *out);
NEED int value_join(struct run *r, const struct value *a, struct bytes b, struct value *out);
bool value_true(const struct value *v);
bool value_is_number(const struct value *v); /* bools too */
double value_f64(const struct value *v);
/* -1: failed. */
int value_equal(struct run *r, const struct value *a, const struct value *b);
NEED int value_order(struct run *r, const struct value *a, const struct value *b, int *out);
const char *value_name(const struct value *v); /* Python's name of its type */
NEED int value_from_json(struct run *r, const cJSON *j, struct value *out);
/* All items of what can be iterated: characters, keys. */
NEED int value_items(struct run *r, const struct value *v, struct value *out);
/* str() and repr() (jinja_text.c). Text is given as it is. */
NEED int value_show(struct run *r, const struct value *v, struct bytes *out);
NEED int value_repr(struct run *r, const struct value *v, struct buf *out);
const char *value_float_text(char out[48], double f);
NEED int jinja_percent(struct run *r, struct bytes format, const struct args *a, struct value *out);
/* With &, <, > and quotes as HTML writes them; what is marked safe stays. */
NEED int value_escape(struct run *r, const struct value *v, struct value *out);
NEED int jinja_tojson(struct run *r, const struct value *self, const struct args *a,
                      struct value *out);

/* ---- text as Python counts it, in characters (jinja_chars.c) */
size_t chars_count(struct bytes text);
struct bytes chars_slice(struct bytes text, size_t from, size_t to);
bool chars_space(uint32_t cp);
enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 };
/* Of white space, or of the characters of `set` (NULL: white space). */
struct bytes chars_strip(struct bytes text, const struct bytes *set, unsigned sides);
enum letter_case { CASE_LOWER, CASE_UPPER, CASE_TITLE, CASE_CAPITAL, CASE_SWAP };
NEED int chars_case(struct run *r, struct bytes text, enum letter_case c, struct value *out);
size_t bytes_find(struct bytes text, struct bytes what, size_t from); /* SIZE_MAX: none */

/* ---- tables: filters, tests, methods, functions */
typedef int jinja_fn(struct run *r, const struct value *self, const struct args *a,
                     struct value *out);
struct function {
	const char *name;
	jinja_fn *fn;
	unsigned kinds; /* of a test without fn: the kinds of value it is true of */
};
struct method {
	const struct function *function;
	struct value self;
};
const struct function *jinja_filter(struct bytes name); /* NULL if none */
const struct function *jinja_list_filter(struct bytes name);
const struct function *jinja_test(struct bytes name);
NEED int jinja_is(struct run *r, const struct function *test, const struct value *self,
                  const struct args *a, struct value *out);
const struct function *jinja_method(enum value_kind of, struct bytes name);
const struct function *jinja_text_method(struct bytes name);
const struct function *jinja_global(struct bytes name);
const struct function *function_find(const struct function *table, size_t n, struct bytes name);
/* Argument `i`, or the one named so; NULL where it was not given. */
const struct value *arg_get(const struct args *a, size_t i, const char *name);
NEED int arg_whole(struct run *r, const struct args *a, size_t i, const char *name, int64_t *out);
NEED int arg_text(struct run *r, const struct args *a, size_t i, const char *name,
                  struct bytes *out); /* left alone where it was not given */
bool arg_true(const struct args *a, size_t i, const char *name);
/* v.name, or where there is none v["name"]; undefined if neither. */
NEED int jinja_attr(struct run *r, const struct value *v, struct bytes name, struct value *out);
NEED int jinja_item(struct run *r, const struct value *v, const struct value *key,
                    struct value *out);

#endif
