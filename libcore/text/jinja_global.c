/* SPDX-License-Identifier: MIT */
/* jinja_global.c - tests ("is ..."), and the functions every template has. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utf8proc.h>

#include "text/jinja.h"
#include "util/utf8.h"

enum { FUNCTION_TEXT = 1024 };

/* ---- tests by the kind of the value */

enum {
	IS_MAPPING = 1 << V_DICT,
	IS_STRING = 1 << V_STRING,
	IS_NUMBER = 1 << V_INT | 1 << V_FLOAT | 1 << V_BOOL,
	IS_CALLABLE = 1 << V_MACRO | 1 << V_METHOD | 1 << V_FUNCTION | 1 << V_LOOP,
	IS_ITERABLE = 1 << V_UNDEFINED | 1 << V_STRING | 1 << V_LIST | 1 << V_DICT | 1 << V_LOOP,
};

static int t_sequence(struct run *r, const struct value *self, const struct args *a,
                      struct value *out)
{
	(void)r;
	(void)a;
	*out = value_bool((IS_ITERABLE & ~(1u << V_LOOP)) >> self->kind & 1 &&
	                  !(self->kind == V_LIST && self->form == LIST_LAZY));
	return 0;
}

static int t_true(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)r;
	(void)a;
	*out = value_bool(self->kind == V_BOOL && self->truth);
	return 0;
}

static int t_false(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)r;
	(void)a;
	*out = value_bool(self->kind == V_BOOL && !self->truth);
	return 0;
}

/* ---- tests with another value */

static int other_of(struct run *r, const struct args *a, const struct value **out)
{
	*out = arg_get(a, 0, "other");
	return *out ? 0 : run_fail(r, "the test needs a value to compare with");
}

static int remainder_is(struct run *r, const struct value *self, int64_t by, int64_t want,
                        struct value *out)
{
	if (self->kind != V_INT && self->kind != V_BOOL)
		return run_fail(r, "expected an int, found %s", value_name(self));
	if (by == 0)
		return run_fail(r, "a division by zero");
	*out = value_bool(by == -1 ? want == 0 :
	                             (self->kind == V_INT ? self->i : self->truth) % by == want);
	return 0;
}

static int t_divisible(struct run *r, const struct value *self, const struct args *a,
                       struct value *out)
{
	int64_t by = 0;

	return arg_whole(r, a, 0, "num", &by) || remainder_is(r, self, by, 0, out) ? -1 : 0;
}

static int t_even(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return remainder_is(r, self, 2, 0, out);
}

static int t_odd(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	if (t_even(r, self, a, out))
		return -1;
	out->truth = !out->truth;
	return 0;
}

static int t_equal(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *other;
	int same;

	if (other_of(r, a, &other) || (same = value_equal(r, self, other)) < 0)
		return -1;
	*out = value_bool(same);
	return 0;
}

static int t_unequal(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	if (t_equal(r, self, a, out))
		return -1;
	out->truth = !out->truth;
	return 0;
}

static int t_same(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *other;

	if (other_of(r, a, &other))
		return -1;
	if (self->kind != other->kind)
		*out = value_bool(false);
	else if (self->kind == V_LIST || self->kind == V_DICT)
		*out = value_bool(self->list == other->list);
	else
		return t_equal(r, self, a, out);
	return 0;
}

static int ordered(struct run *r, const struct value *self, const struct args *a, int least,
                   int most, struct value *out)
{
	const struct value *other;
	int order;

	if (other_of(r, a, &other) || value_order(r, self, other, &order))
		return -1;
	order = (order > 0) - (order < 0);
	*out = value_bool(order >= least && order <= most);
	return 0;
}

static int t_less(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	return ordered(r, self, a, -1, -1, out);
}

static int t_at_most(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	return ordered(r, self, a, -1, 0, out);
}

static int t_greater(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	return ordered(r, self, a, 1, 1, out);
}

