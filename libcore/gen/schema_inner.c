/* SPDX-License-Identifier: MIT */
/* schema_inner.c - what the items of arrays and the members of objects may
 * be, of plain schemas that hold at once */
#include <stdlib.h>
#include <string.h>

#include "gen/schema.h"

enum { PATTERNS = 5 };

/* Those of the schemas that hold which `node` itself applies in place, and so
 * on: what they judge is judged for its unevaluated ones. What only may hold is
 * left aside: then more is left to the node, which is safe. */
struct inner { const cJSON *node[SCHEMA_ALL]; size_t n; };

static bool among(const cJSON *const *list, size_t n, const cJSON *node)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == node)
			return true;
	return false;
}

static void gather(struct schema *s, const struct all *all, const cJSON *node, struct inner *in)
{
	static const char *const lists[] = { "allOf", "anyOf", "oneOf" };
	const cJSON *k, *test = json_get(node, "if");
	const cJSON *more[3] = { json_get(node, "$ref") ? schema_target(s, node) : NULL, test,
		                 among(all->of, all->n, test) ? json_get(node, "then") : NULL };

	for (size_t i = 0; i < 6; i++) {
		k = i < 3 ? json_get(node, lists[i]) : more[i - 3];
		for (k = k && i < 3 ? k->child : k; k; k = i < 3 ? k->next : NULL) {
			if (!among(all->of, all->n, k) || among(in->node, in->n, k) ||
			    in->n == SCHEMA_ALL)
				continue;
			in->node[in->n++] = k;
			gather(s, all, k, in);
		}
	}
}

/* ---- arrays */

static int take_contains(struct schema *s, const cJSON *node, struct form *h)
{
	const cJSON *contains = json_get(node, "contains");
	struct counted k = { .yes = contains, .min = 1, .max = SIZE_MAX };

	if (!contains)
		return 0;
	if (schema_count(s, node, "minContains", &k.min) < 0 ||
	    schema_count(s, node, "maxContains", &k.max) < 0 || schema_check(s, contains))
		return -1;
	if (!k.min && k.max == SIZE_MAX)
		return 0;
	if (h->n_contains == SCHEMA_CONTAINS)
		return schema_refuse(s, node, "contains", "over %d of them hold at once",
		                     SCHEMA_CONTAINS);
	if (k.max != SIZE_MAX && !(k.no = schema_not(s, contains)))
		return -1;
	if (k.min > k.max)
		h->max_items = 0, h->min_items = 1; /* no array at all */
	h->contains[h->n_contains++] = k;
	return 0;
}

/* Is the item judged by the node: one in its place, or all the others? */
static bool judges_item(const cJSON *node, size_t i)
{
	return json_get(node, "items") || json_get(node, "unevaluatedItems") ||
	       i < (size_t)cJSON_GetArraySize(json_get(node, "prefixItems"));
}

static int take_item(struct schema *s, const struct form *h, const cJSON *node, size_t i,
                     struct all *out)
{
	const cJSON *list = json_get(node, "prefixItems"), *loose = NULL,
		    *own = cJSON_GetArrayItem(list, i < 100000 ? (int)i : 100000);
	struct inner in = { .n = 0 };

	if (!own)
		own = json_get(node, "items");
	if (!own && (loose = json_get(node, "unevaluatedItems")))
		gather(s, h->all, node, &in);
	for (size_t k = 0; k < in.n; k++)
		if (judges_item(in.node[k], i))
			loose = NULL;
	own = own ? own : loose;
	return own ? schema_check(s, own) || all_add(s, out, own) ? -1 : 0 : 0;
}

static int take_counts(struct schema *s, const cJSON *node, struct form *h)
{
	const cJSON *list = json_get(node, "prefixItems"), *unique = json_get(node, "uniqueItems");
	size_t min = 0, max = SIZE_MAX, n;

	if (schema_count(s, node, "minItems", &min) < 0 ||
	    schema_count(s, node, "maxItems", &max) < 0)
		return -1;
	if (list && (!cJSON_IsArray(list) || !list->child))
		return schema_refuse(s, node, "prefixItems", "expected a filled array of schemas");
	if (cJSON_IsArray(json_get(node, "items")))
		return schema_refuse(s, node, "items",
		                     "expected a schema, found an array; see prefixItems");
	if (unique && !cJSON_IsBool(unique))
		return schema_refuse(s, node, "uniqueItems", "expected true or false");
	if (cJSON_IsTrue(unique))
		h->unique = node;
	n = (size_t)cJSON_GetArraySize(list);
	h->n_first = n > h->n_first ? n : h->n_first;
	h->min_items = min > h->min_items ? min : h->min_items;
	h->max_items = max < h->max_items ? max : h->max_items;
	return 0;
}

