/* SPDX-License-Identifier: MIT */
/* reply.c - an answer taken apart as it comes: content, reasoning, calls.
 *
 * Text waits while it may begin a tag, newlines while they may belong to one.
 * So what comes out does not depend on how the text was cut, and nothing is
 * lost or said twice: a call that cannot be read comes out as its text. */
#include <stdlib.h>
#include <string.h>

#include "text/reply.h"
#include "util/utf8.h"

enum { BODY_BYTES = 16 << 20, TAGS = 4 };

enum tag { TAG_THINK, TAG_THINK_END, TAG_CALL, TAG_CALL_END, TAG_START, TAG_MESSAGE, TAG_END };

/* ---- giving */

static enum reply_kind kind_of(enum state s)
{
	return s == IN_REASONING ? REPLY_REASONING : REPLY_CONTENT;
}

int reply_text(struct reply *r, enum reply_kind kind, struct bytes text, struct err *e)
{
	struct reply_part part = { .kind = kind, .text = text };

	return text.n ? r->take(r->arg, &part, e) : 0;
}

static int give_gap(struct reply *r, enum reply_kind kind, struct err *e)
{
	int rc = reply_text(r, kind, buf_bytes(&r->gap), e);

	buf_clear(&r->gap);
	return rc;
}

/* Text outside tags. */
static int say(struct reply *r, enum reply_kind kind, struct bytes text, struct err *e)
{
	size_t n;

	while (r->after_tag && text.n && *text.p == '\n')
		text = text_from(text, 1);
	if (!text.n)
		return 0;
	r->after_tag = false;
	for (n = text.n; n && text.p[n - 1] == '\n'; n--)
		;
	if (n && (give_gap(r, kind, e) || reply_text(r, kind, (struct bytes){ text.p, n }, e)))
		return -1;
	buf_add(&r->gap, text.p + n, text.n - n);
	return buf_check(&r->gap, e);
}

int reply_give(struct reply *r, const cJSON *list, struct err *e)
{
	for (const cJSON *c = list->child; c; c = c->next) {
		const cJSON *id = json_get(c, "id");
		struct reply_part part = {
			.kind = REPLY_CALL,
			.index = r->n_calls++,
			.id = id ? id->valuestring : NULL,
			.name = json_get(c, "name")->valuestring,
			.arguments = json_get(c, "arguments")->valuestring,
		};

		if (r->take(r->arg, &part, e))
			return -1;
	}
	return 0;
}

static bool is_tool(const cJSON *tools, const char *name)
{
	for (const cJSON *t = tools ? tools->child : NULL; t; t = t->next) {
		const cJSON *f = json_get(t, "function"), *own = json_get(f ? f : t, "name");

		if (cJSON_IsString(own) && !strcmp(own->valuestring, name))
			return true;
	}
	return false;
}

/* What has no tag of its own is a call only of a tool there is. */
static bool all_known(const struct reply *r, const cJSON *list)
{
	for (const cJSON *c = list->child; c; c = c->next)
		if (!is_tool(r->tools, json_get(c, "name")->valuestring))
			return false;
	return true;
}

/* The body as calls: 1 given, 0 it is none, -1 failed. */
static int read_calls(struct reply *r, struct err *e)
{
	struct bytes body = buf_bytes(&r->body);
	struct calls c = { .tools = r->tools };
	int rc;

	if (utf8_valid(body) != body.n || (body.n && memchr(body.p, 0, body.n)))
		return 0;
	c.list = cJSON_CreateArray();
	if (!c.list)
		return err_memory(e, sizeof *c.list);
	rc = r->m.call->read(body, &c, e);
	if (rc == 1 && r->state == IN_WHOLE && !all_known(r, c.list))
		rc = 0;
	if (rc == 1 && reply_give(r, c.list, e))
		rc = -1;
	cJSON_Delete(c.list);
	return rc;
}

/* ---- calls between tags */

static int begin_call(struct reply *r, struct err *e)
{
	r->before = r->state;
	r->state = IN_CALL;
	buf_clear(&r->body);
	if (r->m.call->whole)
		buf_add_text(&r->body, r->m.call->begin);
	return buf_check(&r->body, e);
}

