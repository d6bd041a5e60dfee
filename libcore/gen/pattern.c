/* SPDX-License-Identifier: MIT */
/* pattern.c - ECMA-262's regular expressions, those that are regular
 *
 * Given a pattern, gives the set of strings it finds itself in. Looking
 * around, \b, back references and \p are refused: they would have to be kept
 * to exactly, or not at all. */
#include "gen/charset.h"
#include "gen/lang.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "util/utf8.h"

enum { REPEAT_MAX = 5000, NODES_MAX = 20000 };

enum kind { RE_EMPTY, RE_SET, RE_CAT, RE_OR, RE_REPEAT, RE_BEGIN, RE_FINISH };
struct re {
	enum kind kind;
	struct re *a, *b;
	size_t min, max; /* of a repeat; max SIZE_MAX: any more */
	const uint32_t (*range)[2];
	size_t n_ranges;
};

struct parse {
	struct bytes t;
	size_t at;
	int depth;
	struct arena *m;
	struct err *e;
	struct nfa_node *node;
	size_t n, room;
};

static struct re *refuse(struct parse *p, const char *what)
{
	err_set(p->e, ERR_INPUT, "the pattern: byte %zu: %s", p->at, what);
	return NULL;
}

static struct re *re_new(struct parse *p, enum kind kind, struct re *a, struct re *b)
{
	struct re *r = arena_new(p->m, 1, sizeof *r, p->e);

	if (r)
		*r = (struct re){ .kind = kind, .a = a, .b = b };
	return r;
}

static int peek(const struct parse *p)
{
	return p->at < p->t.n ? p->t.p[p->at] : -1;
}

static bool accept(struct parse *p, const char *text)
{
	size_t n = strlen(text);

	if (p->t.n - p->at < n || memcmp(p->t.p + p->at, text, n) != 0)
		return false;
	p->at += n;
	return true;
}

static struct re *re_set(struct parse *p, struct charset *s)
{
	struct re *r = re_new(p, RE_SET, NULL, NULL);
	uint32_t(*range)[2];

	charset_tidy(s);
	range = r ? arena_new(p->m, s->n + 1, sizeof *range, p->e) : NULL;
	if (!range)
		return NULL;
	memcpy(range, s->range, s->n * sizeof *range);
	r->range = (const uint32_t(*)[2])range;
	r->n_ranges = s->n;
	return r;
}

/* ---- characters */

static bool hex(struct parse *p, int digits, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < digits; i++) {
		int c = peek(p);

		if (c < 0 || !isxdigit(c))
			return false;
		*out = *out * 16 + (uint32_t)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
		p->at++;
	}
	return true;
}

static bool unicode(struct parse *p, uint32_t *out)
{
	uint32_t low;

	if (!accept(p, "{")) {
		if (!hex(p, 4, out))
			return false;
		if (*out < 0xD800 || *out > 0xDFFF)
			return true;
		if (*out > 0xDBFF || !accept(p, "\\u") || !hex(p, 4, &low) || low < 0xDC00 ||
		    low > 0xDFFF)
			return false;
		*out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
		return true;
	}
	*out = 0;
	while (peek(p) != '}') {
		uint32_t d;

		if (!hex(p, 1, &d) || *out > CHAR_MAX_CP)
			return false;
		*out = *out * 16 + d;
	}
	p->at++;
	return *out <= CHAR_MAX_CP;
}

/* After a backslash: a character. False: nothing that is known. */
static bool escaped(struct parse *p, uint32_t *out)
{
	static const char plain[] = "tnvfr", means[] = "\t\n\v\f\r";
	int c = peek(p);
	const char *at;

	if (c < 0)
		return false;
	p->at++;
	at = strchr(plain, c);
	if (at) {
		*out = (unsigned char)means[at - plain];
		return true;
	}
	if (c == 'x')
		return hex(p, 2, out);
	if (c == 'u')
		return unicode(p, out);
	if (c == '0' && !(peek(p) >= '0' && peek(p) <= '9')) {
		*out = 0;
		return true;
	}
	if (c == 'c' && peek(p) >= 0 && isalpha(peek(p))) {
		*out = (uint32_t)p->t.p[p->at++] % 32;
		return true;
	}
	*out = (uint32_t)c;
	return c < 0x80 && !isalnum(c);
}

static bool literal(struct parse *p, uint32_t *out)
{
	int n = utf8_decode(out, p->t.p + p->at, p->t.n - p->at);

	if (n <= 0)
		return false;
	p->at += (size_t)n;
	return true;
}

/* One member of [...]: a character, or a class (*class). */
static bool member(struct parse *p, struct charset *s, uint32_t *out, bool *class)
{
	*class = false;
	if (!accept(p, "\\"))
		return literal(p, out);
	if (peek(p) == 'b') {
		p->at++;
		*out = '\b';
		return true;
	}
	if (peek(p) == '-') {
		p->at++;
		*out = '-';
		return true;
	}
	*class = peek(p) >= 0 && strchr("dwsDWS", peek(p));
	return *class ? charset_class(s, p->t.p[p->at++]) : escaped(p, out);
}

