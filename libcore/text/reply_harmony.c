/* SPDX-License-Identifier: MIT */
/* reply_harmony.c - an answer of gpt-oss: messages on channels. What is
 * analysis is reasoning, what has a recipient is a call. */
#include <stdlib.h>
#include <string.h>

#include "text/reply.h"

void message_begin(struct reply *r)
{
	struct harmony_header h = harmony_header(buf_bytes(&r->body));
	bool call = h.recipient.n && !bytes_is(h.recipient, "assistant") &&
	            !bytes_is(h.recipient, "all") && !memchr(h.recipient.p, 0, h.recipient.n);

	buf_clear(&r->recipient);
	if (call)
		buf_add(&r->recipient, h.recipient.p, h.recipient.n);
	r->state = call ? IN_CALL : bytes_is(h.channel, "analysis") ? IN_REASONING : IN_CONTENT;
	buf_clear(&r->body);
}

/* A body that is no JSON object is given as a JSON string. */
static int give_harmony_call(struct reply *r, struct err *e)
{
	struct bytes body = buf_bytes(&r->body), name = buf_bytes(&r->recipient);
	struct calls c = { .list = cJSON_CreateArray() };
	struct buf text = { 0 };
	struct err ignored;
	cJSON *v = json_parse(body, &ignored);
	int rc = 0;

	if (bytes_starts(name, "functions."))
		name = text_from(name, sizeof "functions." - 1);
	if (!cJSON_IsObject(v)) {
		cJSON_Delete(v);
		json_add_string(&text, body);
		rc = buf_check(&text, e);
		v = rc ? NULL : json_parse(buf_bytes(&text), &ignored);
		if (!rc && !v) /* NUL: not to be said in a string of C */
			rc = reply_text(r, REPLY_CONTENT, body, e);
	}
	if (v)
		rc = c.list ? calls_add(&c, name, v, (struct bytes){ 0 }, e) :
		              err_memory(e, sizeof *c.list);
	if (rc == 1)
		rc = reply_give(r, c.list, e);
	cJSON_Delete(v);
	cJSON_Delete(c.list);
	buf_release(&text);
	return rc < 0 ? -1 : 0;
}

int message_end(struct reply *r, struct err *e)
{
	int rc = 0;

	if (r->state == IN_CALL)
		rc = give_harmony_call(r, e);
	else if (r->state == IN_HEADER && !r->started &&
	         !text_has(buf_bytes(&r->body), "<|channel|>"))
		rc = reply_text(r, REPLY_CONTENT, buf_bytes(&r->body), e);
	buf_clear(&r->body);
	r->state = IN_HEADER;
	return rc;
}

/* Goes on in the message that the prompt has begun. */
void message_enter(struct reply *r, struct bytes prompt)
{
	size_t at = text_rfind(prompt, "<|start|>"), message;
	struct bytes open = { 0 };

	r->state = IN_HEADER;
	if (at == prompt.n)
		return;
	open = text_from(prompt, at + sizeof "<|start|>" - 1);
	message = text_find(open, "<|message|>");
	buf_add(&r->body, open.p, message);
	if (message < open.n)
		message_begin(r);
	else /* a header that says no more than who speaks is not text */
		buf_clear(&r->body);
}
