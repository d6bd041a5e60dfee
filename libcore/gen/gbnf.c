/* SPDX-License-Identifier: MIT */
/* gbnf.c - llama.cpp's grammar language to a graph
 *
 * name ::= alternatives of "text", [characters], ., names and ( groups ),
 * each perhaps with *, +, ?, {n}, {n,} or {n,m}; # to the line's end is a
 * comment. A line's end ends a rule unless within a group or after a |. The
 * rule called root is the whole. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "gen/charset.h"
#include "gen/graph.h"
#include "gen/lang.h"
#include "util/map.h"
#include "util/utf8.h"

enum { RULES_MAX = 4096, TIMES_MAX = 2000, DEEP = 64, MEMORY = 64 << 20 };

enum what { G_EMPTY, G_CHARS, G_RULE, G_CAT, G_OR, G_TIMES };
struct item {
	enum what what;
	struct item *a, *b;
	uint32_t rule;
	size_t min, max;
	uint32_t (*range)[2];
	size_t n_ranges;
};

struct gbnf {
	struct grammar *g;
	struct bytes t;
	size_t at;
	int depth;
	struct arena m;
	struct map names;
	struct rule {
		struct bytes name;
		uint32_t rule;
		struct item *body;
	} rule[RULES_MAX];
	size_t n_rules;
	struct err *e;
};

static void *refuse(struct gbnf *p, const char *what)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < p->at && i < p->t.n; i++)
		if (p->t.p[i] == '\n')
			line++, column = 1;
		else
			column++;
	err_set(p->e, ERR_INPUT, "line %zu, column %zu: %s", line, column, what);
	return NULL;
}

static int peek(const struct gbnf *p)
{
	return p->at < p->t.n ? p->t.p[p->at] : -1;
}

static bool accept(struct gbnf *p, const char *text)
{
	size_t n = strlen(text);

	if (p->t.n - p->at < n || memcmp(p->t.p + p->at, text, n) != 0)
		return false;
	p->at += n;
	return true;
}

static void skip(struct gbnf *p, bool lines)
{
	for (;;) {
		int c = peek(p);

		if (c == '#')
			while (peek(p) >= 0 && peek(p) != '\n' && peek(p) != '\r')
				p->at++;
		else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
			p->at++;
		else
			return;
	}
}

/* ---- rules by name */

static struct bytes word(struct gbnf *p)
{
	size_t from = p->at;

	while (peek(p) >= 0 && (isalnum(peek(p)) || peek(p) == '-' || peek(p) == '_'))
		p->at++;
	return (struct bytes){ p->t.p + from, p->at - from };
}

static struct rule *rule_of(struct gbnf *p, struct bytes name)
{
	int64_t at = map_get(&p->names, name);
	struct rule *r;

	if (at != MAP_NONE)
		return &p->rule[at];
	if (p->n_rules == RULES_MAX)
		return refuse(p, "expected at most 4096 rules, found more");
	if (map_add(&p->names, name, (int64_t)p->n_rules, p->e) < 0)
		return NULL;
	r = &p->rule[p->n_rules++];
	*r = (struct rule){ name, graph_rule(p->g), NULL };
	return r;
}

static struct item *item(struct gbnf *p, enum what what, struct item *a, struct item *b)
{
	struct item *i = arena_new(&p->m, 1, sizeof *i, p->e);

	if (i)
		*i = (struct item){ .what = what, .a = a, .b = b };
	return i;
}

/* ---- characters */

static int hex(int c)
{
	return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

/* One character, perhaps escaped. */
static bool character(struct gbnf *p, uint32_t *out)
{
	static const struct {
		unsigned char name, digits;
		uint32_t is;
	} row[] = {
		{ 'n', 0, '\n' }, { 'r', 0, '\r' }, { 't', 0, '\t' }, { '\\', 0, '\\' },
		{ '"', 0, '"' },  { '[', 0, '[' },  { ']', 0, ']' },  { 'x', 2, 0 },
		{ 'u', 4, 0 },    { 'U', 8, 0 },    { '-', 0, '-' },  { '^', 0, '^' },
		{ '/', 0, '/' },
	};
	int n;

	if (!accept(p, "\\")) {
		n = utf8_decode(out, p->t.p + p->at, p->t.n - p->at);
		if (n <= 0)
			return refuse(p, "expected UTF-8"), false;
		p->at += (size_t)n;
		return true;
	}
	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		if (peek(p) != row[i].name)
			continue;
		p->at++;
		*out = row[i].is;
		for (int k = 0; k < row[i].digits; k++) {
			if (peek(p) < 0 || hex(peek(p)) < 0 || *out > CHAR_MAX_CP)
				return refuse(p, "expected hexadecimal digits"), false;
			*out = *out * 16 + (uint32_t)hex(p->t.p[p->at++]);
		}
		if (*out > CHAR_MAX_CP || (*out >= 0xD800 && *out <= 0xDFFF))
			return refuse(p, "no such character"), false;
		return true;
	}
	return refuse(p, "no such escape"), false;
}

