/* SPDX-License-Identifier: MIT */
/* jinja_text.c - values as text: str(), repr(), JSON and "%". */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/jinja.h"
#include "util/num.h"
#include "util/utf8.h"

/* As Python: the shortest digits that read back the same. */
const char *value_float_text(char out[48], double f)
{
	locale_t c, old;
	char digits[40];
	int exponent;
	double back;

	if (!isfinite(f))
		return isnan(f) ? "nan" : f > 0 ? "inf" : "-inf";
	c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	old = uselocale(c);
	for (int n = 0; n <= 16; n++) {
		snprintf(digits, sizeof digits, "%.*e", n, f);
		back = strtod(digits, NULL);
		if (back != f)
			continue;
		exponent = atoi(strchr(digits, 'e') + 1);
		if (exponent >= 16 || exponent < -4)
			snprintf(out, 48, "%s", digits);
		else
			snprintf(out, 48, "%.*f", n > exponent + 1 ? n - exponent : 1, f);
		break;
	}
	uselocale(old);
	freelocale(c);
	return out;
}

static bool shown_as_is(uint32_t cp)
{
	utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

	return cp == ' ' || !(c == UTF8PROC_CATEGORY_CN || c >= UTF8PROC_CATEGORY_ZS);
}

static void repr_text(struct bytes t, struct buf *out)
{
	bool single = t.n && memchr(t.p, '\'', t.n) && !memchr(t.p, '"', t.n);
	unsigned char quote = single ? '"' : '\'';

	buf_add_byte(out, quote);
	for (size_t at = 0; at < t.n;) {
		uint32_t cp;
		int n = utf8_decode(&cp, t.p + at, t.n - at);
		const char *known = cp && cp < 128 ? strchr("\n\r\t\\", (int)cp) : NULL;

		if (n < 1)
			break;
		if (known)
			buf_printf(out, "\\%c",
			           "nrt\\"[strchr("\n\r\t\\", (int)cp) - strchr("\n\r\t\\", '\n')]);
		else if (cp == quote)
			buf_printf(out, "\\%c", quote);
		else if (shown_as_is(cp))
			buf_add(out, t.p + at, (size_t)n);
		else
			buf_printf(out,
			           cp < 256   ? "\\x%02x" :
			           cp < 65536 ? "\\u%04x" :
			                        "\\U%08x",
			           cp);
		at += (size_t)n;
	}
	buf_add_byte(out, quote);
}

static int repr_list(struct run *r, const struct value *v, struct buf *out)
{
	bool tuple = v->form == LIST_TUPLE;

	buf_add_byte(out, tuple ? '(' : '[');
	for (size_t i = 0; i < v->list->n; i++) {
		buf_add_text(out, i ? ", " : "");
		if (value_repr(r, &v->list->at[i], out))
			return -1;
	}
	buf_add_text(out, tuple ? (v->list->n == 1 ? ",)" : ")") : "]");
	return 0;
}

static int repr_dict(struct run *r, const struct value *v, struct buf *out)
{
	buf_add_text(out, v->kind == V_SPACE ? "<Namespace {" : "{");
	for (size_t i = 0; i < v->dict->n; i++) {
		buf_add_text(out, i ? ", " : "");
		if (value_repr(r, &v->dict->at[i].key, out))
			return -1;
		buf_add_text(out, ": ");
		if (value_repr(r, &v->dict->at[i].value, out))
			return -1;
	}
	buf_add_text(out, v->kind == V_SPACE ? "}>" : "}");
	return 0;
}

int value_repr(struct run *r, const struct value *v, struct buf *out)
{
	char text[48];
	int rc = 0;

	if (run_spend(r, 1))
		return -1;
	if (r->depth >= JINJA_DEEP)
		return run_fail(r, "nested over %d deep", JINJA_DEEP);
	r->depth++;
	if (v->kind == V_STRING)
		repr_text(v->text, out);
	else if (v->kind == V_LIST)
		rc = repr_list(r, v, out);
	else if (v->kind == V_DICT || v->kind == V_SPACE)
		rc = repr_dict(r, v, out);
	else if (v->kind == V_BOOL)
		buf_add_text(out, v->truth ? "True" : "False");
	else if (v->kind == V_INT)
		buf_printf(out, "%lld", (long long)v->i);
	else if (v->kind == V_FLOAT)
		buf_add_text(out, v->as ? v->as : value_float_text(text, v->f));
	else
		buf_printf(out,
		           v->kind == V_NONE      ? "None" :
		           v->kind == V_UNDEFINED ? "Undefined" :
		                                    "<%s>",
		           value_name(v));
	r->depth--;
	return rc ? rc : buf_check(out, r->e);
}

