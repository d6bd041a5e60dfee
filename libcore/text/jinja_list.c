/* SPDX-License-Identifier: MIT */
/* jinja_list.c - filters over what can be gone through. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

/* a.b.0 */
static int path_get(struct run *r, const struct value *v, const struct value *path,
                    struct value *out)
{
	struct bytes t = path->text;

	*out = *v;
	if (path->kind == V_INT)
		return jinja_item(r, v, path, out);
	while (path->kind == V_STRING) {
		size_t dot = bytes_find(t, bytes_of("."), 0), n = dot == SIZE_MAX ? t.n : dot;
		struct value key = value_text((struct bytes){ t.p, n }), from = *out;
		bool digits = n > 0 && n < 10;

		for (size_t i = 0; i < n; i++)
			digits &= t.p[i] >= '0' && t.p[i] <= '9';
		if (digits) {
			key = value_int(0);
			for (size_t i = 0; i < n; i++)
				key.i = 10 * key.i + (t.p[i] - '0');
		}
		if (jinja_item(r, &from, &key, out))
			return -1;
		if (dot == SIZE_MAX)
			break;
		t = (struct bytes){ t.p + dot + 1, t.n - dot - 1 };
	}
	return 0;
}

static struct args rest(const struct args *a, size_t n)
{
	struct args b = *a;

	n = n < a->n ? n : a->n;
	if (n)
		b.at += n;
	b.n -= n;
	return b;
}

static int f_list(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct value items;

	(void)a;
	if (value_items(r, self, &items) || value_list(r, LIST_LIST, items.list->n, out))
		return -1;
	if (items.list->n)
		memcpy(out->list->at, items.list->at, items.list->n * sizeof *items.list->at);
	out->list->n = items.list->n;
	return 0;
}

static int f_join(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *between = arg_get(a, 0, "d"), *attr = arg_get(a, 1, "attribute");
	struct value items, v;
	struct bytes t, d = { 0 };

	if ((between && value_show(r, between, &d)) || value_items(r, self, &items))
		return -1;
	*out = value_text((struct bytes){ 0 });
	for (size_t i = 0; i < items.list->n; i++) {
		v = items.list->at[i];
		if ((i && value_join(r, out, d, out)) ||
		    (attr && path_get(r, &items.list->at[i], attr, &v)) || value_show(r, &v, &t) ||
		    value_join(r, out, t, out))
			return -1;
	}
	return 0;
}

static int f_first(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct value items;

	(void)a;
	if (value_items(r, self, &items))
		return -1;
	*out = items.list->n ? items.list->at[0] : value_undefined(bytes_of("first"));
	return 0;
}

static int f_last(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct value items;

	(void)a;
	if (value_items(r, self, &items))
		return -1;
	*out = items.list->n ? items.list->at[items.list->n - 1] :
	                       value_undefined(bytes_of("last"));
	return 0;
}

static int f_reverse(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	struct value items;

	(void)a;
	if (value_items(r, self, &items) || value_list(r, LIST_LAZY, items.list->n, out))
		return -1;
	if (self->kind == V_STRING)
		*out = value_text((struct bytes){ 0 });
	for (size_t i = items.list->n; i-- > 0;)
		if (self->kind == V_STRING ? value_join(r, out, items.list->at[i].text, out) :
		                             value_push(r, out, items.list->at[i]))
			return -1;
	return 0;
}

/* ---- order: by key, as Python's stable sort */

struct keyed {
	struct value key, v;
};

static int by_key(struct run *r, const struct keyed *a, const struct keyed *b, bool case_matters,
                  bool reverse, int *out)
{
	struct value x = a->key, y = b->key;

	if (!case_matters && x.kind == V_STRING && y.kind == V_STRING &&
	    (chars_case(r, a->key.text, CASE_LOWER, &x) ||
	     chars_case(r, b->key.text, CASE_LOWER, &y)))
		return -1;
	if (value_order(r, &x, &y, out))
		return -1;
	*out = reverse ? -*out : *out;
	return 0;
}

/* Merging, from the bottom up. */
static int sort(struct run *r, struct keyed *at, size_t n, bool case_matters, bool reverse)
{
	struct keyed *other = run_new(r, n + 1, sizeof *other);
	int order;

	for (size_t w = 1; other && w < n; w *= 2) {
		for (size_t lo = 0; lo < n; lo += 2 * w) {
			size_t mid = lo + w < n ? lo + w : n, hi = lo + 2 * w < n ? lo + 2 * w : n;
			size_t i = lo, k = mid, o = lo;

			while (i < mid && k < hi) {
				if (by_key(r, &at[i], &at[k], case_matters, reverse, &order))
					return -1;
				other[o++] = order <= 0 ? at[i++] : at[k++];
			}
			while (i < mid)
				other[o++] = at[i++];
			while (k < hi)
				other[o++] = at[k++];
		}
		memcpy(at, other, n * sizeof *at);
	}
	return other ? 0 : -1;
}

