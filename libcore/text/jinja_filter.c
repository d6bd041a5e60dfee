/* SPDX-License-Identifier: MIT */
/* jinja_filter.c - filters of one value, tests, and global functions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text/jinja.h"
#include "util/num.h"
#include "util/utf8.h"

/* ---- arguments */

const struct value *arg_get(const struct args *a, size_t i, const char *name)
{
	if (i < a->n)
		return &a->at[i];
	for (size_t k = 0; k < a->n_named; k++)
		if (bytes_is(a->named[k].key.text, name))
			return &a->named[k].value;
	return NULL;
}

int arg_whole(struct run *r, const struct args *a, size_t i, const char *name, int64_t *out)
{
	const struct value *v = arg_get(a, i, name);

	if (!v || v->kind == V_NONE)
		return 0;
	if (v->kind != V_INT && v->kind != V_BOOL)
		return run_fail(r, "%s: expected an int, found %s", name, value_name(v));
	*out = v->kind == V_INT ? v->i : v->truth;
	return 0;
}

int arg_text(struct run *r, const struct args *a, size_t i, const char *name, struct bytes *out)
{
	const struct value *v = arg_get(a, i, name);

	if (!v)
		return 0;
	if (v->kind != V_STRING)
		return run_fail(r, "%s: expected a string, found %s", name, value_name(v));
	*out = v->text;
	return 0;
}

bool arg_true(const struct args *a, size_t i, const char *name)
{
	const struct value *v = arg_get(a, i, name);

	return v && value_true(v);
}

const struct function *function_find(const struct function *table, size_t n, struct bytes name)
{
	for (size_t i = 0; i < n; i++)
		if (bytes_is(name, table[i].name))
			return &table[i];
	return NULL;
}

/* ---- filters */

static int f_default(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	const struct value *other = arg_get(a, 0, "default_value");

	(void)r;
	*out = *self;
	if (self->kind == V_UNDEFINED || (arg_true(a, 1, "boolean") && !value_true(self)))
		*out = other ? *other : value_text((struct bytes){ 0 });
	return 0;
}

static int f_string(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	struct bytes t;

	(void)a;
	if (self->kind == V_STRING) {
		*out = *self;
		return 0;
	}
	if (value_show(r, self, &t))
		return -1;
	*out = value_text(t);
	return 0;
}

static int in_case(struct run *r, const struct value *self, enum letter_case c, struct value *out)
{
	struct bytes t;

	return value_show(r, self, &t) || chars_case(r, t, c, out) ? -1 : 0;
}

static int f_upper(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return in_case(r, self, CASE_UPPER, out);
}

static int f_lower(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return in_case(r, self, CASE_LOWER, out);
}

static int f_title(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return in_case(r, self, CASE_TITLE, out);
}

static int f_capitalize(struct run *r, const struct value *self, const struct args *a,
                        struct value *out)
{
	(void)a;
	return in_case(r, self, CASE_CAPITAL, out);
}

static int f_trim(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *set = arg_get(a, 0, "chars");
	struct bytes t;

	if (value_show(r, self, &t) || run_spend(r, t.n / 64))
		return -1;
	*out = value_text(chars_strip(t, set && set->kind == V_STRING ? &set->text : NULL,
	                              STRIP_LEFT | STRIP_RIGHT));
	return 0;
}

static int f_replace(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	const struct function *f = jinja_method(V_STRING, bytes_of("replace"));
	struct value text;

	return f_string(r, self, a, &text) || f->fn(r, &text, a, out) ? -1 : 0;
}

static int f_length(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	(void)a;
	if (self->kind == V_STRING)
		*out = value_int((int64_t)chars_count(self->text));
	else if (self->kind == V_DICT)
		*out = value_int((int64_t)self->dict->n);
	else if (self->kind == V_LIST && self->form != LIST_LAZY)
		*out = value_int((int64_t)self->list->n);
	else if (self->kind == V_UNDEFINED)
		*out = value_int(0);
	else
		return run_fail(r, "%s has no length", value_name(self));
	return run_spend(r, self->kind == V_STRING ? self->text.n / 64 : 0);
}

static int f_int(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	int64_t other = 0, i;
	char text[32];
	double f;

	if (arg_whole(r, a, 0, "default", &other))
		return -1;
	*out = value_int(other);
	if (self->kind == V_INT || self->kind == V_BOOL)
		*out = value_int(self->kind == V_INT ? self->i : self->truth);
	else if (self->kind == V_FLOAT && fabs(self->f) < 0x1p63)
		*out = value_int((int64_t)self->f);
	if (self->kind != V_STRING)
		return 0;
	struct bytes t = chars_strip(self->text, NULL, STRIP_LEFT | STRIP_RIGHT);

	if (t.n >= sizeof text || !t.n)
		return 0;
	memcpy(text, t.p, t.n);
	text[t.n] = 0;
	if (num_i64(&i, text[0] == '+' ? text + 1 : text))
		*out = value_int(i);
	else if (num_f64(&f, text) && fabs(f) < 0x1p63)
		*out = value_int((int64_t)f);
	return 0;
}

static int f_float(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	const struct value *other = arg_get(a, 0, "default");
	char text[64];
	double f;

	(void)r;
	*out = other ? *other : value_float(0);
	if (value_is_number(self))
		*out = value_float(value_f64(self));
	if (self->kind != V_STRING)
		return 0;
	struct bytes t = chars_strip(self->text, NULL, STRIP_LEFT | STRIP_RIGHT);

	if (t.n >= sizeof text || !t.n)
		return 0;
	memcpy(text, t.p, t.n);
	text[t.n] = 0;
	if (num_f64(&f, text))
		*out = value_float(f);
	return 0;
}

