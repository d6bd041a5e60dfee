/* SPDX-License-Identifier: MIT */
/* strings.c - strings in sorted order: those that begin alike lie together,
 * so a walk is a range that narrows with each byte. */
#include "text/strings.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *x, const void *y)
{
	const struct string *a = x, *b = y;
	size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
	int c = memcmp(a->text.p, b->text.p, n);

	if (c)
		return c;
	if (a->text.n != b->text.n)
		return a->text.n < b->text.n ? -1 : 1;
	return (a->value < b->value) - (a->value > b->value);
}

int strings_init(struct strings *s, const struct string *given, size_t n, struct arena *a,
                 struct err *e)
{
	memset(s, 0, sizeof *s);
	s->item = arena_new(a, n, sizeof *s->item, e);
	if (!s->item)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (given[i].text.n)
			s->item[s->n++] = given[i];
	if (s->n)
		qsort(s->item, s->n, sizeof *s->item, compare);
	n = s->n;
	s->n = 0;
	for (size_t i = 0; i < n; i++)
		if (!s->n || !bytes_equal(s->item[s->n - 1].text, s->item[i].text))
			s->item[s->n++] = s->item[i];
	for (size_t i = 0; i < s->n; i++)
		s->first[s->item[i].text.p[0] + 1] = (uint32_t)i + 1;
	for (size_t c = 0; c < 256; c++)
		if (s->first[c + 1] < s->first[c])
			s->first[c + 1] = s->first[c];
	return 0;
}

void strings_begin(struct strings_walk *w, const struct strings *s)
{
	*w = (struct strings_walk){ .s = s, .high = (uint32_t)s->n, .value = -1 };
}

/* The first item of low .. high whose byte at `depth` is not below `byte`. */
static uint32_t bound(const struct strings_walk *w, uint32_t low, unsigned byte)
{
	uint32_t high = w->high, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (w->s->item[mid].text.p[w->depth] < byte)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool strings_step(struct strings_walk *w, unsigned char byte)
{
	const struct string *item;

	if (w->depth == 0) {
		w->low = w->s->first[byte];
		w->high = w->s->first[byte + 1];
	} else {
		/* the string that ended here goes on with no byte */
		if (w->low < w->high && w->s->item[w->low].text.n == w->depth)
			w->low++;
		w->low = bound(w, w->low, byte);
		w->high = bound(w, w->low, byte + 1u);
	}
	w->depth++;
	w->value = -1;
	if (w->low == w->high)
		return false;
	item = &w->s->item[w->low];
	if (item->text.n == w->depth)
		w->value = item->value;
	return true;
}

size_t strings_longest(const struct strings *s, struct bytes text, int32_t *value)
{
	struct strings_walk w;
	size_t n = 0;

	strings_begin(&w, s);
	for (size_t i = 0; i < text.n && strings_step(&w, text.p[i]); i++)
		if (w.value >= 0) {
			n = i + 1;
			*value = w.value;
		}
	return n;
}
