/* SPDX-License-Identifier: MIT */
/* schema_number.c - numbers within bounds, as the strings that spell them
 *
 * A bound is compared digit by digit, so the set of spellings is regular:
 * longer than the bound, or like it up to a digit that decides. Exponents
 * are left out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen/maker.h"
#include "gen/schema.h"

enum { DIGITS = 64 };

/* A bound's digits before and after the point; neither has any to spare. */
struct decimal {
	char whole[DIGITS + 1], part[400];
};

static void decimal(struct decimal *d, double v)
{
	char text[64], digits[32];
	size_t n = 0, w = 0, p = 0;
	int exponent, precision = 0;

	do
		snprintf(text, sizeof text, "%.*e", precision, v);
	while (strtod(text, NULL) != v && ++precision < 18);
	exponent = atoi(strchr(text, 'e') + 1);
	for (const char *c = text; *c != 'e'; c++)
		if (*c != '.')
			digits[n++] = *c;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	for (int i = 0; i <= exponent && w < DIGITS; i++)
		d->whole[w++] = (size_t)i < n ? digits[i] : '0';
	if (!w)
		d->whole[w++] = '0';
	d->whole[w] = 0;
	for (int i = exponent < -1 ? exponent + 1 : 0; i < 0; i++)
		d->part[p++] = '0';
	for (int i = exponent < 0 ? 0 : exponent + 1; i < (int)n; i++)
		d->part[p++] = digits[i];
	if (p == 1 && d->part[0] == '0')
		p = 0;
	d->part[p] = 0;
}

#define FRACTION "(\\.[0-9]{1,64})?"

/* No less than d, or more where `open`; d and what is spelled not negative. */
static void at_least(struct buf *b, const struct decimal *d, bool open)
{
	int n = (int)strlen(d->whole), k = (int)strlen(d->part);
	const char *more = "0{0,63}[1-9][0-9]{0,63}";

	buf_printf(b, "(");
	if (n < DIGITS)
		buf_printf(b, "[1-9][0-9]{%d,%d}" FRACTION "|", n, DIGITS - 1);
	for (int i = 0; i < n; i++)
		if (d->whole[i] < '9')
			buf_printf(b, "%.*s[%c-9][0-9]{%d}" FRACTION "|", i, d->whole,
			           d->whole[i] + 1, n - i - 1);
	buf_printf(b, "%s", d->whole);
	if (!k) {
		if (open)
			buf_printf(b, "\\.%s)", more);
		else
			buf_printf(b, FRACTION ")");
		return;
	}
	buf_printf(b, "\\.(");
	for (int i = 0; i < k; i++)
		if (d->part[i] < '9')
			buf_printf(b, "%.*s[%c-9][0-9]{0,63}|", i, d->part, d->part[i] + 1);
	buf_printf(b, "%s%s))", d->part, open ? more : "[0-9]{0,63}");
}

/* No more than d, or less where `open`. */
static void at_most(struct buf *b, const struct decimal *d, bool open)
{
	int n = (int)strlen(d->whole), k = (int)strlen(d->part);

	buf_printf(b, "(");
	if (n > 1)
		buf_printf(b, "(0|[1-9][0-9]{0,%d})" FRACTION "|", n - 2);
	for (int i = 0; i < n; i++) {
		char least = i == 0 && n > 1 ? '1' : '0';

		if (d->whole[i] > least)
			buf_printf(b, "%.*s[%c-%c][0-9]{%d}" FRACTION "|", i, d->whole, least,
			           d->whole[i] - 1, n - i - 1);
	}
	for (int i = 0; i < k; i++) {
		if (d->part[i] > '0')
			buf_printf(b, "%s\\.%.*s[0-%c][0-9]{0,63}|", d->whole, i, d->part,
			           d->part[i] - 1);
		if (i)
			buf_printf(b, "%s\\.%.*s|", d->whole, i, d->part);
	}
	if (k)
		buf_printf(b, "%s|", d->whole);
	if (open)
		buf_printf(b, "[^\\s\\S])"); /* nothing more */
	else
		buf_printf(b, k ? "%s\\.%s0{0,60})" : "%s(\\.%s0{1,60})?)", d->whole, d->part);
}

static int within(struct lang *l, struct buf *b, struct arena *m, struct err *e)
{
	struct lang one;
	int rc = buf_check(b, e);

	if (rc == 0)
		rc = lang_pattern_whole(&one, (const char *)b->p, m, e) ||
		                     lang_and(l, l, &one, m, e) ?
		             -1 :
		             0;
	buf_clear(b);
	return rc;
}

