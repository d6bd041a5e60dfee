/* SPDX-License-Identifier: MIT */
/* jinja_primary.c - the parts of an expression that operators join: names,
 * constants, brackets, and what follows them (.a [b] (c) | d, is e). */
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"
#include "util/num.h"

/* ---- what stands alone */

static struct node *constant(struct parse *p, struct value v)
{
	struct node *n = jinja_node(p, N_CONST, p->at->pos);

	if (n)
		n->v = v;
	return n;
}

static struct node *name(struct parse *p)
{
	static const struct {
		const char *name;
		int which;
	} words[] = {
		{ "true", 1 },  { "True", 1 }, { "false", 0 },
		{ "False", 0 }, { "none", 2 }, { "None", 2 },
	};
	struct node *n;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (jinja_is_name(p, words[i].name)) {
			n = constant(p, words[i].which == 2 ? value_none() :
			                                      value_bool(words[i].which == 1));
			p->at++;
			return n;
		}
	n = jinja_node(p, N_NAME, p->at->pos);
	if (!n || (n->symbol = jinja_symbol(p, p->at->text)) < 0)
		return NULL;
	n->v = value_text(p->at->text);
	p->at++;
	return n;
}

static struct node *number(struct parse *p)
{
	struct bytes t = p->at->text;
	char text[64], *end;
	size_t n = 0;
	struct value v;

	for (size_t i = 0; i < t.n && n < sizeof text - 1; i++)
		if (t.p[i] != '_')
			text[n++] = (char)t.p[i];
	text[n] = 0;
	if (p->at->kind == T_INT) {
		bool binary = n > 2 && (text[1] | 32) == 'b',
		     octal = n > 2 && (text[1] | 32) == 'o';
		bool hex = n > 2 && (text[1] | 32) == 'x';
		long long i = strtoll(text + (binary || octal ? 2 : 0), &end,
		                      binary ? 2 :
		                      octal  ? 8 :
		                      hex    ? 16 :
		                               10);

		v = value_int(i);
		if (*end || i == INT64_MAX) {
			jinja_fail(p, p->at->pos, "expected an integer of 64 bits");
			return NULL;
		}
	} else {
		double f;

		if (!num_f64(&f, text)) {
			jinja_fail(p, p->at->pos, "expected a finite number");
			return NULL;
		}
		v = value_float(f);
	}
	struct node *node = constant(p, v);

	p->at++;
	return node;
}

/* Strings side by side are one. */
static struct node *string(struct parse *p)
{
	struct node *n = constant(p, value_text(p->at->text));
	struct bytes t = p->at->text;

	for (p->at++; n && p->at->kind == T_STRING; p->at++) {
		unsigned char *both = arena_new(&p->t->arena, t.n + p->at->text.n + 1, 1, p->e);

		if (!both)
			return NULL;
		if (t.n)
			memcpy(both, t.p, t.n);
		if (p->at->text.n)
			memcpy(both + t.n, p->at->text.p, p->at->text.n);
		t = (struct bytes){ both, t.n + p->at->text.n };
		n->v = value_text(t);
	}
	return n;
}

static struct node *list(struct parse *p)
{
	struct node *n = jinja_node(p, N_LIST, p->at->pos), **end;

	p->at++;
	if (!n)
		return NULL;
	for (end = &n->a; !jinja_take_op(p, ']'); end = &(*end)->next) {
		if (n->a && jinja_want_op(p, ','))
			return NULL;
		if (jinja_take_op(p, ']'))
			break;
		*end = jinja_expr(p);
		if (!*end)
			return NULL;
	}
	return n;
}

static struct node *dict(struct parse *p)
{
	struct node *n = jinja_node(p, N_DICT, p->at->pos), **end;

	p->at++;
	if (!n)
		return NULL;
	for (end = &n->a; !jinja_take_op(p, '}'); end = &(*end)->next) {
		if (n->a && jinja_want_op(p, ','))
			return NULL;
		if (jinja_take_op(p, '}'))
			break;
		*end = jinja_node(p, N_PAIR, p->at->pos);
		if (!*end || !((*end)->a = jinja_expr(p)) || jinja_want_op(p, ':') ||
		    !((*end)->b = jinja_expr(p)))
			return NULL;
	}
	return n;
}

/* ---- what follows it */

static struct node *call_args(struct parse *p)
{
	struct node *first = NULL, **end = &first, *n;

	p->at++;
	for (; !jinja_take_op(p, ')'); end = &n->next) {
		if (first && jinja_want_op(p, ','))
			return NULL;
		if (jinja_take_op(p, ')'))
			break;
		n = *end = jinja_node(p, N_ARG, p->at->pos);
		if (!n)
			return NULL;
		if (jinja_is_op(p, '*') || jinja_is_op(p, OP2('*', '*'))) {
			n->op = p->at++->op;
		} else if (p->at->kind == T_NAME && p->at[1].kind == T_OP && p->at[1].op == '=') {
			n->op = '=';
			n->v = value_text(p->at->text);
			p->at += 2;
		}
		n->a = jinja_expr(p);
		if (!n->a)
			return NULL;
	}
	if (!first) /* no arguments, as a list that is there */
		first = jinja_node(p, N_CAPTURED, p->at->pos);
	return first;
}

