/* SPDX-License-Identifier: MIT */
/* schema_all.c - schemas that hold at once, to alternatives of plain ones
 *
 * References and allOf add to what holds; anyOf and oneOf make an alternative
 * of each branch. oneOf is taken where no two of its branches have a value
 * in common: then it is the same. */
#include <string.h>

#include "gen/schema.h"

struct expand {
	struct schema *s;
	struct ways *out;
	size_t room;
};

static int done(struct expand *x, const struct all *plain)
{
	struct all *more;

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

/* No two branches have a value in common; else it is refused. */
static int check_apart(struct schema *s, const cJSON *node, const cJSON *one,
                       const struct all *with)
{
	int i = 0;

	for (const cJSON *a = one->child; a; a = a->next, i++) {
		int k = i + 1;

		for (const cJSON *b = a->next; b; b = b->next, k++) {
			struct all both = { 0 };
			int nothing;

			if (all_add(s, &both, a) || all_add(s, &both, b))
				return -1;
			nothing = both.n ? schema_nothing(s, &both, with) : 0;
			if (nothing < 0)
				return -1;
			if (!nothing)
				return schema_refuse(
					s, node, "oneOf",
					"a value may be of %d and %d both; expected branches "
					"that exclude each other, or anyOf",
					i, k);
		}
	}
	return 0;
}

static bool holds_plain(const struct all *a, const cJSON *node)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->of[i] == node)
			return true;
	return false;
}

static int expand(struct expand *x, struct all plain, struct all todo, size_t at);

/* The alternatives of node's anyOf, then of its oneOf, each with the rest. */
static int choose(struct expand *x, const cJSON *node, struct all plain, struct all todo, size_t at)
{
	bool bad_any, bad_one;
	const cJSON *any = branches(x->s, node, "anyOf", &bad_any), *a, *b,
		    *one = bad_any ? NULL : branches(x->s, node, "oneOf", &bad_one);

	if (bad_any || bad_one)
		return -1;
	if (one && check_apart(x->s, node, one, &plain))
		return -1;
	for (a = any ? any->child : NULL;; a = a->next) {
		for (b = one ? one->child : NULL;; b = b->next) {
			struct all more = todo;

			if ((a && all_add(x->s, &more, a)) || (b && all_add(x->s, &more, b)) ||
			    expand(x, plain, more, at))
				return -1;
			if (!b || !b->next)
				break;
		}
		if (!a || !a->next)
			break;
	}
	return 0;
}

static int expand(struct expand *x, struct all plain, struct all todo, size_t at)
{
	struct schema *s = x->s;

	for (; at < todo.n; at++) {
		const cJSON *node = todo.of[at], *k, *all;
		bool bad;

		if (schema_step(s) || schema_check(s, node))
			return -1;
		if (cJSON_IsFalse(node))
			return 0;
		if (cJSON_IsTrue(node) || holds_plain(&plain, node))
			continue;
		if (all_add(s, &plain, node))
			return -1;
		if (json_get(node, "$ref")) {
			const cJSON *to = schema_target(s, node);

			if (!to || all_add(s, &todo, to))
				return -1;
		}
		all = branches(s, node, "allOf", &bad);
		if (bad)
			return -1;
		cJSON_ArrayForEach(k, all)
		{
			if (all_add(s, &todo, k))
				return -1;
		}
		if (json_get(node, "anyOf") || json_get(node, "oneOf"))
			return choose(x, node, plain, todo, at + 1);
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
