/* SPDX-License-Identifier: MIT */
/* calls_literal.c - bodies of calls in notations of their own: gemma's
 * call:name{key:value}, and calls as Python has them, [f(a="x", b=[1])]. */
#include <stdlib.h>
#include <string.h>

#include "text/reason.h"
#include "util/utf8.h"

struct notation;
struct cursor {
	struct bytes rest;
	unsigned depth;
	const char *quote; /* gemma's, around strings */
	bool no_memory;
	struct err *e;
};
typedef cJSON *value_fn(struct cursor *c);

static void skip_white(struct cursor *c)
{
	while (c->rest.n && strchr(" \t\r\n", *c->rest.p) && *c->rest.p)
		c->rest = text_from(c->rest, 1);
}

static bool take(struct cursor *c, const char *what)
{
	skip_white(c);
	if (!bytes_starts(c->rest, what))
		return false;
	c->rest = text_from(c->rest, strlen(what));
	return true;
}

static bool sees(struct cursor *c, const char *set)
{
	skip_white(c);
	return c->rest.n && *c->rest.p && strchr(set, *c->rest.p);
}

static cJSON *made(struct cursor *c, cJSON *v)
{
	if (!v) {
		c->no_memory = true;
		err_memory(c->e, sizeof *v);
	}
	return v;
}

static cJSON *string_of(struct cursor *c, struct bytes b)
{
	struct buf text = { 0 };
	cJSON *v = NULL;

	buf_add(&text, b.p, b.n);
	buf_add_text(&text, "");
	if (buf_check(&text, c->e))
		c->no_memory = true;
	else
		v = made(c, cJSON_CreateString((char *)text.p));
	buf_release(&text);
	return v;
}

/* A word that is no string: true, a number, ...; else `other` makes it. */
static cJSON *word_of(struct cursor *c, struct bytes word, bool text_too)
{
	static const struct {
		const char *word;
		int type;
	} words[] = { { "True", cJSON_True }, { "False", cJSON_False }, { "None", cJSON_NULL } };
	struct err ignored;
	cJSON *v;

	for (size_t i = 0; !text_too && i < sizeof words / sizeof *words; i++)
		if (bytes_is(word, words[i].word))
			return made(c, words[i].type == cJSON_NULL ?
			                       cJSON_CreateNull() :
			                       cJSON_CreateBool(words[i].type == cJSON_True));
	v = word.n ? json_parse(word, &ignored) : NULL;
	if (v || !text_too)
		return v;
	return string_of(c, word);
}

/* ---- lists and objects, whose brackets all notations share */

static bool add(struct cursor *c, cJSON *o, const char *key, cJSON *take_v)
{
	if (take_v && key)
		cJSON_DeleteItemFromObjectCaseSensitive(o, key);
	if (take_v &&
	    (key ? cJSON_AddItemToObject(o, key, take_v) : cJSON_AddItemToArray(o, take_v)))
		return true;
	if (take_v) {
		cJSON_Delete(take_v);
		made(c, NULL);
	}
	return false;
}

static cJSON *list_of(struct cursor *c, const char *close, value_fn *value)
{
	cJSON *o = made(c, cJSON_CreateArray());

	while (o && !take(c, close)) {
		if (!add(c, o, NULL, value(c)) || (!take(c, ",") && !sees(c, close))) {
			cJSON_Delete(o);
			return NULL;
		}
	}
	return o;
}

/* Pairs up to `close`; key() gives a string, `mark` stands behind it. */
static cJSON *object_of(struct cursor *c, const char *close, value_fn *key, const char *mark,
                        value_fn *value)
{
	cJSON *o = made(c, cJSON_CreateObject());
	size_t n = 0;

	while (o && !take(c, close)) {
		cJSON *k = key(c);
		bool good = n++ < CALLS_KEYS && cJSON_IsString(k) && take(c, mark) &&
		            add(c, o, k->valuestring, value(c)) && (take(c, ",") || sees(c, close));

		cJSON_Delete(k);
		if (!good) {
			cJSON_Delete(o);
			return NULL;
		}
	}
	return o;
}

/* ---- gemma's */

static cJSON *gemma_string(struct cursor *c)
{
	size_t n = text_find(c->rest, c->quote);
	cJSON *v;

	if (n == c->rest.n)
		return NULL;
	v = string_of(c, (struct bytes){ c->rest.p, n });
	c->rest = text_from(c->rest, n + strlen(c->quote));
	return v;
}

static size_t word_length(struct bytes b, const char *stop)
{
	size_t n = 0;

	while (n < b.n && !strchr(stop, b.p[n]))
		n++;
	return n;
}

static cJSON *gemma_key(struct cursor *c)
{
	size_t n;
	cJSON *v;

	if (take(c, c->quote))
		return gemma_string(c);
	n = word_length(c->rest, ":,{}[]");
	v = string_of(c, text_trim((struct bytes){ c->rest.p, n }));
	c->rest = text_from(c->rest, n);
	return v;
}

static cJSON *gemma_value(struct cursor *c)
{
	cJSON *v = NULL;
	size_t n;

	if (++c->depth > JSON_DEPTH - 2)
		return NULL;
	if (take(c, c->quote)) {
		v = gemma_string(c);
	} else if (take(c, "{")) {
		v = object_of(c, "}", gemma_key, ":", gemma_value);
	} else if (take(c, "[")) {
		v = list_of(c, "]", gemma_value);
	} else {
		n = word_length(c->rest, ",{}[]");
		if (n)
			v = word_of(c, text_trim((struct bytes){ c->rest.p, n }), true);
		c->rest = text_from(c->rest, n);
	}
	c->depth--;
	return v;
}

