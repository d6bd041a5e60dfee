/* SPDX-License-Identifier: MIT */
/* jinja_run.c - statements: text goes out, names get values. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

typedef int run_fn(struct run *r, const struct node *n);

static int put(struct run *r, struct bytes text)
{
	if (run_spend(r, text.n / 64))
		return -1;
	buf_add(r->out, text.p, text.n);
	return buf_check(r->out, r->e) ? run_fail(r, "makes too much text") : 0;
}

static int run_data(struct run *r, const struct node *n)
{
	return put(r, n->v.text);
}

static int run_output(struct run *r, const struct node *n)
{
	struct value v;
	struct bytes text;

	return jinja_eval(r, n->a, &v) || value_show(r, &v, &text) || put(r, text) ? -1 : 0;
}

/* A body in a scope of its own. */
static int run_inside(struct run *r, struct scope *up, const struct node *body, struct var *first)
{
	struct scope *was = r->scope, *s = run_new(r, 1, sizeof *s);
	int rc;

	if (!s)
		return -1;
	*s = (struct scope){ .first = first, .up = up };
	r->scope = s;
	rc = jinja_run(r, body);
	r->scope = was;
	return rc;
}

/* What a body writes, as a value; its flow is the caller's. */
struct capture {
	struct buf text, *was;
};

static void capture_begin(struct run *r, struct capture *c)
{
	*c = (struct capture){ .text = { .ceiling = r->out->ceiling }, .was = r->out };
	r->out = &c->text;
}

static int capture_end(struct run *r, struct capture *c, int rc, struct value *out)
{
	r->out = c->was;
	rc = rc ? rc : value_copy_text(r, buf_bytes(&c->text), out);
	buf_release(&c->text);
	return rc;
}

/* ---- names */

static int assign(struct run *r, const struct node *target, struct value v)
{
	struct value items, space;
	size_t n = 0;

	if (target->kind == N_NAME)
		return jinja_set(r, target->symbol, v);
	if (target->kind == N_ATTR) {
		if (jinja_eval(r, target->a, &space))
			return -1;
		if (space.kind != V_SPACE)
			return run_fail(r, "expected a namespace, found %s", value_name(&space));
		return value_put(r, space.dict, target->v, v);
	}
	if (value_items(r, &v, &items))
		return -1;
	for (const struct node *t = target->a; t; t = t->next)
		n++;
	if (n != items.list->n)
		return run_fail(r, "expected %zu values, found %zu", n, items.list->n);
	n = 0;
	for (const struct node *t = target->a; t; t = t->next)
		if (assign(r, t, items.list->at[n++]))
			return -1;
	return 0;
}

static int run_set(struct run *r, const struct node *n)
{
	struct value v;

	return jinja_eval(r, n->b, &v) || assign(r, n->a, v) ? -1 : 0;
}

/* What the body writes, through the filters. */
static int captured(struct run *r, const struct node *n, struct value *out)
{
	struct capture c;
	struct value was = r->captured;
	int rc;

	capture_begin(r, &c);
	rc = capture_end(r, &c, run_inside(r, r->scope, n->b, NULL), out);
	if (rc || !n->c)
		return rc;
	r->captured = *out;
	rc = jinja_eval(r, n->c, out);
	r->captured = was;
	return rc;
}

static int run_set_block(struct run *r, const struct node *n)
{
	struct value v;

	return captured(r, n, &v) || assign(r, n->a, v) ? -1 : 0;
}

static int run_filter_block(struct run *r, const struct node *n)
{
	struct value v;
	struct bytes text;

	return captured(r, n, &v) || value_show(r, &v, &text) || put(r, text) ? -1 : 0;
}

static int run_with(struct run *r, const struct node *n)
{
	struct scope *was = r->scope, *s = run_new(r, 1, sizeof *s);
	int rc = s ? 0 : -1;

	if (!s)
		return -1;
	*s = (struct scope){ .up = was };
	for (const struct node *set = n->a; set && rc == 0; set = set->next) {
		struct value v;

		/* the values do not see each other */
		rc = jinja_eval(r, set->b, &v);
		r->scope = s;
		rc = rc ? rc : assign(r, set->a, v);
		r->scope = was;
	}
	r->scope = s;
	rc = rc ? rc : jinja_run(r, n->b);
	r->scope = was;
	return rc;
}

static int run_scope(struct run *r, const struct node *n)
{
	return run_inside(r, r->scope, n->b, NULL);
}

static int run_do(struct run *r, const struct node *n)
{
	struct value v;

	return jinja_eval(r, n->a, &v);
}

