/* SPDX-License-Identifier: MIT */
/* calls_json.c - bodies of calls that are JSON, with or without something
 * around it. */
#include <stdlib.h>
#include <string.h>

#include "text/reason.h"
#include "util/utf8.h"

#define BAR "\xEF\xBD\x9C"
#define GAP "\xE2\x96\x81"

static char *copy_text(struct bytes b, struct err *e)
{
	char *text = malloc(b.n + 1);

	if (!text) {
		err_memory(e, b.n);
		return NULL;
	}
	if (b.n)
		memcpy(text, b.p, b.n);
	text[b.n] = '\0';
	return text;
}

static int put_bytes(cJSON *o, const char *key, struct bytes b, struct err *e)
{
	char *text = copy_text(b, e);
	int rc = -1;

	if (text && !cJSON_AddStringToObject(o, key, text))
		err_memory(e, b.n);
	else if (text)
		rc = 0;
	free(text);
	return rc;
}

int calls_add(struct calls *c, struct bytes name, const cJSON *arguments, struct bytes id,
              struct err *e)
{
	struct buf text = { 0 };
	cJSON *call;
	int rc;

	if (!name.n || memchr(name.p, 0, name.n) || (id.n && memchr(id.p, 0, id.n)))
		return 0;
	call = cJSON_CreateObject();
	if (!call || !cJSON_AddItemToArray(c->list, call)) {
		cJSON_Delete(call);
		return err_memory(e, sizeof *call);
	}
	rc = json_write(&text, arguments, 0, false, e) || put_bytes(call, "name", name, e) ||
	     put_bytes(call, "arguments", buf_bytes(&text), e) ||
	     (id.n && put_bytes(call, "id", id, e));
	buf_release(&text);
	return rc ? -1 : 1;
}

/* ---- {"name", "arguments", "id"}, one, several, or a list */

static const cJSON *first_of(const cJSON *o, const char *const *keys)
{
	const cJSON *v = NULL;

	for (; *keys && !v; keys++)
		v = json_get(o, *keys);
	return v;
}

static int add_object(struct calls *c, const cJSON *o, struct err *e)
{
	static const char *const names[] = { "name", "tool_name", "function", NULL };
	static const char *const arguments[] = { "arguments", "parameters", NULL };
	static const char *const ids[] = { "id", "tool_call_id", NULL };
	const cJSON *name = first_of(o, names), *v = first_of(o, arguments);
	const cJSON *id = first_of(o, ids);
	struct bytes own = { 0 };
	struct err ignored;
	cJSON *spelled = NULL;
	int rc = 0;

	if (cJSON_IsString(v))
		v = spelled = json_parse(bytes_of(v->valuestring), &ignored);
	if (cJSON_IsString(id))
		own = bytes_of(id->valuestring);
	if (cJSON_IsString(name) && cJSON_IsObject(v))
		rc = calls_add(c, bytes_of(name->valuestring), v, own, e);
	cJSON_Delete(spelled);
	return rc;
}

static int add_value(struct calls *c, struct bytes text, struct err *e)
{
	struct err ignored;
	cJSON *v = json_parse(text, &ignored);
	int rc = 0;

	if (cJSON_IsObject(v))
		rc = add_object(c, v, e);
	for (const cJSON *i = cJSON_IsArray(v) ? v->child : NULL; i; i = i->next) {
		rc = add_object(c, i, e);
		if (rc != 1)
			break;
	}
	cJSON_Delete(v);
	return rc;
}

/* Bytes of the object or list that the text begins with; 0: it does not end. */
static size_t value_length(struct bytes t)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < t.n; i++) {
		unsigned char b = t.p[i];

		if (quoted) {
			if (b == '\\')
				i++;
			else if (b == '"')
				quoted = false;
			continue;
		}
		if (b == '"')
			quoted = true;
		else if (b == '{' || b == '[')
			depth++;
		else if ((b == '}' || b == ']') && (!depth || !--depth))
			return i + 1;
	}
	return 0;
}

int calls_json(struct bytes body, struct calls *out, struct err *e)
{
	int rc = 0;

	for (body = text_trim(body); body.n; body = text_trim(body)) {
		size_t n = *body.p == '{' || *body.p == '[' ? value_length(body) : 0;

		if (!n)
			return 0;
		rc = add_value(out, (struct bytes){ body.p, n }, e);
		if (rc != 1)
			return rc;
		body = text_trim(text_from(body, n));
		if (body.n && (*body.p == ';' || *body.p == ','))
			body = text_from(body, 1);
	}
	return rc;
}

