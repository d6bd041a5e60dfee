/* SPDX-License-Identifier: MIT */
/* jinja_math.c - operators between two values, as Python has them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

static int undefined(struct run *r, const struct value *v)
{
	return run_fail(r, "'%.*s' is undefined", (int)(v->text.n < 60 ? v->text.n : 60),
	                v->text.n ? (const char *)v->text.p : "");
}

static int overflow(struct run *r)
{
	return run_fail(r, "an integer past 64 bits");
}

static int power(struct run *r, int64_t a, int64_t b, struct value *out)
{
	int64_t p = 1;

	if (b < 0) {
		*out = value_float(pow((double)a, (double)b));
		return 0;
	}
	if (a == 0 || a == 1 || a == -1) {
		*out = value_int(b == 0 ? 1 : a == -1 && b % 2 == 0 ? 1 : a);
		return 0;
	}
	for (; b; b--) /* 64 rounds at most */
		if (__builtin_mul_overflow(p, a, &p))
			return overflow(r);
	*out = value_int(p);
	return 0;
}

static int ints(struct run *r, int op, int64_t a, int64_t b, struct value *out)
{
	int64_t i = 0;

	if ((op == OP2('/', '/') || op == '%' || op == '/') && b == 0)
		return run_fail(r, "a division by zero");
	switch (op) {
	case '+':
		if (__builtin_add_overflow(a, b, &i))
			return overflow(r);
		break;
	case '-':
		if (__builtin_sub_overflow(a, b, &i))
			return overflow(r);
		break;
	case '*':
		if (__builtin_mul_overflow(a, b, &i))
			return overflow(r);
		break;
	case '/':
		*out = value_float((double)a / (double)b);
		return 0;
	case OP2('*', '*'):
		return power(r, a, b, out);
	default:
		if (b == -1) { /* INT64_MIN / -1 is not there */
			if (op != '%' && a == INT64_MIN)
				return overflow(r);
			i = op == '%' ? 0 : -a;
			break;
		}
		i = op == '%' ? a % b : a / b;
		if (a % b && (a < 0) != (b < 0)) /* downwards */
			i += op == '%' ? b : -1;
	}
	*out = value_int(i);
	return 0;
}

static int floats(struct run *r, int op, double a, double b, struct value *out)
{
	double f;

	if (b == 0 && (op == '/' || op == OP2('/', '/') || op == '%'))
		return run_fail(r, "a division by zero");
	f = op == '+'           ? a + b :
	    op == '-'           ? a - b :
	    op == '*'           ? a * b :
	    op == '/'           ? a / b :
	    op == OP2('*', '*') ? pow(a, b) :
	    op == '%'           ? fmod(a, b) :
	                          floor(a / b);
	if (op == '%' && f != 0 && (f < 0) != (b < 0))
		f += b;
	*out = value_float(f);
	return 0;
}

static int numbers(struct run *r, int op, const struct value *a, const struct value *b,
                   struct value *out)
{
	if (a->kind == V_FLOAT || b->kind == V_FLOAT)
		return floats(r, op, value_f64(a), value_f64(b), out);
	return ints(r, op, a->kind == V_BOOL ? a->truth : a->i, b->kind == V_BOOL ? b->truth : b->i,
	            out);
}

static int join_lists(struct run *r, const struct value *a, const struct value *b,
                      struct value *out)
{
	size_t n = a->list->n, m = b->list->n;

	if (value_list(r, a->form, n + m, out))
		return -1;
	if (n)
		memcpy(out->list->at, a->list->at, n * sizeof *a->list->at);
	if (m)
		memcpy(out->list->at + n, b->list->at, m * sizeof *b->list->at);
	out->list->n = n + m;
	return 0;
}

/* "ab" * 3 */
static int repeat(struct run *r, const struct value *a, int64_t times, struct value *out)
{
	if (a->kind == V_LIST ? value_list(r, a->form, 0, out) : 0)
		return -1;
	if (a->kind == V_STRING)
		*out = value_text((struct bytes){ 0 });
	for (int64_t i = 0; i < times; i++) {
		if (run_spend(r, 1))
			return -1;
		if (a->kind == V_STRING) {
			if (!a->text.n)
				return 0;
			if (value_join(r, out, a->text, out))
				return -1;
			continue;
		}
		if (!a->list->n)
			return 0;
		for (size_t k = 0; k < a->list->n; k++)
			if (value_push(r, out, a->list->at[k]))
				return -1;
	}
	return 0;
}

