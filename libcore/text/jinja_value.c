/* SPDX-License-Identifier: MIT */
/* jinja_value.c - what values are made of, and how they compare. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"
#include "util/num.h"
#include "util/utf8.h"

enum { SLAB = 1 << 16 };

void *run_new(struct run *r, size_t n, size_t size)
{
	size_t all;
	void *p;

	if (!num_mul(&all, n, size) || !num_round_up(&all, all, 16)) {
		run_fail(r, "out of memory");
		return NULL;
	}
	if (run_spend(r, all / 64))
		return NULL;
	if (all > SLAB / 4) {
		p = arena_new(r->arena, all, 1, r->e);
		return p ? p : (run_fail(r, "takes too much memory"), NULL);
	}
	if (all > r->slab_left) {
		r->slab = arena_new(r->arena, SLAB, 1, r->e);
		r->slab_left = r->slab ? SLAB : 0;
		if (!r->slab) {
			run_fail(r, "takes too much memory");
			return NULL;
		}
	}
	p = r->slab;
	r->slab += all;
	r->slab_left -= all;
	return p;
}

int run_spend(struct run *r, size_t steps)
{
	if (steps >= r->fuel) {
		r->fuel = 0;
		return run_fail(r, "takes too many steps");
	}
	r->fuel -= steps;
	return 0;
}

int run_fail(struct run *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	r->placed = false;
	return err_set(r->e, ERR_INPUT, "%s", text);
}

/* ---- making */

struct value value_none(void)
{
	return (struct value){ .kind = V_NONE };
}

struct value value_bool(bool b)
{
	return (struct value){ .kind = V_BOOL, .truth = b };
}

struct value value_int(int64_t i)
{
	return (struct value){ .kind = V_INT, .i = i };
}

struct value value_float(double f)
{
	return (struct value){ .kind = V_FLOAT, .f = f };
}

struct value value_text(struct bytes text)
{
	if (!text.p) /* so that places in it can be told */
		text.p = (const unsigned char *)"";
	return (struct value){ .kind = V_STRING, .text = text };
}

struct value value_undefined(struct bytes name)
{
	return (struct value){ .kind = V_UNDEFINED, .text = name };
}

int value_list(struct run *r, enum list_form form, size_t room, struct value *out)
{
	struct list *l = run_new(r, 1, sizeof *l);

	if (!l)
		return -1;
	*l = (struct list){ .room = room };
	*out = (struct value){ .kind = V_LIST, .form = form, .list = l };
	return room && !(l->at = run_new(r, room, sizeof *l->at)) ? -1 : 0;
}

int value_push(struct run *r, struct value *list, struct value v)
{
	struct list *l = list->list;

	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 8;
		struct value *more = run_new(r, room, sizeof *more);

		if (!more)
			return -1;
		if (l->n)
			memcpy(more, l->at, l->n * sizeof *more);
		l->at = more;
		l->room = room;
	}
	l->at[l->n++] = v;
	return 0;
}

int value_dict(struct run *r, struct value *out)
{
	struct dict *d = run_new(r, 1, sizeof *d);

	if (!d)
		return -1;
	*d = (struct dict){ 0 };
	*out = (struct value){ .kind = V_DICT, .dict = d };
	return 0;
}

int value_get(struct run *r, const struct dict *d, const struct value *key, struct value **out)
{
	*out = NULL;
	if (key->kind == V_LIST && key->form != LIST_TUPLE)
		return run_fail(r, "a list is no key");
	if (key->kind == V_DICT)
		return run_fail(r, "a dict is no key");
	if (run_spend(r, d->n / 4))
		return -1;
	for (size_t i = 0; i < d->n; i++) {
		int same = d->at[i].key.kind == V_STRING && key->kind == V_STRING ?
		                   bytes_equal(d->at[i].key.text, key->text) :
		                   value_equal(r, &d->at[i].key, key);

		if (same < 0)
			return -1;
		if (same) {
			*out = &d->at[i].value;
			return 0;
		}
	}
	return 0;
}

struct value *dict_find(const struct dict *d, const char *key)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->at[i].key.kind == V_STRING && bytes_is(d->at[i].key.text, key))
			return &d->at[i].value;
	return NULL;
}

static int add_pair(struct run *r, struct dict *d, struct value key, struct value v)
{
	if (d->n == d->room) {
		size_t room = d->room ? 2 * d->room : 4;
		struct pair *more = run_new(r, room, sizeof *more);

		if (!more)
			return -1;
		if (d->n)
			memcpy(more, d->at, d->n * sizeof *more);
		d->at = more;
		d->room = room;
	}
	d->at[d->n++] = (struct pair){ key, v };
	return 0;
}

