/* SPDX-License-Identifier: MIT */
/* num.c - checked sizes; text to numbers and back, in the C locale. */
#include "util/num.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool num_mul(size_t *out, size_t a, size_t b)
{
	size_t v;

	if (__builtin_mul_overflow(a, b, &v))
		return false;
	*out = v;
	return true;
}

bool num_add(size_t *out, size_t a, size_t b)
{
	size_t v;

	if (__builtin_add_overflow(a, b, &v))
		return false;
	*out = v;
	return true;
}

bool num_round_up(size_t *out, size_t a, size_t multiple)
{
	size_t rest = a % multiple;

	return num_add(out, a, rest ? multiple - rest : 0);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *text, at least one; leaves *text behind them. */
static bool digits(uint64_t *out, const char **text)
{
	const char *p = *text;
	uint64_t v = 0;

	for (; is_digit(*p); p++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	if (p == *text)
		return false;
	*text = p;
	*out = v;
	return true;
}

bool num_u64(uint64_t *out, const char *text)
{
	uint64_t v;

	if (!digits(&v, &text) || *text)
		return false;
	*out = v;
	return true;
}

bool num_i64(int64_t *out, const char *text)
{
	bool minus = *text == '-';
	uint64_t v;

	if (!num_u64(&v, text + minus) || v > (uint64_t)INT64_MAX + minus)
		return false;
	*out = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

bool num_size(size_t *out, const char *text)
{
	static const char units[] = "kKmMgGtT";
	const char *unit;
	uint64_t v;

	if (!digits(&v, &text) || v > SIZE_MAX)
		return false;
	if (!*text) {
		*out = (size_t)v;
		return true;
	}
	unit = strchr(units, *text);
	if (!unit || text[1])
		return false;
	return num_mul(out, (size_t)v, (size_t)1 << 10 * ((unit - units) / 2 + 1));
}

/* [+-] digits [. digits] [e [+-] digits], a digit before or after the point:
 * strtod() alone would take blanks, hexadecimal, "inf" and "nan". */
static bool is_decimal(const char *p)
{
	bool any = false;

	p += *p == '-' || *p == '+';
	for (; is_digit(*p); p++)
		any = true;
	if (*p == '.')
		for (p++; is_digit(*p); p++)
			any = true;
	if (!any)
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '-' || *p == '+';
		if (!is_digit(*p))
			return false;
		while (is_digit(*p))
			p++;
	}
	return !*p;
}

/* The C library keeps this one ready: making it allocates nothing. */
static locale_t c_locale(void)
{
	return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool num_f64(double *out, const char *text)
{
	locale_t c;
	double v;

	if (!is_decimal(text))
		return false;
	c = c_locale();
	v = strtod_l(text, NULL, c);
	freelocale(c);
	if (!isfinite(v))
		return false;
	*out = v;
	return true;
}

const char *num_text_f64(char out[32], double v)
{
	locale_t c = c_locale(), old = uselocale(c);

	snprintf(out, 32, "%.9g", v);
	uselocale(old);
	freelocale(c);
	return out;
}