static int t_at_least(struct run *r, const struct value *self, const struct args *a,
                      struct value *out)
{
	return ordered(r, self, a, 0, 1, out);
}

static int t_in(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *all = arg_get(a, 0, "seq");
	struct node l = { .kind = N_CONST, .v = *self }, m = { .kind = N_CONST };
	struct node in = { .kind = N_OPERAND, .op = 'i', .a = &m };
	struct node compare = { .kind = N_COMPARE, .a = &l, .b = &in };

	if (!all)
		return run_fail(r, "in: expected a sequence");
	m.v = *all;
	return jinja_eval(r, &compare, out);
}

static int all_letters(struct run *r, const struct value *self, utf8proc_category_t is,
                       utf8proc_category_t not, struct value *out)
{
	bool any = false, other = false;
	struct bytes t;

	if (value_show(r, self, &t))
		return -1;
	for (size_t at = 0; at < t.n;) {
		uint32_t cp;
		int n = utf8_decode(&cp, t.p + at, t.n - at);
		utf8proc_category_t c = n > 0 ? utf8proc_category((utf8proc_int32_t)cp) : 0;

		any |= c == is;
		other |= c == not || c == UTF8PROC_CATEGORY_LT;
		at += n > 0 ? (size_t)n : 1;
	}
	*out = value_bool(any && !other);
	return 0;
}

static int t_upper(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return all_letters(r, self, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL, out);
}

static int t_lower(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return all_letters(r, self, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LU, out);
}

static int named(struct run *r, const struct value *self, bool test, struct value *out)
{
	if (self->kind != V_STRING)
		return run_fail(r, "expected a name, found %s", value_name(self));
	*out = value_bool(test ? jinja_test(self->text) : jinja_filter(self->text));
	return 0;
}

static int t_filter(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	(void)a;
	return named(r, self, false, out);
}

static int t_test(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return named(r, self, true, out);
}

static const struct function tests[] = {
	{ .name = "defined", .kinds = ~(1u << V_UNDEFINED) },
	{ .name = "undefined", .kinds = 1u << V_UNDEFINED },
	{ .name = "none", .kinds = 1u << V_NONE },
	{ .name = "string", .kinds = IS_STRING },
	{ .name = "mapping", .kinds = IS_MAPPING },
	{ .name = "iterable", .kinds = IS_ITERABLE },
	{ .name = "sequence", .fn = t_sequence },
	{ .name = "number", .kinds = IS_NUMBER },
	{ .name = "integer", .kinds = 1u << V_INT },
	{ .name = "float", .kinds = 1u << V_FLOAT },
	{ .name = "boolean", .kinds = 1u << V_BOOL },
	{ .name = "true", .fn = t_true },
	{ .name = "false", .fn = t_false },
	{ .name = "callable", .kinds = IS_CALLABLE },
	{ .name = "in", .fn = t_in },
	{ .name = "even", .fn = t_even },
	{ .name = "odd", .fn = t_odd },
	{ .name = "divisibleby", .fn = t_divisible },
	{ .name = "equalto", .fn = t_equal },
	{ .name = "eq", .fn = t_equal },
	{ .name = "==", .fn = t_equal },
	{ .name = "ne", .fn = t_unequal },
	{ .name = "!=", .fn = t_unequal },
	{ .name = "sameas", .fn = t_same },
	{ .name = "lt", .fn = t_less },
	{ .name = "lessthan", .fn = t_less },
	{ .name = "<", .fn = t_less },
	{ .name = "le", .fn = t_at_most },
	{ .name = "<=", .fn = t_at_most },
	{ .name = "gt", .fn = t_greater },
	{ .name = "greaterthan", .fn = t_greater },
	{ .name = ">", .fn = t_greater },
	{ .name = "ge", .fn = t_at_least },
	{ .name = ">=", .fn = t_at_least },
	{ .name = "upper", .fn = t_upper },
	{ .name = "lower", .fn = t_lower },
	{ .name = "filter", .fn = t_filter },
	{ .name = "test", .fn = t_test },
};

