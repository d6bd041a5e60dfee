/* SPDX-License-Identifier: MIT */
/* json.c - strict JSON trees: cJSON behind our own reader.
 *
 * Given a text, gives a tree only after the pull reader found nothing wrong
 * in it: cJSON alone takes duplicate keys, invalid UTF-8, "01" and 1e999,
 * and cuts strings at \u0000. */
#include "util/json.h"
#include "util/map.h"
#include "util/num.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static int check_text(struct bytes text, struct err *e)
{
	struct json_pull j;
	enum json_token t;

	json_pull_init(&j, text);
	do
		t = json_next(&j, e);
	while (t != JSON_ERROR && t != JSON_END);
	json_pull_release(&j);
	return t == JSON_ERROR ? -1 : 0;
}

/* No key twice in this object; many keys take a map. */
static int check_object(const cJSON *o, struct err *e)
{
	struct map seen = { 0 };
	int rc = 0, n = cJSON_GetArraySize(o);

	if (n > 8 && map_init(&seen, (size_t)n, e))
		return -1;
	for (const cJSON *v = o->child; v && rc == 0; v = v->next) {
		if (n > 8)
			rc = map_add(&seen, bytes_of(v->string), 0, e);
		else
			for (const cJSON *w = o->child; w != v && !rc; w = w->next)
				rc = strcmp(v->string, w->string) == 0;
		if (rc > 0)
			rc = err_set(e, ERR_INPUT, "%s: the key is there twice", v->string);
	}
	map_release(&seen);
	return rc;
}

/* As deep as check_text() let it be. */
static int check_keys(const cJSON *v, struct err *e)
{
	if (cJSON_IsObject(v) && check_object(v, e))
		return -1;
	for (const cJSON *c = v->child; c; c = c->next) {
		if (!c->child || check_keys(c, e) == 0)
			continue;
		return c->string ? err_in(e, "%s", c->string) : -1;
	}
	return 0;
}

/* A number that a double or its shortest text would change ("10000.0", a
 * seed of 19 digits) keeps its own, as valuestring. Numbers come in the same
 * order from the reader and from a walk over the tree. */
static int keep_numbers(cJSON *v, struct json_pull *j, struct err *e)
{
	enum json_token t;

	for (cJSON *c = v->child; c; c = c->next)
		if (keep_numbers(c, j, e))
			return -1;
	if (!cJSON_IsNumber(v))
		return 0;
	do
		t = json_next(j, e);
	while (t != JSON_NUMBER && t != JSON_ERROR && t != JSON_END);
	assert(t == JSON_NUMBER);
	if (j->string.n <= 15 && !memchr(j->string.p, '.', j->string.n) &&
	    !memchr(j->string.p, 'e', j->string.n) && !memchr(j->string.p, 'E', j->string.n))
		return 0;
	v->valuestring = cJSON_malloc(j->string.n + 1);
	if (!v->valuestring)
		return err_memory(e, j->string.n + 1);
	memcpy(v->valuestring, j->string.p, j->string.n);
	v->valuestring[j->string.n] = '\0';
	return 0;
}

static int finish_tree(cJSON *v, struct bytes text, struct err *e)
{
	struct json_pull j;
	int rc;

	if (check_keys(v, e))
		return -1;
	json_pull_init(&j, text);
	rc = keep_numbers(v, &j, e);
	json_pull_release(&j);
	return rc;
}

cJSON *json_parse(struct bytes text, struct err *e)
{
	cJSON *v;

	if (text.n > JSON_BYTES) {
		err_set(e, ERR_INPUT, "JSON of %zu bytes, at most %d", text.n, JSON_BYTES);
		return NULL;
	}
	if (check_text(text, e))
		return NULL;
	v = cJSON_ParseWithLength((const char *)text.p, text.n);
	if (!v) {
		err_memory(e, text.n);
		return NULL;
	}
	if (finish_tree(v, text, e)) {
		cJSON_Delete(v);
		return NULL;
	}
	return v;
}

const cJSON *json_get(const cJSON *o, const char *key)
{
	return cJSON_IsObject(o) ? cJSON_GetObjectItemCaseSensitive(o, key) : NULL;
}

const char *json_kind(const cJSON *v)
{
	static const struct {
		int type;
		const char *text;
	} kinds[] = {
		{ cJSON_False, "a boolean" },  { cJSON_True, "a boolean" },
		{ cJSON_NULL, "null" },        { cJSON_Number, "a number" },
		{ cJSON_String, "a string" },  { cJSON_Array, "an array" },
		{ cJSON_Object, "an object" },
	};

	for (size_t i = 0; v && i < sizeof kinds / sizeof *kinds; i++)
		if ((v->type & 0xff) == kinds[i].type)
			return kinds[i].text;
	return "nothing";
}

static int wrong(const char *key, const char *want, const cJSON *v, struct err *e)
{
	return err_set(e, ERR_INPUT, "%s: expected %s, found %s", key, want, json_kind(v));
}

int json_get_bool(const cJSON *o, const char *key, bool *out, struct err *e)
{
	const cJSON *v = json_get(o, key);

	if (!v || cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsBool(v))
		return wrong(key, "a boolean", v, e);
	*out = cJSON_IsTrue(v);
	return 1;
}

int json_get_f64(const cJSON *o, const char *key, double *out, struct err *e)
{
	const cJSON *v = json_get(o, key);

	if (!v || cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsNumber(v))
		return wrong(key, "a number", v, e);
	*out = v->valuedouble;
	return 1;
}

int json_get_i64(const cJSON *o, const char *key, int64_t *out, struct err *e)
{
	const cJSON *v = json_get(o, key);
	double d;

	if (!v || cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsNumber(v))
		return wrong(key, "an integer", v, e);
	if (v->valuestring && num_i64(out, v->valuestring))
		return 1;
	d = v->valuedouble;
	/* past 2^53 a double no longer tells which integer was written */
	if (d != floor(d) || fabs(d) >= 0x1p53)
		return err_set(e, ERR_INPUT, "%s: expected an integer%s, found %.17g", key,
		               d == floor(d) ? " below 2^53" : "", d);
	*out = (int64_t)d;
	return 1;
}

int json_get_size(const cJSON *o, const char *key, size_t *out, struct err *e)
{
	int64_t v;
	int rc = json_get_i64(o, key, &v, e);

	if (rc <= 0)
		return rc;
	if (v < 0 || (uint64_t)v > SIZE_MAX)
		return err_set(e, ERR_INPUT, "%s: expected a size, found %lld", key, (long long)v);
	*out = (size_t)v;
	return 1;
}

int json_get_text(const cJSON *o, const char *key, const char **out, struct err *e)
{
	const cJSON *v = json_get(o, key);

	if (!v || cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsString(v))
		return wrong(key, "a string", v, e);
	*out = v->valuestring;
	return 1;
}
