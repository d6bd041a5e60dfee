/* SPDX-License-Identifier: MIT */
/* calls_markup.c - bodies of calls with a tag per argument. The tags leave
 * open what type a value has; the tool's schema says it. */
#include <stdlib.h>
#include <string.h>

#include "text/reason.h"

/* ---- values */

static const cJSON *find_tool(const cJSON *tools, struct bytes name)
{
	for (const cJSON *t = cJSON_IsArray(tools) ? tools->child : NULL; t; t = t->next) {
		const cJSON *f = json_get(t, "function"), *own = json_get(f ? f : t, "name");

		if (cJSON_IsString(own) && bytes_is(name, own->valuestring))
			return f ? f : t;
	}
	return NULL;
}

static bool is_type(const cJSON *type, const char *what)
{
	if (cJSON_IsString(type))
		return !strcmp(type->valuestring, what);
	for (const cJSON *i = cJSON_IsArray(type) ? type->child : NULL; i; i = i->next)
		if (cJSON_IsString(i) && !strcmp(i->valuestring, what))
			return true;
	return false;
}

/* Has a schema this type, or one of its alternatives? */
static bool allows(const cJSON *schema, const char *what)
{
	const cJSON *any = json_get(schema, "anyOf"), *values = json_get(schema, "enum");

	if (is_type(json_get(schema, "type"), what))
		return true;
	for (const cJSON *i = cJSON_IsArray(any) ? any->child : NULL; i; i = i->next)
		if (is_type(json_get(i, "type"), what))
			return true;
	return !json_get(schema, "type") && cJSON_IsArray(values) &&
	       cJSON_IsString(values->child) && !strcmp(what, "string");
}

static cJSON *typed(const cJSON *schema, const char *text)
{
	struct err ignored;
	cJSON *v;

	if (allows(schema, "string") && !(allows(schema, "null") && !strcmp(text, "null")))
		return cJSON_CreateString(text);
	/* as Python spells them, where a boolean is asked for */
	if (allows(schema, "boolean") && (!strcmp(text, "True") || !strcmp(text, "False")))
		return cJSON_CreateBool(*text == 'T');
	v = json_parse(text_trim(bytes_of(text)), &ignored);
	return v && !cJSON_IsString(v) ? v : (cJSON_Delete(v), cJSON_CreateString(text));
}

int calls_value(const struct calls *c, cJSON *o, struct bytes name, struct bytes key,
                struct bytes text, bool spelled, struct err *e)
{
	const cJSON *schema = NULL;
	char *own = malloc(key.n + 1), *copy = malloc(text.n + 1);
	cJSON *v = NULL;
	int rc = -1;

	if (own && copy) {
		if (key.n)
			memcpy(own, key.p, key.n);
		if (text.n)
			memcpy(copy, text.p, text.n);
		own[key.n] = copy[text.n] = '\0';
		schema = json_get(find_tool(c->tools, name), "parameters");
		schema = json_get(json_get(schema, "properties"), own);
		v = spelled ? cJSON_CreateString(copy) : typed(schema, copy);
		cJSON_DeleteItemFromObjectCaseSensitive(o, own); /* the last one counts */
		rc = v && cJSON_AddItemToObject(o, own, v) ? 0 : -1;
	}
	if (rc) {
		cJSON_Delete(v);
		err_memory(e, text.n);
	}
	free(own);
	free(copy);
	return rc;
}

/* One newline at each end is the tag's. */
static struct bytes without_newlines(struct bytes t)
{
	if (t.n && *t.p == '\n')
		t = text_from(t, 1);
	if (t.n && t.p[t.n - 1] == '\n')
		t.n--;
	return t;
}

/* ---- a tag with the name in it, and a tag per argument */

struct markup {
	const char *call, *call_end; /* what comes before a name, and after all */
	const char *arg, *arg_end;
	bool quoted;      /* names end at a quote, not at > */
	bool lines;       /* values stand on lines of their own */
	const char *text; /* an attribute: the value is text */
};

/* After `tag`: a name, and what is left behind the tag's >. */
static bool open_tag(const struct markup *m, struct bytes *rest, const char *tag,
                     struct bytes *name, struct bytes *attributes)
{
	size_t at, end, close;

	*rest = text_trim(*rest);
	if (!bytes_starts(*rest, tag))
		return false;
	*rest = text_from(*rest, strlen(tag));
	end = text_find(*rest, m->quoted ? "\"" : ">");
	if (end == rest->n)
		return false;
	*name = text_trim((struct bytes){ rest->p, end });
	*attributes = text_from(*rest, end);
	close = text_find(*attributes, ">");
	if (close == attributes->n)
		return false;
	at = end + close + 1;
	attributes->n = close;
	*rest = text_from(*rest, at);
	return true;
}

/* The end of a value: its closing tag; a model may leave it out, then where the
 * next one opens or the call ends. */
static size_t value_end(const struct markup *m, struct bytes rest, size_t *next)
{
	size_t end = text_find(rest, m->arg_end), arg, call;

	arg = text_find((struct bytes){ rest.p, end }, m->arg);
	if (end < rest.n && arg == end) {
		*next = end + strlen(m->arg_end);
		return end;
	}
	call = text_find((struct bytes){ rest.p, end }, m->call_end);
	*next = arg < call ? arg : call;
	return *next;
}

