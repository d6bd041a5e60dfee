/* SPDX-License-Identifier: MIT */
/* schema.h - JSON Schema 2020-12 to a grammar. Private to gen/.
 *
 * schema.c keeps the rules, schema_all.c brings a conjunction of schemas to
 * alternatives of plain ones, schema_form.c and schema_inner.c to what each type may be,
 * schema_array.c and schema_emit.c write that down, schema_not.c turns schemas into
 * their opposites, schema_value.c judges given values. */
#ifndef CLM_GEN_SCHEMA_H
#define CLM_GEN_SCHEMA_H

#include "gen/lang.h"
#include "util/json.h"

enum {
	SCHEMA_WAYS = 512,      /* alternatives of one conjunction */
	SCHEMA_ALL = 64,        /* schemas that hold at once */
	SCHEMA_NAMES = 4096,    /* properties of one object */
	SCHEMA_MADE = 4096,     /* further schemas made of those given */
	SCHEMA_CONTAINS = 3,    /* kinds of items counted in one array */
	SCHEMA_ARENA = 128 << 20,
	SCHEMA_JUDGED = 200000, /* steps of schema_value() and the like */
};

/* Schemas that must all hold, in the order in which they were met. */
struct all {
	const cJSON **of;
	size_t n;
};
enum { T_NULL = 1, T_TRUE = 2, T_FALSE = 4, T_WHOLE = 8, T_FRACTION = 16, T_STRING = 32,
       T_ARRAY = 64, T_OBJECT = 128, T_NUMBER = T_WHOLE | T_FRACTION, T_BOOL = T_TRUE | T_FALSE,
       T_ANY = 255 };

enum made_kind { MADE_NOT, MADE_ABSENT, MADE_PRESENT, MADE_VALUE };

struct schema {
	struct grammar *g;
	struct arena m;
	const cJSON *root;
	const char *id;        /* the root's $id, or NULL */
	struct json_rules json;
	struct known { struct all all; uint32_t rule; } *known; /* by rule, as they were met */
	size_t n_known, known_room, n_made;
	struct made { const cJSON *of; cJSON *node; enum made_kind kind; } *made;
	size_t n_made_here, made_room;
	size_t judged;
	int deep;              /* questions within questions */
	struct err *e;
};

/* "/properties/a": where `node` is; then "/key". For refusals; always -1. */
int schema_refuse(struct schema *s, const cJSON *node, const char *key, const char *fmt, ...)
	PRINTF(4, 5);
/* The rule of values for which all of these hold. */
NEED int schema_rule(struct schema *s, const struct all *all, uint32_t *out);
NEED int all_add(struct schema *s, struct all *a, const cJSON *node);
/* Are all keywords of the schema known, and such as can be kept to? */
NEED int schema_check(struct schema *s, const cJSON *node);
const cJSON *schema_target(struct schema *s, const cJSON *node); /* of its $ref; NULL: refused */
/* Of what may go on for ever, a step; -1: enough. */
NEED int schema_step(struct schema *s);
/* A keyword's count; 1 found, 0 absent, -1 refused. */
NEED int schema_count(struct schema *s, const cJSON *node, const char *key, size_t *out);

/* Does the keyword ask nothing of values? */
bool schema_note(const char *name);

/* ---- schema_not.c */
/* The values that the schema leaves out; NULL: refused. */
const cJSON *schema_not(struct schema *s, const cJSON *node);
/* Whose opposite the schema is; NULL: it is none. */
const cJSON *schema_not_of(const struct schema *s, const cJSON *node);
/* The same, or one refers to the other. */
bool schema_same(const cJSON *a, const cJSON *b);
/* Is it such a "not" that schema_form.c keeps to it? */
bool schema_not_plain(const cJSON *not);
/* Made of that before, or NULL; kept to the end, NULL where that fails. */
const cJSON *schema_made(const struct schema *s, const cJSON *of, enum made_kind kind);
const cJSON *schema_keep(struct schema *s, const cJSON *of, enum made_kind kind, cJSON *take);
void schema_made_release(struct schema *s);