/* Gives back the text of what is no call. */
static int unsay_call(struct reply *r, bool ended, struct err *e)
{
	const struct call_row *row = r->m.call;
	enum reply_kind kind = kind_of(r->before);

	r->state = r->before;
	if (!row->whole && say(r, kind, bytes_of(row->begin), e))
		return -1;
	if (say(r, kind, buf_bytes(&r->body), e))
		return -1;
	buf_clear(&r->body);
	return ended && !row->whole && row->end ? say(r, kind, bytes_of(row->end), e) : 0;
}

static int end_call(struct reply *r, bool ended, struct err *e)
{
	int rc;

	if (ended && r->m.call->whole && r->m.call->end)
		buf_add_text(&r->body, r->m.call->end);
	if (buf_check(&r->body, e))
		return -1;
	rc = read_calls(r, e);
	if (rc == 0)
		return unsay_call(r, ended, e);
	buf_clear(&r->gap);
	buf_clear(&r->body);
	r->state = IN_CONTENT;
	r->after_tag = true;
	return rc < 0 ? -1 : 0;
}

static int end_whole(struct reply *r, struct err *e)
{
	int rc = r->state == IN_WHOLE ? read_calls(r, e) : 0;

	r->state = IN_CONTENT;
	if (rc == 0)
		rc = say(r, REPLY_CONTENT, buf_bytes(&r->body), e);
	buf_clear(&r->body);
	return rc < 0 ? -1 : 0;
}

static bool is_harmony(const struct reply *r)
{
	return r->m.think && r->m.think->harmony;
}

/* ---- tags */

struct tags {
	const char *text[TAGS];
	enum tag tag[TAGS];
	size_t n;
};

static void add_tag(struct tags *t, const char *text, enum tag tag)
{
	if (!text)
		return;
	t->text[t->n] = text;
	t->tag[t->n++] = tag;
}

/* What may come next. */
static struct tags tags_of(const struct reply *r)
{
	const struct think_row *think = r->m.think;
	const struct call_row *call = r->m.call;
	struct tags t = { .n = 0 };

	if (is_harmony(r)) {
		add_tag(&t, "<|start|>", TAG_START);
		if (r->state == IN_HEADER)
			add_tag(&t, "<|message|>", TAG_MESSAGE);
		if (r->state != IN_HEADER)
			add_tag(&t, "<|end|>", TAG_END);
		add_tag(&t, r->state == IN_CALL ? "<|call|>" : "<|return|>", TAG_END);
		return t;
	}
	if (r->state == IN_CALL) {
		add_tag(&t, call->end ? call->end : call->begin,
		        call->end ? TAG_CALL_END : TAG_CALL);
		return t;
	}
	if (r->state == IN_WHOLE)
		return t;
	if (think && r->state == IN_CONTENT)
		add_tag(&t, think->begin, TAG_THINK);
	add_tag(&t, think ? think->end : NULL, TAG_THINK_END);
	add_tag(&t, call ? call->begin : NULL, TAG_CALL);
	return t;
}

/* The first tag in the text; text.n: none. */
static size_t find_tag(const struct tags *t, struct bytes text, size_t *which)
{
	size_t first = text.n;

	for (size_t i = 0; i < t->n; i++) {
		size_t at = text_find(text, t->text[i]);

		if (at < first) {
			first = at;
			*which = i;
		}
	}
	return first;
}

/* How many bytes at the end may begin a tag. */
static size_t held(const struct tags *t, struct bytes text)
{
	size_t most = 0;

	for (size_t i = 0; i < t->n; i++) {
		size_t n = strlen(t->text[i]) - 1;

		for (n = n < text.n ? n : text.n; n > most; n--)
			if (!memcmp(text.p + text.n - n, t->text[i], n))
				most = n;
	}
	return most;
}

static int act(struct reply *r, enum tag tag, struct err *e)
{
	switch (tag) {
	case TAG_CALL:
		if (r->state == IN_CALL && end_call(r, false, e))
			return -1;
		return begin_call(r, e);
	case TAG_CALL_END:
		return end_call(r, true, e);
	case TAG_START:
	case TAG_END:
		if (message_end(r, e))
			return -1;
		r->started = tag == TAG_START;
		return 0;
	case TAG_MESSAGE:
		message_begin(r);
		return buf_check(&r->recipient, e);
	case TAG_THINK:
	case TAG_THINK_END:
		r->state = tag == TAG_THINK ? IN_REASONING : IN_CONTENT;
		break;
	}
	buf_clear(&r->gap);
	r->after_tag = true;
	return 0;
}

/* ---- text */

