/* SPDX-License-Identifier: MIT */
/* jinja_expr.c - what an expression is worth. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

typedef int eval_fn(struct run *r, const struct node *n, struct value *out);

static int undefined(struct run *r, const struct value *v)
{
	return run_fail(r, "'%.*s' is undefined", (int)(v->text.n < 60 ? v->text.n : 60),
	                v->text.n ? (const char *)v->text.p : "");
}

int jinja_set(struct run *r, int symbol, struct value v)
{
	struct var *at = r->scope->first;

	while (at && at->symbol != symbol)
		at = at->next;
	if (!at) {
		at = run_new(r, 1, sizeof *at);
		if (!at)
			return -1;
		*at = (struct var){ .symbol = symbol, .next = r->scope->first };
		r->scope->first = at;
	}
	at->v = v;
	return 0;
}

static int eval_name(struct run *r, const struct node *n, struct value *out)
{
	const struct function *f;

	for (const struct scope *s = r->scope; s; s = s->up)
		for (const struct var *v = s->first; v; v = v->next)
			if (v->symbol == n->symbol) {
				*out = v->v;
				return 0;
			}
	f = jinja_global(n->v.text);
	if (f)
		*out = (struct value){ .kind = V_FUNCTION, .function = f };
	else
		*out = value_undefined(n->v.text);
	return 0;
}

static int eval_const(struct run *r, const struct node *n, struct value *out)
{
	(void)r;
	*out = n->v;
	return 0;
}

static int eval_captured(struct run *r, const struct node *n, struct value *out)
{
	(void)n;
	*out = r->captured;
	return 0;
}

static int eval_list(struct run *r, const struct node *n, struct value *out)
{
	struct value item;

	if (value_list(r, (enum list_form)n->op, 0, out))
		return -1;
	for (const struct node *i = n->a; i; i = i->next)
		if (jinja_eval(r, i, &item) || value_push(r, out, item))
			return -1;
	return 0;
}

static int eval_dict(struct run *r, const struct node *n, struct value *out)
{
	struct value k, v;

	if (value_dict(r, out))
		return -1;
	for (const struct node *p = n->a; p; p = p->next)
		if (jinja_eval(r, p->a, &k) || jinja_eval(r, p->b, &v) ||
		    value_put(r, out->dict, k, v))
			return -1;
	return 0;
}

/* ---- parts */

static int loop_attr(struct run *r, const struct loop *l, struct bytes name, struct value *out)
{
	int64_t at = (int64_t)l->at, n = (int64_t)l->n;
	const struct {
		const char *name;
		struct value v;
	} facts[] = {
		{ "index", value_int(at + 1) },
		{ "index0", value_int(at) },
		{ "first", value_bool(at == 0) },
		{ "last", value_bool(at + 1 == n) },
		{ "length", value_int(n) },
		{ "revindex", value_int(n - at) },
		{ "revindex0", value_int(n - at - 1) },
		{ "depth", value_int((int64_t)l->depth + 1) },
		{ "depth0", value_int((int64_t)l->depth) },
		{ "previtem", at ? l->items[at - 1] : value_undefined(name) },
		{ "nextitem", at + 1 < n ? l->items[at + 1] : value_undefined(name) },
	};

	(void)r;
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
		if (bytes_is(name, facts[i].name)) {
			*out = facts[i].v;
			return 1;
		}
	return 0;
}

static int bind_method(struct run *r, const struct value *v, struct bytes name, struct value *out)
{
	const struct function *f = jinja_method(v->kind, name);
	struct method *m;

	if (!f)
		return 0;
	m = run_new(r, 1, sizeof *m);
	if (!m)
		return -1;
	*m = (struct method){ f, *v };
	*out = (struct value){ .kind = V_METHOD, .method = m };
	return 1;
}

int jinja_attr(struct run *r, const struct value *v, struct bytes name, struct value *out)
{
	struct value key = value_text(name), *at = NULL;
	int done = 0;

	if (v->kind == V_UNDEFINED)
		return undefined(r, v);
	if (v->kind == V_LOOP)
		done = loop_attr(r, v->loop, name, out);
	if (!done)
		done = bind_method(r, v, name, out);
	if (done)
		return done < 0 ? -1 : 0;
	if ((v->kind == V_DICT || v->kind == V_SPACE) && value_get(r, v->dict, &key, &at))
		return -1;
	*out = at ? *at : value_undefined(name);
	return 0;
}

