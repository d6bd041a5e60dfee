/* SPDX-License-Identifier: MIT */
/* schema_array.c - arrays as nodes of a grammar's graph
 *
 * A node for each place, and for how many items of each kind that contains
 * asks for have been: made backwards, from how many there may be at most. Of
 * arrays whose items differ, a node for each set of values that have been. */
#include "gen/schema.h"

enum { UNIQUE_MAX = 10, NODES_MAX = GRAMMAR_STATES / 8 };

struct array {
	struct schema *s;
	const struct form *h;
	bool open;                      /* any number may come after the last place */
	size_t places, total;           /* places; counts of each */
	size_t radix[SCHEMA_CONTAINS];
	uint32_t *at;                   /* [(places + 1) * total] */
	uint32_t close, end;            /* the bracket; with space before it */
};

static bool exact(const struct counted *k)
{
	return k->max != SIZE_MAX;
}

/* May it end at this place, with these counts? */
static uint32_t may_close(const struct array *a, size_t place, size_t counts)
{
	if (place < a->h->min_items)
		return GRAPH_NONE;
	for (size_t k = 0; k < a->h->n_contains; k++) {
		if (counts % a->radix[k] < a->h->contains[k].min)
			return GRAPH_NONE;
		counts /= a->radix[k];
	}
	return place ? a->end : a->close;
}

/* Where the counts are after an item of the kinds in `bits`; false: nowhere,
 * or by another set of kinds just as well. */
static bool after(const struct array *a, size_t counts, unsigned bits, size_t *out)
{
	size_t unit = 1, left = counts;

	*out = counts;
	for (size_t k = 0; k < a->h->n_contains; k++) {
		size_t n = left % a->radix[k];

		if (bits >> k & 1) {
			if (n + 1 == a->radix[k])
				return false;
			*out += unit;
		}
		left /= a->radix[k];
		unit *= a->radix[k];
	}
	return true;
}

/* The rule of an item at the place that is of these kinds. */
static int item(struct array *a, size_t place, unsigned bits, uint32_t *rule)
{
	const struct form *h = a->h;
	struct all all = place < h->n_first ? h->first[place] : h->rest;

	for (size_t k = 0; k < h->n_contains; k++) {
		const cJSON *how = bits >> k & 1            ? h->contains[k].yes :
		                   exact(&h->contains[k]) ? h->contains[k].no :
		                                            NULL;

		if (how && all_add(a->s, &all, how))
			return -1;
	}
	return schema_rule(a->s, &all, rule);
}

static int emit_place(struct array *a, size_t place, size_t counts)
{
	struct grammar *g = a->s->g;
	uint32_t *at = &a->at[place * a->total + counts], way = GRAPH_NONE, rule, one;
	bool last = place == a->places;

	*at = last && a->open ? graph_loop(g) : GRAPH_NONE;
	for (unsigned bits = 0; (!last || a->open) && bits < 1u << a->h->n_contains; bits++) {
		size_t then;

		if (!after(a, counts, bits, &then))
			continue;
		one = a->at[(last ? place : place + 1) * a->total + then];
		if (one == GRAPH_NONE)
			continue;
		if (item(a, place, bits, &rule))
			return -1;
		one = graph_call(g, rule, one);
		way = graph_or(g, way,
		               place ? graph_bytes(g, ',', ',', json_space(g, one)) : one);
	}
	if (last && a->open)
		graph_loop_set(g, *at, way, may_close(a, place, counts));
	else
		*at = graph_or(g, way, may_close(a, place, counts));
	return g->failed ? -1 : 0;
}

/* ---- arrays whose items differ */

/* The values that all of these have, where they are few; -1: refused. */
static int list_values(struct schema *s, const struct all *all, const cJSON *node,
                       const cJSON **value, size_t *n)
{
	struct ways ways;
	struct form h;

	if (schema_ways(s, all, &ways))
		return -1;
	*n = 0;
	for (size_t i = 0; i < ways.n; i++) {
		if (schema_form(s, &ways.way[i], &h) || form_listed(s, &h))
			return -1;
		if (!h.listed)
			return schema_refuse(s, node, "uniqueItems",
			                     "expected items of at most %d values, found more",
			                     UNIQUE_MAX);
		for (size_t k = 0; k < h.n_values; k++) {
			size_t had = 0;

			while (had < *n && !schema_equal(value[had], h.value[k]))
				had++;
			if (had == UNIQUE_MAX)
				return schema_refuse(s, node, "uniqueItems",
				                     "expected items of at most %d values, "
				                     "found more", UNIQUE_MAX);
			if (had == *n)
				value[(*n)++] = h.value[k];
		}
	}
	return 0;
}

struct unique {
	const cJSON *value[UNIQUE_MAX + 1];
	struct buf text[UNIQUE_MAX];
	size_t n;
	unsigned *may;             /* [n_first + 1] of the values, at each place */
};

