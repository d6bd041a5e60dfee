/* SPDX-License-Identifier: MIT */
/* reply.c - any bytes as an answer, in every manner: what is said must not
 * depend on where the text was cut, and harmony's transcripts come back.
 * The first byte chooses the manner, the second where to cut. */
#include "text/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct {
	const char *think, *call;
} manners[] = {
	{ "think", "hermes" },       { "think", "qwen-coder" }, { "think", "glm" },
	{ "think", "deepseek" },     { "think", "kimi" },       { "think", "minimax" },
	{ "think", "deepseek-dsml" }, { "gemma", "gemma" },      { "mistral", "mistral" },
	{ "harmony", "harmony" },    { NULL, "llama3" },        { NULL, "pythonic" },
	{ "think", "lfm2" },         { NULL, "minicpm" },       { "cohere", "cohere" },
	{ "apriel", "apriel" },      { NULL, "firefunction" },  { NULL, "longcat" },
};

static const char tools_text[] =
	"[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"properties\": "
	"{\"s\": {\"type\": \"string\"}, \"n\": {\"type\": [\"integer\", \"null\"]}}}}}]";

struct told {
	struct buf text;
	int kind;
	size_t n; /* bytes of content and reasoning */
};

static int tell(void *arg, const struct reply_part *p, struct err *e)
{
	struct told *t = arg;
	struct err ignored;
	cJSON *v;

	if (p->kind == REPLY_CALL) {
		v = json_parse(bytes_of(p->arguments), &ignored);
		if (!v || !*p->name)
			abort();
		cJSON_Delete(v);
		buf_printf(&t->text, "\1%s %s %s\1", p->name, p->arguments, p->id ? p->id : "");
		t->kind = -1;
		return buf_check(&t->text, e);
	}
	if (t->kind != (int)p->kind)
		buf_add_byte(&t->text, p->kind == REPLY_CONTENT ? 2 : 3);
	t->kind = (int)p->kind;
	buf_add(&t->text, p->text.p, p->text.n);
	t->n += p->text.n;
	return buf_check(&t->text, e);
}

static void take_apart(struct told *t, struct manner m, const cJSON *tools, struct bytes text,
                       size_t cut)
{
	struct chat_prompt prompt = { .thinking = cut & 1 };
	struct reply *r = NULL;
	struct err e;

	t->kind = -1;
	if (reply_open(&r, m, &prompt, tools, tell, t, &e) ||
	    reply_add(r, (struct bytes){ text.p, cut }, &e) ||
	    reply_add(r, (struct bytes){ text.p + cut, text.n - cut }, &e) || reply_end(r, &e))
		abort();
	reply_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct told whole = { 0 }, cut = { 0 };
	struct bytes text;
	struct manner m;
	struct err e;
	struct buf out = { 0 };
	cJSON *tools, *list;
	size_t k, at;

	if (n < 2 || n > 1 << 16)
		return 0;
	k = data[0] % (sizeof manners / sizeof *manners);
	text = (struct bytes){ data + 2, n - 2 };
	at = text.n ? data[1] % text.n : 0;
	tools = json_parse(bytes_of(tools_text), &e);
	if (!tools || !manner_named(&m, manners[k].think, manners[k].call))
		abort();
	take_apart(&whole, m, tools, text, text.n & 1 ? at | 1 : at & ~(size_t)1);
	take_apart(&cut, m, tools, text, text.n & 1);
	if (whole.n > text.n || !bytes_equal(buf_bytes(&whole.text), buf_bytes(&cut.text)))
		abort();
	list = harmony_parse(text, &e);
	if (list && (harmony_render(&out, list, &e) || !bytes_equal(buf_bytes(&out), text)))
		abort();
	cJSON_Delete(list);
	cJSON_Delete(tools);
	buf_release(&whole.text);
	buf_release(&cut.text);
	buf_release(&out);
	return 0;
}
