/* SPDX-License-Identifier: MIT */
/* schema_value.c - is a given value one of a schema's? For lists of values
 * beside other keywords. */
#include <math.h>
#include <string.h>

#include "gen/schema.h"
#include "util/utf8.h"

static unsigned value_type(const cJSON *v)
{
	if (cJSON_IsNumber(v))
		return v->valuedouble == floor(v->valuedouble) ? T_WHOLE : T_FRACTION;
	return cJSON_IsNull(v)   ? T_NULL :
	       cJSON_IsTrue(v)   ? T_TRUE :
	       cJSON_IsFalse(v)  ? T_FALSE :
	       cJSON_IsString(v) ? T_STRING :
	       cJSON_IsArray(v)  ? T_ARRAY :
	                           T_OBJECT;
}

bool schema_equal(const cJSON *a, const cJSON *b)
{
	const cJSON *k, *other;

	if (value_type(a) != value_type(b))
		return false;
	if (cJSON_IsNumber(a))
		return a->valuedouble == b->valuedouble;
	if (cJSON_IsString(a))
		return !strcmp(a->valuestring, b->valuestring);
	if (cJSON_GetArraySize(a) != cJSON_GetArraySize(b))
		return false;
	other = b->child;
	cJSON_ArrayForEach(k, a)
	{
		if (cJSON_IsObject(a))
			other = json_get(b, k->string);
		if (!other || !schema_equal(k, other))
			return false;
		other = other->next;
	}
	return true;
}

static bool listed(const cJSON *node, const cJSON *v)
{
	const cJSON *list = json_get(node, "enum"), *one = json_get(node, "const"), *k;
	bool found = !list;

	cJSON_ArrayForEach(k, list)
	{
		found |= schema_equal(k, v);
	}
	return found && (!one || schema_equal(one, v));
}

/* What can be told of a number or a string. */
static int scalar(struct schema *s, const cJSON *node, const cJSON *v)
{
	const struct all all = { &node, 1 };
	double x = v->valuedouble;
	struct form h;

	if (schema_scalars(s, &all, &h))
		return -1;
	if (!(value_type(v) & h.types))
		return 0;
	if (cJSON_IsString(v))
		return !h.is_text || lang_takes(&h.text, bytes_of(v->valuestring));
	if (!cJSON_IsNumber(v))
		return 1;
	if (h.low.set && (h.low.open ? x <= h.low.at : x < h.low.at))
		return 0;
	if (h.high.set && (h.high.open ? x >= h.high.at : x > h.high.at))
		return 0;
	if (h.multiple && fmod(x, h.multiple) != 0)
		return 0;
	if (h.digits > 1) {
		double unit = x * pow(10, h.digits - 1);

		return fabs(unit - round(unit)) < 1e-9 * (1 + fabs(unit));
	}
	return 1;
}

static int differ(const cJSON *v)
{
	for (const cJSON *a = v->child; a; a = a->next)
		for (const cJSON *b = a->next; b; b = b->next)
			if (schema_equal(a, b))
				return 0;
	return 1;
}

static int contained(struct schema *s, const cJSON *node, const cJSON *v)
{
	const cJSON *contains = json_get(node, "contains"), *k;
	size_t min = 1, max = SIZE_MAX, n = 0;

	if (!contains)
		return 1;
	if (schema_count(s, node, "minContains", &min) < 0 ||
	    schema_count(s, node, "maxContains", &max) < 0)
		return -1;
	cJSON_ArrayForEach(k, v)
	{
		int holds = schema_value(s, contains, k);

		if (holds < 0)
			return -1;
		n += (size_t)holds;
	}
	return n >= min && n <= max;
}

static int items(struct schema *s, const cJSON *node, const cJSON *v)
{
	const cJSON *first = json_get(node, "prefixItems"), *rest = json_get(node, "items"), *k;
	size_t min = 0, max = SIZE_MAX, n = (size_t)cJSON_GetArraySize(v);

	first = first ? first->child : NULL;
	if (schema_count(s, node, "minItems", &min) < 0 ||
	    schema_count(s, node, "maxItems", &max) < 0)
		return -1;
	if (n < min || n > max)
		return 0;
	cJSON_ArrayForEach(k, v)
	{
		const cJSON *own = first ? first : rest;
		int holds = own ? schema_value(s, own, k) : 1;

		if (holds != 1)
			return holds;
		first = first ? first->next : NULL;
	}
	return 1;
}