int jinja_item(struct run *r, const struct value *v, const struct value *key, struct value *out)
{
	int64_t i = key->kind == V_BOOL ? key->truth : key->i;
	bool is_index = key->kind == V_INT || key->kind == V_BOOL;
	struct value *at = NULL;

	*out = value_undefined(key->kind == V_STRING ? key->text : bytes_of("item"));
	if (v->kind == V_UNDEFINED)
		return undefined(r, v);
	if (v->kind == V_DICT) {
		if (key->kind != V_LIST && key->kind != V_DICT && value_get(r, v->dict, key, &at))
			return -1;
		if (at)
			*out = *at;
		return at || key->kind != V_STRING || bind_method(r, v, key->text, out) >= 0 ? 0 :
		                                                                               -1;
	}
	if (v->kind == V_LIST && is_index && v->form != LIST_LAZY) {
		i += i < 0 ? (int64_t)v->list->n : 0;
		if (i >= 0 && (uint64_t)i < v->list->n)
			*out = v->list->at[i];
		return 0;
	}
	if (v->kind == V_STRING && is_index) {
		int64_t n = (int64_t)chars_count(v->text);

		i += i < 0 ? n : 0;
		if (i >= 0 && i < n)
			*out = value_text(chars_slice(v->text, (size_t)i, (size_t)i + 1));
		return run_spend(r, v->text.n / 32);
	}
	return key->kind == V_STRING ? jinja_attr(r, v, key->text, out) : 0;
}

static int eval_attr(struct run *r, const struct node *n, struct value *out)
{
	struct value v;

	return jinja_eval(r, n->a, &v) || jinja_attr(r, &v, n->v.text, out) ? -1 : 0;
}

static int eval_item(struct run *r, const struct node *n, struct value *out)
{
	struct value v, key;

	return jinja_eval(r, n->a, &v) || jinja_eval(r, n->b, &key) ||
	                       jinja_item(r, &v, &key, out) ?
	               -1 :
	               0;
}

/* A bound of a slice; `other` where it is not given. */
static int bound(struct run *r, const struct node *n, int64_t other, int64_t *out)
{
	struct value v;

	*out = other;
	if (!n)
		return 0;
	if (jinja_eval(r, n, &v))
		return -1;
	if (v.kind == V_NONE)
		return 0;
	if (v.kind != V_INT && v.kind != V_BOOL)
		return run_fail(r, "a slice's bound: expected an int, found %s", value_name(&v));
	*out = v.kind == V_INT ? v.i : v.truth;
	return 0;
}

static int64_t clamp(int64_t i, int64_t n, int64_t least, int64_t most)
{
	i += i < 0 ? n : 0;
	return i < least ? least : i > most ? most : i;
}

static int eval_slice(struct run *r, const struct node *n, struct value *out)
{
	struct value v, items;
	int64_t from, to, step, size;
	bool text;

	if (jinja_eval(r, n->a, &v) || bound(r, n->d, 1, &step))
		return -1;
	text = v.kind == V_STRING;
	if (v.kind == V_UNDEFINED)
		return undefined(r, &v);
	if ((!text && v.kind != V_LIST) || (v.kind == V_LIST && v.form == LIST_LAZY))
		return run_fail(r, "%s cannot be sliced", value_name(&v));
	if (step == 0 || step == INT64_MIN)
		return run_fail(r, "a slice's step: expected another than %lld", (long long)step);
	size = text ? (int64_t)chars_count(v.text) : (int64_t)v.list->n;
	if (bound(r, n->b, step > 0 ? 0 : INT64_MAX / 2, &from) ||
	    bound(r, n->c, step > 0 ? INT64_MAX / 2 : INT64_MIN / 2, &to))
		return -1;
	from = step > 0 ? clamp(from, size, 0, size) : clamp(from, size, -1, size - 1);
	to = step > 0 ? clamp(to, size, 0, size) : clamp(to, size, -1, size - 1);
	if (text && step == 1) {
		*out = value_text(
			chars_slice(v.text, (size_t)from, (size_t)(to > from ? to : from)));
		return run_spend(r, v.text.n / 32);
	}
	if (value_items(r, &v, &items) || value_list(r, v.form, 0, out))
		return -1;
	if (text)
		*out = value_text((struct bytes){ 0 });
	for (int64_t i = from; step > 0 ? i < to : i > to; i += step) {
		if (text ? value_join(r, out, items.list->at[i].text, out) :
		           value_push(r, out, items.list->at[i]))
			return -1;
		if (step > 0 ? i > INT64_MAX - step : i < INT64_MIN - step)
			break;
	}
	return 0;
}

/* ---- calls */

static int add_args(struct run *r, const struct node *n, struct value *list, struct value *named)
{
	struct value v, items;

	if (jinja_eval(r, n->a, &v))
		return -1;
	if (n->op == 0)
		return value_push(r, list, v);
	if (n->op == '=')
		return value_put(r, named->dict, n->v, v);
	if (n->op == '*') {
		if (value_items(r, &v, &items))
			return -1;
		for (size_t i = 0; i < items.list->n; i++)
			if (value_push(r, list, items.list->at[i]))
				return -1;
		return 0;
	}
	if (v.kind != V_DICT)
		return run_fail(r, "**: expected a dict, found %s", value_name(&v));
	for (size_t i = 0; i < v.dict->n; i++) {
		if (v.dict->at[i].key.kind != V_STRING)
			return run_fail(r, "**: expected names, found %s",
			                value_name(&v.dict->at[i].key));
		if (value_put(r, named->dict, v.dict->at[i].key, v.dict->at[i].value))
			return -1;
	}
	return 0;
}