int jinja_is(struct run *r, const struct function *test, const struct value *self,
             const struct args *a, struct value *out)
{
	if (test->fn)
		return test->fn(r, self, a, out);
	*out = value_bool(test->kinds >> self->kind & 1);
	return 0;
}

const struct function *jinja_test(struct bytes name)
{
	return function_find(tests, sizeof tests / sizeof *tests, name);
}

/* ---- functions */

static int g_raise(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *v = arg_get(a, 0, "message");
	struct bytes t = { 0 };

	(void)self;
	(void)out;
	if (v && value_show(r, v, &t))
		return -1;
	return run_fail(r, "the template refuses: %.*s", (int)(t.n < 400 ? t.n : 400),
	                t.n ? (const char *)t.p : "");
}

static int g_now(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct bytes format = { 0 };
	char text[FUNCTION_TEXT], pattern[FUNCTION_TEXT / 4];
	locale_t c;
	size_t n;

	(void)self;
	if (arg_text(r, a, 0, "format", &format))
		return -1;
	if (format.n >= sizeof pattern)
		return run_fail(r, "strftime_now: a format of %zu bytes, at most %zu", format.n,
		                sizeof pattern - 1);
	memcpy(pattern, format.n ? (const char *)format.p : "", format.n);
	pattern[format.n] = 0;
	c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	n = strftime_l(text, sizeof text, pattern, r->now, c);
	freelocale(c);
	return value_copy_text(r, (struct bytes){ (unsigned char *)text, n }, out);
}

static int g_namespace(struct run *r, const struct value *self, const struct args *a,
                       struct value *out)
{
	(void)self;
	if (value_dict(r, out))
		return -1;
	for (size_t k = 0; k < a->n; k++) {
		if (a->at[k].kind != V_DICT)
			return run_fail(r, "expected a dict, found %s", value_name(&a->at[k]));
		for (size_t i = 0; i < a->at[k].dict->n; i++)
			if (value_put(r, out->dict, a->at[k].dict->at[i].key,
			              a->at[k].dict->at[i].value))
				return -1;
	}
	for (size_t i = 0; i < a->n_named; i++)
		if (value_put(r, out->dict, a->named[i].key, a->named[i].value))
			return -1;
	out->kind = V_SPACE;
	return 0;
}

static int g_dict(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	if (g_namespace(r, self, a, out))
		return -1;
	out->kind = V_DICT;
	return 0;
}

static int g_range(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	int64_t v[3] = { 0, 0, 1 };

	(void)self;
	if (a->n < 1 || a->n > 3)
		return run_fail(r, "range: expected 1 to 3 numbers, found %zu", a->n);
	for (size_t i = 0; i < a->n; i++)
		if (arg_whole(r, a, i, "range", &v[a->n == 1 ? 1 : i]))
			return -1;
	if (v[2] == 0)
		return run_fail(r, "range: expected a step that is not 0");
	if (value_list(r, LIST_LIST, 0, out))
		return -1;
	for (int64_t i = v[0]; v[2] > 0 ? i < v[1] : i > v[1];) {
		/* Jinja's sandbox has the same ceiling */
		if (out->list->n >= 100000)
			return run_fail(r, "range: over 100000 numbers");
		if (value_push(r, out, value_int(i)))
			return -1;
		if (__builtin_add_overflow(i, v[2], &i))
			break;
	}
	return 0;
}

static const struct function globals[] = {
	{ .name = "raise_exception", .fn = g_raise },
	{ .name = "strftime_now", .fn = g_now },
	{ .name = "namespace", .fn = g_namespace },
	{ .name = "range", .fn = g_range },
	{ .name = "dict", .fn = g_dict },
};

const struct function *jinja_global(struct bytes name)
{
	return function_find(globals, sizeof globals / sizeof *globals, name);
}
