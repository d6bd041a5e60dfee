/* SPDX-License-Identifier: MIT */
/* schema_not.c - the values that a schema leaves out, as a schema
 *
 * Keyword by keyword: a value is not of a schema where it breaks one of them.
 * What comes of it is written with keywords that are kept to; "not" stays only
 * before what schema_form.c takes out of a type: types, lists of values and
 * patterns. A keyword whose opposite cannot be said is refused. */
#include <stdlib.h>
#include <string.h>

#include "gen/schema.h"

/* ---- schemas that are made here: kept until the grammar is there */

const cJSON *schema_made(const struct schema *s, const cJSON *of, enum made_kind kind)
{
	for (size_t i = 0; i < s->n_made_here; i++)
		if (s->made[i].of == of && s->made[i].kind == kind)
			return s->made[i].node;
	return NULL;
}

const cJSON *schema_keep(struct schema *s, const cJSON *of, enum made_kind kind, cJSON *take)
{
	struct made *more;

	if (!take) {
		err_memory(s->e, sizeof *take);
		return NULL;
	}
	if (s->n_made_here == SCHEMA_MADE) {
		schema_refuse(s, of, NULL, "it takes over %d further schemas", SCHEMA_MADE);
		cJSON_Delete(take);
		return NULL;
	}
	if (s->n_made_here == s->made_room) {
		size_t room = s->made_room ? 2 * s->made_room : 32;

		more = realloc(s->made, room * sizeof *more);
		if (!more) {
			err_memory(s->e, room * sizeof *more);
			cJSON_Delete(take);
			return NULL;
		}
		s->made = more;
		s->made_room = room;
	}
	s->made[s->n_made_here++] = (struct made){ of, take, kind };
	if (kind == MADE_NOT && cJSON_IsObject(take))
		take->valueint = (int)s->n_made_here; /* its place, for schema_not_of() */
	return take;
}

const cJSON *schema_not_of(const struct schema *s, const cJSON *node)
{
	size_t i = cJSON_IsObject(node) && node->valueint > 0 ? (size_t)node->valueint : 0;

	return i && i <= s->n_made_here && schema_same(s->made[i - 1].node, node) ?
	               s->made[i - 1].of :
	               NULL;
}

void schema_made_release(struct schema *s)
{
	for (size_t i = 0; i < s->n_made_here; i++)
		cJSON_Delete(s->made[i].node);
	free(s->made);
}

/* ---- the opposite */

struct no {
	struct schema *s;
	const cJSON *node; /* the schema whose opposite is made */
	cJSON *any;        /* its alternatives so far */
	bool failed;       /* no memory */
};

static void put(struct no *x, cJSON *o, const char *key, cJSON *take)
{
	if (!take || !o || !cJSON_AddItemToObject(o, key, take)) {
		cJSON_Delete(take);
		x->failed = true;
	}
}

static void share(struct no *x, cJSON *o, const char *key, const cJSON *v)
{
	x->failed |= !o || !cJSON_AddItemReferenceToObject(o, key, (cJSON *)(uintptr_t)v);
}

static cJSON *child(struct no *x, cJSON *o, const char *key, cJSON *take)
{
	put(x, o, key, take);
	return x->failed ? NULL : take;
}

/* An alternative, of one type where one is named. */
static cJSON *way(struct no *x, const char *type)
{
	cJSON *o = cJSON_CreateObject();

	if (!o || !cJSON_AddItemToArray(x->any, o)) {
		cJSON_Delete(o);
		x->failed = true;
		return NULL;
	}
	if (type)
		put(x, o, "type", cJSON_CreateString(type));
	return x->failed ? NULL : o;
}

/* {key: {"not": v}} */
static void leave_out(struct no *x, cJSON *o, const char *key, const cJSON *v)
{
	share(x, child(x, o, key, cJSON_CreateObject()), "not", v);
}

static int refuse(struct no *x, const char *key)
{
	return schema_refuse(x->s, x->node, key, "what this leaves out cannot be told");
}

/* minimum and the like: at the same place, or one beside it */
static int no_bound(struct no *x, const cJSON *v)
{
	static const struct { const char *key, *type, *other; int step; } rows[] = {
		{ "minimum", "number", "exclusiveMaximum", 0 },
		{ "maximum", "number", "exclusiveMinimum", 0 },
		{ "exclusiveMinimum", "number", "maximum", 0 },
		{ "exclusiveMaximum", "number", "minimum", 0 },
		{ "minLength", "string", "maxLength", -1 },
		{ "maxLength", "string", "minLength", 1 },
		{ "minItems", "array", "maxItems", -1 },
		{ "maxItems", "array", "minItems", 1 },
		{ "minProperties", "object", "maxProperties", -1 },
		{ "maxProperties", "object", "minProperties", 1 },
	};
	size_t i = 0;

	while (strcmp(rows[i].key, v->string))
		i++;
	if (!cJSON_IsNumber(v))
		return schema_refuse(x->s, x->node, v->string, "expected a number, found %s",
		                     json_kind(v));
	if (v->valuedouble + rows[i].step >= 0 || !rows[i].step)
		put(x, way(x, rows[i].type), rows[i].other,
		    cJSON_CreateNumber(v->valuedouble + rows[i].step));
	return 0;
}