int value_put(struct run *r, struct dict *d, struct value key, struct value v)
{
	struct value *at;

	if (value_get(r, d, &key, &at))
		return -1;
	if (!at)
		return add_pair(r, d, key, v);
	*at = v;
	return 0;
}

int value_copy_text(struct run *r, struct bytes text, struct value *out)
{
	unsigned char *p = run_new(r, text.n + 1, 1);

	if (!p)
		return -1;
	if (text.n)
		memcpy(p, text.p, text.n);
	*out = value_text((struct bytes){ p, text.n });
	return 0;
}

/* A text that grows: what is behind it belongs to whoever asks first, so
 * that a text put together piece by piece is not copied at each. */
struct grown {
	unsigned char *end;
	size_t left;
};

int value_join(struct run *r, const struct value *a, struct bytes b, struct value *out)
{
	struct grown *g = a->kind == V_STRING ? a->grown : NULL;
	struct bytes t = a->text;

	if (run_spend(r, b.n / 64))
		return -1;
	if (!g || g->end != t.p + t.n || g->left < b.n) {
		size_t room = t.n + b.n < 48 ? 96 : 2 * (t.n + b.n);
		unsigned char *p = run_new(r, room, 1);

		g = run_new(r, 1, sizeof *g);
		if (!p || !g)
			return -1;
		if (t.n)
			memcpy(p, t.p, t.n);
		*g = (struct grown){ p + t.n, room - t.n };
		t.p = p;
	}
	if (b.n)
		memcpy(g->end, b.p, b.n);
	g->end += b.n;
	g->left -= b.n;
	*out = value_text((struct bytes){ t.p, t.n + b.n });
	out->grown = g;
	return 0;
}

/* ---- from JSON */

static int json_number(struct run *r, const cJSON *j, struct value *out)
{
	const char *text = j->valuestring;
	double v = j->valuedouble;
	int64_t i;
	struct value copy;

	if (text ? num_i64(&i, text) : v == floor(v) && fabs(v) < 0x1p53) {
		*out = value_int(text ? i : (int64_t)v);
		return 0;
	}
	*out = value_float(v);
	if (!text || strpbrk(text, ".eE"))
		return 0;
	if (value_copy_text(r, bytes_of(text), &copy))
		return -1;
	((unsigned char *)(uintptr_t)copy.text.p)[copy.text.n] = 0;
	out->as = (const char *)copy.text.p;
	return 0;
}

int value_from_json(struct run *r, const cJSON *j, struct value *out)
{
	struct value item, key;

	if (run_spend(r, 1))
		return -1;
	if (cJSON_IsString(j))
		return value_copy_text(r, bytes_of(j->valuestring), out);
	if (cJSON_IsNumber(j))
		return json_number(r, j, out);
	if (!cJSON_IsArray(j) && !cJSON_IsObject(j)) {
		*out = cJSON_IsBool(j) ? value_bool(cJSON_IsTrue(j)) : value_none();
		return 0;
	}
	/* json_parse() has a ceiling of depth, and no key twice */
	if (cJSON_IsArray(j) ? value_list(r, LIST_LIST, 0, out) : value_dict(r, out))
		return -1;
	for (const cJSON *c = j->child; c; c = c->next) {
		if (value_from_json(r, c, &item))
			return -1;
		if (cJSON_IsArray(j) ? value_push(r, out, item) :
		                       value_copy_text(r, bytes_of(c->string), &key) ||
		                               add_pair(r, out->dict, key, item))
			return -1;
	}
	return 0;
}

/* ---- asking */

bool value_is_number(const struct value *v)
{
	return v->kind == V_INT || v->kind == V_FLOAT || v->kind == V_BOOL;
}

double value_f64(const struct value *v)
{
	return v->kind == V_FLOAT ? v->f : v->kind == V_BOOL ? (double)v->truth : (double)v->i;
}

bool value_true(const struct value *v)
{
	switch (v->kind) {
	case V_UNDEFINED:
	case V_NONE:
		return false;
	case V_BOOL:
		return v->truth;
	case V_INT:
		return v->i != 0;
	case V_FLOAT:
		return v->f != 0;
	case V_STRING:
		return v->text.n > 0;
	case V_LIST:
		return v->form == LIST_LAZY || v->list->n > 0;
	case V_DICT:
		return v->dict->n > 0;
	default:
		return true;
	}
}