static int f_abs(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	if (!value_is_number(self))
		return run_fail(r, "abs: expected a number, found %s", value_name(self));
	*out = self->kind == V_FLOAT ? value_float(fabs(self->f)) :
	                               value_int(self->kind == V_BOOL                ? self->truth :
	                                         self->i < 0 && self->i != INT64_MIN ? -self->i :
	                                                                               self->i);
	return 0;
}

static int f_round(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	int64_t digits = 0;
	struct bytes how = bytes_of("common");
	double scale, f;

	if (!value_is_number(self) || arg_whole(r, a, 0, "precision", &digits) ||
	    arg_text(r, a, 1, "method", &how))
		return run_fail(r, "round: expected a number, found %s", value_name(self));
	digits = digits > 300 ? 300 : digits < -300 ? -300 : digits;
	scale = pow(10, (double)digits);
	f = value_f64(self) * scale;
	f = bytes_is(how, "ceil") ? ceil(f) : bytes_is(how, "floor") ? floor(f) : nearbyint(f);
	*out = value_float(f / scale);
	return 0;
}

static int f_format(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	struct bytes t;

	return value_show(r, self, &t) || jinja_percent(r, t, a, out) ? -1 : 0;
}

static int f_indent(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	const struct value *width = arg_get(a, 0, "width");
	bool first = arg_true(a, 1, "first"), blank = arg_true(a, 2, "blank");
	struct bytes t, pad = bytes_of("    ");
	struct value spaces = value_text((struct bytes){ 0 });

	if (width && width->kind == V_STRING) {
		pad = width->text;
	} else if (width && width->kind == V_INT) {
		for (int64_t i = 0; i < width->i; i++)
			if (value_join(r, &spaces, bytes_of(" "), &spaces))
				return -1;
		pad = spaces.text;
	}
	if (value_show(r, self, &t))
		return -1;
	*out = value_text((struct bytes){ 0 });
	for (size_t at = 0, line = 0; at < t.n || line == 0; line++) {
		size_t end = bytes_find(t, bytes_of("\n"), at),
		       n = end == SIZE_MAX ? t.n - at : end + 1 - at;
		bool empty = n == 0 || (n == 1 && t.p[at] == '\n');

		if ((line ? !empty || blank : first) && value_join(r, out, pad, out))
			return -1;
		if (n && value_join(r, out, (struct bytes){ t.p + at, n }, out))
			return -1;
		at += n;
		if (end == SIZE_MAX)
			break;
	}
	return 0;
}

int value_escape(struct run *r, const struct value *v, struct value *out)
{
	static const char from[] = "&<>'\"";
	static const char *const to[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
	struct bytes t;

	if (v->kind == V_STRING && v->safe) {
		*out = *v;
		return 0;
	}
	if (value_show(r, v, &t))
		return -1;
	*out = value_text((struct bytes){ 0 });
	for (size_t i = 0; i < t.n; i++) {
		const char *at = t.p[i] ? strchr(from, t.p[i]) : NULL;

		if (value_join(r, out, at ? bytes_of(to[at - from]) : (struct bytes){ t.p + i, 1 },
		               out))
			return -1;
	}
	out->safe = true;
	return 0;
}

static int f_escape(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	(void)a;
	return value_escape(r, self, out);
}

static int f_safe(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	if (f_string(r, self, a, out))
		return -1;
	out->safe = true;
	return 0;
}

static int f_wordcount(struct run *r, const struct value *self, const struct args *a,
                       struct value *out)
{
	struct bytes t;
	int64_t n = 0;
	bool in = false;

	(void)a;
	if (value_show(r, self, &t))
		return -1;
	for (size_t i = 0; i < t.n; i++) {
		bool space = chars_space(t.p[i]) && t.p[i] < 0x80;

		n += !space && !in;
		in = !space;
	}
	*out = value_int(n);
	return 0;
}

static const struct function filters[] = {
	{ .name = "tojson", .fn = jinja_tojson },
	{ .name = "trim", .fn = f_trim },
	{ .name = "length", .fn = f_length },
	{ .name = "count", .fn = f_length },
	{ .name = "string", .fn = f_string },
	{ .name = "safe", .fn = f_safe },
	{ .name = "default", .fn = f_default },
	{ .name = "d", .fn = f_default },
	{ .name = "upper", .fn = f_upper },
	{ .name = "lower", .fn = f_lower },
	{ .name = "title", .fn = f_title },
	{ .name = "capitalize", .fn = f_capitalize },
	{ .name = "replace", .fn = f_replace },
	{ .name = "int", .fn = f_int },
	{ .name = "float", .fn = f_float },
	{ .name = "abs", .fn = f_abs },
	{ .name = "round", .fn = f_round },
	{ .name = "format", .fn = f_format },
	{ .name = "indent", .fn = f_indent },
	{ .name = "escape", .fn = f_escape },
	{ .name = "e", .fn = f_escape },
	{ .name = "forceescape", .fn = f_escape },
	{ .name = "wordcount", .fn = f_wordcount },
};

const struct function *jinja_filter(struct bytes name)
{
	const struct function *f = function_find(filters, sizeof filters / sizeof *filters, name);

	return f ? f : jinja_list_filter(name);
}