/* The values of all the places together, and which may be where. */
static int unique_values(struct array *a, const cJSON *node, struct unique *u)
{
	const struct form *h = a->h;
	size_t places = h->n_first < UNIQUE_MAX ? h->n_first : UNIQUE_MAX;

	for (size_t i = 0; i <= places; i++) {
		const cJSON *value[UNIQUE_MAX + 1];
		size_t n;

		u->may[i] = 0;
		if (i == h->max_items)
			break;
		if (list_values(a->s, i < h->n_first ? &h->first[i] : &h->rest, node, value, &n))
			return -1;
		for (size_t k = 0; k < n; k++) {
			size_t had = 0;

			while (had < u->n && !schema_equal(u->value[had], value[k]))
				had++;
			if (had == UNIQUE_MAX)
				return schema_refuse(a->s, node, "uniqueItems",
				                     "expected items of at most %d values, "
				                     "found more", UNIQUE_MAX);
			u->value[had] = value[k];
			u->n += had == u->n;
			u->may[i] |= 1u << had;
		}
	}
	for (size_t k = 0; k < u->n; k++)
		if (json_write(&u->text[k], u->value[k], 0, false, a->s->e))
			return -1;
	return 0;
}

static int emit_unique(struct array *a, struct unique *u)
{
	struct grammar *g = a->s->g;
	const struct form *h = a->h;
	uint32_t *at = arena_new(&a->s->m, (size_t)1 << u->n, sizeof *at, a->s->e), one;

	if (!at)
		return -1;
	for (unsigned set = 1u << u->n; set-- > 0;) {
		size_t place = (size_t)__builtin_popcount(set);
		unsigned may = place < h->max_items ?
		                       u->may[place < h->n_first ? place : h->n_first] & ~set : 0;

		at[set] = may_close(a, place, 0);
		for (size_t k = 0; k < u->n; k++) {
			if (!(may >> k & 1) || at[set | 1u << k] == GRAPH_NONE)
				continue;
			one = graph_text(g, buf_bytes(&u->text[k]), at[set | 1u << k]);
			at[set] = graph_or(g, at[set],
			                   place ? graph_bytes(g, ',', ',', json_space(g, one)) :
			                           one);
		}
	}
	a->at = at;
	return g->failed ? -1 : 0;
}

static int unique_array(struct array *a)
{
	struct unique u = { .n = 0 };
	size_t places = a->h->n_first;
	int rc;

	u.may = arena_new(&a->s->m, places + 1, sizeof *u.may, a->s->e);
	rc = u.may ? unique_values(a, a->h->unique, &u) : -1;
	if (rc == 0)
		rc = emit_unique(a, &u);
	for (size_t k = 0; k < UNIQUE_MAX; k++)
		buf_release(&u.text[k]);
	return rc;
}

/* ---- all of them */

static int counted_array(struct array *a)
{
	const struct form *h = a->h;
	size_t most = h->n_first > h->min_items ? h->n_first : h->min_items;

	a->open = h->max_items == SIZE_MAX;
	/* the first item has no comma before it */
	a->places = a->open ? (most ? most : 1) : h->max_items;
	for (size_t k = 0; k < h->n_contains; k++) {
		const struct counted *c = &h->contains[k];

		a->radix[k] = (exact(c) ? c->max : c->min) + 1;
		if (a->radix[k] > NODES_MAX || a->total * a->radix[k] > NODES_MAX)
			return schema_refuse(a->s, h->all->of[0], NULL, "too many items to count");
		a->total *= a->radix[k];
	}
	if (a->total * (a->places + 1) > 2 * NODES_MAX)
		return schema_refuse(a->s, h->all->of[0], NULL, "too many items to count");
	a->at = arena_new(&a->s->m, (a->places + 1) * a->total, sizeof *a->at, a->s->e);
	if (!a->at)
		return -1;
	for (size_t place = a->places + 1; place-- > 0;)
		for (size_t counts = a->total; counts-- > 0;)
			if (emit_place(a, place, counts))
				return -1;
	return 0;
}

int emit_array(struct schema *s, const struct form *h, uint32_t *out)
{
	struct grammar *g = s->g;
	struct array a = { .s = s, .h = h, .total = 1 };

	*out = GRAPH_NONE;
	if (h->min_items > h->max_items)
		return 0;
	a.close = graph_bytes(g, ']', ']', GRAPH_END);
	a.end = json_space(g, a.close);
	if (h->unique && h->n_contains)
		return schema_refuse(s, h->unique, "uniqueItems", "not beside contains");
	if (h->unique && h->max_items > 1 ? unique_array(&a) : counted_array(&a))
		return -1;
	if (a.at[0] != GRAPH_NONE)
		*out = graph_bytes(g, '[', '[', json_space(g, a.at[0]));
	return 0;
}