static int sorted(struct run *r, struct keyed *at, size_t n, const struct args *a, size_t first,
                  bool reverse, struct value *out)
{
	if (sort(r, at, n, arg_true(a, first, "case_sensitive"), reverse) ||
	    value_list(r, LIST_LIST, n, out))
		return -1;
	for (size_t i = 0; i < n; i++)
		out->list->at[i] = at[i].v;
	out->list->n = n;
	return 0;
}

static int f_sort(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *attr = arg_get(a, 2, "attribute");
	struct value items;
	struct keyed *at;

	if (value_items(r, self, &items) || !(at = run_new(r, items.list->n + 1, sizeof *at)))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		at[i].v = at[i].key = items.list->at[i];
		if (attr && path_get(r, &items.list->at[i], attr, &at[i].key))
			return -1;
	}
	return sorted(r, at, items.list->n, a, 1, arg_true(a, 0, "reverse"), out);
}

static int pair_value(struct run *r, const struct pair *p, struct value *out)
{
	return value_list(r, LIST_TUPLE, 2, out) || value_push(r, out, p->key) ||
	                       value_push(r, out, p->value) ?
	               -1 :
	               0;
}

static int f_dictsort(struct run *r, const struct value *self, const struct args *a,
                      struct value *out)
{
	struct bytes by = bytes_of("key");
	struct keyed *at;

	if (self->kind != V_DICT)
		return run_fail(r, "dictsort: expected a dict, found %s", value_name(self));
	if (arg_text(r, a, 1, "by", &by) || !(at = run_new(r, self->dict->n + 1, sizeof *at)))
		return -1;
	for (size_t i = 0; i < self->dict->n; i++) {
		at[i].key = bytes_is(by, "value") ? self->dict->at[i].value : self->dict->at[i].key;
		if (pair_value(r, &self->dict->at[i], &at[i].v))
			return -1;
	}
	return sorted(r, at, self->dict->n, a, 0, arg_true(a, 2, "reverse"), out);
}

static int f_items(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct value p;

	(void)a;
	if (value_list(r, LIST_LAZY, 0, out))
		return -1;
	if (self->kind == V_UNDEFINED)
		return 0;
	if (self->kind != V_DICT)
		return run_fail(r, "items: expected a dict, found %s", value_name(self));
	for (size_t i = 0; i < self->dict->n; i++)
		if (pair_value(r, &self->dict->at[i], &p) || value_push(r, out, p))
			return -1;
	return 0;
}

/* ---- each item, or some */

static int f_map(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *attr = arg_get(a, SIZE_MAX, "attribute");
	const struct value *other = arg_get(a, SIZE_MAX, "default");
	const struct function *f = NULL;
	struct args more = rest(a, 1);
	struct value items, v;

	if (!attr && (!a->n || a->at[0].kind != V_STRING || !(f = jinja_filter(a->at[0].text))))
		return run_fail(r, "map: expected a filter's name, or attribute=");
	if (value_items(r, self, &items) || value_list(r, LIST_LAZY, items.list->n, out))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		if (run_spend(r, 1) || (attr ? path_get(r, &items.list->at[i], attr, &v) :
		                               f->fn(r, &items.list->at[i], &more, &v)))
			return -1;
		if (attr && other && v.kind == V_UNDEFINED)
			v = *other;
		if (value_push(r, out, v))
			return -1;
	}
	return 0;
}

/* select, reject, selectattr, rejectattr */
static int choose(struct run *r, const struct value *self, const struct args *a, bool by_attr,
                  bool keep, struct value *out)
{
	const struct value *name = a->n > by_attr ? &a->at[by_attr] : NULL;
	struct args more = rest(a, (size_t)by_attr + 1);
	const struct function *f = NULL;
	struct value items, v, is;

	if (by_attr && !a->n)
		return run_fail(r, "expected an attribute");
	if (name && (name->kind != V_STRING || !(f = jinja_test(name->text))))
		return run_fail(r, "expected the name of a test");
	if (value_items(r, self, &items) || value_list(r, LIST_LAZY, 0, out))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		v = items.list->at[i];
		if (run_spend(r, 1) || (by_attr && path_get(r, &items.list->at[i], &a->at[0], &v)))
			return -1;
		is = v;
		if (f && jinja_is(r, f, &v, &more, &is))
			return -1;
		if (value_true(&is) == keep && value_push(r, out, items.list->at[i]))
			return -1;
	}
	return 0;
}

static int f_select(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	return choose(r, self, a, false, true, out);
}

static int f_reject(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	return choose(r, self, a, false, false, out);
}

static int f_selectattr(struct run *r, const struct value *self, const struct args *a,
                        struct value *out)
{
	return choose(r, self, a, true, true, out);
}

