/* SPDX-License-Identifier: MIT */
/* harmony.c - the messages of gpt-oss: <|start|>, a header (who, to whom, on
 * which channel, of what type), <|message|>, a text, and what ends it. */
#include <stdlib.h>
#include <string.h>

#include "text/reason.h"
#include "util/utf8.h"

#define START "<|start|>"
#define CHANNEL "<|channel|>"
#define MESSAGE "<|message|>"

static const char *const ends[] = { "<|end|>", "<|return|>", "<|call|>" };
enum { ENDS = sizeof ends / sizeof *ends, MESSAGES = 1 << 16 };

/* ---- headers */

static bool next_word(struct bytes *rest, struct bytes *word)
{
	size_t n = 0;

	*rest = text_trim(*rest);
	while (n < rest->n && !strchr(" \t\r\n", rest->p[n]))
		n++;
	*word = (struct bytes){ rest->p, n };
	*rest = text_from(*rest, n);
	return n > 0;
}

/* Words of a part: "to=X" is the recipient, the first other one is *first,
 * the next *type. */
static void read_part(struct bytes part, struct harmony_header *h, struct bytes *first)
{
	struct bytes word;

	while (next_word(&part, &word)) {
		if (bytes_starts(word, "to="))
			h->recipient = text_from(word, 3);
		else if (!first->p)
			*first = word;
		else if (!h->type.p)
			h->type = word;
	}
}

struct harmony_header harmony_header(struct bytes text)
{
	struct harmony_header h = { 0 };
	size_t at = text_find(text, CHANNEL), type;
	struct bytes rest = at < text.n ? text_from(text, at + sizeof CHANNEL - 1) : h.role;

	read_part((struct bytes){ text.p, at }, &h, &h.role);
	type = text_find(rest, "<|constrain|>");
	if (type < rest.n) /* it may stand right behind the channel */
		h.type = text_trim(text_from(rest, type));
	read_part((struct bytes){ rest.p, type }, &h, &h.channel);
	return h;
}

static void put_header(struct buf *b, struct bytes role, struct bytes recipient,
                       struct bytes channel, struct bytes type)
{
	buf_add(b, role.p, role.n);
	if (recipient.p) {
		buf_add_text(b, " to=");
		buf_add(b, recipient.p, recipient.n);
	}
	if (channel.p) {
		buf_add_text(b, CHANNEL);
		buf_add(b, channel.p, channel.n);
	}
	if (type.p) {
		buf_add_byte(b, ' ');
		buf_add(b, type.p, type.n);
	}
}

/* ---- a transcript to messages */

static int put(cJSON *o, const char *key, struct bytes b, struct err *e)
{
	struct buf text = { 0 };
	int rc = 0;

	if (!b.p)
		return 0;
	buf_add(&text, b.p, b.n);
	buf_add_text(&text, "");
	rc = buf_check(&text, e);
	if (!rc && !cJSON_AddStringToObject(o, key, (char *)text.p))
		rc = err_memory(e, b.n);
	buf_release(&text);
	return rc;
}

/* Fields; a header that is not written in the usual way is kept as it is. */
static int put_fields(cJSON *o, struct bytes header, struct err *e)
{
	struct harmony_header h = harmony_header(header);
	struct buf usual = { 0 };
	int rc;

	put_header(&usual, h.role, h.recipient, h.channel, h.type);
	rc = buf_check(&usual, e) || put(o, "role", h.role, e) ||
	     put(o, "recipient", h.recipient, e) || put(o, "channel", h.channel, e) ||
	     put(o, "content_type", h.type, e) ||
	     (!bytes_equal(buf_bytes(&usual), header) && put(o, "header", header, e));
	buf_release(&usual);
	return rc ? -1 : 0;
}

/* The first of what may end a message; text.n: nothing does. */
static size_t find_end(struct bytes text, const char **end)
{
	size_t first = text_find(text, START);

	*end = NULL;
	for (size_t i = 0; i < ENDS; i++) {
		size_t at = text_find((struct bytes){ text.p, first }, ends[i]);

		if (at < first) {
			first = at;
			*end = ends[i];
		}
	}
	return first;
}

static int put_message(cJSON *o, struct bytes *rest, struct err *e)
{
	size_t start = text_find(*rest, START), at;
	struct bytes header;
	const char *end;

	at = text_find((struct bytes){ rest->p, start }, MESSAGE);
	header = (struct bytes){ rest->p, at };
	if (put_fields(o, header, e))
		return -1;
	*rest = text_from(*rest, at);
	if (at == start)
		return 0;
	*rest = text_from(*rest, sizeof MESSAGE - 1);
	at = find_end(*rest, &end);
	if (put(o, "content", (struct bytes){ rest->p, at }, e) ||
	    (end && put(o, "end", bytes_of(end), e)))
		return -1;
	*rest = text_from(*rest, at + (end ? strlen(end) : 0));
	return 0;
}

/* One more item; text outside messages is {"text"}, a first message without
 * its start has "started" false. */
static int put_item(cJSON *o, struct bytes *rest, bool first, struct err *e)
{
	size_t at = text_find(*rest, START);

	if (at == 0) {
		*rest = text_from(*rest, sizeof START - 1);
		return put_message(o, rest, e);
	}
	if (first && text_find((struct bytes){ rest->p, at }, MESSAGE) < at)
		return cJSON_AddBoolToObject(o, "started", false) ? put_message(o, rest, e) :
		                                                    err_memory(e, sizeof *o);
	if (put(o, "text", (struct bytes){ rest->p, at }, e))
		return -1;
	*rest = text_from(*rest, at);
	return 0;
}

cJSON *harmony_parse(struct bytes text, struct err *e)
{
	cJSON *list = cJSON_CreateArray(), *o;
	struct bytes rest = text;
	size_t n = 0;

	if (utf8_valid(text) != text.n || (text.n && memchr(text.p, 0, text.n))) {
		err_set(e, ERR_INPUT, "expected UTF-8 text without NUL");
		cJSON_Delete(list);
		return NULL;
	}
	while (list && rest.n) {
		o = cJSON_CreateObject();
		if (!o || !cJSON_AddItemToArray(list, o)) {
			cJSON_Delete(o);
			break;
		}
		if (n++ == MESSAGES)
			err_set(e, ERR_INPUT, "over %d messages", MESSAGES);
		else if (put_item(o, &rest, n == 1, e) == 0)
			continue;
		cJSON_Delete(list);
		return NULL;
	}
	if (list && !rest.n)
		return list;
	cJSON_Delete(list);
	err_memory(e, text.n);
	return NULL;
}

/* ---- and back */

static struct bytes field(const cJSON *o, const char *key)
{
	const cJSON *v = json_get(o, key);

	return cJSON_IsString(v) ? bytes_of(v->valuestring) : (struct bytes){ 0 };
}

static void put_text(struct buf *out, struct bytes b)
{
	buf_add(out, b.p, b.n);
}

int harmony_render(struct buf *out, const cJSON *messages, struct err *e)
{
	for (const cJSON *o = messages->child; o; o = o->next) {
		struct bytes header = field(o, "header"), content = field(o, "content");

		if (json_get(o, "text")) {
			put_text(out, field(o, "text"));
			continue;
		}
		if (!cJSON_IsFalse(json_get(o, "started")))
			buf_add_text(out, START);
		if (header.p)
			put_text(out, header);
		else
			put_header(out, field(o, "role"), field(o, "recipient"),
			           field(o, "channel"), field(o, "content_type"));
		if (content.p)
			buf_add_text(out, MESSAGE);
		put_text(out, content);
		put_text(out, field(o, "end"));
	}
	return buf_check(out, e);
}
