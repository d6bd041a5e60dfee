/* SPDX-License-Identifier: MIT */
/* schema.c - JSON Schema 2020-12 to a grammar: keywords, references, rules
 *
 * Every set of schemas that holds for some value is a rule, made once, so
 * that recursion is a call and counts within counts do not multiply. What
 * cannot be kept to is refused by its place: nothing is ignored. */
#include "gen/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- refusals */

bool schema_same(const cJSON *a, const cJSON *b)
{
	return a == b || (a && b && a->child && a->child == b->child &&
	                  ((a->type | b->type) & cJSON_IsReference));
}

/* Appends the way from `at` to `node`; true when it is found. */
static bool find_way(struct buf *out, const cJSON *at, const cJSON *node)
{
	size_t n = out->n;
	int i = 0;

	if (schema_same(at, node))
		return true;
	for (const cJSON *k = at->child; k; k = k->next, i++) {
		if (k->string) {
			buf_add_byte(out, '/');
			for (const char *c = k->string; *c; c++)
				if (*c == '~' || *c == '/')
					buf_add_text(out, *c == '~' ? "~0" : "~1");
				else
					buf_add_byte(out, (unsigned char)*c);
		} else {
			buf_printf(out, "/%d", i);
		}
		if (find_way(out, k, node))
			return true;
		out->n = n;
	}
	return false;
}

/* What a schema made here was made of. */
static const cJSON *origin(const struct schema *s, const cJSON *node)
{
	struct buf ignored = { .ceiling = 400 };
	const cJSON *of = NULL;

	for (size_t i = 0; i < s->n_made_here && !of; i++)
		if (s->made[i].node != s->made[i].of && find_way(&ignored, s->made[i].node, node))
			of = s->made[i].of;
	buf_release(&ignored);
	return of;
}

int schema_refuse(struct schema *s, const cJSON *node, const char *key, const char *fmt, ...)
{
	struct buf where = { .ceiling = 400 };
	char what[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	buf_add_text(&where, "");
	for (int i = 0; i < GRAMMAR_DEPTH && node && !find_way(&where, s->root, node); i++) {
		node = origin(s, node);
		key = NULL;
	}
	err_set(s->e, ERR_INPUT, "%.*s%s%s: %s", (int)where.n, where.p ? (const char *)where.p : "",
	        key     ? "/" :
	        where.n ? "" :
	                  "/",
	        key ? key : "", what);
	buf_release(&where);
	return -1;
}

int schema_step(struct schema *s)
{
	if (++s->judged <= SCHEMA_JUDGED)
		return 0;
	return err_set(s->e, ERR_INPUT, "the schema: it takes too many steps to read");
}

/* ---- keywords */

enum use { USE_KEPT, USE_NOTE, USE_NEVER };
static const struct keyword {
	const char *name;
	enum use use;
} keywords[] = {
	{ "type", USE_KEPT },
	{ "enum", USE_KEPT },
	{ "const", USE_KEPT },
	{ "properties", USE_KEPT },
	{ "required", USE_KEPT },
	{ "additionalProperties", USE_KEPT },
	{ "patternProperties", USE_KEPT },
	{ "propertyNames", USE_KEPT },
	{ "minProperties", USE_KEPT },
	{ "maxProperties", USE_KEPT },
	{ "items", USE_KEPT },
	{ "prefixItems", USE_KEPT },
	{ "minItems", USE_KEPT },
	{ "maxItems", USE_KEPT },
	{ "uniqueItems", USE_KEPT },
	{ "contains", USE_KEPT },
	{ "minContains", USE_KEPT },
	{ "maxContains", USE_KEPT },
	{ "minLength", USE_KEPT },
	{ "maxLength", USE_KEPT },
	{ "pattern", USE_KEPT },
	{ "format", USE_KEPT },
	{ "minimum", USE_KEPT },
	{ "maximum", USE_KEPT },
	{ "exclusiveMinimum", USE_KEPT },
	{ "exclusiveMaximum", USE_KEPT },
	{ "multipleOf", USE_KEPT },
	{ "anyOf", USE_KEPT },
	{ "oneOf", USE_KEPT },
	{ "allOf", USE_KEPT },
	{ "not", USE_KEPT },
	{ "$ref", USE_KEPT },
	{ "nullable", USE_KEPT },
	{ "unevaluatedProperties", USE_KEPT },
	{ "unevaluatedItems", USE_KEPT },
	{ "dependentRequired", USE_KEPT },
	{ "dependentSchemas", USE_KEPT },
	{ "dependencies", USE_KEPT },
	{ "if", USE_KEPT },
	{ "then", USE_KEPT },
	{ "else", USE_KEPT },
	{ "$id", USE_KEPT },
	{ "$defs", USE_NOTE },
	{ "definitions", USE_NOTE },
	{ "title", USE_NOTE },
	{ "description", USE_NOTE },
	{ "default", USE_NOTE },
	{ "examples", USE_NOTE },
	{ "example", USE_NOTE },
	{ "$schema", USE_NOTE },
	{ "$comment", USE_NOTE },
	{ "deprecated", USE_NOTE },
	{ "readOnly", USE_NOTE },
	{ "writeOnly", USE_NOTE },
	{ "$anchor", USE_NOTE },
	{ "contentEncoding", USE_NOTE },
	{ "contentMediaType", USE_NOTE },
	{ "contentSchema", USE_NOTE },
	{ "$dynamicAnchor", USE_NOTE },
	{ "$vocabulary", USE_NOTE },
	{ "discriminator", USE_NOTE },
	{ "externalDocs", USE_NOTE },
	{ "xml", USE_NOTE },
	{ "strict", USE_NOTE },
	{ "propertyOrdering", USE_NOTE },
};

static enum use use_of(const char *name)
{
	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (!strcmp(keywords[i].name, name))
			return keywords[i].use;
	return strncmp(name, "x-", 2) ? USE_NEVER : USE_NOTE;
}

bool schema_note(const char *name)
{
	return use_of(name) == USE_NOTE;
}

int schema_check(struct schema *s, const cJSON *node)
{
	const cJSON *k;

	if (!cJSON_IsObject(node))
		return cJSON_IsBool(node) ?
		               0 :
		               schema_refuse(s, node, NULL, "expected a schema, found %s",
		                             json_kind(node));
	if (node != s->root && cJSON_IsString(json_get(node, "$id")))
		return schema_refuse(s, node, "$id", "only the whole schema may have a name");
	cJSON_ArrayForEach(k, node)
	{
		if (use_of(k->string) == USE_NEVER)
			return schema_refuse(s, node, k->string, "this keyword is not supported");
	}
	return 0;
}

int schema_count(struct schema *s, const cJSON *node, const char *key, size_t *out)
{
	const cJSON *v = json_get(node, key);

	if (!v)
		return 0;
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= 1e9) ||
	    v->valuedouble != (double)(size_t)v->valuedouble)
		return schema_refuse(s, node, key, "expected a count up to 1000000000");
	*out = (size_t)v->valuedouble;
	return 1;
}