static int eval_args(struct run *r, const struct node *n, struct args *out)
{
	struct value list, named;

	*out = (struct args){ 0 };
	if (!n)
		return 0;
	if (value_list(r, LIST_LIST, 0, &list) || value_dict(r, &named))
		return -1;
	for (; n; n = n->next)
		if (add_args(r, n, &list, &named))
			return -1;
	*out = (struct args){ list.list->at, list.list->n, named.dict->at, named.dict->n };
	return 0;
}

int jinja_call(struct run *r, const struct value *f, const struct args *a, struct value *out)
{
	if (f->kind == V_FUNCTION)
		return f->function->fn(r, NULL, a, out);
	if (f->kind == V_METHOD)
		return f->method->function->fn(r, &f->method->self, a, out);
	if (f->kind == V_MACRO)
		return jinja_call_macro(r, f->macro, a, out);
	if (f->kind == V_LOOP && a->n == 1)
		return jinja_repeat(r, f->loop, &a->at[0], out);
	return f->kind == V_UNDEFINED ? undefined(r, f) :
	                                run_fail(r, "%s cannot be called", value_name(f));
}

static int eval_call(struct run *r, const struct node *n, struct value *out)
{
	struct value f;
	struct args a;

	return jinja_eval(r, n->a, &f) || eval_args(r, n->b, &a) || jinja_call(r, &f, &a, out) ?
	               -1 :
	               0;
}

static int unknown(struct run *r, const char *what, struct bytes name)
{
	return run_fail(r, "no %s named '%.*s'", what, (int)(name.n < 60 ? name.n : 60),
	                (const char *)name.p);
}

static int eval_filter(struct run *r, const struct node *n, struct value *out)
{
	const struct function *f = jinja_filter(n->v.text);
	struct value self;
	struct args a;

	if (!f)
		return unknown(r, "filter", n->v.text);
	return jinja_eval(r, n->a, &self) || eval_args(r, n->b, &a) || f->fn(r, &self, &a, out) ?
	               -1 :
	               0;
}

static int eval_test(struct run *r, const struct node *n, struct value *out)
{
	const struct function *f = jinja_test(n->v.text);
	struct value self;
	struct args a;

	if (!f)
		return unknown(r, "test", n->v.text);
	return jinja_eval(r, n->a, &self) || eval_args(r, n->b, &a) ||
	                       jinja_is(r, f, &self, &a, out) ?
	               -1 :
	               0;
}

/* ---- operators */

static int eval_not(struct run *r, const struct node *n, struct value *out)
{
	struct value v;

	if (jinja_eval(r, n->a, &v))
		return -1;
	*out = value_bool(!value_true(&v));
	return 0;
}

static int eval_both(struct run *r, const struct node *n, struct value *out)
{
	if (jinja_eval(r, n->a, out))
		return -1;
	return value_true(out) == (n->kind == N_AND) ? jinja_eval(r, n->b, out) : 0;
}

static int eval_choose(struct run *r, const struct node *n, struct value *out)
{
	struct value v;

	if (jinja_eval(r, n->a, &v))
		return -1;
	if (value_true(&v))
		return jinja_eval(r, n->b, out);
	if (n->c)
		return jinja_eval(r, n->c, out);
	*out = value_undefined(bytes_of("else"));
	return 0;
}

static int eval_sign(struct run *r, const struct node *n, struct value *out)
{
	struct value v;

	if (jinja_eval(r, n->a, &v))
		return -1;
	if (!value_is_number(&v))
		return v.kind == V_UNDEFINED ? undefined(r, &v) :
		                               run_fail(r, "%s has no sign", value_name(&v));
	if (v.kind == V_FLOAT)
		*out = value_float(n->op == '-' ? -v.f : v.f);
	else
		*out = value_int(v.kind == V_BOOL ?
		                         (n->op == '-' ? -(int64_t)v.truth : (int64_t)v.truth) :
		                 n->op == '-' && v.i != INT64_MIN ? -v.i :
		                                                    v.i);
	return 0;
}

/* ---- the table */

static eval_fn *const evals[N_CAPTURED + 1] = {
	[N_CONST] = eval_const,      [N_NAME] = eval_name,     [N_LIST] = eval_list,
	[N_DICT] = eval_dict,        [N_ATTR] = eval_attr,     [N_ITEM] = eval_item,
	[N_SLICE] = eval_slice,      [N_CALL] = eval_call,     [N_FILTER] = eval_filter,
	[N_TEST] = eval_test,        [N_NOT] = eval_not,       [N_AND] = eval_both,
	[N_OR] = eval_both,          [N_SIGN] = eval_sign,     [N_BINARY] = jinja_binary,
	[N_COMPARE] = jinja_compare, [N_CHOOSE] = eval_choose, [N_CAPTURED] = eval_captured,
};

int jinja_eval(struct run *r, const struct node *n, struct value *out)
{
	int rc;

	if (r->depth >= JINJA_DEEP)
		rc = run_fail(r, "nested over %d deep", JINJA_DEEP);
	else
		rc = run_spend(r, 1);
	r->depth++;
	rc = rc ? rc : evals[n->kind](r, n, out);
	r->depth--;
	if (rc && !r->placed) {
		r->placed = true;
		jinja_place(r->t, n->pos, r->e);
	}
	return rc ? -1 : 0;
}