static int join_texts(struct run *r, const struct value *a, const struct value *b,
                      struct value *out)
{
	struct value left = *a;
	struct bytes right;

	if (a->kind != V_STRING) {
		if (value_show(r, a, &right))
			return -1;
		left = value_text(right);
	}
	return value_show(r, b, &right) || value_join(r, &left, right, out) ? -1 : 0;
}

static int percent(struct run *r, const struct value *a, const struct value *b, struct value *out)
{
	struct args args = { .at = b, .n = 1 };

	if (b->kind == V_LIST && b->form == LIST_TUPLE)
		args = (struct args){ .at = b->list->at, .n = b->list->n };
	return jinja_percent(r, a->text, &args, out);
}

/* As markupsafe: what is not marked is escaped before it joins what is. */
static int join_safe(struct run *r, const struct value *a, const struct value *b, struct value *out)
{
	struct value left, right;

	if (value_escape(r, a, &left) || value_escape(r, b, &right) ||
	    value_join(r, &left, right.text, out))
		return -1;
	out->safe = true;
	return 0;
}

int jinja_binary(struct run *r, const struct node *n, struct value *out)
{
	struct value a, b;
	bool sequence;

	if (jinja_eval(r, n->a, &a) || jinja_eval(r, n->b, &b))
		return -1;
	if (n->op == '~')
		return join_texts(r, &a, &b, out);
	if (value_is_number(&a) && value_is_number(&b))
		return numbers(r, n->op, &a, &b, out);
	if (n->op == '+' && a.kind == V_STRING && b.kind == V_STRING)
		return a.safe || b.safe ? join_safe(r, &a, &b, out) :
		                          value_join(r, &a, b.text, out);
	if (n->op == '+' && a.kind == V_LIST && b.kind == V_LIST && a.form == b.form &&
	    a.form != LIST_LAZY)
		return join_lists(r, &a, &b, out);
	sequence = a.kind == V_STRING || (a.kind == V_LIST && a.form != LIST_LAZY);
	if (n->op == '*' && sequence && (b.kind == V_INT || b.kind == V_BOOL))
		return repeat(r, &a, b.kind == V_INT ? b.i : b.truth, out);
	if (n->op == '%' && a.kind == V_STRING)
		return percent(r, &a, &b, out);
	if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED)
		return undefined(r, a.kind == V_UNDEFINED ? &a : &b);
	return run_fail(r, "%s and %s: no such operator between them", value_name(&a),
	                value_name(&b));
}

/* ---- comparisons */

static int contains(struct run *r, const struct value *all, const struct value *v)
{
	struct value items, *at;

	if (all->kind == V_STRING) {
		if (v->kind != V_STRING)
			return run_fail(r, "in: expected a string, found %s", value_name(v));
		return run_spend(r, all->text.n / 64) ?
		               -1 :
		               bytes_find(all->text, v->text, 0) != SIZE_MAX;
	}
	if (all->kind == V_DICT)
		return value_get(r, all->dict, v, &at) ? -1 : at != NULL;
	if (value_items(r, all, &items))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		int same = value_equal(r, &items.list->at[i], v);

		if (same)
			return same;
	}
	return 0;
}

static int compare(struct run *r, int op, const struct value *a, const struct value *b)
{
	int order, is;

	if (op == 'i' || op == 'n') {
		is = contains(r, b, a);
		return is < 0 ? -1 : is == (op == 'i');
	}
	if (op == OP2('=', '=') || op == OP2('!', '=')) {
		is = value_equal(r, a, b);
		return is < 0 ? -1 : is == (op == OP2('=', '='));
	}
	if (a->kind == V_UNDEFINED || b->kind == V_UNDEFINED)
		return undefined(r, a->kind == V_UNDEFINED ? a : b);
	if (value_order(r, a, b, &order))
		return -1;
	return op == '<'           ? order < 0 :
	       op == '>'           ? order > 0 :
	       op == OP2('<', '=') ? order <= 0 :
	                             order >= 0;
}

int jinja_compare(struct run *r, const struct node *n, struct value *out)
{
	struct value a, b;
	int is = 1;

	if (jinja_eval(r, n->a, &a))
		return -1;
	for (const struct node *o = n->b; o && is == 1; o = o->next) {
		if (jinja_eval(r, o->a, &b) || (is = compare(r, o->op, &a, &b)) < 0)
			return -1;
		a = b;
	}
	*out = value_bool(is);
	return 0;
}