int form_items(struct schema *s, struct form *h)
{
	h->max_items = SIZE_MAX;
	for (size_t i = 0; i < h->all->n; i++)
		if (take_counts(s, h->all->of[i], h))
			return -1;
	for (size_t i = 0; i < h->all->n; i++)
		if (take_contains(s, h->all->of[i], h))
			return -1;
	if (h->n_first > GRAMMAR_STATES / 8 || h->min_items > GRAMMAR_STATES / 8 ||
	    (h->max_items != SIZE_MAX && h->max_items > GRAMMAR_STATES / 8))
		return schema_refuse(s, h->all->of[0], NULL, "expected counts of items up to %d",
		                     GRAMMAR_STATES / 8);
	h->first = arena_new(&s->m, h->n_first + 1, sizeof *h->first, s->e);
	if (!h->first)
		return -1;
	for (size_t i = 0; i < h->all->n; i++) {
		for (size_t k = 0; k < h->n_first; k++)
			if (take_item(s, h, h->all->of[i], k, &h->first[k]))
				return -1;
		if (take_item(s, h, h->all->of[i], h->n_first, &h->rest))
			return -1;
	}
	return 0;
}

/* ---- members */

struct patterns {
	struct {
		const cJSON *node, *value;
		struct lang names;
	} of[PATTERNS];
	size_t n;
	struct lang names; /* propertyNames' */
	bool named;
};

static int take_patterns(struct schema *s, const cJSON *node, struct patterns *p)
{
	const cJSON *list = json_get(node, "patternProperties"), *k;

	if (list && !cJSON_IsObject(list))
		return schema_refuse(s, node, "patternProperties", "expected an object");
	cJSON_ArrayForEach(k, list)
	{
		if (p->n == PATTERNS)
			return schema_refuse(s, node, "patternProperties", "over %d patterns",
			                     PATTERNS);
		p->of[p->n].node = node;
		p->of[p->n].value = k;
		if (pattern_of(s, list, k->string, k->string, &p->of[p->n].names))
			return -1;
		p->n++;
	}
	return 0;
}

/* The names of propertyNames: strings of one plain form. */
static int take_names(struct schema *s, const cJSON *node, struct patterns *p)
{
	const cJSON *names = json_get(node, "propertyNames");
	struct all all = { 0 };
	struct ways ways;
	struct form h;

	if (!names || cJSON_IsTrue(names))
		return 0;
	if (schema_check(s, names) || all_add(s, &all, names) || schema_ways(s, &all, &ways))
		return -1;
	if (ways.n > 1)
		return schema_refuse(s, node, "propertyNames", "no alternatives are supported");
	h = (struct form){ 0 };
	if (ways.n && schema_form(s, &ways.way[0], &h))
		return -1;
	if (h.listed) {
		struct bytes *word = arena_new(&s->m, h.n_values + 1, sizeof *word, s->e);
		size_t n = 0;

		for (size_t i = 0; word && i < h.n_values; i++)
			if (cJSON_IsString(h.value[i]))
				word[n++] = bytes_of(h.value[i]->valuestring);
		if (!word || lang_words(&h.text, word, n, &s->m, s->e))
			return -1;
		h.is_text = true;
	}
	if (!(h.types & T_STRING))
		h.is_text = true; /* and no text */
	if (!h.is_text)
		return 0;
	if (p->named && lang_and(&h.text, &h.text, &p->names, &s->m, s->e))
		return -1;
	p->names = h.text;
	p->named = true;
	return 0;
}

/* Of the node's own patterns those that have the name: the next after *k. */
static bool next_pattern(const struct patterns *p, const cJSON *node, const char *name,
                         unsigned bits, size_t *k)
{
	for (; *k < p->n; ++*k)
		if (p->of[*k].node == node &&
		    (name ? lang_takes(&p->of[*k].names, bytes_of(name)) : bits >> *k & 1))
			return true;
	return false;
}

static bool judges_member(const struct patterns *p, const cJSON *node, const char *name,
                          unsigned bits)
{
	size_t k = 0;

	return (name && json_get(json_get(node, "properties"), name)) ||
	       json_get(node, "additionalProperties") || json_get(node, "unevaluatedProperties") ||
	       next_pattern(p, node, name, bits, &k);
}

/* What holds for the member `name`; or, name NULL, for one of whose name the
 * bits say which patterns have it. */
static int value_of(struct schema *s, const struct form *h, const struct patterns *p,
                    const char *name, unsigned bits, struct all *out)
{
	for (size_t i = 0; i < h->all->n; i++) {
		const cJSON *node = h->all->of[i], *rest = json_get(node, "additionalProperties"),
			    *own = name ? json_get(json_get(node, "properties"), name) : NULL;
		bool judged = own;
		struct inner in = { .n = 0 };

		if (own && (schema_check(s, own) || all_add(s, out, own)))
			return -1;
		for (size_t k = 0; next_pattern(p, node, name, bits, &k); k++) {
			judged = true;
			if (schema_check(s, p->of[k].value) || all_add(s, out, p->of[k].value))
				return -1;
		}
		if (!rest && (rest = json_get(node, "unevaluatedProperties")) && !judged)
			gather(s, h->all, node, &in);
		for (size_t k = 0; k < in.n; k++)
			judged |= judges_member(p, in.node[k], name, bits);
		if (!judged && rest && (schema_check(s, rest) || all_add(s, out, rest)))
			return -1;
	}
	return 0;
}

