/* SPDX-License-Identifier: MIT */
/* charset.c - sets of characters, as patterns write them */
#include "gen/charset.h"

#include <ctype.h>
#include <stdlib.h>

#include "gen/lang.h"

bool charset_add(struct charset *s, uint32_t lo, uint32_t hi)
{
	if (s->n == CHARSET_MAX)
		return false;
	s->range[s->n][0] = lo;
	s->range[s->n++][1] = hi;
	return true;
}

static int by_low(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return x[0] < y[0] ? -1 : x[0] > y[0];
}

void charset_tidy(struct charset *s)
{
	size_t n = 0;

	if (s->n > 1)
		qsort(s->range, s->n, sizeof *s->range, by_low);
	for (size_t i = 0; i < s->n; i++) {
		if (n && s->range[i][0] <= s->range[n - 1][1] + 1) {
			if (s->range[i][1] > s->range[n - 1][1])
				s->range[n - 1][1] = s->range[i][1];
		} else {
			s->range[n][0] = s->range[i][0];
			s->range[n++][1] = s->range[i][1];
		}
	}
	s->n = n;
}

bool charset_invert(struct charset *s)
{
	struct charset out = { .n = 0 };
	uint32_t at = 0;
	bool fits = true;

	charset_tidy(s);
	for (size_t i = 0; i < s->n; i++) {
		if (s->range[i][0] > at)
			fits &= charset_add(&out, at, s->range[i][0] - 1);
		at = s->range[i][1] + 1;
	}
	if (at <= CHAR_MAX_CP)
		fits &= charset_add(&out, at, CHAR_MAX_CP);
	*s = out;
	return fits;
}

bool charset_class(struct charset *s, int c)
{
	static const uint32_t digit[][2] = { { '0', '9' } };
	static const uint32_t word[][2] = {
		{ '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' }
	};
	static const uint32_t space[][2] = { { 9, 13 },          { 32, 32 },
		                             { 0xA0, 0xA0 },     { 0x1680, 0x1680 },
		                             { 0x2000, 0x200A }, { 0x2028, 0x2029 },
		                             { 0x202F, 0x202F }, { 0x205F, 0x205F },
		                             { 0x3000, 0x3000 }, { 0xFEFF, 0xFEFF } };
	static const struct {
		int name;
		const uint32_t (*range)[2];
		size_t n;
	} row[] = {
		{ 'd', digit, 1 },
		{ 'w', word, 4 },
		{ 's', space, 10 },
	};
	struct charset own = { .n = 0 };

	for (size_t i = 0; i < 3; i++) {
		if (tolower(c) != row[i].name)
			continue;
		for (size_t k = 0; k < row[i].n; k++)
			charset_add(&own, row[i].range[k][0], row[i].range[k][1]);
		if (isupper(c))
			charset_invert(&own);
		for (size_t k = 0; k < own.n; k++)
			if (!charset_add(s, own.range[k][0], own.range[k][1]))
				return false;
		return true;
	}
	return false;
}