static int members(struct schema *s, const cJSON *node, const cJSON *v)
{
	const cJSON *own = json_get(node, "properties"),
		    *rest = json_get(node, "additionalProperties"),
		    *required = json_get(node, "required"), *k;
	size_t min = 0, max = SIZE_MAX, n = (size_t)cJSON_GetArraySize(v);

	if (schema_count(s, node, "minProperties", &min) < 0 ||
	    schema_count(s, node, "maxProperties", &max) < 0)
		return -1;
	if (n < min || n > max)
		return 0;
	cJSON_ArrayForEach(k, required)
	{
		if (!cJSON_IsString(k) || !json_get(v, k->valuestring))
			return 0;
	}
	cJSON_ArrayForEach(k, v)
	{
		const cJSON *how = json_get(own, k->string);
		int holds;

		how = how ? how : rest;
		holds = how ? schema_value(s, how, k) : 1;
		if (holds != 1)
			return holds;
	}
	return 1;
}

static int held(struct schema *s, const cJSON *node, const cJSON *v)
{
	static const char *const never[] = {
		"patternProperties", "propertyNames", "unevaluatedProperties",
		"unevaluatedItems"
	};
	int holds;

	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		if (json_get(node, never[i]))
			return schema_refuse(s, node, never[i], "not beside lists of values");
	if (!cJSON_IsArray(v))
		return members(s, node, v);
	if (cJSON_IsTrue(json_get(node, "uniqueItems")) && !differ(v))
		return 0;
	holds = contained(s, node, v);
	return holds == 1 ? items(s, node, v) : holds;
}

/* Of how many branches the value is one; -1. */
static int count(struct schema *s, const cJSON *list, const cJSON *v)
{
	const cJSON *k;
	int n = 0;

	cJSON_ArrayForEach(k, list)
	{
		int holds = schema_value(s, k, v);

		if (holds < 0)
			return -1;
		n += holds;
	}
	return n;
}

/* Of the members that ask for others, and of a condition. */
static int conditions(struct schema *s, const cJSON *node, const cJSON *v)
{
	static const char *const keys[] = { "dependentRequired", "dependentSchemas",
		                            "dependencies" };
	const cJSON *k, *name, *test = json_get(node, "if"), *then;
	int holds = 1;

	for (size_t i = 0; cJSON_IsObject(v) && i < 3; i++)
		cJSON_ArrayForEach(k, json_get(node, keys[i]))
		{
			if (!json_get(v, k->string))
				continue;
			name = cJSON_IsArray(k) ? k->child : NULL;
			for (; name; name = name->next)
				if (!cJSON_IsString(name) || !json_get(v, name->valuestring))
					return 0;
			if (!cJSON_IsArray(k) && (holds = schema_value(s, k, v)) != 1)
				return holds;
		}
	if (!test || (holds = schema_value(s, test, v)) < 0)
		return test ? -1 : 1;
	then = json_get(node, holds ? "then" : "else");
	return then ? schema_value(s, then, v) : 1;
}

static int combined(struct schema *s, const cJSON *node, const cJSON *v)
{
	const cJSON *all = json_get(node, "allOf"), *any = json_get(node, "anyOf"),
		    *one = json_get(node, "oneOf"), *not = json_get(node, "not"), *to;
	int n, holds = 1;

	if (not && (holds = schema_value(s, not, v)) != 0)
		return holds < 0 ? -1 : 0;
	holds = 1;

	if (json_get(node, "$ref") &&
	    (!(to = schema_target(s, node)) || (holds = schema_value(s, to, v)) != 1))
		return to ? holds : -1;
	if (all && (n = count(s, all, v)) != cJSON_GetArraySize(all))
		return n < 0 ? -1 : 0;
	if (any && (n = count(s, any, v)) < 1)
		return n;
	if (one && (n = count(s, one, v)) != 1)
		return n < 0 ? -1 : 0;
	return 1;
}

int schema_value(struct schema *s, const cJSON *node, const cJSON *v)
{
	if (cJSON_IsObject(node) && !listed(node, v))
		return 0;
	return schema_value_but(s, node, v);
}

int schema_value_but(struct schema *s, const cJSON *node, const cJSON *v)
{
	int holds;

	if (cJSON_IsBool(node))
		return cJSON_IsTrue(node);
	if (s->deep >= GRAMMAR_DEPTH)
		return schema_refuse(s, node, NULL, "it leads back to itself");
	if (schema_step(s) || schema_check(s, node))
		return -1;
	s->deep++;
	holds = scalar(s, node, v);
	if (holds == 1 && (cJSON_IsArray(v) || cJSON_IsObject(v)))
		holds = held(s, node, v);
	if (holds == 1)
		holds = combined(s, node, v);
	if (holds == 1)
		holds = conditions(s, node, v);
	s->deep--;
	return holds;
}