static int f_rejectattr(struct run *r, const struct value *self, const struct args *a,
                        struct value *out)
{
	return choose(r, self, a, true, false, out);
}

static int extreme(struct run *r, const struct value *self, const struct args *a, int want,
                   struct value *out)
{
	const struct value *attr = arg_get(a, 1, "attribute");
	struct keyed best, now;
	struct value items;
	int order;

	if (value_items(r, self, &items))
		return -1;
	*out = value_undefined(bytes_of(want < 0 ? "min" : "max"));
	for (size_t i = 0; i < items.list->n; i++) {
		now.v = now.key = items.list->at[i];
		if (attr && path_get(r, &items.list->at[i], attr, &now.key))
			return -1;
		if (i && by_key(r, &now, &best, arg_true(a, 0, "case_sensitive"), false, &order))
			return -1;
		if (!i || (want < 0 ? order < 0 : order > 0))
			best = now;
		*out = best.v;
	}
	return 0;
}

static int f_min(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	return extreme(r, self, a, -1, out);
}

static int f_max(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	return extreme(r, self, a, 1, out);
}

static int f_sum(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *attr = arg_get(a, 0, "attribute"), *start = arg_get(a, 1, "start");
	struct node l = { .kind = N_CONST }, m = { .kind = N_CONST };
	struct node add = { .kind = N_BINARY, .op = '+', .a = &l, .b = &m };
	struct value items;

	if (value_items(r, self, &items))
		return -1;
	*out = start ? *start : value_int(0);
	for (size_t i = 0; i < items.list->n; i++) {
		l.v = *out;
		m.v = items.list->at[i];
		if ((attr && attr->kind != V_NONE && path_get(r, &items.list->at[i], attr, &m.v)) ||
		    jinja_binary(r, &add, out))
			return -1;
	}
	return 0;
}

static int f_unique(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	const struct value *attr = arg_get(a, 1, "attribute");
	struct value items, seen, key, *at;

	if (value_items(r, self, &items) || value_list(r, LIST_LAZY, 0, out) ||
	    value_dict(r, &seen))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		key = items.list->at[i];
		if (attr && path_get(r, &items.list->at[i], attr, &key))
			return -1;
		if (!arg_true(a, 0, "case_sensitive") && key.kind == V_STRING &&
		    chars_case(r, key.text, CASE_LOWER, &key))
			return -1;
		if (value_get(r, seen.dict, &key, &at))
			return -1;
		if (!at &&
		    (value_put(r, seen.dict, key, key) || value_push(r, out, items.list->at[i])))
			return -1;
	}
	return 0;
}

static int f_batch(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *fill = arg_get(a, 1, "fill_with");
	struct value items, part;
	int64_t size = 0;

	if (arg_whole(r, a, 0, "linecount", &size) || value_items(r, self, &items) ||
	    value_list(r, LIST_LAZY, 0, out))
		return -1;
	if (size < 1)
		return run_fail(r, "batch: expected a size over 0, found %lld", (long long)size);
	for (size_t i = 0; i < items.list->n; i++) {
		if (i % (uint64_t)size == 0 &&
		    (value_list(r, LIST_LIST, 0, &part) || value_push(r, out, part)))
			return -1;
		if (value_push(r, &part, items.list->at[i]))
			return -1;
	}
	while (fill && fill->kind != V_NONE && items.list->n && part.list->n < (uint64_t)size)
		if (run_spend(r, 1) || value_push(r, &part, *fill))
			return -1;
	return 0;
}

static int f_attr(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct bytes name = { 0 };

	/* what lies in a dict is no attribute of it */
	if (arg_text(r, a, 0, "name", &name))
		return -1;
	*out = value_undefined(name);
	return self->kind == V_DICT ? 0 : jinja_attr(r, self, name, out);
}

static const struct function filters[] = {
	{ .name = "list", .fn = f_list },
	{ .name = "join", .fn = f_join },
	{ .name = "first", .fn = f_first },
	{ .name = "last", .fn = f_last },
	{ .name = "reverse", .fn = f_reverse },
	{ .name = "sort", .fn = f_sort },
	{ .name = "dictsort", .fn = f_dictsort },
	{ .name = "items", .fn = f_items },
	{ .name = "map", .fn = f_map },
	{ .name = "select", .fn = f_select },
	{ .name = "reject", .fn = f_reject },
	{ .name = "selectattr", .fn = f_selectattr },
	{ .name = "rejectattr", .fn = f_rejectattr },
	{ .name = "min", .fn = f_min },
	{ .name = "max", .fn = f_max },
	{ .name = "sum", .fn = f_sum },
	{ .name = "unique", .fn = f_unique },
	{ .name = "batch", .fn = f_batch },
	{ .name = "attr", .fn = f_attr },
};

const struct function *jinja_list_filter(struct bytes name)
{
	return function_find(filters, sizeof filters / sizeof *filters, name);
}
