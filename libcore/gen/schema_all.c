/* SPDX-License-Identifier: MIT */
/* schema_all.c - schemas that hold at once, to alternatives of plain ones
 *
 * References, allOf and the opposite of not add to what holds; anyOf, oneOf, if
 * and dependencies make alternatives. A branch of oneOf that may have a value in
 * common with another is taken without that one's. */
#include <string.h>

#include "gen/schema.h"

struct expand {
	struct schema *s;
	struct ways *out;
	size_t room;
};

/* A schema and its opposite: nothing is of both. So ends also one that is to
 * leave out itself. */
static bool contradicts(const struct schema *s, const struct all *plain)
{
	for (size_t i = 0; i < plain->n; i++) {
		const cJSON *of = schema_not_of(s, plain->of[i]);

		for (size_t k = 0; of && k < plain->n; k++)
			if (schema_same(plain->of[k], of))
				return true;
	}
	return false;
}

static int done(struct expand *x, const struct all *plain)
{
	struct all *more;

	if (contradicts(x->s, plain))
		return 0;
	if (x->out->n >= SCHEMA_WAYS)
		return schema_refuse(x->s, plain->n ? plain->of[0] : x->s->root, NULL,
		                     "over %d alternatives", SCHEMA_WAYS);
	if (x->out->n == x->room) {
		size_t room = x->room ? 2 * x->room : 8;

		more = arena_new(&x->s->m, room, sizeof *more, x->s->e);
		if (!more)
			return -1;
		if (x->out->n)
			memcpy(more, x->out->way, x->out->n * sizeof *more);
		x->out->way = more;
		x->room = room;
	}
	x->out->way[x->out->n++] = *plain;
	return 0;
}

static const cJSON *branches(struct schema *s, const cJSON *node, const char *key, bool *bad)
{
	const cJSON *v = json_get(node, key);

	*bad = v && (!cJSON_IsArray(v) || !v->child);
	if (*bad)
		schema_refuse(s, node, key, "expected a filled array of schemas, found %s",
		              json_kind(v));
	return v;
}

/* Of what holds the schemas that apply no others in place: whether branches are
 * apart must not follow from that they are to be. */
static int lone(struct schema *s, const struct all *plain, struct all *out)
{
	static const char *const keys[] = { "allOf", "anyOf", "oneOf", "not", "if", "$ref",
		                            "dependentSchemas", "dependencies" };

	*out = (struct all){ 0 };
	for (size_t i = 0; i < plain->n; i++) {
		size_t k = 0;

		while (k < 8 && !json_get(plain->of[i], keys[k]))
			k++;
		if (k == 8 && all_add(s, out, plain->of[i]))
			return -1;
	}
	return 0;
}

/* 1: no value is of both branches; 0: one may be, -1. */
static int apart(struct schema *s, const cJSON *a, const cJSON *b, const struct all *with)
{
	struct all both = { 0 };

	if (all_add(s, &both, a) || all_add(s, &both, b))
		return -1;
	return both.n ? schema_nothing(s, &both, with) : 0;
}

static bool holds_plain(const struct all *a, const cJSON *node)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->of[i] == node)
			return true;
	return false;
}

static int expand(struct expand *x, struct all plain, struct all todo, size_t at);

/* Of one keyword the alternatives: what each adds to what holds. */
struct choice { struct all *option; size_t n; };
struct choices { struct choice *of; size_t n; };

static struct choice *choice_new(struct schema *s, struct choices *c, size_t n)
{
	struct choice *k = &c->of[c->n++];

	*k = (struct choice){ arena_new(&s->m, n + 1, sizeof *k->option, s->e), n };
	return k->option ? k : NULL;
}

static int choose_any(struct schema *s, const cJSON *list, struct choices *c)
{
	struct choice *k = choice_new(s, c, (size_t)cJSON_GetArraySize(list));
	size_t i = 0;

	for (const cJSON *a = k ? list->child : NULL; a; a = a->next)
		if (all_add(s, &k->option[i++], a))
			return -1;
	return k ? 0 : -1;
}

/* Each branch without those that may have a value in common with it. */
static int choose_one(struct schema *s, const cJSON *node, const cJSON *list,
                      const struct all *plain, struct choices *c)
{
	struct choice *k = choice_new(s, c, (size_t)cJSON_GetArraySize(list));
	struct all with;
	size_t i = 0, j;

	if (lone(s, plain, &with))
		return -1;
	for (const cJSON *a = k ? list->child : NULL; a; a = a->next, i++) {
		if (all_add(s, &k->option[i], a))
			return -1;
		j = 0;
		for (const cJSON *b = list->child; b; b = b->next, j++) {
			int none = a == b ? 1 : apart(s, a, b, &with);
			const cJSON *not = none ? NULL : schema_not(s, b);

			if (none < 0)
				return -1;
			if (none)
				continue;
			if (!not && s->e->kind == ERR_INPUT)
				return schema_refuse(
					s, node, "oneOf",
					"a value may be of %zu and %zu both; expected branches "
					"that exclude each other, or anyOf",
					i < j ? i : j, i < j ? j : i);
			if (!not || all_add(s, &k->option[i], not))
				return -1;
		}
	}
	return k ? 0 : -1;
}

static int choose_if(struct schema *s, const cJSON *node, struct choices *c)
{
	const cJSON *test = json_get(node, "if"), *then = json_get(node, "then"),
		    *other = json_get(node, "else"), *not;
	struct choice *k;

	if (!test || (!then && !other))
		return 0;
	not = schema_not(s, test);
	k = not ? choice_new(s, c, 2) : NULL;
	if (!k || all_add(s, &k->option[0], test) || (then && all_add(s, &k->option[0], then)) ||
	    all_add(s, &k->option[1], not) || (other && all_add(s, &k->option[1], other)))
		return -1;
	return 0;
}

