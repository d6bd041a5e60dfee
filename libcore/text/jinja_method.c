/* SPDX-License-Identifier: MIT */
/* jinja_method.c - what texts, dicts, lists and loops can be asked. What
 * would change a list or dict is not there, as in Hugging Face's sandbox. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/jinja.h"
#include "util/utf8.h"

/* ---- strings */

static int stripped(struct run *r, const struct value *self, const struct args *a, unsigned sides,
                    struct value *out)
{
	const struct value *set = arg_get(a, 0, "chars");

	if (set && set->kind != V_STRING && set->kind != V_NONE)
		return run_fail(r, "strip: expected a string, found %s", value_name(set));
	*out = value_text(
		chars_strip(self->text, set && set->kind == V_STRING ? &set->text : NULL, sides));
	return run_spend(r, self->text.n / 64);
}

static int m_strip(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	return stripped(r, self, a, STRIP_LEFT | STRIP_RIGHT, out);
}

static int m_lstrip(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	return stripped(r, self, a, STRIP_LEFT, out);
}

static int m_rstrip(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	return stripped(r, self, a, STRIP_RIGHT, out);
}

/* At white space: runs of it count as one, at the ends as none. */
static int split_space(struct run *r, struct bytes t, int64_t most, struct value *out)
{
	for (int64_t n = 0;; n++) {
		size_t at = 0;

		t = chars_strip(t, NULL, STRIP_LEFT);
		if (!t.n)
			return 0;
		if (most >= 0 && n == most)
			return value_push(r, out, value_text(chars_strip(t, NULL, STRIP_RIGHT)));
		while (at < t.n) {
			uint32_t cp;
			int len = utf8_decode(&cp, t.p + at, t.n - at);

			if (len > 0 && chars_space(cp))
				break;
			at += len > 0 ? (size_t)len : 1;
		}
		if (value_push(r, out, value_text((struct bytes){ t.p, at })))
			return -1;
		t = (struct bytes){ t.p + at, t.n - at };
	}
}

static int split_at(struct run *r, struct bytes t, struct bytes sep, int64_t most,
                    struct value *out)
{
	for (int64_t n = 0;; n++) {
		size_t at = most >= 0 && n == most ? SIZE_MAX : bytes_find(t, sep, 0);

		if (at == SIZE_MAX)
			return value_push(r, out, value_text(t));
		if (value_push(r, out, value_text((struct bytes){ t.p, at })))
			return -1;
		t = (struct bytes){ t.p + at + sep.n, t.n - at - sep.n };
	}
}

static size_t rfind(struct bytes t, struct bytes what)
{
	for (size_t at = t.n >= what.n ? t.n - what.n + 1 : 0; at-- > 0;)
		if (!what.n || !memcmp(t.p + at, what.p, what.n))
			return at;
	return SIZE_MAX;
}

/* From the right, `most` times. */
static int rsplit_at(struct run *r, struct bytes t, struct bytes sep, int64_t most,
                     struct value *out)
{
	struct value parts;

	if (value_list(r, LIST_LIST, 0, &parts))
		return -1;
	for (int64_t n = 0; n < most; n++) {
		size_t at = rfind(t, sep);

		if (at == SIZE_MAX)
			break;
		if (value_push(r, &parts,
		               value_text((struct bytes){ t.p + at + sep.n, t.n - at - sep.n })))
			return -1;
		t.n = at;
	}
	if (value_push(r, out, value_text(t)))
		return -1;
	for (size_t i = parts.list->n; i-- > 0;)
		if (value_push(r, out, parts.list->at[i]))
			return -1;
	return 0;
}

static int split(struct run *r, const struct value *self, const struct args *a, bool right,
                 struct value *out)
{
	const struct value *sep = arg_get(a, 0, "sep");
	int64_t most = -1;

	if (arg_whole(r, a, 1, "maxsplit", &most) || run_spend(r, self->text.n / 16) ||
	    value_list(r, LIST_LIST, 0, out))
		return -1;
	if (!sep || sep->kind == V_NONE) {
		if (right && most >= 0)
			return run_fail(r, "rsplit: expected a separator");
		return split_space(r, self->text, most, out);
	}
	if (sep->kind != V_STRING || !sep->text.n)
		return run_fail(r, "split: expected a separator, found %s",
		                sep->kind == V_STRING ? "an empty string" : value_name(sep));
	return right && most >= 0 ? rsplit_at(r, self->text, sep->text, most, out) :
	                            split_at(r, self->text, sep->text, most, out);
}

static int m_split(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	return split(r, self, a, false, out);
}