/* What is taken out of a type as it stands. */
static int no_plain(struct no *x, const cJSON *v)
{
	cJSON *o = way(x, strcmp(v->string, "pattern") ? NULL : "string");

	share(x, child(x, o, "not", cJSON_CreateObject()), v->string, v);
	return 0;
}

static int no_required(struct no *x, const cJSON *v)
{
	const cJSON *k;

	cJSON_ArrayForEach(k, v)
	{
		if (!cJSON_IsString(k))
			return schema_refuse(x->s, x->node, v->string, "expected strings");
		put(x, child(x, way(x, "object"), "properties", cJSON_CreateObject()),
		    k->valuestring, cJSON_CreateFalse());
	}
	return 0;
}

static cJSON *with_member(struct no *x, const char *name)
{
	cJSON *o = way(x, "object"), *list = child(x, o, "required", cJSON_CreateArray());

	x->failed |= !list || !cJSON_AddItemToArray(list, cJSON_CreateString(name));
	return o;
}

static int no_properties(struct no *x, const cJSON *v)
{
	const cJSON *k;

	cJSON_ArrayForEach(k, v)
	{
		if (!cJSON_IsTrue(k))
			leave_out(x, child(x, with_member(x, k->string), "properties",
			                   cJSON_CreateObject()), k->string, k);
	}
	return 0;
}

static int no_items(struct no *x, const cJSON *v)
{
	if (json_get(x->node, "prefixItems"))
		return refuse(x, v->string);
	leave_out(x, way(x, "array"), "contains", v);
	return 0;
}

static int no_prefix(struct no *x, const cJSON *v)
{
	const cJSON *k;
	int i = 0;

	cJSON_ArrayForEach(k, v)
	{
		cJSON *o = way(x, "array"), *list;

		put(x, o, "minItems", cJSON_CreateNumber(i + 1));
		list = child(x, o, "prefixItems", cJSON_CreateArray());
		for (int n = 0; n <= i && list; n++) {
			cJSON *item = n < i ? cJSON_CreateTrue() : cJSON_CreateObject();

			x->failed |= !item || !cJSON_AddItemToArray(list, item);
			if (n == i)
				share(x, item, "not", k);
		}
		i++;
	}
	return 0;
}

static int no_contains(struct no *x, const cJSON *v)
{
	size_t min = 1, max = SIZE_MAX;
	cJSON *o;

	if (schema_count(x->s, x->node, "minContains", &min) < 0 ||
	    schema_count(x->s, x->node, "maxContains", &max) < 0)
		return -1;
	if (min == 1) {
		leave_out(x, way(x, "array"), "items", v);
	} else if (min) {
		o = way(x, "array");
		share(x, o, "contains", v);
		put(x, o, "minContains", cJSON_CreateNumber(0));
		put(x, o, "maxContains", cJSON_CreateNumber((double)min - 1));
	}
	if (max != SIZE_MAX) {
		o = way(x, "array");
		share(x, o, "contains", v);
		put(x, o, "minContains", cJSON_CreateNumber((double)max + 1));
	}
	return 0;
}

static int no_dependent(struct no *x, const cJSON *v)
{
	const cJSON *k, *name;

	cJSON_ArrayForEach(k, v)
	{
		if (!cJSON_IsArray(k)) {
			share(x, with_member(x, k->string), "not", k);
			continue;
		}
		cJSON_ArrayForEach(name, k)
		{
			if (!cJSON_IsString(name))
				return schema_refuse(x->s, x->node, v->string, "expected strings");
			put(x, child(x, with_member(x, k->string), "properties",
			             cJSON_CreateObject()), name->valuestring,
			    cJSON_CreateFalse());
		}
	}
	return 0;
}

/* An item {"not": v} of o's list; v NULL: of the node's own member. */
static void and_not(struct no *x, cJSON *list, const cJSON *v)
{
	cJSON *o = cJSON_CreateObject();

	if (!list || !o || !cJSON_AddItemToArray(list, o)) {
		cJSON_Delete(o);
		x->failed = true;
		return;
	}
	share(x, o, "not", v);
}

static void and_it(struct no *x, cJSON *list, const cJSON *v)
{
	x->failed |= !list || !cJSON_AddItemReferenceToArray(list, (cJSON *)(uintptr_t)v);
}