/* ---- references */

static int hex_of(char c)
{
	return c >= '0' && c <= '9'               ? c - '0' :
	       (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 :
	                                            -1;
}

/* A step of a JSON pointer in a URI's fragment, spelled out. */
static void pointer_step(char *out, size_t size, const char *from, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n && k + 1 < size; i++) {
		char c = from[i];

		if (c == '%' && i + 2 < n && hex_of(from[i + 1]) >= 0 && hex_of(from[i + 2]) >= 0) {
			c = (char)(16 * hex_of(from[i + 1]) + hex_of(from[i + 2]));
			i += 2;
		}
		if (c == '~' && i + 1 < n && (from[i + 1] == '0' || from[i + 1] == '1'))
			c = from[++i] == '0' ? '~' : '/';
		out[k++] = c;
	}
	out[k] = 0;
}

static const cJSON *by_pointer(const cJSON *at, const char *path)
{
	char step[512];

	while (at && *path == '/') {
		size_t n = strcspn(path + 1, "/");

		pointer_step(step, sizeof step, path + 1, n);
		path += n + 1;
		if (cJSON_IsArray(at)) {
			char *end;
			long i = strtol(step, &end, 10);

			at = *step && !*end && i >= 0 && i < 100000 ?
			             cJSON_GetArrayItem(at, (int)i) :
			             NULL;
		} else {
			at = json_get(at, step);
		}
	}
	return *path ? NULL : at;
}

static const cJSON *by_anchor(const cJSON *at, const char *name)
{
	const cJSON *own = json_get(at, "$anchor"), *k, *found;

	if (cJSON_IsObject(at) && cJSON_IsString(own) && !strcmp(own->valuestring, name))
		return at;
	cJSON_ArrayForEach(k, at)
	{
		if (k->string && (!strcmp(k->string, "enum") || !strcmp(k->string, "const")))
			continue;
		if ((found = by_anchor(k, name)))
			return found;
	}
	return NULL;
}

const cJSON *schema_target(struct schema *s, const cJSON *node)
{
	const cJSON *ref = json_get(node, "$ref"), *at = NULL;
	const char *to;

	if (!cJSON_IsString(ref)) {
		schema_refuse(s, node, "$ref", "expected a string, found %s", json_kind(ref));
		return NULL;
	}
	to = ref->valuestring;
	if (s->id && !strncmp(to, s->id, strlen(s->id)))
		to += strlen(s->id);
	if (!*to || !strcmp(to, "#"))
		return s->root;
	if (*to == '#')
		at = to[1] == '/' ? by_pointer(s->root, to + 1) : by_anchor(s->root, to + 1);
	if (!at || (!cJSON_IsObject(at) && !cJSON_IsBool(at))) {
		schema_refuse(s, node, "$ref", "no schema within this one is called \"%.100s\"",
		              ref->valuestring);
		return NULL;
	}
	return at;
}