int value_show(struct run *r, const struct value *v, struct bytes *out)
{
	struct buf b = { .ceiling = r->fuel < SIZE_MAX / 64 ? 64 * r->fuel + 64 : 0 };
	struct value copy;
	int rc;

	if (v->kind == V_STRING || v->kind == V_UNDEFINED) {
		*out = v->kind == V_STRING ? v->text : (struct bytes){ 0 };
		return 0;
	}
	rc = value_repr(r, v, &b) || value_copy_text(r, buf_bytes(&b), &copy) ? -1 : 0;
	buf_release(&b);
	if (rc == 0)
		*out = copy.text;
	return rc;
}

/* ---- "%" */

struct percent {
	char flags[8];
	int width, digits; /* -1: none */
};

static int one_percent(struct run *r, const struct percent *f, char kind, const struct value *v,
                       struct buf *out)
{
	char text[512], pattern[32];
	struct bytes shown;
	struct buf repr = { 0 };
	int rc = 0, width = f->width < 0 ? 0 : f->width;

	snprintf(pattern, sizeof pattern, strchr("sr", kind) ? "%%%s*" : "%%%s*.*%s", f->flags,
	         strchr("dixXo", kind) ? "lld" : "f");
	if (strchr("dixXo", kind) && value_is_number(v) && !(fabs(value_f64(v)) < 0x1p63))
		return run_fail(r, "%%%c: an integer past 64 bits", kind);
	if (strchr("dixXo", kind) && value_is_number(v)) {
		pattern[strlen(pattern) - 1] = kind;
		snprintf(text, sizeof text, pattern, width, f->digits,
		         v->kind == V_INT ? (long long)v->i : (long long)value_f64(v));
		return buf_add_text(out, text);
	}
	if (strchr("feEgG", kind) && value_is_number(v)) {
		pattern[strlen(pattern) - 1] = kind;
		snprintf(text, sizeof text, pattern, width, f->digits < 0 ? 6 : f->digits,
		         value_f64(v));
		return buf_add_text(out, text);
	}
	if (!strchr("sr", kind))
		return run_fail(r, "%%%c: expected a number, found %s", kind, value_name(v));
	if (kind == 'r')
		rc = value_repr(r, v, &repr);
	else
		rc = value_show(r, v, &shown);
	if (kind == 'r')
		shown = buf_bytes(&repr);
	if (rc == 0 && f->digits >= 0)
		shown = chars_slice(shown, 0, (size_t)f->digits);
	size_t pad = rc == 0 && chars_count(shown) < (size_t)width ?
	                     (size_t)width - chars_count(shown) :
	                     0;

	for (size_t i = 0; i < pad && !strchr(f->flags, '-'); i++)
		buf_add_byte(out, ' ');
	if (rc == 0)
		buf_add(out, shown.p, shown.n);
	for (size_t i = 0; i < pad && strchr(f->flags, '-'); i++)
		buf_add_byte(out, ' ');
	buf_release(&repr);
	return rc;
}

static int count_of(struct bytes t, size_t *at)
{
	int n = -1;

	for (; *at < t.n && t.p[*at] >= '0' && t.p[*at] <= '9'; ++*at)
		n = (n < 0 ? 0 : n) * 10 + (t.p[*at] - '0') > 99 ?
		            99 :
		            (n < 0 ? 0 : n) * 10 + (t.p[*at] - '0');
	return n;
}

static int fill_in(struct run *r, struct bytes t, const struct args *a, struct buf *out)
{
	size_t used = 0;

	for (size_t at = 0; at < t.n; at++) {
		struct percent f = { .width = -1, .digits = -1 };
		size_t n = 0;

		if (t.p[at] != '%') {
			buf_add_byte(out, t.p[at]);
			continue;
		}
		for (at++; at < t.n && t.p[at] && strchr("-+ 0#", t.p[at]) && n < 5; at++)
			f.flags[n++] = (char)t.p[at];
		f.width = count_of(t, &at);
		if (at < t.n && t.p[at] == '.') {
			at++;
			f.digits = count_of(t, &at);
			f.digits = f.digits < 0 ? 0 : f.digits;
		}
		if (at < t.n && t.p[at] == '%') {
			buf_add_byte(out, '%');
			continue;
		}
		if (at == t.n || !t.p[at] || !strchr("srdixXofeEgG", t.p[at]))
			return run_fail(r, "a format that is not known");
		if (used == a->n)
			return run_fail(r, "fewer values than the format has places");
		if (run_spend(r, 1) || one_percent(r, &f, (char)t.p[at], &a->at[used++], out))
			return -1;
	}
	return used < a->n ? run_fail(r, "more values than the format has places") : 0;
}

int jinja_percent(struct run *r, struct bytes format, const struct args *a, struct value *out)
{
	struct buf b = { .ceiling = 1 << 26 };
	int rc = fill_in(r, format, a, &b) || buf_check(&b, r->e) ||
	         value_copy_text(r, buf_bytes(&b), out);

	buf_release(&b);
	return rc ? -1 : 0;
}