/* ---- branches and loops */

static int run_if(struct run *r, const struct node *n)
{
	for (;;) {
		struct value v;

		if (jinja_eval(r, n->a, &v))
			return -1;
		if (value_true(&v))
			return jinja_run(r, n->b);
		if (!n->c || n->c->kind != N_IF || n->c->next)
			return jinja_run(r, n->c);
		n = n->c;
	}
}

static int run_leave(struct run *r, const struct node *n)
{
	r->flow = n->kind == N_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
	return 0;
}

/* Items that the condition keeps; it sees the target, each time anew. */
static int keep_items(struct run *r, const struct node *n, struct value *items)
{
	struct value all = *items, v;
	struct scope *was = r->scope, *s = run_new(r, 1, sizeof *s);
	int rc = !s || value_list(r, LIST_LIST, 0, items) ? -1 : 0;

	for (size_t i = 0; i < all.list->n && rc == 0; i++) {
		*s = (struct scope){ .up = was };
		r->scope = s;
		rc = assign(r, n->a, all.list->at[i]) || jinja_eval(r, n->c, &v) ||
		     (value_true(&v) && value_push(r, items, all.list->at[i]));
		r->scope = was;
	}
	return rc ? -1 : 0;
}

static int loop_symbol(const struct run *r)
{
	for (size_t i = 0; i < r->t->n_symbols; i++)
		if (bytes_is(r->t->symbol[i], "loop"))
			return (int)i;
	return -1;
}

static int run_rounds(struct run *r, const struct node *n, struct loop *l)
{
	struct value self = { .kind = V_LOOP, .loop = l };
	int symbol = loop_symbol(r), rc = 0;

	for (l->at = 0; l->at < l->n && rc == 0; l->at++) {
		struct scope *s = run_new(r, 1, sizeof *s);

		if (!s)
			return -1;
		*s = (struct scope){ .up = l->scope };
		r->scope = s;
		rc = run_spend(r, 1) || (symbol >= 0 && jinja_set(r, symbol, self)) ||
		     assign(r, n->a, l->items[l->at]) || jinja_run(r, n->d);
		r->scope = l->scope;
		if (r->flow == FLOW_BREAK) {
			r->flow = FLOW_ON;
			break;
		}
		r->flow = FLOW_ON;
	}
	return rc ? -1 : 0;
}

static int run_loop(struct run *r, const struct node *n, const struct value *over, unsigned depth)
{
	struct value items;
	struct loop *l = run_new(r, 1, sizeof *l);

	if (!l || value_items(r, over, &items) || (n->c && keep_items(r, n, &items)))
		return -1;
	*l = (struct loop){ .items = items.list->at,
		            .n = items.list->n,
		            .depth = depth,
		            .changed = value_undefined((struct bytes){ 0 }),
		            .repeat = n->op ? n : NULL,
		            .scope = r->scope };
	if (!l->n)
		return run_inside(r, r->scope, n->f, NULL);
	return run_rounds(r, n, l);
}

static int run_for(struct run *r, const struct node *n)
{
	struct value over;

	return jinja_eval(r, n->b, &over) || run_loop(r, n, &over, 0) ? -1 : 0;
}

int jinja_repeat(struct run *r, const struct loop *l, const struct value *items, struct value *out)
{
	struct scope *was = r->scope;
	struct capture c;
	int rc;

	if (!l->repeat)
		return run_fail(r, "the loop is not marked recursive");
	capture_begin(r, &c);
	r->scope = l->scope;
	rc = run_loop(r, l->repeat, items, l->depth + 1);
	r->scope = was;
	return capture_end(r, &c, rc, out);
}

/* ---- macros */

static int make_macro(struct run *r, const struct node *n, struct value *out)
{
	struct macro *m = run_new(r, 1, sizeof *m);

	if (!m)
		return -1;
	*m = (struct macro){ .node = n, .scope = r->scope };
	*out = (struct value){ .kind = V_MACRO, .macro = m };
	return 0;
}

static int run_macro(struct run *r, const struct node *n)
{
	struct value v;

	return make_macro(r, n, &v) || jinja_set(r, n->symbol, v) ? -1 : 0;
}

static int set_named(struct run *r, const char *name, struct value v)
{
	for (size_t i = 0; i < r->t->n_symbols; i++)
		if (bytes_is(r->t->symbol[i], name))
			return jinja_set(r, (int)i, v) ? -1 : 1;
	return 0;
}

/* Arguments that no parameter takes: varargs and kwargs, where a macro may
 * mean them. */