static int bound_low(struct lang *l, struct bound v, struct buf *b, struct arena *m, struct err *e)
{
	struct decimal d;

	if (v.at <= -1e63)
		return 0;
	if (v.at >= 1e63)
		return *l = (struct lang){ NULL, 0 }, 0;
	decimal(&d, fabs(v.at));
	if (v.at < 0) {
		buf_printf(b, "([0-9.]*|-");
		at_most(b, &d, v.open);
		buf_printf(b, ")");
	} else {
		at_least(b, &d, v.open);
	}
	return within(l, b, m, e);
}

static int bound_high(struct lang *l, struct bound v, struct buf *b, struct arena *m, struct err *e)
{
	const struct decimal zero = { "0", "" };
	struct decimal d;

	if (v.at >= 1e63)
		return 0;
	if (v.at <= -1e63)
		return *l = (struct lang){ NULL, 0 }, 0;
	decimal(&d, fabs(v.at));
	buf_printf(b, "(-");
	at_least(b, v.at < 0 ? &d : &zero, v.at < 0 ? v.open : v.at == 0 && v.open);
	if (v.at >= 0) {
		buf_printf(b, "|");
		at_most(b, &d, v.open);
	}
	buf_printf(b, ")");
	return within(l, b, m, e);
}

/* Whole numbers that m divides: a state for each remainder. */
static int multiples(struct lang *out, uint32_t of, struct arena *m, struct err *e)
{
	enum { BEGIN, SIGNED, ZERO, FIRST };
	struct maker k = { .m = m };
	uint32_t state;
	int rc = 0;

	for (uint32_t i = 0; i < FIRST + of && rc == 0; i++)
		rc = maker_state(&k, &state, e);
	for (uint32_t i = 0; i < FIRST + of && rc == 0; i++) {
		if (i == BEGIN)
			rc = maker_edge(&k, '-', '-', SIGNED, e);
		for (uint32_t c = 0; c < 10 && i != ZERO && rc == 0; c++)
			rc = maker_edge(&k, '0' + c, '0' + c,
			                i >= FIRST ? FIRST + ((i - FIRST) * 10 + c) % of :
			                c          ? FIRST + c % of :
			                             (uint32_t)ZERO,
			                e);
		if (rc == 0)
			rc = maker_end(&k, i, i == ZERO || i == FIRST, e);
	}
	if (rc == 0)
		rc = maker_trim(out, &k, e);
	free(k.edge);
	return rc;
}

/* But for those that are whole, however they are spelled. */
static int no_whole(struct lang *l, struct arena *m, struct err *e)
{
	struct lang f;

	return lang_pattern_whole(&f, "-?[0-9]+\\.[0-9]*[1-9][0-9]*", m, e) ||
	                       lang_and(l, l, &f, m, e) ?
	               -1 :
	               0;
}

/* But for one number, however it is spelled. */
static int no_number(struct lang *l, double v, struct buf *b, struct arena *m, struct err *e)
{
	struct decimal d;
	struct lang f;

	if (fabs(v) >= 1e63)
		return 0; /* none so long is made */
	decimal(&d, fabs(v));
	buf_clear(b);
	buf_printf(b, "%s%s", v < 0 ? "-" : v == 0 ? "-?" : "", d.whole);
	if (d.part[0])
		buf_printf(b, "\\.%s0*", d.part);
	else
		buf_printf(b, "(\\.0*)?");
	return buf_check(b, e) || lang_pattern_whole(&f, (const char *)b->p, m, e) ||
	                       lang_not(&f, &f, m, e) || lang_and(l, l, &f, m, e) ?
	               -1 :
	               0;
}

int number_lang(struct lang *out, const struct form *h, struct arena *m, struct err *e)
{
	struct buf b = { .ceiling = 1 << 20 };
	struct lang l;
	int rc;

	buf_printf(&b, "-?(0|[1-9][0-9]{0,%d})", DIGITS - 1);
	if ((h->types & T_FRACTION) && h->digits != 1)
		buf_printf(&b, "(\\.[0-9]{1,%u})?", h->digits ? h->digits - 1 : DIGITS);
	rc = buf_check(&b, e) ? -1 : lang_pattern_whole(out, (const char *)b.p, m, e);
	buf_clear(&b);
	if (rc == 0 && h->low.set)
		rc = bound_low(out, h->low, &b, m, e);
	if (rc == 0 && h->high.set)
		rc = bound_high(out, h->high, &b, m, e);
	if (rc == 0 && h->multiple)
		rc = multiples(&l, h->multiple, m, e) || lang_and(out, out, &l, m, e) ? -1 : 0;
	if (rc == 0 && !(h->types & T_WHOLE))
		rc = no_whole(out, m, e);
	for (size_t i = 0; rc == 0 && i < h->n_without; i++)
		rc = no_number(out, h->without[i], &b, m, e);
	buf_release(&b);
	return rc;
}
