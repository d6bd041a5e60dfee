/* SPDX-License-Identifier: MIT */
/* jinja_parse.c - what parsers share, and operators of expressions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

int jinja_place(const struct chat_template *t, size_t pos, struct err *e)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < pos && i < t->text.n; i++) {
		bool starts = (t->text.p[i] & 0xc0) != 0x80;

		if (t->text.p[i] == '\n') {
			line++;
			column = 1;
		} else {
			column += starts;
		}
	}
	return err_in(e, "line %zu, column %zu", line, column);
}

int jinja_fail(struct parse *p, size_t pos, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_set(p->e, ERR_INPUT, "%s", text);
	return jinja_place(p->t, pos, p->e);
}

struct node *jinja_node(struct parse *p, enum node_kind kind, size_t pos)
{
	struct node *n = arena_new(&p->t->arena, 1, sizeof *n, p->e);

	if (n) {
		n->kind = kind;
		n->pos = pos;
	}
	return n;
}

int jinja_symbol(struct parse *p, struct bytes name)
{
	struct chat_template *t = p->t;

	for (size_t i = 0; i < t->n_symbols; i++)
		if (bytes_equal(t->symbol[i], name))
			return (int)i;
	if (t->n_symbols == 4096)
		return jinja_fail(p, p->at->pos, "more than 4096 names");
	if (t->n_symbols == t->symbol_room) {
		size_t room = t->symbol_room ? 2 * t->symbol_room : 64;
		struct bytes *more = arena_new(&t->arena, room, sizeof *more, p->e);

		if (!more)
			return -1;
		if (t->n_symbols)
			memcpy(more, t->symbol, t->n_symbols * sizeof *more);
		t->symbol = more;
		t->symbol_room = room;
	}
	t->symbol[t->n_symbols] = name;
	return (int)t->n_symbols++;
}

bool jinja_is_op(const struct parse *p, int op)
{
	return p->at->kind == T_OP && p->at->op == op;
}

bool jinja_is_name(const struct parse *p, const char *name)
{
	return p->at->kind == T_NAME && bytes_is(p->at->text, name);
}

bool jinja_take_op(struct parse *p, int op)
{
	bool is = jinja_is_op(p, op);

	p->at += is;
	return is;
}

bool jinja_take_name(struct parse *p, const char *name)
{
	bool is = jinja_is_name(p, name);

	p->at += is;
	return is;
}

static const char *token_text(const struct token *t, char room[40])
{
	static const char *const names[] = { "the end", "text", "{{", "}}", "{%", "%}" };

	if (t->kind <= T_TAG_END)
		return names[t->kind];
	snprintf(room, 40, "\"%.*s\"", (int)(t->text.n < 30 ? t->text.n : 30),
	         (const char *)t->text.p);
	return room;
}

int jinja_unexpected(struct parse *p, const char *want)
{
	char room[40];

	return jinja_fail(p, p->at->pos, "expected %s, found %s", want, token_text(p->at, room));
}

int jinja_want_op(struct parse *p, int op)
{
	char want[8];

	snprintf(want, sizeof want, "\"%c\"", op);
	return jinja_take_op(p, op) ? 0 : jinja_unexpected(p, want);
}

int jinja_enter(struct parse *p)
{
	if (++p->depth > JINJA_NESTED)
		return jinja_fail(p, p->at->pos, "nested over %d deep", JINJA_NESTED);
	return 0;
}

/* ---- operators, the loosest last */

static struct node *unary(struct parse *p, bool filters)
{
	struct node *n;

	if (jinja_is_op(p, '-') || jinja_is_op(p, '+')) {
		if (jinja_enter(p) || !(n = jinja_node(p, N_SIGN, p->at->pos)))
			return NULL;
		n->op = p->at++->op;
		n->a = unary(p, false);
		n = n->a ? n : NULL;
		p->depth--;
	} else {
		n = jinja_primary(p);
	}
	while (n && filters) {
		if (jinja_is_op(p, '|')) {
			n = jinja_filters(p, n, false);
		} else if (jinja_is_name(p, "is")) {
			n = jinja_is_test(p, n);
		} else if (jinja_is_op(p, '(')) {
			struct node *call = jinja_node(p, N_CALL, p->at->pos);

			if (!call || jinja_args(p, &call->b))
				return NULL;
			call->a = n;
			n = call;
		} else {
			break;
		}
	}
	return n;
}

/* The levels of operators that group to the left. */
static const int levels[][5] = {
	{ '+', '-' },
	{ '~' },
	{ '*', '/', OP2('/', '/'), '%' },
	{ OP2('*', '*') },
};
enum { N_LEVELS = sizeof levels / sizeof *levels };

