/* SPDX-License-Identifier: MIT */
/* jinja_json.c - tojson as Hugging Face has it: Python's json.dumps(), text
 * left as UTF-8, nothing escaped for HTML. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"
#include "util/utf8.h"

struct dump {
	struct run *r;
	struct buf *b;
	struct bytes comma, colon;
	struct bytes indent; /* of a level; p NULL: all on one line */
	bool ascii, sort;
};

static void add_ascii(struct buf *b, uint32_t cp)
{
	if (cp >= 0x10000) {
		cp -= 0x10000;
		buf_printf(b, "\\u%04x\\u%04x", 0xd800 + (cp >> 10), 0xdc00 + (cp & 0x3ff));
	} else {
		buf_printf(b, "\\u%04x", cp);
	}
}

static void add_text(const struct dump *d, struct bytes t)
{
	if (!d->ascii) {
		json_add_string(d->b, t);
		return;
	}
	buf_add_byte(d->b, '"');
	for (size_t at = 0; at < t.n;) {
		uint32_t cp;
		int n = utf8_decode(&cp, t.p + at, t.n - at);
		const char *known = cp && cp < 128 ? strchr("\"\\\b\f\n\r\t", (int)cp) : NULL;

		if (n < 1)
			break;
		if (known)
			buf_printf(d->b, "\\%c",
			           "\"\\bfnrt"[cp == '"'  ? 0 :
			                       cp == '\\' ? 1 :
			                       cp == '\b' ? 2 :
			                       cp == '\f' ? 3 :
			                       cp == '\n' ? 4 :
			                       cp == '\r' ? 5 :
			                                    6]);
		else if (cp >= 0x20 && cp < 0x7f)
			buf_add_byte(d->b, (unsigned char)cp);
		else
			add_ascii(d->b, cp);
		at += (size_t)n;
	}
	buf_add_byte(d->b, '"');
}

static void new_line(const struct dump *d, unsigned level)
{
	if (!d->indent.p)
		return;
	buf_add_byte(d->b, '\n');
	for (unsigned i = 0; i < level; i++)
		buf_add(d->b, d->indent.p, d->indent.n);
}

static int add_number(const struct dump *d, const struct value *v)
{
	char text[48];

	if (v->kind == V_INT)
		return buf_printf(d->b, "%lld", (long long)v->i);
	if (!isfinite(v->f))
		return buf_add_text(d->b, isnan(v->f) ? "NaN" :
		                          v->f > 0    ? "Infinity" :
		                                        "-Infinity");
	return buf_add_text(d->b, v->as ? v->as : value_float_text(text, v->f));
}

static int add_value(const struct dump *d, const struct value *v, unsigned level);

static int add_key(const struct dump *d, const struct value *k)
{
	if (k->kind == V_STRING) {
		add_text(d, k->text);
		return 0;
	}
	if (k->kind == V_LIST)
		return run_fail(d->r, "tojson: a tuple is no key");
	buf_add_byte(d->b, '"');
	if (add_value(d, k, 0))
		return -1;
	buf_add_byte(d->b, '"');
	return 0;
}

static int by_key(const void *a, const void *b)
{
	struct bytes x = (*(const struct pair *const *)a)->key.text;
	struct bytes y = (*(const struct pair *const *)b)->key.text;
	int c = x.n && y.n ? memcmp(x.p, y.p, x.n < y.n ? x.n : y.n) : 0;

	return c ? c : (x.n > y.n) - (x.n < y.n);
}