static struct re *bracket(struct parse *p)
{
	struct charset s = { .n = 0 };
	bool out = accept(p, "^"), class;

	while (!accept(p, "]")) {
		uint32_t lo, hi;

		if (p->at >= p->t.n)
			return refuse(p, "[ without ]");
		if (!member(p, &s, &lo, &class))
			return refuse(p, "no such character");
		if (class)
			continue;
		hi = lo;
		if (peek(p) == '-' && p->at + 1 < p->t.n && p->t.p[p->at + 1] != ']') {
			p->at++;
			if (!member(p, &s, &hi, &class) || class || hi < lo)
				return refuse(p, "no such range of characters");
		}
		if (!charset_add(&s, lo, hi))
			return refuse(p, "too many characters in brackets");
	}
	if (out && !charset_invert(&s))
		return refuse(p, "too many characters in brackets");
	return re_set(p, &s);
}

/* ---- the expression */

static struct re *either(struct parse *p);

static struct re *group(struct parse *p)
{
	struct re *r;

	if (accept(p, "?") && !accept(p, ":")) {
		bool named = accept(p, "<") && peek(p) >= 0 && (isalpha(peek(p)) || peek(p) == '_');

		while (named && peek(p) >= 0 && peek(p) != '>')
			p->at++;
		if (!named || !accept(p, ">"))
			return refuse(p, "looking around is not supported");
	}
	if (++p->depth > GRAMMAR_DEPTH)
		return refuse(p, "too many groups within groups");
	r = either(p);
	p->depth--;
	if (r && !accept(p, ")"))
		return refuse(p, "( without )");
	return r;
}

static struct re *atom(struct parse *p)
{
	struct charset s = { .n = 0 };
	uint32_t c;

	if (accept(p, "("))
		return group(p);
	if (accept(p, "["))
		return bracket(p);
	if (accept(p, "^"))
		return re_new(p, RE_BEGIN, NULL, NULL);
	if (accept(p, "$"))
		return re_new(p, RE_FINISH, NULL, NULL);
	if (accept(p, ".")) {
		charset_add(&s, '\n', '\n');
		charset_add(&s, '\r', '\r');
		charset_add(&s, 0x2028, 0x2029);
		charset_invert(&s);
		return re_set(p, &s);
	}
	if (peek(p) >= 0 && strchr("*+?", peek(p)))
		return refuse(p, "nothing to repeat");
	if (accept(p, "\\")) {
		if (peek(p) >= 0 && strchr("dwsDWS", peek(p))) {
			charset_class(&s, p->t.p[p->at++]);
			return re_set(p, &s);
		}
		if (!escaped(p, &c))
			return refuse(p, "this escape is not supported");
	} else if (!literal(p, &c)) {
		return refuse(p, "expected UTF-8");
	}
	charset_add(&s, c, c);
	return re_set(p, &s);
}

static bool number(struct parse *p, size_t *out)
{
	size_t from = p->at;

	for (*out = 0; peek(p) >= '0' && peek(p) <= '9' && *out <= REPEAT_MAX; p->at++)
		*out = *out * 10 + (size_t)(p->t.p[p->at] - '0');
	return p->at > from;
}

/* *, +, ?, {n}, {n,}, {n,m}. A brace that is none of these is itself. */
static bool counts(struct parse *p, size_t *min, size_t *max)
{
	size_t back = p->at;

	*min = 0;
	*max = SIZE_MAX;
	if (accept(p, "*"))
		return true;
	if (accept(p, "+"))
		return *min = 1, true;
	if (accept(p, "?"))
		return *max = 1, true;
	if (accept(p, "{") && number(p, min)) {
		*max = *min;
		if (accept(p, ",") && !number(p, max))
			*max = SIZE_MAX;
		if (accept(p, "}"))
			return true;
	}
	p->at = back;
	return false;
}

static struct re *repeated(struct parse *p)
{
	struct re *r = atom(p);
	size_t min, max;

	while (r && counts(p, &min, &max)) {
		accept(p, "?"); /* greedy or not, the strings are the same */
		if (min > REPEAT_MAX || (max != SIZE_MAX && max > REPEAT_MAX) || max < min)
			return refuse(p, "expected at most 5000 times, the lower count first");
		r = re_new(p, RE_REPEAT, r, NULL);
		if (!r)
			return NULL;
		r->min = min;
		r->max = max;
	}
	return r;
}

static struct re *sequence(struct parse *p)
{
	struct re *r = re_new(p, RE_EMPTY, NULL, NULL), *next;