static struct item *chars(struct gbnf *p, const struct charset *s)
{
	struct item *i = item(p, G_CHARS, NULL, NULL);

	i = i && (i->range = arena_new(&p->m, s->n + 1, sizeof *i->range, p->e)) ? i : NULL;
	if (!i)
		return NULL;
	memcpy(i->range, s->range, s->n * sizeof *i->range);
	i->n_ranges = s->n;
	return i;
}

static struct item *one(struct gbnf *p, uint32_t lo, uint32_t hi)
{
	struct charset s = { .n = 0 };

	charset_add(&s, lo, hi);
	return chars(p, &s);
}

static struct item *quoted(struct gbnf *p)
{
	struct item *all = item(p, G_EMPTY, NULL, NULL), *k;

	while (all && !accept(p, "\"")) {
		uint32_t c;

		if (p->at >= p->t.n || peek(p) == '\n')
			return refuse(p, "\" without another on its line");
		if (!character(p, &c) || !(k = one(p, c, c)))
			return NULL;
		all = item(p, G_CAT, all, k);
	}
	return all;
}

static struct item *bracket(struct gbnf *p)
{
	struct charset s = { .n = 0 };
	bool out = accept(p, "^");

	while (!accept(p, "]")) {
		uint32_t lo, hi;

		if (p->at >= p->t.n)
			return refuse(p, "[ without ]");
		if (!character(p, &lo))
			return NULL;
		hi = lo;
		if (peek(p) == '-' && p->at + 1 < p->t.n && p->t.p[p->at + 1] != ']') {
			p->at++;
			if (!character(p, &hi))
				return NULL;
		}
		if (hi < lo || !charset_add(&s, lo, hi))
			return refuse(p,
			              hi < lo ? "a range that goes down" : "too many characters");
	}
	if (out && !charset_invert(&s))
		return refuse(p, "too many characters");
	charset_tidy(&s);
	return chars(p, &s);
}

/* ---- rules */

static struct item *either(struct gbnf *p);

static struct item *primary(struct gbnf *p)
{
	struct item *i;
	struct bytes name;
	struct rule *r;

	if (accept(p, "\""))
		return quoted(p);
	if (accept(p, "["))
		return bracket(p);
	if (accept(p, "."))
		return one(p, 0, CHAR_MAX_CP);
	if (accept(p, "(")) {
		if (++p->depth > DEEP)
			return refuse(p, "groups within groups within groups");
		i = either(p);
		p->depth--;
		if (!i)
			return NULL;
		skip(p, true);
		return accept(p, ")") ? i : refuse(p, "expected )");
	}
	name = word(p);
	if (!name.n)
		return refuse(p, "expected a text, characters, a name or a group");
	if (!(r = rule_of(p, name)) || !(i = item(p, G_RULE, NULL, NULL)))
		return NULL;
	i->rule = r->rule;
	return i;
}

static bool number(struct gbnf *p, size_t *out)
{
	size_t from = p->at;

	for (*out = 0; peek(p) >= '0' && peek(p) <= '9' && *out <= TIMES_MAX; p->at++)
		*out = *out * 10 + (size_t)(p->t.p[p->at] - '0');
	return p->at > from;
}

/* {n}, {n,}, {,m}, {n,m} after the brace. */
static bool counts(struct gbnf *p, size_t *min, size_t *max)
{
	bool has;

	skip(p, true);
	has = number(p, min);
	skip(p, true);
	*max = *min;
	if (accept(p, ",")) {
		skip(p, true);
		if (!number(p, max))
			*max = SIZE_MAX;
		has = true;
		skip(p, true);
	}
	if (!has || !accept(p, "}") || *min > TIMES_MAX || *max < *min ||
	    (*max != SIZE_MAX && *max > TIMES_MAX))
		return refuse(p, "expected {n}, {n,} or {n,m}, up to 2000"), false;
	return true;
}

static struct item *repeated(struct gbnf *p)
{
	struct item *i = primary(p);

	while (i) {
		size_t min = 0, max = SIZE_MAX;

		skip(p, p->depth > 0);
		if (accept(p, "?"))
			max = 1;
		else if (accept(p, "+"))
			min = 1;
		else if (accept(p, "{")) {
			if (!counts(p, &min, &max))
				return NULL;
		} else if (!accept(p, "*")) {
			return i;
		}
		i = item(p, G_TIMES, i, NULL);
		if (i) {
			i->min = min;
			i->max = max;
		}
	}
	return NULL;
}

static struct item *sequence(struct gbnf *p)
{
	struct item *all = item(p, G_EMPTY, NULL, NULL), *next;

	for (;;) {
		int c;

		skip(p, p->depth > 0);
		c = peek(p);
		if (!all || c < 0 || c == '|' || c == ')' || c == '\n' || c == '\r')
			return all;
		next = repeated(p);
		all = next ? item(p, G_CAT, all, next) : NULL;
	}
}