static int m_rsplit(struct run *r, const struct value *self, const struct args *a,
                    struct value *out)
{
	return split(r, self, a, true, out);
}

static int m_splitlines(struct run *r, const struct value *self, const struct args *a,
                        struct value *out)
{
	bool keep = arg_true(a, 0, "keepends");
	struct bytes t = self->text;

	if (run_spend(r, t.n / 16) || value_list(r, LIST_LIST, 0, out))
		return -1;
	while (t.n) {
		size_t n = 0, end;

		while (n < t.n && !(t.p[n] >= 10 && t.p[n] <= 13))
			n++;
		end = n + (n < t.n) + (n + 1 < t.n && t.p[n] == '\r' && t.p[n + 1] == '\n');
		if (value_push(r, out, value_text((struct bytes){ t.p, keep ? end : n })))
			return -1;
		t = (struct bytes){ t.p + end, t.n - end };
	}
	return 0;
}

static bool has_end(struct bytes t, struct bytes what, bool end)
{
	return what.n <= t.n &&
	       (!what.n || !memcmp(end ? t.p + t.n - what.n : t.p, what.p, what.n));
}

static int at_end(struct run *r, const struct value *self, const struct args *a, bool end,
                  struct value *out)
{
	const struct value *what = arg_get(a, 0, "prefix");
	bool is = false;

	if (!what || (what->kind != V_STRING && what->kind != V_LIST))
		return run_fail(r, "expected a string, found %s",
		                what ? value_name(what) : "nothing");
	if (what->kind == V_STRING)
		is = has_end(self->text, what->text, end);
	else
		for (size_t i = 0; i < what->list->n; i++)
			is |= what->list->at[i].kind == V_STRING &&
			      has_end(self->text, what->list->at[i].text, end);
	*out = value_bool(is);
	return 0;
}

static int m_startswith(struct run *r, const struct value *self, const struct args *a,
                        struct value *out)
{
	return at_end(r, self, a, false, out);
}

static int m_endswith(struct run *r, const struct value *self, const struct args *a,
                      struct value *out)
{
	return at_end(r, self, a, true, out);
}

static int remove_end(struct run *r, const struct value *self, const struct args *a, bool end,
                      struct value *out)
{
	struct bytes what = { 0 }, t = self->text;

	if (arg_text(r, a, 0, "prefix", &what))
		return -1;
	if (has_end(t, what, end))
		t = (struct bytes){ t.p + (end ? 0 : what.n), t.n - what.n };
	*out = value_text(t);
	return 0;
}

static int m_removeprefix(struct run *r, const struct value *self, const struct args *a,
                          struct value *out)
{
	return remove_end(r, self, a, false, out);
}

static int m_removesuffix(struct run *r, const struct value *self, const struct args *a,
                          struct value *out)
{
	return remove_end(r, self, a, true, out);
}

static int m_replace(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	const struct value *old = arg_get(a, 0, "old"), *new = arg_get(a, 1, "new");
	struct bytes t = self->text;
	int64_t count = -1;

	if (arg_whole(r, a, 2, "count", &count) || run_spend(r, t.n / 16))
		return -1;
	if (!old || !new || old->kind != V_STRING || new->kind != V_STRING)
		return run_fail(r, "replace: expected two strings");
	*out = value_text((struct bytes){ 0 });
	for (size_t at; count != 0 && (at = bytes_find(t, old->text, 0)) != SIZE_MAX; count--) {
		/* an empty text is found before each character and at the end */
		size_t n = old->text.n ? at : t.n ? chars_slice(t, 0, 1).n : 0;

		if (!old->text.n && value_join(r, out, new->text, out))
			return -1;
		if (value_join(r, out, (struct bytes){ t.p, n }, out))
			return -1;
		if (!old->text.n && !t.n)
			return 0;
		if (old->text.n && value_join(r, out, new->text, out))
			return -1;
		n += old->text.n;
		t = (struct bytes){ t.p + n, t.n - n };
	}
	return value_join(r, out, t, out);
}

static int found(struct run *r, const struct value *self, const struct args *a, bool right,
                 int64_t *out)
{
	struct bytes what = { 0 };
	size_t at;

	if (arg_text(r, a, 0, "sub", &what) || run_spend(r, self->text.n / 32))
		return -1;
	at = right ? rfind(self->text, what) : bytes_find(self->text, what, 0);
	*out = at == SIZE_MAX ? -1 : (int64_t)chars_count((struct bytes){ self->text.p, at });
	return 0;
}