	while (r && p->at < p->t.n && peek(p) != '|' && peek(p) != ')') {
		next = repeated(p);
		r = next ? re_new(p, RE_CAT, r, next) : NULL;
	}
	return r;
}

static struct re *either(struct parse *p)
{
	struct re *r = sequence(p), *other;

	while (r && accept(p, "|")) {
		other = sequence(p);
		r = other ? re_new(p, RE_OR, r, other) : NULL;
	}
	return r;
}

/* ---- to an automaton, backwards: from what comes next to where it begins */

enum { NO_NODE = UINT32_MAX };

static uint32_t node(struct parse *p, struct nfa_node k)
{
	if (p->n >= NODES_MAX) {
		refuse(p, "it is too big");
		return NO_NODE;
	}
	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 128;
		struct nfa_node *more = realloc(p->node, room * sizeof *more);

		if (!more) {
			err_memory(p->e, room * sizeof *more);
			return NO_NODE;
		}
		p->node = more;
		p->room = room;
	}
	p->node[p->n] = k;
	return (uint32_t)p->n++;
}

static uint32_t lay(struct parse *p, const struct re *r, uint32_t next);

static uint32_t lay_repeat(struct parse *p, const struct re *r, uint32_t next)
{
	uint32_t at = next, loop;

	if (r->max == SIZE_MAX) {
		loop = node(p, (struct nfa_node){ .kind = NFA_SPLIT, .a = next, .b = next });
		at = loop == NO_NODE ? NO_NODE : lay(p, r->a, loop);
		if (at == NO_NODE)
			return NO_NODE;
		p->node[loop].b = at;
		at = loop;
	}
	for (size_t i = r->min; r->max != SIZE_MAX && i < r->max && at != NO_NODE; i++) {
		at = lay(p, r->a, at);
		if (at != NO_NODE)
			at = node(p, (struct nfa_node){ .kind = NFA_SPLIT, .a = at, .b = next });
	}
	for (size_t i = 0; i < r->min && at != NO_NODE; i++)
		at = lay(p, r->a, at);
	return at;
}

static uint32_t lay(struct parse *p, const struct re *r, uint32_t next)
{
	uint32_t a;

	for (; r->kind == RE_CAT; r = r->a) /* sequences lean to the left */
		if ((next = lay(p, r->b, next)) == NO_NODE)
			return NO_NODE;
	switch (r->kind) {
	case RE_SET:
		return node(p, (struct nfa_node){ NFA_SET, next, 0, r->range, r->n_ranges });
	case RE_OR:
		a = lay(p, r->a, next);
		next = a == NO_NODE ? NO_NODE : lay(p, r->b, next);
		return next == NO_NODE ? NO_NODE :
		                         node(p, (struct nfa_node){ NFA_SPLIT, a, next, NULL, 0 });
	case RE_REPEAT:
		return lay_repeat(p, r, next);
	case RE_BEGIN:
	case RE_FINISH:
		return node(p, (struct nfa_node){ r->kind == RE_BEGIN ? NFA_BEGIN : NFA_FINISH,
		                                  next, 0, NULL, 0 });
	default:
		return next;
	}
}

/* Any characters, then `next`. */
static uint32_t lay_any(struct parse *p, uint32_t next)
{
	static const uint32_t all[1][2] = { { 0, CHAR_MAX_CP } };
	uint32_t loop = node(p, (struct nfa_node){ .kind = NFA_SPLIT, .a = next }), set;

	if (loop == NO_NODE)
		return NO_NODE;
	set = node(p, (struct nfa_node){ NFA_SET, loop, 0, all, 1 });
	if (set == NO_NODE)
		return NO_NODE;
	p->node[loop].b = set;
	return loop;
}

static int make(struct lang *out, struct bytes pattern, bool whole, struct arena *m, struct err *e)
{
	struct parse p = { .t = pattern, .m = m, .e = e };
	struct re *r = either(&p);
	uint32_t at;
	int rc = -1;

	if (r && p.at < p.t.n)
		r = refuse(&p, ") without (");
	if (!r)
		return -1;
	at = node(&p, (struct nfa_node){ .kind = NFA_END });
	if (at != NO_NODE && !whole)
		at = lay_any(&p, at);
	if (at != NO_NODE)
		at = lay(&p, r, at);
	if (at != NO_NODE && !whole)
		at = lay_any(&p, at);
	if (at != NO_NODE)
		rc = lang_of_nfa(out, p.node, p.n, at, m, e);
	free(p.node);
	return rc;
}

int lang_pattern(struct lang *out, struct bytes pattern, struct arena *m, struct err *e)
{
	return make(out, pattern, false, m, e);
}

int lang_pattern_whole(struct lang *out, const char *pattern, struct arena *m, struct err *e)
{
	return make(out, bytes_of(pattern), true, m, e);
}
