/* SPDX-License-Identifier: MIT */
/* schema_nothing.c - do schemas exclude each other? Said only where it is
 * sure. */
#include "gen/schema.h"

enum { DEEP = 6 };

static int no_members(struct schema *s, const struct form *h)
{
	if (h->min_members > h->max_members)
		return 1;
	for (size_t i = 0; i < h->n_properties; i++) {
		int nothing = h->property[i].required ?
		                      schema_nothing(s, &h->property[i].value, NULL) :
		                      0;

		if (nothing)
			return nothing;
	}
	return 0;
}

static int no_items(struct schema *s, const struct form *h)
{
	if (h->min_items > h->max_items)
		return 1;
	for (size_t i = 0; i < h->n_first && i < h->min_items; i++) {
		int nothing = schema_nothing(s, &h->first[i], NULL);

		if (nothing)
			return nothing;
	}
	return h->min_items > h->n_first ? schema_nothing(s, &h->rest, NULL) : 0;
}

static int no_value(struct schema *s, const struct form *h)
{
	struct lang l;
	int nothing;

	if (h->listed)
		return !h->n_values;
	if (h->types & (T_NULL | T_BOOL))
		return 0;
	if ((h->types & T_STRING) && (!h->is_text || h->text.n))
		return 0;
	if (h->types & T_NUMBER) {
		if (number_lang(&l, h, &s->m, s->e))
			return -1;
		if (l.n)
			return 0;
	}
	if ((h->types & T_ARRAY) && (nothing = no_items(s, h)) != 1)
		return nothing;
	return h->types & T_OBJECT ? no_members(s, h) : 1;
}

int schema_nothing(struct schema *s, const struct all *all, const struct all *with)
{
	struct ways ways;
	int nothing = 1;

	if (s->deep >= DEEP)
		return 0;
	s->deep++;
	if (schema_step(s) || schema_ways(s, all, &ways))
		nothing = -1;
	for (size_t i = 0; nothing == 1 && i < ways.n; i++) {
		struct all both = ways.way[i];
		struct form h;

		for (size_t k = 0; with && k < with->n && nothing == 1; k++)
			if (all_add(s, &both, with->of[k]))
				nothing = -1;
		if (nothing == 1)
			nothing = schema_form(s, &both, &h) ? -1 : no_value(s, &h);
	}
	s->deep--;
	return nothing;
}