/* ---- the grammar's rule for a schema, and for another one at once (or NULL) */
NEED int graph_schema(struct grammar *g, const cJSON *root, const cJSON *and, uint32_t *rule,
                      struct err *e);
/* Around other makers: s is set up; then all its rules are made, and s is
 * released, also where rc is not 0. */
NEED int schema_begin(struct schema *s, struct grammar *g, const cJSON *root, struct err *e);
NEED int schema_end(struct schema *s, int rc);

/* ---- schema_all.c */
struct ways {
	struct all *way; /* [n]: of each the plain schemas: no allOf, anyOf, oneOf, $ref */
	size_t n;
};
NEED int schema_ways(struct schema *s, const struct all *all, struct ways *out);

/* ---- schema_form.c: what the values of each type may be */
struct bound { double at; bool open, set; };
struct part { struct lang names; struct all value; };
struct property {
	struct bytes name;
	struct all value;
	bool required, never;
};
struct counted { const cJSON *yes, *no; size_t min, max; }; /* no: with a max alone */
struct form {
	unsigned types;
	const struct all *all;
	const cJSON **value;   /* [n_values] of enum or const, those that hold */
	size_t n_values;
	bool listed;           /* these alone */
	struct bound low, high;
	unsigned multiple;     /* 0: of anything */
	unsigned digits;       /* after the point, + 1; 0: any */
	double *without;       /* [n_without] numbers that are none */
	size_t n_without;
	const cJSON *no_tree;  /* leaves out arrays or objects by their values */
	unsigned tree_types;   /* which */
	bool is_text;          /* text says which strings */
	struct lang text;
	size_t min_items, max_items, n_first;
	struct all *first;     /* [n_first] items in their places */
	struct all rest;       /* the others */
	struct counted contains[SCHEMA_CONTAINS];
	size_t n_contains;
	const cJSON *unique;   /* whoever asks that items differ */
	size_t min_members, max_members;
	struct property *property;
	size_t n_properties;
	struct part *other;    /* [n_other] members by their names */
	size_t n_other;
	bool any_name;         /* the one part's names are any */
};
NEED int schema_form(struct schema *s, const struct all *plain, struct form *out);
/* Only types, bounds and strings of it. */
NEED int schema_scalars(struct schema *s, const struct all *plain, struct form *out);
/* Lists the values where they are few: h->listed says whether. */
NEED int form_listed(struct schema *s, struct form *h);
NEED int pattern_of(struct schema *s, const cJSON *node, const char *key, const char *pattern,
                    struct lang *out);
/* schema_inner.c */
NEED int form_items(struct schema *s, struct form *h);
NEED int form_members(struct schema *s, struct form *h);
/* schema_nothing.c */
/* 1: surely no value is of all of these and of the plain ones `with` (may be
 * NULL), 0: perhaps some, -1. */
NEED int schema_nothing(struct schema *s, const struct all *all, const struct all *with);

/* ---- schema_number.c */
/* Whole numbers or fractions within the bounds, as they are spelled. */
NEED int number_lang(struct lang *out, const struct form *h, struct arena *m, struct err *e);

/* ---- schema_format.c */
/* What a format asks of strings and numbers: each may be absent. */
struct format {
	const char *name;
	const char *pattern; /* of the whole string */
	double low, high;    /* both 0: any number */
};
/* NULL: no such format, or one that cannot be kept to. */
const struct format *format_find(const char *name);

/* ---- schema_emit.c */
NEED int schema_emit(struct schema *s, const struct form *h, uint32_t *out);

/* ---- schema_array.c */
NEED int emit_array(struct schema *s, const struct form *h, uint32_t *out);

/* ---- schema_value.c */
bool schema_equal(const cJSON *a, const cJSON *b);
/* 1: the value is one of the schema's, 0: it is not, -1. */
NEED int schema_value(struct schema *s, const cJSON *node, const cJSON *value);
/* The same, enum and const of `node` itself aside. */
NEED int schema_value_but(struct schema *s, const cJSON *node, const cJSON *value);
/* Bits of a "type"; -1 with a refusal. */
NEED int type_bits(struct schema *s, const cJSON *node, unsigned *out);

#endif