/* The arguments up to the call's end. As call_fn. */
static int read_args(const struct markup *m, struct bytes *rest, struct bytes name,
                     struct calls *out, cJSON *o, struct err *e)
{
	for (size_t n = 0; n < CALLS_KEYS; n++) {
		struct bytes key, attributes, value;
		size_t next;

		*rest = text_trim(*rest);
		if (bytes_starts(*rest, m->call_end)) {
			*rest = text_from(*rest, strlen(m->call_end));
			return 1;
		}
		if (!rest->n)
			return 1;
		if (!open_tag(m, rest, m->arg, &key, &attributes) || !key.n)
			return 0;
		value = (struct bytes){ rest->p, value_end(m, *rest, &next) };
		*rest = text_from(*rest, next);
		if (m->lines)
			value = without_newlines(value);
		if (calls_value(out, o, name, key, value, m->text && text_has(attributes, m->text),
		                e))
			return -1;
	}
	return 0;
}

static int read_markup(const struct markup *m, struct bytes body, struct calls *out, struct err *e)
{
	struct bytes name, attributes, none = { 0 };
	int rc = 0;

	for (body = text_trim(body); body.n; body = text_trim(body)) {
		cJSON *o;

		if (!open_tag(m, &body, m->call, &name, &attributes))
			return 0;
		o = cJSON_CreateObject();
		if (!o)
			return err_memory(e, sizeof *o);
		rc = read_args(m, &body, name, out, o, e);
		if (rc == 1)
			rc = calls_add(out, name, o, none, e);
		cJSON_Delete(o);
		if (rc != 1)
			return rc;
	}
	return rc;
}

int calls_qwen_coder(struct bytes body, struct calls *out, struct err *e)
{
	static const struct markup m = { "<function=", "</function>", "<parameter=", "</parameter>",
		                         false,        true,          NULL };

	return read_markup(&m, body, out, e);
}

int calls_minimax(struct bytes body, struct calls *out, struct err *e)
{
	static const struct markup m = { "<invoke name=\"",
		                         "</invoke>",
		                         "<parameter name=\"",
		                         "</parameter>",
		                         true,
		                         false,
		                         NULL };

	return read_markup(&m, body, out, e);
}

#define DSML           \
	"\xEF\xBD\x9C" \
	"DSML\xEF\xBD\x9C"

int calls_dsml(struct bytes body, struct calls *out, struct err *e)
{
	static const struct markup m = { "<" DSML "invoke name=\"",
		                         "</" DSML "invoke>",
		                         "<" DSML "parameter name=\"",
		                         "</" DSML "parameter>",
		                         true,
		                         false,
		                         "string=\"true\"" };

	return read_markup(&m, body, out, e);
}

int calls_minicpm(struct bytes body, struct calls *out, struct err *e)
{
	static const struct markup m = {
		"<function name=\"", "</function>", "<param name=\"", "</param>", true, false, NULL
	};

	return read_markup(&m, body, out, e);
}

/* ---- the name, then pairs */

struct pairs {
	const char *key, *key_end, *value, *value_end;
};

static bool take(struct bytes *rest, const char *begin, const char *end, struct bytes *out)
{
	size_t n;

	*rest = text_trim(*rest);
	if (!bytes_starts(*rest, begin))
		return false;
	*out = text_from(*rest, strlen(begin));
	n = text_find(*out, end);
	if (n == out->n)
		return false;
	*rest = text_from(*out, n + strlen(end));
	out->n = n;
	return true;
}

static int read_pairs(const struct pairs *p, struct bytes body, struct calls *out, struct err *e)
{
	size_t at = text_find(body, p->key);
	struct bytes name = text_trim((struct bytes){ body.p, at }), rest = text_from(body, at);
	struct bytes key, value, none = { 0 };
	size_t n = 0;
	cJSON *o;
	int rc = 0;

	if (!name.n || text_has(name, "<") || text_has(name, "{") || text_has(name, "\n"))
		return 0;
	o = cJSON_CreateObject();
	if (!o)
		return err_memory(e, sizeof *o);
	while (!rc && text_trim(rest).n) {
		if (n++ == CALLS_KEYS || !take(&rest, p->key, p->key_end, &key) ||
		    !take(&rest, p->value, p->value_end, &value) || !text_trim(key).n)
			goto end;
		rc = calls_value(out, o, name, text_trim(key), value, false, e);
	}
	if (!rc)
		rc = calls_add(out, name, o, none, e);
end:
	cJSON_Delete(o);
	return rc;
}

int calls_glm(struct bytes body, struct calls *out, struct err *e)
{
	static const struct pairs p = { "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>" };

	return read_pairs(&p, body, out, e);
}

int calls_longcat(struct bytes body, struct calls *out, struct err *e)
{
	static const struct pairs p = { "<longcat_arg_key>", "</longcat_arg_key>",
		                        "<longcat_arg_value>", "</longcat_arg_value>" };

	return read_pairs(&p, body, out, e);
}