static int bind_rest(struct run *r, const struct macro *m, const struct args *a, size_t taken)
{
	struct value rest, named;
	int has;

	if (value_list(r, LIST_TUPLE, 0, &rest) || value_dict(r, &named))
		return -1;
	for (size_t i = taken; i < a->n; i++)
		if (value_push(r, &rest, a->at[i]))
			return -1;
	for (size_t i = 0; i < a->n_named; i++) {
		bool is_param = false;

		for (const struct node *p = m->node->a; p; p = p->next)
			is_param |= bytes_equal(p->v.text, a->named[i].key.text);
		if (is_param)
			continue;
		if (bytes_is(a->named[i].key.text, "caller") &&
		    (has = set_named(r, "caller", a->named[i].value)) != 0) {
			if (has < 0)
				return -1;
			continue;
		}
		if (value_put(r, named.dict, a->named[i].key, a->named[i].value))
			return -1;
	}
	has = set_named(r, "varargs", rest);
	if (has < 0 || (!has && rest.list->n && run_fail(r, "more arguments than the macro takes")))
		return -1;
	has = set_named(r, "kwargs", named);
	if (has < 0 ||
	    (!has && named.dict->n && run_fail(r, "an argument that the macro has no name for")))
		return -1;
	return 0;
}

static int bind_params(struct run *r, const struct macro *m, const struct args *a)
{
	size_t i = 0;

	for (const struct node *p = m->node->a; p; p = p->next, i++) {
		struct value v = value_undefined(p->v.text);
		bool given = i < a->n;

		if (given)
			v = a->at[i];
		for (size_t k = 0; k < a->n_named; k++)
			if (bytes_equal(a->named[k].key.text, p->v.text)) {
				if (given)
					return run_fail(r, "an argument given twice");
				v = a->named[k].value;
				given = true;
			}
		if (!given && p->a && jinja_eval(r, p->a, &v))
			return -1;
		if (jinja_set(r, p->symbol, v))
			return -1;
	}
	return bind_rest(r, m, a, i < a->n ? i : a->n);
}

int jinja_call_macro(struct run *r, const struct macro *m, const struct args *a, struct value *out)
{
	struct scope *was = r->scope, *s = run_new(r, 1, sizeof *s);
	enum flow flow = r->flow;
	struct capture c;
	int rc;

	if (!s)
		return -1;
	*s = (struct scope){ .up = m->scope };
	r->scope = s;
	capture_begin(r, &c);
	rc = bind_params(r, m, a) || jinja_run(r, m->node->b) ? -1 : 0;
	r->scope = was;
	r->flow = flow;
	return capture_end(r, &c, rc, out);
}

static int run_call_block(struct run *r, const struct node *n)
{
	struct value caller, v;
	struct bytes text;
	struct node named = { .kind = N_ARG, .op = '=', .pos = n->pos }, self = { .kind = N_CONST };
	struct node call = *n->a;

	if (make_macro(r, n->b, &caller))
		return -1;
	/* the same call, with one more argument */
	self.v = caller;
	named.v = value_text(bytes_of("caller"));
	named.a = &self;
	named.next = call.b;
	call.b = &named;
	return jinja_eval(r, &call, &v) || value_show(r, &v, &text) || put(r, text) ? -1 : 0;
}

/* ---- the table */

static run_fn *const runs[N_COUNT] = {
	[N_DATA] = run_data,
	[N_OUTPUT] = run_output,
	[N_IF] = run_if,
	[N_FOR] = run_for,
	[N_SET] = run_set,
	[N_SET_BLOCK] = run_set_block,
	[N_MACRO] = run_macro,
	[N_CALL_BLOCK] = run_call_block,
	[N_FILTER_BLOCK] = run_filter_block,
	[N_WITH] = run_with,
	[N_SCOPE] = run_scope,
	[N_DO] = run_do,
	[N_BREAK] = run_leave,
	[N_CONTINUE] = run_leave,
};

static int run_one(struct run *r, const struct node *n)
{
	int rc;

	if (r->depth >= JINJA_DEEP)
		rc = run_fail(r, "nested over %d deep", JINJA_DEEP);
	else
		rc = run_spend(r, 1);
	r->depth++;
	rc = rc ? rc : runs[n->kind](r, n);
	r->depth--;
	if (rc && !r->placed) {
		r->placed = true;
		jinja_place(r->t, n->pos, r->e);
	}
	return rc ? -1 : 0;
}

int jinja_run(struct run *r, const struct node *body)
{
	for (; body && r->flow == FLOW_ON; body = body->next)
		if (body->kind != N_CAPTURED && run_one(r, body))
			return -1;
	return 0;
}