int calls_functools(struct bytes body, struct calls *out, struct err *e)
{
	return calls_json(text_from(body, sizeof "functools" - 1), out, e);
}

/* ---- a name, then its arguments */

static int add_named(struct calls *c, struct bytes name, struct bytes json, struct bytes id,
                     struct err *e)
{
	struct err ignored;
	cJSON *v = json_parse(text_trim(json), &ignored);
	int rc = cJSON_IsObject(v) ? calls_add(c, text_trim(name), v, id, e) : 0;

	cJSON_Delete(v);
	return rc;
}

/* A list as above, or NAME[CALL_ID]ID[ARGS]{...}, NAME[ARGS]{...}, NAME{...}. */
int calls_mistral(struct bytes body, struct calls *out, struct err *e)
{
	struct bytes id = { 0 }, name;
	size_t args, own;

	body = text_trim(body);
	if (body.n && (*body.p == '[' || *body.p == '{'))
		return calls_json(body, out, e);
	args = text_find(body, "[ARGS]");
	if (args == body.n) {
		args = text_find(body, "{");
		return add_named(out, (struct bytes){ body.p, args }, text_from(body, args), id, e);
	}
	name = (struct bytes){ body.p, args };
	own = text_find(name, "[CALL_ID]");
	if (own < name.n) {
		id = text_trim(text_from(name, own + sizeof "[CALL_ID]" - 1));
		name.n = own;
	}
	return add_named(out, name, text_from(body, args + sizeof "[ARGS]" - 1), id, e);
}

/* The next item between two marks; false: there is none. */
static bool next_item(struct bytes *rest, const char *begin, const char *end, struct bytes *item)
{
	size_t at = text_find(*rest, begin), n;

	if (at == rest->n)
		return false;
	*item = text_from(*rest, at + strlen(begin));
	n = text_find(*item, end);
	*rest = text_from(*item, n < item->n ? n + strlen(end) : n);
	item->n = n;
	return true;
}

/* function SEP NAME \n ```json \n {...} \n ```, or NAME SEP {...} */
static int add_deepseek(struct calls *c, struct bytes item, struct err *e)
{
	static const char sep[] = "<" BAR "tool" GAP "sep" BAR ">", fence[] = "```json";
	size_t at = text_find(item, sep), open, close;
	struct bytes name = { item.p, at }, rest, none = { 0 };

	if (at == item.n)
		return 0;
	rest = text_from(item, at + sizeof sep - 1);
	open = text_find(rest, fence);
	if (open == rest.n)
		return add_named(c, name, rest, none, e);
	name = (struct bytes){ rest.p, open };
	rest = text_from(rest, open + sizeof fence - 1);
	close = text_rfind(rest, "```");
	return add_named(c, name, (struct bytes){ rest.p, close }, none, e);
}

int calls_deepseek(struct bytes body, struct calls *out, struct err *e)
{
	static const char begin[] = "<" BAR "tool" GAP "call" GAP "begin" BAR ">";
	static const char end[] = "<" BAR "tool" GAP "call" GAP "end" BAR ">";
	struct bytes item;
	int rc = 0;

	while (next_item(&body, begin, end, &item))
		if ((rc = add_deepseek(out, item, e)) != 1)
			return rc;
	return rc;
}

/* functions.NAME:N ARGUMENT-BEGIN {...}; all before it is the id. */
static int add_kimi(struct calls *c, struct bytes item, struct err *e)
{
	static const char mark[] = "<|tool_call_argument_begin|>";
	size_t at = text_find(item, mark), colon;
	struct bytes id = text_trim((struct bytes){ item.p, at }), name = id;

	if (at == item.n)
		return 0;
	if (bytes_starts(name, "functions."))
		name = text_from(name, sizeof "functions." - 1);
	colon = text_rfind(name, ":");
	name.n = colon;
	return add_named(c, name, text_from(item, at + sizeof mark - 1), id, e);
}

int calls_kimi(struct bytes body, struct calls *out, struct err *e)
{
	struct bytes item;
	int rc = 0;

	while (next_item(&body, "<|tool_call_begin|>", "<|tool_call_end|>", &item))
		if ((rc = add_kimi(out, item, e)) != 1)
			return rc;
	return rc;
}