static int read_gemma(struct bytes body, const char *quote, struct calls *out, struct err *e)
{
	struct cursor c = { .rest = body, .quote = quote, .e = e };
	struct bytes name, none = { 0 };
	cJSON *args;
	int rc = 0;

	do {
		size_t n;

		if (!take(&c, "call:"))
			return 0;
		n = word_length(c.rest, ":,{}[]<> \n");
		name = (struct bytes){ c.rest.p, n };
		c.rest = text_from(c.rest, n);
		if (!take(&c, "{"))
			return 0;
		args = object_of(&c, "}", gemma_key, ":", gemma_value);
		if (!args)
			return c.no_memory ? -1 : 0;
		rc = calls_add(out, name, args, none, e);
		cJSON_Delete(args);
		take(&c, ",");
		skip_white(&c);
	} while (rc == 1 && c.rest.n);
	return rc;
}

int calls_gemma(struct bytes body, struct calls *out, struct err *e)
{
	return read_gemma(body, "<|\"|>", out, e);
}

int calls_function_gemma(struct bytes body, struct calls *out, struct err *e)
{
	return read_gemma(body, "<escape>", out, e);
}

/* ---- Python's */

static int hex_digits(struct bytes b, size_t n, uint32_t *out)
{
	*out = 0;
	if (b.n < n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const char *digits = "0123456789abcdef0123456789ABCDEF", *d;

		d = b.p[i] ? strchr(digits, b.p[i]) : NULL;
		if (!d)
			return -1;
		*out = *out * 16 + (uint32_t)((d - digits) % 16);
	}
	return 0;
}

/* What stands behind a backslash; gives how many bytes it takes, 0: unknown. */
static size_t unescape(struct bytes b, struct buf *out)
{
	static const char names[] = "ntrabfv0\\'\"", bytes[] = "\n\t\r\a\b\f\v\0\\'\"";
	static const struct {
		char letter;
		unsigned char n;
	} codes[] = { { 'x', 2 }, { 'u', 4 }, { 'U', 8 } };
	const char *at = b.n && *b.p ? strchr(names, *b.p) : NULL;
	unsigned char text[4];
	uint32_t cp;

	if (at) {
		buf_add_byte(out, (unsigned char)bytes[at - names]);
		return 1;
	}
	for (size_t i = 0; b.n && i < sizeof codes / sizeof *codes; i++) {
		if (*b.p != (unsigned char)codes[i].letter)
			continue;
		if (hex_digits(text_from(b, 1), codes[i].n, &cp) || cp > 0x10FFFF || !cp ||
		    (cp >= 0xD800 && cp < 0xE000))
			return 0;
		buf_add(out, text, (size_t)utf8_encode(text, cp));
		return 1u + codes[i].n;
	}
	return 0;
}

static cJSON *python_string(struct cursor *c)
{
	unsigned char quote = *c->rest.p;
	struct buf text = { 0 };
	cJSON *v = NULL;
	size_t i = 1;

	for (; i < c->rest.n && c->rest.p[i] != quote; i++) {
		size_t n = 0;

		if (c->rest.p[i] == '\\' && (n = unescape(text_from(c->rest, i + 1), &text)))
			i += n;
		else
			buf_add_byte(&text, c->rest.p[i]);
	}
	if (i < c->rest.n && !memchr(text.p ? text.p : (unsigned char *)"", 0, text.n)) {
		v = string_of(c, buf_bytes(&text));
		c->rest = text_from(c->rest, i + 1);
	}
	buf_release(&text);
	return v;
}

static cJSON *python_value(struct cursor *c);

static cJSON *python_key(struct cursor *c)
{
	return sees(c, "'\"") ? python_string(c) : NULL;
}

static cJSON *python_value(struct cursor *c)
{
	cJSON *v = NULL;
	size_t n;

	if (++c->depth > JSON_DEPTH - 2)
		return NULL;
	if (sees(c, "'\"")) {
		v = python_string(c);
	} else if (take(c, "{")) {
		v = object_of(c, "}", python_key, ":", python_value);
	} else if (take(c, "[")) {
		v = list_of(c, "]", python_value);
	} else if (take(c, "(")) {
		v = list_of(c, ")", python_value);
	} else {
		n = word_length(c->rest, ",{}[]()'\"= \t\r\n");
		v = word_of(c, (struct bytes){ c->rest.p, n }, false);
		c->rest = text_from(c->rest, n);
	}
	c->depth--;
	return v;
}

static cJSON *python_name(struct cursor *c)
{
	cJSON *v;
	size_t n;

	skip_white(c);
	n = word_length(c->rest, ",{}[]()'\"= \t\r\n");
	v = n ? string_of(c, (struct bytes){ c->rest.p, n }) : NULL;
	c->rest = text_from(c->rest, n);
	return v;
}

int calls_python(struct bytes body, struct calls *out, struct err *e)
{
	struct cursor c = { .rest = text_trim(body), .e = e };
	bool list = take(&c, "[");
	struct bytes none = { 0 };
	int rc;

	do {
		cJSON *name = python_name(&c), *args = NULL;

		rc = 0;
		if (name && take(&c, "("))
			args = object_of(&c, ")", python_name, "=", python_value);
		if (args)
			rc = calls_add(out, bytes_of(name->valuestring), args, none, e);
		cJSON_Delete(name);
		cJSON_Delete(args);
		if (c.no_memory)
			return -1;
	} while (rc == 1 && take(&c, ",") && !sees(&c, "]"));
	if (rc == 1 && list && !take(&c, "]"))
		return 0;
	skip_white(&c);
	return rc == 1 && c.rest.n ? 0 : rc;
}