static struct property *property(struct schema *s, struct form *h, const char *name)
{
	for (size_t i = 0; i < h->n_properties; i++)
		if (bytes_equal(h->property[i].name, bytes_of(name)))
			return &h->property[i];
	if (h->n_properties == SCHEMA_NAMES) {
		schema_refuse(s, h->all->of[0], "properties", "over %d", SCHEMA_NAMES);
		return NULL;
	}
	h->property[h->n_properties] = (struct property){ .name = bytes_of(name) };
	return &h->property[h->n_properties++];
}

static int name_all(struct schema *s, struct form *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->all->n; i++)
		n += (size_t)cJSON_GetArraySize(json_get(h->all->of[i], "properties")) +
		     (size_t)cJSON_GetArraySize(json_get(h->all->of[i], "required"));
	h->property = arena_new(&s->m, n + 1, sizeof *h->property, s->e);
	if (!h->property)
		return -1;
	for (size_t i = 0; i < h->all->n; i++) {
		const cJSON *list = json_get(h->all->of[i], "properties"), *k;

		if (list && !cJSON_IsObject(list))
			return schema_refuse(s, h->all->of[i], "properties", "expected an object");
		cJSON_ArrayForEach(k, list)
		{
			if (!property(s, h, k->string))
				return -1;
		}
	}
	for (size_t i = 0; i < h->all->n; i++) {
		const cJSON *list = json_get(h->all->of[i], "required"), *k;
		struct property *p;

		if (list && !cJSON_IsArray(list))
			return schema_refuse(s, h->all->of[i], "required", "expected an array");
		cJSON_ArrayForEach(k, list)
		{
			if (!cJSON_IsString(k))
				return schema_refuse(s, h->all->of[i], "required",
				                     "expected strings");
			if (!(p = property(s, h, k->valuestring)))
				return -1;
			p->required = true;
		}
	}
	return 0;
}

/* Names that are not in the list, told apart by the patterns that have them. */
static int take_others(struct schema *s, struct form *h, const struct patterns *p)
{
	struct bytes *word = arena_new(&s->m, h->n_properties + 1, sizeof *word, s->e);
	struct lang base, l, none;

	h->other = arena_new(&s->m, (size_t)1 << p->n, sizeof *h->other, s->e);
	if (!word || !h->other)
		return -1;
	h->any_name = !p->n && !p->named && !h->n_properties;
	for (size_t i = 0; i < h->n_properties; i++)
		word[i] = h->property[i].name;
	if (lang_words(&l, word, h->n_properties, &s->m, s->e) ||
	    lang_not(&base, &l, &s->m, s->e) ||
	    (p->named && lang_and(&base, &base, &p->names, &s->m, s->e)))
		return -1;
	for (unsigned bits = 0; bits < 1u << p->n; bits++) {
		struct part *k = &h->other[h->n_other];

		k->names = base;
		for (size_t i = 0; i < p->n; i++) {
			if (lang_not(&none, &p->of[i].names, &s->m, s->e) ||
			    lang_and(&k->names, &k->names, bits >> i & 1 ? &p->of[i].names : &none,
			             &s->m, s->e))
				return -1;
		}
		if (k->names.n && value_of(s, h, p, NULL, bits, &k->value))
			return -1;
		if (k->names.n)
			h->n_other++;
	}
	return 0;
}

static bool never(const struct all *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (cJSON_IsFalse(a->of[i]))
			return true;
	return false;
}

int form_members(struct schema *s, struct form *h)
{
	struct patterns p = { .n = 0 };

	h->max_members = SIZE_MAX;
	for (size_t i = 0; i < h->all->n; i++) {
		const cJSON *node = h->all->of[i];
		size_t min = 0, max = SIZE_MAX;

		if (take_patterns(s, node, &p) || take_names(s, node, &p) ||
		    schema_count(s, node, "minProperties", &min) < 0 ||
		    schema_count(s, node, "maxProperties", &max) < 0)
			return -1;
		h->min_members = min > h->min_members ? min : h->min_members;
		h->max_members = max < h->max_members ? max : h->max_members;
	}
	if (name_all(s, h))
		return -1;
	for (size_t i = 0; i < h->n_properties; i++) {
		struct property *k = &h->property[i];

		if (value_of(s, h, &p, (const char *)k->name.p, 0, &k->value))
			return -1;
		k->never = never(&k->value) || (p.named && !lang_takes(&p.names, k->name));
		if (k->never && k->required)
			h->types &= ~(unsigned)T_OBJECT;
	}
	return take_others(s, h, &p);
}
