/* SPDX-License-Identifier: MIT */
/* schema_form.c - plain schemas that hold at once, to what their values may
 * be: types, lists of values, bounds of numbers, strings */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gen/schema.h"

enum { MULTIPLE_MAX = 1000, FRACTION_DIGITS = 15, STRING_STEPS = 500, FEW = 10 };

/* ---- types and values */

int type_bits(struct schema *s, const cJSON *node, unsigned *out)
{
	static const struct {
		const char *name;
		unsigned bits;
	} row[] = {
		{ "null", T_NULL },     { "boolean", T_BOOL },  { "integer", T_WHOLE },
		{ "number", T_NUMBER }, { "string", T_STRING }, { "array", T_ARRAY },
		{ "object", T_OBJECT },
	};
	const cJSON *v = json_get(node, "type"), *k = cJSON_IsArray(v) ? v->child : v;
	const cJSON *nullable = json_get(node, "nullable");

	*out = v ? 0 : T_ANY;
	if (v && !k)
		return schema_refuse(s, node, "type", "expected a type, found none");
	for (; v && k; k = cJSON_IsArray(v) ? k->next : NULL) {
		size_t i = 0;

		while (i < 7 && !(cJSON_IsString(k) && !strcmp(k->valuestring, row[i].name)))
			i++;
		if (i == 7)
			return schema_refuse(s, node, "type", "no such type");
		*out |= row[i].bits;
	}
	if (nullable && !cJSON_IsBool(nullable))
		return schema_refuse(s, node, "nullable", "expected true or false");
	if (cJSON_IsTrue(nullable))
		*out |= T_NULL;
	return 0;
}

static int and_text(struct schema *s, const cJSON *node, const char *key, struct form *h,
                    const struct lang *l);

/* A value that is none. */
static int leave_value(struct schema *s, const cJSON *node, const cJSON *v, struct form *h)
{
	struct bytes word = bytes_of(cJSON_IsString(v) ? v->valuestring : "");
	double *more;
	struct lang l;

	if (cJSON_IsNull(v) || cJSON_IsBool(v)) {
		h->types &= ~(unsigned)(cJSON_IsNull(v) ? T_NULL : cJSON_IsTrue(v) ? T_TRUE : T_FALSE);
		return 0;
	}
	if (cJSON_IsString(v))
		return lang_words(&l, &word, 1, &s->m, s->e) || lang_not(&l, &l, &s->m, s->e) ?
		               -1 :
		               and_text(s, node, "not", h, &l);
	if (!cJSON_IsNumber(v)) {
		h->no_tree = node;
		h->tree_types |= cJSON_IsArray(v) ? T_ARRAY : T_OBJECT;
		return 0;
	}
	more = arena_new(&s->m, h->n_without + 1, sizeof *more, s->e);
	if (!more)
		return -1;
	if (h->n_without)
		memcpy(more, h->without, h->n_without * sizeof *more);
	more[h->n_without++] = v->valuedouble;
	h->without = more;
	return 0;
}

static int leave_pattern(struct schema *s, const cJSON *node, const cJSON *not, struct form *h)
{
	const cJSON *pattern = json_get(not, "pattern");
	struct lang l;

	if (!cJSON_IsString(pattern))
		return schema_refuse(s, not, "pattern", "expected a string, found %s",
		                     json_kind(pattern));
	h->types &= T_STRING;
	if (pattern_of(s, not, "pattern", pattern->valuestring, &l))
		return -1;
	if (lang_not(&l, &l, &s->m, s->e))
		return s->e->kind == ERR_INPUT ? schema_refuse(s, node, "not", "%s", s->e->text) : -1;
	return and_text(s, node, "not", h, &l);
}

/* Of not, what is taken out of the types; schema_all.c sees to the rest. */
static int take_not(struct schema *s, const cJSON *node, struct form *h)
{
	const cJSON *not = json_get(node, "not"), *list = json_get(not, "enum"), *v;
	unsigned bits;

	if (cJSON_IsTrue(not ) || (cJSON_IsObject(not ) && !not ->child))
		h->types = 0;
	if (!schema_not_plain(not))
		return 0;
	if (json_get(not, "type")) {
		if (type_bits(s, not, &bits))
			return -1;
		h->types &= ~bits;
	} else if (json_get(not, "pattern")) {
		return leave_pattern(s, node, not, h);
	} else if (!list) {
		return leave_value(s, node, json_get(not, "const"), h);
	}
	if (list && !cJSON_IsArray(list))
		return schema_refuse(s, not, "enum", "expected an array, found %s",
		                     json_kind(list));
	cJSON_ArrayForEach(v, list)
	{
		if (leave_value(s, node, v, h))
			return -1;
	}
	return 0;
}