static int m_find(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	int64_t at;

	if (found(r, self, a, false, &at))
		return -1;
	*out = value_int(at);
	return 0;
}

static int m_rfind(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	int64_t at;

	if (found(r, self, a, true, &at))
		return -1;
	*out = value_int(at);
	return 0;
}

static int m_count(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct bytes what = { 0 };
	int64_t n = 0;

	if (arg_text(r, a, 0, "sub", &what) || run_spend(r, self->text.n / 32))
		return -1;
	for (size_t at = 0; what.n && (at = bytes_find(self->text, what, at)) != SIZE_MAX;
	     at += what.n)
		n++;
	*out = value_int(what.n ? n : (int64_t)chars_count(self->text) + 1);
	return 0;
}

static int m_upper(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return chars_case(r, self->text, CASE_UPPER, out);
}

static int m_lower(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return chars_case(r, self->text, CASE_LOWER, out);
}

static int m_title(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	(void)a;
	return chars_case(r, self->text, CASE_TITLE, out);
}

static int m_capitalize(struct run *r, const struct value *self, const struct args *a,
                        struct value *out)
{
	(void)a;
	return chars_case(r, self->text, CASE_CAPITAL, out);
}

static int m_swapcase(struct run *r, const struct value *self, const struct args *a,
                      struct value *out)
{
	(void)a;
	return chars_case(r, self->text, CASE_SWAP, out);
}

static int m_join(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct value items;

	if (!a->n || value_items(r, &a->at[0], &items))
		return a->n ? -1 : run_fail(r, "join: expected a list");
	*out = value_text((struct bytes){ 0 });
	for (size_t i = 0; i < items.list->n; i++) {
		if (items.list->at[i].kind != V_STRING)
			return run_fail(r, "join: expected strings, found %s",
			                value_name(&items.list->at[i]));
		if ((i && value_join(r, out, self->text, out)) ||
		    value_join(r, out, items.list->at[i].text, out))
			return -1;
	}
	return 0;
}

/* Every character is of the categories from..to, and there is one. */
static int all_of(struct run *r, const struct value *self, utf8proc_category_t from,
                  utf8proc_category_t to, struct value *out)
{
	struct bytes t = self->text;
	bool all = t.n > 0;

	if (run_spend(r, t.n / 16))
		return -1;
	for (size_t at = 0; at < t.n && all;) {
		uint32_t cp = 0;
		int n = utf8_decode(&cp, t.p + at, t.n - at);
		utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

		all = n > 0 && c >= from && c <= to;
		at += n > 0 ? (size_t)n : 1;
	}
	*out = value_bool(all);
	return 0;
}

static int m_isdigit(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	(void)a;
	return all_of(r, self, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_ND, out);
}

static int m_isalpha(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	(void)a;
	return all_of(r, self, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO, out);
}

static int m_isspace(struct run *r, const struct value *self, const struct args *a,
                     struct value *out)
{
	(void)a;
	(void)r;
	*out = value_bool(self->text.n && !chars_strip(self->text, NULL, STRIP_LEFT).n);
	return 0;
}

static const struct function text_methods[] = {
	{ .name = "strip", .fn = m_strip },
	{ .name = "lstrip", .fn = m_lstrip },
	{ .name = "rstrip", .fn = m_rstrip },
	{ .name = "split", .fn = m_split },
	{ .name = "rsplit", .fn = m_rsplit },
	{ .name = "splitlines", .fn = m_splitlines },
	{ .name = "startswith", .fn = m_startswith },
	{ .name = "endswith", .fn = m_endswith },
	{ .name = "removeprefix", .fn = m_removeprefix },
	{ .name = "removesuffix", .fn = m_removesuffix },
	{ .name = "replace", .fn = m_replace },
	{ .name = "find", .fn = m_find },
	{ .name = "rfind", .fn = m_rfind },
	{ .name = "count", .fn = m_count },
	{ .name = "upper", .fn = m_upper },
	{ .name = "lower", .fn = m_lower },
	{ .name = "title", .fn = m_title },
	{ .name = "capitalize", .fn = m_capitalize },
	{ .name = "swapcase", .fn = m_swapcase },
	{ .name = "join", .fn = m_join },
	{ .name = "isdigit", .fn = m_isdigit },
	{ .name = "isnumeric", .fn = m_isdigit },
	{ .name = "isalpha", .fn = m_isalpha },
	{ .name = "isspace", .fn = m_isspace },
};

const struct function *jinja_text_method(struct bytes name)
{
	return function_find(text_methods, sizeof text_methods / sizeof *text_methods, name);
}