/* Looks for what an answer of nothing but calls begins with. */
static int begin_content(struct reply *r, struct bytes text, struct err *e)
{
	size_t n = 0;

	while (n < text.n && text.p[n] && strchr(" \t\r\n", text.p[n]))
		n++;
	buf_add(&r->body, text.p, text.n);
	if (buf_check(&r->body, e))
		return -1;
	if (n == text.n)
		return 0;
	r->may_be_whole = false;
	if (text.p[n] == r->m.call->first) {
		r->state = IN_WHOLE;
		return 0;
	}
	return end_whole(r, e);
}

static int feed(struct reply *r, struct bytes text, struct err *e)
{
	if (!text.n)
		return 0;
	if (r->state == IN_CONTENT && r->may_be_whole)
		return begin_content(r, text, e);
	if (r->state == IN_CONTENT || r->state == IN_REASONING)
		return is_harmony(r) ? reply_text(r, kind_of(r->state), text, e) :
		                       say(r, kind_of(r->state), text, e);
	buf_add(&r->body, text.p, text.n);
	return buf_check(&r->body, e);
}

/* A tag is no part of an answer that is one call. */
static int feed_tag(struct reply *r, enum tag tag, struct err *e)
{
	if (r->may_be_whole && r->state == IN_CONTENT && r->body.n) {
		if (end_whole(r, e))
			return -1;
	}
	if (tag == TAG_CALL)
		r->may_be_whole = false;
	return act(r, tag, e);
}

static int run(struct reply *r, bool end, struct err *e)
{
	struct bytes rest = buf_bytes(&r->text);
	size_t keep;

	for (;;) {
		struct tags t = tags_of(r);
		size_t which = 0, at = find_tag(&t, rest, &which);

		if (at == rest.n) {
			keep = end ? 0 : held(&t, rest);
			break;
		}
		if (feed(r, (struct bytes){ rest.p, at }, e))
			return -1;
		/* the text may have shown that this is a whole answer of calls */
		rest = text_from(rest, at);
		if (r->state == IN_WHOLE)
			continue;
		rest = text_from(rest, strlen(t.text[which]));
		if (feed_tag(r, t.tag[which], e))
			return -1;
	}
	if (feed(r, (struct bytes){ rest.p, rest.n - keep }, e))
		return -1;
	if (keep)
		memmove(r->text.p, rest.p + rest.n - keep, keep);
	r->text.n = keep;
	return 0;
}

int reply_add(struct reply *r, struct bytes text, struct err *e)
{
	buf_add(&r->text, text.p, text.n);
	return buf_check(&r->text, e) || run(r, false, e) ? -1 : 0;
}

int reply_end(struct reply *r, struct err *e)
{
	enum reply_kind kind;

	if (run(r, true, e))
		return -1;
	if (is_harmony(r))
		return message_end(r, e);
	if (r->state == IN_CALL && end_call(r, false, e))
		return -1;
	if (r->body.n && r->state != IN_CALL && end_whole(r, e))
		return -1;
	kind = kind_of(r->state);
	return give_gap(r, kind, e);
}

/* ---- opening */

int reply_open(struct reply **out, struct manner m, const struct chat_prompt *prompt,
               const cJSON *tools, reply_fn *take, void *arg, struct err *e)
{
	struct reply *r = calloc(1, sizeof *r);

	if (!r)
		return err_memory(e, sizeof *r);
	r->m = m;
	if (m.call && !m.call->read) /* harmony's are messages */
		r->m.call = NULL;
	r->take = take;
	r->arg = arg;
	r->body.ceiling = BODY_BYTES;
	if (cJSON_IsArray(tools) && tools->child) {
		r->tools = cJSON_Duplicate(tools, true);
		if (!r->tools) {
			reply_close(r);
			return err_memory(e, sizeof *tools);
		}
	}
	r->may_be_whole = r->tools && r->m.call && r->m.call->first;
	if (is_harmony(r)) {
		message_enter(r, prompt ? buf_bytes(&prompt->text) : (struct bytes){ 0 });
	} else if (prompt && prompt->thinking) {
		r->state = IN_REASONING;
		r->after_tag = true;
	}
	*out = r;
	return 0;
}

size_t reply_calls(const struct reply *r)
{
	return r->n_calls;
}

void reply_close(struct reply *r)
{
	if (!r)
		return;
	buf_release(&r->text);
	buf_release(&r->gap);
	buf_release(&r->body);
	buf_release(&r->recipient);
	cJSON_Delete(r->tools);
	free(r);
}