/* Arguments in brackets, if there are: 0 and NULL in *out if not. */
int jinja_args(struct parse *p, struct node **out)
{
	*out = NULL;
	if (!jinja_is_op(p, '('))
		return 0;
	*out = call_args(p);
	if (!*out)
		return -1;
	if ((*out)->kind == N_CAPTURED)
		*out = NULL;
	return 0;
}

static struct node *slice_or_item(struct parse *p)
{
	struct node *n = jinja_node(p, N_SLICE, p->at->pos), **part[3];
	unsigned at = 0;

	if (!n)
		return NULL;
	part[0] = &n->b;
	part[1] = &n->c;
	part[2] = &n->d;
	while (!jinja_is_op(p, ']')) {
		if (jinja_take_op(p, ':')) {
			if (++at > 2) {
				jinja_unexpected(p, "\"]\"");
				return NULL;
			}
			continue;
		}
		if (*part[at] || !(*part[at] = jinja_tuple(p, 0))) {
			if (*part[at])
				jinja_unexpected(p, "\"]\"");
			return NULL;
		}
	}
	if (at == 0 && !n->b) {
		jinja_unexpected(p, "an index");
		return NULL;
	}
	p->at++;
	if (at == 0)
		n->kind = N_ITEM;
	return n;
}

static struct node *postfix(struct parse *p, struct node *n)
{
	while (n) {
		struct node *of = n;
		size_t pos = p->at->pos;

		if (jinja_take_op(p, '.')) {
			n = jinja_node(p, p->at->kind == T_INT ? N_ITEM : N_ATTR, pos);
			if (p->at->kind != T_NAME && p->at->kind != T_INT) {
				jinja_unexpected(p, "a name");
				return NULL;
			}
			if (n && n->kind == N_ITEM) {
				n->b = number(p);
				n = n->b ? n : NULL;
			} else if (n) {
				n->v = value_text(p->at->text);
				p->at++;
			}
		} else if (jinja_take_op(p, '[')) {
			n = slice_or_item(p);
		} else if (jinja_is_op(p, '(')) {
			n = jinja_node(p, N_CALL, pos);
			if (n && jinja_args(p, &n->b))
				return NULL;
		} else {
			return n;
		}
		if (n)
			n->a = of;
	}
	return NULL;
}

struct node *jinja_primary(struct parse *p)
{
	struct node *n = NULL;

	if (jinja_enter(p))
		return NULL;
	if (p->at->kind == T_NAME) {
		n = name(p);
	} else if (p->at->kind == T_STRING) {
		n = string(p);
	} else if (p->at->kind == T_INT || p->at->kind == T_FLOAT) {
		n = number(p);
	} else if (jinja_is_op(p, '[')) {
		n = list(p);
	} else if (jinja_is_op(p, '{')) {
		n = dict(p);
	} else if (jinja_take_op(p, '(')) {
		n = jinja_tuple(p, TUPLE_EMPTY);
		if (n && jinja_want_op(p, ')'))
			n = NULL;
	} else {
		jinja_unexpected(p, "an expression");
	}
	n = postfix(p, n);
	p->depth--;
	return n;
}

/* Names with dots, as filters and tests may have. */
static int dotted(struct parse *p, struct node *n)
{
	struct bytes t = p->at->text;

	if (p->at->kind != T_NAME)
		return jinja_unexpected(p, "a name");
	p->at++;
	while (jinja_is_op(p, '.') && p->at[1].kind == T_NAME) {
		p->at++;
		t.n = (size_t)(p->at->text.p + p->at->text.n - t.p);
		p->at++;
	}
	n->v = value_text(t);
	return 0;
}

struct node *jinja_filters(struct parse *p, struct node *over, bool first)
{
	while (first || jinja_is_op(p, '|')) {
		struct node *n = jinja_node(p, N_FILTER, p->at->pos);

		if (!first)
			p->at++;
		first = false;
		if (!n || dotted(p, n) || jinja_args(p, &n->b))
			return NULL;
		n->a = over;
		over = n;
	}
	return over;
}

static bool begins_argument(const struct parse *p)
{
	static const char *const not [] = { "else", "or", "and", "is" };

	for (size_t i = 0; i < 4; i++)
		if (jinja_is_name(p, not [i]))
			return false;
	return (p->at->kind >= T_NAME && p->at->kind <= T_STRING) || jinja_is_op(p, '(') ||
	       jinja_is_op(p, '[') || jinja_is_op(p, '{');
}

struct node *jinja_is_test(struct parse *p, struct node *of)
{
	struct node *n = jinja_node(p, N_TEST, p->at->pos), *not = NULL;

	p->at++;
	if (n && jinja_is_name(p, "not")) {
		not = jinja_node(p, N_NOT, p->at->pos);
		p->at++;
		if (!not )
			return NULL;
	}
	if (!n || dotted(p, n))
		return NULL;
	n->a = of;
	if (jinja_is_op(p, '(')) {
		if (jinja_args(p, &n->b))
			return NULL;
	} else if (begins_argument(p)) {
		n->b = jinja_node(p, N_ARG, p->at->pos);
		if (!n->b || !(n->b->a = jinja_primary(p)))
			return NULL;
	}
	if (not )
		not ->a = n;
	return not ? not : n;
}
