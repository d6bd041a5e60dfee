/* SPDX-License-Identifier: MIT */
/* calls_check.c - calls that a grammar lets be written are read as calls
 *
 * For every manner whose calls can be forced: texts drawn at random from its
 * grammar, taken apart by the reader of that manner, have the tools' names
 * and arguments of their schemas. */
#include "gen/walk.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const char tools_text[] = "[{\"type\":\"function\",\"function\":{\"name\":\"find\","
                                 "\"parameters\":{\"type\":\"object\","
				 "\"properties\":{\"what\":{\"enum\":[\"cat\",\"a "
                                 "dog\"]},\"n\":{\"type\":\"integer\",\"minimum\":1,"
				 "\"maximum\":3},\"deep\":{\"type\":\"boolean\"},\"text\":{"
                                 "\"type\":\"string\",\"maxLength\":3}},"
				 "\"required\":[\"what\",\"n\"],\"additionalProperties\":false}}},"
				 "{\"type\":\"function\",\"function\":{\"name\":\"stop\","
                                 "\"parameters\":{\"type\":\"object\","
				 "\"properties\":{},\"additionalProperties\":false}}}]";

static const char *const rows[] = { "hermes",     "llama3", "mistral", "deepseek", "kimi",
	                            "phi4",       "cohere", "apriel",  "gigachat", "firefunction",
	                            "qwen-coder", "glm",    "minimax" };

static uint32_t stream = 7;

static uint32_t any_of(uint32_t n)
{
	stream = stream * 1664525u + 1013904223u;
	return (stream >> 8) % n;
}

/* A text of the grammar, byte by byte; false where it did not come to an end. */
static bool draw(struct grammar *g, struct buf *out)
{
	struct walk *w;
	uint32_t at;
	struct err e;
	bool whole = false;

	ck_assert(!walk_open(&w, g, &e) && !walk_begin(w, &at, &e));
	for (int i = 0; i < 1500; i++) {
		unsigned char may[256];
		uint32_t n = 0, to;

		for (int c = 0; c < 256; c++) {
			ck_assert(!walk_step(w, at, (unsigned char)c, &to, &e));
			if (to != PLACE_NOWHERE)
				may[n++] = (unsigned char)c;
		}
		whole = walk_place(w, at).flags & PLACE_MAY_END;
		if (!n || (whole && any_of(3) == 0))
			break;
		whole = false;
		buf_add_byte(out, may[any_of(n)]);
		ck_assert(!walk_step(w, at, out->p[out->n - 1], &at, &e));
	}
	walk_close(w);
	return whole;
}

struct told {
	int calls, content;
};

static int take(void *arg, const struct reply_part *p, struct err *e)
{
	struct told *t = arg;
	cJSON *v;

	(void)e;
	if (p->kind != REPLY_CALL) {
		t->content++;
		return 0;
	}
	t->calls++;
	v = json_parse(bytes_of(p->arguments), e);
	ck_assert_msg(v != NULL, "%s", p->arguments);
	if (!strcmp(p->name, "stop")) {
		ck_assert_ptr_eq(v->child, NULL);
	} else {
		const cJSON *what = json_get(v, "what"), *n = json_get(v, "n"), *k;

		ck_assert_str_eq(p->name, "find");
		ck_assert(cJSON_IsString(what) && (!strcmp(what->valuestring, "cat") ||
		                                   !strcmp(what->valuestring, "a dog")));
		ck_assert(cJSON_IsNumber(n) && n->valuedouble >= 1 && n->valuedouble <= 3);
		ck_assert((k = json_get(v, "deep")) == NULL || cJSON_IsBool(k));
		ck_assert((k = json_get(v, "text")) == NULL || cJSON_IsString(k));
	}
	cJSON_Delete(v);
	return 0;
}

START_TEST(written_and_read)
{
	struct err e;
	cJSON *tools = json_parse(bytes_of(tools_text), &e);
	struct grammar_ask a = { .kind = GRAMMAR_CALLS, .tools = tools, .many = true };
	struct manner m;
	struct grammar *g;
	int n_whole = 0;

	ck_assert(manner_named(&m, NULL, rows[_i]));
	a.form = manner_call_form(m, NULL);
	ck_assert(a.form != NULL);
	ck_assert_msg(!grammar_open(&g, &a, &e), "%s", e.text);
	for (int i = 0; i < 8; i++) {
		struct buf text = { 0 };
		struct told t = { 0, 0 };
		struct reply *r;

		if (draw(g, &text)) {
			ck_assert(!reply_open(&r, m, NULL, tools, take, &t, &e));
			ck_assert(!reply_add(r, buf_bytes(&text), &e) && !reply_end(r, &e));
			reply_close(r);
			n_whole++;
			ck_assert_msg(t.calls && !t.content, "%s: %d calls, %d texts: %s", rows[_i],
			              t.calls, t.content, (const char *)text.p);
		}
		buf_release(&text);
	}
	ck_assert_int_ge(n_whole, 2);
	grammar_release(g);
	cJSON_Delete(tools);
}
END_TEST

START_TEST(text_or_calls)
{
	struct err e;
	cJSON *tools = json_parse(bytes_of(tools_text), &e);
	struct grammar_ask a = { .kind = GRAMMAR_CALLS, .tools = tools };
	static const struct {
		const char *text;
		bool takes;
	} row[] = {
		{ "", true },
		{ "No call <tool_cal here", true },
		{ "Well: <tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>",
		  true },
		{ "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>", true },
		{ "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>\n<tool_call>",
		  false },
		{ "<tool_call>\n{\"name\": \"start\", \"arguments\": {}}\n</tool_call>", false },
		{ "<tool_call>", false },
		{ "<tool_call>\n{\"name\": \"find\", \"arguments\": {\"what\": \"cat\", \"n\": 1, "
		  "\"text\": "
		  "\"</\"}}\n</tool_call>",
		  false },
	};
	struct manner m;
	struct grammar *g;

	ck_assert(manner_named(&m, NULL, "hermes"));
	a.form = manner_call_form(m, NULL);
	a.call_begin = manner_call_begin(m);
	ck_assert_msg(!grammar_open(&g, &a, &e), "%s", e.text);
	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		bool yes;

		ck_assert(!grammar_takes(g, bytes_of(row[i].text), &yes, &e));
		ck_assert_msg(yes == row[i].takes, "%s", row[i].text);
	}
	grammar_release(g);
	cJSON_Delete(tools);
}
END_TEST

Suite *calls_suite(void);
Suite *calls_suite(void)
{
	Suite *s = suite_create("calls");
	TCase *t = tcase_create("calls");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, written_and_read, 0, sizeof rows / sizeof *rows);
	tcase_add_test(t, text_or_calls);
	suite_add_tcase(s, t);
	return s;
}