/* ---- rules */

int all_add(struct schema *s, struct all *a, const cJSON *node)
{
	const cJSON **more;

	if (cJSON_IsTrue(node) || (cJSON_IsObject(node) && !node->child))
		return 0;
	for (size_t i = 0; i < a->n; i++)
		if (a->of[i] == node)
			return 0;
	if (a->n >= SCHEMA_ALL)
		return schema_refuse(s, node, NULL, "over %d schemas hold at once", SCHEMA_ALL);
	more = arena_new(&s->m, a->n + 1, sizeof *more, s->e);
	if (!more)
		return -1;
	if (a->n)
		memcpy(more, a->of, a->n * sizeof *more);
	more[a->n++] = node;
	a->of = more;
	return 0;
}

static bool same(const struct all *a, const struct all *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->of, b->of, a->n * sizeof *a->of));
}

int schema_rule(struct schema *s, const struct all *all, uint32_t *out)
{
	if (!all->n) {
		json_rules(s->g, &s->json);
		*out = s->json.value;
		return 0;
	}
	for (size_t i = 0; i < s->n_known; i++)
		if (same(&s->known[i].all, all)) {
			*out = s->known[i].rule;
			return 0;
		}
	if (s->n_known >= SCHEMA_NAMES)
		return err_set(s->e, ERR_INPUT, "the schema: over %d kinds of values",
		               SCHEMA_NAMES);
	if (s->n_known == s->known_room) {
		size_t room = s->known_room ? 2 * s->known_room : 32;
		struct known *more = arena_new(&s->m, room, sizeof *more, s->e);

		if (!more)
			return -1;
		if (s->n_known)
			memcpy(more, s->known, s->n_known * sizeof *more);
		s->known = more;
		s->known_room = room;
	}
	*out = graph_rule(s->g);
	s->known[s->n_known++] = (struct known){ *all, *out };
	return s->g->failed ? -1 : 0;
}

static int make_rule(struct schema *s, size_t i)
{
	struct all all = s->known[i].all;
	uint32_t rule = s->known[i].rule, way = GRAPH_NONE, one;
	struct ways ways;

	if (schema_ways(s, &all, &ways))
		return -1;
	for (size_t k = 0; k < ways.n; k++) {
		struct form h;

		if (schema_step(s) || schema_form(s, &ways.way[k], &h) || schema_emit(s, &h, &one))
			return -1;
		way = graph_or(s->g, way, one);
	}
	graph_rule_set(s->g, rule, way);
	return s->g->failed ? -1 : 0;
}

/* ---- the whole */

static bool too_deep(const cJSON *v, int left)
{
	if (left < 0)
		return true;
	for (const cJSON *k = v->child; k; k = k->next)
		if (too_deep(k, left - 1))
			return true;
	return false;
}

static int check_size(struct schema *s)
{
	struct buf text = { .ceiling = GRAMMAR_SOURCE };
	int rc;

	/* a schema within a schema is two levels of JSON down */
	if (too_deep(s->root, 2 * GRAMMAR_DEPTH))
		return err_set(s->e, ERR_INPUT,
		               "the schema: expected at most %d levels, found more", GRAMMAR_DEPTH);
	rc = json_write(&text, s->root, 0, false, s->e);
	buf_release(&text);
	return rc && s->e->kind == ERR_INPUT ?
	               err_set(s->e, ERR_INPUT, "the schema: expected at most %d bytes, found more",
	                       GRAMMAR_SOURCE) :
	               rc;
}

int schema_begin(struct schema *s, struct grammar *g, const cJSON *root, struct err *e)
{
	const cJSON *id = json_get(root, "$id");

	*s = (struct schema){ .g = g, .root = root, .e = e };
	s->id = cJSON_IsString(id) ? id->valuestring : NULL;
	arena_init(&s->m, SCHEMA_ARENA);
	return check_size(s) || schema_check(s, root) ? -1 : 0;
}

int schema_end(struct schema *s, int rc)
{
	for (; rc == 0 && s->n_made < s->n_known; s->n_made++)
		rc = make_rule(s, s->n_made);
	arena_release(&s->m);
	schema_made_release(s);
	return rc ? -1 : 0;
}

int graph_schema(struct grammar *g, const cJSON *root, const cJSON *and, uint32_t *rule,
                 struct err *e)
{
	struct all all = { 0 };
	struct schema s;
	int rc = schema_begin(&s, g, root, e);

	if (rc == 0)
		rc = all_add(&s, &all, root) || (and&&all_add(&s, &all, and)) ||
		     schema_rule(&s, &all, rule);
	return schema_end(&s, rc);
}