static struct item *either(struct gbnf *p)
{
	struct item *all = sequence(p), *other;

	skip(p, p->depth > 0);
	while (all && accept(p, "|")) {
		skip(p, true);
		other = sequence(p);
		all = other ? item(p, G_OR, all, other) : NULL;
		skip(p, p->depth > 0);
	}
	return all;
}

static int rule(struct gbnf *p)
{
	struct bytes name = word(p);
	struct rule *r;

	if (!name.n)
		return refuse(p, "expected the name of a rule"), -1;
	if (!(r = rule_of(p, name)))
		return -1;
	skip(p, false);
	if (!accept(p, "::="))
		return refuse(p, "expected ::="), -1;
	skip(p, true);
	if (r->body)
		return refuse(p, "this rule is there already"), -1;
	r->body = either(p);
	if (!r->body)
		return -1;
	if (p->at < p->t.n && peek(p) != '\n' && peek(p) != '\r')
		return refuse(p, "expected the line's end"), -1;
	skip(p, true);
	return 0;
}

/* ---- to a graph, backwards */

static uint32_t lay(struct grammar *g, const struct item *i, uint32_t next);

/* What is repeated often is a rule: its nodes stand once. */
static uint32_t lay_times(struct grammar *g, const struct item *i, uint32_t next)
{
	uint32_t at = next, loop, rule = 0;
	bool often = i->min + (i->max == SIZE_MAX ? 1 : i->max) > 8 && i->a->what != G_CHARS;

	if (often) {
		rule = graph_rule(g);
		graph_rule_set(g, rule, lay(g, i->a, GRAPH_END));
	}
	if (i->max == SIZE_MAX) {
		loop = graph_loop(g);
		graph_loop_set(g, loop, often ? graph_call(g, rule, loop) : lay(g, i->a, loop),
		               next);
		at = loop;
	}
	for (size_t n = i->min; i->max != SIZE_MAX && n < i->max && !g->failed; n++)
		at = graph_or(g, often ? graph_call(g, rule, at) : lay(g, i->a, at), next);
	for (size_t n = 0; n < i->min && !g->failed; n++)
		at = often ? graph_call(g, rule, at) : lay(g, i->a, at);
	return at;
}

static uint32_t lay(struct grammar *g, const struct item *i, uint32_t next)
{
	uint32_t way = GRAPH_NONE;

	for (; i->what == G_CAT && !g->failed; i = i->a) /* sequences lean to the left */
		next = lay(g, i->b, next);
	for (; i->what == G_OR && !g->failed; i = i->a)
		way = graph_or(g, lay(g, i->b, next), way);
	if (way != GRAPH_NONE)
		return graph_or(g, lay(g, i, next), way);
	switch (i->what) {
	case G_CHARS:
		for (size_t k = 0; k < i->n_ranges; k++)
			way = graph_or(g, graph_chars(g, i->range[k][0], i->range[k][1], next),
			               way);
		return way;
	case G_RULE:
		return graph_call(g, i->rule, next);
	case G_TIMES:
		return lay_times(g, i, next);
	default:
		return next;
	}
}

static int finish(struct gbnf *p, uint32_t *out)
{
	int64_t root = map_get(&p->names, bytes_of("root"));

	for (size_t i = 0; i < p->n_rules; i++) {
		if (!p->rule[i].body)
			return err_set(p->e, ERR_INPUT, "the rule %.*s is nowhere",
			               (int)(p->rule[i].name.n < 64 ? p->rule[i].name.n : 64),
			               (const char *)p->rule[i].name.p);
		graph_rule_set(p->g, p->rule[i].rule, lay(p->g, p->rule[i].body, GRAPH_END));
	}
	if (root == MAP_NONE)
		return err_set(p->e, ERR_INPUT, "the rule root is nowhere");
	*out = p->rule[root].rule;
	return p->g->failed ? -1 : 0;
}

int graph_gbnf(struct grammar *g, struct bytes text, uint32_t *out, struct err *e)
{
	struct gbnf *p;
	int rc = 0;

	if (text.n > GRAMMAR_SOURCE)
		return err_set(e, ERR_INPUT, "expected at most %d bytes, found %zu", GRAMMAR_SOURCE,
		               text.n);
	p = calloc(1, sizeof *p);
	if (!p)
		return err_memory(e, sizeof *p);
	p->g = g;
	p->t = text;
	p->e = e;
	arena_init(&p->m, MEMORY);
	if (map_init(&p->names, 64, e)) {
		free(p);
		return -1;
	}
	skip(p, true);
	while (rc == 0 && p->at < p->t.n)
		rc = rule(p);
	if (rc == 0)
		rc = finish(p, out);
	map_release(&p->names);
	arena_release(&p->m);
	free(p);
	return rc;
}