/* The first list's values that all the schemas have. */
static int take_values(struct schema *s, struct form *h)
{
	const cJSON *list = NULL, *one = NULL, *own = NULL, *k;
	size_t n = 0;

	for (size_t i = 0; i < h->all->n && !h->listed; i++) {
		list = json_get(h->all->of[i], "enum");
		one = json_get(h->all->of[i], "const");
		if (list && !cJSON_IsArray(list))
			return schema_refuse(s, h->all->of[i], "enum",
			                     "expected an array, found %s", json_kind(list));
		h->listed = list || one;
		own = list && one ? NULL : h->all->of[i];
	}
	if (!h->listed)
		return 0;
	n = one ? 1 : (size_t)cJSON_GetArraySize(list);
	h->value = arena_new(&s->m, n + 1, sizeof *h->value, s->e);
	if (!h->value)
		return -1;
	for (k = one ? one : list->child; k; k = one ? NULL : k->next) {
		int holds = 1;

		for (size_t i = 0; i < h->all->n && holds == 1; i++)
			holds = h->all->of[i] == own ? schema_value_but(s, own, k) :
			                               schema_value(s, h->all->of[i], k);
		if (holds < 0)
			return -1;
		if (holds)
			h->value[h->n_values++] = k;
	}
	return 0;
}

/* ---- numbers */

static int take_bound(struct schema *s, const cJSON *node, const char *key, bool low, bool open,
                      struct form *h)
{
	const cJSON *v = json_get(node, key);
	struct bound *b = low ? &h->low : &h->high;
	double at;

	if (!v)
		return 0;
	if (!cJSON_IsNumber(v))
		return schema_refuse(s, node, key, "expected a number, found %s", json_kind(v));
	at = v->valuedouble;
	if (!b->set || (low ? at > b->at : at < b->at) || (at == b->at && open))
		*b = (struct bound){ at, open, true };
	return 0;
}

static unsigned gcd(unsigned a, unsigned b)
{
	return b ? gcd(b, a % b) : a;
}

static int take_multiple(struct schema *s, const cJSON *node, struct form *h)
{
	const cJSON *v = json_get(node, "multipleOf");
	double of = v ? v->valuedouble : 0, unit = 1;
	unsigned digits = 0, m;

	if (!v)
		return 0;
	if (!cJSON_IsNumber(v) || !(of > 0))
		return schema_refuse(s, node, "multipleOf", "expected a number above 0");
	if (of >= 1 && of <= MULTIPLE_MAX && of == floor(of)) {
		m = (unsigned)of;
		m = h->multiple ? h->multiple / gcd(h->multiple, m) * m : m;
		if (m > MULTIPLE_MAX)
			return schema_refuse(s, node, "multipleOf", "together over %d",
			                     MULTIPLE_MAX);
		h->multiple = m;
		h->digits = 1;
		return 0;
	}
	while (digits < FRACTION_DIGITS && unit != of)
		unit = pow(10, -(double)++digits);
	if (unit != of)
		return schema_refuse(s, node, "multipleOf",
		                     "expected a whole number up to %d, 0.1, 0.01, ...",
		                     MULTIPLE_MAX);
	if (!h->digits || digits + 1 < h->digits)
		h->digits = digits + 1;
	return 0;
}

static int take_numbers(struct schema *s, const cJSON *node, struct form *h)
{
	return take_bound(s, node, "minimum", true, false, h) ||
	                       take_bound(s, node, "maximum", false, false, h) ||
	                       take_bound(s, node, "exclusiveMinimum", true, true, h) ||
	                       take_bound(s, node, "exclusiveMaximum", false, true, h) ||
	                       take_multiple(s, node, h) ?
	               -1 :
	               0;
}

/* ---- strings */

static int and_text(struct schema *s, const cJSON *node, const char *key, struct form *h,
                    const struct lang *l)
{
	if (!h->is_text) {
		h->text = *l;
		h->is_text = true;
		return 0;
	}
	if (lang_and(&h->text, &h->text, l, &s->m, s->e))
		return s->e->kind == ERR_INPUT ? schema_refuse(s, node, key, "%s", s->e->text) : -1;
	return 0;
}

static int take_format(struct schema *s, const cJSON *node, struct form *h)
{
	const cJSON *v = json_get(node, "format");
	const struct format *f = cJSON_IsString(v) ? format_find(v->valuestring) : NULL;
	struct lang l;

	if (!v)
		return 0;
	if (!f)
		return schema_refuse(s, node, "format", "this format cannot be kept to");
	if (f->low < f->high) {
		if (!h->low.set || h->low.at < f->low)
			h->low = (struct bound){ f->low, false, true };
		if (!h->high.set || h->high.at > f->high)
			h->high = (struct bound){ f->high, false, true };
	}
	if (!f->pattern)
		return 0;
	return lang_pattern_whole(&l, f->pattern, &s->m, s->e) ||
	                       and_text(s, node, "format", h, &l) ?
	               -1 :
	               0;
}