const char *value_name(const struct value *v)
{
	static const char *const names[V_COUNT] = {
		"undefined", "None",        "a bool", "an int",  "a float",  "a string",   "a list",
		"a dict",    "a namespace", "a loop", "a macro", "a method", "a function",
	};

	return v->kind == V_LIST && v->form == LIST_TUPLE ? "a tuple" :
	       v->kind == V_LIST && v->form == LIST_LAZY  ? "a generator" :
	                                                    names[v->kind];
}

/* ---- comparing */

static int lists_equal(struct run *r, const struct list *a, const struct list *b)
{
	int same = a->n == b->n;

	for (size_t i = 0; i < a->n && same == 1; i++)
		same = value_equal(r, &a->at[i], &b->at[i]);
	return same;
}

static int dicts_equal(struct run *r, const struct dict *a, const struct dict *b)
{
	int same = a->n == b->n;

	for (size_t i = 0; i < a->n && same == 1; i++) {
		struct value *other;

		if (value_get(r, b, &a->at[i].key, &other))
			return -1;
		same = other ? value_equal(r, &a->at[i].value, other) : 0;
	}
	return same;
}

int value_equal(struct run *r, const struct value *a, const struct value *b)
{
	int same;

	if (run_spend(r, 1))
		return -1;
	if (value_is_number(a) && value_is_number(b))
		return a->kind == V_INT && b->kind == V_INT ? a->i == b->i :
		                                              value_f64(a) == value_f64(b);
	if (a->kind != b->kind)
		return 0;
	if (a->kind == V_STRING)
		return run_spend(r, a->text.n / 64) ? -1 : bytes_equal(a->text, b->text);
	if (a->kind == V_UNDEFINED || a->kind == V_NONE)
		return 1;
	if (a->kind != V_LIST && a->kind != V_DICT)
		return a->loop == b->loop; /* the same object */
	if (a->kind == V_LIST && a->form != b->form)
		return 0;
	if (r->depth >= JINJA_DEEP)
		return run_fail(r, "nested over %d deep", JINJA_DEEP);
	r->depth++;
	same = a->kind == V_LIST ? lists_equal(r, a->list, b->list) :
	                           dicts_equal(r, a->dict, b->dict);
	r->depth--;
	return same;
}

static int text_order(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

int value_order(struct run *r, const struct value *a, const struct value *b, int *out)
{
	if (run_spend(r, 1))
		return -1;
	if (a->kind == V_INT && b->kind == V_INT) {
		*out = (a->i > b->i) - (a->i < b->i);
		return 0;
	}
	if (value_is_number(a) && value_is_number(b)) {
		double x = value_f64(a), y = value_f64(b);

		*out = (x > y) - (x < y);
		return 0;
	}
	if (a->kind == V_STRING && b->kind == V_STRING) {
		*out = text_order(a->text, b->text);
		return run_spend(r, a->text.n / 64);
	}
	if (a->kind != V_LIST || b->kind != V_LIST || a->form != b->form || a->form == LIST_LAZY)
		return run_fail(r, "%s and %s have no order", value_name(a), value_name(b));
	if (r->depth >= JINJA_DEEP)
		return run_fail(r, "nested over %d deep", JINJA_DEEP);
	r->depth++;
	*out = 0;
	for (size_t i = 0; i < a->list->n && i < b->list->n && *out == 0; i++) {
		int same = value_equal(r, &a->list->at[i], &b->list->at[i]);

		if (same < 0 || (!same && value_order(r, &a->list->at[i], &b->list->at[i], out)))
			return -1;
	}
	r->depth--;
	if (*out == 0)
		*out = (a->list->n > b->list->n) - (a->list->n < b->list->n);
	return 0;
}

/* ---- going through */

static int characters(struct run *r, struct bytes t, struct value *out)
{
	if (value_list(r, LIST_LIST, 0, out))
		return -1;
	for (size_t at = 0; at < t.n;) {
		uint32_t cp;
		int n = utf8_decode(&cp, t.p + at, t.n - at);

		n = n > 0 ? n : 1;
		if (value_push(r, out, value_text((struct bytes){ t.p + at, (size_t)n })))
			return -1;
		at += (size_t)n;
	}
	return 0;
}

int value_items(struct run *r, const struct value *v, struct value *out)
{
	if (v->kind == V_LIST) {
		*out = *v;
		return 0;
	}
	if (v->kind == V_STRING)
		return characters(r, v->text, out);
	if (v->kind == V_UNDEFINED)
		return value_list(r, LIST_LIST, 0, out);
	if (v->kind != V_DICT)
		return run_fail(r, "%s cannot be gone through", value_name(v));
	if (value_list(r, LIST_LIST, v->dict->n, out))
		return -1;
	for (size_t i = 0; i < v->dict->n; i++)
		out->list->at[out->list->n++] = v->dict->at[i].key;
	return 0;
}