static struct node *binary(struct parse *p, unsigned level)
{
	struct node *n;

	if (level == N_LEVELS)
		return unary(p, true);
	n = binary(p, level + 1);
	while (n && p->at->kind == T_OP) {
		struct node *both = NULL;

		for (unsigned i = 0; i < 5 && levels[level][i] && !both; i++)
			if (levels[level][i] == p->at->op &&
			    !(both = jinja_node(p, N_BINARY, p->at->pos)))
				return NULL;
		if (!both)
			break;
		both->op = p->at++->op;
		both->a = n;
		both->b = binary(p, level + 1);
		n = both->b ? both : NULL;
	}
	return n;
}

/* The comparison that stands here, passed over; 0: none. */
static int comparison(struct parse *p)
{
	static const int ops[] = { OP2('=', '='), OP2('!', '='), '<',
		                   OP2('<', '='), '>',           OP2('>', '=') };

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (jinja_take_op(p, ops[i]))
			return ops[i];
	if (jinja_take_name(p, "in"))
		return 'i';
	if (jinja_is_name(p, "not") && p->at[1].kind == T_NAME && bytes_is(p->at[1].text, "in")) {
		p->at += 2;
		return 'n';
	}
	return 0;
}

static struct node *compare(struct parse *p)
{
	struct node *n = binary(p, 0), *all = NULL, **end = NULL;

	for (;;) {
		size_t pos = p->at->pos;
		int op = n ? comparison(p) : 0;
		struct node *one;

		if (!op)
			return n && all ? all : n;
		if (!all) {
			all = jinja_node(p, N_COMPARE, pos);
			if (!all)
				return NULL;
			all->a = n;
			end = &all->b;
		}
		one = *end = jinja_node(p, N_OPERAND, pos);
		if (!one || !(one->a = binary(p, 0)))
			return NULL;
		one->op = op;
		end = &one->next;
	}
}

static struct node *negation(struct parse *p)
{
	struct node *n;

	if (!jinja_is_name(p, "not"))
		return compare(p);
	if (jinja_enter(p) || !(n = jinja_node(p, N_NOT, p->at->pos)))
		return NULL;
	p->at++;
	n->a = negation(p);
	p->depth--;
	return n->a ? n : NULL;
}

static struct node *both(struct parse *p, bool or)
{
	struct node *n = or ? both(p, false) : negation(p);

	while (n && jinja_is_name(p, or ? "or" : "and")) {
		struct node *pair = jinja_node(p, or ? N_OR : N_AND, p->at->pos);

		p->at++;
		if (!pair || !(pair->b = or ? both(p, false) : negation(p)))
			return NULL;
		pair->a = n;
		n = pair;
	}
	return n;
}

struct node *jinja_expr(struct parse *p)
{
	struct node *n;

	if (jinja_enter(p))
		return NULL;
	n = both(p, true);
	while (n && jinja_is_name(p, "if")) {
		struct node *choose = jinja_node(p, N_CHOOSE, p->at->pos);

		p->at++;
		if (!choose || !(choose->a = both(p, true)))
			return NULL;
		choose->b = n;
		if (jinja_take_name(p, "else") && !(choose->c = jinja_expr(p)))
			return NULL;
		n = choose;
	}
	p->depth--;
	return n;
}

static bool ends_tuple(const struct parse *p, unsigned flags)
{
	return p->at->kind == T_VAR_END || p->at->kind == T_TAG_END || jinja_is_op(p, ')') ||
	       (flags & TUPLE_PLAIN && jinja_is_name(p, "recursive")) ||
	       (flags & TUPLE_TARGETS && jinja_is_name(p, "in"));
}

struct node *jinja_tuple(struct parse *p, unsigned flags)
{
	struct node *n = NULL, *all = NULL, **end = NULL;
	size_t pos = p->at->pos;

	if (ends_tuple(p, flags) && flags & TUPLE_EMPTY) {
		n = jinja_node(p, N_LIST, pos);
		if (n)
			n->op = LIST_TUPLE;
		return n;
	}
	for (;;) {
		if (flags & TUPLE_TARGETS)
			n = jinja_target(p, false);
		else
			n = flags & TUPLE_PLAIN ? both(p, true) : jinja_expr(p);
		if (!n)
			return NULL;
		if (all) {
			*end = n;
			end = &n->next;
		}
		if (!jinja_take_op(p, ','))
			return all ? all : n;
		if (!all) {
			all = jinja_node(p, N_LIST, pos);
			if (!all)
				return NULL;
			all->op = LIST_TUPLE;
			all->a = n;
			end = &n->next;
		}
		if (ends_tuple(p, flags))
			return all;
	}
}