int pattern_of(struct schema *s, const cJSON *node, const char *key, const char *pattern,
               struct lang *out)
{
	if (!lang_pattern(out, bytes_of(pattern), &s->m, s->e))
		return 0;
	return s->e->kind == ERR_INPUT ? schema_refuse(s, node, key, "%s", s->e->text) : -1;
}

static int take_text(struct schema *s, const cJSON *node, struct form *h)
{
	const cJSON *pattern = json_get(node, "pattern");
	size_t min = 0, max = SIZE_MAX;
	int has_min = schema_count(s, node, "minLength", &min),
	    has_max = schema_count(s, node, "maxLength", &max);
	struct lang l;

	if (has_min < 0 || has_max < 0)
		return -1;
	if (pattern || has_min || has_max || json_get(node, "format"))
		s->judged += STRING_STEPS;
	if (pattern && !cJSON_IsString(pattern))
		return schema_refuse(s, node, "pattern", "expected a string, found %s",
		                     json_kind(pattern));
	if (pattern && (pattern_of(s, node, "pattern", pattern->valuestring, &l) ||
	                and_text(s, node, "pattern", h, &l)))
		return -1;
	if (take_format(s, node, h))
		return -1;
	if (min || max != SIZE_MAX) {
		const char *key = max != SIZE_MAX ? "maxLength" : "minLength";

		if (lang_length(&l, min, max, &s->m, s->e))
			return schema_refuse(s, node, key, "%s", s->e->text);
		return and_text(s, node, key, h, &l);
	}
	return 0;
}

/* ---- all of it */

int schema_scalars(struct schema *s, const struct all *plain, struct form *h)
{
	*h = (struct form){ .types = T_ANY, .all = plain };
	for (size_t i = 0; i < plain->n; i++) {
		unsigned bits;

		if (schema_step(s) || type_bits(s, plain->of[i], &bits))
			return -1;
		h->types &= bits;
		if (take_not(s, plain->of[i], h) || take_numbers(s, plain->of[i], h) ||
		    take_text(s, plain->of[i], h))
			return -1;
	}
	if (h->digits == 1)
		h->types &= ~(unsigned)T_FRACTION;
	return 0;
}

/* Whole numbers between bounds. */
static int list_numbers(struct schema *s, struct form *h)
{
	double low = ceil(h->low.at), high = floor(h->high.at);

	low += h->low.open && low == h->low.at;
	high -= h->high.open && high == h->high.at;
	h->value = arena_new(&s->m, FEW + 1, sizeof *h->value, s->e);
	if (!h->value)
		return -1;
	for (double v = low; v <= high && h->n_values <= FEW; v += 1) {
		bool out = h->multiple && fmod(v, h->multiple) != 0;

		for (size_t i = 0; i < h->n_without; i++)
			out |= h->without[i] == v;
		if (out)
			continue;
		if (!(h->value[h->n_values] =
		              schema_keep(s, NULL, MADE_VALUE, cJSON_CreateNumber(v))))
			return -1;
		h->n_values++;
	}
	h->listed = true;
	return 0;
}

int form_listed(struct schema *s, struct form *h)
{
	static const struct { unsigned bit; int type; } words[] = {
		{ T_NULL, cJSON_NULL }, { T_TRUE, cJSON_True }, { T_FALSE, cJSON_False },
	};

	if (h->listed)
		return 0;
	if (h->types == T_WHOLE && h->low.set && h->high.set && h->high.at - h->low.at <= 100 &&
	    fabs(h->low.at) < 1e15)
		return list_numbers(s, h);
	if (h->types & ~(unsigned)(T_NULL | T_BOOL))
		return 0;
	h->value = arena_new(&s->m, 3, sizeof *h->value, s->e);
	if (!h->value)
		return -1;
	for (size_t i = 0; i < 3; i++) {
		cJSON *v;

		if (!(h->types & words[i].bit))
			continue;
		v = words[i].type == cJSON_NULL ? cJSON_CreateNull() :
		                                  cJSON_CreateBool(words[i].type == cJSON_True);
		if (!(h->value[h->n_values] = schema_keep(s, NULL, MADE_VALUE, v)))
			return -1;
		h->n_values++;
	}
	h->listed = true;
	return 0;
}

int schema_form(struct schema *s, const struct all *plain, struct form *h)
{
	if (schema_scalars(s, plain, h) || take_values(s, h))
		return -1;
	if (h->listed)
		return 0;
	if (h->types & h->tree_types)
		return schema_refuse(s, h->no_tree, "not",
		                     "arrays and objects cannot be left out by their values");
	if ((h->types & T_ARRAY) && form_items(s, h))
		return -1;
	return (h->types & T_OBJECT) ? form_members(s, h) : 0;
}