static int add_dict(const struct dump *d, const struct dict *o, unsigned level)
{
	const struct pair **at = run_new(d->r, o->n + 1, sizeof *at);

	if (!at)
		return -1;
	for (size_t i = 0; i < o->n; i++) {
		at[i] = &o->at[i];
		if (d->sort && o->at[i].key.kind != V_STRING)
			return run_fail(d->r, "tojson: keys that have no order");
	}
	if (d->sort && o->n)
		qsort(at, o->n, sizeof *at, by_key);
	buf_add_byte(d->b, '{');
	for (size_t i = 0; i < o->n; i++) {
		if (i)
			buf_add(d->b, d->comma.p, d->comma.n);
		new_line(d, level + 1);
		if (add_key(d, &at[i]->key))
			return -1;
		buf_add(d->b, d->colon.p, d->colon.n);
		if (add_value(d, &at[i]->value, level + 1))
			return -1;
	}
	if (o->n)
		new_line(d, level);
	return buf_add_byte(d->b, '}');
}

static int add_list(const struct dump *d, const struct list *l, unsigned level)
{
	buf_add_byte(d->b, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_add(d->b, d->comma.p, d->comma.n);
		new_line(d, level + 1);
		if (add_value(d, &l->at[i], level + 1))
			return -1;
	}
	if (l->n)
		new_line(d, level);
	return buf_add_byte(d->b, ']');
}

static int add_value(const struct dump *d, const struct value *v, unsigned level)
{
	int rc = 0;

	if (run_spend(d->r, 1 + (v->kind == V_STRING ? v->text.n / 16 : 0)))
		return -1;
	if (d->r->depth >= JINJA_DEEP)
		return run_fail(d->r, "nested over %d deep", JINJA_DEEP);
	d->r->depth++;
	if (v->kind == V_STRING)
		add_text(d, v->text);
	else if (v->kind == V_INT || v->kind == V_FLOAT)
		add_number(d, v);
	else if (v->kind == V_BOOL)
		buf_add_text(d->b, v->truth ? "true" : "false");
	else if (v->kind == V_NONE)
		buf_add_text(d->b, "null");
	else if (v->kind == V_DICT)
		rc = add_dict(d, v->dict, level);
	else if (v->kind == V_LIST && v->form != LIST_LAZY)
		rc = add_list(d, v->list, level);
	else
		rc = run_fail(d->r, "tojson: %s has no JSON", value_name(v));
	d->r->depth--;
	return rc ? -1 : buf_check(d->b, d->r->e);
}

static int set_layout(struct dump *d, const struct args *a, char spaces[64])
{
	const struct value *indent = arg_get(a, 1, "indent"), *sep = arg_get(a, 2, "separators");

	d->comma = bytes_of(", ");
	d->colon = bytes_of(": ");
	if (indent && indent->kind == V_STRING) {
		d->indent = indent->text;
	} else if (indent && (indent->kind == V_INT || indent->kind == V_BOOL)) {
		int64_t n = indent->kind == V_INT ? indent->i : indent->truth;

		if (n > 63)
			return run_fail(d->r, "tojson: indent: expected 0 to 63, found %lld",
			                (long long)n);
		memset(spaces, ' ', 64);
		d->indent = (struct bytes){ (const unsigned char *)spaces, n > 0 ? (size_t)n : 0 };
	}
	if (d->indent.p)
		d->comma = bytes_of(",");
	if (!sep || sep->kind == V_NONE)
		return 0;
	if (sep->kind != V_LIST || sep->list->n != 2 || sep->list->at[0].kind != V_STRING ||
	    sep->list->at[1].kind != V_STRING)
		return run_fail(d->r, "tojson: separators: expected two strings");
	d->comma = sep->list->at[0].text;
	d->colon = sep->list->at[1].text;
	return 0;
}

int jinja_tojson(struct run *r, const struct value *self, const struct args *a, struct value *out)
{
	struct buf b = { .ceiling = r->fuel < SIZE_MAX / 64 ? 64 * r->fuel + 64 : 0 };
	struct dump d = { .r = r, .b = &b };
	char spaces[64];
	int rc;

	d.ascii = arg_true(a, 0, "ensure_ascii");
	d.sort = arg_true(a, 3, "sort_keys");
	rc = set_layout(&d, a, spaces) || add_value(&d, self, 0) ||
	     value_copy_text(r, buf_bytes(&b), out);
	buf_release(&b);
	return rc ? -1 : 0;
}