static int no_all(struct no *x, const cJSON *v)
{
	const cJSON *k;

	cJSON_ArrayForEach(k, v)
	{
		share(x, way(x, NULL), "not", k);
	}
	return 0;
}

static void none_of(struct no *x, const cJSON *v)
{
	cJSON *list = child(x, way(x, NULL), "allOf", cJSON_CreateArray());
	const cJSON *k;

	cJSON_ArrayForEach(k, v)
	{
		and_not(x, list, k);
	}
}

static int no_any(struct no *x, const cJSON *v)
{
	none_of(x, v);
	return 0;
}

/* None of them, or two. */
static int no_one(struct no *x, const cJSON *v)
{
	none_of(x, v);
	for (const cJSON *a = v->child; a; a = a->next)
		for (const cJSON *b = a->next; b; b = b->next) {
			cJSON *list = child(x, way(x, NULL), "allOf", cJSON_CreateArray());

			and_it(x, list, a);
			and_it(x, list, b);
		}
	return 0;
}

static int no_not(struct no *x, const cJSON *v)
{
	and_it(x, child(x, way(x, NULL), "allOf", cJSON_CreateArray()), v);
	return 0;
}

static int no_if(struct no *x, const cJSON *v)
{
	const cJSON *then = json_get(x->node, "then"), *other = json_get(x->node, "else");
	cJSON *list;

	if (then) {
		list = child(x, way(x, NULL), "allOf", cJSON_CreateArray());
		and_it(x, list, v);
		and_not(x, list, then);
	}
	if (other) {
		list = child(x, way(x, NULL), "allOf", cJSON_CreateArray());
		and_not(x, list, v);
		and_not(x, list, other);
	}
	return 0;
}

static int no_ref(struct no *x, const cJSON *v)
{
	const cJSON *to = schema_target(x->s, x->node);

	(void)v;
	if (!to)
		return -1;
	share(x, way(x, NULL), "not", to);
	return 0;
}

static int with_others(struct no *x, const cJSON *v)
{
	(void)x;
	(void)v;
	return 0;
}

static const struct {
	const char *key;
	int (*no)(struct no *x, const cJSON *v);
} rows[] = {
	{ "type", no_plain },           { "enum", no_plain },
	{ "const", no_plain },          { "pattern", no_plain },
	{ "minimum", no_bound },        { "maximum", no_bound },
	{ "exclusiveMinimum", no_bound }, { "exclusiveMaximum", no_bound },
	{ "minLength", no_bound },      { "maxLength", no_bound },
	{ "minItems", no_bound },       { "maxItems", no_bound },
	{ "minProperties", no_bound },  { "maxProperties", no_bound },
	{ "required", no_required },    { "properties", no_properties },
	{ "items", no_items },          { "prefixItems", no_prefix },
	{ "contains", no_contains },    { "minContains", with_others },
	{ "maxContains", with_others }, { "dependentRequired", no_dependent },
	{ "dependentSchemas", no_dependent }, { "dependencies", no_dependent },
	{ "allOf", no_all },            { "anyOf", no_any },
	{ "oneOf", no_one },            { "not", no_not },
	{ "if", no_if },                { "then", with_others },
	{ "else", with_others },        { "$ref", no_ref },
	{ "$id", with_others },
};

static int no_keyword(struct no *x, const cJSON *v)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].key, v->string) == 0)
			return rows[i].no(x, v);
	return schema_note(v->string) ? 0 : refuse(x, v->string);
}

bool schema_not_plain(const cJSON *not)
{
	static const char *const keys[] = { "type", "enum", "const", "pattern" };
	const cJSON *k = cJSON_IsObject(not) ? not->child : NULL;

	for (size_t i = 0; k && !k->next && i < 4; i++)
		if (strcmp(k->string, keys[i]) == 0)
			return true;
	return false;
}

const cJSON *schema_not(struct schema *s, const cJSON *node)
{
	const cJSON *had = schema_made(s, node, MADE_NOT), *k;
	struct no x = { .s = s, .node = node };
	cJSON *made;
	int rc = 0;

	if (had || schema_step(s) || schema_check(s, node))
		return had;
	if (!cJSON_IsObject(node) || !node->child)
		return schema_keep(s, node, MADE_NOT, cJSON_CreateBool(cJSON_IsFalse(node)));
	made = cJSON_CreateObject();
	x.any = child(&x, made, "anyOf", cJSON_CreateArray());
	for (k = node->child; k && rc == 0 && !x.failed; k = k->next)
		rc = no_keyword(&x, k);
	if (rc || x.failed) {
		cJSON_Delete(made);
		if (!rc)
			err_memory(s->e, sizeof *made);
		return NULL;
	}
	if (!x.any->child) { /* nothing is left out */
		cJSON_Delete(made);
		made = cJSON_CreateFalse();
	}
	return schema_keep(s, node, MADE_NOT, made);
}