/* {"properties": {k: false}}; {"type": "object", "required": [k, ...]} */
static const cJSON *member_node(struct schema *s, const cJSON *k, enum made_kind kind)
{
	const cJSON *had = schema_made(s, k, kind), *name;
	cJSON *o, *in;

	if (had)
		return had;
	o = cJSON_CreateObject();
	if (kind == MADE_ABSENT) {
		in = cJSON_AddObjectToObject(o, "properties");
		cJSON_AddItemToObject(in, k->string, cJSON_CreateFalse());
		return schema_keep(s, k, kind, o);
	}
	cJSON_AddStringToObject(o, "type", "object");
	in = cJSON_AddArrayToObject(o, "required");
	cJSON_AddItemToArray(in, cJSON_CreateString(k->string));
	for (name = cJSON_IsArray(k) ? k->child : NULL; name; name = name->next)
		cJSON_AddItemReferenceToArray(in, (cJSON *)(uintptr_t)name);
	return schema_keep(s, k, kind, o);
}

/* Of each member that asks for others: it is not there, or they are. */
static int choose_dependent(struct schema *s, const cJSON *node, const char *key,
                            struct choices *c)
{
	const cJSON *list = json_get(node, key), *k, *no, *yes;
	bool texts = strcmp(key, "dependentSchemas"), schemas = strcmp(key, "dependentRequired");
	struct choice *two;

	if (list && !cJSON_IsObject(list))
		return schema_refuse(s, node, key, "expected an object, found %s", json_kind(list));
	cJSON_ArrayForEach(k, list)
	{
		if (cJSON_IsArray(k) ? !texts : !schemas)
			return schema_refuse(s, list, k->string, "expected %s",
			                     schemas ? "a schema" : "an array of names");
		two = choice_new(s, c, 2);
		no = two ? member_node(s, k, MADE_ABSENT) : NULL;
		yes = no ? member_node(s, k, MADE_PRESENT) : NULL;
		if (!yes || all_add(s, &two->option[0], no) || all_add(s, &two->option[1], yes) ||
		    (!cJSON_IsArray(k) && all_add(s, &two->option[1], k)))
			return -1;
	}
	return 0;
}

static int choices_of(struct schema *s, const cJSON *node, const struct all *plain,
                      struct choices *c)
{
	static const char *const dependent[] = { "dependentRequired", "dependentSchemas",
		                                 "dependencies" };
	bool bad_any, bad_one;
	const cJSON *any = branches(s, node, "anyOf", &bad_any),
		    *one = bad_any ? NULL : branches(s, node, "oneOf", &bad_one);
	size_t n = 3;

	if (bad_any || bad_one)
		return -1;
	for (size_t i = 0; i < 3; i++)
		n += (size_t)cJSON_GetArraySize(json_get(node, dependent[i]));
	c->of = arena_new(&s->m, n, sizeof *c->of, s->e);
	if (!c->of || (any && choose_any(s, any, c)) ||
	    (one && choose_one(s, node, one, plain, c)) || choose_if(s, node, c))
		return -1;
	for (size_t i = 0; i < 3; i++)
		if (choose_dependent(s, node, dependent[i], c))
			return -1;
	return 0;
}

/* One of each, together with the rest. */
static int choose(struct expand *x, const struct choices *c, size_t i, struct all plain,
                  struct all todo, size_t at)
{
	if (i == c->n)
		return expand(x, plain, todo, at);
	for (size_t k = 0; k < c->of[i].n; k++) {
		const struct all *option = &c->of[i].option[k];
		struct all more = todo;

		for (size_t n = 0; n < option->n; n++)
			if (all_add(x->s, &more, option->of[n]))
				return -1;
		if (choose(x, c, i + 1, plain, more, at))
			return -1;
	}
	return 0;
}

/* What holds wherever the node does: of $ref, of allOf, of not. */
static int add_inner(struct schema *s, const cJSON *node, struct all *todo)
{
	const cJSON *not = json_get(node, "not"), *to, *k, *all;
	bool bad;

	if (json_get(node, "$ref") && (!(to = schema_target(s, node)) || all_add(s, todo, to)))
		return -1;
	all = branches(s, node, "allOf", &bad);
	if (bad)
		return -1;
	cJSON_ArrayForEach(k, all)
	{
		if (all_add(s, todo, k))
			return -1;
	}
	if (not && !schema_not_plain(not) &&
	    (!(to = schema_not(s, not)) || all_add(s, todo, to)))
		return -1;
	return 0;
}

static int expand(struct expand *x, struct all plain, struct all todo, size_t at)
{
	struct schema *s = x->s;

	for (; at < todo.n; at++) {
		const cJSON *node = todo.of[at];
		struct choices c;

		if (schema_step(s) || schema_check(s, node))
			return -1;
		if (cJSON_IsFalse(node))
			return 0;
		if (cJSON_IsTrue(node) || holds_plain(&plain, node))
			continue;
		if (all_add(s, &plain, node))
			return -1;
		if (add_inner(s, node, &todo))
			return -1;
		c = (struct choices){ 0 };
		if (choices_of(s, node, &plain, &c))
			return -1;
		if (c.n)
			return choose(x, &c, 0, plain, todo, at + 1);
	}
	return done(x, &plain);
}

int schema_ways(struct schema *s, const struct all *all, struct ways *out)
{
	struct expand x = { .s = s, .out = out };
	struct all none = { 0 };

	*out = (struct ways){ 0 };
	return expand(&x, none, *all, 0);
}
