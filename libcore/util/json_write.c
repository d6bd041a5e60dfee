/* SPDX-License-Identifier: MIT */
/* json_write.c - strings, numbers and trees as JSON text.
 *
 * Laid out as Python's json.dumps(), so that a file rewritten by other
 * tools does not change in every line; text stays UTF-8. */
#include "util/json.h"
#include "util/num.h"
#include "util/utf8.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_escape(struct buf *b, unsigned char c)
{
	static const char bytes[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *at = c ? strchr(bytes, c) : NULL;

	if (at) {
		buf_add_byte(b, '\\');
		buf_add_byte(b, (unsigned char)names[at - bytes]);
	} else {
		buf_printf(b, "\\u%04x", c);
	}
}

int json_add_string(struct buf *b, struct bytes text)
{
	size_t run = 0, at = 0;

	buf_add_byte(b, '"');
	while (at < text.n) {
		unsigned char c = text.p[at];
		uint32_t cp;
		int len = utf8_decode(&cp, text.p + at, text.n - at);

		if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
			at += (size_t)len;
			continue;
		}
		buf_add(b, text.p + run, at - run);
		if (len > 0)
			add_escape(b, c);
		else
			buf_add_text(b, "\xef\xbf\xbd");
		run = ++at;
	}
	buf_add(b, text.p ? text.p + run : NULL, at - run);
	return buf_add_byte(b, '"');
}

int json_add_f64(struct buf *b, double v)
{
	char text[32];

	return buf_add_text(b, isfinite(v) ? num_text_f64(text, v) : "null");
}

/* What stood in the file, if it is still this number; else the shortest text
 * that reads back as the same. */
static void add_exact(struct buf *b, const char *was, double v)
{
	char text[40] = "null";
	double back;

	if (was && num_f64(&back, was) && back == v) {
		buf_add_text(b, was);
		return;
	}
	if (isfinite(v) && v == floor(v) && fabs(v) < 0x1p53) {
		snprintf(text, sizeof text, "%s%lld", v == 0 && signbit(v) ? "-" : "",
		         (long long)v);
	} else if (isfinite(v)) {
		locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old = uselocale(c);

		for (int digits = 15; digits <= 17; digits++) {
			snprintf(text, sizeof text, "%.*g", digits, v);
			if (num_f64(&back, text) && back == v)
				break;
		}
		uselocale(old);
		freelocale(c);
	}
	buf_add_text(b, text);
}

struct writer {
	struct buf *b;
	int indent;
	bool sort;
};

static int by_key(const void *a, const void *b)
{
	return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

static void new_line(const struct writer *w, int depth)
{
	buf_add_byte(w->b, '\n');
	for (int i = 0; i < w->indent * depth; i++)
		buf_add_byte(w->b, ' ');
}

static int add_value(const struct writer *w, const cJSON *v, int depth, struct err *e);

/* The members of an object or array, between brackets. */
static int add_members(const struct writer *w, const cJSON *v, int depth, struct err *e)
{
	bool object = cJSON_IsObject(v);
	size_t n = 0;
	struct arena a = { 0 };
	const cJSON **member;
	int rc = 0;

	member = arena_new(&a, (size_t)cJSON_GetArraySize(v), sizeof *member, e);
	if (!member)
		return -1;
	for (const cJSON *c = v->child; c; c = c->next)
		member[n++] = c;
	if (object && w->sort)
		qsort(member, n, sizeof *member, by_key);
	buf_add_byte(w->b, object ? '{' : '[');
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (i)
			buf_add_text(w->b, w->indent ? "," : ", ");
		if (w->indent)
			new_line(w, depth + 1);
		if (object) {
			json_add_string(w->b, bytes_of(member[i]->string));
			buf_add_text(w->b, ": ");
		}
		rc = add_value(w, member[i], depth + 1, e);
	}
	if (n && w->indent)
		new_line(w, depth);
	buf_add_byte(w->b, object ? '}' : ']');
	arena_release(&a);
	return rc;
}

static int add_value(const struct writer *w, const cJSON *v, int depth, struct err *e)
{
	if (depth > JSON_DEPTH)
		return err_set(e, ERR_INPUT, "JSON nested over %d deep", JSON_DEPTH);
	if (cJSON_IsObject(v) || cJSON_IsArray(v))
		return add_members(w, v, depth, e);
	if (cJSON_IsString(v))
		json_add_string(w->b, bytes_of(v->valuestring));
	else if (cJSON_IsNumber(v))
		add_exact(w->b, v->valuestring, v->valuedouble);
	else if (cJSON_IsRaw(v))
		buf_add_text(w->b, v->valuestring);
	else
		buf_add_text(w->b, cJSON_IsTrue(v) ? "true" : cJSON_IsFalse(v) ? "false" : "null");
	return 0;
}

int json_write(struct buf *b, const cJSON *v, int indent, bool sort, struct err *e)
{
	struct writer w = { b, indent, sort };

	return add_value(&w, v, 0, e) ? -1 : buf_check(b, e);
}
